/*
 * breaker.c - the circuit breaker beside a slow model of it, on random
 * histories, a million steps of them with clocks that no caller should have.
 *
 * The model keeps every result of a closed spell in a list, with the number of
 * the bucket of time that it fell into, and counts the list anew for each
 * decision. It has no epochs inside words and no ring, so what the two have in
 * common is the specification.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pipemaze/breaker.h>

#include "dice.h"
#include "hostile.h"
#include "must.h"
#include "words.h"

__extension__ typedef unsigned __int128 wide;

#define SEEDS 150
#define TURNS 100
#define STEPS 1500
#define HELD_MAX 40
#define PLACES 16

#define BUCKETS 10
#define LEVEL_MAX 63

struct result {
	uint64_t bucket;
	int failed, slow;
};

/* Results, oldest first. A bucket of time begins when a result comes that is
 * later than the end of the newest; time that goes back falls into that one. */
struct window {
	struct result results[STEPS];
	size_t count;
	uint64_t bucket; /* the newest */
	pmz_ns start;    /* its */
};

struct place {
	uint64_t holder; /* number of the permit, 0 for none */
	pmz_ns until;
};

enum kind { COUNTED, PROBE, SHADOWED, UNLEARNED };

struct ticket {
	pmz_permit permit; /* of the real one */
	uint64_t number;   /* the rest is the model's */
	uint32_t epoch;
	pmz_ns start;
	enum kind kind;
	int place;
};

struct model {
	pmz_breaker_config rule; /* no field left 0 */
	uint32_t state, mode, epoch;
	struct window all;
	struct window slow; /* of a time window: while slow_pct is on */
	uint32_t streak, wins;
	uint64_t level;
	pmz_ns until, closed_at, changed_at;
	struct place places[PLACES];
	uint64_t permits;
	pmz_breaker_stats life;
};

static int mode_is(const struct model *m, uint32_t mode)
{
	return m->mode == mode;
}

static void change(struct model *m, uint32_t state, pmz_ns now)
{
	int i;

	m->state = state;
	m->epoch++;
	m->changed_at = now;
	m->all.count = 0;
	m->slow.count = 0;
	m->streak = 0;
	m->wins = 0;
	/* A lease that is over stays over: an instant there is never undone. */
	for (i = 0; i < PLACES; i++)
		m->places[i].holder = 0;
	if (state == PMZ_CLOSED)
		m->closed_at = now;
}

static pmz_ns bucket_of(const struct model *m)
{
	return m->rule.window_ns / 10 / 16 * 16;
}

static uint64_t begun_since(const struct model *m, const struct window *w,
                            pmz_ns now)
{
	return now > w->start ? (now - w->start) / bucket_of(m) : 0;
}

static void reach(const struct model *m, struct window *w, pmz_ns now)
{
	uint64_t begun = begun_since(m, w, now);

	w->bucket += begun;
	w->start += begun * bucket_of(m);
}

static void add_result(const struct model *m, struct window *w, pmz_ns now,
                       int failed, int slow)
{
	if (!m->rule.calls_window)
		reach(m, w, now);
	w->results[w->count++] = (struct result){ w->bucket, failed, slow };
}

struct tally {
	uint32_t calls, failed, slow;
};

/* The newest results that are in the window that ends now. */
static struct tally tally_of(const struct model *m, const struct window *w,
                             pmz_ns now)
{
	struct tally t = { 0, 0, 0 };
	size_t i = w->count;
	uint64_t bucket = 0;

	if (!m->rule.calls_window)
		bucket = w->bucket + begun_since(m, w, now);
	while (i-- > 0) {
		const struct result *r = &w->results[i];

		if (m->rule.calls_window ? t.calls == m->rule.calls_window
		                         : bucket - r->bucket >= BUCKETS)
			break;
		t.calls++;
		t.failed += (uint32_t)r->failed;
		t.slow += (uint32_t)r->slow;
	}
	return t;
}

static void count_window(const struct model *m, pmz_ns now,
                         pmz_breaker_stats *s)
{
	struct tally t = tally_of(m, &m->all, now);

	s->window_calls = t.calls;
	s->window_failures = t.failed;
	if (!m->rule.calls_window)
		t = tally_of(m, &m->slow, now);
	s->window_slow = t.slow;
}

