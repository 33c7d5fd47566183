/*
 * hiredis.c - locks over a user's own hiredis connections, blocking and on an
 * event loop, before real servers.
 */
#include <errno.h>
#include <fcntl.h>
#include <hiredis/async.h>
#include <hiredis/hiredis.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <pipemaze.h>
#include <pipemaze/lock_hiredis.h>

#include "expect.h"
#include "proxy.h"
#include "redis.h"

#define NODES 3
#define PATIENCE_S 10
#define TTL PMZ_S(30)
#define NO_ANSWER_MS 500

/* Long enough that a busy machine is not a dead node. */
static const pmz_lock_rules patient = {
	.size = sizeof(patient),
	.node_timeout_ns = PMZ_S(5),
};
static const pmz_lock_rules hasty = {
	.size = sizeof(hasty),
	.node_timeout_ns = PMZ_MS(NO_ANSWER_MS),
};

static kit_redis *servers[NODES];
static redisContext *c[NODES];
static pmz_lease lease, other;
static pmz_why why;
static char text[512];

static int start_servers(void **state)
{
	(void)state;
	kit_redis_start_all(servers, NULL, NODES);
	return 0;
}

static int stop_servers(void **state)
{
	(void)state;
	kit_redis_stop_all(servers, NODES);
	return 0;
}

static redisContext *dial(unsigned node)
{
	redisContext *made =
		redisConnect("127.0.0.1", kit_redis_port(servers[node]));

	assert_non_null(made);
	assert_string_equal(made->errstr, "");
	return made;
}

static void hang_up(void)
{
	unsigned i;

	for (i = 0; i < NODES; i++) {
		if (c[i])
			redisFree(c[i]);
		c[i] = NULL;
	}
}

/* A server that is up, with no key, and with the script that sets one: else a
 * late command would do no harm. */
static void refresh(kit_redis *server)
{
	if (!kit_redis_is_up(server))
		kit_redis_restart(server);
	kit_redis_ask(server, text, sizeof(text), "FLUSHALL", NULL);
	kit_redis_ask(server, text, sizeof(text), "SCRIPT", "LOAD",
	              pmz_lock_script(PMZ_LOCK_ACQUIRE), NULL);
	assert_string_equal(text, pmz_lock_script_sha(PMZ_LOCK_ACQUIRE));
}

static int connect_all(void **state)
{
	unsigned i;

	(void)state;
	memset(&lease, 0, sizeof(lease));
	memset(&other, 0, sizeof(other));
	memset(&why, 0, sizeof(why));
	for (i = 0; i < NODES; i++) {
		refresh(servers[i]);
		c[i] = dial(i);
	}
	return 0;
}

static int free_all(void **state)
{
	unsigned i;

	(void)state;
	hang_up();
	for (i = 0; i < NODES; i++)
		if (!kit_redis_is_up(servers[i]))
			kit_redis_restart(servers[i]);
	return 0;
}

static const char *value_on(unsigned node)
{
	return kit_redis_ask(servers[node], text, sizeof(text), "GET",
	                     "lock:job", NULL);
}

static void set_on(unsigned node, const char *value, const char *ms)
{
	char reply[16];

	kit_redis_ask(servers[node], reply, sizeof(reply), "SET", "lock:job",
	              value, "NX", "PX", ms, NULL);
	assert_string_equal(reply, "OK");
}

static int has_tomb(void *ctx)
{
	return kit_redis_count(servers[*(const unsigned *)ctx], "EVAL",
	                       "return #redis.call('keys', ARGV[1])", "0",
	                       "{lock:job}:x:*", NULL) == 1;
}

/* A command that was late has come, and what was to undo it behind it. */
static void expect_undone(unsigned node)
{
	kit_wait(has_tomb, &node, PATIENCE_S, "the try was abandoned");
	assert_string_equal(value_on(node), "(nil)");
}

static int acquire(unsigned count, pmz_ns wait)
{
	return pmz_lock_hiredis_acquire(c, count, &patient, "job", TTL, wait,
	                                &lease, &why);
}

static int acquire_hasty(unsigned count, pmz_ns wait)
{
	return pmz_lock_hiredis_acquire(c, count, &hasty, "job", TTL, wait,
	                                &lease, &why);
}

static int release(unsigned count)
{
	return pmz_lock_hiredis_release(c, count, &patient, &lease, &why);
}

/* The connection answers what it is asked, and not what was asked before. */
static void expect_usable(redisContext *context, const char *word)
{
	redisReply *reply;

	assert_int_equal(context->err, 0);
	reply = redisCommand(context, "ECHO %s", word);
	assert_non_null(reply);
	assert_string_equal(reply->str, word);
	freeReplyObject(reply);
}

static void expect_broken(redisContext *context)
{
	assert_int_not_equal(context->err, 0);
	assert_true(context->errstr[0]);
	assert_null(redisCommand(context, "PING"));
}

/* The bound that the rules give, and as much again for a busy machine. */
static void expect_back_by(pmz_ns start, pmz_ns span)
{
	assert_true(pmz_now() - start < 2 * span + PMZ_S(2));
}

static void a_lock_is_taken_extended_and_given_back(void **state)
{
	pmz_ns until;

	(void)state;
	expect_status(acquire(1, 0), PMZ_OK);
	assert_string_equal(value_on(0), lease.token);
	assert_true(lease.fence > 0);
	until = lease.until;
	expect_status(
		pmz_lock_hiredis_extend(c, 1, NULL, &lease, 2 * TTL, &why),
		PMZ_OK);
	assert_true(lease.until > until + TTL / 2);
	expect_status(release(1), PMZ_OK);
	assert_string_equal(value_on(0), "(nil)");
	assert_string_equal(lease.token, "");
	expect_usable(c[0], "after");
}

