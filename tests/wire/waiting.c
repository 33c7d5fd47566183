/*
 * waiting.c - who waits for a lock is woken; who keeps one learns of its loss.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pipemaze/edge.h>

#include "proxy.h"
#include "server.h"

#define TTL PMZ_S(20)
#define WAIT PMZ_S(8)
#define KEY "lock:job"
#define NS_PER_MS 1000000

static struct bench {
	kit_proxy *proxy;
	pmz_locks *locks;  /* of the holder */
	pmz_locks *others; /* of who waits, without timers */
} t;

/* The first look by itself is after any test. */
static pmz_locks *without_timers(const char *address)
{
	static const pmz_backoff_rule slow = { .size = sizeof(slow),
		                               .base_ns = PMZ_S(10),
		                               .max_ns = PMZ_S(10),
		                               .jitter = PMZ_JITTER_NONE };
	pmz_locks_config cfg = kit_locks_config();

	cfg.backoff = &slow;
	return kit_locks_open(address, &cfg);
}

static int start(void **state)
{
	(void)state;
	server_renew();
	t.proxy = kit_proxy_start(kit_redis_port(server));
	t.locks = kit_locks_open(kit_redis_address(server), NULL);
	t.others = without_timers(kit_redis_address(server));
	return 0;
}

static int stop(void **state)
{
	(void)state;
	pmz_locks_close(t.locks);
	pmz_locks_close(t.others);
	kit_proxy_stop(t.proxy);
	kit_redis_go_on(server);
	memset(&t, 0, sizeof(t));
	return 0;
}

static pmz_lease acquire_for(pmz_locks *locks, pmz_ns ttl)
{
	return expect_grant(locks, "job", ttl, 0);
}

static pmz_lease acquire(void)
{
	return acquire_for(t.locks, TTL);
}

static void wait_and_listen(kit_waiter *w)
{
	kit_waiter_start(w, t.others, "job", TTL, WAIT);
	kit_wait_for_listeners(server, 1);
}

static int64_t wake_by_release(void)
{
	pmz_lease lease = acquire();
	kit_waiter waiter;
	int64_t then;

	wait_and_listen(&waiter);
	then = kit_now();
	expect_status(pmz_lock_release(t.locks, &lease), PMZ_OK);
	kit_waiter_join(&waiter);
	expect_status(waiter.status, PMZ_OK);
	expect_status(pmz_lock_release(t.others, &waiter.lease), PMZ_OK);
	return waiter.done_at - then;
}

static void a_release_wakes_sooner_than_any_timer(void **state)
{
	int64_t best = INT64_MAX;
	int i;

	(void)state;
	for (i = 0; i < 10; i++) {
		int64_t took = wake_by_release();

		assert_in_range(took / NS_PER_MS, 0, 250);
		if (took < best)
			best = took;
	}
	print_message("woken after %lld us\n", (long long)best / 1000);
}

static void a_foreign_release_wakes_too(void **state)
{
	kit_waiter waiter;
	int64_t then;

	(void)state;
	expect_answer("OK", "SET", KEY, "another", "PX", "20000", "NX");
	wait_and_listen(&waiter);
	then = kit_now();
	expect_answer("1", "DEL", KEY);
	kit_waiter_join(&waiter);
	expect_status(waiter.status, PMZ_OK);
	assert_in_range((waiter.done_at - then) / NS_PER_MS, 0, 250);
}

static void a_lease_that_runs_out_wakes(void **state)
{
	int64_t then = kit_now();
	kit_waiter waiter;

	(void)state;
	expect_answer("OK", "SET", KEY, "another", "PX", "300", "NX");
	kit_waiter_start(&waiter, t.others, "job", TTL, WAIT);
	kit_waiter_join(&waiter);
	expect_status(waiter.status, PMZ_OK);
	/* A millisecond less, for where the server rounds. */
	assert_true((waiter.done_at - then) / NS_PER_MS >= 299);
	expect_back(then, 300);
}

