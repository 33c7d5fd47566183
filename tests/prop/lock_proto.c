/*
 * lock_proto.c - a few clients that want one lock, on servers and a network
 * that fail at random.
 *
 * What is claimed of a history is read off the clients' leases and the servers'
 * keys, not off the protocol: who holds it, since when, and what is left.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include <pipemaze/lock_proto.h>

#include "dice.h"
#include "lock_server.h"
#include "must.h"

#define SEEDS 300
#define SPAN PMZ_S(12)
#define LATE_MAX PMZ_S(4)
#define CONNECT PMZ_MS(200)
#define SLACK PMZ_MS(100)
#define NAME "one"
#define LOCK "lock:" NAME
#define DROPPED_MAX 2000

enum deed { RESTING, ACQUIRING, HOLDING, EXTENDING, RELEASING };

typedef struct actor {
	pmz_lock_op op;
	pmz_lease lease;
	enum deed deed;
	int holds; /* by its own account, while now < lease.until */
	pmz_ns due;
	pmz_ns began, end_by; /* of its op */
	pmz_ns ttl;
} actor;

static world w;

static struct history {
	dice d;
	pmz_lock_rules rules;
	actor actors[WORLD_CLIENTS];
	int count;
	unsigned faults_pct;
	uint64_t last_fence;
	pmz_ns ends;
	char dropped[DROPPED_MAX][64]; /* tokens that nobody gave back */
	size_t dropped_count;
	unsigned grants, refusals, extensions, cancels, losses;
} h;

static int is_valid(const actor *a)
{
	return a->holds && w.now < a->lease.until;
}

/* No server here loses its memory, so the lease stands on a quorum. */
static void stands_on_a_quorum(const actor *a)
{
	uint32_t i, n = 0;

	for (i = 0; i < w.nodes; i++) {
		const server_key *key = server_find(&w, i, LOCK);

		n += key && !strcmp(key->value, a->lease.token);
	}
	must(n > w.nodes / 2, "held on %u of %u nodes", (unsigned)n,
	     (unsigned)w.nodes);
}

static void one_holds_it_at_most(void)
{
	int i, n = 0;

	for (i = 0; i < h.count; i++) {
		if (!is_valid(&h.actors[i]))
			continue;
		stands_on_a_quorum(&h.actors[i]);
		n++;
	}
	must(n <= 1, "%d hold it", n);
}

static fault a_refusal(void)
{
	static const char *const errors[] = {
		"NOSCRIPT No matching script",
		"LOADING Redis is loading",
		"READONLY You can't write",
		"MOVED 7 127.0.0.1:7001",
		"ASK 7 127.0.0.1:7001",
		"TRYAGAIN",
		"NOAUTH Authentication required.",
		"NOPERM no",
		"OOM command not allowed",
		"WRONGPASS no",
		"CLUSTERDOWN",
		"ERR what is this",
	};
	size_t i = dice_between(&h.d, 0, sizeof(errors) / sizeof(*errors) - 1);

	return (fault){ .how = REFUSED, .text = errors[i] };
}

static fault a_garbling(void)
{
	static const char *const texts[] = {
		"banana",
		"7",
		"-",
		"1 1",
		"99999999999999999999999",
		" ",
		"2 17000000000000000000000000000000 0",
	};
	size_t i = dice_between(&h.d, 0, sizeof(texts) / sizeof(*texts) - 1);

	return (fault){ .how = GARBLED, .text = texts[i] };
}

static fault draw(void)
{
	fault f = { .how = WELL };

	if (dice_between(&h.d, 1, 100) > h.faults_pct)
		return f;
	f.how = (fault_kind)dice_between(&h.d, REPLY_LATE, BROKEN_AFTER);
	f.by = dice_once_in(&h.d, 3) ? dice_between(&h.d, 0, LATE_MAX)
	                             : dice_between(&h.d, 0, PMZ_MS(30));
	f.text = "OOM and half done";
	f.len = f.how == CUT ? dice_between(&h.d, 0, 20) : 0;
	if (f.how == BROKEN_AFTER && dice_once_in(&h.d, 3))
		f.by = PMZ_NEVER;
	if (f.how == REFUSED)
		return a_refusal();
	return f.how == GARBLED ? a_garbling() : f;
}

static void forget_token(const char *token)
{
	must(h.dropped_count < DROPPED_MAX, "too many are dropped");
	strcpy(h.dropped[h.dropped_count++], token);
}

/* A release that its server refuses is not repeated: the key ends by itself. */
static fault choose(world *at, const command *c)
{
	fault f = draw();

	(void)at;
	if (c->verb == PMZ_LOCK_RELEASE && f.how == REFUSED)
		forget_token(c->args[3 + (c->args[2][0] - '0')]);
	return f;
}

static pmz_ns a_while(pmz_ns most)
{
	return w.now + dice_between(&h.d, 0, most);
}

