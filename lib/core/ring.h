/*
 * ring.h - what the parts of a ring know of each other.
 *
 * A layout has one of four shapes: points on a circle of hashes, each of which
 * has the keys up to it from the point before; a table of slots; shards that
 * are numbered; or a score of each node for each key. A plan is what the caller
 * asked for, checked, and it lasts as long as the building does.
 */
#ifndef PMZ_LIB_CORE_RING_H
#define PMZ_LIB_CORE_RING_H

#include <pipemaze/ring.h>

#include "base/assert.h"
#include "base/atomic.h"
#include "base/config.h"
#include "base/wide.h"

/* No ring has more nodes, points or slots: a node's number fits in the bits of
 * a point that are not its hash. */
#define PMZ__RING_BITS 24
#define PMZ__RING_MAX ((uint32_t)1 << PMZ__RING_BITS)

/* So that the nodes tried are the bits of a word. */
#define PMZ__SCORES_MAX 64

#define PMZ__NO_NODE UINT32_MAX

typedef enum pmz__shape {
	PMZ__CIRCLE,
	PMZ__SLOTS,
	PMZ__SHARDS,
	PMZ__SCORES
} pmz__shape;

typedef struct pmz__plan {
	pmz_ring_config cfg; /* with its defaults */
	const pmz_node *nodes;
	uint32_t count;
	uint32_t usable; /* nodes that have a weight */
	uint32_t *order; /* these, as their layout takes them */
	uint64_t weight; /* of all; fits into 32 bits */
	uint32_t lightest, heaviest;
} pmz__plan;

/* What of a node's name is hashed. */
typedef struct pmz__label {
	const char *bytes;
	size_t len;
} pmz__label;

int pmz__plan_make(pmz__plan *plan, const pmz_ring_config *cfg,
                   const pmz_node *nodes, size_t count, pmz_why *why);
void pmz__plan_free(pmz__plan *plan);
pmz__label pmz__plan_label(const pmz__plan *plan, uint32_t node);

/* How many points each of plan->order has; PMZ_E_CONFIG if these are too many
 * in all. */
int pmz__points_count(const pmz__plan *plan, uint32_t *counts, pmz_why *why);
/* The points of one node, as the layout's hash of a key is. */
void pmz__points_fill(const pmz__plan *plan, uint32_t node, uint64_t *hashes,
                      uint32_t count);

typedef struct pmz__circle {
	uint64_t *points;    /* in order, and the first again beyond the last */
	uint32_t *directory; /* by a hash's top bits: the first point there */
	uint64_t mask;       /* the bits of a point that are its hash; unless */
	uint32_t *owners;    /* .. there are these, the others are its owner */
	uint32_t shift, lift;
	uint32_t count;
	uint32_t spare;
} pmz__circle;

int pmz__circle_make(pmz__circle *c, const pmz__plan *plan, pmz_why *why);
void pmz__circle_free(pmz__circle *c);

static inline uint32_t pmz__circle_owner(const pmz__circle *c, uint32_t at)
{
	return c->owners ? c->owners[at] : (uint32_t)(c->points[at] & ~c->mask);
}

/* The first point at or after a hash; c->count is the first of all again. The
 * first step is taken without a branch, since whether it is needed cannot be
 * guessed: 4 ns instead of 6. The next ones seldom are. */
static inline uint32_t pmz__circle_find(const pmz__circle *c, uint64_t hash)
{
	uint64_t lifted = hash << c->lift, want = lifted & c->mask;
	uint32_t at = c->directory[lifted >> c->shift];

	at += c->points[at] < want;
	while (PMZ__UNLIKELY(c->points[at] < want))
		at++;
	return at;
}

typedef struct pmz__slots {
	uint32_t *owners;
	uint64_t inverse; /* 2^64 / count, for hash % count; 0: hash * count */
	uint32_t count;
	uint32_t spare;
} pmz__slots;

int pmz__slots_make(pmz__slots *s, const pmz__plan *plan, pmz_why *why);
void pmz__slots_free(pmz__slots *s);

/* A node on its way through the slots: it wants `next`, then every skip-th. */
typedef struct pmz__claimant {
	uint32_t node, next, skip, weight;
	int64_t credit;         /* in weights: below 0 it has no turn */
	double share, reserved; /* Envoy's way to say the same */
} pmz__claimant;

/* Fills the slots turn by turn; `exact` counts turns without rounding. */
void pmz__slots_fill(pmz__slots *s, pmz__claimant *claimants, uint32_t count,
                     int exact);

static inline uint32_t pmz__slots_find(const pmz__slots *s, uint64_t hash)
{
	uint64_t rest;

	if (!s->inverse)
		return (uint32_t)pmz__mul_high(hash, s->count);
	rest = hash - pmz__mul_high(hash, s->inverse) * s->count;
	return (uint32_t)(rest < s->count ? rest : rest - s->count);
}

typedef struct pmz__score {
	uint64_t seed;
	uint32_t node, weight;
} pmz__score;

typedef struct pmz__scores {
	pmz__score *list;
	uint32_t count;
	uint32_t spare;
} pmz__scores;

int pmz__scores_make(pmz__scores *s, const pmz__plan *plan, pmz_why *why);
void pmz__scores_free(pmz__scores *s);
/* The best place in the list beside those tried, which are bits. */
uint32_t pmz__scores_best(const pmz__scores *s, uint64_t hash, uint64_t tried);
/* -ln((hash + 1) / 2^64) in parts of 2^-57; hash 0 counts as 1. */
uint64_t pmz__score_cost(uint64_t hash);

typedef struct pmz__member {
	const char *name;
	uint32_t weight;
	pmz__a32 down;
} pmz__member;

/* The counts are of nodes that have a weight. While marks change, either may be
 * too high for a moment, never too low: whoever sees none down or none up can
 * rely on it. */
struct pmz_ring {
	PMZ__ALIGNED uint32_t shape;
	uint32_t layout;
	pmz__a32 downs; /* at least 1 if no node has a weight */
	pmz__a32 ups;
	union {
		pmz__circle circle;
		pmz__slots slots;
		pmz__scores scores;
	} as;
	uint32_t count;
	uint32_t usable;
	uint32_t *order; /* the plan's, handed on */
	pmz__member *members;
	char *names;
};

/* The nodes of a key, best first. The same one may come again, and one that is
 * down does. */
typedef struct pmz__walk {
	const pmz_ring *ring;
	uint64_t hash;
	uint64_t tried; /* scores, as bits; or how many shards */
	uint32_t at;
	uint32_t left; /* steps by the layout; then */
	uint32_t rest; /* .. by number, for who has no place in it */
	uint32_t spare;
} pmz__walk;

pmz__walk pmz__walk_from(const pmz_ring *r, uint64_t hash);
uint32_t pmz__walk_next(pmz__walk *w); /* PMZ__NO_NODE: there are no more */
/* The first that is up: PMZ_OK or PMZ_REFUSED_EMPTY. */
int pmz__walk_find(const pmz_ring *r, uint64_t hash, uint32_t *node);

static inline uint32_t pmz__nodes_up(const pmz_ring *r)
{
	/* Acquire: pairs with the subtraction in pmz_ring_mark(), for the mark
	 * that it follows. */
	return pmz__load(&r->ups, PMZ__ACQUIRE);
}

static inline int pmz__is_down(const pmz_ring *r, uint32_t node)
{
	/* Acquire: pairs with the swap in pmz_ring_mark(), so that who sees a
	 * node go down also sees which were marked up before. */
	return pmz__load(&r->members[node].down, PMZ__ACQUIRE) != 0;
}

#endif
