/*
 * ring.h - which node has this key, and keep it so when nodes come and go.
 *
 *   pmz_node nodes[] = { { "10.0.0.1:80", 1, 0 }, { "10.0.0.2:80", 2, 0 } };
 *   pmz_ring *ring;
 *   uint32_t at;
 *   if (pmz_ring_new(&ring, NULL, nodes, 2, &why) == PMZ_OK &&
 *       pmz_ring_find(ring, "user-42", 7, &at) == PMZ_OK)
 *       http_get(nodes[at].name, deadline);
 *   pmz_ring_free(ring);
 *
 * A ring never changes, marks apart: make another, see with pmz_ring_diff_ppm()
 * how many keys would move, then use that one.
 *
 * NATIVE and RENDEZVOUS move exactly the share of the node that came, went or
 * was re-weighted; MAGLEV is the quickest and spreads best, and moves a few
 * keys more; JUMP can only add a shard at its end. The layouts from KETAMA on
 * place every key where the projects do that they are named after.
 *
 * Nothing here blocks, reads a clock, or allocates after _new.
 * Threads: any may find while another marks nodes down; _free needs it alone.
 */
#ifndef PIPEMAZE_RING_H
#define PIPEMAZE_RING_H

#include <pipemaze/base.h>

PMZ_BEGIN_DECLS

typedef struct pmz_ring pmz_ring;

typedef enum pmz_ring_layout {
	PMZ_RING_NATIVE = 1,       /* 160 points a weight unit, XXH64 */
	PMZ_RING_MAGLEV = 2,       /* a prime table, XXH64 */
	PMZ_RING_JUMP = 3,         /* numbered shards that only grow at the end,
	                            * all of weight 1, never down */
	PMZ_RING_RENDEZVOUS = 4,   /* few nodes: at most 64 */
	PMZ_RING_KETAMA = 16,      /* libketama */
	PMZ_RING_LIBMEMCACHED = 17, /* its weighted ketama; drops ":11211" */
	PMZ_RING_SPYMEMCACHED = 18, /* "host:port"; libmemcached's version of it
	                             * has names like "/host:port" */
	PMZ_RING_NGINX = 19,       /* upstream hash ... consistent */
	PMZ_RING_ENVOY = 20,       /* ring_hash with xxh64; in input order */
	PMZ_RING_ENVOY_MAGLEV = 21
} pmz_ring_layout;

typedef struct pmz_node {
	const char *name;  /* what is hashed; host:port as a rule */
	uint32_t weight;   /* 0: gets nothing */
	uint32_t reserved;
} pmz_node;

typedef struct pmz_ring_config {
	uint32_t size;       /* sizeof(pmz_ring_config) */
	uint32_t layout;     /* PMZ_RING_NATIVE */
	uint32_t points;     /* 160    a weight unit (NATIVE) */
	uint32_t table_size; /* 65537  a prime, 100 x the nodes to spread to
	                      *        1 %; never changed with them (MAGLEVs) */
	uint32_t size_min;   /* 1024   of the ring (ENVOY) */
	uint32_t size_max;   /* 8 M    likewise */
} pmz_ring_config;

/* Copies the nodes; cfg may be NULL. The order in which they come makes no
 * difference (JUMP and ENVOY apart): where points of two nodes fall together,
 * their names decide. PMZ_E_CONFIG, with why->index: no nodes, or more than
 * 2^24 of them; two alike, or one without a name; weights of 2^32 in all, or
 * more than 2^24 points; a table that is no prime or has fewer slots than
 * nodes; weights that JUMP cannot have.
 * PMZ_E_ABSENT: a layout that needs MD5 in a build without it. */
PMZ_API PMZ_MUST_USE int pmz_ring_new(pmz_ring **out,
                                      const pmz_ring_config *cfg,
                                      const pmz_node *nodes, size_t count,
                                      pmz_why *why);
PMZ_API void pmz_ring_free(pmz_ring *r);

/* *node is an index into the nodes given. PMZ_REFUSED_EMPTY: all are down. */
PMZ_API PMZ_MUST_USE int pmz_ring_find(const pmz_ring *r, const void *key,
                                       size_t len, uint32_t *node);
/* The layout's own hash of a key (32-bit layouts use the low half), and the
 * same search for it. */
PMZ_API uint64_t pmz_ring_hash(const pmz_ring *r, const void *key, size_t len);
PMZ_API PMZ_MUST_USE int pmz_ring_find_hash(const pmz_ring *r, uint64_t hash,
                                            uint32_t *node);
/* The first `max` different nodes for the key that are up, best first, which is
 * the one that pmz_ring_find() gives; returns how many. */
PMZ_API size_t pmz_ring_replicas(const pmz_ring *r, const void *key,
                                 size_t len, uint32_t *nodes, size_t max);

/* A node that is down is passed over; its points stay, so its return moves
 * nothing else. PMZ_E_CONFIG: there is no such node, or the layout is JUMP,
 * whose shards no other can stand in for. */
PMZ_API int pmz_ring_mark(pmz_ring *r, uint32_t node, int down);

/* What share of all keys two rings place on nodes of different names, marks
 * counted, in parts per million: exact for two rings, or tables of one size,
 * that hash keys alike; else of a million keys. */
PMZ_API uint32_t pmz_ring_diff_ppm(const pmz_ring *a, const pmz_ring *b);

/* XXH64. */
PMZ_API uint64_t pmz_hash(const void *key, size_t len, uint64_t seed);
/* Lamping and Veach's jump hash; 0 for no buckets. */
PMZ_API uint32_t pmz_jump(uint64_t key, uint32_t buckets);

/* h * 31 + c over UTF-16 units in 32 bits, its absolute value modulo n: where
 * JavaScript producers put a key. `key` is UTF-8, what is not becomes U+FFFD;
 * 0 for n = 0. */
PMZ_API uint32_t pmz_partition_js(const char *key, size_t len, uint32_t n);

PMZ_END_DECLS
#endif /* PIPEMAZE_RING_H */
