/*
 * renewal.c - when a kept lease is extended, and when it is given up.
 */
#include "lock/renewal.h"

#include "base/assert.h"
#include "base/wide.h"

/* Parts of a ttl. */
#define EXTEND_AFTER 3
#define REPORT_BEFORE 10
#define FIRST_PAUSE 20
#define LONGEST_PAUSE 10 /* so that two tries come after any first failure */
#define TOGETHER 30

/* One that is kept late has half of what is left for its first tries. */
static pmz_ns report_at(const pmz_lease *lease, pmz_ns now)
{
	pmz_ns left = pmz__sat_sub(lease->until, now);

	return lease->until - pmz__min(left / 2, lease->ttl / REPORT_BEFORE);
}

/* When the lease was extended last is not known: at most a ttl before its end,
 * and with the drift taken off that end, a little earlier. */
void pmz__renewal_start(pmz__renewal *r, const pmz_lease *lease,
                        pmz_ns hold_max, int silence, pmz_ns now)
{
	const pmz__renewal none = { 0 };
	pmz_ns extended = pmz__sat_sub(lease->until, lease->ttl);

	*r = none;
	r->lease = *lease;
	r->due = pmz__sat_add(extended, lease->ttl / EXTEND_AFTER);
	r->hold_until = pmz__sat_add(now, hold_max);
	r->report = report_at(lease, now);
	r->silence = r->failure = silence;
}

static pmz__renewal_step lose(pmz__renewal *r, int why)
{
	r->why = why;
	r->under_way = 0;
	return PMZ__RENEWAL_LOST;
}

/* Others may be due, and one round trip will do. A retry keeps its pause. */
static pmz_ns due_with_others(const pmz__renewal *r)
{
	pmz_ns early = pmz__min(PMZ__TOGETHER_NS, r->lease.ttl / TOGETHER);

	return r->pause ? r->due : pmz__sat_sub(r->due, early);
}

pmz__renewal_step pmz__renewal_next(pmz__renewal *r, pmz_ns now)
{
	int held_long = now >= r->hold_until;

	if (r->why)
		return PMZ__RENEWAL_WAIT;
	if (now >= r->report)
		return lose(r, held_long ? PMZ_TIMED_OUT : r->failure);
	if (r->under_way)
		return PMZ__RENEWAL_WAIT;
	if (held_long)
		r->due = PMZ_NEVER;
	return now >= due_with_others(r) ? PMZ__RENEWAL_EXTEND
	                                 : PMZ__RENEWAL_WAIT;
}

pmz_ns pmz__renewal_due(const pmz__renewal *r)
{
	if (r->why)
		return PMZ_NEVER;
	return r->under_way ? r->report : pmz__min(r->due, r->report);
}

void pmz__renewal_begin(pmz__renewal *r, pmz_ns now)
{
	PMZ__ASSERT(!r->under_way && !r->why);
	r->under_way = 1;
	r->started = now;
}

void pmz__renewal_undo(pmz__renewal *r)
{
	PMZ__ASSERT(r->under_way);
	r->under_way = 0;
}

static void pause_after(pmz__renewal *r, int status, pmz_ns now)
{
	pmz_ns first = pmz__max(r->lease.ttl / FIRST_PAUSE, PMZ__PAUSE_MIN_NS);
	pmz_ns most = pmz__max(r->lease.ttl / LONGEST_PAUSE, first);

	r->failure = status;
	r->pause = r->pause ? pmz__min(2 * r->pause, most) : first;
	r->due = pmz__sat_add(now, r->pause);
}

pmz__renewal_step pmz__renewal_done(pmz__renewal *r, int status,
                                    const pmz_lease *lease, pmz_ns now)
{
	PMZ__ASSERT(r->under_way);
	r->under_way = 0;
	if (status == PMZ_E_LOST) {
		r->lease.until = pmz__min(r->lease.until, now);
		return lose(r, status);
	}
	if (status == PMZ_OK) {
		r->lease = *lease;
		r->report = report_at(lease, now);
		r->failure = r->silence;
		r->pause = 0;
		r->due = pmz__sat_add(r->started, lease->ttl / EXTEND_AFTER);
	} else {
		pause_after(r, status, now);
	}
	return PMZ__RENEWAL_WAIT;
}
