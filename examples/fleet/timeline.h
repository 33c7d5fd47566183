/*
 * timeline.h - what the endpoints did, tick by tick.
 *
 * Threads: one.
 */
#ifndef FLEET_TIMELINE_H
#define FLEET_TIMELINE_H

#include "client.h"

struct timeline {
	struct client *client;
	pmz_ns starts, lasts;
	int ticks;
	struct sample sample[ENDPOINTS][TICKS_MAX];
	struct departures callers[TICKS_MAX];
};

/* How many ticks there will be. */
int timeline_length(const struct timeline *t);
/* The end of the last one. */
pmz_ns timeline_now(const struct timeline *t);
/* Looks at all endpoints at the end of the next tick. */
void timeline_tick(struct timeline *t);

/* The ticks [from, to) as one sample: sums, and its last rest. */
struct sample timeline_span(const struct timeline *t, int endpoint, int from,
                            int to);
/* The endpoint's part of all attempts that ended in them, 0 to 1. */
double timeline_share(const struct timeline *t, int endpoint, int from, int to);
/* The callers who left in them. */
struct departures timeline_callers(const struct timeline *t, int from, int to);

/* The next rest that begins at *from or later: 0, or 1 with the ticks
 * [*from, *to). */
int timeline_rest(const struct timeline *t, int endpoint, int *from, int *to);

#endif
