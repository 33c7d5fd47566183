/*
 * bucket.c - the token bucket, decision by decision.
 */
#include "expect.h"

#include <string.h>

#include <pipemaze/bucket.h>

#define START PMZ_S(1000)
#define FEW_NS 3

static pmz_rate rate_of(uint64_t tokens, pmz_ns per, uint64_t burst)
{
	pmz_rate rate;

	expect_status(pmz_rate_set(&rate, tokens, per, burst), PMZ_OK);
	return rate;
}

/* 10 a second, bursts of 5: a token is 100 ms. */
static pmz_rate ten_a_second(void)
{
	return rate_of(10, PMZ_S(1), 5);
}

static void expect_take(pmz_bucket *b, const pmz_rate *r, uint64_t n,
                        pmz_ns now)
{
	expect_status(pmz_bucket_take(b, r, n, now, NULL), PMZ_OK);
}

static void expect_refusal(pmz_bucket *b, const pmz_rate *r, uint64_t n,
                           pmz_ns now, pmz_ns want)
{
	pmz_ns ready = 0;

	expect_status(pmz_bucket_take(b, r, n, now, &ready), PMZ_REFUSED_RATE);
	assert_int_equal(ready, want);
}

static void expect_left(const pmz_bucket *b, const pmz_rate *r, pmz_ns now,
                        uint64_t want)
{
	assert_int_equal(pmz_bucket_left(b, r, now), want);
}

/* Takes one at a time until refused; how many that were. */
static uint64_t drain(pmz_bucket *b, const pmz_rate *r, pmz_ns now)
{
	uint64_t n = 0;

	while (pmz_bucket_take(b, r, 1, now, NULL) == PMZ_OK)
		n++;
	return n;
}

static void a_fresh_bucket_grants_its_burst_and_no_more(void **state)
{
	static const struct {
		uint64_t tokens, per, burst;
	} rows[] = {
		{ 1, PMZ_S(1), 1 },         { 10, PMZ_S(1), 5 },
		{ 3, PMZ_S(1), 10 },        { 333333, PMZ_S(1), 1000 },
		{ 1000, PMZ_S(3600), 50 },  { 1000000, PMZ_S(1), 20 },
		{ 1000000000, 1000000000, 77 }, { 7, PMZ_S(86400), 2 },
	};
	size_t i;

	(void)state;
	for (i = 0; i < KIT_COUNT(rows); i++) {
		pmz_rate r = rate_of(rows[i].tokens, rows[i].per,
		                     rows[i].burst);
		pmz_bucket by_one = PMZ_BUCKET_INIT, whole = PMZ_BUCKET_INIT;

		assert_int_equal(drain(&by_one, &r, START), rows[i].burst);
		expect_take(&whole, &r, rows[i].burst, START);
		expect_left(&whole, &r, START, 0);
	}
}

static void a_fresh_bucket_is_full_at_any_instant(void **state)
{
	static const pmz_ns instants[] = { 0, 1, PMZ_MS(100), START,
		                           UINT64_MAX / 2,
		                           PMZ_NEVER - PMZ_S(1) };
	pmz_rate r = ten_a_second();
	size_t i;

	(void)state;
	for (i = 0; i < KIT_COUNT(instants); i++) {
		pmz_bucket b = PMZ_BUCKET_INIT;

		expect_left(&b, &r, instants[i], 5);
		assert_int_equal(drain(&b, &r, instants[i]), 5);
	}
}

static void a_token_is_there_at_ready_at_and_not_a_ns_before(void **state)
{
	pmz_rate r = ten_a_second();
	pmz_bucket b = PMZ_BUCKET_INIT;

	(void)state;
	expect_take(&b, &r, 5, START);
	expect_refusal(&b, &r, 1, START, START + PMZ_MS(100));
	expect_refusal(&b, &r, 1, START + PMZ_MS(100) - 1,
	               START + PMZ_MS(100));
	expect_take(&b, &r, 1, START + PMZ_MS(100));
	expect_refusal(&b, &r, 1, START + PMZ_MS(100), START + PMZ_MS(200));
	expect_refusal(&b, &r, 2, START + PMZ_MS(200), START + PMZ_MS(300));
	expect_take(&b, &r, 1, START + PMZ_MS(200));
}

