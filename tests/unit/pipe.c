/*
 * pipe.c - the pipe and its call cursor, as rows on a virtual clock.
 */
#include <pipemaze/pipe.h>

#include <string.h>

#include "expect.h"

#define BOOT PMZ_S(1000)

/* What a row does; any other number is the outcome of an attempt. */
#define BEGIN 0
#define RESUME (-1)
#define CANCEL (-2)

struct row {
	pmz_ns pass; /* first */
	int act;
	int step;  /* what is to be done then */
	pmz_ns in; /* due so much later, or PMZ_NEVER */
};

static struct bench {
	pmz_pipe *pipe;
	pmz_breaker *breaker;
	pmz_bulkhead *bulkhead;
	pmz_bucket bucket;
	pmz_rate rate;
	pmz_budget *budget;
	pmz_pipe_config config;
	pmz_backoff_rule backoff;
	pmz_ask ask;
	pmz_call call;
	pmz_ns now;
} t;

static _Alignas(64) char budget_room[4096];

static int prepare(void **state)
{
	(void)state;
	memset(&t, 0, sizeof(t));
	t.config.size = sizeof(t.config);
	t.ask.size = sizeof(t.ask);
	t.ask.seed = 1;
	t.now = BOOT;
	return 0;
}

static int clean_up(void **state)
{
	(void)state;
	pmz_pipe_free(t.pipe);
	pmz_breaker_free(t.breaker);
	pmz_bulkhead_free(t.bulkhead);
	return 0;
}

/* What a pipe is made of; make() comes last. */

static void use_breaker(void)
{
	const pmz_breaker_config config = {
		.size = sizeof(config),
		.failure_pct = PMZ_OFF,
		.consecutive_max = 1,
		.open_jitter_pct = PMZ_OFF,
	};

	expect_status(pmz_breaker_new(&t.breaker, &config, NULL), PMZ_OK);
	t.config.breaker = t.breaker;
}

static void use_bulkhead(uint32_t limit)
{
	const pmz_bulkhead_config config = { .size = sizeof(config),
		                             .limit = limit };

	expect_status(pmz_bulkhead_new(&t.bulkhead, &config, NULL), PMZ_OK);
	t.config.bulkhead = t.bulkhead;
}

/* A token each `every`. */
static void use_rate(pmz_ns every, uint64_t burst)
{
	expect_status(pmz_rate_set(&t.rate, 1, every, burst), PMZ_OK);
	t.config.bucket = &t.bucket;
	t.config.rate = &t.rate;
}

static const pmz_budget_config budget_config = {
	.size = sizeof(pmz_budget_config),
	.retry_pct = 100,
	.per_second_min = 1,
};

static void use_budget(void)
{
	memset(budget_room, 0, sizeof(budget_room));
	expect_status(pmz_budget_place(&t.budget, budget_room,
	                               sizeof(budget_room), &budget_config,
	                               NULL),
	              PMZ_OK);
	t.config.budget = t.budget;
}

/* Tries whose waits are `first`, twice that, and so on. */
static void use_tries(uint32_t tries_max, pmz_ns first)
{
	t.backoff.size = sizeof(t.backoff);
	t.backoff.jitter = PMZ_JITTER_NONE;
	t.backoff.base_ns = first;
	t.backoff.max_ns = PMZ_S(3600);
	t.backoff.tries_max = tries_max;
	t.config.backoff = &t.backoff;
}

static void make(void)
{
	pmz_why why;
	int status = pmz_pipe_new(&t.pipe, &t.config, &why);

	if (status != PMZ_OK)
		print_error("%s: %s\n", why.field, why.text);
	expect_status(status, PMZ_OK);
}

static void make_from(const char *line)
{
	pmz_why why;
	int status = pmz_pipe_from(&t.pipe, line, &t.config, &why);

	if (status != PMZ_OK)
		print_error("%u: %s\n", why.column, why.text);
	expect_status(status, PMZ_OK);
}

/* What the guards say. */

static pmz_breaker_stats breaker_stats(void)
{
	pmz_breaker_stats s = { .size = sizeof(s) };

	expect_status(pmz_breaker_read(t.breaker, t.now, &s), PMZ_OK);
	return s;
}

static pmz_bulkhead_stats stats_of(const pmz_bulkhead *bulkhead)
{
	pmz_bulkhead_stats s = { .size = sizeof(s) };

	expect_status(pmz_bulkhead_read(bulkhead, &s), PMZ_OK);
	return s;
}

static uint32_t in_use(void)
{
	return stats_of(t.bulkhead).in_use;
}

static uint64_t tokens_left(void)
{
	return pmz_bucket_left(&t.bucket, &t.rate, t.now);
}

/* The withdrawals that the budget has now: taken from a copy of it. */
static int withdrawals_left(void)
{
	static _Alignas(64) char copy[sizeof(budget_room)];
	pmz_budget *budget;
	int n = 0;

	memcpy(copy, budget_room, sizeof(copy));
	expect_status(pmz_budget_place(&budget, copy, sizeof(copy),
	                               &budget_config, NULL),
	              PMZ_OK);
	while (pmz_budget_withdraw(budget, t.now) == PMZ_OK)
		n++;
	return n;
}

/* The call. */

static pmz_step begin(void)
{
	return pmz_call_begin(&t.call, t.pipe, &t.ask, t.now);
}

static pmz_step settle(pmz_outcome how)
{
	return pmz_call_settle(&t.call, how, t.now);
}

static pmz_step resume(void)
{
	return pmz_call_resume(&t.call, t.now);
}

static pmz_ns due(void)
{
	return pmz_call_due(&t.call);
}

static pmz_step act(int what)
{
	switch (what) {
	case BEGIN:
		return begin();
	case RESUME:
		return resume();
	case CANCEL:
		pmz_call_cancel(&t.call, t.now);
		return PMZ_DONE;
	default:
		return settle((pmz_outcome)what);
	}
}

static void play_row(const struct row *row, size_t number)
{
	pmz_ns want;

	t.now += row->pass;
	want = row->in == PMZ_NEVER ? PMZ_NEVER : t.now + row->in;
	kit_expect_row(number, (int)act(row->act), row->step, kit_step);
	if (due() != want)
		fail_msg("row %zu: due in %lld ns", number,
		         (long long)(due() - t.now));
}

static void play(const struct row *rows, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++)
		play_row(&rows[i], i);
}

static void expect_end(int status)
{
	expect_status(pmz_call_status(&t.call), status);
}

/* A call from its begin to its end, with as many attempts as it makes. */
static int run(pmz_outcome how)
{
	pmz_step step = begin();
	int steps = 0;

	while (step != PMZ_DONE) {
		assert_true(++steps < 1000);
		if (step == PMZ_WAIT)
			t.now = due();
		step = step == PMZ_TRY ? settle(how) : resume();
	}
	return pmz_call_status(&t.call);
}

/* Without guards. */

static void a_call_takes_as_much_memory_as_promised(void **state)
{
	(void)state;
	assert_int_equal(sizeof(pmz_call), 256);
	assert_int_equal(pmz_call_size(), sizeof(pmz_call));
}

static void a_bare_pipe_tries_once(void **state)
{
	static const struct {
		pmz_outcome how;
		int status;
	} rows[] = {
		{ PMZ_SUCCESS, PMZ_OK },   { PMZ_FAILURE, PMZ_GAVE_UP },
		{ PMZ_IGNORE, PMZ_ENDED }, { PMZ_AGAIN, PMZ_GAVE_UP },
		{ PMZ_FATAL, PMZ_ENDED },
	};
	size_t i;

	(void)state;
	make();
	for (i = 0; i < KIT_COUNT(rows); i++) {
		expect_step(begin(), PMZ_TRY);
		assert_int_equal(due(), PMZ_NEVER);
		expect_step(settle(rows[i].how), PMZ_DONE);
		kit_expect_row(i, pmz_call_status(&t.call), rows[i].status,
		               pmz_status_name);
		assert_int_equal(due(), PMZ_NEVER);
		assert_int_equal(pmz_call_tries(&t.call), 1);
	}
}

