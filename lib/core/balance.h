/*
 * balance.h - what a balancer is made of.
 */
#ifndef PMZ_LIB_CORE_BALANCE_H
#define PMZ_LIB_CORE_BALANCE_H

#include <pipemaze/balance.h>
#include <pipemaze/ring.h>

#include "base/assert.h"
#include "base/atomic.h"
#include "base/wide.h"

#define PMZ__ENDPOINTS_MAX 4096
#define PMZ__TURNS_MAX 16384 /* in a cycle of the round robin */
#define PMZ__WEIGHT_MAX 0xffffffu
#define PMZ__NONE UINT64_MAX

/* Who: generation << 16 | number. It tells an endpoint from the 255 that had its
 * number before. A pick that is out keeps the number, so this is for those who
 * are about to pick or to judge. */
#define PMZ__WHO ((uint64_t)0xffffff)
#define PMZ__WHO_GENERATION_SHIFT 16

static inline uint64_t pmz__number(uint64_t who)
{
	return who & 0xffff;
}

/* A member of a roster: weight << 24 | who. */
#define PMZ__WEIGHT_SHIFT 24

/* Weights are compared in parts, so that one that is ramped up is not rounded
 * to nothing. */
#define PMZ__WEIGHT_PARTS 1000

static inline uint64_t pmz__full_weight(uint64_t entry)
{
	return (entry >> PMZ__WEIGHT_SHIFT) * PMZ__WEIGHT_PARTS;
}

/* A load: picks << 32 | generation << 24 | in flight. */
#define PMZ__PICKED ((uint64_t)1 << 32)
#define PMZ__LOAD_GENERATION_SHIFT 24
#define PMZ__IN_FLIGHT ((uint64_t)0xffffff)

static inline uint64_t pmz__generation(uint64_t load)
{
	return load >> PMZ__LOAD_GENERATION_SHIFT & 0xff;
}

static inline int pmz__is_of(uint64_t load, uint64_t who)
{
	return pmz__generation(load) ==
	       (who & PMZ__WHO) >> PMZ__WHO_GENERATION_SHIFT;
}

static inline uint64_t pmz__who(uint64_t number, uint64_t load)
{
	return pmz__generation(load) << PMZ__WHO_GENERATION_SHIFT | number;
}

/* What is kept of an endpoint, in a word that says of whom it is: generation <<
 * 56 | count. */
#define PMZ__KEPT_SHIFT 56

static inline uint64_t pmz__tag(uint64_t who)
{
	return (who & PMZ__WHO) >> PMZ__WHO_GENERATION_SHIFT << PMZ__KEPT_SHIFT;
}

/* 0 of another. */
static inline uint64_t pmz__kept(const pmz__a64 *word, uint64_t who)
{
	/* Relaxed: what comes before a tag is for others. */
	uint64_t count = pmz__load(word, PMZ__RELAXED) ^ pmz__tag(who);

	return count >> PMZ__KEPT_SHIFT ? 0 : count;
}

/* A gate: not before this instant is the endpoint as good as any. With the bit
 * set, a prober has found it unhealthy. */
#define PMZ__UNHEALTHY ((uint64_t)1 << 63)

/* Response times by their logarithm, four to an octave, from 256 ns on. */
#define PMZ__TIMES 128

typedef struct pmz__average {
	pmz__a64 value; /* ns << 24; 0: nothing is known */
	pmz__a64 at;
} pmz__average;

typedef enum pmz__standing {
	PMZ__ABSENT = 0,
	PMZ__MEMBER = 1,
	PMZ__LEAVING = 2 /* its calls are still out */
} pmz__standing;

typedef struct pmz__endpoint {
	/* Written when a call ends badly. */
	PMZ__ALIGNED pmz__a64 failures;
	pmz__a64 ignored;
	pmz__a64 streak; /* failures in a row */
	pmz__a64 laps;   /* of the load's count of picks */
	pmz__a64 undone; /* picks */

	/* Its rests; eject.c says how they hang together. */
	pmz__a64 until;
	pmz__a64 place;
	pmz__a64 level;
	pmz__a64 ejections; /* with a tag */
	pmz__a64 begun;     /* as a member, or in health */

	pmz__a64 weight;
	pmz__a64 standing;
	char *name; /* of the writer */

	/* What intervals that are over had, with tags. */
	pmz__a64 calls_then, failures_then;
	/* What the last one came to. */
	pmz__a64 calls_last, failures_last, slot_last;
	pmz__a64 gathered; /* of whom that is: who + 1 */

	PMZ__ALIGNED pmz__a32 times[PMZ__TIMES];
	pmz__a32 times_then[PMZ__TIMES];
} pmz__endpoint;

