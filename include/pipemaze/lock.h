/*
 * lock.h - one holder at a time, across processes and machines.
 *
 * A lock here is a lease: it ends at lease.until whether or not you are
 * finished. It keeps two workers from doing the same work; on its own it does
 * not make a late write safe, so hand lease.fence to whatever you write to,
 * and have that turn away smaller numbers: pmz_fence_check().
 *
 *   const char *where = "redis://127.0.0.1:6379";   or "memory:"
 *   pmz_locks *locks;
 *   pmz_lease lease;
 *   if (pmz_locks_open(&locks, &where, 1, NULL, NULL) == PMZ_OK &&
 *       pmz_lock_acquire(locks, "orders:42", PMZ_S(30), PMZ_S(5), &lease,
 *                        NULL) == PMZ_OK) {
 *       work(lease.fence);
 *       pmz_lock_release(locks, &lease);
 *   }
 *   pmz_locks_close(locks);
 *
 * Addresses:
 *   redis://[user:pass@]host[:port][/db]      redis+unix:///path[?db=N]
 *   redis+cluster://[user:pass@]host[:port]   any node of it, and alone
 *   memory:                                   a store inside this process
 * rediss:// (TLS) and redis+sentinel:// are PMZ_E_ABSENT for now.
 *
 * One address is one server, and enough where a lock saves work: while that
 * server is down there are no locks, and when it comes back empty, or a replica
 * takes over that had not heard of a lease, one holder's lease can overlap
 * another's; the fence tells them apart. Several addresses are a quorum
 * (Redlock): independent masters, no replicas of one another, of which a
 * minority may be dead, hung or empty. It assumes that their clocks and this
 * one run at nearly the same rate (drift), that no majority loses its memory
 * within one ttl (so let a crashed node stay away for as long), and, as any
 * lease does, that the holder looks at the clock: pmz_lock_is_held().
 *
 * The key is lock:<name> with a random value, as any SET NX PX client expects;
 * beside it are {lock:<name>}:f, the last fence, and for a while
 * {lock:<name>}:x:<token>, by which an acquire that comes late is known to be
 * given up. A server's user needs no more than
 *
 *   ACL SETUSER locks on >PASSWORD resetkeys ~lock:* ~{lock:*}:* resetchannels
 *       &__redis__:invalidate -@all +evalsha +eval +set +get +mget +del
 *       +pttl +pexpire +time +client|id +client|tracking +subscribe
 *
 * and +wait for replicas_min, +asking +cluster|slots on a cluster.
 *
 * These block, each for one round trip or until its wait is over; looking up a
 * host's name is the C library's, and takes what that takes.
 * Threads: any; those who want the same name queue here first, and one of them
 * asks the server. One that is cancelled (pthread_cancel) ends after the call,
 * which may have brought it a lease. Fork: open your own in the child; a
 * parent's is PMZ_E_STATE.
 */
#ifndef PIPEMAZE_LOCK_H
#define PIPEMAZE_LOCK_H

#include <pipemaze/backoff.h>
#include <pipemaze/base.h>

PMZ_BEGIN_DECLS

typedef struct pmz_locks pmz_locks;

typedef struct pmz_locks_config {
	uint32_t size;           /* sizeof(pmz_locks_config) */
	uint32_t drift_ppm;      /* 10000  taken off the validity, and 2 ms */
	pmz_ns node_timeout_ns;  /* ttl / 20, at least 10 ms */
	pmz_ns connect_ns;       /* 1 s */
	const pmz_backoff_rule *backoff; /* between tries: 50 ms..1 s, full, as
	                                  * many as `wait` has room for */
	PMZ_POINTER_PAD(reserved)
	uint32_t replicas_min;   /* 0      also wait for so many replicas; too
	                          *        few are PMZ_E_QUORUM. It wants a
	                          *        node time-out of 250 ms: a server
	                          *        counts by its clock of 100 ms */
	uint32_t fence_off;      /* 0      1: no fences; a quorum saves a trip */
} pmz_locks_config;

#define PMZ_LOCK_NAME_MAX 127

/* Plain data: copy it freely. `until` is on the clock of pmz_now(). */
typedef struct pmz_lease {
	char name[PMZ_LOCK_NAME_MAX + 1];
	char token[64]; /* random, hex: the value of the key; a longer one of
	                 * a foreign holder is cut */
	uint64_t fence; /* grows with every new holder of this name; as sure as
	                 * the server's memory or its clock */
	pmz_ns until;   /* not held from here on, whatever the server says */
	pmz_ns ttl;     /* as asked for; what keeping extends by */
	uint64_t opaque[1];
} pmz_lease;

