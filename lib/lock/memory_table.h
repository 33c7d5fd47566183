/*
 * memory_table.h - keys with a value and an end, as a server keeps them.
 *
 * A key is gone from the instant on at which it ends. What has ended is swept
 * away a little at a time, so that the table is as large as what lives in it.
 * Threads: one at a time per table.
 */
#ifndef PMZ_LIB_LOCK_MEMORY_TABLE_H
#define PMZ_LIB_LOCK_MEMORY_TABLE_H

#include <pipemaze/base.h>

/* Bytes that need no NUL behind them. */
typedef struct pmz__word {
	const char *at;
	size_t len;
} pmz__word;

typedef struct pmz__record {
	struct pmz__record *next;
	uint64_t hash;
	pmz_ns ends;
	uint64_t number; /* the value of a fence; else 0 */
	size_t key_len;
	size_t value_len;
	char text[]; /* the key and, behind it, the value */
} pmz__record;

typedef struct pmz__table {
	uint64_t hash_key[2];
	pmz__record **chains;
	uint64_t size; /* chains, a power of two */
	uint64_t count;
	uint64_t swept; /* the chain that is swept next */
} pmz__table;

/* 0, or -1: out of memory. */
int pmz__table_open(pmz__table *table);
void pmz__table_close(pmz__table *table);

/* NULL: there is none, or it has ended. */
pmz__record *pmz__table_find(pmz__table *table, pmz__word key, pmz_ns now);
/* Of a key that find() has just not found. NULL: out of memory. */
pmz__record *pmz__table_add(pmz__table *table, pmz__word key, pmz__word value,
                            pmz_ns ends);
void pmz__table_drop(pmz__table *table, pmz__word key);

/* A few steps. One call for each two keys added keeps up. */
void pmz__table_sweep(pmz__table *table, pmz_ns now);

pmz__word pmz__record_value(const pmz__record *record);
int pmz__word_is(pmz__word one, pmz__word other);

#endif
