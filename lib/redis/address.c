/*
 * address.c - where a Redis is, as its address says.
 */
#include "redis/address.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/assert.h"
#include "base/config.h"
#include "base/scan.h"

#define PORT_MAX 65535
#define MASK "***"

typedef struct reading {
	pmz__address *out;
	const char *text; /* the whole address */
	const char *at;   /* what is still to read */
	pmz_why *why;
} reading;

static const struct scheme {
	const char *name;
	uint32_t kind; /* 0: not yet */
} schemes[] = {
	{ "redis://", PMZ__ADDRESS_TCP },
	{ "redis+unix://", PMZ__ADDRESS_UNIX },
	{ "redis+cluster://", PMZ__ADDRESS_CLUSTER },
	{ "rediss://", 0 },
	{ "redis+sentinel://", 0 },
};

/* Everything up to the last @ may be a password whose own signs were not
 * encoded. */
static void mask(const char *text, char *out, size_t len)
{
	const char *slashes = strstr(text, "://");
	const char *from = slashes ? slashes + 3 : text;
	const char *at = strrchr(from, '@');
	const char *colon = at ? memchr(from, ':', (size_t)(at - from)) : NULL;
	const char *shown = colon ? colon + 1 : from;

	if (at)
		snprintf(out, len, "%.*s" MASK "%s", (int)(shown - text), text,
		         at);
	else
		snprintf(out, len, "%s", text);
}

static int refuse(const reading *r, const char *at, const char *reason)
{
	char shown[96]; /* leaves room for the reason */

	mask(r->text, shown, sizeof(shown));
	pmz__bad(r->why, "address", "%s: %s", shown, reason);
	if (r->why)
		r->why->column = (uint32_t)(at - r->text) + 1;
	return PMZ_E_CONFIG;
}

static int absent(const reading *r, const struct scheme *s)
{
	pmz__bad(r->why, "address", "%s addresses are not built in yet",
	         s->name);
	if (r->why)
		r->why->column = 1;
	return PMZ_E_ABSENT;
}

static int read_scheme(reading *r)
{
	size_t i;

	for (i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
		size_t len = strlen(schemes[i].name);

		if (strncasecmp(r->text, schemes[i].name, len))
			continue;
		r->at = r->text + len;
		r->out->kind = schemes[i].kind;
		return schemes[i].kind ? PMZ_OK : absent(r, &schemes[i]);
	}
	return refuse(r, r->text,
	              "an address begins with redis://, redis+unix://, "
	              "redis+cluster:// or memory:");
}

static int hex_of(char c)
{
	static const char digits[] = "0123456789abcdef";
	const char *at = c ? strchr(digits, c | 0x20) : NULL;

	return at ? (int)(at - digits) : -1;
}

/* One byte of a percent-encoded text; -1 for what is none. */
static int decoded(const char **at, const char *end)
{
	int high, low;

	if (**at != '%')
		return (unsigned char)*(*at)++;
	if (end - *at < 3)
		return -1;
	high = hex_of((*at)[1]);
	low = hex_of((*at)[2]);
	*at += 3;
	return high < 0 || low < 0 ? -1 : high << 4 | low;
}

static int decode(const reading *r, const char *at, const char *end, char *out,
                  size_t max, const char *too_long)
{
	size_t len = 0;

	while (at < end) {
		const char *from = at;
		int byte = decoded(&at, end);

		if (byte <= 0)
			return refuse(r, from,
			              "% is not followed by the two hex "
			              "digits of a byte");
		if (len == max)
			return refuse(r, from, too_long);
		out[len++] = (char)byte;
	}
	out[len] = '\0';
	return PMZ_OK;
}

static int read_login(reading *r, const char *end)
{
	const char *colon = memchr(r->at, ':', (size_t)(end - r->at));
	int st;

	if (!colon)
		return refuse(r, r->at,
		              "a password stands after a colon, as in "
		              "user:pass@ or :pass@");
	st = decode(r, r->at, colon, r->out->user, PMZ__USER_MAX,
	            "the user is longer than 127 bytes");
	if (st)
		return st;
	st = decode(r, colon + 1, end, r->out->pass, PMZ__PASS_MAX,
	            "the password is longer than 511 bytes");
	r->out->has_pass = *r->out->user || *r->out->pass;
	r->at = end + 1;
	return st;
}

/* The last @ ends it, before any path. */
static int read_login_if_any(reading *r)
{
	const char *end = r->at + strcspn(r->at, "/?#");
	const char *at = memrchr(r->at, '@', (size_t)(end - r->at));

	return at ? read_login(r, at) : PMZ_OK;
}

