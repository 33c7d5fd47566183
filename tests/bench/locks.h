/*
 * locks.h - the rows on locks.
 */
#ifndef PMZ_TESTS_BENCH_LOCKS_H
#define PMZ_TESTS_BENCH_LOCKS_H

#include "bench.h"

uint64_t ask_is_held(struct lane *lane, uint64_t n);

/* Prints rows of its own, whose ratio is to two commands by hand. */
void locks_measure(void);

#endif
