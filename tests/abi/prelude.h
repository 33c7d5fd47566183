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

void world_sleep(pmz_ns when)
{
	if (now < when)
		now = when;
}
#define pmz_sleep_until world_sleep

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

int write_index(uint64_t fence)
{
	return fence ? PMZ_OK : PMZ_E_LOST;
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

void must(int holds, const char *claim);

/* A store, where an example would have a server. */
#ifdef IN_lock
int open_locks(pmz_locks **out, const char *const *addresses, size_t count,
               const pmz_locks_config *config, pmz_why *reason)
{
	static const char *const memory = "memory:";

	must(addresses[0] && count == 1, "the example opens nothing");
	return pmz_locks_open(out, &memory, count, config, reason);
}
#define pmz_locks_open open_locks

void work(uint64_t fence)
{
	static uint64_t highest;

	calls++;
	must(!pmz_fence_check(&highest, fence), "the fence does not grow");
}
#endif

/* A connection that is not there: the program is only compiled. */
#ifdef IN_lock_hiredis
#include <pipemaze/lock_hiredis.h>
typedef struct redisContext redisContext;
#define redisConnect(host, port) ((redisContext *)NULL)
void work(uint64_t fence)
{
	(void)fence;
}
#endif

/* A server that grants what it is asked for. */
#ifdef IN_lock_proto
pmz_lock_rules rules = { .size = sizeof(rules), .fence_off = 1 };
uint64_t two_seeds[2] = { 1, 2 };
#define seed two_seeds
pmz_lock_op op;
pmz_lock_order order;
pmz_lock_step step;
pmz_lease lease;
uint32_t tickets[4], sent;

void send(uint32_t node, uint32_t argc, const char *const *argv,
          const size_t *len)
{
	must(!node && argc && argv[0] && len[0], "the order is no command");
	tickets[sent++] = order.ticket;
	calls++;
}

void read_replies_until(pmz_ns due)
{
	must(due > now, "the op waits for what is past");
	while (sent)
		pmz_lock_op_reply(&op, tickets[--sent], "1 0 0", 5, now);
}
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
