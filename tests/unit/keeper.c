/*
 * keeper.c - when a kept lease is extended and when it is lost, instant by
 * instant.
 */
#include "expect.h"

#include <string.h>

#include "dice.h"
#include "lock/renewal.h"

#define START PMZ_S(1000)
#define TTL PMZ_S(30)
#define DRIFT PMZ_MS(302)
#define THIRD PMZ_S(10)
#define TENTH PMZ_S(3)
#define EARLY PMZ__TOGETHER_NS

static const char *step_name(int step)
{
	static const char *const names[] = { "WAIT", "EXTEND", "LOST" };

	return names[step];
}

#define expect_renewal(r, now, want)                                    \
	kit_expect((int)pmz__renewal_next(r, now), PMZ__RENEWAL_##want, \
	           step_name, __FILE__, __LINE__)

/* As an acquire or an extension that began at `from` gives it. */
static pmz_lease lease_from(pmz_ns from, pmz_ns ttl)
{
	pmz_lease lease = { .name = "job", .token = "a", .fence = 7 };

	lease.ttl = ttl;
	lease.until = from + ttl - ttl / 100 - PMZ_MS(2);
	return lease;
}

static pmz__renewal kept(pmz_ns ttl, pmz_ns hold_max)
{
	pmz_lease lease = lease_from(START, ttl);
	pmz__renewal r;

	pmz__renewal_start(&r, &lease, hold_max, PMZ_E_IO, START);
	return r;
}

static pmz__renewal_step flop(pmz__renewal *r, int status, pmz_ns now)
{
	pmz__renewal_begin(r, now);
	return pmz__renewal_done(r, status, NULL, now);
}

static void succeed(pmz__renewal *r, pmz_ns from, pmz_ns now)
{
	pmz_lease lease = lease_from(from, r->lease.ttl);

	pmz__renewal_begin(r, from);
	assert_int_equal(pmz__renewal_done(r, PMZ_OK, &lease, now),
	                 PMZ__RENEWAL_WAIT);
}

static void a_kept_lease_is_extended_a_third_into_its_time(void **state)
{
	pmz__renewal r = kept(TTL, PMZ_NEVER);
	pmz_ns due = START - DRIFT + THIRD;

	(void)state;
	assert_true(pmz__renewal_due(&r) == due);
	expect_renewal(&r, START, WAIT);
	expect_renewal(&r, due - EARLY - 1, WAIT);
	expect_renewal(&r, due - EARLY, EXTEND);
	expect_renewal(&r, due, EXTEND);
	expect_renewal(&r, due + 1, EXTEND);
}

static void one_with_little_left_is_tried_before_it_is_lost(void **state)
{
	pmz_lease lease = lease_from(START, TTL);
	pmz_ns now = lease.until - TTL / 100;
	pmz__renewal r;

	(void)state;
	pmz__renewal_start(&r, &lease, PMZ_NEVER, PMZ_E_IO, now);
	expect_renewal(&r, now, EXTEND);
	assert_int_equal(flop(&r, PMZ_E_IO, now), PMZ__RENEWAL_WAIT);
	assert_int_not_equal(pmz__renewal_next(&r, now + TTL / 200 - 1),
	                     PMZ__RENEWAL_LOST);
	expect_renewal(&r, now + TTL / 200, LOST);
}

static void an_extension_that_asked_nobody_puts_nothing_off(void **state)
{
	pmz__renewal r = kept(TTL, PMZ_NEVER);
	pmz_ns due = pmz__renewal_due(&r);

	(void)state;
	pmz__renewal_begin(&r, due - PMZ_MS(1));
	pmz__renewal_undo(&r);
	assert_true(pmz__renewal_due(&r) == due);
	expect_renewal(&r, due, EXTEND);
}

static void the_next_is_due_a_third_after_the_last_began(void **state)
{
	pmz__renewal r = kept(TTL, PMZ_NEVER);
	pmz_ns from = START + THIRD;

	(void)state;
	succeed(&r, from, from + PMZ_S(1));
	assert_true(r.lease.until == from + TTL - DRIFT);
	assert_true(pmz__renewal_due(&r) == from + THIRD);
	expect_renewal(&r, from + THIRD - EARLY - 1, WAIT);
	expect_renewal(&r, from + THIRD, EXTEND);
}

