/*
 * interrupted.c - all that blocks, in a storm of signals.
 *
 * A timer interrupts the thread some thousand times a second, and no system
 * call is restarted. What comes out is what comes out without it: the same
 * statuses, in time, and nothing is lost.
 */
#include "expect.h"

#include <hiredis/hiredis.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include <pipemaze.h>
#include <pipemaze/lock_hiredis.h>

#include "leases.h"
#include "proxy.h"
#include "redis.h"
#include "storm.h"

#define NODES 3
#define ROUNDS 12
#define EVERY_US 250
#define TTL PMZ_S(30)
#define LONG PMZ_S(30)
/* A busy machine's, on top of what a call may take. */
#define SLACK PMZ_S(10)
#define TRIP_MS 2 /* so that there is something to interrupt */

static kit_redis *servers[NODES];
static kit_proxy *slow[NODES];
static const char *addresses[NODES];
static const char *const in_memory = "memory:";
static pmz_lease lease, other;
static pmz_why why;

static _Thread_local volatile sig_atomic_t hits;

static void hit(int number)
{
	(void)number;
	hits++;
}

static timer_t begin(void)
{
	hits = 0;
	return storm_begin(hit, EVERY_US);
}

/* It has blown. */
static void end(timer_t storm)
{
	timer_delete(storm);
	if (!hits)
		kit_fail("the timer interrupted nothing");
}

static pmz_locks *open_at(const char *const *where, size_t count)
{
	pmz_locks_config cfg = kit_locks_patient();

	return kit_locks_quorum(where, count, &cfg);
}

static void take_and_give(pmz_locks *locks, const char *name, uint64_t *highest)
{
	int status = pmz_lock_acquire(locks, name, TTL, 0, &lease, &why);

	if (status)
		fail_msg("%s: %s", pmz_status_name(status), why.text);
	expect_status(pmz_fence_check(highest, lease.fence), PMZ_OK);
	expect_status(pmz_lock_peek(locks, name, &other), PMZ_OK);
	assert_string_equal(other.token, lease.token);
	expect_status(pmz_lock_extend(locks, &lease, TTL), PMZ_OK);
	expect_status(pmz_lock_keep(locks, &lease, LONG), PMZ_OK);
	expect_status(pmz_lock_release(locks, &lease), PMZ_OK);
	expect_status(pmz_lock_peek(locks, name, &other), PMZ_REFUSED_EMPTY);
}

static void use_in_a_storm(const char *const *where, size_t count)
{
	uint64_t highest[2] = { 0, 0 };
	timer_t storm = begin();
	int i;

	for (i = 0; i < ROUNDS; i++) {
		pmz_locks *locks = open_at(where, count);

		take_and_give(locks, "a", &highest[0]);
		take_and_give(locks, "b", &highest[1]);
		pmz_locks_close(locks);
	}
	end(storm);
}

static void locks_of_a_server_stand_in_a_storm(void **state)
{
	(void)state;
	use_in_a_storm(addresses, 1);
}

static void locks_of_a_quorum_stand_in_a_storm(void **state)
{
	(void)state;
	use_in_a_storm(addresses, NODES);
}

static void locks_in_memory_stand_in_a_storm(void **state)
{
	timer_t storm = begin();
	pmz_ns until = pmz_now() + PMZ_MS(100);
	pmz_locks *locks = open_at(&in_memory, 1);
	uint64_t highest = 0;

	(void)state;
	do
		take_and_give(locks, "a", &highest);
	while (pmz_now() < until);
	pmz_locks_close(locks);
	end(storm);
}

typedef struct hold {
	pmz_locks *locks;
	pmz_lease lease;
} hold;

static void let_go(void *ctx)
{
	hold *h = ctx;

	if (pmz_lock_release(h->locks, &h->lease) != PMZ_OK)
		kit_fail("a release failed");
}

/* A wait that a signal ended would find it held. */
static void wait_in_a_storm(const char *const *where, size_t count)
{
	pmz_locks *locks = open_at(where, count);
	pmz_ns start = pmz_now();
	kit_errand errand;
	timer_t storm;
	hold h = { .locks = locks };

	expect_status(pmz_lock_acquire(locks, "a", TTL, 0, &h.lease, NULL),
	              PMZ_OK);
	kit_errand_start(&errand, 150, let_go, &h);
	storm = begin();
	expect_status(pmz_lock_acquire(locks, "a", TTL, LONG, &lease, &why),
	              PMZ_OK);
	end(storm);
	assert_true(pmz_now() - start < SLACK);
	kit_errand_join(&errand);
	expect_status(pmz_lock_release(locks, &lease), PMZ_OK);
	pmz_locks_close(locks);
}

