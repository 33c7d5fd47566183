/*
 * out.c - commands on their way to the network, as RESP.
 *
 * RESP: https://redis.io/docs/reference/protocol-spec/
 */
#include "redis/out.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"

#define ROOM_FIRST 2048
#define DIGITS_MAX 20

static size_t digits_of(size_t n, char *end)
{
	char *at = end;

	do
		*--at = (char)('0' + n % 10);
	while (n /= 10);
	return (size_t)(end - at);
}

/* A line like *3 or $17. */
static char *write_count(char *at, char kind, size_t n)
{
	char digits[DIGITS_MAX];
	size_t len = digits_of(n, digits + DIGITS_MAX);

	*at++ = kind;
	memcpy(at, digits + DIGITS_MAX - len, len);
	memcpy(at + len, "\r\n", 2);
	return at + len + 2;
}

static size_t count_size(size_t n)
{
	char digits[DIGITS_MAX];

	return digits_of(n, digits + DIGITS_MAX) + 3;
}

static size_t length_of(const pmz__words *words, size_t i)
{
	return words->len ? words->len[i] : strlen(words->word[i]);
}

size_t pmz__resp_size(const pmz__words *words)
{
	size_t i, size = count_size(words->count);

	for (i = 0; i < words->count; i++) {
		size_t len = length_of(words, i);

		size += count_size(len) + len + 2;
	}
	return size;
}

char *pmz__resp_write(char *at, const pmz__words *words)
{
	size_t i;

	at = write_count(at, '*', words->count);
	for (i = 0; i < words->count; i++) {
		size_t len = length_of(words, i);

		at = write_count(at, '$', len);
		memcpy(at, words->word[i], len);
		memcpy(at + len, "\r\n", 2);
		at += len + 2;
	}
	return at;
}

static int move_to(pmz__out *o, char *bytes, size_t room)
{
	size_t len = o->till - o->from;

	if (len)
		memmove(bytes, o->bytes + o->from, len);
	if (bytes != o->bytes)
		pmz__free(o->bytes);
	o->bytes = bytes;
	o->room = room;
	o->from = 0;
	o->till = len;
	return 1;
}

static int make_room(pmz__out *o, size_t size)
{
	size_t need = o->till - o->from + size;
	size_t room = o->room ? o->room : ROOM_FIRST;
	char *bytes;

	if (size <= o->room - o->till)
		return 1;
	if (need > PMZ__OUT_MAX)
		return 0;
	if (need <= o->room)
		return move_to(o, o->bytes, o->room);
	while (room < need)
		room *= 2;
	bytes = (char *)pmz__alloc(room);
	return bytes ? move_to(o, bytes, room) : 0;
}

int pmz__out_words(pmz__out *o, const pmz__words *words)
{
	size_t size = pmz__resp_size(words);

	if (!make_room(o, size))
		return 0;
	pmz__resp_write(o->bytes + o->till, words);
	o->till += size;
	return 1;
}

int pmz__out_bytes(pmz__out *o, const char *bytes, size_t len)
{
	if (!make_room(o, len))
		return 0;
	memcpy(o->bytes + o->till, bytes, len);
	o->till += len;
	return 1;
}

uint64_t pmz__out_end(const pmz__out *o)
{
	return o->written + (o->till - o->from);
}

void pmz__out_wrote(pmz__out *o, size_t n)
{
	PMZ__ASSERT(n <= o->till - o->from);
	o->from += n;
	o->written += n;
	if (o->from == o->till)
		o->from = o->till = 0;
}

void pmz__out_cut(pmz__out *o, uint64_t position)
{
	PMZ__ASSERT(position >= o->written && position <= pmz__out_end(o));
	o->till = o->from + (size_t)(position - o->written);
}

void pmz__out_reset(pmz__out *o)
{
	o->from = o->till = 0;
	o->written = 0;
}

void pmz__out_free(pmz__out *o)
{
	pmz__free(o->bytes);
	memset(o, 0, sizeof(*o));
}
