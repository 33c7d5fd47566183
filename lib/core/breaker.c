/*
 * breaker.c - the circuit breaker's states, and how results move them.
 *
 * One word, the gate, has state, mode and epoch. Every permit carries the epoch
 * in which it was given, and a result counts only while the gate still has that
 * epoch; so what is late changes nothing, however many threads there are. There
 * is one exception: who looks at the gate and then sleeps before it counts, while
 * the breaker is closed anew, has its one result in the new state's window. Of a
 * window of calls it is one call more; a failure, or a slow call, is never
 * counted there but by its own epoch.
 *
 * A change of state is one compare-and-swap of the gate. What the new state
 * relies on (the end of the rest, the window's start, the instant of closing)
 * stands in words of its own, which the old state does not use: they are
 * proposed first. A proposal reads the word, then checks that the gate is still
 * the old one, then swaps: if it succeeds, the word holds what some thread
 * proposed for this very change. A thread that slept since finds another value
 * in the word, since all of them grow, and its swap fails. A thread that loses
 * the gate to another after its swap has left a value that was made for the same
 * change from results of the same moment. So a state never begins with another
 * one's words, nobody waits, and one who dies half-way has changed nothing.
 *
 * Probes hold places with a lease, in two words: first the end of the lease is
 * proposed, in the same way, then the place is taken by a swap of its holder,
 * which names epoch, place and generation. Who reads the holder first and then
 * the lease sees the lease of that holder or a later one, and so never takes a
 * place too early. The gate is checked once more after that: a place taken while
 * the state changed is given back.
 *
 * A count window has a ring of entries that say what they are: epoch, failure,
 * slow. A result takes the next position and exchanges its entry for the one
 * that stands there; the counts of failures and slow calls change by the
 * difference of what came and what went. It makes no odds in which order two
 * threads reach one position, since each accounts for the entry that it got.
 * The counts carry a part of the epoch too, and begin anew with it.
 */
#include "core/breaker.h"

#include <string.h>

#include "base/assert.h"
#include "base/config.h"
#include "base/random.h"
#include "base/wide.h"

/* A permit: start; epoch << 32 | generation << 8 | place << 4 | kind. */
#define KIND ((uint64_t)15)
#define COUNTED 1
#define PROBE 2
#define SHADOWED 3  /* would have been refused */
#define UNLEARNED 4 /* given while DISABLED */
#define PLACE_SHIFT 4
#define GENERATION_SHIFT 8
#define GENERATION_MASK ((uint64_t)0xffffff << GENERATION_SHIFT)

#define LOW_HALF ((uint64_t)UINT32_MAX)

/* An entry of a count window: epoch << 2 | slow << 1 | failed. */
#define ENTRY_FAILED 1u
#define ENTRY_SLOW 2u
#define ENTRY_EPOCH_SHIFT 2

/* Marks: epoch << 48 | slow << 24 | failed, the two counts signed, since an
 * entry may go before it was added. */
#define MARKS_EPOCH_SHIFT 48
#define MARKS_SLOW_SHIFT 24
#define MARKS_MASK (((uint64_t)1 << MARKS_EPOCH_SHIFT) - 1)

/* What the windows hold when a result has been added. */
typedef struct counts {
	uint64_t calls, failures;
	uint64_t slow_calls, slow;
} counts;

static uint64_t epoch_of(uint64_t word)
{
	return word >> 32;
}

static uint64_t state_of(uint64_t gate)
{
	return gate & PMZ__STATE;
}

static uint64_t level_of(uint64_t gate)
{
	return gate >> PMZ__LEVEL_SHIFT & PMZ__LEVEL_MAX;
}

/* The gate of the next epoch; the mode stays. */
static uint64_t gate_after(uint64_t gate, uint64_t state, uint64_t level)
{
	return (gate & ~LOW_HALF) + PMZ__EPOCH + (gate & PMZ__MODE_BITS) +
	       (level << PMZ__LEVEL_SHIFT) + state;
}

static int is_on(const pmz__a64 *rule)
{
	return pmz__rule(rule) != PMZ_NEVER;
}

