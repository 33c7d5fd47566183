/*
 * bulkhead.cc - the bulkhead's word: never above the limit, no slot is lost,
 * and what one caller wrote inside the next one sees.
 */
#include <pipemaze/bulkhead.h>

#include "search.h"

extern "C" {
#include "base/alloc.h"
}

static pmz_bulkhead *bulkhead;
static pmz_permit permits[2];
static unsigned inside, entered;
static uint32_t limit;
static void *memory;

static void begin(uint32_t width)
{
	pmz_bulkhead_config cfg = {};

	cfg.size = sizeof(cfg);
	cfg.limit = limit = width;
	inside = entered = 0;
	must(pmz_bulkhead_new(&bulkhead, &cfg, NULL) == PMZ_OK, "it is made");
}

static int enter(pmz_permit *permit)
{
	if (pmz_bulkhead_acquire(bulkhead, 0, permit) != PMZ_OK)
		return 0;
	entered++;
	must(++inside <= limit, "no more are inside than the limit");
	return 1;
}

static void leave(pmz_permit *permit)
{
	inside--;
	must(pmz_bulkhead_settle(bulkhead, permit, PMZ_SUCCESS, 0) == PMZ_OK,
	     "a permit is settled");
}

static pmz_bulkhead_stats stats()
{
	pmz_bulkhead_stats s = {};

	s.size = sizeof(s);
	must(pmz_bulkhead_read(bulkhead, &s) == PMZ_OK, "it is read");
	return s;
}

static void begin_with_1()
{
	begin(1);
}

static void begin_with_2()
{
	begin(2);
}

static void visit(unsigned)
{
	pmz_permit permit;

	if (!enter(&permit))
		return;
	write_plain(0);
	leave(&permit);
}

static void visit_twice(unsigned thread)
{
	visit(thread);
	visit(thread);
}

static void visit_not_alone(unsigned)
{
	pmz_permit permit;

	if (enter(&permit))
		leave(&permit);
}

static void all_slots_enter()
{
	pmz_permit permit;
	uint32_t i;

	must(!stats().in_use, "nobody is inside");
	inside = 0;
	for (i = 0; i < limit; i++)
		must(enter(&permit), "as many enter as at first");
	must(!enter(&permit), "and no more");
}

static void all_slots_are_free()
{
	must(entered >= 1 && stats().admitted == entered, "all are counted");
	must(!stats().over_releases, "nobody left twice");
	must(stats().in_use_max <= limit, "it was never too full");
	all_slots_enter();
}

/* One is inside, who leaves while another resets, and then enters. */
static void begin_with_1_inside()
{
	begin(1);
	must(enter(&permits[0]), "it is free");
}

static void leave_or_reset(unsigned thread)
{
	if (!thread) {
		pmz_bulkhead_settle(bulkhead, &permits[0], PMZ_SUCCESS, 0);
		return;
	}
	pmz_bulkhead_reset(bulkhead);
	inside = 0;
	permits[1].opaque[0] = 0;
	entered = pmz_bulkhead_acquire(bulkhead, 0, &permits[1]) == PMZ_OK;
}

static void only_the_new_one_is_inside()
{
	must(stats().in_use == entered, "the old one is not counted");
	if (entered)
		must(pmz_bulkhead_settle(bulkhead, &permits[1], PMZ_SUCCESS,
		                         0) == PMZ_OK,
		     "the new one leaves");
	must(!stats().in_use, "nobody is inside");
}

/* Whoever was first, he is counted, and he is inside if the reset was. */
static void enter_or_reset(unsigned thread)
{
	if (thread)
		pmz_bulkhead_reset(bulkhead);
	else
		must(pmz_bulkhead_acquire(bulkhead, 0, &permits[0]) == PMZ_OK,
		     "it is free");
}

static void he_is_counted()
{
	uint32_t in_use = stats().in_use;
	int left;

	must(stats().admitted == 1, "he is counted");
	left = pmz_bulkhead_settle(bulkhead, &permits[0], PMZ_SUCCESS, 0);
	must(left == (in_use ? PMZ_OK : PMZ_E_STATE),
	     "his permit is good if he is inside");
	all_slots_enter();
}

/* The caller's error: both leave by one permit. */
static void begin_with_a_copy()
{
	begin(2);
	must(enter(&permits[0]), "it is free");
	permits[1] = permits[0];
}

static void settle_own_copy(unsigned thread)
{
	pmz_bulkhead_settle(bulkhead, &permits[thread], PMZ_SUCCESS, 0);
}

static void the_second_is_noticed()
{
	must(stats().over_releases == 1, "one release is too much");
	all_slots_enter();
}

/* A copy is settled while the slots are reset: the count is set once. */
static void settle_copies_or_reset(unsigned thread)
{
	if (thread < 2)
		settle_own_copy(thread);
	else
		pmz_bulkhead_reset(bulkhead);
}

/* Two set up one bulkhead in shared memory, and one is done and goes on. */
static void begin_with_bare_memory()
{
	pmz_bulkhead_config cfg = {};

	cfg.size = sizeof(cfg);
	cfg.limit = limit = 1;
	memory = pmz__alloc(pmz_bulkhead_size(&cfg));
}

static void place_and_resize(unsigned thread)
{
	pmz_bulkhead_config cfg = {};
	pmz_bulkhead *mine;

	cfg.size = sizeof(cfg);
	cfg.limit = limit;
	must(pmz_bulkhead_place(&mine, memory, pmz_bulkhead_size(&cfg), &cfg,
	                        NULL) == PMZ_OK,
	     "it is placed");
	if (thread)
		return;
	bulkhead = mine;
	must(pmz_bulkhead_resize(mine, 5) == PMZ_OK, "it has a new limit");
}

static void it_keeps_the_new_limit()
{
	must(stats().limit == 5, "it keeps the new limit");
}

const struct check checks[] = {
	{ "a slot is one caller's, who sees what the last one wrote", 2, FULL,
	  0, begin_with_1, visit, all_slots_are_free },
	{ "the same, in two rounds", 2, BOUND, 3, begin_with_1, visit_twice,
	  all_slots_are_free },
	{ "three callers and one slot", 3, BOUND, 2, begin_with_1, visit,
	  all_slots_are_free },
	{ "three callers and two slots", 3, BOUND, 2, begin_with_2,
	  visit_not_alone, all_slots_are_free },
	{ "who leaves beside a reset takes no new slot along", 2, FULL, 0,
	  begin_with_1_inside, leave_or_reset, only_the_new_one_is_inside },
	{ "who enters beside a reset is counted", 2, FULL, 0, begin_with_1,
	  enter_or_reset, he_is_counted },
	{ "a permit settled twice frees one slot", 2, FULL, 0,
	  begin_with_a_copy, settle_own_copy, the_second_is_noticed },
	{ "a reset beside a wrong release leaves all slots", 3, BOUND, 3,
	  begin_with_a_copy, settle_copies_or_reset, all_slots_enter },
	{ "who sets it up late undoes nothing", 2, FULL, 0,
	  begin_with_bare_memory, place_and_resize, it_keeps_the_new_limit },
};
const size_t checks_count = sizeof(checks) / sizeof(*checks);
const unsigned words_max = 16;
