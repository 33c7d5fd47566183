/*
 * keeper.c - the keeper's thread beside those of its user: what is kept lives
 * on, what is lost is said once, and no extension outlives a let_go().
 */
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pipemaze/edge.h>

#include "crew.h"
#include "dice.h"
#include "lock/keeper.h"
#include "lock/lane.h"
#include "must.h"

#define THREADS 4
#define LEASES 64 /* of each thread, at most */
#define PLACES 64 /* so many are extended at a time */
#define MANY 200
#define REMEMBERED 1000
#define RACE PMZ_MS(1500)
/* What is waited for comes long before this. */
#define PATIENCE PMZ_S(20)

/* A server that answers as it is told to, after as long as it is told to. */
#define SLOTS 80

struct slot {
	pmz_lock_op *op;
	uint32_t ticket;
	pmz_ns due;
};

struct puppet {
	pmz__node node;
	const char *silent; /* to keys that begin so nothing is answered */
	const char *answer;
	pmz_ns delay;
	_Atomic uint32_t sent, open;
};

struct puppet_link {
	pmz__link link;
	struct puppet *of;
	struct slot slots[SLOTS];
};

static struct puppet_link *puppet_of(pmz__link *link)
{
	return (struct puppet_link *)link;
}

static void puppet_send(pmz__link *link, pmz_lock_op *op,
                        const pmz_lock_order *order, pmz_ns now)
{
	struct puppet *p = puppet_of(link)->of;
	struct slot *s = puppet_of(link)->slots;

	while (s->op)
		s++;
	s->op = op;
	s->ticket = order->ticket;
	s->due = now + p->delay;
	if (p->silent && !strncmp(order->argv[3], p->silent, strlen(p->silent)))
		s->due = PMZ_NEVER;
	p->open++;
	p->sent++;
	pmz_lock_op_sent(op, order->ticket, now);
}

static void puppet_wants(const pmz__link *link, pmz__wants *out)
{
	const struct puppet_link *l = (const struct puppet_link *)link;
	int i;

	out->fd = -1;
	out->events = 0;
	out->due = PMZ_NEVER;
	for (i = 0; i < SLOTS; i++)
		if (l->slots[i].op && l->slots[i].due < out->due)
			out->due = l->slots[i].due;
}

static void puppet_clear(struct puppet_link *l, struct slot *s)
{
	s->op = NULL;
	l->of->open--;
}

static void puppet_go_on(pmz__link *link, pmz_ns now)
{
	struct puppet_link *l = puppet_of(link);
	struct slot *s;

	for (s = l->slots; s < l->slots + SLOTS; s++) {
		if (!s->op || s->due > now)
			continue;
		pmz_lock_op_reply(s->op, s->ticket, l->of->answer,
		                  strlen(l->of->answer), now);
		puppet_clear(l, s);
	}
}

static void puppet_forget(pmz__link *link, const pmz_lock_op *op, pmz_ns now)
{
	struct puppet_link *l = puppet_of(link);
	struct slot *s;

	(void)now;
	for (s = l->slots; s < l->slots + SLOTS; s++)
		if (s->op == op)
			puppet_clear(l, s);
}

static void puppet_free(pmz__link *link)
{
	free(link);
}

static pmz__link *puppet_connect(pmz__node *node)
{
	static const pmz__link_type type = {
		.send = puppet_send,
		.wants = puppet_wants,
		.go_on = puppet_go_on,
		.forget = puppet_forget,
		.free = puppet_free,
	};
	struct puppet_link *l = calloc(1, sizeof(*l));

	ck_assert_ptr_nonnull(l);
	l->link.type = &type;
	l->of = (struct puppet *)node;
	return &l->link;
}

static struct puppet puppet_with(const char *answer, pmz_ns delay)
{
	static const pmz__node_type type = { puppet_connect, NULL };
	struct puppet p = { .node = { &type } };

	p.answer = answer;
	p.delay = delay;
	return p;
}

static pmz_lock_rules rules_of(pmz_ns node_timeout)
{
	pmz_lock_rules rules = { .size = sizeof(rules), .nodes = 1 };

	rules.node_timeout_ns = node_timeout;
	return rules;
}

static pmz__keeper *keeper_over(pmz__node *node, pmz_ns node_timeout)
{
	pmz_lock_rules rules = rules_of(node_timeout);
	pmz__keeper *k = pmz__keeper_new(&node, 1, &rules);

	ck_assert_ptr_nonnull(k);
	return k;
}

