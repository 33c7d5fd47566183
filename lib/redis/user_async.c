/*
 * user_async.c - a lock over a user's own asynchronous connections.
 *
 * hiredis calls back once for each command, be it years later, when its context
 * is freed. So what it is given is a slip of its own, which points to the op's
 * driver until that is done: then the driver lets go of its slips, and may be
 * freed while they are still out.
 */
#include <pipemaze/lock_hiredis.h>

#include <hiredis/async.h>
#include <string.h>

#include <pipemaze/edge.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "lock/op.h"
#include "redis/user_reply.h"

typedef struct slip slip;

typedef struct async {
	redisAsyncContext *contexts[PMZ_LOCK_NODES_MAX];
	pmz_lock_op *op;
	pmz_lock_async_fn fn;
	void *ctx;
	slip *slips;
	pmz_ns due;
	uint32_t count;
	uint8_t done;
	uint8_t told; /* that it is done */
	uint8_t pad[2];
} PMZ__MAY_ALIAS async;

_Static_assert(sizeof(async) <= sizeof(pmz_lock_async), "pmz_lock_async");

struct slip {
	slip *next;
	async *owner; /* NULL: it takes no more answers */
	uint32_t ticket;
	uint32_t node;
};

static async *state_of(pmz_lock_async *a)
{
	PMZ__ASSERT(a);
	return (async *)a->opaque;
}

static const async *state_in(const pmz_lock_async *a)
{
	PMZ__ASSERT(a);
	return (const async *)a->opaque;
}

static void let_go(async *a)
{
	slip *s;

	while ((s = a->slips)) {
		a->slips = s->next;
		s->owner = NULL;
	}
}

static void unlink_slip(async *a, const slip *s)
{
	slip **at = &a->slips;

	while (*at != s)
		at = &(*at)->next;
	*at = s->next;
}

static uint32_t slips_out(const async *a, uint32_t node)
{
	const slip *s;
	uint32_t n = 0;

	for (s = a->slips; s; s = s->next)
		n += s->node == node;
	return n;
}

static const char *words_of(const redisAsyncContext *ac)
{
	return ac->err && ac->errstr ? ac->errstr : "the connection is closed";
}

/* NULL: the node can be sent a command. */
static const char *why_not(const async *a, uint32_t node)
{
	const redisAsyncContext *ac = a->contexts[node];

	if (!ac)
		return "there is no connection";
	if (ac->err)
		return words_of(ac);
	if (ac->c.flags & (REDIS_SUBSCRIBED | REDIS_MONITORING))
		return "the connection is subscribed";
	if (slips_out(a, node) >= PMZ__USER_AWAITS_MAX)
		return "too many answers are out";
	return NULL;
}

static void answered(redisAsyncContext *ac, void *reply, void *ctx);

/* Else hiredis refuses a command for want of memory alone. */
static int is_closing(const redisAsyncContext *ac)
{
	return ac->err || (ac->c.flags & (REDIS_DISCONNECTING | REDIS_FREEING));
}

static const char *post(async *a, pmz_lock_order *order)
{
	redisAsyncContext *ac = a->contexts[order->node];
	slip *s = (slip *)pmz__alloc(sizeof(*s));

	if (!s)
		return "out of memory";
	s->owner = a;
	s->ticket = order->ticket;
	s->node = order->node;
	if (redisAsyncCommandArgv(ac, answered, s, (int)order->argc,
	                          order->argv, order->len) != REDIS_OK) {
		pmz__free(s);
		return is_closing(ac) ? words_of(ac) : "out of memory";
	}
	s->next = a->slips;
	a->slips = s;
	return NULL;
}

static void send_order(async *a, pmz_lock_order *order, pmz_ns now)
{
	const char *failure;

	if (pmz__user_moved(a->op, order, now))
		return;
	failure = why_not(a, order->node);
	if (!failure)
		failure = post(a, order);
	if (failure)
		pmz_lock_op_fail(a->op, order->ticket, 0, failure, now);
	else if (a->contexts[order->node]->c.flags & REDIS_CONNECTED)
		pmz_lock_op_sent(a->op, order->ticket, now);
}

