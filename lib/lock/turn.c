/*
 * turn.c - the threads of one process that wait for locks.
 */
#include "lock/turn.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#include <pipemaze/edge.h>

#include "base/wide.h"

#define NAP_MAX_NS PMZ_S(60)

void pmz__turns_init(pmz__turns *turns)
{
	pthread_mutex_init(&turns->mutex, NULL);
	turns->first = NULL;
}

void pmz__turns_end(pmz__turns *turns)
{
	pthread_mutex_destroy(&turns->mutex);
}

/* The first who waits for this name; NULL: nobody. */
static pmz__turn *front(pmz__turn *at, const char *name)
{
	while (at && strcmp(at->name, name))
		at = at->next;
	return at;
}

static void append(pmz__turns *turns, pmz__turn *turn)
{
	pmz__turn **at = &turns->first;

	while (*at)
		at = &(*at)->next;
	*at = turn;
}

static void wake(const pmz__turn *turn)
{
	if (turn && turn->bell)
		pmz__bell_ring(turn->bell);
}

static void take_out(pmz__turns *turns, pmz__turn *turn)
{
	pmz__turn **at = &turns->first;
	int led = front(turns->first, turn->name) == turn;

	while (*at != turn)
		at = &(*at)->next;
	*at = turn->next;
	if (led)
		wake(front(turns->first, turn->name));
}

static void nap(const pmz__bell *bell, pmz_ns now, pmz_ns until)
{
	struct pollfd at = { .fd = bell->fd, .events = POLLIN };
	pmz_ns left = pmz__min(until - now, NAP_MAX_NS);

	poll(&at, 1, (int)((left + PMZ_MS(1) - 1) / PMZ_MS(1)));
	pmz__bell_hush(bell);
}

/* PMZ_OK once it is at the front, and what else ends the wait. */
static int look(pmz__turns *turns, pmz__turn *turn, pmz_ns until, pmz_ns now)
{
	const pmz__turn *leader = front(turns->first, turn->name);

	if (turn->cancelled)
		return PMZ_CANCELLED;
	if (leader == turn)
		return PMZ_OK;
	if (now < until)
		return PMZ_REFUSED_EMPTY;
	turn->ready_at = leader->ready_at;
	return leader->status;
}

static int wait_for_turn(pmz__turns *turns, pmz__turn *turn, pmz_ns until)
{
	int status;

	for (;;) {
		pmz_ns now = pmz_now();

		pthread_mutex_lock(&turns->mutex);
		status = look(turns, turn, until, now);
		if (status == PMZ_OK)
			turn->bell = NULL;
		else if (status != PMZ_REFUSED_EMPTY)
			take_out(turns, turn);
		pthread_mutex_unlock(&turns->mutex);
		if (status != PMZ_REFUSED_EMPTY)
			return status;
		nap(turn->bell, now, until);
	}
}

static int queue(pmz__turns *turns, pmz__turn *turn, pmz_ns until)
{
	pmz__bell bell;
	int status, alone;

	pthread_mutex_lock(&turns->mutex);
	alone = !front(turns->first, turn->name);
	if (alone)
		append(turns, turn);
	pthread_mutex_unlock(&turns->mutex);
	if (alone)
		return PMZ_OK;
	if (pmz__bell_open(&bell)) {
		turn->error = errno;
		return PMZ_E_IO;
	}
	turn->bell = &bell;
	pthread_mutex_lock(&turns->mutex);
	append(turns, turn);
	pthread_mutex_unlock(&turns->mutex);
	status = wait_for_turn(turns, turn, until);
	pmz__bell_close(&bell);
	return status;
}

int pmz__turn_take(pmz__turns *turns, pmz__turn *turn, const char *name,
                   pmz_ns until)
{
	memset(turn, 0, sizeof(*turn));
	turn->name = name;
	/* Until it knows better: who is slow to answer may be unreachable. */
	turn->status = PMZ_E_IO;
	return queue(turns, turn, until);
}

void pmz__turn_leave(pmz__turns *turns, pmz__turn *turn)
{
	pthread_mutex_lock(&turns->mutex);
	take_out(turns, turn);
	pthread_mutex_unlock(&turns->mutex);
}

void pmz__turn_tell(pmz__turns *turns, pmz__turn *turn, int status,
                    pmz_ns ready_at)
{
	pthread_mutex_lock(&turns->mutex);
	turn->status = status;
	turn->ready_at = ready_at;
	pthread_mutex_unlock(&turns->mutex);
}

void pmz__turn_listen(pmz__turns *turns, pmz__turn *turn, const pmz__bell *bell)
{
	pthread_mutex_lock(&turns->mutex);
	turn->bell = bell;
	if (turn->cancelled)
		wake(turn);
	pthread_mutex_unlock(&turns->mutex);
}

int pmz__turn_cancelled(pmz__turns *turns, const pmz__turn *turn)
{
	int cancelled;

	pthread_mutex_lock(&turns->mutex);
	cancelled = turn->cancelled;
	pthread_mutex_unlock(&turns->mutex);
	return cancelled;
}

void pmz__turns_cancel(pmz__turns *turns, const char *name)
{
	pmz__turn *at;

	pthread_mutex_lock(&turns->mutex);
	for (at = front(turns->first, name); at; at = front(at->next, name)) {
		at->cancelled = 1;
		wake(at);
	}
	pthread_mutex_unlock(&turns->mutex);
}
