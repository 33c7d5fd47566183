/*
 * claims.c - what is known to go wrong elsewhere, and does not here.
 *
 * One entry for each defect that was found in a peer of this library: what goes
 * wrong, where that can be read, and the test that shows it does not happen
 * here. A number is an issue or pull request of the project on GitHub; what
 * follows an @ is the commit that was read. tests/abi/claims.sh looks that each
 * test is there.
 *
 * breaker stuck half-open, because a probe never reported
 *   resilience4j #544 #935, opossum #59
 *   -> unit/claims.c a_probe_that_never_reports_does_not_hold_the_breaker
 * stale success closes a half-open breaker
 *   resilience4j@af9e7c9
 *   -> unit/claims.c a_stale_success_does_not_close_a_half_open_breaker
 *   -> unit/breaker.c a_late_result_does_not_close_the_breaker
 * stale release inflates the probe limit
 *   resilience4j@af9e7c9
 *   -> unit/claims.c a_stale_release_does_not_widen_the_probe_limit
 *   -> race/breaker.c who_comes_late_frees_no_place_of_another
 * threads that end the rest together are one probe too many
 *   resilience4j #1432
 *   -> race/breaker.c as_many_as_there_are_places_end_a_rest
 * wall-clock step disables a time window for ever
 *   resilience4j@af9e7c9
 *   -> unit/claims.c a_clock_that_steps_back_does_not_blind_the_window
 *   -> prop/breaker.c a_wild_clock_neither_blinds_nor_blocks
 * a slow call is never counted, because its interval ended
 *   gobreaker@fed8e9e
 *   -> unit/claims.c a_call_that_outlasts_the_window_is_counted_as_slow
 * callback under the lock deadlocks
 *   gobreaker #39 #119
 *   -> unit/claims.c who_interrupts_a_guard_may_enter_it
 * jitter before the cap, so the whole fleet retries at the same instant
 *   ferd/backoff #8, avast/retry-go@026d943
 *   -> unit/claims.c at_the_cap_a_fleet_does_not_retry_in_step
 *   -> prop/backoff.c a_decorrelated_fleet_does_not_meet_at_the_cap
 * jitter after the cap exceeds the promised maximum
 *   cenkalti/backoff #117 #139
 *   -> unit/claims.c no_jitter_passes_the_cap
 * retry budget checked after the sleep
 *   failsafe-go@5759a5e
 *   -> unit/claims.c a_retry_is_paid_for_before_it_waits
 * retry budget checked, then added to
 *   failsafe-go@5759a5e
 *   -> unit/claims.c threads_do_not_overdraw_the_budget
 *   -> race/between.c the_last_retry_is_withdrawn_once
 * backoff dropped near the deadline, so retries hit harder
 *   brpc@004cfa9, failsafe-go@5759a5e
 *   -> unit/claims.c a_wait_is_never_cut_to_fit_the_deadline
 *   -> prop/backoff.c no_try_ends_after_the_deadline
 * late stamps mint tokens
 *   golang/go #56287
 *   -> unit/claims.c late_stamps_mint_no_tokens
 * a timed-out waiter destroys a permit
 *   failsafe #393 #400
 *   -> unit/claims.c a_waiter_that_times_out_loses_no_slot
 *   -> unit/claims.c a_waiter_that_is_cancelled_loses_no_slot
 * over-release raises a bulkhead's limit
 *   resilience4j #1569 #1571
 *   -> unit/claims.c an_over_release_does_not_raise_the_limit
 * keyed limiters that grow without bound
 *   governor #171
 *   -> unit/claims.c a_table_of_keys_never_grows
 * extend resurrects an expired lock
 *   redlock-rb #36
 *   -> unit/lock_proto.c an_extension_never_resurrects
 *   -> unit/memory.c a_lease_that_has_ended_is_not_brought_back
 *   -> wire/faults.c a_lease_of_a_server_restarted_empty_is_lost
 * extend lies about it
 *   redis-plus-plus #24 #39
 *   -> unit/lock_proto.c what_the_server_lost_is_not_extended
 *   -> unit/lock_proto.c a_failed_extension_leaves_the_lease_as_it_was
 * a timed-out SET lands after the release and orphans the lock
 *   redlock-rb #76, redsync@5560bd2: mutex.go, lockContext() releases when its
 *   SETs have timed out, and nothing tells a SET that comes later
 *   -> unit/lock_proto.c an_acquire_that_lands_after_all_grants_nothing
 *   -> wire/faults.c what_lands_after_it_was_given_up_grants_nothing
 *   -> wire/faults.c a_first_try_that_lands_after_the_release_is_gone
 * the fence restarts at 1
 *   redisson #6510: the script counts with INCR in a key of its own, which may
 *   be evicted; an INCR of what is gone is 1
 *   -> unit/lock_proto.c a_fence_grows_after_a_servers_memory_was_lost
 *   -> wire/faults.c the_fence_grows_after_all_memory_is_lost
 *   -> wire/quorum.c fences_grow_when_nodes_lose_their_memory_in_turn
 * a dead node fails the whole quorum
 *   redlock-rb #60 #129
 *   -> unit/lock_proto.c every_mask_of_five_nodes_is_judged_by_count
 *   -> wire/quorum.c two_of_five_dead_or_hung_neither_fail_nor_slow_it
 * no wait after an error: all ask in a hot loop while Redis is down
 *   an unpublished client, which these locks take the place of
 *   -> unit/claims_locks.c a_server_that_is_down_is_not_asked_in_a_hot_loop
 * connections are inherited by a program that is begun
 *   hiredis@29ea279
 *   -> wire/claims.c no_descriptor_outlives_an_exec
 * SIGPIPE kills the process
 *   hiredis #840 #1229
 *   -> wire/claims.c a_write_to_a_closed_connection_raises_no_signal
 *   -> wire/hiredis.c a_closed_connection_does_not_kill_by_sigpipe
 * a 100 ms timeout lasts 1.2 s against a trickling server
 *   hiredis@29ea279
 *   -> wire/claims.c a_trickling_server_is_left_in_time
 *   -> wire/claims.c a_users_connection_leaves_a_trickling_server_in_time
 * a weight change of one node moves keys between others
 *   RJ/ketama #13: ketama.c gives each server its part of the sum of weights
 *   -> prop/ring.c a_change_of_one_node_moves_its_keys_only
 *   -> prop/ring.c moved_over_ideal_is_one
 */
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <pipemaze/backoff.h>
#include <pipemaze/breaker.h>
#include <pipemaze/bucket.h>
#include <pipemaze/budget.h>
#include <pipemaze/bulkhead.h>
#include <pipemaze/pipe.h>

