/*
 * svg.c - panels of a chart over one axis of time, as elements of an SVG.
 */
#include "svg.h"

#include <math.h>

#define STEPS_MAX 4 /* of a scale */
#define TIMES_MAX 12
#define WORD 72 /* what a word inside a bar needs */

/* A decade: "1 ms", "100 ms", "10 s". */
static void decade_text(double value, char out[SPAN_TEXT])
{
	if (value < 0.9e-3)
		snprintf(out, SPAN_TEXT, "%.0f us", value * 1e6);
	else if (value < 0.9)
		snprintf(out, SPAN_TEXT, "%.0f ms", value * 1e3);
	else
		snprintf(out, SPAN_TEXT, "%.0f s", value);
}

double svg_x(pmz_ns lasts, double at)
{
	double share = at / seconds(lasts);

	return SVG_LEFT +
	       fmin(fmax(share, 0), 1) * (SVG_WIDTH - SVG_LEFT - SVG_RIGHT);
}

double svg_y(const struct panel *p, double value)
{
	double share = (value - p->low) / (p->high - p->low);

	if (p->logarithmic)
		share = log10(value / p->low) / log10(p->high / p->low);
	return p->top + SVG_PANEL * (1 - fmin(fmax(share, 0), 1));
}

/* 1, 2 or 5 times a power of ten, so that `span` has at most `most` steps. */
static double step_for(double span, int most)
{
	double unit = pow(10, floor(log10(span / most)));

	if (span <= unit * most)
		return unit;
	if (span <= 2 * unit * most)
		return 2 * unit;
	return span <= 5 * unit * most ? 5 * unit : 10 * unit;
}

/* To whole decades, of which there are a few. */
static void set_decades(struct panel *p)
{
	double from = floor(log10(fmin(fmax(p->low, 1e-6), 1)));
	double to = ceil(log10(fmin(fmax(p->high, 1e-6), SECONDS_MAX)));

	p->steps = to > from ? (int)(to - from) : 1;
	p->low = pow(10, from);
	p->high = pow(10, from + p->steps);
}

/* From 0, in whole steps. */
static void set_steps(struct panel *p)
{
	double high = fmax(p->high, 1), step = step_for(high, STEPS_MAX);

	p->steps = (int)ceil(high / step);
	p->low = 0;
	p->high = p->steps * step;
}

void svg_fit(struct panel *p)
{
	if (p->logarithmic)
		set_decades(p);
	else
		set_steps(p);
}

static void draw_grid_line(FILE *out, const struct panel *p, double value)
{
	char text[SPAN_TEXT];
	double y = svg_y(p, value);

	if (p->logarithmic)
		decade_text(value, text);
	else
		snprintf(text, sizeof(text), "%.0f", value);
	fprintf(out,
	        "<path class='grid' d='M%.0f %.1fH%.0f'/>"
	        "<text class='scale' x='%.0f' y='%.1f'>%s</text>\n",
	        SVG_LEFT, y, SVG_WIDTH - SVG_RIGHT, SVG_LEFT - 8, y + 4, text);
}

void svg_panel(FILE *out, const struct panel *p)
{
	int i;

	fprintf(out, "<text class='title' x='%.0f' y='%.1f'>%s</text>\n",
	        SVG_LEFT, p->top - 10, p->title);
	for (i = 0; i <= p->steps; i++)
		draw_grid_line(out, p,
		               p->logarithmic ? p->low * pow(10, i)
		                              : p->high / p->steps * i);
}

void svg_line(FILE *out, const struct panel *p, pmz_ns lasts, int series,
              const double *value, int points, int stride)
{
	int i, drawing = 0;

	fprintf(out, "<path class='line lane%d' d='", series);
	for (i = 0; i < points; i++) {
		double middle = (i + 0.5) * stride * seconds(TICK);

		if (isnan(value[i])) {
			drawing = 0;
			continue;
		}
		fprintf(out, drawing ? "L%.1f %.1f" : "M%.1f %.1fh0",
		        svg_x(lasts, middle), svg_y(p, value[i]));
		drawing = 1;
	}
	fprintf(out, "'/>\n");
}

void svg_bar(FILE *out, pmz_ns lasts, const char *class, double from, double to,
             double top, const char *word)
{
	double left = svg_x(lasts, from);
	double width = svg_x(lasts, to) - left;

	fprintf(out,
	        "<rect class='%s' x='%.1f' y='%.1f' width='%.1f' "
	        "height='%.0f'/>\n",
	        class, left, top, width, SVG_STRIP);
	if (width > WORD)
		fprintf(out,
		        "<text class='inside' x='%.1f' y='%.1f'>%s</text>\n",
		        left + width / 2, top + SVG_STRIP - 5, word);
}

void svg_time(FILE *out, pmz_ns lasts, double bottom)
{
	double length = seconds(lasts);
	double step = step_for(length, TIMES_MAX), at;

	for (at = 0; at <= length * 1.001; at += step)
		fprintf(out,
		        "<path class='tick' d='M%.1f %.0fv5'/>"
		        "<text class='time' x='%.1f' y='%.0f'>%g s</text>\n",
		        svg_x(lasts, at), bottom, svg_x(lasts, at), bottom + 19,
		        at);
}
