/*
 * bench.h - what the parts of the benchmark know of each other.
 */
#ifndef PMZ_TESTS_BENCH_H
#define PMZ_TESTS_BENCH_H

#include "calls.h"

/* One line of the table. `check`, if any, tells what no status tells. */
struct row {
	const char *name;
	int threads;
	calls *run;
	void *what;
	int (*check)(void *what, pmz_ns now);
};

extern const struct row rows[];
extern const unsigned rows_count;

void rows_prepare(void);
void rows_print_bytes(void);

/* Since the program began, by anyone: the library's calls come here too. */
uint64_t allocations(void);
uint64_t allocated_bytes(void);

#endif
