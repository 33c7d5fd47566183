/*
 * pipe.c - random calls through a pipe: whatever they do, all is given back.
 *
 * Twelve calls share one pipe and take random steps, right ones and wrong ones,
 * at random times. A twin of the budget is told what the specification says
 * that each step does to it, and must agree at every point.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include <pipemaze/pipe.h>

#include "dice.h"
#include "must.h"
#include "words.h"

#define SEEDS 100
#define STEPS 1500
#define CALLS 12
#define BOOT PMZ_S(1000)

struct caller {
	pmz_call call;
	pmz_step step; /* 0: there is no call */
	int is_paid;   /* for the try that it waits for */
	uint32_t tries;
	pmz_ns deadline;
};

struct world {
	dice dice;
	pmz_ns now;
	pmz_breaker *breaker;
	pmz_bulkhead *bulkhead;
	pmz_budget *budget, *twin;
	pmz_bucket bucket;
	pmz_rate rate;
	pmz_backoff_rule backoff;
	pmz_pipe_config config;
	pmz_pipe *pipe;
	struct caller callers[CALLS];
	uint32_t limit, probes_max;
	uint64_t done[256]; /* by status, for the census */
};

#define ROOM 4096

static _Alignas(64) char budget_room[2][ROOM];
static pmz_budget_config budget_config;

static void make_breaker(struct world *w)
{
	pmz_breaker_config c = { .size = sizeof(c) };
	dice *d = &w->dice;

	c.failure_pct = (uint32_t)dice_between(d, 20, 100);
	c.calls_min = (uint32_t)dice_between(d, 1, 8);
	c.window_ns = PMZ_MS(dice_between(d, 100, 10000));
	c.open_ns = PMZ_MS(dice_between(d, 1, 500));
	c.probe_lease_ns = PMZ_MS(dice_between(d, 1, 2000));
	c.probes_max = w->probes_max = (uint32_t)dice_between(d, 1, 4);
	c.seed = 1;
	must_be(pmz_breaker_new(&w->breaker, &c, NULL), PMZ_OK);
	w->config.breaker = w->breaker;
}

static void make_bulkhead(struct world *w)
{
	pmz_bulkhead_config c = { .size = sizeof(c) };

	c.limit = w->limit = (uint32_t)dice_between(&w->dice, 1, 6);
	must_be(pmz_bulkhead_new(&w->bulkhead, &c, NULL), PMZ_OK);
	w->config.bulkhead = w->bulkhead;
}

static void make_budgets(struct world *w)
{
	memset(budget_room, 0, sizeof(budget_room));
	budget_config.size = sizeof(budget_config);
	budget_config.retry_pct = (uint32_t)dice_between(&w->dice, 10, 100);
	budget_config.ttl_ns = PMZ_MS(dice_between(&w->dice, 100, 5000));
	budget_config.per_second_min = 1;
	must_be(pmz_budget_place(&w->budget, budget_room[0], ROOM,
	                         &budget_config, NULL),
	        PMZ_OK);
	must_be(pmz_budget_place(&w->twin, budget_room[1], ROOM, &budget_config,
	                         NULL),
	        PMZ_OK);
	w->config.budget = w->budget;
}

static void make_rules(struct world *w)
{
	dice *d = &w->dice;

	w->backoff.size = sizeof(w->backoff);
	w->backoff.base_ns = PMZ_MS(dice_between(d, 1, 50));
	w->backoff.tries_max = (uint32_t)dice_between(d, 1, 5);
	w->backoff.jitter = (uint32_t)dice_between(d, 1, 4);
	w->config.backoff = &w->backoff;
	if (dice_once_in(d, 2))
		w->config.total_ns = PMZ_MS(dice_between(d, 1, 3000));
	if (dice_once_in(d, 2))
		w->config.wait_max_ns = PMZ_MS(dice_between(d, 1, 1000));
	if (dice_once_in(d, 2))
		w->config.try_ns = PMZ_MS(dice_between(d, 1, 1000));
}

static void create(struct world *w, int seed)
{
	dice *d = &w->dice;

	memset(w, 0, sizeof(*w));
	w->dice = dice_of(seed);
	w->now = BOOT;
	w->config.size = sizeof(w->config);
	w->limit = CALLS;
	if (!dice_once_in(d, 4))
		make_breaker(w);
	if (!dice_once_in(d, 4))
		make_bulkhead(w);
	if (!dice_once_in(d, 3))
		make_budgets(w);
	if (!dice_once_in(d, 3)) {
		must_be(pmz_rate_set(&w->rate, dice_between(d, 5, 100),
		                     PMZ_S(1), dice_between(d, 1, 9)),
		        PMZ_OK);
		w->config.bucket = &w->bucket;
		w->config.rate = &w->rate;
	}
	make_rules(w);
	must_be(pmz_pipe_new(&w->pipe, &w->config, NULL), PMZ_OK);
}

