/*
 * address.c - what the address of a Redis says, and what is wrong with it.
 */
#include "expect.h"

#include <stdio.h>
#include <string.h>

#include "redis/address.h"

#define TEN "0123456789"
#define FIFTY TEN TEN TEN TEN TEN
#define HUNDRED FIFTY FIFTY

static void every_form_gives_its_parts(void **state)
{
	static const struct {
		const char *text;
		pmz__address want;
	} rows[] = {
		{ "redis://h", { .kind = PMZ__ADDRESS_TCP, .host = "h" } },
		{ "redis://h/", { .kind = PMZ__ADDRESS_TCP, .host = "h" } },
		{ "REDIS://H", { .kind = PMZ__ADDRESS_TCP, .host = "H" } },
		{ "redis://h:1",
		  { .kind = PMZ__ADDRESS_TCP, .host = "h", .port = 1 } },
		{ "redis://10.0.0.7:65535/9",
		  { .kind = PMZ__ADDRESS_TCP,
		    .host = "10.0.0.7",
		    .port = 65535,
		    .db = 9 } },
		{ "redis://a-b.c_d/65535",
		  { .kind = PMZ__ADDRESS_TCP,
		    .host = "a-b.c_d",
		    .db = 65535 } },
		{ "redis://[::1]",
		  { .kind = PMZ__ADDRESS_TCP, .host = "::1" } },
		{ "redis://[fe80::2]:7000/1",
		  { .kind = PMZ__ADDRESS_TCP,
		    .host = "fe80::2",
		    .port = 7000,
		    .db = 1 } },
		{ "redis://u:p@h",
		  { .kind = PMZ__ADDRESS_TCP,
		    .host = "h",
		    .has_pass = 1,
		    .user = "u",
		    .pass = "p" } },
		{ "redis://:p@h:7",
		  { .kind = PMZ__ADDRESS_TCP,
		    .host = "h",
		    .port = 7,
		    .has_pass = 1,
		    .pass = "p" } },
		{ "redis://u:@h",
		  { .kind = PMZ__ADDRESS_TCP,
		    .host = "h",
		    .has_pass = 1,
		    .user = "u" } },
		{ "redis://:@h", { .kind = PMZ__ADDRESS_TCP, .host = "h" } },
		{ "redis://a%3Ab:c%40d%2f%25@h",
		  { .kind = PMZ__ADDRESS_TCP,
		    .host = "h",
		    .has_pass = 1,
		    .user = "a:b",
		    .pass = "c@d/%" } },
		{ "redis://:p@q:r@h",
		  { .kind = PMZ__ADDRESS_TCP,
		    .host = "h",
		    .has_pass = 1,
		    .pass = "p@q:r" } },
		{ "redis+unix:///run/redis.sock",
		  { .kind = PMZ__ADDRESS_UNIX, .host = "/run/redis.sock" } },
		{ "redis+unix:///a?db=12",
		  { .kind = PMZ__ADDRESS_UNIX, .host = "/a", .db = 12 } },
		{ "redis+unix://u:p@/a@b",
		  { .kind = PMZ__ADDRESS_UNIX,
		    .host = "/a@b",
		    .has_pass = 1,
		    .user = "u",
		    .pass = "p" } },
		{ "redis+cluster://h:7001",
		  { .kind = PMZ__ADDRESS_CLUSTER, .host = "h", .port = 7001 } },
		{ "redis+cluster://u:p@h/0",
		  { .kind = PMZ__ADDRESS_CLUSTER,
		    .host = "h",
		    .has_pass = 1,
		    .user = "u",
		    .pass = "p" } },
	};
	size_t i;

	(void)state;
	for (i = 0; i < KIT_COUNT(rows); i++) {
		pmz__address want = rows[i].want, got;
		pmz_why why;

		if (!want.port && want.kind != PMZ__ADDRESS_UNIX)
			want.port = PMZ__PORT_DEFAULT;
		if (pmz__address_read(&got, rows[i].text, &why) != PMZ_OK)
			fail_msg("row %zu: %s", i, why.text);
		if (memcmp(&got, &want, sizeof(got)))
			fail_msg("row %zu: %s differs", i, rows[i].text);
	}
}

static void what_is_no_address_is_named_with_its_byte(void **state)
{
	static const struct {
		const char *text;
		uint32_t column;
		const char *says;
	} rows[] = {
		{ "", 1, "begins with" },
		{ "h:6379", 1, "begins with" },
		{ "http://h", 1, "begins with" },
		{ "redis:/h", 1, "begins with" },
		{ "redis://", 9, "no host name" },
		{ "redis://:6379", 9, "no host name" },
		{ "redis:///1", 9, "no host name" },
		{ "redis://a b", 9, "no host name" },
		{ "redis://h:", 11, "no number from 1 to 65535" },
		{ "redis://h:0", 11, "no number from 1 to 65535" },
		{ "redis://h:65536", 11, "no number from 1 to 65535" },
		{ "redis://h:99999999999999999999", 11, "to 65535" },
		{ "redis://h:7x", 11, "no number from 1 to 65535" },
		{ "redis://h:-7", 11, "no number from 1 to 65535" },
		{ "redis://h/x", 11, "no number from 0 to 65535" },
		{ "redis://h/65536", 11, "no number from 0 to 65535" },
		{ "redis://h/1/2", 11, "no number from 0 to 65535" },
		{ "redis://h?db=1", 10, "something behind the host" },
		{ "redis://h#1", 10, "something behind the host" },
		{ "redis://[::1", 9, "[ has no ]" },
		{ "redis://[h]", 10, "no IPv6 address" },
		{ "redis://[::1]7", 14, "something behind the host" },
		{ "redis://u@h", 9, "after a colon" },
		{ "redis://u:%zz@h", 11, "hex digits" },
		{ "redis://u:%4@h", 11, "hex digits" },
		{ "redis://u:a%00@h", 12, "hex digits" },
		{ "redis://%:p@h", 9, "hex digits" },
		{ "redis+unix://run/x", 14, "no path" },
		{ "redis+unix:///", 14, "no path" },
		{ "redis+unix://", 14, "no path" },
		{ "redis+unix:///a?x=1", 16, "only ?db=" },
		{ "redis+unix:///a?db=", 20, "no number from 0" },
		{ "redis+unix:///a?db=1&x", 20, "no number from 0" },
		{ "redis+cluster://h/1", 18, "one database" },
	};
	size_t i;

	(void)state;
	for (i = 0; i < KIT_COUNT(rows); i++) {
		pmz__address at;
		pmz_why why;
		int st = pmz__address_read(&at, rows[i].text, &why);

		kit_expect_row(i, st, PMZ_E_CONFIG, pmz_status_name);
		if (!strstr(why.text, rows[i].says) ||
		    why.column != rows[i].column)
			fail_msg("row %zu: %s: column %u: %s", i, rows[i].text,
			         why.column, why.text);
	}
}

