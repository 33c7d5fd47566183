/*
 * budget.c - random calls and retries against a budget that counts in plain
 * lists: a million of them, with clocks that no caller should have.
 */
#include <string.h>

#include <pipemaze/budget.h>

#include "dice.h"
#include "hostile.h"
#include "must.h"

#define STEPS 3000
#define BUCKETS 10
#define TURNS 40

/* One entry for each bucket of time in which something happened. */
struct tally {
	uint64_t bucket;
	unsigned deposits, withdrawals;
};

struct model {
	pmz_budget_config cfg;
	pmz_ns seen;
	struct tally tallies[STEPS];
	int count;
	uint64_t second;
	unsigned of_second;
};

/* A bucket is a multiple of 16 ns. */
static pmz_ns bucket_of(const struct model *m)
{
	return m->cfg.ttl_ns / BUCKETS / 16 * 16;
}

static struct tally *newest(struct model *m, pmz_ns now)
{
	uint64_t bucket;

	m->seen = now > m->seen ? now : m->seen;
	bucket = m->seen / bucket_of(m);
	if (!m->count || m->tallies[m->count - 1].bucket != bucket) {
		struct tally fresh = { bucket, 0, 0 };

		m->tallies[m->count++] = fresh;
	}
	return &m->tallies[m->count - 1];
}

static struct tally in_window(struct model *m, pmz_ns now)
{
	struct tally sum = { newest(m, now)->bucket, 0, 0 };
	int i;

	for (i = m->count; i-- > 0;) {
		const struct tally *t = &m->tallies[i];

		if (t->bucket + BUCKETS <= sum.bucket)
			break;
		sum.deposits += t->deposits;
		sum.withdrawals += t->withdrawals;
	}
	return sum;
}

/* Says whether this second's floor has one, and takes it. */
static int floor_allows(struct model *m, pmz_ns now)
{
	/* A second has a number of 32 bits, enough for 136 years. */
	uint64_t second = (uint32_t)(now / PMZ_S(1));

	if (m->cfg.per_second_min == PMZ_OFF)
		return 0;
	if (second > m->second) {
		m->second = second;
		m->of_second = 0;
	}
	if (m->of_second >= m->cfg.per_second_min)
		return 0;
	m->of_second++;
	return 1;
}

static int share_allows(struct model *m, pmz_ns now)
{
	struct tally t = in_window(m, now);

	if (m->cfg.retry_pct == PMZ_OFF)
		return 0;
	return ((uint64_t)t.withdrawals + 1) * 100 <=
	       (uint64_t)t.deposits * m->cfg.retry_pct;
}

static void begin(struct model *m, dice *d)
{
	memset(m, 0, sizeof(*m));
	m->cfg.size = sizeof(m->cfg);
	m->cfg.retry_pct = (uint32_t)dice_between(d, 1, 101);
	if (m->cfg.retry_pct == 101)
		m->cfg.retry_pct = PMZ_OFF;
	m->cfg.per_second_min = (uint32_t)dice_between(d, 1, 6);
	if (m->cfg.per_second_min == 6)
		m->cfg.per_second_min = PMZ_OFF;
	/* Buckets of whole ms, so that both count in the same ones. */
	m->cfg.ttl_ns = PMZ_MS(dice_between(d, 1, 2000)) * BUCKETS;
	m->seen = PMZ_S(dice_between(d, 0, 1000000));
}

static pmz_ns pass(const struct model *m, dice *d, pmz_ns now)
{
	pmz_ns bucket = m->cfg.ttl_ns / BUCKETS;

	switch (dice_roll(d) % 16) {
	case 0: /* on to the edge of a bucket, or a ns short of it */
		return (now / bucket + 1) * bucket - dice_roll(d) % 2;
	case 1:
		return now + dice_between(d, 0, bucket);
	case 2:
		if (dice_once_in(d, 4))
			now += dice_between(d, 0, 2 * m->cfg.ttl_ns);
		return now;
	default:
		return now;
	}
}

START_TEST(without_refunds_every_answer_is_that_of_the_lists)
{
	dice d = dice_of(_i);
	struct model m;
	pmz_budget *b;
	pmz_ns now;
	int i;

	begin(&m, &d);
	now = m.seen;
	must_be(pmz_budget_new(&b, &m.cfg, NULL), PMZ_OK);
	for (i = 0; i < STEPS; i++) {
		int want;

		now = pass(&m, &d, now);
		if (!dice_once_in(&d, 3)) {
			pmz_budget_deposit(b, now);
			newest(&m, now)->deposits++;
			continue;
		}
		want = floor_allows(&m, now);
		if (!want && share_allows(&m, now)) {
			newest(&m, now)->withdrawals++;
			want = 1;
		}
		must((pmz_budget_withdraw(b, now) == PMZ_OK) == want,
		     "step %d: the lists say %d", i, want);
	}
	pmz_budget_free(b);
}
END_TEST

/* Which withdrawal a refund is of, the budget is not told: here it is of the
 * newest, which leaves the fewest to count against it. */
static void refund(struct model *m, pmz_budget *b)
{
	int i = m->count;

	while (i-- > 0)
		if (m->tallies[i].withdrawals) {
			m->tallies[i].withdrawals--;
			break;
		}
	pmz_budget_refund(b);
}

