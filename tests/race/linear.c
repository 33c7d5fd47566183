/*
 * linear.c - whatever threads see of one bucket or bulkhead, they could have
 * seen by taking turns: short histories (PIPEMAZE_LINEAR says how many of
 * each) on real threads, against models for one.
 *
 * A bucket promises it of every call. A bulkhead promises it with three
 * exceptions, and the histories are made so that nothing else is let off:
 *
 *   - acquire looks at the limit before it enters, so beside a resize it may go
 *     by the limit of before: there it is two moves;
 *   - who settles what is no longer inside takes one off for a moment, so that
 *     acquire may find a place too many, beside a reset, or one too few, beside
 *     a permit that was settled twice: there nobody acquires;
 *   - what read says beside in_use and admitted comes from other instants: only
 *     these two are compared while threads run.
 *
 * linear_breaker.c is about the breaker.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pipemaze/bucket.h>
#include <pipemaze/bulkhead.h>

#include "linear.h"

__extension__ typedef __int128 wide;

#define COUNT(list) (sizeof(list) / sizeof(*(list)))

/* The checker itself, on a register that is written and read. */

enum { WRITE, READ };

static void no_start(const linear_history *h, void *state)
{
	(void)h;
	(void)state;
}

/* Of two moves, a write shows with its second. */
static int step_register(const linear_history *h, void *state, unsigned thread,
                         const linear_op *op, unsigned move)
{
	uint64_t *value = state;

	(void)h;
	(void)thread;
	if (op->kind == READ)
		return op->saw[0] == *value;
	if (move + 1 == op->moves)
		*value = op->args[0];
	return 1;
}

static const linear_guard memory_cell = {
	.name = "register",
	.state_size = sizeof(uint64_t),
	.start = no_start,
	.step = step_register,
};

static void put(linear_history *h, unsigned thread, unsigned kind,
                uint64_t value, uint64_t call, uint64_t back)
{
	linear_op *op = linear_add(h, thread, kind, 1);

	if (kind == WRITE)
		op->args[0] = value;
	else
		op->saw[0] = value;
	op->call = call;
	op->back = back;
}

/* Thread 0 writes 1 in [2, 5] and thread 1 reads in [call, back]. */
static int may_read(uint64_t value, uint64_t call, uint64_t back)
{
	linear_history h = { .threads = 2 };

	put(&h, 0, WRITE, 1, 2, 5);
	put(&h, 1, READ, value, call, back);
	h.last = (linear_op){ .kind = READ, .moves = 1, .saw = { 1 } };
	return linear_holds(&memory_cell, &h);
}

START_TEST(a_read_beside_a_write_sees_either_value)
{
	ck_assert(may_read(0, 1, 3));
	ck_assert(may_read(1, 1, 3));
	ck_assert(may_read(0, 4, 6));
	ck_assert(may_read(1, 4, 6));
	ck_assert(!may_read(2, 4, 6));
}
END_TEST

START_TEST(a_read_after_a_write_sees_it)
{
	ck_assert(may_read(1, 5, 7));
	ck_assert(!may_read(0, 5, 7));
	ck_assert(may_read(0, 0, 2));
	ck_assert(!may_read(1, 0, 2));
}
END_TEST

/* Both readers are beside the write, but may not see them in two orders. */
START_TEST(two_readers_see_one_order)
{
	int same;

	for (same = 0; same < 2; same++) {
		linear_history h = { .threads = 3 };

		put(&h, 0, WRITE, 1, 0, 90);
		put(&h, 1, READ, 0, 1, 10);
		put(&h, 1, READ, 1, 20, 30);
		put(&h, 2, READ, same ? 1 : 0, 40, 50);
		h.last = (linear_op){ .kind = READ, .saw = { 1 } };
		ck_assert_int_eq(linear_holds(&memory_cell, &h), same);
	}
}
END_TEST

