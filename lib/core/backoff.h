/*
 * backoff.h - the state behind a pmz_backoff; a pipe's calls start one as a copy
 * of what the pipe has checked before.
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
	uint32_t tries_max;
	uint32_t factor_pct;
	uint64_t jitter;
} pmz__tries;

typedef struct pmz__backoff {
	pmz__tries rule;
	pmz_ns deadline;
	uint64_t random;
	uint64_t tries;
	pmz_ns wait; /* the last: before jitter, or as drawn when decorrelated */
} pmz__backoff;

int pmz__tries_read(pmz__tries *out, const pmz_backoff_rule *rule,
                    pmz_why *why);
void pmz__backoff_begin(pmz__backoff *b, pmz_ns deadline, uint64_t seed);
/* One more wait of a row whose last one, before jitter, is *last: 0 at first. */
pmz_ns pmz__backoff_wait(pmz__backoff *b, pmz_ns *last);
int pmz__backoff_next(pmz__backoff *b, pmz_ns now, pmz_ns hint, pmz_ns *at);

#endif
