/*
 * rosters.cc - the balancer's members while some pick and one writes: someone
 * who is there is found, and a number is given on when nothing of it is out.
 */
#include <pipemaze/balance.h>

#include "no_rings.h"
#include "search.h"

static const pmz_ns START = PMZ_S(100);

static pmz_balance *balance;
static uint32_t first, second, third;
static int added;
static unsigned picked_third; /* so often */

static void begin()
{
	pmz_balance_config cfg = {};

	cfg.size = sizeof(cfg);
	cfg.strategy = PMZ_LEAST;
	cfg.endpoints_max = 2;
	cfg.eject_max_pct = PMZ_OFF;
	added = PMZ_E_STATE;
	picked_third = 0;
	must(pmz_balance_new(&balance, &cfg, NULL) == PMZ_OK, "it is made");
	must(pmz_balance_add(balance, "a", 1, START, &first) == PMZ_OK,
	     "it is added");
}

static void begin_with_two()
{
	begin();
	must(pmz_balance_add(balance, "b", 1, START, &second) == PMZ_OK,
	     "and so is another");
}

/* Rather another than the first. */
static void pick_and_fail()
{
	const uint64_t generation = (uint64_t)0xff << 16;
	pmz_wish wish = {};
	pmz_pick picked;

	wish.size = sizeof(wish);
	wish.avoid = &first;
	wish.avoid_count = 1;
	must(pmz_balance_pick(balance, &wish, START, &picked) == PMZ_OK,
	     "someone is there");
	picked_third += picked.endpoint != first &&
	                (picked.opaque[1] & generation) == 2 << 16;
	must(pmz_balance_settle(balance, &picked, PMZ_FAILURE, START) == PMZ_OK,
	     "its number was kept");
}

static pmz_endpoint_stats stats(uint32_t endpoint)
{
	pmz_endpoint_stats s = {};

	s.size = sizeof(s);
	must(pmz_balance_read(balance, endpoint, START, &s) == PMZ_OK,
	     "it is read");
	return s;
}

static void pick_or_add(unsigned thread)
{
	if (thread)
		return pick_and_fail();
	must(pmz_balance_add(balance, "b", 1, START, &second) == PMZ_OK,
	     "there is a number");
}

static void all_that_was_picked_is_back()
{
	pmz_endpoint_stats a = stats(first), b = stats(second);

	must(a.in_flight + b.in_flight == 0, "nothing is out");
	must(a.picks + b.picks == 1, "there was one call");
}

/* Two changes, so that both copies of the roster are written. */
static void pick_or_replace(unsigned thread)
{
	if (thread)
		return pick_and_fail();
	must(pmz_balance_remove(balance, second, START) == PMZ_OK,
	     "it is removed");
	added = pmz_balance_add(balance, "c", 1, START, &third);
}

static void the_new_one_has_its_own()
{
	pmz_endpoint_stats c;

	must(!stats(first).in_flight, "nothing is out");
	if (added != PMZ_OK) {
		must(!picked_third, "it is not there");
		must(pmz_balance_add(balance, "c", 1, START, &third) == PMZ_OK,
		     "its number is free at last");
	}
	c = stats(third);
	must(third == second && !c.in_flight, "it has the number");
	must(c.picks == picked_third && c.failures == picked_third,
	     "and only what it was picked for");
}

#define TRIED_AT_RANDOM 5000

const struct check checks[] = {
	{ "who picks beside a newcomer finds someone", 2, BOUND, 2, begin,
	  pick_or_add, all_that_was_picked_is_back },
	{ "who picks beside a newcomer finds someone", 2, RANDOM,
	  TRIED_AT_RANDOM, begin, pick_or_add, all_that_was_picked_is_back },
	{ "a number is given on when its calls are over", 2, BOUND, 2,
	  begin_with_two, pick_or_replace, the_new_one_has_its_own },
	{ "a number is given on when its calls are over", 2, RANDOM,
	  TRIED_AT_RANDOM, begin_with_two, pick_or_replace,
	  the_new_one_has_its_own },
	{ "also when two pick", 3, RANDOM, TRIED_AT_RANDOM, begin_with_two,
	  pick_or_replace, the_new_one_has_its_own },
};
const size_t checks_count = sizeof(checks) / sizeof(*checks);
const unsigned words_max = 2048;
