/*
 * day.c - a day of traffic through all guards, in a second or two of real time.
 *
 * Calls come and go on a virtual clock, many at a time. Endpoints fail, hang
 * and recover, now and then all of them at once; limits change each hour, and
 * some calls are cancelled. After each step the guards must agree with what the
 * test has counted itself, and in the end nothing may be left.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pipemaze/balance.h>
#include <pipemaze/breaker.h>
#include <pipemaze/budget.h>
#include <pipemaze/bulkhead.h>
#include <pipemaze/pipe.h>
#include <pipemaze/sim.h>

#include "dice.h"
#include "must.h"
#include "sanitizer.h"

#define HOUR PMZ_S(3600)
#define DAY (24 * HOUR)
#define DAWN PMZ_S(100) /* where the clock starts */
#define ENDPOINTS 4
#define CALLS_MAX 256 /* at once */
#define EVENTS 4096   /* of each kind that the last ten seconds may hold */
#define OUTAGES 12
#define TEXT_MAX 2048
#define STATUSES 128 /* that are no error */

#define TRIES 3
#define PROBES 3
#define TOTAL PMZ_S(10)
#define RATE 20
#define BURST 40
#define BUDGET_PCT 20
#define BUDGET_FLOOR 1
#define BUDGET_SPAN PMZ_S(10)

#define REST                                                              \
	" | rate 20/s burst 40 | tries 3 backoff 50ms..2s jitter full | " \
	"budget 20% floor 1/s | try 2s | total 10s | wait 500ms | "       \
	"balance least eject 5 consecutive base 30s most 50%"

static const struct {
	const char *line;
	uint32_t limit;
} plans[] = {
	{ "breaker 50% over 10s min 20 open 5s..60s probes 3 | bulkhead "
	  "12" REST,
	  12 },
	{ "breaker 40% over 5s min 10 open 2s..30s probes 3 | bulkhead 6" REST,
	  6 },
	/* It opens, and is probed, while calls that hang fill the bulkhead. */
	{ "breaker 30% over 5s min 5 open 200ms..2s probes 3 | bulkhead 3" REST,
	  3 },
};

static const uint32_t weights[ENDPOINTS] = { 1, 2, 1, 2 };

typedef struct call {
	pmz_call call;
	pmz_ns begun, at; /* at: its next event */
	pmz_step step;
	pmz_outcome how;   /* of the attempt that ends then */
	uint32_t endpoint; /* of that attempt */
	uint32_t tries;
	uint32_t withdrawal; /* 0: none is open */
	int is_there;
} call;

/* Instants, the newest at count - 1; 0 for one that was taken back. */
typedef struct events {
	pmz_ns at[EVENTS];
	uint32_t count;
} events;

typedef struct day {
	int seed;
	dice dice;
	pmz_sim sim;
	pmz_pipe *pipe;
	pmz_pipe_rules rules;
	pmz_script scripts[ENDPOINTS], weather;
	call calls[CALLS_MAX];
	uint32_t trying, to[ENDPOINTS];
	uint32_t limit, state, drained;
	double tokens;
	pmz_ns tokens_at;
	events deposits, withdrawals;
	uint64_t steps, retries, cancelled, trips;
	uint64_t ends[STATUSES];
} day;

static pmz_ns now_of(const day *d)
{
	return pmz_sim_now(&d->sim);
}

/* A day of its own for each, with good hours and bad minutes. */
static void draw_script(day *d, pmz_script *out, uint32_t longest_s)
{
	static const char *const bad[] = { "fail 90% 10ms",  "hang 60% 50ms",
		                           "slow 500ms..3s", "fail 5ms",
		                           "again 70% 20ms", "hang" };
	char text[TEXT_MAX], *at = text;
	pmz_why why;
	int i, status;

	for (i = 0; i < OUTAGES; i++)
		at += sprintf(at, "%us ok 5ms..200ms | %us %s | ",
		              (unsigned)dice_between(&d->dice, 600, 9000),
		              (unsigned)dice_between(&d->dice, 20, longest_s),
		              bad[dice_roll(&d->dice) % 6]);
	strcpy(at, "ok 5ms..200ms");
	status = pmz_script_from(out, text, &why);
	must(status == PMZ_OK, "seed %d: %s", d->seed, why.text);
}