static void the_rules_may_be_left_to_the_library(void **state)
{
	(void)state;
	expect_status(pmz_lock_hiredis_acquire(c, NODES, NULL, "job", TTL,
	                                       PMZ_S(5), &lease, NULL),
	              PMZ_OK);
	expect_status(pmz_lock_hiredis_release(c, NODES, NULL, &lease, NULL),
	              PMZ_OK);
}

static void a_lock_of_a_foreign_client_is_seen_and_respected(void **state)
{
	pmz_ns now = pmz_now();

	(void)state;
	set_on(0, "theirs", "30000");
	expect_status(acquire(1, 0), PMZ_REFUSED_HELD);
	assert_string_equal(lease.token, "");
	expect_between(why.ready_at, now + PMZ_S(20), now + PMZ_S(60));
	expect_status(pmz_lock_hiredis_peek(c, 1, NULL, "job", &other, &why),
	              PMZ_OK);
	assert_string_equal(other.token, "theirs");
	assert_string_equal(value_on(0), "theirs");
}

static void a_peek_at_what_nobody_holds_finds_nothing(void **state)
{
	(void)state;
	expect_status(pmz_lock_hiredis_peek(c, 1, NULL, "job", &other, &why),
	              PMZ_REFUSED_EMPTY);
}

static void a_lease_that_is_gone_is_neither_extended_nor_released(void **state)
{
	(void)state;
	expect_status(acquire(1, 0), PMZ_OK);
	kit_redis_ask(servers[0], text, sizeof(text), "DEL", "lock:job", NULL);
	other = lease;
	expect_status(pmz_lock_hiredis_extend(c, 1, NULL, &lease, TTL, &why),
	              PMZ_E_LOST);
	assert_string_equal(lease.token, "");
	lease = other;
	expect_status(release(1), PMZ_E_LOST);
	assert_string_equal(lease.token, "");
}

static void a_waiter_gets_it_when_the_holder_is_through(void **state)
{
	(void)state;
	set_on(0, "theirs", "150");
	expect_status(acquire(1, PMZ_S(20)), PMZ_OK);
	assert_string_equal(value_on(0), lease.token);
	expect_status(release(1), PMZ_OK);
}

static void *release_theirs(void *unused)
{
	char reply[16];

	(void)unused;
	kit_doze(100);
	kit_redis_ask(servers[0], reply, sizeof(reply), "DEL", "lock:job",
	              NULL);
	return NULL;
}

static void a_waiter_gets_it_when_the_holder_releases(void **state)
{
	pthread_t thread;

	(void)state;
	set_on(0, "theirs", "600000");
	pthread_create(&thread, NULL, release_theirs, NULL);
	expect_status(acquire(1, PMZ_S(20)), PMZ_OK);
	pthread_join(thread, NULL);
	expect_status(release(1), PMZ_OK);
}

static void a_script_that_was_flushed_is_sent_again(void **state)
{
	(void)state;
	expect_status(acquire(1, 0), PMZ_OK);
	kit_redis_ask(servers[0], text, sizeof(text), "SCRIPT", "FLUSH", NULL);
	expect_status(release(1), PMZ_OK);
	expect_status(acquire(1, 0), PMZ_OK);
}

static void a_quorum_stands_with_one_server_dead(void **state)
{
	uint64_t fence;

	(void)state;
	kit_redis_kill(servers[1]);
	expect_status(acquire(NODES, 0), PMZ_OK);
	fence = lease.fence;
	assert_true(fence > 0);
	assert_string_equal(value_on(0), lease.token);
	assert_string_equal(value_on(2), lease.token);
	expect_status(release(NODES), PMZ_OK);
	expect_status(acquire(NODES, 0), PMZ_OK);
	assert_true(lease.fence > fence);
	expect_broken(c[1]);
	expect_usable(c[0], "a");
	expect_usable(c[2], "b");
}

static void a_quorum_may_lack_a_context(void **state)
{
	redisContext *kept = c[0];

	(void)state;
	c[0] = NULL;
	expect_status(acquire(NODES, 0), PMZ_OK);
	expect_status(release(NODES), PMZ_OK);
	c[0] = kept;
}

static void two_servers_dead_of_three_leave_nothing_on_the_third(void **state)
{
	(void)state;
	kit_redis_kill(servers[0]);
	kit_redis_kill(servers[1]);
	expect_status(acquire(NODES, PMZ_S(600)), PMZ_E_QUORUM);
	assert_string_equal(value_on(2), "(nil)");
	assert_true(why.text[0]);
	expect_usable(c[2], "alive");
}

static void a_quorum_is_not_stopped_by_a_silent_server(void **state)
{
	pmz_ns start = pmz_now();

	(void)state;
	kit_redis_pause(servers[2]);
	expect_status(acquire_hasty(NODES, 0), PMZ_OK);
	expect_back_by(start, PMZ_MS(NO_ANSWER_MS));
	expect_broken(c[2]);
	expect_usable(c[0], "a");
	expect_usable(c[1], "b");
	expect_status(release(NODES), PMZ_OK);
	kit_redis_go_on(servers[2]);
}

static void a_slow_answer_is_not_taken_for_the_next(void **state)
{
	kit_proxy *slow = kit_proxy_start(kit_redis_port(servers[2]));
	redisContext *direct = c[2];

	(void)state;
	c[2] = redisConnect("127.0.0.1", kit_proxy_port(slow));
	kit_proxy_delay(slow, KIT_REPLIES, 60);
	expect_status(acquire(NODES, 0), PMZ_OK);
	expect_usable(c[2], "mine");
	expect_status(release(NODES), PMZ_OK);
	expect_usable(c[2], "mine too");
	redisFree(c[2]);
	c[2] = direct;
	kit_proxy_stop(slow);
}

