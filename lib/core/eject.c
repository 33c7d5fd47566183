/*
 * eject.c - rests: never more endpoints at a time than may be, exactly.
 *
 * There are as many benches as endpoints may rest, which follows from how many
 * are in the set. An endpoint rests while three things are true:
 *
 *   now < its until,  its place is the number of a bench that there is,
 *   and that bench names it.
 *
 * A bench names one endpoint, and an endpoint has one place, so at no time can
 * more rest than there are benches: it follows from the words themselves, and
 * no order of what threads do can break it. No count is kept that could go
 * wrong.
 *
 * To send an endpoint to rest, its until is moved on first, by compare-and-swap
 * from an instant that has passed: of all who judge it, one goes on. That one
 * looks for a bench that is free, that is, whose endpoint does not rest there;
 * says which it tries in place; and takes it by compare-and-swap. A bench has a
 * number that grows each time, so what was judged free is what is taken. If all
 * are held, until is put back. Who dies in between has moved an instant only:
 * the endpoint does not rest, and can be sent to rest when that instant has
 * passed.
 *
 * If the set becomes smaller, benches end to exist, and who sits there is back
 * at that moment, unless another is free. Who is removed, or drained, gets up
 * as well.
 */
#include "base/random.h"
#include "core/balance.h"

/* A bench: serial << 16 | number + 1; 0 is free. */
#define SERIAL ((uint64_t)1 << 16)
#define SITTER (SERIAL - 1)

/* A rest is so much longer at most, so that not all return at once. */
#define JITTER_PCT 10

static int is_resting_on(const pmz_balance *b, uint64_t number, uint64_t bench,
                         pmz_ns now)
{
	const pmz__endpoint *e = &b->endpoints[number];

	/* Acquire: pairs with the swap of until in pmz__eject(), and with that
	 * of the bench, by which the caller came here, for the place. */
	return now < pmz__load(&e->until, PMZ__ACQUIRE) &&
	       pmz__load(&e->place, PMZ__RELAXED) == bench;
}

int pmz__is_ejected(const pmz_balance *b, uint64_t number, uint64_t benches,
                    pmz_ns now)
{
	const pmz__endpoint *e = &b->endpoints[number];
	uint64_t place;

	/* Acquire: pairs with the swaps in pmz__eject() and take_bench(). */
	if (now >= pmz__load(&e->until, PMZ__ACQUIRE))
		return 0;
	place = pmz__load(&e->place, PMZ__RELAXED);
	return place < benches && (pmz__load(&b->benches[place], PMZ__ACQUIRE) &
	                           SITTER) == number + 1;
}

static uint64_t benches_now(const pmz_balance *b)
{
	uint64_t turn = pmz__load(&b->turn, PMZ__ACQUIRE);

	return PMZ__OF_ROSTER(&b->rosters[turn & 1], benches);
}

static int take_bench(pmz_balance *b, uint64_t number, pmz_ns now)
{
	uint64_t count = benches_now(b), bench;

	for (bench = 0; bench < count; bench++) {
		pmz__a64 *word = &b->benches[bench];
		/* Acquire: pairs with the release below. */
		uint64_t seen = pmz__load(word, PMZ__ACQUIRE);
		uint64_t sitter = seen & SITTER, next;

		if (sitter && sitter != number + 1 &&
		    is_resting_on(b, sitter - 1, bench, now))
			continue;
		next = ((seen | SITTER) + 1) | (number + 1);
		pmz__store(&b->endpoints[number].place, bench, PMZ__RELAXED);
		/* Release: pairs with the acquire above and in
		 * pmz__is_ejected(), for the place. */
		if (pmz__cas(word, &seen, next, PMZ__ACQ_REL))
			return 1;
	}
	return 0;
}

/* How often in a row, with this one: each interval in health takes one away. */
static uint64_t level_after(const pmz_balance *b, const pmz__endpoint *e,
                            pmz_ns until, pmz_ns now)
{
	uint64_t level = pmz__load(&e->level, PMZ__RELAXED);

	return pmz__sat_sub(level, (now - until) / b->rules.interval_ns) + 1;
}

