/*
 * bulkhead.c - a count that never passes its limit.
 *
 * One word has all that admission depends on, and what is counted with it:
 * in use << 40 | generation << 16 | admitted. Entering, leaving and a reset are
 * each one compare-and-swap of it, so they follow one another in some order and
 * the limit is exact. A permit has the generation it entered in. A reset begins
 * the next one, in which the permits of all before are void.
 *
 * The admitted are too many for their 16 bits. Who passes a half of them counts
 * it in `halves`, a moment later; the half that the word stands in shows whether
 * that moment is over, so that a reader counts it meanwhile.
 */
#include "core/bulkhead.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "core/place.h"

#define LIMIT 64
#define IN_USE_SHIFT 40
#define ONE_IN_USE ((uint64_t)1 << IN_USE_SHIFT)
#define GENERATION ((uint64_t)1 << 16)
#define GENERATION_MASK ((uint64_t)0xffffff << 16)
#define ADMITTED_MASK ((uint64_t)0xffff)
#define HALF_SHIFT 15
#define HALF_MASK (((uint64_t)1 << HALF_SHIFT) - 1)

#define HELD 1 /* a permit's first word; its second is the generation */

/* The limit has a bit above it, so that a limit of 0 is not a word of 0. */
#define IS_SET ((uint64_t)1 << 32)
#define LIMIT_MASK ((uint64_t)PMZ__BULKHEAD_MAX)

struct pmz_bulkhead {
	pmz__a64 identity;
	pmz__a64 limit; /* read by all and seldom written, so on its own line */
	pmz__a64 in_use_max;
	uint64_t spare[5];

	pmz__a64 word;
	pmz__a64 halves; /* of the admitted, each of 2^15 */
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
	if (PMZ__UNLIKELY((word & HALF_MASK) == HALF_MASK))
		pmz__add(&h->halves, 1, PMZ__RELAXED);
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
	word = pmz__load(&h->word, PMZ__RELAXED);
	/* Release: pairs with the acquire in pmz_bulkhead_acquire(). */
	do {
		if (PMZ__UNLIKELY(!in_use(word) ||
		                  (word & GENERATION_MASK) != generation))
			return nothing_to_give(h);
	} while (!pmz__cas(&h->word, &word, word - ONE_IN_USE, PMZ__RELEASE));
	return PMZ_OK;
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
}

/* `halves` was read before the word, so it lacks one at most. */
static uint64_t admitted(uint64_t halves, uint64_t word)
{
	uint64_t one_is_missing = (halves ^ (word >> HALF_SHIFT)) & 1;

	return ((halves + one_is_missing) << HALF_SHIFT) + (word & HALF_MASK);
}

int pmz_bulkhead_read(const pmz_bulkhead *h, pmz_bulkhead_stats *out)
{
	pmz_bulkhead_stats s;
	uint64_t halves, word;

	PMZ__ASSERT(h && out);
	memset(&s, 0, sizeof(s));
	halves = pmz__load(&h->halves, PMZ__ACQUIRE);
	word = pmz__load(&h->word, PMZ__RELAXED);
	s.in_use = (uint32_t)in_use(word);
	s.limit = (uint32_t)pmz__load(&h->limit, PMZ__RELAXED);
	s.in_use_max = (uint32_t)pmz__load(&h->in_use_max, PMZ__RELAXED);
	s.admitted = admitted(halves, word);
	s.refusals = pmz__load(&h->refusals, PMZ__RELAXED);
	s.over_releases = pmz__load(&h->over_releases, PMZ__RELAXED);
	return pmz__stats_write(out, &s, sizeof(s));
}
