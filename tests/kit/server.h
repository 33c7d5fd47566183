/*
 * server.h - one redis-server for all tests of a program, and what they expect
 * of it and of its locks.
 *
 *   cmocka_run_group_tests(tests, server_start, server_stop);
 */
#ifndef KIT_SERVER_H
#define KIT_SERVER_H

#include "expect.h"
#include "leases.h"

static kit_redis *server;

static inline int server_start(void **state)
{
	(void)state;
	server = kit_redis_start(NULL);
	return 0;
}

static inline int server_stop(void **state)
{
	(void)state;
	kit_redis_stop(server);
	return 0;
}

/* It is up, and has no keys. */
static inline void server_renew(void)
{
	char text[32];

	if (!kit_redis_is_up(server))
		kit_redis_restart(server);
	kit_redis_ask(server, text, sizeof(text), "FLUSHALL", NULL);
}

/* To a command, as the words that follow. */
#define expect_answer(want, ...)                                              \
	do {                                                                  \
		char got_[8192];                                              \
		kit_redis_ask(server, got_, sizeof(got_), __VA_ARGS__, NULL); \
		assert_string_equal(got_, want);                              \
	} while (0)

static inline pmz_lease expect_grant(pmz_locks *locks, const char *name,
                                     pmz_ns ttl, pmz_ns wait)
{
	pmz_lease lease;
	pmz_why why;
	int status = pmz_lock_acquire(locks, name, ttl, wait, &lease, &why);

	if (status != PMZ_OK)
		fail_msg("%s: %s", pmz_status_name(status), why.text);
	return lease;
}

/* After `then` by no more than that, and what else leases.h allows. */
static inline void expect_back(int64_t then, unsigned allowed_ms)
{
	assert_in_range(kit_ms_since(then), 0,
	                allowed_ms + KIT_LATE_MS + KIT_LOADED_MS);
}

#endif
