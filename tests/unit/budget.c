/*
 * budget.c - retries as a share of the calls, one by one.
 */
#include "expect.h"

#include <stdlib.h>
#include <string.h>

#include <pipemaze/budget.h>

/* A whole second, and where one of the 10 buckets of the default ttl opens. */
#define NOW PMZ_S(1000)
#define TTL PMZ_S(10)

static pmz_budget_config config_of(uint32_t pct, uint32_t per_second)
{
	pmz_budget_config cfg;

	memset(&cfg, 0, sizeof(cfg));
	cfg.size = sizeof(cfg);
	cfg.retry_pct = pct;
	cfg.per_second_min = per_second;
	return cfg;
}

static pmz_budget *budget_of(uint32_t pct, uint32_t per_second)
{
	pmz_budget_config cfg = config_of(pct, per_second);
	pmz_budget *b = NULL;

	expect_status(pmz_budget_new(&b, &cfg, NULL), PMZ_OK);
	assert_non_null(b);
	return b;
}

/* 20 % of the calls and nothing else. */
static pmz_budget *a_fifth(void)
{
	return budget_of(20, PMZ_OFF);
}

static void deposit(pmz_budget *b, unsigned n, pmz_ns now)
{
	while (n--)
		pmz_budget_deposit(b, now);
}

/* Withdraws until refused; how often that was. */
static unsigned withdrawn(pmz_budget *b, pmz_ns now)
{
	unsigned n = 0;

	while (pmz_budget_withdraw(b, now) == PMZ_OK)
		n++;
	expect_status(pmz_budget_withdraw(b, now), PMZ_REFUSED_BUDGET);
	return n;
}

static void withdraw(pmz_budget *b, unsigned n, pmz_ns now)
{
	while (n--)
		expect_status(pmz_budget_withdraw(b, now), PMZ_OK);
}

static void a_share_is_rounded_down(void **state)
{
	static const struct {
		uint32_t pct;
		unsigned deposits, want;
	} rows[] = {
		{ 20, 0, 0 },    { 20, 1, 0 },   { 20, 4, 0 },
		{ 20, 5, 1 },    { 20, 9, 1 },   { 20, 10, 2 },
		{ 20, 100, 20 }, { 1, 99, 0 },   { 1, 100, 1 },
		{ 1, 199, 1 },   { 100, 1, 1 },  { 100, 7, 7 },
		{ 33, 3, 0 },    { 33, 4, 1 },   { 33, 100, 33 },
		{ 33, 1000, 330 }, { 99, 100, 99 }, { 7, 100000, 7000 },
	};
	size_t i;

	(void)state;
	for (i = 0; i < KIT_COUNT(rows); i++) {
		pmz_budget *b = budget_of(rows[i].pct, PMZ_OFF);
		unsigned n;

		deposit(b, rows[i].deposits, NOW);
		n = withdrawn(b, NOW);
		if (n != rows[i].want)
			fail_msg("row %zu: %u instead of %u", i, n,
			         rows[i].want);
		pmz_budget_free(b);
	}
}

static void a_deposit_that_completes_a_share_allows_one(void **state)
{
	pmz_budget *b = a_fifth();

	(void)state;
	deposit(b, 4, NOW);
	assert_int_equal(withdrawn(b, NOW), 0);
	deposit(b, 1, NOW);
	assert_int_equal(withdrawn(b, NOW), 1);
	deposit(b, 4, NOW);
	assert_int_equal(withdrawn(b, NOW), 0);
	deposit(b, 1, NOW);
	assert_int_equal(withdrawn(b, NOW), 1);
	pmz_budget_free(b);
}

static void the_default_is_20_percent_and_10_a_second(void **state)
{
	pmz_budget_config zero = config_of(0, 0);
	pmz_budget *b;

	(void)state;
	expect_status(pmz_budget_new(&b, NULL, NULL), PMZ_OK);
	assert_int_equal(withdrawn(b, NOW), 10);
	deposit(b, 100, NOW);
	assert_int_equal(withdrawn(b, NOW), 20);
	pmz_budget_free(b);
	expect_status(pmz_budget_new(&b, &zero, NULL), PMZ_OK);
	deposit(b, 100, NOW);
	assert_int_equal(withdrawn(b, NOW), 30);
	pmz_budget_free(b);
}

