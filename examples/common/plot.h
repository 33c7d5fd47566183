/*
 * plot.h - the fault script of the upstream, played on the real clock.
 *
 * Threads: any, once plot_start() has returned.
 */
#ifndef COMMON_PLOT_H
#define COMMON_PLOT_H

#include "spans.h"

#define PHASES_MAX 32

struct phase {
	const char *name;
	int sick;           /* not "ok" */
	pmz_ns from, until; /* since the plot started, on the real clock */
};

struct plot {
	pmz_script script;
	char text[4096];
	pmz_ns written; /* how long the script takes as it is written */
	pmz_ns lasts;   /* how long it takes here */
	pmz_ns starts;
	int phases;
	struct phase phase[PHASES_MAX];
};

/* Both 0, or -1 after saying on stderr what is wrong with the file, or with the
 * text that bears a name. */
int plot_read(struct plot *plot, const char *path);
int plot_from(struct plot *plot, const char *text, const char *name);

/* Plays all of it in `lasts`, from `now` on. */
void plot_start(struct plot *plot, pmz_ns lasts, pmz_ns now);

/* What becomes of an attempt that reaches the upstream now, and after what. */
pmz_outcome plot_attempt(const struct plot *plot, pmz_ns now, uint64_t seed,
                         pmz_ns *lasts);
const struct phase *plot_phase(const struct plot *plot, pmz_ns now);

/* When the last sick phase ended; PMZ_NEVER if none did. */
pmz_ns plot_healed_at(const struct plot *plot);

#endif
