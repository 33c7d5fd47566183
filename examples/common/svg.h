/*
 * svg.h - panels of a chart over one axis of time, as elements of an SVG.
 *
 * What things look like is said by the classes of html.h.
 *
 * Threads: one.
 */
#ifndef COMMON_SVG_H
#define COMMON_SVG_H

#include "spans.h"

#define SVG_WIDTH 960.0
#define SVG_LEFT 58.0 /* of the panels: their scale */
#define SVG_RIGHT 20.0
#define SVG_PANEL 104.0 /* how high one is */
#define SVG_GAP 38.0    /* above a panel: its title */
#define SVG_STRIP 18.0  /* how high a bar is */
#define SVG_POINTS 100  /* of a line, at most */

struct panel {
	const char *title;
	int logarithmic;
	double top;
	double low, high; /* of the values; then of the scale */
	int steps;        /* from low to high */
};

/* Extends the scale to whole steps, or to whole decades. */
void svg_fit(struct panel *p);
/* Its title and its scale, once it fits. */
void svg_panel(FILE *out, const struct panel *p);

/* Where an instant lies in a demo of that length. */
double svg_x(pmz_ns lasts, double at);
double svg_y(const struct panel *p, double value);

/* Through points that are `stride` ticks wide; a gap where there is no value,
 * NAN; a value between two gaps is a dot. */
void svg_line(FILE *out, const struct panel *p, pmz_ns lasts, int series,
              const double *value, int points, int stride);
/* A bar between two instants, with a word inside if there is room. */
void svg_bar(FILE *out, pmz_ns lasts, const char *class, double from, double to,
             double top, const char *word);
void svg_time(FILE *out, pmz_ns lasts, double bottom);

#endif
