/*
 * cancelled.c - threads that are cancelled inside the library.
 *
 * A call on locks runs to its end first. A sleep and a pmz_run() end at once,
 * and give back what they have. Nobody else notices: what would hang here is
 * ended by an alarm.
 */
#include "expect.h"

#include <hiredis/hiredis.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include <pipemaze.h>
#include <pipemaze/lock_hiredis.h>

#include "leases.h"
#include "proxy.h"
#include "redis.h"

#define NODES 3
#define PATIENCE 60 /* seconds, for all of it */
#define TTL PMZ_S(30)
#define LONG PMZ_S(20)

/* A thread that is cancelled leaves its frames without a word to an address
 * sanitizer, which would then wonder at what is left on its stack. */
PMZ_API const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "use_sigaltstack=0";
}

static kit_redis *servers[NODES];
static const char *addresses[NODES];
static const char *const in_memory = "memory:";
static char text[128];

static pmz_locks *open_at(const char *const *where, size_t count)
{
	pmz_locks_config cfg = kit_locks_patient();

	return kit_locks_quorum(where, count, &cfg);
}

static void start_thread(pthread_t *thread, void *(*work)(void *), void *arg)
{
	assert_int_equal(pthread_create(thread, NULL, work, arg), 0);
}

static void expect_cancelled(pthread_t thread)
{
	void *end;

	pthread_join(thread, &end);
	assert_ptr_equal(end, PTHREAD_CANCELED);
}

/* A thread that is cancelled while it waits for a lock. */
typedef struct waiter {
	pmz_locks *locks;
	pmz_lease lease;
	int status, released;
} waiter;

static void let_go(void *arg)
{
	waiter *w = arg;

	if (!w->status)
		w->released = pmz_lock_release(w->locks, &w->lease) == PMZ_OK;
}

static void *wait_for_it(void *arg)
{
	waiter *w = arg;

	pthread_cleanup_push(let_go, w);
	w->status = pmz_lock_acquire(w->locks, "a", TTL, LONG, &w->lease, NULL);
	pthread_testcancel();
	pthread_cleanup_pop(1);
	return NULL;
}

/* One at the front, who asks the server, and one in the queue behind it. */
static void cancel_two_waiters(const char *const *where, size_t count)
{
	pmz_locks *locks = open_at(where, count);
	waiter waiters[2] = { { .locks = locks, .status = -1 },
		              { .locks = locks, .status = -1 } };
	pthread_t threads[2];
	pmz_lease lease;
	size_t i;

	expect_status(pmz_lock_acquire(locks, "a", TTL, 0, &lease, NULL),
	              PMZ_OK);
	for (i = 0; i < KIT_COUNT(waiters); i++) {
		start_thread(&threads[i], wait_for_it, &waiters[i]);
		kit_doze(50);
	}
	for (i = 0; i < KIT_COUNT(waiters); i++)
		pthread_cancel(threads[i]);
	kit_doze(20);
	expect_status(pmz_lock_release(locks, &lease), PMZ_OK);
	for (i = 0; i < KIT_COUNT(waiters); i++) {
		expect_cancelled(threads[i]);
		expect_status(waiters[i].status, PMZ_OK);
		assert_true(waiters[i].released);
	}
	expect_status(pmz_lock_acquire(locks, "a", TTL, 0, &lease, NULL),
	              PMZ_OK);
	expect_status(pmz_lock_release(locks, &lease), PMZ_OK);
	pmz_locks_close(locks);
}

static void a_wait_that_is_cancelled_comes_to_its_end_first(void **state)
{
	(void)state;
	cancel_two_waiters(&in_memory, 1);
	cancel_two_waiters(addresses, 1);
	cancel_two_waiters(addresses, NODES);
}

/* Each call, made by a thread for which a cancellation is pending already: it
 * ends in the first place that lets it. */
typedef struct scene {
	pmz_locks *locks;
	pmz_lease lease; /* kept, held by nobody else */
	const char *const *where;
	size_t count;
	void (*act)(struct scene *s);
} scene;

static void act_open(scene *s)
{
	pmz_locks *more = open_at(s->where, s->count);

	pmz_locks_close(more);
}

static void act_acquire(scene *s)
{
	pmz_lease lease;

	if (!pmz_lock_acquire(s->locks, "b", TTL, LONG, &lease, NULL))
		pmz_lock_release(s->locks, &lease);
}

static void act_peek(scene *s)
{
	pmz_lease holder;
	int status = pmz_lock_peek(s->locks, "a", &holder);

	(void)status;
}

static void act_keep(scene *s)
{
	int status = pmz_lock_keep(s->locks, &s->lease, TTL);

	(void)status;
}

static void act_extend(scene *s)
{
	int status = pmz_lock_extend(s->locks, &s->lease, TTL);

	(void)status;
}

static void act_release(scene *s)
{
	pmz_lock_release(s->locks, &s->lease);
}

static void act_refresh(scene *s)
{
	pmz_lock_refresh(s->locks, &s->lease);
}

