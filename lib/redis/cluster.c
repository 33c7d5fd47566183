/*
 * cluster.c - which server of a cluster has which slot.
 *
 * The map only saves a trip: a server that is asked for a slot it does not have
 * says who has it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/scan.h"
#include "redis/node.h"

#define PORT_MAX 65535

int pmz__node_is_cluster(const pmz__redis_node *n)
{
	return n->address.kind == PMZ__ADDRESS_CLUSTER;
}

uint32_t pmz__cluster_owner(pmz__redis_node *n, uint32_t slot)
{
	uint32_t owner;

	pthread_mutex_lock(&n->mutex);
	owner = n->owner[slot % PMZ__SLOTS];
	pthread_mutex_unlock(&n->mutex);
	return owner;
}

uint32_t pmz__cluster_count(pmz__redis_node *n)
{
	uint32_t count;

	pthread_mutex_lock(&n->mutex);
	count = n->count;
	pthread_mutex_unlock(&n->mutex);
	return count;
}

static int owns_slots(const pmz__redis_node *n, uint32_t host)
{
	return memchr(n->owner, (int)host, sizeof(n->owner)) != NULL;
}

/* Where a new host goes; PMZ__NO_HOST: all are in use. */
static uint32_t make_room(pmz__redis_node *n)
{
	uint32_t i;

	if (n->count < PMZ__HOSTS_MAX)
		return n->count++;
	for (i = 1; i < n->count; i++)
		if (!n->host[i] || (!n->host[i]->users && !owns_slots(n, i)))
			return i;
	return PMZ__NO_HOST;
}

static uint32_t add(pmz__redis_node *n, const pmz__address *at)
{
	uint32_t i = make_room(n);

	if (i == PMZ__NO_HOST)
		return i;
	pmz__host_free(n->host[i]);
	n->host[i] = pmz__host_new(at, n->connect_ns, &n->owed);
	if (!n->host[i])
		return PMZ__NO_HOST;
	n->host[i]->cluster = n;
	return i;
}

/* Under the mutex. */
static uint32_t find_or_add(pmz__redis_node *n, const char *name, size_t len,
                            uint32_t port)
{
	pmz__address at = n->address;
	uint32_t i;

	if (len > PMZ__HOST_MAX || !port || port > PORT_MAX)
		return PMZ__NO_HOST;
	memcpy(at.host, name, len);
	at.host[len] = '\0';
	at.port = port;
	for (i = 0; i < n->count; i++)
		if (n->host[i] && pmz__address_same(&n->host[i]->address, &at))
			return i;
	return add(n, &at);
}

/* A server that does not know its own name leaves it out. */
static uint32_t find(pmz__redis_node *n, const char *name, size_t len,
                     uint32_t port, uint32_t asked)
{
	if (!len) {
		name = n->host[asked]->address.host;
		len = strlen(name);
	}
	return find_or_add(n, name, len, port);
}

uint32_t pmz__cluster_find(pmz__redis_node *n, const char *where,
                           uint32_t asked)
{
	const char *colon = strrchr(where, ':'), *end;
	uint64_t port;
	uint32_t host;

	end = colon ? pmz__scan_number(colon + 1, &port) : NULL;
	if (!end || *end || port > PORT_MAX)
		return PMZ__NO_HOST;
	pthread_mutex_lock(&n->mutex);
	host = find(n, where, (size_t)(colon - where), (uint32_t)port, asked);
	pthread_mutex_unlock(&n->mutex);
	return host;
}

void pmz__cluster_moved(pmz__redis_node *n, uint32_t slot, uint32_t host)
{
	pthread_mutex_lock(&n->mutex);
	n->owner[slot % PMZ__SLOTS] = (uint8_t)host;
	n->stale = 1;
	pthread_mutex_unlock(&n->mutex);
}

void pmz__cluster_doubt(pmz__redis_node *n)
{
	pthread_mutex_lock(&n->mutex);
	n->stale = 1;
	pthread_mutex_unlock(&n->mutex);
}

int pmz__cluster_is_stale(pmz__redis_node *n)
{
	int stale;

	pthread_mutex_lock(&n->mutex);
	stale = n->stale != 0;
	pthread_mutex_unlock(&n->mutex);
	return stale;
}

int pmz__cluster_serves(pmz__redis_node *n, const pmz__host *host,
                        uint32_t slot)
{
	uint32_t owner;
	int serves;

	pthread_mutex_lock(&n->mutex);
	owner = n->owner[slot % PMZ__SLOTS];
	serves = owner == PMZ__NO_HOST || n->host[owner] == host;
	pthread_mutex_unlock(&n->mutex);
	return serves;
}

pmz__host *pmz__cluster_use(pmz__redis_node *n, uint32_t host)
{
	pmz__host *h;

	pthread_mutex_lock(&n->mutex);
	h = host < n->count ? n->host[host] : NULL;
	if (h)
		h->users++;
	pthread_mutex_unlock(&n->mutex);
	return h;
}

void pmz__cluster_leave(pmz__redis_node *n, uint32_t host)
{
	pthread_mutex_lock(&n->mutex);
	n->host[host]->users--;
	pthread_mutex_unlock(&n->mutex);
}

static int is_number(const redisReply *reply, long long max)
{
	return reply->type == REDIS_REPLY_INTEGER && reply->integer >= 0 &&
	       reply->integer <= max;
}

/* name, port, and more that is of no use here */
static uint32_t read_server(pmz__redis_node *n, const redisReply *server,
                            uint32_t asked)
{
	const redisReply *name;

	if (server->type != REDIS_REPLY_ARRAY || server->elements < 2 ||
	    !is_number(server->element[1], PORT_MAX))
		return PMZ__NO_HOST;
	name = server->element[0];
	return find(n, name->type == REDIS_REPLY_STRING ? name->str : "",
	            name->type == REDIS_REPLY_STRING ? name->len : 0,
	            (uint32_t)server->element[1]->integer, asked);
}

/* first slot, last slot, master, replicas; of these one may be the next master,
 * and is worth knowing when the others are gone. */
static void learn_range(pmz__redis_node *n, const redisReply *range,
                        uint32_t asked)
{
	long long slot;
	uint32_t owner;
	size_t i;

	if (range->type != REDIS_REPLY_ARRAY || range->elements < 3 ||
	    !is_number(range->element[0], PMZ__SLOTS - 1) ||
	    !is_number(range->element[1], PMZ__SLOTS - 1))
		return;
	owner = read_server(n, range->element[2], asked);
	for (slot = range->element[0]->integer;
	     slot <= range->element[1]->integer; slot++)
		n->owner[slot] = (uint8_t)owner;
	for (i = 3; i < range->elements; i++)
		read_server(n, range->element[i], asked);
}

void pmz__cluster_learn(pmz__redis_node *n, const redisReply *reply,
                        uint32_t asked)
{
	size_t i;

	if (reply->type != REDIS_REPLY_ARRAY)
		return;
	pthread_mutex_lock(&n->mutex);
	memset(n->owner, PMZ__NO_HOST, sizeof(n->owner));
	for (i = 0; i < reply->elements; i++)
		learn_range(n, reply->element[i], asked);
	n->stale = 0;
	pthread_mutex_unlock(&n->mutex);
}