static void a_lease_kept_late_is_extended_at_once(void **state)
{
	pmz_lease lease = lease_from(START, TTL);
	pmz__renewal r;

	(void)state;
	pmz__renewal_start(&r, &lease, PMZ_NEVER, PMZ_E_IO, START + 2 * THIRD);
	expect_renewal(&r, START + 2 * THIRD, EXTEND);
}

static void a_short_lease_is_not_extended_much_earlier_for_others(void **state)
{
	pmz__renewal r = kept(PMZ_MS(300), PMZ_NEVER);
	pmz_ns due = pmz__renewal_due(&r);

	(void)state;
	expect_renewal(&r, due - PMZ_MS(10) - 1, WAIT);
	r = kept(PMZ_MS(30), PMZ_NEVER);
	due = pmz__renewal_due(&r);
	expect_renewal(&r, due - PMZ_MS(1) - 1, WAIT);
	expect_renewal(&r, due - PMZ_MS(1), EXTEND);
}

static void while_one_is_under_way_no_other_begins(void **state)
{
	pmz__renewal r = kept(TTL, PMZ_NEVER);

	(void)state;
	pmz__renewal_begin(&r, START + THIRD);
	expect_renewal(&r, START + THIRD, WAIT);
	expect_renewal(&r, START + 2 * THIRD, WAIT);
	assert_true(pmz__renewal_due(&r) == r.lease.until - TENTH);
}

static void pauses_after_failures_grow_from_a_20th_to_a_10th(void **state)
{
	static const pmz_ns pauses[] = { TTL / 20, TTL / 10, TTL / 10,
		                         TTL / 10 };
	pmz__renewal r = kept(TTL, PMZ_NEVER);
	pmz_ns now = START + THIRD;
	size_t i;

	(void)state;
	for (i = 0; i < KIT_COUNT(pauses); i++) {
		expect_renewal(&r, now, EXTEND);
		assert_int_equal(flop(&r, PMZ_E_IO, now), PMZ__RENEWAL_WAIT);
		expect_renewal(&r, now + pauses[i] - 1, WAIT);
		now += pauses[i];
		assert_true(pmz__renewal_due(&r) == now);
	}
}

static void no_pause_is_shorter_than_10_ms(void **state)
{
	pmz__renewal r = kept(PMZ_MS(60), PMZ_NEVER);
	pmz_ns now = START + PMZ_MS(20);

	(void)state;
	flop(&r, PMZ_E_IO, now);
	expect_renewal(&r, now + PMZ_MS(10) - 1, WAIT);
	expect_renewal(&r, now + PMZ_MS(10), EXTEND);
	now += PMZ_MS(10);
	flop(&r, PMZ_E_IO, now);
	expect_renewal(&r, now + PMZ_MS(10) - 1, WAIT);
	expect_renewal(&r, now + PMZ_MS(10), EXTEND);
}

static void a_pause_counts_from_the_answer(void **state)
{
	pmz__renewal r = kept(TTL, PMZ_NEVER);
	pmz_ns now = START + THIRD + PMZ_S(2);

	(void)state;
	pmz__renewal_begin(&r, START + THIRD);
	pmz__renewal_done(&r, PMZ_E_IO, NULL, now);
	assert_true(pmz__renewal_due(&r) == now + TTL / 20);
}

static void after_a_success_pauses_begin_small_again(void **state)
{
	pmz__renewal r = kept(TTL, PMZ_NEVER);
	pmz_ns now = START + THIRD;

	(void)state;
	flop(&r, PMZ_E_IO, now);
	now += TTL / 20;
	flop(&r, PMZ_E_IO, now);
	now += TTL / 10;
	succeed(&r, now, now);
	now += THIRD;
	flop(&r, PMZ_E_IO, now);
	assert_true(pmz__renewal_due(&r) == now + TTL / 20);
}

static void without_an_answer_it_is_lost_a_tenth_before_its_end(void **state)
{
	pmz__renewal r = kept(TTL, PMZ_NEVER);
	pmz_ns at = r.lease.until - TENTH;

	(void)state;
	pmz__renewal_begin(&r, START + THIRD);
	expect_renewal(&r, at - 1, WAIT);
	assert_int_equal(r.why, PMZ_OK);
	expect_renewal(&r, at, LOST);
	expect_status(r.why, PMZ_E_IO);
	assert_true(r.lease.until == at + TENTH);
}