/* What the window holds is as if seen now, in buckets of another length. */
static void restart(const struct model *old, struct window *w, pmz_ns now)
{
	size_t i;

	reach(old, w, now);
	for (i = 0; i < w->count; i++)
		if (w->bucket - w->results[i].bucket < BUCKETS)
			w->results[i].bucket = w->bucket;
		else
			w->results[i].bucket = w->bucket - BUCKETS;
	if (now / 16 * 16 > w->start)
		w->start = now / 16 * 16;
}

static int share_trips(uint32_t part, uint32_t whole, uint32_t min,
                       uint32_t pct)
{
	return pct != PMZ_OFF && whole >= min &&
	       (uint64_t)part * 100 >= (uint64_t)whole * pct;
}

static int trips(const struct model *m, pmz_ns now)
{
	const pmz_breaker_config *r = &m->rule;
	const struct result *last = &m->all.results[m->all.count - 1];
	struct tally all = tally_of(m, &m->all, now);
	struct tally slow = r->calls_window ? all : tally_of(m, &m->slow, now);
	size_t reached = r->calls_window ? m->all.count : all.calls;

	if (r->slow_pct == PMZ_OFF)
		slow.calls = 0;
	if (!last->failed && !last->slow && reached != r->calls_min &&
	    (r->calls_window || slow.calls != r->calls_min))
		return 0;
	return share_trips(all.failed, all.calls, r->calls_min,
	                   r->failure_pct) ||
	       share_trips(slow.slow, slow.calls, r->calls_min, r->slow_pct) ||
	       all.failed >= r->failures_max || m->streak >= r->consecutive_max;
}

static pmz_ns rest_of(const struct model *m, pmz_ns hint)
{
	wide rest = m->rule.open_ns, cap = m->rule.open_max_ns;
	uint64_t i;

	for (i = 1; i < m->level && rest < cap; i++)
		rest *= 2;
	if (rest < hint)
		rest = hint;
	return (pmz_ns)(rest < cap ? rest : cap);
}

static void open_up(struct model *m, pmz_ns now, pmz_ns hint)
{
	uint64_t healthy = 0;

	if (m->state == PMZ_CLOSED && m->rule.calls_window)
		healthy = m->all.count / m->rule.calls_window;
	else if (m->state == PMZ_CLOSED && now > m->closed_at)
		healthy = (now - m->closed_at) / m->rule.window_ns;
	m->level = m->level > healthy ? m->level - healthy + 1 : 1;
	if (m->level > LEVEL_MAX)
		m->level = LEVEL_MAX;
	/* A clock that is behind does not make the rest shorter. */
	if (now < m->all.start)
		now = m->all.start;
	change(m, PMZ_OPEN, now);
	m->until = hostile_on(now, rest_of(m, hint));
	m->life.trips++;
}

static void give(struct model *m, struct ticket *t, enum kind kind,
                 pmz_ns now)
{
	t->number = ++m->permits;
	t->epoch = m->epoch;
	t->start = now;
	t->kind = kind;
	t->place = -1;
}

static int refuse(struct model *m, struct ticket *t, pmz_ns now)
{
	if (mode_is(m, PMZ_SHADOW)) {
		m->life.would_refuse++;
		give(m, t, SHADOWED, now);
		return PMZ_OK;
	}
	m->life.refusals++;
	return PMZ_REFUSED_OPEN;
}

static int probe(struct model *m, struct ticket *t, pmz_ns now, pmz_ns *ready)
{
	uint32_t i;

	*ready = PMZ_NEVER;
	for (i = 0; i < m->rule.probes_max; i++) {
		struct place *p = &m->places[i];

		if (p->holder && now < p->until) {
			*ready = p->until < *ready ? p->until : *ready;
			continue;
		}
		give(m, t, PROBE, now);
		t->place = (int)i;
		p->holder = t->number;
		/* Nor a lease. */
		if (p->until < hostile_on(now, m->rule.probe_lease_ns))
			p->until = hostile_on(now, m->rule.probe_lease_ns);
		return PMZ_OK;
	}
	return refuse(m, t, now);
}