/* Acquire: pairs with the release in move(). */
static uint64_t gate_now(const pmz_breaker *b)
{
	return pmz__load(&b->gate, PMZ__ACQUIRE);
}

int pmz__breaker_propose(pmz_breaker *b, uint64_t gate, pmz__a64 *word,
                         uint64_t value)
{
	uint64_t seen;

	do {
		/* Acquire: read before the gate is checked. */
		seen = pmz__load(word, PMZ__ACQUIRE);
		if (gate_now(b) != gate)
			return 0;
	} while (!pmz__cas(word, &seen, value, PMZ__RELEASE));
	return 1;
}

static int move(pmz_breaker *b, uint64_t gate, uint64_t next, pmz_ns now)
{
	/* Release: pairs with the acquire in gate_now(). */
	if (!pmz__cas(&b->gate, &gate, next, PMZ__ACQ_REL))
		return 0;
	pmz__store(&b->changed_at, now, PMZ__RELAXED);
	return 1;
}

/* A closed state still relies on its marks, and they are anew for the next epoch
 * anyhow, unless they are old ones that have the same tag. */
static int forget_marks(pmz_breaker *b, uint64_t gate, uint64_t next)
{
	uint64_t none = epoch_of(next) << MARKS_EPOCH_SHIFT, marks;

	do {
		/* Acquire: read before the gate is checked. */
		marks = pmz__load(&b->marks, PMZ__ACQUIRE);
		if (gate_now(b) != gate)
			return 0;
		if (state_of(gate) == PMZ_CLOSED &&
		    (marks & ~MARKS_MASK) != none)
			return 1;
	} while (!pmz__cas(&b->marks, &marks, none, PMZ__RELEASE));
	return 1;
}

static int forget_calls(pmz_breaker *b, uint64_t gate, uint64_t next)
{
	uint64_t calls = pmz__load(&b->results.total, PMZ__RELAXED);

	if (!forget_marks(b, gate, next))
		return 0;
	return pmz__breaker_propose(b, gate, &b->calls_then[epoch_of(next) & 1],
	                            calls);
}

static int close_from(pmz_breaker *b, uint64_t gate, uint64_t next, pmz_ns now)
{
	int forgot = is_on(&b->rules.calls_window) ?
	                     forget_calls(b, gate, next) :
	                     pmz__window_forget(&b->results, &b->gate, gate);

	return forgot &&
	       pmz__window_forget(&b->slow_results, &b->gate, gate) &&
	       pmz__breaker_propose(b, gate, &b->closed_at[epoch_of(next) & 1],
	                            now) &&
	       move(b, gate, next, now);
}

/* Of a count window. */
static uint64_t calls_since_closing(const pmz_breaker *b, uint64_t gate,
                                    uint64_t total)
{
	return total - pmz__load(&b->calls_then[epoch_of(gate) & 1],
	                         PMZ__RELAXED);
}

/* Windows that passed in health since the breaker closed. */
static uint64_t healthy_windows(const pmz_breaker *b, uint64_t gate, pmz_ns now)
{
	uint64_t calls = pmz__load(&b->results.total, PMZ__RELAXED);
	pmz_ns since = pmz__load(&b->closed_at[epoch_of(gate) & 1],
	                         PMZ__RELAXED);

	if (!is_on(&b->rules.calls_window))
		return pmz__sat_sub(now, since) / pmz__rule(&b->rules.window_ns);
	return calls_since_closing(b, gate, calls) /
	       pmz__rule(&b->rules.calls_window);
}

static uint64_t level_after_trip(const pmz_breaker *b, uint64_t gate,
                                 pmz_ns now)
{
	uint64_t level = level_of(gate);

	if (state_of(gate) == PMZ_CLOSED)
		level = pmz__sat_sub(level, healthy_windows(b, gate, now));
	return pmz__min(level + 1, PMZ__LEVEL_MAX);
}

/* A seed that no other breaker of the fleet has, from the first trip. */
static uint64_t seed_of(pmz_breaker *b, pmz_ns now)
{
	uint64_t seed = pmz__load(&b->seed, PMZ__RELAXED), mine;

	if (seed)
		return seed;
	mine = pmz__mix(now ^ pmz__mix((uint64_t)(uintptr_t)b)) | 1;
	return pmz__cas(&b->seed, &seed, mine, PMZ__RELAXED) ? mine : seed;
}

