/*
 * ending.h - what a call came to, for the two loops that drive one: that of
 * pmz_run() on a real clock, and that of pmz_sim_run() on a virtual one.
 */
#ifndef PMZ_LIB_CORE_ENDING_H
#define PMZ_LIB_CORE_ENDING_H

#include <pipemaze/pipe.h>

#include "base/config.h"

#define PMZ__REFUSALS_END 64 /* the first status that is no refusal */

static inline int pmz__is_refusal(int status)
{
	return status > PMZ_OK && status < PMZ__REFUSALS_END;
}

/* The status of a call that is DONE; *why (may be NULL) says it in words, and
 * when to ask again. */
static inline int pmz__ending(const pmz_call *call, pmz_why *why)
{
	int status = pmz__why(why, pmz_call_status(call));

	if (why && pmz__is_refusal(status))
		why->ready_at = pmz_call_due(call);
	return status;
}

#endif
