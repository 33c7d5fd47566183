/*
 * out.h - commands on their way to the network, as RESP.
 */
#ifndef PMZ_LIB_REDIS_OUT_H
#define PMZ_LIB_REDIS_OUT_H

#include <stddef.h>
#include <stdint.h>

/* More than this does not wait to be written on one connection. */
#define PMZ__OUT_MAX ((size_t)1 << 20)

/* Positions count from the connection's first byte. */
typedef struct pmz__out {
	char *bytes;
	size_t room;
	size_t from; /* of bytes: the first that is unwritten */
	size_t till; /* of bytes: behind the last */
	uint64_t written;
} pmz__out;

typedef struct pmz__words {
	size_t count;
	const char *const *word;
	const size_t *len; /* NULL: they end at a NUL */
} pmz__words;

/* The length of a command as RESP, and its bytes; returns their end. */
size_t pmz__resp_size(const pmz__words *words);
char *pmz__resp_write(char *at, const pmz__words *words);

/* 0: out of memory, or of PMZ__OUT_MAX; then nothing is added. */
int pmz__out_words(pmz__out *o, const pmz__words *words);
int pmz__out_bytes(pmz__out *o, const char *bytes, size_t len);

/* The position behind the last byte. */
uint64_t pmz__out_end(const pmz__out *o);
void pmz__out_wrote(pmz__out *o, size_t n);
/* Forgets what lies behind a position that is not written yet. */
void pmz__out_cut(pmz__out *o, uint64_t position);
void pmz__out_reset(pmz__out *o); /* keeps its memory */
void pmz__out_free(pmz__out *o);

#endif
