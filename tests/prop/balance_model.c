/*
 * balance_model.c - an endpoint for each attempt of a pipe's calls, beside a
 * model of plain lists: who may get it, who rests and how long, and what is
 * counted. A million steps with clocks that no caller should have
 * (PIPEMAZE_STEPS says how many). And which keys are in a canary.
 *
 * What a strategy leaves to chance is only held to be allowed: up, not drained,
 * none that was tried while another is there. The least load, the turns and the
 * keys are known, and are held to that. Sets of endpoints are bits.
 *
 * The headers do not say what becomes of a rest that was over when the clock
 * goes back before its end, so there the model asks who rests, and lets panic
 * be or not be.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include <pipemaze/pipe.h>
#include <pipemaze/ring.h>

#include "dice.h"
#include "hostile.h"
#include "must.h"

typedef unsigned long long llu;
typedef uint32_t set;

#define TURNS 100
#define STEPS 1000
#define PLACES 8
#define CALLS 12
#define KEYS 16
#define KEYS_IN_ALL 20000 /* of a canary */
#define MILLION 1000000
#define AVOIDED 4 /* a retry avoids the last four tried */

/* So that every rest has an end. */
#define LAST_INSTANT (PMZ_NEVER - PMZ_S(1))

/* A step whose answers differ. */
#define same(got, want, what)                                                 \
	must((got) == (want), "seed %d, step %d: " what " is %llu, not %llu", \
	     w->seed, w->step, (llu)(got), (llu)(want))

struct endpoint {
	int there, healthy;
	char name[16];
	uint32_t weight, out, ejections;
	uint64_t picks, failures, level;
	/* Failures in a row: all, and without those of calls that began before
	 * its last rest was over, which the headers leave open. */
	uint32_t streak, streak_since;
	pmz_ns until;
	int was_sent; /* to rest until then */
	int is_over;  /* that instant has been seen */
	int rests;    /* just now */
};

struct attempt {
	pmz_call call;
	pmz_step step;
	uint64_t hash;
	uint32_t tries, at[AVOIDED]; /* by tries */
	pmz_ns began;
};

enum outage { NONE, PERHAPS, SURELY };

/* Picks since everyone was last there for every call. */
struct turns {
	uint32_t count, each[PLACES];
};

struct world {
	int seed, step;
	dice dice;
	pmz_ns now;
	pmz_balance_config config;
	pmz_balance *balance;
	pmz_rate rate;
	pmz_bucket bucket;
	pmz_pipe *pipe;
	struct endpoint at[PLACES];
	uint32_t names, bad; /* who fails just now */
	struct attempt attempts[CALLS];
	enum outage outage; /* of all, from which few have come back */
	int is_unsure;      /* how many are in health: the clock went back */
	pmz_ns latest;      /* .. from here, since that was last sure */
	struct turns turns;
	pmz_ring *ring; /* of the members; NULL: to be made */
	uint32_t nodes[PLACES];
};

/* What has come up. */
struct seen {
	uint64_t picks, retries, refusals, undone, panics, spared;
	uint64_t ejections, spread, cycles, homes, reused, unsure;
	/* Calls after an outage, of which a share is to be admitted. */
	uint64_t admitted;
	double to_admit, variance;
};

static struct seen seen;

/* Sets. */

static int has(set s, uint32_t i)
{
	return (int)(s >> i & 1);
}

static uint32_t size_of(set s)
{
	return (uint32_t)__builtin_popcount(s);
}

static set members(const struct world *w)
{
	set s = 0;
	uint32_t i;

	for (i = 0; i < PLACES; i++)
		s |= (set)(w->at[i].there && w->at[i].weight) << i;
	return s;
}

static set resting(const struct world *w)
{
	set s = 0;
	uint32_t i;

	for (i = 0; i < PLACES; i++)
		s |= (set)w->at[i].rests << i;
	return s;
}

static set in_health(const struct world *w)
{
	set s = members(w) & ~resting(w);
	uint32_t i;

	for (i = 0; i < PLACES; i++)
		if (!w->at[i].healthy)
			s &= ~((set)1 << i);
	return s;
}

static uint64_t weight_of(const struct world *w, set s)
{
	uint64_t sum = 0;
	uint32_t i;

	for (i = 0; i < PLACES; i++)
		sum += has(s, i) ? w->at[i].weight : 0;
	return sum;
}