static void set_out(day *d, int seed)
{
	static const char *const names[ENDPOINTS] = { "a", "b", "c", "d" };
	uint32_t i;

	memset(d, 0, sizeof(*d));
	d->seed = seed;
	d->dice = dice_of(seed);
	pmz_sim_start(&d->sim, DAWN, (uint64_t)seed);
	must_be(pmz_pipe_from(&d->pipe, plans[0].line, NULL, NULL), PMZ_OK);
	d->rules.size = sizeof(d->rules);
	must_be(pmz_pipe_read(d->pipe, &d->rules), PMZ_OK);
	d->limit = plans[0].limit;
	d->drained = ENDPOINTS;
	d->state = PMZ_CLOSED;
	d->tokens = BURST;
	d->tokens_at = DAWN;
	draw_script(d, &d->weather, 300);
	for (i = 0; i < ENDPOINTS; i++) {
		draw_script(d, &d->scripts[i], 1200);
		must_be(pmz_balance_add(d->rules.balance, names[i], weights[i],
		                        DAWN, NULL),
		        PMZ_OK);
	}
}

static void note(events *e, pmz_ns at)
{
	e->at[e->count++ % EVENTS] = at;
}

static uint32_t since(const events *e, pmz_ns from)
{
	uint32_t i, n = 0;

	for (i = e->count; i && e->count - i < EVENTS; i--) {
		pmz_ns at = e->at[(i - 1) % EVENTS];

		if (at && at < from)
			break;
		n += at != 0;
	}
	return n;
}

/* The last one that was a share of the calls went by those of a span before it;
 * what follows it comes from the floor. What is a span old is forgotten up to a
 * tenth of it early. */
static void withdraw(day *d, call *c)
{
	pmz_ns now = now_of(d);
	uint32_t calls = since(&d->deposits, now - BUDGET_SPAN * 19 / 10);
	uint32_t most = calls * BUDGET_PCT / 100 +
	                BUDGET_FLOOR * (uint32_t)(BUDGET_SPAN / PMZ_S(1) + 1);

	note(&d->withdrawals, now);
	c->withdrawal = d->withdrawals.count;
	must_fit(since(&d->withdrawals, now - BUDGET_SPAN / 10 * 9), most);
}

static void refund(day *d, call *c)
{
	if (c->withdrawal)
		d->withdrawals.at[(c->withdrawal - 1) % EVENTS] = 0;
	c->withdrawal = 0;
}

/* What the bucket holds, by a clock of whole numbers that others read as real
 * ones. */
static double tokens_now(const day *d)
{
	double more = (double)(now_of(d) - d->tokens_at) / 1e9 * RATE;

	return fmin(BURST, d->tokens + more);
}

static void take_token(day *d)
{
	d->tokens = tokens_now(d) - 1;
	d->tokens_at = now_of(d);
	must(d->tokens > -1e-3, "seed %d: a token came too early", d->seed);
}

/* How this attempt will end: by its endpoint, or, in bad weather, as all do. */
static void foresee(day *d, call *c)
{
	pmz_ns now = now_of(d), lasts, due = pmz_call_due(&c->call);
	const pmz_script *script = &d->scripts[c->endpoint];

	if (strcmp(pmz_script_state(&d->weather, now - DAWN), "ok"))
		script = &d->weather;
	c->how = pmz_script_attempt(script, now - DAWN, dice_roll(&d->dice),
	                            &lasts);
	c->at = lasts < due - now ? now + lasts : due;
	if (lasts >= due - now)
		c->how = PMZ_FAILURE;
}

static void attempt_begins(day *d, call *c)
{
	c->withdrawal = 0; /* it is used */
	c->tries++;
	must_fit(c->tries, TRIES);
	must_be(pmz_call_tries(&c->call), c->tries);
	if (c->tries == 1)
		note(&d->deposits, now_of(d));
	else
		d->retries++;
	d->trying++;
	must_fit(d->trying, d->limit);
	c->endpoint = pmz_call_endpoint(&c->call);
	must(c->endpoint < ENDPOINTS && c->endpoint != d->drained,
	     "seed %d: an attempt goes to endpoint %u", d->seed, c->endpoint);
	d->to[c->endpoint]++;
	take_token(d);
	must_fit(pmz_call_due(&c->call), c->begun + TOTAL);
	foresee(d, c);
}

static void attempt_ends(day *d, const call *c)
{
	d->trying--;
	d->to[c->endpoint]--;
}

static void call_ends(day *d, call *c)
{
	int status = pmz_call_status(&c->call);

	refund(d, c);
	must(status >= 0 && status < STATUSES, "seed %d: it ends with %s",
	     d->seed, pmz_status_name(status));
	must_fit(now_of(d), c->begun + TOTAL);
	d->ends[status]++;
	c->is_there = 0;
}