static void act_next_lost(scene *s)
{
	pmz_lease lost;

	pmz_locks_next_lost(s->locks, &lost, NULL);
}

static void act_cancel(scene *s)
{
	pmz_lock_cancel(s->locks, "a");
}

static void *act(void *arg)
{
	scene *s = arg;
	int before;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before);
	pthread_cancel(pthread_self());
	pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &before);
	s->act(s);
	pthread_testcancel();
	return NULL;
}

/* So that there is one to be told of. */
static void lose_one(pmz_locks *locks)
{
	pmz_lease lease;

	/* So short that it may be over before it is kept. */
	while (pmz_lock_acquire(locks, "lost", PMZ_MS(40), LONG, &lease,
	                        NULL) ||
	       pmz_lock_keep(locks, &lease, 0))
		kit_doze(2);
	while (pmz_lock_refresh(locks, &lease) == PMZ_OK)
		kit_doze(2);
}

static void expect_all_works(pmz_locks *locks)
{
	pmz_lease lease, lost;

	expect_status(pmz_lock_acquire(locks, "c", TTL, LONG, &lease, NULL),
	              PMZ_OK);
	expect_status(pmz_lock_keep(locks, &lease, TTL), PMZ_OK);
	pmz_lock_cancel(locks, "a");
	pmz_locks_next_lost(locks, &lost, NULL);
	expect_status(pmz_lock_extend(locks, &lease, TTL), PMZ_OK);
	expect_status(pmz_lock_refresh(locks, &lease), PMZ_OK);
	expect_status(pmz_lock_release(locks, &lease), PMZ_OK);
}

static void cancel_in(void (*what)(scene *s), const char *const *where,
                      size_t count)
{
	scene s = { .where = where, .count = count, .act = what };
	waiter waiting;
	pthread_t thread, other;

	s.locks = open_at(where, count);
	expect_status(pmz_lock_acquire(s.locks, "a", TTL, 0, &s.lease, NULL),
	              PMZ_OK);
	expect_status(pmz_lock_keep(s.locks, &s.lease, TTL), PMZ_OK);
	lose_one(s.locks);
	waiting = (waiter){ .locks = s.locks, .status = -1 };
	start_thread(&other, wait_for_it, &waiting);
	start_thread(&thread, act, &s);
	expect_cancelled(thread);
	expect_all_works(s.locks);
	if (s.lease.until)
		expect_status(pmz_lock_release(s.locks, &s.lease), PMZ_OK);
	pthread_cancel(other);
	pthread_join(other, NULL);
	pmz_locks_close(s.locks);
}

static void a_thread_cancelled_in_any_call_leaves_the_others_be(void **state)
{
	static void (*const acts[])(scene *) = {
		act_open,    act_acquire, act_peek,      act_keep,   act_extend,
		act_refresh, act_release, act_next_lost, act_cancel,
	};
	size_t i;

	(void)state;
	for (i = 0; i < KIT_COUNT(acts); i++) {
		cancel_in(acts[i], &in_memory, 1);
		cancel_in(acts[i], addresses, 1);
	}
}

static void *release_it(void *arg)
{
	waiter *w = arg;

	w->status = pmz_lock_release(w->locks, &w->lease);
	pthread_testcancel();
	return NULL;
}

/* The release waits for the extension that is under way. */
static void a_release_that_is_cancelled_comes_to_its_end_first(void **state)
{
	kit_proxy *proxy = kit_proxy_start(kit_redis_port(servers[0]));
	const char *where = kit_proxy_address(proxy);
	pmz_locks *locks = open_at(&where, 1);
	waiter w = { .locks = locks };
	pthread_t thread;

	(void)state;
	expect_status(
		pmz_lock_acquire(locks, "a", PMZ_S(3), 0, &w.lease, NULL),
		PMZ_OK);
	kit_proxy_hold(proxy, KIT_REPLIES);
	expect_status(pmz_lock_keep(locks, &w.lease, TTL), PMZ_OK);
	kit_proxy_wait_kept(proxy, KIT_REPLIES, 1);
	start_thread(&thread, release_it, &w);
	kit_doze(20);
	pthread_cancel(thread);
	kit_doze(20);
	kit_proxy_pass(proxy, KIT_BOTH);
	expect_cancelled(thread);
	expect_status(w.status, PMZ_OK);
	expect_all_works(locks);
	pmz_locks_close(locks);
	kit_proxy_stop(proxy);
}

static redisContext *user;

static void *wait_over_hiredis(void *arg)
{
	waiter *w = arg;

	w->status = pmz_lock_hiredis_acquire(&user, 1, NULL, "a", TTL, LONG,
	                                     &w->lease, NULL);
	pthread_testcancel();
	return NULL;
}