/* min(open_max, open * 2^(level - 1)), with its jitter inside the cap. */
static pmz_ns rest_of(pmz_breaker *b, uint64_t next, pmz_ns now, pmz_ns hint)
{
	uint64_t doublings = level_of(next) - 1;
	pmz_ns cap = pmz__rule(&b->rules.open_max_ns);
	pmz_ns rest = pmz__min(pmz__rule(&b->rules.open_ns), cap);
	pmz_ns part;

	rest = rest > cap >> doublings ? cap : rest << doublings;
	if (is_on(&b->rules.open_jitter_pct)) {
		uint64_t seed = seed_of(b, now) ^ epoch_of(next);

		part = pmz__mul_div(rest, pmz__rule(&b->rules.open_jitter_pct),
		                    100, 0);
		rest = pmz__between(pmz__draw(&seed), rest - part,
		                    pmz__min(pmz__sat_add(rest, part), cap));
	}
	return pmz__max(rest, pmz__min(hint, cap));
}

static void open_from(pmz_breaker *b, uint64_t gate, pmz_ns now, pmz_ns hint)
{
	uint64_t next = gate_after(gate, PMZ_OPEN,
	                           level_after_trip(b, gate, now));
	pmz_ns until;

	now = pmz__window_now(&b->results, now);
	until = pmz__sat_add(now, rest_of(b, next, now, hint));
	if (pmz__breaker_propose(b, gate, &b->until, until) &&
	    move(b, gate, next, now))
		pmz__add(&b->trips, 1, PMZ__RELAXED);
}

static int reaches(uint64_t part, uint64_t whole, const pmz__a64 *pct)
{
	return is_on(pct) && part * 100 >= whole * pmz__rule(pct);
}

static int must_trip(const pmz_breaker *b, uint64_t gate, const counts *c)
{
	const pmz__breaker_rules *rules = &b->rules;
	uint64_t streak = pmz__load(&b->streak, PMZ__RELAXED);
	uint64_t least = pmz__rule(&rules->calls_min);

	if (c->failures >= pmz__rule(&rules->failures_max))
		return 1;
	if (epoch_of(streak) == epoch_of(gate) &&
	    (streak & LOW_HALF) >= pmz__rule(&rules->consecutive_max))
		return 1;
	if (c->calls >= least &&
	    reaches(c->failures, c->calls, &rules->failure_pct))
		return 1;
	return c->slow_calls >= least &&
	       reaches(c->slow, c->slow_calls, &rules->slow_pct);
}

static pmz__a32 *ring_of(pmz_breaker *b)
{
	return (pmz__a32 *)(void *)(b + 1);
}

static uint64_t marks_of(uint32_t entry)
{
	return (entry & ENTRY_FAILED ? 1 : 0) +
	       ((uint64_t)(entry & ENTRY_SLOW ? 1 : 0) << MARKS_SLOW_SHIFT);
}

/* Both counts of the marks, neither below 0. */
static void read_marks(uint64_t marks, uint64_t *failed, uint64_t *slow)
{
	const int spare = 64 - MARKS_SLOW_SHIFT;
	int64_t low = (int64_t)(marks << spare) >> spare;
	int64_t high = (int64_t)((marks - (uint64_t)low) << (64 - MARKS_EPOCH_SHIFT)) >>
	               spare;

	*failed = low > 0 ? (uint64_t)low : 0;
	*slow = high > 0 ? (uint64_t)high : 0;
}

/* Adds to the marks of an epoch, unless a later one has begun. */
static uint64_t add_marks(pmz_breaker *b, uint64_t epoch, uint64_t change)
{
	uint64_t tag = epoch << MARKS_EPOCH_SHIFT;
	uint64_t marks = pmz__load(&b->marks, PMZ__RELAXED), next;

	do {
		int ours = (marks & ~MARKS_MASK) == tag;
		uint64_t base = ours ? marks : 0;

		/* While the gate has our epoch, no later one has marks. */
		if (!ours && epoch_of(gate_now(b)) != epoch)
			return 0;
		next = tag | ((base + change) & MARKS_MASK);
		if (next == marks)
			break;
	} while (!pmz__cas(&b->marks, &marks, next, PMZ__RELAXED));
	return next;
}

