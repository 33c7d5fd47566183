/*
 * between.c - two calls on one guard, one between any two instructions of the
 * other.
 */
#include <stdio.h>
#include <string.h>

#include <pipemaze/breaker.h>
#include <pipemaze/budget.h>
#include <pipemaze/bulkhead.h>
#include <pipemaze/pipe.h>

#include "between.h"
#include "expect.h"

#define BOOT PMZ_S(1000)

static struct bench {
	pmz_breaker *breaker;
	pmz_bulkhead *bulkhead;
	pmz_budget *budget;
	pmz_pipe *pipe;
	pmz_permit mine, its;
	int my_status, its_status;
	uint64_t count;
	pmz_call call;
	pmz_step step;
} t;

struct meeting {
	void (*set_up)(void);
	between_work mine; /* is stopped */
	between_work its;  /* is done meanwhile */
	int (*holds)(void);
};

static void clean_up(void)
{
	pmz_pipe_free(t.pipe);
	pmz_breaker_free(t.breaker);
	pmz_bulkhead_free(t.bulkhead);
	pmz_budget_free(t.budget);
	memset(&t, 0, sizeof(t));
}

/* A stop costs as much as a signal: of longer work only so many places are
 * tried, from its start to its end. */
#define PLACES_MAX 80

/* How many instructions lie between two places. */
static unsigned stride_of(const struct meeting *m)
{
	unsigned length;

	m->set_up();
	length = between_length(m->mine, NULL);
	clean_up();
	assert_true(length > 10 || !between_works());
	return length / PLACES_MAX + 1;
}

/* At every place in the work, and after it. */
static void meet(const struct meeting *m)
{
	unsigned n, stride = stride_of(m);
	int met = 1;

	for (n = 0; met; n += stride) {
		m->set_up();
		met = between(n, m->mine, m->its, NULL);
		if (!met)
			m->its(NULL);
		if (!m->holds())
			fail_msg("not after %u instructions: %s and %s", n,
			         pmz_status_name(t.my_status),
			         pmz_status_name(t.its_status));
		clean_up();
	}
}

static int only_one_was_admitted(void)
{
	return (t.my_status == PMZ_OK) + (t.its_status == PMZ_OK) == 1;
}

/* The budget. */

static void set_up_budget(uint32_t retry_pct, uint32_t per_second_min)
{
	const pmz_budget_config c = { .size = sizeof(c),
		                      .retry_pct = retry_pct,
		                      .per_second_min = per_second_min };

	expect_status(pmz_budget_new(&t.budget, &c, NULL), PMZ_OK);
}

static void one_retry_is_saved_up(void)
{
	set_up_budget(100, PMZ_OFF);
	pmz_budget_deposit(t.budget, BOOT);
}

static void one_retry_is_there_anyway(void)
{
	set_up_budget(PMZ_OFF, 1);
}

static void i_withdraw(void *ctx)
{
	(void)ctx;
	t.my_status = pmz_budget_withdraw(t.budget, BOOT);
}

static void it_withdraws(void *ctx)
{
	(void)ctx;
	t.its_status = pmz_budget_withdraw(t.budget, BOOT);
}

static void the_last_retry_is_withdrawn_once(void **state)
{
	const struct meeting saved = { one_retry_is_saved_up, i_withdraw,
		                       it_withdraws, only_one_was_admitted };
	const struct meeting anyway = { one_retry_is_there_anyway, i_withdraw,
		                        it_withdraws, only_one_was_admitted };

	(void)state;
	meet(&saved);
	meet(&anyway);
}

/* A bucket ends for both, and each does what there is to do then. */

static void two_deposits_are_a_bucket_old(void)
{
	set_up_budget(100, PMZ_OFF);
	pmz_budget_deposit(t.budget, BOOT);
	pmz_budget_deposit(t.budget, BOOT);
}

static void i_deposit_later(void *ctx)
{
	(void)ctx;
	pmz_budget_deposit(t.budget, BOOT + PMZ_S(1));
}

static void it_deposits_later(void *ctx)
{
	(void)ctx;
	pmz_budget_deposit(t.budget, BOOT + PMZ_S(3));
}

static int four_are_left(void)
{
	int n = 0;

	while (pmz_budget_withdraw(t.budget, BOOT + PMZ_S(3)) == PMZ_OK)
		n++;
	return n == 4;
}

