/*
 * ring_hash.c - the hashes that place nodes and keys.
 */
#include "core/ring_hash.h"

/* In header form, so that there is nothing more to link, and here alone, as its
 * other half allocates. */
#define XXH_INLINE_ALL
#define XXH_NO_STDLIB
#include <xxhash.h>

#if PMZ_KETAMA
#include <md5.h>
#endif

#include <pipemaze/ring.h>

#include "base/assert.h"

#define DIGITS_MAX 10 /* of UINT32_MAX */

/* CRC-32 as in zlib and nginx: reflected, polynomial 0xedb88320. The table is
 * linear, T(a ^ b) = T(a) ^ T(b), so eight of its entries make the rest. */
#define BIT(i, n, entry) ((i) >> (n) & 1 ? (entry) : 0u)
#define T1(i)                                                    \
	(BIT(i, 0, 0x77073096u) ^ BIT(i, 1, 0xee0e612cu) ^       \
	 BIT(i, 2, 0x076dc419u) ^ BIT(i, 3, 0x0edb8832u) ^       \
	 BIT(i, 4, 0x1db71064u) ^ BIT(i, 5, 0x3b6e20c8u) ^       \
	 BIT(i, 6, 0x76dc4190u) ^ BIT(i, 7, 0xedb88320u))
#define T4(i) T1(i), T1((i) + 1), T1((i) + 2), T1((i) + 3)
#define T16(i) T4(i), T4((i) + 4), T4((i) + 8), T4((i) + 12)
#define T64(i) T16(i), T16((i) + 16), T16((i) + 32), T16((i) + 48)

static const uint32_t crc_table[256] = { T64(0), T64(64), T64(128), T64(192) };

uint32_t pmz__crc_more(uint32_t crc, const void *data, size_t len)
{
	const unsigned char *bytes = (const unsigned char *)data;

	while (len--)
		crc = crc_table[(crc ^ *bytes++) & 0xff] ^ crc >> 8;
	return crc;
}

/* n in decimal; returns how many digits that are. */
static size_t write_digits(char digits[DIGITS_MAX], uint32_t n)
{
	char reversed[DIGITS_MAX];
	size_t count = 0, i;

	do {
		reversed[count++] = (char)('0' + n % 10);
		n /= 10;
	} while (n);
	for (i = 0; i < count; i++)
		digits[i] = reversed[count - 1 - i];
	return count;
}

uint64_t pmz__xxh64(const void *key, size_t len, uint64_t seed)
{
	PMZ__ASSERT(key || !len);
	return XXH64(key, len, seed);
}

uint64_t pmz_hash(const void *key, size_t len, uint64_t seed)
{
	return pmz__xxh64(key, len, seed);
}

void pmz__xxh64_numbered(const char *stem, size_t len, uint64_t *hashes,
                         uint32_t count)
{
	char digits[DIGITS_MAX];
	XXH64_state_t before, whole;
	uint32_t k;

	XXH64_reset(&before, 0);
	XXH64_update(&before, stem, len);
	XXH64_update(&before, "_", 1);
	for (k = 0; k < count; k++) {
		whole = before;
		XXH64_update(&whole, digits, write_digits(digits, k));
		hashes[k] = XXH64_digest(&whole);
	}
}

#if PMZ_KETAMA
/* Ends a digest, as four little-endian words. */
static void end_md5(MD5_CTX *md5, uint64_t words[4])
{
	uint8_t digest[MD5_DIGEST_LENGTH];
	int i;

	MD5Final(digest, md5);
	for (i = 0; i < 4; i++)
		words[i] = (uint32_t)digest[4 * i] |
		           (uint32_t)digest[4 * i + 1] << 8 |
		           (uint32_t)digest[4 * i + 2] << 16 |
		           (uint32_t)digest[4 * i + 3] << 24;
}

void pmz__md5_numbered(const char *stem, size_t len, uint64_t *words,
                       uint32_t count)
{
	char digits[DIGITS_MAX];
	MD5_CTX before, whole;
	uint32_t k;

	MD5Init(&before);
	MD5Update(&before, (const uint8_t *)stem, len);
	MD5Update(&before, (const uint8_t *)"-", 1);
	for (k = 0; k < count; k++) {
		size_t digit_count = write_digits(digits, k);

		whole = before;
		MD5Update(&whole, (const uint8_t *)digits, digit_count);
		end_md5(&whole, words + 4 * (size_t)k);
	}
}

uint32_t pmz__md5(const void *key, size_t len)
{
	uint64_t words[4];
	MD5_CTX md5;

	MD5Init(&md5);
	MD5Update(&md5, (const uint8_t *)key, len);
	end_md5(&md5, words);
	return (uint32_t)words[0];
}
#endif
