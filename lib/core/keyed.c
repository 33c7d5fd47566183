/*
 * keyed.c - one token bucket per key, in a table that never grows.
 *
 * A key is its tag, the SipHash-1-3 of its bytes, which names two sets of 32
 * entries {tag, tat}; it has its entry in one of them. An entry whose tat
 * has passed has its whole burst left, as has a key never seen: it is
 * absent, and may be claimed for another. To take from a key that is there
 * is the swap of bucket.c on its tat. A new key waits for its turn at its
 * first set, since two threads that both found none would make two buckets;
 * it looks again, swaps the tat of a free entry for CLAIMED, so that the
 * entry is its own, and writes the tag and then the tat. So who reads a tat,
 * and after it the tag it looks for, steps from a tat of that key, and if
 * the entry has gone to another since then the swap fails: tats only rise,
 * from owner to owner too. Refunds lower them, hence one more look at the
 * tag after the swap. An evicted tat is left behind in the floor of its set,
 * and new keys start from the floors of their sets: an instant long past,
 * unless the clock goes back, and then to forget a bucket is not to refill
 * it. A turn that does not end is taken away: its holder died, or is missing
 * since a fork(). One that is merely slow learns it before it writes; one
 * that sleeps just after that look may leave its key with two entries, and
 * one take too many granted. No entry ever has two owners, for the swap that
 * claims it has one winner, whoever holds the turn. One left CLAIMED by the
 * dead stays so, and is nobody's.
 */
#include <pipemaze/bucket.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/atomic.h"
#include "base/config.h"
#include "base/random.h"
#include "base/siphash.h"
#include "base/wide.h"
#include "core/bucket.h"

#define KEYS_MAX_DEFAULT 65536
#define BYTES_PER_KEY 24
#define SET_SIZE 32
#define LINE_SIZE (PMZ__CACHE_LINE / sizeof(entry)) /* entries in one line */
#define LINES (SET_SIZE / LINE_SIZE)
#define STRIPES_MAX 64
#define KEYS_PER_STRIPE 1024

/* A set with fewer places than this shares its new keys with the other. With 8,
 * 3 % of keys_max keys are not in their first set, and the first one without a
 * place comes when a large table is 92 % full; with 4 it is 1 and 87 %, and if
 * all were shared, 33 and 94 %. */
#define PLACES_LOW 8

/* How long one turn may last: 20 to 60 ms, where it needs some 200 ns. */
#define TURN_PAUSES (1u << 20)

/* How often one call looks for its key: each time that it must look again,
 * another thread got on. */
#define LOOKS_MAX (1u << 16)

/* As a tat: this entry is being claimed. No step ever gets there. */
#define CLAIMED UINT64_MAX
#define NO_TAG 0

/* What one look comes to, beside PMZ_OK and PMZ_REFUSED_RATE. */
#define LOOK_AGAIN 1000
#define NO_PLACE 1001

typedef struct entry {
	pmz__a64 tag, tat;
} entry;

typedef struct gate {
	pmz__a64 turn;  /* odd: a new key of this first set has it */
	pmz__a64 floor; /* the largest tat evicted from this set */
} gate;

/* Counts of some of the keys. Relaxed: nothing hangs on them. */
typedef struct stripe {
	PMZ__ALIGNED pmz__a64 admitted;
	pmz__a64 refusals, full;
} stripe;

struct pmz_keyed {
	PMZ__ALIGNED uint64_t hash_key[2];
	uint64_t sets;
	uint32_t stripes, full_allows;
	stripe *counts;
	entry *entries;
	gate *gates;
};

/* One take on its way. */
typedef struct visit {
	pmz__rate rate;
	uint64_t tag, n;
	pmz_ns now, ready_at;
} visit;

/* What a set has to offer. */
typedef struct room {
	uint64_t set;
	uint32_t places;
	entry *first;      /* of the places, in the order of the search */
	uint64_t tat;      /* of that one */
	pmz_ns next_place; /* if there is none: when there will be one */
} room;

static uint64_t tag_of(const pmz_keyed *k, const void *key, size_t len)
{
	uint64_t tag;

	PMZ__ASSERT(k);
	PMZ__ASSERT(key || !len);
	tag = pmz__siphash(k->hash_key, key, len, 1, 3);
	return tag == NO_TAG ? 1 : tag;
}

