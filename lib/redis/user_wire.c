/*
 * user_wire.c - a user's blocking connection, while a lock is driven over it.
 *
 * All reading and writing is hiredis' own, so that TLS is, too. It does not
 * block since both the socket and the context are told so for the while: a
 * context that believes it blocks takes EAGAIN for an error.
 */
#include "redis/user_wire.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/wide.h"

#ifdef REDIS_ERR_TIMEOUT
#define ERR_SILENT REDIS_ERR_TIMEOUT
#else
#define ERR_SILENT REDIS_ERR_IO
#endif

/* What hiredis does to a context that failed; it reads and writes no more. */
static void put_in_error(redisContext *c, int err, const char *words)
{
	c->err = err;
	snprintf(c->errstr, sizeof(c->errstr), "%s", words);
}

/* Bytes of TLS may be nobody's answer. */
static int is_encrypted(const redisContext *c)
{
#if HIREDIS_MAJOR >= 1
	return c->privctx != NULL;
#else
	(void)c;
	return 0;
#endif
}

int pmz__wire_is_idle(redisContext *c)
{
	ssize_t n;
	char byte;

	if ((c->obuf && *c->obuf) || c->reader->len > c->reader->pos)
		return 0;
	n = recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
	if (n == 0)
		put_in_error(c, REDIS_ERR_EOF, "Server closed the connection");
	return n <= 0 || is_encrypted(c);
}

void pmz__wire_borrow(pmz__wire *w, redisContext *c, pmz_lock_op *op)
{
	memset(w, 0, sizeof(*w));
	w->c = c;
	w->op = op;
	w->fd_flags = -1;
	if (!pmz__wire_is_alive(w))
		return;
	w->fd_flags = fcntl(c->fd, F_GETFL);
	if (w->fd_flags >= 0 && !(w->fd_flags & O_NONBLOCK))
		fcntl(c->fd, F_SETFL, w->fd_flags | O_NONBLOCK);
	else
		w->fd_flags = -1;
	w->blocked = c->flags & REDIS_BLOCK;
	c->flags &= ~REDIS_BLOCK;
}

void pmz__wire_give_back(pmz__wire *w)
{
	if (!w->c)
		return;
	if (w->count && !w->c->err)
		put_in_error(w->c, ERR_SILENT, pmz__wire_words(w));
	if (w->fd_flags >= 0)
		fcntl(w->c->fd, F_SETFL, w->fd_flags);
	w->c->flags |= w->blocked;
}

int pmz__wire_is_alive(const pmz__wire *w)
{
	return w->c && !w->c->err;
}

pmz_ns pmz__wire_due(const pmz__wire *w)
{
	return w->count ? w->owing[0].due : PMZ_NEVER;
}

int pmz__wire_is_usable(const pmz__wire *w, pmz_ns now)
{
	return pmz__wire_is_alive(w) && now < pmz__wire_due(w);
}

const char *pmz__wire_words(const pmz__wire *w)
{
	if (!w->c)
		return "there is no connection";
	return w->c->err ? w->c->errstr : "no answer in time";
}

/* It is in error, and answers nothing any more. */
static void lose(pmz__wire *w, pmz_ns now)
{
	uint32_t i;

	for (i = 0; i < w->count; i++)
		pmz_lock_op_fail(w->op, w->owing[i].ticket, w->owing[i].left,
		                 w->c->errstr, now);
	w->count = 0;
	w->unwritten = 0;
}

static int takes(const pmz__wire *w, const pmz_lock_order *order, pmz_ns now)
{
	if (w->count == PMZ__USER_AWAITS_MAX || !pmz__wire_is_alive(w))
		return 0;
	return pmz__wire_is_usable(w, now) || pmz__user_gives_back(order);
}

static void owe(pmz__wire *w, const pmz_lock_order *order)
{
	pmz__owing *owing = &w->owing[w->count++];

	memset(owing, 0, sizeof(*owing));
	owing->ticket = order->ticket;
	owing->due = order->due;
	owing->timeout = order->timeout_ns;
	w->unwritten = 1;
}

void pmz__wire_send(pmz__wire *w, pmz_lock_order *order, pmz_ns now)
{
	if (pmz__user_moved(w->op, order, now))
		return;
	if (takes(w, order, now) &&
	    redisAppendCommandArgv(w->c, (int)order->argc, order->argv,
	                           order->len) == REDIS_OK)
		owe(w, order);
	else
		pmz_lock_op_fail(w->op, order->ticket, 0, pmz__wire_words(w),
		                 now);
}

static void sent(const pmz__wire *w, pmz__owing *owing, pmz_ns now)
{
	owing->sent = 1;
	owing->due = pmz__min(owing->due, pmz__sat_add(now, owing->timeout));
	pmz_lock_op_sent(w->op, owing->ticket, now);
}

int pmz__wire_write(pmz__wire *w, pmz_ns now)
{
	int all = 0;
	uint32_t i;

	if (!w->unwritten || !pmz__wire_is_alive(w))
		return 1;
	if (redisBufferWrite(w->c, &all) != REDIS_OK) {
		lose(w, now);
		return 0;
	}
	for (i = 0; i < w->count; i++) {
		w->owing[i].left = 1;
		if (all && !w->owing[i].sent)
			sent(w, &w->owing[i], now);
	}
	w->unwritten = !all;
	return 1;
}

/* 1 if it was a push of RESP3, which is nobody's answer. */
static int take_push(const pmz__wire *w, redisReply *reply)
{
#ifdef REDIS_REPLY_PUSH
	if (reply->type != REDIS_REPLY_PUSH)
		return 0;
	if (w->c->push_cb)
		w->c->push_cb(w->c->privdata, reply);
	else
		freeReplyObject(reply);
	return 1;
#else
	(void)w;
	(void)reply;
	return 0;
#endif
}

static void take(pmz__wire *w, redisReply *reply, pmz_ns now)
{
	if (take_push(w, reply))
		return;
	if (w->count) {
		uint32_t ticket = w->owing[0].ticket;

		w->count--;
		memmove(w->owing, w->owing + 1, w->count * sizeof(*w->owing));
		pmz__user_reply(w->op, ticket, reply, now);
	} else {
		put_in_error(w->c, REDIS_ERR_PROTOCOL, "an answer to nothing");
	}
	freeReplyObject(reply);
}

void pmz__wire_read(pmz__wire *w, pmz_ns now)
{
	void *reply = NULL;

	if (!pmz__wire_is_alive(w))
		return;
	if (redisBufferRead(w->c) == REDIS_OK)
		while (!w->c->err &&
		       redisGetReplyFromReader(w->c, &reply) == REDIS_OK &&
		       reply)
			take(w, reply, now);
	if (w->c->err)
		lose(w, now);
}
