/*
 * breaker.h - what a circuit breaker is made of.
 */
#ifndef PMZ_LIB_CORE_BREAKER_H
#define PMZ_LIB_CORE_BREAKER_H

#include <pipemaze/breaker.h>

#include "base/atomic.h"
#include "core/window.h"

#define PMZ__PROBES 16
#define PMZ__CALLS_WINDOW_MAX 1048576 /* 4 MB of ring */

/* The gate: epoch << 32 | level << 8 | mode bits | state. The level is how many
 * trips there were without a healthy time between. */
#define PMZ__STATE ((uint64_t)3)
#define PMZ__SHADOW_BIT ((uint64_t)1 << 2)
#define PMZ__ISOLATED_BIT ((uint64_t)1 << 3)
#define PMZ__DISABLED_BIT ((uint64_t)1 << 4)
#define PMZ__MODE_BITS \
	(PMZ__SHADOW_BIT | PMZ__ISOLATED_BIT | PMZ__DISABLED_BIT)
#define PMZ__LEVEL_SHIFT 8
#define PMZ__LEVEL_MAX 63
#define PMZ__EPOCH ((uint64_t)1 << 32)

/* The rules as words that are never 0, so that they can be placed: what is off
 * stands at PMZ_NEVER. Each may change alone while calls go on. */
typedef struct pmz__breaker_rules {
	pmz__a64 window_ns;
	pmz__a64 bucket_ns;
	pmz__a64 open_ns;
	pmz__a64 open_max_ns;
	pmz__a64 slow_ns;
	pmz__a64 probe_lease_ns;
	pmz__a64 calls_window; /* never: a time window */
	pmz__a64 calls_min;
	pmz__a64 failure_pct;
	pmz__a64 slow_pct;
	pmz__a64 failures_max;
	pmz__a64 consecutive_max;
	pmz__a64 probes_max;
	pmz__a64 probes_to_close;
	pmz__a64 open_jitter_pct;
} pmz__breaker_rules;

/* A probe's place. `holder` is the second word of the permit that holds it, or
 * that word without its kind once it is given back. */
typedef struct pmz__probe {
	pmz__a64 holder;
	pmz__a64 until;
} pmz__probe;

struct pmz_breaker {
	/* Read by every call, written when something changes. */
	pmz__a64 identity;
	pmz__a64 gate;
	pmz__a64 until; /* end of the rest; in force while OPEN */
	pmz__a64 changed_at;
	pmz__a64 seed;
	/* In force while CLOSED, by the lowest bit of the epoch: one closed
	 * state may follow another. */
	pmz__a64 closed_at[2];
	pmz__a64 calls_then[2]; /* of a count window: calls when it closed */
	pmz__breaker_rules rules;

	/* Written by every call; results.total begins a line. */
	pmz__window results; /* of a count window only the total, of calls */
	pmz__a64 failures;   /* in CLOSED, as those of results */
	pmz__a64 marks;      /* of a count window, see breaker.c */
	pmz__a64 streak;     /* epoch << 32 | failures in a row */
	pmz__a64 slow;
	pmz__a64 ignored;
	pmz__a64 stale;
	pmz__a64 misused;

	pmz__window slow_results; /* marked when slow; kept under slow_pct */
	pmz__probe probes[PMZ__PROBES];
	pmz__a64 wins;           /* epoch << 32 | probes that succeeded */
	pmz__a64 other_calls;    /* of probes and of shadow calls */
	pmz__a64 other_failures;
	pmz__a64 trips;
	pmz__a64 would_refuse;
	pmz__a64 refusals;
	/* A count window's ring of pmz__a32 stands behind. */
};

static inline uint64_t pmz__rule(const pmz__a64 *rule)
{
	/* Relaxed: each rule holds on its own, but for bucket_ns. */
	return pmz__load(rule, PMZ__RELAXED);
}

/* Changes *word to value, as long as the gate stands at `gate` and so nobody
 * relies on the word. 0 if the gate moved. */
int pmz__breaker_propose(pmz_breaker *b, uint64_t gate, pmz__a64 *word,
                         uint64_t value);

/* What pmz_breaker_set() would say, without doing it. */
int pmz__breaker_check_set(const pmz_breaker *b, const pmz_breaker_config *cfg,
                           pmz_why *why);

/* A permit that was not used after all: gives a probe's place back and leaves no
 * other trace. */
void pmz__breaker_undo(pmz_breaker *b, pmz_permit *permit);

#endif
