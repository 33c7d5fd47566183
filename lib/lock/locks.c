/*
 * locks.c - the blocking API: a thread drives its op over a lane of its own.
 *
 * Lanes are kept in a pool and used by one thread at a time, so that threads
 * share connections without sharing any. The two mutexes, of the pool and of
 * the turns, are leaves: nothing is locked or waited for under them.
 */
#include <pipemaze/lock.h>

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include <pipemaze/edge.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/config.h"
#include "base/wide.h"
#include "edge/entropy.h"
#include "lock/keeper.h"
#include "lock/lane.h"
#include "lock/locks.h"
#include "lock/op.h"
#include "lock/turn.h"

/* Connections that nobody uses at the moment. */
#define IDLE_LANES_MAX 8
#define CONNECT_NS PMZ_S(1)

struct pmz_locks {
	pmz_lock_rules rules;
	pmz_backoff_rule backoff;
	pmz__node *nodes[PMZ_LOCK_NODES_MAX];
	pmz__keeper *keeper;
	pmz__turns turns;
	pthread_mutex_t mutex; /* of the pool */
	pmz__lane *idle;
	uint32_t idle_count;
	pid_t owner;
};

int pmz__locks_config_read(pmz_locks_config *out, const pmz_locks_config *cfg,
                           pmz_why *why)
{
	int status = pmz__config_read(out, sizeof(*out), cfg, why);

	out->connect_ns = pmz__or_ns(out->connect_ns, CONNECT_NS);
	return status;
}

static int set_rules(pmz_locks *l, const pmz_locks_config *cfg, pmz_why *why)
{
	pmz_lock_rules *r = &l->rules;
	int status;

	r->size = sizeof(*r);
	r->drift_ppm = cfg->drift_ppm;
	r->replicas_min = cfg->replicas_min;
	r->fence_off = cfg->fence_off;
	r->node_timeout_ns = cfg->node_timeout_ns;
	r->connect_ns = cfg->connect_ns;
	if (!cfg->backoff)
		return PMZ_OK;
	status = pmz__config_read(&l->backoff, sizeof(l->backoff), cfg->backoff,
	                          why);
	l->backoff.size = sizeof(l->backoff);
	r->backoff = &l->backoff;
	return status;
}

/* `error` is ENOMEM, or tells why there is no descriptor. */
static int no_room(int error, pmz_why *why)
{
	if (error == ENOMEM)
		return pmz__why(why, PMZ_E_NOMEM);
	pmz__bad(why, "", "no descriptor: %s", strerror(error));
	return PMZ_E_IO;
}

/* A rule that no acquire could begin with is told at once. */
static int try_rules(const pmz_locks *l, pmz_why *why)
{
	static const uint64_t seed[2] = { 1, 2 };
	pmz_lock_op op;

	return pmz_lock_op_acquire(&op, &l->rules, "x", PMZ_S(3600), 0, seed, 0,
	                           why);
}

static int set_up(pmz_locks *l, const pmz_locks_config *cfg, pmz_why *why)
{
	pmz_locks_config c;
	int status = pmz__locks_config_read(&c, cfg, why);

	if (!status)
		status = set_rules(l, &c, why);
	if (!status)
		status = try_rules(l, why);
	if (status)
		return status;
	l->keeper = pmz__keeper_new(l->nodes, l->rules.nodes, &l->rules);
	return l->keeper ? PMZ_OK : no_room(errno, why);
}

static void free_nodes(pmz__node *const *nodes, uint32_t count)
{
	uint32_t i;

	for (i = 0; i < count; i++)
		nodes[i]->type->free(nodes[i]);
}

int pmz__locks_new(pmz_locks **out, pmz__node *const *nodes, uint32_t count,
                   const pmz_locks_config *cfg, pmz_why *why)
{
	pmz_locks *l = pmz__alloc(sizeof(*l));
	int status;

	*out = NULL;
	if (!l) {
		free_nodes(nodes, count);
		return pmz__why(why, PMZ_E_NOMEM);
	}
	memcpy(l->nodes, nodes, count * sizeof(*nodes));
	l->rules.nodes = count;
	l->owner = getpid();
	pmz__turns_init(&l->turns);
	pthread_mutex_init(&l->mutex, NULL);
	status = set_up(l, cfg, why);
	if (status)
		pmz_locks_close(l);
	else
		*out = l;
	return status;
}

