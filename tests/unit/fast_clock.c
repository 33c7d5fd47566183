/*
 * fast_clock.c - the fast clock of a machine whose counter and clock are the
 * test's.
 */
#define pmz_now world_now
#define PMZ__TICKS world_ticks
#include <stdint.h>

static uint64_t world_ticks(void);
static int has_ticks(void);

#include "../../lib/edge/fast_clock.c"
#undef pmz_now

#include "expect.h"

#include <string.h>

#include "dice.h"

#define AGREE_NS PMZ_US(2)
#define STEPS 200000

static struct world {
	double now, ticks;  /* ns; of the counter */
	double rate;        /* ticks in a ns */
	double before_ns;   /* a reading of the clock takes so long */
	double after_ns;    /* ... from when it is read */
	unsigned looks;     /* at the clock */
	int has_no_counter;
} world;

static pmz_fast_clock clock_;

static void pass(double ns)
{
	world.now += ns;
	world.ticks += ns * world.rate;
}

pmz_ns world_now(void)
{
	pmz_ns now;

	world.looks++;
	pass(world.before_ns);
	now = (pmz_ns)world.now;
	pass(world.after_ns);
	return now;
}

static uint64_t world_ticks(void)
{
	return (uint64_t)world.ticks;
}

static int has_ticks(void)
{
	return !world.has_no_counter;
}

static int reset(void **state)
{
	(void)state;
	memset(&world, 0, sizeof(world));
	memset(&clock_, 0, sizeof(clock_));
	world.now = 1e15;
	world.ticks = 7e11;
	world.rate = 2.1;
	world.before_ns = world.after_ns = 13;
	return 0;
}

static double apart(void)
{
	double told = (double)pmz_now_fast(&clock_);

	return told > world.now ? told - world.now : world.now - told;
}

/* For so long, and looked at each us. */
static void use_for(double ns)
{
	double end = world.now + ns;

	while (world.now < end) {
		pass(1000);
		(void)pmz_now_fast(&clock_);
	}
}

static void most_readings_do_not_look_at_the_clock(void **state)
{
	(void)state;
	use_for(5e6);
	world.looks = 0;
	use_for(1e8);
	assert_in_range(world.looks, 100, 120);
}

/* Windows that end within ns of a ms, of readings that are not alike. */
static void to_be_asked_without_pause_is_no_reason_to_look(void **state)
{
	dice d = dice_of(4);
	int step;

	(void)state;
	use_for(5e6);
	world.looks = 0;
	for (step = 0; step < 10000000; step++) {
		world.before_ns = (double)dice_between(&d, 5, 200);
		world.after_ns = (double)dice_between(&d, 5, 200);
		pass(10);
		(void)pmz_now_fast(&clock_);
	}
	assert_in_range(world.looks, 100, 150);
}

static void it_agrees_with_the_clock_whatever_the_counters_rate(void **state)
{
	static const double rates[] = { 0.07, 0.5, 1, 2.1, 3.999, 15, 200 };
	size_t i;
	int step;

	for (i = 0; i < sizeof(rates) / sizeof(*rates); i++) {
		reset(state);
		world.rate = rates[i];
		for (step = 0; step < 20000; step++) {
			pass(700);
			assert_true(apart() <= (double)AGREE_NS);
		}
		assert_true(world.looks < 20000 / 2);
	}
}

static void it_follows_a_clock_that_is_slewed(void **state)
{
	double base = world.rate;
	dice d = dice_of(1);
	int step;

	(void)state;
	for (step = 0; step < STEPS; step++) {
		if (dice_once_in(&d, 3000))
			world.rate = base *
			             (1 + ((double)dice_between(&d, 0, 1000) -
			                   500) / 1e6);
		pass((double)dice_between(&d, 0, 1500));
		assert_true(apart() <= (double)AGREE_NS);
	}
}

static double interruption(dice *d)
{
	return dice_once_in(d, 3) ? (double)dice_between(d, 0, 90000) : 13;
}

