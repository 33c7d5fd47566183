/*
 * balance.c - what must hold for the balancer whatever happens, tried on random
 * histories; the seed is the index of the run.
 */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pipemaze/balance.h>

#include "dice.h"
#include "must.h"

#define SEEDS 60
#define STEPS 3000
#define PLACES 24 /* endpoints_max at most */
#define OUT_MAX 200
#define MILLION 1000000

static pmz_balance *made(const pmz_balance_config *config)
{
	pmz_balance *b;
	pmz_why why;

	ck_assert_msg(pmz_balance_new(&b, config, &why) == PMZ_OK, "%s: %s",
	              why.field, why.text);
	return b;
}

static uint32_t added(pmz_balance *b, uint32_t name, uint32_t weight,
                      pmz_ns now)
{
	char text[32];
	uint32_t number;

	snprintf(text, sizeof(text), "node-%u", (unsigned)name);
	must_be(pmz_balance_add(b, text, weight, now, &number), PMZ_OK);
	return number;
}

static pmz_endpoint_stats stats_of(const pmz_balance *b, uint32_t endpoint,
                                   pmz_ns now)
{
	pmz_endpoint_stats s = { .size = sizeof(s) };

	must_be(pmz_balance_read(b, endpoint, now, &s), PMZ_OK);
	return s;
}

/* Shares. */

static const pmz_strategy by_weight[] = { PMZ_LEAST, PMZ_EWMA, PMZ_ROUND_ROBIN,
	                                  PMZ_RANDOM };

#define BY_WEIGHT (int)(sizeof(by_weight) / sizeof(by_weight[0]))

/* One per cent is five standard deviations for a share of a tenth, so the
 * weights here give each one that much. */
static uint32_t choose_weights(dice *d, uint32_t *weights, uint32_t *sum)
{
	uint32_t count = (uint32_t)dice_between(d, 2, 6), i;

	for (*sum = i = 0; i < count; i++) {
		weights[i] = (uint32_t)dice_between(d, 100, 180);
		*sum += weights[i];
	}
	return count;
}

static void pick_often(pmz_balance *b, uint32_t picks, uint32_t *each)
{
	pmz_ns now = PMZ_S(1);

	while (picks--) {
		pmz_pick p;

		must_be(pmz_balance_pick(b, NULL, now, &p), PMZ_OK);
		each[p.endpoint]++;
		must_be(pmz_balance_settle(b, &p, PMZ_SUCCESS, now + 100),
		        PMZ_OK);
		now += 50;
	}
}

START_TEST(a_million_picks_spread_as_the_weights_say_within_one_per_cent)
{
	dice d = dice_of(_i);
	uint32_t weights[PLACES], each[PLACES] = { 0 }, sum, count, i;
	pmz_balance_config c = { .size = sizeof(c) };
	pmz_balance *b;

	c.strategy = by_weight[_i % BY_WEIGHT];
	c.seed = dice_roll(&d);
	b = made(&c);
	count = choose_weights(&d, weights, &sum);
	for (i = 0; i < count; i++)
		added(b, i, weights[i], 0);
	pick_often(b, MILLION, each);
	for (i = 0; i < count; i++) {
		double share = (double)each[i] * sum / weights[i] / MILLION;

		must(fabs(share - 1) <= 0.01,
		     "%u of weight %u: %f of its share", i, weights[i], share);
	}
	pmz_balance_free(b);
}
END_TEST

START_TEST(turns_are_exact_over_any_cycle_and_never_two_ahead)
{
	dice d = dice_of(_i);
	uint32_t count = (uint32_t)dice_between(&d, 1, PLACES);
	uint32_t weights[PLACES], each[PLACES] = { 0 }, sum = 0, i, turn;
	pmz_balance_config c = { .size = sizeof(c),
		                 .strategy = PMZ_ROUND_ROBIN };
	uint32_t factor = (uint32_t)dice_between(&d, 1, 50);
	pmz_balance *b;

	c.seed = dice_roll(&d);
	b = made(&c);
	for (i = 0; i < count; i++) {
		/* The last weighs 1, so that the divisor is the factor. */
		weights[i] =
			i + 1 < count ? (uint32_t)dice_between(&d, 1, 99) : 1;
		sum += weights[i];
		added(b, i, weights[i] * factor, 0);
	}
	for (turn = 1; turn <= 3 * sum; turn++) {
		pick_often(b, 1, each);
		for (i = 0; i < count; i++) {
			double ahead =
				each[i] - (double)turn * weights[i] / sum;

			must(fabs(ahead) < 2, "turn %u: %u is %f ahead", turn,
			     i, ahead);
			if (turn % sum == 0)
				must_be(each[i], turn / sum * weights[i]);
		}
	}
	pmz_balance_free(b);
}
END_TEST