static void a_silent_server_costs_its_time_out_and_no_orphan(void **state)
{
	pmz_ns start = pmz_now();

	(void)state;
	kit_redis_pause(servers[0]);
	expect_status(acquire_hasty(1, 0), PMZ_E_IO);
	expect_back_by(start, PMZ_MS(NO_ANSWER_MS));
	assert_string_equal(lease.token, "");
	expect_broken(c[0]);
	kit_redis_go_on(servers[0]);
	expect_undone(0);
}

static void a_long_wait_is_not_sat_out_on_a_dead_connection(void **state)
{
	pmz_ns start = pmz_now();

	(void)state;
	kit_redis_pause(servers[0]);
	expect_status(acquire_hasty(1, PMZ_S(600)), PMZ_E_IO);
	expect_back_by(start, PMZ_MS(NO_ANSWER_MS));
	assert_non_null(strstr(why.text, "no answer in time"));
	kit_redis_go_on(servers[0]);
	expect_undone(0);
}

static void kill_clients(unsigned node)
{
	kit_redis_ask(servers[node], text, sizeof(text), "CLIENT", "KILL",
	              "TYPE", "normal", NULL);
}

static void *close_soon(void *unused)
{
	(void)unused;
	kit_doze(100);
	kill_clients(0);
	return NULL;
}

static void a_connection_that_ends_in_a_wait_ends_it(void **state)
{
	static const pmz_backoff_rule rare = { .size = sizeof(rare),
		                               .base_ns = PMZ_S(600),
		                               .max_ns = PMZ_S(600) };
	pmz_lock_rules rules = patient;
	pmz_ns start = pmz_now();
	pthread_t thread;

	(void)state;
	rules.backoff = &rare;
	set_on(0, "theirs", "600000");
	pthread_create(&thread, NULL, close_soon, NULL);
	expect_status(pmz_lock_hiredis_acquire(c, 1, &rules, "job", TTL,
	                                       PMZ_S(600), &lease, &why),
	              PMZ_E_IO);
	pthread_join(thread, NULL);
	expect_back_by(start, PMZ_S(5));
}

static void a_context_that_the_server_closed_can_come_back(void **state)
{
	(void)state;
	kill_clients(0);
	expect_status(acquire(1, 0), PMZ_E_IO);
	expect_broken(c[0]);
	expect_status(acquire(1, PMZ_S(600)), PMZ_E_IO);
	assert_int_equal(redisReconnect(c[0]), REDIS_OK);
	expect_status(acquire(1, 0), PMZ_OK);
	expect_status(release(1), PMZ_OK);
	expect_usable(c[0], "anew");
}

static void what_is_under_way_on_a_context_is_left_alone(void **state)
{
	void *reply;
	struct pollfd in = { c[1]->fd, POLLIN, 0 };
	int written = 0;

	(void)state;
	redisAppendCommand(c[1], "ECHO yours");
	expect_status(acquire(NODES, 0), PMZ_E_STATE);
	assert_int_equal(why.index, 1);
	redisBufferWrite(c[1], &written);
	assert_int_equal(poll(&in, 1, 1000 * PATIENCE_S), 1);
	expect_status(acquire(NODES, 0), PMZ_E_STATE);
	assert_int_equal(redisGetReply(c[1], &reply), REDIS_OK);
	assert_string_equal(((redisReply *)reply)->str, "yours");
	freeReplyObject(reply);
	assert_string_equal(value_on(0), "(nil)");
	expect_status(acquire(NODES, 0), PMZ_OK);
}

static void a_context_counts_once(void **state)
{
	redisContext *twice[NODES] = { c[0], c[1], c[0] };

	(void)state;
	expect_status(pmz_lock_hiredis_acquire(twice, NODES, NULL, "job", TTL,
	                                       0, &lease, &why),
	              PMZ_E_CONFIG);
	assert_int_equal(why.index, 2);
}

static void there_are_as_many_contexts_as_nodes(void **state)
{
	pmz_lock_rules five = { .size = sizeof(five), .nodes = 5 };

	(void)state;
	expect_status(pmz_lock_hiredis_acquire(c, NODES, &five, "job", TTL, 0,
	                                       &lease, &why),
	              PMZ_E_CONFIG);
	expect_status(pmz_lock_hiredis_acquire(c, 0, NULL, "job", TTL, 0,
	                                       &lease, &why),
	              PMZ_E_CONFIG);
	expect_status(pmz_lock_hiredis_acquire(c, PMZ_LOCK_NODES_MAX + 1, NULL,
	                                       "job", TTL, 0, &lease, &why),
	              PMZ_E_CONFIG);
	expect_status(acquire(1, 0), PMZ_OK);
}

typedef struct settings {
	struct timeval receive, send;
	int fd_flags;
	int blocks;
} settings;

static settings settings_of(const redisContext *context)
{
	settings s;
	socklen_t size = sizeof(s.receive);

	memset(&s, 0, sizeof(s));
	getsockopt(context->fd, SOL_SOCKET, SO_RCVTIMEO, &s.receive, &size);
	size = sizeof(s.send);
	getsockopt(context->fd, SOL_SOCKET, SO_SNDTIMEO, &s.send, &size);
	s.fd_flags = fcntl(context->fd, F_GETFL);
	s.blocks = context->flags & REDIS_BLOCK;
	return s;
}

static void the_settings_of_a_context_stay_as_they_were(void **state)
{
	struct timeval limit = { 7, 0 };
	settings before, after;

	(void)state;
	redisSetTimeout(c[0], limit);
	before = settings_of(c[0]);
	assert_true(before.blocks && !(before.fd_flags & O_NONBLOCK));
	expect_status(acquire(1, 0), PMZ_OK);
	after = settings_of(c[0]);
	assert_memory_equal(&before, &after, sizeof(before));
	kit_redis_pause(servers[0]);
	expect_status(acquire_hasty(1, 0), PMZ_E_IO);
	after = settings_of(c[0]);
	assert_memory_equal(&before, &after, sizeof(before));
	kit_redis_go_on(servers[0]);
}

