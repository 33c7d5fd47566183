/*
 * clock.c - the machine's clock, and sleeping by it.
 */
#include <pipemaze/edge.h>

#include <errno.h>
#include <time.h>

#include "base/wide.h"

/* One sleep is no longer than this, so that every instant fits into a timespec,
 * and none asks a kernel for more than it can count. */
#define NAP_MAX PMZ_S(24 * 3600)

/* macOS has no CLOCK_BOOTTIME: there CLOCK_MONOTONIC counts time asleep. */
#ifdef CLOCK_BOOTTIME
#define CLOCK CLOCK_BOOTTIME
#else
#define CLOCK CLOCK_MONOTONIC
#endif

static struct timespec timespec_of(pmz_ns ns)
{
	struct timespec t;

	t.tv_sec = (time_t)(ns / PMZ_S(1));
	t.tv_nsec = (long)(ns % PMZ_S(1));
	return t;
}

pmz_ns pmz_now(void)
{
	struct timespec t = { 0, 0 };

	/* The headers may know a clock that the kernel does not. */
	if (clock_gettime(CLOCK, &t))
		clock_gettime(CLOCK_MONOTONIC, &t);
	return PMZ_S(t.tv_sec) + (pmz_ns)t.tv_nsec;
}

/* Returns early if it likes: a signal, or a clock that counts otherwise. */
static void nap(pmz_ns now, pmz_ns until)
{
	struct timespec left = timespec_of(until - now);

#ifdef __linux__
	struct timespec at = timespec_of(until);
	int error = clock_nanosleep(CLOCK, TIMER_ABSTIME, &at, NULL);

	/* A sandbox may know this clock to read, and not to sleep on. */
	if (!error || error == EINTR)
		return;
#endif
	nanosleep(&left, NULL);
}

void pmz_sleep_until(pmz_ns when)
{
	pmz_ns now;

	while ((now = pmz_now()) < when)
		nap(now, pmz__min(when, pmz__sat_add(now, NAP_MAX)));
}
