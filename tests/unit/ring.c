/*
 * ring.c - making rings and what is wrong with a config, marks, replicas, what
 * differs between two rings, and the partitioner of JavaScript producers.
 */
#include "expect.h"

#include <stdlib.h>
#include <string.h>

#include <pipemaze/ring.h>

#include "core/ring.h"
#include "core/ring_hash.h"
#include "fleet.h"

static const uint32_t layouts[] = {
	PMZ_RING_NATIVE,     PMZ_RING_MAGLEV,       PMZ_RING_JUMP,
	PMZ_RING_RENDEZVOUS, PMZ_RING_NGINX,        PMZ_RING_ENVOY,
	PMZ_RING_ENVOY_MAGLEV,
#if PMZ_KETAMA
	PMZ_RING_KETAMA,     PMZ_RING_LIBMEMCACHED, PMZ_RING_SPYMEMCACHED,
#endif
};

static pmz_ring *ring_of(const fleet *f, uint32_t layout)
{
	pmz_ring *r = NULL;
	pmz_why why;

	if (fleet_ring(f, layout, &r, &why) != PMZ_OK)
		fail_msg("layout %u: %s", (unsigned)layout, why.text);
	return r;
}

static pmz_ring *ring_of_numbered(unsigned count, uint32_t layout)
{
	fleet f = { .count = 0 };

	fleet_number(&f, 0, count);
	return ring_of(&f, layout);
}

static uint32_t found(const pmz_ring *r, uint64_t hash)
{
	uint32_t node = PMZ__NO_NODE;

	expect_status(pmz_ring_find_hash(r, hash, &node), PMZ_OK);
	return node;
}

static uint64_t nth_hash(uint32_t i)
{
	return pmz_hash(&i, sizeof(i), 1);
}

/* What a bad ring must be refused with. */
struct refusal {
	pmz_ring_config c;
	pmz_node nodes[4];
	uint32_t index;
	const char *field;
};

static void expect_refusal(const struct refusal *row, size_t number)
{
	pmz_ring *r = (pmz_ring *)&number;
	pmz_ring_config c = row->c;
	size_t count = 0, len;
	pmz_why why;
	int status;

	while (count < 4 && row->nodes[count].reserved != 77)
		count++;
	c.size = sizeof(c);
	memset(&why, 0xff, sizeof(why));
	status = pmz_ring_new(&r, &c, row->nodes, count, &why);
	kit_expect_row(number, status, PMZ_E_CONFIG, pmz_status_name);
	assert_null(r);
	if (why.index != row->index || strcmp(why.field, row->field))
		fail_msg("row %zu: %s, node %u", number, why.field,
		         (unsigned)why.index);
	len = strlen(why.text);
	assert_true(len > 10 && len < sizeof(why.text) - 1);
	assert_int_equal(why.column, 0);
	assert_int_equal(why.ready_at, 0);
	expect_status(pmz_ring_new(&r, &c, row->nodes, count, NULL),
	              PMZ_E_CONFIG);
}

#define END { NULL, 0, 77 }
#define A { "a", 1, 0 }
#define B { "b", 1, 0 }

