/*
 * redis_link.c - a lane's connections to one address: one, or, of a cluster,
 * one to each server in use.
 *
 * In a cluster an order goes to the owner of its key's slot, if that is known
 * and answers; else to any other server, which says MOVED. The map is asked for
 * behind such an order, so that nothing waits for it.
 */
#include "lock/link.h"

#include <pipemaze/edge.h>

#include <poll.h>
#include <string.h>

#include "base/alloc.h"
#include "base/wide.h"
#include "redis/ear.h"
#include "redis/node.h"
#include "redis/watch.h"

/* Ops whose last order is remembered. */
#define RECENT_MAX 16
/* The map is not asked for more often. */
#define MAP_EVERY_NS PMZ_MS(20)

typedef struct redis_link redis_link;

typedef struct peer {
	redis_link *of;
	uint32_t host;
	uint64_t map_asked; /* the serial of the connection that owes the map */
	pmz__conn conn;
	pmz__ear ear;
} peer;

typedef struct recent {
	const pmz_lock_op *op; /* NULL: none */
	uint64_t serial;       /* of the connection that it went over */
	uint32_t host;
	uint32_t asking;
	uint32_t by_sha;
} recent;

/* Where an order goes. */
typedef struct route {
	uint32_t host;
	uint32_t asking;
} route;

struct redis_link {
	pmz__link link;
	pmz__redis_node *node;
	pmz__watch *watch; /* NULL but in a cluster */
	peer *listening;
	pmz_ns map_at; /* when it may be asked again */
	uint32_t next_recent;
	uint32_t hosts; /* peers lie below this */
	recent recent[RECENT_MAX];
	peer *peers[PMZ__HOSTS_MAX];
};

static redis_link *link_of(pmz__link *link)
{
	return (redis_link *)link;
}

static void peer_free(peer *p, pmz_ns now)
{
	pmz__ear_end(&p->ear, now);
	pmz__conn_end(&p->conn, now);
	pmz__cluster_leave(p->of->node, p->host);
	p->of->peers[p->host] = NULL;
	pmz__free(p);
}

static int is_idle(const redis_link *l, const peer *p)
{
	return p && p != l->listening && p->conn.state == PMZ__CONN_CLOSED &&
	       p->ear.conn.state == PMZ__CONN_CLOSED;
}

/* A server that has left the cluster makes room for others. */
static void sweep(redis_link *l, pmz_ns now)
{
	uint32_t i, j;

	for (i = 1; i < l->hosts; i++) {
		if (!is_idle(l, l->peers[i]))
			continue;
		peer_free(l->peers[i], now);
		for (j = 0; j < RECENT_MAX; j++)
			if (l->recent[j].host == i)
				l->recent[j].op = NULL;
	}
}

static void learn(peer *p, const redisReply *reply, pmz_ns now)
{
	p->map_asked = 0;
	pmz__cluster_learn(p->of->node, reply, p->host);
	sweep(p->of, now);
}

static void told(void *ctx, const pmz__await *a, const redisReply *reply,
                 pmz_ns now)
{
	peer *p = (peer *)ctx;

	if (a->kind == PMZ__TRACKING)
		pmz__ear_tracked(&p->ear, reply, now);
	else if (a->kind == PMZ__SLOTS_ASKED)
		learn(p, reply, now);
}

/* NULL: out of memory. */
static peer *peer_of(redis_link *l, uint32_t host)
{
	peer *p = l->peers[host];
	pmz__host *at;

	if (p)
		return p;
	p = (peer *)pmz__alloc(sizeof(*p));
	at = p ? pmz__cluster_use(l->node, host) : NULL;
	if (!at) {
		pmz__free(p);
		return NULL;
	}
	p->of = l;
	p->host = host;
	pmz__conn_init(&p->conn, at, told, p);
	pmz__ear_init(&p->ear, &p->conn);
	l->peers[host] = p;
	if (l->hosts <= host)
		l->hosts = host + 1;
	return p;
}

static int is_cluster(const redis_link *l)
{
	return pmz__node_is_cluster(l->node);
}

static recent *find_recent(redis_link *l, const pmz_lock_op *op)
{
	uint32_t i;

	for (i = 0; i < RECENT_MAX; i++)
		if (l->recent[i].op == op)
			return &l->recent[i];
	return NULL;
}

static int is_by_sha(const pmz_lock_order *order)
{
	return !strcmp(order->argv[0], "EVALSHA");
}

