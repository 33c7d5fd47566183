/*
 * acquire.h - waits for a lock, and gives up at a signal.
 */
#ifndef PIPEMAZE_TOOL_ACQUIRE_H
#define PIPEMAZE_TOOL_ACQUIRE_H

#include <pipemaze/base.h>
#include <pipemaze/lock.h>

struct acquire {
	pmz_locks *locks;
	const char *name;
	pmz_ns ttl, wait;
	int keep;
	pmz_lease lease;
	pmz_why why;
	int signal; /* that ended the wait, or 0 */
};

/* The status of pmz_lock_acquire(), or of pmz_lock_keep() where that failed and
 * the lock is released. After a signal PMZ_CANCELLED, and it is not held. */
int acquire(struct acquire *a);

#endif
