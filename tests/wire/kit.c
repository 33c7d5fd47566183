/*
 * kit.c - the servers, the proxy and the cluster that wire tests stand on.
 */
#include <errno.h>
#include <linux/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cluster.h"
#include "expect.h"
#include "proxy.h"
#include "redis.h"

#define PATIENCE_MS 10000
#define A_WHILE_MS 50
#define FOR_EVER_MS 600000
#define MANY 16000000
#define SAY_KEY "SET key 1\r\n"

static struct bench {
	kit_redis *server;
	kit_proxy *proxy;
	int clients[4];
	pid_t child;
	kit_cluster *cluster;
} t;

static char text[8192];

static int start_server(void **state)
{
	(void)state;
	t.server = kit_redis_start(NULL);
	return 0;
}

static int start(void **state)
{
	start_server(state);
	t.proxy = kit_proxy_start(kit_redis_port(t.server));
	return 0;
}

/* A child of the test, which does not outlive it; 0 in the child. */
static pid_t new_child(void)
{
	return t.child = kit_fork();
}

static int child_status(void)
{
	int status = 0;

	waitpid(t.child, &status, 0);
	t.child = 0;
	return status;
}

static void end_child(void)
{
	if (!t.child)
		return;
	kill(t.child, SIGKILL);
	child_status();
}

static int stop(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < KIT_COUNT(t.clients); i++) {
		if (t.clients[i])
			close(t.clients[i]);
	}
	end_child();
	kit_proxy_stop(t.proxy);
	kit_redis_stop(t.server);
	memset(&t, 0, sizeof(t));
	return 0;
}

static int dial(uint16_t port)
{
	struct sockaddr_in address = kit_loopback(port);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	close(fd);
	return -1;
}

/* A client of the proxy, closed with the test. */
static int client(void)
{
	size_t i = 0;

	while (t.clients[i])
		i++;
	t.clients[i] = dial(kit_proxy_port(t.proxy));
	assert_true(t.clients[i] > 0);
	return t.clients[i];
}

static void leave(int fd)
{
	size_t i;

	for (i = 0; i < KIT_COUNT(t.clients); i++) {
		if (t.clients[i] == fd)
			t.clients[i] = 0;
	}
	close(fd);
}

static void say(int fd, const char *words)
{
	size_t len = strlen(words);

	assert_int_equal(send(fd, words, len, MSG_NOSIGNAL), len);
}

static int has_more(int fd, int ms)
{
	struct pollfd p = { fd, POLLIN, 0 };

	return poll(&p, 1, ms) == 1;
}

static void expect_text(int fd, const char *want)
{
	size_t len = strlen(want), got = 0;
	ssize_t n;

	while (got < len) {
		assert_true(has_more(fd, PATIENCE_MS));
		n = recv(fd, text + got, len - got, 0);
		assert_true(n > 0);
		got += (size_t)n;
	}
	text[got] = '\0';
	assert_string_equal(text, want);
}

static void expect_silence(int fd)
{
	assert_false(has_more(fd, A_WHILE_MS));
}

static void expect_end(int fd)
{
	assert_true(has_more(fd, PATIENCE_MS));
	assert_true(recv(fd, text, sizeof(text), 0) <= 0);
}

#define expect_answer(server, want, ...)                                      \
	assert_string_equal(                                                  \
		kit_redis_ask(server, text, sizeof(text), __VA_ARGS__, NULL), \
		want)

static int key_is_there(void *ctx)
{
	return kit_redis_count(ctx, "EXISTS", "key", NULL) == 1;
}

static void wait_for_key(void)
{
	kit_wait(key_is_there, t.server, 10, "the key to be set");
}

static void an_answer_is_text(void **state)
{
	kit_redis *r = t.server;

	(void)state;
	expect_answer(r, "OK", "SET", "key", "two words");
	expect_answer(r, "two words", "GET", "key");
	expect_answer(r, "(nil)", "GET", "nothing");
	expect_answer(r, "", "ECHO", "");
	expect_answer(r, "", "LRANGE", "nothing", "0", "-1");
	expect_answer(r, "-7", "DECRBY", "number", "7");
	expect_answer(r,
	              "WRONGTYPE Operation against a key holding the wrong "
	              "kind of value",
	              "LPUSH", "key", "1");
	assert_int_equal(kit_redis_count(r, "GET", "number", NULL), -7);
}