#include "base/atomic.h"
#include "crew.h"
#include "expect.h"

#define BOOT PMZ_S(1000)
#define PATIENCE 120 /* seconds, for what could deadlock */

static struct {
	pmz_breaker *breaker;
	pmz_bulkhead *bulkhead;
	pmz_budget *budget;
	pmz_keyed *keyed;
	pmz_pipe *pipe;
} t;

static int clean_up(void **state)
{
	(void)state;
	pmz_pipe_free(t.pipe);
	pmz_breaker_free(t.breaker);
	pmz_bulkhead_free(t.bulkhead);
	pmz_budget_free(t.budget);
	pmz_keyed_free(t.keyed);
	memset(&t, 0, sizeof(t));
	return 0;
}

/* One failure opens it for 5 s; one place for probes. */
static void make_breaker(void)
{
	const pmz_breaker_config config = {
		.size = sizeof(config),
		.failure_pct = PMZ_OFF,
		.consecutive_max = 1,
		.open_jitter_pct = PMZ_OFF,
		.probes_to_close = 1,
	};

	expect_status(pmz_breaker_new(&t.breaker, &config, NULL), PMZ_OK);
}

static void make_bulkhead(uint32_t limit)
{
	const pmz_bulkhead_config config = { .size = sizeof(config),
		                             .limit = limit };

	expect_status(pmz_bulkhead_new(&t.bulkhead, &config, NULL), PMZ_OK);
}

static int enter(pmz_permit *permit, pmz_ns now)
{
	return pmz_breaker_acquire(t.breaker, now, permit, NULL);
}

static void leave(pmz_permit *permit, pmz_outcome how, pmz_ns now)
{
	expect_status(pmz_breaker_settle(t.breaker, permit, how, now), PMZ_OK);
}

