/*
 * breaker.c - the circuit breaker, as rows on a virtual clock.
 */
#include <pipemaze/breaker.h>

#include <string.h>

#include "expect.h"

#define HELD 0           /* the outcome of a call that is still out */
#define BOOT PMZ_S(1000) /* a multiple of every window's bucket here */

struct row {
	pmz_ns pass;    /* first */
	int expect;     /* of acquire */
	int outcome;    /* of the call, or HELD */
	uint32_t state; /* afterwards */
};

static struct bench {
	pmz_breaker *breaker;
	pmz_ns now;
	pmz_ns takes; /* how long each call lasts */
	pmz_permit held[32];
	size_t out;
} t;

/* One failure trips, and nothing is left to chance. */
static const pmz_breaker_config brittle = {
	.size = sizeof(pmz_breaker_config),
	.failure_pct = PMZ_OFF,
	.consecutive_max = 1,
	.open_jitter_pct = PMZ_OFF,
};

static void start(const pmz_breaker_config *config)
{
	pmz_why why = { .text = "" };
	int status = pmz_breaker_new(&t.breaker, config, &why);

	if (status != PMZ_OK)
		print_error("%s: %s\n", why.field, why.text);
	expect_status(status, PMZ_OK);
	t.now = BOOT;
}

static int stop(void **state)
{
	(void)state;
	pmz_breaker_free(t.breaker);
	memset(&t, 0, sizeof(t));
	return 0;
}

static pmz_breaker_stats read_stats(void)
{
	pmz_breaker_stats stats = { .size = sizeof(stats) };

	expect_status(pmz_breaker_read(t.breaker, t.now, &stats), PMZ_OK);
	return stats;
}

static uint32_t state_now(void)
{
	return read_stats().state;
}

static int enter(pmz_permit *permit)
{
	memset(permit, 0, sizeof(*permit));
	return pmz_breaker_acquire(t.breaker, t.now, permit, NULL);
}

static int leave(pmz_permit *permit, pmz_outcome how)
{
	return pmz_breaker_settle(t.breaker, permit, how, t.now);
}

/* Settles the held call number i. */
static void end(size_t i, pmz_outcome how)
{
	assert_true(i < t.out);
	expect_status(leave(&t.held[i], how), PMZ_OK);
}

static void hold(int count)
{
	while (count-- > 0)
		expect_status(enter(&t.held[t.out++]), PMZ_OK);
}

/* As many calls as that, all admitted. */
static void feed(int count, pmz_outcome how)
{
	while (count-- > 0) {
		pmz_permit permit;

		expect_status(enter(&permit), PMZ_OK);
		t.now += t.takes;
		expect_status(leave(&permit, how), PMZ_OK);
	}
}

static pmz_ns ready_at(void)
{
	pmz_permit permit;
	pmz_ns at = 0;

	expect_status(pmz_breaker_acquire(t.breaker, t.now, &permit, &at),
	              PMZ_REFUSED_OPEN);
	return at;
}

static void play_row(const struct row *row, size_t number)
{
	pmz_permit permit;
	int status;

	t.now += row->pass;
	status = enter(&permit);
	kit_expect_row(number, status, row->expect, pmz_status_name);
	if (status == PMZ_OK && row->outcome == HELD)
		t.held[t.out++] = permit;
	if (status == PMZ_OK && row->outcome != HELD) {
		t.now += t.takes;
		status = leave(&permit, (pmz_outcome)row->outcome);
		kit_expect_row(number, status, PMZ_OK, pmz_status_name);
	}
	kit_expect_row(number, (int)state_now(), (int)row->state, kit_state);
}

static void play(const struct row *rows, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++)
		play_row(&rows[i], i);
}

/* From CLOSED or HALF_OPEN to OPEN by one failure. */
static void trip(void)
{
	pmz_permit permit;

	expect_status(enter(&permit), PMZ_OK);
	expect_status(leave(&permit, PMZ_FAILURE), PMZ_OK);
	expect_state(state_now(), PMZ_OPEN);
}

/* From OPEN, its rest over, to CLOSED. */
static void heal(int probes_to_close)
{
	t.now = ready_at();
	feed(probes_to_close, PMZ_SUCCESS);
	expect_state(state_now(), PMZ_CLOSED);
}

/* How long the rest lasts that just began. */
static pmz_ns rest(void)
{
	return ready_at() - t.now;
}

/* The config. */

static void nothing_said_means_the_documented_defaults(void **state)
{
	(void)state;
	start(NULL);
	feed(10, PMZ_SUCCESS);
	feed(9, PMZ_FAILURE);
	expect_state(state_now(), PMZ_CLOSED);
	feed(1, PMZ_FAILURE);
	expect_state(state_now(), PMZ_OPEN);
	expect_between(rest(), PMZ_S(4), PMZ_S(6));
	heal(3);
}

static void a_zero_field_takes_its_default(void **state)
{
	const pmz_breaker_config config = { .size = sizeof(config) };

	(void)state;
	start(&config);
	feed(19, PMZ_FAILURE);
	expect_state(state_now(), PMZ_CLOSED);
	feed(1, PMZ_FAILURE);
	expect_state(state_now(), PMZ_OPEN);
}

static void a_wrong_config_is_named_by_its_field(void **state)
{
	/* Where two fields disagree, either may be named. */
	static const struct {
		const char *fields;
		pmz_breaker_config config;
	} rows[] = {
		{ "mode", { .mode = 5 } },
		{ "window_ns", { .window_ns = PMZ_MS(1) - 1 } },
		{ "calls_window", { .calls_window = 1048577 } },
		{ "calls_window window_ns",
		  { .calls_window = 100, .window_ns = PMZ_S(1) } },
		{ "calls_min", { .calls_window = 100, .calls_min = 101 } },
		{ "failure_pct", { .failure_pct = 101 } },
		{ "failure_pct", { .failure_pct = PMZ_OFF - 1 } },
		{ "slow_pct", { .slow_pct = 101, .slow_ns = 1 } },
		{ "slow_pct slow_ns", { .slow_pct = 50 } },
		{ "failure_pct", { .failure_pct = PMZ_OFF } },
		{ "failure_pct", { .failure_pct = PMZ_OFF, .slow_ns = 1 } },
		{ "probes_max", { .probes_max = 17 } },
		{ "probes_max", { .probes_max = PMZ_OFF } },
		{ "open_jitter_pct", { .open_jitter_pct = 101 } },
		{ "open_max_ns open_ns",
		  { .open_ns = PMZ_S(9), .open_max_ns = PMZ_S(8) } },
		{ "failures_max calls_window",
		  { .calls_window = 10, .failures_max = 11 } },
		{ "reserved", { .reserved = 1 } },
	};
	size_t i;

	(void)state;
	for (i = 0; i < KIT_COUNT(rows); i++) {
		pmz_breaker_config config = rows[i].config;
		pmz_breaker *b = NULL;
		pmz_why why;
		int status;

		config.size = sizeof(config);
		memset(&why, 0, sizeof(why));
		status = pmz_breaker_new(&b, &config, &why);
		kit_expect_row(i, status, PMZ_E_CONFIG, pmz_status_name);
		if (!why.field[0] || !strstr(rows[i].fields, why.field))
			fail_msg("row %zu: %s instead of %s", i, why.field,
			         rows[i].fields);
		assert_true(strlen(why.text) > 0);
		expect_status(pmz_breaker_new(&b, &config, NULL), PMZ_E_CONFIG);
	}
}

static void the_ends_of_each_range_are_allowed(void **state)
{
	static const pmz_breaker_config rows[] = {
		{ .failure_pct = 1 },
		{ .failure_pct = 100 },
		{ .slow_pct = 100, .slow_ns = 1 },
		{ .window_ns = PMZ_MS(1) },
		{ .calls_window = 1 },
		{ .calls_window = 1048576 },
		{ .calls_window = 100, .calls_min = 100 },
		{ .probes_max = 16 },
		{ .open_jitter_pct = 100 },
		{ .failure_pct = PMZ_OFF, .failures_max = 1 },
		{ .failure_pct = PMZ_OFF, .slow_pct = 1, .slow_ns = 1 },
		{ .slow_ns = 1 },
	};
	size_t i;

	(void)state;
	for (i = 0; i < KIT_COUNT(rows); i++) {
		pmz_breaker_config config = rows[i];
		pmz_breaker *b = NULL;
		int status;

		config.size = sizeof(config);
		status = pmz_breaker_new(&b, &config, NULL);
		kit_expect_row(i, status, PMZ_OK, pmz_status_name);
		pmz_breaker_free(b);
	}
}

