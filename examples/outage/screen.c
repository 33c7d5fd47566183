/*
 * screen.c - both lanes as they go: drawn in a terminal, else told in lines.
 *
 *   answers/s  ▂███▇▃▃▃▂▁▁▁▁    52/s answered    Time goes to the right, and
 *   latency    ▁▁▁▁▂▄▅▅▆▆▆     612 ms p50         all of the demo fits in.
 */
#include "screen.h"

#include <math.h>
#include <string.h>

#include <pipemaze/edge.h>

#define LEFT 12  /* of the charts: their labels */
#define RIGHT 19 /* of the charts: their figures */
#define CHART_MIN 10
#define CHART_MAX 240
#define LEVELS 8 /* of a block character */
/* Of charts in one line and in two, with a hair left above them. */
#define LOW (LEVELS - 1)
#define TALL (2 * LEVELS - 1)
#define SECOND 10 /* ticks */

/* What the chart of latencies spans: 10 ms to 10 s. */
#define FASTEST 0.010
#define DECADES 3

/* The part of the demo that one column stands for. */
struct column {
	double seconds;
	struct sample s;
};

struct chart {
	int width;
	struct column column[CHART_MAX];
};

static int chart_width(const struct canvas *c)
{
	int width = c->columns - LEFT - RIGHT - 1;

	if (width < CHART_MIN)
		return CHART_MIN;
	return width < CHART_MAX ? width : CHART_MAX;
}

static void chart_of(const struct screen *s, int lane, struct chart *chart)
{
	const struct timeline *t = s->timeline;
	int length = timeline_length(t), i;

	chart->width = chart_width(&s->canvas);
	for (i = 0; i < chart->width; i++) {
		struct column *column = &chart->column[i];
		int from = i * length / chart->width;
		int to = (i + 1) * length / chart->width;

		if (to == from)
			to++;
		if (to > t->ticks && from < t->ticks)
			to = t->ticks;
		column->seconds = (to - from) * seconds(TICK);
		column->s = timeline_span(t, lane, from, to);
	}
}

/* The last second, and how the breaker is at the end of it. */
static struct sample just_now(const struct screen *s, int lane)
{
	const struct timeline *t = s->timeline;
	struct sample now;

	now = timeline_span(t, lane, t->ticks - SECOND, t->ticks);
	now.breaker = timeline_span(t, lane, t->ticks - 1, t->ticks).breaker;
	return now;
}

static double answers_of(const struct column *column)
{
	return column->s.answered / column->seconds;
}

/* The highest rate of both lanes so far, so that they compare. */
static double answers_max(const struct chart *charts)
{
	double max = CALLS_PER_S * 1.25;
	int lane, i;

	for (lane = 0; lane < LANES; lane++)
		for (i = 0; i < charts[lane].width; i++)
			max = fmax(max, answers_of(&charts[lane].column[i]));
	return max;
}

/* How high a value stands, in eighths of a line; what there is can be seen. */
static int level_of(double value, double max, int levels)
{
	int level = (int)lround(value / max * levels);

	if (level < 1)
		return value > 0;
	return level < levels ? level : levels;
}

static void put_block(struct canvas *c, int level, int line)
{
	static const char *const blocks[LEVELS + 1] = {
		" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█",
	};
	int here = level - line * LEVELS;

	here = here < 0 ? 0 : here > LEVELS ? LEVELS : here;
	canvas_put(c, blocks[here]);
}

static enum paint paint_of_answers(const struct sample *s)
{
	unsigned left = s->answered + s->failed + s->refused;

	if (s->answered * 10 >= left * 9)
		return GOOD;
	return s->failed > s->refused ? BAD : FAIR;
}

static void put_answers(struct canvas *c, const struct chart *chart, double max,
                        int line)
{
	int i;

	for (i = 0; i < chart->width; i++) {
		const struct column *column = &chart->column[i];

		canvas_paint(c, paint_of_answers(&column->s));
		put_block(c, level_of(answers_of(column), max, TALL), line);
	}
	canvas_paint(c, PLAIN);
}

/* On a logarithmic scale; 0 for none. */
static double decades_of(pmz_ns latency)
{
	return latency ? fmax(log10(seconds(latency) / FASTEST), 0.01) : 0;
}

static enum paint paint_of_latency(pmz_ns latency)
{
	if (latency <= PMZ_MS(IN_TIME_MS))
		return GOOD;
	return latency < PMZ_S(1) ? FAIR : BAD;
}

