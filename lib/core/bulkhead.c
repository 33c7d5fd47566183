/*
 * bulkhead.c - a count that never passes its limit.
 *
 * One word has all that admission depends on, and what is counted with it:
 * in use << 40 | generation << 32 | admitted. Entering is a compare-and-swap, so
 * the limit is exact. The limit and the generation are read by all and seldom
 * written, so they stand on another line, where a look at them costs nothing.
 *
 * Leaving is one subtraction, which spares two threads a trip of the line between
 * them. What is in use stands on top, so that nothing else feels it, and is put
 * back if it was wrong, unless a reset has set the count anew since. Where nobody
 * was inside (a permit settled twice) it is below 0 until then, which reads as
 * full. Where a reset came just before it, after the look at the generation, one
 * more may enter, beside those whom the reset ceased to count.
 */
#include "core/bulkhead.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "core/place.h"

#define LIMIT 64
#define IN_USE_SHIFT 40
#define ONE_IN_USE ((uint64_t)1 << IN_USE_SHIFT)
#define GENERATION ((uint64_t)1 << 32)
#define GENERATION_MASK ((uint64_t)0xff << 32)
#define ADMITTED_MASK ((uint64_t)UINT32_MAX)

#define HELD 1 /* a permit's first word; its second is the generation */

/* The limit has a bit above it, so that a limit of 0 is not a word of 0. */
#define IS_SET ((uint64_t)1 << 32)
#define LIMIT_MASK ((uint64_t)PMZ__BULKHEAD_MAX)

struct pmz_bulkhead {
	pmz__a64 identity;
	pmz__a64 limit;
	pmz__a64 in_use_max;
	pmz__a64 generation; /* as in the word, or one before it */
	uint64_t spare[4];

	pmz__a64 word;
	pmz__a64 laps; /* of the word's count of the admitted */
	uint64_t more_spare[6];

	pmz__a64 refusals;
	pmz__a64 over_releases;
};

static int read_config(pmz_bulkhead_config *c, const pmz_bulkhead_config *cfg,
                       pmz_why *why)
{
	int status = pmz__config_read(c, sizeof(*c), cfg, why);

	if (status)
		return status;
	c->size = 0;
	c->limit = pmz__or(c->limit, LIMIT);
	if (c->limit > PMZ__BULKHEAD_MAX)
		return pmz__bad(why, "limit", "limit is %u, at most %u",
		                (unsigned)c->limit, PMZ__BULKHEAD_MAX);
	return PMZ_OK;
}

size_t pmz_bulkhead_size(const pmz_bulkhead_config *cfg)
{
	pmz_bulkhead_config c;

	return read_config(&c, cfg, NULL) ? 0 : sizeof(pmz_bulkhead);
}

int pmz_bulkhead_place(pmz_bulkhead **out, void *mem, size_t len,
                       const pmz_bulkhead_config *cfg, pmz_why *why)
{
	pmz_bulkhead_config c;
	pmz_bulkhead *h = (pmz_bulkhead *)mem;
	int status;

	PMZ__ASSERT(out);
	*out = NULL;
	status = read_config(&c, cfg, why);
	if (status)
		return status;
	status = pmz__place(mem, len, sizeof(*h),
	                    pmz__identity("bulkhead", &c, sizeof(c),
	                                  sizeof(*h)),
	                    why);
	if (status)
		return status;
	pmz__once(&h->limit, c.limit | IS_SET);
	*out = h;
	return PMZ_OK;
}

int pmz_bulkhead_new(pmz_bulkhead **out, const pmz_bulkhead_config *cfg,
                     pmz_why *why)
{
	pmz_bulkhead_config c;
	void *mem;
	int status;

	PMZ__ASSERT(out);
	*out = NULL;
	status = read_config(&c, cfg, why);
	if (status)
		return status;
	mem = pmz__alloc(sizeof(pmz_bulkhead));
	if (!mem)
		return pmz__why(why, PMZ_E_NOMEM);
	return pmz_bulkhead_place(out, mem, sizeof(pmz_bulkhead), cfg, why);
}

void pmz_bulkhead_free(pmz_bulkhead *h)
{
	pmz__free(h);
}

/* Below 0 it is as much as can be. */
static uint64_t in_use(uint64_t word)
{
	return word >> IN_USE_SHIFT;
}

static uint64_t with_one_more(uint64_t word)
{
	return (word & ~ADMITTED_MASK) + ONE_IN_USE +
	       ((word + 1) & ADMITTED_MASK);
}

static void note_highest(pmz_bulkhead *h, uint64_t count)
{
	uint64_t highest = pmz__load(&h->in_use_max, PMZ__RELAXED);

	while (PMZ__UNLIKELY(count > highest) &&
	       !pmz__cas(&h->in_use_max, &highest, count, PMZ__RELAXED))
		;
}

