/*
 * clock.c - the edge of a machine that misbehaves: this file is its clock, its
 * sleep and its generator, which the linker prefers to those of the C library.
 */
#include "expect.h"

#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <pipemaze/edge.h>

#define DAY PMZ_S(24 * 3600)

static struct world {
	pmz_ns now;
	pmz_ns longest; /* nap that was asked for */
	unsigned naps;
	unsigned interrupts; /* so many naps end half-way */
	int no_boottime;     /* the kernel does not have that clock */
	int no_absolute;     /* nobody can sleep on it */
	int no_generator;
	jmp_buf enough; /* where to go after ... */
	unsigned naps_max;
	const pmz_bulkhead *watched;
	uint32_t taken; /* of its slots, during naps */
} world;

static int reset(void **state)
{
	(void)state;
	memset(&world, 0, sizeof(world));
	world.now = PMZ_S(1000);
	return 0;
}

static pmz_ns ns_of(const struct timespec *t)
{
	assert_in_range(t->tv_nsec, 0, 999999999);
	return PMZ_S(t->tv_sec) + (pmz_ns)t->tv_nsec;
}

static void watch(void)
{
	pmz_bulkhead_stats stats;

	stats.size = sizeof(stats);
	expect_status(pmz_bulkhead_read(world.watched, &stats), PMZ_OK);
	world.taken += stats.in_use;
}

static int sleep_for(pmz_ns span)
{
	if (world.watched)
		watch();
	if (world.naps_max && world.naps == world.naps_max)
		longjmp(world.enough, 1);
	world.naps++;
	if (span > world.longest)
		world.longest = span;
	if (world.interrupts) {
		world.interrupts--;
		world.now += span / 2;
		return EINTR;
	}
	world.now += span;
	return 0;
}

int clock_gettime(clockid_t clock, struct timespec *t)
{
	if (clock == CLOCK_BOOTTIME && world.no_boottime) {
		errno = EINVAL;
		return -1;
	}
	t->tv_sec = (time_t)(world.now / PMZ_S(1));
	t->tv_nsec = (long)(world.now % PMZ_S(1));
	return 0;
}

int clock_nanosleep(clockid_t clock, int flags, const struct timespec *until,
                    struct timespec *left)
{
	(void)left;
	assert_int_equal(clock, CLOCK_BOOTTIME);
	assert_int_equal(flags, TIMER_ABSTIME);
	if (world.no_absolute)
		return EINVAL;
	return sleep_for(ns_of(until) - world.now);
}

int nanosleep(const struct timespec *span, struct timespec *left)
{
	(void)left;
	errno = sleep_for(ns_of(span));
	return errno ? -1 : 0;
}

int getentropy(void *out, size_t len)
{
	static unsigned char next;

	if (world.no_generator) {
		errno = ENOSYS;
		return -1;
	}
	memset(out, ++next, len);
	return 0;
}

static void now_is_what_the_clock_says(void **state)
{
	(void)state;
	world.now = PMZ_S(5000000000u) + 999999999;
	assert_int_equal(pmz_now(), world.now);
}

static void where_there_is_no_boottime_the_monotonic_clock_counts(void **state)
{
	(void)state;
	world.no_boottime = 1;
	assert_int_equal(pmz_now(), PMZ_S(1000));
}

static void an_instant_that_is_past_is_not_slept_for(void **state)
{
	(void)state;
	pmz_sleep_until(0);
	pmz_sleep_until(world.now - 1);
	pmz_sleep_until(world.now);
	assert_int_equal(world.naps, 0);
	pmz_sleep_until(world.now + 1);
	assert_int_equal(world.naps, 1);
	assert_int_equal(world.now, PMZ_S(1000) + 1);
}

static void a_sleep_ends_at_its_instant(void **state)
{
	(void)state;
	pmz_sleep_until(PMZ_S(1002) + 345);
	assert_int_equal(world.now, PMZ_S(1002) + 345);
	assert_int_equal(world.naps, 1);
}

