/*
 * socket.h - names into addresses, addresses into connected sockets.
 *
 * Nothing blocks but the look-up of a name that is none of an address.
 */
#ifndef PMZ_LIB_REDIS_SOCKET_H
#define PMZ_LIB_REDIS_SOCKET_H

#include <sys/socket.h>

#include "redis/address.h"

#define PMZ__PLACES_MAX 8 /* of one name; more are left out */

typedef struct pmz__place {
	socklen_t len;
	struct sockaddr_storage at;
} pmz__place;

typedef struct pmz__places {
	uint32_t count; /* 0: not looked up */
	pmz__place place[PMZ__PLACES_MAX];
} pmz__places;

/* PMZ_OK, or PMZ_E_IO and the reason in words. */
int pmz__places_find(pmz__places *out, const pmz__address *address, char *text,
                     size_t len);

/* Connecting: one place after the other, each for its share of what is left. */
typedef struct pmz__dial {
	pmz__places places;
	uint32_t next;
	int fd;
	int error;        /* errno of the last place that failed */
	pmz_ns due, turn; /* of all, and of the place now tried */
} pmz__dial;

typedef enum pmz__dialled {
	PMZ__DIAL_BUSY = 0, /* fd turns writable, or dial->turn passes */
	PMZ__DIAL_OPEN = 1, /* fd is the caller's from here on */
	PMZ__DIAL_FAILED = 2
} pmz__dialled;

/* dial->places is there; the first step is made by _go_on. */
void pmz__dial_begin(pmz__dial *dial, pmz_ns due);
pmz__dialled pmz__dial_go_on(pmz__dial *dial, pmz_ns now);
void pmz__dial_end(pmz__dial *dial);

/* What the kernel still holds of it never leaves. */
void pmz__socket_reset(int fd);
/* What was written is delivered, though nobody waits for it. */
void pmz__socket_close(int fd);
/* From here on a call blocks that does not say otherwise. */
void pmz__socket_may_sleep(int fd);

#endif
