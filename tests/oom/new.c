/*
 * new.c - every allocation of every constructor fails once.
 */
#include "expect.h"

#include <string.h>

#include <pipemaze.h>

#include "scarce.h"

typedef int (*maker)(void **out, pmz_why *why);
typedef void (*unmaker)(void *made);

static void check_failure(int status, const void *made, const void *before,
                          const pmz_why *why)
{
	expect_status(status, PMZ_E_NOMEM);
	assert_true(made == NULL || made == before);
	assert_int_equal(scarce_live(), 0);
	assert_true(strlen(why->text) > 0);
}

/* Makes it with the first allocation failing, then the second, ... until none
 * is left to fail. */
static void fail_each(maker make, unmaker unmake)
{
	unsigned nth;
	int status, other;

	for (nth = 1;; nth++) {
		void *made = &other;
		pmz_why why;

		memset(&why, 0, sizeof(why));
		scarce_fail(nth);
		status = make(&made, &why);
		if (!scarce_end()) {
			expect_status(status, PMZ_OK);
			unmake(made);
			break;
		}
		check_failure(status, made, &other, &why);
		expect_status(make(&made, NULL), PMZ_OK);
		unmake(made);
		assert_int_equal(scarce_live(), 0);
	}
	assert_true(nth > 1);
	assert_int_equal(scarce_live(), 0);
}

/* The constructors differ in the type of what they make. */
#define CONSTRUCTOR(noun, type, make)                           \
	static int make_##noun(void **out, pmz_why *why)        \
	{                                                       \
		type *made = *out;                              \
		int status = make;                              \
                                                                \
		*out = made;                                    \
		return status;                                  \
	}                                                       \
	static void free_##noun(void *made)                     \
	{                                                       \
		type##_free(made);                              \
	}                                                       \
	static void no_memory_for_a_##noun##_is_said(void **s)  \
	{                                                       \
		(void)s;                                        \
		fail_each(make_##noun, free_##noun);            \
	}

#define ALL_STAGES                                                        \
	"breaker 50% over 10s min 20 open 5s..60s | bulkhead 64 | rate "  \
	"100/s burst 20 | tries 3 backoff 100ms..5s jitter full | budget " \
	"20% floor 10/s | try 2s | total 10s | wait 1s"

static const pmz_keyed_config keyed_config = {
	.size = sizeof(keyed_config),
	.keys_max = 100,
	.hash_key = { 1, 2 },
};

static const pmz_breaker_config counting = {
	.size = sizeof(counting),
	.calls_window = 1000,
};

static const pmz_pipe_config empty_pipe = { .size = sizeof(empty_pipe) };

CONSTRUCTOR(breaker, pmz_breaker, pmz_breaker_new(&made, NULL, why))
CONSTRUCTOR(counting_breaker, pmz_breaker,
            pmz_breaker_new(&made, &counting, why))
CONSTRUCTOR(bulkhead, pmz_bulkhead, pmz_bulkhead_new(&made, NULL, why))
CONSTRUCTOR(budget, pmz_budget, pmz_budget_new(&made, NULL, why))
CONSTRUCTOR(keyed_table, pmz_keyed, pmz_keyed_new(&made, &keyed_config, why))
CONSTRUCTOR(pipe, pmz_pipe, pmz_pipe_new(&made, &empty_pipe, why))
CONSTRUCTOR(pipe_of_one_line, pmz_pipe,
            pmz_pipe_from(&made, ALL_STAGES, NULL, why))

/* A pipe whose line gets new stages, while a part of them finds no memory. */
static void a_reload_without_memory_changes_nothing(void **state)
{
	pmz_pipe *p;
	unsigned nth;

	(void)state;
	for (nth = 1;; nth++) {
		pmz_pipe_rules rules;
		int status, before;

		expect_status(pmz_pipe_from(&p, "tries 2", NULL, NULL), PMZ_OK);
		before = scarce_live();
		scarce_fail(nth);
		status = pmz_pipe_reload(p, ALL_STAGES, 0, NULL);
		if (!scarce_end())
			break;
		expect_status(status, PMZ_E_NOMEM);
		memset(&rules, 0, sizeof(rules));
		rules.size = sizeof(rules);
		expect_status(pmz_pipe_read(p, &rules), PMZ_OK);
		assert_int_equal(rules.backoff.tries_max, 2);
		assert_null(rules.breaker);
		assert_int_equal(rules.total_ns, 0);
		expect_status(pmz_pipe_reload(p, ALL_STAGES, 0, NULL), PMZ_OK);
		assert_true(scarce_live() > before);
		pmz_pipe_free(p);
		assert_int_equal(scarce_live(), 0);
	}
	assert_true(nth > 1);
	pmz_pipe_free(p);
	assert_int_equal(scarce_live(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_memory_for_a_breaker_is_said),
		cmocka_unit_test(no_memory_for_a_counting_breaker_is_said),
		cmocka_unit_test(no_memory_for_a_bulkhead_is_said),
		cmocka_unit_test(no_memory_for_a_budget_is_said),
		cmocka_unit_test(no_memory_for_a_keyed_table_is_said),
		cmocka_unit_test(no_memory_for_a_pipe_is_said),
		cmocka_unit_test(no_memory_for_a_pipe_of_one_line_is_said),
		cmocka_unit_test(a_reload_without_memory_changes_nothing),
	};

	return cmocka_run_group_tests_name("oom", tests, NULL, NULL);
}