static void deposits_are_kept_as_a_bucket_ends(void **state)
{
	const struct meeting m = { two_deposits_are_a_bucket_old,
		                   i_deposit_later, it_deposits_later,
		                   four_are_left };

	(void)state;
	meet(&m);
}

/* The bulkhead. */

static void one_slot_is_free(void)
{
	const pmz_bulkhead_config c = { .size = sizeof(c), .limit = 1 };

	expect_status(pmz_bulkhead_new(&t.bulkhead, &c, NULL), PMZ_OK);
}

static void i_hold_the_only_slot(void)
{
	one_slot_is_free();
	expect_status(pmz_bulkhead_acquire(t.bulkhead, BOOT, &t.mine), PMZ_OK);
}

static void i_take_a_slot(void *ctx)
{
	(void)ctx;
	t.my_status = pmz_bulkhead_acquire(t.bulkhead, BOOT, &t.mine);
}

static void it_takes_a_slot(void *ctx)
{
	(void)ctx;
	t.its_status = pmz_bulkhead_acquire(t.bulkhead, BOOT, &t.its);
}

static void i_give_my_slot_back(void *ctx)
{
	(void)ctx;
	t.my_status =
		pmz_bulkhead_settle(t.bulkhead, &t.mine, PMZ_SUCCESS, BOOT);
}

static pmz_bulkhead_stats inside(void)
{
	pmz_bulkhead_stats s = { .size = sizeof(s) };

	expect_status(pmz_bulkhead_read(t.bulkhead, &s), PMZ_OK);
	return s;
}

static int one_is_inside(void)
{
	return only_one_was_admitted() && inside().in_use == 1 &&
	       inside().in_use_max == 1 && inside().admitted == 1;
}

static int who_was_let_in_is_inside(void)
{
	return t.my_status == PMZ_OK &&
	       inside().in_use == (t.its_status == PMZ_OK) &&
	       inside().in_use_max == 1;
}

static void the_last_slot_is_taken_once(void **state)
{
	const struct meeting m = { one_slot_is_free, i_take_a_slot,
		                   it_takes_a_slot, one_is_inside };

	(void)state;
	meet(&m);
}

static void a_slot_given_back_is_taken_or_free(void **state)
{
	const struct meeting m = { i_hold_the_only_slot, i_give_my_slot_back,
		                   it_takes_a_slot, who_was_let_in_is_inside };

	(void)state;
	meet(&m);
}

static void it_resets(void *ctx)
{
	(void)ctx;
	pmz_bulkhead_reset(t.bulkhead);
}

static void it_resets_and_enters(void *ctx)
{
	it_resets(ctx);
	it_takes_a_slot(ctx);
}

static void it_resets_often_and_enters(void *ctx)
{
	int i;

	for (i = 0; i < 256; i++)
		it_resets(ctx);
	it_takes_a_slot(ctx);
}

static int nobody_is_inside(void)
{
	return inside().in_use == 0;
}

static int it_alone_is_inside(void)
{
	return t.its_status == PMZ_OK && inside().in_use == 1;
}

static void a_slot_given_back_at_a_reset_is_free(void **state)
{
	const struct meeting m = { i_hold_the_only_slot, i_give_my_slot_back,
		                   it_resets, nobody_is_inside };

	(void)state;
	meet(&m);
}

static void a_slot_from_before_a_reset_frees_no_other(void **state)
{
	const struct meeting m = { i_hold_the_only_slot, i_give_my_slot_back,
		                   it_resets_and_enters, it_alone_is_inside };

	(void)state;
	meet(&m);
}

static void a_slot_from_before_many_resets_frees_no_other(void **state)
{
	const struct meeting m = { i_hold_the_only_slot, i_give_my_slot_back,
		                   it_resets_often_and_enters,
		                   it_alone_is_inside };

	(void)state;
	meet(&m);
}

/* The word counts so many, and the next one is counted beside it too. */
#define IN_THE_WORD 32767

static void many_have_been_inside(void)
{
	int i;

	one_slot_is_free();
	for (i = 0; i < IN_THE_WORD; i++) {
		i_take_a_slot(NULL);
		i_give_my_slot_back(NULL);
	}
}

static void i_read_the_count(void *ctx)
{
	(void)ctx;
	t.count = inside().admitted;
}

static int all_are_counted_once(void)
{
	return inside().admitted == IN_THE_WORD + 1 &&
	       t.count - IN_THE_WORD <= 1;
}