static int is_host(const char *host)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz"
				      "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789-._";

	return *host && !host[strspn(host, letters)];
}

static int is_ipv6(const char *host)
{
	struct in6_addr ignored;

	return inet_pton(AF_INET6, host, &ignored) == 1;
}

static int keep_host(reading *r, const char *from, const char *end)
{
	size_t len = (size_t)(end - from);

	if (len > PMZ__HOST_MAX)
		return refuse(r, from, "the host is longer than 255 bytes");
	memcpy(r->out->host, from, len);
	r->out->host[len] = '\0';
	return PMZ_OK;
}

static int read_bracketed(reading *r)
{
	const char *from = r->at + 1, *end = strchr(from, ']');
	int st;

	if (!end)
		return refuse(r, r->at, "[ has no ]");
	st = keep_host(r, from, end);
	if (st)
		return st;
	if (!is_ipv6(r->out->host))
		return refuse(r, from,
		              "there is no IPv6 address in the brackets");
	r->at = end + 1;
	return PMZ_OK;
}

static int read_host(reading *r)
{
	const char *from = r->at;
	int st;

	if (*from == '[')
		return read_bracketed(r);
	r->at += strcspn(from, ":/?#");
	st = keep_host(r, from, r->at);
	if (st)
		return st;
	if (!is_host(r->out->host))
		return refuse(r, from, "there is no host name");
	return PMZ_OK;
}

/* A number up to `max` which `end` follows, or the text's end. */
static int read_number(reading *r, uint64_t min, uint64_t max, char end,
                       uint32_t *out, const char *reason)
{
	uint64_t n;
	const char *rest = pmz__scan_number(r->at, &n);

	if (!rest || n < min || n > max || (*rest && *rest != end))
		return refuse(r, r->at, reason);
	*out = (uint32_t)n;
	r->at = rest;
	return PMZ_OK;
}

static int read_port(reading *r)
{
	r->out->port = PMZ__PORT_DEFAULT;
	if (*r->at != ':')
		return PMZ_OK;
	r->at++;
	return read_number(r, 1, PORT_MAX, '/', &r->out->port,
	                   "the port is no number from 1 to 65535");
}

static int read_db(reading *r)
{
	return read_number(r, 0, PMZ__DB_MAX, '\0', &r->out->db,
	                   "the database is no number from 0 to 65535");
}

static int read_path(reading *r)
{
	const char *from = r->at;

	if (*r->at == '/' && *++r->at) {
		int st = read_db(r);

		if (st)
			return st;
	}
	if (*r->at)
		return refuse(r, r->at, "there is something behind the host");
	if (r->out->kind == PMZ__ADDRESS_CLUSTER && r->out->db)
		return refuse(r, from, "a cluster has one database, 0");
	return PMZ_OK;
}

static int read_place(reading *r)
{
	int st = read_host(r);

	if (!st)
		st = read_port(r);
	return st ? st : read_path(r);
}

static int read_socket(reading *r)
{
	const char *from = r->at;
	size_t len = strcspn(from, "?");

	if (*from != '/' || len < 2)
		return refuse(r, from, "there is no path that begins with /");
	if (len > PMZ__UNIX_MAX)
		return refuse(r, from, "the path is longer than 107 bytes");
	r->at += len;
	memcpy(r->out->host, from, len);
	if (!*r->at)
		return PMZ_OK;
	if (strncmp(r->at, "?db=", 4))
		return refuse(r, r->at, "only ?db= may follow the path");
	r->at += 4;
	return read_db(r);
}

int pmz__address_read(pmz__address *out, const char *text, pmz_why *why)
{
	reading r = { out, text, text, why };
	int st;

	PMZ__ASSERT(out && text);
	memset(out, 0, sizeof(*out));
	st = read_scheme(&r);
	if (!st)
		st = read_login_if_any(&r);
	if (st)
		return st;
	return out->kind == PMZ__ADDRESS_UNIX ? read_socket(&r)
	                                      : read_place(&r);
}

int pmz__address_same(const pmz__address *a, const pmz__address *b)
{
	int is_path = a->kind == PMZ__ADDRESS_UNIX;

	/* A node of a cluster is no server of its own beside it. */
	if (is_path != (b->kind == PMZ__ADDRESS_UNIX) || a->db != b->db)
		return 0;
	if (is_path)
		return !strcmp(a->host, b->host);
	return a->port == b->port && !strcasecmp(a->host, b->host);
}
