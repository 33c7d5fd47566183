/*
 * tables.cc - the balancer's tables: nobody walks a ring that was freed, or one
 * whose making is not over.
 *
 * Tables, members and picks are the library's; the rings here are not. One
 * would be some 10^4 words, of which no thread writes any: so a ring is one
 * number of plain memory, which making and freeing write and walking reads.
 */
#include <pipemaze/balance.h>
#include <pipemaze/ring.h>

#include "search.h"

extern "C" {
#include "base/alloc.h"
#include "core/ring.h"
}

static unsigned rings;
static pmz_balance *balance;
static uint32_t endpoints[2];
static int status[2];

int pmz_ring_new(pmz_ring **out, const pmz_ring_config *, const pmz_node *,
                 size_t count, pmz_why *)
{
	pmz_ring *ring = static_cast<pmz_ring *>(pmz__alloc(sizeof(*ring)));

	must(rings < PLAIN_MAX, "there is a number left");
	ring->usable = rings++;
	ring->count = static_cast<uint32_t>(count);
	write_plain(ring->usable);
	*out = ring;
	return PMZ_OK;
}

void pmz_ring_free(pmz_ring *ring)
{
	if (!ring)
		return;
	write_plain(ring->usable);
	ring->count = 0;
	pmz__free(ring);
}

pmz__walk pmz__walk_from(const pmz_ring *ring, uint64_t)
{
	pmz__walk w = {};

	read_plain(ring->usable);
	must(ring->count, "it was not freed");
	w.ring = ring;
	return w;
}

uint32_t pmz__walk_next(pmz__walk *w)
{
	read_plain(w->ring->usable);
	must(w->ring->count, "it was not freed");
	return 0;
}

static void begin()
{
	pmz_balance_config cfg = {};

	rings = 0;
	cfg.size = sizeof(cfg);
	cfg.strategy = PMZ_MAGLEV_KEY;
	cfg.endpoints_max = 2;
	must(pmz_balance_new(&balance, &cfg, NULL) == PMZ_OK, "it is made");
	must(pmz_balance_add(balance, "a", 1, 0, &endpoints[0]) == PMZ_OK &&
	             pmz_balance_add(balance, "b", 1, 0, &endpoints[1]) ==
	                     PMZ_OK,
	     "both are added");
}

static void pick()
{
	pmz_wish wish = {};
	pmz_pick picked;

	wish.size = sizeof(wish);
	wish.hash = 1;
	must(pmz_balance_pick(balance, &wish, 0, &picked) == PMZ_OK,
	     "one is picked");
	must(picked.endpoint <= endpoints[1], "it is one of them");
	pmz_balance_settle(balance, &picked, PMZ_SUCCESS, 0);
}

/* The second change frees the ring that was in force before the first. */
static void pick_or_change(unsigned thread)
{
	if (thread) {
		pick();
		return;
	}
	status[0] = pmz_balance_weight(balance, endpoints[0], 2, 0);
	status[1] = pmz_balance_weight(balance, endpoints[0], 3, 0);
}

static void it_was_changed()
{
	must(status[0] == PMZ_OK && status[1] == PMZ_OK, "it was changed");
	pick();
}

#define TRIED_AT_RANDOM 10000

const struct check checks[] = {
	{ "nobody walks a freed ring", 2, BOUND, 2, begin, pick_or_change,
	  it_was_changed },
	{ "nobody walks a freed ring", 2, RANDOM, TRIED_AT_RANDOM, begin,
	  pick_or_change, it_was_changed },
	{ "nor do two", 3, RANDOM, TRIED_AT_RANDOM, begin, pick_or_change,
	  it_was_changed },
};
const size_t checks_count = sizeof(checks) / sizeof(*checks);
const unsigned words_max = 1024;
