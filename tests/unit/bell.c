/*
 * bell.c - descriptors that turn readable when they are rung, or in time.
 */
#include "expect.h"

#include <fcntl.h>
#include <poll.h>

#include <pipemaze/edge.h>

#include "lock/bell.h"

/* Never waited for in full: a ring ends it. */
#define LONG PMZ_S(3600)

static int rings(int fd)
{
	struct pollfd one = { fd, POLLIN, 0 };

	return poll(&one, 1, 0);
}

static void a_bell_is_silent_until_it_is_rung(void **state)
{
	pmz__bell bell;

	(void)state;
	assert_int_equal(pmz__bell_open(&bell), 0);
	assert_int_equal(rings(bell.fd), 0);
	assert_int_equal(pmz__bell_hush(&bell), 0);
	pmz__bell_ring(&bell);
	assert_int_equal(rings(bell.fd), 1);
	pmz__bell_close(&bell);
}

static void one_hush_ends_many_rings(void **state)
{
	pmz__bell bell;
	int i;

	(void)state;
	assert_int_equal(pmz__bell_open(&bell), 0);
	/* More than a pipe holds. */
	for (i = 0; i < 20000; i++)
		pmz__bell_ring(&bell);
	assert_int_equal(pmz__bell_hush(&bell), 1);
	assert_int_equal(rings(bell.fd), 0);
	assert_int_equal(pmz__bell_hush(&bell), 0);
	pmz__bell_ring(&bell);
	assert_int_equal(rings(bell.fd), 1);
	pmz__bell_close(&bell);
}

static void no_child_program_inherits_a_bell(void **state)
{
	pmz__bell bell;

	(void)state;
	assert_int_equal(pmz__bell_open(&bell), 0);
	assert_true(fcntl(bell.fd, F_GETFD) & FD_CLOEXEC);
	assert_true(fcntl(bell.in, F_GETFD) & FD_CLOEXEC);
	pmz__bell_close(&bell);
	assert_int_equal(bell.fd, -1);
	pmz__bell_close(&bell);
}

static void an_alarm_whose_time_has_come_ends_a_wait(void **state)
{
	pmz_ns now = pmz_now();
	pmz__alarm alarm;

	(void)state;
	assert_int_equal(pmz__alarm_open(&alarm), 0);
	pmz__alarm_set(&alarm, now - 1, now);
	pmz__alarm_wait(&alarm, now);
	pmz__alarm_set(&alarm, now, now);
	pmz__alarm_wait(&alarm, now);
	pmz__alarm_close(&alarm);
}

static void a_ring_ends_the_wait_for_an_alarm(void **state)
{
	pmz_ns now = pmz_now();
	pmz__alarm alarm;

	(void)state;
	assert_int_equal(pmz__alarm_open(&alarm), 0);
	pmz__alarm_set(&alarm, now + LONG, now);
	assert_int_equal(rings(alarm.fd), 0);
	pmz__alarm_ring(&alarm);
	pmz__alarm_wait(&alarm, now);
	assert_int_equal(rings(alarm.fd), 1);
	pmz__alarm_close(&alarm);
}

static void an_alarm_that_is_set_anew_is_silent_again(void **state)
{
	pmz_ns now = pmz_now();
	pmz__alarm alarm;

	(void)state;
	assert_int_equal(pmz__alarm_open(&alarm), 0);
	pmz__alarm_set(&alarm, now + LONG, now);
	pmz__alarm_ring(&alarm);
	pmz__alarm_wait(&alarm, now);
	pmz__alarm_set(&alarm, PMZ_NEVER, now);
	assert_int_equal(rings(alarm.fd), 0);
	pmz__alarm_close(&alarm);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_bell_is_silent_until_it_is_rung),
		cmocka_unit_test(one_hush_ends_many_rings),
		cmocka_unit_test(no_child_program_inherits_a_bell),
		cmocka_unit_test(an_alarm_whose_time_has_come_ends_a_wait),
		cmocka_unit_test(a_ring_ends_the_wait_for_an_alarm),
		cmocka_unit_test(an_alarm_that_is_set_anew_is_silent_again),
	};

	return cmocka_run_group_tests_name("bell", tests, NULL, NULL);
}
