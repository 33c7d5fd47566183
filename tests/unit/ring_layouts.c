/*
 * ring_layouts.c - the layouts of other projects, against what these publish,
 * and our own against what they are defined to be.
 */
#include "expect.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pipemaze/ring.h>

#include "core/ring.h"
#include "core/ring_hash.h"
#include "fleet.h"

#if PMZ_KETAMA
#include <md5.h>
#endif

static pmz_ring *made(const pmz_ring_config *c, const pmz_node *nodes,
                      size_t count)
{
	pmz_ring *r = NULL;
	pmz_why why;

	if (pmz_ring_new(&r, c, nodes, count, &why) != PMZ_OK)
		fail_msg("%s: %s", why.field, why.text);
	return r;
}

static pmz_ring *laid_out(uint32_t layout, const pmz_node *nodes, size_t count)
{
	pmz_ring_config c = { .size = sizeof(c), .layout = layout };

	return made(&c, nodes, count);
}

static uint32_t find(const pmz_ring *r, const char *key)
{
	uint32_t node = PMZ__NO_NODE;

	expect_status(pmz_ring_find(r, key, strlen(key), &node), PMZ_OK);
	return node;
}

static uint32_t find_hash(const pmz_ring *r, uint64_t hash)
{
	uint32_t node = PMZ__NO_NODE;

	expect_status(pmz_ring_find_hash(r, hash, &node), PMZ_OK);
	return node;
}

/* From the README of xxHash's Python and Go bindings, and xxhsum's own. */
static void a_hash_is_xxh64(void **state)
{
	(void)state;
	assert_int_equal(pmz_hash("", 0, 0), 0xef46db3751d8e999u);
	assert_int_equal(pmz_hash("abc", 3, 0), 0x44bc2cf5ad770999u);
	assert_int_equal(pmz_hash("xxhash", 6, 0), 3665147885093898016u);
	assert_int_equal(pmz_hash("xxhash", 6, 20141025),
	                 13067679811253438005u);
}

/* HashingTest of Guava, and the query test 00580 of ClickHouse; both check that
 * they agree with the paper's own code. */
static void jumps_are_those_of_guava_and_clickhouse(void **state)
{
	static const uint32_t of_100[] = { 0,  55, 62, 8,  45, 59, 86,
		                           97, 82, 59, 73, 37, 17, 56,
		                           86, 21, 90, 37, 38, 83 };
	static const struct {
		uint64_t key;
		uint32_t buckets, want;
	} rows[] = {
		{ 10863919174838991u, 11, 6 },
		{ 2016238256797177309u, 11, 3 },
		{ 1673758223894951030u, 11, 5 },
		{ 2, 100001, 80343 },
		{ 2201, 100001, 22152 },
		{ 2202, 100001, 15018 },
		{ 1, 1, 0 },
		{ 42, 57, 43 },
		{ 256, 1024, 520 },
		{ 3735883980u, 1, 0 },
		{ 3735883980u, 666, 361 },
		{ 16045690984833335023u, 255, 237 },
		{ 16045690984833335023u, 0, 0 },
	};
	uint32_t i;

	(void)state;
	for (i = 0; i < KIT_COUNT(of_100); i++)
		assert_int_equal(pmz_jump(i, 100), of_100[i]);
	for (i = 0; i < KIT_COUNT(rows); i++)
		assert_int_equal(pmz_jump(rows[i].key, rows[i].buckets),
		                 rows[i].want);
}

/* Where the product of the paper's doubles is rounded up to a whole number, and
 * the jump with it. */
static void a_jump_is_rounded_as_doubles_are(void **state)
{
	static const struct {
		uint64_t key;
		uint32_t want;
	} rows[] = {
		{ 1055484, 3702088275u }, /* exactly it is 3702084563 */
		{ 2974067, 1654293531u }, /* 1654293027 */
		{ 5535570, 3743937469u }, /* 3743937468 */
		{ 5666729, 3004067444u }, /* 3004067443 */
	};
	size_t i;

	(void)state;
	for (i = 0; i < KIT_COUNT(rows); i++)
		assert_int_equal(pmz_jump(rows[i].key, UINT32_MAX),
		                 rows[i].want);
}

