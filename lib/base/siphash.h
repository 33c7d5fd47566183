/*
 * siphash.h - a keyed hash, for tables that strangers put keys into.
 *
 * SipHash-c-d: Aumasson, Bernstein, "SipHash: a fast short-input PRF",
 * INDOCRYPT 2012. Who does not know the key cannot choose inputs that collide.
 * The numbers of rounds are arguments, so that the vectors of more than one
 * variant can test this one body; given as constants they cost nothing.
 */
#ifndef PMZ_LIB_BASE_SIPHASH_H
#define PMZ_LIB_BASE_SIPHASH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct pmz__sip {
	uint64_t v0, v1, v2, v3;
} pmz__sip;

static inline uint64_t pmz__rotate(uint64_t x, int by)
{
	return x << by | x >> (64 - by);
}

static inline void pmz__sip_rounds(pmz__sip *s, int rounds)
{
	while (rounds--) {
		s->v0 += s->v1;
		s->v2 += s->v3;
		s->v1 = pmz__rotate(s->v1, 13) ^ s->v0;
		s->v3 = pmz__rotate(s->v3, 16) ^ s->v2;
		s->v0 = pmz__rotate(s->v0, 32);
		s->v2 += s->v1;
		s->v0 += s->v3;
		s->v1 = pmz__rotate(s->v1, 17) ^ s->v2;
		s->v3 = pmz__rotate(s->v3, 21) ^ s->v0;
		s->v2 = pmz__rotate(s->v2, 32);
	}
}

static inline void pmz__sip_word(pmz__sip *s, uint64_t word, int rounds)
{
	s->v3 ^= word;
	pmz__sip_rounds(s, rounds);
	s->v0 ^= word;
}

static inline uint64_t pmz__little_64(const unsigned char *bytes)
{
	uint64_t word;

	memcpy(&word, bytes, sizeof(word));
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	word = __builtin_bswap64(word);
#endif
	return word;
}

/* The bytes beyond the last whole word, and the length in the top byte. */
static inline uint64_t pmz__sip_tail(const unsigned char *bytes, size_t len)
{
	uint64_t word = (uint64_t)len << 56;
	size_t i, rest = len % 8;

	/* One load that overlaps what came before is the quicker way. */
	if (rest && len > 8)
		return word |
		       pmz__little_64(bytes + len - 8) >> (64 - 8 * rest);
	for (i = 0; i < rest; i++)
		word |= (uint64_t)bytes[len - rest + i] << 8 * i;
	return word;
}

static inline uint64_t pmz__siphash(const uint64_t key[2], const void *data,
                                    size_t len, int rounds, int last_rounds)
{
	const unsigned char *bytes = (const unsigned char *)data;
	pmz__sip s;
	size_t i;

	s.v0 = key[0] ^ 0x736f6d6570736575u;
	s.v1 = key[1] ^ 0x646f72616e646f6du;
	s.v2 = key[0] ^ 0x6c7967656e657261u;
	s.v3 = key[1] ^ 0x7465646279746573u;
	for (i = 0; i + 8 <= len; i += 8)
		pmz__sip_word(&s, pmz__little_64(bytes + i), rounds);
	pmz__sip_word(&s, pmz__sip_tail(bytes, len), rounds);
	s.v2 ^= 0xff;
	pmz__sip_rounds(&s, last_rounds);
	return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

#endif