static void a_context_that_does_not_block_will_do(void **state)
{
	(void)state;
	redisFree(c[0]);
	c[0] = redisConnectNonBlock("127.0.0.1", kit_redis_port(servers[0]));
	expect_status(acquire(1, 0), PMZ_OK);
	expect_status(release(1), PMZ_OK);
	assert_false(c[0]->flags & REDIS_BLOCK);
	assert_true(fcntl(c[0]->fd, F_GETFL) & O_NONBLOCK);
}

static void a_unix_socket_will_do(void **state)
{
	(void)state;
	redisFree(c[0]);
	c[0] = redisConnectUnix(kit_redis_unix(servers[0]));
	expect_status(acquire(1, 0), PMZ_OK);
	expect_status(release(1), PMZ_OK);
}

static int has_pending_sigpipe(void)
{
	sigset_t set;

	sigpending(&set);
	return sigismember(&set, SIGPIPE);
}

/* A paused server does not notice the end of the stream, and cannot say so. */
static void a_closed_connection_does_not_kill_by_sigpipe(void **state)
{
	sigset_t set, before;
	pmz_ns start = pmz_now();

	(void)state;
	signal(SIGPIPE, SIG_DFL);
	sigemptyset(&set);
	sigaddset(&set, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, NULL, &before);
	assert_false(sigismember(&before, SIGPIPE));
	kit_redis_pause(servers[0]);
	shutdown(c[0]->fd, SHUT_WR);
	expect_status(acquire(1, 0), PMZ_E_IO);
	expect_back_by(start, PMZ_S(1));
	expect_broken(c[0]);
	assert_false(has_pending_sigpipe());
	pthread_sigmask(SIG_BLOCK, NULL, &before);
	assert_false(sigismember(&before, SIGPIPE));
	kit_redis_go_on(servers[0]);
}

static void a_sigpipe_of_the_callers_own_stays_pending(void **state)
{
	sigset_t set, before;
	pmz_ns start = pmz_now();
	int taken;

	(void)state;
	sigemptyset(&set);
	sigaddset(&set, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &set, &before);
	pthread_kill(pthread_self(), SIGPIPE);
	kit_redis_pause(servers[0]);
	shutdown(c[0]->fd, SHUT_WR);
	expect_status(acquire(1, 0), PMZ_E_IO);
	expect_back_by(start, PMZ_S(1));
	assert_true(has_pending_sigpipe());
	sigwait(&set, &taken);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	kit_redis_go_on(servers[0]);
}

/* The other end of a connection: says the same whatever it is told. */
typedef struct parrot {
	const char *says;
	int fd;
} parrot;

static void *talk(void *ctx)
{
	const parrot *p = ctx;
	char heard[8192];

	while (recv(p->fd, heard, sizeof(heard), 0) > 0)
		send(p->fd, p->says, strlen(p->says), MSG_NOSIGNAL);
	close(p->fd);
	return NULL;
}

static int acquire_from_parrot(const char *says)
{
	parrot p = { says, -1 };
	redisContext *real = c[0];
	pthread_t thread;
	int ends[2], status;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	p.fd = ends[1];
	pthread_create(&thread, NULL, talk, &p);
	c[0] = redisConnectFd(ends[0]);
	status = acquire(1, PMZ_S(600));
	redisFree(c[0]);
	c[0] = real;
	pthread_join(thread, NULL);
	return status;
}

static void a_key_on_another_node_is_said_to_be_there(void **state)
{
	(void)state;
	expect_status(acquire_from_parrot("-MOVED 42 10.0.0.1:7001\r\n"),
	              PMZ_E_REPLY);
	assert_non_null(strstr(why.text, "10.0.0.1:7001"));
	expect_status(acquire_from_parrot("-ASK 42 10.0.0.1:7001\r\n"),
	              PMZ_E_REPLY);
}

static void nonsense_is_never_a_lease(void **state)
{
	static const struct {
		const char *says;
		int status;
	} rows[] = {
		{ "+PONG\r\n", PMZ_E_REPLY },
		{ "*2\r\n:1\r\n:2\r\n", PMZ_E_REPLY },
		{ "$-1\r\n", PMZ_E_REPLY },
		{ ":7\r\n", PMZ_E_REPLY },
		{ "what\r\n", PMZ_E_IO },
		{ "+PONG\r\n+PONG\r\n", PMZ_E_REPLY },
		{ "-NOAUTH who are you\r\n", PMZ_E_DENIED },
		{ "-NOPERM not you\r\n", PMZ_E_DENIED },
	};
	size_t i;

	(void)state;
	for (i = 0; i < KIT_COUNT(rows); i++) {
		kit_expect_row(i, acquire_from_parrot(rows[i].says),
		               rows[i].status, pmz_status_name);
		assert_string_equal(lease.token, "");
	}
}

/* A loop on poll(), and what hiredis asks of one. */
typedef struct line {
	redisAsyncContext *ac; /* NULL: it is closed */
	int reading, writing;
} line;

typedef struct job {
	pmz_lock_async *async; /* on the heap, and freed when it is done */
	pmz_lock_op *op;
	pmz_ns timer;
	pmz_lease lease;
	int status;
	int done;
} job;

static line lines[NODES + 1];
static redisAsyncContext *ac[NODES];
static job jobs[2];

static void add_read(void *ctx)
{
	((line *)ctx)->reading = 1;
}

static void del_read(void *ctx)
{
	((line *)ctx)->reading = 0;
}

static void add_write(void *ctx)
{
	((line *)ctx)->writing = 1;
}

static void del_write(void *ctx)
{
	((line *)ctx)->writing = 0;
}

static void cleanup(void *ctx)
{
	memset(ctx, 0, sizeof(line));
}