static const pmz_node last_fm[] = {
	{ "10.0.1.1:11211", 600, 0 }, { "10.0.1.2:11211", 300, 0 },
	{ "10.0.1.3:11211", 200, 0 }, { "10.0.1.4:11211", 350, 0 },
	{ "10.0.1.5:11211", 1000, 0 }, { "10.0.1.6:11211", 800, 0 },
	{ "10.0.1.7:11211", 950, 0 }, { "10.0.1.8:11211", 100, 0 },
};

#if PMZ_KETAMA

static void add_text(MD5_CTX *md5, const char *text)
{
	MD5Update(md5, (const uint8_t *)text, strlen(text));
}

/* libketama's test.sh hashes what its ketama_test.c prints: an empty line, and
 * for each key its hash, the point found, and whose that is. */
static void a_million_keys_are_where_libketama_has_them(void **state)
{
	pmz_ring *r = laid_out(PMZ_RING_KETAMA, last_fm, KIT_COUNT(last_fm));
	char key[16], line[64], sum[MD5_DIGEST_STRING_LENGTH];
	MD5_CTX md5;
	int i;

	(void)state;
	MD5Init(&md5);
	add_text(&md5, "\n");
	for (i = 0; i < 1000000; i++) {
		size_t len = (size_t)snprintf(key, sizeof(key), "%d", i);
		uint64_t hash = pmz_ring_hash(r, key, len);
		uint32_t at = pmz__circle_find(&r->as.circle, hash);
		uint64_t point = r->as.circle.points[at % r->as.circle.count];

		snprintf(line, sizeof(line), "%u %u %s\n", (unsigned)hash,
		         (unsigned)(point >> 32),
		         last_fm[find_hash(r, hash)].name);
		add_text(&md5, line);
	}
	MD5End(&md5, sum);
	assert_string_equal(sum, "5672b131391f5aa2b280936aec1eea74");
	pmz_ring_free(r);
}

struct placed {
	const char *key;
	unsigned server;
};

static void expect_places(const pmz_ring *r, const struct placed *rows,
                          size_t count)
{
	size_t i;

	for (i = 0; i < count; i++)
		if (find(r, rows[i].key) != rows[i].server)
			fail_msg("%s is not on %u", rows[i].key,
			         rows[i].server);
}

/* memcached_ketama_compat and spymemcached of libmemcached's own tests: the
 * servers above, the last number of their addresses. */
static void keys_are_where_libmemcached_has_them(void **state)
{
	static const struct {
		const char *key;
		unsigned server, as_spymemcached;
	} rows[] = {
		{ "SVa_]_V41)", 7, 2 },
		{ "1I=cTMNTKF", 5, 4 },
		{ "/XLN0@+36;", 1, 7 },
		{ "P1[Ma3=K1/", 8, 1 },
		{ "cDT0)Z5P6,", 5, 1 },
		{ "`,SS]NBP,b", 1, 1 },
		{ "*Xc+V0P>32", 7, 7 },
		{ "=256P+;Qc8", 5, 3 },
		{ ".=54)_c;=T", 1, 6 },
		{ "NZ@ZE=O84_", 7, 7 },
		{ "XY\\X::LX50", 6, 7 },
		{ "8(6=(T0/Z0", 7, 6 },
		{ "aPb3E1WD4K", 1, 2 },
		{ "UNHVP..^8H", 4, 6 },
		{ "bV2,`a.PY9", 1, 7 },
		{ "2;M;ES>J5/", 7, 6 },
		{ "NP:=FR\\OaA", 7, 7 },
		{ "U>*>9ZI6V5", 6, 5 },
		{ "?K2NF@3=IU", 1, 6 },
		{ ";=ZT\\W^P+H", 4, 6 },
		{ "\\R^7=9UCG`", 5, 6 },
		{ "(bEIQJ:E./", 6, 7 },
		{ "\\[a\\^=V_M0", 6, 7 },
		{ "X;-F`(N?9D", 7, 5 },
		{ "FL;\\GWacaV", 4, 7 },
	};
	static const pmz_node as_java[] = {
		{ "/10.0.1.1:11211", 600, 0 }, { "/10.0.1.2:11211", 300, 0 },
		{ "/10.0.1.3:11211", 200, 0 }, { "/10.0.1.4:11211", 350, 0 },
		{ "/10.0.1.5:11211", 1000, 0 }, { "/10.0.1.6:11211", 800, 0 },
		{ "/10.0.1.7:11211", 950, 0 }, { "/10.0.1.8:11211", 100, 0 },
	};
	pmz_ring *c = laid_out(PMZ_RING_LIBMEMCACHED, last_fm, 8);
	pmz_ring *java = laid_out(PMZ_RING_SPYMEMCACHED, as_java, 8);
	size_t i;

	(void)state;
	for (i = 0; i < KIT_COUNT(rows); i++) {
		assert_int_equal(find(c, rows[i].key) + 1, rows[i].server);
		assert_int_equal(find(java, rows[i].key) + 1,
		                 rows[i].as_spymemcached);
	}
	pmz_ring_free(c);
	pmz_ring_free(java);
}

