/*
 * op.c - an operation on a lock: rounds of commands, and who has answered.
 */
#include "lock/op.h"

#include <string.h>

#include "base/config.h"
#include "base/wide.h"

_Static_assert(sizeof(pmz__op) <= sizeof(pmz_lock_op), "pmz_lock_op");

pmz__op *pmz__op_of(pmz_lock_op *op)
{
	PMZ__ASSERT(op);
	return (pmz__op *)op->opaque;
}

const pmz__op *pmz__op_in(const pmz_lock_op *op)
{
	PMZ__ASSERT(op);
	return (const pmz__op *)op->opaque;
}

unsigned pmz__op_count(const pmz__op *op, enum pmz__verdict verdict)
{
	unsigned i, n = 0;

	for (i = 0; i < op->nodes; i++)
		n += op->seats[i].verdict == verdict;
	return n;
}

unsigned pmz__op_open(const pmz__op *op)
{
	return pmz__op_count(op, PMZ__TO_ASK) + pmz__op_count(op, PMZ__ASKED);
}

uint8_t pmz__op_acquires(const pmz__op *op)
{
	return op->round == PMZ__ACQUIRING || op->round == PMZ__REPAIRING;
}

/* This round takes no more answer of this seat. */
static void stop_asking(const pmz__op *op, pmz__seat *seat)
{
	if (pmz__op_acquires(op)) {
		seat->ghost = seat->ghost ? PMZ__GHOSTS : 1;
		seat->late = seat->ticket;
	}
	seat->ticket = 0;
}

static void stop_asking_all(pmz__op *op)
{
	unsigned i;

	for (i = 0; i < op->nodes; i++)
		if (op->seats[i].verdict == PMZ__ASKED)
			stop_asking(op, &op->seats[i]);
}

void pmz__op_round(pmz__op *op, enum pmz__round round, unsigned verdicts)
{
	unsigned i;

	stop_asking_all(op);
	for (i = 0; i < op->nodes; i++) {
		pmz__seat *seat = &op->seats[i];

		seat->verdict = verdicts & PMZ__BIT(seat->verdict)
		                        ? PMZ__TO_ASK
		                        : PMZ__SKIPPED;
		seat->ticket = 0;
		seat->again = 0;
	}
	op->round = (uint8_t)round;
}

void pmz__op_say(pmz__op *op, uint32_t node, const char *words, size_t len)
{
	size_t fits = pmz__min(len, sizeof(op->words) - 1);

	/* What is taken back had its reason before. */
	if (op->round == PMZ__UNDOING)
		return;
	memcpy(op->words, words, fits);
	op->words[fits] = '\0';
	op->worst = node;
}

int pmz__op_short(const pmz__op *op)
{
	return op->nodes > 1 ? PMZ_E_QUORUM : PMZ_E_IO;
}

int pmz__op_fatal(const pmz__op *op)
{
	static const char *const denials[] = {
		"NOAUTH", "NOPERM", "WRONGPASS",
		"ERR The user executing the script", /* of what it calls */
	};
	size_t i;

	if (pmz__op_count(op, PMZ__FATAL) <= (unsigned)op->nodes - op->quorum)
		return 0;
	for (i = 0; i < sizeof(denials) / sizeof(*denials); i++)
		if (!strncmp(op->words, denials[i], strlen(denials[i])))
			return PMZ_E_DENIED;
	return PMZ_E_REPLY;
}

void pmz__op_end(pmz__op *op, int status)
{
	stop_asking_all(op);
	op->status = status;
	op->round = PMZ__ENDED;
}

static void judge(pmz__op *op, pmz_ns now)
{
	switch (op->round) {
	case PMZ__ACQUIRING:
	case PMZ__RAISING:
	case PMZ__REPLICATING:
		pmz__acquire_judge(op, now);
		break;
	case PMZ__EXTENDING:
	case PMZ__REPAIRING:
		pmz__extend_judge(op, now);
		break;
	case PMZ__RELEASING:
		pmz__release_judge(op, now);
		break;
	case PMZ__PEEKING:
		pmz__peek_judge(op, now);
		break;
	case PMZ__UNDOING:
		pmz__undo_judge(op);
		break;
	}
}

