/*
 * backoff.c - whether to try again and when, wait by wait.
 */
#include "expect.h"

#include <string.h>

#include <pipemaze/backoff.h>

#define NOW PMZ_S(1000)

/* 100 ms, 200 ms, ... up to 5 s, exactly, and as often as asked. */
static pmz_backoff_rule plain(void)
{
	pmz_backoff_rule rule;

	memset(&rule, 0, sizeof(rule));
	rule.size = sizeof(rule);
	rule.jitter = PMZ_JITTER_NONE;
	rule.tries_max = PMZ_OFF;
	return rule;
}

static pmz_backoff start(const pmz_backoff_rule *rule, pmz_ns deadline,
                         uint64_t seed)
{
	pmz_backoff b;

	expect_status(pmz_backoff_start(&b, rule, deadline, seed), PMZ_OK);
	return b;
}

/* The next wait from NOW. */
static pmz_ns wait_after(pmz_backoff *b, pmz_ns hint)
{
	pmz_ns at = 0;

	expect_status(pmz_backoff_next(b, NOW, hint, &at), PMZ_OK);
	assert_true(at >= NOW);
	return at - NOW;
}

static void expect_end(pmz_backoff *b, pmz_ns now, pmz_ns hint, int status)
{
	pmz_ns at;

	expect_status(pmz_backoff_next(b, now, hint, &at), status);
}

static void each_wait_doubles_up_to_the_longest(void **state)
{
	static const pmz_ns waits[] = { PMZ_S(1), PMZ_S(2), PMZ_S(4), PMZ_S(5),
		                        PMZ_S(5), PMZ_S(5) };
	pmz_backoff_rule rule = plain();
	pmz_backoff b;
	size_t i;

	(void)state;
	rule.base_ns = PMZ_S(1);
	b = start(&rule, 0, 1);
	for (i = 0; i < KIT_COUNT(waits); i++)
		assert_int_equal(wait_after(&b, 0), waits[i]);
}

static void three_tries_wait_twice(void **state)
{
	pmz_backoff_rule rule = plain();
	pmz_backoff b;

	(void)state;
	rule.base_ns = PMZ_S(1);
	rule.tries_max = 0;
	b = start(&rule, 0, 1);
	assert_int_equal(wait_after(&b, 0), PMZ_S(1));
	assert_int_equal(wait_after(&b, 0), PMZ_S(2));
	expect_end(&b, NOW, 0, PMZ_GAVE_UP);
	expect_end(&b, NOW, 0, PMZ_GAVE_UP);
}

static void one_try_is_not_repeated(void **state)
{
	pmz_backoff_rule rule = plain();
	pmz_backoff b;

	(void)state;
	rule.tries_max = 1;
	b = start(&rule, 0, 1);
	expect_end(&b, NOW, 0, PMZ_GAVE_UP);
}

static void tries_are_counted_from_the_first(void **state)
{
	pmz_backoff b = start(NULL, 0, 1);

	(void)state;
	assert_int_equal(pmz_backoff_tries(&b), 1);
	wait_after(&b, 0);
	assert_int_equal(pmz_backoff_tries(&b), 2);
	wait_after(&b, 0);
	assert_int_equal(pmz_backoff_tries(&b), 3);
	expect_end(&b, NOW, 0, PMZ_GAVE_UP);
	assert_int_equal(pmz_backoff_tries(&b), 3);
}

static void a_try_that_is_not_made_is_not_counted(void **state)
{
	pmz_backoff b = start(NULL, NOW, 1);

	(void)state;
	expect_end(&b, NOW + 1, 0, PMZ_TIMED_OUT);
	assert_int_equal(pmz_backoff_tries(&b), 1);
	b = start(NULL, 0, 1);
	expect_end(&b, NOW, PMZ_NEVER, PMZ_GAVE_UP);
	assert_int_equal(pmz_backoff_tries(&b), 1);
}

