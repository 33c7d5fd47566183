/*
 * keyed.cc - the table of buckets: a key has one, and one that is evicted takes
 * nothing along, and leaves behind that it was there.
 */
#include <pipemaze/bucket.h>

#include "search.h"

static const pmz_ns START = PMZ_S(100), LATER = START + PMZ_S(1);

static pmz_keyed *table;
static pmz_rate rate;
static unsigned granted;

/* One token a second, and no more at once. */
static void begin(uint32_t keys_max)
{
	pmz_keyed_config cfg = {};

	cfg.size = sizeof(cfg);
	cfg.keys_max = keys_max;
	cfg.hash_key[0] = 1;
	granted = 0;
	must(pmz_rate_set(&rate, 1, PMZ_S(1), 1) == PMZ_OK, "it is a rate");
	must(pmz_keyed_new(&table, &cfg, NULL) == PMZ_OK, "it is made");
}

static int take(const char *key, pmz_ns now)
{
	int status = pmz_keyed_take(table, &rate, key, 1, 1, now, NULL);

	granted += status == PMZ_OK;
	return status == PMZ_OK;
}

static void begin_with_room()
{
	begin(2);
}

static void take_the_same(unsigned)
{
	take("a", START);
}

static void one_is_granted()
{
	must(granted == 1, "one is granted");
}

static void take_the_same_and_another(unsigned thread)
{
	take(thread == 2 ? "b" : "a", START);
}

static void each_key_is_granted_one()
{
	must(granted == 2, "each key is granted one");
}

/* One place, and its key is about to be as good as absent. */
static void begin_with_a_key_there()
{
	begin(1);
	must(take("a", START), "it is new");
	granted = 0;
}

static void take_or_evict(unsigned thread)
{
	take(thread ? "b" : "a", LATER);
}

/* Takes another's place and then the token back: its tat is the old one. */
static void take_or_evict_and_refund(unsigned thread)
{
	if (!thread)
		take("a", LATER);
	else if (take("b", LATER))
		pmz_keyed_refund(table, &rate, "b", 1, 1, LATER, LATER);
}

static void the_other_lost_nothing()
{
	must(pmz_keyed_left(table, &rate, "b", 1, LATER) == 1,
	     "the other key has its token");
}

static int is_there(const char *key, pmz_ns now)
{
	return pmz_keyed_left(table, &rate, key, 1, now) > 0;
}

/* By a clock that is behind, while its place goes to another key. */
static void take_early_or_evict(unsigned thread)
{
	if (thread)
		must(take("b", LATER), "there is a place for another");
	else
		must(!is_there("a", START), "it has taken its token");
}

static void to_forget_is_not_to_refill()
{
	must(!is_there("a", START), "it is not refilled");
	must(!take("b", LATER), "nor is the other");
}

/* Two places, whose keys are about to be as good as absent, one of them later
 * than the other. */
static void begin_with_two_keys_there()
{
	begin(2);
	must(take("a", START), "it is new");
	must(take("c", LATER - 1), "and so is another");
	granted = 0;
}

static void evict_both(unsigned thread)
{
	must(take(thread ? "b" : "d", LATER + PMZ_S(1)), "there is a place");
}

static void neither_is_refilled()
{
	must(!is_there("a", START), "it is not refilled");
	must(!is_there("c", LATER - 1), "nor is the one that came later");
	must(!take("b", LATER + PMZ_S(1)) && !take("d", LATER + PMZ_S(1)),
	     "and both that came have what they took");
}

#define TRIED_AT_RANDOM 5000

const struct check checks[] = {
	{ "two who bring a key make one bucket", 2, BOUND, 1, begin_with_room,
	  take_the_same, one_is_granted },
	{ "two who bring a key make one bucket", 2, RANDOM, TRIED_AT_RANDOM,
	  begin_with_room, take_the_same, one_is_granted },
	{ "new keys are apart", 3, RANDOM, TRIED_AT_RANDOM, begin_with_room,
	  take_the_same_and_another, each_key_is_granted_one },
	{ "a place is its key's or the next one's", 2, BOUND, 2,
	  begin_with_a_key_there, take_or_evict, one_is_granted },
	{ "a place is its key's or the next one's", 2, RANDOM, TRIED_AT_RANDOM,
	  begin_with_a_key_there, take_or_evict, one_is_granted },
	{ "a take takes from its own key", 2, BOUND, 1, begin_with_a_key_there,
	  take_or_evict_and_refund, the_other_lost_nothing },
	{ "a take takes from its own key", 2, RANDOM, TRIED_AT_RANDOM,
	  begin_with_a_key_there, take_or_evict_and_refund,
	  the_other_lost_nothing },
	{ "to forget a key is not to refill it", 2, BOUND, 2,
	  begin_with_a_key_there, take_early_or_evict,
	  to_forget_is_not_to_refill },
	{ "to forget a key is not to refill it", 2, RANDOM, TRIED_AT_RANDOM,
	  begin_with_a_key_there, take_early_or_evict,
	  to_forget_is_not_to_refill },
	{ "two who come evict two", 2, BOUND, 1, begin_with_two_keys_there,
	  evict_both, neither_is_refilled },
	{ "two who come evict two", 2, RANDOM, TRIED_AT_RANDOM,
	  begin_with_two_keys_there, evict_both, neither_is_refilled },
};
const size_t checks_count = sizeof(checks) / sizeof(*checks);
const unsigned words_max = 80;
