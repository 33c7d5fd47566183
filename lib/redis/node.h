/*
 * node.h - what all lanes know of one address: its server, or, of a cluster,
 * its servers and which of them has which slot.
 *
 * Threads: any.
 */
#ifndef PMZ_LIB_REDIS_NODE_H
#define PMZ_LIB_REDIS_NODE_H

#include <hiredis/hiredis.h>

#include "lock/link.h"
#include "redis/host.h"
#include "redis/slot.h"

/* Masters and replicas of one cluster; those that have gone make room. */
#define PMZ__HOSTS_MAX 128
#define PMZ__NO_HOST PMZ__HOSTS_MAX

typedef struct pmz__redis_node {
	pmz__node node;
	pmz__address address;
	pmz_ns connect_ns;
	pmz__owed owed;
	pthread_mutex_t mutex;
	uint32_t count; /* of hosts; the first is that of the address */
	uint32_t stale; /* the slots are not, or no longer, as below */
	pmz__host *host[PMZ__HOSTS_MAX];
	uint8_t owner[PMZ__SLOTS]; /* a host, or PMZ__NO_HOST */
} pmz__redis_node;

int pmz__node_is_cluster(const pmz__redis_node *n);

/* cluster.c */
uint32_t pmz__cluster_owner(pmz__redis_node *n, uint32_t slot);
uint32_t pmz__cluster_count(pmz__redis_node *n);
/* "host:port"; without a host it is that of `asked`. PMZ__NO_HOST: no memory,
 * or too many. */
uint32_t pmz__cluster_find(pmz__redis_node *n, const char *where,
                           uint32_t asked);
/* One slot is there, and others may have moved too. */
void pmz__cluster_moved(pmz__redis_node *n, uint32_t slot, uint32_t host);
/* The answer of `asked` to CLUSTER SLOTS. */
void pmz__cluster_learn(pmz__redis_node *n, const redisReply *reply,
                        uint32_t asked);
void pmz__cluster_doubt(pmz__redis_node *n);
/* Between these two the host stays; NULL: there is none. */
pmz__host *pmz__cluster_use(pmz__redis_node *n, uint32_t host);
void pmz__cluster_leave(pmz__redis_node *n, uint32_t host);
int pmz__cluster_is_stale(pmz__redis_node *n);
/* What is owed for this slot may be paid there. */
int pmz__cluster_serves(pmz__redis_node *n, const pmz__host *host,
                        uint32_t slot);

/* redis_link.c */
pmz__link *pmz__redis_link_new(pmz__node *node);

#endif
