/*
 * random.h - replayable random numbers from a seed that the caller holds.
 *
 * SplitMix64: Steele, Lea, Flood, "Fast splittable pseudorandom number
 * generators", OOPSLA 2014. Good enough to spread retries, not for secrets.
 */
#ifndef PMZ_LIB_BASE_RANDOM_H
#define PMZ_LIB_BASE_RANDOM_H

#include "base/wide.h"

static inline uint64_t pmz__mix(uint64_t x)
{
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
	x = (x ^ x >> 27) * 0x94d049bb133111ebu;
	return x ^ x >> 31;
}

static inline uint64_t pmz__draw(uint64_t *state)
{
	*state += 0x9e3779b97f4a7c15u;
	return pmz__mix(*state);
}

/* Uniform in [low, high], to within 2^-64 of the span. */
static inline uint64_t pmz__between(uint64_t random, uint64_t low,
                                    uint64_t high)
{
	uint64_t span = high - low;

	if (span == UINT64_MAX)
		return random;
	return low + pmz__mul_high(random, span + 1);
}

#endif
