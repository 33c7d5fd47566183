/*
 * user_reply.c - what the drivers over a user's own connections have in common.
 */
#include "redis/user_reply.h"

#include <stdio.h>
#include <string.h>

#define DIGITS_MAX 24

static void reply_number(pmz_lock_op *op, uint32_t ticket, long long n,
                         pmz_ns now)
{
	char digits[DIGITS_MAX];
	int len = snprintf(digits, sizeof(digits), "%lld", n);

	pmz_lock_op_reply(op, ticket, digits, (size_t)len, now);
}

void pmz__user_reply(pmz_lock_op *op, uint32_t ticket, const redisReply *reply,
                     pmz_ns now)
{
	static const char odd[] = "ERR the answer is no line of text";

	switch (reply->type) {
	case REDIS_REPLY_STRING:
	case REDIS_REPLY_STATUS:
		pmz_lock_op_reply(op, ticket, reply->str, reply->len, now);
		break;
	case REDIS_REPLY_INTEGER:
		reply_number(op, ticket, reply->integer, now);
		break;
	case REDIS_REPLY_NIL:
		pmz_lock_op_reply(op, ticket, "", 0, now);
		break;
	case REDIS_REPLY_ERROR:
		pmz_lock_op_error(op, ticket, reply->str, reply->len, now);
		break;
	default:
		pmz_lock_op_error(op, ticket, odd, sizeof(odd) - 1, now);
	}
}

int pmz__user_moved(pmz_lock_op *op, const pmz_lock_order *order, pmz_ns now)
{
	char words[128];

	if (!order->moved)
		return 0;
	snprintf(words, sizeof(words),
	         "ERR the key is at %s, which this connection does not reach",
	         order->moved);
	pmz_lock_op_error(op, order->ticket, words, strlen(words), now);
	return 1;
}

int pmz__user_gives_back(const pmz_lock_order *order)
{
	return order->verb == PMZ_LOCK_RELEASE ||
	       order->verb == PMZ_LOCK_ABANDON;
}
