/*
 * pipe_model.c - calls through a pipe beside the same calls by hand: each guard
 * has a twin, which is asked in the order that pipe.h says, a million steps
 * with clocks that no caller should have (PIPEMAZE_STEPS says how many).
 *
 * The guards have models of their own, so what is compared here is the order of
 * the stages, what is given back, the waits and the ends.
 */
#include <check.h>
#include <string.h>

#include "core/backoff.h"
#include "core/breaker.h"
#include "core/pipe.h"
#include "dice.h"
#include "hostile.h"
#include "must.h"
#include "words.h"

typedef unsigned long long llu;

#define TURNS 100
#define STEPS 1000
#define CALLS 6

/* A full bulkhead is asked again after so long, where there is no backoff. */
#define ASK_AGAIN_NS PMZ_MS(1)
#define ASK_AGAIN_MAX_NS PMZ_MS(100)

struct guards {
	pmz_breaker *breaker;
	pmz_bulkhead *bulkhead;
	pmz_budget *budget;
	pmz_bucket bucket;
};

struct by_hand {
	pmz_step step;
	pmz_ns due, deadline, wait_left, waits_since;
	int status, is_paid, waits_for_guard;
	uint32_t tries, tokens;
	pmz__backoff backoff;
	pmz__row asked_again;
	pmz_permit permit, slot;
};

struct world {
	int seed, step;
	dice dice;
	pmz_ns now;
	struct guards real, twin;
	pmz_rate rate;
	pmz_pipe_config config;
	pmz_backoff_rule rule;
	pmz__tries tries;
	pmz_pipe *pipe;
	pmz_call calls[CALLS];
	struct by_hand hands[CALLS];
};

static pmz_ns or_never(pmz_ns span)
{
	return span ? span : PMZ_NEVER;
}

/* The call by hand. */

static pmz_step go(struct by_hand *c, pmz_step step, pmz_ns due)
{
	c->step = step;
	c->due = due;
	return step;
}

static pmz_step end(struct world *w, struct by_hand *c, int status, pmz_ns due)
{
	if (c->is_paid)
		pmz_budget_refund(w->twin.budget);
	c->is_paid = 0;
	c->status = status;
	return go(c, PMZ_DONE, due);
}

static int fits(const struct by_hand *c, pmz_ns now)
{
	return now < c->deadline &&
	       hostile_on(now, c->backoff.rule.attempt_min_ns) <= c->deadline;
}

static int enter(struct world *w, struct by_hand *c, pmz_ns *ready)
{
	struct guards *g = &w->twin;
	int status = PMZ_OK;

	*ready = PMZ_NEVER;
	if (g->breaker &&
	    pmz_breaker_acquire(g->breaker, w->now, &c->permit, ready))
		return PMZ_REFUSED_OPEN;
	if (g->bulkhead && pmz_bulkhead_acquire(g->bulkhead, w->now, &c->slot))
		status = PMZ_REFUSED_FULL;
	if (!status && w->config.bucket &&
	    pmz_bucket_take(&g->bucket, &w->rate, c->tokens, w->now, ready)) {
		status = PMZ_REFUSED_RATE;
		if (g->bulkhead)
			must_be(pmz_bulkhead_settle(g->bulkhead, &c->slot,
			                            PMZ_IGNORE, w->now),
			        PMZ_OK);
	}
	if (status && g->breaker)
		pmz__breaker_undo(g->breaker, &c->permit);
	if (status == PMZ_REFUSED_FULL)
		*ready = PMZ_NEVER;
	return status;
}

/* A full bulkhead cannot tell when: it is asked again in growing steps. */
static pmz_ns ask_again_at(struct world *w, struct by_hand *c)
{
	pmz_ns wait = pmz__backoff_wait(&c->backoff, &c->asked_again);

	wait = wait ? wait : 1;
	return hostile_on(w->now, wait < c->wait_left ? wait : c->wait_left);
}

static pmz_step refused(struct world *w, struct by_hand *c, int status,
                        pmz_ns ready)
{
	pmz_ns again = ready;

	if (status == PMZ_REFUSED_FULL && c->wait_left)
		again = ask_again_at(w, c);
	if (again == PMZ_NEVER || again - w->now > c->wait_left ||
	    !fits(c, again))
		return end(w, c, status, ready);
	c->waits_for_guard = 1;
	c->waits_since = w->now;
	return go(c, PMZ_WAIT, again);
}

