/*
 * bucket.c - one token bucket and many threads: the count stays exact.
 */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <pipemaze/bucket.h>

#include "crew.h"
#include "must.h"

#define THREADS 4
#define START PMZ_S(1000)
#define T 1000         /* ns from token to token */
#define BURST 10000000 /* long enough to meet on a busy machine */
#define SOME 5000
#define EACH 2000
#define FIRST 1000      /* tokens that need no wait */
#define RESERVED 300000 /* by each */

struct table {
	pmz_rate rate;
	pmz_bucket bucket;
	_Atomic uint64_t clock, granted;
	pmz_ns at[THREADS * RESERVED];
};

static struct table *table_of(uint64_t burst)
{
	struct table *t = calloc(1, sizeof(*t));

	ck_assert_ptr_nonnull(t);
	ck_assert_int_eq(pmz_rate_set(&t->rate, 1, T, burst), PMZ_OK);
	t->clock = START;
	return t;
}

static uint64_t drain(struct table *t, pmz_ns now)
{
	uint64_t n = 0;

	while (pmz_bucket_take(&t->bucket, &t->rate, 1, now, NULL) == PMZ_OK)
		n++;
	return n;
}

static void drain_at_start(unsigned who, void *ctx)
{
	struct table *t = ctx;

	(void)who;
	t->granted += drain(t, START);
}

START_TEST(threads_at_one_instant_share_exactly_the_burst)
{
	struct table *t = table_of(BURST);

	crew_run(THREADS, drain_at_start, t);
	ck_assert_uint_eq(t->granted, BURST);
	free(t);
}
END_TEST

/* A hundred ask for each token, so that none is lost to a full bucket. */
static void take_as_time_passes(unsigned who, void *ctx)
{
	struct table *t = ctx;
	uint64_t n = 0;
	int i;

	(void)who;
	for (i = 0; i < 100 * EACH; i++) {
		pmz_ns now = atomic_fetch_add(&t->clock, T / 100);

		n += pmz_bucket_take(&t->bucket, &t->rate, 1, now, NULL) ==
		     PMZ_OK;
	}
	t->granted += n;
}

START_TEST(threads_on_one_clock_get_exactly_what_came_in)
{
	struct table *t = table_of(SOME);

	t->granted = drain(t, START);
	crew_run(THREADS, take_as_time_passes, t);
	t->granted += drain(t, t->clock);
	ck_assert_uint_eq(t->granted, SOME + (t->clock - START) / T);
	free(t);
}
END_TEST

static void take_and_put_back(unsigned who, void *ctx)
{
	struct table *t = ctx;
	int i;

	for (i = 0; i < 1000 * EACH; i++)
		if (pmz_bucket_take(&t->bucket, &t->rate, who + 1, START,
		                    NULL) == PMZ_OK)
			pmz_bucket_refund(&t->bucket, &t->rate, who + 1, START,
			                  START);
}

START_TEST(takes_that_are_put_back_leave_a_full_bucket)
{
	struct table *t = table_of(SOME);

	crew_run(THREADS, take_and_put_back, t);
	ck_assert_uint_eq(drain(t, START), SOME);
	free(t);
}
END_TEST

static void reserve_some(unsigned who, void *ctx)
{
	struct table *t = ctx;
	unsigned i;

	for (i = 0; i < RESERVED; i++)
		if (pmz_bucket_reserve(&t->bucket, &t->rate, 1, START,
		                       PMZ_NEVER, &t->at[who * RESERVED + i]))
			abort();
}

static int by_time(const void *a, const void *b)
{
	const pmz_ns *one = a, *other = b;

	return (*one > *other) - (*one < *other);
}

START_TEST(no_two_reservations_are_for_the_same_token)
{
	struct table *t = table_of(SOME);
	size_t i, count = sizeof(t->at) / sizeof(*t->at);

	ck_assert_int_eq(pmz_bucket_take(&t->bucket, &t->rate, SOME - FIRST,
	                                 START, NULL),
	                 PMZ_OK);
	crew_run(THREADS, reserve_some, t);
	qsort(t->at, count, sizeof(*t->at), by_time);
	for (i = 0; i < count; i++) {
		/* The first without a wait, as they were in the burst. */
		pmz_ns want = i < FIRST ? START : START + (i + 1 - FIRST) * T;

		must_be(t->at[i], want);
	}
	free(t);
}
END_TEST

static void take_or_rerate(unsigned who, void *ctx)
{
	struct table *t = ctx;
	int i;

	if (who) {
		t->granted += drain(t, START);
		return;
	}
	for (i = 0; i < 200 * EACH; i++)
		pmz_bucket_rerate(&t->bucket, &t->rate, &t->rate, START);
}

START_TEST(a_rerate_loses_no_take_of_another_thread)
{
	struct table *t = table_of(BURST);

	crew_run(THREADS, take_or_rerate, t);
	ck_assert_uint_eq(t->granted, BURST);
	free(t);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("bucket");
	TCase *all = tcase_create("threads");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, all);
	tcase_set_timeout(all, 120);
	tcase_add_test(all, threads_at_one_instant_share_exactly_the_burst);
	tcase_add_test(all, threads_on_one_clock_get_exactly_what_came_in);
	tcase_add_test(all, takes_that_are_put_back_leave_a_full_bucket);
	tcase_add_test(all, no_two_reservations_are_for_the_same_token);
	tcase_add_test(all, a_rerate_loses_no_take_of_another_thread);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
