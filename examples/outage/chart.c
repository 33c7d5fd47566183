/*
 * chart.c - the timeline as an SVG element: panels over one axis of time.
 */
#include "page.h"

#include <math.h>
#include <string.h>

#define WIDTH 960.0
#define LEFT 58.0 /* of the panels: their scale */
#define RIGHT 20.0
#define TOP 34.0     /* the names of the phases */
#define HEIGHT 104.0 /* of a panel */
#define GAP 38.0     /* above a panel: its title */
#define STRIP 18.0
#define POINTS_MAX 100 /* of a line */
#define STEPS_MAX 4    /* of a scale, and of time */
#define TIMES_MAX 12

typedef double (*value_fn)(const struct sample *s, double length);

struct panel {
	const char *title;
	value_fn value; /* NAN where there is none */
	int logarithmic;
	double top, low, high;
	int steps; /* from low to high */
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
	return (timeline_length(t) + POINTS_MAX - 1) / POINTS_MAX;
}

static double value_at(const struct timeline *t, const struct panel *panel,
                       int lane, int tick)
{
	struct sample s = timeline_span(t, lane, tick, tick + stride_of(t));

	return panel->value(&s, stride_of(t) * seconds(TICK));
}

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

static double x_of(const struct timeline *t, double at)
{
	double share = at / seconds(t->plot->lasts);

	return LEFT + fmin(fmax(share, 0), 1) * (WIDTH - LEFT - RIGHT);
}