static void remember(redis_link *l, const pmz_lock_op *op,
                     const pmz_lock_order *order, route to)
{
	recent *r = find_recent(l, op);

	if (!r)
		r = &l->recent[l->next_recent++ % RECENT_MAX];
	r->op = op;
	r->host = to.host;
	r->asking = to.asking;
	r->by_sha = (uint32_t)is_by_sha(order);
	r->serial = l->peers[to.host]->conn.serial;
}

/* Of what this op did where its last order went; also the script that was not
 * known there, sent in full. */
static int follows(const recent *r, const pmz_lock_order *order)
{
	switch (order->verb) {
	case PMZ_LOCK_ACQUIRE:
	case PMZ_LOCK_EXTEND:
	case PMZ_LOCK_PEEK:
		return r->by_sha && !is_by_sha(order);
	default:
		return 1;
	}
}

static int is_down(const redis_link *l, uint32_t host)
{
	return l->peers[host] && l->peers[host]->conn.down;
}

/* One that may know who has the slot, when its owner is unknown or down. */
static uint32_t somebody_else(redis_link *l, uint32_t owner)
{
	uint32_t i, count = pmz__cluster_count(l->node);

	pmz__cluster_doubt(l->node);
	for (i = 0; i < count; i++)
		if (i != owner && !is_down(l, i))
			return i;
	return owner == PMZ__NO_HOST ? 0 : owner;
}

static uint32_t by_map(redis_link *l, uint32_t slot)
{
	uint32_t owner = pmz__cluster_owner(l->node, slot);

	if (owner != PMZ__NO_HOST && !is_down(l, owner))
		return owner;
	return somebody_else(l, owner);
}

static route follow_moved(redis_link *l, const recent *r,
                          const pmz_lock_order *order)
{
	route to = { PMZ__NO_HOST, order->asking };

	to.host = pmz__cluster_find(l->node, order->moved, r ? r->host : 0);
	if (to.host != PMZ__NO_HOST && !order->asking)
		pmz__cluster_moved(l->node, pmz__order_slot(order), to.host);
	return to;
}

static route find_route(redis_link *l, const pmz_lock_op *op,
                        const pmz_lock_order *order)
{
	recent *r = find_recent(l, op);
	route to = { 0, order->asking };

	if (!is_cluster(l))
		return to;
	if (order->moved)
		return follow_moved(l, r, order);
	if (r && follows(r, order)) {
		to.host = r->host;
		to.asking = r->asking;
	} else {
		to.host = by_map(l, pmz__order_slot(order));
	}
	return to;
}

/* WAIT on another connection would count the writes of nobody. */
static int has_changed(redis_link *l, const pmz_lock_op *op,
                       const pmz_lock_order *order, const peer *p)
{
	const recent *r = find_recent(l, op);

	return order->verb == PMZ_LOCK_REPLICATE && r &&
	       (r->serial != p->conn.serial || p->conn.state != PMZ__CONN_OPEN);
}

static void refuse(pmz_lock_op *op, const pmz_lock_order *order,
                   const char *text, pmz_ns now)
{
	pmz_lock_op_fail(op, order->ticket, 0, text, now);
}

static void ask_for_map(redis_link *l, peer *p, pmz_ns now)
{
	static const char *const slots[] = { "CLUSTER", "SLOTS", NULL };

	if (!is_cluster(l) || p->conn.state == PMZ__CONN_CLOSED ||
	    p->conn.spent || now < l->map_at ||
	    p->map_asked == p->conn.serial || !pmz__cluster_is_stale(l->node))
		return;
	if (!pmz__conn_ask(&p->conn, PMZ__SLOTS_ASKED, slots, PMZ_NEVER))
		return;
	p->map_asked = p->conn.serial;
	l->map_at = pmz__sat_add(now, MAP_EVERY_NS);
	pmz__conn_go_on(&p->conn, now);
}

static void redis_send(pmz__link *link, pmz_lock_op *op,
                       const pmz_lock_order *order, pmz_ns now)
{
	redis_link *l = link_of(link);
	route to = find_route(l, op, order);
	peer *p = to.host == PMZ__NO_HOST ? NULL : peer_of(l, to.host);

	if (!p) {
		refuse(op, order,
		       "out of memory, or no room for one more server", now);
		return;
	}
	if (has_changed(l, op, order, p)) {
		refuse(op, order, "the connection of the write is gone", now);
		return;
	}
	pmz__conn_order(&p->conn, op, order, to.asking != 0, now);
	remember(l, op, order, to);
	ask_for_map(l, p, now);
}

/* The next after `host` that is connected, or NULL. */
static peer *next_open(const redis_link *l, uint32_t *host)
{
	while (*host < l->hosts) {
		peer *p = l->peers[(*host)++];

		if (p && p->conn.state != PMZ__CONN_CLOSED)
			return p;
	}
	return NULL;
}

