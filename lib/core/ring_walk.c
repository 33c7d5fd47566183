/*
 * ring_walk.c - from node to node of a key, past those that are down.
 *
 * A walk begins where the shape's own search ends and goes on in the layout's
 * order, so that a node marked down and up again gives its keys to the same
 * others and takes back the same. A layout may leave a light node without a
 * point or a slot; such nodes come last, and if only they are up they have all
 * keys.
 */
#include "core/ring.h"

#include "base/random.h"

/* How often a lookup goes round while marks change under it. In a single round
 * it can miss the one node that is up, if it passes this before that comes up
 * and the other after it went down. */
#define ROUNDS_MAX 16

/* A key's shards after its first are drawn: so often that most come up, before
 * the rest is gone through by number. */
#define DRAWS_PER_SHARD 4

pmz__walk pmz__walk_from(const pmz_ring *r, uint64_t hash)
{
	pmz__walk w;

	w.ring = r;
	w.hash = hash;
	w.tried = 0;
	w.at = 0;
	w.left = 0;
	w.rest = r->usable;
	if (!r->usable)
		return w;
	switch (r->shape) {
	case PMZ__CIRCLE:
		w.at = pmz__circle_find(&r->as.circle, hash);
		w.left = r->as.circle.count;
		break;
	case PMZ__SLOTS:
		w.at = pmz__slots_find(&r->as.slots, hash);
		w.left = r->as.slots.count;
		break;
	case PMZ__SHARDS:
		w.left = r->count * DRAWS_PER_SHARD;
		break;
	default:
		w.left = r->as.scores.count;
	}
	return w;
}

/* Where a walk that goes round stands; it takes one step on. */
static uint32_t step(pmz__walk *w, uint32_t count)
{
	uint32_t at = w->at < count ? w->at : 0;

	w->at = at + 1;
	return at;
}

static uint32_t next_shard(pmz__walk *w)
{
	uint64_t hash = w->tried++ ? pmz__draw(&w->hash) : w->hash;

	return pmz_jump(hash, w->ring->count);
}

static uint32_t next_score(pmz__walk *w)
{
	const pmz__scores *s = &w->ring->as.scores;
	uint32_t best = pmz__scores_best(s, w->hash, w->tried);

	w->tried |= (uint64_t)1 << best;
	return s->list[best].node;
}

/* Those that the layout may have left out. */
static uint32_t next_of_all(pmz__walk *w)
{
	const pmz_ring *r = w->ring;
	uint32_t from = (uint32_t)pmz__mul_high(pmz__mix(w->hash), r->usable);
	uint32_t past = r->usable - w->rest--;

	return r->order[past < r->usable - from ? from + past
	                                        : past - (r->usable - from)];
}

uint32_t pmz__walk_next(pmz__walk *w)
{
	const pmz_ring *r = w->ring;

	if (!w->left)
		return w->rest ? next_of_all(w) : PMZ__NO_NODE;
	w->left--;
	switch (r->shape) {
	case PMZ__CIRCLE:
		return pmz__circle_owner(&r->as.circle,
		                         step(w, r->as.circle.count));
	case PMZ__SLOTS:
		return r->as.slots.owners[step(w, r->as.slots.count)];
	case PMZ__SHARDS:
		return next_shard(w);
	default:
		return next_score(w);
	}
}

int pmz__walk_find(const pmz_ring *r, uint64_t hash, uint32_t *node)
{
	int round;

	for (round = 0; round < ROUNDS_MAX && pmz__nodes_up(r); round++) {
		pmz__walk w = pmz__walk_from(r, hash);

		do {
			*node = pmz__walk_next(&w);
		} while (*node != PMZ__NO_NODE && pmz__is_down(r, *node));
		if (*node != PMZ__NO_NODE)
			return PMZ_OK;
	}
	return PMZ_REFUSED_EMPTY;
}
