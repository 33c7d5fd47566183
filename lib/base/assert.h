/*
 * assert.h - what must be true, checked in debug builds only (-DPMZ_DEBUG), and
 * what the compiler should know.
 */
#ifndef PMZ_LIB_BASE_ASSERT_H
#define PMZ_LIB_BASE_ASSERT_H

#ifdef PMZ_DEBUG
#include <assert.h>
#define PMZ__ASSERT(claim) assert(claim)
#else
#define PMZ__ASSERT(claim) ((void)0)
#endif

/* For what lies in the opaque words of a public struct. */
#define PMZ__MAY_ALIAS __attribute__((__may_alias__))

#define PMZ__LIKELY(x) __builtin_expect(!!(x), 1)
#define PMZ__UNLIKELY(x) __builtin_expect(!!(x), 0)

#endif
