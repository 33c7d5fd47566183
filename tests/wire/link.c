/*
 * link.c - a lane's connection to one server, byte for byte.
 *
 * Most of it is shown against a server of which the test itself plays the part:
 * what the link sends can then be read, and every answer come as late and as
 * odd as it likes. A link never blocks, so one thread plays both.
 */
#include "expect.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <pipemaze/edge.h>

#include "lock/link.h"
#include "proxy.h"
#include "redis.h"
#include "redis/node.h"
#include "redis/open.h"
#include "redis/owed.h"
#include "redis/socket.h"

#define PATIENCE_MS 5000
#define CONNECT_NS PMZ_S(2)
#define LONG PMZ_S(5)
#define SHORT PMZ_MS(60)

/* -- a server played by hand */

typedef struct stage {
	int listener;
	int client;
	uint16_t port;
	char heard[8192];
	size_t len;
} stage;

static stage stage_open(void)
{
	stage s = { .client = -1 };

	s.listener = kit_port_reserve(&s.port);
	assert_int_equal(listen(s.listener, 8), 0);
	return s;
}

static void stage_close(stage *s)
{
	close(s->listener);
	if (s->client >= 0)
		close(s->client);
}

static int is_readable(int fd, int ms)
{
	struct pollfd p = { fd, POLLIN, 0 };

	return poll(&p, 1, ms) > 0;
}

/* The next connection takes the place of the one before, which the caller may
 * have kept. */
static void stage_accept(stage *s)
{
	if (!is_readable(s->listener, PATIENCE_MS))
		fail_msg("nobody connects");
	s->client = accept(s->listener, NULL, NULL);
	assert_true(s->client >= 0);
	s->len = 0;
	s->heard[0] = '\0';
}

static int stage_is_visited(const stage *s)
{
	return is_readable(s->listener, 0);
}

static ssize_t stage_read(stage *s)
{
	ssize_t n = recv(s->client, s->heard + s->len,
	                 sizeof(s->heard) - 1 - s->len, 0);

	if (n > 0)
		s->len += (size_t)n;
	s->heard[s->len] = '\0';
	return n;
}

static void stage_hears(stage *s, const char *word)
{
	while (!strstr(s->heard, word)) {
		if (!is_readable(s->client, PATIENCE_MS) || stage_read(s) <= 0)
			fail_msg("no %s in what came: %s", word, s->heard);
	}
}

static void stage_hears_no_more(stage *s)
{
	if (is_readable(s->client, 20) && stage_read(s) > 0)
		fail_msg("more came: %s", s->heard);
}

static void stage_hears_the_end(stage *s)
{
	ssize_t n;

	do {
		if (!is_readable(s->client, PATIENCE_MS))
			fail_msg("the connection stays open");
		n = stage_read(s);
	} while (n > 0);
	assert_int_equal(n, 0);
}

static void stage_says(const stage *s, const char *text)
{
	size_t len = strlen(text);

	assert_int_equal(send(s->client, text, len, MSG_NOSIGNAL), len);
}

/* -- a link, and ops over it */

typedef struct rig {
	pmz__node *node;
	pmz__link *link;
} rig;

static rig rig_open(const char *address)
{
	rig r;
	pmz_why why;

	if (pmz__redis_node_new(&r.node, address, CONNECT_NS, &why))
		fail_msg("%s", why.text);
	r.link = r.node->type->connect(r.node);
	assert_non_null(r.link);
	return r;
}

static rig rig_to(const char *login, uint16_t port, const char *rest)
{
	char address[128];

	snprintf(address, sizeof(address), "redis://%s127.0.0.1:%u%s", login,
	         (unsigned)port, rest);
	return rig_open(address);
}

static void rig_close(rig *r)
{
	r->link->type->free(r->link);
	r->node->type->free(r->node);
}

static pmz_lock_rules rules_of(pmz_ns node_timeout)
{
	pmz_lock_rules rules;

	memset(&rules, 0, sizeof(rules));
	rules.size = sizeof(rules);
	rules.node_timeout_ns = node_timeout;
	rules.connect_ns = CONNECT_NS;
	return rules;
}

static void begin_acquire(pmz_lock_op *op, const char *name, pmz_ns timeout)
{
	pmz_lock_rules rules = rules_of(timeout);
	uint64_t seed[2] = { pmz_random(), pmz_random() };
	pmz_ns now = pmz_now();

	expect_status(pmz_lock_op_acquire(op, &rules, name, PMZ_S(30), now,
	                                  seed, now, NULL),
	              PMZ_OK);
}

static void begin_peek(pmz_lock_op *op, const char *name, pmz_ns timeout)
{
	pmz_lock_rules rules = rules_of(timeout);

	expect_status(pmz_lock_op_peek(op, &rules, name, pmz_now(), NULL),
	              PMZ_OK);
}

static void send_next(const rig *r, pmz_lock_op *op)
{
	pmz_lock_order order;
	pmz_ns now = pmz_now();

	assert_int_equal(pmz_lock_op_next(op, now, &order), PMZ_LOCK_SEND);
	r->link->type->send(r->link, op, &order, now);
}

static void wait_once(const rig *r, pmz_ns due)
{
	pmz_ns now = pmz_now();
	pmz__wants wants;
	struct pollfd p;

	r->link->type->wants(r->link, &wants);
	if (wants.due < due)
		due = wants.due;
	p.fd = wants.fd;
	p.events = wants.events;
	poll(&p, 1, due > now ? (int)((due - now) / PMZ_MS(1) + 1) : 0);
	r->link->type->go_on(r->link, pmz_now());
}

