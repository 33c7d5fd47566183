/*
 * search.h - a check: threads that use a guard, and what must hold in every
 * interleaving that search.cc tries.
 */
#ifndef PMZ_TESTS_RELACY_SEARCH_H
#define PMZ_TESTS_RELACY_SEARCH_H

#include <stddef.h>
#include <stdint.h>

enum search {
	FULL,  /* all interleavings */
	BOUND, /* all with so many preemptions at most, and fresh loads */
	RANDOM /* so many, seeded by number */
};

/* What the functions of a check know of each other is static, and set up in
 * before(), which runs once for each interleaving. */
struct check {
	const char *claim;
	unsigned threads; /* 2 or 3 */
	enum search search;
	unsigned long limit;
	void (*before)(void);
	void (*thread)(unsigned number);
	void (*after)(void); /* sees all that the threads did */
};

extern const struct check checks[];
extern const size_t checks_count;
extern const unsigned words_max; /* that an interleaving touches */

/* Ends the search with the interleaving that got there. */
void must(int holds, const char *what);

/* Memory that is no atomic: two threads that touch one number, at least one of
 * them to write it, without an order between them, end the search. */
#define PLAIN_MAX 8
void read_plain(unsigned number);
void write_plain(unsigned number);

#endif
