/*
 * faults.c - locks on one server, when it or the network to it fails.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <pipemaze/edge.h>

#include "proxy.h"
#include "server.h"

#define TTL PMZ_S(20)
#define WAIT PMZ_S(5)
#define KEY "lock:job"
#define FENCE_KEY "{lock:job}:f"

static struct bench {
	kit_proxy *proxy;
	pmz_locks *locks;  /* through the proxy */
	pmz_locks *others; /* straight to the server */
	kit_redis *second;
} t;

static char text[512];

static int start(void **state)
{
	(void)state;
	server_renew();
	t.proxy = kit_proxy_start(kit_redis_port(server));
	t.locks = kit_locks_open(kit_proxy_address(t.proxy), NULL);
	t.others = kit_locks_open(kit_redis_address(server), NULL);
	return 0;
}

static int stop(void **state)
{
	(void)state;
	pmz_locks_close(t.locks);
	pmz_locks_close(t.others);
	kit_proxy_stop(t.proxy);
	kit_redis_stop(t.second);
	memset(&t, 0, sizeof(t));
	return 0;
}

static pmz_lease acquire(pmz_locks *locks, pmz_ns wait)
{
	return expect_grant(locks, "job", TTL, wait);
}

static int try_once(pmz_locks *locks, pmz_why *why)
{
	pmz_lease lease;

	return pmz_lock_acquire(locks, "job", TTL, 0, &lease, why);
}

static void expect_free(void)
{
	expect_answer("(nil)", "GET", KEY);
}

static void expect_holder(const pmz_lease *lease)
{
	expect_answer(lease->token, "GET", KEY);
}

static int key_is_free(void *ctx)
{
	return kit_redis_count(ctx, "EXISTS", KEY, NULL) == 0;
}

/* All that the proxy has kept is dealt with by the server. */
static void let_stragglers_land(void)
{
	pmz_locks_close(t.locks);
	pmz_locks_close(t.others);
	t.locks = t.others = NULL;
	kit_proxy_pass(t.proxy, KIT_BOTH);
	kit_wait_for_quiet(server);
}

/* The first connection stands still, the others do not. The server knows the
 * scripts, so that what lands late is run. */
static void hold_first_connection(kit_way way)
{
	pmz_lease lease = acquire(t.others, 0);

	expect_status(pmz_lock_release(t.others, &lease), PMZ_OK);
	kit_proxy_hold_one(t.proxy, way, kit_proxy_connections(t.proxy) + 1);
}

static void a_paused_server_is_left_in_time_and_has_no_orphan(void **state)
{
	pmz_lease lease = acquire(t.locks, 0);
	int64_t then;

	(void)state;
	expect_status(pmz_lock_release(t.locks, &lease), PMZ_OK);
	kit_redis_pause(server);
	then = kit_now();
	expect_status(try_once(t.locks, NULL), PMZ_E_IO);
	expect_back(then, KIT_CONNECT_MS + KIT_NODE_MS);
	kit_redis_go_on(server);
	let_stragglers_land();
	expect_free();
}

static void go_on(void *ctx)
{
	kit_redis_go_on(ctx);
}

static void a_paused_server_that_goes_on_within_the_wait_grants(void **state)
{
	kit_errand errand;
	pmz_lease lease;

	(void)state;
	kit_redis_pause(server);
	kit_errand_start(&errand, 2 * KIT_NODE_MS, go_on, server);
	lease = acquire(t.locks, WAIT);
	kit_errand_join(&errand);
	expect_holder(&lease);
	expect_status(pmz_lock_release(t.locks, &lease), PMZ_OK);
	let_stragglers_land();
	expect_free();
}

static void kill_server(void *ctx)
{
	kit_redis_kill(ctx);
}

static void a_server_killed_during_a_command_is_E_IO_at_once(void **state)
{
	kit_errand errand;
	int64_t then;

	(void)state;
	kit_redis_pause(server);
	kit_errand_start(&errand, KIT_NODE_MS / 3, kill_server, server);
	then = kit_now();
	expect_status(try_once(t.others, NULL), PMZ_E_IO);
	expect_back(then, KIT_CONNECT_MS + KIT_NODE_MS);
	kit_errand_join(&errand);
}

