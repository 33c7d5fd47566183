/*
 * balance.c - the balancer, on a virtual clock.
 */
#include <pipemaze/balance.h>

#include <stdio.h>
#include <string.h>

#include "core/balance.h"
#include "expect.h"

#define BOOT PMZ_S(1000)
#define MANY 40000 /* picks, for a share to within 2 % */
#define SEED 1

static struct bench {
	pmz_balance *b;
	pmz_ns now;
	uint32_t count;
	pmz_pick held[4096];
	size_t out;
} t;

static int stop(void **state)
{
	(void)state;
	pmz_balance_free(t.b);
	memset(&t, 0, sizeof(t));
	return 0;
}

static pmz_balance_config config_of(pmz_strategy strategy)
{
	pmz_balance_config c = { .size = sizeof(c) };

	c.strategy = strategy;
	c.seed = SEED;
	return c;
}

static void open_with(const pmz_balance_config *config)
{
	pmz_why why = { .text = "" };
	int status = pmz_balance_new(&t.b, config, &why);

	if (status != PMZ_OK)
		print_error("%s: %s\n", why.field, why.text);
	expect_status(status, PMZ_OK);
	t.now = BOOT;
}

static int try_to_add(uint32_t weight, uint32_t *number)
{
	char name[32];

	snprintf(name, sizeof(name), "10.0.0.%u:80", (unsigned)++t.count);
	return pmz_balance_add(t.b, name, weight, t.now, number);
}

static uint32_t add(uint32_t weight)
{
	uint32_t number = UINT32_MAX;

	expect_status(try_to_add(weight, &number), PMZ_OK);
	return number;
}

static void add_some(uint32_t count)
{
	while (count--)
		add(1);
}

static void start(const pmz_balance_config *config, uint32_t count)
{
	open_with(config);
	add_some(count);
}

static void start_as(pmz_strategy strategy, uint32_t count)
{
	pmz_balance_config c = config_of(strategy);

	start(&c, count);
}

static pmz_pick pick_for(const pmz_wish *wish)
{
	pmz_pick p;

	expect_status(pmz_balance_pick(t.b, wish, t.now, &p), PMZ_OK);
	return p;
}

static pmz_pick pick(void)
{
	return pick_for(NULL);
}

static void expect_none(void)
{
	pmz_pick p;

	expect_status(pmz_balance_pick(t.b, NULL, t.now, &p),
	              PMZ_REFUSED_EMPTY);
	assert_int_equal(p.endpoint, UINT32_MAX);
}

static void settle(pmz_pick *p, pmz_outcome how)
{
	expect_status(pmz_balance_settle(t.b, p, how, t.now), PMZ_OK);
}

static void hold(const pmz_pick *p)
{
	assert_true(t.out < KIT_COUNT(t.held));
	t.held[t.out++] = *p;
}

static void release_all(void)
{
	while (t.out)
		settle(&t.held[--t.out], PMZ_SUCCESS);
}

/* A call to that endpoint alone: all others are avoided. */
static pmz_pick pick_only(uint32_t endpoint)
{
	uint32_t others[64], count = 0, i;
	pmz_wish wish = { .size = sizeof(wish) };
	pmz_pick p;

	for (i = 0; i < t.count; i++)
		if (i != endpoint)
			others[count++] = i;
	wish.avoid = others;
	wish.avoid_count = count;
	p = pick_for(&wish);
	assert_int_equal(p.endpoint, endpoint);
	return p;
}

static void call_for(uint32_t endpoint, pmz_outcome how, pmz_ns takes)
{
	pmz_pick p = pick_only(endpoint);

	t.now += takes;
	settle(&p, how);
}

static void call(uint32_t endpoint, int times, pmz_outcome how)
{
	while (times--)
		call_for(endpoint, how, 0);
}

static pmz_endpoint_stats stats_of(uint32_t endpoint)
{
	pmz_endpoint_stats s = { .size = sizeof(s) };

	expect_status(pmz_balance_read(t.b, endpoint, t.now, &s), PMZ_OK);
	return s;
}

static int is_ejected(uint32_t endpoint)
{
	return stats_of(endpoint).ejected_until != 0;
}

static uint32_t ejected(void)
{
	uint32_t count = 0, i;

	for (i = 0; i < t.count; i++)
		count += (uint32_t)is_ejected(i);
	return count;
}

/* How many of so many picks each endpoint gets, when each call ends at once. */
static void count_picks(uint32_t picks, uint32_t *each, uint32_t endpoints)
{
	memset(each, 0, endpoints * sizeof(*each));
	while (picks--) {
		pmz_pick p = pick();

		assert_true(p.endpoint < endpoints);
		each[p.endpoint]++;
		settle(&p, PMZ_SUCCESS);
	}
}

static void expect_share(uint32_t got, uint32_t of, uint32_t ppm)
{
	uint32_t want = (uint32_t)((uint64_t)of * ppm / 1000000);

	if (got + of / 50 < want || got > want + of / 50)
		fail_msg("%u of %u instead of %u", got, of, want);
}

/* Configs. */

static const struct {
	const char *field;
	pmz_balance_config config;
} bad[] = {
	{ "size", { .size = 4 } },
	{ "strategy", { .strategy = 7 } },
	{ "endpoints_max", { .endpoints_max = 4097 } },
	{ "panic_pct", { .panic_pct = 101 } },
	{ "eject_max_pct", { .eject_max_pct = 101 } },
	{ "eject_failure_pct", { .eject_failure_pct = 101 } },
	{ "eject_sigma_pct", { .eject_sigma_pct = 10001 } },
	{ "eject_slow_pct", { .eject_slow_pct = 100 } },
	{ "load_bound_pct", { .load_bound_pct = 99 } },
	{ "eject_most_ns",
	  { .eject_base_ns = PMZ_S(2), .eject_most_ns = PMZ_S(1) } },
	{ "reserved", { .reserved = 1 } },
};

static void a_bad_config_names_its_field(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < KIT_COUNT(bad); i++) {
		pmz_balance_config c = bad[i].config;
		pmz_why why;

		if (!c.size)
			c.size = sizeof(c);
		kit_expect_row(i, pmz_balance_new(&t.b, &c, &why), PMZ_E_CONFIG,
		               pmz_status_name);
		assert_string_equal(why.field, bad[i].field);
		assert_null(t.b);
	}
}

