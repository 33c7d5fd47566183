/*
 * bulkhead.c - so many calls at once and no more, call by call.
 */
#include "expect.h"

#include <stdlib.h>
#include <string.h>

#include <pipemaze/bulkhead.h>

#define NOW PMZ_S(1)
#define LIMIT_MAX 8388607u

static pmz_bulkhead_config limit_of(uint32_t limit)
{
	pmz_bulkhead_config cfg = { sizeof(cfg), limit };

	return cfg;
}

static pmz_bulkhead *bulkhead_of(uint32_t limit)
{
	pmz_bulkhead_config cfg = limit_of(limit);
	pmz_bulkhead *h = NULL;

	expect_status(pmz_bulkhead_new(&h, &cfg, NULL), PMZ_OK);
	assert_non_null(h);
	return h;
}

static pmz_bulkhead_stats stats_of(const pmz_bulkhead *h)
{
	pmz_bulkhead_stats s;

	memset(&s, 0, sizeof(s));
	s.size = sizeof(s);
	expect_status(pmz_bulkhead_read(h, &s), PMZ_OK);
	return s;
}

static pmz_permit enter(pmz_bulkhead *h)
{
	pmz_permit p;

	expect_status(pmz_bulkhead_acquire(h, NOW, &p), PMZ_OK);
	return p;
}

static void expect_full(pmz_bulkhead *h)
{
	pmz_permit p;

	expect_status(pmz_bulkhead_acquire(h, NOW, &p), PMZ_REFUSED_FULL);
}

static void leave(pmz_bulkhead *h, pmz_permit *p)
{
	expect_status(pmz_bulkhead_settle(h, p, PMZ_SUCCESS, NOW), PMZ_OK);
}

static void expect_nothing_to_settle(pmz_bulkhead *h, pmz_permit *p)
{
	expect_status(pmz_bulkhead_settle(h, p, PMZ_SUCCESS, NOW),
	              PMZ_E_STATE);
}

/* Enters until refused; how many that were. */
static uint32_t fill(pmz_bulkhead *h)
{
	uint32_t n = 0;
	pmz_permit p;

	while (pmz_bulkhead_acquire(h, NOW, &p) == PMZ_OK)
		n++;
	return n;
}

static void it_lets_in_as_many_as_its_limit(void **state)
{
	static const uint32_t limits[] = { 1, 2, 64, 1000 };
	size_t i;

	(void)state;
	for (i = 0; i < KIT_COUNT(limits); i++) {
		pmz_bulkhead *h = bulkhead_of(limits[i]);

		assert_int_equal(fill(h), limits[i]);
		assert_int_equal(stats_of(h).in_use, limits[i]);
		assert_int_equal(stats_of(h).limit, limits[i]);
		pmz_bulkhead_free(h);
	}
}

static void the_default_limit_is_64(void **state)
{
	pmz_bulkhead_config zero = limit_of(0);
	pmz_bulkhead *h;

	(void)state;
	expect_status(pmz_bulkhead_new(&h, NULL, NULL), PMZ_OK);
	assert_int_equal(fill(h), 64);
	pmz_bulkhead_free(h);
	expect_status(pmz_bulkhead_new(&h, &zero, NULL), PMZ_OK);
	assert_int_equal(fill(h), 64);
	pmz_bulkhead_free(h);
}

static void one_that_leaves_makes_room_for_one(void **state)
{
	pmz_bulkhead *h = bulkhead_of(2);
	pmz_permit a = enter(h), b = enter(h);

	(void)state;
	expect_full(h);
	leave(h, &a);
	a = enter(h);
	expect_full(h);
	leave(h, &b);
	leave(h, &a);
	assert_int_equal(stats_of(h).in_use, 0);
	pmz_bulkhead_free(h);
}

static void any_outcome_gives_the_slot_back(void **state)
{
	static const pmz_outcome hows[] = { PMZ_SUCCESS, PMZ_FAILURE,
		                            PMZ_IGNORE, PMZ_AGAIN, PMZ_FATAL };
	pmz_bulkhead *h = bulkhead_of(1);
	size_t i;

	(void)state;
	for (i = 0; i < KIT_COUNT(hows); i++) {
		pmz_permit p = enter(h);

		expect_status(pmz_bulkhead_settle(h, &p, hows[i], NOW),
		              PMZ_OK);
		assert_int_equal(stats_of(h).in_use, 0);
	}
	pmz_bulkhead_free(h);
}