static void a_lease_that_is_prolonged_is_waited_for_again(void **state)
{
	int64_t then = kit_now();
	kit_waiter waiter;

	(void)state;
	expect_answer("OK", "SET", KEY, "another", "PX", "200", "NX");
	kit_waiter_start(&waiter, t.others, "job", TTL, WAIT);
	kit_doze(100);
	expect_answer("1", "PEXPIRE", KEY, "500");
	kit_waiter_join(&waiter);
	expect_status(waiter.status, PMZ_OK);
	assert_true((waiter.done_at - then) / NS_PER_MS >= 599);
}

static void who_lost_its_ear_still_gets_the_lock(void **state)
{
	pmz_lease lease = acquire();
	kit_waiter waiter;
	int64_t then;

	(void)state;
	wait_and_listen(&waiter);
	expect_answer("1", "CLIENT", "KILL", "TYPE", "pubsub");
	then = kit_now();
	expect_status(pmz_lock_release(t.locks, &lease), PMZ_OK);
	kit_waiter_join(&waiter);
	expect_status(waiter.status, PMZ_OK);
	expect_back(then, 250);
}

static int64_t listen_in_spite_of_kills(pmz_locks *locks, kit_waiter *w)
{
	char text[32];
	int i;

	kit_waiter_start(w, locks, "job", TTL, WAIT);
	kit_wait_for_listeners(server, 1);
	/* Often, so that it meets each state of the two connections. */
	for (i = 0; i < 20; i++)
		kit_redis_ask(server, text, sizeof(text), "CLIENT", "KILL",
		              "TYPE", i % 2 ? "pubsub" : "normal", NULL);
	kit_doze(50);
	kit_wait_for_listeners(server, 1);
	return kit_now();
}

static void an_ear_that_is_lost_often_is_made_anew(void **state)
{
	pmz_lease lease = acquire();
	pmz_locks *locks = kit_locks_open(kit_redis_address(server), NULL);
	kit_waiter waiter;
	int64_t then = listen_in_spite_of_kills(locks, &waiter);

	(void)state;
	expect_status(pmz_lock_release(t.locks, &lease), PMZ_OK);
	kit_waiter_join(&waiter);
	expect_status(waiter.status, PMZ_OK);
	expect_back(then, 250);
	pmz_locks_close(locks);
}

/* As a user to whom the server tells nothing. */
static const char *deaf_address(void)
{
	static char address[64];

	expect_answer("OK", "ACL", "SETUSER", "deaf", "on", ">word", "~*",
	              "+@all", "-client", "-subscribe");
	snprintf(address, sizeof(address), "redis://deaf:word@127.0.0.1:%u",
	         (unsigned)kit_redis_port(server));
	return address;
}

static void who_is_told_nothing_asks_again(void **state)
{
	pmz_locks *deaf = kit_locks_open(deaf_address(), NULL);
	pmz_lease lease = acquire();
	kit_waiter waiter;

	(void)state;
	kit_waiter_start(&waiter, deaf, "job", TTL, WAIT);
	kit_doze(100);
	expect_status(pmz_lock_release(t.locks, &lease), PMZ_OK);
	kit_waiter_join(&waiter);
	expect_status(waiter.status, PMZ_OK);
	pmz_locks_close(deaf);
}

static void who_is_told_nothing_wakes_when_the_lease_runs_out(void **state)
{
	pmz_locks *deaf = without_timers(deaf_address());
	int64_t then = kit_now();
	kit_waiter waiter;

	(void)state;
	expect_answer("OK", "SET", KEY, "another", "PX", "300", "NX");
	kit_waiter_start(&waiter, deaf, "job", TTL, WAIT);
	kit_waiter_join(&waiter);
	expect_status(waiter.status, PMZ_OK);
	expect_back(then, 300);
	pmz_locks_close(deaf);
}