static void everything_may_be_switched_off(void **state)
{
	pmz_balance_config c = config_of(PMZ_BY_KEY);

	(void)state;
	c.panic_pct = c.eject_consecutive = c.eject_max_pct = PMZ_OFF;
	c.eject_failure_pct = c.eject_sigma_pct = PMZ_OFF;
	c.eject_slow_pct = c.load_bound_pct = PMZ_OFF;
	c.slow_start_ns = PMZ_NEVER;
	start(&c, 2);
	call(0, 100, PMZ_FAILURE);
	assert_int_equal(ejected(), 0);
}

/* Coming and going. */

static void nobody_is_nobody(void **state)
{
	(void)state;
	start_as(PMZ_LEAST, 0);
	expect_none();
	add(0);
	expect_none();
}

static void what_cannot_be_added_changes_nothing(void **state)
{
	char long_name[257];
	pmz_balance_config c = config_of(PMZ_LEAST);
	uint32_t number = 77;

	(void)state;
	memset(long_name, 'x', sizeof(long_name) - 1);
	long_name[sizeof(long_name) - 1] = '\0';
	c.endpoints_max = 2;
	start(&c, 0);
	expect_status(pmz_balance_add(t.b, NULL, 1, t.now, &number),
	              PMZ_E_CONFIG);
	expect_status(pmz_balance_add(t.b, "", 1, t.now, &number),
	              PMZ_E_CONFIG);
	expect_status(pmz_balance_add(t.b, long_name, 1, t.now, &number),
	              PMZ_E_CONFIG);
	expect_status(pmz_balance_add(t.b, long_name + 1, 1, t.now, NULL),
	              PMZ_OK);
	expect_status(pmz_balance_add(t.b, long_name + 1, 1, t.now, &number),
	              PMZ_E_CONFIG);
	expect_status(pmz_balance_add(t.b, "a", 1 << 24, t.now, &number),
	              PMZ_E_CONFIG);
	expect_status(pmz_balance_add(t.b, "a", (1 << 24) - 1, t.now, NULL),
	              PMZ_OK);
	expect_status(pmz_balance_add(t.b, "b", 1, t.now, &number),
	              PMZ_E_STATE);
	assert_int_equal(number, 77);
}

static void who_is_not_there_cannot_be_asked_for(void **state)
{
	pmz_endpoint_stats s = { .size = sizeof(s) };
	uint32_t gone;

	(void)state;
	start_as(PMZ_LEAST, 1);
	gone = add(1);
	expect_status(pmz_balance_remove(t.b, gone, t.now), PMZ_OK);
	expect_status(pmz_balance_remove(t.b, gone, t.now), PMZ_E_STATE);
	expect_status(pmz_balance_weight(t.b, gone, 1, t.now), PMZ_E_STATE);
	expect_status(pmz_balance_health(t.b, gone, 1, t.now), PMZ_E_STATE);
	expect_status(pmz_balance_read(t.b, gone, t.now, &s), PMZ_E_STATE);
	expect_status(pmz_balance_read(t.b, 12345678, t.now, &s), PMZ_E_STATE);
	expect_status(pmz_balance_weight(t.b, 0, 1 << 24, t.now), PMZ_E_CONFIG);
}

static void numbers_stay_as_others_come_and_go(void **state)
{
	uint32_t each[4];

	(void)state;
	start_as(PMZ_ROUND_ROBIN, 3);
	expect_status(pmz_balance_remove(t.b, 1, t.now), PMZ_OK);
	count_picks(100, each, 3);
	assert_int_equal(each[0], 50);
	assert_int_equal(each[1], 0);
	assert_int_equal(each[2], 50);
	assert_int_equal(add(1), 1);
	assert_int_equal(add(1), 3);
	count_picks(100, each, 4);
	assert_int_equal(each[1], 25);
}

static void a_number_is_not_given_away_while_a_call_is_out(void **state)
{
	pmz_pick p;

	(void)state;
	start_as(PMZ_LEAST, 1);
	p = pick();
	expect_status(pmz_balance_remove(t.b, 0, t.now), PMZ_OK);
	expect_none();
	assert_int_equal(add(1), 1);
	settle(&p, PMZ_FAILURE);
	assert_int_equal(add(1), 0);
}

static void a_copy_settled_late_does_no_harm(void **state)
{
	pmz_pick p, copy, held;
	int i;

	(void)state;
	start_as(PMZ_LEAST, 1);
	p = copy = pick();
	settle(&p, PMZ_SUCCESS);
	expect_status(pmz_balance_settle(t.b, &p, PMZ_SUCCESS, t.now),
	              PMZ_E_STATE);
	expect_status(pmz_balance_remove(t.b, 0, t.now), PMZ_OK);
	assert_int_equal(add(1), 0);
	held = pick();
	for (i = 0; i < 9; i++) {
		p = copy;
		expect_status(pmz_balance_settle(t.b, &p, PMZ_FAILURE, t.now),
		              PMZ_E_STATE);
	}
	assert_int_equal(stats_of(0).in_flight, 1);
	assert_int_equal(stats_of(0).failures, 0);
	assert_int_equal(stats_of(0).picks, 1);
	settle(&held, PMZ_SUCCESS);
}

static void picks_are_counted_beyond_what_a_load_has_room_for(void **state)
{
	int i;

	(void)state;
	start_as(PMZ_RANDOM, 1);
	pmz__add(&t.b->loads[0], UINT32_MAX * PMZ__PICKED, PMZ__RELAXED);
	for (i = 0; i < 5; i++) {
		pmz_pick p = pick();

		pmz__balance_undo(t.b, &p);
		assert_int_equal(stats_of(0).picks, UINT32_MAX);
		assert_int_equal(pmz__calls_of(t.b, 0), UINT32_MAX);
	}
	call(0, 3, PMZ_SUCCESS);
	assert_int_equal(stats_of(0).picks, UINT32_MAX + (uint64_t)3);
	assert_int_equal(pmz__calls_of(t.b, 0), UINT32_MAX + (uint64_t)3);
}

static void an_outcome_that_is_none_keeps_the_pick(void **state)
{
	pmz_pick p;

	(void)state;
	start_as(PMZ_LEAST, 1);
	p = pick();
	expect_status(pmz_balance_settle(t.b, &p, (pmz_outcome)0, t.now),
	              PMZ_E_STATE);
	expect_status(pmz_balance_settle(t.b, &p, (pmz_outcome)6, t.now),
	              PMZ_E_STATE);
	assert_int_equal(stats_of(0).in_flight, 1);
	settle(&p, PMZ_SUCCESS);
	assert_int_equal(stats_of(0).in_flight, 0);
}