START_TEST(what_is_there_in_the_end_counts)
{
	linear_history h = { .threads = 2 };

	put(&h, 0, WRITE, 1, 0, 4);
	put(&h, 1, WRITE, 2, 2, 6);
	h.last = (linear_op){ .kind = READ, .saw = { 1 } };
	ck_assert(linear_holds(&memory_cell, &h));
	h.last.saw[0] = 3;
	ck_assert(!linear_holds(&memory_cell, &h));
	h.ops[1][0].call = 4;
	h.last.saw[0] = 1;
	ck_assert(!linear_holds(&memory_cell, &h));
}
END_TEST

START_TEST(a_write_of_two_moves_shows_with_its_second)
{
	linear_history h = { .threads = 2 };

	put(&h, 0, WRITE, 1, 0, 9);
	h.ops[0][0].moves = 2;
	put(&h, 1, READ, 0, 2, 3);
	put(&h, 1, READ, 1, 4, 5);
	h.last = (linear_op){ .kind = READ, .saw = { 1 } };
	ck_assert(linear_holds(&memory_cell, &h));
	h.ops[1][1].saw[0] = 0;
	h.last.saw[0] = 0;
	ck_assert(!linear_holds(&memory_cell, &h));
}
END_TEST

START_TEST(only_what_has_not_ended_overlaps)
{
	linear_history h = { .threads = 2 };

	put(&h, 0, WRITE, 1, 0, 4);
	put(&h, 1, WRITE, 2, 4, 6);
	ck_assert(!linear_overlaps(&h));
	h.ops[1][0].call = 3;
	ck_assert(linear_overlaps(&h));
}
END_TEST

/* The bucket. Its rules have tokens of a whole number of ns, which makes the
 * model exact. */

enum { TAKE, RESERVE, REFUND, LEFT, RERATE, TAT };

static const char *const bucket_kinds[] = {
	"take (rule, n, now)",       "reserve (rule, n, now, latest)",
	"refund (rule, n, at, now)", "left (rule, now)",
	"rerate (from, to, now)",    "tat",
};

#define RULES 2
#define TOKEN 10
#define BOOT 1000

static const struct {
	uint64_t token, burst;
} rules[RULES] = { { TOKEN, 3 }, { 3 * TOKEN / 2, 2 } };

struct bucket_box {
	pmz_bucket bucket;
	pmz_rate rates[RULES];
};

/* In few places, so that threads meet there. */
static const pmz_ns bucket_times[] = { 0,
	                               BOOT - TOKEN,
	                               BOOT,
	                               BOOT,
	                               BOOT + 1,
	                               BOOT + 15,
	                               BOOT + TOKEN,
	                               BOOT + TOKEN,
	                               BOOT + 2 * TOKEN,
	                               BOOT + 60,
	                               PMZ_NEVER - 5 };

static pmz_ns bucket_time(dice *d)
{
	size_t at = dice_roll(d) % COUNT(bucket_times);

	/* After the last one nothing is granted any more. */
	if (at == COUNT(bucket_times) - 1 && !dice_once_in(d, 8))
		at = 2;
	return bucket_times[at];
}

static void plan_bucket_op(linear_history *h, unsigned thread, dice *d)
{
	static const unsigned kinds[] = { TAKE, TAKE,   TAKE,  RESERVE,
		                          LEFT, REFUND, RERATE };
	linear_op *op =
		linear_add(h, thread, kinds[dice_roll(d) % COUNT(kinds)], 1);
	pmz_ns now = bucket_time(d);

	op->args[0] = dice_roll(d) % 4 == 0;
	op->args[1] = dice_between(d, 1, dice_once_in(d, 4) ? 4 : 2);
	op->args[2] = now;
	if (op->kind == RESERVE)
		op->args[3] = now + dice_between(d, 0, 2) * TOKEN;
	if (op->kind == REFUND)
		op->args[3] = bucket_time(d);
	if (op->kind == LEFT)
		op->args[1] = now;
	if (op->kind == RERATE)
		op->args[1] = !op->args[0];
}