/* Its answer will not come. */
static void give_up(const pmz__op *op, pmz__seat *seat, int written)
{
	if (written)
		stop_asking(op, seat);
	seat->verdict = PMZ__FAILED;
	seat->ticket = 0;
}

static void time_out(pmz__op *op, pmz_ns now)
{
	static const char words[] = "no answer in time";
	unsigned i;

	for (i = 0; i < op->nodes; i++) {
		pmz__seat *seat = &op->seats[i];

		if (seat->verdict != PMZ__ASKED || now < seat->due)
			continue;
		pmz__op_say(op, i, words, sizeof(words) - 1);
		give_up(op, seat, 1);
	}
}

static pmz__seat *next_to_ask(pmz__op *op)
{
	unsigned i;

	for (i = 0; i < op->nodes; i++)
		if (op->seats[i].verdict == PMZ__TO_ASK)
			return &op->seats[i];
	return NULL;
}

static pmz_lock_step ask(pmz__op *op, pmz__seat *seat, pmz_lock_order *order,
                         pmz_ns now)
{
	uint32_t node = (uint32_t)(seat - op->seats);
	pmz_ns patience = op->connect + op->node_timeout;

	/* A ticket is never 0 and tells its node. */
	op->serial = op->serial % 0x0fffffff + 1;
	seat->ticket = op->serial * PMZ_LOCK_NODES_MAX + node;
	seat->verdict = PMZ__ASKED;
	seat->sent = 0;
	seat->due = pmz__min(pmz__sat_add(now, patience), op->limit);
	if (op->round == PMZ__UNDOING)
		seat->due = pmz__sat_add(now, PMZ__UNDO_NS);
	pmz__order_fill(op, node, order);
	op->moved[0] = '\0';
	return PMZ_LOCK_SEND;
}

void pmz__op_hurry(pmz__op *op, pmz_ns now)
{
	unsigned i;

	for (i = 0; i < op->nodes; i++)
		op->seats[i].due = pmz__min(op->seats[i].due,
		                            pmz__sat_add(now, PMZ__GRACE_NS));
}

static pmz_ns first_due(const pmz__op *op)
{
	pmz_ns due = PMZ_NEVER;
	unsigned i;

	for (i = 0; i < op->nodes; i++)
		if (op->seats[i].verdict == PMZ__ASKED)
			due = pmz__min(due, op->seats[i].due);
	return due;
}

static pmz_lock_step wait_for(pmz_lock_order *order, pmz_lock_step step,
                              pmz_ns due, int wakes)
{
	order->due = due;
	order->wakes = (uint32_t)wakes;
	return step;
}

pmz_lock_step pmz_lock_op_next(pmz_lock_op *cursor, pmz_ns now,
                               pmz_lock_order *order)
{
	pmz__op *op = pmz__op_of(cursor);
	pmz__seat *seat;
	int round;

	PMZ__ASSERT(order);
	do {
		if (op->round == PMZ__PAUSED && now < op->resume)
			return wait_for(order, PMZ_LOCK_PAUSE, op->resume,
			                op->status == PMZ_REFUSED_HELD);
		if (op->round == PMZ__PAUSED)
			pmz__acquire_try(op, now);
		round = op->round;
		time_out(op, now);
		judge(op, now);
	} while (round != op->round);
	if (op->round == PMZ__ENDED)
		return PMZ_LOCK_DONE;
	seat = next_to_ask(op);
	return seat ? ask(op, seat, order, now)
	            : wait_for(order, PMZ_LOCK_READ, first_due(op), 0);
}

static pmz__seat *seat_of(pmz__op *op, uint32_t ticket)
{
	return &op->seats[ticket % PMZ_LOCK_NODES_MAX];
}