static void time_decides_nothing(void **state)
{
	pmz_bulkhead *h = bulkhead_of(1);
	pmz_permit p;

	(void)state;
	expect_status(pmz_bulkhead_acquire(h, PMZ_NEVER, &p), PMZ_OK);
	expect_status(pmz_bulkhead_settle(h, &p, PMZ_SUCCESS, 0), PMZ_OK);
	pmz_bulkhead_free(h);
}

static void settling_empties_the_permit(void **state)
{
	static const pmz_permit empty = { { 0, 0 } };
	pmz_bulkhead *h = bulkhead_of(1);
	pmz_permit p = enter(h);

	(void)state;
	assert_memory_not_equal(&p, &empty, sizeof(p));
	leave(h, &p);
	assert_memory_equal(&p, &empty, sizeof(p));
	pmz_bulkhead_free(h);
}

static void settling_twice_frees_one_slot(void **state)
{
	pmz_bulkhead *h = bulkhead_of(2);
	pmz_permit a = enter(h), b = enter(h);

	(void)state;
	leave(h, &a);
	expect_nothing_to_settle(h, &a);
	assert_int_equal(stats_of(h).in_use, 1);
	assert_int_equal(stats_of(h).over_releases, 1);
	leave(h, &b);
	pmz_bulkhead_free(h);
}

static void over_releasing_does_not_raise_the_limit(void **state)
{
	pmz_bulkhead *h = bulkhead_of(3);
	pmz_permit p = enter(h);
	pmz_permit copy = p;
	int i;

	(void)state;
	leave(h, &p);
	expect_nothing_to_settle(h, &copy);
	for (i = 0; i < 10; i++) {
		pmz_permit none = { { 0, 0 } };

		expect_nothing_to_settle(h, &none);
	}
	assert_int_equal(stats_of(h).in_use, 0);
	assert_int_equal(stats_of(h).over_releases, 11);
	assert_int_equal(fill(h), 3);
	pmz_bulkhead_free(h);
}

static void a_refused_permit_has_nothing_to_give_back(void **state)
{
	pmz_bulkhead *h = bulkhead_of(1);
	pmz_permit first = enter(h), refused = first;

	(void)state;
	expect_status(pmz_bulkhead_acquire(h, NOW, &refused),
	              PMZ_REFUSED_FULL);
	expect_nothing_to_settle(h, &refused);
	expect_full(h);
	leave(h, &first);
	pmz_bulkhead_free(h);
}

static void a_permit_from_before_a_reset_is_void(void **state)
{
	pmz_bulkhead *h = bulkhead_of(2);
	pmz_permit before = enter(h), after;

	(void)state;
	pmz_bulkhead_reset(h);
	assert_int_equal(stats_of(h).in_use, 0);
	after = enter(h);
	expect_nothing_to_settle(h, &before);
	assert_int_equal(stats_of(h).in_use, 1);
	assert_int_equal(stats_of(h).over_releases, 1);
	leave(h, &after);
	pmz_bulkhead_free(h);
}

static void a_permit_stays_void_for_many_resets(void **state)
{
	pmz_bulkhead *h = bulkhead_of(2);
	pmz_permit before = enter(h);
	int i;

	(void)state;
	pmz_bulkhead_reset(h);
	for (i = 0; i < 70000; i++) {
		pmz_permit copy = before, now = enter(h);

		expect_nothing_to_settle(h, &copy);
		leave(h, &now);
		pmz_bulkhead_reset(h);
	}
	enter(h);
	expect_nothing_to_settle(h, &before);
	assert_int_equal(stats_of(h).in_use, 1);
	pmz_bulkhead_free(h);
}

static void a_reset_makes_room_for_all(void **state)
{
	pmz_bulkhead *h = bulkhead_of(5);

	(void)state;
	assert_int_equal(fill(h), 5);
	pmz_bulkhead_reset(h);
	assert_int_equal(fill(h), 5);
	assert_int_equal(stats_of(h).limit, 5);
	pmz_bulkhead_free(h);
}

static void a_reset_keeps_the_limit_that_was_set_last(void **state)
{
	pmz_bulkhead *h = bulkhead_of(5);

	(void)state;
	expect_status(pmz_bulkhead_resize(h, 2), PMZ_OK);
	pmz_bulkhead_reset(h);
	assert_int_equal(fill(h), 2);
	pmz_bulkhead_free(h);
}

static void a_bigger_limit_lets_more_in_at_once(void **state)
{
	pmz_bulkhead *h = bulkhead_of(2);

	(void)state;
	assert_int_equal(fill(h), 2);
	expect_status(pmz_bulkhead_resize(h, 5), PMZ_OK);
	assert_int_equal(stats_of(h).limit, 5);
	assert_int_equal(fill(h), 3);
	pmz_bulkhead_free(h);
}