static void a_drained_one_gets_nothing_and_keeps_what_it_has(void **state)
{
	pmz_pick p;
	uint32_t each[2];

	(void)state;
	start_as(PMZ_RANDOM, 2);
	p = pick_only(1);
	call_for(1, PMZ_FAILURE, PMZ_MS(3));
	expect_status(pmz_balance_weight(t.b, 1, 0, t.now), PMZ_OK);
	count_picks(100, each, 2);
	assert_int_equal(each[1], 0);
	assert_int_equal(stats_of(1).in_flight, 1);
	expect_status(pmz_balance_weight(t.b, 1, 3, t.now), PMZ_OK);
	assert_int_equal(stats_of(1).in_flight, 1);
	assert_int_equal(stats_of(1).picks, 2);
	assert_int_equal(stats_of(1).failures, 1);
	assert_int_equal(stats_of(1).weight, 3);
	settle(&p, PMZ_SUCCESS);
	count_picks(MANY, each, 2);
	expect_share(each[1], MANY, 750000);
}

/* Strategies. */

static void the_same_seed_picks_the_same(void **state)
{
	static const pmz_strategy strategies[] = { PMZ_LEAST, PMZ_EWMA,
		                                   PMZ_ROUND_ROBIN, PMZ_RANDOM,
		                                   PMZ_BY_KEY };
	uint32_t first[2][200];
	size_t s, run, i;

	for (s = 0; s < KIT_COUNT(strategies); s++) {
		for (run = 0; run < 2; run++) {
			start_as(strategies[s], 9);
			for (i = 0; i < 200; i++) {
				pmz_pick p = pick();

				first[run][i] = p.endpoint;
				t.now += 10;
				settle(&p, PMZ_SUCCESS);
			}
			stop(state);
		}
		assert_memory_equal(first[0], first[1], sizeof(first[0]));
	}
}

static void clients_do_not_start_in_step(void **state)
{
	uint32_t begun = 0, i;

	for (i = 0; i < 64; i++) {
		pmz_balance_config c = config_of(PMZ_ROUND_ROBIN);

		c.seed = 0;
		open_with(&c);
		t.now += i;
		add_some(4);
		begun |= 1u << pick().endpoint;
		stop(state);
	}
	assert_int_equal(begun, 15);
}

static void turns_are_exact_over_each_cycle(void **state)
{
	static const uint32_t weights[] = { 50, 10, 10, 0, 30 };
	uint32_t each[KIT_COUNT(weights)];
	size_t i;
	int cycle;

	(void)state;
	start_as(PMZ_ROUND_ROBIN, 0);
	for (i = 0; i < KIT_COUNT(weights); i++)
		add(weights[i]);
	for (cycle = 0; cycle < 20; cycle++) {
		count_picks(10, each, KIT_COUNT(weights));
		for (i = 0; i < KIT_COUNT(weights); i++)
			assert_int_equal(each[i], weights[i] / 10);
	}
}

/* The order that nginx documents for 5, 1, 1: a a b a c a a. */
static void turns_are_smooth(void **state)
{
	static const char order[] = "aabacaa";
	char seen[15] = "";
	int i;

	(void)state;
	start_as(PMZ_ROUND_ROBIN, 0);
	add(5);
	add(1);
	add(1);
	for (i = 0; i < 14; i++)
		seen[i] = (char)('a' + pick().endpoint);
	assert_non_null(strstr(seen, order));
}

static void equals_take_turns(void **state)
{
	uint32_t first, i;

	(void)state;
	start_as(PMZ_ROUND_ROBIN, 5);
	first = pick().endpoint;
	for (i = 1; i < 50; i++)
		assert_int_equal(pick().endpoint, (first + i) % 5);
}

static void turns_of_heavy_weights_come_near_them(void **state)
{
	uint32_t each[3];

	(void)state;
	start_as(PMZ_ROUND_ROBIN, 0);
	add(9999991);
	add(9999973);
	add(1);
	count_picks(2 * 16384, each, 3);
	assert_in_range(each[0], 16384 - 10, 16384 + 10);
	assert_in_range(each[2], 1, 3);
}

static void the_least_loaded_gets_the_call(void **state)
{
	uint32_t i;

	(void)state;
	start_as(PMZ_LEAST, 16);
	for (i = 0; i < 48; i++) {
		pmz_pick p = pick();

		assert_int_equal(stats_of(p.endpoint).in_flight, 1 + i / 16);
		hold(&p);
	}
	settle(&t.held[17], PMZ_SUCCESS);
	i = t.held[17].endpoint;
	t.held[17] = t.held[--t.out];
	assert_int_equal(pick().endpoint, i);
}

static void loads_are_as_the_weights(void **state)
{
	uint32_t i;

	(void)state;
	start_as(PMZ_LEAST, 0);
	add(1);
	add(2);
	add(5);
	for (i = 0; i < 80; i++) {
		pmz_pick p = pick();

		hold(&p);
	}
	assert_in_range(stats_of(0).in_flight, 9, 11);
	assert_in_range(stats_of(1).in_flight, 19, 21);
	assert_in_range(stats_of(2).in_flight, 49, 51);
}

/* More than are all looked at. */
static void the_better_of_two_evens_loads_out(void **state)
{
	uint32_t i;

	(void)state;
	start_as(PMZ_LEAST, 50);
	for (i = 0; i < 2000; i++) {
		pmz_pick p = pick();

		hold(&p);
	}
	for (i = 0; i < 50; i++)
		assert_in_range(stats_of(i).in_flight, 36, 43);
	release_all();
}

static void each_gets_its_share(void **state)
{
	static const pmz_strategy strategies[] = { PMZ_LEAST, PMZ_EWMA,
		                                   PMZ_ROUND_ROBIN,
		                                   PMZ_RANDOM };
	uint32_t each[20], i;
	size_t s;

	for (s = 0; s < 2 * KIT_COUNT(strategies); s++) {
		uint32_t count = s % 2 ? 20 : 4;

		start_as(strategies[s / 2], 0);
		for (i = 0; i < count; i++)
			add(1 + i % 4);
		count_picks(MANY, each, count);
		for (i = 0; i < count; i++)
			expect_share(each[i], MANY,
			             (1 + i % 4) * 400000 / count);
		stop(state);
	}
}

