/*
 * bucket.c - the token bucket against exact rational arithmetic, on random
 * histories.
 */
#include <stdio.h>
#include <stdlib.h>

#include "core/bucket.h"
#include "dice.h"
#include "must.h"

__extension__ typedef __int128 wide;

/* What the header calls "a few ns". */
#define FEW_NS 3

#define STEPS 400
#define HELD_MAX 32

struct rule {
	uint64_t tokens, per, burst;
	pmz_rate rate;
};

/* Rates whose interval is no whole number of ns, from 1 ns to an hour. */
static const struct rule odd[] = {
	{ .tokens = 3, .per = PMZ_S(1), .burst = 10 },
	{ .tokens = 333333, .per = PMZ_S(1), .burst = 333 },
	{ .tokens = 1000, .per = PMZ_S(3600), .burst = 7 },
	{ .tokens = 999999937, .per = PMZ_S(1), .burst = 64 },
	{ .tokens = 2, .per = 3, .burst = 5 },
	{ .tokens = 10, .per = 11, .burst = 3 },
	{ .tokens = 400000009, .per = PMZ_S(1), .burst = 9 },
	{ .tokens = 7, .per = PMZ_S(86400), .burst = 2 },
};

#define ODD (sizeof(odd) / sizeof(*odd))

static struct rule any_rule(dice *d)
{
	struct rule r;

	if (dice_once_in(d, 2)) {
		r = odd[dice_roll(d) % ODD];
	} else {
		r.tokens = dice_between(d, 1, dice_sized(d, 20) + 1);
		r.per = r.tokens + dice_sized(d, 44);
		r.burst = dice_between(d, 1, dice_sized(d, 12) + 1);
	}
	must_be(pmz_rate_set(&r.rate, r.tokens, r.per, r.burst), PMZ_OK);
	return r;
}

static pmz_ns interval(const struct rule *r)
{
	return r->per / r->tokens;
}

/* The tat of the specification, exact: in parts of a ns, `tokens` to each. */
struct model {
	const struct rule *rule;
	wide tat;
	wide slip; /* ns that the real one may by now be later */
};

static wide parts(const struct model *m, pmz_ns ns)
{
	return (wide)ns * (wide)m->rule->tokens;
}

static wide cost(const struct model *m, uint64_t n)
{
	return (wide)n * (wide)m->rule->per;
}

static wide after_take(const struct model *m, uint64_t n, pmz_ns now)
{
	wide from = m->tat > parts(m, now) ? m->tat : parts(m, now);

	return from + cost(m, n);
}

/* How far n tokens at `now` are beyond what the bucket holds. */
static wide excess(const struct model *m, uint64_t n, pmz_ns now)
{
	return after_take(m, n, now) - parts(m, now) - cost(m, m->rule->burst);
}

static void model_take(struct model *m, uint64_t n, pmz_ns now)
{
	m->tat = after_take(m, n, now);
	/* T is rounded up by less than 2^-30 of itself. */
	m->slip += (wide)n * (wide)(interval(m->rule) >> 30);
}

static void model_refund(struct model *m, uint64_t n, pmz_ns taken, pmz_ns now)
{
	wide worth = cost(m, n);

	if (m->tat <= parts(m, now))
		return;
	if (now > taken)
		worth -= parts(m, now - taken);
	if (worth > 0)
		m->tat -= worth;
	if (m->tat < parts(m, now))
		m->tat = parts(m, now);
}

struct history {
	dice dice;
	struct rule rule;
	struct model model;
	pmz_bucket bucket;
	pmz_ns now, ready;
	unsigned held;
	struct {
		uint64_t n;
		pmz_ns at;
	} takes[HELD_MAX];
};

static void begin(struct history *h, int seed)
{
	h->dice = dice_of(seed);
	h->rule = any_rule(&h->dice);
	h->model = (struct model){ .rule = &h->rule };
	h->bucket = (pmz_bucket)PMZ_BUCKET_INIT;
	h->now = dice_sized(&h->dice, 50);
	h->ready = PMZ_NEVER;
	h->held = 0;
}

/* Mostly on, seldom back, and often right at the edge of a decision. */
static void pass(struct history *h)
{
	dice *d = &h->dice;
	pmz_ns step = interval(&h->rule);

	if (h->ready != PMZ_NEVER && dice_once_in(d, 2))
		h->now = h->ready - dice_roll(d) % 2;
	else if (dice_once_in(d, 8))
		h->now -= dice_between(d, 0, h->now < step ? h->now : step);
	else if (dice_once_in(d, 16))
		h->now += dice_between(d, 0, 3 * step * h->rule.burst);
	else if (!dice_once_in(d, 3))
		h->now += dice_between(d, 0, step + 1);
	h->ready = PMZ_NEVER;
}

