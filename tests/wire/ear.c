/*
 * ear.c - hearing from a real server that a lock was released.
 */
#include "expect.h"

#include <poll.h>
#include <string.h>

#include <pipemaze/edge.h>

#include "lock/link.h"
#include "redis.h"
#include "redis/open.h"

#define PATIENCE PMZ_S(5)
#define A_WHILE PMZ_MS(50)

typedef struct rig {
	kit_redis *server;
	pmz__node *node;
	pmz__link *link;
} rig;

static rig t;

static int start(void **state)
{
	pmz_why why;

	(void)state;
	t.server = kit_redis_start(NULL);
	if (pmz__redis_node_new(&t.node, kit_redis_address(t.server), PMZ_S(1),
	                        &why))
		fail_msg("%s", why.text);
	t.link = t.node->type->connect(t.node);
	return t.link ? 0 : -1;
}

static int stop(void **state)
{
	(void)state;
	t.link->type->free(t.link);
	t.node->type->free(t.node);
	kit_redis_stop(t.server);
	return 0;
}

static void command(const char *a, const char *b, const char *c)
{
	char text[64];

	kit_redis_ask(t.server, text, sizeof(text), a, b, c, NULL);
}

/* One round of waiting for both connections; 1 for a notice. */
static int wait_once(pmz_ns due)
{
	pmz_ns now = pmz_now();
	pmz__wants wants, ear;
	struct pollfd p[2];
	int heard;

	t.link->type->wants(t.link, &wants);
	t.link->type->ear_wants(t.link, &ear);
	if (wants.due < due)
		due = wants.due;
	if (ear.due < due)
		due = ear.due;
	p[0] = (struct pollfd){ wants.fd, wants.events, 0 };
	p[1] = (struct pollfd){ ear.fd, ear.events, 0 };
	poll(p, 2, due > now ? (int)((due - now) / PMZ_MS(1) + 1) : 0);
	t.link->type->go_on(t.link, pmz_now());
	heard = t.link->type->ear_go_on(t.link, pmz_now());
	return heard;
}

static int hears_within(pmz_ns span)
{
	pmz_ns due = pmz_now() + span;

	while (pmz_now() < due)
		if (wait_once(due))
			return 1;
	return 0;
}

static int listen_to(const char *name)
{
	pmz_ns due = pmz_now() + PATIENCE;
	int st;

	while ((st = t.link->type->listen(t.link, name, pmz_now())) ==
	               PMZ_E_STATE &&
	       pmz_now() < due)
		wait_once(due);
	return st;
}

/* A try that sees what is there: from here on its change is told. */
static void look_at(const char *name)
{
	pmz_lock_order order;
	pmz_lock_op op;
	pmz_lock_step step;

	expect_status(pmz_lock_op_peek(&op, NULL, name, pmz_now(), NULL),
	              PMZ_OK);
	while ((step = pmz_lock_op_next(&op, pmz_now(), &order))) {
		if (step == PMZ_LOCK_SEND)
			t.link->type->send(t.link, &op, &order, pmz_now());
		else
			wait_once(order.due);
	}
	t.link->type->forget(t.link, &op, pmz_now());
}

static void hold_and_listen(const char *name, const char *key)
{
	command("SET", key, "another's");
	expect_status(listen_to(name), PMZ_OK);
	look_at(name);
	assert_false(hears_within(A_WHILE));
}

static void a_release_is_heard(void **state)
{
	(void)state;
	hold_and_listen("x", "lock:x");
	command("DEL", "lock:x", NULL);
	assert_true(hears_within(PATIENCE));
	assert_false(hears_within(A_WHILE));
}

static void the_release_of_another_lock_is_not_heard(void **state)
{
	(void)state;
	hold_and_listen("other", "lock:other");
	hold_and_listen("x", "lock:x");
	command("DEL", "lock:other", NULL);
	assert_false(hears_within(A_WHILE));
	command("DEL", "lock:x", NULL);
	assert_true(hears_within(PATIENCE));
}