static void the_items_of_arrays_in_arrays_come_in_order(void **state)
{
	(void)state;
	expect_answer(t.server, "1 a 2 (nil) OK 3", "EVAL",
	              "return {1, {'a', {2, false}, redis.status_reply('OK')}, "
	              "{}, 3}",
	              "0");
}

static void an_answer_is_cut_to_fit(void **state)
{
	char few[4];

	(void)state;
	kit_redis_ask(t.server, few, sizeof(few), "ECHO", "12345", NULL);
	assert_string_equal(few, "123");
}

static void an_answer_may_be_longer_than_one_read(void **state)
{
	(void)state;
	kit_redis_ask(t.server, text, sizeof(text), "EVAL",
	              "return string.rep('x', 7000)", "0", NULL);
	assert_int_equal(strspn(text, "x"), 7000);
	assert_int_equal(strlen(text), 7000);
}

static void a_server_takes_more_arguments(void **state)
{
	static const char *const extra[] = { "--requirepass", "secret", NULL };
	kit_redis *r = kit_redis_start(extra);
	int fd = dial(kit_redis_port(r));

	(void)state;
	say(fd, "PING\r\n");
	expect_text(fd, "-NOAUTH");
	close(fd);
	expect_answer(r, "OK", "SET", "key", "1");
	kit_redis_stop(r);
}

static void a_server_is_at_its_unix_socket_too(void **state)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)state;
	snprintf(address.sun_path, sizeof(address.sun_path), "%s",
	         kit_redis_unix(t.server));
	assert_int_equal(
		connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	say(fd, SAY_KEY);
	expect_text(fd, "+OK\r\n");
	close(fd);
	expect_answer(t.server, "1", "GET", "key");
}

static void an_address_names_the_port(void **state)
{
	(void)state;
	snprintf(text, sizeof(text), "redis://127.0.0.1:%u",
	         (unsigned)kit_redis_port(t.server));
	assert_string_equal(kit_redis_address(t.server), text);
	snprintf(text, sizeof(text), "redis://127.0.0.1:%u",
	         (unsigned)kit_proxy_port(t.proxy));
	assert_string_equal(kit_proxy_address(t.proxy), text);
}

static void a_killed_server_refuses_and_comes_back_empty(void **state)
{
	uint16_t port = kit_redis_port(t.server);

	(void)state;
	expect_answer(t.server, "OK", "SET", "key", "1");
	kit_redis_kill(t.server);
	kit_redis_kill(t.server);
	assert_false(kit_redis_is_up(t.server));
	assert_int_equal(dial(port), -1);
	expect_answer(t.server, "(no answer)", "PING");
	kit_redis_restart(t.server);
	assert_true(kit_redis_is_up(t.server));
	assert_int_equal(kit_redis_port(t.server), port);
	expect_answer(t.server, "0", "DBSIZE");
}

static void a_replica_comes_back_empty_too(void **state)
{
	kit_redis *replica = kit_redis_start(NULL);
	char port[8];

	(void)state;
	snprintf(port, sizeof(port), "%u", (unsigned)kit_redis_port(t.server));
	expect_answer(t.server, "OK", "SET", "key", "1");
	expect_answer(replica, "OK", "REPLICAOF", "127.0.0.1", port);
	kit_wait(key_is_there, replica, 20, "a replica to have the key");
	kit_redis_restart(replica);
	expect_answer(replica, "0", "DBSIZE");
	kit_redis_stop(replica);
}

static void a_paused_server_answers_when_it_goes_on(void **state)
{
	int fd = client();

	(void)state;
	kit_redis_pause(t.server);
	assert_false(kit_redis_is_up(t.server));
	say(fd, "PING\r\n");
	expect_silence(fd);
	kit_redis_go_on(t.server);
	assert_true(kit_redis_is_up(t.server));
	expect_text(fd, "+PONG\r\n");
}

