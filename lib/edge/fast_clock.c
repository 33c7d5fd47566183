/*
 * fast_clock.c - pmz_now() by the processor's own counter.
 *
 * A window of a ms begins with a reading of both, and goes by the rate of the
 * window before. So this clock follows what the kernel does to its own, and is
 * off by no more than the rate changes within that ms and what the readings
 * lie apart. A rate unlike the last one is a machine that slept or was moved,
 * or a counter that is not to be trusted: a window goes by pmz_now() then.
 */
#include <pipemaze/edge.h>

#include "base/assert.h"

/* A test brings a counter of its own. */
#ifndef PMZ__TICKS
#if defined(__x86_64__) && defined(__GNUC__)
#include <cpuid.h>
#include <x86intrin.h>
#define PMZ__TICKS() __rdtsc()

/* "Invariant TSC": it counts at one rate, whatever the processor does. */
static int has_ticks(void)
{
	unsigned a, b, c, d;

	return __get_cpuid(0x80000007, &a, &b, &c, &d) && (d & 1u << 8);
}
#else
#define PMZ__TICKS() UINT64_C(0)

static int has_ticks(void)
{
	return 0;
}
#endif
#endif

#define WINDOW_NS PMZ_MS(1)
/* A window in which nothing was asked tells of its rate up to this length. */
#define WINDOW_MAX_NS PMZ_S(1)
/* Two readings that lie further apart were interrupted. */
#define APART_NS UINT64_C(500)
#define READINGS_MAX 4
/* A rate is ns in a tick, times 2^32. A counter of less than 16 MHz is too
 * coarse to go by. */
#define RATE_BITS 32
#define RATE_MAX (UINT64_C(1) << RATE_BITS << 6)
/* How unlike two rates in a row may be: 1 in so many. */
#define LIKENESS 1024

enum { NEW, PLAIN, COUNTS };

typedef struct fast_clock {
	uint64_t state;
	uint64_t ticks; /* at the window's begin */
	uint64_t span;  /* of the window, in ticks; 0: its rate is not known */
	uint64_t rate;  /* of the last window; 0: there was none */
	pmz_ns now;     /* at the window's begin */
	pmz_ns last;    /* that was told */
} PMZ__MAY_ALIAS fast_clock;

_Static_assert(sizeof(fast_clock) <= sizeof(pmz_fast_clock), "pmz_fast_clock");

static pmz_ns tell(fast_clock *c, pmz_ns now)
{
	if (now > c->last)
		c->last = now;
	return c->last;
}

/* 0: the counter makes no sense within this window. */
static uint64_t rate_since(const fast_clock *c, pmz_ns now, uint64_t ticks)
{
	uint64_t rate;

	/* By the rate of before a ms may have been a little less. */
	if (now - c->now < WINDOW_NS / 2 || now - c->now > WINDOW_MAX_NS ||
	    ticks <= c->ticks)
		return 0;
	rate = ((now - c->now) << RATE_BITS) / (ticks - c->ticks);
	return rate <= RATE_MAX ? rate : 0;
}

static int is_like(uint64_t rate, uint64_t before)
{
	uint64_t apart = rate > before ? rate - before : before - rate;

	return apart <= before / LIKENESS;
}

/* The rate of the first window is not gone by before a second one was like
 * it. */
static void begin_window(fast_clock *c, pmz_ns now, uint64_t ticks)
{
	uint64_t rate = rate_since(c, now, ticks);

	c->span = rate && is_like(rate, c->rate)
	                  ? (WINDOW_NS << RATE_BITS) / rate
	                  : 0;
	c->rate = rate;
	c->ticks = ticks;
	c->now = now;
}

/* Reads both, with nothing between them. 0: that did not succeed. */
static int read_both(const fast_clock *c, pmz_ns *now, uint64_t *ticks)
{
	uint64_t most = c->rate ? (APART_NS << RATE_BITS) / c->rate : 0;
	int i;

	for (i = 0; i < READINGS_MAX; i++) {
		uint64_t before = PMZ__TICKS(), apart;

		*now = pmz_now();
		apart = PMZ__TICKS() - before;
		*ticks = before + apart / 2;
		if (!most || apart <= most)
			return 1;
	}
	return 0;
}

static pmz_ns look_up(fast_clock *c)
{
	uint64_t ticks;
	pmz_ns now;

	if (c->state == NEW)
		c->state = has_ticks() ? COUNTS : PLAIN;
	if (c->state == PLAIN)
		return tell(c, pmz_now());
	if (read_both(c, &now, &ticks) &&
	    (c->span || now - c->now >= WINDOW_NS))
		begin_window(c, now, ticks);
	return tell(c, now);
}

pmz_ns pmz_now_fast(pmz_fast_clock *clock)
{
	fast_clock *c = (fast_clock *)clock;
	uint64_t passed;

	PMZ__ASSERT(clock);
	passed = PMZ__TICKS() - c->ticks;
	/* Also where the counter went back: the difference is huge then. */
	if (passed >= c->span)
		return look_up(c);
	return tell(c, c->now + (passed * c->rate >> RATE_BITS));
}

size_t pmz_fast_clock_size(void)
{
	return sizeof(pmz_fast_clock);
}
