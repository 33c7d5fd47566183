/*
 * wide.c - the arithmetic beyond 64 bits, against the compiler's own.
 */
#include "expect.h"

#include "base/wide.h"
#include "dice.h"

__extension__ typedef unsigned __int128 u128;

#define DRAWS 200000

static const uint64_t edges[] = {
	0,
	1,
	2,
	3,
	UINT32_MAX - 1,
	UINT32_MAX,
	(uint64_t)UINT32_MAX + 1,
	(uint64_t)UINT32_MAX + 2,
	0xaaaaaaaaaaaaaaaa,
	(uint64_t)INT64_MAX - 1,
	(uint64_t)INT64_MAX,
	(uint64_t)INT64_MAX + 1,
	UINT64_MAX - UINT32_MAX,
	UINT64_MAX - 1,
	UINT64_MAX,
};

#define EDGES KIT_COUNT(edges)

static uint64_t any(dice *d)
{
	return dice_once_in(d, 4) ? edges[dice_roll(d) % EDGES]
	                          : dice_sized(d, 64);
}

static void check_product(uint64_t a, uint64_t b)
{
	u128 want = (u128)a * b;
	pmz__wide got = pmz__mul(a, b);

	assert_int_equal(got.high, (uint64_t)(want >> 64));
	assert_int_equal(got.low, (uint64_t)want);
	assert_int_equal(pmz__mul_high(a, b), (uint64_t)(want >> 64));
	assert_int_equal(pmz__sat_mul(a, b),
	                 want > UINT64_MAX ? UINT64_MAX : (uint64_t)want);
}

static void a_product_has_all_its_128_bits(void **state)
{
	dice d = dice_of(1);
	size_t i, j;

	(void)state;
	for (i = 0; i < EDGES; i++)
		for (j = 0; j < EDGES; j++)
			check_product(edges[i], edges[j]);
	for (i = 0; i < DRAWS; i++)
		check_product(any(&d), any(&d));
}

static void check_quotient(uint64_t high, uint64_t low, uint64_t divisor)
{
	pmz__wide n = { high, low };
	u128 whole = (u128)high << 64 | low;
	uint64_t rest = 1;

	assert_int_equal(pmz__div(n, divisor, &rest),
	                 (uint64_t)(whole / divisor));
	assert_int_equal(rest, (uint64_t)(whole % divisor));
}

static void a_quotient_and_its_rest_are_exact(void **state)
{
	dice d = dice_of(2);
	size_t i, j, k;

	(void)state;
	for (i = 0; i < EDGES; i++)
		for (j = 0; j < EDGES; j++)
			for (k = 0; k < EDGES; k++)
				if (edges[i] < edges[k])
					check_quotient(edges[i], edges[j],
					               edges[k]);
	for (i = 0; i < DRAWS; i++) {
		uint64_t divisor = any(&d);

		if (divisor)
			check_quotient(any(&d) % divisor, any(&d), divisor);
	}
}

static void check_mul_div(uint64_t a, uint64_t b, uint64_t c, int up)
{
	u128 product = (u128)a * b;
	u128 want = product / c + (up && product % c);

	assert_int_equal(pmz__mul_div(a, b, c, up),
	                 want > UINT64_MAX ? UINT64_MAX : (uint64_t)want);
}

static void a_scaled_number_is_rounded_as_asked_and_saturates(void **state)
{
	dice d = dice_of(3);
	size_t i;

	(void)state;
	for (i = 0; i < DRAWS; i++) {
		uint64_t a = any(&d), b = any(&d), c = any(&d);

		if (c) {
			check_mul_div(a, b, c, 0);
			check_mul_div(a, b, c, 1);
		}
	}
	/* One below a power: its last step up does not wrap. */
	check_mul_div(UINT64_MAX, UINT64_MAX - 1, UINT64_MAX, 1);
	check_mul_div(UINT64_MAX, UINT64_MAX, UINT64_MAX, 1);
}

static void sums_and_differences_stop_at_the_ends(void **state)
{
	static const struct {
		uint64_t a, b, sum, difference;
	} rows[] = {
		{ 0, 0, 0, 0 },
		{ 1, 2, 3, 0 },
		{ 2, 1, 3, 1 },
		{ UINT64_MAX, 0, UINT64_MAX, UINT64_MAX },
		{ UINT64_MAX - 1, 1, UINT64_MAX, UINT64_MAX - 2 },
		{ UINT64_MAX, 1, UINT64_MAX, UINT64_MAX - 1 },
		{ 1, UINT64_MAX, UINT64_MAX, 0 },
		{ UINT64_MAX, UINT64_MAX, UINT64_MAX, 0 },
	};
	size_t i;

	(void)state;
	for (i = 0; i < KIT_COUNT(rows); i++) {
		assert_int_equal(pmz__sat_add(rows[i].a, rows[i].b),
		                 rows[i].sum);
		assert_int_equal(pmz__sat_sub(rows[i].a, rows[i].b),
		                 rows[i].difference);
	}
	assert_int_equal(pmz__min(1, UINT64_MAX), 1);
	assert_int_equal(pmz__min(UINT64_MAX, 1), 1);
	assert_int_equal(pmz__max(1, UINT64_MAX), UINT64_MAX);
	assert_int_equal(pmz__max(UINT64_MAX, 1), UINT64_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_product_has_all_its_128_bits),
		cmocka_unit_test(a_quotient_and_its_rest_are_exact),
		cmocka_unit_test(
			a_scaled_number_is_rounded_as_asked_and_saturates),
		cmocka_unit_test(sums_and_differences_stop_at_the_ends),
	};

	return cmocka_run_group_tests_name("wide", tests, NULL, NULL);
}
