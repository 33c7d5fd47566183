/*
 * user_sync.c - a lock over a user's own blocking connections.
 *
 * All are written to before any is read from, and read as they become ready. An
 * op is often decided before the last node has answered; what is still out then
 * is waited for, since the connection goes back to its user, who would take a
 * late reply for his own.
 */
#include <pipemaze/lock_hiredis.h>

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <time.h>

#include <pipemaze/edge.h>

#include "base/config.h"
#include "base/wide.h"
#include "edge/entropy.h"
#include "lock/op.h"
#include "redis/user_wire.h"

#define NAP_MAX PMZ_S(3600)

typedef struct drive {
	pmz_lock_op *op;
	uint32_t count;
	uint32_t pad;
	pmz__wire wires[PMZ_LOCK_NODES_MAX];
} drive;

/* What must not happen to a thread that has the user's connections in hand. */
typedef struct guard {
	sigset_t mask;
	int pending; /* a SIGPIPE that is not ours to take */
	int cancellation;
} guard;

static int is_pending(void)
{
	sigset_t set;

	return !sigpending(&set) && sigismember(&set, SIGPIPE);
}

static void guard_up(guard *g)
{
	sigset_t set;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &g->cancellation);
	sigemptyset(&set);
	sigaddset(&set, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &set, &g->mask);
	g->pending = is_pending();
}

static void guard_down(const guard *g)
{
	sigset_t set;
	int taken, previous;

	sigemptyset(&set);
	sigaddset(&set, SIGPIPE);
	if (!g->pending && is_pending())
		sigwait(&set, &taken);
	pthread_sigmask(SIG_SETMASK, &g->mask, NULL);
	pthread_setcancelstate(g->cancellation, &previous);
}

/* Returns early if it likes. */
static void doze(struct pollfd *fds, nfds_t count, pmz_ns due)
{
	pmz_ns left = pmz__min(pmz__sat_sub(due, pmz_now()), NAP_MAX);
	struct timespec t = { (time_t)(left / PMZ_S(1)),
		              (long)(left % PMZ_S(1)) };

	if (ppoll(fds, count, &t, NULL) < 0)
		for (; count; count--)
			fds[count - 1].revents = 0;
}

static void go_on(pmz__wire *w, short events, pmz_ns now)
{
	if (events & POLLOUT)
		pmz__wire_write(w, now);
	if (events & ~POLLOUT)
		pmz__wire_read(w, now);
}

static void wait_until(drive *d, pmz_ns due)
{
	struct pollfd fds[PMZ_LOCK_NODES_MAX];
	pmz_ns now;
	uint32_t i;

	for (i = 0; i < d->count; i++) {
		const pmz__wire *w = &d->wires[i];

		fds[i].fd = pmz__wire_is_alive(w) ? w->c->fd : -1;
		fds[i].events = w->unwritten ? POLLIN | POLLOUT : POLLIN;
		fds[i].revents = 0;
	}
	doze(fds, d->count, due);
	now = pmz_now();
	for (i = 0; i < d->count; i++)
		go_on(&d->wires[i], fds[i].revents, now);
}

/* The first answer that is owed and not overdue; PMZ_NEVER: there is none. */
static pmz_ns first_due(const drive *d, pmz_ns now)
{
	pmz_ns due = PMZ_NEVER;
	uint32_t i;

	for (i = 0; i < d->count; i++)
		if (pmz__wire_is_usable(&d->wires[i], now))
			due = pmz__min(due, pmz__wire_due(&d->wires[i]));
	return due;
}

/* 0: a connection broke, which its op has been told. */
static int write_all(drive *d, pmz_ns now)
{
	uint32_t i;
	int well = 1;

	for (i = 0; i < d->count; i++)
		well &= pmz__wire_write(&d->wires[i], now);
	return well;
}

/* All that the op wants sent; returns what it wants then. */
static pmz_lock_step send_all(drive *d, pmz_lock_order *order, pmz_ns now)
{
	pmz_lock_step step;

	do
		while ((step = pmz_lock_op_next(d->op, now, order)) ==
		       PMZ_LOCK_SEND)
			pmz__wire_send(&d->wires[order->node], order, now);
	while (!write_all(d, now));
	return step;
}

/* A node whose connection is not usable; d->count if too few are to matter. */
static uint32_t missing(const drive *d, pmz_ns now)
{
	uint32_t i, node = d->count, usable = 0;

	for (i = 0; i < d->count; i++)
		if (pmz__wire_is_usable(&d->wires[i], now))
			usable++;
		else
			node = i;
	return usable < pmz__op_in(d->op)->quorum ? node : d->count;
}

/* No later try can do better than this one. */
static void end_tries(drive *d, uint32_t node, pmz_ns now)
{
	pmz__op *op = pmz__op_of(d->op);
	const char *words = pmz__wire_words(&d->wires[node]);

	pmz__op_say(op, node, words, strlen(words));
	op->until = now;
	pmz__acquire_fail(op, pmz__op_short(op), now);
}

static void run(drive *d)
{
	pmz_lock_order order;
	pmz_lock_step step;
	pmz_ns now = pmz_now();

	while ((step = send_all(d, &order, now)) != PMZ_LOCK_DONE) {
		uint32_t node = missing(d, now);

		if (step == PMZ_LOCK_PAUSE && node < d->count)
			end_tries(d, node, now);
		else
			wait_until(d, pmz__min(order.due, first_due(d, now)));
		now = pmz_now();
	}
}

static void read_the_rest(drive *d)
{
	pmz_ns due;

	while ((due = first_due(d, pmz_now())) != PMZ_NEVER)
		wait_until(d, due);
}