static void a_floor_is_there_anew_in_each_second(void **state)
{
	pmz_budget *b = budget_of(20, 3);

	(void)state;
	assert_int_equal(withdrawn(b, NOW), 3);
	assert_int_equal(withdrawn(b, NOW + PMZ_S(1) - 1), 0);
	assert_int_equal(withdrawn(b, NOW + PMZ_S(1)), 3);
	assert_int_equal(withdrawn(b, NOW + PMZ_S(5)), 3);
	pmz_budget_free(b);
}

static void a_floor_that_is_not_used_is_not_saved(void **state)
{
	pmz_budget *b = budget_of(20, 3);

	(void)state;
	withdraw(b, 1, NOW);
	assert_int_equal(withdrawn(b, NOW + PMZ_S(1)), 3);
	assert_int_equal(withdrawn(b, NOW + PMZ_S(100)), 3);
	pmz_budget_free(b);
}

static void the_floor_is_used_before_the_share(void **state)
{
	pmz_budget *b = budget_of(20, 3);

	(void)state;
	deposit(b, 10, NOW);
	withdraw(b, 3, NOW);
	/* The share of 2 is still there in the next second, with 3 more. */
	assert_int_equal(withdrawn(b, NOW + PMZ_S(1)), 5);
	pmz_budget_free(b);
}

static void what_is_off_gives_nothing(void **state)
{
	pmz_budget *no_share = budget_of(PMZ_OFF, 2);
	pmz_budget *no_floor = budget_of(100, PMZ_OFF);

	(void)state;
	deposit(no_share, 1000, NOW);
	assert_int_equal(withdrawn(no_share, NOW), 2);
	assert_int_equal(withdrawn(no_floor, NOW), 0);
	deposit(no_floor, 1, NOW);
	assert_int_equal(withdrawn(no_floor, NOW), 1);
	pmz_budget_free(no_share);
	pmz_budget_free(no_floor);
}

static void a_deposit_counts_for_its_ttl(void **state)
{
	static const struct {
		pmz_ns after;
		unsigned want;
	} rows[] = {
		{ 0, 20 },       { PMZ_S(5), 20 }, { TTL - 1, 20 },
		{ TTL, 0 },      { TTL + 1, 0 },   { 2 * TTL, 0 },
		{ 100 * TTL, 0 },
	};
	size_t i;

	(void)state;
	for (i = 0; i < KIT_COUNT(rows); i++) {
		pmz_budget *b = a_fifth();
		unsigned n;

		deposit(b, 100, NOW);
		n = withdrawn(b, NOW + rows[i].after);
		if (n != rows[i].want)
			fail_msg("row %zu: %u instead of %u", i, n,
			         rows[i].want);
		pmz_budget_free(b);
	}
}

static void a_deposit_within_a_bucket_goes_with_its_bucket(void **state)
{
	pmz_budget *b = a_fifth();
	pmz_ns last = NOW + PMZ_S(1) - 1;

	(void)state;
	deposit(b, 100, last);
	withdraw(b, 1, NOW + TTL - 1);
	assert_int_equal(withdrawn(b, NOW + TTL), 0);
	pmz_budget_free(b);
}

static void a_withdrawal_counts_for_its_ttl_too(void **state)
{
	pmz_budget *b = a_fifth();
	pmz_ns late = NOW + PMZ_S(9);

	(void)state;
	deposit(b, 100, NOW);
	assert_int_equal(withdrawn(b, late), 20);
	/* The first deposits are gone, what was withdrawn from them is not. */
	deposit(b, 150, NOW + TTL);
	assert_int_equal(withdrawn(b, NOW + TTL), 10);
	assert_int_equal(withdrawn(b, late + TTL - 1), 0);
	assert_int_equal(withdrawn(b, late + TTL), 20);
	pmz_budget_free(b);
}

