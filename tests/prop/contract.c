/*
 * contract.c - in a debug build, a handle that is NULL stops the program where
 * it was passed. Each test dies in a process of its own.
 */
#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include <pipemaze/backoff.h>
#include <pipemaze/bucket.h>
#include <pipemaze/budget.h>
#include <pipemaze/bulkhead.h>
#include <pipemaze/lock.h>
#include <pipemaze/lock_proto.h>

#ifdef PMZ_DEBUG

#define NOW PMZ_S(1)

static pmz_rate rate;
static pmz_bucket bucket;
static pmz_permit permit;
static pmz_ns at;
static pmz_lease lease;
static pmz_lock_op op;
static pmz_lock_order order;

static void set_rate(void)
{
	ck_assert_int_eq(pmz_rate_set(&rate, 1, NOW, 1), PMZ_OK);
}

/* The compiler may not know that this is NULL. */
static void *volatile none;

#define DIES(claim, ...)   \
	START_TEST(claim)  \
	{                  \
		set_rate(); \
		__VA_ARGS__; \
	}                  \
	END_TEST

DIES(a_rate_set_nowhere_aborts, (void)!pmz_rate_set(none, 1, NOW, 1))
DIES(a_take_from_no_bucket_aborts,
     (void)!pmz_bucket_take(none, &rate, 1, NOW, NULL))
DIES(a_take_by_a_rate_never_set_aborts, memset(&rate, 0, sizeof(rate));
     (void)!pmz_bucket_take(&bucket, &rate, 1, NOW, NULL))
DIES(a_reservation_of_no_bucket_aborts,
     (void)!pmz_bucket_reserve(none, &rate, 1, NOW, NOW, &at))
DIES(a_reservation_that_tells_no_time_aborts,
     (void)!pmz_bucket_reserve(&bucket, &rate, 1, NOW, NOW, none))
DIES(a_refund_to_no_bucket_aborts,
     pmz_bucket_refund(none, &rate, 1, NOW, NOW))
DIES(a_look_into_no_bucket_aborts, (void)pmz_bucket_left(none, &rate, NOW))
DIES(a_rerate_of_no_bucket_aborts,
     pmz_bucket_rerate(none, &rate, &rate, NOW))
DIES(a_backoff_started_nowhere_aborts,
     (void)!pmz_backoff_start(none, NULL, 0, 1))
DIES(a_next_try_of_no_backoff_aborts,
     (void)!pmz_backoff_next(none, NOW, 0, &at))
DIES(the_tries_of_no_backoff_abort, (void)pmz_backoff_tries(none))
DIES(a_new_budget_for_nobody_aborts, (void)!pmz_budget_new(none, NULL, NULL))
DIES(a_deposit_in_no_budget_aborts, pmz_budget_deposit(none, NOW))
DIES(a_withdrawal_from_no_budget_aborts,
     (void)!pmz_budget_withdraw(none, NOW))
DIES(a_refund_to_no_budget_aborts, pmz_budget_refund(none))
DIES(a_new_bulkhead_for_nobody_aborts,
     (void)!pmz_bulkhead_new(none, NULL, NULL))
DIES(entering_no_bulkhead_aborts,
     (void)!pmz_bulkhead_acquire(none, NOW, &permit))
DIES(leaving_no_bulkhead_aborts,
     pmz_bulkhead_settle(none, &permit, PMZ_SUCCESS, NOW))
DIES(resizing_no_bulkhead_aborts, pmz_bulkhead_resize(none, 1))
DIES(resetting_no_bulkhead_aborts, pmz_bulkhead_reset(none))
DIES(the_stats_of_no_bulkhead_abort, pmz_bulkhead_read(none, none))

DIES(locks_opened_nowhere_abort,
     (void)!pmz_locks_open(none, none, 1, NULL, NULL))
DIES(a_lock_of_no_locks_aborts,
     (void)!pmz_lock_acquire(none, "x", NOW, 0, &lease, NULL))
DIES(extending_with_no_locks_aborts, (void)!pmz_lock_extend(none, &lease, NOW))
DIES(releasing_with_no_locks_aborts, (void)pmz_lock_release(none, &lease))
DIES(keeping_with_no_locks_aborts, (void)!pmz_lock_keep(none, &lease, NOW))
DIES(a_look_at_no_lease_aborts, (void)pmz_lock_is_held(none, NOW))
DIES(a_fence_that_nobody_guards_aborts, (void)pmz_fence_check(none, 1))
DIES(a_step_of_no_op_aborts, (void)pmz_lock_op_next(none, NOW, &order))
DIES(an_op_that_orders_nowhere_aborts,
     (void)pmz_lock_op_next(&op, NOW, none))
DIES(an_op_that_ends_nowhere_aborts,
     (void)pmz_lock_op_end(&op, none, NULL))

static void add_all(TCase *all)
{
	const TTest *const dying[] = {
		a_rate_set_nowhere_aborts,
		a_take_from_no_bucket_aborts,
		a_take_by_a_rate_never_set_aborts,
		a_reservation_of_no_bucket_aborts,
		a_reservation_that_tells_no_time_aborts,
		a_refund_to_no_bucket_aborts,
		a_look_into_no_bucket_aborts,
		a_rerate_of_no_bucket_aborts,
		a_backoff_started_nowhere_aborts,
		a_next_try_of_no_backoff_aborts,
		the_tries_of_no_backoff_abort,
		a_new_budget_for_nobody_aborts,
		a_deposit_in_no_budget_aborts,
		a_withdrawal_from_no_budget_aborts,
		a_refund_to_no_budget_aborts,
		a_new_bulkhead_for_nobody_aborts,
		entering_no_bulkhead_aborts,
		leaving_no_bulkhead_aborts,
		resizing_no_bulkhead_aborts,
		resetting_no_bulkhead_aborts,
		the_stats_of_no_bulkhead_abort,
		locks_opened_nowhere_abort,
		a_lock_of_no_locks_aborts,
		extending_with_no_locks_aborts,
		releasing_with_no_locks_aborts,
		keeping_with_no_locks_aborts,
		a_look_at_no_lease_aborts,
		a_fence_that_nobody_guards_aborts,
		a_step_of_no_op_aborts,
		an_op_that_orders_nowhere_aborts,
		an_op_that_ends_nowhere_aborts,
	};
	size_t i;

	for (i = 0; i < sizeof(dying) / sizeof(*dying); i++)
		tcase_add_test_raise_signal(all, dying[i], SIGABRT);
}

int main(void)
{
	Suite *suite = suite_create("contract");
	TCase *all = tcase_create("no handle");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, all);
	add_all(all);
	/* A death in this process would be the end of the others. */
	srunner_set_fork_status(runner, CK_FORK);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}

#else

int main(void)
{
	puts("contract: skipped, as only a debug build (-DPMZ_DEBUG) asserts");
	return 0;
}

#endif
