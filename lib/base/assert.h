/*
 * assert.h - what must be true; checked in debug builds only (-DPMZ_DEBUG).
 */
#ifndef PMZ_LIB_BASE_ASSERT_H
#define PMZ_LIB_BASE_ASSERT_H

#ifdef PMZ_DEBUG
#include <assert.h>
#define PMZ__ASSERT(claim) assert(claim)
#else
#define PMZ__ASSERT(claim) ((void)0)
#endif

#define PMZ__LIKELY(x) __builtin_expect(!!(x), 1)
#define PMZ__UNLIKELY(x) __builtin_expect(!!(x), 0)

#endif
