/*
 * keeper.c - the thread that extends leases until they are let go.
 *
 * One mutex guards the list of leases and both descriptors. Nothing blocks
 * under it; what a node locks for itself may be locked inside it, never around
 * it. The lane, and the ops in the flights, are the thread's alone and need no
 * lock. A lease with an extension under way stays in the list until that has
 * landed, which is what let_go() waits for.
 *
 * So that no lease waits for the slow server of another, the thread sleeps and
 * does its I/O under one alarm, which rings when the next of all leases is due,
 * and when a new one comes. It is set and rung under the mutex, and so no ring
 * is lost.
 */
#include "lock/keeper.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>

#include <pipemaze/edge.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/wide.h"
#include "lock/bell.h"
#include "lock/lane.h"
#include "lock/renewal.h"

#define KEPT_MAX 10000
#define FLIGHTS_MAX 64
/* How soon the landed make room for those that found none. */
#define TURN_NS PMZ_MS(2)
/* Of the lost that were told and not let go: who refreshes is told again. */
#define TOLD_MAX 1000
/* A name resolver runs on it too. */
#define STACK_SIZE ((size_t)256 * 1024)

/* An extension under way. */
typedef struct flight {
	pmz_lock_op op;
	struct kept *of; /* NULL: free */
} flight;

typedef enum stage { KEPT, LOST, TOLD } stage;

typedef struct kept {
	struct kept *next;
	flight *by; /* NULL: none of the keeper's is under way */
	pmz__renewal renewal;
	stage stage;
	int wanted; /* somebody waits for the one under way */
} kept;

struct pmz__keeper {
	pthread_mutex_t mutex;
	pthread_cond_t landed;
	pthread_t thread;
	kept *newest;
	uint32_t stages[TOLD + 1]; /* how many are in each */
	int runs;
	int stops;
	pmz__bell lost;
	pmz__alarm alarm;

	pmz__lane *lane;
	flight *flights;
	uint32_t up; /* flights */

	pmz_lock_rules rules;
	uint32_t nodes;
	pmz__node *node[PMZ_LOCK_NODES_MAX];
};

/* What points to it, or to NULL. */
static kept **find(pmz__keeper *k, const pmz_lease *lease)
{
	kept **at = &k->newest;

	while (*at && strncmp((*at)->renewal.lease.token, lease->token,
	                      sizeof(lease->token)))
		at = &(*at)->next;
	return at;
}

/* The oldest of those in this stage; so many must be there. */
static kept **oldest(pmz__keeper *k, stage s)
{
	uint32_t left = k->stages[s];
	kept **at = &k->newest;

	for (;; at = &(*at)->next)
		if ((*at)->stage == s && !--left)
			return at;
}

static uint32_t count_of(const pmz__keeper *k)
{
	return k->stages[KEPT] + k->stages[LOST] + k->stages[TOLD];
}

static void move(pmz__keeper *k, kept *e, stage to)
{
	k->stages[e->stage]--;
	k->stages[to]++;
	e->stage = to;
	if (!k->stages[LOST])
		pmz__bell_hush(&k->lost);
	else if (to == LOST)
		pmz__bell_ring(&k->lost);
}

static void drop(pmz__keeper *k, kept **at)
{
	kept *e = *at;

	PMZ__ASSERT(!e->by);
	move(k, e, KEPT);
	k->stages[KEPT]--;
	*at = e->next;
	pmz__free(e);
}

/* What is still to come for the op goes nowhere. */
static void land(pmz__keeper *k, flight *f)
{
	pmz__lane_forget(k->lane, &f->op);
	f->of->by = NULL;
	f->of = NULL;
	k->up--;
}

static void lose(pmz__keeper *k, kept *e)
{
	if (e->by)
		land(k, e->by);
	move(k, e, LOST);
	pthread_cond_broadcast(&k->landed);
}

static void settle(pmz__keeper *k, kept *e, int status, const pmz_lease *lease,
                   pmz_ns now)
{
	if (pmz__renewal_done(&e->renewal, status, lease, now) ==
	    PMZ__RENEWAL_LOST)
		lose(k, e);
	pthread_cond_broadcast(&k->landed);
}

