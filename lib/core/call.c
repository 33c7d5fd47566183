/*
 * call.c - the cursor: one call's way through its pipe.
 *
 * A call is in one of three steps. TRY holds a permit of the breaker and a slot
 * of the bulkhead. WAIT holds neither; it may hold a withdrawal from the budget,
 * which is used up when the next attempt starts and put back if none does. DONE
 * holds nothing. Guards are entered breaker, bulkhead, balance, rate: in the
 * order in which a refusal is undone at no cost, with the token last, as it alone
 * cannot be given back whole.
 */
#include <string.h>

#include "base/assert.h"
#include "base/config.h"
#include "core/balance.h"
#include "core/breaker.h"
#include "core/pipe.h"

/* How many endpoints a retry remembers. */
#define AVOIDED 4

/* What is in a pmz_call. */
typedef struct call {
	pmz_pipe *pipe;
	pmz_breaker *breaker;   /* that gave the permit */
	pmz_bulkhead *bulkhead; /* likewise */
	pmz_budget *budget;     /* that holds a withdrawal for us, or NULL */
	pmz_permit permit;
	pmz_permit slot;
	pmz_balance *balance; /* that gave the pick */
	pmz_pick pick;        /* its endpoint stays when it is settled */
	uint16_t avoid[AVOIDED]; /* the endpoints tried last, by tries */
	uint64_t hash;
	pmz__backoff backoff; /* its deadline is the call's */
	pmz_ns try_ns;
	pmz_ns due;
	pmz_ns wait_left; /* for guards */
	pmz_ns waits_since;
	pmz__row asked_again; /* the waits for a full bulkhead */
	uint32_t tokens;
	uint32_t tries;
	int32_t status;
	uint8_t step;
	uint8_t waits_for_guard;
	uint8_t is_seeded;
	uint8_t spare;
} PMZ__MAY_ALIAS call;

typedef char call_fits[sizeof(call) <= sizeof(pmz_call) ? 1 : -1];

static call *call_of(pmz_call *c)
{
	PMZ__ASSERT(c);
	return (call *)(void *)c->opaque;
}

static const call *read_only(const pmz_call *c)
{
	PMZ__ASSERT(c);
	return (const call *)(const void *)c->opaque;
}

static pmz_step go(call *c, pmz_step step, pmz_ns due)
{
	c->step = (uint8_t)step;
	c->due = due;
	return step;
}

static pmz_step finish(call *c, int status, pmz_ns due)
{
	if (c->budget)
		pmz_budget_refund(c->budget);
	c->budget = NULL;
	c->status = status;
	return go(c, PMZ_DONE, due);
}

static int has_time(const call *c, pmz_ns now)
{
	pmz_ns end = pmz__sat_add(now, c->backoff.rule.attempt_min_ns);

	return now < c->backoff.deadline && end <= c->backoff.deadline;
}

static void seed_once(call *c, pmz_ns now)
{
	if (!c->is_seeded)
		c->backoff.random = pmz__pipe_seed(c->pipe, now);
	c->is_seeded = 1;
}

/* When to ask a full bulkhead again, by the end of the wait at the latest. */
static pmz_ns ask_again_at(call *c, pmz_ns now)
{
	pmz_ns wait;

	seed_once(c, now);
	wait = pmz__max(pmz__backoff_wait(&c->backoff, &c->asked_again), 1);
	return pmz__sat_add(now, pmz__min(wait, c->wait_left));
}

static pmz_step refused(call *c, pmz_ns now, int status, pmz_ns ready_at)
{
	pmz_ns again = ready_at;

	if (status == PMZ_REFUSED_FULL && c->wait_left)
		again = ask_again_at(c, now);
	if (again == PMZ_NEVER || again - now > c->wait_left ||
	    !has_time(c, again))
		return finish(c, status, ready_at);
	c->waits_for_guard = 1;
	c->waits_since = now;
	return go(c, PMZ_WAIT, again);
}

static void leave_breaker(call *c)
{
	if (c->breaker)
		pmz__breaker_undo(c->breaker, &c->permit);
	c->breaker = NULL;
}

/* Unused: as if it had not been picked. */
static void drop_endpoint(call *c)
{
	if (c->balance)
		pmz__balance_undo(c->balance, &c->pick);
	c->balance = NULL;
}