/* What the header asks for. */
static void disconnected(const redisAsyncContext *gone, int status)
{
	unsigned i, j;

	(void)status;
	for (i = 0; i < NODES; i++) {
		if (ac[i] != gone)
			continue;
		ac[i] = NULL;
		for (j = 0; j < KIT_COUNT(jobs); j++)
			if (jobs[j].async)
				pmz_lock_async_use(jobs[j].async, i, NULL);
	}
}

static void connected(const redisAsyncContext *context, int status)
{
	if (status != REDIS_OK)
		disconnected(context, status);
}

static redisAsyncContext *attach(unsigned node)
{
	redisAsyncContext *made =
		redisAsyncConnect("127.0.0.1", kit_redis_port(servers[node]));
	line *l = lines;

	while (l->ac)
		l++;
	l->ac = made;
	made->ev.addRead = add_read;
	made->ev.delRead = del_read;
	made->ev.addWrite = add_write;
	made->ev.delWrite = del_write;
	made->ev.cleanup = cleanup;
	made->ev.data = l;
	redisAsyncSetConnectCallback(made, connected);
	redisAsyncSetDisconnectCallback(made, disconnected);
	l->reading = l->writing = 1;
	return made;
}

static void handle(line *l, short events)
{
	if (l->ac && (events & POLLOUT))
		redisAsyncHandleWrite(l->ac);
	if (l->ac && (events & (POLLIN | POLLHUP | POLLERR)))
		redisAsyncHandleRead(l->ac);
}

static void fire_timers(void)
{
	pmz_ns now = pmz_now();
	unsigned i;

	for (i = 0; i < KIT_COUNT(jobs); i++) {
		job *j = &jobs[i];

		if (!j->async || now < j->timer)
			continue;
		pmz_lock_async_go_on(j->async, now);
		if (j->async)
			j->timer = pmz_lock_async_due(j->async);
	}
}

static int until_timer(void)
{
	pmz_ns now = pmz_now(), first = now + PMZ_MS(100);
	unsigned i;

	for (i = 0; i < KIT_COUNT(jobs); i++)
		if (jobs[i].async && jobs[i].timer < first)
			first = jobs[i].timer;
	return first > now ? (int)((first - now) / PMZ_MS(1)) + 1 : 0;
}

static void turn_loop(void)
{
	struct pollfd fds[KIT_COUNT(lines)];
	unsigned i;

	for (i = 0; i < KIT_COUNT(lines); i++) {
		const line *l = &lines[i];

		fds[i].fd = l->ac ? l->ac->c.fd : -1;
		fds[i].events = (short)((l->reading ? POLLIN : 0) |
		                        (l->writing ? POLLOUT : 0));
		fds[i].revents = 0;
	}
	poll(fds, KIT_COUNT(lines), until_timer());
	for (i = 0; i < KIT_COUNT(lines); i++)
		handle(&lines[i], fds[i].revents);
	fire_timers();
}

/* Both are freed at the first chance that the header gives. */
static void moved(pmz_lock_async *a, int done, void *ctx)
{
	job *j = ctx;

	assert_ptr_equal(a, j->async);
	if (!done) {
		j->timer = pmz_lock_async_due(a);
		return;
	}
	assert_true(pmz_lock_async_is_done(a));
	j->done++;
	j->status = pmz_lock_op_end(j->op, &j->lease, &why);
	free(j->op);
	free(j->async);
	j->op = NULL;
	j->async = NULL;
}

static void loop_until_done(job *j)
{
	pmz_ns limit = pmz_now() + PMZ_S(3 * PATIENCE_S);

	while (!j->done) {
		assert_true(pmz_now() < limit);
		turn_loop();
	}
	assert_int_equal(j->done, 1);
}

static void loop_for(unsigned ms)
{
	pmz_ns until = pmz_now() + PMZ_MS(ms);

	while (pmz_now() < until)
		turn_loop();
}

static job *new_job(unsigned which)
{
	job *j = &jobs[which];

	memset(j, 0, sizeof(*j));
	j->async = malloc(sizeof(*j->async));
	j->op = malloc(sizeof(*j->op));
	return j;
}

static void begin(job *j, unsigned count)
{
	expect_status(pmz_lock_async_start(j->async, ac, count, j->op,
	                                   pmz_now(), moved, j),
	              PMZ_OK);
	assert_int_equal(j->done, 0);
	j->timer = pmz_lock_async_due(j->async);
}

static pmz_lock_rules for_nodes(const pmz_lock_rules *rules, unsigned count)
{
	pmz_lock_rules r = *rules;

	r.nodes = count;
	return r;
}

static job *begin_acquire(unsigned which, unsigned count,
                          const pmz_lock_rules *rules, pmz_ns wait)
{
	pmz_lock_rules r = for_nodes(rules, count);
	uint64_t seed[2] = { pmz_random(), pmz_random() };
	pmz_ns now = pmz_now();
	job *j = new_job(which);

	expect_status(pmz_lock_op_acquire(j->op, &r, "job", TTL, now + wait,
	                                  seed, now, NULL),
	              PMZ_OK);
	begin(j, count);
	return j;
}

static job *begin_release(unsigned which, unsigned count, const pmz_lease *of)
{
	pmz_lock_rules r = for_nodes(&patient, count);
	job *j = new_job(which);

	expect_status(pmz_lock_op_release(j->op, &r, of, pmz_now(), NULL),
	              PMZ_OK);
	begin(j, count);
	return j;
}

static int acquire_async(unsigned count, pmz_ns wait)
{
	job *j = begin_acquire(0, count, &patient, wait);

	loop_until_done(j);
	lease = j->lease;
	return j->status;
}

static int release_async(unsigned count)
{
	job *j = begin_release(0, count, &lease);

	loop_until_done(j);
	return j->status;
}

