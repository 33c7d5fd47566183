/*
 * config.c - reading structs that grow, and saying what is wrong with them.
 */
#include "base/config.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"

int pmz__bad(pmz_why *why, const char *field, const char *format, ...)
{
	va_list args;

	if (!why)
		return PMZ_E_CONFIG;
	memset(why, 0, sizeof(*why));
	snprintf(why->field, sizeof(why->field), "%s", field);
	va_start(args, format);
	vsnprintf(why->text, sizeof(why->text), format, args);
	va_end(args);
	return PMZ_E_CONFIG;
}

int pmz__why(pmz_why *why, int status)
{
	if (why) {
		memset(why, 0, sizeof(*why));
		snprintf(why->text, sizeof(why->text), "%s",
		         pmz_status_text(status));
	}
	return status;
}

int pmz__config_read(void *dst, size_t known, const void *src, pmz_why *why)
{
	const unsigned char *bytes = (const unsigned char *)src;
	uint32_t size;
	size_t i;

	memset(dst, 0, known);
	if (!src)
		return PMZ_OK;
	memcpy(&size, src, sizeof(size));
	if (size < PMZ__SIZE_MIN)
		return pmz__bad(why, "size",
		                "size is %u: set it to the sizeof of the struct",
		                (unsigned)size);
	for (i = known; i < size; i++)
		if (bytes[i])
			return pmz__bad(why, "size",
			                "byte %u is set: this library knows %u",
			                (unsigned)i, (unsigned)known);
	memcpy(dst, src, size < known ? size : known);
	return PMZ_OK;
}

int pmz__stats_write(void *dst, const void *src, size_t known)
{
	uint32_t size;

	PMZ__ASSERT(dst);
	memcpy(&size, dst, sizeof(size));
	if (size < PMZ__SIZE_MIN)
		return PMZ_E_CONFIG;
	memset((char *)dst + sizeof(size), 0, size - sizeof(size));
	memcpy((char *)dst + sizeof(size), (const char *)src + sizeof(size),
	       (size < known ? size : known) - sizeof(size));
	return PMZ_OK;
}