static void a_paused_server_can_be_killed_and_stopped(void **state)
{
	kit_redis *r = kit_redis_start(NULL);

	(void)state;
	kit_redis_pause(r);
	kit_redis_kill(r);
	kit_redis_restart(r);
	expect_answer(r, "PONG", "PING");
	kit_redis_pause(r);
	kit_redis_stop(r);
}

static int is_gone(void *ctx)
{
	int fd = dial(*(const uint16_t *)ctx);

	if (fd >= 0)
		close(fd);
	return fd < 0;
}

/* A child starts a server and reports its port and the path of its socket. */
struct news {
	uint16_t port;
	char path[128];
};

static void start_in_child(struct news *news, int lives_on)
{
	int ends[2];

	assert_int_equal(pipe(ends), 0);
	if (new_child() == 0) {
		kit_redis *r = kit_redis_start(NULL);

		news->port = kit_redis_port(r);
		snprintf(news->path, sizeof(news->path), "%s",
		         kit_redis_unix(r));
		(void)!write(ends[1], news, sizeof(*news));
		while (lives_on)
			pause();
		exit(0);
	}
	assert_int_equal(read(ends[0], news, sizeof(*news)), sizeof(*news));
	close(ends[0]);
	close(ends[1]);
}

/* What a killed program had no time for. */
static void remove_files(char *path)
{
	char *name = strrchr(path, '/') + 1;

	unlink(path);
	strcpy(name, "log");
	unlink(path);
	*name = '\0';
	assert_int_equal(rmdir(path), 0);
}

static void a_server_ends_with_a_program_that_is_killed(void **state)
{
	struct news news = { 0, "" };

	(void)state;
	start_in_child(&news, 1);
	assert_false(is_gone(&news.port));
	end_child();
	kit_wait(is_gone, &news.port, 10, "the server of a killed program");
	remove_files(news.path);
}

static void a_server_and_its_files_are_gone_after_exit(void **state)
{
	struct news news = { 0, "" };

	(void)state;
	start_in_child(&news, 0);
	child_status();
	assert_true(is_gone(&news.port));
	assert_int_not_equal(access(news.path, F_OK), 0);
}

static void a_child_that_exits_leaves_the_servers_of_its_parent(void **state)
{
	(void)state;
	if (new_child() == 0)
		exit(0);
	child_status();
	expect_answer(t.server, "PONG", "PING");
}

static void a_missing_server_fails_the_program_and_says_how(void **state)
{
	int ends[2], status;
	FILE *f;

	(void)state;
	assert_int_equal(pipe(ends), 0);
	if (new_child() == 0) {
		dup2(ends[1], STDERR_FILENO);
		setenv("PATH", "/nowhere", 1);
		kit_redis_start(NULL);
		_exit(0);
	}
	close(ends[1]);
	f = fdopen(ends[0], "r");
	text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
	fclose(f);
	assert_non_null(strstr(text, "install redis-server"));
	status = child_status();
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == EXIT_FAILURE);
}

static void a_proxy_passes_bytes_and_counts_them(void **state)
{
	int first = client(), second;

	(void)state;
	say(first, "PING\r\n");
	expect_text(first, "+PONG\r\n");
	second = client();
	say(second, SAY_KEY);
	expect_text(second, "+OK\r\n");
	assert_int_equal(kit_proxy_connections(t.proxy), 2);
	assert_int_equal(kit_proxy_forwarded(t.proxy, KIT_REQUESTS),
	                 strlen("PING\r\n" SAY_KEY));
	assert_int_equal(kit_proxy_forwarded(t.proxy, KIT_REPLIES),
	                 strlen("+PONG\r\n+OK\r\n"));
	assert_int_equal(kit_proxy_kept(t.proxy, KIT_BOTH), 0);
}

static size_t take_many(int fd, size_t most)
{
	ssize_t n;

	assert_true(has_more(fd, PATIENCE_MS));
	n = recv(fd, text, most < sizeof(text) ? most : sizeof(text) - 1, 0);
	assert_true(n > 0);
	text[n] = '\0';
	assert_int_equal(strspn(text, "x"), n);
	return (size_t)n;
}