/* Those that have a weight. There are two copies; members.c says why. */
typedef struct pmz__roster {
	pmz__a64 count;
	pmz__a64 weight;  /* of all */
	pmz__a64 even;    /* 1: they all have the same weight */
	pmz__a64 benches; /* how many may be ejected */
	pmz__a64 cycle;   /* of the turns */
	pmz__a64 *entries;
	pmz__a64 *starts; /* sums of the weights before each; or NULL */
	pmz__a32 *turns;  /* PMZ_ROUND_ROBIN: whose turn it is; or NULL */
} pmz__roster;

/* Of a member in the turns of a cycle. */
typedef struct pmz__share {
	uint64_t turns;
	int64_t credit;
} pmz__share;

/* A ring, and whose number each of its nodes is. */
typedef struct pmz__table {
	PMZ__ALIGNED pmz__a64 left; /* how many pickers went out of it */
	uint64_t entered;           /* .. of how many, once it is replaced */
	pmz_ring *ring;             /* NULL: nobody has a weight */
	uint64_t *entries;
	uint64_t count, weight;
} pmz__table;

/* What a writer is about to do: the weight of one endpoint. */
typedef struct pmz__change {
	uint32_t number;
	uint32_t weight;
	const char *name;
} pmz__change;

#define PMZ__TABLES 8
#define PMZ__TABLE_SHIFT 56
#define PMZ__ENTERED (((uint64_t)1 << PMZ__TABLE_SHIFT) - 1)

/* What is off stands at PMZ_NEVER. */
typedef struct pmz__balance_rules {
	uint64_t strategy;
	uint64_t endpoints_max;
	uint64_t panic_pct;
	uint64_t half_life_inverse; /* 2^64 / ewma_ns */
	uint64_t slow_start_ns;     /* 0 for none */
	uint64_t interval_ns;
	uint64_t base_ns;
	uint64_t most_ns;
	uint64_t consecutive;
	uint64_t eject_max_pct;
	uint64_t failure_pct;
	uint64_t sigma_pct;
	uint64_t slow_pct;
	uint64_t calls_min;
	uint64_t load_bound_pct;
	uint64_t seed; /* 0: from the first pick */
} pmz__balance_rules;

struct pmz_balance {
	/* Read by every call, written when something changes. */
	PMZ__ALIGNED pmz__a64 turn;
	pmz__a64 calm; /* not before this instant is every gate open */
	pmz__a64 look; /* when the detector's interval ends; 0: not begun */
	pmz__a64 recovering;
	pmz__a64 seed;
	pmz__balance_rules rules;
	pmz__roster rosters[2]; /* in force: the one whose turn it is */
	pmz__a64 *loads;
	pmz__a64 *gates;
	pmz__average *averages;
	pmz__endpoint *endpoints;
	pmz__a64 *benches;

	/* How many are out. It holds for one value of changes, for a time. */
	PMZ__ALIGNED pmz__a64 changes;
	pmz__a64 healthy; /* changes << 32 | how many */
	pmz__a64 healthy_until;

	pmz__a64 looking; /* since when; 0: nobody is */
	pmz__a32 writing; /* 1 while members change */
	uint32_t spare;
	pmz__share *shares; /* of the writer, while it deals out the turns */

	/* Each is written by every pick of some strategy. */
	PMZ__ALIGNED pmz__a64 draws;
	PMZ__ALIGNED pmz__a64 tickets;
	PMZ__ALIGNED pmz__a64 charged;
	PMZ__ALIGNED pmz__a64 table; /* number << 56 | pickers that entered */
	pmz__table tables[PMZ__TABLES];
};

/* One pick, and what it has found out so far. */
typedef struct pmz__view {
	pmz_balance *b;
	const pmz__roster *roster;
	uint64_t turn;
	uint64_t count;
	pmz_ns now;
	const uint32_t *avoid;
	uint64_t avoid_count;
	uint64_t hash;
	uint64_t random; /* 0: nothing was drawn yet */
	int has_hash;
	int calm;   /* everyone is as good as any */
	int judged; /* whether blind is known */
	int blind;  /* health does not matter: panic */
} pmz__view;

/* Acquire: pairs with the release of put_in_force(). */
#define PMZ__OF_ROSTER(roster, field) pmz__load(&(roster)->field, PMZ__ACQUIRE)

static inline void pmz__look_at_roster(pmz__view *v)
{
	v->turn = pmz__load(&v->b->turn, PMZ__ACQUIRE);
	v->roster = &v->b->rosters[v->turn & 1];
	v->count = PMZ__OF_ROSTER(v->roster, count);
}

/* What was read of the roster is whole. */
static inline int pmz__roster_stands(const pmz__view *v)
{
	return pmz__load(&v->b->turn, PMZ__ACQUIRE) == v->turn;
}

static inline uint64_t pmz__entry(const pmz__view *v, uint64_t i)
{
	return pmz__load(&v->roster->entries[i], PMZ__ACQUIRE);
}

