/*
 * address.c - any text as the address of a Redis.
 */
#include "fuzz.h"

#include "redis/address.h"

static void has_an_end(const char *text, size_t size)
{
	must(memchr(text, '\0', size));
}

static void is_an_address(const pmz__address *a)
{
	must(a->kind >= PMZ__ADDRESS_TCP && a->kind <= PMZ__ADDRESS_CLUSTER);
	has_an_end(a->host, sizeof(a->host));
	has_an_end(a->user, sizeof(a->user));
	has_an_end(a->pass, sizeof(a->pass));
	must(a->host[0]);
	must(a->db <= PMZ__DB_MAX);
	must(a->has_pass || !a->pass[0]);
	if (a->kind == PMZ__ADDRESS_UNIX)
		must(strlen(a->host) <= PMZ__UNIX_MAX);
	else
		must(a->port >= 1 && a->port <= UINT16_MAX);
	must(pmz__address_same(a, a));
}

static void is_explained(int status, const pmz_why *why)
{
	must(status == PMZ_E_CONFIG || status == PMZ_E_ABSENT);
	has_an_end(why->field, sizeof(why->field));
	has_an_end(why->text, sizeof(why->text));
	must(why->text[0]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	bytes b = { data, size };
	char *text = bytes_long_text(&b);
	pmz__address a;
	pmz_why why;
	int status = pmz__address_read(&a, text, &why);

	must(pmz__address_read(&a, text, NULL) == status);
	if (status == PMZ_OK)
		is_an_address(&a);
	else
		is_explained(status, &why);
	free(text);
	return 0;
}
