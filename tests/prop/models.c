/*
 * models.c - the token bucket, the window that budget and breaker count in,
 * and the backoff, each beside a slow model of it: a million steps of random
 * histories, with clocks that no caller should have. PIPEMAZE_STEPS says how
 * many.
 *
 * The models work in 128 bits and on plain lists, and agree to the ns. The
 * other guards have theirs in the file of their name.
 */
#include <stdio.h>
#include <string.h>

#include "base/random.h"
#include "core/backoff.h"
#include "core/bucket.h"
#include "core/window.h"
#include "dice.h"
#include "hostile.h"
#include "must.h"

__extension__ typedef __int128 wide;
__extension__ typedef unsigned __int128 uwide;

typedef unsigned long long llu;

#define TURNS 100
#define STEPS 1000
#define HELD_MAX 16
#define BUCKETS 10 /* of a window */

/* A step whose answers differ. */
#define same(got, want, what)                                                 \
	must((got) == (want), "seed %d, step %d: " what " is %llu, not %llu", \
	     h->seed, h->step, (llu)(got), (llu)(want))

/* The bucket. Token k of a rule's grid is at the first whole ns that is not
 * before k intervals; an interval is a whole number of 2^-32 ns, or of ns where
 * that is as good. */

struct rule {
	uint64_t tokens, per, burst;
	uint64_t interval, parts; /* of which so many make a ns */
	uint64_t depth;
	pmz_rate rate;
};

struct bucket_history {
	int seed, step;
	dice dice;
	struct rule rule;
	pmz_bucket real;
	uint64_t tat; /* the model's */
	pmz_ns now, ready;
	unsigned held;
	struct {
		uint64_t n;
		pmz_ns at;
	} takes[HELD_MAX];
};

/* Rounded up, below 0 too. */
static wide line(const struct rule *r, wide k)
{
	wide sum = k * (wide)r->interval, parts = (wide)r->parts;

	return sum > 0 ? (sum + parts - 1) / parts : sum / parts;
}

static wide line_before(const struct rule *r, uint64_t tat)
{
	return (wide)tat * (wide)r->parts / (wide)r->interval;
}

static wide cost_of(const struct rule *r, uint64_t tat, uint64_t n)
{
	wide k = line_before(r, tat);

	return line(r, k + (wide)n) - line(r, k);
}

/* 0 if there is no such rule. */
static int fill_rule(struct rule *r)
{
	uwide depth;

	if (!r->tokens || !r->burst || r->per < r->tokens)
		return 0;
	r->parts = 1;
	if (r->per % r->tokens && r->per / r->tokens < (uint64_t)1 << 30)
		r->parts = (uint64_t)1 << 32;
	r->interval = (uint64_t)(((uwide)r->per * r->parts + r->tokens - 1) /
	                         r->tokens);
	depth = ((uwide)r->burst * r->interval + r->parts - 1) / r->parts;
	r->depth = (uint64_t)depth;
	return depth <= INT64_MAX;
}

/* A rule whose burst fits, mostly. */
static void choose_rule(struct bucket_history *h)
{
	dice *d = &h->dice;
	struct rule *r = &h->rule;
	int fits;

	do {
		r->tokens = dice_sized(d, dice_once_in(d, 4) ? 63 : 30);
		r->per = dice_once_in(d, 3) ? dice_sized(d, 63)
		                            : r->tokens + dice_sized(d, 40);
		r->burst = dice_sized(d, dice_once_in(d, 4) ? 62 : 10);
		if (dice_once_in(d, 4))
			r->per = r->tokens * dice_sized(d, 30);
		fits = fill_rule(r);
		same(pmz_rate_set(&r->rate, r->tokens, r->per, r->burst),
		     fits ? PMZ_OK : PMZ_E_CONFIG, "pmz_rate_set()");
	} while (!fits);
}

/* Takes n tokens as soon as they are there, and says when that is; if later
 * than `latest`, does not. */
static pmz_ns model_take(const struct rule *r, uint64_t *tat, uint64_t n,
                         pmz_ns now, pmz_ns latest)
{
	uint64_t from = *tat > now ? *tat : now;
	pmz_ns ready = now;
	wide after;

	if (n > r->burst)
		return PMZ_NEVER;
	after = (wide)from + cost_of(r, from, n);
	if (after - (wide)now > (wide)r->depth)
		ready = (pmz_ns)(after - (wide)r->depth);
	else if (after >= (wide)PMZ_NEVER)
		return PMZ_NEVER;
	if (ready <= latest && after < (wide)PMZ_NEVER)
		*tat = (uint64_t)after;
	return ready;
}

