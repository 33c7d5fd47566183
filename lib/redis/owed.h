/*
 * owed.h - abandons that no server has confirmed yet.
 *
 * Each lies here from before its first byte until a server has answered it: a
 * connection that has lost its bytes may belong to a lane that nobody uses any
 * more. One whose answer is late, and for which no op waits, goes out again with the next command over any
 * connection to its node; to be obeyed twice does no harm. It carries its whole
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

#define PMZ__OWED_MAX 256
/* One that was given to a connection is left to it for so long. */
#define PMZ__OWED_AGAIN_NS PMZ_MS(200)

typedef struct pmz__debt {
	struct pmz__debt *next;
	uint64_t number;
	pmz_ns due; /* to go out again */
	size_t len;
	uint32_t slot; /* of its key, in a cluster */
	char bytes[];  /* as RESP */
} pmz__debt;

typedef struct pmz__owed {
	pthread_mutex_t mutex;
	pmz__debt *first;
	uint64_t numbers; /* given so far */
	pmz__a32 count;   /* changed under the mutex; a look needs none */
} pmz__owed;

/* Writes a debt that is due; 0: not now, nor those that follow. Under the
 * mutex. */
typedef int (*pmz__owed_write)(void *ctx, const pmz__debt *debt);

/* The slot of the first key of a script's command; 0 for other commands. */
uint32_t pmz__order_slot(const pmz_lock_order *order);

void pmz__owed_init(pmz__owed *o);
void pmz__owed_end(pmz__owed *o);
/* An abandon that is about to go out: its number, never 0; 0: no memory. */
uint64_t pmz__owed_add(pmz__owed *o, const pmz_lock_order *order, pmz_ns now);
/* A server has answered it. */
void pmz__owed_paid(pmz__owed *o, uint64_t number);
/* It did not arrive, or was turned down: it is due at once. */
void pmz__owed_renew(pmz__owed *o, uint64_t number);
/* Those that are due and that `goes_here`, the oldest first. */
void pmz__owed_pay(pmz__owed *o, pmz_ns now,
                   int (*goes_here)(const void *ctx, uint32_t slot),
                   pmz__owed_write write, void *ctx);

#endif
