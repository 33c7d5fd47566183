/*
 * balance.c - one call's way through the balancer: pick and settle; and what is
 * told of an endpoint.
 *
 * A pick is one atomic add to the endpoint's load, and a settle one
 * subtraction: picks << 32 | generation << 24 | in flight. A number gets a new
 * owner, and the load a new generation, by a compare-and-swap that needs none
 * in flight. So a picker that was slow learns from what its add returns that
 * the number is another's by now, takes the add back and chooses again; and who
 * holds a pick of an endpoint that was removed keeps its number from being
 * given away.
 *
 * Pickers take no lock and wait for nobody. The rest is in rooms of its own:
 * members.c for who is there, pick.c for the strategies, health.c for who is
 * out, eject.c for the rests, detect.c for the look at the whole set.
 */
#include "core/balance.h"

#include <string.h>

#include "base/config.h"
#include "base/random.h"

/* A pick: start; HELD | who. */
#define HELD ((uint64_t)1 << 63)

#define WISH_MIN ((uint32_t)offsetof(pmz_wish, hash))
#define NO_ENDPOINT UINT32_MAX

uint64_t pmz__balance_seed(pmz_balance *b, pmz_ns now)
{
	uint64_t seed = pmz__load(&b->seed, PMZ__RELAXED), mine;

	if (PMZ__LIKELY(seed))
		return seed;
	mine = pmz__mix(now ^ pmz__mix((uint64_t)(uintptr_t)b)) | 1;
	return pmz__cas(&b->seed, &seed, mine, PMZ__RELAXED) ? mine : seed;
}

/* The count may miss some under threads, or go back; two picks at one count
 * differ by their instants still. */
static uint64_t first_state(pmz_balance *b, pmz_ns now)
{
	uint64_t count = pmz__load(&b->draws, PMZ__RELAXED);

	pmz__store(&b->draws, count + 1, PMZ__RELAXED);
	return pmz__balance_seed(b, now) + count * 0xd1b54a32d192ed03u +
	       now * 0xaef17502108ef2d9u;
}

uint64_t pmz__view_draw(pmz__view *v)
{
	if (!v->random)
		v->random = first_state(v->b, v->now);
	return pmz__draw(&v->random);
}

static void read_wish(pmz__view *v, const pmz_wish *wish)
{
	if (wish->size < WISH_MIN)
		return;
	v->avoid = wish->avoid;
	v->avoid_count = wish->avoid ? wish->avoid_count : 0;
	if (wish->size < sizeof(*wish))
		return;
	v->hash = wish->hash;
	v->has_hash = 1;
}

static int refuse(pmz_pick *pick)
{
	memset(pick, 0, sizeof(*pick));
	pick->endpoint = NO_ENDPOINT;
	return PMZ_REFUSED_EMPTY;
}

static int give(pmz_pick *pick, uint64_t who, pmz_ns now)
{
	pick->opaque[0] = now;
	pick->opaque[1] = HELD | (who & PMZ__WHO);
	pick->endpoint = (uint32_t)pmz__number(who);
	pick->reserved = 0;
	return PMZ_OK;
}

int pmz_balance_pick(pmz_balance *b, const pmz_wish *wish, pmz_ns now,
                     pmz_pick *pick)
{
	pmz__view v;
	uint64_t who;

	PMZ__ASSERT(b && pick);
	if (PMZ__UNLIKELY(now >= pmz__load(&b->look, PMZ__RELAXED)))
		pmz__look(b, now);
	pmz__view_open(&v, b, now);
	if (wish)
		read_wish(&v, wish);
	if (PMZ__UNLIKELY(pmz__load(&b->recovering, PMZ__RELAXED)) &&
	    !pmz__admits(&v))
		return refuse(pick);
	who = pmz__choose(&v);
	return who == PMZ__NONE ? refuse(pick) : give(pick, who, now);
}