static void hold(struct history *h, uint64_t n, pmz_ns at)
{
	unsigned i = h->held < HELD_MAX ? h->held++ : h->held - 1;

	h->takes[i].n = n;
	h->takes[i].at = at;
}

static void check_grant(struct history *h, uint64_t n, pmz_ns now)
{
	must(excess(&h->model, n, now) <= parts(&h->model, FEW_NS),
	     "%llu tokens too early", (unsigned long long)n);
	model_take(&h->model, n, now);
}

static void check_refusal(const struct history *h, uint64_t n, pmz_ns now)
{
	wide late = FEW_NS + h->model.slip;

	must(excess(&h->model, n, now) > -late * (wide)h->rule.tokens,
	     "%llu tokens refused that are there", (unsigned long long)n);
}

static void take(struct history *h)
{
	uint64_t n = dice_between(&h->dice, 0, h->rule.burst);
	pmz_bucket *b = &h->bucket;

	if (pmz_bucket_take(b, &h->rule.rate, n, h->now, &h->ready) == PMZ_OK) {
		check_grant(h, n, h->now);
		hold(h, n, h->now);
	} else {
		check_refusal(h, n, h->now);
	}
}

static void reserve(struct history *h)
{
	uint64_t n = dice_between(&h->dice, 1, h->rule.burst);
	pmz_ns latest =
		h->now + dice_between(&h->dice, 0, 2 * interval(&h->rule));
	pmz_ns at;
	int st = pmz_bucket_reserve(&h->bucket, &h->rule.rate, n, h->now,
	                            latest, &at);

	must_fit(h->now, at);
	if (at > h->now)
		check_refusal(h, n, at - 1);
	must_be(st, at <= latest ? PMZ_OK : PMZ_REFUSED_RATE);
	if (st == PMZ_OK) {
		check_grant(h, n, at);
		hold(h, n, at);
	}
}

static void refund(struct history *h)
{
	unsigned i;

	if (!h->held)
		return;
	i = (unsigned)dice_between(&h->dice, 0, h->held - 1);
	pmz_bucket_refund(&h->bucket, &h->rule.rate, h->takes[i].n,
	                  h->takes[i].at, h->now);
	model_refund(&h->model, h->takes[i].n, h->takes[i].at, h->now);
	h->takes[i] = h->takes[--h->held];
}

START_TEST(every_decision_is_the_exact_one_to_within_a_few_ns)
{
	struct history h;
	int i;

	begin(&h, _i);
	for (i = 0; i < STEPS; i++) {
		pass(&h);
		switch (dice_roll(&h.dice) % 8) {
		case 0:
			reserve(&h);
			break;
		case 1:
			refund(&h);
			break;
		default:
			take(&h);
		}
	}
}
END_TEST

/* Where the grid of the rule's fixed-point interval has its k-th line. */
static wide line(const pmz__rate *r, wide k)
{
	wide one = (wide)1 << 32;

	return (k * (wide)r->interval + one - 1) / one;
}

START_TEST(a_cost_is_the_distance_of_two_lines_of_the_grid)
{
	dice d = dice_of(_i);
	struct rule rule = any_rule(&d);
	pmz__rate r = pmz__rate_of(&rule.rate);
	int i;

	for (i = 0; r.inverse && i < STEPS; i++) {
		wide one = (wide)1 << 32, k;
		uint64_t n = dice_between(&d, 0, r.burst);
		uint64_t tat = dice_sized(&d, 63);

		/* Exactly on a line is where a rounded division errs. */
		if (dice_once_in(&d, 2))
			tat = (uint64_t)line(&r, (wide)tat * one / r.interval);
		k = (wide)tat * one / r.interval;
		must_be(pmz__rate_cost(&r, tat, n),
		        (uint64_t)(line(&r, k + n) - line(&r, k)));
		if (k < n)
			continue;
		must_be(pmz__rate_worth(&r, tat, n),
		        (uint64_t)(line(&r, k) - line(&r, k - n)));
	}
}
END_TEST

struct grant {
	pmz_ns at;
	uint64_t n;
};

/* Any window that opens at one grant and closes at another is as wide as what
 * was granted in it. */
