/*
 * health.c - who is out, what that leaves of a weight, and what to do when too
 * many are.
 *
 * An endpoint's gate is an instant: from then on it is as good as any, which is
 * all that a pick has to know of most. Before it, it may be resting, found
 * unhealthy, or in its slow start, and pmz__weight_now() tells which. A gate
 * only ever stands too late, never too early, so it is a hint that needs no
 * care. The latest of all gates stands in `calm`, which a pick looks at first.
 *
 * Who raises a gate writes it, and then calm, even if that stands later
 * already: its low bits are a serial that grows, and comes round after a million
 * changes. So who lowers calm, to the latest gate there is once a prober takes
 * its word back, either sees the gate or fails.
 *
 * How many are in health decides about panic. It is counted when a pick comes
 * upon someone who is out, and remembered until something changes or a rest is
 * over. Two threads that count at once may leave a mixture of what they found;
 * it is right again with the next change, or an interval later.
 */
#include "core/balance.h"

/* Admission after an outage, where there is no panic to take it from. */
#define SHARE_PCT 50

#define START_PARTS (PMZ__WEIGHT_PARTS / 10) /* of the weight, at first */

#define SERIAL_BITS ((uint64_t)0xfffff) /* of calm, late by so many ns at most */

/* Calm at an instant, with the serial after that of `seen`. */
static uint64_t calm_after(uint64_t seen, pmz_ns at)
{
	uint64_t serial = (seen + 1) & SERIAL_BITS;

	return pmz__sat_add(at, SERIAL_BITS) >= ~SERIAL_BITS
	               ? ~SERIAL_BITS | serial
	               : ((at + SERIAL_BITS) & ~SERIAL_BITS) | serial;
}

static void raise_calm(pmz_balance *b, uint64_t gate)
{
	uint64_t seen = pmz__load(&b->calm, PMZ__RELAXED);

	/* Release: pairs with the acquire in pmz__calm_lower(). */
	while (!pmz__cas(&b->calm, &seen,
	                 calm_after(seen, pmz__max(seen & ~SERIAL_BITS, gate)),
	                 PMZ__RELEASE))
		;
}

void pmz__calm_lower(pmz_balance *b)
{
	/* Acquire: pairs with the release in raise_calm(). */
	uint64_t seen = pmz__load(&b->calm, PMZ__ACQUIRE), latest, i;

	do {
		latest = 0;
		for (i = 0; i < b->rules.endpoints_max; i++)
			if (pmz__is_member(b, i))
				latest = pmz__max(
					latest,
					pmz__load(&b->gates[i], PMZ__RELAXED));
	} while (!pmz__cas_acquire(&b->calm, &seen, calm_after(seen, latest),
	                           PMZ__ACQUIRE));
}

void pmz__gate_raise(pmz_balance *b, uint64_t number, pmz_ns until)
{
	pmz__a64 *gate = &b->gates[number];
	uint64_t seen = pmz__load(gate, PMZ__RELAXED), next;

	do {
		next = (seen & PMZ__UNHEALTHY) |
		       pmz__max(seen & ~PMZ__UNHEALTHY, until);
	} while (!pmz__cas(gate, &seen, next, PMZ__RELAXED));
	raise_calm(b, next);
}

/* Says whether that is news. */
static int set_gate(pmz_balance *b, uint32_t number, int healthy, pmz_ns now)
{
	pmz__a64 *gate = &b->gates[number];
	uint64_t seen = pmz__load(gate, PMZ__RELAXED), next;

	do {
		if (!(seen & PMZ__UNHEALTHY) == !!healthy) {
			/* Who found it so may be on the far side of a fork. */
			if (!healthy)
				raise_calm(b, seen);
			return 0;
		}
		next = seen | PMZ__UNHEALTHY;
		if (healthy) {
			pmz__store(&b->endpoints[number].begun, now,
			           PMZ__RELAXED);
			next = pmz__max(seen & ~PMZ__UNHEALTHY,
			                pmz__gate_at(b, now));
		}
		/* Release: pairs with the acquire in is_out(). */
	} while (!pmz__cas(gate, &seen, next, PMZ__RELEASE));
	if (!healthy)
		raise_calm(b, next);
	return 1;
}

int pmz_balance_health(pmz_balance *b, uint32_t endpoint, int healthy,
                       pmz_ns now)
{
	pmz__view v;

	PMZ__ASSERT(b);
	if (!pmz__is_member(b, endpoint))
		return PMZ_E_STATE;
	if (!set_gate(b, endpoint, healthy, now))
		return PMZ_OK;
	if (healthy)
		pmz__calm_lower(b);
	pmz__note_change(b);
	pmz__view_open(&v, b, now);
	pmz__survey(&v); /* an outage begins or ends here */
	return PMZ_OK;
}

