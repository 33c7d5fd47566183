/*
 * bulkhead.c - a million random calls against a bulkhead that counts on paper;
 * and one that is shared with a process that forked.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <pipemaze/bulkhead.h>

#include "dice.h"
#include "hostile.h"
#include "must.h"

#define STEPS 5000
#define HELD_MAX 64
#define NOW 0
#define TURNS 20
#define LIMIT_MAX 8388607

struct paper {
	uint32_t limit, in_use, in_use_max, resets;
	uint64_t admitted, refusals, over_releases;
	pmz_ns now; /* which nothing hangs on */
	unsigned held;
	struct {
		pmz_permit permit;
		uint32_t resets; /* before it was given */
	} permits[HELD_MAX];
};

static void enter(struct paper *p, pmz_bulkhead *h)
{
	int full = p->in_use >= p->limit;
	pmz_permit permit;

	if (p->held == HELD_MAX)
		return;
	must_be(pmz_bulkhead_acquire(h, p->now, &permit),
	        full ? PMZ_REFUSED_FULL : PMZ_OK);
	if (full) {
		p->refusals++;
		return;
	}
	p->admitted++;
	p->in_use++;
	if (p->in_use > p->in_use_max)
		p->in_use_max = p->in_use;
	p->permits[p->held].permit = permit;
	p->permits[p->held++].resets = p->resets;
}

static void settle(struct paper *p, pmz_bulkhead *h, pmz_permit *permit,
                   int valid)
{
	must_be(pmz_bulkhead_settle(h, permit, PMZ_SUCCESS, p->now),
	        valid ? PMZ_OK : PMZ_E_STATE);
	if (valid)
		p->in_use--;
	else
		p->over_releases++;
}

static void leave(struct paper *p, pmz_bulkhead *h, dice *d)
{
	unsigned i;
	int valid;

	if (!p->held)
		return;
	i = (unsigned)dice_between(d, 0, p->held - 1);
	valid = p->permits[i].resets == p->resets;
	settle(p, h, &p->permits[i].permit, valid);
	if (dice_once_in(d, 4))
		settle(p, h, &p->permits[i].permit, 0);
	p->permits[i] = p->permits[--p->held];
}

static void check_stats(const struct paper *p, const pmz_bulkhead *h)
{
	pmz_bulkhead_stats s;

	memset(&s, 0, sizeof(s));
	s.size = sizeof(s);
	must_be(pmz_bulkhead_read(h, &s), PMZ_OK);
	must_be(s.in_use, p->in_use);
	must_be(s.limit, p->limit);
	must_be(s.in_use_max, p->in_use_max);
	must_be(s.admitted, p->admitted);
	must_be(s.refusals, p->refusals);
	must_be(s.over_releases, p->over_releases);
}

static void resize(struct paper *p, pmz_bulkhead *h, dice *d)
{
	uint32_t limit = (uint32_t)dice_between(d, 0, 20);

	if (dice_once_in(d, 8))
		limit = LIMIT_MAX - 1 + (uint32_t)dice_roll(d) % 3;
	must_be(pmz_bulkhead_resize(h, limit),
	        limit > LIMIT_MAX ? PMZ_E_CONFIG : PMZ_OK);
	if (limit <= LIMIT_MAX)
		p->limit = limit;
}

static void reset(struct paper *p, pmz_bulkhead *h)
{
	pmz_bulkhead_reset(h);
	p->resets++;
	p->in_use = 0;
}

static void history(int seed)
{
	dice d = dice_of(seed);
	pmz_bulkhead_config cfg = { sizeof(cfg), 0 };
	struct paper p;
	pmz_bulkhead *h;
	int i;

	memset(&p, 0, sizeof(p));
	cfg.limit = p.limit = (uint32_t)dice_between(&d, 1, 20);
	if (dice_once_in(&d, 8))
		cfg.limit = p.limit = LIMIT_MAX;
	must_be(pmz_bulkhead_new(&h, &cfg, NULL), PMZ_OK);
	for (i = 0; i < STEPS; i++) {
		uint64_t what = dice_roll(&d) % 128;

		p.now = hostile_next(&d, p.now, PMZ_NEVER, PMZ_S(1));
		if (what == 0)
			reset(&p, h);
		else if (what < 8)
			resize(&p, h, &d);
		else if (what < 64)
			leave(&p, h, &d);
		else
			enter(&p, h);
		if (i % 16 == 0)
			check_stats(&p, h);
	}
	check_stats(&p, h);
	pmz_bulkhead_free(h);
}