/* Makes one step, so that a stage may play its part in between. 0: done. */
static int step(const rig *r, pmz_lock_op *op, pmz_ns most)
{
	pmz_lock_order order;
	pmz_ns now = pmz_now();

	switch (pmz_lock_op_next(op, now, &order)) {
	case PMZ_LOCK_SEND:
		r->link->type->send(r->link, op, &order, now);
		return 1;
	case PMZ_LOCK_READ:
		if (now + most < order.due)
			order.due = now + most;
		wait_once(r, order.due);
		return 1;
	default:
		return 0;
	}
}

static int finish(const rig *r, pmz_lock_op *op, pmz_lease *lease, pmz_why *why)
{
	pmz_lease ignored;

	while (step(r, op, LONG))
		;
	r->link->type->forget(r->link, op, pmz_now());
	return pmz_lock_op_end(op, lease ? lease : &ignored, why);
}

/* Brings what was sent to the server, though nobody answers yet. */
static void push(const rig *r)
{
	wait_once(r, pmz_now() + PMZ_MS(1));
}

static void take(const rig *r, const char *name, pmz_lease *lease)
{
	pmz_lock_op op;
	pmz_why why;

	begin_acquire(&op, name, LONG);
	if (finish(r, &op, lease, &why))
		fail_msg("%s", why.text);
}

static void give_back(const rig *r, const pmz_lease *lease)
{
	pmz_lock_rules rules = rules_of(LONG);
	pmz_lock_op op;

	expect_status(pmz_lock_op_release(&op, &rules, lease, pmz_now(), NULL),
	              PMZ_OK);
	expect_status(finish(r, &op, NULL, NULL), PMZ_OK);
}

static void take_and_give_back(const rig *r)
{
	pmz_lease lease;

	take(r, "x", &lease);
	give_back(r, &lease);
}

/* -- against real servers */

static void a_lock_is_taken_and_given_back_over_tcp(void **state)
{
	kit_redis *server = kit_redis_start(NULL);
	rig r = rig_open(kit_redis_address(server));
	pmz_lease lease;
	char text[80];

	(void)state;
	take(&r, "x", &lease);
	kit_redis_ask(server, text, sizeof(text), "GET", "lock:x", NULL);
	assert_string_equal(text, lease.token);
	give_back(&r, &lease);
	kit_redis_ask(server, text, sizeof(text), "GET", "lock:x", NULL);
	assert_string_equal(text, "(nil)");
	rig_close(&r);
	kit_redis_stop(server);
}

static void a_lock_is_taken_and_given_back_over_a_unix_socket(void **state)
{
	kit_redis *server = kit_redis_start(NULL);
	char address[160];
	rig r;

	(void)state;
	snprintf(address, sizeof(address), "redis+unix://%s?db=2",
	         kit_redis_unix(server));
	r = rig_open(address);
	take_and_give_back(&r);
	rig_close(&r);
	kit_redis_stop(server);
}

static void answers_of_single_bytes_are_put_together(void **state)
{
	kit_redis *server = kit_redis_start(NULL);
	kit_proxy *proxy = kit_proxy_start(kit_redis_port(server));
	rig r = rig_open(kit_proxy_address(proxy));

	(void)state;
	kit_proxy_single_bytes(proxy, KIT_BOTH);
	take_and_give_back(&r);
	rig_close(&r);
	kit_proxy_stop(proxy);
	kit_redis_stop(server);
}

static void the_right_password_and_database_are_used(void **state)
{
	static const char *const extra[] = { "--requirepass", "p@ss", NULL };
	kit_redis *server = kit_redis_start(extra);
	rig r = rig_to(":p%40ss@", kit_redis_port(server), "/3");
	char text[512];

	(void)state;
	take_and_give_back(&r);
	kit_redis_ask(server, text, sizeof(text), "INFO", "keyspace", NULL);
	assert_non_null(strstr(text, "db3:"));
	assert_null(strstr(text, "db0:"));
	rig_close(&r);
	kit_redis_stop(server);
}

static void a_refused_login_is_told_in_the_servers_words(void **state)
{
	static const char *const extra[] = { "--requirepass", "right", NULL };
	static const struct {
		const char *login, *rest, *words;
		int status;
	} rows[] = {
		{ ":wrong@", "", "WRONGPASS", PMZ_E_DENIED },
		{ "nobody:right@", "", "WRONGPASS", PMZ_E_DENIED },
		{ "", "", "NOAUTH", PMZ_E_DENIED },
		{ ":right@", "/9999", "out of range", PMZ_E_REPLY },
	};
	kit_redis *server = kit_redis_start(extra);
	size_t i;

	(void)state;
	for (i = 0; i < KIT_COUNT(rows); i++) {
		rig r = rig_to(rows[i].login, kit_redis_port(server),
		               rows[i].rest);
		pmz_lock_op op;
		pmz_why why;

		begin_acquire(&op, "x", LONG);
		kit_expect_row(i, finish(&r, &op, NULL, &why), rows[i].status,
		               pmz_status_name);
		if (!strstr(why.text, rows[i].words))
			fail_msg("row %zu: %s", i, why.text);
		rig_close(&r);
	}
	assert_int_equal(kit_redis_count(server, "DBSIZE", NULL), 0);
	kit_redis_stop(server);
}

/* -- what goes over the wire */