/* A child has a copy of the memory, and shares the sockets with its parent. */
static int is_forked(const pmz_locks *l)
{
	return l->owner != getpid();
}

static int refuse_fork(const pmz_locks *l, pmz_why *why)
{
	PMZ__ASSERT(l);
	if (!is_forked(l))
		return PMZ_OK;
	pmz__bad(why, "", "these locks were opened before a fork");
	return PMZ_E_STATE;
}

static void close_locks(pmz_locks *l)
{
	pmz__keeper_free(l->keeper);
	while (l->idle) {
		pmz__lane *lane = l->idle;

		l->idle = lane->next;
		pmz__lane_free(lane);
	}
	free_nodes(l->nodes, l->rules.nodes);
	pmz__turns_end(&l->turns);
	pthread_mutex_destroy(&l->mutex);
	pmz__free(l);
}

void pmz_locks_close(pmz_locks *l)
{
	int before = pmz__cancel_off();

	if (l && !is_forked(l))
		close_locks(l);
	pmz__cancel_on(before);
}

static pmz__lane *take_idle(pmz_locks *l)
{
	pmz__lane *lane;

	pthread_mutex_lock(&l->mutex);
	lane = l->idle;
	if (lane) {
		l->idle = lane->next;
		l->idle_count--;
	}
	pthread_mutex_unlock(&l->mutex);
	return lane;
}

static pmz__lane *take_lane(pmz_locks *l)
{
	pmz__lane *lane = take_idle(l);

	return lane ? lane : pmz__lane_new(l->nodes, l->rules.nodes);
}

static void give_lane(pmz_locks *l, pmz__lane *lane)
{
	int full;

	pthread_mutex_lock(&l->mutex);
	full = l->idle_count == IDLE_LANES_MAX;
	if (!full) {
		lane->next = l->idle;
		l->idle = lane;
		l->idle_count++;
	}
	pthread_mutex_unlock(&l->mutex);
	if (full)
		pmz__lane_free(lane);
}

/* Drives an op that does not pause. */
static int run(pmz_locks *l, pmz_lock_op *op)
{
	pmz__lane *lane = take_lane(l);

	if (!lane)
		return no_room(errno, NULL);
	lane->deaf = 1;
	pmz__lane_run(lane, &op, 1);
	pmz__lane_forget(lane, op);
	give_lane(l, lane);
	return PMZ_OK;
}

/* One acquire, on its thread's stack. */
typedef struct claim {
	pmz_locks *locks;
	pmz__lane *lane;
	pmz__turn *turn; /* NULL: it does not wait, and does not queue */
	const char *name;
	pmz_lock_op op;
} claim;

static int is_cancelled(const claim *c)
{
	return c->turn && pmz__turn_cancelled(&c->locks->turns, c->turn);
}

static void run_on(claim *c)
{
	pmz_lock_op *op = &c->op;

	pmz__lane_run(c->lane, &op, 1);
	if (!is_cancelled(c))
		return;
	/* The bell would end the taking back as well. */
	pmz__turn_listen(&c->locks->turns, c->turn, NULL);
	pmz__bell_hush(&c->lane->stop);
	pmz_lock_op_cancel(op, pmz_now());
	pmz__lane_run(c->lane, &op, 1);
}

static void pause_once(claim *c, pmz_ns due, int wakes)
{
	pmz__lane *lane = c->lane;

	if (!wakes) {
		pmz__lane_sleep(lane, due);
		return;
	}
	if (pmz__lane_wait(lane, c->name, due))
		pmz_lock_op_wake(&c->op, pmz_now());
	pmz_lock_op_listens(&c->op, lane->listens);
}

