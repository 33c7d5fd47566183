/*
 * ring_libmemcached.c - its weighted ketama beside ours, key for key.
 *
 * libmemcached is not needed for anything else, so it is loaded as the test
 * runs; without its headers (Debian: libmemcached-dev) there is nothing to do.
 */
#include "expect.h"

#include <stdio.h>

#include "core/ring_hash.h"
#include "dice.h"

#if PMZ_KETAMA && defined(__has_include)
#if __has_include(<libmemcached/memcached.h>)
#define HAVE_LIBMEMCACHED
#endif
#endif

#ifdef HAVE_LIBMEMCACHED

#include <dlfcn.h>
#include <string.h>

#include <libmemcached/memcached.h>
#include <pipemaze/ring.h>

#define SERVERS_MAX 100 /* it aborts at 101 */
#define KEYS 3000
#define NAME 64

static struct {
	memcached_st *(*create)(memcached_st *memc);
	void (*free)(memcached_st *memc);
	memcached_return_t (*behavior_set)(memcached_st *memc,
	                                   memcached_behavior_t flag,
	                                   uint64_t data);
	memcached_return_t (*set_distribution)(memcached_st *memc,
	                                       memcached_server_distribution_t);
	memcached_return_t (*add)(memcached_st *memc, const char *host,
	                          in_port_t port, uint32_t weight);
	uint32_t (*node_of)(const memcached_st *memc, const char *key,
	                    size_t len);
} lib;

static int load_one(void *from, const char *name, void *to)
{
	void *symbol = dlsym(from, name);

	memcpy(to, &symbol, sizeof(symbol));
	return symbol != NULL;
}

static int load(void)
{
	void *from = dlopen("libmemcached.so.11", RTLD_NOW);

	return from && load_one(from, "memcached_create", &lib.create) &&
	       load_one(from, "memcached_free", &lib.free) &&
	       load_one(from, "memcached_behavior_set", &lib.behavior_set) &&
	       load_one(from, "memcached_behavior_set_distribution",
	                &lib.set_distribution) &&
	       load_one(from, "memcached_server_add_with_weight", &lib.add) &&
	       load_one(from, "memcached_generate_hash", &lib.node_of);
}

struct side_by_side {
	dice dice;
	memcached_st *theirs;
	pmz_node nodes[SERVERS_MAX];
	char names[SERVERS_MAX][NAME];
	uint32_t count;
};

static void begin(struct side_by_side *s, int seed, int as_spymemcached)
{
	s->dice = dice_of(seed);
	s->count = 0;
	s->theirs = lib.create(NULL);
	assert_non_null(s->theirs);
	assert_int_equal(
		lib.behavior_set(s->theirs, MEMCACHED_BEHAVIOR_KETAMA_WEIGHTED,
	                         1),
		MEMCACHED_SUCCESS);
	if (as_spymemcached)
		assert_int_equal(
			lib.set_distribution(
				s->theirs,
				MEMCACHED_DISTRIBUTION_CONSISTENT_KETAMA_SPY),
			MEMCACHED_SUCCESS);
}

static void add_server(struct side_by_side *s, uint32_t weight,
                       int as_spymemcached)
{
	uint32_t i = s->count++;
	in_port_t port = 11211;
	char host[NAME / 2];

	if (dice_once_in(&s->dice, 2))
		port = (in_port_t)dice_between(&s->dice, 11210, 11213);
	snprintf(host, sizeof(host), "10.%u.%u.7", (unsigned)(i % 7),
	         (unsigned)i);
	assert_int_equal(lib.add(s->theirs, host, port, weight),
	                 MEMCACHED_SUCCESS);
	snprintf(s->names[i], NAME, "%s%s:%u", as_spymemcached ? "/" : "",
	         host, (unsigned)port);
	s->nodes[i] = (pmz_node){ s->names[i], weight, 0 };
}

static void compare(struct side_by_side *s, uint32_t layout)
{
	pmz_ring_config c = { .size = sizeof(c), .layout = layout };
	uint32_t node, i;
	pmz_ring *ours;
	char key[32];

	expect_status(pmz_ring_new(&ours, &c, s->nodes, s->count, NULL),
	              PMZ_OK);
	for (i = 0; i < KEYS; i++) {
		size_t len = (size_t)snprintf(key, sizeof(key), "key:%llx",
		                              (unsigned long long)dice_sized(
						      &s->dice, 64));

		expect_status(pmz_ring_find(ours, key, len, &node), PMZ_OK);
		if (node != lib.node_of(s->theirs, key, len))
			fail_msg("%u servers: %s is on %u", (unsigned)s->count,
			         key, (unsigned)node);
	}
	pmz_ring_free(ours);
}

static void compare_all(uint32_t layout, uint32_t weight_max)
{
	int as_spymemcached = layout == PMZ_RING_SPYMEMCACHED;
	static struct side_by_side s;
	uint32_t count, i;

	for (count = 1; count <= SERVERS_MAX; count += count < 30 ? 1 : 7) {
		begin(&s, (int)(count * weight_max), as_spymemcached);
		for (i = 0; i < count; i++)
			add_server(&s,
			           (uint32_t)dice_between(&s.dice, 1,
			                                  weight_max),
			           as_spymemcached);
		compare(&s, layout);
		lib.free(s.theirs);
	}
}

static void keys_are_on_the_same_server_of_equal_ones(void **state)
{
	(void)state;
	compare_all(PMZ_RING_LIBMEMCACHED, 1);
}

static void keys_are_on_the_same_server_of_weighted_ones(void **state)
{
	(void)state;
	compare_all(PMZ_RING_LIBMEMCACHED, 10);
	compare_all(PMZ_RING_LIBMEMCACHED, 1000000);
}

static void keys_are_on_the_same_server_as_for_spymemcached(void **state)
{
	(void)state;
	compare_all(PMZ_RING_SPYMEMCACHED, 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys_are_on_the_same_server_of_equal_ones),
		cmocka_unit_test(keys_are_on_the_same_server_of_weighted_ones),
		cmocka_unit_test(
			keys_are_on_the_same_server_as_for_spymemcached),
	};

	if (!load()) {
		puts("ring_libmemcached: skip: no libmemcached.so.11 here");
		return 0;
	}
	return cmocka_run_group_tests_name("ring and libmemcached", tests, NULL,
	                                   NULL);
}

#else

int main(void)
{
	puts("ring_libmemcached: skip: no libmemcached-dev here, or no MD5");
	return 0;
}

#endif