#define GRANTED "+1 7 0\r\n"
#define BUSY "+0 0 5000\r\n"
#define DONE "+1\r\n"

static void nothing_goes_before_the_login_is_answered(void **state)
{
	stage s = stage_open();
	rig r = rig_to("u:p@", s.port, "/3");
	pmz_lock_op op;

	(void)state;
	begin_acquire(&op, "x", LONG);
	send_next(&r, &op);
	stage_accept(&s);
	push(&r);
	stage_hears(&s, "$4\r\nAUTH\r\n$1\r\nu\r\n$1\r\np\r\n");
	stage_hears(&s, "SELECT\r\n$1\r\n3\r\n");
	stage_says(&s, "+OK\r\n");
	push(&r);
	stage_hears_no_more(&s);
	assert_null(strstr(s.heard, "lock:x"));
	stage_says(&s, "+OK\r\n");
	push(&r);
	stage_hears(&s, "lock:x");
	stage_says(&s, GRANTED);
	expect_status(finish(&r, &op, NULL, NULL), PMZ_OK);
	rig_close(&r);
	stage_close(&s);
}

static void a_late_answer_is_not_taken_for_the_next_ops(void **state)
{
	stage s = stage_open();
	rig r = rig_to("", s.port, "");
	pmz_lock_op first, before, next;
	pmz_lease lease;

	(void)state;
	begin_acquire(&first, "x", LONG);
	send_next(&r, &first);
	r.link->type->forget(r.link, &first, pmz_now());
	before = first;
	begin_acquire(&next, "y", LONG);
	send_next(&r, &next);
	stage_accept(&s);
	push(&r);
	stage_hears(&s, "lock:y");
	stage_says(&s, BUSY);
	push(&r);
	stage_says(&s, GRANTED);
	expect_status(finish(&r, &next, &lease, NULL), PMZ_OK);
	assert_int_equal(lease.fence, 7);
	assert_memory_equal(&first, &before, sizeof(first));
	rig_close(&r);
	stage_close(&s);
}

/* One command that is answered. */
static void exchange(const rig *r, stage *s)
{
	pmz_lock_op op;

	begin_acquire(&op, "x", LONG);
	send_next(r, &op);
	if (s->client < 0)
		stage_accept(s);
	push(r);
	stage_hears(s, "lock:x");
	s->len = 0;
	stage_says(s, GRANTED);
	expect_status(finish(r, &op, NULL, NULL), PMZ_OK);
}

static void an_idle_connection_that_was_closed_is_not_written_to(void **state)
{
	stage s = stage_open();
	rig r = rig_to("", s.port, "");

	(void)state;
	exchange(&r, &s);
	close(s.client);
	s.client = -1;
	kit_doze(20);
	exchange(&r, &s);
	assert_false(stage_is_visited(&s));
	rig_close(&r);
	stage_close(&s);
}

/* Taken for the next command's answer it would grant a lock that is held. */
static void what_nobody_asked_for_ends_an_idle_connection(void **state)
{
	stage s = stage_open();
	rig r = rig_to("", s.port, "");
	int old;

	(void)state;
	exchange(&r, &s);
	stage_says(&s, GRANTED);
	kit_doze(20);
	old = s.client;
	s.client = -1;
	exchange(&r, &s);
	close(old);
	rig_close(&r);
	stage_close(&s);
}

/* An end behind an answer that nobody has read. */
static void an_answer_that_has_lain_there_hides_no_end(void **state)
{
	stage s = stage_open();
	rig r = rig_to("", s.port, "");
	pmz_lock_rules rules = rules_of(LONG);
	pmz_lease lease = { .name = "x", .token = "t", .ttl = PMZ_S(30) };
	pmz_lock_op op;

	(void)state;
	begin_acquire(&op, "y", LONG);
	send_next(&r, &op);
	stage_accept(&s);
	push(&r);
	stage_hears(&s, "lock:y");
	r.link->type->forget(r.link, &op, pmz_now());
	stage_says(&s, GRANTED);
	kit_doze(5); /* so that it is long ago */
	close(s.client);
	s.client = -1;
	kit_doze(20);
	lease.until = pmz_now() + PMZ_S(30);
	lease.opaque[0] = 1; /* an acquire of it may be under way */
	expect_status(pmz_lock_op_release(&op, &rules, &lease, pmz_now(), NULL),
	              PMZ_OK);
	send_next(&r, &op);
	assert_true(stage_is_visited(&s));
	stage_accept(&s);
	stage_says(&s, "$1\r\n1\r\n");
	expect_status(finish(&r, &op, NULL, NULL), PMZ_OK);
	rig_close(&r);
	stage_close(&s);
}

static void an_abandon_goes_behind_what_is_overdue(void **state)
{
	stage s = stage_open();
	rig r = rig_to("", s.port, "");
	pmz_lock_op op;
	pmz_why why;

	(void)state;
	begin_acquire(&op, "x", SHORT);
	send_next(&r, &op);
	stage_accept(&s);
	expect_status(finish(&r, &op, NULL, &why), PMZ_E_IO);
	assert_non_null(strstr(why.text, "no answer within 60 ms"));
	stage_hears_the_end(&s);
	assert_non_null(strstr(s.heard, "EVALSHA"));
	assert_non_null(strstr(s.heard, "$4\r\nEVAL\r\n"));
	assert_true(strstr(s.heard, "$4\r\nEVAL\r\n") >
	            strstr(s.heard, "EVALSHA"));
	assert_false(stage_is_visited(&s));
	rig_close(&r);
	stage_close(&s);
}

