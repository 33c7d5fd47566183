/*
 * ring_points.c - how many points each node has on its circle, and where.
 *
 * The native layout hashes a node's name once for each point, seeded with the
 * point's number: a heavier node keeps the points that it had. The others do
 * what the projects they are named after do, to the last bit, and that
 * includes how their shares are rounded: in float, in double, step by step in
 * statements of their own, so that no compiler fuses two of them.
 */
#include "core/ring.h"

#include "core/ring_hash.h"

#define KETAMA_DIGESTS 40 /* a node of average weight, 4 points each */
#define NGINX_POINTS 160  /* a weight unit */

static uint64_t points_native(const pmz__plan *p, uint32_t weight)
{
	return (uint64_t)weight * p->cfg.points;
}

/* libketama: in double, and only the result is a float. */
static uint64_t points_ketama(const pmz__plan *p, uint32_t weight)
{
	float share = (float)weight / (float)p->weight;
	double digests = share * (double)KETAMA_DIGESTS;

	digests = digests * (float)p->usable;
	return 4 * (uint64_t)(float)digests;
}

/* libmemcached, and what others took from it: in float. Its * 4 / 4 is exact,
 * and the 1e-10 that it adds is under half of the last bit of all from 1 on. */
static uint64_t points_memcached(const pmz__plan *p, uint32_t weight)
{
	float share = (float)weight / (float)p->weight;
	float digests = share * KETAMA_DIGESTS;

	digests = digests * (float)p->usable;
	return 4 * (uint64_t)digests;
}

/* spymemcached has weights only where one sets them. */
static uint64_t points_spymemcached(const pmz__plan *p, uint32_t weight)
{
	if (p->heaviest == 1)
		return 4 * KETAMA_DIGESTS;
	return points_memcached(p, weight);
}

static uint64_t points_of(const pmz__plan *p, uint32_t weight)
{
	switch (p->cfg.layout) {
	case PMZ_RING_KETAMA:
		return points_ketama(p, weight);
	case PMZ_RING_LIBMEMCACHED:
		return points_memcached(p, weight);
	case PMZ_RING_SPYMEMCACHED:
		return points_spymemcached(p, weight);
	case PMZ_RING_NGINX:
		return (uint64_t)weight * NGINX_POINTS;
	default:
		return points_native(p, weight);
	}
}

/* x >= 0 and far below 2^64. */
static double ceiling(double x)
{
	double whole = (double)(uint64_t)x;

	return whole < x ? whole + 1 : whole;
}

/* The size of Envoy's ring: the lightest node has a whole number of points, and
 * the ring size_min or more, unless that is above size_max. */
static double envoy_scale(const pmz__plan *p)
{
	double least = (double)p->lightest / (double)p->weight;
	double points = ceiling(least * p->cfg.size_min);
	double scale = points / least;

	return scale < p->cfg.size_max ? scale : (double)p->cfg.size_max;
}

/* The shares are added up, and each node has points up to its sum. */
static void count_envoy(const pmz__plan *p, uint32_t *counts)
{
	double scale = envoy_scale(p), sum = 0, before = 0;
	uint32_t i;

	for (i = 0; i < p->usable; i++) {
		double weight = p->nodes[p->order[i]].weight;
		double share = weight / (double)p->weight;
		double points = scale * share, after;

		sum = sum + points;
		after = ceiling(sum);
		counts[i] = (uint32_t)(after - before);
		before = after;
	}
}

/* Names the first node that is too much, in the caller's order. */
static int too_many(const pmz__plan *p, pmz_why *why)
{
	uint64_t sum = 0;
	uint32_t i = 0;

	for (;; i++) {
		uint32_t weight = p->nodes[i].weight;

		sum += weight ? points_of(p, weight) : 0;
		if (sum > PMZ__RING_MAX)
			break;
	}
	pmz__bad(why, "weight", "up to node %u there are more than 2^%d points",
	         (unsigned)i, PMZ__RING_BITS);
	if (why)
		why->index = i;
	return PMZ_E_CONFIG;
}

int pmz__points_count(const pmz__plan *plan, uint32_t *counts, pmz_why *why)
{
	uint64_t sum = 0;
	uint32_t i;

	if (plan->cfg.layout == PMZ_RING_ENVOY) {
		if (plan->usable)
			count_envoy(plan, counts);
		return PMZ_OK;
	}
	for (i = 0; i < plan->usable; i++) {
		uint64_t points =
			points_of(plan, plan->nodes[plan->order[i]].weight);

		sum = pmz__sat_add(sum, points);
		counts[i] = (uint32_t)pmz__min(points, UINT32_MAX);
	}
	return sum > PMZ__RING_MAX ? too_many(plan, why) : PMZ_OK;
}

static void fill_native(pmz__label label, uint64_t *hashes, uint32_t count)
{
	uint32_t k;

	for (k = 0; k < count; k++)
		hashes[k] = pmz__xxh64(label.bytes, label.len, k);
}

/* "host:80" is its host and its port; what has no port is all host. */
static size_t nginx_host(pmz__label label)
{
	size_t at = label.len;

	while (at && label.bytes[at - 1] >= '0' && label.bytes[at - 1] <= '9')
		at--;
	return at && label.bytes[at - 1] == ':' ? at - 1 : label.len;
}

static int is_unix(pmz__label label)
{
	static const char scheme[] = "unix:";
	size_t i;

	for (i = 0; i < sizeof(scheme) - 1; i++) {
		char c = i < label.len ? label.bytes[i] : '\0';

		if (c >= 'A' && c <= 'Z')
			c = (char)(c - 'A' + 'a');
		if (c != scheme[i])
			return 0;
	}
	return 1;
}

/* The part of each point that does not change: host, a zero byte, port. */
static uint32_t nginx_base(pmz__label label)
{
	size_t skip = is_unix(label) ? 5 : 0;
	size_t host = skip ? label.len : nginx_host(label);
	size_t port = host < label.len ? host + 1 : label.len;
	uint32_t crc = PMZ__CRC_START;

	crc = pmz__crc_more(crc, label.bytes + skip, host - skip);
	crc = pmz__crc_more(crc, "", 1);
	return pmz__crc_more(crc, label.bytes + port, label.len - port);
}

/* Each point hashes the one before it, as four little-endian bytes. */
static void fill_nginx(pmz__label label, uint64_t *hashes, uint32_t count)
{
	uint32_t base = nginx_base(label), point = 0, k;
	unsigned char before[4];
	int i;

	for (k = 0; k < count; k++) {
		for (i = 0; i < 4; i++)
			before[i] = (unsigned char)(point >> 8 * i);
		point = ~pmz__crc_more(base, before, sizeof(before));
		hashes[k] = point;
	}
}

void pmz__points_fill(const pmz__plan *plan, uint32_t node, uint64_t *hashes,
                      uint32_t count)
{
	pmz__label label = pmz__plan_label(plan, node);

	switch (plan->cfg.layout) {
	case PMZ_RING_NATIVE:
		fill_native(label, hashes, count);
		break;
	case PMZ_RING_NGINX:
		fill_nginx(label, hashes, count);
		break;
	case PMZ_RING_ENVOY:
		pmz__xxh64_numbered(label.bytes, label.len, hashes, count);
		break;
	default:
#if PMZ_KETAMA
		pmz__md5_numbered(label.bytes, label.len, hashes, count / 4);
#endif
		break;
	}
}
