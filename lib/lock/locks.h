/*
 * locks.h - a pmz_locks over nodes that somebody else has made.
 */
#ifndef PMZ_LIB_LOCK_LOCKS_H
#define PMZ_LIB_LOCK_LOCKS_H

#include <pthread.h>

#include "lock/link.h"

/* A thread that is cancelled in a poll(), a read() or a close() would leave its
 * lane, its turn or a mutex behind, so it is cancelled when the call has ended:
 * each public function that locks or does I/O lies between these two. */
static inline int pmz__cancel_off(void)
{
	int before;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before);
	return before;
}

static inline void pmz__cancel_on(int before)
{
	pthread_setcancelstate(before, &before);
}

/* NULL for the defaults. The nodes are the locks' from here on, also when this
 * fails. */
int pmz__locks_new(pmz_locks **out, pmz__node *const *nodes, uint32_t count,
                   const pmz_locks_config *cfg, pmz_why *why);

/* What the nodes need to know before: connect_ns with its default. */
int pmz__locks_config_read(pmz_locks_config *out, const pmz_locks_config *cfg,
                           pmz_why *why);

#endif
