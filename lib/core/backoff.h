/*
 * backoff.h - the state behind a pmz_backoff; a pipe's calls start one from what
 * the pipe has checked before.
 */
#ifndef PMZ_LIB_CORE_BACKOFF_H
#define PMZ_LIB_CORE_BACKOFF_H

#include <pipemaze/backoff.h>

#include "base/wide.h"

#define PMZ__BACKOFF_BASE_NS PMZ_MS(100)
#define PMZ__BACKOFF_MAX_NS PMZ_S(5)
#define PMZ__FACTOR_PCT_MIN 100
#define PMZ__FACTOR_PCT_MAX 1000

/* The rule, with its defaults filled in. */
typedef struct pmz__tries {
	pmz_ns base_ns;
	pmz_ns max_ns;
	pmz_ns floor_ns;
	pmz_ns attempt_min_ns;
	pmz_ns hint_max_ns;
	uint32_t tries_max; /* PMZ_OFF: no bound */
	uint16_t factor_pct;
	uint16_t jitter;
} pmz__tries;

/* Waits that grow: the last one before jitter, or as drawn when decorrelated,
 * with its part of a ns in 2^-32. All zero at the start. */
typedef struct pmz__row {
	pmz_ns last;
	uint32_t part;
	uint32_t tries; /* of the backoff that the row is for */
} pmz__row;

typedef struct pmz__backoff {
	pmz__tries rule;
	pmz_ns deadline;
	uint64_t random;
	pmz__row row;
} pmz__backoff;

int pmz__tries_read(pmz__tries *out, const pmz_backoff_rule *rule,
                    pmz_why *why);
void pmz__backoff_begin(pmz__backoff *b, pmz_ns deadline, uint64_t seed);
pmz_ns pmz__backoff_wait(pmz__backoff *b, pmz__row *row);
int pmz__backoff_next(pmz__backoff *b, pmz_ns now, pmz_ns hint, pmz_ns *at);

#endif
