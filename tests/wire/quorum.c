/*
 * quorum.c - locks over five independent servers, of which some are busy, dead,
 * hung or without memory.
 */
#include "expect.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

#include <pipemaze/edge.h>

#include "leases.h"
#include "proxy.h"

#define NODES 5
#define QUORUM 3
#define TTL PMZ_S(20)
#define WAIT PMZ_S(5)
#define KEY "lock:job"
#define FENCE_KEY "{lock:job}:f"

/* More than the time in us will be for centuries. */
#define AHEAD 8000000000000000

static kit_redis *nodes[NODES];
static const char *addresses[NODES];
static pmz_locks *locks;
static kit_proxy *proxies[NODES];
static char text[512];

static int start_servers(void **state)
{
	(void)state;
	kit_redis_start_all(nodes, addresses, NODES);
	return 0;
}

static int stop_servers(void **state)
{
	(void)state;
	kit_redis_stop_all(nodes, NODES);
	return 0;
}

static void revive(kit_redis *node)
{
	if (!kit_redis_is_up(node))
		kit_redis_restart(node);
}

static void forget_all(void)
{
	unsigned i;

	for (i = 0; i < NODES; i++)
		kit_redis_ask(nodes[i], text, sizeof(text), "FLUSHALL", NULL);
}

static int start(void **state)
{
	unsigned i;

	(void)state;
	for (i = 0; i < NODES; i++)
		revive(nodes[i]);
	forget_all();
	locks = kit_locks_quorum(addresses, NODES, NULL);
	return 0;
}

static int stop(void **state)
{
	unsigned i;

	(void)state;
	pmz_locks_close(locks);
	for (i = 0; i < NODES; i++) {
		kit_proxy_stop(proxies[i]);
		proxies[i] = NULL;
	}
	return 0;
}

static pmz_lease acquire(pmz_ns wait)
{
	pmz_lease lease;
	pmz_why why;
	int status = pmz_lock_acquire(locks, "job", TTL, wait, &lease, &why);

	if (status != PMZ_OK)
		fail_msg("%s: %s", pmz_status_name(status), why.text);
	return lease;
}

static const char *value(unsigned node)
{
	return kit_redis_ask(nodes[node], text, sizeof(text), "GET", KEY, NULL);
}

static int is_free(void *ctx)
{
	char out[80];

	kit_redis_ask(ctx, out, sizeof(out), "GET", KEY, NULL);
	return strcmp(out, "(nil)") == 0;
}

static void wait_until_free(unsigned node)
{
	kit_wait(is_free, nodes[node], 5, "a node to be free");
}

/* Of a set of nodes as bits. */
static int has(unsigned mask, unsigned node)
{
	return mask >> node & 1;
}

static unsigned size(unsigned mask)
{
	return mask ? (mask & 1) + size(mask >> 1) : 0;
}

static void occupy(unsigned mask)
{
	unsigned i;

	forget_all();
	for (i = 0; i < NODES; i++)
		if (has(mask, i))
			kit_redis_ask(nodes[i], text, sizeof(text), "SET", KEY,
			              "another", "PX", "20000", "NX", NULL);
}

static void expect_only_the_other(unsigned mask)
{
	unsigned i;

	for (i = 0; i < NODES; i++) {
		if (has(mask, i))
			assert_string_equal(value(i), "another");
		else
			wait_until_free(i);
	}
}

static void expect_grant(unsigned mask)
{
	pmz_lease lease = acquire(0);

	assert_true(lease.fence > 0);
	assert_true(pmz_lock_is_held(&lease, pmz_now()));
	expect_status(pmz_lock_extend(locks, &lease, 2 * TTL), PMZ_OK);
	expect_status(pmz_lock_release(locks, &lease), PMZ_OK);
	expect_only_the_other(mask);
}

static void expect_held(unsigned mask)
{
	pmz_ns now = pmz_now();
	pmz_lease lease;
	pmz_why why;

	expect_status(pmz_lock_acquire(locks, "job", TTL, 0, &lease, &why),
	              PMZ_REFUSED_HELD);
	expect_between(why.ready_at, now, pmz_now() + TTL + PMZ_MS(1));
	assert_true(lease.token[0] == '\0');
	expect_only_the_other(mask);
}

