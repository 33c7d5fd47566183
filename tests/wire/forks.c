/*
 * forks.c - a process that forks at any step of what it does.
 *
 * The child is told that the parent's locks are not its own, opens its own, and
 * goes on with its copies of the rest. The parent does not notice.
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <pipemaze.h>

#include "dice.h"
#include "proxy.h"
#include "sanitizer.h"
#include "server.h"

#define TTL PMZ_S(300)
#define CHILDREN 25
#define FORKS 40 /* in the middle of calls */
#define WORKERS 4
#define LIMIT 3
#define CHILD_PATIENCE 30 /* seconds */
#define SEED 7
#define ALL_STAGES                                                   \
	"breaker 50% over 10s min 20 open 5s..60s | bulkhead 3 | "   \
	"rate 1000000/s burst 1000000 | tries 2 backoff 1ms..2ms | " \
	"budget 20% floor 10/s"

static const char *address;
static const char *const in_memory = "memory:";

static pmz_locks *open_at(const char *where)
{
	pmz_locks_config cfg = kit_locks_patient();

	return kit_locks_open(where, &cfg);
}

/* The number of the first claim that does not hold; 0: all do. Nothing here
 * allocates. */
static int refuses_all(pmz_locks *l, pmz_lease lease)
{
	pmz_lease other;

	if (pmz_lock_acquire(l, "other", TTL, 0, &other, NULL) != PMZ_E_STATE)
		return 1;
	if (pmz_lock_acquire(l, "other", TTL, TTL, &other, NULL) != PMZ_E_STATE)
		return 2;
	if (pmz_lock_peek(l, "a", &other) != PMZ_E_STATE)
		return 3;
	if (pmz_lock_extend(l, &lease, TTL) != PMZ_E_STATE)
		return 4;
	if (pmz_lock_keep(l, &lease, TTL) != PMZ_E_STATE)
		return 5;
	if (pmz_lock_refresh(l, &lease) != PMZ_E_STATE)
		return 6;
	if (pmz_locks_next_lost(l, &other, NULL) != PMZ_E_STATE)
		return 7;
	if (pmz_lock_release(l, &lease) != PMZ_E_STATE)
		return 8;
	pmz_lock_cancel(l, "a");
	pmz_locks_close(l);
	return 0;
}

static int use_locks(pmz_locks *locks, const char *name)
{
	pmz_lease lease;
	int status = pmz_lock_acquire(locks, name, TTL, TTL, &lease, NULL);

	if (!status)
		status = pmz_lock_keep(locks, &lease, PMZ_NEVER);
	if (!status)
		status = pmz_lock_extend(locks, &lease, TTL);
	return status ? status : pmz_lock_release(locks, &lease);
}

static void expect_well(pid_t child)
{
	int status;

	assert_int_equal(waitpid(child, &status, 0), child);
	if (WIFSIGNALED(status))
		fail_msg("a child ended by signal %d", WTERMSIG(status));
	if (WEXITSTATUS(status))
		fail_msg("claim %d does not hold in a child",
		         WEXITSTATUS(status));
}

/* In the middle of a call: a timer interrupts it, and its handler forks. */
static struct {
	pmz_locks *locks;
	pmz_lease lease;
	volatile pid_t child; /* 0: none yet */
} one;

/* What is interrupted may be malloc(), which fork() itself would ask to be
 * idle. */
static void fork_here(int number)
{
	pid_t child = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);

	(void)number;
	if (child) {
		one.child = child;
		return;
	}
	signal(SIGALRM, SIG_DFL);
	alarm(CHILD_PATIENCE);
	_exit(refuses_all(one.locks, one.lease));
}

static void set_timer(dice *d)
{
	struct itimerval once;

	memset(&once, 0, sizeof(once));
	once.it_value.tv_usec = (suseconds_t)dice_between(d, 1, 500);
	setitimer(ITIMER_REAL, &once, NULL);
}

static void fork_inside(const char *where)
{
	dice d = dice_of(SEED);
	unsigned i;

	one.locks = open_at(where);
	expect_status(
		pmz_lock_acquire(one.locks, "a", TTL, 0, &one.lease, NULL),
		PMZ_OK);
	for (i = 0; i < FORKS; i++) {
		one.child = 0;
		set_timer(&d);
		do
			expect_status(use_locks(one.locks, "b"), PMZ_OK);
		while (!one.child);
		expect_well(one.child);
	}
	expect_status(pmz_lock_release(one.locks, &one.lease), PMZ_OK);
	pmz_locks_close(one.locks);
}

