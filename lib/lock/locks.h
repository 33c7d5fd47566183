/*
 * locks.h - a pmz_locks over nodes that somebody else has made.
 */
#ifndef PMZ_LIB_LOCK_LOCKS_H
#define PMZ_LIB_LOCK_LOCKS_H

#include "lock/link.h"

/* NULL for the defaults. The nodes are the locks' from here on, also when this
 * fails. */
int pmz__locks_new(pmz_locks **out, pmz__node *const *nodes, uint32_t count,
                   const pmz_locks_config *cfg, pmz_why *why);

/* What the nodes need to know before: connect_ns with its default. */
int pmz__locks_config_read(pmz_locks_config *out, const pmz_locks_config *cfg,
                           pmz_why *why);

#endif
