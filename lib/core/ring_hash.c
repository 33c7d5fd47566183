/*
 * ring_hash.c - the hashes that place nodes and keys.
 */
#include "core/ring_hash.h"

#include <string.h>

#include <pipemaze/ring.h>

#include "base/assert.h"

#if PMZ_KETAMA
#include <md5.h>
#endif

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

#if PMZ_KETAMA
static uint32_t little_32(const uint8_t *bytes)
{
	return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 |
	       (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

void pmz__md5(const void *stem, size_t stem_len, const void *end,
              size_t end_len, uint32_t words[4])
{
	uint8_t digest[MD5_DIGEST_LENGTH];
	MD5_CTX md5;
	int i;

	MD5Init(&md5);
	MD5Update(&md5, (const uint8_t *)stem, stem_len);
	MD5Update(&md5, (const uint8_t *)end, end_len);
	MD5Final(digest, &md5);
	for (i = 0; i < 4; i++)
		words[i] = little_32(digest + 4 * i);
}
#endif

size_t pmz__digits(char digits[PMZ__DIGITS_MAX], uint32_t n)
{
	char reversed[PMZ__DIGITS_MAX];
	size_t count = 0, i;

	do {
		reversed[count++] = (char)('0' + n % 10);
		n /= 10;
	} while (n);
	for (i = 0; i < count; i++)
		digits[i] = reversed[count - 1 - i];
	return count;
}

uint64_t pmz_hash(const void *key, size_t len, uint64_t seed)
{
	PMZ__ASSERT(key || !len);
	return XXH64(key, len, seed);
}
