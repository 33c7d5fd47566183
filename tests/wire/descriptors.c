/*
 * descriptors.c - a process that has no descriptor left, and gets them back.
 */
#include "expect.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <pipemaze.h>

#include "leases.h"
#include "redis.h"

#define NODES 5
#define TTL PMZ_S(30)
#define LIMIT 200

static kit_redis *servers[NODES];
static const char *addresses[NODES];
static char text[256];

/* But for the one that looks. */
static unsigned count_open(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned count = 0;

	if (!dir)
		kit_fail("there is no /proc");
	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

static struct rlimit usual;
static int fillers[LIMIT];
static unsigned filled;

/* No more than so many can be opened from here on. */
static void leave(unsigned spare)
{
	struct rlimit low = usual;
	int fd;

	low.rlim_cur = LIMIT;
	if (setrlimit(RLIMIT_NOFILE, &low))
		kit_fail("no limit can be set");
	for (filled = 0; (fd = dup(2)) >= 0; filled++)
		fillers[filled] = fd;
	if (filled < spare)
		kit_fail("too many descriptors are open");
	while (spare--)
		close(fillers[--filled]);
}

static void leave_plenty(void)
{
	while (filled)
		close(fillers[--filled]);
	setrlimit(RLIMIT_NOFILE, &usual);
}

/* It says what is missing; 1 if anything was. */
static int is_short(int status, const pmz_why *why)
{
	if (status == PMZ_OK)
		return 0;
	if (status != PMZ_E_NOMEM && status != PMZ_E_IO &&
	    status != PMZ_E_QUORUM)
		fail_msg("%s: %s", pmz_status_name(status), why->text);
	if (why && !strstr(why->text, strerror(EMFILE)))
		fail_msg("it lacks descriptors and says: %s", why->text);
	return 1;
}

/* How much of it was short of descriptors. */
static int use(pmz_locks *locks)
{
	pmz_lease lease, holder;
	pmz_why why;
	int status = pmz_lock_acquire(locks, "x", TTL, 0, &lease, &why);
	int shortages = is_short(status, &why);

	if (status)
		return shortages;
	shortages += is_short(pmz_lock_peek(locks, "x", &holder), NULL);
	shortages += is_short(pmz_lock_keep(locks, &lease, TTL), NULL);
	shortages += is_short(pmz_lock_extend(locks, &lease, TTL), NULL);
	shortages += is_short(pmz_lock_release(locks, &lease), NULL);
	return shortages;
}

static int open_with(unsigned spare, const char *const *where, size_t count,
                     pmz_locks **locks)
{
	pmz_locks_config cfg = kit_locks_patient();
	pmz_why why;
	int status;

	leave(spare);
	status = pmz_locks_open(locks, where, count, &cfg, &why);
	if (status)
		assert_null(*locks);
	return is_short(status, &why);
}

/* 1 if so many descriptors are too few for something. */
static int use_with(unsigned spare, const char *const *where, size_t count)
{
	unsigned before = count_open();
	pmz_locks *locks;
	int shortages = open_with(spare, where, count, &locks);

	if (locks)
		shortages = use(locks);
	leave_plenty();
	if (locks)
		kit_locks_expect_well(locks);
	pmz_locks_close(locks);
	assert_int_equal(count_open(), before);
	return shortages > 0;
}

static void expect_no_orphan(size_t count)
{
	while (count--) {
		kit_redis_ask(servers[count], text, sizeof(text), "GET",
		              "lock:x", NULL);
		assert_string_equal(text, "(nil)");
	}
}

static void too_few_are_said_and_cost_nothing(const char *const *where,
                                              size_t count, unsigned needs)
{
	unsigned spare;

	for (spare = 0; use_with(spare, where, count); spare++)
		expect_no_orphan(count);
	assert_in_range(spare, needs, LIMIT / 4);
}

static void a_server_without_descriptors_is_said(void **state)
{
	(void)state;
	/* The keeper's bell, its alarm, the bells and connections of two. */
	too_few_are_said_and_cost_nothing(addresses, 1, 5);
}

/* A majority is enough. */
static void a_quorum_without_descriptors_is_said(void **state)
{
	(void)state;
	too_few_are_said_and_cost_nothing(addresses, NODES, 3 + NODES / 2 + 1);
}

static void a_store_in_memory_without_descriptors_is_said(void **state)
{
	static const char *const in_memory = "memory:";

	(void)state;
	too_few_are_said_and_cost_nothing(&in_memory, 1, 4);
}

static void bring_back(void *unused)
{
	(void)unused;
	leave_plenty();
}

static void a_wait_goes_on_when_there_are_descriptors_again(void **state)
{
	pmz_locks_config cfg = kit_locks_patient();
	pmz_locks *locks = kit_locks_open(addresses[0], &cfg);
	unsigned before = count_open();
	kit_errand errand;
	pmz_lease lease;
	pmz_why why;
	int status;

	(void)state;
	leave(1); /* the lane's bell, and none to connect with */
	kit_errand_start(&errand, 50, bring_back, NULL);
	status = pmz_lock_acquire(locks, "x", TTL, PMZ_S(20), &lease, &why);
	kit_errand_join(&errand);
	if (status)
		fail_msg("%s: %s", pmz_status_name(status), why.text);
	expect_status(pmz_lock_release(locks, &lease), PMZ_OK);
	pmz_locks_close(locks);
	/* Those of `locks` were open before. */
	assert_true(count_open() < before);
}

static void one_who_cannot_queue_is_told(void **state)
{
	pmz_locks_config cfg = kit_locks_patient();
	pmz_locks *locks = kit_locks_open(addresses[0], &cfg);
	kit_waiter first;
	pmz_lease lease;
	pmz_why why;

	(void)state;
	kit_redis_ask(servers[0], text, sizeof(text), "SET", "lock:x", "theirs",
	              "PX", "20000", NULL);
	kit_waiter_start(&first, locks, "x", TTL, PMZ_S(20));
	kit_wait_for_listeners(servers[0], 1);
	leave(0);
	assert_true(is_short(
		pmz_lock_acquire(locks, "x", TTL, PMZ_S(20), &lease, &why),
		&why));
	assert_int_equal(lease.until, 0);
	leave_plenty();
	kit_redis_ask(servers[0], text, sizeof(text), "DEL", "lock:x", NULL);
	kit_waiter_join(&first);
	expect_status(first.status, PMZ_OK);
	expect_status(pmz_lock_release(locks, &first.lease), PMZ_OK);
	pmz_locks_close(locks);
}

static int start(void **state)
{
	(void)state;
	getrlimit(RLIMIT_NOFILE, &usual);
	kit_redis_start_all(servers, addresses, NODES);
	return 0;
}

static int stop(void **state)
{
	(void)state;
	kit_redis_stop_all(servers, NODES);
	return 0;
}

/* So that a test that fails takes none from the next. */
static int tear_down(void **state)
{
	(void)state;
	leave_plenty();
	return 0;
}

#define row(test) cmocka_unit_test_teardown(test, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		row(a_store_in_memory_without_descriptors_is_said),
		row(a_server_without_descriptors_is_said),
		row(a_quorum_without_descriptors_is_said),
		row(a_wait_goes_on_when_there_are_descriptors_again),
		row(one_who_cannot_queue_is_told),
	};

	return cmocka_run_group_tests_name("descriptors", tests, start, stop);
}