static void more_than_a_proxy_keeps_arrives_whole(void **state)
{
	size_t left = MANY;
	int fd = client();

	(void)state;
	say(fd, "EVAL \"return string.rep('x', 16000000)\" 0\r\n");
	/* So much that the buffers of both sockets are full as well. */
	kit_proxy_wait_kept(t.proxy, KIT_REPLIES, 1 << 20);
	expect_text(fd, "$16000000\r\n");
	while (left)
		left -= take_many(fd, left);
	expect_text(fd, "\r\n");
}

static void a_delayed_byte_arrives_later_and_in_order(void **state)
{
	int fd = client();

	(void)state;
	kit_proxy_delay(t.proxy, KIT_REQUESTS, FOR_EVER_MS);
	say(fd, "PING\r\n");
	expect_silence(fd);
	assert_int_equal(kit_proxy_kept(t.proxy, KIT_REQUESTS), 6);
	say(fd, "ECHO a\r\n");
	kit_proxy_wait_kept(t.proxy, KIT_REQUESTS, 14);
	kit_proxy_delay(t.proxy, KIT_BOTH, 20);
	expect_text(fd, "+PONG\r\n$1\r\na\r\n");
}

static void a_delay_is_neither_shorter_nor_lost_in_a_crowd(void **state)
{
	int64_t begun;
	int fd = client(), i;

	(void)state;
	kit_proxy_delay(t.proxy, KIT_REPLIES, 20);
	for (i = 0; i < 10; i++) {
		begun = kit_now();
		say(fd, "PING\r\n");
		expect_text(fd, "+PONG\r\n");
		assert_true(kit_now() - begun >= 20000000);
	}
}

static void held_bytes_arrive_after_their_client_is_gone(void **state)
{
	int fd = client();

	(void)state;
	kit_proxy_hold(t.proxy, KIT_REQUESTS);
	say(fd, SAY_KEY);
	kit_proxy_wait_kept(t.proxy, KIT_REQUESTS, strlen(SAY_KEY));
	leave(fd);
	kit_doze(A_WHILE_MS);
	assert_false(key_is_there(t.server));
	kit_proxy_pass(t.proxy, KIT_REQUESTS);
	wait_for_key();
}

/* As one does that leaves replies unread. */
static void held_bytes_arrive_after_their_client_has_reset(void **state)
{
	int fd = client();

	(void)state;
	say(fd, "PING\r\n");
	assert_true(has_more(fd, PATIENCE_MS));
	kit_proxy_hold(t.proxy, KIT_REQUESTS);
	say(fd, SAY_KEY);
	kit_proxy_wait_kept(t.proxy, KIT_REQUESTS, strlen(SAY_KEY));
	leave(fd);
	kit_doze(A_WHILE_MS);
	assert_false(key_is_there(t.server));
	kit_proxy_pass(t.proxy, KIT_REQUESTS);
	wait_for_key();
}

static void one_connection_is_held_and_the_next_one_passes(void **state)
{
	int fd;

	(void)state;
	kit_proxy_hold_one(t.proxy, KIT_REQUESTS, 1);
	fd = client();
	say(fd, "APPEND key late\r\n");
	kit_proxy_wait_kept(t.proxy, KIT_REQUESTS, 17);
	leave(fd);
	fd = client();
	say(fd, "APPEND key soon\r\n");
	expect_text(fd, ":4\r\n");
	kit_proxy_pass(t.proxy, KIT_BOTH);
	kit_proxy_wait_forwarded(t.proxy, KIT_REQUESTS, 34);
	say(fd, "WAIT 0 0\r\n");
	expect_text(fd, ":0\r\n");
	while (kit_redis_count(t.server, "STRLEN", "key", NULL) < 8)
		kit_doze(1);
	expect_answer(t.server, "soonlate", "GET", "key");
}