/* Connects to nothing yet, so that a service starts while its Redis is down.
 * PMZ_E_CONFIG names the address in why->index. Each "memory:" is a store of
 * its own. */
PMZ_API PMZ_MUST_USE int pmz_locks_open(pmz_locks **out,
                                        const char *const *addresses,
                                        size_t count,
                                        const pmz_locks_config *cfg,
                                        pmz_why *why);
PMZ_API void pmz_locks_close(pmz_locks *l); /* leases stay as they are; when no
                                             * other call is under way */

/* Returns by the later of `wait` (0: one try) and the time-outs of one try.
 * PMZ_OK; PMZ_REFUSED_HELD with the end of the
 * holder's lease in why->ready_at; PMZ_E_IO, PMZ_E_QUORUM: what may have been
 * set is taken back as soon as its node can be reached, and lives for `ttl` at
 * most; PMZ_E_DENIED, PMZ_E_REPLY at once, with the server's words in
 * why->text; PMZ_E_CONFIG: a name that is empty, long or has braces;
 * PMZ_CANCELLED. Without PMZ_OK the lease is all zero. `why` may be NULL. */
PMZ_API PMZ_MUST_USE int pmz_lock_acquire(pmz_locks *l, const char *name,
                                          pmz_ns ttl, pmz_ns wait,
                                          pmz_lease *lease, pmz_why *why);

/* Ends every wait for this name, from another thread. */
PMZ_API void pmz_lock_cancel(pmz_locks *l, const char *name);

/* Who holds it, on a quorum of the servers: PMZ_OK with token and until (and
 * fence, if it is a pipemaze; 0 once it was kept for a day longer than its first
 * ttl), or PMZ_REFUSED_EMPTY. */
PMZ_API PMZ_MUST_USE int pmz_lock_peek(pmz_locks *l, const char *name,
                                       pmz_lease *holder);

/* At least `ttl` from now, never less than it had. PMZ_E_LOST if it had lapsed,
 * here or there, or is another's: it is not brought back to life, and what a
 * minority of servers still had of it is released. PMZ_E_IO, PMZ_E_QUORUM: as
 * it was. Here and below, of a quorum that has decided the silent nodes have
 * 20 ms more, so that they too are extended, repaired or released. */
PMZ_API PMZ_MUST_USE int pmz_lock_extend(pmz_locks *l, pmz_lease *lease,
                                         pmz_ns ttl);

/* PMZ_OK, PMZ_E_LOST if it was no longer ours to release, PMZ_E_IO or
 * PMZ_E_QUORUM: it ends as soon as its node can be reached, or by itself at what
 * was lease->until; to ask again is fine, and after PMZ_E_NOMEM, or with no
 * descriptor left, the only way: then nothing was sent. Either way it is held no
 * more: its `until` is 0, and after the first two all of it. */
PMZ_API int pmz_lock_release(pmz_locks *l, pmz_lease *lease);

/* 1 while it is held for sure. No I/O. */
PMZ_API int pmz_lock_is_held(const pmz_lease *lease, pmz_ns now);

/* From here on the library's one thread extends this lease, until it is
 * released or `hold_max` has passed since now (then it ends at its until;
 * PMZ_NEVER: no limit, 0: not once). An extend of your own goes on with that.
 * The lease is copied; refresh brings any copy up to date, without I/O:
 * PMZ_E_LOST once it is lost, PMZ_E_STATE if it was never kept, as a second
 * keep is. */
PMZ_API PMZ_MUST_USE int pmz_lock_keep(pmz_locks *l, const pmz_lease *lease,
                                       pmz_ns hold_max);
PMZ_API int pmz_lock_refresh(pmz_locks *l, pmz_lease *lease);

/* A kept lease that could not be extended is reported once, before it ends: by
 * this descriptor turning readable (poll it, never read it), and by the call
 * below, which gives the lease and the reason (PMZ_E_LOST, PMZ_E_IO,
 * PMZ_TIMED_OUT for hold_max), or PMZ_REFUSED_EMPTY when there is none. No
 * callback: many runtimes cannot be called from a thread that is not theirs. */
PMZ_API int pmz_locks_fd(const pmz_locks *l);
PMZ_API int pmz_locks_next_lost(pmz_locks *l, pmz_lease *lost, int *why);

/* For the resource: PMZ_OK and remembers it, or PMZ_E_LOST for a fence lower
 * than one seen before. *highest starts at 0. */
PMZ_API int pmz_fence_check(uint64_t *highest, uint64_t fence);

PMZ_END_DECLS
#endif /* PIPEMAZE_LOCK_H */
