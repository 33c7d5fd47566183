/*
 * locks.h - the rows on locks.
 */
#ifndef PMZ_TESTS_BENCH_LOCKS_H
#define PMZ_TESTS_BENCH_LOCKS_H

#include "bench.h"

calls ask_is_held; /* of nothing */

/* Prints rows of its own, whose ratio is to two commands by hand. */
void locks_measure(void);

#endif
