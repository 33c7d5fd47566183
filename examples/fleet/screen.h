/*
 * screen.h - the endpoints as they go: drawn in a terminal, else told in lines.
 *
 * Threads: one.
 */
#ifndef FLEET_SCREEN_H
#define FLEET_SCREEN_H

#include "phases.h"
#include "timeline.h"

struct screen {
	struct canvas canvas;
	const struct timeline *timeline;
	const char *about; /* the balancer, in a few words */
};

/* Once the fields but for the canvas are set. */
void screen_open(struct screen *s);
/* After each tick: 0, or -1 if nobody is looking. */
int screen_show(struct screen *s);
/* Gives the terminal back, and leaves the last frame there. */
void screen_close(struct screen *s);

#endif
