/*
 * balance_between.c - what one thread does to a balancer between any two
 * instructions of another.
 */
#include <pipemaze/balance.h>

#include <stdio.h>
#include <string.h>

#include "between.h"
#include "expect.h"

#define BOOT PMZ_S(1000)
#define CALM (BOOT + PMZ_MS(2)) /* when a pick may look at nobody's health */
#define MANY 64

static struct bench {
	pmz_balance *b;
	pmz_pick mine, its;
	int my_status, its_status;
} t;

struct meeting {
	void (*set_up)(void);
	between_work mine; /* is stopped */
	between_work its;  /* is done meanwhile */
	int (*holds)(void);
};

static void clean_up(void)
{
	pmz_balance_free(t.b);
	memset(&t, 0, sizeof(t));
}

/* A stop costs as much as a signal: of longer work only so many places are
 * tried, from its start to its end. */
#define PLACES_MAX 150
#define LONG 2000
#define LONG_PLACES_MAX 40

static unsigned stride_of(const struct meeting *m)
{
	unsigned length;

	m->set_up();
	length = between_length(m->mine, NULL);
	clean_up();
	assert_true(length > 10 || !between_works());
	return length / (length < LONG ? PLACES_MAX : LONG_PLACES_MAX) + 1;
}

static void meet(const struct meeting *m)
{
	unsigned n, stride = stride_of(m);
	int met = 1;

	for (n = 0; met; n += stride) {
		m->set_up();
		met = between(n, m->mine, m->its, NULL);
		if (!met)
			m->its(NULL);
		if (!m->holds())
			fail_msg("not after %u instructions: %s and %s", n,
			         pmz_status_name(t.my_status),
			         pmz_status_name(t.its_status));
		clean_up();
	}
}

static pmz_balance_config config_of(pmz_strategy strategy)
{
	pmz_balance_config c = { .size = sizeof(c), .seed = 1 };

	c.endpoints_max = 4;
	c.strategy = strategy;
	return c;
}

static void add(const char *name)
{
	expect_status(pmz_balance_add(t.b, name, 1, BOOT, NULL), PMZ_OK);
}

static void start(const pmz_balance_config *config, int count)
{
	static const char *const names[] = { "a", "b", "c", "d" };
	int i;

	expect_status(pmz_balance_new(&t.b, config, NULL), PMZ_OK);
	for (i = 0; i < count; i++)
		add(names[i]);
}

static pmz_endpoint_stats stats_of(uint32_t endpoint)
{
	pmz_endpoint_stats s = { .size = sizeof(s) };

	if (pmz_balance_read(t.b, endpoint, BOOT, &s))
		memset(&s, 0, sizeof(s));
	return s;
}

static uint32_t ejected(void)
{
	uint32_t count = 0, i;

	for (i = 0; i < 4; i++)
		count += stats_of(i).ejected_until != 0;
	return count;
}

/* A call to that one of four. */
static pmz_pick pick_only(uint32_t endpoint)
{
	uint32_t others[3], count = 0, i;
	pmz_wish wish = { .size = sizeof(wish), .avoid = others };
	pmz_pick p;

	for (i = 0; i < 4; i++)
		if (i != endpoint)
			others[count++] = i;
	wish.avoid_count = count;
	expect_status(pmz_balance_pick(t.b, &wish, BOOT, &p), PMZ_OK);
	assert_int_equal(p.endpoint, endpoint);
	return p;
}

/* Picks by key. */

static void two_have_room_for_one_each(void)
{
	pmz_balance_config c = config_of(PMZ_BY_KEY);

	c.load_bound_pct = 100;
	start(&c, 2);
}

static int pick_key(pmz_pick *p)
{
	pmz_wish wish = { .size = sizeof(wish), .hash = 77 };

	return pmz_balance_pick(t.b, &wish, BOOT, p);
}

static void i_pick_the_key(void *ctx)
{
	(void)ctx;
	t.my_status = pick_key(&t.mine);
}

static void it_picks_the_key(void *ctx)
{
	(void)ctx;
	t.its_status = pick_key(&t.its);
}

static int each_has_one(void)
{
	return t.my_status == PMZ_OK && t.its_status == PMZ_OK &&
	       stats_of(0).in_flight == 1 && stats_of(1).in_flight == 1;
}