static void hold(struct bucket_history *h, uint64_t n, pmz_ns at)
{
	unsigned i = h->held < HELD_MAX
	                     ? h->held++
	                     : (unsigned)(dice_roll(&h->dice) % HELD_MAX);

	h->takes[i].n = n;
	h->takes[i].at = at;
}

static uint64_t some_tokens(struct bucket_history *h)
{
	uint64_t burst = h->rule.burst;

	switch (dice_roll(&h->dice) % 8) {
	case 0:
		return dice_roll(&h->dice);
	case 1:
		return burst + dice_roll(&h->dice) % 2;
	case 2:
		return dice_between(&h->dice, 0, burst);
	default:
		return 1 + dice_sized(&h->dice, 62) % burst % 4;
	}
}

static void take(struct bucket_history *h)
{
	uint64_t n = some_tokens(h);
	pmz_ns want = model_take(&h->rule, &h->tat, n, h->now, h->now), at;
	int got = pmz_bucket_take(&h->real, &h->rule.rate, n, h->now, &at);
	int is_there = want == h->now && (want != PMZ_NEVER || got == PMZ_OK);

	same(got, is_there ? PMZ_OK : PMZ_REFUSED_RATE, "a take");
	if (is_there) {
		hold(h, n, h->now);
		return;
	}
	same(at, want, "ready_at");
	h->ready = want;
}

static void reserve(struct bucket_history *h)
{
	uint64_t n = some_tokens(h), before = h->tat;
	pmz_ns latest = dice_once_in(&h->dice, 4)
	                        ? PMZ_NEVER
	                        : hostile_next(&h->dice, h->now, h->ready,
	                                       h->rule.depth);
	pmz_ns want = model_take(&h->rule, &h->tat, n, h->now, latest), at;
	int got = pmz_bucket_reserve(&h->real, &h->rule.rate, n, h->now, latest,
	                             &at);

	same(at, want, "a reservation's instant");
	same(got,
	     h->tat != before || (!n && want <= latest && want != PMZ_NEVER)
	             ? PMZ_OK
	             : PMZ_REFUSED_RATE,
	     "a reservation");
	if (got == PMZ_OK)
		hold(h, n, at);
}

static void refund(struct bucket_history *h)
{
	unsigned i = (unsigned)(dice_roll(&h->dice) % HELD_MAX);
	uint64_t n = h->takes[i % HELD_MAX].n;
	pmz_ns at = h->takes[i].at;
	wide k = line_before(&h->rule, h->tat), worth;

	if (i >= h->held)
		return;
	pmz_bucket_refund(&h->real, &h->rule.rate, n, at, h->now);
	h->takes[i] = h->takes[--h->held];
	if (h->tat <= h->now)
		return;
	n = n < h->rule.burst ? n : h->rule.burst;
	worth = line(&h->rule, k) - line(&h->rule, k - (wide)n);
	if (h->now > at)
		worth -= (wide)(h->now - at);
	if (worth > 0)
		h->tat = (wide)h->tat - worth > (wide)h->now
		                 ? (uint64_t)((wide)h->tat - worth)
		                 : h->now;
}

/* The largest n that a take would get, by halves. */
static uint64_t model_left(const struct rule *r, uint64_t tat, pmz_ns now)
{
	uint64_t from = tat > now ? tat : now, low = 0, high = r->burst;
	wide room = (wide)r->depth - (wide)(from - now);

	while (room > 0 && low < high) {
		uint64_t n = low + (high - low + 1) / 2;

		if (cost_of(r, from, n) <= room)
			low = n;
		else
			high = n - 1;
	}
	return low;
}

/* To another rule: what is missing of the burst, in tokens and parts of them,
 * to within what a few roundings are worth by either rule. The model goes on
 * from where the real one then stands. */
