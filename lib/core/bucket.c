/*
 * bucket.c - the token bucket: one word, moved by compare-and-swap.
 *
 * bucket.h has the arithmetic. A tat is plain ns, whatever the rule that moved
 * it: one who still takes by an old rule moves it by the old interval, which no
 * rule forbids.
 */
#include "core/bucket.h"

/* From here on a part of a ns is less than 2^-30 of an interval. */
#define WHOLE_NS_FROM ((uint64_t)1 << 30)
#define ONE_NS ((uint64_t)1 << 32)

static pmz__a64 *word_of(pmz_bucket *b)
{
	PMZ__ASSERT(b);
	return (pmz__a64 *)b->opaque;
}

static uint64_t stands_at(const pmz_bucket *b)
{
	PMZ__ASSERT(b);
	return pmz__load((const pmz__a64 *)b->opaque, PMZ__RELAXED);
}

/* How many parts of an interval make a ns. */
static uint64_t parts_of(const pmz__rate *r)
{
	return r->inverse ? ONE_NS : 1;
}

int pmz_rate_set(pmz_rate *rate, uint64_t tokens, pmz_ns per, uint64_t burst)
{
	pmz__rate r;
	uint64_t rest;

	PMZ__ASSERT(rate);
	if (!tokens || !burst || per < tokens)
		return PMZ_E_CONFIG;
	memset(&r, 0, sizeof(r));
	r.burst = burst;
	r.interval = per / tokens;
	if (per % tokens == 0 || r.interval >= WHOLE_NS_FROM) {
		r.interval += per % tokens > 0;
		r.depth = pmz__sat_mul(burst, r.interval);
	} else {
		const pmz__wide two_to_96 = { ONE_NS, 0 };

		r.interval = pmz__mul_div(per, ONE_NS, tokens, 1);
		r.inverse = pmz__div(two_to_96, r.interval, &rest);
		r.depth = pmz__mul_div(burst, r.interval, ONE_NS, 1);
	}
	if (r.depth > INT64_MAX)
		return PMZ_E_CONFIG;
	memcpy(rate, &r, sizeof(r));
	return PMZ_OK;
}

int pmz_bucket_take(pmz_bucket *b, const pmz_rate *rate, uint64_t n, pmz_ns now,
                    pmz_ns *ready_at)
{
	pmz__rate r = pmz__rate_of(rate);
	pmz_ns ready;

	PMZ__ASSERT(b);
	return pmz__bucket_take(b, &r, n, now, ready_at ? ready_at : &ready);
}

int pmz_bucket_reserve(pmz_bucket *b, const pmz_rate *rate, uint64_t n,
                       pmz_ns now, pmz_ns latest, pmz_ns *at)
{
	pmz__a64 *word = word_of(b);
	pmz__rate r = pmz__rate_of(rate);
	uint64_t tat = pmz__load(word, PMZ__RELAXED), next;

	PMZ__ASSERT(at);
	do {
		pmz_ns ready;

		*at = now;
		if (pmz__bucket_step(&r, tat, n, now, &next, &ready)) {
			*at = ready;
			if (ready == PMZ_NEVER || ready > latest)
				return PMZ_REFUSED_RATE;
			/* At that instant the same step is granted. */
			if (pmz__bucket_step(&r, tat, n, ready, &next, &ready))
				return PMZ_REFUSED_RATE;
		}
		if (now > latest)
			return PMZ_REFUSED_RATE;
	} while (!pmz__cas(word, &tat, next, PMZ__RELAXED));
	return PMZ_OK;
}

uint64_t pmz__bucket_refunded(const pmz__rate *r, uint64_t tat, uint64_t n,
                              pmz_ns taken_at, pmz_ns now)
{
	uint64_t worth;

	if (tat <= now)
		return tat;
	worth = pmz__rate_worth(r, tat, pmz__min(n, r->burst));
	worth = pmz__sat_sub(worth, pmz__sat_sub(now, taken_at));
	return pmz__max(now, pmz__sat_sub(tat, worth));
}