/* Of those who have tried before, the ones a retry avoids. */
static set avoided(const struct attempt *a)
{
	set s = 0;
	uint32_t i;

	for (i = 0; i < AVOIDED && i < a->tries; i++)
		s |= (set)1 << a->at[i];
	return s;
}

/* Rests. */

static pmz_endpoint_stats read_stats(const struct world *w, uint32_t i)
{
	pmz_endpoint_stats s;

	memset(&s, 0, sizeof(s));
	s.size = sizeof(s);
	same(pmz_balance_read(w->balance, i, w->now, &s), PMZ_OK, "a read");
	return s;
}

static uint64_t rests_most(const struct world *w)
{
	uint32_t count = size_of(members(w)), pct = w->config.eject_max_pct;
	uint32_t most = pct == PMZ_OFF ? 0 : count * pct / 100;

	return most && most == count ? most - 1 : most;
}

/* Something has changed, or it is no earlier than when it was counted. */
static void count_is_sure(struct world *w)
{
	w->is_unsure = 0;
	w->latest = w->now;
}

/* Who rests at this instant. */
static void look_at_rests(struct world *w)
{
	uint32_t i;

	if (w->now >= w->latest)
		count_is_sure(w);
	for (i = 0; i < PLACES; i++) {
		struct endpoint *e = &w->at[i];
		int rested = e->rests;

		e->is_over |= w->now >= e->until;
		e->rests = e->was_sent && w->now < e->until;
		if (!e->rests || !e->is_over)
			continue;
		e->rests = read_stats(w, i).ejected_until != 0;
		w->is_unsure |= e->rests && !rested;
	}
}

static void get_up(struct world *w, uint32_t i)
{
	struct endpoint *e = &w->at[i];

	e->was_sent = e->rests = 0;
	if (e->until > w->now)
		e->until = w->now;
}

/* Of a set that has become smaller no more get up than must. */
static void make_room(struct world *w)
{
	uint64_t most = rests_most(w), left = 0;
	set before = resting(w);
	uint32_t i;

	for (i = 0; i < PLACES; i++) {
		if (!has(before, i))
			continue;
		if (read_stats(w, i).ejected_until)
			left++;
		else
			get_up(w, i);
	}
	same(left, size_of(before) < most ? size_of(before) : most,
	     "how many rest");
}

/* Up to a tenth more; at the most of all rests, up to a tenth less. */
static void check_rest(const struct world *w, const struct endpoint *e,
                       pmz_ns rest)
{
	pmz_ns least = w->config.eject_base_ns * e->level, most;

	if (least > w->config.eject_most_ns)
		least = w->config.eject_most_ns;
	most = least + least / 10;
	if (most > w->config.eject_most_ns)
		most = w->config.eject_most_ns;
	if (least == most)
		least -= least / 10;
	must(rest >= least && rest <= most,
	     "seed %d, step %d: a rest of %llu, not of %llu to %llu", w->seed,
	     w->step, (llu)rest, (llu)least, (llu)most);
}

static void sent_to_rest(struct world *w, uint32_t i, pmz_ns until)
{
	struct endpoint *e = &w->at[i];
	uint64_t healed = (w->now - e->until) / w->config.eject_interval_ns;

	e->level = (e->level > healed ? e->level - healed : 0) + 1;
	check_rest(w, e, until - w->now);
	e->until = until;
	e->was_sent = e->rests = 1;
	e->is_over = 0;
	e->ejections++;
	e->streak = e->streak_since = 0;
	count_is_sure(w);
	seen.ejections++;
}

/* After a failure, one since its last rest or not: has it been sent to rest,
 * and should it? */
static void judge(struct world *w, uint32_t i, int is_since)
{
	struct endpoint *e = &w->at[i];
	int was_room = e->weight && size_of(resting(w)) < rests_most(w);
	int can = was_room && !e->rests;
	int must_rest = can && is_since && w->now >= e->until &&
	                e->streak_since >= w->config.eject_consecutive;
	pmz_endpoint_stats s = read_stats(w, i);
	int is = s.ejections != e->ejections;

	must(!is || (can && e->streak >= w->config.eject_consecutive),
	     "seed %d, step %d: %u rests after %u failures", w->seed, w->step,
	     i, e->streak);
	must(is || !must_rest, "seed %d, step %d: %u goes on after %u failures",
	     w->seed, w->step, i, e->streak_since);
	if (is)
		sent_to_rest(w, i, s.ejected_until);
}