static void no_rule_is_all_defaults(void **state)
{
	enum { SEEDS = 1000 };
	pmz_ns longest[2] = { 0, 0 };
	uint64_t seed;

	(void)state;
	for (seed = 0; seed < SEEDS; seed++) {
		pmz_backoff b = start(NULL, 0, seed);
		int i;

		for (i = 0; i < 2; i++) {
			pmz_ns wait = wait_after(&b, 0);

			if (wait > longest[i])
				longest[i] = wait;
		}
		expect_end(&b, NOW, 0, PMZ_GAVE_UP);
	}
	/* Full jitter: of so many draws one comes close to the top. */
	assert_in_range(longest[0], PMZ_MS(97), PMZ_MS(100));
	assert_in_range(longest[1], PMZ_MS(194), PMZ_MS(200));
}

static void a_try_that_just_fits_before_the_deadline_is_made(void **state)
{
	static const struct {
		pmz_ns attempt_min, deadline;
		int want;
	} rows[] = {
		{ 0, NOW + PMZ_MS(100) - 1, PMZ_TIMED_OUT },
		{ 0, NOW + PMZ_MS(100), PMZ_OK },
		{ 0, NOW + PMZ_MS(100) + 1, PMZ_OK },
		{ PMZ_MS(30), NOW + PMZ_MS(130) - 1, PMZ_TIMED_OUT },
		{ PMZ_MS(30), NOW + PMZ_MS(130), PMZ_OK },
		{ PMZ_NEVER, NOW + PMZ_S(1000), PMZ_TIMED_OUT },
		{ PMZ_NEVER - PMZ_S(1), NOW + PMZ_S(1), PMZ_TIMED_OUT },
		{ 0, NOW, PMZ_TIMED_OUT },
		{ 0, NOW - PMZ_S(1), PMZ_TIMED_OUT },
		{ 0, 1, PMZ_TIMED_OUT },
		{ PMZ_S(10), 0, PMZ_OK },
		{ PMZ_S(10), PMZ_NEVER, PMZ_OK },
	};
	size_t i;

	(void)state;
	for (i = 0; i < KIT_COUNT(rows); i++) {
		pmz_backoff_rule rule = plain();
		pmz_backoff b;
		pmz_ns at;

		rule.attempt_min_ns = rows[i].attempt_min;
		b = start(&rule, rows[i].deadline, 1);
		kit_expect_row(i, pmz_backoff_next(&b, NOW, 0, &at),
		               rows[i].want, pmz_status_name);
	}
}

static void no_tries_left_is_said_before_no_time_left(void **state)
{
	pmz_backoff_rule rule = plain();
	pmz_backoff b;

	(void)state;
	rule.tries_max = 1;
	b = start(&rule, NOW, 1);
	expect_end(&b, NOW + PMZ_S(1), 0, PMZ_GAVE_UP);
}

static void a_wait_is_not_cut_to_the_deadline(void **state)
{
	pmz_backoff_rule rule = plain();
	pmz_backoff b;

	(void)state;
	rule.base_ns = PMZ_S(1);
	b = start(&rule, NOW + PMZ_MS(3500), 1);
	assert_int_equal(wait_after(&b, 0), PMZ_S(1));
	assert_int_equal(wait_after(&b, 0), PMZ_S(2));
	expect_end(&b, NOW, 0, PMZ_TIMED_OUT);
}

static void a_hint_replaces_the_wait(void **state)
{
	pmz_backoff_rule rule = plain();
	uint64_t seed;

	(void)state;
	for (seed = 0; seed < 100; seed++) {
		pmz_backoff b = start(&rule, 0, seed);

		/* Longer than max_ns, and shorter than the first wait. */
		expect_between(wait_after(&b, PMZ_S(60)), PMZ_S(60),
		               PMZ_S(90) - 1);
		expect_between(wait_after(&b, PMZ_MS(10)), PMZ_MS(10),
		               PMZ_MS(15) - 1);
	}
}