static void a_bad_ring_is_refused_with_its_field_and_node(void **state)
{
	static const struct refusal rows[] = {
		{ { .layout = 5 }, { A, END }, 0, "layout" },
		{ { .layout = 15 }, { A, END }, 0, "layout" },
		{ { .layout = 22 }, { A, END }, 0, "layout" },
		{ { .layout = 0 }, { END }, 0, "nodes" },
		{ { .layout = 0 }, { A, { NULL, 1, 0 }, END }, 1, "name" },
		{ { .layout = 0 }, { A, B, { "", 1, 0 }, END }, 2, "name" },
		{ { .layout = 0 }, { A, B, { "a", 0, 0 }, END }, 2, "name" },
		{ { .layout = 0 }, { A, A, A, A }, 1, "name" },
		{ { .layout = 0 }, { B, A, A, B }, 2, "name" },
		{ { .layout = 20 }, { B, A, B, END }, 2, "name" },
		{ { .layout = 0 }, { A, { "b", 1, 1 }, END }, 1, "reserved" },
		{ { .layout = 0 },
		  { { "a", UINT32_MAX, 0 }, B, END }, 1, "weight" },
		{ { .layout = 0 }, { A, { "b", 104857, 0 }, END }, 1,
		  "weight" },
		{ { .points = UINT32_MAX }, { A, END }, 0, "weight" },
		{ { .points = 1u << 23 }, { A, B, { "c", 1, 0 }, END }, 2,
		  "weight" },
		{ { .layout = 19 }, { { "z", 104857, 0 }, A, END }, 1,
		  "weight" },
		{ { .layout = 2, .table_size = 65536 }, { A, END }, 0,
		  "table_size" },
		{ { .layout = 2, .table_size = 1 }, { A, END }, 0,
		  "table_size" },
		{ { .layout = 21, .table_size = 16777259 }, { A, END }, 0,
		  "table_size" },
		{ { .layout = 2, .table_size = 3 }, { A, B, { "c", 1, 0 },
		  { "d", 1, 0 } }, 3, "table_size" },
		{ { .layout = 21, .table_size = 2 }, { A, B, { "c", 1, 0 },
		  END }, 2, "table_size" },
		{ { .layout = 3 }, { A, { "b", 2, 0 }, END }, 1, "weight" },
		{ { .layout = 3 }, { A, B, { "c", 0, 0 }, END }, 2, "weight" },
		{ { .layout = 20, .size_min = 9, .size_max = 8 }, { A, END }, 0,
		  "size_min" },
		{ { .layout = 20, .size_max = 1023 }, { A, END }, 0,
		  "size_min" },
		{ { .layout = 20, .size_max = (1u << 24) + 1 }, { A, END }, 0,
		  "size_max" },
#if PMZ_KETAMA
		{ { .layout = 17 },
		  { { "a:11211", 1, 0 }, B, A, END }, 2, "name" },
		{ { .layout = 17 }, { A, { ":11211", 1, 0 }, END }, 1, "name" },
#endif
	};
	size_t i;

	(void)state;
	for (i = 0; i < KIT_COUNT(rows); i++)
		expect_refusal(&rows[i], i);
}

static void a_config_of_another_size_is_judged_by_tail(void **state)
{
	struct {
		pmz_ring_config c;
		uint32_t more;
	} longer = { { .size = sizeof(longer) }, 0 };
	pmz_node node = A;
	pmz_ring *r;
	pmz_why why;

	(void)state;
	expect_status(pmz_ring_new(&r, &longer.c, &node, 1, &why), PMZ_OK);
	pmz_ring_free(r);
	longer.more = 1;
	expect_status(pmz_ring_new(&r, &longer.c, &node, 1, &why),
	              PMZ_E_CONFIG);
	assert_string_equal(why.field, "size");
	longer.c.size = 4;
	expect_status(pmz_ring_new(&r, &longer.c, &node, 1, &why),
	              PMZ_E_CONFIG);
	longer.c.size = 2 * sizeof(uint32_t);
	longer.c.points = UINT32_MAX; /* is beyond that size, so unread */
	expect_status(pmz_ring_new(&r, &longer.c, &node, 1, &why), PMZ_OK);
	pmz_ring_free(r);
}