static int attach_all(void **state)
{
	unsigned i;

	connect_all(state);
	hang_up();
	memset(lines, 0, sizeof(lines));
	memset(jobs, 0, sizeof(jobs));
	for (i = 0; i < NODES; i++)
		ac[i] = attach(i);
	return 0;
}

static int detach_all(void **state)
{
	unsigned i;

	for (i = 0; i < NODES; i++)
		if (ac[i])
			redisAsyncFree(ac[i]);
	for (i = 0; i < KIT_COUNT(jobs); i++) {
		free(jobs[i].async);
		free(jobs[i].op);
	}
	return free_all(state);
}

static void a_loop_takes_a_lock_and_gives_it_back(void **state)
{
	(void)state;
	expect_status(acquire_async(1, 0), PMZ_OK);
	assert_string_equal(value_on(0), lease.token);
	expect_status(release_async(1), PMZ_OK);
	assert_string_equal(value_on(0), "(nil)");
}

static void a_loop_is_told_of_another_holder(void **state)
{
	(void)state;
	set_on(0, "theirs", "30000");
	expect_status(acquire_async(1, 0), PMZ_REFUSED_HELD);
	assert_true(why.ready_at > pmz_now());
}

static void a_loop_waits_until_the_holder_is_through(void **state)
{
	(void)state;
	set_on(0, "theirs", "200");
	expect_status(acquire_async(1, PMZ_S(20)), PMZ_OK);
	assert_string_equal(value_on(0), lease.token);
}

static void two_ops_share_a_context(void **state)
{
	job *first = begin_acquire(0, 1, &patient, 0);
	job *second = begin_acquire(1, 1, &patient, PMZ_S(20));

	(void)state;
	loop_until_done(first);
	expect_status(first->status, PMZ_OK);
	lease = first->lease;
	expect_status(release_async(1), PMZ_OK);
	loop_until_done(second);
	expect_status(second->status, PMZ_OK);
	assert_true(second->lease.fence > lease.fence);
}

static void a_loop_sends_a_flushed_script_again(void **state)
{
	(void)state;
	expect_status(acquire_async(1, 0), PMZ_OK);
	kit_redis_ask(servers[0], text, sizeof(text), "SCRIPT", "FLUSH", NULL);
	expect_status(release_async(1), PMZ_OK);
}

static void a_quorum_on_a_loop_stands_with_one_server_dead(void **state)
{
	(void)state;
	kit_redis_kill(servers[2]);
	expect_status(acquire_async(NODES, 0), PMZ_OK);
	assert_true(lease.fence > 0);
	expect_status(release_async(NODES), PMZ_OK);
	assert_string_equal(value_on(0), "(nil)");
	assert_string_equal(value_on(1), "(nil)");
}

static void connect_for_sure(void)
{
	loop_for(20);
	while (ac[0] && !(ac[0]->c.flags & REDIS_CONNECTED))
		turn_loop();
}

static void answers_after_the_end_harm_nobody(void **state)
{
	pmz_ns start;
	job *j;

	(void)state;
	connect_for_sure();
	kit_redis_pause(servers[0]);
	start = pmz_now();
	j = begin_acquire(0, 1, &hasty, 0);
	loop_until_done(j);
	expect_back_by(start, PMZ_MS(NO_ANSWER_MS));
	expect_status(j->status, PMZ_E_IO);
	kit_redis_go_on(servers[0]);
	loop_for(100);
	assert_int_equal(j->done, 1);
	expect_undone(0);
	expect_status(acquire_async(1, 0), PMZ_OK);
}

static unsigned commands_out(const redisAsyncContext *context)
{
	const redisCallback *at;
	unsigned n = 0;

	for (at = context->replies.head; at; at = at->next)
		n++;
	return n;
}

static void a_silent_server_is_not_asked_without_end(void **state)
{
	static const pmz_backoff_rule often = { .size = sizeof(often),
		                                .base_ns = PMZ_MS(1),
		                                .max_ns = PMZ_MS(1) };
	pmz_lock_rules rules = hasty;
	job *j;

	(void)state;
	connect_for_sure();
	kit_redis_pause(servers[0]);
	rules.node_timeout_ns = PMZ_MS(5);
	rules.backoff = &often;
	j = begin_acquire(0, 1, &rules, PMZ_S(600));
	loop_for(500);
	assert_in_range(commands_out(ac[0]), 10, 20);
	pmz_lock_async_forget(j->async);
	kit_redis_go_on(servers[0]);
}

static void a_server_that_dies_with_commands_out_fails_them(void **state)
{
	job *j;

	(void)state;
	connect_for_sure();
	kit_redis_pause(servers[0]);
	j = begin_acquire(0, 1, &patient, 0);
	loop_for(20);
	kit_redis_kill(servers[0]);
	loop_until_done(j);
	expect_status(j->status, PMZ_E_IO);
	assert_null(ac[0]);
}

static void contexts_may_be_freed_with_commands_out(void **state)
{
	job *j;

	(void)state;
	connect_for_sure();
	kit_redis_pause(servers[0]);
	j = begin_acquire(0, 1, &patient, PMZ_S(600));
	loop_for(20);
	redisAsyncFree(ac[0]);
	assert_null(ac[0]);
	pmz_lock_async_cancel(j->async, pmz_now());
	j->timer = pmz_lock_async_due(j->async);
	loop_until_done(j);
	expect_status(j->status, PMZ_CANCELLED);
	kit_redis_go_on(servers[0]);
}

static void a_context_freed_with_commands_out_is_not_used(void **state)
{
	job *j;

	(void)state;
	connect_for_sure();
	kit_redis_pause(servers[0]);
	j = begin_acquire(0, 1, &patient, PMZ_S(600));
	loop_for(20);
	ac[0]->onDisconnect = NULL;
	redisAsyncFree(ac[0]);
	ac[0] = NULL;
	pmz_lock_async_cancel(j->async, pmz_now());
	j->timer = pmz_lock_async_due(j->async);
	loop_until_done(j);
	expect_status(j->status, PMZ_CANCELLED);
	kit_redis_go_on(servers[0]);
}

