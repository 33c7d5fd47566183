/*
 * turn.h - the threads of one process that wait for locks.
 *
 * Those who wait for the same name queue here first, in the order in which they
 * came, and only the one at the front asks the servers.
 */
#ifndef PMZ_LIB_LOCK_TURN_H
#define PMZ_LIB_LOCK_TURN_H

#include <pthread.h>

#include <pipemaze/base.h>

#include "lock/bell.h"

/* One wait, on its thread's stack. */
typedef struct pmz__turn {
	struct pmz__turn *next;
	const char *name;
	const pmz__bell *bell; /* wakes its thread, wherever it is */
	pmz_ns ready_at;       /* what the one at the front has been told */
	int status;
	int cancelled;
	int error; /* why there is no descriptor to wait on; 0: there is */
} pmz__turn;

typedef struct pmz__turns {
	pthread_mutex_t mutex; /* a leaf: nothing is locked under it */
	pmz__turn *first;
} pmz__turns;

void pmz__turns_init(pmz__turns *turns);
void pmz__turns_end(pmz__turns *turns);

/* PMZ_OK at the front of the queue, to be left in the end; otherwise it is not
 * in the queue: PMZ_CANCELLED, PMZ_E_IO and turn->error, or, as of
 * `until`, what the one at the front was told last, with turn->ready_at. */
int pmz__turn_take(pmz__turns *turns, pmz__turn *turn, const char *name,
                   pmz_ns until);
void pmz__turn_leave(pmz__turns *turns, pmz__turn *turn);

/* Of the one at the front. */
void pmz__turn_tell(pmz__turns *turns, pmz__turn *turn, int status,
                    pmz_ns ready_at);
void pmz__turn_listen(pmz__turns *turns, pmz__turn *turn,
                      const pmz__bell *bell);
int pmz__turn_cancelled(pmz__turns *turns, const pmz__turn *turn);

void pmz__turns_cancel(pmz__turns *turns, const char *name);

#endif
