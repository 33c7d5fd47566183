/*
 * peek.c - who holds it: the token that a quorum of the servers shows.
 */
#include <string.h>

#include "base/siphash.h"
#include "base/wide.h"
#include "lock/op.h"

static unsigned alike(const pmz__op *op, uint64_t print)
{
	unsigned i, n = 0;

	for (i = 0; i < op->nodes; i++)
		n += op->seats[i].verdict == PMZ__YES &&
		     op->seats[i].print == print;
	return n;
}

/* The op's token is the one that most have shown so far. */
void pmz__peek_note(pmz__op *op, pmz__seat *seat, const char *token, size_t len)
{
	size_t fits = pmz__min(len, sizeof(op->token) - 1);

	seat->print = pmz__siphash(op->seed, token, len, 2, 4);
	if (op->token[0] && alike(op, seat->print) <= alike(op, op->print))
		return;
	memset(op->token, 0, sizeof(op->token));
	memcpy(op->token, token, fits);
	op->print = seat->print;
}

/* A fence that a quorum shows; beside it a node may know of a higher one, of a
 * try that came to nothing. 0: none. */
static uint64_t shared_fence(const pmz__op *op)
{
	unsigned i, j;

	for (i = 0; i < op->nodes; i++) {
		const pmz__seat *a = &op->seats[i];
		unsigned n = 0;

		for (j = 0; j < op->nodes; j++)
			n += op->seats[j].verdict == PMZ__YES &&
			     op->seats[j].print == op->print &&
			     op->seats[j].fence == a->fence;
		if (n >= op->quorum)
			return a->fence;
	}
	return 0;
}

/* While a quorum still shows it, the longest of those that may lapse first. */
static pmz_ns shared_until(const pmz__op *op, pmz_ns now)
{
	uint32_t left = 0;
	unsigned i, j;

	for (i = 0; i < op->nodes; i++) {
		const pmz__seat *a = &op->seats[i];
		unsigned longer = 0;

		if (a->verdict != PMZ__YES || a->print != op->print)
			continue;
		for (j = 0; j < op->nodes; j++)
			longer += op->seats[j].verdict == PMZ__YES &&
			          op->seats[j].print == op->print &&
			          op->seats[j].pttl >= a->pttl;
		if (longer >= op->quorum && a->pttl > left)
			left = a->pttl;
	}
	return left == UINT32_MAX ? PMZ_NEVER : pmz__sat_add(now, PMZ_MS(left));
}

/* Whoever is no pipemaze has no fence, and may leave an old one. */
static int is_ours(const char *token)
{
	return strspn(token, "0123456789abcdef") == PMZ__TOKEN_LEN &&
	       !token[PMZ__TOKEN_LEN];
}

static void found(pmz__op *op, pmz_ns now)
{
	op->fence = is_ours(op->token) ? shared_fence(op) : 0;
	if (!op->fence && is_ours(op->token) && pmz__op_open(op))
		return;
	op->held_until = shared_until(op, now);
	pmz__op_end(op, PMZ_OK);
}

void pmz__peek_judge(pmz__op *op, pmz_ns now)
{
	unsigned best = alike(op, op->print);
	unsigned answers =
		pmz__op_count(op, PMZ__YES) + pmz__op_count(op, PMZ__GONE);
	unsigned open = pmz__op_open(op);
	int fatal = pmz__op_fatal(op);

	if (best >= op->quorum)
		found(op, now);
	else if (fatal)
		pmz__op_end(op, fatal);
	else if (answers + open < op->quorum)
		pmz__op_end(op, pmz__op_short(op));
	else if (best + (op->nodes - answers) < op->quorum)
		pmz__op_end(op, PMZ_REFUSED_EMPTY);
	else if (!open)
		pmz__op_end(op, pmz__op_short(op));
}
