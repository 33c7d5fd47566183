/*
 * redis.c - real Redis servers for wire tests.
 */
#include "redis.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SECOND INT64_C(1000000000)
#define READY_S 10
#define ANSWER_S 5
#define SIGNAL_S 10
#define START_TRIES 3
#define PORT_TRIES 1000
#define WORDS_MAX 64 /* of a command, and of the arguments of a server */
#define PATH_LEN 100 /* the path of a unix socket has to be short */

/* A cluster's node listens there as well. */
#define BUS_ABOVE_PORT 10000

struct kit_redis {
	kit_redis *next;
	pid_t starter;
	pid_t pid; /* 0 while it is dead */
	int is_paused;
	int reserved[2]; /* the port and that of the bus, or -1 */
	uint16_t port;
	char port_text[8];
	char address[40];
	char directory[PATH_LEN - 20];
	char socket[PATH_LEN];
	char log[PATH_LEN];
	const char *password;
	char *extra[WORDS_MAX + 1];
};

/* Those that are not stopped, of this process and of its parents. */
static kit_redis *servers;
static pthread_mutex_t servers_lock = PTHREAD_MUTEX_INITIALIZER;

void kit_fail(const char *format, ...)
{
	char text[4096];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	fprintf(stderr, "kit: %s\n", text);
	exit(EXIT_FAILURE);
}

int64_t kit_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * SECOND + now.tv_nsec;
}

void kit_doze(unsigned ms)
{
	struct timespec span = { ms / 1000, (long)(ms % 1000) * 1000000 };

	while (nanosleep(&span, &span) && errno == EINTR)
		;
}

void kit_wait(kit_claim holds, void *ctx, unsigned seconds, const char *what)
{
	int64_t end = kit_now() + seconds * SECOND;

	while (!holds(ctx)) {
		if (kit_now() > end)
			kit_fail("%u s were not enough for %s", seconds, what);
		kit_doze(5);
	}
}

pid_t kit_fork(void)
{
	pid_t parent = getpid(), child = fork();

	if (child < 0)
		kit_fail("no process: %s", strerror(errno));
	if (child)
		return child;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(EXIT_FAILURE);
	return 0;
}

struct sockaddr_in kit_loopback(uint16_t port)
{
	struct sockaddr_in address;

	memset(&address, 0, sizeof(address));
	address.sin_family = AF_INET;
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	address.sin_port = htons(port);
	return address;
}

static int new_socket(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		kit_fail("no socket: %s", strerror(errno));
	return fd;
}

/* A socket that is bound and never listens keeps its port from all but those
 * who set SO_REUSEADDR as well, as servers do. */
static int reserve(uint16_t port)
{
	struct sockaddr_in address = kit_loopback(port);
	int fd = new_socket(), yes = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
	if (bind(fd, (struct sockaddr *)&address, sizeof(address))) {
		close(fd);
		return -1;
	}
	return fd;
}

int kit_port_reserve(uint16_t *port)
{
	struct sockaddr_in address = kit_loopback(0);
	socklen_t len = sizeof(address);
	int fd = reserve(0);

	if (fd < 0 || getsockname(fd, (struct sockaddr *)&address, &len))
		kit_fail("no free port: %s", strerror(errno));
	*port = ntohs(address.sin_port);
	return fd;
}

static void close_reserved(kit_redis *r)
{
	int i;

	for (i = 0; i < 2; i++) {
		if (r->reserved[i] >= 0)
			close(r->reserved[i]);
		r->reserved[i] = -1;
	}
}

static int reserve_pair(kit_redis *r)
{
	r->reserved[0] = kit_port_reserve(&r->port);
	if (r->port + BUS_ABOVE_PORT > UINT16_MAX)
		return 0;
	r->reserved[1] = reserve((uint16_t)(r->port + BUS_ABOVE_PORT));
	return r->reserved[1] >= 0;
}

static void take_port(kit_redis *r)
{
	int tries = PORT_TRIES;

	do {
		close_reserved(r);
		if (!tries--)
			kit_fail("no two free ports for a redis-server");
	} while (!reserve_pair(r));
	snprintf(r->port_text, sizeof(r->port_text), "%u", (unsigned)r->port);
	snprintf(r->address, sizeof(r->address), "redis://127.0.0.1:%u",
	         (unsigned)r->port);
}

/* The path of redis-server; no return without one. */
static const char *program(void)
{
	static char path[512];
	const char *at = getenv("PATH");

	while (at && *at) {
		size_t len = strcspn(at, ":");

		snprintf(path, sizeof(path), "%.*s/redis-server", (int)len, at);
		if (access(path, X_OK) == 0)
			return path;
		at += len + (at[len] == ':');
	}
	kit_fail("wire tests need a redis-server in PATH: `make deps`, or "
	         "install redis-server (Debian) or redis (Fedora, Alpine, "
	         "Homebrew)");
}

