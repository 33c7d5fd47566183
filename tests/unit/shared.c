/*
 * shared.c - guards in memory that several processes share.
 *
 * The children assert nothing: they end with a code, and count on a board in
 * the same memory. An alarm ends the whole test if one of them waits for the
 * dead.
 */
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <pipemaze/breaker.h>
#include <pipemaze/budget.h>
#include <pipemaze/bulkhead.h>

#include "base/atomic.h"
#include "between.h"
#include "dice.h"
#include "expect.h"

#define BOOT PMZ_S(1000)
#define CHILDREN 4
#define CALLS 20000
#define LIMIT 2
#define PATIENCE 120 /* seconds */

static const pmz_breaker_config breaker_config = {
	.size = sizeof(pmz_breaker_config),
	.failure_pct = PMZ_OFF,
	.consecutive_max = 3,
	.open_jitter_pct = PMZ_OFF,
	.probes_to_close = 2,
};

static const pmz_bulkhead_config bulkhead_config = {
	.size = sizeof(pmz_bulkhead_config),
	.limit = LIMIT,
};

static const pmz_budget_config budget_config = {
	.size = sizeof(pmz_budget_config),
	.per_second_min = 1,
};

struct board {
	pmz__a64 go, now;
	pmz__a64 calls, failures, admitted, inside, most_inside, withdrawn;
};

#define ROOM 4096

/* The shared memory; all zero at first. */
struct region {
	_Alignas(64) struct board board;
	_Alignas(64) char breaker[ROOM];
	_Alignas(64) char bulkhead[ROOM];
	_Alignas(64) char budget[ROOM];
};

struct guards {
	pmz_breaker *breaker;
	pmz_bulkhead *bulkhead;
	pmz_budget *budget;
};

static struct region *map_regions(size_t n)
{
	struct region *r =
		mmap(NULL, n * sizeof(*r), PROT_READ | PROT_WRITE,
	             MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	assert_true(r != MAP_FAILED);
	return r;
}

static struct region *map_region(void)
{
	return map_regions(1);
}

static int join_breaker(struct region *r, struct guards *g)
{
	return pmz_breaker_place(&g->breaker, r->breaker, ROOM, &breaker_config,
	                         NULL);
}

static int join_bulkhead(struct region *r, struct guards *g)
{
	return pmz_bulkhead_place(&g->bulkhead, r->bulkhead, ROOM,
	                          &bulkhead_config, NULL);
}

static int join_budget(struct region *r, struct guards *g)
{
	return pmz_budget_place(&g->budget, r->budget, ROOM, &budget_config,
	                        NULL);
}

/* In one of the orders that there are. */
static int join(struct region *r, struct guards *g, unsigned order)
{
	static int (*const all[])(struct region *, struct guards *) = {
		join_breaker, join_bulkhead, join_budget
	};
	const int step = order / 3 % 2 ? 2 : 1;
	unsigned i, next = order % 3;

	memset(g, 0, sizeof(*g));
	for (i = 0; i < 3; i++, next = (next + (unsigned)step) % 3)
		if (all[next](r, g))
			return -1;
	return 0;
}

static pid_t born(void (*life)(struct region *r, unsigned who),
                  struct region *r, unsigned who)
{
	pid_t child = fork();