static void a_count_is_whole_at_any_moment(void **state)
{
	const struct meeting reads = { many_have_been_inside, i_read_the_count,
		                       it_takes_a_slot, all_are_counted_once };
	const struct meeting takes = { many_have_been_inside, i_take_a_slot,
		                       i_read_the_count, all_are_counted_once };

	(void)state;
	meet(&reads);
	meet(&takes);
}

/* The breaker's probes. */

static pmz_breaker_config brittle(uint32_t places, uint32_t to_close)
{
	pmz_breaker_config c = { .size = sizeof(c) };

	c.failure_pct = PMZ_OFF;
	c.consecutive_max = 1;
	c.open_jitter_pct = PMZ_OFF;
	c.probes_max = places;
	c.probes_to_close = to_close;
	return c;
}

static void make_breaker(const pmz_breaker_config *c)
{
	expect_status(pmz_breaker_new(&t.breaker, c, NULL), PMZ_OK);
}

static void call(pmz_outcome how, pmz_ns now)
{
	pmz_permit p;

	expect_status(pmz_breaker_acquire(t.breaker, now, &p, NULL), PMZ_OK);
	expect_status(pmz_breaker_settle(t.breaker, &p, how, now), PMZ_OK);
}

static pmz_breaker_stats stats(pmz_ns now)
{
	pmz_breaker_stats s = { .size = sizeof(s) };

	expect_status(pmz_breaker_read(t.breaker, now, &s), PMZ_OK);
	return s;
}

#define REST_ENDS (BOOT + PMZ_S(5))
#define LEASE_ENDS (REST_ENDS + PMZ_S(10))

static void a_rest_ends(void)
{
	const pmz_breaker_config c = brittle(1, 3);

	make_breaker(&c);
	call(PMZ_FAILURE, BOOT);
}

static void my_lease_ends(void)
{
	a_rest_ends();
	expect_status(pmz_breaker_acquire(t.breaker, REST_ENDS, &t.mine, NULL),
	              PMZ_OK);
}

static void i_probe(void *ctx)
{
	(void)ctx;
	t.my_status = pmz_breaker_acquire(t.breaker, LEASE_ENDS, &t.mine, NULL);
}

static void it_probes(void *ctx)
{
	(void)ctx;
	t.its_status = pmz_breaker_acquire(t.breaker, LEASE_ENDS, &t.its, NULL);
}

static void i_ignore_my_probe(void *ctx)
{
	(void)ctx;
	t.my_status =
		pmz_breaker_settle(t.breaker, &t.mine, PMZ_IGNORE, LEASE_ENDS);
}

static int one_probe_is_out(void)
{
	pmz_permit p;

	return only_one_was_admitted() && stats(LEASE_ENDS).probes_out == 1 &&
	       pmz_breaker_acquire(t.breaker, LEASE_ENDS, &p, NULL) ==
	               PMZ_REFUSED_OPEN;
}

static int its_probe_is_out(void)
{
	t.my_status = PMZ_REFUSED_OPEN;
	return one_probe_is_out();
}

static void the_only_place_is_taken_once_as_a_rest_ends(void **state)
{
	const struct meeting m = { a_rest_ends, i_probe, it_probes,
		                   one_probe_is_out };

	(void)state;
	meet(&m);
}

static void the_only_place_is_handed_on_once_as_a_lease_ends(void **state)
{
	const struct meeting m = { my_lease_ends, i_probe, it_probes,
		                   one_probe_is_out };

	(void)state;
	meet(&m);
}

static void who_comes_late_does_not_free_what_was_handed_on(void **state)
{
	const struct meeting m = { my_lease_ends, i_ignore_my_probe, it_probes,
		                   its_probe_is_out };

	(void)state;
	meet(&m);
}

/* What probes decide. */

static void both_probe(uint32_t to_close)
{
	const pmz_breaker_config c = brittle(2, to_close);

	make_breaker(&c);
	call(PMZ_FAILURE, BOOT);
	expect_status(pmz_breaker_acquire(t.breaker, REST_ENDS, &t.mine, NULL),
	              PMZ_OK);
	expect_status(pmz_breaker_acquire(t.breaker, REST_ENDS, &t.its, NULL),
	              PMZ_OK);
}

static void both_are_needed_to_close(void)
{
	both_probe(2);
}

static void one_is_enough_to_close(void)
{
	both_probe(1);
}

