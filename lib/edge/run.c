/*
 * run.c - one call through a pipe, for a thread that may block.
 */
#include <pipemaze/edge.h>

#include <pthread.h>

#include "core/ending.h"

static int is_outcome(pmz_outcome how)
{
	return how >= PMZ_SUCCESS && how <= PMZ_FATAL;
}

/* Work in another language returns what it likes. To settle with that changes
 * nothing, and the loop would try for ever. */
static int end_without_outcome(pmz_call *call, pmz_outcome how, pmz_why *why)
{
	pmz_call_cancel(call, pmz_now());
	pmz__bad(why, "work", "the work returned %d, which is no pmz_outcome",
	         (int)how);
	return PMZ_E_STATE;
}

static pmz_step wait_once(pmz_call *call)
{
	pmz_sleep_until(pmz_call_due(call));
	return pmz_call_resume(call, pmz_now());
}

static int drive(pmz_call *call, pmz_step step, pmz_work_fn work, void *ctx,
                 pmz_why *why)
{
	while (step != PMZ_DONE) {
		pmz_outcome how;

		if (step == PMZ_WAIT) {
			step = wait_once(call);
			continue;
		}
		how = work(pmz_call_due(call), ctx);
		if (!is_outcome(how))
			return end_without_outcome(call, how, why);
		step = pmz_call_settle(call, how, pmz_now());
	}
	return pmz__ending(call, why);
}

static void give_up(void *call)
{
	pmz_call_cancel((pmz_call *)call, pmz_now());
}

int pmz_run(pmz_pipe *pipe, const pmz_ask *ask, pmz_work_fn work, void *ctx,
            pmz_why *why)
{
	pmz_call call;
	pmz_step step = pmz_call_begin(&call, pipe, ask, pmz_now());
	int status;

	pthread_cleanup_push(give_up, &call);
	status = drive(&call, step, work, ctx, why);
	pthread_cleanup_pop(0);
	return status;
}
