/*
 * calls.c - what more than one benchmark measures.
 *
 * Every call's status is looked at, since the path of an error is often the
 * fastest of all.
 */
#include "calls.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define REST_NS PMZ_S(100000)
#define WAITS_OF_A_CALL 4 /* then the backoff stands at its cap */
#define INLINED static inline __attribute__((always_inline))

typedef pmz_ns instant(struct lane *lane);

void give_up(const char *row, const char *reason)
{
	fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, row,
	        reason);
	exit(1);
}

void must(int status, const char *what)
{
	if (status != PMZ_OK)
		give_up(what, pmz_status_name(status));
}

uint64_t read_clock(void *what, struct lane *lane, uint64_t n)
{
	struct timespec ts;
	uint64_t wrong = 0;

	(void)what;
	(void)lane;
	for (; n; n--)
		wrong += clock_gettime(CLOCK_MONOTONIC, &ts) != 0;
	return wrong;
}

uint64_t pair_mutex(void *what, struct lane *lane, uint64_t n)
{
	uint64_t wrong = 0;

	(void)lane;
	for (; n; n--) {
		wrong += pthread_mutex_lock(what) != 0;
		wrong += pthread_mutex_unlock(what) != 0;
	}
	return wrong;
}

uint64_t pair_semaphore(void *what, struct lane *lane, uint64_t n)
{
	uint64_t wrong = 0;

	(void)lane;
	for (; n; n--) {
		wrong += sem_trywait(what) != 0;
		wrong += sem_post(what) != 0;
	}
	return wrong;
}

/* Inlined, here and below, so that no loop chooses its clock. */
INLINED uint64_t take(struct tap *tap, struct lane *lane, uint64_t n,
                      instant *now, int expected)
{
	uint64_t wrong = 0;

	for (; n; n--)
		wrong += pmz_bucket_take(&tap->bucket, tap->rate, 1, now(lane),
		                         tap->ready_at) != expected;
	return wrong;
}

uint64_t take_token(void *what, struct lane *lane, uint64_t n)
{
	return take(what, lane, n, tick, PMZ_OK);
}

uint64_t take_token_timed(void *what, struct lane *lane, uint64_t n)
{
	return take(what, lane, n, read_fast, PMZ_OK);
}

uint64_t take_no_token(void *what, struct lane *lane, uint64_t n)
{
	return take(what, lane, n, tick, PMZ_REFUSED_RATE);
}

uint64_t take_no_token_timed(void *what, struct lane *lane, uint64_t n)
{
	return take(what, lane, n, read_fast, PMZ_REFUSED_RATE);
}

uint64_t pair_bulkhead(void *what, struct lane *lane, uint64_t n)
{
	pmz_bulkhead **b = what;
	uint64_t wrong = 0;
	pmz_permit permit;

	for (; n; n--) {
		wrong +=
			pmz_bulkhead_acquire(*b, tick(lane), &permit) != PMZ_OK;
		wrong += pmz_bulkhead_settle(*b, &permit, PMZ_SUCCESS,
		                             tick(lane)) != PMZ_OK;
	}
	return wrong;
}

INLINED uint64_t pair(pmz_breaker **b, struct lane *lane, uint64_t n,
                      instant *now)
{
	uint64_t wrong = 0;
	pmz_permit permit;

	for (; n; n--) {
		wrong += pmz_breaker_acquire(*b, now(lane), &permit, NULL) !=
		         PMZ_OK;
		wrong += pmz_breaker_settle(*b, &permit, PMZ_SUCCESS,
		                            now(lane)) != PMZ_OK;
	}
	return wrong;
}

uint64_t pair_breaker(void *what, struct lane *lane, uint64_t n)
{
	return pair(what, lane, n, tick);
}

uint64_t pair_breaker_timed(void *what, struct lane *lane, uint64_t n)
{
	return pair(what, lane, n, read_fast);
}

pmz_breaker *new_open_breaker(pmz_ns now)
{
	pmz_breaker_config resting = { .size = sizeof(resting),
		                       .open_ns = REST_NS,
		                       .consecutive_max = 1 };
	pmz_breaker *b;
	pmz_permit permit;

	must(pmz_breaker_new(&b, &resting, NULL), "pmz_breaker_new");
	must(pmz_breaker_acquire(b, now, &permit, NULL), "open breaker");
	must(pmz_breaker_settle(b, &permit, PMZ_FAILURE, now), "open breaker");
	return b;
}

pmz_backoff new_tries(void)
{
	pmz_backoff_rule rule = { .size = sizeof(rule),
		                  .tries_max = WAITS_OF_A_CALL + 1 };
	pmz_backoff tries;

	must(pmz_backoff_start(&tries, &rule, PMZ_NEVER, 1),
	     "pmz_backoff_start");
	return tries;
}

uint64_t draw_wait(void *what, struct lane *lane, uint64_t n)
{
	const pmz_backoff *fresh = what;
	uint64_t wrong = 0;
	pmz_ns at;

	/* The first is that of a new call. */
	lane->drawn -= lane->drawn % WAITS_OF_A_CALL;
	for (; n; n--) {
		if (lane->drawn++ % WAITS_OF_A_CALL == 0)
			lane->tries = *fresh;
		wrong += pmz_backoff_next(&lane->tries, tick(lane), 0, &at) !=
		         PMZ_OK;
	}
	return wrong;
}

/* Any place of the ring, not those of a few keys. */
uint64_t find_hash(void *what, struct lane *lane, uint64_t n)
{
	pmz_ring **ring = what;
	uint64_t wrong = 0;
	uint32_t node;

	for (; n; n--)
		wrong += pmz_ring_find_hash(*ring, ++lane->drawn * SPREAD,
		                            &node) != PMZ_OK;
	return wrong;
}

uint64_t pick_and_settle(void *what, struct lane *lane, uint64_t n)
{
	pmz_balance **b = what;
	uint64_t wrong = 0;
	pmz_pick picked;

	for (; n; n--) {
		wrong += pmz_balance_pick(*b, NULL, tick(lane), &picked) !=
		         PMZ_OK;
		wrong += pmz_balance_settle(*b, &picked, PMZ_SUCCESS,
		                            tick(lane)) != PMZ_OK;
	}
	return wrong;
}