/* Histories. */

struct endpoint {
	int there, healthy;
	uint32_t weight, out, left_out; /* left_out: of one that was removed */
	uint64_t picks, failures;
};

struct call {
	pmz_pick pick;
	uint64_t life; /* of the endpoint, when it was picked */
};

struct history {
	dice dice;
	pmz_balance_config config;
	pmz_balance *b;
	struct endpoint at[PLACES];
	uint64_t life[PLACES]; /* grows with each owner of a number */
	struct call calls[OUT_MAX];
	uint32_t out, names;
	pmz_ns now, latest;
	uint32_t bad; /* who fails just now */
	int step;
	uint64_t ejections, refusals;
};

static uint32_t choose_pct(dice *d, uint32_t low)
{
	return dice_once_in(d, 4) ? PMZ_OFF
	                          : (uint32_t)dice_between(d, low, 100);
}

static void begin(struct history *h, int seed)
{
	pmz_balance_config *c = &h->config;
	dice *d = &h->dice;

	memset(h, 0, sizeof(*h));
	h->dice = dice_of(seed);
	c->size = sizeof(*c);
	c->strategy = 1 + (uint32_t)seed % PMZ_MAGLEV_KEY;
	c->endpoints_max = (uint32_t)dice_between(d, 1, PLACES);
	c->panic_pct = choose_pct(d, 1);
	c->eject_max_pct = choose_pct(d, 1);
	c->slow_start_ns = dice_once_in(d, 2) ? 0 : PMZ_MS(200);
	c->eject_interval_ns = PMZ_MS(100);
	c->eject_base_ns = PMZ_MS(dice_between(d, 1, 300));
	c->eject_most_ns = c->eject_base_ns * dice_between(d, 1, 5);
	c->eject_consecutive = (uint32_t)dice_between(d, 1, 6);
	c->eject_failure_pct = choose_pct(d, 1);
	c->eject_calls_min = (uint32_t)dice_between(d, 1, 20);
	c->eject_slow_pct = (uint32_t)dice_between(d, 101, 1000);
	c->seed = dice_roll(d);
	h->now = dice_sized(d, 50);
	h->b = made(c);
}

static int places_left(const struct history *h)
{
	uint32_t i;

	for (i = 0; i < h->config.endpoints_max; i++)
		if (!h->at[i].there && !h->at[i].left_out)
			return 1;
	return 0;
}

static void come(struct history *h)
{
	uint32_t weight = (uint32_t)dice_between(&h->dice, 0, 20), number;
	char name[32];
	int status;

	snprintf(name, sizeof(name), "node-%u", (unsigned)h->names++);
	status = pmz_balance_add(h->b, name, weight, h->now, &number);
	if (!places_left(h)) {
		must_be(status, PMZ_E_STATE);
		return;
	}
	must_be(status, PMZ_OK);
	must_fit(number, h->config.endpoints_max - 1);
	must_be(h->at[number].there, 0);
	must_be(h->at[number].left_out, 0);
	memset(&h->at[number], 0, sizeof(h->at[number]));
	h->at[number].there = h->at[number].healthy = 1;
	h->at[number].weight = weight;
	h->life[number]++;
}

static uint32_t any_place(struct history *h)
{
	return (uint32_t)dice_between(&h->dice, 0, h->config.endpoints_max - 1);
}

static int expected(const struct endpoint *e)
{
	return e->there ? PMZ_OK : PMZ_E_STATE;
}

