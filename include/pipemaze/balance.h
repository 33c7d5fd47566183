/*
 * balance.h - which endpoint gets this call, and which have earned a rest.
 *
 *   pmz_pick pick;
 *   if (pmz_balance_pick(b, NULL, now, &pick) == PMZ_OK) {
 *       pmz_outcome how = attempt_at(pick.endpoint);
 *       pmz_balance_settle(b, &pick, how, pmz_now());
 *   }
 *
 * An endpoint that fails, or is slow beside the others, is ejected for a time
 * that grows, never more than eject_max_pct of them, never the last. It comes
 * back by itself, with its slow start. SUCCESS, FAILURE and FATAL are counted;
 * IGNORE and AGAIN only say that the call is over. Endpoints keep their number
 * as others come and go.
 *
 * Where fewer than panic_pct are in health, health is ignored: the few could
 * not bear what all bore. After an outage of all, the first ones back are
 * spared instead: with half as many in health as panic_pct asks for (50, where
 * it is OFF), half of the calls are admitted, to those only, and the others
 * refused.
 *
 * Nothing here blocks or reads a clock; only _new, _add, and by key _weight and
 * _remove, allocate.
 * Threads: any may pick and settle while another adds, removes or re-weights;
 * _free needs the balancer to itself.
 * Fork: in a child the copy counts the parent's calls for ever, and refuses
 * changes with PMZ_E_STATE if one was under way: make another there.
 */
#ifndef PIPEMAZE_BALANCE_H
#define PIPEMAZE_BALANCE_H

#include <pipemaze/base.h>

PMZ_BEGIN_DECLS

typedef struct pmz_balance pmz_balance;

typedef enum pmz_strategy {
	PMZ_LEAST = 1,       /* requests in flight, by weight: of all up to 16,
	                      * else the better of two; equals at random */
	PMZ_EWMA = 2,        /* response time, peak-sensitive, times in flight:
	                      * the better of two */
	PMZ_ROUND_ROBIN = 3, /* smooth, by weight: exact over each cycle, which
	                      * is the sum of the weights over what divides
	                      * them all; of thousands of turns, nearly so */
	PMZ_RANDOM = 4,      /* by weight */
	PMZ_BY_KEY = 5,      /* native ring, with bounded load: who has too much
	                      * passes the key on to the next */
	PMZ_MAGLEV_KEY = 6   /* quicker; a change moves a few keys more */
} pmz_strategy;

/* A field left 0 takes the default shown. */
typedef struct pmz_balance_config {
	uint32_t size;              /* sizeof(pmz_balance_config) */
	uint32_t strategy;          /* PMZ_LEAST */
	uint32_t endpoints_max;     /* 64     up to 4096 */
	uint32_t panic_pct;         /* 50     fewer in health: ignore health;
	                             *        1..100 or OFF */
	pmz_ns ewma_ns;             /* 10 s   half of the past weighs so far
	                             *        back */
	pmz_ns slow_start_ns;       /* none   ramp of a new or returned one,
	                             *        from a tenth of its weight on */
	pmz_ns eject_interval_ns;   /* 30 s   between looks at the set */
	pmz_ns eject_base_ns;       /* 30 s   times how often in a row, up to
	                             *        10 % more; each interval in
	                             *        health takes one away */
	pmz_ns eject_most_ns;       /* 300 s  never more, and there up to 10 %
	                             *        less; eject_base_ns if that is
	                             *        above */
	uint32_t eject_consecutive; /* 5      failures in a row; OFF */
	uint32_t eject_max_pct;     /* 50     of the set, 1..100, rounded down;
	                             *        OFF: nobody is ejected */
	uint32_t eject_failure_pct; /* never  share in an interval, 1..100 */
	uint32_t eject_sigma_pct;   /* 190    success rate so many sigmas below
	                             *        the mean of 5 or more; OFF */
	uint32_t eject_slow_pct;    /* never  p95 above this much of the median
	                             *        of 3 or more; over 100 */
	uint32_t eject_calls_min;   /* 100    in an interval, to be judged */
	uint32_t load_bound_pct;    /* 125    of the mean, BY_KEY; 100 at least,
	                             *        or OFF */
	uint32_t reserved;
	uint64_t seed;              /* from the first pick; set it to replay */
} pmz_balance_config;