/* What a call says after it was asked. */
static void follow(day *d, call *c, pmz_step step)
{
	c->step = step;
	if (step == PMZ_TRY) {
		attempt_begins(d, c);
	} else if (step == PMZ_WAIT) {
		c->at = pmz_call_due(&c->call);
		must(c->at >= now_of(d), "seed %d: it waits for the past",
		     d->seed);
	} else {
		call_ends(d, c);
	}
}

static void settle(day *d, call *c)
{
	pmz_step step;

	attempt_ends(d, c);
	step = pmz_call_settle(&c->call, c->how, now_of(d));
	if (step == PMZ_WAIT)
		withdraw(d, c);
	must(pmz_call_settle(&c->call, c->how, now_of(d)) == step,
	     "seed %d: it is settled twice", d->seed);
	follow(d, c, step);
}

static void cancel(day *d, call *c)
{
	if (c->step == PMZ_TRY)
		attempt_ends(d, c);
	pmz_call_cancel(&c->call, now_of(d));
	d->cancelled++;
	follow(d, c, PMZ_DONE);
}

static void go_on(day *d, call *c)
{
	if (dice_once_in(&d->dice, 50))
		cancel(d, c);
	else if (c->step == PMZ_TRY)
		settle(d, c);
	else
		follow(d, c, pmz_call_resume(&c->call, now_of(d)));
}

static void arrive(day *d)
{
	call *c = d->calls;

	while (c < d->calls + CALLS_MAX && c->is_there)
		c++;
	must(c < d->calls + CALLS_MAX, "seed %d: too many calls", d->seed);
	memset(c, 0, sizeof(*c));
	c->is_there = 1;
	c->begun = now_of(d);
	follow(d, c, pmz_call_begin(&c->call, d->pipe, NULL, c->begun));
}

/* Each hour other limits, and another endpoint that is drained. */
static void turn_the_hour(day *d)
{
	size_t plan = dice_roll(&d->dice) % (sizeof(plans) / sizeof(*plans));
	uint32_t i;

	must_be(pmz_pipe_reload(d->pipe, plans[plan].line, now_of(d), NULL),
	        PMZ_OK);
	d->limit = plans[plan].limit;
	d->drained = (uint32_t)dice_between(&d->dice, 0, ENDPOINTS);
	for (i = 0; i < ENDPOINTS; i++)
		must_be(pmz_balance_weight(d->rules.balance, i,
		                           i == d->drained ? 0 : weights[i],
		                           now_of(d)),
		        PMZ_OK);
}

static void check_bulkhead(const day *d)
{
	pmz_bulkhead_stats s = { .size = sizeof(s) };

	pmz_bulkhead_read(d->rules.bulkhead, &s);
	must_be(s.in_use, d->trying);
	must_be(s.limit, d->limit);
	must_be(s.over_releases, 0);
}

static void check_bucket(const day *d)
{
	uint64_t left =
		pmz_bucket_left(d->rules.bucket, &d->rules.rate, now_of(d));

	must_fit(left, BURST);
	must(fabs(tokens_now(d) - (double)left) < 1.001,
	     "seed %d: %.3f tokens, not %d", d->seed, tokens_now(d), (int)left);
}

static int may_become(uint32_t from, uint32_t to)
{
	if (from == PMZ_CLOSED)
		return to == PMZ_OPEN;
	if (from == PMZ_OPEN)
		return to == PMZ_HALF_OPEN;
	return from == PMZ_HALF_OPEN;
}

static void check_breaker(day *d)
{
	pmz_breaker_stats s = { .size = sizeof(s) };

	pmz_breaker_read(d->rules.breaker, now_of(d), &s);
	must(s.state == d->state || may_become(d->state, s.state),
	     "seed %d: from state %u to %u", d->seed, d->state, s.state);
	d->state = s.state;
	must_fit(s.probes_out, PROBES);
	must_fit(s.probes_out, d->trying);
	must_fit(s.window_failures, s.window_calls);
	must_be(s.misused, 0);
	d->trips = s.trips;
}

static void check_balancer(const day *d)
{
	uint32_t i, ejected = 0;

	for (i = 0; i < ENDPOINTS; i++) {
		pmz_endpoint_stats s = { .size = sizeof(s) };

		pmz_balance_read(d->rules.balance, i, now_of(d), &s);
		must_be(s.in_flight, d->to[i]);
		ejected += s.ejected_until > now_of(d);
	}
	must_fit(ejected, ENDPOINTS / 2);
}

