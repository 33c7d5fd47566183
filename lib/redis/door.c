/*
 * door.c - from addresses to locks. It is built without Redis too, and then
 * absent.c answers what lies behind it.
 */
#include <string.h>
#include <strings.h>

#include "base/assert.h"
#include "base/config.h"
#include "lock/locks.h"
#include "redis/open.h"

static int is_memory(const char *address)
{
	return !strcmp(address, "memory:");
}

/* Each memory: is a store of its own. */
static int check_twice(const char *const *addresses, pmz__node *const *nodes,
                       size_t which, pmz_why *why)
{
	size_t i;

	for (i = 0; i < which; i++)
		if (!is_memory(addresses[i]) && !is_memory(addresses[which]) &&
		    pmz__redis_node_same(nodes[i], nodes[which]))
			return pmz__bad(why, "address",
			                "it is that of node %u as well: one "
			                "server has one vote",
			                (unsigned)i);
	return PMZ_OK;
}

/* A cluster has its own majority, and redirects that a quorum cannot follow. */
static int check_alone(const char *address, size_t count, pmz_why *why)
{
	static const char cluster[] = "redis+cluster:";

	if (count > 1 && !strncasecmp(address, cluster, sizeof(cluster) - 1))
		return pmz__bad(why, "address",
		                "a cluster stands alone: it is one node of "
		                "no quorum");
	return PMZ_OK;
}

static int open_node(pmz__node **out, const char *address, pmz_ns connect_ns,
                     pmz_why *why)
{
	if (!is_memory(address))
		return pmz__redis_node_new(out, address, connect_ns, why);
	*out = pmz__memory_new();
	return *out ? PMZ_OK : pmz__why(why, PMZ_E_NOMEM);
}

static int open_nth(pmz__node **nodes, const char *const *addresses,
                    size_t which, size_t count, pmz_ns connect_ns, pmz_why *why)
{
	const char *address = addresses[which];
	int status = check_alone(address, count, why);

	if (status)
		return status;
	status = open_node(&nodes[which], address, connect_ns, why);
	if (status)
		return status;
	status = check_twice(addresses, nodes, which, why);
	if (status)
		nodes[which]->type->free(nodes[which]);
	return status;
}

static int check_count(size_t count, pmz_why *why)
{
	if (!count)
		return pmz__bad(why, "count", "there is no address");
	if (count > PMZ_LOCK_NODES_MAX)
		return pmz__bad(why, "count", "more than %u addresses",
		                PMZ_LOCK_NODES_MAX);
	return PMZ_OK;
}

static int open_all(pmz_locks **out, const char *const *addresses, size_t count,
                    const pmz_locks_config *cfg, pmz_why *why)
{
	pmz__node *nodes[PMZ_LOCK_NODES_MAX];
	pmz_locks_config c;
	uint32_t made;
	int status = check_count(count, why);

	if (!status)
		status = pmz__locks_config_read(&c, cfg, why);
	if (status)
		return status;
	for (made = 0; made < count; made++) {
		status = open_nth(nodes, addresses, made, count, c.connect_ns,
		                  why);
		if (status)
			break;
	}
	if (!status)
		return pmz__locks_new(out, nodes, made, cfg, why);
	if (why)
		why->index = made;
	while (made--)
		nodes[made]->type->free(nodes[made]);
	return status;
}

int pmz_locks_open(pmz_locks **out, const char *const *addresses, size_t count,
                   const pmz_locks_config *cfg, pmz_why *why)
{
	int before = pmz__cancel_off(), status;

	PMZ__ASSERT(out && addresses);
	*out = NULL;
	status = open_all(out, addresses, count, cfg, why);
	pmz__cancel_on(before);
	return status;
}
