/*
 * queue.h - the commands of a connection that have no answer yet, in order.
 */
#ifndef PMZ_LIB_REDIS_QUEUE_H
#define PMZ_LIB_REDIS_QUEUE_H

#include "redis/owed.h"

#define PMZ__PIPELINE_MAX 8192 /* on one connection */

typedef enum pmz__kind {
	PMZ__COMMAND = 0, /* an op's */
	PMZ__LOGIN,       /* AUTH, SELECT: nothing goes before its answer */
	PMZ__DEBT,
	PMZ__ASKING,
	PMZ__SLOTS_ASKED,
	PMZ__TRACKING,
	PMZ__EAR_ID,
	PMZ__EAR_SUBSCRIBED
} pmz__kind;

typedef struct pmz__await {
	pmz_lock_op *op;   /* NULL: nobody waits for it, or it was told */
	uint64_t debt;     /* of an abandon: owed unless it is answered; or 0 */
	pmz_ns due;        /* the connection has failed if silent by then */
	pmz_ns timeout_ns; /* ... or for so long once written; 0: only due */
	uint64_t begins, ends; /* in the connection's bytes */
	uint32_t kind;
	uint32_t ticket;
} pmz__await;

typedef struct pmz__queue {
	pmz__await *at;
	uint32_t room; /* a power of two */
	uint32_t first;
	uint32_t count;
	uint32_t sent; /* so many from the front are written */
} pmz__queue;

pmz__await *pmz__queue_at(const pmz__queue *q, uint32_t i);
pmz__await *pmz__queue_push(pmz__queue *q); /* zeroed; NULL: no memory, full */
pmz__await pmz__queue_shift(pmz__queue *q);
pmz__await pmz__queue_pop(pmz__queue *q); /* the newest */
void pmz__queue_free(pmz__queue *q);

pmz_ns pmz__queue_due(const pmz__queue *q); /* the earliest */
int pmz__queue_has_op(const pmz__queue *q);
void pmz__queue_forget(pmz__queue *q, const pmz_lock_op *op);

#endif