static void i_succeed(void *ctx)
{
	(void)ctx;
	t.my_status =
		pmz_breaker_settle(t.breaker, &t.mine, PMZ_SUCCESS, REST_ENDS);
}

static void it_succeeds(void *ctx)
{
	(void)ctx;
	t.its_status =
		pmz_breaker_settle(t.breaker, &t.its, PMZ_SUCCESS, REST_ENDS);
}

static void it_fails(void *ctx)
{
	(void)ctx;
	t.its_status =
		pmz_breaker_settle(t.breaker, &t.its, PMZ_FAILURE, REST_ENDS);
}

static int is_closed_and_empty(void)
{
	pmz_breaker_stats s = stats(REST_ENDS);

	return s.state == PMZ_CLOSED && !s.window_calls && s.trips == 1 &&
	       s.calls + s.stale == 3;
}

static int is_decided_one_way(void)
{
	pmz_breaker_stats s = stats(REST_ENDS);

	return s.calls + s.stale == 3 &&
	       (s.state == PMZ_CLOSED ? s.trips == 1
	                              : s.state == PMZ_OPEN && s.trips == 2);
}

static void two_successes_count_as_two(void **state)
{
	const struct meeting m = { both_are_needed_to_close, i_succeed,
		                   it_succeeds, is_closed_and_empty };

	(void)state;
	meet(&m);
}

static void a_success_and_a_failure_decide_one_way(void **state)
{
	const struct meeting m = { one_is_enough_to_close, i_succeed, it_fails,
		                   is_decided_one_way };

	(void)state;
	meet(&m);
}

/* Closed. */

/* My call is under way. */
static void i_enter(void)
{
	expect_status(pmz_breaker_acquire(t.breaker, BOOT, &t.mine, NULL),
	              PMZ_OK);
}

static void settle_mine(pmz_outcome how, pmz_ns now)
{
	t.my_status = pmz_breaker_settle(t.breaker, &t.mine, how, now);
}

static void two_failures_will_do(void)
{
	pmz_breaker_config c = brittle(1, 3);

	c.consecutive_max = 0;
	c.failures_max = 2;
	make_breaker(&c);
	i_enter();
}

static void two_in_a_row_will_do(void)
{
	pmz_breaker_config c = brittle(1, 3);

	c.consecutive_max = 2;
	make_breaker(&c);
	i_enter();
}

static void two_of_the_last_calls_will_do(void)
{
	pmz_breaker_config c = brittle(1, 3);

	c.consecutive_max = 0;
	c.failures_max = 2;
	c.calls_window = 2;
	make_breaker(&c);
	call(PMZ_FAILURE, BOOT);
	call(PMZ_SUCCESS, BOOT);
	call(PMZ_SUCCESS, BOOT);
	i_enter();
}

static void i_fail_once(void *ctx)
{
	(void)ctx;
	settle_mine(PMZ_FAILURE, BOOT);
}

static void it_fails_once(void *ctx)
{
	pmz_permit p;

	(void)ctx;
	if (pmz_breaker_acquire(t.breaker, BOOT, &p, NULL) == PMZ_OK)
		pmz_breaker_settle(t.breaker, &p, PMZ_FAILURE, BOOT);
}

static int it_tripped_once(void)
{
	pmz_breaker_stats s = stats(BOOT);

	return s.state == PMZ_OPEN && s.trips == 1 && s.epoch == 2;
}

static void two_failures_trip_once(void **state)
{
	static void (*const set_ups[])(
		void) = { two_failures_will_do, two_in_a_row_will_do,
		          two_of_the_last_calls_will_do };
	size_t i;

	(void)state;
	for (i = 0; i < KIT_COUNT(set_ups); i++) {
		const struct meeting m = { set_ups[i], i_fail_once,
			                   it_fails_once, it_tripped_once };

		meet(&m);
	}
}

static void one_failure_is_missing(void)
{
	two_failures_will_do();
	call(PMZ_FAILURE, BOOT);
}

static void it_asks(void *ctx)
{
	(void)ctx;
	t.its_status = pmz_breaker_acquire(t.breaker, BOOT, &t.its, NULL);
}

/* Admitted as before the trip, or refused, but not as the probe of a rest whose
 * end is not yet known. */
static int is_open_for_its_rest(void)
{
	pmz_permit p;
	pmz_ns ready = 0;

	return stats(BOOT).state == PMZ_OPEN &&
	       pmz_breaker_acquire(t.breaker, BOOT, &p, &ready) ==
	               PMZ_REFUSED_OPEN &&
	       ready == BOOT + PMZ_S(5);
}

