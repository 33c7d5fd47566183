/*
 * slot.c - the slot of a key in a Redis Cluster.
 *
 * CRC16 as XMODEM has it (polynomial 0x1021, from 0), modulo 16384, of what
 * stands between the first { and the next }, or of the whole key:
 * https://redis.io/docs/reference/cluster-spec/
 */
#include "redis/slot.h"

#include <stdio.h>
#include <string.h>

#include <pipemaze/lock.h>

#define POLYNOMIAL 0x1021u

static uint32_t crc16(const char *bytes, size_t len)
{
	uint32_t crc = 0;
	size_t i;
	int bit;

	for (i = 0; i < len; i++) {
		crc ^= (uint32_t)(unsigned char)bytes[i] << 8;
		for (bit = 0; bit < 8; bit++)
			crc = crc << 1 ^ (crc & 0x8000 ? POLYNOMIAL : 0);
		crc &= 0xffff;
	}
	return crc;
}

uint32_t pmz__slot_of(const char *key, size_t len)
{
	const char *open = memchr(key, '{', len);
	size_t rest = open ? len - (size_t)(open + 1 - key) : 0;
	const char *close = rest ? memchr(open + 1, '}', rest) : NULL;

	if (close && close > open + 1) {
		key = open + 1;
		len = (size_t)(close - key);
	}
	return crc16(key, len) % PMZ__SLOTS;
}

uint32_t pmz__slot_of_lock(const char *name)
{
	char key[sizeof("lock:") + PMZ_LOCK_NAME_MAX];
	int len = snprintf(key, sizeof(key), "lock:%s", name);

	return pmz__slot_of(key, (size_t)len);
}
