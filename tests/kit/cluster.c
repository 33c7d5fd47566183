/*
 * cluster.c - a Redis Cluster of three masters on this machine.
 */
#include "cluster.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SLOTS 16384
#define NODES_MAX (KIT_MASTERS + 1)
#define REPLICA KIT_MASTERS
#define WAIT_S 30
#define TEXT_MAX 4096 /* of CLUSTER NODES and CLUSTER INFO */
#define KEY_MAX 512
#define ID_MAX 64

/* After so long without a word a node is suspected; a fail-over takes some 2 s
 * more. */
#define NODE_TIMEOUT_MS "500"
#define MIGRATE_MS "5000"

struct kit_cluster {
	kit_redis *nodes[NODES_MAX];
	unsigned count;
	char address[64];
};

/* The nodes' own numbers as text. */
struct decimal {
	char text[24];
};

static struct decimal decimal(unsigned n)
{
	struct decimal d;

	snprintf(d.text, sizeof(d.text), "%u", n);
	return d;
}

static struct decimal port_of(const kit_redis *r)
{
	return decimal(kit_redis_port(r));
}

static int is_ok(const char *reply)
{
	return strcmp(reply, "OK") == 0;
}

static void must(const kit_redis *r, const char *what, const char *reply)
{
	if (!is_ok(reply))
		kit_fail("cluster: %s on port %u: %s", what,
		         (unsigned)kit_redis_port(r), reply);
}

static void id_of(const kit_redis *r, char id[ID_MAX])
{
	kit_redis_ask(r, id, ID_MAX, "CLUSTER", "MYID", NULL);
}

/* A node that was killed or paused is not asked. */
static const kit_redis *spokesman(const kit_cluster *c)
{
	unsigned i;

	for (i = 0; i < c->count; i++) {
		if (kit_redis_is_up(c->nodes[i]))
			return c->nodes[i];
	}
	kit_fail("cluster: no node is up");
}

/* Whether all nodes that are up say this in reply to CLUSTER INFO. */
static int all_say(const kit_cluster *c, const char *line)
{
	char text[TEXT_MAX];
	unsigned i;

	for (i = 0; i < c->count; i++) {
		if (!kit_redis_is_up(c->nodes[i]))
			continue;
		kit_redis_ask(c->nodes[i], text, sizeof(text), "CLUSTER",
		              "INFO", NULL);
		if (!strstr(text, line))
			return 0;
	}
	return 1;
}

static int all_serve(void *ctx)
{
	return all_say(ctx, "cluster_state:ok\r\n");
}

static int all_are_known(void *ctx)
{
	const kit_cluster *c = ctx;
	char line[48];

	snprintf(line, sizeof(line), "cluster_known_nodes:%u\r\n", c->count);
	return all_say(c, line);
}

/* Whether this word is in CLUSTER NODES of all nodes, or of none. */
static int all_list(const kit_cluster *c, const char *word, int is_listed)
{
	char text[TEXT_MAX];
	unsigned i;

	for (i = 0; i < c->count; i++) {
		kit_redis_ask(c->nodes[i], text, sizeof(text), "CLUSTER",
		              "NODES", NULL);
		if ((strstr(text, word) != NULL) != is_listed)
			return 0;
	}
	return 1;
}

static int no_handshakes_are_left(void *ctx)
{
	return all_list(ctx, "handshake", 0);
}

static void give_slots(const kit_redis *r, unsigned i)
{
	char reply[256];
	struct decimal first = decimal(i * SLOTS / KIT_MASTERS);
	struct decimal last = decimal((i + 1) * SLOTS / KIT_MASTERS - 1);

	kit_redis_ask(r, reply, sizeof(reply), "CLUSTER", "ADDSLOTSRANGE",
	              first.text, last.text, NULL);
	must(r, "CLUSTER ADDSLOTSRANGE (Redis 7)", reply);
}

/* Epochs of their own spare the nodes the argument over who has which. */
static void number(const kit_redis *r, unsigned i)
{
	char reply[256];
	struct decimal epoch = decimal(i + 1);

	kit_redis_ask(r, reply, sizeof(reply), "CLUSTER", "SET-CONFIG-EPOCH",
	              epoch.text, NULL);
	must(r, "CLUSTER SET-CONFIG-EPOCH", reply);
}

static void introduce(const kit_redis *r, const kit_redis *to)
{
	char reply[256];
	struct decimal port = port_of(to);

	kit_redis_ask(r, reply, sizeof(reply), "CLUSTER", "MEET", "127.0.0.1",
	              port.text, NULL);
	must(r, "CLUSTER MEET", reply);
}

