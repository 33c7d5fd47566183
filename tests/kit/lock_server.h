/*
 * lock_server.h - a model of the servers behind a lock, on a virtual clock.
 *
 * A world has nodes, each a short list of keys, and clients, each an op. An
 * order is a command that arrives at its node after a trip, is executed there
 * as its script would, and is answered after another. What goes wrong on the
 * way is written down before as a rule, or chosen by a function.
 *
 *   world_open(&w, 3);
 *   world_rule(&w, 1, PMZ_LOCK_ACQUIRE, 1, (fault){ .how = REPLY_LOST });
 *   st = pmz_lock_op_acquire(&op, ...);
 *   world_run(&w, &op);
 *
 * What one client sends to one node is not kept in order, as if each command
 * had a connection of its own: the worst that a network can do.
 */
#ifndef KIT_LOCK_SERVER_H
#define KIT_LOCK_SERVER_H

#include <pipemaze/lock_proto.h>

#define WORLD_START (PMZ_S(1000) + 7)
#define WORLD_TRIP PMZ_MS(1)
#define WORLD_KEYS 1000
#define WORLD_EVENTS 2000
#define WORLD_RULES 40
#define WORLD_LOG 4000
#define WORLD_CLIENTS 8
#define WORLD_FOREVER PMZ_NEVER
#define ANY 99u /* node, or verb */

typedef enum fault_kind {
	WELL,
	REPLY_LATE,    /* by so much */
	REPLY_LOST,    /* but executed */
	COMMAND_LATE,  /* by so much, whatever its client does meanwhile */
	COMMAND_LOST,  /* written, and never executed */
	UNSENT,        /* its connection never opens */
	TWICE,         /* executed and answered */
	REFUSED,       /* answered with the error, and not executed */
	FAILED_AFTER,  /* executed, and answered with the error */
	GARBLED,       /* executed, and answered with the text */
	CUT,           /* executed, and answered in so many bytes */
	BROKEN_BEFORE, /* the connection, when nothing was written */
	BROKEN_AFTER   /* when all was; executed so much later, or never */
} fault_kind;

typedef struct fault {
	fault_kind how;
	pmz_ns by;
	const char *text;
	size_t len;
} fault;

typedef struct server_key {
	char name[216];
	char value[216];
	pmz_ns ends;
	int is_list;
} server_key;

typedef struct server {
	server_key keys[WORLD_KEYS];
	size_t count;
	uint32_t unknown;  /* a set of the verbs whose script it lacks */
	uint32_t fast_ppm; /* its clock runs so much faster than ours */
	int64_t ahead_us;  /* what its TIME says more */
	uint64_t replicas;
	int is_dead; /* it hears nothing */
} server;

/* An order, as it lies on the wire. */
typedef struct command {
	pmz_ns at;
	uint32_t node, ticket, verb, asking, urgent, argc;
	int client;
	int is_whole; /* EVAL */
	char moved[72];
	char args[PMZ_LOCK_ARGS_MAX][208]; /* a script is not kept */
} command;

typedef enum event_kind { ARRIVES, ANSWERS, BREAKS } event_kind;

typedef struct event {
	pmz_ns at;
	uint64_t number;
	event_kind kind;
	int is_error, is_written, is_silent;
	fault fault;
	command command;
	char text[320];
	size_t len;
} event;

typedef struct world_rule_row {
	uint32_t node, verb;
	unsigned times;
	fault fault;
} world_rule_row;

typedef struct client {
	pmz_lock_op *op;
	pmz_lock_step step;
	pmz_ns due;
	int wakes;
} client;

typedef struct world {
	server servers[PMZ_LOCK_NODES_MAX];
	event events[WORLD_EVENTS];
	command log[WORLD_LOG]; /* all that was sent */
	world_rule_row rules[WORLD_RULES];
	pmz_ns now, trip;
	uint32_t nodes;
	int is_eager; /* answers come before the next command goes out */
	size_t event_count, rule_count, log_count;
	uint64_t event_number;
	client clients[WORLD_CLIENTS];
	fault (*choose)(struct world *w, const command *c); /* or NULL */
	void *ctx;
} world;

/* Empties it. All nodes know all scripts. */
void world_open(world *w, uint32_t nodes);
/* What happens to the next `times` commands to that node, of that verb; of
 * several rules the first that was made. */
void world_rule(world *w, uint32_t node, uint32_t verb, unsigned times,
                fault f);

/* Client number i is that op from now on, or nobody. */
void world_join(world *w, int i, pmz_lock_op *op);
/* Asks client i what it wants now. */
void world_turn(world *w, int i);
/* The next instant at which something happens, or PMZ_NEVER. */
pmz_ns world_next(world *w);
/* Goes there; 0: nothing will. */
int world_step(world *w);
/* All that happens within the span. */
void world_pass(world *w, pmz_ns span);
/* All that is on its way arrives. */
void world_settle(world *w);
/* As client 0, until it is done. */
void world_run(world *w, pmz_lock_op *op);

/* What a key holds, or NULL. */
const server_key *server_find(world *w, uint32_t node, const char *key);
/* `span` WORLD_FOREVER: without an end. */
void server_set(world *w, uint32_t node, const char *key, const char *value,
                pmz_ns span);
void server_forget_all(world *w, uint32_t node);

/* How many commands of a verb (or ANY) went out since the log had `from`. */
unsigned world_sent(const world *w, uint32_t verb, size_t from);

#endif