static pmz_step try_now(struct world *w, struct by_hand *c)
{
	pmz_ns ready, until;
	int status;

	if (!fits(c, w->now))
		return end(w, c, PMZ_TIMED_OUT, PMZ_NEVER);
	status = enter(w, c, &ready);
	if (status)
		return refused(w, c, status, ready);
	if (!c->tries++ && w->twin.budget)
		pmz_budget_deposit(w->twin.budget, w->now);
	c->is_paid = 0;
	until = hostile_on(w->now, or_never(w->config.try_ns));
	return go(c, PMZ_TRY, until < c->deadline ? until : c->deadline);
}

static pmz_step hand_begin(struct world *w, struct by_hand *c,
                           const pmz_ask *ask)
{
	pmz_ns end_at = hostile_on(w->now, or_never(w->config.total_ns));

	memset(c, 0, sizeof(*c));
	c->tokens = ask->tokens ? ask->tokens : 1;
	c->wait_left = w->config.wait_max_ns;
	c->deadline = or_never(ask->deadline);
	c->deadline = end_at < c->deadline ? end_at : c->deadline;
	c->backoff.rule = w->tries;
	pmz__backoff_begin(&c->backoff, c->deadline, ask->seed);
	return try_now(w, c);
}

static void leave(struct world *w, struct by_hand *c, pmz_outcome how,
                  pmz_ns hint)
{
	if (c->step != PMZ_TRY)
		return;
	if (w->twin.breaker)
		pmz_breaker_settle_hint(w->twin.breaker, &c->permit, how,
		                        w->now, hint == PMZ_NEVER ? 0 : hint);
	if (w->twin.bulkhead)
		pmz_bulkhead_settle(w->twin.bulkhead, &c->slot, how, w->now);
}

static pmz_step retry(struct world *w, struct by_hand *c, pmz_ns hint)
{
	pmz_ns at;
	int status;

	if (w->now >= c->deadline)
		return end(w, c, PMZ_TIMED_OUT, PMZ_NEVER);
	status = pmz__backoff_next(&c->backoff, w->now, hint, &at);
	if (status)
		return end(w, c, status, PMZ_NEVER);
	if (w->twin.budget && pmz_budget_withdraw(w->twin.budget, w->now))
		return end(w, c, PMZ_REFUSED_BUDGET, PMZ_NEVER);
	c->is_paid = w->twin.budget != NULL;
	c->waits_for_guard = 0;
	return go(c, PMZ_WAIT, at);
}

static pmz_step hand_settle(struct world *w, struct by_hand *c, pmz_outcome how,
                            pmz_ns hint)
{
	if (c->step != PMZ_TRY)
		return c->step;
	leave(w, c, how, hint);
	if (how == PMZ_SUCCESS)
		return end(w, c, PMZ_OK, PMZ_NEVER);
	if (how == PMZ_IGNORE || how == PMZ_FATAL)
		return end(w, c, PMZ_ENDED, PMZ_NEVER);
	return retry(w, c, hint);
}

static pmz_step hand_resume(struct world *w, struct by_hand *c)
{
	pmz_ns waited = w->now - c->waits_since;

	if (c->step != PMZ_WAIT || w->now < c->due)
		return c->step;
	if (c->waits_for_guard)
		c->wait_left = hostile_back(c->wait_left, waited);
	return try_now(w, c);
}

static void hand_cancel(struct world *w, struct by_hand *c)
{
	if (c->step == PMZ_DONE)
		return;
	leave(w, c, PMZ_IGNORE, 0);
	end(w, c, PMZ_CANCELLED, PMZ_NEVER);
}

/* Both pipes. */

static void make_guards(struct guards *g, dice d)
{
	pmz_breaker_config breaker = { .size = sizeof(breaker) };
	pmz_bulkhead_config bulkhead = { .size = sizeof(bulkhead) };
	pmz_budget_config budget = { .size = sizeof(budget) };

	breaker.failure_pct = (uint32_t)dice_between(&d, 20, 100);
	breaker.calls_min = (uint32_t)dice_between(&d, 1, 8);
	breaker.window_ns = PMZ_MS(dice_between(&d, 100, 10000));
	breaker.open_ns = PMZ_MS(dice_between(&d, 1, 500));
	breaker.probe_lease_ns = PMZ_MS(dice_between(&d, 1, 2000));
	breaker.probes_max = (uint32_t)dice_between(&d, 1, 4);
	breaker.seed = 1;
	bulkhead.limit = (uint32_t)dice_between(&d, 1, CALLS);
	budget.retry_pct = (uint32_t)dice_between(&d, 10, 100);
	budget.ttl_ns = PMZ_MS(dice_between(&d, 100, 5000));
	budget.per_second_min = 1;
	if (!dice_once_in(&d, 4))
		must_be(pmz_breaker_new(&g->breaker, &breaker, NULL), PMZ_OK);
	if (!dice_once_in(&d, 4))
		must_be(pmz_bulkhead_new(&g->bulkhead, &bulkhead, NULL),
		        PMZ_OK);
	if (!dice_once_in(&d, 3))
		must_be(pmz_budget_new(&g->budget, &budget, NULL), PMZ_OK);
}

