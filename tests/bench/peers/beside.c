/*
 * beside.c - the rows of the peers that are in C: glibc, libmemcached.
 *
 * libmemcached looks up in its continuum twice: by its quickest way, Jenkins's
 * hash of the key, and by weighted ketama, which is MD5 and places each key
 * where our layout of that name does. That is checked for every key first. It
 * takes no more than a hundred servers this way.
 */
#include "harness.h"

#include <pthread.h>
#include <semaphore.h>
#include <string.h>

#ifdef HAVE_LIBMEMCACHED
#include <libmemcached/memcached.h>
#include <stdio.h>
#include <stdlib.h>
#endif

#define SLOTS 64

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static sem_t semaphore, empty_semaphore;

static uint64_t ask_empty(void *what, struct lane *lane, uint64_t n)
{
	uint64_t wrong = 0;

	(void)what;
	(void)lane;
	for (; n; n--)
		wrong += sem_trywait(&empty_semaphore) == 0;
	return wrong;
}

#ifdef HAVE_LIBMEMCACHED
struct continuum {
	unsigned servers;
	memcached_behavior_t behavior;
	uint64_t value;
	memcached_st *made;
};

#define QUICK \
	MEMCACHED_BEHAVIOR_DISTRIBUTION, MEMCACHED_DISTRIBUTION_CONSISTENT, NULL
#define WEIGHTED MEMCACHED_BEHAVIOR_KETAMA_WEIGHTED, 1, NULL

static struct continuum continua[] = {
	{ 10, QUICK },
	{ 100, QUICK },
	{ 10, WEIGHTED },
	{ 100, WEIGHTED },
};

static uint64_t find(void *what, struct lane *lane, uint64_t n)
{
	const struct continuum *c = what;
	uint64_t wrong = 0;

	for (; n; n--)
		wrong += memcached_generate_hash(c->made,
		                                 keys[lane->drawn++ % KEYS],
		                                 KEY_LEN) >= c->servers;
	return wrong;
}

static void make(struct continuum *c)
{
	memcached_server_list_st list = NULL;
	memcached_return_t status;
	char host[NAME_LEN];
	unsigned i;

	c->made = memcached_create(NULL);
	memcached_behavior_set(c->made, c->behavior, c->value);
	for (i = 0; i < c->servers; i++) {
		snprintf(host, sizeof(host), "%.*s",
		         (int)strcspn(names[i], ":"), names[i]);
		list = memcached_server_list_append(list, host, 11211, &status);
	}
	if (memcached_server_push(c->made, list))
		give_up("libmemcached", "takes no servers");
	memcached_server_list_free(list);
}

static void must_agree(const struct continuum *c)
{
	pmz_ring_config config = { .size = sizeof(config),
		                   .layout = PMZ_RING_LIBMEMCACHED };
	pmz_node *nodes = calloc(c->servers, sizeof(*nodes));
	pmz_ring *ring;
	uint32_t node;
	unsigned i;

	for (i = 0; nodes && i < c->servers; i++)
		nodes[i] = (pmz_node){ names[i], 1, 0 };
	if (!nodes || pmz_ring_new(&ring, &config, nodes, c->servers, NULL))
		give_up("ketama_find", "no ring");
	for (i = 0; i < KEYS; i++)
		if (pmz_ring_find(ring, keys[i], KEY_LEN, &node) ||
		    node != memcached_generate_hash(c->made, keys[i], KEY_LEN))
			give_up("ketama_find", "the two do not agree");
	pmz_ring_free(ring);
	free(nodes);
}

static void make_continua(void)
{
	size_t i;

	for (i = 0; i < sizeof(continua) / sizeof(*continua); i++) {
		make(&continua[i]);
		if (continua[i].behavior == MEMCACHED_BEHAVIOR_KETAMA_WEIGHTED)
			must_agree(&continua[i]);
	}
}
#else
static void make_continua(void)
{
}
#endif

const struct entry beside[] = {
	{ "clock", "C", 1, read_clock, NULL, NULL },
	{ "bulkhead_pair", "pthread mutex", 1, pair_mutex, &mutex,
	  "lock and unlock: a limit of one, and its loser waits" },
	{ "bulkhead_pair_2t", "pthread mutex", 2, pair_mutex, &mutex,
	  "lock and unlock: a limit of one, and its loser waits" },
	{ "bulkhead_pair", "glibc sem_t", 1, pair_semaphore, &semaphore,
	  "sem_trywait, sem_post: no statistics, and one post too many goes "
	  "unseen" },
	{ "bulkhead_pair_2t", "glibc sem_t", 2, pair_semaphore, &semaphore,
	  NULL },
	{ "bulkhead_refused", "glibc sem_t", 1, ask_empty, NULL, NULL },
#ifdef HAVE_LIBMEMCACHED
	{ "ring_find_10", "libmemcached", 1, find, &continua[0],
	  "its consistent distribution, by Jenkins's hash; 100 points a "
	  "server, "
	  "ours 160" },
	{ "ring_find_100", "libmemcached", 1, find, &continua[1], NULL },
	{ "ketama_find_10", "libmemcached", 1, find, &continua[2],
	  "weighted ketama by MD5: both place every key on the same server" },
	{ "ketama_find_100", "libmemcached", 1, find, &continua[3], NULL },
#endif
};
const unsigned beside_count = sizeof(beside) / sizeof(*beside);

void beside_prepare(void)
{
	if (sem_init(&semaphore, 0, SLOTS) || sem_init(&empty_semaphore, 0, 0))
		give_up("sem_t", "no semaphore");
	make_continua();
}
