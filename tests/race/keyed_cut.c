/*
 * keyed_cut.c - one call on the table of token buckets, cut in two at each of
 * its atomics in turn, with whole other calls in between.
 *
 * What comes out must be what comes of some order of the calls. Threads meet at
 * few of these instants, and at the rare ones never; so this is keyed.c itself,
 * built here with atomics that can be cut into.
 */
#include <check.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include "base/atomic.h"
#include "core/bucket.h"

static void before_atomic(int is_store);

/* A value is known before the instant at which it is stored. */
static uint64_t to_store(uint64_t value)
{
	before_atomic(1);
	return value;
}

#undef pmz__load
#undef pmz__store
#undef pmz__add
#undef pmz__cas
#define pmz__load(a, order) \
	(before_atomic(0), __atomic_load_n(&(a)->word, order))
#define pmz__store(a, value, order) \
	__atomic_store_n(&(a)->word, to_store(value), order)
#define pmz__add(a, value, order) \
	(before_atomic(0), __atomic_fetch_add(&(a)->word, value, order))
#define pmz__cas(a, expected, desired, order)                                 \
	(before_atomic(0),                                                    \
	 __atomic_compare_exchange_n(&(a)->word, expected, desired, 0, order, \
	                             PMZ__RELAXED))
/* Who waits for the turn of a call that is cut waits in vain: the time of it is
 * up at once. */
#define pmz__pause() ((void)(pauses = TURN_PAUSES - 1))

#include "core/keyed.c"

#define N PMZ_S(1000)
#define T PMZ_MS(100) /* one token */
#define BURST 4
#define OPS_MAX 4
#define ORDERS (OPS_MAX + 1)
#define NAMES 3

/* A call is a text: which key, what is done to it (-take, +refund, ?left), how
 * many tokens, and when, in tokens after N. */
typedef struct op {
	int name;
	char verb;
	uint64_t n;
	pmz_ns now;
} op;

#define OP_LENGTH sizeof("K-4@0")

typedef struct scene {
	uint32_t keys_max;
	uint32_t filled; /* places of keys that are busy throughout */
	const char *before, *cut, *between;
	unsigned end; /* when to look what is left, in tokens after N */
} scene;

static const scene scenes[] = {
	/* Fresh keys. */
	{ 3, 0, "", "K-4@0", "K-4@0", 0 },
	{ 3, 0, "", "K-3@0", "K-2@0", 0 },
	{ 3, 0, "", "K-1@0", "L-4@0", 0 },
	{ 3, 0, "", "K-2@0", "K-3@0 K+1@0", 0 },
	{ 3, 0, "", "K?0@0", "K-3@0", 0 },
	/* A key that is there. */
	{ 3, 0, "K-1@0", "K-2@0", "K-2@0", 0 },
	{ 3, 0, "K-4@0", "K-2@0", "K+3@0 K-2@0", 0 },
	{ 3, 0, "K-4@0", "K+2@0", "K-1@0 K+2@0", 0 },
	{ 3, 0, "K-4@0", "K+2@0", "K+2@0", 0 },
	/* One place, and two who want it. */
	{ 1, 0, "X-4@0", "K-1@4", "L-1@4", 4 },
	{ 1, 0, "X-4@0", "K-1@3", "L-1@3", 4 },
	{ 1, 0, "X-4@0", "X-3@4", "K-2@4", 4 },
	{ 1, 0, "X-4@0", "K-3@4", "X-2@4", 4 },
	/* The turn is taken away from one who has claimed the place of X. */
	{ 3, 0, "X-4@0", "K-1@4", "X-4@4 K-1@4", 4 },
	/* One place in two sets, for keys whose turns are not one. */
	{ 40, 63, "", "K-1@0", "L-1@0", 0 },
	{ 40, 62, "X-4@0", "K-3@4", "L-1@4 X-1@4", 4 },
	{ 40, 63, "X-4@0", "X-2@4", "L-1@4", 4 },
	/* Evicted by one whose clock is ahead. */
	{ 3, 0, "X-4@0", "K-1@4", "X-4@1", 1 },
	{ 3, 0, "X-4@0", "K-1@4", "X?0@1", 1 },
	{ 3, 0, "X-4@0", "X-1@1", "K-1@4", 1 },
	{ 3, 0, "X-4@0", "X?0@1", "K-1@4", 1 },
	/* Evicted, and the next owner's tat is the same. */
	{ 1, 0, "K-3@0", "K-1@0", "K+3@0 L-3@0", 0 },
	{ 1, 0, "K-3@0", "K+1@0", "K+2@0 L-2@1", 1 },
	{ 1, 0, "K-3@0", "K?0@0", "K+3@0 L-3@0", 0 },
	/* Given back, evicted, and the next owner's is given back too. */
	{ 1, 0, "K-3@0", "K+3@0", "L-1@3 L+1@3", 3 },
	{ 1, 0, "K-3@0", "K+3@0", "L-2@0 L+2@0", 0 },
};

#define SCENES (int)(sizeof(scenes) / sizeof(*scenes))
#define VARIANTS 4

