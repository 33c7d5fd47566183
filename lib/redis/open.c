/*
 * open.c - what an address stands for, to be connected to.
 */
#include "redis/open.h"

#include <string.h>

#include "base/alloc.h"
#include "base/config.h"
#include "redis/node.h"

static void node_free(pmz__node *node)
{
	pmz__redis_node *n = (pmz__redis_node *)node;
	uint32_t i;

	for (i = 0; i < n->count; i++)
		pmz__host_free(n->host[i]);
	pmz__owed_end(&n->owed);
	pthread_mutex_destroy(&n->mutex);
	pmz__free(n);
}

static pmz__redis_node *node_new(const pmz__address *address, pmz_ns connect_ns)
{
	static const pmz__node_type type = { pmz__redis_link_new, node_free };
	pmz__redis_node *n = (pmz__redis_node *)pmz__alloc(sizeof(*n));

	if (!n)
		return NULL;
	n->node.type = &type;
	n->address = *address;
	n->connect_ns = connect_ns;
	n->stale = 1;
	memset(n->owner, PMZ__NO_HOST, sizeof(n->owner));
	pmz__owed_init(&n->owed);
	pthread_mutex_init(&n->mutex, NULL);
	n->host[0] = pmz__host_new(address, connect_ns, &n->owed);
	if (!n->host[0]) {
		node_free(&n->node);
		return NULL;
	}
	n->count = 1;
	if (pmz__node_is_cluster(n))
		n->host[0]->cluster = n;
	return n;
}

int pmz__redis_node_new(pmz__node **out, const char *address, pmz_ns connect_ns,
                        pmz_why *why)
{
	pmz__address at;
	pmz__redis_node *n;
	int st = pmz__address_read(&at, address, why);

	*out = NULL;
	if (st)
		return st;
	n = node_new(&at, connect_ns);
	if (!n)
		return pmz__why(why, PMZ_E_NOMEM);
	*out = &n->node;
	return PMZ_OK;
}

int pmz__redis_node_same(const pmz__node *a, const pmz__node *b)
{
	return pmz__address_same(&((const pmz__redis_node *)a)->address,
	                         &((const pmz__redis_node *)b)->address);
}