static void a_call_asks_for_nothing_without_an_ask(void **state)
{
	(void)state;
	make();
	expect_step(pmz_call_begin(&t.call, t.pipe, NULL, t.now), PMZ_TRY);
	expect_step(settle(PMZ_SUCCESS), PMZ_DONE);
	expect_end(PMZ_OK);
}

static void freeing_nothing_is_fine(void **state)
{
	(void)state;
	pmz_pipe_free(NULL);
}

static void a_wrong_config_is_named_by_its_field(void **state)
{
	static const pmz_backoff_rule wrong = { .size = sizeof(wrong),
		                                .jitter = 5 };
	pmz_why why;

	(void)state;
	use_rate(PMZ_S(1), 1);
	t.config.rate = NULL;
	expect_status(pmz_pipe_new(&t.pipe, &t.config, &why), PMZ_E_CONFIG);
	assert_string_equal(why.field, "rate");
	t.config.rate = &t.rate;
	t.config.bucket = NULL;
	expect_status(pmz_pipe_new(&t.pipe, &t.config, &why), PMZ_E_CONFIG);
	assert_string_equal(why.field, "bucket");
	t.config.rate = NULL;
	t.config.backoff = &wrong;
	expect_status(pmz_pipe_new(&t.pipe, &t.config, &why), PMZ_E_CONFIG);
	assert_string_equal(why.field, "jitter");
	t.config.backoff = NULL;
	t.config.size = 4;
	expect_status(pmz_pipe_new(&t.pipe, &t.config, NULL), PMZ_E_CONFIG);
}

/* Limits of time. */

static void an_attempt_is_due_at_the_earlier_of_its_limits(void **state)
{
	static const struct {
		pmz_ns try_ns, total_ns, deadline, in;
	} rows[] = {
		{ 0, 0, 0, PMZ_NEVER },
		{ PMZ_S(2), 0, 0, PMZ_S(2) },
		{ 0, PMZ_S(3), 0, PMZ_S(3) },
		{ PMZ_S(2), PMZ_S(3), 0, PMZ_S(2) },
		{ PMZ_S(3), PMZ_S(2), 0, PMZ_S(2) },
		{ PMZ_S(3), PMZ_S(2), BOOT + PMZ_S(1), PMZ_S(1) },
		{ PMZ_S(3), PMZ_S(2), BOOT + PMZ_S(9), PMZ_S(2) },
		{ 0, 0, BOOT + 1, 1 },
	};
	size_t i;

	(void)state;
	for (i = 0; i < KIT_COUNT(rows); i++) {
		struct row row = { 0, BEGIN, PMZ_TRY, rows[i].in };

		prepare(NULL);
		t.config.try_ns = rows[i].try_ns;
		t.config.total_ns = rows[i].total_ns;
		t.ask.deadline = rows[i].deadline;
		make();
		play_row(&row, i);
		clean_up(NULL);
	}
	t.pipe = NULL;
}

static void a_call_that_comes_too_late_is_not_tried(void **state)
{
	(void)state;
	use_bulkhead(1);
	make();
	t.ask.deadline = BOOT - 1;
	expect_step(begin(), PMZ_DONE);
	expect_end(PMZ_TIMED_OUT);
	assert_int_equal(pmz_call_tries(&t.call), 0);
	assert_int_equal(stats_of(t.bulkhead).admitted, 0);
	t.ask.deadline = BOOT + 1;
	expect_step(begin(), PMZ_TRY);
	pmz_call_cancel(&t.call, t.now);
}

static void a_success_after_the_deadline_is_a_success(void **state)
{
	static const struct row rows[] = {
		{ 0, BEGIN, PMZ_TRY, PMZ_S(1) },
		{ PMZ_S(1) + 1, PMZ_SUCCESS, PMZ_DONE, PMZ_NEVER },
	};

	(void)state;
	t.config.total_ns = PMZ_S(1);
	make();
	play(rows, KIT_COUNT(rows));
	expect_end(PMZ_OK);
}

static void a_failure_after_the_deadline_is_out_of_time(void **state)
{
	static const struct {
		pmz_ns pass;
		int status;
	} rows[] = {
		{ PMZ_S(1) - 1, PMZ_GAVE_UP },
		{ PMZ_S(1), PMZ_TIMED_OUT },
		{ PMZ_S(1) + 1, PMZ_TIMED_OUT },
	};
	size_t i;

	(void)state;
	t.config.total_ns = PMZ_S(1);
	make();
	for (i = 0; i < KIT_COUNT(rows); i++) {
		expect_step(begin(), PMZ_TRY);
		t.now += rows[i].pass;
		expect_step(settle(PMZ_FAILURE), PMZ_DONE);
		kit_expect_row(i, pmz_call_status(&t.call), rows[i].status,
		               pmz_status_name);
	}
}

/* Tries. */

static void a_failed_attempt_is_tried_again_after_a_wait(void **state)
{
	static const struct row rows[] = {
		{ 0, BEGIN, PMZ_TRY, PMZ_NEVER },
		{ 0, PMZ_FAILURE, PMZ_WAIT, PMZ_MS(100) },
		{ PMZ_MS(100) - 1, RESUME, PMZ_WAIT, 1 },
		{ 1, RESUME, PMZ_TRY, PMZ_NEVER },
		{ 5, PMZ_AGAIN, PMZ_WAIT, PMZ_MS(200) },
		{ PMZ_MS(200) + 1, RESUME, PMZ_TRY, PMZ_NEVER },
		{ 0, PMZ_FAILURE, PMZ_DONE, PMZ_NEVER },
	};

	(void)state;
	use_tries(3, PMZ_MS(100));
	make();
	play(rows, KIT_COUNT(rows));
	expect_end(PMZ_GAVE_UP);
	assert_int_equal(pmz_call_tries(&t.call), 3);
}

static void what_cannot_be_repeated_is_not(void **state)
{
	static const pmz_outcome rows[] = { PMZ_IGNORE, PMZ_FATAL };
	size_t i;

	(void)state;
	use_tries(3, PMZ_MS(100));
	make();
	for (i = 0; i < KIT_COUNT(rows); i++) {
		expect_step(begin(), PMZ_TRY);
		expect_step(settle(rows[i]), PMZ_DONE);
		expect_end(PMZ_ENDED);
	}
}

static void a_later_success_ends_the_call_well(void **state)
{
	static const struct row rows[] = {
		{ 0, BEGIN, PMZ_TRY, PMZ_NEVER },
		{ 0, PMZ_FAILURE, PMZ_WAIT, PMZ_MS(100) },
		{ PMZ_MS(100), RESUME, PMZ_TRY, PMZ_NEVER },
		{ 0, PMZ_SUCCESS, PMZ_DONE, PMZ_NEVER },
	};

	(void)state;
	use_tries(3, PMZ_MS(100));
	make();
	play(rows, KIT_COUNT(rows));
	expect_end(PMZ_OK);
	assert_int_equal(pmz_call_tries(&t.call), 2);
}

