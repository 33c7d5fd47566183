/*
 * breaker.c - the circuit breaker under threads: what stays exact.
 *
 * The threads share a virtual clock. None of them asserts: they count, and the
 * counts are judged when all are done.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include <pipemaze/breaker.h>

#include "base/atomic.h"
#include "crew.h"
#include "dice.h"

#define BOOT PMZ_S(1000)
#define CALLS 200000 /* of each of four threads */

static pmz_breaker *made(const pmz_breaker_config *config)
{
	pmz_breaker *b;
	pmz_why why;

	ck_assert_msg(pmz_breaker_new(&b, config, &why) == PMZ_OK, "%s: %s",
	              why.field, why.text);
	return b;
}

static pmz_breaker_stats stats_of(const pmz_breaker *b, pmz_ns now)
{
	pmz_breaker_stats s = { .size = sizeof(s) };

	ck_assert_int_eq(pmz_breaker_read(b, now, &s), PMZ_OK);
	return s;
}

static void add(pmz__a64 *to, uint64_t n)
{
	pmz__add(to, n, PMZ__RELAXED);
}

static uint64_t sum(const pmz__a64 *of)
{
	return pmz__load(of, PMZ__RELAXED);
}

struct shared {
	pmz_breaker *breaker;
	uint32_t places; /* for probes */
	int seed;
	pmz__a64 now;
	pmz__a64 calls, failures, slow, ignored, refused;
	pmz__a64 out, most_out, in_round, wrong;
};

static pmz_ns now_of(const struct shared *s)
{
	return pmz__load(&s->now, PMZ__ACQUIRE);
}

static dice dice_for(const struct shared *s, unsigned who)
{
	return dice_of(s->seed * CREW_MAX + (int)who);
}

static pmz_outcome any_outcome(dice *d)
{
	if (dice_once_in(d, 16))
		return dice_once_in(d, 2) ? PMZ_IGNORE : PMZ_AGAIN;
	if (dice_once_in(d, 8))
		return dice_once_in(d, 2) ? PMZ_FATAL : PMZ_FAILURE;
	return PMZ_SUCCESS;
}

/* Counts. */

/* Windows that no share of failures here can trip. */
static pmz_breaker_config untroubled(int i)
{
	static const pmz_breaker_config windows[] = {
		{ .window_ns = PMZ_S(10) },
		{ .window_ns = PMZ_MS(1) },
		{ .calls_window = 100 },
		{ .calls_window = 3 },
	};
	pmz_breaker_config c = windows[i];

	c.size = sizeof(c);
	c.failure_pct = PMZ_OFF;
	c.consecutive_max = CALLS;
	c.slow_ns = PMZ_US(1);
	return c;
}

#define WINDOWS 4

/* Kept apart while the calls go on: to count together is to go in turns. */
struct tally {
	uint64_t calls, failures, slow, ignored, refused;
};

static void tally(struct tally *mine, pmz_outcome how, int slow)
{
	if (how == PMZ_IGNORE || how == PMZ_AGAIN) {
		mine->ignored++;
		return;
	}
	mine->calls++;
	mine->failures += how != PMZ_SUCCESS;
	mine->slow += (uint64_t)slow;
}

static void add_up(struct shared *s, const struct tally *mine)
{
	add(&s->calls, mine->calls);
	add(&s->failures, mine->failures);
	add(&s->slow, mine->slow);
	add(&s->ignored, mine->ignored);
	add(&s->refused, mine->refused);
}

static void call_often(unsigned who, void *ctx)
{
	struct shared *s = ctx;
	struct tally mine = { 0, 0, 0, 0, 0 };
	dice d = dice_for(s, who);
	int i;

	for (i = 0; i < CALLS; i++) {
		pmz_ns now = BOOT + PMZ_US(i);
		int slow = dice_once_in(&d, 32);
		pmz_outcome how = any_outcome(&d);
		pmz_permit p;

		if (pmz_breaker_acquire(s->breaker, now, &p, NULL)) {
			mine.refused++;
			continue;
		}
		pmz_breaker_settle(s->breaker, &p, how,
		                   now + PMZ_US(1) + (pmz_ns)slow);
		tally(&mine, how, slow);
	}
	add_up(s, &mine);
}