static void a_newer_config_is_taken_unless_it_asks_for_more(void **state)
{
	struct {
		pmz_breaker_config known;
		uint32_t unknown[2];
	} config = { .known = brittle };
	pmz_why why;

	(void)state;
	config.known.size = sizeof(config);
	start(&config.known);
	stop(NULL);
	config.unknown[1] = 1;
	expect_status(pmz_breaker_new(&t.breaker, &config.known, &why),
	              PMZ_E_CONFIG);
	assert_string_equal(why.field, "size");
}

static void an_older_config_leaves_what_it_lacks_at_the_default(void **state)
{
	pmz_breaker_config config = brittle;

	(void)state;
	config.size = offsetof(pmz_breaker_config, slow_ns);
	config.failure_pct = 1;
	start(&config);
	feed(19, PMZ_FAILURE);
	expect_state(state_now(), PMZ_CLOSED);
	feed(1, PMZ_FAILURE);
	expect_state(state_now(), PMZ_OPEN);
}

static void freeing_nothing_is_fine(void **state)
{
	(void)state;
	pmz_breaker_free(NULL);
}

/* The share of failures. */

static void a_share_of_failures_trips_at_its_percentage(void **state)
{
	const pmz_breaker_config config = { .size = sizeof(config),
		                            .calls_window = 10 };
	static const struct row rows[] = {
		{ 0, PMZ_OK, PMZ_FAILURE, PMZ_OPEN },
		{ 0, PMZ_REFUSED_OPEN, HELD, PMZ_OPEN },
	};

	(void)state;
	start(&config);
	feed(6, PMZ_SUCCESS);
	feed(4, PMZ_FAILURE);
	expect_state(state_now(), PMZ_CLOSED);
	play(rows, KIT_COUNT(rows));
}

/* 1 of 3 is more than 33 % and less than 34 %. */
static void a_share_is_compared_without_rounding(void **state)
{
	pmz_breaker_config config = { .size = sizeof(config),
		                      .calls_window = 3,
		                      .failure_pct = 33 };

	(void)state;
	start(&config);
	feed(2, PMZ_SUCCESS);
	feed(1, PMZ_FAILURE);
	expect_state(state_now(), PMZ_OPEN);
	stop(NULL);
	config.failure_pct = 34;
	start(&config);
	feed(2, PMZ_SUCCESS);
	feed(1, PMZ_FAILURE);
	expect_state(state_now(), PMZ_CLOSED);
}

static void fewer_results_than_calls_min_do_not_trip(void **state)
{
	const pmz_breaker_config config = { .size = sizeof(config),
		                            .calls_min = 3 };
	static const struct row rows[] = {
		{ 0, PMZ_OK, PMZ_FAILURE, PMZ_CLOSED },
		{ 0, PMZ_OK, PMZ_FAILURE, PMZ_CLOSED },
		{ 0, PMZ_OK, PMZ_FAILURE, PMZ_OPEN },
	};

	(void)state;
	start(&config);
	play(rows, KIT_COUNT(rows));
}

static void the_result_that_reaches_calls_min_is_judged(void **state)
{
	const pmz_breaker_config config = { .size = sizeof(config),
		                            .calls_min = 3 };
	static const struct row rows[] = {
		{ 0, PMZ_OK, PMZ_FAILURE, PMZ_CLOSED },
		{ 0, PMZ_OK, PMZ_FAILURE, PMZ_CLOSED },
		{ 0, PMZ_OK, PMZ_SUCCESS, PMZ_OPEN },
	};

	(void)state;
	start(&config);
	play(rows, KIT_COUNT(rows));
}

static void a_default_calls_min_shrinks_to_the_window(void **state)
{
	const pmz_breaker_config config = { .size = sizeof(config),
		                            .calls_window = 2 };
	static const struct row rows[] = {
		{ 0, PMZ_OK, PMZ_FAILURE, PMZ_CLOSED },
		{ 0, PMZ_OK, PMZ_FAILURE, PMZ_OPEN },
	};

	(void)state;
	start(&config);
	play(rows, KIT_COUNT(rows));
}

static void calls_min_does_not_hold_back_a_count_of_failures(void **state)
{
	pmz_breaker_config config = brittle;

	(void)state;
	config.calls_min = 1000;
	start(&config);
	feed(1, PMZ_FAILURE);
	expect_state(state_now(), PMZ_OPEN);
}

static void a_fatal_end_counts_like_a_failure(void **state)
{
	(void)state;
	start(&brittle);
	feed(1, PMZ_FATAL);
	expect_state(state_now(), PMZ_OPEN);
	assert_int_equal(read_stats().failures, 1);
}

static void what_is_ignored_enters_no_window(void **state)
{
	const pmz_breaker_config config = { .size = sizeof(config),
		                            .calls_min = 2 };

	(void)state;
	start(&config);
	feed(1, PMZ_FAILURE);
	feed(5, PMZ_IGNORE);
	feed(5, PMZ_AGAIN);
	expect_state(state_now(), PMZ_CLOSED);
	assert_int_equal(read_stats().window_calls, 1);
	assert_int_equal(read_stats().calls, 1);
	assert_int_equal(read_stats().ignored, 10);
	feed(1, PMZ_FAILURE);
	expect_state(state_now(), PMZ_OPEN);
}

/* Counts of failures. */

static void so_many_failures_in_the_window_trip(void **state)
{
	pmz_breaker_config config = brittle;
	static const struct row rows[] = {
		{ 0, PMZ_OK, PMZ_FAILURE, PMZ_CLOSED },
		{ 0, PMZ_OK, PMZ_SUCCESS, PMZ_CLOSED },
		{ 0, PMZ_OK, PMZ_FAILURE, PMZ_CLOSED },
		{ 0, PMZ_OK, PMZ_SUCCESS, PMZ_CLOSED },
		{ 0, PMZ_OK, PMZ_FAILURE, PMZ_OPEN },
	};

	(void)state;
	config.consecutive_max = 0;
	config.failures_max = 3;
	start(&config);
	feed(1000, PMZ_SUCCESS);
	play(rows, KIT_COUNT(rows));
}

static void so_many_failures_in_a_row_trip(void **state)
{
	pmz_breaker_config config = brittle;
	static const struct row rows[] = {
		{ 0, PMZ_OK, PMZ_FAILURE, PMZ_CLOSED },
		{ 0, PMZ_OK, PMZ_FAILURE, PMZ_CLOSED },
		{ 0, PMZ_OK, PMZ_SUCCESS, PMZ_CLOSED },
		{ 0, PMZ_OK, PMZ_FAILURE, PMZ_CLOSED },
		{ 0, PMZ_OK, PMZ_FAILURE, PMZ_CLOSED },
		{ 0, PMZ_OK, PMZ_IGNORE, PMZ_CLOSED },
		{ 0, PMZ_OK, PMZ_AGAIN, PMZ_CLOSED },
		{ 0, PMZ_OK, PMZ_FATAL, PMZ_OPEN },
	};

	(void)state;
	config.consecutive_max = 3;
	start(&config);
	play(rows, KIT_COUNT(rows));
}

static void failures_in_a_row_may_be_an_hour_apart(void **state)
{
	pmz_breaker_config config = brittle;
	static const struct row rows[] = {
		{ 0, PMZ_OK, PMZ_FAILURE, PMZ_CLOSED },
		{ PMZ_S(3600), PMZ_OK, PMZ_FAILURE, PMZ_OPEN },
	};

	(void)state;
	config.consecutive_max = 2;
	start(&config);
	play(rows, KIT_COUNT(rows));
}

/* The windows. */

static void with_two_failures(pmz_breaker_config *config)
{
	*config = brittle;
	config->consecutive_max = 0;
	config->failures_max = 2;
}

static void a_time_window_holds_ten_buckets(void **state)
{
	pmz_breaker_config config;
	static const struct row rows[] = {
		{ 0, PMZ_OK, PMZ_FAILURE, PMZ_CLOSED },
		{ PMZ_S(10) - 1, PMZ_OK, PMZ_FAILURE, PMZ_OPEN },
	};

	(void)state;
	with_two_failures(&config);
	start(&config);
	play(rows, KIT_COUNT(rows));
}

static void a_time_window_forgets_a_bucket_as_the_eleventh_begins(void **state)
{
	pmz_breaker_config config;
	static const struct row rows[] = {
		{ PMZ_S(1) - 1, PMZ_OK, PMZ_FAILURE, PMZ_CLOSED },
		{ PMZ_S(9) + 1, PMZ_OK, PMZ_FAILURE, PMZ_CLOSED },
		{ PMZ_S(10), PMZ_OK, PMZ_FAILURE, PMZ_CLOSED },
		{ PMZ_S(10) - 1, PMZ_OK, PMZ_FAILURE, PMZ_OPEN },
	};

	(void)state;
	with_two_failures(&config);
	start(&config);
	play(rows, KIT_COUNT(rows));
}

