/*
 * backoff.c - how long to wait before the next try.
 *
 * The jitters are those of M. Brooker, "Exponential Backoff And Jitter" (AWS
 * Architecture Blog, 2015), with the cap put on the range before the draw rather
 * than on what was drawn: a wait cut to the cap is the same for all who are cut.
 */
#include "core/backoff.h"

#include <string.h>

#include "base/assert.h"
#include "base/config.h"
#include "base/random.h"

#define HINT_MAX_NS PMZ_S(300)
#define TRIES_MAX 3
#define FACTOR_PCT 200

static int check(const pmz_backoff_rule *r, pmz_why *why)
{
	if (r->jitter > PMZ_JITTER_NONE)
		return pmz__bad(why, "jitter", "jitter is %u, not a pmz_jitter",
		                (unsigned)r->jitter);
	if (r->base_ns > r->max_ns)
		return pmz__bad(why, "base_ns", "base_ns is above max_ns");
	if (r->floor_ns > r->max_ns)
		return pmz__bad(why, "floor_ns", "floor_ns is above max_ns");
	if (r->factor_pct < PMZ__FACTOR_PCT_MIN ||
	    r->factor_pct > PMZ__FACTOR_PCT_MAX)
		return pmz__bad(why, "factor_pct",
		                "factor_pct is %u, not %u..%u",
		                (unsigned)r->factor_pct, PMZ__FACTOR_PCT_MIN,
		                PMZ__FACTOR_PCT_MAX);
	return PMZ_OK;
}

int pmz__tries_read(pmz__tries *out, const pmz_backoff_rule *rule, pmz_why *why)
{
	pmz_backoff_rule r;
	int status = pmz__config_read(&r, sizeof(r), rule, why);

	if (status)
		return status;
	r.base_ns = pmz__or_ns(r.base_ns, PMZ__BACKOFF_BASE_NS);
	if (!r.max_ns)
		r.max_ns = pmz__max(r.base_ns, PMZ__BACKOFF_MAX_NS);
	r.factor_pct = pmz__or(r.factor_pct, FACTOR_PCT);
	status = check(&r, why);
	out->base_ns = r.base_ns;
	out->max_ns = r.max_ns;
	out->floor_ns = r.floor_ns;
	out->attempt_min_ns = r.attempt_min_ns;
	out->hint_max_ns = pmz__or_ns(r.hint_max_ns, HINT_MAX_NS);
	out->tries_max = pmz__or(r.tries_max, TRIES_MAX);
	out->factor_pct = (uint16_t)r.factor_pct;
	out->jitter = (uint16_t)pmz__or(r.jitter, PMZ_JITTER_FULL);
	return status;
}

void pmz__backoff_begin(pmz__backoff *b, pmz_ns deadline, uint64_t seed)
{
	b->deadline = deadline ? deadline : PMZ_NEVER;
	b->random = seed;
	b->row.last = 0;
	b->row.part = 0;
	b->row.tries = 1;
}

static pmz_ns draw(pmz__backoff *b, pmz_ns low, pmz_ns high)
{
	low = pmz__max(low, b->rule.floor_ns);
	return pmz__between(pmz__draw(&b->random), low, pmz__max(low, high));
}

/* From min(max, base * factor^(n - 1)), the n-th of a row, to the next; the part
 * of a ns is kept, or a short base would never grow. */
static void grow(const pmz__tries *r, pmz__row *row)
{
	uint64_t whole, rest, parts;

	if (row->last == r->max_ns)
		return;
	/* By hundreds and the rest, so that nothing overflows. */
	rest = row->last % 100 * r->factor_pct;
	whole = pmz__sat_add(pmz__sat_mul(row->last / 100, r->factor_pct),
	                     rest / 100);
	rest %= 100;
	parts = ((rest << 32) + (uint64_t)row->part * r->factor_pct) / 100;
	whole = pmz__sat_add(whole, parts >> 32);
	row->part = whole < r->max_ns ? (uint32_t)parts : 0;
	row->last = row->last ? pmz__min(whole, r->max_ns) : r->base_ns;
}

static pmz_ns decorrelated(pmz__backoff *b, pmz__row *row)
{
	const pmz__tries *r = &b->rule;
	pmz_ns last = row->last ? row->last : r->base_ns;

	row->last = draw(b, r->base_ns,
	                 pmz__min(r->max_ns, pmz__sat_mul(last, 3)));
	return row->last;
}

/* One more wait of a row, with its jitter. */
pmz_ns pmz__backoff_wait(pmz__backoff *b, pmz__row *row)
{
	if (b->rule.jitter == PMZ_JITTER_DECORRELATED)
		return decorrelated(b, row);
	grow(&b->rule, row);
	switch (b->rule.jitter) {
	case PMZ_JITTER_NONE:
		return pmz__max(row->last, b->rule.floor_ns);
	case PMZ_JITTER_EQUAL:
		return draw(b, row->last / 2, row->last);
	default:
		return draw(b, 0, row->last);
	}
}

/* The server's wish, and up to half as much later: all its clients got it. The
 * wait that it replaces counts in its row. */
static pmz_ns hinted_wait(pmz__backoff *b, pmz_ns hint)
{
	if (b->rule.jitter != PMZ_JITTER_DECORRELATED)
		grow(&b->rule, &b->row);
	hint = pmz__min(hint, b->rule.hint_max_ns);
	return draw(b, hint, pmz__sat_add(hint, hint / 2));
}

int pmz__backoff_next(pmz__backoff *b, pmz_ns now, pmz_ns hint, pmz_ns *at)
{
	pmz_ns wait, end;

	if (b->rule.tries_max != PMZ_OFF && b->row.tries >= b->rule.tries_max)
		return PMZ_GAVE_UP;
	if (hint == PMZ_NEVER)
		return PMZ_GAVE_UP;
	wait = hint ? hinted_wait(b, hint) : pmz__backoff_wait(b, &b->row);
	end = pmz__sat_add(pmz__sat_add(now, wait), b->rule.attempt_min_ns);
	if (end > b->deadline)
		return PMZ_TIMED_OUT;
	b->row.tries += b->row.tries < UINT32_MAX;
	*at = pmz__sat_add(now, wait);
	return PMZ_OK;
}

static pmz__backoff *state_of(pmz_backoff *b)
{
	return (pmz__backoff *)(void *)b->opaque;
}

int pmz_backoff_start(pmz_backoff *b, const pmz_backoff_rule *rule,
                      pmz_ns deadline, uint64_t seed)
{
	int status;

	PMZ__ASSERT(b);
	memset(b, 0, sizeof(*b));
	status = pmz__tries_read(&state_of(b)->rule, rule, NULL);
	if (status)
		return status;
	pmz__backoff_begin(state_of(b), deadline, seed);
	return PMZ_OK;
}

int pmz_backoff_next(pmz_backoff *b, pmz_ns now, pmz_ns hint, pmz_ns *at)
{
	PMZ__ASSERT(b && at);
	return pmz__backoff_next(state_of(b), now, hint, at);
}

uint32_t pmz_backoff_tries(const pmz_backoff *b)
{
	PMZ__ASSERT(b);
	return ((const pmz__backoff *)(const void *)b->opaque)->row.tries;
}