static uint32_t entry_epoch(uint64_t epoch)
{
	return (uint32_t)epoch << ENTRY_EPOCH_SHIFT;
}

static uint64_t put_entry(pmz_breaker *b, uint64_t epoch, uint64_t position,
                          uint32_t entry)
{
	pmz__a32 *place = &ring_of(b)[position];
	uint32_t gone = pmz__swap(place, entry_epoch(epoch) | entry,
	                          PMZ__RELAXED);
	uint32_t gone_epoch = gone & ~(ENTRY_FAILED | ENTRY_SLOW);
	uint64_t change = marks_of(entry);

	if (gone_epoch == entry_epoch(epoch)) {
		change -= marks_of(gone);
	} else if (marks_of(gone)) {
		/* Of an epoch that is over, as a rule, and its marks with it;
		 * of the one in force, if ours is over. */
		uint64_t current = epoch_of(gate_now(b));

		if (gone_epoch == entry_epoch(current))
			add_marks(b, current, 0 - marks_of(gone));
	}
	return add_marks(b, epoch, change);
}

static counts add_to_ring(pmz_breaker *b, uint64_t gate, int failed, int slow,
                          int *full)
{
	uint64_t size = pmz__rule(&b->rules.calls_window);
	uint64_t number = pmz__add(&b->results.total, 1, PMZ__RELAXED);
	uint64_t calls = calls_since_closing(b, gate, number + 1);
	uint64_t marks;
	counts c;

	marks = put_entry(b, epoch_of(gate), number % size,
	                  (failed ? ENTRY_FAILED : 0) | (slow ? ENTRY_SLOW : 0));
	read_marks(marks, &c.failures, &c.slow);
	*full = calls == pmz__rule(&b->rules.calls_min);
	c.calls = c.slow_calls = pmz__min(calls, size);
	return c;
}

/* Acquire: whoever knows the rule finds the window that goes with it. */
static uint64_t bucket_ns(const pmz_breaker *b)
{
	return pmz__load(&b->rules.bucket_ns, PMZ__ACQUIRE);
}

static counts add_to_windows(pmz_breaker *b, int failed, int slow, pmz_ns now,
                             int *full)
{
	uint64_t bucket = bucket_ns(b);
	uint64_t start = pmz__window_start(&b->results, bucket, now);
	uint64_t event = failed ? PMZ__EVENT | PMZ__MARKED : PMZ__EVENT;
	uint64_t held = pmz__window_add(&b->results, event) - start;
	counts c = { 0, 0, 0, 0 };

	c.calls = held >> 32;
	c.failures = held & LOW_HALF;
	if (is_on(&b->rules.slow_pct)) {
		event = slow ? PMZ__EVENT | PMZ__MARKED : PMZ__EVENT;
		start = pmz__window_start(&b->slow_results, bucket, now);
		held = pmz__window_add(&b->slow_results, event) - start;
		c.slow_calls = held >> 32;
		c.slow = held & LOW_HALF;
	}
	*full = c.calls == pmz__rule(&b->rules.calls_min) ||
	        c.slow_calls == pmz__rule(&b->rules.calls_min);
	return c;
}

static void count_streak(pmz_breaker *b, uint64_t gate, int failed)
{
	uint64_t none = gate & ~LOW_HALF;
	uint64_t streak = pmz__load(&b->streak, PMZ__RELAXED), next;

	do {
		if ((int32_t)(epoch_of(streak) - epoch_of(gate)) > 0)
			return;
		next = none;
		if (failed)
			next += (streak & ~LOW_HALF) == none ?
			                (streak & LOW_HALF) + 1 :
			                1;
		if (next == streak)
			return;
	} while (!pmz__cas(&b->streak, &streak, next, PMZ__RELAXED));
}

