/*
 * balance.c - every allocation of a change fails once, and then nothing has
 * changed.
 */
#include "expect.h"

#include <pipemaze/balance.h>

#include "scarce.h"

#define KEYS 64
#define NODES 3

static pmz_balance *b;

static pmz_balance *made(pmz_strategy strategy)
{
	static const char *const names[NODES] = { "a", "b", "c" };
	pmz_balance_config c = { .size = sizeof(c), .seed = 1 };
	uint32_t i;

	c.strategy = strategy;
	expect_status(pmz_balance_new(&b, &c, NULL), PMZ_OK);
	for (i = 0; i < NODES; i++)
		expect_status(pmz_balance_add(b, names[i], 1 + i, 0, NULL),
		              PMZ_OK);
	return b;
}

/* Where the keys are and what each endpoint weighs. */
struct view {
	uint32_t home[KEYS], weight[NODES];
};

static struct view look(void)
{
	struct view v;
	uint32_t i;

	for (i = 0; i < KEYS; i++) {
		pmz_wish wish = { .size = sizeof(wish) };
		pmz_pick p;

		wish.hash = i * 0x9e3779b97f4a7c15u;
		expect_status(pmz_balance_pick(b, &wish, 0, &p), PMZ_OK);
		v.home[i] = p.endpoint;
		expect_status(pmz_balance_settle(b, &p, PMZ_SUCCESS, 0),
		              PMZ_OK);
	}
	for (i = 0; i < NODES; i++) {
		pmz_endpoint_stats s = { .size = sizeof(s) };

		expect_status(pmz_balance_read(b, i, 0, &s), PMZ_OK);
		v.weight[i] = s.weight;
	}
	return v;
}

typedef int (*changer)(void);

static int add_one(void)
{
	return pmz_balance_add(b, "d", 5, 0, NULL);
}

static int weigh_one(void)
{
	return pmz_balance_weight(b, 1, 7, 0);
}

static int remove_one(void)
{
	return pmz_balance_remove(b, 2, 0);
}

/* Only keys have a home that stays. */
static int has_homes(pmz_strategy strategy)
{
	return strategy >= PMZ_BY_KEY;
}

static void fail_each(pmz_strategy strategy, changer change)
{
	struct view before, after;
	unsigned nth;
	int status;

	made(strategy);
	for (nth = 1;; nth++) {
		before = look();
		scarce_fail(nth);
		status = change();
		if (!scarce_end())
			break;
		expect_status(status, PMZ_E_NOMEM);
		after = look();
		assert_memory_equal(before.weight, after.weight,
		                    sizeof(before.weight));
		if (has_homes(strategy))
			assert_memory_equal(before.home, after.home,
			                    sizeof(before.home));
	}
	expect_status(status, PMZ_OK);
	if (has_homes(strategy))
		assert_true(nth > 3);
	pmz_balance_free(b);
	assert_int_equal(scarce_live(), 0);
}

static void a_change_without_memory_changes_nothing(void **state)
{
	static const changer changes[] = { add_one, weigh_one, remove_one };
	pmz_strategy s;
	size_t i;

	(void)state;
	for (s = PMZ_LEAST; s <= PMZ_MAGLEV_KEY; s++)
		for (i = 0; i < KIT_COUNT(changes); i++)
			fail_each(s, changes[i]);
}

static void no_memory_for_a_balancer_is_said(void **state)
{
	pmz_strategy s;

	(void)state;
	for (s = PMZ_LEAST; s <= PMZ_MAGLEV_KEY; s++) {
		pmz_balance_config c = { .size = sizeof(c) };
		pmz_why why = { .text = "" };

		c.strategy = s;
		scarce_fail(1);
		expect_status(pmz_balance_new(&b, &c, &why), PMZ_E_NOMEM);
		scarce_end();
		assert_null(b);
		assert_string_equal(why.text, pmz_status_text(PMZ_E_NOMEM));
		assert_int_equal(scarce_live(), 0);
	}
}

/* Old rings go as new ones come, and not at the end only. */
static void a_thousand_changes_take_no_more_memory_than_ten(void **state)
{
	int after_ten = 0, i;

	(void)state;
	made(PMZ_BY_KEY);
	for (i = 0; i < 1000; i++) {
		expect_status(pmz_balance_weight(b, 1, 1 + (uint32_t)i % 2, 0),
		              PMZ_OK);
		if (i == 9)
			after_ten = scarce_live();
	}
	assert_int_equal(scarce_live(), after_ten);
	pmz_balance_free(b);
	assert_int_equal(scarce_live(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_change_without_memory_changes_nothing),
		cmocka_unit_test(no_memory_for_a_balancer_is_said),
		cmocka_unit_test(
			a_thousand_changes_take_no_more_memory_than_ten),
	};

	return cmocka_run_group_tests_name("memory of the balancer", tests,
	                                   NULL, NULL);
}
