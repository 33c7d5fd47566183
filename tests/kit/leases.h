/*
 * leases.h - what wire tests of locks do again and again.
 *
 * What fails here ends the test program, as in redis.h.
 * Threads: one at a time per waiter, and per errand.
 */
#ifndef KIT_LEASES_H
#define KIT_LEASES_H

#include <pthread.h>

#include <pipemaze/lock.h>

#include "redis.h"

/* Time-outs short enough for tests, and long enough for a loaded machine. */
#define KIT_CONNECT_MS 250u
#define KIT_NODE_MS 150u
/* What the library promises to be late by at most, and what a machine that has
 * other things to do may add. */
#define KIT_LATE_MS 100u
#define KIT_LOADED_MS 150u

/* What lock.h grants a server's user, as words of ACL SETUSER. */
#define KIT_RIGHTS                                                             \
	"resetkeys", "~lock:*", "~{lock:*}:*", "resetchannels",                \
		"&__redis__:invalidate", "-@all", "+evalsha", "+eval", "+set", \
		"+get", "+mget", "+del", "+pttl", "+pexpire", "+time",         \
		"+client|id", "+client|tracking", "+subscribe"

pmz_locks_config kit_locks_config(void); /* with these time-outs */
/* So long that a busy machine is not taken for a failure. */
pmz_locks_config kit_locks_patient(void);

/* NULL for kit_locks_config(). */
pmz_locks *kit_locks_open(const char *address, const pmz_locks_config *cfg);
pmz_locks *kit_locks_quorum(const char *const *addresses, size_t count,
                            const pmz_locks_config *cfg);

/* That a lock of these can be taken and given back. */
void kit_locks_expect_well(pmz_locks *locks);

/* An acquire on a thread of its own. */
typedef struct kit_waiter {
	pmz_locks *locks;
	const char *name;
	pmz_ns ttl, wait;
	/* After _join: */
	int status;
	int64_t done_at; /* on kit_now() */
	pmz_lease lease;
	pmz_why why;
	pthread_t thread;
} kit_waiter;

void kit_waiter_start(kit_waiter *w, pmz_locks *locks, const char *name,
                      pmz_ns ttl, pmz_ns wait);
void kit_waiter_join(kit_waiter *w);

/* Something that happens a little later. */
typedef void (*kit_deed)(void *ctx);
typedef struct kit_errand {
	kit_deed deed;
	void *ctx;
	unsigned ms;
	pthread_t thread;
} kit_errand;

void kit_errand_start(kit_errand *e, unsigned ms, kit_deed deed, void *ctx);
void kit_errand_join(kit_errand *e);

unsigned kit_ms_since(int64_t then); /* of kit_now() */

/* The number behind this label in a section of INFO, 0 if it is not there:
 * "clients", "connected_clients:" or "commandstats", "cmdstat_get:calls=". */
long long kit_info(const kit_redis *r, const char *section, const char *label);
/* Scripts that were run. */
long long kit_script_calls(const kit_redis *r);

/* So many clients that hear of changed keys by now. */
void kit_wait_for_listeners(kit_redis *r, long long count);
/* Nobody but who asks is connected: all that was sent has been dealt with. */
void kit_wait_for_quiet(kit_redis *r);

#endif
