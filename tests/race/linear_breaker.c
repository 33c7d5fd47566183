/*
 * linear_breaker.c - whatever threads see of one breaker, they could have seen
 * by taking turns, move by move: short histories (PIPEMAZE_LINEAR says how
 * many) on real threads, against a model for one.
 *
 * A settle is five moves, each at an instant of its own within the call, and
 * always in this order: it looks whether its permit is of the state in force;
 * takes its number in the window; counts; judges; and moves the state, if that
 * is still what it looked at. An acquire is three: it may end a rest, twice,
 * and then gets its answer. What hangs on it: a late result moves nothing; a
 * state is left once, however many have reason to; no place is given to two; an
 * open breaker says when it will not be. The counts of a lifetime are exact.
 *
 * Not promised, and so not asked:
 *   - shares, since the calls that a failure is one of are counted beside it;
 *   - a window of time, where a result may fall into that of the next state;
 *   - window_calls after a change of state: results that were on their way may
 *     be among them, though none of their failures are;
 *   - beside a probe, when a refusal says to return, and that a place is given
 *     when its lease is over: who wants it lets the lease grow before it is
 *     taken, so with two places, either may be; there no lease ends here;
 *   - refusals.
 * The model of tests/prop/breaker.c, for one thread, has these.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include <pipemaze/breaker.h>

#include "linear.h"

#define COUNT(list) (sizeof(list) / sizeof(*(list)))

enum { ACQUIRE, SETTLE, FORCE, RESET, LOOK, STATS };

static const char *const kinds[] = {
	"acquire (permit, now)", "settle (permit, now, outcome)",
	"force (mode, now)",     "reset (-, now)",
	"read state, epoch",     "read, packed as in read_stats()",
};

#define ACQUIRE_MOVES 3
#define SETTLE_MOVES 5

#define START PMZ_S(100)
#define REST 1000
#define LEASE 300
#define LONG_LEASE PMZ_S(1) /* is never over */
#define SLOW 2000
#define PLACES 2
#define SLOTS LINEAR_OPS
#define NO_WRAP 64
#define WRAP_MAX 3

/* Where states and leases end, and a clock that is behind. */
static const pmz_ns times[] = {
	START - 1,
	START,
	START + REST - 1,
	START + REST,
	START + REST,
	START + REST + LEASE - 1,
	START + REST + LEASE,
	START + SLOW + 1,
	START + 4 * REST,
};

/* How a history begins, and what may happen in it. */
enum company { TRIPS, PROBES, WRAPS, MEDDLED, COMPANIES };

struct box {
	pmz_breaker *b;
	enum company company;
	pmz_breaker_config rule;
	unsigned early[LINEAR_THREADS]; /* so many permits at first */
	unsigned probes; /* and threads that then hold one each for a probe */
	pmz_permit permits[LINEAR_THREADS][SLOTS];
	_Alignas(64) char room[3072];
};

enum kind { NONE, COUNTED, PROBE, SHADOWED, UNLEARNED };

struct ticket {
	uint32_t epoch, number;
	uint32_t kind, place;
};

/* What a settle has found out so far. */
struct mover {
	struct ticket ticket;
	uint32_t mode, number, failures;
	uint32_t is_current, wants; /* a state, 0 for none */
};

/* A number of the state with this epoch. */
struct tally {
	uint32_t epoch, count;
};

struct place {
	struct tally holder; /* the number of its ticket, 0 for none */
	pmz_ns until;
};

struct model {
	pmz_ns until;
	uint32_t state, mode, epoch, level;
	struct tally failed, streak, wins;
	struct place places[PLACES];
	uint32_t tickets_given;
	uint32_t ring[WRAP_MAX]; /* failed, slow << 1 */
	uint32_t total, calls, failures, stale, ignored, trips, would_refuse,
		misused;
	struct ticket tickets[LINEAR_THREADS][SLOTS];
	struct mover movers[LINEAR_THREADS];
};

static const struct box *box_of(const linear_history *h)
{
	return (const struct box *)(const void *)h->memory;
}

/* The histories. */