static void land_those_done(pmz__keeper *k, pmz_ns now)
{
	flight *f;

	for (f = k->flights; f < k->flights + FLIGHTS_MAX; f++) {
		kept *e = f->of;
		pmz_lease lease;
		int status;

		if (!e)
			continue;
		status = pmz_lock_op_end(&f->op, &lease, NULL);
		if (status == PMZ_E_STATE)
			continue;
		land(k, f);
		settle(k, e, status, &lease, now);
	}
}

static flight *free_flight(const pmz__keeper *k)
{
	flight *f = k->flights;

	if (k->up == FLIGHTS_MAX)
		return NULL;
	while (f->of)
		f++;
	return f;
}

/* 0: all flights are taken. */
static int extend(pmz__keeper *k, kept *e, pmz_ns now)
{
	const pmz_lease *lease = &e->renewal.lease;
	flight *f = free_flight(k);
	int status;

	if (!f)
		return 0;
	pmz__renewal_begin(&e->renewal, now);
	status = pmz_lock_op_extend(&f->op, &k->rules, lease, lease->ttl, now,
	                            NULL);
	if (status != PMZ_OK) {
		settle(k, e, status, NULL, now);
		return 1;
	}
	f->of = e;
	e->by = f;
	k->up++;
	return 1;
}

/* When to look at it again. */
static pmz_ns look_at(pmz__keeper *k, kept *e, pmz_ns now)
{
	if (e->wanted && !e->renewal.under_way)
		return PMZ_NEVER;
	switch (pmz__renewal_next(&e->renewal, now)) {
	case PMZ__RENEWAL_LOST:
		lose(k, e);
		break;
	case PMZ__RENEWAL_EXTEND:
		if (!extend(k, e, now))
			return pmz__sat_add(now, TURN_NS);
		break;
	case PMZ__RENEWAL_WAIT:
		break;
	}
	return pmz__renewal_due(&e->renewal);
}

/* 0: the thread is to end. */
static int look_over(pmz__keeper *k)
{
	pmz_ns now, due = PMZ_NEVER;
	int goes_on;
	kept *e;

	pthread_mutex_lock(&k->mutex);
	now = pmz_now();
	land_those_done(k, now);
	for (e = k->newest; e; e = e->next)
		due = pmz__min(due, look_at(k, e, now));
	goes_on = !k->stops;
	if (goes_on)
		pmz__alarm_set(&k->alarm, due, now);
	pthread_mutex_unlock(&k->mutex);
	return goes_on;
}

/* Until all have landed, or the alarm rings. */
static void fly(pmz__keeper *k)
{
	pmz_lock_op *ops[FLIGHTS_MAX];
	uint32_t i, n = 0;

	for (i = 0; i < FLIGHTS_MAX; i++)
		if (k->flights[i].of)
			ops[n++] = &k->flights[i].op;
	pmz__lane_run(k->lane, ops, n);
}

static void *work(void *arg)
{
	pmz__keeper *k = arg;

	while (look_over(k))
		if (k->up)
			fly(k);
		else
			pmz__alarm_wait(&k->alarm, pmz_now());
	return NULL;
}

/* The user's signals are for the user's threads. */
static int start_blocked(pmz__keeper *k, const pthread_attr_t *attr)
{
	sigset_t all, before;
	int error;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&k->thread, attr, work, k);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return error;
}

static int start_thread(pmz__keeper *k)
{
	pthread_attr_t attr;
	int error;

	if (pthread_attr_init(&attr))
		return -1;
	pthread_attr_setstacksize(&attr, STACK_SIZE);
	error = start_blocked(k, &attr);
	pthread_attr_destroy(&attr);
	return error;
}

/* What ends a run here is the alarm, which stays the keeper's. Where it is a
 * mere bell, a lease can come to wait for the time-outs of another. */
