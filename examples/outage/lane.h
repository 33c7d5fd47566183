/*
 * lane.h - a service that calls the upstream for its own callers.
 *
 * The two lanes are the same but for one function: what a worker does to get
 * an answer, by itself (lane_call_naively) or through a pipe
 * (lane_call_through_pipe).
 *
 * Threads: as crowd.h says.
 */
#ifndef OUTAGE_LANE_H
#define OUTAGE_LANE_H

#include "crowd.h"
#include "demo.h"
#include "plot.h"

#define NAIVE_TRIES 3

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
	struct crowd crowd;
};

enum ending lane_call_naively(struct errand *errand);
enum ending lane_call_through_pipe(struct errand *errand);

/* Fill in the first part of the lane, the rest being zero. 0, or -1: stop, join
 * and free its crowd either way. */
int lane_start(struct lane *lane, unsigned callers_max);

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