static void lose_one(const rig *r, stage *s)
{
	pmz_lock_op op;

	begin_acquire(&op, "lost", SHORT);
	send_next(r, &op);
	stage_accept(s);
	expect_status(finish(r, &op, NULL, NULL), PMZ_E_IO);
	close(s->client);
	s->client = -1;
}

static void an_abandon_without_answer_is_sent_first_on_the_next(void **state)
{
	stage s = stage_open();
	rig r = rig_to("", s.port, "");
	pmz_lock_op op;

	(void)state;
	lose_one(&r, &s);
	begin_acquire(&op, "x", LONG);
	send_next(&r, &op);
	stage_accept(&s);
	push(&r);
	stage_hears(&s, "lock:x");
	assert_non_null(strstr(s.heard, "{lock:lost}:x:"));
	assert_true(strstr(s.heard, "{lock:lost}:x:") <
	            strstr(s.heard, "lock:x"));
	stage_says(&s, DONE GRANTED);
	expect_status(finish(&r, &op, NULL, NULL), PMZ_OK);
	rig_close(&r);
	stage_close(&s);
}

static void what_was_owed_and_is_answered_is_not_sent_again(void **state)
{
	stage s = stage_open();
	rig r = rig_to("", s.port, "");
	pmz_lock_op op;

	(void)state;
	lose_one(&r, &s);
	begin_acquire(&op, "x", LONG);
	send_next(&r, &op);
	stage_accept(&s);
	stage_says(&s, DONE GRANTED);
	expect_status(finish(&r, &op, NULL, NULL), PMZ_OK);
	close(s.client);
	s.client = -1;
	kit_doze(20);
	exchange(&r, &s);
	assert_null(strstr(s.heard, "lost"));
	rig_close(&r);
	stage_close(&s);
}

static void what_was_owed_and_is_turned_down_is_sent_again(void **state)
{
	stage s = stage_open();
	rig r = rig_to("", s.port, "");
	pmz_lock_op op;

	(void)state;
	lose_one(&r, &s);
	begin_acquire(&op, "x", LONG);
	send_next(&r, &op);
	stage_accept(&s);
	stage_says(&s, "-LOADING it\r\n" GRANTED);
	expect_status(finish(&r, &op, NULL, NULL), PMZ_OK);
	stage_hears(&s, "$6\r\nlock:x");
	s.len = 0;
	begin_peek(&op, "y", LONG);
	send_next(&r, &op);
	push(&r);
	stage_hears(&s, "lock:y");
	assert_non_null(strstr(s.heard, "{lock:lost}:x:"));
	r.link->type->forget(r.link, &op, pmz_now());
	rig_close(&r);
	stage_close(&s);
}

/* Another lane of the same node pays as well. */
static void what_one_link_owes_another_sends(void **state)
{
	stage s = stage_open();
	rig r = rig_to("", s.port, "");
	rig other = { r.node, r.node->type->connect(r.node) };
	pmz_lock_op op;

	(void)state;
	lose_one(&r, &s);
	r.link->type->free(r.link);
	begin_acquire(&op, "x", LONG);
	send_next(&other, &op);
	stage_accept(&s);
	push(&other);
	stage_hears(&s, "{lock:lost}:x:");
	other.link->type->forget(other.link, &op, pmz_now());
	rig_close(&other);
	stage_close(&s);
}

/* Its lane may never be used again, and its bytes may be lost. */
static void what_a_link_waits_for_too_long_another_sends(void **state)
{
	stage s = stage_open();
	rig r = rig_to("", s.port, "");
	rig other = { r.node, r.node->type->connect(r.node) };
	pmz_lock_op op;
	int silent;

	(void)state;
	begin_acquire(&op, "lost", LONG);
	send_next(&r, &op);
	stage_accept(&s);
	pmz_lock_op_cancel(&op, pmz_now());
	expect_status(finish(&r, &op, NULL, NULL), PMZ_CANCELLED);
	stage_hears(&s, "{lock:lost}:x:");
	silent = s.client;
	s.len = 0;
	kit_doze(PMZ__OWED_AGAIN_NS / PMZ_MS(1) + 1);
	begin_acquire(&op, "x", LONG);
	send_next(&other, &op);
	stage_accept(&s);
	push(&other);
	stage_hears(&s, "{lock:lost}:x:");
	other.link->type->forget(other.link, &op, pmz_now());
	close(silent);
	r.link->type->free(r.link);
	rig_close(&other);
	stage_close(&s);
}

static void a_time_out_without_an_abandon_resets_the_connection(void **state)
{
	stage s = stage_open();
	rig r = rig_to("", s.port, "");
	pmz_lock_op op;
	char byte;

	(void)state;
	begin_peek(&op, "x", SHORT);
	send_next(&r, &op);
	stage_accept(&s);
	expect_status(finish(&r, &op, NULL, NULL), PMZ_E_IO);
	stage_hears(&s, "lock:x");
	assert_true(is_readable(s.client, PATIENCE_MS));
	assert_int_equal(recv(s.client, &byte, 1, 0), -1);
	assert_int_equal(errno, ECONNRESET);
	rig_close(&r);
	stage_close(&s);
}

