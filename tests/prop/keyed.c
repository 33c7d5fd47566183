/*
 * keyed.c - the table of token buckets against as many buckets that stand
 * alone, on random histories.
 *
 * The lone buckets are never evicted, so whatever differs is the table's doing.
 */
#include <check.h>
#include <inttypes.h>
#include <stdlib.h>

#include <pipemaze/bucket.h>

#include "dice.h"
#include "hostile.h"

#define STEPS 2000
#define TURNS 60
#define KEYS_MAX 400
#define HELD_MAX 32
#define START PMZ_S(1000)

typedef struct history {
	dice dice;
	pmz_keyed *table;
	pmz_rate rate;
	pmz_ns token; /* an interval of the rate, about */
	uint64_t burst;
	pmz_bucket alone[KEYS_MAX];
	uint32_t keys;
	pmz_ns now, ready;
	uint64_t full, granted;
	struct {
		uint32_t key;
		uint64_t n;
		pmz_ns at;
	} takes[HELD_MAX];
	unsigned held;
} history;

static pmz_keyed *made(uint32_t keys_max, int seed)
{
	pmz_keyed_config c = { .size = sizeof(c),
		               .keys_max = keys_max,
		               .hash_key = { (uint64_t)seed, 77 } };
	pmz_keyed *table;

	ck_assert_int_eq(pmz_keyed_new(&table, &c, NULL), PMZ_OK);
	return table;
}

static pmz_keyed_stats stats_of(const pmz_keyed *table, pmz_ns now)
{
	pmz_keyed_stats s = { .size = sizeof(s) };

	if (pmz_keyed_read(table, now, &s))
		ck_abort_msg("the stats cannot be read");
	return s;
}

/* The token is a whole number of ns, or it is not. */
static void begin(history *h, int seed, uint32_t keys_max, uint32_t keys,
                  int whole)
{
	static const history blank;
	uint64_t tokens;

	*h = blank;
	h->dice = dice_of(seed);
	h->table = made(keys_max, seed);
	h->keys = keys;
	tokens = whole ? 1 : dice_between(&h->dice, 1, 1000);
	h->token = 1 + dice_sized(&h->dice, 30);
	h->burst = 1 + dice_sized(&h->dice, 6);
	ck_assert_int_eq(pmz_rate_set(&h->rate, tokens,
	                              h->token * tokens + (tokens - 1),
	                              h->burst),
	                 PMZ_OK);
	h->now = dice_once_in(&h->dice, 4) ? 0 : START;
	h->ready = PMZ_NEVER;
}

static void end(history *h)
{
	pmz_keyed_free(h->table);
}

/* Often right at the edge of a decision, sometimes not at all. */
static void pass(history *h)
{
	dice *d = &h->dice;

	if (h->ready != PMZ_NEVER && h->ready > h->now && dice_once_in(d, 4))
		h->now = h->ready - dice_roll(d) % 2;
	else if (dice_once_in(d, 2))
		h->now += dice_between(d, 0, h->token / 4);
	else if (dice_once_in(d, 64))
		h->now += h->token * h->burst;
	h->ready = PMZ_NEVER;
}

static void swing(history *h)
{
	dice *d = &h->dice;
	pmz_ns far = 2 * h->token * h->burst;

	pass(h);
	if (dice_once_in(d, 8))
		h->now -= dice_between(d, 0, h->now < far ? h->now : far);
	else if (dice_once_in(d, 8))
		h->now += dice_between(d, 0, far);
	if (dice_once_in(d, 256))
		h->now = hostile_leap(d, h->now);
}

/* A million steps of each kind: some histories in each turn of a loop test. */
static void each_history(int turn, void (*one)(int seed))
{
	int histories = hostile_histories(STEPS, TURNS), i;

	for (i = 0; i < histories; i++)
		one(turn * histories + i);
}

/* Whether the table had no place for the key of the last take. */
static int was_full(history *h)
{
	uint64_t before = h->full;

	h->full = stats_of(h->table, h->now).full;
	return h->full != before;
}

static void note(history *h, uint32_t key, uint64_t n)
{
	unsigned i = h->held < HELD_MAX
	                     ? h->held++
	                     : (unsigned)(dice_roll(&h->dice) % HELD_MAX);

	h->takes[i].key = key;
	h->takes[i].n = n;
	h->takes[i].at = h->now;
	h->granted++;
}

static void take_from_both(history *h)
{
	uint32_t key = (uint32_t)(dice_roll(&h->dice) % h->keys);
	uint64_t n = dice_between(&h->dice, 1, h->burst + 1);
	pmz_ns ready = 0, want = 0;
	pmz_bucket after = h->alone[key];
	int status = pmz_keyed_take(h->table, &h->rate, &key, sizeof(key), n,
	                            h->now, &ready);
	int expect = pmz_bucket_take(&after, &h->rate, n, h->now, &want);

	if (was_full(h))
		return;
	h->alone[key] = after;
	if (status == PMZ_OK)
		note(h, key, n);
	else
		h->ready = ready;
	if (status != expect || h->ready != (status ? want : PMZ_NEVER))
		ck_abort_msg("key %u: %s until %" PRIu64
		             ", alone %s until %" PRIu64,
		             key, pmz_status_name(status), ready,
		             pmz_status_name(expect), want);
}

static void refund_to_both(history *h)
{
	unsigned i;

	if (!h->held)
		return;
	i = (unsigned)(dice_roll(&h->dice) % h->held);
	pmz_keyed_refund(h->table, &h->rate, &h->takes[i].key,
	                 sizeof(h->takes[i].key), h->takes[i].n, h->takes[i].at,
	                 h->now);
	pmz_bucket_refund(&h->alone[h->takes[i].key], &h->rate, h->takes[i].n,
	                  h->takes[i].at, h->now);
	h->takes[i] = h->takes[--h->held];
}