static pmz_ring *java_ring(fleet *f, unsigned count)
{
	char name[FLEET_NAME];
	unsigned i;

	memset(f, 0, sizeof(*f));
	for (i = 0; i < count; i++) {
		snprintf(name, sizeof(name), "127.0.0.1:%u", 10000 + i);
		fleet_add(f, name, 1);
	}
	return laid_out(PMZ_RING_SPYMEMCACHED, f->nodes, f->count);
}

/* KetamaNodeLocatorTest of spymemcached: lookups, wrapping, compatibility. */
static void keys_are_where_spymemcached_has_them(void **state)
{
	static const struct placed of_four[] = {
		{ "dustin", 0 },   { "noelani", 2 },  { "some other key", 0 },
		{ "V5XS8C8N", 3 }, { "8KR2DKR2", 3 }, { "L9KH6X4X", 3 },
	};
	static const struct placed of_five[] = {
		{ "dustin", 0 }, { "noelani", 2 }, { "some other key", 4 },
		{ "36", 2 },     { "10037", 3 },   { "22051", 1 },
		{ "49044", 4 },
	};
	fleet f;
	pmz_ring *r = java_ring(&f, 4);

	(void)state;
	expect_places(r, of_four, KIT_COUNT(of_four));
	assert_int_equal(r->as.circle.points[r->as.circle.count - 1] >> 32,
	                 4294887009u);
	pmz_ring_free(r);
	r = java_ring(&f, 5);
	expect_places(r, of_five, KIT_COUNT(of_five));
	pmz_ring_free(r);
}

/* The same test, against libketama with equal weights. */
static void equal_weights_are_where_libketama_has_them(void **state)
{
	static const struct placed rows[] = {
		{ "0", 1 },     { "233", 7 },   { "466", 3 },   { "699", 1 },
		{ "932", 6 },   { "1165", 2 },  { "1398", 1 },  { "1631", 6 },
		{ "1864", 5 },  { "2097", 3 },  { "3728", 8 },  { "3961", 4 },
		{ "28892", 7 }, { "36814", 8 }, { "72929", 4 }, { "94132", 2 },
	};
	static const uint32_t layouts[] = { PMZ_RING_KETAMA,
		                            PMZ_RING_SPYMEMCACHED };
	pmz_node nodes[8];
	size_t i, k;

	(void)state;
	for (i = 0; i < 8; i++)
		nodes[i] = (pmz_node){ last_fm[i].name, 1, 0 };
	for (k = 0; k < KIT_COUNT(layouts); k++) {
		pmz_ring *r = laid_out(layouts[k], nodes, 8);

		for (i = 0; i < KIT_COUNT(rows); i++)
			assert_int_equal(find(r, rows[i].key) + 1,
			                 rows[i].server);
		pmz_ring_free(r);
	}
}

/* In float a 25th of 40 times 25 is less than 40, in double it is not. */
static void shares_are_rounded_as_each_project_rounds_them(void **state)
{
	static const struct {
		uint32_t layout, nodes, weight, points;
	} rows[] = {
		{ PMZ_RING_KETAMA, 24, 1, 160 },
		{ PMZ_RING_KETAMA, 25, 1, 160 },
		{ PMZ_RING_KETAMA, 61, 1, 156 },
		{ PMZ_RING_LIBMEMCACHED, 24, 1, 160 },
		{ PMZ_RING_LIBMEMCACHED, 25, 1, 156 },
		{ PMZ_RING_LIBMEMCACHED, 29, 1, 160 },
		{ PMZ_RING_LIBMEMCACHED, 25, 7, 156 },
		{ PMZ_RING_SPYMEMCACHED, 25, 1, 160 },
		{ PMZ_RING_SPYMEMCACHED, 25, 7, 156 },
	};
	size_t i, k;

	(void)state;
	for (i = 0; i < KIT_COUNT(rows); i++) {
		fleet f = { .count = 0 };
		pmz_ring *r;

		fleet_number(&f, 0, rows[i].nodes);
		for (k = 0; k < f.count; k++)
			f.nodes[k].weight = rows[i].weight;
		r = laid_out(rows[i].layout, f.nodes, f.count);
		assert_int_equal(r->as.circle.count,
		                 rows[i].nodes * rows[i].points);
		pmz_ring_free(r);
	}
}
enum { CROWD = 3000 }; /* of which some points fall together */

