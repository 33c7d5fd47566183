/*
 * base.c - statuses, versions, structs that grow, memory, and random numbers.
 */
#include "expect.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pipemaze/version.h>

#include "base/alloc.h"
#include "base/config.h"
#include "base/random.h"

static void a_status_has_the_name_that_the_header_gives_it(void **state)
{
	static const struct {
		int status;
		const char *name, *text;
	} rows[] = {
#define ROW(name, value, text) { value, #name, text },
		PMZ_STATUS_MAP(ROW)
#undef ROW
	};
	size_t i;

	(void)state;
	for (i = 0; i < KIT_COUNT(rows); i++) {
		assert_string_equal(pmz_status_name(rows[i].status),
		                    rows[i].name);
		assert_string_equal(pmz_status_text(rows[i].status),
		                    rows[i].text);
	}
}

static void an_unknown_status_has_a_name_and_a_text_too(void **state)
{
	static const int unknown[] = { 63, 127, 128, -63, INT32_MAX,
		                       INT32_MIN };
	size_t i;

	(void)state;
	for (i = 0; i < KIT_COUNT(unknown); i++) {
		assert_true(strlen(pmz_status_name(unknown[i])) > 0);
		assert_true(strlen(pmz_status_text(unknown[i])) > 0);
	}
}

static void a_status_lies_in_the_range_of_its_kind(void **state)
{
	static const int refused[] = {
		PMZ_REFUSED_OPEN, PMZ_REFUSED_FULL, PMZ_REFUSED_RATE,
		PMZ_REFUSED_BUDGET, PMZ_REFUSED_HELD, PMZ_REFUSED_EMPTY
	};
	static const int ended[] = { PMZ_GAVE_UP, PMZ_TIMED_OUT,
		                     PMZ_CANCELLED, PMZ_ENDED };
	static const int wrong[] = { PMZ_E_CONFIG, PMZ_E_NOMEM,  PMZ_E_IO,
		                     PMZ_E_REPLY,  PMZ_E_LOST,   PMZ_E_STATE,
		                     PMZ_E_QUORUM, PMZ_E_DENIED, PMZ_E_ABSENT };
	size_t i;

	(void)state;
	assert_int_equal(PMZ_OK, 0);
	for (i = 0; i < KIT_COUNT(refused); i++)
		assert_in_range(refused[i], 1, 63);
	for (i = 0; i < KIT_COUNT(ended); i++)
		assert_in_range(ended[i], 64, 127);
	for (i = 0; i < KIT_COUNT(wrong); i++)
		assert_true(wrong[i] < 0);
}

static void the_library_is_the_version_of_its_header(void **state)
{
	char text[32];

	(void)state;
	snprintf(text, sizeof(text), "%d.%d.%d", PMZ_VERSION_MAJOR,
	         PMZ_VERSION_MINOR, PMZ_VERSION_PATCH);
	assert_string_equal(pmz_version(), PMZ_VERSION);
	assert_string_equal(pmz_version(), text);
	assert_int_equal(pmz_version_number(), PMZ_VERSION_MAJOR << 16 |
	                                               PMZ_VERSION_MINOR << 8 |
	                                               PMZ_VERSION_PATCH);
}

static void spans_are_nanoseconds_of_64_bits(void **state)
{
	(void)state;
	assert_int_equal(PMZ_US(1), 1000);
	assert_int_equal(PMZ_MS(1), 1000000);
	assert_int_equal(PMZ_S(1), 1000000000);
	assert_int_equal(PMZ_S(3600 * 24 * 365), 31536000000000000);
}

/* A struct as an older, this, and a newer header have it. */
struct old {
	uint32_t size, a;
};

struct known {
	uint32_t size, a;
	uint64_t b;
};

struct newer {
	struct known known;
	uint64_t c;
};

static void expect_bad_size(const void *config)
{
	struct known k;
	pmz_why why;

	memset(&why, 'x', sizeof(why));
	expect_status(pmz__config_read(&k, sizeof(k), config, &why),
	              PMZ_E_CONFIG);
	assert_string_equal(why.field, "size");
	assert_true(strlen(why.text) > 0);
	assert_int_equal(why.ready_at, 0);
	assert_int_equal(why.column, 0);
	assert_int_equal(why.index, 0);
	expect_status(pmz__config_read(&k, sizeof(k), config, NULL),
	              PMZ_E_CONFIG);
}

