/*
 * pipe.c - making a pipe, and changing it under the calls that use it.
 *
 * The rules lie in two copies, and `turn` says by its lowest bit which is in
 * force. A reload writes the other copy, then moves the turn on. A call copies
 * the words whose turn it is, then looks at the turn again: if it still stands,
 * the copy is whole, since that copy is not written before the turn has moved.
 * (The words are stored with release and loaded with acquire, so who reads a
 * word of a later reload then sees a later turn.) So a call never waits for a
 * reload, not even for one that was interrupted, and starts over only when one
 * came to its end in between.
 *
 * Guards that the pipe made live as long as it does, so that a call may settle
 * with one that was switched off since.
 */
#include "core/pipe.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/config.h"
#include "base/random.h"
#include "core/breaker.h"
#include "core/budget.h"
#include "core/line.h"

/* How a full bulkhead is asked again without a backoff. */
#define ASK_AGAIN_NS PMZ_MS(1)
#define ASK_AGAIN_MAX_NS PMZ_MS(100)

/* How long a reload waits for another: some 10 to 100 ms. */
#define RELOAD_SPINS (1 << 20)

static void put_in_force(pmz_pipe *p, const pmz__rules *r)
{
	uint64_t turn = pmz__load(&p->turn, PMZ__RELAXED) + 1;
	pmz__rule_words *words = &p->words[turn & 1];

	/* Release: pairs with the acquire in pmz__guards_read() and
	 * pmz__rules_read(). */
#define STORE(field, value) pmz__store(&words->field, value, PMZ__RELEASE)
	STORE(breaker, (uintptr_t)r->guards.breaker);
	STORE(bulkhead, (uintptr_t)r->guards.bulkhead);
	STORE(bucket, (uintptr_t)r->guards.bucket);
	STORE(budget, (uintptr_t)r->guards.budget);
	STORE(balance, (uintptr_t)r->guards.balance);
	STORE(rate.interval, r->guards.rate.interval);
	STORE(rate.inverse, r->guards.rate.inverse);
	STORE(rate.burst, r->guards.rate.burst);
	STORE(rate.depth, r->guards.rate.depth);
	STORE(tries.base_ns, r->tries.base_ns);
	STORE(tries.max_ns, r->tries.max_ns);
	STORE(tries.floor_ns, r->tries.floor_ns);
	STORE(tries.attempt_min_ns, r->tries.attempt_min_ns);
	STORE(tries.hint_max_ns, r->tries.hint_max_ns);
	STORE(tries.form, (uint64_t)r->tries.tries_max << 32 |
	                          (uint64_t)r->tries.factor_pct << 16 |
	                          r->tries.jitter);
	STORE(try_ns, r->try_ns);
	STORE(total_ns, r->total_ns);
	STORE(wait_max_ns, r->wait_max_ns);
#undef STORE
	pmz__store(&p->turn, turn, PMZ__RELEASE);
}

uint64_t pmz__pipe_seed(pmz_pipe *p, pmz_ns now)
{
	uint64_t number = pmz__add(&p->seeds, 1, PMZ__RELAXED);

	return pmz__mix(now ^ pmz__mix((uint64_t)(uintptr_t)p ^
	                               number * 0x9e3779b97f4a7c15u));
}

static int one_try(pmz__tries *out)
{
	pmz_backoff_rule rule;

	memset(&rule, 0, sizeof(rule));
	rule.size = sizeof(rule);
	rule.base_ns = ASK_AGAIN_NS;
	rule.max_ns = ASK_AGAIN_MAX_NS;
	rule.tries_max = 1;
	return pmz__tries_read(out, &rule, NULL);
}

/* The rules of a config, its guards borrowed. */
static int read_config(pmz__rules *r, const pmz_pipe_config *cfg, pmz_why *why)
{
	pmz_pipe_config c;
	int status = pmz__config_read(&c, sizeof(c), cfg, why);

	if (status)
		return status;
	if (c.reserved)
		return pmz__bad(why, "reserved", "reserved is not 0");
	if (!c.bucket != !c.rate)
		return pmz__bad(why, c.bucket ? "rate" : "bucket",
		                "a bucket needs a rate, and a rate a bucket");
	memset(r, 0, sizeof(*r));
	r->guards.breaker = c.breaker;
	r->guards.bulkhead = c.bulkhead;
	r->guards.bucket = c.bucket;
	r->guards.budget = c.budget;
	r->guards.balance = c.balance;
	if (c.rate)
		r->guards.rate = pmz__rate_of(c.rate);
	r->try_ns = pmz__or_ns(c.try_ns, PMZ_NEVER);
	r->total_ns = pmz__or_ns(c.total_ns, PMZ_NEVER);
	r->wait_max_ns = c.wait_max_ns;
	return c.backoff ? pmz__tries_read(&r->tries, c.backoff, why) :
	                   one_try(&r->tries);
}