static visit visit_of(const pmz_rate *rate, uint64_t tag, uint64_t n,
                      pmz_ns now)
{
	visit v;

	v.rate = pmz__rate_of(rate);
	v.tag = tag;
	v.n = n;
	v.now = now;
	v.ready_at = PMZ_NEVER;
	return v;
}

/* The high bits of a tag name the set, the low ones where to begin in it. */
static uint64_t first_set(const pmz_keyed *k, uint64_t tag)
{
	return pmz__mul_high(tag, k->sets);
}

static uint64_t second_set(const pmz_keyed *k, uint64_t tag)
{
	uint64_t other = pmz__mul_high(pmz__mix(tag), k->sets - 1);

	return k->sets == 1 ? 0 : other + (other >= first_set(k, tag));
}

/* The line where the search in a set begins, or one of those after it. */
static entry *line_at(const pmz_keyed *k, uint64_t set, uint64_t tag,
                      uint64_t step)
{
	uint64_t line = (tag + step) % LINES;

	return &k->entries[(set * LINES + line) * LINE_SIZE];
}

/* No branch hangs on where in its line a key is, which cannot be guessed. */
static entry *find_in_line(entry *line, uint64_t tag)
{
	uint32_t i, found = 0;

	/* Acquire, both: pairs with the swap and the stores in claim(), so
	 * that who misses an evicted key here sees the floor that it left. */
#pragma GCC unroll 8
	for (i = 0; i < LINE_SIZE; i++) {
		uint32_t same = pmz__load(&line[i].tag, PMZ__ACQUIRE) == tag;

		found |= same << i;
	}
	for (; found; found &= found - 1) {
		entry *e = &line[__builtin_ctz(found)];

		if (pmz__load(&e->tat, PMZ__ACQUIRE) != CLAIMED)
			return e;
	}
	return NULL;
}

static entry *find_in(const pmz_keyed *k, uint64_t set, uint64_t tag)
{
	uint64_t step;

	/* Where the key is, as a rule, if it is not in the first. */
	__builtin_prefetch(line_at(k, set, tag, 1));
	for (step = 0; step < LINES; step++) {
		entry *e = find_in_line(line_at(k, set, tag, step), tag);

		if (PMZ__LIKELY(e))
			return e;
	}
	return NULL;
}

static entry *find(const pmz_keyed *k, uint64_t tag)
{
	entry *e = find_in(k, first_set(k, tag), tag);

	if (PMZ__LIKELY(e))
		return e;
	return find_in(k, second_set(k, tag), tag);
}

/* CLAIMED if the entry is no longer this key's. */
static uint64_t tat_of(const entry *e, uint64_t tag)
{
	/* Acquire: pairs with the last store in claim(), for the tag. */
	uint64_t tat = pmz__load(&e->tat, PMZ__ACQUIRE);

	return pmz__load(&e->tag, PMZ__RELAXED) == tag ? tat : CLAIMED;
}

/* Whether this key's tat went from one to the other. */
static int moved(entry *e, const visit *v, uint64_t from, uint64_t to)
{
	uint64_t expected = from;

	/* Acquire: pairs with the last store in claim(), for the tag below. */
	if (!pmz__cas(&e->tat, &expected, to, PMZ__ACQUIRE))
		return 0;
	/* What a refund makes whole may be evicted before this look. Until
	 * then it was this key's: the tokens now given back kept it busy. */
	if (PMZ__LIKELY(pmz__load(&e->tag, PMZ__RELAXED) == v->tag) ||
	    to <= v->now)
		return 1;
	/* It was another key's tat: that move is taken back. */
	expected = to;
	(void)pmz__cas(&e->tat, &expected, from, PMZ__RELAXED);
	return 0;
}

/* Where a key starts that has no entry. Relaxed: find() has acquired what could
 * have raised the floors on its behalf. */
static uint64_t floor_of(const pmz_keyed *k, uint64_t tag)
{
	const gate *first = &k->gates[first_set(k, tag)];
	const gate *second = &k->gates[second_set(k, tag)];

	return pmz__max(pmz__load(&first->floor, PMZ__RELAXED),
	                pmz__load(&second->floor, PMZ__RELAXED));
}

