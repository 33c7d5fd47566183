/*
 * proxy.c - a network that misbehaves on request.
 *
 * One thread owns all sockets and holds the lock at all times but in poll().
 * Who changes something wakes it and waits for a round that begins after the
 * change.
 */
#include "proxy.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "redis.h"

#define BRIDGES_MAX 256
#define KEPT_MAX ((size_t)1 << 20) /* of a stream; the rest waits outside */
#define READ_MAX 16384
#define WAIT_S 10
#define MS INT64_C(1000000)
#define SECOND (1000 * MS)
#define NEVER INT64_MAX

enum mode { PASS, DELAY, HOLD, BLACK_HOLE, TRICKLE, SINGLE_BYTES, CUT };

struct fault {
	enum mode mode;
	int64_t span;    /* ns: the delay, or that between two bytes */
	uint64_t bytes;  /* before the cut */
	kit_ending how;  /* after the cut */
	uint64_t only;   /* the connection that has it; 0: all */
	uint64_t number; /* tells it from the one before */
};

/* What one read gave. */
struct chunk {
	struct chunk *next;
	int64_t came_at;
	size_t len, sent;
	char bytes[];
};

/* One way of one connection. */
struct stream {
	int from, to;
	struct chunk *first, **end;
	size_t kept;
	int64_t ended_at; /* 0 while more may come */
	int is_lossy;     /* a part is missing, so the rest is no use */
	int is_over;      /* its end is passed on, or nobody is there to read */
	int is_blocked;   /* the socket takes no more for now */
	uint64_t fault;   /* the number of that in force, and since then: */
	uint64_t sent;
	int64_t next_at;
};

struct bridge {
	uint64_t number;
	struct stream ways[2];
	int is_over;
};

struct kit_proxy {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t has_obeyed;
	uint64_t asked, obeyed;
	int is_ending, is_refusing, is_closing_all;
	int wake, reserved, listener;
	uint16_t port, behind;
	char address[40];
	struct fault faults[2];
	uint64_t faults_seen;
	struct bridge *bridges[BRIDGES_MAX];
	size_t count;
	uint64_t connections, forwarded[2];
	int64_t again; /* when the next byte is due */
};

static void keep(struct stream *s, const char *bytes, size_t len)
{
	struct chunk *c = malloc(sizeof(*c) + len);

	if (!c)
		kit_fail("no memory for a proxy");
	c->next = NULL;
	c->came_at = kit_now();
	c->len = len;
	c->sent = 0;
	memcpy(c->bytes, bytes, len);
	*s->end = c;
	s->end = &c->next;
	s->kept += len;
}

static void drop_first(struct stream *s)
{
	struct chunk *c = s->first;

	s->kept -= c->len - c->sent;
	s->first = c->next;
	if (!s->first)
		s->end = &s->first;
	free(c);
}

static void give_up(struct stream *s)
{
	while (s->first)
		drop_first(s);
	s->is_over = 1;
}

static void take_in(struct stream *s, const struct fault *f)
{
	char bytes[READ_MAX];
	ssize_t n;

	while (!s->ended_at && s->kept < KEPT_MAX) {
		n = recv(s->from, bytes, sizeof(bytes), MSG_DONTWAIT);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0) {
			s->ended_at = kit_now();
			return;
		}
		if (f->mode == BLACK_HOLE)
			s->is_lossy = 1;
		if (!s->is_lossy && !s->is_over)
			keep(s, bytes, (size_t)n);
	}
}

/* Whether an instant has come; if not, the thread looks again then. */
static int is_due(kit_proxy *p, int64_t at)
{
	if (at <= kit_now())
		return 1;
	if (at < p->again)
		p->again = at;
	return 0;
}

/* How many bytes may go on now. */
static uint64_t allowance(kit_proxy *p, const struct stream *s,
                          const struct fault *f)
{
	switch (f->mode) {
	case PASS:
		return KEPT_MAX;
	case DELAY:
		return is_due(p, s->first->came_at + f->span) ? KEPT_MAX : 0;
	case TRICKLE:
		return is_due(p, s->next_at) ? 1 : 0;
	case SINGLE_BYTES:
		return 1;
	case CUT:
		return f->bytes - s->sent;
	case HOLD:
	case BLACK_HOLE:
		break;
	}
	return 0;
}