static void writing_to_a_killed_server_raises_no_signal(void **state)
{
	pmz_lease lease = acquire(t.others, 0), seen;
	int i;

	(void)state;
	assert_ptr_equal(signal(SIGPIPE, SIG_DFL), SIG_DFL);
	kit_redis_kill(server);
	for (i = 0; i < 3; i++) {
		pmz_lease copy = lease;

		expect_status(pmz_lock_extend(t.others, &copy, TTL), PMZ_E_IO);
		assert_memory_equal(copy.token, lease.token,
		                    sizeof(lease.token));
		expect_status(pmz_lock_peek(t.others, "job", &seen), PMZ_E_IO);
	}
	expect_status(pmz_lock_release(t.others, &lease), PMZ_E_IO);
}

static void locks_work_again_after_a_restart(void **state)
{
	pmz_lease lease = acquire(t.others, 0);

	(void)state;
	kit_redis_kill(server);
	expect_status(try_once(t.others, NULL), PMZ_E_IO);
	kit_redis_restart(server);
	lease = acquire(t.others, 0);
	expect_holder(&lease);
	expect_status(pmz_lock_release(t.others, &lease), PMZ_OK);
	expect_free();
}

static void a_server_that_comes_back_within_the_wait_grants(void **state)
{
	kit_waiter waiter;

	(void)state;
	kit_redis_kill(server);
	kit_waiter_start(&waiter, t.others, "job", TTL, WAIT);
	kit_doze(KIT_NODE_MS);
	kit_redis_restart(server);
	kit_waiter_join(&waiter);
	expect_status(waiter.status, PMZ_OK);
	expect_holder(&waiter.lease);
}

static void a_lease_of_a_server_restarted_empty_is_lost(void **state)
{
	pmz_lease lease = acquire(t.others, 0);

	(void)state;
	kit_redis_restart(server);
	expect_status(pmz_lock_extend(t.others, &lease, TTL), PMZ_E_LOST);
	expect_free();
}

static uint64_t fence_of_a_cycle(void)
{
	pmz_lease lease = acquire(t.others, WAIT);
	uint64_t fence = lease.fence;

	expect_status(pmz_lock_release(t.others, &lease), PMZ_OK);
	return fence;
}

static void the_fence_grows_after_all_memory_is_lost(void **state)
{
	uint64_t first = fence_of_a_cycle(), second, third, fourth;

	(void)state;
	second = fence_of_a_cycle();
	expect_answer("OK", "FLUSHALL");
	third = fence_of_a_cycle();
	kit_redis_restart(server);
	fourth = fence_of_a_cycle();
	assert_true(first && first < second);
	assert_true(second < third);
	assert_true(third < fourth);
}

static void the_fence_grows_when_the_servers_clock_was_set_back(void **state)
{
	(void)state;
	expect_answer("OK", "SET", FENCE_KEY, "8000000000000000");
	assert_int_equal(fence_of_a_cycle(), 8000000000000001);
	assert_int_equal(fence_of_a_cycle(), 8000000000000002);
}

static void flushed_scripts_are_sent_again(void **state)
{
	pmz_lease lease = acquire(t.others, 0), holder;

	(void)state;
	expect_answer("OK", "SCRIPT", "FLUSH");
	expect_status(pmz_lock_extend(t.others, &lease, 2 * TTL), PMZ_OK);
	expect_answer("OK", "SCRIPT", "FLUSH");
	expect_status(pmz_lock_peek(t.others, "job", &holder), PMZ_OK);
	assert_string_equal(holder.token, lease.token);
	expect_answer("OK", "SCRIPT", "FLUSH");
	expect_status(pmz_lock_release(t.others, &lease), PMZ_OK);
	expect_answer("OK", "SCRIPT", "FLUSH");
	lease = acquire(t.others, 0);
	expect_holder(&lease);
}

/* A second server that follows the first. */
static void start_replica(void)
{
	char port[8];

	snprintf(port, sizeof(port), "%u", (unsigned)kit_redis_port(server));
	t.second = kit_redis_start(NULL);
	kit_redis_ask(t.second, text, sizeof(text), "REPLICAOF", "127.0.0.1",
	              port, NULL);
}

