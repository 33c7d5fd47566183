/*
 * status.c - what a status is called, and what it says; the version.
 */
#include <pipemaze/base.h>
#include <pipemaze/version.h>

const char *pmz_status_name(int status)
{
	switch (status) {
#define NAME(name, value, text) \
	case value:             \
		return #name;
		PMZ_STATUS_MAP(NAME)
#undef NAME
	default:
		return "PMZ_UNKNOWN";
	}
}

const char *pmz_status_text(int status)
{
	switch (status) {
#define TEXT(name, value, text) \
	case value:             \
		return text;
		PMZ_STATUS_MAP(TEXT)
#undef TEXT
	default:
		return "unknown status";
	}
}

const char *pmz_version(void)
{
	return PMZ_VERSION;
}

uint32_t pmz_version_number(void)
{
	return (uint32_t)PMZ_VERSION_MAJOR << 16 |
	       (uint32_t)PMZ_VERSION_MINOR << 8 | (uint32_t)PMZ_VERSION_PATCH;
}