START_TEST(every_count_is_that_of_the_paper)
{
	int histories = hostile_histories(STEPS, TURNS), i;

	for (i = 0; i < histories; i++)
		history(_i * histories + i);
}
END_TEST

static void *shared(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
	                    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	ck_assert_ptr_ne(memory, MAP_FAILED);
	return memory;
}

static pmz_bulkhead *place(void *memory)
{
	pmz_bulkhead_config cfg = { sizeof(cfg), 3 };
	pmz_bulkhead *h = NULL;

	if (pmz_bulkhead_place(&h, memory, pmz_bulkhead_size(&cfg), &cfg, NULL))
		return NULL;
	return h;
}

static unsigned fill(pmz_bulkhead *h)
{
	unsigned n = 0;
	pmz_permit p;

	while (pmz_bulkhead_acquire(h, NOW, &p) == PMZ_OK)
		n++;
	return n;
}

/* Runs `life` in a child, and says what it returned. */
static int in_a_child(int (*life)(void *memory), void *memory)
{
	int status;
	pid_t child = fork();

	ck_assert_int_ge(child, 0);
	if (!child)
		_exit(life(memory));
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static int enters_and_dies(void *memory)
{
	pmz_bulkhead *h = place(memory);
	pmz_permit a, b;

	return !h || pmz_bulkhead_acquire(h, NOW, &a) ||
	       pmz_bulkhead_acquire(h, NOW, &b) ||
	       pmz_bulkhead_settle(h, &b, PMZ_SUCCESS, NOW);
}

START_TEST(a_forked_process_counts_in_the_same_memory)
{
	void *memory = shared(pmz_bulkhead_size(NULL));
	pmz_bulkhead *h = place(memory);

	ck_assert_ptr_nonnull(h);
	ck_assert_int_eq(in_a_child(enters_and_dies, memory), 0);
	ck_assert_uint_eq(fill(h), 2);
}
END_TEST

START_TEST(who_places_first_may_be_the_child)
{
	void *memory = shared(pmz_bulkhead_size(NULL));

	ck_assert_int_eq(in_a_child(enters_and_dies, memory), 0);
	ck_assert_uint_eq(fill(place(memory)), 2);
}
END_TEST

START_TEST(a_reset_frees_the_slots_of_the_dead)
{
	void *memory = shared(pmz_bulkhead_size(NULL));
	pmz_bulkhead *h = place(memory);

	ck_assert_int_eq(in_a_child(enters_and_dies, memory), 0);
	pmz_bulkhead_reset(h);
	ck_assert_uint_eq(fill(h), 3);
}
END_TEST

static int settles_for_another(void *memory)
{
	pmz_permit *mail = memory;
	pmz_bulkhead *h = place(mail + 4);

	return !h || pmz_bulkhead_settle(h, mail, PMZ_SUCCESS, NOW);
}

START_TEST(a_permit_may_be_settled_by_another_process)
{
	/* The permit travels in front of the bulkhead. */
	pmz_permit *mail = shared(4 * sizeof(*mail) + pmz_bulkhead_size(NULL));
	pmz_bulkhead *h = place(mail + 4);

	ck_assert_int_eq(pmz_bulkhead_acquire(h, NOW, mail), PMZ_OK);
	ck_assert_int_eq(in_a_child(settles_for_another, mail), 0);
	ck_assert_uint_eq(fill(h), 3);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("bulkhead");
	TCase *random = tcase_create("random calls");
	TCase *forked = tcase_create("processes");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, random);
	suite_add_tcase(suite, forked);
	tcase_set_timeout(random, 60);
	tcase_add_loop_test(random, every_count_is_that_of_the_paper, 0,
	                    TURNS);
	tcase_add_test(forked, a_forked_process_counts_in_the_same_memory);
	tcase_add_test(forked, who_places_first_may_be_the_child);
	tcase_add_test(forked, a_reset_frees_the_slots_of_the_dead);
	tcase_add_test(forked, a_permit_may_be_settled_by_another_process);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