static void a_hint_is_spread_over_half_as_much_again(void **state)
{
	enum { SEEDS = 1000 };
	pmz_backoff_rule rule = plain();
	pmz_ns least = PMZ_NEVER, most = 0;
	uint64_t seed;

	(void)state;
	for (seed = 0; seed < SEEDS; seed++) {
		pmz_backoff b = start(&rule, 0, seed);
		pmz_ns wait = wait_after(&b, PMZ_S(10));

		least = wait < least ? wait : least;
		most = wait > most ? wait : most;
	}
	expect_between(least, PMZ_S(10), PMZ_MS(10100));
	expect_between(most, PMZ_MS(14900), PMZ_S(15) - 1);
}

static void a_hint_is_cut_to_its_longest(void **state)
{
	pmz_backoff_rule rule = plain();
	pmz_backoff b = start(&rule, 0, 1);

	(void)state;
	expect_between(wait_after(&b, PMZ_S(301)), PMZ_S(300), PMZ_S(450) - 1);
	expect_between(wait_after(&b, PMZ_NEVER - 1), PMZ_S(300),
	               PMZ_S(450) - 1);
	rule.hint_max_ns = PMZ_S(2);
	b = start(&rule, 0, 1);
	expect_between(wait_after(&b, PMZ_S(3)), PMZ_S(2), PMZ_S(3) - 1);
}

static void a_hint_beyond_the_deadline_ends_it(void **state)
{
	pmz_backoff_rule rule = plain();
	pmz_backoff b = start(&rule, NOW + PMZ_S(10), 1);

	(void)state;
	expect_end(&b, NOW, PMZ_S(11), PMZ_TIMED_OUT);
}

static void a_hint_of_never_stops(void **state)
{
	pmz_backoff_rule rule = plain();
	pmz_backoff b = start(&rule, 0, 1);

	(void)state;
	expect_end(&b, NOW, PMZ_NEVER, PMZ_GAVE_UP);
}

static void a_hint_uses_a_try_up(void **state)
{
	pmz_backoff b = start(NULL, 0, 1);

	(void)state;
	wait_after(&b, PMZ_S(1));
	wait_after(&b, PMZ_S(1));
	expect_end(&b, NOW, PMZ_S(1), PMZ_GAVE_UP);
}

static void the_wait_after_a_hinted_one_is_that_of_its_number(void **state)
{
	pmz_backoff_rule rule = plain();
	pmz_backoff b = start(&rule, 0, 1);

	(void)state;
	wait_after(&b, PMZ_MS(1));
	assert_int_equal(wait_after(&b, 0), PMZ_MS(200));
	wait_after(&b, PMZ_MS(1));
	assert_int_equal(wait_after(&b, 0), PMZ_MS(800));
}

static void no_wait_is_shorter_than_the_floor(void **state)
{
	static const uint32_t jitters[] = { PMZ_JITTER_FULL, PMZ_JITTER_EQUAL,
		                            PMZ_JITTER_DECORRELATED,
		                            PMZ_JITTER_NONE };
	pmz_backoff_rule rule = plain();
	uint64_t seed;
	size_t i;

	(void)state;
	rule.floor_ns = PMZ_MS(150);
	for (i = 0; i < KIT_COUNT(jitters); i++) {
		rule.jitter = jitters[i];
		for (seed = 0; seed < 100; seed++) {
			pmz_backoff b = start(&rule, 0, seed);

			assert_true(wait_after(&b, 0) >= PMZ_MS(150));
			assert_true(wait_after(&b, PMZ_MS(1)) >= PMZ_MS(150));
			assert_true(wait_after(&b, 0) >= PMZ_MS(150));
		}
	}
}

static void the_floor_is_no_meeting_point(void **state)
{
	enum { SEEDS = 1000 };
	pmz_backoff_rule rule = plain();
	unsigned at_floor = 0;
	uint64_t seed;

	(void)state;
	rule.jitter = PMZ_JITTER_FULL;
	rule.base_ns = PMZ_MS(100);
	rule.floor_ns = PMZ_MS(50);
	for (seed = 0; seed < SEEDS; seed++) {
		pmz_backoff b = start(&rule, 0, seed);

		at_floor += wait_after(&b, 0) < PMZ_MS(51);
	}
	/* 20 of 1000 are due in that ms; half of all if the draw is cut. */
	assert_in_range(at_floor, 1, 50);
}