static void go(struct history *h)
{
	uint32_t number = any_place(h);
	struct endpoint *e = &h->at[number];

	must_be(pmz_balance_remove(h->b, number, h->now), expected(e));
	if (!e->there)
		return;
	e->left_out = e->out;
	e->there = 0;
	e->weight = e->out = 0;
}

static void change(struct history *h)
{
	uint32_t number = any_place(h);
	struct endpoint *e = &h->at[number];
	uint32_t weight = (uint32_t)dice_between(&h->dice, 0, 20);

	must_be(pmz_balance_weight(h->b, number, weight, h->now), expected(e));
	if (e->there)
		e->weight = weight;
}

static void probe(struct history *h)
{
	uint32_t number = any_place(h);
	struct endpoint *e = &h->at[number];
	int healthy = !dice_once_in(&h->dice, 3);

	must_be(pmz_balance_health(h->b, number, healthy, h->now), expected(e));
	if (e->there)
		e->healthy = healthy;
}

static uint32_t members(const struct history *h)
{
	uint32_t count = 0, i;

	for (i = 0; i < PLACES; i++)
		count += h->at[i].weight > 0;
	return count;
}

/* Whether no panic can be, so that health must be minded. */
static int is_calm(const struct history *h, uint32_t *in_health)
{
	uint32_t count = members(h), i;

	for (*in_health = i = 0; i < PLACES; i++)
		if (h->at[i].weight)
			*in_health += stats_of(h->b, i, h->now).healthy;
	return h->config.panic_pct == PMZ_OFF ||
	       *in_health * 100 >= count * h->config.panic_pct;
}

static int is_avoided(const pmz_wish *wish, uint32_t number)
{
	uint32_t i;

	for (i = 0; i < wish->avoid_count; i++)
		if (wish->avoid[i] == number)
			return 1;
	return 0;
}

/* Someone in health who was not to be avoided. */
static int is_other_choice(const struct history *h, const pmz_wish *wish)
{
	uint32_t i;

	for (i = 0; i < PLACES; i++)
		if (h->at[i].weight && !is_avoided(wish, i) &&
		    stats_of(h->b, i, h->now).healthy)
			return 1;
	return 0;
}

static uint64_t cap_of(const struct history *h, const struct endpoint *e,
                       uint64_t total)
{
	uint64_t weight = 0, cap, i;

	for (i = 0; i < PLACES; i++)
		weight += h->at[i].weight;
	cap = (125 * total * e->weight + 100 * weight - 1) / (100 * weight);
	return cap ? cap : 1;
}

static void check_pick(struct history *h, const pmz_wish *wish, int calm,
                       uint32_t in_health, const pmz_pick *p, int choice)
{
	struct endpoint *e = &h->at[p->endpoint];
	uint64_t total = 1, i;

	must(e->weight, "step %d: %u has no weight", h->step, p->endpoint);
	if (calm && in_health)
		must(stats_of(h->b, p->endpoint, h->now).healthy,
		     "step %d: %u is out", h->step, p->endpoint);
	if (calm && choice && h->config.strategy != PMZ_BY_KEY)
		must(!is_avoided(wish, p->endpoint), "step %d: %u was tried",
		     h->step, p->endpoint);
	e->out++;
	e->picks++;
	if (h->config.strategy != PMZ_BY_KEY || in_health < members(h))
		return;
	for (i = 0; i < h->out; i++)
		total++;
	must_fit(e->out, cap_of(h, e, total));
}

static void pick(struct history *h)
{
	uint32_t tried[2] = { any_place(h), any_place(h) }, in_health;
	pmz_wish wish = { .size = sizeof(wish), .avoid = tried };
	struct call *c = &h->calls[h->out];
	int status, choice, calm;

	if (h->out == OUT_MAX)
		return;
	wish.avoid_count = (uint32_t)dice_between(&h->dice, 0, 2);
	wish.hash = dice_once_in(&h->dice, 2) ? 1 : dice_roll(&h->dice);
	calm = is_calm(h, &in_health);
	choice = is_other_choice(h, &wish);
	status = pmz_balance_pick(h->b, &wish, h->now, &c->pick);
	if (status) {
		must_be(status, PMZ_REFUSED_EMPTY);
		h->refusals++;
		/* Panic takes anyone, and enough are enough. */
		if (members(h) && in_health && calm &&
		    h->config.panic_pct != PMZ_OFF)
			ck_abort_msg("step %d: refused", h->step);
		return;
	}
	must_fit(c->pick.endpoint, h->config.endpoints_max - 1);
	c->life = h->life[c->pick.endpoint];
	check_pick(h, &wish, calm, in_health, &c->pick, choice);
	h->out++;
}

