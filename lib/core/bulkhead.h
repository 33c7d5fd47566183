/*
 * bulkhead.h - how wide a bulkhead can be.
 */
#ifndef PMZ_LIB_CORE_BULKHEAD_H
#define PMZ_LIB_CORE_BULKHEAD_H

#include <pipemaze/bulkhead.h>

#define PMZ__BULKHEAD_MAX 0x7fffffu

#endif
