/*
 * spans.h - how long a demo takes, and how its spans are ordered and written.
 */
#ifndef COMMON_SPANS_H
#define COMMON_SPANS_H

#include <stdio.h>

#include <pipemaze.h>
#include <pipemaze/sim.h>

#define SECONDS_MIN 4
#define SECONDS_MAX 120
#define TICK PMZ_MS(100) /* between two looks at what goes on */
#define SECOND 10        /* ticks */
#define TICKS_MAX (SECONDS_MAX * SECOND)

static inline double seconds(pmz_ns span)
{
	return (double)span / 1e9;
}

#define SPAN_TEXT 16

/* "850 us", "27 ms", "1.82 s", "12.4 s": three digits are enough to see. */
const char *span_text(pmz_ns span, char out[SPAN_TEXT]);

void spans_sort(pmz_ns *spans, unsigned n);
/* The least span that `pct` of them do not exceed; 0 if there are none. */
pmz_ns spans_percentile(const pmz_ns *sorted, unsigned n, unsigned pct);

#endif
