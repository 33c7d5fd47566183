/*
 * harness.h - a row that this process can run, when it is told to.
 */
#ifndef PMZ_TESTS_BENCH_PEERS_HARNESS_H
#define PMZ_TESTS_BENCH_PEERS_HARNESS_H

#include "../calls.h"

#define OURS "libpipemaze"

/* `note` says what the peer does more or less than ours. */
struct entry {
	const char *row, *peer;
	int threads;
	calls *run;
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

void ours_prepare(void);
void beside_prepare(void);
unsigned redis_port(void); /* 0: there is no server */

#endif
