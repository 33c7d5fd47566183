/*
 * locks.c - every allocation behind a lock fails once.
 */
#include "expect.h"

#include <string.h>

#include <pipemaze.h>

#include "scarce.h"

#define NODES 3
#define TTL PMZ_S(30)

/* What a step may say when memory is short: of the library, of a store that is
 * full, and of a quorum of such. */
static int is_shortage(int status)
{
	return status == PMZ_E_NOMEM || status == PMZ_E_REPLY ||
	       status == PMZ_E_IO || status == PMZ_E_QUORUM;
}

static void expect_done_or_short(int status)
{
	if (status && !is_shortage(status))
		fail_msg("%s", pmz_status_name(status));
}

static void use(pmz_locks *locks)
{
	pmz_lease lease, holder;
	pmz_why why;
	int status = pmz_lock_acquire(locks, "x", TTL, 0, &lease, &why);

	expect_done_or_short(status);
	if (status) {
		assert_true(strlen(why.text) > 0);
		assert_int_equal(lease.until, 0);
		return;
	}
	expect_done_or_short(pmz_lock_peek(locks, "x", &holder));
	expect_done_or_short(pmz_lock_keep(locks, &lease, TTL));
	expect_done_or_short(pmz_lock_extend(locks, &lease, TTL));
	expect_done_or_short(pmz_lock_release(locks, &lease));
}

/* 1 if the n-th allocation was reached, and so failed. */
static int run_without(unsigned nth, size_t nodes)
{
	static const char *const where[NODES] = { "memory:", "memory:",
		                                  "memory:" };
	pmz_locks *locks;
	int status;

	scarce_fail(nth);
	status = pmz_locks_open(&locks, where, nodes, NULL, NULL);
	if (status) {
		expect_status(status, PMZ_E_NOMEM);
		assert_null(locks);
	} else {
		use(locks);
		pmz_locks_close(locks);
	}
	assert_int_equal(scarce_live(), 0);
	return scarce_end() > 0;
}

static void no_allocation_that_fails_is_a_leak_or_a_crash(void **state)
{
	size_t nodes;
	unsigned nth;

	(void)state;
	for (nodes = 1; nodes <= NODES; nodes += NODES - 1)
		for (nth = 1; run_without(nth, nodes); nth++)
			continue;
}

static void a_lock_works_again_once_there_is_memory(void **state)
{
	static const char *const where = "memory:";
	pmz_locks *locks;
	pmz_lease lease;
	unsigned nth;

	(void)state;
	for (nth = 1; nth < 8; nth++) {
		expect_status(pmz_locks_open(&locks, &where, 1, NULL, NULL),
		              PMZ_OK);
		scarce_fail(nth);
		use(locks);
		scarce_end();
		expect_status(pmz_lock_acquire(locks, "y", TTL, 0, &lease,
		                               NULL),
		              PMZ_OK);
		expect_status(pmz_lock_release(locks, &lease), PMZ_OK);
		pmz_locks_close(locks);
		assert_int_equal(scarce_live(), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_allocation_that_fails_is_a_leak_or_a_crash),
		cmocka_unit_test(a_lock_works_again_once_there_is_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
