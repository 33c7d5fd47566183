/*
 * chart.c - the timeline as an SVG element: panels over one axis of time.
 */
#include "page.h"

#include <math.h>

#include "svg.h"

#define TOP 34.0 /* the names of the phases */

typedef double (*value_fn)(const struct sample *s, double length);

struct graph {
	struct panel panel;
	value_fn value; /* NAN where there is none */
};

static double answers(const struct sample *s, double length)
{
	return s->answered / length;
}

static double latency(const struct sample *s, double length)
{
	(void)length;
	return s->latency ? seconds(s->latency) : NAN;
}

static double attempts(const struct sample *s, double length)
{
	return s->attempts / length;
}

static double waiting(const struct sample *s, double length)
{
	(void)length;
	return s->waiting + s->in_flight;
}

/* How many ticks make a point. */
static int stride_of(const struct timeline *t)
{
	return (timeline_length(t) + SVG_POINTS - 1) / SVG_POINTS;
}

static double value_at(const struct timeline *t, const struct graph *graph,
                       int lane, int tick)
{
	struct sample s = timeline_span(t, lane, tick, tick + stride_of(t));

	return graph->value(&s, stride_of(t) * seconds(TICK));
}

static double x_of(const struct timeline *t, double at)
{
	return svg_x(t->plot->lasts, at);
}

static void find_range(const struct timeline *t, struct graph *g)
{
	struct panel *p = &g->panel;
	int lane, tick;

	p->low = INFINITY;
	p->high = 0;
	for (lane = 0; lane < LANES; lane++) {
		for (tick = 0; tick < t->ticks; tick += stride_of(t)) {
			double value = value_at(t, g, lane, tick);

			p->low = fmin(p->low, value);
			p->high = fmax(p->high, value);
		}
	}
}

static void draw_line(FILE *out, const struct timeline *t,
                      const struct graph *g, int lane)
{
	int stride = stride_of(t), points = 0, tick;
	double value[SVG_POINTS];

	for (tick = 0; tick + stride <= t->ticks; tick += stride)
		value[points++] = value_at(t, g, lane, tick);
	svg_line(out, &g->panel, t->plot->lasts, lane, value, points, stride);
}

static void draw_graph(FILE *out, const struct timeline *t, struct graph *g)
{
	int lane;

	find_range(t, g);
	svg_fit(&g->panel);
	svg_panel(out, &g->panel);
	for (lane = 0; lane < LANES; lane++)
		draw_line(out, t, g, lane);
}

/* What all callers together ask for. */
static void draw_demand(FILE *out, const struct panel *p)
{
	double y = svg_y(p, CALLS_PER_S);

	fprintf(out,
	        "<path class='demand' d='M%.0f %.1fH%.0f'/>"
	        "<text class='beside' x='%.0f' y='%.1f'>%d callers/s</text>\n",
	        SVG_LEFT, y, SVG_WIDTH - SVG_RIGHT, SVG_WIDTH - SVG_RIGHT - 6,
	        y + 17, CALLS_PER_S);
}

static void draw_state(FILE *out, const struct timeline *t, double top,
                       int state, int from, int to)
{
	char class[16];

	snprintf(class, sizeof(class), "breaker%d", state);
	svg_bar(out, t->plot->lasts, class, from * seconds(TICK),
	        to * seconds(TICK), top, breaker_word(state));
}

static void draw_legend(FILE *out, double y)
{
	static const int states[] = { PMZ_CLOSED, PMZ_HALF_OPEN, PMZ_OPEN };
	static const double before_end[] = { 222, 146, 52 };
	int i;

	for (i = 0; i < 3; i++) {
		double x = SVG_WIDTH - SVG_RIGHT - before_end[i];

		fprintf(out,
		        "<rect class='breaker%d' x='%.0f' y='%.1f' width='11' "
		        "height='11' rx='2'/>"
		        "<text class='soft' x='%.0f' y='%.1f'>%s</text>\n",
		        states[i], x, y - 10, x + 17, y,
		        breaker_word(states[i]));
	}
}

static void draw_breaker(FILE *out, const struct timeline *t, double top)
{
	const struct sample *s = t->sample[WITH];
	int from = 0, tick;

	fprintf(out,
	        "<text class='title' x='%.0f' y='%.1f'>Breaker of the pipe"
	        "</text>\n",
	        SVG_LEFT, top - 8);
	draw_legend(out, top - 8);
	for (tick = 1; tick <= t->ticks; tick++) {
		if (tick < t->ticks && s[tick].breaker == s[from].breaker)
			continue;
		draw_state(out, t, top, s[from].breaker, from, tick);
		from = tick;
	}
}

