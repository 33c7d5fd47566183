/*
 * scan.h - numbers, spans and ranges as the library's texts write them.
 *
 * The scanners return where they stopped, or NULL if nothing was there. They
 * stop at a final NUL and at all that is no part of a number or a unit, so the
 * caller compares with its word's end. Numbers saturate: all ones is too much.
 */
#ifndef PMZ_LIB_BASE_SCAN_H
#define PMZ_LIB_BASE_SCAN_H

#include <pipemaze/base.h>

const char *pmz__scan_number(const char *at, uint64_t *n);

/* The unit of n: ns, us, ms, s, m or h. */
const char *pmz__scan_unit(const char *at, uint64_t n, pmz_ns *span);
/* 5s, and 1s..5s */
const char *pmz__scan_span(const char *at, pmz_ns *span);
const char *pmz__scan_range(const char *at, pmz_ns *low, pmz_ns *high);

#endif
