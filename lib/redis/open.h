/*
 * open.h - what an address stands for, to be connected to.
 */
#ifndef PMZ_LIB_REDIS_OPEN_H
#define PMZ_LIB_REDIS_OPEN_H

#include "lock/link.h"

/* Connects to nothing yet. PMZ_E_CONFIG and PMZ_E_ABSENT as
 * pmz__address_read(), PMZ_E_NOMEM. */
int pmz__redis_node_new(pmz__node **out, const char *address, pmz_ns connect_ns,
                        pmz_why *why);
/* Both came from here. */
int pmz__redis_node_same(const pmz__node *a, const pmz__node *b);

#endif
