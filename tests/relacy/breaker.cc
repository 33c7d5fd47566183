/*
 * breaker.cc - the breaker's gate and the places of its probes: a late result
 * moves nothing, and no more probes are out than are allowed.
 */
#include <pipemaze/breaker.h>

#include "search.h"

static const pmz_ns REST = PMZ_S(5), LEASE = PMZ_S(1), START = PMZ_S(100);

static const uint32_t CONSECUTIVE_MAX = 9; /* more than any check makes */

static pmz_breaker *breaker;
static pmz_permit early, own[3]; /* of the first closed state; of a thread */
static int status[3];
static pmz_ns ready_at;
static uint32_t first_epoch;
static int is_handed_on; /* before the late probe is settled */

/* Trips at so many failures, for REST and then twice that. */
static void begin(uint32_t failures_max, uint32_t calls_window)
{
	pmz_breaker_config cfg = {};

	cfg.size = sizeof(cfg);
	cfg.calls_window = calls_window;
	cfg.open_ns = REST;
	cfg.open_jitter_pct = PMZ_OFF;
	cfg.probe_lease_ns = LEASE;
	cfg.failures_max = failures_max;
	cfg.failure_pct = PMZ_OFF;
	cfg.consecutive_max = CONSECUTIVE_MAX;
	cfg.probes_max = 1;
	cfg.probes_to_close = 1;
	must(pmz_breaker_new(&breaker, &cfg, NULL) == PMZ_OK, "it is made");
}

static int acquire(pmz_permit *permit, pmz_ns now)
{
	return pmz_breaker_acquire(breaker, now, permit, &ready_at);
}

static void settle(pmz_permit *permit, pmz_outcome how, pmz_ns now)
{
	(void)pmz_breaker_settle(breaker, permit, how, now);
}

static pmz_breaker_stats stats(pmz_ns now)
{
	pmz_breaker_stats s = {};

	s.size = sizeof(s);
	must(pmz_breaker_read(breaker, now, &s) == PMZ_OK, "it is read");
	return s;
}

/* After so many changes of state. */
static int is(uint32_t state, uint32_t changes)
{
	return stats(START).state == state &&
	       stats(START).epoch == first_epoch + changes;
}

static void begin_with_calls(uint32_t failures_max, uint32_t calls_window)
{
	unsigned i;

	begin(failures_max, calls_window);
	first_epoch = stats(START).epoch;
	is_handed_on = 0;
	status[0] = status[1] = status[2] = PMZ_REFUSED_OPEN;
	must(acquire(&early, START) == PMZ_OK, "it is closed");
	for (i = 0; i < 3; i++)
		must(acquire(&own[i], START) == PMZ_OK, "it is closed");
}

static void begin_with_calls_out()
{
	begin_with_calls(1, 0);
}

/* The last two; two failures of them do not trip. */
static void begin_counting_calls()
{
	begin_with_calls(PMZ_OFF, 2);
}

static void fail_own(unsigned thread)
{
	settle(&own[thread], PMZ_FAILURE, START);
}

static void it_tripped_once()
{
	must(is(PMZ_OPEN, 1), "it is open");
	must(stats(START).trips == 1, "it tripped once");
	must(acquire(&own[0], START + REST - 1) == PMZ_REFUSED_OPEN,
	     "it rests");
	must(ready_at == START + REST, "for one rest");
}

/* The third call takes the place of one of the first two in the window. */
static void two_failures_are_in_the_window()
{
	pmz_breaker_stats s = stats(START);

	must(is(PMZ_CLOSED, 0), "it is closed");
	must(s.failures == 3 && s.calls == 3, "there were three");
	must(s.window_calls == 2 && s.window_failures == 2, "two are there");
}

static void fail_or_reset(unsigned thread)
{
	if (thread)
		pmz_breaker_reset(breaker, START);
	else
		settle(&own[0], PMZ_FAILURE, START);
}

