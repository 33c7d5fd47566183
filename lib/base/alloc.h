/*
 * alloc.h - the one place where memory comes from.
 */
#ifndef PMZ_LIB_BASE_ALLOC_H
#define PMZ_LIB_BASE_ALLOC_H

#include <stddef.h>

/* Zeroed, aligned to a cache line; NULL when there is none. */
void *pmz__alloc(size_t size);
void pmz__free(void *memory); /* NULL is fine */

#endif
