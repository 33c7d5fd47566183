/*
 * sharing.c - who else is at the server: foreign clients, other processes and
 * threads, and users with few rights.
 */
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <pipemaze/edge.h>

#include "crew.h"
#include "leave.h"
#include "server.h"

#define TTL PMZ_S(20)
#define WAIT PMZ_S(5)
#define KEY "lock:job"
#define FENCE_KEY "{lock:job}:f"

/* Word for word what such a client sends. */
#define FOREIGN_RELEASE                                           \
	"if redis.call(\"GET\", KEYS[1]) == ARGV[1] then return " \
	"redis.call(\"DEL\", KEYS[1]) else return 0 end"
#define FOREIGN_EXTEND                                            \
	"if redis.call(\"GET\", KEYS[1]) == ARGV[1] then return " \
	"redis.call(\"PEXPIRE\", KEYS[1], ARGV[2]) else return 0 end"

static pmz_locks *locks;
static char text[128];

static int start(void **state)
{
	(void)state;
	server_renew();
	locks = kit_locks_open(kit_redis_address(server), NULL);
	return 0;
}

static int stop(void **state)
{
	(void)state;
	pmz_locks_close(locks);
	locks = NULL;
	return 0;
}

static pmz_lease acquire(pmz_locks *l, pmz_ns wait)
{
	return expect_grant(l, "job", TTL, wait);
}

static void expect_refusal(pmz_locks *l, int want, const char *words)
{
	int64_t then = kit_now();
	pmz_lease lease;
	pmz_why why;

	expect_status(pmz_lock_acquire(l, "job", TTL, WAIT, &lease, &why),
	              want);
	expect_back(then, 0);
	if (!strstr(why.text, words))
		fail_msg("no %s in: %s", words, why.text);
	assert_true(lease.token[0] == '\0');
}

static void a_foreign_holder_is_HELD_and_its_end_is_told(void **state)
{
	pmz_ns now = pmz_now();
	pmz_lease lease;
	pmz_why why;

	(void)state;
	expect_answer("OK", "SET", KEY, "V", "PX", "30000", "NX");
	expect_status(pmz_lock_acquire(locks, "job", TTL, 0, &lease, &why),
	              PMZ_REFUSED_HELD);
	expect_between(why.ready_at, now + PMZ_S(29),
	               pmz_now() + PMZ_S(30) + PMZ_MS(1));
	expect_answer("V", "GET", KEY);
}

static void a_foreign_holder_without_an_end_is_HELD(void **state)
{
	pmz_lease lease;
	pmz_why why;

	(void)state;
	expect_answer("OK", "SET", KEY, "V");
	expect_status(pmz_lock_acquire(locks, "job", TTL, 0, &lease, &why),
	              PMZ_REFUSED_HELD);
	assert_true(why.ready_at == PMZ_NEVER);
}

static void peek_shows_a_foreign_holder(void **state)
{
	pmz_lease holder;

	(void)state;
	expect_status(pmz_lock_peek(locks, "job", &holder), PMZ_REFUSED_EMPTY);
	expect_answer("OK", "SET", KEY, "V with spaces", "PX", "30000", "NX");
	expect_status(pmz_lock_peek(locks, "job", &holder), PMZ_OK);
	assert_string_equal(holder.token, "V with spaces");
	assert_string_equal(holder.name, "job");
	assert_true(holder.until > pmz_now());
}

static void a_lease_of_ours_keeps_a_foreign_client_out(void **state)
{
	pmz_lease lease = acquire(locks, 0);

	(void)state;
	expect_answer("(nil)", "SET", KEY, "V", "PX", "30000", "NX");
	expect_answer("0", "EVAL", FOREIGN_RELEASE, "1", KEY, "V");
	expect_answer("0", "EVAL", FOREIGN_EXTEND, "1", KEY, "V", "1");
	expect_answer(lease.token, "GET", KEY);
	expect_status(pmz_lock_release(locks, &lease), PMZ_OK);
	expect_answer("OK", "SET", KEY, "V", "PX", "30000", "NX");
}

static void what_a_foreign_client_releases_is_free_at_once(void **state)
{
	pmz_lease lease;

	(void)state;
	expect_answer("OK", "SET", KEY, "V", "PX", "30000", "NX");
	expect_answer("1", "EVAL", FOREIGN_EXTEND, "1", KEY, "V", "40000");
	expect_answer("1", "EVAL", FOREIGN_RELEASE, "1", KEY, "V");
	lease = acquire(locks, 0);
	expect_answer(lease.token, "GET", KEY);
}

