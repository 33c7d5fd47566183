/*
 * pick.c - the strategies.
 *
 * Each chooses from the roster that it sees, or by key from a ring, among those
 * whose weight is not 0 just then. One that draws by weight draws by what the
 * weight is as a rule, and keeps what it drew as often as that is still so:
 * this is the right share for all without looking at all. After some vain draws
 * it looks at all.
 *
 * The turns of the round robin lie in a cycle that a writer has dealt out, and
 * a ticket, drawn by one add, says which it is. So every cycle is exact,
 * however many threads draw, and begins somewhere by the seed. A turn of one
 * who is out is passed over, by the next ticket.
 *
 * By key, the load bound is held exactly: a pick is put on a load by a
 * compare-and-swap of what was below the bound.
 */
#include "base/random.h"
#include "core/balance.h"
#include "core/ring.h"

#define SCAN_MAX 16    /* so many are all looked at for the least load */
#define DRAWS_MAX 16   /* before all are looked at */
#define SECONDS_MAX 16 /* draws for a second one that is not the first */
#define STEPS_A_NODE 8 /* along the ring, before all are gone through */
#define ROUNDS_MAX 16  /* while loads change under a pick by key */

/* A cost must be lower by a 32nd to count as lower: less is noise, such as
 * which of two equals was idle for longer. */
#define COST_SHIFT 5

static int is_avoided(const pmz__view *v, uint64_t entry)
{
	uint64_t i;

	for (i = 0; i < v->avoid_count; i++)
		if (v->avoid[i] == pmz__number(entry))
			return 1;
	return 0;
}

/* Puts a pick on the load of who had the number when it was chosen, as long as
 * fewer than `cap` are in flight there. */
static int charge(pmz_balance *b, uint64_t who, uint64_t cap)
{
	uint64_t number = pmz__number(who);
	pmz__a64 *word = &b->loads[number];
	/* Acquire, also where it fails: pairs with the release of who gave the
	 * number away, whose roster is then seen too. */
	uint64_t load = pmz__load(word, PMZ__ACQUIRE);

	do {
		if (PMZ__UNLIKELY(!pmz__is_of(load, who) ||
		                  (load & PMZ__IN_FLIGHT) >= cap))
			return 0;
	} while (!pmz__cas_acquire(word, &load, load + PMZ__PICKED + 1,
	                           PMZ__ACQUIRE));
	if (PMZ__UNLIKELY(load + PMZ__PICKED < load))
		pmz__add(&b->endpoints[number].laps, 1, PMZ__RELEASE);
	return 1;
}

/* The weight now of one that the call may go to, else 0. */
static uint64_t weight_for(pmz__view *v, uint64_t entry)
{
	if (PMZ__UNLIKELY(v->avoid_count) && is_avoided(v, entry))
		return 0;
	return pmz__weight_of(v, entry);
}

/* Drawing by weight. */

/* Whose part of the sum of all weights a point lies in. */
static uint64_t index_at(const pmz__view *v, uint64_t point)
{
	uint64_t low = 0, size = v->count;

	while (size > 1) {
		uint64_t half = size / 2;

		if (pmz__load(&v->roster->starts[low + half], PMZ__ACQUIRE) <=
		    point)
			low += half;
		size -= half;
	}
	return low;
}

static uint64_t draw_any(pmz__view *v)
{
	uint64_t random = pmz__view_draw(v), weight;

	if (PMZ__OF_ROSTER(v->roster, even))
		return pmz__entry(v, pmz__mul_high(random, v->count));
	weight = PMZ__OF_ROSTER(v->roster, weight);
	return pmz__entry(v, index_at(v, pmz__mul_high(random, weight)));
}

/* With the share of its weight that it has now. */
static int keeps(pmz__view *v, uint64_t entry)
{
	uint64_t weight = weight_for(v, entry), full = pmz__full_weight(entry);

	return weight == full ||
	       pmz__mul_high(pmz__view_draw(v), full) < weight;
}

static uint64_t draw_from_all(pmz__view *v)
{
	uint64_t total = 0, point, i;

	for (i = 0; i < v->count; i++)
		total += weight_for(v, pmz__entry(v, i));
	point = pmz__mul_high(pmz__view_draw(v), total);
	for (i = 0; i < v->count; i++) {
		uint64_t entry = pmz__entry(v, i);
		uint64_t weight = weight_for(v, entry);

		if (point < weight)
			return entry;
		point -= weight;
	}
	return PMZ__NONE;
}

