/*
 * history.h - what the clients of locks were told, and whether it can be true.
 *
 *   unsigned id = history_ask(h, who, "x", bound);
 *
 *   status = pmz_lock_acquire(locks, "x", ttl, wait, &lease, NULL);
 *   history_answer(h, id, status, &lease);
 *   ...
 *   history_let_go(h, id, bound);
 *   history_gone(h, id, pmz_lock_release(locks, &lease), &lease);
 *
 * and when all is over, history_judge(). A lease is held from the return of its
 * acquire until its `until` or the begin of its release, whichever comes first.
 * All instants are those of pmz_now() on one machine, so they are compared as
 * they are. What must be so:
 *   - no two leases of one name are held at once;
 *   - of those held one after the other, the later one has the higher fence;
 *   - none is lost before its `until`, unless by its release;
 *   - a kept one that is lost is said to be so once, before its `until`, and
 *     is said to be so if nobody has let it go;
 *   - each call is back within its bound.
 *
 * On a machine with too little time for its threads each of them may be late,
 * and it is nobody's fault. So a thread of the history notes how long others
 * wait for a processor; what is late by no more than that is not held against
 * the library.
 *
 * Threads: any, but a lease is one client's; judging is for the end.
 */
#ifndef KIT_HISTORY_H
#define KIT_HISTORY_H

#include <stddef.h>

#include <pipemaze/lock.h>

/* One acquire, and what became of it. All zero: nothing yet. */
typedef struct history_lease {
	char name[32];
	char token[64];
	unsigned who;
	int status; /* of the acquire, once it has returned */
	uint64_t fence;
	pmz_ns ttl;
	pmz_ns asked;    /* its acquire began */
	pmz_ns granted;  /* its acquire returned PMZ_OK */
	pmz_ns until;    /* the latest that its holder was told */
	pmz_ns let_go;   /* its release began */
	pmz_ns lost_at;  /* its loss was told, by any call */
	pmz_ns lost_end; /* what its until was said to be then */
	pmz_ns stalled;  /* of the time between due and told, the machine's */
	int lost_why;
	int answered; /* its acquire has returned */
	int kept;
	int forgotten;   /* nobody will let it go */
	int busy;        /* a call on it is under way */
	int again;       /* its release has been asked for before */
	unsigned losses; /* told by pmz_locks_next_lost() */
} history_lease;

typedef struct history history;

history *history_new(int seed);
void history_free(history *h);

/* `bound` is how long the call may take. Returns the number of the lease. */
unsigned history_ask(history *h, unsigned who, const char *name, pmz_ns bound);
void history_answer(history *h, unsigned id, int status,
                    const pmz_lease *lease);

void history_extend(history *h, unsigned id, pmz_ns bound);
void history_extended(history *h, unsigned id, int status,
                      const pmz_lease *lease);

void history_keep(history *h, unsigned id);
/* What pmz_lock_refresh() said. */
void history_refreshed(history *h, unsigned id, int status,
                       const pmz_lease *lease);
/* What pmz_locks_next_lost() said. */
void history_lost(history *h, const pmz_lease *lost, int why);

void history_let_go(history *h, unsigned id, pmz_ns bound);
void history_gone(history *h, unsigned id, int status);
void history_forget(history *h, unsigned id);

/* Whether all that was asked for before then is over: refused, let go, lost or
 * past its until, and no call on it under way. */
int history_is_over(history *h, pmz_ns then);

/* Something is wrong that is seen elsewhere. */
void history_wrong(history *h, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* How many things are wrong; each has been printed with the seed. */
unsigned history_judge(history *h);
size_t history_held(const history *h); /* leases; when all is over */

/* Tells in words what is wrong with these, for each thing once; they are put in
 * order. `start` is the zero of the times in its words. */
typedef void (*history_tell)(void *ctx, const char *words);
void history_look(history_lease *all, size_t count, pmz_ns start,
                  history_tell tell, void *ctx);

#endif