static void leave_endpoint(call *c, pmz_outcome how, pmz_ns now)
{
	if (c->balance)
		pmz_balance_settle(c->balance, &c->pick, how, now);
	c->balance = NULL;
}

static void leave_bulkhead(call *c, pmz_ns now)
{
	if (c->bulkhead)
		pmz_bulkhead_settle(c->bulkhead, &c->slot, PMZ_IGNORE, now);
	c->bulkhead = NULL;
}

/* An endpoint for the next attempt, not one of the last if it can be helped. */
static int pick_endpoint(call *c, pmz_balance *b, pmz_ns now)
{
	uint32_t avoid[AVOIDED], i;
	pmz_wish wish;
	int status;

	memset(&wish, 0, sizeof(wish));
	/* Without a key, one is drawn where the endpoint goes by key. */
	wish.size = c->hash ? sizeof(wish) : offsetof(pmz_wish, hash);
	wish.hash = c->hash;
	wish.avoid = avoid;
	wish.avoid_count = (uint32_t)pmz__min(c->tries, AVOIDED);
	for (i = 0; i < wish.avoid_count; i++)
		avoid[i] = c->avoid[i];
	status = pmz_balance_pick(b, &wish, now, &c->pick);
	if (status)
		return status;
	c->balance = b;
	return PMZ_OK;
}

/* Through all guards or none: PMZ_OK, or a refusal and when to return. */
static int enter(call *c, const pmz__guards *g, pmz_ns now, pmz_ns *ready_at)
{
	*ready_at = PMZ_NEVER;
	if (g->breaker) {
		if (pmz_breaker_acquire(g->breaker, now, &c->permit, ready_at))
			return PMZ_REFUSED_OPEN;
		c->breaker = g->breaker;
	}
	if (g->bulkhead) {
		if (pmz_bulkhead_acquire(g->bulkhead, now, &c->slot)) {
			leave_breaker(c);
			return PMZ_REFUSED_FULL;
		}
		c->bulkhead = g->bulkhead;
	}
	if (g->balance && pick_endpoint(c, g->balance, now)) {
		leave_bulkhead(c, now);
		leave_breaker(c);
		return PMZ_REFUSED_EMPTY;
	}
	if (g->bucket && pmz__bucket_take(g->bucket, &g->rate, c->tokens, now,
	                                  ready_at)) {
		drop_endpoint(c);
		leave_bulkhead(c, now);
		leave_breaker(c);
		return PMZ_REFUSED_RATE;
	}
	return PMZ_OK;
}

static pmz_step try_now(call *c, const pmz__guards *g, pmz_ns now)
{
	uint32_t last = c->pick.endpoint;
	pmz_ns ready_at;
	int status;

	if (!has_time(c, now))
		return finish(c, PMZ_TIMED_OUT, PMZ_NEVER);
	status = enter(c, g, now, &ready_at);
	if (status) {
		c->pick.endpoint = last;
		return refused(c, now, status, ready_at);
	}
	if (!c->balance)
		c->pick.endpoint = PMZ_NO_ENDPOINT;
	c->avoid[c->tries % AVOIDED] = (uint16_t)c->pick.endpoint;
	if (!c->tries++ && g->budget)
		pmz_budget_deposit(g->budget, now);
	c->budget = NULL; /* the withdrawal is used */
	return go(c, PMZ_TRY,
	          pmz__min(pmz__sat_add(now, c->try_ns), c->backoff.deadline));
}

/* What a call brings along, when its struct is not of this very size. */
static int read_ask(pmz_ask *out, const pmz_ask *ask)
{
	return pmz__config_read(out, sizeof(*out), ask, NULL);
}

static void start(call *c, pmz_pipe *p)
{
	c->pipe = p;
	c->breaker = NULL;
	c->bulkhead = NULL;
	c->budget = NULL;
	c->balance = NULL;
	c->pick.endpoint = PMZ_NO_ENDPOINT;
	c->hash = 0;
	c->asked_again.last = 0;
	c->asked_again.part = 0;
	c->tokens = 1;
	c->tries = 0;
}

