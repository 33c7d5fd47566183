/*
 * calls.h - what more than one benchmark measures: `bench`, `instructions` and
 * the harness of peers.
 */
#ifndef PMZ_TESTS_BENCH_CALLS_H
#define PMZ_TESTS_BENCH_CALLS_H

#include <pipemaze.h>

#define STEP_NS 100 /* between two calls on one lane: ten million a second */
#define SPREAD 0x9e3779b97f4a7c15u /* times a counter: a hash */

/* What a thread has to itself: on a line of its own, so that two threads share
 * what they measure and nothing else. */
struct lane {
	_Alignas(64) pmz_ns now;
	uint64_t drawn; /* keys, or waits */
	pmz_backoff tries;
	pmz_fast_clock clock;
};

/* Makes n calls on `what` and returns how many of them did not end as the row
 * claims. Those that end in _timed read a clock each time; to the others `now`
 * is a number that goes up. */
typedef uint64_t calls(void *what, struct lane *lane, uint64_t n);

/* A bucket with nothing else on its line, such as a rate that two threads
 * read. */
struct tap {
	_Alignas(64) pmz_bucket bucket;
	_Alignas(64) const pmz_rate *rate;
	pmz_ns *ready_at; /* NULL if nobody asks */
};

calls read_clock;                         /* of nothing */
calls pair_mutex;                         /* of a pthread_mutex_t */
calls pair_semaphore;                     /* of a sem_t */
calls take_token, take_token_timed;       /* of a struct tap */
calls take_no_token, take_no_token_timed; /* of one that is empty */
calls pair_bulkhead;                      /* of a pmz_bulkhead * */
calls pair_breaker, pair_breaker_timed;   /* of a pmz_breaker * */
calls draw_wait;                          /* of new_tries() */
calls find_hash;                          /* of a pmz_ring * */
calls pick_and_settle;                    /* of a pmz_balance * */

pmz_backoff new_tries(void);
pmz_breaker *new_open_breaker(pmz_ns now); /* for longer than it is measured */

_Noreturn void give_up(const char *row, const char *reason);
void must(int status, const char *what);

static inline pmz_ns tick(struct lane *lane)
{
	return lane->now += STEP_NS;
}

static inline pmz_ns read_fast(struct lane *lane)
{
	return pmz_now_fast(&lane->clock);
}

#endif
