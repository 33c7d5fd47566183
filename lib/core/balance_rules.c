/*
 * balance_rules.c - reading a config, and making a balancer of it.
 */
#include <string.h>

#include "base/alloc.h"
#include "base/config.h"
#include "core/balance.h"

#define STRATEGY PMZ_LEAST
#define ENDPOINTS 64
#define PANIC_PCT 50
#define HALF_LIFE PMZ_S(10)
#define INTERVAL PMZ_S(30)
#define BASE PMZ_S(30)
#define MOST PMZ_S(300)
#define CONSECUTIVE 5
#define EJECT_MAX_PCT 50
#define SIGMA_PCT 190
#define CALLS_MIN 100
#define LOAD_BOUND_PCT 125

#define SIGMA_PCT_MAX 10000
#define LOAD_BOUND_PCT_MAX 1000000

static uint64_t or_never(uint32_t value, uint32_t otherwise)
{
	value = pmz__or(value, otherwise);
	return value == PMZ_OFF ? PMZ_NEVER : value;
}

static int check_pct(uint64_t value, const char *field, pmz_why *why)
{
	if (value == PMZ_NEVER || (value >= 1 && value <= 100))
		return PMZ_OK;
	return pmz__bad(why, field, "%s is %u, not 1..100 or off", field,
	                (unsigned)value);
}

static int check_rest(const pmz__balance_rules *r, pmz_why *why)
{
	if (r->sigma_pct != PMZ_NEVER && r->sigma_pct > SIGMA_PCT_MAX)
		return pmz__bad(why, "eject_sigma_pct",
		                "eject_sigma_pct is %u, at most %u or off",
		                (unsigned)r->sigma_pct, SIGMA_PCT_MAX);
	if (r->slow_pct <= 100)
		return pmz__bad(why, "eject_slow_pct",
		                "eject_slow_pct is %u, not above 100",
		                (unsigned)r->slow_pct);
	if (r->load_bound_pct != PMZ_NEVER &&
	    (r->load_bound_pct < 100 || r->load_bound_pct > LOAD_BOUND_PCT_MAX))
		return pmz__bad(why, "load_bound_pct",
		                "load_bound_pct is %u, not 100..%u or off",
		                (unsigned)r->load_bound_pct,
		                LOAD_BOUND_PCT_MAX);
	if (r->most_ns < r->base_ns)
		return pmz__bad(why, "eject_most_ns",
		                "eject_most_ns is below eject_base_ns");
	return PMZ_OK;
}

static int check(const pmz__balance_rules *r, pmz_why *why)
{
	int status = PMZ_OK;

	if (r->strategy > PMZ_MAGLEV_KEY)
		return pmz__bad(why, "strategy", "strategy is %u, not 1..%u",
		                (unsigned)r->strategy, PMZ_MAGLEV_KEY);
	if (r->endpoints_max > PMZ__ENDPOINTS_MAX)
		return pmz__bad(why, "endpoints_max",
		                "endpoints_max is %u, at most %u",
		                (unsigned)r->endpoints_max, PMZ__ENDPOINTS_MAX);
	status = check_pct(r->panic_pct, "panic_pct", why);
	if (!status)
		status = check_pct(r->eject_max_pct, "eject_max_pct", why);
	if (!status)
		status = check_pct(r->failure_pct, "eject_failure_pct", why);
	return status ? status : check_rest(r, why);
}