static void who_takes_longer_gets_less(void **state)
{
	uint32_t each[2], i;

	(void)state;
	start_as(PMZ_EWMA, 2);
	for (i = 0; i < 20; i++) {
		call_for(0, PMZ_SUCCESS, PMZ_MS(5));
		call_for(1, PMZ_SUCCESS, PMZ_MS(50));
	}
	count_picks(100, each, 2);
	assert_int_equal(each[1], 0);
	/* Ten calls there are as long as one here. */
	for (i = 0; i < 11; i++) {
		pmz_pick p = pick();

		hold(&p);
	}
	assert_int_equal(stats_of(0).in_flight, 10);
	assert_int_equal(stats_of(1).in_flight, 1);
}

static void a_longer_time_counts_at_once_and_fades(void **state)
{
	(void)state;
	start_as(PMZ_EWMA, 1);
	call_for(0, PMZ_SUCCESS, PMZ_MS(10));
	assert_int_equal(stats_of(0).ewma_ns, PMZ_MS(10));
	call_for(0, PMZ_SUCCESS, PMZ_MS(800));
	assert_int_equal(stats_of(0).ewma_ns, PMZ_MS(800));
	t.now += PMZ_S(10);
	assert_in_range(stats_of(0).ewma_ns, PMZ_MS(399), PMZ_MS(401));
	t.now += PMZ_S(10);
	assert_in_range(stats_of(0).ewma_ns, PMZ_MS(199), PMZ_MS(201));
	/* What was held weighs a quarter, the new time the rest. */
	call_for(0, PMZ_SUCCESS, 0);
	assert_in_range(stats_of(0).ewma_ns, PMZ_MS(199), PMZ_MS(201));
	t.now += PMZ_S(1000);
	assert_int_equal(stats_of(0).ewma_ns, 1);
}

/* Rounding at each of a million steps would halve it long before. */
static void many_small_steps_fade_as_one(void **state)
{
	int i;

	(void)state;
	start_as(PMZ_EWMA, 1);
	call_for(0, PMZ_SUCCESS, PMZ_MS(8));
	for (i = 0; i < 1000000; i++) {
		pmz_pick p = pick();

		t.now += PMZ_US(10);
		settle(&p, PMZ_SUCCESS);
	}
	assert_in_range(stats_of(0).ewma_ns, PMZ_US(3990), PMZ_US(4020));
}

static void who_fails_at_once_does_not_look_quick(void **state)
{
	pmz_balance_config c = config_of(PMZ_EWMA);
	uint32_t i;

	(void)state;
	c.eject_consecutive = PMZ_OFF;
	start(&c, 2);
	call_for(0, PMZ_SUCCESS, PMZ_MS(20));
	call_for(1, PMZ_SUCCESS, PMZ_MS(20));
	for (i = 0; i < 100; i++)
		call_for(0, PMZ_FAILURE, PMZ_US(1));
	assert_in_range(stats_of(0).ewma_ns, PMZ_MS(19), PMZ_MS(20));
	call_for(0, PMZ_FAILURE, PMZ_S(1));
	assert_int_equal(stats_of(0).ewma_ns, PMZ_S(1));
}

static void a_new_one_gets_one_call_at_a_time(void **state)
{
	uint32_t i;

	(void)state;
	start_as(PMZ_EWMA, 2);
	call_for(0, PMZ_SUCCESS, PMZ_MS(20));
	for (i = 0; i < 10; i++) {
		pmz_pick p = pick();

		hold(&p);
	}
	assert_int_equal(stats_of(1).in_flight, 1);
	release_all();
}

/* By key. */

static pmz_wish key_of(uint64_t hash)
{
	pmz_wish wish = { .size = sizeof(wish), .hash = hash };

	return wish;
}

static uint32_t home_of(uint64_t hash)
{
	pmz_wish wish = key_of(hash * 0x9e3779b97f4a7c15u);
	pmz_pick p = pick_for(&wish);
	uint32_t endpoint = p.endpoint;

	settle(&p, PMZ_SUCCESS);
	return endpoint;
}

static void a_key_stays_where_it_is(void **state)
{
	static const pmz_strategy strategies[] = { PMZ_BY_KEY, PMZ_MAGLEV_KEY };
	uint32_t home[500], moved, gone, i;
	size_t s;

	for (s = 0; s < 2; s++) {
		start_as(strategies[s], 5);
		for (i = 0; i < 500; i++)
			home[i] = home_of(i);
		expect_status(pmz_balance_remove(t.b, 2, t.now), PMZ_OK);
		for (moved = gone = i = 0; i < 500; i++) {
			uint32_t now_at = home_of(i);

			assert_int_not_equal(now_at, 2);
			gone += home[i] == 2;
			moved += home[i] != now_at;
		}
		assert_in_range(gone, 60, 140);
		/* Maglev may move a few others. */
		assert_in_range(moved, gone, gone + (s ? 25 : 0));
		expect_status(
			pmz_balance_add(t.b, "10.0.0.3:80", 1, t.now, NULL),
			PMZ_OK);
		for (i = 0; i < 500; i++)
			assert_int_equal(home_of(i), home[i]);
		stop(state);
	}
}

static void a_hot_key_spills_over_at_the_cap(void **state)
{
	pmz_wish wish = key_of(12345);
	uint32_t i, most = 0, holders = 0, first;

	(void)state;
	start_as(PMZ_BY_KEY, 4);
	first = pick_for(&wish).endpoint;
	for (i = 1; i < 40; i++) {
		pmz_pick p = pick_for(&wish);
		/* ceil(1.25 * calls / 4), with this one */
		uint32_t cap = (5 * (i + 1) + 15) / 16;

		assert_true(stats_of(p.endpoint).in_flight <= cap);
		hold(&p);
	}
	for (i = 0; i < 4; i++) {
		uint32_t out = stats_of(i).in_flight;

		most = out > most ? out : most;
		holders += out > 0;
	}
	assert_int_equal(most, 13);
	assert_int_equal(holders, 4);
	release_all();
	assert_int_equal(pick_for(&wish).endpoint != first, 1);
}

static void without_a_key_any_will_do(void **state)
{
	uint32_t each[4], i;

	(void)state;
	start_as(PMZ_MAGLEV_KEY, 4);
	count_picks(MANY, each, 4);
	for (i = 0; i < 4; i++)
		expect_share(each[i], MANY, 250000);
}

static void a_key_passes_over_who_is_out_and_returns(void **state)
{
	uint32_t i, home;

	(void)state;
	start_as(PMZ_BY_KEY, 5);
	for (i = 0; i < 50; i++) {
		home = home_of(i);
		pmz_balance_health(t.b, home, 0, t.now);
		assert_int_not_equal(home_of(i), home);
		pmz_balance_health(t.b, home, 1, t.now);
		assert_int_equal(home_of(i), home);
	}
}

