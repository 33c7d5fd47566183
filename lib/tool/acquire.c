/*
 * acquire.c - waits for a lock, and gives up at a signal.
 *
 * The wait blocks a thread of its own: a signal that just ended the tool might
 * leave behind a lock that was granted a moment ago.
 */
#include "tool/acquire.h"

#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include <pipemaze/edge.h>

#include "tool/signals.h"
#include "tool/span.h"

#define CANCEL_AGAIN PMZ_MS(50)

struct waiter {
	struct acquire *asked;
	int status;
	int done; /* closed when the status is there */
};

static int acquire_and_keep(struct acquire *a)
{
	/* Only a wait can be cancelled; this one is over after one try. */
	const pmz_ns wait = a->wait ? a->wait : 1;
	int status = pmz_lock_acquire(a->locks, a->name, a->ttl, wait,
	                              &a->lease, &a->why);

	if (status != PMZ_OK || !a->keep)
		return status;
	status = pmz_lock_keep(a->locks, &a->lease, PMZ_NEVER);
	if (status != PMZ_OK)
		pmz_lock_release(a->locks, &a->lease);
	return status;
}

static void *wait_for_it(void *arg)
{
	struct waiter *waiter = arg;

	waiter->status = acquire_and_keep(waiter->asked);
	close(waiter->done);
	return NULL;
}

/* A cancel that comes before the wait has begun ends nothing: so it comes again
 * until there is a status. */
static void attend(struct acquire *a, int done)
{
	a->signal = signals_idle(done, PMZ_NEVER);
	if (!a->signal)
		return;
	do {
		/* One that is left in the pipe would end each poll at once. */
		signals_drop();
		pmz_lock_cancel(a->locks, a->name);
	} while (!signals_poll(done, span_after(pmz_now(), CANCEL_AGAIN)));
}

/* Held: the signals are for the tool's first thread, and those that the library
 * makes for keeping have this one's mask. */
static int start(pthread_t *thread, struct waiter *waiter)
{
	int failed;

	signals_hold();
	failed = pthread_create(thread, NULL, wait_for_it, waiter);
	signals_go_on();
	return failed;
}

int acquire(struct acquire *a)
{
	struct waiter waiter = { a, PMZ_E_NOMEM, -1 };
	pthread_t thread;
	int ends[2];

	if (pipe(ends))
		return PMZ_E_NOMEM;
	fcntl(ends[0], F_SETFD, FD_CLOEXEC);
	fcntl(ends[1], F_SETFD, FD_CLOEXEC);
	waiter.done = ends[1];
	if (start(&thread, &waiter) == 0) {
		attend(a, ends[0]);
		pthread_join(thread, NULL);
	} else {
		close(ends[1]);
	}
	close(ends[0]);
	if (!a->signal)
		return waiter.status;
	if (waiter.status == PMZ_OK)
		pmz_lock_release(a->locks, &a->lease);
	return PMZ_CANCELLED;
}