static int check_count(const pmz_lock_op *op, size_t count, pmz_why *why)
{
	uint32_t nodes = pmz__op_in(op)->nodes;

	if (count == nodes)
		return PMZ_OK;
	return pmz__bad(why, "count", "%zu contexts for %u nodes", count,
	                (unsigned)nodes);
}

static int check_twice(redisContext *const *contexts, size_t which,
                       pmz_why *why)
{
	size_t i;

	for (i = 0; i < which; i++)
		if (contexts[i] && contexts[i] == contexts[which])
			return pmz__bad(why, "contexts",
			                "the context is there twice");
	return PMZ_OK;
}

static int check_idle(redisContext *c)
{
	return !c || c->err || pmz__wire_is_idle(c) ? PMZ_OK : PMZ_E_STATE;
}

static int check(redisContext *const *contexts, size_t count,
                 const pmz_lock_op *op, pmz_why *why)
{
	int status = check_count(op, count, why);
	size_t i;

	for (i = 0; i < count && !status; i++) {
		status = check_twice(contexts, i, why);
		if (!status)
			status = pmz__why(why, check_idle(contexts[i]));
		if (status && why)
			why->index = (uint32_t)i;
	}
	return status;
}

int pmz_lock_hiredis_run(redisContext *const *contexts, size_t count,
                         pmz_lock_op *op, pmz_why *why)
{
	guard g;
	drive d;
	int status;

	PMZ__ASSERT(contexts && op);
	status = check(contexts, count, op, why);
	if (status)
		return status;
	guard_up(&g);
	d.op = op;
	for (d.count = 0; d.count < count; d.count++)
		pmz__wire_borrow(&d.wires[d.count], contexts[d.count], op);
	run(&d);
	read_the_rest(&d);
	while (d.count--)
		pmz__wire_give_back(&d.wires[d.count]);
	guard_down(&g);
	return PMZ_OK;
}

static int read_rules(pmz_lock_rules *out, const pmz_lock_rules *rules,
                      size_t count, pmz_why *why)
{
	int status = pmz__config_read(out, sizeof(*out), rules, why);

	if (status)
		return status;
	if (!count || count > PMZ_LOCK_NODES_MAX)
		return pmz__bad(why, "count", "%zu contexts are not 1 to %u",
		                count, PMZ_LOCK_NODES_MAX);
	out->size = sizeof(*out);
	out->nodes = pmz__or(out->nodes, (uint32_t)count);
	return PMZ_OK;
}

static int start_acquire(pmz_lock_op *op, const pmz_lock_rules *rules,
                         const char *name, pmz_ns ttl, pmz_ns wait,
                         pmz_why *why)
{
	pmz_ns now = pmz_now();
	uint64_t seed[2];

	if (pmz__entropy(seed, sizeof(seed))) {
		pmz__bad(why, "", "this machine gives no random bits");
		return PMZ_E_IO;
	}
	return pmz_lock_op_acquire(op, rules, name, ttl,
	                           pmz__sat_add(now, wait), seed, now, why);
}

static int run_to_end(redisContext *const *contexts, size_t count,
                      pmz_lock_op *op, pmz_lease *lease, pmz_why *why)
{
	int status = pmz_lock_hiredis_run(contexts, count, op, why);

	return status ? status : pmz_lock_op_end(op, lease, why);
}

int pmz_lock_hiredis_acquire(redisContext *const *contexts, size_t count,
                             const pmz_lock_rules *rules, const char *name,
                             pmz_ns ttl, pmz_ns wait, pmz_lease *lease,
                             pmz_why *why)
{
	pmz_lock_rules r;
	pmz_lock_op op;
	int status = read_rules(&r, rules, count, why);

	PMZ__ASSERT(name && lease);
	memset(lease, 0, sizeof(*lease));
	if (!status)
		status = start_acquire(&op, &r, name, ttl, wait, why);
	return status ? status : run_to_end(contexts, count, &op, lease, why);
}

/* Of a lease that is lost nothing is left. */
static int lose(pmz_lease *lease, int status)
{
	if (status == PMZ_E_LOST)
		memset(lease, 0, sizeof(*lease));
	return status;
}

int pmz_lock_hiredis_extend(redisContext *const *contexts, size_t count,
                            const pmz_lock_rules *rules, pmz_lease *lease,
                            pmz_ns ttl, pmz_why *why)
{
	pmz_lock_rules r;
	pmz_lock_op op;
	int status = read_rules(&r, rules, count, why);

	PMZ__ASSERT(lease);
	if (!status)
		status =
			pmz_lock_op_extend(&op, &r, lease, ttl, pmz_now(), why);
	if (!status)
		status = run_to_end(contexts, count, &op, lease, why);
	return lose(lease, status);
}

int pmz_lock_hiredis_release(redisContext *const *contexts, size_t count,
                             const pmz_lock_rules *rules, pmz_lease *lease,
                             pmz_why *why)
{
	pmz_lock_rules r;
	pmz_lock_op op;
	int status = read_rules(&r, rules, count, why);

	PMZ__ASSERT(lease);
	if (!status)
		status = pmz_lock_op_release(&op, &r, lease, pmz_now(), why);
	if (!status)
		status = run_to_end(contexts, count, &op, lease, why);
	return lose(lease, status);
}

int pmz_lock_hiredis_peek(redisContext *const *contexts, size_t count,
                          const pmz_lock_rules *rules, const char *name,
                          pmz_lease *holder, pmz_why *why)
{
	pmz_lock_rules r;
	pmz_lock_op op;
	int status = read_rules(&r, rules, count, why);

	PMZ__ASSERT(name && holder);
	memset(holder, 0, sizeof(*holder));
	if (!status)
		status = pmz_lock_op_peek(&op, &r, name, pmz_now(), why);
	return status ? status : run_to_end(contexts, count, &op, holder, why);
}