static void a_take_is_all_or_none(void **state)
{
	pmz_rate r = ten_a_second();
	pmz_bucket b = PMZ_BUCKET_INIT;

	(void)state;
	expect_take(&b, &r, 3, START);
	expect_refusal(&b, &r, 3, START, START + PMZ_MS(100));
	expect_left(&b, &r, START, 2);
	expect_take(&b, &r, 2, START);
}

static void a_refusal_changes_nothing(void **state)
{
	pmz_rate r = ten_a_second();
	pmz_bucket b = PMZ_BUCKET_INIT;
	int i;

	(void)state;
	expect_take(&b, &r, 5, START);
	for (i = 0; i < 1000; i++)
		expect_refusal(&b, &r, 1, START + PMZ_MS(99),
		               START + PMZ_MS(100));
	expect_take(&b, &r, 1, START + PMZ_MS(100));
}

static void more_than_the_burst_never_comes(void **state)
{
	pmz_rate r = ten_a_second();
	pmz_bucket b = PMZ_BUCKET_INIT;

	(void)state;
	expect_refusal(&b, &r, 6, START, PMZ_NEVER);
	expect_refusal(&b, &r, UINT64_MAX, START, PMZ_NEVER);
	expect_refusal(&b, &r, 6, START + PMZ_S(3600), PMZ_NEVER);
	expect_left(&b, &r, START, 5);
}

static void taking_none_costs_nothing(void **state)
{
	pmz_rate r = ten_a_second();
	pmz_bucket b = PMZ_BUCKET_INIT;

	(void)state;
	expect_take(&b, &r, 0, START);
	expect_left(&b, &r, START, 5);
	expect_take(&b, &r, 5, START);
	expect_take(&b, &r, 0, START);
	expect_refusal(&b, &r, 1, START, START + PMZ_MS(100));
}

static void idling_saves_no_more_than_the_burst(void **state)
{
	pmz_rate r = ten_a_second();
	pmz_bucket b = PMZ_BUCKET_INIT;

	(void)state;
	expect_take(&b, &r, 5, START);
	expect_left(&b, &r, START + PMZ_MS(500) - 1, 4);
	expect_left(&b, &r, START + PMZ_MS(500), 5);
	expect_left(&b, &r, START + PMZ_S(86400), 5);
	assert_int_equal(drain(&b, &r, START + PMZ_S(86400)), 5);
}

static void a_clock_that_steps_back_grants_nothing(void **state)
{
	pmz_rate r = ten_a_second();
	pmz_bucket b = PMZ_BUCKET_INIT;

	(void)state;
	expect_take(&b, &r, 5, START);
	expect_left(&b, &r, START - 1, 0);
	expect_refusal(&b, &r, 1, START - PMZ_S(500), START + PMZ_MS(100));
	expect_refusal(&b, &r, 1, 0, START + PMZ_MS(100));
	expect_take(&b, &r, 1, START + PMZ_MS(100));
}

static void
a_clock_that_swings_grants_no_more_than_one_that_goes_on(void **state)
{
	pmz_rate r = ten_a_second();
	pmz_bucket b = PMZ_BUCKET_INIT;
	uint64_t granted = 0;
	int i;

	(void)state;
	for (i = 0; i < 1000; i++) {
		granted += drain(&b, &r, START);
		granted += drain(&b, &r, START + PMZ_S(1));
	}
	assert_int_equal(granted, 5 + 5);
}

static void the_end_of_time_refuses_and_does_not_wrap(void **state)
{
	pmz_rate r = ten_a_second();
	pmz_bucket b = PMZ_BUCKET_INIT;

	(void)state;
	expect_refusal(&b, &r, 1, PMZ_NEVER, PMZ_NEVER);
	expect_refusal(&b, &r, 1, PMZ_NEVER - 1, PMZ_NEVER);
	expect_refusal(&b, &r, 1, PMZ_NEVER - PMZ_MS(100), PMZ_NEVER);
	expect_left(&b, &r, START, 5);
	expect_take(&b, &r, 1, PMZ_NEVER - PMZ_MS(100) - 1);
	expect_left(&b, &r, START, 0);
	expect_refusal(&b, &r, 1, PMZ_NEVER - 1, PMZ_NEVER);
}

