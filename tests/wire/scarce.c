/*
 * scarce.c - every allocation on the way to a lock of Redis fails once: the
 * library's own, and those that hiredis makes for it.
 */
#include "expect.h"

#include <dlfcn.h>
#include <hiredis/async.h>
#include <hiredis/hiredis.h>
#include <link.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pipemaze.h>
#include <pipemaze/lock_hiredis.h>

#include "leases.h"
#include "redis.h"
#include "sanitizer.h"
#include "scarce.h"

#define NODES 5
#define TTL PMZ_S(30)

/* In the place of the C library's, so that hiredis' too can fail. Behind them
 * is the C library's, or that of a sanitizer. */
PMZ_API void *malloc(size_t size);
PMZ_API void *calloc(size_t count, size_t size);
PMZ_API void *realloc(void *memory, size_t size);
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *memory, size_t size);
extern void *__interceptor_malloc(size_t size) __attribute__((weak));
extern void *__interceptor_calloc(size_t count, size_t size)
	__attribute__((weak));
extern void *__interceptor_realloc(void *memory, size_t size)
	__attribute__((weak));

static struct {
	uintptr_t from, till; /* of hiredis' code */
	unsigned calls;
} hiredis;

static int note_hiredis(struct dl_phdr_info *info, size_t size, void *unused)
{
	size_t i;

	(void)size;
	(void)unused;
	if (!strstr(info->dlpi_name, "hiredis"))
		return 0;
	for (i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *part = &info->dlpi_phdr[i];

		if (part->p_type != PT_LOAD || !(part->p_flags & PF_X))
			continue;
		hiredis.from = info->dlpi_addr + part->p_vaddr;
		hiredis.till = hiredis.from + part->p_memsz;
	}
	return 1;
}

static int is_spared; /* nothing fails */

#if HIREDIS_MAJOR < 1
/* Before 1.0 hiredis goes wrong by itself where it lacks memory in one of
 * these: it writes to no buffer, loses a piece, and forgets whom it is to tell
 * of an answer. So the first never fails, and the others fail as a whole. */
PMZ_API int redisBufferWrite(redisContext *c, int *done)
{
	__typeof__(redisBufferWrite) *real;
	int status;

	*(void **)&real = dlsym(RTLD_NEXT, "redisBufferWrite");
	is_spared = 1;
	status = real(c, done);
	is_spared = 0;
	return status;
}

PMZ_API int redisAppendCommandArgv(redisContext *c, int argc, const char **argv,
                                   const size_t *len)
{
	__typeof__(redisAppendCommandArgv) *real;
	int status;

	if (scarce_refuses(1)) {
		c->err = REDIS_ERR_OOM;
		strcpy(c->errstr, "Out of memory");
		return REDIS_ERR;
	}
	*(void **)&real = dlsym(RTLD_NEXT, "redisAppendCommandArgv");
	is_spared = 1;
	status = real(c, argc, argv, len);
	is_spared = 0;
	return status;
}

PMZ_API int redisAsyncCommandArgv(redisAsyncContext *c, redisCallbackFn *fn,
                                  void *ctx, int argc, const char **argv,
                                  const size_t *len)
{
	__typeof__(redisAsyncCommandArgv) *real;
	int status;

	if (scarce_refuses(1))
		return REDIS_ERR;
	*(void **)&real = dlsym(RTLD_NEXT, "redisAsyncCommandArgv");
	is_spared = 1;
	status = real(c, fn, ctx, argc, argv, len);
	is_spared = 0;
	return status;
}
#endif

/* Not used under a thread sanitizer, which is not yet there when malloc() is
 * first called. */
__attribute__((unused)) static int is_refused(const void *caller, size_t size)
{
	uintptr_t at = (uintptr_t)caller;

	if (at < hiredis.from || at >= hiredis.till || is_spared)
		return 0;
	hiredis.calls++;
	return scarce_refuses(size);
}

#if !KIT_HAS_TSAN
void *malloc(size_t size)
{
	if (is_refused(__builtin_return_address(0), size))
		return NULL;
	return __interceptor_malloc ? __interceptor_malloc(size)
	                            : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
	if (is_refused(__builtin_return_address(0), count * size))
		return NULL;
	return __interceptor_calloc ? __interceptor_calloc(count, size)
	                            : __libc_calloc(count, size);
}