/* What all calls answered, what is left at the end, and the exact counts. */
typedef struct outcome {
	uint64_t answers[1 + OPS_MAX];
	uint64_t left[NAMES];
	uint64_t admitted, full;
} outcome;

static struct stage {
	uint64_t variant; /* other hashes: keys lie elsewhere in their sets */
	const scene *scene;
	pmz_keyed *table;
	pmz_rate rate;
	uint32_t keys[NAMES], next_key;
	outcome outcome;
	uint64_t granted[NAMES];

	int watching; /* the call that is to be cut is on its way */
	long cut_at;  /* one of its atomics, from 0 */
	long atomics; /* so far */
	int dies;     /* it does not come back */
	jmp_buf grave;
	int at_store;   /* where it was cut, and whether its turn was taken */
	int turn_taken; /* away meanwhile */
} s;

static op op_at(const char *text)
{
	op o = { .name = text[0] == 'K'   ? 0
		         : text[0] == 'L' ? 1
		                          : 2,
		 .verb = text[1],
		 .n = (uint64_t)(text[2] - '0'),
		 .now = N + (pmz_ns)(text[4] - '0') * T };

	return o;
}

static int ops_in(const char *text)
{
	return (int)((strlen(text) + 1) / OP_LENGTH);
}

/* Who is refused is told when to return, never that it is for ever. */
static uint64_t take(const op *o, const uint32_t *key)
{
	pmz_ns ready = 0;
	int status = pmz_keyed_take(s.table, &s.rate, key, sizeof(*key), o->n,
	                            o->now, &ready);

	if (status == PMZ_OK)
		s.granted[o->name] += o->n;
	else if (ready < o->now || ready == PMZ_NEVER)
		ck_abort_msg("refused until %llu", (unsigned long long)ready);
	return (uint64_t)status;
}

static uint64_t run(const op *o)
{
	const uint32_t *key = &s.keys[o->name];

	if (o->verb == '-')
		return take(o, key);
	if (o->verb == '?')
		return pmz_keyed_left(s.table, &s.rate, key, sizeof(*key),
		                      o->now);
	pmz_keyed_refund(s.table, &s.rate, key, sizeof(*key), o->n, o->now,
	                 o->now);
	s.granted[o->name] -= o->n;
	return 0;
}

static uint64_t run_text(const char *text)
{
	op o = op_at(text);

	return run(&o);
}

static void run_between(int from, int to)
{
	int i;

	for (i = from; i < to && i < ops_in(s.scene->between); i++)
		s.outcome.answers[1 + i] =
			run_text(s.scene->between + (size_t)i * OP_LENGTH);
}

static uint64_t turn_of_the_cut(void)
{
	int name = op_at(s.scene->cut).name;
	uint64_t tag = tag_of(s.table, &s.keys[name], sizeof(*s.keys));

	return s.table->gates[first_set(s.table, tag)].turn.word;
}

static void before_atomic(int is_store)
{
	uint64_t turn;

	if (!s.watching || s.atomics++ != s.cut_at)
		return;
	s.watching = 0;
	if (s.dies)
		longjmp(s.grave, 1);
	turn = turn_of_the_cut();
	run_between(0, OPS_MAX);
	s.at_store = is_store;
	s.turn_taken = turn % 2 && turn_of_the_cut() != turn;
}

/* A number that no other key has, of that first set if there are two. */
static uint32_t key_in(uint64_t set)
{
	uint64_t of, tag;

	do {
		s.next_key++;
		tag = tag_of(s.table, &s.next_key, sizeof(s.next_key));
		of = first_set(s.table, tag);
	} while (s.table->sets > 1 && of != set);
	return s.next_key;
}

static void fill(uint32_t places)
{
	uint32_t i;

	for (i = 0; i < places; i++) {
		uint32_t key = key_in(i % 2);

		ck_assert_int_eq(pmz_keyed_take(s.table, &s.rate, &key,
		                                sizeof(key), 4, N + 4 * T,
		                                NULL),
		                 PMZ_OK);
	}
}

static void set_up(const scene *play)
{
	struct stage blank = { .variant = s.variant };
	pmz_keyed_config c = { .size = sizeof(c),
		               .keys_max = play->keys_max,
		               .hash_key = { 1, s.variant } };
	int i;

	s = blank;
	s.scene = play;
	ck_assert_int_eq(pmz_keyed_new(&s.table, &c, NULL), PMZ_OK);
	ck_assert_int_eq(pmz_rate_set(&s.rate, 1, T, BURST), PMZ_OK);
	for (i = 0; i < NAMES; i++)
		s.keys[i] = key_in((uint64_t)i % 2);
	fill(play->filled);
	for (i = 0; i < ops_in(play->before); i++)
		(void)run_text(play->before + (size_t)i * OP_LENGTH);
}

static void tear_down(void)
{
	pmz_keyed_free(s.table);
}

