/*
 * lock_proto.c - the lock's protocol against servers that do what they like, on
 * a virtual clock.
 */
#include <pipemaze/lock_proto.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "expect.h"
#include "lock_server.h"

#define NAME "orders:42"
#define LOCK "lock:" NAME
#define FENCE "{lock:" NAME "}:f"
#define TOMB "{lock:" NAME "}:x:"
#define TTL PMZ_S(10)
#define DRIFT (TTL / 100 + PMZ_MS(2))
#define CONNECT PMZ_S(1)
#define NODE_TIMEOUT (TTL / 20)
#define SLACK PMZ_MS(100)
#define GRACE PMZ_MS(20) /* for those who are slower than the quorum */

static world w;

/* One operation and what came of it. */
static struct bench {
	pmz_lock_rules rules;
	pmz_lock_op op;
	pmz_lease lease;
	pmz_why why;
	uint64_t seeds;
	int status;
	pmz_ns began, wait;
} t;

static void open_world(uint32_t nodes)
{
	world_open(&w, nodes);
	memset(&t, 0, sizeof(t));
	t.rules.size = sizeof(t.rules);
	t.rules.nodes = nodes;
}

static void begin_acquire(pmz_ns ttl, pmz_ns wait)
{
	const uint64_t seed[2] = { ++t.seeds, 77 };

	t.began = w.now;
	t.wait = wait;
	expect_status(pmz_lock_op_acquire(&t.op, &t.rules, NAME, ttl,
	                                  w.now + wait, seed, w.now, NULL),
	              PMZ_OK);
}

static int end(void)
{
	t.status = pmz_lock_op_end(&t.op, &t.lease, &t.why);
	return t.status;
}

static int run(void)
{
	world_run(&w, &t.op);
	return end();
}

static int acquire(pmz_ns wait)
{
	begin_acquire(TTL, wait);
	return run();
}

static int release(const pmz_lease *lease)
{
	const pmz_lease held = *lease;

	t.began = w.now;
	t.wait = 0;
	expect_status(pmz_lock_op_release(&t.op, &t.rules, &held, w.now, NULL),
	              PMZ_OK);
	return run();
}

static int extend(pmz_ns ttl)
{
	const pmz_lease held = t.lease;

	t.began = w.now;
	t.wait = 0;
	expect_status(
		pmz_lock_op_extend(&t.op, &t.rules, &held, ttl, w.now, NULL),
		PMZ_OK);
	return run();
}

static int peek(void)
{
	t.began = w.now;
	t.wait = 0;
	expect_status(pmz_lock_op_peek(&t.op, &t.rules, NAME, w.now, NULL),
	              PMZ_OK);
	return run();
}

/* On so many nodes there is a lock. */
static unsigned locked(void)
{
	unsigned i, n = 0;

	for (i = 0; i < w.nodes; i++)
		n += server_find(&w, i, LOCK) != NULL;
	return n;
}

static int holds(uint32_t node, const char *token)
{
	const server_key *key = server_find(&w, node, LOCK);

	return key && !strcmp(key->value, token);
}

/* Of the i-th command of this verb. */
static const command *sent(uint32_t verb, unsigned i)
{
	size_t at;

	for (at = 0; at < w.log_count; at++)
		if (w.log[at].verb == verb && !i--)
			return &w.log[at];
	fail_msg("so many commands were not sent");
	return NULL;
}

static const char *token_of(const command *c)
{
	int keys = c->args[2][0] - '0';

	return c->args[3 + keys];
}

static void occupy(uint32_t node, pmz_ns span)
{
	server_set(&w, node, LOCK, "another", span);
}

static void rule(uint32_t node, uint32_t verb, unsigned times, fault f)
{
	world_rule(&w, node, verb, times, f);
}

static void kill_from(uint32_t node)
{
	for (; node < w.nodes; node++)
		w.servers[node].is_dead = 1;
}

static void ended_in_time(void)
{
	pmz_ns one_try = CONNECT + NODE_TIMEOUT;
	pmz_ns wait = t.wait > one_try ? t.wait : one_try;

	assert_in_range(w.now - t.began, 0, wait + SLACK);
}

static void a_granted_lease_ends_before_the_servers(void **state)
{
	(void)state;
	open_world(1);
	w.servers[0].fast_ppm = 10000;
	expect_status(acquire(0), PMZ_OK);
	assert_int_equal(t.lease.until, WORLD_START + TTL - DRIFT);
	assert_true(server_find(&w, 0, LOCK)->ends > t.lease.until);
	assert_string_equal(t.lease.name, NAME);
	assert_int_equal(strlen(t.lease.token), 32);
	assert_int_equal(t.lease.ttl, TTL);
}

static void a_lease_is_counted_from_before_the_first_byte(void **state)
{
	(void)state;
	open_world(1);
	t.rules.node_timeout_ns = PMZ_S(8);
	rule(0, PMZ_LOCK_ACQUIRE, 1,
	     (fault){ .how = COMMAND_LATE, .by = PMZ_S(7) });
	expect_status(acquire(0), PMZ_OK);
	assert_int_equal(t.lease.until, WORLD_START + TTL - DRIFT);
}

static void what_is_granted_too_late_is_released_and_not_held(void **state)
{
	static const struct {
		pmz_ns after;
		int status;
	} rows[] = {
		{ TTL - DRIFT - 1, PMZ_OK },
		{ TTL - DRIFT, PMZ_E_IO },
		{ TTL - DRIFT + 1, PMZ_E_IO },
	};
	size_t i;

	(void)state;
	for (i = 0; i < KIT_COUNT(rows); i++) {
		open_world(1);
		t.rules.node_timeout_ns = 2 * TTL;
		rule(0, PMZ_LOCK_ACQUIRE, 1,
		     (fault){ .how = REPLY_LATE,
		              .by = rows[i].after - 2 * WORLD_TRIP });
		kit_expect_row(i, acquire(0), rows[i].status, pmz_status_name);
		assert_int_equal(t.lease.until > w.now,
		                 rows[i].status == PMZ_OK);
		world_settle(&w);
		assert_int_equal(locked(), rows[i].status == PMZ_OK);
	}
}

static void a_lost_reply_is_asked_for_with_the_same_token(void **state)
{
	(void)state;
	open_world(1);
	rule(0, PMZ_LOCK_ACQUIRE, 1, (fault){ .how = REPLY_LOST });
	expect_status(acquire(PMZ_S(5)), PMZ_OK);
	assert_int_equal(world_sent(&w, PMZ_LOCK_ACQUIRE, 0), 2);
	assert_string_equal(token_of(sent(PMZ_LOCK_ACQUIRE, 0)),
	                    token_of(sent(PMZ_LOCK_ACQUIRE, 1)));
	assert_true(holds(0, t.lease.token));
	assert_int_equal(t.lease.until,
	                 sent(PMZ_LOCK_ACQUIRE, 1)->at + TTL - DRIFT);
}

static void a_broken_connection_is_asked_once_more_at_once(void **state)
{
	(void)state;
	open_world(1);
	rule(0, PMZ_LOCK_ACQUIRE, 1, (fault){ .how = BROKEN_AFTER });
	expect_status(acquire(0), PMZ_OK);
	assert_int_equal(world_sent(&w, PMZ_LOCK_ACQUIRE, 0), 2);
	assert_string_equal(token_of(sent(PMZ_LOCK_ACQUIRE, 0)),
	                    token_of(sent(PMZ_LOCK_ACQUIRE, 1)));
	open_world(1);
	rule(0, PMZ_LOCK_ACQUIRE, 2, (fault){ .how = BROKEN_AFTER });
	expect_status(acquire(0), PMZ_E_IO);
	world_pass(&w, PMZ_S(1));
	assert_int_equal(locked(), 0);
}

static void an_acquire_that_came_twice_is_one_lock(void **state)
{
	(void)state;
	open_world(1);
	rule(0, ANY, ~0u, (fault){ .how = TWICE });
	expect_status(acquire(0), PMZ_OK);
	world_settle(&w);
	assert_true(holds(0, t.lease.token));
	expect_status(release(&t.lease), PMZ_OK);
	assert_int_equal(locked(), 0);
}

static void a_token_is_dead_after_its_first_release(void **state)
{
	(void)state;
	open_world(1);
	t.rules.node_timeout_ns = 2 * TTL;
	rule(0, PMZ_LOCK_ACQUIRE, 1, (fault){ .how = REPLY_LATE, .by = TTL });
	rule(0, PMZ_LOCK_RELEASE, 1,
	     (fault){ .how = COMMAND_LATE, .by = PMZ_S(2) });
	rule(0, PMZ_LOCK_ABANDON, 1,
	     (fault){ .how = COMMAND_LATE, .by = PMZ_S(2) });
	expect_status(acquire(3 * TTL), PMZ_OK);
	assert_string_not_equal(token_of(sent(PMZ_LOCK_ACQUIRE, 0)),
	                        t.lease.token);
	world_pass(&w, PMZ_S(4));
	assert_true(holds(0, t.lease.token));
}

static void an_acquire_that_lands_after_all_grants_nothing(void **state)
{
	static const uint32_t nodes[] = { 1, 3, 5 };
	size_t i;

	(void)state;
	for (i = 0; i < KIT_COUNT(nodes); i++) {
		open_world(nodes[i]);
		rule(ANY, PMZ_LOCK_ACQUIRE, ~0u,
		     (fault){ .how = COMMAND_LATE, .by = PMZ_S(5) });
		assert_int_not_equal(acquire(0), PMZ_OK);
		assert_int_equal(world_sent(&w, PMZ_LOCK_ABANDON, 0), nodes[i]);
		while (world_step(&w))
			assert_int_equal(locked(), 0);
	}
}