static void a_window_is_read_as_of_the_time_of_reading(void **state)
{
	(void)state;
	start(NULL);
	feed(3, PMZ_SUCCESS);
	feed(2, PMZ_FAILURE);
	t.now += PMZ_S(10) - 1;
	assert_int_equal(read_stats().window_calls, 5);
	assert_int_equal(read_stats().window_failures, 2);
	t.now += 1;
	assert_int_equal(read_stats().window_calls, 0);
	assert_int_equal(read_stats().window_failures, 0);
	assert_int_equal(read_stats().calls, 5);
}

/* Ten buckets later, and a thousand windows later, the same slot is in use. */
static void an_hour_of_silence_empties_a_time_window(void **state)
{
	pmz_breaker_config config;
	static const struct row rows[] = {
		{ 0, PMZ_OK, PMZ_FAILURE, PMZ_CLOSED },
		{ PMZ_S(3600), PMZ_OK, PMZ_FAILURE, PMZ_CLOSED },
		{ PMZ_S(10) * 1000, PMZ_OK, PMZ_FAILURE, PMZ_CLOSED },
	};

	(void)state;
	with_two_failures(&config);
	start(&config);
	play(rows, KIT_COUNT(rows));
	assert_int_equal(read_stats().window_calls, 1);
}

static void a_call_counts_in_the_bucket_in_which_it_ends(void **state)
{
	pmz_breaker_config config;

	(void)state;
	with_two_failures(&config);
	start(&config);
	hold(1);
	t.now += PMZ_S(9);
	end(0, PMZ_FAILURE);
	t.now += PMZ_S(10) - 1;
	feed(1, PMZ_FAILURE);
	expect_state(state_now(), PMZ_OPEN);
}

static void a_count_window_holds_the_last_results_only(void **state)
{
	pmz_breaker_config config;
	static const struct row rows[] = {
		{ 0, PMZ_OK, PMZ_FAILURE, PMZ_CLOSED },
		{ 0, PMZ_OK, PMZ_SUCCESS, PMZ_CLOSED },
		{ 0, PMZ_OK, PMZ_SUCCESS, PMZ_CLOSED },
		{ 0, PMZ_OK, PMZ_FAILURE, PMZ_CLOSED },
		{ PMZ_S(3600), PMZ_OK, PMZ_SUCCESS, PMZ_CLOSED },
		{ 0, PMZ_OK, PMZ_FAILURE, PMZ_OPEN },
	};

	(void)state;
	with_two_failures(&config);
	config.calls_window = 3;
	start(&config);
	play(rows, KIT_COUNT(rows));
}

static void a_count_window_slides_over_its_end_many_times(void **state)
{
	const pmz_breaker_config config = { .size = sizeof(config),
		                            .calls_window = 7,
		                            .failure_pct = 50 };
	int i;

	(void)state;
	start(&config);
	for (i = 0; i < 1000; i++)
		feed(1, i % 7 < 3 ? PMZ_FAILURE : PMZ_SUCCESS);
	expect_state(state_now(), PMZ_CLOSED);
	assert_int_equal(read_stats().window_calls, 7);
	assert_int_equal(read_stats().window_failures, 3);
}

static void a_bucket_counts_ten_million_results(void **state)
{
	const int millions = 10000000;

	(void)state;
	start(NULL);
	feed(millions / 2, PMZ_SUCCESS);
	feed(millions / 2 - 1, PMZ_FAILURE);
	expect_state(state_now(), PMZ_CLOSED);
	assert_int_equal(read_stats().window_calls, millions - 1);
	assert_int_equal(read_stats().window_failures, millions / 2 - 1);
	feed(1, PMZ_FAILURE);
	expect_state(state_now(), PMZ_OPEN);
	assert_int_equal(read_stats().calls, millions);
}

/* Each probe that fails is two changes of state: an epoch is worn out by an
 * outage as long as it takes. */
static void a_window_counts_after_any_number_of_changes(void **state)
{
	static const uint32_t failed_probes[] = { 100, 16384, 20000, 40000 };
	pmz_breaker_config config = brittle;
	size_t i;
	uint32_t n;

	(void)state;
	config.consecutive_max = 0;
	config.failures_max = 2;
	config.calls_window = 5;
	for (i = 0; i < KIT_COUNT(failed_probes); i++) {
		start(&config);
		feed(2, PMZ_FAILURE);
		for (n = 0; n < failed_probes[i]; n++) {
			t.now = ready_at();
			feed(1, PMZ_FAILURE);
		}
		heal(3);
		feed(1, PMZ_FAILURE);
		assert_int_equal(read_stats().window_failures, 1);
		feed(1, PMZ_FAILURE);
		expect_state(state_now(), PMZ_OPEN);
		stop(NULL);
	}
}

static void a_window_begins_anew_after_any_number_of_resets(void **state)
{
	pmz_breaker_config config = brittle;
	uint32_t i;

	(void)state;
	config.consecutive_max = 0;
	config.failures_max = 2;
	config.calls_window = 5;
	start(&config);
	feed(1, PMZ_FAILURE);
	for (i = 0; i < 65536; i++) {
		pmz_breaker_reset(t.breaker, t.now);
		assert_int_equal(read_stats().window_failures, 0);
	}
	feed(1, PMZ_FAILURE);
	expect_state(state_now(), PMZ_CLOSED);
}

/* Slow calls. */

static void with_slow_calls(pmz_breaker_config *config)
{
	*config = brittle;
	config->consecutive_max = 0;
	config->slow_pct = 100;
	config->slow_ns = PMZ_MS(100);
	config->calls_min = 2;
}

static void a_call_is_slow_when_it_lasts_longer_than_slow_ns(void **state)
{
	pmz_breaker_config config;

	(void)state;
	with_slow_calls(&config);
	start(&config);
	t.takes = PMZ_MS(100);
	feed(10, PMZ_SUCCESS);
	assert_int_equal(read_stats().slow, 0);
	t.takes = PMZ_MS(100) + 1;
	feed(10, PMZ_SUCCESS);
	assert_int_equal(read_stats().slow, 10);
	assert_int_equal(read_stats().window_slow, 10);
	expect_state(state_now(), PMZ_CLOSED);
}

static void a_share_of_slow_calls_trips_whatever_their_result(void **state)
{
	pmz_breaker_config config;
	static const struct row rows[] = {
		{ 0, PMZ_OK, PMZ_SUCCESS, PMZ_CLOSED },
		{ 0, PMZ_OK, PMZ_FAILURE, PMZ_OPEN },
	};

	(void)state;
	with_slow_calls(&config);
	start(&config);
	t.takes = PMZ_MS(101);
	play(rows, KIT_COUNT(rows));
}

static void slow_successes_alone_trip(void **state)
{
	pmz_breaker_config config;
	static const struct row rows[] = {
		{ 0, PMZ_OK, PMZ_SUCCESS, PMZ_CLOSED },
		{ 0, PMZ_OK, PMZ_SUCCESS, PMZ_OPEN },
	};

	(void)state;
	with_slow_calls(&config);
	start(&config);
	t.takes = PMZ_MS(101);
	play(rows, KIT_COUNT(rows));
	assert_int_equal(read_stats().failures, 0);
}

/* 1 of 3 quick, then 1 of 4: the fourth is past calls_min. */
static void a_slow_call_is_judged_though_it_succeeds(void **state)
{
	pmz_breaker_config config;

	(void)state;
	with_slow_calls(&config);
	config.slow_pct = 75;
	start(&config);
	feed(1, PMZ_SUCCESS);
	t.takes = PMZ_MS(101);
	feed(2, PMZ_SUCCESS);
	expect_state(state_now(), PMZ_CLOSED);
	feed(1, PMZ_SUCCESS);
	expect_state(state_now(), PMZ_OPEN);
}

static void without_slow_pct_slow_calls_are_only_counted(void **state)
{
	pmz_breaker_config config = brittle;

	(void)state;
	config.slow_ns = PMZ_MS(100);
	start(&config);
	t.takes = PMZ_MS(101);
	feed(50, PMZ_SUCCESS);
	expect_state(state_now(), PMZ_CLOSED);
	assert_int_equal(read_stats().slow, 50);
	trip();
	heal(3);
}

static void a_slow_probe_reopens(void **state)
{
	pmz_breaker_config config;

	(void)state;
	with_slow_calls(&config);
	config.consecutive_max = 1;
	start(&config);
	trip();
	t.now = ready_at();
	t.takes = PMZ_MS(100);
	feed(1, PMZ_SUCCESS);
	expect_state(state_now(), PMZ_HALF_OPEN);
	t.takes = PMZ_MS(100) + 1;
	feed(1, PMZ_SUCCESS);
	expect_state(state_now(), PMZ_OPEN);
}

/* The rest. */

