/*
 * linear.c - whether what some threads saw of one object is what they could
 * have seen if they had taken turns.
 */
#include "linear.h"

#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crew.h"

#define HISTORIES 20000
#define OVERLAP_PCT 25 /* of them have calls at once */
#define ROUNDS_MAX 50  /* of histories, until they have */
#define BATCH 32       /* histories that run between two checks */
#define SPINS 5000
#define SEEN_BITS 14 /* of the table of what the search has been at */
#define SEEN_TRIES 64

/* Where a search has got to: so many operations of each thread are over, and so
 * many moves of the next one. */
typedef struct place {
	unsigned op[LINEAR_THREADS], move[LINEAR_THREADS];
} place;

typedef struct search {
	const linear_guard *guard;
	const linear_history *history;
	uint64_t seen[1 << SEEN_BITS];
} search;

linear_op *linear_add(linear_history *h, unsigned thread, unsigned kind,
                      unsigned moves)
{
	linear_op *op = &h->ops[thread][h->count[thread]++];

	op->kind = kind;
	op->moves = moves;
	return op;
}

static const linear_op *next_of(const search *s, const place *at, unsigned t)
{
	const linear_history *h = s->history;

	return t < h->threads && at->op[t] < h->count[t] ? &h->ops[t][at->op[t]]
	                                                 : NULL;
}

/* Nobody's next operation had ended when it began. */
static int may_be_next(const search *s, const place *at, const linear_op *op)
{
	unsigned t;

	for (t = 0; t < LINEAR_THREADS; t++) {
		const linear_op *other = next_of(s, at, t);

		if (other && other->back <= op->call)
			return 0;
	}
	return 1;
}

static uint64_t mixed(uint64_t hash, const void *bytes, size_t size)
{
	const unsigned char *byte = bytes;

	while (size--)
		hash = (hash ^ *byte++) * 0x100000001b3u;
	return hash;
}

/* Says whether the search has been here, and notes it. What no longer fits is
 * only searched twice. Two places of one hash would raise a false alarm, which
 * its seed tells from a true one. */
static int been_here(search *s, const place *at, const void *state)
{
	uint64_t hash = mixed(0xcbf29ce484222325u, at, sizeof(*at));
	unsigned i;

	hash = mixed(hash, state, s->guard->state_size) | 1;
	for (i = 0; i < SEEN_TRIES; i++) {
		size_t slot = ((hash >> 20) + i) & ((1 << SEEN_BITS) - 1);

		if (s->seen[slot] == hash)
			return 1;
		if (!s->seen[slot]) {
			s->seen[slot] = hash;
			return 0;
		}
	}
	return 0;
}

static void go_on(place *at, unsigned thread, const linear_op *op)
{
	if (++at->move[thread] < op->moves)
		return;
	at->move[thread] = 0;
	at->op[thread]++;
}

static int search_from(search *s, const place *at, const void *state)
{
	const linear_history *h = s->history;
	uint64_t next[LINEAR_STATE / sizeof(uint64_t)];
	unsigned t, left = 0;

	for (t = 0; t < h->threads; t++) {
		const linear_op *op = next_of(s, at, t);
		place then = *at;

		if (!op)
			continue;
		left++;
		if (!may_be_next(s, at, op))
			continue;
		memcpy(next, state, s->guard->state_size);
		if (!s->guard->step(h, next, t, op, at->move[t]))
			continue;
		go_on(&then, t, op);
		if (!been_here(s, &then, next) && search_from(s, &then, next))
			return 1;
	}
	if (left)
		return 0;
	memcpy(next, state, s->guard->state_size);
	return s->guard->step(h, next, LINEAR_THREADS, &h->last, 0);
}

int linear_holds(const linear_guard *g, const linear_history *h)
{
	static search s; /* one search at a time */
	uint64_t state[LINEAR_STATE / sizeof(uint64_t)];
	const place first = { { 0 }, { 0 } };

	if (g->state_size > sizeof(state))
		abort();
	memset(&s, 0, sizeof(s));
	memset(state, 0, sizeof(state));
	s.guard = g;
	s.history = h;
	g->start(h, state);
	return search_from(&s, &first, state);
}

static int are_at_once(const linear_op *a, const linear_op *b)
{
	return a->back > b->call && b->back > a->call;
}

int linear_overlaps(const linear_history *h)
{
	unsigned t, u, i, j;

	for (t = 0; t < h->threads; t++)
		for (u = 0; u < t; u++)
			for (i = 0; i < h->count[t]; i++)
				for (j = 0; j < h->count[u]; j++)
					if (are_at_once(&h->ops[t][i],
					                &h->ops[u][j]))
						return 1;
	return 0;
}

static void print_numbers(const char *what, const uint64_t *numbers)
{
	unsigned i;

	fprintf(stderr, " %s", what);
	for (i = 0; i < LINEAR_ARGS; i++)
		fprintf(stderr, " %" PRIu64, numbers[i]);
}

static void print_op(const linear_guard *g, const linear_op *op)
{
	fprintf(stderr, "  [%" PRIu64 ", %" PRIu64 "] %s", op->call, op->back,
	        g->kinds[op->kind]);
	print_numbers("of", op->args);
	print_numbers("saw", op->saw);
	fputc('\n', stderr);
}

