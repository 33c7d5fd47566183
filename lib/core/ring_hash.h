/*
 * ring_hash.h - the hashes that place nodes and keys.
 */
#ifndef PMZ_LIB_CORE_RING_HASH_H
#define PMZ_LIB_CORE_RING_HASH_H

#include <stddef.h>
#include <stdint.h>

#ifndef PMZ_KETAMA
#define PMZ_KETAMA 0 /* 1: with MD5, and so with libmd */
#endif

/* What was hashed so far: from PMZ__CRC_START on, and ~ of it at the end. */
#define PMZ__CRC_START UINT32_MAX
uint32_t pmz__crc_more(uint32_t crc, const void *data, size_t len);

uint64_t pmz__xxh64(const void *key, size_t len, uint64_t seed);
/* The XXH64 of "stem_0", "stem_1" and so on. */
void pmz__xxh64_numbered(const char *stem, size_t len, uint64_t *hashes,
                         uint32_t count);

#if PMZ_KETAMA
/* The MD5 of "stem-0", "stem-1" and so on, each as four little-endian words. */
void pmz__md5_numbered(const char *stem, size_t len, uint64_t *words,
                       uint32_t count);
/* The first of these words of a key's. */
uint32_t pmz__md5(const void *key, size_t len);
#endif

#endif