static int model_acquire(struct model *m, struct ticket *t, pmz_ns now,
                         pmz_ns *ready)
{
	*ready = PMZ_NEVER;
	if (mode_is(m, PMZ_ISOLATED))
		return refuse(m, t, now);
	if (mode_is(m, PMZ_DISABLED) || m->state == PMZ_CLOSED) {
		give(m, t, mode_is(m, PMZ_DISABLED) ? UNLEARNED : COUNTED, now);
		return PMZ_OK;
	}
	if (m->state == PMZ_OPEN && now < m->until) {
		*ready = m->until;
		return refuse(m, t, now);
	}
	if (m->state == PMZ_OPEN)
		change(m, PMZ_HALF_OPEN, now);
	return probe(m, t, now, ready);
}

static int is_slow(const struct model *m, const struct ticket *t, pmz_ns now)
{
	return now > t->start && now - t->start > m->rule.slow_ns;
}

static void count_life(struct model *m, int failed, int slow)
{
	m->life.calls++;
	m->life.failures += (uint64_t)failed;
	m->life.slow += (uint64_t)slow;
}

static void settle_closed(struct model *m, int failed, int slow, pmz_ns now,
                          pmz_ns hint)
{
	add_result(m, &m->all, now, failed, slow);
	if (m->rule.slow_pct != PMZ_OFF)
		add_result(m, &m->slow, now, failed, slow);
	/* Counted while a rule asks for it. */
	if (m->rule.consecutive_max != PMZ_OFF)
		m->streak = failed ? m->streak + 1 : 0;
	if (trips(m, now))
		open_up(m, now, hint);
}

static void settle_probe(struct model *m, struct ticket *t, int bad, pmz_ns now,
                         pmz_ns hint)
{
	struct place *p = &m->places[t->place];

	if (p->holder == t->number)
		p->holder = 0;
	if (bad)
		open_up(m, now, hint);
	else if (++m->wins >= m->rule.probes_to_close)
		change(m, PMZ_CLOSED, now);
}

static void model_settle(struct model *m, struct ticket *t, pmz_outcome how,
                         pmz_ns now, pmz_ns hint)
{
	int failed = how != PMZ_SUCCESS, slow = is_slow(m, t, now);
	int bad = failed || (slow && m->rule.slow_pct != PMZ_OFF);
	struct place *p = t->kind == PROBE ? &m->places[t->place] : NULL;

	if (t->kind == UNLEARNED)
		return;
	if (t->epoch != m->epoch) {
		m->life.stale++;
	} else if (how == PMZ_IGNORE || how == PMZ_AGAIN) {
		m->life.ignored++;
		if (p && p->holder == t->number)
			p->holder = 0;
	} else if (p && bad && p->holder != t->number) {
		m->life.stale++;
	} else {
		count_life(m, failed, slow);
		if (t->kind == COUNTED)
			settle_closed(m, failed, slow, now, hint);
		else if (p)
			settle_probe(m, t, bad, now, hint);
	}
}

static void model_force(struct model *m, uint32_t mode, pmz_ns now)
{
	int special = mode >= PMZ_ISOLATED || m->mode >= PMZ_ISOLATED;

	if (mode == m->mode)
		return;
	m->mode = mode;
	if (!special)
		return;
	m->level = 0;
	change(m, PMZ_CLOSED, now);
}

static void model_set(struct model *m, const pmz_breaker_config *c, pmz_ns now)
{
	struct model old = *m;

	m->rule = *c;
	/* What nobody counted meanwhile is not gone on from. */
	if (old.rule.consecutive_max == PMZ_OFF)
		m->streak = 0;
	if (!c->calls_window && bucket_of(m) != bucket_of(&old)) {
		restart(&old, &m->all, now);
		restart(&old, &m->slow, now);
	}
	if (c->mode)
		model_force(m, c->mode, now);
}

static void model_read(const struct model *m, pmz_ns now, pmz_breaker_stats *s)
{
	uint32_t i;

	*s = m->life;
	s->size = sizeof(*s);
	s->state = mode_is(m, PMZ_ISOLATED) ? PMZ_OPEN : m->state;
	s->epoch = m->epoch;
	s->changed_at = m->changed_at;
	if (s->state == PMZ_CLOSED)
		count_window(m, now, s);
	for (i = 0; i < PLACES; i++)
		s->probes_out +=
			m->places[i].holder && now < m->places[i].until;
}

