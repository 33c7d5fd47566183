/*
 * ring_circle.c - points in order, and a directory to where a hash's are.
 *
 * A point is one word: its hash in the high bits, and in the low ones its
 * owner, so that a search reads one array beside the directory. While the
 * points are sorted the low bits are the owner's place in the plan's order
 * instead, and so the order of the words is that by hash and name. Envoy's
 * points need all 64 bits for their hash, and have their owners in an array
 * beside them.
 *
 * The directory is as long as there are points, or up to twice that: most
 * hashes find their point in the first or second word they look at. Hashes that
 * are not spread make that longer, and nothing else.
 */
#include "core/ring.h"

#include <string.h>

#include "base/alloc.h"

#define PACKED_MASK (UINT64_MAX << PMZ__RING_BITS)
#define HALF_LIFT 32 /* of a 32-bit hash, to the top */

#define DIGIT_BITS 8
#define DIGITS (1 << DIGIT_BITS)
#define TOP_DIGIT (64 - DIGIT_BITS)
#define FEW_POINTS 24 /* below it, to insert is quicker than to deal */

static void swap(pmz__circle *c, uint32_t a, uint32_t b)
{
	uint64_t point = c->points[a];

	c->points[a] = c->points[b];
	c->points[b] = point;
	if (c->owners) {
		uint32_t owner = c->owners[a];

		c->owners[a] = c->owners[b];
		c->owners[b] = owner;
	}
}

static void insert_each(pmz__circle *c, uint32_t from, uint32_t end)
{
	uint32_t i, at;

	for (i = from + 1; i < end; i++)
		for (at = i; at > from && c->points[at - 1] > c->points[at];
		     at--)
			swap(c, at - 1, at);
}

static uint32_t digit(const pmz__circle *c, uint32_t at, int shift)
{
	return (uint32_t)(c->points[at] >> shift) & (DIGITS - 1);
}

/* Deals points by a digit, in place. ends[] is where each digit's end, then. */
static void deal(pmz__circle *c, uint32_t from, uint32_t end, int shift,
                 uint32_t ends[DIGITS])
{
	uint32_t heads[DIGITS], d, at;

	memset(ends, 0, DIGITS * sizeof(*ends));
	for (at = from; at < end; at++)
		ends[digit(c, at, shift)]++;
	for (d = 0, at = from; d < DIGITS; d++) {
		heads[d] = at;
		at += ends[d];
		ends[d] = at;
	}
	for (d = 0; d < DIGITS; d++)
		while (heads[d] < ends[d]) {
			uint32_t to = digit(c, heads[d], shift);

			if (to == d)
				heads[d]++;
			else
				swap(c, heads[d], heads[to]++);
		}
}

/* McIlroy, Bostic, McIlroy, "Engineering Radix Sort", 1993: the American flag
 * sort. It is as deep as a word has digits. */
static void sort(pmz__circle *c, uint32_t from, uint32_t end, int shift)
{
	uint32_t ends[DIGITS], d;

	if (end - from < FEW_POINTS) {
		insert_each(c, from, end);
		return;
	}
	deal(c, from, end, shift, ends);
	for (d = 0; d < DIGITS && shift; d++) {
		sort(c, from, ends[d], shift - DIGIT_BITS);
		from = ends[d];
	}
}

static void place_points(pmz__circle *c, const pmz__plan *plan,
                         const uint32_t *counts)
{
	uint32_t place, at = 0, end;

	for (place = 0; place < plan->usable; place++) {
		uint32_t node = plan->order[place];

		pmz__points_fill(plan, node, c->points + at, counts[place]);
		for (end = at + counts[place]; at < end; at++) {
			uint64_t hash = c->points[at] << c->lift;

			c->points[at] = (hash & c->mask) | (place & ~c->mask);
			if (c->owners)
				c->owners[at] = node;
		}
	}
}

/* From places in the plan's order to the caller's numbers. */
static void name_owners(pmz__circle *c, const pmz__plan *plan)
{
	uint32_t i;

	for (i = 0; i < c->count && !c->owners; i++) {
		uint32_t place = (uint32_t)(c->points[i] & ~c->mask);

		c->points[i] = (c->points[i] & c->mask) | plan->order[place];
	}
}

static uint32_t runs_of(const pmz__circle *c)
{
	return (uint32_t)(UINT64_MAX >> c->shift) + 1;
}

static void list_runs(pmz__circle *c)
{
	uint32_t runs = runs_of(c), run = 0, i;

	for (i = 0; i < c->count; i++)
		while (run <= c->points[i] >> c->shift)
			c->directory[run++] = i;
	while (run < runs)
		c->directory[run++] = c->count;
}

/* So that a search needs no check for the end. */
static void close_up(pmz__circle *c)
{
	c->points[c->count] = c->points[0] | c->mask;
	if (c->owners)
		c->owners[c->count] = c->owners[0];
}

static void set_up(pmz__circle *c, uint32_t layout, uint32_t points)
{
	uint32_t bits = 1;

	while (((uint64_t)1 << bits) < points)
		bits++;
	c->count = points;
	c->shift = 64 - bits;
	c->mask = layout == PMZ_RING_ENVOY ? UINT64_MAX : PACKED_MASK;
	if (layout != PMZ_RING_NATIVE && layout != PMZ_RING_ENVOY)
		c->lift = HALF_LIFT;
}

static int get_memory(pmz__circle *c)
{
	size_t words = (size_t)c->count + 1;

	c->points = (uint64_t *)pmz__alloc(words * sizeof(*c->points));
	c->directory =
		(uint32_t *)pmz__alloc(runs_of(c) * sizeof(*c->directory));
	if (c->mask != UINT64_MAX)
		return c->points && c->directory;
	c->owners = (uint32_t *)pmz__alloc(words * sizeof(*c->owners));
	return c->points && c->directory && c->owners;
}

static int make(pmz__circle *c, const pmz__plan *plan, uint32_t *counts,
                pmz_why *why)
{
	uint32_t points = 0, i;
	int status = pmz__points_count(plan, counts, why);

	if (status)
		return status;
	for (i = 0; i < plan->usable; i++)
		points += counts[i];
	set_up(c, plan->cfg.layout, points);
	if (!get_memory(c))
		return pmz__why(why, PMZ_E_NOMEM);
	place_points(c, plan, counts);
	sort(c, 0, points, TOP_DIGIT);
	name_owners(c, plan);
	list_runs(c);
	close_up(c);
	return PMZ_OK;
}

int pmz__circle_make(pmz__circle *c, const pmz__plan *plan, pmz_why *why)
{
	uint32_t *counts =
		(uint32_t *)pmz__alloc(plan->count * sizeof(*counts));
	int status;

	if (!counts)
		return pmz__why(why, PMZ_E_NOMEM);
	status = make(c, plan, counts, why);
	pmz__free(counts);
	return status;
}

void pmz__circle_free(pmz__circle *c)
{
	pmz__free(c->points);
	pmz__free(c->directory);
	pmz__free(c->owners);
}
