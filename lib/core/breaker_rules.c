/*
 * breaker_rules.c - a breaker's config: reading it, building by it, changing it.
 */
#include "core/breaker.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/config.h"
#include "core/place.h"

#define WINDOW_NS PMZ_S(10)
#define OPEN_NS PMZ_S(5)
#define OPEN_MAX_NS PMZ_S(60)
#define PROBE_LEASE_NS PMZ_S(10)
#define CALLS_MIN 20
#define FAILURE_PCT 50
#define PROBES_TO_CLOSE 3
#define OPEN_JITTER_PCT 20

static int is_off(uint32_t value)
{
	return value == 0 || value == PMZ_OFF;
}

static int is_pct(uint32_t value)
{
	return value == PMZ_OFF || (value >= 1 && value <= 100);
}

/* What is off counts as never. */
static uint64_t or_never(uint32_t value)
{
	return is_off(value) ? PMZ_NEVER : value;
}

static void fill_defaults(pmz_breaker_config *c)
{
	if (!c->calls_window)
		c->window_ns = pmz__or_ns(c->window_ns, WINDOW_NS);
	if (!c->calls_min)
		c->calls_min = c->calls_window && c->calls_window < CALLS_MIN ?
		                       c->calls_window :
		                       CALLS_MIN;
	c->open_ns = pmz__or_ns(c->open_ns, OPEN_NS);
	if (!c->open_max_ns)
		c->open_max_ns = c->open_ns > OPEN_MAX_NS ? c->open_ns :
		                                            OPEN_MAX_NS;
	c->slow_ns = pmz__or_ns(c->slow_ns, PMZ_NEVER);
	c->probe_lease_ns = pmz__or_ns(c->probe_lease_ns, PROBE_LEASE_NS);
	c->failure_pct = pmz__or(c->failure_pct, FAILURE_PCT);
	c->slow_pct = pmz__or(c->slow_pct, PMZ_OFF);
	c->failures_max = pmz__or(c->failures_max, PMZ_OFF);
	c->consecutive_max = pmz__or(c->consecutive_max, PMZ_OFF);
	c->probes_max = pmz__or(c->probes_max, 1);
	c->probes_to_close = pmz__or(c->probes_to_close, PROBES_TO_CLOSE);
	c->open_jitter_pct = pmz__or(c->open_jitter_pct, OPEN_JITTER_PCT);
}

static int check_window(const pmz_breaker_config *c, pmz_why *why)
{
	if (!c->calls_window && c->window_ns < PMZ__WINDOW_MIN)
		return pmz__bad(why, "window_ns", "window_ns is under 1 ms");
	if (c->calls_window && c->window_ns)
		return pmz__bad(why, "calls_window",
		                "a window is window_ns or calls_window, "
		                "not both");
	if (c->calls_window > PMZ__CALLS_WINDOW_MAX)
		return pmz__bad(why, "calls_window",
		                "calls_window is %u, at most %u",
		                (unsigned)c->calls_window,
		                (unsigned)PMZ__CALLS_WINDOW_MAX);
	if (c->calls_window && c->calls_min > c->calls_window)
		return pmz__bad(why, "calls_min",
		                "calls_min is %u in a window of %u calls",
		                (unsigned)c->calls_min,
		                (unsigned)c->calls_window);
	return PMZ_OK;
}

static int check_trips(const pmz_breaker_config *c, pmz_why *why)
{
	if (!is_pct(c->failure_pct))
		return pmz__bad(why, "failure_pct",
		                "failure_pct is %u, not 1..100 or PMZ_OFF",
		                (unsigned)c->failure_pct);
	if (!is_pct(c->slow_pct))
		return pmz__bad(why, "slow_pct",
		                "slow_pct is %u, not 1..100 or PMZ_OFF",
		                (unsigned)c->slow_pct);
	if (!is_off(c->slow_pct) && c->slow_ns == PMZ_NEVER)
		return pmz__bad(why, "slow_pct",
		                "slow_pct needs slow_ns: what is slow");
	if (c->calls_window && !is_off(c->failures_max) &&
	    c->failures_max > c->calls_window)
		return pmz__bad(why, "failures_max",
		                "failures_max is %u in a window of %u calls",
		                (unsigned)c->failures_max,
		                (unsigned)c->calls_window);
	if (is_off(c->failure_pct) && is_off(c->slow_pct) &&
	    is_off(c->failures_max) && is_off(c->consecutive_max))
		return pmz__bad(why, "failure_pct",
		                "failure_pct is off, and nothing else could "
		                "open the breaker");
	return PMZ_OK;
}

