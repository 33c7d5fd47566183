/*
 * page.h - the whole timeline as one HTML page that needs nothing else.
 *
 * Threads: one.
 */
#ifndef OUTAGE_PAGE_H
#define OUTAGE_PAGE_H

#include "summary.h"
#include "timeline.h"

struct story {
	const struct timeline *timeline;
	const char *line;         /* the pipe's */
	const char *about[LANES]; /* each lane, in a few words */
	struct summary summary[LANES];
	char note[128]; /* how the demo was scaled, if it was */
};

/* 0, or -1 after saying on stderr why it cannot be written. */
int page_write(const struct story *story, const struct table *table,
               const char *path);

/* The timeline as an SVG element; its colours are classes of the page. */
void chart_write(FILE *out, const struct story *story);

#endif
