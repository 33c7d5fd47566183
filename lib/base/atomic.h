/*
 * atomic.h - the only door to atomics.
 *
 * Words of 64 and 32 bits with an explicit order at every access: load, store,
 * add, exchange, and a strong compare-and-swap. There are no fences, since an
 * order that sits on a word can be read beside its partner. All zero is a valid
 * initial value, so that memory from calloc() or mmap() needs no set-up.
 *
 * The words are plain structs rather than _Atomic, which keeps the core valid
 * C++ and lets another body of this header map them to a race checker.
 */
#ifndef PMZ_LIB_BASE_ATOMIC_H
#define PMZ_LIB_BASE_ATOMIC_H

#include <stdint.h>

typedef struct pmz__a64 {
	uint64_t word;
} pmz__a64;

typedef struct pmz__a32 {
	uint32_t word;
} pmz__a32;

#define PMZ__RELAXED __ATOMIC_RELAXED
#define PMZ__ACQUIRE __ATOMIC_ACQUIRE
#define PMZ__RELEASE __ATOMIC_RELEASE
#define PMZ__ACQ_REL __ATOMIC_ACQ_REL

#define pmz__load(a, order) __atomic_load_n(&(a)->word, order)
#define pmz__store(a, value, order) __atomic_store_n(&(a)->word, value, order)
#define pmz__add(a, value, order) __atomic_fetch_add(&(a)->word, value, order)
#define pmz__sub(a, value, order) __atomic_fetch_sub(&(a)->word, value, order)
#define pmz__swap(a, value, order) \
	__atomic_exchange_n(&(a)->word, value, order)

/* Strong. On failure *expected is what was there, read relaxed. */
#define pmz__cas(a, expected, desired, order)                          \
	__atomic_compare_exchange_n(&(a)->word, expected, desired, 0, \
	                            order, PMZ__RELAXED)

/* The same where a failed try must also see what the other thread wrote. */
#define pmz__cas_acquire(a, expected, desired, order)                  \
	__atomic_compare_exchange_n(&(a)->word, expected, desired, 0, \
	                            order, PMZ__ACQUIRE)

/* A count of events that may miss a few under contention: it costs a load and
 * a store where an exact one costs a locked add. */
#define pmz__count_nearly(a) \
	pmz__store(a, pmz__load(a, PMZ__RELAXED) + 1, PMZ__RELAXED)

/* Between two looks at a word that another thread holds. */
static inline void pmz__pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__) || defined(__arm__)
	__asm__ __volatile__("yield");
#endif
}

#define PMZ__CACHE_LINE 64

#ifdef __cplusplus
#define PMZ__ALIGNED alignas(PMZ__CACHE_LINE)
#else
#define PMZ__ALIGNED _Alignas(PMZ__CACHE_LINE)
#endif

#endif