static pmz_lease lease_named(const char *name, pmz_ns ttl)
{
	pmz_lease lease = { .fence = 1 };

	snprintf(lease.name, sizeof(lease.name), "%s", name);
	snprintf(lease.token, sizeof(lease.token), "token-of-%s", name);
	lease.ttl = ttl;
	lease.until = pmz_now() + ttl;
	return lease;
}

static void keep(pmz__keeper *k, const pmz_lease *lease)
{
	must_be(pmz__keeper_keep(k, lease, PMZ_NEVER), PMZ_OK);
}

/* So many, all due at once. */
static void keep_some(pmz__keeper *k, const char *name, int n)
{
	int i;

	for (i = 0; i < n; i++) {
		char numbered[20];
		pmz_lease lease;

		snprintf(numbered, sizeof(numbered), "%s%d", name, i);
		lease = lease_named(numbered, PMZ_S(300));
		lease.until = pmz_now() + PMZ_S(100);
		keep(k, &lease);
	}
}

static void await_sent(const struct puppet *p, uint32_t n)
{
	pmz_ns patience = pmz_now() + PATIENCE;

	while (p->sent < n) {
		must(pmz_now() < patience, "only %u orders came", p->sent);
		pmz_sleep_until(pmz_now() + PMZ_MS(1));
	}
}

static int is_readable(const pmz__keeper *k, int timeout_ms)
{
	struct pollfd one = { pmz__keeper_fd(k), POLLIN, 0 };

	return poll(&one, 1, timeout_ms);
}

/* The lease that is lost next, and why. */
static pmz_lease await_lost(pmz__keeper *k, int *why)
{
	pmz_lease lost;

	must_be(is_readable(k, (int)(PATIENCE / PMZ_MS(1))), 1);
	must_be(pmz__keeper_next_lost(k, &lost, why), PMZ_OK);
	return lost;
}

START_TEST(a_let_go_waits_for_the_extension_under_way)
{
	struct puppet p = puppet_with("1", PMZ_MS(200));
	pmz__keeper *k = keeper_over(&p.node, PMZ_S(10));
	pmz_lease lease = lease_named("a", PMZ_S(30)), before;

	lease.until = pmz_now() + PMZ_S(10);
	before = lease;
	keep(k, &lease);
	await_sent(&p, 1);
	must_be(pmz__keeper_let_go(k, &lease), 1);
	must_be(p.open, 0);
	must(lease.until > before.until, "it is not brought up to date");
	must_be(pmz__keeper_let_go(k, &lease), 0);
	must_be(pmz__keeper_refresh(k, &lease), PMZ_E_STATE);
	pmz__keeper_free(k);
}
END_TEST

/* It is due again as soon as it lands. */
START_TEST(a_let_go_waits_for_one_extension_and_not_for_the_next)
{
	struct puppet p = puppet_with("1", PMZ_MS(400));
	pmz__keeper *k = keeper_over(&p.node, PMZ_S(10));
	pmz_lease lease = lease_named("a", PMZ_S(1));
	uint32_t before;

	keep(k, &lease);
	await_sent(&p, 1);
	before = p.sent;
	pmz__keeper_let_go(k, &lease);
	must_fit(p.sent, before + 1);
	must_be(p.open, 0);
	pmz__keeper_free(k);
}
END_TEST

START_TEST(an_extension_of_the_users_own_waits_too_and_is_the_only_one)
{
	struct puppet p = puppet_with("1", PMZ_MS(100));
	pmz__keeper *k = keeper_over(&p.node, PMZ_S(10));
	pmz_lease lease = lease_named("a", PMZ_S(30));

	lease.until = pmz_now() + PMZ_S(10);
	keep(k, &lease);
	await_sent(&p, 1);
	must_be(pmz__keeper_begin(k, &lease), 1);
	must_be(p.open, 0);
	must_be(pmz__keeper_refresh(k, &lease), PMZ_OK);
	lease.ttl = PMZ_S(60);
	lease.until = pmz_now() + PMZ_S(60);
	pmz__keeper_done(k, &lease, PMZ_OK);
	lease.ttl = 0;
	must_be(pmz__keeper_refresh(k, &lease), PMZ_OK);
	must_be(lease.ttl, PMZ_S(60));
	must_be(pmz__keeper_let_go(k, &lease), 1);
	must_be(pmz__keeper_begin(k, &lease), 0);
	must_be(p.sent, 1);
	pmz__keeper_free(k);
}
END_TEST