static void meet(kit_cluster *c)
{
	unsigned i;

	for (i = 0; i < c->count; i++)
		number(c->nodes[i], i);
	for (i = 0; i < KIT_MASTERS; i++)
		give_slots(c->nodes[i], i);
	for (i = 1; i < c->count; i++)
		introduce(c->nodes[i], c->nodes[0]);
	kit_wait(all_are_known, c, WAIT_S, "all nodes of a cluster to meet");
	kit_wait(no_handshakes_are_left, c, WAIT_S,
	         "the handshakes of a cluster's nodes");
}

static int replica_is_in_step(void *ctx)
{
	const kit_cluster *c = ctx;
	char text[TEXT_MAX];

	kit_redis_ask(c->nodes[REPLICA], text, sizeof(text), "INFO",
	              "replication", NULL);
	return strstr(text, "role:slave\r\n") &&
	       strstr(text, "master_link_status:up\r\n") &&
	       all_list(c, "slave", 1);
}

static void attach_replica(kit_cluster *c)
{
	char id[ID_MAX], reply[256];
	kit_redis *replica = c->nodes[REPLICA];

	id_of(c->nodes[0], id);
	kit_redis_ask(replica, reply, sizeof(reply), "CLUSTER", "REPLICATE", id,
	              NULL);
	must(replica, "CLUSTER REPLICATE", reply);
	kit_wait(replica_is_in_step, c, WAIT_S,
	         "the replica of a cluster's first master");
}

kit_cluster *kit_cluster_start(int with_replica)
{
	static const char *const extra[] = {
		"--cluster-enabled",
		"yes",
		"--cluster-node-timeout",
		NODE_TIMEOUT_MS,
		"--cluster-replica-validity-factor",
		"0",
		NULL
	};
	kit_cluster *c = calloc(1, sizeof(*c));

	if (!c)
		kit_fail("no memory for a cluster");
	while (c->count < KIT_MASTERS + (with_replica ? 1 : 0))
		c->nodes[c->count++] = kit_redis_start(extra);
	snprintf(c->address, sizeof(c->address), "redis+cluster://127.0.0.1:%s",
	         port_of(c->nodes[KIT_MASTERS - 1]).text);
	meet(c);
	if (with_replica)
		attach_replica(c);
	kit_wait(all_serve, c, WAIT_S, "cluster_state:ok on all nodes");
	return c;
}

void kit_cluster_stop(kit_cluster *c)
{
	if (!c)
		return;
	while (c->count)
		kit_redis_stop(c->nodes[--c->count]);
	free(c);
}

const char *kit_cluster_address(const kit_cluster *c)
{
	return c->address;
}

kit_redis *kit_cluster_node(const kit_cluster *c, unsigned i)
{
	if (i >= c->count)
		kit_fail("cluster: no node %u", i);
	return c->nodes[i];
}

unsigned kit_cluster_slot(const kit_cluster *c, const char *key)
{
	return (unsigned)kit_redis_count(spokesman(c), "CLUSTER", "KEYSLOT",
	                                 key, NULL);
}

/* In a line of CLUSTER NODES, after eight words, come the slots of a master, as
 * 7, 3-9, or [7->-...] for one that moves. NULL if there are none. */
static const char *slots_in(const char *line)
{
	int words = 8;

	while (words-- && (line = strchr(line, ' ')))
		line++;
	return line;
}

static int lists_slot(const char *line, unsigned slot)
{
	const char *at = slots_in(line);
	unsigned first, last;

	while (at) {
		int ends = sscanf(at, "%u-%u", &first, &last);

		if (ends >= 1 && slot >= first &&
		    slot <= (ends == 2 ? last : first))
			return 1;
		at = strchr(at, ' ');
		at += at != NULL;
	}
	return 0;
}

/* A line opens with the id and ADDRESS:PORT@BUS. */
static kit_redis *node_of(const kit_cluster *c, const char *line)
{
	unsigned port, i;

	if (sscanf(line, "%*s %*[^:]:%u@", &port) == 1) {
		for (i = 0; i < c->count; i++) {
			if (kit_redis_port(c->nodes[i]) == port)
				return c->nodes[i];
		}
	}
	kit_fail("cluster: a node of no known port: %s", line);
}

/* NULL while no master has the slot. */
static kit_redis *owner_by(const kit_cluster *c, const kit_redis *says,
                           unsigned slot)
{
	char text[TEXT_MAX], *line, *rest = text;

	kit_redis_ask(says, text, sizeof(text), "CLUSTER", "NODES", NULL);
	while ((line = strsep(&rest, "\n"))) {
		if (lists_slot(line, slot))
			return node_of(c, line);
	}
	return NULL;
}

static kit_redis *owner_of(const kit_cluster *c, unsigned slot)
{
	kit_redis *owner = owner_by(c, spokesman(c), slot);

	if (!owner)
		kit_fail("cluster: nobody has slot %u", slot);
	return owner;
}

kit_redis *kit_cluster_owner(const kit_cluster *c, const char *key)
{
	return owner_of(c, kit_cluster_slot(c, key));
}

