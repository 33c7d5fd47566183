/*
 * budget.cc - the budget's words: what a share or a second allows is withdrawn
 * once, and what a window has forgotten allows nothing.
 */
#include <pipemaze/budget.h>

#include "search.h"

static const pmz_ns TTL = PMZ_S(10), START = PMZ_S(100);

static pmz_budget *budget;
static unsigned granted, given_back;

static void begin(uint32_t retry_pct, uint32_t per_second_min)
{
	pmz_budget_config cfg = {};

	cfg.size = sizeof(cfg);
	cfg.retry_pct = retry_pct;
	cfg.ttl_ns = TTL;
	cfg.per_second_min = per_second_min;
	granted = given_back = 0;
	must(pmz_budget_new(&budget, &cfg, NULL) == PMZ_OK, "it is made");
}

static int withdraw(pmz_ns now)
{
	int status = pmz_budget_withdraw(budget, now);

	granted += status == PMZ_OK;
	return status == PMZ_OK;
}

/* Two deposits, one withdrawal. */
static void begin_with_a_share()
{
	begin(50, PMZ_OFF);
	pmz_budget_deposit(budget, START);
	pmz_budget_deposit(budget, START);
}

static void begin_with_a_floor()
{
	begin(PMZ_OFF, 1);
}

static void withdraw_one(unsigned)
{
	withdraw(START);
}

static void one_is_granted()
{
	must(granted == 1, "one is granted");
}

static void withdraw_or_deposit(unsigned thread)
{
	if (thread)
		return pmz_budget_deposit(budget, START);
	withdraw(START);
	withdraw(START);
}

static void a_third_deposit_grants_no_second()
{
	must(granted == 1, "one is granted");
	must(!withdraw(START), "of three deposits");
	pmz_budget_deposit(budget, START);
	must(withdraw(START), "and the second of four");
}

static void begin_with_two_shares()
{
	begin_with_a_share();
	pmz_budget_deposit(budget, START);
	pmz_budget_deposit(budget, START);
}

static void withdraw_and_maybe_refund(unsigned thread)
{
	if (!withdraw(START) || thread)
		return;
	pmz_budget_refund(budget);
	given_back++;
}

static void two_can_be_out()
{
	while (granted - given_back < 2)
		must(withdraw(START), "two can be out");
	must(!withdraw(START), "and no more");
}

/* A window later: what was deposited is forgotten, whoever sees it first. */
static void come_a_window_later(unsigned thread)
{
	if (thread)
		withdraw(START + TTL);
	else
		pmz_budget_deposit(budget, START + TTL);
}

static void only_new_deposits_count()
{
	must(!granted, "nothing is granted");
	pmz_budget_deposit(budget, START + TTL);
	must(withdraw(START + TTL), "until there are two new deposits");
}

#define TRIED_AT_RANDOM 20000

const struct check checks[] = {
	{ "of two withdrawals a share of one grants one", 2, FULL, 0,
	  begin_with_a_share, withdraw_one, one_is_granted },
	{ "of three withdrawals a share of one grants one", 3, BOUND, 2,
	  begin_with_a_share, withdraw_one, one_is_granted },
	{ "of two withdrawals a floor of one grants one", 2, FULL, 0,
	  begin_with_a_floor, withdraw_one, one_is_granted },
	{ "a deposit is counted once", 2, BOUND, 3, begin_with_a_share,
	  withdraw_or_deposit, a_third_deposit_grants_no_second },
	{ "a refund frees what it gives back", 2, BOUND, 3,
	  begin_with_two_shares, withdraw_and_maybe_refund, two_can_be_out },
	{ "a refund frees what it gives back", 2, RANDOM, TRIED_AT_RANDOM,
	  begin_with_two_shares, withdraw_and_maybe_refund, two_can_be_out },
	{ "what is forgotten grants nothing", 2, BOUND, 2, begin_with_a_share,
	  come_a_window_later, only_new_deposits_count },
	{ "what is forgotten grants nothing", 2, RANDOM, TRIED_AT_RANDOM,
	  begin_with_a_share, come_a_window_later, only_new_deposits_count },
};
const size_t checks_count = sizeof(checks) / sizeof(*checks);
const unsigned words_max = 32;
