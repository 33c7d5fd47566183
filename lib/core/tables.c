/*
 * tables.c - the rings of the strategies by key, and when an old one can go.
 *
 * A ring is too large for two copies, so a new one is made for each change. One
 * word says which table is in force and how many pickers have entered it;
 * entering is one add, which gives both. Each table counts who has left it. The
 * swap that puts another in force learns how many ever entered the old one, and
 * no more can: when as many have left, nobody is in it, and the next writer
 * that wants its place frees its ring. So no picker frees anything, or waits.
 */
#include <string.h>

#include "base/alloc.h"
#include "core/balance.h"

/* Google's Maglev has these; both are prime. */
static const uint32_t maglev_sizes[] = { 65537, 655373 };
#define MAGLEV_SLOTS_A_NODE 100

void pmz__table_free(pmz__table *t)
{
	pmz_ring_free(t->ring);
	pmz__free(t->entries);
	t->ring = NULL;
	t->entries = NULL;
	t->count = t->weight = 0;
}

static int is_left(const pmz_balance *b, uint64_t i)
{
	const pmz__table *t = &b->tables[i];

	if (pmz__load(&b->table, PMZ__RELAXED) >> PMZ__TABLE_SHIFT == i)
		return 0;
	/* Acquire: pairs with the release in pass_through(). */
	return pmz__load(&t->left, PMZ__ACQUIRE) == t->entered;
}

static uint32_t maglev_size(const pmz_balance *b)
{
	uint64_t need = b->rules.endpoints_max * MAGLEV_SLOTS_A_NODE;
	size_t i = 0;

	while (maglev_sizes[i] < need)
		i++;
	return maglev_sizes[i];
}

static int make_ring(const pmz_balance *b, pmz_ring **out,
                     const pmz_node *nodes, uint64_t count)
{
	pmz_ring_config cfg;

	memset(&cfg, 0, sizeof(cfg));
	cfg.size = sizeof(cfg);
	cfg.layout = PMZ_RING_NATIVE;
	if (b->rules.strategy == PMZ_MAGLEV_KEY) {
		cfg.layout = PMZ_RING_MAGLEV;
		cfg.table_size = maglev_size(b);
	}
	return pmz_ring_new(out, &cfg, nodes, (size_t)count, NULL);
}

/* The nodes of a ring, and the entries that tell their numbers. */
static void list_nodes(const pmz_balance *b, const pmz__change *c,
                       pmz_node *nodes, pmz__table *t)
{
	uint64_t i;

	for (i = 0; i < b->rules.endpoints_max; i++) {
		uint64_t weight = pmz__weight_after(b, c, i);

		if (!weight)
			continue;
		nodes[t->count].name =
			c->number == i ? c->name : b->endpoints[i].name;
		nodes[t->count].weight = (uint32_t)weight;
		nodes[t->count].reserved = 0;
		t->entries[t->count++] = pmz__entry_after(b, c, i);
		t->weight += weight;
	}
}

static int fill_table(const pmz_balance *b, const pmz__change *c, pmz__table *t)
{
	size_t max = (size_t)b->rules.endpoints_max;
	pmz_node *nodes = (pmz_node *)pmz__alloc(max * sizeof(*nodes));
	int status = PMZ_E_NOMEM;

	t->entries = (uint64_t *)pmz__alloc(max * sizeof(*t->entries));
	if (nodes && t->entries) {
		status = PMZ_OK;
		list_nodes(b, c, nodes, t);
		if (t->count)
			status = make_ring(b, &t->ring, nodes, t->count);
	}
	pmz__free(nodes);
	if (status)
		pmz__table_free(t);
	return status;
}

/* A table of the members as they will be; PMZ_E_STATE if pickers that stopped
 * half-way hold all others. */
int pmz__table_make(pmz_balance *b, const pmz__change *c, uint64_t *out)
{
	uint64_t i;

	*out = 0;
	if (b->rules.strategy < PMZ_BY_KEY)
		return PMZ_OK;
	for (i = 0; i < PMZ__TABLES; i++)
		if (is_left(b, i))
			break;
	if (i == PMZ__TABLES)
		return PMZ_E_STATE;
	pmz__table_free(&b->tables[i]);
	*out = i;
	return fill_table(b, c, &b->tables[i]);
}

void pmz__table_publish(pmz_balance *b, uint64_t i)
{
	uint64_t old;

	if (b->rules.strategy < PMZ_BY_KEY)
		return;
	b->tables[i].entered = 0;
	pmz__store(&b->tables[i].left, 0, PMZ__RELAXED);
	/* Release: pairs with the acquire in pass_through(). */
	old = pmz__swap(&b->table, i << PMZ__TABLE_SHIFT, PMZ__ACQ_REL);
	b->tables[old >> PMZ__TABLE_SHIFT].entered = old & PMZ__ENTERED;
}