static void drive(claim *c)
{
	pmz__op *op = pmz__op_of(&c->op);

	run_on(c);
	while (op->round == PMZ__PAUSED) {
		if (c->turn)
			pmz__turn_tell(&c->locks->turns, c->turn, op->status,
			               op->ready_at);
		pause_once(c, op->resume, op->status == PMZ_REFUSED_HELD);
		run_on(c);
	}
}

static int drive_on_lane(claim *c, pmz_why *why)
{
	pmz_locks *l = c->locks;

	c->lane = take_lane(l);
	if (!c->lane)
		return no_room(errno, why);
	c->lane->listens = 0;
	c->lane->deaf = !c->turn;
	if (c->turn)
		pmz__turn_listen(&l->turns, c->turn, &c->lane->stop);
	drive(c);
	if (c->turn) {
		pmz__turn_listen(&l->turns, c->turn, NULL);
		pmz__bell_hush(&c->lane->stop);
	}
	pmz__lane_forget(c->lane, &c->op);
	give_lane(l, c->lane);
	return PMZ_OK;
}

static int refused(pmz_why *why, int status, pmz_ns ready_at)
{
	pmz__why(why, status);
	if (why && status == PMZ_REFUSED_HELD)
		why->ready_at = ready_at;
	return status;
}

static int wait_and_drive(claim *c, pmz_ns until, pmz_why *why)
{
	pmz__turns *turns = &c->locks->turns;
	pmz__turn turn;
	int status = pmz__turn_take(turns, &turn, c->name, until);

	if (turn.error)
		return no_room(turn.error, why);
	if (status)
		return refused(why, status, turn.ready_at);
	c->turn = &turn;
	status = drive_on_lane(c, why);
	pmz__turn_leave(turns, &turn);
	return status;
}

static int acquire(claim *c, pmz_ns until, int waits, pmz_lease *lease,
                   pmz_why *why)
{
	int status = waits ? wait_and_drive(c, until, why)
	                   : drive_on_lane(c, why);

	return status ? status : pmz_lock_op_end(&c->op, lease, why);
}

static int start(claim *c, pmz_ns ttl, pmz_ns now, pmz_ns until, pmz_why *why)
{
	uint64_t seed[2];

	if (pmz__entropy(seed, sizeof(seed))) {
		pmz__bad(why, "", "this machine gives no random bits");
		return PMZ_E_IO;
	}
	return pmz_lock_op_acquire(&c->op, &c->locks->rules, c->name, ttl,
	                           until, seed, now, why);
}

static int start_and_acquire(pmz_locks *l, const char *name, pmz_ns ttl,
                             pmz_ns wait, pmz_lease *lease, pmz_why *why)
{
	claim c = { .locks = l, .name = name };
	pmz_ns now = pmz_now(), until = pmz__sat_add(now, wait);
	int status = start(&c, ttl, now, until, why);

	return status ? status : acquire(&c, until, wait != 0, lease, why);
}

int pmz_lock_acquire(pmz_locks *l, const char *name, pmz_ns ttl, pmz_ns wait,
                     pmz_lease *lease, pmz_why *why)
{
	int before = pmz__cancel_off(), status = refuse_fork(l, why);

	PMZ__ASSERT(name && lease);
	memset(lease, 0, sizeof(*lease));
	if (!status)
		status = start_and_acquire(l, name, ttl, wait, lease, why);
	pmz__cancel_on(before);
	return status;
}

void pmz_lock_cancel(pmz_locks *l, const char *name)
{
	int before = pmz__cancel_off();

	PMZ__ASSERT(l && name);
	if (!is_forked(l))
		pmz__turns_cancel(&l->turns, name);
	pmz__cancel_on(before);
}

static int peek(pmz_locks *l, const char *name, pmz_lease *holder)
{
	pmz_lock_op op;
	int status = pmz_lock_op_peek(&op, &l->rules, name, pmz_now(), NULL);

	if (!status)
		status = run(l, &op);
	return status ? status : pmz_lock_op_end(&op, holder, NULL);
}

