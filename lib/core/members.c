/*
 * members.c - who is there: endpoints that come, go, and change their weight,
 * under those who pick.
 *
 * Writers exclude each other by a flag for which they wait a bounded time. The
 * roster, of those who have a weight, lies in two copies, and `turn` says by
 * its lowest bit which is in force. A writer writes the other copy, then moves
 * the turn on. A picker chooses by the words whose turn it is, then looks at
 * the turn again: if it still stands, what was read is whole, since that copy
 * is not written before the turn has moved. Words are stored with release and
 * loaded with acquire, so who reads a word of a later writer then sees a later
 * turn. Until then a picker may see any mixture, and none leads it out of the
 * arrays: each count, number and turn is in range on its own.
 *
 * The rings of the strategies by key are another matter: see tables.c.
 */
#include <string.h>

#include "base/alloc.h"
#include "core/balance.h"

#define NAME_LEN_MAX 255

/* How long a writer waits for another: some 10 to 100 ms. */
#define WRITE_SPINS (1 << 20)

/* Acquire and release: one writer sees all that the one before it did. */
static int begin_writing(pmz_balance *b)
{
	int spins;

	for (spins = 0; spins < WRITE_SPINS; spins++) {
		uint32_t idle = 0;

		if (pmz__cas(&b->writing, &idle, 1, PMZ__ACQUIRE))
			return 1;
		pmz__pause();
	}
	return 0;
}

static void end_writing(pmz_balance *b)
{
	pmz__store(&b->writing, 0, PMZ__RELEASE);
}

uint64_t pmz__weight_after(const pmz_balance *b, const pmz__change *c,
                           uint64_t i)
{
	if (c->number == i)
		return c->weight;
	return pmz__is_member(b, i)
	               ? pmz__load(&b->endpoints[i].weight, PMZ__RELAXED)
	               : 0;
}

uint64_t pmz__entry_after(const pmz_balance *b, const pmz__change *c,
                          uint64_t i)
{
	/* Relaxed: only a writer changes the generation. */
	uint64_t load = pmz__load(&b->loads[i], PMZ__RELAXED);

	return pmz__weight_after(b, c, i) << PMZ__WEIGHT_SHIFT |
	       pmz__who(i, load);
}

static uint64_t benches_for(const pmz_balance *b, uint64_t count)
{
	uint64_t pct = b->rules.eject_max_pct;

	if (pct == PMZ_NEVER || !count)
		return 0;
	return pmz__min(count * pct / 100, count - 1);
}

static void fill_roster(pmz_balance *b, pmz__roster *r, const pmz__change *c)
{
	uint64_t count = 0, sum = 0, even = 1, i;

	for (i = 0; i < b->rules.endpoints_max; i++) {
		uint64_t weight = pmz__weight_after(b, c, i);

		if (!weight)
			continue;
		/* Release, here and below: pairs with the acquire in
		 * PMZ__OF_ROSTER() and pmz__entry(). */
		pmz__store(&r->entries[count], pmz__entry_after(b, c, i),
		           PMZ__RELEASE);
		if (r->starts)
			pmz__store(&r->starts[count], sum, PMZ__RELEASE);
		even = even && weight == pmz__weight_at(r, 0);
		count++;
		sum += weight;
	}
	if (r->turns && !even)
		pmz__turns_deal(b, r, count, sum);
	else
		pmz__store(&r->cycle, pmz__max(count, 1), PMZ__RELEASE);
	pmz__store(&r->even, even, PMZ__RELEASE);
	pmz__store(&r->weight, sum, PMZ__RELEASE);
	pmz__store(&r->benches, benches_for(b, count), PMZ__RELEASE);
	pmz__store(&r->count, count, PMZ__RELEASE);
}

static void put_in_force(pmz_balance *b, const pmz__change *c)
{
	uint64_t turn = pmz__load(&b->turn, PMZ__RELAXED) + 1;

	fill_roster(b, &b->rosters[turn & 1], c);
	pmz__store(&b->turn, turn, PMZ__RELEASE);
	pmz__note_change(b);
}

static void publish(pmz_balance *b, const pmz__change *c, uint64_t table,
                    pmz_ns now)
{
	put_in_force(b, c);
	pmz__table_publish(b, table);
	pmz__benches_clear(b, now);
	pmz__calm_lower(b);
}

/* Coming. */

static int is_name_free(const pmz_balance *b, const char *name)
{
	uint64_t i;

	for (i = 0; i < b->rules.endpoints_max; i++)
		if (pmz__is_member(b, i) && !strcmp(b->endpoints[i].name, name))
			return 0;
	return 1;
}

static int check_name(const char *name)
{
	return name && *name && strnlen(name, NAME_LEN_MAX + 1) <= NAME_LEN_MAX;
}

/* Gives the number to a new generation, if nothing of the old one is out. */
static int claim_number(pmz_balance *b, uint64_t i)
{
	pmz__a64 *load = &b->loads[i];
	uint64_t seen = pmz__load(load, PMZ__RELAXED), next;

	if (pmz__is_member(b, i) || seen & PMZ__IN_FLIGHT)
		return 0;
	next = ((pmz__generation(seen) + 1) & 0xff)
	       << PMZ__LOAD_GENERATION_SHIFT;
	/* Acquire: pairs with the release of the last that settled. Release:
	 * pairs with the acquire in charge() and in is_still(). */
	return pmz__cas(load, &seen, next, PMZ__ACQ_REL);
}