START_TEST(lifetime_counts_of_four_threads_are_exact)
{
	pmz_breaker_config config = untroubled(_i);
	struct shared s = { .breaker = made(&config), .seed = _i };
	pmz_breaker_stats got;

	crew_run(4, call_often, &s);
	got = stats_of(s.breaker, BOOT);
	ck_assert_uint_eq(sum(&s.refused), 0);
	ck_assert_uint_eq(sum(&s.calls) + sum(&s.ignored), 4 * CALLS);
	ck_assert_uint_eq(got.calls, sum(&s.calls));
	ck_assert_uint_eq(got.failures, sum(&s.failures));
	ck_assert_uint_eq(got.slow, sum(&s.slow));
	ck_assert_uint_eq(got.ignored, sum(&s.ignored));
	ck_assert_uint_eq(got.stale, 0);
	ck_assert_uint_eq(got.trips, 0);
	/* All calls fall into the first of the long window's buckets. */
	if (config.window_ns == PMZ_S(10))
		ck_assert_uint_eq(got.window_calls, got.calls);
	if (config.calls_window)
		ck_assert_uint_eq(got.window_calls, config.calls_window);
	pmz_breaker_free(s.breaker);
}
END_TEST

static void fail_in_turns(unsigned who, void *ctx)
{
	struct shared *s = ctx;
	int i;

	for (i = 0; i < CALLS / 4; i++) {
		pmz_permit p;

		if (pmz_breaker_acquire(s->breaker, BOOT, &p, NULL))
			add(&s->refused, 1);
		else
			pmz_breaker_settle(s->breaker, &p,
			                   (i + (int)who) % 4 ? PMZ_SUCCESS
			                                      : PMZ_FAILURE,
			                   BOOT);
	}
}

/* A window that loses count of who came and went would drift with time. */
START_TEST(a_count_window_does_not_drift)
{
	pmz_breaker_config config = { .size = sizeof(config),
		                      .calls_window = 64,
		                      .failure_pct = 100 };
	struct shared s = { .breaker = made(&config) };
	pmz_breaker_stats got;
	int i;

	crew_run(4, fail_in_turns, &s);
	for (i = 0; i < 64; i++) {
		pmz_permit p;

		ck_assert_int_eq(pmz_breaker_acquire(s.breaker, BOOT, &p, NULL),
		                 PMZ_OK);
		pmz_breaker_settle(s.breaker, &p,
		                   i % 2 ? PMZ_SUCCESS : PMZ_FAILURE, BOOT);
	}
	got = stats_of(s.breaker, BOOT);
	ck_assert_uint_eq(got.window_calls, 64);
	ck_assert_uint_eq(got.window_failures, 32);
	ck_assert_uint_eq(got.failures, CALLS / 4 + 32);
	pmz_breaker_free(s.breaker);
}
END_TEST

static void call_and_hold(unsigned who, void *ctx)
{
	struct shared *s = ctx;
	dice d = dice_for(s, who);
	pmz_permit held[8];
	unsigned out = 0;
	int i;

	for (i = 0; i < CALLS / 4; i++) {
		pmz_ns now = pmz__add(&s->now, 100, PMZ__ACQ_REL);

		if (out < 8 && dice_once_in(&d, 2)) {
			out += !pmz_breaker_acquire(s->breaker, now, &held[out],
			                            NULL);
		} else if (out) {
			pmz_breaker_settle(s->breaker, &held[--out],
			                   any_outcome(&d), now);
			add(&s->calls, 1);
		}
	}
	while (out) {
		pmz_breaker_settle(s->breaker, &held[--out], PMZ_SUCCESS,
		                   now_of(s));
		add(&s->calls, 1);
	}
}

/* It trips and heals all the time: each result is a call, ignored or stale. */
static pmz_breaker_config nervous(int i)
{
	pmz_breaker_config c = untroubled(i);

	c.failure_pct = 30;
	c.calls_min = 3;
	c.consecutive_max = 3;
	c.slow_ns = 0;
	c.open_ns = 200;
	c.open_max_ns = 20000;
	c.probe_lease_ns = 500;
	c.probes_max = 4;
	return c;
}