static void plan_bucket(linear_history *h, dice *d)
{
	struct bucket_box *box = (struct bucket_box *)h->memory;
	unsigned t, i;

	for (i = 0; i < RULES; i++)
		if (pmz_rate_set(&box->rates[i], 1, rules[i].token,
		                 rules[i].burst))
			abort();
	/* What was taken before: a token or two may be left. */
	box->bucket.opaque[0] = BOOT + dice_between(d, 0, 3) * TOKEN;
	h->last.args[0] = box->bucket.opaque[0];
	for (t = 0; t < h->threads; t++)
		for (i = 0; i < (h->threads == 3 ? 2 : 3); i++)
			plan_bucket_op(h, t, d);
	h->last.kind = TAT;
	h->last.moves = 1;
}

static void act_on_bucket(linear_history *h, unsigned thread, linear_op *op)
{
	struct bucket_box *box = (struct bucket_box *)h->memory;
	const pmz_rate *rate = &box->rates[op->args[0] % RULES];
	const uint64_t *a = op->args;
	pmz_bucket *b = &box->bucket;

	(void)thread;
	switch (op->kind) {
	case TAKE:
		op->saw[0] = (uint64_t)pmz_bucket_take(b, rate, a[1], a[2],
		                                       &op->saw[1]);
		break;
	case RESERVE:
		op->saw[0] = (uint64_t)pmz_bucket_reserve(b, rate, a[1], a[2],
		                                          a[3], &op->saw[1]);
		break;
	case REFUND:
		pmz_bucket_refund(b, rate, a[1], a[2], a[3]);
		break;
	case LEFT:
		op->saw[0] = pmz_bucket_left(b, rate, a[1]);
		break;
	case RERATE:
		pmz_bucket_rerate(b, rate, &box->rates[a[1]], a[2]);
		break;
	default:
		op->saw[0] = b->opaque[0];
	}
}

static void start_bucket(const linear_history *h, void *state)
{
	uint64_t *tat = state;

	*tat = h->last.args[0];
}

/* Takes n tokens: PMZ_NEVER if it cannot at all, else when they are there; if
 * that is not later than now, they are taken. */
static pmz_ns model_take(uint64_t *tat, uint64_t rule, uint64_t n, pmz_ns now)
{
	wide after =
		(wide)(*tat > now ? *tat : now) + (wide)(n * rules[rule].token);
	wide room = (wide)(rules[rule].burst * rules[rule].token);

	if (n > rules[rule].burst)
		return PMZ_NEVER;
	if (after - (wide)now > room)
		return (pmz_ns)(after - room);
	if (after >= (wide)PMZ_NEVER)
		return PMZ_NEVER;
	*tat = (uint64_t)after;
	return now;
}

static int step_take(uint64_t *tat, const linear_op *op)
{
	pmz_ns ready = model_take(tat, op->args[0], op->args[1], op->args[2]);

	if (ready == op->args[2])
		return op->saw[0] == PMZ_OK;
	return op->saw[0] == PMZ_REFUSED_RATE && op->saw[1] == ready;
}

static int step_reserve(uint64_t *tat, const linear_op *op)
{
	uint64_t then = *tat;
	pmz_ns at = model_take(&then, op->args[0], op->args[1], op->args[2]);
	int fits = at != PMZ_NEVER && at <= op->args[3];

	if (fits && at != op->args[2])
		fits = model_take(&then, op->args[0], op->args[1], at) == at;
	if (fits)
		*tat = then;
	return op->saw[1] == at &&
	       op->saw[0] == (fits ? PMZ_OK : PMZ_REFUSED_RATE);
}

static int step_refund(uint64_t *tat, const linear_op *op)
{
	const uint64_t *a = op->args;
	uint64_t n = a[1] < rules[a[0]].burst ? a[1] : rules[a[0]].burst;
	wide worth = (wide)(n * rules[a[0]].token), next;

	if (*tat <= a[3])
		return 1;
	if (a[3] > a[2])
		worth -= (wide)(a[3] - a[2]);
	next = (wide)*tat - (worth > 0 ? worth : 0);
	*tat = next > (wide)a[3] ? (uint64_t)next : a[3];
	return 1;
}