static int is_counted(pmz_outcome how)
{
	return how == PMZ_SUCCESS || how == PMZ_FAILURE || how == PMZ_FATAL;
}

static int is_slow(const pmz_breaker *b, pmz_ns start, pmz_ns now)
{
	return pmz__sat_sub(now, start) > pmz__rule(&b->rules.slow_ns);
}

/* Release: pairs with the acquire in pmz_breaker_read(), which then sees the
 * call among all calls. */
static void count_failure(pmz__a64 *failures)
{
	pmz__add(failures, 1, PMZ__RELEASE);
}

static void settle_closed(pmz_breaker *b, uint64_t gate, pmz_ns start,
                          pmz_outcome how, pmz_ns now, pmz_ns hint)
{
	int failed = how != PMZ_SUCCESS, slow = is_slow(b, start, now), full;
	counts c;

	if (PMZ__UNLIKELY(is_on(&b->rules.calls_window)))
		c = add_to_ring(b, gate, failed, slow, &full);
	else
		c = add_to_windows(b, failed, slow, now, &full);
	if (PMZ__UNLIKELY(is_on(&b->rules.consecutive_max)))
		count_streak(b, gate, failed);
	if (PMZ__UNLIKELY(slow))
		pmz__add(&b->slow, 1, PMZ__RELAXED);
	if (failed)
		count_failure(&b->failures);
	else if (PMZ__LIKELY(!full && !slow))
		return;
	if (must_trip(b, gate, &c))
		open_from(b, gate, now, hint);
}

static void count_other(pmz_breaker *b, pmz_ns start, pmz_outcome how,
                        pmz_ns now)
{
	pmz__add(&b->other_calls, 1, PMZ__RELAXED);
	if (how != PMZ_SUCCESS)
		count_failure(&b->other_failures);
	if (is_slow(b, start, now))
		pmz__add(&b->slow, 1, PMZ__RELAXED);
}

static pmz__probe *probe_of(pmz_breaker *b, uint64_t holder)
{
	return &b->probes[holder >> PLACE_SHIFT & (PMZ__PROBES - 1)];
}

static void leave_place(pmz_breaker *b, uint64_t holder)
{
	/* Release: pairs with the acquire in take_place(). Fails if the place
	 * was handed on. */
	pmz__cas(&probe_of(b, holder)->holder, &holder, holder & ~KIND,
	         PMZ__RELEASE);
}

/* Counts a success of this epoch; says whether these are enough. */
static int wins_through(pmz_breaker *b, uint64_t gate)
{
	uint64_t none = gate & ~LOW_HALF;
	uint64_t wins = pmz__load(&b->wins, PMZ__RELAXED), next;

	do {
		if (epoch_of(wins) != epoch_of(gate) && gate_now(b) != gate)
			return 0;
		next = (wins & ~LOW_HALF) == none ? wins + 1 : none + 1;
	} while (!pmz__cas(&b->wins, &wins, next, PMZ__RELAXED));
	return (next & LOW_HALF) >= pmz__rule(&b->rules.probes_to_close);
}

static void settle_probe(pmz_breaker *b, uint64_t gate, uint64_t holder,
                         pmz_ns start, pmz_outcome how, pmz_ns now,
                         pmz_ns hint)
{
	/* Acquire: pairs with the release in take_place(). */
	int own = pmz__load(&probe_of(b, holder)->holder, PMZ__ACQUIRE) ==
	          holder;
	int failed = how != PMZ_SUCCESS ||
	             (is_on(&b->rules.slow_pct) && is_slow(b, start, now));

	if (failed && !own) {
		pmz__add(&b->stale, 1, PMZ__RELAXED);
		return;
	}
	count_other(b, start, how, now);
	if (failed)
		open_from(b, gate, now, hint);
	else if (wins_through(b, gate))
		close_from(b, gate,
		           gate_after(gate, PMZ_CLOSED, level_of(gate)), now);
	leave_place(b, holder);
}