static pmz_outcome outcome_for(struct history *h, uint32_t number)
{
	dice *d = &h->dice;

	if (dice_once_in(d, 8))
		return dice_once_in(d, 2) ? PMZ_IGNORE : PMZ_AGAIN;
	if (number % 5 == h->bad ? dice_once_in(d, 8) : !dice_once_in(d, 8))
		return PMZ_SUCCESS;
	return dice_once_in(d, 2) ? PMZ_FAILURE : PMZ_FATAL;
}

static void settle(struct history *h)
{
	uint32_t i, number;
	struct call *c;
	struct endpoint *e;
	pmz_outcome how;

	if (!h->out)
		return;
	i = (uint32_t)dice_between(&h->dice, 0, h->out - 1);
	c = &h->calls[i];
	number = c->pick.endpoint;
	e = &h->at[number];
	how = outcome_for(h, number);
	must_be(pmz_balance_settle(h->b, &c->pick, how, h->now), PMZ_OK);
	/* Nobody else can have got the number. */
	must_be(c->life, h->life[number]);
	if (e->there) {
		e->out--;
		e->failures += how == PMZ_FAILURE || how == PMZ_FATAL;
	} else {
		e->left_out--;
	}
	*c = h->calls[--h->out];
}

static void pass(struct history *h)
{
	if (dice_once_in(&h->dice, 2))
		h->now += dice_sized(&h->dice, 25);
	if (dice_once_in(&h->dice, 50))
		h->now -= dice_between(&h->dice, 0,
		                       h->now < PMZ_S(1) ? h->now : PMZ_S(1));
	if (dice_once_in(&h->dice, 100))
		h->bad = (uint32_t)dice_between(&h->dice, 0, 6);
	if (h->now > h->latest)
		h->latest = h->now;
}

static void check_all(struct history *h)
{
	uint32_t count = members(h), ejected = 0, i;
	uint64_t most = h->config.eject_max_pct == PMZ_OFF
	                        ? 0
	                        : count * h->config.eject_max_pct / 100;

	h->ejections = 0;
	for (i = 0; i < PLACES; i++) {
		const struct endpoint *e = &h->at[i];
		pmz_endpoint_stats s;

		if (!e->there)
			continue;
		s = stats_of(h->b, i, h->now);
		must_be(s.in_flight, e->out);
		must_be(s.picks, e->picks);
		must_be(s.failures, e->failures);
		must_be(s.weight, e->weight);
		must_be(s.healthy, e->healthy && !s.ejected_until);
		must_fit(s.ejected_until, h->latest + h->config.eject_most_ns);
		ejected += e->weight && s.ejected_until;
		must(e->weight || !s.ejected_until, "step %d: drained, and out",
		     h->step);
		h->ejections += s.ejections;
	}
	must(ejected <= most, "step %d: %u of %u are ejected", h->step, ejected,
	     count);
	must(!count || ejected < count, "step %d: all are ejected", h->step);
}

static void act(struct history *h)
{
	switch (dice_between(&h->dice, 0, 31)) {
	case 0:
		come(h);
		break;
	case 1:
		if (dice_once_in(&h->dice, 3))
			go(h);
		break;
	case 2:
		change(h);
		break;
	case 3:
		if (dice_once_in(&h->dice, 2))
			probe(h);
		break;
	default:
		if (dice_once_in(&h->dice, 2))
			pick(h);
		else
			settle(h);
	}
}

/* A Maglev table takes 5 ms to build. */
static int steps_of(const struct history *h)
{
	return h->config.strategy == PMZ_MAGLEV_KEY ? STEPS / 10 : STEPS;
}