static void call(pmz_outcome how, pmz_ns now)
{
	pmz_permit p;

	expect_status(enter(&p, now), PMZ_OK);
	leave(&p, how, now);
}

static pmz_breaker_stats stats(pmz_ns now)
{
	pmz_breaker_stats s = { .size = sizeof(s) };

	expect_status(pmz_breaker_read(t.breaker, now, &s), PMZ_OK);
	return s;
}

/* The breaker. */

/* A probe whose caller never reports keeps the breaker half open for ever.
 * resilience4j #544 (its result is ignored) and #935 (its call hangs); opossum
 * #59, a pull request. */
static void a_probe_that_never_reports_does_not_hold_the_breaker(void **state)
{
	pmz_permit lost;
	pmz_ns now = BOOT + PMZ_S(5);
	int i;

	(void)state;
	make_breaker();
	call(PMZ_FAILURE, BOOT);
	for (i = 0; i < 100; i++) {
		expect_status(enter(&lost, now), PMZ_OK);
		now += PMZ_S(10);
	}
	call(PMZ_SUCCESS, now);
	expect_state(stats(now).state, PMZ_CLOSED);
}

/* A success from before the trip counts as a probe and closes the breaker.
 * resilience4j@af9e7c9: CircuitBreakerStateMachine.onSuccess() tells the state
 * of now, whatever it was when the call began. */
static void a_stale_success_does_not_close_a_half_open_breaker(void **state)
{
	const pmz_ns now = BOOT + PMZ_S(5);
	pmz_permit early, probe;

	(void)state;
	make_breaker();
	expect_status(enter(&early, BOOT), PMZ_OK);
	call(PMZ_FAILURE, BOOT);
	expect_status(enter(&probe, now), PMZ_OK);
	leave(&early, PMZ_SUCCESS, now);
	expect_state(stats(now).state, PMZ_HALF_OPEN);
}

/* A call from before the trip frees a probe's place, so more go out.
 * resilience4j@af9e7c9: HalfOpenState.releasePermission() adds one and has no
 * upper bound. */
static void a_stale_release_does_not_widen_the_probe_limit(void **state)
{
	static const pmz_outcome hows[] = { PMZ_SUCCESS, PMZ_FAILURE,
		                            PMZ_IGNORE, PMZ_AGAIN };
	const pmz_ns now = BOOT + PMZ_S(5);
	pmz_permit early[KIT_COUNT(hows)], probe;
	size_t i;

	(void)state;
	make_breaker();
	for (i = 0; i < KIT_COUNT(hows); i++)
		expect_status(enter(&early[i], BOOT), PMZ_OK);
	call(PMZ_FAILURE, BOOT);
	expect_status(enter(&probe, now), PMZ_OK);
	for (i = 0; i < KIT_COUNT(hows); i++) {
		leave(&early[i], hows[i], now);
		kit_expect_row(i, enter(&probe, now), PMZ_REFUSED_OPEN,
		               pmz_status_name);
	}
}

/* After the wall clock was set back by 2 s, all of 60 000 failures pass.
 * resilience4j@af9e7c9: SlidingTimeWindowMetrics moves its window by one for
 * each call while the difference of its clocks is negative. */
static void a_clock_that_steps_back_does_not_blind_the_window(void **state)
{
	pmz_ns now = BOOT;
	int i, passed = 0;

	(void)state;
	expect_status(pmz_breaker_new(&t.breaker, NULL, NULL), PMZ_OK);
	for (i = 0; i < 10; i++)
		call(PMZ_SUCCESS, now);
	now -= PMZ_S(2);
	for (i = 0; i < 60000; i++) {
		pmz_permit p;

		if (enter(&p, now) != PMZ_OK)
			continue;
		leave(&p, PMZ_FAILURE, now);
		passed++;
	}
	assert_int_equal(passed, 10);
}

/* A call longer than its interval is never counted: that interval is gone.
 * gobreaker@fed8e9e: afterRequest() in v2/gobreaker.go returns when the
 * generation has changed, and each interval is one. */
