/*
 * bench.h - what the parts of the benchmark know of each other.
 */
#ifndef PMZ_TESTS_BENCH_H
#define PMZ_TESTS_BENCH_H

#include <pipemaze.h>

/* What a thread has to itself: on a line of its own, so that two threads share
 * what they measure and nothing else. */
struct lane {
	_Alignas(64) pmz_ns now;
	uint64_t drawn; /* keys, or waits */
	pmz_backoff tries;
	pmz_fast_clock clock;
};

/* One line of the table. `run` makes n calls and returns how many of them did
 * not end as the row claims; `check`, if any, tells what no status tells. */
struct row {
	const char *name;
	int threads;
	uint64_t (*run)(struct lane *lane, uint64_t n);
	int (*check)(pmz_ns now);
};

extern const struct row rows[];
extern const unsigned rows_count;

void rows_prepare(void);
void rows_print_bytes(void);

/* Since the program began, by anyone: the library's calls come here too. */
uint64_t allocations(void);
uint64_t allocated_bytes(void);

_Noreturn void give_up(const char *row, const char *reason);

#endif
