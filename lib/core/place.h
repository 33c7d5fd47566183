/*
 * place.h - objects in memory that others may be setting up at the same time.
 *
 * The memory is zero at first. Whoever comes writes the identity of its config,
 * by compare-and-swap from zero, and goes on only if that is what stands there
 * then. After that each word of the object goes from zero to the value that all
 * who come would give it, again by compare-and-swap, and none of these values
 * is zero. So it does not matter who writes which word, or how often, or who
 * dies half-way: when a builder is done, all words are there, and a late one
 * does not undo what the live object has changed since.
 */
#ifndef PMZ_LIB_CORE_PLACE_H
#define PMZ_LIB_CORE_PLACE_H

#include "base/atomic.h"
#include "base/config.h"
#include "base/random.h"

/* Of a resolved config, what kind of object it is for, and the layout's size:
 * never 0. The words of the config are hashed, so it must have no padding. */
uint64_t pmz__identity(const char *kind, const void *config, size_t config_size,
                       size_t size);

/* PMZ_OK, PMZ_E_CONFIG for memory that will not do, PMZ_E_STATE when it holds
 * something else. */
int pmz__place(void *mem, size_t len, size_t size, uint64_t identity,
               pmz_why *why);

static inline void pmz__once(pmz__a64 *word, uint64_t value)
{
	uint64_t zero = 0;

	/* Acquire and release: a word set up by another builder comes with what
	 * that one saw. */
	pmz__cas_acquire(word, &zero, value, PMZ__ACQ_REL);
}

#endif