static void an_open_breaker_refuses_until_its_rest_is_over(void **state)
{
	static const struct row rows[] = {
		{ 0, PMZ_OK, PMZ_FAILURE, PMZ_OPEN },
		{ 0, PMZ_REFUSED_OPEN, HELD, PMZ_OPEN },
		{ PMZ_S(5) - 1, PMZ_REFUSED_OPEN, HELD, PMZ_OPEN },
		{ 1, PMZ_OK, HELD, PMZ_HALF_OPEN },
	};

	(void)state;
	start(&brittle);
	play(rows, KIT_COUNT(rows));
	assert_int_equal(read_stats().refusals, 2);
}

static void a_refusal_says_when_the_rest_ends(void **state)
{
	(void)state;
	start(&brittle);
	trip();
	assert_int_equal(ready_at(), BOOT + PMZ_S(5));
	t.now += PMZ_S(5) - 1;
	assert_int_equal(ready_at(), BOOT + PMZ_S(5));
}

static void a_refused_caller_has_nothing_to_settle(void **state)
{
	pmz_permit permit;

	(void)state;
	start(&brittle);
	trip();
	expect_status(enter(&permit), PMZ_REFUSED_OPEN);
	expect_status(leave(&permit, PMZ_SUCCESS), PMZ_E_STATE);
}

static void each_trip_in_a_row_doubles_the_rest_up_to_its_cap(void **state)
{
	static const pmz_ns rests[] = { 5, 10, 20, 40, 60, 60, 60 };
	size_t i;

	(void)state;
	start(&brittle);
	for (i = 0; i < KIT_COUNT(rests); i++) {
		trip();
		assert_int_equal(rest(), PMZ_S(rests[i]));
		t.now += PMZ_S(rests[i]);
	}
	assert_int_equal(read_stats().trips, KIT_COUNT(rests));
}

static void a_thousand_trips_do_not_overflow_the_rest(void **state)
{
	pmz_breaker_config config = brittle;
	int i;

	(void)state;
	config.open_max_ns = PMZ_S(86400);
	start(&config);
	for (i = 0; i < 1000; i++) {
		trip();
		expect_between(rest(), PMZ_S(5), PMZ_S(86400));
		t.now = ready_at();
	}
	trip();
	assert_int_equal(rest(), PMZ_S(86400));
}

static void the_cap_is_never_below_the_first_rest(void **state)
{
	pmz_breaker_config config = brittle;

	(void)state;
	config.open_ns = PMZ_S(90);
	start(&config);
	trip();
	assert_int_equal(rest(), PMZ_S(90));
	t.now += PMZ_S(90);
	trip();
	assert_int_equal(rest(), PMZ_S(90));
}

/* Closes a breaker that reopened once, and is healthy for so long. */
static void healthy_for(pmz_ns span)
{
	start(&brittle);
	trip();
	t.now = ready_at();
	trip();
	assert_int_equal(rest(), PMZ_S(10));
	heal(3);
	for (; span > PMZ_S(1); span -= PMZ_S(1)) {
		t.now += PMZ_S(1);
		feed(5, PMZ_SUCCESS);
	}
	t.now += span;
	trip();
}

static void a_healthy_window_takes_one_doubling_back(void **state)
{
	static const struct {
		pmz_ns healthy;
		pmz_ns rest;
	} rows[] = {
		{ 0, PMZ_S(20) },         { PMZ_S(10) - 1, PMZ_S(20) },
		{ PMZ_S(10), PMZ_S(10) }, { PMZ_S(20) - 1, PMZ_S(10) },
		{ PMZ_S(20), PMZ_S(5) },  { PMZ_S(200), PMZ_S(5) },
	};
	size_t i;

	(void)state;
	for (i = 0; i < KIT_COUNT(rows); i++) {
		healthy_for(rows[i].healthy);
		if (rest() != rows[i].rest)
			fail_msg("row %zu: a rest of %llu ns", i,
			         (unsigned long long)rest());
		stop(NULL);
	}
}

/* The shortest and the longest of many rests that differ in their seed. */
static void many_rests(pmz_breaker_config config, int trips, pmz_ns *shortest,
                       pmz_ns *longest)
{
	int i;

	*shortest = PMZ_NEVER;
	*longest = 0;
	for (config.seed = 1; config.seed <= 400; config.seed++) {
		start(&config);
		for (i = 0; i < trips; i++) {
			t.now = i ? ready_at() : t.now;
			trip();
		}
		*shortest = rest() < *shortest ? rest() : *shortest;
		*longest = rest() > *longest ? rest() : *longest;
		stop(NULL);
	}
}

static void jitter_spreads_the_rest_to_both_sides(void **state)
{
	pmz_breaker_config config = brittle;
	pmz_ns shortest, longest;

	(void)state;
	config.open_jitter_pct = 20;
	many_rests(config, 1, &shortest, &longest);
	expect_between(shortest, PMZ_S(4), PMZ_MS(4100));
	expect_between(longest, PMZ_MS(5900), PMZ_S(6));
}

static void at_the_cap_jitter_only_shortens_the_rest(void **state)
{
	pmz_breaker_config config = brittle;
	pmz_ns shortest, longest;

	(void)state;
	config.open_jitter_pct = 20;
	many_rests(config, 6, &shortest, &longest);
	expect_between(shortest, PMZ_S(48), PMZ_S(49));
	expect_between(longest, PMZ_S(59), PMZ_S(60));
}

static void one_seed_gives_the_same_rests_again(void **state)
{
	pmz_breaker_config config = brittle;
	pmz_ns first[5];
	size_t i;

	(void)state;
	config.open_jitter_pct = 20;
	config.seed = 42;
	start(&config);
	for (i = 0; i < KIT_COUNT(first); i++, t.now = ready_at()) {
		trip();
		first[i] = rest();
	}
	stop(NULL);
	start(&config);
	for (i = 0; i < KIT_COUNT(first); i++, t.now = ready_at()) {
		trip();
		assert_int_equal(rest(), first[i]);
	}
}

static void without_a_seed_two_breakers_do_not_probe_in_step(void **state)
{
	pmz_breaker *all[8] = { NULL };
	pmz_ns at[8];
	size_t i, same = 0;

	(void)state;
	for (i = 0; i < KIT_COUNT(all); i++) {
		pmz_breaker_config config = brittle;

		config.open_jitter_pct = 20;
		start(&config);
		trip();
		at[i] = ready_at();
		same += i && at[i] == at[0];
		all[i] = t.breaker;
		t.breaker = NULL;
	}
	for (i = 0; i < KIT_COUNT(all); i++)
		pmz_breaker_free(all[i]);
	assert_true(same == 0);
}

/* What a server said. */

static void hint_of(pmz_ns span, pmz_outcome how)
{
	pmz_permit permit;

	expect_status(enter(&permit), PMZ_OK);
	expect_status(
		pmz_breaker_settle_hint(t.breaker, &permit, how, t.now, span),
		PMZ_OK);
}

static void a_hint_lengthens_the_rest_within_its_cap(void **state)
{
	static const struct {
		pmz_ns hint;
		pmz_ns rest;
	} rows[] = {
		{ 0, PMZ_S(5) },
		{ PMZ_S(1), PMZ_S(5) },
		{ PMZ_S(5) + 1, PMZ_S(5) + 1 },
		{ PMZ_S(30), PMZ_S(30) },
		{ PMZ_S(60), PMZ_S(60) },
		{ PMZ_S(60) + 1, PMZ_S(60) },
		{ PMZ_NEVER, PMZ_S(60) },
	};
	size_t i;

	(void)state;
	for (i = 0; i < KIT_COUNT(rows); i++) {
		start(&brittle);
		hint_of(rows[i].hint, PMZ_FAILURE);
		if (rest() != rows[i].rest)
			fail_msg("row %zu: a rest of %llu ns", i,
			         (unsigned long long)rest());
		stop(NULL);
	}
}

static void a_hint_on_a_success_opens_nothing(void **state)
{
	(void)state;
	start(&brittle);
	hint_of(PMZ_S(30), PMZ_SUCCESS);
	expect_state(state_now(), PMZ_CLOSED);
	trip();
	assert_int_equal(rest(), PMZ_S(5));
}

static void a_probes_hint_lengthens_the_next_rest(void **state)
{
	(void)state;
	start(&brittle);
	trip();
	t.now = ready_at();
	hint_of(PMZ_S(45), PMZ_FAILURE);
	assert_int_equal(rest(), PMZ_S(45));
}

/* Half open. */

static void open_with_probes(uint32_t probes_max, uint32_t probes_to_close)
{
	pmz_breaker_config config = brittle;

	config.probes_max = probes_max;
	config.probes_to_close = probes_to_close;
	start(&config);
	trip();
	t.now = ready_at();
}

static void the_call_that_ends_the_rest_is_the_first_probe(void **state)
{
	static const struct row rows[] = {
		{ 0, PMZ_OK, HELD, PMZ_HALF_OPEN },
		{ 0, PMZ_REFUSED_OPEN, HELD, PMZ_HALF_OPEN },
	};

	(void)state;
	open_with_probes(1, 1);
	play(rows, KIT_COUNT(rows));
	assert_int_equal(read_stats().probes_out, 1);
	end(0, PMZ_SUCCESS);
	expect_state(state_now(), PMZ_CLOSED);
	assert_int_equal(read_stats().probes_out, 0);
}

