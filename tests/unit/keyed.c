/*
 * keyed.c - the table of token buckets, decision by decision; and its hash.
 */
#include "expect.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <pipemaze/bucket.h>

#include "base/siphash.h"

#define START PMZ_S(1000)
#define TOKEN PMZ_MS(100)
#define BURST 5
#define SET 32 /* entries */

static struct bench {
	pmz_keyed *table;
	pmz_rate rate; /* a token each 100 ms, bursts of 5 */
} t;

/* The library's only source of memory, which the linker takes from here. */
static struct memory {
	size_t asked;
	unsigned calls, refuse;
} memory;

void *aligned_alloc(size_t alignment, size_t size)
{
	void *block = NULL;

	memory.calls++;
	memory.asked += size;
	if (memory.refuse)
		return NULL;
	errno = posix_memalign(&block, alignment, size);
	return block;
}

static pmz_keyed_config config_of(uint32_t keys_max)
{
	pmz_keyed_config c = { .size = sizeof(c),
		               .keys_max = keys_max,
		               .hash_key = { 1, 2 } };

	return c;
}

static void start(pmz_keyed_config c)
{
	pmz_why why = { .text = "" };
	int status = pmz_keyed_new(&t.table, &c, &why);

	if (status != PMZ_OK)
		print_error("%s: %s\n", why.field, why.text);
	expect_status(status, PMZ_OK);
	expect_status(pmz_rate_set(&t.rate, 1, TOKEN, BURST), PMZ_OK);
}

static int reset(void **state)
{
	(void)state;
	memset(&memory, 0, sizeof(memory));
	return 0;
}

static int stop(void **state)
{
	(void)state;
	pmz_keyed_free(t.table);
	memset(&t, 0, sizeof(t));
	return 0;
}

static int take_at(const char *key, uint64_t n, pmz_ns now, pmz_ns *ready)
{
	return pmz_keyed_take(t.table, &t.rate, key, strlen(key), n, now,
	                      ready);
}

static void expect_take(const char *key, uint64_t n, pmz_ns now)
{
	expect_status(take_at(key, n, now, NULL), PMZ_OK);
}

static void expect_refusal(const char *key, uint64_t n, pmz_ns now, pmz_ns want)
{
	pmz_ns ready = 0;

	expect_status(take_at(key, n, now, &ready), PMZ_REFUSED_RATE);
	assert_int_equal(ready, want);
}

static void expect_left(const char *key, pmz_ns now, uint64_t want)
{
	assert_int_equal(
		pmz_keyed_left(t.table, &t.rate, key, strlen(key), now), want);
}

static void refund(const char *key, uint64_t n, pmz_ns taken, pmz_ns now)
{
	pmz_keyed_refund(t.table, &t.rate, key, strlen(key), n, taken, now);
}

static pmz_keyed_stats stats_at(pmz_ns now)
{
	pmz_keyed_stats stats = { .size = sizeof(stats) };

	expect_status(pmz_keyed_read(t.table, now, &stats), PMZ_OK);
	return stats;
}

static int take_number(uint32_t i, uint64_t n, pmz_ns now, pmz_ns *ready)
{
	return pmz_keyed_take(t.table, &t.rate, &i, sizeof(i), n, now, ready);
}

/* So many keys, each with one token gone. */
static void fill(uint32_t keys, pmz_ns now)
{
	uint32_t i;

	for (i = 0; i < keys; i++)
		expect_status(take_number(i, 1, now, NULL), PMZ_OK);
}

static const uint64_t vector_key[2] = { 0x0706050403020100u,
	                                0x0f0e0d0c0b0a0908u };

/* Vector i is the hash of the bytes 0, 1, ..., i - 1. */
static void expect_vectors(const uint64_t *want, size_t count, int rounds,
                           int last_rounds)
{
	unsigned char bytes[64];
	size_t i;

	for (i = 0; i < count; i++) {
		assert_int_equal(
			pmz__siphash(vector_key, bytes, i, rounds, last_rounds),
			want[i]);
		bytes[i] = (unsigned char)i;
	}
}

