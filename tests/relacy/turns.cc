/*
 * turns.cc - the table of buckets where nobody has patience: a turn is taken
 * away as soon as it is waited for, so that two who bring keys are at it at
 * once. What holds then hangs on no turn.
 */
#include <pipemaze/bucket.h>

#include "search.h"

static const pmz_ns START = PMZ_S(100), LATER = START + PMZ_S(1);
static const pmz_ns LAST = LATER + PMZ_S(1);

static pmz_keyed *table;
static pmz_rate rate;
static int status[3];

/* One token a second, and no more at once. */
static void begin(uint32_t keys_max)
{
	pmz_keyed_config cfg = {};

	cfg.size = sizeof(cfg);
	cfg.keys_max = keys_max;
	cfg.hash_key[0] = 1;
	must(pmz_rate_set(&rate, 1, PMZ_S(1), 1) == PMZ_OK, "it is a rate");
	must(pmz_keyed_new(&table, &cfg, NULL) == PMZ_OK, "it is made");
}

static int take(const char *key, pmz_ns now)
{
	return pmz_keyed_take(table, &rate, key, 1, 1, now, NULL) == PMZ_OK;
}

static void begin_with_a_place()
{
	begin(1);
}

static void begin_with_a_key_there()
{
	begin(1);
	must(take("x", START), "it is new");
}

static void begin_with_two_places()
{
	begin(2);
	must(take("x", START), "it is new");
	must(take("y", START), "and so is another");
}

static const char *const keys[] = { "a", "b", "c" };

static void take_the_place(unsigned thread)
{
	status[thread] = take(keys[thread], LATER);
}

static void one_has_the_place()
{
	must(status[0] + status[1] == 1, "one is granted");
	must(!take("a", LATER) && !take("b", LATER), "and has its place");
	must(take("c", LAST), "which is not lost");
}

/* Whether the second finds a place hangs on when it looks. */
static void each_has_a_place_or_none()
{
	must(status[0] + status[1] >= 1, "one is granted");
	must(!status[0] || !take("a", LATER), "one who was has its place");
	must(!status[1] || !take("b", LATER), "and so has the other");
	must(take("c", LAST) && take("d", LAST), "and no place is lost");
}

static void take_one_key(unsigned thread)
{
	status[thread] = take("a", LATER);
}

/* One who sleeps behind its last look at the turn may leave a key with two. */
static void one_at_least_is_granted()
{
	must(status[0] + status[1] >= 1, "one is granted");
	must(take("c", LAST) && take("d", LAST), "and no place is lost");
}

#define TRIED_AT_RANDOM 5000

const struct check checks[] = {
	{ "a place has one owner, whoever has the turn", 2, BOUND, 1,
	  begin_with_a_key_there, take_the_place, one_has_the_place },
	{ "a place has one owner, whoever has the turn", 2, RANDOM,
	  TRIED_AT_RANDOM, begin_with_a_place, take_the_place,
	  one_has_the_place },
	{ "two keys get two places", 2, BOUND, 1, begin_with_two_places,
	  take_the_place, each_has_a_place_or_none },
	{ "two keys get two places", 2, RANDOM, TRIED_AT_RANDOM,
	  begin_with_two_places, take_the_place, each_has_a_place_or_none },
	{ "who loses its turn loses no place", 2, BOUND, 1,
	  begin_with_two_places, take_one_key, one_at_least_is_granted },
};
const size_t checks_count = sizeof(checks) / sizeof(*checks);
const unsigned words_max = 80;