/* Whether of two nodes at one point the later by name has it, found often. */
static void expect_tie(uint32_t layout, int later)
{
	static char names[CROWD][16];
	static pmz_node nodes[CROWD];
	const uint64_t *points;
	unsigned ties = 0;
	pmz_ring *r;
	uint32_t i;

	for (i = 0; i < CROWD; i++) {
		snprintf(names[i], sizeof(names[i]), "node%04u", CROWD - i);
		nodes[i] = (pmz_node){ names[i], 1, 0 };
	}
	r = laid_out(layout, nodes, CROWD);
	points = r->as.circle.points;
	for (i = 1; i < r->as.circle.count; i++) {
		uint32_t a = (uint32_t)(points[i - 1] & (PMZ__RING_MAX - 1));
		uint32_t b = (uint32_t)(points[i] & (PMZ__RING_MAX - 1));

		if (a == b || points[i - 1] >> 32 != points[i] >> 32)
			continue;
		ties++;
		assert_int_equal(strcmp(names[a], names[b]) > 0, later);
		assert_int_equal(find_hash(r, points[i] >> 32), a);
	}
	assert_true(ties > 2);
	pmz_ring_free(r);
}

/* What the projects do when their servers are given in the order of names. */
static void points_that_fall_together_are_the_first_or_last(void **st)
{
	(void)st;
	expect_tie(PMZ_RING_KETAMA, 0);
	expect_tie(PMZ_RING_LIBMEMCACHED, 0);
	expect_tie(PMZ_RING_NGINX, 0);
	expect_tie(PMZ_RING_SPYMEMCACHED, 1);
}

#else

static void without_md5_its_layouts_are_absent(void **state)
{
	static const uint32_t layouts[] = { PMZ_RING_KETAMA,
		                            PMZ_RING_LIBMEMCACHED,
		                            PMZ_RING_SPYMEMCACHED };
	pmz_ring *r = NULL;
	pmz_why why;
	size_t i;

	(void)state;
	for (i = 0; i < KIT_COUNT(layouts); i++) {
		pmz_ring_config c = { .size = sizeof(c),
			              .layout = layouts[i] };

		expect_status(pmz_ring_new(&r, &c, last_fm, 8, &why),
		              PMZ_E_ABSENT);
		assert_null(r);
		assert_string_equal(why.field, "layout");
		assert_non_null(strstr(why.text, "MD5"));
	}
}

#endif

/* ring_hash_lb_test.cc of Envoy: Basic. */
static void envoys_ring_has_the_points_of_its_own_test(void **state)
{
	static const struct {
		uint64_t point;
		uint32_t node;
	} rows[] = {
		{ 833437586790550860u, 4 },    { 928266305478181108u, 2 },
		{ 1033482794131418490u, 0 },   { 3551244743356806947u, 5 },
		{ 3851675632748031481u, 3 },   { 5583722120771150861u, 1 },
		{ 6311230543546372928u, 1 },   { 7700377290971790572u, 3 },
		{ 13144177310400110813u, 5 },  { 13444792449719432967u, 2 },
		{ 15516499411664133160u, 4 },  { 16117243373044804889u, 0 },
	};
	static const pmz_node nodes[] = {
		{ "127.0.0.1:90", 1, 0 }, { "127.0.0.1:91", 1, 0 },
		{ "127.0.0.1:92", 1, 0 }, { "127.0.0.1:93", 1, 0 },
		{ "127.0.0.1:94", 1, 0 }, { "127.0.0.1:95", 1, 0 },
	};
	pmz_ring_config c = { .size = sizeof(c),
		              .layout = PMZ_RING_ENVOY,
		              .size_min = 12 };
	pmz_ring *r = made(&c, nodes, KIT_COUNT(nodes));
	size_t i;

	(void)state;
	assert_int_equal(r->as.circle.count, KIT_COUNT(rows));
	for (i = 0; i < KIT_COUNT(rows); i++) {
		size_t next = (i + 1) % KIT_COUNT(rows);

		assert_int_equal(find_hash(r, rows[i].point - 1), rows[i].node);
		assert_int_equal(find_hash(r, rows[i].point), rows[i].node);
		assert_int_equal(find_hash(r, rows[i].point + 1),
		                 rows[next].node);
	}
	assert_int_equal(find_hash(r, 0), 4);
	assert_int_equal(find_hash(r, UINT64_MAX), 4);
	pmz_ring_free(r);
}

