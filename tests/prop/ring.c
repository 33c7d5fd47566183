/*
 * ring.c - what holds for every ring, whatever its nodes: random ones, replayed
 * by their seed.
 */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <pipemaze/ring.h>

#include "core/ring.h"
#include "core/ring_hash.h"
#include "dice.h"
#include "fleet.h"

#define KEYS 2000
#define MANY_KEYS 40000
#define SIGMAS_OF_MANY 0.015 /* six of them, of a share of a half */
#define NODES 40
#define SEEDS 40

/* The seed of a loop picks the layout too. */
static const uint32_t layouts[] = {
	PMZ_RING_NATIVE,     PMZ_RING_MAGLEV,       PMZ_RING_JUMP,
	PMZ_RING_RENDEZVOUS, PMZ_RING_NGINX,        PMZ_RING_ENVOY,
	PMZ_RING_ENVOY_MAGLEV,
#if PMZ_KETAMA
	PMZ_RING_KETAMA,     PMZ_RING_LIBMEMCACHED, PMZ_RING_SPYMEMCACHED,
#endif
};
#define LAYOUTS (sizeof(layouts) / sizeof(*layouts))

/* libcheck's own assertions write to a file each time that they hold. */
#define HOLDS(claim) ((claim) ? (void)0 : ck_abort_msg("%s", #claim))
#define SAME(a, b) \
	(strcmp(a, b) ? ck_abort_msg("%s instead of %s", a, b) : (void)0)

static uint32_t layout_of(int seed)
{
	return layouts[(size_t)seed % LAYOUTS];
}

static pmz_ring *ring_of(const fleet *f, uint32_t layout)
{
	pmz_ring *r = NULL;
	pmz_why why;

	ck_assert_msg(fleet_ring(f, layout, &r, &why) == PMZ_OK,
	              "layout %u: %s", (unsigned)layout, why.text);
	return r;
}

/* Some light and some heavy, and now and then one of weight 0. */
static uint32_t any_weight(dice *d)
{
	if (dice_once_in(d, 10))
		return 0;
	return dice_once_in(d, 3) ? (uint32_t)dice_between(d, 1, 30)
	                          : (uint32_t)dice_between(d, 1, 4);
}

static void any_node(fleet *f, dice *d, uint32_t layout)
{
	char name[FLEET_NAME];

	snprintf(name, sizeof(name), "%llx.example:%u",
	         (unsigned long long)dice_sized(d, 40) << 8 | f->count,
	         (unsigned)dice_between(d, 80, 90));
	fleet_add(f, name, layout == PMZ_RING_JUMP ? 1 : any_weight(d));
}

static void any_fleet(fleet *f, dice *d, uint32_t layout)
{
	uint64_t count = dice_between(d, 1, NODES);

	f->count = 0;
	while (f->count < count)
		any_node(f, d, layout);
}

static int has_weight(const fleet *f)
{
	size_t i;

	for (i = 0; i < f->count; i++)
		if (f->nodes[i].weight)
			return 1;
	return 0;
}

/* As above, with some node that has a weight. */
static void weighted_fleet(fleet *f, dice *d, uint32_t layout)
{
	do {
		any_fleet(f, d, layout);
	} while (!has_weight(f));
}

static const char *owner(const pmz_ring *r, uint64_t hash)
{
	uint32_t node;

	if (pmz_ring_find_hash(r, hash, &node) != PMZ_OK)
		return "";
	HOLDS(node < r->count);
	return r->members[node].name;
}

/* Any, and often one right at a point or beside it. */
static uint64_t any_hash(dice *d, const pmz_ring *r)
{
	const pmz__circle *c = &r->as.circle;
	uint64_t at;

	if (r->shape != PMZ__CIRCLE || !c->count || dice_once_in(d, 2))
		return dice_roll(d);
	at = c->points[dice_between(d, 0, c->count - 1)] & c->mask;
	at += (dice_between(d, 0, 2) - 1) * (~c->mask + 1 + !~c->mask);
	return at >> c->lift;
}