/* Avoiding. */

static void those_tried_are_avoided(void **state)
{
	static const uint32_t tried[] = { 0, 2 };
	pmz_wish wish = { .size = sizeof(wish),
		          .avoid = tried,
		          .avoid_count = 2,
		          .hash = 7 };
	pmz_strategy s;
	uint32_t i;

	for (s = PMZ_LEAST; s <= PMZ_MAGLEV_KEY; s++) {
		start_as(s, 3);
		for (i = 0; i < 50; i++) {
			pmz_pick p = pick_for(&wish);

			assert_int_equal(p.endpoint, 1);
			settle(&p, PMZ_SUCCESS);
		}
		stop(state);
	}
}

static void where_all_were_tried_any_will_do(void **state)
{
	static const uint32_t tried[] = { 0, 1, 1, 99 };
	pmz_wish wish = { .size = sizeof(wish),
		          .avoid = tried,
		          .avoid_count = 4 };
	pmz_strategy s;

	for (s = PMZ_LEAST; s <= PMZ_MAGLEV_KEY; s++) {
		pmz_pick p;

		start_as(s, 2);
		p = pick_for(&wish);
		settle(&p, PMZ_SUCCESS);
		stop(state);
	}
}

/* Who is out is no choice. */
static void avoiding_does_not_lead_to_who_is_out(void **state)
{
	static const uint32_t tried[] = { 0 };
	pmz_wish wish = { .size = sizeof(wish),
		          .avoid = tried,
		          .avoid_count = 1 };
	pmz_strategy s;

	for (s = PMZ_LEAST; s <= PMZ_MAGLEV_KEY; s++) {
		pmz_pick p;

		start_as(s, 2);
		pmz_balance_health(t.b, 1, 0, t.now);
		p = pick_for(&wish);
		assert_int_equal(p.endpoint, 0);
		settle(&p, PMZ_SUCCESS);
		stop(state);
	}
}

/* Ejection. */

static void the_fifth_failure_in_a_row_ejects(void **state)
{
	uint32_t each[4];

	(void)state;
	start_as(PMZ_RANDOM, 4);
	call(1, 4, PMZ_FAILURE);
	call(1, 1, PMZ_SUCCESS);
	call(1, 3, PMZ_FAILURE);
	call(1, 2, PMZ_IGNORE);
	call(1, 2, PMZ_AGAIN);
	call(1, 1, PMZ_FATAL);
	assert_false(is_ejected(1));
	assert_int_equal(stats_of(1).healthy, 1);
	call(1, 1, PMZ_FAILURE);
	assert_true(is_ejected(1));
	assert_int_equal(stats_of(1).healthy, 0);
	assert_int_equal(stats_of(1).ejections, 1);
	assert_int_equal(stats_of(1).failures, 9);
	assert_int_equal(stats_of(1).picks, 14);
	count_picks(1000, each, 4);
	assert_int_equal(each[1], 0);
}

static pmz_ns rest_after_failures(uint32_t endpoint)
{
	call(endpoint, 5, PMZ_FAILURE);
	assert_true(is_ejected(endpoint));
	return stats_of(endpoint).ejected_until - t.now;
}

static void sleep_out(uint32_t endpoint)
{
	t.now = stats_of(endpoint).ejected_until - 1;
	assert_true(is_ejected(endpoint));
	t.now += 1;
	assert_false(is_ejected(endpoint));
}

static void rests_grow_and_shrink_again(void **state)
{
	uint32_t k;

	(void)state;
	start_as(PMZ_LEAST, 4);
	for (k = 1; k <= 9; k++) {
		pmz_ns rest = rest_after_failures(2);

		expect_between(rest, k * PMZ_S(30), k * PMZ_S(33));
		sleep_out(2);
	}
	/* At the most, drawn below it. */
	expect_between(rest_after_failures(2), PMZ_S(270), PMZ_S(300));
	sleep_out(2);
	expect_between(rest_after_failures(2), PMZ_S(270), PMZ_S(300));
	sleep_out(2);
	/* Each interval in health takes one away: 11 - 8 + 1. */
	t.now += 8 * PMZ_S(30);
	expect_between(rest_after_failures(2), PMZ_S(120), PMZ_S(132));
	sleep_out(2);
	t.now += PMZ_S(30) - 1;
	expect_between(rest_after_failures(2), PMZ_S(150), PMZ_S(165));
	sleep_out(2);
	t.now += 1000 * PMZ_S(30);
	expect_between(rest_after_failures(2), PMZ_S(30), PMZ_S(33));
}

static void results_from_before_the_rest_do_not_eject_again(void **state)
{
	pmz_pick late[8];
	int i;

	(void)state;
	start_as(PMZ_LEAST, 4);
	for (i = 0; i < 8; i++)
		late[i] = pick_only(3);
	rest_after_failures(3);
	sleep_out(3);
	for (i = 0; i < 8; i++)
		settle(&late[i], PMZ_FAILURE);
	assert_false(is_ejected(3));
	call(3, 4, PMZ_FAILURE);
	assert_false(is_ejected(3));
	call(3, 1, PMZ_FAILURE);
	assert_true(is_ejected(3));
}

static const struct {
	uint32_t endpoints, max_pct, ejected;
} shares[] = {
	{ 1, 100, 0 }, { 1, 50, 0 },      { 2, 50, 1 },   { 2, 49, 0 },
	{ 3, 50, 1 },  { 3, 67, 2 },      { 3, 66, 1 },   { 10, 50, 5 },
	{ 10, 10, 1 }, { 10, 9, 0 },      { 10, 100, 9 }, { 7, 99, 6 },
	{ 9, 50, 4 },  { 5, PMZ_OFF, 0 },
};

static void never_more_than_may_be_and_never_the_last(void **state)
{
	size_t i;

	for (i = 0; i < KIT_COUNT(shares); i++) {
		pmz_balance_config c = config_of(PMZ_LEAST);
		uint32_t e, round;

		c.eject_max_pct = shares[i].max_pct;
		start(&c, shares[i].endpoints);
		for (round = 0; round < 50; round++)
			for (e = 0; e < t.count; e++)
				if (!is_ejected(e))
					call(e, 1, PMZ_FAILURE);
		if (ejected() != shares[i].ejected)
			fail_msg("row %zu: %u ejected", i, ejected());
		stop(state);
	}
}

