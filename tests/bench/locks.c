/*
 * locks.c - a lock and its release on a real server, beside two raw commands.
 *
 * What it is compared with does the same by hand, over hiredis: SET NX PX, and
 * a script that deletes what is still its own. It has no fence, no tombstone
 * and no validity, and never asks whether its connection is still good.
 *
 * The server shares the CPU with its client. On two of them the figures fall
 * into two groups, by whether the other one sleeps when a command comes.
 */
#include "locks.h"

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pipemaze/lock.h>

#include "redis.h"

#define ROUNDS 41 /* odd, for a median */
#define CYCLES 100
#define TTL PMZ_S(30)
#define RELEASE                                              \
	"if redis.call('GET',KEYS[1])==ARGV[1] then return " \
	"redis.call('DEL',KEYS[1]) else return 0 end"

static pmz_lease kept;

static struct {
	redisContext *raw;
	pmz_locks *ours;
	char sha[64];
} on;

static void expect_reply(redisReply *reply, int type)
{
	if (!reply || reply->type != type)
		give_up("redis_pair", reply ? reply->str : "no reply");
	freeReplyObject(reply);
}

static void cycle_raw(void)
{
	expect_reply(redisCommand(on.raw, "SET lock:raw %s NX PX 30000",
	                          "0123456789abcdef0123456789abcdef"),
	             REDIS_REPLY_STATUS);
	expect_reply(redisCommand(on.raw, "EVALSHA %s 1 lock:raw %s", on.sha,
	                          "0123456789abcdef0123456789abcdef"),
	             REDIS_REPLY_INTEGER);
}

static void cycle_ours(void)
{
	pmz_lease lease;
	pmz_why why;

	if (pmz_lock_acquire(on.ours, "ours", TTL, 0, &lease, &why) ||
	    pmz_lock_release(on.ours, &lease))
		give_up("lock_cycle", why.text);
}

/* ns of one cycle. */
static double time_cycles(void (*cycle)(void))
{
	pmz_ns begin = pmz_now();
	int i;

	for (i = 0; i < CYCLES; i++)
		cycle();
	return (double)(pmz_now() - begin) / CYCLES;
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *values)
{
	qsort(values, ROUNDS, sizeof(*values), by_size);
	return values[ROUNDS / 2];
}

static void print_rounds(void)
{
	double raw[ROUNDS], ours[ROUNDS], ratio[ROUNDS], ns;
	int i;

	for (i = 0; i < ROUNDS; i++) {
		/* Who comes first finds the caches as the other left them. */
		if (i % 2)
			ours[i] = time_cycles(cycle_ours);
		raw[i] = time_cycles(cycle_raw);
		if (i % 2 == 0)
			ours[i] = time_cycles(cycle_ours);
		ratio[i] = ours[i] / raw[i];
	}
	ns = median(raw);
	printf("bench redis_pair %.1f 1.00 of redis_pair\n", ns);
	ns = median(ours);
	printf("bench lock_cycle %.1f %.2f of redis_pair\n", ns, median(ratio));
}

static void connect_raw(const kit_redis *server)
{
	redisReply *reply;

	on.raw = redisConnect("127.0.0.1", kit_redis_port(server));
	if (!on.raw || on.raw->err)
		give_up("redis_pair", "no connection");
	reply = redisCommand(on.raw, "SCRIPT LOAD %s", RELEASE);
	if (!reply || reply->type != REDIS_REPLY_STRING)
		give_up("redis_pair", "no script");
	snprintf(on.sha, sizeof(on.sha), "%s", reply->str);
	freeReplyObject(reply);
}

void locks_measure(void)
{
	kit_redis *server = kit_redis_start(NULL);
	const char *where = kit_redis_address(server);
	pmz_why why;

	connect_raw(server);
	if (pmz_locks_open(&on.ours, &where, 1, NULL, &why))
		give_up("lock_cycle", why.text);
	print_rounds();
	pmz_locks_close(on.ours);
	redisFree(on.raw);
	kit_redis_stop(server);
}

uint64_t ask_is_held(void *what, struct lane *lane, uint64_t n)
{
	uint64_t wrong = 0;

	(void)what;
	kept.until = PMZ_NEVER;
	for (; n; n--)
		wrong += !pmz_lock_is_held(&kept, lane->now++);
	return wrong;
}