/* Relaxed: the swap in claim() publishes it. */
static void raise_floor(gate *g, uint64_t tat)
{
	uint64_t floor = pmz__load(&g->floor, PMZ__RELAXED);

	while (floor < tat && !pmz__cas(&g->floor, &floor, tat, PMZ__RELAXED))
		;
}

/* Waits for a turn and returns its number. */
static uint64_t enter(gate *g)
{
	uint64_t seen = pmz__load(&g->turn, PMZ__RELAXED);
	uint32_t pauses = 0;

	for (;;) {
		uint64_t before = seen, mine = (seen + 1) | 1;

		if (seen % 2 == 0 || pauses == TURN_PAUSES) {
			/* Acquire: pairs with leave(). */
			if (pmz__cas(&g->turn, &seen, mine, PMZ__ACQUIRE))
				return mine;
		} else {
			pmz__pause();
			seen = pmz__load(&g->turn, PMZ__RELAXED);
		}
		pauses = seen == before ? pauses + 1 : 0;
	}
}

static void leave(gate *g, uint64_t turn)
{
	/* Release: pairs with enter(). Fails if the turn was taken away. */
	(void)pmz__cas(&g->turn, &turn, turn + 1, PMZ__RELEASE);
}

/* Relaxed: a hint, the swap in claim() decides. */
static room room_in(const pmz_keyed *k, uint64_t set, const visit *v)
{
	room r = { 0, 0, NULL, 0, CLAIMED };
	uint64_t step;

	r.set = set;
	for (step = 0; step < SET_SIZE; step++) {
		entry *e = line_at(k, set, v->tag, step / LINE_SIZE) +
		           step % LINE_SIZE;
		uint64_t tat = pmz__load(&e->tat, PMZ__RELAXED);

		/* CLAIMED is later than any now that is granted a token. */
		r.next_place = pmz__min(r.next_place, tat);
		if (tat <= v->now && !r.places++) {
			r.first = e;
			r.tat = tat;
		}
	}
	return r;
}

static room room_for(const pmz_keyed *k, const visit *v)
{
	room first = room_in(k, first_set(k, v->tag), v), second;
	pmz_ns next_place = first.next_place;

	if (first.places >= PLACES_LOW)
		return first;
	second = room_in(k, second_set(k, v->tag), v);
	next_place = pmz__min(next_place, second.next_place);
	if (second.places > first.places)
		first = second;
	first.next_place = next_place;
	return first;
}

/* Whether the first place of a room is now this key's, while its turn lasts. */
static int claim(const pmz_keyed *k, room r, uint64_t tag, uint64_t tat,
                 uint64_t turn)
{
	const gate *g = &k->gates[first_set(k, tag)];
	int lasts;

	raise_floor(&k->gates[r.set], r.tat);
	/* Release: pairs with find_in_line(), for the floor. Acquire: pairs
	 * with the last store below, for the floors that its owner saw. */
	if (!pmz__cas(&r.first->tat, &r.tat, CLAIMED, PMZ__ACQ_REL))
		return 0;
	lasts = pmz__load(&g->turn, PMZ__RELAXED) == turn;
	/* Release, both: pairs with find_in_line(), tat_of(), moved(). The key
	 * that was here is not put back: it may by now be elsewhere. */
	pmz__store(&r.first->tag, lasts ? tag : NO_TAG, PMZ__RELEASE);
	pmz__store(&r.first->tat, lasts ? tat : r.tat, PMZ__RELEASE);
	return lasts;
}

static int start(const pmz_keyed *k, visit *v, uint64_t turn)
{
	uint64_t next;
	room r;

	if (pmz__bucket_step(&v->rate, floor_of(k, v->tag), v->n, v->now, &next,
	                     &v->ready_at))
		return PMZ_REFUSED_RATE;
	r = room_for(k, v);
	if (!r.places) {
		v->ready_at = r.next_place;
		return NO_PLACE;
	}
	return claim(k, r, v->tag, next, turn) ? PMZ_OK : LOOK_AGAIN;
}

static int take_new(const pmz_keyed *k, visit *v)
{
	gate *g = &k->gates[first_set(k, v->tag)];
	uint64_t turn = enter(g);
	int status = LOOK_AGAIN;

	if (!find(k, v->tag))
		status = start(k, v, turn);
	leave(g, turn);
	return status;
}

