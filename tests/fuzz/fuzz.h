/*
 * fuzz.h - what the fuzz targets share: bytes that become decisions, and
 * claims.
 *
 * A target is one file with LLVMFuzzerTestOneInput(). It is linked with
 * libFuzzer, which looks for new input, or with replay.c, which runs what is in
 * its corpus.
 */
#ifndef FUZZ_H
#define FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pipemaze/base.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define must(claim)                                                      \
	do {                                                             \
		if (!(claim)) {                                          \
			fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, \
			        __LINE__, #claim);                       \
			abort();                                         \
		}                                                        \
	} while (0)

/* What is left of the input; once it is used up it gives zeros. */
typedef struct bytes {
	const uint8_t *at;
	size_t left;
} bytes;

/* All or as many as are left; they are not copied. */
static inline size_t bytes_take(bytes *b, size_t n, const uint8_t **out)
{
	size_t len = n < b->left ? n : b->left;

	*out = b->at;
	b->at += len;
	b->left -= len;
	return len;
}

static inline void bytes_fill(bytes *b, void *out, size_t n)
{
	const uint8_t *from;
	size_t len = bytes_take(b, n, &from);

	memset(out, 0, n);
	if (len)
		memcpy(out, from, len);
}

static inline uint8_t bytes_8(bytes *b)
{
	uint8_t n;

	bytes_fill(b, &n, sizeof(n));
	return n;
}

static inline uint64_t bytes_64(bytes *b)
{
	uint64_t n;

	bytes_fill(b, &n, sizeof(n));
	return n;
}

/* In [0, n), n up to 256. */
static inline unsigned bytes_below(bytes *b, unsigned n)
{
	return bytes_8(b) % n;
}

/* From one byte: a few steps of a size from 1 ns to hours. */
static inline pmz_ns bytes_span(bytes *b)
{
	static const pmz_ns units[] = { 1,         PMZ_US(3),   PMZ_MS(1),
		                        PMZ_MS(7), PMZ_MS(50),  PMZ_S(1),
		                        PMZ_S(13), PMZ_S(36000) };
	uint8_t n = bytes_8(b);

	return units[n & 7] * (n >> 3);
}

/* A later instant; or, with `hostile`, any: earlier, near 0, near the end. */
static inline pmz_ns bytes_now(bytes *b, pmz_ns now, int hostile)
{
	uint8_t how = hostile ? bytes_8(b) : 0;
	pmz_ns span = bytes_span(b);

	switch (how & 15) {
	case 9:
		return now > span ? now - span : 0;
	case 10:
		return span;
	case 11:
		return PMZ_NEVER - span;
	case 12:
		return bytes_64(b);
	default:
		return now + span < now ? PMZ_NEVER : now + span;
	}
}

/* Text in memory of its very size, to be freed. */
static inline char *bytes_text(bytes *b, size_t most)
{
	const uint8_t *from;
	size_t len = bytes_take(b, most, &from);
	char *text = (char *)malloc(len + 1);

	must(text);
	if (len)
		memcpy(text, from, len);
	text[len] = '\0';
	return text;
}

#define LONG_TEXT_MAX 5000

/* All that is left, where a byte from 1 to 7 stands for 16 to 1024 more of the
 * one before it: so a short input makes a text that is too long. To be freed.
 */
static inline char *bytes_long_text(bytes *b)
{
	static char text[LONG_TEXT_MAX + 1];
	size_t len = 0, more;
	char *copy;

	for (; b->left && len < LONG_TEXT_MAX; b->at++, b->left--) {
		more = 1;
		text[len] = (char)*b->at;
		if (len && *b->at >= 1 && *b->at <= 7) {
			more = (size_t)8 << *b->at;
			more = more < LONG_TEXT_MAX - len ? more
			                                  : LONG_TEXT_MAX - len;
			memset(text + len, text[len - 1], more);
		}
		len += more;
	}
	copy = (char *)malloc(len + 1);
	must(copy);
	memcpy(copy, text, len);
	copy[len] = '\0';
	return copy;
}

#endif