START_TEST(counts_are_exact_and_never_too_many_rest)
{
	struct history h;

	begin(&h, _i);
	for (h.step = 0; h.step < steps_of(&h); h.step++) {
		pass(&h);
		act(&h);
		check_all(&h);
	}
	while (h.out)
		settle(&h);
	check_all(&h);
	pmz_balance_free(h.b);
}
END_TEST

/* All that would tell little if nobody were ever ejected, or all always. */
START_TEST(the_histories_have_all_in_them)
{
	static struct history h;
	uint64_t ejections = 0, refusals = 0, lives = 0;
	int seed;
	uint32_t i;

	for (seed = 0; seed < SEEDS; seed++) {
		begin(&h, seed);
		for (h.step = 0; h.step < steps_of(&h); h.step++) {
			pass(&h);
			act(&h);
			check_all(&h);
			ejections += h.ejections > 0;
		}
		refusals += h.refusals;
		for (i = 0; i < PLACES; i++)
			lives += h.life[i] > 1;
		pmz_balance_free(h.b);
	}
	ck_assert_uint_gt(ejections, 100 * SEEDS);
	ck_assert_uint_gt(refusals, SEEDS);
	ck_assert_uint_gt(lives, SEEDS);
}
END_TEST

/* The rule of the success rate, against one that takes roots. */

struct sample {
	uint32_t calls, failures;
};

static int must_be_ejected(const struct sample *s, uint32_t count, uint32_t i,
                           uint32_t sigma_pct, int *is_close)
{
	double mean = 0, spread = 0, rate, least;
	uint32_t k;

	for (k = 0; k < count; k++)
		mean += 1 - (double)s[k].failures / s[k].calls;
	mean /= count;
	for (k = 0; k < count; k++) {
		rate = 1 - (double)s[k].failures / s[k].calls - mean;
		spread += rate * rate;
	}
	least = mean - sqrt(spread / count) * sigma_pct / 100;
	rate = 1 - (double)s[i].failures / s[i].calls;
	*is_close = fabs(rate - least) < 1e-5;
	return rate < least;
}

static void play_sample(pmz_balance *b, const struct sample *s, uint32_t count)
{
	struct sample left[PLACES];
	uint32_t most = 1, i;

	memcpy(left, s, sizeof(left));
	while (most) {
		for (most = i = 0; i < count; i++) {
			uint32_t others[PLACES], others_count = 0, k;
			pmz_wish wish = { .size = sizeof(wish) };
			pmz_pick p;
			int fails;

			if (!left[i].calls)
				continue;
			for (k = 0; k < count; k++)
				if (k != i)
					others[others_count++] = k;
			wish.avoid = others;
			wish.avoid_count = others_count;
			must_be(pmz_balance_pick(b, &wish, PMZ_S(1), &p),
			        PMZ_OK);
			must_be(p.endpoint, i);
			fails = left[i].failures > 0;
			must_be(pmz_balance_settle(b, &p,
			                           fails ? PMZ_FAILURE
			                                 : PMZ_SUCCESS,
			                           PMZ_S(1)),
			        PMZ_OK);
			left[i].failures -= (uint32_t)fails;
			most = --left[i].calls > most ? left[i].calls : most;
		}
	}
}

START_TEST(who_is_ejected_by_rate_is_who_arithmetic_says)
{
	dice d = dice_of(_i);
	struct sample s[PLACES] = { { 0, 0 } };
	uint32_t count = (uint32_t)dice_between(&d, 5, PLACES), i;
	pmz_balance_config c = { .size = sizeof(c) };
	pmz_balance *b;
	pmz_pick p;

	c.eject_consecutive = PMZ_OFF;
	c.eject_max_pct = 100;
	c.eject_sigma_pct = (uint32_t)dice_between(&d, 50, 300);
	c.eject_calls_min = 20;
	b = made(&c);
	for (i = 0; i < count; i++) {
		added(b, i, 1, PMZ_S(1));
		s[i].calls = (uint32_t)dice_between(&d, 20, 60);
		s[i].failures = (uint32_t)dice_between(
			&d, 0, dice_once_in(&d, 4) ? s[i].calls : 4);
	}
	play_sample(b, s, count);
	must_be(pmz_balance_pick(b, NULL, PMZ_S(31), &p), PMZ_OK);
	for (i = 0; i < count; i++) {
		int is_close, want;

		want = must_be_ejected(s, count, i, c.eject_sigma_pct,
		                       &is_close);
		if (!is_close)
			must_be(stats_of(b, i, PMZ_S(31)).ejections,
			        (uint32_t)want);
	}
	pmz_balance_free(b);
}
END_TEST

