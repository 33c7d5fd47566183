/*
 * answer.c - a server's answer goes to whom it is for.
 */
#include <stdio.h>
#include <string.h>

#include "lock/op.h"
#include "redis/conn.h"
#include "redis/node.h"

#define DIGITS_MAX 24

static void tell_error(pmz__await *a, const char *text, size_t len, pmz_ns now)
{
	if (a->op)
		pmz_lock_op_error(a->op, a->ticket, text, len, now);
	a->op = NULL;
}

static void tell_all(pmz__conn *c, const char *text, size_t len, pmz_ns now)
{
	uint32_t i;

	for (i = 0; i < c->queue.count; i++)
		tell_error(pmz__queue_at(&c->queue, i), text, len, now);
}

/* What follows nonsense cannot be told apart from it. */
void pmz__conn_nonsense(pmz__conn *c, const char *text, pmz_ns now)
{
	if (c->queue.count)
		tell_error(pmz__queue_at(&c->queue, 0), text, strlen(text),
		           now);
	pmz__conn_close(c, "the server answered nonsense", now);
}

/* Of these a later try may have another end. */
static int is_passing(const redisReply *reply, int known)
{
	static const char *const passing[] = { "MOVED", "ASK", "MISCONF", "OOM",
		                               "ERR max number of clients" };
	size_t i;

	if (pmz__error_passes(reply->str, reply->len))
		return 1;
	for (i = 0; i < sizeof(passing) / sizeof(*passing); i++)
		if (!strncmp(reply->str, passing[i], strlen(passing[i])))
			return 1;
	return !known && !strncmp(reply->str, "NOSCRIPT", 8);
}

/* An op that still waits sees to a script that the server does not know. */
static void settle_debt(const pmz__conn *c, const pmz__await *a,
                        const redisReply *reply)
{
	if (!a->debt)
		return;
	if (reply->type != REDIS_REPLY_ERROR ||
	    !is_passing(reply, a->op != NULL)) {
		pmz__owed_paid(c->host->owed, a->debt);
		return;
	}
	/* While its op waits, that asks anew and hears what becomes of it. */
	if (!a->op)
		pmz__owed_renew(c->host->owed, a->debt);
	if (c->host->cluster)
		pmz__cluster_doubt(c->host->cluster);
}

static void tell_number(const pmz__await *a, long long n, pmz_ns now)
{
	char digits[DIGITS_MAX];
	int len = snprintf(digits, sizeof(digits), "%lld", n);

	pmz_lock_op_reply(a->op, a->ticket, digits, (size_t)len, now);
}

static int is_text(const redisReply *reply)
{
	return reply->type == REDIS_REPLY_STRING ||
	       reply->type == REDIS_REPLY_STATUS;
}

/* The op may not follow: the address can be too long for it. */
static void doubt_map(const pmz__conn *c, const redisReply *reply)
{
	if (c->host->cluster && !strncmp(reply->str, "MOVED ", 6))
		pmz__cluster_doubt(c->host->cluster);
}

static void settle_command(pmz__conn *c, pmz__await *a, const redisReply *reply,
                           pmz_ns now)
{
	static const char odd[] = "ERR the answer is no line of text";

	settle_debt(c, a, reply);
	if (!a->op)
		return;
	if (is_text(reply)) {
		pmz_lock_op_reply(a->op, a->ticket, reply->str, reply->len,
		                  now);
	} else if (reply->type == REDIS_REPLY_INTEGER) {
		tell_number(a, reply->integer, now);
	} else if (reply->type == REDIS_REPLY_NIL) {
		pmz_lock_op_reply(a->op, a->ticket, "", 0, now);
	} else if (reply->type == REDIS_REPLY_ERROR) {
		doubt_map(c, reply);
		tell_error(a, reply->str, reply->len, now);
	} else {
		tell_error(a, odd, sizeof(odd) - 1, now);
		pmz__conn_nonsense(c, odd, now);
	}
}

static void settle_login(pmz__conn *c, const redisReply *reply, pmz_ns now)
{
	if (reply->type == REDIS_REPLY_ERROR) {
		tell_all(c, reply->str, reply->len, now);
		pmz__conn_close(c, reply->str, now);
		return;
	}
	if (!--c->logins)
		pmz__conn_write(c, now);
}

/* Bytes that nobody asked for are a server's last words, or not meant for us:
 * an answer must not be taken for that of the next command. */
static void unasked(pmz__conn *c, const redisReply *reply, pmz_ns now)
{
	if (c->hears)
		c->told(c->ctx, NULL, reply, now);
	else
		pmz__conn_close(c, "an answer to nothing", now);
}

static void settle(pmz__conn *c, const redisReply *reply, pmz_ns now)
{
	pmz__await a = pmz__queue_shift(&c->queue);

	switch (a.kind) {
	case PMZ__COMMAND:
	case PMZ__DEBT:
		settle_command(c, &a, reply, now);
		break;
	case PMZ__LOGIN:
		settle_login(c, reply, now);
		break;
	case PMZ__ASKING:
		break;
	default:
		c->told(c->ctx, &a, reply, now);
	}
}

void pmz__conn_answer(pmz__conn *c, redisReply *reply, pmz_ns now)
{
	c->down = 0;
	if (c->queue.count)
		settle(c, reply, now);
	else
		unasked(c, reply, now);
	freeReplyObject(reply);
}