static void two_picks_of_a_key_stay_within_the_cap(void **state)
{
	const struct meeting m = { two_have_room_for_one_each, i_pick_the_key,
		                   it_picks_the_key, each_has_one };

	(void)state;
	meet(&m);
}

/* A number is given away under a pick. */

static pmz_strategy strategy;

static void two_are_all_there_may_be(void)
{
	pmz_balance_config c = config_of(strategy);

	c.endpoints_max = 2;
	start(&c, 2);
}

static void i_pick(void *ctx)
{
	(void)ctx;
	t.my_status = pmz_balance_pick(t.b, NULL, BOOT, &t.mine);
}

static void it_puts_another_in_the_place_of_each(void *ctx)
{
	(void)ctx;
	pmz_balance_remove(t.b, 0, BOOT);
	t.its_status = pmz_balance_add(t.b, "new", 1, BOOT, NULL);
	if (pmz_balance_remove(t.b, 1, BOOT) == PMZ_OK &&
	    pmz_balance_add(t.b, "newer", 1, BOOT, NULL))
		t.its_status = PMZ_E_STATE;
}

/* The pick is of whoever has the number, or keeps it from being given away. */
static int it_can_be_settled(void)
{
	return t.my_status == PMZ_OK &&
	       pmz_balance_settle(t.b, &t.mine, PMZ_SUCCESS, BOOT) == PMZ_OK &&
	       stats_of(0).in_flight == 0 && stats_of(1).in_flight == 0;
}

static void a_pick_is_of_one_who_is_or_was_there(void **state)
{
	const struct meeting m = { two_are_all_there_may_be, i_pick,
		                   it_puts_another_in_the_place_of_each,
		                   it_can_be_settled };

	(void)state;
	for (strategy = PMZ_LEAST; strategy <= PMZ_BY_KEY; strategy++)
		meet(&m);
}

/* Rests. */

static void two_fail_at_once(void)
{
	pmz_balance_config c = config_of(PMZ_LEAST);

	c.eject_consecutive = 1;
	start(&c, 2);
	t.mine = pick_only(0);
	t.its = pick_only(1);
}

static void one_fails_twice(void)
{
	pmz_balance_config c = config_of(PMZ_LEAST);

	c.eject_consecutive = 1;
	start(&c, 4);
	t.mine = pick_only(0);
	t.its = pick_only(0);
}

static void i_fail(void *ctx)
{
	(void)ctx;
	t.my_status = pmz_balance_settle(t.b, &t.mine, PMZ_FAILURE, BOOT);
}

static void it_fails(void *ctx)
{
	(void)ctx;
	t.its_status = pmz_balance_settle(t.b, &t.its, PMZ_FAILURE, BOOT);
}

static int one_rests(void)
{
	return ejected() == 1;
}

static int one_rests_once(void)
{
	return ejected() == 1 && stats_of(0).ejections == 1;
}

static void of_two_who_fail_one_is_ejected(void **state)
{
	const struct meeting two = { two_fail_at_once, i_fail, it_fails,
		                     one_rests };
	const struct meeting one = { one_fails_twice, i_fail, it_fails,
		                     one_rests_once };

	(void)state;
	meet(&two);
	meet(&one);
}

/* The first rests, and the second fails: as many as may be of four. */
static void the_second_of_four_fails(void)
{
	pmz_balance_config c = config_of(PMZ_LEAST);

	c.eject_consecutive = 1;
	start(&c, 4);
	t.its = pick_only(0);
	it_fails(NULL);
	t.mine = pick_only(1);
}

static void it_removes_the_last(void *ctx)
{
	(void)ctx;
	t.its_status = pmz_balance_remove(t.b, 3, BOOT);
}

static void it_drains_the_second(void *ctx)
{
	(void)ctx;
	t.its_status = pmz_balance_weight(t.b, 1, 0, BOOT);
}

static int only_the_first_rests(void)
{
	return ejected() == 1 && stats_of(0).ejected_until;
}

static void a_smaller_set_has_fewer_who_rest(void **state)
{
	const struct meeting fewer = { the_second_of_four_fails, i_fail,
		                       it_removes_the_last, one_rests };
	const struct meeting drained = { the_second_of_four_fails, i_fail,
		                         it_drains_the_second,
		                         only_the_first_rests };

	(void)state;
	meet(&fewer);
	meet(&drained);
}