static void destroy(struct world *w)
{
	pmz_pipe_free(w->pipe);
	pmz_breaker_free(w->breaker);
	pmz_bulkhead_free(w->bulkhead);
}

/* What each step does to the budget, and to time. */

static void note_try(struct world *w, struct caller *c)
{
	if (!c->tries++ && w->twin)
		pmz_budget_deposit(w->twin, w->now);
	c->is_paid = 0;
	must_be(pmz_call_tries(&c->call), c->tries);
	must_fit(w->now, pmz_call_due(&c->call));
	must_fit(pmz_call_due(&c->call), c->deadline);
	if (w->config.try_ns)
		must_fit(pmz_call_due(&c->call), w->now + w->config.try_ns);
}

static void note_wait(struct world *w, struct caller *c, int was_tried)
{
	must_fit(w->now, pmz_call_due(&c->call));
	must_fit(pmz_call_due(&c->call), c->deadline);
	if (!was_tried)
		return;
	/* A wait between attempts is paid for, and not the last. */
	must_fit(c->tries + 1, w->backoff.tries_max);
	if (w->twin)
		must_be(pmz_budget_withdraw(w->twin, w->now), PMZ_OK);
	c->is_paid = 1;
}

static void note_done(struct world *w, struct caller *c, int was_tried)
{
	int status = pmz_call_status(&c->call);

	must(status >= 0, "%s", pmz_status_name(status));
	w->done[status]++;
	if (status == PMZ_REFUSED_BUDGET) {
		must(was_tried && w->twin, "refused out of turn");
		must_be(pmz_budget_withdraw(w->twin, w->now),
		        PMZ_REFUSED_BUDGET);
	}
	if (c->is_paid && w->twin)
		pmz_budget_refund(w->twin);
	c->is_paid = 0;
	/* A place to begin anew. */
	c->step = (pmz_step)0;
}

static void note(struct world *w, struct caller *c, pmz_step next,
                 int was_tried)
{
	c->step = next;
	switch (next) {
	case PMZ_TRY:
		note_try(w, c);
		break;
	case PMZ_WAIT:
		note_wait(w, c, was_tried);
		break;
	default:
		must_be(next, PMZ_DONE);
		note_done(w, c, was_tried);
	}
}

static void begin(struct world *w, struct caller *c)
{
	pmz_ask ask = { .size = sizeof(ask), .seed = dice_roll(&w->dice) };
	dice *d = &w->dice;

	if (dice_once_in(d, 4))
		ask.deadline = w->now + PMZ_MS(dice_between(d, 0, 2000));
	if (dice_once_in(d, 4))
		ask.tokens = (uint32_t)dice_between(d, 1, 10);
	memset(c, 0, sizeof(*c));
	c->deadline = ask.deadline ? ask.deadline : PMZ_NEVER;
	if (w->config.total_ns && w->now + w->config.total_ns < c->deadline)
		c->deadline = w->now + w->config.total_ns;
	note(w, c, pmz_call_begin(&c->call, w->pipe, &ask, w->now), 0);
}

static pmz_outcome any_outcome(dice *d)
{
	return dice_once_in(d, 2)
	               ? PMZ_SUCCESS
	               : (pmz_outcome)dice_between(d, PMZ_FAILURE, PMZ_FATAL);
}

static pmz_step any_settle(struct world *w, struct caller *c)
{
	pmz_outcome how = any_outcome(&w->dice);
	pmz_ns hint = 0;

	if (dice_once_in(&w->dice, 8))
		hint = dice_once_in(&w->dice, 4) ? PMZ_NEVER
		                                 : dice_sized(&w->dice, 30);
	return pmz_call_settle_hint(&c->call, how, w->now, hint);
}

static void settle(struct world *w, struct caller *c)
{
	note(w, c, any_settle(w, c), 1);
}

static void resume(struct world *w, struct caller *c)
{
	int is_early = w->now < pmz_call_due(&c->call);
	pmz_step next = pmz_call_resume(&c->call, w->now);

	if (is_early)
		must_be(next, PMZ_WAIT);
	else if (next != PMZ_WAIT) /* or a guard makes it wait on */
		note(w, c, next, 0);
}

static void cancel(struct world *w, struct caller *c)
{
	pmz_call_cancel(&c->call, w->now);
	must_be(pmz_call_status(&c->call), PMZ_CANCELLED);
	note(w, c, PMZ_DONE, 0);
}

