/*
 * lock_server.c - a model of the servers behind a lock, on a virtual clock.
 */
#include "lock_server.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What 2023 is in us, so that fences have the digits that they have. */
#define EPOCH_US 1700000000000000u
#define EVALSHA_ARGS 3
/* When a client has a connection again, and sends what it owes. */
#define OWED_AFTER PMZ_MS(300)
#define PPM 1000000u

static void demand(int claim, const char *what)
{
	if (claim)
		return;
	fprintf(stderr, "lock_server: %s\n", what);
	abort();
}

static server_key *find(world *w, uint32_t node, const char *name)
{
	server *s = &w->servers[node];
	size_t i;

	for (i = 0; i < s->count; i++)
		if (!strcmp(s->keys[i].name, name))
			return s->keys[i].ends > w->now ? &s->keys[i] : NULL;
	return NULL;
}

static void drop(world *w, uint32_t node, const char *name)
{
	server_key *key = find(w, node, name);

	if (key)
		key->ends = 0;
}

static server_key *place(world *w, uint32_t node, const char *name)
{
	server *s = &w->servers[node];
	size_t i;

	for (i = 0; i < s->count; i++)
		if (s->keys[i].ends <= w->now || !strcmp(s->keys[i].name, name))
			break;
	demand(i < WORLD_KEYS, "too many keys");
	s->count += i == s->count;
	memset(&s->keys[i], 0, sizeof(s->keys[i]));
	snprintf(s->keys[i].name, sizeof(s->keys[i].name), "%s", name);
	return &s->keys[i];
}

/* A server counts whole milliseconds of its own clock. */
static pmz_ns end_of(const world *w, uint32_t node, pmz_ns span)
{
	pmz_ns whole = w->now / PMZ_MS(1) * PMZ_MS(1);

	if (span == WORLD_FOREVER)
		return PMZ_NEVER;
	return whole + span - span / PPM * w->servers[node].fast_ppm;
}

void server_set(world *w, uint32_t node, const char *name, const char *value,
                pmz_ns span)
{
	server_key *key;

	drop(w, node, name);
	key = place(w, node, name);
	snprintf(key->value, sizeof(key->value), "%s", value);
	key->ends = end_of(w, node, span);
}

const server_key *server_find(world *w, uint32_t node, const char *name)
{
	return find(w, node, name);
}

void server_forget_all(world *w, uint32_t node)
{
	w->servers[node].count = 0;
	w->servers[node].unknown = ~0u;
}

static pmz_ns ms_of(const char *digits)
{
	return strtoull(digits, NULL, 10) * PMZ_MS(1);
}

static int64_t left_of(const world *w, const server_key *key)
{
	return key->ends == PMZ_NEVER
	               ? -1
	               : (int64_t)((key->ends - w->now) / PMZ_MS(1));
}

static void lengthen(world *w, uint32_t node, server_key *key, const char *ms)
{
	pmz_ns ends = end_of(w, node, ms_of(ms));

	if (key->ends < ends)
		key->ends = ends;
}

static uint64_t fence_of(world *w, uint32_t node, const char *name)
{
	const server_key *key = find(w, node, name);

	return key ? strtoull(key->value, NULL, 10) : 0;
}

static void write_fence(world *w, uint32_t node, const char *name,
                        uint64_t fence, const char *keep_ms)
{
	char digits[24];

	snprintf(digits, sizeof(digits), "%" PRIu64, fence);
	server_set(w, node, name, digits, ms_of(keep_ms));
}

static uint64_t next_fence(world *w, const command *c, const char *name,
                           const char *keep_ms)
{
	uint64_t fence = EPOCH_US + w->now / PMZ_US(1) +
	                 (uint64_t)w->servers[c->node].ahead_us;
	uint64_t last = fence_of(w, c->node, name);

	if (fence <= last)
		fence = last + 1;
	write_fence(w, c->node, name, fence, keep_ms);
	return fence;
}

static int keys_of(const command *c)
{
	return atoi(c->args[2]);
}