static void put_latency(struct canvas *c, const struct chart *chart, int line)
{
	int i;

	for (i = 0; i < chart->width; i++) {
		pmz_ns latency = chart->column[i].s.latency;

		canvas_paint(c, paint_of_latency(latency));
		put_block(c, level_of(decades_of(latency), DECADES, TALL),
		          line);
	}
	canvas_paint(c, PLAIN);
}

static void label(struct canvas *c, const char *text)
{
	canvas_put(c, " ");
	canvas_paint(c, FAINT);
	canvas_put(c, text);
	canvas_paint(c, PLAIN);
	canvas_go(c, LEFT);
}

static void draw_answers(struct screen *s, const struct chart *chart,
                         double max, const struct sample *now)
{
	struct canvas *c = &s->canvas;

	label(c, "answers/s");
	put_answers(c, chart, max, 1);
	canvas_putf(c, " %4u/s answered", now->answered);
	canvas_line(c);
	label(c, "");
	put_answers(c, chart, max, 0);
	canvas_putf(c, " %4u/s failed", now->failed);
	canvas_line(c);
}

static void draw_latency(struct screen *s, const struct chart *chart,
                         const struct sample *now)
{
	struct canvas *c = &s->canvas;
	char text[SPAN_TEXT] = "-";

	if (now->latency)
		span_text(now->latency, text);
	label(c, "latency");
	put_latency(c, chart, 1);
	canvas_putf(c, " %6s p50", text);
	canvas_line(c);
	label(c, "10ms..10s");
	put_latency(c, chart, 0);
	canvas_putf(c, " %4u/s refused", now->refused);
	canvas_line(c);
}

static enum paint paint_of_load(unsigned in_flight)
{
	if (in_flight < WORKERS / 2)
		return GOOD;
	return in_flight < WORKERS ? FAIR : BAD;
}

static void draw_in_flight(struct screen *s, const struct chart *chart,
                           const struct sample *now)
{
	struct canvas *c = &s->canvas;
	int i;

	label(c, "in flight");
	for (i = 0; i < chart->width; i++) {
		unsigned n = chart->column[i].s.in_flight;

		canvas_paint(c, paint_of_load(n));
		put_block(c, level_of(n, WORKERS, LOW), 0);
	}
	canvas_paint(c, PLAIN);
	canvas_putf(c, " %4u, %u waiting", now->in_flight, now->waiting);
	canvas_line(c);
}

static void put_breaker(struct canvas *c, int breaker)
{
	static const enum paint paints[] = { PLAIN, GOOD, BAD, FAIR };
	static const char *const blocks[] = { " ", "▁", "█", "▄" };

	canvas_paint(c, paints[breaker]);
	canvas_put(c, blocks[breaker]);
}

static void draw_breaker(struct screen *s, const struct chart *chart,
                         const struct sample *now)
{
	struct canvas *c = &s->canvas;
	int i;

	label(c, "breaker");
	for (i = 0; i < chart->width; i++)
		put_breaker(c, chart->column[i].s.breaker);
	canvas_paint(c, PLAIN);
	canvas_putf(c, " %s", breaker_word(now->breaker));
	canvas_line(c);
}

static void draw_lane(struct screen *s, int lane, const struct chart *chart,
                      double max)
{
	struct sample now = just_now(s, lane);
	struct canvas *c = &s->canvas;

	canvas_put(c, " ");
	canvas_paint(c, STRONG);
	canvas_put(c, s->timeline->lane[lane]->name);
	canvas_go(c, LEFT);
	canvas_paint(c, PLAIN);
	canvas_put(c, s->about[lane]);
	canvas_line(c);
	draw_answers(s, chart, max, &now);
	draw_latency(s, chart, &now);
	draw_in_flight(s, chart, &now);
	if (s->timeline->lane[lane]->pipe)
		draw_breaker(s, chart, &now);
	canvas_line(c);
}

static enum paint paint_of_phase(const struct phase *phase)
{
	if (!phase->sick)
		return GOOD;
	if (!strcmp(phase->name, "slow"))
		return FAIR;
	return strcmp(phase->name, "hanging") ? BAD : WORSE;
}

static int column_of(const struct screen *s, pmz_ns since)
{
	double share = seconds(since) / seconds(s->timeline->plot->lasts);

	return LEFT + (int)(share * chart_width(&s->canvas) + 0.5);
}