static void a_foreign_release_with_our_token_releases_ours(void **state)
{
	pmz_lease lease = acquire(locks, 0), copy = lease;

	(void)state;
	expect_answer("1", "EVAL", FOREIGN_RELEASE, "1", KEY, lease.token);
	expect_status(pmz_lock_extend(locks, &copy, TTL), PMZ_E_LOST);
	expect_status(pmz_lock_release(locks, &lease), PMZ_E_LOST);
	expect_answer("OK", "SET", KEY, "V", "PX", "30000", "NX");
}

static void what_is_anothers_is_neither_extended_nor_released(void **state)
{
	pmz_lease lease = acquire(locks, 0), copy = lease;

	(void)state;
	expect_answer("OK", "SET", KEY, "V", "PX", "30000");
	expect_status(pmz_lock_extend(locks, &copy, 2 * TTL), PMZ_E_LOST);
	expect_status(pmz_lock_release(locks, &lease), PMZ_E_LOST);
	expect_answer("V", "GET", KEY);
	assert_in_range(kit_redis_count(server, "PTTL", KEY, NULL), 1, 30000);
}

static void a_key_of_another_type_is_E_REPLY_at_once(void **state)
{
	pmz_lease holder;

	(void)state;
	expect_answer("1", "LPUSH", KEY, "no string");
	expect_refusal(locks, PMZ_E_REPLY, "WRONGTYPE");
	expect_status(pmz_lock_peek(locks, "job", &holder), PMZ_E_REPLY);
	expect_answer("list", "TYPE", KEY);
}

static void a_fence_of_another_type_is_replaced(void **state)
{
	pmz_lease lease;

	(void)state;
	expect_answer("1", "LPUSH", FENCE_KEY, "no string");
	lease = acquire(locks, 0);
	assert_int_equal(kit_redis_count(server, "GET", FENCE_KEY, NULL),
	                 lease.fence);
}

#define CHILDREN 6
#define TURNS 40

