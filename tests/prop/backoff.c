/*
 * backoff.c - every wait lies where its rule says, for random rules.
 */
#include <string.h>

#include <pipemaze/backoff.h>

#include "dice.h"
#include "must.h"

__extension__ typedef unsigned __int128 wide;

#define WAITS 100
#define DRAWS 2000

static pmz_backoff_rule any_rule(dice *d, uint32_t jitter)
{
	pmz_backoff_rule r;

	memset(&r, 0, sizeof(r));
	r.size = sizeof(r);
	r.jitter = jitter;
	/* From a ms on, what rounding 100 percentages adds up to is
	 * under 1/1000. */
	r.base_ns = PMZ_MS(1) + dice_sized(d, 40);
	r.max_ns = r.base_ns + dice_sized(d, 45);
	if (dice_once_in(d, 3))
		r.floor_ns = dice_between(d, 1, r.max_ns);
	r.tries_max = PMZ_OFF;
	r.factor_pct = (uint32_t)dice_between(d, 100, 1000);
	return r;
}

static pmz_ns next_wait(pmz_backoff *b, pmz_ns now)
{
	pmz_ns at;

	must_be(pmz_backoff_next(b, now, 0, &at), PMZ_OK);
	must_fit(now, at);
	return at - now;
}

static pmz_ns larger(pmz_ns a, pmz_ns b)
{
	return a > b ? a : b;
}

/* min(base * factor^(a - 1), max), to a millionth of a ns. */
static pmz_ns nth_wait(const pmz_backoff_rule *r, int n)
{
	wide max = (wide)r->max_ns * 1000000, x = (wide)r->base_ns * 1000000;

	while (--n && x < max)
		x = x * r->factor_pct / 100;
	return (pmz_ns)((x < max ? x : max) / 1000000);
}

/* Where the draw may go, to within what rounding adds up to. */
static void check_wait(const pmz_backoff_rule *r, int n, pmz_ns wait)
{
	pmz_ns x = nth_wait(r, n);
	pmz_ns slack = 1 + x / 1000;
	pmz_ns high = larger(x, r->floor_ns), low = r->floor_ns;

	if (r->jitter == PMZ_JITTER_NONE)
		low = high;
	if (r->jitter == PMZ_JITTER_EQUAL)
		low = larger(x / 2, r->floor_ns);
	must_fit(wait, r->max_ns);
	must(wait <= high + slack, "wait %d is %llu, not under %llu", n,
	     (unsigned long long)wait, (unsigned long long)high);
	must(wait + slack >= low, "wait %d is %llu, not over %llu", n,
	     (unsigned long long)wait, (unsigned long long)low);
}

static void check_all_waits(int seed, uint32_t jitter)
{
	dice d = dice_of(seed);
	pmz_backoff_rule r = any_rule(&d, jitter);
	pmz_backoff b;
	int n;

	must_be(pmz_backoff_start(&b, &r, 0, dice_roll(&d)), PMZ_OK);
	for (n = 1; n <= WAITS; n++)
		check_wait(&r, n, next_wait(&b, dice_sized(&d, 62)));
}

START_TEST(without_jitter_a_wait_is_what_the_formula_says)
{
	check_all_waits(_i, PMZ_JITTER_NONE);
}
END_TEST

START_TEST(with_full_jitter_a_wait_lies_under_the_formula)
{
	check_all_waits(_i, PMZ_JITTER_FULL);
}
END_TEST

START_TEST(with_equal_jitter_a_wait_lies_in_the_upper_half)
{
	check_all_waits(_i, PMZ_JITTER_EQUAL);
}
END_TEST

START_TEST(with_decorrelated_jitter_a_wait_is_at_most_thrice_the_last)
{
	dice d = dice_of(_i);
	pmz_backoff_rule r = any_rule(&d, PMZ_JITTER_DECORRELATED);
	pmz_ns before = r.base_ns;
	pmz_backoff b;
	int n;

	must_be(pmz_backoff_start(&b, &r, 0, dice_roll(&d)), PMZ_OK);
	for (n = 0; n < WAITS; n++) {
		pmz_ns wait = next_wait(&b, 0);

		must_fit(larger(r.base_ns, r.floor_ns), wait);
		must_fit(wait, r.max_ns);
		must_fit(wait, larger(3 * before, r.floor_ns));
		before = wait;
	}
}
END_TEST

/* The n-th waits of a fleet, each of its own seed; how many lie in the highest
 * and the lowest hundredth of [low, high]. */
struct crowd {
	unsigned at_low, at_high;
	pmz_ns sum;
};

static struct crowd crowd_of(const pmz_backoff_rule *r, int n, pmz_ns low,
                             pmz_ns high, uint64_t first_seed)
{
	struct crowd c = { 0, 0, 0 };
	int i;

	for (i = 0; i < DRAWS; i++) {
		pmz_backoff b;
		pmz_ns wait = 0;
		int k;

		must_be(pmz_backoff_start(&b, r, 0, first_seed + (uint64_t)i),
		        PMZ_OK);
		for (k = 0; k < n; k++)
			wait = next_wait(&b, 0);
		c.at_low += wait <= low + (high - low) / 100;
		c.at_high += wait >= high - (high - low) / 100;
		c.sum += wait;
	}
	return c;
}