START_TEST(a_search_finds_the_first_point_at_or_after)
{
	dice d = dice_of(_i);
	uint32_t layout = layout_of(_i), at;
	fleet f;
	pmz_ring *r;
	const pmz__circle *c;
	int i;

	weighted_fleet(&f, &d, layout);
	r = ring_of(&f, layout);
	c = &r->as.circle;
	for (i = 0; i < KEYS / 10 && r->shape == PMZ__CIRCLE; i++) {
		uint64_t hash = any_hash(&d, r);
		uint64_t want = hash << c->lift & c->mask;

		for (at = 0; at < c->count; at++)
			if ((c->points[at] & c->mask) >= want)
				break;
		HOLDS(pmz__circle_find(c, hash) == at);
		HOLDS(!at || c->points[at - 1] <= c->points[at]);
	}
	pmz_ring_free(r);
}
END_TEST

static void shuffle(fleet *f, dice *d)
{
	fleet old = *f;
	size_t i;

	f->count = 0;
	for (i = old.count; i; i--) {
		size_t at = (size_t)dice_between(d, 0, i - 1);

		fleet_add(f, old.names[at], old.nodes[at].weight);
		fleet_remove(&old, at);
	}
}

static int counts_order(uint32_t layout)
{
	return layout == PMZ_RING_JUMP || layout == PMZ_RING_ENVOY;
}

START_TEST(any_order_makes_the_same_ring)
{
	dice d = dice_of(_i);
	uint32_t layout = layout_of(_i);
	fleet f;
	pmz_ring *a, *b;
	int i;

	any_fleet(&f, &d, layout);
	a = ring_of(&f, layout);
	shuffle(&f, &d);
	b = ring_of(&f, layout);
	for (i = 0; i < KEYS && !counts_order(layout); i++) {
		uint64_t hash = any_hash(&d, a);

		SAME(owner(a, hash), owner(b, hash));
	}
	if (a->shape == PMZ__CIRCLE && !counts_order(layout))
		HOLDS(pmz_ring_diff_ppm(a, b) == 0);
	pmz_ring_free(a);
	pmz_ring_free(b);
}
END_TEST

/* In a circle of 32 bits that is full, many points fall together. */
START_TEST(any_order_decides_the_same_for_points_that_fall_together)
{
	static const uint32_t narrow[] = { PMZ_RING_NGINX,
#if PMZ_KETAMA
		                           PMZ_RING_KETAMA,
		                           PMZ_RING_LIBMEMCACHED,
		                           PMZ_RING_SPYMEMCACHED
#endif
	};
	uint32_t layout = narrow[(size_t)_i % (sizeof(narrow) / 4)], i;
	dice d = dice_of(_i);
	fleet f = { .count = 0 };
	pmz_ring *a, *b;
	uint32_t together = 0;

	fleet_number(&f, 0, FLEET_MAX);
	for (i = 0; i < FLEET_MAX && layout == PMZ_RING_NGINX; i++)
		f.nodes[i].weight = 16;
	a = ring_of(&f, layout);
	shuffle(&f, &d);
	b = ring_of(&f, layout);
	for (i = 1; i < a->as.circle.count; i++) {
		uint64_t hash = a->as.circle.points[i] >> 32;

		if (a->as.circle.points[i - 1] >> 32 == hash)
			together++;
		SAME(owner(a, hash), owner(b, hash));
	}
	if (layout == PMZ_RING_NGINX)
		HOLDS(together > 0);
	HOLDS(pmz_ring_diff_ppm(a, b) == 0);
	pmz_ring_free(a);
	pmz_ring_free(b);
}
END_TEST

static uint32_t weight_in(const pmz_ring *r, const char *name)
{
	uint32_t i;

	for (i = 0; i < r->count; i++)
		if (!strcmp(r->members[i].name, name))
			return r->members[i].weight;
	return 0;
}

struct moves {
	unsigned from, to, others;
};

/* Of keys that two rings place differently: how many left a node, how many came
 * to it, and how many have nothing to do with it. */
static struct moves moves_of(const pmz_ring *a, const pmz_ring *b,
                             const char *name, dice *d)
{
	struct moves m = { 0, 0, 0 };
	int i;

	for (i = 0; i < KEYS; i++) {
		uint64_t hash = any_hash(d, i % 2 ? a : b);
		const char *before = owner(a, hash), *after = owner(b, hash);

		if (!strcmp(before, after))
			continue;
		if (!strcmp(before, name))
			m.from++;
		else if (!strcmp(after, name))
			m.to++;
		else
			m.others++;
	}
	return m;
}