	assert_true(child >= 0);
	if (child)
		return child;
	alarm(PATIENCE);
	life(r, who);
	_exit(0);
}

static void expect_good_end(pid_t child)
{
	int how;

	assert_int_equal(waitpid(child, &how, 0), child);
	assert_true(WIFEXITED(how) && WEXITSTATUS(how) == 0);
}

static pmz_breaker_stats stats_of(const pmz_breaker *b, pmz_ns now)
{
	pmz_breaker_stats s = { .size = sizeof(s) };

	expect_status(pmz_breaker_read(b, now, &s), PMZ_OK);
	return s;
}

static pmz_bulkhead_stats bulkhead_stats(const pmz_bulkhead *h)
{
	pmz_bulkhead_stats s = { .size = sizeof(s) };

	expect_status(pmz_bulkhead_read(h, &s), PMZ_OK);
	return s;
}

static uint64_t count(pmz__a64 *word)
{
	return pmz__load(word, PMZ__ACQUIRE);
}

static void add(pmz__a64 *word, uint64_t n)
{
	pmz__add(word, n, PMZ__ACQ_REL);
}

static void pass_bulkhead(struct board *board, pmz_bulkhead *h)
{
	pmz_permit slot;
	uint64_t inside, most;

	if (pmz_bulkhead_acquire(h, BOOT, &slot))
		return;
	add(&board->admitted, 1);
	inside = pmz__add(&board->inside, 1, PMZ__ACQ_REL) + 1;
	most = count(&board->most_inside);
	while (inside > most &&
	       !pmz__cas(&board->most_inside, &most, inside, PMZ__RELAXED))
		;
	pmz__sub(&board->inside, 1, PMZ__ACQ_REL);
	pmz_bulkhead_settle(h, &slot, PMZ_SUCCESS, BOOT);
}

/* Work that leaves the breaker closed, and everything counted. */

static void honest_life(struct region *r, unsigned who)
{
	struct board *board = &r->board;
	struct guards g;
	int i;

	if (join(r, &g, who))
		_exit(1);
	for (i = 0; i < CALLS; i++) {
		int fails = i % 100 == 0;
		pmz_permit p;

		if (pmz_breaker_acquire(g.breaker, BOOT, &p, NULL))
			_exit(2);
		pmz_breaker_settle(g.breaker, &p,
		                   fails ? PMZ_FAILURE : PMZ_SUCCESS, BOOT);
		pmz_budget_deposit(g.budget, BOOT);
		pass_bulkhead(board, g.bulkhead);
		if (i % 3 == 0)
			add(&board->withdrawn,
			    !pmz_budget_withdraw(g.budget, BOOT));
	}
	add(&board->calls, CALLS);
	add(&board->failures, CALLS / 100);
}

/* What is left of the budget, taken. */
static uint64_t drained(pmz_budget *budget)
{
	uint64_t n = 0;

	while (pmz_budget_withdraw(budget, BOOT) == PMZ_OK)
		n++;
	return n;
}

static void processes_that_join_in_any_order_share_one_count(void **state)
{
	struct region *r = map_region();
	pmz_breaker_stats stats;
	pid_t children[CHILDREN];
	struct guards g;
	unsigned i;

	(void)state;
	for (i = 0; i < CHILDREN; i++)
		children[i] = born(honest_life, r, i);
	for (i = 0; i < CHILDREN; i++)
		expect_good_end(children[i]);
	assert_int_equal(join(r, &g, 5), 0);
	stats = stats_of(g.breaker, BOOT);
	assert_int_equal(stats.calls, CHILDREN * CALLS);
	assert_int_equal(stats.failures, count(&r->board.failures));
	assert_int_equal(bulkhead_stats(g.bulkhead).in_use, 0);
	assert_int_equal(bulkhead_stats(g.bulkhead).admitted,
	                 count(&r->board.admitted));
	assert_true(count(&r->board.most_inside) <= LIMIT);
	assert_int_equal(count(&r->board.withdrawn) + drained(g.budget),
	                 CHILDREN * CALLS / 5 + 1);
	munmap(r, sizeof(*r));
}

static void tripping_life(struct region *r, unsigned who)
{
	struct guards g;
	int i;

	if (join(r, &g, who))
		_exit(1);
	for (i = 0; i < 3; i++) {
		pmz_permit p;

		if (pmz_breaker_acquire(g.breaker, BOOT, &p, NULL))
			_exit(2);
		pmz_breaker_settle(g.breaker, &p, PMZ_FAILURE, BOOT);
	}
}

static void what_one_process_trips_is_open_for_all(void **state)
{
	struct region *r = map_region();
	struct guards g;
	pmz_permit p;
	pmz_ns ready;

	(void)state;
	assert_int_equal(join(r, &g, 0), 0);
	expect_status(pmz_breaker_acquire(g.breaker, BOOT, &p, NULL), PMZ_OK);
	expect_good_end(born(tripping_life, r, 1));
	pmz_breaker_settle(g.breaker, &p, PMZ_SUCCESS, BOOT);
	assert_int_equal(stats_of(g.breaker, BOOT).stale, 1);
	expect_status(pmz_breaker_acquire(g.breaker, BOOT, &p, &ready),
	              PMZ_REFUSED_OPEN);
	assert_int_equal(ready, BOOT + PMZ_S(5));
	munmap(r, sizeof(*r));
}

static void probing_life(struct region *r, unsigned who)
{
	struct guards g;
	pmz_permit p;

	if (join(r, &g, who))
		_exit(1);
	if (pmz_breaker_acquire(g.breaker, BOOT + PMZ_S(5), &p, NULL))
		_exit(2);
	raise(SIGKILL);
}

static void a_probe_of_a_killed_process_gives_its_place_up(void **state)
{
	struct region *r = map_region();
	struct guards g;
	pmz_permit p;
	pid_t child;

	(void)state;
	assert_int_equal(join(r, &g, 0), 0);
	expect_good_end(born(tripping_life, r, 1));
	child = born(probing_life, r, 2);
	assert_int_equal(waitpid(child, NULL, 0), child);
	assert_int_equal(stats_of(g.breaker, BOOT + PMZ_S(5)).probes_out, 1);
	expect_status(
		pmz_breaker_acquire(g.breaker, BOOT + PMZ_S(15) - 1, &p, NULL),
		PMZ_REFUSED_OPEN);
	expect_status(
		pmz_breaker_acquire(g.breaker, BOOT + PMZ_S(15), &p, NULL),
		PMZ_OK);
	munmap(r, sizeof(*r));
}

static void slot_taking_life(struct region *r, unsigned who)
{
	struct guards g;
	pmz_permit p;

	if (join(r, &g, who) || pmz_bulkhead_acquire(g.bulkhead, BOOT, &p))
		_exit(1);
	raise(SIGKILL);
}

static void a_reset_frees_the_slots_of_the_dead(void **state)
{
	struct region *r = map_region();
	struct guards g;
	pmz_permit p;
	unsigned i;

	(void)state;
	for (i = 0; i < LIMIT; i++) {
		pid_t child = born(slot_taking_life, r, i);

		assert_int_equal(waitpid(child, NULL, 0), child);
	}
	assert_int_equal(join(r, &g, 0), 0);
	expect_status(pmz_bulkhead_acquire(g.bulkhead, BOOT, &p),
	              PMZ_REFUSED_FULL);
	pmz_bulkhead_reset(g.bulkhead);
	expect_status(pmz_bulkhead_acquire(g.bulkhead, BOOT, &p), PMZ_OK);
	assert_int_equal(bulkhead_stats(g.bulkhead).in_use, 1);
	munmap(r, sizeof(*r));
}

/* In memory that is not shared a child has a copy, with the parent's calls in
 * it, that nobody settles. */
static void copying_life(struct region *r, unsigned who)
{
	struct guards g;
	pmz_permit p;

	(void)who;
	if (join(r, &g, 0) ||
	    pmz_bulkhead_acquire(g.bulkhead, BOOT, &p) != PMZ_REFUSED_FULL)
		_exit(1);
	pmz_bulkhead_reset(g.bulkhead);
	pmz_breaker_reset(g.breaker, BOOT);
	if (pmz_bulkhead_acquire(g.bulkhead, BOOT, &p) ||
	    pmz_breaker_acquire(g.breaker, BOOT, &p, NULL))
		_exit(2);
}

static void a_forked_copy_works_after_a_reset(void **state)
{
	static struct region own;
	struct guards g;
	pmz_permit slots[LIMIT], p;
	unsigned i;

	(void)state;
	assert_int_equal(join(&own, &g, 0), 0);
	for (i = 0; i < LIMIT; i++)
		expect_status(pmz_bulkhead_acquire(g.bulkhead, BOOT, &slots[i]),
		              PMZ_OK);
	for (i = 0; i < 3; i++) {
		expect_status(pmz_breaker_acquire(g.breaker, BOOT, &p, NULL),
		              PMZ_OK);
		pmz_breaker_settle(g.breaker, &p, PMZ_FAILURE, BOOT);
	}
	expect_good_end(born(copying_life, &own, 0));
	assert_int_equal(bulkhead_stats(g.bulkhead).in_use, LIMIT);
	expect_state(stats_of(g.breaker, BOOT).state, PMZ_OPEN);
}

/* Builders that die. */

/* Some of the words that a whole one has, the first among them. */
static void half_built(char *to, const char *whole, dice *d)
{
	size_t i;

	memset(to, 0, ROOM);
	memcpy(to, whole, sizeof(uint64_t));
	for (i = sizeof(uint64_t); i < ROOM; i += sizeof(uint64_t))
		if (dice_once_in(d, 2))
			memcpy(to + i, whole + i, sizeof(uint64_t));
}

static void what_a_dead_builder_left_is_finished_by_the_next(void **state)
{
	static struct region whole, half;
	struct guards g;
	int seed;

	(void)state;
	assert_int_equal(join(&whole, &g, 0), 0);
	for (seed = 0; seed < 300; seed++) {
		dice d = dice_of(seed);

		half_built(half.breaker, whole.breaker, &d);
		half_built(half.bulkhead, whole.bulkhead, &d);
		half_built(half.budget, whole.budget, &d);
		assert_int_equal(join(&half, &g, (unsigned)seed), 0);
		assert_memory_equal(half.breaker, whole.breaker, ROOM);
		assert_memory_equal(half.bulkhead, whole.bulkhead, ROOM);
		assert_memory_equal(half.budget, whole.budget, ROOM);
	}
}

static void expect_that_all_works(struct region *r, pmz_ns now)
{
	struct guards g;
	pmz_permit p;
	int i;

	assert_int_equal(join(r, &g, 0), 0);
	pmz_bulkhead_reset(g.bulkhead);
	for (i = 0; i < LIMIT; i++)
		expect_status(pmz_bulkhead_acquire(g.bulkhead, now, &p),
		              PMZ_OK);
	expect_status(pmz_bulkhead_acquire(g.bulkhead, now, &p),
	              PMZ_REFUSED_FULL);
	for (i = 0; stats_of(g.breaker, now).state != PMZ_CLOSED; i++) {
		assert_true(i < 2);
		expect_status(pmz_breaker_acquire(g.breaker, now, &p, NULL),
		              PMZ_OK);
		pmz_breaker_settle(g.breaker, &p, PMZ_SUCCESS, now);
	}
	for (i = 0; stats_of(g.breaker, now).state != PMZ_OPEN; i++) {
		assert_true(i < 3);
		expect_status(pmz_breaker_acquire(g.breaker, now, &p, NULL),
		              PMZ_OK);
		pmz_breaker_settle(g.breaker, &p, PMZ_FAILURE, now);
	}
	for (i = 0; i < 5; i++)
		pmz_budget_deposit(g.budget, now);
	expect_status(pmz_budget_withdraw(g.budget, now), PMZ_OK);
}

static void spin(uint64_t turns)
{
	while (turns--)
		pmz__pause();
}

static void await_more_than(pmz__a64 *word, uint64_t n)
{
	while (count(word) <= n)
		sched_yield();
}

static void kill_now(pid_t child)
{
	int how;

	kill(child, SIGKILL);
	assert_int_equal(waitpid(child, &how, 0), child);
	assert_true(WIFSIGNALED(how));
}

/* So many that a kill nearly always falls into the joining of one of them. */
#define SITES 64

static void joining_life(struct region *sites, unsigned who)
{
	struct guards g;
	int i;

	add(&sites->board.go, 1);
	for (i = 0; i < SITES; i++)
		if (join(&sites[i], &g, who))
			_exit(1);
	raise(SIGKILL);
}

static void who_is_killed_while_it_joins_stops_nobody(void **state)
{
	dice d = dice_of(1);
	unsigned round, i;

	(void)state;
	for (round = 0; round < 100; round++) {
		struct region *sites = map_regions(SITES);
		pid_t child = born(joining_life, sites, round);

		await_more_than(&sites->board.go, 0);
		spin(dice_between(&d, 0, 300));
		kill_now(child);
		for (i = 0; i < SITES; i++)
			expect_that_all_works(&sites[i], BOOT);
		munmap(sites, SITES * sizeof(*sites));
	}
}

/* Callers that die. */

/* Trips and heals, enters and leaves, without an end. */
static void restless_life(struct region *r, unsigned who)
{
	dice d = dice_of((int)who);
	struct guards g;

	if (join(r, &g, who))
		_exit(1);
	add(&r->board.go, 1);
	for (;;) {
		pmz_ns now = pmz__add(&r->board.now, PMZ_MS(20), PMZ__ACQ_REL);
		pmz_outcome how =
			dice_once_in(&d, 2) ? PMZ_FAILURE : PMZ_SUCCESS;
		pmz_permit p;

		if (!pmz_breaker_acquire(g.breaker, now, &p, NULL))
			pmz_breaker_settle(g.breaker, &p, how, now);
		if (!pmz_bulkhead_acquire(g.bulkhead, now, &p))
			pmz_bulkhead_settle(g.bulkhead, &p, how, now);
		pmz_budget_deposit(g.budget, now);
		if (!pmz_budget_withdraw(g.budget, now) && dice_once_in(&d, 2))
			pmz_budget_refund(g.budget);
		add(&r->board.calls, 1);
	}
}

static void kill_one_after(struct region *r, unsigned who, uint64_t turns)
{
	uint64_t before = count(&r->board.go);
	pid_t child = born(restless_life, r, who);

	await_more_than(&r->board.go, before);
	spin(turns);
	kill_now(child);
}

static void who_is_killed_in_its_calls_stops_nobody(void **state)
{
	struct region *r = map_region();
	dice d = dice_of(2);
	pid_t witness;
	unsigned round;

	(void)state;
	pmz__store(&r->board.now, BOOT, PMZ__RELEASE);
	witness = born(restless_life, r, 1000);
	await_more_than(&r->board.go, 0);
	for (round = 0; round < 150; round++)
		kill_one_after(r, round, dice_between(&d, 0, 5000));
	/* The one that was not killed goes on. */
	await_more_than(&r->board.calls, count(&r->board.calls) + 1000);
	kill_now(witness);
	expect_that_all_works(r, count(&r->board.now) + PMZ_S(3600));
	munmap(r, sizeof(*r));
}

/* Callers that die at a given instruction. */

#define PLACES_MAX 40

struct death {
	const char *name;
	void (*set_up)(struct guards *g);
	between_work work;
};

/* Of whoever is stopped. */
static struct guards mine;
static struct region *ours;
static pmz_permit held;

static void fail_times(struct guards *g, int times, pmz_ns now)
{
	while (times--) {
		pmz_permit p;

		expect_status(pmz_breaker_acquire(g->breaker, now, &p, NULL),
		              PMZ_OK);
		pmz_breaker_settle(g->breaker, &p, PMZ_FAILURE, now);
	}
}

static void nothing_before(struct guards *g)
{
	(void)g;
}

static void a_call_is_under_way(struct guards *g)
{
	expect_status(pmz_breaker_acquire(g->breaker, BOOT, &held, NULL),
	              PMZ_OK);
}

static void one_failure_is_missing(struct guards *g)
{
	fail_times(g, 2, BOOT);
	a_call_is_under_way(g);
}

static void a_rest_is_over(struct guards *g)
{
	fail_times(g, 3, BOOT - PMZ_S(5));
}

static void one_success_is_missing(struct guards *g)
{
	pmz_permit p;

	a_rest_is_over(g);
	expect_status(pmz_breaker_acquire(g->breaker, BOOT, &p, NULL), PMZ_OK);
	pmz_breaker_settle(g->breaker, &p, PMZ_SUCCESS, BOOT);
	a_call_is_under_way(g);
}

static void a_slot_is_taken(struct guards *g)
{
	expect_status(pmz_bulkhead_acquire(g->bulkhead, BOOT, &held), PMZ_OK);
}

static void a_deposit_is_there(struct guards *g)
{
	pmz_budget_deposit(g->budget, BOOT);
}

static void join_all(void *ctx)
{
	(void)ctx;
	join(ours, &mine, 0);
}

static void acquire(void *ctx)
{
	(void)ctx;
	(void)!pmz_breaker_acquire(mine.breaker, BOOT, &held, NULL);
}

static void succeed(void *ctx)
{
	(void)ctx;
	pmz_breaker_settle(mine.breaker, &held, PMZ_SUCCESS, BOOT);
}

static void fail_a_bucket_later(void *ctx)
{
	(void)ctx;
	pmz_breaker_settle(mine.breaker, &held, PMZ_FAILURE, BOOT + PMZ_S(3));
}

static void reset(void *ctx)
{
	(void)ctx;
	pmz_breaker_reset(mine.breaker, BOOT);
	pmz_bulkhead_reset(mine.bulkhead);
}

static void take_a_slot(void *ctx)
{
	(void)ctx;
	(void)!pmz_bulkhead_acquire(mine.bulkhead, BOOT, &held);
}

static void give_a_slot_back(void *ctx)
{
	(void)ctx;
	pmz_bulkhead_settle(mine.bulkhead, &held, PMZ_SUCCESS, BOOT);
}

static void deposit_a_bucket_later(void *ctx)
{
	(void)ctx;
	pmz_budget_deposit(mine.budget, BOOT + PMZ_S(3));
}

static void withdraw_and_refund(void *ctx)
{
	(void)ctx;
	if (pmz_budget_withdraw(mine.budget, BOOT) == PMZ_OK)
		pmz_budget_refund(mine.budget);
}

static void die(void *ctx)
{
	(void)ctx;
	raise(SIGKILL);
}

static void prepare(const struct death *d)
{
	ours = map_region();
	if (d->work == join_all)
		return;
	assert_int_equal(join(ours, &mine, 0), 0);
	d->set_up(&mine);
}

/* Whether it died: it does not once its work is shorter than that. */
static int dies_after(const struct death *d, unsigned instructions)
{
	pid_t child = fork();
	int how;

	assert_true(child >= 0);
	if (!child) {
		alarm(PATIENCE);
		between(instructions, d->work, die, NULL);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &how, 0), child);
	return WIFSIGNALED(how) && WTERMSIG(how) == SIGKILL;
}