void *realloc(void *memory, size_t size)
{
	if (is_refused(__builtin_return_address(0), size))
		return NULL;
	return __interceptor_realloc ? __interceptor_realloc(memory, size)
	                             : __libc_realloc(memory, size);
}
#endif

static kit_redis *servers[NODES], *clustered;
static const char *addresses[NODES];
static char of_cluster[64];
static char reply[256];

static void say(const kit_redis *r, const char *command, const char *key)
{
	kit_redis_ask(r, reply, sizeof(reply), command, key, NULL);
}

/* What lacks memory says so. */
static void expect_short(int status, const char *text)
{
	if (status == PMZ_E_NOMEM)
		return;
	if (status != PMZ_E_IO && status != PMZ_E_QUORUM)
		fail_msg("%s: %s", pmz_status_name(status), text);
	if (text && !strcasestr(text, "memory"))
		fail_msg("it lacks memory and says: %s", text);
}

static void expect_done_or_short(int status, const char *text)
{
	if (status)
		expect_short(status, text);
}

static void use(pmz_locks *locks)
{
	pmz_lease lease, holder;
	pmz_why why;
	int status = pmz_lock_acquire(locks, "x", TTL, 0, &lease, &why);

	expect_done_or_short(status, why.text);
	if (status) {
		assert_int_equal(lease.until, 0);
		return;
	}
	expect_done_or_short(pmz_lock_peek(locks, "x", &holder), NULL);
	expect_done_or_short(pmz_lock_keep(locks, &lease, TTL), NULL);
	expect_done_or_short(pmz_lock_extend(locks, &lease, TTL), NULL);
	expect_done_or_short(pmz_lock_release(locks, &lease), NULL);
}

typedef void (*user)(pmz_locks *locks);

/* How many allocations have failed. */
static unsigned run(const char *const *where, size_t count, user work)
{
	pmz_locks_config cfg = kit_locks_patient();
	unsigned failed;
	pmz_locks *locks;
	pmz_why why;
	int status = pmz_locks_open(&locks, where, count, &cfg, &why);

	if (status) {
		expect_status(status, PMZ_E_NOMEM);
		assert_string_equal(why.text, pmz_status_text(PMZ_E_NOMEM));
		assert_null(locks);
		assert_int_equal(scarce_live(), 0);
		return scarce_end();
	}
	work(locks);
	failed = scarce_end();
	kit_locks_expect_well(locks);
	pmz_locks_close(locks);
	assert_int_equal(scarce_live(), 0);
	return failed;
}

/* What one try may have set is taken back as soon as there is memory. */
static void expect_no_orphan(const kit_redis *r, unsigned nth)
{
	say(r, "GET", "lock:x");
	if (strcmp(reply, "(nil)") && strcmp(reply, "theirs"))
		fail_msg("allocation %u: %s is left", nth, reply);
}

/* All of it, once with each allocation that fails. */
static unsigned fail_each(kit_redis *const *at, const char *const *where,
                          size_t count, user work)
{
	unsigned nth, failed = 1;
	size_t i;

	for (nth = 1; failed; nth++) {
		scarce_fail(nth);
		failed = run(where, count, work);
		for (i = 0; i < count; i++)
			expect_no_orphan(at[i], nth);
	}
	return nth;
}

static void a_lock_of_one_server_outlives_each_failure(void **state)
{
	(void)state;
	assert_true(fail_each(servers, addresses, 1, use) > 10);
	assert_true(KIT_HAS_TSAN || hiredis.calls > 0);
}

static void a_lock_of_five_servers_outlives_each_failure(void **state)
{
	(void)state;
	assert_true(fail_each(servers, addresses, NODES, use) > 50);
}

static int serves_all_slots(void *ctx)
{
	(void)ctx;
	say(clustered, "CLUSTER", "INFO");
	return strstr(reply, "cluster_state:ok") != NULL;
}

static void a_lock_of_a_cluster_outlives_each_failure(void **state)
{
	const char *const where = of_cluster;

	(void)state;
	kit_wait(serves_all_slots, NULL, 10, "a cluster of one");
	assert_true(fail_each(&clustered, &where, 1, use) > 10);
}

