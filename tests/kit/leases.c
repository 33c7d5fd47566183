/*
 * leases.c - what wire tests of locks do again and again.
 */
#include "leases.h"

#include <stdlib.h>
#include <string.h>

#define INFO_MAX 32768
#define PATIENCE_S 10
#define NS_PER_MS 1000000

pmz_locks_config kit_locks_config(void)
{
	pmz_locks_config cfg = { .size = sizeof(cfg) };

	cfg.node_timeout_ns = PMZ_MS(KIT_NODE_MS);
	cfg.connect_ns = PMZ_MS(KIT_CONNECT_MS);
	return cfg;
}

pmz_locks_config kit_locks_patient(void)
{
	pmz_locks_config cfg = { .size = sizeof(cfg) };

	cfg.node_timeout_ns = cfg.connect_ns = PMZ_S(PATIENCE_S);
	return cfg;
}

void kit_locks_expect_well(pmz_locks *locks)
{
	pmz_lease lease;
	pmz_why why;
	int status = pmz_lock_acquire(locks, "well", PMZ_S(30),
	                              PMZ_S(PATIENCE_S), &lease, &why);

	if (status)
		kit_fail("%s: %s", pmz_status_name(status), why.text);
	status = pmz_lock_release(locks, &lease);
	if (status)
		kit_fail("a release: %s", pmz_status_name(status));
}

pmz_locks *kit_locks_quorum(const char *const *addresses, size_t count,
                            const pmz_locks_config *cfg)
{
	pmz_locks_config quick = kit_locks_config();
	pmz_locks *locks;
	pmz_why why;

	if (pmz_locks_open(&locks, addresses, count, cfg ? cfg : &quick,
	                   &why) != PMZ_OK)
		kit_fail("locks at %s: %s", addresses[0], why.text);
	return locks;
}

pmz_locks *kit_locks_open(const char *address, const pmz_locks_config *cfg)
{
	return kit_locks_quorum(&address, 1, cfg);
}

static void start(pthread_t *thread, void *(*run)(void *), void *arg)
{
	if (pthread_create(thread, NULL, run, arg))
		kit_fail("there is no room for a thread");
}

static void *wait_for_lock(void *arg)
{
	kit_waiter *w = arg;

	w->status = pmz_lock_acquire(w->locks, w->name, w->ttl, w->wait,
	                             &w->lease, &w->why);
	w->done_at = kit_now();
	return NULL;
}

void kit_waiter_start(kit_waiter *w, pmz_locks *locks, const char *name,
                      pmz_ns ttl, pmz_ns wait)
{
	memset(w, 0, sizeof(*w));
	w->locks = locks;
	w->name = name;
	w->ttl = ttl;
	w->wait = wait;
	start(&w->thread, wait_for_lock, w);
}

void kit_waiter_join(kit_waiter *w)
{
	pthread_join(w->thread, NULL);
}

static void *run_errand(void *arg)
{
	kit_errand *e = arg;

	kit_doze(e->ms);
	e->deed(e->ctx);
	return NULL;
}

void kit_errand_start(kit_errand *e, unsigned ms, kit_deed deed, void *ctx)
{
	e->ms = ms;
	e->deed = deed;
	e->ctx = ctx;
	start(&e->thread, run_errand, e);
}

void kit_errand_join(kit_errand *e)
{
	pthread_join(e->thread, NULL);
}

unsigned kit_ms_since(int64_t then)
{
	return (unsigned)((kit_now() - then) / NS_PER_MS);
}

static long long number_behind(const char *text, const char *label)
{
	const char *at = strstr(text, label);

	return at ? strtoll(at + strlen(label), NULL, 10) : 0;
}

long long kit_info(const kit_redis *r, const char *section, const char *label)
{
	char *text = malloc(INFO_MAX);
	long long number;

	if (!text)
		kit_fail("out of memory");
	kit_redis_ask(r, text, INFO_MAX, "INFO", section, NULL);
	number = number_behind(text, label);
	free(text);
	return number;
}

long long kit_script_calls(const kit_redis *r)
{
	return kit_info(r, "commandstats", "cmdstat_evalsha:calls=") +
	       kit_info(r, "commandstats", "cmdstat_eval:calls=");
}

typedef struct audience {
	kit_redis *server;
	long long count;
} audience;

static int is_heard(void *ctx)
{
	const audience *a = ctx;

	return kit_info(a->server, "clients", "tracking_clients:") >= a->count;
}

void kit_wait_for_listeners(kit_redis *r, long long count)
{
	audience a = { r, count };

	kit_wait(is_heard, &a, PATIENCE_S, "a client to listen for changes");
}

static int is_quiet(void *ctx)
{
	return kit_info(ctx, "clients", "connected_clients:") == 1;
}

void kit_wait_for_quiet(kit_redis *r)
{
	kit_wait(is_quiet, r, PATIENCE_S, "all clients to be gone");
}