/* From the tests of Rust's core library, coretests/tests/hash/sip.rs. */
static void siphash_1_3_agrees_with_the_vectors_of_rust(void **state)
{
	static const uint64_t want[64] = {
		0xabac0158050fc4dc, 0xc9f49bf37d57ca93, 0x82cb9b024dc7d44d,
		0x8bf80ab8e7ddf7fb, 0xcf75576088d38328, 0xdef9d52f49533b67,
		0xc50d2b50c59f22a7, 0xd3927d989bb11140, 0x369095118d299a8e,
		0x25a48eb36c063de4, 0x79de85ee92ff097f, 0x70c118c1f94dc352,
		0x78a384b157b4d9a2, 0x306f760c1229ffa7, 0x605aa111c0f95d34,
		0xd320d86d2a519956, 0xcc4fdd1a7d908b66, 0x9cf2689063dbd80c,
		0x8ffc389cb473e63e, 0xf21f9de58d297d1c, 0xc0dc2f46a6cce040,
		0xb992abfe2b45f844, 0x7ffe7b9ba320872e, 0x525a0e7fdae6c123,
		0xf464aeb267349c8c, 0x45cd5928705b0979, 0x3a3e35e3ca9913a5,
		0xa91dc74e4ade3b35, 0xfb0bed02ef6cd00d, 0x88d93cb44ab1e1f4,
		0x540f11d643c5e663, 0x2370dd1f8c21d1bc, 0x81157b6c16a7b60d,
		0x4d54b9e57a8ff9bf, 0x759f12781f2a753e, 0xcea1a3bebf186b91,
		0x2cf508d3ada26206, 0xb6101c2da3c33057, 0xb3f47496ae3a36a1,
		0x626b57547b108392, 0xc1d2363299e41531, 0x667cc1923f1ad944,
		0x65704ffec8138825, 0x24f280d1c28949a6, 0xc2ca1cedfaf8876b,
		0xc2164bfc9f042196, 0xa16e9c9368b1d623, 0x49fb169c8b5114fd,
		0x9f3143f8df074c46, 0xc6fdaf2412cc86b3, 0x7eaf49d10a52098f,
		0x1cf313559d292f9a, 0xc44a30dda2f41f12, 0x36fae98943a71ed0,
		0x318fb34c73f0bce6, 0xa27abf3670a7e980, 0xb4bcc0db243c6d75,
		0x23f8d852fdb71513, 0x8f035f4da67d8a08, 0xd89cd0e5b7e8f148,
		0xf6f4e6bcf7a644ee, 0xaec59ad80f1837f2, 0xc3b2f6154b6694e0,
		0x9d199062b7bbb3a8,
	};

	(void)state;
	expect_vectors(want, KIT_COUNT(want), 1, 3);
}

/* From vectors.h of the authors' reference implementation. */
static void siphash_2_4_agrees_with_the_reference_vectors(void **state)
{
	static const uint64_t want[] = {
		0x726fdb47dd0e0e31, 0x74f839c593dc67fd, 0x0d6c8009d9a94f5a,
		0x85676696d7fb7e2d, 0xcf2794e0277187b7, 0x18765564cd99a68d,
		0xcbc9466e58fee3ce, 0xab0200f58b01d137, 0x93f5f5799a932462,
		0x9e0082df0ba9e4b0, 0x7a5dbbc594ddb9f3, 0xf4b32f46226bada7,
		0x751e8fbc860ee5fb, 0x14ea5627c0843d90, 0xf723ca908e7af2ee,
		0xa129ca6149be45e5, 0x3f2acc7f57c29bdb,
	};

	(void)state;
	expect_vectors(want, KIT_COUNT(want), 2, 4);
}

/* The page before it and the page behind it are nobody's. */
static unsigned char *lone_page(size_t *size)
{
	unsigned char *pages;

	*size = (size_t)sysconf(_SC_PAGESIZE);
	pages = mmap(NULL, 3 * *size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS,
	             -1, 0);
	assert_ptr_not_equal(pages, MAP_FAILED);
	assert_int_equal(mprotect(pages + *size, *size, PROT_READ | PROT_WRITE),
	                 0);
	return pages + *size;
}

static void a_key_is_read_to_its_ends_and_no_further(void **state)
{
	unsigned char copy[64];
	size_t size, len;
	unsigned char *page = lone_page(&size);

	(void)state;
	memset(page, 0x5a, size);
	memset(copy, 0x5a, sizeof(copy));
	for (len = 0; len <= sizeof(copy); len++) {
		uint64_t want = pmz__siphash(vector_key, copy, len, 1, 3);

		assert_int_equal(pmz__siphash(vector_key, page, len, 1, 3),
		                 want);
		assert_int_equal(
			pmz__siphash(vector_key, page + size - len, len, 1, 3),
			want);
	}
	munmap(page - size, 3 * size);
}