/* Outages. */

/* So many in health are needed for no panic. */
static uint32_t needed(const struct world *w)
{
	uint32_t pct = w->config.panic_pct;

	pct = pct == PMZ_OFF ? 50 : pct;
	return (size_of(members(w)) * pct + 99) / 100;
}

/* What was to be seen, though perhaps nobody looked. */
static void note_outage(struct world *w)
{
	uint32_t healthy = size_of(in_health(w));

	if (!healthy && members(w) && w->outage == NONE)
		w->outage = PERHAPS;
	if (w->outage == SURELY && (healthy >= needed(w) || w->is_unsure))
		w->outage = PERHAPS;
}

/* The same, when the balancer surely looks. */
static void look_for_outage(struct world *w)
{
	uint32_t healthy = size_of(in_health(w));

	note_outage(w);
	if (w->is_unsure)
		return;
	if (!healthy && members(w))
		w->outage = SURELY;
	else if (healthy >= needed(w))
		w->outage = NONE;
}

struct verdict {
	int may_refuse;
	set first, second; /* one of either, if not empty */
};

/* Who may get a call, of those who are not to be avoided. */
static struct verdict verdict_now(const struct world *w)
{
	struct verdict v = { 0, in_health(w), 0 };
	int is_few = size_of(v.first) < needed(w);
	int has_panic = w->config.panic_pct != PMZ_OFF;

	if (w->is_unsure) {
		v.may_refuse = 1;
		v.second = has_panic ? members(w) : 0;
	} else if (!v.first) {
		v.first = has_panic ? members(w) : 0;
		v.may_refuse = !v.first;
	} else if (is_few) {
		v.may_refuse = w->outage != NONE;
		if (has_panic && w->outage != SURELY)
			v.second = members(w);
		if (has_panic && w->outage == NONE)
			v.first = 0;
	}
	return v;
}

/* Keys. */

static void make_ring(struct world *w)
{
	pmz_node nodes[PLACES];
	size_t count = 0;
	uint32_t i;

	memset(nodes, 0, sizeof(nodes));
	for (i = 0; i < PLACES; i++) {
		if (!has(members(w), i))
			continue;
		w->nodes[count] = i;
		nodes[count].name = w->at[i].name;
		nodes[count++].weight = w->at[i].weight;
	}
	same(pmz_ring_new(&w->ring, NULL, nodes, count, NULL), PMZ_OK,
	     "a ring");
}

/* Who has the key where only some are up. */
static uint32_t owner(struct world *w, uint64_t hash, set up)
{
	uint32_t count = size_of(members(w)), node = 0, i;

	if (!w->ring)
		make_ring(w);
	for (i = 0; i < count; i++)
		pmz_ring_mark(w->ring, i, !has(up, w->nodes[i]));
	same(pmz_ring_find_hash(w->ring, hash, &node), PMZ_OK, "an owner");
	return w->nodes[node];
}

/* Of a pool, those with fewer calls than the load bound lets them have. */
static set below_bound(const struct world *w, set pool)
{
	uint64_t weight = weight_of(w, pool), total = 1, cap;
	set s = 0;
	uint32_t i;

	if (w->config.load_bound_pct == PMZ_OFF)
		return pool;
	for (i = 0; i < PLACES; i++)
		total += w->at[i].out;
	for (i = 0; i < PLACES; i++) {
		cap = w->config.load_bound_pct * total * w->at[i].weight;
		if (has(pool, i) &&
		    w->at[i].out < (cap + 100 * weight - 1) / (100 * weight))
			s |= (set)1 << i;
	}
	return s;
}

/* The balancer goes along the ring for eight points an endpoint, then takes
 * whom it finds: one in a billion keys gets so far. */
static int is_ring_sure(const struct world *w, set up)
{
	set all = members(w);
	double share = (double)weight_of(w, up) / (double)weight_of(w, all);

	return pow(1 - share, 8 * size_of(all)) < 1e-9;
}