static void one_ops_time_out_sends_the_others_to_a_new_connection(void **state)
{
	stage s = stage_open();
	rig r = rig_to("", s.port, "");
	pmz_lock_op hung, op;
	int old;

	(void)state;
	begin_peek(&hung, "hung", SHORT);
	begin_peek(&op, "x", LONG);
	send_next(&r, &hung);
	send_next(&r, &op);
	stage_accept(&s);
	old = s.client;
	expect_status(finish(&r, &hung, NULL, NULL), PMZ_E_IO);
	step(&r, &op, 0);
	stage_accept(&s);
	push(&r);
	stage_hears(&s, "lock:x");
	assert_null(strstr(s.heard, "hung"));
	stage_says(&s, "+0 0 0 \r\n");
	expect_status(finish(&r, &op, NULL, NULL), PMZ_REFUSED_EMPTY);
	close(old);
	rig_close(&r);
	stage_close(&s);
}

static void nonsense_is_told_and_ends_the_connection(void **state)
{
	static const char *const rows[] = {
		"HTTP/1.1 400 Bad Request\r\n\r\n",
		"*1\r\n+1 7 0\r\n",
		"*0\r\n",
		"$-7\r\n",
		"*3000000000\r\n",
		"%1\r\n+a\r\n+b\r\n",
	};
	size_t i;

	(void)state;
	for (i = 0; i < KIT_COUNT(rows); i++) {
		stage s = stage_open();
		rig r = rig_to("", s.port, "");
		pmz_lock_op op;

		begin_peek(&op, "x", LONG);
		send_next(&r, &op);
		stage_accept(&s);
		stage_says(&s, rows[i]);
		kit_expect_row(i, finish(&r, &op, NULL, NULL), PMZ_E_REPLY,
		               pmz_status_name);
		stage_hears_the_end(&s);
		rig_close(&r);
		stage_close(&s);
	}
}

static void half_an_answer_is_none(void **state)
{
	stage s = stage_open();
	rig r = rig_to("", s.port, "");
	pmz_lock_op op;
	pmz_lock_order order;

	(void)state;
	begin_peek(&op, "x", LONG);
	send_next(&r, &op);
	stage_accept(&s);
	stage_says(&s, "$6\r\n1 7");
	push(&r);
	assert_int_equal(pmz_lock_op_next(&op, pmz_now(), &order),
	                 PMZ_LOCK_READ);
	close(s.client);
	push(&r);
	/* It breaks once, so it is asked once more, elsewhere. */
	send_next(&r, &op);
	stage_accept(&s);
	stage_says(&s, "$6\r\n0 0 0 \r\n");
	expect_status(finish(&r, &op, NULL, NULL), PMZ_REFUSED_EMPTY);
	rig_close(&r);
	stage_close(&s);
}

/* -- connecting */

/* The words of the failure. */
static void try_order(const rig *r, uint32_t urgent, char *text, size_t len)
{
	pmz_lock_order order;
	pmz_lock_op op;
	pmz_lease lease;
	pmz_why why;
	pmz_ns now = pmz_now();

	begin_peek(&op, "x", LONG);
	assert_int_equal(pmz_lock_op_next(&op, now, &order), PMZ_LOCK_SEND);
	order.urgent = urgent;
	r->link->type->send(r->link, &op, &order, now);
	while (step(r, &op, LONG))
		;
	r->link->type->forget(r->link, &op, pmz_now());
	expect_status(pmz_lock_op_end(&op, &lease, &why), PMZ_E_IO);
	snprintf(text, len, "%s", why.text);
}

static void a_server_that_refuses_rests_but_what_is_urgent_goes(void **state)
{
	uint16_t port;
	int reserved = kit_port_reserve(&port);
	rig r = rig_to("", port, "");
	char text[192];

	(void)state;
	try_order(&r, 1, text, sizeof(text));
	assert_non_null(strstr(text, "connect: Connection refused"));
	try_order(&r, 0, text, sizeof(text));
	assert_non_null(strstr(text, "resting after"));
	try_order(&r, 1, text, sizeof(text));
	assert_non_null(strstr(text, "connect: Connection refused"));
	rig_close(&r);
	close(reserved);
}

/* A label of 64 bytes is none, so that no name server is asked. */
static void a_name_that_does_not_exist_is_told(void **state)
{
	rig r = rig_open("redis://no-such-"
	                 "host-host-host-host-host-host-host-host-"
	                 "host-host-host-host");
	char text[192];

	(void)state;
	try_order(&r, 1, text, sizeof(text));
	assert_non_null(strstr(text, "look-up of no-such-host"));
	rig_close(&r);
}

/* Nothing accepts on it, and its queue is full: a connect is never answered. */
typedef struct silence {
	int listener;
	int visitors[4];
	pmz__place place;
} silence;

static pmz__place place_at(uint16_t port)
{
	struct sockaddr_in at = kit_loopback(port);
	pmz__place p;

	memset(&p, 0, sizeof(p));
	memcpy(&p.at, &at, sizeof(at));
	p.len = sizeof(at);
	return p;
}

static void silence_open(silence *s)
{
	uint16_t port;
	size_t i;

	s->listener = kit_port_reserve(&port);
	assert_int_equal(listen(s->listener, 0), 0);
	s->place = place_at(port);
	for (i = 0; i < KIT_COUNT(s->visitors); i++) {
		s->visitors[i] =
			socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		connect(s->visitors[i], (struct sockaddr *)&s->place.at,
		        s->place.len);
	}
}

static void silence_close(silence *s)
{
	size_t i;

	for (i = 0; i < KIT_COUNT(s->visitors); i++)
		close(s->visitors[i]);
	close(s->listener);
}