static void an_acquire_may_land_late_after_a_release_too(void **state)
{
	(void)state;
	open_world(1);
	rule(0, PMZ_LOCK_ACQUIRE, 1,
	     (fault){ .how = BROKEN_AFTER, .by = PMZ_S(3) });
	expect_status(acquire(0), PMZ_OK);
	expect_status(release(&t.lease), PMZ_OK);
	world_pass(&w, PMZ_S(4));
	assert_int_equal(locked(), 0);
}

/* Of two acquires to one node the second is answered, while the first may
 * still land. */
static void a_late_answer_speaks_for_its_own_acquire_only(void **state)
{
	(void)state;
	open_world(3);
	rule(2, PMZ_LOCK_ACQUIRE, 1,
	     (fault){ .how = BROKEN_AFTER, .by = PMZ_S(3) });
	rule(2, PMZ_LOCK_ACQUIRE, 1,
	     (fault){ .how = REPLY_LATE, .by = PMZ_MS(3) });
	rule(ANY, PMZ_LOCK_ACQUIRE, 2,
	     (fault){ .how = REPLY_LATE, .by = PMZ_MS(2) });
	rule(0, PMZ_LOCK_RAISE, 1,
	     (fault){ .how = REPLY_LATE, .by = PMZ_MS(9) });
	expect_status(acquire(0), PMZ_OK);
	expect_status(release(&t.lease), PMZ_OK);
	world_pass(&w, PMZ_S(4));
	assert_int_equal(locked(), 0);
}

static void one_server_is_abandoned_when_giving_up_only(void **state)
{
	(void)state;
	open_world(1);
	rule(0, PMZ_LOCK_ACQUIRE, 2, (fault){ .how = COMMAND_LOST });
	expect_status(acquire(PMZ_S(9)), PMZ_OK);
	assert_int_equal(world_sent(&w, PMZ_LOCK_ABANDON, 0), 0);
	open_world(1);
	rule(0, PMZ_LOCK_ACQUIRE, ~0u, (fault){ .how = COMMAND_LOST });
	expect_status(acquire(PMZ_S(3)), PMZ_E_IO);
	assert_true(world_sent(&w, PMZ_LOCK_ACQUIRE, 0) > 1);
	assert_int_equal(world_sent(&w, PMZ_LOCK_ABANDON, 0), 1);
}

static void a_quorum_is_abandoned_at_each_try(void **state)
{
	unsigned i;

	(void)state;
	open_world(3);
	rule(ANY, PMZ_LOCK_ACQUIRE, ~0u, (fault){ .how = COMMAND_LOST });
	expect_status(acquire(PMZ_S(3)), PMZ_E_QUORUM);
	assert_true(world_sent(&w, PMZ_LOCK_ACQUIRE, 0) > 3);
	assert_int_equal(world_sent(&w, PMZ_LOCK_ABANDON, 0),
	                 world_sent(&w, PMZ_LOCK_ACQUIRE, 0));
	for (i = 0; i < 6; i++)
		assert_string_equal(token_of(sent(PMZ_LOCK_ABANDON, i)),
		                    token_of(sent(PMZ_LOCK_ACQUIRE, i)));
	assert_string_not_equal(token_of(sent(PMZ_LOCK_ACQUIRE, 0)),
	                        token_of(sent(PMZ_LOCK_ACQUIRE, 3)));
}

static void what_was_never_written_is_not_abandoned(void **state)
{
	(void)state;
	open_world(1);
	rule(ANY, PMZ_LOCK_ACQUIRE, ~0u, (fault){ .how = BROKEN_BEFORE });
	expect_status(acquire(PMZ_S(3)), PMZ_E_IO);
	assert_int_equal(world_sent(&w, PMZ_LOCK_ABANDON, 0), 0);
}

static void forget_scripts(void)
{
	uint32_t i;

	for (i = 0; i < w.nodes; i++)
		w.servers[i].unknown = ~0u;
}

/* The last two commands are one, by hash and whole, with nothing between. */
static void was_told_the_script(int status)
{
	const command *whole = &w.log[w.log_count - 1];

	expect_status(status, PMZ_OK);
	assert_true(whole->is_whole);
	assert_false(whole[-1].is_whole);
	assert_int_equal(whole->verb, whole[-1].verb);
	assert_int_equal(whole->at - whole[-1].at, 2 * WORLD_TRIP);
}

static void an_unknown_script_is_sent_whole_at_once(void **state)
{
	(void)state;
	open_world(1);
	forget_scripts();
	was_told_the_script(acquire(0));
	forget_scripts();
	was_told_the_script(extend(TTL));
	forget_scripts();
	was_told_the_script(peek());
	forget_scripts();
	was_told_the_script(release(&t.lease));
}

static void an_unknown_script_keeps_no_quorum_waiting(void **state)
{
	(void)state;
	open_world(5);
	forget_scripts();
	expect_status(acquire(0), PMZ_OK);
	assert_in_range(w.now - t.began, 0, 6 * WORLD_TRIP);
	world_settle(&w);
	assert_int_equal(locked(), 5);
}

static void a_script_that_stays_unknown_is_no_endless_loop(void **state)
{
	(void)state;
	open_world(1);
	rule(0, ANY, ~0u, (fault){ .how = REFUSED, .text = "NOSCRIPT no" });
	expect_status(acquire(0), PMZ_E_REPLY);
	assert_int_equal(world_sent(&w, PMZ_LOCK_ACQUIRE, 0), 2);
}

static void a_node_has_its_time_out_from_the_last_byte(void **state)
{
	static const struct {
		int64_t from_due;
		int status;
	} rows[] = { { -1, PMZ_OK }, { 0, PMZ_OK }, { 1, PMZ_E_IO } };
	size_t i;

	(void)state;
	for (i = 0; i < KIT_COUNT(rows); i++) {
		open_world(1);
		rule(0, PMZ_LOCK_ACQUIRE, 1,
		     (fault){ .how = REPLY_LATE,
		              .by = NODE_TIMEOUT - 2 * WORLD_TRIP +
		                    (pmz_ns)rows[i].from_due });
		kit_expect_row(i, acquire(0), rows[i].status, pmz_status_name);
		assert_int_equal(w.log[0].urgent, 1);
	}
	open_world(1);
	rule(0, PMZ_LOCK_ACQUIRE, 1, (fault){ .how = UNSENT });
	expect_status(acquire(0), PMZ_E_IO);
	assert_int_equal(w.now - t.began, CONNECT + NODE_TIMEOUT);
}

static void the_first_try_and_what_takes_back_are_urgent(void **state)
{
	size_t i;

	(void)state;
	open_world(3);
	rule(ANY, PMZ_LOCK_ACQUIRE, ~0u,
	     (fault){ .how = REFUSED, .text = "LOADING" });
	expect_status(acquire(PMZ_S(3)), PMZ_E_QUORUM);
	for (i = 0; i < w.log_count; i++)
		assert_int_equal(w.log[i].urgent,
		                 i < 3 || w.log[i].verb != PMZ_LOCK_ACQUIRE);
}

static void the_server_keeps_it_for_no_less_than_the_ttl(void **state)
{
	(void)state;
	open_world(1);
	begin_acquire(PMZ_MS(5) + 1, 0);
	rule(0, PMZ_LOCK_ACQUIRE, 1, (fault){ .how = COMMAND_LOST });
	expect_status(run(), PMZ_E_IO);
	assert_string_equal(sent(PMZ_LOCK_ACQUIRE, 0)->args[2], "3");
	assert_string_equal(sent(PMZ_LOCK_ACQUIRE, 0)->args[3], LOCK);
	assert_string_equal(sent(PMZ_LOCK_ACQUIRE, 0)->args[5], FENCE);
	assert_string_equal(sent(PMZ_LOCK_ACQUIRE, 0)->args[7], "6");
	assert_string_equal(sent(PMZ_LOCK_ABANDON, 0)->args[2], "2");
	assert_string_equal(sent(PMZ_LOCK_ABANDON, 0)->args[3], LOCK);
	assert_memory_equal(sent(PMZ_LOCK_ABANDON, 0)->args[4], TOMB,
	                    sizeof(TOMB) - 1);
	assert_string_equal(sent(PMZ_LOCK_ABANDON, 0)->args[4],
	                    sent(PMZ_LOCK_ACQUIRE, 0)->args[4]);
	assert_string_equal(sent(PMZ_LOCK_ABANDON, 0)->args[6], "60006");
}

static void each_seed_has_its_own_token(void **state)
{
	char first[64];

	(void)state;
	open_world(1);
	expect_status(acquire(0), PMZ_OK);
	assert_int_equal(strspn(t.lease.token, "0123456789abcdef"), 32);
	memcpy(first, t.lease.token, sizeof(first));
	expect_status(release(&t.lease), PMZ_OK);
	expect_status(acquire(0), PMZ_OK);
	assert_string_not_equal(t.lease.token, first);
	open_world(1);
	expect_status(acquire(0), PMZ_OK);
	assert_string_equal(t.lease.token, first);
}

static void an_op_may_be_moved_between_its_steps(void **state)
{
	static pmz_lock_op places[2];
	unsigned i = 0;

	(void)state;
	open_world(5);
	rule(2, PMZ_LOCK_ACQUIRE, 1, (fault){ .how = BROKEN_AFTER });
	begin_acquire(TTL, 0);
	places[0] = t.op;
	world_join(&w, 0, &places[0]);
	while (w.clients[0].step != PMZ_LOCK_DONE) {
		assert_true(world_step(&w));
		places[(i + 1) % 2] = places[i % 2];
		memset(&places[i % 2], 0xff, sizeof(places[0]));
		i++;
		w.clients[0].op = &places[i % 2];
	}
	t.op = places[i % 2];
	expect_status(end(), PMZ_OK);
	assert_int_equal(locked(), 5);
}

