/*
 * start.c - how an operation begins and what it ends with.
 */
#include <stdio.h>
#include <string.h>

#include "base/config.h"
#include "base/wide.h"
#include "lock/op.h"

#define DRIFT_PPM 10000u
#define PPM 1000000u
#define CONNECT_NS PMZ_S(1)
#define NODE_TIMEOUT_MIN_NS PMZ_MS(10)
#define NODE_TIMEOUT_SHARE 20u
#define BACKOFF_BASE_NS PMZ_MS(50)
#define BACKOFF_MAX_NS PMZ_S(1)
/* What peeks and releases wait for; they have no ttl of their own. */
#define PEEK_TTL_NS PMZ_S(30)

static int read_rules(pmz_lock_rules *r, const pmz_lock_rules *rules,
                      pmz_why *why)
{
	int status = pmz__config_read(r, sizeof(*r), rules, why);

	if (status)
		return status;
	r->nodes = pmz__or(r->nodes, 1);
	r->drift_ppm = pmz__or(r->drift_ppm, DRIFT_PPM);
	r->connect_ns = pmz__or_ns(r->connect_ns, CONNECT_NS);
	if (r->nodes > PMZ_LOCK_NODES_MAX)
		return pmz__bad(why, "nodes", "nodes is %u, above %u",
		                (unsigned)r->nodes, PMZ_LOCK_NODES_MAX);
	if (r->drift_ppm == PMZ_OFF)
		r->drift_ppm = 0;
	if (r->drift_ppm >= PPM)
		return pmz__bad(why, "drift_ppm",
		                "drift_ppm is %u, not below %u",
		                (unsigned)r->drift_ppm, PPM);
	return PMZ_OK;
}

static int read_name(pmz__op *op, const char *name, pmz_why *why)
{
	size_t len;

	PMZ__ASSERT(name);
	len = strnlen(name, PMZ_LOCK_NAME_MAX + 1);
	if (!len)
		return pmz__bad(why, "name", "the name is empty");
	if (len > PMZ_LOCK_NAME_MAX)
		return pmz__bad(why, "name", "the name is longer than %u bytes",
		                PMZ_LOCK_NAME_MAX);
	if (memchr(name, '{', len) || memchr(name, '}', len))
		return pmz__bad(why, "name",
		                "the name has a brace, which a cluster reads "
		                "as the part that chooses the slot");
	memcpy(op->name, name, len + 1);
	return PMZ_OK;
}

static int read_ttl(pmz__op *op, const pmz_lock_rules *r, pmz_ns ttl,
                    pmz_why *why)
{
	op->ttl = ttl;
	op->drift = pmz__sat_add(pmz__mul_div(ttl, r->drift_ppm, PPM, 1),
	                         PMZ__DRIFT_NS);
	if (ttl > PMZ_LOCK_TTL_MAX)
		return pmz__bad(why, "ttl", "the ttl is above 30 days");
	if (ttl <= op->drift)
		return pmz__bad(why, "ttl",
		                "the ttl of %llu ns is not above the %llu ns "
		                "taken off it for drift",
		                (unsigned long long)ttl,
		                (unsigned long long)op->drift);
	return PMZ_OK;
}

static void read_patience(pmz__op *op, const pmz_lock_rules *r, pmz_ns ttl)
{
	op->connect = r->connect_ns;
	op->node_timeout = r->node_timeout_ns;
	if (!op->node_timeout)
		op->node_timeout =
			pmz__max(ttl / NODE_TIMEOUT_SHARE, NODE_TIMEOUT_MIN_NS);
	op->limit = pmz__sat_add(op->first, op->connect);
	op->limit = pmz__sat_add(op->limit, op->node_timeout);
}

