/*
 * modes.cc - the breaker while someone forces it, resets it, or gives it other
 * rules: no word of the caller's is lost, and nothing of the state before is
 * left in the state that follows.
 */
#include <pipemaze/breaker.h>

#include "search.h"

static const pmz_ns REST = PMZ_S(5), LEASE = PMZ_S(1), START = PMZ_S(100);
static const pmz_ns WINDOW = PMZ_S(10), LATER = START + PMZ_S(3);
static const pmz_ns LONG_AFTER = START + PMZ_S(1000);

static pmz_breaker *breaker;
static pmz_permit own[2];
static pmz_ns ready_at;
static pmz_breaker_stats first;

/* Trips at so many failures in a window of so long. */
static pmz_breaker_config rules(uint32_t failures_max, pmz_ns window_ns)
{
	pmz_breaker_config cfg = {};

	cfg.size = sizeof(cfg);
	cfg.window_ns = window_ns;
	cfg.open_ns = REST;
	cfg.open_jitter_pct = PMZ_OFF;
	cfg.probe_lease_ns = LEASE;
	cfg.failures_max = failures_max;
	cfg.failure_pct = PMZ_OFF;
	cfg.consecutive_max = PMZ_OFF - 1; /* it is never that many */
	cfg.probes_to_close = 1;
	return cfg;
}

static int acquire(pmz_permit *permit, pmz_ns now)
{
	return pmz_breaker_acquire(breaker, now, permit, &ready_at);
}

static void settle(pmz_permit *permit, pmz_outcome how, pmz_ns now)
{
	(void)pmz_breaker_settle(breaker, permit, how, now);
}

static void force(pmz_breaker_mode mode)
{
	must(pmz_breaker_force(breaker, mode, START) == PMZ_OK, "it is forced");
}

static void set(const pmz_breaker_config &cfg, pmz_ns now)
{
	must(pmz_breaker_set(breaker, &cfg, now, NULL) == PMZ_OK, "it is set");
}

static pmz_breaker_stats stats(pmz_ns now)
{
	pmz_breaker_stats s = {};

	s.size = sizeof(s);
	must(pmz_breaker_read(breaker, now, &s) == PMZ_OK, "it is read");
	return s;
}

/* How many changes of state there were. */
static uint32_t changes()
{
	return stats(START).epoch - first.epoch;
}

static void begin(uint32_t failures_max)
{
	const pmz_breaker_config cfg = rules(failures_max, WINDOW);

	must(pmz_breaker_new(&breaker, &cfg, NULL) == PMZ_OK, "it is made");
	must(acquire(&own[0], START) == PMZ_OK &&
	             acquire(&own[1], START) == PMZ_OK,
	     "it is closed");
	first = stats(START);
}

static void begin_before_a_trip()
{
	begin(1);
}

static void begin_in_health()
{
	begin(PMZ_OFF);
}

static void begin_disabled()
{
	begin(1);
	force(PMZ_DISABLED);
	first = stats(START);
}

/* Both permits are of a state that is over; own[0] then is a probe. */
static void begin_with_a_probe()
{
	begin(1);
	settle(&own[1], PMZ_FAILURE, START);
	must(acquire(&own[0], START + REST) == PMZ_OK, "a probe is given");
	first = stats(START);
}

/* Isolated beside one who trips it and asks for a probe. */
static void isolate_or_trip(unsigned thread)
{
	if (!thread)
		return force(PMZ_ISOLATED);
	settle(&own[1], PMZ_FAILURE, START);
	if (acquire(&own[1], START + REST) == PMZ_OK)
		settle(&own[1], PMZ_SUCCESS, START + REST);
}

static void nothing_ends_it()
{
	must(stats(START).state == PMZ_OPEN, "it is isolated");
	must(acquire(&own[1], LONG_AFTER) == PMZ_REFUSED_OPEN &&
	             ready_at == PMZ_NEVER,
	     "for ever");
	settle(&own[0], PMZ_FAILURE, START);
	must(stats(START).stale >= 1, "what came before it is stale");
	force(PMZ_ENFORCE);
	must(stats(START).state == PMZ_CLOSED &&
	             !stats(START).window_failures,
	     "and leaving it begins anew");
}