static void free_guards(struct guards *g)
{
	pmz_breaker_free(g->breaker);
	pmz_bulkhead_free(g->bulkhead);
	pmz_budget_free(g->budget);
}

static void choose_rules(struct world *w)
{
	dice *d = &w->dice;

	w->rule.size = sizeof(w->rule);
	w->rule.base_ns = ASK_AGAIN_NS;
	w->rule.max_ns = ASK_AGAIN_MAX_NS;
	w->rule.tries_max = 1;
	if (!dice_once_in(d, 4)) {
		w->rule.base_ns = PMZ_MS(dice_between(d, 1, 50));
		w->rule.max_ns = w->rule.base_ns * dice_between(d, 1, 100);
		w->rule.tries_max = (uint32_t)dice_between(d, 1, 5);
		w->rule.jitter = (uint32_t)dice_between(d, 1, 4);
		if (dice_once_in(d, 3))
			w->rule.attempt_min_ns = dice_sized(d, 30);
		w->config.backoff = &w->rule;
	}
	must_be(pmz__tries_read(&w->tries, &w->rule, NULL), PMZ_OK);
	if (dice_once_in(d, 2))
		w->config.total_ns =
			dice_sized(d, dice_once_in(d, 4) ? 64 : 32);
	if (dice_once_in(d, 2))
		w->config.wait_max_ns =
			dice_sized(d, dice_once_in(d, 4) ? 64 : 30);
	if (dice_once_in(d, 2))
		w->config.try_ns = dice_sized(d, dice_once_in(d, 4) ? 64 : 30);
}

static void create(struct world *w, int seed)
{
	dice *d = &w->dice;
	uint64_t same;

	memset(w, 0, sizeof(*w));
	w->seed = seed;
	w->dice = dice_of(seed);
	w->now = hostile_start(d);
	same = dice_roll(d);
	make_guards(&w->real, dice_of((int)(same >> 40)));
	make_guards(&w->twin, dice_of((int)(same >> 40)));
	must_be(pmz_rate_set(&w->rate, dice_between(d, 5, 100), PMZ_S(1),
	                     dice_between(d, 1, 9)),
	        PMZ_OK);
	w->config.size = sizeof(w->config);
	w->config.breaker = w->real.breaker;
	w->config.bulkhead = w->real.bulkhead;
	w->config.budget = w->real.budget;
	if (!dice_once_in(d, 3)) {
		w->config.bucket = &w->real.bucket;
		w->config.rate = &w->rate;
	}
	choose_rules(w);
	must_be(pmz_pipe_new(&w->pipe, &w->config, NULL), PMZ_OK);
}

static void compare_call(const struct world *w, int i)
{
	const pmz_call *call = &w->calls[i];
	const struct by_hand *hand = &w->hands[i];
	int status = hand->step == PMZ_DONE ? hand->status : PMZ_E_STATE;

	must(pmz_call_due(call) == hand->due,
	     "seed %d, step %d: due at %llu, by hand %llu", w->seed, w->step,
	     (llu)pmz_call_due(call), (llu)hand->due);
	must(pmz_call_status(call) == status,
	     "seed %d, step %d: %s, by hand %s", w->seed, w->step,
	     pmz_status_name(pmz_call_status(call)), pmz_status_name(status));
	must(pmz_call_tries(call) == hand->tries,
	     "seed %d, step %d: %u tries, by hand %u", w->seed, w->step,
	     pmz_call_tries(call), hand->tries);
}

