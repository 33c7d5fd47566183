/*
 * config.c - config structs of any bytes and of any size that they lie in.
 *
 * The first byte chooses the guard, the rest is its struct, in memory that ends
 * where its size says. What is accepted is then used a little, and made again
 * in memory of the caller's own.
 */
#include "fuzz.h"

#include <pipemaze/backoff.h>
#include <pipemaze/balance.h>
#include <pipemaze/breaker.h>
#include <pipemaze/bucket.h>
#include <pipemaze/budget.h>
#include <pipemaze/bulkhead.h>
#include <pipemaze/lock.h>
#include <pipemaze/lock_proto.h>
#include <pipemaze/pipe.h>
#include <pipemaze/ring.h>

#define PLACE_ALIGN 64
/* Larger ones are as good as these, and only slower. */
#define KEYS_MAX 1000u
#define RING_MAX 3000u
#define CALLS_MAX 1000u
#define CALLS_LIMIT 1048576u /* as breaker.h says */
#define ENDPOINTS_MAX 100u
#define ENDPOINTS_LIMIT 4096u /* as balance.h says */

static const pmz_ns times[] = { 0, PMZ_S(5), PMZ_S(6), 1, PMZ_NEVER - 1 };
#define TIMES (sizeof(times) / sizeof(*times))

/* The struct, where a sanitizer sees what is read behind it. */
typedef struct block {
	unsigned char *at;
	size_t len;
} block;

static block block_of(const uint8_t *data, size_t len)
{
	block b = { (unsigned char *)malloc(len), len };
	uint32_t size;

	must(b.at);
	memcpy(b.at, data, len);
	memcpy(&size, b.at, sizeof(size));
	if (size > len)
		size %= (uint32_t)len + 1;
	memcpy(b.at, &size, sizeof(size));
	return b;
}

/* What is accepted up to `limit` is cut to `most`. */
static void cap(block *b, size_t offset, uint32_t most, uint32_t limit)
{
	uint32_t n;

	if (offset + sizeof(n) > b->len)
		return;
	memcpy(&n, b->at + offset, sizeof(n));
	n = n > most && n <= limit ? n % (most + 1) : n;
	memcpy(b->at + offset, &n, sizeof(n));
}

/* NULL where the size cuts it in two. */
static void put_pointer(block *b, size_t offset, const void *p)
{
	uint32_t size;
	size_t room = b->len > offset ? b->len - offset : 0;

	memcpy(&size, b->at, sizeof(size));
	if (room)
		memset(b->at + offset, 0, room < sizeof(p) ? room : sizeof(p));
	if (size >= offset + sizeof(p))
		memcpy(b->at + offset, &p, sizeof(p));
}

/* 1: it was accepted. */
static int is_answered(int status, const void *made, const pmz_why *why)
{
	must(status == PMZ_OK || status == PMZ_E_CONFIG);
	must((status == PMZ_OK) == (made != NULL));
	if (status == PMZ_OK)
		return 1;
	must(why->field[0] && memchr(why->field, '\0', sizeof(why->field)));
	must(why->text[0] && memchr(why->text, '\0', sizeof(why->text)));
	return 0;
}

static void *place_for(size_t size)
{
	size_t room = (size + PLACE_ALIGN - 1) / PLACE_ALIGN * PLACE_ALIGN;
	void *mem = aligned_alloc(PLACE_ALIGN, room);

	must(size && mem);
	memset(mem, 0, room);
	return mem;
}

static void use_breaker(pmz_breaker *b)
{
	pmz_breaker_stats stats = { .size = sizeof(stats) };
	pmz_permit permit;
	size_t i;

	for (i = 0; i < TIMES * 8; i++) {
		pmz_ns now = times[i % TIMES];

		if (pmz_breaker_acquire(b, now, &permit, NULL) == PMZ_OK)
			must(!pmz_breaker_settle(
				b, &permit, (pmz_outcome)(i % 5 + 1), now));
	}
	must(!pmz_breaker_read(b, PMZ_S(7), &stats));
	must(!stats.probes_out && !stats.misused);
}

static void try_breaker(block *b)
{
	const pmz_breaker_config *cfg = (const void *)b->at;
	pmz_breaker *made = NULL, *placed = NULL;
	pmz_why why;
	int st;
	void *mem;

	cap(b, offsetof(pmz_breaker_config, calls_window), CALLS_MAX,
	    CALLS_LIMIT);
	st = pmz_breaker_new(&made, cfg, &why);
	if (!is_answered(st, made, &why))
		return;
	use_breaker(made);
	must(!pmz_breaker_set(made, cfg, PMZ_S(8), NULL));
	pmz_breaker_free(made);
	mem = place_for(pmz_breaker_size(cfg));
	must(!pmz_breaker_place(&placed, mem, pmz_breaker_size(cfg), cfg,
	                        NULL));
	use_breaker(placed);
	free(mem);
}