static inline int pmz__is_member(const pmz_balance *b, uint64_t number)
{
	/* Acquire: pairs with the release in members.c. */
	return number < b->rules.endpoints_max &&
	       pmz__load(&b->endpoints[number].standing, PMZ__ACQUIRE) ==
	               PMZ__MEMBER;
}

/* Where the gate of one who is back at an instant stands. */
static inline pmz_ns pmz__gate_at(const pmz_balance *b, pmz_ns back)
{
	return pmz__min(pmz__sat_add(back, b->rules.slow_start_ns),
	                PMZ__UNHEALTHY - 1);
}

/* Gates reach no further: one that stands there never opens by time. */
static inline pmz_ns pmz__gate_now(pmz_ns now)
{
	return pmz__min(now, PMZ__UNHEALTHY - 2);
}

static inline void pmz__view_open(pmz__view *v, pmz_balance *b, pmz_ns now)
{
	v->b = b;
	v->now = now;
	v->avoid = NULL;
	v->avoid_count = v->hash = v->random = 0;
	v->has_hash = v->judged = v->blind = 0;
	/* Relaxed: as for a gate. */
	v->calm = pmz__gate_now(now) >= pmz__load(&b->calm, PMZ__RELAXED);
	pmz__look_at_roster(v);
}

/* balance.c */
uint64_t pmz__balance_seed(pmz_balance *b, pmz_ns now);
uint64_t pmz__view_draw(pmz__view *v);
/* Takes a pick back without a trace, before its call was begun. */
void pmz__balance_undo(pmz_balance *b, pmz_pick *pick);

/* pick.c: who gets the call, on whose load it then is; or PMZ__NONE. */
uint64_t pmz__choose(pmz__view *v);

/* members.c: how it will be, once a change is done. */
uint64_t pmz__weight_after(const pmz_balance *b, const pmz__change *c,
                           uint64_t number);
uint64_t pmz__entry_after(const pmz_balance *b, const pmz__change *c,
                          uint64_t number);

static inline uint64_t pmz__weight_at(const pmz__roster *r, uint64_t i)
{
	/* Relaxed: of a writer. */
	return pmz__load(&r->entries[i], PMZ__RELAXED) >> PMZ__WEIGHT_SHIFT;
}

/* turns.c */
void pmz__turns_deal(pmz_balance *b, pmz__roster *r, uint64_t count,
                     uint64_t weight);

/* tables.c: a table of how it will be, of which nobody knows yet. PMZ_E_STATE
 * if pickers that stopped half-way hold all others. */
int pmz__table_make(pmz_balance *b, const pmz__change *c, uint64_t *out);
void pmz__table_publish(pmz_balance *b, uint64_t table);
void pmz__table_free(pmz__table *t);

/* average.c: what settles learn of response times. */
void pmz__average_add(pmz_balance *b, uint64_t number, pmz_ns took, pmz_ns now,
                      int failed);
pmz_ns pmz__average_now(const pmz_balance *b, uint64_t number, pmz_ns now);
void pmz__times_add(pmz__endpoint *e, pmz_ns took);
/* The slot of the 95th percentile since the interval began, from 1; 0: none. */
uint32_t pmz__times_p95(const pmz__endpoint *e, uint64_t *calls);
pmz_ns pmz__slot_ns(uint32_t slot);

/* eject.c: rests. */
int pmz__is_ejected(const pmz_balance *b, uint64_t number, uint64_t benches,
                    pmz_ns now);
int pmz__eject(pmz_balance *b, uint64_t who, pmz_ns now);
void pmz__reinstate(pmz_balance *b, uint64_t number, pmz_ns now);
/* Those whose places are gone, since the roster has become smaller. */
void pmz__benches_clear(pmz_balance *b, pmz_ns now);

/* health.c: gates, what a member's weight is now, in parts, and who is out. */
/* To the latest gate there is. */
void pmz__calm_lower(pmz_balance *b);
void pmz__gate_raise(pmz_balance *b, uint64_t number, pmz_ns until);
uint64_t pmz__weight_now(pmz__view *v, uint64_t entry);
int pmz__admits(pmz__view *v);
void pmz__note_change(pmz_balance *b);
uint64_t pmz__survey(pmz__view *v); /* how many are in health */

static inline uint64_t pmz__weight_of(pmz__view *v, uint64_t entry)
{
	const pmz__a64 *gate = &v->b->gates[pmz__number(entry)];

	/* Relaxed: an instant earlier the pick would have missed it as well. */
	if (PMZ__LIKELY(v->calm) ||
	    pmz__gate_now(v->now) >= pmz__load(gate, PMZ__RELAXED))
		return pmz__full_weight(entry);
	return pmz__weight_now(v, entry);
}

/* detect.c: the look at the whole set, when an interval is over. */
void pmz__look(pmz_balance *b, pmz_ns now);
uint64_t pmz__calls_of(const pmz_balance *b, uint64_t number);

#endif