static void what_is_just_within_the_limits_is_taken(void **state)
{
	static const struct refusal rows[] = {
		{ { .layout = 0 }, { A, { "b", 104856, 0 }, END }, 0, "" },
		{ { .layout = 1, .points = 1u << 23 }, { A, B, END }, 0, "" },
		{ { .layout = 2 }, { A, { "b", UINT32_MAX - 1, 0 }, END }, 0,
		  "" },
		{ { .layout = 2, .table_size = 3 }, { A, B, { "c", 1, 0 },
		  { "d", 0, 0 } }, 0, "" },
		{ { .layout = 21, .table_size = 2 }, { A, B, END }, 0, "" },
		{ { .layout = 21, .table_size = 16777213 }, { A, END }, 0, "" },
		{ { .layout = 20, .size_min = 8, .size_max = 8 }, { A, END }, 0,
		  "" },
		{ { .layout = 4 }, { A, { "b", UINT32_MAX - 1, 0 }, END }, 0,
		  "" },
	};
	size_t i;

	(void)state;
	for (i = 0; i < KIT_COUNT(rows); i++) {
		pmz_ring_config c = rows[i].c;
		size_t count = 0;
		pmz_ring *r;
		pmz_why why;

		while (count < 4 && rows[i].nodes[count].reserved != 77)
			count++;
		c.size = sizeof(c);
		if (pmz_ring_new(&r, &c, rows[i].nodes, count, &why) != PMZ_OK)
			fail_msg("row %zu: %s", i, why.text);
		assert_true(found(r, nth_hash((uint32_t)i)) < count);
		pmz_ring_free(r);
	}
}

static void rendezvous_takes_64_nodes_and_no_65th(void **state)
{
	fleet f = { .count = 0 };
	pmz_ring *r;
	pmz_why why;

	(void)state;
	fleet_number(&f, 0, 64);
	r = ring_of(&f, PMZ_RING_RENDEZVOUS);
	pmz_ring_free(r);
	fleet_number(&f, 64, 1);
	expect_status(fleet_ring(&f, PMZ_RING_RENDEZVOUS, &r, &why),
	              PMZ_E_CONFIG);
	assert_string_equal(why.field, "nodes");
	assert_int_equal(why.index, 64);
}

static void too_many_nodes_are_refused_unread(void **state)
{
	const pmz_node *none = (const pmz_node *)(uintptr_t)64;
	pmz_ring *r;
	pmz_why why;

	(void)state;
	expect_status(pmz_ring_new(&r, NULL, none, (1u << 24) + 1, &why),
	              PMZ_E_CONFIG);
	assert_string_equal(why.field, "nodes");
	assert_int_equal(why.index, 1u << 24);
}

static void the_names_are_copied(void **state)
{
	char name[] = "a";
	pmz_node node = { name, 1, 0 };
	pmz_ring *before, *after;

	(void)state;
	expect_status(pmz_ring_new(&before, NULL, &node, 1, NULL), PMZ_OK);
	name[0] = 'b';
	expect_status(pmz_ring_new(&after, NULL, &node, 1, NULL), PMZ_OK);
	assert_int_equal(pmz_ring_diff_ppm(before, after), 1000000);
	pmz_ring_free(before);
	pmz_ring_free(after);
}

static void one_node_has_all_keys(void **state)
{
	size_t i;
	uint32_t k;

	(void)state;
	for (i = 0; i < KIT_COUNT(layouts); i++) {
		pmz_ring *r = ring_of_numbered(1, layouts[i]);

		for (k = 0; k < 100; k++)
			assert_int_equal(found(r, nth_hash(k)), 0);
		assert_int_equal(found(r, 0), 0);
		assert_int_equal(found(r, UINT64_MAX), 0);
		pmz_ring_free(r);
	}
	pmz_ring_free(NULL);
}

/* All drained, which is how a set may be left before it is deleted. */
static void without_a_weight_there_is_none_to_find(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < KIT_COUNT(layouts); i++) {
		fleet f = { .count = 0 };
		uint32_t node;
		pmz_ring *r;

		if (layouts[i] == PMZ_RING_JUMP)
			continue;
		fleet_add(&f, "a", 0);
		fleet_add(&f, "b", 0);
		r = ring_of(&f, layouts[i]);
		expect_status(pmz_ring_find(r, "k", 1, &node),
		              PMZ_REFUSED_EMPTY);
		assert_int_equal(pmz_ring_replicas(r, "k", 1, &node, 1), 0);
		expect_status(pmz_ring_mark(r, 0, 1), PMZ_OK);
		expect_status(pmz_ring_mark(r, 0, 0), PMZ_OK);
		expect_status(pmz_ring_find(r, "k", 1, &node),
		              PMZ_REFUSED_EMPTY);
		pmz_ring_free(r);
	}
}