static void a_rate_has_its_bounds(void **state)
{
	static const struct {
		uint64_t tokens, per, burst;
		int want;
	} rows[] = {
		{ 0, PMZ_S(1), 1, PMZ_E_CONFIG },
		{ 1, 0, 1, PMZ_E_CONFIG },
		{ 1, PMZ_S(1), 0, PMZ_E_CONFIG },
		{ 1000000000, PMZ_S(1), 1, PMZ_OK },
		{ 1000000001, PMZ_S(1), 1, PMZ_E_CONFIG },
		{ 2, 1, 1, PMZ_E_CONFIG },
		{ 1, 1, (uint64_t)INT64_MAX, PMZ_OK },
		{ 1, 1, (uint64_t)INT64_MAX + 1, PMZ_E_CONFIG },
		{ 1, (uint64_t)INT64_MAX, 1, PMZ_OK },
		{ 1, (uint64_t)INT64_MAX + 1, 1, PMZ_E_CONFIG },
		{ 1, (uint64_t)INT64_MAX / 2, 2, PMZ_OK },
		{ 1, (uint64_t)INT64_MAX / 2 + 1, 2, PMZ_E_CONFIG },
		{ 1, PMZ_NEVER, 1, PMZ_E_CONFIG },
		{ UINT64_MAX, UINT64_MAX, 1, PMZ_OK },
		{ UINT64_MAX - 1, UINT64_MAX, 1, PMZ_OK },
		{ UINT64_MAX, UINT64_MAX, UINT64_MAX, PMZ_E_CONFIG },
		{ 3, 10, UINT64_MAX, PMZ_E_CONFIG },
		{ 3, 10, (uint64_t)1 << 61, PMZ_OK },
		{ 1, PMZ_S(3600), UINT64_MAX, PMZ_E_CONFIG },
	};
	size_t i;

	(void)state;
	for (i = 0; i < KIT_COUNT(rows); i++) {
		pmz_rate r;
		int st = pmz_rate_set(&r, rows[i].tokens, rows[i].per,
		                      rows[i].burst);

		kit_expect_row(i, st, rows[i].want, pmz_status_name);
	}
}

static void a_rate_that_is_refused_leaves_the_old_one(void **state)
{
	pmz_rate r = ten_a_second();
	pmz_bucket b = PMZ_BUCKET_INIT;

	(void)state;
	expect_status(pmz_rate_set(&r, 0, PMZ_S(1), 1), PMZ_E_CONFIG);
	expect_status(pmz_rate_set(&r, 1, PMZ_S(1), UINT64_MAX), PMZ_E_CONFIG);
	assert_int_equal(drain(&b, &r, START), 5);
}

static void the_widest_rates_take_as_the_narrow_ones_do(void **state)
{
	const pmz_ns half = (uint64_t)INT64_MAX / 2;
	const uint64_t most = (uint64_t)INT64_MAX;
	pmz_rate slow = rate_of(1, half, 2), deep = rate_of(1, 1, most);
	pmz_bucket b = PMZ_BUCKET_INIT;

	(void)state;
	expect_take(&b, &slow, 1, START);
	expect_take(&b, &slow, 1, START);
	expect_refusal(&b, &slow, 1, START, START + half);
	b = (pmz_bucket)PMZ_BUCKET_INIT;
	expect_take(&b, &deep, most - 1, START);
	expect_left(&b, &deep, START, 1);
	expect_take(&b, &deep, 1, START);
	expect_refusal(&b, &deep, most, START, START + most);
}

/* Takes a burst as soon as it is there, `times` over after the first, and says
 * how long that took. */
static pmz_ns takes_last(const pmz_rate *r, uint64_t n, int times)
{
	pmz_bucket b = PMZ_BUCKET_INIT;
	pmz_ns now = START, ready;

	expect_take(&b, r, n, now);
	while (times)
		if (pmz_bucket_take(&b, r, n, now, &ready) == PMZ_OK)
			times--;
		else
			now = ready;
	return now - START;
}

