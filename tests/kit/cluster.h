/*
 * cluster.h - a Redis Cluster of three masters on this machine.
 *
 *   kit_cluster *c = kit_cluster_start(0);
 *   kit_redis *from = kit_cluster_owner(c, "key");
 *   kit_redis *to = kit_cluster_other(c, from);
 *   kit_move move = kit_move_begin(c, "key", to);
 *
 *   ... `from` answers ASK for keys that it does not have ...
 *   kit_move_keys(c, &move, 100);
 *   ... now for all of them ...
 *   kit_move_end(c, &move);
 *   ... now it answers MOVED ...
 *   kit_cluster_stop(c);
 *
 * Its nodes are servers of redis.h, to be asked, paused and killed as any. What
 * has to be agreed on is waited for, 30 s at most; then the program ends and
 * says what was missing. A start takes some 3 s, of which Redis waits 2 on
 * purpose: share a cluster between tests.
 *
 * Threads: one at a time per cluster.
 */
#ifndef KIT_CLUSTER_H
#define KIT_CLUSTER_H

#include "redis.h"

#define KIT_MASTERS 3

typedef struct kit_cluster kit_cluster;

/* Returns when every node finds all slots served, and the replica of the first
 * master, if asked for, is in step with it. */
kit_cluster *kit_cluster_start(int with_replica);
void kit_cluster_stop(kit_cluster *c); /* NULL is fine */

/* redis+cluster://127.0.0.1:PORT of the third master, which no function here
 * kills; kit_cluster_node() gives other doors. */
const char *kit_cluster_address(const kit_cluster *c);

/* 0, 1, 2 are the first masters, 3 is the replica. */
kit_redis *kit_cluster_node(const kit_cluster *c, unsigned i);

unsigned kit_cluster_slot(const kit_cluster *c, const char *key);

/* The master that serves this key now, by the word of a node that is up; and a
 * master that serves something else. */
kit_redis *kit_cluster_owner(const kit_cluster *c, const char *key);
kit_redis *kit_cluster_other(const kit_cluster *c, const kit_redis *than);

/* One slot moves while it is in use. Stop between the steps as you like. */
typedef struct kit_move {
	unsigned slot;
	kit_redis *from, *to;
} kit_move;

/* Imports and migrates the slot of this key, with no key moved. */
kit_move kit_move_begin(kit_cluster *c, const char *key, kit_redis *to);
/* Moves at most so many keys, any of the slot; returns how many. */
unsigned kit_move_keys(kit_cluster *c, const kit_move *m, unsigned most);
/* Gives the slot, which must be empty by now, to its new master, and returns
 * when all nodes know. */
void kit_move_end(kit_cluster *c, const kit_move *m);

/* Kills the first master and returns its replica, once that is the master of
 * its slots and all living nodes find all slots served. */
kit_redis *kit_cluster_fail_over(kit_cluster *c);

#endif