static void a_mark_of_no_node_or_of_a_shard_is_refused(void **state)
{
	pmz_ring *native = ring_of_numbered(3, PMZ_RING_NATIVE);
	pmz_ring *jump = ring_of_numbered(3, PMZ_RING_JUMP);

	(void)state;
	expect_status(pmz_ring_mark(native, 2, 1), PMZ_OK);
	expect_status(pmz_ring_mark(native, 3, 1), PMZ_E_CONFIG);
	expect_status(pmz_ring_mark(native, UINT32_MAX, 1), PMZ_E_CONFIG);
	expect_status(pmz_ring_mark(jump, 0, 1), PMZ_E_CONFIG);
	expect_status(pmz_ring_mark(jump, 0, 0), PMZ_E_CONFIG);
	pmz_ring_free(native);
	pmz_ring_free(jump);
}

/* A second mark of the same kind changes nothing, nor does the value of one. */
static void marks_are_counted_once(void **state)
{
	pmz_ring *r = ring_of_numbered(2, PMZ_RING_NATIVE);
	uint32_t node, i;

	(void)state;
	expect_status(pmz_ring_mark(r, 0, 1), PMZ_OK);
	expect_status(pmz_ring_mark(r, 0, -5), PMZ_OK);
	for (i = 0; i < 100; i++)
		assert_int_equal(found(r, nth_hash(i)), 1);
	expect_status(pmz_ring_mark(r, 1, 7), PMZ_OK);
	expect_status(pmz_ring_find_hash(r, 0, &node), PMZ_REFUSED_EMPTY);
	expect_status(pmz_ring_mark(r, 0, 0), PMZ_OK);
	expect_status(pmz_ring_mark(r, 0, 0), PMZ_OK);
	for (i = 0; i < 100; i++)
		assert_int_equal(found(r, nth_hash(i)), 0);
	pmz_ring_free(r);
}

/* Some layouts round the share of a light node down to nothing. */
static void who_has_no_point_is_found_when_no_other_is_up(void **state)
{
	static const struct {
		uint32_t layout, size_max;
	} rows[] = {
		{ PMZ_RING_ENVOY, 1024 },
#if PMZ_KETAMA
		{ PMZ_RING_KETAMA, 0 },
		{ PMZ_RING_LIBMEMCACHED, 0 },
		{ PMZ_RING_SPYMEMCACHED, 0 },
#endif
	};
	static const pmz_node nodes[] = { { "heavy", 1000000, 0 },
		                          { "light", 1, 0 } };
	size_t i;

	(void)state;
	for (i = 0; i < KIT_COUNT(rows); i++) {
		pmz_ring_config c = { .size = sizeof(c),
			              .layout = rows[i].layout,
			              .size_max = rows[i].size_max };
		uint32_t list[3], k;
		pmz_ring *r;

		expect_status(pmz_ring_new(&r, &c, nodes, 2, NULL), PMZ_OK);
		for (k = 0; k < 1000; k++)
			assert_int_equal(found(r, nth_hash(k)), 0);
		assert_int_equal(pmz_ring_replicas(r, "k", 1, list, 3), 2);
		assert_int_equal(list[1], 1);
		expect_status(pmz_ring_mark(r, 0, 1), PMZ_OK);
		assert_int_equal(found(r, 0), 1);
		assert_int_equal(pmz_ring_replicas(r, "k", 1, list, 3), 1);
		assert_int_equal(list[0], 1);
		pmz_ring_free(r);
	}
}

static void every_slot_of_a_table_counts_for_the_lightest(void **state)
{
	static const pmz_node nodes[] = { { "heavy", 4000000000u, 0 },
		                          { "light", 1, 0 } };
	static const uint32_t tables[] = { PMZ_RING_MAGLEV,
		                           PMZ_RING_ENVOY_MAGLEV };
	size_t i;
	uint32_t k, slots;

	(void)state;
	for (i = 0; i < KIT_COUNT(tables); i++) {
		pmz_ring_config c = { .size = sizeof(c), .layout = tables[i] };
		pmz_ring *r;

		expect_status(pmz_ring_new(&r, &c, nodes, 2, NULL), PMZ_OK);
		for (k = 0, slots = 0; k < r->as.slots.count; k++)
			slots += r->as.slots.owners[k];
		assert_int_equal(slots, 1);
		pmz_ring_free(r);
	}
}

