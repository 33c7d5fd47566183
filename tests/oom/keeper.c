/*
 * keeper.c - every allocation on the way to a kept lease fails once, and is
 * said.
 */
#include "expect.h"

#include <stdlib.h>
#include <string.h>

#include <pipemaze/edge.h>

#include "base/alloc.h"
#include "lock/keeper.h"

/* In the place of lib/base/alloc.c. */
static unsigned until_failure; /* 0: none fails */
static int live;

void *pmz__alloc(size_t size)
{
	size_t whole = (size + 63) / 64 * 64;
	void *memory;

	if (until_failure && !--until_failure)
		return NULL;
	memory = aligned_alloc(64, whole);
	assert_non_null(memory);
	memset(memory, 0, whole);
	live++;
	return memory;
}

void pmz__free(void *memory)
{
	live -= memory != NULL;
	free(memory);
}

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
	int before = live;

	(void)state;
	until_failure = 1;
	assert_null(keeper_over(node));
	assert_int_equal(live, before);
	node->type->free(node);
	assert_int_equal(live, 0);
}

static void a_keep_without_memory_is_said_and_can_be_tried_again(void **state)
{
	unsigned nth;

	(void)state;
	for (nth = 1; nth <= 4; nth++) {
		pmz__node *node = pmz__memory_new();
		pmz__keeper *k = keeper_over(node);
		pmz_lease lease = hour();

		until_failure = nth;
		expect_status(pmz__keeper_keep(k, &lease, PMZ_NEVER),
		              PMZ_E_NOMEM);
		assert_int_equal(until_failure, 0);
		expect_status(pmz__keeper_refresh(k, &lease), PMZ_E_STATE);
		expect_status(pmz__keeper_keep(k, &lease, PMZ_NEVER), PMZ_OK);
		expect_status(pmz__keeper_refresh(k, &lease), PMZ_OK);
		pmz__keeper_free(k);
		node->type->free(node);
		assert_int_equal(live, 0);
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
