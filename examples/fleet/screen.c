/*
 * screen.c - the endpoints as they go: drawn in a terminal, else told in lines.
 *
 *   share      ▂███▇▃▃▃▂▁▁▁▁     34 % of the calls
 *   latency    ▁▁▁▁▂▄▅▅▆▆▆       27 ms p50
 */
#include "screen.h"

#define SLOW PMZ_MS(100) /* is painted as such */

/* What an endpoint did in the part of the demo that a character stands for. */
struct column {
	double share;
	struct sample s;
};

struct chart {
	int width;
	struct column column[BLOCKS_MAX];
	struct column
		now; /* the last second, and whether it rests at its end */
};

static void chart_of(const struct screen *s, int endpoint, struct chart *chart)
{
	const struct timeline *t = s->timeline;
	int length = timeline_length(t), from, to, i;

	chart->width = blocks_width(&s->canvas);
	for (i = 0; i < chart->width; i++) {
		blocks_ticks(&s->canvas, i, length, t->ticks, &from, &to);
		chart->column[i].share = timeline_share(t, endpoint, from, to);
		chart->column[i].s = timeline_span(t, endpoint, from, to);
	}
	from = t->ticks - SECOND;
	to = t->ticks;
	chart->now.share = timeline_share(t, endpoint, from, to);
	chart->now.s = timeline_span(t, endpoint, from, to);
	chart->now.s.rest = timeline_span(t, endpoint, to - 1, to).rest;
}

static enum paint paint_of_share(const struct sample *s)
{
	if (!s->failed)
		return GOOD;
	return s->answered >= s->failed ? FAIR : BAD;
}

static void put_share(struct canvas *c, const struct chart *chart, int line)
{
	int i;

	for (i = 0; i < chart->width; i++) {
		const struct column *column = &chart->column[i];

		canvas_paint(c, paint_of_share(&column->s));
		blocks_put(c, blocks_level(column->share, 1, BLOCKS_TALL),
		           line);
	}
	canvas_paint(c, PLAIN);
}

static void draw_share(struct canvas *c, const struct chart *chart)
{
	const struct sample *now = &chart->now.s;

	blocks_label(c, "share");
	put_share(c, chart, 1);
	canvas_putf(c, " %4.0f %% of calls", chart->now.share * 100);
	canvas_line(c);
	blocks_label(c, "0..100 %");
	put_share(c, chart, 0);
	canvas_putf(c, " %4u/s, %u failed", now->answered + now->failed,
	            now->failed);
	canvas_line(c);
}

static void draw_latency(struct canvas *c, const struct chart *chart)
{
	char text[SPAN_TEXT] = "-";
	int i;

	if (chart->now.s.latency)
		span_text(chart->now.s.latency, text);
	blocks_label(c, "latency");
	for (i = 0; i < chart->width; i++) {
		pmz_ns latency = chart->column[i].s.latency;

		canvas_paint(c, latency < SLOW ? GOOD : FAIR);
		blocks_put(c, blocks_latency(latency, BLOCKS_LOW), 0);
	}
	canvas_paint(c, PLAIN);
	canvas_putf(c, " %6s p50", text);
	canvas_line(c);
}

/* A rest that follows another at once begins with a gap. */
static const char *rest_block(const struct chart *chart, int i)
{
	unsigned rest = chart->column[i].s.rest;
	unsigned before = i ? chart->column[i - 1].s.rest : 0;

	if (!rest)
		return " ";
	return before && rest != before ? "▐" : "█";
}

static void draw_rests(struct canvas *c, const struct chart *chart)
{
	int i;

	blocks_label(c, "ejected");
	canvas_paint(c, WORSE);
	for (i = 0; i < chart->width; i++)
		canvas_put(c, rest_block(chart, i));
	canvas_paint(c, PLAIN);
	canvas_put(c, chart->now.s.rest ? "   ejected" : "   in the set");
	canvas_line(c);
}