static void the_end_of_the_wait_is_HELD_and_says_until_when(void **state)
{
	pmz_lease lease = acquire(), none;
	int64_t then = kit_now();
	pmz_why why;

	(void)state;
	expect_status(pmz_lock_acquire(t.others, "job", TTL, PMZ_MS(200), &none,
	                               &why),
	              PMZ_REFUSED_HELD);
	assert_true(kit_ms_since(then) >= 199);
	expect_back(then, 200);
	expect_between(why.ready_at, lease.until,
	               lease.until + TTL / 50 + PMZ_MS(KIT_LOADED_MS));
	assert_true(none.token[0] == '\0');
	assert_true(none.until == 0);
}

static void without_a_wait_the_server_is_asked_once(void **state)
{
	pmz_lease lease = acquire(), none;
	long long before;

	(void)state;
	before = kit_script_calls(server);
	expect_status(pmz_lock_acquire(t.others, "job", TTL, 0, &none, NULL),
	              PMZ_REFUSED_HELD);
	assert_int_equal(kit_script_calls(server), before + 1);
	expect_status(pmz_lock_release(t.locks, &lease), PMZ_OK);
}

static void a_cancelled_wait_ends_at_once_and_leaves_nothing(void **state)
{
	pmz_lease lease = acquire();
	kit_waiter waiters[2];
	int64_t then;
	int i;

	(void)state;
	kit_waiter_start(&waiters[1], t.others, "job", TTL, WAIT);
	wait_and_listen(&waiters[0]);
	then = kit_now();
	pmz_lock_cancel(t.others, "another");
	kit_doze(20);
	pmz_lock_cancel(t.others, "job");
	for (i = 0; i < 2; i++) {
		kit_waiter_join(&waiters[i]);
		expect_status(waiters[i].status, PMZ_CANCELLED);
		assert_true(waiters[i].lease.token[0] == '\0');
		assert_true(waiters[i].done_at >= then + 20 * NS_PER_MS);
	}
	expect_back(then, 20);
	expect_answer(lease.token, "GET", KEY);
	expect_status(pmz_lock_release(t.locks, &lease), PMZ_OK);
	pmz_locks_close(t.others);
	t.others = NULL;
	expect_answer("(nil)", "GET", KEY);
}

static void cancel_ends_a_wait_for_a_hung_server_too(void **state)
{
	kit_waiter waiter;
	int64_t then;

	(void)state;
	kit_redis_pause(server);
	kit_waiter_start(&waiter, t.locks, "job", TTL, WAIT);
	kit_doze(KIT_NODE_MS / 2);
	then = kit_now();
	pmz_lock_cancel(t.locks, "job");
	kit_waiter_join(&waiter);
	expect_status(waiter.status, PMZ_CANCELLED);
	expect_back(then, 0);
	kit_redis_go_on(server);
	pmz_locks_close(t.locks);
	pmz_locks_close(t.others);
	t.locks = t.others = NULL;
	kit_wait_for_quiet(server);
	expect_answer("(nil)", "GET", KEY);
}

#define SHORT_MS 300
#define SHORT PMZ_MS(SHORT_MS)

static int is_readable(int fd, int ms)
{
	struct pollfd p = { fd, POLLIN, 0 };

	return poll(&p, 1, ms) == 1;
}

static pmz_lease keep_for(pmz_locks *locks, pmz_ns ttl, pmz_ns hold_max)
{
	pmz_lease lease = acquire_for(locks, ttl);

	expect_status(pmz_lock_keep(locks, &lease, hold_max), PMZ_OK);
	return lease;
}

static pmz_lease keep(void)
{
	return keep_for(t.locks, SHORT, PMZ_NEVER);
}

