/*
 * canary.c - which keys try the new version.
 */
#include <pipemaze/balance.h>

#include "base/random.h"

#define MILLION 1000000

int pmz_canary(uint64_t hash, uint64_t salt, uint32_t ppm)
{
	return pmz__mul_high(pmz__mix(hash ^ pmz__mix(salt)), MILLION) < ppm;
}