static void a_call_that_outlasts_the_window_is_counted_as_slow(void **state)
{
	const pmz_breaker_config config = {
		.size = sizeof(config),
		.failure_pct = PMZ_OFF,
		.slow_pct = 100,
		.slow_ns = PMZ_S(1),
		.calls_min = 2,
	};
	pmz_permit p[2];
	const pmz_ns now = BOOT + PMZ_S(3600);

	(void)state;
	expect_status(pmz_breaker_new(&t.breaker, &config, NULL), PMZ_OK);
	expect_status(enter(&p[0], BOOT), PMZ_OK);
	expect_status(enter(&p[1], BOOT), PMZ_OK);
	leave(&p[0], PMZ_SUCCESS, now);
	assert_int_equal(stats(now).window_slow, 1);
	leave(&p[1], PMZ_SUCCESS, now);
	expect_state(stats(now).state, PMZ_OPEN);
}

/* A listener, called under the lock, calls the breaker: a deadlock.
 * gobreaker #39 and #119, pull requests. */

static pmz__a64 handled;

static void enter_from_a_handler(int number)
{
	pmz_permit p, slot;

	(void)number;
	if (pmz_breaker_acquire(t.breaker, BOOT, &p, NULL) == PMZ_OK)
		pmz_breaker_settle(t.breaker, &p, PMZ_SUCCESS, BOOT);
	if (pmz_bulkhead_acquire(t.bulkhead, BOOT, &slot) == PMZ_OK)
		pmz_bulkhead_settle(t.bulkhead, &slot, PMZ_SUCCESS, BOOT);
	pmz__add(&handled, 1, PMZ__RELAXED);
}

static pmz__a64 done;

static void *interrupt(void *thread)
{
	const pthread_t *target = thread;
	uint64_t before;

	/* One at a time, or there is nothing but handlers. */
	while (!pmz__load(&done, PMZ__ACQUIRE)) {
		before = pmz__load(&handled, PMZ__RELAXED);
		pthread_kill(*target, SIGUSR1);
		while (pmz__load(&handled, PMZ__RELAXED) == before &&
		       !pmz__load(&done, PMZ__ACQUIRE))
			sched_yield();
	}
	return NULL;
}

static void who_interrupts_a_guard_may_enter_it(void **state)
{
	struct sigaction action = { .sa_handler = enter_from_a_handler };
	pthread_t self = pthread_self(), other;
	pmz_bulkhead_stats inside = { .size = sizeof(inside) };
	uint64_t calls = 0;
	pmz_permit slot;

	(void)state;
	make_breaker();
	make_bulkhead(2);
	sigaction(SIGUSR1, &action, NULL);
	alarm(PATIENCE);
	assert_int_equal(pthread_create(&other, NULL, interrupt, &self), 0);
	while (calls < 20000 || pmz__load(&handled, PMZ__RELAXED) < 1000) {
		call(PMZ_SUCCESS, BOOT);
		expect_status(pmz_bulkhead_acquire(t.bulkhead, BOOT, &slot),
		              PMZ_OK);
		pmz_bulkhead_settle(t.bulkhead, &slot, PMZ_SUCCESS, BOOT);
		calls++;
	}
	pmz__store(&done, 1, PMZ__RELEASE);
	pthread_join(other, NULL);
	alarm(0);
	signal(SIGUSR1, SIG_IGN);
	assert_int_equal(stats(BOOT).calls,
	                 calls + pmz__load(&handled, PMZ__RELAXED));
	expect_status(pmz_bulkhead_read(t.bulkhead, &inside), PMZ_OK);
	assert_int_equal(inside.in_use, 0);
}

/* Backoff. */

static const uint32_t jitters[] = { PMZ_JITTER_FULL, PMZ_JITTER_EQUAL,
	                            PMZ_JITTER_DECORRELATED };

#define FLEET 500

static int compare(const void *a, const void *b)
{
	pmz_ns left = *(const pmz_ns *)a, right = *(const pmz_ns *)b;

	return left < right ? -1 : left > right;
}

/* The twentieth wait of each of a fleet, in order: far above the cap. */
static void late_waits(uint32_t jitter, pmz_ns waits[FLEET])
{
	const pmz_backoff_rule rule = { .size = sizeof(rule),
		                        .jitter = jitter,
		                        .tries_max = PMZ_OFF };
	uint64_t seed;

	for (seed = 0; seed < FLEET; seed++) {
		pmz_backoff b;
		pmz_ns now = BOOT, at = BOOT;
		int i;

		expect_status(pmz_backoff_start(&b, &rule, PMZ_NEVER, seed + 1),
		              PMZ_OK);
		for (i = 0; i < 20; i++) {
			now = at;
			expect_status(pmz_backoff_next(&b, now, 0, &at),
			              PMZ_OK);
		}
		waits[seed] = at - now;
	}
	qsort(waits, FLEET, sizeof(*waits), compare);
}