/* An op that has asked nobody yet. */
static int open_op(pmz_lock_op *cursor, enum pmz_lock_verb verb,
                   const pmz_lock_rules *rules, pmz_lock_rules *r, pmz_ns now,
                   pmz_why *why)
{
	pmz__op *op = pmz__op_of(cursor);
	int status;

	memset(cursor, 0, sizeof(*cursor));
	op->round = PMZ__ENDED;
	op->verb = (uint8_t)verb;
	op->first = op->started = now;
	op->status = status = read_rules(r, rules, why);
	if (status)
		return status;
	op->nodes = (uint8_t)r->nodes;
	op->quorum = (uint8_t)(r->nodes / 2 + 1);
	op->fence_off = r->fence_off != 0;
	op->replicas_min = r->replicas_min;
	return PMZ_OK;
}

static int start_backoff(pmz__op *op, const pmz_backoff_rule *rule,
                         pmz_why *why)
{
	pmz_backoff_rule r;
	int status = pmz__config_read(&r, sizeof(r), rule, why);

	if (status)
		return status;
	r.size = sizeof(r);
	r.tries_max = pmz__or(r.tries_max, PMZ_OFF);
	if (!rule) {
		r.base_ns = BACKOFF_BASE_NS;
		r.max_ns = BACKOFF_MAX_NS;
	}
	status = pmz_backoff_start(&op->backoff, &r, op->until, op->seed[0]);
	if (status)
		pmz__bad(why, "backoff", "the backoff's rule is out of range");
	return status;
}

static int closed(pmz__op *op, int status)
{
	if (status)
		pmz__op_end(op, status);
	return status;
}

static int read_acquire(pmz__op *op, const pmz_lock_rules *r, const char *name,
                        pmz_ns ttl, pmz_why *why)
{
	int status = read_name(op, name, why);

	if (!status)
		status = read_ttl(op, r, ttl, why);
	if (!status)
		status = start_backoff(op, r->backoff, why);
	return status;
}

int pmz_lock_op_acquire(pmz_lock_op *cursor, const pmz_lock_rules *rules,
                        const char *name, pmz_ns ttl, pmz_ns until,
                        const uint64_t seed[2], pmz_ns now, pmz_why *why)
{
	pmz__op *op = pmz__op_of(cursor);
	pmz_lock_rules r;
	int status = open_op(cursor, PMZ_LOCK_ACQUIRE, rules, &r, now, why);

	PMZ__ASSERT(seed);
	if (status)
		return status;
	op->until = until;
	memcpy(op->seed, seed, sizeof(op->seed));
	status = read_acquire(op, &r, name, ttl, why);
	if (status)
		return closed(op, status);
	read_patience(op, &r, ttl);
	op->limit = pmz__max(op->limit, until);
	op->round = PMZ__PAUSED;
	return PMZ_OK;
}

/* Takes over a lease; PMZ_E_LOST for one that was never granted, or has been
 * released. */
static int read_lease(pmz__op *op, const pmz_lease *lease, pmz_why *why)
{
	unsigned i;

	if (!lease->token[0])
		return pmz__why(why, PMZ_E_LOST);
	if (!memchr(lease->name, '\0', sizeof(lease->name)) ||
	    !memchr(lease->token, '\0', sizeof(lease->token)) ||
	    read_name(op, lease->name, NULL))
		return pmz__bad(why, "lease", "this is no lease");
	memcpy(op->token, lease->token, sizeof(op->token));
	op->fence = lease->fence;
	op->held_until = lease->until;
	op->held_ttl = lease->ttl;
	for (i = 0; i < op->nodes; i++)
		op->seats[i].ghost = lease->opaque[0] >> i & 1;
	return PMZ_OK;
}

int pmz_lock_op_extend(pmz_lock_op *cursor, const pmz_lock_rules *rules,
                       const pmz_lease *lease, pmz_ns ttl, pmz_ns now,
                       pmz_why *why)
{
	pmz__op *op = pmz__op_of(cursor);
	pmz_lock_rules r;
	int status = open_op(cursor, PMZ_LOCK_EXTEND, rules, &r, now, why);

	PMZ__ASSERT(lease);
	if (status)
		return status;
	status = read_lease(op, lease, why);
	if (!status)
		status = read_ttl(op, &r, ttl, why);
	if (status)
		return closed(op, status);
	read_patience(op, &r, ttl);
	pmz__extend_start(op, now);
	return PMZ_OK;
}