static void no_more_probes_are_out_than_probes_max(void **state)
{
	uint32_t max;

	(void)state;
	for (max = 1; max <= 16; max++) {
		open_with_probes(max, 100);
		hold((int)max);
		ready_at();
		assert_int_equal(read_stats().probes_out, max);
		end(max / 2, PMZ_SUCCESS);
		hold(1);
		ready_at();
		stop(NULL);
	}
}

static void enough_successful_probes_close(void **state)
{
	static const struct row rows[] = {
		{ 0, PMZ_OK, PMZ_SUCCESS, PMZ_HALF_OPEN },
		{ 0, PMZ_OK, PMZ_SUCCESS, PMZ_HALF_OPEN },
		{ 0, PMZ_OK, PMZ_SUCCESS, PMZ_CLOSED },
		{ 0, PMZ_OK, PMZ_SUCCESS, PMZ_CLOSED },
	};

	(void)state;
	open_with_probes(1, 3);
	play(rows, KIT_COUNT(rows));
	assert_int_equal(read_stats().window_calls, 1);
}

static void one_failed_probe_reopens_at_once(void **state)
{
	static const struct row rows[] = {
		{ 0, PMZ_OK, PMZ_SUCCESS, PMZ_HALF_OPEN },
		{ 0, PMZ_OK, PMZ_SUCCESS, PMZ_HALF_OPEN },
		{ 0, PMZ_OK, PMZ_FAILURE, PMZ_OPEN },
		{ PMZ_S(10) - 1, PMZ_REFUSED_OPEN, HELD, PMZ_OPEN },
		{ 1, PMZ_OK, PMZ_SUCCESS, PMZ_HALF_OPEN },
		{ 0, PMZ_OK, PMZ_SUCCESS, PMZ_HALF_OPEN },
		{ 0, PMZ_OK, PMZ_SUCCESS, PMZ_CLOSED },
	};

	(void)state;
	open_with_probes(1, 3);
	play(rows, KIT_COUNT(rows));
	assert_int_equal(read_stats().trips, 2);
}

static void a_probe_that_failed_fatally_reopens(void **state)
{
	(void)state;
	open_with_probes(1, 3);
	feed(1, PMZ_FATAL);
	expect_state(state_now(), PMZ_OPEN);
}

static void
an_ignored_probe_gives_its_place_back_and_decides_nothing(void **state)
{
	static const struct row rows[] = {
		{ 0, PMZ_OK, PMZ_IGNORE, PMZ_HALF_OPEN },
		{ 0, PMZ_OK, PMZ_AGAIN, PMZ_HALF_OPEN },
		{ 0, PMZ_OK, PMZ_SUCCESS, PMZ_HALF_OPEN },
		{ 0, PMZ_OK, PMZ_IGNORE, PMZ_HALF_OPEN },
		{ 0, PMZ_OK, PMZ_SUCCESS, PMZ_CLOSED },
	};

	(void)state;
	open_with_probes(1, 2);
	play(rows, KIT_COUNT(rows));
	assert_int_equal(read_stats().ignored, 3);
}

static void the_other_probes_are_stale_once_one_failed(void **state)
{
	(void)state;
	open_with_probes(3, 3);
	hold(3);
	end(0, PMZ_FAILURE);
	end(1, PMZ_FAILURE);
	end(2, PMZ_SUCCESS);
	expect_state(state_now(), PMZ_OPEN);
	assert_int_equal(read_stats().stale, 2);
	assert_int_equal(read_stats().trips, 2);
	assert_int_equal(rest(), PMZ_S(10));
}

/* The lease of a probe. */

static void a_lapsed_lease_is_handed_out_again(void **state)
{
	static const struct row rows[] = {
		{ 0, PMZ_OK, HELD, PMZ_HALF_OPEN },
		{ PMZ_S(10) - 1, PMZ_REFUSED_OPEN, HELD, PMZ_HALF_OPEN },
		{ 1, PMZ_OK, HELD, PMZ_HALF_OPEN },
		{ PMZ_S(10) - 1, PMZ_REFUSED_OPEN, HELD, PMZ_HALF_OPEN },
		{ 1, PMZ_OK, HELD, PMZ_HALF_OPEN },
	};

	(void)state;
	open_with_probes(1, 3);
	play(rows, KIT_COUNT(rows));
}

static void a_refusal_says_when_the_earliest_lease_ends(void **state)
{
	(void)state;
	open_with_probes(3, 3);
	hold(1);
	t.now += PMZ_S(1);
	hold(1);
	t.now += PMZ_S(1);
	hold(1);
	assert_int_equal(ready_at(), t.now + PMZ_S(8));
	end(0, PMZ_IGNORE);
	hold(1);
	assert_int_equal(ready_at(), t.now + PMZ_S(9));
}

static void a_success_after_its_lease_counts_towards_closing(void **state)
{
	(void)state;
	open_with_probes(1, 2);
	hold(1);
	t.now += PMZ_S(10);
	hold(1);
	end(0, PMZ_SUCCESS);
	expect_state(state_now(), PMZ_HALF_OPEN);
	end(1, PMZ_SUCCESS);
	expect_state(state_now(), PMZ_CLOSED);
	assert_int_equal(read_stats().stale, 0);
}

static void a_success_after_its_lease_frees_no_other_place(void **state)
{
	(void)state;
	open_with_probes(1, 3);
	hold(1);
	t.now += PMZ_S(10);
	hold(1);
	end(0, PMZ_SUCCESS);
	ready_at();
	assert_int_equal(read_stats().probes_out, 1);
}

static void an_ignored_probe_after_its_lease_frees_no_other_place(void **state)
{
	(void)state;
	open_with_probes(1, 3);
	hold(1);
	t.now += PMZ_S(10);
	hold(1);
	end(0, PMZ_IGNORE);
	ready_at();
}

static void a_failure_after_its_place_was_handed_on_is_stale(void **state)
{
	(void)state;
	open_with_probes(1, 3);
	hold(1);
	t.now += PMZ_S(10);
	hold(1);
	end(0, PMZ_FAILURE);
	expect_state(state_now(), PMZ_HALF_OPEN);
	assert_int_equal(read_stats().stale, 1);
	ready_at();
	end(1, PMZ_FAILURE);
	expect_state(state_now(), PMZ_OPEN);
}

static void a_failure_after_its_lease_that_nobody_took_reopens(void **state)
{
	(void)state;
	open_with_probes(1, 3);
	hold(1);
	t.now += PMZ_S(3600);
	end(0, PMZ_FAILURE);
	expect_state(state_now(), PMZ_OPEN);
}

static void the_lease_is_as_long_as_the_config_says(void **state)
{
	pmz_breaker_config config = brittle;
	static const struct row rows[] = {
		{ 0, PMZ_OK, PMZ_FAILURE, PMZ_OPEN },
		{ PMZ_S(5), PMZ_OK, HELD, PMZ_HALF_OPEN },
		{ PMZ_MS(7) - 1, PMZ_REFUSED_OPEN, HELD, PMZ_HALF_OPEN },
		{ 1, PMZ_OK, HELD, PMZ_HALF_OPEN },
	};

	(void)state;
	config.probe_lease_ns = PMZ_MS(7);
	start(&config);
	play(rows, KIT_COUNT(rows));
}

/* Results that come late. */

static void a_result_from_before_the_trip_is_stale(void **state)
{
	(void)state;
	start(&brittle);
	hold(4);
	trip();
	end(0, PMZ_SUCCESS);
	end(1, PMZ_FAILURE);
	end(2, PMZ_IGNORE);
	expect_state(state_now(), PMZ_OPEN);
	assert_int_equal(rest(), PMZ_S(5));
	t.now = ready_at();
	hold(1);
	end(3, PMZ_SUCCESS);
	assert_int_equal(read_stats().probes_out, 1);
	assert_int_equal(read_stats().stale, 4);
	assert_int_equal(read_stats().calls, 1);
	assert_int_equal(read_stats().ignored, 0);
}

static void a_late_result_does_not_close_the_breaker(void **state)
{
	(void)state;
	start(&brittle);
	hold(3);
	trip();
	t.now = ready_at();
	hold(1);
	end(0, PMZ_SUCCESS);
	end(1, PMZ_SUCCESS);
	end(2, PMZ_SUCCESS);
	expect_state(state_now(), PMZ_HALF_OPEN);
}

static void a_late_failure_does_not_trip_a_closed_breaker(void **state)
{
	(void)state;
	start(&brittle);
	hold(1);
	trip();
	heal(3);
	end(0, PMZ_FAILURE);
	expect_state(state_now(), PMZ_CLOSED);
	assert_int_equal(read_stats().window_calls, 0);
	assert_int_equal(read_stats().stale, 1);
}