static pmz__dialled dial(pmz__dial *d, pmz_ns patience)
{
	pmz__dialled step;

	pmz__dial_begin(d, pmz_now() + patience);
	while ((step = pmz__dial_go_on(d, pmz_now())) == PMZ__DIAL_BUSY) {
		struct pollfd p = { d->fd, POLLOUT, 0 };

		poll(&p, 1, 5);
	}
	return step;
}

static void every_place_of_a_name_is_tried(void **state)
{
	stage s = stage_open();
	silence silent;
	uint16_t port;
	int reserved = kit_port_reserve(&port);
	pmz__dial d;

	(void)state;
	silence_open(&silent);
	memset(&d, 0, sizeof(d));
	d.places.count = 3;
	d.places.place[0] = place_at(port);
	d.places.place[1] = silent.place;
	d.places.place[2] = place_at(s.port);
	assert_int_equal(dial(&d, PMZ_MS(200)), PMZ__DIAL_OPEN);
	assert_true(stage_is_visited(&s));
	pmz__dial_end(&d);
	close(reserved);
	silence_close(&silent);
	stage_close(&s);
}

static void all_places_share_one_deadline(void **state)
{
	silence silent;
	pmz__dial d;
	pmz_ns began = pmz_now();
	uint32_t i;

	(void)state;
	silence_open(&silent);
	memset(&d, 0, sizeof(d));
	d.places.count = PMZ__PLACES_MAX;
	for (i = 0; i < d.places.count; i++)
		d.places.place[i] = silent.place;
	assert_int_equal(dial(&d, PMZ_MS(400)), PMZ__DIAL_FAILED);
	assert_int_equal(d.error, ETIMEDOUT);
	assert_true(pmz_now() - began < PMZ_MS(800));
	silence_close(&silent);
}

/* -- many ops on one connection */

#define CROWD 100
/* More than a connection takes that is not read from. */
#define FLOOD 9000

static void a_hundred_ops_have_their_answers_in_order(void **state)
{
	static pmz_lock_op ops[CROWD];
	stage s = stage_open();
	rig r = rig_to("", s.port, "");
	char line[32];
	unsigned i;

	(void)state;
	begin_acquire(&ops[0], "x", LONG);
	send_next(&r, &ops[0]);
	stage_accept(&s);
	stage_says(&s, BUSY);
	expect_status(finish(&r, &ops[0], NULL, NULL), PMZ_REFUSED_HELD);
	for (i = 0; i < CROWD; i++) {
		begin_acquire(&ops[i], "x", LONG);
		send_next(&r, &ops[i]);
	}
	for (i = 0; i < CROWD; i++) {
		pmz_lease lease;

		snprintf(line, sizeof(line), "+1 %u 0\r\n", 1000 + i);
		stage_says(&s, line);
		expect_status(finish(&r, &ops[i], &lease, NULL), PMZ_OK);
		assert_int_equal(lease.fence, 1000 + i);
	}
	rig_close(&r);
	stage_close(&s);
}

static const char *a_long_name(void)
{
	static char name[PMZ_LOCK_NAME_MAX + 1];

	memset(name, 'n', sizeof(name) - 1);
	return name;
}

/* Returns which op was the first to be turned away; the others are out. */
static unsigned flood(const rig *r, pmz_lock_op *ops, const char *name)
{
	pmz_lock_order order;
	unsigned i;

	for (i = 0; i < FLOOD; i++) {
		begin_acquire(&ops[i], name, LONG);
		send_next(r, &ops[i]);
		if (pmz_lock_op_next(&ops[i], pmz_now(), &order) !=
		    PMZ_LOCK_READ)
			return i;
	}
	fail_msg("nobody was turned away");
	return i;
}

static void expect_turned_away(const rig *r, pmz_lock_op *op)
{
	pmz_why why;

	expect_status(finish(r, op, NULL, &why), PMZ_E_IO);
	assert_non_null(strstr(why.text, "too much waits"));
}

static void forget_all(const rig *r, pmz_lock_op *ops, unsigned count)
{
	while (count--)
		r->link->type->forget(r->link, &ops[count], pmz_now());
}

static void a_server_that_does_not_read_is_sent_only_so_much(void **state)
{
	const char *const names[] = { "x", a_long_name() };
	pmz_lock_op *ops = malloc(FLOOD * sizeof(*ops));
	size_t i;

	(void)state;
	assert_non_null(ops);
	for (i = 0; i < KIT_COUNT(names); i++) {
		stage s = stage_open();
		rig r = rig_to("", s.port, "");
		unsigned out = flood(&r, ops, names[i]);

		assert_true(out > CROWD);
		expect_turned_away(&r, &ops[out]);
		forget_all(&r, ops, out);
		rig_close(&r);
		stage_close(&s);
	}
	free(ops);
}

/* Counts the commands that come while the link goes on. */
static unsigned commands_heard(const stage *s, const rig *r, pmz_ns now)
{
	static const char word[] = "EVAL";
	char bytes[65536];
	unsigned count = 0, at = 0;
	ssize_t n = 1, i;

	while (n > 0 && is_readable(s->client, 100)) {
		n = recv(s->client, bytes, sizeof(bytes), 0);
		for (i = 0; i < n; i++) {
			at = bytes[i] == word[at] ? at + 1
			                          : bytes[i] == word[0];
			count += at == sizeof(word) - 1;
			at %= sizeof(word) - 1;
		}
		r->link->type->go_on(r->link, now);
	}
	return count;
}