static void who_sees_a_trip_sees_its_rest(void **state)
{
	const struct meeting m = { one_failure_is_missing, i_fail_once, it_asks,
		                   is_open_for_its_rest };

	(void)state;
	meet(&m);
}

/* The ring of a count window holds two, and both of ours are in it. */
static void calls_are_many(void)
{
	pmz_breaker_config c = brittle(1, 3);

	c.consecutive_max = 100;
	c.calls_window = 2;
	make_breaker(&c);
	call(PMZ_FAILURE, BOOT);
	call(PMZ_FAILURE, BOOT);
	i_enter();
}

static void it_fails_twice(void *ctx)
{
	(void)ctx;
	call(PMZ_FAILURE, BOOT);
	call(PMZ_FAILURE, BOOT);
}

static int the_ring_has_not_drifted(void)
{
	if (stats(BOOT).window_failures > 2)
		return 0;
	call(PMZ_SUCCESS, BOOT);
	call(PMZ_SUCCESS, BOOT);
	if (stats(BOOT).window_failures)
		return 0;
	call(PMZ_FAILURE, BOOT);
	return stats(BOOT).window_failures == 1;
}

static void a_result_that_is_lapped_leaves_no_mark(void **state)
{
	const struct meeting m = { calls_are_many, i_fail_once, it_fails_twice,
		                   the_ring_has_not_drifted };

	(void)state;
	meet(&m);
}

static void three_calls_are_in_the_window(void)
{
	make_breaker(NULL);
	call(PMZ_SUCCESS, BOOT);
	call(PMZ_SUCCESS, BOOT);
	call(PMZ_FAILURE, BOOT);
	i_enter();
}

static void i_end_a_bucket(void *ctx)
{
	(void)ctx;
	settle_mine(PMZ_SUCCESS, BOOT + PMZ_S(1));
}

static void it_ends_three_buckets(void *ctx)
{
	(void)ctx;
	call(PMZ_FAILURE, BOOT + PMZ_S(3));
}

static void it_ends_the_window(void *ctx)
{
	(void)ctx;
	call(PMZ_FAILURE, BOOT + PMZ_S(100));
}

static int all_five_are_there(void)
{
	return stats(BOOT + PMZ_S(9)).window_calls == 5 &&
	       stats(BOOT + PMZ_S(9)).window_failures == 2 &&
	       stats(BOOT + PMZ_S(13)).window_calls == 0;
}

/* The other's, and mine if it came after. */
static int only_the_new_are_there(void)
{
	pmz_breaker_stats s = stats(BOOT + PMZ_S(100));

	return (s.window_calls == 1 || s.window_calls == 2) &&
	       s.window_failures == 1 && s.calls == 5;
}

static void no_result_is_lost_as_a_bucket_ends(void **state)
{
	const struct meeting some = { three_calls_are_in_the_window,
		                      i_end_a_bucket, it_ends_three_buckets,
		                      all_five_are_there };
	const struct meeting all = { three_calls_are_in_the_window,
		                     i_end_a_bucket, it_ends_the_window,
		                     only_the_new_are_there };

	(void)state;
	meet(&some);
	meet(&all);
}

/* The operator. */

static void it_resets_the_breaker(void *ctx)
{
	(void)ctx;
	pmz_breaker_reset(t.breaker, BOOT + PMZ_S(1));
}

/* Mine may come to the new window, if it was on its way: one a thread. */
static int the_window_was_emptied(void)
{
	pmz_breaker_stats s = stats(BOOT + PMZ_S(1));

	return s.window_calls <= 1 && s.window_failures == 0 &&
	       s.calls + s.stale == 4 && s.epoch == 2;
}

static void a_reset_empties_the_window_under_a_call(void **state)
{
	const struct meeting m = { three_calls_are_in_the_window,
		                   i_end_a_bucket, it_resets_the_breaker,
		                   the_window_was_emptied };

	(void)state;
	meet(&m);
}

static void it_isolates(void *ctx)
{
	(void)ctx;
	expect_status(pmz_breaker_force(t.breaker, PMZ_ISOLATED, REST_ENDS),
	              PMZ_OK);
}

static int none_is_admitted_or_out(void)
{
	pmz_permit p;

	return stats(REST_ENDS).probes_out == 0 &&
	       stats(REST_ENDS).state == PMZ_OPEN &&
	       pmz_breaker_acquire(t.breaker, LEASE_ENDS, &p, NULL) ==
	               PMZ_REFUSED_OPEN;
}