static void deposits_of_each_bucket_leave_in_their_turn(void **state)
{
	pmz_budget *b = a_fifth();
	unsigned i;

	(void)state;
	for (i = 0; i < 10; i++)
		deposit(b, 50, NOW + i * PMZ_S(1));
	for (i = 0; i < 10; i++) {
		pmz_ns now = NOW + TTL + i * PMZ_S(1);
		unsigned left = 10 * (9 - i);

		/* All that is allowed, and given back. */
		assert_int_equal(withdrawn(b, now), left);
		while (left--)
			pmz_budget_refund(b);
	}
	pmz_budget_free(b);
}

static void a_shorter_ttl_forgets_sooner(void **state)
{
	pmz_budget_config cfg = config_of(20, PMZ_OFF);
	pmz_budget *b;

	(void)state;
	cfg.ttl_ns = PMZ_MS(100);
	expect_status(pmz_budget_new(&b, &cfg, NULL), PMZ_OK);
	deposit(b, 100, NOW);
	withdraw(b, 5, NOW + PMZ_MS(100) - 1);
	assert_int_equal(withdrawn(b, NOW + PMZ_MS(100)), 0);
	pmz_budget_free(b);
}

static void a_clock_that_steps_back_brings_no_floor_back(void **state)
{
	pmz_budget *b = budget_of(20, 3);
	int i;

	(void)state;
	assert_int_equal(withdrawn(b, NOW), 3);
	for (i = 0; i < 10; i++) {
		assert_int_equal(withdrawn(b, NOW - PMZ_S(1)), 0);
		assert_int_equal(withdrawn(b, NOW), 0);
		assert_int_equal(withdrawn(b, 0), 0);
	}
	assert_int_equal(withdrawn(b, NOW + PMZ_S(1)), 3);
	pmz_budget_free(b);
}

static void a_clock_that_steps_back_brings_no_deposit_back(void **state)
{
	pmz_budget *b = a_fifth();

	(void)state;
	deposit(b, 100, NOW);
	assert_int_equal(withdrawn(b, NOW + TTL), 0);
	assert_int_equal(withdrawn(b, NOW + PMZ_S(1)), 0);
	pmz_budget_free(b);
}

static void a_deposit_with_a_late_clock_is_not_older_than_the_last(void **state)
{
	pmz_budget *b = a_fifth();

	(void)state;
	deposit(b, 1, NOW + TTL);
	deposit(b, 99, NOW);
	assert_int_equal(withdrawn(b, NOW + TTL), 20);
	pmz_budget_free(b);
}

static void a_leap_over_ages_ends_and_forgets(void **state)
{
	static const pmz_ns leaps[] = { PMZ_S(86400) * 365, UINT64_MAX / 2,
		                        PMZ_NEVER - PMZ_S(1) };
	size_t i;

	(void)state;
	for (i = 0; i < KIT_COUNT(leaps); i++) {
		pmz_budget *b = a_fifth();

		deposit(b, 100, 0);
		withdraw(b, 1, 0);
		assert_int_equal(withdrawn(b, leaps[i]), 0);
		deposit(b, 10, leaps[i]);
		assert_int_equal(withdrawn(b, leaps[i]), 2);
		pmz_budget_free(b);
	}
}

static void the_end_of_time_is_a_time(void **state)
{
	pmz_budget *b = budget_of(20, 3);

	(void)state;
	deposit(b, 10, PMZ_NEVER);
	assert_int_equal(withdrawn(b, PMZ_NEVER), 5);
	assert_int_equal(withdrawn(b, PMZ_NEVER), 0);
	pmz_budget_free(b);
}

static void time_zero_is_a_time(void **state)
{
	pmz_budget *b = budget_of(20, 3);

	(void)state;
	deposit(b, 10, 0);
	assert_int_equal(withdrawn(b, 0), 5);
	assert_int_equal(withdrawn(b, PMZ_S(1)), 3);
	pmz_budget_free(b);
}