static void a_users_connection_is_whole_after_a_cancelled_wait(void **state)
{
	waiter w = { .status = -1 };
	pthread_t thread;

	(void)state;
	user = redisConnect("127.0.0.1", kit_redis_port(servers[0]));
	assert_int_equal(user->err, 0);
	kit_redis_ask(servers[0], text, sizeof(text), "SET", "lock:a", "theirs",
	              "PX", "150", NULL);
	start_thread(&thread, wait_over_hiredis, &w);
	kit_doze(50);
	pthread_cancel(thread);
	expect_cancelled(thread);
	expect_status(w.status, PMZ_OK);
	expect_status(pmz_lock_hiredis_release(&user, 1, NULL, &w.lease, NULL),
	              PMZ_OK);
	redisFree(user);
}

static void *sleep_for_ever(void *unused)
{
	pmz_sleep_until(PMZ_NEVER);
	return unused;
}

static void a_sleep_is_cancelled_at_once(void **state)
{
	pthread_t thread;

	(void)state;
	start_thread(&thread, sleep_for_ever, NULL);
	kit_doze(20);
	pthread_cancel(thread);
	expect_cancelled(thread);
}

/* A call that fails, works or waits for as long as it is let. */
typedef struct job {
	pmz_pipe *pipe;
	pmz_outcome how; /* 0: it works until it is cancelled */
} job;

static pmz_outcome work(pmz_ns due, void *ctx)
{
	const job *j = ctx;

	if (!j->how)
		pmz_sleep_until(due);
	return j->how;
}

static void *run_it(void *arg)
{
	job *j = arg;
	int status = pmz_run(j->pipe, NULL, work, j, NULL);

	kit_fail("it came to its end: %s", pmz_status_name(status));
	return NULL;
}

/* The one attempt at a time, which another can make then. */
static void cancel_a_call(const char *line, pmz_outcome how)
{
	pmz_pipe_rules rules = { .size = sizeof(rules) };
	pmz_bulkhead_stats stats = { .size = sizeof(stats) };
	job j = { .how = how };
	pthread_t thread;

	expect_status(pmz_pipe_from(&j.pipe, line, NULL, NULL), PMZ_OK);
	expect_status(pmz_pipe_read(j.pipe, &rules), PMZ_OK);
	start_thread(&thread, run_it, &j);
	do
		pmz_bulkhead_read(rules.bulkhead, &stats);
	while (!stats.admitted);
	kit_doze(20);
	pthread_cancel(thread);
	expect_cancelled(thread);
	pmz_bulkhead_read(rules.bulkhead, &stats);
	assert_int_equal(stats.in_use, 0);
	j.how = PMZ_SUCCESS;
	expect_status(pmz_run(j.pipe, NULL, work, &j, NULL), PMZ_OK);
	pmz_pipe_free(j.pipe);
}

static void a_call_that_is_cancelled_gives_back_its_slot(void **state)
{
	(void)state;
	cancel_a_call("bulkhead 1", 0);
	cancel_a_call("bulkhead 1 | tries 9 backoff 1h..1h jitter none | "
	              "budget 20% floor 1/s",
	              PMZ_FAILURE);
}

static void a_wait_for_a_bulkhead_that_is_cancelled_takes_nothing(void **state)
{
	pmz_pipe_rules rules = { .size = sizeof(rules) };
	pmz_bulkhead_stats stats = { .size = sizeof(stats) };
	job j = { .how = PMZ_SUCCESS };
	pmz_permit permit;
	pthread_t thread;

	(void)state;
	expect_status(
		pmz_pipe_from(&j.pipe, "bulkhead 1 | wait 1h", NULL, NULL),
		PMZ_OK);
	expect_status(pmz_pipe_read(j.pipe, &rules), PMZ_OK);
	expect_status(pmz_bulkhead_acquire(rules.bulkhead, 0, &permit), PMZ_OK);
	start_thread(&thread, run_it, &j);
	do
		pmz_bulkhead_read(rules.bulkhead, &stats);
	while (!stats.refusals);
	pthread_cancel(thread);
	expect_cancelled(thread);
	expect_status(
		pmz_bulkhead_settle(rules.bulkhead, &permit, PMZ_SUCCESS, 0),
		PMZ_OK);
	expect_status(pmz_run(j.pipe, NULL, work, &j, NULL), PMZ_OK);
	pmz_pipe_free(j.pipe);
}

static int start(void **state)
{
	(void)state;
	alarm(PATIENCE);
	kit_redis_start_all(servers, addresses, NODES);
	return 0;
}

static int stop(void **state)
{
	(void)state;
	kit_redis_stop_all(servers, NODES);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			a_wait_that_is_cancelled_comes_to_its_end_first),
		cmocka_unit_test(
			a_thread_cancelled_in_any_call_leaves_the_others_be),
		cmocka_unit_test(
			a_release_that_is_cancelled_comes_to_its_end_first),
		cmocka_unit_test(
			a_users_connection_is_whole_after_a_cancelled_wait),
		cmocka_unit_test(a_sleep_is_cancelled_at_once),
		cmocka_unit_test(a_call_that_is_cancelled_gives_back_its_slot),
		cmocka_unit_test(
			a_wait_for_a_bulkhead_that_is_cancelled_takes_nothing),
	};

	return cmocka_run_group_tests_name("cancelled", tests, start, stop);
}