/* One node that comes, goes, or is re-weighted. */
static void change(fleet *f, dice *d, uint32_t layout, char name[FLEET_NAME])
{
	size_t at = (size_t)dice_between(d, 0, f->count - 1);

	if (dice_once_in(d, 3) || f->count == 1) {
		any_node(f, d, layout);
		at = f->count - 1;
		snprintf(name, FLEET_NAME, "%s", f->names[at]);
		return;
	}
	snprintf(name, FLEET_NAME, "%s", f->names[at]);
	if (dice_once_in(d, 2))
		fleet_remove(f, at);
	else
		f->nodes[at].weight = any_weight(d);
}

START_TEST(a_change_of_one_node_moves_its_keys_only)
{
	static const uint32_t exact[] = { PMZ_RING_NATIVE,
		                          PMZ_RING_RENDEZVOUS };
	uint32_t layout = exact[_i % 2], before, after;
	dice d = dice_of(_i);
	fleet f;
	char name[FLEET_NAME];
	pmz_ring *a, *b;
	struct moves m;

	weighted_fleet(&f, &d, layout);
	a = ring_of(&f, layout);
	change(&f, &d, layout, name);
	b = ring_of(&f, layout);
	before = weight_in(a, name);
	after = weight_in(b, name);
	m = moves_of(a, b, name, &d);
	HOLDS(m.others == 0);
	HOLDS(!m.to || after > before);
	HOLDS(!m.from || after < before);
	pmz_ring_free(a);
	pmz_ring_free(b);
}
END_TEST

/* What part of the circle a node has, by adding up the arcs before its points,
 * in 2^-40 of it. */
static uint64_t share_of(const pmz_ring *r, const char *name)
{
	const pmz__circle *c = &r->as.circle;
	uint64_t share = 0, mine, before;
	uint32_t i;

	for (i = 0; i < c->count; i++) {
		uint32_t node = (uint32_t)(c->points[i] & ~c->mask);

		mine = c->points[i] >> PMZ__RING_BITS;
		before = c->points[i ? i - 1 : c->count - 1] >> PMZ__RING_BITS;
		if (strcmp(r->members[node].name, name))
			continue;
		share += (mine - before) & (((uint64_t)1 << 40) - 1);
		share += c->count == 1 ? (uint64_t)1 << 40 : 0;
	}
	return share;
}

START_TEST(moved_over_ideal_is_one)
{
	dice d = dice_of(_i);
	fleet f;
	char name[FLEET_NAME];
	pmz_ring *a, *b;
	double before, after, moved;

	weighted_fleet(&f, &d, PMZ_RING_NATIVE);
	a = ring_of(&f, PMZ_RING_NATIVE);
	change(&f, &d, PMZ_RING_NATIVE, name);
	b = ring_of(&f, PMZ_RING_NATIVE);
	before = (double)share_of(a, name);
	after = (double)share_of(b, name);
	moved = (after > before ? after - before : before - after) * 1e6 /
	        (double)((uint64_t)1 << 40);
	if (has_weight(&f))
		ck_assert_double_eq_tol(pmz_ring_diff_ppm(a, b), moved, 0.6);
	else
		HOLDS(pmz_ring_diff_ppm(a, b) == 1000000);
	HOLDS(pmz_ring_diff_ppm(a, b) == pmz_ring_diff_ppm(b, a));
	pmz_ring_free(a);
	pmz_ring_free(b);
}
END_TEST

static void mark_any(pmz_ring *r, dice *d, uint64_t one_in)
{
	uint32_t i;

	for (i = 0; i < r->count; i++)
		if (r->shape != PMZ__SHARDS)
			(void)pmz_ring_mark(r, i, dice_once_in(d, one_in));
}

static uint32_t up_in(const pmz_ring *r)
{
	uint32_t up = 0, i;

	for (i = 0; i < r->count; i++)
		up += r->members[i].weight && !pmz__is_down(r, i);
	return up;
}

START_TEST(a_key_is_found_while_one_node_is_up)
{
	dice d = dice_of(_i);
	uint32_t layout = layout_of(_i), node;
	fleet f;
	pmz_ring *r;
	int i, round;

	any_fleet(&f, &d, layout);
	r = ring_of(&f, layout);
	for (round = 1; round <= 8; round++) {
		uint32_t up;

		mark_any(r, &d, round < 5 ? 2 : 1 + dice_sized(&d, 3));
		up = up_in(r);
		for (i = 0; i < KEYS / 20; i++) {
			int st = pmz_ring_find_hash(r, any_hash(&d, r), &node);

			HOLDS(st == (up ? PMZ_OK : PMZ_REFUSED_EMPTY));
			if (st != PMZ_OK)
				continue;
			HOLDS(!pmz__is_down(r, node));
			HOLDS(r->members[node].weight > 0);
		}
	}
	pmz_ring_free(r);
}
END_TEST