static int brings_something(const pmz_pipe_config *shared)
{
	pmz_pipe_config c, nothing;

	memset(&nothing, 0, sizeof(nothing));
	if (!shared || pmz__config_read(&c, sizeof(c), shared, NULL))
		return 0;
	c.size = 0;
	return memcmp(&c, &nothing, sizeof(c)) != 0;
}

static int make_pipe(pmz_pipe **out, const pmz_pipe_config *cfg, pmz_why *why)
{
	pmz__rules base;
	int status;

	*out = NULL;
	status = read_config(&base, cfg, why);
	if (status)
		return status;
	*out = (pmz_pipe *)pmz__alloc(sizeof(**out));
	if (!*out)
		return pmz__why(why, PMZ_E_NOMEM);
	(*out)->base = base;
	(*out)->mode = PMZ_ENFORCE;
	(*out)->shares = brings_something(cfg);
	put_in_force(*out, &base);
	return PMZ_OK;
}

int pmz_pipe_new(pmz_pipe **out, const pmz_pipe_config *cfg, pmz_why *why)
{
	PMZ__ASSERT(out);
	return make_pipe(out, cfg, why);
}

void pmz_pipe_free(pmz_pipe *p)
{
	if (!p)
		return;
	pmz_breaker_free(p->own.breaker);
	pmz_bulkhead_free(p->own.bulkhead);
	pmz_budget_free(p->own.budget);
	pmz_balance_free(p->own.balance);
	pmz__free(p);
}

static int check_not_shared(const pmz__line *line, pmz__stage stage,
                            const void *shared, const char *name, pmz_why *why)
{
	if (!shared || !pmz__line_has(line, stage))
		return PMZ_OK;
	return pmz__line_bad(why, line->column[stage], name,
	                     "the %s is shared, so the line has no stage for "
	                     "it", name);
}

/* An empty line makes sense only beside what is shared. */
static int check_not_empty(const pmz_pipe *p, const pmz__line *line,
                           const char *text, pmz_why *why)
{
	if (line->stages || p->shares)
		return PMZ_OK;
	return pmz__line_bad(why, (uint32_t)strlen(text) + 1, "",
	                     "expected a stage such as \"total 10s\", and there "
	                     "is none");
}

/* Reads a line for this pipe. */
static int read_line(const pmz_pipe *p, pmz__line *line, const char *text,
                     pmz_why *why)
{
	const pmz__guards *base = &p->base.guards;
	int status = pmz__line_read(line, text, why);

	if (!status)
		status = check_not_empty(p, line, text, why);
	if (!status)
		status = check_not_shared(line, PMZ__STAGE_BREAKER,
		                          base->breaker, "breaker", why);
	if (!status)
		status = check_not_shared(line, PMZ__STAGE_BULKHEAD,
		                          base->bulkhead, "bulkhead", why);
	if (!status)
		status = check_not_shared(line, PMZ__STAGE_RATE, base->bucket,
		                          "rate", why);
	if (!status)
		status = check_not_shared(line, PMZ__STAGE_BUDGET,
		                          base->budget, "budget", why);
	if (!status)
		status = check_not_shared(line, PMZ__STAGE_BALANCE,
		                          base->balance, "balance", why);
	return status;
}

/* What a breaker that runs cannot become. */
static int check_breaker(const pmz_pipe *p, const pmz__line *line, pmz_why *why)
{
	const pmz_breaker *own = p->own.breaker;
	uint32_t column = line->column[PMZ__STAGE_BREAKER];
	pmz_why what;

	if (!own || !pmz__line_has(line, PMZ__STAGE_BREAKER) ||
	    !pmz__breaker_check_set(own, &line->breaker, &what))
		return PMZ_OK;
	if (!strcmp(what.field, "calls_window") && line->window_column)
		column = line->window_column;
	if (!strcmp(what.field, "probes_max") && line->probes_column)
		column = line->probes_column;
	return pmz__line_bad(why, column, "breaker", "%s", what.text);
}