static void a_refund_allows_one_more(void **state)
{
	pmz_budget *share = a_fifth(), *floor = budget_of(PMZ_OFF, 3);

	(void)state;
	deposit(share, 10, NOW);
	assert_int_equal(withdrawn(share, NOW), 2);
	assert_int_equal(withdrawn(floor, NOW), 3);
	pmz_budget_refund(share);
	pmz_budget_refund(floor);
	assert_int_equal(withdrawn(share, NOW), 1);
	assert_int_equal(withdrawn(floor, NOW), 1);
	pmz_budget_free(share);
	pmz_budget_free(floor);
}

static void refunding_what_was_not_withdrawn_gives_nothing(void **state)
{
	pmz_budget *b = budget_of(20, 3);
	int i;

	(void)state;
	for (i = 0; i < 100; i++)
		pmz_budget_refund(b);
	deposit(b, 10, NOW);
	assert_int_equal(withdrawn(b, NOW), 5);
	for (i = 0; i < 100; i++)
		pmz_budget_refund(b);
	assert_int_equal(withdrawn(b, NOW), 5);
	pmz_budget_free(b);
}

static void a_refund_after_its_withdrawal_expired_gives_nothing(void **state)
{
	pmz_budget *b = a_fifth();

	(void)state;
	deposit(b, 100, NOW);
	withdraw(b, 20, NOW);
	deposit(b, 10, NOW + TTL);
	pmz_budget_refund(b);
	assert_int_equal(withdrawn(b, NOW + TTL), 2);
	pmz_budget_free(b);
}

static void a_refund_does_not_last_longer_than_its_deposit(void **state)
{
	pmz_budget *b = a_fifth();

	(void)state;
	deposit(b, 100, NOW);
	withdraw(b, 20, NOW);
	pmz_budget_refund(b);
	assert_int_equal(withdrawn(b, NOW + TTL), 0);
	pmz_budget_free(b);
}

/* The refund is younger than its withdrawal; when that has left the window, it
 * must not stand there alone. */
static void a_refund_in_a_later_bucket_makes_no_credit(void **state)
{
	pmz_budget *b = a_fifth();
	int i;

	(void)state;
	deposit(b, 100, NOW);
	withdraw(b, 20, NOW);
	deposit(b, 1, NOW + PMZ_S(5));
	for (i = 0; i < 20; i++)
		pmz_budget_refund(b);
	deposit(b, 99, NOW + TTL);
	assert_int_equal(withdrawn(b, NOW + TTL), 20);
	pmz_budget_free(b);
}

static void a_share_has_its_bounds(void **state)
{
	static const struct {
		uint32_t pct;
		int want;
	} rows[] = {
		{ 0, PMZ_OK },         { 1, PMZ_OK },
		{ 100, PMZ_OK },       { 101, PMZ_E_CONFIG },
		{ 1000, PMZ_E_CONFIG }, { PMZ_OFF - 1, PMZ_E_CONFIG },
		{ PMZ_OFF, PMZ_OK },
	};
	size_t i;

	(void)state;
	for (i = 0; i < KIT_COUNT(rows); i++) {
		pmz_budget_config cfg = config_of(rows[i].pct, 0);
		pmz_budget *b = NULL;
		pmz_why why;

		memset(&why, 0, sizeof(why));
		kit_expect_row(i, pmz_budget_new(&b, &cfg, &why), rows[i].want,
		               pmz_status_name);
		assert_string_equal(why.field, b ? "" : "retry_pct");
		pmz_budget_free(b);
	}
}

