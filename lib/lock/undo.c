/*
 * undo.c - taking back what a token has, or may have.
 *
 * Each is told in a way that outlives its connection, and leaves a tombstone
 * for an acquire to find that may still be on its way. Where the node has
 * granted, its answer is waited for a little, so that the caller who is told
 * "no" finds nothing left there; of who was silent before, only until it is
 * written.
 *
 * One server keeps the token while tries go on, as a reply that was lost is
 * then repeated by the next. A quorum, where each try has other nodes, does
 * not.
 */
#include "lock/op.h"

static int is_due(const pmz__op *op, const pmz__seat *seat)
{
	if (seat->holds)
		return 1;
	return seat->ghost && (op->nodes > 1 || !op->resume);
}

static unsigned pick_seats(pmz__op *op)
{
	unsigned i, due = 0;

	/* With one seat taken back, the token is dead for all of them. */
	for (i = 0; i < op->nodes; i++)
		due += (unsigned)is_due(op, &op->seats[i]);
	for (i = 0; due && i < op->nodes; i++)
		if (op->seats[i].holds || op->seats[i].ghost)
			op->seats[i].verdict = PMZ__TO_ASK;
	return due;
}

static void leave(pmz__op *op)
{
	pmz__op_round(op, op->resume ? PMZ__PAUSED : PMZ__ENDED, 0);
}

void pmz__undo(pmz__op *op)
{
	pmz__op_round(op, PMZ__UNDOING, 0);
	if (!pick_seats(op))
		leave(op);
}

static int is_waited_for(const pmz__op *op, const pmz__seat *seat)
{
	if (seat->verdict == PMZ__TO_ASK)
		return 1;
	return seat->verdict == PMZ__ASKED && !op->resume &&
	       (!seat->ghost || !seat->sent);
}

void pmz__undo_judge(pmz__op *op)
{
	unsigned i;

	for (i = 0; i < op->nodes; i++)
		if (is_waited_for(op, &op->seats[i]))
			return;
	for (i = 0; i < op->nodes; i++) {
		pmz__seat *seat = &op->seats[i];

		seat->holds = seat->ghost = 0;
		seat->late = 0;
	}
	if (op->verb == PMZ_LOCK_ACQUIRE)
		op->token[0] = '\0';
	leave(op);
}