static void die_everywhere(const struct death *d)
{
	unsigned n, stride;
	int died = 1;

	prepare(d);
	stride = between_length(d->work, NULL) / PLACES_MAX + 1;
	munmap(ours, sizeof(*ours));
	for (n = 0; died; n += stride) {
		prepare(d);
		died = dies_after(d, n);
		expect_that_all_works(ours, BOOT + PMZ_S(3600));
		munmap(ours, sizeof(*ours));
	}
}

static void who_is_killed_at_any_instruction_stops_nobody(void **state)
{
	static const struct death deaths[] = {
		{ "join", nothing_before, join_all },
		{ "acquire", nothing_before, acquire },
		{ "end the rest", a_rest_is_over, acquire },
		{ "succeed", a_call_is_under_way, succeed },
		{ "end a bucket", a_call_is_under_way, fail_a_bucket_later },
		{ "trip", one_failure_is_missing, fail_a_bucket_later },
		{ "close", one_success_is_missing, succeed },
		{ "reopen", one_success_is_missing, fail_a_bucket_later },
		{ "reset", one_failure_is_missing, reset },
		{ "enter", nothing_before, take_a_slot },
		{ "leave", a_slot_is_taken, give_a_slot_back },
		{ "deposit", a_deposit_is_there, deposit_a_bucket_later },
		{ "withdraw", a_deposit_is_there, withdraw_and_refund },
	};
	size_t i;

	(void)state;
	for (i = 0; i < KIT_COUNT(deaths); i++) {
		print_message("killed as it is to %s\n", deaths[i].name);
		die_everywhere(&deaths[i]);
	}
}