/* A random config; what is chosen at random is rarely out of reach of a
 * history of so many steps. */

static void choose_window(pmz_breaker_config *c, dice *d)
{
	if (dice_once_in(d, 2))
		c->calls_window = (uint32_t)dice_between(d, 1, 40);
	else
		c->window_ns = PMZ_MS(1) + dice_sized(d, 34);
	c->calls_min = (uint32_t)dice_between(
		d, 1, c->calls_window ? c->calls_window : 40);
}

static void choose_rules(pmz_breaker_config *c, dice *d)
{
	c->failure_pct = PMZ_OFF;
	c->slow_pct = PMZ_OFF;
	c->slow_ns = PMZ_NEVER;
	c->failures_max = PMZ_OFF;
	c->consecutive_max = PMZ_OFF;
	if (dice_once_in(d, 2))
		c->failure_pct = (uint32_t)dice_between(d, 1, 100);
	if (dice_once_in(d, 3)) {
		c->slow_pct = (uint32_t)dice_between(d, 1, 100);
		c->slow_ns = PMZ_MS(1) + dice_sized(d, 32);
	}
	if (dice_once_in(d, 3))
		c->failures_max = (uint32_t)dice_between(
			d, 1, c->calls_window ? c->calls_window : 20);
	if (dice_once_in(d, 3) ||
	    (c->failure_pct == PMZ_OFF && c->slow_pct == PMZ_OFF &&
	     c->failures_max == PMZ_OFF))
		c->consecutive_max = (uint32_t)dice_between(d, 1, 8);
}

static pmz_breaker_config choose_config(dice *d)
{
	pmz_breaker_config c = { .size = sizeof(c) };

	choose_window(&c, d);
	choose_rules(&c, d);
	c.open_ns = 1 + dice_sized(d, 34);
	c.open_max_ns = c.open_ns + dice_sized(d, 38);
	c.probe_lease_ns = 1 + dice_sized(d, 34);
	c.probes_max =
		dice_once_in(d, 3) ? 1 : (uint32_t)dice_between(d, 1, PLACES);
	c.probes_to_close = (uint32_t)dice_between(d, 1, 6);
	c.open_jitter_pct = PMZ_OFF;
	c.mode = dice_once_in(d, 4) ? PMZ_SHADOW : PMZ_ENFORCE;
	return c;
}

/* The same in the extreme. */
static pmz_breaker_config choose_extreme(dice *d)
{
	pmz_breaker_config c = choose_config(d);

	if (!c.calls_window && dice_once_in(d, 2))
		c.window_ns = PMZ_MS(1) + dice_sized(d, 63);
	if (dice_once_in(d, 4))
		c.calls_min = c.calls_window ? c.calls_window : PMZ_OFF - 1;
	if (c.slow_ns != PMZ_NEVER && dice_once_in(d, 2))
		c.slow_ns = 1 + dice_sized(d, 63);
	if (dice_once_in(d, 2))
		c.open_ns = 1 + dice_sized(d, 63);
	c.open_max_ns = hostile_on(c.open_ns, dice_sized(d, 64));
	if (dice_once_in(d, 4))
		c.probe_lease_ns = hostile_leap(d, PMZ_S(1)) | 1;
	if (dice_once_in(d, 16))
		c.probes_to_close = PMZ_OFF - 1;
	return c;
}

struct history {
	dice dice;
	struct model model;
	pmz_breaker *real;
	struct ticket held[HELD_MAX];
	unsigned out;
	pmz_ns now, ready;
	unsigned bad_pct; /* how often a call fails, for now */
	int seed, step;
};

