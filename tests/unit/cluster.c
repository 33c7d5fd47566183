/*
 * cluster.c - what a lane knows of a cluster: its servers, and which of them
 * has which slot.
 */
#include "expect.h"

#include <stdio.h>
#include <string.h>

#include <pipemaze/lock.h>

#include "redis/node.h"
#include "redis/open.h"

#define SERVER(port) "*2\r\n$1\r\nh\r\n:" port "\r\n"
#define RANGE(from, to, port) "*3\r\n:" from "\r\n:" to "\r\n" SERVER(port)

static pmz__redis_node *node_new(void)
{
	pmz__node *node;

	expect_status(pmz__redis_node_new(&node,
	                                  "redis+cluster://127.0.0.1:7000",
	                                  PMZ_S(1), NULL),
	              PMZ_OK);
	return (pmz__redis_node *)node;
}

static void node_free(pmz__redis_node *n)
{
	n->node.type->free(&n->node);
}

static void learn(pmz__redis_node *n, const char *text, uint32_t asked)
{
	redisReader *reader = redisReaderCreate();
	void *reply = NULL;

	redisReaderFeed(reader, text, strlen(text));
	if (redisReaderGetReply(reader, &reply) != REDIS_OK || !reply)
		fail_msg("no reply: %s", text);
	pmz__cluster_learn(n, reply, asked);
	freeReplyObject(reply);
	redisReaderFree(reader);
}

static void expect_owner(pmz__redis_node *n, uint32_t slot, const char *name,
                         uint32_t port)
{
	uint32_t owner = pmz__cluster_owner(n, slot);

	assert_int_not_equal(owner, PMZ__NO_HOST);
	assert_string_equal(n->host[owner]->address.host, name);
	assert_int_equal(n->host[owner]->address.port, port);
}

static void a_map_says_which_server_has_a_slot(void **state)
{
	pmz__redis_node *n = node_new();

	(void)state;
	learn(n,
	      "*2\r\n" RANGE("0", "99", "7001") RANGE("200", "16383", "7002"),
	      0);
	expect_owner(n, 0, "h", 7001);
	expect_owner(n, 99, "h", 7001);
	assert_int_equal(pmz__cluster_owner(n, 100), PMZ__NO_HOST);
	expect_owner(n, 200, "h", 7002);
	expect_owner(n, 16383, "h", 7002);
	node_free(n);
}

static void a_replica_is_known_and_has_no_slot(void **state)
{
	pmz__redis_node *n = node_new();

	(void)state;
	learn(n, "*1\r\n*4\r\n:0\r\n:16383\r\n" SERVER("7001") SERVER("7002"),
	      0);
	assert_int_equal(pmz__cluster_count(n), 3);
	expect_owner(n, 5, "h", 7001);
	node_free(n);
}

static void a_new_map_forgets_the_one_before(void **state)
{
	pmz__redis_node *n = node_new();

	(void)state;
	learn(n, "*1\r\n" RANGE("0", "99", "7001"), 0);
	learn(n, "*1\r\n" RANGE("50", "149", "7002"), 0);
	assert_int_equal(pmz__cluster_owner(n, 49), PMZ__NO_HOST);
	expect_owner(n, 50, "h", 7002);
	node_free(n);
}

static void a_part_that_makes_no_sense_leaves_its_slots_unknown(void **state)
{
	static const char *const parts[] = {
		"+OK\r\n",
		"*2\r\n:7\r\n:7\r\n",
		"*3\r\n$1\r\n7\r\n:7\r\n" SERVER("7001"),
		"*3\r\n:-1\r\n:7\r\n" SERVER("7001"),
		"*3\r\n:7\r\n:16384\r\n" SERVER("7001"),
		"*3\r\n:7\r\n:7\r\n+h\r\n",
		"*3\r\n:7\r\n:7\r\n*1\r\n$1\r\nh\r\n",
		"*3\r\n:7\r\n:7\r\n*2\r\n$1\r\nh\r\n$4\r\n7001\r\n",
		"*3\r\n:7\r\n:7\r\n" SERVER("0"),
		"*3\r\n:7\r\n:7\r\n" SERVER("-1"),
		"*3\r\n:7\r\n:7\r\n" SERVER("65536"),
	};
	size_t i;

	(void)state;
	for (i = 0; i < KIT_COUNT(parts); i++) {
		pmz__redis_node *n = node_new();
		char map[200];

		snprintf(map, sizeof(map), "*2\r\n%s%s", parts[i],
		         RANGE("8", "8", "7002"));
		learn(n, map, 0);
		if (pmz__cluster_owner(n, 7) != PMZ__NO_HOST)
			fail_msg("row %zu: the slot has an owner", i);
		expect_owner(n, 8, "h", 7002);
		node_free(n);
	}
}