static const char *key_arg(const command *c, int i)
{
	return c->args[EVALSHA_ARGS + i];
}

static const char *arg(const command *c, int i)
{
	return c->args[EVALSHA_ARGS + keys_of(c) + i];
}

static void acquire(world *w, const command *c, event *reply)
{
	int fenced = keys_of(c) == 3;
	server_key *lock = find(w, c->node, key_arg(c, 0));
	uint64_t fence = 0;

	if (lock && lock->is_list) {
		snprintf(reply->text, sizeof(reply->text), "-2 0 0");
	} else if (lock && strcmp(lock->value, arg(c, 0)) != 0) {
		snprintf(reply->text, sizeof(reply->text), "0 0 %" PRId64,
		         left_of(w, lock));
	} else if (lock) {
		lengthen(w, c->node, lock, arg(c, 1));
		if (fenced)
			fence = fence_of(w, c->node, key_arg(c, 2));
		snprintf(reply->text, sizeof(reply->text), "2 %" PRIu64 " 0",
		         fence);
	} else if (find(w, c->node, key_arg(c, 1))) {
		snprintf(reply->text, sizeof(reply->text), "-1 0 0");
	} else {
		server_set(w, c->node, key_arg(c, 0), arg(c, 0),
		           ms_of(arg(c, 1)));
		if (fenced)
			fence = next_fence(w, c, key_arg(c, 2), arg(c, 2));
		snprintf(reply->text, sizeof(reply->text), "1 %" PRIu64 " 0",
		         fence);
	}
}

/* 1, 0 if there is none, -1 if it is another's. */
static int owned(world *w, const command *c)
{
	const server_key *lock = find(w, c->node, key_arg(c, 0));

	if (!lock)
		return 0;
	return lock->is_list || strcmp(lock->value, arg(c, 0)) ? -1 : 1;
}

static void raise_fence(world *w, const command *c, event *reply)
{
	uint64_t fence = strtoull(arg(c, 1), NULL, 10);
	int is = owned(w, c) == 1;

	if (is && fence_of(w, c->node, key_arg(c, 1)) < fence)
		write_fence(w, c->node, key_arg(c, 1), fence, arg(c, 2));
	snprintf(reply->text, sizeof(reply->text), "%d", is);
}

static void extend(world *w, const command *c, event *reply)
{
	int is = owned(w, c);

	if (is == 1)
		lengthen(w, c->node, find(w, c->node, key_arg(c, 0)),
		         arg(c, 1));
	snprintf(reply->text, sizeof(reply->text), "%d", is);
}

static void release(world *w, const command *c, event *reply)
{
	int is;

	if (keys_of(c) == 2)
		server_set(w, c->node, key_arg(c, 1), "1", ms_of(arg(c, 1)));
	is = owned(w, c);
	if (is == 1)
		drop(w, c->node, key_arg(c, 0));
	snprintf(reply->text, sizeof(reply->text), "%d", is);
}

static void peek(world *w, const command *c, event *reply)
{
	const server_key *lock = find(w, c->node, key_arg(c, 0));

	if (!lock)
		snprintf(reply->text, sizeof(reply->text), "0 0 0 ");
	else if (lock->is_list)
		snprintf(reply->text, sizeof(reply->text), "-2 0 0 ");
	else
		snprintf(reply->text, sizeof(reply->text),
		         "1 %" PRId64 " %" PRIu64 " %s", left_of(w, lock),
		         fence_of(w, c->node, key_arg(c, 1)), lock->value);
}

static void replicate(world *w, const command *c, event *reply)
{
	snprintf(reply->text, sizeof(reply->text), "%" PRIu64,
	         w->servers[c->node].replicas);
}

/* ABANDON and RELEASE are one script. */
static uint32_t script_bit(const command *c)
{
	return 1u << (c->verb == PMZ_LOCK_ABANDON ? PMZ_LOCK_RELEASE : c->verb);
}