static void after_a_shrink_nothing_enters_until_enough_have_left(void **state)
{
	pmz_bulkhead *h = bulkhead_of(4);
	pmz_permit p[4];
	int i;

	(void)state;
	for (i = 0; i < 4; i++)
		p[i] = enter(h);
	expect_status(pmz_bulkhead_resize(h, 2), PMZ_OK);
	leave(h, &p[0]);
	expect_full(h);
	leave(h, &p[1]);
	expect_full(h);
	leave(h, &p[2]);
	p[2] = enter(h);
	expect_full(h);
	leave(h, &p[2]);
	leave(h, &p[3]);
	assert_int_equal(fill(h), 2);
	pmz_bulkhead_free(h);
}

static void a_limit_of_0_lets_nobody_in_until_it_grows(void **state)
{
	pmz_bulkhead *h = bulkhead_of(2);
	pmz_permit p = enter(h);

	(void)state;
	expect_status(pmz_bulkhead_resize(h, 0), PMZ_OK);
	assert_int_equal(stats_of(h).limit, 0);
	expect_full(h);
	leave(h, &p);
	expect_full(h);
	expect_status(pmz_bulkhead_resize(h, 1), PMZ_OK);
	assert_int_equal(fill(h), 1);
	pmz_bulkhead_free(h);
}

static void a_limit_has_its_maximum(void **state)
{
	pmz_bulkhead_config over = limit_of(LIMIT_MAX + 1);
	pmz_bulkhead *h = bulkhead_of(LIMIT_MAX);
	pmz_bulkhead *none = NULL;
	pmz_why why;

	(void)state;
	assert_int_equal(stats_of(h).limit, LIMIT_MAX);
	expect_status(pmz_bulkhead_resize(h, LIMIT_MAX + 1), PMZ_E_CONFIG);
	expect_status(pmz_bulkhead_resize(h, PMZ_OFF), PMZ_E_CONFIG);
	assert_int_equal(stats_of(h).limit, LIMIT_MAX);
	expect_status(pmz_bulkhead_resize(h, LIMIT_MAX), PMZ_OK);
	pmz_bulkhead_free(h);
	expect_status(pmz_bulkhead_new(&none, &over, &why), PMZ_E_CONFIG);
	assert_string_equal(why.field, "limit");
	assert_null(none);
	expect_status(pmz_bulkhead_new(&none, &over, NULL), PMZ_E_CONFIG);
}

static void the_highest_limit_is_reached_and_not_passed(void **state)
{
	pmz_bulkhead *h = bulkhead_of(LIMIT_MAX);
	pmz_permit last = { { 0, 0 } };
	uint32_t i;

	(void)state;
	for (i = 0; i < LIMIT_MAX; i++)
		if (pmz_bulkhead_acquire(h, NOW, &last) != PMZ_OK)
			break;
	assert_int_equal(i, LIMIT_MAX);
	expect_full(h);
	assert_int_equal(stats_of(h).in_use, LIMIT_MAX);
	leave(h, &last);
	assert_int_equal(fill(h), 1);
	pmz_bulkhead_free(h);
}

static void a_config_says_its_size(void **state)
{
	pmz_bulkhead_config cfg = limit_of(1);
	pmz_bulkhead *h = NULL;
	pmz_why why;

	(void)state;
	for (cfg.size = 0; cfg.size < 8; cfg.size++) {
		memset(&why, 'x', sizeof(why));
		expect_status(pmz_bulkhead_new(&h, &cfg, &why), PMZ_E_CONFIG);
		assert_string_equal(why.field, "size");
		assert_null(h);
	}
}

static void a_longer_config_asks_for_nothing_unknown(void **state)
{
	struct {
		pmz_bulkhead_config known;
		uint32_t tail[2];
	} cfg = { { sizeof(cfg), 3 }, { 0, 0 } };
	pmz_bulkhead *h = NULL;
	pmz_why why;

	(void)state;
	expect_status(pmz_bulkhead_new(&h, &cfg.known, NULL), PMZ_OK);
	assert_int_equal(fill(h), 3);
	pmz_bulkhead_free(h);
	h = NULL;
	cfg.tail[1] = 1;
	expect_status(pmz_bulkhead_new(&h, &cfg.known, &why), PMZ_E_CONFIG);
	assert_string_equal(why.field, "size");
	assert_null(h);
}

