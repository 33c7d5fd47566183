/*
 * place.c - who may join what stands in a piece of memory; see place.h.
 */
#include "core/place.h"

#include <string.h>

uint64_t pmz__identity(const char *kind, const void *config, size_t config_size,
                       size_t size)
{
	const unsigned char *bytes = (const unsigned char *)config;
	uint64_t hash = pmz__mix(size), word = 0;
	size_t i;

	while (*kind)
		hash = pmz__mix(hash ^ (unsigned char)*kind++);
	for (i = 0; i < config_size; i += sizeof(word)) {
		size_t left = config_size - i;

		word = 0;
		memcpy(&word, bytes + i,
		       left < sizeof(word) ? left : sizeof(word));
		hash = pmz__mix(hash ^ word) + i;
	}
	return hash ? hash : 1;
}

int pmz__place(void *mem, size_t len, size_t size, uint64_t identity,
               pmz_why *why)
{
	uint64_t seen = 0;

	if (!mem || (uintptr_t)mem % PMZ__CACHE_LINE)
		return pmz__bad(why, "mem", "mem is not aligned to %d bytes",
		                PMZ__CACHE_LINE);
	if (len < size)
		return pmz__bad(why, "len", "len is %zu, %zu are needed", len,
		                size);
	/* The identity stands first in every object. */
	if (!pmz__cas_acquire((pmz__a64 *)mem, &seen, identity, PMZ__ACQ_REL) &&
	    seen != identity) {
		pmz__bad(why, "mem", "mem holds another config or layout");
		return PMZ_E_STATE;
	}
	return PMZ_OK;
}