static pmz__lane *lane_under(const pmz__alarm *alarm, pmz__node *const *nodes,
                             uint32_t count)
{
	pmz__lane *lane = pmz__lane_new(nodes, count);

	if (!lane)
		return NULL;
	pmz__bell_close(&lane->stop);
	lane->stop.fd = alarm->fd;
	return lane;
}

static void free_lane(pmz__lane *lane)
{
	if (lane)
		lane->stop.fd = -1;
	pmz__lane_free(lane);
}

/* What an earlier try has made is there. */
static int start(pmz__keeper *k)
{
	if (k->runs)
		return PMZ_OK;
	if (!k->lane)
		k->lane = lane_under(&k->alarm, k->node, k->nodes);
	if (!k->lane)
		return errno == ENOMEM ? PMZ_E_NOMEM : PMZ_E_IO;
	if (!k->flights)
		k->flights = pmz__alloc(FLIGHTS_MAX * sizeof(*k->flights));
	k->runs = k->flights && !start_thread(k);
	return k->runs ? PMZ_OK : PMZ_E_NOMEM;
}

static int add(pmz__keeper *k, const pmz_lease *lease, pmz_ns hold_max,
               pmz_ns now)
{
	int silence = k->nodes > 1 ? PMZ_E_QUORUM : PMZ_E_IO;
	int status = count_of(k) == KEPT_MAX ? PMZ_E_NOMEM : start(k);
	kept *e;

	if (status)
		return status;
	e = pmz__alloc(sizeof(*e));
	if (!e)
		return PMZ_E_NOMEM;
	pmz__renewal_start(&e->renewal, lease, hold_max, silence, now);
	e->next = k->newest;
	k->newest = e;
	k->stages[KEPT]++;
	pmz__alarm_ring(&k->alarm);
	return PMZ_OK;
}

/* 0: there is one that was not told to be lost. */
static int forget_told(pmz__keeper *k, const pmz_lease *lease)
{
	kept **at = find(k, lease);

	if (*at && (*at)->stage != TOLD)
		return 0;
	if (*at)
		drop(k, at);
	return 1;
}

int pmz__keeper_keep(pmz__keeper *k, const pmz_lease *lease, pmz_ns hold_max)
{
	pmz_ns now;
	int status;

	pthread_mutex_lock(&k->mutex);
	now = pmz_now();
	if (now >= lease->until)
		status = PMZ_E_LOST;
	else if (!forget_told(k, lease))
		status = PMZ_E_STATE;
	else
		status = add(k, lease, hold_max, now);
	pthread_mutex_unlock(&k->mutex);
	return status;
}

int pmz__keeper_refresh(pmz__keeper *k, pmz_lease *lease)
{
	int status = PMZ_E_STATE;
	const kept *e;

	pthread_mutex_lock(&k->mutex);
	e = *find(k, lease);
	if (e) {
		*lease = e->renewal.lease;
		status = e->stage == KEPT ? PMZ_OK : PMZ_E_LOST;
	}
	pthread_mutex_unlock(&k->mutex);
	return status;
}

/* During the wait another may let it go, and the list changes. */
static kept **find_landed(pmz__keeper *k, const pmz_lease *lease)
{
	kept **at = find(k, lease);

	while (*at && (*at)->renewal.under_way) {
		(*at)->wanted = 1;
		pthread_cond_wait(&k->landed, &k->mutex);
		at = find(k, lease);
	}
	if (*at)
		(*at)->wanted = 0;
	return at;
}

int pmz__keeper_let_go(pmz__keeper *k, pmz_lease *lease)
{
	int was_kept = 0;
	kept **at;

	pthread_mutex_lock(&k->mutex);
	at = find_landed(k, lease);
	if (*at) {
		*lease = (*at)->renewal.lease;
		was_kept = (*at)->stage == KEPT;
		drop(k, at);
	}
	pthread_mutex_unlock(&k->mutex);
	return was_kept;
}