/* An acquire that may have been written has something to take back. */
static unsigned written_of(pmz_lock_op *ops, unsigned count, pmz_ns now)
{
	pmz_lock_order order;
	unsigned n = 0;

	while (count--)
		n += pmz_lock_op_next(&ops[count], now, &order) !=
		     PMZ_LOCK_DONE;
	return n;
}

static void what_could_not_be_written_in_time_never_leaves(void **state)
{
	pmz_lock_op *ops = malloc(FLOOD * sizeof(*ops));
	stage s = stage_open();
	rig r = rig_to("", s.port, "");
	pmz_ns late = pmz_now() + PMZ_S(60);
	unsigned out, written;
	pmz__wants wants;

	(void)state;
	assert_non_null(ops);
	out = flood(&r, ops, a_long_name());
	stage_accept(&s);
	r.link->type->wants(r.link, &wants);
	assert_true(wants.events & POLLOUT);
	r.link->type->go_on(r.link, late);
	written = written_of(ops, out, late);
	assert_in_range(written, 1, out - 1);
	assert_in_range(commands_heard(&s, &r, late), 1, written);
	forget_all(&r, ops, out);
	rig_close(&r);
	free(ops);
	stage_close(&s);
}

static void an_answer_without_an_end_ends_the_connection(void **state)
{
	static char bytes[1 << 16];
	stage s = stage_open();
	rig r = rig_to("", s.port, "");
	pmz_lock_op op;
	pmz_why why;
	unsigned i;

	(void)state;
	memset(bytes, 'x', sizeof(bytes));
	begin_acquire(&op, "x", LONG);
	send_next(&r, &op);
	stage_accept(&s);
	stage_says(&s, "$100000000\r\n");
	for (i = 0; i < 100 && step(&r, &op, PMZ_MS(100)); i++)
		if (send(s.client, bytes, sizeof(bytes),
		         MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
			continue;
	expect_status(finish(&r, &op, NULL, &why), PMZ_E_REPLY);
	assert_non_null(strstr(why.text, "too long"));
	rig_close(&r);
	stage_close(&s);
}

/* -- the servers of a cluster, played by hand */

static rig rig_to_cluster(uint16_t port)
{
	char address[64];

	snprintf(address, sizeof(address), "redis+cluster://127.0.0.1:%u",
	         (unsigned)port);
	return rig_open(address);
}

static void stage_redirects(const stage *s, const char *how, const stage *to)
{
	char text[64];

	snprintf(text, sizeof(text), "-%s 7 127.0.0.1:%u\r\n", how,
	         (unsigned)to->port);
	stage_says(s, text);
}

static void stage_says_it_has_all(const stage *s)
{
	char text[100];

	snprintf(text, sizeof(text),
	         "*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$9\r\n127.0.0.1\r\n"
	         ":%u\r\n",
	         (unsigned)s->port);
	stage_says(s, text);
}

/* Op 0 is out on `first` and op 1 on `second`. */
static rig open_both(stage *first, stage *second, pmz_lock_op ops[2])
{
	rig r = rig_to_cluster(first->port);

	begin_acquire(&ops[1], "y", LONG);
	send_next(&r, &ops[1]);
	stage_accept(first);
	push(&r);
	stage_hears(first, "CLUSTER");
	stage_redirects(first, "MOVED", second);
	while (!stage_is_visited(second))
		step(&r, &ops[1], PMZ_MS(1));
	stage_accept(second);
	stage_says_it_has_all(first);
	push(&r);
	begin_acquire(&ops[0], "x", LONG);
	send_next(&r, &ops[0]);
	push(&r);
	stage_hears(first, "lock:x");
	stage_hears(second, "lock:y");
	return r;
}

static int is_awake(const rig *r, int ms)
{
	pmz__wants wants;
	struct pollfd p;

	r->link->type->wants(r->link, &wants);
	p.fd = wants.fd;
	p.events = wants.events;
	return poll(&p, 1, ms) > 0;
}

static void two_servers_of_a_cluster_are_waited_for_as_one(void **state)
{
	unsigned i;

	(void)state;
	for (i = 0; i < 2; i++) {
		stage s[2] = { stage_open(), stage_open() };
		pmz_lock_op ops[2];
		rig r = open_both(&s[0], &s[1], ops);

		while (is_awake(&r, 0))
			push(&r);
		stage_says(&s[i], GRANTED);
		assert_true(is_awake(&r, PATIENCE_MS));
		expect_status(finish(&r, &ops[i], NULL, NULL), PMZ_OK);
		stage_says(&s[!i], GRANTED);
		expect_status(finish(&r, &ops[!i], NULL, NULL), PMZ_OK);
		rig_close(&r);
		stage_close(&s[0]);
		stage_close(&s[1]);
	}
}

static void a_server_that_has_left_a_cluster_is_forgotten(void **state)
{
	stage s[2] = { stage_open(), stage_open() };
	pmz_lock_op ops[2];
	rig r = open_both(&s[0], &s[1], ops);
	pmz__redis_node *node = (pmz__redis_node *)r.node;
	int i;

	(void)state;
	assert_int_equal(node->host[1]->users, 1);
	pmz__cluster_doubt(node);
	forget_all(&r, ops, 2);
	close(s[0].client);
	close(s[1].client);
	s[1].client = -1;
	/* The kernel brings the ends in its own time. */
	for (i = 0; i < 20; i++) {
		kit_doze(10);
		r.link->type->go_on(r.link, pmz_now());
	}
	begin_acquire(&ops[0], "x", LONG);
	send_next(&r, &ops[0]);
	stage_accept(&s[0]);
	push(&r);
	stage_hears(&s[0], "CLUSTER");
	stage_says(&s[0], GRANTED);
	stage_says_it_has_all(&s[0]);
	expect_status(finish(&r, &ops[0], NULL, NULL), PMZ_OK);
	push(&r);
	assert_false(pmz__cluster_is_stale(node));
	assert_int_equal(node->host[1]->users, 0);
	rig_close(&r);
	stage_close(&s[0]);
	stage_close(&s[1]);
}

/* Else it would find nothing, and be told that the lock was lost. */
static void a_release_that_is_redirected_is_sent_there_once(void **state)
{
	stage s[2] = { stage_open(), stage_open() };
	rig r = rig_to_cluster(s[0].port);
	pmz_lock_rules rules = rules_of(LONG);
	pmz_lease lease = { .name = "x", .token = "t", .ttl = PMZ_S(30) };
	pmz_lock_op op;

	(void)state;
	lease.until = pmz_now() + PMZ_S(30);
	lease.opaque[0] = 1; /* an acquire of it may be under way */
	expect_status(pmz_lock_op_release(&op, &rules, &lease, pmz_now(), NULL),
	              PMZ_OK);
	send_next(&r, &op);
	stage_accept(&s[0]);
	push(&r);
	stage_hears(&s[0], "{lock:x}:x:");
	stage_redirects(&s[0], "MOVED", &s[1]);
	while (!stage_is_visited(&s[1]))
		step(&r, &op, PMZ_MS(1));
	stage_accept(&s[1]);
	push(&r);
	stage_hears(&s[1], "{lock:x}:x:");
	assert_null(strstr(strstr(s[1].heard, "{lock:x}:x:") + 1,
	                   "{lock:x}:x:"));
	stage_says(&s[1], "$1\r\n1\r\n");
	expect_status(finish(&r, &op, NULL, NULL), PMZ_OK);
	rig_close(&r);
	stage_close(&s[0]);
	stage_close(&s[1]);
}

static void a_redirection_to_nowhere_is_told(void **state)
{
	static const char *const rows[] = {
		"-MOVED 7 nowhere\r\n",
		"-MOVED 7 127.0.0.1:0\r\n",
		"-ASK 7 127.0.0.1:65536\r\n",
	};
	size_t i;

	(void)state;
	for (i = 0; i < KIT_COUNT(rows); i++) {
		stage s = stage_open();
		rig r = rig_to_cluster(s.port);
		pmz_lock_op op;

		begin_acquire(&op, "x", LONG);
		send_next(&r, &op);
		stage_accept(&s);
		stage_says(&s, rows[i]);
		kit_expect_row(i, finish(&r, &op, NULL, NULL), PMZ_E_IO,
		               pmz_status_name);
		rig_close(&r);
		stage_close(&s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_lock_is_taken_and_given_back_over_tcp),
		cmocka_unit_test(
			a_lock_is_taken_and_given_back_over_a_unix_socket),
		cmocka_unit_test(answers_of_single_bytes_are_put_together),
		cmocka_unit_test(the_right_password_and_database_are_used),
		cmocka_unit_test(a_refused_login_is_told_in_the_servers_words),
		cmocka_unit_test(nothing_goes_before_the_login_is_answered),
		cmocka_unit_test(a_late_answer_is_not_taken_for_the_next_ops),
		cmocka_unit_test(
			an_idle_connection_that_was_closed_is_not_written_to),
		cmocka_unit_test(what_nobody_asked_for_ends_an_idle_connection),
		cmocka_unit_test(an_answer_that_has_lain_there_hides_no_end),
		cmocka_unit_test(an_abandon_goes_behind_what_is_overdue),
		cmocka_unit_test(
			an_abandon_without_answer_is_sent_first_on_the_next),
		cmocka_unit_test(
			what_was_owed_and_is_answered_is_not_sent_again),
		cmocka_unit_test(
			what_was_owed_and_is_turned_down_is_sent_again),
		cmocka_unit_test(what_one_link_owes_another_sends),
		cmocka_unit_test(what_a_link_waits_for_too_long_another_sends),
		cmocka_unit_test(
			a_time_out_without_an_abandon_resets_the_connection),
		cmocka_unit_test(
			one_ops_time_out_sends_the_others_to_a_new_connection),
		cmocka_unit_test(nonsense_is_told_and_ends_the_connection),
		cmocka_unit_test(half_an_answer_is_none),
		cmocka_unit_test(
			a_server_that_refuses_rests_but_what_is_urgent_goes),
		cmocka_unit_test(a_name_that_does_not_exist_is_told),
		cmocka_unit_test(every_place_of_a_name_is_tried),
		cmocka_unit_test(all_places_share_one_deadline),
		cmocka_unit_test(a_hundred_ops_have_their_answers_in_order),
		cmocka_unit_test(
			a_server_that_does_not_read_is_sent_only_so_much),
		cmocka_unit_test(
			what_could_not_be_written_in_time_never_leaves),
		cmocka_unit_test(an_answer_without_an_end_ends_the_connection),
		cmocka_unit_test(
			two_servers_of_a_cluster_are_waited_for_as_one),
		cmocka_unit_test(a_server_that_has_left_a_cluster_is_forgotten),
		cmocka_unit_test(
			a_release_that_is_redirected_is_sent_there_once),
		cmocka_unit_test(a_redirection_to_nowhere_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