static void reset(pmz_balance *b, uint64_t i, uint32_t weight, char *name,
                  pmz_ns now)
{
	pmz__endpoint *e = &b->endpoints[i];
	/* Relaxed: it was this writer that changed it. */
	uint64_t load = pmz__load(&b->loads[i], PMZ__RELAXED);
	uint64_t tag = pmz__tag(pmz__who(i, load));
	uint32_t slot;

	pmz__free(e->name);
	e->name = name;
	pmz__store(&e->failures, 0, PMZ__RELAXED);
	pmz__store(&e->ignored, 0, PMZ__RELAXED);
	pmz__store(&e->streak, 0, PMZ__RELAXED);
	pmz__store(&e->laps, 0, PMZ__RELAXED);
	pmz__store(&e->undone, 0, PMZ__RELAXED);
	pmz__store(&e->level, 0, PMZ__RELAXED);
	pmz__store(&e->ejections, tag, PMZ__RELAXED);
	pmz__store(&e->begun, now, PMZ__RELAXED);
	pmz__store(&e->weight, weight, PMZ__RELAXED);
	pmz__store(&e->calls_then, 0, PMZ__RELAXED);
	pmz__store(&e->failures_then, 0, PMZ__RELAXED);
	pmz__store(&e->slot_last, 0, PMZ__RELAXED);
	pmz__store(&e->gathered, 0, PMZ__RELAXED);
	for (slot = 0; slot < PMZ__TIMES; slot++)
		pmz__store(&e->times_then[slot],
		           pmz__load(&e->times[slot], PMZ__RELAXED),
		           PMZ__RELAXED);
	pmz__store(&b->averages[i].value, 0, PMZ__RELAXED);
	pmz__store(&b->averages[i].at, 0, PMZ__RELAXED);
	pmz__store(&b->gates[i], 0, PMZ__RELAXED);
	if (b->rules.slow_start_ns)
		pmz__gate_raise(b, i, pmz__gate_at(b, now));
	/* Release: pairs with the swap of until in pmz__eject(). */
	pmz__store(&e->until, 0, PMZ__RELEASE);
	/* Release: pairs with the acquire in pmz__is_member(). */
	pmz__store(&e->standing, PMZ__MEMBER, PMZ__RELEASE);
}

static int add_as(pmz_balance *b, const pmz__change *c, pmz_ns now)
{
	size_t size = strlen(c->name) + 1;
	char *name = (char *)pmz__alloc(size);
	uint64_t table;
	int status;

	if (!name)
		return PMZ_E_NOMEM;
	memcpy(name, c->name, size);
	status = pmz__table_make(b, c, &table);
	if (status) {
		pmz__free(name);
		return status;
	}
	reset(b, c->number, c->weight, name, now);
	publish(b, c, table, now);
	return PMZ_OK;
}

static int add(pmz_balance *b, pmz__change *c, pmz_ns now)
{
	uint64_t i;

	if (!is_name_free(b, c->name))
		return PMZ_E_CONFIG;
	for (i = 0; i < b->rules.endpoints_max; i++)
		if (claim_number(b, i))
			break;
	if (i == b->rules.endpoints_max)
		return PMZ_E_STATE;
	c->number = (uint32_t)i;
	return add_as(b, c, now);
}

int pmz_balance_add(pmz_balance *b, const char *name, uint32_t weight,
                    pmz_ns now, uint32_t *endpoint)
{
	pmz__change c;
	int status;

	PMZ__ASSERT(b);
	if (!check_name(name) || weight > PMZ__WEIGHT_MAX)
		return PMZ_E_CONFIG;
	if (!begin_writing(b))
		return PMZ_E_STATE;
	c.name = name;
	c.weight = weight;
	c.number = 0;
	status = add(b, &c, now);
	end_writing(b);
	if (!status && endpoint)
		*endpoint = c.number;
	return status;
}

/* Changing and going. */

static int reweight(pmz_balance *b, const pmz__change *c,
                    pmz__standing standing, pmz_ns now)
{
	pmz__endpoint *e = &b->endpoints[c->number];
	uint64_t table;
	int status = pmz__table_make(b, c, &table);

	if (status)
		return status;
	pmz__store(&e->weight, c->weight, PMZ__RELAXED);
	pmz__store(&e->standing, standing, PMZ__RELEASE);
	/* One who gets nothing more does not take a bench from others. */
	if (!c->weight)
		pmz__reinstate(b, c->number, now);
	publish(b, c, table, now);
	return PMZ_OK;
}

static int write_weight(pmz_balance *b, uint32_t number, uint32_t weight,
                        pmz__standing standing, pmz_ns now)
{
	pmz__change c;
	int status = PMZ_E_STATE;

	if (!begin_writing(b))
		return PMZ_E_STATE;
	if (pmz__is_member(b, number)) {
		c.number = number;
		c.weight = weight;
		c.name = b->endpoints[number].name;
		status = reweight(b, &c, standing, now);
	}
	end_writing(b);
	return status;
}

int pmz_balance_remove(pmz_balance *b, uint32_t endpoint, pmz_ns now)
{
	PMZ__ASSERT(b);
	return write_weight(b, endpoint, 0, PMZ__LEAVING, now);
}

int pmz_balance_weight(pmz_balance *b, uint32_t endpoint, uint32_t weight,
                       pmz_ns now)
{
	PMZ__ASSERT(b);
	if (weight > PMZ__WEIGHT_MAX)
		return PMZ_E_CONFIG;
	return write_weight(b, endpoint, weight, PMZ__MEMBER, now);
}