static void a_key_has_its_burst_and_no_more(void **state)
{
	int i;

	(void)state;
	start(config_of(100));
	for (i = 0; i < BURST; i++)
		expect_take("a", 1, START);
	expect_refusal("a", 1, START, START + TOKEN);
}

static void a_token_is_there_at_ready_at_and_not_a_ns_before(void **state)
{
	(void)state;
	start(config_of(100));
	expect_take("a", 5, START);
	expect_refusal("a", 2, START, START + 2 * TOKEN);
	expect_refusal("a", 2, START + 2 * TOKEN - 1, START + 2 * TOKEN);
	expect_take("a", 2, START + 2 * TOKEN);
	expect_refusal("a", 1, START + 2 * TOKEN, START + 3 * TOKEN);
}

static void keys_do_not_share(void **state)
{
	(void)state;
	start(config_of(100));
	expect_take("a", 5, START);
	expect_take("b", 4, START);
	expect_left("a", START, 0);
	expect_left("b", START, 1);
	expect_left("c", START, 5);
}

static void each_key_goes_by_the_rate_that_comes_with_it(void **state)
{
	pmz_rate slow;

	(void)state;
	start(config_of(100));
	expect_status(pmz_rate_set(&slow, 1, PMZ_S(1), 2), PMZ_OK);
	expect_status(pmz_keyed_take(t.table, &slow, "b", 1, 2, START, NULL),
	              PMZ_OK);
	expect_take("a", 5, START);
	assert_int_equal(
		pmz_keyed_left(t.table, &slow, "b", 1, START + PMZ_S(1)), 1);
	expect_left("a", START + PMZ_S(1), 5);
}

static void left_takes_nothing(void **state)
{
	int i;

	(void)state;
	start(config_of(100));
	for (i = 0; i < 100; i++)
		expect_left("a", START, 5);
	assert_int_equal(stats_at(START).busy, 0);
	expect_take("a", 5, START);
	for (i = 0; i < 100; i++)
		expect_left("a", START + TOKEN, 1);
	expect_take("a", 1, START + TOKEN);
}

/* Also where the bytes are the same ones, as far as they go. */
static void keys_of_all_lengths_are_different_keys(void **state)
{
	static const unsigned char zeros[80];
	size_t len;

	(void)state;
	start(config_of(1000));
	for (len = 0; len <= sizeof(zeros); len++)
		expect_status(pmz_keyed_take(t.table, &t.rate, zeros, len, 5,
		                             START, NULL),
		              PMZ_OK);
	assert_int_equal(stats_at(START).busy, sizeof(zeros) + 1);
	for (len = 0; len <= sizeof(zeros); len++)
		expect_status(pmz_keyed_take(t.table, &t.rate, zeros, len, 1,
		                             START, NULL),
		              PMZ_REFUSED_RATE);
}

static void nothing_is_a_key_like_others(void **state)
{
	(void)state;
	start(config_of(100));
	expect_status(pmz_keyed_take(t.table, &t.rate, NULL, 0, 3, START, NULL),
	              PMZ_OK);
	expect_left("", START, 2);
	pmz_keyed_refund(t.table, &t.rate, NULL, 0, 1, START, START);
	assert_int_equal(pmz_keyed_left(t.table, &t.rate, NULL, 0, START), 3);
}

static void more_than_the_burst_never_comes_and_makes_no_entry(void **state)
{
	(void)state;
	start(config_of(100));
	expect_refusal("a", 6, START, PMZ_NEVER);
	expect_refusal("a", UINT64_MAX, START, PMZ_NEVER);
	assert_int_equal(stats_at(START).busy, 0);
	expect_take("a", 5, START);
	expect_refusal("a", 6, START, PMZ_NEVER);
}

static void taking_none_is_granted_and_makes_no_entry(void **state)
{
	(void)state;
	start(config_of(1));
	expect_take("a", 0, START);
	assert_int_equal(stats_at(START).busy, 0);
	expect_take("b", 5, START);
	expect_take("a", 0, START);
	expect_take("b", 0, START);
	expect_left("b", START, 0);
}