static set by_key(struct world *w, const struct attempt *a, set pool)
{
	set room = below_bound(w, pool), up = room & ~avoided(a);

	up = up ? up : room;
	seen.spread += room != pool;
	if (!a->hash || !up || !is_ring_sure(w, up))
		return up;
	seen.homes++;
	return (set)1 << owner(w, a->hash, up);
}

/* Strategies: of a pool, whom the call can get. */

static set least_loaded(const struct world *w, set pool)
{
	uint64_t out = 0, weight = 0;
	set s = 0;
	uint32_t i;

	for (i = 0; i < PLACES; i++) {
		uint64_t mine = w->at[i].out * weight;
		uint64_t theirs = out * w->at[i].weight;

		if (!has(pool, i) || (s && mine > theirs))
			continue;
		if (!s || mine < theirs)
			s = 0;
		s |= (set)1 << i;
		out = w->at[i].out;
		weight = w->at[i].weight;
	}
	return s;
}

static set choices(struct world *w, const struct attempt *a, set pool)
{
	set up = pool & ~avoided(a);

	if (!pool)
		return 0;
	up = up ? up : pool;
	if (w->config.strategy == PMZ_BY_KEY)
		return by_key(w, a, pool);
	if (w->config.strategy == PMZ_LEAST)
		return least_loaded(w, up);
	return up;
}

static uint32_t common_divisor(uint32_t a, uint32_t b)
{
	return b ? common_divisor(b, a % b) : a;
}

static uint32_t divisor_of(const struct world *w)
{
	uint32_t divisor = 0, i;

	for (i = 0; i < PLACES; i++)
		if (has(members(w), i))
			divisor = common_divisor(w->at[i].weight, divisor);
	return divisor;
}

static void begin_turns(struct world *w)
{
	memset(&w->turns, 0, sizeof(w->turns));
}

static int is_free_choice(const struct world *w, const struct attempt *a)
{
	return in_health(w) == members(w) && !(avoided(a) & members(w));
}

/* Never two ahead, and exact whenever a cycle is over. */
static void take_turn(struct world *w, const struct attempt *a, uint32_t at)
{
	struct turns *t = &w->turns;
	uint32_t sum = (uint32_t)weight_of(w, members(w)), i;
	int is_end;

	if (!is_free_choice(w, a)) {
		begin_turns(w);
		return;
	}
	t->each[at]++;
	is_end = ++t->count * divisor_of(w) % sum == 0;
	seen.cycles += (uint64_t)is_end;
	for (i = 0; i < PLACES; i++) {
		double due = (double)t->count * w->at[i].weight / sum;
		double ahead = t->each[i] - due;

		must(!has(members(w), i) || fabs(ahead) < (is_end ? 1e-6 : 2),
		     "seed %d, step %d: %u is %f turns ahead", w->seed, w->step,
		     i, ahead);
	}
}

/* Calls. */

static void check_choice(struct world *w, const struct attempt *a, uint32_t at)
{
	struct verdict v = verdict_now(w);
	set first = choices(w, a, v.first), second = choices(w, a, v.second);

	must(at < PLACES && has(first | second, at),
	     "seed %d, step %d: %u was chosen, not of %x or %x (members %x, "
	     "in health %x, avoided %x)",
	     w->seed, w->step, at, first, second, members(w), in_health(w),
	     avoided(a));
	seen.panics += !has(in_health(w), at);
	seen.retries += (avoided(a) & members(w)) != 0;
}

static void tried(struct world *w, struct attempt *a, uint32_t at)
{
	if (w->config.strategy == PMZ_ROUND_ROBIN)
		take_turn(w, a, at);
	a->at[a->tries++ % AVOIDED] = at;
	a->began = w->now;
	w->at[at].out++;
	w->at[at].picks++;
	seen.picks++;
}

/* One of as many as are in health of those who are needed. */
static void count_spared(const struct world *w, int is_admitted)
{
	double share = (double)size_of(in_health(w)) / needed(w);

	if (w->outage != SURELY || w->is_unsure || share <= 0 || share >= 1)
		return;
	seen.spared++;
	seen.admitted += (uint64_t)is_admitted;
	seen.to_admit += share;
	seen.variance += share * (1 - share);
}

static uint32_t last_endpoint(const struct attempt *a)
{
	return a->tries ? a->at[(a->tries - 1) % AVOIDED] : PMZ_NO_ENDPOINT;
}

