/*
 * watch.h - several descriptors waited for as one.
 */
#ifndef PMZ_LIB_REDIS_WATCH_H
#define PMZ_LIB_REDIS_WATCH_H

#include <stdint.h>

#define PMZ__WATCH_MAX 64

typedef struct pmz__watched {
	int fd;
	int events;      /* of poll() */
	uint64_t serial; /* tells a descriptor from the next of its number */
} pmz__watched;

typedef struct pmz__watch {
	int fd;
	uint32_t count;
	pmz__watched seen[PMZ__WATCH_MAX];
} pmz__watch;

void pmz__watch_init(pmz__watch *w);
void pmz__watch_end(pmz__watch *w);
/* A descriptor that is readable when one of them is ready; without such a thing
 * the first of them, and then POLLIN of that. */
int pmz__watch_all(pmz__watch *w, const pmz__watched *of, uint32_t count);

#endif