static int check_rest(const pmz_breaker_config *c, pmz_why *why)
{
	if (c->mode > PMZ_DISABLED)
		return pmz__bad(why, "mode", "mode is %u, not a "
		                "pmz_breaker_mode", (unsigned)c->mode);
	if (c->open_max_ns < c->open_ns)
		return pmz__bad(why, "open_max_ns",
		                "open_max_ns is below open_ns");
	if (c->probes_max > PMZ__PROBES)
		return pmz__bad(why, "probes_max",
		                "probes_max is %u, not 1..%u",
		                (unsigned)c->probes_max, PMZ__PROBES);
	if (!is_pct(c->open_jitter_pct))
		return pmz__bad(why, "open_jitter_pct",
		                "open_jitter_pct is %u, not 1..100 or PMZ_OFF",
		                (unsigned)c->open_jitter_pct);
	if (c->reserved)
		return pmz__bad(why, "reserved", "reserved is not 0");
	return PMZ_OK;
}

/* Defaults filled in, all checked. */
static int read_config(pmz_breaker_config *c, const pmz_breaker_config *cfg,
                       pmz_why *why)
{
	int status = pmz__config_read(c, sizeof(*c), cfg, why);

	if (status)
		return status;
	fill_defaults(c);
	status = check_window(c, why);
	if (!status)
		status = check_trips(c, why);
	return status ? status : check_rest(c, why);
}

/* Each rule and its value, for what is to be done with each. */
#define FOR_EACH_RULE(X, rules, c)                                        \
	X(&(rules)->window_ns, (c)->calls_window ? PMZ_NEVER : (c)->window_ns) \
	X(&(rules)->bucket_ns, (c)->calls_window ? PMZ_NEVER :            \
	                               pmz__bucket_of((c)->window_ns))    \
	X(&(rules)->open_ns, (c)->open_ns)                                \
	X(&(rules)->open_max_ns, (c)->open_max_ns)                        \
	X(&(rules)->slow_ns, (c)->slow_ns)                                \
	X(&(rules)->probe_lease_ns, (c)->probe_lease_ns)                  \
	X(&(rules)->calls_window, or_never((c)->calls_window))            \
	X(&(rules)->calls_min, (c)->calls_min)                            \
	X(&(rules)->failure_pct, or_never((c)->failure_pct))              \
	X(&(rules)->slow_pct, or_never((c)->slow_pct))                    \
	X(&(rules)->failures_max, or_never((c)->failures_max))            \
	X(&(rules)->consecutive_max, or_never((c)->consecutive_max))      \
	X(&(rules)->probes_max, (c)->probes_max)                          \
	X(&(rules)->probes_to_close, (c)->probes_to_close)                \
	X(&(rules)->open_jitter_pct, or_never((c)->open_jitter_pct))

static size_t size_of(const pmz_breaker_config *c)
{
	return sizeof(pmz_breaker) + c->calls_window * sizeof(pmz__a32);
}

static uint64_t first_gate(uint32_t mode)
{
	switch (mode) {
	case PMZ_SHADOW:
		return PMZ__EPOCH | PMZ_CLOSED | PMZ__SHADOW_BIT;
	case PMZ_ISOLATED:
		return PMZ__EPOCH | PMZ_OPEN | PMZ__ISOLATED_BIT;
	case PMZ_DISABLED:
		return PMZ__EPOCH | PMZ_CLOSED | PMZ__DISABLED_BIT;
	default:
		return PMZ__EPOCH | PMZ_CLOSED;
	}
}

static void build(pmz_breaker *b, const pmz_breaker_config *c)
{
#define PLACE(word, value) pmz__once(word, value);
	FOR_EACH_RULE(PLACE, &b->rules, c)
#undef PLACE
	if (c->seed)
		pmz__once(&b->seed, c->seed);
	pmz__once(&b->gate, first_gate(c->mode));
}