static void the_window_is_empty()
{
	must(is(PMZ_CLOSED, 1), "it was reset");
	must(!stats(START).window_failures, "nothing failed since");
}

/* One thread goes from closed to open to half-open and on, by `how` its probe
 * ends; the other settles a failure of the first state. */
static void round_or_late(unsigned thread, pmz_outcome how)
{
	if (thread)
		return settle(&early, PMZ_FAILURE, START);
	settle(&own[0], PMZ_FAILURE, START);
	status[0] = acquire(&own[0], START + REST);
	must(status[0] == PMZ_OK, "its rest is over");
	settle(&own[0], how, START + REST);
}

static void recover_or_late(unsigned thread)
{
	round_or_late(thread, PMZ_SUCCESS);
}

static void relapse_or_late(unsigned thread)
{
	round_or_late(thread, PMZ_FAILURE);
}

static void it_is_closed_anew()
{
	must(is(PMZ_CLOSED, 3), "it is closed anew");
}

static void it_has_the_second_rest()
{
	pmz_ns end = START + REST + 2 * REST;

	must(is(PMZ_OPEN, 3), "it is open anew");
	must(acquire(&own[0], end - 1) == PMZ_REFUSED_OPEN && ready_at == end,
	     "its rest is its own");
	must(acquire(&own[0], end) == PMZ_OK, "and ends");
}

static void begin_open()
{
	begin_with_calls_out();
	settle(&own[0], PMZ_FAILURE, START);
	must(is(PMZ_OPEN, 1), "it is open");
}

static void probe(unsigned thread)
{
	status[thread] = acquire(&own[thread], START + REST);
}

static unsigned probes_given(unsigned threads)
{
	unsigned i, given = 0;

	for (i = 0; i < threads; i++)
		given += status[i] == PMZ_OK;
	return given;
}

static void one_of_two_probes()
{
	must(probes_given(2) == 1, "one probe is given");
	must(stats(START + REST).probes_out == 1, "and is out");
	must(acquire(&early, START + REST) == PMZ_REFUSED_OPEN &&
	             ready_at == START + REST + LEASE,
	     "until its lease ends");
}

/* A probe is out that will say nothing more in time. */
static void begin_with_a_silent_probe()
{
	begin_open();
	must(acquire(&early, START + REST) == PMZ_OK, "a probe is given");
}

static void probe_after_the_lease(unsigned thread)
{
	status[thread] = acquire(&own[thread], START + REST + LEASE);
}

static void one_has_the_place()
{
	must(probes_given(2) == 1, "one probe is given");
	must(acquire(&early, START + REST + LEASE) == PMZ_REFUSED_OPEN,
	     "and keeps the place");
}

static void probe_anew_or_fail_late(unsigned thread)
{
	if (!thread)
		return probe_after_the_lease(0);
	is_handed_on = status[0] == PMZ_OK;
	settle(&early, PMZ_FAILURE, START + REST + LEASE);
}

/* It opens while the place is its own, or not at all. */
static void a_place_handed_on_counts()
{
	pmz_breaker_stats s = stats(START + REST + LEASE);

	if (s.state == PMZ_OPEN) {
		must(is(PMZ_OPEN, 3) && !s.stale, "the failure opened it");
		must(!is_handed_on, "by the place that it had");
		return;
	}
	must(is(PMZ_HALF_OPEN, 2), "nothing moved");
	must(s.stale == 1 && s.probes_out == 1 && status[0] == PMZ_OK,
	     "the new probe has the place");
}

/* One fails its probe and asks for two of the next round; the other asks for
 * one all the time, by a clock that says `now`. */
static void next_round_or_probe(unsigned thread, pmz_ns now)
{
	const pmz_ns next = START + REST + 2 * REST;

	if (thread) {
		status[1] = acquire(&own[1], now);
		return;
	}
	settle(&early, PMZ_FAILURE, START + REST);
	status[0] = acquire(&own[0], next);
	status[2] = acquire(&own[2], next);
}