static void the_same_seed_replays(void **state)
{
	pmz_backoff_rule rule = plain();
	pmz_backoff a, b;
	int i;

	(void)state;
	rule.jitter = PMZ_JITTER_DECORRELATED;
	a = start(&rule, 0, 42);
	b = start(&rule, 0, 42);
	for (i = 0; i < 100; i++)
		assert_int_equal(wait_after(&a, 0), wait_after(&b, 0));
}

static void a_copy_goes_on_where_it_was_made(void **state)
{
	pmz_backoff_rule rule = plain();
	pmz_backoff a, b;
	int i;

	(void)state;
	rule.jitter = PMZ_JITTER_FULL;
	a = start(&rule, 0, 42);
	wait_after(&a, 0);
	b = a;
	for (i = 0; i < 100; i++)
		assert_int_equal(wait_after(&a, 0), wait_after(&b, 0));
}

static void the_rule_is_copied(void **state)
{
	pmz_backoff_rule rule = plain();
	pmz_backoff b = start(&rule, 0, 1);

	(void)state;
	memset(&rule, 0xff, sizeof(rule));
	assert_int_equal(wait_after(&b, 0), PMZ_MS(100));
}

/* A fleet numbers its calls: seeds are neighbours, waits must not be. */
static void neighbouring_seeds_wait_differently(void **state)
{
	enum { SEEDS = 10000, BINS = 10 };
	pmz_backoff_rule rule = plain();
	unsigned bins[BINS] = { 0 }, runs = 0;
	pmz_ns before = 0;
	uint64_t seed;
	int i;

	(void)state;
	rule.jitter = PMZ_JITTER_FULL;
	for (seed = 0; seed < SEEDS; seed++) {
		pmz_backoff b = start(&rule, 0, seed);
		pmz_ns wait = wait_after(&b, 0);

		bins[wait * BINS / (PMZ_MS(100) + 1)]++;
		runs += wait > before;
		before = wait;
	}
	for (i = 0; i < BINS; i++)
		assert_in_range(bins[i], 850, 1150);
	assert_in_range(runs, SEEDS * 45 / 100, SEEDS * 55 / 100);
}

static void a_factor_of_100_percent_does_not_grow(void **state)
{
	pmz_backoff_rule rule = plain();
	pmz_backoff b;
	int i;

	(void)state;
	rule.factor_pct = 100;
	b = start(&rule, 0, 1);
	for (i = 0; i < 1000; i++)
		assert_int_equal(wait_after(&b, 0), PMZ_MS(100));
}

static void a_factor_is_a_percentage_of_the_last_wait(void **state)
{
	static const pmz_ns half_more[] = { PMZ_MS(100), PMZ_MS(150),
		                            PMZ_MS(225), PMZ_US(337500) };
	static const pmz_ns tenfold[] = { PMZ_MS(100), PMZ_S(1), PMZ_S(5) };
	pmz_backoff_rule rule = plain();
	pmz_backoff b;
	size_t i;

	(void)state;
	rule.factor_pct = 150;
	b = start(&rule, 0, 1);
	for (i = 0; i < KIT_COUNT(half_more); i++)
		assert_int_equal(wait_after(&b, 0), half_more[i]);
	rule.factor_pct = 1000;
	b = start(&rule, 0, 1);
	for (i = 0; i < KIT_COUNT(tenfold); i++)
		assert_int_equal(wait_after(&b, 0), tenfold[i]);
}

/* 101 % of 1 ns is 1 ns, if each wait is rounded down before the next. */
static void a_base_of_a_ns_grows_too(void **state)
{
	static const uint32_t factors[] = { 101, 150, 199, 200 };
	size_t i;
	int n;

	(void)state;
	for (i = 0; i < KIT_COUNT(factors); i++) {
		pmz_backoff_rule rule = plain();
		pmz_backoff b;
		pmz_ns wait = 0;

		rule.base_ns = 1;
		rule.max_ns = PMZ_S(5);
		rule.factor_pct = factors[i];
		b = start(&rule, 0, 1);
		for (n = 0; n < 3000; n++)
			wait = wait_after(&b, 0);
		assert_int_equal(wait, PMZ_S(5));
	}
}

