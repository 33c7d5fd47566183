/*
 * outage.c - one outage, lived through with and without a pipe.
 *
 *   outage [PAGE [SCRIPT]]
 *
 * A real HTTP server falls ill by a script (outage.txt). Two services live
 * through it, with the same callers, as many threads, and a copy of the server
 * each: one calls it as many services do, the other through the pipe below. In
 * a terminal both are drawn as they go; in the end there are a table, and a
 * PAGE with the whole timeline. DEMO_SECONDS makes it shorter or longer.
 *
 *   lane        a crowd, and the two ways to call the upstream
 *   timeline    what the lanes did, tick by tick
 *   summary     what became of their callers in the end
 *   screen      both lanes in a terminal, on a canvas
 *   page        the same as HTML, with a chart
 *
 * and what it shares with other demos, in examples/common:
 *
 *   plot        the fault script on the real clock
 *   http        one GET with a deadline, on both of its ends
 *   upstream    the server
 *   crowd       callers and workers
 *   life        how long it lives
 *   canvas, blocks, phases; html, svg; table    how things are shown
 */
#define _POSIX_C_SOURCE 200809L

#include "html.h"
#include "life.h"
#include "page.h"
#include "screen.h"
#include "summary.h"
#include "timeline.h"
#include "upstream.h"

#define PAGE "build/outage.html"
#define SCRIPT "examples/outage/outage.txt"

/* The whole difference between the lanes.
 *   breaker   half of a second's calls failed: leave it alone, then ask again
 *   bulkhead  as many calls at once as the upstream has hands: none queue there
 *   rate      above what callers ask for, below what a storm of retries would
 *   tries     again, but later, and each at another time ...
 *   budget    ... and for no more than a fifth of the calls
 *   try       twice what a slow answer takes, and
 *   total     nobody waits longer than this
 * The breaker's spans are written for a demo of 20 seconds, and shrink with it
 * as the phases do. The others are about single calls, and stay. */
#define PIPE_LINE                                                          \
	"breaker 50%% over %s min 20 open %s..%s | bulkhead 8 | "          \
	"rate 200/s burst 20 | tries 3 backoff 50ms..250ms jitter full | " \
	"budget 20%% | try 300ms | total 1s"
#define WRITTEN_FOR PMZ_S(20)
#define WINDOW PMZ_S(1)
#define OPEN_MIN PMZ_MS(250)
#define OPEN_MAX PMZ_S(1)

/* Likewise, but never so short that it would help. */
#define NAIVE_TIME_OUT PMZ_S(2)
#define NAIVE_TIME_OUT_MIN PMZ_S(1)

#define GRACE PMZ_S(2) /* for callers who are there when the demo ends */

struct demo {
	struct plot plot;
	struct upstream *upstream[LANES];
	struct lane lane[LANES];
	pmz_pipe *pipe;
	pthread_t door;
	int open;
	struct timeline timeline;
	struct screen screen;
	struct story story;
	char line[256], about[LANES][80];
};

/* A span that was written for 20 seconds, for a demo of this length. */
static pmz_ns scaled(pmz_ns span, pmz_ns length)
{
	return life_scaled(span, WRITTEN_FOR, length);
}

/* As a pipe's line spells it. */
static const char *spelt(pmz_ns span, char out[SPAN_TEXT])
{
	unsigned ms = (unsigned)(span / PMZ_MS(1));

	if (ms % 1000)
		snprintf(out, SPAN_TEXT, "%ums", ms);
	else
		snprintf(out, SPAN_TEXT, "%us", ms / 1000);
	return out;
}

static int make_pipe(struct demo *demo)
{
	pmz_ns length = demo->plot.lasts;
	char window[SPAN_TEXT], open_min[SPAN_TEXT], open_max[SPAN_TEXT];
	pmz_why why;

	snprintf(demo->line, sizeof(demo->line), PIPE_LINE,
	         spelt(scaled(WINDOW, length), window),
	         spelt(scaled(OPEN_MIN, length), open_min),
	         spelt(scaled(OPEN_MAX, length), open_max));
	if (pmz_pipe_from(&demo->pipe, demo->line, NULL, &why) == PMZ_OK)
		return 0;
	fprintf(stderr, "the pipe, byte %u: %s\n", (unsigned)why.column,
	        why.text);
	return -1;
}

static void make_lanes(struct demo *demo)
{
	struct lane *without = &demo->lane[WITHOUT];
	struct lane *with = &demo->lane[WITH];
	char text[SPAN_TEXT];

	without->name = "WITHOUT";
	without->call = lane_call_naively;
	without->time_out = scaled(NAIVE_TIME_OUT, demo->plot.lasts);
	if (without->time_out < NAIVE_TIME_OUT_MIN)
		without->time_out = NAIVE_TIME_OUT_MIN;
	snprintf(demo->about[WITHOUT], sizeof(demo->about[WITHOUT]),
	         "%d workers, time-out %s, up to %d tries in a row", WORKERS,
	         spelt(without->time_out, text), NAIVE_TRIES);

	with->name = "WITH";
	with->call = lane_call_through_pipe;
	with->pipe = demo->pipe;
	snprintf(demo->about[WITH], sizeof(demo->about[WITH]),
	         "%d workers, and the pipe below", WORKERS);
}

/* A demo of another length than its script's is not quite the same. */
static void note_scale(struct demo *demo)
{
	char *note = demo->story.note;

	if (demo->plot.lasts != demo->plot.written)
		snprintf(note, sizeof(demo->story.note),
		         "Phases, breaker and time-out are scaled from %g s "
		         "to %g s.",
		         seconds(demo->plot.written),
		         seconds(demo->plot.lasts));
}