void pmz_bucket_refund(pmz_bucket *b, const pmz_rate *rate, uint64_t n,
                       pmz_ns taken_at, pmz_ns now)
{
	pmz__a64 *word = word_of(b);
	pmz__rate r = pmz__rate_of(rate);
	uint64_t tat = pmz__load(word, PMZ__RELAXED), next;

	do {
		next = pmz__bucket_refunded(&r, tat, n, taken_at, now);
	} while (next != tat && !pmz__cas(word, &tat, next, PMZ__RELAXED));
}

uint64_t pmz__bucket_left(const pmz__rate *r, uint64_t tat, pmz_ns now)
{
	uint64_t from = pmz__max(tat, now);
	uint64_t room, n;

	if (from - now >= r->depth)
		return 0;
	room = r->depth - (from - now);
	n = pmz__min(pmz__mul_div(room, parts_of(r), r->interval, 0), r->burst);
	/* The cost depends on where the grid stands, by a ns. */
	if (n < r->burst && pmz__rate_cost(r, from, n + 1) <= room)
		n++;
	while (pmz__rate_cost(r, from, n) > room)
		n--;
	return n;
}

uint64_t pmz_bucket_left(const pmz_bucket *b, const pmz_rate *rate, pmz_ns now)
{
	pmz__rate r = pmz__rate_of(rate);

	return pmz__bucket_left(&r, stands_at(b), now);
}

/* What `tokens` are worth in ns, rounded up. */
static uint64_t worth_of(const pmz__rate *r, uint64_t tokens)
{
	return pmz__mul_div(tokens, r->interval, parts_of(r), 1);
}

/* The tokens that take `span` by one rule take this by the other, rounded up or
 * down: whole tokens and the part of one apart, so that nothing overflows and a
 * rule becomes itself unchanged. */
static uint64_t same_tokens(uint64_t span, const pmz__rate *from,
                            const pmz__rate *to, int up)
{
	uint64_t whole, part, ns, rest;
	pmz__wide sum;

	whole = pmz__mul_div(span, parts_of(from), from->interval, 0);
	part = span * parts_of(from) - whole * from->interval;
	part = pmz__mul_div(part, to->interval, from->interval, up);
	sum = pmz__mul(whole, to->interval);
	sum.low += part;
	sum.high += sum.low < part;
	if (sum.high >= parts_of(to))
		return UINT64_MAX;
	ns = pmz__div(sum, parts_of(to), &rest);
	return pmz__sat_add(ns, up && rest > 0);
}

/* How far ahead of now a bucket stands by its new rule. */
static uint64_t ahead_by(const pmz__rate *to, const pmz__rate *from,
                         uint64_t tat, pmz_ns now)
{
	uint64_t ahead = pmz__sat_sub(tat, now), credit, tokens;

	if (ahead >= from->depth) /* more may be reserved than the burst */
		return pmz__sat_add(to->depth,
		                    same_tokens(ahead - from->depth, from, to,
		                                1));
	/* Rounding may not cost a whole token that is there. */
	tokens = pmz__min(pmz__bucket_left(from, tat, now), to->burst);
	credit = same_tokens(from->depth - ahead, from, to, 0);
	credit = pmz__max(credit, worth_of(to, tokens));
	return pmz__sat_sub(to->depth, credit);
}

void pmz_bucket_rerate(pmz_bucket *b, const pmz_rate *from, const pmz_rate *to,
                       pmz_ns now)
{
	pmz__a64 *word = word_of(b);
	pmz__rate old = pmz__rate_of(from), rule = pmz__rate_of(to);
	uint64_t tat = pmz__load(word, PMZ__RELAXED), next;

	do {
		next = pmz__sat_add(now, ahead_by(&rule, &old, tat, now));
		next = pmz__min(next, UINT64_MAX - 1);
	} while (!pmz__cas(word, &tat, next, PMZ__RELAXED));
}
