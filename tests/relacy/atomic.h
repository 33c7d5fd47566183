/*
 * atomic.h - a second body of lib/base/atomic.h, where each access goes through
 * Relacy; search.cc says how.
 *
 * The words and all else stay as they are, so that structs keep their layout.
 * This header is included ahead of a source, by -include.
 */
#ifndef PMZ_TESTS_RELACY_ATOMIC_H
#define PMZ_TESTS_RELACY_ATOMIC_H

#include "base/atomic.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Where an access stands in the source, for the history of a failure. */
typedef struct relacy_site {
	const char *function, *file;
	unsigned line;
} relacy_site;

uint64_t relacy_load(const void *word, int order, relacy_site at);
void relacy_store(void *word, uint64_t value, int order, relacy_site at);
uint64_t relacy_add(void *word, uint64_t value, int order, relacy_site at);
uint64_t relacy_swap(void *word, uint64_t value, int order, relacy_site at);
/* Returns what was there, which is `expected` if it succeeded. */
uint64_t relacy_cas(void *word, uint64_t expected, uint64_t desired, int order,
                    int on_failure, relacy_site at);
void relacy_yield(relacy_site at);

#ifdef __cplusplus
}
#endif

#undef pmz__load
#undef pmz__store
#undef pmz__add
#undef pmz__sub
#undef pmz__swap
#undef pmz__cas
#undef pmz__cas_acquire

#define RELACY_HERE ((relacy_site){ __func__, __FILE__, __LINE__ })
/* The type of a word's value, without its const. */
#define RELACY_TYPE(a) __typeof__((a)->word + 0)

#define pmz__load(a, order) ((RELACY_TYPE(a))relacy_load(a, order, RELACY_HERE))
#define pmz__store(a, value, order) relacy_store(a, value, order, RELACY_HERE)
#define pmz__add(a, value, order) \
	((RELACY_TYPE(a))relacy_add(a, value, order, RELACY_HERE))
#define pmz__sub(a, value, order) \
	pmz__add(a, (RELACY_TYPE(a))0 - (value), order)
#define pmz__swap(a, value, order) \
	((RELACY_TYPE(a))relacy_swap(a, value, order, RELACY_HERE))

#define RELACY_CAS(a, expected, desired, order, on_failure)                   \
	__extension__({                                                       \
		RELACY_TYPE(a) *expected_ = (expected);                       \
		RELACY_TYPE(a) wanted_ = *expected_;                          \
		*expected_ = (RELACY_TYPE(a))relacy_cas(                      \
			a, wanted_, desired, order, on_failure, RELACY_HERE); \
		*expected_ == wanted_;                                        \
	})
#define pmz__cas(a, expected, desired, order) \
	RELACY_CAS(a, expected, desired, order, PMZ__RELAXED)
#define pmz__cas_acquire(a, expected, desired, order) \
	RELACY_CAS(a, expected, desired, order, PMZ__ACQUIRE)

/* For mutants: what someone writes who forgets that a compare-and-swap is one
 * step. */
#define RELACY_TORN_CAS(a, expected, desired, order)               \
	__extension__({                                            \
		RELACY_TYPE(a) torn_ = pmz__load(a, PMZ__RELAXED); \
		int same_ = torn_ == *(expected);                  \
		if (same_)                                         \
			pmz__store(a, desired, PMZ__RELAXED);      \
		*(expected) = torn_;                               \
		same_;                                             \
	})

#define pmz__pause() relacy_yield(RELACY_HERE)

#endif