pmz_step pmz_call_begin(pmz_call *call_, pmz_pipe *p, const pmz_ask *ask,
                        pmz_ns now)
{
	call *c = call_of(call_);
	pmz_ns total, deadline = PMZ_NEVER;
	uint64_t seed = 0; /* the pipe's next, if it is needed */
	pmz__guards g;
	pmz_ask asked;

	PMZ__ASSERT(p);
	start(c, p);
	if (ask) {
		int status = read_ask(&asked, ask);

		if (status)
			return finish(c, status, PMZ_NEVER);
		c->tokens = asked.tokens ? asked.tokens : 1;
		c->hash = asked.hash;
		seed = asked.seed;
		deadline = pmz__or_ns(asked.deadline, PMZ_NEVER);
	}
	pmz__rules_read(p, &g, &c->backoff.rule, &c->try_ns, &total,
	                &c->wait_left);
	pmz__backoff_begin(&c->backoff,
	                   pmz__min(pmz__sat_add(now, total), deadline), seed);
	c->is_seeded = seed != 0;
	return try_now(c, &g, now);
}

/* After a failed attempt: a wait, or the end. */
static pmz_step try_again(call *c, pmz_ns now, pmz_ns hint)
{
	pmz__guards g;
	pmz_ns at;
	int status;

	if (now >= c->backoff.deadline)
		return finish(c, PMZ_TIMED_OUT, PMZ_NEVER);
	seed_once(c, now);
	status = pmz__backoff_next(&c->backoff, now, hint, &at);
	if (status)
		return finish(c, status, PMZ_NEVER);
	pmz__guards_read(c->pipe, &g);
	if (g.budget && pmz_budget_withdraw(g.budget, now))
		return finish(c, PMZ_REFUSED_BUDGET, PMZ_NEVER);
	c->budget = g.budget;
	c->waits_for_guard = 0;
	return go(c, PMZ_WAIT, at);
}

static void give_back(call *c, pmz_outcome how, pmz_ns now, pmz_ns hint)
{
	/* "Do not come back" is for us, not for how long a breaker rests. */
	if (c->breaker)
		pmz_breaker_settle_hint(c->breaker, &c->permit, how, now,
		                        hint == PMZ_NEVER ? 0 : hint);
	c->breaker = NULL;
	leave_endpoint(c, how, now);
	leave_bulkhead(c, now);
}

pmz_step pmz_call_settle_hint(pmz_call *call_, pmz_outcome how, pmz_ns now,
                              pmz_ns hint)
{
	call *c = call_of(call_);

	if (c->step != PMZ_TRY)
		return (pmz_step)c->step;
	if (how < PMZ_SUCCESS || how > PMZ_FATAL) {
		give_back(c, PMZ_IGNORE, now, 0);
		return finish(c, PMZ_E_STATE, PMZ_NEVER);
	}
	give_back(c, how, now, hint);
	switch (how) {
	case PMZ_SUCCESS:
		return finish(c, PMZ_OK, PMZ_NEVER);
	case PMZ_IGNORE:
	case PMZ_FATAL:
		return finish(c, PMZ_ENDED, PMZ_NEVER);
	default:
		return try_again(c, now, hint);
	}
}

pmz_step pmz_call_settle(pmz_call *c, pmz_outcome how, pmz_ns now)
{
	return pmz_call_settle_hint(c, how, now, 0);
}

pmz_step pmz_call_resume(pmz_call *call_, pmz_ns now)
{
	call *c = call_of(call_);
	pmz__guards g;

	if (c->step != PMZ_WAIT || now < c->due)
		return (pmz_step)c->step;
	if (c->waits_for_guard)
		c->wait_left = pmz__sat_sub(c->wait_left,
		                            now - c->waits_since);
	pmz__guards_read(c->pipe, &g);
	return try_now(c, &g, now);
}

void pmz_call_cancel(pmz_call *call_, pmz_ns now)
{
	call *c = call_of(call_);

	if (c->step == PMZ_DONE)
		return;
	give_back(c, PMZ_IGNORE, now, 0);
	finish(c, PMZ_CANCELLED, PMZ_NEVER);
}

pmz_ns pmz_call_due(const pmz_call *c)
{
	return read_only(c)->due;
}

int pmz_call_status(const pmz_call *c)
{
	return read_only(c)->step == PMZ_DONE ? read_only(c)->status :
	                                        PMZ_E_STATE;
}

uint32_t pmz_call_tries(const pmz_call *c)
{
	return read_only(c)->tries;
}

uint32_t pmz_call_endpoint(const pmz_call *c)
{
	return read_only(c)->pick.endpoint;
}

size_t pmz_call_size(void)
{
	return sizeof(pmz_call);
}