static void a_long_run_keeps_its_rate(void **state)
{
	enum { TIMES = 100000, PPM = 1000000 };
	static const struct {
		uint64_t tokens, per, n;
	} rows[] = {
		{ 3, PMZ_S(1), 1 },          { 333333, PMZ_S(1), 1 },
		{ 333333, PMZ_S(1), 4097 },  { 1000, PMZ_S(3600), 1 },
		{ 999999937, PMZ_S(1), 1 },  { 999999937, PMZ_S(1), 1000003 },
		{ 1000003, PMZ_S(1), 1 },    { 7, PMZ_S(86400), 3 },
		{ 2, 3, 1 },                 { 400000009, PMZ_S(1), 99991 },
		{ 1, PMZ_S(1), 1 },          { 999983, PMZ_S(1000), 1 },
	};
	size_t i;

	(void)state;
	for (i = 0; i < KIT_COUNT(rows); i++) {
		pmz_rate r = rate_of(rows[i].tokens, rows[i].per, rows[i].n);
		uint64_t whole = rows[i].n * TIMES / rows[i].tokens;
		uint64_t part = rows[i].n * TIMES % rows[i].tokens;
		/* The exact time, rounded down. */
		pmz_ns exact = whole * rows[i].per +
		               part * rows[i].per / rows[i].tokens;
		pmz_ns took = takes_last(&r, rows[i].n, TIMES);

		if (took + FEW_NS < exact ||
		    took > exact + exact / PPM + FEW_NS)
			fail_msg("row %zu: %llu ns instead of %llu", i,
			         (unsigned long long)took,
			         (unsigned long long)exact);
	}
}

static void reserve(pmz_bucket *b, const pmz_rate *r, uint64_t n, pmz_ns now,
                    pmz_ns latest, int status, pmz_ns want)
{
	pmz_ns at = 0;

	expect_status(pmz_bucket_reserve(b, r, n, now, latest, &at), status);
	assert_int_equal(at, want);
}

static void a_reservation_goes_at_once_while_there_are_tokens(void **state)
{
	pmz_rate r = ten_a_second();
	pmz_bucket b = PMZ_BUCKET_INIT;

	(void)state;
	reserve(&b, &r, 2, START, START, PMZ_OK, START);
	expect_left(&b, &r, START, 3);
}

static void reservations_queue_one_behind_the_other(void **state)
{
	pmz_rate r = ten_a_second();
	pmz_bucket b = PMZ_BUCKET_INIT;
	unsigned i;

	(void)state;
	expect_take(&b, &r, 5, START);
	for (i = 1; i <= 20; i++)
		reserve(&b, &r, 1, START, PMZ_NEVER, PMZ_OK,
		        START + i * PMZ_MS(100));
	reserve(&b, &r, 3, START, PMZ_NEVER, PMZ_OK, START + PMZ_MS(2300));
	expect_refusal(&b, &r, 1, START + PMZ_MS(2300), START + PMZ_MS(2400));
	expect_take(&b, &r, 1, START + PMZ_MS(2400));
}

static void a_reservation_is_granted_at_its_latest_and_not_beyond(void **state)
{
	pmz_rate r = ten_a_second();
	pmz_bucket b = PMZ_BUCKET_INIT;
	const pmz_ns due = START + PMZ_MS(100);

	(void)state;
	expect_take(&b, &r, 5, START);
	reserve(&b, &r, 1, START, due - 1, PMZ_REFUSED_RATE, due);
	reserve(&b, &r, 1, START, due, PMZ_OK, due);
	reserve(&b, &r, 1, START, due + 1, PMZ_REFUSED_RATE,
	        due + PMZ_MS(100));
}

static void a_refused_reservation_takes_nothing(void **state)
{
	pmz_rate r = ten_a_second();
	pmz_bucket b = PMZ_BUCKET_INIT;

	(void)state;
	reserve(&b, &r, 6, START, PMZ_NEVER, PMZ_REFUSED_RATE, PMZ_NEVER);
	reserve(&b, &r, 1, START, START - 1, PMZ_REFUSED_RATE, START);
	expect_left(&b, &r, START, 5);
	expect_take(&b, &r, 5, START);
	reserve(&b, &r, 5, START, START + PMZ_MS(499), PMZ_REFUSED_RATE,
	        START + PMZ_MS(500));
	expect_take(&b, &r, 1, START + PMZ_MS(100));
}