static void no_config_is_all_defaults(void **state)
{
	struct known k = { 1, 2, 3 };

	(void)state;
	expect_status(pmz__config_read(&k, sizeof(k), NULL, NULL), PMZ_OK);
	assert_int_equal(k.a, 0);
	assert_int_equal(k.b, 0);
}

static void a_config_of_this_header_is_copied(void **state)
{
	struct known mine = { sizeof(mine), 2, 3 }, k = { 0, 0, 0 };

	(void)state;
	expect_status(pmz__config_read(&k, sizeof(k), &mine, NULL), PMZ_OK);
	assert_memory_equal(&k, &mine, sizeof(k));
}

static void a_config_of_an_older_header_leaves_defaults_behind_it(void **state)
{
	struct old mine = { sizeof(mine), 2 };
	struct known k = { 9, 9, 9 };

	(void)state;
	expect_status(pmz__config_read(&k, sizeof(k), &mine, NULL), PMZ_OK);
	assert_int_equal(k.a, 2);
	assert_int_equal(k.b, 0);
}

static void a_config_of_a_newer_header_asks_for_nothing_unknown(void **state)
{
	struct newer mine = { { sizeof(mine), 2, 3 }, 0 };
	struct known k = { 0, 0, 0 };

	(void)state;
	expect_status(pmz__config_read(&k, sizeof(k), &mine, NULL), PMZ_OK);
	assert_int_equal(k.a, 2);
	assert_int_equal(k.b, 3);
	mine.c = 1;
	expect_bad_size(&mine);
	mine.c = (uint64_t)1 << 63;
	expect_bad_size(&mine);
}

static void a_config_says_its_size(void **state)
{
	struct known mine = { 0, 2, 3 };

	(void)state;
	for (mine.size = 0; mine.size < 8; mine.size++)
		expect_bad_size(&mine);
	mine.size = 8;
	expect_status(pmz__config_read(&(struct known){ 0, 0, 0 },
	                               sizeof(mine), &mine, NULL),
	              PMZ_OK);
}

