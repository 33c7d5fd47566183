/*
 * ring.c - a ring for which some allocation fails is refused whole.
 *
 * The library's one door to memory is replaced by this file's.
 */
#include "expect.h"

#include <stdlib.h>
#include <string.h>

#include <pipemaze/ring.h>

#include "base/alloc.h"
#include "base/atomic.h"
#include "core/ring_hash.h"
#include "fleet.h"

static int held, until_failure; /* 0: never */

void *pmz__alloc(size_t size)
{
	size_t whole = (size + PMZ__CACHE_LINE - 1) / PMZ__CACHE_LINE *
	               PMZ__CACHE_LINE;
	void *memory;

	if (until_failure && !--until_failure)
		return NULL;
	memory = aligned_alloc(PMZ__CACHE_LINE, whole);
	assert_non_null(memory);
	memset(memory, 0, whole);
	held++;
	return memory;
}

void pmz__free(void *memory)
{
	held -= memory != NULL;
	free(memory);
}

static void expect_none_to_spare(const fleet *f, uint32_t layout)
{
	pmz_ring *r = NULL;
	pmz_why why;
	int nth, status = PMZ_E_NOMEM;

	for (nth = 1; status != PMZ_OK; nth++) {
		until_failure = nth;
		status = fleet_ring(f, layout, &r, &why);
		if (status == PMZ_OK)
			break;
		expect_status(status, PMZ_E_NOMEM);
		assert_null(r);
		assert_int_equal(held, 0);
		assert_string_equal(why.text, pmz_status_text(PMZ_E_NOMEM));
	}
	/* So many there are at least: the plan, the ring, its nodes. */
	assert_true(nth > 4);
	until_failure = 0;
	pmz_ring_free(r);
	assert_int_equal(held, 0);
}

static void each_allocation_that_fails_leaves_no_ring_and_no_leak(void **state)
{
	static const uint32_t layouts[] = {
		PMZ_RING_NATIVE,     PMZ_RING_MAGLEV,       PMZ_RING_JUMP,
		PMZ_RING_RENDEZVOUS, PMZ_RING_NGINX,        PMZ_RING_ENVOY,
		PMZ_RING_ENVOY_MAGLEV,
#if PMZ_KETAMA
		PMZ_RING_KETAMA,     PMZ_RING_LIBMEMCACHED,
		PMZ_RING_SPYMEMCACHED,
#endif
	};
	fleet f = { .count = 0 };
	size_t i;

	(void)state;
	fleet_number(&f, 0, 30);
	for (i = 0; i < KIT_COUNT(layouts); i++)
		expect_none_to_spare(&f, layouts[i]);
}

static void a_refusal_after_the_first_allocation_leaks_nothing(void **state)
{
	fleet f = { .count = 0 };
	pmz_ring *r;

	(void)state;
	fleet_number(&f, 0, 3);
	fleet_number(&f, 1, 1);
	expect_status(fleet_ring(&f, PMZ_RING_NATIVE, &r, NULL), PMZ_E_CONFIG);
	assert_int_equal(held, 0);
	f.count = 0;
	fleet_add(&f, "a", 1 << 20);
	expect_status(fleet_ring(&f, PMZ_RING_NATIVE, &r, NULL), PMZ_E_CONFIG);
	assert_int_equal(held, 0);
}

static void nothing_is_allocated_after_the_making(void **state)
{
	fleet f = { .count = 0 };
	uint32_t list[4];
	pmz_ring *a, *b;
	int before;

	(void)state;
	fleet_number(&f, 0, 30);
	expect_status(fleet_ring(&f, PMZ_RING_NATIVE, &a, NULL), PMZ_OK);
	f.count--;
	expect_status(fleet_ring(&f, PMZ_RING_MAGLEV, &b, NULL), PMZ_OK);
	before = held;
	until_failure = 1; /* who asks for any gets none */
	expect_status(pmz_ring_mark(a, 3, 1), PMZ_OK);
	expect_status(pmz_ring_find(a, "k", 1, list), PMZ_OK);
	assert_int_equal(pmz_ring_replicas(a, "k", 1, list, 4), 4);
	assert_in_range(pmz_ring_diff_ppm(a, b), 900000, 1000000);
	assert_int_equal(until_failure, 1);
	assert_int_equal(held, before);
	until_failure = 0;
	pmz_ring_free(a);
	pmz_ring_free(b);
	assert_int_equal(held, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			each_allocation_that_fails_leaves_no_ring_and_no_leak),
		cmocka_unit_test(
			a_refusal_after_the_first_allocation_leaks_nothing),
		cmocka_unit_test(nothing_is_allocated_after_the_making),
	};

	return cmocka_run_group_tests_name("ring", tests, NULL, NULL);
}
