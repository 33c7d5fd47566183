/*
 * alloc.c - the one place where memory comes from.
 */
#include "base/alloc.h"

#include <stdlib.h>
#include <string.h>

#include "base/atomic.h"

void *pmz__alloc(size_t size)
{
	void *memory;

	if (size > SIZE_MAX - PMZ__CACHE_LINE)
		return NULL;
	/* aligned_alloc() wants a multiple of the alignment. */
	size = (size + PMZ__CACHE_LINE - 1) / PMZ__CACHE_LINE * PMZ__CACHE_LINE;
	memory = aligned_alloc(PMZ__CACHE_LINE, size);
	if (memory)
		memset(memory, 0, size);
	return memory;
}

void pmz__free(void *memory)
{
	free(memory);
}
