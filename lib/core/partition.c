/*
 * partition.c - which of so many numbered places has a key.
 */
#include <pipemaze/ring.h>

#include <string.h>

#include "base/assert.h"
#include "base/wide.h"

#define NO_CHARACTER 0xfffdu /* for what is not UTF-8 */
#define TWO_UNITS_FROM 0x10000u

#define MANTISSA_BITS 52
#define EXPONENT_BIAS 1023
#define NEARLY_ONE (0 - ((uint64_t)1 << 43)) /* 1 - 2^-21, in parts of 2^-64 */

/* at * by, rounded to a double and then down, for a whole `at` and 1 <= by <=
 * 2^31. A product in whole numbers takes half the time. It is rounded down
 * only, and where rounding to a double could reach the next whole number, which
 * up to 2^33 is less than 2^-21 above, the doubles decide. */
static uint64_t times(uint64_t at, double by)
{
	pmz__wide product;
	uint64_t bits, one = (uint64_t)1 << MANTISSA_BITS;
	int shift;

	memcpy(&bits, &by, sizeof(bits));
	shift = (int)(bits >> MANTISSA_BITS) - EXPONENT_BIAS + 1;
	bits = (bits | one) << (63 - MANTISSA_BITS);
	product = pmz__mul(at << shift, bits);
	if (PMZ__UNLIKELY(product.low >= NEARLY_ONE))
		return (uint64_t)((double)at * by);
	return product.high;
}

/* Lamping, Veach, "A Fast, Minimal Memory, Consistent Hash Algorithm", 2014, to
 * the last bit: there each jump is a double's quotient times a double. */
uint32_t pmz_jump(uint64_t key, uint32_t buckets)
{
	uint64_t at = 0, next = 0;
	double drawn;

	while (next < buckets) {
		at = next;
		key = key * UINT64_C(2862933555777941757) + 1;
		drawn = (double)((int64_t)(key >> 33) + 1);
		next = times(at + 1, (double)(INT64_C(1) << 31) / drawn);
	}
	return (uint32_t)at;
}

typedef struct text {
	const unsigned char *at, *end;
} text;

/* What a first byte says of those after it. */
typedef struct lead {
	uint32_t bits;
	int more;          /* bytes that follow */
	uint8_t low, high; /* what the next of them may be */
} lead;

static lead lead_of(uint8_t byte)
{
	lead l = { 0, -1, 0x80, 0xbf };

	if (byte < 0x80) {
		l.bits = byte;
		l.more = 0;
	} else if (byte >= 0xc2 && byte <= 0xdf) {
		l.bits = byte & 0x1fu;
		l.more = 1;
	} else if (byte >= 0xe0 && byte <= 0xef) {
		l.bits = byte & 0x0fu;
		l.more = 2;
		l.low = byte == 0xe0 ? 0xa0 : 0x80;
		l.high = byte == 0xed ? 0x9f : 0xbf;
	} else if (byte >= 0xf0 && byte <= 0xf4) {
		l.bits = byte & 0x07u;
		l.more = 3;
		l.low = byte == 0xf0 ? 0x90 : 0x80;
		l.high = byte == 0xf4 ? 0x8f : 0xbf;
	}
	return l;
}

/* As the WHATWG's Encoding Standard has it: what breaks a sequence off is not
 * part of it, and may begin the next. */
static uint32_t next_character(text *t)
{
	lead l = lead_of(*t->at++);

	if (l.more < 0)
		return NO_CHARACTER;
	for (; l.more; l.more--) {
		if (t->at == t->end || *t->at < l.low || *t->at > l.high)
			return NO_CHARACTER;
		l.bits = l.bits << 6 | (*t->at++ & 0x3fu);
		l.low = 0x80;
		l.high = 0xbf;
	}
	return l.bits;
}

static uint32_t hash_unit(uint32_t hash, uint32_t unit)
{
	return hash * 31 + unit;
}

static uint32_t hash_character(uint32_t hash, uint32_t c)
{
	if (c < TWO_UNITS_FROM)
		return hash_unit(hash, c);
	c -= TWO_UNITS_FROM;
	hash = hash_unit(hash, 0xd800 + (c >> 10));
	return hash_unit(hash, 0xdc00 + (c & 0x3ff));
}

uint32_t pmz_partition_js(const char *key, size_t len, uint32_t n)
{
	const unsigned char *bytes = (const unsigned char *)key;
	uint32_t hash = 0;
	text t;

	PMZ__ASSERT(key || !len);
	if (!n || !len)
		return 0;
	t.at = bytes;
	t.end = bytes + len;
	while (t.at < t.end)
		hash = hash_character(hash, next_character(&t));
	/* The absolute value of -2^31 is 2^31, as it is in JavaScript. */
	return (hash > INT32_MAX ? 0 - hash : hash) % n;
}
