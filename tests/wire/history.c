/*
 * history.c - clients under faults drawn at random, and what they were told.
 *
 *   PIPEMAZE_HISTORY=10000,7 build/debug/tests/wire/history    or as argument
 *
 * is so many operations with that seed, over one server and over five; without
 * it they are few, and the seed is 1. The seed decides what is done, threads
 * and servers when: the same one again is a similar history, not the same.
 *
 * The promise has to survive, and so is tried with: bytes that are delayed,
 * kept and let go late, swallowed, cut off anywhere, or come one by one, either
 * way and on one of a client's connections alone; connections that are closed
 * or refused; servers that are stopped and go on, forget their scripts, end
 * their clients' connections, or have a clock that is 1 % fast; and
 *   - servers that die, one or, of five, two at a time, and come back empty.
 *     Such a one has to stay away until all that was asked for before its death
 *     is over, which is what "for as long as the ttl" in lock.h is for: of a
 *     lease that a bare majority granted, one node that forgets is too many;
 *   - or a server whose clock is an hour ahead. Not both in one history: with
 *     its memory such a server loses fences that are above all clocks, and then
 *     they need not grow.
 *
 * Each server has two proxies, so that it is slow or gone for some clients, and
 * there for others. What random faults would meet too rarely is set up by hand
 * in the tests that follow.
 */
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pipemaze/edge.h>
#include <pipemaze/lock.h>

#include "dice.h"
#include "expect.h"
#include "history.h"
#include "proxy.h"
#include "redis.h"

#define NODES_MAX 5
#define SIDES 2
#define LOCKS 6
#define CLIENTS 10 /* of whom those beyond LOCKS share the first two */
#define NAMES 8
#define WANTED_NAMES 2 /* by two of three who ask */
/* Operations between two times of looking what is left behind. */
#define SPELL_MAX 500
#define SPELL_MIN 50

#define NODE_TIMEOUT_NS PMZ_MS(25)
#define CONNECT_NS PMZ_MS(60)
/* Taking back is waited for as well. */
#define ROUND_NS (NODE_TIMEOUT_NS + CONNECT_NS + PMZ_MS(80))
/* What is owed to a server is paid by then, and a forgotten lease over. */
#define SETTLE_S 3
/* Of a lease that is never forgotten: an orphan of it is still there then. */
#define LONG_TTL_NS PMZ_S(20)

static struct {
	long operations;
	int seed;
} asked_for = { 100, 1 };

typedef struct node {
	kit_redis *server;
	kit_proxy *by[SIDES];
	pmz_ns died; /* 0: it lives */
} node;

typedef enum trouble { MEMORY_IS_LOST, A_CLOCK_IS_AHEAD, TROUBLES } trouble;

typedef struct world {
	node nodes[NODES_MAX];
	unsigned count;
	pmz_locks *locks[LOCKS];
	history *history;
	dice dice;
	trouble trouble;
	unsigned dead;
	char names[NAMES][32];
	atomic_long left;  /* operations */
	atomic_int ended;  /* nobody needs to hear of losses any more */
	atomic_int acting; /* clients */
} world;

static void start_servers(world *w, unsigned count)
{
	unsigned i, side;

	memset(w, 0, sizeof(*w));
	w->count = count;
	for (i = 0; i < count; i++) {
		node *n = &w->nodes[i];

		n->server = kit_redis_start(NULL);
		for (side = 0; side < SIDES; side++)
			n->by[side] =
				kit_proxy_start(kit_redis_port(n->server));
	}
}

static void stop_servers(world *w)
{
	unsigned i, side;

	for (i = 0; i < w->count; i++) {
		for (side = 0; side < SIDES; side++)
			kit_proxy_stop(w->nodes[i].by[side]);
		kit_redis_stop(w->nodes[i].server);
	}
}

static pmz_locks *open_locks(const world *w, unsigned side, pmz_ns patience)
{
	const pmz_backoff_rule rule = { .size = sizeof(rule),
		                        .base_ns = PMZ_MS(5),
		                        .max_ns = PMZ_MS(40),
		                        .tries_max = PMZ_OFF };
	const pmz_locks_config cfg = { .size = sizeof(cfg),
		                       .node_timeout_ns = patience,
		                       .connect_ns = CONNECT_NS,
		                       .backoff = &rule };
	const char *at[NODES_MAX];
	pmz_locks *locks;
	unsigned i;

	for (i = 0; i < w->count; i++)
		at[i] = kit_proxy_address(w->nodes[i].by[side]);
	expect_status(pmz_locks_open(&locks, at, w->count, &cfg, NULL), PMZ_OK);
	return locks;
}

/* A client, on a thread of its own. */
typedef struct client {
	world *world;
	pmz_locks *locks;
	unsigned who;
	dice dice;
	pthread_t thread;
} client;

/* A lease in a client's hand. */
typedef struct grip {
	unsigned id;
	pmz_lease lease;
} grip;