static int read_rules(pmz__balance_rules *r, const pmz_balance_config *cfg,
                      pmz_why *why)
{
	pmz_balance_config c;
	int status = pmz__config_read(&c, sizeof(c), cfg, why);

	if (status)
		return status;
	if (c.reserved)
		return pmz__bad(why, "reserved", "reserved is not 0");
	memset(r, 0, sizeof(*r));
	r->strategy = pmz__or(c.strategy, STRATEGY);
	r->endpoints_max = pmz__or(c.endpoints_max, ENDPOINTS);
	r->panic_pct = or_never(c.panic_pct, PANIC_PCT);
	r->half_life_inverse = UINT64_MAX / pmz__or_ns(c.ewma_ns, HALF_LIFE);
	r->slow_start_ns = c.slow_start_ns == PMZ_NEVER ? 0 : c.slow_start_ns;
	r->interval_ns = pmz__or_ns(c.eject_interval_ns, INTERVAL);
	r->base_ns = pmz__or_ns(c.eject_base_ns, BASE);
	r->most_ns = pmz__or_ns(c.eject_most_ns, pmz__max(MOST, r->base_ns));
	r->consecutive = or_never(c.eject_consecutive, CONSECUTIVE);
	r->eject_max_pct = or_never(c.eject_max_pct, EJECT_MAX_PCT);
	r->failure_pct = or_never(c.eject_failure_pct, PMZ_OFF);
	r->sigma_pct = or_never(c.eject_sigma_pct, SIGMA_PCT);
	r->slow_pct = or_never(c.eject_slow_pct, PMZ_OFF);
	r->calls_min = pmz__or(c.eject_calls_min, CALLS_MIN);
	r->load_bound_pct = or_never(c.load_bound_pct, LOAD_BOUND_PCT);
	r->seed = c.seed;
	return check(r, why);
}

/* The next `count` things of a size in the balancer's one block, on lines of
 * their own; only counts the bytes while there is no block. */
static void *carve(char *block, size_t *at, uint64_t count, size_t size)
{
	char *here = block ? block + *at : NULL;

	*at += (size_t)count * size + PMZ__CACHE_LINE - 1;
	*at -= *at % PMZ__CACHE_LINE;
	return here;
}

static void carve_roster(char *block, size_t *at, const pmz__balance_rules *r,
                         pmz__roster *roster)
{
	uint64_t max = r->endpoints_max;

	roster->entries = (pmz__a64 *)carve(block, at, max, sizeof(pmz__a64));
	if (r->strategy < PMZ_BY_KEY && r->strategy != PMZ_ROUND_ROBIN)
		roster->starts =
			(pmz__a64 *)carve(block, at, max, sizeof(pmz__a64));
	if (r->strategy == PMZ_ROUND_ROBIN)
		roster->turns = (pmz__a32 *)carve(block, at, PMZ__TURNS_MAX,
		                                  sizeof(pmz__a32));
}

/* Lays the balancer out in a block, or in none; returns how long it is. */
static size_t lay_out(pmz_balance *b, char *block, const pmz__balance_rules *r)
{
	uint64_t max = r->endpoints_max;
	size_t at = 0;

	carve(block, &at, 1, sizeof(*b));
	b->loads = (pmz__a64 *)carve(block, &at, max, sizeof(pmz__a64));
	b->gates = (pmz__a64 *)carve(block, &at, max, sizeof(pmz__a64));
	b->averages =
		(pmz__average *)carve(block, &at, max, sizeof(pmz__average));
	b->endpoints =
		(pmz__endpoint *)carve(block, &at, max, sizeof(pmz__endpoint));
	b->benches = (pmz__a64 *)carve(block, &at, max, sizeof(pmz__a64));
	carve_roster(block, &at, r, &b->rosters[0]);
	carve_roster(block, &at, r, &b->rosters[1]);
	if (r->strategy == PMZ_ROUND_ROBIN)
		b->shares = (pmz__share *)carve(block, &at, max,
		                                sizeof(pmz__share));
	return at;
}

int pmz_balance_new(pmz_balance **out, const pmz_balance_config *cfg,
                    pmz_why *why)
{
	pmz__balance_rules rules;
	pmz_balance plan, *b;
	int status;

	PMZ__ASSERT(out);
	*out = NULL;
	status = read_rules(&rules, cfg, why);
	if (status)
		return status;
	b = (pmz_balance *)pmz__alloc(lay_out(&plan, NULL, &rules));
	if (!b)
		return pmz__why(why, PMZ_E_NOMEM);
	lay_out(b, (char *)b, &rules);
	b->rules = rules;
	b->seed.word = rules.seed;
	*out = b;
	return PMZ_OK;
}

void pmz_balance_free(pmz_balance *b)
{
	uint64_t i;

	if (!b)
		return;
	for (i = 0; i < b->rules.endpoints_max; i++)
		pmz__free(b->endpoints[i].name);
	for (i = 0; i < PMZ__TABLES; i++)
		pmz__table_free(&b->tables[i]);
	pmz__free(b);
}
