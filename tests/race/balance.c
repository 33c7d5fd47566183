/*
 * balance.c - the balancer under threads: endpoints come and go while others
 * pick, and never too many rest.
 *
 * The threads share a virtual clock. None of them asserts: they count what is
 * wrong, and that is judged when all are done.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pipemaze/balance.h>

#include "base/atomic.h"
#include "crew.h"
#include "dice.h"

#define BOOT PMZ_S(1000)
#define THREADS 4
#define PLACES 12
#define STAYING 3   /* endpoints that are never removed: 0, 1, 2 */
#define PICKS 12000 /* of each thread */
#define CHANGES 1200
#define HELD 6 /* picks at most, by each thread */

struct shared {
	pmz_balance *b;
	int seed;
	uint32_t strategy;
	pmz__a64 now;
	pmz__a64 life[PLACES]; /* odd while someone has the number */
	pmz__a64 picks[PLACES], failures[PLACES];
	pmz__a64 refused, wrong, ended;
};

static void add(pmz__a64 *to, uint64_t n)
{
	pmz__add(to, n, PMZ__RELAXED);
}

static uint64_t sum(const pmz__a64 *of)
{
	return pmz__load(of, PMZ__RELAXED);
}

static dice dice_for(const struct shared *s, unsigned who)
{
	return dice_of(s->seed * CREW_MAX + (int)who);
}

static pmz_balance *made(const pmz_balance_config *config)
{
	pmz_balance *b;
	pmz_why why;

	ck_assert_msg(pmz_balance_new(&b, config, &why) == PMZ_OK, "%s: %s",
	              why.field, why.text);
	return b;
}

static int come(pmz_balance *b, uint64_t name, uint32_t weight, pmz_ns now,
                uint32_t *number)
{
	char text[32];

	snprintf(text, sizeof(text), "node-%llu", (unsigned long long)name);
	return pmz_balance_add(b, text, weight, now, number);
}

static pmz_endpoint_stats stats_of(const pmz_balance *b, uint32_t endpoint,
                                   pmz_ns now)
{
	pmz_endpoint_stats s = { .size = sizeof(s) };

	ck_assert_int_eq(pmz_balance_read(b, endpoint, now, &s), PMZ_OK);
	return s;
}

/* Coming and going. */

static uint64_t life_of(const struct shared *s, uint32_t number)
{
	return pmz__load(&s->life[number], PMZ__ACQUIRE);
}

static int has_room(const struct shared *s)
{
	uint32_t i;

	for (i = 0; i < PLACES; i++)
		if (life_of(s, i) % 2 == 0)
			return 1;
	return 0;
}

/* A number is taken before the writer knows which one it is. So one that is
 * free is only wrong if nobody could take it meanwhile: see look_before(). */
static void write_once(struct shared *s, dice *d, uint64_t name, pmz_ns now)
{
	uint32_t number = (uint32_t)dice_between(d, STAYING, PLACES - 1);
	uint32_t weight = (uint32_t)dice_between(d, 1, 9);

	if (life_of(s, number) % 2 == 0) {
		if (has_room(s) && !come(s->b, name, weight, now, &number))
			pmz__add(&s->life[number], 1, PMZ__ACQ_REL);
	} else if (dice_once_in(d, 2)) {
		if (pmz_balance_remove(s->b, number, now))
			add(&s->wrong, 1);
		else
			pmz__add(&s->life[number], 1, PMZ__ACQ_REL);
	} else if (pmz_balance_weight(s->b, number, weight, now)) {
		add(&s->wrong, 1);
	}
}

static void write_often(struct shared *s, unsigned who)
{
	int changes = s->strategy == PMZ_MAGLEV_KEY ? CHANGES / 40 : CHANGES;
	dice d = dice_for(s, who);
	int i;

	for (i = 0; i < changes; i++) {
		pmz_ns now = pmz__add(&s->now, 1000, PMZ__ACQ_REL);

		write_once(s, &d, (uint64_t)i + STAYING, now);
		if (dice_once_in(&d, 3))
			pmz_balance_health(s->b,
			                   (uint32_t)dice_between(&d, 0, 2),
			                   dice_once_in(&d, 2), now);
	}
	pmz__store(&s->ended, 1, PMZ__RELEASE);
}

static pmz_outcome any_outcome(dice *d)
{
	if (dice_once_in(d, 8))
		return dice_once_in(d, 2) ? PMZ_IGNORE : PMZ_AGAIN;
	if (dice_once_in(d, 3))
		return dice_once_in(d, 2) ? PMZ_FATAL : PMZ_FAILURE;
	return PMZ_SUCCESS;
}

