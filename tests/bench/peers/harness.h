/*
 * harness.h - a row that this process can run, when it is told to.
 */
#ifndef PMZ_TESTS_BENCH_PEERS_HARNESS_H
#define PMZ_TESTS_BENCH_PEERS_HARNESS_H

#include <pipemaze.h>

#define OURS "libpipemaze"

/* What a thread has to itself, on lines of its own. */
struct lane {
	_Alignas(64) pmz_ns now;
	uint64_t drawn; /* keys */
	pmz_backoff tries;
	pmz_fast_clock clock;
};

/* `run` makes n calls on `what` and returns how many of them did not end as the
 * row claims. `note` says what the peer does more or less than ours. */
struct entry {
	const char *row, *peer;
	int threads;
	uint64_t (*run)(void *what, struct lane *lane, uint64_t n);
	void *what;
	const char *note;
};

extern const struct entry ours[], beside[];
extern const unsigned ours_count, beside_count;

/* What both have to look up. The number of keys is a power of two. */
#define KEYS 4096
#define KEY_LEN 12
#define NODES_MAX 100000
#define NAME_LEN 24

extern char keys[KEYS][KEY_LEN + 1];
extern char names[NODES_MAX][NAME_LEN]; /* 10.x.y.z:11211 */

_Noreturn void give_up(const char *row, const char *reason);

void ours_prepare(void);
void beside_prepare(void);
unsigned redis_port(void); /* 0: there is no server */

#endif