static void rerate(struct bucket_history *h)
{
	struct rule from = h->rule;
	uint64_t left = model_left(&from, h->tat, h->now), after;
	double token, want, slack, old_token;

	choose_rule(h);
	pmz_bucket_rerate(&h->real, &from.rate, &h->rule.rate, h->now);
	after = h->real.opaque[0];
	old_token = (double)from.interval / (double)from.parts;
	token = (double)h->rule.interval / (double)h->rule.parts;
	want = h->tat > h->now ? (double)(h->tat - h->now) / old_token : 0;
	want += (double)h->rule.burst - (double)from.burst;
	want = want > 0 ? want * token : 0;
	slack = 4 + 4 * token / old_token +
	        1e-14 * (want +
	                 token * ((double)from.burst + (double)h->rule.burst));
	if (want > (double)(PMZ_NEVER - h->now))
		want = (double)(PMZ_NEVER - h->now);
	h->tat = after;
	h->held = 0;
	if (h->now >= PMZ_NEVER - 1) {
		same(after, PMZ_NEVER - 1, "a bucket at the end of time");
		return;
	}
	must(after >= h->now && after < PMZ_NEVER, "seed %d, step %d: %llu",
	     h->seed, h->step, (llu)after);
	must((double)(after - h->now) >= want * (1 - 1e-14) - slack &&
	             (double)(after - h->now) <= want + slack,
	     "seed %d, step %d: rerated to %llu from now, not %.0f", h->seed,
	     h->step, (llu)(after - h->now), want);
	left = left < h->rule.burst ? left : h->rule.burst;
	if (h->now < PMZ_NEVER - h->rule.depth)
		must_fit(left, model_left(&h->rule, after, h->now));
}

static void bucket_step(struct bucket_history *h)
{
	dice *d = &h->dice;
	pmz_ns unit = h->rule.interval / h->rule.parts;

	h->now = hostile_next(d, h->now, dice_once_in(d, 4) ? h->tat : h->ready,
	                      dice_once_in(d, 4) ? h->rule.depth : unit);
	h->ready = PMZ_NEVER;
	switch (dice_roll(d) % 16) {
	case 0:
	case 1:
		reserve(h);
		break;
	case 2:
	case 3:
		refund(h);
		break;
	case 4:
		if (dice_once_in(d, 4))
			rerate(h);
		break;
	default:
		take(h);
	}
	same(h->real.opaque[0], h->tat, "where the bucket stands");
	same(pmz_bucket_left(&h->real, &h->rule.rate, h->now),
	     model_left(&h->rule, h->tat, h->now), "what is left");
}

static void bucket_history(int seed)
{
	struct bucket_history history, *h = &history;

	memset(h, 0, sizeof(*h));
	h->seed = seed;
	h->dice = dice_of(seed);
	choose_rule(h);
	h->now = hostile_start(&h->dice);
	h->ready = PMZ_NEVER;
	for (h->step = 0; h->step < STEPS; h->step++)
		bucket_step(h);
}

/* All histories of one turn of a loop test. */
static void each_history(int turn, void (*history)(int seed))
{
	int histories = hostile_histories(STEPS, TURNS), i;

	for (i = 0; i < histories; i++)
		history(turn * histories + i);
}

START_TEST(a_bucket_is_its_grid_to_the_ns)
{
	each_history(_i, bucket_history);
}
END_TEST

/* A debt of twice the burst stays one of at least the burst: by a rule this
 * slow the burst alone is worth more ns than there are. */
START_TEST(a_debt_of_centuries_is_not_forgiven_by_a_rerate)
{
	pmz_bucket b = PMZ_BUCKET_INIT;
	pmz_rate from, to;
	pmz_ns at;

	must_be(pmz_rate_set(&from, 1000000, PMZ_S(1), 1000000000), PMZ_OK);
	must_be(pmz_rate_set(&to, 1, PMZ_S(60), 1), PMZ_OK);
	must_be(pmz_bucket_reserve(&b, &from, 1000000000, 0, PMZ_NEVER, &at),
	        PMZ_OK);
	must_be(pmz_bucket_reserve(&b, &from, 1000000000, 0, PMZ_NEVER, &at),
	        PMZ_OK);
	pmz_bucket_rerate(&b, &from, &to, 0);
	must_be(pmz_bucket_take(&b, &to, 1, PMZ_S(60), &at), PMZ_REFUSED_RATE);
}
END_TEST

/* The window: what fell into each of the buckets that are not too old. */

struct bin {
	uint64_t number, events, marked;
};

