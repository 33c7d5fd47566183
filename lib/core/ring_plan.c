/*
 * ring_plan.c - what a caller asks of a ring: its defaults, and what is wrong.
 */
#include "core/ring.h"

#include <string.h>

#include "base/alloc.h"
#include "core/ring_hash.h"

#define POINTS 160
#define TABLE_SIZE 65537
#define SIZE_MIN_OF_RING 1024
#define SIZE_MAX_OF_RING (8u << 20)

#define MEMCACHED_PORT ":11211"

static int is_table(uint32_t layout)
{
	return layout == PMZ_RING_MAGLEV || layout == PMZ_RING_ENVOY_MAGLEV;
}

static int is_layout(uint32_t layout)
{
	return (layout >= PMZ_RING_NATIVE && layout <= PMZ_RING_RENDEZVOUS) ||
	       (layout >= PMZ_RING_KETAMA && layout <= PMZ_RING_ENVOY_MAGLEV);
}

static int needs_md5(uint32_t layout)
{
	return layout == PMZ_RING_KETAMA || layout == PMZ_RING_LIBMEMCACHED ||
	       layout == PMZ_RING_SPYMEMCACHED;
}

/* Where the caller's order counts. */
static int is_in_input_order(uint32_t layout)
{
	return layout == PMZ_RING_JUMP || layout == PMZ_RING_ENVOY;
}

static int is_prime(uint32_t n)
{
	uint32_t d;

	for (d = 2; (uint64_t)d * d <= n; d++)
		if (n % d == 0)
			return 0;
	return n > 1;
}

static int check_table(const pmz_ring_config *c, pmz_why *why)
{
	if (c->table_size > PMZ__RING_MAX)
		return pmz__bad(why, "table_size",
		                "table_size is %u, more than 2^%d",
		                (unsigned)c->table_size, PMZ__RING_BITS);
	if (!is_prime(c->table_size))
		return pmz__bad(why, "table_size",
		                "table_size is %u, which is not a prime",
		                (unsigned)c->table_size);
	return PMZ_OK;
}

static int check_sizes(const pmz_ring_config *c, pmz_why *why)
{
	if (c->size_max > PMZ__RING_MAX)
		return pmz__bad(why, "size_max",
		                "size_max is %u, more than 2^%d points",
		                (unsigned)c->size_max, PMZ__RING_BITS);
	if (c->size_min > c->size_max)
		return pmz__bad(why, "size_min",
		                "size_min is %u, above size_max, which is %u",
		                (unsigned)c->size_min, (unsigned)c->size_max);
	return PMZ_OK;
}

static int check_layout(uint32_t layout, pmz_why *why)
{
	if (!is_layout(layout))
		return pmz__bad(why, "layout",
		                "layout is %u, not a pmz_ring_layout",
		                (unsigned)layout);
	if (needs_md5(layout) && !PMZ_KETAMA) {
		pmz__bad(why, "layout",
		         "layout %u needs MD5, which this library was built "
		         "without",
		         (unsigned)layout);
		return PMZ_E_ABSENT;
	}
	return PMZ_OK;
}

static int read_config(pmz_ring_config *c, const pmz_ring_config *cfg,
                       pmz_why *why)
{
	int status = pmz__config_read(c, sizeof(*c), cfg, why);

	if (status)
		return status;
	c->layout = pmz__or(c->layout, PMZ_RING_NATIVE);
	c->points = pmz__or(c->points, POINTS);
	c->table_size = pmz__or(c->table_size, TABLE_SIZE);
	c->size_min = pmz__or(c->size_min, SIZE_MIN_OF_RING);
	c->size_max = pmz__or(c->size_max, SIZE_MAX_OF_RING);
	status = check_layout(c->layout, why);
	if (status == PMZ_OK && is_table(c->layout))
		status = check_table(c, why);
	if (status == PMZ_OK && c->layout == PMZ_RING_ENVOY)
		status = check_sizes(c, why);
	return status;
}

static int about(pmz_why *why, uint32_t node, int status)
{
	if (why)
		why->index = node;
	return status;
}

static int check_count(const pmz_ring_config *c, size_t count, pmz_why *why)
{
	uint32_t most = c->layout == PMZ_RING_RENDEZVOUS ? PMZ__SCORES_MAX
	                                                 : PMZ__RING_MAX;

	if (!count)
		return pmz__bad(why, "nodes", "there are no nodes");
	if (count > most)
		return about(why, most,
		             pmz__bad(why, "nodes",
		                      "there are %zu nodes, at most %u fit",
		                      count, (unsigned)most));
	return PMZ_OK;
}

pmz__label pmz__plan_label(const pmz__plan *plan, uint32_t node)
{
	const size_t port = sizeof(MEMCACHED_PORT) - 1;
	pmz__label label;

	label.bytes = plan->nodes[node].name;
	label.len = strlen(label.bytes);
	if (plan->cfg.layout == PMZ_RING_LIBMEMCACHED && label.len >= port &&
	    !memcmp(label.bytes + label.len - port, MEMCACHED_PORT, port))
		label.len -= port;
	return label;
}