static void a_quorum_of_free_nodes_grants_and_fewer_do_not(void **state)
{
	unsigned mask;

	(void)state;
	for (mask = 0; mask < 1u << NODES; mask++) {
		occupy(mask);
		if (size(mask) < QUORUM)
			expect_grant(mask);
		else
			expect_held(mask);
	}
}

static void peek_names_the_holder_of_a_quorum_only(void **state)
{
	pmz_lease lease, holder;

	(void)state;
	occupy(3);
	expect_status(pmz_lock_peek(locks, "job", &holder), PMZ_REFUSED_EMPTY);
	lease = acquire(0);
	expect_status(pmz_lock_peek(locks, "job", &holder), PMZ_OK);
	assert_string_equal(holder.token, lease.token);
	occupy(7);
	expect_status(pmz_lock_peek(locks, "job", &holder), PMZ_OK);
	assert_string_equal(holder.token, "another");
}

static const struct outage {
	const char *name;
	void (*begin[3])(kit_redis *r); /* for the first nodes */
} outages[] = {
	{ "killed", { kit_redis_kill, kit_redis_kill, kit_redis_kill } },
	{ "hung", { kit_redis_pause, kit_redis_pause, kit_redis_pause } },
	{ "one of each", { kit_redis_kill, kit_redis_pause, kit_redis_kill } },
};

static void begin(const struct outage *o, unsigned count)
{
	unsigned i;

	for (i = 0; i < count; i++)
		o->begin[i](nodes[i]);
}

/* What was hung goes on, with all that it was sent. */
static void end_outage(void)
{
	unsigned i;

	for (i = 0; i < NODES; i++) {
		kit_redis_go_on(nodes[i]);
		revive(nodes[i]);
	}
}

static void expect_in_time(const struct outage *o, const char *what,
                           int64_t then, unsigned allowed_ms)
{
	unsigned took = kit_ms_since(then);

	if (took > allowed_ms + KIT_LATE_MS + KIT_LOADED_MS)
		fail_msg("%s, %s: %u ms", o->name, what, took);
}

static void hold_without(const struct outage *o)
{
	pmz_lease lease;
	int64_t then;

	begin(o, 2);
	then = kit_now();
	lease = acquire(0);
	expect_in_time(o, "acquire", then, KIT_NODE_MS);
	assert_true(lease.fence > 0);
	then = kit_now();
	expect_status(pmz_lock_extend(locks, &lease, TTL), PMZ_OK);
	expect_in_time(o, "extend", then, KIT_NODE_MS);
	then = kit_now();
	expect_status(pmz_lock_release(locks, &lease), PMZ_OK);
	expect_in_time(o, "release", then, KIT_NODE_MS);
	end_outage();
	expect_only_the_other(0);
}

static void two_of_five_dead_or_hung_neither_fail_nor_slow_it(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < KIT_COUNT(outages); i++)
		hold_without(&outages[i]);
}

static void fail_without(const struct outage *o)
{
	unsigned both_ms = KIT_CONNECT_MS + KIT_NODE_MS;
	pmz_lease lease;
	int64_t then;

	begin(o, 3);
	then = kit_now();
	expect_status(pmz_lock_acquire(locks, "job", TTL, 0, &lease, NULL),
	              PMZ_E_QUORUM);
	expect_in_time(o, "acquire", then, both_ms);
	assert_true(lease.token[0] == '\0');
	wait_until_free(3);
	wait_until_free(4);
	end_outage();
	expect_only_the_other(0);
}

static void three_dead_or_hung_are_E_QUORUM_and_leave_nothing(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < KIT_COUNT(outages); i++)
		fail_without(&outages[i]);
}

static void a_lease_stays_as_it_was_while_three_are_hung(void **state)
{
	pmz_lease lease = acquire(0), before = lease;

	(void)state;
	begin(&outages[1], 3);
	expect_status(pmz_lock_extend(locks, &lease, 2 * TTL), PMZ_E_QUORUM);
	assert_int_equal(lease.until, before.until);
	assert_string_equal(lease.token, before.token);
	end_outage();
	expect_status(pmz_lock_extend(locks, &lease, 2 * TTL), PMZ_OK);
	expect_status(pmz_lock_release(locks, &lease), PMZ_OK);
	expect_only_the_other(0);
}

