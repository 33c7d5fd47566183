/*
 * nodes.h - the rows on where a key lives and which endpoint gets a call.
 */
#ifndef PMZ_TESTS_BENCH_NODES_H
#define PMZ_TESTS_BENCH_NODES_H

#include "bench.h"

uint64_t find_of_10(struct lane *lane, uint64_t n);
uint64_t find_of_100(struct lane *lane, uint64_t n);
uint64_t find_of_1000(struct lane *lane, uint64_t n);
uint64_t find_maglev(struct lane *lane, uint64_t n);
uint64_t jump_of_1000(struct lane *lane, uint64_t n);
uint64_t pick_least(struct lane *lane, uint64_t n);
uint64_t pick_ewma(struct lane *lane, uint64_t n);

void nodes_prepare(void);

#endif
