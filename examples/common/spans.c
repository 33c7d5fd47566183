/*
 * spans.c - how the spans of a demo are ordered and written.
 */
#include "spans.h"

#include <stdlib.h>

const char *span_text(pmz_ns span, char out[SPAN_TEXT])
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

static int by_span(const void *a, const void *b)
{
	pmz_ns x = *(const pmz_ns *)a, y = *(const pmz_ns *)b;

	return (x > y) - (x < y);
}

void spans_sort(pmz_ns *spans, unsigned n)
{
	qsort(spans, n, sizeof(*spans), by_span);
}

pmz_ns spans_percentile(const pmz_ns *sorted, unsigned n, unsigned pct)
{
	return n ? sorted[(n * pct + 99) / 100 - 1] : 0;
}