static void settle_current(pmz_breaker *b, uint64_t gate, uint64_t word,
                           pmz_ns start, pmz_outcome how, pmz_ns now,
                           pmz_ns hint)
{
	uint64_t kind = word & KIND;

	if (!is_counted(how)) {
		if (kind == PROBE)
			leave_place(b, word);
		pmz__add(&b->ignored, 1, PMZ__RELAXED);
	} else if (kind == COUNTED) {
		settle_closed(b, gate, start, how, now, hint);
	} else if (kind == PROBE) {
		settle_probe(b, gate, word, start, how, now, hint);
	} else {
		count_other(b, start, how, now);
	}
}

int pmz_breaker_settle_hint(pmz_breaker *b, pmz_permit *permit, pmz_outcome how,
                            pmz_ns now, pmz_ns retry_after)
{
	uint64_t gate, start, word;

	PMZ__ASSERT(b && permit);
	start = permit->opaque[0];
	word = permit->opaque[1];
	if (PMZ__UNLIKELY(!(word & KIND) || how < PMZ_SUCCESS ||
	                  how > PMZ_FATAL)) {
		pmz__add(&b->misused, 1, PMZ__RELAXED);
		return PMZ_E_STATE;
	}
	permit->opaque[0] = permit->opaque[1] = 0;
	gate = gate_now(b);
	if (PMZ__UNLIKELY((word & KIND) == UNLEARNED))
		return PMZ_OK;
	if (PMZ__UNLIKELY(epoch_of(word) != epoch_of(gate)))
		pmz__add(&b->stale, 1, PMZ__RELAXED);
	else
		settle_current(b, gate, word, start, how, now, retry_after);
	return PMZ_OK;
}

int pmz_breaker_settle(pmz_breaker *b, pmz_permit *permit, pmz_outcome how,
                       pmz_ns now)
{
	return pmz_breaker_settle_hint(b, permit, how, now, 0);
}

void pmz__breaker_undo(pmz_breaker *b, pmz_permit *permit)
{
	if ((permit->opaque[1] & KIND) == PROBE)
		leave_place(b, permit->opaque[1]);
	permit->opaque[0] = permit->opaque[1] = 0;
}

static int give(pmz_permit *permit, pmz_ns now, uint64_t word)
{
	permit->opaque[0] = now;
	permit->opaque[1] = word;
	return PMZ_OK;
}

static int refuse(pmz_breaker *b, uint64_t gate, pmz_ns now, pmz_permit *permit,
                  pmz_ns when, pmz_ns *ready_at)
{
	if (gate & PMZ__SHADOW_BIT) {
		pmz__add(&b->would_refuse, 1, PMZ__RELAXED);
		return give(permit, now, (gate & ~LOW_HALF) | SHADOWED);
	}
	pmz__count_nearly(&b->refusals);
	permit->opaque[0] = permit->opaque[1] = 0;
	if (ready_at)
		*ready_at = when;
	return PMZ_REFUSED_OPEN;
}

/* Takes the place if it is free or its lease is over; returns the new holder,
 * or 0 and, in *until, the end of the lease. */
static uint64_t take_place(pmz_breaker *b, uint64_t gate, uint64_t place,
                           pmz_ns now, pmz_ns *until)
{
	pmz__probe *probe = &b->probes[place];
	pmz_ns lease = pmz__rule(&b->rules.probe_lease_ns);

	for (;;) {
		/* Acquire: pairs with the release below; the lease is that of
		 * this holder or a later one. */
		uint64_t holder = pmz__load(&probe->holder, PMZ__ACQUIRE);
		uint64_t next;

		*until = pmz__load(&probe->until, PMZ__ACQUIRE);
		/* Else the holder may be one of a later round, whose epoch this
		 * gate does not know. If it is the same when it is swapped, it
		 * was there while the gate stood. */
		if (gate_now(b) != gate)
			return 0;
		if (holder & KIND && epoch_of(holder) == epoch_of(gate) &&
		    now < *until)
			return 0;
		next = (gate & ~LOW_HALF) | PROBE | place << PLACE_SHIFT |
		       ((holder + (1 << GENERATION_SHIFT)) & GENERATION_MASK);
		/* A clock that is behind ends nobody's lease. */
		if (pmz__cas(&probe->until, until,
		             pmz__max(*until, pmz__sat_add(now, lease)),
		             PMZ__RELEASE) &&
		    pmz__cas(&probe->holder, &holder, next, PMZ__ACQ_REL))
			return next;
	}
}

