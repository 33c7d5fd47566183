/*
 * summary.c - what became of all callers of a lane, and when it was well again.
 */
#include "summary.h"

#include <stdlib.h>
#include <string.h>

static pmz_ns latency_of(const struct caller *caller)
{
	return caller->left - caller->came;
}

static int is_well(const struct caller *caller)
{
	return caller->how == ANSWERED &&
	       latency_of(caller) <= PMZ_MS(IN_TIME_MS);
}

static int mostly_well(const struct caller *callers, unsigned n)
{
	unsigned i, well = 0;

	for (i = 0; i < n; i++)
		well += (unsigned)is_well(&callers[i]);
	return well * 100 >= n * 95;
}

/* A lane is well again from the first caller on, after the upstream is, with
 * whom this begins: of those who come within half a second, 95 % are answered
 * in time. One alone might have been lucky. */
static pmz_ns recovered_after(const struct lane *lane, pmz_ns healed)
{
	const unsigned window = CALLS_PER_S / 2;
	unsigned i;

	for (i = 0; i + window <= lane->callers; i++)
		if (lane->caller[i].came >= healed &&
		    mostly_well(&lane->caller[i], window))
			return lane->caller[i].came - healed;
	return PMZ_NEVER;
}

static int by_span(const void *a, const void *b)
{
	pmz_ns x = *(const pmz_ns *)a, y = *(const pmz_ns *)b;

	return (x > y) - (x < y);
}

/* The least latency that `pct` of the answers do not exceed. */
static pmz_ns percentile(const pmz_ns *sorted, unsigned n, unsigned pct)
{
	return n ? sorted[(n * pct + 99) / 100 - 1] : 0;
}

/* The latencies of all who left in this way, in order; returns how many. */
static unsigned sort_latencies(const struct lane *lane, enum ending how,
                               pmz_ns *latency)
{
	unsigned i, n = 0;

	for (i = 0; i < lane->callers; i++)
		if (lane->caller[i].how == how)
			latency[n++] = latency_of(&lane->caller[i]);
	qsort(latency, n, sizeof(*latency), by_span);
	return n;
}

static void find_percentiles(const struct lane *lane, struct summary *out)
{
	pmz_ns *latency = calloc(lane->callers + 1, sizeof(*latency));
	unsigned n;

	if (!latency)
		return;
	n = sort_latencies(lane, ANSWERED, latency);
	out->p50 = percentile(latency, n, 50);
	out->p99 = percentile(latency, n, 99);
	n = sort_latencies(lane, REFUSED, latency);
	out->refused_p99 = percentile(latency, n, 99);
	free(latency);
}

void summary_of(const struct lane *lane, struct summary *out)
{
	pmz_ns healed_at = plot_healed_at(lane->plot);
	unsigned i;

	memset(out, 0, sizeof(*out));
	out->callers = lane->callers;
	for (i = 0; i < lane->callers; i++) {
		enum ending how = lane->caller[i].how;

		out->answered += how == ANSWERED;
		out->in_time += is_well(&lane->caller[i]) != 0;
		out->failed += how == FAILED || how == PENDING;
		out->refused += how == REFUSED;
	}
	out->attempts = atomic_load(&lane->attempts);
	out->attempts_sick = atomic_load(&lane->attempts_sick);
	out->healed = healed_at != PMZ_NEVER;
	out->recovered_after = recovered_after(lane, healed_at);
	find_percentiles(lane, out);
}

#define TEXT(x) #x
#define TEXT_OF(x) TEXT(x)

static void count_cell(char *cell, unsigned n)
{
	if (n < 1000)
		snprintf(cell, CELL, "%u", n);
	else
		snprintf(cell, CELL, "%u %03u", n / 1000, n % 1000);
}

static void span_cell(char *cell, pmz_ns span)
{
	if (span)
		span_text(span, cell);
	else
		snprintf(cell, CELL, "-");
}

static void recovery_cell(char *cell, const struct summary *s)
{
	if (!s->healed)
		snprintf(cell, CELL, "-");
	else if (s->recovered_after == PMZ_NEVER)
		snprintf(cell, CELL, "not by the end");
	else
		span_text(s->recovered_after, cell);
}

static void fill_cells(const struct summary *s, int lane,
                       struct summary_row *rows)
{
	count_cell(rows[SUMMARY_CALLERS].cell[lane], s->callers);
	count_cell(rows[SUMMARY_ANSWERED].cell[lane], s->answered);
	count_cell(rows[SUMMARY_IN_TIME].cell[lane], s->in_time);
	count_cell(rows[SUMMARY_FAILED].cell[lane], s->failed);
	count_cell(rows[SUMMARY_REFUSED].cell[lane], s->refused);
	span_cell(rows[SUMMARY_P50].cell[lane], s->p50);
	span_cell(rows[SUMMARY_P99].cell[lane], s->p99);
	span_cell(rows[SUMMARY_REFUSED_P99].cell[lane], s->refused_p99);
	count_cell(rows[SUMMARY_ATTEMPTS].cell[lane], s->attempts_sick);
	recovery_cell(rows[SUMMARY_RECOVERY].cell[lane], s);
}

void summary_rows(const struct summary *lanes, struct summary_row *rows)
{
	static const char *const labels[SUMMARY_ROWS] = {
		[SUMMARY_CALLERS] = "callers",
		[SUMMARY_ANSWERED] = "answered",
		[SUMMARY_IN_TIME] = "  within " TEXT_OF(IN_TIME_MS) " ms",
		[SUMMARY_FAILED] = "failed",
		[SUMMARY_REFUSED] = "refused at once",
		[SUMMARY_P50] = "p50 of the answers",
		[SUMMARY_P99] = "p99 of the answers",
		[SUMMARY_REFUSED_P99] = "p99 of the refusals",
		[SUMMARY_ATTEMPTS] = "attempts while it was sick",
		[SUMMARY_RECOVERY] = "well again after",
	};
	int i;

	for (i = 0; i < SUMMARY_ROWS; i++)
		rows[i].label = labels[i];
	for (i = 0; i < LANES; i++)
		fill_cells(&lanes[i], i, rows);
}
