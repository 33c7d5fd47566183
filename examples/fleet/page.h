/*
 * page.h - the whole timeline as one HTML page that needs nothing else.
 *
 * Threads: one.
 */
#ifndef FLEET_PAGE_H
#define FLEET_PAGE_H

#include "summary.h"

struct story {
	const struct timeline *timeline;
	const char *about; /* the balancer, in a few words */
	const char *line;  /* the pipe's */
	struct verdict verdict[ENDPOINTS];
	struct callers callers;
	int mortal;     /* the endpoint that dies */
	char rule[256]; /* with the number, in a sentence */
};

/* 0, or -1 after saying on stderr why it cannot be written. */
int page_write(const struct story *story, const struct table *table,
               const char *path);

/* The timeline as an SVG element; its colours are classes of the page. */
void chart_write(FILE *out, const struct story *story);

#endif