static void a_probe_does_not_undo_an_isolation(void **state)
{
	const struct meeting m = { a_rest_ends, i_probe, it_isolates,
		                   none_is_admitted_or_out };

	(void)state;
	meet(&m);
}

/* Two who set up the same memory. */

static _Alignas(64) char room[4096];
static const pmz_breaker_config placed = {
	.size = sizeof(pmz_breaker_config),
	.failure_pct = PMZ_OFF,
	.consecutive_max = 1,
	.open_jitter_pct = PMZ_OFF,
};

static void the_room_is_empty(void)
{
	memset(room, 0, sizeof(room));
}

static void i_place(void *ctx)
{
	pmz_breaker *b;

	(void)ctx;
	t.my_status = pmz_breaker_place(&b, room, sizeof(room), &placed, NULL);
}

static void it_places_and_trips(void *ctx)
{
	pmz_breaker_config slower = placed;

	(void)ctx;
	slower.open_ns = PMZ_S(7);
	t.its_status = pmz_breaker_place(&t.breaker, room, sizeof(room),
	                                 &placed, NULL);
	expect_status(pmz_breaker_set(t.breaker, &slower, BOOT, NULL), PMZ_OK);
	call(PMZ_FAILURE, BOOT);
}

static int what_it_did_stands(void)
{
	pmz_permit p;
	pmz_ns ready = 0;
	int status = pmz_breaker_acquire(t.breaker, BOOT, &p, &ready);

	t.breaker = NULL;
	return t.my_status == PMZ_OK && t.its_status == PMZ_OK &&
	       status == PMZ_REFUSED_OPEN && ready == BOOT + PMZ_S(7);
}

static void a_slow_builder_undoes_nothing(void **state)
{
	const struct meeting m = { the_room_is_empty, i_place,
		                   it_places_and_trips, what_it_did_stands };

	(void)state;
	meet(&m);
}

/* The pipe. */

/* In each line the figures belong together: n s, n + 1 tries. */
static const char first_line[] =
	"try 1s | tries 2 backoff 1ms..1ms jitter none | bulkhead 1";
static const char second_line[] =
	"try 2s | tries 3 backoff 1ms..1ms jitter none";

static void a_line_is_in_force(void)
{
	expect_status(pmz_pipe_from(&t.pipe, first_line, NULL, NULL), PMZ_OK);
	t.bulkhead = NULL;
}

static void i_am_in_an_attempt(void)
{
	a_line_is_in_force();
	t.step = pmz_call_begin(&t.call, t.pipe, NULL, BOOT);
}

static void i_begin(void *ctx)
{
	(void)ctx;
	t.step = pmz_call_begin(&t.call, t.pipe, NULL, BOOT);
}

static void i_fail(void *ctx)
{
	(void)ctx;
	t.step = pmz_call_settle(&t.call, PMZ_FAILURE, BOOT);
}

static void it_reloads(void *ctx)
{
	(void)ctx;
	t.its_status = pmz_pipe_reload(t.pipe, second_line, BOOT, NULL);
}

/* So the copy that is read is written again too. */
static void it_reloads_twice(void *ctx)
{
	it_reloads(ctx);
	if (t.its_status == PMZ_OK)
		it_reloads(ctx);
}

/* Lets the call fail to its end; how many tries that took. */
static uint32_t tries_to_the_end(void)
{
	pmz_ns now = BOOT;

	while (t.step != PMZ_DONE && now < BOOT + PMZ_S(1)) {
		now += PMZ_MS(1);
		t.step = t.step == PMZ_TRY
		                 ? pmz_call_settle(&t.call, PMZ_FAILURE, now)
		                 : pmz_call_resume(&t.call, now);
	}
	return pmz_call_tries(&t.call);
}

static int all_slots_are_free(void)
{
	pmz_pipe_rules r = { .size = sizeof(r) };
	pmz_bulkhead_stats s = { .size = sizeof(s) };

	expect_status(pmz_pipe_reload(t.pipe, first_line, BOOT, NULL), PMZ_OK);
	expect_status(pmz_pipe_read(t.pipe, &r), PMZ_OK);
	expect_status(pmz_bulkhead_read(r.bulkhead, &s), PMZ_OK);
	return s.in_use == 0 && s.over_releases == 0;
}