static void begin_with(struct history *h, int seed,
                       pmz_breaker_config (*choose)(dice *d))
{
	pmz_breaker_stats s = { .size = sizeof(s) };
	pmz_why why;

	memset(h, 0, sizeof(*h));
	h->dice = dice_of(seed);
	h->model.rule = choose(&h->dice);
	h->seed = seed;
	h->model.mode = h->model.rule.mode;
	h->model.state = PMZ_CLOSED;
	h->now = dice_sized(&h->dice, 61);
	h->ready = PMZ_NEVER;
	must(pmz_breaker_new(&h->real, &h->model.rule, &why) == PMZ_OK,
	     "%s: %s", why.field, why.text);
	pmz_breaker_read(h->real, h->now, &s);
	h->model.epoch = s.epoch;
	/* Nobody has been here yet: a clock's beginning is 0. */
	h->model.closed_at = 0;
}

static void begin(struct history *h, int seed)
{
	begin_with(h, seed, choose_config);
}

/* Often right at the edge of a decision. */
static void pass(struct history *h)
{
	dice *d = &h->dice;
	pmz_ns bucket =
		h->model.rule.calls_window ? PMZ_MS(100) : bucket_of(&h->model);
	pmz_ns edge = h->ready;

	if (edge == PMZ_NEVER || dice_once_in(d, 3))
		edge = (h->now / bucket + dice_between(d, 1, 11)) * bucket;
	edge -= dice_roll(d) % 2;
	if (dice_once_in(d, 6) && edge > h->now && edge < INT64_MAX)
		h->now = edge;
	else if (dice_once_in(d, 2))
		h->now += dice_between(d, 0, bucket / 4);
	else if (dice_once_in(d, 50))
		h->now += dice_sized(d, 50);
	if (dice_once_in(d, 40))
		h->bad_pct = (unsigned)dice_between(d, 0, 100);
}

static pmz_outcome any_outcome(struct history *h)
{
	dice *d = &h->dice;

	if (dice_once_in(d, 10))
		return dice_once_in(d, 2) ? PMZ_IGNORE : PMZ_AGAIN;
	if (dice_between(d, 1, 100) > h->bad_pct)
		return PMZ_SUCCESS;
	return dice_once_in(d, 5) ? PMZ_FATAL : PMZ_FAILURE;
}

static void acquire(struct history *h)
{
	struct ticket t = { .number = 0 };
	pmz_ns want_ready, ready = PMZ_NEVER;
	int want, got;

	if (h->out == HELD_MAX)
		return;
	want = model_acquire(&h->model, &t, h->now, &want_ready);
	got = pmz_breaker_acquire(h->real, h->now, &t.permit, &ready);
	must(got == want, "seed %d, step %d: acquire says %s, not %s", h->seed,
	     h->step, pmz_status_name(got), pmz_status_name(want));
	if (got != PMZ_OK) {
		must(ready == want_ready,
		     "seed %d, step %d: ready at %llu, not %llu", h->seed,
		     h->step, (unsigned long long)ready,
		     (unsigned long long)want_ready);
		h->ready = ready;
		return;
	}
	h->held[h->out++] = t;
}

static void settle(struct history *h)
{
	pmz_outcome how = any_outcome(h);
	pmz_ns hint = dice_once_in(&h->dice, 10) ? dice_sized(&h->dice, 36) : 0;
	struct ticket *t;
	unsigned i;

	if (!h->out)
		return;
	/* The newest one mostly; the others grow old. */
	i = h->out - 1;
	if (dice_once_in(&h->dice, 4))
		i = (unsigned)dice_between(&h->dice, 0, i);
	t = &h->held[i];
	model_settle(&h->model, t, how, h->now, hint);
	must_be(pmz_breaker_settle_hint(h->real, &t->permit, how, h->now, hint),
	        PMZ_OK);
	*t = h->held[--h->out];
}

/* What an operator does now and then. */
static void meddle(struct history *h)
{
	uint32_t mode =
		(uint32_t)dice_between(&h->dice, PMZ_ENFORCE, PMZ_DISABLED);

	if (dice_once_in(&h->dice, 4)) {
		h->model.level = 0;
		change(&h->model, PMZ_CLOSED, h->now);
		pmz_breaker_reset(h->real, h->now);
		return;
	}
	/* Not to stay there for the rest of the history. */
	if (h->model.mode >= PMZ_ISOLATED)
		mode = PMZ_ENFORCE + (uint32_t)(dice_roll(&h->dice) % 2);
	model_force(&h->model, mode, h->now);
	must_be(pmz_breaker_force(h->real, (pmz_breaker_mode)mode, h->now),
	        PMZ_OK);
}