static void a_black_hole_swallows_and_closes_nothing(void **state)
{
	int fd = client();

	(void)state;
	kit_proxy_black_hole(t.proxy, KIT_BOTH);
	say(fd, SAY_KEY);
	expect_silence(fd);
	kit_redis_kill(t.server);
	expect_silence(fd);
	say(fd, SAY_KEY);
	say(client(), SAY_KEY);
	expect_silence(fd);
	kit_redis_restart(t.server);
	kit_proxy_pass(t.proxy, KIT_BOTH);
	fd = client();
	say(fd, "PING\r\n");
	expect_text(fd, "+PONG\r\n");
	assert_false(key_is_there(t.server));
}

static void a_swallowed_reply_was_done_and_never_comes(void **state)
{
	int fd = client();

	(void)state;
	kit_proxy_black_hole(t.proxy, KIT_REPLIES);
	say(fd, SAY_KEY);
	wait_for_key();
	expect_silence(fd);
	kit_proxy_pass(t.proxy, KIT_REPLIES);
	say(fd, "PING\r\n");
	expect_silence(fd);
}

static void a_trickle_is_one_byte_at_a_time(void **state)
{
	int fd = client();

	(void)state;
	kit_proxy_trickle(t.proxy, KIT_REPLIES, FOR_EVER_MS);
	say(fd, "PING\r\n");
	expect_text(fd, "+");
	expect_silence(fd);
	kit_proxy_trickle(t.proxy, KIT_REPLIES, 5);
	expect_text(fd, "PONG\r\n");
}

static unsigned segments_with_data(int fd)
{
	struct tcp_info info;
	socklen_t len = sizeof(info);

	memset(&info, 0, sizeof(info));
	assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len), 0);
	return info.tcpi_data_segs_in;
}

static void single_bytes_are_sent_one_by_one(void **state)
{
	int fd = client();

	(void)state;
	say(fd, "PING\r\n");
	expect_text(fd, "+PONG\r\n");
	assert_int_equal(segments_with_data(fd), 1);
	kit_proxy_single_bytes(t.proxy, KIT_BOTH);
	say(fd, "PING\r\n");
	expect_text(fd, "+PONG\r\n");
	assert_int_equal(segments_with_data(fd), 1 + 7);
}

static void a_reply_is_cut_and_hangs(void **state)
{
	int fd = client();

	(void)state;
	kit_proxy_cut(t.proxy, KIT_REPLIES, 3, KIT_HANG);
	say(fd, "PING\r\n");
	expect_text(fd, "+PO");
	expect_silence(fd);
	kit_proxy_pass(t.proxy, KIT_REPLIES);
	expect_text(fd, "NG\r\n");
}

static void a_reply_is_cut_and_closed(void **state)
{
	int fd = client(), other;

	(void)state;
	kit_proxy_cut(t.proxy, KIT_REPLIES, 3, KIT_CLOSE);
	other = client();
	say(fd, "PING\r\n");
	expect_text(fd, "+PO");
	expect_end(fd);
	say(other, "PING\r\n");
	expect_text(other, "+PO");
	expect_end(other);
}

static void a_reply_is_cut_before_its_first_byte(void **state)
{
	int fd = client();

	(void)state;
	kit_proxy_cut(t.proxy, KIT_REPLIES, 0, KIT_CLOSE);
	expect_silence(fd);
	say(fd, SAY_KEY);
	expect_end(fd);
	assert_true(key_is_there(t.server));
}

static void a_request_is_cut(void **state)
{
	int fd = client();

	(void)state;
	kit_proxy_cut(t.proxy, KIT_REQUESTS, 4, KIT_CLOSE);
	say(fd, SAY_KEY);
	expect_end(fd);
	assert_int_equal(kit_proxy_forwarded(t.proxy, KIT_REQUESTS), 4);
	assert_false(key_is_there(t.server));
}

static void a_cut_counts_anew_when_it_is_set_again(void **state)
{
	int fd = client();

	(void)state;
	kit_proxy_cut(t.proxy, KIT_REPLIES, 3, KIT_HANG);
	say(fd, "PING\r\n");
	expect_text(fd, "+PO");
	kit_proxy_cut(t.proxy, KIT_REPLIES, 2, KIT_HANG);
	expect_text(fd, "NG");
	expect_silence(fd);
}