static void one_more(client *c)
{
	atomic_fetch_sub(&c->world->left, 1);
}

static pmz_ns draw_ms(dice *d, unsigned low, unsigned high)
{
	return PMZ_MS(1) * dice_between(d, low, high);
}

static void pass_time(client *c, unsigned low, unsigned high)
{
	pmz_sleep_until(pmz_now() + draw_ms(&c->dice, low, high));
}

/* Some are fought for. Of the others nobody hides what was left behind. */
static const char *draw_name(client *c)
{
	unsigned names = dice_once_in(&c->dice, 3) ? NAMES : WANTED_NAMES;

	return c->world->names[dice_between(&c->dice, 0, names - 1)];
}

static pmz_ns within(pmz_ns wait)
{
	pmz_ns least = NODE_TIMEOUT_NS + CONNECT_NS;

	return (wait > least ? wait : least) + PMZ_MS(80);
}

static void expect_answer(client *c, int status)
{
	switch (status) {
	case PMZ_OK:
	case PMZ_REFUSED_HELD:
	case PMZ_CANCELLED:
	case PMZ_E_IO:
	case PMZ_E_QUORUM:
		return;
	}
	history_wrong(c->world->history, "an acquire of client %u says %s",
	              c->who, pmz_status_name(status));
}

static int get(client *c, pmz_ns ttl, grip *held)
{
	history *h = c->world->history;
	const char *name = draw_name(c);
	pmz_ns wait =
		dice_once_in(&c->dice, 4) ? 0 : draw_ms(&c->dice, 20, 400);
	int status;

	one_more(c);
	held->id = history_ask(h, c->who, name, within(wait));
	status =
		pmz_lock_acquire(c->locks, name, ttl, wait, &held->lease, NULL);
	history_answer(h, held->id, status, &held->lease);
	expect_answer(c, status);
	return status == PMZ_OK;
}

/* A short one may be forgotten. */
static int get_short(client *c, grip *held)
{
	return get(c, draw_ms(&c->dice, 100, 400), held);
}

static int get_long(client *c, grip *held)
{
	return get(c, LONG_TTL_NS, held);
}

static int release_once(client *c, grip *held)
{
	history *h = c->world->history;
	int status;

	one_more(c);
	/* A kept one is waited for as well. */
	history_let_go(h, held->id, 2 * ROUND_NS);
	status = pmz_lock_release(c->locks, &held->lease);
	/* A bare majority of which one is silent now looks like a loss. */
	history_gone(h, held->id, c->world->count == 1 ? status : PMZ_OK);
	return status;
}

static void try_to_revive(client *c, grip *held)
{
	one_more(c);
	if (pmz_lock_extend(c->locks, &held->lease, PMZ_MS(100)) == PMZ_OK)
		history_wrong(c->world->history,
		              "what client %u has released is extended",
		              c->who);
}

static void release(client *c, grip *held)
{
	int status = release_once(c, held);

	if (status != PMZ_OK && dice_once_in(&c->dice, 2))
		release_once(c, held);
	if (dice_once_in(&c->dice, 8))
		try_to_revive(c, held);
}

static int extend(client *c, grip *held)
{
	history *h = c->world->history;
	int status;

	one_more(c);
	history_extend(h, held->id, ROUND_NS);
	status = pmz_lock_extend(c->locks, &held->lease,
	                         draw_ms(&c->dice, 100, 400));
	history_extended(h, held->id, status, &held->lease);
	return status != PMZ_E_LOST;
}

static void hold(client *c)
{
	grip held;

	if (!get_short(c, &held))
		return;
	pass_time(c, 0, 80);
	release(c, &held);
}

static void hold_a_long_one(client *c)
{
	grip held;

	if (!get_long(c, &held))
		return;
	pass_time(c, 0, 40);
	release(c, &held);
}

static void hold_too_long(client *c)
{
	grip held;

	if (!get(c, draw_ms(&c->dice, 100, 150), &held))
		return;
	pass_time(c, 80, 200);
	release(c, &held);
}

static void hold_on(client *c)
{
	unsigned i, times = (unsigned)dice_between(&c->dice, 1, 3);
	grip held;

	if (!get_short(c, &held))
		return;
	for (i = 0; i < times; i++) {
		pass_time(c, 0, 150);
		if (!extend(c, &held))
			return;
	}
	release(c, &held);
}

static void forget(client *c)
{
	grip held;

	if (get_short(c, &held))
		history_forget(c->world->history, held.id);
}

static int keep(client *c, grip *held, pmz_ns hold_max)
{
	int status;

	one_more(c);
	history_keep(c->world->history, held->id);
	status = pmz_lock_keep(c->locks, &held->lease, hold_max);
	if (status == PMZ_OK)
		return 1;
	/* What has ended since is not kept. */
	if (status != PMZ_E_LOST || pmz_now() < held->lease.until)
		history_wrong(c->world->history, "keeping says %s",
		              pmz_status_name(status));
	release_once(c, held);
	return 0;
}

