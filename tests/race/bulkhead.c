/*
 * bulkhead.c - one bulkhead and many threads: never over its limit, and empty
 * when all have left.
 */
#include <check.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <pipemaze/bulkhead.h>

#include "crew.h"

#define THREADS 6
#define EACH 30000
#define LIMIT 3
#define NOW 0

struct door {
	pmz_bulkhead *h;
	_Atomic uint32_t inside, most, read_most, at_work;
	_Atomic uint64_t admitted, refused, settled, void_permits;
	void *memory;
};

static void open_door(struct door *d, uint32_t limit)
{
	pmz_bulkhead_config cfg = { sizeof(cfg), limit };

	memset(d, 0, sizeof(*d));
	ck_assert_int_eq(pmz_bulkhead_new(&d->h, &cfg, NULL), PMZ_OK);
}

/* In threads too: those abort, since libcheck reports from one. */
static pmz_bulkhead_stats stats_of(const struct door *d)
{
	pmz_bulkhead_stats s;

	memset(&s, 0, sizeof(s));
	s.size = sizeof(s);
	if (pmz_bulkhead_read(d->h, &s))
		abort();
	return s;
}

/* What one permit at a time finds: as many slots as the limit says. */
static void check_empty(const struct door *d)
{
	uint32_t limit = stats_of(d).limit, n = 0;
	pmz_permit p;

	ck_assert_uint_eq(stats_of(d).in_use, 0);
	while (pmz_bulkhead_acquire(d->h, NOW, &p) == PMZ_OK)
		n++;
	ck_assert_uint_eq(n, limit);
}

static void note_most(_Atomic uint32_t *most, uint32_t now)
{
	uint32_t before = *most;

	while (now > before &&
	       !atomic_compare_exchange_weak(most, &before, now))
		;
}

/* Counts are kept outside too: in after it was let in, out before it leaves, so
 * that this count is never above the true one. */
static void pass_through(struct door *d)
{
	pmz_permit p;

	if (pmz_bulkhead_acquire(d->h, NOW, &p) != PMZ_OK) {
		d->refused++;
		return;
	}
	d->admitted++;
	note_most(&d->most, ++d->inside);
	if (d->admitted % 16 == 0)
		sched_yield();
	d->inside--;
	if (pmz_bulkhead_settle(d->h, &p, PMZ_SUCCESS, NOW) == PMZ_OK)
		d->settled++;
	else
		d->void_permits++;
}

static void come_and_go(unsigned who, void *ctx)
{
	int i;

	(void)who;
	for (i = 0; i < EACH; i++)
		pass_through(ctx);
}

START_TEST(threads_are_never_more_than_the_limit_inside)
{
	struct door d;
	uint32_t limit = (uint32_t)_i;

	open_door(&d, limit);
	crew_run(THREADS, come_and_go, &d);
	ck_assert_uint_le(d.most, limit);
	ck_assert_uint_le(stats_of(&d).in_use_max, limit);
	ck_assert_uint_eq(d.settled, d.admitted);
	ck_assert_uint_eq(stats_of(&d).admitted, d.admitted);
	ck_assert_uint_eq(stats_of(&d).over_releases, 0);
	check_empty(&d);
	pmz_bulkhead_free(d.h);
}
END_TEST

static void go_or_resize(unsigned who, void *ctx)
{
	struct door *d = ctx;
	uint32_t i;

	if (who) {
		come_and_go(who, ctx);
		return;
	}
	for (i = 0; i < EACH; i++)
		if (pmz_bulkhead_resize(d->h, i % (LIMIT + 1)) != PMZ_OK)
			abort();
}

START_TEST(a_limit_that_moves_is_never_passed_at_its_highest)
{
	struct door d;

	open_door(&d, LIMIT);
	crew_run(THREADS, go_or_resize, &d);
	ck_assert_uint_le(d.most, LIMIT);
	ck_assert_uint_eq(d.settled, d.admitted);
	check_empty(&d);
	pmz_bulkhead_free(d.h);
}
END_TEST

/* Settles what it does not hold, beside those who do. */
static void go_or_overrelease(unsigned who, void *ctx)
{
	struct door *d = ctx;
	int i;

	if (who > 1) {
		come_and_go(who, ctx);
		return;
	}
	for (i = 0; i < EACH; i++) {
		pmz_permit none = { { 0, 0 } };

		if (pmz_bulkhead_settle(d->h, &none, PMZ_SUCCESS, NOW) !=
		    PMZ_E_STATE)
			abort();
	}
}

START_TEST(empty_permits_take_nobodys_slot)
{
	struct door d;

	open_door(&d, LIMIT);
	crew_run(THREADS, go_or_overrelease, &d);
	ck_assert_uint_le(d.most, LIMIT);
	ck_assert_uint_eq(d.settled, d.admitted);
	ck_assert_uint_eq(stats_of(&d).over_releases, 2 * EACH);
	check_empty(&d);
	pmz_bulkhead_free(d.h);
}
END_TEST