/* What does not fit the step changes nothing, not a byte. */
static void stumble(struct world *w, struct caller *c)
{
	pmz_call before = c->call;

	if (c->step == PMZ_TRY)
		must_be(pmz_call_resume(&c->call, w->now), PMZ_TRY);
	else
		must_be(any_settle(w, c), PMZ_WAIT);
	must(!memcmp(&before, &c->call, sizeof(before)), "the call changed");
}

static void act(struct world *w)
{
	dice *d = &w->dice;
	struct caller *c = &w->callers[dice_between(d, 0, CALLS - 1)];

	if (!c->step)
		begin(w, c);
	else if (dice_once_in(d, 12))
		cancel(w, c);
	else if (dice_once_in(d, 12))
		stumble(w, c);
	else if (c->step == PMZ_TRY)
		settle(w, c);
	else
		resume(w, c);
}

/* Often to the very instant at which somebody is due. */
static void pass(struct world *w)
{
	const struct caller *c;
	pmz_ns due;

	if (!dice_once_in(&w->dice, 3)) {
		w->now += dice_sized(&w->dice, 26);
		return;
	}
	c = &w->callers[dice_between(&w->dice, 0, CALLS - 1)];
	due = c->step ? pmz_call_due(&c->call) : 0;
	if (due > w->now && due < w->now + PMZ_S(10))
		w->now = due - dice_roll(&w->dice) % 2;
}

/* What is out is what the calls in TRY hold, no more and no less. */
static void check_held(const struct world *w)
{
	pmz_bulkhead_stats inside = { .size = sizeof(inside) };
	pmz_breaker_stats breaker = { .size = sizeof(breaker) };
	uint32_t trying = 0, i;

	for (i = 0; i < CALLS; i++)
		trying += w->callers[i].step == PMZ_TRY;
	must_fit(trying, w->limit);
	if (w->bulkhead) {
		pmz_bulkhead_read(w->bulkhead, &inside);
		must_be(inside.in_use, trying);
		must_be(inside.over_releases, 0);
	}
	if (w->breaker) {
		pmz_breaker_read(w->breaker, w->now, &breaker);
		must_fit(breaker.probes_out, trying);
		must_fit(breaker.probes_out, w->probes_max);
		must_be(breaker.misused, 0);
	}
}

static int drained(pmz_budget *budget, pmz_ns now)
{
	int n = 0;

	while (pmz_budget_withdraw(budget, now) == PMZ_OK)
		n++;
	return n;
}

static void finish(struct world *w)
{
	int i;

	for (i = 0; i < CALLS; i++)
		if (w->callers[i].step)
			cancel(w, &w->callers[i]);
	check_held(w);
	if (w->budget)
		must_be(drained(w->budget, w->now), drained(w->twin, w->now));
}

START_TEST(whatever_calls_do_all_is_given_back)
{
	struct world w;
	int i;

	create(&w, _i);
	for (i = 0; i < STEPS; i++) {
		pass(&w);
		act(&w);
		check_held(&w);
	}
	finish(&w);
	destroy(&w);
}
END_TEST

/* The histories are worth nothing if their calls all end in one way. */
START_TEST(the_calls_end_in_every_way)
{
	static const int ways[] = {
		PMZ_OK,           PMZ_REFUSED_OPEN,   PMZ_REFUSED_FULL,
		PMZ_REFUSED_RATE, PMZ_REFUSED_BUDGET, PMZ_GAVE_UP,
		PMZ_TIMED_OUT,    PMZ_CANCELLED,      PMZ_ENDED,
	};
	uint64_t done[256] = { 0 };
	struct world w;
	size_t way;
	int seed, i;

	for (seed = 0; seed < SEEDS; seed++) {
		create(&w, seed);
		for (i = 0; i < STEPS; i++) {
			pass(&w);
			act(&w);
		}
		for (i = 0; i < 256; i++)
			done[i] += w.done[i];
		destroy(&w);
	}
	for (way = 0; way < sizeof(ways) / sizeof(*ways); way++)
		must(done[ways[way]] > SEEDS / 2, "%s: only %llu",
		     pmz_status_name(ways[way]),
		     (unsigned long long)done[ways[way]]);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("pipe");
	TCase *tc = tcase_create("random calls");
	SRunner *runner;
	int failed;

	tcase_add_loop_test(tc, whatever_calls_do_all_is_given_back, 0, SEEDS);
	tcase_add_test(tc, the_calls_end_in_every_way);
	tcase_set_timeout(tc, 60);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