static int take_from(entry *e, visit *v)
{
	uint64_t tat = tat_of(e, v->tag), next;

	if (tat == CLAIMED)
		return LOOK_AGAIN;
	if (pmz__bucket_step(&v->rate, tat, v->n, v->now, &next, &v->ready_at))
		return PMZ_REFUSED_RATE;
	return moved(e, v, tat, next) ? PMZ_OK : LOOK_AGAIN;
}

static stripe *stripe_of(const pmz_keyed *k, uint64_t tag)
{
	return &k->counts[tag / LINES & (k->stripes - 1)];
}

static int admitted(const pmz_keyed *k, const visit *v)
{
	pmz__add(&stripe_of(k, v->tag)->admitted, 1, PMZ__RELAXED);
	return PMZ_OK;
}

static int refused(const pmz_keyed *k, const visit *v, pmz_ns *ready_at)
{
	pmz__count_nearly(&stripe_of(k, v->tag)->refusals);
	if (ready_at)
		*ready_at = v->ready_at;
	return PMZ_REFUSED_RATE;
}

static int full(const pmz_keyed *k, visit *v, pmz_ns *ready_at)
{
	pmz__add(&stripe_of(k, v->tag)->full, 1, PMZ__RELAXED);
	if (k->full_allows)
		return admitted(k, v);
	/* All that could be a place is being claimed: soon it will be known. */
	if (v->ready_at == PMZ_NEVER)
		v->ready_at = v->now;
	return refused(k, v, ready_at);
}

int pmz_keyed_take(pmz_keyed *k, const pmz_rate *rate, const void *key,
                   size_t len, uint64_t n, pmz_ns now, pmz_ns *ready_at)
{
	visit v = visit_of(rate, tag_of(k, key, len), n, now);
	int status = n ? LOOK_AGAIN : PMZ_OK;
	uint32_t looks;

	for (looks = LOOKS_MAX; status == LOOK_AGAIN && looks; looks--) {
		entry *e = find(k, v.tag);

		status = e ? take_from(e, &v) : take_new(k, &v);
	}
	if (status == PMZ_OK)
		return admitted(k, &v);
	if (status == PMZ_REFUSED_RATE)
		return refused(k, &v, ready_at);
	return full(k, &v, ready_at);
}

uint64_t pmz_keyed_left(const pmz_keyed *k, const pmz_rate *rate,
                        const void *key, size_t len, pmz_ns now)
{
	pmz__rate r = pmz__rate_of(rate);
	uint64_t tag = tag_of(k, key, len), tat = CLAIMED;
	uint32_t looks;

	for (looks = LOOKS_MAX; tat == CLAIMED && looks; looks--) {
		const entry *e = find(k, tag);

		tat = e ? tat_of(e, tag) : floor_of(k, tag);
	}
	return pmz__bucket_left(&r, tat, now);
}

static int give_back(entry *e, const visit *v, pmz_ns taken_at)
{
	uint64_t tat = tat_of(e, v->tag), next;

	if (tat == CLAIMED)
		return LOOK_AGAIN;
	next = pmz__bucket_refunded(&v->rate, tat, v->n, taken_at, v->now);
	if (next == tat || moved(e, v, tat, next))
		return PMZ_OK;
	return LOOK_AGAIN;
}

void pmz_keyed_refund(pmz_keyed *k, const pmz_rate *rate, const void *key,
                      size_t len, uint64_t n, pmz_ns taken_at, pmz_ns now)
{
	visit v = visit_of(rate, tag_of(k, key, len), n, now);
	int status = LOOK_AGAIN;
	uint32_t looks;

	for (looks = LOOKS_MAX; status == LOOK_AGAIN && looks; looks--) {
		entry *e = find(k, v.tag);

		status = e ? give_back(e, &v, taken_at) : PMZ_OK;
	}
}

static uint32_t busy_at(const pmz_keyed *k, pmz_ns now)
{
	uint64_t i, busy = 0;

	for (i = 0; i < k->sets * SET_SIZE; i++) {
		uint64_t tat = pmz__load(&k->entries[i].tat, PMZ__RELAXED);

		busy += tat > now && tat != CLAIMED;
	}
	return (uint32_t)pmz__min(busy, UINT32_MAX);
}

