/*
 * detect.c - the look at the whole set when an interval is over: who fails, or
 * takes its time, beyond the others.
 *
 * Whoever first comes after the interval's end, with a pick or a settle, moves
 * the end on and does the work, while no other looks; so it is one each time,
 * and nobody waits. Who has not come back after many intervals is taken for one
 * whom a fork has left behind.
 *
 * All counts are lifetime counts, and how much of them was looked at is kept
 * beside them, so that nothing is reset under those who count.
 *
 * The first time round gathers what each endpoint did, the second judges each.
 * The median of the response times is counted off in the slots of the
 * histogram, so no list of them is needed. Whether a rate is so many sigmas
 * below the mean is told from squares: with s = sum of rates, q = sum of their
 * squares over n,
 *
 *   mean - rate > k sigma  <=>  d = s - n rate > 0,  d^2 > k^2 (n q - s^2)
 */
#include "core/balance.h"

#define LOST_AFTER 16 /* intervals */
#define RATED_MIN 5 /* endpoints, for a mean to tell anything */
#define TIMED_MIN 3 /* likewise for a median */
#define SUCCESS 1e6 /* the rate of who never fails */

typedef struct set {
	uint64_t benches;
	double count, rates, squares;
	uint64_t timed;
	uint32_t with_slot[PMZ__TIMES + 1]; /* whose 95th percentile it is */
	pmz_ns median;
} set;

static double rate_of(const pmz__endpoint *e)
{
	double calls = (double)pmz__load(&e->calls_last, PMZ__RELAXED);
	double failures = (double)pmz__load(&e->failures_last, PMZ__RELAXED);

	return (calls - failures) * SUCCESS / calls;
}

/* Of a count what is new, up to a limit, and will not be the next time. What
 * was kept of another who had the number is nothing: each begins at 0. */
static uint64_t take_new(pmz__a64 *then, uint64_t who, uint64_t count,
                         uint64_t most)
{
	uint64_t old = pmz__kept(then, who);
	uint64_t fresh = pmz__min(pmz__sat_sub(count, old), most);

	/* Relaxed: one thread looks at a time. */
	pmz__store(then, pmz__tag(who) | (old + fresh), PMZ__RELAXED);
	return fresh;
}

static void begin_times(pmz__endpoint *e)
{
	uint32_t i;

	for (i = 0; i < PMZ__TIMES; i++)
		pmz__store(&e->times_then[i],
		           pmz__load(&e->times[i], PMZ__RELAXED), PMZ__RELAXED);
}

/* Ends the interval of one endpoint. */
static void gather(pmz_balance *b, uint64_t who)
{
	uint64_t number = pmz__number(who);
	pmz__endpoint *e = &b->endpoints[number];
	uint64_t timed, calls, failures;
	uint32_t slot;

	/* Calls first: what is known of one that counts is there by then. Of
	 * one that is not over yet, a failure may be there, and waits. */
	calls = take_new(&e->calls_then, who, pmz__calls_of(b, number),
	                 UINT64_MAX);
	failures = take_new(&e->failures_then, who,
	                    pmz__load(&e->failures, PMZ__RELAXED), calls);
	slot = pmz__times_p95(e, &timed);
	pmz__store(&e->calls_last, calls, PMZ__RELAXED);
	pmz__store(&e->failures_last, failures, PMZ__RELAXED);
	if (slot)
		pmz__store(&e->slot_last, slot, PMZ__RELAXED);
	begin_times(e);
	pmz__store(&e->gathered, who + 1, PMZ__RELAXED);
}

/* Nobody is judged by what one did who had the number before. */
static int is_judged(const pmz__view *v, const set *s, uint64_t who)
{
	uint64_t number = pmz__number(who);
	const pmz__endpoint *e = &v->b->endpoints[number];

	return pmz__load(&e->gathered, PMZ__RELAXED) == who + 1 &&
	       pmz__load(&e->calls_last, PMZ__RELAXED) >=
	               v->b->rules.calls_min &&
	       !pmz__is_ejected(v->b, number, s->benches, v->now);
}