/* The same test: UnevenHosts, HostWeightedTinyRing, HostWeightedLargeRing,
 * SmallFractionalScale and LargeFractionalScale. Hits are of so many hashes at
 * equal distances. */
static void envoys_ring_shares_as_its_own_test_says(void **state)
{
	static const struct {
		uint32_t min, max, points, tries;
		pmz_node nodes[4];
		uint32_t hits[4];
	} rows[] = {
		{ 3, 0, 4, 0,
		  { { "127.0.0.1:80", 1, 0 }, { "127.0.0.1:81", 1, 0 } },
		  { 0 } },
		{ 6144, 0, 6144, 6000,
		  { { "127.0.0.1:90", 1, 0 }, { "127.0.0.1:91", 2, 0 },
		    { "127.0.0.1:92", 3, 0 } },
		  { 987, 1932, 3081 } },
		{ 1023, 1023, 1023, 1023,
		  { { "127.0.0.1:90", 1, 0 }, { "127.0.0.1:91", 1, 0 } },
		  { 526, 497 } },
		{ 2, 2, 2, 0,
		  { { "127.0.0.1:90", 1, 0 }, { "127.0.0.1:91", 1, 0 },
		    { "127.0.0.1:92", 1, 0 }, { "127.0.0.1:93", 1, 0 } },
		  { 0 } },
	};
	size_t i;
	uint32_t k;

	(void)state;
	for (i = 0; i < KIT_COUNT(rows); i++) {
		pmz_ring_config c = { .size = sizeof(c),
			              .layout = PMZ_RING_ENVOY,
			              .size_min = rows[i].min,
			              .size_max = rows[i].max };
		uint32_t hits[4] = { 0 };
		size_t count = 4;
		pmz_ring *r;

		while (!rows[i].nodes[count - 1].name)
			count--;
		r = made(&c, rows[i].nodes, count);
		assert_int_equal(r->as.circle.count, rows[i].points);
		for (k = 0; k < rows[i].tries; k++)
			hits[find_hash(r, k * (UINT64_MAX / rows[i].tries))]++;
		assert_memory_equal(hits, rows[i].hits, sizeof(hits));
		pmz_ring_free(r);
	}
}

static void envoys_tiny_ring_has_one_two_and_three_points(void **state)
{
	static const struct {
		uint64_t point;
		uint32_t node;
	} rows[] = {
		{ 928266305478181108u, 2 },   { 4443673547860492590u, 2 },
		{ 5583722120771150861u, 1 },  { 6311230543546372928u, 1 },
		{ 13444792449719432967u, 2 }, { 16117243373044804889u, 0 },
	};
	static const pmz_node nodes[] = { { "127.0.0.1:90", 1, 0 },
		                          { "127.0.0.1:91", 2, 0 },
		                          { "127.0.0.1:92", 3, 0 } };
	pmz_ring_config c = { .size = sizeof(c),
		              .layout = PMZ_RING_ENVOY,
		              .size_min = 6,
		              .size_max = 6 };
	pmz_ring *r = made(&c, nodes, KIT_COUNT(nodes));
	size_t i;

	(void)state;
	assert_int_equal(r->as.circle.count, KIT_COUNT(rows));
	for (i = 0; i < KIT_COUNT(rows); i++)
		assert_int_equal(find_hash(r, rows[i].point), rows[i].node);
	pmz_ring_free(r);
}

/* Maglev's paper, table 1: (offset, skip) of B0, B1 and B2 are (3, 4), (0, 2)
 * and (3, 1), with and without B1. */