START_TEST(no_result_is_lost_while_the_state_changes)
{
	pmz_breaker_config config = nervous(_i);
	struct shared s = { .breaker = made(&config), .seed = _i };
	pmz_breaker_stats got;

	s.now.word = BOOT;
	crew_run(4, call_and_hold, &s);
	got = stats_of(s.breaker, now_of(&s));
	ck_assert_uint_eq(got.calls + got.ignored + got.stale, sum(&s.calls));
	ck_assert_uint_eq(got.misused, 0);
	ck_assert_uint_eq(got.probes_out, 0);
	ck_assert_uint_gt(got.trips, 100);
	pmz_breaker_free(s.breaker);
}
END_TEST

#define ENOUGH 1000 /* failures */

static void fail_until_refused(unsigned who, void *ctx)
{
	struct shared *s = ctx;
	pmz_permit p;

	(void)who;
	while (!pmz_breaker_acquire(s->breaker, BOOT, &p, NULL))
		pmz_breaker_settle(s->breaker, &p, PMZ_FAILURE, BOOT);
}

/* For it to lag is to count failures beyond those that trip. */
START_TEST(a_trip_lags_by_at_most_one_result_a_thread)
{
	pmz_breaker_config config = untroubled(0);
	struct shared s;
	pmz_breaker_stats got;
	int round;

	memset(&s, 0, sizeof(s));
	config.consecutive_max = _i ? ENOUGH : 0;
	config.failures_max = _i ? 0 : ENOUGH;
	for (round = 0; round < 100; round++) {
		s.breaker = made(&config);
		crew_run(4, fail_until_refused, &s);
		got = stats_of(s.breaker, BOOT);
		ck_assert_uint_eq(got.trips, 1);
		ck_assert_uint_ge(got.failures, ENOUGH);
		ck_assert_uint_le(got.failures, ENOUGH + 4);
		ck_assert_uint_le(got.stale, 4);
		pmz_breaker_free(s.breaker);
	}
}
END_TEST

/* Probes. */

#define LONG_LEASE PMZ_S(3600)
#define ROUNDS 500

static void trip(pmz_breaker *b, pmz_ns now)
{
	pmz_permit p;

	ck_assert_int_eq(pmz_breaker_acquire(b, now, &p, NULL), PMZ_OK);
	pmz_breaker_settle(b, &p, PMZ_FAILURE, now);
}

static pmz_breaker_config brittle(uint32_t places)
{
	pmz_breaker_config c = { .size = sizeof(c) };

	c.failure_pct = PMZ_OFF;
	c.consecutive_max = 1;
	c.open_jitter_pct = PMZ_OFF;
	c.probes_max = places;
	c.probe_lease_ns = LONG_LEASE;
	return c;
}

static uint32_t places_of(int i)
{
	static const uint32_t places[] = { 1, 3, 16 };

	return places[i];
}

#define PLACES 3

static void note_most(struct shared *s, uint64_t out)
{
	uint64_t most = pmz__load(&s->most_out, PMZ__RELAXED);

	while (out > most && !pmz__cas(&s->most_out, &most, out, PMZ__RELAXED))
		;
}

/* Nothing is decided, so the breaker stays half open to the end. */
static void probe_and_ignore(unsigned who, void *ctx)
{
	struct shared *s = ctx;
	dice d = dice_for(s, who);
	int i;

	for (i = 0; i < CALLS / 8; i++) {
		pmz_permit p[2];
		unsigned out = 0, want = dice_once_in(&d, 2) ? 1 : 2;

		while (out < want && !pmz_breaker_acquire(s->breaker, now_of(s),
		                                          &p[out], NULL)) {
			note_most(s, pmz__add(&s->out, 1, PMZ__ACQ_REL) + 1);
			out++;
		}
		while (out) {
			pmz__sub(&s->out, 1, PMZ__ACQ_REL);
			pmz_breaker_settle(s->breaker, &p[--out],
			                   dice_once_in(&d, 2) ? PMZ_IGNORE
			                                       : PMZ_AGAIN,
			                   now_of(s));
		}
	}
}

START_TEST(never_more_probes_are_out_than_there_are_places)
{
	pmz_breaker_config config = brittle(places_of(_i));
	struct shared s = { .breaker = made(&config), .seed = _i };
	uint32_t most = config.probes_max < 16 ? config.probes_max : 16;

	trip(s.breaker, BOOT);
	s.now.word = BOOT + PMZ_S(5);
	crew_run(8, probe_and_ignore, &s);
	ck_assert_uint_le(sum(&s.most_out), most);
	ck_assert_uint_gt(sum(&s.most_out), 0);
	ck_assert_uint_eq(stats_of(s.breaker, now_of(&s)).probes_out, 0);
	pmz_breaker_free(s.breaker);
}
END_TEST

