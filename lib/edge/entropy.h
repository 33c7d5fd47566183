/*
 * entropy.h - random bits that nobody can guess, or none.
 */
#ifndef PMZ_LIB_EDGE_ENTROPY_H
#define PMZ_LIB_EDGE_ENTROPY_H

#include <stddef.h>

/* 0, or -1 where neither the kernel's call nor its device is to be had. */
int pmz__entropy(void *out, size_t len);

#endif