static void what_cannot_be_is_named(void **state)
{
	static const struct {
		pmz_budget_config cfg;
		const char *field;
	} rows[] = {
		{ { .ttl_ns = PMZ_MS(1) - 1 }, "ttl_ns" },
		{ { .reserved = 1 }, "reserved" },
	};
	size_t i;

	(void)state;
	for (i = 0; i < KIT_COUNT(rows); i++) {
		pmz_budget_config cfg = rows[i].cfg;
		pmz_budget *b = NULL;
		pmz_why why;

		cfg.size = sizeof(cfg);
		kit_expect_row(i, pmz_budget_new(&b, &cfg, &why), PMZ_E_CONFIG,
		               pmz_status_name);
		assert_string_equal(why.field, rows[i].field);
		assert_int_equal(pmz_budget_size(&cfg), 0);
		assert_null(b);
	}
}

static void a_config_says_its_size(void **state)
{
	pmz_budget_config cfg = config_of(20, 1);
	pmz_budget *b = NULL;
	pmz_why why;

	(void)state;
	for (cfg.size = 0; cfg.size < 8; cfg.size++) {
		memset(&why, 'x', sizeof(why));
		expect_status(pmz_budget_new(&b, &cfg, &why), PMZ_E_CONFIG);
		assert_string_equal(why.field, "size");
		assert_null(b);
	}
	expect_status(pmz_budget_new(&b, &cfg, NULL), PMZ_OK);
	pmz_budget_free(b);
}

static void a_longer_config_asks_for_nothing_unknown(void **state)
{
	struct {
		pmz_budget_config known;
		uint64_t tail;
	} cfg = { config_of(20, 3), 0 };
	pmz_budget *b = NULL;
	pmz_why why;

	(void)state;
	cfg.known.size = sizeof(cfg);
	expect_status(pmz_budget_new(&b, &cfg.known, NULL), PMZ_OK);
	assert_int_equal(withdrawn(b, NOW), 3);
	pmz_budget_free(b);
	b = NULL;
	cfg.tail = 1;
	expect_status(pmz_budget_new(&b, &cfg.known, &why), PMZ_E_CONFIG);
	assert_string_equal(why.field, "size");
	assert_null(b);
}

static void freeing_none_is_fine(void **state)
{
	(void)state;
	pmz_budget_free(NULL);
}

/* Zeroed, as mmap() gives it. */
static void *zeroed(size_t size)
{
	size_t whole = (size + 63) / 64 * 64;
	void *memory = aligned_alloc(64, whole);

	assert_non_null(memory);
	memset(memory, 0, whole);
	return memory;
}

static pmz_budget *place(void *memory, uint32_t pct, uint32_t per_second,
                         int want)
{
	pmz_budget_config cfg = config_of(pct, per_second);
	pmz_budget *b = NULL;

	expect_status(pmz_budget_place(&b, memory, pmz_budget_size(&cfg), &cfg,
	                               NULL),
	              want);
	return b;
}

static void
a_placed_one_is_joined_by_who_comes_with_the_same_config(void **state)
{
	void *memory = zeroed(pmz_budget_size(NULL));
	pmz_budget *one = place(memory, 20, 3, PMZ_OK), *other;

	(void)state;
	deposit(one, 10, NOW);
	withdraw(one, 4, NOW);
	other = place(memory, 20, 3, PMZ_OK);
	assert_int_equal(withdrawn(other, NOW), 1);
	assert_int_equal(withdrawn(one, NOW), 0);
	pmz_budget_refund(other);
	assert_int_equal(withdrawn(one, NOW), 1);
	free(memory);
}

static void a_default_config_joins_one_that_spells_it_out(void **state)
{
	void *memory = zeroed(pmz_budget_size(NULL));
	pmz_budget_config cfg = config_of(20, 10);
	pmz_budget *b = NULL;

	(void)state;
	place(memory, 0, 0, PMZ_OK);
	cfg.ttl_ns = TTL;
	expect_status(pmz_budget_place(&b, memory, pmz_budget_size(&cfg), &cfg,
	                               NULL),
	              PMZ_OK);
	free(memory);
}

static void another_config_does_not_join(void **state)
{
	void *memory = zeroed(pmz_budget_size(NULL));

	(void)state;
	place(memory, 20, 3, PMZ_OK);
	assert_null(place(memory, 21, 3, PMZ_E_STATE));
	assert_null(place(memory, 20, 4, PMZ_E_STATE));
	assert_null(place(memory, 20, PMZ_OFF, PMZ_E_STATE));
	free(memory);
}