/* Each thread asks three times at one instant; between rounds one of them
 * makes ready for the next. */
static void ask_in_rounds(struct shared *s, unsigned who,
                          void (*prepare)(struct shared *s))
{
	pmz_permit p;
	int round, i;

	for (round = 0; round < ROUNDS; round++) {
		if (who == 0)
			prepare(s);
		crew_meet();
		for (i = 0; i < 3; i++)
			if (!pmz_breaker_acquire(s->breaker, now_of(s), &p,
			                         NULL))
				add(&s->in_round, 1);
		crew_meet();
	}
}

static void judge_round(struct shared *s)
{
	if (sum(&s->in_round) != s->places)
		add(&s->wrong, 1);
	pmz__store(&s->in_round, 0, PMZ__RELAXED);
}

static void open_again(struct shared *s)
{
	pmz_ns now = now_of(s) + PMZ_S(1);
	pmz_permit p;

	judge_round(s);
	pmz_breaker_reset(s->breaker, now);
	if (!pmz_breaker_acquire(s->breaker, now, &p, NULL))
		pmz_breaker_settle(s->breaker, &p, PMZ_FAILURE, now);
	pmz__store(&s->now, now + PMZ_S(5), PMZ__RELEASE);
}

static void ask_when_the_rest_ends(unsigned who, void *ctx)
{
	ask_in_rounds(ctx, who, open_again);
}

START_TEST(as_many_as_there_are_places_end_a_rest)
{
	pmz_breaker_config config = brittle(places_of(_i));
	struct shared s = { .breaker = made(&config),
		            .places = config.probes_max };

	s.now.word = BOOT;
	s.in_round.word = s.places;
	crew_run(8, ask_when_the_rest_ends, &s);
	judge_round(&s);
	ck_assert_uint_eq(sum(&s.wrong), 0);
	pmz_breaker_free(s.breaker);
}
END_TEST

static void let_leases_lapse(struct shared *s)
{
	judge_round(s);
	add(&s->now, LONG_LEASE);
}

static void ask_when_leases_lapse(unsigned who, void *ctx)
{
	ask_in_rounds(ctx, who, let_leases_lapse);
}

START_TEST(a_lapsed_place_is_handed_on_once)
{
	pmz_breaker_config config = brittle(places_of(_i));
	struct shared s = { .breaker = made(&config),
		            .places = config.probes_max };

	trip(s.breaker, BOOT);
	s.now.word = BOOT + PMZ_S(5);
	s.in_round.word = s.places;
	crew_run(8, ask_when_leases_lapse, &s);
	judge_round(&s);
	ck_assert_uint_eq(sum(&s.wrong), 0);
	pmz_breaker_free(s.breaker);
}
END_TEST

/* Half of the threads give their lapsed probes back while the others ask. */
static void ask_or_be_late(unsigned who, void *ctx)
{
	struct shared *s = ctx;
	pmz_permit mine[3], old[3] = { { { 0, 0 } } };
	int round, i;

	for (round = 0; round < ROUNDS; round++) {
		if (who == 0)
			let_leases_lapse(s);
		crew_meet();
		for (i = 0; i < 3; i++)
			if ((round + (int)who) % 2)
				pmz_breaker_settle(s->breaker, &old[i],
				                   PMZ_IGNORE, now_of(s));
		for (i = 0; i < 3; i++)
			if (!pmz_breaker_acquire(s->breaker, now_of(s),
			                         &mine[i], NULL))
				add(&s->in_round, 1);
		crew_meet();
		memcpy(old, mine, sizeof(old));
	}
}

START_TEST(who_comes_late_frees_no_place_of_another)
{
	pmz_breaker_config config = brittle(places_of(_i));
	struct shared s = { .breaker = made(&config),
		            .places = config.probes_max };

	trip(s.breaker, BOOT);
	s.now.word = BOOT + PMZ_S(5);
	s.in_round.word = s.places;
	crew_run(8, ask_or_be_late, &s);
	judge_round(&s);
	ck_assert_uint_eq(sum(&s.wrong), 0);
	pmz_breaker_free(s.breaker);
}
END_TEST