/* A call has come to the balancer, and past it if the rate let it through. */
static void arrived(struct world *w, struct attempt *a)
{
	int status = pmz_call_status(&a->call);
	int is_refused = a->step == PMZ_DONE && status == PMZ_REFUSED_EMPTY;
	struct verdict v;

	look_for_outage(w);
	must(pmz_call_endpoint(&a->call) == last_endpoint(a) ||
	             a->step == PMZ_TRY,
	     "seed %d, step %d: refused, and %u is the last endpoint", w->seed,
	     w->step, pmz_call_endpoint(&a->call));
	seen.unsure += (uint64_t)w->is_unsure;
	count_spared(w, !is_refused);
	v = verdict_now(w);
	if (a->step == PMZ_TRY) {
		check_choice(w, a, pmz_call_endpoint(&a->call));
		tried(w, a, pmz_call_endpoint(&a->call));
	} else if (is_refused) {
		must(v.may_refuse, "seed %d, step %d: there are %x, and none",
		     w->seed, w->step, v.first | v.second);
		seen.refusals++;
	} else {
		must(a->step == PMZ_WAIT || status == PMZ_REFUSED_RATE,
		     "seed %d, step %d: ended by %s", w->seed, w->step,
		     pmz_status_name(status));
		/* Who was passed over has lost a turn. */
		if (!is_free_choice(w, a))
			begin_turns(w);
		seen.undone++;
	}
}

static void begin(struct world *w, struct attempt *a)
{
	pmz_ask ask = { .size = sizeof(ask), .seed = 1 };

	a->tries = 0;
	a->hash = dice_between(&w->dice, 0, KEYS) * 0x9e3779b97f4a7c15u;
	ask.hash = a->hash;
	a->step = pmz_call_begin(&a->call, w->pipe, &ask, w->now);
	arrived(w, a);
}

static void resume(struct world *w, struct attempt *a)
{
	int is_due = w->now >= pmz_call_due(&a->call);

	a->step = pmz_call_resume(&a->call, w->now);
	if (is_due)
		arrived(w, a);
	else
		same(a->step, PMZ_WAIT, "a step too early");
}

static int is_failure(pmz_outcome how)
{
	return how == PMZ_FAILURE || how == PMZ_FATAL;
}

static void learn(struct world *w, const struct attempt *a, pmz_outcome how)
{
	uint32_t at = last_endpoint(a);
	struct endpoint *e = &w->at[at];
	int is_since = a->began >= e->until;

	e->out--;
	if (how == PMZ_SUCCESS)
		e->streak = e->streak_since = 0;
	if (!is_failure(how))
		return;
	e->failures++;
	e->streak++;
	e->streak_since += (uint32_t)is_since;
	if (e->there)
		judge(w, at, is_since);
}

static pmz_outcome outcome_of(struct world *w, uint32_t at)
{
	dice *d = &w->dice;

	if (dice_once_in(d, 6))
		return dice_once_in(d, 2) ? PMZ_IGNORE : PMZ_AGAIN;
	if (dice_once_in(d, 64))
		w->bad = (uint32_t)dice_between(d, 0, PLACES);
	if (at % 4 == w->bad % 4 ? dice_once_in(d, 8) : !dice_once_in(d, 4))
		return PMZ_SUCCESS;
	return dice_once_in(d, 4) ? PMZ_FATAL : PMZ_FAILURE;
}

static void settle(struct world *w, struct attempt *a)
{
	uint32_t at = last_endpoint(a);
	pmz_outcome how = outcome_of(w, at);

	same(pmz_call_endpoint(&a->call), at, "the endpoint of an attempt");
	a->step = pmz_call_settle(&a->call, how, w->now);
	same(pmz_call_endpoint(&a->call), at, "the last endpoint");
	learn(w, a, how);
}

static void cancel(struct world *w, struct attempt *a)
{
	if (a->step == PMZ_TRY)
		learn(w, a, PMZ_IGNORE);
	pmz_call_cancel(&a->call, w->now);
	a->step = PMZ_DONE;
}