static void check(day *d)
{
	check_bulkhead(d);
	check_bucket(d);
	check_breaker(d);
	check_balancer(d);
	d->steps++;
}

/* The call whose event is next; NULL: none is there. */
static call *next_call(day *d)
{
	call *c, *first = NULL;

	for (c = d->calls; c < d->calls + CALLS_MAX; c++)
		if (c->is_there && (!first || c->at < first->at))
			first = c;
	return first;
}

static void pass_until(day *d, pmz_ns until)
{
	call *c;

	while ((c = next_call(d)) && c->at < until) {
		pmz_sim_go(&d->sim, c->at);
		go_on(d, c);
		check(d);
	}
	pmz_sim_go(&d->sim, until);
}

/* Alone, or with many. */
static void arrive_some(day *d)
{
	uint64_t many =
		dice_once_in(&d->dice, 200) ? dice_between(&d->dice, 5, 60) : 1;

	while (many--) {
		arrive(d);
		check(d);
	}
}

/* More of them come at noon. */
static pmz_ns until_next(day *d)
{
	pmz_ns from_noon = (now_of(d) - DAWN) % DAY;

	from_noon =
		from_noon > DAY / 2 ? from_noon - DAY / 2 : DAY / 2 - from_noon;
	return dice_between(&d->dice, 1, PMZ_MS(200) + from_noon / 86400);
}

/* No day in which something never happened proves that it is counted. */
static void must_have_seen_all(const day *d)
{
	must(d->trips > 10, "seed %d: %u trips", d->seed, (unsigned)d->trips);
	must(d->retries > 100, "seed %d: no retries", d->seed);
	must(d->cancelled > 100, "seed %d: nothing cancelled", d->seed);
	must(d->ends[PMZ_OK] > d->steps / 10, "seed %d: no successes", d->seed);
	must(d->ends[PMZ_REFUSED_OPEN] && d->ends[PMZ_REFUSED_FULL] &&
	             d->ends[PMZ_REFUSED_RATE] && d->ends[PMZ_REFUSED_BUDGET] &&
	             d->ends[PMZ_GAVE_UP],
	     "seed %d: a kind of end never came", d->seed);
}

/* The last calls end, and then it is as new. */
static void expect_an_evening_in_peace(day *d)
{
	uint64_t before;
	int i;

	pass_until(d, now_of(d) + 2 * TOTAL);
	must_be(d->trying, 0);
	must(!next_call(d), "seed %d: a call is left", d->seed);
	check(d);
	for (i = 0; i < ENDPOINTS; i++)
		must_be(pmz_script_from(&d->scripts[i], "ok 10ms", NULL),
		        PMZ_OK);
	d->weather = d->scripts[0];
	/* Probes close it, and those that were put out come back. */
	for (i = 0; i < 600; i++) {
		pass_until(d, now_of(d) + PMZ_S(1));
		arrive(d);
	}
	before = d->ends[PMZ_OK] + d->cancelled;
	for (i = 0; i < 100; i++) {
		pass_until(d, now_of(d) + PMZ_S(1));
		arrive(d);
	}
	pass_until(d, now_of(d) + 2 * TOTAL);
	must_be(d->state, PMZ_CLOSED);
	must_be(d->trying, 0);
	must(d->ends[PMZ_OK] + d->cancelled >= before + 100,
	     "seed %d: a call failed in peace", d->seed);
}

START_TEST(a_day_of_outages_ends_as_it_began)
{
	static day d;
	pmz_ns hour, next;

	set_out(&d, _i);
	for (hour = DAWN + HOUR; hour <= DAWN + DAY; hour += HOUR) {
		while ((next = now_of(&d) + until_next(&d)) < hour) {
			pass_until(&d, next);
			arrive_some(&d);
		}
		pass_until(&d, hour);
		turn_the_hour(&d);
		check(&d);
	}
	must_have_seen_all(&d);
	expect_an_evening_in_peace(&d);
	pmz_pipe_free(d.pipe);
}
END_TEST

static int run_days(void)
{
	Suite *suite = suite_create("a day");
	TCase *days = tcase_create("days");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, days);
	tcase_set_timeout(days, 300);
	tcase_add_loop_test(days, a_day_of_outages_ends_as_it_began, 0, 2);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}

int main(void)
{
	if (KIT_HAS_TSAN) {
		puts("skipped: a day has one thread, and this would take long");
		return EXIT_SUCCESS;
	}
	return run_days();
}