static int check_balance(const pmz_pipe *p, const pmz__line *line, pmz_why *why)
{
	if (!p->own.balance || !pmz__line_has(line, PMZ__STAGE_BALANCE) ||
	    !memcmp(&p->balance, &line->balance, sizeof(p->balance)))
		return PMZ_OK;
	return pmz__line_bad(why, line->column[PMZ__STAGE_BALANCE], "balance",
	                     "a balancer that runs keeps its rules");
}

static void free_guards(const pmz__guards *guards)
{
	pmz_breaker_free(guards->breaker);
	pmz_bulkhead_free(guards->bulkhead);
	pmz_budget_free(guards->budget);
	pmz_balance_free(guards->balance);
}

/* The guards of the line that the pipe has not made before; all or none. */
static int make_guards(const pmz_pipe *p, const pmz__line *line,
                       pmz__guards *made, pmz_why *why)
{
	int status = PMZ_OK;

	memset(made, 0, sizeof(*made));
	if (pmz__line_has(line, PMZ__STAGE_BREAKER) && !p->own.breaker)
		status = pmz_breaker_new(&made->breaker, &line->breaker, why);
	if (!status && pmz__line_has(line, PMZ__STAGE_BULKHEAD) &&
	    !p->own.bulkhead)
		status = pmz_bulkhead_new(&made->bulkhead, &line->bulkhead,
		                          why);
	if (!status && pmz__line_has(line, PMZ__STAGE_BUDGET) && !p->own.budget)
		status = pmz_budget_new(&made->budget, &line->budget, why);
	if (!status && pmz__line_has(line, PMZ__STAGE_BALANCE) &&
	    !p->own.balance)
		status = pmz_balance_new(&made->balance, &line->balance, why);
	if (status)
		free_guards(made);
	return status;
}

/* Takes in what was made, or gives what is there the line's rules. */
static void set_breaker(pmz_pipe *p, pmz_breaker *made, const pmz__line *line,
                        pmz_ns now)
{
	pmz_breaker_config c = line->breaker;
	int status = PMZ_OK;

	if (made)
		p->own.breaker = made;
	else if (c.mode == p->mode)
		c.mode = 0; /* an operator's override stays */
	if (!made)
		status = pmz_breaker_set(p->own.breaker, &c, now, NULL);
	PMZ__ASSERT(!status); /* it was checked */
	(void)status;
	p->mode = line->breaker.mode;
}

static void set_bulkhead(pmz_pipe *p, pmz_bulkhead *made, const pmz__line *line)
{
	if (made)
		p->own.bulkhead = made;
	else
		pmz_bulkhead_resize(p->own.bulkhead, line->bulkhead.limit);
}

static void set_budget(pmz_pipe *p, pmz_budget *made, const pmz__line *line,
                       pmz_ns now)
{
	if (made)
		p->own.budget = made;
	else
		pmz__budget_set(p->own.budget, &line->budget, now);
}

static void set_rate(pmz_pipe *p, const pmz__line *line, pmz_ns now)
{
	if (p->own.bucket)
		pmz_bucket_rerate(p->own.bucket, &p->rate, &line->rate, now);
	p->own.bucket = &p->bucket;
	p->rate = line->rate;
}