static void what_is_no_map_changes_nothing(void **state)
{
	static const char *const texts[] = { "+OK\r\n", "-ERR no\r\n",
		                             "$-1\r\n", ":7\r\n" };
	pmz__redis_node *n = node_new();
	size_t i;

	(void)state;
	learn(n, "*1\r\n" RANGE("0", "99", "7001"), 0);
	pmz__cluster_doubt(n);
	for (i = 0; i < KIT_COUNT(texts); i++) {
		learn(n, texts[i], 0);
		expect_owner(n, 7, "h", 7001);
		assert_true(pmz__cluster_is_stale(n));
	}
	node_free(n);
}

static void
a_server_that_leaves_out_its_name_is_the_one_that_was_asked(void **state)
{
	static const char *const names[] = { "$-1\r\n", "$0\r\n\r\n" };
	pmz__redis_node *n = node_new();
	uint32_t asked = pmz__cluster_find(n, "other:7001", 0);
	size_t i;

	(void)state;
	for (i = 0; i < KIT_COUNT(names); i++) {
		char map[100];

		snprintf(map, sizeof(map),
		         "*1\r\n*3\r\n:0\r\n:9\r\n*2\r\n%s:7005\r\n", names[i]);
		learn(n, map, asked);
		expect_owner(n, 7, "other", 7005);
		learn(n, map, 0);
		expect_owner(n, 7, "127.0.0.1", 7005);
	}
	assert_int_equal(pmz__cluster_find(n, ":7001", asked), asked);
	node_free(n);
}

static void an_address_that_is_none_is_no_server(void **state)
{
	char too_long[PMZ__HOST_MAX + 8];
	const char *const rows[] = {
		"",     "h",      "h:",
		"h:0",  "h:-1",   "h:65536",
		"h:xy", too_long, "h:99999999999999999999",
	};
	pmz__redis_node *n = node_new();
	size_t i;

	(void)state;
	memset(too_long, 'h', sizeof(too_long));
	strcpy(too_long + PMZ__HOST_MAX + 1, ":7001");
	for (i = 0; i < KIT_COUNT(rows); i++)
		if (pmz__cluster_find(n, rows[i], 0) != PMZ__NO_HOST)
			fail_msg("row %zu: it is one", i);
	assert_int_equal(pmz__cluster_count(n), 1);
	assert_int_not_equal(pmz__cluster_find(n, too_long + 1, 0),
	                     PMZ__NO_HOST);
	node_free(n);
}

static uint32_t find_nth(pmz__redis_node *n, unsigned i)
{
	char where[32];

	snprintf(where, sizeof(where), "h:%u", 7000 + i);
	return pmz__cluster_find(n, where, 0);
}

static void a_server_is_known_once(void **state)
{
	pmz__redis_node *n = node_new();

	(void)state;
	assert_int_equal(find_nth(n, 1), 1);
	assert_int_equal(find_nth(n, 2), 2);
	assert_int_equal(find_nth(n, 1), 1);
	assert_int_equal(pmz__cluster_find(n, "127.0.0.1:7000", 0), 0);
	assert_int_equal(pmz__cluster_count(n), 3);
	node_free(n);
}

static void fill(pmz__redis_node *n)
{
	unsigned i;

	for (i = 1; i < PMZ__HOSTS_MAX; i++)
		assert_int_equal(find_nth(n, i), i);
}

static void a_server_that_is_of_no_use_makes_room(void **state)
{
	pmz__redis_node *n = node_new();
	uint32_t i;

	(void)state;
	fill(n);
	for (i = 1; i < PMZ__HOSTS_MAX; i++)
		if (i % 2)
			assert_non_null(pmz__cluster_use(n, i));
		else
			pmz__cluster_moved(n, i, i);
	assert_int_equal(find_nth(n, 500), PMZ__NO_HOST);
	pmz__cluster_leave(n, 5);
	assert_int_equal(find_nth(n, 500), 5);
	assert_int_equal(n->host[5]->address.port, 7500);
	expect_owner(n, 6, "h", 7006);
	pmz__cluster_moved(n, 6, 4);
	assert_int_equal(find_nth(n, 501), 5);
	assert_non_null(pmz__cluster_use(n, 5));
	assert_int_equal(find_nth(n, 502), 6);
	node_free(n);
}

