/*
 * nodes.c - the rows on where a key lives and which endpoint gets a call.
 */
#include "nodes.h"

#include <stdio.h>

#include "calls.h"

#define NODES_MAX 1000
#define ENDPOINTS 16
#define NAME_LEN 24

pmz_ring *ring_of_10, *ring_of_100, *ring_of_1000, *maglev;
pmz_balance *least, *ewma;

static char names[NODES_MAX][NAME_LEN];

static pmz_ring *make_ring(pmz_ring_layout layout, size_t count)
{
	pmz_ring_config config = { .size = sizeof(config), .layout = layout };
	pmz_node nodes[NODES_MAX];
	pmz_ring *ring;
	pmz_why why;
	size_t i;

	for (i = 0; i < count; i++)
		nodes[i] = (pmz_node){ names[i], 1, 0 };
	if (pmz_ring_new(&ring, &config, nodes, count, &why))
		give_up("ring_find", why.text);
	return ring;
}

static pmz_balance *make_balance(pmz_strategy strategy)
{
	pmz_balance_config config = { .size = sizeof(config),
		                      .strategy = strategy };
	pmz_balance *b;
	pmz_why why;
	int i;

	if (pmz_balance_new(&b, &config, &why))
		give_up("pick_settle", why.text);
	for (i = 0; i < ENDPOINTS; i++)
		if (pmz_balance_add(b, names[i], 1, 0, NULL))
			give_up("pick_settle", "an endpoint was not added");
	return b;
}

void nodes_prepare(void)
{
	int i;

	for (i = 0; i < NODES_MAX; i++)
		snprintf(names[i], NAME_LEN, "10.0.%d.%d:6379", i / 250,
		         i % 250);
	ring_of_10 = make_ring(PMZ_RING_NATIVE, 10);
	ring_of_100 = make_ring(PMZ_RING_NATIVE, 100);
	ring_of_1000 = make_ring(PMZ_RING_NATIVE, NODES_MAX);
	maglev = make_ring(PMZ_RING_MAGLEV, 100);
	least = make_balance(PMZ_LEAST);
	ewma = make_balance(PMZ_EWMA);
}