static void slots_are_filled_as_in_the_paper_on_maglev(void **state)
{
	static const uint32_t before[] = { 1, 0, 1, 0, 2, 2, 0 };
	static const uint32_t after[] = { 0, 0, 0, 0, 2, 2, 2 };
	uint32_t owners[7];
	pmz__slots s = { .owners = owners, .count = 7 };
	int exact;

	(void)state;
	for (exact = 0; exact < 2; exact++) {
		pmz__claimant all[] = { { .node = 0, .next = 3, .skip = 4 },
			                { .node = 1, .next = 0, .skip = 2 },
			                { .node = 2, .next = 3, .skip = 1 } };
		pmz__claimant rest[] = { all[0], all[2] };
		int i;

		for (i = 0; i < 3; i++) {
			all[i].weight = 1;
			all[i].share = 1.0 / 3;
		}
		for (i = 0; i < 2; i++) {
			rest[i].weight = 1;
			rest[i].share = 0.5;
		}
		pmz__slots_fill(&s, all, 3, exact);
		assert_memory_equal(owners, before, sizeof(owners));
		pmz__slots_fill(&s, rest, 2, exact);
		assert_memory_equal(owners, after, sizeof(owners));
	}
}

static void expect_slots(const pmz_node *nodes, size_t count, uint32_t size,
                         const uint32_t *want)
{
	pmz_ring_config c = { .size = sizeof(c),
		              .layout = PMZ_RING_ENVOY_MAGLEV,
		              .table_size = size };
	pmz_ring *r = made(&c, nodes, count);
	uint32_t i;

	for (i = 0; i < 3 * size; i++)
		assert_int_equal(find_hash(r, i), want[i % size]);
	pmz_ring_free(r);
}

/* maglev_lb_test.cc of Envoy: Basic, BasicWithHostName, and Weighted. */
static void envoys_tables_are_those_of_its_own_test(void **state)
{
	static const uint32_t basic[] = { 2, 4, 0, 1, 5, 0, 3 };
	static const uint32_t by_host[] = { 2, 5, 0, 3, 4, 1, 0 };
	static const uint32_t weighted[] = { 1, 0, 0, 1, 0, 1, 1, 0, 1,
		                             1, 1, 1, 1, 0, 1, 0, 1 };
	static const uint32_t equal[] = { 1, 0, 0, 1, 0, 1, 1, 0, 0,
		                          1, 0, 1, 0, 0, 1, 0, 1 };
	static const pmz_node nodes[] = {
		{ "127.0.0.1:90", 1, 0 }, { "127.0.0.1:91", 1, 0 },
		{ "127.0.0.1:92", 1, 0 }, { "127.0.0.1:93", 1, 0 },
		{ "127.0.0.1:94", 1, 0 }, { "127.0.0.1:95", 1, 0 },
	};
	static const pmz_node hosts[] = {
		{ "90", 1, 0 }, { "91", 1, 0 }, { "92", 1, 0 },
		{ "93", 1, 0 }, { "94", 1, 0 }, { "95", 1, 0 },
	};
	static const pmz_node one_and_two[] = { { "127.0.0.1:90", 1, 0 },
		                                { "127.0.0.1:91", 2, 0 } };

	(void)state;
	expect_slots(nodes, 6, 7, basic);
	expect_slots(hosts, 6, 7, by_host);
	expect_slots(one_and_two, 2, 17, weighted);
	expect_slots(nodes, 2, 17, equal);
}

/* CRC-32, bit by bit. */
static uint32_t crc_of(const unsigned char *bytes, size_t len)
{
	uint32_t crc = UINT32_MAX;
	size_t i;
	int bit;

	for (i = 0; i < len; i++) {
		crc ^= bytes[i];
		for (bit = 0; bit < 8; bit++)
			crc = crc & 1 ? 0xedb88320u ^ crc >> 1 : crc >> 1;
	}
	return ~crc;
}

struct point {
	uint64_t at;
	uint32_t node;
};

static int by_point(const void *a, const void *b)
{
	const struct point *left = a, *right = b;

	if (left->at != right->at)
		return left->at < right->at ? -1 : 1;
	return (left->node > right->node) - (left->node < right->node);
}

static uint32_t first_at_or_after(const struct point *points, size_t count,
                                  uint64_t hash)
{
	size_t i;

	for (i = 0; i < count; i++)
		if (points[i].at >= hash)
			return points[i].node;
	return points[0].node;
}

struct server {
	const char *name;
	const char *host_nul_port;
	size_t len;
	uint32_t weight;
};

/* ngx_http_upstream_hash_module.c: point j of a server is crc32(HOST \0 PORT
 * PREV), of the point before it, and a server has weight * 160 of them. */
static size_t nginx_points(const struct server *servers, size_t count,
                           struct point *points)
{
	unsigned char text[64];
	size_t i, n = 0;
	uint32_t j;