static uint64_t draw_one(pmz__view *v)
{
	int i;

	for (i = 0; i < DRAWS_MAX && v->count; i++) {
		uint64_t entry = draw_any(v);

		if (PMZ__LIKELY(keeps(v, entry)))
			return entry;
	}
	return draw_from_all(v);
}

/* The least load. */

typedef struct least {
	uint64_t load, weight;
	uint64_t ties; /* bits: who has it */
	uint64_t ties_weight;
	uint64_t sum; /* of all loads: another one at each pick */
	uint64_t weights[SCAN_MAX];
} least;

/* load / weight against the least so far; loads have 24 bits, weights 34. */
static void take_in(least *l, unsigned i, uint64_t load, uint64_t weight)
{
	uint64_t mine = load * l->weight, theirs = l->load * weight;

	if (mine < theirs || !l->weight) {
		l->load = load;
		l->weight = weight;
		l->ties = l->ties_weight = 0;
	} else if (mine > theirs) {
		return;
	}
	l->weights[i] = weight;
	l->ties |= (uint64_t)1 << i;
	l->ties_weight += weight;
}

/* One of those with the least, by weight. */
static unsigned draw_tie(const least *l, uint64_t random)
{
	uint64_t point = pmz__mul_high(random, l->ties_weight);
	uint64_t ties = l->ties;

	for (;;) {
		unsigned i = (unsigned)__builtin_ctzll(ties);

		ties &= ties - 1;
		if (point < l->weights[i] || !ties)
			return i;
		point -= l->weights[i];
	}
}

/* Random without a word that all picks write. */
static uint64_t random_of(const pmz__view *v, uint64_t sum)
{
	sum ^= pmz__balance_seed(v->b, v->now) ^ v->now;
	return pmz__draw(&sum);
}

static uint64_t load_of(const pmz__view *v, uint64_t entry)
{
	/* Relaxed: which is least may change at any time. */
	return pmz__load(&v->b->loads[pmz__number(entry)], PMZ__RELAXED);
}

static uint64_t scan(pmz__view *v)
{
	least l;
	unsigned i;

	l.load = l.weight = l.ties = l.ties_weight = l.sum = 0;
	for (i = 0; i < v->count; i++) {
		uint64_t entry = pmz__entry(v, i), load;
		uint64_t weight = weight_for(v, entry);

		if (!weight)
			continue;
		load = load_of(v, entry);
		l.sum += load;
		take_in(&l, i, load & PMZ__IN_FLIGHT, weight);
	}
	if (!l.ties)
		return PMZ__NONE;
	return pmz__entry(v, draw_tie(&l, random_of(v, l.sum)));
}

/* The same among equals, where nothing counts but the loads. */
static uint64_t scan_equals(pmz__view *v)
{
	uint64_t lowest = PMZ__NONE, ties = 0, bit = 1, sum = 0, count = 0, i;

	for (i = 0; i < v->count; i++, bit <<= 1) {
		uint64_t load = load_of(v, pmz__entry(v, i));
		uint64_t out = load & PMZ__IN_FLIGHT;

		sum += load;
		if (out < lowest) {
			lowest = out;
			ties = bit;
			count = 1;
		} else if (out == lowest) {
			ties |= bit;
			count++;
		}
	}
	i = pmz__mul_high(random_of(v, sum), count);
	if (count == v->count)
		return count ? pmz__entry(v, i) : PMZ__NONE;
	for (; i; i--)
		ties &= ties - 1;
	return pmz__entry(v, (unsigned)__builtin_ctzll(ties));
}

/* The better of two. */

static uint64_t in_flight(const pmz__view *v, uint64_t entry)
{
	return load_of(v, entry) & PMZ__IN_FLIGHT;
}

static int has_less(pmz__view *v, uint64_t a, uint64_t b)
{
	return in_flight(v, a) * pmz__weight_of(v, b) <
	       in_flight(v, b) * pmz__weight_of(v, a);
}

/* What one more call would wait there. Nobody knows how long a new one takes:
 * it gets one call at once, and more after the others until that one ends. */
static uint64_t cost(const pmz__view *v, uint64_t entry)
{
	uint64_t calls = in_flight(v, entry);
	pmz_ns time = pmz__average_now(v->b, pmz__number(entry), v->now);

	return time ? pmz__sat_mul(time, calls + 1)
	            : pmz__sat_mul(calls, UINT64_MAX >> 24);
}

/* The weights say how often each is drawn, and only that: what an endpoint can
 * take shows in its time. */
static int costs_less(pmz__view *v, uint64_t a, uint64_t b)
{
	uint64_t other = cost(v, b);

	return cost(v, a) < other - (other >> COST_SHIFT);
}

