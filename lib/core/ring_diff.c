/*
 * ring_diff.c - what share of all keys two rings place on different nodes.
 *
 * Two circles that hash keys alike are compared exactly, in one sweep over the
 * points of both; two tables whose slots are alike, slot by slot. Others are
 * asked for so many keys that the answer is good to about 500 ppm.
 */
#include "core/ring.h"

#include <string.h>

#define PPM 1000000
#define SAMPLES ((uint32_t)1 << 20)

/* Hashes are counted without so many bits: then a whole circle fits a word. */
#define GRAIN_BITS 8
#define CIRCLE ((uint64_t)1 << (64 - GRAIN_BITS))

/* One of the rings, seen from its end to its start. */
typedef struct sweep {
	const pmz_ring *ring;
	uint32_t left;  /* points or slots that are still to come */
	uint32_t owner; /* of the keys here */
} sweep;

typedef struct sweeps {
	sweep a, b;
	uint64_t differ;
} sweeps;

static int is_same(const pmz_ring *a, uint32_t of_a, const pmz_ring *b,
                   uint32_t of_b)
{
	return !strcmp(a->members[of_a].name, b->members[of_b].name);
}

/* What lies beyond the last point belongs to the first. */
static sweep sweep_of(const pmz_ring *r, uint32_t count)
{
	sweep s;

	s.ring = r;
	s.left = count;
	s.owner = r->order[0];
	(void)!pmz_ring_find_hash(r, 0, &s.owner);
	return s;
}

static void pass(sweep *s, uint32_t owner)
{
	s->left--;
	if (!pmz__is_down(s->ring, owner))
		s->owner = owner;
}

static void count(sweeps *s, uint64_t keys)
{
	if (!is_same(s->a.ring, s->a.owner, s->b.ring, s->b.owner))
		s->differ += keys;
}

/* The last hash that the next point has; 0 if none is to come. */
static uint64_t end_of_next(const sweep *s)
{
	const pmz__circle *c = &s->ring->as.circle;

	return s->left ? c->points[s->left - 1] | ~c->mask : 0;
}

static void pass_point(sweep *s, uint64_t end)
{
	if (s->left && end_of_next(s) == end)
		pass(s, pmz__circle_owner(&s->ring->as.circle, s->left - 1));
}

static uint64_t differ_in_circles(const pmz_ring *a, const pmz_ring *b)
{
	sweeps s;
	uint64_t from = UINT64_MAX;

	s.a = sweep_of(a, a->as.circle.count);
	s.b = sweep_of(b, b->as.circle.count);
	s.differ = 0;
	while (s.a.left || s.b.left) {
		uint64_t end = pmz__max(end_of_next(&s.a), end_of_next(&s.b));

		count(&s, (from - end) >> GRAIN_BITS);
		pass_point(&s.a, end);
		pass_point(&s.b, end);
		from = end;
	}
	count(&s, from >> GRAIN_BITS);
	return s.differ;
}

static uint64_t differ_in_slots(const pmz_ring *a, const pmz_ring *b)
{
	uint32_t slots = a->as.slots.count;
	sweeps s;

	s.a = sweep_of(a, slots);
	s.b = sweep_of(b, slots);
	s.differ = 0;
	while (s.a.left) {
		pass(&s.a, a->as.slots.owners[s.a.left - 1]);
		pass(&s.b, b->as.slots.owners[s.b.left - 1]);
		count(&s, 1);
	}
	return s.differ;
}

static uint64_t differ_in_samples(const pmz_ring *a, const pmz_ring *b)
{
	uint64_t differ = 0;
	uint32_t key;

	for (key = 0; key < SAMPLES; key++) {
		uint32_t in_a = a->order[0], in_b = b->order[0];

		(void)!pmz_ring_find(a, &key, sizeof(key), &in_a);
		(void)!pmz_ring_find(b, &key, sizeof(key), &in_b);
		differ += !is_same(a, in_a, b, in_b);
	}
	return differ;
}

/* The layouts that share a name here hash keys alike. */
static uint32_t key_hash_of(const pmz_ring *r)
{
	switch (r->layout) {
	case PMZ_RING_KETAMA:
	case PMZ_RING_LIBMEMCACHED:
	case PMZ_RING_SPYMEMCACHED:
		return PMZ_RING_KETAMA;
	case PMZ_RING_NGINX:
		return PMZ_RING_NGINX;
	default:
		return PMZ_RING_NATIVE;
	}
}

static int are_like_slots(const pmz_ring *a, const pmz_ring *b)
{
	return a->shape == PMZ__SLOTS && b->shape == PMZ__SLOTS &&
	       a->as.slots.count == b->as.slots.count &&
	       a->as.slots.inverse == b->as.slots.inverse;
}

static int are_like_circles(const pmz_ring *a, const pmz_ring *b)
{
	return a->shape == PMZ__CIRCLE && b->shape == PMZ__CIRCLE &&
	       key_hash_of(a) == key_hash_of(b);
}

/* To the nearest. */
static uint32_t ppm(uint64_t part, uint64_t whole)
{
	return (uint32_t)((pmz__mul_div(part, 2 * PPM, whole, 0) + 1) / 2);
}

uint32_t pmz_ring_diff_ppm(const pmz_ring *a, const pmz_ring *b)
{
	int a_is_up, b_is_up;

	PMZ__ASSERT(a && b);
	a_is_up = pmz__nodes_up(a) != 0;
	b_is_up = pmz__nodes_up(b) != 0;
	if (!a_is_up || !b_is_up)
		return a_is_up == b_is_up ? 0 : PPM;
	if (are_like_circles(a, b))
		return ppm(differ_in_circles(a, b), CIRCLE);
	if (are_like_slots(a, b))
		return ppm(differ_in_slots(a, b), a->as.slots.count);
	return ppm(differ_in_samples(a, b), SAMPLES);
}