static void make_master(void *ctx)
{
	char out[32];

	kit_redis_ask(ctx, out, sizeof(out), "REPLICAOF", "NO", "ONE", NULL);
}

/* Within its wait; before that it is told why not. */
static void expect_grant_by_a_new_master(const char *words)
{
	pmz_locks *locks = kit_locks_open(kit_redis_address(t.second), NULL);
	kit_errand errand;
	pmz_lease lease;
	pmz_why why;

	expect_status(try_once(locks, &why), PMZ_E_IO);
	if (!strstr(why.text, words))
		fail_msg("no %s in: %s", words, why.text);
	kit_errand_start(&errand, KIT_NODE_MS, make_master, t.second);
	lease = acquire(locks, WAIT);
	assert_true(lease.fence > 0);
	kit_errand_join(&errand);
	pmz_locks_close(locks);
}

static void a_replica_is_E_IO_until_it_is_a_master(void **state)
{
	(void)state;
	start_replica();
	expect_grant_by_a_new_master("READONLY");
}

static void a_replica_without_a_master_is_E_IO_until_it_is_one(void **state)
{
	(void)state;
	kit_redis_kill(server);
	start_replica();
	kit_redis_ask(t.second, text, sizeof(text), "CONFIG", "SET",
	              "replica-serve-stale-data", "no", NULL);
	expect_grant_by_a_new_master("MASTERDOWN");
}

static int has_replica(void *ctx)
{
	return kit_redis_count(ctx, "WAIT", "1", "10", NULL) == 1;
}

static void with_replicas_min_a_grant_is_on_a_replica(void **state)
{
	pmz_locks_config cfg = kit_locks_config();
	pmz_lease lease;

	(void)state;
	expect_answer("OK", "CONFIG", "SET", "repl-diskless-sync-delay", "0");
	start_replica();
	kit_wait(has_replica, server, 20, "a replica to be in step");
	cfg.replicas_min = 1;
	cfg.node_timeout_ns = PMZ_S(1);
	pmz_locks_close(t.locks);
	t.locks = kit_locks_open(kit_redis_address(server), &cfg);
	lease = acquire(t.locks, WAIT);
	assert_string_equal(
		kit_redis_ask(t.second, text, sizeof(text), "GET", KEY, NULL),
		lease.token);
	expect_status(pmz_lock_release(t.locks, &lease), PMZ_OK);
	kit_redis_kill(t.second);
	expect_status(try_once(t.locks, NULL), PMZ_E_QUORUM);
	expect_free();
}

static void occupy(void *ctx)
{
	char out[64];

	kit_redis_ask(ctx, out, sizeof(out), "EVAL", "while true do end", "0",
	              NULL);
}

static int is_busy(void *ctx)
{
	char out[64];

	kit_redis_ask(ctx, out, sizeof(out), "PING", NULL);
	return strncmp(out, "BUSY", 4) == 0;
}

static void kill_script(void *ctx)
{
	char out[64];

	kit_redis_ask(ctx, out, sizeof(out), "SCRIPT", "KILL", NULL);
}

static void a_server_busy_with_a_script_grants_after_it(void **state)
{
	kit_errand script, end;
	pmz_lease lease;
	pmz_why why;

	(void)state;
	expect_answer("OK", "CONFIG", "SET", "busy-reply-threshold", "10");
	kit_errand_start(&script, 0, occupy, server);
	kit_wait(is_busy, server, 10, "the server to be busy");
	expect_status(try_once(t.others, &why), PMZ_E_IO);
	assert_non_null(strstr(why.text, "BUSY"));
	kit_errand_start(&end, KIT_NODE_MS, kill_script, server);
	lease = acquire(t.others, WAIT);
	expect_holder(&lease);
	kit_errand_join(&end);
	kit_errand_join(&script);
}

static void ask_for_replicas(const char *count)
{
	expect_answer("OK", "CONFIG", "SET", "min-replicas-to-write", count);
}