static void use_bulkhead(pmz_bulkhead *h)
{
	pmz_permit permit;

	must(!pmz_bulkhead_acquire(h, 0, &permit));
	must(!pmz_bulkhead_settle(h, &permit, PMZ_SUCCESS, PMZ_NEVER));
}

static void try_bulkhead(block *b)
{
	const pmz_bulkhead_config *cfg = (const void *)b->at;
	pmz_bulkhead *made = NULL, *placed = NULL;
	pmz_why why;
	int st;
	void *mem;

	st = pmz_bulkhead_new(&made, cfg, &why);
	if (!is_answered(st, made, &why))
		return;
	use_bulkhead(made);
	pmz_bulkhead_free(made);
	mem = place_for(pmz_bulkhead_size(cfg));
	must(!pmz_bulkhead_place(&placed, mem, pmz_bulkhead_size(cfg), cfg,
	                         NULL));
	use_bulkhead(placed);
	free(mem);
}

static void use_budget(pmz_budget *budget)
{
	size_t i;

	for (i = 0; i < TIMES; i++) {
		pmz_budget_deposit(budget, times[i]);
		if (pmz_budget_withdraw(budget, times[i]) == PMZ_OK)
			pmz_budget_refund(budget);
	}
}

static void try_budget(block *b)
{
	const pmz_budget_config *cfg = (const void *)b->at;
	pmz_budget *made = NULL, *placed = NULL;
	pmz_why why;
	int st;
	void *mem;

	st = pmz_budget_new(&made, cfg, &why);
	if (!is_answered(st, made, &why))
		return;
	use_budget(made);
	pmz_budget_free(made);
	mem = place_for(pmz_budget_size(cfg));
	must(!pmz_budget_place(&placed, mem, pmz_budget_size(cfg), cfg, NULL));
	use_budget(placed);
	free(mem);
}

static void try_keyed(block *b)
{
	pmz_keyed *made = NULL;
	pmz_rate rate;
	pmz_why why;
	int st;
	pmz_ns at;
	size_t i;

	cap(b, offsetof(pmz_keyed_config, keys_max), KEYS_MAX, UINT32_MAX);
	st = pmz_keyed_new(&made, (const void *)b->at, &why);
	if (!is_answered(st, made, &why))
		return;
	must(!pmz_rate_set(&rate, 3, PMZ_S(1), 2));
	for (i = 0; i < TIMES * 8; i++)
		if (!pmz_keyed_take(made, &rate, &i, sizeof(i), i % 4,
		                    times[i % TIMES], &at))
			pmz_keyed_refund(made, &rate, &i, sizeof(i), i % 4,
			                 times[i % TIMES], PMZ_S(6));
	pmz_keyed_free(made);
}

static void use_balance(pmz_balance *balance)
{
	pmz_pick pick;
	size_t i;

	if (pmz_balance_add(balance, "a", 1, 0, NULL) ||
	    pmz_balance_add(balance, "b", 3, 0, NULL))
		return;
	for (i = 0; i < TIMES * 8; i++)
		if (!pmz_balance_pick(balance, NULL, times[i % TIMES], &pick))
			must(!pmz_balance_settle(balance, &pick,
			                         (pmz_outcome)(i % 5 + 1),
			                         times[i % TIMES]));
}

static void try_balance(block *b)
{
	pmz_balance *made = NULL;
	pmz_why why;
	int st;

	cap(b, offsetof(pmz_balance_config, endpoints_max), ENDPOINTS_MAX,
	    ENDPOINTS_LIMIT);
	st = pmz_balance_new(&made, (const void *)b->at, &why);
	if (!is_answered(st, made, &why))
		return;
	use_balance(made);
	pmz_balance_free(made);
}

/* The last byte has the weights too. */
static void try_ring(block *b)
{
	const pmz_node nodes[] = { { "a:1", b->at[b->len - 1] % 4u, 0 },
		                   { "b:1", b->at[b->len - 1] / 64u, 0 },
		                   { "c:11211", 1, 0 } };
	pmz_ring *made = NULL;
	uint32_t at, replicas[3];
	pmz_why why;
	int st;

	cap(b, offsetof(pmz_ring_config, points), RING_MAX / 10, UINT32_MAX);
	cap(b, offsetof(pmz_ring_config, table_size), RING_MAX, UINT32_MAX);
	cap(b, offsetof(pmz_ring_config, size_min), RING_MAX, UINT32_MAX);
	cap(b, offsetof(pmz_ring_config, size_max), RING_MAX, UINT32_MAX);
	st = pmz_ring_new(&made, (const void *)b->at, nodes, 3, &why);
	/* A layout that needs MD5, in a build without. */
	if (st == PMZ_E_ABSENT || !is_answered(st, made, &why))
		return;
	must(!pmz_ring_find(made, "key", 3, &at) && at < 3);
	must(pmz_ring_replicas(made, "key", 3, replicas, 3) <= 3);
	pmz_ring_free(made);
}