static void the_end_of_time_refuses_and_leaves_no_entry_behind(void **state)
{
	(void)state;
	start(config_of(1));
	expect_refusal("a", 1, PMZ_NEVER, PMZ_NEVER);
	expect_refusal("a", 1, PMZ_NEVER - 1, PMZ_NEVER);
	assert_int_equal(stats_at(0).busy, 0);
	expect_take("a", 1, PMZ_NEVER - 1 - TOKEN);
	expect_refusal("b", 1, PMZ_NEVER - 2 - TOKEN, PMZ_NEVER - 1);
}

static void a_refund_at_once_is_worth_all(void **state)
{
	(void)state;
	start(config_of(100));
	expect_take("a", 5, START);
	refund("a", 5, START, START);
	expect_left("a", START, 5);
	assert_int_equal(stats_at(START).busy, 0);
}

static void what_refilled_before_a_refund_is_not_granted_twice(void **state)
{
	(void)state;
	start(config_of(100));
	expect_take("a", 5, START);
	refund("a", 2, START, START + TOKEN);
	expect_left("a", START + TOKEN, 2);
}

static void a_refund_for_an_absent_key_gives_nothing_to_anyone(void **state)
{
	(void)state;
	start(config_of(1));
	expect_take("a", 5, START);
	refund("b", 5, START, START);
	refund("", 5, START, START);
	expect_left("a", START, 0);
	expect_refusal("b", 1, START, START + 5 * TOKEN);
}

static void a_table_of_less_than_a_set_has_as_many_places(void **state)
{
	uint32_t keys;

	(void)state;
	for (keys = 1; keys <= SET; keys++) {
		pmz_ns ready = 0;

		start(config_of(keys));
		fill(keys, START);
		expect_status(take_number(keys, 1, START, &ready),
		              PMZ_REFUSED_RATE);
		assert_int_equal(ready, START + TOKEN);
		assert_int_equal(stats_at(START).busy, keys);
		assert_int_equal(stats_at(START).full, 1);
		stop(NULL);
	}
}

static void every_table_holds_as_many_keys_as_it_is_made_for(void **state)
{
	uint32_t keys;

	(void)state;
	for (keys = 1; keys <= 2048; keys += keys / 32 + 1) {
		start(config_of(keys));
		fill(keys, START);
		assert_int_equal(stats_at(START).busy, keys);
		assert_int_equal(stats_at(START).full, 0);
		stop(NULL);
	}
}

/* By this one three sets would not do for 90 keys. */
static void an_unlucky_hash_key_leaves_room_enough(void **state)
{
	uint32_t keys;

	(void)state;
	for (keys = SET + 1; keys < 8 * SET; keys++) {
		pmz_keyed_config c = config_of(keys);

		c.hash_key[0] = 146;
		start(c);
		fill(keys, START);
		assert_int_equal(stats_at(START).full, 0);
		stop(NULL);
	}
}

static void a_place_is_free_when_its_key_is_whole_and_not_before(void **state)
{
	(void)state;
	start(config_of(2));
	expect_take("a", 3, START);
	expect_take("b", 2, START);
	expect_refusal("c", 1, START, START + 2 * TOKEN);
	expect_refusal("c", 1, START + 2 * TOKEN - 1, START + 2 * TOKEN);
	expect_take("c", 5, START + 2 * TOKEN);
	expect_refusal("b", 1, START + 2 * TOKEN, START + 3 * TOKEN);
	expect_take("b", 5, START + 3 * TOKEN);
	assert_int_equal(stats_at(START).full, 3);
}

/* Whichever of the two sets it is in. */
static void a_full_table_names_the_first_instant_with_a_place(void **state)
{
	uint32_t key, first, places = 2 * SET;

	(void)state;
	for (first = 0; first < places; first++) {
		pmz_ns ready = 0;

		start(config_of(40));
		for (key = 0; key < places; key++)
			expect_status(take_number(key, key == first ? 1 : 2,
			                          START, NULL),
			              PMZ_OK);
		expect_status(take_number(places, 1, START, &ready),
		              PMZ_REFUSED_RATE);
		assert_int_equal(ready, START + TOKEN);
		expect_status(take_number(places, 1, ready - 1, &ready),
		              PMZ_REFUSED_RATE);
		expect_status(take_number(places, 1, ready, NULL), PMZ_OK);
		stop(NULL);
	}
}