static void go_on(struct world *w)
{
	struct attempt *a = &w->attempts[dice_between(&w->dice, 0, CALLS - 1)];

	if (!a->step || a->step == PMZ_DONE)
		begin(w, a);
	else if (dice_once_in(&w->dice, 24))
		cancel(w, a);
	else if (a->step == PMZ_TRY)
		settle(w, a);
	else
		resume(w, a);
}

/* Members. */

static void changed(struct world *w)
{
	pmz_ring_free(w->ring);
	w->ring = NULL;
	begin_turns(w);
	make_room(w);
	count_is_sure(w);
	look_at_rests(w);
}

static int is_number_left(const struct world *w)
{
	uint32_t i;

	for (i = 0; i < w->config.endpoints_max; i++)
		if (!w->at[i].there && !w->at[i].out)
			return 1;
	return 0;
}

static void add(struct world *w)
{
	uint32_t weight = (uint32_t)dice_between(&w->dice, 0, 4), i = PLACES;
	char name[sizeof(w->at[0].name)];
	int want = is_number_left(w) ? PMZ_OK : PMZ_E_STATE;

	snprintf(name, sizeof(name), "node-%u", (unsigned)w->names++);
	same(pmz_balance_add(w->balance, name, weight, w->now, &i), want,
	     "an add");
	if (want)
		return;
	must(i < w->config.endpoints_max && !w->at[i].there && !w->at[i].out,
	     "seed %d, step %d: number %u is taken", w->seed, w->step, i);
	seen.reused += w->at[i].name[0] != 0;
	memset(&w->at[i], 0, sizeof(w->at[i]));
	w->at[i].there = w->at[i].healthy = 1;
	w->at[i].weight = weight;
	memcpy(w->at[i].name, name, sizeof(name));
	changed(w);
	same(pmz_balance_add(w->balance, name, weight, w->now, NULL),
	     PMZ_E_CONFIG, "a second of that name");
}

static void reweight(struct world *w, uint32_t i)
{
	uint32_t weight = (uint32_t)dice_between(&w->dice, 0, 4);

	same(pmz_balance_weight(w->balance, i, weight, w->now),
	     w->at[i].there ? PMZ_OK : PMZ_E_STATE, "a weight");
	if (!w->at[i].there)
		return;
	w->at[i].weight = weight;
	if (!weight)
		get_up(w, i);
	changed(w);
}

static void take_out(struct world *w, uint32_t i)
{
	same(pmz_balance_remove(w->balance, i, w->now),
	     w->at[i].there ? PMZ_OK : PMZ_E_STATE, "a remove");
	if (!w->at[i].there)
		return;
	w->at[i].there = 0;
	get_up(w, i);
	changed(w);
}

static void probe(struct world *w, uint32_t i)
{
	int healthy = !dice_once_in(&w->dice, 3);
	int is_news = w->at[i].there && w->at[i].healthy != healthy;

	same(pmz_balance_health(w->balance, i, healthy, w->now),
	     w->at[i].there ? PMZ_OK : PMZ_E_STATE, "a probe");
	if (!is_news)
		return;
	w->at[i].healthy = healthy;
	count_is_sure(w);
	look_at_rests(w);
	look_for_outage(w);
	begin_turns(w);
}

static void change(struct world *w)
{
	uint32_t i = (uint32_t)dice_between(&w->dice, 0, PLACES - 1);

	switch (dice_between(&w->dice, 0, 9)) {
	case 0:
	case 1:
		add(w);
		break;
	case 2:
		take_out(w, i);
		break;
	case 3:
		reweight(w, i);
		break;
	default:
		probe(w, i);
	}
}

static void check_endpoint(const struct world *w, uint32_t i)
{
	const struct endpoint *e = &w->at[i];
	pmz_endpoint_stats s;

	if (!e->there) {
		s.size = sizeof(s);
		same(pmz_balance_read(w->balance, i, w->now, &s), PMZ_E_STATE,
		     "a read of nobody");
		return;
	}
	s = read_stats(w, i);
	same(s.in_flight, e->out, "in_flight");
	same(s.weight, e->weight, "weight");
	same(s.picks, e->picks, "picks");
	same(s.failures, e->failures, "failures");
	same(s.ejections, e->ejections, "ejections");
	same(s.ejected_until, e->rests ? e->until : 0, "ejected_until");
	same(s.healthy, e->healthy && !e->rests, "healthy");
}

/* Histories. */