static uint64_t two(pmz__view *v,
                    int (*is_better)(pmz__view *, uint64_t, uint64_t))
{
	uint64_t first = draw_one(v), second = first;
	int i;

	if (first == PMZ__NONE || v->count < 2)
		return first;
	for (i = 0; i < SECONDS_MAX && second == first; i++)
		second = draw_one(v);
	if (second == PMZ__NONE || second == first)
		return first;
	return is_better(v, second, first) ? second : first;
}

static uint64_t least_loaded(pmz__view *v)
{
	if (v->count > SCAN_MAX)
		return two(v, has_less);
	if (v->calm && !v->avoid_count && PMZ__OF_ROSTER(v->roster, even))
		return scan_equals(v);
	return scan(v);
}

/* Turns. */

static uint64_t next_turn(pmz__view *v)
{
	uint64_t ticket = pmz__add(&v->b->tickets, 1, PMZ__RELAXED);
	uint64_t cycle = PMZ__OF_ROSTER(v->roster, cycle);

	ticket += pmz__balance_seed(v->b, v->now) >> 1;
	if (PMZ__OF_ROSTER(v->roster, even))
		return pmz__entry(v, ticket % v->count);
	return pmz__entry(
		v, pmz__load(&v->roster->turns[ticket % cycle], PMZ__ACQUIRE));
}

static uint64_t robin(pmz__view *v)
{
	uint64_t i;

	for (i = 0; i < DRAWS_MAX && v->count; i++) {
		uint64_t entry = next_turn(v);

		if (PMZ__LIKELY(keeps(v, entry)))
			return entry;
	}
	return draw_from_all(v);
}

static uint64_t by_roster(pmz__view *v)
{
	switch (v->b->rules.strategy) {
	case PMZ_ROUND_ROBIN:
		return robin(v);
	case PMZ_RANDOM:
		return draw_one(v);
	case PMZ_EWMA:
		return two(v, costs_less);
	default:
		return least_loaded(v);
	}
}

/* Chooses from a roster that stood until the choice was made. */
static uint64_t choose_and_charge(pmz__view *v)
{
	for (;;) {
		uint64_t entry = by_roster(v);

		if (PMZ__UNLIKELY(!pmz__roster_stands(v))) {
			pmz__look_at_roster(v);
			continue;
		}
		if (entry == PMZ__NONE && v->avoid_count) {
			v->avoid_count = 0;
			continue;
		}
		if (entry == PMZ__NONE ||
		    charge(v->b, entry, PMZ__IN_FLIGHT))
			return entry;
		/* So many in flight, or a writer came in between. */
		if (pmz__roster_stands(v))
			return PMZ__NONE;
		pmz__look_at_roster(v);
	}
}

/* By key. */

typedef struct keyed {
	const pmz__table *table;
	uint64_t total;  /* calls in flight, with this one */
	uint64_t weight; /* of all who are not out */
	uint64_t
		parts; /* of its weight that the one furthest up its ramp has */
	int any_age;   /* ramps do not matter */
} keyed;

static uint64_t parts_of(pmz__view *v, uint64_t entry)
{
	return pmz__weight_of(v, entry) / (entry >> PMZ__WEIGHT_SHIFT);
}

static void appraise(pmz__view *v, keyed *k)
{
	uint64_t i;

	k->weight = k->parts = 0;
	for (i = 0; i < k->table->count; i++) {
		uint64_t parts = parts_of(v, k->table->entries[i]);

		if (parts)
			k->weight += k->table->entries[i] >> PMZ__WEIGHT_SHIFT;
		k->parts = pmz__max(k->parts, parts);
	}
}

/* max(1, ceil(c * total * weight / sum of weights)) */
static uint64_t cap_of(const pmz__view *v, const keyed *k, uint64_t entry)
{
	uint64_t pct = v->b->rules.load_bound_pct;
	uint64_t weight = v->calm ? k->table->weight : k->weight, cap;

	if (v->b->rules.strategy != PMZ_BY_KEY || pct == PMZ_NEVER)
		return PMZ__IN_FLIGHT;
	cap = pmz__mul_div(k->total * pct, entry >> PMZ__WEIGHT_SHIFT,
	                   weight * 100, 1);
	return pmz__min(pmz__max(cap, 1), PMZ__IN_FLIGHT);
}

/* Of the keys of one whose weight is ramped up so many come to it, and stay. */
static int is_for_key(pmz__view *v, const keyed *k, uint64_t entry)
{
	uint64_t parts, hash;

	if (PMZ__LIKELY(v->calm))
		return 1;
	parts = parts_of(v, entry);
	if (!parts || k->any_age)
		return parts > 0;
	hash = pmz__mix(v->hash ^ pmz__mix(pmz__number(entry)));
	return parts > pmz__mul_high(hash, k->parts);
}