/* Sends up to `most` bytes of the first chunk. */
static size_t send_some(struct stream *s, uint64_t most)
{
	const struct chunk *c = s->first;
	size_t len = c->len - c->sent;
	ssize_t n;

	n = send(s->to, c->bytes + c->sent, most < len ? (size_t)most : len,
	         MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n >= 0)
		return (size_t)n;
	if (errno == EAGAIN || errno == EINTR)
		s->is_blocked = 1;
	else
		give_up(s);
	return 0;
}

static void send_on(kit_proxy *p, struct stream *s, const struct fault *f,
                    uint64_t *forwarded)
{
	uint64_t most;
	size_t n;

	s->is_blocked = 0;
	while (s->first && (most = allowance(p, s, f)) &&
	       (n = send_some(s, most))) {
		*forwarded += n;
		s->sent += n;
		s->next_at = kit_now() + f->span;
		s->kept -= n;
		s->first->sent += n;
		if (s->first->sent == s->first->len)
			drop_first(s);
	}
}

/* Whether the fault lets the end of a stream go on now. */
static int may_end(kit_proxy *p, const struct stream *s, const struct fault *f)
{
	switch (f->mode) {
	case DELAY:
		return is_due(p, s->ended_at + f->span);
	case TRICKLE:
		return is_due(p, s->next_at);
	case CUT:
		return s->sent < f->bytes;
	case HOLD:
	case BLACK_HOLE:
		return 0;
	case PASS:
	case SINGLE_BYTES:
		break;
	}
	return 1;
}

static const struct fault *fault_of(const kit_proxy *p, const struct bridge *b,
                                    int way)
{
	static const struct fault none;
	const struct fault *f = &p->faults[way];

	return f->only && f->only != b->number ? &none : f;
}

/* A fault counts from when it was set. */
static void begin_with(struct stream *s, const struct fault *f)
{
	if (s->fault == f->number)
		return;
	s->fault = f->number;
	s->sent = 0;
	s->next_at = 0;
}

/* Nothing is cut before there is something to cut. */
static int is_cut_off(const struct stream *s, const struct fault *f)
{
	return f->mode == CUT && f->how == KIT_CLOSE && s->sent >= f->bytes &&
	       (s->sent || s->first || s->ended_at);
}

static void serve_way(kit_proxy *p, struct bridge *b, int way)
{
	struct stream *s = &b->ways[way];
	const struct fault *f = fault_of(p, b, way);

	begin_with(s, f);
	take_in(s, f);
	send_on(p, s, f, &p->forwarded[way]);
	if (is_cut_off(s, f))
		b->is_over = 1;
	if (s->is_over || !s->ended_at || s->first || !may_end(p, s, f))
		return;
	shutdown(s->to, SHUT_WR);
	s->is_over = 1;
}

/* Copies of it in forked children count no more. */
static void hang_up(int fd)
{
	shutdown(fd, SHUT_RDWR);
	close(fd);
}

static void tear_down(struct bridge *b)
{
	int way;

	for (way = 0; way < 2; way++) {
		give_up(&b->ways[way]);
		hang_up(b->ways[way].from);
	}
	free(b);
}

static void serve(kit_proxy *p)
{
	size_t i = 0;

	while (i < p->count) {
		struct bridge *b = p->bridges[i];

		serve_way(p, b, 0);
		serve_way(p, b, 1);
		b->is_over |= b->ways[0].is_over && b->ways[1].is_over;
		if (b->is_over || p->is_closing_all) {
			p->bridges[i] = p->bridges[--p->count];
			tear_down(b);
		} else {
			i++;
		}
	}
	p->is_closing_all = 0;
}

static int new_socket(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		kit_fail("no socket for a proxy: %s", strerror(errno));
	return fd;
}

static void open_listener(kit_proxy *p)
{
	struct sockaddr_in address = kit_loopback(p->port);
	int fd = new_socket(), yes = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) ||
	    listen(fd, BRIDGES_MAX))
		kit_fail("a proxy cannot listen on port %u: %s",
		         (unsigned)p->port, strerror(errno));
	p->listener = fd;
}

static void close_listener(kit_proxy *p)
{
	hang_up(p->listener);
	p->listener = -1;
}

/* What becomes of the connection is seen when it is read. */
static int dial(uint16_t port)
{
	struct sockaddr_in address = kit_loopback(port);
	int fd = new_socket();

	(void)!connect(fd, (struct sockaddr *)&address, sizeof(address));
	return fd;
}

