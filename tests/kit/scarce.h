/*
 * scarce.h - memory that runs out, in the place of lib/base/alloc.c.
 *
 *   for (n = 1;; n++) {
 *       scarce_fail(n);
 *       status = pmz_ring_new(&ring, ...);
 *       if (!scarce_end())
 *           break;
 *       expect_status(status, PMZ_E_NOMEM);
 *       assert_int_equal(scarce_live(), 0);
 *   }
 *
 * All that the library allocates comes by here, which tests/abi/ checks. It is
 * included by one file of a program, whose pmz__alloc() this is: the library's
 * own is then not linked.
 *
 * Threads: any, except that one at a time sets what fails.
 */
#ifndef KIT_SCARCE_H
#define KIT_SCARCE_H

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/atomic.h"

static struct {
	pthread_mutex_t mutex;
	unsigned until_failure; /* 0: none fails */
	unsigned failed;
	int for_good;
	int live;
	size_t size_max; /* 0: any size is there */
} scarce = { .mutex = PTHREAD_MUTEX_INITIALIZER };

static inline void scarce_begin(unsigned nth, int for_good)
{
	pthread_mutex_lock(&scarce.mutex);
	scarce.until_failure = nth;
	scarce.for_good = for_good;
	scarce.failed = 0;
	pthread_mutex_unlock(&scarce.mutex);
}

/* The n-th allocation from here on fails, counted from 1. */
static inline void scarce_fail(unsigned nth)
{
	scarce_begin(nth, 0);
}

/* The n-th fails, and so do all that follow. */
static inline void scarce_fail_from(unsigned nth)
{
	scarce_begin(nth, 1);
}

/* What is larger than that fails; 0: nothing is. */
static inline void scarce_limit(size_t size_max)
{
	scarce.size_max = size_max;
}

/* How many have failed so far. */
static inline unsigned scarce_failed(void)
{
	unsigned failed;

	pthread_mutex_lock(&scarce.mutex);
	failed = scarce.failed;
	pthread_mutex_unlock(&scarce.mutex);
	return failed;
}

/* From here on there is memory; returns how many have failed. */
static inline unsigned scarce_end(void)
{
	unsigned failed = scarce_failed();

	scarce_begin(0, 0);
	return failed;
}

/* Allocations that nobody has freed. */
static inline int scarce_live(void)
{
	int live;

	pthread_mutex_lock(&scarce.mutex);
	live = scarce.live;
	pthread_mutex_unlock(&scarce.mutex);
	return live;
}

/* Whether an allocation of this size, which it counts, is to fail: also for an
 * allocator of another's. */
static inline int scarce_refuses(size_t size)
{
	int refuses;

	pthread_mutex_lock(&scarce.mutex);
	refuses = scarce.until_failure == 1 ||
	          (scarce.size_max && size > scarce.size_max);
	if (scarce.until_failure > 1 ||
	    (scarce.until_failure == 1 && !scarce.for_good))
		scarce.until_failure--;
	scarce.failed += (unsigned)refuses;
	pthread_mutex_unlock(&scarce.mutex);
	return refuses;
}

static inline void scarce_count(int more)
{
	pthread_mutex_lock(&scarce.mutex);
	scarce.live += more;
	pthread_mutex_unlock(&scarce.mutex);
}

void *pmz__alloc(size_t size)
{
	size_t whole = (size + PMZ__CACHE_LINE - 1) / PMZ__CACHE_LINE *
	               PMZ__CACHE_LINE;
	void *memory;

	if (scarce_refuses(size))
		return NULL;
	memory = aligned_alloc(PMZ__CACHE_LINE, whole);
	if (!memory) {
		fputs("scarce: the machine has no memory\n", stderr);
		abort();
	}
	scarce_count(1);
	return memset(memory, 0, whole);
}

void pmz__free(void *memory)
{
	scarce_count(-(memory != NULL));
	free(memory);
}

#endif