static void what_comes_later_is_absent(void **state)
{
	static const char *const rows[] = { "rediss://h", "rediss://u:p@h:1/2",
		                            "redis+sentinel://a,b/main" };
	size_t i;

	(void)state;
	for (i = 0; i < KIT_COUNT(rows); i++) {
		pmz__address at;
		pmz_why why;

		kit_expect_row(i, pmz__address_read(&at, rows[i], &why),
		               PMZ_E_ABSENT, pmz_status_name);
		assert_non_null(strstr(why.text, "not built in"));
	}
}

static void no_sentence_shows_a_password(void **state)
{
	static const char *const rows[] = {
		"redis://u:secret@h:x",
		"redis://:secret@h/x",
		"redis://secret@h",
		"redis://u:se/secret@h",
		"redis://u:a@secret@h:x",
		"http://u:secret@h",
		"redis://u:secret%@h",
		"redis+unix://u:secret@x",
		"redis://u:p?secret@h",
		"rediss://u:secret@h",
		"redis+cluster://u:secret@h/1",
	};
	size_t i;

	(void)state;
	for (i = 0; i < KIT_COUNT(rows); i++) {
		pmz__address at;
		pmz_why why;

		assert_int_not_equal(pmz__address_read(&at, rows[i], &why),
		                     PMZ_OK);
		if (strstr(why.text, "secret"))
			fail_msg("row %zu: %s", i, why.text);
	}
}

/* Each is the longest that is taken; one byte more is not. */
static void every_length_has_its_limit(void **state)
{
	static const struct {
		const char *before, *after, *says;
		size_t max;
	} rows[] = {
		{ "redis://", "", "host is longer", PMZ__HOST_MAX },
		{ "redis://", ":p@h", "user is longer", PMZ__USER_MAX },
		{ "redis://u:", "@h", "password is longer", PMZ__PASS_MAX },
		{ "redis+unix:///", "", "path is longer", PMZ__UNIX_MAX - 1 },
	};
	char text[1024];
	size_t i;

	(void)state;
	for (i = 0; i < KIT_COUNT(rows); i++) {
		pmz__address at;
		pmz_why why;
		int max = (int)rows[i].max;

		snprintf(text, sizeof(text), "%s%.*s%s", rows[i].before, max,
		         HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED,
		         rows[i].after);
		kit_expect_row(i, pmz__address_read(&at, text, &why), PMZ_OK,
		               pmz_status_name);
		snprintf(text, sizeof(text), "%s%.*s%s", rows[i].before,
		         max + 1,
		         HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED,
		         rows[i].after);
		kit_expect_row(i, pmz__address_read(&at, text, &why),
		               PMZ_E_CONFIG, pmz_status_name);
		if (!strstr(why.text, rows[i].says))
			fail_msg("row %zu: %s", i, why.text);
	}
}

static void two_addresses_of_one_place_are_the_same(void **state)
{
	static const struct {
		const char *a, *b;
		int same;
	} rows[] = {
		{ "redis://h", "redis://h:6379", 1 },
		{ "redis://h", "redis://h:6379/0", 1 },
		{ "redis://h", "redis://u:p@H", 1 },
		{ "redis://h", "redis+cluster://h", 1 },
		{ "redis+unix:///a", "redis+unix://:p@/a?db=0", 1 },
		{ "redis://h", "redis://h/1", 0 },
		{ "redis://h", "redis://h:6380", 0 },
		{ "redis://h", "redis://i", 0 },
		{ "redis+unix:///a", "redis+unix:///A", 0 },
		{ "redis+unix:///a", "redis+unix:///a?db=1", 0 },
		{ "redis+unix:///a", "redis://a", 0 },
	};
	size_t i;

	(void)state;
	for (i = 0; i < KIT_COUNT(rows); i++) {
		pmz__address a, b;

		expect_status(pmz__address_read(&a, rows[i].a, NULL), PMZ_OK);
		expect_status(pmz__address_read(&b, rows[i].b, NULL), PMZ_OK);
		if (pmz__address_same(&a, &b) != rows[i].same ||
		    pmz__address_same(&b, &a) != rows[i].same)
			fail_msg("row %zu: %s and %s", i, rows[i].a, rows[i].b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_form_gives_its_parts),
		cmocka_unit_test(what_is_no_address_is_named_with_its_byte),
		cmocka_unit_test(what_comes_later_is_absent),
		cmocka_unit_test(no_sentence_shows_a_password),
		cmocka_unit_test(every_length_has_its_limit),
		cmocka_unit_test(two_addresses_of_one_place_are_the_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