static void each_attempt_has_its_own_time_within_the_total(void **state)
{
	static const struct row rows[] = {
		{ 0, BEGIN, PMZ_TRY, PMZ_S(2) },
		{ PMZ_S(2), PMZ_FAILURE, PMZ_WAIT, PMZ_MS(500) },
		{ PMZ_MS(500), RESUME, PMZ_TRY, PMZ_MS(1500) },
	};

	(void)state;
	use_tries(3, PMZ_MS(500));
	t.config.try_ns = PMZ_S(2);
	t.config.total_ns = PMZ_S(4);
	make();
	play(rows, KIT_COUNT(rows));
}

static void a_try_that_cannot_end_in_time_is_not_waited_for(void **state)
{
	static const struct {
		pmz_ns total, attempt_min;
		pmz_step step;
	} rows[] = {
		{ PMZ_MS(100) - 1, 0, PMZ_DONE },
		{ PMZ_MS(100) + 1, 0, PMZ_WAIT },
		{ PMZ_MS(150) - 1, PMZ_MS(50), PMZ_DONE },
		{ PMZ_MS(150), PMZ_MS(50), PMZ_WAIT },
		{ PMZ_MS(150) + 1, PMZ_MS(50), PMZ_WAIT },
	};
	size_t i;

	(void)state;
	for (i = 0; i < KIT_COUNT(rows); i++) {
		prepare(NULL);
		use_tries(3, PMZ_MS(100));
		t.backoff.attempt_min_ns = rows[i].attempt_min;
		t.config.total_ns = rows[i].total;
		make();
		expect_step(begin(), PMZ_TRY);
		kit_expect_row(i, (int)settle(PMZ_FAILURE), (int)rows[i].step,
		               kit_step);
		if (rows[i].step == PMZ_DONE)
			expect_end(PMZ_TIMED_OUT);
		clean_up(NULL);
	}
	t.pipe = NULL;
}

static void who_resumes_too_late_is_out_of_time(void **state)
{
	static const struct row rows[] = {
		{ 0, BEGIN, PMZ_TRY, PMZ_S(1) },
		{ 0, PMZ_FAILURE, PMZ_WAIT, PMZ_MS(100) },
		{ PMZ_S(1) + 1, RESUME, PMZ_DONE, PMZ_NEVER },
	};

	(void)state;
	use_tries(3, PMZ_MS(100));
	t.config.total_ns = PMZ_S(1);
	make();
	play(rows, KIT_COUNT(rows));
	expect_end(PMZ_TIMED_OUT);
	assert_int_equal(pmz_call_tries(&t.call), 1);
}

static void one_seed_gives_the_same_waits_again(void **state)
{
	pmz_ns first, again, other = 0;
	uint64_t seed;

	(void)state;
	use_tries(3, PMZ_S(1));
	t.backoff.jitter = PMZ_JITTER_FULL;
	make();
	expect_step(begin(), PMZ_TRY);
	expect_step(settle(PMZ_FAILURE), PMZ_WAIT);
	first = due();
	expect_step(begin(), PMZ_TRY);
	expect_step(settle(PMZ_FAILURE), PMZ_WAIT);
	again = due();
	assert_int_equal(first, again);
	for (seed = 2; seed < 10; seed++) {
		t.ask.seed = seed;
		expect_step(begin(), PMZ_TRY);
		expect_step(settle(PMZ_FAILURE), PMZ_WAIT);
		other += due() != first;
	}
	assert_int_equal(other, 8);
}

static void without_a_seed_two_calls_do_not_wait_in_step(void **state)
{
	pmz_ns first;

	(void)state;
	use_tries(3, PMZ_S(1));
	t.backoff.jitter = PMZ_JITTER_FULL;
	t.ask.seed = 0;
	make();
	expect_step(begin(), PMZ_TRY);
	expect_step(settle(PMZ_FAILURE), PMZ_WAIT);
	first = due();
	expect_step(begin(), PMZ_TRY);
	expect_step(settle(PMZ_FAILURE), PMZ_WAIT);
	assert_int_not_equal(first, due());
}

/* What a server said. */

static pmz_step hint(pmz_outcome how, pmz_ns span)
{
	return pmz_call_settle_hint(&t.call, how, t.now, span);
}

static void a_hint_replaces_the_wait_and_is_drawn_later_only(void **state)
{
	pmz_ns shortest = PMZ_NEVER, longest = 0;

	(void)state;
	use_tries(3, PMZ_MS(100));
	make();
	for (t.ask.seed = 1; t.ask.seed <= 200; t.ask.seed++) {
		pmz_ns wait;

		expect_step(begin(), PMZ_TRY);
		expect_step(hint(PMZ_AGAIN, PMZ_S(2)), PMZ_WAIT);
		wait = due() - t.now;
		shortest = wait < shortest ? wait : shortest;
		longest = wait > longest ? wait : longest;
	}
	expect_between(shortest, PMZ_S(2), PMZ_MS(2050));
	expect_between(longest, PMZ_MS(2950), PMZ_S(3));
}

static void a_hint_is_cut_to_its_maximum(void **state)
{
	(void)state;
	use_tries(3, PMZ_MS(100));
	t.backoff.hint_max_ns = PMZ_S(1);
	make();
	expect_step(begin(), PMZ_TRY);
	expect_step(hint(PMZ_FAILURE, PMZ_S(86400)), PMZ_WAIT);
	expect_between(due(), t.now + PMZ_S(1), t.now + PMZ_MS(1500));
}

static void a_hint_past_the_deadline_ends_the_call_at_once(void **state)
{
	(void)state;
	use_tries(3, PMZ_MS(100));
	t.config.total_ns = PMZ_S(1);
	make();
	expect_step(begin(), PMZ_TRY);
	expect_step(hint(PMZ_FAILURE, PMZ_S(2)), PMZ_DONE);
	expect_end(PMZ_TIMED_OUT);
}

static void told_to_stay_away_a_call_gives_up(void **state)
{
	(void)state;
	use_tries(3, PMZ_MS(100));
	make();
	expect_step(begin(), PMZ_TRY);
	expect_step(hint(PMZ_FAILURE, PMZ_NEVER), PMZ_DONE);
	expect_end(PMZ_GAVE_UP);
}

static void a_hint_lengthens_the_rest_of_the_breaker(void **state)
{
	static const struct {
		pmz_ns hint, rest;
	} rows[] = {
		{ 0, PMZ_S(5) },
		{ PMZ_S(30), PMZ_S(30) },
		{ PMZ_NEVER, PMZ_S(5) }, /* is for the call alone */
	};
	size_t i;

	(void)state;
	for (i = 0; i < KIT_COUNT(rows); i++) {
		pmz_permit p;
		pmz_ns ready;

		prepare(NULL);
		use_breaker();
		make();
		expect_step(begin(), PMZ_TRY);
		expect_step(hint(PMZ_FAILURE, rows[i].hint), PMZ_DONE);
		expect_status(pmz_breaker_acquire(t.breaker, t.now, &p, &ready),
		              PMZ_REFUSED_OPEN);
		assert_int_equal(ready, t.now + rows[i].rest);
		clean_up(NULL);
	}
	memset(&t, 0, sizeof(t));
}

/* Refusals. */

static void trip(void)
{
	expect_step(begin(), PMZ_TRY);
	(void)settle(PMZ_FAILURE);
	expect_state(breaker_stats().state, PMZ_OPEN);
}

static void an_open_breaker_ends_the_call_and_says_when_to_return(void **state)
{
	static const struct row rows[] = {
		{ 0, BEGIN, PMZ_DONE, PMZ_S(5) },
		{ PMZ_S(5) - 1, BEGIN, PMZ_DONE, 1 },
		{ 1, BEGIN, PMZ_TRY, PMZ_NEVER },
	};

	(void)state;
	use_breaker();
	use_bulkhead(4);
	make();
	trip();
	play(rows, 2);
	expect_end(PMZ_REFUSED_OPEN);
	assert_int_equal(pmz_call_tries(&t.call), 0);
	assert_int_equal(stats_of(t.bulkhead).admitted, 1);
	play(rows + 2, 1);
}