static void interrupts_do_not_end_a_sleep(void **state)
{
	(void)state;
	world.interrupts = 1000;
	pmz_sleep_until(PMZ_S(1002));
	assert_int_equal(world.now, PMZ_S(1002));
	assert_int_equal(world.naps, 1001);
}

static void a_clock_that_cannot_be_slept_on_is_slept_beside(void **state)
{
	(void)state;
	world.no_absolute = 1;
	world.interrupts = 3;
	pmz_sleep_until(PMZ_S(1000) + DAY + 5);
	assert_int_equal(world.now, PMZ_S(1000) + DAY + 5);
	assert_int_equal(world.naps, 4);
}

static void a_long_sleep_asks_for_no_more_than_a_day_at_once(void **state)
{
	(void)state;
	pmz_sleep_until(PMZ_S(1000) + 10 * DAY + 5);
	assert_int_equal(world.now, PMZ_S(1000) + 10 * DAY + 5);
	assert_int_equal(world.naps, 11);
	assert_int_equal(world.longest, DAY);
}

static void never_does_not_come(void **state)
{
	(void)state;
	world.naps_max = 200000;
	if (!setjmp(world.enough)) {
		pmz_sleep_until(PMZ_NEVER);
		fail();
	}
	/* Some 548 of the 584 years that 64 bits hold. */
	assert_int_equal(world.now, PMZ_S(1000) + 200000 * DAY);
}

static void random_is_what_the_system_draws(void **state)
{
	uint64_t one = pmz_random(), two = pmz_random();

	(void)state;
	assert_int_equal(two - one, 0x0101010101010101u);
}

static void without_a_generator_draws_differ_as_instants_do(void **state)
{
	uint64_t one, two;

	(void)state;
	world.no_generator = 1;
	one = pmz_random();
	world.now++;
	two = pmz_random();
	assert_int_not_equal(one, two);
	assert_int_not_equal(one >> 32, two >> 32);
	assert_int_not_equal((uint32_t)one, (uint32_t)two);
}

static pmz_outcome fail_once(pmz_ns due, void *ctx)
{
	unsigned *tries = ctx;

	(void)due;
	world.now += PMZ_MS(10);
	return (*tries)++ ? PMZ_SUCCESS : PMZ_FAILURE;
}

static void a_call_that_waits_holds_nothing(void **state)
{
	pmz_pipe *pipe;
	pmz_pipe_rules rules;
	unsigned tries = 0;

	(void)state;
	expect_status(pmz_pipe_from(&pipe, "bulkhead 1 | tries 2 backoff "
	                                   "1s..1s jitter none", NULL, NULL),
	              PMZ_OK);
	rules.size = sizeof(rules);
	expect_status(pmz_pipe_read(pipe, &rules), PMZ_OK);
	world.watched = rules.bulkhead;
	expect_status(pmz_run(pipe, NULL, fail_once, &tries, NULL), PMZ_OK);
	assert_int_equal(world.naps, 1);
	assert_int_equal(world.taken, 0);
	assert_int_equal(world.now, PMZ_S(1001) + PMZ_MS(20));
	pmz_pipe_free(pipe);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(now_is_what_the_clock_says, reset),
		cmocka_unit_test_setup(
			where_there_is_no_boottime_the_monotonic_clock_counts,
			reset),
		cmocka_unit_test_setup(an_instant_that_is_past_is_not_slept_for,
		                       reset),
		cmocka_unit_test_setup(a_sleep_ends_at_its_instant, reset),
		cmocka_unit_test_setup(interrupts_do_not_end_a_sleep, reset),
		cmocka_unit_test_setup(
			a_clock_that_cannot_be_slept_on_is_slept_beside, reset),
		cmocka_unit_test_setup(
			a_long_sleep_asks_for_no_more_than_a_day_at_once,
			reset),
		cmocka_unit_test_setup(never_does_not_come, reset),
		cmocka_unit_test_setup(random_is_what_the_system_draws, reset),
		cmocka_unit_test_setup(
			without_a_generator_draws_differ_as_instants_do,
			reset),
		cmocka_unit_test_setup(a_call_that_waits_holds_nothing, reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