/* For what is held for a moment, and so needs an ear. */
static void wait_for_it(pmz_locks *locks)
{
	pmz_lease lease;
	pmz_why why;
	int status;

	kit_redis_ask(servers[0], reply, sizeof(reply), "SET", "lock:x",
	              "theirs", "PX", "15", NULL);
	status = pmz_lock_acquire(locks, "x", TTL, PMZ_S(5), &lease, &why);
	/* What failed for once is tried again. */
	if (status == PMZ_E_NOMEM)
		return;
	expect_status(status, PMZ_OK);
	expect_done_or_short(pmz_lock_release(locks, &lease), NULL);
}

static void a_wait_outlives_each_failure(void **state)
{
	(void)state;
	assert_true(fail_each(servers, addresses, 1, wait_for_it) > 10);
}

/* Nobody has memory for what is owed either: it ends with its ttl. */
static void no_memory_at_all_is_said_and_passes(void **state)
{
	unsigned nth, failed = 1;

	(void)state;
	for (nth = 1; failed; nth++) {
		scarce_fail_from(nth);
		failed = run(addresses, 1, use);
		say(servers[0], "DEL", "lock:x");
	}
	assert_true(nth > 10);
}

/* A user's own connections, blocking. */
static redisContext *blocking[NODES];

static void dial(size_t i)
{
	if (blocking[i] && blocking[i]->err) {
		redisFree(blocking[i]);
		blocking[i] = NULL;
	}
	if (!blocking[i])
		blocking[i] =
			redisConnect("127.0.0.1", kit_redis_port(servers[i]));
	assert_non_null(blocking[i]);
	assert_int_equal(blocking[i]->err, 0);
}

static void dial_all(size_t count)
{
	while (count--)
		dial(count);
}

static int use_blocking(size_t count, pmz_why *why)
{
	const pmz_lock_rules rules = { .size = sizeof(rules),
		                       .node_timeout_ns = PMZ_S(5) };
	pmz_lease lease, holder;
	int status, last;

	status = pmz_lock_hiredis_acquire(blocking, count, &rules, "x", TTL, 0,
	                                  &lease, why);
	if (status)
		return status;
	status = pmz_lock_hiredis_peek(blocking, count, &rules, "x", &holder,
	                               why);
	if (!status)
		status = pmz_lock_hiredis_extend(blocking, count, &rules,
		                                 &lease, TTL, why);
	last = pmz_lock_hiredis_release(blocking, count, &rules, &lease,
	                                status ? NULL : why);
	return status ? status : last;
}

/* It cannot take back what it has set over a connection that broke. */
static unsigned fail_blocking(size_t count, unsigned nth)
{
	unsigned failed;
	pmz_why why;
	int status;
	size_t i;

	dial_all(count);
	scarce_fail(nth);
	status = use_blocking(count, &why);
	failed = scarce_end();
	expect_done_or_short(status, why.text);
	dial_all(count);
	for (i = 0; i < count; i++)
		say(servers[i], "DEL", "lock:x");
	expect_status(use_blocking(count, &why), PMZ_OK);
	return failed;
}

static void a_users_connections_outlive_each_failure(void **state)
{
	size_t counts[] = { 1, NODES }, i;
	unsigned nth;

	(void)state;
	for (i = 0; i < KIT_COUNT(counts); i++) {
		for (nth = 1; fail_blocking(counts[i], nth); nth++)
			continue;
		assert_true(nth > 3);
	}
	for (i = 0; i < NODES; i++)
		redisFree(blocking[i]);
}

/* And on a loop. */
static redisAsyncContext *looping; /* NULL: it is closed */
static pmz_lock_async driver;
static int is_writing;

static void begin_to_write(void *unused)
{
	(void)unused;
	is_writing = 1;
}

static void end_writing(void *unused)
{
	(void)unused;
	is_writing = 0;
}

static void disconnected(const redisAsyncContext *gone, int status)
{
	(void)gone;
	(void)status;
	looping = NULL;
	pmz_lock_async_use(&driver, 0, NULL);
}

/* From 1.0 on hiredis leaves a context that had no memory to its owner. */
static void dial_loop(void)
{
	if (looping && !looping->err)
		return;
	if (looping)
		redisAsyncFree(looping);
	looping = redisAsyncConnect("127.0.0.1", kit_redis_port(servers[0]));
	assert_non_null(looping);
	looping->ev.addWrite = begin_to_write;
	looping->ev.delWrite = end_writing;
	is_writing = 1;
	redisAsyncSetDisconnectCallback(looping, disconnected);
}