	for (i = 0; i < count; i++) {
		uint32_t before = 0;

		memcpy(text, servers[i].host_nul_port, servers[i].len);
		for (j = 0; j < servers[i].weight * 160; j++) {
			text[servers[i].len] = (unsigned char)before;
			text[servers[i].len + 1] = (unsigned char)(before >> 8);
			text[servers[i].len + 2] =
				(unsigned char)(before >> 16);
			text[servers[i].len + 3] =
				(unsigned char)(before >> 24);
			before = crc_of(text, servers[i].len + 4);
			points[n].at = before;
			points[n++].node = (uint32_t)i;
		}
	}
	qsort(points, n, sizeof(*points), by_point);
	return n;
}

static void keys_are_where_nginx_has_them(void **state)
{
#define SERVER(name, text, weight) { name, text, sizeof(text) - 1, weight }
	static const struct server servers[] = {
		SERVER("10.0.0.1:8080", "10.0.0.1\0008080", 1),
		SERVER("10.0.0.2", "10.0.0.2\0", 2),
		SERVER("[::1]:81", "[::1]\00081", 1),
		SERVER("UNIX:/run/a.sock:1", "/run/a.sock:1\0", 3),
		SERVER("unix", "unix\0", 1),
		SERVER("8080", "8080\0", 1),
		SERVER("www:", "www\0", 1),
	};
#undef SERVER
	static struct point points[1600];
	pmz_node nodes[KIT_COUNT(servers)];
	char key[16];
	pmz_ring *r;
	size_t i, n = nginx_points(servers, KIT_COUNT(servers), points);

	(void)state;
	assert_int_equal(n, 1600);
	for (i = 0; i < KIT_COUNT(servers); i++)
		nodes[i] = (pmz_node){ servers[i].name, servers[i].weight, 0 };
	r = laid_out(PMZ_RING_NGINX, nodes, KIT_COUNT(servers));
	/* The check value of CRC-32's catalogue. */
	assert_int_equal(pmz_ring_hash(r, "123456789", 9), 0xcbf43926u);
	for (i = 0; i < 20000; i++) {
		size_t len = (size_t)snprintf(key, sizeof(key), "/%zu.png", i);
		uint32_t hash = crc_of((const unsigned char *)key, len);

		assert_int_equal(find(r, key),
		                 first_at_or_after(points, n, hash));
	}
	pmz_ring_free(r);
}

/* What NATIVE is: point k of a node is the high 40 bits of XXH64(name, k), it
 * has weight * points of them, and a key goes to the first at or after it. */
static size_t native_points(const fleet *f, uint32_t each, struct point *points)
{
	size_t i, n = 0;
	uint32_t k;

	for (i = 0; i < f->count; i++)
		for (k = 0; k < f->nodes[i].weight * each; k++) {
			const char *name = f->nodes[i].name;

			points[n].at = pmz_hash(name, strlen(name), k) >> 24;
			points[n++].node = (uint32_t)i;
		}
	qsort(points, n, sizeof(*points), by_point);
	return n;
}

static void native_points_come_from_name_and_weight_only(void **state)
{
	static struct point points[4000];
	fleet f = { .count = 0 };
	pmz_ring_config c = { .size = sizeof(c), .points = 40 };
	pmz_ring *r;
	size_t n;
	uint32_t i;

	(void)state;
	fleet_number(&f, 0, 50);
	f.nodes[7].weight = 0;
	f.nodes[8].weight = 3;
	f.nodes[9].weight = 10;
	r = made(&c, f.nodes, f.count);
	n = native_points(&f, 40, points);
	assert_int_equal(r->as.circle.count, n);
	for (i = 0; i < 20000; i++) {
		uint64_t hash = pmz_hash(&i, sizeof(i), 0);

		assert_int_equal(pmz_ring_hash(r, &i, sizeof(i)), hash);
		assert_int_equal(find_hash(r, hash),
		                 first_at_or_after(points, n, hash >> 24));
	}
	pmz_ring_free(r);
}