static void a_reservation_cannot_start_after_the_end_of_time(void **state)
{
	pmz_rate r = ten_a_second();
	pmz_bucket b = PMZ_BUCKET_INIT;
	pmz_ns at;

	(void)state;
	expect_take(&b, &r, 4, PMZ_NEVER - PMZ_MS(401));
	expect_status(pmz_bucket_reserve(&b, &r, 5, PMZ_NEVER - PMZ_MS(401),
	                                 PMZ_NEVER, &at),
	              PMZ_REFUSED_RATE);
}

static void a_refund_at_once_is_worth_all(void **state)
{
	pmz_rate r = ten_a_second();
	pmz_bucket b = PMZ_BUCKET_INIT;

	(void)state;
	expect_take(&b, &r, 5, START);
	pmz_bucket_refund(&b, &r, 3, START, START);
	expect_left(&b, &r, START, 3);
	pmz_bucket_refund(&b, &r, 2, START, START);
	assert_int_equal(drain(&b, &r, START), 5);
}

static void what_refilled_before_a_refund_is_not_granted_twice(void **state)
{
	static const struct {
		pmz_ns after;
		uint64_t left; /* of 5, all taken, 4 refunded */
	} rows[] = {
		{ 0, 4 },           { PMZ_MS(100) - 1, 4 }, { PMZ_MS(100), 4 },
		{ PMZ_MS(399), 4 }, { PMZ_MS(400), 4 },     { PMZ_MS(499), 4 },
		{ PMZ_MS(500), 5 },
	};
	pmz_rate r = ten_a_second();
	size_t i;

	(void)state;
	for (i = 0; i < KIT_COUNT(rows); i++) {
		pmz_bucket b = PMZ_BUCKET_INIT;

		expect_take(&b, &r, 5, START);
		pmz_bucket_refund(&b, &r, 4, START, START + rows[i].after);
		if (pmz_bucket_left(&b, &r, START + rows[i].after) !=
		    rows[i].left)
			fail_msg("row %zu", i);
	}
}

static void a_refund_never_fills_beyond_the_burst(void **state)
{
	pmz_rate r = ten_a_second();
	pmz_bucket b = PMZ_BUCKET_INIT;

	(void)state;
	pmz_bucket_refund(&b, &r, 5, START, START);
	assert_int_equal(drain(&b, &r, START), 5);
	pmz_bucket_refund(&b, &r, UINT64_MAX, START, START);
	assert_int_equal(drain(&b, &r, START), 5);
	/* 2^56 * 100 ms is 0 modulo 2^64. */
	pmz_bucket_refund(&b, &r, (uint64_t)1 << 56, START, START);
	assert_int_equal(drain(&b, &r, START), 5);
	expect_refusal(&b, &r, 1, START, START + PMZ_MS(100));
}

static void a_refund_does_not_take_the_bucket_behind_its_now(void **state)
{
	pmz_rate r = ten_a_second();
	pmz_bucket b = PMZ_BUCKET_INIT;

	(void)state;
	expect_take(&b, &r, 1, START);
	pmz_bucket_refund(&b, &r, 5, START, START);
	expect_left(&b, &r, START, 5);
	/* A clock that is back finds what is ahead of it gone. */
	expect_left(&b, &r, START - PMZ_MS(100), 4);
}

static void a_refund_cancels_a_reservation(void **state)
{
	pmz_rate r = ten_a_second();
	pmz_bucket b = PMZ_BUCKET_INIT;
	pmz_ns due = START + PMZ_MS(300);

	(void)state;
	expect_take(&b, &r, 5, START);
	reserve(&b, &r, 3, START, PMZ_NEVER, PMZ_OK, due);
	reserve(&b, &r, 1, START, PMZ_NEVER, PMZ_OK, due + PMZ_MS(100));
	pmz_bucket_refund(&b, &r, 3, due, START + PMZ_MS(50));
	expect_refusal(&b, &r, 1, START + PMZ_MS(50), START + PMZ_MS(200));
}