static void a_full_bulkhead_ends_the_call_and_cannot_say_when(void **state)
{
	static const struct row row = { 0, BEGIN, PMZ_DONE, PMZ_NEVER };
	pmz_permit slot;

	(void)state;
	use_bulkhead(1);
	make();
	expect_status(pmz_bulkhead_acquire(t.bulkhead, t.now, &slot), PMZ_OK);
	play(&row, 1);
	expect_end(PMZ_REFUSED_FULL);
}

static void over_the_rate_ends_the_call_and_says_when_to_return(void **state)
{
	static const struct row rows[] = {
		{ 0, BEGIN, PMZ_TRY, PMZ_NEVER },
		{ 0, PMZ_SUCCESS, PMZ_DONE, PMZ_NEVER },
		{ 0, BEGIN, PMZ_DONE, PMZ_MS(100) },
		{ PMZ_MS(100) - 1, BEGIN, PMZ_DONE, 1 },
		{ 1, BEGIN, PMZ_TRY, PMZ_NEVER },
	};

	(void)state;
	use_rate(PMZ_MS(100), 1);
	make();
	play(rows, 3);
	expect_end(PMZ_REFUSED_RATE);
	play(rows + 3, 2);
}

static void a_call_takes_as_many_tokens_as_it_asks_for(void **state)
{
	(void)state;
	use_rate(PMZ_S(1), 10);
	make();
	expect_step(begin(), PMZ_TRY);
	assert_int_equal(tokens_left(), 9);
	t.ask.tokens = 7;
	expect_step(begin(), PMZ_TRY);
	assert_int_equal(tokens_left(), 2);
	expect_step(begin(), PMZ_DONE);
	assert_int_equal(due(), t.now + PMZ_S(5));
	t.ask.tokens = 11;
	expect_step(begin(), PMZ_DONE);
	expect_end(PMZ_REFUSED_RATE);
	assert_int_equal(due(), PMZ_NEVER);
}

static void each_attempt_takes_a_token(void **state)
{
	(void)state;
	use_rate(PMZ_S(1), 10);
	use_tries(3, PMZ_MS(1));
	make();
	expect_status(run(PMZ_FAILURE), PMZ_GAVE_UP);
	assert_int_equal(tokens_left(), 7);
}

/* A later refusal undoes the earlier steps. */

static void an_open_breaker_costs_neither_slot_nor_token(void **state)
{
	(void)state;
	use_breaker();
	use_bulkhead(4);
	use_rate(PMZ_S(3600), 10);
	make();
	trip();
	expect_step(begin(), PMZ_DONE);
	assert_int_equal(stats_of(t.bulkhead).admitted, 1);
	assert_int_equal(in_use(), 0);
	assert_int_equal(tokens_left(), 9);
}

/* A breaker that waits for its probe. */
static void rest_is_over(void)
{
	trip();
	t.now += PMZ_S(5);
}

static void expect_no_trace(const pmz_breaker_stats *before)
{
	pmz_breaker_stats after = breaker_stats();

	assert_int_equal(after.probes_out, 0);
	assert_int_equal(after.ignored, before->ignored);
	assert_int_equal(after.calls, before->calls);
	assert_int_equal(after.stale, before->stale);
	assert_int_equal(after.misused, 0);
}

static void a_full_bulkhead_gives_the_probe_back_without_a_trace(void **state)
{
	pmz_breaker_stats before;
	pmz_permit slot;

	(void)state;
	use_breaker();
	use_bulkhead(1);
	use_rate(PMZ_S(3600), 10);
	make();
	rest_is_over();
	before = breaker_stats();
	expect_status(pmz_bulkhead_acquire(t.bulkhead, t.now, &slot), PMZ_OK);
	expect_step(begin(), PMZ_DONE);
	expect_end(PMZ_REFUSED_FULL);
	expect_no_trace(&before);
	assert_int_equal(tokens_left(), 9);
	pmz_bulkhead_settle(t.bulkhead, &slot, PMZ_SUCCESS, t.now);
	expect_step(begin(), PMZ_TRY);
}

static void
over_the_rate_gives_slot_and_probe_back_without_a_trace(void **state)
{
	pmz_breaker_stats before;

	(void)state;
	use_breaker();
	use_bulkhead(1);
	use_rate(PMZ_S(3600), 1);
	make();
	rest_is_over();
	before = breaker_stats();
	expect_step(begin(), PMZ_DONE);
	expect_end(PMZ_REFUSED_RATE);
	expect_no_trace(&before);
	assert_int_equal(in_use(), 0);
	assert_int_equal(stats_of(t.bulkhead).over_releases, 0);
}

static void a_refusal_leaves_no_trace_in_a_closed_breaker(void **state)
{
	pmz_breaker_stats before;

	(void)state;
	use_breaker();
	use_rate(PMZ_S(3600), 1);
	make();
	expect_status(run(PMZ_SUCCESS), PMZ_OK);
	before = breaker_stats();
	expect_step(begin(), PMZ_DONE);
	expect_no_trace(&before);
}

/* To wait for guards. */

static void a_call_may_wait_for_the_rate(void **state)
{
	static const struct row rows[] = {
		{ 0, BEGIN, PMZ_TRY, PMZ_NEVER },
		{ 0, BEGIN, PMZ_WAIT, PMZ_MS(100) },
		{ PMZ_MS(100) - 1, RESUME, PMZ_WAIT, 1 },
		{ 1, RESUME, PMZ_TRY, PMZ_NEVER },
		{ 0, PMZ_SUCCESS, PMZ_DONE, PMZ_NEVER },
	};

	(void)state;
	use_rate(PMZ_MS(100), 1);
	t.config.wait_max_ns = PMZ_MS(100);
	make();
	play(rows, KIT_COUNT(rows));
	expect_end(PMZ_OK);
}

static void a_refusal_longer_than_the_wait_ends_the_call_at_once(void **state)
{
	static const struct row rows[] = {
		{ 0, BEGIN, PMZ_TRY, PMZ_NEVER },
		{ 0, BEGIN, PMZ_DONE, PMZ_MS(100) },
	};

	(void)state;
	use_rate(PMZ_MS(100), 1);
	t.config.wait_max_ns = PMZ_MS(100) - 1;
	make();
	play(rows, KIT_COUNT(rows));
	expect_end(PMZ_REFUSED_RATE);
}

static void a_refusal_past_the_deadline_ends_the_call_at_once(void **state)
{
	(void)state;
	use_rate(PMZ_MS(100), 1);
	t.config.wait_max_ns = PMZ_S(1);
	make();
	expect_step(begin(), PMZ_TRY);
	t.ask.deadline = t.now + PMZ_MS(100) - 1;
	expect_step(begin(), PMZ_DONE);
	expect_end(PMZ_REFUSED_RATE);
	assert_int_equal(due(), t.now + PMZ_MS(100));
	t.ask.deadline = t.now + PMZ_MS(100) + 1;
	expect_step(begin(), PMZ_WAIT);
}

static void a_call_may_wait_for_the_breaker(void **state)
{
	static const struct row rows[] = {
		{ 0, BEGIN, PMZ_WAIT, PMZ_S(5) },
		{ PMZ_S(5) - 1, RESUME, PMZ_WAIT, 1 },
		{ 1, RESUME, PMZ_TRY, PMZ_NEVER },
	};

	(void)state;
	use_breaker();
	t.config.wait_max_ns = PMZ_S(5);
	make();
	trip();
	play(rows, KIT_COUNT(rows));
}