/* FNV-1a over the nodes of keys "0" to "9999". */
static uint64_t print_of(uint32_t layout)
{
	uint64_t print = 0xcbf29ce484222325u;
	fleet f = { .count = 0 };
	pmz_ring *r;
	char key[16];
	int i;

	fleet_number(&f, 0, 12);
	for (i = 0; i < 12 && layout != PMZ_RING_JUMP; i++)
		f.nodes[i].weight = (uint32_t)i % 4 + 1;
	r = laid_out(layout, f.nodes, f.count);
	for (i = 0; i < 10000; i++) {
		snprintf(key, sizeof(key), "%d", i);
		print = (print ^ find(r, key)) * 0x100000001b3u;
	}
	pmz_ring_free(r);
	return print;
}

/* A release that moved keys would lose what its users stored. */
static void our_own_layouts_stay_what_they_are(void **state)
{
	(void)state;
	assert_int_equal(print_of(PMZ_RING_NATIVE), 0xd99971cb87e01941u);
	assert_int_equal(print_of(PMZ_RING_MAGLEV), 0xc9dd9525853dd871u);
	assert_int_equal(print_of(PMZ_RING_JUMP), 0xfe18b31ce57218f5u);
	assert_int_equal(print_of(PMZ_RING_RENDEZVOUS), 0x46105c914b7f6bc3u);
}

static void a_cost_is_minus_the_logarithm(void **state)
{
	uint64_t hash = 1;
	int i;

	(void)state;
	assert_int_equal(pmz__score_cost(0), pmz__score_cost(1));
	for (i = 0; i < 200000; i++) {
		long double cost = ldexpl((long double)pmz__score_cost(hash),
		                          -57);
		long double want = -logl(ldexpl((long double)hash, -64));

		if (fabsl(cost - want) > ldexpl(1, -47))
			fail_msg("%llx costs %Lg, not %Lg",
			         (unsigned long long)hash, cost, want);
		/* Also right at the ends of all steps. */
		hash = i < 8192 ? ((uint64_t)i << 51) - (uint64_t)(i & 1)
		                : pmz_hash(&i, sizeof(i), 0) >> (i % 64);
		hash = hash ? hash : 1;
	}
}

static void a_slot_is_the_rest_of_the_hash(void **state)
{
	static const uint32_t sizes[] = { 2,     3,       7,       251,
		                          65537, 5000011, 16777213 };
	uint64_t hash;
	size_t i;
	int k;

	(void)state;
	for (i = 0; i < KIT_COUNT(sizes); i++) {
		pmz__slots s = { .count = sizes[i],
			         .inverse = UINT64_MAX / sizes[i] };

		for (k = 0; k < 20000; k++) {
			hash = pmz_hash(&k, sizeof(k), 0);
			if (k % 4 == 0)
				hash -= hash % sizes[i];
			else if (k % 4 == 1)
				hash -= hash % sizes[i] + 1;
			else if (k % 4 == 2)
				hash = UINT64_MAX - (uint64_t)k;
			assert_int_equal(pmz__slots_find(&s, hash),
			                 hash % sizes[i]);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_hash_is_xxh64),
		cmocka_unit_test(jumps_are_those_of_guava_and_clickhouse),
		cmocka_unit_test(a_jump_is_rounded_as_doubles_are),
#if PMZ_KETAMA
		cmocka_unit_test(a_million_keys_are_where_libketama_has_them),
		cmocka_unit_test(keys_are_where_libmemcached_has_them),
		cmocka_unit_test(keys_are_where_spymemcached_has_them),
		cmocka_unit_test(equal_weights_are_where_libketama_has_them),
		cmocka_unit_test(
			shares_are_rounded_as_each_project_rounds_them),
		cmocka_unit_test(
			points_that_fall_together_are_the_first_or_last),
#else
		cmocka_unit_test(without_md5_its_layouts_are_absent),
#endif
		cmocka_unit_test(envoys_ring_has_the_points_of_its_own_test),
		cmocka_unit_test(envoys_ring_shares_as_its_own_test_says),
		cmocka_unit_test(envoys_tiny_ring_has_one_two_and_three_points),
		cmocka_unit_test(slots_are_filled_as_in_the_paper_on_maglev),
		cmocka_unit_test(envoys_tables_are_those_of_its_own_test),
		cmocka_unit_test(keys_are_where_nginx_has_them),
		cmocka_unit_test(native_points_come_from_name_and_weight_only),
		cmocka_unit_test(our_own_layouts_stay_what_they_are),
		cmocka_unit_test(a_cost_is_minus_the_logarithm),
		cmocka_unit_test(a_slot_is_the_rest_of_the_hash),
	};

	return cmocka_run_group_tests_name("ring layouts", tests, NULL, NULL);
}