static void memory_that_holds_something_else_is_left_alone(void **state)
{
	size_t size = pmz_budget_size(NULL), i;
	unsigned char *memory = zeroed(size);

	(void)state;
	memset(memory, 0xa5, size);
	assert_null(place(memory, 20, 3, PMZ_E_STATE));
	for (i = 0; i < size; i++)
		assert_int_equal(memory[i], 0xa5);
	free(memory);
}

static void short_or_crooked_memory_is_refused(void **state)
{
	size_t size = pmz_budget_size(NULL);
	char *memory = zeroed(size + 64);
	pmz_budget *b = NULL;
	pmz_why why;

	(void)state;
	expect_status(pmz_budget_place(&b, memory, size - 1, NULL, &why),
	              PMZ_E_CONFIG);
	assert_true(strlen(why.text) > 0);
	expect_status(pmz_budget_place(&b, memory, 0, NULL, NULL),
	              PMZ_E_CONFIG);
	expect_status(pmz_budget_place(&b, memory + 1, size, NULL, NULL),
	              PMZ_E_CONFIG);
	assert_null(b);
	expect_status(pmz_budget_place(&b, memory, size, NULL, NULL), PMZ_OK);
	free(memory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_share_is_rounded_down),
		cmocka_unit_test(a_deposit_that_completes_a_share_allows_one),
		cmocka_unit_test(the_default_is_20_percent_and_10_a_second),
		cmocka_unit_test(a_floor_is_there_anew_in_each_second),
		cmocka_unit_test(a_floor_that_is_not_used_is_not_saved),
		cmocka_unit_test(the_floor_is_used_before_the_share),
		cmocka_unit_test(what_is_off_gives_nothing),
		cmocka_unit_test(a_deposit_counts_for_its_ttl),
		cmocka_unit_test(
			a_deposit_within_a_bucket_goes_with_its_bucket),
		cmocka_unit_test(a_withdrawal_counts_for_its_ttl_too),
		cmocka_unit_test(deposits_of_each_bucket_leave_in_their_turn),
		cmocka_unit_test(a_shorter_ttl_forgets_sooner),
		cmocka_unit_test(a_clock_that_steps_back_brings_no_floor_back),
		cmocka_unit_test(
			a_clock_that_steps_back_brings_no_deposit_back),
		cmocka_unit_test(
			a_deposit_with_a_late_clock_is_not_older_than_the_last),
		cmocka_unit_test(a_leap_over_ages_ends_and_forgets),
		cmocka_unit_test(the_end_of_time_is_a_time),
		cmocka_unit_test(time_zero_is_a_time),
		cmocka_unit_test(a_refund_allows_one_more),
		cmocka_unit_test(
			refunding_what_was_not_withdrawn_gives_nothing),
		cmocka_unit_test(
			a_refund_after_its_withdrawal_expired_gives_nothing),
		cmocka_unit_test(
			a_refund_does_not_last_longer_than_its_deposit),
		cmocka_unit_test(a_refund_in_a_later_bucket_makes_no_credit),
		cmocka_unit_test(a_share_has_its_bounds),
		cmocka_unit_test(what_cannot_be_is_named),
		cmocka_unit_test(a_config_says_its_size),
		cmocka_unit_test(a_longer_config_asks_for_nothing_unknown),
		cmocka_unit_test(freeing_none_is_fine),
		cmocka_unit_test(
			a_placed_one_is_joined_by_who_comes_with_the_same_config),
		cmocka_unit_test(a_default_config_joins_one_that_spells_it_out),
		cmocka_unit_test(another_config_does_not_join),
		cmocka_unit_test(
			memory_that_holds_something_else_is_left_alone),
		cmocka_unit_test(short_or_crooked_memory_is_refused),
	};

	return cmocka_run_group_tests_name("budget", tests, NULL, NULL);
}