int pmz_keyed_read(const pmz_keyed *k, pmz_ns now, pmz_keyed_stats *out)
{
	pmz_keyed_stats s;
	uint32_t i;

	PMZ__ASSERT(k);
	memset(&s, 0, sizeof(s));
	s.busy = busy_at(k, now);
	for (i = 0; i < k->stripes; i++) {
		const stripe *c = &k->counts[i];

		s.admitted += pmz__load(&c->admitted, PMZ__RELAXED);
		s.refusals += pmz__load(&c->refusals, PMZ__RELAXED);
		s.full += pmz__load(&c->full, PMZ__RELAXED);
	}
	return pmz__stats_write(out, &s, sizeof(s));
}

/* A power of two. */
static uint32_t stripes_for(uint64_t keys_max)
{
	uint32_t stripes = STRIPES_MAX;

	while (stripes > 1 && stripes * KEYS_PER_STRIPE > keys_max)
		stripes /= 2;
	return stripes;
}

/* What the budget holds; in a small table, where the header weighs, a quarter
 * more than the keys. */
static uint64_t sets_for(uint64_t keys_max)
{
	const uint64_t set = SET_SIZE * sizeof(entry) + sizeof(gate);
	const uint64_t overhead =
		sizeof(pmz_keyed) + stripes_for(keys_max) * sizeof(stripe);
	uint64_t budget = keys_max * BYTES_PER_KEY;

	if (keys_max <= SET_SIZE)
		return 1;
	budget -= budget % PMZ__CACHE_LINE; /* pmz__alloc() rounds up */
	budget = pmz__sat_sub(budget, overhead);
	return pmz__max(budget / set,
	                (keys_max * 5 / 4 + SET_SIZE - 1) / SET_SIZE);
}

static int read_config(pmz_keyed_config *c, const pmz_keyed_config *cfg,
                       pmz_why *why)
{
	int status = pmz__config_read(c, sizeof(*c), cfg, why);

	if (status)
		return status;
	c->keys_max = pmz__or(c->keys_max, KEYS_MAX_DEFAULT);
	if (!c->hash_key[0] && !c->hash_key[1])
		return pmz__bad(why, "hash_key",
		                "hash_key is zero: set it to 16 random bytes");
	if (c->full_allows > 1)
		return pmz__bad(why, "full_allows",
		                "full_allows is %u: it is 0 or 1",
		                (unsigned)c->full_allows);
	if (c->reserved)
		return pmz__bad(why, "reserved", "reserved is not 0");
	return PMZ_OK;
}

static void lay_out(pmz_keyed *k, const pmz_keyed_config *c)
{
	uint64_t i;

	memcpy(k->hash_key, c->hash_key, sizeof(k->hash_key));
	k->sets = sets_for(c->keys_max);
	k->stripes = stripes_for(c->keys_max);
	k->full_allows = c->full_allows;
	k->counts = (stripe *)(k + 1);
	k->entries = (entry *)(k->counts + k->stripes);
	k->gates = (gate *)(k->entries + k->sets * SET_SIZE);
	/* In a table of less than one set the others are never free. */
	for (i = c->keys_max; i < SET_SIZE; i++)
		pmz__store(&k->entries[i].tat, CLAIMED, PMZ__RELAXED);
}

int pmz_keyed_new(pmz_keyed **out, const pmz_keyed_config *cfg, pmz_why *why)
{
	pmz_keyed_config c;
	uint64_t size;
	int status;

	PMZ__ASSERT(out);
	*out = NULL;
	status = read_config(&c, cfg, why);
	if (status)
		return status;
	size = sizeof(pmz_keyed) + stripes_for(c.keys_max) * sizeof(stripe) +
	       sets_for(c.keys_max) * (SET_SIZE * sizeof(entry) + sizeof(gate));
	if (size > SIZE_MAX)
		return pmz__bad(why, "keys_max",
		                "keys_max is %u: more than memory can hold",
		                (unsigned)c.keys_max);
	*out = (pmz_keyed *)pmz__alloc((size_t)size);
	if (!*out)
		return pmz__why(why, PMZ_E_NOMEM);
	lay_out(*out, &c);
	return PMZ_OK;
}

void pmz_keyed_free(pmz_keyed *k)
{
	pmz__free(k);
}