static void check_windows(const struct rule *r, const struct grant *g,
                          int count)
{
	int first, last;

	for (first = 0; first < count; first++) {
		wide sum = 0;

		for (last = first; last < count; last++) {
			pmz_ns span = g[last].at - g[first].at + FEW_NS;

			sum += g[last].n;
			must((sum - r->burst) * (wide)r->per <=
			             (wide)span * (wide)r->tokens,
			     "too much in [%d, %d]", first, last);
		}
	}
}

START_TEST(no_window_has_more_than_its_burst_and_what_came_in_it)
{
	struct history h;
	struct grant grants[STEPS];
	int i, count = 0;

	begin(&h, _i);
	for (i = 0; i < STEPS; i++) {
		uint64_t n = dice_between(&h.dice, 1, h.rule.burst);
		pmz_ns before = h.now;

		pass(&h);
		if (h.now < before)
			h.now = before;
		if (dice_once_in(&h.dice, 2))
			n = 1;
		if (pmz_bucket_take(&h.bucket, &h.rule.rate, n, h.now,
		                    &h.ready) != PMZ_OK)
			continue;
		grants[count].at = h.now;
		grants[count++].n = n;
	}
	must(count > 0, "nothing was granted");
	check_windows(&h.rule, grants, count);
}
END_TEST

/* Takes, without a check, to bring a bucket anywhere. */
static void stir(struct history *h, int steps)
{
	while (steps--) {
		uint64_t n = dice_between(&h->dice, 0, h->rule.burst);
		pmz_ns at, latest = PMZ_NEVER;

		pass(h);
		if (dice_once_in(&h->dice, 8))
			(void)!pmz_bucket_reserve(&h->bucket, &h->rule.rate, n,
			                          h->now, latest, &at);
		else
			(void)!pmz_bucket_take(&h->bucket, &h->rule.rate, n,
			                       h->now, &h->ready);
	}
}

static int would_grant(const pmz_bucket *b, const struct rule *r, uint64_t n,
                       pmz_ns now, pmz_ns *ready)
{
	pmz_bucket copy = *b;

	return pmz_bucket_take(&copy, &r->rate, n, now, ready) == PMZ_OK;
}

START_TEST(left_is_the_largest_take_that_is_granted)
{
	struct history h;
	int i;

	begin(&h, _i);
	for (i = 0; i < STEPS; i++) {
		const pmz_bucket *b = &h.bucket;
		uint64_t left;

		stir(&h, 1);
		left = pmz_bucket_left(b, &h.rule.rate, h.now);
		must(!left || would_grant(b, &h.rule, left, h.now, NULL),
		     "step %d: what is left is refused", i);
		must(!would_grant(b, &h.rule, left + 1, h.now, NULL),
		     "step %d: one more than what is left is granted", i);
	}
}
END_TEST

START_TEST(ready_at_is_the_first_instant_that_grants)
{
	struct history h;
	int i;

	begin(&h, _i);
	for (i = 0; i < STEPS; i++) {
		uint64_t n = dice_between(&h.dice, 1, h.rule.burst);
		pmz_ns ready, again;

		stir(&h, 1);
		if (would_grant(&h.bucket, &h.rule, n, h.now, &ready))
			continue;
		must(ready > h.now, "step %d: ready, and refused", i);
		must(!would_grant(&h.bucket, &h.rule, n, ready - 1, &again),
		     "step %d: granted a ns before", i);
		must_be(again, ready);
		must(would_grant(&h.bucket, &h.rule, n, ready, NULL),
		     "step %d: refused when ready", i);
	}
}
END_TEST

/* When the bucket is full again. */
static pmz_ns full_at(const pmz_bucket *b, pmz_ns now)
{
	return b->opaque[0] > now ? b->opaque[0] : now;
}

/* A take that the twin makes too; rounding may give it there a little later. */
static void take_in_both(struct history *h, pmz_bucket *twin, uint64_t n)
{
	pmz_ns at;

	if (pmz_bucket_take(&h->bucket, &h->rule.rate, n, h->now, &h->ready))
		return;
	must_be(pmz_bucket_reserve(twin, &h->rule.rate, n, h->now,
	                           h->now + FEW_NS, &at),
	        PMZ_OK);
}

static void take_alone(struct history *h, uint64_t n)
{
	if (h->held < HELD_MAX && pmz_bucket_take(&h->bucket, &h->rule.rate, n,
	                                          h->now, &h->ready) == PMZ_OK)
		hold(h, n, h->now);
}