int pmz_bulkhead_acquire(pmz_bulkhead *h, pmz_ns now, pmz_permit *permit)
{
	uint64_t word, limit;

	PMZ__ASSERT(h && permit);
	(void)now;
	limit = pmz__load(&h->limit, PMZ__RELAXED) & LIMIT_MASK;
	word = pmz__load(&h->word, PMZ__RELAXED);
	/* Acquire: pairs with the release in pmz_bulkhead_settle(), as for any
	 * semaphore. */
	do {
		if (in_use(word) >= limit) {
			permit->opaque[0] = permit->opaque[1] = 0;
			pmz__count_nearly(&h->refusals);
			return PMZ_REFUSED_FULL;
		}
	} while (!pmz__cas(&h->word, &word, with_one_more(word),
	                   PMZ__ACQUIRE));
	if (PMZ__UNLIKELY((word & ADMITTED_MASK) == ADMITTED_MASK))
		pmz__add(&h->laps, 1, PMZ__RELAXED);
	note_highest(h, in_use(word) + 1);
	permit->opaque[0] = HELD;
	permit->opaque[1] = word & GENERATION_MASK;
	return PMZ_OK;
}

static int nothing_to_give(pmz_bulkhead *h)
{
	pmz__add(&h->over_releases, 1, PMZ__RELAXED);
	return PMZ_E_STATE;
}

static int may_leave(uint64_t word, uint64_t generation)
{
	return in_use(word) && in_use(word) <= PMZ__BULKHEAD_MAX &&
	       (word & GENERATION_MASK) == generation;
}

/* After a reset, or while one is under way. */
static int leave_carefully(pmz_bulkhead *h, uint64_t generation)
{
	uint64_t word = pmz__load(&h->word, PMZ__RELAXED);

	do {
		if (!may_leave(word, generation))
			return nothing_to_give(h);
	} while (!pmz__cas(&h->word, &word, word - ONE_IN_USE, PMZ__RELEASE));
	return PMZ_OK;
}

/* A reset since then has put it back already. */
static void put_back(pmz_bulkhead *h, uint64_t generation)
{
	uint64_t word = pmz__load(&h->word, PMZ__RELAXED);

	while ((word & GENERATION_MASK) == generation &&
	       !pmz__cas(&h->word, &word, word + ONE_IN_USE, PMZ__RELAXED))
		;
}

int pmz_bulkhead_settle(pmz_bulkhead *h, pmz_permit *permit, pmz_outcome how,
                        pmz_ns now)
{
	uint64_t word, generation;

	PMZ__ASSERT(h && permit);
	(void)how;
	(void)now;
	if (PMZ__UNLIKELY(permit->opaque[0] != HELD))
		return nothing_to_give(h);
	generation = permit->opaque[1];
	permit->opaque[0] = permit->opaque[1] = 0;
	if (PMZ__UNLIKELY(pmz__load(&h->generation, PMZ__RELAXED) !=
	                  generation))
		return leave_carefully(h, generation);
	/* Release: pairs with the acquire in pmz_bulkhead_acquire(). */
	word = pmz__sub(&h->word, ONE_IN_USE, PMZ__RELEASE);
	if (PMZ__LIKELY(may_leave(word, generation)))
		return PMZ_OK;
	put_back(h, word & GENERATION_MASK);
	return nothing_to_give(h);
}

int pmz_bulkhead_resize(pmz_bulkhead *h, uint32_t limit)
{
	PMZ__ASSERT(h);
	if (limit > PMZ__BULKHEAD_MAX)
		return PMZ_E_CONFIG;
	pmz__store(&h->limit, limit | IS_SET, PMZ__RELAXED);
	return PMZ_OK;
}

void pmz_bulkhead_reset(pmz_bulkhead *h)
{
	uint64_t word, next;

	PMZ__ASSERT(h);
	word = pmz__load(&h->word, PMZ__RELAXED);
	do {
		next = (word & ADMITTED_MASK) |
		       ((word + GENERATION) & GENERATION_MASK);
	} while (!pmz__cas(&h->word, &word, next, PMZ__ACQ_REL));
	pmz__store(&h->generation, next & GENERATION_MASK, PMZ__RELAXED);
}

int pmz_bulkhead_read(const pmz_bulkhead *h, pmz_bulkhead_stats *out)
{
	pmz_bulkhead_stats s;
	uint64_t word;

	PMZ__ASSERT(h && out);
	memset(&s, 0, sizeof(s));
	word = pmz__load(&h->word, PMZ__RELAXED);
	if (in_use(word) <= PMZ__BULKHEAD_MAX)
		s.in_use = (uint32_t)in_use(word);
	s.limit = (uint32_t)pmz__load(&h->limit, PMZ__RELAXED);
	s.in_use_max = (uint32_t)pmz__load(&h->in_use_max, PMZ__RELAXED);
	s.admitted = (pmz__load(&h->laps, PMZ__RELAXED) << 32) + (word & ADMITTED_MASK);
	s.refusals = pmz__load(&h->refusals, PMZ__RELAXED);
	s.over_releases = pmz__load(&h->over_releases, PMZ__RELAXED);
	return pmz__stats_write(out, &s, sizeof(s));
}
