/*
 * watch.c - several descriptors that are waited for as one.
 */
#include "expect.h"

#include <poll.h>
#include <sys/resource.h>
#include <unistd.h>

#include "redis/watch.h"

#define PIPES 3

typedef struct rig {
	pmz__watch watch;
	pmz__watched of[PIPES];
	int to[PIPES];
} rig;

static void open_pipe(rig *r, unsigned i)
{
	int ends[2];

	assert_int_equal(pipe(ends), 0);
	r->of[i].fd = ends[0];
	r->of[i].events = POLLIN;
	r->of[i].serial++;
	r->to[i] = ends[1];
}

static void close_pipe(rig *r, unsigned i)
{
	close(r->of[i].fd);
	close(r->to[i]);
}

static void rig_open(rig *r)
{
	unsigned i;

	pmz__watch_init(&r->watch);
	for (i = 0; i < PIPES; i++) {
		r->of[i].serial = 0;
		open_pipe(r, i);
	}
}

static void rig_close(rig *r)
{
	unsigned i;

	pmz__watch_end(&r->watch);
	for (i = 0; i < PIPES; i++)
		close_pipe(r, i);
}

static int is_ready(rig *r)
{
	struct pollfd p = { pmz__watch_all(&r->watch, r->of, PIPES), POLLIN,
		            0 };

	assert_true(p.fd >= 0);
	return poll(&p, 1, 0) > 0;
}

static void say(const rig *r, unsigned i)
{
	assert_int_equal(write(r->to[i], "x", 1), 1);
}

static void hear(const rig *r, unsigned i)
{
	char byte;

	assert_int_equal(read(r->of[i].fd, &byte, 1), 1);
}

static void it_is_ready_when_one_of_them_is(void **state)
{
	unsigned i;
	rig r;

	(void)state;
	rig_open(&r);
	for (i = 0; i < PIPES; i++) {
		assert_false(is_ready(&r));
		say(&r, i);
		assert_true(is_ready(&r));
		hear(&r, i);
	}
	assert_false(is_ready(&r));
	rig_close(&r);
}

static void
one_that_can_be_written_to_is_ready_where_that_was_asked(void **state)
{
	rig r;

	(void)state;
	rig_open(&r);
	assert_false(is_ready(&r));
	close(r.of[1].fd);
	r.of[1].fd = dup(r.to[0]);
	r.of[1].events = POLLOUT;
	assert_true(is_ready(&r));
	r.of[1].events = POLLIN;
	assert_false(is_ready(&r));
	rig_close(&r);
}

/* The kernel has dropped the first of that number without a word. */
static void the_next_of_the_same_number_is_watched_too(void **state)
{
	rig r;
	int number;

	(void)state;
	rig_open(&r);
	assert_false(is_ready(&r));
	number = r.of[1].fd;
	close_pipe(&r, 1);
	open_pipe(&r, 1);
	assert_int_equal(r.of[1].fd, number);
	assert_false(is_ready(&r));
	say(&r, 1);
	assert_true(is_ready(&r));
	rig_close(&r);
}

static void who_has_left_is_not_waited_for(void **state)
{
	struct pollfd p = { -1, POLLIN, 0 };
	rig r;

	(void)state;
	rig_open(&r);
	say(&r, PIPES - 1);
	assert_true(is_ready(&r));
	p.fd = pmz__watch_all(&r.watch, r.of, PIPES - 1);
	assert_int_equal(poll(&p, 1, 0), 0);
	rig_close(&r);
}

static void a_set_that_stays_is_not_made_anew(void **state)
{
	rig r;
	int fd;

	(void)state;
	rig_open(&r);
	fd = pmz__watch_all(&r.watch, r.of, PIPES);
	assert_int_equal(pmz__watch_all(&r.watch, r.of, PIPES), fd);
	/* It would have this number in the place of the old one. */
	close(fd);
	assert_int_equal(pmz__watch_all(&r.watch, r.of, PIPES), fd);
	assert_int_equal(close(fd), -1);
	rig_close(&r);
}

static void without_a_descriptor_for_it_the_first_is_waited_for(void **state)
{
	struct rlimit was, none;
	rig r;
	int fd;

	(void)state;
	rig_open(&r);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
	none = was;
	none.rlim_cur = 0;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	fd = pmz__watch_all(&r.watch, r.of, PIPES);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
	assert_int_equal(fd, r.of[0].fd);
	say(&r, 2);
	assert_true(is_ready(&r));
	rig_close(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_is_ready_when_one_of_them_is),
		cmocka_unit_test(
			one_that_can_be_written_to_is_ready_where_that_was_asked),
		cmocka_unit_test(the_next_of_the_same_number_is_watched_too),
		cmocka_unit_test(who_has_left_is_not_waited_for),
		cmocka_unit_test(a_set_that_stays_is_not_made_anew),
		cmocka_unit_test(
			without_a_descriptor_for_it_the_first_is_waited_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