static void who_waits_gets_it_when_a_quorum_is_back(void **state)
{
	kit_waiter waiter;

	(void)state;
	begin(&outages[0], 3);
	kit_waiter_start(&waiter, locks, "job", TTL, WAIT);
	kit_doze(KIT_NODE_MS);
	kit_redis_restart(nodes[0]);
	kit_waiter_join(&waiter);
	expect_status(waiter.status, PMZ_OK);
	expect_status(pmz_lock_release(locks, &waiter.lease), PMZ_OK);
}

#define SHORT PMZ_MS(900)

static int is_lost(int ms)
{
	struct pollfd p = { pmz_locks_fd(locks), POLLIN, 0 };

	return poll(&p, 1, ms) == 1;
}

static void a_kept_lease_outlives_two_nodes_and_no_third(void **state)
{
	pmz_lease lease, lost;
	int why;

	(void)state;
	expect_status(pmz_lock_acquire(locks, "job", SHORT, 0, &lease, NULL),
	              PMZ_OK);
	expect_status(pmz_lock_keep(locks, &lease, PMZ_NEVER), PMZ_OK);
	kit_redis_kill(nodes[0]);
	kit_redis_pause(nodes[1]);
	assert_false(is_lost(1800));
	expect_status(pmz_lock_refresh(locks, &lease), PMZ_OK);
	assert_true(pmz_lock_is_held(&lease, pmz_now()));
	kit_redis_kill(nodes[2]);
	assert_true(is_lost(3000));
	expect_status(pmz_locks_next_lost(locks, &lost, &why), PMZ_OK);
	expect_status(why, PMZ_E_QUORUM);
	assert_string_equal(lost.token, lease.token);
}

typedef struct grant {
	kit_redis *node;
	const char *token;
} grant;

static int has_token(void *ctx)
{
	const grant *g = ctx;
	char out[80];

	kit_redis_ask(g->node, out, sizeof(out), "GET", KEY, NULL);
	return strcmp(out, g->token) == 0;
}

static void wait_for_token(unsigned node, const pmz_lease *lease)
{
	grant g = { nodes[node], lease->token };

	kit_wait(has_token, &g, 5, "a node to have the token");
}

/* One that answers after the quorum has is left for the next time. */
static int is_repaired_by_an_extension(void *ctx)
{
	pmz_lease *lease = ctx;
	grant first = { nodes[0], lease->token };
	grant last = { nodes[NODES - 1], lease->token };

	expect_status(pmz_lock_extend(locks, lease, TTL), PMZ_OK);
	return has_token(&first) && has_token(&last);
}

static void nodes_restarted_empty_are_repaired_by_extensions(void **state)
{
	pmz_lease lease = acquire(0);

	(void)state;
	kit_redis_restart(nodes[0]);
	kit_redis_restart(nodes[NODES - 1]);
	wait_until_free(0);
	kit_wait(is_repaired_by_an_extension, &lease, 5, "a repair");
	expect_status(pmz_lock_release(locks, &lease), PMZ_OK);
	expect_only_the_other(0);
}

static void what_a_majority_forgot_is_lost_and_not_repaired(void **state)
{
	pmz_lease lease = acquire(0);
	unsigned i;

	(void)state;
	for (i = 0; i < NODES; i++)
		wait_for_token(i, &lease);
	for (i = 0; i < QUORUM; i++)
		kit_redis_restart(nodes[i]);
	expect_status(pmz_lock_extend(locks, &lease, TTL), PMZ_E_LOST);
	assert_true(lease.token[0] == '\0');
	expect_only_the_other(0);
}

static void what_a_majority_gave_to_another_is_lost_to_us_alone(void **state)
{
	pmz_lease lease = acquire(0);
	unsigned i;

	(void)state;
	for (i = 0; i < NODES; i++)
		wait_for_token(i, &lease);
	for (i = 0; i < QUORUM; i++)
		kit_redis_ask(nodes[i], text, sizeof(text), "SET", KEY,
		              "another", "PX", "20000", NULL);
	expect_status(pmz_lock_extend(locks, &lease, TTL), PMZ_E_LOST);
	expect_only_the_other(7);
}

