/*
 * window.c - what happens to a window when a bucket ends; window.h says why.
 */
#include "core/window.h"

uint64_t pmz__window_roll(pmz__window *w, uint64_t bucket_ns, pmz_ns now)
{
	for (;;) {
		/* Acquire: a start read below is as old as this head. */
		uint64_t head = pmz__load(&w->head, PMZ__ACQUIRE);
		uint64_t begun = pmz__buckets_since(head, bucket_ns, now);
		uint64_t next, i;

		if (!begun)
			return head;
		for (i = 1; i <= pmz__min(begun, PMZ__SLOTS); i++) {
			pmz__a64 *start = &w->start[pmz__slot(head + i)];
			/* Acquire: pairs with the release in
			 * pmz__window_add(). Who sees an event sees the head
			 * that its thread saw before it, and so does not count
			 * it to the buckets before. */
			uint64_t total = pmz__load(&w->total, PMZ__ACQUIRE);
			uint64_t seen = pmz__load(start, PMZ__ACQUIRE);

			if (pmz__load(&w->head, PMZ__RELAXED) != head)
				break;
			pmz__cas(start, &seen, total, PMZ__RELEASE);
		}
		next = pmz__head_start(head) + begun * bucket_ns +
		       pmz__slot(head + begun);
		/* Release: pairs with the acquire of who sees this head, and
		 * then these starts. */
		pmz__cas(&w->head, &head, next, PMZ__RELEASE);
	}
}

uint64_t pmz__window_read(const pmz__window *w, uint64_t bucket_ns, pmz_ns now)
{
	uint64_t head = pmz__load(&w->head, PMZ__ACQUIRE);
	uint64_t begun = pmz__buckets_since(head, bucket_ns, now);
	uint64_t start;

	if (begun >= PMZ__BUCKETS)
		return 0;
	/* Acquire, and before the total, which then is not older. */
	start = pmz__load(
		&w->start[pmz__slot(head + begun - (PMZ__BUCKETS - 1))],
		PMZ__ACQUIRE);
	return pmz__load(&w->total, PMZ__RELAXED) - start;
}

uint64_t pmz__window_events(const pmz__window *w, uint64_t marked)
{
	uint64_t total = pmz__load(&w->total, PMZ__RELAXED);
	uint64_t laps = pmz__load(&w->laps, PMZ__RELAXED);

	/* laps * 2^64 + total = events * 2^32 + marked */
	laps -= total < marked;
	return (laps << 32) + ((total - marked) >> 32);
}

/* Each slot as in pmz__window_roll(), with the guard in the head's place. */
int pmz__window_forget(pmz__window *w, const pmz__a64 *guard, uint64_t expected)
{
	int i;

	for (i = 0; i < PMZ__SLOTS; i++) {
		uint64_t total, seen;

		do {
			total = pmz__load(&w->total, PMZ__ACQUIRE);
			seen = pmz__load(&w->start[i], PMZ__ACQUIRE);
			if (pmz__load(guard, PMZ__RELAXED) != expected)
				return 0;
		} while (!pmz__cas(&w->start[i], &seen, total, PMZ__RELEASE));
	}
	return 1;
}

void pmz__window_restart(pmz__window *w, uint64_t old_bucket_ns, pmz_ns now)
{
	uint64_t start = pmz__window_start(w, old_bucket_ns, now);
	uint64_t head = pmz__load(&w->head, PMZ__RELAXED);
	int i;

	for (i = 0; i < PMZ__SLOTS; i++)
		pmz__store(&w->start[i], start, PMZ__RELAXED);
	now = pmz__max(pmz__head_start(now), pmz__head_start(head));
	/* Release: pairs with the acquire of who sees this head. */
	pmz__store(&w->head, now | pmz__slot(head), PMZ__RELEASE);
}
