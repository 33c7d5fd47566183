/*
 * order.c - the commands, as arguments.
 */
#include <string.h>

#include "base/wide.h"
#include "lock/op.h"
#include "lock/scripts.h"

#define DIGITS_MAX 20 /* of 64 bits */

/* Where the next text of an order goes. */
typedef struct pen {
	pmz_lock_order *order;
	size_t used;
} pen;

static void add_constant(pen *p, const char *text, size_t len)
{
	pmz_lock_order *order = p->order;

	PMZ__ASSERT(order->argc < PMZ_LOCK_ARGS_MAX);
	order->argv[order->argc] = text;
	order->len[order->argc++] = len;
}

/* Writes up to four pieces one behind the other. */
static void add_text(pen *p, const char *a, const char *b, const char *c,
                     const char *d)
{
	const char *pieces[] = { a, b, c, d };
	char *at = p->order->text + p->used;
	size_t i, len = 0;

	for (i = 0; i < sizeof(pieces) / sizeof(*pieces); i++) {
		size_t more = strlen(pieces[i]);

		PMZ__ASSERT(p->used + len + more < sizeof(p->order->text));
		memcpy(at + len, pieces[i], more);
		len += more;
	}
	at[len] = '\0';
	p->used += len + 1;
	add_constant(p, at, len);
}

static void add_number(pen *p, uint64_t n)
{
	char digits[DIGITS_MAX + 1], *at = digits + DIGITS_MAX;

	*at = '\0';
	do
		*--at = (char)('0' + n % 10);
	while (n /= 10);
	add_text(p, at, "", "", "");
}

/* Where a NOSCRIPT would come when nobody waits for it any more: of what is
 * owed, and of a quorum's slowest nodes, without which it is decided. */
static int is_sent_whole(const pmz__op *op, uint32_t verb)
{
	return op->nodes > 1 || verb == PMZ_LOCK_ABANDON;
}

static void add_script(pen *p, const pmz__op *op, const pmz__seat *seat,
                       uint32_t verb, int keys)
{
	static const char *const counts[] = { "0", "1", "2", "3" };
	int whole = seat->eval || is_sent_whole(op, verb);
	const char *body =
		whole ? pmz_lock_script(verb) : pmz_lock_script_sha(verb);

	if (whole)
		add_constant(p, "EVAL", 4);
	else
		add_constant(p, "EVALSHA", 7);
	add_constant(p, body, strlen(body));
	add_constant(p, counts[keys], 1);
}

static void add_lock(pen *p, const pmz__op *op)
{
	add_text(p, "lock:", op->name, "", "");
}

static void add_fence(pen *p, const pmz__op *op)
{
	add_text(p, "{lock:", op->name, "}:f", "");
}

static void add_tomb(pen *p, const pmz__op *op)
{
	add_text(p, "{lock:", op->name, "}:x:", op->token);
}

static void add_token(pen *p, const pmz__op *op)
{
	add_text(p, op->token, "", "", "");
}

static uint64_t ttl_ms(const pmz__op *op)
{
	return (op->ttl + PMZ_MS(1) - 1) / PMZ_MS(1);
}

static void write_acquire(pen *p, const pmz__op *op, const pmz__seat *seat)
{
	add_script(p, op, seat, PMZ_LOCK_ACQUIRE, op->fence_off ? 2 : 3);
	add_lock(p, op);
	add_tomb(p, op);
	if (!op->fence_off)
		add_fence(p, op);
	add_token(p, op);
	add_number(p, ttl_ms(op));
	if (!op->fence_off)
		add_number(p, ttl_ms(op) + PMZ__FENCE_MORE_MS);
}

static void write_raise(pen *p, const pmz__op *op, const pmz__seat *seat)
{
	add_script(p, op, seat, PMZ_LOCK_RAISE, 2);
	add_lock(p, op);
	add_fence(p, op);
	add_token(p, op);
	add_number(p, op->fence);
	add_number(p, ttl_ms(op) + PMZ__FENCE_MORE_MS);
}

/* The server must answer before its node counts as silent. */
static void write_replicate(pen *p, const pmz__op *op)
{
	add_constant(p, "WAIT", 4);
	add_number(p, op->replicas_min);
	add_number(p, pmz__max(op->node_timeout / 2 / PMZ_MS(1), 1));
}

static void write_extend(pen *p, const pmz__op *op, const pmz__seat *seat)
{
	add_script(p, op, seat, PMZ_LOCK_EXTEND, 1);
	add_lock(p, op);
	add_token(p, op);
	add_number(p, ttl_ms(op));
}

static void write_release(pen *p, const pmz__op *op, const pmz__seat *seat,
                          int tomb)
{
	if (!tomb) {
		add_script(p, op, seat, PMZ_LOCK_RELEASE, 1);
		add_lock(p, op);
		add_token(p, op);
		return;
	}
	add_script(p, op, seat, PMZ_LOCK_ABANDON, 2);
	add_lock(p, op);
	add_tomb(p, op);
	add_token(p, op);
	add_number(p, ttl_ms(op) + PMZ__TOMB_MORE_MS);
}

static void write_peek(pen *p, const pmz__op *op, const pmz__seat *seat)
{
	add_script(p, op, seat, PMZ_LOCK_PEEK, 2);
	add_lock(p, op);
	add_fence(p, op);
}

static enum pmz_lock_verb verb_of(const pmz__op *op, const pmz__seat *seat)
{
	switch (op->round) {
	case PMZ__RAISING:
		return PMZ_LOCK_RAISE;
	case PMZ__REPLICATING:
		return PMZ_LOCK_REPLICATE;
	case PMZ__EXTENDING:
		return PMZ_LOCK_EXTEND;
	case PMZ__RELEASING:
		return seat->ghost ? PMZ_LOCK_ABANDON : PMZ_LOCK_RELEASE;
	case PMZ__UNDOING:
		return PMZ_LOCK_ABANDON;
	case PMZ__PEEKING:
		return PMZ_LOCK_PEEK;
	default:
		return PMZ_LOCK_ACQUIRE;
	}
}

static void write_command(pen *p, const pmz__op *op, const pmz__seat *seat)
{
	switch (p->order->verb) {
	case PMZ_LOCK_ACQUIRE:
		write_acquire(p, op, seat);
		break;
	case PMZ_LOCK_RAISE:
		write_raise(p, op, seat);
		break;
	case PMZ_LOCK_REPLICATE:
		write_replicate(p, op);
		break;
	case PMZ_LOCK_EXTEND:
		write_extend(p, op, seat);
		break;
	case PMZ_LOCK_PEEK:
		write_peek(p, op, seat);
		break;
	default:
		write_release(p, op, seat, p->order->verb == PMZ_LOCK_ABANDON);
	}
}

static void write_address(pen *p, const pmz__op *op)
{
	pmz_lock_order *order = p->order;
	size_t len = strlen(op->moved);

	order->moved = NULL;
	if (!len)
		return;
	order->moved = memcpy(order->text + p->used, op->moved, len + 1);
	p->used += len + 1;
}

void pmz__order_fill(const pmz__op *op, uint32_t node, pmz_lock_order *order)
{
	const pmz__seat *seat = &op->seats[node];
	pen p = { order, 0 };

	order->due = seat->due;
	order->timeout_ns = op->node_timeout;
	order->node = node;
	order->ticket = seat->ticket;
	order->verb = verb_of(op, seat);
	order->asking = op->moved[0] && op->asking;
	order->urgent = op->round != PMZ__ACQUIRING ||
	                pmz_backoff_tries(&op->backoff) == 1;
	order->argc = 0;
	write_command(&p, op, seat);
	write_address(&p, op);
}