/* A call that is out keeps its number: until it is settled at most one change
 * of life, the removal, can come. */
static void settle_one(struct shared *s, dice *d, pmz_pick *p, uint64_t life,
                       pmz_ns now)
{
	pmz_outcome how = any_outcome(d);
	uint32_t number = p->endpoint;
	uint64_t since = life_of(s, number) - life;

	if (life && since > 1)
		add(&s->wrong, 1);
	if (number < STAYING && (how == PMZ_FAILURE || how == PMZ_FATAL))
		add(&s->failures[number], 1);
	if (pmz_balance_settle(s->b, p, how, now))
		add(&s->wrong, 1);
}

static void pick_one(struct shared *s, dice *d, pmz_pick *p, uint64_t *life,
                     unsigned *out, pmz_ns now)
{
	uint32_t tried = (uint32_t)dice_between(d, 0, PLACES - 1);
	pmz_wish wish = { .size = sizeof(wish),
		          .avoid = &tried,
		          .avoid_count = 1,
		          .hash = dice_roll(d) };

	if (pmz_balance_pick(s->b, &wish, now, p)) {
		add(&s->refused, 1);
		return;
	}
	if (p->endpoint >= PLACES) {
		add(&s->wrong, 1);
		return;
	}
	add(&s->picks[p->endpoint], 1);
	/* 0: a writer has not said yet whose it is. */
	*life = life_of(s, p->endpoint);
	if (*life % 2 == 0)
		*life = 0;
	++*out;
}

static void pick_often(struct shared *s, unsigned who)
{
	dice d = dice_for(s, who);
	pmz_pick held[HELD];
	uint64_t life[HELD];
	unsigned out = 0;
	int i;

	for (i = 0; i < PICKS || !pmz__load(&s->ended, PMZ__ACQUIRE); i++) {
		pmz_ns now = pmz__add(&s->now, 100, PMZ__ACQ_REL);

		if (out < HELD && dice_once_in(&d, 2))
			pick_one(s, &d, &held[out], &life[out], &out, now);
		else if (out--)
			settle_one(s, &d, &held[out], life[out], now);
		else
			out = 0;
	}
	while (out--)
		settle_one(s, &d, &held[out], life[out], sum(&s->now));
}

static void come_go_and_pick(unsigned who, void *ctx)
{
	struct shared *s = ctx;

	if (who == 0)
		write_often(s, who);
	else
		pick_often(s, who);
}

START_TEST(picks_stay_exact_while_endpoints_come_and_go)
{
	pmz_balance_config c = { .size = sizeof(c), .endpoints_max = PLACES };
	struct shared s = { .seed = _i };
	uint32_t i, number;
	pmz_ns now;

	c.strategy = s.strategy = 1 + (uint32_t)_i;
	c.eject_base_ns = c.eject_interval_ns = PMZ_US(50);
	c.slow_start_ns = PMZ_US(20);
	c.eject_calls_min = 5;
	c.eject_slow_pct = 150;
	s.b = made(&c);
	s.now.word = BOOT;
	for (i = 0; i < STAYING; i++) {
		ck_assert_int_eq(come(s.b, i, 2, BOOT, &number), PMZ_OK);
		ck_assert_uint_eq(number, i);
		s.life[i].word = 1;
	}
	crew_run(THREADS, come_go_and_pick, &s);
	now = sum(&s.now);
	ck_assert_uint_eq(sum(&s.wrong), 0);
	for (i = 0; i < STAYING; i++) {
		pmz_endpoint_stats got = stats_of(s.b, i, now);

		ck_assert_uint_eq(got.in_flight, 0);
		ck_assert_uint_eq(got.picks, sum(&s.picks[i]));
		ck_assert_uint_eq(got.failures, sum(&s.failures[i]));
		ck_assert_uint_gt(got.picks, 0);
	}
	for (; i < PLACES; i++)
		if (life_of(&s, i) % 2)
			ck_assert_uint_eq(stats_of(s.b, i, now).in_flight, 0);
	pmz_balance_free(s.b);
}
END_TEST

