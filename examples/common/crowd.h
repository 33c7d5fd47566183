/*
 * crowd.h - callers who come to a service, and the workers that serve them.
 *
 * Callers come at their own pace and wait until a worker is free: a service
 * that stands still is not spared the load. What they wait counts from when
 * they came.
 *
 * Threads: any on a crowd, except that _start and _free need it alone.
 */
#ifndef COMMON_CROWD_H
#define COMMON_CROWD_H

#include <pthread.h>
#include <stdatomic.h>

#include "spans.h"

#define WORKERS_MAX 32

enum ending {
	PENDING = 0,
	ANSWERED,
	FAILED, /* the upstream was asked, and did not answer well */
	REFUSED /* told no at once, without asking it */
};

struct caller {
	pmz_ns came, left;
	enum ending how;
};

/* One caller's business. */
typedef enum ending (*serve_fn)(void *ctx);

struct crowd {
	serve_fn serve;
	void *ctx;
	atomic_bool stopping;

	/* The lock guards what follows. Callers from `served` on still wait. */
	pthread_mutex_t lock;
	pthread_cond_t came;
	struct caller *caller;
	unsigned callers, callers_max, served, pending;

	int workers;
	pthread_t worker[WORKERS_MAX];
};

/* Of a crowd that is all zero: 0, or -1; stop, join and free it either way. */
int crowd_start(struct crowd *crowd, serve_fn serve, void *ctx, int workers,
                unsigned callers_max);
void crowd_enter(struct crowd *crowd, pmz_ns now);
/* The same callers come to all n crowds, at the same instants, so many each
 * second; until one of the crowds is stopped. */
void crowd_bring(struct crowd *const *crowds, int n, pmz_ns starts,
                 unsigned per_s, unsigned callers);
/* How many callers have not left yet. */
unsigned crowd_pending(struct crowd *crowd);
/* At once: who has not left yet stays PENDING, and nothing changes any more. */
void crowd_stop(struct crowd *crowd);
/* Waits for those who are being served, after crowd_stop(). */
void crowd_join(struct crowd *crowd);
void crowd_free(struct crowd *crowd);

/* Those who left in (from, to], and who waits by now. */
struct departures {
	unsigned answered, failed, refused;
	pmz_ns latency; /* median of the answers; 0: there were none */
	unsigned waiting;
};

void crowd_look(struct crowd *crowd, pmz_ns from, pmz_ns to,
                struct departures *out);

#endif