static void misuse(struct history *h)
{
	pmz_permit empty = { { 0, 0 } };

	h->model.life.misused++;
	must_be(pmz_breaker_settle(h->real, &empty, PMZ_FAILURE, h->now),
	        PMZ_E_STATE);
}

#define SAME(field)                                                     \
	must(got.field == want.field,                                   \
	     "seed %d, step %d, %s: " #field " is %llu, not %llu",      \
	     h->seed, h->step, kit_state((int)want.state),              \
	     (unsigned long long)got.field,                             \
	     (unsigned long long)want.field)

static void compare(struct history *h)
{
	pmz_breaker_stats want, got = { .size = sizeof(got) };

	model_read(&h->model, h->now, &want);
	must_be(pmz_breaker_read(h->real, h->now, &got), PMZ_OK);
	SAME(state);
	SAME(epoch);
	SAME(trips);
	SAME(calls);
	SAME(failures);
	SAME(slow);
	SAME(ignored);
	SAME(stale);
	SAME(refusals);
	SAME(would_refuse);
	SAME(misused);
	SAME(window_calls);
	SAME(window_failures);
	SAME(window_slow);
	SAME(probes_out);
	SAME(changed_at);
}

static void act(struct history *h)
{
	switch (dice_roll(&h->dice) % 16) {
	case 0:
		if (dice_once_in(&h->dice, 16))
			meddle(h);
		break;
	case 1:
		if (dice_once_in(&h->dice, 16))
			misuse(h);
		break;
	default:
		if (dice_once_in(&h->dice, 2))
			acquire(h);
		else
			settle(h);
	}
}

static void release(struct history *h)
{
	while (h->out)
		pmz_breaker_settle(h->real, &h->held[--h->out].permit,
		                   PMZ_IGNORE, h->now);
	pmz_breaker_free(h->real);
}

START_TEST(every_step_is_that_of_the_model)
{
	struct history h;

	begin(&h, _i);
	for (h.step = 0; h.step < STEPS; h.step++) {
		pass(&h);
		act(&h);
		compare(&h);
	}
	release(&h);
}
END_TEST

/* New rules for a breaker that runs: its kind of window stays. */
static void set_rules(struct history *h)
{
	pmz_breaker_config c = choose_extreme(&h->dice);

	if (dice_once_in(&h->dice, 2)) {
		c.window_ns = h->model.rule.window_ns;
	} else if (!c.window_ns && !h->model.rule.calls_window) {
		c.window_ns = PMZ_MS(1) + dice_sized(&h->dice, 34);
	}
	c.calls_window = h->model.rule.calls_window;
	c.probes_max = h->model.rule.probes_max;
	if (c.calls_window) {
		c.window_ns = 0;
		c.calls_min = (uint32_t)dice_between(&h->dice, 1,
		                                     c.calls_window);
		if (c.failures_max != PMZ_OFF)
			c.failures_max = c.calls_min;
	}
	if (dice_once_in(&h->dice, 2))
		c.mode = 0;
	model_set(&h->model, &c, h->now);
	must_be(pmz_breaker_set(h->real, &c, h->now, NULL), PMZ_OK);
}

static void pass_wildly(struct history *h)
{
	dice *d = &h->dice;
	pmz_ns unit = h->model.rule.calls_window ? PMZ_MS(100)
	                                         : bucket_of(&h->model);
	pmz_ns edge = h->ready;

	if (edge == PMZ_NEVER || dice_once_in(d, 3))
		edge = hostile_on(h->model.all.start,
		                  unit * dice_between(d, 1, 11));
	h->now = hostile_next(d, h->now, edge, unit);
	if (dice_once_in(d, 40))
		h->bad_pct = (unsigned)dice_between(d, 0, 100);
}

static void wild_history(int seed)
{
	static struct history history;
	struct history *h = &history;

	begin_with(h, seed, choose_extreme);
	h->now = hostile_start(&h->dice);
	for (h->step = 0; h->step < STEPS; h->step++) {
		pass_wildly(h);
		if (dice_once_in(&h->dice, 200))
			set_rules(h);
		else
			act(h);
		compare(h);
	}
	release(h);
}