/* The operator beside the calls. */

static void operate(struct shared *s, dice *d, const pmz_breaker_config *config)
{
	pmz_breaker_config c = *config;
	pmz_breaker_stats got = { .size = sizeof(got) };
	pmz_ns now = now_of(s);

	switch (dice_roll(d) % 4) {
	case 0:
		pmz_breaker_reset(s->breaker, now);
		break;
	case 1:
		pmz_breaker_force(s->breaker,
		                  (pmz_breaker_mode)dice_between(d, PMZ_ENFORCE,
		                                                 PMZ_ISOLATED),
		                  now);
		break;
	case 2:
		if (!c.calls_window)
			c.window_ns = PMZ_MS(dice_between(d, 1, 9));
		c.open_ns = dice_between(d, 1, 1000);
		if (pmz_breaker_set(s->breaker, &c, now, NULL))
			add(&s->wrong, 1);
		break;
	default:
		if (pmz_breaker_read(s->breaker, now, &got) ||
		    got.failures > got.calls || got.probes_out > 4)
			add(&s->wrong, 1);
	}
}

struct operated {
	struct shared shared;
	pmz_breaker_config config;
};

static void call_or_operate(unsigned who, void *ctx)
{
	struct operated *o = ctx;
	dice d = dice_for(&o->shared, who);
	int i;

	if (who)
		call_and_hold(who, &o->shared);
	for (i = 0; !who && i < CALLS / 40; i++)
		operate(&o->shared, &d, &o->config);
}

/* Failures of before may be many enough for one more trip, when the first
 * successes bring the calls to calls_min. */
static void heals_and_trips(pmz_breaker *b, pmz_ns now)
{
	int i;

	for (i = 0; i < 10; i++) {
		pmz_permit p;

		now += PMZ_S(1);
		ck_assert_int_eq(pmz_breaker_acquire(b, now, &p, NULL), PMZ_OK);
		pmz_breaker_settle(b, &p, PMZ_SUCCESS, now);
	}
	ck_assert_uint_eq(stats_of(b, now).state, PMZ_CLOSED);
	for (i = 0; stats_of(b, now).state != PMZ_OPEN; i++) {
		ck_assert_int_lt(i, 3);
		trip(b, now);
	}
}

START_TEST(whatever_an_operator_does_beside_them_calls_stay_counted)
{
	struct operated o = { .config = nervous(_i) };
	struct shared *s = &o.shared;
	pmz_breaker_stats got;

	s->breaker = made(&o.config);
	s->seed = _i;
	s->now.word = BOOT;
	crew_run(4, call_or_operate, &o);
	got = stats_of(s->breaker, now_of(s));
	ck_assert_uint_eq(sum(&s->wrong), 0);
	ck_assert_uint_eq(got.calls + got.ignored + got.stale, sum(&s->calls));
	ck_assert_uint_eq(got.probes_out, 0);
	pmz_breaker_force(s->breaker, PMZ_ENFORCE, now_of(s));
	heals_and_trips(s->breaker, now_of(s));
	pmz_breaker_free(s->breaker);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("breaker");
	TCase *tc = tcase_create("threads");
	SRunner *runner;
	int failed;

	tcase_add_loop_test(tc, lifetime_counts_of_four_threads_are_exact, 0,
	                    WINDOWS);
	tcase_add_test(tc, a_count_window_does_not_drift);
	tcase_add_loop_test(tc, no_result_is_lost_while_the_state_changes, 0,
	                    WINDOWS);
	tcase_add_loop_test(tc, a_trip_lags_by_at_most_one_result_a_thread, 0,
	                    2);
	tcase_add_loop_test(tc, never_more_probes_are_out_than_there_are_places,
	                    0, PLACES);
	tcase_add_loop_test(tc, as_many_as_there_are_places_end_a_rest, 0,
	                    PLACES);
	tcase_add_loop_test(tc, a_lapsed_place_is_handed_on_once, 0, PLACES);
	tcase_add_loop_test(tc, who_comes_late_frees_no_place_of_another, 0,
	                    PLACES);
	tcase_add_loop_test(
		tc, whatever_an_operator_does_beside_them_calls_stay_counted, 0,
		WINDOWS);
	tcase_set_timeout(tc, 120);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