static void start(int i, pmz_ns wait)
{
	actor *a = &h.actors[i];
	pmz_ns timeout = a->ttl / 20 > PMZ_MS(10) ? a->ttl / 20 : PMZ_MS(10);
	pmz_ns one = CONNECT + timeout;

	a->began = w.now;
	a->end_by = w.now + (wait > one ? wait : one) + SLACK;
	world_join(&w, i, &a->op);
}

static void want(int i)
{
	static const pmz_ns ttls[] = { PMZ_MS(5), PMZ_MS(60), PMZ_MS(600),
		                       PMZ_S(3), PMZ_S(10) };
	const uint64_t seed[2] = { dice_roll(&h.d), dice_roll(&h.d) };
	actor *a = &h.actors[i];
	pmz_ns wait =
		dice_once_in(&h.d, 3) ? 0 : dice_between(&h.d, 0, PMZ_S(4));

	a->ttl = dice_between(&h.d, PMZ_MS(4), ttls[dice_roll(&h.d) % 5]);
	must_be(pmz_lock_op_acquire(&a->op, &h.rules, NAME, a->ttl,
	                            w.now + wait, seed, w.now, NULL),
	        PMZ_OK);
	pmz_lock_op_listens(&a->op, dice_once_in(&h.d, 4));
	a->deed = ACQUIRING;
	a->due = dice_once_in(&h.d, 8) ? a_while(PMZ_S(1)) : PMZ_NEVER;
	start(i, wait);
}

static void rest(actor *a)
{
	a->deed = RESTING;
	a->due = w.now < h.ends ? a_while(PMZ_MS(300)) : PMZ_NEVER;
}

static void drop(actor *a)
{
	forget_token(a->lease.token);
	rest(a);
}

static void lengthen(int i)
{
	actor *a = &h.actors[i];
	pmz_ns ttl = dice_between(&h.d, PMZ_MS(4), 2 * a->ttl + PMZ_MS(4));

	must_be(pmz_lock_op_extend(&a->op, &h.rules, &a->lease, ttl, w.now,
	                           NULL),
	        PMZ_OK);
	a->ttl = ttl;
	a->deed = EXTENDING;
	a->due = PMZ_NEVER;
	start(i, 0);
}

static void give_back(int i)
{
	actor *a = &h.actors[i];

	a->holds = 0;
	a->ttl = a->lease.ttl;
	must_be(pmz_lock_op_release(&a->op, &h.rules, &a->lease, w.now, NULL),
	        PMZ_OK);
	a->deed = RELEASING;
	a->due = PMZ_NEVER;
	start(i, 0);
}

static void cancel(int i)
{
	actor *a = &h.actors[i];

	a->due = PMZ_NEVER;
	if (dice_once_in(&h.d, 2))
		pmz_lock_op_wake(&a->op, w.now);
	else
		pmz_lock_op_cancel(&a->op, w.now);
	world_turn(&w, i);
}

static void act(int i)
{
	actor *a = &h.actors[i];

	switch (a->deed) {
	case RESTING:
		want(i);
		break;
	case ACQUIRING:
		cancel(i);
		break;
	default:
		if (dice_once_in(&h.d, 10))
			drop(a);
		else if (w.now < h.ends && dice_once_in(&h.d, 2))
			lengthen(i);
		else
			give_back(i);
	}
}

static void hold(actor *a)
{
	a->deed = HOLDING;
	a->due = a_while(dice_once_in(&h.d, 4) ? 2 * a->ttl : a->ttl / 2);
}

static void be_granted(actor *a)
{
	h.grants++;
	a->holds = 1;
	must(w.now < a->lease.until, "granted when it was over");
	if (h.rules.fence_off)
		must_be(a->lease.fence, 0);
	else
		must(a->lease.fence > h.last_fence, "fence %llu after %llu",
		     (unsigned long long)a->lease.fence,
		     (unsigned long long)h.last_fence);
	h.last_fence = a->lease.fence;
	hold(a);
}

static void acquired(actor *a, int status)
{
	h.refusals += status == PMZ_REFUSED_HELD;
	h.cancels += status == PMZ_CANCELLED;
	if (status == PMZ_OK)
		be_granted(a);
	else
		rest(a);
}

static void extended(actor *a, const pmz_lease *before, int status)
{
	h.extensions += status == PMZ_OK;
	if (status == PMZ_E_LOST) {
		h.losses++;
		a->holds = 0;
		rest(a);
		return;
	}
	must(status != PMZ_OK || a->began < before->until, "it is resurrected");
	must(a->lease.until >= before->until, "an extension shortens");
	must(status == PMZ_OK || a->lease.until == before->until,
	     "a failed extension moves the end");
	hold(a);
}