static void shadow_or_trip(unsigned thread)
{
	if (!thread)
		return force(PMZ_SHADOW);
	settle(&own[1], PMZ_FAILURE, START);
}

/* A trip that met the change of mode comes with the next failure. */
static void it_is_both()
{
	if (stats(START).state == PMZ_CLOSED)
		settle(&own[0], PMZ_FAILURE, START);
	must(stats(START).state == PMZ_OPEN && changes() == 1, "it tripped");
	must(stats(START).trips == 1, "once");
	must(acquire(&own[1], START) == PMZ_OK, "and refuses nobody");
	must(stats(START).would_refuse == 1, "but says so");
}

static void isolate_or_disable(unsigned thread)
{
	force(thread ? PMZ_DISABLED : PMZ_ISOLATED);
}

static void it_is_one_of_the_two()
{
	must(changes() == 2, "it was forced twice");
	if (acquire(&own[0], START) == PMZ_OK)
		must(stats(START).state == PMZ_CLOSED, "it is disabled");
	else
		must(stats(START).state == PMZ_OPEN && ready_at == PMZ_NEVER,
		     "or isolated");
}

/* A call is learned from if it was given after the breaker was enabled. */
static void enable_or_fail(unsigned thread)
{
	if (!thread)
		return force(PMZ_ENFORCE);
	must(acquire(&own[1], START) == PMZ_OK, "it refuses nobody");
	settle(&own[1], PMZ_FAILURE, START);
}

static void only_what_counts_trips_it()
{
	pmz_breaker_stats s = stats(START);

	must(s.calls + s.stale <= 1 && s.calls == s.failures, "it was one");
	must((s.state == PMZ_OPEN) == (s.failures == 1), "that tripped it");
	must(changes() == 1 + s.failures, "or nothing did");
	must(s.failures || !s.window_failures, "and its window is empty");
}

static void reset_or_fail_the_probe(unsigned thread)
{
	if (!thread)
		return pmz_breaker_reset(breaker, START + REST);
	settle(&own[0], PMZ_FAILURE, START + REST);
}

static void it_is_as_if_new()
{
	pmz_breaker_stats s = stats(START + REST);

	must(s.state == PMZ_CLOSED && !s.window_calls, "it was reset");
	must(s.calls + s.stale == 2, "each call was counted");
	must(acquire(&own[0], LATER + REST) == PMZ_OK, "it is closed");
	settle(&own[0], PMZ_FAILURE, LATER + REST);
	must(acquire(&own[0], LATER + REST) == PMZ_REFUSED_OPEN &&
	             ready_at == LATER + REST + REST,
	     "its first rest is a single one");
}

static void reset_or_probe(unsigned thread)
{
	if (!thread)
		return pmz_breaker_reset(breaker, START + REST);
	settle(&own[0], PMZ_SUCCESS, START + REST);
	must(acquire(&own[0], START + REST) == PMZ_OK, "it is closed");
	settle(&own[0], PMZ_SUCCESS, START + REST);
}

static void it_is_closed()
{
	pmz_breaker_stats s = stats(START + REST);

	must(s.state == PMZ_CLOSED && s.trips == 1, "it is closed");
	must(s.calls + s.stale == 3, "each call was counted");
}

/* Both from what neither of them wants. */
static void set_one_or_the_other(unsigned thread)
{
	pmz_breaker_config cfg = rules(2 - thread, WINDOW);

	cfg.open_ns = cfg.open_max_ns = thread ? 2 * REST : 3 * REST;
	set(cfg, START);
}

static void each_rule_is_of_one()
{
	unsigned failures;

	for (failures = 0; stats(START).state == PMZ_CLOSED; failures++) {
		must(failures < 2, "it trips");
		settle(&own[failures], PMZ_FAILURE, START);
	}
	must(acquire(&own[0], START) == PMZ_REFUSED_OPEN, "it rests");
	must(ready_at == START + 2 * REST || ready_at == START + 3 * REST,
	     "as one of them said");
}