static int is_counted(pmz_outcome how)
{
	return how == PMZ_SUCCESS || how == PMZ_FAILURE || how == PMZ_FATAL;
}

/* A call that began before the last rest was over says nothing of how the
 * endpoint does since. */
static void count_failure(pmz_balance *b, uint64_t who, pmz_ns start,
                          pmz_ns now)
{
	pmz__endpoint *e = &b->endpoints[pmz__number(who)];
	uint64_t streak;

	pmz__add(&e->failures, 1, PMZ__RELAXED);
	if (start < pmz__load(&e->until, PMZ__RELAXED))
		return;
	streak = pmz__add(&e->streak, 1, PMZ__RELAXED) + 1;
	if (streak >= b->rules.consecutive)
		pmz__eject(b, who, now);
}

static void learn(pmz_balance *b, uint64_t who, pmz_ns start, pmz_outcome how,
                  pmz_ns now)
{
	uint64_t number = pmz__number(who);
	pmz__endpoint *e = &b->endpoints[number];
	pmz_ns took = pmz__sat_sub(now, start);

	if (!is_counted(how)) {
		pmz__add(&e->ignored, 1, PMZ__RELAXED);
		return;
	}
	pmz__average_add(b, number, took, now, how != PMZ_SUCCESS);
	pmz__times_add(e, took);
	if (PMZ__UNLIKELY(how != PMZ_SUCCESS))
		count_failure(b, who, start, now);
	else if (PMZ__UNLIKELY(pmz__load(&e->streak, PMZ__RELAXED)))
		pmz__store(&e->streak, 0, PMZ__RELAXED);
}

static int has_out(uint64_t load, uint64_t who)
{
	return load & PMZ__IN_FLIGHT && pmz__is_of(load, who);
}

/* The last thing a settle does: from then on the number may be another's. */
static int leave(pmz_balance *b, uint64_t who)
{
	pmz__a64 *word = &b->loads[pmz__number(who)];
	uint64_t load = pmz__load(word, PMZ__RELAXED);

	do {
		if (PMZ__UNLIKELY(!has_out(load, who)))
			return PMZ_E_STATE;
		/* Release: pairs with the acquire of who gives the number
		 * away, and with that in pmz__calls_of(). */
	} while (!pmz__cas(word, &load, load - 1, PMZ__RELEASE));
	if (b->rules.strategy == PMZ_BY_KEY)
		pmz__sub(&b->charged, 1, PMZ__RELAXED);
	return PMZ_OK;
}

static int is_out(const pmz_balance *b, uint64_t who)
{
	return who & HELD && pmz__number(who) < b->rules.endpoints_max &&
	       has_out(pmz__load(&b->loads[pmz__number(who)], PMZ__RELAXED),
	               who);
}

int pmz_balance_settle(pmz_balance *b, pmz_pick *pick, pmz_outcome how,
                       pmz_ns now)
{
	uint64_t who;
	pmz_ns start;

	PMZ__ASSERT(b && pick);
	start = pick->opaque[0];
	who = pick->opaque[1];
	if (PMZ__UNLIKELY(how < PMZ_SUCCESS || how > PMZ_FATAL ||
	                  !is_out(b, who)))
		return PMZ_E_STATE;
	pick->opaque[0] = pick->opaque[1] = 0;
	if (PMZ__UNLIKELY(now >= pmz__load(&b->look, PMZ__RELAXED)))
		pmz__look(b, now);
	learn(b, who, start, how, now);
	return leave(b, who);
}

void pmz__balance_undo(pmz_balance *b, pmz_pick *pick)
{
	uint64_t who = pick->opaque[1];

	pick->opaque[0] = pick->opaque[1] = 0;
	if (!is_out(b, who))
		return;
	/* Its turn is the next one's; another's, if one was drawn since. */
	if (b->rules.strategy == PMZ_ROUND_ROBIN)
		pmz__sub(&b->tickets, 1, PMZ__RELAXED);
	/* Not taken from the picks, which may have come round since. */
	pmz__add(&b->endpoints[pmz__number(who)].undone, 1, PMZ__RELAXED);
	leave(b, who);
}