static void execute(world *w, const command *c, event *reply)
{
	static void (*const verbs[])(world *, const command *, event *) = {
		[PMZ_LOCK_ACQUIRE] = acquire,
		[PMZ_LOCK_RAISE] = raise_fence,
		[PMZ_LOCK_REPLICATE] = replicate,
		[PMZ_LOCK_EXTEND] = extend,
		[PMZ_LOCK_RELEASE] = release,
		[PMZ_LOCK_ABANDON] = release,
		[PMZ_LOCK_PEEK] = peek,
	};
	server *s = &w->servers[c->node];

	if (c->is_whole)
		s->unknown &= ~script_bit(c);
	if (c->verb != PMZ_LOCK_REPLICATE && (s->unknown & script_bit(c))) {
		reply->is_error = 1;
		snprintf(reply->text, sizeof(reply->text),
		         "NOSCRIPT No matching script.");
	} else {
		verbs[c->verb](w, c, reply);
	}
	reply->len = strlen(reply->text);
}

static event *push(world *w, pmz_ns at, event_kind kind, const command *c,
                   fault f)
{
	event *e = &w->events[w->event_count++];

	demand(w->event_count < WORLD_EVENTS, "too much on its way");
	memset(e, 0, sizeof(*e));
	e->at = at;
	e->number = w->event_number++;
	e->kind = kind;
	e->command = *c;
	e->fault = f;
	return e;
}

static event *first_event(world *w)
{
	event *first = NULL;
	size_t i;

	for (i = 0; i < w->event_count; i++) {
		event *e = &w->events[i];

		if (!first || e->at < first->at ||
		    (e->at == first->at && e->number < first->number))
			first = e;
	}
	return first;
}

static event pop(world *w)
{
	event *first = first_event(w), e = *first;

	*first = w->events[--w->event_count];
	return e;
}

static void answer(world *w, const event *arrived, const event *reply)
{
	pmz_ns at = w->now + w->trip;
	event *e;

	if (arrived->fault.how == REPLY_LATE)
		at += arrived->fault.by;
	e = push(w, at, ANSWERS, &arrived->command, arrived->fault);
	memcpy(e->text, reply->text, sizeof(e->text));
	e->len = reply->len;
	e->is_error = reply->is_error;
}

/* What the network makes of an answer. Of a script that is not known nothing
 * was executed, and its error stays. */
static void garble(const fault *f, event *reply)
{
	int is_text = f->how == GARBLED || f->how == FAILED_AFTER ||
	              f->how == REFUSED;

	if (reply->is_error)
		return;
	if (f->how == CUT && reply->len > f->len)
		reply->len = f->len;
	if (!is_text)
		return;
	reply->len = f->len ? f->len : strlen(f->text);
	demand(reply->len <= sizeof(reply->text), "too long a text");
	memcpy(reply->text, f->text, reply->len);
	reply->is_error = f->how != GARBLED;
}

static void arrive(world *w, const event *e)
{
	event reply = { .len = 0 };

	if (w->servers[e->command.node].is_dead)
		return;
	if (e->fault.how != REFUSED)
		execute(w, &e->command, &reply);
	if (e->fault.how == TWICE) {
		if (!e->is_silent)
			answer(w, e, &reply);
		execute(w, &e->command, &reply);
	}
	garble(&e->fault, &reply);
	if (!e->is_silent)
		answer(w, e, &reply);
}

static pmz_lock_op *op_of(const world *w, const event *e)
{
	return w->clients[e->command.client].op;
}

static void tell(pmz_lock_op *op, const event *e, pmz_ns now)
{
	uint32_t ticket = e->command.ticket;

	if (e->kind == BREAKS)
		pmz_lock_op_fail(op, ticket, e->is_written,
		                 "the connection broke", now);
	else if (e->is_error)
		pmz_lock_op_error(op, ticket, e->text, e->len, now);
	else
		pmz_lock_op_reply(op, ticket, e->text, e->len, now);
}

static void deliver(world *w, const event *e)
{
	if (e->kind == ARRIVES)
		arrive(w, e);
	else if (op_of(w, e))
		tell(op_of(w, e), e, w->now);
}