/* Between fork and exec: nothing here takes a lock. */
static void become_server(const char *path, char **words, const char *log)
{
	sigset_t none;
	int out;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGCHLD, SIG_DFL);
	out = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
	dup2(open("/dev/null", O_RDONLY), STDIN_FILENO);
	dup2(out, STDOUT_FILENO);
	dup2(out, STDERR_FILENO);
	execv(path, words);
	_exit(EXIT_FAILURE);
}

/* redis-server's words: ours, then those of the test, which so prevail. */
static void list_words(kit_redis *r, char **words)
{
	char *pairs[][2] = {
		{ "--bind", "127.0.0.1" },
		{ "--port", r->port_text },
		{ "--dir", r->directory },
		{ "--unixsocket", r->socket },
		{ "--save", "" },
		{ "--appendonly", "no" },
		{ "--daemonize", "no" },
		/* Else a replica waits 5 s for others to come. */
		{ "--repl-diskless-sync-delay", "0" },
	};
	size_t i;

	*words++ = "redis-server";
	for (i = 0; i < sizeof(pairs) / sizeof(*pairs); i++) {
		*words++ = pairs[i][0];
		*words++ = pairs[i][1];
	}
	for (i = 0; r->extra[i]; i++)
		*words++ = r->extra[i];
	*words = NULL;
}

static void launch(kit_redis *r)
{
	const char *path = program();
	char *words[WORDS_MAX + 32];

	list_words(r, words);
	r->pid = kit_fork();
	if (r->pid == 0)
		become_server(path, words, r->log);
}

static int answers(const kit_redis *r)
{
	char text[64];

	kit_redis_ask(r, text, sizeof(text), "PING", NULL);
	return strcmp(text, "(no answer)") != 0 &&
	       strncmp(text, "LOADING", strlen("LOADING")) != 0;
}

/* Shows what the server said last, and ends. */
static void fail_with_log(const kit_redis *r, const char *what)
{
	char text[2048];
	size_t len = 0;
	FILE *log = fopen(r->log, "r");

	if (log) {
		if (fseek(log, -(long)sizeof(text) + 1, SEEK_END))
			rewind(log);
		len = fread(text, 1, sizeof(text) - 1, log);
		fclose(log);
	}
	text[len] = '\0';
	kit_fail("redis-server on port %u %s; it said:\n%s", (unsigned)r->port,
	         what, text);
}

/* Whether it has ended by itself. */
static int has_ended(kit_redis *r)
{
	if (waitpid(r->pid, NULL, WNOHANG) == 0)
		return 0;
	r->pid = 0;
	return 1;
}

/* 0 if it ends instead. */
static int becomes_ready(kit_redis *r)
{
	int64_t end = kit_now() + READY_S * SECOND;

	while (!answers(r)) {
		if (has_ended(r))
			return 0;
		if (kit_now() > end)
			fail_with_log(r, "does not answer");
		kit_doze(5);
	}
	return !has_ended(r);
}

static int remove_one(const char *path, const struct stat *status, int kind,
                      struct FTW *where)
{
	(void)status;
	(void)kind;
	(void)where;
	return remove(path);
}

