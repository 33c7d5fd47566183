/*
 * crowd.c - callers who come to a service, and the workers that serve them.
 */
#define _POSIX_C_SOURCE 200809L
#include "crowd.h"

#include <stdlib.h>
#include <string.h>

/* The one who came first, or NULL when the crowd is to stop. */
static struct caller *next_caller(struct crowd *crowd)
{
	struct caller *next = NULL;

	pthread_mutex_lock(&crowd->lock);
	while (crowd->served == crowd->callers &&
	       !atomic_load(&crowd->stopping))
		pthread_cond_wait(&crowd->came, &crowd->lock);
	if (!atomic_load(&crowd->stopping))
		next = &crowd->caller[crowd->served++];
	pthread_mutex_unlock(&crowd->lock);
	return next;
}

static void let_go(struct crowd *crowd, struct caller *caller, enum ending how)
{
	pthread_mutex_lock(&crowd->lock);
	if (!atomic_load(&crowd->stopping)) {
		caller->left = pmz_now();
		caller->how = how;
		crowd->pending--;
	}
	pthread_mutex_unlock(&crowd->lock);
}

static void *work(void *arg)
{
	struct crowd *crowd = arg;
	struct caller *caller;

	while ((caller = next_caller(crowd)))
		let_go(crowd, caller, crowd->serve(crowd->ctx));
	return NULL;
}

void crowd_enter(struct crowd *crowd, pmz_ns now)
{
	pthread_mutex_lock(&crowd->lock);
	if (crowd->callers < crowd->callers_max) {
		crowd->caller[crowd->callers++].came = now;
		crowd->pending++;
		pthread_cond_signal(&crowd->came);
	}
	pthread_mutex_unlock(&crowd->lock);
}

/* 0 once a crowd is stopped. */
static int enter_all(struct crowd *const *crowds, int n, pmz_ns now)
{
	int i;

	for (i = 0; i < n; i++) {
		if (atomic_load(&crowds[i]->stopping))
			return 0;
		crowd_enter(crowds[i], now);
	}
	return 1;
}

void crowd_bring(struct crowd *const *crowds, int n, pmz_ns starts,
                 unsigned per_s, unsigned callers)
{
	unsigned i;

	for (i = 0; i < callers; i++) {
		pmz_ns at = starts + i * PMZ_S(1) / per_s;

		pmz_sleep_until(at);
		if (!enter_all(crowds, n, at))
			break;
	}
}

unsigned crowd_pending(struct crowd *crowd)
{
	unsigned pending;

	pthread_mutex_lock(&crowd->lock);
	pending = crowd->pending;
	pthread_mutex_unlock(&crowd->lock);
	return pending;
}

int crowd_start(struct crowd *crowd, serve_fn serve, void *ctx, int workers,
                unsigned callers_max)
{
	pthread_mutex_init(&crowd->lock, NULL);
	pthread_cond_init(&crowd->came, NULL);
	crowd->serve = serve;
	crowd->ctx = ctx;
	crowd->callers_max = callers_max;
	crowd->caller = calloc(callers_max, sizeof(*crowd->caller));
	if (!crowd->caller)
		return -1;
	for (; crowd->workers < workers; crowd->workers++)
		if (pthread_create(&crowd->worker[crowd->workers], NULL, work,
		                   crowd))
			return -1;
	return 0;
}

void crowd_stop(struct crowd *crowd)
{
	if (!crowd->callers_max)
		return;
	pthread_mutex_lock(&crowd->lock);
	atomic_store(&crowd->stopping, 1);
	pthread_cond_broadcast(&crowd->came);
	pthread_mutex_unlock(&crowd->lock);
}

void crowd_join(struct crowd *crowd)
{
	while (crowd->workers)
		pthread_join(crowd->worker[--crowd->workers], NULL);
}

void crowd_free(struct crowd *crowd)
{
	if (!crowd->callers_max)
		return;
	pthread_cond_destroy(&crowd->came);
	pthread_mutex_destroy(&crowd->lock);
	free(crowd->caller);
}

#define LATENCIES_MAX 1024 /* that a median is made from */

static void count_leavers(const struct crowd *crowd, pmz_ns from, pmz_ns to,
                          struct departures *out)
{
	pmz_ns latency[LATENCIES_MAX];
	unsigned i, n = 0;

	for (i = 0; i < crowd->served; i++) {
		const struct caller *c = &crowd->caller[i];

		if (c->how == PENDING || c->left <= from || c->left > to)
			continue;
		out->answered += c->how == ANSWERED;
		out->failed += c->how == FAILED;
		out->refused += c->how == REFUSED;
		if (c->how == ANSWERED && n < LATENCIES_MAX)
			latency[n++] = c->left - c->came;
	}
	spans_sort(latency, n);
	out->latency = n ? latency[n / 2] : 0;
}

void crowd_look(struct crowd *crowd, pmz_ns from, pmz_ns to,
                struct departures *out)
{
	memset(out, 0, sizeof(*out));
	pthread_mutex_lock(&crowd->lock);
	count_leavers(crowd, from, to, out);
	out->waiting = crowd->callers - crowd->served;
	pthread_mutex_unlock(&crowd->lock);
}
