/*
 * config.h - reading structs that grow, and saying what is wrong with them.
 */
#ifndef PMZ_LIB_BASE_CONFIG_H
#define PMZ_LIB_BASE_CONFIG_H

#include <pipemaze/base.h>

#if defined(__GNUC__)
#define PMZ__PRINTF(text, args) __attribute__((format(printf, text, args)))
#else
#define PMZ__PRINTF(text, args)
#endif

#define PMZ__SIZE_MIN (2 * sizeof(uint32_t)) /* the size and one more field */

/* Copies a caller's struct that opens with its size into *dst, a struct of
 * `known` bytes; what the caller's lacks is zero, as is all of it for NULL.
 * PMZ_E_CONFIG for a size below PMZ__SIZE_MIN, or for bytes beyond `known` that
 * are not zero: they ask for what this library does not have. */
int pmz__config_read(void *dst, size_t known, const void *src, pmz_why *why);

/* Copies `known` bytes out into a caller's struct as far as its size goes, and
 * leaves that size as it is. PMZ_E_CONFIG for a size too small to hold one. */
int pmz__stats_write(void *dst, const void *src, size_t known);

/* Fills *why (may be NULL) and returns PMZ_E_CONFIG. */
int pmz__bad(pmz_why *why, const char *field, const char *format, ...)
	PMZ__PRINTF(3, 4);

/* Fills *why (may be NULL) with a status and its text; returns the status. */
int pmz__why(pmz_why *why, int status);

/* 0 is the default, PMZ_OFF (PMZ_NEVER) stays. */
static inline uint32_t pmz__or(uint32_t value, uint32_t otherwise)
{
	return value ? value : otherwise;
}

static inline pmz_ns pmz__or_ns(pmz_ns value, pmz_ns otherwise)
{
	return value ? value : otherwise;
}

#endif