static void keys_that_have_a_place_do_not_mind_a_full_table(void **state)
{
	(void)state;
	start(config_of(2));
	expect_take("a", 1, START);
	expect_take("b", 1, START);
	expect_refusal("c", 1, START, START + TOKEN);
	expect_take("a", 4, START);
	expect_refusal("a", 1, START, START + TOKEN);
	expect_left("c", START, 5);
}

static void a_full_table_lets_new_keys_pass_if_it_is_told_to(void **state)
{
	pmz_keyed_config c = config_of(1);
	pmz_ns ready = 7;
	int i;

	(void)state;
	c.full_allows = 1;
	start(c);
	expect_take("a", 5, START);
	for (i = 0; i < 100; i++)
		expect_status(take_at("b", 5, START, &ready), PMZ_OK);
	assert_int_equal(ready, 7);
	expect_refusal("b", 6, START, PMZ_NEVER);
	expect_refusal("a", 1, START, START + TOKEN);
	assert_int_equal(stats_at(START).full, 100);
	assert_int_equal(stats_at(START).admitted, 101);
	assert_int_equal(stats_at(START).refusals, 2);
	expect_take("b", 5, START + 5 * TOKEN);
	expect_refusal("b", 1, START + 5 * TOKEN, START + 6 * TOKEN);
}

/* The keys with the smallest hashes have one first set, whatever its size. */
static int by_hash(const void *a, const void *b)
{
	const uint32_t *one = a, *two = b;
	const uint64_t key[2] = { 1, 2 };
	uint64_t first = pmz__siphash(key, one, sizeof(*one), 1, 3);
	uint64_t second = pmz__siphash(key, two, sizeof(*two), 1, 3);

	return (first > second) - (first < second);
}

static void keys_of_one_first_set_overflow_into_others(void **state)
{
	enum { KEYS = 8192, CROWD = 4 * SET };
	static uint32_t keys[KEYS];
	uint32_t i;

	(void)state;
	for (i = 0; i < KEYS; i++)
		keys[i] = i;
	qsort(keys, KEYS, sizeof(*keys), by_hash);
	start(config_of(1024));
	for (i = 0; i < CROWD; i++)
		expect_status(take_number(keys[i], 1 + i % BURST, START, NULL),
		              PMZ_OK);
	assert_int_equal(stats_at(START).busy, CROWD);
	for (i = 0; i < CROWD; i++)
		assert_int_equal(pmz_keyed_left(t.table, &t.rate, &keys[i],
		                                sizeof(*keys), START),
		                 BURST - 1 - i % BURST);
}

static void an_evicted_key_comes_back_with_its_burst(void **state)
{
	const pmz_ns whole = START + 5 * TOKEN;

	(void)state;
	start(config_of(1));
	expect_take("a", 5, START);
	expect_take("b", 1, whole);
	expect_left("a", whole, 5);
	expect_take("a", 5, whole + TOKEN);
	expect_left("b", whole + TOKEN, 5);
	expect_refusal("a", 1, whole + TOKEN, whole + 2 * TOKEN);
}

static void a_clock_that_steps_back_finds_an_evicted_key_as_it_was(void **state)
{
	const pmz_ns whole = START + 5 * TOKEN;

	(void)state;
	start(config_of(3));
	expect_take("a", 5, START);
	expect_take("b", 1, whole); /* in the place of a */
	assert_int_equal(stats_at(START).busy, 1);
	expect_left("a", START, 0);
	expect_refusal("a", 1, START, START + TOKEN);
	expect_refusal("a", 5, whole - 1, whole);
	assert_int_equal(stats_at(START).busy, 1);
	expect_left("a", whole - 2 * TOKEN, 3);
	expect_take("a", 3, whole - 2 * TOKEN);
	expect_refusal("a", 1, whole - 2 * TOKEN, whole - TOKEN);
}

/* Two sets, in which others leave one place: now in its first, now in its
 * second. */
static void a_key_is_remembered_wherever_it_is_evicted(void **state)
{
	const pmz_ns whole = START + 5 * TOKEN;
	uint32_t i, key;

	(void)state;
	for (i = 0; i < 32; i++) {
		start(config_of(40));
		fill(2 * SET - 1, whole + i);
		key = 1000 + i;
		expect_status(take_number(key, 5, START, NULL), PMZ_OK);
		expect_take("a", 1, whole); /* in its place */
		assert_int_equal(stats_at(START).busy, 2 * SET);
		assert_int_equal(pmz_keyed_left(t.table, &t.rate, &key,
		                                sizeof(key), START + TOKEN),
		                 1);
		expect_status(take_number(key, 2, START + TOKEN, NULL),
		              PMZ_REFUSED_RATE);
		assert_int_equal(stats_at(START).full, 0);
		stop(NULL);
	}
}