static void the_server_of_the_address_never_makes_room(void **state)
{
	pmz__redis_node *n = node_new();
	uint32_t i;

	(void)state;
	fill(n);
	for (i = 1; i < PMZ__HOSTS_MAX; i++)
		assert_non_null(pmz__cluster_use(n, i));
	assert_int_equal(find_nth(n, 500), PMZ__NO_HOST);
	assert_string_equal(n->host[0]->address.host, "127.0.0.1");
	node_free(n);
}

static void there_is_no_server_that_was_never_found(void **state)
{
	pmz__redis_node *n = node_new();

	(void)state;
	assert_null(pmz__cluster_use(n, 1));
	assert_null(pmz__cluster_use(n, PMZ__NO_HOST));
	node_free(n);
}

static void
what_is_owed_is_paid_to_the_owner_or_where_none_is_known(void **state)
{
	pmz__redis_node *n = node_new();

	(void)state;
	assert_int_equal(find_nth(n, 1), 1);
	assert_int_equal(find_nth(n, 2), 2);
	assert_true(pmz__cluster_serves(n, n->host[2], 7));
	pmz__cluster_moved(n, 7, 1);
	assert_true(pmz__cluster_serves(n, n->host[1], 7));
	assert_false(pmz__cluster_serves(n, n->host[2], 7));
	assert_true(pmz__cluster_serves(n, n->host[2], 8));
	node_free(n);
}

static uint32_t slot_of(const char *key)
{
	return pmz__slot_of(key, strlen(key));
}

/* 0x31c3 is the check value of CRC-16/XMODEM; the keys are the examples of the
 * cluster specification. */
static void the_slot_of_a_key_is_that_of_what_its_braces_hold(void **state)
{
	(void)state;
	assert_int_equal(slot_of("123456789"), 0x31c3);
	assert_int_equal(slot_of("{user1000}.following"), slot_of("user1000"));
	assert_int_equal(slot_of("foo{bar}{zap}"), slot_of("bar"));
	assert_int_equal(slot_of("foo{{bar}}zap"), slot_of("{bar"));
	assert_int_not_equal(slot_of("foo{}{bar}"), slot_of("bar"));
	assert_int_not_equal(slot_of("foo{}{bar}"), slot_of(""));
	assert_int_not_equal(slot_of("foo{"), slot_of(""));
	assert_int_not_equal(slot_of("foo{bar"), slot_of("bar"));
	assert_int_equal(pmz__slot_of_lock("x"), slot_of("lock:x"));
}

static void a_cluster_stands_alone_however_it_is_spelt(void **state)
{
	static const char *const both[] = { "redis://a", "REDIS+CLUSTER://b" };
	pmz_locks *locks;
	pmz_why why;

	(void)state;
	expect_status(pmz_locks_open(&locks, both, 2, NULL, &why),
	              PMZ_E_CONFIG);
	assert_non_null(strstr(why.text, "stands alone"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_map_says_which_server_has_a_slot),
		cmocka_unit_test(a_replica_is_known_and_has_no_slot),
		cmocka_unit_test(a_new_map_forgets_the_one_before),
		cmocka_unit_test(
			a_part_that_makes_no_sense_leaves_its_slots_unknown),
		cmocka_unit_test(what_is_no_map_changes_nothing),
		cmocka_unit_test(
			a_server_that_leaves_out_its_name_is_the_one_that_was_asked),
		cmocka_unit_test(an_address_that_is_none_is_no_server),
		cmocka_unit_test(a_server_is_known_once),
		cmocka_unit_test(a_server_that_is_of_no_use_makes_room),
		cmocka_unit_test(the_server_of_the_address_never_makes_room),
		cmocka_unit_test(there_is_no_server_that_was_never_found),
		cmocka_unit_test(
			what_is_owed_is_paid_to_the_owner_or_where_none_is_known),
		cmocka_unit_test(
			the_slot_of_a_key_is_that_of_what_its_braces_hold),
		cmocka_unit_test(a_cluster_stands_alone_however_it_is_spelt),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
