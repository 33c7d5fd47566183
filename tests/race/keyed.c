/*
 * keyed.c - the table of token buckets under threads: no token comes twice.
 *
 * Each thread has a `now` of its own making. None of them asserts: they count,
 * and the counts are judged when all are done.
 */
#include <check.h>
#include <stdlib.h>

#include <pipemaze/bucket.h>

#include "base/atomic.h"
#include "crew.h"
#include "dice.h"

#define THREADS 4
#define START PMZ_S(1000)
#define TOKEN PMZ_MS(100)
#define BURST 7
#define WHOLE (BURST * TOKEN) /* until an empty bucket is full again */
#define KEYS_MAX 50000
#define FRESH_KEYS 20000
#define AHEAD_TAKES 10000
#define AHEAD_STEP (TOKEN / 4)

typedef struct shared {
	pmz_keyed *table;
	pmz_rate rate;
	int seed;
	uint32_t keys, keys_at_once;
	pmz_ns skew; /* of one thread to the next */
	pmz__a64 granted[KEYS_MAX];
	pmz__a64 refused;
} shared;

static shared *made(uint32_t keys_max, uint32_t full_allows, int seed)
{
	pmz_keyed_config c = { .size = sizeof(c),
		               .keys_max = keys_max,
		               .hash_key = { (uint64_t)seed, 99 },
		               .full_allows = full_allows };
	shared *s = calloc(1, sizeof(*s));

	ck_assert_ptr_nonnull(s);
	ck_assert_int_eq(pmz_rate_set(&s->rate, 1, TOKEN, BURST), PMZ_OK);
	ck_assert_int_eq(pmz_keyed_new(&s->table, &c, NULL), PMZ_OK);
	s->seed = seed;
	return s;
}

static void discard(shared *s)
{
	pmz_keyed_free(s->table);
	free(s);
}

static pmz_keyed_stats stats_of(const shared *s)
{
	pmz_keyed_stats stats = { .size = sizeof(stats) };

	ck_assert_int_eq(pmz_keyed_read(s->table, START, &stats), PMZ_OK);
	return stats;
}

static uint64_t granted_to(const shared *s, uint32_t key)
{
	return pmz__load(&s->granted[key], PMZ__RELAXED);
}

static uint64_t left_of(const shared *s, uint32_t key, pmz_ns now)
{
	return pmz_keyed_left(s->table, &s->rate, &key, sizeof(key), now);
}

static int take(shared *s, uint32_t key, uint64_t n, pmz_ns now)
{
	int status = pmz_keyed_take(s->table, &s->rate, &key, sizeof(key), n,
	                            now, NULL);

	if (status == PMZ_OK)
		pmz__add(&s->granted[key], n, PMZ__RELAXED);
	else
		pmz__add(&s->refused, 1, PMZ__RELAXED);
	return status;
}

static dice dice_for(const shared *s, unsigned who)
{
	return dice_of(s->seed * CREW_MAX + (int)who);
}

/* One group of keys after the other, while those before are whole again and in
 * the way: all threads take all that there is. */
static void drain_groups(unsigned who, void *ctx)
{
	shared *s = ctx;
	pmz_ns now = START;
	uint32_t key;

	(void)who;
	for (key = 0; key < s->keys; key++) {
		if (key % s->keys_at_once == 0) {
			crew_meet();
			now += WHOLE;
		}
		while (take(s, key, 1, now) == PMZ_OK)
			;
	}
}

START_TEST(four_threads_on_fresh_keys_are_granted_one_burst_of_each)
{
	shared *s = made(FRESH_KEYS, 0, _i + 1);
	uint32_t key;

	s->keys = FRESH_KEYS;
	s->keys_at_once = 50;
	crew_run(THREADS, drain_groups, s);
	for (key = 0; key < s->keys; key++)
		ck_assert_uint_eq(granted_to(s, key), BURST);
	ck_assert_uint_eq(stats_of(s).admitted, (uint64_t)BURST * s->keys);
	ck_assert_uint_eq(stats_of(s).full, 0);
	discard(s);
}
END_TEST

/* Two sets, which hold all keys of one group, in the place of those before. */
START_TEST(who_evicts_for_a_fresh_key_grants_it_one_burst_too)
{
	shared *s = made(40, 0, _i + 1);
	uint32_t key;

	s->keys = FRESH_KEYS;
	s->keys_at_once = 40;
	crew_run(THREADS, drain_groups, s);
	for (key = 0; key < s->keys; key++)
		ck_assert_uint_eq(granted_to(s, key), BURST);
	ck_assert_uint_eq(stats_of(s).full, 0);
	discard(s);
}
END_TEST

/* Anything at any time, with clocks that differ by what fills a bucket. */
static void take_at_random(unsigned who, void *ctx)
{
	shared *s = ctx;
	dice d = dice_for(s, who);
	pmz_ns now = START + who * s->skew;
	int i;

	for (i = 0; i < 50000; i++) {
		uint32_t key = (uint32_t)(dice_roll(&d) % s->keys);

		(void)take(s, key, dice_between(&d, 1, BURST), now);
		now += dice_between(&d, 0, TOKEN / 8);
	}
}

