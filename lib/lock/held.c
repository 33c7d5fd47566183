/*
 * held.c - what is done with a lease that is held: extending and releasing it.
 */
#include <string.h>

#include "base/wide.h"
#include "lock/op.h"

static void say(pmz__op *op, const char *words)
{
	pmz__op_say(op, 0, words, strlen(words));
}

/* What some servers may still have of it goes too. */
static void lose(pmz__op *op)
{
	op->status = PMZ_E_LOST;
	op->resume = 0;
	pmz__undo(op);
}

void pmz__extend_start(pmz__op *op, pmz_ns now)
{
	unsigned i;

	for (i = 0; i < op->nodes; i++)
		op->seats[i].holds = 1;
	if (now < op->held_until) {
		pmz__op_round(op, PMZ__EXTENDING, PMZ__EVERYONE);
		return;
	}
	say(op, "it had ended before it was to be extended");
	lose(op);
}

/* First extend, then repair: a node that lost its memory gets the token again
 * only from a holder whom a majority has just confirmed. */
static void extended(pmz__op *op, pmz_ns now)
{
	pmz_ns until = pmz__sat_add(op->started, op->ttl - op->drift);

	op->held_until = pmz__max(op->held_until, until);
	op->status = PMZ_OK;
	if (now < op->held_until) {
		pmz__op_round(op, PMZ__REPAIRING, PMZ__BIT(PMZ__GONE));
		return;
	}
	say(op, "it ended while it was being extended");
	lose(op);
}

void pmz__extend_judge(pmz__op *op, pmz_ns now)
{
	unsigned yes = pmz__op_count(op, PMZ__YES);
	unsigned lost =
		pmz__op_count(op, PMZ__GONE) + pmz__op_count(op, PMZ__OTHER);
	unsigned open = pmz__op_open(op);
	int fatal = pmz__op_fatal(op);

	/* All are told before some decide it. */
	if (pmz__op_count(op, PMZ__TO_ASK))
		return;
	if (op->round == PMZ__REPAIRING) {
		pmz__op_end(op, PMZ_OK);
	} else if (yes >= op->quorum) {
		/* The slowest may be the one to be repaired. */
		if (open)
			pmz__op_hurry(op, now);
		else
			extended(op, now);
	} else if (lost > (unsigned)op->nodes - op->quorum) {
		say(op, "the servers no longer have it");
		lose(op);
	} else if (fatal) {
		pmz__op_end(op, fatal);
	} else if (yes + open >= op->quorum) {
		return;
	} else if (now < op->held_until) {
		pmz__op_end(op, pmz__op_short(op));
	} else {
		say(op, "it ended before it was known to be extended");
		lose(op);
	}
}

/* A node that did not answer may have got the release, or may get it: it is
 * told again, in a way that outlives its connection. */
static void released(pmz__op *op, int status)
{
	unsigned i;

	for (i = 0; i < op->nodes; i++) {
		pmz__seat *seat = &op->seats[i];

		seat->holds = 0;
		seat->ghost = seat->verdict == PMZ__FAILED;
	}
	op->status = status;
	op->resume = 0;
	pmz__undo(op);
}

#define UNDECIDED 1 /* no release ends with a status of 1 */

/* What it comes to, whatever those say who have not answered. */
static int release_status(const pmz__op *op)
{
	unsigned yes = pmz__op_count(op, PMZ__YES);
	unsigned no =
		pmz__op_count(op, PMZ__GONE) + pmz__op_count(op, PMZ__OTHER);
	unsigned open = pmz__op_open(op);
	int fatal = pmz__op_fatal(op);

	if (yes >= op->quorum)
		return PMZ_OK;
	if (fatal)
		return fatal;
	if (yes + open >= op->quorum)
		return UNDECIDED;
	if (yes + no >= op->quorum)
		return PMZ_E_LOST;
	return yes + no + open < op->quorum ? pmz__op_short(op) : UNDECIDED;
}

void pmz__release_judge(pmz__op *op, pmz_ns now)
{
	int status = release_status(op);

	if (status == UNDECIDED || pmz__op_count(op, PMZ__TO_ASK))
		return;
	if (pmz__op_open(op))
		pmz__op_hurry(op, now);
	else
		released(op, status);
}