static void a_context_may_be_exchanged_while_an_op_waits(void **state)
{
	job *j;

	(void)state;
	set_on(0, "theirs", "600000");
	j = begin_acquire(0, 1, &patient, PMZ_S(20));
	loop_for(100);
	redisAsyncFree(ac[0]);
	assert_null(ac[0]);
	loop_for(100);
	ac[0] = attach(0);
	pmz_lock_async_use(j->async, 0, ac[0]);
	release_theirs(NULL);
	loop_until_done(j);
	expect_status(j->status, PMZ_OK);
	assert_string_equal(value_on(0), j->lease.token);
}

static void a_cancelled_wait_ends_once_and_holds_nothing(void **state)
{
	job *j;

	(void)state;
	set_on(0, "theirs", "600000");
	j = begin_acquire(0, 1, &patient, PMZ_S(600));
	loop_for(50);
	assert_int_equal(j->done, 0);
	pmz_lock_async_cancel(j->async, pmz_now());
	assert_int_equal(j->done, 0);
	j->timer = pmz_lock_async_due(j->async);
	loop_until_done(j);
	expect_status(j->status, PMZ_CANCELLED);
	assert_string_equal(value_on(0), "theirs");
}

static void a_forgotten_op_says_nothing_more(void **state)
{
	job *j;

	(void)state;
	connect_for_sure();
	kit_redis_pause(servers[0]);
	j = begin_acquire(0, 1, &patient, 0);
	loop_for(20);
	pmz_lock_async_forget(j->async);
	assert_true(pmz_lock_async_due(j->async) == PMZ_NEVER);
	free(j->op);
	free(j->async);
	j->op = NULL;
	j->async = NULL;
	kit_redis_go_on(servers[0]);
	loop_for(100);
	assert_int_equal(j->done, 0);
}

static void free_contexts(pmz_lock_async *a, int done, void *ctx)
{
	unsigned i;

	moved(a, done, ctx);
	if (!done)
		return;
	for (i = 0; i < NODES; i++)
		if (ac[i])
			redisAsyncFree(ac[i]);
}

static void contexts_may_be_freed_when_told_of_the_end(void **state)
{
	pmz_lock_rules r = for_nodes(&patient, NODES);
	uint64_t seed[2] = { 1, 2 };
	pmz_ns now = pmz_now();
	job *j = new_job(0);

	(void)state;
	expect_status(pmz_lock_op_acquire(j->op, &r, "job", TTL, now, seed, now,
	                                  NULL),
	              PMZ_OK);
	expect_status(pmz_lock_async_start(j->async, ac, NODES, j->op, now,
	                                   free_contexts, j),
	              PMZ_OK);
	j->timer = pmz_lock_async_due(j->async);
	loop_until_done(j);
	expect_status(j->status, PMZ_OK);
	loop_for(20);
	assert_null(ac[0]);
}

static void without_a_context_the_end_comes_on_the_timer(void **state)
{
	redisAsyncContext *none[NODES] = { NULL };
	pmz_lock_rules r = for_nodes(&patient, NODES);
	uint64_t seed[2] = { 1, 2 };
	pmz_ns now = pmz_now();
	job *j = new_job(0);

	(void)state;
	expect_status(pmz_lock_op_acquire(j->op, &r, "job", TTL, now, seed, now,
	                                  NULL),
	              PMZ_OK);
	expect_status(pmz_lock_async_start(j->async, none, NODES, j->op, now,
	                                   moved, j),
	              PMZ_OK);
	assert_int_equal(j->done, 0);
	assert_true(pmz_lock_async_due(j->async) == 0);
	pmz_lock_async_go_on(j->async, pmz_now());
	assert_int_equal(j->done, 1);
	expect_status(j->status, PMZ_E_QUORUM);
}

static void count_ends(pmz_lock_async *a, int done, void *ctx)
{
	(void)a;
	*(unsigned *)ctx += done == 1;
}

static void the_end_is_told_once(void **state)
{
	pmz_lock_async a;
	pmz_lock_op op;
	unsigned ends = 0;

	(void)state;
	expect_status(pmz_lock_op_peek(&op, NULL, "job", pmz_now(), NULL),
	              PMZ_OK);
	expect_status(pmz_lock_async_start(&a, ac, 1, &op, pmz_now(),
	                                   count_ends, &ends),
	              PMZ_OK);
	loop_for(100);
	while (!pmz_lock_async_is_done(&a))
		turn_loop();
	pmz_lock_async_go_on(&a, pmz_now());
	pmz_lock_async_cancel(&a, pmz_now());
	pmz_lock_async_go_on(&a, pmz_now());
	assert_int_equal(ends, 1);
	assert_true(pmz_lock_async_due(&a) == PMZ_NEVER);
}

static void a_loop_may_ask_instead_of_being_told(void **state)
{
	pmz_lock_async a;
	pmz_lock_op op;
	pmz_ns limit = pmz_now() + PMZ_S(PATIENCE_S);

	(void)state;
	expect_status(pmz_lock_op_peek(&op, NULL, "job", pmz_now(), NULL),
	              PMZ_OK);
	expect_status(
		pmz_lock_async_start(&a, ac, NODES, &op, pmz_now(), NULL, NULL),
		PMZ_E_CONFIG);
	assert_true(pmz_lock_async_is_done(&a));
	expect_status(
		pmz_lock_async_start(&a, ac, 1, &op, pmz_now(), NULL, NULL),
		PMZ_OK);
	while (!pmz_lock_async_is_done(&a) && pmz_now() < limit) {
		turn_loop();
		pmz_lock_async_go_on(&a, pmz_now());
	}
	expect_status(pmz_lock_op_end(&op, &lease, NULL), PMZ_REFUSED_EMPTY);
	assert_true(pmz_lock_async_due(&a) == PMZ_NEVER);
}