static void a_release_without_replicas_is_owed(void **state)
{
	pmz_lease lease = acquire(t.others, 0), other;

	(void)state;
	ask_for_replicas("1");
	expect_status(pmz_lock_release(t.others, &lease), PMZ_E_IO);
	ask_for_replicas("0");
	other = expect_grant(t.others, "another", TTL, WAIT);
	expect_status(pmz_lock_release(t.others, &other), PMZ_OK);
	kit_doze(300);
	other = expect_grant(t.others, "another", TTL, WAIT);
	kit_wait(key_is_free, server, 10, "what is owed to be paid");
	expect_status(pmz_lock_release(t.others, &other), PMZ_OK);
}

static void limit_memory(const char *bytes)
{
	expect_answer("OK", "CONFIG", "SET", "maxmemory", bytes);
}

static void a_full_server_refuses_at_once_and_in_its_words(void **state)
{
	pmz_lease held = acquire(t.others, 0), lease;
	pmz_why why;
	int64_t then;

	(void)state;
	limit_memory("1");
	then = kit_now();
	expect_status(
		pmz_lock_acquire(t.others, "new", TTL, WAIT, &lease, &why),
		PMZ_E_REPLY);
	expect_back(then, 0);
	assert_non_null(strstr(why.text, "maxmemory"));
	assert_true(lease.token[0] == '\0' && !lease.until);
	expect_status(pmz_lock_extend(t.others, &held, TTL), PMZ_OK);
	expect_status(pmz_lock_release(t.others, &held), PMZ_OK);
	limit_memory("0");
	expect_free();
}

static void what_lands_after_it_was_given_up_grants_nothing(void **state)
{
	(void)state;
	hold_first_connection(KIT_REQUESTS);
	expect_status(try_once(t.locks, NULL), PMZ_E_IO);
	kit_proxy_wait_kept(t.proxy, KIT_REQUESTS, 1);
	expect_free();
	let_stragglers_land();
	expect_free();
}

static void what_lands_after_the_next_release_finds_a_tombstone(void **state)
{
	pmz_lease lease;

	(void)state;
	hold_first_connection(KIT_REQUESTS);
	expect_status(try_once(t.locks, NULL), PMZ_E_IO);
	lease = acquire(t.locks, WAIT);
	expect_status(pmz_lock_release(t.locks, &lease), PMZ_OK);
	expect_free();
	let_stragglers_land();
	expect_free();
}

static void what_lands_late_leaves_the_next_grant_alone(void **state)
{
	pmz_lease lease;

	(void)state;
	hold_first_connection(KIT_REQUESTS);
	expect_status(try_once(t.locks, NULL), PMZ_E_IO);
	lease = acquire(t.locks, WAIT);
	let_stragglers_land();
	expect_holder(&lease);
}

static void a_retry_within_one_wait_keeps_what_it_was_granted(void **state)
{
	pmz_lease lease;

	(void)state;
	hold_first_connection(KIT_REQUESTS);
	lease = acquire(t.locks, WAIT);
	expect_holder(&lease);
	let_stragglers_land();
	expect_holder(&lease);
}

static void a_first_try_that_lands_after_the_release_is_gone(void **state)
{
	pmz_lease lease;

	(void)state;
	hold_first_connection(KIT_REQUESTS);
	lease = acquire(t.locks, WAIT);
	expect_status(pmz_lock_release(t.locks, &lease), PMZ_OK);
	expect_free();
	let_stragglers_land();
	expect_free();
}

static void a_grant_whose_reply_is_lost_is_given_to_the_retry(void **state)
{
	pmz_lease lease;

	(void)state;
	hold_first_connection(KIT_REPLIES);
	lease = acquire(t.locks, WAIT);
	expect_holder(&lease);
	assert_int_equal(lease.fence,
	                 kit_redis_count(server, "GET", FENCE_KEY, NULL));
	let_stragglers_land();
	expect_holder(&lease);
}

static void a_grant_whose_reply_is_lost_is_taken_back(void **state)
{
	(void)state;
	kit_proxy_black_hole(t.proxy, KIT_REPLIES);
	expect_status(try_once(t.locks, NULL), PMZ_E_IO);
	kit_wait(key_is_free, server, 5, "the grant to be taken back");
}