START_TEST(the_average_is_that_of_arithmetic)
{
	dice d = dice_of(_i);
	pmz_balance_config c = { .size = sizeof(c), .strategy = PMZ_EWMA };
	pmz_ns now = PMZ_S(1), at = 0;
	double want = 0;
	pmz_balance *b;
	int i;

	c.ewma_ns = PMZ_MS(1) << dice_between(&d, 0, 20);
	b = made(&c);
	added(b, 0, 1, now);
	for (i = 0; i < 500; i++) {
		pmz_ns takes = 1 + dice_sized(&d, 36);
		double rest;
		pmz_pick p;

		now += dice_sized(&d, 36);
		must_be(pmz_balance_pick(b, NULL, now, &p), PMZ_OK);
		now += takes;
		must_be(pmz_balance_settle(b, &p, PMZ_SUCCESS, now), PMZ_OK);
		rest = exp2(-(double)(now - at) / (double)c.ewma_ns);
		want = (double)takes >= want
		               ? (double)takes
		               : want * rest + (double)takes * (1 - rest);
		at = now;
		must(fabs((double)stats_of(b, 0, now).ewma_ns - want) <=
		             want * 0.003 + 1,
		     "step %d: %g instead of %g", i,
		     (double)stats_of(b, 0, now).ewma_ns, want);
		want = (double)stats_of(b, 0, now).ewma_ns;
	}
	pmz_balance_free(b);
}
END_TEST

/* Keys. */

START_TEST(a_change_of_one_moves_only_its_own_keys)
{
	dice d = dice_of(_i);
	pmz_balance_config c = { .size = sizeof(c), .strategy = PMZ_BY_KEY };
	uint32_t count = (uint32_t)dice_between(&d, 2, PLACES), other, i;
	uint32_t home[500];
	pmz_balance *b = made(&c);

	for (i = 0; i < count; i++)
		added(b, i, (uint32_t)dice_between(&d, 1, 9), 0);
	other = (uint32_t)dice_between(&d, 0, count - 1);
	for (i = 0; i < 1000; i++) {
		pmz_wish wish = { .size = sizeof(wish) };
		pmz_pick p;

		if (i == 500)
			must_be(pmz_balance_weight(
					b, other,
					(uint32_t)dice_between(&d, 0, 20), 0),
			        PMZ_OK);
		wish.hash = (i % 500) * 0x9e3779b97f4a7c15u;
		must_be(pmz_balance_pick(b, &wish, 0, &p), PMZ_OK);
		if (i < 500)
			home[i] = p.endpoint;
		else if (p.endpoint != home[i - 500])
			must(p.endpoint == other || home[i - 500] == other,
			     "key %u moved between others", i);
		must_be(pmz_balance_settle(b, &p, PMZ_SUCCESS, 0), PMZ_OK);
	}
	pmz_balance_free(b);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("balance");
	TCase *tc = tcase_create("random histories");
	SRunner *runner;
	int failed;

	tcase_add_loop_test(
		tc,
		a_million_picks_spread_as_the_weights_say_within_one_per_cent,
		0, 2 * BY_WEIGHT);
	tcase_add_loop_test(tc,
	                    turns_are_exact_over_any_cycle_and_never_two_ahead,
	                    0, SEEDS);
	tcase_add_loop_test(tc, counts_are_exact_and_never_too_many_rest, 0,
	                    SEEDS);
	tcase_add_test(tc, the_histories_have_all_in_them);
	tcase_add_loop_test(tc, who_is_ejected_by_rate_is_who_arithmetic_says,
	                    0, SEEDS);
	tcase_add_loop_test(tc, the_average_is_that_of_arithmetic, 0, SEEDS);
	tcase_add_loop_test(tc, a_change_of_one_moves_only_its_own_keys, 0,
	                    SEEDS);
	tcase_set_timeout(tc, 120);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
