/*
 * sim.h - a virtual clock and scripted faults, to test time-outs without
 * waiting for them.
 *
 *   pmz_script script;
 *   pmz_sim sim;
 *   pmz_sim_start(&sim, 0, 1);
 *   st = pmz_script_from(&script, "5s ok 20ms | 4s fail 80% | hang", &why);
 *   while (pmz_sim_now(&sim) < PMZ_S(20)) {
 *       st = pmz_sim_run(&sim, &script, pipe, NULL, NULL);
 *       pmz_sim_pass(&sim, PMZ_MS(50));
 *   }
 *   pmz_breaker_read(breaker, pmz_sim_now(&sim), &stats);
 *
 * A script says how a dependency behaves, phase by phase, and serves a fake one
 * on a real clock too: it is asked by the time since its start. A pmz_sim is a
 * clock that moves only when told; on it an hour of outage takes a millisecond,
 * and comes out the same every time for the same seed.
 *
 * Nothing here reads a clock, sleeps, allocates or calls back.
 * Threads: one at a time per pmz_sim; any on a script, which _from makes first.
 */
#ifndef PIPEMAZE_SIM_H
#define PIPEMAZE_SIM_H

#include <pipemaze/base.h>
#include <pipemaze/pipe.h>

PMZ_BEGIN_DECLS

/* Plain data, at most 32 phases; nothing to free. */
typedef struct pmz_script {
	uint64_t opaque[132];
} pmz_script;

/* Reads phases in the order in which they come, divided by `|` or a new line:
 *
 *   5s ok 20ms            answers in 20 ms
 *   4s slow 400ms..600ms  answers too, but takes as long as this says
 *   4s fail 80% 10ms      8 of 10 fail, all after 10 ms
 *   3s hang 50% 20ms      half never end, the others answer in 20 ms
 *   ok                    at once, and from here on
 *
 * A phase is its span, its state and, in any order, the share of attempts that
 * are hit and the time that an attempt takes, or a range to draw it from. Only
 * the last phase may leave its span out; it goes on for ever either way. Other
 * states that take a share are `again`, `ignore` and `fatal`, for the outcomes
 * of these names. Spans are whole numbers of ns, us, ms, s, m or h. A comment
 * goes from `#` to the end of its line.
 * PMZ_E_CONFIG names the word in why->field, its byte (from 1, over the whole
 * text) in why->column, and the phase (from 0) in why->index. */
PMZ_API PMZ_MUST_USE int pmz_script_from(pmz_script *out, const char *text,
                                         pmz_why *why);

/* How an attempt that starts `since` the script did ends: its outcome and, in
 * *lasts, how long it takes. One that hangs lasts PMZ_NEVER and is a
 * PMZ_FAILURE. The same seed gives the same end: count it up, or draw it. */
PMZ_API pmz_outcome pmz_script_attempt(const pmz_script *s, pmz_ns since,
                                       uint64_t seed, pmz_ns *lasts);

/* The word of the phase in force: "ok", "slow", "fail", "hang", ... */
PMZ_API const char *pmz_script_state(const pmz_script *s, pmz_ns since);
/* When that phase ends, counted from the script's start; PMZ_NEVER once the
 * last one stands. */
PMZ_API pmz_ns pmz_script_until(const pmz_script *s, pmz_ns since);
/* All spans together; PMZ_NEVER if the last phase has none. */
PMZ_API pmz_ns pmz_script_span(const pmz_script *s);
PMZ_API size_t pmz_script_size(void);

/* Plain data. */
typedef struct pmz_sim {
	uint64_t opaque[12];
} pmz_sim;

typedef struct pmz_sim_stats {
	uint32_t size; /* set by the caller */
	uint32_t reserved;
	uint64_t calls;    /* of pmz_sim_run() */
	uint64_t attempts; /* that reached the script */
	uint64_t cut_off;  /* of these, given up when they were due */
	pmz_ns waited_ns;  /* between attempts */
} pmz_sim_stats;

/* A clock that stands at `now`, from where on its scripts play. */
PMZ_API void pmz_sim_start(pmz_sim *sim, pmz_ns now, uint64_t seed);
PMZ_API pmz_ns pmz_sim_now(const pmz_sim *sim);

/* Both return the new now. The clock stops an instant short of PMZ_NEVER; to go
 * to an earlier instant leaves it where it is. */
PMZ_API pmz_ns pmz_sim_pass(pmz_sim *sim, pmz_ns span);
PMZ_API pmz_ns pmz_sim_go(pmz_sim *sim, pmz_ns when);
/* To any instant, also back: what a broken clock does. */
PMZ_API pmz_ns pmz_sim_force(pmz_sim *sim, pmz_ns when);

/* One attempt by the script: the clock goes to its end, or to `due` if that
 * comes first and makes it a PMZ_FAILURE. 0, and the clock stays, if neither
 * would ever come. */
PMZ_API pmz_outcome pmz_sim_attempt(pmz_sim *sim, const pmz_script *script,
                                    pmz_ns due);

/* What pmz_run() of edge.h does, on this clock against this script: the call's
 * status; `ask` and `why` may be NULL. A call that nothing would end, since an
 * attempt hangs with no time-out, or that is not done after a million steps, is
 * cancelled: PMZ_CANCELLED, and why->text says what is missing. */
PMZ_API int pmz_sim_run(pmz_sim *sim, const pmz_script *script,
                        pmz_pipe *pipe, const pmz_ask *ask, pmz_why *why);

PMZ_API int pmz_sim_read(const pmz_sim *sim, pmz_sim_stats *out);
PMZ_API size_t pmz_sim_size(void);

PMZ_END_DECLS
#endif /* PIPEMAZE_SIM_H */