static void choose_rule(struct box *box, dice *d)
{
	pmz_breaker_config *c = &box->rule;
	int by_streak = dice_once_in(d, 3);
	uint32_t enough = (uint32_t)dice_between(d, 1, 3);

	c->size = sizeof(*c);
	c->open_ns = REST;
	c->open_max_ns = 64 * REST;
	c->open_jitter_pct = PMZ_OFF;
	c->calls_window = c->calls_min = NO_WRAP;
	c->failure_pct = PMZ_OFF;
	c->probes_max = (uint32_t)dice_between(d, 1, PLACES);
	c->probe_lease_ns = c->probes_max == 1 ? LEASE : LONG_LEASE;
	c->probes_to_close = (uint32_t)dice_between(d, 1, 2);
	if (box->company == PROBES)
		enough = 1;
	c->failures_max = by_streak ? PMZ_OFF : enough;
	c->consecutive_max = by_streak ? enough : PMZ_OFF;
	if (box->company != WRAPS)
		return;
	c->calls_window = c->calls_min = (uint32_t)dice_between(d, 1, WRAP_MAX);
	c->slow_ns = SLOW;
	c->failures_max = PMZ_OFF;
	c->consecutive_max = NO_WRAP;
}

static void make_breaker(struct box *box)
{
	if (pmz_breaker_size(&box->rule) > sizeof(box->room) ||
	    pmz_breaker_place(&box->b, box->room, sizeof(box->room), &box->rule,
	                      NULL))
		abort();
}

static void acquire_early(struct box *box, unsigned threads)
{
	unsigned t, i;

	for (t = 0; t < threads; t++)
		for (i = 0; i < box->early[t]; i++)
			if (pmz_breaker_acquire(box->b, START,
			                        &box->permits[t][i], NULL))
				abort();
}

/* Trips it, and perhaps begins to probe. */
static void open_early(struct box *box)
{
	pmz_permit p;
	unsigned t;

	if (pmz_breaker_acquire(box->b, START, &p, NULL) ||
	    pmz_breaker_settle(box->b, &p, PMZ_FAILURE, START))
		abort();
	for (t = 0; t < box->probes; t++)
		if (pmz_breaker_acquire(box->b, START + REST,
		                        &box->permits[t][0], NULL))
			abort();
}

static unsigned any_kind(enum company c, dice *d)
{
	if (dice_once_in(d, 8))
		return LOOK;
	if (c == MEDDLED && dice_once_in(d, 3))
		return dice_once_in(d, 2) ? FORCE : RESET;
	if (c == WRAPS)
		return SETTLE;
	return dice_once_in(d, 2) ? ACQUIRE : SETTLE;
}

static uint64_t any_outcome(dice *d)
{
	if (dice_once_in(d, 8))
		return dice_once_in(d, 2) ? PMZ_IGNORE : PMZ_AGAIN;
	return dice_once_in(d, 2) ? PMZ_SUCCESS : PMZ_FAILURE;
}

/* A permit is settled after it was asked for, most times. */
static void plan_op(linear_history *h, unsigned thread, dice *d,
                    unsigned *asked, unsigned *settled)
{
	unsigned kind = any_kind(box_of(h)->company, d);
	linear_op *op = linear_add(h, thread, kind, 1);

	op->args[1] = times[dice_roll(d) % COUNT(times)];
	switch (kind) {
	case ACQUIRE:
		op->moves = ACQUIRE_MOVES;
		op->args[0] = (*asked)++ % SLOTS;
		break;
	case SETTLE:
		op->moves = SETTLE_MOVES;
		op->args[0] = (*settled)++ % SLOTS;
		op->args[2] = any_outcome(d);
		break;
	case FORCE:
		op->args[0] = dice_between(d, PMZ_ENFORCE, PMZ_DISABLED);
		break;
	default:
		break;
	}
}

static void plan(linear_history *h, dice *d)
{
	struct box *box = (struct box *)(void *)h->memory;
	unsigned t, i;

	box->company = (enum company)(dice_roll(d) % COMPANIES);
	choose_rule(box, d);
	make_breaker(box);
	for (t = 0; t < h->threads; t++)
		box->early[t] = box->company == WRAPS
		                        ? SLOTS
		                        : (unsigned)dice_between(d, 0, 2);
	acquire_early(box, h->threads);
	box->probes = dice_once_in(d, 2) ? box->rule.probes_max : 0;
	if (box->company == PROBES)
		open_early(box);
	for (t = 0; t < h->threads; t++) {
		unsigned asked = box->early[t], settled = 0;

		for (i = 0; i < (h->threads == 3 ? 2 : 4); i++)
			plan_op(h, t, d, &asked, &settled);
	}
	h->last.kind = STATS;
	h->last.moves = 1;
	h->last.args[1] = START;
}

