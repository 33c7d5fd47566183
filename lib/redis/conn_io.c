/*
 * conn_io.c - a connection's bytes, out and in.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <pipemaze/edge.h>

#include "base/wide.h"
#include "redis/conn.h"

#define READ_SIZE 16384
#define SLEEP_MAX_NS PMZ_S(3600)

/* How far may be written now. */
static uint64_t limit_of(const pmz__conn *c)
{
	return c->logins ? c->logins_end : pmz__out_end(&c->out);
}

static void tell_sent(pmz__conn *c, pmz_ns now)
{
	pmz__queue *q = &c->queue;

	for (; q->sent < q->count; q->sent++) {
		pmz__await *a = pmz__queue_at(q, q->sent);

		if (a->ends > c->out.written)
			return;
		if (a->timeout_ns)
			a->due = pmz__min(a->due,
			                  pmz__sat_add(now, a->timeout_ns));
		if (a->op)
			pmz_lock_op_sent(a->op, a->ticket, now);
	}
}

static void broken(pmz__conn *c, const char *doing, int error, pmz_ns now)
{
	char text[96];

	snprintf(text, sizeof(text), "%s: %s", doing, strerror(error));
	pmz__conn_close(c, text, now);
}

/* The server may have said why before it closed. */
static void write_failed(pmz__conn *c, int error, pmz_ns now)
{
	pmz__conn_read(c, now);
	if (c->state == PMZ__CONN_OPEN)
		broken(c, "write", error, now);
}

static ssize_t send_some(const pmz__conn *c)
{
	const pmz__out *o = &c->out;
	size_t len = (size_t)(limit_of(c) - o->written);
	ssize_t n;

	do
		n = send(c->fd, o->bytes + o->from, len,
		         MSG_NOSIGNAL | MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	return n;
}

void pmz__conn_write(pmz__conn *c, pmz_ns now)
{
	while (c->state == PMZ__CONN_OPEN && c->out.written < limit_of(c)) {
		ssize_t n = send_some(c);

		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return;
		if (n < 0) {
			write_failed(c, errno, now);
			return;
		}
		pmz__out_wrote(&c->out, (size_t)n);
		c->asked_at = now;
		tell_sent(c, now);
	}
}

static void not_understood(pmz__conn *c, pmz_ns now)
{
	if (c->reader->err == REDIS_ERR_OOM)
		pmz__conn_close(c, "out of memory", now);
	else
		pmz__conn_nonsense(c, "ERR the answer is no RESP", now);
}

static void take_answers(pmz__conn *c, pmz_ns now)
{
	while (c->state == PMZ__CONN_OPEN) {
		void *reply = NULL;

		if (redisReaderGetReply(c->reader, &reply) != REDIS_OK) {
			not_understood(c, now);
			return;
		}
		if (!reply)
			break;
		c->unread = 0;
		pmz__conn_answer(c, (redisReply *)reply, now);
	}
	if (c->state == PMZ__CONN_OPEN && c->unread > PMZ__REPLY_MAX)
		pmz__conn_nonsense(c, "ERR the answer is too long", now);
}

static void take_bytes(pmz__conn *c, const char *bytes, size_t len, pmz_ns now)
{
	c->unread += len;
	if (redisReaderFeed(c->reader, bytes, len) != REDIS_OK) {
		pmz__conn_close(c, "out of memory", now);
		return;
	}
	take_answers(c, now);
}

/* How many bytes there were; 0: none, or the connection has ended. */
static size_t take(pmz__conn *c, const char *bytes, ssize_t n, int error,
                   pmz_ns now)
{
	if (n < 0 &&
	    (error == EAGAIN || error == EWOULDBLOCK || error == EINTR))
		return 0;
	if (n < 0)
		broken(c, "read", error, now);
	else if (!n)
		pmz__conn_close(c, "closed by the server", now);
	else
		take_bytes(c, bytes, (size_t)n, now);
	return n > 0 ? (size_t)n : 0;
}

static size_t read_some(pmz__conn *c, pmz_ns now)
{
	char bytes[READ_SIZE];
	ssize_t n;

	do
		n = recv(c->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	return take(c, bytes, n, errno, now);
}

/* A signal ends it too. */
static size_t sleep_and_read(pmz__conn *c)
{
	char bytes[READ_SIZE];
	ssize_t n = recv(c->fd, bytes, sizeof(bytes), 0);
	int error = errno;

	return take(c, bytes, n, error, pmz_now());
}

void pmz__conn_read(pmz__conn *c, pmz_ns now)
{
	/* A short read has emptied the socket, but for its end. */
	while (c->state == PMZ__CONN_OPEN && read_some(c, now) == READ_SIZE)
		continue;
}

void pmz__conn_drain(pmz__conn *c, pmz_ns now)
{
	while (c->state == PMZ__CONN_OPEN && read_some(c, now))
		continue;
}

/* In whole ms, so that it is seldom set anew; the kernel counts no finer. */
static int set_patience(pmz__conn *c, pmz_ns left)
{
	pmz_ns ms = left / PMZ_MS(1) + 1;
	struct timeval t;

	if (PMZ_MS(ms) == c->patience)
		return 1;
	t.tv_sec = (time_t)(ms / 1000);
	t.tv_usec = (suseconds_t)(ms % 1000 * 1000);
	if (setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t)))
		return 0;
	c->patience = PMZ_MS(ms);
	return 1;
}

static int waits_for_an_answer(const pmz__conn *c)
{
	return c->state == PMZ__CONN_OPEN && !c->spent && !c->logins &&
	       c->queue.count && c->out.written == pmz__out_end(&c->out);
}

int pmz__conn_sleep(pmz__conn *c, pmz_ns due, pmz_ns now)
{
	if (!waits_for_an_answer(c))
		return 0;
	due = pmz__min(due, pmz__queue_due(&c->queue));
	if (now >= due || !set_patience(c, pmz__min(due - now, SLEEP_MAX_NS)))
		return 0;
	if (!sleep_and_read(c))
		pmz__conn_go_on(c, pmz_now());
	return 1;
}
