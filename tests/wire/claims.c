/*
 * claims.c - what is known to go wrong elsewhere on a connection to Redis.
 *
 * The table of all such defects is in tests/unit/claims.c.
 */
#include "expect.h"

#include <fcntl.h>
#include <hiredis/hiredis.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <pipemaze/edge.h>
#include <pipemaze/lock_hiredis.h>

#include "base/atomic.h"
#include "leases.h"
#include "lock/link.h"
#include "redis/open.h"

#define TTL PMZ_S(30)
#define PATIENCE_MS 5000

static int listen_on(uint16_t *port)
{
	int fd = kit_port_reserve(port);

	assert_int_equal(listen(fd, 8), 0);
	return fd;
}

/* -- a server that says a byte now and then, and hangs up in the end */

#define GUESTS 16
#define DRIP_MS 10
#define DRIPS 300

static const char endless[] = "$1000000\r\nxxxxxxxxxxxxxxxx";

static struct {
	struct pollfd fds[1 + GUESTS]; /* the first one listens */
	size_t said[1 + GUESTS];
	nfds_t count;
	uint16_t port;
	pmz__a64 is_over;
	pthread_t thread;
} tap;

static void let_in(void)
{
	if (tap.count > GUESTS || !(tap.fds[0].revents & POLLIN))
		return;
	tap.fds[tap.count].fd = accept(tap.fds[0].fd, NULL, NULL);
	tap.said[tap.count++] = 0;
}