static void read_stats(const pmz_breaker *b, linear_op *op)
{
	pmz_breaker_stats s = { .size = sizeof(s) };

	if (pmz_breaker_read(b, op->args[1], &s))
		abort();
	if (op->kind == LOOK) {
		op->saw[0] = s.state;
		op->saw[1] = s.epoch;
		return;
	}
	op->saw[0] = s.state | (uint64_t)s.epoch << 16;
	op->saw[1] =
		s.calls | s.failures << 16 | s.stale << 32 | s.ignored << 48;
	op->saw[2] = s.trips | s.would_refuse << 16 | s.misused << 32 |
	             (uint64_t)s.window_failures << 48;
	op->saw[3] = s.window_slow | (uint64_t)s.window_calls << 16;
}

static void act(linear_history *h, unsigned thread, linear_op *op)
{
	struct box *box = (struct box *)(void *)h->memory;
	pmz_permit *p =
		&box->permits[thread % LINEAR_THREADS][op->args[0] % SLOTS];
	pmz_ns now = op->args[1];

	switch (op->kind) {
	case ACQUIRE:
		op->saw[0] = (uint64_t)pmz_breaker_acquire(box->b, now, p,
		                                           &op->saw[1]);
		break;
	case SETTLE:
		op->saw[0] = (uint64_t)pmz_breaker_settle(
			box->b, p, (pmz_outcome)op->args[2], now);
		break;
	case FORCE:
		op->saw[0] = (uint64_t)pmz_breaker_force(
			box->b, (pmz_breaker_mode)op->args[0], now);
		break;
	case RESET:
		pmz_breaker_reset(box->b, now);
		break;
	default:
		read_stats(box->b, op);
	}
}

/* The model. */

static void change(struct model *m, uint32_t state)
{
	m->state = state;
	m->epoch++;
}

/* Counts one more for an epoch, from 0 if it is a new one. */
static uint32_t one_more(struct tally *t, uint32_t epoch)
{
	if (t->epoch != epoch)
		t->count = 0;
	t->epoch = epoch;
	return ++t->count;
}

static void give(struct model *m, struct ticket *t, uint32_t kind)
{
	t->epoch = m->epoch;
	t->number = ++m->tickets_given;
	t->kind = kind;
	t->place = 0;
}

static void open_up(struct model *m, pmz_ns now)
{
	m->until = now + ((pmz_ns)REST << m->level);
	m->level++;
	m->trips++;
	change(m, PMZ_OPEN);
}

static int is_special(uint32_t mode)
{
	return mode == PMZ_ISOLATED || mode == PMZ_DISABLED;
}

static void arrive(struct model *m, pmz_ns now)
{
	if (!is_special(m->mode) && m->state == PMZ_OPEN && now >= m->until)
		change(m, PMZ_HALF_OPEN);
}

static int refuse(struct model *m, struct ticket *t, const linear_op *op,
                  int is_legal)
{
	if (m->mode == PMZ_SHADOW) {
		m->would_refuse++;
		give(m, t, SHADOWED);
		return op->saw[0] == PMZ_OK;
	}
	return op->saw[0] == PMZ_REFUSED_OPEN && is_legal;
}

static int is_held(const struct model *m, const struct place *p)
{
	return p->holder.count && p->holder.epoch == m->epoch;
}

static void take_place(const struct box *box, struct model *m, struct ticket *t,
                       uint32_t place, pmz_ns now)
{
	struct place *p = &m->places[place];
	pmz_ns lease = box->rule.probe_lease_ns;

	give(m, t, PROBE);
	t->place = place;
	p->holder.epoch = m->epoch;
	p->holder.count = t->number;
	if (p->until < now + lease)
		p->until = now + lease;
}

static void start(const linear_history *h, void *state)
{
	const struct box *box = box_of(h);
	struct model *m = state;
	unsigned t, i;

	m->state = PMZ_CLOSED;
	m->mode = PMZ_ENFORCE;
	m->epoch = 1;
	for (t = 0; t < h->threads; t++)
		for (i = 0; i < box->early[t]; i++)
			give(m, &m->tickets[t][i], COUNTED);
	if (box->company != PROBES)
		return;
	m->total = m->calls = m->failures = 1;
	open_up(m, START);
	if (box->probes)
		change(m, PMZ_HALF_OPEN);
	for (t = 0; t < box->probes; t++)
		take_place(box, m, &m->tickets[t][0], t, START + REST);
}

/* A grant needs a place; a refusal, somebody who holds one. */
static int probe(const struct box *box, struct model *m, struct ticket *t,
                 const linear_op *op)
{
	uint32_t i, held = 0, wide_open = box->rule.probes_max;
	int is_granted = op->saw[0] == PMZ_OK;

	for (i = 0; i < box->rule.probes_max; i++) {
		struct place *p = &m->places[i];

		if (is_held(m, p))
			held++;
		if (wide_open == box->rule.probes_max &&
		    (!is_held(m, p) || op->args[1] >= p->until))
			wide_open = i;
	}
	if (is_granted && wide_open < box->rule.probes_max) {
		take_place(box, m, t, wide_open, op->args[1]);
		return 1;
	}
	return held && refuse(m, t, op, 1);
}

