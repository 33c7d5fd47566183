/*
 * window.h - how many events, and how many of them marked, in the last span.
 *
 * One word counts all events there ever were, in its high half, and those that
 * are marked (failures, withdrawals) in its low half, modulo 2^64; it is never
 * reset. A ring keeps what it read at the start of each of the last buckets, so
 * a window is one subtraction, which is right for up to 2^32 events whatever
 * carries ran from half to half. An event costs one atomic add; nothing else is
 * written until a bucket ends.
 *
 * Buckets end when someone comes later than the newest one's end. All who come
 * then do the same work: for each bucket begun, propose the total as its start,
 * then move the head. The head names the slots that are to be written, so a
 * proposal is made by compare-and-swap from a value that was read while the
 * head still stood: a slow thread, whose head is long gone, finds another value
 * and changes nothing; two threads at one head propose totals of the same
 * moment. The ring has more slots than the window has buckets, so that what a
 * reader at the old head looks at is not among those.
 *
 * Time that goes back falls into the newest bucket. All zero is an empty window
 * at time 0.
 */
#ifndef PMZ_LIB_CORE_WINDOW_H
#define PMZ_LIB_CORE_WINDOW_H

#include <pipemaze/base.h>

#include "base/assert.h"
#include "base/atomic.h"
#include "base/wide.h"

#define PMZ__BUCKETS 10 /* in a window */
#define PMZ__SLOTS 16   /* of the ring; the head has room for so many */
#define PMZ__WINDOW_MIN PMZ_MS(1)

#define PMZ__EVENT ((uint64_t)1 << 32)
#define PMZ__MARKED 1

typedef struct pmz__window {
	pmz__a64 head; /* start of the newest bucket, with its slot in the four
	                * low bits; a bucket is a multiple of 16 ns */
	pmz__a64 laps; /* how often the total has come round */
	pmz__a64 start[PMZ__SLOTS];
	uint64_t spare[6]; /* keeps the total, which all write, on its own line
	                    * where the window begins one */
	pmz__a64 total;
} pmz__window;

static inline uint64_t pmz__bucket_of(pmz_ns window_ns)
{
	return window_ns / PMZ__BUCKETS & ~(uint64_t)(PMZ__SLOTS - 1);
}

static inline pmz_ns pmz__head_start(uint64_t head)
{
	return head & ~(uint64_t)(PMZ__SLOTS - 1);
}

static inline unsigned pmz__slot(uint64_t number)
{
	return (unsigned)(number & (PMZ__SLOTS - 1));
}

/* The later of now and what the window has seen, by a bucket. */
static inline pmz_ns pmz__window_now(const pmz__window *w, pmz_ns now)
{
	return pmz__max(now,
	                pmz__head_start(pmz__load(&w->head, PMZ__RELAXED)));
}

/* How many buckets have begun since the head. */
static inline uint64_t pmz__buckets_since(uint64_t head, uint64_t bucket_ns,
                                          pmz_ns now)
{
	pmz_ns start = pmz__head_start(head);

	if (PMZ__LIKELY(now < start || now - start < bucket_ns))
		return 0;
	return (now - start) / bucket_ns;
}

/* Moves the head to the bucket of now; returns it. */
uint64_t pmz__window_roll(pmz__window *w, uint64_t bucket_ns, pmz_ns now);

/* The same, where as a rule there is nothing to move. */
static inline uint64_t pmz__window_reach(pmz__window *w, uint64_t bucket_ns,
                                         pmz_ns now)
{
	/* Acquire: pairs with the release in pmz__window_roll(). */
	uint64_t head = pmz__load(&w->head, PMZ__ACQUIRE);

	if (PMZ__UNLIKELY(pmz__buckets_since(head, bucket_ns, now)))
		head = pmz__window_roll(w, bucket_ns, now);
	return head;
}

/* The total when the window that ends now began. */
static inline uint64_t pmz__window_start(pmz__window *w, uint64_t bucket_ns,
                                         pmz_ns now)
{
	uint64_t head = pmz__window_reach(w, bucket_ns, now);

	/* Acquire: read before the total that it is taken from. */
	return pmz__load(&w->start[pmz__slot(head - (PMZ__BUCKETS - 1))],
	                 PMZ__ACQUIRE);
}

/* Adds events; returns the total with them. */
static inline uint64_t pmz__window_add(pmz__window *w, uint64_t events)
{
	/* Release: pairs with the acquire in pmz__window_roll(). */
	uint64_t before = pmz__add(&w->total, events, PMZ__RELEASE);

	if (PMZ__UNLIKELY(before + events < before))
		pmz__add(&w->laps, 1, PMZ__RELAXED);
	return before + events;
}

/* What a window that ends now holds: events << 32 | marked. Writes nothing. */
uint64_t pmz__window_read(const pmz__window *w, uint64_t bucket_ns, pmz_ns now);

/* All events there ever were, given how many were marked. */
uint64_t pmz__window_events(const pmz__window *w, uint64_t marked);

/* Starts empty, as long as *guard stands at `expected`: while it does, nobody
 * relies on what the window holds. Says whether it stood to the end. */
int pmz__window_forget(pmz__window *w, const pmz__a64 *guard,
                       uint64_t expected);

/* For buckets of another length: what the window holds counts as seen now. */
void pmz__window_restart(pmz__window *w, uint64_t old_bucket_ns, pmz_ns now);

#endif
