/*
 * wide.h - arithmetic whose middle does not fit into 64 bits, or whose end
 * must not wrap.
 */
#ifndef PMZ_LIB_BASE_WIDE_H
#define PMZ_LIB_BASE_WIDE_H

#include <stdint.h>

static inline uint64_t pmz__sat_add(uint64_t a, uint64_t b)
{
	return a + b < a ? UINT64_MAX : a + b;
}

static inline uint64_t pmz__sat_sub(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}

static inline uint64_t pmz__min(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static inline uint64_t pmz__max(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

typedef struct pmz__wide {
	uint64_t high, low;
} pmz__wide;

static inline pmz__wide pmz__mul(uint64_t a, uint64_t b)
{
	pmz__wide product;

#if defined(__SIZEOF_INT128__) && !defined(PMZ_NO_INT128)
	__extension__ typedef unsigned __int128 u128;
	u128 p = (u128)a * b;

	product.high = (uint64_t)(p >> 64);
	product.low = (uint64_t)p;
#else
	uint64_t a_low = (uint32_t)a, a_high = a >> 32;
	uint64_t b_low = (uint32_t)b, b_high = b >> 32;
	uint64_t low = a_low * b_low;
	uint64_t left = a_high * b_low + (low >> 32);
	uint64_t right = a_low * b_high + (uint32_t)left;

	product.high = a_high * b_high + (left >> 32) + (right >> 32);
	product.low = right << 32 | (uint32_t)low;
#endif
	return product;
}

static inline uint64_t pmz__mul_high(uint64_t a, uint64_t b)
{
	return pmz__mul(a, b).high;
}

static inline uint64_t pmz__sat_mul(uint64_t a, uint64_t b)
{
	pmz__wide product = pmz__mul(a, b);

	return product.high ? UINT64_MAX : product.low;
}

/* n / d and, in *rest, what is left. The quotient must fit: n.high < d. */
static inline uint64_t pmz__div(pmz__wide n, uint64_t d, uint64_t *rest)
{
#if defined(__SIZEOF_INT128__) && !defined(PMZ_NO_INT128)
	__extension__ typedef unsigned __int128 u128;
	u128 whole = (u128)n.high << 64 | n.low;

	*rest = (uint64_t)(whole % d);
	return (uint64_t)(whole / d);
#else
	uint64_t quotient = 0, r = n.high;
	int bit;

	for (bit = 63; bit >= 0; bit--) {
		uint64_t carry = r >> 63;

		r = r << 1 | (n.low >> bit & 1);
		if (carry || r >= d) {
			r -= d;
			quotient |= (uint64_t)1 << bit;
		}
	}
	*rest = r;
	return quotient;
#endif
}

/* a * b / c, rounded down or up; all ones when that does not fit. */
static inline uint64_t pmz__mul_div(uint64_t a, uint64_t b, uint64_t c, int up)
{
	pmz__wide product = pmz__mul(a, b);
	uint64_t rest, quotient;

	if (product.high >= c)
		return UINT64_MAX;
	quotient = pmz__div(product, c, &rest);
	return up && rest ? pmz__sat_add(quotient, 1) : quotient;
}

#endif