/* 1, 9.99, 99.8: the part of the second comes to 9 in the third. */
static void no_wait_is_longer_than_the_longest(void **state)
{
	pmz_backoff_rule rule = plain();
	pmz_ns max;

	(void)state;
	rule.base_ns = 1;
	rule.factor_pct = 999;
	for (max = 10; max < 100; max++) {
		pmz_backoff b;

		rule.max_ns = max;
		b = start(&rule, 0, 1);
		assert_int_equal(wait_after(&b, 0), 1);
		expect_between(wait_after(&b, 0), 9, 10);
		expect_between(wait_after(&b, 0), max < 99 ? max : 99, max);
	}
}

static void waits_without_end_do_not_overflow(void **state)
{
	pmz_backoff_rule rule = plain();
	pmz_backoff b;
	int i;

	(void)state;
	rule.base_ns = PMZ_NEVER / 4;
	rule.max_ns = PMZ_NEVER - 1;
	rule.factor_pct = 1000;
	b = start(&rule, 0, 1);
	assert_int_equal(wait_after(&b, 0), PMZ_NEVER / 4);
	for (i = 0; i < 1000; i++) {
		pmz_ns at = 0;

		expect_status(pmz_backoff_next(&b, NOW, 0, &at), PMZ_OK);
		assert_true(at >= PMZ_NEVER - 1);
	}
}

static void a_hint_without_bound_does_not_overflow(void **state)
{
	pmz_backoff_rule rule = plain();
	pmz_backoff b;
	pmz_ns at = 0;

	(void)state;
	rule.hint_max_ns = PMZ_NEVER;
	b = start(&rule, 0, 1);
	expect_status(pmz_backoff_next(&b, NOW, PMZ_NEVER - 1, &at), PMZ_OK);
	assert_true(at >= PMZ_NEVER - 1);
	b = start(&rule, PMZ_NEVER - 1, 1);
	expect_end(&b, NOW, PMZ_NEVER - 1, PMZ_TIMED_OUT);
}

static void near_the_end_of_time_nothing_wraps(void **state)
{
	pmz_backoff_rule rule = plain();
	pmz_backoff b = start(&rule, 0, 1);
	pmz_ns at = 0;

	(void)state;
	expect_status(pmz_backoff_next(&b, PMZ_NEVER - 1, 0, &at), PMZ_OK);
	assert_true(at >= PMZ_NEVER - 1);
	b = start(&rule, PMZ_NEVER - 1, 1);
	expect_end(&b, PMZ_NEVER - 1, 0, PMZ_TIMED_OUT);
}

static void a_rule_out_of_range_is_refused(void **state)
{
	static const struct {
		uint32_t jitter, factor;
		pmz_ns base, max, floor;
		int want;
	} rows[] = {
		{ 0, 0, 0, 0, 0, PMZ_OK },
		{ 1, 100, PMZ_S(5), PMZ_S(5), PMZ_S(5), PMZ_OK },
		{ 4, 1000, 1, 1, 1, PMZ_OK },
		{ 5, 0, 0, 0, 0, PMZ_E_CONFIG },
		{ PMZ_OFF, 0, 0, 0, 0, PMZ_E_CONFIG },
		{ 0, 99, 0, 0, 0, PMZ_E_CONFIG },
		{ 0, 1, 0, 0, 0, PMZ_E_CONFIG },
		{ 0, 1001, 0, 0, 0, PMZ_E_CONFIG },
		{ 0, PMZ_OFF, 0, 0, 0, PMZ_E_CONFIG },
		{ 0, 0, PMZ_S(5) + 1, PMZ_S(5), 0, PMZ_E_CONFIG },
		{ 0, 0, 0, PMZ_S(2), PMZ_S(2) + 1, PMZ_E_CONFIG },
		{ 0, 0, 0, 0, PMZ_S(5) + 1, PMZ_E_CONFIG },
	};
	size_t i;

	(void)state;
	for (i = 0; i < KIT_COUNT(rows); i++) {
		pmz_backoff_rule rule;
		pmz_backoff b;

		memset(&rule, 0, sizeof(rule));
		rule.size = sizeof(rule);
		rule.jitter = rows[i].jitter;
		rule.factor_pct = rows[i].factor;
		rule.base_ns = rows[i].base;
		rule.max_ns = rows[i].max;
		rule.floor_ns = rows[i].floor;
		kit_expect_row(i, pmz_backoff_start(&b, &rule, 0, 1),
		               rows[i].want, pmz_status_name);
	}
}