static void advance(async *a, pmz_ns now)
{
	pmz_lock_order order;
	pmz_lock_step step;

	while ((step = pmz_lock_op_next(a->op, now, &order)) == PMZ_LOCK_SEND)
		send_order(a, &order, now);
	if (step != PMZ_LOCK_DONE) {
		a->due = order.due;
		return;
	}
	a->done = 1;
	let_go(a);
}

/* The last to touch it: it may be freed in there. */
static void tell(async *a)
{
	if (!a->fn || a->told)
		return;
	a->told = a->done;
	a->fn((pmz_lock_async *)a, a->done, a->ctx);
}

static void take(async *a, const slip *s, const redisAsyncContext *ac,
                 const redisReply *reply, pmz_ns now)
{
	if (reply) {
		pmz__user_reply(a->op, s->ticket, reply, now);
		return;
	}
	/* It is freed after this. */
	if (a->contexts[s->node] == ac)
		a->contexts[s->node] = NULL;
	pmz_lock_op_fail(a->op, s->ticket, 1, words_of(ac), now);
}

static void answered(redisAsyncContext *ac, void *reply, void *ctx)
{
	slip *s = (slip *)ctx;
	async *a = s->owner;
	pmz_ns now, due;

	if (!a) {
		pmz__free(s);
		return;
	}
	now = pmz_now();
	due = a->due;
	unlink_slip(a, s);
	take(a, s, ac, (const redisReply *)reply, now);
	pmz__free(s);
	advance(a, now);
	if (a->done || a->due != due)
		tell(a);
}

static int check(redisAsyncContext *const *contexts, size_t count,
                 const pmz_lock_op *op)
{
	size_t i, j;

	if (count != pmz__op_in(op)->nodes)
		return PMZ_E_CONFIG;
	for (i = 0; i < count; i++)
		for (j = 0; j < i; j++)
			if (contexts[i] && contexts[i] == contexts[j])
				return PMZ_E_CONFIG;
	return PMZ_OK;
}

int pmz_lock_async_start(pmz_lock_async *out,
                         redisAsyncContext *const *contexts, size_t count,
                         pmz_lock_op *op, pmz_ns now, pmz_lock_async_fn fn,
                         void *ctx)
{
	async *a = state_of(out);
	int status;

	PMZ__ASSERT(contexts && op);
	memset(out, 0, sizeof(*out));
	a->done = a->told = 1;
	status = check(contexts, count, op);
	if (status)
		return status;
	a->done = a->told = 0;
	a->op = op;
	a->fn = fn;
	a->ctx = ctx;
	a->count = (uint32_t)count;
	memcpy(a->contexts, contexts, count * sizeof(*contexts));
	advance(a, now);
	return PMZ_OK;
}

pmz_ns pmz_lock_async_due(const pmz_lock_async *handle)
{
	const async *a = state_in(handle);

	if (!a->done)
		return a->due;
	return a->fn && !a->told ? 0 : PMZ_NEVER;
}

void pmz_lock_async_go_on(pmz_lock_async *handle, pmz_ns now)
{
	async *a = state_of(handle);

	if (!a->done)
		advance(a, now);
	if (a->done)
		tell(a);
}

int pmz_lock_async_is_done(const pmz_lock_async *handle)
{
	return state_in(handle)->done;
}

void pmz_lock_async_use(pmz_lock_async *handle, uint32_t node,
                        redisAsyncContext *context)
{
	async *a = state_of(handle);

	if (node < a->count)
		a->contexts[node] = context;
}

void pmz_lock_async_cancel(pmz_lock_async *handle, pmz_ns now)
{
	async *a = state_of(handle);

	if (a->done)
		return;
	pmz_lock_op_cancel(a->op, now);
	advance(a, now);
}

void pmz_lock_async_forget(pmz_lock_async *handle)
{
	async *a = state_of(handle);

	let_go(a);
	a->done = a->told = 1;
}

size_t pmz_lock_async_size(void)
{
	return sizeof(pmz_lock_async);
}
