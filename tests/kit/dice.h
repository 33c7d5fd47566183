/*
 * dice.h - random numbers for tests, replayed by their seed.
 *
 * Marsaglia's xorshift64 with a multiplication behind it (Vigna, "An
 * experimental exploration of Marsaglia's xorshift generators", 2016): not what
 * the library draws from, so that the two cannot agree by construction.
 */
#ifndef KIT_DICE_H
#define KIT_DICE_H

#include <stdint.h>

typedef struct dice {
	uint64_t state;
} dice;

static inline uint64_t dice_roll(dice *d)
{
	d->state ^= d->state >> 12;
	d->state ^= d->state << 25;
	d->state ^= d->state >> 27;
	return d->state * 0x2545f4914f6cdd1du;
}

static inline dice dice_of(int seed)
{
	dice d = { ((uint64_t)(uint32_t)seed + 1) * 0x9e3779b97f4a7c15u };

	dice_roll(&d);
	return d;
}

/* In [low, high]. */
static inline uint64_t dice_between(dice *d, uint64_t low, uint64_t high)
{
	uint64_t span = high - low;

	return span == UINT64_MAX ? dice_roll(d)
	                          : low + dice_roll(d) % (span + 1);
}

/* One time in `n`. */
static inline int dice_once_in(dice *d, uint64_t n)
{
	return dice_roll(d) % n == 0;
}

/* Of any magnitude up to so many bits, small ones as often as large ones. */
static inline uint64_t dice_sized(dice *d, unsigned bits)
{
	return dice_roll(d) >> (64 - dice_between(d, 1, bits));
}

#endif