static void try_backoff(block *b)
{
	const pmz_backoff_rule *rule = (const void *)b->at;
	pmz_backoff backoff;
	int status = pmz_backoff_start(&backoff, rule, 0, 7);
	pmz_ns at;
	size_t i;

	must(status == PMZ_OK || status == PMZ_E_CONFIG);
	for (i = 0; status == PMZ_OK && i < TIMES * 4; i++) {
		pmz_ns now = times[i % TIMES];

		if (pmz_backoff_next(&backoff, now, times[i % 3], &at))
			break;
		must(at >= now);
	}
}

static void try_rate(block *b)
{
	pmz_bucket bucket = PMZ_BUCKET_INIT;
	uint64_t n[4] = { 0 };
	pmz_rate rate;
	pmz_ns at = 0;
	size_t i;

	memcpy(n, b->at, b->len < sizeof(n) ? b->len : sizeof(n));
	n[3] += !n[3];
	if (pmz_rate_set(&rate, n[0], n[1], n[2]))
		return;
	for (i = 0; i < TIMES; i++) {
		pmz_ns now = times[i];
		uint64_t left = pmz_bucket_left(&bucket, &rate, now);
		int status = pmz_bucket_take(&bucket, &rate, n[3], now, &at);

		must(status == PMZ_OK || status == PMZ_REFUSED_RATE);
		/* At the clock's end none is granted. */
		must(status == PMZ_OK ? n[3] <= left
		                      : n[3] > left || i == TIMES - 1);
		must(left <= n[2] || !n[2]);
	}
}

static void try_pipe(block *b)
{
	pmz_bulkhead *bulkhead = NULL;
	pmz_pipe *made = NULL;
	pmz_call call;
	pmz_why why;
	int st;

	must(!pmz_bulkhead_new(&bulkhead, NULL, NULL));
	put_pointer(b, offsetof(pmz_pipe_config, breaker), NULL);
	put_pointer(b, offsetof(pmz_pipe_config, bulkhead), bulkhead);
	put_pointer(b, offsetof(pmz_pipe_config, bucket), NULL);
	put_pointer(b, offsetof(pmz_pipe_config, rate), NULL);
	put_pointer(b, offsetof(pmz_pipe_config, budget), NULL);
	put_pointer(b, offsetof(pmz_pipe_config, backoff), NULL);
	put_pointer(b, offsetof(pmz_pipe_config, balance), NULL);
	st = pmz_pipe_new(&made, (const void *)b->at, &why);
	if (is_answered(st, made, &why)) {
		if (pmz_call_begin(&call, made, NULL, PMZ_S(1)) != PMZ_DONE)
			pmz_call_cancel(&call, PMZ_S(1));
		pmz_pipe_free(made);
	}
	pmz_bulkhead_free(bulkhead);
}

static void try_locks(block *b)
{
	static const char *const where[] = { "memory:", "memory:", "memory:" };
	pmz_locks *made = NULL;
	pmz_why why;
	int st;

	put_pointer(b, offsetof(pmz_locks_config, backoff), NULL);
	st = pmz_locks_open(&made, where, 1 + b->len % 3, (const void *)b->at,
	                    &why);
	if (is_answered(st, made, &why))
		pmz_locks_close(made);
}

/* The backoff is what lies behind the rules. */
static void try_lock_rules(block *b)
{
	static const uint64_t seed[2] = { 1, 2 };
	size_t behind = sizeof(pmz_lock_rules);
	block rest = { NULL, 0 };
	pmz_lock_op op;
	pmz_why why;
	int st;

	if (b->len >= behind + sizeof(uint32_t))
		rest = block_of(b->at + behind, b->len - behind);
	cap(b, 0, (uint32_t)(b->len < behind ? b->len : behind), UINT32_MAX);
	put_pointer(b, offsetof(pmz_lock_rules, backoff), rest.at);
	st = pmz_lock_op_acquire(&op, (const void *)b->at, "n", PMZ_S(9), 0,
	                         seed, 0, &why);
	is_answered(st, st ? NULL : &op, &why);
	free(rest.at);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const guards[])(block *) = {
		try_breaker, try_bulkhead, try_budget,     try_keyed,
		try_balance, try_ring,     try_backoff,    try_rate,
		try_pipe,    try_locks,    try_lock_rules,
	};
	block b;

	if (size < 1 + sizeof(uint32_t))
		return 0;
	b = block_of(data + 1, size - 1);
	guards[data[0] % (sizeof(guards) / sizeof(*guards))](&b);
	free(b.at);
	return 0;
}
