/*
 * ring.c - which node has this key: the lookup, what it passes over, and marks.
 *
 * While every node is up, a lookup is the shape's own search. Otherwise it
 * walks on from what that finds to the first node that is up, so that a node
 * marked down and up again gives its keys to the same others and takes back the
 * same. A layout may leave a light node without a point or a slot; if only such
 * nodes are up, the keys go to them nevertheless.
 */
#include "core/ring.h"

#include "base/random.h"
#include "core/ring_hash.h"

/* How often a lookup goes round while marks change under it. In a single round
 * it can miss the one node that is up, if it passes this before that comes up
 * and the other after it went down. */
#define ROUNDS_MAX 16

/* A key's shards after its first are drawn: so often that most come up, before
 * the rest is gone through by number. */
#define DRAWS_PER_SHARD 4

pmz__shape pmz__shape_of(uint32_t layout)
{
	switch (layout) {
	case PMZ_RING_MAGLEV:
	case PMZ_RING_ENVOY_MAGLEV:
		return PMZ__SLOTS;
	case PMZ_RING_JUMP:
		return PMZ__SHARDS;
	case PMZ_RING_RENDEZVOUS:
		return PMZ__SCORES;
	default:
		return PMZ__CIRCLE;
	}
}

static uint32_t first_node(const pmz_ring *r, uint64_t hash)
{
	const pmz__circle *circle = &r->as.circle;
	const pmz__slots *slots = &r->as.slots;
	const pmz__scores *scores = &r->as.scores;

	switch (r->shape) {
	case PMZ__CIRCLE:
		return pmz__circle_owner(circle,
		                         pmz__circle_find(circle, hash));
	case PMZ__SLOTS:
		return slots->owners[pmz__slots_find(slots, hash)];
	case PMZ__SHARDS:
		return pmz_jump(hash, r->count);
	default:
		return scores->list[pmz__scores_best(scores, hash, 0)].node;
	}
}

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

static uint32_t nodes_up(const pmz_ring *r)
{
	/* Acquire: pairs with the subtraction in mark(), for its swap. */
	return pmz__load(&r->ups, PMZ__ACQUIRE);
}

static int find_up(const pmz_ring *r, uint64_t hash, uint32_t *node)
{
	int round;

	for (round = 0; round < ROUNDS_MAX && nodes_up(r); round++) {
		pmz__walk w = pmz__walk_from(r, hash);

		do {
			*node = pmz__walk_next(&w);
		} while (*node != PMZ__NO_NODE && pmz__is_down(r, *node));
		if (*node != PMZ__NO_NODE)
			return PMZ_OK;
	}
	return PMZ_REFUSED_EMPTY;
}

static int find(const pmz_ring *r, uint64_t hash, uint32_t *node)
{
	PMZ__ASSERT(r && node);
	/* Relaxed: who has not heard of a mark yet may look up as before it. */
	if (PMZ__UNLIKELY(pmz__load(&r->downs, PMZ__RELAXED)))
		return find_up(r, hash, node);
	*node = first_node(r, hash);
	return PMZ_OK;
}

static uint64_t hash_of(const pmz_ring *r, const void *key, size_t len)
{
	PMZ__ASSERT(r);
	PMZ__ASSERT(key || !len);
	switch (r->layout) {
#if PMZ_KETAMA
	case PMZ_RING_KETAMA:
	case PMZ_RING_LIBMEMCACHED:
	case PMZ_RING_SPYMEMCACHED:
		return pmz__md5(key, len);
#endif
	case PMZ_RING_NGINX:
		return (uint32_t)~pmz__crc_more(PMZ__CRC_START, key, len);
	default:
		return pmz__xxh64(key, len, 0);
	}
}

uint64_t pmz_ring_hash(const pmz_ring *r, const void *key, size_t len)
{
	return hash_of(r, key, len);
}

int pmz_ring_find_hash(const pmz_ring *r, uint64_t hash, uint32_t *node)
{
	return find(r, hash, node);
}

int pmz_ring_find(const pmz_ring *r, const void *key, size_t len,
                  uint32_t *node)
{
	return find(r, hash_of(r, key, len), node);
}

static int is_in(const uint32_t *nodes, size_t count, uint32_t node)
{
	size_t i;

	for (i = 0; i < count; i++)
		if (nodes[i] == node)
			return 1;
	return 0;
}

/* Takes a node that is up and was not taken yet; how many there are then. */
static size_t take(const pmz_ring *r, uint32_t node, uint32_t *nodes,
                   size_t count)
{
	if (pmz__is_down(r, node) || is_in(nodes, count, node))
		return count;
	nodes[count] = node;
	return count + 1;
}

size_t pmz_ring_replicas(const pmz_ring *r, const void *key, size_t len,
                         uint32_t *nodes, size_t max)
{
	uint64_t hash = hash_of(r, key, len);
	pmz__walk w = pmz__walk_from(r, hash);
	size_t count = 0;

	PMZ__ASSERT(nodes || !max);
	max = (size_t)pmz__min(max, nodes_up(r));
	while (count < max) {
		uint32_t node = pmz__walk_next(&w);

		if (node == PMZ__NO_NODE)
			break;
		count = take(r, node, nodes, count);
	}
	return count;
}

/* The count that rises does so before the node changes sides, and the one that
 * falls after it: neither is ever too low, however many mark it at once. */
static void mark(pmz__member *m, uint32_t down, pmz__a32 *rises,
                 pmz__a32 *falls)
{
	uint32_t before;

	pmz__add(rises, 1, PMZ__RELAXED);
	/* Release: pairs with pmz__is_down(), for the marks made before, and
	 * for the count that rose. */
	before = pmz__swap(&m->down, down, PMZ__ACQ_REL);
	/* Release: pairs with nodes_up(). */
	pmz__sub(before == down ? rises : falls, 1, PMZ__RELEASE);
}

int pmz_ring_mark(pmz_ring *r, uint32_t node, int down)
{
	PMZ__ASSERT(r);
	if (node >= r->count || r->shape == PMZ__SHARDS)
		return PMZ_E_CONFIG;
	if (!r->members[node].weight)
		return PMZ_OK;
	if (down)
		mark(&r->members[node], 1, &r->downs, &r->ups);
	else
		mark(&r->members[node], 0, &r->ups, &r->downs);
	return PMZ_OK;
}