static void a_rule_says_its_size(void **state)
{
	pmz_backoff_rule rule = plain();
	pmz_backoff b;

	(void)state;
	for (rule.size = 0; rule.size < 8; rule.size++)
		expect_status(pmz_backoff_start(&b, &rule, 0, 1),
		              PMZ_E_CONFIG);
	expect_status(pmz_backoff_start(&b, &rule, 0, 1), PMZ_OK);
}

static void a_longer_rule_asks_for_nothing_unknown(void **state)
{
	struct {
		pmz_backoff_rule known;
		uint64_t tail;
	} rule = { plain(), 0 };
	pmz_backoff b;

	(void)state;
	rule.known.size = sizeof(rule);
	expect_status(pmz_backoff_start(&b, &rule.known, 0, 1), PMZ_OK);
	assert_int_equal(wait_after(&b, 0), PMZ_MS(100));
	rule.tail = 1;
	expect_status(pmz_backoff_start(&b, &rule.known, 0, 1), PMZ_E_CONFIG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_wait_doubles_up_to_the_longest),
		cmocka_unit_test(three_tries_wait_twice),
		cmocka_unit_test(one_try_is_not_repeated),
		cmocka_unit_test(tries_are_counted_from_the_first),
		cmocka_unit_test(a_try_that_is_not_made_is_not_counted),
		cmocka_unit_test(no_rule_is_all_defaults),
		cmocka_unit_test(
			a_try_that_just_fits_before_the_deadline_is_made),
		cmocka_unit_test(no_tries_left_is_said_before_no_time_left),
		cmocka_unit_test(a_wait_is_not_cut_to_the_deadline),
		cmocka_unit_test(a_hint_replaces_the_wait),
		cmocka_unit_test(a_hint_is_spread_over_half_as_much_again),
		cmocka_unit_test(a_hint_is_cut_to_its_longest),
		cmocka_unit_test(a_hint_beyond_the_deadline_ends_it),
		cmocka_unit_test(a_hint_of_never_stops),
		cmocka_unit_test(a_hint_uses_a_try_up),
		cmocka_unit_test(
			the_wait_after_a_hinted_one_is_that_of_its_number),
		cmocka_unit_test(no_wait_is_shorter_than_the_floor),
		cmocka_unit_test(the_floor_is_no_meeting_point),
		cmocka_unit_test(the_same_seed_replays),
		cmocka_unit_test(a_copy_goes_on_where_it_was_made),
		cmocka_unit_test(the_rule_is_copied),
		cmocka_unit_test(neighbouring_seeds_wait_differently),
		cmocka_unit_test(a_factor_of_100_percent_does_not_grow),
		cmocka_unit_test(a_factor_is_a_percentage_of_the_last_wait),
		cmocka_unit_test(a_base_of_a_ns_grows_too),
		cmocka_unit_test(no_wait_is_longer_than_the_longest),
		cmocka_unit_test(waits_without_end_do_not_overflow),
		cmocka_unit_test(a_hint_without_bound_does_not_overflow),
		cmocka_unit_test(near_the_end_of_time_nothing_wraps),
		cmocka_unit_test(a_rule_out_of_range_is_refused),
		cmocka_unit_test(a_rule_says_its_size),
		cmocka_unit_test(a_longer_rule_asks_for_nothing_unknown),
	};

	return cmocka_run_group_tests_name("backoff", tests, NULL, NULL);
}