static void a_release_that_a_majority_did_not_have_is_lost(void **state)
{
	pmz_lease lease = acquire(0);
	unsigned i;

	(void)state;
	for (i = 0; i < NODES; i++)
		wait_for_token(i, &lease);
	for (i = 0; i < QUORUM; i++)
		kit_redis_restart(nodes[i]);
	/* The kernel brings the end of a dead server's connections in its own
	 * time, and a release that finds it out by writing may have been done.
	 */
	kit_doze(50);
	expect_status(pmz_lock_release(locks, &lease), PMZ_E_LOST);
	expect_only_the_other(0);
}

static uint64_t fence_of_a_cycle(void)
{
	pmz_lease lease = acquire(WAIT);
	uint64_t fence = lease.fence;

	expect_status(pmz_lock_release(locks, &lease), PMZ_OK);
	return fence;
}

static uint64_t fence_without(unsigned first, unsigned second)
{
	uint64_t fence;

	kit_redis_pause(nodes[first]);
	kit_redis_pause(nodes[second]);
	fence = fence_of_a_cycle();
	kit_redis_go_on(nodes[first]);
	kit_redis_go_on(nodes[second]);
	return fence;
}

/* Which two are hung changes with each round, so that quorums share as little
 * as they can. The clock of one node was far ahead once: so the fence is what
 * the nodes remember of each other, not what their clocks say. */
static void fences_grow_over_changing_quorums(void **state)
{
	uint64_t last = AHEAD;
	char ahead[24];
	unsigned i;

	(void)state;
	snprintf(ahead, sizeof(ahead), "%llu", (unsigned long long)AHEAD);
	kit_redis_ask(nodes[2], text, sizeof(text), "SET", FENCE_KEY, ahead,
	              NULL);
	for (i = 0; i < 4 * NODES; i++) {
		unsigned apart = 1 + i / NODES % 2;
		uint64_t fence = fence_without(i % NODES, (i + apart) % NODES);

		if (fence <= last)
			fail_msg("round %u: %llu after %llu", i,
			         (unsigned long long)fence,
			         (unsigned long long)last);
		last = fence;
	}
}

static void fences_grow_when_nodes_lose_their_memory_in_turn(void **state)
{
	uint64_t last = 0;
	unsigned i;

	(void)state;
	for (i = 0; i < NODES; i++) {
		uint64_t fence;

		kit_redis_kill(nodes[i]);
		fence = fence_of_a_cycle();
		assert_true(fence > last);
		last = fence;
		kit_redis_restart(nodes[i]);
	}
}

#define DELAY_MS 20
#define ROUNDS 5

static pmz_locks *delayed(uint32_t fence_off)
{
	pmz_locks_config cfg = kit_locks_config();
	const char *through[NODES];
	unsigned i;

	cfg.fence_off = fence_off;
	for (i = 0; i < NODES; i++) {
		if (!proxies[i])
			proxies[i] = kit_proxy_start(kit_redis_port(nodes[i]));
		kit_proxy_delay(proxies[i], KIT_REPLIES, DELAY_MS);
		through[i] = kit_proxy_address(proxies[i]);
	}
	return kit_locks_quorum(through, NODES, &cfg);
}

static unsigned time_acquire(pmz_locks *l)
{
	pmz_lease lease;
	int64_t then = kit_now();
	unsigned took;

	expect_status(pmz_lock_acquire(l, "job", TTL, WAIT, &lease, NULL),
	              PMZ_OK);
	took = kit_ms_since(then);
	expect_status(pmz_lock_release(l, &lease), PMZ_OK);
	return took;
}

/* The best of some, since another program may have taken the machine. */
static unsigned best_acquire(uint32_t fence_off)
{
	pmz_locks *l = delayed(fence_off);
	unsigned best = time_acquire(l), i;

	for (i = 0; i < ROUNDS; i++) {
		unsigned took = time_acquire(l);

		if (took < best)
			best = took;
	}
	pmz_locks_close(l);
	return best;
}

