/*
 * slot.h - the slot of a key in a Redis Cluster.
 */
#ifndef PMZ_LIB_REDIS_SLOT_H
#define PMZ_LIB_REDIS_SLOT_H

#include <stddef.h>
#include <stdint.h>

#define PMZ__SLOTS 16384

uint32_t pmz__slot_of(const char *key, size_t len);
/* Of lock:<name>, and so of its companions. */
uint32_t pmz__slot_of_lock(const char *name);

#endif