static void new_connections_are_refused_and_the_old_stay(void **state)
{
	int fd = client(), i;

	(void)state;
	for (i = 0; i < 3; i++) {
		kit_proxy_refuse(t.proxy);
		assert_int_equal(dial(kit_proxy_port(t.proxy)), -1);
		say(fd, "PING\r\n");
		expect_text(fd, "+PONG\r\n");
		kit_proxy_accept(t.proxy);
		leave(fd);
		fd = client();
		say(fd, "PING\r\n");
		expect_text(fd, "+PONG\r\n");
	}
}

static void all_are_closed_and_new_ones_are_welcome(void **state)
{
	int first = client(), second = client(), third;

	(void)state;
	kit_proxy_hold(t.proxy, KIT_REQUESTS);
	say(first, SAY_KEY);
	kit_proxy_wait_kept(t.proxy, KIT_REQUESTS, strlen(SAY_KEY));
	kit_proxy_close_all(t.proxy);
	expect_end(first);
	expect_end(second);
	kit_proxy_pass(t.proxy, KIT_REQUESTS);
	third = client();
	say(third, "EXISTS key\r\n");
	expect_text(third, ":0\r\n");
}

static void a_server_that_ends_closes_its_clients(void **state)
{
	int fd = client();

	(void)state;
	say(fd, "PING\r\n");
	expect_text(fd, "+PONG\r\n");
	kit_redis_kill(t.server);
	expect_end(fd);
	expect_end(client());
}

static void a_connection_that_a_child_has_inherited_is_closed(void **state)
{
	int fd = client();

	(void)state;
	say(fd, "PING\r\n");
	expect_text(fd, "+PONG\r\n");
	if (new_child() == 0) {
		for (;;)
			pause();
	}
	kit_proxy_close_all(t.proxy);
	expect_end(fd);
}

static void a_proxy_serves_more_connections_than_it_has_at_once(void **state)
{
	int i;

	(void)state;
	for (i = 0; i < 600; i++) {
		int fd = client();

		say(fd, "PING\r\n");
		expect_text(fd, "+PONG\r\n");
		leave(fd);
	}
	assert_int_equal(kit_proxy_connections(t.proxy), 600);
}

/* Asks until told to end; any fault may befall it. */
static void *wander(void *arg)
{
	const int *is_over = arg;
	char reply[64];

	while (!__atomic_load_n(is_over, __ATOMIC_RELAXED)) {
		int fd = dial(kit_proxy_port(t.proxy));

		if (fd < 0)
			continue;
		(void)!send(fd, "PING\r\n", 6, MSG_NOSIGNAL);
		if (has_more(fd, 5))
			(void)!recv(fd, reply, sizeof(reply), 0);
		close(fd);
	}
	return NULL;
}

static void do_harm(unsigned i)
{
	kit_proxy_refuse(t.proxy);
	kit_proxy_trickle(t.proxy, KIT_REPLIES, 1);
	kit_proxy_accept(t.proxy);
	kit_proxy_delay(t.proxy, KIT_REQUESTS, i % 3);
	kit_doze(1);
	kit_proxy_hold_one(t.proxy, KIT_REQUESTS,
	                   kit_proxy_connections(t.proxy) + 1);
	kit_proxy_single_bytes(t.proxy, KIT_REPLIES);
	kit_doze(1);
	kit_proxy_cut(t.proxy, KIT_REPLIES, i % 8, KIT_CLOSE);
	kit_doze(1);
	kit_proxy_black_hole(t.proxy, KIT_BOTH);
	kit_proxy_close_all(t.proxy);
	kit_proxy_pass(t.proxy, KIT_BOTH);
}