/* Every third of the slots has a master, and no move takes more than one. */
kit_redis *kit_cluster_other(const kit_cluster *c, const kit_redis *than)
{
	unsigned i;

	for (i = 0; i < KIT_MASTERS; i++) {
		kit_redis *owner = owner_of(c, i * SLOTS / KIT_MASTERS + 1);

		if (owner != than)
			return owner;
	}
	kit_fail("cluster: one master has all slots");
}

static void set_slot(const kit_redis *r, unsigned slot, const char *how,
                     const kit_redis *whom)
{
	char id[ID_MAX], reply[256];

	id_of(whom, id);
	kit_redis_ask(r, reply, sizeof(reply), "CLUSTER", "SETSLOT",
	              decimal(slot).text, how, id, NULL);
	must(r, "CLUSTER SETSLOT", reply);
}

kit_move kit_move_begin(kit_cluster *c, const char *key, kit_redis *to)
{
	kit_move m = { kit_cluster_slot(c, key), kit_cluster_owner(c, key),
		       to };

	set_slot(to, m.slot, "IMPORTING", m.from);
	set_slot(m.from, m.slot, "MIGRATING", to);
	return m;
}

/* One key a time, so that its name may have any bytes but NUL. */
static int move_one(const kit_move *m)
{
	char key[KEY_MAX], reply[256];
	struct decimal slot = decimal(m->slot), port = port_of(m->to);

	if (!kit_redis_count(m->from, "CLUSTER", "COUNTKEYSINSLOT", slot.text,
	                     NULL))
		return 0;
	kit_redis_ask(m->from, key, sizeof(key), "CLUSTER", "GETKEYSINSLOT",
	              slot.text, "1", NULL);
	kit_redis_ask(m->from, reply, sizeof(reply), "MIGRATE", "127.0.0.1",
	              port.text, key, "0", MIGRATE_MS, NULL);
	/* It may have expired meanwhile. */
	if (strcmp(reply, "NOKEY") != 0)
		must(m->from, "MIGRATE", reply);
	return 1;
}

unsigned kit_move_keys(kit_cluster *c, const kit_move *m, unsigned most)
{
	unsigned moved = 0;

	(void)c;
	while (moved < most && move_one(m))
		moved++;
	return moved;
}

static int is_master(const kit_redis *r)
{
	char text[TEXT_MAX];

	kit_redis_ask(r, text, sizeof(text), "INFO", "replication", NULL);
	return strstr(text, "role:master\r\n") != NULL;
}

struct change {
	const kit_cluster *c;
	const kit_move *move;
};

static int all_know(void *ctx)
{
	const struct change *change = ctx;
	const kit_cluster *c = change->c;
	const kit_move *m = change->move;
	unsigned i;

	for (i = 0; i < c->count; i++) {
		const kit_redis *r = c->nodes[i];

		if (kit_redis_is_up(r) && owner_by(c, r, m->slot) != m->to)
			return 0;
	}
	return 1;
}

/* The new master hears of it first: no node then sends a client where the slot
 * is no longer. */
void kit_move_end(kit_cluster *c, const kit_move *m)
{
	struct change change = { c, m };
	unsigned i;

	set_slot(m->to, m->slot, "NODE", m->to);
	set_slot(m->from, m->slot, "NODE", m->to);
	for (i = 0; i < c->count; i++) {
		kit_redis *r = c->nodes[i];

		if (r != m->to && r != m->from && kit_redis_is_up(r) &&
		    is_master(r))
			set_slot(r, m->slot, "NODE", m->to);
	}
	kit_wait(all_know, &change, WAIT_S, "all nodes to know of a move");
}

/* Whether `says` knows of slots of the first master, which is dead. */
static int has_slots_by(const kit_cluster *c, const kit_redis *says)
{
	char text[TEXT_MAX], *line, *rest = text;

	kit_redis_ask(says, text, sizeof(text), "CLUSTER", "NODES", NULL);
	while ((line = strsep(&rest, "\n"))) {
		if (slots_in(line) && node_of(c, line) == c->nodes[0])
			return 1;
	}
	return 0;
}

static int replica_serves(void *ctx)
{
	const kit_cluster *c = ctx;
	unsigned i;

	for (i = 0; i < c->count; i++) {
		if (kit_redis_is_up(c->nodes[i]) &&
		    has_slots_by(c, c->nodes[i]))
			return 0;
	}
	return is_master(c->nodes[REPLICA]) && all_serve(ctx);
}

kit_redis *kit_cluster_fail_over(kit_cluster *c)
{
	kit_redis *replica = kit_cluster_node(c, REPLICA);

	kit_redis_kill(c->nodes[0]);
	kit_wait(replica_serves, c, WAIT_S,
	         "the replica to take over from the first master");
	return replica;
}
