/*
 * address.h - where a Redis is, as its address says.
 *
 *   redis://[user:pass@]host[:port][/db]
 *   redis+unix://[user:pass@]/path[?db=N]
 *   redis+cluster://[user:pass@]host[:port]
 *
 * User and pass are percent-decoded, either may be empty; an IPv6 host stands
 * in brackets.
 */
#ifndef PMZ_LIB_REDIS_ADDRESS_H
#define PMZ_LIB_REDIS_ADDRESS_H

#include <pipemaze/base.h>

#define PMZ__HOST_MAX 255 /* RFC 1035; the path of a socket is shorter */
#define PMZ__UNIX_MAX 107 /* sockaddr_un */
#define PMZ__USER_MAX 127
#define PMZ__PASS_MAX 511
#define PMZ__DB_MAX 65535
#define PMZ__PORT_DEFAULT 6379

typedef enum pmz__address_kind {
	PMZ__ADDRESS_TCP = 1,
	PMZ__ADDRESS_UNIX = 2,
	PMZ__ADDRESS_CLUSTER = 3
} pmz__address_kind;

typedef struct pmz__address {
	uint32_t kind; /* pmz__address_kind */
	uint32_t db;
	uint32_t port;
	uint32_t has_pass;
	char host[PMZ__HOST_MAX + 1]; /* or the path */
	char user[PMZ__USER_MAX + 1]; /* empty: the server's default user */
	char pass[PMZ__PASS_MAX + 1];
} pmz__address;

/* PMZ_E_ABSENT for what later versions will know, PMZ_E_CONFIG for what is no
 * address; *why (may be NULL) shows no password. */
int pmz__address_read(pmz__address *out, const char *text, pmz_why *why);

/* The same server and db, whoever logs in. */
int pmz__address_same(const pmz__address *a, const pmz__address *b);

#endif
