/*
 * keeper.c - every allocation on the way to a kept lease fails once, and is
 * said.
 */
#include "expect.h"

#include <pipemaze/edge.h>

#include "lock/keeper.h"
#include "scarce.h"

/* Long, so that the keeper's thread sends nothing meanwhile. */
static pmz_lease hour(void)
{
	pmz_lease lease = { .name = "a", .token = "a", .ttl = PMZ_S(3600) };

	lease.until = pmz_now() + PMZ_S(3600);
	return lease;
}

static pmz__keeper *keeper_over(pmz__node *node)
{
	pmz_lock_rules rules = { .size = sizeof(rules), .nodes = 1 };

	return pmz__keeper_new(&node, 1, &rules);
}

static void a_keeper_without_memory_is_none(void **state)
{
	pmz__node *node = pmz__memory_new();
	int before = scarce_live();

	(void)state;
	scarce_fail(1);
	assert_null(keeper_over(node));
	assert_int_equal(scarce_end(), 1);
	assert_int_equal(scarce_live(), before);
	node->type->free(node);
	assert_int_equal(scarce_live(), 0);
}

static void a_keep_without_memory_is_said_and_can_be_tried_again(void **state)
{
	unsigned nth;

	(void)state;
	for (nth = 1; nth <= 4; nth++) {
		pmz__node *node = pmz__memory_new();
		pmz__keeper *k = keeper_over(node);
		pmz_lease lease = hour();

		scarce_fail(nth);
		expect_status(pmz__keeper_keep(k, &lease, PMZ_NEVER),
		              PMZ_E_NOMEM);
		assert_int_equal(scarce_end(), 1);
		expect_status(pmz__keeper_refresh(k, &lease), PMZ_E_STATE);
		expect_status(pmz__keeper_keep(k, &lease, PMZ_NEVER), PMZ_OK);
		expect_status(pmz__keeper_refresh(k, &lease), PMZ_OK);
		pmz__keeper_free(k);
		node->type->free(node);
		assert_int_equal(scarce_live(), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_keeper_without_memory_is_none),
		cmocka_unit_test(
			a_keep_without_memory_is_said_and_can_be_tried_again),
	};

	return cmocka_run_group_tests_name("memory of the keeper", tests, NULL,
	                                   NULL);
}