START_TEST(with_refunds_no_window_has_more_than_its_share)
{
	dice d = dice_of(_i);
	struct model m;
	pmz_budget *b;
	pmz_ns now;
	int i;

	begin(&m, &d);
	m.cfg.retry_pct = (uint32_t)dice_between(&d, 1, 100);
	m.cfg.per_second_min = PMZ_OFF;
	now = m.seen;
	must_be(pmz_budget_new(&b, &m.cfg, NULL), PMZ_OK);
	for (i = 0; i < STEPS; i++) {
		unsigned what = (unsigned)(dice_roll(&d) % 6);

		now = pass(&m, &d, now);
		if (what == 0) {
			refund(&m, b);
		} else if (what < 4) {
			pmz_budget_deposit(b, now);
			newest(&m, now)->deposits++;
		} else if (pmz_budget_withdraw(b, now) == PMZ_OK) {
			must(share_allows(&m, now), "step %d", i);
			newest(&m, now)->withdrawals++;
		}
	}
	pmz_budget_free(b);
}
END_TEST

/* Takes the newest withdrawal that is in the window back, or one of the floor's
 * second if there is none. */
static void model_refund(struct model *m)
{
	int i = m->count;

	while (i-- > 0 && m->tallies[i].bucket + BUCKETS >
	                          m->tallies[m->count - 1].bucket)
		if (m->tallies[i].withdrawals) {
			m->tallies[i].withdrawals--;
			return;
		}
	m->of_second -= m->of_second > 0;
}

static int model_withdraw(struct model *m, pmz_ns now)
{
	if (floor_allows(m, now))
		return 1;
	if (m->cfg.retry_pct == PMZ_OFF || !share_allows(m, now))
		return 0;
	newest(m, now)->withdrawals++;
	return 1;
}

static void choose_extreme(struct model *m, dice *d)
{
	begin(m, d);
	m->seen = 0;
	m->cfg.ttl_ns = PMZ_MS(1) + dice_sized(d, dice_once_in(d, 4) ? 63 : 36);
	if (dice_once_in(d, 8))
		m->cfg.per_second_min = PMZ_OFF - 1;
}

static void wild_history(int seed)
{
	dice d = dice_of(seed);
	struct model m;
	pmz_budget *b;
	pmz_ns now = hostile_start(&d);
	int i;

	choose_extreme(&m, &d);
	must_be(pmz_budget_new(&b, &m.cfg, NULL), PMZ_OK);
	for (i = 0; i < STEPS; i++) {
		pmz_ns unit = dice_once_in(&d, 4) ? PMZ_S(1) : bucket_of(&m);
		pmz_ns edge = hostile_on(m.seen / unit * unit, unit);
		unsigned what = (unsigned)(dice_roll(&d) % 8);

		now = hostile_next(&d, now, edge, unit);
		if (what == 0) {
			pmz_budget_refund(b);
			model_refund(&m);
		} else if (what < 5) {
			pmz_budget_deposit(b, now);
			newest(&m, now)->deposits++;
		} else {
			int want = model_withdraw(&m, now);

			must((pmz_budget_withdraw(b, now) == PMZ_OK) == want,
			     "seed %d, step %d: the lists say %d", seed, i,
			     want);
		}
	}
	pmz_budget_free(b);
}

START_TEST(every_answer_is_that_of_the_lists_whatever_the_clock_says)
{
	int histories = hostile_histories(STEPS, TURNS), i;

	for (i = 0; i < histories; i++)
		wild_history(_i * histories + i);
}
END_TEST

/* A clock that jumps about: what was granted never passes what all that was
 * deposited, and each second that began, can have given. */
START_TEST(a_wild_clock_grants_no_more_than_a_tame_one)
{
	dice d = dice_of(_i);
	struct model m;
	pmz_budget *b;
	uint64_t deposits = 0, granted = 0, most, seconds;
	int i;

	begin(&m, &d);
	m.cfg.retry_pct = (uint32_t)dice_between(&d, 1, 100);
	m.cfg.per_second_min = (uint32_t)dice_between(&d, 1, 5);
	seconds = dice_between(&d, 1, 20);
	must_be(pmz_budget_new(&b, &m.cfg, NULL), PMZ_OK);
	for (i = 0; i < STEPS; i++) {
		pmz_ns now = m.seen + dice_between(&d, 0, PMZ_S(seconds) - 1);

		if (dice_once_in(&d, 2)) {
			pmz_budget_deposit(b, now);
			deposits++;
		} else {
			granted += pmz_budget_withdraw(b, now) == PMZ_OK;
		}
	}
	most = deposits * m.cfg.retry_pct / 100 +
	       seconds * m.cfg.per_second_min;
	must_fit(granted, most);
	pmz_budget_free(b);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("budget");
	TCase *all = tcase_create("random calls");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, all);
	tcase_set_timeout(all, 60);
	tcase_add_loop_test(
		all, without_refunds_every_answer_is_that_of_the_lists, 0, 40);
	tcase_add_loop_test(all, with_refunds_no_window_has_more_than_its_share,
	                    0, 40);
	tcase_add_loop_test(
		all, every_answer_is_that_of_the_lists_whatever_the_clock_says,
		0, TURNS);
	tcase_add_loop_test(all, a_wild_clock_grants_no_more_than_a_tame_one, 0,
	                    40);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
