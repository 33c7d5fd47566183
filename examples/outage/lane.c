/*
 * lane.c - a service that calls the upstream for its own callers.
 */
#include "lane.h"

#include <string.h>

#include "http.h"

/* One attempt, the same for both lanes. */
static pmz_outcome attempt(pmz_ns due, void *ctx)
{
	struct errand *errand = ctx;
	struct lane *lane = errand->lane;
	pmz_outcome how;

	if (atomic_load(&lane->crowd.stopping))
		return PMZ_IGNORE;
	errand->attempts++;
	atomic_fetch_add(&lane->attempts, 1);
	if (plot_phase(lane->plot, pmz_now())->sick)
		atomic_fetch_add(&lane->attempts_sick, 1);
	atomic_fetch_add(&lane->in_flight, 1);
	how = http_get(lane->port, due);
	atomic_fetch_sub(&lane->in_flight, 1);
	return how;
}

/* What many services do: a long time-out, and again at once if it fails. */
enum ending lane_call_naively(struct errand *errand)
{
	int tries;

	for (tries = 0; tries < NAIVE_TRIES; tries++)
		if (attempt(pmz_now() + errand->lane->time_out, errand) ==
		    PMZ_SUCCESS)
			return ANSWERED;
	return FAILED;
}

enum ending lane_call_through_pipe(struct errand *errand)
{
	if (pmz_run(errand->lane->pipe, NULL, attempt, errand, NULL) == PMZ_OK)
		return ANSWERED;
	return errand->attempts ? FAILED : REFUSED;
}

static enum ending serve(void *ctx)
{
	struct errand errand = { ctx, 0 };

	return errand.lane->call(&errand);
}

int lane_start(struct lane *lane, unsigned callers_max)
{
	return crowd_start(&lane->crowd, serve, lane, WORKERS, callers_max);
}

static int breaker_state(const pmz_pipe *pipe, pmz_ns now)
{
	pmz_pipe_rules rules;
	pmz_breaker_stats stats;

	rules.size = sizeof(rules);
	stats.size = sizeof(stats);
	if (!pipe || pmz_pipe_read(pipe, &rules) || !rules.breaker ||
	    pmz_breaker_read(rules.breaker, now, &stats))
		return 0;
	return (int)stats.state;
}

void lane_sample(struct lane *lane, pmz_ns from, pmz_ns to, struct sample *out)
{
	unsigned attempts = atomic_load(&lane->attempts);
	struct departures left;

	crowd_look(&lane->crowd, from, to, &left);
	memset(out, 0, sizeof(*out));
	out->answered = left.answered;
	out->failed = left.failed;
	out->refused = left.refused;
	out->latency = left.latency;
	out->waiting = left.waiting;
	out->attempts = attempts - lane->attempts_told;
	lane->attempts_told = attempts;
	out->in_flight = atomic_load(&lane->in_flight);
	out->breaker = breaker_state(lane->pipe, to);
}