/* A refusal by what an evicted key left behind. */
static void a_refused_first_take_makes_no_entry(void **state)
{
	(void)state;
	start(config_of(3));
	expect_take("a", 5, START);
	expect_take("b", 5, START + 5 * TOKEN);
	expect_refusal("c", 1, START, START + TOKEN);
	assert_int_equal(stats_at(0).busy, 1);
	assert_int_equal(stats_at(0).full, 0);
}

static void what_was_never_used_leaves_nothing_behind(void **state)
{
	uint32_t i;

	(void)state;
	start(config_of(SET));
	fill(SET, 0);
	for (i = 0; i < SET; i++)
		expect_status(take_number(i, 4, 0, NULL), PMZ_OK);
	assert_int_equal(stats_at(0).busy, SET);
}

static void every_take_is_counted_once(void **state)
{
	(void)state;
	start(config_of(1));
	expect_take("a", 2, START);
	expect_take("a", 0, START);
	expect_refusal("a", 4, START, START + TOKEN);
	expect_refusal("a", 9, START, PMZ_NEVER);
	expect_refusal("b", 1, START, START + 2 * TOKEN);
	assert_int_equal(stats_at(START).admitted, 2);
	assert_int_equal(stats_at(START).refusals, 3);
	assert_int_equal(stats_at(START).full, 1);
}

static void a_key_is_busy_until_it_has_its_burst_again(void **state)
{
	(void)state;
	start(config_of(100));
	expect_take("a", 1, START);
	expect_take("b", 2, START);
	assert_int_equal(stats_at(START).busy, 2);
	assert_int_equal(stats_at(START + TOKEN - 1).busy, 2);
	assert_int_equal(stats_at(START + TOKEN).busy, 1);
	assert_int_equal(stats_at(START + 2 * TOKEN).busy, 0);
}

static void reading_writes_no_further_than_the_caller_s_size(void **state)
{
	pmz_keyed_stats s;

	(void)state;
	start(config_of(1));
	expect_take("a", 1, START);
	memset(&s, 0xff, sizeof(s));
	s.size = offsetof(pmz_keyed_stats, refusals);
	expect_status(pmz_keyed_read(t.table, START, &s), PMZ_OK);
	assert_int_equal(s.busy, 1);
	assert_int_equal(s.admitted, 1);
	assert_int_equal(s.refusals, UINT64_MAX);
	s.size = 4;
	expect_status(pmz_keyed_read(t.table, START, &s), PMZ_E_CONFIG);
}

static void a_key_takes_24_bytes_at_most(void **state)
{
	static const uint32_t keys[] = { 200,   1000,   1024,   1025,
		                         2047,  4099,   5000,   65535,
		                         65536, 100000, 262144, 1000000 };
	size_t i;

	(void)state;
	for (i = 0; i < KIT_COUNT(keys); i++) {
		memory.asked = 0;
		start(config_of(keys[i]));
		assert_in_range(memory.asked, 16 * keys[i], 24 * keys[i]);
		stop(NULL);
	}
}

static void a_table_asks_for_memory_once(void **state)
{
	uint32_t i;

	(void)state;
	start(config_of(64));
	for (i = 0; i < 1000; i++)
		(void)take_number(i, 1, START + i * TOKEN / 20, NULL);
	refund("a", 1, START, START);
	(void)stats_at(START);
	assert_int_equal(memory.calls, 1);
}

static void no_memory_is_a_status(void **state)
{
	pmz_keyed_config c = config_of(100);
	pmz_keyed *table = (pmz_keyed *)&c;
	pmz_why why;

	(void)state;
	memory.refuse = 1;
	expect_status(pmz_keyed_new(&table, &c, &why), PMZ_E_NOMEM);
	assert_null(table);
	assert_string_equal(why.field, "");
	assert_string_not_equal(why.text, "");
	expect_status(pmz_keyed_new(&table, &c, NULL), PMZ_E_NOMEM);
}