static void draw_endpoint(struct screen *s, int endpoint)
{
	const struct server *server = &s->timeline->client->server[endpoint];
	struct canvas *c = &s->canvas;
	struct chart chart;

	chart_of(s, endpoint, &chart);
	canvas_put(c, " ");
	canvas_paint(c, STRONG);
	canvas_put(c, server->name);
	phases_names(c, &server->plot);
	canvas_line(c);
	draw_share(c, &chart);
	draw_latency(c, &chart);
	draw_rests(c, &chart);
	canvas_line(c);
}

static void draw_title(struct screen *s)
{
	const struct timeline *t = s->timeline;
	struct canvas *c = &s->canvas;

	canvas_paint(c, STRONG);
	canvas_put(c, " libpipemaze");
	canvas_paint(c, PLAIN);
	canvas_put(c, "  three servers and a balancer");
	canvas_go(c, BLOCKS_LEFT + blocks_width(c) + 1);
	canvas_putf(c, "%4.1f of %.0f s", seconds((pmz_ns)t->ticks * TICK),
	            seconds(t->lasts));
	canvas_line(c);
	canvas_line(c);
}

static void draw_callers(struct screen *s)
{
	const struct timeline *t = s->timeline;
	struct departures now =
		timeline_callers(t, t->ticks - SECOND, t->ticks);
	struct canvas *c = &s->canvas;

	blocks_label(c, "callers");
	canvas_putf(c, "%u/s answered, %u/s failed, %u waiting", now.answered,
	            now.failed + now.refused, now.waiting);
	canvas_line(c);
	blocks_stages(c, "balancer", s->about);
}

static int draw(struct screen *s)
{
	int i;

	canvas_begin(&s->canvas);
	draw_title(s);
	for (i = 0; i < ENDPOINTS; i++)
		draw_endpoint(s, i);
	draw_callers(s);
	return canvas_end(&s->canvas);
}

static void tell_heading(struct screen *s)
{
	struct canvas *c = &s->canvas;
	int i;

	canvas_begin(c);
	canvas_putf(c, "the balancer: %s", s->about);
	canvas_line(c);
	canvas_put(c, " time");
	for (i = 0; i < ENDPOINTS; i++)
		canvas_putf(c, "  %-22s", s->timeline->client->server[i].name);
	canvas_put(c, "  answered/s  failed");
	canvas_line(c);
	canvas_end(c);
}

/* "ejected", or else how the server is. */
static const char *state_word(const struct timeline *t, int endpoint)
{
	if (timeline_span(t, endpoint, t->ticks - 1, t->ticks).rest)
		return "ejected";
	return plot_phase(&t->client->server[endpoint].plot,
	                  timeline_now(t) - TICK)
	        ->name;
}

static void tell_endpoint(struct screen *s, int endpoint)
{
	const struct timeline *t = s->timeline;
	int from = t->ticks - SECOND;
	struct sample now = timeline_span(t, endpoint, from, t->ticks);
	char latency[SPAN_TEXT] = "-";

	if (now.latency)
		span_text(now.latency, latency);
	canvas_putf(&s->canvas, "  %3.0f %% %8s %-7s",
	            timeline_share(t, endpoint, from, t->ticks) * 100, latency,
	            state_word(t, endpoint));
}

static int tell(struct screen *s)
{
	const struct timeline *t = s->timeline;
	struct departures now =
		timeline_callers(t, t->ticks - SECOND, t->ticks);
	int i;

	if (t->ticks % SECOND)
		return 0;
	canvas_begin(&s->canvas);
	canvas_putf(&s->canvas, "%3.0f s", seconds((pmz_ns)t->ticks * TICK));
	for (i = 0; i < ENDPOINTS; i++)
		tell_endpoint(s, i);
	canvas_putf(&s->canvas, "   %10u %7u", now.answered,
	            now.failed + now.refused);
	canvas_line(&s->canvas);
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