static void it_counts_what_it_admits_and_refuses(void **state)
{
	pmz_bulkhead *h = bulkhead_of(2);
	pmz_permit a = enter(h), b = enter(h);

	(void)state;
	expect_full(h);
	expect_full(h);
	expect_full(h);
	leave(h, &a);
	leave(h, &b);
	assert_int_equal(stats_of(h).admitted, 2);
	assert_int_equal(stats_of(h).refusals, 3);
	assert_int_equal(stats_of(h).over_releases, 0);
	pmz_bulkhead_free(h);
}

static void it_counts_more_than_its_word_can(void **state)
{
	pmz_bulkhead *h = bulkhead_of(1);
	unsigned i;

	(void)state;
	for (i = 1; i < 200000; i++) {
		pmz_permit p = enter(h);

		assert_int_equal(stats_of(h).admitted, i);
		assert_int_equal(stats_of(h).in_use, 1);
		leave(h, &p);
		if (i % 50000 == 0)
			pmz_bulkhead_reset(h);
	}
	pmz_bulkhead_free(h);
}

static void it_remembers_the_most_that_were_inside(void **state)
{
	pmz_bulkhead *h = bulkhead_of(9);
	pmz_permit p[3];
	int i;

	(void)state;
	assert_int_equal(stats_of(h).in_use_max, 0);
	for (i = 0; i < 3; i++)
		p[i] = enter(h);
	for (i = 0; i < 3; i++)
		leave(h, &p[i]);
	p[0] = enter(h);
	assert_int_equal(stats_of(h).in_use, 1);
	assert_int_equal(stats_of(h).in_use_max, 3);
	pmz_bulkhead_free(h);
}

static void stats_fill_a_struct_of_another_age(void **state)
{
	struct {
		pmz_bulkhead_stats known;
		uint64_t tail;
	} newer;
	pmz_bulkhead_stats older;
	pmz_bulkhead *h = bulkhead_of(7);

	(void)state;
	memset(&newer, 0, sizeof(newer));
	newer.known.size = sizeof(newer);
	expect_status(pmz_bulkhead_read(h, &newer.known), PMZ_OK);
	assert_int_equal(newer.known.limit, 7);
	assert_int_equal(newer.known.size, sizeof(newer));
	memset(&older, 0, sizeof(older));
	older.size = 2 * sizeof(uint32_t);
	older.limit = 1234;
	expect_status(pmz_bulkhead_read(h, &older), PMZ_OK);
	assert_int_equal(older.limit, 1234);
	older.size = 0;
	expect_status(pmz_bulkhead_read(h, &older), PMZ_E_CONFIG);
	pmz_bulkhead_free(h);
}