/* No other call is made, that could do it on its way. */
static void a_grant_whose_connection_ends_is_taken_back_at_once(void **state)
{
	pmz_lease lease = acquire(t.locks, 0);

	(void)state;
	expect_status(pmz_lock_release(t.locks, &lease), PMZ_OK);
	kit_proxy_cut(t.proxy, KIT_REPLIES, 7, KIT_CLOSE);
	expect_status(try_once(t.locks, NULL), PMZ_E_IO);
	kit_wait(key_is_free, server, 2, "the grant to be taken back");
}

/* Its connection ends, and for a while there is no other. */
static void what_was_out_of_reach_is_taken_back_next_time(void **state)
{
	pmz_lease lease = acquire(t.locks, 0), none;

	(void)state;
	expect_status(pmz_lock_release(t.locks, &lease), PMZ_OK);
	kit_proxy_refuse(t.proxy);
	kit_proxy_cut(t.proxy, KIT_REPLIES, 0, KIT_CLOSE);
	expect_status(try_once(t.locks, NULL), PMZ_E_IO);
	expect_answer("1", "EXISTS", KEY);
	kit_proxy_pass(t.proxy, KIT_BOTH);
	kit_proxy_accept(t.proxy);
	expect_status(
		pmz_lock_acquire(t.locks, "other", TTL, WAIT, &none, NULL),
		PMZ_OK);
	expect_free();
}

static void a_retry_that_timed_out_is_taken_back_everywhere(void **state)
{
	pmz_lease lease;

	(void)state;
	kit_proxy_hold(t.proxy, KIT_REQUESTS);
	expect_status(pmz_lock_acquire(t.locks, "job", TTL,
	                               PMZ_MS(4 * KIT_NODE_MS), &lease, NULL),
	              PMZ_E_IO);
	assert_true(kit_proxy_connections(t.proxy) > 1);
	let_stragglers_land();
	expect_free();
}

static void a_late_extension_does_not_prolong_another_holder(void **state)
{
	pmz_lease lease = acquire(t.locks, 0);

	(void)state;
	kit_proxy_hold(t.proxy, KIT_REQUESTS);
	expect_status(pmz_lock_extend(t.locks, &lease, TTL), PMZ_E_IO);
	expect_status(pmz_lock_release(t.others, &lease), PMZ_OK);
	expect_answer("OK", "SET", KEY, "another", "PX", "10000", "NX");
	let_stragglers_land();
	expect_answer("another", "GET", KEY);
	assert_in_range(kit_redis_count(server, "PTTL", KEY, NULL), 1, 10000);
}

static void a_late_release_leaves_another_holder_alone(void **state)
{
	pmz_lease lease = acquire(t.locks, 0), next;

	(void)state;
	kit_proxy_hold(t.proxy, KIT_REQUESTS);
	expect_status(pmz_lock_release(t.locks, &lease), PMZ_E_IO);
	expect_answer("1", "DEL", KEY);
	next = acquire(t.others, 0);
	let_stragglers_land();
	expect_holder(&next);
}

static void a_release_that_timed_out_releases_when_it_lands(void **state)
{
	pmz_lease lease = acquire(t.locks, 0);

	(void)state;
	kit_proxy_hold(t.proxy, KIT_REQUESTS);
	expect_status(pmz_lock_release(t.locks, &lease), PMZ_E_IO);
	expect_answer("1", "EXISTS", KEY);
	let_stragglers_land();
	expect_free();
}

static void swallow_all(kit_proxy *p)
{
	kit_proxy_black_hole(p, KIT_BOTH);
}

static void swallow_requests(kit_proxy *p)
{
	kit_proxy_black_hole(p, KIT_REQUESTS);
}

static void swallow_replies(kit_proxy *p)
{
	kit_proxy_black_hole(p, KIT_REPLIES);
}

static void trickle_requests(kit_proxy *p)
{
	kit_proxy_trickle(p, KIT_REQUESTS, 80);
}

static void trickle_replies(kit_proxy *p)
{
	kit_proxy_trickle(p, KIT_REPLIES, 80);
}

static void hang_in_reply(kit_proxy *p)
{
	kit_proxy_cut(p, KIT_REPLIES, 7, KIT_HANG);
}

static void close_in_reply(kit_proxy *p)
{
	kit_proxy_cut(p, KIT_REPLIES, 7, KIT_CLOSE);
}

static void close_in_request(kit_proxy *p)
{
	kit_proxy_cut(p, KIT_REQUESTS, 100, KIT_CLOSE);
}