static void a_call_waits_for_guards_so_long_in_all(void **state)
{
	static const struct row rows[] = {
		{ 0, BEGIN, PMZ_TRY, PMZ_NEVER },
		{ 0, BEGIN, PMZ_WAIT, PMZ_MS(100) },
		{ PMZ_MS(100), RESUME, PMZ_TRY, PMZ_NEVER },
		{ 0, PMZ_FAILURE, PMZ_WAIT, PMZ_MS(10) },
		{ PMZ_MS(10), RESUME, PMZ_WAIT, PMZ_MS(90) },
		{ PMZ_MS(90), RESUME, PMZ_TRY, PMZ_NEVER },
		{ 0, PMZ_FAILURE, PMZ_WAIT, PMZ_MS(20) },
		{ PMZ_MS(20), RESUME, PMZ_DONE, PMZ_MS(80) },
	};

	(void)state;
	use_rate(PMZ_MS(100), 1);
	use_tries(9, PMZ_MS(10));
	t.config.wait_max_ns = PMZ_MS(100) + PMZ_MS(90) + PMZ_MS(80) - 1;
	make();
	play(rows, KIT_COUNT(rows));
	expect_end(PMZ_REFUSED_RATE);
	assert_int_equal(pmz_call_tries(&t.call), 2);
}

static void who_waits_longer_than_told_has_used_that_up(void **state)
{
	static const struct row rows[] = {
		{ 0, BEGIN, PMZ_TRY, PMZ_NEVER },
		{ 0, BEGIN, PMZ_WAIT, PMZ_MS(100) },
	};

	(void)state;
	use_rate(PMZ_MS(100), 1);
	t.config.wait_max_ns = PMZ_MS(150);
	make();
	play(rows, KIT_COUNT(rows));
	t.now += PMZ_MS(180);
	expect_status(pmz_bucket_take(&t.bucket, &t.rate, 1, t.now, NULL),
	              PMZ_OK);
	expect_step(resume(), PMZ_DONE);
	expect_end(PMZ_REFUSED_RATE);
}

static void a_full_bulkhead_is_asked_again_until_the_wait_ends(void **state)
{
	pmz_permit slot;
	pmz_ns last;
	int asked = 0;

	(void)state;
	use_bulkhead(1);
	t.config.wait_max_ns = PMZ_S(2);
	make();
	expect_status(pmz_bulkhead_acquire(t.bulkhead, t.now, &slot), PMZ_OK);
	expect_step(begin(), PMZ_WAIT);
	do {
		last = t.now;
		expect_between(due(), t.now + 1, t.now + PMZ_MS(100));
		t.now = due();
		assert_true(++asked <= 400);
	} while (resume() == PMZ_WAIT);
	expect_end(PMZ_REFUSED_FULL);
	assert_int_equal(t.now, BOOT + PMZ_S(2));
	assert_true(last < t.now);
	assert_true(asked >= 20);
	assert_int_equal(due(), PMZ_NEVER);
}

static void a_slot_that_falls_free_is_taken_when_asked_again(void **state)
{
	pmz_permit slot;

	(void)state;
	use_bulkhead(1);
	t.config.wait_max_ns = PMZ_S(2);
	make();
	expect_status(pmz_bulkhead_acquire(t.bulkhead, t.now, &slot), PMZ_OK);
	expect_step(begin(), PMZ_WAIT);
	pmz_bulkhead_settle(t.bulkhead, &slot, PMZ_SUCCESS, t.now);
	t.now = due();
	expect_step(resume(), PMZ_TRY);
	assert_int_equal(in_use(), 1);
	expect_step(settle(PMZ_SUCCESS), PMZ_DONE);
	assert_int_equal(in_use(), 0);
}

static void two_waiters_do_not_ask_in_step(void **state)
{
	pmz_permit slot;
	pmz_ns first;

	(void)state;
	use_bulkhead(1);
	t.config.wait_max_ns = PMZ_S(2);
	t.ask.seed = 0;
	make();
	expect_status(pmz_bulkhead_acquire(t.bulkhead, t.now, &slot), PMZ_OK);
	expect_step(begin(), PMZ_WAIT);
	first = due();
	expect_step(begin(), PMZ_WAIT);
	assert_int_not_equal(first, due());
}

static void a_call_that_waits_holds_nothing(void **state)
{
	(void)state;
	use_breaker();
	use_bulkhead(1);
	use_tries(3, PMZ_MS(100));
	make();
	rest_is_over();
	expect_step(begin(), PMZ_TRY);
	assert_int_equal(in_use(), 1);
	assert_int_equal(breaker_stats().probes_out, 1);
	expect_step(settle(PMZ_AGAIN), PMZ_WAIT);
	assert_int_equal(in_use(), 0);
	assert_int_equal(breaker_stats().probes_out, 0);
}

static void a_retry_into_an_open_breaker_is_refused(void **state)
{
	static const struct row rows[] = {
		{ 0, BEGIN, PMZ_TRY, PMZ_NEVER },
		{ 0, PMZ_FAILURE, PMZ_WAIT, PMZ_MS(100) },
		{ PMZ_MS(100), RESUME, PMZ_DONE, PMZ_MS(4900) },
	};

	(void)state;
	use_breaker();
	use_tries(3, PMZ_MS(100));
	make();
	play(rows, KIT_COUNT(rows));
	expect_end(PMZ_REFUSED_OPEN);
	assert_int_equal(pmz_call_tries(&t.call), 1);
}

/* The budget. */

static void the_first_try_of_a_call_deposits(void **state)
{
	(void)state;
	use_budget();
	use_tries(3, PMZ_MS(1));
	make();
	assert_int_equal(withdrawals_left(), 1);
	expect_step(begin(), PMZ_TRY);
	assert_int_equal(withdrawals_left(), 2);
	expect_step(settle(PMZ_SUCCESS), PMZ_DONE);
	assert_int_equal(withdrawals_left(), 2);
}

static void a_refused_call_saves_up_no_retry(void **state)
{
	(void)state;
	use_budget();
	use_rate(PMZ_S(3600), 1);
	use_tries(3, PMZ_MS(1));
	make();
	expect_status(run(PMZ_SUCCESS), PMZ_OK);
	assert_int_equal(withdrawals_left(), 2);
	expect_status(run(PMZ_SUCCESS), PMZ_REFUSED_RATE);
	assert_int_equal(withdrawals_left(), 2);
}

static void a_retry_withdraws_before_it_waits(void **state)
{
	(void)state;
	use_budget();
	use_tries(3, PMZ_MS(1));
	make();
	expect_step(begin(), PMZ_TRY);
	assert_int_equal(withdrawals_left(), 2);
	expect_step(settle(PMZ_FAILURE), PMZ_WAIT);
	assert_int_equal(withdrawals_left(), 1);
	t.now = due();
	expect_step(resume(), PMZ_TRY);
	assert_int_equal(withdrawals_left(), 1);
	expect_step(settle(PMZ_SUCCESS), PMZ_DONE);
	assert_int_equal(withdrawals_left(), 1);
}

static void without_a_budget_left_the_call_ends(void **state)
{
	(void)state;
	use_budget();
	use_tries(9, PMZ_MS(1));
	make();
	expect_status(run(PMZ_FAILURE), PMZ_REFUSED_BUDGET);
	assert_int_equal(pmz_call_tries(&t.call), 3);
	assert_int_equal(due(), PMZ_NEVER);
	assert_int_equal(withdrawals_left(), 0);
}

static void a_call_out_of_tries_withdraws_nothing(void **state)
{
	(void)state;
	use_budget();
	make();
	expect_status(run(PMZ_FAILURE), PMZ_GAVE_UP);
	assert_int_equal(withdrawals_left(), 2);
}