static void look_after(client *c, grip *held)
{
	int status = pmz_lock_refresh(c->locks, &held->lease);

	history_refreshed(c->world->history, held->id, status, &held->lease);
}

static void keep_for_a_while(client *c)
{
	grip held;

	if (!get(c, draw_ms(&c->dice, 200, 400), &held) ||
	    !keep(c, &held, PMZ_NEVER))
		return;
	pass_time(c, 0, 300);
	look_after(c, &held);
	pass_time(c, 0, 200);
	look_after(c, &held);
	release(c, &held);
}

static void keep_and_forget(client *c)
{
	grip held;

	if (!get(c, draw_ms(&c->dice, 300, 400), &held) ||
	    !keep(c, &held, draw_ms(&c->dice, 50, 300)))
		return;
	history_forget(c->world->history, held.id);
}

static void cancel(client *c)
{
	one_more(c);
	pmz_lock_cancel(c->locks, draw_name(c));
	pass_time(c, 0, 10);
}

static void *act(void *arg)
{
	static void (*const acts[])(client * c) = {
		hold,    hold_a_long_one, keep_for_a_while,
		hold,    hold_a_long_one, keep_and_forget,
		hold_on, hold_a_long_one, hold_too_long,
		forget,  hold_a_long_one, cancel,
		forget,  hold_too_long,   hold_too_long,
	};
	client *c = arg;

	while (atomic_load(&c->world->left) > 0)
		acts[dice_between(&c->dice, 0, KIT_COUNT(acts) - 1)](c);
	atomic_fetch_sub(&c->world->acting, 1);
	return NULL;
}

static void hear_of(world *w, pmz_locks *locks)
{
	pmz_lease lost;
	int why;

	while (pmz_locks_next_lost(locks, &lost, &why) == PMZ_OK)
		history_lost(w->history, &lost, why);
}

/* Who hears of losses for all. */
static void *listen_for_losses(void *arg)
{
	world *w = arg;
	struct pollfd at[LOCKS];
	unsigned i;

	for (i = 0; i < LOCKS; i++)
		at[i] = (struct pollfd){ .fd = pmz_locks_fd(w->locks[i]),
			                 .events = POLLIN };
	while (!atomic_load(&w->ended)) {
		poll(at, LOCKS, 20);
		for (i = 0; i < LOCKS; i++)
			if (at[i].revents)
				hear_of(w, w->locks[i]);
	}
	return NULL;
}

/* Where a fault strikes. */
typedef struct place {
	world *world;
	node *node;
	kit_proxy *proxy;
	kit_way way;
	dice *dice;
} place;

static unsigned draw(const place *p, unsigned low, unsigned high)
{
	return (unsigned)dice_between(p->dice, low, high);
}

static void slow(const place *p)
{
	kit_proxy_delay(p->proxy, p->way, draw(p, 1, 40));
}

static void keep_back(const place *p)
{
	kit_proxy_hold(p->proxy, p->way);
}

/* The commands of one connection come late, behind those of the next one. It
 * lasts until its client may have given up, come again, and let go. */
static void keep_one_back(const place *p)
{
	kit_proxy_close_all(p->proxy);
	kit_proxy_hold_one(p->proxy, KIT_REQUESTS,
	                   kit_proxy_connections(p->proxy) + draw(p, 1, 3));
	kit_doze(draw(p, 50, 150));
}

static void swallow(const place *p)
{
	kit_proxy_black_hole(p->proxy, p->way);
}

static void cut_off(const place *p)
{
	kit_proxy_cut(p->proxy, p->way, draw(p, 0, 400),
	              dice_once_in(p->dice, 2) ? KIT_HANG : KIT_CLOSE);
}

static void close_all(const place *p)
{
	kit_proxy_close_all(p->proxy);
}

static void refuse(const place *p)
{
	kit_proxy_refuse(p->proxy);
	kit_proxy_close_all(p->proxy);
}

static void chop(const place *p)
{
	kit_proxy_single_bytes(p->proxy, p->way);
}

static void stop(const place *p)
{
	if (kit_redis_is_up(p->node->server))
		kit_redis_pause(p->node->server);
}

static void tell_server(const node *n, const char *word, const char *more)
{
	char text[64];

	if (kit_redis_is_up(n->server))
		kit_redis_ask(n->server, text, sizeof(text), word, more, NULL);
}

static void forget_scripts(const place *p)
{
	tell_server(p->node, "SCRIPT", "FLUSH");
}

static void end_clients(const place *p)
{
	char text[64];

	if (kit_redis_is_up(p->node->server))
		kit_redis_ask(p->node->server, text, sizeof(text), "CLIENT",
		              "KILL", "TYPE", "normal", NULL);
}