/* Each permit is settled twice, the second time as a copy. */
static void settle_twice(unsigned who, void *ctx)
{
	struct door *d = ctx;
	int i;

	(void)who;
	for (i = 0; i < EACH; i++) {
		pmz_permit p, copy;

		if (pmz_bulkhead_acquire(d->h, NOW, &p) != PMZ_OK)
			continue;
		d->admitted++;
		copy = p;
		if (pmz_bulkhead_settle(d->h, &p, PMZ_SUCCESS, NOW) == PMZ_OK)
			d->settled++;
		if (pmz_bulkhead_settle(d->h, &copy, PMZ_SUCCESS, NOW) ==
		    PMZ_OK)
			d->settled++;
	}
}

START_TEST(settling_copies_stops_at_nobody_inside)
{
	struct door d;

	open_door(&d, LIMIT);
	crew_run(THREADS, settle_twice, &d);
	ck_assert_uint_eq(d.settled, d.admitted);
	ck_assert_uint_eq(stats_of(&d).over_releases, d.admitted);
	ck_assert_uint_eq(stats_of(&d).admitted, d.admitted);
	check_empty(&d);
	pmz_bulkhead_free(d.h);
}
END_TEST

static void go_or_reset(unsigned who, void *ctx)
{
	struct door *d = ctx;

	if (who > 1) {
		come_and_go(who, ctx);
		d->at_work--;
		return;
	}
	while (d->at_work) {
		note_most(&d->read_most, stats_of(d).in_use);
		pmz_bulkhead_reset(d->h);
	}
}

START_TEST(a_reset_among_calls_loses_no_slot_and_makes_none)
{
	struct door d;

	open_door(&d, LIMIT);
	d.at_work = THREADS - 2;
	crew_run(THREADS, go_or_reset, &d);
	ck_assert_uint_le(d.read_most, LIMIT);
	ck_assert_uint_eq(d.settled + d.void_permits, d.admitted);
	ck_assert_uint_eq(stats_of(&d).over_releases, d.void_permits);
	ck_assert_uint_eq(stats_of(&d).admitted, d.admitted);
	check_empty(&d);
	pmz_bulkhead_free(d.h);
}
END_TEST

/* Looks a few times between two resets, so that calls begin and end there. */
static void reset_and_look(struct door *d)
{
	int i;

	pmz_bulkhead_reset(d->h);
	for (i = 0; i < 3; i++)
		note_most(&d->read_most, stats_of(d).in_use);
}

static void go_alone_or_reset(unsigned who, void *ctx)
{
	struct door *d = ctx;
	int i;

	if (who) {
		while (d->at_work)
			reset_and_look(d);
		return;
	}
	for (i = 0; i < 60 * EACH; i++) {
		pmz_permit p;

		if (pmz_bulkhead_acquire(d->h, NOW, &p) != PMZ_OK)
			d->refused++;
		else
			(void)!pmz_bulkhead_settle(d->h, &p, PMZ_SUCCESS, NOW);
	}
	d->at_work = 0;
}

/* A slot that a reset makes up, for however short a time, refuses him. */
START_TEST(who_is_alone_is_never_refused_whoever_resets)
{
	struct door d;

	open_door(&d, 1);
	d.at_work = 1;
	crew_run(2, go_alone_or_reset, &d);
	ck_assert_uint_eq(d.refused, 0);
	ck_assert_uint_le(d.read_most, 1);
	check_empty(&d);
	pmz_bulkhead_free(d.h);
}
END_TEST

static void place_and_enter(unsigned who, void *ctx)
{
	pmz_bulkhead_config cfg = { sizeof(cfg), THREADS };
	struct door *d = ctx;
	pmz_bulkhead *h;
	pmz_permit p;

	(void)who;
	if (pmz_bulkhead_place(&h, d->memory, pmz_bulkhead_size(&cfg), &cfg,
	                       NULL) ||
	    pmz_bulkhead_acquire(h, NOW, &p))
		abort();
}

START_TEST(all_who_place_at_once_share_one)
{
	pmz_bulkhead_config cfg = { sizeof(cfg), THREADS };
	size_t size = (pmz_bulkhead_size(&cfg) + 63) / 64 * 64;
	int round;

	for (round = 0; round < 100; round++) {
		struct door d;

		memset(&d, 0, sizeof(d));
		d.memory = aligned_alloc(64, size);
		ck_assert_ptr_nonnull(d.memory);
		memset(d.memory, 0, size);
		crew_run(THREADS, place_and_enter, &d);
		d.h = d.memory;
		ck_assert_uint_eq(stats_of(&d).in_use, THREADS);
		free(d.memory);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("bulkhead");
	TCase *all = tcase_create("threads");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, all);
	tcase_set_timeout(all, 120);
	tcase_add_loop_test(all, threads_are_never_more_than_the_limit_inside,
	                    1, LIMIT + 1);
	tcase_add_test(all, a_limit_that_moves_is_never_passed_at_its_highest);
	tcase_add_test(all, empty_permits_take_nobodys_slot);
	tcase_add_test(all, settling_copies_stops_at_nobody_inside);
	tcase_add_test(all, a_reset_among_calls_loses_no_slot_and_makes_none);
	tcase_add_test(all, who_is_alone_is_never_refused_whoever_resets);
	tcase_add_test(all, all_who_place_at_once_share_one);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