static void a_bench_is_free_when_its_rest_is_over(void **state)
{
	(void)state;
	start_as(PMZ_LEAST, 2);
	rest_after_failures(0);
	call(1, 5, PMZ_FAILURE);
	assert_false(is_ejected(1));
	sleep_out(0);
	call(1, 1, PMZ_FAILURE);
	assert_true(is_ejected(1));
	call(0, 5, PMZ_FAILURE);
	assert_false(is_ejected(0));
}

static void a_smaller_set_takes_back_who_is_too_many(void **state)
{
	(void)state;
	start_as(PMZ_LEAST, 4);
	rest_after_failures(0);
	rest_after_failures(1);
	assert_int_equal(ejected(), 2);
	expect_status(pmz_balance_weight(t.b, 3, 0, t.now), PMZ_OK);
	assert_int_equal(ejected(), 1);
	expect_status(pmz_balance_weight(t.b, 2, 0, t.now), PMZ_OK);
	assert_int_equal(ejected(), 1);
	expect_status(pmz_balance_weight(t.b, 1, 0, t.now), PMZ_OK);
	assert_int_equal(ejected(), 0);
	expect_status(pmz_balance_weight(t.b, 2, 1, t.now), PMZ_OK);
	expect_status(pmz_balance_weight(t.b, 3, 1, t.now), PMZ_OK);
	assert_int_equal(ejected(), 0);
}

static void who_leaves_gives_its_bench_to_others(void **state)
{
	(void)state;
	start_as(PMZ_LEAST, 4);
	rest_after_failures(0);
	rest_after_failures(1);
	expect_status(pmz_balance_remove(t.b, 0, t.now), PMZ_OK);
	assert_int_equal(add(1), 0);
	assert_false(is_ejected(0));
	assert_true(is_ejected(1));
	call(2, 5, PMZ_FAILURE);
	assert_true(is_ejected(2));
	call(3, 5, PMZ_FAILURE);
	assert_false(is_ejected(3));
}

/* The look at the set. */

static void call_all(int times, uint32_t bad_one, int fails)
{
	uint32_t e;

	for (e = 0; e < t.count; e++) {
		int i;

		for (i = 0; i < times; i++) {
			int failed = e == bad_one && i < fails;

			call(e, 1, failed ? PMZ_FAILURE : PMZ_SUCCESS);
		}
	}
}

/* The interval begins with the first call and ends with one beyond it. */
static void pass_interval(void)
{
	pmz_pick p;

	t.now += PMZ_S(30);
	p = pick_only(0);
	settle(&p, PMZ_IGNORE);
}

static pmz_balance_config patient(void)
{
	pmz_balance_config c = config_of(PMZ_LEAST);

	c.eject_consecutive = PMZ_OFF;
	return c;
}

static const struct {
	uint32_t endpoints, sigma_pct;
	int calls, fails;
	uint32_t ejected;
} rates[] = {
	/* One who is alone with it is sqrt(n - 1) sigmas below the mean. */
	{ 5, 0, 100, 10, 1 },       { 5, 199, 100, 10, 1 },
	{ 5, 201, 100, 10, 0 },     { 5, 0, 99, 10, 0 },
	{ 5, 0, 100, 0, 0 },        { 8, 0, 200, 1, 1 },
	{ 5, 100, 100, 10, 1 },     { 4, 100, 100, 10, 0 },
	{ 5, PMZ_OFF, 100, 10, 0 },
};

static void a_rate_far_below_the_others_ejects(void **state)
{
	size_t i;

	for (i = 0; i < KIT_COUNT(rates); i++) {
		pmz_balance_config c = patient();

		c.eject_sigma_pct = rates[i].sigma_pct;
		start(&c, rates[i].endpoints);
		call_all(rates[i].calls, 1, rates[i].fails);
		assert_int_equal(ejected(), 0);
		pass_interval();
		if (ejected() != rates[i].ejected ||
		    (rates[i].ejected && !is_ejected(1)))
			fail_msg("row %zu: %u ejected", i, ejected());
		stop(state);
	}
}

static void only_the_interval_counts(void **state)
{
	pmz_balance_config c = patient();
	int i;

	(void)state;
	start(&c, 5);
	call_all(60, 1, 50);
	pass_interval();
	assert_int_equal(ejected(), 0);
	call_all(60, 1, 50);
	t.now += PMZ_S(30) - 1;
	call(0, 1, PMZ_IGNORE);
	assert_int_equal(ejected(), 0);
	for (i = 0; i < 2; i++)
		pass_interval();
	assert_int_equal(ejected(), 0);
	call_all(100, 1, 50);
	pass_interval();
	assert_true(is_ejected(1));
}

static void a_share_of_failures_ejects(void **state)
{
	pmz_balance_config c = patient();

	(void)state;
	c.eject_sigma_pct = PMZ_OFF;
	c.eject_failure_pct = 30;
	start(&c, 2);
	call_all(100, 1, 29);
	pass_interval();
	assert_int_equal(ejected(), 0);
	call_all(100, 1, 30);
	pass_interval();
	assert_true(is_ejected(1));
	assert_int_equal(ejected(), 1);
}

static void call_at_paces(int times, const pmz_ns *takes)
{
	uint32_t e;

	while (times--)
		for (e = 0; e < t.count; e++)
			call_for(e, PMZ_SUCCESS, takes[e]);
}

static void who_is_slow_beside_the_others_is_ejected(void **state)
{
	static const pmz_ns even[] = { PMZ_US(10), PMZ_US(12), PMZ_US(14) };
	static const pmz_ns uneven[] = { PMZ_US(10), PMZ_US(45), PMZ_US(12) };
	pmz_balance_config c = patient();

	(void)state;
	c.eject_slow_pct = 300;
	start(&c, 3);
	call_at_paces(100, even);
	pass_interval();
	assert_int_equal(ejected(), 0);
	call_at_paces(100, uneven);
	pass_interval();
	assert_true(is_ejected(1));
	assert_int_equal(ejected(), 1);
}

static void a_twentieth_of_slow_calls_is_not_slow(void **state)
{
	pmz_balance_config c = patient();
	int i;

	(void)state;
	c.eject_slow_pct = 300;
	start(&c, 3);
	for (i = 0; i < 100; i++) {
		call_for(0, PMZ_SUCCESS, PMZ_MS(1));
		call_for(1, PMZ_SUCCESS, i < 5 ? PMZ_MS(100) : PMZ_MS(1));
		call_for(2, PMZ_SUCCESS, PMZ_MS(1));
	}
	expect_between(stats_of(1).p95_ns, PMZ_US(880), PMZ_US(1120));
	pass_interval();
	assert_int_equal(ejected(), 0);
	for (i = 0; i < 100; i++) {
		call_for(0, PMZ_SUCCESS, PMZ_MS(1));
		call_for(1, PMZ_SUCCESS, i < 6 ? PMZ_MS(100) : PMZ_MS(1));
		call_for(2, PMZ_SUCCESS, PMZ_MS(1));
	}
	expect_between(stats_of(1).p95_ns, PMZ_MS(88), PMZ_MS(112));
	pass_interval();
	assert_true(is_ejected(1));
}