static int step_left(const uint64_t *tat, const linear_op *op)
{
	uint64_t token = rules[op->args[0]].token;
	uint64_t room = rules[op->args[0]].burst * token;
	uint64_t ahead = *tat > op->args[1] ? *tat - op->args[1] : 0;

	return op->saw[0] == (ahead > room ? 0 : (room - ahead) / token);
}

/* What is missing of the burst, by the other rule; the bursts differ. */
static int step_rerate(uint64_t *tat, const linear_op *op)
{
	wide from = (wide)rules[op->args[0]].token;
	wide to = (wide)rules[op->args[1]].token;
	wide more =
		(wide)rules[op->args[1]].burst - (wide)rules[op->args[0]].burst;
	wide now = (wide)op->args[2], ahead = (wide)*tat - now, missing = 0,
	     next;

	if (ahead > 0)
		missing = (ahead * to + from - 1) / from;
	next = now + missing + more * to;
	if (next < now)
		next = now;
	*tat = next < (wide)PMZ_NEVER ? (uint64_t)next : PMZ_NEVER - 1;
	return 1;
}

static int step_bucket(const linear_history *h, void *state, unsigned thread,
                       const linear_op *op, unsigned move)
{
	(void)h;
	(void)thread;
	(void)move;
	switch (op->kind) {
	case TAKE:
		return step_take(state, op);
	case RESERVE:
		return step_reserve(state, op);
	case REFUND:
		return step_refund(state, op);
	case LEFT:
		return step_left(state, op);
	case RERATE:
		return step_rerate(state, op);
	default:
		return op->saw[0] == *(uint64_t *)state;
	}
}

static const linear_guard bucket = {
	.name = "bucket",
	.kinds = bucket_kinds,
	.state_size = sizeof(uint64_t),
	.plan = plan_bucket,
	.act = act_on_bucket,
	.start = start_bucket,
	.step = step_bucket,
};

/* The bulkhead. */

enum { ENTER, LEAVE, RESIZE, RESET, LOOK, STATS };

static const char *const bulkhead_kinds[] = {
	"acquire (permit)",
	"settle (permit)",
	"resize (limit)",
	"reset",
	"read in_use, admitted",
	"read in_use, admitted, over_releases, then fill",
};

#define NOW 0

/* What stands in a history, with a LOOK or two beside. The limit is read before
 * the rest, which is a move of its own only where it is set meanwhile. */
static const struct company {
	unsigned kinds[4];
	unsigned enter_moves;
} companies[] = {
	{ { ENTER, ENTER, LEAVE, LEAVE }, 1 },
	{ { ENTER, LEAVE, RESET, LEAVE }, 1 },
	{ { ENTER, LEAVE, RESIZE, RESET }, 2 },
	{ { LEAVE, LEAVE, LEAVE, RESET }, 1 },
};

#define SLOTS 4

struct bulkhead_box {
	pmz_bulkhead *h;
	uint32_t limit, in_use, admitted, generation;
	pmz_permit permits[LINEAR_THREADS][SLOTS];
	_Alignas(64) char room[1024];
};

struct bulkhead_model {
	uint32_t limit, in_use, generation, over_releases;
	uint64_t admitted;
	uint32_t looked_at[LINEAR_THREADS]; /* the limit that an acquire saw */
	uint32_t held[LINEAR_THREADS][SLOTS]; /* generation + 1, or 0 */
};

static void plan_bulkhead_op(linear_history *h, unsigned thread,
                             const struct company *c, dice *d)
{
	unsigned kind = dice_once_in(d, 6) ? LOOK : c->kinds[dice_roll(d) % 4];
	linear_op *op =
		linear_add(h, thread, kind, kind == ENTER ? c->enter_moves : 1);

	op->args[0] = dice_roll(d) % 2;
	if (kind == ENTER)
		op->args[0] = h->count[thread] % SLOTS;
	if (kind == LEAVE)
		op->args[0] = dice_between(d, 0, h->count[thread]) % SLOTS;
	if (kind == RESIZE)
		op->args[0] = dice_between(d, 0, 3);
}