static int step_acquire(const struct box *box, struct model *m, unsigned thread,
                        const linear_op *op, unsigned move)
{
	struct ticket *t = &m->tickets[thread][op->args[0]];

	arrive(m, op->args[1]);
	if (move + 1 < ACQUIRE_MOVES)
		return 1;
	memset(t, 0, sizeof(*t));
	if (m->mode == PMZ_ISOLATED)
		return refuse(m, t, op, op->saw[1] == PMZ_NEVER);
	if (m->mode == PMZ_DISABLED || m->state == PMZ_CLOSED) {
		give(m, t, m->mode == PMZ_DISABLED ? UNLEARNED : COUNTED);
		return op->saw[0] == PMZ_OK;
	}
	if (m->state == PMZ_OPEN)
		return refuse(m, t, op, op->saw[1] == m->until);
	return probe(box, m, t, op);
}

static int is_bad(const linear_op *op)
{
	return op->args[2] != PMZ_SUCCESS;
}

static int is_counted(const linear_op *op)
{
	return op->args[2] == PMZ_SUCCESS || op->args[2] == PMZ_FAILURE;
}

static int look(struct model *m, struct mover *v, struct ticket *t,
                const linear_op *op)
{
	memset(v, 0, sizeof(*v));
	v->ticket = *t;
	v->mode = m->mode;
	v->is_current = t->epoch == m->epoch && is_counted(op);
	memset(t, 0, sizeof(*t));
	if (v->ticket.kind == NONE) {
		m->misused++;
		return op->saw[0] == (uint64_t)PMZ_E_STATE;
	}
	if (v->ticket.kind == UNLEARNED)
		v->is_current = 0;
	else if (v->ticket.epoch != m->epoch)
		m->stale++;
	else if (!is_counted(op))
		m->ignored++;
	return op->saw[0] == PMZ_OK;
}

static void count_life(struct model *m, const linear_op *op)
{
	m->calls++;
	m->failures += (uint32_t)is_bad(op);
}

static void count(const struct box *box, struct model *m, struct mover *v,
                  const linear_op *op)
{
	uint32_t epoch = v->ticket.epoch;
	int is_slow = op->args[1] > START + SLOW;

	count_life(m, op);
	if (box->company == WRAPS)
		m->ring[v->number % box->rule.calls_window] =
			(uint32_t)is_bad(op) | (uint32_t)is_slow << 1;
	/* Nothing is known of an epoch after the next has begun to count. */
	if (m->failed.epoch <= epoch && is_bad(op))
		v->failures = one_more(&m->failed, epoch);
	if (m->streak.epoch > epoch)
		return;
	if (is_bad(op))
		one_more(&m->streak, epoch);
	else
		m->streak = (struct tally){ epoch, 0 };
}

static void judge(const struct box *box, const struct model *m, struct mover *v,
                  const linear_op *op)
{
	uint32_t streak =
		m->streak.epoch == v->ticket.epoch ? m->streak.count : 0;

	if (is_bad(op) && (v->failures >= box->rule.failures_max ||
	                   streak >= box->rule.consecutive_max))
		v->wants = PMZ_OPEN;
}

static int is_as_looked_at(const struct model *m, const struct mover *v)
{
	return m->epoch == v->ticket.epoch && m->mode == v->mode;
}

static void judge_probe(const struct box *box, struct model *m, struct mover *v,
                        const linear_op *op)
{
	const struct place *p = &m->places[v->ticket.place];
	int own = p->holder.epoch == v->ticket.epoch &&
	          p->holder.count == v->ticket.number;

	if (is_bad(op) && !own) {
		m->stale++;
		return;
	}
	count_life(m, op);
	if (is_bad(op))
		v->wants = PMZ_OPEN;
	else if ((m->wins.epoch == v->ticket.epoch || is_as_looked_at(m, v)) &&
	         one_more(&m->wins, v->ticket.epoch) >=
	                 box->rule.probes_to_close)
		v->wants = PMZ_CLOSED;
}

static void move_state(struct model *m, const struct mover *v, pmz_ns now)
{
	if (!v->wants || !is_as_looked_at(m, v))
		return;
	if (v->wants == PMZ_OPEN)
		open_up(m, now);
	else
		change(m, PMZ_CLOSED);
}

