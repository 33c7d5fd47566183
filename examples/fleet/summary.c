/*
 * summary.c - what became of the calls to each endpoint in the end.
 */
#include "summary.h"

#include <stdlib.h>
#include <string.h>

/* The latencies of the endpoint's answers, in order; returns how many. */
static unsigned sort_latencies(const struct client *client, uint32_t endpoint,
                               pmz_ns *latency)
{
	unsigned i, n = 0;

	for (i = 0; i < client->logged; i++) {
		const struct attempt *a = &client->log[i];

		if (a->endpoint == endpoint && a->how == PMZ_SUCCESS)
			latency[n++] = a->left - a->picked;
	}
	spans_sort(latency, n);
	return n;
}

static void fill_latencies(const struct client *client, int endpoint,
                           struct table_row *rows)
{
	pmz_ns *latency = calloc(client->logged + 1, sizeof(*latency));
	unsigned n;

	if (!latency)
		return;
	n = sort_latencies(client, (uint32_t)endpoint, latency);
	table_span(rows[SUMMARY_P50].cell[endpoint],
	           spans_percentile(latency, n, 50));
	table_span(rows[SUMMARY_P99].cell[endpoint],
	           spans_percentile(latency, n, 99));
	free(latency);
}

static void fill_calls(const struct timeline *t, int endpoint,
                       struct table_row *rows)
{
	struct sample s = timeline_span(t, endpoint, 0, t->ticks);

	table_count(rows[SUMMARY_CALLS].cell[endpoint], s.answered + s.failed);
	snprintf(rows[SUMMARY_SHARE].cell[endpoint], CELL, "%.0f %%",
	         timeline_share(t, endpoint, 0, t->ticks) * 100);
	table_count(rows[SUMMARY_ANSWERED].cell[endpoint], s.answered);
	table_count(rows[SUMMARY_FAILED].cell[endpoint], s.failed);
}

static void fill_rests(const struct timeline *t, int endpoint,
                       struct table_row *rows)
{
	pmz_endpoint_stats stats;
	int ticks = 0, from = 0, to;

	while (timeline_rest(t, endpoint, &from, &to)) {
		ticks += to - from;
		from = to;
	}
	client_stats(t->client, (uint32_t)endpoint, pmz_now(), &stats);
	table_count(rows[SUMMARY_EJECTIONS].cell[endpoint], stats.ejections);
	table_span(rows[SUMMARY_RESTED].cell[endpoint], (pmz_ns)ticks * TICK);
}

static void fill_verdict(const struct verdict *v, int endpoint,
                         struct table_row *rows)
{
	table_span(rows[SUMMARY_DEAD].cell[endpoint], v->dead);
	strcpy(rows[SUMMARY_GOT].cell[endpoint], "-");
	strcpy(rows[SUMMARY_ALLOWED].cell[endpoint], "-");
	if (!v->dead)
		return;
	table_count(rows[SUMMARY_GOT].cell[endpoint], v->got);
	table_count(rows[SUMMARY_ALLOWED].cell[endpoint], v->allowed);
}

void summary_rows(const struct timeline *t, const struct verdict *verdicts,
                  struct table_row *rows)
{
	static const char *const labels[SUMMARY_ROWS] = {
		[SUMMARY_CALLS] = "calls",
		[SUMMARY_SHARE] = "  share of all",
		[SUMMARY_ANSWERED] = "  answered",
		[SUMMARY_FAILED] = "  failed",
		[SUMMARY_P50] = "p50 of the answers",
		[SUMMARY_P99] = "p99 of the answers",
		[SUMMARY_EJECTIONS] = "times ejected",
		[SUMMARY_RESTED] = "  for",
		[SUMMARY_DEAD] = "dead for",
		[SUMMARY_GOT] = "  calls it got then",
		[SUMMARY_ALLOWED] = "  and may get by the rule",
	};
	int i;

	for (i = 0; i < SUMMARY_ROWS; i++)
		rows[i].label = labels[i];
	for (i = 0; i < ENDPOINTS; i++) {
		fill_calls(t, i, rows);
		fill_latencies(t->client, i, rows);
		fill_rests(t, i, rows);
		fill_verdict(&verdicts[i], i, rows);
	}
}

void summary_callers(const struct client *client, struct callers *out)
{
	const struct crowd *crowd = &client->crowd;
	pmz_ns *latency = calloc(crowd->callers + 1, sizeof(*latency));
	unsigned i, n = 0;

	memset(out, 0, sizeof(*out));
	out->all = crowd->callers;
	if (!latency)
		return;
	for (i = 0; i < crowd->callers; i++)
		if (crowd->caller[i].how == ANSWERED)
			latency[n++] =
				crowd->caller[i].left - crowd->caller[i].came;
	spans_sort(latency, n);
	out->answered = n;
	out->p50 = spans_percentile(latency, n, 50);
	out->p99 = spans_percentile(latency, n, 99);
	free(latency);
}