/* Plain data: store it, send it to another thread, settle it once. */
typedef struct pmz_pick {
	uint64_t opaque[2];
	uint32_t endpoint; /* the number that pmz_balance_add() gave */
	uint32_t reserved;
} pmz_pick;

/* What a pick may take into account; NULL for nothing of it. */
typedef struct pmz_wish {
	uint32_t size;         /* sizeof(pmz_wish) */
	uint32_t avoid_count;  /* endpoints tried before, */
	const uint32_t *avoid; /* .. passed over while another is there */
	PMZ_POINTER_PAD(reserved)
	uint64_t hash;         /* of the key, BY_KEY; any, without a wish */
} pmz_wish;

/* cfg may be NULL: all defaults. PMZ_E_CONFIG names the first bad field in *why
 * (may be NULL); PMZ_E_NOMEM. */
PMZ_API PMZ_MUST_USE int pmz_balance_new(pmz_balance **out,
                                         const pmz_balance_config *cfg,
                                         pmz_why *why);
PMZ_API void pmz_balance_free(pmz_balance *b); /* NULL is fine */

/* Copies the name, of 255 bytes at most, by which the ring places its keys.
 * Weights go up to 2^24 - 1; by key, 104857 in all. *endpoint (may be NULL) is
 * a number below endpoints_max that nobody has: a new one, or that of one who
 * is gone and has no call out. Else nothing changes: PMZ_E_CONFIG for a name
 * that is none or is there already, or a weight beyond that; PMZ_E_STATE if no
 * number is left; PMZ_E_NOMEM.
 *
 * Of two writers at a time one waits for the other, or gives up after some 10
 * ms, with PMZ_E_STATE. */
PMZ_API PMZ_MUST_USE int pmz_balance_add(pmz_balance *b, const char *name,
                                         uint32_t weight, pmz_ns now,
                                         uint32_t *endpoint);
/* Its calls may still be settled; its number stays its own until they are.
 * PMZ_E_STATE: there is no such endpoint; as for all that follow. */
PMZ_API int pmz_balance_remove(pmz_balance *b, uint32_t endpoint, pmz_ns now);
/* 0 drains: it keeps what it has and, once the picks under way are over, gets
 * nothing new. */
PMZ_API int pmz_balance_weight(pmz_balance *b, uint32_t endpoint,
                               uint32_t weight, pmz_ns now);
/* What a prober says of it; unhealthy ones are passed over, panic apart. */
PMZ_API int pmz_balance_health(pmz_balance *b, uint32_t endpoint, int healthy,
                               pmz_ns now);

/* PMZ_OK, or PMZ_REFUSED_EMPTY: none is left, even in panic. */
PMZ_API PMZ_MUST_USE int pmz_balance_pick(pmz_balance *b, const pmz_wish *wish,
                                          pmz_ns now, pmz_pick *pick);
/* How the call ended; empties the pick, but for its endpoint. PMZ_E_STATE, and
 * nothing changes, if it was empty or settled before, or `how` is none. */
PMZ_API int pmz_balance_settle(pmz_balance *b, pmz_pick *pick, pmz_outcome how,
                               pmz_ns now);

/* p95_ns is within an eighth from 1 us on, and that of the interval before,
 * until this one has eject_calls_min. */
typedef struct pmz_endpoint_stats {
	uint32_t size; /* set by the caller */
	uint32_t in_flight, weight, ejections;
	uint64_t picks, failures;
	pmz_ns ewma_ns, p95_ns; /* 0: nothing is known */
	pmz_ns ejected_until;   /* 0: it is not */
	uint32_t healthy;       /* neither ejected nor found unhealthy */
	uint32_t reserved;
} pmz_endpoint_stats;

PMZ_API int pmz_balance_read(const pmz_balance *b, uint32_t endpoint,
                             pmz_ns now, pmz_endpoint_stats *out);

/* Whether a key belongs to the part, in parts per million, that tries something
 * new. It always says the same of a key, and a part that grows keeps who is in
 * it. Trials with different salts (the hash of a name, say) part the keys each
 * in its own way. */
PMZ_API int pmz_canary(uint64_t hash, uint64_t salt, uint32_t ppm);

PMZ_END_DECLS
#endif /* PIPEMAZE_BALANCE_H */