/* A probe of one half-open spell is a stranger in the next. */
static void a_probe_of_an_earlier_spell_frees_nothing(void **state)
{
	(void)state;
	open_with_probes(2, 3);
	hold(2);
	end(0, PMZ_FAILURE);
	t.now = ready_at();
	hold(2);
	end(1, PMZ_IGNORE);
	ready_at();
	assert_int_equal(read_stats().probes_out, 2);
}

/* Mistakes of the caller. */

static void an_empty_permit_is_a_counted_mistake(void **state)
{
	pmz_permit empty = { { 0, 0 } };
	pmz_breaker_stats before, after;

	(void)state;
	start(&brittle);
	before = read_stats();
	expect_status(leave(&empty, PMZ_FAILURE), PMZ_E_STATE);
	after = read_stats();
	assert_int_equal(after.misused, 1);
	after.misused = before.misused;
	assert_memory_equal(&before, &after, sizeof(before));
}

static void settling_empties_the_permit(void **state)
{
	static const pmz_permit empty;

	(void)state;
	start(&brittle);
	hold(1);
	end(0, PMZ_SUCCESS);
	assert_memory_equal(&t.held[0], &empty, sizeof(empty));
	expect_status(leave(&t.held[0], PMZ_FAILURE), PMZ_E_STATE);
	assert_int_equal(read_stats().calls, 1);
	assert_int_equal(read_stats().misused, 1);
}

static void an_unknown_outcome_leaves_the_permit_as_it_is(void **state)
{
	static const int unknown[] = { 0, 6, -1, 1 << 20 };
	size_t i;

	(void)state;
	open_with_probes(1, 1);
	hold(1);
	for (i = 0; i < KIT_COUNT(unknown); i++)
		kit_expect_row(i, leave(&t.held[0], (pmz_outcome)unknown[i]),
		               PMZ_E_STATE, pmz_status_name);
	assert_int_equal(read_stats().misused, KIT_COUNT(unknown));
	ready_at();
	end(0, PMZ_SUCCESS);
	expect_state(state_now(), PMZ_CLOSED);
}

static void a_copy_of_a_probe_frees_its_place_once(void **state)
{
	pmz_permit copy;

	(void)state;
	open_with_probes(1, 3);
	hold(1);
	copy = t.held[0];
	end(0, PMZ_IGNORE);
	hold(1);
	(void)leave(&copy, PMZ_IGNORE);
	ready_at();
	assert_int_equal(read_stats().probes_out, 1);
}

/* The modes. */

static void with_mode(uint32_t mode)
{
	pmz_breaker_config config = brittle;

	config.mode = mode;
	start(&config);
}

static void a_shadow_runs_the_machine_and_refuses_nobody(void **state)
{
	static const struct row rows[] = {
		{ 0, PMZ_OK, PMZ_FAILURE, PMZ_OPEN },
		{ 0, PMZ_OK, PMZ_FAILURE, PMZ_OPEN },
		{ PMZ_S(5) - 1, PMZ_OK, PMZ_SUCCESS, PMZ_OPEN },
		{ 1, PMZ_OK, PMZ_SUCCESS, PMZ_HALF_OPEN },
		{ 0, PMZ_OK, PMZ_SUCCESS, PMZ_HALF_OPEN },
		{ 0, PMZ_OK, PMZ_SUCCESS, PMZ_CLOSED },
	};
	pmz_breaker_stats stats;

	(void)state;
	with_mode(PMZ_SHADOW);
	play(rows, KIT_COUNT(rows));
	stats = read_stats();
	assert_int_equal(stats.would_refuse, 2);
	assert_int_equal(stats.refusals, 0);
	assert_int_equal(stats.calls, 6);
	assert_int_equal(stats.failures, 2);
	assert_int_equal(stats.trips, 1);
}

static void a_shadow_call_beside_the_probe_decides_nothing(void **state)
{
	(void)state;
	with_mode(PMZ_SHADOW);
	trip();
	t.now += PMZ_S(5);
	hold(3);
	assert_int_equal(read_stats().would_refuse, 2);
	assert_int_equal(read_stats().probes_out, 1);
	end(1, PMZ_FAILURE);
	end(2, PMZ_SUCCESS);
	expect_state(state_now(), PMZ_HALF_OPEN);
	end(0, PMZ_FAILURE);
	expect_state(state_now(), PMZ_OPEN);
	assert_int_equal(read_stats().failures, 3);
}

static void an_isolated_breaker_refuses_all_for_ever(void **state)
{
	(void)state;
	with_mode(PMZ_ISOLATED);
	expect_state(state_now(), PMZ_OPEN);
	assert_int_equal(ready_at(), PMZ_NEVER);
	t.now += PMZ_S(86400) * 365;
	assert_int_equal(ready_at(), PMZ_NEVER);
	assert_int_equal(read_stats().refusals, 2);
}

static void a_disabled_breaker_learns_nothing(void **state)
{
	pmz_breaker_stats stats;

	(void)state;
	with_mode(PMZ_DISABLED);
	feed(50, PMZ_FAILURE);
	feed(50, PMZ_IGNORE);
	stats = read_stats();
	expect_state(stats.state, PMZ_CLOSED);
	assert_int_equal(stats.calls, 0);
	assert_int_equal(stats.failures, 0);
	assert_int_equal(stats.ignored, 0);
	assert_int_equal(stats.stale, 0);
	assert_int_equal(stats.misused, 0);
	assert_int_equal(stats.window_calls, 0);
}

static void force(pmz_breaker_mode mode)
{
	expect_status(pmz_breaker_force(t.breaker, mode, t.now), PMZ_OK);
}

static void to_force_and_to_leave_starts_closed_and_empty(void **state)
{
	static const pmz_breaker_mode modes[] = { PMZ_ISOLATED, PMZ_DISABLED };
	size_t i;

	(void)state;
	for (i = 0; i < KIT_COUNT(modes); i++) {
		uint32_t epoch;

		start(NULL);
		feed(19, PMZ_FAILURE);
		epoch = read_stats().epoch;
		force(modes[i]);
		force(PMZ_ENFORCE);
		expect_state(state_now(), PMZ_CLOSED);
		assert_int_equal(read_stats().window_calls, 0);
		assert_int_equal(read_stats().epoch, epoch + 2);
		feed(19, PMZ_FAILURE);
		expect_state(state_now(), PMZ_CLOSED);
		stop(NULL);
	}
}

static void a_forced_breaker_forgets_that_it_was_open(void **state)
{
	(void)state;
	start(&brittle);
	trip();
	force(PMZ_DISABLED);
	expect_state(state_now(), PMZ_CLOSED);
	feed(1, PMZ_FAILURE);
	force(PMZ_ENFORCE);
	expect_state(state_now(), PMZ_CLOSED);
	feed(1, PMZ_SUCCESS);
}

static void permits_from_before_a_forced_mode_are_stale_after_it(void **state)
{
	static const pmz_breaker_mode modes[] = { PMZ_ISOLATED, PMZ_DISABLED };
	size_t i;

	(void)state;
	for (i = 0; i < KIT_COUNT(modes); i++) {
		start(&brittle);
		hold(1);
		force(modes[i]);
		force(PMZ_ENFORCE);
		end(0, PMZ_FAILURE);
		expect_state(state_now(), PMZ_CLOSED);
		assert_int_equal(read_stats().stale, 1);
		stop(NULL);
	}
}

static void a_permit_of_a_disabled_breaker_moves_nothing_later(void **state)
{
	(void)state;
	with_mode(PMZ_DISABLED);
	hold(1);
	force(PMZ_ENFORCE);
	end(0, PMZ_FAILURE);
	expect_state(state_now(), PMZ_CLOSED);
	assert_int_equal(read_stats().calls, 0);
	assert_int_equal(read_stats().window_calls, 0);
}

static void a_shadow_may_be_enforced_as_it_stands(void **state)
{
	uint32_t epoch;

	(void)state;
	with_mode(PMZ_SHADOW);
	trip();
	epoch = read_stats().epoch;
	force(PMZ_ENFORCE);
	assert_int_equal(ready_at(), BOOT + PMZ_S(5));
	assert_int_equal(read_stats().epoch, epoch);
	force(PMZ_SHADOW);
	feed(1, PMZ_SUCCESS);
	expect_state(state_now(), PMZ_OPEN);
	assert_int_equal(read_stats().epoch, epoch);
}

static void an_unknown_mode_is_refused(void **state)
{
	(void)state;
	start(&brittle);
	assert_true(pmz_breaker_force(t.breaker, (pmz_breaker_mode)5, t.now) <
	            0);
	feed(1, PMZ_SUCCESS);
	assert_int_equal(read_stats().calls, 1);
}

