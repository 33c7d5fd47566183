/*
 * turns.c - the turns of the round robin: a cycle in which each member has as
 * many as its weight says, as evenly apart as can be.
 *
 * It is dealt out once for each change, so that a pick is only a ticket.
 * Weights are divided by what they have in common; those whose cycle is still
 * too long get what comes nearest to them, and each at least one turn.
 */
#include "core/balance.h"

/* What a writer may take to deal a cycle out: some ms. */
#define STEPS_MAX ((uint64_t)1 << 22)
#define TURNS_A_MEMBER 4 /* there is time for so many in any case */

static uint64_t common_divisor(uint64_t a, uint64_t b)
{
	while (b) {
		uint64_t rest = a % b;

		a = b;
		b = rest;
	}
	return a;
}

/* How many turns each has in a cycle; returns how many those are in all. */
static uint64_t share_out(pmz_balance *b, const pmz__roster *r, uint64_t count,
                          uint64_t weight)
{
	uint64_t most =
		pmz__min(PMZ__TURNS_MAX,
	                 pmz__max(count * TURNS_A_MEMBER, STEPS_MAX / count));
	uint64_t divisor = 0, cycle = 0, i;

	for (i = 0; i < count; i++)
		divisor = common_divisor(pmz__weight_at(r, i), divisor);
	for (i = 0; i < count; i++) {
		uint64_t turns = pmz__weight_at(r, i) / divisor;

		if (weight / divisor > most)
			turns = pmz__max(pmz__weight_at(r, i) * (most - count) /
			                         weight,
			                 1);
		b->shares[i].turns = turns;
		b->shares[i].credit = 0;
		cycle += turns;
	}
	return cycle;
}

/* Smooth, as nginx does it: at each turn all get their share as credit, and the
 * richest has the turn and pays the cycle. */
static uint64_t richest(const pmz_balance *b, uint64_t count)
{
	uint64_t best = 0, i;

	for (i = 0; i < count; i++) {
		b->shares[i].credit += (int64_t)b->shares[i].turns;
		if (b->shares[i].credit > b->shares[best].credit)
			best = i;
	}
	return best;
}

void pmz__turns_deal(pmz_balance *b, pmz__roster *r, uint64_t count,
                     uint64_t weight)
{
	uint64_t cycle = share_out(b, r, count, weight), turn;

	for (turn = 0; turn < cycle; turn++) {
		uint64_t next = richest(b, count);

		b->shares[next].credit -= (int64_t)cycle;
		pmz__store(&r->turns[turn], (uint32_t)next, PMZ__RELEASE);
	}
	pmz__store(&r->cycle, cycle, PMZ__RELEASE);
}