static void a_reason_is_cut_to_fit_and_ends(void **state)
{
	pmz_why why;
	char longer[400];

	(void)state;
	memset(longer, 'l', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = 0;
	expect_status(pmz__bad(&why, longer, "%s", longer), PMZ_E_CONFIG);
	assert_int_equal(strlen(why.field), sizeof(why.field) - 1);
	assert_int_equal(strlen(why.text), sizeof(why.text) - 1);
	expect_status(pmz__why(&why, PMZ_E_NOMEM), PMZ_E_NOMEM);
	assert_string_equal(why.text, pmz_status_text(PMZ_E_NOMEM));
	expect_status(pmz__why(NULL, PMZ_E_NOMEM), PMZ_E_NOMEM);
}

static void stats_go_out_as_far_as_the_callers_struct(void **state)
{
	const struct known mine = { 99, 2, 3 };
	struct old old = { sizeof(old), 0 };
	struct newer newer = { { sizeof(newer), 0, 0 }, 7 };

	(void)state;
	expect_status(pmz__stats_write(&old, &mine, sizeof(mine)), PMZ_OK);
	assert_int_equal(old.size, sizeof(old));
	assert_int_equal(old.a, 2);
	expect_status(pmz__stats_write(&newer, &mine, sizeof(mine)), PMZ_OK);
	assert_int_equal(newer.known.size, sizeof(newer));
	assert_int_equal(newer.known.a, 2);
	assert_int_equal(newer.known.b, 3);
	/* What this library does not count is not left undefined. */
	assert_int_equal(newer.c, 0);
}

static void stats_too_small_for_anything_are_refused(void **state)
{
	const struct known mine = { 99, 2, 3 };
	struct known out = { 0, 8, 9 };

	(void)state;
	for (out.size = 0; out.size < 8; out.size++)
		expect_status(pmz__stats_write(&out, &mine, sizeof(mine)),
		              PMZ_E_CONFIG);
	assert_int_equal(out.a, 8);
	assert_int_equal(out.b, 9);
}

static void memory_is_zero_and_starts_at_a_cache_line(void **state)
{
	static const size_t sizes[] = { 1, 63, 64, 65, 4096 };
	size_t i, byte;

	(void)state;
	for (i = 0; i < KIT_COUNT(sizes); i++) {
		unsigned char *m = pmz__alloc(sizes[i]);

		assert_non_null(m);
		assert_int_equal((uintptr_t)m % 64, 0);
		for (byte = 0; byte < sizes[i]; byte++)
			assert_int_equal(m[byte], 0);
		/* What comes back from free() is not zero by chance. */
		memset(m, 0xff, sizes[i]);
		pmz__free(m);
	}
	pmz__free(NULL);
}

/* In the place of the C library's, to be out of memory at will. */
static int out_of_memory;

void *aligned_alloc(size_t alignment, size_t size)
{
	void *memory;

	if (out_of_memory || posix_memalign(&memory, alignment, size))
		return NULL;
	return memory;
}

static void no_memory_is_null(void **state)
{
	(void)state;
	out_of_memory = 1;
	assert_null(pmz__alloc(1));
	out_of_memory = 0;
}

static void a_size_that_would_wrap_gets_no_memory(void **state)
{
	(void)state;
	assert_null(pmz__alloc(SIZE_MAX));
	assert_null(pmz__alloc(SIZE_MAX - 63));
}

/* The first draws of SplitMix64 from 1234567, as Java's SplittableRandom and
 * Vigna's splitmix64.c give them. */
static void draws_are_those_of_splitmix64(void **state)
{
	static const uint64_t want[] = {
		6457827717110365317u, 3203168211198807973u,
		9817491932198370423u, 4593380528125082431u,
		16408922859458223821u
	};
	uint64_t seed = 1234567;
	size_t i;

	(void)state;
	for (i = 0; i < KIT_COUNT(want); i++)
		assert_int_equal(pmz__draw(&seed), want[i]);
}

static void
a_draw_between_two_bounds_reaches_both_and_stays_inside(void **state)
{
	(void)state;
	assert_int_equal(pmz__between(0, 5, 9), 5);
	assert_int_equal(pmz__between(UINT64_MAX, 5, 9), 9);
	assert_int_equal(pmz__between(UINT64_MAX / 2, 5, 9), 7);
	assert_int_equal(pmz__between(12345, 7, 7), 7);
	assert_int_equal(pmz__between(0, 0, UINT64_MAX), 0);
	assert_int_equal(pmz__between(UINT64_MAX, 0, UINT64_MAX), UINT64_MAX);
	assert_int_equal(pmz__between(UINT64_MAX, 1, UINT64_MAX), UINT64_MAX);
	assert_int_equal(pmz__between(0, 1, UINT64_MAX), 1);
}

static void a_draw_between_two_bounds_is_even(void **state)
{
	enum { DRAWS = 100000, SIDES = 10 };
	unsigned seen[SIDES] = { 0 };
	uint64_t seed = 1;
	int i;

	(void)state;
	for (i = 0; i < DRAWS; i++)
		seen[pmz__between(pmz__draw(&seed), 0, SIDES - 1)]++;
	/* A side's share has a standard deviation of 95. */
	for (i = 0; i < SIDES; i++)
		assert_in_range(seen[i], 9500, 10500);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			a_status_has_the_name_that_the_header_gives_it),
		cmocka_unit_test(an_unknown_status_has_a_name_and_a_text_too),
		cmocka_unit_test(a_status_lies_in_the_range_of_its_kind),
		cmocka_unit_test(the_library_is_the_version_of_its_header),
		cmocka_unit_test(spans_are_nanoseconds_of_64_bits),
		cmocka_unit_test(no_config_is_all_defaults),
		cmocka_unit_test(a_config_of_this_header_is_copied),
		cmocka_unit_test(
			a_config_of_an_older_header_leaves_defaults_behind_it),
		cmocka_unit_test(
			a_config_of_a_newer_header_asks_for_nothing_unknown),
		cmocka_unit_test(a_config_says_its_size),
		cmocka_unit_test(a_reason_is_cut_to_fit_and_ends),
		cmocka_unit_test(stats_go_out_as_far_as_the_callers_struct),
		cmocka_unit_test(stats_too_small_for_anything_are_refused),
		cmocka_unit_test(memory_is_zero_and_starts_at_a_cache_line),
		cmocka_unit_test(no_memory_is_null),
		cmocka_unit_test(a_size_that_would_wrap_gets_no_memory),
		cmocka_unit_test(draws_are_those_of_splitmix64),
		cmocka_unit_test(
			a_draw_between_two_bounds_reaches_both_and_stays_inside),
		cmocka_unit_test(a_draw_between_two_bounds_is_even),
	};

	return cmocka_run_group_tests_name("base", tests, NULL, NULL);
}