static void a_call_out_of_time_withdraws_nothing(void **state)
{
	(void)state;
	use_budget();
	use_tries(3, PMZ_MS(100));
	t.config.total_ns = PMZ_MS(50);
	make();
	expect_status(run(PMZ_FAILURE), PMZ_TIMED_OUT);
	assert_int_equal(withdrawals_left(), 2);
}

static void a_retry_that_never_starts_is_refunded(void **state)
{
	(void)state;
	use_budget();
	use_breaker();
	use_tries(3, PMZ_MS(1));
	make();
	expect_step(begin(), PMZ_TRY);
	expect_step(settle(PMZ_FAILURE), PMZ_WAIT);
	assert_int_equal(withdrawals_left(), 1);
	t.now = due();
	expect_step(resume(), PMZ_DONE);
	expect_end(PMZ_REFUSED_OPEN);
	assert_int_equal(withdrawals_left(), 2);
}

static void a_cancelled_wait_is_refunded(void **state)
{
	(void)state;
	use_budget();
	use_tries(3, PMZ_MS(1));
	make();
	expect_step(begin(), PMZ_TRY);
	expect_step(settle(PMZ_FAILURE), PMZ_WAIT);
	pmz_call_cancel(&t.call, t.now);
	assert_int_equal(withdrawals_left(), 2);
	pmz_call_cancel(&t.call, t.now);
	assert_int_equal(withdrawals_left(), 2);
}

static void
a_wait_for_guards_before_the_first_try_withdraws_nothing(void **state)
{
	(void)state;
	use_budget();
	use_rate(PMZ_MS(10), 1);
	t.config.wait_max_ns = PMZ_MS(100);
	make();
	expect_status(run(PMZ_SUCCESS), PMZ_OK);
	expect_step(begin(), PMZ_WAIT);
	assert_int_equal(withdrawals_left(), 2);
	pmz_call_cancel(&t.call, t.now);
	assert_int_equal(withdrawals_left(), 2);
}

/* To cancel, and what does not fit the step. */

static void a_cancelled_attempt_is_ignored_and_given_back(void **state)
{
	(void)state;
	use_breaker();
	use_bulkhead(1);
	make();
	rest_is_over();
	expect_step(begin(), PMZ_TRY);
	pmz_call_cancel(&t.call, t.now);
	expect_end(PMZ_CANCELLED);
	assert_int_equal(due(), PMZ_NEVER);
	assert_int_equal(in_use(), 0);
	assert_int_equal(breaker_stats().probes_out, 0);
	assert_int_equal(breaker_stats().ignored, 1);
	expect_state(breaker_stats().state, PMZ_HALF_OPEN);
}

static void to_cancel_what_is_done_changes_nothing(void **state)
{
	(void)state;
	make();
	expect_status(run(PMZ_SUCCESS), PMZ_OK);
	pmz_call_cancel(&t.call, t.now);
	expect_end(PMZ_OK);
}

static void the_wrong_step_changes_nothing(void **state)
{
	static const struct row rows[] = {
		{ 0, BEGIN, PMZ_TRY, PMZ_NEVER },
		{ 0, RESUME, PMZ_TRY, PMZ_NEVER },
		{ 0, PMZ_FAILURE, PMZ_WAIT, PMZ_MS(100) },
		{ 0, PMZ_SUCCESS, PMZ_WAIT, PMZ_MS(100) },
		{ PMZ_MS(100), PMZ_FAILURE, PMZ_WAIT, 0 },
		{ 0, RESUME, PMZ_TRY, PMZ_NEVER },
		{ 0, PMZ_SUCCESS, PMZ_DONE, PMZ_NEVER },
		{ 0, PMZ_FAILURE, PMZ_DONE, PMZ_NEVER },
		{ 0, RESUME, PMZ_DONE, PMZ_NEVER },
	};

	(void)state;
	use_bulkhead(1);
	use_tries(3, PMZ_MS(100));
	make();
	play(rows, KIT_COUNT(rows));
	expect_end(PMZ_OK);
	assert_int_equal(pmz_call_tries(&t.call), 2);
	assert_int_equal(in_use(), 0);
	assert_int_equal(stats_of(t.bulkhead).over_releases, 0);
}

static void what_is_no_outcome_ends_the_call_and_decides_nothing(void **state)
{
	(void)state;
	use_breaker();
	use_bulkhead(1);
	use_tries(3, PMZ_MS(100));
	make();
	expect_step(begin(), PMZ_TRY);
	expect_step(settle((pmz_outcome)6), PMZ_DONE);
	expect_end(PMZ_E_STATE);
	assert_int_equal(in_use(), 0);
	assert_int_equal(breaker_stats().ignored, 1);
	expect_state(breaker_stats().state, PMZ_CLOSED);
}

static void an_ask_of_a_wrong_size_ends_the_call(void **state)
{
	(void)state;
	use_bulkhead(1);
	make();
	t.ask.size = 4;
	expect_step(begin(), PMZ_DONE);
	expect_end(PMZ_E_CONFIG);
	assert_int_equal(stats_of(t.bulkhead).admitted, 0);
}

static void a_call_has_no_status_before_it_is_done(void **state)
{
	(void)state;
	use_tries(2, PMZ_MS(100));
	make();
	expect_step(begin(), PMZ_TRY);
	expect_end(PMZ_E_STATE);
	expect_step(settle(PMZ_FAILURE), PMZ_WAIT);
	expect_end(PMZ_E_STATE);
}

/* A copy is another call, which shares no memory with the first. */
static void a_call_may_be_moved(void **state)
{
	pmz_call moved;

	(void)state;
	use_bulkhead(1);
	use_tries(2, PMZ_MS(100));
	make();
	expect_step(begin(), PMZ_TRY);
	moved = t.call;
	memset(&t.call, 0xa5, sizeof(t.call));
	expect_step(pmz_call_settle(&moved, PMZ_FAILURE, t.now), PMZ_WAIT);
	t.now = pmz_call_due(&moved);
	expect_step(pmz_call_resume(&moved, t.now), PMZ_TRY);
	expect_step(pmz_call_settle(&moved, PMZ_SUCCESS, t.now), PMZ_DONE);
	assert_int_equal(in_use(), 0);
}

/* A pipe from one line. */

static pmz_pipe_rules rules(void)
{
	pmz_pipe_rules r = { .size = sizeof(r) };

	expect_status(pmz_pipe_read(t.pipe, &r), PMZ_OK);
	return r;
}

static void the_line_of_the_manual_says_what_it_says(void **state)
{
	pmz_pipe_rules r;

	(void)state;
	make_from("breaker 50% over 10s min 20 open 5s..60s | bulkhead 64 | "
	          "rate 100/s burst 20 | tries 3 backoff 100ms..5s jitter full "
	          "| budget 20% floor 10/s | try 2s | total 10s | wait 0s");
	r = rules();
	assert_true(r.breaker && r.bulkhead && r.bucket && r.budget);
	assert_int_equal(stats_of(r.bulkhead).limit, 64);
	assert_int_equal(pmz_bucket_left(r.bucket, &r.rate, t.now), 20);
	assert_int_equal(r.backoff.tries_max, 3);
	assert_int_equal(r.backoff.base_ns, PMZ_MS(100));
	assert_int_equal(r.backoff.max_ns, PMZ_S(5));
	assert_int_equal(r.backoff.jitter, PMZ_JITTER_FULL);
	assert_int_equal(r.try_ns, PMZ_S(2));
	assert_int_equal(r.total_ns, PMZ_S(10));
	assert_int_equal(r.wait_max_ns, 0);
}