static void a_wait_in_a_storm_gets_what_is_released(void **state)
{
	(void)state;
	wait_in_a_storm(&in_memory, 1);
	wait_in_a_storm(addresses, 1);
	wait_in_a_storm(addresses, NODES);
}

static void refuse_in_a_storm(const char *const *where, size_t count)
{
	pmz_locks *locks = open_at(where, count);
	pmz_ns start;
	timer_t storm;

	expect_status(pmz_lock_acquire(locks, "a", TTL, 0, &lease, NULL),
	              PMZ_OK);
	storm = begin();
	start = pmz_now();
	expect_status(
		pmz_lock_acquire(locks, "a", TTL, PMZ_MS(100), &other, &why),
		PMZ_REFUSED_HELD);
	assert_true(pmz_now() - start < PMZ_MS(100) + SLACK);
	end(storm);
	expect_status(pmz_lock_release(locks, &lease), PMZ_OK);
	pmz_locks_close(locks);
}

static void a_wait_in_a_storm_ends_in_time(void **state)
{
	(void)state;
	refuse_in_a_storm(&in_memory, 1);
	refuse_in_a_storm(addresses, 1);
	refuse_in_a_storm(addresses, NODES);
}

/* They queue for one name before one of them asks the server. */
typedef struct worker {
	pthread_t thread;
	pmz_locks *locks;
	unsigned *inside, *done;
} worker;

static void *take_turns(void *arg)
{
	worker *w = arg;
	timer_t storm = begin();
	pmz_lease mine;
	int i;

	for (i = 0; i < ROUNDS / 2; i++) {
		if (pmz_lock_acquire(w->locks, "a", TTL, LONG, &mine, NULL))
			kit_fail("a wait failed");
		if ((*w->inside)++)
			kit_fail("two are inside");
		++*w->done;
		--*w->inside;
		if (pmz_lock_release(w->locks, &mine))
			kit_fail("a release failed");
	}
	end(storm);
	return NULL;
}

static void a_queue_in_a_storm_loses_nobody(void **state)
{
	unsigned inside = 0, done = 0, i;
	pmz_locks *locks = open_at(addresses, 1);
	worker workers[4];

	(void)state;
	for (i = 0; i < KIT_COUNT(workers); i++) {
		worker *w = &workers[i];

		*w = (worker){ .locks = locks,
			       .inside = &inside,
			       .done = &done };
		assert_int_equal(
			pthread_create(&w->thread, NULL, take_turns, w), 0);
	}
	for (i = 0; i < KIT_COUNT(workers); i++)
		pthread_join(workers[i].thread, NULL);
	assert_int_equal(done, KIT_COUNT(workers) * (ROUNDS / 2));
	pmz_locks_close(locks);
}

static void a_kept_lease_outlives_a_storm(void **state)
{
	pmz_locks *locks = open_at(addresses, NODES);
	timer_t storm = begin();

	(void)state;
	expect_status(pmz_lock_acquire(locks, "a", PMZ_S(3), 0, &lease, NULL),
	              PMZ_OK);
	expect_status(pmz_lock_keep(locks, &lease, PMZ_NEVER), PMZ_OK);
	pmz_sleep_until(lease.until + PMZ_MS(200));
	expect_status(pmz_lock_refresh(locks, &lease), PMZ_OK);
	assert_true(pmz_lock_is_held(&lease, pmz_now()));
	expect_status(pmz_lock_release(locks, &lease), PMZ_OK);
	end(storm);
	pmz_locks_close(locks);
}

static void a_users_connections_stand_in_a_storm(void **state)
{
	const pmz_lock_rules rules = { .size = sizeof(rules),
		                       .node_timeout_ns = PMZ_S(5) };
	redisContext *c[NODES];
	timer_t storm;
	unsigned i;

	(void)state;
	for (i = 0; i < NODES; i++) {
		c[i] = redisConnect("127.0.0.1", kit_proxy_port(slow[i]));
		assert_int_equal(c[i]->err, 0);
	}
	storm = begin();
	for (i = 0; i < ROUNDS; i++) {
		expect_status(pmz_lock_hiredis_acquire(c, NODES, &rules, "u",
		                                       TTL, 0, &lease, NULL),
		              PMZ_OK);
		expect_status(pmz_lock_hiredis_extend(c, NODES, &rules, &lease,
		                                      TTL, NULL),
		              PMZ_OK);
		expect_status(pmz_lock_hiredis_release(c, NODES, &rules, &lease,
		                                       NULL),
		              PMZ_OK);
	}
	end(storm);
	for (i = 0; i < NODES; i++) {
		assert_int_equal(c[i]->err, 0);
		redisFree(c[i]);
	}
}