static void compare_left(const history *h)
{
	uint32_t key;

	for (key = 0; key < h->keys; key++) {
		uint64_t left = pmz_keyed_left(h->table, &h->rate, &key,
		                               sizeof(key), h->now);
		uint64_t want =
			pmz_bucket_left(&h->alone[key], &h->rate, h->now);

		if (left != want)
			ck_abort_msg("key %u: %" PRIu64 " left, alone %" PRIu64,
			             key, left, want);
	}
}

static void step(history *h)
{
	if (dice_once_in(&h->dice, 8))
		refund_to_both(h);
	else
		take_from_both(h);
	if (dice_once_in(&h->dice, h->keys + 1))
		compare_left(h);
}

static void one_key(int seed)
{
	history h;
	int i;

	begin(&h, seed, 1 + (uint32_t)seed % 40, 1, seed % 2);
	for (i = 0; i < STEPS; i++) {
		swing(&h);
		step(&h);
	}
	ck_assert_uint_eq(h.full, 0);
	ck_assert_uint_gt(h.granted, 0);
	end(&h);
}

START_TEST(a_key_is_a_bucket_whatever_the_clock_does)
{
	each_history(_i, one_key);
}
END_TEST

/* Ten keys for each place, in tables of one set and of several. */
static void many_keys(int seed)
{
	history h;
	int i;

	begin(&h, seed, seed % 2 ? 40 : 20, KEYS_MAX, seed % 4 < 2);
	for (i = 0; i < STEPS; i++) {
		pass(&h);
		step(&h);
	}
	ck_assert_uint_gt(h.granted, 0);
	end(&h);
}

START_TEST(to_be_evicted_makes_no_difference)
{
	each_history(_i, many_keys);
}
END_TEST

/* One take of both: what the table grants, a bucket that nobody evicted would
 * have granted. */
static void take_what_the_lone_would_grant(history *h)
{
	uint32_t key = (uint32_t)(dice_roll(&h->dice) % h->keys);
	uint64_t n = dice_between(&h->dice, 1, h->burst);

	if (pmz_keyed_take(h->table, &h->rate, &key, sizeof(key), n, h->now,
	                   NULL))
		return;
	if (pmz_bucket_take(&h->alone[key], &h->rate, n, h->now, NULL))
		ck_abort_msg("key %u has %" PRIu64 " tokens out of nothing",
		             key, n);
	note(h, key, n);
}

/* With a token of whole ns, or the two round apart. */
static void many_keys_swinging(int seed)
{
	history h;
	int i;

	begin(&h, seed, seed % 2 ? 40 : 20, KEYS_MAX, 1);
	for (i = 0; i < STEPS; i++) {
		swing(&h);
		if (dice_once_in(&h.dice, 8))
			refund_to_both(&h);
		else
			take_what_the_lone_would_grant(&h);
	}
	ck_assert_uint_gt(h.granted, 0);
	end(&h);
}

START_TEST(a_clock_that_swings_mints_nothing_by_evicting)
{
	each_history(_i, many_keys_swinging);
}
END_TEST

/* Keys without end, none of which ever gets its token back. */
typedef struct flood {
	pmz_keyed *table;
	pmz_rate rate;
	uint64_t next;
} flood;

static void pour(flood *f, uint64_t keys)
{
	for (; keys--; f->next++)
		if (pmz_keyed_take(f->table, &f->rate, &f->next,
		                   sizeof(f->next), 1, START, NULL) < 0)
			ck_abort_msg("a take failed");
}

static uint64_t busy_in(const flood *f)
{
	return stats_of(f->table, START).busy;
}

START_TEST(a_table_fills_nearly_to_its_last_entry)
{
	static const uint32_t sizes[] = { 33, 100, 200, 1024, 5000, 20000 };
	uint32_t keys_max = sizes[_i % 6];
	flood f = { .table = made(keys_max, _i + 1) };
	uint64_t at_first_full, soon, all;

	ck_assert_int_eq(pmz_rate_set(&f.rate, 1, PMZ_S(1), 2), PMZ_OK);
	pour(&f, keys_max);
	ck_assert_uint_eq(stats_of(f.table, START).full, 0);
	ck_assert_uint_eq(busy_in(&f), keys_max);
	while (!stats_of(f.table, START).full)
		pour(&f, keys_max / 64 + 1);
	at_first_full = busy_in(&f);
	pour(&f, keys_max);
	soon = busy_in(&f);
	pour(&f, (uint64_t)keys_max * 8);
	all = busy_in(&f);
	ck_assert_uint_ge(all * 100, (uint64_t)keys_max * 120);
	ck_assert_uint_ge(at_first_full * 100, all * 90);
	ck_assert_uint_ge(soon * 100, all * 97);
	pmz_keyed_free(f.table);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("keyed");
	TCase *all = tcase_create("random histories");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, all);
	tcase_set_timeout(all, 60);
	tcase_add_loop_test(all, a_key_is_a_bucket_whatever_the_clock_does, 0,
	                    TURNS);
	tcase_add_loop_test(all, to_be_evicted_makes_no_difference, 0,
	                    TURNS);
	tcase_add_loop_test(all, a_clock_that_swings_mints_nothing_by_evicting,
	                    0, TURNS);
	tcase_add_loop_test(all, a_table_fills_nearly_to_its_last_entry, 0, 12);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
