/*
 * sim.c - the virtual clock, and calls that run on it.
 */
#include <pipemaze/sim.h>

#include <stdio.h>
#include <string.h>

#include "base/config.h"
#include "base/random.h"
#include "core/ending.h"

#define STEPS_MAX 1000000 /* of one call */

/* What is in a pmz_sim. */
typedef struct sim_state {
	pmz_ns now, start;
	uint64_t random;
	uint64_t calls, attempts, cut_off;
	pmz_ns waited;
} sim_state;

_Static_assert(sizeof(sim_state) <= sizeof(pmz_sim), "a clock has its room");

static sim_state get(const pmz_sim *sim)
{
	sim_state s;

	memcpy(&s, sim, sizeof(s));
	return s;
}

static pmz_ns put(pmz_sim *sim, sim_state s)
{
	memcpy(sim, &s, sizeof(s));
	return s.now;
}

void pmz_sim_start(pmz_sim *sim, pmz_ns now, uint64_t seed)
{
	sim_state s;

	memset(sim, 0, sizeof(*sim));
	s = get(sim);
	s.now = s.start = pmz__min(now, PMZ_NEVER - 1);
	s.random = seed;
	put(sim, s);
}

pmz_ns pmz_sim_now(const pmz_sim *sim)
{
	return get(sim).now;
}

pmz_ns pmz_sim_pass(pmz_sim *sim, pmz_ns span)
{
	return pmz_sim_force(sim, pmz__sat_add(get(sim).now, span));
}

pmz_ns pmz_sim_go(pmz_sim *sim, pmz_ns when)
{
	return pmz_sim_force(sim, pmz__max(get(sim).now, when));
}

pmz_ns pmz_sim_force(pmz_sim *sim, pmz_ns when)
{
	sim_state s = get(sim);

	s.now = pmz__min(when, PMZ_NEVER - 1);
	return put(sim, s);
}

pmz_outcome pmz_sim_attempt(pmz_sim *sim, const pmz_script *script, pmz_ns due)
{
	sim_state s = get(sim);
	pmz_ns left = due == PMZ_NEVER ? due : pmz__sat_sub(due, s.now), lasts;
	pmz_outcome how;

	how = pmz_script_attempt(script, pmz__sat_sub(s.now, s.start),
	                         pmz__draw(&s.random), &lasts);
	s.attempts++;
	if (lasts > left) {
		s.cut_off++;
		lasts = left;
		how = PMZ_FAILURE;
	}
	put(sim, s);
	if (lasts == PMZ_NEVER)
		return (pmz_outcome)0;
	pmz_sim_pass(sim, lasts);
	return how;
}

static pmz_step wait_once(pmz_sim *sim, pmz_call *call)
{
	sim_state s = get(sim);
	pmz_ns due = pmz_call_due(call);

	s.waited += pmz__sat_sub(due, s.now);
	put(sim, s);
	return pmz_call_resume(call, pmz_sim_go(sim, due));
}

static pmz_step try_once(pmz_sim *sim, const pmz_script *script,
                         pmz_call *call, const char **endless)
{
	pmz_outcome how = pmz_sim_attempt(sim, script, pmz_call_due(call));

	if (!how) {
		*endless = "an attempt hangs: the pipe has neither try nor "
		           "total to cut it off";
		return PMZ_TRY;
	}
	return pmz_call_settle(call, how, pmz_sim_now(sim));
}

static int give_up(pmz_sim *sim, pmz_call *call, const char *endless,
                   pmz_why *why)
{
	int status;

	pmz_call_cancel(call, pmz_sim_now(sim));
	status = pmz__ending(call, why);
	if (why)
		snprintf(why->text, sizeof(why->text), "%s", endless);
	return status;
}

int pmz_sim_run(pmz_sim *sim, const pmz_script *script, pmz_pipe *pipe,
                const pmz_ask *ask, pmz_why *why)
{
	sim_state s = get(sim);
	const char *endless = NULL;
	pmz_call call;
	pmz_step step = pmz_call_begin(&call, pipe, ask, s.now);
	uint32_t steps;

	s.calls++;
	put(sim, s);
	for (steps = 0; step != PMZ_DONE && !endless; steps++) {
		if (steps == STEPS_MAX)
			endless = "the call does not end: bound its tries or "
			          "its total";
		else if (step == PMZ_TRY)
			step = try_once(sim, script, &call, &endless);
		else
			step = wait_once(sim, &call);
	}
	if (endless)
		return give_up(sim, &call, endless, why);
	return pmz__ending(&call, why);
}

int pmz_sim_read(const pmz_sim *sim, pmz_sim_stats *out)
{
	sim_state s = get(sim);
	pmz_sim_stats stats;

	memset(&stats, 0, sizeof(stats));
	stats.calls = s.calls;
	stats.attempts = s.attempts;
	stats.cut_off = s.cut_off;
	stats.waited_ns = s.waited;
	return pmz__stats_write(out, &stats, sizeof(stats));
}

size_t pmz_sim_size(void)
{
	return sizeof(pmz_sim);
}