START_TEST(who_returns_takes_back_its_keys_and_no_other)
{
	dice d = dice_of(_i);
	uint32_t layout = layout_of(_i), gone;
	fleet f;
	const char *name, *were[KEYS / 4];
	uint64_t hashes[KEYS / 4];
	pmz_ring *r;
	int i;

	weighted_fleet(&f, &d, layout);
	r = ring_of(&f, layout);
	mark_any(r, &d, 4);
	gone = (uint32_t)dice_between(&d, 0, r->count - 1);
	name = r->members[gone].name;
	(void)pmz_ring_mark(r, gone, 0);
	for (i = 0; i < KEYS / 4; i++) {
		hashes[i] = any_hash(&d, r);
		were[i] = owner(r, hashes[i]);
	}
	(void)pmz_ring_mark(r, gone, 1);
	for (i = 0; i < KEYS / 4 && layout != PMZ_RING_JUMP; i++)
		if (strcmp(were[i], name))
			SAME(owner(r, hashes[i]), were[i]);
		else
			HOLDS(strcmp(owner(r, hashes[i]), name));
	(void)pmz_ring_mark(r, gone, 0);
	for (i = 0; i < KEYS / 4; i++)
		SAME(owner(r, hashes[i]), were[i]);
	pmz_ring_free(r);
}
END_TEST

START_TEST(replicas_are_up_distinct_and_begin_with_the_one_found)
{
	dice d = dice_of(_i);
	uint32_t layout = layout_of(_i), list[NODES + 1], first;
	fleet f;
	pmz_ring *r;
	int i;

	any_fleet(&f, &d, layout);
	r = ring_of(&f, layout);
	mark_any(r, &d, 3);
	for (i = 0; i < KEYS / 20; i++) {
		size_t max = (size_t)dice_between(&d, 0, NODES + 1), k, m;
		size_t got = pmz_ring_replicas(r, &i, sizeof(i), list, max);

		HOLDS(got == (max < up_in(r) ? max : up_in(r)));
		for (k = 0; k < got; k++) {
			HOLDS(!pmz__is_down(r, list[k]));
			HOLDS(r->members[list[k]].weight > 0);
			for (m = 0; m < k; m++)
				HOLDS(list[k] != list[m]);
		}
		if (!got)
			continue;
		HOLDS(pmz_ring_find(r, &i, sizeof(i), &first) == PMZ_OK);
		HOLDS(list[0] == first);
	}
	pmz_ring_free(r);
}
END_TEST

/* Once the first of its replicas is down a key goes to the second. */
START_TEST(the_next_replica_is_where_a_key_goes)
{
	dice d = dice_of(_i);
	uint32_t layout = layout_of(_i), list[4], at;
	fleet f;
	pmz_ring *r;
	size_t got, k;
	int i;

	weighted_fleet(&f, &d, layout);
	r = ring_of(&f, layout);
	for (i = 0; i < KEYS / 20 && layout != PMZ_RING_JUMP; i++) {
		got = pmz_ring_replicas(r, &i, sizeof(i), list, 4);
		for (k = 0; k < got; k++) {
			HOLDS(pmz_ring_find(r, &i, sizeof(i), &at) == PMZ_OK);
			HOLDS(at == list[k]);
			HOLDS(pmz_ring_mark(r, at, 1) == PMZ_OK);
		}
		while (k--)
			HOLDS(pmz_ring_mark(r, list[k], 0) == PMZ_OK);
	}
	pmz_ring_free(r);
}
END_TEST

START_TEST(the_second_replica_has_the_key_where_the_first_is_none)
{
	static const uint32_t exact[] = { PMZ_RING_NATIVE,
		                          PMZ_RING_RENDEZVOUS };
	uint32_t layout = exact[_i % 2], list[2];
	dice d = dice_of(_i);
	pmz_ring *r, *without;
	fleet f, g;
	int i;

	weighted_fleet(&f, &d, layout);
	r = ring_of(&f, layout);
	for (i = 0; i < KEYS / 50; i++) {
		if (pmz_ring_replicas(r, &i, sizeof(i), list, 2) < 2)
			continue;
		g.count = 0;
		fleet_copy(&g, &f);
		fleet_remove(&g, list[0]);
		without = ring_of(&g, layout);
		SAME(owner(without, pmz_ring_hash(r, &i, sizeof(i))),
		     r->members[list[1]].name);
		pmz_ring_free(without);
	}
	pmz_ring_free(r);
}
END_TEST