static void times_are_told_to_within_an_eighth(void **state)
{
	pmz_ns takes;

	for (takes = 1024; takes < PMZ_S(1000); takes = takes * 9 / 8) {
		start_as(PMZ_LEAST, 1);
		call_for(0, PMZ_SUCCESS, takes);
		expect_between(stats_of(0).p95_ns, takes - takes / 8,
		               takes + takes / 8);
		stop(state);
	}
}

/* Slow start. */

static pmz_balance_config slow_starting(pmz_strategy strategy)
{
	pmz_balance_config c = config_of(strategy);

	c.slow_start_ns = PMZ_S(100);
	return c;
}

static const struct {
	pmz_ns age;
	uint32_t pct;
} ramp[] = { { 0, 10 },           { PMZ_S(10) - 1, 10 }, { PMZ_S(25), 25 },
	     { PMZ_S(50), 50 },   { PMZ_S(90), 90 },     { PMZ_S(100), 100 },
	     { PMZ_S(1000), 100 } };

static void expect_ramp(uint32_t endpoint)
{
	pmz_ns begun = t.now;
	uint32_t each[2];
	size_t i;

	for (i = 0; i < KIT_COUNT(ramp); i++) {
		t.now = begun + ramp[i].age;
		count_picks(MANY, each, 2);
		expect_share(each[endpoint], MANY,
		             ramp[i].pct * 10000 * 100 / (100 + ramp[i].pct));
	}
}

static void a_new_one_starts_slowly(void **state)
{
	static const pmz_strategy strategies[] = { PMZ_RANDOM, PMZ_LEAST,
		                                   PMZ_EWMA };
	size_t s;

	for (s = 0; s < KIT_COUNT(strategies); s++) {
		pmz_balance_config c = slow_starting(strategies[s]);

		if (strategies[s] == PMZ_EWMA)
			continue; /* it is drawn in proportion, then compared */
		start(&c, 1);
		t.now += PMZ_S(1000);
		expect_ramp(add(1));
		stop(state);
	}
}

static void who_returns_starts_slowly(void **state)
{
	pmz_balance_config c = slow_starting(PMZ_RANDOM);

	(void)state;
	start(&c, 2);
	t.now += PMZ_S(1000);
	rest_after_failures(1);
	sleep_out(1);
	expect_ramp(1);
	pmz_balance_health(t.b, 0, 0, t.now);
	t.now += PMZ_S(1000);
	pmz_balance_health(t.b, 0, 1, t.now);
	expect_ramp(0);
}

static void good_news_that_are_none_do_not_start_it_again(void **state)
{
	pmz_balance_config c = slow_starting(PMZ_RANDOM);
	uint32_t each[2];

	(void)state;
	start(&c, 2);
	t.now += PMZ_S(1000);
	pmz_balance_health(t.b, 0, 1, t.now);
	count_picks(MANY, each, 2);
	expect_share(each[0], MANY, 500000);
}

static void keys_move_over_as_it_ramps_up_and_stay(void **state)
{
	pmz_balance_config c = slow_starting(PMZ_BY_KEY);
	uint32_t moved = 0, i, step, before;
	static char there[2000];

	(void)state;
	start(&c, 3);
	t.now += PMZ_S(1000);
	add(1);
	for (step = 0; step <= 10; step++) {
		before = moved;
		for (moved = i = 0; i < sizeof(there); i++) {
			uint32_t is_new = home_of(i) == 3;

			assert_true(is_new || !there[i]);
			there[i] = (char)is_new;
			moved += is_new;
		}
		assert_true(moved >= before);
		t.now += PMZ_S(10);
	}
	assert_in_range(moved, 400, 600);
}

/* Health. */

static void the_unhealthy_are_passed_over(void **state)
{
	pmz_strategy s;
	uint32_t i;

	for (s = PMZ_LEAST; s <= PMZ_MAGLEV_KEY; s++) {
		start_as(s, 4);
		pmz_balance_health(t.b, 0, 0, t.now);
		pmz_balance_health(t.b, 2, 0, t.now);
		for (i = 0; i < 200; i++)
			assert_int_equal(pick().endpoint % 2, 1);
		assert_int_equal(stats_of(0).healthy, 0);
		assert_int_equal(stats_of(0).ejected_until, 0);
		pmz_balance_health(t.b, 0, 1, t.now);
		assert_int_equal(stats_of(0).healthy, 1);
		stop(state);
	}
}

static void too_few_in_health_is_panic(void **state)
{
	pmz_strategy s;
	uint32_t each[4], i;

	for (s = PMZ_LEAST; s <= PMZ_MAGLEV_KEY; s++) {
		start_as(s, 4);
		for (i = 0; i < 3; i++)
			pmz_balance_health(t.b, i, 0, t.now);
		count_picks(4000, each, 4);
		for (i = 0; i < 4; i++)
			assert_in_range(each[i], 500, 1500);
		/* Half is enough. */
		pmz_balance_health(t.b, 0, 1, t.now);
		count_picks(4000, each, 4);
		assert_int_equal(each[1] + each[2], 0);
		stop(state);
	}
}

static void without_panic_an_outage_of_all_refuses(void **state)
{
	pmz_strategy s;
	uint32_t i;

	for (s = PMZ_LEAST; s <= PMZ_MAGLEV_KEY; s++) {
		pmz_balance_config c = config_of(s);

		c.panic_pct = PMZ_OFF;
		start(&c, 3);
		for (i = 0; i < 3; i++)
			pmz_balance_health(t.b, i, 0, t.now);
		expect_none();
		stop(state);
	}
}

static void a_rest_that_is_over_ends_the_panic(void **state)
{
	pmz_balance_config c = config_of(PMZ_RANDOM);
	uint32_t each[4];

	(void)state;
	c.panic_pct = 60;
	start(&c, 4);
	rest_after_failures(0);
	t.now += PMZ_S(5);
	rest_after_failures(1);
	count_picks(1000, each, 4);
	assert_true(each[0] && each[1]);
	sleep_out(0);
	count_picks(1000, each, 4);
	assert_true(each[0] && !each[1]);
}