/* Jitter before the cap: past it, the whole fleet waits exactly the cap.
 * ferd/backoff #8; avast/retry-go@026d943: delay() in retry.go. */
static void at_the_cap_a_fleet_does_not_retry_in_step(void **state)
{
	pmz_ns waits[FLEET];
	size_t i, n, same;

	(void)state;
	for (i = 0; i < KIT_COUNT(jitters); i++) {
		late_waits(jitters[i], waits);
		for (n = 1, same = 0; n < FLEET; n++)
			same += waits[n] == waits[n - 1];
		assert_int_equal(same, 0);
		/* A fourth of them is well below the cap. */
		assert_true(waits[FLEET / 4] < PMZ_MS(4500));
	}
}

/* Jitter after the cap: waits are longer than the longest that was promised.
 * cenkalti/backoff #117 and #139. */
static void no_jitter_passes_the_cap(void **state)
{
	pmz_ns waits[FLEET];
	size_t i;

	(void)state;
	for (i = 0; i < KIT_COUNT(jitters); i++) {
		late_waits(jitters[i], waits);
		assert_true(waits[FLEET - 1] <= PMZ_S(5));
	}
}

/* Near the deadline the wait is cut short, so retries come faster then.
 * brpc@004cfa9: src/brpc/controller.cpp does not wait at all where the backoff
 * is longer than what is left; failsafe-go@5759a5e: adjustForMaxDuration() in
 * retrypolicy/retryexecutor.go cuts it. */
static void a_wait_is_never_cut_to_fit_the_deadline(void **state)
{
	const pmz_backoff_rule rule = { .size = sizeof(rule),
		                        .jitter = PMZ_JITTER_NONE,
		                        .base_ns = PMZ_S(1),
		                        .max_ns = PMZ_S(1),
		                        .tries_max = PMZ_OFF };
	pmz_ns left, at;

	(void)state;
	for (left = PMZ_MS(50); left < PMZ_S(4); left += PMZ_MS(50)) {
		pmz_ns now = BOOT;
		pmz_backoff b;
		int status;

		expect_status(pmz_backoff_start(&b, &rule, BOOT + left, 1),
		              PMZ_OK);
		while ((status = pmz_backoff_next(&b, now, 0, &at)) == PMZ_OK) {
			assert_int_equal(at, now + PMZ_S(1));
			now = at;
		}
		expect_status(status, PMZ_TIMED_OUT);
		assert_true(now + PMZ_S(1) > BOOT + left);
	}
}

/* The budget. */

static const pmz_budget_config small_budget = {
	.size = sizeof(pmz_budget_config),
	.retry_pct = 100,
	.per_second_min = 1,
};

/* The budget is asked after the sleep: a hundred sleepers share one retry.
 * failsafe-go@5759a5e: Apply() in retrypolicy/retryexecutor.go. */
static void a_retry_is_paid_for_before_it_waits(void **state)
{
	const pmz_backoff_rule twice = { .size = sizeof(twice),
		                         .tries_max = 2,
		                         .jitter = PMZ_JITTER_NONE };
	pmz_pipe_config config = { .size = sizeof(config), .backoff = &twice };
	pmz_call calls[100];
	size_t i, waiting = 0, refused = 0;

	(void)state;
	expect_status(pmz_budget_new(&t.budget, &small_budget, NULL), PMZ_OK);
	config.budget = t.budget;
	expect_status(pmz_pipe_new(&t.pipe, &config, NULL), PMZ_OK);
	expect_step(pmz_call_begin(&calls[0], t.pipe, NULL, BOOT), PMZ_TRY);
	/* One deposit, and one that a second has anyway: two may wait. */
	for (i = 0; i < 3; i++) {
		pmz_call copy = calls[0];
		pmz_step step = pmz_call_settle(&copy, PMZ_FAILURE, BOOT);

		waiting += step == PMZ_WAIT;
		refused += step == PMZ_DONE &&
		           pmz_call_status(&copy) == PMZ_REFUSED_BUDGET;
	}
	assert_int_equal(waiting, 2);
	assert_int_equal(refused, 1);
}

