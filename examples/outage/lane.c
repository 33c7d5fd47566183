/*
 * lane.c - a service that calls the upstream for its own callers.
 */
#define _POSIX_C_SOURCE 200809L
#include "lane.h"

#include <stdlib.h>
#include <string.h>

#include "http.h"

/* One attempt, the same for both lanes. */
static pmz_outcome attempt(pmz_ns due, void *ctx)
{
	struct errand *errand = ctx;
	struct lane *lane = errand->lane;
	pmz_outcome how;

	if (atomic_load(&lane->stopping))
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

/* The one who came first, or NULL when the lane is to stop. */
static struct caller *next_caller(struct lane *lane)
{
	struct caller *next = NULL;

	pthread_mutex_lock(&lane->lock);
	while (lane->served == lane->callers && !atomic_load(&lane->stopping))
		pthread_cond_wait(&lane->came, &lane->lock);
	if (!atomic_load(&lane->stopping))
		next = &lane->caller[lane->served++];
	pthread_mutex_unlock(&lane->lock);
	return next;
}

static void let_go(struct lane *lane, struct caller *caller, enum ending how)
{
	pthread_mutex_lock(&lane->lock);
	if (!atomic_load(&lane->stopping)) {
		caller->left = pmz_now();
		caller->how = how;
		lane->pending--;
	}
	pthread_mutex_unlock(&lane->lock);
}

static void *work(void *arg)
{
	struct lane *lane = arg;
	struct caller *caller;

	while ((caller = next_caller(lane))) {
		struct errand errand = { lane, 0 };
		enum ending how = lane->call(&errand);

		let_go(lane, caller, how);
	}
	return NULL;
}

void lane_enter(struct lane *lane, pmz_ns now)
{
	pthread_mutex_lock(&lane->lock);
	if (lane->callers < lane->callers_max) {
		lane->caller[lane->callers++].came = now;
		lane->pending++;
		pthread_cond_signal(&lane->came);
	}
	pthread_mutex_unlock(&lane->lock);
}

unsigned lane_pending(struct lane *lane)
{
	unsigned pending;

	pthread_mutex_lock(&lane->lock);
	pending = lane->pending;
	pthread_mutex_unlock(&lane->lock);
	return pending;
}

int lane_start(struct lane *lane, unsigned callers_max)
{
	pthread_mutex_init(&lane->lock, NULL);
	pthread_cond_init(&lane->came, NULL);
	lane->callers_max = callers_max;
	lane->caller = calloc(callers_max, sizeof(*lane->caller));
	if (!lane->caller)
		return -1;
	for (; lane->workers < WORKERS; lane->workers++)
		if (pthread_create(&lane->worker[lane->workers], NULL, work,
		                   lane))
			return -1;
	return 0;
}

void lane_stop(struct lane *lane)
{
	if (!lane->callers_max)
		return;
	pthread_mutex_lock(&lane->lock);
	atomic_store(&lane->stopping, 1);
	pthread_cond_broadcast(&lane->came);
	pthread_mutex_unlock(&lane->lock);
}

void lane_join(struct lane *lane)
{
	while (lane->workers)
		pthread_join(lane->worker[--lane->workers], NULL);
}

void lane_free(struct lane *lane)
{
	if (!lane->callers_max)
		return;
	pthread_cond_destroy(&lane->came);
	pthread_mutex_destroy(&lane->lock);
	free(lane->caller);
}

#define LATENCIES_MAX 1024 /* that a median is made from */

static int by_span(const void *a, const void *b)
{
	pmz_ns x = *(const pmz_ns *)a, y = *(const pmz_ns *)b;

	return (x > y) - (x < y);
}

/* Counts those who left in (from, to]. */
static void count_leavers(const struct lane *lane, pmz_ns from, pmz_ns to,
                          struct sample *out)
{
	pmz_ns latency[LATENCIES_MAX];
	unsigned i, n = 0;

	for (i = 0; i < lane->served; i++) {
		const struct caller *c = &lane->caller[i];

		if (c->how == PENDING || c->left <= from || c->left > to)
			continue;
		out->answered += c->how == ANSWERED;
		out->failed += c->how == FAILED;
		out->refused += c->how == REFUSED;
		if (c->how == ANSWERED && n < LATENCIES_MAX)
			latency[n++] = c->left - c->came;
	}
	qsort(latency, n, sizeof(*latency), by_span);
	out->latency = n ? latency[n / 2] : 0;
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

	memset(out, 0, sizeof(*out));
	pthread_mutex_lock(&lane->lock);
	count_leavers(lane, from, to, out);
	out->waiting = lane->callers - lane->served;
	pthread_mutex_unlock(&lane->lock);
	out->attempts = attempts - lane->attempts_told;
	lane->attempts_told = attempts;
	out->in_flight = atomic_load(&lane->in_flight);
	out->breaker = breaker_state(lane->pipe, to);
}
