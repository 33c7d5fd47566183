/*
 * ring_slots.c - Maglev's table: each node claims slots in an order of its own.
 *
 * Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load
 * Balancer", NSDI 2016, section 3.4. In each round every node takes the first
 * free slot of its permutation, those that weigh less than the heaviest in some
 * rounds only. All of them have a turn in the first round, so none is left
 * without a slot. Rounds are counted in whole weights; for Envoy's layout in
 * sums of doubles, as it does, whose rounding can put a turn one round later.
 */
#include "core/ring.h"

#include <string.h>

#include "base/alloc.h"
#include "core/ring_hash.h"

static int has_turn(pmz__claimant *c, uint32_t round, double most)
{
	double earned = round * c->share;

	if (earned < c->reserved)
		return 0;
	c->reserved = c->reserved + most;
	return 1;
}

static int has_exact_turn(pmz__claimant *c, uint32_t heaviest)
{
	c->credit += c->weight;
	if (c->credit < 0)
		return 0;
	c->credit -= heaviest;
	return 1;
}

static void claim(pmz__slots *s, pmz__claimant *c)
{
	while (s->owners[c->next] != PMZ__NO_NODE) {
		c->next += c->skip;
		if (c->next >= s->count)
			c->next -= s->count;
	}
	s->owners[c->next] = c->node;
}

void pmz__slots_fill(pmz__slots *s, pmz__claimant *claimants, uint32_t count,
                     int exact)
{
	uint32_t round, i, filled = 0, heaviest = 0;
	double most = 0;

	memset(s->owners, 0xff, s->count * sizeof(*s->owners));
	for (i = 0; i < count; i++) {
		heaviest = (uint32_t)pmz__max(heaviest, claimants[i].weight);
		if (claimants[i].share > most)
			most = claimants[i].share;
	}
	/* The heaviest has a turn in each round, so a round fills a slot. */
	for (round = 1; count && filled < s->count; round++)
		for (i = 0; i < count && filled < s->count; i++) {
			pmz__claimant *c = &claimants[i];

			if (exact ? has_exact_turn(c, heaviest)
			          : has_turn(c, round, most)) {
				claim(s, c);
				filled++;
			}
		}
}

static uint32_t rest_of(pmz__label label, uint64_t seed, uint32_t size)
{
	return (uint32_t)(pmz__xxh64(label.bytes, label.len, seed) % size);
}

static pmz__claimant claimant_of(const pmz__plan *plan, uint32_t node)
{
	pmz__label label = pmz__plan_label(plan, node);
	uint32_t size = plan->cfg.table_size;
	pmz__claimant c;

	memset(&c, 0, sizeof(c));
	c.node = node;
	c.next = rest_of(label, 0, size);
	c.skip = rest_of(label, 1, size - 1) + 1;
	c.weight = plan->nodes[node].weight;
	c.share = (double)c.weight / (double)plan->weight;
	return c;
}

int pmz__slots_make(pmz__slots *s, const pmz__plan *plan, pmz_why *why)
{
	int exact = plan->cfg.layout == PMZ_RING_MAGLEV;
	pmz__claimant *claimants;
	uint32_t i;

	s->count = plan->cfg.table_size;
	s->inverse = exact ? 0 : UINT64_MAX / s->count;
	s->owners = (uint32_t *)pmz__alloc(s->count * sizeof(*s->owners));
	claimants =
		(pmz__claimant *)pmz__alloc(plan->count * sizeof(*claimants));
	if (!s->owners || !claimants) {
		pmz__free(claimants);
		return pmz__why(why, PMZ_E_NOMEM);
	}
	for (i = 0; i < plan->usable; i++)
		claimants[i] = claimant_of(plan, plan->order[i]);
	pmz__slots_fill(s, claimants, plan->usable, exact);
	pmz__free(claimants);
	return PMZ_OK;
}

void pmz__slots_free(pmz__slots *s)
{
	pmz__free(s->owners);
}