static uint32_t admitted_of_many(uint32_t back)
{
	uint32_t admitted = 0, i;

	for (i = 0; i < MANY; i++) {
		pmz_pick p;

		if (pmz_balance_pick(t.b, NULL, t.now, &p) != PMZ_OK)
			continue;
		admitted++;
		assert_true(p.endpoint < back);
		settle(&p, PMZ_SUCCESS);
	}
	return admitted;
}

static void after_an_outage_admission_grows_with_the_healthy(void **state)
{
	pmz_strategy s;
	uint32_t i;

	for (s = PMZ_LEAST; s <= PMZ_MAGLEV_KEY; s++) {
		start_as(s, 8);
		for (i = 0; i < 8; i++)
			pmz_balance_health(t.b, i, 0, t.now);
		expect_share(admitted_of_many(8), MANY, 1000000);
		for (i = 0; i < 4; i++) {
			pmz_balance_health(t.b, i, 1, t.now);
			expect_share(admitted_of_many(i + 1), MANY,
			             (i + 1) * 250000);
		}
		/* From now on it is an outage of some again. */
		pmz_balance_health(t.b, 0, 0, t.now);
		expect_share(admitted_of_many(8), MANY, 1000000);
		stop(state);
	}
}

/* Clocks. */

static void time_that_goes_back_does_no_harm(void **state)
{
	uint32_t i;

	(void)state;
	start_as(PMZ_LEAST, 4);
	for (i = 0; i < 100; i++) {
		pmz_pick p = pick();

		t.now = i % 2 ? BOOT + i : BOOT - PMZ_S(100);
		settle(&p, PMZ_SUCCESS);
	}
	rest_after_failures(1);
	t.now -= PMZ_S(500);
	assert_true(is_ejected(1));
	for (i = 0; i < 100; i++)
		assert_int_not_equal(pick().endpoint, 1);
	t.now = PMZ_NEVER;
	pick();
	t.now = 0;
	pick();
}

/* The split. */

static void a_part_is_as_large_as_it_says_and_only_grows(void **state)
{
	static const uint32_t parts[] = { 0,      1000,   100000,
		                          500000, 900000, 1000000 };
	uint32_t in, i;
	size_t p;

	(void)state;
	for (p = 0; p < KIT_COUNT(parts); p++) {
		for (in = i = 0; i < MANY; i++) {
			int is_in = pmz_canary(i, 1, parts[p]);

			in += (uint32_t)is_in;
			if (p)
				assert_true(is_in ||
				            !pmz_canary(i, 1, parts[p - 1]));
		}
		expect_share(in, MANY, parts[p]);
		if (parts[p] % 1000000 == 0)
			assert_int_equal(in, parts[p] ? MANY : 0);
	}
}

static void two_splits_part_the_keys_in_their_own_ways(void **state)
{
	uint32_t both = 0, i;

	(void)state;
	for (i = 0; i < MANY; i++)
		both += (uint32_t)(pmz_canary(i, 1, 500000) &&
		                   pmz_canary(i, 2, 500000));
	expect_share(both, MANY, 250000);
}

#define TEST(name) cmocka_unit_test_teardown(name, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_bad_config_names_its_field),
		TEST(everything_may_be_switched_off),
		TEST(nobody_is_nobody),
		TEST(what_cannot_be_added_changes_nothing),
		TEST(who_is_not_there_cannot_be_asked_for),
		TEST(numbers_stay_as_others_come_and_go),
		TEST(a_number_is_not_given_away_while_a_call_is_out),
		TEST(a_copy_settled_late_does_no_harm),
		TEST(picks_are_counted_beyond_what_a_load_has_room_for),
		TEST(an_outcome_that_is_none_keeps_the_pick),
		TEST(a_drained_one_gets_nothing_and_keeps_what_it_has),
		TEST(the_same_seed_picks_the_same),
		TEST(clients_do_not_start_in_step),
		TEST(turns_are_exact_over_each_cycle),
		TEST(turns_are_smooth),
		TEST(equals_take_turns),
		TEST(turns_of_heavy_weights_come_near_them),
		TEST(the_least_loaded_gets_the_call),
		TEST(loads_are_as_the_weights),
		TEST(the_better_of_two_evens_loads_out),
		TEST(each_gets_its_share),
		TEST(who_takes_longer_gets_less),
		TEST(a_longer_time_counts_at_once_and_fades),
		TEST(many_small_steps_fade_as_one),
		TEST(who_fails_at_once_does_not_look_quick),
		TEST(a_new_one_gets_one_call_at_a_time),
		TEST(a_key_stays_where_it_is),
		TEST(a_hot_key_spills_over_at_the_cap),
		TEST(without_a_key_any_will_do),
		TEST(a_key_passes_over_who_is_out_and_returns),
		TEST(those_tried_are_avoided),
		TEST(where_all_were_tried_any_will_do),
		TEST(avoiding_does_not_lead_to_who_is_out),
		TEST(the_fifth_failure_in_a_row_ejects),
		TEST(rests_grow_and_shrink_again),
		TEST(results_from_before_the_rest_do_not_eject_again),
		TEST(never_more_than_may_be_and_never_the_last),
		TEST(a_bench_is_free_when_its_rest_is_over),
		TEST(a_smaller_set_takes_back_who_is_too_many),
		TEST(who_leaves_gives_its_bench_to_others),
		TEST(a_rate_far_below_the_others_ejects),
		TEST(only_the_interval_counts),
		TEST(a_share_of_failures_ejects),
		TEST(who_is_slow_beside_the_others_is_ejected),
		TEST(a_twentieth_of_slow_calls_is_not_slow),
		TEST(times_are_told_to_within_an_eighth),
		TEST(a_new_one_starts_slowly),
		TEST(who_returns_starts_slowly),
		TEST(good_news_that_are_none_do_not_start_it_again),
		TEST(keys_move_over_as_it_ramps_up_and_stay),
		TEST(the_unhealthy_are_passed_over),
		TEST(too_few_in_health_is_panic),
		TEST(without_panic_an_outage_of_all_refuses),
		TEST(a_rest_that_is_over_ends_the_panic),
		TEST(after_an_outage_admission_grows_with_the_healthy),
		TEST(time_that_goes_back_does_no_harm),
		TEST(a_part_is_as_large_as_it_says_and_only_grows),
		TEST(two_splits_part_the_keys_in_their_own_ways),
	};

	return cmocka_run_group_tests_name("balance", tests, NULL, NULL);
}
