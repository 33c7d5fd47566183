/*
 * pipe.h - what a pipe holds, and how its calls read it while it changes.
 */
#ifndef PMZ_LIB_CORE_PIPE_H
#define PMZ_LIB_CORE_PIPE_H

#include <pipemaze/pipe.h>

#include "base/assert.h"
#include "base/atomic.h"
#include "core/backoff.h"
#include "core/bucket.h"

/* What guards an attempt; what is off is NULL. */
typedef struct pmz__guards {
	pmz_breaker *breaker;
	pmz_bulkhead *bulkhead;
	pmz_bucket *bucket;
	pmz_budget *budget;
	pmz_balance *balance;
	pmz__rate rate;
} pmz__guards;

/* All that is in force. A pipe with one try keeps in `tries` how it asks a full
 * bulkhead again. */
typedef struct pmz__rules {
	pmz__guards guards;
	pmz__tries tries;
	pmz_ns try_ns;   /* PMZ_NEVER for none */
	pmz_ns total_ns; /* likewise */
	pmz_ns wait_max_ns;
} pmz__rules;

/* The same, word by word. */
typedef struct pmz__rule_words {
	pmz__a64 breaker, bulkhead, bucket, budget, balance;
	struct {
		pmz__a64 interval, inverse, burst, depth;
	} rate;
	struct {
		pmz__a64 base_ns, max_ns, floor_ns, attempt_min_ns;
		pmz__a64 hint_max_ns;
		pmz__a64 form; /* tries_max << 32 | factor << 16 | jitter */
	} tries;
	pmz__a64 try_ns, total_ns, wait_max_ns;
} pmz__rule_words;

struct pmz_pipe {
	pmz__a64 turn;
	pmz__rule_words words[2]; /* in force: the one whose turn it is */
	pmz__a64 seeds;           /* how many were given out */
	pmz__a32 reload;          /* 1 while one is under way */
	uint32_t mode;            /* of the breaker, as the last line had it */
	int shares;               /* whether its config brought something */
	pmz__rules base; /* borrowed guards, and what holds without a stage */
	pmz__guards own; /* made once, kept while they are switched off */
	pmz_rate rate;   /* of own.bucket */
	pmz_balance_config balance; /* of own.balance */
	pmz_bucket bucket;
};

/* Acquire: pairs with the release in put_in_force(). */
#define PMZ__READ(words, field) pmz__load(&(words)->field, PMZ__ACQUIRE)

static inline void pmz__read_guards(const pmz__rule_words *words,
                                    pmz__guards *g)
{
	g->breaker = (pmz_breaker *)(uintptr_t)PMZ__READ(words, breaker);
	g->bulkhead = (pmz_bulkhead *)(uintptr_t)PMZ__READ(words, bulkhead);
	g->bucket = (pmz_bucket *)(uintptr_t)PMZ__READ(words, bucket);
	g->budget = (pmz_budget *)(uintptr_t)PMZ__READ(words, budget);
	g->balance = (pmz_balance *)(uintptr_t)PMZ__READ(words, balance);
	g->rate.interval = PMZ__READ(words, rate.interval);
	g->rate.inverse = PMZ__READ(words, rate.inverse);
	g->rate.burst = PMZ__READ(words, rate.burst);
	g->rate.depth = PMZ__READ(words, rate.depth);
}

static inline void pmz__read_tries(const pmz__rule_words *words, pmz__tries *t)
{
	uint64_t form;

	t->base_ns = PMZ__READ(words, tries.base_ns);
	t->max_ns = PMZ__READ(words, tries.max_ns);
	t->floor_ns = PMZ__READ(words, tries.floor_ns);
	t->attempt_min_ns = PMZ__READ(words, tries.attempt_min_ns);
	t->hint_max_ns = PMZ__READ(words, tries.hint_max_ns);
	form = PMZ__READ(words, tries.form);
	t->tries_max = (uint32_t)(form >> 32);
	t->factor_pct = (uint16_t)(form >> 16);
	t->jitter = (uint16_t)form;
}

static inline uint64_t pmz__turn(const pmz_pipe *p)
{
	return pmz__load(&p->turn, PMZ__ACQUIRE);
}

/* What guards the next attempt. */
static inline void pmz__guards_read(const pmz_pipe *p, pmz__guards *g)
{
	uint64_t turn;

	do {
		turn = pmz__turn(p);
		pmz__read_guards(&p->words[turn & 1], g);
	} while (PMZ__UNLIKELY(pmz__turn(p) != turn));
}

static inline void pmz__rules_read(const pmz_pipe *p, pmz__guards *g,
                                   pmz__tries *tries, pmz_ns *try_ns,
                                   pmz_ns *total_ns, pmz_ns *wait_max_ns)
{
	uint64_t turn;

	do {
		const pmz__rule_words *words;

		turn = pmz__turn(p);
		words = &p->words[turn & 1];
		pmz__read_guards(words, g);
		pmz__read_tries(words, tries);
		*try_ns = PMZ__READ(words, try_ns);
		*total_ns = PMZ__READ(words, total_ns);
		*wait_max_ns = PMZ__READ(words, wait_max_ns);
	} while (PMZ__UNLIKELY(pmz__turn(p) != turn));
}

/* For the waits of one call. */
uint64_t pmz__pipe_seed(pmz_pipe *p, pmz_ns now);

#endif
