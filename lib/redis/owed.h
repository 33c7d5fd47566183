/*
 * owed.h - abandons that no server has confirmed yet.
 *
 * Each waits here for the next connection to its node. It carries its whole
 * script, since by then the server may have forgotten that. The list is
 * bounded, and the oldest goes first: what it would have undone ends by its own
 * ttl.
 *
 * Threads: any.
 */
#ifndef PMZ_LIB_REDIS_OWED_H
#define PMZ_LIB_REDIS_OWED_H

#include <pthread.h>

#include <pipemaze/lock_proto.h>

#include "base/atomic.h"

#define PMZ__OWED_MAX 64

typedef struct pmz__debt {
	struct pmz__debt *next;
	size_t len;
	uint32_t slot; /* of its key, in a cluster */
	char bytes[];  /* as RESP */
} pmz__debt;

typedef struct pmz__owed {
	pthread_mutex_t mutex;
	pmz__debt *first;
	pmz__a32 count; /* changed under the mutex; a look needs none */
} pmz__owed;

/* The slot of the first key of a script's command; 0 for other commands. */
uint32_t pmz__order_slot(const pmz_lock_order *order);

pmz__debt *pmz__debt_new(const pmz_lock_order *order); /* NULL: no memory */
void pmz__debt_free(pmz__debt *debt);                  /* NULL is fine */

void pmz__owed_init(pmz__owed *o);
void pmz__owed_end(pmz__owed *o);
int pmz__owed_any(const pmz__owed *o);
void pmz__owed_add(pmz__owed *o, pmz__debt *debt);
/* The oldest that `is_due` accepts, or NULL. */
pmz__debt *pmz__owed_take(pmz__owed *o,
                          int (*is_due)(const void *ctx, uint32_t slot),
                          const void *ctx);

#endif
