/*
 * hostile.h - clocks as no caller should have them, and for how long a model
 * runs beside the real thing.
 *
 * A history is a thousand steps or so from one seed. A loop test has some
 * histories in each of its turns, so that a million steps are a hundred
 * processes.
 */
#ifndef KIT_HOSTILE_H
#define KIT_HOSTILE_H

#include <stdlib.h>

#include <pipemaze/base.h>

#include "dice.h"

/* PIPEMAZE_STEPS is how many steps a guard gets in all, a million if it does
 * not say; of these, one in `parts`. */
static inline int hostile_histories(int steps_each, int parts)
{
	const char *asked = getenv("PIPEMAZE_STEPS");
	int steps = asked ? atoi(asked) : 1000000;

	return 1 + (steps - 1) / steps_each / parts;
}

static inline pmz_ns hostile_back(pmz_ns now, pmz_ns by)
{
	return now > by ? now - by : 0;
}

static inline pmz_ns hostile_on(pmz_ns now, pmz_ns by)
{
	return now < PMZ_NEVER - by ? now + by : PMZ_NEVER;
}

/* One time in hundreds: the ends of time, and anywhere between. */
static inline pmz_ns hostile_leap(dice *d, pmz_ns now)
{
	switch (dice_roll(d) % 5) {
	case 0:
		return dice_roll(d) % 2;
	case 1:
		return PMZ_NEVER - dice_sized(d, 20);
	case 2:
		return PMZ_NEVER - dice_sized(d, 62);
	case 3:
		return hostile_back(now, dice_sized(d, 62));
	default:
		return hostile_on(now, dice_sized(d, 62));
	}
}

/* What the clock says next: often the same again, or right at `edge`, where a
 * decision falls (PMZ_NEVER for none), or on by some of `unit`; also back. */
static inline pmz_ns hostile_next(dice *d, pmz_ns now, pmz_ns edge, pmz_ns unit)
{
	switch (dice_roll(d) % 16) {
	case 0:
	case 1:
	case 2:
		return hostile_on(now, dice_between(d, 0, unit));
	case 3:
	case 4:
	case 5:
		if (edge == PMZ_NEVER)
			return now;
		return hostile_back(hostile_on(edge, 1), dice_between(d, 0, 2));
	case 6:
		return hostile_back(now, dice_between(d, 0, unit));
	case 7:
		if (dice_once_in(d, 8))
			return hostile_back(now, dice_sized(d, 40));
		return hostile_on(now,
		                  dice_between(d, 0, hostile_on(unit, unit)));
	case 8:
		return dice_once_in(d, 32) ? hostile_leap(d, now) : now;
	default:
		return now;
	}
}

/* When a history begins. */
static inline pmz_ns hostile_start(dice *d)
{
	return dice_once_in(d, 4) ? hostile_leap(d, dice_sized(d, 62))
	                          : dice_sized(d, 61);
}

#endif
