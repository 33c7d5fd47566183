/*
 * claims.c - what is known to go wrong elsewhere, and does not here.
 *
 * One test for each defect that was seen in a peer of this library. The comment
 * above a test is the defect; its name is the claim.
 */
#include <malloc.h>
#include <pthread.h>
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

/* A probe whose caller never reports keeps the breaker half open for ever. */
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

/* A success from before the trip counts as a probe and closes the breaker. */
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

/* A call from before the trip frees a probe's place, so more go out. */
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

/* After the wall clock was set back by 2 s, all of 60 000 failures pass. */
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

/* A call longer than its interval is never counted: that interval is gone. */
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

/* A listener, called under the lock, calls the breaker: a deadlock. */

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

	while (!pmz__load(&done, PMZ__ACQUIRE))
		pthread_kill(*target, SIGUSR1);
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

/* Jitter before the cap: past it, the whole fleet waits exactly the cap. */
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

/* Jitter after the cap: waits are longer than the longest that was promised. */
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

/* Near the deadline the wait is cut short, so retries come faster then. */
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

/* The budget is asked after the sleep: a hundred sleepers share one retry. */
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

/* Check, then add: two threads that both saw the last retry both take it. */
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

/* A late stamp sets the bucket's time back, and the next one refills it. */
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

/* A limiter for each key, kept for ever: whoever makes keys up fills memory. */
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

/* A release too many raises the limit, for ever. */
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

/* A waiter that times out as it is granted loses the permit for everyone. */
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
