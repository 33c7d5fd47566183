/*
 * wide_portable.c - the claims of wide.c once more, for the arithmetic of a
 * compiler without a type of 128 bits.
 */
#define PMZ_NO_INT128 1

#include "wide.c"