void pmz__note_change(pmz_balance *b)
{
	/* Release: pairs with the acquire in pmz__survey(). */
	pmz__add(&b->changes, 1, PMZ__RELEASE);
}

static int is_out(const pmz__view *v, uint64_t entry)
{
	uint64_t number = pmz__number(entry);

	/* Acquire: pairs with the release in pmz_balance_health(). */
	return pmz__load(&v->b->gates[number], PMZ__ACQUIRE) & PMZ__UNHEALTHY ||
	       pmz__is_ejected(v->b, number, PMZ__OF_ROSTER(v->roster, benches),
	                       v->now);
}

/* When the count must be made again though nothing changes. */
static pmz_ns count_lasts(const pmz__view *v, uint64_t entry, pmz_ns until)
{
	const pmz__endpoint *e = &v->b->endpoints[pmz__number(entry)];
	pmz_ns returns = pmz__load(&e->until, PMZ__RELAXED);

	return returns > v->now ? pmz__min(until, returns) : until;
}

static uint64_t share_needed(const pmz__view *v)
{
	uint64_t pct = v->b->rules.panic_pct;

	return (v->count * (pct == PMZ_NEVER ? SHARE_PCT : pct) + 99) / 100;
}

static uint64_t count_healthy(pmz__view *v, uint64_t tag)
{
	pmz_balance *b = v->b;
	pmz_ns until = pmz__sat_add(v->now, b->rules.interval_ns);
	uint64_t healthy = 0, i;

	for (i = 0; i < v->count; i++) {
		uint64_t entry = pmz__entry(v, i);

		if (is_out(v, entry))
			until = count_lasts(v, entry, until);
		else
			healthy++;
	}
	pmz__store(&b->healthy_until, until, PMZ__RELAXED);
	/* Release: pairs with the acquire in pmz__survey(). */
	pmz__store(&b->healthy, tag | healthy, PMZ__RELEASE);
	if (v->count && !healthy)
		pmz__store(&b->recovering, 1, PMZ__RELAXED);
	else if (healthy >= share_needed(v))
		pmz__store(&b->recovering, 0, PMZ__RELAXED);
	return healthy;
}

uint64_t pmz__survey(pmz__view *v)
{
	const pmz_balance *b = v->b;
	/* Acquire: pairs with pmz__note_change(). Never the tag of a balancer
	 * that has counted nothing. */
	uint64_t tag = (pmz__load(&b->changes, PMZ__ACQUIRE) + 1) << 32;
	uint64_t counted = pmz__load(&b->healthy, PMZ__ACQUIRE);

	if ((counted & ~(uint64_t)UINT32_MAX) == tag &&
	    v->now < pmz__load(&b->healthy_until, PMZ__RELAXED))
		return counted & UINT32_MAX;
	return count_healthy(v, tag);
}

/* An outage begins here too, where nobody panics. */
static int is_panic(pmz__view *v)
{
	uint64_t healthy = pmz__survey(v);

	return v->b->rules.panic_pct != PMZ_NEVER && healthy < share_needed(v);
}

/* After an outage of all, the few that are back get no more than they can take:
 * one call of as many as they are of those who are needed. */
int pmz__admits(pmz__view *v)
{
	uint64_t needed = share_needed(v), healthy = pmz__survey(v);

	v->judged = 1;
	v->blind = !healthy && v->b->rules.panic_pct != PMZ_NEVER;
	if (!healthy || healthy >= needed)
		return 1;
	return pmz__mul_high(pmz__view_draw(v), needed) < healthy;
}

static uint64_t ramped(const pmz__view *v, uint64_t entry)
{
	const pmz__endpoint *e = &v->b->endpoints[pmz__number(entry)];
	pmz_ns ramp = v->b->rules.slow_start_ns;
	pmz_ns since = pmz__load(&e->begun, PMZ__RELAXED);
	pmz_ns returned = pmz__load(&e->until, PMZ__RELAXED), age;
	uint64_t parts;

	if (returned <= v->now)
		since = pmz__max(since, returned);
	age = pmz__sat_sub(v->now, since);
	if (age >= ramp)
		return pmz__full_weight(entry);
	parts = pmz__mul_div(age, PMZ__WEIGHT_PARTS, ramp, 0);
	return (entry >> PMZ__WEIGHT_SHIFT) * pmz__max(parts, START_PARTS);
}

uint64_t pmz__weight_now(pmz__view *v, uint64_t entry)
{
	if (v->blind)
		return pmz__full_weight(entry);
	if (!is_out(v, entry))
		return ramped(v, entry);
	if (!v->judged) {
		v->judged = 1;
		v->blind = is_panic(v);
	}
	return v->blind ? pmz__full_weight(entry) : 0;
}
