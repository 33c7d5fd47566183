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

/* The part of the demo that one column stands for. */
struct column {
	double seconds;
	struct sample s;
};

struct chart {
	int width;
	struct column column[BLOCKS_MAX];
};

static void chart_of(const struct screen *s, int lane, struct chart *chart)
{
	const struct timeline *t = s->timeline;
	int length = timeline_length(t), i;

	chart->width = blocks_width(&s->canvas);
	for (i = 0; i < chart->width; i++) {
		struct column *column = &chart->column[i];
		int from, to;

		blocks_ticks(&s->canvas, i, length, t->ticks, &from, &to);
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
		blocks_put(c,
		           blocks_level(answers_of(column), max, BLOCKS_TALL),
		           line);
	}
	canvas_paint(c, PLAIN);
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
		blocks_put(c, blocks_latency(latency, BLOCKS_TALL), line);
	}
	canvas_paint(c, PLAIN);
}

static void draw_answers(struct screen *s, const struct chart *chart,
                         double max, const struct sample *now)
{
	struct canvas *c = &s->canvas;

	blocks_label(c, "answers/s");
	put_answers(c, chart, max, 1);
	canvas_putf(c, " %4u/s answered", now->answered);
	canvas_line(c);
	blocks_label(c, "");
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
	blocks_label(c, "latency");
	put_latency(c, chart, 1);
	canvas_putf(c, " %6s p50", text);
	canvas_line(c);
	blocks_label(c, "10ms..10s");
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

	blocks_label(c, "in flight");
	for (i = 0; i < chart->width; i++) {
		unsigned n = chart->column[i].s.in_flight;

		canvas_paint(c, paint_of_load(n));
		blocks_put(c, blocks_level(n, WORKERS, BLOCKS_LOW), 0);
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

	blocks_label(c, "breaker");
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
	canvas_go(c, BLOCKS_LEFT);
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

static void draw_phases(struct screen *s)
{
	const struct timeline *t = s->timeline;
	struct canvas *c = &s->canvas;

	blocks_label(c, "upstream");
	phases_names(c, t->plot);
	canvas_line(c);
	phases_bar(c, t->plot, (pmz_ns)t->ticks * TICK);
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
	canvas_go(c, BLOCKS_LEFT + blocks_width(c) + 1);
	canvas_putf(c, "%4.1f of %.0f s", seconds((pmz_ns)t->ticks * TICK),
	            seconds(t->plot->lasts));
	canvas_line(c);
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
	draw_phases(s);
	for (i = 0; i < LANES; i++)
		draw_lane(s, i, &charts[i], max);
	blocks_stages(&s->canvas, "the pipe", s->line);
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
