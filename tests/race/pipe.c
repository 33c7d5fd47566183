/*
 * pipe.c - calls of several threads through one pipe, which is changed under
 * them.
 */
#include <check.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include <pipemaze/pipe.h>

#include "base/atomic.h"
#include "crew.h"
#include "dice.h"

#define BOOT PMZ_S(1000)
#define CALLS 60000 /* of each thread */
#define LIMIT 3

struct shared {
	pmz_pipe *pipe;
	pmz_bulkhead *bulkhead;
	int seed;
	pmz__a64 now, over;
	pmz__a64 inside, most_inside, calls, tries, wrong;
};

static pmz_ns now_of(const struct shared *s)
{
	return pmz__load(&s->now, PMZ__ACQUIRE);
}

static void add(pmz__a64 *to, uint64_t n)
{
	pmz__add(to, n, PMZ__RELAXED);
}

static uint64_t sum(const pmz__a64 *of)
{
	return pmz__load(of, PMZ__RELAXED);
}

static dice dice_for(const struct shared *s, unsigned who)
{
	return dice_of(s->seed * CREW_MAX + (int)who);
}

static pmz_pipe *pipe_from(const char *line, const pmz_pipe_config *shared)
{
	pmz_pipe *p;
	pmz_why why;

	ck_assert_msg(pmz_pipe_from(&p, line, shared, &why) == PMZ_OK, "%u: %s",
	              why.column, why.text);
	return p;
}

static pmz_bulkhead *bulkhead_of(uint32_t limit)
{
	const pmz_bulkhead_config c = { .size = sizeof(c), .limit = limit };
	pmz_bulkhead *h;

	ck_assert_int_eq(pmz_bulkhead_new(&h, &c, NULL), PMZ_OK);
	return h;
}

static pmz_pipe_rules rules_of(const pmz_pipe *p)
{
	pmz_pipe_rules r = { .size = sizeof(r) };

	ck_assert_int_eq(pmz_pipe_read(p, &r), PMZ_OK);
	return r;
}

/* The work between TRY and settle; at times another thread's turn comes. */
static void be_inside(struct shared *s, dice *d)
{
	uint64_t inside = pmz__add(&s->inside, 1, PMZ__ACQ_REL) + 1;
	uint64_t most = sum(&s->most_inside);

	while (inside > most &&
	       !pmz__cas(&s->most_inside, &most, inside, PMZ__RELAXED))
		;
	add(&s->now, PMZ_US(10));
	if (dice_once_in(d, 16))
		sched_yield();
	pmz__sub(&s->inside, 1, PMZ__ACQ_REL);
}

static pmz_outcome any_outcome(dice *d)
{
	return dice_once_in(d, 2)
	               ? PMZ_SUCCESS
	               : (pmz_outcome)dice_between(d, PMZ_FAILURE, PMZ_FATAL);
}

/* Now and then it is cancelled; where it waits, time passes. */
static void make_call(struct shared *s, dice *d)
{
	pmz_call c;
	pmz_step step = pmz_call_begin(&c, s->pipe, NULL, now_of(s));

	while (step != PMZ_DONE) {
		if (dice_once_in(d, 20)) {
			pmz_call_cancel(&c, now_of(s));
			break;
		}
		if (step == PMZ_TRY) {
			be_inside(s, d);
			step = pmz_call_settle(&c, any_outcome(d), now_of(s));
		} else {
			add(&s->now, PMZ_MS(1));
			step = pmz_call_resume(&c, now_of(s));
		}
	}
	add(&s->tries, pmz_call_tries(&c));
	add(&s->calls, pmz_call_tries(&c) > 0);
}

static void make_calls(unsigned who, void *ctx)
{
	struct shared *s = ctx;
	dice d = dice_for(s, who);
	int i;

	for (i = 0; i < CALLS; i++)
		make_call(s, &d);
}

/* Inside. */