/* What several processes see. */
static void *shared(size_t size)
{
	void *at = mmap(NULL, size, PROT_READ | PROT_WRITE,
	                MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(at, MAP_FAILED);
	return at;
}

static int exit_status(pid_t child)
{
	int status;

	assert_int_equal(waitpid(child, &status, 0), child);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* A counter that loses increments which overlap. */
typedef struct tally {
	volatile uint64_t count;
	volatile uint64_t fences[CHILDREN * TURNS];
} tally;

static void increment(tally *sum, uint64_t fence)
{
	uint64_t seen = sum->count;

	sched_yield();
	sum->fences[seen] = fence;
	sum->count = seen + 1;
}

static int count_in_turn(tally *sum)
{
	pmz_locks *own = kit_locks_open(kit_redis_address(server), NULL);
	pmz_lease lease;
	int i, failed = 0;

	for (i = 0; i < TURNS; i++) {
		if (pmz_lock_acquire(own, "job", TTL, PMZ_S(30), &lease, NULL))
			return 1;
		increment(sum, lease.fence);
		failed |= pmz_lock_release(own, &lease);
	}
	pmz_locks_close(own);
	return failed != 0;
}

static void expect_all_counted(const tally *sum)
{
	unsigned i;

	assert_int_equal(sum->count, CHILDREN * TURNS);
	for (i = 1; i < CHILDREN * TURNS; i++)
		assert_true(sum->fences[i - 1] < sum->fences[i]);
}

static void processes_under_one_lock_lose_no_increment(void **state)
{
	tally *sum = shared(sizeof(*sum));
	pid_t children[CHILDREN];
	unsigned i;

	(void)state;
	for (i = 0; i < CHILDREN; i++) {
		children[i] = kit_fork();
		if (!children[i])
			kit_leave(count_in_turn(sum));
	}
	for (i = 0; i < CHILDREN; i++)
		assert_int_equal(exit_status(children[i]), 0);
	expect_all_counted(sum);
	munmap(sum, sizeof(*sum));
}

typedef struct sleeper {
	pmz_lease lease;
	int held, extended, released;
} sleeper;

static int sleep_over_the_end(sleeper *s)
{
	pmz_locks *own = kit_locks_open(kit_redis_address(server), NULL);
	pmz_lease copy;

	if (pmz_lock_acquire(own, "job", PMZ_MS(200), 0, &s->lease, NULL))
		return 1;
	raise(SIGSTOP);
	s->held = pmz_lock_is_held(&s->lease, pmz_now());
	copy = s->lease;
	s->extended = pmz_lock_extend(own, &copy, TTL);
	copy = s->lease;
	s->released = pmz_lock_release(own, &copy);
	pmz_locks_close(own);
	return 0;
}

static void wait_until_stopped(pid_t child)
{
	int status;

	assert_int_equal(waitpid(child, &status, WUNTRACED), child);
	assert_true(WIFSTOPPED(status));
}

static void who_slept_past_its_ttl_holds_nothing(void **state)
{
	sleeper *s = shared(sizeof(*s));
	pid_t child = kit_fork();
	uint64_t highest = 0;
	pmz_lease next;

	(void)state;
	if (!child)
		kit_leave(sleep_over_the_end(s));
	wait_until_stopped(child);
	expect_status(pmz_fence_check(&highest, s->lease.fence), PMZ_OK);
	next = acquire(locks, WAIT);
	expect_status(pmz_fence_check(&highest, next.fence), PMZ_OK);
	kill(child, SIGCONT);
	assert_int_equal(exit_status(child), 0);
	assert_false(s->held);
	expect_status(s->extended, PMZ_E_LOST);
	expect_status(s->released, PMZ_E_LOST);
	expect_status(pmz_fence_check(&highest, s->lease.fence), PMZ_E_LOST);
	expect_answer(next.token, "GET", KEY);
	munmap(s, sizeof(*s));
}

/* The number of the first claim that does not hold, 0 for none. */
static int child_is_refused(pmz_locks *l, pmz_lease lease)
{
	pmz_lease other;
	int why;

	if (pmz_lock_acquire(l, "other", TTL, 0, &other, NULL) != PMZ_E_STATE)
		return 1;
	if (pmz_lock_peek(l, "job", &other) != PMZ_E_STATE)
		return 2;
	if (pmz_lock_extend(l, &lease, TTL) != PMZ_E_STATE)
		return 3;
	if (pmz_lock_keep(l, &lease, TTL) != PMZ_E_STATE ||
	    pmz_lock_refresh(l, &lease) != PMZ_E_STATE)
		return 4;
	if (pmz_locks_next_lost(l, &other, &why) != PMZ_E_STATE)
		return 5;
	if (pmz_lock_release(l, &lease) != PMZ_E_STATE)
		return 6;
	pmz_lock_cancel(l, "job");
	pmz_locks_close(l);
	return 0;
}

static int child_opens_its_own(void)
{
	pmz_locks *own = kit_locks_open(kit_redis_address(server), NULL);
	pmz_lease lease;
	int status = pmz_lock_acquire(own, "own", TTL, 0, &lease, NULL);

	if (status == PMZ_OK)
		status = pmz_lock_release(own, &lease);
	pmz_locks_close(own);
	return status != PMZ_OK;
}

static void a_child_is_E_STATE_and_its_parent_goes_on(void **state)
{
	pmz_lease lease = acquire(locks, 0);
	pid_t child;

	(void)state;
	expect_status(pmz_lock_keep(locks, &lease, PMZ_NEVER), PMZ_OK);
	child = kit_fork();
	if (!child) {
		int claim = child_is_refused(locks, lease);

		kit_leave(claim ? claim : 10 * child_opens_its_own());
	}
	assert_int_equal(exit_status(child), 0);
	expect_answer(lease.token, "GET", KEY);
	expect_status(pmz_lock_refresh(locks, &lease), PMZ_OK);
	expect_status(pmz_lock_extend(locks, &lease, TTL), PMZ_OK);
	expect_status(pmz_lock_release(locks, &lease), PMZ_OK);
	lease = acquire(locks, 0);
	expect_status(pmz_lock_release(locks, &lease), PMZ_OK);
}

#define THREADS 4

static void take_a_turn(unsigned who, void *ctx)
{
	tally *sum = ctx;
	pmz_lease lease;
	int i;

	(void)who;
	for (i = 0; i < TURNS; i++) {
		if (pmz_lock_acquire(locks, "job", TTL, PMZ_S(30), &lease,
		                     NULL) != PMZ_OK)
			kit_fail("a thread of many waited for nothing");
		increment(sum, lease.fence);
		pmz_lock_release(locks, &lease);
	}
}

static void threads_under_one_lock_lose_no_increment(void **state)
{
	static tally sum;
	unsigned i;

	(void)state;
	memset(&sum, 0, sizeof(sum));
	crew_run(THREADS, take_a_turn, &sum);
	assert_int_equal(sum.count, THREADS * TURNS);
	for (i = 1; i < THREADS * TURNS; i++)
		assert_true(sum.fences[i - 1] < sum.fences[i]);
}

static void of_threads_that_wait_one_asks_the_server(void **state)
{
	kit_waiter waiters[THREADS];
	long long before;
	unsigned i;

	(void)state;
	expect_answer("OK", "SET", KEY, "V", "PX", "30000", "NX");
	for (i = 0; i < THREADS; i++)
		kit_waiter_start(&waiters[i], locks, "job", TTL, WAIT);
	kit_wait_for_listeners(server, 1);
	kit_doze(50);
	/* Its two connections, and who counts them. */
	assert_int_equal(kit_info(server, "clients", "connected_clients:"), 3);
	before = kit_script_calls(server);
	kit_doze(100);
	assert_int_equal(kit_script_calls(server), before);
	expect_answer("1", "DEL", KEY);
	for (i = 0; i < THREADS; i++) {
		pmz_lease holder;

		while (pmz_lock_peek(locks, "job", &holder) != PMZ_OK)
			kit_doze(1);
		pmz_lock_release(locks, &holder);
	}
	for (i = 0; i < THREADS; i++) {
		kit_waiter_join(&waiters[i]);
		expect_status(waiters[i].status, PMZ_OK);
	}
}

static void a_thread_in_the_queue_is_told_what_the_first_knows(void **state)
{
	kit_waiter first, second;
	pmz_ns now = pmz_now();

	(void)state;
	expect_answer("OK", "SET", KEY, "V", "PX", "10000", "NX");
	kit_waiter_start(&first, locks, "job", TTL, PMZ_MS(600));
	kit_wait_for_listeners(server, 1);
	kit_waiter_start(&second, locks, "job", TTL, PMZ_MS(100));
	kit_waiter_join(&second);
	expect_status(second.status, PMZ_REFUSED_HELD);
	expect_between(second.why.ready_at, now + PMZ_S(9), now + PMZ_S(11));
	kit_waiter_join(&first);
	expect_status(first.status, PMZ_REFUSED_HELD);
}

static pmz_locks *locks_of(const char *user, const char *word)
{
	snprintf(text, sizeof(text), "redis://%s:%s@127.0.0.1:%u", user, word,
	         (unsigned)kit_redis_port(server));
	return kit_locks_open(text, NULL);
}

static void a_wrong_password_is_E_DENIED_and_none_too(void **state)
{
	static const char *const extra[] = { "--requirepass", "word", NULL };
	kit_redis *own = server;
	pmz_locks *wrong, *right, *none;
	pmz_lease lease;

	(void)state;
	server = kit_redis_start(extra);
	wrong = locks_of("", "drow");
	right = locks_of("", "word");
	none = kit_locks_open(kit_redis_address(server), NULL);
	expect_refusal(wrong, PMZ_E_DENIED, "WRONGPASS");
	expect_refusal(none, PMZ_E_DENIED, "NOAUTH");
	lease = acquire(right, 0);
	expect_status(pmz_lock_release(right, &lease), PMZ_OK);
	pmz_locks_close(wrong);
	pmz_locks_close(right);
	pmz_locks_close(none);
	kit_redis_stop(server);
	server = own;
}

static void a_database_is_a_room_of_its_own(void **state)
{
	pmz_lease lease = acquire(locks, 0), other;
	pmz_locks *third;

	(void)state;
	snprintf(text, sizeof(text), "%s/3", kit_redis_address(server));
	third = kit_locks_open(text, NULL);
	other = acquire(third, 0);
	expect_answer(lease.token, "GET", KEY);
	expect_status(pmz_lock_release(third, &other), PMZ_OK);
	expect_answer(lease.token, "GET", KEY);
	pmz_locks_close(third);
}

static void set_up_minimal_user(void)
{
	expect_answer("OK", "ACL", "SETUSER", "locks", "on", ">word",
	              KIT_RIGHTS);
	expect_answer("OK", "ACL", "LOG", "RESET");
}

static void all_of_a_lease(pmz_locks *l)
{
	pmz_lease lease = acquire(l, 0), holder;

	expect_status(pmz_lock_extend(l, &lease, 2 * TTL), PMZ_OK);
	expect_status(pmz_lock_peek(l, "job", &holder), PMZ_OK);
	assert_string_equal(holder.token, lease.token);
	expect_status(pmz_lock_keep(l, &lease, PMZ_NEVER), PMZ_OK);
	expect_status(pmz_lock_release(l, &lease), PMZ_OK);
}

/* What a hung server did not answer is abandoned. */
static void all_of_an_abandon(pmz_locks *l)
{
	pmz_lease lease;

	kit_redis_pause(server);
	expect_status(pmz_lock_acquire(l, "job", TTL, 0, &lease, NULL),
	              PMZ_E_IO);
	kit_redis_go_on(server);
	lease = acquire(l, 0);
	expect_status(pmz_lock_release(l, &lease), PMZ_OK);
}

static void all_of_a_wait(pmz_locks *l)
{
	pmz_lease lease = acquire(locks, 0);
	kit_waiter waiter;

	kit_waiter_start(&waiter, l, "job", TTL, WAIT);
	kit_wait_for_listeners(server, 1);
	expect_status(pmz_lock_release(locks, &lease), PMZ_OK);
	kit_waiter_join(&waiter);
	expect_status(waiter.status, PMZ_OK);
	expect_status(pmz_lock_release(l, &waiter.lease), PMZ_OK);
}

static void the_rights_that_the_header_names_are_enough(void **state)
{
	pmz_locks *few;

	(void)state;
	expect_answer("OK", "SCRIPT", "FLUSH");
	set_up_minimal_user();
	few = locks_of("locks", "word");
	all_of_a_lease(few);
	all_of_a_wait(few);
	all_of_an_abandon(few);
	expect_answer("", "ACL", "LOG");
	pmz_locks_close(few);
}

static void without(const char *right, const char *words)
{
	pmz_locks *few;

	set_up_minimal_user();
	expect_answer("OK", "ACL", "SETUSER", "locks", right);
	few = locks_of("locks", "word");
	expect_refusal(few, PMZ_E_DENIED, words);
	pmz_locks_close(few);
	expect_answer("(nil)", "GET", KEY);
}

static void a_missing_right_is_E_DENIED_in_the_servers_words(void **state)
{
	(void)state;
	without("-evalsha", "no permissions");
	without("resetkeys", "no permissions");
	without("-set", "can't run this command");
}

/* The script has taken the lock by then. */
static void what_a_denied_script_took_first_is_taken_back(void **state)
{
	(void)state;
	without("-time", "can't run this command");
}

#define wire_test(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		wire_test(a_foreign_holder_is_HELD_and_its_end_is_told),
		wire_test(a_foreign_holder_without_an_end_is_HELD),
		wire_test(peek_shows_a_foreign_holder),
		wire_test(a_lease_of_ours_keeps_a_foreign_client_out),
		wire_test(what_a_foreign_client_releases_is_free_at_once),
		wire_test(a_foreign_release_with_our_token_releases_ours),
		wire_test(what_is_anothers_is_neither_extended_nor_released),
		wire_test(a_key_of_another_type_is_E_REPLY_at_once),
		wire_test(a_fence_of_another_type_is_replaced),
		wire_test(processes_under_one_lock_lose_no_increment),
		wire_test(who_slept_past_its_ttl_holds_nothing),
		wire_test(a_child_is_E_STATE_and_its_parent_goes_on),
		wire_test(threads_under_one_lock_lose_no_increment),
		wire_test(of_threads_that_wait_one_asks_the_server),
		wire_test(a_thread_in_the_queue_is_told_what_the_first_knows),
		wire_test(a_wrong_password_is_E_DENIED_and_none_too),
		wire_test(a_database_is_a_room_of_its_own),
		wire_test(the_rights_that_the_header_names_are_enough),
		wire_test(a_missing_right_is_E_DENIED_in_the_servers_words),
		wire_test(what_a_denied_script_took_first_is_taken_back),
	};

	return cmocka_run_group_tests(tests, server_start, server_stop);
}
