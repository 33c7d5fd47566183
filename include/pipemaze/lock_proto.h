/*
 * lock_proto.h - the lock's protocol without I/O, for a client or an event loop
 * of your own.
 *
 * One operation is a cursor, as a pmz_call is: it says which command goes to
 * which node, is told what came back, and says when it wants to be asked again.
 *
 *   st = pmz_lock_op_acquire(&op, &rules, "orders:42", PMZ_S(30), now, seed,
 *                            now, NULL);
 *   while ((step = pmz_lock_op_next(&op, pmz_now(), &order)) != PMZ_LOCK_DONE)
 *       if (step == PMZ_LOCK_SEND)
 *           send(order.node, order.argc, order.argv, order.len);
 *       else
 *           read_replies_until(order.due);
 *   st = pmz_lock_op_end(&op, &lease, NULL);
 *
 * and for each reply pmz_lock_op_reply(), or _error() for a Redis error, with
 * the ticket of its order; _fail() for a connection that broke.
 *
 * What the protocol promises, whatever is late or lost, and whatever reply comes
 * twice:
 * - A token is one holder's. It is sent again after a reply that was lost, and
 *   never again once it has been released or abandoned.
 * - What may have been set and was not confirmed is abandoned: a tombstone lets
 *   a SET that lands late grant nothing.
 * - The lease ends before the server's does: t + ttl - drift, with t from before
 *   the first byte, and a drift of 1 % and 2 ms.
 * - The fence is more than every one before it: max(server's time in us, last +
 *   1), and on a quorum the largest of a majority, which is written to a
 *   majority before the lease is handed out.
 * Redlock: https://redis.io/docs/manual/patterns/distributed-locks/
 *
 * Nothing here blocks, reads a clock, allocates or calls back.
 * Threads: one at a time per pmz_lock_op.
 */
#ifndef PIPEMAZE_LOCK_PROTO_H
#define PIPEMAZE_LOCK_PROTO_H

#include <pipemaze/backoff.h>
#include <pipemaze/base.h>
#include <pipemaze/lock.h>

PMZ_BEGIN_DECLS

#define PMZ_LOCK_NODES_MAX 16
#define PMZ_LOCK_ARGS_MAX 9
#define PMZ_LOCK_TTL_MAX PMZ_S(30 * 24 * 3600)

/* NULL for the defaults, which are those of pmz_locks_config. */
typedef struct pmz_lock_rules {
	uint32_t size;
	uint32_t nodes;     /* 1  independent servers, a cluster counts as one */
	uint32_t drift_ppm; /* 10000 */
	uint32_t replicas_min;
	uint32_t fence_off;
	uint32_t reserved;
	pmz_ns node_timeout_ns;
	pmz_ns connect_ns;
	const pmz_backoff_rule *backoff;
	PMZ_POINTER_PAD(reserved_pointer)
} pmz_lock_rules;

/* Plain data without pointers: copy it, store it. */
typedef struct pmz_lock_op {
	uint64_t opaque[192];
} pmz_lock_op;

typedef enum pmz_lock_step {
	PMZ_LOCK_DONE = 0,
	PMZ_LOCK_SEND = 1, /* the command of the order */
	PMZ_LOCK_READ = 2, /* replies, until order.due */
	PMZ_LOCK_PAUSE = 3 /* until order.due, or a notice: pmz_lock_op_wake() */
} pmz_lock_step;

typedef enum pmz_lock_verb {
	PMZ_LOCK_ACQUIRE = 1,
	PMZ_LOCK_RAISE = 2,     /* the fence of a quorum */
	PMZ_LOCK_REPLICATE = 3, /* waits for replicas_min */
	PMZ_LOCK_EXTEND = 4,
	PMZ_LOCK_RELEASE = 5,
	PMZ_LOCK_ABANDON = 6, /* releases, and leaves a tombstone */
	PMZ_LOCK_PEEK = 7
} pmz_lock_verb;

/* What to do. All it points at lies in itself or is constant: it stands until
 * the next call with this order, and is not to be copied. Each argument also
 * ends at a NUL. */
typedef struct pmz_lock_order {
	pmz_ns due;        /* of SEND: the node has failed if silent by then */
	pmz_ns timeout_ns; /* ... or for so long once it is written */
	uint32_t node;     /* from 0 */
	uint32_t ticket;   /* comes back with the reply; never 0 */
	uint32_t verb;     /* pmz_lock_verb */
	uint32_t asking;   /* 1: send ASKING before it */
	uint32_t urgent;   /* 0: a node that failed of late may be spared it */
	uint32_t wakes;    /* of PAUSE: 1 if a notice of release would end it */
	uint32_t reserved;
	uint32_t argc;
	const char *argv[PMZ_LOCK_ARGS_MAX];
	const char *moved; /* "host:port" of a cluster's node that it goes to, or
	                    * NULL: where the order before it went */
	size_t len[PMZ_LOCK_ARGS_MAX];
	PMZ_POINTER_PAD(reserved_pointer)
	char text[704];
} pmz_lock_order;