static void failures_before_and_after_a_death(unsigned instructions)
{
	const struct death d = { "end a bucket", a_call_is_under_way,
		                 fail_a_bucket_later };
	const pmz_ns later = BOOT + PMZ_S(4);
	pmz_breaker_stats s;
	pmz_permit p;

	prepare(&d);
	fail_times(&mine, 1, BOOT);
	dies_after(&d, instructions);
	expect_status(pmz_breaker_acquire(mine.breaker, later, &p, NULL),
	              PMZ_OK);
	pmz_breaker_settle(mine.breaker, &p, PMZ_SUCCESS, later);
	s = stats_of(mine.breaker, later);
	/* That of the dead may be lacking, and no other. */
	assert_in_range(s.window_calls, 2, 3);
	assert_in_range(s.window_failures, 1, 2);
	assert_int_equal(stats_of(mine.breaker, BOOT + PMZ_S(14)).window_calls,
	                 0);
	munmap(ours, sizeof(*ours));
}

static void who_is_killed_as_a_bucket_ends_loses_no_count(void **state)
{
	unsigned n;

	(void)state;
	for (n = 0; n < 300; n += 9)
		failures_before_and_after_a_death(n);
}

/* With a window of calls, and one of time. */
static const pmz_breaker_config learning[] = {
	{ .size = sizeof(pmz_breaker_config),
	  .calls_window = 5,
	  .failures_max = 2,
	  .open_jitter_pct = PMZ_OFF },
	{ .size = sizeof(pmz_breaker_config),
	  .failures_max = 2,
	  .open_jitter_pct = PMZ_OFF },
};