static void ignore(redisAsyncContext *context, void *reply, void *ctx)
{
	(void)context;
	(void)reply;
	(void)ctx;
}

static void a_context_that_is_subscribed_counts_as_failed(void **state)
{
	(void)state;
	assert_int_equal(redisAsyncCommand(ac[0], ignore, NULL, "SUBSCRIBE x"),
	                 REDIS_OK);
	expect_status(acquire_async(1, 0), PMZ_E_IO);
	assert_non_null(strstr(why.text, "subscribed"));
	assert_string_equal(value_on(0), "(nil)");
}

static void a_loops_contexts_are_as_many_as_nodes_and_each_once(void **state)
{
	redisAsyncContext *twice[] = { ac[0], ac[1], ac[0] };
	redisAsyncContext *none[NODES] = { NULL };
	pmz_lock_rules r = for_nodes(&patient, NODES);
	job *j = new_job(0);

	(void)state;
	expect_status(pmz_lock_op_peek(j->op, &r, "job", pmz_now(), NULL),
	              PMZ_OK);
	expect_status(pmz_lock_async_start(j->async, twice, NODES, j->op,
	                                   pmz_now(), moved, j),
	              PMZ_E_CONFIG);
	expect_status(pmz_lock_async_start(j->async, ac, NODES - 1, j->op,
	                                   pmz_now(), moved, j),
	              PMZ_E_CONFIG);
	assert_true(pmz_lock_async_is_done(j->async));
	assert_true(pmz_lock_async_due(j->async) == PMZ_NEVER);
	assert_int_equal(j->done, 0);
	expect_status(pmz_lock_async_start(j->async, none, NODES, j->op,
	                                   pmz_now(), moved, j),
	              PMZ_OK);
}

static void sizes_are_known_to_bindings(void **state)
{
	(void)state;
	assert_int_equal(pmz_lock_async_size(), sizeof(pmz_lock_async));
	assert_int_equal(pmz_lock_op_size(), sizeof(pmz_lock_op));
	assert_int_equal(pmz_lock_order_size(), sizeof(pmz_lock_order));
}

#define BLOCKING(name) \
	cmocka_unit_test_setup_teardown(name, connect_all, free_all)
#define LOOP(name) cmocka_unit_test_setup_teardown(name, attach_all, detach_all)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		BLOCKING(a_lock_is_taken_extended_and_given_back),
		BLOCKING(the_rules_may_be_left_to_the_library),
		BLOCKING(a_lock_of_a_foreign_client_is_seen_and_respected),
		BLOCKING(a_peek_at_what_nobody_holds_finds_nothing),
		BLOCKING(a_lease_that_is_gone_is_neither_extended_nor_released),
		BLOCKING(a_waiter_gets_it_when_the_holder_is_through),
		BLOCKING(a_waiter_gets_it_when_the_holder_releases),
		BLOCKING(a_script_that_was_flushed_is_sent_again),
		BLOCKING(a_quorum_stands_with_one_server_dead),
		BLOCKING(a_quorum_may_lack_a_context),
		BLOCKING(two_servers_dead_of_three_leave_nothing_on_the_third),
		BLOCKING(a_quorum_is_not_stopped_by_a_silent_server),
		BLOCKING(a_slow_answer_is_not_taken_for_the_next),
		BLOCKING(a_silent_server_costs_its_time_out_and_no_orphan),
		BLOCKING(a_long_wait_is_not_sat_out_on_a_dead_connection),
		BLOCKING(a_connection_that_ends_in_a_wait_ends_it),
		BLOCKING(a_context_that_the_server_closed_can_come_back),
		BLOCKING(what_is_under_way_on_a_context_is_left_alone),
		BLOCKING(a_context_counts_once),
		BLOCKING(there_are_as_many_contexts_as_nodes),
		BLOCKING(the_settings_of_a_context_stay_as_they_were),
		BLOCKING(a_context_that_does_not_block_will_do),
		BLOCKING(a_unix_socket_will_do),
		BLOCKING(a_closed_connection_does_not_kill_by_sigpipe),
		BLOCKING(a_sigpipe_of_the_callers_own_stays_pending),
		BLOCKING(a_key_on_another_node_is_said_to_be_there),
		BLOCKING(nonsense_is_never_a_lease),
		LOOP(a_loop_takes_a_lock_and_gives_it_back),
		LOOP(a_loop_is_told_of_another_holder),
		LOOP(a_loop_waits_until_the_holder_is_through),
		LOOP(two_ops_share_a_context),
		LOOP(a_loop_sends_a_flushed_script_again),
		LOOP(a_quorum_on_a_loop_stands_with_one_server_dead),
		LOOP(answers_after_the_end_harm_nobody),
		LOOP(a_silent_server_is_not_asked_without_end),
		LOOP(a_server_that_dies_with_commands_out_fails_them),
		LOOP(contexts_may_be_freed_with_commands_out),
		LOOP(a_context_freed_with_commands_out_is_not_used),
		LOOP(a_context_may_be_exchanged_while_an_op_waits),
		LOOP(a_cancelled_wait_ends_once_and_holds_nothing),
		LOOP(a_forgotten_op_says_nothing_more),
		LOOP(contexts_may_be_freed_when_told_of_the_end),
		LOOP(without_a_context_the_end_comes_on_the_timer),
		LOOP(the_end_is_told_once),
		LOOP(a_loop_may_ask_instead_of_being_told),
		LOOP(a_context_that_is_subscribed_counts_as_failed),
		LOOP(a_loops_contexts_are_as_many_as_nodes_and_each_once),
		cmocka_unit_test(sizes_are_known_to_bindings),
	};

	return cmocka_run_group_tests(tests, start_servers, stop_servers);
}