/* Of 2000 draws 20 are due in each hundredth, with a deviation of 4.5. */
START_TEST(a_fleet_does_not_meet_at_the_cap)
{
	static const uint32_t jitters[] = { PMZ_JITTER_FULL, PMZ_JITTER_EQUAL };
	dice d = dice_of(_i);
	pmz_backoff_rule r;
	struct crowd c;
	pmz_ns low;

	memset(&r, 0, sizeof(r));
	r.size = sizeof(r);
	r.tries_max = PMZ_OFF;
	r.jitter = jitters[_i % 2];
	low = r.jitter == PMZ_JITTER_FULL ? 0 : PMZ_S(5) / 2;
	c = crowd_of(&r, 10, low, PMZ_S(5), dice_roll(&d));
	must_fit(c.at_high, 50);
	must_fit(c.at_low, 50);
	must_fit(1, c.at_high);
	must_fit(1, c.at_low);
	/* The mean is within 5 deviations of the middle. */
	low = (low + PMZ_S(5)) / 2;
	must_fit(low - PMZ_MS(170), c.sum / DRAWS);
	must_fit(c.sum / DRAWS, low + PMZ_MS(170));
}
END_TEST

START_TEST(a_decorrelated_fleet_does_not_meet_at_the_cap)
{
	dice d = dice_of(_i);
	pmz_backoff_rule r;
	struct crowd c;

	memset(&r, 0, sizeof(r));
	r.size = sizeof(r);
	r.tries_max = PMZ_OFF;
	r.jitter = PMZ_JITTER_DECORRELATED;
	c = crowd_of(&r, 20, PMZ_MS(100), PMZ_S(5), dice_roll(&d));
	/* Half of them, if what was drawn is cut to the cap. */
	must_fit(c.at_high, DRAWS / 10);
}
END_TEST

START_TEST(no_try_ends_after_the_deadline)
{
	dice d = dice_of(_i);
	pmz_backoff_rule r = any_rule(&d, PMZ_JITTER_NONE);
	int i;

	r.attempt_min_ns = dice_sized(&d, 40);
	for (i = 0; i < WAITS; i++) {
		pmz_ns now = 1 + dice_sized(&d, 50), at;
		pmz_ns wait = larger(r.base_ns, r.floor_ns);
		pmz_ns fits = now + wait + r.attempt_min_ns;
		pmz_ns deadline = dice_once_in(&d, 2)
		                          ? fits - 1 + dice_roll(&d) % 3
		                          : 1 + dice_sized(&d, 51);
		pmz_backoff b;
		int st;

		must_be(pmz_backoff_start(&b, &r, deadline, 0), PMZ_OK);
		st = pmz_backoff_next(&b, now, 0, &at);
		must_be(st, fits <= deadline ? PMZ_OK : PMZ_TIMED_OUT);
		if (st == PMZ_OK)
			must_be(at, now + wait);
	}
}
END_TEST

START_TEST(there_are_as_many_tries_as_the_rule_has)
{
	dice d = dice_of(_i);
	pmz_backoff_rule r = any_rule(&d, PMZ_JITTER_FULL);
	uint32_t tries = (uint32_t)dice_between(&d, 1, 1000), n;
	pmz_backoff b;
	pmz_ns at;

	r.tries_max = tries;
	must_be(pmz_backoff_start(&b, &r, 0, dice_roll(&d)), PMZ_OK);
	for (n = 1; n < tries; n++) {
		pmz_ns hint = dice_once_in(&d, 3) ? dice_sized(&d, 40) : 0;

		must_be(pmz_backoff_tries(&b), n);
		must_be(pmz_backoff_next(&b, 0, hint, &at), PMZ_OK);
	}
	must_be(pmz_backoff_next(&b, 0, 0, &at), PMZ_GAVE_UP);
	must_be(pmz_backoff_tries(&b), tries);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("backoff");
	TCase *all = tcase_create("random rules");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, all);
	tcase_set_timeout(all, 60);
	tcase_add_loop_test(all, without_jitter_a_wait_is_what_the_formula_says,
	                    0, 40);
	tcase_add_loop_test(all, with_full_jitter_a_wait_lies_under_the_formula,
	                    0, 40);
	tcase_add_loop_test(
		all, with_equal_jitter_a_wait_lies_in_the_upper_half, 0, 40);
	tcase_add_loop_test(
		all, with_decorrelated_jitter_a_wait_is_at_most_thrice_the_last,
		0, 40);
	tcase_add_loop_test(all, a_fleet_does_not_meet_at_the_cap, 0, 20);
	tcase_add_loop_test(all, a_decorrelated_fleet_does_not_meet_at_the_cap,
	                    0, 10);
	tcase_add_loop_test(all, no_try_ends_after_the_deadline, 0, 50);
	tcase_add_loop_test(all, there_are_as_many_tries_as_the_rule_has, 0,
	                    50);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