size_t pmz_breaker_size(const pmz_breaker_config *cfg)
{
	pmz_breaker_config c;

	return read_config(&c, cfg, NULL) ? 0 : size_of(&c);
}

int pmz_breaker_place(pmz_breaker **out, void *mem, size_t len,
                      const pmz_breaker_config *cfg, pmz_why *why)
{
	pmz_breaker_config c;
	int status;

	PMZ__ASSERT(out);
	*out = NULL;
	status = read_config(&c, cfg, why);
	if (status)
		return status;
	/* Equal configs may be written in two ways. */
	c.size = 0;
	c.mode = pmz__or(c.mode, PMZ_ENFORCE);
	status = pmz__place(mem, len, size_of(&c),
	                    pmz__identity("breaker", &c, sizeof(c), size_of(&c)),
	                    why);
	if (status)
		return status;
	*out = (pmz_breaker *)mem;
	build(*out, &c);
	return PMZ_OK;
}

int pmz_breaker_new(pmz_breaker **out, const pmz_breaker_config *cfg,
                    pmz_why *why)
{
	pmz_breaker_config c;
	void *mem;
	int status;

	PMZ__ASSERT(out);
	*out = NULL;
	status = read_config(&c, cfg, why);
	if (status)
		return status;
	mem = pmz__alloc(size_of(&c));
	if (!mem)
		return pmz__why(why, PMZ_E_NOMEM);
	return pmz_breaker_place(out, mem, size_of(&c), cfg, why);
}

void pmz_breaker_free(pmz_breaker *b)
{
	pmz__free(b);
}

/* The config of a live breaker: neither its memory nor what its calls rely on
 * may change. */
static int read_change(const pmz_breaker *b, pmz_breaker_config *c,
                       const pmz_breaker_config *cfg, pmz_why *why)
{
	int status = read_config(c, cfg, why);

	if (status)
		return status;
	if (or_never(c->calls_window) != pmz__rule(&b->rules.calls_window))
		return pmz__bad(why, "calls_window",
		                "calls_window and the kind of window cannot "
		                "change");
	if (c->probes_max != pmz__rule(&b->rules.probes_max))
		return pmz__bad(why, "probes_max", "probes_max cannot change");
	return PMZ_OK;
}

int pmz__breaker_check_set(const pmz_breaker *b, const pmz_breaker_config *cfg,
                           pmz_why *why)
{
	pmz_breaker_config c;

	return read_change(b, &c, cfg, why);
}

static void change_window(pmz_breaker *b, uint64_t old_bucket, pmz_ns now)
{
	pmz__window_restart(&b->results, old_bucket, now);
	pmz__window_restart(&b->slow_results, old_bucket, now);
}

/* Nobody has counted it while the rule was off. */
static void forget_streak(pmz_breaker *b)
{
	uint64_t gate = pmz__load(&b->gate, PMZ__RELAXED);

	pmz__store(&b->streak, gate >> 32 << 32, PMZ__RELAXED);
}

int pmz_breaker_set(pmz_breaker *b, const pmz_breaker_config *cfg, pmz_ns now,
                    pmz_why *why)
{
	pmz_breaker_config c;
	uint64_t old_bucket;
	int status;

	PMZ__ASSERT(b);
	status = read_change(b, &c, cfg, why);
	if (status)
		return status;
	old_bucket = pmz__rule(&b->rules.bucket_ns);
	/* The window first: who goes by a shorter one before would find all of
	 * what there is too old. */
	if (!c.calls_window && pmz__bucket_of(c.window_ns) != old_bucket)
		change_window(b, old_bucket, now);
	if (pmz__rule(&b->rules.consecutive_max) == PMZ_NEVER)
		forget_streak(b);
	/* Release: pairs with the acquire in bucket_ns(). */
#define SET(word, value) pmz__store(word, value, PMZ__RELEASE);
	FOR_EACH_RULE(SET, &b->rules, &c)
#undef SET
	if (c.seed)
		pmz__store(&b->seed, c.seed, PMZ__RELAXED);
	return c.mode ? pmz_breaker_force(b, (pmz_breaker_mode)c.mode, now) :
	                PMZ_OK;
}