static void set_or_trip(unsigned thread)
{
	pmz_breaker_config cfg = rules(1, WINDOW);

	if (thread)
		return settle(&own[1], PMZ_FAILURE, START);
	cfg.mode = PMZ_SHADOW;
	cfg.open_ns = 2 * REST;
	set(cfg, START);
}

static void begin_with_a_failure()
{
	begin(PMZ_OFF);
	settle(&own[0], PMZ_FAILURE, START);
}

static void change_or_fail(unsigned thread, pmz_ns window_ns)
{
	if (thread)
		settle(&own[1], PMZ_FAILURE, LATER);
	else
		set(rules(PMZ_OFF, window_ns), LATER);
}

static void widen_or_fail(unsigned thread)
{
	change_or_fail(thread, 2 * WINDOW);
}

static void narrow_or_fail(unsigned thread)
{
	change_or_fail(thread, WINDOW / 10);
}

/* Those in the window count as seen when it was changed. */
static void both_failures_are_there()
{
	pmz_breaker_stats s = stats(LATER);

	must(s.failures == 2 && s.calls == 2, "there were two");
	must(s.window_failures == 2 && s.window_calls == 2, "both are there");
}

#define TRIED_AT_RANDOM 5000

const struct check checks[] = {
	{ "who trips it does not end an isolation", 2, BOUND, 1,
	  begin_before_a_trip, isolate_or_trip, nothing_ends_it },
	{ "who trips it does not end an isolation", 2, RANDOM, TRIED_AT_RANDOM,
	  begin_before_a_trip, isolate_or_trip, nothing_ends_it },
	{ "a mode undoes no trip, and a trip no mode", 2, BOUND, 3,
	  begin_before_a_trip, shadow_or_trip, it_is_both },
	{ "nor does a mode that comes with rules", 2, BOUND, 2,
	  begin_before_a_trip, set_or_trip, it_is_both },
	{ "of two modes one is in force", 2, BOUND, 1, begin_in_health,
	  isolate_or_disable, it_is_one_of_the_two },
	{ "what was admitted while disabled trips nothing", 2, BOUND, 2,
	  begin_disabled, enable_or_fail, only_what_counts_trips_it },
	{ "what was admitted while disabled trips nothing", 2, RANDOM,
	  TRIED_AT_RANDOM, begin_disabled, enable_or_fail,
	  only_what_counts_trips_it },
	{ "a reset holds against a probe that fails", 2, BOUND, 2,
	  begin_with_a_probe, reset_or_fail_the_probe, it_is_as_if_new },
	{ "a reset holds against a probe that fails", 2, RANDOM,
	  TRIED_AT_RANDOM, begin_with_a_probe, reset_or_fail_the_probe,
	  it_is_as_if_new },
	{ "a reset beside a probe counts each call", 2, BOUND, 1,
	  begin_with_a_probe, reset_or_probe, it_is_closed },
	{ "of two sets each rule is that of one", 2, BOUND, 2, begin_in_health,
	  set_one_or_the_other, each_rule_is_of_one },
	{ "a wider window keeps what there was", 2, BOUND, 2,
	  begin_with_a_failure, widen_or_fail, both_failures_are_there },
	{ "a wider window keeps what there was", 2, RANDOM, TRIED_AT_RANDOM,
	  begin_with_a_failure, widen_or_fail, both_failures_are_there },
	{ "a narrower window keeps what there was", 2, BOUND, 2,
	  begin_with_a_failure, narrow_or_fail, both_failures_are_there },
	{ "a narrower window keeps what there was", 2, RANDOM, TRIED_AT_RANDOM,
	  begin_with_a_failure, narrow_or_fail, both_failures_are_there },
};
const size_t checks_count = sizeof(checks) / sizeof(*checks);
const unsigned words_max = 128;