/* By 1 % of what it has left, once for each token. */
static void hurry(const node *n, const char *name)
{
	static const char script[] =
		"local v=redis.call('GET',KEYS[1])\n"
		"if v and redis.call('SET','hurried:'..v,1,'NX','PX',60000) "
		"then\n"
		" local left=redis.call('PTTL',KEYS[1])\n"
		" redis.call('PEXPIRE',KEYS[1],math.floor(left*0.99))\n"
		"end\n"
		"return 0\n";
	char key[64], text[64];

	snprintf(key, sizeof(key), "lock:%s", name);
	if (kit_redis_is_up(n->server))
		kit_redis_ask(n->server, text, sizeof(text), "EVAL", script,
		              "1", key, NULL);
}

static void be_fast(const place *p)
{
	unsigned i, name;

	for (i = 0; i < p->world->count; i++)
		for (name = 0; name < NAMES; name++)
			hurry(&p->world->nodes[i], p->world->names[name]);
}

static void die(const place *p)
{
	world *w = p->world;
	node *n = p->node;

	if (w->trouble != MEMORY_IS_LOST || n->died || w->dead > w->count / 4)
		return;
	kit_redis_kill(n->server);
	n->died = pmz_now();
	w->dead++;
}

static void revive(world *w, node *n)
{
	if (!n->died || !history_is_over(w->history, n->died))
		return;
	kit_redis_restart(n->server);
	n->died = 0;
	w->dead--;
}

static void heal(world *w, node *n)
{
	unsigned side;

	for (side = 0; side < SIDES; side++) {
		kit_proxy_pass(n->by[side], KIT_BOTH);
		kit_proxy_accept(n->by[side]);
	}
	if (!n->died)
		kit_redis_go_on(n->server);
	revive(w, n);
}

static void strike(world *w)
{
	static void (*const faults[])(const place *p) = {
		slow,      slow,        slow,           keep_one_back,
		keep_back, swallow,     cut_off,        keep_one_back,
		chop,      close_all,   refuse,         keep_one_back,
		stop,      end_clients, forget_scripts, keep_one_back,
		die,       be_fast,     be_fast,
	};
	node *n = &w->nodes[dice_between(&w->dice, 0, w->count - 1)];
	const place p = { w, n, n->by[dice_between(&w->dice, 0, SIDES - 1)],
		          (kit_way)dice_between(&w->dice, KIT_REQUESTS,
		                                KIT_BOTH),
		          &w->dice };

	faults[dice_between(&w->dice, 0, KIT_COUNT(faults) - 1)](&p);
}

/* On the thread that started the servers: they end with it. */
static void let_it_rain(world *w)
{
	while (atomic_load(&w->acting) > 0) {
		node *n = &w->nodes[dice_between(&w->dice, 0, w->count - 1)];

		if (dice_once_in(&w->dice, 2))
			heal(w, n);
		else
			strike(w);
		kit_doze((unsigned)dice_between(&w->dice, 2, 100 / w->count));
	}
}

static int is_dry(void *ctx)
{
	world *w = ctx;
	unsigned i;

	for (i = 0; i < w->count; i++)
		heal(w, &w->nodes[i]);
	return !w->dead && history_is_over(w->history, PMZ_NEVER);
}

/* Whoever asks for anything first pays what it owes. */
static void pay(const world *w)
{
	unsigned i, name;
	pmz_lease holder;

	for (i = 0; i < LOCKS; i++)
		for (name = 0; name < NAMES; name++)
			if (pmz_lock_peek(w->locks[i], w->names[name],
			                  &holder) == PMZ_E_CONFIG)
				fail_msg("a peek finds its name wrong");
}

static const char *first_key(const node *n, char *out, size_t len)
{
	return kit_redis_ask(n->server, out, len, "EVAL",
	                     "for _,k in ipairs(redis.call('KEYS','lock:*')) do"
	                     " local v=redis.call('GET',k)"
	                     " if v then return k..' of '..v..' for '.."
	                     "redis.call('PTTL',k)..' ms' end end return ''",
	                     "0", NULL);
}

static int is_bare(const world *w, char *out, size_t len)
{
	unsigned i;

	for (i = 0; i < w->count; i++)
		if (*first_key(&w->nodes[i], out, len))
			return 0;
	return 1;
}

/* By now every lease is let go or forgotten for longer than it lasts. */
static void look_for_orphans(world *w)
{
	pmz_ns until = pmz_now() + PMZ_S(SETTLE_S);
	char text[256];

	do {
		pay(w);
		if (is_bare(w, text, sizeof(text)))
			return;
		kit_doze(20);
	} while (pmz_now() < until);
	history_wrong(w->history, "nobody holds it, but a server has %s", text);
}