static void a_fork_in_the_middle_of_a_call_leaves_it_whole(void **state)
{
	struct sigaction action;

	(void)state;
	memset(&action, 0, sizeof(action));
	action.sa_handler = fork_here;
	action.sa_flags = SA_RESTART;
	sigaction(SIGALRM, &action, NULL);
	fork_inside(in_memory);
	fork_inside(address);
	signal(SIGALRM, SIG_DFL);
}

/* Threads that are in the middle of everything when another one forks. */
typedef struct shared_guards {
	pmz_rate rate;
	pmz_bucket bucket;
	atomic_int inside, over;
	atomic_uint granted;
	pmz_bulkhead *bulkhead;
	uint64_t memory[64];
} shared_guards;

static struct {
	pmz_locks *redis, *memory;
	pmz_pipe *pipe;
	shared_guards *guards;
	atomic_int stops, failures;
	atomic_uint rounds;
} busy;

static void enter_and_leave(shared_guards *g)
{
	pmz_permit p;

	if (pmz_bulkhead_acquire(g->bulkhead, 0, &p))
		return;
	if (atomic_fetch_add(&g->inside, 1) >= LIMIT)
		g->over = 1;
	/* All at one instant: there is no more than the burst. */
	if (!pmz_bucket_take(&g->bucket, &g->rate, 1, PMZ_S(1), NULL))
		atomic_fetch_add(&g->granted, 1);
	atomic_fetch_sub(&g->inside, 1);
	pmz_bulkhead_settle(g->bulkhead, &p, PMZ_SUCCESS, 0);
}

static pmz_outcome succeed(pmz_ns due, void *ctx)
{
	(void)due;
	(void)ctx;
	return PMZ_SUCCESS;
}

static void *be_busy(void *unused)
{
	while (!busy.stops) {
		int status = pmz_run(busy.pipe, NULL, succeed, NULL, NULL);

		if (status < 0 || use_locks(busy.redis, "shared") ||
		    use_locks(busy.memory, "shared"))
			busy.failures++;
		if (pmz_pipe_reload(busy.pipe, ALL_STAGES, pmz_now(), NULL) > 0)
			busy.failures++;
		enter_and_leave(busy.guards);
		busy.rounds++;
	}
	return unused;
}

/* What was under way in other threads is lost to the copies: a call of theirs
 * keeps its slot until a reset, and a reload its turn. */
static int uses_its_copies(void)
{
	pmz_pipe_rules rules = { .size = sizeof(rules) };
	int reloaded;

	if (pmz_pipe_read(busy.pipe, &rules))
		return 20;
	pmz_bulkhead_reset(rules.bulkhead);
	pmz_breaker_reset(rules.breaker, pmz_now());
	if (pmz_run(busy.pipe, NULL, succeed, NULL, NULL))
		return 21;
	reloaded = pmz_pipe_reload(busy.pipe, ALL_STAGES, pmz_now(), NULL);
	return reloaded && reloaded != PMZ_E_STATE ? 22 : 0;
}

static int opens_its_own(unsigned number)
{
	pmz_locks *own;
	char name[16];

	snprintf(name, sizeof(name), "child %u", number);
	own = open_at(address);
	if (use_locks(own, name))
		return 30;
	pmz_locks_close(own);
	own = open_at(in_memory);
	if (use_locks(own, name))
		return 31;
	pmz_locks_close(own);
	return 0;
}

static int be_a_child(unsigned number, pmz_lease lease)
{
	int claim = refuses_all(busy.redis, lease), i;

	if (!claim)
		claim = refuses_all(busy.memory, lease);
	if (!claim && !KIT_HAS_ASAN)
		claim = uses_its_copies();
	if (!claim && !KIT_HAS_ASAN)
		claim = opens_its_own(number);
	for (i = 0; i < 1000; i++)
		enter_and_leave(busy.guards);
	return claim;
}

static pid_t fork_child(unsigned number, pmz_lease lease)
{
	pid_t child = kit_fork();

	if (child)
		return child;
	alarm(CHILD_PATIENCE);
	_exit(be_a_child(number, lease));
}