static void next_round_or_late_probe(unsigned thread)
{
	next_round_or_probe(thread, START + REST + 2 * REST);
}

static void next_round_or_slow_clock(unsigned thread)
{
	next_round_or_probe(thread, START + REST);
}

static unsigned given_in(uint32_t epoch)
{
	unsigned i, given = 0;

	for (i = 0; i < 3; i++)
		given += status[i] == PMZ_OK && own[i].opaque[1] >> 32 == epoch;
	return given;
}

static void one_probe_is_out()
{
	pmz_breaker_stats s = stats(START + REST + 2 * REST);

	must(s.state == PMZ_HALF_OPEN, "it is half-open");
	must(given_in(s.epoch) == 1, "one probe was given");
	must(s.probes_out == 1, "and has its place");
}

/* The other may have had it before, by a lease that was over then. */
static void the_place_is_kept()
{
	must(status[0] != PMZ_OK || status[2] != PMZ_OK, "one of two has it");
	must(stats(START + REST + 2 * REST).probes_out == 1, "to the end");
}

#define TRIED_AT_RANDOM 10000

const struct check checks[] = {
	{ "two who come when the rest ends get one probe", 2, BOUND, 3,
	  begin_open, probe, one_of_two_probes },
	{ "two who come when the rest ends get one probe", 2, RANDOM,
	  TRIED_AT_RANDOM, begin_open, probe, one_of_two_probes },
	{ "a place whose lease is over goes to one", 2, BOUND, 3,
	  begin_with_a_silent_probe, probe_after_the_lease, one_has_the_place },
	{ "a late probe does not open once its place is handed on", 2, BOUND, 3,
	  begin_with_a_silent_probe, probe_anew_or_fail_late,
	  a_place_handed_on_counts },
	{ "one who comes late takes no place of the next round", 2, BOUND, 2,
	  begin_with_a_silent_probe, next_round_or_late_probe,
	  one_probe_is_out },
	{ "a slow clock does not end the lease of another", 2, BOUND, 2,
	  begin_with_a_silent_probe, next_round_or_slow_clock,
	  the_place_is_kept },
	{ "two failures trip once", 2, BOUND, 2, begin_with_calls_out, fail_own,
	  it_tripped_once },
	{ "two failures trip once", 2, RANDOM, TRIED_AT_RANDOM,
	  begin_with_calls_out, fail_own, it_tripped_once },
	{ "a window of calls counts each once", 3, BOUND, 2,
	  begin_counting_calls, fail_own, two_failures_are_in_the_window },
	{ "a window of calls counts each once", 3, RANDOM, TRIED_AT_RANDOM,
	  begin_counting_calls, fail_own, two_failures_are_in_the_window },
	{ "a window of calls holds no failure from before a reset", 2, BOUND, 2,
	  begin_counting_calls, fail_or_reset, the_window_is_empty },
	{ "a window of calls holds no failure from before a reset", 2, RANDOM,
	  TRIED_AT_RANDOM, begin_counting_calls, fail_or_reset,
	  the_window_is_empty },
	{ "a late failure does not open what has closed since", 2, BOUND, 2,
	  begin_with_calls_out, recover_or_late, it_is_closed_anew },
	{ "a late failure does not open what has closed since", 2, RANDOM,
	  TRIED_AT_RANDOM, begin_with_calls_out, recover_or_late,
	  it_is_closed_anew },
	{ "a late failure does not change the rest", 2, BOUND, 2,
	  begin_with_calls_out, relapse_or_late, it_has_the_second_rest },
	{ "a late failure does not change the rest", 2, RANDOM, TRIED_AT_RANDOM,
	  begin_with_calls_out, relapse_or_late, it_has_the_second_rest },
};
const size_t checks_count = sizeof(checks) / sizeof(*checks);
const unsigned words_max = 128;