static void never_pick_the_removed(unsigned who, void *ctx)
{
	struct shared *s = ctx;
	int i;

	for (i = 0; i < PICKS; i++) {
		/* Until this number is given away again, it is nobody's. */
		uint64_t before = life_of(s, 1);
		pmz_pick p;

		if (who == 0 && i % 8 == 0) {
			uint32_t number = 1;

			if (before % 2)
				pmz_balance_remove(s->b, 1, BOOT);
			/* It is somebody's from before the add until after the
			 * removal. */
			pmz__add(&s->life[1], 1, PMZ__ACQ_REL);
			if (before % 2 == 0 && come(s->b, 1, 1, BOOT, &number))
				pmz__sub(&s->life[1], 1, PMZ__ACQ_REL);
			else if (number != 1)
				add(&s->wrong, 1);
			continue;
		}
		if (pmz_balance_pick(s->b, NULL, BOOT, &p)) {
			add(&s->refused, 1);
			continue;
		}
		if (p.endpoint == 1 && before % 2 == 0 &&
		    life_of(s, 1) == before)
			add(&s->wrong, 1);
		pmz_balance_settle(s->b, &p, PMZ_SUCCESS, BOOT);
	}
}

START_TEST(who_was_removed_is_never_picked)
{
	pmz_balance_config c = { .size = sizeof(c), .endpoints_max = 2 };
	struct shared s = { .seed = _i };
	uint32_t number;

	c.strategy = 1 + (uint32_t)_i;
	s.b = made(&c);
	ck_assert_int_eq(come(s.b, 0, 1, BOOT, &number), PMZ_OK);
	crew_run(THREADS, never_pick_the_removed, &s);
	ck_assert_uint_eq(sum(&s.wrong), 0);
	ck_assert_uint_eq(sum(&s.refused), 0);
	pmz_balance_free(s.b);
}
END_TEST

/* Rests. */

#define ROUNDS 120
#define CALLS 40 /* of each thread in a round */
#define SET 10

static uint32_t ejected(const pmz_balance *b, uint32_t count, pmz_ns now)
{
	uint32_t sum_of = 0, i;

	for (i = 0; i < count; i++) {
		pmz_endpoint_stats s = { .size = sizeof(s) };

		if (pmz_balance_read(b, i, now, &s) == PMZ_OK)
			sum_of += s.ejected_until != 0;
	}
	return sum_of;
}

struct rests {
	struct shared s;
	uint32_t most, seen_most;
	pmz__a64 full_rounds;
};

static void let_fail(struct shared *s, dice *d, pmz_ns now)
{
	uint32_t others[SET], count = 0, i;
	uint32_t only = (uint32_t)dice_between(d, 0, SET - 1);
	pmz_wish wish = { .size = sizeof(wish), .avoid = others };
	pmz_pick p;

	for (i = 0; i < SET; i++)
		if (i != only)
			others[count++] = i;
	wish.avoid_count = count;
	if (!pmz_balance_pick(s->b, &wish, now, &p))
		pmz_balance_settle(s->b, &p, PMZ_FAILURE, now);
}

/* Within a round time stands still, so nobody gets up, and a count of those who
 * rest that takes its time is not above what it was at its end. */
static void fail_in_rounds(unsigned who, void *ctx)
{
	struct rests *r = ctx;
	struct shared *s = &r->s;
	dice d = dice_for(s, who);
	int round, i;

	for (round = 0; round < ROUNDS; round++) {
		pmz_ns now;

		crew_meet();
		now = pmz__load(&s->now, PMZ__ACQUIRE);
		for (i = 0; i < CALLS; i++) {
			let_fail(s, &d, now);
			if (i % 8 == 0 && ejected(s->b, SET, now) > r->most)
				add(&s->wrong, 1);
		}
		crew_meet();
		if (who == 0) {
			if (ejected(s->b, SET, now) == r->most)
				add(&r->full_rounds, 1);
			pmz__add(&s->now, dice_between(&d, 1, PMZ_S(40)),
			         PMZ__ACQ_REL);
		}
	}
}

static const uint32_t max_pcts[] = { 1, 10, 35, 50, 100 };

START_TEST(never_more_rest_than_may_be)
{
	struct rests r = { .s = { .seed = _i } };
	pmz_balance_config c = { .size = sizeof(c) };
	uint32_t i, number;

	c.eject_consecutive = 1;
	c.eject_max_pct = max_pcts[_i];
	c.panic_pct = PMZ_OFF;
	r.s.b = made(&c);
	r.s.now.word = BOOT;
	r.most = max_pcts[_i] == 100 ? SET - 1 : SET * max_pcts[_i] / 100;
	for (i = 0; i < SET; i++)
		ck_assert_int_eq(come(r.s.b, i, 1, BOOT, &number), PMZ_OK);
	crew_run(THREADS, fail_in_rounds, &r);
	ck_assert_uint_eq(sum(&r.s.wrong), 0);
	/* And it is not that some bench were lost. */
	ck_assert_uint_eq(sum(&r.full_rounds), ROUNDS);
	pmz_balance_free(r.s.b);
}
END_TEST

