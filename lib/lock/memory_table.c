/*
 * memory_table.c - keys with a value and an end, as a server keeps them.
 *
 * Chains in an array that doubles, under a hash whose key nobody knows, since
 * the names come from strangers.
 */
#include "lock/memory_table.h"

#include <string.h>

#include <pipemaze/edge.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/siphash.h"

#define SIZE_AT_FIRST 64
#define KEYS_MAX ((uint64_t)1 << 20)

/* Between two steps through the whole array come as many sweeps as it has
 * chains / 4, and so half as many new keys as it has chains: what has ended
 * alone never makes it double. */
#define CHAINS_PER_SWEEP 4

int pmz__table_open(pmz__table *table)
{
	memset(table, 0, sizeof(*table));
	table->hash_key[0] = pmz_random();
	table->hash_key[1] = pmz_random();
	table->size = SIZE_AT_FIRST;
	table->chains = pmz__alloc(SIZE_AT_FIRST * sizeof(*table->chains));
	return table->chains ? 0 : -1;
}

static void take_out(pmz__table *table, pmz__record **link)
{
	pmz__record *record = *link;

	*link = record->next;
	table->count--;
	pmz__free(record);
}

void pmz__table_close(pmz__table *table)
{
	uint64_t i;

	for (i = 0; i < table->size; i++)
		while (table->chains[i])
			take_out(table, &table->chains[i]);
	pmz__free(table->chains);
}

static uint64_t hash_of(const pmz__table *table, pmz__word key)
{
	return pmz__siphash(table->hash_key, key.at, key.len, 1, 3);
}

static pmz__record **chain_of(const pmz__table *table, uint64_t hash)
{
	return &table->chains[hash & (table->size - 1)];
}

static pmz__word key_of(const pmz__record *record)
{
	pmz__word key = { record->text, record->key_len };

	return key;
}

pmz__word pmz__record_value(const pmz__record *record)
{
	pmz__word value = { record->text + record->key_len, record->value_len };

	return value;
}

int pmz__word_is(pmz__word one, pmz__word other)
{
	return one.len == other.len && !memcmp(one.at, other.at, one.len);
}

/* What points to it, or to NULL at the end of its chain. */
static pmz__record **look_up(const pmz__table *table, pmz__word key)
{
	uint64_t hash = hash_of(table, key);
	pmz__record **link = chain_of(table, hash);

	while (*link &&
	       !((*link)->hash == hash && pmz__word_is(key_of(*link), key)))
		link = &(*link)->next;
	return link;
}

pmz__record *pmz__table_find(pmz__table *table, pmz__word key, pmz_ns now)
{
	pmz__record **link = look_up(table, key);

	if (*link && (*link)->ends <= now)
		take_out(table, link);
	else
		return *link;
	return NULL;
}

void pmz__table_drop(pmz__table *table, pmz__word key)
{
	pmz__record **link = look_up(table, key);

	if (*link)
		take_out(table, link);
}

static void push(pmz__table *table, pmz__record *record)
{
	pmz__record **chain = chain_of(table, record->hash);

	record->next = *chain;
	*chain = record;
}

/* Without memory for it the chains are longer, and nothing is lost. */
static void grow(pmz__table *table)
{
	pmz__table old = *table;
	pmz__record **chains, *record;
	uint64_t i;

	chains = pmz__alloc(2 * old.size * sizeof(*chains));
	if (!chains)
		return;
	table->chains = chains;
	table->size = 2 * old.size;
	for (i = 0; i < old.size; i++)
		while ((record = old.chains[i])) {
			old.chains[i] = record->next;
			push(table, record);
		}
	pmz__free(old.chains);
}

pmz__record *pmz__table_add(pmz__table *table, pmz__word key, pmz__word value,
                            pmz_ns ends)
{
	pmz__record *record;

	PMZ__ASSERT(!*look_up(table, key));
	if (table->count == KEYS_MAX)
		return NULL;
	record = pmz__alloc(sizeof(*record) + key.len + value.len);
	if (!record)
		return NULL;
	if (table->count >= table->size)
		grow(table);
	record->hash = hash_of(table, key);
	record->ends = ends;
	record->key_len = key.len;
	record->value_len = value.len;
	memcpy(record->text, key.at, key.len);
	memcpy(record->text + key.len, value.at, value.len);
	push(table, record);
	table->count++;
	return record;
}

static void sweep_chain(pmz__table *table, pmz__record **link, pmz_ns now)
{
	while (*link)
		if ((*link)->ends <= now)
			take_out(table, link);
		else
			link = &(*link)->next;
}

void pmz__table_sweep(pmz__table *table, pmz_ns now)
{
	int i;

	for (i = 0; i < CHAINS_PER_SWEEP; i++)
		sweep_chain(table, chain_of(table, table->swept++), now);
}