/* The rules of a line that has been checked, over the pipe's base. */
static void apply(pmz_pipe *p, const pmz__line *line, const pmz__tries *tries,
                  const pmz__guards *made, pmz_ns now)
{
	pmz__rules r = p->base;

	if (pmz__line_has(line, PMZ__STAGE_BREAKER)) {
		set_breaker(p, made->breaker, line, now);
		r.guards.breaker = p->own.breaker;
	}
	if (pmz__line_has(line, PMZ__STAGE_BULKHEAD)) {
		set_bulkhead(p, made->bulkhead, line);
		r.guards.bulkhead = p->own.bulkhead;
	}
	if (pmz__line_has(line, PMZ__STAGE_RATE)) {
		set_rate(p, line, now);
		r.guards.bucket = p->own.bucket;
		r.guards.rate = pmz__rate_of(&p->rate);
	}
	if (pmz__line_has(line, PMZ__STAGE_BUDGET)) {
		set_budget(p, made->budget, line, now);
		r.guards.budget = p->own.budget;
	}
	if (pmz__line_has(line, PMZ__STAGE_BALANCE)) {
		if (made->balance)
			p->own.balance = made->balance;
		p->balance = line->balance;
		r.guards.balance = p->own.balance;
	}
	if (pmz__line_has(line, PMZ__STAGE_TRIES))
		r.tries = *tries;
	if (pmz__line_has(line, PMZ__STAGE_TRY))
		r.try_ns = line->try_ns;
	if (pmz__line_has(line, PMZ__STAGE_TOTAL))
		r.total_ns = line->total_ns;
	if (pmz__line_has(line, PMZ__STAGE_WAIT))
		r.wait_max_ns = line->wait_max_ns;
	put_in_force(p, &r);
}

static int load_line(pmz_pipe *p, const char *text, pmz_ns now, pmz_why *why)
{
	pmz__line line;
	pmz__tries tries;
	pmz__guards made;
	int status = read_line(p, &line, text, why);

	if (!status)
		status = check_breaker(p, &line, why);
	if (!status)
		status = check_balance(p, &line, why);
	if (!status && pmz__line_has(&line, PMZ__STAGE_TRIES))
		status = pmz__tries_read(&tries, &line.backoff, why);
	if (!status)
		status = make_guards(p, &line, &made, why);
	if (!status)
		apply(p, &line, &tries, &made, now);
	return status;
}

int pmz_pipe_from(pmz_pipe **out, const char *line,
                  const pmz_pipe_config *shared, pmz_why *why)
{
	int status;

	PMZ__ASSERT(out && line);
	status = make_pipe(out, shared, why);
	if (!status)
		status = load_line(*out, line, 0, why);
	if (status) {
		pmz_pipe_free(*out);
		*out = NULL;
	}
	return status;
}

/* Acquire and release: one reload sees all that the one before it did. */
static int begin_reload(pmz_pipe *p)
{
	int spins;

	for (spins = 0; spins < RELOAD_SPINS; spins++) {
		uint32_t idle = 0;

		if (pmz__cas(&p->reload, &idle, 1, PMZ__ACQUIRE))
			return 1;
		pmz__pause();
	}
	return 0;
}

int pmz_pipe_reload(pmz_pipe *p, const char *line, pmz_ns now, pmz_why *why)
{
	int status;

	PMZ__ASSERT(p && line);
	if (!begin_reload(p))
		return pmz__why(why, PMZ_E_STATE);
	status = load_line(p, line, now, why);
	pmz__store(&p->reload, 0, PMZ__RELEASE);
	return status;
}

static void write_backoff(pmz_backoff_rule *out, const pmz__tries *tries)
{
	out->size = sizeof(*out);
	out->jitter = tries->jitter;
	out->base_ns = tries->base_ns;
	out->max_ns = tries->max_ns;
	out->floor_ns = tries->floor_ns;
	out->attempt_min_ns = tries->attempt_min_ns;
	out->hint_max_ns = tries->hint_max_ns;
	out->tries_max = tries->tries_max;
	out->factor_pct = tries->factor_pct;
}

static pmz_ns or_none(pmz_ns span)
{
	return span == PMZ_NEVER ? 0 : span;
}

int pmz_pipe_read(const pmz_pipe *p, pmz_pipe_rules *out)
{
	pmz_pipe_rules read;
	pmz__rules r;

	PMZ__ASSERT(p && out);
	memset(&read, 0, sizeof(read));
	pmz__rules_read(p, &r.guards, &r.tries, &r.try_ns, &r.total_ns,
	                &r.wait_max_ns);
	read.breaker = r.guards.breaker;
	read.bulkhead = r.guards.bulkhead;
	read.bucket = r.guards.bucket;
	read.budget = r.guards.budget;
	read.balance = r.guards.balance;
	memcpy(&read.rate, &r.guards.rate, sizeof(read.rate));
	write_backoff(&read.backoff, &r.tries);
	read.try_ns = or_none(r.try_ns);
	read.total_ns = or_none(r.total_ns);
	read.wait_max_ns = r.wait_max_ns;
	return pmz__stats_write(out, &read, sizeof(read));
}
