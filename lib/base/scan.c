/*
 * scan.c - numbers, spans and ranges as the library's texts write them.
 */
#include "base/scan.h"

#include <string.h>

#include "base/wide.h"

const char *pmz__scan_number(const char *at, uint64_t *n)
{
	const char *from = at;

	for (*n = 0; *at >= '0' && *at <= '9'; at++)
		*n = pmz__sat_add(pmz__sat_mul(*n, 10), (uint64_t)(*at - '0'));
	return at == from ? NULL : at;
}

const char *pmz__scan_unit(const char *at, uint64_t n, pmz_ns *span)
{
	/* "ms" stands before "m", of which it would be the start. */
	static const struct {
		const char *name;
		pmz_ns ns;
	} units[] = {
		{ "ns", 1 },         { "us", PMZ_US(1) },
		{ "ms", PMZ_MS(1) }, { "s", PMZ_S(1) },
		{ "m", PMZ_S(60) },  { "h", PMZ_S(3600) },
	};
	size_t i;

	for (i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		const size_t length = strlen(units[i].name);

		if (strncmp(at, units[i].name, length) == 0) {
			*span = pmz__sat_mul(n, units[i].ns);
			return at + length;
		}
	}
	return NULL;
}

const char *pmz__scan_span(const char *at, pmz_ns *span)
{
	uint64_t n;

	at = pmz__scan_number(at, &n);
	return at ? pmz__scan_unit(at, n, span) : NULL;
}

const char *pmz__scan_range(const char *at, pmz_ns *low, pmz_ns *high)
{
	at = pmz__scan_span(at, low);
	return at && at[0] == '.' && at[1] == '.' ? pmz__scan_span(at + 2, high)
	                                          : NULL;
}