/* To start over. */

static void a_reset_closes_and_empties(void **state)
{
	uint32_t epoch;

	(void)state;
	start(&brittle);
	trip();
	t.now = ready_at();
	trip();
	hold(0);
	epoch = read_stats().epoch;
	t.now += 7;
	pmz_breaker_reset(t.breaker, t.now);
	expect_state(state_now(), PMZ_CLOSED);
	assert_int_equal(read_stats().epoch, epoch + 1);
	assert_int_equal(read_stats().changed_at, t.now);
	trip();
	assert_int_equal(rest(), PMZ_S(5));
}

static void a_reset_empties_the_window_of_a_closed_breaker(void **state)
{
	(void)state;
	start(NULL);
	feed(19, PMZ_FAILURE);
	hold(1);
	pmz_breaker_reset(t.breaker, t.now);
	assert_int_equal(read_stats().window_calls, 0);
	feed(19, PMZ_FAILURE);
	expect_state(state_now(), PMZ_CLOSED);
	end(0, PMZ_FAILURE);
	expect_state(state_now(), PMZ_CLOSED);
	assert_int_equal(read_stats().stale, 1);
}

static void a_reset_ends_a_row_of_failures(void **state)
{
	pmz_breaker_config config = brittle;

	(void)state;
	config.consecutive_max = 2;
	start(&config);
	feed(1, PMZ_FAILURE);
	pmz_breaker_reset(t.breaker, t.now);
	feed(1, PMZ_FAILURE);
	expect_state(state_now(), PMZ_CLOSED);
}

/* The figures. */

static void each_change_of_state_adds_one_to_the_epoch(void **state)
{
	uint32_t epoch;

	(void)state;
	start(&brittle);
	epoch = read_stats().epoch;
	feed(5, PMZ_SUCCESS);
	assert_int_equal(read_stats().epoch, epoch);
	trip();
	assert_int_equal(read_stats().epoch, epoch + 1);
	assert_int_equal(read_stats().changed_at, BOOT);
	t.now = ready_at();
	hold(1);
	assert_int_equal(read_stats().epoch, epoch + 2);
	assert_int_equal(read_stats().changed_at, BOOT + PMZ_S(5));
	t.now += 3;
	end(0, PMZ_SUCCESS);
	assert_int_equal(read_stats().epoch, epoch + 2);
	feed(2, PMZ_SUCCESS);
	assert_int_equal(read_stats().epoch, epoch + 3);
	assert_int_equal(read_stats().changed_at, BOOT + PMZ_S(5) + 3);
}

static void the_window_reads_empty_unless_closed(void **state)
{
	(void)state;
	start(NULL);
	feed(20, PMZ_FAILURE);
	expect_state(state_now(), PMZ_OPEN);
	assert_int_equal(read_stats().window_calls, 0);
	assert_int_equal(read_stats().window_failures, 0);
	assert_int_equal(read_stats().failures, 20);
	heal(3);
	assert_int_equal(read_stats().window_calls, 0);
}

static void reading_does_not_end_the_rest(void **state)
{
	uint32_t epoch;

	(void)state;
	start(&brittle);
	trip();
	epoch = read_stats().epoch;
	t.now += PMZ_S(3600);
	expect_state(state_now(), PMZ_OPEN);
	assert_int_equal(read_stats().epoch, epoch);
}

static void a_shorter_stats_struct_is_filled_as_far_as_it_goes(void **state)
{
	pmz_breaker_stats stats;

	(void)state;
	start(&brittle);
	feed(2, PMZ_SUCCESS);
	memset(&stats, 0xa5, sizeof(stats));
	stats.size = offsetof(pmz_breaker_stats, failures);
	expect_status(pmz_breaker_read(t.breaker, t.now, &stats), PMZ_OK);
	assert_int_equal(stats.calls, 2);
	assert_int_equal(stats.failures, 0xa5a5a5a5a5a5a5a5u);
}

/* New rules. */

static void set(const pmz_breaker_config *config, int expect, const char *field)
{
	pmz_why why = { .text = "" };
	int status = pmz_breaker_set(t.breaker, config, t.now, &why);

	expect_status(status, expect);
	if (field)
		assert_string_equal(why.field, field);
}

static void new_rules_judge_what_was_learnt_before(void **state)
{
	pmz_breaker_config config;

	(void)state;
	with_two_failures(&config);
	config.failures_max = 100;
	start(&config);
	feed(4, PMZ_FAILURE);
	config.failures_max = 5;
	set(&config, PMZ_OK, NULL);
	expect_state(state_now(), PMZ_CLOSED);
	feed(1, PMZ_FAILURE);
	expect_state(state_now(), PMZ_OPEN);
}

static void new_rules_hold_for_the_next_rest(void **state)
{
	pmz_breaker_config config = brittle;

	(void)state;
	start(&config);
	config.open_ns = PMZ_S(2);
	set(&config, PMZ_OK, NULL);
	trip();
	assert_int_equal(rest(), PMZ_S(2));
}

static void a_window_of_new_length_counts_what_it_has_as_seen_now(void **state)
{
	pmz_breaker_config config;

	(void)state;
	with_two_failures(&config);
	config.failures_max = 6;
	start(&config);
	feed(5, PMZ_FAILURE);
	t.now += PMZ_S(9);
	config.window_ns = PMZ_S(20);
	set(&config, PMZ_OK, NULL);
	assert_int_equal(read_stats().window_failures, 5);
	t.now += PMZ_S(18);
	assert_int_equal(read_stats().window_failures, 5);
	t.now += PMZ_S(2);
	assert_int_equal(read_stats().window_failures, 0);
}

static void a_set_without_a_mode_keeps_the_mode(void **state)
{
	pmz_breaker_config config = brittle;

	(void)state;
	start(&brittle);
	force(PMZ_ISOLATED);
	config.mode = 0;
	set(&config, PMZ_OK, NULL);
	assert_int_equal(ready_at(), PMZ_NEVER);
}

static void what_cannot_change_is_refused_and_changes_nothing(void **state)
{
	pmz_breaker_config config = brittle;

	(void)state;
	start(&brittle);
	config.open_ns = PMZ_S(1);
	config.calls_window = 10;
	set(&config, PMZ_E_CONFIG, "calls_window");
	config.calls_window = 0;
	config.probes_max = 2;
	set(&config, PMZ_E_CONFIG, "probes_max");
	config.probes_max = 1;
	config.failure_pct = 101;
	set(&config, PMZ_E_CONFIG, "failure_pct");
	trip();
	assert_int_equal(rest(), PMZ_S(5));
}

static void a_count_window_keeps_its_length(void **state)
{
	pmz_breaker_config config = brittle;

	(void)state;
	config.calls_window = 10;
	start(&config);
	config.calls_window = 11;
	set(&config, PMZ_E_CONFIG, "calls_window");
	config.calls_window = 0;
	config.window_ns = PMZ_S(10);
	assert_true(pmz_breaker_set(t.breaker, &config, t.now, NULL) ==
	            PMZ_E_CONFIG);
	config.calls_window = 10;
	config.window_ns = 0;
	set(&config, PMZ_OK, NULL);
}

/* Clocks that are wrong. */

static void a_clock_that_steps_back_shortens_no_rest(void **state)
{
	(void)state;
	start(&brittle);
	trip();
	t.now -= PMZ_S(100);
	assert_int_equal(ready_at(), BOOT + PMZ_S(5));
	t.now = BOOT + PMZ_S(5) - 1;
	ready_at();
	t.now++;
	hold(1);
}

static void a_clock_that_steps_back_makes_no_call_slow(void **state)
{
	pmz_breaker_config config;

	(void)state;
	with_slow_calls(&config);
	start(&config);
	hold(1);
	t.now -= PMZ_S(100);
	end(0, PMZ_SUCCESS);
	assert_int_equal(read_stats().slow, 0);
}

static void a_clock_that_steps_back_keeps_the_window(void **state)
{
	pmz_breaker_config config;

	(void)state;
	with_two_failures(&config);
	config.failures_max = 3;
	start(&config);
	feed(1, PMZ_FAILURE);
	t.now -= PMZ_S(500);
	feed(1, PMZ_FAILURE);
	t.now += PMZ_S(500) + PMZ_S(9);
	feed(1, PMZ_FAILURE);
	expect_state(state_now(), PMZ_OPEN);
}

static void the_first_instant_of_a_clock_is_an_instant(void **state)
{
	static const struct row rows[] = {
		{ 0, PMZ_OK, PMZ_FAILURE, PMZ_OPEN },
		{ PMZ_S(5) - 1, PMZ_REFUSED_OPEN, HELD, PMZ_OPEN },
		{ 1, PMZ_OK, PMZ_FAILURE, PMZ_OPEN },
	};

	(void)state;
	start(&brittle);
	t.now = 0;
	play(rows, KIT_COUNT(rows));
}