static pmz__a64 granted;

static void withdraw_all(unsigned who, void *ctx)
{
	(void)who;
	(void)ctx;
	while (pmz_budget_withdraw(t.budget, BOOT) == PMZ_OK)
		pmz__add(&granted, 1, PMZ__RELAXED);
}

/* Check, then add: two threads that both saw the last retry both take it.
 * failsafe-go@5759a5e: TryAcquirePermit() in budget/budget.go. */
static void threads_do_not_overdraw_the_budget(void **state)
{
	int round, i;

	(void)state;
	for (round = 0; round < 30; round++) {
		expect_status(pmz_budget_new(&t.budget, &small_budget, NULL),
		              PMZ_OK);
		for (i = 0; i < 20000; i++)
			pmz_budget_deposit(t.budget, BOOT);
		pmz__store(&granted, 0, PMZ__RELAXED);
		crew_run(4, withdraw_all, NULL);
		assert_int_equal(pmz__load(&granted, PMZ__RELAXED), 20001);
		clean_up(NULL);
	}
}

/* Buckets. */

/* A late stamp sets the bucket's time back, and the next one refills it.
 * golang/go #56287, of x/time/rate. */
static void late_stamps_mint_no_tokens(void **state)
{
	pmz_bucket bucket = PMZ_BUCKET_INIT;
	pmz_rate rate;
	int i, taken = 0;

	(void)state;
	expect_status(pmz_rate_set(&rate, 10, PMZ_S(1), 10), PMZ_OK);
	for (i = 0; i < 1000; i++) {
		pmz_ns now = i % 2 ? BOOT - PMZ_S(5) : BOOT;

		taken +=
			pmz_bucket_take(&bucket, &rate, 1, now, NULL) == PMZ_OK;
	}
	assert_int_equal(taken, 10);
}

static size_t heap_in_use(void)
{
	struct mallinfo2 info = mallinfo2();

	return info.uordblks + info.hblkhd;
}

/* A limiter for each key, kept for ever: whoever makes keys up fills memory.
 * governor #171. */
static void a_table_of_keys_never_grows(void **state)
{
	const pmz_keyed_config config = { .size = sizeof(config),
		                          .keys_max = 1024,
		                          .hash_key = { 1, 2 } };
	pmz_keyed_stats got = { .size = sizeof(got) };
	pmz_rate rate;
	uint64_t key, taken = 0;
	size_t before;

	(void)state;
	expect_status(pmz_rate_set(&rate, 1, PMZ_S(3600), 1), PMZ_OK);
	expect_status(pmz_keyed_new(&t.keyed, &config, NULL), PMZ_OK);
	before = heap_in_use();
	for (key = 0; key < 100000; key++)
		taken += pmz_keyed_take(t.keyed, &rate, &key, sizeof(key), 1,
		                        BOOT, NULL) == PMZ_OK;
	assert_int_equal(heap_in_use(), before);
	/* 24 bytes for each, of which a key and its bucket need 16. */
	assert_in_range(taken, 1000, 1024 * 24 / 16);
	expect_status(pmz_keyed_read(t.keyed, BOOT, &got), PMZ_OK);
	assert_int_equal(got.busy, taken);
	assert_int_equal(got.admitted, taken);
	assert_int_equal(got.full, 100000 - taken);
}

/* The bulkhead. */

static int fits_in(uint32_t most)
{
	pmz_permit p[8];
	uint32_t n = 0, i;

	while (n < 8 && pmz_bulkhead_acquire(t.bulkhead, BOOT, &p[n]) == PMZ_OK)
		n++;
	for (i = 0; i < n; i++)
		pmz_bulkhead_settle(t.bulkhead, &p[i], PMZ_SUCCESS, BOOT);
	return n == most;
}

/* A release too many raises the limit, for ever.
 * resilience4j #1569, and #1571, a pull request. */