static void a_refund_of_none_gives_none(void **state)
{
	pmz_rate r = ten_a_second();
	pmz_bucket b = PMZ_BUCKET_INIT;

	(void)state;
	expect_take(&b, &r, 5, START);
	pmz_bucket_refund(&b, &r, 0, START, START);
	expect_left(&b, &r, START, 0);
	expect_refusal(&b, &r, 1, START, START + PMZ_MS(100));
}

static void a_rerate_keeps_the_tokens_that_are_left(void **state)
{
	pmz_rate slow = ten_a_second(), fast = rate_of(1000, PMZ_S(1), 5);
	pmz_bucket b = PMZ_BUCKET_INIT;

	(void)state;
	expect_take(&b, &slow, 2, START);
	pmz_bucket_rerate(&b, &slow, &fast, START);
	expect_left(&b, &fast, START, 3);
	assert_int_equal(drain(&b, &fast, START), 3);
	expect_refusal(&b, &fast, 1, START, START + PMZ_MS(1));
}

static void a_rerate_keeps_the_part_of_a_token_on_its_way(void **state)
{
	pmz_rate slow = ten_a_second(), fast = rate_of(1000, PMZ_S(1), 5);
	pmz_bucket b = PMZ_BUCKET_INIT;
	pmz_ns now = START + PMZ_MS(50);

	(void)state;
	expect_take(&b, &slow, 5, START);
	pmz_bucket_rerate(&b, &slow, &fast, now);
	expect_refusal(&b, &fast, 1, now, now + PMZ_US(500));
}

static void a_rerate_to_a_bigger_burst_is_no_gift(void **state)
{
	pmz_rate small = ten_a_second(), big = rate_of(10, PMZ_S(1), 500);
	pmz_bucket full = PMZ_BUCKET_INIT, empty = PMZ_BUCKET_INIT;

	(void)state;
	expect_take(&empty, &small, 5, START);
	pmz_bucket_rerate(&empty, &small, &big, START);
	pmz_bucket_rerate(&full, &small, &big, START);
	expect_left(&full, &big, START, 5);
	expect_refusal(&empty, &big, 1, START, START + PMZ_MS(100));
	expect_left(&full, &big, START + PMZ_MS(49500) - 1, 499);
	expect_left(&full, &big, START + PMZ_MS(49500), 500);
}

static void a_rerate_to_a_smaller_burst_keeps_what_fits(void **state)
{
	pmz_rate big = rate_of(10, PMZ_S(1), 500), small = ten_a_second();
	pmz_bucket b = PMZ_BUCKET_INIT;

	(void)state;
	expect_take(&b, &big, 498, START);
	pmz_bucket_rerate(&b, &big, &small, START);
	expect_left(&b, &small, START, 2);
	b = (pmz_bucket)PMZ_BUCKET_INIT;
	expect_take(&b, &big, 100, START);
	pmz_bucket_rerate(&b, &big, &small, START);
	expect_left(&b, &small, START, 5);
	expect_left(&b, &small, START + PMZ_S(100), 5);
}

static void a_rerate_keeps_what_is_reserved(void **state)
{
	pmz_rate slow = ten_a_second(), fast = rate_of(100, PMZ_S(1), 20);
	pmz_bucket b = PMZ_BUCKET_INIT;

	(void)state;
	expect_take(&b, &slow, 5, START);
	reserve(&b, &slow, 5, START, PMZ_NEVER, PMZ_OK, START + PMZ_MS(500));
	reserve(&b, &slow, 2, START, PMZ_NEVER, PMZ_OK, START + PMZ_MS(700));
	pmz_bucket_rerate(&b, &slow, &fast, START);
	expect_refusal(&b, &fast, 1, START, START + PMZ_MS(80));
}

static void a_rerate_there_and_back_gives_nothing(void **state)
{
	pmz_rate a = rate_of(333333, PMZ_S(1), 1000);
	pmz_rate b = rate_of(77, PMZ_MS(1), 1000);
	pmz_bucket bucket = PMZ_BUCKET_INIT;
	int i;

	(void)state;
	expect_take(&bucket, &a, 600, START);
	for (i = 0; i < 1000; i++) {
		pmz_bucket_rerate(&bucket, &a, &b, START);
		expect_left(&bucket, &b, START, 400);
		pmz_bucket_rerate(&bucket, &b, &a, START);
		expect_left(&bucket, &a, START, 400);
	}
}