/* Memory of the caller's. */

static void placed(pmz_breaker_config *config, void *memory, size_t len,
                   int expect)
{
	pmz_why why;

	expect_status(pmz_breaker_place(&t.breaker, memory, len, config, &why),
	              expect);
}

static void who_places_an_equal_config_joins(void **state)
{
	static _Alignas(64) char memory[16384];
	pmz_breaker_config config = brittle;
	pmz_breaker *first;

	(void)state;
	memset(memory, 0, sizeof(memory));
	assert_true(pmz_breaker_size(&config) <= sizeof(memory));
	t.now = BOOT;
	placed(&config, memory, sizeof(memory), PMZ_OK);
	first = t.breaker;
	trip();
	placed(&config, memory, sizeof(memory), PMZ_OK);
	assert_int_equal(ready_at(), BOOT + PMZ_S(5));
	assert_ptr_equal(first, t.breaker);
	t.breaker = NULL;
}

static void who_places_another_config_is_turned_away(void **state)
{
	static _Alignas(64) char memory[16384];
	pmz_breaker_config config = brittle;

	(void)state;
	memset(memory, 0, sizeof(memory));
	placed(&config, memory, sizeof(memory), PMZ_OK);
	config.open_ns = PMZ_S(4);
	placed(&config, memory, sizeof(memory), PMZ_E_STATE);
	t.breaker = NULL;
}

static void new_rules_do_not_turn_away_who_joins_by_the_old(void **state)
{
	static _Alignas(64) char memory[16384];
	pmz_breaker_config config = brittle, other = brittle;

	(void)state;
	memset(memory, 0, sizeof(memory));
	t.now = BOOT;
	placed(&config, memory, sizeof(memory), PMZ_OK);
	other.open_ns = PMZ_S(2);
	set(&other, PMZ_OK, NULL);
	placed(&config, memory, sizeof(memory), PMZ_OK);
	trip();
	assert_int_equal(rest(), PMZ_S(2));
	t.breaker = NULL;
}

static void memory_that_does_not_do_is_refused(void **state)
{
	static _Alignas(64) char memory[16384];
	pmz_breaker_config config = brittle;
	pmz_breaker *b = NULL;
	size_t size = pmz_breaker_size(&config);

	(void)state;
	memset(memory, 0, sizeof(memory));
	assert_true(size > 0 && size < sizeof(memory));
	assert_true(pmz_breaker_place(&b, memory, size - 1, &config, NULL) < 0);
	assert_true(pmz_breaker_place(&b, memory + 8, sizeof(memory) - 8,
	                              &config, NULL) < 0);
	expect_status(pmz_breaker_place(&b, memory, size, &config, NULL),
	              PMZ_OK);
}

#define T(name) cmocka_unit_test_teardown(name, stop)

static const struct CMUnitTest tests[] = {
	T(nothing_said_means_the_documented_defaults),
	T(a_zero_field_takes_its_default),
	T(a_wrong_config_is_named_by_its_field),
	T(the_ends_of_each_range_are_allowed),
	T(a_newer_config_is_taken_unless_it_asks_for_more),
	T(an_older_config_leaves_what_it_lacks_at_the_default),
	T(freeing_nothing_is_fine),
	T(a_share_of_failures_trips_at_its_percentage),
	T(a_share_is_compared_without_rounding),
	T(fewer_results_than_calls_min_do_not_trip),
	T(the_result_that_reaches_calls_min_is_judged),
	T(a_default_calls_min_shrinks_to_the_window),
	T(calls_min_does_not_hold_back_a_count_of_failures),
	T(a_fatal_end_counts_like_a_failure),
	T(what_is_ignored_enters_no_window),
	T(so_many_failures_in_the_window_trip),
	T(so_many_failures_in_a_row_trip),
	T(failures_in_a_row_may_be_an_hour_apart),
	T(a_time_window_holds_ten_buckets),
	T(a_time_window_forgets_a_bucket_as_the_eleventh_begins),
	T(a_window_is_read_as_of_the_time_of_reading),
	T(an_hour_of_silence_empties_a_time_window),
	T(a_call_counts_in_the_bucket_in_which_it_ends),
	T(a_count_window_holds_the_last_results_only),
	T(a_count_window_slides_over_its_end_many_times),
	T(a_bucket_counts_ten_million_results),
	T(a_window_counts_after_any_number_of_changes),
	T(a_window_begins_anew_after_any_number_of_resets),
	T(a_call_is_slow_when_it_lasts_longer_than_slow_ns),
	T(a_share_of_slow_calls_trips_whatever_their_result),
	T(slow_successes_alone_trip),
	T(a_slow_call_is_judged_though_it_succeeds),
	T(without_slow_pct_slow_calls_are_only_counted),
	T(a_slow_probe_reopens),
	T(an_open_breaker_refuses_until_its_rest_is_over),
	T(a_refusal_says_when_the_rest_ends),
	T(a_refused_caller_has_nothing_to_settle),
	T(each_trip_in_a_row_doubles_the_rest_up_to_its_cap),
	T(a_thousand_trips_do_not_overflow_the_rest),
	T(the_cap_is_never_below_the_first_rest),
	T(a_healthy_window_takes_one_doubling_back),
	T(jitter_spreads_the_rest_to_both_sides),
	T(at_the_cap_jitter_only_shortens_the_rest),
	T(one_seed_gives_the_same_rests_again),
	T(without_a_seed_two_breakers_do_not_probe_in_step),
	T(a_hint_lengthens_the_rest_within_its_cap),
	T(a_hint_on_a_success_opens_nothing),
	T(a_probes_hint_lengthens_the_next_rest),
	T(the_call_that_ends_the_rest_is_the_first_probe),
	T(no_more_probes_are_out_than_probes_max),
	T(enough_successful_probes_close),
	T(one_failed_probe_reopens_at_once),
	T(a_probe_that_failed_fatally_reopens),
	T(an_ignored_probe_gives_its_place_back_and_decides_nothing),
	T(the_other_probes_are_stale_once_one_failed),
	T(a_lapsed_lease_is_handed_out_again),
	T(a_refusal_says_when_the_earliest_lease_ends),
	T(a_success_after_its_lease_counts_towards_closing),
	T(a_success_after_its_lease_frees_no_other_place),
	T(an_ignored_probe_after_its_lease_frees_no_other_place),
	T(a_failure_after_its_place_was_handed_on_is_stale),
	T(a_failure_after_its_lease_that_nobody_took_reopens),
	T(the_lease_is_as_long_as_the_config_says),
	T(a_result_from_before_the_trip_is_stale),
	T(a_late_result_does_not_close_the_breaker),
	T(a_late_failure_does_not_trip_a_closed_breaker),
	T(a_probe_of_an_earlier_spell_frees_nothing),
	T(an_empty_permit_is_a_counted_mistake),
	T(settling_empties_the_permit),
	T(an_unknown_outcome_leaves_the_permit_as_it_is),
	T(a_copy_of_a_probe_frees_its_place_once),
	T(a_shadow_runs_the_machine_and_refuses_nobody),
	T(a_shadow_call_beside_the_probe_decides_nothing),
	T(an_isolated_breaker_refuses_all_for_ever),
	T(a_disabled_breaker_learns_nothing),
	T(to_force_and_to_leave_starts_closed_and_empty),
	T(a_forced_breaker_forgets_that_it_was_open),
	T(permits_from_before_a_forced_mode_are_stale_after_it),
	T(a_permit_of_a_disabled_breaker_moves_nothing_later),
	T(a_shadow_may_be_enforced_as_it_stands),
	T(an_unknown_mode_is_refused),
	T(a_reset_closes_and_empties),
	T(a_reset_empties_the_window_of_a_closed_breaker),
	T(a_reset_ends_a_row_of_failures),
	T(each_change_of_state_adds_one_to_the_epoch),
	T(the_window_reads_empty_unless_closed),
	T(reading_does_not_end_the_rest),
	T(a_shorter_stats_struct_is_filled_as_far_as_it_goes),
	T(new_rules_judge_what_was_learnt_before),
	T(new_rules_hold_for_the_next_rest),
	T(a_window_of_new_length_counts_what_it_has_as_seen_now),
	T(a_set_without_a_mode_keeps_the_mode),
	T(what_cannot_change_is_refused_and_changes_nothing),
	T(a_count_window_keeps_its_length),
	T(a_clock_that_steps_back_shortens_no_rest),
	T(a_clock_that_steps_back_makes_no_call_slow),
	T(a_clock_that_steps_back_keeps_the_window),
	T(the_first_instant_of_a_clock_is_an_instant),
	T(who_places_an_equal_config_joins),
	T(who_places_another_config_is_turned_away),
	T(new_rules_do_not_turn_away_who_joins_by_the_old),
	T(memory_that_does_not_do_is_refused),
};

int main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
