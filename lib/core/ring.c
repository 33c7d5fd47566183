/*
 * ring.c - which node has this key: the lookup, replicas and marks.
 *
 * While every node is up, a lookup is a circle's or a table's own search, with
 * no call in it; ring_walk.c has the rest.
 */
#include "core/ring.h"

#include "core/ring_hash.h"

static inline int find(const pmz_ring *r, uint64_t hash, uint32_t *node)
{
	const pmz__circle *circle = &r->as.circle;
	const pmz__slots *slots = &r->as.slots;

	PMZ__ASSERT(node);
	/* Relaxed: who has not heard of a mark yet may look up as before it. */
	if (PMZ__UNLIKELY(pmz__load(&r->downs, PMZ__RELAXED)))
		return pmz__walk_find(r, hash, node);
	switch (r->shape) {
	case PMZ__CIRCLE:
		*node = pmz__circle_owner(circle,
		                          pmz__circle_find(circle, hash));
		return PMZ_OK;
	case PMZ__SLOTS:
		*node = slots->owners[pmz__slots_find(slots, hash)];
		return PMZ_OK;
	default:
		return pmz__walk_find(r, hash, node);
	}
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
	PMZ__ASSERT(r);
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
	max = (size_t)pmz__min(max, pmz__nodes_up(r));
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
	/* Release: pairs with pmz__nodes_up(). */
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