static int it_went_by_one_line(void)
{
	uint64_t seconds = (pmz_call_due(&t.call) - BOOT) / PMZ_S(1);

	return t.its_status == PMZ_OK && (seconds == 1 || seconds == 2) &&
	       tries_to_the_end() == seconds + 1 && all_slots_are_free();
}

static int it_went_by_the_first_line(void)
{
	return t.its_status == PMZ_OK && tries_to_the_end() == 2 &&
	       all_slots_are_free();
}

static void a_call_that_begins_at_a_reload_goes_by_one_line(void **state)
{
	const struct meeting once = { a_line_is_in_force, i_begin, it_reloads,
		                      it_went_by_one_line };
	const struct meeting twice = { a_line_is_in_force, i_begin,
		                       it_reloads_twice, it_went_by_one_line };

	(void)state;
	meet(&once);
	meet(&twice);
}

static void a_call_that_is_in_flight_at_a_reload_leaves_its_guards(void **state)
{
	const struct meeting m = { i_am_in_an_attempt, i_fail, it_reloads,
		                   it_went_by_the_first_line };

	(void)state;
	meet(&m);
}

static void i_reload(void *ctx)
{
	(void)ctx;
	t.my_status = pmz_pipe_reload(t.pipe, first_line, BOOT, NULL);
}

static int one_line_is_in_force(void)
{
	pmz_pipe_rules r = { .size = sizeof(r) };
	uint64_t seconds;

	expect_status(pmz_pipe_read(t.pipe, &r), PMZ_OK);
	seconds = r.try_ns / PMZ_S(1);
	return r.backoff.tries_max == seconds + 1 &&
	       (r.bulkhead != NULL) == (seconds == 1);
}

/* The end of a reload, where it puts in force what it has read. */
#define ITS_END 150

/* The other waits for a while each time, and so there are not many. */
static void of_two_reloads_one_waits_or_gives_up(void **state)
{
	unsigned length, n;

	(void)state;
	a_line_is_in_force();
	length = between_length(i_reload, NULL);
	assert_true(length > ITS_END || !between_works());
	n = length > ITS_END ? length - ITS_END : 0;
	for (; n <= length; n += 11) {
		between(n, i_reload, it_reloads, NULL);
		expect_status(t.my_status, PMZ_OK);
		if (t.its_status != PMZ_OK)
			expect_status(t.its_status, PMZ_E_STATE);
		if (!one_line_is_in_force())
			fail_msg("not after %u instructions", n);
	}
	clean_up();
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(the_last_retry_is_withdrawn_once),
	cmocka_unit_test(deposits_are_kept_as_a_bucket_ends),
	cmocka_unit_test(the_last_slot_is_taken_once),
	cmocka_unit_test(a_slot_given_back_is_taken_or_free),
	cmocka_unit_test(a_slot_given_back_at_a_reset_is_free),
	cmocka_unit_test(a_slot_from_before_a_reset_frees_no_other),
	cmocka_unit_test(a_slot_from_before_many_resets_frees_no_other),
	cmocka_unit_test(a_count_is_whole_at_any_moment),
	cmocka_unit_test(the_only_place_is_taken_once_as_a_rest_ends),
	cmocka_unit_test(the_only_place_is_handed_on_once_as_a_lease_ends),
	cmocka_unit_test(who_comes_late_does_not_free_what_was_handed_on),
	cmocka_unit_test(two_successes_count_as_two),
	cmocka_unit_test(a_success_and_a_failure_decide_one_way),
	cmocka_unit_test(two_failures_trip_once),
	cmocka_unit_test(who_sees_a_trip_sees_its_rest),
	cmocka_unit_test(a_result_that_is_lapped_leaves_no_mark),
	cmocka_unit_test(no_result_is_lost_as_a_bucket_ends),
	cmocka_unit_test(a_reset_empties_the_window_under_a_call),
	cmocka_unit_test(a_probe_does_not_undo_an_isolation),
	cmocka_unit_test(a_slow_builder_undoes_nothing),
	cmocka_unit_test(a_call_that_begins_at_a_reload_goes_by_one_line),
	cmocka_unit_test(
		a_call_that_is_in_flight_at_a_reload_leaves_its_guards),
	cmocka_unit_test(of_two_reloads_one_waits_or_gives_up),
};

int main(void)
{
	if (!between_works())
		print_message("nothing can be stopped here: before and after "
		              "are all that is tried\n");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