static const char *const passing[] = {
	"LOADING Redis is loading the dataset in memory",
	"READONLY You can't write against a read only replica.",
	"TRYAGAIN Multiple keys request during rehashing of slot",
	"CLUSTERDOWN The cluster is down",
	"MASTERDOWN Link with MASTER is down",
	"BUSY Redis is busy running a script.",
	"NOREPLICAS Not enough good replicas to write.",
};

static void a_passing_error_is_waited_out(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < KIT_COUNT(passing); i++) {
		open_world(1);
		rule(0, PMZ_LOCK_ACQUIRE, 3,
		     (fault){ .how = REFUSED, .text = passing[i] });
		kit_expect_row(i, acquire(PMZ_S(5)), PMZ_OK, pmz_status_name);
		assert_int_equal(world_sent(&w, ANY, 0), 4);
	}
}

static void a_passing_error_that_stays_ends_with_the_wait(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < KIT_COUNT(passing); i++) {
		open_world(1);
		rule(0, ANY, ~0u,
		     (fault){ .how = REFUSED, .text = passing[i] });
		kit_expect_row(i, acquire(PMZ_S(3)), PMZ_E_IO, pmz_status_name);
		assert_true(world_sent(&w, PMZ_LOCK_ACQUIRE, 0) > 3);
		assert_in_range(w.now - t.began, PMZ_S(2), PMZ_S(3) + SLACK);
		assert_non_null(strstr(t.why.text, passing[i]));
		assert_int_equal(world_sent(&w, PMZ_LOCK_ABANDON, 0), 0);
	}
}

static const struct {
	const char *words;
	int status;
} fatal[] = {
	{ "NOAUTH Authentication required.", PMZ_E_DENIED },
	{ "NOPERM this user has no permissions", PMZ_E_DENIED },
	{ "WRONGPASS invalid username-password pair", PMZ_E_DENIED },
	{ "OOM command not allowed when used memory > 'maxmemory'.",
	  PMZ_E_REPLY },
	{ "ERR unknown command 'EVALSHA'", PMZ_E_REPLY },
	{ "LOADINGS is not a word of theirs", PMZ_E_REPLY },
	{ "X", PMZ_E_REPLY },
};

static void a_fatal_error_ends_at_once_with_its_words(void **state)
{
	static const uint32_t nodes[] = { 1, 3 };
	size_t i, j;

	(void)state;
	for (i = 0; i < KIT_COUNT(fatal); i++) {
		for (j = 0; j < KIT_COUNT(nodes); j++) {
			open_world(nodes[j]);
			rule(ANY, PMZ_LOCK_ACQUIRE, ~0u,
			     (fault){ .how = REFUSED, .text = fatal[i].words });
			kit_expect_row(i, acquire(PMZ_S(5)), fatal[i].status,
			               pmz_status_name);
			assert_int_equal(world_sent(&w, PMZ_LOCK_ACQUIRE, 0),
			                 nodes[j]);
			assert_in_range(w.now - t.began, 0, SLACK);
			assert_non_null(strstr(t.why.text, fatal[i].words));
		}
	}
}

static void what_follows_does_not_hide_the_words(void **state)
{
	(void)state;
	open_world(3);
	rule(0, PMZ_LOCK_RELEASE, ~0u, (fault){ .how = COMMAND_LOST });
	rule(0, PMZ_LOCK_ABANDON, ~0u, (fault){ .how = COMMAND_LOST });
	rule(1, ANY, ~0u, (fault){ .how = REFUSED, .text = fatal[0].words });
	rule(2, ANY, ~0u, (fault){ .how = REFUSED, .text = fatal[0].words });
	expect_status(acquire(0), PMZ_E_DENIED);
	assert_non_null(strstr(t.why.text, fatal[0].words));
	assert_in_range(t.why.index, 1, 2);
}

static void a_script_that_stopped_behind_its_set_is_undone(void **state)
{
	(void)state;
	open_world(1);
	rule(0, PMZ_LOCK_ACQUIRE, 1,
	     (fault){ .how = FAILED_AFTER, .text = fatal[3].words });
	expect_status(acquire(PMZ_S(1)), PMZ_E_REPLY);
	world_settle(&w);
	assert_int_equal(locked(), 0);
}

static void nonsense_is_no_grant_and_leaves_nothing(void **state)
{
	static const fault rows[] = {
		{ .text = "", .len = 0 },
		{ .text = "1" },
		{ .text = "1 " },
		{ .text = "1 5" },
		{ .text = "1 5 " },
		{ .text = "1 5 0 " },
		{ .text = "1  5 0" },
		{ .text = "3 5 0" },
		{ .text = "9999999999999" },
		{ .text = "OK" },
		{ .text = "- 1 1" },
		{ .text = "-" },
		{ .text = "1\0 5 0", .len = 6 },
		{ .text = "\xff\xfe\0\1", .len = 4 },
		{ .text = "1 -5 0" },
		{ .text = "1 99999999999999999999999999 0" },
		{ .text = "1 9007199254740993 0" },
	};
	size_t i;

	(void)state;
	for (i = 0; i < KIT_COUNT(rows); i++) {
		fault f = rows[i];

		open_world(1);
		f.how = *f.text || f.len ? GARBLED : CUT;
		rule(0, PMZ_LOCK_ACQUIRE, 1, f);
		kit_expect_row(i, acquire(PMZ_S(1)), PMZ_E_REPLY,
		               pmz_status_name);
		world_settle(&w);
		assert_int_equal(locked(), 0);
	}
}

static void an_answer_cut_anywhere_is_no_other_answer(void **state)
{
	size_t len;

	(void)state;
	for (len = 0; len < 20; len++) {
		open_world(1);
		rule(0, PMZ_LOCK_ACQUIRE, 1, (fault){ .how = CUT, .len = len });
		kit_expect_row(len, acquire(0), PMZ_E_REPLY, pmz_status_name);
	}
	open_world(1);
	expect_status(acquire(0), PMZ_OK);
	rule(0, ANY, 1, (fault){ .how = CUT, .len = 0 });
	expect_status(extend(TTL), PMZ_E_REPLY);
	rule(0, PMZ_LOCK_RELEASE, 1, (fault){ .how = CUT, .len = 0 });
	expect_status(release(&t.lease), PMZ_E_REPLY);
}

static void a_key_that_is_no_string_is_left_alone(void **state)
{
	(void)state;
	open_world(1);
	occupy(0, PMZ_S(5));
	w.servers[0].keys[0].is_list = 1;
	expect_status(acquire(PMZ_S(1)), PMZ_E_REPLY);
	assert_non_null(strstr(t.why.text, "WRONGTYPE"));
	expect_status(peek(), PMZ_E_REPLY);
	assert_non_null(strstr(t.why.text, "WRONGTYPE"));
	assert_int_equal(locked(), 1);
}

static void a_redirection_is_followed(void **state)
{
	static const struct {
		const char *words, *to;
		uint32_t asking;
	} rows[] = {
		{ "MOVED 3999 127.0.0.1:6381", "127.0.0.1:6381", 0 },
		{ "ASK 3999 [::1]:6381", "[::1]:6381", 1 },
	};
	size_t i;

	(void)state;
	for (i = 0; i < KIT_COUNT(rows); i++) {
		open_world(1);
		rule(0, ANY, 1,
		     (fault){ .how = REFUSED, .text = rows[i].words });
		kit_expect_row(i, acquire(0), PMZ_OK, pmz_status_name);
		assert_int_equal(w.log_count, 2);
		assert_string_equal(w.log[1].moved, rows[i].to);
		assert_int_equal(w.log[1].asking, rows[i].asking);
		assert_string_equal(w.log[0].moved, "");
		expect_status(release(&t.lease), PMZ_OK);
		assert_string_equal(w.log[2].moved, "");
		assert_int_equal(w.log[2].asking, 0);
	}
}

static void redirections_are_followed_five_times(void **state)
{
	static const fault to = { .how = REFUSED, .text = "MOVED 1 a:1" };

	(void)state;
	open_world(1);
	rule(0, ANY, 5, to);
	expect_status(acquire(0), PMZ_OK);
	open_world(1);
	rule(0, ANY, ~0u, to);
	expect_status(acquire(0), PMZ_E_IO);
	assert_int_equal(world_sent(&w, ANY, 0), 6);
}

/* Longer than what there is room for. */
#define HOST "0123456789.0123456789.0123456789"
#define MOVED_FAR "MOVED 1 " HOST "." HOST ":6379"

static void a_redirection_to_nowhere_is_not_followed(void **state)
{
	static const char *const words[] = {
		"MOVED", "MOVED ", "MOVED 1", "MOVED 1 ", "ASK 1 ", MOVED_FAR,
	};
	size_t i;

	(void)state;
	for (i = 0; i < KIT_COUNT(words); i++) {
		open_world(1);
		rule(0, ANY, ~0u, (fault){ .how = REFUSED, .text = words[i] });
		kit_expect_row(i, acquire(0), PMZ_E_IO, pmz_status_name);
		assert_int_equal(world_sent(&w, ANY, 0), 1);
	}
}

enum answer { GRANTS, BUSY, DEAD, ANSWERS_END };

/* Base 3: what node 0 does, node 1, ... */
static void be_mask(unsigned mask, unsigned count[ANSWERS_END])
{
	uint32_t i;

	count[GRANTS] = count[BUSY] = count[DEAD] = 0;
	for (i = 0; i < w.nodes; i++, mask /= 3) {
		count[mask % 3]++;
		if (mask % 3 == BUSY)
			occupy(i, PMZ_S(30));
		w.servers[i].is_dead = mask % 3 == DEAD;
	}
}

static int mask_verdict(const unsigned count[ANSWERS_END])
{
	if (count[GRANTS] >= 3)
		return PMZ_OK;
	return count[GRANTS] + count[BUSY] >= 3 ? PMZ_REFUSED_HELD
	                                        : PMZ_E_QUORUM;
}

