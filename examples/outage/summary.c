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

	for (i = 0; i + window <= lane->crowd.callers; i++)
		if (lane->crowd.caller[i].came >= healed &&
		    mostly_well(&lane->crowd.caller[i], window))
			return lane->crowd.caller[i].came - healed;
	return PMZ_NEVER;
}

/* The latencies of all who left in this way, in order; returns how many. */
static unsigned sort_latencies(const struct lane *lane, enum ending how,
                               pmz_ns *latency)
{
	unsigned i, n = 0;

	for (i = 0; i < lane->crowd.callers; i++)
		if (lane->crowd.caller[i].how == how)
			latency[n++] = latency_of(&lane->crowd.caller[i]);
	spans_sort(latency, n);
	return n;
}

static void find_percentiles(const struct lane *lane, struct summary *out)
{
	pmz_ns *latency = calloc(lane->crowd.callers + 1, sizeof(*latency));
	unsigned n;

	if (!latency)
		return;
	n = sort_latencies(lane, ANSWERED, latency);
	out->p50 = spans_percentile(latency, n, 50);
	out->p99 = spans_percentile(latency, n, 99);
	n = sort_latencies(lane, REFUSED, latency);
	out->refused_p99 = spans_percentile(latency, n, 99);
	free(latency);
}

void summary_of(const struct lane *lane, struct summary *out)
{
	pmz_ns healed_at = plot_healed_at(lane->plot);
	unsigned i;

	memset(out, 0, sizeof(*out));
	out->callers = lane->crowd.callers;
	for (i = 0; i < lane->crowd.callers; i++) {
		enum ending how = lane->crowd.caller[i].how;

		out->answered += how == ANSWERED;
		out->in_time += is_well(&lane->crowd.caller[i]) != 0;
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
                       struct table_row *rows)
{
	table_count(rows[SUMMARY_CALLERS].cell[lane], s->callers);
	table_count(rows[SUMMARY_ANSWERED].cell[lane], s->answered);
	table_count(rows[SUMMARY_IN_TIME].cell[lane], s->in_time);
	table_count(rows[SUMMARY_FAILED].cell[lane], s->failed);
	table_count(rows[SUMMARY_REFUSED].cell[lane], s->refused);
	table_span(rows[SUMMARY_P50].cell[lane], s->p50);
	table_span(rows[SUMMARY_P99].cell[lane], s->p99);
	table_span(rows[SUMMARY_REFUSED_P99].cell[lane], s->refused_p99);
	table_count(rows[SUMMARY_ATTEMPTS].cell[lane], s->attempts_sick);
	recovery_cell(rows[SUMMARY_RECOVERY].cell[lane], s);
}

void summary_rows(const struct summary *lanes, struct table_row *rows)
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