START_TEST(a_silent_server_is_said_before_the_lease_ends)
{
	struct puppet p = puppet_with("1", PMZ_NEVER / 2);
	pmz__keeper *k = keeper_over(&p.node, PMZ_S(10));
	pmz_lease lease = lease_named("a", PMZ_S(5)), lost;
	int why = 0;

	keep(k, &lease);
	lost = await_lost(k, &why);
	must(pmz_now() < lost.until, "it has ended");
	must_be(why, PMZ_E_IO);
	must_be(strcmp(lost.token, lease.token), 0);
	must_be(is_readable(k, 0), 0);
	must_be(pmz__keeper_next_lost(k, &lost, &why), PMZ_REFUSED_EMPTY);
	must_be(pmz__keeper_refresh(k, &lease), PMZ_E_LOST);
	must_be(p.open, 0);
	pmz__keeper_free(k);
}
END_TEST

START_TEST(a_let_go_waits_for_a_silent_server_no_longer_than_to_the_loss)
{
	struct puppet p = puppet_with("1", PMZ_NEVER / 2);
	pmz__keeper *k = keeper_over(&p.node, PMZ_S(60));
	pmz_lease lease = lease_named("a", PMZ_S(2));

	keep(k, &lease);
	await_sent(&p, 1);
	must_be(pmz__keeper_let_go(k, &lease), 0);
	must_be(p.open, 0);
	pmz__keeper_free(k);
}
END_TEST

START_TEST(what_the_server_no_longer_has_is_said_at_once)
{
	struct puppet p = puppet_with("0", 0);
	pmz__keeper *k = keeper_over(&p.node, PMZ_S(10));
	pmz_lease lease = lease_named("a", PMZ_S(30)), lost;
	int why = 0;

	lease.until = pmz_now() + PMZ_S(20);
	keep(k, &lease);
	lost = await_lost(k, &why);
	must_be(why, PMZ_E_LOST);
	must(lost.until <= pmz_now(), "it is still held");
	must_be(pmz__keeper_keep(k, &lease, PMZ_NEVER), PMZ_OK);
	pmz__keeper_free(k);
}
END_TEST

START_TEST(of_the_lost_that_nobody_lets_go_the_oldest_are_forgotten)
{
	struct puppet p = puppet_with("0", 0);
	pmz__keeper *k = keeper_over(&p.node, PMZ_S(10));
	pmz_lease first, last;
	int i, why = 0;

	keep_some(k, "", REMEMBERED + 1);
	for (i = 0; i <= REMEMBERED; i++) {
		await_lost(k, &why);
		must_be(why, PMZ_E_LOST);
	}
	first = lease_named("0", PMZ_S(30));
	must_be(pmz__keeper_refresh(k, &first), PMZ_E_STATE);
	last = lease_named("1", PMZ_S(30));
	must_be(pmz__keeper_refresh(k, &last), PMZ_E_LOST);
	pmz__keeper_free(k);
}
END_TEST

START_TEST(a_lease_that_hangs_holds_up_no_other)
{
	struct puppet p = puppet_with("1", 0);
	pmz__keeper *k = keeper_over(&p.node, PMZ_S(60));
	pmz_lease slow = lease_named("slow", PMZ_S(300));
	pmz_lease quick = lease_named("quick", PMZ_MS(1500));

	p.silent = "lock:slow";
	slow.until = pmz_now() + PMZ_S(100);
	keep(k, &slow);
	await_sent(&p, 1);
	keep(k, &quick);
	await_sent(&p, 1 + 3);
	must_be(pmz__keeper_refresh(k, &quick), PMZ_OK);
	must_be(p.open, 1);
	must_be(pmz__keeper_let_go(k, &quick), 1);
	pmz__keeper_free(k);
}
END_TEST

START_TEST(those_that_hang_leave_one_place_to_all_the_others)
{
	struct puppet p = puppet_with("1", 0);
	pmz__keeper *k = keeper_over(&p.node, PMZ_S(60));

	p.silent = "lock:slow";
	keep_some(k, "slow", PLACES - 1);
	await_sent(&p, PLACES - 1);
	keep_some(k, "quick", 10);
	await_sent(&p, PLACES - 1 + 10);
	pmz__keeper_free(k);
}
END_TEST

START_TEST(a_keeper_is_freed_with_extensions_under_way)
{
	struct puppet p = puppet_with("1", PMZ_NEVER / 2);
	pmz__keeper *k = keeper_over(&p.node, PMZ_S(60));

	keep_some(k, "", MANY);
	await_sent(&p, 10);
	pmz__keeper_free(k);
	must_be(p.open, 0);
}
END_TEST

