/*
 * linear.h - whether what some threads saw of one object is what they could
 * have seen if they had taken turns.
 *
 * Wing and Gong, "Testing and verifying concurrent objects" (1993): each
 * operation of a history has an interval, from its call to its return; the
 * history is linearizable if there is an instant in each interval such that the
 * operations, one by one in the order of these instants, give the answers that
 * were seen. All orders are tried against a model of the object for one thread.
 *
 * An operation may be several moves in a row, each with an instant of its own:
 * where an object promises no more than that, this says exactly what it does
 * promise.
 *
 * Threads run one short history after another, released together each time. Of
 * stamps they write one for an operation, when it is over: the order is that in
 * which one operation is seen to have ended before another begins.
 */
#ifndef KIT_LINEAR_H
#define KIT_LINEAR_H

#include <stddef.h>
#include <stdint.h>

#include "dice.h"

#define LINEAR_THREADS 3
#define LINEAR_OPS 4 /* of one thread */
#define LINEAR_ARGS 4
#define LINEAR_STATE 640 /* bytes of a model */
#define LINEAR_MEMORY 4096

typedef struct linear_op {
	unsigned kind;  /* the guard's own number */
	unsigned moves; /* of which it consists, at least one */
	unsigned idle;  /* turns of an empty loop before it */
	uint64_t args[LINEAR_ARGS];
	uint64_t saw[LINEAR_ARGS];
	uint64_t call, back;
} linear_op;

typedef struct linear_history {
	int seed;
	unsigned threads;
	unsigned count[LINEAR_THREADS];
	linear_op ops[LINEAR_THREADS][LINEAR_OPS];
	linear_op last; /* by one thread, when all are done */
	/* What the guard keeps with it: the object, permits, rules. */
	_Alignas(64) char memory[LINEAR_MEMORY];
} linear_history;

typedef struct linear_guard {
	const char *name;
	const char *const *kinds; /* what its operations are called */
	size_t state_size;
	/* A new object, and what each thread is to do with it. */
	void (*plan)(linear_history *h, dice *d);
	void (*act)(linear_history *h, unsigned thread, linear_op *op);
	/* The model when nobody has done anything. */
	void (*start)(const linear_history *h, void *state);
	/* One move of an operation; 0 if it cannot have seen what it saw. The
	 * last operation comes with LINEAR_THREADS as its thread. */
	int (*step)(const linear_history *h, void *state, unsigned thread,
	            const linear_op *op, unsigned move);
} linear_guard;

/* Adds an operation to what a thread does. */
linear_op *linear_add(linear_history *h, unsigned thread, unsigned kind,
                      unsigned moves);

/* Whether a history that was recorded is one that the model allows. */
int linear_holds(const linear_guard *g, const linear_history *h);

/* Whether two operations of it were under way at once. */
int linear_overlaps(const linear_history *h);

/* Runs histories of a guard and says how many: as many as PIPEMAZE_LINEAR says,
 * 20000 if it does not, and again as many until a quarter of that had calls at
 * once, where there is more than one processor. 0 if one failed, which it
 * prints, or if too few had. */
int linear_passes(const linear_guard *g);

#endif
