/*
 * prelude.h - the world that the examples of the headers and of README.md are
 * in: what they name and do not declare. See examples-in-docs.sh.
 *
 * An example is the body of example(), which runs again and again on a clock
 * that only this file moves, before a backend that fails now and then.
 */
#include <pipemaze.h>

#include <stdio.h>
#include <stdlib.h>

#define RUNS 25 /* more than the burst of any example */

int example(void);

pmz_ns now = PMZ_S(1);
unsigned calls; /* of what follows */

/* Examples read the library's clock, and here it is this one. */
pmz_ns world_clock(void)
{
	return now += PMZ_MS(1);
}
#define pmz_now world_clock

void sleep_until(pmz_ns when)
{
	if (now < when)
		now = when;
}

pmz_outcome attempt(void)
{
	return ++calls % 3 ? PMZ_FAILURE : PMZ_SUCCESS;
}

pmz_outcome attempt_at(uint32_t endpoint)
{
	(void)endpoint;
	return attempt();
}

int call_backend(void) /* not 0: an error */
{
	return ++calls % 3 == 0;
}

int http_get(const char *url, pmz_ns due) /* not 0: an error */
{
	calls++;
	return !url || !due;
}

int http_429(pmz_ns retry_after)
{
	calls++;
	return retry_after > 0 ? 429 : 0;
}

struct client {
	pmz_bucket bucket;
} the_client, *client = &the_client;

pmz_breaker *breaker;
pmz_bulkhead *bulkhead, *h;
pmz_budget *budget;
pmz_balance *balance;
pmz_pipe *pipe;
pmz_backoff_rule rule = { .size = sizeof(rule) };
pmz_breaker_stats stats = { .size = sizeof(stats) };
pmz_bulkhead_stats slots = { .size = sizeof(slots) };
pmz_ns deadline = PMZ_NEVER, at, ready, next_try;
uint64_t seed = 1;
pmz_why why;
int st;

/* Each header calls its own guard b. */
#ifdef IN_budget
pmz_budget *b;
#define NAME_B (b = budget)
#elif defined(IN_balance)
pmz_balance *b;
#define NAME_B (b = balance)
#else
pmz_breaker *b;
#define NAME_B (b = breaker)
#endif

void must(int holds, const char *claim)
{
	if (holds)
		return;
	puts(claim);
	exit(1);
}

void begin_world(void)
{
	pmz_pipe_config guards = { .size = sizeof(guards), .backoff = &rule };

	st = pmz_breaker_new(&breaker, NULL, &why) |
	     pmz_bulkhead_new(&bulkhead, NULL, &why) |
	     pmz_budget_new(&budget, NULL, &why) |
	     pmz_balance_new(&balance, NULL, &why);
	st |= pmz_balance_add(balance, "10.0.0.1:80", 1, now, NULL);
	NAME_B;
	guards.breaker = breaker;
	guards.bulkhead = h = bulkhead;
	guards.budget = budget;
	guards.try_ns = PMZ_S(2);
	must(!st && !pmz_pipe_new(&pipe, &guards, &why), why.text);
}

void end_world(void)
{
	must(!pmz_breaker_read(breaker, now, &stats), "stats has no size");
	must(!stats.probes_out, "the example keeps a probe of the breaker");
	must(!stats.misused, "the example settles an empty permit");
	must(!pmz_bulkhead_read(bulkhead, &slots), "slots has no size");
	must(!slots.in_use, "the example keeps a slot of the bulkhead");
	must(!slots.over_releases, "the example settles a permit twice");
	pmz_pipe_free(pipe);
	pmz_budget_free(budget);
	pmz_balance_free(balance);
	pmz_bulkhead_free(bulkhead);
	pmz_breaker_free(breaker);
}

int main(void)
{
	int i;

	begin_world();
	for (i = 0; i < RUNS; i++)
		(void)example();
#ifdef CALLS_OUT
	must(calls > 0, "the example never comes to its call");
#endif
	end_world();
	return 0;
}