static fault fault_of(world *w, const command *c)
{
	size_t i;

	for (i = 0; i < w->rule_count; i++) {
		world_rule_row *r = &w->rules[i];

		if (!r->times || (r->node != ANY && r->node != c->node) ||
		    (r->verb != ANY && r->verb != c->verb))
			continue;
		r->times -= r->times != ~0u;
		return r->fault;
	}
	return w->choose ? w->choose(w, c) : (fault){ .how = WELL };
}

/* An ABANDON that was not answered is sent again, and nothing happens to it
 * then. */
static void owe(world *w, const command *c, fault_kind how)
{
	if (c->verb == PMZ_LOCK_ABANDON && how != WELL)
		push(w, w->now + OWED_AFTER, ARRIVES, c, (fault){ .how = WELL })
			->is_silent = 1;
}

static void break_off(world *w, const command *c, fault f, int is_written)
{
	push(w, w->now + w->trip, BREAKS, c, f)->is_written = is_written;
}

static void transmit(world *w, const command *c, fault f)
{
	pmz_ns at = w->now + w->trip;
	int breaks = f.how == BROKEN_BEFORE || f.how == BROKEN_AFTER;
	int arrives = f.how != COMMAND_LOST && f.how != UNSENT &&
	              f.how != BROKEN_BEFORE;

	if (f.how == COMMAND_LATE ||
	    (f.how == BROKEN_AFTER && f.by != PMZ_NEVER))
		at += f.by;
	if (f.how == BROKEN_AFTER && f.by == PMZ_NEVER)
		arrives = 0;
	if (arrives)
		push(w, at, ARRIVES, c, f)->is_silent =
			f.how == REPLY_LOST || f.how == BROKEN_AFTER;
	if (breaks)
		break_off(w, c, f, f.how == BROKEN_AFTER);
	owe(w, c, f.how);
}

static void copy_args(command *c, const pmz_lock_order *order)
{
	uint32_t i;

	for (i = 0; i < order->argc; i++) {
		if (i == 1 && c->is_whole)
			continue;
		demand(order->len[i] < sizeof(c->args[i]), "a long argument");
		memcpy(c->args[i], order->argv[i], order->len[i]);
	}
}

/* The order names the script of its verb. */
static void check_script(const pmz_lock_order *order, int is_whole)
{
	const char *want = is_whole ? pmz_lock_script(order->verb)
	                            : pmz_lock_script_sha(order->verb);

	if (order->verb == PMZ_LOCK_REPLICATE)
		demand(!strcmp(order->argv[0], "WAIT"), "no WAIT");
	else
		demand(want && !strcmp(order->argv[1], want),
		       "another verb's script");
}

static void send(world *w, int i, const pmz_lock_order *order)
{
	command *c = &w->log[w->log_count++];
	fault f;

	demand(w->log_count < WORLD_LOG, "too many orders");
	demand(order->node < w->nodes, "no such node");
	memset(c, 0, sizeof(*c));
	c->at = w->now;
	c->node = order->node;
	c->ticket = order->ticket;
	c->verb = order->verb;
	c->asking = order->asking;
	c->urgent = order->urgent;
	c->argc = order->argc;
	c->client = i;
	c->is_whole = !strcmp(order->argv[0], "EVAL");
	if (order->moved)
		snprintf(c->moved, sizeof(c->moved), "%s", order->moved);
	check_script(order, c->is_whole);
	copy_args(c, order);
	f = fault_of(w, c);
	if (f.how != UNSENT && f.how != BROKEN_BEFORE)
		pmz_lock_op_sent(w->clients[i].op, order->ticket, w->now);
	transmit(w, c, f);
}

void world_open(world *w, uint32_t nodes)
{
	uint32_t i;

	/* The long lists are as long as their counts say. */
	memset(&w->now, 0, sizeof(*w) - offsetof(world, now));
	for (i = 0; i < PMZ_LOCK_NODES_MAX; i++)
		memset(&w->servers[i].count, 0,
		       sizeof(server) - offsetof(server, count));
	w->now = WORLD_START;
	w->trip = WORLD_TRIP;
	w->nodes = nodes;
}