static void neither_order_nor_white_space_has_a_meaning(void **state)
{
	pmz_pipe_rules r;

	(void)state;
	make_from("  total 10s|try 2s |bulkhead\t5|"
	          "tries 4 jitter none backoff 1ms..2s");
	r = rules();
	assert_null(r.breaker);
	assert_null(r.bucket);
	assert_null(r.budget);
	assert_int_equal(stats_of(r.bulkhead).limit, 5);
	assert_int_equal(r.backoff.tries_max, 4);
	assert_int_equal(r.backoff.jitter, PMZ_JITTER_NONE);
	assert_int_equal(r.backoff.base_ns, PMZ_MS(1));
	assert_int_equal(r.try_ns, PMZ_S(2));
	assert_int_equal(r.total_ns, PMZ_S(10));
}

static void a_pipe_without_tries_reads_as_one_try(void **state)
{
	(void)state;
	make_from("total 10s");
	assert_int_equal(rules().backoff.tries_max, 1);
}

struct wrong {
	const char *line;
	uint32_t column;
};

static void expect_wrong(size_t row, int status, const pmz_why *why,
                         uint32_t column)
{
	kit_expect_row(row, status, PMZ_E_CONFIG, pmz_status_name);
	if (why->column != column || !why->text[0])
		fail_msg("row %zu: column %u, \"%s\"", row, why->column,
		         why->text);
}

static void a_wrong_line_is_named_by_its_column(void **state)
{
	static const struct wrong rows[] = {
		{ "", 1 },
		{ "breakr 50% over 10s", 1 },
		{ "| try 2s", 1 },
		{ "bulkhead x", 10 },
		{ "bulkhead", 9 },
		{ "bulkhead 64 | bulkhead 64", 15 },
		{ "bulkhead 64 limit 3", 13 },
		{ "try 2", 5 },
		{ "try 2s |", 9 },
		{ "try 2s || total 1s", 9 },
		{ "rate 100 burst 20", 6 },
		{ "tries 3 backoff 5s..1s", 17 },
		{ "tries 3 jitter loud", 16 },
		{ "budget 101%", 8 },
		{ "breaker 101% over 10s", 9 },
		{ "breaker 50% over 10s probes 17", 29 },
		{ "breaker 50% over 10s min 20 min 30", 29 },
	};
	size_t i;

	(void)state;
	for (i = 0; i < KIT_COUNT(rows); i++) {
		pmz_why why;
		int status = pmz_pipe_from(&t.pipe, rows[i].line, NULL, &why);

		expect_wrong(i, status, &why, rows[i].column);
		expect_status(pmz_pipe_from(&t.pipe, rows[i].line, NULL, NULL),
		              PMZ_E_CONFIG);
	}
	t.pipe = NULL;
}

static void a_shared_guard_is_on_and_has_no_stage(void **state)
{
	pmz_why why;
	int status;

	(void)state;
	use_bulkhead(1);
	status =
		pmz_pipe_from(&t.pipe, "try 1s | bulkhead 64", &t.config, &why);
	expect_wrong(0, status, &why, 10);
	make_from("");
	assert_ptr_equal(rules().bulkhead, t.bulkhead);
	expect_step(begin(), PMZ_TRY);
	assert_int_equal(in_use(), 1);
}

static void shared_times_hold_where_the_line_says_nothing(void **state)
{
	(void)state;
	t.config.try_ns = PMZ_S(1);
	t.config.total_ns = PMZ_S(2);
	use_tries(7, PMZ_MS(1));
	make_from("total 5s");
	assert_int_equal(rules().try_ns, PMZ_S(1));
	assert_int_equal(rules().total_ns, PMZ_S(5));
	assert_int_equal(rules().backoff.tries_max, 7);
}

static void what_is_shared_outlives_the_pipe(void **state)
{
	(void)state;
	use_bulkhead(1);
	make_from("try 1s");
	pmz_pipe_free(t.pipe);
	t.pipe = NULL;
	assert_int_equal(in_use(), 0);
}

/* New rules. */

static void reload(const char *line)
{
	pmz_why why;
	int status = pmz_pipe_reload(t.pipe, line, t.now, &why);

	if (status != PMZ_OK)
		print_error("%u: %s\n", why.column, why.text);
	expect_status(status, PMZ_OK);
}

static pmz_breaker_stats own_breaker_stats(void)
{
	pmz_breaker_stats s = { .size = sizeof(s) };

	expect_status(pmz_breaker_read(rules().breaker, t.now, &s), PMZ_OK);
	return s;
}

static void a_reload_keeps_what_the_guards_have_learnt(void **state)
{
	pmz_breaker *breaker;

	(void)state;
	make_from("breaker 50% over 10s min 20");
	breaker = rules().breaker;
	expect_status(run(PMZ_FAILURE), PMZ_GAVE_UP);
	expect_status(run(PMZ_FAILURE), PMZ_GAVE_UP);
	reload("breaker 50% over 10s min 3");
	assert_ptr_equal(rules().breaker, breaker);
	assert_int_equal(own_breaker_stats().window_failures, 2);
	expect_status(run(PMZ_FAILURE), PMZ_GAVE_UP);
	expect_status(run(PMZ_FAILURE), PMZ_REFUSED_OPEN);
}

static void a_stage_left_out_is_switched_off_and_remembered(void **state)
{
	(void)state;
	make_from("breaker 1 consecutive open 5s");
	expect_status(run(PMZ_FAILURE), PMZ_GAVE_UP);
	expect_status(run(PMZ_SUCCESS), PMZ_REFUSED_OPEN);
	reload("try 1s");
	assert_null(rules().breaker);
	expect_status(run(PMZ_SUCCESS), PMZ_OK);
	reload("breaker 1 consecutive open 5s");
	expect_status(run(PMZ_SUCCESS), PMZ_REFUSED_OPEN);
}

static void a_new_limit_counts_those_who_are_inside(void **state)
{
	pmz_call other;

	(void)state;
	make_from("bulkhead 2");
	expect_step(begin(), PMZ_TRY);
	expect_step(pmz_call_begin(&other, t.pipe, NULL, t.now), PMZ_TRY);
	reload("bulkhead 1");
	assert_int_equal(stats_of(rules().bulkhead).in_use, 2);
	expect_step(settle(PMZ_SUCCESS), PMZ_DONE);
	expect_step(begin(), PMZ_DONE);
	expect_end(PMZ_REFUSED_FULL);
	expect_step(pmz_call_settle(&other, PMZ_SUCCESS, t.now), PMZ_DONE);
	expect_step(begin(), PMZ_TRY);
}

static void a_call_in_flight_leaves_what_was_switched_off_since(void **state)
{
	(void)state;
	make_from("bulkhead 2 | breaker 50% over 10s");
	expect_step(begin(), PMZ_TRY);
	reload("try 1s");
	expect_step(settle(PMZ_FAILURE), PMZ_DONE);
	reload("bulkhead 2 | breaker 50% over 10s");
	assert_int_equal(stats_of(rules().bulkhead).in_use, 0);
	assert_int_equal(own_breaker_stats().failures, 1);
}

static void a_call_in_flight_keeps_its_times_and_tries(void **state)
{
	static const struct row rows[] = {
		{ 0, BEGIN, PMZ_TRY, PMZ_S(2) },
		{ 0, PMZ_FAILURE, PMZ_WAIT, PMZ_MS(100) },
		{ PMZ_MS(100), RESUME, PMZ_TRY, PMZ_S(2) },
		{ 0, PMZ_FAILURE, PMZ_WAIT, PMZ_MS(200) },
		{ PMZ_MS(200), RESUME, PMZ_TRY, PMZ_S(2) },
		{ 0, PMZ_FAILURE, PMZ_DONE, PMZ_NEVER },
	};

	(void)state;
	make_from("tries 3 backoff 100ms..5s jitter none | try 2s");
	play(rows, 1);
	reload("tries 2 backoff 1s..5s | try 1s | total 1ms");
	play(rows + 1, KIT_COUNT(rows) - 1);
	expect_end(PMZ_GAVE_UP);
	expect_step(begin(), PMZ_TRY);
	assert_int_equal(due(), t.now + PMZ_MS(1));
}