/* 0 if the state changed meanwhile. */
static int acquire_probe(pmz_breaker *b, uint64_t gate, pmz_ns now,
                         pmz_permit *permit, pmz_ns *ready_at, int *status)
{
	uint64_t places = pmz__rule(&b->rules.probes_max), place;
	pmz_ns earliest = PMZ_NEVER, until;

	for (place = 0; place < places; place++) {
		uint64_t holder = take_place(b, gate, place, now, &until);

		if (gate_now(b) != gate) {
			if (holder)
				leave_place(b, holder);
			return 0;
		}
		if (holder) {
			*status = give(permit, now, holder);
			return 1;
		}
		earliest = pmz__min(earliest, until);
	}
	*status = refuse(b, gate, now, permit, earliest, ready_at);
	return 1;
}

static int acquire_slowly(pmz_breaker *b, pmz_ns now, pmz_permit *permit,
                          pmz_ns *ready_at)
{
	for (;;) {
		uint64_t gate = gate_now(b);
		pmz_ns until = pmz__load(&b->until, PMZ__RELAXED);
		int status;

		if (gate & PMZ__DISABLED_BIT)
			return give(permit, now, (gate & ~LOW_HALF) | UNLEARNED);
		if (gate & PMZ__ISOLATED_BIT)
			return refuse(b, gate, now, permit, PMZ_NEVER, ready_at);
		if (state_of(gate) == PMZ_CLOSED)
			return give(permit, now, (gate & ~LOW_HALF) | COUNTED);
		if (state_of(gate) == PMZ_OPEN) {
			if (now < until)
				return refuse(b, gate, now, permit, until,
				              ready_at);
			move(b, gate,
			     gate_after(gate, PMZ_HALF_OPEN, level_of(gate)),
			     now);
			continue;
		}
		if (acquire_probe(b, gate, now, permit, ready_at, &status))
			return status;
	}
}

int pmz_breaker_acquire(pmz_breaker *b, pmz_ns now, pmz_permit *permit,
                        pmz_ns *ready_at)
{
	const uint64_t special = PMZ__ISOLATED_BIT | PMZ__DISABLED_BIT;
	uint64_t gate;

	PMZ__ASSERT(b && permit);
	gate = gate_now(b);
	if (PMZ__LIKELY((gate & (PMZ__STATE | special)) == PMZ_CLOSED))
		return give(permit, now, (gate & ~LOW_HALF) | COUNTED);
	return acquire_slowly(b, now, permit, ready_at);
}

static uint64_t bits_of(pmz_breaker_mode mode)
{
	switch (mode) {
	case PMZ_SHADOW:
		return PMZ__SHADOW_BIT;
	case PMZ_ISOLATED:
		return PMZ__ISOLATED_BIT;
	case PMZ_DISABLED:
		return PMZ__DISABLED_BIT;
	default:
		return 0;
	}
}

void pmz_breaker_reset(pmz_breaker *b, pmz_ns now)
{
	uint64_t gate;

	PMZ__ASSERT(b);
	do {
		gate = gate_now(b);
	} while (!close_from(b, gate,
	                     gate_after(gate,
	                                gate & PMZ__ISOLATED_BIT ? PMZ_OPEN :
	                                                           PMZ_CLOSED,
	                                0),
	                     now));
}

int pmz_breaker_force(pmz_breaker *b, pmz_breaker_mode mode, pmz_ns now)
{
	const uint64_t special = PMZ__ISOLATED_BIT | PMZ__DISABLED_BIT;
	uint64_t gate, bits = bits_of(mode), next;
	int moved;

	PMZ__ASSERT(b);
	if (mode < PMZ_ENFORCE || mode > PMZ_DISABLED)
		return PMZ_E_CONFIG;
	do {
		gate = gate_now(b);
		next = (gate & ~PMZ__MODE_BITS) | bits;
		if (next == gate)
			return PMZ_OK;
		if ((gate | bits) & special)
			next = gate_after(next, bits & PMZ__ISOLATED_BIT ?
			                                PMZ_OPEN :
			                                PMZ_CLOSED,
			                  0);
		moved = epoch_of(next) == epoch_of(gate) ?
		                pmz__cas(&b->gate, &gate, next, PMZ__ACQ_REL) :
		                close_from(b, gate, next, now);
	} while (!moved);
	return PMZ_OK;
}