static void turn_loop(void)
{
	struct pollfd at = { looping ? looping->c.fd : -1, POLLIN, 0 };

	if (is_writing)
		at.events |= POLLOUT;
	poll(&at, 1, 10);
	if (at.revents & POLLOUT)
		redisAsyncHandleWrite(looping);
	if (looping && (at.revents & ~POLLOUT))
		redisAsyncHandleRead(looping);
	if (pmz_lock_async_due(&driver) <= pmz_now())
		pmz_lock_async_go_on(&driver, pmz_now());
}

static int drive(pmz_lock_op *op, pmz_lease *lease, pmz_why *why)
{
	pmz_ns limit = pmz_now() + PMZ_S(30);

	expect_status(pmz_lock_async_start(&driver, &looping, 1, op, pmz_now(),
	                                   NULL, NULL),
	              PMZ_OK);
	while (!pmz_lock_async_is_done(&driver)) {
		assert_true(pmz_now() < limit);
		turn_loop();
	}
	return pmz_lock_op_end(op, lease, why);
}

static int use_loop(pmz_why *why)
{
	static uint64_t seed[2];
	const pmz_lock_rules rules = { .size = sizeof(rules),
		                       .node_timeout_ns = PMZ_S(5) };
	pmz_ns now = pmz_now();
	pmz_lock_op op;
	pmz_lease lease;
	int status;

	seed[0]++;
	expect_status(pmz_lock_op_acquire(&op, &rules, "x", TTL, now, seed, now,
	                                  NULL),
	              PMZ_OK);
	status = drive(&op, &lease, why);
	if (status)
		return status;
	expect_status(pmz_lock_op_release(&op, &rules, &lease, pmz_now(), NULL),
	              PMZ_OK);
	return drive(&op, &lease, why);
}

static unsigned fail_loop(unsigned nth)
{
	unsigned failed;
	pmz_why why;
	int status;

	dial_loop();
	scarce_fail(nth);
	status = use_loop(&why);
	failed = scarce_end();
	/* One that has gone is what it speaks of then. */
	expect_done_or_short(status, looping ? why.text : NULL);
	dial_loop();
	say(servers[0], "DEL", "lock:x");
	expect_status(use_loop(&why), PMZ_OK);
	return failed;
}

static void a_users_loop_outlives_each_failure(void **state)
{
	unsigned nth;

	(void)state;
	for (nth = 1; fail_loop(nth); nth++)
		continue;
	/* Under a thread sanitizer those of hiredis do not fail. */
	assert_true(nth > (KIT_HAS_TSAN ? 1 : 5));
	redisAsyncFree(looping);
	assert_int_equal(scarce_live(), 0);
}

static int start(void **state)
{
	static const char *const cluster[] = { "--cluster-enabled", "yes",
		                               NULL };

	(void)state;
	dl_iterate_phdr(note_hiredis, NULL);
	kit_redis_start_all(servers, addresses, NODES);
	clustered = kit_redis_start(cluster);
	kit_redis_ask(clustered, reply, sizeof(reply), "CLUSTER",
	              "ADDSLOTSRANGE", "0", "16383", NULL);
	snprintf(of_cluster, sizeof(of_cluster), "redis+cluster://localhost:%u",
	         (unsigned)kit_redis_port(clustered));
	return 0;
}

static int stop(void **state)
{
	(void)state;
	kit_redis_stop_all(servers, NODES);
	kit_redis_stop(clustered);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_lock_of_one_server_outlives_each_failure),
		cmocka_unit_test(a_lock_of_five_servers_outlives_each_failure),
		cmocka_unit_test(a_wait_outlives_each_failure),
		cmocka_unit_test(no_memory_at_all_is_said_and_passes),
		cmocka_unit_test(a_users_connections_outlive_each_failure),
		cmocka_unit_test(a_users_loop_outlives_each_failure),
		cmocka_unit_test(a_lock_of_a_cluster_outlives_each_failure),
	};

	return cmocka_run_group_tests_name("memory of Redis", tests, start,
	                                   stop);
}