static void place_bulkhead(struct bulkhead_box *box)
{
	pmz_bulkhead_config cfg = { sizeof(cfg), box->limit };

	if (pmz_bulkhead_place(&box->h, box->room, sizeof(box->room), &cfg,
	                       NULL))
		abort();
}

/* One who enters after so many is counted in two places. */
#define IN_THE_WORD 32767

static void pass_many(struct bulkhead_box *box)
{
	pmz_permit p;

	while (box->admitted < IN_THE_WORD - 1) {
		if (pmz_bulkhead_acquire(box->h, NOW, &p) ||
		    pmz_bulkhead_settle(box->h, &p, PMZ_SUCCESS, NOW))
			abort();
		box->admitted++;
	}
}

/* Some are inside. Each thread has a permit of its own, or a copy of each. */
static void fill_bulkhead(linear_history *h, dice *d)
{
	struct bulkhead_box *box = (struct bulkhead_box *)h->memory;
	unsigned t, most = (unsigned)dice_between(d, 0, box->limit);
	int copies = dice_once_in(d, 2);

	if (dice_once_in(d, 32))
		pass_many(box);
	while (box->in_use < most) {
		unsigned i = box->in_use++;
		pmz_permit p;

		if (pmz_bulkhead_acquire(box->h, NOW, &p))
			abort();
		box->admitted++;
		for (t = 0; t < h->threads; t++)
			if (copies || t == i % h->threads)
				box->permits[t][copies ? i : i / h->threads] = p;
	}
	if (!dice_once_in(d, 4))
		return;
	pmz_bulkhead_reset(box->h);
	box->generation = 1;
	box->in_use = 0;
}

static void plan_bulkhead(linear_history *h, dice *d)
{
	struct bulkhead_box *box = (struct bulkhead_box *)h->memory;
	const struct company *c = &companies[dice_roll(d) % COUNT(companies)];
	unsigned t, i;

	box->limit = (uint32_t)dice_between(d, 1, 3);
	place_bulkhead(box);
	fill_bulkhead(h, d);
	/* The model begins with these, which the threads use up. */
	memcpy(box->room + sizeof(box->room) / 2, box->permits,
	       sizeof(box->permits));
	for (t = 0; t < h->threads; t++)
		for (i = 0; i < (h->threads == 3 ? 2 : 3); i++)
			plan_bulkhead_op(h, t, c, d);
	h->last.kind = STATS;
	h->last.moves = 1;
}

static void look_at_bulkhead(pmz_bulkhead *h, linear_op *op)
{
	pmz_bulkhead_stats s = { .size = sizeof(s) };
	pmz_permit p;

	if (pmz_bulkhead_read(h, &s))
		abort();
	op->saw[0] = s.in_use;
	op->saw[1] = s.admitted;
	if (op->kind == LOOK)
		return;
	op->saw[2] = s.over_releases;
	while (pmz_bulkhead_acquire(h, NOW, &p) == PMZ_OK)
		op->saw[3]++;
}

static void act_on_bulkhead(linear_history *h, unsigned thread, linear_op *op)
{
	struct bulkhead_box *box = (struct bulkhead_box *)h->memory;
	pmz_permit *permit =
		&box->permits[thread % LINEAR_THREADS][op->args[0] % SLOTS];

	switch (op->kind) {
	case ENTER:
		op->saw[0] =
			(uint64_t)pmz_bulkhead_acquire(box->h, NOW, permit);
		break;
	case LEAVE:
		op->saw[0] = (uint64_t)pmz_bulkhead_settle(box->h, permit,
		                                           PMZ_SUCCESS, NOW);
		break;
	case RESIZE:
		op->saw[0] = (uint64_t)pmz_bulkhead_resize(
			box->h, (uint32_t)op->args[0]);
		break;
	case RESET:
		pmz_bulkhead_reset(box->h);
		break;
	default:
		look_at_bulkhead(box->h, op);
	}
}