START_TEST(every_step_is_that_of_the_model_whatever_the_clock_says)
{
	int histories = hostile_histories(STEPS, TURNS), i;

	for (i = 0; i < histories; i++)
		wild_history(_i * histories + i);
}
END_TEST

/* The model would not tell much if it never opened or never healed. */
START_TEST(the_histories_visit_every_state)
{
	static struct history h;
	uint64_t trips_seen = 0, closes = 0, stale = 0, permits = 0;
	int seed;

	for (seed = 0; seed < SEEDS; seed++) {
		uint32_t before;

		begin(&h, seed);
		for (h.step = 0; h.step < STEPS; h.step++) {
			before = h.model.state;
			pass(&h);
			act(&h);
			closes += before == PMZ_HALF_OPEN &&
			          h.model.state == PMZ_CLOSED;
		}
		trips_seen += h.model.life.trips;
		stale += h.model.life.stale;
		permits += h.model.permits;
		release(&h);
	}
	ck_assert_uint_gt(trips_seen, 10 * SEEDS);
	ck_assert_uint_gt(closes, SEEDS);
	ck_assert_uint_gt(stale, SEEDS);
	ck_assert_uint_gt(permits, 100 * SEEDS);
}
END_TEST

/* A clock that goes anywhere: what holds without a model. */

struct wild {
	struct history h;
	pmz_breaker_stats before;
	uint64_t settled, opened;
	pmz_ns latest;
};

static void step_anywhere(struct history *h)
{
	dice *d = &h->dice;
	pmz_ns by = dice_sized(d, dice_once_in(d, 20) ? 50 : 34);

	if (dice_once_in(d, 2))
		h->now = h->now > by ? h->now - by : 0;
	else
		h->now += by;
}

static void wild_acquire(struct wild *w)
{
	struct history *h = &w->h;
	struct ticket t = { .number = 0 };
	pmz_ns ready = PMZ_NEVER;
	int got;

	if (h->out == HELD_MAX)
		return;
	got = pmz_breaker_acquire(h->real, h->now, &t.permit, &ready);
	if (got == PMZ_OK) {
		h->held[h->out++] = t;
		return;
	}
	must_be(got, PMZ_REFUSED_OPEN);
	must_fit(h->now + 1, ready);
}

static void wild_settle(struct wild *w)
{
	struct history *h = &w->h;
	unsigned i;

	if (!h->out)
		return;
	i = (unsigned)dice_between(&h->dice, 0, h->out - 1);
	must_be(pmz_breaker_settle(h->real, &h->held[i].permit, any_outcome(h),
	                           h->now),
	        PMZ_OK);
	h->held[i] = h->held[--h->out];
	w->settled++;
}

static int may_follow(uint32_t from, uint32_t to)
{
	switch (from) {
	case PMZ_CLOSED:
		return to == PMZ_OPEN;
	case PMZ_OPEN:
		return to == PMZ_HALF_OPEN;
	default:
		return to == PMZ_OPEN || to == PMZ_CLOSED;
	}
}

static void check_wild(struct wild *w)
{
	pmz_breaker_stats s = { .size = sizeof(s) };
	const pmz_breaker_stats *was = &w->before;

	must_be(pmz_breaker_read(w->h.real, w->h.now, &s), PMZ_OK);
	if (s.epoch != was->epoch) {
		must_be(s.epoch, was->epoch + 1);
		must(may_follow(was->state, s.state), "%s to %s",
		     kit_state((int)was->state), kit_state((int)s.state));
		must_fit(w->h.now, s.changed_at);
		w->opened += s.state == PMZ_OPEN;
	} else {
		must_be(s.state, was->state);
		must_be(s.changed_at, was->changed_at);
	}
	must_be(s.calls + s.ignored + s.stale, w->settled);
	must_be(s.trips, w->opened);
	must_fit(s.probes_out, w->h.model.rule.probes_max);
	must_fit(s.window_failures, s.window_calls);
	w->before = s;
}