int pmz_lock_op_release(pmz_lock_op *cursor, const pmz_lock_rules *rules,
                        const pmz_lease *lease, pmz_ns now, pmz_why *why)
{
	pmz__op *op = pmz__op_of(cursor);
	pmz_lock_rules r;
	int status = open_op(cursor, PMZ_LOCK_RELEASE, rules, &r, now, why);

	PMZ__ASSERT(lease);
	if (status)
		return status;
	status = read_lease(op, lease, why);
	if (status)
		return closed(op, status);
	op->ttl = lease->ttl;
	read_patience(op, &r, op->ttl);
	pmz__op_round(op, PMZ__RELEASING, PMZ__EVERYONE);
	return PMZ_OK;
}

int pmz_lock_op_peek(pmz_lock_op *cursor, const pmz_lock_rules *rules,
                     const char *name, pmz_ns now, pmz_why *why)
{
	pmz__op *op = pmz__op_of(cursor);
	pmz_lock_rules r;
	int status = open_op(cursor, PMZ_LOCK_PEEK, rules, &r, now, why);

	if (status)
		return status;
	status = read_name(op, name, why);
	if (status)
		return closed(op, status);
	read_patience(op, &r, PEEK_TTL_NS);
	pmz__op_round(op, PMZ__PEEKING, PMZ__EVERYONE);
	return PMZ_OK;
}

/* On which nodes an acquire of this token may still land. */
static uint64_t ghosts(const pmz__op *op)
{
	uint64_t set = 0;
	unsigned i;

	for (i = 0; i < op->nodes; i++)
		set |= (uint64_t)(op->seats[i].ghost != 0) << i;
	return set;
}

/* Whether the caller still has something in hand. A release that did not come
 * through may be asked for again. */
static int is_a_lease(const pmz__op *op)
{
	if (op->verb == PMZ_LOCK_PEEK)
		return op->status == PMZ_OK;
	if (op->status == PMZ_E_LOST || !op->token[0])
		return 0;
	if (op->verb == PMZ_LOCK_EXTEND)
		return 1;
	return (op->status == PMZ_OK) != (op->verb == PMZ_LOCK_RELEASE);
}

static void write_lease(const pmz__op *op, pmz_lease *lease)
{
	memcpy(lease->name, op->name, sizeof(lease->name));
	memcpy(lease->token, op->token, sizeof(lease->token));
	lease->fence = op->fence;
	lease->until = op->verb == PMZ_LOCK_RELEASE ? 0 : op->held_until;
	lease->ttl = op->status ? op->held_ttl : op->ttl;
	lease->opaque[0] = ghosts(op);
}

static void explain(const pmz__op *op, pmz_why *why)
{
	pmz__why(why, op->status);
	if (op->status == PMZ_OK)
		return;
	why->index = op->worst;
	if (op->status == PMZ_REFUSED_HELD)
		why->ready_at = op->ready_at;
	else if (op->words[0])
		snprintf(why->text, sizeof(why->text), "%s: %s",
		         pmz_status_text(op->status), op->words);
}

int pmz_lock_op_end(const pmz_lock_op *cursor, pmz_lease *lease, pmz_why *why)
{
	const pmz__op *op = pmz__op_in(cursor);

	PMZ__ASSERT(lease);
	memset(lease, 0, sizeof(*lease));
	if (op->round != PMZ__ENDED)
		return pmz__why(why, PMZ_E_STATE);
	if (why)
		explain(op, why);
	if (is_a_lease(op))
		write_lease(op, lease);
	return op->status;
}
