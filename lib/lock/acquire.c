/*
 * acquire.c - a try to get the lock, and what follows from it.
 *
 * The round of acquires is decided by three sums: as soon as a quorum has
 * granted, as soon as none can any more but a quorum has at least answered
 * (then it is held by another), and as soon as not even that can be.
 *
 * The fence of a quorum is the largest of those that granted, raised on a
 * majority before it is handed out. Any later majority shares a node with that
 * one, so its largest is more: the argument of Lamport's ballots ("The
 * Part-Time Parliament", 1998).
 */
#include <string.h>

#include "base/siphash.h"
#include "base/wide.h"
#include "lock/op.h"

#define SPLITS_MAX 7 /* so who has been woken steps aside for 0.64 s at most */

static void write_hex(char *out, uint64_t word)
{
	int i;

	for (i = 0; i < 16; i++)
		out[i] = "0123456789abcdef"[word >> (60 - 4 * i) & 15];
}

/* A token is 128 bits of a keyed hash of its number, so that an op draws as
 * many as it needs from one seed and none tells of another. */
static void draw_token(pmz__op *op)
{
	uint64_t which[2] = { ++op->drawn, 0 };

	memset(op->token, 0, sizeof(op->token));
	write_hex(op->token,
	          pmz__siphash(op->seed, which, sizeof(which), 2, 4));
	which[1] = 1;
	write_hex(op->token + PMZ__TOKEN_LEN / 2,
	          pmz__siphash(op->seed, which, sizeof(which), 2, 4));
}

void pmz__acquire_try(pmz__op *op, pmz_ns now)
{
	if (op->drawn && now >= op->until) {
		pmz__acquire_fail(op, op->status, now);
		return;
	}
	if (!op->token[0])
		draw_token(op);
	op->started = now;
	op->fence = 0;
	op->moves = 0;
	pmz__op_round(op, PMZ__ACQUIRING, PMZ__EVERYONE);
}

/* When the first so many of another's nodes will be free. */
static pmz_ns free_at(const pmz__op *op, unsigned wanted, pmz_ns now)
{
	uint32_t left[PMZ_LOCK_NODES_MAX];
	unsigned i, j, n = 0;

	for (i = 0; i < op->nodes; i++) {
		if (op->seats[i].verdict != PMZ__OTHER)
			continue;
		for (j = n++; j && left[j - 1] > op->seats[i].pttl; j--)
			left[j] = left[j - 1];
		left[j] = op->seats[i].pttl;
	}
	if (!wanted || wanted > n || left[wanted - 1] == UINT32_MAX)
		return PMZ_NEVER;
	return pmz__sat_add(now, PMZ_MS((uint64_t)left[wanted - 1] + 1));
}

/* After what a server refuses for good, and what the caller has ended, no try
 * follows. */
static int may_try_again(int status)
{
	return status == PMZ_REFUSED_HELD || status == PMZ_E_IO ||
	       status == PMZ_E_QUORUM;
}

/* When to try again; 0: not. */
static pmz_ns again_at(pmz__op *op, int status, pmz_ns now)
{
	int held = status == PMZ_REFUSED_HELD, drawn;
	pmz_ns at = PMZ_NEVER;

	if (!may_try_again(status) || now >= op->until)
		return 0;
	drawn = pmz_backoff_next(&op->backoff, now, 0, &at);
	if (drawn == PMZ_GAVE_UP)
		return 0;
	if (drawn != PMZ_OK || (held && op->listens))
		at = PMZ_NEVER;
	if (held)
		at = pmz__min(at, op->ready_at);
	if (at < op->until)
		return at;
	if (held && op->listens)
		return op->until;
	at = pmz__sat_sub(op->until, PMZ__LAST_LOOK_NS);
	return at > now ? at : 0;
}

static void count_split(pmz__op *op)
{
	if (!pmz__op_count(op, PMZ__YES))
		op->splits = 0;
	else if (op->splits < SPLITS_MAX)
		op->splits++;
}

void pmz__acquire_fail(pmz__op *op, int status, pmz_ns now)
{
	count_split(op);
	op->status = status;
	op->resume = again_at(op, status, now);
	pmz__undo(op);
}

static pmz_ns would_hold_until(const pmz__op *op)
{
	return pmz__sat_add(op->started, op->ttl - op->drift);
}

static void held(pmz__op *op)
{
	op->held_until = would_hold_until(op);
	pmz__op_end(op, PMZ_OK);
}

static void confirm(pmz__op *op, pmz_ns now, unsigned with)
{
	static const char late[] =
		"granted when too little was left of the ttl";

	if (now >= would_hold_until(op)) {
		pmz__op_say(op, 0, late, sizeof(late) - 1);
		pmz__acquire_fail(op, pmz__op_short(op), now);
	} else if (op->round == PMZ__ACQUIRING && op->nodes > 1 &&
	           !op->fence_off) {
		pmz__op_round(op, PMZ__RAISING, with | PMZ__BIT(PMZ__ASKED));
	} else if (op->round != PMZ__REPLICATING && op->replicas_min) {
		pmz__op_round(op, PMZ__REPLICATING, with);
	} else {
		held(op);
	}
}

static void take_fence(pmz__op *op)
{
	unsigned i;

	for (i = 0; i < op->nodes; i++)
		if (op->seats[i].verdict == PMZ__YES)
			op->fence = pmz__max(op->fence, op->seats[i].fence);
}

void pmz__acquire_judge(pmz__op *op, pmz_ns now)
{
	unsigned yes = pmz__op_count(op, PMZ__YES);
	unsigned answered = yes + pmz__op_count(op, PMZ__OTHER);
	unsigned open = pmz__op_open(op);
	int fatal = pmz__op_fatal(op);

	if (op->round == PMZ__ACQUIRING)
		take_fence(op);
	if (yes >= op->quorum) {
		confirm(op, now, PMZ__BIT(PMZ__YES));
	} else if (fatal) {
		pmz__acquire_fail(op, fatal, now);
	} else if (yes + open >= op->quorum) {
		return;
	} else if (answered >= op->quorum) {
		op->ready_at = free_at(op, op->quorum - yes - open, now);
		pmz__acquire_fail(op, PMZ_REFUSED_HELD, now);
	} else if (answered + open < op->quorum) {
		pmz__acquire_fail(op,
		                  op->round == PMZ__REPLICATING
		                          ? PMZ_E_QUORUM
		                          : pmz__op_short(op),
		                  now);
	}
}
