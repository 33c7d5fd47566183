/*
 * demo.h - the numbers that both lanes share, and how they are written.
 */
#ifndef OUTAGE_DEMO_H
#define OUTAGE_DEMO_H

#include <stdio.h>

#include <pipemaze.h>
#include <pipemaze/sim.h>

/* The lanes. */
enum { WITHOUT, WITH, LANES };

#define CALLS_PER_S 120  /* come to each lane, whatever becomes of them */
#define WORKERS 32       /* threads of each lane that make them */
#define SERVES_AT_ONCE 8 /* requests that each upstream has hands for */
#define IN_TIME_MS 250   /* an answer after this is of little use */

#define SECONDS_MIN 4
#define SECONDS_MAX 120
#define TICK PMZ_MS(100) /* between two looks at the lanes */
#define TICKS_MAX (SECONDS_MAX * 10)

static inline double seconds(pmz_ns span)
{
	return (double)span / 1e9;
}

#define SPAN_TEXT 16

/* "850 us", "27 ms", "1.82 s", "12.4 s": three digits are enough to see. */
static inline const char *span_text(pmz_ns span, char out[SPAN_TEXT])
{
	if (span < PMZ_MS(1))
		snprintf(out, SPAN_TEXT, "%.0f us", (double)span / 1e3);
	else if (span < PMZ_S(1))
		snprintf(out, SPAN_TEXT, "%.0f ms", (double)span / 1e6);
	else
		snprintf(out, SPAN_TEXT, "%.*f s", span < PMZ_S(10) ? 2 : 1,
		         seconds(span));
	return out;
}

#endif