static uint32_t probes_out(const pmz_breaker *b, uint64_t gate, pmz_ns now)
{
	uint64_t place, places = pmz__rule(&b->rules.probes_max);
	uint32_t out = 0;

	if (state_of(gate) != PMZ_HALF_OPEN)
		return 0;
	for (place = 0; place < places; place++) {
		const pmz__probe *probe = &b->probes[place];
		uint64_t holder = pmz__load(&probe->holder, PMZ__ACQUIRE);

		out += holder & KIND && epoch_of(holder) == epoch_of(gate) &&
		       now < pmz__load(&probe->until, PMZ__RELAXED);
	}
	return out;
}

static void read_window(const pmz_breaker *b, uint64_t gate, pmz_ns now,
                        pmz_breaker_stats *s)
{
	uint64_t bucket = bucket_ns(b), held;
	uint64_t marks = pmz__load(&b->marks, PMZ__RELAXED), failed, slow;

	if (state_of(gate) != PMZ_CLOSED)
		return;
	if (!is_on(&b->rules.calls_window)) {
		held = pmz__window_read(&b->results, bucket, now);
		s->window_calls = (uint32_t)(held >> 32);
		s->window_failures = (uint32_t)held;
		held = pmz__window_read(&b->slow_results, bucket, now);
		s->window_slow = (uint32_t)held;
		return;
	}
	held = calls_since_closing(
		b, gate, pmz__load(&b->results.total, PMZ__RELAXED));
	s->window_calls = (uint32_t)pmz__min(
		held, pmz__rule(&b->rules.calls_window));
	if ((marks ^ epoch_of(gate) << MARKS_EPOCH_SHIFT) & ~MARKS_MASK)
		return;
	read_marks(marks, &failed, &slow);
	s->window_failures = (uint32_t)failed;
	s->window_slow = (uint32_t)slow;
}

static void read_lifetime(const pmz_breaker *b, pmz_breaker_stats *s)
{
	/* Acquire: pairs with the release in count_failure(). */
	uint64_t failures = pmz__load(&b->failures, PMZ__ACQUIRE);
	uint64_t others = pmz__load(&b->other_failures, PMZ__ACQUIRE);

	s->failures = failures + others;
	s->calls = pmz__load(&b->other_calls, PMZ__RELAXED) +
	           (is_on(&b->rules.calls_window) ?
	                    pmz__load(&b->results.total, PMZ__RELAXED) :
	                    pmz__window_events(&b->results, failures));
	s->slow = pmz__load(&b->slow, PMZ__RELAXED);
	s->ignored = pmz__load(&b->ignored, PMZ__RELAXED);
	s->stale = pmz__load(&b->stale, PMZ__RELAXED);
	s->refusals = pmz__load(&b->refusals, PMZ__RELAXED);
	s->would_refuse = pmz__load(&b->would_refuse, PMZ__RELAXED);
	s->trips = pmz__load(&b->trips, PMZ__RELAXED);
	s->misused = pmz__load(&b->misused, PMZ__RELAXED);
	s->changed_at = pmz__load(&b->changed_at, PMZ__RELAXED);
}

int pmz_breaker_read(const pmz_breaker *b, pmz_ns now, pmz_breaker_stats *out)
{
	pmz_breaker_stats s;
	uint64_t gate;

	PMZ__ASSERT(b && out);
	memset(&s, 0, sizeof(s));
	gate = gate_now(b);
	s.state = (uint32_t)state_of(gate);
	s.epoch = (uint32_t)epoch_of(gate);
	s.probes_out = probes_out(b, gate, now);
	read_window(b, gate, now, &s);
	read_lifetime(b, &s);
	return pmz__stats_write(out, &s, sizeof(s));
}