static void every_mask_of_five_nodes_is_judged_by_count(void **state)
{
	unsigned mask, count[ANSWERS_END];

	(void)state;
	for (mask = 0; mask < 2 * 243; mask++) {
		open_world(5);
		t.rules.fence_off = mask % 2;
		be_mask(mask / 2, count);
		kit_expect_row(mask / 2, acquire(0), mask_verdict(count),
		               pmz_status_name);
		ended_in_time();
		world_settle(&w);
		assert_int_equal(
			locked(),
			count[BUSY] + (t.status == PMZ_OK ? count[GRANTS] : 0));
	}
}

static void more_than_half_of_any_number_is_a_quorum(void **state)
{
	uint32_t nodes;

	(void)state;
	for (nodes = 2; nodes <= PMZ_LOCK_NODES_MAX; nodes++) {
		open_world(nodes);
		kill_from(nodes / 2 + 1);
		kit_expect_row(nodes, acquire(0), PMZ_OK, pmz_status_name);
		world_settle(&w);
		assert_int_equal(locked(), nodes / 2 + 1);
		open_world(nodes);
		kill_from(nodes / 2);
		kit_expect_row(nodes, acquire(0), PMZ_E_QUORUM,
		               pmz_status_name);
		world_settle(&w);
		assert_int_equal(locked(), 0);
	}
}

static void two_halves_are_held(void **state)
{
	(void)state;
	open_world(4);
	occupy(0, PMZ_S(9));
	occupy(3, PMZ_S(9));
	expect_status(acquire(0), PMZ_REFUSED_HELD);
	world_settle(&w);
	assert_int_equal(locked(), 2);
}

static void a_sure_quorum_waits_for_no_silent_node(void **state)
{
	(void)state;
	open_world(5);
	kill_from(3);
	expect_status(acquire(0), PMZ_OK);
	assert_int_equal(w.now - t.began, 4 * WORLD_TRIP);
	expect_status(extend(TTL), PMZ_OK);
	expect_between(w.now - t.began, 2 * WORLD_TRIP, 2 * WORLD_TRIP + GRACE);
	expect_status(peek(), PMZ_OK);
	assert_int_equal(w.now - t.began, 2 * WORLD_TRIP);
	expect_status(release(&t.lease), PMZ_OK);
	expect_between(w.now - t.began, 2 * WORLD_TRIP, 2 * WORLD_TRIP + GRACE);
	t.rules.fence_off = 1;
	expect_status(acquire(0), PMZ_OK);
	assert_int_equal(w.now - t.began, 2 * WORLD_TRIP);
}

static void a_foreign_holder_is_seen_without_the_silent(void **state)
{
	uint32_t i;

	(void)state;
	open_world(5);
	for (i = 0; i < 5; i++)
		occupy(i, PMZ_S(3));
	kill_from(3);
	expect_status(peek(), PMZ_OK);
	assert_int_equal(w.now - t.began, 2 * WORLD_TRIP);
}

/* It is known to be held when three have answered, or four: the others may be
 * free. */
static void held_is_ready_when_a_quorum_can_be_free(void **state)
{
	static const struct {
		pmz_ns spans[5]; /* of the other holder; 0: free */
		pmz_ns ready;
	} rows[] = {
		{ { PMZ_S(1), PMZ_S(2), PMZ_S(3), PMZ_S(4), PMZ_S(5) },
		  PMZ_S(1) },
		{ { PMZ_S(3), PMZ_S(3), PMZ_S(3), PMZ_S(3), PMZ_S(3) },
		  PMZ_S(3) },
		{ { PMZ_S(5), PMZ_S(4), PMZ_S(3), 0, 0 }, PMZ_S(3) },
		{ { 0, 0, PMZ_S(5), PMZ_S(4), PMZ_S(3) }, PMZ_S(3) },
		{ { 0, PMZ_S(4), PMZ_S(1), PMZ_S(2), 0 }, PMZ_S(1) },
		{ { 0, PMZ_S(4), PMZ_S(1), PMZ_S(2), PMZ_S(3) }, PMZ_S(1) },
		{ { 0, PMZ_S(4), PMZ_S(9), PMZ_S(2), PMZ_S(3) }, PMZ_S(2) },
	};
	uint32_t i, j;

	(void)state;
	for (i = 0; i < KIT_COUNT(rows); i++) {
		open_world(5);
		for (j = 0; j < 5; j++)
			if (rows[i].spans[j])
				occupy(j, rows[i].spans[j]);
		kit_expect_row(i, acquire(0), PMZ_REFUSED_HELD,
		               pmz_status_name);
		expect_between(t.why.ready_at, WORLD_START + rows[i].ready,
		               WORLD_START + rows[i].ready + PMZ_MS(5));
	}
}

static void a_holder_without_an_end_is_never_ready(void **state)
{
	(void)state;
	open_world(1);
	occupy(0, WORLD_FOREVER);
	expect_status(acquire(0), PMZ_REFUSED_HELD);
	assert_int_equal(t.why.ready_at, PMZ_NEVER);
	open_world(1);
	occupy(0, PMZ_S(5));
	expect_status(acquire(0), PMZ_REFUSED_HELD);
	expect_between(t.why.ready_at, WORLD_START + PMZ_S(5),
	               WORLD_START + PMZ_S(5) + PMZ_MS(5));
}

/* Nobody has released on this server before, so it lacks that script. */
static void what_a_failed_try_was_granted_is_released(void **state)
{
	(void)state;
	open_world(3);
	occupy(1, PMZ_S(30));
	occupy(2, PMZ_S(30));
	w.servers[0].unknown = 1u << PMZ_LOCK_RELEASE;
	expect_status(acquire(PMZ_S(2)), PMZ_REFUSED_HELD);
	world_settle(&w);
	assert_false(server_find(&w, 0, LOCK));
	assert_int_equal(locked(), 2);
}

static void a_node_lost_in_the_undoing_is_told_later(void **state)
{
	(void)state;
	open_world(3);
	occupy(1, PMZ_S(5));
	occupy(2, PMZ_S(5));
	rule(0, PMZ_LOCK_RELEASE, 1, (fault){ .how = BROKEN_BEFORE });
	rule(0, PMZ_LOCK_ABANDON, 1, (fault){ .how = BROKEN_BEFORE });
	expect_status(acquire(0), PMZ_REFUSED_HELD);
	world_pass(&w, PMZ_S(1));
	assert_false(server_find(&w, 0, LOCK));
}

static void a_node_that_never_granted_is_not_released(void **state)
{
	size_t from;

	(void)state;
	open_world(3);
	occupy(1, PMZ_S(30));
	occupy(2, PMZ_S(30));
	begin_acquire(TTL, PMZ_S(3));
	world_join(&w, 0, &t.op);
	while (world_sent(&w, PMZ_LOCK_ACQUIRE, 0) < 3 ||
	       w.clients[0].step != PMZ_LOCK_PAUSE)
		assert_true(world_step(&w));
	while (w.event_count)
		assert_true(world_step(&w));
	occupy(0, PMZ_S(30));
	from = w.log_count;
	while (w.clients[0].step != PMZ_LOCK_DONE)
		assert_true(world_step(&w));
	expect_status(end(), PMZ_REFUSED_HELD);
	assert_true(world_sent(&w, PMZ_LOCK_ACQUIRE, from) > 0);
	assert_int_equal(world_sent(&w, PMZ_LOCK_RELEASE, from), 0);
}

static void a_fence_grows_over_changing_majorities(void **state)
{
	uint64_t last = 0;
	uint32_t round, i;

	(void)state;
	open_world(5);
	for (i = 0; i < 5; i++)
		w.servers[i].ahead_us = (int64_t)i * 3600000000;
	for (round = 0; round < 60; round++) {
		for (i = 0; i < 5; i++)
			w.servers[i].is_dead =
				i == round * 2 % 5 || i == (round * 3 + 1) % 5;
		expect_status(acquire(0), PMZ_OK);
		assert_true(t.lease.fence > last);
		last = t.lease.fence;
		world_settle(&w);
		for (i = 0; i < 5; i++)
			w.servers[i].is_dead = 0;
		expect_status(release(&t.lease), PMZ_OK);
		world_settle(&w);
	}
}

static void a_fence_grows_after_a_servers_memory_was_lost(void **state)
{
	uint64_t last;

	(void)state;
	open_world(1);
	expect_status(acquire(0), PMZ_OK);
	last = t.lease.fence;
	assert_true(last > 1000000000000000u);
	server_forget_all(&w, 0);
	expect_status(acquire(0), PMZ_OK);
	assert_true(t.lease.fence > last);
}

static void a_fence_grows_while_memory_is_lost_in_turn(void **state)
{
	uint64_t last = 0;
	uint32_t round;

	(void)state;
	open_world(5);
	for (round = 0; round < 20; round++) {
		expect_status(acquire(0), PMZ_OK);
		assert_true(t.lease.fence > last);
		last = t.lease.fence;
		world_settle(&w);
		expect_status(release(&t.lease), PMZ_OK);
		world_settle(&w);
		server_forget_all(&w, round % 5);
	}
}

static void a_fence_grows_when_the_servers_clock_steps_back(void **state)
{
	uint64_t last;

	(void)state;
	open_world(1);
	expect_status(acquire(0), PMZ_OK);
	last = t.lease.fence;
	expect_status(release(&t.lease), PMZ_OK);
	w.servers[0].ahead_us = -3600000000;
	expect_status(acquire(0), PMZ_OK);
	assert_int_equal(t.lease.fence, last + 1);
}