/* How long each lane needed after the upstream was well: to the right from
 * there, and in words to the left. */
static void draw_recovery(FILE *out, const struct story *story, double top)
{
	const struct timeline *t = story->timeline;
	double healed = seconds(plot_healed_at(t->plot) - t->plot->starts);
	int lane;

	fprintf(out,
	        "<text class='title' x='%.0f' y='%.1f'>"
	        "Until the lanes are well again</text>\n",
	        SVG_LEFT, top - 8);
	for (lane = 0; lane < LANES; lane++, top += SVG_STRIP + 4) {
		pmz_ns after = story->summary[lane].recovered_after;
		double well = after == PMZ_NEVER ? seconds(t->plot->lasts)
		                                 : healed + seconds(after);
		char text[SPAN_TEXT] = "not by the end";

		if (after != PMZ_NEVER)
			span_text(after, text);
		fprintf(out,
		        "<rect class='bar lane%d' x='%.1f' y='%.1f' "
		        "width='%.1f' height='%.0f'/>"
		        "<text class='beside' x='%.1f' y='%.1f'>"
		        "%s: %s</text>\n",
		        lane, x_of(t, healed), top,
		        fmax(2, x_of(t, well) - x_of(t, healed)), SVG_STRIP,
		        x_of(t, healed) - 8, top + SVG_STRIP - 5,
		        t->lane[lane]->name, text);
	}
}

static void draw_phases(FILE *out, const struct timeline *t, double bottom)
{
	int i;

	for (i = 0; i < t->plot->phases; i++) {
		const struct phase *p = &t->plot->phase[i];
		double left = x_of(t, seconds(p->from));
		double right = x_of(t, seconds(p->until));

		fprintf(out,
		        "<rect class='phase %s' x='%.1f' y='0' width='%.1f' "
		        "height='%.0f'/>"
		        "<text class='name' x='%.1f' y='17'>%s</text>\n",
		        p->name, left, right - left, bottom, (left + right) / 2,
		        p->name);
	}
}

static void draw_head(FILE *out, const struct timeline *t, double height)
{
	int i;

	fprintf(out,
	        "<svg viewBox='0 0 %.0f %.0f' role='img' "
	        "aria-labelledby='chart-title chart-text'>\n"
	        "<title id='chart-title'>The outage, second by second</title>\n"
	        "<desc id='chart-text'>Answers per second, latency, attempts "
	        "per second and waiting callers of both lanes, and the "
	        "state of the breaker, over %.0f seconds in which the upstream "
	        "is",
	        SVG_WIDTH, height, seconds(t->plot->lasts));
	for (i = 0; i < t->plot->phases; i++)
		fprintf(out, "%s %s", i ? "," : "", t->plot->phase[i].name);
	fprintf(out, ". The table below has the figures.</desc>\n");
}

void chart_write(FILE *out, const struct story *story)
{
	struct graph graphs[] = {
		{ { .title = "Answers per second" }, answers },
		{ { .title = "Latency of an answer, median", .logarithmic = 1 },
		  latency },
		{ { .title = "Attempts sent to the upstream per second" },
		  attempts },
		{ { .title = "Callers waiting or being served" }, waiting },
	};
	const struct timeline *t = story->timeline;
	const int n = sizeof(graphs) / sizeof(graphs[0]);
	double breaker = TOP + n * (SVG_GAP + SVG_PANEL) + SVG_GAP;
	double recovery = breaker + SVG_STRIP + SVG_GAP;
	double bottom = recovery + 2 * SVG_STRIP + 12;
	int i;

	draw_head(out, t, bottom + 26);
	draw_phases(out, t, bottom);
	for (i = 0; i < n; i++) {
		graphs[i].panel.top = TOP + SVG_GAP + i * (SVG_GAP + SVG_PANEL);
		draw_graph(out, t, &graphs[i]);
	}
	draw_demand(out, &graphs[0].panel);
	draw_breaker(out, t, breaker);
	if (story->summary[WITH].healed)
		draw_recovery(out, story, recovery);
	svg_time(out, t->plot->lasts, bottom);
	fprintf(out, "</svg>\n");
}
