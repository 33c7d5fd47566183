/*
 * ear.h - hearing from a server that a key has changed.
 *
 * Client tracking over RESP2: the ear is a second connection, subscribed to the
 * server's channel of invalidations; the command connection asks that what its
 * scripts read is tracked, and told to the ear. Each key that was read is told
 * of once. https://redis.io/docs/manual/client-side-caching/
 * Threads: one at a time per ear.
 */
#ifndef PMZ_LIB_REDIS_EAR_H
#define PMZ_LIB_REDIS_EAR_H

#include <pipemaze/lock.h>

#include "redis/conn.h"

#define PMZ__EAR_KEY_MAX (sizeof("lock:") - 1 + PMZ_LOCK_NAME_MAX)

typedef struct pmz__ear {
	pmz__conn conn;
	pmz__conn *commands; /* the connection that reads */
	long long id;        /* of conn, at the server; 0: not known */
	uint64_t asked;      /* the serial of `commands` that was told of it */
	uint64_t tracked;    /* ... and that has confirmed */
	pmz_ns again;        /* it is not opened before */
	uint32_t subscribed;
	uint32_t absent;  /* the server does not know this, or forbids it */
	uint32_t hears;   /* listening has succeeded, and was not lost since */
	uint32_t noticed; /* a notice for `key` is not told yet */
	char key[PMZ__EAR_KEY_MAX + 1];
} pmz__ear;

void pmz__ear_init(pmz__ear *e, pmz__conn *commands);
void pmz__ear_end(pmz__ear *e, pmz_ns now);

/* As listen() and so on of link.h. */
int pmz__ear_listen(pmz__ear *e, const char *name, pmz_ns now);
void pmz__ear_wants(const pmz__ear *e, short *events, int *fd, pmz_ns *due);
int pmz__ear_go_on(pmz__ear *e, pmz_ns now);
/* Nobody waits any more: what has come since is old. */
void pmz__ear_forget(pmz__ear *e, pmz_ns now);

/* The command connection's answer to what the ear asked there. */
void pmz__ear_tracked(pmz__ear *e, const redisReply *reply, pmz_ns now);
/* Whether the command connection is to be watched for it. */
int pmz__ear_watches(const pmz__ear *e);

#endif
