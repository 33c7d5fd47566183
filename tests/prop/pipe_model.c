/*
 * pipe_model.c - calls through a pipe beside the same calls by hand: each guard
 * has a twin, which is asked in the order that pipe.h says, a million steps
 * with clocks that no caller should have (PIPEMAZE_STEPS says how many). Now
 * and then a line, right or wrong, gives the pipe other rules under its calls.
 *
 * The guards have models of their own, so what is compared here is the order of
 * the stages, what is given back, the waits and the ends; and of a reload, what
 * is in force after it, and for whom.
 */
#include <check.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/backoff.h"
#include "core/balance.h"
#include "core/breaker.h"
#include "core/budget.h"
#include "core/pipe.h"
#include "dice.h"
#include "hostile.h"
#include "must.h"
#include "words.h"

typedef unsigned long long llu;

#define TURNS 100
#define STEPS 1000
#define CALLS 6
#define ENDPOINTS 6
#define AVOIDED 4 /* a retry avoids the last four tried */

/* A full bulkhead is asked again after so long, where there is no backoff. */
#define ASK_AGAIN_NS PMZ_MS(1)
#define ASK_AGAIN_MAX_NS PMZ_MS(100)

struct guards {
	pmz_breaker *breaker;
	pmz_bulkhead *bulkhead;
	pmz_budget *budget;
	pmz_balance *balance;
	pmz_bucket *bucket;
};

/* What is on, and the times. */
struct rules {
	int breaker, bulkhead, budget, balance, bucket;
	pmz_rate rate;
	pmz__tries tries;
	pmz_ns try_ns, total_ns, wait_max_ns;
};

struct by_hand {
	pmz_step step;
	pmz_ns due, deadline, try_ns, wait_left, waits_since;
	int status, is_paid, waits_for_guard;
	int has_permit, has_slot, has_pick;
	uint32_t tries, tokens, endpoint;
	uint32_t tried[AVOIDED], tried_count;
	uint64_t hash;
	pmz__backoff backoff;
	pmz__row asked_again;
	pmz_permit permit, slot;
	pmz_pick pick;
};

/* A line, and what it says. */
struct line {
	char text[640];
	size_t length;
	struct rules rules;
	pmz_breaker_config breaker;
	pmz_bulkhead_config bulkhead;
	pmz_budget_config budget;
	pmz_balance_config balance;
};