static void start_bulkhead(const linear_history *h, void *state)
{
	const struct bulkhead_box *box = (const struct bulkhead_box *)h->memory;
	const char *first = box->room + sizeof(box->room) / 2;
	struct bulkhead_model *m = state;
	pmz_permit p;
	unsigned t, i;

	m->limit = box->limit;
	m->in_use = box->in_use;
	m->admitted = box->admitted;
	m->generation = box->generation;
	for (t = 0; t < LINEAR_THREADS; t++)
		for (i = 0; i < SLOTS; i++) {
			memcpy(&p, first + (t * SLOTS + i) * sizeof(p),
			       sizeof(p));
			m->held[t][i] = p.opaque[0] != 0;
		}
}

static int step_enter(struct bulkhead_model *m, unsigned thread,
                      const linear_op *op, unsigned move)
{
	if (!move)
		m->looked_at[thread] = m->limit;
	if (move + 1 < op->moves)
		return 1;
	m->held[thread][op->args[0]] = 0;
	if (m->in_use >= m->looked_at[thread])
		return op->saw[0] == PMZ_REFUSED_FULL;
	m->in_use++;
	m->admitted++;
	m->held[thread][op->args[0]] = m->generation + 1;
	return op->saw[0] == PMZ_OK;
}

static int step_leave(struct bulkhead_model *m, unsigned thread,
                      const linear_op *op)
{
	uint32_t *held = &m->held[thread][op->args[0]];
	int inside = *held == m->generation + 1 && m->in_use;

	*held = 0;
	if (inside)
		m->in_use--;
	else
		m->over_releases++;
	return op->saw[0] == (uint64_t)(inside ? PMZ_OK : PMZ_E_STATE);
}

static uint32_t room_in(const struct bulkhead_model *m)
{
	return m->limit > m->in_use ? m->limit - m->in_use : 0;
}

static int step_bulkhead(const linear_history *h, void *state, unsigned thread,
                         const linear_op *op, unsigned move)
{
	struct bulkhead_model *m = state;

	(void)h;
	switch (op->kind) {
	case ENTER:
		return step_enter(m, thread, op, move);
	case LEAVE:
		return step_leave(m, thread, op);
	case RESIZE:
		m->limit = (uint32_t)op->args[0];
		return op->saw[0] == PMZ_OK;
	case RESET:
		m->generation++;
		m->in_use = 0;
		return 1;
	default:
		if (op->saw[0] != m->in_use || op->saw[1] != m->admitted)
			return 0;
		return op->kind == LOOK || (op->saw[2] == m->over_releases &&
		                            op->saw[3] == room_in(m));
	}
}

static const linear_guard bulkhead = {
	.name = "bulkhead",
	.kinds = bulkhead_kinds,
	.state_size = sizeof(struct bulkhead_model),
	.plan = plan_bulkhead,
	.act = act_on_bulkhead,
	.start = start_bulkhead,
	.step = step_bulkhead,
};

START_TEST(a_bucket_answers_as_if_its_callers_took_turns)
{
	ck_assert(linear_passes(&bucket));
}
END_TEST

START_TEST(a_bulkhead_answers_as_if_its_callers_took_turns)
{
	ck_assert(linear_passes(&bulkhead));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("linear");
	TCase *checker = tcase_create("the checker");
	TCase *guards = tcase_create("the guards");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, checker);
	suite_add_tcase(suite, guards);
	tcase_set_timeout(guards, 300);
	tcase_add_test(checker, a_read_beside_a_write_sees_either_value);
	tcase_add_test(checker, a_read_after_a_write_sees_it);
	tcase_add_test(checker, two_readers_see_one_order);
	tcase_add_test(checker, what_is_there_in_the_end_counts);
	tcase_add_test(checker, a_write_of_two_moves_shows_with_its_second);
	tcase_add_test(checker, only_what_has_not_ended_overlaps);
	tcase_add_test(guards, a_bucket_answers_as_if_its_callers_took_turns);
	tcase_add_test(guards, a_bulkhead_answers_as_if_its_callers_took_turns);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