static void without_fences_the_fence_is_0(void **state)
{
	static const uint32_t nodes[] = { 1, 5 };
	size_t i;

	(void)state;
	for (i = 0; i < KIT_COUNT(nodes); i++) {
		open_world(nodes[i]);
		t.rules.fence_off = 1;
		expect_status(acquire(0), PMZ_OK);
		assert_int_equal(t.lease.fence, 0);
		assert_int_equal(world_sent(&w, ANY, 0), nodes[i]);
		assert_null(server_find(&w, 0, FENCE));
	}
}

static void a_fence_that_no_majority_has_is_no_lock(void **state)
{
	static const fault rows[] = {
		{ .how = GARBLED, .text = "0" },
		{ .how = COMMAND_LOST },
		{ .how = BROKEN_BEFORE },
		{ .how = REFUSED, .text = "LOADING" },
	};
	uint32_t i, j;

	(void)state;
	for (i = 0; i < KIT_COUNT(rows); i++) {
		open_world(5);
		for (j = 0; j < 3; j++)
			rule(j, PMZ_LOCK_RAISE, ~0u, rows[i]);
		kit_expect_row(i, acquire(0), PMZ_E_QUORUM, pmz_status_name);
		ended_in_time();
		world_settle(&w);
		assert_int_equal(locked(), 0);
	}
}

static void the_largest_fence_is_on_a_majority_first(void **state)
{
	uint32_t i, n = 0;

	(void)state;
	open_world(5);
	w.servers[2].ahead_us = 5000000;
	expect_status(acquire(0), PMZ_OK);
	for (i = 0; i < 5; i++)
		n += strtoull(server_find(&w, i, FENCE)->value, NULL, 10) >=
		     t.lease.fence;
	assert_in_range(n, 3, 5);
}

static void so_many_replicas_have_it_before_it_is_held(void **state)
{
	(void)state;
	open_world(1);
	t.rules.replicas_min = 2;
	w.servers[0].replicas = 2;
	expect_status(acquire(0), PMZ_OK);
	assert_int_equal(world_sent(&w, PMZ_LOCK_REPLICATE, 0), 1);
	assert_string_equal(sent(PMZ_LOCK_REPLICATE, 0)->args[1], "2");
	open_world(1);
	t.rules.replicas_min = 2;
	w.servers[0].replicas = 1;
	expect_status(acquire(0), PMZ_E_QUORUM);
	assert_non_null(strstr(t.why.text, "replica"));
	world_settle(&w);
	assert_int_equal(locked(), 0);
}

static void a_wait_that_is_answered_by_nonsense_says_so(void **state)
{
	(void)state;
	open_world(1);
	t.rules.replicas_min = 1;
	rule(0, PMZ_LOCK_REPLICATE, 1,
	     (fault){ .how = GARBLED, .text = "banana" });
	expect_status(acquire(0), PMZ_E_REPLY);
	assert_non_null(strstr(t.why.text, "banana"));
}

static void a_grant_that_replicas_made_late_is_not_held(void **state)
{
	(void)state;
	open_world(1);
	t.rules.replicas_min = 1;
	t.rules.node_timeout_ns = 2 * TTL;
	w.servers[0].replicas = 1;
	rule(0, PMZ_LOCK_REPLICATE, 1,
	     (fault){ .how = REPLY_LATE, .by = TTL - DRIFT });
	expect_status(acquire(0), PMZ_E_IO);
}

static void an_extension_never_shortens(void **state)
{
	pmz_ns until, ends;

	(void)state;
	open_world(1);
	expect_status(acquire(0), PMZ_OK);
	until = t.lease.until;
	ends = server_find(&w, 0, LOCK)->ends;
	expect_status(extend(PMZ_S(1)), PMZ_OK);
	assert_int_equal(t.lease.until, until);
	assert_int_equal(server_find(&w, 0, LOCK)->ends, ends);
	expect_status(extend(PMZ_S(60)), PMZ_OK);
	assert_int_equal(t.lease.until,
	                 t.began + PMZ_S(60) - PMZ_MS(600) - PMZ_MS(2));
	assert_true(server_find(&w, 0, LOCK)->ends > t.lease.until);
}

static void an_extension_never_resurrects(void **state)
{
	static const struct {
		int64_t from_until;
		int status;
	} rows[] = { { -1, PMZ_OK }, { 0, PMZ_E_LOST }, { 1, PMZ_E_LOST } };
	size_t i;

	(void)state;
	for (i = 0; i < KIT_COUNT(rows); i++) {
		open_world(3);
		expect_status(acquire(0), PMZ_OK);
		world_settle(&w);
		w.now = t.lease.until + (pmz_ns)rows[i].from_until;
		kit_expect_row(i, extend(TTL), rows[i].status, pmz_status_name);
		world_settle(&w);
		assert_int_equal(locked(), rows[i].status == PMZ_OK ? 3 : 0);
	}
}

static void what_the_server_lost_is_not_extended(void **state)
{
	(void)state;
	open_world(1);
	expect_status(acquire(0), PMZ_OK);
	server_forget_all(&w, 0);
	expect_status(extend(TTL), PMZ_E_LOST);
	assert_int_equal(locked(), 0);
	expect_status(acquire(0), PMZ_OK);
	occupy(0, PMZ_S(4));
	expect_status(extend(TTL), PMZ_E_LOST);
	world_settle(&w);
	assert_true(holds(0, "another"));
}

static void a_minority_is_repaired_once_a_majority_held(void **state)
{
	uint32_t lost, i;

	(void)state;
	for (lost = 0; lost <= 5; lost++) {
		open_world(5);
		expect_status(acquire(0), PMZ_OK);
		world_settle(&w);
		for (i = 0; i < lost; i++)
			server_forget_all(&w, i);
		kit_expect_row(lost, extend(TTL),
		               lost < 3 ? PMZ_OK : PMZ_E_LOST, pmz_status_name);
		world_settle(&w);
		assert_int_equal(locked(), lost < 3 ? 5 : 0);
		if (lost && lost < 3)
			assert_true(sent(PMZ_LOCK_ACQUIRE, 5)->at >=
			            t.began + 2 * WORLD_TRIP);
	}
}

static void a_repair_that_lands_late_leaves_nothing(void **state)
{
	(void)state;
	open_world(3);
	expect_status(acquire(0), PMZ_OK);
	world_settle(&w);
	server_forget_all(&w, 0);
	rule(1, PMZ_LOCK_EXTEND, 1,
	     (fault){ .how = REPLY_LATE, .by = PMZ_MS(9) });
	rule(0, PMZ_LOCK_ACQUIRE, 1,
	     (fault){ .how = COMMAND_LATE, .by = PMZ_S(3) });
	expect_status(extend(TTL), PMZ_OK);
	assert_int_equal(world_sent(&w, PMZ_LOCK_ACQUIRE, 0), 4);
	expect_status(release(&t.lease), PMZ_OK);
	world_pass(&w, PMZ_S(4));
	assert_int_equal(locked(), 0);
}

static void a_lease_that_runs_out_unanswered_is_taken_back(void **state)
{
	static const uint32_t nodes[] = { 1, 3 };
	size_t i;

	(void)state;
	for (i = 0; i < KIT_COUNT(nodes); i++) {
		open_world(nodes[i]);
		expect_status(acquire(0), PMZ_OK);
		world_settle(&w);
		w.now = t.lease.until - PMZ_MS(10);
		rule(ANY, PMZ_LOCK_EXTEND, nodes[i],
		     (fault){ .how = REPLY_LOST });
		expect_status(extend(TTL), PMZ_E_LOST);
		ended_in_time();
		world_settle(&w);
		assert_int_equal(locked(), 0);
	}
}

static void a_failed_extension_leaves_the_lease_as_it_was(void **state)
{
	static const uint32_t nodes[] = { 1, 3 };
	size_t i;

	(void)state;
	for (i = 0; i < KIT_COUNT(nodes); i++) {
		pmz_lease was;

		open_world(nodes[i]);
		expect_status(acquire(0), PMZ_OK);
		was = t.lease;
		kill_from(0);
		expect_status(extend(PMZ_S(2)), i ? PMZ_E_QUORUM : PMZ_E_IO);
		ended_in_time();
		assert_memory_equal(&t.lease, &was, sizeof(was));
	}
}

enum fate { MINE, GONE, OTHERS, SILENT, FATES };

static void suffer(uint32_t node, unsigned fate)
{
	if (fate == GONE)
		server_forget_all(&w, node);
	if (fate == OTHERS)
		occupy(node, PMZ_S(5));
	w.servers[node].is_dead = fate == SILENT;
}

static void a_release_is_judged_by_count(void **state)
{
	unsigned mask, i;

	(void)state;
	for (mask = 0; mask < 64; mask++) {
		unsigned n[FATES] = { 0 }, want;

		open_world(3);
		expect_status(acquire(0), PMZ_OK);
		world_settle(&w);
		for (i = 0; i < 3; i++) {
			unsigned fate = mask >> (2 * i) & 3;

			suffer(i, fate);
			n[fate]++;
		}
		want = n[MINE] >= 2 ? 0 : n[SILENT] < 2 ? 1 : 2;
		kit_expect_row(mask, release(&t.lease),
		               want == 0   ? PMZ_OK
		               : want == 1 ? PMZ_E_LOST
		                           : PMZ_E_QUORUM,
		               pmz_status_name);
		ended_in_time();
		world_settle(&w);
		assert_int_equal(locked(), n[OTHERS] + n[SILENT]);
	}
}

static void a_lease_that_was_released_is_dead(void **state)
{
	static const uint32_t nodes[] = { 1, 3 };
	size_t i;

	(void)state;
	for (i = 0; i < KIT_COUNT(nodes); i++) {
		pmz_lease copy;

		open_world(nodes[i]);
		expect_status(acquire(0), PMZ_OK);
		copy = t.lease;
		world_settle(&w);
		expect_status(release(&copy), PMZ_OK);
		world_settle(&w);
		expect_status(release(&copy), PMZ_E_LOST);
		t.lease = copy;
		expect_status(extend(TTL), PMZ_E_LOST);
		world_settle(&w);
		assert_int_equal(locked(), 0);
	}
}