/* Each thread with a clock of its own, and the set changes besides. */
static void fail_at_all_times(unsigned who, void *ctx)
{
	struct rests *r = ctx;
	struct shared *s = &r->s;
	dice d = dice_for(s, who);
	int i;

	for (i = 0; i < ROUNDS * CALLS / 4; i++) {
		pmz_ns now = BOOT + dice_between(&d, 0, PMZ_S(60)) +
		             PMZ_MS(100) * (unsigned)i;

		let_fail(s, &d, now);
		if (who == 0 && i % 16 == 0)
			pmz_balance_weight(
				s->b, (uint32_t)dice_between(&d, 0, 9),
				(uint32_t)dice_between(&d, 0, 1), now);
	}
	pmz__add(&s->now, PMZ_MS(100) * (unsigned)i / THREADS, PMZ__RELAXED);
}

START_TEST(at_no_instant_do_too_many_rest)
{
	struct rests r = { .s = { .seed = _i } };
	pmz_balance_config c = { .size = sizeof(c) };
	uint32_t members = 0, i, number;
	pmz_ns now;

	c.eject_consecutive = 1;
	c.panic_pct = PMZ_OFF;
	r.s.b = made(&c);
	for (i = 0; i < SET; i++)
		ck_assert_int_eq(come(r.s.b, i, 1, BOOT, &number), PMZ_OK);
	crew_run(THREADS, fail_at_all_times, &r);
	for (i = 0; i < SET; i++)
		members += stats_of(r.s.b, i, BOOT).weight > 0;
	for (now = BOOT; now < BOOT + PMZ_S(3000); now += PMZ_S(1)) {
		uint32_t out = ejected(r.s.b, SET, now);

		ck_assert_msg(out <= members / 2 && (!members || out < members),
		              "%u of %u at %llu", out, members,
		              (unsigned long long)now);
	}
	pmz_balance_free(r.s.b);
}
END_TEST

/* Keys. */

/* Half of the calls there can be, rounded up. */
#define KEY_CAP (THREADS / 2)

/* `picks` counts here who is held for sure: from after the pick until before
 * the settle. */
static void hold_one_key(unsigned who, void *ctx)
{
	struct shared *s = ctx;
	pmz_wish wish = { .size = sizeof(wish), .hash = 7 };
	int round;

	(void)who;
	for (round = 0; round < PICKS * 4; round++) {
		pmz_pick p;

		if (pmz_balance_pick(s->b, &wish, BOOT, &p)) {
			add(&s->refused, 1);
			continue;
		}
		if (pmz__add(&s->picks[p.endpoint], 1, PMZ__RELAXED) >= KEY_CAP)
			add(&s->wrong, 1);
		pmz__sub(&s->picks[p.endpoint], 1, PMZ__RELAXED);
		if (pmz_balance_settle(s->b, &p, PMZ_SUCCESS, BOOT))
			add(&s->wrong, 1);
	}
}

START_TEST(a_hot_key_overloads_nobody)
{
	pmz_balance_config c = { .size = sizeof(c), .strategy = PMZ_BY_KEY };
	struct shared s = { .seed = _i };
	uint32_t i, number;

	c.load_bound_pct = 100;
	s.b = made(&c);
	for (i = 0; i < 2; i++)
		ck_assert_int_eq(come(s.b, i, 1, BOOT, &number), PMZ_OK);
	crew_run(THREADS, hold_one_key, &s);
	ck_assert_uint_eq(sum(&s.wrong), 0);
	ck_assert_uint_eq(sum(&s.refused), 0);
	for (i = 0; i < 2; i++)
		ck_assert_uint_eq(stats_of(s.b, i, BOOT).in_flight, 0);
	pmz_balance_free(s.b);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("balance under threads");
	TCase *tc = tcase_create("races");
	SRunner *runner;
	int failed;

	tcase_add_loop_test(tc, picks_stay_exact_while_endpoints_come_and_go, 0,
	                    PMZ_MAGLEV_KEY);
	tcase_add_loop_test(tc, who_was_removed_is_never_picked, 0, PMZ_BY_KEY);
	tcase_add_loop_test(tc, never_more_rest_than_may_be, 0, 5);
	tcase_add_loop_test(tc, at_no_instant_do_too_many_rest, 0, 5);
	tcase_add_test(tc, a_hot_key_overloads_nobody);
	tcase_set_timeout(tc, 300);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
