/*
 * lane.c - ops over one connection to each node.
 */
#include "lock/lane.h"

#include <errno.h>
#include <poll.h>
#include <time.h>

#include <pipemaze/edge.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/wide.h"

/* What is polled for: the bell, and of each link its command connection and the
 * one that hears of releases. */
typedef struct watch {
	struct pollfd fds[1 + 2 * PMZ_LOCK_NODES_MAX];
	pmz_ns dues[1 + 2 * PMZ_LOCK_NODES_MAX];
	nfds_t count;
	pmz_ns due; /* of all */
} watch;

static void watch_fd(watch *w, int fd, short events, pmz_ns due)
{
	struct pollfd *at = &w->fds[w->count];

	at->fd = fd;
	at->events = events;
	at->revents = 0;
	w->dues[w->count++] = due;
	w->due = pmz__min(w->due, due);
}

static void watch_start(watch *w, const pmz__lane *lane, pmz_ns due)
{
	w->count = 0;
	w->due = due;
	watch_fd(w, lane->stop.fd, POLLIN, PMZ_NEVER);
}

static void watch_links(watch *w, const pmz__lane *lane)
{
	pmz__wants wants;
	uint32_t i;

	for (i = 0; i < lane->nodes; i++) {
		lane->links[i]->type->wants(lane->links[i], &wants);
		watch_fd(w, wants.fd, wants.events, wants.due);
	}
}

static void watch_ears(watch *w, const pmz__lane *lane)
{
	pmz__wants wants;
	uint32_t i;

	for (i = 0; i < lane->nodes; i++) {
		lane->links[i]->type->ear_wants(lane->links[i], &wants);
		watch_fd(w, wants.fd, wants.events, wants.due);
	}
}

/* Returns early if it likes. */
static void watch_poll(watch *w)
{
	pmz_ns now, left;
	struct timespec t;

	if (!w->due)
		return;
	now = pmz_now();
	left = pmz__min(pmz__sat_sub(w->due, now), PMZ_S(3600));
	t.tv_sec = (time_t)(left / PMZ_S(1));
	t.tv_nsec = (long)(left % PMZ_S(1));
	ppoll(w->fds, w->count, &t, NULL);
}

static int is_rung(const watch *w)
{
	return w->fds[0].revents != 0;
}

/* Whether the i-th, the bell not counted, has something to do. */
static int is_ready(const watch *w, uint32_t i, pmz_ns now)
{
	return w->fds[1 + i].revents || w->dues[1 + i] <= now;
}

static void close_links(pmz__lane *lane)
{
	uint32_t i;

	for (i = 0; i < lane->nodes; i++)
		lane->links[i]->type->free(lane->links[i]);
}

pmz__lane *pmz__lane_new(pmz__node *const *nodes, uint32_t count)
{
	pmz__lane *lane;
	int error;

	errno = ENOMEM;
	lane = pmz__alloc(sizeof(*lane));
	if (!lane)
		return NULL;
	while (lane->nodes < count) {
		pmz__node *node = nodes[lane->nodes];
		pmz__link *link = node->type->connect(node);

		if (!link)
			break;
		lane->links[lane->nodes++] = link;
	}
	if (lane->nodes == count && !pmz__bell_open(&lane->stop))
		return lane;
	error = errno;
	close_links(lane);
	pmz__free(lane);
	errno = error;
	return NULL;
}

void pmz__lane_free(pmz__lane *lane)
{
	if (!lane)
		return;
	close_links(lane);
	pmz__bell_close(&lane->stop);
	pmz__free(lane);
}

/* Sends what the op wants sent. 1 if it waits for replies, until *due. */
static int advance(pmz__lane *lane, pmz_lock_op *op, pmz_ns now, pmz_ns *due)
{
	pmz_lock_order order;

	for (;;) {
		pmz_lock_step step = pmz_lock_op_next(op, now, &order);
		pmz__link *link;

		if (step == PMZ_LOCK_READ)
			*due = pmz__min(*due, order.due);
		if (step != PMZ_LOCK_SEND)
			return step == PMZ_LOCK_READ;
		link = lane->links[order.node];
		link->type->send(link, op, &order, now);
	}
}

