/*
 * budget.c - one retry budget and many threads: never a retry too many, and
 * none lost.
 */
#include <check.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <pipemaze/budget.h>

#include "crew.h"

#define THREADS 4
#define ROUNDS 3
#define EACH 400000
#define PCT 20
#define NOW PMZ_S(1000)

struct purse {
	pmz_budget *b;
	_Atomic uint64_t clock, deposits, granted;
	void *memory;
};

static pmz_budget_config config_of(uint32_t per_second)
{
	pmz_budget_config cfg;

	memset(&cfg, 0, sizeof(cfg));
	cfg.size = sizeof(cfg);
	cfg.retry_pct = PCT;
	cfg.per_second_min = per_second;
	return cfg;
}

static void open_purse(struct purse *p, uint32_t per_second)
{
	pmz_budget_config cfg = config_of(per_second);

	memset(p, 0, sizeof(*p));
	p->clock = NOW;
	ck_assert_int_eq(pmz_budget_new(&p->b, &cfg, NULL), PMZ_OK);
}

static uint64_t drain(struct purse *p, pmz_ns now)
{
	uint64_t n = 0;

	while (pmz_budget_withdraw(p->b, now) == PMZ_OK)
		n++;
	return n;
}

static void drain_now(unsigned who, void *ctx)
{
	struct purse *p = ctx;

	(void)who;
	p->granted += drain(p, NOW);
}

START_TEST(threads_share_exactly_what_there_is)
{
	int round, i;

	for (round = 0; round < ROUNDS; round++) {
		struct purse p;

		open_purse(&p, 7);
		for (i = 0; i < EACH; i++)
			pmz_budget_deposit(p.b, NOW);
		crew_run(THREADS, drain_now, &p);
		ck_assert_uint_eq(p.granted, EACH * PCT / 100 + 7);
		pmz_budget_free(p.b);
	}
}
END_TEST

START_TEST(threads_share_exactly_the_floor)
{
	struct purse p;

	open_purse(&p, 5 * EACH);
	crew_run(THREADS, drain_now, &p);
	ck_assert_uint_eq(p.granted, 5 * EACH);
	pmz_budget_free(p.b);
}
END_TEST

static void deposit_and_withdraw(unsigned who, void *ctx)
{
	struct purse *p = ctx;
	uint64_t granted = 0;
	int i;

	(void)who;
	for (i = 0; i < EACH; i++) {
		pmz_budget_deposit(p->b, NOW);
		granted += pmz_budget_withdraw(p->b, NOW) == PMZ_OK;
	}
	p->granted += granted;
}

START_TEST(deposits_among_withdrawals_are_all_counted)
{
	struct purse p;

	open_purse(&p, PMZ_OFF);
	crew_run(THREADS, deposit_and_withdraw, &p);
	p.granted += drain(&p, NOW);
	ck_assert_uint_eq(p.granted, THREADS * EACH * PCT / 100);
	pmz_budget_free(p.b);
}
END_TEST

static void withdraw_and_put_back(unsigned who, void *ctx)
{
	struct purse *p = ctx;
	int i;

	(void)who;
	for (i = 0; i < 5 * EACH; i++)
		if (pmz_budget_withdraw(p->b, NOW) == PMZ_OK)
			pmz_budget_refund(p->b);
}

START_TEST(what_is_put_back_is_there_again_and_no_more)
{
	struct purse p;
	int i;

	open_purse(&p, 3);
	for (i = 0; i < 10; i++)
		pmz_budget_deposit(p.b, NOW);
	crew_run(THREADS, withdraw_and_put_back, &p);
	ck_assert_uint_eq(drain(&p, NOW), 2 + 3);
	pmz_budget_free(p.b);
}
END_TEST

/* The clock goes on by a ms a call, over many buckets and seconds. */
static void call_as_time_passes(unsigned who, void *ctx)
{
	struct purse *p = ctx;
	int i;

	(void)who;
	for (i = 0; i < EACH; i++) {
		pmz_ns now = atomic_fetch_add(&p->clock, PMZ_MS(1));

		if (i % 2) {
			p->deposits++;
			pmz_budget_deposit(p->b, now);
		} else {
			p->granted += pmz_budget_withdraw(p->b, now) == PMZ_OK;
		}
	}
}

START_TEST(threads_on_one_clock_get_no_more_than_share_and_floor)
{
	struct purse p;
	uint64_t seconds, most;

	open_purse(&p, 5);
	crew_run(THREADS, call_as_time_passes, &p);
	seconds = (p.clock - NOW) / PMZ_S(1);
	most = p.deposits * PCT / 100 + seconds * 5;
	ck_assert_uint_le(p.granted, most);
	/* All ask for more than there is, so that little of it expires. */
	ck_assert_uint_ge(p.granted, most * 9 / 10);
	pmz_budget_free(p.b);
}
END_TEST

static void place_and_deposit(unsigned who, void *ctx)
{
	pmz_budget_config cfg = config_of(PMZ_OFF);
	struct purse *p = ctx;
	pmz_budget *b;
	int i;

	(void)who;
	if (pmz_budget_place(&b, p->memory, pmz_budget_size(&cfg), &cfg, NULL))
		abort();
	for (i = 0; i < 100; i++)
		pmz_budget_deposit(b, NOW);
}

START_TEST(all_who_place_at_once_share_one)
{
	pmz_budget_config cfg = config_of(PMZ_OFF);
	size_t size = (pmz_budget_size(&cfg) + 63) / 64 * 64;
	int round;

	for (round = 0; round < ROUNDS; round++) {
		struct purse p;

		memset(&p, 0, sizeof(p));
		p.memory = aligned_alloc(64, size);
		ck_assert_ptr_nonnull(p.memory);
		memset(p.memory, 0, size);
		crew_run(THREADS, place_and_deposit, &p);
		p.b = p.memory;
		ck_assert_uint_eq(drain(&p, NOW), THREADS * PCT);
		free(p.memory);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("budget");
	TCase *all = tcase_create("threads");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, all);
	tcase_set_timeout(all, 120);
	tcase_add_test(all, threads_share_exactly_what_there_is);
	tcase_add_test(all, threads_share_exactly_the_floor);
	tcase_add_test(all, deposits_among_withdrawals_are_all_counted);
	tcase_add_test(all, what_is_put_back_is_there_again_and_no_more);
	tcase_add_test(all,
	               threads_on_one_clock_get_no_more_than_share_and_floor);
	tcase_add_test(all, all_who_place_at_once_share_one);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
