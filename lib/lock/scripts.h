/*
 * scripts.h - what the servers run.
 */
#ifndef PMZ_LIB_LOCK_SCRIPTS_H
#define PMZ_LIB_LOCK_SCRIPTS_H

#include <pipemaze/lock_proto.h>

/* After PEXPIRE of a lease its tombstone is of no use, but bytes can be longer
 * on their way than a short lease lives. */
#define PMZ__TOMB_MORE_MS 60000u
/* Fences are kept for a day longer than the lease; after that the server's own
 * time has long passed them. */
#define PMZ__FENCE_MORE_MS 86400000u

#endif