START_TEST(one_is_kept_once_and_not_after_its_end)
{
	struct puppet p = puppet_with("1", 0);
	pmz__keeper *k = keeper_over(&p.node, PMZ_S(60));
	pmz_lease lease = lease_named("a", PMZ_S(30));

	must_be(pmz__keeper_refresh(k, &lease), PMZ_E_STATE);
	keep(k, &lease);
	must_be(pmz__keeper_keep(k, &lease, PMZ_NEVER), PMZ_E_STATE);
	must_be(pmz__keeper_let_go(k, &lease), 1);
	keep(k, &lease);
	must_be(pmz__keeper_let_go(k, &lease), 1);
	lease.until = pmz_now();
	must_be(pmz__keeper_keep(k, &lease, PMZ_NEVER), PMZ_E_LOST);
	pmz__keeper_free(k);
}
END_TEST

/* A client of the store in memory. */
static pmz__lane *lane_to(pmz__node *node)
{
	pmz__lane *lane = pmz__lane_new(&node, 1);

	ck_assert_ptr_nonnull(lane);
	return lane;
}

static int finish(pmz__lane *lane, pmz_lock_op *op, pmz_lease *lease)
{
	pmz__lane_run(lane, &op, 1);
	pmz__lane_forget(lane, op);
	return pmz_lock_op_end(op, lease, NULL);
}

static int acquire(pmz__lane *lane, const char *name, pmz_ns ttl,
                   pmz_lease *lease)
{
	pmz_lock_rules rules = rules_of(PMZ_S(10));
	uint64_t seed[2] = { pmz_random(), pmz_random() };
	pmz_ns now = pmz_now();
	pmz_lock_op op;

	must_be(pmz_lock_op_acquire(&op, &rules, name, ttl, now, seed, now,
	                            NULL),
	        PMZ_OK);
	return finish(lane, &op, lease);
}

static int release(pmz__lane *lane, const pmz_lease *lease)
{
	pmz_lock_rules rules = rules_of(PMZ_S(10));
	pmz_lease left;
	pmz_lock_op op;
	int status = pmz_lock_op_release(&op, &rules, lease, pmz_now(), NULL);

	return status ? status : finish(lane, &op, &left);
}

START_TEST(hundreds_live_on_past_their_ttl)
{
	pmz__node *node = pmz__memory_new();
	pmz__lane *lane = lane_to(node);
	pmz__keeper *k = keeper_over(node, PMZ_S(10));
	pmz_lease leases[MANY];
	pmz_ns last = 0;
	int i;

	for (i = 0; i < MANY; i++) {
		char name[20];

		snprintf(name, sizeof(name), "%d", i);
		must_be(acquire(lane, name, PMZ_MS(1500), &leases[i]), PMZ_OK);
		keep(k, &leases[i]);
		last = leases[i].until;
	}
	pmz_sleep_until(last + PMZ_MS(300));
	must_be(is_readable(k, 0), 0);
	for (i = 0; i < MANY; i++) {
		must_be(pmz__keeper_let_go(k, &leases[i]), 1);
		must(leases[i].until > last, "it was not extended");
		must_be(release(lane, &leases[i]), PMZ_OK);
	}
	pmz__keeper_free(k);
	pmz__lane_free(lane);
	node->type->free(node);
}
END_TEST

/* What became of each lease, for all to see. */
struct record {
	_Atomic int said; /* how often it was said to be lost */
	int let_go;       /* 1 while it was kept, 0 too late, -1 never */
};

struct arena {
	pmz__node *node;
	pmz__keeper *k;
	pmz_ns end;
	struct record records[THREADS][LEASES];
};

struct fighter {
	struct arena *a;
	pmz__lane *lane;
	dice d;
	unsigned who, count;
	pmz_lease leases[LEASES];
};

static struct record *record_of(struct arena *a, const pmz_lease *lease)
{
	char *dot;
	unsigned long who = strtoul(lease->name, &dot, 10);
	unsigned long i = strtoul(dot + 1, NULL, 10);

	must(who < THREADS && i < LEASES, "not ours: %s", lease->name);
	return &a->records[who][i];
}

static void keep_one(struct fighter *f)
{
	pmz_ns hold = dice_once_in(&f->d, 2) ? PMZ_NEVER : PMZ_MS(50);
	pmz_lease *lease = &f->leases[f->count];
	char name[20];

	if (f->count == LEASES)
		return;
	snprintf(name, sizeof(name), "%u.%u", f->who, f->count);
	/* On a slow machine it may have ended, and again below, and what has
	 * this name then is still held. */
	if (acquire(f->lane, name, PMZ_MS(dice_between(&f->d, 30, 200)), lease))
		return;
	record_of(f->a, lease)->let_go = -1;
	if (pmz__keeper_keep(f->a->k, lease, hold) == PMZ_OK)
		f->count++;
}