static void faults_come_and_go_under_load(void **state)
{
	pthread_t threads[3];
	int is_over = 0, fd;
	unsigned i;

	(void)state;
	for (i = 0; i < KIT_COUNT(threads); i++)
		pthread_create(&threads[i], NULL, wander, &is_over);
	for (i = 0; i < 100; i++)
		do_harm(i);
	__atomic_store_n(&is_over, 1, __ATOMIC_RELAXED);
	for (i = 0; i < KIT_COUNT(threads); i++)
		pthread_join(threads[i], NULL);
	fd = client();
	say(fd, "PING\r\n");
	expect_text(fd, "+PONG\r\n");
}

static int start_cluster(void **state)
{
	(void)state;
	t.cluster = kit_cluster_start(1);
	return 0;
}

static int stop_cluster(void **state)
{
	(void)state;
	kit_cluster_stop(t.cluster);
	memset(&t, 0, sizeof(t));
	return 0;
}

/* Every name between the braces is in another slot. */
static const char *key_of(unsigned i)
{
	static char key[32];

	snprintf(key, sizeof(key), "{%u}:key", i);
	return key;
}

static void a_key_is_served_by_its_owner_and_by_no_other(void **state)
{
	unsigned i;

	(void)state;
	for (i = 0; i < 20; i++) {
		kit_redis *owner = kit_cluster_owner(t.cluster, key_of(i));
		kit_redis *other = kit_cluster_other(t.cluster, owner);

		assert_ptr_not_equal(owner, other);
		expect_answer(owner, "OK", "SET", key_of(i), "1");
		kit_redis_ask(other, text, sizeof(text), "GET", key_of(i),
		              NULL);
		assert_memory_equal(text, "MOVED ", 6);
	}
}

static void a_cluster_has_three_masters_a_replica_and_an_address(void **state)
{
	unsigned i;

	(void)state;
	for (i = 0; i <= KIT_MASTERS; i++) {
		kit_redis_ask(kit_cluster_node(t.cluster, i), text,
		              sizeof(text), "ROLE", NULL);
		assert_memory_equal(text, i < KIT_MASTERS ? "master" : "slave",
		                    5);
	}
	snprintf(text, sizeof(text), "redis+cluster://127.0.0.1:%u",
	         (unsigned)kit_redis_port(kit_cluster_node(t.cluster, 2)));
	assert_string_equal(kit_cluster_address(t.cluster), text);
}

static void expect_sent_by(kit_redis *r, const char *word, const char *key,
                           const kit_redis *to)
{
	char want[64];

	snprintf(want, sizeof(want), "%s %u 127.0.0.1:%u", word,
	         kit_cluster_slot(t.cluster, key),
	         (unsigned)kit_redis_port(to));
	expect_answer(r, want, "GET", key);
}

static void a_slot_moves_step_by_step(void **state)
{
	kit_redis *from = kit_cluster_owner(t.cluster, "{m}1");
	kit_redis *to = kit_cluster_other(t.cluster, from);
	kit_move move;

	(void)state;
	expect_answer(from, "OK", "SET", "{m}1", "one");
	expect_answer(from, "OK", "SET", "{m}two words", "two");
	expect_answer(from, "OK", "SET", "{m}3", "three");
	move = kit_move_begin(t.cluster, "{m}1", to);
	assert_ptr_equal(kit_cluster_owner(t.cluster, "{m}1"), from);
	expect_answer(from, "one", "GET", "{m}1");
	expect_sent_by(from, "ASK", "{m}4", to);
	assert_int_equal(kit_move_keys(t.cluster, &move, 2), 2);
	assert_int_equal(kit_move_keys(t.cluster, &move, 100), 1);
	assert_int_equal(kit_move_keys(t.cluster, &move, 100), 0);
	expect_sent_by(from, "ASK", "{m}1", to);
	expect_sent_by(to, "MOVED", "{m}1", from);
	kit_move_end(t.cluster, &move);
	assert_ptr_equal(kit_cluster_owner(t.cluster, "{m}1"), to);
	expect_sent_by(from, "MOVED", "{m}1", to);
	expect_answer(to, "two", "GET", "{m}two words");
}