struct world {
	int seed, step;
	dice dice;
	pmz_ns now;
	struct guards shared, real, twin;
	pmz_bucket buckets[2];
	pmz_rate rate, own_rate;
	pmz_pipe_config config;
	pmz_backoff_rule rule;
	struct rules base, rules;
	uint32_t probes, mode; /* of the line's breaker */
	int balances;          /* the lines do, always by the same rules: */
	pmz_balance_config balance;
	uint32_t names;
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

static void leave(struct world *w, struct by_hand *c, pmz_outcome how,
                  pmz_ns hint)
{
	if (c->has_permit)
		pmz_breaker_settle_hint(w->twin.breaker, &c->permit, how,
		                        w->now, hint == PMZ_NEVER ? 0 : hint);
	if (c->has_slot)
		pmz_bulkhead_settle(w->twin.bulkhead, &c->slot, how, w->now);
	if (c->has_pick)
		must_be(pmz_balance_settle(w->twin.balance, &c->pick, how,
		                           w->now),
		        PMZ_OK);
	c->has_permit = c->has_slot = c->has_pick = 0;
}

/* As if it had not been there. */
static int back_out(struct world *w, struct by_hand *c, int status)
{
	if (c->has_pick)
		pmz__balance_undo(w->twin.balance, &c->pick);
	if (c->has_slot)
		must_be(pmz_bulkhead_settle(w->twin.bulkhead, &c->slot,
		                            PMZ_IGNORE, w->now),
		        PMZ_OK);
	if (c->has_permit)
		pmz__breaker_undo(w->twin.breaker, &c->permit);
	c->has_permit = c->has_slot = c->has_pick = 0;
	return status;
}

/* Without a key, one is drawn. */
static int pick(struct world *w, struct by_hand *c)
{
	pmz_wish wish = { .size = offsetof(pmz_wish, hash) };
	uint32_t count = c->tried_count;

	wish.avoid = c->tried;
	wish.avoid_count = count < AVOIDED ? count : AVOIDED;
	wish.hash = c->hash;
	if (c->hash)
		wish.size = sizeof(wish);
	return pmz_balance_pick(w->twin.balance, &wish, w->now, &c->pick);
}

static int enter(struct world *w, struct by_hand *c, pmz_ns *ready)
{
	struct guards *g = &w->twin;
	const struct rules *on = &w->rules;

	*ready = PMZ_NEVER;
	if (on->breaker &&
	    pmz_breaker_acquire(g->breaker, w->now, &c->permit, ready))
		return PMZ_REFUSED_OPEN;
	c->has_permit = on->breaker;
	*ready = PMZ_NEVER;
	if (on->bulkhead && pmz_bulkhead_acquire(g->bulkhead, w->now, &c->slot))
		return back_out(w, c, PMZ_REFUSED_FULL);
	c->has_slot = on->bulkhead;
	if (on->balance && pick(w, c))
		return back_out(w, c, PMZ_REFUSED_EMPTY);
	c->has_pick = on->balance;
	if (on->bucket &&
	    pmz_bucket_take(g->bucket, &on->rate, c->tokens, w->now, ready))
		return back_out(w, c, PMZ_REFUSED_RATE);
	return PMZ_OK;
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

static void note_endpoint(struct by_hand *c)
{
	c->endpoint = c->has_pick ? c->pick.endpoint : PMZ_NO_ENDPOINT;
	if (c->has_pick)
		c->tried[c->tried_count++ % AVOIDED] = c->endpoint;
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
	note_endpoint(c);
	if (!c->tries++ && w->rules.budget)
		pmz_budget_deposit(w->twin.budget, w->now);
	c->is_paid = 0;
	until = hostile_on(w->now, or_never(c->try_ns));
	return go(c, PMZ_TRY, until < c->deadline ? until : c->deadline);
}

static pmz_step hand_begin(struct world *w, struct by_hand *c,
                           const pmz_ask *ask)
{
	pmz_ns end_at = hostile_on(w->now, or_never(w->rules.total_ns));

	memset(c, 0, sizeof(*c));
	c->tokens = ask->tokens ? ask->tokens : 1;
	c->hash = ask->hash;
	c->endpoint = PMZ_NO_ENDPOINT;
	c->try_ns = w->rules.try_ns;
	c->wait_left = w->rules.wait_max_ns;
	c->deadline = or_never(ask->deadline);
	c->deadline = end_at < c->deadline ? end_at : c->deadline;
	c->backoff.rule = w->rules.tries;
	pmz__backoff_begin(&c->backoff, c->deadline, ask->seed);
	return try_now(w, c);
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
	if (w->rules.budget && pmz_budget_withdraw(w->twin.budget, w->now))
		return end(w, c, PMZ_REFUSED_BUDGET, PMZ_NEVER);
	c->is_paid = w->rules.budget;
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

/* Lines. */

__attribute__((format(printf, 2, 3))) static void put(struct line *l,
                                                      const char *format, ...)
{
	va_list args;

	va_start(args, format);
	l->length += (size_t)vsnprintf(
		l->text + l->length, sizeof(l->text) - l->length, format, args);
	va_end(args);
	must(l->length < sizeof(l->text), "a line is too long");
}

/* The column where a stage begins. */
static uint32_t stage(struct line *l)
{
	if (l->length)
		put(l, "|");
	return (uint32_t)l->length + 1;
}

static void put_breaker(struct world *w, struct line *l)
{
	pmz_breaker_config *c = &l->breaker;
	dice *d = &w->dice;

	c->mode = dice_once_in(d, 4) ? PMZ_SHADOW : PMZ_ENFORCE;
	c->failure_pct = (uint32_t)dice_between(d, 20, 100);
	c->window_ns = PMZ_MS(dice_between(d, 1, 1000));
	c->calls_min = (uint32_t)dice_between(d, 1, 8);
	c->open_ns = PMZ_MS(dice_between(d, 1, 100));
	c->open_max_ns = c->open_ns * dice_between(d, 1, 5);
	c->probe_lease_ns = PMZ_MS(dice_between(d, 1, 1000));
	c->probes_max = w->probes;
	c->probes_to_close = (uint32_t)dice_between(d, 1, 4);
	stage(l);
	put(l, "breaker %u%% over %lluns min %u open %lluns..%lluns probes %u",
	    c->failure_pct, (llu)c->window_ns, c->calls_min, (llu)c->open_ns,
	    (llu)c->open_max_ns, c->probes_max);
	put(l, " close %u lease %lluns%s", c->probes_to_close,
	    (llu)c->probe_lease_ns,
	    c->mode == PMZ_SHADOW ? " mode shadow" : "");
	l->rules.breaker = 1;
}

static void put_bulkhead(struct world *w, struct line *l)
{
	l->bulkhead.limit = (uint32_t)dice_between(&w->dice, 1, CALLS);
	stage(l);
	put(l, "bulkhead %u", l->bulkhead.limit);
	l->rules.bulkhead = 1;
}

static void put_rate(struct world *w, struct line *l)
{
	uint64_t tokens = dice_between(&w->dice, 1, 100);
	uint64_t burst = dice_between(&w->dice, 1, 9);
	pmz_ns per = PMZ_MS(dice_between(&w->dice, 1, 1000));

	must_be(pmz_rate_set(&l->rules.rate, tokens, per, burst), PMZ_OK);
	stage(l);
	put(l, "rate %llu/%lluns burst %llu", (llu)tokens, (llu)per,
	    (llu)burst);
	l->rules.bucket = 1;
}

static void put_tries(struct world *w, struct line *l)
{
	static const char *const words[] = { "", "full", "equal",
		                             "decorrelated", "none" };
	pmz_backoff_rule rule = { .size = sizeof(rule) };
	dice *d = &w->dice;

	rule.tries_max = (uint32_t)dice_between(d, 1, 5);
	rule.base_ns = PMZ_MS(dice_between(d, 1, 50));
	rule.max_ns = rule.base_ns * dice_between(d, 1, 9);
	rule.jitter = (uint32_t)dice_between(d, 1, 4);
	rule.factor_pct = (uint32_t)dice_between(d, 100, 1000);
	stage(l);
	put(l, "tries %u backoff %lluns..%lluns jitter %s factor %u%%",
	    rule.tries_max, (llu)rule.base_ns, (llu)rule.max_ns,
	    words[rule.jitter], rule.factor_pct);
	must_be(pmz__tries_read(&l->rules.tries, &rule, NULL), PMZ_OK);
}

static void put_budget(struct world *w, struct line *l)
{
	uint32_t floor = (uint32_t)dice_between(&w->dice, 0, 3);

	l->budget.retry_pct = (uint32_t)dice_between(&w->dice, 1, 100);
	l->budget.per_second_min = floor ? floor : PMZ_OFF;
	stage(l);
	put(l, "budget %u%% floor %u/s", l->budget.retry_pct, floor);
	l->rules.budget = 1;
}

static void put_balance(struct world *w, struct line *l)
{
	static const char *const words[] = { "",      "least",  "ewma",
		                             "robin", "random", "key" };
	const pmz_balance_config *c = &w->balance;

	l->balance = *c;
	stage(l);
	put(l, "balance %s eject %u consecutive base %lluns most %u%%",
	    words[c->strategy], c->eject_consecutive, (llu)c->eject_base_ns,
	    c->eject_max_pct);
	l->rules.balance = 1;
}

static void put_time(struct world *w, struct line *l, const char *word,
                     pmz_ns *span)
{
	*span = 1 + dice_sized(&w->dice, dice_once_in(&w->dice, 8) ? 60 : 30);
	stage(l);
	put(l, "%s %lluns", word, (llu)*span);
}

static int perhaps(struct world *w)
{
	return dice_once_in(&w->dice, 2);
}

static void begin_line(struct world *w, struct line *l)
{
	memset(l, 0, sizeof(*l));
	l->rules = w->base;
	l->breaker.size = sizeof(l->breaker);
	l->bulkhead.size = sizeof(l->bulkhead);
	l->budget.size = sizeof(l->budget);
}

/* Stages that nothing shared stands for, one at least. */
static void compose(struct world *w, struct line *l)
{
	begin_line(w, l);
	put_time(w, l, "total", &l->rules.total_ns);
	if (!w->config.breaker && !dice_once_in(&w->dice, 4))
		put_breaker(w, l);
	if (!w->config.bulkhead && perhaps(w))
		put_bulkhead(w, l);
	if (!w->config.bucket && perhaps(w))
		put_rate(w, l);
	if (!w->config.budget && perhaps(w))
		put_budget(w, l);
	if (w->balances && !dice_once_in(&w->dice, 4))
		put_balance(w, l);
	if (perhaps(w))
		put_tries(w, l);
	if (perhaps(w))
		put_time(w, l, "try", &l->rules.try_ns);
	if (perhaps(w))
		put_time(w, l, "wait", &l->rules.wait_max_ns);
}

static int brings_something(const pmz_pipe_config *c)
{
	return c->breaker || c->bulkhead || c->bucket || c->budget ||
	       c->balance || c->backoff || c->try_ns || c->total_ns ||
	       c->wait_max_ns;
}

/* A wrong line instead, and where it is wrong; 0 if that kind cannot be. */
static uint32_t spoil(struct world *w, struct line *l)
{
	uint32_t column;

	switch (dice_between(&w->dice, 0, 4)) {
	case 0:
		column = stage(l);
		put(l, "lantern 3");
		return column;
	case 1:
		column = w->config.bulkhead ? stage(l) : 0;
		put(l, "bulkhead 3");
		return column;
	case 2:
		begin_line(w, l);
		put(l, "try 1s|balance robin base 1us");
		return w->twin.balance ? 8 : 0;
	case 3:
		begin_line(w, l);
		put(l, "try 1s|breaker 50%% over 1s probes %u", w->probes + 1);
		return w->twin.breaker && !w->config.breaker
		               ? (uint32_t)l->length
		               : 0;
	default:
		begin_line(w, l);
		return brings_something(&w->config) ? 0 : 1;
	}
}

/* Reloads, by hand. */

/* What a guard draws hangs on where it lies, unless it has a seed. */
static void meet(struct world *w)
{
	pmz_pipe_rules r = { .size = sizeof(r) };

	must_be(pmz_pipe_read(w->pipe, &r), PMZ_OK);
	if (r.breaker && !w->real.breaker)
		r.breaker->seed.word = w->twin.breaker->seed.word = 1;
	if (r.balance && !w->real.balance)
		r.balance->seed.word = w->twin.balance->seed.word = 1;
	w->real.breaker = r.breaker ? r.breaker : w->real.breaker;
	w->real.bulkhead = r.bulkhead ? r.bulkhead : w->real.bulkhead;
	w->real.bucket = r.bucket ? r.bucket : w->real.bucket;
	w->real.budget = r.budget ? r.budget : w->real.budget;
	w->real.balance = r.balance ? r.balance : w->real.balance;
}

/* An operator's mode stays until the line has another. */
static void set_breaker(struct world *w, const struct line *l)
{
	pmz_breaker_config c = l->breaker;

	if (!w->twin.breaker) {
		must_be(pmz_breaker_new(&w->twin.breaker, &c, NULL), PMZ_OK);
	} else {
		c.mode = c.mode == w->mode ? 0 : c.mode;
		must_be(pmz_breaker_set(w->twin.breaker, &c, w->now, NULL),
		        PMZ_OK);
	}
	w->mode = l->breaker.mode;
}

static void set_rate(struct world *w, const struct line *l)
{
	if (w->twin.bucket)
		pmz_bucket_rerate(w->twin.bucket, &w->own_rate, &l->rules.rate,
		                  w->now);
	w->twin.bucket = &w->buckets[1];
	w->own_rate = l->rules.rate;
}

static void set_others(struct world *w, const struct line *l)
{
	struct guards *g = &w->twin;

	if (!w->config.bulkhead && l->rules.bulkhead && !g->bulkhead)
		must_be(pmz_bulkhead_new(&g->bulkhead, &l->bulkhead, NULL),
		        PMZ_OK);
	else if (!w->config.bulkhead && l->rules.bulkhead)
		must_be(pmz_bulkhead_resize(g->bulkhead, l->bulkhead.limit),
		        PMZ_OK);
	if (!w->config.budget && l->rules.budget && !g->budget)
		must_be(pmz_budget_new(&g->budget, &l->budget, NULL), PMZ_OK);
	else if (!w->config.budget && l->rules.budget)
		pmz__budget_set(g->budget, &l->budget, w->now);
	if (!w->config.balance && l->rules.balance && !g->balance)
		must_be(pmz_balance_new(&g->balance, &l->balance, NULL),
		        PMZ_OK);
}

static void set_by_hand(struct world *w, const struct line *l)
{
	if (!w->config.breaker && l->rules.breaker)
		set_breaker(w, l);
	if (!w->config.bucket && l->rules.bucket)
		set_rate(w, l);
	set_others(w, l);
	w->rules = l->rules;
	meet(w);
}

static void compare_backoff(const struct world *w, const pmz_backoff_rule *r)
{
	const pmz__tries *t = &w->rules.tries;

	must(r->jitter == t->jitter && r->base_ns == t->base_ns &&
	             r->max_ns == t->max_ns && r->floor_ns == t->floor_ns &&
	             r->attempt_min_ns == t->attempt_min_ns &&
	             r->hint_max_ns == t->hint_max_ns &&
	             r->tries_max == t->tries_max &&
	             r->factor_pct == t->factor_pct,
	     "seed %d, step %d: another backoff is in force", w->seed, w->step);
}

static void compare_rules(const struct world *w)
{
	const struct rules *want = &w->rules;
	pmz_pipe_rules r = { .size = sizeof(r) };

	must_be(pmz_pipe_read(w->pipe, &r), PMZ_OK);
	must(!r.breaker == !want->breaker && !r.bulkhead == !want->bulkhead &&
	             !r.bucket == !want->bucket && !r.budget == !want->budget &&
	             !r.balance == !want->balance,
	     "seed %d, step %d: other guards are on", w->seed, w->step);
	must(r.try_ns == want->try_ns && r.total_ns == want->total_ns &&
	             r.wait_max_ns == want->wait_max_ns,
	     "seed %d, step %d: other times are in force", w->seed, w->step);
	must(!want->bucket || !memcmp(&r.rate, &want->rate, sizeof(r.rate)),
	     "seed %d, step %d: another rate is in force", w->seed, w->step);
	compare_backoff(w, &r.backoff);
}

static void reload(struct world *w)
{
	uint32_t wrong = 0;
	struct line l;
	pmz_why why;
	int status;

	compose(w, &l);
	if (dice_once_in(&w->dice, 4)) {
		wrong = spoil(w, &l);
		if (!wrong)
			compose(w, &l);
	}
	status = pmz_pipe_reload(w->pipe, l.text, w->now, &why);
	must(status == (wrong ? PMZ_E_CONFIG : PMZ_OK),
	     "seed %d, step %d: %s: \"%s\"", w->seed, w->step,
	     pmz_status_name(status), l.text);
	must(!wrong || why.column == wrong,
	     "seed %d, step %d: wrong at %u, not at %u: \"%s\"", w->seed,
	     w->step, why.column, wrong, l.text);
	if (!wrong)
		set_by_hand(w, &l);
	compare_rules(w);
}

/* Both pipes. */

static void make_balance(pmz_balance **out, dice *d)
{
	pmz_balance_config c = { .size = sizeof(c), .seed = 1 };

	c.strategy = (uint32_t)dice_between(d, PMZ_LEAST, PMZ_BY_KEY);
	c.endpoints_max = ENDPOINTS;
	c.slow_start_ns = dice_once_in(d, 2) ? PMZ_MS(100) : 0;
	c.eject_interval_ns = PMZ_MS(dice_between(d, 1, 500));
	c.eject_base_ns = PMZ_MS(dice_between(d, 1, 100));
	c.eject_consecutive = (uint32_t)dice_between(d, 1, 5);
	c.eject_max_pct = (uint32_t)dice_between(d, 1, 100);
	must_be(pmz_balance_new(out, &c, NULL), PMZ_OK);
}

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
	if (dice_once_in(&d, 2))
		must_be(pmz_breaker_new(&g->breaker, &breaker, NULL), PMZ_OK);
	if (dice_once_in(&d, 2))
		must_be(pmz_bulkhead_new(&g->bulkhead, &bulkhead, NULL),
		        PMZ_OK);
	if (dice_once_in(&d, 2))
		must_be(pmz_budget_new(&g->budget, &budget, NULL), PMZ_OK);
	if (dice_once_in(&d, 3))
		make_balance(&g->balance, &d);
}

static void free_guards(struct guards *g)
{
	pmz_breaker_free(g->breaker);
	pmz_bulkhead_free(g->bulkhead);
	pmz_budget_free(g->budget);
	pmz_balance_free(g->balance);
}

static void read_rule(struct world *w)
{
	must_be(pmz__tries_read(&w->base.tries, &w->rule, NULL), PMZ_OK);
}

/* Once, where nobody says it. */
static void try_once(struct world *w)
{
	w->rule.size = sizeof(w->rule);
	w->rule.base_ns = ASK_AGAIN_NS;
	w->rule.max_ns = ASK_AGAIN_MAX_NS;
	w->rule.tries_max = 1;
	read_rule(w);
}

static void choose_tries(struct world *w)
{
	dice *d = &w->dice;

	w->rule.base_ns = PMZ_MS(dice_between(d, 1, 50));
	w->rule.max_ns = w->rule.base_ns * dice_between(d, 1, 100);
	w->rule.tries_max = (uint32_t)dice_between(d, 1, 5);
	w->rule.jitter = (uint32_t)dice_between(d, 1, 4);
	if (dice_once_in(d, 3))
		w->rule.attempt_min_ns = dice_sized(d, 30);
	w->config.backoff = &w->rule;
	read_rule(w);
}

static void choose_times(struct world *w)
{
	dice *d = &w->dice;

	if (dice_once_in(d, 2))
		w->config.total_ns =
			dice_sized(d, dice_once_in(d, 4) ? 63 : 32);
	if (dice_once_in(d, 2))
		w->config.wait_max_ns =
			dice_sized(d, dice_once_in(d, 4) ? 64 : 30);
	if (dice_once_in(d, 2))
		w->config.try_ns = dice_sized(d, dice_once_in(d, 4) ? 63 : 30);
	w->base.try_ns = w->config.try_ns;
	w->base.total_ns = w->config.total_ns;
	w->base.wait_max_ns = w->config.wait_max_ns;
}

static void choose_guards(struct world *w)
{
	uint64_t same = dice_roll(&w->dice), tokens;
	pmz_pipe_config *c = &w->config;

	make_guards(&w->shared, dice_of((int)(same >> 40)));
	make_guards(&w->twin, dice_of((int)(same >> 40)));
	if (dice_once_in(&w->dice, 3)) {
		w->shared.bucket = &w->buckets[0];
		w->twin.bucket = &w->buckets[1];
		c->rate = &w->rate;
	}
	tokens = dice_between(&w->dice, 5, 100);
	must_be(pmz_rate_set(&w->rate, tokens, PMZ_S(1),
	                     dice_between(&w->dice, 1, 9)),
	        PMZ_OK);
	w->real = w->shared;
	c->breaker = w->shared.breaker;
	c->bulkhead = w->shared.bulkhead;
	c->budget = w->shared.budget;
	c->balance = w->shared.balance;
	c->bucket = w->shared.bucket;
	w->base.breaker = c->breaker != NULL;
	w->base.bulkhead = c->bulkhead != NULL;
	w->base.budget = c->budget != NULL;
	w->base.balance = c->balance != NULL;
	w->base.bucket = c->bucket != NULL;
	w->base.rate = w->rate;
}

/* What the pipe's config brings, which may be nothing. */
static void choose_base(struct world *w)
{
	try_once(w);
	if (dice_once_in(&w->dice, 8))
		return;
	choose_guards(w);
	choose_times(w);
	if (!dice_once_in(&w->dice, 4))
		choose_tries(w);
}

/* Of the guards that a line makes, what no reload can change. */
static void choose_own(struct world *w)
{
	pmz_balance_config *c = &w->balance;
	dice *d = &w->dice;

	w->probes = (uint32_t)dice_between(d, 1, 4);
	w->balances = !w->config.balance && perhaps(w);
	c->size = sizeof(*c);
	c->strategy = (uint32_t)dice_between(d, PMZ_LEAST, PMZ_BY_KEY);
	c->eject_consecutive = (uint32_t)dice_between(d, 1, 5);
	c->eject_base_ns = PMZ_MS(dice_between(d, 1, 100));
	c->eject_max_pct = (uint32_t)dice_between(d, 1, 100);
}

/* As a config has it, or as a line has it at once. */
static void make_pipe(struct world *w)
{
	struct line l;

	w->config.size = sizeof(w->config);
	w->rules = w->base;
	if (perhaps(w)) {
		must_be(pmz_pipe_new(&w->pipe, &w->config, NULL), PMZ_OK);
		return;
	}
	compose(w, &l);
	must_be(pmz_pipe_from(&w->pipe, l.text, &w->config, NULL), PMZ_OK);
	set_by_hand(w, &l);
}

static void create(struct world *w, int seed)
{
	memset(w, 0, sizeof(*w));
	w->seed = seed;
	w->dice = dice_of(seed);
	w->now = hostile_start(&w->dice);
	choose_base(w);
	choose_own(w);
	make_pipe(w);
	compare_rules(w);
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
	must(!hand->step || pmz_call_endpoint(call) == hand->endpoint,
	     "seed %d, step %d: to %u, by hand %u", w->seed, w->step,
	     pmz_call_endpoint(call), hand->endpoint);
}

/* One at a time: the next steps see the others. */
static void compare_endpoint(const struct world *w, uint32_t i)
{
	pmz_endpoint_stats a, b;

	memset(&a, 0, sizeof(a));
	a.size = sizeof(a);
	b = a;
	must_be(pmz_balance_read(w->real.balance, i, w->now, &a),
	        pmz_balance_read(w->twin.balance, i, w->now, &b));
	must(!memcmp(&a, &b, sizeof(a)),
	     "seed %d, step %d: %u has %u in flight of %llu, by hand %u of "
	     "%llu",
	     w->seed, w->step, i, a.in_flight, (llu)a.picks, b.in_flight,
	     (llu)b.picks);
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
	must(!w->real.bucket ||
	             w->real.bucket->opaque[0] == w->twin.bucket->opaque[0],
	     "seed %d, step %d: the buckets differ", w->seed, w->step);
	if (w->real.balance)
		compare_endpoint(w, (uint32_t)w->step % ENDPOINTS);
}

/* Both balancers get the same endpoints, and lose them. */
static void change_endpoint(struct world *w)
{
	uint32_t i = (uint32_t)dice_between(&w->dice, 0, ENDPOINTS - 1);
	uint32_t weight = (uint32_t)dice_between(&w->dice, 0, 3), a = 0, b = 0;
	pmz_balance *real = w->real.balance, *twin = w->twin.balance;
	char name[16];

	snprintf(name, sizeof(name), "node-%u", (unsigned)w->names);
	switch (dice_between(&w->dice, 0, 7)) {
	case 0:
		must_be(pmz_balance_remove(real, i, w->now),
		        pmz_balance_remove(twin, i, w->now));
		break;
	case 1:
		must_be(pmz_balance_weight(real, i, weight, w->now),
		        pmz_balance_weight(twin, i, weight, w->now));
		break;
	case 2:
	case 3:
		must_be(pmz_balance_health(real, i, (int)weight, w->now),
		        pmz_balance_health(twin, i, (int)weight, w->now));
		break;
	default:
		if (w->names % 4096 > ENDPOINTS && !dice_once_in(&w->dice, 4))
			break;
		must_be(pmz_balance_add(real, name, weight, w->now, &a),
		        pmz_balance_add(twin, name, weight, w->now, &b));
		must_be(a, b);
		w->names++;
	}
}

static void force_mode(struct world *w)
{
	pmz_breaker_mode mode = (pmz_breaker_mode)dice_between(&w->dice, 1, 4);

	/* Mostly back to where calls get through. */
	if (!dice_once_in(&w->dice, 4))
		mode = PMZ_ENFORCE;
	must_be(pmz_breaker_force(w->real.breaker, mode, w->now), PMZ_OK);
	must_be(pmz_breaker_force(w->twin.breaker, mode, w->now), PMZ_OK);
}

/* What an operator does. */
static void intervene(struct world *w)
{
	switch (dice_between(&w->dice, 0, 5)) {
	case 0:
		if (w->real.breaker)
			force_mode(w);
		break;
	case 1:
	case 2:
		reload(w);
		break;
	default:
		if (w->real.balance)
			change_endpoint(w);
	}
}

static pmz_step begin(struct world *w, int i, pmz_step *by_hand)
{
	pmz_ask ask = { .size = sizeof(ask), .seed = dice_roll(&w->dice) | 1 };
	dice *d = &w->dice;

	if (dice_once_in(d, 4))
		ask.deadline = hostile_next(d, w->now, PMZ_NEVER, PMZ_S(2));
	if (dice_once_in(d, 4))
		ask.tokens = (uint32_t)dice_between(d, 1, 10);
	if (dice_once_in(d, 2))
		ask.hash = dice_between(d, 1, 8) * 0x9e3779b97f4a7c15u;
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
	if (dice_once_in(&w->dice, 12))
		intervene(w);
	real = act_on(w, i, &by_hand);
	must(real == by_hand, "seed %d, step %d: %s, by hand %s", w->seed,
	     w->step, kit_step((int)real), kit_step((int)by_hand));
	compare_call(w, i);
	compare_guards(w);
}

static void destroy(struct world *w)
{
	pmz_pipe_free(w->pipe);
	free_guards(&w->shared);
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