void pmz_lock_op_sent(pmz_lock_op *cursor, uint32_t ticket, pmz_ns now)
{
	pmz__op *op = pmz__op_of(cursor);
	pmz__seat *seat = seat_of(op, ticket);

	if (seat->ticket != ticket)
		return;
	seat->sent = 1;
	seat->due = pmz__min(seat->due, pmz__sat_add(now, op->node_timeout));
}

void pmz_lock_op_reply(pmz_lock_op *cursor, uint32_t ticket, const char *text,
                       size_t len, pmz_ns now)
{
	pmz__op *op = pmz__op_of(cursor);
	pmz__seat *seat = seat_of(op, ticket);

	PMZ__ASSERT(text || !len);
	if (seat->ticket == ticket && seat->verdict == PMZ__ASKED)
		pmz__answer_text(op, seat, text, len, now);
	else if (ticket && seat->late == ticket)
		pmz__answer_late(seat, text, len);
}

void pmz_lock_op_error(pmz_lock_op *cursor, uint32_t ticket, const char *text,
                       size_t len, pmz_ns now)
{
	pmz__op *op = pmz__op_of(cursor);
	pmz__seat *seat = seat_of(op, ticket);

	(void)now;
	PMZ__ASSERT(text || !len);
	if (seat->ticket != ticket || seat->verdict != PMZ__ASKED)
		return;
	pmz__op_say(op, ticket % PMZ_LOCK_NODES_MAX, text, len);
	pmz__answer_error(op, seat, text, len);
}

/* A connection that the server closed while it lay idle looks like this, so it
 * is asked once more. WAIT would then wait for the writes of nobody. */
static int may_ask_again(const pmz__op *op, const pmz__seat *seat, int written,
                         pmz_ns now)
{
	return written && !seat->again && now < seat->due &&
	       op->round != PMZ__REPLICATING && op->round != PMZ__UNDOING;
}

void pmz_lock_op_fail(pmz_lock_op *cursor, uint32_t ticket, int written,
                      const char *text, pmz_ns now)
{
	pmz__op *op = pmz__op_of(cursor);
	pmz__seat *seat = seat_of(op, ticket);
	int again;

	if (seat->ticket != ticket || seat->verdict != PMZ__ASKED)
		return;
	if (text)
		pmz__op_say(op, ticket % PMZ_LOCK_NODES_MAX, text,
		            strlen(text));
	again = may_ask_again(op, seat, written, now);
	give_up(op, seat, written);
	if (again) {
		seat->again = 1;
		seat->verdict = PMZ__TO_ASK;
	}
}

/* On a quorum, those who wake together would each get a few nodes and none a
 * majority; and what each then takes back wakes the others, without end where
 * the holder lacks a few nodes. */
static pmz_ns step_aside(const pmz__op *op)
{
	uint64_t random = op->seed[1] * (2 * (uint64_t)op->serial + 1);

	return op->nodes > 1
	               ? pmz__mul_high(random, PMZ_MS(5) << op->splits)
	               : 0;
}

void pmz_lock_op_wake(pmz_lock_op *cursor, pmz_ns now)
{
	pmz__op *op = pmz__op_of(cursor);

	if (op->round == PMZ__PAUSED && op->status == PMZ_REFUSED_HELD)
		op->resume =
			pmz__min(op->resume, pmz__sat_add(now, step_aside(op)));
}

void pmz_lock_op_listens(pmz_lock_op *cursor, int yes)
{
	pmz__op_of(cursor)->listens = yes != 0;
}

void pmz_lock_op_cancel(pmz_lock_op *cursor, pmz_ns now)
{
	pmz__op *op = pmz__op_of(cursor);

	if (op->verb != PMZ_LOCK_ACQUIRE || op->round == PMZ__ENDED)
		return;
	if (op->round != PMZ__UNDOING) {
		pmz__acquire_fail(op, PMZ_CANCELLED, now);
		return;
	}
	op->status = PMZ_CANCELLED;
	op->resume = 0;
}

size_t pmz_lock_op_size(void)
{
	return sizeof(pmz_lock_op);
}

size_t pmz_lock_order_size(void)
{
	return sizeof(pmz_lock_order);
}