static void a_release_that_was_lost_and_repeated_is_no_loss(void **state)
{
	(void)state;
	open_world(1);
	expect_status(acquire(0), PMZ_OK);
	rule(0, PMZ_LOCK_RELEASE, 1, (fault){ .how = BROKEN_AFTER });
	expect_status(release(&t.lease), PMZ_OK);
	assert_int_equal(world_sent(&w, PMZ_LOCK_RELEASE, 0), 2);
	expect_status(acquire(0), PMZ_OK);
	rule(0, PMZ_LOCK_RELEASE, 1, (fault){ .how = BROKEN_AFTER });
	w.now = t.lease.until;
	server_forget_all(&w, 0);
	expect_status(release(&t.lease), PMZ_E_LOST);
}

static void a_release_reaches_the_slow_nodes_too(void **state)
{
	(void)state;
	open_world(5);
	expect_status(acquire(0), PMZ_OK);
	world_settle(&w);
	forget_scripts();
	rule(3, PMZ_LOCK_RELEASE, 1,
	     (fault){ .how = REPLY_LATE, .by = PMZ_MS(20) });
	rule(4, PMZ_LOCK_RELEASE, 1,
	     (fault){ .how = REPLY_LATE, .by = PMZ_MS(20) });
	expect_status(release(&t.lease), PMZ_OK);
	world_settle(&w);
	assert_int_equal(locked(), 0);
}

/* As when a driver hands in each answer as soon as it has it. */
static void answers_between_two_orders_leave_no_node_out(void **state)
{
	pmz_ns ends;

	(void)state;
	open_world(5);
	expect_status(acquire(0), PMZ_OK);
	world_settle(&w);
	w.trip = 0;
	w.is_eager = 1;
	w.now += PMZ_S(1);
	ends = server_find(&w, 4, LOCK)->ends;
	expect_status(extend(TTL), PMZ_OK);
	assert_true(server_find(&w, 4, LOCK)->ends > ends);
	expect_status(release(&t.lease), PMZ_OK);
	assert_int_equal(locked(), 0);
}

static void a_release_that_did_not_come_through_is_owed(void **state)
{
	static const uint32_t nodes[] = { 1, 3 };
	size_t i;

	(void)state;
	for (i = 0; i < KIT_COUNT(nodes); i++) {
		open_world(nodes[i]);
		expect_status(acquire(0), PMZ_OK);
		world_settle(&w);
		rule(ANY, PMZ_LOCK_RELEASE, ~0u,
		     (fault){ .how = COMMAND_LOST });
		expect_status(release(&t.lease), i ? PMZ_E_QUORUM : PMZ_E_IO);
		ended_in_time();
		world_settle(&w);
		assert_int_equal(locked(), 0);
	}
}

static void a_peek_shows_the_holder_of_a_quorum(void **state)
{
	pmz_lease held;

	(void)state;
	open_world(5);
	expect_status(peek(), PMZ_REFUSED_EMPTY);
	expect_status(acquire(0), PMZ_OK);
	held = t.lease;
	world_settle(&w);
	expect_status(peek(), PMZ_OK);
	assert_string_equal(t.lease.token, held.token);
	assert_int_equal(t.lease.fence, held.fence);
	expect_between(t.lease.until, held.until,
	               held.until + DRIFT + PMZ_MS(10));
	occupy(0, PMZ_S(9));
	occupy(1, PMZ_S(9));
	expect_status(peek(), PMZ_OK);
	assert_string_equal(t.lease.token, held.token);
	server_forget_all(&w, 2);
	expect_status(peek(), PMZ_REFUSED_EMPTY);
	kill_from(2);
	expect_status(peek(), PMZ_E_QUORUM);
	ended_in_time();
}

/* A silent node may be the third that shows the holder. */
static void a_peek_that_cannot_tell_does_not_say_none(void **state)
{
	(void)state;
	open_world(5);
	expect_status(acquire(0), PMZ_OK);
	world_settle(&w);
	server_forget_all(&w, 3);
	server_forget_all(&w, 4);
	expect_status(peek(), PMZ_OK);
	w.servers[2].is_dead = 1;
	expect_status(peek(), PMZ_E_QUORUM);
	server_forget_all(&w, 1);
	expect_status(peek(), PMZ_REFUSED_EMPTY);
}

static void a_foreign_holder_is_cut_and_has_no_fence(void **state)
{
	static const char value[] =
		"worker-0123456789-0123456789-0123456789-0123456789-0123456789";
	char longer[100];

	(void)state;
	snprintf(longer, sizeof(longer), "%s and more", value);
	open_world(3);
	expect_status(acquire(0), PMZ_OK);
	world_settle(&w);
	server_set(&w, 0, LOCK, longer, PMZ_S(4));
	server_set(&w, 1, LOCK, longer, PMZ_S(4));
	server_set(&w, 2, LOCK, longer, PMZ_S(4));
	expect_status(peek(), PMZ_OK);
	assert_memory_equal(t.lease.token, longer, 63);
	assert_int_equal(strlen(t.lease.token), 63);
	assert_int_equal(t.lease.fence, 0);
	expect_between(t.lease.until, w.now + PMZ_S(3), w.now + PMZ_S(5));
}

static void two_holders_that_are_cut_alike_are_two(void **state)
{
	uint32_t i;

	(void)state;
	open_world(3);
	for (i = 0; i < 3; i++) {
		char value[100];

		snprintf(value, sizeof(value), "%070u%u", 0u, (unsigned)i);
		server_set(&w, i, LOCK, value, PMZ_S(4));
	}
	expect_status(peek(), PMZ_REFUSED_EMPTY);
}

static void a_holder_with_an_empty_value_is_a_holder(void **state)
{
	(void)state;
	open_world(1);
	server_set(&w, 0, LOCK, "", PMZ_S(4));
	expect_status(peek(), PMZ_OK);
	assert_string_equal(t.lease.name, NAME);
	expect_between(t.lease.until, w.now + PMZ_S(3), w.now + PMZ_S(5));
	expect_status(acquire(0), PMZ_REFUSED_HELD);
}

static void all_is_over_in_time_whatever_fails(void **state)
{
	static const fault faults[] = {
		{ .how = UNSENT },
		{ .how = COMMAND_LOST },
		{ .how = BROKEN_BEFORE },
		{ .how = BROKEN_AFTER },
		{ .how = REPLY_LATE, .by = PMZ_S(1) },
		{ .how = COMMAND_LATE, .by = PMZ_MS(490) },
		{ .how = REFUSED, .text = "LOADING" },
		{ .how = REFUSED, .text = "MOVED 1 a:1" },
		{ .how = REFUSED, .text = "NOSCRIPT" },
	};
	static const uint32_t nodes[] = { 1, 3 };
	static const pmz_ns waits[] = { 0, PMZ_MS(200), PMZ_S(4) };
	pmz_lease held;
	size_t i, j, k;

	(void)state;
	for (i = 0; i < KIT_COUNT(faults); i++) {
		for (j = 0; j < KIT_COUNT(nodes); j++) {
			for (k = 0; k < KIT_COUNT(waits); k++) {
				open_world(nodes[j]);
				t.rules.node_timeout_ns = NODE_TIMEOUT;
				rule(ANY, ANY, ~0u, faults[i]);
				acquire(waits[k]);
				ended_in_time();
			}
			open_world(nodes[j]);
			t.rules.node_timeout_ns = NODE_TIMEOUT;
			expect_status(acquire(0), PMZ_OK);
			held = t.lease;
			rule(ANY, ANY, ~0u, faults[i]);
			extend(TTL);
			ended_in_time();
			peek();
			ended_in_time();
			release(&held);
			ended_in_time();
		}
	}
}

static void one_try_is_made_when_there_is_no_time(void **state)
{
	(void)state;
	open_world(1);
	expect_status(acquire(0), PMZ_OK);
	open_world(1);
	occupy(0, PMZ_S(5));
	expect_status(acquire(0), PMZ_REFUSED_HELD);
	assert_int_equal(w.now - t.began, 2 * WORLD_TRIP);
}

static void pause_once(uint32_t nodes, int listens)
{
	uint32_t i;

	open_world(nodes);
	for (i = 0; i < nodes; i++)
		occupy(i, PMZ_S(3));
	begin_acquire(TTL, PMZ_S(5));
	pmz_lock_op_listens(&t.op, listens);
	world_join(&w, 0, &t.op);
	while (w.clients[0].step != PMZ_LOCK_PAUSE)
		assert_true(world_step(&w));
	assert_true(w.clients[0].wakes);
}

static void who_is_not_told_looks_again_by_backoff(void **state)
{
	(void)state;
	pause_once(1, 0);
	expect_between(w.clients[0].due, w.now, w.now + PMZ_MS(50));
	while (w.clients[0].step != PMZ_LOCK_DONE)
		assert_true(world_step(&w));
	expect_status(end(), PMZ_OK);
	expect_between(w.now, WORLD_START + PMZ_S(3),
	               WORLD_START + PMZ_S(3) + PMZ_MS(10));
}

static void who_is_told_waits_for_the_holders_end_only(void **state)
{
	(void)state;
	pause_once(1, 1);
	expect_between(w.clients[0].due, WORLD_START + PMZ_S(3),
	               WORLD_START + PMZ_S(3) + PMZ_MS(5));
	while (w.clients[0].step != PMZ_LOCK_DONE)
		assert_true(world_step(&w));
	expect_status(end(), PMZ_OK);
	assert_int_equal(world_sent(&w, PMZ_LOCK_ACQUIRE, 0), 2);
}