/* min(most, base * level), and somewhat more, but never above the most. */
static pmz_ns rest_of(pmz_balance *b, uint64_t level, pmz_ns now, uint64_t who)
{
	pmz_ns most = b->rules.most_ns;
	pmz_ns rest = pmz__min(pmz__sat_mul(b->rules.base_ns, level), most);
	pmz_ns part = pmz__mul_div(rest, JITTER_PCT, 100, 0);
	uint64_t random = pmz__balance_seed(b, now) ^ now ^ who << 40;

	if (rest == most)
		return pmz__between(pmz__draw(&random), rest - part, rest);
	return pmz__between(pmz__draw(&random), rest,
	                    pmz__min(pmz__sat_add(rest, part), most));
}

/* Since it was judged, it may have lost its weight, or its number. Acquire: if
 * so, and until was moved after that, the swap of until saw what the writer did
 * to until, and this sees the weight, or load, from before that. Else the
 * writer undoes the swap. */
static int is_still(const pmz_balance *b, uint64_t who)
{
	uint64_t number = pmz__number(who);

	return pmz__is_of(pmz__load(&b->loads[number], PMZ__ACQUIRE), who) &&
	       pmz__load(&b->endpoints[number].weight, PMZ__ACQUIRE);
}

/* Unless the number is another's by now. */
static void count_ejection(pmz__a64 *ejections, uint64_t who)
{
	uint64_t seen = pmz__load(ejections, PMZ__RELAXED);

	while (seen >> PMZ__KEPT_SHIFT == pmz__tag(who) >> PMZ__KEPT_SHIFT &&
	       !pmz__cas(ejections, &seen, seen + 1, PMZ__RELAXED))
		;
}

int pmz__eject(pmz_balance *b, uint64_t who, pmz_ns now)
{
	uint64_t number = pmz__number(who), level;
	pmz__endpoint *e = &b->endpoints[number];
	pmz_ns before = pmz__load(&e->until, PMZ__ACQUIRE), until;

	if (now < before)
		return 0;
	level = level_after(b, e, before, now);
	until = pmz__sat_add(now, rest_of(b, level, now, who));
	/* Acquire and release: pairs with itself, with is_resting_on(), with
	 * the swap in pmz__reinstate(), and with the store of who gives the
	 * number away. */
	if (!pmz__cas(&e->until, &before, until, PMZ__ACQ_REL))
		return 0;
	pmz__gate_raise(b, number, pmz__gate_at(b, until));
	if (!is_still(b, who) || !take_bench(b, number, now)) {
		pmz__cas(&e->until, &until, before, PMZ__RELEASE);
		return 0;
	}
	pmz__store(&e->level, level, PMZ__RELAXED);
	pmz__store(&e->streak, 0, PMZ__RELAXED);
	count_ejection(&e->ejections, who);
	pmz__note_change(b);
	return 1;
}

/* The bench does not name it any more either, so that a clock that goes back
 * does not set it down again. */
void pmz__reinstate(pmz_balance *b, uint64_t number, pmz_ns now)
{
	pmz__endpoint *e = &b->endpoints[number];
	pmz_ns until = pmz__load(&e->until, PMZ__ACQUIRE);
	pmz__a64 *bench = &b->benches[pmz__load(&e->place, PMZ__RELAXED)];
	uint64_t seen = pmz__load(bench, PMZ__ACQUIRE);

	if ((seen & SITTER) == number + 1)
		pmz__cas(bench, &seen, (seen | SITTER) + 1, PMZ__ACQ_REL);
	/* Release: pairs with the swap in pmz__eject(), also where until stays
	 * as it is. */
	while (!pmz__cas(&e->until, &until, pmz__min(until, now), PMZ__ACQ_REL))
		;
}

void pmz__benches_clear(pmz_balance *b, pmz_ns now)
{
	uint64_t bench;

	for (bench = benches_now(b); bench < b->rules.endpoints_max; bench++) {
		uint64_t sitter =
			pmz__load(&b->benches[bench], PMZ__ACQUIRE) & SITTER;

		if (sitter && is_resting_on(b, sitter - 1, bench, now) &&
		    !take_bench(b, sitter - 1, now))
			pmz__reinstate(b, sitter - 1, now);
	}
}