static void a_kept_lease_lives_as_long_as_it_is_wanted(void **state)
{
	pmz_lease lease = keep(), none;
	pmz_ns until = lease.until;
	int i;

	(void)state;
	for (i = 0; i < 5; i++) {
		expect_status(pmz_lock_acquire(t.others, "job", TTL, SHORT,
		                               &none, NULL),
		              PMZ_REFUSED_HELD);
		expect_status(pmz_lock_refresh(t.locks, &lease), PMZ_OK);
		assert_true(pmz_lock_is_held(&lease, pmz_now()));
	}
	assert_true(lease.until >= until + 4 * SHORT);
	assert_false(is_readable(pmz_locks_fd(t.locks), 0));
	expect_status(pmz_lock_release(t.locks, &lease), PMZ_OK);
	expect_answer("(nil)", "GET", KEY);
	expect_status(pmz_locks_next_lost(t.locks, &none, NULL),
	              PMZ_REFUSED_EMPTY);
}

/* One reason, once. */
static void expect_lost(const pmz_lease *lease, int want)
{
	pmz_lease lost, copy = *lease;
	int why = 0;

	expect_status(pmz_locks_next_lost(t.locks, &lost, &why), PMZ_OK);
	expect_status(why, want);
	assert_string_equal(lost.token, lease->token);
	assert_false(is_readable(pmz_locks_fd(t.locks), 0));
	expect_status(pmz_locks_next_lost(t.locks, &lost, &why),
	              PMZ_REFUSED_EMPTY);
	expect_status(pmz_lock_refresh(t.locks, &copy), PMZ_E_LOST);
}

static void a_hung_server_is_reported_before_the_lease_can_pass(void **state)
{
	pmz_lease lease = keep_for(t.locks, PMZ_S(1), PMZ_NEVER), copy;

	(void)state;
	kit_redis_pause(server);
	assert_true(is_readable(pmz_locks_fd(t.locks), 3000));
	copy = lease;
	expect_status(pmz_lock_refresh(t.locks, &copy), PMZ_E_LOST);
	assert_true(pmz_now() < copy.until);
	expect_lost(&lease, PMZ_E_IO);
	kit_redis_go_on(server);
}

static void a_key_that_is_gone_is_told_by_the_next_extension(void **state)
{
	pmz_lease lease = keep();
	int64_t then = kit_now();

	(void)state;
	expect_answer("1", "DEL", KEY);
	assert_true(is_readable(pmz_locks_fd(t.locks), 3000));
	expect_back(then, SHORT_MS / 3);
	expect_lost(&lease, PMZ_E_LOST);
	expect_answer("(nil)", "GET", KEY);
	expect_status(pmz_lock_release(t.locks, &lease), PMZ_E_LOST);
}

static void a_key_that_is_anothers_is_told_and_left_alone(void **state)
{
	pmz_lease lease = keep();

	(void)state;
	expect_answer("OK", "SET", KEY, "another", "PX", "20000");
	assert_true(is_readable(pmz_locks_fd(t.locks), 3000));
	expect_lost(&lease, PMZ_E_LOST);
	expect_answer("another", "GET", KEY);
}

static void after_hold_max_a_lease_ends(void **state)
{
	pmz_lease lease = keep_for(t.locks, SHORT, 2 * SHORT), next;

	(void)state;
	assert_true(is_readable(pmz_locks_fd(t.locks), 3000));
	expect_lost(&lease, PMZ_TIMED_OUT);
	expect_status(pmz_lock_acquire(t.others, "job", TTL, WAIT, &next, NULL),
	              PMZ_OK);
	assert_true(next.fence > lease.fence);
}

static void what_is_not_kept_or_kept_twice_is_E_STATE(void **state)
{
	pmz_lease lease = acquire(), before = lease;

	(void)state;
	expect_status(pmz_lock_refresh(t.locks, &lease), PMZ_E_STATE);
	assert_memory_equal(&lease, &before, sizeof(lease));
	expect_status(pmz_lock_keep(t.locks, &lease, PMZ_NEVER), PMZ_OK);
	expect_status(pmz_lock_keep(t.locks, &lease, PMZ_NEVER), PMZ_E_STATE);
	expect_status(pmz_lock_refresh(t.locks, &lease), PMZ_OK);
	expect_status(pmz_lock_release(t.locks, &lease), PMZ_OK);
}

