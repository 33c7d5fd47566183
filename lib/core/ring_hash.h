/*
 * ring_hash.h - the hashes that place nodes and keys.
 */
#ifndef PMZ_LIB_CORE_RING_HASH_H
#define PMZ_LIB_CORE_RING_HASH_H

/* In header form, so that there is nothing more to link. */
#ifndef XXH_INLINE_ALL
#define XXH_INLINE_ALL
#endif
#include <xxhash.h>

#include <stddef.h>
#include <stdint.h>

#ifndef PMZ_KETAMA
#define PMZ_KETAMA 0 /* 1: with MD5, and so with libmd */
#endif

/* What was hashed so far; start with PMZ__CRC_START, end with its complement. */
#define PMZ__CRC_START UINT32_MAX
uint32_t pmz__crc_more(uint32_t crc, const void *data, size_t len);

#if PMZ_KETAMA
/* The MD5 of `stem` and `end` in a row, as four little-endian words. */
void pmz__md5(const void *stem, size_t stem_len, const void *end,
              size_t end_len, uint32_t words[4]);
#endif

/* UINT32_MAX has ten digits. */
#define PMZ__DIGITS_MAX 10

/* n in decimal; returns how many digits that are. */
size_t pmz__digits(char digits[PMZ__DIGITS_MAX], uint32_t n);

#endif