static shared_guards *place_guards(void)
{
	const pmz_bulkhead_config cfg = { .size = sizeof(cfg), .limit = LIMIT };
	shared_guards *g = mmap(NULL, sizeof(*g), PROT_READ | PROT_WRITE,
	                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(g, MAP_FAILED);
	expect_status(pmz_rate_set(&g->rate, 1, PMZ_S(1), 20000), PMZ_OK);
	expect_status(pmz_bulkhead_place(&g->bulkhead, g->memory,
	                                 sizeof(g->memory), &cfg, NULL),
	              PMZ_OK);
	return g;
}

static void expect_exact(const shared_guards *g)
{
	pmz_bulkhead_stats stats = { .size = sizeof(stats) };

	expect_status(pmz_bulkhead_read(g->bulkhead, &stats), PMZ_OK);
	assert_int_equal(stats.in_use, 0);
	assert_int_equal(stats.over_releases, 0);
	assert_false(g->over);
	assert_int_equal(
		g->granted,
		20000 - pmz_bucket_left(&g->bucket, &g->rate, PMZ_S(1)));
}

static void forks_in_the_middle_of_traffic_harm_nobody(void **state)
{
	dice d = dice_of(SEED);
	pthread_t workers[WORKERS];
	pmz_lease lease;
	unsigned i;

	(void)state;
	busy.redis = open_at(address);
	busy.memory = open_at(in_memory);
	busy.guards = place_guards();
	expect_status(pmz_pipe_from(&busy.pipe, ALL_STAGES, NULL, NULL),
	              PMZ_OK);
	expect_status(
		pmz_lock_acquire(busy.redis, "kept", PMZ_S(5), 0, &lease, NULL),
		PMZ_OK);
	expect_status(pmz_lock_keep(busy.redis, &lease, PMZ_NEVER), PMZ_OK);
	for (i = 0; i < WORKERS; i++)
		pthread_create(&workers[i], NULL, be_busy, NULL);
	for (i = 0; i < CHILDREN; i++) {
		usleep((useconds_t)dice_between(&d, 0, 3000));
		expect_well(fork_child(i, lease));
	}
	busy.stops = 1;
	for (i = 0; i < WORKERS; i++)
		pthread_join(workers[i], NULL);
	assert_int_equal(busy.failures, 0);
	assert_true(busy.rounds > 0);
	expect_exact(busy.guards);
	expect_status(pmz_lock_refresh(busy.redis, &lease), PMZ_OK);
	expect_answer(lease.token, "GET", "lock:kept");
	expect_status(pmz_lock_release(busy.redis, &lease), PMZ_OK);
	pmz_locks_close(busy.redis);
	pmz_locks_close(busy.memory);
	pmz_pipe_free(busy.pipe);
}

static void a_child_says_nothing_on_its_parents_connections(void **state)
{
	kit_proxy *proxy = kit_proxy_start(kit_redis_port(server));
	pmz_locks *locks = open_at(kit_proxy_address(proxy));
	uint64_t said, connections;
	pmz_lease lease;
	pid_t child;

	(void)state;
	expect_status(pmz_lock_acquire(locks, "a", TTL, 0, &lease, NULL),
	              PMZ_OK);
	said = kit_proxy_forwarded(proxy, KIT_REQUESTS);
	connections = kit_proxy_connections(proxy);
	child = kit_fork();
	if (!child) {
		alarm(CHILD_PATIENCE);
		_exit(refuses_all(locks, lease));
	}
	expect_well(child);
	kit_doze(20);
	assert_int_equal(kit_proxy_forwarded(proxy, KIT_REQUESTS), said);
	expect_status(pmz_lock_release(locks, &lease), PMZ_OK);
	assert_int_equal(kit_proxy_connections(proxy), connections);
	pmz_locks_close(locks);
	kit_proxy_stop(proxy);
}

static int start(void **state)
{
	server_start(state);
	address = kit_redis_address(server);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			a_child_says_nothing_on_its_parents_connections),
		cmocka_unit_test(
			a_fork_in_the_middle_of_a_call_leaves_it_whole),
		cmocka_unit_test(forks_in_the_middle_of_traffic_harm_nobody),
	};

	if (KIT_HAS_TSAN) {
		puts("skipped: a thread sanitizer takes no fork with threads");
		return 0;
	}
	return cmocka_run_group_tests_name("forks", tests, start, server_stop);
}
