/*
 * host.h - one server, as all lanes know it.
 *
 * Threads: any.
 */
#ifndef PMZ_LIB_REDIS_HOST_H
#define PMZ_LIB_REDIS_HOST_H

#include <pipemaze/breaker.h>

#include "redis/owed.h"
#include "redis/socket.h"

/* How long a server that cannot be connected to is left alone. */
#define PMZ__REST_NS PMZ_MS(100)
#define PMZ__REST_MAX_NS PMZ_S(1)

typedef struct pmz__host {
	pmz__address address;
	pmz_ns connect_ns;
	pmz_breaker *breaker;
	pmz__owed *owed;                 /* that of its node */
	struct pmz__redis_node *cluster; /* it is part of, or NULL */
	uint32_t users;                  /* under the mutex of its node */
	pthread_mutex_t mutex;
	pmz__places places; /* under the mutex */
} pmz__host;

pmz__host *pmz__host_new(const pmz__address *address, pmz_ns connect_ns,
                         pmz__owed *owed); /* NULL: no memory */
void pmz__host_free(pmz__host *h);         /* NULL is fine */

/* What its name was last looked up to be; PMZ_E_IO and the reason. */
int pmz__host_places(pmz__host *h, pmz__places *out, char *text, size_t len);
/* All of them have failed: the next connection looks the name up again. */
void pmz__host_moved(pmz__host *h);

#endif