/* The second has failed often, none of its calls is out, and the interval is
 * over. */
static void the_look_will_find_the_second(void)
{
	pmz_balance_config c = config_of(PMZ_LEAST);
	int i;

	c.eject_consecutive = PMZ_OFF;
	c.eject_failure_pct = 50;
	c.eject_calls_min = 1;
	c.eject_base_ns = PMZ_S(600);
	c.eject_most_ns = PMZ_S(600);
	start(&c, 4);
	for (i = 0; i < 3; i++) {
		t.its = pick_only(1);
		it_fails(NULL);
	}
}

static void i_look(void *ctx)
{
	(void)ctx;
	t.my_status = pmz_balance_pick(t.b, NULL, BOOT + PMZ_S(30), &t.mine);
}

static void it_replaces_the_second(void *ctx)
{
	(void)ctx;
	pmz_balance_remove(t.b, 1, BOOT);
	t.its_status = pmz_balance_add(t.b, "new", 1, BOOT, NULL);
}

/* My pick may be of the second, whose number is kept then. */
static int the_new_one_does_not_rest(void)
{
	return t.its_status != PMZ_OK || ejected() == 0;
}

static void a_look_does_not_eject_who_came_since(void **state)
{
	const struct meeting m = { the_look_will_find_the_second, i_look,
		                   it_replaces_the_second,
		                   the_new_one_does_not_rest };

	(void)state;
	meet(&m);
}

/* Health. */

static void change_health(uint32_t endpoint, int times)
{
	int i;

	for (i = 0; i < times; i++)
		t.its_status = pmz_balance_health(t.b, endpoint, i & 1, BOOT);
}

static void the_first_is_unhealthy(void)
{
	pmz_balance_config c = config_of(PMZ_RANDOM);

	c.eject_consecutive = 1;
	start(&c, 4);
	change_health(0, 3);
	t.its = pick_only(2);
}

static void i_find_it_healthy(void *ctx)
{
	(void)ctx;
	t.my_status = pmz_balance_health(t.b, 0, 1, BOOT);
}

static void it_finds_the_second_unhealthy(void *ctx)
{
	(void)ctx;
	t.its_status = pmz_balance_health(t.b, 1, 0, BOOT);
}

/* In 256 changes. */
static void it_finds_two_unhealthy_in_the_end(void *ctx)
{
	(void)ctx;
	change_health(1, 127);
	change_health(2, 129);
}

static int is_never_picked(uint32_t endpoint)
{
	int i;

	for (i = 0; i < MANY; i++) {
		pmz_pick p;

		if (pmz_balance_pick(t.b, NULL, CALM, &p) ||
		    p.endpoint == endpoint)
			return 0;
	}
	return 1;
}

static int the_second_is_passed_over(void)
{
	return stats_of(0).healthy && is_never_picked(1);
}

static int the_third_is_passed_over(void)
{
	return stats_of(0).healthy && is_never_picked(2);
}

static int both_are_passed_over(void)
{
	return stats_of(0).healthy && is_never_picked(1) && is_never_picked(2);
}

static void good_news_do_not_hide_bad_news(void **state)
{
	const struct meeting unhealthy = { the_first_is_unhealthy,
		                           i_find_it_healthy,
		                           it_finds_the_second_unhealthy,
		                           the_second_is_passed_over };
	const struct meeting ejects = { the_first_is_unhealthy,
		                        i_find_it_healthy, it_fails,
		                        the_third_is_passed_over };

	const struct meeting flaps = { the_first_is_unhealthy,
		                       i_find_it_healthy,
		                       it_finds_two_unhealthy_in_the_end,
		                       both_are_passed_over };

	(void)state;
	meet(&unhealthy);
	meet(&ejects);
	meet(&flaps);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(two_picks_of_a_key_stay_within_the_cap),
		cmocka_unit_test(a_pick_is_of_one_who_is_or_was_there),
		cmocka_unit_test(of_two_who_fail_one_is_ejected),
		cmocka_unit_test(a_smaller_set_has_fewer_who_rest),
		cmocka_unit_test(a_look_does_not_eject_who_came_since),
		cmocka_unit_test(good_news_do_not_hide_bad_news),
	};

	return cmocka_run_group_tests_name("between two instructions of a pick",
	                                   tests, NULL, NULL);
}