static void a_take_by_the_old_rate_stays_within_the_old_burst(void **state)
{
	pmz_rate old = ten_a_second(), new = rate_of(1000, PMZ_S(1), 50);
	pmz_bucket b = PMZ_BUCKET_INIT;

	(void)state;
	expect_take(&b, &old, 5, START);
	pmz_bucket_rerate(&b, &old, &new, START);
	/* By the new rule it is full in 50 ms, by the old one it may be 500 ms:
	 * there is room for 4 tokens of 100 ms, and who follows pays them. */
	assert_int_equal(drain(&b, &old, START), 4);
	expect_refusal(&b, &new, 1, START, START + PMZ_MS(401));
	expect_take(&b, &new, 1, START + PMZ_MS(401));
	expect_left(&b, &new, START + PMZ_S(10), 50);
}

static void a_rate_is_used_by_many_buckets(void **state)
{
	pmz_rate r = ten_a_second();
	pmz_bucket many[100];
	int i;

	(void)state;
	memset(many, 0, sizeof(many));
	for (i = 0; i < 100; i++)
		assert_int_equal(drain(&many[i], &r, START), 5);
	assert_int_equal(sizeof(pmz_bucket), 8);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_fresh_bucket_grants_its_burst_and_no_more),
		cmocka_unit_test(a_fresh_bucket_is_full_at_any_instant),
		cmocka_unit_test(
			a_token_is_there_at_ready_at_and_not_a_ns_before),
		cmocka_unit_test(a_take_is_all_or_none),
		cmocka_unit_test(a_refusal_changes_nothing),
		cmocka_unit_test(more_than_the_burst_never_comes),
		cmocka_unit_test(taking_none_costs_nothing),
		cmocka_unit_test(idling_saves_no_more_than_the_burst),
		cmocka_unit_test(a_clock_that_steps_back_grants_nothing),
		cmocka_unit_test(
			a_clock_that_swings_grants_no_more_than_one_that_goes_on),
		cmocka_unit_test(the_end_of_time_refuses_and_does_not_wrap),
		cmocka_unit_test(a_rate_has_its_bounds),
		cmocka_unit_test(a_rate_that_is_refused_leaves_the_old_one),
		cmocka_unit_test(the_widest_rates_take_as_the_narrow_ones_do),
		cmocka_unit_test(a_long_run_keeps_its_rate),
		cmocka_unit_test(
			a_reservation_goes_at_once_while_there_are_tokens),
		cmocka_unit_test(reservations_queue_one_behind_the_other),
		cmocka_unit_test(
			a_reservation_is_granted_at_its_latest_and_not_beyond),
		cmocka_unit_test(a_refused_reservation_takes_nothing),
		cmocka_unit_test(
			a_reservation_cannot_start_after_the_end_of_time),
		cmocka_unit_test(a_refund_at_once_is_worth_all),
		cmocka_unit_test(
			what_refilled_before_a_refund_is_not_granted_twice),
		cmocka_unit_test(a_refund_never_fills_beyond_the_burst),
		cmocka_unit_test(
			a_refund_does_not_take_the_bucket_behind_its_now),
		cmocka_unit_test(a_refund_cancels_a_reservation),
		cmocka_unit_test(a_refund_of_none_gives_none),
		cmocka_unit_test(a_rerate_keeps_the_tokens_that_are_left),
		cmocka_unit_test(a_rerate_keeps_the_part_of_a_token_on_its_way),
		cmocka_unit_test(a_rerate_to_a_bigger_burst_is_no_gift),
		cmocka_unit_test(a_rerate_to_a_smaller_burst_keeps_what_fits),
		cmocka_unit_test(a_rerate_keeps_what_is_reserved),
		cmocka_unit_test(a_rerate_there_and_back_gives_nothing),
		cmocka_unit_test(
			a_take_by_the_old_rate_stays_within_the_old_burst),
		cmocka_unit_test(a_rate_is_used_by_many_buckets),
	};

	return cmocka_run_group_tests_name("bucket", tests, NULL, NULL);
}