static void draw_phase_names(struct screen *s)
{
	const struct plot *plot = s->timeline->plot;
	struct canvas *c = &s->canvas;
	int i;

	canvas_put(c, " ");
	canvas_paint(c, FAINT);
	canvas_put(c, "upstream");
	for (i = 0; i < plot->phases; i++) {
		const struct phase *p = &plot->phase[i];
		int room = column_of(s, p->until) - column_of(s, p->from) - 1;

		canvas_go(c, column_of(s, p->from));
		canvas_paint(c, paint_of_phase(p));
		canvas_putf(c, "%.*s", room, p->name);
	}
	canvas_line(c);
}

static void draw_phase_bar(struct screen *s)
{
	const struct plot *plot = s->timeline->plot;
	struct canvas *c = &s->canvas;
	int now = column_of(s, (pmz_ns)s->timeline->ticks * TICK), i;

	canvas_go(c, LEFT);
	for (i = 0; i < plot->phases; i++) {
		canvas_paint(c, paint_of_phase(&plot->phase[i]));
		while (c->column < column_of(s, plot->phase[i].until))
			canvas_put(c, c->column < now ? "━" : "─");
	}
	canvas_line(c);
}

static void draw_title(struct screen *s)
{
	const struct timeline *t = s->timeline;
	struct canvas *c = &s->canvas;

	canvas_paint(c, STRONG);
	canvas_put(c, " libpipemaze");
	canvas_paint(c, PLAIN);
	canvas_put(c, "  an outage, without and with a pipe");
	canvas_go(c, LEFT + chart_width(c) + 1);
	canvas_putf(c, "%4.1f of %.0f s", seconds((pmz_ns)t->ticks * TICK),
	            seconds(t->plot->lasts));
	canvas_line(c);
	canvas_line(c);
}

/* The pipe's line, broken between its stages where it must be. */
static void draw_pipe(struct screen *s)
{
	struct canvas *c = &s->canvas;
	const char *at = s->line;

	label(c, "the pipe");
	while (*at) {
		size_t n = strcspn(at, "|");

		n += at[n] == '|';
		n += strspn(at + n, " ");
		if (c->column > LEFT && c->column + (int)n > c->columns) {
			canvas_line(c);
			canvas_go(c, LEFT);
		}
		canvas_putf(c, "%.*s", (int)n, at);
		at += n;
	}
	canvas_line(c);
}

static int draw(struct screen *s)
{
	struct chart charts[LANES];
	double max;
	int i;

	canvas_begin(&s->canvas);
	for (i = 0; i < LANES; i++)
		chart_of(s, i, &charts[i]);
	max = answers_max(charts);
	draw_title(s);
	draw_phase_names(s);
	draw_phase_bar(s);
	for (i = 0; i < LANES; i++)
		draw_lane(s, i, &charts[i], max);
	draw_pipe(s);
	return canvas_end(&s->canvas);
}

static void tell_lane(struct screen *s, int lane)
{
	struct sample now = just_now(s, lane);
	const struct timeline *t = s->timeline;
	char latency[SPAN_TEXT] = "-";

	if (now.latency)
		span_text(now.latency, latency);
	canvas_putf(&s->canvas, "%3.0f s %-8s %-7s %9u %7u %8u %8s %7u %8u  %s",
	            seconds((pmz_ns)t->ticks * TICK),
	            plot_phase(t->plot, timeline_now(t) - TICK)->name,
	            t->lane[lane]->name, now.answered, now.failed, now.refused,
	            latency, now.in_flight, now.waiting,
	            breaker_word(now.breaker));
	canvas_line(&s->canvas);
}

static void tell_heading(struct screen *s)
{
	canvas_begin(&s->canvas);
	canvas_putf(&s->canvas, "the pipe: %s", s->line);
	canvas_line(&s->canvas);
	canvas_put(&s->canvas,
	           " time upstream lane    answered/s  failed  refused      "
	           "p50  flying  waiting  breaker");
	canvas_line(&s->canvas);
	canvas_end(&s->canvas);
}

static int tell(struct screen *s)
{
	int i;

	if (s->timeline->ticks % SECOND)
		return 0;
	canvas_begin(&s->canvas);
	for (i = 0; i < LANES; i++)
		tell_lane(s, i);
	return canvas_end(&s->canvas);
}

void screen_open(struct screen *s)
{
	canvas_init(&s->canvas);
	if (s->canvas.terminal)
		canvas_open(&s->canvas);
	else
		tell_heading(s);
}

int screen_show(struct screen *s)
{
	return s->canvas.terminal ? draw(s) : tell(s);
}

void screen_close(struct screen *s)
{
	canvas_close(&s->canvas);
	if (s->canvas.terminal)
		draw(s);
}