static void replicas_of_a_shard_are_all_shards_in_the_end(void **state)
{
	pmz_ring *r = ring_of_numbered(40, PMZ_RING_JUMP);
	uint32_t list[41], seen[40] = { 0 }, i;

	(void)state;
	assert_int_equal(pmz_ring_replicas(r, "key", 3, list, 41), 40);
	for (i = 0; i < 40; i++)
		seen[list[i]]++;
	for (i = 0; i < 40; i++)
		assert_int_equal(seen[i], 1);
	pmz_ring_free(r);
}

static void no_replica_is_written_beyond_the_list(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < KIT_COUNT(layouts); i++) {
		pmz_ring *r = ring_of_numbered(5, layouts[i]);
		uint32_t list[] = { 99, 99, 99 };

		assert_int_equal(pmz_ring_replicas(r, "k", 1, NULL, 0), 0);
		assert_int_equal(pmz_ring_replicas(r, "k", 1, list, 2), 2);
		assert_int_equal(list[2], 99);
		pmz_ring_free(r);
	}
}

static void a_32_bit_layout_reads_the_low_half_of_a_hash(void **state)
{
	static const uint32_t narrow[] = { PMZ_RING_NGINX,
#if PMZ_KETAMA
		                           PMZ_RING_KETAMA,
		                           PMZ_RING_LIBMEMCACHED,
		                           PMZ_RING_SPYMEMCACHED
#endif
	};
	const uint64_t high = 0xabcdef0100000000u;
	size_t i;
	uint32_t k;

	(void)state;
	for (i = 0; i < KIT_COUNT(narrow); i++) {
		pmz_ring *r = ring_of_numbered(20, narrow[i]);

		for (k = 0; k < 1000; k++) {
			uint64_t hash = pmz_ring_hash(r, &k, sizeof(k));

			assert_true(hash <= UINT32_MAX);
			assert_int_equal(found(r, hash),
			                 found(r, hash | high));
		}
		pmz_ring_free(r);
	}
}

static void an_empty_key_is_a_key(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < KIT_COUNT(layouts); i++) {
		pmz_ring *r = ring_of_numbered(9, layouts[i]);
		uint32_t node;

		assert_int_equal(pmz_ring_hash(r, NULL, 0),
		                 pmz_ring_hash(r, "x", 0));
		expect_status(pmz_ring_find(r, NULL, 0, &node), PMZ_OK);
		assert_int_equal(node, found(r, pmz_ring_hash(r, "", 0)));
		pmz_ring_free(r);
	}
}

/* The names decide, not the numbers: swapped nodes differ nowhere. */
static void rings_differ_by_names(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < KIT_COUNT(layouts); i++) {
		fleet f = { .count = 0 };
		pmz_ring *a, *b;

		fleet_number(&f, 0, 2);
		a = ring_of(&f, layouts[i]);
		f = (fleet){ .count = 0 };
		fleet_number(&f, 1, 1);
		fleet_number(&f, 0, 1);
		b = ring_of(&f, layouts[i]);
		if (layouts[i] == PMZ_RING_JUMP)
			assert_int_equal(pmz_ring_diff_ppm(a, b), 1000000);
		else
			assert_int_equal(pmz_ring_diff_ppm(a, b), 0);
		pmz_ring_free(a);
		pmz_ring_free(b);
	}
}