static void look_for_immortals(world *w)
{
	char text[256];
	unsigned i;

	for (i = 0; i < w->count; i++) {
		kit_redis_ask(w->nodes[i].server, text, sizeof(text), "EVAL",
		              "for _,k in ipairs(redis.call('KEYS','*')) do"
		              " if redis.call('PTTL',k)==-1 then return k end "
		              "end return ''",
		              "0", NULL);
		if (*text)
			history_wrong(w->history, "%s lives for ever", text);
	}
}

static void get_all(world *w, pmz_locks *locks)
{
	unsigned i;

	for (i = 0; i < NAMES; i++) {
		pmz_lease lease;
		int status = pmz_lock_acquire(locks, w->names[i], PMZ_S(5),
		                              PMZ_S(1), &lease, NULL);

		if (status == PMZ_OK)
			status = pmz_lock_release(locks, &lease);
		if (status != PMZ_OK)
			history_wrong(w->history,
			              "when all is quiet, \"%s\" is %s",
			              w->names[i], pmz_status_name(status));
	}
}

static void name_them(world *w, int seed)
{
	unsigned i;

	for (i = 0; i < NAMES; i++)
		snprintf(w->names[i], sizeof(w->names[i]), "h:%d:%u", seed, i);
}

/* What its clock would have made of the fences. */
static void set_clock_ahead(world *w)
{
	static const char script[] =
		"local t=redis.call('TIME')\n"
		"local f=string.format('%.0f',(t[1]+3600)*1000000)\n"
		"return redis.call('SET',KEYS[1],f,'PX',600000)\n";
	const node *n = &w->nodes[dice_between(&w->dice, 0, w->count - 1)];
	char key[64], text[64];
	unsigned i;

	for (i = 0; i < NAMES; i++) {
		snprintf(key, sizeof(key), "{lock:%s}:f", w->names[i]);
		kit_redis_ask(n->server, text, sizeof(text), "EVAL", script,
		              "1", key, NULL);
		assert_string_equal(text, "OK");
	}
}

static void begin_spell(world *w, long operations, int seed, trouble with)
{
	unsigned i;

	w->history = history_new(seed);
	w->dice = dice_of(seed);
	w->trouble = with;
	atomic_store(&w->left, operations);
	atomic_store(&w->acting, CLIENTS);
	atomic_store(&w->ended, 0);
	name_them(w, seed);
	for (i = 0; i < w->count; i++)
		tell_server(&w->nodes[i], "FLUSHALL", NULL);
	if (with == A_CLOCK_IS_AHEAD)
		set_clock_ahead(w);
	for (i = 0; i < LOCKS; i++)
		w->locks[i] = open_locks(w, i % SIDES, NODE_TIMEOUT_NS);
}

static unsigned end_spell(world *w)
{
	unsigned i, wrong;

	for (i = 0; i < LOCKS; i++)
		pmz_locks_close(w->locks[i]);
	wrong = history_judge(w->history);
	/* Else the faults left nothing to look at. */
	assert_true(history_held(w->history) > 0);
	history_free(w->history);
	return wrong;
}

static void run_clients(world *w, int seed)
{
	client clients[CLIENTS];
	unsigned i;

	for (i = 0; i < CLIENTS; i++) {
		client *c = &clients[i];

		*c = (client){ .world = w, .who = i };
		c->locks = w->locks[i < LOCKS ? i : i % SIDES];
		c->dice = dice_of(seed * CLIENTS + (int)i + 1);
		assert_int_equal(pthread_create(&c->thread, NULL, act, c), 0);
	}
	let_it_rain(w);
	for (i = 0; i < CLIENTS; i++)
		pthread_join(clients[i].thread, NULL);
}

static unsigned spell(world *w, long operations, int seed, trouble with)
{
	pthread_t listener;

	begin_spell(w, operations, seed, with);
	assert_int_equal(pthread_create(&listener, NULL, listen_for_losses, w),
	                 0);
	run_clients(w, seed);
	kit_wait(is_dry, w, 10, "every lease to be over");
	look_for_orphans(w);
	get_all(w, w->locks[0]);
	get_all(w, w->locks[1]);
	look_for_immortals(w);
	atomic_store(&w->ended, 1);
	pthread_join(listener, NULL);
	return end_spell(w);
}

static void live_through(unsigned servers)
{
	long left = asked_for.operations;
	int i, seed = asked_for.seed;
	unsigned wrong = 0;
	world w;

	start_servers(&w, servers);
	for (i = 0; left > 0 || i < TROUBLES; i++) {
		long operations = left / TROUBLES;

		if (operations > SPELL_MAX)
			operations = SPELL_MAX;
		if (operations < SPELL_MIN)
			operations = SPELL_MIN;
		wrong += spell(&w, operations, seed + i,
		               (trouble)(i % TROUBLES));
		left -= operations;
	}
	stop_servers(&w);
	assert_int_equal(wrong, 0);
}

static void leases_of_one_server_never_overlap(void **state)
{
	(void)state;
	live_through(1);
}