static void a_loss_is_said_once(void **state)
{
	pmz__renewal r = kept(TTL, PMZ_NEVER);
	pmz_ns at = r.lease.until - TENTH;

	(void)state;
	expect_renewal(&r, at, LOST);
	expect_renewal(&r, at, WAIT);
	expect_renewal(&r, at + TENTH, WAIT);
	expect_renewal(&r, PMZ_NEVER, WAIT);
	assert_true(pmz__renewal_due(&r) == PMZ_NEVER);
}

static void the_reason_is_how_the_last_try_failed(void **state)
{
	pmz__renewal r = kept(TTL, PMZ_NEVER);

	(void)state;
	flop(&r, PMZ_E_QUORUM, START + THIRD);
	flop(&r, PMZ_E_DENIED, START + THIRD + PMZ_S(2));
	expect_renewal(&r, r.lease.until - TENTH, LOST);
	expect_status(r.why, PMZ_E_DENIED);
}

static void a_failure_before_a_success_is_no_reason(void **state)
{
	pmz__renewal r = kept(TTL, PMZ_NEVER);

	(void)state;
	flop(&r, PMZ_E_DENIED, START + THIRD);
	succeed(&r, START + THIRD + PMZ_S(2), START + THIRD + PMZ_S(2));
	expect_renewal(&r, r.lease.until - TENTH, LOST);
	expect_status(r.why, PMZ_E_IO);
}

static void what_the_servers_no_longer_have_is_lost_at_once(void **state)
{
	pmz__renewal r = kept(TTL, PMZ_NEVER);
	pmz_ns now = START + THIRD;

	(void)state;
	assert_int_equal(flop(&r, PMZ_E_LOST, now), PMZ__RENEWAL_LOST);
	expect_status(r.why, PMZ_E_LOST);
	assert_true(r.lease.until == now);
	expect_renewal(&r, now, WAIT);
	expect_renewal(&r, now + TTL, WAIT);
	assert_true(pmz__renewal_due(&r) == PMZ_NEVER);
}

static void an_extension_that_wins_the_last_instant_saves_it(void **state)
{
	pmz__renewal r = kept(TTL, PMZ_NEVER);
	pmz_ns now = r.lease.until - TENTH - 1;

	(void)state;
	succeed(&r, now, now);
	expect_renewal(&r, now + 1, WAIT);
	assert_int_equal(r.why, PMZ_OK);
}

static void after_hold_max_it_is_not_extended(void **state)
{
	pmz_ns due = START - DRIFT + THIRD;
	pmz__renewal r = kept(TTL, due - START);

	(void)state;
	expect_renewal(&r, due - 1, EXTEND);
	expect_renewal(&r, due, WAIT);
	assert_true(pmz__renewal_due(&r) == r.lease.until - TENTH);
	expect_renewal(&r, r.lease.until - TENTH - 1, WAIT);
	expect_renewal(&r, r.lease.until - TENTH, LOST);
	expect_status(r.why, PMZ_TIMED_OUT);
}

static void hold_max_ends_after_extensions_too(void **state)
{
	pmz__renewal r = kept(TTL, PMZ_S(15));
	pmz_ns now = START + THIRD;

	(void)state;
	succeed(&r, now, now);
	expect_renewal(&r, now + THIRD, WAIT);
	assert_true(pmz__renewal_due(&r) == now + TTL - DRIFT - TENTH);
	expect_renewal(&r, now + TTL - DRIFT - TENTH, LOST);
	expect_status(r.why, PMZ_TIMED_OUT);
}

static void a_hold_max_of_0_extends_nothing(void **state)
{
	pmz__renewal r = kept(TTL, 0);

	(void)state;
	expect_renewal(&r, START + THIRD, WAIT);
	expect_renewal(&r, r.lease.until - TENTH, LOST);
	expect_status(r.why, PMZ_TIMED_OUT);
}

static void an_extension_under_way_as_hold_max_passes_counts(void **state)
{
	pmz__renewal r = kept(TTL, THIRD);
	pmz_lease lease = lease_from(START + THIRD - 1, TTL);

	(void)state;
	pmz__renewal_begin(&r, START + THIRD - 1);
	expect_renewal(&r, START + THIRD + 1, WAIT);
	pmz__renewal_done(&r, PMZ_OK, &lease, START + THIRD + 1);
	assert_true(r.lease.until == lease.until);
	expect_renewal(&r, START + 2 * THIRD, WAIT);
	assert_true(pmz__renewal_due(&r) == lease.until - TENTH);
}