static void five_slow_nodes_are_asked_at_the_same_time(void **state)
{
	unsigned bare = best_acquire(1), with_fence = best_acquire(0);

	(void)state;
	print_message("%u ms, with fence %u ms\n", bare, with_fence);
	assert_in_range(bare, DELAY_MS, 34);
	assert_in_range(with_fence, 2 * DELAY_MS, 59);
}

static void a_release_wakes_who_waits_on_a_quorum(void **state)
{
	pmz_backoff_rule slow = { .size = sizeof(slow),
		                  .base_ns = PMZ_S(10),
		                  .max_ns = PMZ_S(10),
		                  .jitter = PMZ_JITTER_NONE };
	pmz_locks_config cfg = kit_locks_config();
	pmz_lease lease = acquire(0);
	kit_waiter waiter;
	pmz_locks *others;
	int64_t then;
	unsigned i;

	(void)state;
	cfg.backoff = &slow;
	others = kit_locks_quorum(addresses, NODES, &cfg);
	kit_waiter_start(&waiter, others, "job", TTL, WAIT);
	for (i = 0; i < NODES; i++)
		kit_wait_for_listeners(nodes[i], 1);
	then = kit_now();
	expect_status(pmz_lock_release(locks, &lease), PMZ_OK);
	kit_waiter_join(&waiter);
	expect_status(waiter.status, PMZ_OK);
	assert_in_range((waiter.done_at - then) / 1000000, 0,
	                KIT_LATE_MS + KIT_LOADED_MS);
	pmz_locks_close(others);
}

static void a_lone_memory_store_counts_as_a_node(void **state)
{
	const char *mixed[] = { addresses[0], "memory:", "memory:" };
	pmz_locks *l = kit_locks_quorum(mixed, 3, NULL);
	pmz_lease lease, other;

	(void)state;
	expect_status(pmz_lock_acquire(l, "job", TTL, 0, &lease, NULL), PMZ_OK);
	wait_for_token(0, &lease);
	expect_status(pmz_lock_acquire(l, "job", TTL, 0, &other, NULL),
	              PMZ_REFUSED_HELD);
	kit_redis_kill(nodes[0]);
	expect_status(pmz_lock_extend(l, &lease, TTL), PMZ_OK);
	expect_status(pmz_lock_release(l, &lease), PMZ_OK);
	expect_status(pmz_lock_acquire(l, "job", TTL, 0, &lease, NULL), PMZ_OK);
	assert_true(lease.fence > 0);
	pmz_locks_close(l);
}

static void one_address_twice_is_E_CONFIG_and_named(void **state)
{
	const char *twice[] = { addresses[0], addresses[1], addresses[0] };
	pmz_locks *l;
	pmz_why why;

	(void)state;
	expect_status(pmz_locks_open(&l, twice, 3, NULL, &why), PMZ_E_CONFIG);
	assert_null(l);
	assert_int_equal(why.index, 2);
	assert_true(why.text[0]);
}

#define wire_test(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		wire_test(a_quorum_of_free_nodes_grants_and_fewer_do_not),
		wire_test(peek_names_the_holder_of_a_quorum_only),
		wire_test(two_of_five_dead_or_hung_neither_fail_nor_slow_it),
		wire_test(three_dead_or_hung_are_E_QUORUM_and_leave_nothing),
		wire_test(a_lease_stays_as_it_was_while_three_are_hung),
		wire_test(who_waits_gets_it_when_a_quorum_is_back),
		wire_test(a_kept_lease_outlives_two_nodes_and_no_third),
		wire_test(nodes_restarted_empty_are_repaired_by_extensions),
		wire_test(what_a_majority_forgot_is_lost_and_not_repaired),
		wire_test(what_a_majority_gave_to_another_is_lost_to_us_alone),
		wire_test(a_release_that_a_majority_did_not_have_is_lost),
		wire_test(fences_grow_over_changing_quorums),
		wire_test(fences_grow_when_nodes_lose_their_memory_in_turn),
		wire_test(five_slow_nodes_are_asked_at_the_same_time),
		wire_test(a_release_wakes_who_waits_on_a_quorum),
		wire_test(a_lone_memory_store_counts_as_a_node),
		wire_test(one_address_twice_is_E_CONFIG_and_named),
	};

	return cmocka_run_group_tests(tests, start_servers, stop_servers);
}