START_TEST(never_more_calls_are_inside_than_the_limit)
{
	static const char *const lines[] = {
		"tries 3 backoff 1ms..5ms",
		"tries 3 backoff 1ms..5ms | wait 20ms",
		("breaker 60% over 10 calls open 1ms..10ms probes 2 | "
		 "tries 3 backoff 1ms..5ms | wait 20ms | total 50ms"),
		"rate 1000/s burst 10 | wait 5ms | budget 20% | tries 4",
	};
	const uint32_t limit = (uint32_t)_i % LIMIT + 1;
	struct shared s = { .bulkhead = bulkhead_of(limit), .seed = _i };
	pmz_pipe_config config = { .size = sizeof(config),
		                   .bulkhead = s.bulkhead };
	pmz_bulkhead_stats got = { .size = sizeof(got) };
	pmz_breaker_stats breaker = { .size = sizeof(breaker) };

	s.pipe = pipe_from(lines[_i / LIMIT], &config);
	s.now.word = BOOT;
	crew_run(5, make_calls, &s);
	pmz_bulkhead_read(s.bulkhead, &got);
	ck_assert_uint_le(sum(&s.most_inside), limit);
	ck_assert_uint_eq(got.in_use_max, limit);
	ck_assert_uint_eq(got.in_use, 0);
	ck_assert_uint_eq(got.over_releases, 0);
	ck_assert_uint_ge(got.admitted, sum(&s.tries));
	if (rules_of(s.pipe).breaker)
		pmz_breaker_read(rules_of(s.pipe).breaker, now_of(&s),
		                 &breaker);
	ck_assert_uint_eq(breaker.probes_out, 0);
	ck_assert_uint_eq(breaker.misused, 0);
	pmz_pipe_free(s.pipe);
	pmz_bulkhead_free(s.bulkhead);
}
END_TEST

/* What is shared out. */

static void take_what_there_is(unsigned who, void *ctx)
{
	struct shared *s = ctx;
	pmz_call c;
	int i;

	(void)who;
	for (i = 0; i < CALLS; i++)
		if (pmz_call_begin(&c, s->pipe, NULL, BOOT) == PMZ_TRY) {
			add(&s->tries, 1);
			pmz_call_cancel(&c, BOOT);
		}
}

START_TEST(at_one_instant_the_burst_is_granted_and_no_more)
{
	struct shared s = { .pipe = pipe_from("rate 7/s burst 999", NULL) };

	crew_run(4, take_what_there_is, &s);
	ck_assert_uint_eq(sum(&s.tries), 999);
	pmz_pipe_free(s.pipe);
}
END_TEST

/* All fail, and retry at once as far as they may. */
static void fail_and_retry(unsigned who, void *ctx)
{
	struct shared *s = ctx;
	int i;

	(void)who;
	for (i = 0; i < CALLS; i++) {
		pmz_call c;
		pmz_step step = pmz_call_begin(&c, s->pipe, NULL, BOOT);

		while (step != PMZ_DONE)
			step = step == PMZ_TRY
			               ? pmz_call_settle(&c, PMZ_FAILURE, BOOT)
			               : pmz_call_resume(&c, pmz_call_due(&c));
		add(&s->tries, pmz_call_tries(&c) - 1);
		add(&s->calls, 1);
	}
}

static uint64_t drained(pmz_budget *budget)
{
	uint64_t n = 0;

	while (pmz_budget_withdraw(budget, BOOT) == PMZ_OK)
		n++;
	return n;
}

/* 1 in 5, and those that one second has anyway. */
START_TEST(retries_are_no_more_than_their_share_of_the_calls)
{
	struct shared s = { .pipe = pipe_from(
				    "tries 100 backoff 1ns..1ns jitter none | "
				    "budget 20% floor 3/s",
				    NULL) };

	crew_run(4, fail_and_retry, &s);
	ck_assert_uint_eq(sum(&s.tries) + drained(rules_of(s.pipe).budget),
	                  sum(&s.calls) / 5 + 3);
	pmz_pipe_free(s.pipe);
}
END_TEST

/* Reloads. */

/* Each line's figures belong together: n s, 10 n s, n + 1 tries. */
static const char *const lines[] = {
	"try 1s | total 10s | tries 2 backoff 1ms..2ms | bulkhead 2 | "
	"breaker 50% over 1s open 1ms..2ms probes 2",
	"try 2s | total 20s | tries 3 backoff 1ms..2ms | bulkhead 3 | "
	"rate 100000/s burst 100 | budget 20% floor 100/s",
	"try 3s | total 30s | tries 4 backoff 1ms..2ms | bulkhead 1 | "
	"breaker 70% over 2s open 2ms..3ms probes 2 | rate 50000/s | "
	"budget 30% floor 50/s",
	"try 4s | total 40s | tries 5 backoff 1ms..2ms",
};

#define LINES (sizeof(lines) / sizeof(*lines))

static void check_rules(struct shared *s)
{
	pmz_pipe_rules r = { .size = sizeof(r) };

	if (pmz_pipe_read(s->pipe, &r) || r.total_ns != 10 * r.try_ns ||
	    r.try_ns / PMZ_S(1) + 1 != r.backoff.tries_max)
		add(&s->wrong, 1);
}