struct window_history {
	int seed, step;
	dice dice;
	pmz__window real;
	uint64_t bucket_ns;
	pmz_ns now;
	struct bin bins[BUCKETS]; /* by number modulo */
	uint64_t number;          /* of the newest */
	pmz_ns start;             /* its */
	uwide events, marked;     /* ever */
};

static uint64_t begun_since(const struct window_history *h, pmz_ns now)
{
	return now > h->start ? (now - h->start) / h->bucket_ns : 0;
}

static struct bin *newest_bin(struct window_history *h)
{
	uint64_t begun = begun_since(h, h->now);
	struct bin *b;

	h->number += begun;
	h->start += begun * h->bucket_ns;
	b = &h->bins[h->number % BUCKETS];
	if (b->number != h->number || !h->number)
		b->number = h->number;
	return b;
}

static uint64_t held_at(const struct window_history *h, pmz_ns now)
{
	uint64_t number = h->number + begun_since(h, now), held = 0;
	int i;

	for (i = 0; i < BUCKETS; i++)
		if (h->bins[i].number + BUCKETS > number)
			held += (h->bins[i].events << 32) + h->bins[i].marked;
	return held;
}

/* Whoever reaches a new bucket empties those that it takes the places of. */
static struct bin *reach(struct window_history *h)
{
	uint64_t before = h->number;
	struct bin *b = newest_bin(h);
	int i;

	for (i = 0; i < BUCKETS && h->number != before; i++)
		if (h->bins[i].number + BUCKETS <= h->number ||
		    h->bins[i].number > before)
			h->bins[i] = (struct bin){ h->number, 0, 0 };
	return b;
}

static void add(struct window_history *h)
{
	dice *d = &h->dice;
	uint64_t events = dice_once_in(d, 16) ? dice_sized(d, 31) : 1;
	uint64_t marked = dice_once_in(d, 2) ? 0 : dice_between(d, 0, events);
	struct bin *b = reach(h);

	/* To where the word comes round, or one short of it. */
	if (dice_once_in(d, 32)) {
		events = (uint32_t)(0 - (uint64_t)h->events - marked % 2);
		marked = dice_sized(d, 32);
	}
	b->events += events;
	b->marked += marked;
	h->events += events;
	h->marked += marked;
	pmz__window_reach(&h->real, h->bucket_ns, h->now);
	same(pmz__window_add(&h->real, (events << 32) + marked),
	     (uint64_t)((h->events << 32) + h->marked), "the total");
}

static void look(struct window_history *h)
{
	uint64_t start;

	reach(h);
	start = pmz__window_start(&h->real, h->bucket_ns, h->now);
	same((uint64_t)((h->events << 32) + h->marked) - start,
	     held_at(h, h->now), "what the window holds");
}

static void forget(struct window_history *h)
{
	pmz__a64 guard = { 7 };
	uint64_t fits = dice_once_in(&h->dice, 4) ? 8 : 7;

	same(pmz__window_forget(&h->real, &guard, fits), fits == 7,
	     "a window that is to forget");
	if (fits == 7)
		memset(h->bins, 0, sizeof(h->bins));
}

/* With other buckets, all that it holds is in the newest. */
static void restart(struct window_history *h)
{
	uint64_t old = h->bucket_ns;
	struct bin sum = { 0, 0, 0 };
	int i;

	reach(h);
	for (i = 0; i < BUCKETS; i++) {
		if (h->bins[i].number + BUCKETS <= h->number)
			continue;
		sum.events += h->bins[i].events;
		sum.marked += h->bins[i].marked;
	}
	sum.number = h->number;
	memset(h->bins, 0, sizeof(h->bins));
	h->bins[h->number % BUCKETS] = sum;
	if (h->now / PMZ__SLOTS * PMZ__SLOTS > h->start)
		h->start = h->now / PMZ__SLOTS * PMZ__SLOTS;
	h->bucket_ns =
		pmz__bucket_of(PMZ__WINDOW_MIN + dice_sized(&h->dice, 40));
	pmz__window_restart(&h->real, old, h->now);
}