static int advance_all(pmz__lane *lane, pmz_lock_op *const *ops, uint32_t count,
                       pmz_ns now, pmz_ns *due)
{
	uint32_t i;
	int running = 0;

	for (i = 0; i < count; i++)
		running |= advance(lane, ops[i], now, due);
	return running;
}

static void go_on(pmz__lane *lane, const watch *w)
{
	pmz_ns now = pmz_now();
	uint32_t i;

	for (i = 0; i < lane->nodes; i++)
		if (is_ready(w, i, now))
			lane->links[i]->type->go_on(lane->links[i], now);
}

/* What is still to be written when nobody waits for an answer any more. */
static void flush(pmz__lane *lane)
{
	watch w;

	watch_start(&w, lane, PMZ_NEVER);
	watch_links(&w, lane);
	if (!w.due)
		go_on(lane, &w);
}

/* One connection, and nobody who may interrupt: two system calls in one. */
static int sleep_on_link(pmz__lane *lane, pmz_ns due)
{
	pmz__link *link = lane->links[0];

	return lane->deaf && lane->nodes == 1 && link->type->sleep &&
	       link->type->sleep(link, due, pmz_now());
}

void pmz__lane_run(pmz__lane *lane, pmz_lock_op *const *ops, uint32_t count)
{
	watch w;

	for (;;) {
		pmz_ns due = PMZ_NEVER;

		if (!advance_all(lane, ops, count, pmz_now(), &due))
			break;
		if (sleep_on_link(lane, due))
			continue;
		watch_start(&w, lane, due);
		watch_links(&w, lane);
		watch_poll(&w);
		if (is_rung(&w))
			break;
		go_on(lane, &w);
	}
	flush(lane);
}

/* How many nodes will tell of a release of this name. */
static uint32_t listen_all(pmz__lane *lane, const char *name, pmz_ns now)
{
	uint32_t i, n = 0;

	for (i = 0; i < lane->nodes; i++)
		n += lane->links[i]->type->listen(lane->links[i], name, now) ==
		     PMZ_OK;
	return n;
}

static int hear(pmz__lane *lane, const watch *w)
{
	pmz_ns now = pmz_now();
	int heard = 0;
	uint32_t i;

	for (i = 0; i < lane->nodes; i++) {
		pmz__link *link = lane->links[i];

		if (is_ready(w, i, now))
			link->type->go_on(link, now);
		if (is_ready(w, lane->nodes + i, now))
			heard |= link->type->ear_go_on(link, now);
	}
	return heard;
}

int pmz__lane_wait(pmz__lane *lane, const char *name, pmz_ns due)
{
	watch w;
	pmz_ns now;

	while ((now = pmz_now()) < due) {
		int enough = listen_all(lane, name, now) > lane->nodes / 2;

		if (enough != lane->listens) {
			lane->listens = enough;
			return 1;
		}
		watch_start(&w, lane, due);
		watch_links(&w, lane);
		watch_ears(&w, lane);
		watch_poll(&w);
		if (is_rung(&w))
			return 0;
		if (hear(lane, &w))
			return 1;
	}
	return 0;
}

void pmz__lane_sleep(const pmz__lane *lane, pmz_ns due)
{
	watch w;

	while (pmz_now() < due) {
		watch_start(&w, lane, due);
		watch_poll(&w);
		if (is_rung(&w))
			return;
	}
}

void pmz__lane_forget(pmz__lane *lane, const pmz_lock_op *op)
{
	pmz_ns now = pmz_now();
	uint32_t i;

	for (i = 0; i < lane->nodes; i++)
		lane->links[i]->type->forget(lane->links[i], op, now);
}