static void compare_guards(const struct world *w)
{
	pmz_breaker_stats a, b;
	pmz_bulkhead_stats c, d;

	memset(&a, 0, sizeof(a));
	memset(&c, 0, sizeof(c));
	a.size = sizeof(a);
	c.size = sizeof(c);
	b = a;
	d = c;
	if (w->real.breaker) {
		pmz_breaker_read(w->real.breaker, w->now, &a);
		pmz_breaker_read(w->twin.breaker, w->now, &b);
	}
	if (w->real.bulkhead) {
		pmz_bulkhead_read(w->real.bulkhead, &c);
		pmz_bulkhead_read(w->twin.bulkhead, &d);
	}
	must(!memcmp(&a, &b, sizeof(a)),
	     "seed %d, step %d: the breakers differ", w->seed, w->step);
	must(!memcmp(&c, &d, sizeof(c)),
	     "seed %d, step %d: the bulkheads differ", w->seed, w->step);
	must(w->real.bucket.opaque[0] == w->twin.bucket.opaque[0],
	     "seed %d, step %d: the buckets differ", w->seed, w->step);
}

static pmz_step begin(struct world *w, int i, pmz_step *by_hand)
{
	pmz_ask ask = { .size = sizeof(ask), .seed = dice_roll(&w->dice) | 1 };
	dice *d = &w->dice;

	if (dice_once_in(d, 4))
		ask.deadline = hostile_next(d, w->now, PMZ_NEVER, PMZ_S(2));
	if (dice_once_in(d, 4))
		ask.tokens = (uint32_t)dice_between(d, 1, 10);
	*by_hand = hand_begin(w, &w->hands[i], &ask);
	return pmz_call_begin(&w->calls[i], w->pipe, &ask, w->now);
}

static pmz_step settle(struct world *w, int i, pmz_step *by_hand)
{
	dice *d = &w->dice;
	pmz_outcome how =
		dice_once_in(d, 3)
			? PMZ_SUCCESS
			: (pmz_outcome)dice_between(d, PMZ_SUCCESS, PMZ_FATAL);
	pmz_ns hint = 0;

	if (dice_once_in(d, 8))
		hint = dice_once_in(d, 4) ? PMZ_NEVER : dice_sized(d, 34);
	*by_hand = hand_settle(w, &w->hands[i], how, hint);
	return pmz_call_settle_hint(&w->calls[i], how, w->now, hint);
}

static pmz_step act_on(struct world *w, int i, pmz_step *by_hand)
{
	pmz_step step = w->hands[i].step;

	if (!step || step == PMZ_DONE)
		return begin(w, i, by_hand);
	if (dice_once_in(&w->dice, 16)) {
		hand_cancel(w, &w->hands[i]);
		pmz_call_cancel(&w->calls[i], w->now);
		return *by_hand = PMZ_DONE;
	}
	/* The wrong one too, which changes nothing. */
	if ((step == PMZ_TRY) == !dice_once_in(&w->dice, 12))
		return settle(w, i, by_hand);
	*by_hand = hand_resume(w, &w->hands[i]);
	return pmz_call_resume(&w->calls[i], w->now);
}

static void step_world(struct world *w)
{
	int i = (int)dice_between(&w->dice, 0, CALLS - 1);
	pmz_step real, by_hand;

	w->now = hostile_next(&w->dice, w->now, w->hands[i].due, PMZ_MS(20));
	real = act_on(w, i, &by_hand);
	must(real == by_hand, "seed %d, step %d: %s, by hand %s", w->seed,
	     w->step, kit_step((int)real), kit_step((int)by_hand));
	compare_call(w, i);
	compare_guards(w);
}

static void destroy(struct world *w)
{
	pmz_pipe_free(w->pipe);
	free_guards(&w->real);
	free_guards(&w->twin);
}

static void history(int seed)
{
	static struct world w;

	create(&w, seed);
	for (w.step = 0; w.step < STEPS; w.step++)
		step_world(&w);
	while (w.real.budget && w.now < PMZ_NEVER) {
		int left = pmz_budget_withdraw(w.real.budget, w.now);

		must_be(left, pmz_budget_withdraw(w.twin.budget, w.now));
		if (left)
			break;
	}
	destroy(&w);
}

START_TEST(a_pipe_does_what_its_stages_do_by_hand)
{
	int histories = hostile_histories(STEPS, TURNS), i;

	for (i = 0; i < histories; i++)
		history(_i * histories + i);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("pipe_model");
	TCase *all = tcase_create("hostile histories");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, all);
	tcase_set_timeout(all, 300);
	tcase_add_loop_test(all, a_pipe_does_what_its_stages_do_by_hand, 0,
	                    TURNS);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