static int takes_key(pmz__view *v, const keyed *k, uint64_t entry)
{
	uint64_t cap;

	if (v->avoid_count && is_avoided(v, entry))
		return 0;
	if (!is_for_key(v, k, entry))
		return 0;
	cap = cap_of(v, k, entry);
	return in_flight(v, entry) < cap && charge(v->b, entry, cap);
}

/* Best first; and all, where many of the first are out. */
static uint64_t walk(pmz__view *v, const keyed *k)
{
	const pmz__table *t = k->table;
	pmz__walk w = pmz__walk_from(t->ring, v->hash);
	uint64_t from = pmz__mul_high(pmz__mix(v->hash), t->count), i;

	for (i = 0; i < t->count * STEPS_A_NODE; i++) {
		uint32_t node = pmz__walk_next(&w);

		if (node == PMZ__NO_NODE)
			break;
		if (PMZ__LIKELY(takes_key(v, k, t->entries[node])))
			return t->entries[node];
	}
	for (i = 0; i < t->count; i++) {
		uint64_t entry = t->entries[(from + i) % t->count];

		if (takes_key(v, k, entry))
			return entry;
	}
	return PMZ__NONE;
}

/* Rather to one who has just come than to one who was tried. */
static uint64_t walk_again(pmz__view *v, keyed *k)
{
	uint64_t avoid_count = v->avoid_count;
	uint64_t entry;

	k->any_age = 0;
	entry = walk(v, k);
	if (PMZ__LIKELY(entry != PMZ__NONE))
		return entry;
	k->any_age = 1;
	entry = walk(v, k);
	if (entry != PMZ__NONE || !avoid_count)
		return entry;
	v->avoid_count = 0;
	entry = walk(v, k);
	v->avoid_count = avoid_count;
	return entry;
}

/* The caps of all make up for more calls than there are, so one has room for
 * this; if none did, the loads changed on the way, or the total. */
static uint64_t walk_bounded(pmz__view *v, keyed *k)
{
	uint64_t entry = PMZ__NONE;
	int round;

	/* Relaxed, all of it: a sum; nothing else hangs on it. */
	k->total = pmz__add(&v->b->charged, 1, PMZ__RELAXED) + 1;
	for (round = 0; round < ROUNDS_MAX; round++) {
		if (!v->calm)
			appraise(v, k);
		entry = walk_again(v, k);
		if (entry != PMZ__NONE)
			return entry;
		k->total = pmz__load(&v->b->charged, PMZ__RELAXED);
	}
	pmz__sub(&v->b->charged, 1, PMZ__RELAXED);
	return PMZ__NONE;
}

static uint64_t walk_table(pmz__view *v, const pmz__table *table)
{
	keyed k = { table, 0, 0, 0, 0 };

	if (!table->ring)
		return PMZ__NONE;
	if (v->b->rules.strategy == PMZ_BY_KEY)
		return walk_bounded(v, &k);
	if (!v->calm)
		appraise(v, &k);
	return walk_again(v, &k);
}

/* Goes through the table in force. *is_old: another one is, by the end. */
static uint64_t pass_through(pmz__view *v, int *is_old)
{
	pmz_balance *b = v->b;
	/* Acquire: pairs with the swap in pmz__table_publish(). */
	uint64_t word = pmz__add(&b->table, 1, PMZ__ACQUIRE);
	uint64_t i = word >> PMZ__TABLE_SHIFT, entry;

	entry = walk_table(v, &b->tables[i]);
	*is_old = pmz__load(&b->table, PMZ__RELAXED) >> PMZ__TABLE_SHIFT != i;
	/* Release: pairs with the acquire in is_left(): by then this has done
	 * with the table. */
	pmz__add(&b->tables[i].left, 1, PMZ__RELEASE);
	return entry;
}

static uint64_t by_key(pmz__view *v)
{
	uint64_t entry;
	int is_old;

	if (!v->has_hash)
		v->hash = pmz__view_draw(v);
	do {
		entry = pass_through(v, &is_old);
		/* All whom it had may have been replaced since. */
	} while (PMZ__UNLIKELY(entry == PMZ__NONE && is_old));
	return entry;
}

uint64_t pmz__choose(pmz__view *v)
{
	if (v->b->rules.strategy >= PMZ_BY_KEY)
		return by_key(v);
	return choose_and_charge(v);
}
