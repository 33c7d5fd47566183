/*
 * ring.c - rings under threads: finding goes on while others mark nodes.
 *
 * None of the threads asserts: they count, and the counts are judged when all
 * are done.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include <pipemaze/ring.h>

#include "base/atomic.h"
#include "core/ring.h"
#include "core/ring_hash.h"
#include "crew.h"
#include "dice.h"
#include "fleet.h"

#define NODES 12
#define FINDS 30000 /* of each thread that finds */
#define MARKS 30000
#define STEADY 5 /* this node is always up */

static const uint32_t layouts[] = {
	PMZ_RING_NATIVE, PMZ_RING_MAGLEV,       PMZ_RING_RENDEZVOUS,
	PMZ_RING_ENVOY,  PMZ_RING_ENVOY_MAGLEV, PMZ_RING_NGINX,
#if PMZ_KETAMA
	PMZ_RING_KETAMA,
#endif
};
#define LAYOUTS (int)(sizeof(layouts) / sizeof(*layouts))

struct shared {
	pmz_ring *ring;
	int seed;
	pmz__a64 failed, astray, double_replicas;
};

static void count(pmz__a64 *what)
{
	pmz__add(what, 1, PMZ__RELAXED);
}

static pmz_ring *ring_of(uint32_t layout, unsigned nodes)
{
	fleet f = { .count = 0 };
	pmz_ring *r;
	pmz_why why;

	fleet_number(&f, 0, nodes);
	ck_assert_msg(fleet_ring(&f, layout, &r, &why) == PMZ_OK, "%s",
	              why.text);
	return r;
}

static dice dice_for(const struct shared *s, unsigned who)
{
	return dice_of(s->seed * CREW_MAX + (int)who);
}

static void mark_others(const struct shared *s, unsigned who)
{
	dice d = dice_for(s, who);
	int i;

	for (i = 0; i < MARKS; i++) {
		uint32_t node = (uint32_t)dice_between(&d, 0, NODES - 1);

		if (node != STEADY)
			(void)pmz_ring_mark(s->ring, node,
			                    !dice_once_in(&d, 4));
	}
}

static void find_and_replicate(struct shared *s, unsigned who)
{
	dice d = dice_for(s, who);
	uint32_t list[4], node;
	int i;

	for (i = 0; i < FINDS; i++) {
		uint64_t key = dice_roll(&d);
		size_t got;

		if (pmz_ring_find_hash(s->ring, key, &node) != PMZ_OK)
			count(&s->failed);
		else if (node >= NODES)
			count(&s->astray);
		got = pmz_ring_replicas(s->ring, &key, sizeof(key), list, 4);
		if (got > 1 && (list[0] == list[1] ||
		                list[got - 1] == list[got - 2]))
			count(&s->double_replicas);
	}
}

static void two_mark_and_two_find(unsigned who, void *ctx)
{
	struct shared *s = ctx;

	if (who < 2)
		mark_others(s, who);
	else
		find_and_replicate(s, who);
}

START_TEST(a_find_succeeds_while_one_node_stays_up)
{
	struct shared s = { .seed = _i };
	uint32_t node;

	s.ring = ring_of(layouts[_i], NODES);
	crew_run(4, two_mark_and_two_find, &s);
	ck_assert_uint_eq(s.failed.word, 0);
	ck_assert_uint_eq(s.astray.word, 0);
	ck_assert_uint_eq(s.double_replicas.word, 0);
	for (node = 0; node < NODES; node++)
		(void)pmz_ring_mark(s.ring, node, 0);
	ck_assert_uint_eq(s.ring->ups.word, NODES);
	ck_assert_uint_eq(s.ring->downs.word, 0);
	pmz_ring_free(s.ring);
}
END_TEST

/* Up goes round: the next node comes up before this one goes down. */
static void hand_on(const struct shared *s)
{
	uint32_t up = 0;
	int i;

	for (i = 0; i < MARKS; i++) {
		uint32_t next = (up + 5) % NODES;

		(void)pmz_ring_mark(s->ring, next, 0);
		(void)pmz_ring_mark(s->ring, up, 1);
		up = next;
	}
}

static void one_hands_on_and_three_find(unsigned who, void *ctx)
{
	struct shared *s = ctx;
	dice d = dice_for(s, who);
	uint32_t node;
	int i;

	if (!who) {
		hand_on(s);
		return;
	}
	for (i = 0; i < FINDS; i++)
		if (pmz_ring_find_hash(s->ring, dice_roll(&d), &node))
			count(&s->failed);
}

START_TEST(a_find_succeeds_while_up_is_handed_from_node_to_node)
{
	struct shared s = { .seed = _i };
	uint32_t node;

	s.ring = ring_of(layouts[_i], NODES);
	for (node = 1; node < NODES; node++)
		(void)pmz_ring_mark(s.ring, node, 1);
	crew_run(4, one_hands_on_and_three_find, &s);
	ck_assert_uint_eq(s.failed.word, 0);
	ck_assert_uint_eq(s.ring->ups.word, 1);
	ck_assert_uint_eq(s.ring->downs.word, NODES - 1);
	pmz_ring_free(s.ring);
}
END_TEST

static void all_mark_the_same_two(unsigned who, void *ctx)
{
	const struct shared *s = ctx;
	dice d = dice_for(s, who);
	int i;

	for (i = 0; i < MARKS; i++) {
		uint64_t roll = dice_roll(&d);

		(void)pmz_ring_mark(s->ring, roll & 1, (int)(roll >> 1 & 1));
	}
}

START_TEST(who_marks_one_node_both_ways_leaves_a_right_count)
{
	struct shared s = { .seed = _i };
	uint32_t node, up = 0;

	s.ring = ring_of(PMZ_RING_NATIVE, 2);
	crew_run(4, all_mark_the_same_two, &s);
	for (node = 0; node < 2; node++)
		up += !s.ring->members[node].down.word;
	ck_assert_uint_eq(s.ring->ups.word, up);
	ck_assert_uint_eq(s.ring->downs.word, 2 - up);
	pmz_ring_free(s.ring);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("ring");
	TCase *tc = tcase_create("threads");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_loop_test(tc, a_find_succeeds_while_one_node_stays_up, 0,
	                    LAYOUTS);
	tcase_add_loop_test(
		tc, a_find_succeeds_while_up_is_handed_from_node_to_node, 0,
		LAYOUTS);
	tcase_add_loop_test(
		tc, who_marks_one_node_both_ways_leaves_a_right_count, 0, 4);
	tcase_set_timeout(tc, 120);
	suite_add_tcase(suite, tc);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