/* By other samples than its own, where it samples too. */
START_TEST(a_difference_is_the_share_of_keys_that_move)
{
	dice d = dice_of(_i);
	uint32_t layout = layout_of(_i);
	fleet f;
	char name[FLEET_NAME];
	unsigned differ = 0;
	pmz_ring *a, *b;
	double share, sampled;
	int i;

	weighted_fleet(&f, &d, layout);
	a = ring_of(&f, layout);
	if (layout == PMZ_RING_JUMP)
		any_node(&f, &d, layout);
	else
		change(&f, &d, layout, name);
	b = ring_of(&f, layout);
	mark_any(a, &d, 5);
	mark_any(b, &d, 5);
	for (i = 0; i < MANY_KEYS; i++) {
		uint64_t hash = dice_roll(&d);

		differ += strcmp(owner(a, hash), owner(b, hash)) != 0;
	}
	share = pmz_ring_diff_ppm(a, b) / 1e6;
	sampled = (double)differ / MANY_KEYS;
	ck_assert_double_eq_tol(sampled, share, SIGMAS_OF_MANY + 0.003);
	pmz_ring_free(a);
	pmz_ring_free(b);
}
END_TEST

static double share_by_weight(const fleet *f, size_t at)
{
	double sum = 0;
	size_t i;

	for (i = 0; i < f->count; i++)
		sum += f->nodes[i].weight;
	return f->nodes[at].weight / sum;
}

/* How far a layout may be off the share p of a node: six sigma of the samples,
 * and of the arcs before its points. */
static double tolerance(uint32_t layout, double p, uint32_t weight)
{
	if (layout == PMZ_RING_NATIVE && weight)
		return SIGMAS_OF_MANY + 6 * p / sqrt(160 * weight);
	return SIGMAS_OF_MANY;
}

START_TEST(keys_are_spread_as_the_weights_say)
{
	static const uint32_t by_weight[] = { PMZ_RING_NATIVE, PMZ_RING_MAGLEV,
		                              PMZ_RING_RENDEZVOUS,
		                              PMZ_RING_ENVOY_MAGLEV };
	uint32_t layout = by_weight[_i % 4], node;
	dice d = dice_of(_i);
	fleet f;
	unsigned hits[FLEET_MAX] = { 0 };
	pmz_ring *r;
	size_t i;

	weighted_fleet(&f, &d, layout);
	r = ring_of(&f, layout);
	for (i = 0; i < MANY_KEYS; i++) {
		uint64_t key = dice_roll(&d);

		HOLDS(pmz_ring_find(r, &key, sizeof(key), &node) == PMZ_OK);
		hits[node]++;
	}
	for (i = 0; i < f.count; i++) {
		double p = share_by_weight(&f, i);

		ck_assert_double_eq_tol((double)hits[i] / MANY_KEYS, p,
		                        tolerance(layout, p,
		                                  f.nodes[i].weight));
		if (!f.nodes[i].weight)
			HOLDS(hits[i] == 0);
	}
	pmz_ring_free(r);
}
END_TEST

/* The paper has 1 to 2 % of other entries change for a table of 100 a node. */
START_TEST(maglev_moves_few_keys_of_others)
{
	static const uint32_t tables[] = { PMZ_RING_MAGLEV,
		                           PMZ_RING_ENVOY_MAGLEV };
	uint32_t layout = tables[_i % 2];
	dice d = dice_of(_i);
	fleet f = { .count = 0 };
	char name[FLEET_NAME];
	pmz_ring *a, *b;
	struct moves m;

	fleet_number(&f, (unsigned)_i, 20);
	snprintf(name, sizeof(name), "%s", f.names[7]);
	a = ring_of(&f, layout);
	fleet_remove(&f, 7);
	b = ring_of(&f, layout);
	m = moves_of(a, b, name, &d);
	HOLDS(m.to == 0);
	HOLDS(m.from > KEYS / 40);
	HOLDS(m.others < KEYS / 20);
	pmz_ring_free(a);
	pmz_ring_free(b);
}
END_TEST