static void leases_of_five_servers_never_overlap(void **state)
{
	(void)state;
	live_through(5);
}

/* Two clients of five servers, or of one, each by its own side. */
typedef struct pair {
	world world;
	pmz_locks *one, *other;
	pmz_lease lease;
	int status;
} pair;

#define NAME "x"
#define KEY "lock:" NAME

static void begin_pair(pair *p, unsigned servers, pmz_ns patience)
{
	memset(p, 0, sizeof(*p));
	start_servers(&p->world, servers);
	p->one = open_locks(&p->world, 0, patience);
	p->other = open_locks(&p->world, 1, patience);
}

static void end_pair(pair *p)
{
	pmz_locks_close(p->one);
	pmz_locks_close(p->other);
	stop_servers(&p->world);
}

static kit_proxy *way_to(pair *p, unsigned i, unsigned side)
{
	return p->world.nodes[i].by[side];
}

static kit_redis *server(pair *p, unsigned i)
{
	return p->world.nodes[i].server;
}

static void get_one(pair *p, pmz_ns ttl, pmz_ns wait)
{
	expect_status(
		pmz_lock_acquire(p->one, NAME, ttl, wait, &p->lease, NULL),
		PMZ_OK);
}

/* So that what comes next takes one round trip: it is connected, and the server
 * knows the scripts. */
static void warm_up(pair *p)
{
	get_one(p, PMZ_S(2), 0);
	expect_status(pmz_lock_release(p->one, &p->lease), PMZ_OK);
}

static int all_has_left(void *ctx)
{
	return kit_proxy_kept(ctx, KIT_BOTH) == 0;
}

/* And it arrives. */
static void let_pass(kit_proxy *proxy)
{
	kit_proxy_pass(proxy, KIT_BOTH);
	kit_wait(all_has_left, proxy, 5, "what was kept to go on");
	kit_doze(50);
}

static void an_acquire_that_lands_after_the_release_leaves_nothing(void **state)
{
	kit_proxy *proxy;
	pair p;

	(void)state;
	begin_pair(&p, 1, NODE_TIMEOUT_NS);
	proxy = way_to(&p, 0, 0);
	kit_proxy_hold_one(proxy, KIT_REQUESTS, 1);
	get_one(&p, LONG_TTL_NS, PMZ_S(2));
	expect_status(pmz_lock_release(p.one, &p.lease), PMZ_OK);
	assert_true(kit_proxy_kept(proxy, KIT_REQUESTS) > 0);
	let_pass(proxy);
	assert_int_equal(kit_redis_count(server(&p, 0), "EXISTS", KEY, NULL),
	                 0);
	end_pair(&p);
}

/* As soon as the servers give it away again. */
static void expect_the_next_after_the_end(pair *p)
{
	pmz_ns end = p->lease.until, now;
	pmz_lease next;
	int status;

	do {
		status = pmz_lock_acquire(p->other, NAME, PMZ_MS(200), 0, &next,
		                          NULL);
		now = pmz_now();
	} while (status == PMZ_REFUSED_HELD);
	expect_status(status, PMZ_OK);
	assert_true(now >= end);
	assert_true(next.fence > p->lease.fence);
	expect_status(pmz_lock_release(p->other, &next), PMZ_OK);
}

static void a_reply_that_is_slow_makes_no_lease_longer(void **state)
{
	pair p;

	(void)state;
	begin_pair(&p, 1, PMZ_MS(500));
	kit_proxy_delay(way_to(&p, 0, 0), KIT_REPLIES, 60);
	get_one(&p, PMZ_MS(400), 0);
	expect_the_next_after_the_end(&p);
	end_pair(&p);
}

static void a_server_whose_clock_is_fast_ends_no_lease_early(void **state)
{
	pair p;

	(void)state;
	begin_pair(&p, 1, PMZ_MS(500));
	warm_up(&p);
	get_one(&p, PMZ_S(2), 0);
	hurry(&p.world.nodes[0], NAME);
	expect_the_next_after_the_end(&p);
	end_pair(&p);
}

static void a_fence_outgrows_a_clock_that_is_ahead(void **state)
{
	pmz_lease next;
	pair p;
	char text[64];

	(void)state;
	begin_pair(&p, 5, PMZ_MS(500));
	kit_redis_ask(server(&p, 0), text, sizeof(text), "SET", "{" KEY "}:f",
	              "9000000000000000", NULL);
	kit_proxy_refuse(way_to(&p, 3, 0));
	kit_proxy_refuse(way_to(&p, 4, 0));
	get_one(&p, LONG_TTL_NS, 0);
	assert_true(p.lease.fence > 9000000000000000u);
	expect_status(pmz_lock_release(p.one, &p.lease), PMZ_OK);
	kit_proxy_refuse(way_to(&p, 0, 1));
	kit_proxy_refuse(way_to(&p, 1, 1));
	expect_status(
		pmz_lock_acquire(p.other, NAME, LONG_TTL_NS, 0, &next, NULL),
		PMZ_OK);
	assert_true(next.fence > 9000000000000001u);
	end_pair(&p);
}