/* Late answers that nobody waits for are read with the next command. */
static int is_watched(const redis_link *l, const peer *p)
{
	return pmz__queue_has_op(&p->conn.queue) ||
	       (p == l->listening && pmz__ear_watches(&p->ear));
}

static void redis_wants(const pmz__link *link, pmz__wants *out)
{
	const redis_link *l = (const redis_link *)link;
	pmz__watched of[PMZ__WATCH_MAX];
	uint32_t host = 0, count = 0;
	peer *p;

	out->due = PMZ_NEVER;
	out->fd = -1;
	out->events = 0;
	while (count < PMZ__WATCH_MAX && (p = next_open(l, &host))) {
		pmz_ns due;

		if (!is_watched(l, p))
			continue;
		pmz__conn_wants(&p->conn, &out->events, &out->fd, &due);
		out->due = pmz__min(out->due, due);
		of[count].fd = out->fd;
		of[count].events = out->events;
		of[count++].serial = p->conn.serial;
	}
	if (count > 1) {
		out->fd = pmz__watch_all(l->watch, of, count);
		out->events = POLLIN;
	}
}

static void redis_go_on(pmz__link *link, pmz_ns now)
{
	redis_link *l = link_of(link);
	uint32_t host = 0;
	peer *p;

	while ((p = next_open(l, &host)))
		pmz__conn_go_on(&p->conn, now);
}

static void redis_forget(pmz__link *link, const pmz_lock_op *op, pmz_ns now)
{
	redis_link *l = link_of(link);
	recent *r = find_recent(l, op);
	uint32_t host = 0;
	peer *p;

	while ((p = next_open(l, &host)))
		pmz__conn_forget(&p->conn, op, now);
	if (l->listening)
		pmz__ear_forget(&l->listening->ear, now);
	if (r)
		memset(r, 0, sizeof(*r));
}

static uint32_t host_of_name(redis_link *l, const char *name)
{
	uint32_t slot = pmz__slot_of_lock(name);

	return is_cluster(l) ? by_map(l, slot) : 0;
}

static int redis_listen(pmz__link *link, const char *name, pmz_ns now)
{
	redis_link *l = link_of(link);
	peer *p = peer_of(l, host_of_name(l, name));

	if (!p)
		return PMZ_E_STATE;
	l->listening = p;
	return pmz__ear_listen(&p->ear, name, now);
}

static void redis_ear_wants(const pmz__link *link, pmz__wants *out)
{
	const redis_link *l = (const redis_link *)link;

	out->due = PMZ_NEVER;
	out->fd = -1;
	out->events = 0;
	if (l->listening)
		pmz__ear_wants(&l->listening->ear, &out->events, &out->fd,
		               &out->due);
}

static int redis_ear_go_on(pmz__link *link, pmz_ns now)
{
	redis_link *l = link_of(link);

	return l->listening ? pmz__ear_go_on(&l->listening->ear, now) : 0;
}

static int redis_sleep(pmz__link *link, pmz_ns due, pmz_ns now)
{
	redis_link *l = link_of(link);

	return !is_cluster(l) && pmz__conn_sleep(&l->peers[0]->conn, due, now);
}

static void redis_free(pmz__link *link)
{
	redis_link *l = link_of(link);
	pmz_ns now = pmz_now();
	uint32_t i;

	for (i = 0; i < l->hosts; i++)
		if (l->peers[i])
			peer_free(l->peers[i], now);
	if (l->watch)
		pmz__watch_end(l->watch);
	pmz__free(l->watch);
	pmz__free(l);
}

static int make_watch(redis_link *l)
{
	if (!is_cluster(l))
		return 1;
	l->watch = (pmz__watch *)pmz__alloc(sizeof(*l->watch));
	if (l->watch)
		pmz__watch_init(l->watch);
	return l->watch != NULL;
}

pmz__link *pmz__redis_link_new(pmz__node *node)
{
	static const pmz__link_type type = {
		redis_send,      redis_wants,  redis_go_on,
		redis_forget,    redis_listen, redis_ear_wants,
		redis_ear_go_on, redis_free,   redis_sleep,
	};
	redis_link *l = (redis_link *)pmz__alloc(sizeof(*l));

	if (!l)
		return NULL;
	l->link.type = &type;
	l->node = (pmz__redis_node *)node;
	if (make_watch(l) && peer_of(l, 0))
		return &l->link;
	redis_free(&l->link);
	return NULL;
}