static void tell_watchers(struct demo *demo)
{
	int i;

	demo->timeline.plot = &demo->plot;
	demo->screen.timeline = demo->story.timeline = &demo->timeline;
	demo->screen.line = demo->story.line = demo->line;
	for (i = 0; i < LANES; i++) {
		demo->timeline.lane[i] = &demo->lane[i];
		demo->screen.about[i] = demo->about[i];
		demo->story.about[i] = demo->about[i];
	}
}

static int prepare(struct demo *demo, const char *script)
{
	if (plot_read(&demo->plot, script))
		return -1;
	plot_start(&demo->plot, life_length(demo->plot.written),
	           pmz_now() + TICK);
	if (make_pipe(demo))
		return -1;
	make_lanes(demo);
	note_scale(demo);
	tell_watchers(demo);
	return 0;
}

static unsigned callers_of(const struct demo *demo)
{
	return (unsigned)(demo->plot.lasts * CALLS_PER_S / PMZ_S(1));
}

/* The same callers come to both lanes, at the same instants. */
static void *bring_callers(void *arg)
{
	struct demo *demo = arg;
	struct crowd *crowds[LANES] = { &demo->lane[WITHOUT].crowd,
		                        &demo->lane[WITH].crowd };

	crowd_bring(crowds, LANES, demo->plot.starts, CALLS_PER_S,
	            callers_of(demo));
	return NULL;
}

static int open_lane(struct demo *demo, int i)
{
	struct lane *lane = &demo->lane[i];

	demo->upstream[i] = upstream_new(&demo->plot);
	if (!demo->upstream[i])
		return -1;
	lane->plot = &demo->plot;
	lane->port = upstream_port(demo->upstream[i]);
	return lane_start(lane, callers_of(demo));
}

static int open_lanes(struct demo *demo)
{
	if (open_lane(demo, WITHOUT) || open_lane(demo, WITH) ||
	    pthread_create(&demo->door, NULL, bring_callers, demo)) {
		perror("cannot start the upstream and its callers");
		return -1;
	}
	demo->open = 1;
	return 0;
}

/* Until the last tick, or until nobody wants to see more: -1. */
static int watch(struct demo *demo)
{
	struct timeline *t = &demo->timeline;
	int failed = 0;

	screen_open(&demo->screen);
	while (t->ticks < timeline_length(t) && !failed &&
	       !life_interrupted()) {
		pmz_sleep_until(timeline_now(t) + TICK);
		timeline_tick(t);
		failed = screen_show(&demo->screen);
	}
	screen_close(&demo->screen);
	return life_interrupted() ? -1 : failed;
}

static void let_callers_leave(struct demo *demo)
{
	pmz_ns until = pmz_now() + GRACE;

	while (!life_interrupted() && pmz_now() < until &&
	       crowd_pending(&demo->lane[WITHOUT].crowd) +
	               crowd_pending(&demo->lane[WITH].crowd))
		pmz_sleep_until(pmz_now() + TICK);
}

/* The upstream hangs up here, so that no worker sits through a time-out. */
static void close_lanes(struct demo *demo)
{
	int i;

	for (i = 0; i < LANES; i++)
		crowd_stop(&demo->lane[i].crowd);
	if (demo->open)
		pthread_join(demo->door, NULL);
	for (i = 0; i < LANES; i++)
		upstream_free(demo->upstream[i]);
	for (i = 0; i < LANES; i++)
		crowd_join(&demo->lane[i].crowd);
}

/* Whether the lanes went through it all, and one of them well. */
static int worked(const struct demo *demo)
{
	const struct summary *without = &demo->story.summary[WITHOUT];
	const struct summary *with = &demo->story.summary[WITH];

	if (!without->answered || !with->answered) {
		fprintf(stderr, "the upstream has answered nobody\n");
		return 0;
	}
	if (with->healed && with->recovered_after == PMZ_NEVER) {
		fprintf(stderr, "the lane with the pipe is not well again\n");
		return 0;
	}
	return 1;
}

static int report(struct demo *demo, const char *page)
{
	struct table_row rows[SUMMARY_ROWS];
	struct table table = {
		LANES,
		SUMMARY_ROWS,
		{ "WITHOUT", "WITH" },
		rows,
	};
	int i;

	for (i = 0; i < LANES; i++)
		summary_of(&demo->lane[i], &demo->story.summary[i]);
	summary_rows(demo->story.summary, rows);
	if (table_print(&demo->screen.canvas, &table, demo->story.note) ||
	    page_write(&demo->story, &table, page))
		return -1;
	printf(" The whole timeline: %s\n", page);
	if (fflush(stdout))
		return -1;
	return worked(demo) ? 0 : -1;
}

static void clean_up(struct demo *demo)
{
	int i;

	for (i = 0; i < LANES; i++)
		crowd_free(&demo->lane[i].crowd);
	pmz_pipe_free(demo->pipe);
}

static int live_through(struct demo *demo, const char *page)
{
	int failed = open_lanes(demo) || watch(demo);

	if (!failed)
		let_callers_leave(demo);
	close_lanes(demo);
	return failed || life_interrupted() ? -1 : report(demo, page);
}

int main(int argc, char **argv)
{
	static struct demo demo;
	const char *page = argc > 1 ? argv[1] : PAGE;
	const char *script = argc > 2 ? argv[2] : SCRIPT;
	int failed;

	if (argc > 3 || (argc > 1 && argv[1][0] == '-')) {
		fprintf(stderr, "usage: %s [PAGE [SCRIPT]]\n", argv[0]);
		return 2;
	}
	life_heed_signals();
	failed = html_try(page) || prepare(&demo, script) ||
	         live_through(&demo, page);
	clean_up(&demo);
	return life_interrupted() ? 130 : failed;
}