static void refuse(kit_proxy *p)
{
	kit_proxy_refuse(p);
	kit_proxy_close_all(p);
}

static const struct fault {
	const char *name;
	void (*begin)(kit_proxy *p);
} faults[] = {
	{ "black hole", swallow_all },
	{ "requests are lost", swallow_requests },
	{ "replies are lost", swallow_replies },
	{ "requests trickle", trickle_requests },
	{ "replies trickle", trickle_replies },
	{ "half a reply", hang_in_reply },
	{ "half a reply and the end", close_in_reply },
	{ "half a request and the end", close_in_request },
	{ "refused", refuse },
};

static void expect_E_IO(const struct fault *f, pmz_ns wait, unsigned allowed_ms)
{
	int64_t then = kit_now();
	pmz_lease lease;
	int status = pmz_lock_acquire(t.locks, "job", TTL, wait, &lease, NULL);
	unsigned took = kit_ms_since(then);

	if (status != PMZ_E_IO)
		fail_msg("%s: %s", f->name, pmz_status_name(status));
	if (took > allowed_ms + KIT_LATE_MS + KIT_LOADED_MS)
		fail_msg("%s: %u ms for %u", f->name, took, allowed_ms);
}

static void heal(void)
{
	kit_proxy_pass(t.proxy, KIT_BOTH);
	kit_proxy_accept(t.proxy);
}

static void expect_healed(const struct fault *f)
{
	pmz_lease lease;
	int status = pmz_lock_acquire(t.locks, "job", TTL, WAIT, &lease, NULL);

	if (status != PMZ_OK)
		fail_msg("after %s: %s", f->name, pmz_status_name(status));
	expect_status(pmz_lock_release(t.locks, &lease), PMZ_OK);
}

/* By the one connection that is there; the first of a fresh pmz_locks; with the
 * wait longer than the time-outs. */
static void suffer(const struct fault *f)
{
	unsigned both_ms = KIT_CONNECT_MS + KIT_NODE_MS;
	pmz_lease lease = acquire(t.locks, WAIT);

	expect_status(pmz_lock_release(t.locks, &lease), PMZ_OK);
	f->begin(t.proxy);
	expect_E_IO(f, 0, both_ms);
	pmz_locks_close(t.locks);
	t.locks = kit_locks_open(kit_proxy_address(t.proxy), NULL);
	expect_E_IO(f, 0, both_ms);
	expect_E_IO(f, PMZ_MS(both_ms + 50), both_ms + 50);
	heal();
	expect_healed(f);
}

static void each_fault_ends_within_the_time_outs_and_heals(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < KIT_COUNT(faults); i++)
		suffer(&faults[i]);
	let_stragglers_land();
	expect_free();
}

static void single_bytes_are_as_good_as_any(void **state)
{
	pmz_lease lease;

	(void)state;
	kit_proxy_single_bytes(t.proxy, KIT_BOTH);
	lease = acquire(t.locks, WAIT);
	expect_status(pmz_lock_extend(t.locks, &lease, 2 * TTL), PMZ_OK);
	expect_status(pmz_lock_release(t.locks, &lease), PMZ_OK);
	expect_free();
}

/* Others are slow too, but nobody is asked twice. */
static void each_call_on_a_lease_ends_within_the_time_outs(void **state)
{
	unsigned both_ms = KIT_CONNECT_MS + KIT_NODE_MS;
	pmz_lease lease = acquire(t.locks, 0), seen;
	int64_t then = kit_now();

	(void)state;
	kit_proxy_black_hole(t.proxy, KIT_BOTH);
	expect_status(pmz_lock_extend(t.locks, &lease, TTL), PMZ_E_IO);
	expect_back(then, both_ms);
	then = kit_now();
	expect_status(pmz_lock_peek(t.locks, "job", &seen), PMZ_E_IO);
	expect_back(then, both_ms);
	then = kit_now();
	expect_status(pmz_lock_release(t.locks, &lease), PMZ_E_IO);
	expect_back(then, both_ms);
}

