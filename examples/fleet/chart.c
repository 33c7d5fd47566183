/*
 * chart.c - the timeline as an SVG element: panels over one axis of time.
 *
 * Where an endpoint is ejected, the panels are shaded in its colour, and a bar
 * of its own below says so.
 */
#include "page.h"

#include <math.h>

#include "svg.h"

#define TOP 8.0

/* How many ticks make a point. */
static int stride_of(const struct timeline *t)
{
	return (timeline_length(t) + SVG_POINTS - 1) / SVG_POINTS;
}

static int points_of(const struct timeline *t)
{
	return t->ticks / stride_of(t);
}

/* The shares of the endpoints below this one, in percent, at a point. */
static double stacked(const struct timeline *t, int below, int point)
{
	int stride = stride_of(t), i;
	double sum = 0;

	for (i = 0; i < below; i++)
		sum += timeline_share(t, i, point * stride,
		                      (point + 1) * stride);
	return sum * 100;
}

static void draw_corner(FILE *out, const struct timeline *t,
                        const struct panel *p, int below, int point)
{
	double at = (point + 0.5) * stride_of(t) * seconds(TICK);

	fprintf(out, "%.1f,%.1f ", svg_x(t->lasts, at),
	        svg_y(p, stacked(t, below, point)));
}

/* To the right along its upper edge, and back along the lower. */
static void draw_area(FILE *out, const struct timeline *t,
                      const struct panel *p, int endpoint)
{
	int points = points_of(t), i;

	fprintf(out, "<polygon class='area lane%d' points='", endpoint);
	for (i = 0; i < points; i++)
		draw_corner(out, t, p, endpoint + 1, i);
	for (i = points; i-- > 0;)
		draw_corner(out, t, p, endpoint, i);
	fprintf(out, "'/>\n");
}

static void draw_shares(FILE *out, const struct timeline *t, double top)
{
	struct panel p = {
		"Shares of the calls, in percent", 0, top, 0, 100, 4
	};
	int i;

	svg_panel(out, &p);
	for (i = 0; i < ENDPOINTS; i++)
		draw_area(out, t, &p, i);
}

static double latency_at(const struct timeline *t, int endpoint, int point)
{
	int stride = stride_of(t);
	struct sample s = timeline_span(t, endpoint, point * stride,
	                                (point + 1) * stride);

	return s.latency ? seconds(s.latency) : NAN;
}

static void draw_latencies(FILE *out, const struct timeline *t, double top)
{
	struct panel p = {
		"Latency of an answer, median", 1, top, INFINITY, 0, 0
	};
	double value[ENDPOINTS][SVG_POINTS];
	int points = points_of(t), i, j;

	for (i = 0; i < ENDPOINTS; i++) {
		for (j = 0; j < points; j++) {
			value[i][j] = latency_at(t, i, j);
			p.low = fmin(p.low, value[i][j]);
			p.high = fmax(p.high, value[i][j]);
		}
	}
	svg_fit(&p);
	svg_panel(out, &p);
	for (i = 0; i < ENDPOINTS; i++)
		svg_line(out, &p, t->lasts, i, value[i], points, stride_of(t));
}

static void draw_shade(FILE *out, const struct timeline *t, int endpoint,
                       double top, int from, int to)
{
	double left = svg_x(t->lasts, from * seconds(TICK));
	double right = svg_x(t->lasts, to * seconds(TICK));

	fprintf(out,
	        "<rect class='rest lane%d' x='%.1f' y='%.1f' width='%.1f' "
	        "height='%.0f'/>\n",
	        endpoint, left, top, right - left, SVG_PANEL);
}

static void draw_shades(FILE *out, const struct timeline *t, double top)
{
	int i, from, to;

	for (i = 0; i < ENDPOINTS; i++)
		for (from = 0; timeline_rest(t, i, &from, &to); from = to)
			draw_shade(out, t, i, top, from, to);
}

/* How the server is, and right below it when it is ejected. */
static void draw_fate(FILE *out, const struct timeline *t, int endpoint,
                      double top)
{
	const struct server *server = &t->client->server[endpoint];
	int i, from, to;

	fprintf(out,
	        "<text class='title' x='%.0f' y='%.1f'>%s, and when it is "
	        "ejected</text>\n",
	        SVG_LEFT, top - 8, server->name);
	for (i = 0; i < server->plot.phases; i++) {
		const struct phase *p = &server->plot.phase[i];
		char class[32];

		snprintf(class, sizeof(class), "state %s", p->name);
		svg_bar(out, t->lasts, class, seconds(p->from),
		        seconds(p->until), top, p->name);
	}
	for (from = 0; timeline_rest(t, endpoint, &from, &to); from = to)
		svg_bar(out, t->lasts, "ejected", from * seconds(TICK),
		        to * seconds(TICK), top + SVG_STRIP, "ejected");
}

static void draw_head(FILE *out, const struct story *story, double height)
{
	const struct timeline *t = story->timeline;

	fprintf(out,
	        "<svg viewBox='0 0 %.0f %.0f' role='img' "
	        "aria-labelledby='chart-title chart-text'>\n"
	        "<title id='chart-title'>The fleet, second by second</title>\n"
	        "<desc id='chart-text'>Shares of the calls and latency of %d "
	        "endpoints, and when each is slow, dead or ejected, over %.0f "
	        "seconds. The table below has the figures.</desc>\n",
	        SVG_WIDTH, height, ENDPOINTS, seconds(t->lasts));
}

void chart_write(FILE *out, const struct story *story)
{
	const struct timeline *t = story->timeline;
	double shares = TOP + SVG_GAP;
	double latencies = shares + SVG_PANEL + SVG_GAP;
	double fates = latencies + SVG_PANEL + SVG_GAP;
	double fate = 2 * SVG_STRIP + SVG_GAP;
	double bottom = fates + ENDPOINTS * fate - SVG_GAP + 12;
	int i;

	draw_head(out, story, bottom + 26);
	draw_shares(out, t, shares);
	draw_latencies(out, t, latencies);
	draw_shades(out, t, shares);
	draw_shades(out, t, latencies);
	for (i = 0; i < ENDPOINTS; i++)
		draw_fate(out, t, i, fates + i * fate);
	svg_time(out, t->lasts, bottom);
	fprintf(out, "</svg>\n");
}
