/*
 * timeline.h - what both lanes did, tick by tick.
 *
 * Threads: one.
 */
#ifndef OUTAGE_TIMELINE_H
#define OUTAGE_TIMELINE_H

#include "lane.h"

struct timeline {
	const struct plot *plot;
	struct lane *lane[LANES];
	int ticks;
	struct sample sample[LANES][TICKS_MAX];
};

/* How many ticks there will be. */
int timeline_length(const struct timeline *t);
/* The end of the last one. */
pmz_ns timeline_now(const struct timeline *t);

/* "closed", "open", "half open"; "-" for 0. */
const char *breaker_word(int state);

/* Looks at both lanes at the end of the next tick. */
void timeline_tick(struct timeline *t);

/* The ticks [from, to) as one sample: sums, the last of what is `at its end`,
 * and the worst of the breaker. */
struct sample timeline_span(const struct timeline *t, int lane, int from,
                            int to);

#endif