/* It may have become another op by then. */
static void settle_if_done(int i)
{
	actor *a = &h.actors[i];
	pmz_lease before = a->lease;
	int status;

	if (!w.clients[i].op)
		return;
	must_fit(w.now, a->end_by);
	if (w.clients[i].step != PMZ_LOCK_DONE)
		return;
	status = pmz_lock_op_end(&a->op, &a->lease, NULL);
	world_join(&w, i, NULL);
	if (a->deed == ACQUIRING)
		acquired(a, status);
	else if (a->deed == EXTENDING)
		extended(a, &before, status);
	else
		rest(a);
}

static int next_actor(void)
{
	int i, first = 0;

	for (i = 1; i < h.count; i++)
		if (h.actors[i].due < h.actors[first].due)
			first = i;
	return first;
}

static void change_a_server(void)
{
	server *s = &w.servers[dice_between(&h.d, 0, w.nodes - 1)];

	if (dice_once_in(&h.d, 2))
		s->unknown = (uint32_t)dice_roll(&h.d);
	else
		s->ahead_us =
			(int64_t)dice_between(&h.d, 0, 7200000000) - 3600000000;
}

/* 0: all is over. */
static int step(void)
{
	int i, first = next_actor();
	pmz_ns next = world_next(&w);

	if (h.actors[first].due == PMZ_NEVER && next == PMZ_NEVER)
		return 0;
	if (h.actors[first].due <= next) {
		w.now = h.actors[first].due > w.now ? h.actors[first].due
		                                    : w.now;
		act(first);
	} else {
		world_step(&w);
	}
	for (i = 0; i < h.count; i++)
		settle_if_done(i);
	if (dice_once_in(&h.d, 300))
		change_a_server();
	w.log_count = 0;
	return 1;
}

static int was_dropped(const char *token)
{
	size_t i;

	for (i = 0; i < h.dropped_count; i++)
		if (!strcmp(h.dropped[i], token))
			return 1;
	return 0;
}

static void nothing_is_left_but_what_was_dropped(void)
{
	uint32_t i;

	for (i = 0; i < w.nodes; i++) {
		const server_key *key = server_find(&w, i, LOCK);

		must(!key || was_dropped(key->value), "node %u still has %s",
		     (unsigned)i, key ? key->value : "");
	}
}

static void open_history(int seed)
{
	static const uint32_t nodes[] = { 1, 3, 5 };
	uint32_t i;

	memset(&h, 0, sizeof(h));
	h.d = dice_of(seed);
	world_open(&w, nodes[dice_roll(&h.d) % 3]);
	w.trip = dice_between(&h.d, PMZ_US(50), PMZ_MS(3));
	w.choose = choose;
	h.count = (int)dice_between(&h.d, 3, 6);
	h.faults_pct = (unsigned)dice_between(&h.d, 0, 40);
	h.ends = w.now + SPAN;
	h.rules.size = sizeof(h.rules);
	h.rules.nodes = w.nodes;
	h.rules.connect_ns = CONNECT;
	h.rules.fence_off = dice_once_in(&h.d, 5) ? 1 : 0;
	h.rules.replicas_min = dice_once_in(&h.d, 6) ? 1 : 0;
	for (i = 0; i < w.nodes; i++) {
		w.servers[i].fast_ppm = (uint32_t)dice_between(&h.d, 0, 10000);
		w.servers[i].replicas = 1;
		w.servers[i].unknown = (uint32_t)dice_roll(&h.d);
	}
	for (i = 0; i < (uint32_t)h.count; i++)
		rest(&h.actors[i]);
}

static void live_through(int seed)
{
	open_history(seed);
	while (step())
		one_holds_it_at_most();
}

START_TEST(whatever_fails_one_holds_it_and_fences_grow)
{
	live_through(_i);
	nothing_is_left_but_what_was_dropped();
}
END_TEST

START_TEST(the_histories_have_all_that_they_are_about)
{
	unsigned grants = 0, refusals = 0, extensions = 0, cancels = 0,
		 losses = 0;
	int seed;

	for (seed = 0; seed < 20; seed++) {
		live_through(seed);
		grants += h.grants;
		refusals += h.refusals;
		extensions += h.extensions;
		cancels += h.cancels;
		losses += h.losses;
	}
	must(grants > 200, "%u grants", grants);
	must(refusals > 200, "%u refusals", refusals);
	must(extensions > 50, "%u extensions", extensions);
	must(cancels > 20, "%u cancels", cancels);
	must(losses > 5, "%u losses", losses);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("lock_proto");
	TCase *tc = tcase_create("random histories");
	SRunner *runner;
	int failed;

	tcase_add_loop_test(tc, whatever_fails_one_holds_it_and_fences_grow, 0,
	                    SEEDS);
	tcase_add_test(tc, the_histories_have_all_that_they_are_about);
	tcase_set_timeout(tc, 60);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