static int check_node(const pmz__plan *p, uint32_t node, pmz_why *why)
{
	const pmz_node *n = &p->nodes[node];

	if (!n->name || !pmz__plan_label(p, node).len)
		return pmz__bad(why, "name", "node %u has no name",
		                (unsigned)node);
	if (n->reserved)
		return pmz__bad(why, "reserved", "reserved of node %u is not 0",
		                (unsigned)node);
	if (p->cfg.layout == PMZ_RING_JUMP && n->weight != 1)
		return pmz__bad(why, "weight",
		                "node %u has weight %u: jump knows only 1",
		                (unsigned)node, (unsigned)n->weight);
	if (p->weight + n->weight > UINT32_MAX)
		return pmz__bad(why, "weight",
		                "up to node %u the weights add up to 2^32",
		                (unsigned)node);
	return PMZ_OK;
}

static void count_node(pmz__plan *p, uint32_t weight)
{
	if (!weight)
		return;
	p->usable++;
	p->weight += weight;
	p->lightest = (uint32_t)pmz__min(p->lightest, weight);
	p->heaviest = (uint32_t)pmz__max(p->heaviest, weight);
}

static int check_nodes(pmz__plan *p, pmz_why *why)
{
	uint32_t i;

	p->lightest = UINT32_MAX;
	for (i = 0; i < p->count; i++) {
		int status = check_node(p, i, why);

		if (status)
			return about(why, i, status);
		count_node(p, p->nodes[i].weight);
	}
	if (is_table(p->cfg.layout) && p->usable > p->cfg.table_size)
		return about(why, p->cfg.table_size,
		             pmz__bad(why, "table_size",
		                      "table_size is %u, fewer than %u nodes",
		                      (unsigned)p->cfg.table_size,
		                      (unsigned)p->usable));
	return PMZ_OK;
}

/* As strcmp() would, by bytes. */
static int compare(const pmz__plan *p, uint32_t a, uint32_t b)
{
	pmz__label left = pmz__plan_label(p, a), right = pmz__plan_label(p, b);
	size_t len = left.len < right.len ? left.len : right.len;
	int order = memcmp(left.bytes, right.bytes, len);

	if (order)
		return order;
	return (left.len > right.len) - (left.len < right.len);
}

static int is_before(const pmz__plan *p, uint32_t a, uint32_t b)
{
	int order = compare(p, a, b);

	return order ? order < 0 : a < b;
}

/* Shell's sort, with Knuth's gaps (3^k - 1) / 2: it needs no memory. */
static void sort_by_name(const pmz__plan *p)
{
	uint32_t gap = 1, i, at;

	while (gap < p->count / 3)
		gap = 3 * gap + 1;
	for (; gap; gap /= 3)
		for (i = gap; i < p->count; i++) {
			uint32_t node = p->order[i];

			for (at = i; at >= gap; at -= gap) {
				if (is_before(p, p->order[at - gap], node))
					break;
				p->order[at] = p->order[at - gap];
			}
			p->order[at] = node;
		}
}

/* The first node whose name was there before. */
static int check_names(const pmz__plan *p, pmz_why *why)
{
	uint32_t first = PMZ__NO_NODE, other = 0, i;

	for (i = 1; i < p->count; i++) {
		uint32_t a = p->order[i - 1], b = p->order[i];
		uint32_t later = (uint32_t)pmz__max(a, b);

		if (later > first || compare(p, a, b))
			continue;
		first = later;
		other = (uint32_t)pmz__min(a, b);
	}
	if (first == PMZ__NO_NODE)
		return PMZ_OK;
	return about(why, first,
	             pmz__bad(why, "name", "node %u is named like node %u: %s",
	                      (unsigned)first, (unsigned)other,
	                      p->nodes[first].name));
}

static void number(pmz__plan *p)
{
	uint32_t i;

	for (i = 0; i < p->count; i++)
		p->order[i] = i;
}

static void drop_weightless(pmz__plan *p)
{
	uint32_t i, kept = 0;

	for (i = 0; i < p->count; i++)
		if (p->nodes[p->order[i]].weight)
			p->order[kept++] = p->order[i];
}

static void reverse(uint32_t *list, uint32_t count)
{
	uint32_t i;

	for (i = 0; i < count / 2; i++) {
		uint32_t kept = list[i];

		list[i] = list[count - 1 - i];
		list[count - 1 - i] = kept;
	}
}

static int put_in_order(pmz__plan *p, pmz_why *why)
{
	int status;

	number(p);
	sort_by_name(p);
	status = check_names(p, why);
	if (status)
		return status;
	if (is_in_input_order(p->cfg.layout))
		number(p);
	drop_weightless(p);
	/* Where two points fall together the last one put into its map has
	 * them, and what comes first in the order does here. */
	if (p->cfg.layout == PMZ_RING_SPYMEMCACHED)
		reverse(p->order, p->usable);
	return PMZ_OK;
}

int pmz__plan_make(pmz__plan *plan, const pmz_ring_config *cfg,
                   const pmz_node *nodes, size_t count, pmz_why *why)
{
	int status;

	memset(plan, 0, sizeof(*plan));
	status = read_config(&plan->cfg, cfg, why);
	if (status == PMZ_OK)
		status = check_count(&plan->cfg, count, why);
	if (status)
		return status;
	plan->nodes = nodes;
	plan->count = (uint32_t)count;
	status = check_nodes(plan, why);
	if (status)
		return status;
	plan->order = (uint32_t *)pmz__alloc(count * sizeof(*plan->order));
	if (!plan->order)
		return pmz__why(why, PMZ_E_NOMEM);
	status = put_in_order(plan, why);
	if (status)
		pmz__plan_free(plan);
	return status;
}

void pmz__plan_free(pmz__plan *plan)
{
	pmz__free(plan->order);
	plan->order = NULL;
}
