/*
 * line.h - a pipe's one line of text, read into the configs of its stages.
 *
 * pipe.h has the grammar. What a line may say beside shared guards or to a pipe
 * that runs is for pipe.c to judge, which finds here the columns to point at.
 */
#ifndef PMZ_LIB_CORE_LINE_H
#define PMZ_LIB_CORE_LINE_H

#include <pipemaze/backoff.h>
#include <pipemaze/balance.h>
#include <pipemaze/breaker.h>
#include <pipemaze/bucket.h>
#include <pipemaze/budget.h>
#include <pipemaze/bulkhead.h>

#include "base/config.h"

#define PMZ__LINE_MAX 4096 /* bytes, without the final NUL */

typedef enum pmz__stage {
	PMZ__STAGE_BREAKER,
	PMZ__STAGE_BULKHEAD,
	PMZ__STAGE_RATE,
	PMZ__STAGE_TRIES,
	PMZ__STAGE_BUDGET,
	PMZ__STAGE_TRY,
	PMZ__STAGE_TOTAL,
	PMZ__STAGE_WAIT,
	PMZ__STAGE_BALANCE,
	PMZ__STAGES
} pmz__stage;

/* Each config has its size; what the line does not say is 0, the default, and
 * so is all of a stage that is not there. */
typedef struct pmz__line {
	uint32_t stages;              /* bit 1 << PMZ__STAGE_... if there */
	uint32_t column[PMZ__STAGES]; /* of the stage's word, 0 if not there */
	uint32_t window_column;       /* of the breaker's T or N after `over` */
	uint32_t probes_column;       /* of the N after `probes` */
	pmz_breaker_config breaker;   /* its mode is always explicit */
	pmz_bulkhead_config bulkhead;
	pmz_rate rate;
	uint64_t rate_tokens; /* what the rate was set from */
	pmz_ns rate_per_ns;
	uint64_t rate_burst;
	pmz_backoff_rule backoff;
	pmz_budget_config budget;
	pmz_ns try_ns;
	pmz_ns total_ns;
	pmz_ns wait_max_ns;
	pmz_balance_config balance;
} pmz__line;

static inline int pmz__line_has(const pmz__line *line, pmz__stage stage)
{
	return (int)(line->stages >> stage & 1);
}

/* PMZ_OK, also for a line of nothing but white space, which has no stages; or
 * PMZ_E_CONFIG, *why (may be NULL) and an *out of no use. Its `field` is the
 * stage or option that is read, "" outside them. What is PMZ_OK here is so for
 * the guards as well. */
int pmz__line_read(pmz__line *out, const char *text, pmz_why *why);

/* Fills *why (may be NULL) and returns PMZ_E_CONFIG. Bytes that do not print
 * are shown as ?. */
int pmz__line_bad(pmz_why *why, uint32_t column, const char *field,
                  const char *format, ...) PMZ__PRINTF(4, 5);

#endif