static void remove_directory(const kit_redis *r)
{
	nftw(r->directory, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

void kit_redis_kill(kit_redis *r)
{
	if (!r->pid)
		return;
	kill(r->pid, SIGKILL);
	while (waitpid(r->pid, NULL, 0) < 0 && errno == EINTR)
		;
	r->pid = 0;
	r->is_paused = 0;
}

static void end_all(void)
{
	kit_redis *r;

	for (r = servers; r; r = r->next) {
		if (r->starter != getpid())
			continue;
		kit_redis_kill(r);
		remove_directory(r);
	}
}

static void enlist(kit_redis *r)
{
	static int is_registered;

	pthread_mutex_lock(&servers_lock);
	if (!is_registered)
		atexit(end_all);
	is_registered = 1;
	r->next = servers;
	servers = r;
	pthread_mutex_unlock(&servers_lock);
}

static void strike_off(const kit_redis *r)
{
	kit_redis **at = &servers;

	pthread_mutex_lock(&servers_lock);
	while (*at != r)
		at = &(*at)->next;
	*at = r->next;
	pthread_mutex_unlock(&servers_lock);
}

static void make_directory(kit_redis *r)
{
	const char *parent = getenv("TMPDIR");

	if (!parent || strlen(parent) > sizeof(r->directory) - 32)
		parent = "/tmp";
	snprintf(r->directory, sizeof(r->directory), "%s/kit-redis-XXXXXX",
	         parent);
	if (!mkdtemp(r->directory))
		kit_fail("no directory %s: %s", r->directory, strerror(errno));
	snprintf(r->socket, sizeof(r->socket), "%s/socket", r->directory);
	snprintf(r->log, sizeof(r->log), "%s/log", r->directory);
}

static void copy_extra(kit_redis *r, const char *const *extra)
{
	size_t i;

	for (i = 0; extra && extra[i]; i++) {
		if (i == WORDS_MAX)
			kit_fail("too many arguments for a redis-server");
		r->extra[i] = strdup(extra[i]);
		if (i && !strcmp(extra[i - 1], "--requirepass"))
			r->password = r->extra[i];
	}
}

kit_redis *kit_redis_start(const char *const *extra)
{
	kit_redis *r = calloc(1, sizeof(*r));
	int tries = START_TRIES;

	if (!r)
		kit_fail("no memory for a server");
	r->starter = getpid();
	r->reserved[0] = r->reserved[1] = -1;
	copy_extra(r, extra);
	make_directory(r);
	enlist(r);
	do {
		if (!tries--)
			fail_with_log(r, "does not start");
		take_port(r);
		launch(r);
	} while (!becomes_ready(r));
	return r;
}

void kit_redis_stop(kit_redis *r)
{
	size_t i;

	if (!r)
		return;
	kit_redis_kill(r);
	strike_off(r);
	remove_directory(r);
	close_reserved(r);
	for (i = 0; r->extra[i]; i++)
		free(r->extra[i]);
	free(r);
}

void kit_redis_start_all(kit_redis **all, const char **addresses, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++) {
		all[i] = kit_redis_start(NULL);
		if (addresses)
			addresses[i] = kit_redis_address(all[i]);
	}
}

void kit_redis_stop_all(kit_redis *const *all, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++)
		kit_redis_stop(all[i]);
}

/* What a replica got from its master would be read again. */
static void forget_keys(const kit_redis *r)
{
	char path[PATH_LEN + 16];

	snprintf(path, sizeof(path), "%s/dump.rdb", r->directory);
	unlink(path);
}

void kit_redis_restart(kit_redis *r)
{
	kit_redis_kill(r);
	forget_keys(r);
	launch(r);
	if (!becomes_ready(r))
		fail_with_log(r, "does not start again");
}

/* Sends a signal and waits until the process has done as told. */
static void tell(kit_redis *r, int number, int flag)
{
	int64_t end = kit_now() + SIGNAL_S * SECOND;
	int status = 0;

	if (!r->pid)
		kit_fail("the redis-server on port %u is dead", r->port);
	kill(r->pid, number);
	while (waitpid(r->pid, &status, WNOHANG | flag) == 0) {
		if (kit_now() > end)
			kit_fail("redis-server takes no signal %d", number);
		kit_doze(1);
	}
	if (!WIFSTOPPED(status) && !WIFCONTINUED(status))
		fail_with_log(r, "has ended by itself");
}

void kit_redis_pause(kit_redis *r)
{
	if (!r->is_paused)
		tell(r, SIGSTOP, WUNTRACED);
	r->is_paused = 1;
}

void kit_redis_go_on(kit_redis *r)
{
	if (r->is_paused)
		tell(r, SIGCONT, WCONTINUED);
	r->is_paused = 0;
}

int kit_redis_is_up(const kit_redis *r)
{
	return r->pid && !r->is_paused;
}

const char *kit_redis_address(const kit_redis *r)
{
	return r->address;
}

uint16_t kit_redis_port(const kit_redis *r)
{
	return r->port;
}

const char *kit_redis_unix(const kit_redis *r)
{
	return r->socket;
}

/* One exchange: the bytes that came, and the text that becomes of them. */
struct talk {
	int fd;
	int64_t end;
	char in[4096];
	size_t at, have;
	char *out;
	size_t len, used;
	size_t items;
};