static void set_up(struct stream *s, int from, int to)
{
	int yes = 1;

	s->from = from;
	s->to = to;
	s->end = &s->first;
	setsockopt(to, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
}

static void bridge_to(kit_proxy *p, int client)
{
	struct bridge *b = calloc(1, sizeof(*b));
	int server = dial(p->behind);

	if (!b)
		kit_fail("no memory for a proxy");
	b->number = ++p->connections;
	set_up(&b->ways[0], client, server);
	set_up(&b->ways[1], server, client);
	p->bridges[p->count++] = b;
}

static void admit(kit_proxy *p)
{
	int client;

	while (p->listener >= 0 && p->count < BRIDGES_MAX) {
		client = accept4(p->listener, NULL, NULL,
		                 SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (client < 0)
			return;
		bridge_to(p, client);
	}
}

/* A socket that nothing is wanted of is left out, or its hang-up would be
 * reported without end. */
static struct pollfd watch(const struct stream *in, const struct stream *out)
{
	struct pollfd fd = { in->from, 0, 0 };

	if (!in->ended_at && in->kept < KEPT_MAX)
		fd.events |= POLLIN;
	if (out->is_blocked && !out->is_over)
		fd.events |= POLLOUT;
	if (!fd.events)
		fd.fd = -1;
	return fd;
}

static size_t gather(const kit_proxy *p, struct pollfd *fds)
{
	size_t i, n = 0;

	fds[n++] = (struct pollfd){ p->wake, POLLIN, 0 };
	fds[n++] = (struct pollfd){ p->listener, POLLIN, 0 };
	if (p->count == BRIDGES_MAX)
		fds[1].fd = -1;
	for (i = 0; i < p->count; i++) {
		const struct stream *ways = p->bridges[i]->ways;

		fds[n++] = watch(&ways[0], &ways[1]);
		fds[n++] = watch(&ways[1], &ways[0]);
	}
	return n;
}

/* Without the lock, until something is to be done. */
static void rest(kit_proxy *p)
{
	struct pollfd fds[2 + 2 * BRIDGES_MAX];
	size_t n = gather(p, fds);
	int64_t left = p->again - kit_now();
	struct timespec span = { left / SECOND, left % SECOND };
	int is_timed = p->again != NEVER;
	uint64_t calls;

	if (is_timed && left <= 0)
		return;
	pthread_mutex_unlock(&p->lock);
	ppoll(fds, n, is_timed ? &span : NULL, NULL);
	pthread_mutex_lock(&p->lock);
	(void)!read(p->wake, &calls, sizeof(calls));
}

static void obey(kit_proxy *p)
{
	admit(p);
	if (p->is_refusing && p->listener >= 0)
		close_listener(p);
	if (!p->is_refusing && p->listener < 0)
		open_listener(p);
	p->again = NEVER;
	serve(p);
	p->obeyed = p->asked;
	pthread_cond_broadcast(&p->has_obeyed);
}

static void *run(void *arg)
{
	kit_proxy *p = arg;

	pthread_mutex_lock(&p->lock);
	while (!p->is_ending) {
		obey(p);
		rest(p);
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

static void wake(const kit_proxy *p)
{
	uint64_t one = 1;

	(void)!write(p->wake, &one, sizeof(one));
}

/* Under the lock, which it gives away: a round from now has begun and ended. */
static void have_it_done(kit_proxy *p)
{
	uint64_t mine = ++p->asked;

	wake(p);
	while (p->obeyed < mine)
		pthread_cond_wait(&p->has_obeyed, &p->lock);
	pthread_mutex_unlock(&p->lock);
}

kit_proxy *kit_proxy_start(uint16_t port)
{
	kit_proxy *p = calloc(1, sizeof(*p));

	if (!p)
		kit_fail("no memory for a proxy");
	p->behind = port;
	p->listener = -1;
	p->reserved = kit_port_reserve(&p->port);
	p->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	snprintf(p->address, sizeof(p->address), "redis://127.0.0.1:%u",
	         (unsigned)p->port);
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->has_obeyed, NULL);
	if (p->wake < 0 || pthread_create(&p->thread, NULL, run, p))
		kit_fail("a proxy cannot start: %s", strerror(errno));
	pthread_mutex_lock(&p->lock);
	have_it_done(p);
	return p;
}

void kit_proxy_stop(kit_proxy *p)
{
	if (!p)
		return;
	pthread_mutex_lock(&p->lock);
	p->is_ending = 1;
	pthread_mutex_unlock(&p->lock);
	wake(p);
	pthread_join(p->thread, NULL);
	while (p->count)
		tear_down(p->bridges[--p->count]);
	if (p->listener >= 0)
		close_listener(p);
	close(p->reserved);
	close(p->wake);
	pthread_cond_destroy(&p->has_obeyed);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

const char *kit_proxy_address(const kit_proxy *p)
{
	return p->address;
}

uint16_t kit_proxy_port(const kit_proxy *p)
{
	return p->port;
}

static void set(kit_proxy *p, kit_way ways, struct fault f)
{
	int way;

	pthread_mutex_lock(&p->lock);
	f.number = ++p->faults_seen;
	for (way = 0; way < 2; way++) {
		if (ways & 1 << way)
			p->faults[way] = f;
	}
	have_it_done(p);
}

void kit_proxy_pass(kit_proxy *p, kit_way way)
{
	set(p, way, (struct fault){ .mode = PASS });
}

void kit_proxy_delay(kit_proxy *p, kit_way way, unsigned ms)
{
	set(p, way, (struct fault){ .mode = DELAY, .span = ms * MS });
}

void kit_proxy_hold(kit_proxy *p, kit_way way)
{
	set(p, way, (struct fault){ .mode = HOLD });
}

void kit_proxy_hold_one(kit_proxy *p, kit_way way, uint64_t n)
{
	set(p, way, (struct fault){ .mode = HOLD, .only = n });
}

void kit_proxy_black_hole(kit_proxy *p, kit_way way)
{
	set(p, way, (struct fault){ .mode = BLACK_HOLE });
}

void kit_proxy_trickle(kit_proxy *p, kit_way way, unsigned ms)
{
	set(p, way, (struct fault){ .mode = TRICKLE, .span = ms * MS });
}

void kit_proxy_single_bytes(kit_proxy *p, kit_way way)
{
	set(p, way, (struct fault){ .mode = SINGLE_BYTES });
}

void kit_proxy_cut(kit_proxy *p, kit_way way, uint64_t bytes, kit_ending how)
{
	set(p, way, (struct fault){ .mode = CUT, .bytes = bytes, .how = how });
}

void kit_proxy_refuse(kit_proxy *p)
{
	pthread_mutex_lock(&p->lock);
	p->is_refusing = 1;
	have_it_done(p);
}

void kit_proxy_accept(kit_proxy *p)
{
	pthread_mutex_lock(&p->lock);
	p->is_refusing = 0;
	have_it_done(p);
}

void kit_proxy_close_all(kit_proxy *p)
{
	pthread_mutex_lock(&p->lock);
	p->is_closing_all = 1;
	have_it_done(p);
}

uint64_t kit_proxy_connections(kit_proxy *p)
{
	uint64_t n;

	pthread_mutex_lock(&p->lock);
	n = p->connections;
	pthread_mutex_unlock(&p->lock);
	return n;
}

uint64_t kit_proxy_forwarded(kit_proxy *p, kit_way ways)
{
	uint64_t n = 0;

	pthread_mutex_lock(&p->lock);
	if (ways & KIT_REQUESTS)
		n += p->forwarded[0];
	if (ways & KIT_REPLIES)
		n += p->forwarded[1];
	pthread_mutex_unlock(&p->lock);
	return n;
}

uint64_t kit_proxy_kept(kit_proxy *p, kit_way ways)
{
	uint64_t n = 0;
	size_t i;

	pthread_mutex_lock(&p->lock);
	for (i = 0; i < p->count; i++) {
		if (ways & KIT_REQUESTS)
			n += p->bridges[i]->ways[0].kept;
		if (ways & KIT_REPLIES)
			n += p->bridges[i]->ways[1].kept;
	}
	pthread_mutex_unlock(&p->lock);
	return n;
}

struct hope {
	uint64_t (*count)(kit_proxy *p, kit_way way);
	kit_proxy *p;
	kit_way way;
	uint64_t bytes;
};

static int has_come_true(void *ctx)
{
	const struct hope *h = ctx;

	return h->count(h->p, h->way) >= h->bytes;
}

void kit_proxy_wait_kept(kit_proxy *p, kit_way way, uint64_t bytes)
{
	struct hope h = { kit_proxy_kept, p, way, bytes };

	kit_wait(has_come_true, &h, WAIT_S, "a proxy to keep bytes");
}

void kit_proxy_wait_forwarded(kit_proxy *p, kit_way way, uint64_t bytes)
{
	struct hope h = { kit_proxy_forwarded, p, way, bytes };

	kit_wait(has_come_true, &h, WAIT_S, "a proxy to forward bytes");
}