/* Of which those in flight stand in the load. */
static uint64_t picks_of(const pmz__endpoint *e, uint64_t load)
{
	uint64_t laps = pmz__load(&e->laps, PMZ__RELAXED);
	uint64_t undone = pmz__load(&e->undone, PMZ__RELAXED);

	return pmz__sat_sub((laps << 32) + (load >> 32), undone);
}

/* Never too many: what adds to them is read first, and what does not count
 * last. It may be too few by those that are just being settled. */
uint64_t pmz__calls_of(const pmz_balance *b, uint64_t number)
{
	const pmz__endpoint *e = &b->endpoints[number];
	/* Acquire: pairs with the releases in charge() and in leave(). */
	uint64_t laps = pmz__load(&e->laps, PMZ__ACQUIRE);
	uint64_t load = pmz__load(&b->loads[number], PMZ__ACQUIRE);
	uint64_t ignored = pmz__load(&e->ignored, PMZ__RELAXED);
	uint64_t undone = pmz__load(&e->undone, PMZ__RELAXED);

	return pmz__sat_sub((laps << 32) + (load >> 32),
	                    (load & PMZ__IN_FLIGHT) + ignored + undone);
}

static uint64_t who_is(const pmz_balance *b, uint64_t number)
{
	return pmz__who(number, pmz__load(&b->loads[number], PMZ__RELAXED));
}

/* Or else it is of one who had the number before. */
static int is_gathered(const pmz_balance *b, uint64_t number)
{
	return pmz__load(&b->endpoints[number].gathered, PMZ__RELAXED) ==
	       who_is(b, number) + 1;
}

/* Of the running interval, unless it has few calls and there was one before. */
static pmz_ns p95_of(const pmz_balance *b, uint64_t number)
{
	const pmz__endpoint *e = &b->endpoints[number];
	uint64_t calls, last = pmz__load(&e->slot_last, PMZ__RELAXED);
	uint32_t slot = pmz__times_p95(e, &calls);

	if (last && is_gathered(b, number) && calls < b->rules.calls_min)
		slot = (uint32_t)last;
	return pmz__slot_ns(slot);
}

int pmz_balance_read(const pmz_balance *b, uint32_t endpoint, pmz_ns now,
                     pmz_endpoint_stats *out)
{
	const pmz__endpoint *e;
	pmz_endpoint_stats s;
	uint64_t load, gate, turn, benches;

	PMZ__ASSERT(b && out);
	if (!pmz__is_member(b, endpoint))
		return PMZ_E_STATE;
	e = &b->endpoints[endpoint];
	memset(&s, 0, sizeof(s));
	load = pmz__load(&b->loads[endpoint], PMZ__RELAXED);
	gate = pmz__load(&b->gates[endpoint], PMZ__RELAXED);
	turn = pmz__load(&b->turn, PMZ__ACQUIRE);
	benches = PMZ__OF_ROSTER(&b->rosters[turn & 1], benches);
	s.in_flight = (uint32_t)(load & PMZ__IN_FLIGHT);
	s.weight = (uint32_t)pmz__load(&e->weight, PMZ__RELAXED);
	s.ejections = (uint32_t)pmz__kept(&e->ejections, who_is(b, endpoint));
	s.picks = picks_of(e, load);
	s.failures = pmz__load(&e->failures, PMZ__RELAXED);
	s.ewma_ns = pmz__average_now(b, endpoint, now);
	s.p95_ns = p95_of(b, endpoint);
	if (pmz__is_ejected(b, endpoint, benches, now))
		s.ejected_until = pmz__load(&e->until, PMZ__RELAXED);
	s.healthy = !s.ejected_until && !(gate & PMZ__UNHEALTHY);
	return pmz__stats_write(out, &s, sizeof(s));
}