static uint32_t some_pct(dice *d)
{
	return dice_once_in(d, 5) ? PMZ_OFF : (uint32_t)dice_between(d, 1, 100);
}

static void choose_balance(struct world *w)
{
	pmz_balance_config *c = &w->config;
	dice *d = &w->dice;

	c->size = sizeof(*c);
	c->strategy = (uint32_t)dice_between(d, PMZ_LEAST, PMZ_BY_KEY);
	c->endpoints_max = (uint32_t)dice_between(d, 1, PLACES);
	c->panic_pct = some_pct(d);
	c->eject_max_pct = some_pct(d);
	c->eject_interval_ns = PMZ_MS(dice_between(d, 1, 200));
	c->eject_base_ns = PMZ_MS(dice_between(d, 1, 50));
	c->eject_most_ns = c->eject_base_ns * dice_between(d, 1, 5);
	c->eject_most_ns += dice_between(d, 0, c->eject_base_ns);
	c->eject_consecutive = (uint32_t)dice_between(d, 1, 5);
	c->eject_sigma_pct = PMZ_OFF;
	c->load_bound_pct = dice_once_in(d, 3)
	                            ? PMZ_OFF
	                            : (uint32_t)dice_between(d, 100, 200);
	c->seed = dice_roll(d) | 1;
	must_be(pmz_balance_new(&w->balance, c, NULL), PMZ_OK);
}

static void choose_pipe(struct world *w)
{
	pmz_backoff_rule retries = { .size = sizeof(retries) };
	pmz_pipe_config c = { .size = sizeof(c), .balance = w->balance };
	dice *d = &w->dice;

	retries.base_ns = 1 + dice_sized(d, 20);
	retries.max_ns = retries.base_ns * 4;
	retries.tries_max = (uint32_t)dice_between(d, 1, 9);
	c.backoff = &retries;
	if (dice_once_in(d, 3)) {
		must_be(pmz_rate_set(&w->rate, 5, PMZ_MS(1),
		                     dice_between(d, 1, 9)),
		        PMZ_OK);
		c.bucket = &w->bucket;
		c.rate = &w->rate;
		c.wait_max_ns = dice_once_in(d, 2) ? 0 : PMZ_S(1);
	}
	must_be(pmz_pipe_new(&w->pipe, &c, NULL), PMZ_OK);
}

static void create(struct world *w, int seed)
{
	uint32_t i;

	memset(w, 0, sizeof(*w));
	w->seed = seed;
	w->dice = dice_of(seed);
	w->now = hostile_start(&w->dice);
	if (w->now > LAST_INSTANT)
		w->now = LAST_INSTANT;
	choose_balance(w);
	choose_pipe(w);
	for (i = 0; i < w->config.endpoints_max; i++)
		if (!dice_once_in(&w->dice, 4))
			add(w);
}

/* The end of a rest, or of a wait, is where things are decided. */
static pmz_ns edge_of(struct world *w)
{
	uint32_t i = (uint32_t)dice_between(&w->dice, 0, PLACES - 1);

	return w->at[i].was_sent ? w->at[i].until
	                         : pmz_call_due(&w->attempts[i].call);
}

static void step_world(struct world *w)
{
	pmz_ns edge = edge_of(w);

	w->now = hostile_next(&w->dice, w->now, edge, PMZ_MS(2));
	if (w->now > LAST_INSTANT)
		w->now = LAST_INSTANT;
	look_at_rests(w);
	note_outage(w);
	if (dice_once_in(&w->dice, 32))
		change(w);
	else
		go_on(w);
	note_outage(w);
	check_endpoint(w, (uint32_t)w->step % PLACES);
}

/* All that is out comes back, and nothing is left. */
static void end_all(struct world *w)
{
	uint32_t i;

	for (i = 0; i < CALLS; i++)
		if (w->attempts[i].step)
			cancel(w, &w->attempts[i]);
	for (i = 0; i < PLACES; i++) {
		same(w->at[i].out, 0, "what is out at the end");
		check_endpoint(w, i);
	}
	pmz_ring_free(w->ring);
	pmz_pipe_free(w->pipe);
	pmz_balance_free(w->balance);
}

static void history(int seed)
{
	static struct world w;

	create(&w, seed);
	for (w.step = 0; w.step < STEPS; w.step++)
		step_world(&w);
	end_all(&w);
}