static void window_step(struct window_history *h)
{
	dice *d = &h->dice;
	pmz_ns edge =
		hostile_on(h->start, dice_between(d, 1, 20) * h->bucket_ns);

	h->now = hostile_next(d, h->now, edge, h->bucket_ns);
	switch (dice_roll(d) % 16) {
	case 0:
		if (dice_once_in(d, 8))
			forget(h);
		break;
	case 1:
		if (dice_once_in(d, 8))
			restart(h);
		break;
	case 2:
	case 3:
		look(h);
		break;
	default:
		add(h);
	}
	same(pmz__window_read(&h->real, h->bucket_ns, h->now),
	     held_at(h, h->now), "a look at the window");
	same(pmz__window_events(&h->real, (uint64_t)h->marked),
	     (uint64_t)h->events, "all events");
	same(pmz__window_now(&h->real, h->now),
	     h->now > h->start ? h->now : h->start, "now");
}

static void window_history(int seed)
{
	struct window_history history, *h = &history;

	memset(h, 0, sizeof(*h));
	h->seed = seed;
	h->dice = dice_of(seed);
	h->bucket_ns =
		pmz__bucket_of(PMZ__WINDOW_MIN + dice_sized(&h->dice, 40));
	h->now = hostile_start(&h->dice);
	for (h->step = 0; h->step < STEPS; h->step++)
		window_step(h);
}

START_TEST(a_window_holds_what_fell_into_its_buckets)
{
	each_history(_i, window_history);
}
END_TEST

/* The backoff: base * factor^(n - 1) as one number of 2^-32 ns, which is cut to
 * a whole one at each step. What is drawn is drawn from the library's own
 * generator; where from and to is the model's. */

struct waits {
	int seed, step;
	dice dice;
	pmz_backoff real;
	pmz_backoff_rule
		rule; /* no field left 0 but the floor and attempt_min */
	pmz_ns deadline, now;
	uint64_t random, tries;
	uwide grown;  /* 0 before the first */
	pmz_ns drawn; /* the last one, decorrelated */
};

static pmz_ns most(pmz_ns a, pmz_ns b)
{
	return a > b ? a : b;
}

static pmz_ns draw(struct waits *h, uwide low, uwide high)
{
	if (low < h->rule.floor_ns)
		low = h->rule.floor_ns;
	if (high < low)
		high = low;
	return pmz__between(pmz__draw(&h->random), (pmz_ns)low,
	                    high > UINT64_MAX ? UINT64_MAX : (pmz_ns)high);
}

static pmz_ns grow(struct waits *h)
{
	uwide most_of_it = (uwide)h->rule.max_ns << 32;

	if (!h->grown)
		h->grown = (uwide)h->rule.base_ns << 32;
	else if (h->grown < most_of_it)
		/* In two halves, since ten times as much need not fit. */
		h->grown = h->grown / 100 * h->rule.factor_pct +
		           h->grown % 100 * h->rule.factor_pct / 100;
	if (h->grown > most_of_it)
		h->grown = most_of_it;
	return (pmz_ns)(h->grown >> 32);
}

static pmz_ns model_wait(struct waits *h, pmz_ns hint)
{
	const pmz_backoff_rule *r = &h->rule;
	pmz_ns cap = r->max_ns, x;

	if (hint && r->jitter != PMZ_JITTER_DECORRELATED)
		grow(h);
	if (hint) {
		hint = hint < r->hint_max_ns ? hint : r->hint_max_ns;
		return draw(h, hint, (uwide)hint + hint / 2);
	}
	if (r->jitter == PMZ_JITTER_DECORRELATED) {
		uwide last = h->drawn ? h->drawn : r->base_ns;

		h->drawn = draw(h, r->base_ns, 3 * last < cap ? 3 * last : cap);
		return h->drawn;
	}
	x = grow(h);
	if (r->jitter == PMZ_JITTER_NONE)
		return most(x, r->floor_ns);
	return draw(h, r->jitter == PMZ_JITTER_EQUAL ? x / 2 : 0, x);
}

static int model_next(struct waits *h, pmz_ns hint, pmz_ns *at)
{
	pmz_ns wait;

	if (h->rule.tries_max != PMZ_OFF && h->tries >= h->rule.tries_max)
		return PMZ_GAVE_UP;
	if (hint == PMZ_NEVER)
		return PMZ_GAVE_UP;
	wait = model_wait(h, hint);
	*at = hostile_on(h->now, wait);
	/* With none, the end of time is none either. */
	if (h->deadline != PMZ_NEVER &&
	    (uwide)h->now + wait + h->rule.attempt_min_ns > h->deadline)
		return PMZ_TIMED_OUT;
	h->tries++;
	return PMZ_OK;
}