static pmz_lease *any_lease(struct fighter *f)
{
	return &f->leases[dice_between(&f->d, 0, f->count - 1)];
}

static void let_go_one(struct fighter *f)
{
	pmz_lease *lease = any_lease(f);
	struct record *r = record_of(f->a, lease);
	int was_kept = pmz__keeper_let_go(f->a->k, lease);

	if (r->let_go < 0)
		r->let_go = was_kept;
	else
		must_be(was_kept, 0);
	release(f->lane, lease);
}

static void extend_one(struct fighter *f)
{
	pmz_lock_rules rules = rules_of(PMZ_S(10));
	pmz_lease *lease = any_lease(f);
	pmz_lock_op op;
	int status;

	if (!pmz__keeper_begin(f->a->k, lease))
		return;
	status = pmz_lock_op_extend(&op, &rules, lease, lease->ttl, pmz_now(),
	                            NULL);
	if (status == PMZ_OK)
		status = finish(f->lane, &op, lease);
	pmz__keeper_done(f->a->k, lease, status);
}

static void fetch_lost(struct fighter *f)
{
	pmz_lease lost;
	int why = 0;

	while (pmz__keeper_next_lost(f->a->k, &lost, &why) == PMZ_OK) {
		must(why == PMZ_TIMED_OUT || why < 0, "lost for %s",
		     pmz_status_name(why));
		record_of(f->a, &lost)->said++;
	}
}

static void act(struct fighter *f)
{
	switch (f->count ? dice_between(&f->d, 0, 9) : 0) {
	case 0:
		keep_one(f);
		break;
	case 1:
		let_go_one(f);
		break;
	case 2:
		extend_one(f);
		break;
	case 3: /* behind the keeper's back */
		if (dice_once_in(&f->d, 4))
			release(f->lane, any_lease(f));
		break;
	case 4:
		fetch_lost(f);
		break;
	default: {
		pmz_lease copy = *any_lease(f);

		pmz__keeper_refresh(f->a->k, &copy);
		pmz_sleep_until(pmz_now() + PMZ_MS(1));
	}
	}
}

static void fight(unsigned who, void *ctx)
{
	struct fighter *f = calloc(1, sizeof(*f));

	must(f != NULL, "no memory");
	f->a = ctx;
	f->who = who;
	f->d = dice_of((int)who);
	f->lane = lane_to(f->a->node);
	while (pmz_now() < f->a->end)
		act(f);
	crew_meet();
	fetch_lost(f);
	pmz__lane_free(f->lane);
	free(f);
}

START_TEST(whoever_asks_each_loss_is_said_once)
{
	struct arena *a = calloc(1, sizeof(*a));
	int who, i;

	ck_assert_ptr_nonnull(a);
	a->node = pmz__memory_new();
	a->k = keeper_over(a->node, PMZ_S(10));
	a->end = pmz_now() + RACE;
	crew_run(THREADS, fight, a);
	for (who = 0; who < THREADS; who++)
		for (i = 0; i < LEASES; i++) {
			struct record *r = &a->records[who][i];

			must(r->said <= 1, "said %d times", r->said);
			must(!(r->said && r->let_go == 1),
			     "said to be lost and let go in good time");
		}
	pmz__keeper_free(a->k);
	a->node->type->free(a->node);
	free(a);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("keeper");
	TCase *all = tcase_create("threads");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, all);
	tcase_set_timeout(all, 60);
	tcase_add_test(all, a_let_go_waits_for_the_extension_under_way);
	tcase_add_test(all,
	               a_let_go_waits_for_one_extension_and_not_for_the_next);
	tcase_add_test(
		all,
		an_extension_of_the_users_own_waits_too_and_is_the_only_one);
	tcase_add_test(all, a_silent_server_is_said_before_the_lease_ends);
	tcase_add_test(
		all,
		a_let_go_waits_for_a_silent_server_no_longer_than_to_the_loss);
	tcase_add_test(all, what_the_server_no_longer_has_is_said_at_once);
	tcase_add_test(
		all, of_the_lost_that_nobody_lets_go_the_oldest_are_forgotten);
	tcase_add_test(all, a_lease_that_hangs_holds_up_no_other);
	tcase_add_test(all, those_that_hang_leave_one_place_to_all_the_others);
	tcase_add_test(all, a_keeper_is_freed_with_extensions_under_way);
	tcase_add_test(all, one_is_kept_once_and_not_after_its_end);
	tcase_add_test(all, hundreds_live_on_past_their_ttl);
	tcase_add_test(all, whoever_asks_each_loss_is_said_once);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