static void who_is_told_of_no_end_waits_to_the_last(void **state)
{
	(void)state;
	open_world(1);
	occupy(0, WORLD_FOREVER);
	begin_acquire(TTL, PMZ_S(5));
	pmz_lock_op_listens(&t.op, 1);
	world_join(&w, 0, &t.op);
	while (w.clients[0].step != PMZ_LOCK_PAUSE)
		assert_true(world_step(&w));
	assert_int_equal(w.clients[0].due, WORLD_START + PMZ_S(5));
	while (w.clients[0].step != PMZ_LOCK_DONE)
		assert_true(world_step(&w));
	expect_status(end(), PMZ_REFUSED_HELD);
	assert_int_equal(world_sent(&w, ANY, 0), 1);
}

static void the_users_own_rule_bounds_the_tries(void **state)
{
	static const pmz_backoff_rule rule_of_two = {
		.size = sizeof(rule_of_two),
		.base_ns = PMZ_MS(10),
		.tries_max = 2,
		.jitter = PMZ_JITTER_NONE,
	};

	(void)state;
	open_world(1);
	t.rules.backoff = &rule_of_two;
	occupy(0, PMZ_S(9));
	expect_status(acquire(PMZ_S(5)), PMZ_REFUSED_HELD);
	assert_int_equal(world_sent(&w, ANY, 0), 2);
	assert_int_equal(w.now - t.began, PMZ_MS(10) + 4 * WORLD_TRIP);
}

static void a_notice_ends_the_pause(void **state)
{
	static const uint32_t nodes[] = { 1, 3 };
	uint32_t i, j;

	(void)state;
	for (i = 0; i < KIT_COUNT(nodes); i++) {
		pmz_ns most = 4 * WORLD_TRIP + (i ? PMZ_MS(5) : 0);

		pause_once(nodes[i], 1);
		world_pass(&w, PMZ_S(1));
		for (j = 0; j < nodes[i]; j++)
			w.servers[j].count = 0;
		pmz_lock_op_wake(&t.op, w.now);
		world_turn(&w, 0);
		while (w.clients[0].step != PMZ_LOCK_DONE)
			assert_true(world_step(&w));
		expect_status(end(), PMZ_OK);
		expect_between(w.now, WORLD_START + PMZ_S(1),
		               WORLD_START + PMZ_S(1) + PMZ_MS(10) + most);
	}
}

static void a_notice_does_not_hurry_after_an_error(void **state)
{
	pmz_ns due;

	(void)state;
	open_world(1);
	rule(0, ANY, ~0u, (fault){ .how = REFUSED, .text = "LOADING" });
	begin_acquire(TTL, PMZ_S(5));
	world_join(&w, 0, &t.op);
	while (w.clients[0].step != PMZ_LOCK_PAUSE)
		assert_true(world_step(&w));
	assert_false(w.clients[0].wakes);
	due = w.clients[0].due;
	pmz_lock_op_wake(&t.op, w.now);
	world_turn(&w, 0);
	assert_int_equal(w.clients[0].due, due);
}

/* 0: it was done before. */
static int cancel_after(unsigned steps)
{
	begin_acquire(TTL, PMZ_S(2));
	world_join(&w, 0, &t.op);
	while (steps-- && w.clients[0].step != PMZ_LOCK_DONE)
		assert_true(world_step(&w));
	if (w.clients[0].step == PMZ_LOCK_DONE)
		return 0;
	t.began = w.now;
	pmz_lock_op_cancel(&t.op, w.now);
	world_turn(&w, 0);
	while (w.clients[0].step != PMZ_LOCK_DONE)
		assert_true(world_step(&w));
	expect_status(end(), PMZ_CANCELLED);
	assert_in_range(w.now - t.began, 0, SLACK);
	world_pass(&w, PMZ_S(6));
	return 1;
}

static void cancel_everywhere(uint32_t nodes, fault f, unsigned busy)
{
	unsigned steps = 0, i;

	do {
		open_world(nodes);
		t.rules.replicas_min = 1;
		for (i = 0; i < nodes; i++) {
			w.servers[i].replicas = 1;
			if (i < busy)
				occupy(i, PMZ_S(30));
		}
		rule(nodes - 1, PMZ_LOCK_ACQUIRE, 1, f);
	} while (cancel_after(steps++) &&
	         (assert_int_equal(locked(), busy), 1));
	assert_true(steps > 3);
}

static void a_cancel_in_any_step_leaves_nothing(void **state)
{
	static const fault faults[] = {
		{ .how = WELL },
		{ .how = REPLY_LOST },
		{ .how = COMMAND_LATE, .by = PMZ_S(5) },
		{ .how = BROKEN_AFTER, .by = PMZ_S(3) },
	};
	size_t i;

	(void)state;
	for (i = 0; i < KIT_COUNT(faults); i++) {
		cancel_everywhere(1, faults[i], 0);
		cancel_everywhere(3, faults[i], 0);
		cancel_everywhere(3, faults[i], 1);
		cancel_everywhere(3, faults[i], 2);
		cancel_everywhere(1, faults[i], 1);
	}
}

static void only_an_acquire_is_cancelled(void **state)
{
	pmz_lease held;

	(void)state;
	open_world(1);
	expect_status(acquire(0), PMZ_OK);
	held = t.lease;
	expect_status(pmz_lock_op_release(&t.op, &t.rules, &held, w.now, NULL),
	              PMZ_OK);
	pmz_lock_op_cancel(&t.op, w.now);
	expect_status(run(), PMZ_OK);
	assert_int_equal(locked(), 0);
}

static pmz_lock_rules with(void)
{
	pmz_lock_rules r = { .size = sizeof(r) };

	return r;
}

static void refuses(const pmz_lock_rules *rules, const char *name, pmz_ns ttl,
                    const char *field)
{
	const uint64_t seed[2] = { 1, 2 };
	pmz_lock_order order;

	expect_status(pmz_lock_op_acquire(&t.op, rules, name, ttl, w.now, seed,
	                                  w.now, &t.why),
	              PMZ_E_CONFIG);
	assert_string_equal(t.why.field, field);
	assert_true(strlen(t.why.text) > 10);
	assert_int_equal(pmz_lock_op_next(&t.op, w.now, &order), PMZ_LOCK_DONE);
	expect_status(end(), PMZ_E_CONFIG);
}

static void a_bad_name_is_named(void **state)
{
	char name[PMZ_LOCK_NAME_MAX + 2];

	(void)state;
	open_world(1);
	memset(name, 'n', sizeof(name));
	name[PMZ_LOCK_NAME_MAX + 1] = '\0';
	refuses(NULL, "", TTL, "name");
	refuses(NULL, name, TTL, "name");
	refuses(NULL, "a{b", TTL, "name");
	refuses(NULL, "a}b", TTL, "name");
}

static void the_longest_name_has_room(void **state)
{
	const uint64_t seed[2] = { 1, 2 };
	char name[PMZ_LOCK_NAME_MAX + 1], key[PMZ_LOCK_NAME_MAX + 6];

	(void)state;
	open_world(3);
	memset(name, 'n', sizeof(name));
	name[PMZ_LOCK_NAME_MAX] = '\0';
	snprintf(key, sizeof(key), "lock:%s", name);
	rule(2, PMZ_LOCK_ACQUIRE, 1, (fault){ .how = REPLY_LOST });
	rule(1, PMZ_LOCK_ACQUIRE, 1, (fault){ .how = REPLY_LOST });
	expect_status(pmz_lock_op_acquire(&t.op, &t.rules, name,
	                                  PMZ_LOCK_TTL_MAX, w.now, seed, w.now,
	                                  NULL),
	              PMZ_OK);
	expect_status(run(), PMZ_E_QUORUM);
	world_settle(&w);
	assert_null(server_find(&w, 0, key));
	assert_null(server_find(&w, 2, key));
}

static void a_ttl_out_of_range_is_named(void **state)
{
	const uint64_t seed[2] = { 1, 2 };
	const pmz_ns least = 2020204; /* above 2 ms and 1 % of itself */

	(void)state;
	open_world(1);
	refuses(NULL, NAME, 0, "ttl");
	refuses(NULL, NAME, PMZ_MS(2), "ttl");
	refuses(NULL, NAME, least - 1, "ttl");
	refuses(NULL, NAME, PMZ_LOCK_TTL_MAX + 1, "ttl");
	refuses(NULL, NAME, PMZ_NEVER, "ttl");
	expect_status(pmz_lock_op_acquire(&t.op, NULL, NAME, least, w.now, seed,
	                                  w.now, NULL),
	              PMZ_OK);
}

static void a_bad_rule_is_named(void **state)
{
	pmz_backoff_rule backoff = { .size = sizeof(backoff),
		                     .base_ns = 2,
		                     .max_ns = 1 };
	pmz_lock_rules r = with();

	(void)state;
	open_world(1);
	r.nodes = PMZ_LOCK_NODES_MAX + 1;
	refuses(&r, NAME, TTL, "nodes");
	r = with();
	r.drift_ppm = 1000000;
	refuses(&r, NAME, TTL, "drift_ppm");
	r = with();
	r.backoff = &backoff;
	refuses(&r, NAME, TTL, "backoff");
	backoff = (pmz_backoff_rule){ .size = 3 };
	assert_int_equal(pmz_lock_op_acquire(&t.op, &r, NAME, TTL, w.now,
	                                     (const uint64_t[2]){ 1, 2 }, w.now,
	                                     &t.why),
	                 PMZ_E_CONFIG);
	r = with();
	r.size = 1;
	assert_int_equal(pmz_lock_op_peek(&t.op, &r, NAME, w.now, &t.why),
	                 PMZ_E_CONFIG);
}