static void reset_the_breaker(void *ctx)
{
	(void)ctx;
	pmz_breaker_reset(mine.breaker, BOOT);
}

/* Neither what came before the reset nor what comes after it is lost: that it
 * was done or was not are the two ends that there are. */
static int trips_after_a_death_in_a_reset(const pmz_breaker_config *config,
                                          unsigned instructions)
{
	const struct death d = { "reset", nothing_before, reset_the_breaker };
	int died;

	ours = map_region();
	expect_status(pmz_breaker_place(&mine.breaker, ours->breaker, ROOM,
	                                config, NULL),
	              PMZ_OK);
	fail_times(&mine, 1, BOOT);
	died = dies_after(&d, instructions);
	fail_times(&mine, 1, BOOT);
	if (stats_of(mine.breaker, BOOT).state == PMZ_CLOSED)
		fail_times(&mine, 1, BOOT);
	if (stats_of(mine.breaker, BOOT).state != PMZ_OPEN)
		fail_msg("killed after %u instructions it left a blind breaker",
		         instructions);
	munmap(ours, sizeof(*ours));
	return died;
}

static void who_is_killed_in_a_reset_leaves_no_blind_breaker(void **state)
{
	unsigned n;
	size_t i;

	(void)state;
	for (i = 0; i < KIT_COUNT(learning); i++)
		for (n = 0; trips_after_a_death_in_a_reset(&learning[i], n);
		     n += 7)
			;
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(processes_that_join_in_any_order_share_one_count),
	cmocka_unit_test(what_one_process_trips_is_open_for_all),
	cmocka_unit_test(a_probe_of_a_killed_process_gives_its_place_up),
	cmocka_unit_test(a_reset_frees_the_slots_of_the_dead),
	cmocka_unit_test(a_forked_copy_works_after_a_reset),
	cmocka_unit_test(what_a_dead_builder_left_is_finished_by_the_next),
	cmocka_unit_test(who_is_killed_while_it_joins_stops_nobody),
	cmocka_unit_test(who_is_killed_in_its_calls_stops_nobody),
	cmocka_unit_test(who_is_killed_at_any_instruction_stops_nobody),
	cmocka_unit_test(who_is_killed_as_a_bucket_ends_loses_no_count),
	cmocka_unit_test(who_is_killed_in_a_reset_leaves_no_blind_breaker),
};

int main(void)
{
	alarm(PATIENCE);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