static uint64_t come_by(pmz_ns span)
{
	return BURST + span / TOKEN;
}

START_TEST(no_key_gets_more_than_its_burst_and_what_came)
{
	shared *s = made(16, 0, _i + 1);
	pmz_ns span;
	uint32_t key;

	s->keys = 64;
	s->skew = (pmz_ns)_i * TOKEN;
	crew_run(THREADS, take_at_random, s);
	span = 50000 * (TOKEN / 8) + THREADS * s->skew;
	for (key = 0; key < s->keys; key++) {
		ck_assert_uint_gt(granted_to(s, key), 0);
		ck_assert_uint_le(granted_to(s, key), come_by(span));
	}
	discard(s);
}
END_TEST

/* Half of the clocks are ahead by what fills a bucket: for them the few keys of
 * the others are whole, and in the way of all those that come but once. */
static void take_or_evict(unsigned who, void *ctx)
{
	shared *s = ctx;
	int ahead = who % 2;
	pmz_ns now = START + (ahead ? WHOLE : 0);
	uint32_t i, key;

	for (i = 0; i < AHEAD_TAKES; i++) {
		/* So that they are at it together. */
		if (i % 256 == 0)
			crew_meet();
		now += AHEAD_STEP;
		if (ahead)
			(void)take(s, s->keys + THREADS * i + who, 1, now);
		for (key = 0; key < s->keys && !ahead; key++)
			(void)take(s, key, 1, now);
	}
}

START_TEST(clocks_apart_mint_nothing_by_evicting)
{
	shared *s = made(64, 0, _i + 1);
	uint32_t key;

	s->keys = 8;
	crew_run(THREADS, take_or_evict, s);
	for (key = 0; key < s->keys; key++)
		ck_assert_uint_le(granted_to(s, key),
		                  come_by(AHEAD_TAKES * AHEAD_STEP));
	discard(s);
}
END_TEST

static void take_at_one_instant(unsigned who, void *ctx)
{
	shared *s = ctx;
	dice d = dice_for(s, who);
	int i;

	for (i = 0; i < 50000; i++)
		(void)take(s, (uint32_t)(dice_roll(&d) % s->keys), 1, START);
}

/* Keys become whole, and are evicted, by refunds alone. */
static void take_and_refund(unsigned who, void *ctx)
{
	shared *s = ctx;
	dice d = dice_for(s, who);
	int i;

	for (i = 0; i < 50000; i++) {
		uint32_t key = (uint32_t)(dice_roll(&d) % s->keys);
		uint64_t n = dice_between(&d, 1, BURST);

		if (take(s, key, n, START) || dice_once_in(&d, 1000))
			continue;
		pmz_keyed_refund(s->table, &s->rate, &key, sizeof(key), n,
		                 START, START);
		pmz__sub(&s->granted[key], n, PMZ__RELAXED);
	}
}

START_TEST(takes_and_refunds_balance_while_keys_are_evicted)
{
	shared *s = made(8, 0, _i + 1);
	uint32_t key;

	s->keys = 64;
	crew_run(THREADS, take_and_refund, s);
	for (key = 0; key < s->keys; key++)
		ck_assert_uint_eq(left_of(s, key, START),
		                  BURST - granted_to(s, key));
	ck_assert_uint_gt(stats_of(s).full, 0);
	discard(s);
}
END_TEST

START_TEST(what_a_full_table_lets_pass_is_counted_exactly)
{
	shared *s = made(8, 1, _i + 1);
	uint64_t granted = 0;
	pmz_keyed_stats stats;
	uint32_t key;

	s->keys = 64;
	crew_run(THREADS, take_at_one_instant, s);
	for (key = 0; key < s->keys; key++)
		granted += granted_to(s, key);
	stats = stats_of(s);
	ck_assert_uint_eq(stats.busy, 8);
	ck_assert_uint_eq(stats.admitted, granted);
	ck_assert_uint_eq(stats.full, granted - 8 * BURST);
	ck_assert_uint_le(stats.refusals, s->refused.word);
	discard(s);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("keyed");
	TCase *tc = tcase_create("threads");
	SRunner *runner;
	int failed;

	tcase_add_loop_test(
		tc, four_threads_on_fresh_keys_are_granted_one_burst_of_each, 0,
		3);
	tcase_add_loop_test(
		tc, who_evicts_for_a_fresh_key_grants_it_one_burst_too, 0, 3);
	tcase_add_loop_test(tc, no_key_gets_more_than_its_burst_and_what_came,
	                    0, 3);
	tcase_add_loop_test(tc, clocks_apart_mint_nothing_by_evicting, 0, 3);
	tcase_add_loop_test(
		tc, takes_and_refunds_balance_while_keys_are_evicted, 0, 3);
	tcase_add_loop_test(tc, what_a_full_table_lets_pass_is_counted_exactly,
	                    0, 3);
	tcase_set_timeout(tc, 120);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