static double y_of(const struct panel *p, double value)
{
	double share = (value - p->low) / (p->high - p->low);

	if (p->logarithmic)
		share = log10(value / p->low) / log10(p->high / p->low);
	return p->top + HEIGHT * (1 - fmin(fmax(share, 0), 1));
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

static void find_range(const struct timeline *t, struct panel *p)
{
	int lane, tick;

	p->low = INFINITY;
	p->high = 0;
	for (lane = 0; lane < LANES; lane++) {
		for (tick = 0; tick < t->ticks; tick += stride_of(t)) {
			double value = value_at(t, p, lane, tick);

			p->low = fmin(p->low, value);
			p->high = fmax(p->high, value);
		}
	}
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

static void draw_grid_line(FILE *out, const struct panel *p, double value)
{
	char text[SPAN_TEXT];
	double y = y_of(p, value);

	if (p->logarithmic)
		decade_text(value, text);
	else
		snprintf(text, sizeof(text), "%.0f", value);
	fprintf(out,
	        "<path class='grid' d='M%.0f %.1fH%.0f'/>"
	        "<text class='scale' x='%.0f' y='%.1f'>%s</text>\n",
	        LEFT, y, WIDTH - RIGHT, LEFT - 8, y + 4, text);
}

static void draw_scale(FILE *out, const struct panel *p)
{
	int i;

	for (i = 0; i <= p->steps; i++)
		draw_grid_line(out, p,
		               p->logarithmic ? p->low * pow(10, i)
		                              : p->high / p->steps * i);
}

/* A gap where there is no value; a value between two gaps is a dot. */
static void draw_line(FILE *out, const struct timeline *t,
                      const struct panel *p, int lane)
{
	int stride = stride_of(t), tick, drawing = 0;

	fprintf(out, "<path class='line lane%d' d='", lane);
	for (tick = 0; tick + stride <= t->ticks; tick += stride) {
		double value = value_at(t, p, lane, tick);
		double middle = (tick + stride / 2.0) * seconds(TICK);

		if (isnan(value)) {
			drawing = 0;
			continue;
		}
		fprintf(out, drawing ? "L%.1f %.1f" : "M%.1f %.1fh0",
		        x_of(t, middle), y_of(p, value));
		drawing = 1;
	}
	fprintf(out, "'/>\n");
}

static void draw_panel(FILE *out, const struct timeline *t, struct panel *p)
{
	int lane;

	find_range(t, p);
	if (p->logarithmic)
		set_decades(p);
	else
		set_steps(p);
	fprintf(out, "<text class='title' x='%.0f' y='%.1f'>%s</text>\n", LEFT,
	        p->top - 10, p->title);
	draw_scale(out, p);
	for (lane = 0; lane < LANES; lane++)
		draw_line(out, t, p, lane);
}

/* What all callers together ask for. */
static void draw_demand(FILE *out, const struct panel *p)
{
	double y = y_of(p, CALLS_PER_S);

	fprintf(out,
	        "<path class='demand' d='M%.0f %.1fH%.0f'/>"
	        "<text class='beside' x='%.0f' y='%.1f'>%d callers/s</text>\n",
	        LEFT, y, WIDTH - RIGHT, WIDTH - RIGHT - 6, y + 17, CALLS_PER_S);
}

static void draw_state(FILE *out, const struct timeline *t, double top,
                       int state, int from, int to)
{
	double left = x_of(t, from * seconds(TICK));
	double width = x_of(t, to * seconds(TICK)) - left;

	fprintf(out,
	        "<rect class='breaker%d' x='%.1f' y='%.1f' width='%.1f' "
	        "height='%.0f'/>\n",
	        state, left, top, width, STRIP);
	if (width > 72)
		fprintf(out,
		        "<text class='inside' x='%.1f' y='%.1f'>%s</text>\n",
		        left + width / 2, top + STRIP - 5, breaker_word(state));
}

static void draw_legend(FILE *out, double y)
{
	static const int states[] = { PMZ_CLOSED, PMZ_HALF_OPEN, PMZ_OPEN };
	static const double before_end[] = { 222, 146, 52 };
	int i;

	for (i = 0; i < 3; i++) {
		double x = WIDTH - RIGHT - before_end[i];

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
	        LEFT, top - 8);
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
	        LEFT, top - 8);
	for (lane = 0; lane < LANES; lane++, top += STRIP + 4) {
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
		        fmax(2, x_of(t, well) - x_of(t, healed)), STRIP,
		        x_of(t, healed) - 8, top + STRIP - 5,
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

static void draw_time(FILE *out, const struct timeline *t, double bottom)
{
	double length = seconds(t->plot->lasts);
	double step = step_for(length, TIMES_MAX), at;

	for (at = 0; at <= length * 1.001; at += step)
		fprintf(out,
		        "<path class='tick' d='M%.1f %.0fv5'/>"
		        "<text class='time' x='%.1f' y='%.0f'>%g s</text>\n",
		        x_of(t, at), bottom, x_of(t, at), bottom + 19, at);
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
	        WIDTH, height, seconds(t->plot->lasts));
	for (i = 0; i < t->plot->phases; i++)
		fprintf(out, "%s %s", i ? "," : "", t->plot->phase[i].name);
	fprintf(out, ". The table below has the figures.</desc>\n");
}

void chart_write(FILE *out, const struct story *story)
{
	struct panel panels[] = {
		{ .title = "Answers per second", .value = answers },
		{ .title = "Latency of an answer, median",
		  .value = latency,
		  .logarithmic = 1 },
		{ .title = "Attempts sent to the upstream per second",
		  .value = attempts },
		{ .title = "Callers waiting or being served",
		  .value = waiting },
	};
	const struct timeline *t = story->timeline;
	const int n = sizeof(panels) / sizeof(panels[0]);
	double breaker = TOP + n * (GAP + HEIGHT) + GAP;
	double recovery = breaker + STRIP + GAP;
	double bottom = recovery + 2 * STRIP + 12;
	int i;

	draw_head(out, t, bottom + 26);
	draw_phases(out, t, bottom);
	for (i = 0; i < n; i++) {
		panels[i].top = TOP + GAP + i * (GAP + HEIGHT);
		draw_panel(out, t, &panels[i]);
	}
	draw_demand(out, &panels[0]);
	draw_breaker(out, t, breaker);
	if (story->summary[WITH].healed)
		draw_recovery(out, story, recovery);
	draw_time(out, t, bottom);
	fprintf(out, "</svg>\n");
}