/* Bytes that nobody asked for would be another defect. */
static int is_asked(nfds_t i)
{
	char byte;

	return tap.said[i] ||
	       recv(tap.fds[i].fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

static void drip(nfds_t i)
{
	size_t at = tap.said[i];

	if (!is_asked(i))
		return;
	if (at == sizeof(endless) - 1)
		at--;
	tap.said[i] = at + 1;
	send(tap.fds[i].fd, endless + at, 1, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void *run_tap(void *ctx)
{
	nfds_t i;
	int n;

	(void)ctx;
	for (n = 0; n < DRIPS && !pmz__load(&tap.is_over, PMZ__ACQUIRE); n++) {
		poll(tap.fds, 1, 0);
		let_in();
		for (i = 1; i < tap.count; i++)
			drip(i);
		kit_doze(DRIP_MS);
	}
	for (i = 0; i < tap.count; i++)
		close(tap.fds[i].fd);
	return NULL;
}

static int open_tap(void **state)
{
	(void)state;
	memset(&tap, 0, sizeof(tap));
	tap.fds[0].fd = listen_on(&tap.port);
	tap.fds[0].events = POLLIN;
	tap.count = 1;
	return pthread_create(&tap.thread, NULL, run_tap, NULL);
}

static int close_tap(void **state)
{
	(void)state;
	pmz__store(&tap.is_over, 1, PMZ__RELEASE);
	return pthread_join(tap.thread, NULL);
}

static void expect_back(int64_t then)
{
	assert_in_range(kit_ms_since(then), 0,
	                KIT_CONNECT_MS + KIT_NODE_MS + KIT_LATE_MS +
	                        KIT_LOADED_MS);
}

static void address_of(uint16_t port, char text[64])
{
	snprintf(text, 64, "redis://127.0.0.1:%u", (unsigned)port);
}

/* A time-out of 100 ms is one of each read, so that a server which says a byte
 * now and then is waited for without end: 1.2 s, seen.
 * hiredis@29ea279: redisGetReply() reads until there is a reply, and
 * redisContextSetTimeout() sets SO_RCVTIMEO. */
static void a_trickling_server_is_left_in_time(void **state)
{
	char address[64];
	pmz_locks *locks;
	pmz_lease lease;
	int64_t then;

	(void)state;
	address_of(tap.port, address);
	locks = kit_locks_open(address, NULL);
	then = kit_now();
	expect_status(pmz_lock_acquire(locks, "job", TTL, 0, &lease, NULL),
	              PMZ_E_IO);
	expect_back(then);
	pmz_locks_close(locks);
}

/* The same on the user's own connection, whose time-outs do not count. */
static void a_users_connection_leaves_a_trickling_server_in_time(void **state)
{
	const pmz_lock_rules rules = { .size = sizeof(rules),
		                       .node_timeout_ns = PMZ_MS(KIT_NODE_MS),
		                       .connect_ns = PMZ_MS(KIT_CONNECT_MS) };
	redisContext *c = redisConnect("127.0.0.1", tap.port);
	pmz_lease lease;
	int64_t then;

	(void)state;
	assert_non_null(c);
	assert_int_equal(c->err, 0);
	then = kit_now();
	expect_status(pmz_lock_hiredis_acquire(&c, 1, &rules, "job", TTL, 0,
	                                       &lease, NULL),
	              PMZ_E_IO);
	expect_back(then);
	redisFree(c);
}

/* -- a server that hangs up between two commands */

static volatile sig_atomic_t pipes;

static void count_pipe(int number)
{
	(void)number;
	pipes++;
}

typedef struct line {
	pmz__node *node;
	pmz__link *link;
	int fd; /* that it last waited on; an idle link names none */
} line;

static line line_to(uint16_t port)
{
	char address[64];
	line l = { .fd = -1 };
	pmz_why why;

	address_of(port, address);
	expect_status(pmz__redis_node_new(&l.node, address, PMZ_S(2), &why),
	              PMZ_OK);
	l.link = l.node->type->connect(l.node);
	assert_non_null(l.link);
	return l;
}

static void say(const line *l, pmz_lock_op *op, pmz_ns now)
{
	const uint64_t seed[2] = { pmz_random(), pmz_random() };
	pmz_lock_order order;

	expect_status(
		pmz_lock_op_acquire(op, NULL, "job", TTL, now, seed, now, NULL),
		PMZ_OK);
	assert_int_equal(pmz_lock_op_next(op, now, &order), PMZ_LOCK_SEND);
	l->link->type->send(l->link, op, &order, now);
}

static void await(const line *l, short events)
{
	struct pollfd p = { l->fd, events, 0 };

	assert_true(poll(&p, 1, PATIENCE_MS) > 0);
}

static void await_what_it_wants(line *l)
{
	pmz__wants wants;

	l->link->type->wants(l->link, &wants);
	l->fd = wants.fd;
	await(l, wants.events);
}

/* Returns when the link has had its answer. */
static pmz_ns hear(line *l, pmz_lock_op *op)
{
	pmz_ns now = pmz_now();
	pmz_lock_order order;

	while (pmz_lock_op_next(op, now, &order) == PMZ_LOCK_READ) {
		await_what_it_wants(l);
		now = pmz_now();
		l->link->type->go_on(l->link, now);
	}
	l->link->type->forget(l->link, op, now);
	return now;
}

/* An end first and a reset then: from here on writing is EPIPE. */
static void hang_up(int fd)
{
	const struct linger at_once = { 1, 0 };

	shutdown(fd, SHUT_WR);
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	close(fd);
}

/* Ends a connection on which a command was answered: when that was sent. */
static pmz_ns answer_and_leave(line *l, int listener)
{
	static const char busy[] = "+0 0 5000\r\n";
	pmz_ns now = pmz_now();
	pmz_lock_op op;
	int fd;

	say(l, &op, now);
	fd = accept(listener, NULL, NULL);
	assert_int_equal(send(fd, busy, strlen(busy), MSG_NOSIGNAL),
	                 strlen(busy));
	hear(l, &op);
	hang_up(fd);
	await(l, POLLHUP);
	return now;
}

/* A write to a connection that the server has closed ends the process.
 * hiredis #1229 and #840 (pull request): redisNetWrite() sends without
 * MSG_NOSIGNAL, to hiredis@29ea279. */
static void a_write_to_a_closed_connection_raises_no_signal(void **state)
{
	struct sigaction action = { .sa_handler = count_pipe }, before;
	pmz_lock_op op;
	uint16_t port;
	int listener = listen_on(&port);
	line l = line_to(port);
	pmz_ns now;

	(void)state;
	sigaction(SIGPIPE, &action, &before);
	now = answer_and_leave(&l, listener);
	pipes = 0;
	/* Of this very instant, so that it is written to without a look. */
	say(&l, &op, now);
	assert_int_equal(pipes, 0);
	l.link->type->forget(l.link, &op, now);
	l.link->type->free(l.link);
	l.node->type->free(l.node);
	close(listener);
	sigaction(SIGPIPE, &before, NULL);
}

/* -- a program that is begun while locks are open */

#define DESCRIPTORS 1024

static size_t outlive_an_exec(void)
{
	size_t n = 0;
	int fd;

	for (fd = 0; fd < DESCRIPTORS; fd++) {
		int flags = fcntl(fd, F_GETFD);

		n += flags >= 0 && !(flags & FD_CLOEXEC);
	}
	return n;
}

/* A connection that a new program inherits stays open behind whoever made it.
 * hiredis@29ea279: redisCreateSocket() in net.c sets SOCK_CLOEXEC only with
 * REDIS_OPT_SET_SOCK_CLOEXEC. */
static void no_descriptor_outlives_an_exec(void **state)
{
	kit_redis *server = kit_redis_start(NULL);
	const char *address = kit_redis_address(server);
	size_t before = outlive_an_exec();
	kit_waiter waiter;
	pmz_locks *locks = kit_locks_open(address, NULL);
	pmz_lease lease;

	(void)state;
	expect_status(pmz_lock_acquire(locks, "job", TTL, 0, &lease, NULL),
	              PMZ_OK);
	expect_status(pmz_lock_keep(locks, &lease, PMZ_NEVER), PMZ_OK);
	expect_status(pmz_lock_extend(locks, &lease, TTL), PMZ_OK);
	kit_waiter_start(&waiter, locks, "job", TTL, PMZ_S(5));
	kit_wait_for_listeners(server, 1);
	assert_int_equal(outlive_an_exec(), before);
	expect_status(pmz_lock_release(locks, &lease), PMZ_OK);
	kit_waiter_join(&waiter);
	expect_status(waiter.status, PMZ_OK);
	pmz_locks_close(locks);
	kit_redis_stop(server);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			a_trickling_server_is_left_in_time, open_tap,
			close_tap),
		cmocka_unit_test_setup_teardown(
			a_users_connection_leaves_a_trickling_server_in_time,
			open_tap, close_tap),
		cmocka_unit_test(
			a_write_to_a_closed_connection_raises_no_signal),
		cmocka_unit_test(no_descriptor_outlives_an_exec),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