static void a_new_rate_keeps_the_credit(void **state)
{
	pmz_pipe_rules r;

	(void)state;
	make_from("rate 10/s burst 10");
	t.ask.tokens = 6;
	expect_status(run(PMZ_SUCCESS), PMZ_OK);
	reload("rate 1/s burst 20");
	r = rules();
	assert_int_equal(pmz_bucket_left(r.bucket, &r.rate, t.now), 4);
	reload("rate 1/s burst 3");
	r = rules();
	assert_int_equal(pmz_bucket_left(r.bucket, &r.rate, t.now), 3);
}

static uint32_t column_of(const char *line, const char *what)
{
	return (uint32_t)(strstr(line, what) - line) + 1;
}

static void what_a_running_breaker_cannot_become_is_named(void **state)
{
	static const struct {
		const char *line, *at;
	} rows[] = {
		{ "try 9s | breaker 50% over 77 calls probes 2", "77" },
		{ "try 9s | breaker 50% over 10s probes 3", "3" },
		{ "try 9s | breaker 50% over 10s probes", "" },
		{ "try 9s | bulkhead 7 | breaker 150% over 10s probes 2",
		  "150" },
	};
	size_t i;

	(void)state;
	make_from("try 1s | bulkhead 5 | breaker 50% over 10s probes 2");
	for (i = 0; i < KIT_COUNT(rows); i++) {
		const char *line = rows[i].line;
		uint32_t column = rows[i].at[0] ? column_of(line, rows[i].at)
		                                : (uint32_t)strlen(line) + 1;
		pmz_why why;
		int status = pmz_pipe_reload(t.pipe, line, t.now, &why);

		expect_wrong(i, status, &why, column);
		assert_int_equal(rules().try_ns, PMZ_S(1));
		assert_int_equal(stats_of(rules().bulkhead).limit, 5);
	}
}

static void a_count_window_keeps_its_length_through_reloads(void **state)
{
	static const char other[] = "breaker 50% over 99 calls";
	pmz_why why;

	(void)state;
	make_from("breaker 50% over 77 calls");
	expect_wrong(0, pmz_pipe_reload(t.pipe, other, t.now, &why), &why,
	             column_of(other, "99"));
	reload("breaker 60% over 77 calls");
}

static void an_operators_override_outlives_a_reload(void **state)
{
	(void)state;
	make_from("breaker 50% over 10s");
	expect_status(pmz_breaker_force(rules().breaker, PMZ_ISOLATED, t.now),
	              PMZ_OK);
	reload("breaker 60% over 10s");
	expect_status(run(PMZ_SUCCESS), PMZ_REFUSED_OPEN);
	assert_int_equal(due(), PMZ_NEVER);
}

#define T(name) cmocka_unit_test_setup_teardown(name, prepare, clean_up)

static const struct CMUnitTest tests[] = {
	T(a_call_takes_as_much_memory_as_promised),
	T(a_bare_pipe_tries_once),
	T(a_call_asks_for_nothing_without_an_ask),
	T(freeing_nothing_is_fine),
	T(a_wrong_config_is_named_by_its_field),
	T(an_attempt_is_due_at_the_earlier_of_its_limits),
	T(a_call_that_comes_too_late_is_not_tried),
	T(a_success_after_the_deadline_is_a_success),
	T(a_failure_after_the_deadline_is_out_of_time),
	T(a_failed_attempt_is_tried_again_after_a_wait),
	T(what_cannot_be_repeated_is_not),
	T(a_later_success_ends_the_call_well),
	T(each_attempt_has_its_own_time_within_the_total),
	T(a_try_that_cannot_end_in_time_is_not_waited_for),
	T(who_resumes_too_late_is_out_of_time),
	T(one_seed_gives_the_same_waits_again),
	T(without_a_seed_two_calls_do_not_wait_in_step),
	T(a_hint_replaces_the_wait_and_is_drawn_later_only),
	T(a_hint_is_cut_to_its_maximum),
	T(a_hint_past_the_deadline_ends_the_call_at_once),
	T(told_to_stay_away_a_call_gives_up),
	T(a_hint_lengthens_the_rest_of_the_breaker),
	T(an_open_breaker_ends_the_call_and_says_when_to_return),
	T(a_full_bulkhead_ends_the_call_and_cannot_say_when),
	T(over_the_rate_ends_the_call_and_says_when_to_return),
	T(a_call_takes_as_many_tokens_as_it_asks_for),
	T(each_attempt_takes_a_token),
	T(an_open_breaker_costs_neither_slot_nor_token),
	T(a_full_bulkhead_gives_the_probe_back_without_a_trace),
	T(over_the_rate_gives_slot_and_probe_back_without_a_trace),
	T(a_refusal_leaves_no_trace_in_a_closed_breaker),
	T(a_call_may_wait_for_the_rate),
	T(a_refusal_longer_than_the_wait_ends_the_call_at_once),
	T(a_refusal_past_the_deadline_ends_the_call_at_once),
	T(a_call_may_wait_for_the_breaker),
	T(a_call_waits_for_guards_so_long_in_all),
	T(who_waits_longer_than_told_has_used_that_up),
	T(a_full_bulkhead_is_asked_again_until_the_wait_ends),
	T(a_slot_that_falls_free_is_taken_when_asked_again),
	T(two_waiters_do_not_ask_in_step),
	T(a_call_that_waits_holds_nothing),
	T(a_retry_into_an_open_breaker_is_refused),
	T(the_first_try_of_a_call_deposits),
	T(a_refused_call_saves_up_no_retry),
	T(a_retry_withdraws_before_it_waits),
	T(without_a_budget_left_the_call_ends),
	T(a_call_out_of_tries_withdraws_nothing),
	T(a_call_out_of_time_withdraws_nothing),
	T(a_retry_that_never_starts_is_refunded),
	T(a_cancelled_wait_is_refunded),
	T(a_wait_for_guards_before_the_first_try_withdraws_nothing),
	T(a_cancelled_attempt_is_ignored_and_given_back),
	T(to_cancel_what_is_done_changes_nothing),
	T(the_wrong_step_changes_nothing),
	T(what_is_no_outcome_ends_the_call_and_decides_nothing),
	T(an_ask_of_a_wrong_size_ends_the_call),
	T(a_call_has_no_status_before_it_is_done),
	T(a_call_may_be_moved),
	T(the_line_of_the_manual_says_what_it_says),
	T(neither_order_nor_white_space_has_a_meaning),
	T(a_pipe_without_tries_reads_as_one_try),
	T(a_wrong_line_is_named_by_its_column),
	T(a_shared_guard_is_on_and_has_no_stage),
	T(shared_times_hold_where_the_line_says_nothing),
	T(what_is_shared_outlives_the_pipe),
	T(a_reload_keeps_what_the_guards_have_learnt),
	T(a_stage_left_out_is_switched_off_and_remembered),
	T(a_new_limit_counts_those_who_are_inside),
	T(a_call_in_flight_leaves_what_was_switched_off_since),
	T(a_call_in_flight_keeps_its_times_and_tries),
	T(a_new_rate_keeps_the_credit),
	T(what_a_running_breaker_cannot_become_is_named),
	T(a_count_window_keeps_its_length_through_reloads),
	T(an_operators_override_outlives_a_reload),
};

int main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
