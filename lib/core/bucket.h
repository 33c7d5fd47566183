/*
 * bucket.h - the arithmetic of a token bucket, apart from the word it is in.
 *
 * The bucket is the generic cell rate algorithm in its virtual scheduling form
 * (ITU-T I.371, annex A): its one number, the theoretical arrival time (tat), is
 * the instant at which it will be full again. n tokens move it n intervals of
 * T = per / tokens on, and are refused if that is more than burst * T ahead.
 *
 * T is rarely a whole number of ns, and what a take rounds away would add up: at
 * 10^6 a second to 0.1 %. So the fraction telescopes. T is kept as a 32.32 fixed
 * point number, rounded up; token k of the clock's grid sits at C(k) = ceil(kT),
 * and n tokens from k = floor(tat / T) cost C(k + n) - C(k). A tat that sits on
 * the grid stays on it, since C(k) is in [kT, (k + 1)T) for T >= 1 ns; one that
 * does not snaps to it at most once. So m tokens in a row cost mT to within a
 * few ns, however large m is, and the rate is off by what T was rounded: less
 * than 2^-32.
 */
#ifndef PMZ_LIB_CORE_BUCKET_H
#define PMZ_LIB_CORE_BUCKET_H

#include <string.h>

#include <pipemaze/bucket.h>

#include "base/assert.h"
#include "base/atomic.h"
#include "base/wide.h"

/* What is in a pmz_rate. */
typedef struct pmz__rate {
	uint64_t interval; /* T in 2^-32 ns; in whole ns where inverse is 0 */
	uint64_t inverse;  /* floor(2^96 / interval) */
	uint64_t burst;
	uint64_t depth; /* ceil(burst * T) in ns */
} pmz__rate;

static inline pmz__rate pmz__rate_of(const pmz_rate *rate)
{
	pmz__rate r;

	memcpy(&r, rate, sizeof(r));
	PMZ__ASSERT(r.interval); /* pmz_rate_set() comes first */
	return r;
}

/* The fraction of kT in 2^-32 ns, for k = floor(tat / T). */
static inline uint32_t pmz__rate_phase(const pmz__rate *r, uint64_t tat)
{
	/* The inverse is rounded down, so k is at most one too small, and the
	 * rest is under two intervals: exact modulo 2^64. */
	uint64_t k = pmz__mul_high(tat, r->inverse);
	uint64_t rest = (tat << 32) - k * r->interval;

	k += rest >= r->interval;
	return (uint32_t)k * (uint32_t)r->interval;
}

/* C(k + n) - C(k) for k = floor(tat / T); n <= burst. */
static inline uint64_t pmz__rate_cost(const pmz__rate *r, uint64_t tat,
                                      uint64_t n)
{
	uint64_t phase, part, parts;

	if (!r->inverse)
		return n * r->interval;
	phase = pmz__rate_phase(r, tat);
	part = (uint32_t)r->interval;
	parts = (n >> 32) * part +
	        (((uint32_t)n * part + phase + UINT32_MAX) >> 32);
	return n * (r->interval >> 32) + parts - (phase > 0);
}

/* C(k) - C(k - n): what the last n tokens before tat did cost. */
static inline uint64_t pmz__rate_worth(const pmz__rate *r, uint64_t tat,
                                       uint64_t n)
{
	const uint64_t one = (uint64_t)1 << 32;
	uint64_t phase, part, parts;

	if (!r->inverse)
		return n * r->interval;
	phase = pmz__rate_phase(r, tat);
	part = (uint32_t)r->interval;
	parts = (n >> 32) * part + (((uint32_t)n * part + one - phase) >> 32);
	return n * (r->interval >> 32) + parts + (phase > 0) - 1;
}

/* One take from a bucket that stands at tat: PMZ_OK and where it then stands,
 * in *next; or PMZ_REFUSED_RATE and when n will be there, in *ready_at. */
static inline int pmz__bucket_step(const pmz__rate *r, uint64_t tat,
                                   uint64_t n, pmz_ns now, uint64_t *next,
                                   pmz_ns *ready_at)
{
	uint64_t from = tat > now ? tat : now;
	uint64_t cost, room;

	if (PMZ__UNLIKELY(n > r->burst)) {
		*ready_at = PMZ_NEVER;
		return PMZ_REFUSED_RATE;
	}
	cost = pmz__rate_cost(r, from, n);
	room = r->depth - cost; /* the cost of a whole burst is the depth */
	if (from - now > room) {
		*ready_at = from - room;
		return PMZ_REFUSED_RATE;
	}
	/* All ones is never a tat: the keyed table marks entries with it. */
	if (PMZ__UNLIKELY(cost >= UINT64_MAX - from)) {
		*ready_at = PMZ_NEVER;
		return PMZ_REFUSED_RATE;
	}
	*next = from + cost;
	return PMZ_OK;
}

/* The word carries all there is to know, and no other memory hangs on it, so
 * every order is relaxed. */
static inline int pmz__bucket_take(pmz_bucket *b, const pmz__rate *r,
                                   uint64_t n, pmz_ns now, pmz_ns *ready_at)
{
	pmz__a64 *word = (pmz__a64 *)b->opaque;
	uint64_t tat = pmz__load(word, PMZ__RELAXED), next;

	do {
		if (pmz__bucket_step(r, tat, n, now, &next, ready_at))
			return PMZ_REFUSED_RATE;
	} while (!pmz__cas(word, &tat, next, PMZ__RELAXED));
	return PMZ_OK;
}

/* How many tokens a step would grant. */
uint64_t pmz__bucket_left(const pmz__rate *r, uint64_t tat, pmz_ns now);

/* Where a bucket stands after a refund. */
uint64_t pmz__bucket_refunded(const pmz__rate *r, uint64_t tat, uint64_t n,
                              pmz_ns taken_at, pmz_ns now);

#endif