/* Its queue is full, so that the kernel leaves the next one unanswered. */
static int deaf_socket(uint16_t *port, int *fill)
{
	int fd = kit_port_reserve(port), i;
	struct sockaddr_in at = kit_loopback(*port);

	assert_int_equal(listen(fd, 0), 0);
	for (i = 0; i < 2; i++) {
		fill[i] = socket(AF_INET,
		                 SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		(void)!connect(fill[i], (struct sockaddr *)&at, sizeof(at));
	}
	return fd;
}

static void a_connect_without_an_answer_ends_after_connect_ns(void **state)
{
	uint16_t port;
	int fill[2], fd = deaf_socket(&port, fill);
	pmz_locks *locks;
	pmz_why why;
	int64_t then;

	(void)state;
	snprintf(text, sizeof(text), "redis://127.0.0.1:%u", (unsigned)port);
	locks = kit_locks_open(text, NULL);
	then = kit_now();
	expect_status(try_once(locks, &why), PMZ_E_IO);
	expect_back(then, KIT_CONNECT_MS + KIT_NODE_MS);
	assert_non_null(strstr(why.text, "connect"));
	pmz_locks_close(locks);
	close(fill[0]);
	close(fill[1]);
	close(fd);
}

static void a_unix_socket_is_as_good_as_a_port(void **state)
{
	pmz_locks *locks;
	pmz_lease lease;

	(void)state;
	snprintf(text, sizeof(text), "redis+unix://%s", kit_redis_unix(server));
	locks = kit_locks_open(text, NULL);
	lease = acquire(locks, 0);
	expect_holder(&lease);
	expect_status(try_once(t.others, NULL), PMZ_REFUSED_HELD);
	expect_status(pmz_lock_release(locks, &lease), PMZ_OK);
	pmz_locks_close(locks);
}

#define wire_test(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		wire_test(a_paused_server_is_left_in_time_and_has_no_orphan),
		wire_test(a_paused_server_that_goes_on_within_the_wait_grants),
		wire_test(a_server_killed_during_a_command_is_E_IO_at_once),
		wire_test(writing_to_a_killed_server_raises_no_signal),
		wire_test(locks_work_again_after_a_restart),
		wire_test(a_server_that_comes_back_within_the_wait_grants),
		wire_test(a_lease_of_a_server_restarted_empty_is_lost),
		wire_test(the_fence_grows_after_all_memory_is_lost),
		wire_test(the_fence_grows_when_the_servers_clock_was_set_back),
		wire_test(flushed_scripts_are_sent_again),
		wire_test(a_replica_is_E_IO_until_it_is_a_master),
		wire_test(a_replica_without_a_master_is_E_IO_until_it_is_one),
		wire_test(with_replicas_min_a_grant_is_on_a_replica),
		wire_test(a_server_busy_with_a_script_grants_after_it),
		wire_test(a_full_server_refuses_at_once_and_in_its_words),
		wire_test(what_lands_after_it_was_given_up_grants_nothing),
		wire_test(what_lands_after_the_next_release_finds_a_tombstone),
		wire_test(what_lands_late_leaves_the_next_grant_alone),
		wire_test(a_retry_within_one_wait_keeps_what_it_was_granted),
		wire_test(a_first_try_that_lands_after_the_release_is_gone),
		wire_test(a_grant_whose_reply_is_lost_is_given_to_the_retry),
		wire_test(a_grant_whose_reply_is_lost_is_taken_back),
		wire_test(a_grant_whose_connection_ends_is_taken_back_at_once),
		wire_test(what_was_out_of_reach_is_taken_back_next_time),
		wire_test(a_retry_that_timed_out_is_taken_back_everywhere),
		wire_test(a_late_extension_does_not_prolong_another_holder),
		wire_test(a_late_release_leaves_another_holder_alone),
		wire_test(a_release_that_timed_out_releases_when_it_lands),
		wire_test(a_release_without_replicas_is_owed),
		wire_test(each_fault_ends_within_the_time_outs_and_heals),
		wire_test(single_bytes_are_as_good_as_any),
		wire_test(each_call_on_a_lease_ends_within_the_time_outs),
		wire_test(a_connect_without_an_answer_ends_after_connect_ns),
		wire_test(a_unix_socket_is_as_good_as_a_port),
	};

	return cmocka_run_group_tests(tests, server_start, server_stop);
}