static void a_slot_moves_back(void **state)
{
	kit_redis *from = kit_cluster_owner(t.cluster, "{m}1");
	kit_redis *to = kit_cluster_other(t.cluster, from);
	kit_move move = kit_move_begin(t.cluster, "{m}1", to);

	(void)state;
	kit_move_keys(t.cluster, &move, 100);
	kit_move_end(t.cluster, &move);
	expect_answer(to, "three", "GET", "{m}3");
}

/* The last one: the first master stays dead. */
static void a_replica_takes_over(void **state)
{
	const char *key = "key";
	kit_redis *first = kit_cluster_node(t.cluster, 0);
	kit_redis *replica = kit_cluster_node(t.cluster, 3);
	unsigned i = 0;

	(void)state;
	while (kit_cluster_owner(t.cluster, key) != first)
		key = key_of(i++);
	assert_ptr_equal(kit_cluster_fail_over(t.cluster), replica);
	assert_ptr_equal(kit_cluster_owner(t.cluster, key), replica);
	expect_answer(replica, "OK", "SET", key, "1");
	expect_sent_by(kit_cluster_node(t.cluster, 1), "MOVED", key, replica);
	expect_sent_by(kit_cluster_node(t.cluster, 2), "MOVED", key, replica);
}

#define ALONE(name) cmocka_unit_test_setup_teardown(name, start_server, stop)
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ALONE(an_answer_is_text),
		ALONE(the_items_of_arrays_in_arrays_come_in_order),
		ALONE(an_answer_is_cut_to_fit),
		ALONE(an_answer_may_be_longer_than_one_read),
		ALONE(a_server_takes_more_arguments),
		ALONE(a_server_is_at_its_unix_socket_too),
		TEST(an_address_names_the_port),
		ALONE(a_killed_server_refuses_and_comes_back_empty),
		ALONE(a_replica_comes_back_empty_too),
		TEST(a_paused_server_answers_when_it_goes_on),
		ALONE(a_paused_server_can_be_killed_and_stopped),
		ALONE(a_server_ends_with_a_program_that_is_killed),
		ALONE(a_server_and_its_files_are_gone_after_exit),
		ALONE(a_child_that_exits_leaves_the_servers_of_its_parent),
		ALONE(a_missing_server_fails_the_program_and_says_how),
		TEST(a_proxy_passes_bytes_and_counts_them),
		TEST(more_than_a_proxy_keeps_arrives_whole),
		TEST(a_delayed_byte_arrives_later_and_in_order),
		TEST(a_delay_is_neither_shorter_nor_lost_in_a_crowd),
		TEST(held_bytes_arrive_after_their_client_is_gone),
		TEST(held_bytes_arrive_after_their_client_has_reset),
		TEST(one_connection_is_held_and_the_next_one_passes),
		TEST(a_black_hole_swallows_and_closes_nothing),
		TEST(a_swallowed_reply_was_done_and_never_comes),
		TEST(a_trickle_is_one_byte_at_a_time),
		TEST(single_bytes_are_sent_one_by_one),
		TEST(a_reply_is_cut_and_hangs),
		TEST(a_reply_is_cut_and_closed),
		TEST(a_reply_is_cut_before_its_first_byte),
		TEST(a_request_is_cut),
		TEST(a_cut_counts_anew_when_it_is_set_again),
		TEST(new_connections_are_refused_and_the_old_stay),
		TEST(all_are_closed_and_new_ones_are_welcome),
		TEST(a_server_that_ends_closes_its_clients),
		TEST(a_connection_that_a_child_has_inherited_is_closed),
		TEST(a_proxy_serves_more_connections_than_it_has_at_once),
		TEST(faults_come_and_go_under_load),
	};
	const struct CMUnitTest cluster_tests[] = {
		cmocka_unit_test(
			a_cluster_has_three_masters_a_replica_and_an_address),
		cmocka_unit_test(a_key_is_served_by_its_owner_and_by_no_other),
		cmocka_unit_test(a_slot_moves_step_by_step),
		cmocka_unit_test(a_slot_moves_back),
		cmocka_unit_test(a_replica_takes_over),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	return failed + cmocka_run_group_tests(cluster_tests, start_cluster,
	                                       stop_cluster);
}