static void look_at_the_end(void)
{
	pmz_keyed_stats stats = { .size = sizeof(stats) };
	int name;

	for (name = 0; name < NAMES; name++)
		s.outcome.left[name] =
			pmz_keyed_left(s.table, &s.rate, &s.keys[name],
		                       sizeof(*s.keys), N + s.scene->end * T);
	ck_assert_int_eq(pmz_keyed_read(s.table, N, &stats), PMZ_OK);
	s.outcome.admitted = stats.admitted;
	s.outcome.full = stats.full;
}

/* The calls in a row, the one that is else cut after so many of the others. */
static outcome in_order(const scene *play, int position)
{
	outcome o;

	set_up(play);
	run_between(0, position);
	s.outcome.answers[0] = run_text(play->cut);
	run_between(position, OPS_MAX);
	look_at_the_end();
	o = s.outcome;
	tear_down();
	return o;
}

/* False once the call has no more atomics. */
static int cut_at(const scene *play, long atomic)
{
	int was_cut;

	set_up(play);
	s.cut_at = atomic;
	s.watching = 1;
	s.outcome.answers[0] = run_text(play->cut);
	was_cut = !s.watching;
	s.watching = 0;
	look_at_the_end();
	return was_cut;
}

static int is_one_of(const outcome *orders)
{
	int i, same = 0;

	for (i = 0; i < ORDERS; i++)
		same |= !memcmp(&s.outcome, &orders[i], sizeof(*orders));
	return same;
}

/* A call that slept so long that its turn was taken away, just after it had
 * looked: one take too many is granted then. */
static int is_excused(void)
{
	return s.at_store && s.turn_taken;
}

static void expect_one_take_too_many_at_most(void)
{
	uint64_t most = BURST + s.scene->end + op_at(s.scene->cut).n;
	int name;

	for (name = 0; name < NAMES; name++)
		ck_assert_uint_le(s.granted[name], most);
}

static void cut_everywhere(const scene *play)
{
	outcome orders[ORDERS];
	long atomic, excused = 0;
	int i;

	for (i = 0; i < ORDERS; i++)
		orders[i] = in_order(play, i);
	for (atomic = 0; cut_at(play, atomic); atomic++) {
		if (is_excused()) {
			expect_one_take_too_many_at_most();
			excused++;
		} else if (!is_one_of(orders)) {
			ck_abort_msg("%s cut at atomic %ld by %s", play->cut,
			             atomic, play->between);
		}
		tear_down();
	}
	tear_down();
	ck_assert_int_gt(atomic, 4);
	ck_assert_int_le(excused, 2);
}

START_TEST(wherever_a_call_is_cut_the_outcome_is_that_of_some_order)
{
	for (s.variant = 0; s.variant < VARIANTS; s.variant++)
		cut_everywhere(&scenes[_i]);
}
END_TEST

static uint64_t drain(int name, pmz_ns now)
{
	op one = { name, '-', 1, now };
	uint64_t n = 0;

	while (run(&one) == PMZ_OK)
		n++;
	return n;
}

/* How many fresh keys find a place. */
static uint32_t places_at(pmz_ns now)
{
	uint32_t n = 0, key;

	do {
		key = key_in(0);
		n++;
	} while (!pmz_keyed_take(s.table, &s.rate, &key, sizeof(key), 1, now,
	                         NULL));
	return n - 1;
}

static int dies_at(const scene *play, long atomic)
{
	set_up(play);
	s.cut_at = atomic;
	s.dies = 1;
	s.watching = 1;
	if (setjmp(s.grave))
		return 1;
	(void)run_text(play->cut);
	s.watching = 0;
	return 0;
}

/* Its own entry may be lost with it, but no more than that one. */
static void expect_a_table_that_works(const scene *play)
{
	const pmz_ns later = N + 100 * T, latest = N + 200 * T;
	op dead = op_at(play->cut);
	uint32_t places = play->filled ? 2 * SET_SIZE : play->keys_max;
	uint64_t most = BURST + (dead.now - N) / T, got;

	if (dead.verb == '+')
		most += dead.n;
	got = s.granted[dead.name] + drain(dead.name, dead.now);
	ck_assert_uint_le(got, most);
	got = drain(dead.name, later);
	ck_assert(got == BURST || (got == 0 && places == 1));
	ck_assert_uint_ge(places_at(latest), places - 1);
}

static void die_everywhere(const scene *play)
{
	long atomic;

	for (atomic = 0; dies_at(play, atomic); atomic++) {
		expect_a_table_that_works(play);
		tear_down();
	}
	tear_down();
	ck_assert_int_gt(atomic, 4);
}

START_TEST(whoever_dies_in_a_call_leaves_a_table_that_works)
{
	for (s.variant = 0; s.variant < VARIANTS; s.variant++)
		die_everywhere(&scenes[_i]);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("keyed, cut");
	TCase *tc = tcase_create("one call in another");
	SRunner *runner;
	int failed;

	tcase_add_loop_test(
		tc, wherever_a_call_is_cut_the_outcome_is_that_of_some_order, 0,
		SCENES);
	tcase_add_loop_test(tc,
	                    whoever_dies_in_a_call_leaves_a_table_that_works, 0,
	                    SCENES);
	tcase_set_timeout(tc, 120);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