/* Envoy's weights: each a share of the sum. */
static double normal_weight(const fleet *f, size_t at)
{
	uint64_t sum = 0;
	size_t i;

	for (i = 0; i < f->count; i++)
		sum += f->nodes[i].weight;
	return f->nodes[at].weight * 1.0 / (double)sum;
}

static void heavy_fleet(fleet *f, dice *d)
{
	char name[FLEET_NAME];
	uint64_t count = dice_between(d, 1, NODES);
	unsigned bits = (unsigned)dice_between(d, 1, 16);

	for (f->count = 0; f->count < count;) {
		snprintf(name, sizeof(name), "%02u.node", (unsigned)f->count);
		fleet_add(f, name, (uint32_t)dice_sized(d, bits) + 1);
	}
}

struct envoy_entry {
	uint64_t offset, skip, next;
	double weight, target;
};

static uint64_t entry_slot(const struct envoy_entry *e, uint64_t size)
{
	return (e->offset + e->skip * e->next) % size;
}

/* MaglevTable of Envoy's maglev_lb.cc, for names that are in order. */
static void fill_as_envoy(const fleet *f, uint32_t size, int *table)
{
	struct envoy_entry entries[FLEET_MAX];
	double most = 0;
	uint32_t filled = 0, iteration;
	size_t i;

	memset(table, 0xff, size * sizeof(*table));
	for (i = 0; i < f->count; i++) {
		const char *name = f->names[i];
		size_t len = strlen(name);

		entries[i].offset = pmz_hash(name, len, 0) % size;
		entries[i].skip = pmz_hash(name, len, 1) % (size - 1) + 1;
		entries[i].next = 0;
		entries[i].weight = normal_weight(f, i);
		entries[i].target = 0;
		most = fmax(most, entries[i].weight);
	}
	for (iteration = 1; filled < size; iteration++)
		for (i = 0; i < f->count && filled < size; i++) {
			struct envoy_entry *e = &entries[i];

			if (iteration * e->weight < e->target)
				continue;
			e->target += most;
			while (table[entry_slot(e, size)] >= 0)
				e->next++;
			table[entry_slot(e, size)] = (int)i;
			filled++;
		}
}

START_TEST(envoys_table_is_filled_as_envoy_fills_it)
{
	enum { SIZE = 4099 };
	static int table[SIZE];
	pmz_ring_config c = { .size = sizeof(c),
		              .layout = PMZ_RING_ENVOY_MAGLEV,
		              .table_size = SIZE };
	dice d = dice_of(_i);
	int round, slot;
	pmz_ring *r;
	fleet f;

	for (round = 0; round < 20; round++) {
		heavy_fleet(&f, &d);
		fill_as_envoy(&f, SIZE, table);
		HOLDS(pmz_ring_new(&r, &c, f.nodes, f.count, NULL) == PMZ_OK);
		for (slot = 0; slot < SIZE; slot++)
			HOLDS((int)r->as.slots.owners[slot] == table[slot]);
		pmz_ring_free(r);
	}
}
END_TEST

/* Ring of Envoy's ring_hash_lb.cc: how many hashes each host has. */
static void count_as_envoy(const fleet *f, const pmz_ring_config *c,
                           uint32_t *counts)
{
	double least = 1, scale, current = 0, target = 0;
	size_t i;

	for (i = 0; i < f->count; i++)
		least = fmin(least, normal_weight(f, i));
	scale = fmin(ceil(least * c->size_min) / least, c->size_max);
	for (i = 0; i < f->count; i++) {
		target += scale * normal_weight(f, i);
		for (counts[i] = 0; current < target; current++)
			counts[i]++;
	}
}

START_TEST(envoys_ring_has_as_many_points_as_envoys)
{
	dice d = dice_of(_i);
	uint32_t counts[FLEET_MAX], i;
	int round;
	pmz_ring *r;
	fleet f;

	for (round = 0; round < 20; round++) {
		pmz_ring_config c = { .size = sizeof(c),
			              .layout = PMZ_RING_ENVOY };

		c.size_max = (uint32_t)dice_sized(&d, 15) + 1;
		c.size_min = (uint32_t)dice_between(&d, 1, c.size_max);
		heavy_fleet(&f, &d);
		count_as_envoy(&f, &c, counts);
		HOLDS(pmz_ring_new(&r, &c, f.nodes, f.count, NULL) == PMZ_OK);
		for (i = 0; i < r->as.circle.count; i++)
			counts[r->as.circle.owners[i]]--;
		for (i = 0; i < f.count; i++)
			HOLDS(counts[i] == 0);
		pmz_ring_free(r);
	}
}
END_TEST