static int dial(struct talk *t, uint16_t port)
{
	struct sockaddr_in address = kit_loopback(port);
	struct timeval limit = { ANSWER_S, 0 };

	t->end = kit_now() + ANSWER_S * SECOND;
	t->fd = new_socket();
	setsockopt(t->fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	return connect(t->fd, (struct sockaddr *)&address, sizeof(address)) ==
	       0;
}

static int say(struct talk *t, const char *const *words)
{
	char *text = NULL;
	size_t len = 0, sent = 0, count = 0;
	ssize_t n = 0;
	FILE *f = open_memstream(&text, &len);

	if (!f)
		kit_fail("no memory for a command");
	while (words[count])
		count++;
	fprintf(f, "*%zu\r\n", count);
	for (; *words; words++)
		fprintf(f, "$%zu\r\n%s\r\n", strlen(*words), *words);
	fclose(f);
	while (sent < len && n >= 0) {
		n = send(t->fd, text + sent, len - sent, MSG_NOSIGNAL);
		sent += n > 0 ? (size_t)n : 0;
	}
	free(text);
	return sent == len;
}

/* -1 when no more comes in time. */
static int take_byte(struct talk *t)
{
	struct pollfd p = { t->fd, POLLIN, 0 };
	int64_t left = t->end - kit_now();
	ssize_t n;

	if (t->at < t->have)
		return (unsigned char)t->in[t->at++];
	if (left < 0 || poll(&p, 1, (int)(left / 1000000) + 1) <= 0)
		return -1;
	n = recv(t->fd, t->in, sizeof(t->in), 0);
	if (n <= 0)
		return -1;
	t->have = (size_t)n;
	t->at = 1;
	return (unsigned char)t->in[0];
}

static void put(struct talk *t, char c)
{
	if (t->used + 1 < t->len)
		t->out[t->used++] = c;
	if (t->len)
		t->out[t->used] = '\0';
}

static void put_text(struct talk *t, const char *text)
{
	while (*text)
		put(t, *text++);
}

/* Up to the end of the line. */
static int take_line(struct talk *t)
{
	int c;

	while ((c = take_byte(t)) != '\r') {
		if (c < 0)
			return 0;
		put(t, (char)c);
	}
	return take_byte(t) == '\n';
}

static int take_number(struct talk *t, long *number)
{
	char digits[24];
	size_t n = 0;
	int c;

	while ((c = take_byte(t)) != '\r') {
		if (c < 0 || n + 1 == sizeof(digits))
			return 0;
		digits[n++] = (char)c;
	}
	digits[n] = '\0';
	*number = strtol(digits, NULL, 10);
	return take_byte(t) == '\n';
}

static int take_bytes(struct talk *t, long count)
{
	int c;

	while (count--) {
		if ((c = take_byte(t)) < 0)
			return 0;
		put(t, (char)c);
	}
	return take_byte(t) == '\r' && take_byte(t) == '\n';
}

/* A string, or with *more the items of an array that follow. */
static int take_counted(struct talk *t, int type, long *more)
{
	long count;

	if (!take_number(t, &count))
		return 0;
	if (type == '*' && count >= 0) {
		*more += count;
		return 1;
	}
	if (t->items++)
		put(t, ' ');
	if (count >= 0)
		return take_bytes(t, count);
	put_text(t, "(nil)");
	return 1;
}

static int take_item(struct talk *t, long *more)
{
	int type = take_byte(t);

	if (type == '*' || type == '$')
		return take_counted(t, type, more);
	if (type != '+' && type != '-' && type != ':')
		return 0;
	if (t->items++)
		put(t, ' ');
	return take_line(t);
}

/* The items of arrays in arrays come one after the other, so counting what is
 * still to come is all there is to it. */
static int hear(struct talk *t, char *out, size_t len)
{
	long items = 1;

	t->out = out;
	t->len = len;
	t->used = t->items = 0;
	if (len)
		*out = '\0';
	while (items--) {
		if (!take_item(t, &items))
			return 0;
	}
	return 1;
}

static int log_in(struct talk *t, const char *password)
{
	const char *const words[] = { "AUTH", password, NULL };
	char text[64];

	return !password || (say(t, words) && hear(t, text, sizeof(text)));
}

static void ask(const kit_redis *r, char *out, size_t len,
                const char *const *words)
{
	struct talk t;

	memset(&t, 0, sizeof(t));
	if (!dial(&t, r->port) || !log_in(&t, r->password) || !say(&t, words) ||
	    !hear(&t, out, len))
		snprintf(out, len, "(no answer)");
	close(t.fd);
}

static void collect(const char **words, va_list args)
{
	size_t i = 0;

	while ((words[i] = va_arg(args, const char *))) {
		if (++i == WORDS_MAX)
			kit_fail("a command of too many words");
	}
}

const char *kit_redis_ask(const kit_redis *r, char *out, size_t len, ...)
{
	const char *words[WORDS_MAX];
	va_list args;

	va_start(args, len);
	collect(words, args);
	va_end(args);
	ask(r, out, len, words);
	return out;
}

long long kit_redis_count(const kit_redis *r, ...)
{
	const char *words[WORDS_MAX];
	char text[128], *end;
	long long count;
	va_list args;

	va_start(args, r);
	collect(words, args);
	va_end(args);
	ask(r, text, sizeof(text), words);
	count = strtoll(text, &end, 10);
	if (end == text || *end)
		kit_fail("%s answers no number but \"%s\"", words[0], text);
	return count;
}
