/*
 * signals.c - a signal handler that calls what its thread is in the middle of.
 *
 * A timer interrupts the thread at any instruction, and the handler does the
 * same to the same object. Nothing here waits for anybody, so nothing hangs,
 * and every count is exact.
 */
#include "expect.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <pipemaze.h>

#include "sanitizer.h"
#include "storm.h"

#define EVERY_US 40
#define HITS 1500    /* of each step, by the handler */
#define PATIENCE 300 /* seconds, for what could hang */
#define NOW PMZ_S(1000)
#define BURST 2000000000u
#define A_RETRY_OF 5 /* so many calls: 20 % */

/* Who takes a step. */
typedef enum who { THREAD, HANDLER } who;

typedef void (*step)(who w);

static struct {
	step take;
	volatile sig_atomic_t hits;
} storm;

static void interrupt(int number)
{
	(void)number;
	storm.take(HANDLER);
	storm.hits++;
}

/* Both take it again and again. */
static void run(step take)
{
	timer_t timer;

	storm.take = take;
	storm.hits = 0;
	timer = storm_begin(interrupt, EVERY_US);
	while (storm.hits < HITS)
		take(THREAD);
	timer_delete(timer);
}

/* What each of the two has counted; neither touches the other's. */
typedef struct tally {
	volatile uint64_t of[2];
} tally;

static void count(tally *t, who w)
{
	t->of[w]++;
}

static uint64_t sum(const tally *t)
{
	return t->of[THREAD] + t->of[HANDLER];
}

static tally done, refused, inside;

static void expect_both(const tally *t)
{
	assert_true(t->of[THREAD] > 0);
	assert_true(t->of[HANDLER] > 0);
}

static int clear(void **state)
{
	(void)state;
	memset(&done, 0, sizeof(done));
	memset(&refused, 0, sizeof(refused));
	memset(&inside, 0, sizeof(inside));
	return 0;
}

static pmz_rate rate;
static pmz_bucket bucket;

static void take_a_token(who w)
{
	if (pmz_bucket_take(&bucket, &rate, 1, NOW, NULL) == PMZ_OK)
		count(&done, w);
	/* A token that comes and goes. */
	if (pmz_bucket_take(&bucket, &rate, 1, NOW, NULL) == PMZ_OK)
		pmz_bucket_refund(&bucket, &rate, 1, NOW, NOW);
}

static void a_bucket_gives_each_token_once(void **state)
{
	(void)state;
	/* One ns a token, so that each is exact. */
	expect_status(pmz_rate_set(&rate, 1000000000, PMZ_S(1), BURST), PMZ_OK);
	run(take_a_token);
	expect_both(&done);
	assert_int_equal(sum(&done),
	                 BURST - pmz_bucket_left(&bucket, &rate, NOW));
}

static pmz_keyed *keyed;

static void take_by_key(who w)
{
	static const char keys[] = "abcdefghijklmnopqrstuvwxyz";
	static unsigned turn[2];
	const char *key = &keys[turn[w]++ % 26];

	if (pmz_keyed_take(keyed, &rate, key, 1, 1, NOW, NULL) == PMZ_OK)
		count(&done, w);
}

static void a_table_of_buckets_gives_each_token_once(void **state)
{
	const pmz_keyed_config cfg = { .size = sizeof(cfg),
		                       .keys_max = 64,
		                       .hash_key = { 1, 2 } };
	uint64_t left = 0;
	char key;

	(void)state;
	expect_status(pmz_rate_set(&rate, 1000000000, PMZ_S(1), BURST), PMZ_OK);
	expect_status(pmz_keyed_new(&keyed, &cfg, NULL), PMZ_OK);
	run(take_by_key);
	expect_both(&done);
	for (key = 'a'; key <= 'z'; key++)
		left += pmz_keyed_left(keyed, &rate, &key, 1, NOW);
	assert_int_equal(sum(&done), 26 * (uint64_t)BURST - left);
	pmz_keyed_free(keyed);
}

static pmz_bulkhead *bulkhead;
static volatile int over;

static void enter_and_leave(who w)
{
	pmz_permit p;

	if (pmz_bulkhead_acquire(bulkhead, NOW, &p)) {
		count(&refused, w);
		return;
	}
	count(&inside, w);
	over |= sum(&inside) > 1;
	count(&done, w);
	inside.of[w]--;
	pmz_bulkhead_settle(bulkhead, &p, PMZ_SUCCESS, NOW);
}

