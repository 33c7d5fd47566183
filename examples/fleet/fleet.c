/*
 * fleet.c - three servers and a balancer; one turns slow, one dies and returns.
 *
 *   fleet [PAGE]
 *
 * The servers are real ones on this machine, and their troubles too. A client
 * sends them a steady load by the balancer below. In a terminal the shares are
 * drawn as they go; in the end there are a table, and a PAGE with the whole
 * timeline. It fails if the dead server got more calls than the rule of the
 * detector allows. DEMO_SECONDS makes it shorter or longer.
 *
 *   server      an upstream that may also die, by its script
 *   client      callers, workers, and the balancer around each attempt
 *   timeline    what the endpoints did, tick by tick
 *   rule        how many calls a dead endpoint may get
 *   summary     what became of the calls in the end
 *   screen      the shares in a terminal, on a canvas
 *   page        the same as HTML, with a chart
 *
 * and what it shares with the outage, in examples/common; outage.c lists that.
 */
#define _POSIX_C_SOURCE 200809L
#include "html.h"
#include "life.h"
#include "page.h"
#include "screen.h"

#define PAGE "build/fleet.html"

/* Where a script says `fail`, nobody listens. */
static const struct {
	const char *name, *script;
} scripts[ENDPOINTS] = {
	{ "alpha", "15s ok 20ms..30ms" },
	{ "bravo", "2s ok 20ms..30ms | 4s slow 160ms..200ms | "
	           "9s ok 20ms..30ms" },
	{ "charlie", "7s ok 20ms..30ms | 4s fail | 4s ok 20ms..30ms" },
};
#define MORTAL 2

/* The balancer. The spans are written for a demo of 15 seconds, and shrink with
 * it as the phases do.
 *   consecutive  who fails so often in a row is ejected ...
 *   base         ... for so long, and longer each time
 *   interval     so often the detector looks who is slow: whose p95 is ...
 *   slow         ... so many times the median of the three
 *   most         of three, two may rest at a time
 *   panic        and then the third bears it alone */
#define WRITTEN_FOR PMZ_S(15)
#define CONSECUTIVE 5
#define BASE PMZ_S(1)
#define SLOW_START PMZ_S(1)
#define SLOW_PCT 400
#define MOST_PCT 67
#define PANIC_PCT 30
#define CALLS_MIN 5 /* in an interval: a slow endpoint has few */

#define PIPE_LINE                                  \
	"tries 3 backoff 5ms..50ms jitter full | " \
	"budget 20% floor 10/s | try 500ms | total 1s"

#define GRACE PMZ_S(1) /* for callers who are there when the demo ends */

struct demo {
	pmz_ns starts, lasts;
	struct server server[ENDPOINTS];
	struct client client;
	pthread_t door;
	int open;
	struct rule rule;
	struct timeline timeline;
	struct screen screen;
	struct story story;
	char about[160];
};

static int fail(const char *what, const pmz_why *why)
{
	fprintf(stderr, "%s: %s\n", what, why->text);
	return -1;
}

static int make_balance(struct demo *demo)
{
	pmz_balance_config config = { .size = sizeof(config) };
	pmz_why why;
	uint32_t i;

	config.strategy = PMZ_LEAST;
	config.panic_pct = PANIC_PCT;
	config.slow_start_ns =
		life_scaled(SLOW_START, WRITTEN_FOR, demo->lasts);
	config.eject_interval_ns = config.eject_base_ns = demo->rule.base;
	config.eject_consecutive = CONSECUTIVE;
	config.eject_max_pct = MOST_PCT;
	config.eject_slow_pct = SLOW_PCT;
	config.eject_calls_min = CALLS_MIN;
	if (pmz_balance_new(&demo->client.balance, &config, &why))
		return fail("the balancer", &why);
	for (i = 0; i < ENDPOINTS; i++) {
		uint32_t number;

		/* The first numbers, in order. */
		if (pmz_balance_add(demo->client.balance, demo->server[i].name,
		                    1, demo->starts, &number) != PMZ_OK ||
		    number != i)
			return -1;
	}
	return 0;
}

static int make_client(struct demo *demo)
{
	pmz_why why;

	demo->client.server = demo->server;
	if (pmz_pipe_from(&demo->client.pipe, PIPE_LINE, NULL, &why))
		return fail("the pipe", &why);
	return make_balance(demo);
}

static int read_scripts(struct demo *demo)
{
	int i;

	for (i = 0; i < ENDPOINTS; i++)
		if (server_read(&demo->server[i], scripts[i].name,
		                scripts[i].script))
			return -1;
	demo->lasts = life_length(demo->server[0].plot.written);
	demo->starts = pmz_now() + TICK;
	for (i = 0; i < ENDPOINTS; i++)
		plot_start(&demo->server[i].plot, demo->lasts, demo->starts);
	return 0;
}

static void set_rule(struct demo *demo)
{
	char text[SPAN_TEXT];

	demo->rule.consecutive = CONSECUTIVE;
	demo->rule.workers = WORKERS;
	demo->rule.base = life_scaled(BASE, WRITTEN_FOR, demo->lasts);
	snprintf(demo->about, sizeof(demo->about),
	         "least in flight | eject %d consecutive, slow %d%% | "
	         "base %s | most %d%%",
	         CONSECUTIVE, SLOW_PCT, span_text(demo->rule.base, text),
	         MOST_PCT);
}