static void freeing_none_is_fine(void **state)
{
	(void)state;
	pmz_bulkhead_free(NULL);
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

static pmz_bulkhead *place(void *memory, uint32_t limit, int want)
{
	pmz_bulkhead_config cfg = limit_of(limit);
	pmz_bulkhead *h = NULL;

	expect_status(pmz_bulkhead_place(&h, memory,
	                                 pmz_bulkhead_size(&cfg), &cfg, NULL),
	              want);
	return h;
}

static void
a_placed_one_is_joined_by_who_comes_with_the_same_config(void **state)
{
	void *memory = zeroed(pmz_bulkhead_size(NULL));
	pmz_bulkhead *one = place(memory, 2, PMZ_OK), *other;
	pmz_permit p = enter(one);

	(void)state;
	other = place(memory, 2, PMZ_OK);
	assert_int_equal(stats_of(other).in_use, 1);
	assert_int_equal(fill(other), 1);
	expect_full(one);
	leave(other, &p);
	assert_int_equal(fill(one), 1);
	free(memory);
}

static void joining_does_not_undo_a_resize(void **state)
{
	void *memory = zeroed(pmz_bulkhead_size(NULL));
	pmz_bulkhead *one = place(memory, 2, PMZ_OK), *other;

	(void)state;
	expect_status(pmz_bulkhead_resize(one, 0), PMZ_OK);
	other = place(memory, 2, PMZ_OK);
	expect_full(other);
	expect_status(pmz_bulkhead_resize(one, 3), PMZ_OK);
	other = place(memory, 2, PMZ_OK);
	assert_int_equal(fill(other), 3);
	free(memory);
}

static void a_default_config_joins_one_that_spells_it_out(void **state)
{
	void *memory = zeroed(pmz_bulkhead_size(NULL));
	pmz_bulkhead *h;

	(void)state;
	place(memory, 64, PMZ_OK);
	expect_status(pmz_bulkhead_place(&h, memory, pmz_bulkhead_size(NULL),
	                                 NULL, NULL),
	              PMZ_OK);
	free(memory);
}

static void another_config_does_not_join(void **state)
{
	void *memory = zeroed(pmz_bulkhead_size(NULL));
	pmz_bulkhead *h = place(memory, 2, PMZ_OK);

	(void)state;
	assert_null(place(memory, 3, PMZ_E_STATE));
	assert_int_equal(fill(h), 2);
	free(memory);
}

static void memory_that_holds_something_else_is_left_alone(void **state)
{
	size_t size = pmz_bulkhead_size(NULL);
	unsigned char *memory = zeroed(size);
	size_t i;

	(void)state;
	memset(memory, 0xa5, size);
	assert_null(place(memory, 2, PMZ_E_STATE));
	for (i = 0; i < size; i++)
		assert_int_equal(memory[i], 0xa5);
	free(memory);
}

static void short_or_crooked_memory_is_refused(void **state)
{
	pmz_bulkhead_config cfg = limit_of(2);
	size_t size = pmz_bulkhead_size(&cfg);
	char *memory = zeroed(size + 64);
	pmz_bulkhead *h = NULL;
	pmz_why why;

	(void)state;
	expect_status(pmz_bulkhead_place(&h, memory, size - 1, &cfg, &why),
	              PMZ_E_CONFIG);
	assert_true(strlen(why.text) > 0);
	expect_status(pmz_bulkhead_place(&h, memory, 0, &cfg, NULL),
	              PMZ_E_CONFIG);
	expect_status(pmz_bulkhead_place(&h, memory + 1, size, &cfg, NULL),
	              PMZ_E_CONFIG);
	assert_null(h);
	expect_status(pmz_bulkhead_place(&h, memory, size, &cfg, NULL),
	              PMZ_OK);
	free(memory);
}

static void a_bad_config_has_no_place(void **state)
{
	void *memory = zeroed(pmz_bulkhead_size(NULL));
	pmz_bulkhead_config bad = limit_of(LIMIT_MAX + 1);
	pmz_bulkhead *h = NULL;
	pmz_why why;

	(void)state;
	expect_status(pmz_bulkhead_place(&h, memory, pmz_bulkhead_size(NULL),
	                                 &bad, &why),
	              PMZ_E_CONFIG);
	assert_string_equal(why.field, "limit");
	assert_non_null(place(memory, 2, PMZ_OK));
	free(memory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_lets_in_as_many_as_its_limit),
		cmocka_unit_test(the_default_limit_is_64),
		cmocka_unit_test(one_that_leaves_makes_room_for_one),
		cmocka_unit_test(any_outcome_gives_the_slot_back),
		cmocka_unit_test(time_decides_nothing),
		cmocka_unit_test(settling_empties_the_permit),
		cmocka_unit_test(settling_twice_frees_one_slot),
		cmocka_unit_test(over_releasing_does_not_raise_the_limit),
		cmocka_unit_test(a_refused_permit_has_nothing_to_give_back),
		cmocka_unit_test(a_permit_from_before_a_reset_is_void),
		cmocka_unit_test(a_permit_stays_void_for_many_resets),
		cmocka_unit_test(a_reset_makes_room_for_all),
		cmocka_unit_test(a_reset_keeps_the_limit_that_was_set_last),
		cmocka_unit_test(a_bigger_limit_lets_more_in_at_once),
		cmocka_unit_test(
			after_a_shrink_nothing_enters_until_enough_have_left),
		cmocka_unit_test(a_limit_of_0_lets_nobody_in_until_it_grows),
		cmocka_unit_test(a_limit_has_its_maximum),
		cmocka_unit_test(the_highest_limit_is_reached_and_not_passed),
		cmocka_unit_test(a_config_says_its_size),
		cmocka_unit_test(a_longer_config_asks_for_nothing_unknown),
		cmocka_unit_test(it_counts_what_it_admits_and_refuses),
		cmocka_unit_test(it_counts_more_than_its_word_can),
		cmocka_unit_test(it_remembers_the_most_that_were_inside),
		cmocka_unit_test(stats_fill_a_struct_of_another_age),
		cmocka_unit_test(freeing_none_is_fine),
		cmocka_unit_test(
			a_placed_one_is_joined_by_who_comes_with_the_same_config),
		cmocka_unit_test(joining_does_not_undo_a_resize),
		cmocka_unit_test(a_default_config_joins_one_that_spells_it_out),
		cmocka_unit_test(another_config_does_not_join),
		cmocka_unit_test(
			memory_that_holds_something_else_is_left_alone),
		cmocka_unit_test(short_or_crooked_memory_is_refused),
		cmocka_unit_test(a_bad_config_has_no_place),
	};

	return cmocka_run_group_tests_name("bulkhead", tests, NULL, NULL);
}
