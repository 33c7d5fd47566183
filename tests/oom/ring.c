/*
 * ring.c - a ring for which some allocation fails is refused whole.
 */
#include "expect.h"

#include <pipemaze/ring.h>

#include "core/ring_hash.h"
#include "fleet.h"
#include "scarce.h"

static void expect_none_to_spare(const fleet *f, uint32_t layout)
{
	pmz_ring *r = NULL;
	pmz_why why;
	unsigned nth;
	int status;

	for (nth = 1;; nth++) {
		scarce_fail(nth);
		status = fleet_ring(f, layout, &r, &why);
		if (!scarce_end())
			break;
		expect_status(status, PMZ_E_NOMEM);
		assert_null(r);
		assert_int_equal(scarce_live(), 0);
		assert_string_equal(why.text, pmz_status_text(PMZ_E_NOMEM));
	}
	expect_status(status, PMZ_OK);
	/* So many there are at least: the plan, the ring, its nodes. */
	assert_true(nth > 4);
	pmz_ring_free(r);
	assert_int_equal(scarce_live(), 0);
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
	assert_int_equal(scarce_live(), 0);
	f.count = 0;
	fleet_add(&f, "a", 1 << 20);
	expect_status(fleet_ring(&f, PMZ_RING_NATIVE, &r, NULL), PMZ_E_CONFIG);
	assert_int_equal(scarce_live(), 0);
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
	before = scarce_live();
	scarce_fail_from(1);
	expect_status(pmz_ring_mark(a, 3, 1), PMZ_OK);
	expect_status(pmz_ring_find(a, "k", 1, list), PMZ_OK);
	assert_int_equal(pmz_ring_replicas(a, "k", 1, list, 4), 4);
	assert_in_range(pmz_ring_diff_ppm(a, b), 900000, 1000000);
	assert_int_equal(scarce_end(), 0);
	assert_int_equal(scarce_live(), before);
	pmz_ring_free(a);
	pmz_ring_free(b);
	assert_int_equal(scarce_live(), 0);
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