static void one_link_listens_to_one_lock_after_the_other(void **state)
{
	(void)state;
	hold_and_listen("x", "lock:x");
	command("DEL", "lock:x", NULL);
	hold_and_listen("y", "lock:y");
	command("DEL", "lock:y", NULL);
	assert_true(hears_within(PATIENCE));
}

static void a_flush_is_heard(void **state)
{
	(void)state;
	hold_and_listen("x", "lock:x");
	command("FLUSHALL", NULL, NULL);
	assert_true(hears_within(PATIENCE));
}

static void the_loss_of_the_ear_wakes_and_it_is_made_anew(void **state)
{
	char text[16];

	(void)state;
	hold_and_listen("x", "lock:x");
	kit_redis_ask(t.server, text, sizeof(text), "CLIENT", "KILL", "TYPE",
	              "pubsub", NULL);
	assert_string_equal(text, "1");
	assert_true(hears_within(PATIENCE));
	hold_and_listen("x", "lock:x");
	command("DEL", "lock:x", NULL);
	assert_true(hears_within(PATIENCE));
}

static void the_loss_of_the_commands_wakes_and_it_is_told(void **s)
{
	char text[16];

	(void)s;
	hold_and_listen("x", "lock:x");
	kit_redis_ask(t.server, text, sizeof(text), "CLIENT", "KILL", "TYPE",
	              "normal", NULL);
	assert_string_equal(text, "1");
	assert_true(hears_within(PATIENCE));
	hold_and_listen("x", "lock:x");
	command("DEL", "lock:x", NULL);
	assert_true(hears_within(PATIENCE));
}

static void a_restart_of_the_server_wakes(void **state)
{
	(void)state;
	hold_and_listen("x", "lock:x");
	kit_redis_restart(t.server);
	assert_true(hears_within(PATIENCE));
}

static void where_tracking_is_forbidden_it_is_absent(void **state)
{
	char text[64];

	(void)state;
	kit_redis_ask(t.server, text, sizeof(text), "ACL", "SETUSER", "default",
	              "-client|tracking", NULL);
	assert_string_equal(text, "OK");
	expect_status(listen_to("x"), PMZ_E_ABSENT);
	expect_status(listen_to("x"), PMZ_E_ABSENT);
	assert_false(hears_within(A_WHILE));
}

static void where_the_channel_is_forbidden_it_is_absent(void **state)
{
	char text[64];

	(void)state;
	kit_redis_ask(t.server, text, sizeof(text), "ACL", "SETUSER", "default",
	              "resetchannels", NULL);
	assert_string_equal(text, "OK");
	expect_status(listen_to("x"), PMZ_E_ABSENT);
	look_at("x");
}

static void without_a_server_nothing_wakes(void **state)
{
	(void)state;
	kit_redis_kill(t.server);
	expect_status(t.link->type->listen(t.link, "x", pmz_now()),
	              PMZ_E_STATE);
	assert_false(hears_within(A_WHILE));
}

#define WITH_SERVER(test) cmocka_unit_test_setup_teardown(test, start, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_SERVER(a_release_is_heard),
		WITH_SERVER(the_release_of_another_lock_is_not_heard),
		WITH_SERVER(one_link_listens_to_one_lock_after_the_other),
		WITH_SERVER(a_flush_is_heard),
		WITH_SERVER(the_loss_of_the_ear_wakes_and_it_is_made_anew),
		WITH_SERVER(the_loss_of_the_commands_wakes_and_it_is_told),
		WITH_SERVER(a_restart_of_the_server_wakes),
		WITH_SERVER(where_tracking_is_forbidden_it_is_absent),
		WITH_SERVER(where_the_channel_is_forbidden_it_is_absent),
		WITH_SERVER(without_a_server_nothing_wakes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
