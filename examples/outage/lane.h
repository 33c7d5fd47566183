/*
 * lane.h - a service that calls the upstream for its own callers.
 *
 * Callers come at their own pace and wait until a worker is free: a lane that
 * stands still is not spared the load. What they wait counts from when they
 * came.
 *
 * The two lanes are the same but for one function: what a worker does to get
 * an answer, by itself (lane_call_naively) or through a pipe
 * (lane_call_through_pipe).
 *
 * Threads: any on a lane, except that _start and _free need it alone.
 */
#ifndef OUTAGE_LANE_H
#define OUTAGE_LANE_H

#include <pthread.h>
#include <stdatomic.h>

#include "plot.h"

#define NAIVE_TRIES 3

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

struct lane;

/* One caller's business with the upstream. */
struct errand {
	struct lane *lane;
	unsigned attempts;
};

typedef enum ending (*call_fn)(struct errand *errand);

struct lane {
	const char *name;
	const struct plot *plot;
	uint16_t port;
	call_fn call;
	pmz_pipe *pipe;  /* of lane_call_through_pipe */
	pmz_ns time_out; /* of lane_call_naively */

	atomic_uint in_flight; /* attempts */
	atomic_uint attempts, attempts_sick;
	unsigned attempts_told; /* by samples so far */
	atomic_bool stopping;

	/* The lock guards what follows. Callers from `served` on still wait. */
	pthread_mutex_t lock;
	pthread_cond_t came;
	struct caller *caller;
	unsigned callers, callers_max, served, pending;

	int workers;
	pthread_t worker[WORKERS];
};

enum ending lane_call_naively(struct errand *errand);
enum ending lane_call_through_pipe(struct errand *errand);

/* Fill in the first part of the lane, the rest being zero. 0, or -1: stop, join
 * and free it either way. */
int lane_start(struct lane *lane, unsigned callers_max);
void lane_enter(struct lane *lane, pmz_ns now);
/* How many callers have not left yet. */
unsigned lane_pending(struct lane *lane);
/* At once: who has not left yet stays PENDING, and nothing changes any more. */
void lane_stop(struct lane *lane);
/* Waits for the attempts under way, after lane_stop(). */
void lane_join(struct lane *lane);
void lane_free(struct lane *lane);

/* What a lane did from one instant up to another, and how it is at the end. */
struct sample {
	unsigned answered, failed, refused;
	unsigned attempts; /* since the sample before */
	pmz_ns latency;    /* median of the answers; 0: there were none */
	unsigned in_flight, waiting;
	int breaker; /* a pmz_breaker_state; 0: there is none */
};

/* One thread only. */
void lane_sample(struct lane *lane, pmz_ns from, pmz_ns to, struct sample *out);

#endif