static void a_table_is_for_65536_keys_if_nobody_says_otherwise(void **state)
{
	size_t asked;

	(void)state;
	start(config_of(0));
	asked = memory.asked;
	stop(NULL);
	start(config_of(65536));
	assert_int_equal(memory.asked, 2 * asked);
}

static void expect_bad(const pmz_keyed_config *c, const char *field)
{
	pmz_keyed *table = (pmz_keyed *)&memory;
	pmz_why why;

	expect_status(pmz_keyed_new(&table, c, &why), PMZ_E_CONFIG);
	assert_string_equal(why.field, field);
	assert_string_not_equal(why.text, "");
	assert_null(table);
	assert_int_equal(memory.calls, 0);
}

static void a_config_names_its_first_bad_field(void **state)
{
	pmz_keyed_config c = config_of(100);

	(void)state;
	c.size = 4;
	expect_bad(&c, "size");
	c = config_of(100);
	c.full_allows = 2;
	expect_bad(&c, "full_allows");
	c = config_of(100);
	c.reserved = 1;
	expect_bad(&c, "reserved");
	c = config_of(100);
	c.hash_key[0] = c.hash_key[1] = 0;
	expect_bad(&c, "hash_key");
	expect_bad(NULL, "hash_key");
	/* Too short to bring one along. */
	c = config_of(100);
	c.size = 8;
	expect_bad(&c, "hash_key");
}

static void half_a_hash_key_is_enough(void **state)
{
	pmz_keyed_config c = config_of(100);

	(void)state;
	c.hash_key[0] = 0;
	start(c);
	stop(NULL);
	c.hash_key[0] = c.hash_key[1];
	c.hash_key[1] = 0;
	start(c);
}

static void freeing_none_is_fine(void **state)
{
	(void)state;
	pmz_keyed_free(NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, reset, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(siphash_1_3_agrees_with_the_vectors_of_rust),
		TEST(siphash_2_4_agrees_with_the_reference_vectors),
		TEST(a_key_is_read_to_its_ends_and_no_further),
		TEST(a_key_has_its_burst_and_no_more),
		TEST(a_token_is_there_at_ready_at_and_not_a_ns_before),
		TEST(keys_do_not_share),
		TEST(each_key_goes_by_the_rate_that_comes_with_it),
		TEST(left_takes_nothing),
		TEST(keys_of_all_lengths_are_different_keys),
		TEST(nothing_is_a_key_like_others),
		TEST(more_than_the_burst_never_comes_and_makes_no_entry),
		TEST(taking_none_is_granted_and_makes_no_entry),
		TEST(the_end_of_time_refuses_and_leaves_no_entry_behind),
		TEST(a_refund_at_once_is_worth_all),
		TEST(what_refilled_before_a_refund_is_not_granted_twice),
		TEST(a_refund_for_an_absent_key_gives_nothing_to_anyone),
		TEST(a_table_of_less_than_a_set_has_as_many_places),
		TEST(every_table_holds_as_many_keys_as_it_is_made_for),
		TEST(an_unlucky_hash_key_leaves_room_enough),
		TEST(a_place_is_free_when_its_key_is_whole_and_not_before),
		TEST(a_full_table_names_the_first_instant_with_a_place),
		TEST(keys_that_have_a_place_do_not_mind_a_full_table),
		TEST(a_full_table_lets_new_keys_pass_if_it_is_told_to),
		TEST(keys_of_one_first_set_overflow_into_others),
		TEST(an_evicted_key_comes_back_with_its_burst),
		TEST(a_clock_that_steps_back_finds_an_evicted_key_as_it_was),
		TEST(a_key_is_remembered_wherever_it_is_evicted),
		TEST(a_refused_first_take_makes_no_entry),
		TEST(what_was_never_used_leaves_nothing_behind),
		TEST(every_take_is_counted_once),
		TEST(a_key_is_busy_until_it_has_its_burst_again),
		TEST(reading_writes_no_further_than_the_caller_s_size),
		TEST(a_key_takes_24_bytes_at_most),
		TEST(a_table_asks_for_memory_once),
		TEST(no_memory_is_a_status),
		TEST(a_table_is_for_65536_keys_if_nobody_says_otherwise),
		TEST(a_config_names_its_first_bad_field),
		TEST(half_a_hash_key_is_enough),
		TEST(freeing_none_is_fine),
	};

	return cmocka_run_group_tests_name("keyed", tests, NULL, NULL);
}