static void *get_patiently(void *arg)
{
	pair *p = arg;

	p->status = pmz_lock_acquire(p->one, NAME, LONG_TTL_NS, PMZ_S(5),
	                             &p->lease, NULL);
	return NULL;
}

static int first_has_it(void *ctx)
{
	return kit_redis_count(server(ctx, 0), "EXISTS", KEY, NULL) == 1;
}

static int is_kept_back(void *ctx)
{
	return kit_proxy_kept(ctx, KIT_REQUESTS) > 0;
}

/* The first try gets two nodes, and is told by a slow third that this is all;
 * of what takes it back, one command is on its way until a later try has all
 * three, or could have them. */
static void hold_back_a_release(pair *p)
{
	char text[64];

	kit_proxy_refuse(way_to(p, 3, 0));
	kit_proxy_refuse(way_to(p, 4, 0));
	kit_redis_ask(server(p, 2), text, sizeof(text), "SET", KEY, "another",
	              "PX", "600", NULL);
	kit_proxy_delay(way_to(p, 2, 0), KIT_REPLIES, 150);
}

static void a_release_that_is_late_takes_nothing_from_a_later_try(void **state)
{
	pthread_t thread;
	pmz_lease next;
	pair p;

	(void)state;
	begin_pair(&p, 5, PMZ_MS(300));
	hold_back_a_release(&p);
	assert_int_equal(pthread_create(&thread, NULL, get_patiently, &p), 0);
	kit_wait(first_has_it, &p, 5, "a first node to grant");
	kit_proxy_hold_one(way_to(&p, 0, 0), KIT_REQUESTS, 1);
	kit_wait(is_kept_back, way_to(&p, 0, 0), 5, "a release on its way");
	kit_doze(1200);
	kit_proxy_pass(way_to(&p, 0, 0), KIT_REQUESTS);
	pthread_join(thread, NULL);
	expect_status(p.status, PMZ_OK);
	expect_status(pmz_lock_acquire(p.other, NAME, PMZ_S(1), 0, &next, NULL),
	              PMZ_REFUSED_HELD);
	end_pair(&p);
}

/* A node that has forgotten the lease has said so to the keeper's extension,
 * and is about to get it again, while the others are slow. 0: it has it. */
static int hold_back_a_repair(pair *p)
{
	kit_proxy *last = way_to(p, 4, 0);
	char text[64];
	uint64_t before;
	unsigned i;

	get_one(p, PMZ_MS(1200), PMZ_S(1));
	expect_status(pmz_lock_extend(p->one, &p->lease, PMZ_MS(1200)), PMZ_OK);
	kit_redis_ask(server(p, 4), text, sizeof(text), "DEL", KEY, NULL);
	for (i = 0; i < 4; i++)
		kit_proxy_delay(way_to(p, i, 0), KIT_REPLIES, 60);
	before = kit_proxy_forwarded(last, KIT_REPLIES);
	expect_status(pmz_lock_keep(p->one, &p->lease, PMZ_NEVER), PMZ_OK);
	kit_proxy_wait_forwarded(last, KIT_REPLIES, before + 1);
	kit_proxy_hold_one(last, KIT_REQUESTS, kit_proxy_connections(last));
	for (i = 0; i < 100 && !is_kept_back(last); i++)
		kit_doze(1);
	return is_kept_back(last);
}

static void a_repair_that_lands_after_the_release_leaves_nothing(void **state)
{
	int held, tries = 5;
	pair p;

	(void)state;
	do {
		begin_pair(&p, 5, PMZ_MS(200));
		held = hold_back_a_repair(&p);
		expect_status(pmz_lock_release(p.one, &p.lease), PMZ_OK);
		let_pass(way_to(&p, 4, 0));
		assert_int_equal(
			kit_redis_count(server(&p, 4), "EXISTS", KEY, NULL), 0);
		end_pair(&p);
	} while (!held && --tries);
	assert_true(held);
}

static void *release_it(void *arg)
{
	pair *p = arg;

	p->status = pmz_lock_release(p->one, &p->lease);
	return NULL;
}

static int first_has_none(void *ctx)
{
	return !first_has_it(ctx);
}

static void a_release_whose_reply_is_lost_is_one_all_the_same(void **state)
{
	pthread_t thread;
	pmz_lease next;
	pair p;

	(void)state;
	begin_pair(&p, 1, PMZ_S(5));
	warm_up(&p);
	get_one(&p, LONG_TTL_NS, 0);
	kit_proxy_hold(way_to(&p, 0, 0), KIT_REPLIES);
	assert_int_equal(pthread_create(&thread, NULL, release_it, &p), 0);
	kit_wait(first_has_none, &p, 5, "the release to arrive");
	expect_status(
		pmz_lock_acquire(p.other, NAME, LONG_TTL_NS, 0, &next, NULL),
		PMZ_OK);
	kit_proxy_close_all(way_to(&p, 0, 0));
	kit_proxy_pass(way_to(&p, 0, 0), KIT_BOTH);
	pthread_join(thread, NULL);
	expect_status(p.status, PMZ_OK);
	end_pair(&p);
}