/* With as many nodes alike that sorting them has to go far. */
START_TEST(the_first_node_named_like_an_earlier_one_is_the_bad_one)
{
	dice d = dice_of(_i);
	int round;

	for (round = 0; round < 20; round++) {
		fleet f = { .count = 0 };
		uint64_t names = dice_between(&d, 1, FLEET_MAX);
		uint32_t first = PMZ__NO_NODE, seen[FLEET_MAX] = { 0 };
		char name[FLEET_NAME];
		pmz_why why;
		pmz_ring *r;

		while (f.count < names) {
			uint64_t n = dice_between(&d, 0, FLEET_MAX - 1);

			if (seen[n]++ && first == PMZ__NO_NODE)
				first = (uint32_t)f.count;
			snprintf(name, sizeof(name), "n%u", (unsigned)n);
			fleet_add(&f, name, 1);
		}
		if (fleet_ring(&f, PMZ_RING_NATIVE, &r, &why) == PMZ_OK) {
			HOLDS(first == PMZ__NO_NODE);
			pmz_ring_free(r);
		} else {
			HOLDS(why.index == first);
		}
	}
}
END_TEST

START_TEST(a_new_shard_is_where_all_moved_keys_go)
{
	dice d = dice_of(_i);
	uint32_t shards = (uint32_t)dice_sized(&d, 20) + 1;
	int i;

	for (i = 0; i < KEYS; i++) {
		uint64_t key = dice_roll(&d);
		uint32_t before = pmz_jump(key, shards);
		uint32_t after = pmz_jump(key, shards + 1);

		HOLDS(before < shards);
		HOLDS(after == before || after == shards);
	}
}
END_TEST

/* Figure 1 of the paper, in its words' types. */
static uint32_t jump_of_the_paper(uint64_t key, int64_t buckets)
{
	int64_t b = -1, j = 0;

	while (j < buckets) {
		double quotient;

		b = j;
		key = key * 2862933555777941757u + 1;
		quotient = (double)(INT64_C(1) << 31) /
		           (double)((key >> 33) + 1);
		j = (int64_t)((double)(b + 1) * quotient);
	}
	return (uint32_t)b;
}

START_TEST(a_jump_is_the_papers_to_the_last_bit)
{
	dice d = dice_of(_i);
	int i;

	for (i = 0; i < 20 * KEYS; i++) {
		uint64_t key = dice_roll(&d);
		uint32_t buckets = (uint32_t)dice_sized(&d, 32);

		if (dice_once_in(&d, 50))
			buckets = UINT32_MAX;
		if (!buckets)
			continue;
		HOLDS(pmz_jump(key, buckets) ==
		      jump_of_the_paper(key, buckets));
	}
}
END_TEST

static size_t put_utf_8(char *to, uint32_t c)
{
	static const uint32_t ends[] = { 0x80, 0x800, 0x10000, 0x110000 };
	static const uint32_t leads[] = { 0, 0xc0, 0xe0, 0xf0 };
	size_t more = 0, i;

	while (c >= ends[more])
		more++;
	for (i = more; i; i--) {
		to[i] = (char)(0x80 | (c & 0x3f));
		c >>= 6;
	}
	to[0] = (char)(leads[more] | c);
	return more + 1;
}

static uint32_t any_character(dice *d)
{
	uint32_t c;

	do {
		c = (uint32_t)dice_sized(d, 21);
	} while (c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff));
	return c;
}

/* A text of any characters, and its hash as JavaScript has it. */
static size_t any_text(dice *d, char *text, size_t size, int64_t *hash)
{
	size_t len = 0;

	*hash = 0;
	while (len < size - 4 && !dice_once_in(d, 12)) {
		uint32_t c = any_character(d);
		uint16_t units[2] = { (uint16_t)c, 0 };
		int count = 1, i;

		if (c >= 0x10000) {
			units[0] = (uint16_t)(0xd7c0 + (c >> 10));
			units[1] = (uint16_t)(0xdc00 | (c & 0x3ff));
			count = 2;
		}
		for (i = 0; i < count; i++)
			*hash = (int32_t)(*hash * 31 + units[i]);
		len += put_utf_8(text + len, c);
	}
	return len;
}