static void an_over_release_does_not_raise_the_limit(void **state)
{
	pmz_bulkhead_stats got = { .size = sizeof(got) };
	pmz_permit p, copy;
	int i;

	(void)state;
	make_bulkhead(2);
	for (i = 0; i < 10; i++) {
		expect_status(pmz_bulkhead_acquire(t.bulkhead, BOOT, &p),
		              PMZ_OK);
		copy = p;
		expect_status(
			pmz_bulkhead_settle(t.bulkhead, &p, PMZ_SUCCESS, BOOT),
			PMZ_OK);
		expect_status(
			pmz_bulkhead_settle(t.bulkhead, &p, PMZ_SUCCESS, BOOT),
			PMZ_E_STATE);
		expect_status(pmz_bulkhead_settle(t.bulkhead, &copy,
		                                  PMZ_SUCCESS, BOOT),
		              PMZ_E_STATE);
		assert_true(fits_in(2));
	}
	expect_status(pmz_bulkhead_read(t.bulkhead, &got), PMZ_OK);
	assert_int_equal(got.over_releases, 20);
}

/* A waiter that times out as it is granted loses the permit for everyone.
 * failsafe #393, and #400, a pull request. */
static void a_waiter_that_times_out_loses_no_slot(void **state)
{
	pmz_pipe_config config = { .size = sizeof(config),
		                   .wait_max_ns = PMZ_MS(50) };
	pmz_call waiter;
	pmz_permit holder;
	pmz_ns now = BOOT;
	int i;

	(void)state;
	make_bulkhead(1);
	config.bulkhead = t.bulkhead;
	expect_status(pmz_pipe_new(&t.pipe, &config, NULL), PMZ_OK);
	for (i = 0; i < 20; i++) {
		expect_status(pmz_bulkhead_acquire(t.bulkhead, now, &holder),
		              PMZ_OK);
		expect_step(pmz_call_begin(&waiter, t.pipe, NULL, now),
		            PMZ_WAIT);
		while (pmz_call_resume(&waiter, now) == PMZ_WAIT) {
			now = pmz_call_due(&waiter);
			assert_true(now < BOOT + PMZ_S(10));
		}
		expect_status(pmz_call_status(&waiter), PMZ_REFUSED_FULL);
		pmz_bulkhead_settle(t.bulkhead, &holder, PMZ_SUCCESS, now);
		assert_true(fits_in(1));
	}
}

/* ... nor one that gives up while it waits. */
static void a_waiter_that_is_cancelled_loses_no_slot(void **state)
{
	pmz_pipe_config config = { .size = sizeof(config),
		                   .wait_max_ns = PMZ_MS(50) };
	pmz_call waiter;
	pmz_permit holder;

	(void)state;
	make_bulkhead(1);
	config.bulkhead = t.bulkhead;
	expect_status(pmz_pipe_new(&t.pipe, &config, NULL), PMZ_OK);
	expect_status(pmz_bulkhead_acquire(t.bulkhead, BOOT, &holder), PMZ_OK);
	expect_step(pmz_call_begin(&waiter, t.pipe, NULL, BOOT), PMZ_WAIT);
	pmz_bulkhead_settle(t.bulkhead, &holder, PMZ_SUCCESS, BOOT);
	pmz_call_cancel(&waiter, BOOT);
	assert_true(fits_in(1));
}

#define T(name) cmocka_unit_test_teardown(name, clean_up)

static const struct CMUnitTest tests[] = {
	T(a_probe_that_never_reports_does_not_hold_the_breaker),
	T(a_stale_success_does_not_close_a_half_open_breaker),
	T(a_stale_release_does_not_widen_the_probe_limit),
	T(a_clock_that_steps_back_does_not_blind_the_window),
	T(a_call_that_outlasts_the_window_is_counted_as_slow),
	T(who_interrupts_a_guard_may_enter_it),
	T(at_the_cap_a_fleet_does_not_retry_in_step),
	T(no_jitter_passes_the_cap),
	T(a_wait_is_never_cut_to_fit_the_deadline),
	T(a_retry_is_paid_for_before_it_waits),
	T(threads_do_not_overdraw_the_budget),
	T(late_stamps_mint_no_tokens),
	T(a_table_of_keys_never_grows),
	T(an_over_release_does_not_raise_the_limit),
	T(a_waiter_that_times_out_loses_no_slot),
	T(a_waiter_that_is_cancelled_loses_no_slot),
};

int main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