START_TEST(a_take_and_its_refund_leave_no_more_than_no_take)
{
	struct history h;
	pmz_bucket twin = PMZ_BUCKET_INIT;
	int i;

	begin(&h, _i);
	for (i = 0; i < STEPS; i++) {
		uint64_t n = dice_between(&h.dice, 1, h.rule.burst);
		pmz_ns before = h.now;

		pass(&h);
		if (h.now < before)
			h.now = before;
		if (dice_once_in(&h.dice, 3))
			take_in_both(&h, &twin, n);
		else if (dice_once_in(&h.dice, 2))
			take_alone(&h, n);
		else
			refund(&h);
		must_fit(full_at(&twin, h.now),
		         full_at(&h.bucket, h.now) + FEW_NS);
	}
}
END_TEST

/* The instant at which a rerated bucket is full, if its tokens and the part of
 * one are what they were, but no more than fit. */
static wide full_after(const struct rule *from, const struct rule *to,
                       pmz_ns full, pmz_ns now)
{
	/* In parts of a ns, from->per * to->tokens of them to each. */
	wide missing = (wide)(full - now) * (wide)from->tokens;
	wide more = ((wide)to->burst - (wide)from->burst) * (wide)from->per;

	if (missing + more <= 0)
		return now;
	return now + (missing + more) * (wide)to->per /
	                     ((wide)from->per * (wide)to->tokens);
}

/* A few ns, and what the rounding of T may add up to: under 2^-30 of the span,
 * twice since it meets the burst too. */
static wide blur(wide span, const struct rule *r)
{
	return FEW_NS + (span + (wide)r->burst * interval(r)) / (1 << 29);
}

START_TEST(a_rerate_keeps_whole_tokens_and_the_part_of_one_and_gives_none)
{
	struct history h;
	struct rule to;
	uint64_t left, fits;
	wide want, slack, full;

	begin(&h, _i);
	to = any_rule(&h.dice);
	stir(&h, STEPS / 8);
	left = pmz_bucket_left(&h.bucket, &h.rule.rate, h.now);
	fits = left < to.burst ? left : to.burst;
	full = full_at(&h.bucket, h.now);
	want = full_after(&h.rule, &to, (pmz_ns)full, h.now);
	/* What the blur is worth by the old rule, by the new. */
	slack = blur(want - h.now, &to) +
	        blur(full - h.now, &h.rule) * (wide)to.per * h.rule.tokens /
	                ((wide)h.rule.per * to.tokens);
	pmz_bucket_rerate(&h.bucket, &h.rule.rate, &to.rate, h.now);
	full = full_at(&h.bucket, h.now);
	must_fit(fits, pmz_bucket_left(&h.bucket, &to.rate, h.now));
	must(full + slack >= want, "a gift");
	must(full <= want + slack, "a loss");
}
END_TEST

START_TEST(a_rerate_from_a_rule_to_itself_gives_at_most_one_ns)
{
	struct history h;
	int i;

	begin(&h, _i);
	for (i = 0; i < STEPS; i++) {
		pmz_ns before, after;

		stir(&h, 1);
		before = full_at(&h.bucket, h.now);
		pmz_bucket_rerate(&h.bucket, &h.rule.rate, &h.rule.rate, h.now);
		after = full_at(&h.bucket, h.now);
		must_fit(after, before);
		must_fit(before, after + 1);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("bucket");
	TCase *all = tcase_create("random histories");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, all);
	tcase_set_timeout(all, 60);
	tcase_add_loop_test(
		all, every_decision_is_the_exact_one_to_within_a_few_ns, 0, 40);
	tcase_add_loop_test(
		all, a_cost_is_the_distance_of_two_lines_of_the_grid, 0, 40);
	tcase_add_loop_test(
		all, no_window_has_more_than_its_burst_and_what_came_in_it, 0,
		40);
	tcase_add_loop_test(all, left_is_the_largest_take_that_is_granted, 0,
	                    40);
	tcase_add_loop_test(all, ready_at_is_the_first_instant_that_grants, 0,
	                    40);
	tcase_add_loop_test(
		all, a_take_and_its_refund_leave_no_more_than_no_take, 0, 40);
	tcase_add_loop_test(
		all,
		a_rerate_keeps_whole_tokens_and_the_part_of_one_and_gives_none,
		0, 150);
	tcase_add_loop_test(all,
	                    a_rerate_from_a_rule_to_itself_gives_at_most_one_ns,
	                    0, 40);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