static void print(const linear_guard *g, const linear_history *h)
{
	unsigned t, i;

	fprintf(stderr, "%s: no order of seed %d is legal\n", g->name, h->seed);
	for (t = 0; t < h->threads; t++) {
		fprintf(stderr, " thread %u\n", t);
		for (i = 0; i < h->count[t]; i++)
			print_op(g, &h->ops[t][i]);
	}
	fprintf(stderr, " when all are done\n");
	print_op(g, &h->last);
}

/* A batch on its way. Each history has a clock of its own, which counts what is
 * over, and a gate that opens when all are there. */
typedef struct lane {
	_Alignas(64) _Atomic uint64_t clock;
	_Alignas(64) _Atomic unsigned here;
} lane;

typedef struct run {
	const linear_guard *guard;
	int seed, end;
	int batch; /* histories in this one */
	linear_history histories[BATCH];
	lane lanes[BATCH];
	int failed;
	int overlapping;
} run;

static void wait_for_all(lane *l, unsigned threads)
{
	unsigned spins = 0;

	atomic_fetch_add(&l->here, 1);
	while (atomic_load(&l->here) < threads)
		if (++spins % SPINS == 0)
			sched_yield();
}

static void idle(unsigned turns)
{
	volatile unsigned turn;

	for (turn = 0; turn < turns; turn++)
		;
}

/* Release and acquire: who sees that an operation is over sees what it did. */
static void act(run *r, lane *l, linear_history *h, unsigned who)
{
	unsigned i;

	for (i = 0; i < h->count[who]; i++) {
		linear_op *op = &h->ops[who][i];

		idle(op->idle);
		op->call =
			atomic_load_explicit(&l->clock, memory_order_acquire);
		r->guard->act(h, who, op);
		op->back = 1 + atomic_fetch_add_explicit(&l->clock, 1,
		                                         memory_order_acq_rel);
	}
}

static void plan(run *r, int i)
{
	linear_history *h = &r->histories[i];
	dice d = dice_of(r->seed);
	unsigned t, n;

	memset(h, 0, sizeof(*h));
	h->seed = r->seed++;
	/* A third thread needs a third processor, or waits for its turn. */
	h->threads = dice_once_in(&d, 8) ? 3 : 2;
	r->guard->plan(h, &d);
	for (t = 0; t < h->threads; t++)
		for (n = 0; n < h->count[t]; n++)
			h->ops[t][n].idle = (unsigned)dice_sized(&d, 6);
	atomic_init(&r->lanes[i].clock, 0);
	atomic_init(&r->lanes[i].here, 0);
}

static void plan_batch(run *r)
{
	r->batch = 0;
	while (r->batch < BATCH && r->seed < r->end)
		plan(r, r->batch++);
}

static void judge(run *r, linear_history *h)
{
	r->guard->act(h, LINEAR_THREADS, &h->last);
	r->overlapping += linear_overlaps(h);
	if (r->failed || linear_holds(r->guard, h))
		return;
	r->failed = 1;
	print(r->guard, h);
}

static void judge_batch(run *r)
{
	int i;

	for (i = 0; i < r->batch; i++)
		judge(r, &r->histories[i]);
}

/* The processors that this process may use. */
static int processors(cpu_set_t *set)
{
	CPU_ZERO(set);
	return sched_getaffinity(0, sizeof(*set), set) ? 0 : CPU_COUNT(set);
}

/* Threads that share a processor are never at it at once, and are seldom moved
 * apart while they wait for each other. */
static void keep_apart(unsigned who)
{
	cpu_set_t all, own;
	int count = processors(&all);
	int before = count > 1 ? (int)who % count : count;
	size_t cpu;

	CPU_ZERO(&own);
	for (cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &all) && before-- == 0)
			CPU_SET(cpu, &own);
	if (CPU_COUNT(&own))
		pthread_setaffinity_np(pthread_self(), sizeof(own), &own);
}

static void run_batches(unsigned who, void *ctx)
{
	run *r = ctx;
	int i;

	keep_apart(who);
	for (;;) {
		if (!who)
			plan_batch(r);
		crew_meet();
		if (!r->batch)
			return;
		for (i = 0; i < r->batch; i++) {
			if (who >= r->histories[i].threads)
				continue;
			wait_for_all(&r->lanes[i], r->histories[i].threads);
			act(r, &r->lanes[i], &r->histories[i], who);
		}
		crew_meet();
		if (!who)
			judge_batch(r);
	}
}

int linear_passes(const linear_guard *g)
{
	static run r;
	const char *asked = getenv("PIPEMAZE_LINEAR");
	int count = asked ? atoi(asked) : HISTORIES, round, enough;
	cpu_set_t all;

	memset(&r, 0, sizeof(r));
	r.guard = g;
	enough = processors(&all) > 1 ? count / 100 * OVERLAP_PCT : 0;
	for (round = 0; round < ROUNDS_MAX && !r.failed; round++) {
		if (round && r.overlapping >= enough)
			break;
		r.end = r.seed + count;
		crew_run(LINEAR_THREADS, run_batches, &r);
	}
	printf("%s: %d histories, %d of them with calls at once\n", g->name,
	       r.seed, r.overlapping);
	return !r.failed && r.overlapping >= enough;
}