static void call(struct wild *w, pmz_outcome how)
{
	pmz_permit p;

	must_be(pmz_breaker_acquire(w->h.real, w->h.now, &p, NULL), PMZ_OK);
	check_wild(w);
	pmz_breaker_settle(w->h.real, &p, how, w->h.now);
	w->settled++;
	check_wild(w);
}

static void heal(struct wild *w)
{
	unsigned i;

	w->h.now += PMZ_S(1u << 20);
	for (i = 0; w->before.state != PMZ_CLOSED; i++) {
		must_fit(i, w->h.model.rule.probes_to_close);
		call(w, PMZ_SUCCESS);
	}
}

/* Whatever is set trips at failures only. */
static void break_down(struct wild *w)
{
	unsigned i;

	for (i = 0; w->before.state != PMZ_OPEN; i++) {
		must_fit(i, 99);
		call(w, PMZ_FAILURE);
	}
}

START_TEST(a_wild_clock_neither_blinds_nor_blocks)
{
	struct wild w;

	memset(&w, 0, sizeof(w));
	begin(&w.h, _i);
	w.before.epoch = w.h.model.epoch;
	w.before.state = PMZ_CLOSED;
	w.h.now = PMZ_S(1u << 20);
	for (w.h.step = 0; w.h.step < STEPS; w.h.step++) {
		step_anywhere(&w.h);
		if (dice_once_in(&w.h.dice, 2))
			wild_acquire(&w);
		else
			wild_settle(&w);
		check_wild(&w);
		w.latest = w.h.now > w.latest ? w.h.now : w.latest;
	}
	w.h.now = w.latest;
	heal(&w);
	w.h.now -= PMZ_S(1000);
	if (w.h.model.rule.slow_pct == PMZ_OFF ||
	    w.h.model.rule.failure_pct != PMZ_OFF ||
	    w.h.model.rule.failures_max != PMZ_OFF ||
	    w.h.model.rule.consecutive_max != PMZ_OFF)
		break_down(&w);
	release(&w.h);
}
END_TEST

/* Jitter. */

START_TEST(a_jittered_rest_stays_in_its_range)
{
	dice d = dice_of(_i);
	pmz_breaker_config c = { .size = sizeof(c) };
	pmz_breaker *b;
	pmz_ns now = dice_sized(&d, 60), plain;
	int i;

	c.failure_pct = PMZ_OFF;
	c.consecutive_max = 1;
	c.open_ns = 1 + dice_sized(&d, 40);
	c.open_max_ns = c.open_ns + dice_sized(&d, 50);
	c.open_jitter_pct = (uint32_t)dice_between(&d, 1, 100);
	c.seed = dice_roll(&d);
	plain = c.open_ns;
	must_be(pmz_breaker_new(&b, &c, NULL), PMZ_OK);
	for (i = 0; i < 70; i++) {
		pmz_ns part = plain / 100 * c.open_jitter_pct +
		              plain % 100 * c.open_jitter_pct / 100;
		pmz_permit p;
		pmz_ns ready;

		must_be(pmz_breaker_acquire(b, now, &p, NULL), PMZ_OK);
		pmz_breaker_settle(b, &p, PMZ_FAILURE, now);
		must_be(pmz_breaker_acquire(b, now, &p, &ready),
		        PMZ_REFUSED_OPEN);
		must_fit(plain - part, ready - now);
		must_fit(ready - now, plain + part);
		must_fit(ready - now, c.open_max_ns);
		now = ready;
		plain = plain > c.open_max_ns / 2 ? c.open_max_ns : plain * 2;
	}
	pmz_breaker_free(b);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("breaker");
	TCase *tc = tcase_create("random histories");
	SRunner *runner;
	int failed;

	tcase_add_loop_test(tc, every_step_is_that_of_the_model, 0, SEEDS);
	tcase_add_loop_test(
		tc, every_step_is_that_of_the_model_whatever_the_clock_says, 0,
		TURNS);
	tcase_add_test(tc, the_histories_visit_every_state);
	tcase_add_loop_test(tc, a_wild_clock_neither_blinds_nor_blocks, 0,
	                    SEEDS);
	tcase_add_loop_test(tc, a_jittered_rest_stays_in_its_range, 0, SEEDS);
	tcase_set_timeout(tc, 60);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