static void the_drift_may_be_chosen(void **state)
{
	(void)state;
	open_world(1);
	t.rules.drift_ppm = 100000;
	expect_status(acquire(0), PMZ_OK);
	assert_int_equal(t.lease.until,
	                 WORLD_START + TTL - TTL / 10 - PMZ_MS(2));
	open_world(1);
	t.rules.drift_ppm = PMZ_OFF;
	expect_status(acquire(0), PMZ_OK);
	assert_int_equal(t.lease.until, WORLD_START + TTL - PMZ_MS(2));
}

static void what_is_no_lease_is_refused(void **state)
{
	pmz_lease none;

	(void)state;
	open_world(1);
	memset(&none, 0, sizeof(none));
	expect_status(pmz_lock_op_extend(&t.op, NULL, &none, TTL, w.now, NULL),
	              PMZ_E_LOST);
	expect_status(pmz_lock_op_release(&t.op, NULL, &none, w.now, NULL),
	              PMZ_E_LOST);
	memset(&none, 'x', sizeof(none));
	expect_status(pmz_lock_op_release(&t.op, NULL, &none, w.now, &t.why),
	              PMZ_E_CONFIG);
	assert_string_equal(t.why.field, "lease");
}

static void an_op_that_is_not_done_has_no_end(void **state)
{
	(void)state;
	open_world(1);
	begin_acquire(TTL, 0);
	expect_status(end(), PMZ_E_STATE);
	assert_int_equal(t.lease.until, 0);
}

static uint32_t turn(uint32_t x, int by)
{
	return x << by | x >> (32 - by);
}

static uint32_t mix(int i, uint32_t b, uint32_t c, uint32_t d)
{
	if (i < 20)
		return ((b & c) | (~b & d)) + 0x5a827999;
	if (i < 40)
		return (b ^ c ^ d) + 0x6ed9eba1;
	if (i < 60)
		return ((b & c) | (b & d) | (c & d)) + 0x8f1bbcdc;
	return (b ^ c ^ d) + 0xca62c1d6;
}

static void hash_block(uint32_t h[5], const unsigned char *block)
{
	uint32_t x[80], v[5];
	int i;

	memcpy(v, h, sizeof(v));
	for (i = 0; i < 80; i++) {
		uint32_t next;

		x[i] = i < 16 ? (uint32_t)block[4 * i] << 24 |
		                        (uint32_t)block[4 * i + 1] << 16 |
		                        (uint32_t)block[4 * i + 2] << 8 |
		                        block[4 * i + 3]
		              : turn(x[i - 3] ^ x[i - 8] ^ x[i - 14] ^
		                             x[i - 16],
		                     1);
		next = turn(v[0], 5) + mix(i, v[1], v[2], v[3]) + v[4] + x[i];
		v[4] = v[3];
		v[3] = v[2];
		v[2] = turn(v[1], 30);
		v[1] = v[0];
		v[0] = next;
	}
	for (i = 0; i < 5; i++)
		h[i] += v[i];
}

/* SHA-1 (FIPS 180-4), in hex. */
static void hash(const char *text, char hex[41])
{
	uint32_t h[5] = { 0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476,
		          0xc3d2e1f0 };
	unsigned char padded[2048] = { 0 };
	size_t len = strlen(text), whole = (len + 9 + 63) / 64 * 64, i;

	assert_true(whole <= sizeof(padded));
	memcpy(padded, text, len);
	padded[len] = 0x80;
	padded[whole - 2] = (unsigned char)(len * 8 >> 8);
	padded[whole - 1] = (unsigned char)(len * 8);
	for (i = 0; i < whole; i += 64)
		hash_block(h, padded + i);
	for (i = 0; i < 5; i++)
		snprintf(hex + 8 * i, 9, "%08x", (unsigned)h[i]);
}

static void each_script_has_its_own_hash(void **state)
{
	char hex[41];
	uint32_t verb;

	(void)state;
	hash("abc", hex);
	assert_string_equal(hex, "a9993e364706816aba3e25717850c26c9cd0d89d");
	for (verb = PMZ_LOCK_ACQUIRE; verb <= PMZ_LOCK_PEEK; verb++) {
		if (verb == PMZ_LOCK_REPLICATE)
			continue;
		hash(pmz_lock_script(verb), hex);
		assert_string_equal(pmz_lock_script_sha(verb), hex);
	}
}

static void what_is_no_verb_has_no_script(void **state)
{
	static const uint32_t none[] = { 0, PMZ_LOCK_REPLICATE,
		                         PMZ_LOCK_PEEK + 1, UINT32_MAX };
	size_t i;

	(void)state;
	for (i = 0; i < KIT_COUNT(none); i++) {
		assert_null(pmz_lock_script(none[i]));
		assert_null(pmz_lock_script_sha(none[i]));
	}
}

#define T(name) cmocka_unit_test(name)

static const struct CMUnitTest tests[] = {
	T(a_granted_lease_ends_before_the_servers),
	T(a_lease_is_counted_from_before_the_first_byte),
	T(what_is_granted_too_late_is_released_and_not_held),
	T(a_lost_reply_is_asked_for_with_the_same_token),
	T(a_broken_connection_is_asked_once_more_at_once),
	T(an_acquire_that_came_twice_is_one_lock),
	T(a_token_is_dead_after_its_first_release),
	T(an_acquire_that_lands_after_all_grants_nothing),
	T(an_acquire_may_land_late_after_a_release_too),
	T(a_late_answer_speaks_for_its_own_acquire_only),
	T(one_server_is_abandoned_when_giving_up_only),
	T(a_quorum_is_abandoned_at_each_try),
	T(what_was_never_written_is_not_abandoned),
	T(an_unknown_script_is_sent_whole_at_once),
	T(an_unknown_script_keeps_no_quorum_waiting),
	T(a_script_that_stays_unknown_is_no_endless_loop),
	T(a_node_has_its_time_out_from_the_last_byte),
	T(the_first_try_and_what_takes_back_are_urgent),
	T(the_server_keeps_it_for_no_less_than_the_ttl),
	T(each_seed_has_its_own_token),
	T(an_op_may_be_moved_between_its_steps),
	T(a_passing_error_is_waited_out),
	T(a_passing_error_that_stays_ends_with_the_wait),
	T(a_fatal_error_ends_at_once_with_its_words),
	T(what_follows_does_not_hide_the_words),
	T(a_script_that_stopped_behind_its_set_is_undone),
	T(nonsense_is_no_grant_and_leaves_nothing),
	T(an_answer_cut_anywhere_is_no_other_answer),
	T(a_key_that_is_no_string_is_left_alone),
	T(a_redirection_is_followed),
	T(redirections_are_followed_five_times),
	T(a_redirection_to_nowhere_is_not_followed),
	T(every_mask_of_five_nodes_is_judged_by_count),
	T(more_than_half_of_any_number_is_a_quorum),
	T(two_halves_are_held),
	T(a_sure_quorum_waits_for_no_silent_node),
	T(a_foreign_holder_is_seen_without_the_silent),
	T(held_is_ready_when_a_quorum_can_be_free),
	T(a_holder_without_an_end_is_never_ready),
	T(what_a_failed_try_was_granted_is_released),
	T(a_node_lost_in_the_undoing_is_told_later),
	T(a_node_that_never_granted_is_not_released),
	T(a_fence_grows_over_changing_majorities),
	T(a_fence_grows_after_a_servers_memory_was_lost),
	T(a_fence_grows_while_memory_is_lost_in_turn),
	T(a_fence_grows_when_the_servers_clock_steps_back),
	T(without_fences_the_fence_is_0),
	T(a_fence_that_no_majority_has_is_no_lock),
	T(the_largest_fence_is_on_a_majority_first),
	T(so_many_replicas_have_it_before_it_is_held),
	T(a_wait_that_is_answered_by_nonsense_says_so),
	T(a_grant_that_replicas_made_late_is_not_held),
	T(an_extension_never_shortens),
	T(an_extension_never_resurrects),
	T(what_the_server_lost_is_not_extended),
	T(a_minority_is_repaired_once_a_majority_held),
	T(a_repair_that_lands_late_leaves_nothing),
	T(a_lease_that_runs_out_unanswered_is_taken_back),
	T(a_failed_extension_leaves_the_lease_as_it_was),
	T(a_release_is_judged_by_count),
	T(a_lease_that_was_released_is_dead),
	T(a_release_that_was_lost_and_repeated_is_no_loss),
	T(a_release_reaches_the_slow_nodes_too),
	T(answers_between_two_orders_leave_no_node_out),
	T(a_release_that_did_not_come_through_is_owed),
	T(a_peek_shows_the_holder_of_a_quorum),
	T(a_peek_that_cannot_tell_does_not_say_none),
	T(a_foreign_holder_is_cut_and_has_no_fence),
	T(two_holders_that_are_cut_alike_are_two),
	T(a_holder_with_an_empty_value_is_a_holder),
	T(all_is_over_in_time_whatever_fails),
	T(one_try_is_made_when_there_is_no_time),
	T(who_is_not_told_looks_again_by_backoff),
	T(who_is_told_waits_for_the_holders_end_only),
	T(who_is_told_of_no_end_waits_to_the_last),
	T(the_users_own_rule_bounds_the_tries),
	T(a_notice_ends_the_pause),
	T(a_notice_does_not_hurry_after_an_error),
	T(a_cancel_in_any_step_leaves_nothing),
	T(only_an_acquire_is_cancelled),
	T(a_bad_name_is_named),
	T(the_longest_name_has_room),
	T(a_ttl_out_of_range_is_named),
	T(a_bad_rule_is_named),
	T(the_drift_may_be_chosen),
	T(what_is_no_lease_is_refused),
	T(an_op_that_is_not_done_has_no_end),
	T(each_script_has_its_own_hash),
	T(what_is_no_verb_has_no_script),
};

int main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