static void a_reading_that_is_interrupted_makes_no_window(void **state)
{
	dice d = dice_of(2);
	int life, step;

	for (life = 0; life < 100; life++) {
		reset(state);
		for (step = 0; step < 10000; step++) {
			world.before_ns = interruption(&d);
			world.after_ns = interruption(&d);
			pass(700);
			/* It may be an instant of before the interruption. */
			assert_true(apart() <=
			            (double)AGREE_NS + world.after_ns);
		}
	}
}

static void what_was_told_never_goes_back(void **state)
{
	dice d = dice_of(3);
	pmz_ns last = 0, told;
	int step;

	(void)state;
	for (step = 0; step < 10 * STEPS; step++) {
		pass((double)dice_between(&d, 0, 3000));
		if (dice_once_in(&d, 20000))
			world.ticks -= (double)dice_between(&d, 0, 2000000);
		if (dice_once_in(&d, 20000))
			world.ticks += (double)dice_between(&d, 0, 2000000);
		if (dice_once_in(&d, 50000))
			world.ticks = 1;
		if (dice_once_in(&d, 20000))
			world.now += (double)dice_between(&d, 0, 2000000);
		told = pmz_now_fast(&clock_);
		assert_true(told >= last);
		/* A counter that leaps lies for a ms at most. */
		assert_true((double)told < world.now + 1.1e6);
		last = told;
	}
	assert_true(world.looks < 10 * STEPS / 2);
}

static void a_machine_that_slept_is_late_for_a_ms_at_most(void **state)
{
	(void)state;
	use_for(5e6);
	world.now += 3600e9;
	use_for(1.01e6);
	assert_true(apart() <= (double)AGREE_NS);
	use_for(5e6);
	world.looks = 0;
	use_for(1e7);
	assert_true(world.looks < 20);
}

static void a_counter_that_began_anew_is_noticed_at_once(void **state)
{
	(void)state;
	use_for(5e6);
	world.ticks = 5;
	pass(1000);
	assert_true(apart() <= (double)AGREE_NS);
}

static void without_a_counter_it_is_the_plain_clock(void **state)
{
	(void)state;
	world.has_no_counter = 1;
	world.rate = 0;
	use_for(5e6);
	world.looks = 0;
	assert_true(apart() <= (double)AGREE_NS);
	assert_int_equal(world.looks, 1);
}

static void a_counter_that_is_too_slow_is_not_gone_by(void **state)
{
	static const double rates[] = { 0, 1e-6, 0.001, 0.01 };
	size_t i;
	int step;

	for (i = 0; i < sizeof(rates) / sizeof(*rates); i++) {
		reset(state);
		world.rate = rates[i];
		for (step = 0; step < 20000; step++) {
			pass(700);
			assert_true(apart() <= (double)AGREE_NS);
		}
		assert_true(world.looks >= 20000);
	}
}

static void who_asks_seldom_is_told_the_clock(void **state)
{
	int i;

	(void)state;
	for (i = 0; i < 1000; i++) {
		pass(3e9);
		assert_true(apart() <= (double)AGREE_NS);
	}
	for (i = 0; i < 1000; i++) {
		pass(1e8);
		assert_true(apart() <= (double)AGREE_NS);
	}
}

#define T(name) cmocka_unit_test_setup(name, reset)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(most_readings_do_not_look_at_the_clock),
		T(to_be_asked_without_pause_is_no_reason_to_look),
		T(it_agrees_with_the_clock_whatever_the_counters_rate),
		T(it_follows_a_clock_that_is_slewed),
		T(a_reading_that_is_interrupted_makes_no_window),
		T(what_was_told_never_goes_back),
		T(a_machine_that_slept_is_late_for_a_ms_at_most),
		T(a_counter_that_began_anew_is_noticed_at_once),
		T(without_a_counter_it_is_the_plain_clock),
		T(a_counter_that_is_too_slow_is_not_gone_by),
		T(who_asks_seldom_is_told_the_clock),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
