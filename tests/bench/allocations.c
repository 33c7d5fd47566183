/*
 * allocations.c - counts what is allocated, by standing before malloc() and its
 * kin: a program's definitions come before those of the libraries it loads.
 */
#include <dlfcn.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

static _Atomic uint64_t count, bytes;

uint64_t allocations(void)
{
	return count;
}

uint64_t allocated_bytes(void)
{
	return bytes;
}

/* Counts, and writes the next definition of `name` to *real, a function pointer
 * whose type is the caller's. */
static void stand_before(const char *name, size_t size, void *real)
{
	void *found = dlsym(RTLD_NEXT, name);

	if (!found)
		abort();
	memcpy(real, &found, sizeof(found));
	count++;
	bytes += size;
}

void *malloc(size_t size)
{
	void *(*real)(size_t);

	stand_before("malloc", size, &real);
	return real(size);
}

void *calloc(size_t items, size_t size)
{
	void *(*real)(size_t, size_t);

	stand_before("calloc", items * size, &real);
	return real(items, size);
}

void *realloc(void *memory, size_t size)
{
	void *(*real)(void *, size_t);

	stand_before("realloc", size, &real);
	return real(memory, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
	void *(*real)(size_t, size_t);

	stand_before("aligned_alloc", size, &real);
	return real(alignment, size);
}

int posix_memalign(void **out, size_t alignment, size_t size)
{
	int (*real)(void **, size_t, size_t);

	stand_before("posix_memalign", size, &real);
	return real(out, alignment, size);
}