/* A call that fails as often as it may: all by the rules that it began with. */
static void check_a_whole_call(struct shared *s)
{
	pmz_ns now = now_of(s), first;
	pmz_call c;
	pmz_step step = pmz_call_begin(&c, s->pipe, NULL, now);

	if (step != PMZ_TRY)
		return;
	first = pmz_call_due(&c) - now;
	while (step != PMZ_DONE) {
		add(&s->now, PMZ_MS(1));
		now = now_of(s);
		if (step == PMZ_TRY)
			step = pmz_call_settle(&c, PMZ_AGAIN, now);
		else
			step = pmz_call_resume(&c, now);
		if (step == PMZ_TRY && pmz_call_due(&c) - now > first)
			add(&s->wrong, 1);
	}
	if (pmz_call_status(&c) == PMZ_GAVE_UP &&
	    pmz_call_tries(&c) != first / PMZ_S(1) + 1)
		add(&s->wrong, 1);
}

/* PMZ_E_STATE: another reload did not end in time, as its thread was not let
 * run. It is the caller's to ask again. */
static void reload_often(struct shared *s, dice *d)
{
	const char *line = lines[dice_between(d, 0, LINES - 1)];
	int status;

	do {
		status = pmz_pipe_reload(s->pipe, line, now_of(s), NULL);
	} while (status == PMZ_E_STATE);
	if (status)
		add(&s->wrong, 1);
}

#define RELOADS 4000

static void call_or_reload(unsigned who, void *ctx)
{
	struct shared *s = ctx;
	dice d = dice_for(s, who);
	int i;

	for (i = 0; i < RELOADS && (int)who < s->seed; i++)
		reload_often(s, &d);
	if ((int)who < s->seed) {
		add(&s->over, 1);
		return;
	}
	while ((int)sum(&s->over) < s->seed) {
		make_call(s, &d);
		check_a_whole_call(s);
		check_rules(s);
	}
}

static void expect_all_given_back(const struct shared *s)
{
	pmz_pipe_rules r;
	pmz_bulkhead_stats inside = { .size = sizeof(inside) };
	pmz_breaker_stats breaker = { .size = sizeof(breaker) };

	ck_assert_int_eq(pmz_pipe_reload(s->pipe, lines[2], now_of(s), NULL),
	                 PMZ_OK);
	r = rules_of(s->pipe);
	pmz_bulkhead_read(r.bulkhead, &inside);
	pmz_breaker_read(r.breaker, now_of(s), &breaker);
	ck_assert_uint_eq(inside.in_use, 0);
	ck_assert_uint_eq(inside.over_releases, 0);
	ck_assert_uint_le(inside.in_use_max, LIMIT);
	ck_assert_uint_eq(breaker.probes_out, 0);
	ck_assert_uint_eq(breaker.misused, 0);
}

/* The seed is how many of four threads reload. */
START_TEST(a_reload_is_seen_whole_and_loses_nothing)
{
	struct shared s = { .pipe = pipe_from(lines[0], NULL), .seed = _i };

	s.now.word = BOOT;
	crew_run(4, call_or_reload, &s);
	ck_assert_uint_eq(sum(&s.wrong), 0);
	expect_all_given_back(&s);
	pmz_pipe_free(s.pipe);
}
END_TEST

static void call_or_resize(unsigned who, void *ctx)
{
	static const char *const resized[] = { "bulkhead 1", "bulkhead 3" };
	struct shared *s = ctx;
	int i;

	if (who)
		make_calls(who, s);
	for (i = 0; !who && i < RELOADS; i++)
		if (pmz_pipe_reload(s->pipe, resized[i % 2], now_of(s), NULL))
			add(&s->wrong, 1);
}

START_TEST(a_limit_that_changes_is_never_passed)
{
	struct shared s = { .pipe = pipe_from("bulkhead 3", NULL) };

	s.now.word = BOOT;
	crew_run(6, call_or_resize, &s);
	ck_assert_uint_eq(sum(&s.wrong), 0);
	ck_assert_uint_le(sum(&s.most_inside), 3);
	pmz_pipe_free(s.pipe);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("pipe");
	TCase *tc = tcase_create("threads");
	SRunner *runner;
	int failed;

	tcase_add_loop_test(tc, never_more_calls_are_inside_than_the_limit, 0,
	                    4 * LIMIT);
	tcase_add_test(tc, at_one_instant_the_burst_is_granted_and_no_more);
	tcase_add_test(tc, retries_are_no_more_than_their_share_of_the_calls);
	tcase_add_loop_test(tc, a_reload_is_seen_whole_and_loses_nothing, 1, 3);
	tcase_add_test(tc, a_limit_that_changes_is_never_passed);
	tcase_set_timeout(tc, 120);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
