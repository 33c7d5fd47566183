/*
 * average.c - how long an endpoint takes: a decaying average, and a histogram.
 *
 * The average follows a longer time at once and a shorter one slowly: what it
 * held weighs 2^-(t / ewma_ns) after t, the new time the rest. Between results
 * it decays likewise, so that an endpoint that was slow once is tried again.
 * (Peak EWMA: Finagle, "Aperture load balancers and the peak EWMA load
 * metric".)
 *
 * A failure only ever raises it: who fails at once must not look quick.
 *
 * Two threads that write at one time may lose one of the two results, in the
 * average and in the histogram; that costs them no locked instruction.
 */
#include "core/balance.h"

/* Parts of a ns, so that many small steps do not add up what they round. */
#define PARTS_SHIFT 24
#define VALUE_MAX (UINT64_MAX >> PARTS_SHIFT)

#define SLOT_SHIFT 8 /* the first one's end, 2^8 ns */
#define SUB_SHIFT 2  /* four slots to an octave */
#define SUBS (1u << SUB_SHIFT)

/* 2^-x for x in 0..1 by 1 - x (c1 - x (c2 - x c3)): within 0.1 %, exact at both
 * ends, and c1 = ln 2, as what many small steps make of it is all in there. */
#define C1 0xb17217f7d1cf79abu /* 0.693147 */
#define C2 0x3d7f7bff058b1d50u /* 0.240227 */
#define C3 (C2 - C1 + ((uint64_t)1 << 63))

/* 2^-(span / half-life), in parts of 2^-64. */
static uint64_t decay(const pmz_balance *b, pmz_ns span)
{
	pmz__wide halves = pmz__mul(span, b->rules.half_life_inverse);
	uint64_t x = halves.low;

	if (halves.high >= 64)
		return 0;
	x = pmz__mul_high(x, C1 - pmz__mul_high(x, C2 - pmz__mul_high(x, C3)));
	return (UINT64_MAX - x) >> halves.high;
}

static uint64_t value_of(pmz_ns took)
{
	return pmz__min(pmz__max(took, 1), VALUE_MAX) << PARTS_SHIFT;
}

void pmz__average_add(pmz_balance *b, uint64_t number, pmz_ns took, pmz_ns now,
                      int failed)
{
	pmz__average *a = &b->averages[number];
	/* Relaxed: an estimate; a torn pair is off by one result. */
	uint64_t value = pmz__load(&a->value, PMZ__RELAXED);
	pmz_ns at = pmz__load(&a->at, PMZ__RELAXED);
	uint64_t next = value_of(took);

	if (next < value) {
		if (failed)
			return;
		if (now <= at)
			return; /* no time passed for it to fall in */
		next += pmz__mul_high(value - next, decay(b, now - at));
	} else if (failed && !value) {
		return;
	}
	pmz__store(&a->value, next, PMZ__RELAXED);
	if (now > at)
		pmz__store(&a->at, now, PMZ__RELAXED);
}

pmz_ns pmz__average_now(const pmz_balance *b, uint64_t number, pmz_ns now)
{
	const pmz__average *a = &b->averages[number];
	uint64_t value = pmz__load(&a->value, PMZ__RELAXED);
	pmz_ns at = pmz__load(&a->at, PMZ__RELAXED);

	if (!value)
		return 0;
	if (now > at)
		value = pmz__mul_high(value, decay(b, now - at));
	return pmz__max(value >> PARTS_SHIFT, 1);
}

static uint32_t slot_of(pmz_ns took)
{
	uint64_t units = took >> SLOT_SHIFT;
	unsigned octave;

	if (units < SUBS)
		return (uint32_t)units;
	octave = 63 - (unsigned)__builtin_clzll(units);
	return (uint32_t)pmz__min(
		(octave - 1) * SUBS +
			(units >> (octave - SUB_SHIFT) & (SUBS - 1)),
		PMZ__TIMES - 1);
}

/* Where a slot begins. */
static pmz_ns slot_start(uint32_t slot)
{
	uint32_t octave = slot / SUBS + 1;

	if (slot < SUBS)
		return (pmz_ns)slot << SLOT_SHIFT;
	return (pmz_ns)(SUBS + slot % SUBS)
	       << (octave - SUB_SHIFT + SLOT_SHIFT);
}

pmz_ns pmz__slot_ns(uint32_t slot)
{
	return slot ? (slot_start(slot - 1) + slot_start(slot)) / 2 : 0;
}

void pmz__times_add(pmz__endpoint *e, pmz_ns took)
{
	pmz__count_nearly(&e->times[slot_of(took)]);
}

/* One that is read while it is begun anew may stand below where it began. */
static uint64_t times_in(const pmz__endpoint *e, uint32_t slot)
{
	uint32_t count = pmz__load(&e->times[slot], PMZ__RELAXED) -
	                 pmz__load(&e->times_then[slot], PMZ__RELAXED);

	return count > INT32_MAX ? 0 : count;
}

uint32_t pmz__times_p95(const pmz__endpoint *e, uint64_t *calls)
{
	uint64_t above = 0;
	uint32_t slot;

	*calls = 0;
	for (slot = 0; slot < PMZ__TIMES; slot++)
		*calls += times_in(e, slot);
	for (slot = PMZ__TIMES; slot && *calls; slot--) {
		above += times_in(e, slot - 1);
		if (above * 20 > *calls)
			return slot;
	}
	return 0;
}