static void a_sleep_in_a_storm_is_not_cut_short(void **state)
{
	timer_t storm = begin();
	pmz_ns when = pmz_now() + PMZ_MS(100);

	(void)state;
	pmz_sleep_until(when);
	assert_true(pmz_now() >= when);
	assert_true(pmz_now() < when + SLACK);
	end(storm);
}

static pmz_outcome fail_again(pmz_ns due, void *ctx)
{
	pmz_ns *next = ctx;

	(void)due;
	/* Each wait is 20 ms, without jitter. */
	if (pmz_now() < *next)
		kit_fail("an attempt came before its time");
	*next = pmz_now() + PMZ_MS(20);
	return PMZ_FAILURE;
}

static void waits_between_attempts_are_whole_in_a_storm(void **state)
{
	timer_t storm = begin();
	pmz_ns next = 0, start = pmz_now();
	pmz_pipe *pipe;

	(void)state;
	expect_status(pmz_pipe_from(&pipe,
	                            "tries 5 backoff 20ms..20ms jitter none",
	                            NULL, NULL),
	              PMZ_OK);
	expect_status(pmz_run(pipe, NULL, fail_again, &next, NULL),
	              PMZ_GAVE_UP);
	assert_true(pmz_now() - start < SLACK);
	pmz_pipe_free(pipe);
	end(storm);
}

typedef struct slot {
	pmz_bulkhead *of;
	pmz_permit permit;
} slot;

static void leave_bulkhead(void *ctx)
{
	slot *s = ctx;

	if (pmz_bulkhead_settle(s->of, &s->permit, PMZ_SUCCESS, pmz_now()))
		kit_fail("a slot was not given back");
}

static pmz_outcome succeed(pmz_ns due, void *ctx)
{
	(void)due;
	++*(int *)ctx;
	return PMZ_SUCCESS;
}

static void a_wait_for_a_bulkhead_in_a_storm_gets_the_slot(void **state)
{
	pmz_pipe_rules rules = { .size = sizeof(rules) };
	kit_errand errand;
	pmz_pipe *pipe;
	timer_t storm;
	int calls = 0;
	slot s;

	(void)state;
	expect_status(pmz_pipe_from(&pipe, "bulkhead 1 | wait 30s", NULL, NULL),
	              PMZ_OK);
	expect_status(pmz_pipe_read(pipe, &rules), PMZ_OK);
	s.of = rules.bulkhead;
	expect_status(pmz_bulkhead_acquire(s.of, pmz_now(), &s.permit), PMZ_OK);
	kit_errand_start(&errand, 100, leave_bulkhead, &s);
	storm = begin();
	expect_status(pmz_run(pipe, NULL, succeed, &calls, NULL), PMZ_OK);
	end(storm);
	assert_int_equal(calls, 1);
	kit_errand_join(&errand);
	pmz_pipe_free(pipe);
}

static int start(void **state)
{
	unsigned i;

	(void)state;
	for (i = 0; i < NODES; i++) {
		servers[i] = kit_redis_start(NULL);
		slow[i] = kit_proxy_start(kit_redis_port(servers[i]));
		kit_proxy_delay(slow[i], KIT_REPLIES, TRIP_MS);
		addresses[i] = kit_proxy_address(slow[i]);
	}
	return 0;
}

static int stop(void **state)
{
	unsigned i;

	(void)state;
	for (i = 0; i < NODES; i++) {
		kit_proxy_stop(slow[i]);
		kit_redis_stop(servers[i]);
	}
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(locks_of_a_server_stand_in_a_storm),
		cmocka_unit_test(locks_of_a_quorum_stand_in_a_storm),
		cmocka_unit_test(locks_in_memory_stand_in_a_storm),
		cmocka_unit_test(a_wait_in_a_storm_gets_what_is_released),
		cmocka_unit_test(a_wait_in_a_storm_ends_in_time),
		cmocka_unit_test(a_queue_in_a_storm_loses_nobody),
		cmocka_unit_test(a_kept_lease_outlives_a_storm),
		cmocka_unit_test(a_users_connections_stand_in_a_storm),
		cmocka_unit_test(a_sleep_in_a_storm_is_not_cut_short),
		cmocka_unit_test(waits_between_attempts_are_whole_in_a_storm),
		cmocka_unit_test(
			a_wait_for_a_bulkhead_in_a_storm_gets_the_slot),
	};

	return cmocka_run_group_tests_name("interrupted", tests, start, stop);
}