static void a_bulkhead_of_one_holds_one_and_counts_both(void **state)
{
	const pmz_bulkhead_config cfg = { .size = sizeof(cfg), .limit = 1 };
	pmz_bulkhead_stats stats = { .size = sizeof(stats) };

	(void)state;
	expect_status(pmz_bulkhead_new(&bulkhead, &cfg, NULL), PMZ_OK);
	run(enter_and_leave);
	expect_both(&done);
	expect_status(pmz_bulkhead_read(bulkhead, &stats), PMZ_OK);
	assert_false(over);
	assert_int_equal(stats.in_use, 0);
	assert_int_equal(stats.admitted, sum(&done));
	assert_int_equal(stats.over_releases, 0);
	/* It was there in the middle of the other. */
	assert_true(refused.of[HANDLER] > 0);
	assert_int_equal(refused.of[THREAD], 0);
	pmz_bulkhead_free(bulkhead);
}

static pmz_breaker *breaker;

static void make_breaker(uint32_t consecutive_max)
{
	pmz_breaker_config cfg = { .size = sizeof(cfg) };

	cfg.failure_pct = PMZ_OFF;
	cfg.consecutive_max = consecutive_max;
	cfg.open_ns = PMZ_MS(1);
	cfg.open_max_ns = PMZ_MS(1);
	cfg.open_jitter_pct = PMZ_OFF;
	cfg.probes_to_close = 1;
	cfg.window_ns = PMZ_S(10);
	expect_status(pmz_breaker_new(&breaker, &cfg, NULL), PMZ_OK);
}

static pmz_breaker_stats breaker_stats(pmz_ns now)
{
	pmz_breaker_stats stats = { .size = sizeof(stats) };

	expect_status(pmz_breaker_read(breaker, now, &stats), PMZ_OK);
	return stats;
}

/* Every other call of each fails. */
static void call(who w)
{
	static unsigned turn[2];
	pmz_permit p;

	if (pmz_breaker_acquire(breaker, NOW, &p, NULL)) {
		count(&refused, w);
		return;
	}
	count(&done, w);
	pmz_breaker_settle(breaker, &p,
	                   turn[w]++ % 2 ? PMZ_FAILURE : PMZ_SUCCESS, NOW);
}

static void a_breaker_counts_every_call_of_both(void **state)
{
	pmz_breaker_stats stats;

	(void)state;
	make_breaker(UINT32_MAX - 1);
	run(call);
	expect_both(&done);
	stats = breaker_stats(NOW);
	assert_int_equal(sum(&refused), 0);
	assert_int_equal(stats.calls, sum(&done));
	assert_int_equal(stats.window_calls, sum(&done));
	assert_int_equal(stats.failures,
	                 done.of[THREAD] / 2 + done.of[HANDLER] / 2);
	assert_int_equal(stats.misused + stats.stale, 0);
	pmz_breaker_free(breaker);
}

/* It opens, is probed, opens again, closes, at an instant that moves on. */
static volatile uint64_t instant[2];

static void call_at_a_later_time(who w)
{
	static unsigned turn[2];
	pmz_ns now = NOW + PMZ_US(100) * instant[THREAD]++;
	pmz_permit p;

	if (pmz_breaker_acquire(breaker, now, &p, NULL)) {
		count(&refused, w);
		return;
	}
	count(&done, w);
	pmz_breaker_settle(breaker, &p,
	                   turn[w]++ % 4 ? PMZ_FAILURE : PMZ_SUCCESS, now);
}

static void a_breaker_that_opens_and_closes_loses_no_probe(void **state)
{
	pmz_breaker_stats stats;

	(void)state;
	make_breaker(2);
	run(call_at_a_later_time);
	expect_both(&done);
	stats = breaker_stats(NOW + PMZ_S(3600));
	assert_int_equal(stats.calls + stats.stale, sum(&done));
	assert_int_equal(stats.probes_out, 0);
	assert_int_equal(stats.misused, 0);
	assert_true(stats.trips > 0);
	pmz_breaker_free(breaker);
}

static pmz_budget *budget;
static tally deposits;

static void deposit_and_withdraw(who w)
{
	pmz_budget_deposit(budget, NOW);
	count(&deposits, w);
	if (pmz_budget_withdraw(budget, NOW) == PMZ_OK)
		count(&done, w);
	if (pmz_budget_withdraw(budget, NOW) == PMZ_OK)
		pmz_budget_refund(budget);
}

static void a_budget_gives_its_share_to_the_last_retry(void **state)
{
	const pmz_budget_config cfg = { .size = sizeof(cfg),
		                        .per_second_min = PMZ_OFF };

	(void)state;
	memset(&deposits, 0, sizeof(deposits));
	expect_status(pmz_budget_new(&budget, &cfg, NULL), PMZ_OK);
	run(deposit_and_withdraw);
	expect_both(&done);
	while (pmz_budget_withdraw(budget, NOW) == PMZ_OK)
		count(&done, THREAD);
	assert_int_equal(sum(&done), sum(&deposits) / A_RETRY_OF);
	pmz_budget_free(budget);
}

static pmz_balance *balance;