static void rings_differ_by_marks(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < KIT_COUNT(layouts); i++) {
		pmz_ring *a, *b;

		if (layouts[i] == PMZ_RING_JUMP)
			continue;
		a = ring_of_numbered(2, layouts[i]);
		b = ring_of_numbered(2, layouts[i]);
		expect_status(pmz_ring_mark(b, 0, 1), PMZ_OK);
		assert_in_range(pmz_ring_diff_ppm(a, b), 400000, 600000);
		expect_status(pmz_ring_mark(a, 1, 1), PMZ_OK);
		assert_int_equal(pmz_ring_diff_ppm(a, b), 1000000);
		expect_status(pmz_ring_mark(b, 1, 1), PMZ_OK);
		assert_int_equal(pmz_ring_diff_ppm(a, b), 1000000);
		expect_status(pmz_ring_mark(a, 0, 1), PMZ_OK);
		assert_int_equal(pmz_ring_diff_ppm(a, b), 0);
		pmz_ring_free(a);
		pmz_ring_free(b);
	}
}

/* Their tables are alike, but not which slot has a key. */
static void rings_of_other_layouts_differ_in_most_keys(void **state)
{
	static const uint32_t others[] = { PMZ_RING_ENVOY_MAGLEV,
		                           PMZ_RING_NATIVE, PMZ_RING_NGINX,
		                           PMZ_RING_RENDEZVOUS };
	pmz_ring *maglev = ring_of_numbered(10, PMZ_RING_MAGLEV);
	size_t i;

	(void)state;
	for (i = 0; i < KIT_COUNT(others); i++) {
		pmz_ring *other = ring_of_numbered(10, others[i]);

		assert_in_range(pmz_ring_diff_ppm(maglev, other), 850000,
		                950000);
		pmz_ring_free(other);
	}
	pmz_ring_free(maglev);
}

static void a_jump_to_one_more_shard_moves_its_share(void **state)
{
	pmz_ring *nine = ring_of_numbered(9, PMZ_RING_JUMP);
	pmz_ring *ten = ring_of_numbered(10, PMZ_RING_JUMP);

	(void)state;
	assert_in_range(pmz_ring_diff_ppm(nine, ten), 98500, 101500);
	pmz_ring_free(nine);
	pmz_ring_free(ten);
}

/* Computed with JavaScript: key, the hash's absolute value, % 12, % 24. */
static void partitions_are_those_of_javascript(void **state)
{
	static const struct {
		const char *key;
		uint32_t hash, of_12, of_24;
	} rows[] = {
		{ "", 0, 0, 0 },
		{ "a", 97, 1, 1 },
		{ "user-1", 836031825, 9, 9 },
		{ "user-42", 147182656, 4, 16 },
		{ "order-123456", 1958917570, 10, 10 },
		{ "polygenelubricants", 2147483648u, 8, 8 },
		{ "h\xc3\xa9llo", 103094734, 10, 22 },
		{ "\xe6\x97\xa5\xe6\x9c\xac", 835047, 3, 15 },
		{ "\xf0\x9f\x98\x80", 1772899, 7, 19 },
	};
	size_t i;

	(void)state;
	for (i = 0; i < KIT_COUNT(rows); i++) {
		size_t len = strlen(rows[i].key);

		assert_int_equal(pmz_partition_js(rows[i].key, len, UINT32_MAX),
		                 rows[i].hash);
		assert_int_equal(pmz_partition_js(rows[i].key, len, 12),
		                 rows[i].of_12);
		assert_int_equal(pmz_partition_js(rows[i].key, len, 24),
		                 rows[i].of_24);
		assert_int_equal(pmz_partition_js(rows[i].key, len, 0), 0);
		assert_int_equal(pmz_partition_js(rows[i].key, len, 1), 0);
	}
	assert_int_equal(pmz_partition_js(NULL, 0, 5), 0);
}

#define BAD "\xef\xbf\xbd" /* U+FFFD */