START_TEST(a_partition_hashes_utf_16_units)
{
	dice d = dice_of(_i);
	char text[64];
	int64_t hash;
	int i;

	for (i = 0; i < KEYS; i++) {
		size_t len = any_text(&d, text, sizeof(text), &hash);
		uint32_t n = (uint32_t)dice_sized(&d, 32);

		hash = hash < 0 ? -hash : hash;
		HOLDS(pmz_partition_js(text, len, n) ==
		      (n ? (uint64_t)hash % n : 0));
	}
}
END_TEST

START_TEST(no_bytes_are_read_beyond_a_key)
{
	dice d = dice_of(_i);
	int i;

	for (i = 0; i < KEYS / 10; i++) {
		size_t len = (size_t)dice_between(&d, 0, 40), k;
		char *key = calloc(len + !len, 1);

		/* A sanitizer sees what goes beyond; they are any bytes. */
		for (k = 0; k < len; k++)
			key[k] = (char)(dice_once_in(&d, 3) ? 0xf0
			                                    : dice_roll(&d));
		HOLDS(pmz_partition_js(key, len, 7) < 7);
		HOLDS(pmz_hash(key, len, 3) != pmz_hash(key, len, 4));
		free(key);
	}
}
END_TEST

static void add_rings(TCase *tc)
{
	tcase_add_loop_test(tc, a_search_finds_the_first_point_at_or_after, 0,
	                    SEEDS);
	tcase_add_loop_test(tc, any_order_makes_the_same_ring, 0, SEEDS);
	tcase_add_loop_test(
		tc, any_order_decides_the_same_for_points_that_fall_together, 0,
		8);
	tcase_add_loop_test(tc, a_change_of_one_node_moves_its_keys_only,
	                    0, 2 * SEEDS);
	tcase_add_loop_test(tc, moved_over_ideal_is_one, 0, 2 * SEEDS);
	tcase_add_loop_test(tc, a_key_is_found_while_one_node_is_up, 0,
	                    SEEDS);
	tcase_add_loop_test(tc, who_returns_takes_back_its_keys_and_no_other, 0,
	                    SEEDS);
	tcase_add_loop_test(
		tc, replicas_are_up_distinct_and_begin_with_the_one_found, 0,
		SEEDS);
	tcase_add_loop_test(tc, the_next_replica_is_where_a_key_goes, 0, SEEDS);
	tcase_add_loop_test(tc, a_difference_is_the_share_of_keys_that_move, 0,
	                    SEEDS / 2);
	tcase_add_loop_test(tc, keys_are_spread_as_the_weights_say, 0, SEEDS);
	tcase_add_loop_test(tc, maglev_moves_few_keys_of_others, 0, SEEDS / 2);
	tcase_add_loop_test(
		tc, the_second_replica_has_the_key_where_the_first_is_none, 0,
		SEEDS / 2);
	tcase_add_loop_test(tc, envoys_table_is_filled_as_envoy_fills_it, 0,
	                    SEEDS / 2);
	tcase_add_loop_test(tc, envoys_ring_has_as_many_points_as_envoys, 0,
	                    SEEDS / 2);
	tcase_add_loop_test(
		tc, the_first_node_named_like_an_earlier_one_is_the_bad_one, 0,
		SEEDS);
}

int main(void)
{
	Suite *suite = suite_create("ring");
	TCase *rings = tcase_create("rings"), *keys = tcase_create("keys");
	SRunner *runner = srunner_create(suite);
	int failed;

	add_rings(rings);
	tcase_add_loop_test(keys, a_new_shard_is_where_all_moved_keys_go,
	                    0, SEEDS);
	tcase_add_loop_test(keys, a_jump_is_the_papers_to_the_last_bit, 0,
	                    SEEDS);
	tcase_add_loop_test(keys, a_partition_hashes_utf_16_units, 0,
	                    SEEDS / 4);
	tcase_add_loop_test(keys, no_bytes_are_read_beyond_a_key, 0, SEEDS / 4);
	tcase_set_timeout(rings, 120);
	tcase_set_timeout(keys, 120);
	suite_add_tcase(suite, rings);
	suite_add_tcase(suite, keys);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