int pmz_lock_peek(pmz_locks *l, const char *name, pmz_lease *holder)
{
	int before = pmz__cancel_off(), status = refuse_fork(l, NULL);

	PMZ__ASSERT(name && holder);
	memset(holder, 0, sizeof(*holder));
	if (!status)
		status = peek(l, name, holder);
	pmz__cancel_on(before);
	return status;
}

/* Ends an op on a lease in hand: the lease is what is left of it. */
static int settle(pmz_locks *l, pmz_lock_op *op, pmz_lease *lease)
{
	int status = run(l, op);

	return status ? status : pmz_lock_op_end(op, lease, NULL);
}

static void lose(pmz_lease *lease, int status)
{
	if (status == PMZ_E_LOST)
		memset(lease, 0, sizeof(*lease));
}

static int extend(pmz_locks *l, pmz_lease *lease, pmz_ns ttl)
{
	int kept = pmz__keeper_begin(l->keeper, lease), status;
	pmz_lock_op op;

	status = pmz_lock_op_extend(&op, &l->rules, lease, ttl, pmz_now(),
	                            NULL);
	if (!status)
		status = settle(l, &op, lease);
	if (kept)
		pmz__keeper_done(l->keeper, lease, status);
	lose(lease, status);
	return status;
}

int pmz_lock_extend(pmz_locks *l, pmz_lease *lease, pmz_ns ttl)
{
	int before = pmz__cancel_off(), status = refuse_fork(l, NULL);

	PMZ__ASSERT(lease);
	if (!status)
		status = extend(l, lease, ttl);
	pmz__cancel_on(before);
	return status;
}

static int release(pmz_locks *l, pmz_lease *lease)
{
	pmz_lock_op op;
	int status;

	pmz__keeper_let_go(l->keeper, lease);
	status = pmz_lock_op_release(&op, &l->rules, lease, pmz_now(), NULL);
	if (!status)
		status = settle(l, &op, lease);
	/* Also where there was nothing to send it by. */
	lease->until = 0;
	lose(lease, status);
	return status;
}

int pmz_lock_release(pmz_locks *l, pmz_lease *lease)
{
	int before = pmz__cancel_off(), status = refuse_fork(l, NULL);

	PMZ__ASSERT(lease);
	if (!status)
		status = release(l, lease);
	pmz__cancel_on(before);
	return status;
}

int pmz_lock_is_held(const pmz_lease *lease, pmz_ns now)
{
	PMZ__ASSERT(lease);
	return now < lease->until;
}

int pmz_lock_keep(pmz_locks *l, const pmz_lease *lease, pmz_ns hold_max)
{
	int before = pmz__cancel_off(), status = refuse_fork(l, NULL);

	PMZ__ASSERT(lease);
	if (!status)
		status = pmz__keeper_keep(l->keeper, lease, hold_max);
	pmz__cancel_on(before);
	return status;
}

int pmz_lock_refresh(pmz_locks *l, pmz_lease *lease)
{
	int before = pmz__cancel_off(), status = refuse_fork(l, NULL);

	PMZ__ASSERT(lease);
	if (!status)
		status = pmz__keeper_refresh(l->keeper, lease);
	pmz__cancel_on(before);
	return status;
}

int pmz_locks_fd(const pmz_locks *l)
{
	PMZ__ASSERT(l);
	return pmz__keeper_fd(l->keeper);
}

int pmz_locks_next_lost(pmz_locks *l, pmz_lease *lost, int *why)
{
	int before = pmz__cancel_off(), status = refuse_fork(l, NULL);

	PMZ__ASSERT(lost);
	if (!status)
		status = pmz__keeper_next_lost(l->keeper, lost, why);
	pmz__cancel_on(before);
	return status;
}

int pmz_fence_check(uint64_t *highest, uint64_t fence)
{
	PMZ__ASSERT(highest);
	if (fence < *highest)
		return PMZ_E_LOST;
	*highest = fence;
	return PMZ_OK;
}