int pmz__keeper_begin(pmz__keeper *k, pmz_lease *lease)
{
	int is_kept = 0;
	kept *e;

	pthread_mutex_lock(&k->mutex);
	e = *find_landed(k, lease);
	if (e && e->stage == KEPT) {
		*lease = e->renewal.lease;
		pmz__renewal_begin(&e->renewal, pmz_now());
		is_kept = 1;
	}
	pthread_mutex_unlock(&k->mutex);
	return is_kept;
}

/* A ttl that cannot be was sent to nobody. */
static void settle_users(pmz__keeper *k, kept *e, int status,
                         const pmz_lease *lease)
{
	if (status != PMZ_E_CONFIG) {
		settle(k, e, status, lease, pmz_now());
		return;
	}
	pmz__renewal_undo(&e->renewal);
	pthread_cond_broadcast(&k->landed);
}

/* It may have been lost meanwhile: that stands, since somebody may know. */
void pmz__keeper_done(pmz__keeper *k, const pmz_lease *lease, int status)
{
	kept *e;

	pthread_mutex_lock(&k->mutex);
	e = *find(k, lease);
	if (e && e->renewal.under_way && !e->by)
		settle_users(k, e, status, lease);
	pmz__alarm_ring(&k->alarm);
	pthread_mutex_unlock(&k->mutex);
}

int pmz__keeper_fd(const pmz__keeper *k)
{
	return k->lost.fd;
}

static void tell(pmz__keeper *k, kept *e, pmz_lease *lost, int *why)
{
	*lost = e->renewal.lease;
	if (why)
		*why = e->renewal.why;
	move(k, e, TOLD);
	if (k->stages[TOLD] > TOLD_MAX)
		drop(k, oldest(k, TOLD));
}

int pmz__keeper_next_lost(pmz__keeper *k, pmz_lease *lost, int *why)
{
	int status = PMZ_REFUSED_EMPTY;

	pthread_mutex_lock(&k->mutex);
	if (k->stages[LOST]) {
		tell(k, *oldest(k, LOST), lost, why);
		status = PMZ_OK;
	}
	pthread_mutex_unlock(&k->mutex);
	return status;
}

static int open_descriptors(pmz__keeper *k)
{
	int error;

	if (pmz__bell_open(&k->lost))
		return -1;
	if (!pmz__alarm_open(&k->alarm))
		return 0;
	error = errno;
	pmz__bell_close(&k->lost);
	errno = error;
	return -1;
}

pmz__keeper *pmz__keeper_new(pmz__node *const *nodes, uint32_t count,
                             const pmz_lock_rules *rules)
{
	pmz__keeper *k;
	int error;

	errno = ENOMEM;
	k = pmz__alloc(sizeof(*k));
	if (!k)
		return NULL;
	if (open_descriptors(k)) {
		error = errno;
		pmz__free(k);
		errno = error;
		return NULL;
	}
	pthread_mutex_init(&k->mutex, NULL);
	pthread_cond_init(&k->landed, NULL);
	k->rules = *rules;
	k->nodes = count;
	memcpy(k->node, nodes, count * sizeof(*nodes));
	return k;
}

static void stop(pmz__keeper *k)
{
	pthread_mutex_lock(&k->mutex);
	k->stops = 1;
	pmz__alarm_ring(&k->alarm);
	pthread_mutex_unlock(&k->mutex);
	if (k->runs)
		pthread_join(k->thread, NULL);
}

static void free_all(pmz__keeper *k)
{
	uint32_t i;

	for (i = 0; k->flights && i < FLIGHTS_MAX; i++)
		if (k->flights[i].of)
			land(k, &k->flights[i]);
	while (k->newest)
		drop(k, &k->newest);
	free_lane(k->lane);
	pmz__free(k->flights);
}

void pmz__keeper_free(pmz__keeper *k)
{
	if (!k)
		return;
	stop(k);
	free_all(k);
	pmz__alarm_close(&k->alarm);
	pmz__bell_close(&k->lost);
	pthread_cond_destroy(&k->landed);
	pthread_mutex_destroy(&k->mutex);
	pmz__free(k);
}