START_TEST(an_attempt_goes_where_the_lists_say_it_may)
{
	int histories = hostile_histories(STEPS, TURNS), i;

	for (i = 0; i < histories; i++)
		history(_i * histories + i);
}
END_TEST

static void at_least(uint64_t in_each, uint64_t count)
{
	must_fit(in_each * TURNS, count);
}

/* All that would tell little of histories in which nothing happens. */
START_TEST(the_histories_have_all_in_them)
{
	int seed;

	memset(&seen, 0, sizeof(seen));
	for (seed = 0; seed < TURNS; seed++)
		history(seed);
	at_least(20, seen.retries);
	at_least(20, seen.undone);
	at_least(20, seen.refusals);
	at_least(2, seen.ejections);
	at_least(4, seen.panics);
	at_least(4, seen.spread);
	at_least(20, seen.homes);
	at_least(4, seen.cycles);
	at_least(1, seen.spared);
	must(seen.reused, "no number has had two owners");
	must(fabs((double)seen.admitted - seen.to_admit) <=
	             5 * sqrt(seen.variance),
	     "%llu calls were admitted after outages, not %.0f",
	     (llu)seen.admitted, seen.to_admit);
	/* The model must not ask more than it knows. */
	must_fit(seen.unsure, seen.picks / 3);
}
END_TEST

/* Canaries. */

static void check_key(dice *d, int seed)
{
	uint64_t hash = dice_sized(d, 64), salt = dice_sized(d, 64);
	uint32_t part = 0;
	int was_in = 0, is_in;

	must(!pmz_canary(hash, salt, 0), "seed %d: one of none", seed);
	while (part < MILLION) {
		part += 1 + (uint32_t)dice_sized(d, 18);
		is_in = pmz_canary(hash, salt, part);
		must(is_in || !was_in, "seed %d: key %llu left at %u ppm", seed,
		     (llu)hash, part);
		must(is_in == pmz_canary(hash, salt, part),
		     "seed %d: key %llu is in and is not", seed, (llu)hash);
		was_in = is_in;
	}
	must(was_in, "seed %d: key %llu is not one of all", seed, (llu)hash);
}

START_TEST(a_key_stays_in_a_canary_that_grows)
{
	dice d = dice_of(_i);
	int i;

	for (i = 0; i < STEPS; i++)
		check_key(&d, _i);
}
END_TEST

/* Within five standard deviations. */
static void check_share(int seed, uint64_t count, double share)
{
	double want = KEYS_IN_ALL * share;
	double spread = sqrt(want * (1 - share));

	must(fabs((double)count - want) <= 5 * spread + 1,
	     "seed %d: %llu keys, not %.0f", seed, (llu)count, want);
}

START_TEST(a_canary_has_its_part_of_the_keys_whatever_another_has)
{
	dice d = dice_of(_i);
	uint64_t first = dice_sized(&d, 32), other = first + 1, in[3] = { 0 };
	uint32_t one = (uint32_t)dice_between(&d, 1, MILLION - 1);
	uint32_t two = (uint32_t)dice_between(&d, 1, MILLION - 1);
	uint64_t key;

	for (key = 0; key < KEYS_IN_ALL; key++) {
		/* Numbers that follow each other, or anything. */
		uint64_t hash = _i % 2 ? key : dice_roll(&d);
		int a = pmz_canary(hash, first, one);
		int b = pmz_canary(hash, other, two);

		in[0] += (uint64_t)a;
		in[1] += (uint64_t)b;
		in[2] += (uint64_t)(a && b);
	}
	check_share(_i, in[0], one / 1e6);
	check_share(_i, in[1], two / 1e6);
	check_share(_i, in[2], one / 1e6 * two / 1e6);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("balance_model");
	TCase *all = tcase_create("hostile histories");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, all);
	tcase_set_timeout(all, 300);
	tcase_add_loop_test(all, an_attempt_goes_where_the_lists_say_it_may, 0,
	                    TURNS);
	tcase_add_loop_test(all, a_key_stays_in_a_canary_that_grows, 0, TURNS);
	tcase_add_loop_test(
		all, a_canary_has_its_part_of_the_keys_whatever_another_has, 0,
		TURNS);
	tcase_add_test(all, the_histories_have_all_in_them);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
