/*
 * lanes.h - slices of calls, on one thread or on two at once.
 */
#ifndef PMZ_TESTS_BENCH_LANES_H
#define PMZ_TESTS_BENCH_LANES_H

#include <stddef.h>

#include "calls.h"

#define CHUNK 64 /* calls between two looks at whether the other is done */
#define NO_CPU SIZE_MAX

struct slice {
	double ns;
	uint64_t wrong;
	long interruptions; /* how often a thread lost its CPU to another */
};

/* The calling thread stays on `first` from here on, and the second one on
 * `second`, if that is not NO_CPU. */
void lanes_start(size_t first, size_t second);

/* The second thread, if there are to be two, does the same on the same object
 * meanwhile; the ns are then for n calls of one of them. */
struct slice lanes_run(int threads, calls *run, void *what, uint64_t n);

pmz_ns lanes_now(void); /* the latest that a call was handed */

#endif