static void add_to_set(const pmz__view *v, set *s, uint64_t who)
{
	const pmz__endpoint *e = &v->b->endpoints[pmz__number(who)];
	double rate;

	if (!is_judged(v, s, who))
		return;
	rate = rate_of(e);
	s->count += 1;
	s->rates += rate;
	s->squares += rate * rate;
	s->with_slot[pmz__load(&e->slot_last, PMZ__RELAXED)]++;
	s->timed++;
}

static pmz_ns median_of(const set *s)
{
	uint64_t below = 0;
	uint32_t slot;

	for (slot = 0; slot < PMZ__TIMES; slot++) {
		below += s->with_slot[slot];
		if (below * 2 >= s->timed)
			break;
	}
	return pmz__slot_ns(slot);
}

static int is_below_the_others(const pmz__view *v, const set *s, double rate)
{
	uint64_t pct = v->b->rules.sigma_pct;
	double sigmas = (double)pct / 100;
	double below = s->rates - s->count * rate;
	double spread = s->count * s->squares - s->rates * s->rates;

	/* The least that is told from what the sums round. */
	return pct != PMZ_NEVER && s->count >= RATED_MIN && below > s->count &&
	       below * below > sigmas * sigmas * spread;
}

static int fails_too_often(const pmz__view *v, const pmz__endpoint *e)
{
	uint64_t pct = v->b->rules.failure_pct;

	return pct != PMZ_NEVER &&
	       pmz__load(&e->failures_last, PMZ__RELAXED) * 100 >=
	               pmz__load(&e->calls_last, PMZ__RELAXED) * pct;
}

static int is_too_slow(const pmz__view *v, const set *s, const pmz__endpoint *e)
{
	uint64_t pct = v->b->rules.slow_pct;
	uint32_t slot = (uint32_t)pmz__load(&e->slot_last, PMZ__RELAXED);

	return pct != PMZ_NEVER && s->timed >= TIMED_MIN &&
	       pmz__sat_mul(pmz__slot_ns(slot), 100) >
	               pmz__sat_mul(s->median, pct);
}

static void judge(const pmz__view *v, const set *s, uint64_t who)
{
	const pmz__endpoint *e = &v->b->endpoints[pmz__number(who)];

	if (!is_judged(v, s, who))
		return;
	if (fails_too_often(v, e) || is_below_the_others(v, s, rate_of(e)) ||
	    is_too_slow(v, s, e))
		pmz__eject(v->b, who, v->now);
}

/* A roster that changes meanwhile costs one endpoint or another this look. */
static void look_at_set(pmz__view *v)
{
	set s = { 0, 0, 0, 0, 0, { 0 }, 0 };
	uint64_t i;

	s.benches = PMZ__OF_ROSTER(v->roster, benches);
	for (i = 0; i < v->count; i++) {
		uint64_t who = pmz__entry(v, i) & PMZ__WHO;

		gather(v->b, who);
		add_to_set(v, &s, who);
	}
	s.median = median_of(&s);
	for (i = 0; i < v->count; i++)
		judge(v, &s, pmz__entry(v, i) & PMZ__WHO);
}

static void end_interval(pmz_balance *b, pmz_ns now)
{
	uint64_t seen = pmz__load(&b->look, PMZ__RELAXED);
	pmz__view v;

	if (now < seen)
		return;
	pmz__store(&b->look, pmz__sat_add(now, b->rules.interval_ns),
	           PMZ__RELAXED);
	if (!seen)
		return;
	pmz__view_open(&v, b, now);
	look_at_set(&v);
	pmz__note_change(b);
}

static int is_looking(const pmz_balance *b, uint64_t since, pmz_ns now)
{
	uint64_t most = pmz__sat_mul(LOST_AFTER, b->rules.interval_ns);

	return since && now < pmz__sat_add(since, most);
}

/* Acquire and release: a look sees all that the one before it kept. */
void pmz__look(pmz_balance *b, pmz_ns now)
{
	uint64_t since = pmz__load(&b->looking, PMZ__RELAXED);
	uint64_t mine = pmz__max(now, 1);

	if (is_looking(b, since, now) ||
	    !pmz__cas(&b->looking, &since, mine, PMZ__ACQUIRE))
		return;
	end_interval(b, now);
	pmz__cas(&b->looking, &mine, 0, PMZ__RELEASE);
}