static void note(void *ctx, const char *words)
{
	char *out = ctx;

	snprintf(out, 64, "%.*s", (int)strcspn(words, "\n"), words);
}

/* One that is held from 10 to 20 with fence 5, and another. */
static const char *words_for(history_lease l)
{
	static char words[64];
	history_lease all[2] = {
		{ .name = "x", .granted = 10, .until = 20, .fence = 5 }, l
	};

	*words = '\0';
	history_look(all, 2, 0, note, words);
	return words;
}

static void what_is_held_twice_is_seen(void **state)
{
	history_lease next = {
		.name = "x", .granted = 19, .until = 30, .fence = 6
	};

	(void)state;
	assert_string_equal(words_for(next), "two hold it at once");
	next.granted = 20;
	assert_string_equal(words_for(next), "");
	next.granted = 2;
	next.fence = 4;
	assert_string_equal(words_for(next), "two hold it at once");
	next.let_go = 10;
	assert_string_equal(words_for(next), "");
	next.let_go = 0;
	next.name[0] = 'y';
	assert_string_equal(words_for(next), "");
}

static void a_fence_that_does_not_grow_is_seen(void **state)
{
	history_lease next = {
		.name = "x", .granted = 20, .until = 30, .fence = 5
	};

	(void)state;
	assert_string_equal(words_for(next), "the fence does not grow");
	next.fence = 6;
	assert_string_equal(words_for(next), "");
}

static void a_loss_that_is_told_wrong_is_seen(void **state)
{
	history_lease kept = { .name = "x",
		               .granted = 20,
		               .until = 30,
		               .fence = 6,
		               .ttl = 10,
		               .kept = 1,
		               .losses = 1,
		               .lost_at = 29,
		               .lost_end = 30,
		               .lost_why = PMZ_E_IO };

	(void)state;
	assert_string_equal(words_for(kept), "");
	kept.losses = 2;
	assert_string_equal(words_for(kept), "its loss is told more than once");
	kept.losses = 1;
	kept.lost_at = 30;
	assert_string_equal(words_for(kept),
	                    "its loss is told when it has ended");
	kept.losses = 0;
	kept.lost_at = kept.lost_end = 0;
	kept.forgotten = 1;
	assert_string_equal(words_for(kept), "its loss is never told");
}

static void a_loss_that_should_not_be_is_seen(void **state)
{
	history_lease lost = { .name = "x",
		               .granted = 20,
		               .until = 30,
		               .fence = 6,
		               .lost_at = 29,
		               .lost_end = 29,
		               .lost_why = PMZ_E_LOST };

	(void)state;
	assert_string_equal(words_for(lost), "it is lost before its end");
	lost.lost_at = lost.lost_end = 30;
	assert_string_equal(words_for(lost), "");
}

/* "OPERATIONS" or "OPERATIONS,SEED" */
static void read_wish(const char *wish)
{
	char *end;

	if (!wish)
		return;
	asked_for.operations = strtol(wish, &end, 10);
	if (*end == ',')
		asked_for.seed = (int)strtol(end + 1, &end, 10);
	if (*end || asked_for.operations <= 0)
		kit_fail("history: \"%s\" is not OPERATIONS,SEED", wish);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_held_twice_is_seen),
		cmocka_unit_test(a_fence_that_does_not_grow_is_seen),
		cmocka_unit_test(a_loss_that_is_told_wrong_is_seen),
		cmocka_unit_test(a_loss_that_should_not_be_is_seen),
		cmocka_unit_test(
			an_acquire_that_lands_after_the_release_leaves_nothing),
		cmocka_unit_test(a_reply_that_is_slow_makes_no_lease_longer),
		cmocka_unit_test(
			a_server_whose_clock_is_fast_ends_no_lease_early),
		cmocka_unit_test(a_fence_outgrows_a_clock_that_is_ahead),
		cmocka_unit_test(
			a_release_that_is_late_takes_nothing_from_a_later_try),
		cmocka_unit_test(
			a_repair_that_lands_after_the_release_leaves_nothing),
		cmocka_unit_test(
			a_release_whose_reply_is_lost_is_one_all_the_same),
		cmocka_unit_test(leases_of_one_server_never_overlap),
		cmocka_unit_test(leases_of_five_servers_never_overlap),
	};

	read_wish(argc > 1 ? argv[1] : getenv("PIPEMAZE_HISTORY"));
	printf("%ld operations, seed %d\n", asked_for.operations,
	       asked_for.seed);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