/* No try begins after `until`, and no answer is waited for beyond it, but that
 * the first try always has its time-outs: until = now is one try.
 * `seed` is 128 random bits, from which the tokens come: use each once.
 * PMZ_E_CONFIG: the name is empty, longer than PMZ_LOCK_NAME_MAX or has braces,
 * or the ttl is not above drift and 2 ms, or above PMZ_LOCK_TTL_MAX. */
PMZ_API PMZ_MUST_USE int
pmz_lock_op_acquire(pmz_lock_op *op, const pmz_lock_rules *rules,
                    const char *name, pmz_ns ttl, pmz_ns until,
                    const uint64_t seed[2], pmz_ns now, pmz_why *why);
/* The lease is copied, and given back by pmz_lock_op_end(). */
PMZ_API PMZ_MUST_USE int pmz_lock_op_extend(pmz_lock_op *op,
                                            const pmz_lock_rules *rules,
                                            const pmz_lease *lease, pmz_ns ttl,
                                            pmz_ns now, pmz_why *why);
PMZ_API PMZ_MUST_USE int pmz_lock_op_release(pmz_lock_op *op,
                                             const pmz_lock_rules *rules,
                                             const pmz_lease *lease, pmz_ns now,
                                             pmz_why *why);
PMZ_API PMZ_MUST_USE int pmz_lock_op_peek(pmz_lock_op *op,
                                          const pmz_lock_rules *rules,
                                          const char *name, pmz_ns now,
                                          pmz_why *why);

/* Ask again after each reply, failure or notice, and when order->due has
 * come. An ABANDON that cannot be written, or is not answered before its
 * connection ends, is owed: send it first on that node's next connection. */
PMZ_API pmz_lock_step pmz_lock_op_next(pmz_lock_op *op, pmz_ns now,
                                       pmz_lock_order *order);

/* The last byte of an order was handed to the network: the node has
 * node_timeout_ns from here. Without this call, connect_ns more. */
PMZ_API void pmz_lock_op_sent(pmz_lock_op *op, uint32_t ticket, pmz_ns now);
/* A reply as text: a bulk or simple string as it is, an integer in digits, nil
 * as no bytes. Of tickets that are no longer awaited nothing is taken. */
PMZ_API void pmz_lock_op_reply(pmz_lock_op *op, uint32_t ticket,
                               const char *text, size_t len, pmz_ns now);
/* An error reply, without its dash. */
PMZ_API void pmz_lock_op_error(pmz_lock_op *op, uint32_t ticket,
                               const char *text, size_t len, pmz_ns now);
/* No reply will come. `written` 0: the whole command never left. */
PMZ_API void pmz_lock_op_fail(pmz_lock_op *op, uint32_t ticket, int written,
                              const char *text, pmz_ns now);

/* A PAUSE ends now: the key has changed, or may have. */
PMZ_API void pmz_lock_op_wake(pmz_lock_op *op, pmz_ns now);
/* 1: from here on a release wakes the op, so that it need not look by itself
 * before the holder's lease ends. 0: it does not any more. */
PMZ_API void pmz_lock_op_listens(pmz_lock_op *op, int yes);
/* Ends an acquire, which takes back what it may have set: PMZ_CANCELLED. Others
 * are short, and go on. */
PMZ_API void pmz_lock_op_cancel(pmz_lock_op *op, pmz_ns now);

/* After PMZ_LOCK_DONE: the status and the lease as lock.h says, of a peek the
 * holder's. PMZ_E_STATE before that. `why` may be NULL. */
PMZ_API int pmz_lock_op_end(const pmz_lock_op *op, pmz_lease *lease,
                            pmz_why *why);
PMZ_API size_t pmz_lock_op_size(void);
PMZ_API size_t pmz_lock_order_size(void);

/* The script behind a verb, and its SHA-1 in hex as EVALSHA takes it; NULL for
 * what is no verb, or has none. For a server on which scripts are loaded by
 * somebody else. */
PMZ_API const char *pmz_lock_script(uint32_t verb);
PMZ_API const char *pmz_lock_script_sha(uint32_t verb);

PMZ_END_DECLS
#endif /* PIPEMAZE_LOCK_PROTO_H */