void world_rule(world *w, uint32_t node, uint32_t verb, unsigned times, fault f)
{
	world_rule_row *r = &w->rules[w->rule_count++];

	demand(w->rule_count <= WORLD_RULES, "too many rules");
	r->node = node;
	r->verb = verb;
	r->times = times;
	r->fault = f;
}

void world_join(world *w, int i, pmz_lock_op *op)
{
	size_t e = 0;

	while (e < w->event_count) {
		event *at = &w->events[e];

		if (at->command.client == i && at->kind != ARRIVES)
			*at = w->events[--w->event_count];
		else
			e++;
	}
	/* What is still under way is for nobody. */
	for (e = 0; e < w->event_count; e++)
		if (w->events[e].command.client == i)
			w->events[e].is_silent = 1;
	w->clients[i].op = op;
	w->clients[i].due = PMZ_NEVER;
	if (op)
		world_turn(w, i);
}

/* What has come by now, from a server that is no way off. */
static void deliver_due(world *w)
{
	while (w->event_count && first_event(w)->at <= w->now) {
		event e = pop(w);

		deliver(w, &e);
	}
}

void world_turn(world *w, int i)
{
	client *c = &w->clients[i];
	pmz_lock_order order;
	unsigned steps = 0;

	while ((c->step = pmz_lock_op_next(c->op, w->now, &order)) ==
	       PMZ_LOCK_SEND) {
		demand(steps++ < 1000, "it never stops sending");
		send(w, i, &order);
		if (w->is_eager)
			deliver_due(w);
	}
	c->due = c->step == PMZ_LOCK_DONE ? PMZ_NEVER : order.due;
	c->wakes = c->step == PMZ_LOCK_PAUSE && order.wakes;
	demand(c->step == PMZ_LOCK_DONE || c->due > w->now,
	       "it wants to be asked again at once");
}

static int next_client(const world *w)
{
	int i, first = 0;

	for (i = 1; i < WORLD_CLIENTS; i++)
		if (w->clients[i].op &&
		    (!w->clients[first].op ||
		     w->clients[i].due < w->clients[first].due))
			first = i;
	return first;
}

static pmz_ns due_of(const world *w, int i)
{
	return w->clients[i].op ? w->clients[i].due : PMZ_NEVER;
}

pmz_ns world_next(world *w)
{
	const event *e = first_event(w);
	pmz_ns due = due_of(w, next_client(w));

	return e && e->at < due ? e->at : due;
}

int world_step(world *w)
{
	pmz_ns at = world_next(w);
	const event *e = first_event(w);

	if (at == PMZ_NEVER)
		return 0;
	w->now = at > w->now ? at : w->now;
	if (e && e->at <= at) {
		event now = pop(w);

		deliver(w, &now);
		if (now.kind != ARRIVES && op_of(w, &now))
			world_turn(w, now.command.client);
	} else {
		world_turn(w, next_client(w));
	}
	return 1;
}

void world_pass(world *w, pmz_ns span)
{
	pmz_ns until = w->now + span;

	while (world_next(w) <= until)
		world_step(w);
	w->now = until;
}

void world_settle(world *w)
{
	while (w->event_count) {
		event e = pop(w);

		w->now = e.at > w->now ? e.at : w->now;
		if (e.kind == ARRIVES)
			arrive(w, &e);
	}
}

void world_run(world *w, pmz_lock_op *op)
{
	unsigned steps = 0;

	world_join(w, 0, op);
	while (w->clients[0].step != PMZ_LOCK_DONE) {
		demand(world_step(w), "it waits for nothing");
		demand(steps++ < 100000, "it never ends");
	}
	world_join(w, 0, NULL);
}

unsigned world_sent(const world *w, uint32_t verb, size_t from)
{
	unsigned n = 0;

	for (; from < w->log_count; from++)
		n += verb == ANY || w->log[from].verb == verb;
	return n;
}
