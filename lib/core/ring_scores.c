/*
 * ring_scores.c - rendezvous: of every node's score for a key the best wins.
 *
 * Weighted as in Schindelhauer and Schomaker, "Weighted Distributed Hash
 * Tables", SPAA 2005: a node's cost for a key is -ln(u) / weight, with u in (0,
 * 1] drawn from both, and the lowest of such costs falls to each node as often
 * as its weight says. A logarithm in floating point differs from one machine to
 * the next in its last bit, and with it where some key lives; so it is taken
 * here in whole numbers, and costs are compared crosswise without a division.
 */
#include "core/ring.h"

#include "base/alloc.h"
#include "base/random.h"
#include "core/ring_hash.h"

/* In parts of 2^-57, as a cost is: the largest is 64 ln 2, about 44. */
#define LN_2 UINT64_C(0x162e42fefa39ef3)

#define STEPS_BITS 5
#define STEPS (1 << STEPS_BITS)

/* -ln((STEPS + 1 + i) / (2 * STEPS)) in parts of 2^-57: by a unit test. */
static const uint64_t ln_steps[STEPS] = {
	0x15322e268678573u, 0x143d9ff2f923c4du, 0x135028ad9d8c85cu,
	0x1269621134db928u, 0x1188ee40f23ca66u, 0x10ae76e2d054fa4u,
	0x0fd9ac57bd24421u, 0x0f0a450d139366du, 0x0e3ffce3a2aa649u,
	0x0d7a94a92466e83u, 0x0cb9d1a189ab56eu, 0x0bfd7d1dec0a8dfu,
	0x0b45641f4e350a1u, 0x0a9157039c51ebeu, 0x09e1293b9998c1eu,
	0x0934b1089a6dc94u, 0x088bc74113f23dfu, 0x07e6471b2cecde6u,
	0x07440dfc99579edu, 0x06a4fb4f22b678eu, 0x0608f0595468f07u,
	0x056fd01ad50f6c8u, 0x04d97f2c0564059u, 0x0445e3a089f91efu,
	0x03b4e4ec7088d45u, 0x03266bcbab29311u, 0x029a622ba40fd59u,
	0x0210b316b3c740du, 0x01894aa149fb343u, 0x010415d89e74444u,
	0x008102b2c49ac24u, 0x000000000000000u,
};

/* -ln(1 - x) = x + x^2 / 2 + x^3 / 3 + ..., all in parts of 2^-63. For the x
 * below, under 2^-5, the ninth term is less than 2^-48. */
static uint64_t minus_ln_1_minus(uint64_t x)
{
	const uint64_t one = (uint64_t)1 << 63;
	uint64_t sum = one / 8;
	uint64_t k;

	for (k = 7; k; k--)
		sum = one / k + 2 * pmz__mul_high(sum, x);
	return 2 * pmz__mul_high(sum, x);
}

/* A hash over 2^64 as a power of a half, a step from a half to one, and how far
 * below that step's upper end, which may be 2^64. */
typedef struct fraction {
	uint64_t step, below;
	int halvings;
} fraction;

static fraction fraction_of(uint64_t hash)
{
	uint64_t scaled = hash ? hash : 1;
	fraction f;

	f.halvings = __builtin_clzll(scaled);
	scaled <<= f.halvings;
	f.step = scaled >> (63 - STEPS_BITS) & (STEPS - 1);
	f.below = ((STEPS + 1 + f.step) << (63 - STEPS_BITS)) - scaled;
	return f;
}

/* What it costs at least: as if it were at its step's upper end. */
static uint64_t least_cost(const fraction *f)
{
	return (uint64_t)f->halvings * LN_2 + ln_steps[f->step];
}

static uint64_t cost_of(const fraction *f)
{
	uint64_t x = (f->below << STEPS_BITS) / (STEPS + 1 + f->step);

	return least_cost(f) + (minus_ln_1_minus(x) >> 6);
}

uint64_t pmz__score_cost(uint64_t hash)
{
	fraction f = fraction_of(hash);

	return cost_of(&f);
}

typedef struct bid {
	uint64_t cost;
	uint32_t weight; /* 0: none yet, and above all */
	uint32_t place;
} bid;

/* cost / weight < than->cost / than->weight */
static int is_lower(uint64_t cost, uint32_t weight, const bid *than)
{
	pmz__wide left = pmz__mul(cost, than->weight);
	pmz__wide right = pmz__mul(than->cost, weight);

	if (!than->weight)
		return 1;
	return left.high != right.high ? left.high < right.high
	                               : left.low < right.low;
}

static void bid_for(bid *lowest, const pmz__score *s, uint64_t hash,
                    uint32_t place)
{
	fraction f = fraction_of(pmz__mix(hash ^ s->seed));
	uint64_t cost;

	/* Most are too high already without the logarithm's series. */
	if (!is_lower(least_cost(&f), s->weight, lowest))
		return;
	cost = cost_of(&f);
	if (!is_lower(cost, s->weight, lowest))
		return;
	lowest->cost = cost;
	lowest->weight = s->weight;
	lowest->place = place;
}

uint32_t pmz__scores_best(const pmz__scores *s, uint64_t hash, uint64_t tried)
{
	bid lowest = { 0, 0, 0 };
	uint32_t i;

	for (i = 0; i < s->count; i++)
		if (!(tried >> i & 1))
			bid_for(&lowest, &s->list[i], hash, i);
	return lowest.place;
}

int pmz__scores_make(pmz__scores *s, const pmz__plan *plan, pmz_why *why)
{
	uint32_t i;

	s->list = (pmz__score *)pmz__alloc(plan->count * sizeof(*s->list));
	if (!s->list)
		return pmz__why(why, PMZ_E_NOMEM);
	s->count = plan->usable;
	for (i = 0; i < plan->usable; i++) {
		uint32_t node = plan->order[i];
		pmz__label label = pmz__plan_label(plan, node);

		s->list[i].seed = pmz__xxh64(label.bytes, label.len, 0);
		s->list[i].weight = plan->nodes[node].weight;
		s->list[i].node = node;
	}
	return PMZ_OK;
}

void pmz__scores_free(pmz__scores *s)
{
	pmz__free(s->list);
}