static int any_status(dice *d)
{
	static const int statuses[] = { PMZ_OK,      PMZ_E_IO, PMZ_E_QUORUM,
		                        PMZ_E_REPLY, PMZ_E_IO, PMZ_E_LOST };

	return statuses[dice_between(d, 0, dice_once_in(d, 20) ? 5 : 4)];
}

/* Through one extension, or to the report if that comes first. */
static pmz__renewal_step answer(pmz__renewal *r, dice *d, pmz_ns *now)
{
	pmz_ns began = *now, took = dice_between(d, 0, r->lease.ttl / 3);
	pmz_lease lease = lease_from(began, r->lease.ttl);

	pmz__renewal_begin(r, began);
	if (began + took >= pmz__renewal_due(r)) {
		*now = pmz__renewal_due(r);
		return pmz__renewal_next(r, *now);
	}
	*now += took;
	return pmz__renewal_done(r, any_status(d), &lease, *now);
}

/* What the keeper's thread does, until it is lost: at how many instants. */
static int live_through(pmz__renewal *r, dice *d, pmz_ns *now)
{
	int instants = 0;

	for (;; instants++) {
		pmz__renewal_step step = pmz__renewal_next(r, *now);

		if (step == PMZ__RENEWAL_EXTEND)
			step = answer(r, d, now);
		if (step == PMZ__RENEWAL_LOST)
			return instants;
		if (r->why)
			fail_msg("lost at %llu, and not said",
			         (unsigned long long)*now);
		*now = *now > pmz__renewal_due(r) ? *now : pmz__renewal_due(r);
	}
}

static void whatever_comes_a_loss_is_said_before_the_end(void **state)
{
	int seed;

	(void)state;
	for (seed = 0; seed < 2000; seed++) {
		dice d = dice_of(seed);
		pmz_ns ttl = dice_between(&d, PMZ_MS(100), PMZ_S(60));
		pmz__renewal r = kept(ttl, dice_between(&d, 0, 50 * ttl));
		pmz_ns now = START;
		int instants = live_through(&r, &d, &now);

		if (r.why != PMZ_E_LOST && now >= r.lease.until)
			fail_msg("seed %d: said too late", seed);
		/* 50 holds, and at most 20 tries in each. */
		if (instants > 1000)
			fail_msg("seed %d: busy at %d instants", seed,
			         instants);
		assert_int_not_equal(r.why, PMZ_OK);
		expect_renewal(&r, now + TTL, WAIT);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			a_kept_lease_is_extended_a_third_into_its_time),
		cmocka_unit_test(
			one_with_little_left_is_tried_before_it_is_lost),
		cmocka_unit_test(
			an_extension_that_asked_nobody_puts_nothing_off),
		cmocka_unit_test(the_next_is_due_a_third_after_the_last_began),
		cmocka_unit_test(a_lease_kept_late_is_extended_at_once),
		cmocka_unit_test(
			a_short_lease_is_not_extended_much_earlier_for_others),
		cmocka_unit_test(while_one_is_under_way_no_other_begins),
		cmocka_unit_test(
			pauses_after_failures_grow_from_a_20th_to_a_10th),
		cmocka_unit_test(no_pause_is_shorter_than_10_ms),
		cmocka_unit_test(a_pause_counts_from_the_answer),
		cmocka_unit_test(after_a_success_pauses_begin_small_again),
		cmocka_unit_test(
			without_an_answer_it_is_lost_a_tenth_before_its_end),
		cmocka_unit_test(a_loss_is_said_once),
		cmocka_unit_test(the_reason_is_how_the_last_try_failed),
		cmocka_unit_test(a_failure_before_a_success_is_no_reason),
		cmocka_unit_test(
			what_the_servers_no_longer_have_is_lost_at_once),
		cmocka_unit_test(
			an_extension_that_wins_the_last_instant_saves_it),
		cmocka_unit_test(after_hold_max_it_is_not_extended),
		cmocka_unit_test(hold_max_ends_after_extensions_too),
		cmocka_unit_test(a_hold_max_of_0_extends_nothing),
		cmocka_unit_test(
			an_extension_under_way_as_hold_max_passes_counts),
		cmocka_unit_test(whatever_comes_a_loss_is_said_before_the_end),
	};

	return cmocka_run_group_tests_name("keeper", tests, NULL, NULL);
}
