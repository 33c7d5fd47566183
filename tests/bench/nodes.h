/*
 * nodes.h - the rows on where a key lives and which endpoint gets a call.
 */
#ifndef PMZ_TESTS_BENCH_NODES_H
#define PMZ_TESTS_BENCH_NODES_H

#include <pipemaze.h>

extern pmz_ring *ring_of_10, *ring_of_100, *ring_of_1000, *maglev;
extern pmz_balance *least, *ewma;

void nodes_prepare(void);

#endif