static void pick_and_settle(who w)
{
	pmz_pick p;

	if (pmz_balance_pick(balance, NULL, NOW, &p))
		return;
	if (!pmz_balance_settle(balance, &p, PMZ_SUCCESS, NOW))
		count(&done, w);
}

static void a_balancer_has_no_call_left_in_flight(void **state)
{
	pmz_endpoint_stats stats = { .size = sizeof(stats) };
	pmz_strategy s;
	uint64_t picks;
	uint32_t i;

	for (s = PMZ_LEAST; s <= PMZ_MAGLEV_KEY; s++) {
		static const char *const names[] = { "a", "b", "c" };
		pmz_balance_config cfg = { .size = sizeof(cfg), .seed = 1 };

		clear(state);
		cfg.strategy = s;
		expect_status(pmz_balance_new(&balance, &cfg, NULL), PMZ_OK);
		for (i = 0; i < KIT_COUNT(names); i++)
			expect_status(pmz_balance_add(balance, names[i], 1, NOW,
			                              NULL),
			              PMZ_OK);
		run(pick_and_settle);
		expect_both(&done);
		for (picks = 0, i = 0; i < KIT_COUNT(names); i++) {
			pmz_balance_read(balance, i, NOW, &stats);
			assert_int_equal(stats.in_flight, 0);
			picks += stats.picks;
		}
		assert_int_equal(picks, sum(&done));
		pmz_balance_free(balance);
	}
}

static pmz_pipe *pipe_;

static void make_a_call(who w)
{
	pmz_call c;
	pmz_step s = pmz_call_begin(&c, pipe_, NULL, NOW);

	if (s == PMZ_TRY)
		s = pmz_call_settle(&c, PMZ_SUCCESS, NOW);
	if (s == PMZ_DONE && pmz_call_status(&c) == PMZ_OK)
		count(&done, w);
	else
		pmz_call_cancel(&c, NOW);
}

static void a_pipe_with_all_guards_settles_every_call(void **state)
{
	pmz_pipe_rules rules = { .size = sizeof(rules) };
	pmz_bulkhead_stats stats = { .size = sizeof(stats) };

	(void)state;
	expect_status(pmz_pipe_from(&pipe_,
	                            "breaker 50% over 10s min 20 open 5s..60s |"
	                            " bulkhead 64 | rate 1000000000/s burst "
	                            "2000000000 | tries 3 | budget 20% | total"
	                            " 10s",
	                            NULL, NULL),
	              PMZ_OK);
	run(make_a_call);
	expect_both(&done);
	expect_status(pmz_pipe_read(pipe_, &rules), PMZ_OK);
	expect_status(pmz_bulkhead_read(rules.bulkhead, &stats), PMZ_OK);
	assert_int_equal(stats.in_use, 0);
	assert_int_equal(stats.admitted, sum(&done));
	breaker = rules.breaker;
	assert_int_equal(breaker_stats(NOW).calls, sum(&done));
	assert_int_equal(sum(&done), BURST - pmz_bucket_left(rules.bucket,
	                                                     &rules.rate, NOW));
	pmz_pipe_free(pipe_);
}

static volatile pmz_ns latest;
static volatile int went_back;
static uint64_t highest[2];

/* A handler that comes in between sees no earlier time. */
static void look_at_the_clock(who w)
{
	const pmz_lease lease = { .until = PMZ_NEVER };
	pmz_ns before = latest, now = pmz_now();

	went_back |= now < before;
	if (w == HANDLER)
		latest = now;
	if (pmz_lock_is_held(&lease, now) &&
	    pmz_fence_check(&highest[w], now) == PMZ_OK)
		count(&done, w);
}

static void the_clock_and_the_checks_of_a_lease_may_be_asked(void **state)
{
	(void)state;
	run(look_at_the_clock);
	expect_both(&done);
	assert_false(went_back);
}

#define row(test) cmocka_unit_test_setup(test, clear)

int main(void)
{
	const struct CMUnitTest tests[] = {
		row(a_bucket_gives_each_token_once),
		row(a_table_of_buckets_gives_each_token_once),
		row(a_bulkhead_of_one_holds_one_and_counts_both),
		row(a_breaker_counts_every_call_of_both),
		row(a_breaker_that_opens_and_closes_loses_no_probe),
		row(a_budget_gives_its_share_to_the_last_retry),
		row(a_balancer_has_no_call_left_in_flight),
		row(a_pipe_with_all_guards_settles_every_call),
		row(the_clock_and_the_checks_of_a_lease_may_be_asked),
	};

	if (KIT_HAS_TSAN) {
		puts("skipped: a thread sanitizer puts signals off");
		return 0;
	}
	alarm(PATIENCE);
	return cmocka_run_group_tests_name("signals", tests, NULL, NULL);
}
