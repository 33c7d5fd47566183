/*
 * window.cc - the window's words: an event is in the window for as long as one,
 * whoever ends its bucket, and a change of the window's length loses nothing.
 */
#include <pipemaze/base.h>

#include "atomic.h"
#include "search.h"

extern "C" {
#include "base/alloc.h"
#include "core/window.h"
}

static const uint64_t BUCKET = 1600, WIDER = 10 * BUCKET;

static pmz__window *window;

static pmz_ns bucket(unsigned number)
{
	return number * BUCKET;
}

static void add(unsigned number, uint64_t marked)
{
	pmz__window_reach(window, BUCKET, bucket(number));
	pmz__window_add(window, PMZ__EVENT + marked);
}

static unsigned held(unsigned number)
{
	return static_cast<unsigned>(
		pmz__window_read(window, BUCKET, bucket(number)) >> 32);
}

static unsigned marked(unsigned number)
{
	return static_cast<uint32_t>(
		pmz__window_read(window, BUCKET, bucket(number)));
}

static void begin()
{
	window = static_cast<pmz__window *>(pmz__alloc(sizeof(*window)));
}

/* The last of the events that a window has is in its bucket 1. */
static void begin_with_events()
{
	begin();
	add(0, 0);
	add(1, 0);
}

/* Of one the clock is a bucket behind: what it adds is in bucket 2 or 3. */
static void add_apart(unsigned thread)
{
	add(2 + thread, thread);
}

static void each_is_there_for_a_window()
{
	must(held(3) == 4, "all are there");
	must(held(11) >= 2, "for a window");
	must(marked(12) == 1, "also the last one");
	must(!held(13), "and then forgotten");
}

static void add_or_restart(unsigned thread)
{
	if (thread)
		add(2, 1);
	else
		pmz__window_restart(window, BUCKET, bucket(2));
}

/* In buckets of the old length, which are as good as others. */
static void all_count_as_seen_now()
{
	must(held(2) == 3 && marked(2) == 1, "all are there");
	must(held(10) == 3, "as of now");
	must(!held(12), "and then forgotten");
}

/* Whoever sees the new head sees all that came before it as seen just then,
 * also when the first of the wider buckets is over. */
static void restart_or_read_on(unsigned thread)
{
	const pmz_ns now = bucket(2) + BUCKET / 2;
	uint64_t head;

	if (!thread)
		return pmz__window_restart(window, BUCKET, now);
	head = pmz__window_reach(window, WIDER, now);
	if (pmz__head_start(head) == now)
		must(pmz__window_read(window, WIDER, now + 9 * WIDER) >> 32 ==
		             2,
		     "it is there to the end of the new window");
}

static void both_are_there()
{
	must(held(3) == 2, "both are there");
}

/* By a clock that is behind: what others add counts as seen at its instant, or
 * later. */
static void add_or_restart_late(unsigned thread)
{
	if (thread)
		add(3, 1);
	else
		pmz__window_restart(window, BUCKET, bucket(0));
}

static void none_is_lost()
{
	must(held(3) == 3 && marked(3) == 1, "all are there");
	must(held(10) == 3, "and count as seen with the last");
}

#define TRIED_AT_RANDOM 10000

const struct check checks[] = {
	{ "an event is there for a window", 2, BOUND, 3, begin_with_events,
	  add_apart, each_is_there_for_a_window },
	{ "an event is there for a window", 2, RANDOM, TRIED_AT_RANDOM,
	  begin_with_events, add_apart, each_is_there_for_a_window },
	{ "what a new length finds counts as seen now", 2, BOUND, 3,
	  begin_with_events, add_or_restart, all_count_as_seen_now },
	{ "what a new length finds counts as seen now", 2, RANDOM,
	  TRIED_AT_RANDOM, begin_with_events, add_or_restart,
	  all_count_as_seen_now },
	{ "a new head comes with its starts", 2, RANDOM, TRIED_AT_RANDOM,
	  begin_with_events, restart_or_read_on, both_are_there },
	{ "a slow clock's new length loses nothing", 2, BOUND, 3,
	  begin_with_events, add_or_restart_late, none_is_lost },
};
const size_t checks_count = sizeof(checks) / sizeof(*checks);
const unsigned words_max = 32;