/* The Unicode Standard, section 3.9, tables 3-8 to 3-11, and their like. */
static void what_is_no_utf_8_becomes_replacement_characters(void **state)
{
	static const struct {
		const char *key, *as;
	} rows[] = {
		{ "a\x80z", "a" BAD "z" },
		{ "\xc0\xaf", BAD BAD },
		{ "\xc1\xbf", BAD BAD },
		{ "\xc2", BAD },
		{ "\xc2" "A", BAD "A" },
		{ "\xe0\x80\xbf", BAD BAD BAD },
		{ "\xe0\x9f\x80", BAD BAD BAD },
		{ "\xed\xa0\x80\xed\xbf\xbf", BAD BAD BAD BAD BAD BAD },
		{ "\xe1\x80\xe2\xf0\x91\x92\xf1\xbf" "A", BAD BAD BAD BAD "A" },
		{ "\xf0\x80\x81\x82", BAD BAD BAD BAD },
		{ "\xf4\x91\x92\x93\xff\x41\x80\xbf" "B",
		  BAD BAD BAD BAD BAD "A" BAD BAD "B" },
		{ "\xf5\x80\x80\x80", BAD BAD BAD BAD },
		{ "\xf0\x9f\x98", BAD },
		{ "\xf0\x9f\x98\xf0\x9f\x98\x80", BAD "\xf0\x9f\x98\x80" },
		{ "\xe6\x97", BAD },
		{ "\xfe\xff", BAD BAD },
	};
	size_t i;

	(void)state;
	for (i = 0; i < KIT_COUNT(rows); i++) {
		const char *key = rows[i].key, *as = rows[i].as;
		uint32_t got = pmz_partition_js(key, strlen(key), UINT32_MAX);
		uint32_t want = pmz_partition_js(as, strlen(as), UINT32_MAX);

		if (got != want)
			fail_msg("row %zu: %u, not %u", i, (unsigned)got,
			         (unsigned)want);
	}
	/* 0xfffd once and twice, by hand. */
	assert_int_equal(pmz_partition_js("\xff", 1, UINT32_MAX), 0xfffd);
	assert_int_equal(pmz_partition_js("\xff\xff", 2, UINT32_MAX),
	                 32 * 0xfffd);
}

static void a_zero_byte_is_part_of_a_key(void **state)
{
	pmz_ring *r = ring_of_numbered(50, PMZ_RING_NATIVE);

	(void)state;
	assert_int_equal(pmz_partition_js("\0a", 2, 1000), 97);
	assert_int_equal(pmz_partition_js("a\0", 2, UINT32_MAX), 97 * 31);
	assert_int_not_equal(pmz_ring_hash(r, "a", 1),
	                     pmz_ring_hash(r, "a\0", 2));
	pmz_ring_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_bad_ring_is_refused_with_its_field_and_node),
		cmocka_unit_test(a_config_of_another_size_is_judged_by_tail),
		cmocka_unit_test(what_is_just_within_the_limits_is_taken),
		cmocka_unit_test(rendezvous_takes_64_nodes_and_no_65th),
		cmocka_unit_test(too_many_nodes_are_refused_unread),
		cmocka_unit_test(the_names_are_copied),
		cmocka_unit_test(one_node_has_all_keys),
		cmocka_unit_test(without_a_weight_there_is_none_to_find),
		cmocka_unit_test(a_mark_of_no_node_or_of_a_shard_is_refused),
		cmocka_unit_test(marks_are_counted_once),
		cmocka_unit_test(who_has_no_point_is_found_when_no_other_is_up),
		cmocka_unit_test(every_slot_of_a_table_counts_for_the_lightest),
		cmocka_unit_test(replicas_of_a_shard_are_all_shards_in_the_end),
		cmocka_unit_test(no_replica_is_written_beyond_the_list),
		cmocka_unit_test(a_32_bit_layout_reads_the_low_half_of_a_hash),
		cmocka_unit_test(an_empty_key_is_a_key),
		cmocka_unit_test(rings_differ_by_names),
		cmocka_unit_test(rings_differ_by_marks),
		cmocka_unit_test(rings_of_other_layouts_differ_in_most_keys),
		cmocka_unit_test(a_jump_to_one_more_shard_moves_its_share),
		cmocka_unit_test(partitions_are_those_of_javascript),
		cmocka_unit_test(
			what_is_no_utf_8_becomes_replacement_characters),
		cmocka_unit_test(a_zero_byte_is_part_of_a_key),
	};

	return cmocka_run_group_tests_name("ring", tests, NULL, NULL);
}