static void leave_place(struct model *m, const struct mover *v)
{
	struct tally *holder = &m->places[v->ticket.place].holder;

	if (holder->epoch == v->ticket.epoch &&
	    holder->count == v->ticket.number)
		holder->count = 0;
}

static void settle_probe(const struct box *box, struct model *m,
                         struct mover *v, const linear_op *op, unsigned move)
{
	if (move == 2 && v->is_current)
		judge_probe(box, m, v, op);
	if (move == 3)
		move_state(m, v, op->args[1]);
	if (move == 4)
		leave_place(m, v);
}

static void settle_closed(const struct box *box, struct model *m,
                          struct mover *v, const linear_op *op, unsigned move)
{
	if (move == 1)
		v->number = m->total++;
	if (move == 2)
		count(box, m, v, op);
	if (move == 3)
		judge(box, m, v, op);
	if (move == 4)
		move_state(m, v, op->args[1]);
}

static int step_settle(const struct box *box, struct model *m, unsigned thread,
                       const linear_op *op, unsigned move)
{
	struct mover *v = &m->movers[thread];

	if (!move)
		return look(m, v, &m->tickets[thread][op->args[0]], op);
	if (v->ticket.kind == PROBE)
		settle_probe(box, m, v, op, move);
	else if (v->is_current && v->ticket.kind == COUNTED)
		settle_closed(box, m, v, op, move);
	else if (v->is_current && move == 1)
		count_life(m, op);
	return 1;
}

static int step_force(struct model *m, const linear_op *op)
{
	uint32_t before = m->mode;

	m->mode = (uint32_t)op->args[0];
	if (m->mode != before && (is_special(m->mode) || is_special(before))) {
		m->level = 0;
		change(m, m->mode == PMZ_ISOLATED ? PMZ_OPEN : PMZ_CLOSED);
	}
	return op->saw[0] == PMZ_OK;
}

static uint64_t of_ring(const struct box *box, const struct model *m,
                        unsigned bit)
{
	uint64_t sum = 0;
	uint32_t i;

	for (i = 0; i < box->rule.calls_window; i++)
		sum += m->ring[i] >> bit & 1;
	return sum;
}

static uint64_t window_failures(const struct box *box, const struct model *m)
{
	if (m->state != PMZ_CLOSED)
		return 0;
	if (box->company == WRAPS)
		return of_ring(box, m, 0);
	return m->failed.epoch == m->epoch ? m->failed.count : 0;
}

static uint64_t window_calls(const struct box *box, const struct model *m)
{
	return m->total < box->rule.calls_window ? m->total
	                                         : box->rule.calls_window;
}

static int check_stats(const struct box *box, const struct model *m,
                       const linear_op *op)
{
	const uint64_t *saw = op->saw;

	if (saw[0] != (m->state | (uint64_t)m->epoch << 16) ||
	    saw[1] != (m->calls | (uint64_t)m->failures << 16 |
	               (uint64_t)m->stale << 32 | (uint64_t)m->ignored << 48))
		return 0;
	if (saw[2] !=
	    (m->trips | (uint64_t)m->would_refuse << 16 |
	     (uint64_t)m->misused << 32 | window_failures(box, m) << 48))
		return 0;
	if (box->company == WRAPS && (saw[3] & 0xffff) != of_ring(box, m, 1))
		return 0;
	return m->epoch > 1 || saw[3] >> 16 == window_calls(box, m);
}

static int step(const linear_history *h, void *state, unsigned thread,
                const linear_op *op, unsigned move)
{
	const struct box *box = box_of(h);
	struct model *m = state;

	switch (op->kind) {
	case ACQUIRE:
		return step_acquire(box, m, thread, op, move);
	case SETTLE:
		return step_settle(box, m, thread, op, move);
	case FORCE:
		return step_force(m, op);
	case RESET:
		m->level = 0;
		change(m, m->mode == PMZ_ISOLATED ? PMZ_OPEN : PMZ_CLOSED);
		return 1;
	case LOOK:
		return op->saw[0] == m->state && op->saw[1] == m->epoch;
	default:
		return check_stats(box, m, op);
	}
}

static const linear_guard breaker = {
	.name = "breaker",
	.kinds = kinds,
	.state_size = sizeof(struct model),
	.plan = plan,
	.act = act,
	.start = start,
	.step = step,
};

START_TEST(a_breaker_answers_as_if_its_callers_took_turns)
{
	ck_assert(linear_passes(&breaker));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("linear_breaker");
	TCase *all = tcase_create("histories");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, all);
	tcase_set_timeout(all, 300);
	tcase_add_test(all, a_breaker_answers_as_if_its_callers_took_turns);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