static void a_server_that_was_gone_for_a_moment_costs_no_lease(void **state)
{
	pmz_lease lease = keep_for(t.locks, PMZ_S(2), PMZ_NEVER);

	(void)state;
	kit_redis_pause(server);
	kit_doze(1000);
	kit_redis_go_on(server);
	kit_doze(1200);
	expect_status(pmz_lock_refresh(t.locks, &lease), PMZ_OK);
	assert_true(pmz_lock_is_held(&lease, pmz_now()));
	assert_false(is_readable(pmz_locks_fd(t.locks), 0));
	expect_status(pmz_lock_release(t.locks, &lease), PMZ_OK);
}

typedef struct farewell {
	pmz_locks *locks;
	pmz_lease lease;
	int status;
} farewell;

static void release(void *ctx)
{
	farewell *f = ctx;

	f->status = pmz_lock_release(f->locks, &f->lease);
}

/* With time enough for the extension to be held up and come through. */
static pmz_locks *patient(void)
{
	pmz_locks_config cfg = kit_locks_config();

	cfg.node_timeout_ns = PMZ_MS(800);
	return kit_locks_open(kit_proxy_address(t.proxy), &cfg);
}

/* The keeper's connection is the second, and its first command an extension. */
static void a_release_waits_for_the_extension_in_flight(void **state)
{
	farewell f = { .locks = patient() };
	pmz_lease lease = acquire_for(f.locks, PMZ_MS(1500));
	kit_errand errand;

	(void)state;
	kit_proxy_hold_one(t.proxy, KIT_REQUESTS,
	                   kit_proxy_connections(t.proxy) + 1);
	expect_status(pmz_lock_keep(f.locks, &lease, PMZ_NEVER), PMZ_OK);
	kit_proxy_wait_kept(t.proxy, KIT_REQUESTS, 1);
	f.lease = lease;
	kit_errand_start(&errand, 0, release, &f);
	kit_doze(30);
	expect_answer(lease.token, "GET", KEY);
	kit_proxy_pass(t.proxy, KIT_BOTH);
	kit_errand_join(&errand);
	expect_status(f.status, PMZ_OK);
	expect_answer("(nil)", "GET", KEY);
	pmz_locks_close(f.locks);
}

#define wire_test(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		wire_test(a_release_wakes_sooner_than_any_timer),
		wire_test(a_foreign_release_wakes_too),
		wire_test(a_lease_that_runs_out_wakes),
		wire_test(a_lease_that_is_prolonged_is_waited_for_again),
		wire_test(who_lost_its_ear_still_gets_the_lock),
		wire_test(an_ear_that_is_lost_often_is_made_anew),
		wire_test(who_is_told_nothing_asks_again),
		wire_test(who_is_told_nothing_wakes_when_the_lease_runs_out),
		wire_test(the_end_of_the_wait_is_HELD_and_says_until_when),
		wire_test(without_a_wait_the_server_is_asked_once),
		wire_test(a_cancelled_wait_ends_at_once_and_leaves_nothing),
		wire_test(cancel_ends_a_wait_for_a_hung_server_too),
		wire_test(a_kept_lease_lives_as_long_as_it_is_wanted),
		wire_test(a_hung_server_is_reported_before_the_lease_can_pass),
		wire_test(a_key_that_is_gone_is_told_by_the_next_extension),
		wire_test(a_key_that_is_anothers_is_told_and_left_alone),
		wire_test(after_hold_max_a_lease_ends),
		wire_test(what_is_not_kept_or_kept_twice_is_E_STATE),
		wire_test(a_server_that_was_gone_for_a_moment_costs_no_lease),
		wire_test(a_release_waits_for_the_extension_in_flight),
	};

	return cmocka_run_group_tests(tests, server_start, server_stop);
}