static void tell_watchers(struct demo *demo)
{
	demo->timeline.client = &demo->client;
	demo->timeline.starts = demo->starts;
	demo->timeline.lasts = demo->lasts;
	demo->screen.timeline = demo->story.timeline = &demo->timeline;
	demo->screen.about = demo->story.about = demo->about;
	demo->story.line = PIPE_LINE;
	demo->story.mortal = MORTAL;
}

static int prepare(struct demo *demo)
{
	if (read_scripts(demo))
		return -1;
	set_rule(demo);
	tell_watchers(demo);
	return make_client(demo);
}

static unsigned callers_of(const struct demo *demo)
{
	return (unsigned)(demo->lasts * CALLS_PER_S / PMZ_S(1));
}

static void *bring_callers(void *arg)
{
	struct demo *demo = arg;
	struct crowd *crowd = &demo->client.crowd;

	crowd_bring(&crowd, 1, demo->starts, CALLS_PER_S, callers_of(demo));
	return NULL;
}

static int open_all(struct demo *demo)
{
	int i, failed = 0;

	for (i = 0; i < ENDPOINTS && !failed; i++)
		failed = server_start(&demo->server[i]);
	if (failed || client_start(&demo->client, callers_of(demo)) ||
	    pthread_create(&demo->door, NULL, bring_callers, demo)) {
		perror("cannot start the servers and their client");
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
	       crowd_pending(&demo->client.crowd))
		pmz_sleep_until(pmz_now() + TICK);
}

/* The client first, so that nobody meets a server that hangs up in the end. */
static void close_all(struct demo *demo)
{
	int i;

	crowd_stop(&demo->client.crowd);
	if (demo->open)
		pthread_join(demo->door, NULL);
	crowd_join(&demo->client.crowd);
	for (i = 0; i < ENDPOINTS; i++)
		server_stop(&demo->server[i]);
}

static void tell_rule(struct demo *demo, const struct verdict *v)
{
	const struct rule *rule = &demo->rule;
	char dead[SPAN_TEXT], base[SPAN_TEXT];

	snprintf(demo->story.rule, sizeof(demo->story.rule),
	         "The rule: dead for %s, %s is tried %u times (at once, after "
	         "%s,\n then after every two of these), each time by %u calls "
	         "that fail and %u\n still out: %u at most. It got %u.",
	         span_text(v->dead, dead), demo->server[MORTAL].name, v->times,
	         span_text(rule->base, base), rule->consecutive - 1,
	         rule->workers, v->allowed, v->got);
}

static void judge(struct demo *demo)
{
	struct story *story = &demo->story;
	uint32_t i;

	for (i = 0; i < ENDPOINTS; i++)
		story->verdict[i] = rule_judge(&demo->rule, &demo->client, i);
	summary_callers(&demo->client, &story->callers);
	tell_rule(demo, &story->verdict[MORTAL]);
}

/* Whether it died, was found out, and came back, by the rule. */
static int worked(const struct demo *demo)
{
	const struct verdict *v = &demo->story.verdict[MORTAL];
	const char *name = demo->server[MORTAL].name;

	if (!demo->story.callers.answered || !v->got) {
		fprintf(stderr, "nobody was answered, or nobody called %s\n",
		        name);
		return 0;
	}
	if (v->got > v->allowed) {
		fprintf(stderr, "%s got %u calls while dead, %u allowed\n",
		        name, v->got, v->allowed);
		return 0;
	}
	return 1;
}

static int report(struct demo *demo, const char *page)
{
	struct table_row rows[SUMMARY_ROWS];
	struct table table = { ENDPOINTS, SUMMARY_ROWS, { NULL }, rows };
	int i;

	judge(demo);
	summary_rows(&demo->timeline, demo->story.verdict, rows);
	for (i = 0; i < ENDPOINTS; i++)
		table.heading[i] = demo->server[i].name;
	if (table_print(&demo->screen.canvas, &table, "") ||
	    page_write(&demo->story, &table, page))
		return -1;
	printf(" %s\n The whole timeline: %s\n", demo->story.rule, page);
	if (fflush(stdout))
		return -1;
	return worked(demo) ? 0 : -1;
}

static void clean_up(struct demo *demo)
{
	client_free(&demo->client);
	pmz_balance_free(demo->client.balance);
	pmz_pipe_free(demo->client.pipe);
}

static int live_through(struct demo *demo, const char *page)
{
	int failed = open_all(demo) || watch(demo);

	if (!failed)
		let_callers_leave(demo);
	close_all(demo);
	return failed || life_interrupted() ? -1 : report(demo, page);
}

int main(int argc, char **argv)
{
	static struct demo demo;
	const char *page = argc > 1 ? argv[1] : PAGE;
	int failed;

	if (argc > 2 || (argc > 1 && argv[1][0] == '-')) {
		fprintf(stderr, "usage: %s [PAGE]\n", argv[0]);
		return 2;
	}
	life_heed_signals();
	failed = html_try(page) || prepare(&demo) || live_through(&demo, page);
	clean_up(&demo);
	return life_interrupted() ? 130 : failed;
}