static void choose_waits(struct waits *h)
{
	pmz_backoff_rule *r = &h->rule;
	dice *d = &h->dice;

	r->size = sizeof(*r);
	r->jitter = (uint32_t)dice_between(d, 1, 4);
	r->base_ns = dice_sized(d, dice_once_in(d, 4) ? 64 : 30);
	r->base_ns += !r->base_ns;
	r->max_ns = hostile_on(r->base_ns, dice_sized(d, 64));
	if (dice_once_in(d, 3))
		r->floor_ns = dice_between(d, 0, r->max_ns);
	if (dice_once_in(d, 2))
		r->attempt_min_ns = dice_sized(d, 40);
	r->hint_max_ns = 1 + dice_sized(d, 62);
	r->tries_max = (uint32_t)dice_sized(d, 12) + 1;
	if (dice_once_in(d, 2))
		r->tries_max = PMZ_OFF;
	r->factor_pct = (uint32_t)dice_between(d, 100, 1000);
}

static void begin_waits(struct waits *h)
{
	uint64_t seed = dice_roll(&h->dice);

	memset(&h->rule, 0, sizeof(h->rule));
	choose_waits(h);
	h->now = hostile_start(&h->dice);
	h->deadline =
		dice_once_in(&h->dice, 2) ? PMZ_NEVER : dice_roll(&h->dice);
	same(pmz_backoff_start(&h->real, &h->rule, h->deadline, seed), PMZ_OK,
	     "a start");
	h->random = seed;
	h->tries = 1;
	h->grown = 0;
	h->drawn = 0;
}

static void wait_step(struct waits *h)
{
	dice *d = &h->dice;
	pmz_ns edge = hostile_back(h->deadline, (pmz_ns)(h->grown >> 32) +
	                                                h->rule.attempt_min_ns);
	pmz_ns hint = 0, want_at = 0, at = 0;
	int want, got;

	h->now = hostile_next(d, h->now, edge, h->rule.base_ns);
	if (dice_once_in(d, 8))
		hint = dice_once_in(d, 8) ? PMZ_NEVER - dice_roll(d) % 2
		                          : dice_sized(d, 64);
	want = model_next(h, hint, &want_at);
	got = pmz_backoff_next(&h->real, h->now, hint, &at);
	same(got, want, "the next try");
	if (got == PMZ_OK)
		same(at, want_at, "its instant");
	same(pmz_backoff_tries(&h->real), h->tries, "tries");
	if (got == PMZ_GAVE_UP && dice_once_in(d, 4))
		begin_waits(h);
}

static void backoff_history(int seed)
{
	struct waits waits, *h = &waits;

	memset(h, 0, sizeof(*h));
	h->seed = seed;
	h->dice = dice_of(seed);
	begin_waits(h);
	for (h->step = 0; h->step < STEPS; h->step++) {
		if (h->step % 50 == 0)
			begin_waits(h);
		wait_step(h);
	}
}

START_TEST(a_backoff_waits_as_its_formula_says)
{
	each_history(_i, backoff_history);
}
END_TEST

START_TEST(a_wait_of_a_year_grows_by_its_factor_too)
{
	const pmz_ns year = PMZ_S(365 * 86400);
	pmz_backoff_rule r = { .size = sizeof(r), .tries_max = PMZ_OFF };
	pmz_backoff b;
	pmz_ns at;

	r.jitter = PMZ_JITTER_NONE;
	r.base_ns = year;
	r.max_ns = 10 * year;
	must_be(pmz_backoff_start(&b, &r, 0, 0), PMZ_OK);
	must_be(pmz_backoff_next(&b, 0, 0, &at), PMZ_OK);
	must_be(at, year);
	must_be(pmz_backoff_next(&b, 0, 0, &at), PMZ_OK);
	must_be(at, 2 * year);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("models");
	TCase *all = tcase_create("hostile histories");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, all);
	tcase_set_timeout(all, 300);
	tcase_add_loop_test(all, a_bucket_is_its_grid_to_the_ns, 0, TURNS);
	tcase_add_loop_test(all, a_window_holds_what_fell_into_its_buckets, 0,
	                    TURNS);
	tcase_add_loop_test(all, a_backoff_waits_as_its_formula_says, 0, TURNS);
	tcase_add_test(all, a_debt_of_centuries_is_not_forgiven_by_a_rerate);
	tcase_add_test(all, a_wait_of_a_year_grows_by_its_factor_too);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
