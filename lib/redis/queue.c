/*
 * queue.c - the commands of a connection that have no answer yet, in order.
 */
#include "redis/queue.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/wide.h"

#define ROOM_FIRST 16

pmz__await *pmz__queue_at(const pmz__queue *q, uint32_t i)
{
	PMZ__ASSERT(i < q->count);
	return &q->at[(q->first + i) & (q->room - 1)];
}

static int grow(pmz__queue *q)
{
	uint32_t i, room = q->room ? 2 * q->room : ROOM_FIRST;
	pmz__await *at;

	if (room > PMZ__PIPELINE_MAX)
		return 0;
	at = (pmz__await *)pmz__alloc(room * sizeof(*at));
	if (!at)
		return 0;
	for (i = 0; i < q->count; i++)
		at[i] = *pmz__queue_at(q, i);
	pmz__free(q->at);
	q->at = at;
	q->room = room;
	q->first = 0;
	return 1;
}

pmz__await *pmz__queue_push(pmz__queue *q)
{
	pmz__await *a;

	if (q->count == q->room && !grow(q))
		return NULL;
	q->count++;
	a = pmz__queue_at(q, q->count - 1);
	memset(a, 0, sizeof(*a));
	a->due = PMZ_NEVER;
	return a;
}

pmz__await pmz__queue_shift(pmz__queue *q)
{
	pmz__await a = *pmz__queue_at(q, 0);

	q->first++;
	q->count--;
	q->sent -= q->sent > 0;
	return a;
}

pmz__await pmz__queue_pop(pmz__queue *q)
{
	pmz__await a = *pmz__queue_at(q, q->count - 1);

	q->count--;
	q->sent = (uint32_t)pmz__min(q->sent, q->count);
	return a;
}

void pmz__queue_free(pmz__queue *q)
{
	pmz__free(q->at);
	memset(q, 0, sizeof(*q));
}

pmz_ns pmz__queue_due(const pmz__queue *q)
{
	pmz_ns due = PMZ_NEVER;
	uint32_t i;

	for (i = 0; i < q->count; i++)
		due = pmz__min(due, pmz__queue_at(q, i)->due);
	return due;
}

int pmz__queue_has_op(const pmz__queue *q)
{
	uint32_t i;

	for (i = 0; i < q->count; i++)
		if (pmz__queue_at(q, i)->op)
			return 1;
	return 0;
}

void pmz__queue_forget(pmz__queue *q, const pmz_lock_op *op)
{
	uint32_t i;

	for (i = 0; i < q->count; i++)
		if (pmz__queue_at(q, i)->op == op)
			pmz__queue_at(q, i)->op = NULL;
}
