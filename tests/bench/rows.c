/*
 * rows.c - what is measured, and that it is what it says.
 *
 * The rates, rests and leases here are chosen such that none of them ends or
 * runs out while the benchmark lasts.
 */
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "locks.h"
#include "nodes.h"

#define KEYS 100000
#define KEYS_MAX 131072
#define KEY_LEN 12
#define KEY_BURST 100000
#define SHARDS 1000
#define BUDGET_FLOOR 100 /* per_second_min over ttl_ns */

#define PIPE_LINE                                                   \
	"breaker 50% over 10s min 20 open 5s..60s | bulkhead 64 | " \
	"rate 3000000/s burst 1000000000 | "                        \
	"tries 3 backoff 100ms..5s jitter full | budget 20% floor 10/s"

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static sem_t semaphore;
static pmz_breaker *breaker, *counting_breaker, *open_breaker;
static pmz_bulkhead *bulkhead;
static pmz_budget *budget;
static pmz_keyed *keyed;
static pmz_pipe *pipe_of_guards, *pipe_of_a_line;
static pmz_backoff fresh_tries;
static pmz_rate busy_rate, hourly_rate;
static pmz_ns ready_at;
static uint64_t keyed_bytes;
static char keys[KEYS][KEY_LEN + 1];

static struct tap busy = { .rate = &busy_rate };
static struct tap timed = { .rate = &busy_rate };
static struct tap piped = { .rate = &busy_rate };
static struct tap empty = { .rate = &hourly_rate, .ready_at = &ready_at };

static uint64_t read_fast_clock(void *what, struct lane *lane, uint64_t n)
{
	uint64_t wrong = 0;

	(void)what;
	for (; n; n--)
		wrong += !read_fast(lane);
	return wrong;
}

static uint64_t take_by_key(void *what, struct lane *lane, uint64_t n)
{
	pmz_keyed **table = what;
	uint64_t wrong = 0;

	for (; n; n--) {
		const char *key = keys[lane->drawn++ % KEYS];

		wrong += pmz_keyed_take(*table, &hourly_rate, key, KEY_LEN, 1,
		                        tick(lane), NULL) != PMZ_OK;
	}
	return wrong;
}

static uint64_t ask_open_breaker(void *what, struct lane *lane, uint64_t n)
{
	pmz_breaker **b = what;
	uint64_t wrong = 0;
	pmz_permit permit;

	for (; n; n--)
		wrong += pmz_breaker_acquire(*b, tick(lane), &permit,
		                             &ready_at) != PMZ_REFUSED_OPEN;
	return wrong;
}

static uint64_t jump_of_1000(void *what, struct lane *lane, uint64_t n)
{
	uint64_t wrong = 0;

	(void)what;
	for (; n; n--)
		wrong += pmz_jump(++lane->drawn * SPREAD, SHARDS) >= SHARDS;
	return wrong;
}

static uint64_t deposit(void *what, struct lane *lane, uint64_t n)
{
	pmz_budget **b = what;

	for (; n; n--)
		pmz_budget_deposit(*b, tick(lane));
	return 0;
}

static uint64_t walk(void *what, struct lane *lane, uint64_t n)
{
	pmz_pipe **pipe = what;
	uint64_t wrong = 0;
	pmz_call call;

	for (; n; n--) {
		wrong += pmz_call_begin(&call, *pipe, NULL, tick(lane)) !=
		         PMZ_TRY;
		wrong += pmz_call_settle(&call, PMZ_SUCCESS, tick(lane)) !=
		         PMZ_DONE;
	}
	return wrong + (pmz_call_status(&call) != PMZ_OK);
}

/* A table that forgot some keys, or is full, took a shorter way. */
static int keys_are_present(void *what, pmz_ns now)
{
	pmz_keyed **table = what;
	pmz_keyed_stats stats;

	stats.size = sizeof(stats);
	return pmz_keyed_read(*table, now, &stats) == PMZ_OK &&
	       stats.busy == KEYS && !stats.full && !stats.refusals;
}

static int has_counted(void *what, pmz_ns now)
{
	pmz_breaker **b = what;
	pmz_breaker_stats stats;

	stats.size = sizeof(stats);
	return pmz_breaker_read(*b, now, &stats) == PMZ_OK &&
	       stats.state == PMZ_CLOSED && stats.calls > 0 && !stats.stale;
}

static int slots_are_back(void *what, pmz_ns now)
{
	pmz_bulkhead **b = what;
	pmz_bulkhead_stats stats;

	(void)now;
	stats.size = sizeof(stats);
	return pmz_bulkhead_read(*b, &stats) == PMZ_OK && !stats.in_use &&
	       stats.admitted > 0;
}

static int pipe_has_called(void *what, pmz_ns now)
{
	(void)what;
	return slots_are_back(&bulkhead, now) && has_counted(&breaker, now);
}

/* Without deposits there would be less than this to withdraw. */
static int budget_has_saved(void *what, pmz_ns now)
{
	pmz_budget **b = what;
	int i;

	for (i = 0; i <= BUDGET_FLOOR; i++)
		if (pmz_budget_withdraw(*b, now) != PMZ_OK)
			return 0;
	return 1;
}

const struct row rows[] = {
	{ "clock", 1, read_clock, NULL, NULL },
	{ "mutex_pair", 1, pair_mutex, &mutex, NULL },
	{ "sem_pair", 1, pair_semaphore, &semaphore, NULL },
	{ "bucket_take", 1, take_token, &busy, NULL },
	{ "now_fast", 1, read_fast_clock, NULL, NULL },
	{ "bucket_take_now_fast", 1, take_token_timed, &timed, NULL },
	{ "bucket_refused", 1, take_no_token, &empty, NULL },
	{ "keyed_take", 1, take_by_key, &keyed, keys_are_present },
	{ "bulkhead_pair", 1, pair_bulkhead, &bulkhead, slots_are_back },
	{ "breaker_pair", 1, pair_breaker, &breaker, has_counted },
	{ "breaker_pair_count", 1, pair_breaker, &counting_breaker,
	  has_counted },
	{ "breaker_refuse", 1, ask_open_breaker, &open_breaker, NULL },
	{ "backoff_next", 1, draw_wait, &fresh_tries, NULL },
	{ "budget_deposit", 1, deposit, &budget, budget_has_saved },
	{ "pipe_call", 1, walk, &pipe_of_guards, pipe_has_called },
	{ "pipe_call_line", 1, walk, &pipe_of_a_line, NULL },
	{ "ring_find_10", 1, find_hash, &ring_of_10, NULL },
	{ "ring_find_100", 1, find_hash, &ring_of_100, NULL },
	{ "ring_find_1000", 1, find_hash, &ring_of_1000, NULL },
	{ "maglev_find", 1, find_hash, &maglev, NULL },
	{ "jump_1000", 1, jump_of_1000, NULL, NULL },
	{ "pick_settle", 1, pick_and_settle, &least, NULL },
	{ "pick_settle_ewma", 1, pick_and_settle, &ewma, NULL },
	{ "lock_is_held", 1, ask_is_held, NULL, NULL },
	{ "bucket_take_2t", 2, take_token, &busy, NULL },
	{ "bulkhead_pair_2t", 2, pair_bulkhead, &bulkhead, slots_are_back },
	{ "breaker_pair_2t", 2, pair_breaker, &breaker, has_counted },
	{ "sem_pair_2t", 2, pair_semaphore, &semaphore, NULL },
	{ "mutex_pair_2t", 2, pair_mutex, &mutex, NULL },
};
const unsigned rows_count = sizeof(rows) / sizeof(*rows);

/* In an order that the table's sets do not follow. */
static void write_keys(void)
{
	uint32_t i, other;
	char key[KEY_LEN + 1];

	srand(1);
	for (i = 0; i < KEYS; i++)
		snprintf(keys[i], sizeof(keys[i]), "client-%05u", i);
	for (i = KEYS - 1; i > 0; i--) {
		other = (uint32_t)rand() % (i + 1);
		memcpy(key, keys[i], sizeof(key));
		memcpy(keys[i], keys[other], sizeof(key));
		memcpy(keys[other], key, sizeof(key));
	}
}

static void prepare_buckets(void)
{
	/* No whole number of ns, and less than is taken: the longest way. */
	must(pmz_rate_set(&busy_rate, 3000000, PMZ_S(1), 1000000000), "rate");
	must(pmz_rate_set(&hourly_rate, 1, PMZ_S(3600), KEY_BURST), "rate");
	must(pmz_bucket_take(&empty.bucket, &hourly_rate, KEY_BURST, 0, NULL),
	     "bucket_refused");
}

static void prepare_keyed(void)
{
	pmz_keyed_config config = { .size = sizeof(config),
		                    .keys_max = KEYS_MAX,
		                    .hash_key = { 1, 2 } };
	uint64_t before = allocated_bytes();
	struct lane lane = { .now = 0 };

	write_keys();
	must(pmz_keyed_new(&keyed, &config, NULL), "pmz_keyed_new");
	keyed_bytes = allocated_bytes() - before;
	if (take_by_key(&keyed, &lane, KEYS))
		give_up("keyed_take", "not every key found a place");
}

static void prepare_breakers(void)
{
	pmz_breaker_config counting = { .size = sizeof(counting),
		                        .calls_window = 100 };

	must(pmz_breaker_new(&breaker, NULL, NULL), "pmz_breaker_new");
	must(pmz_breaker_new(&counting_breaker, &counting, NULL),
	     "pmz_breaker_new");
	open_breaker = new_open_breaker(0);
}

static void prepare_pipes(void)
{
	pmz_backoff_rule rule = { .size = sizeof(rule) };
	pmz_pipe_config config = { .size = sizeof(config),
		                   .breaker = breaker,
		                   .bulkhead = bulkhead,
		                   .bucket = &piped.bucket,
		                   .rate = &busy_rate,
		                   .budget = budget,
		                   .backoff = &rule };
	pmz_why why;

	must(pmz_pipe_new(&pipe_of_guards, &config, NULL), "pmz_pipe_new");
	if (pmz_pipe_from(&pipe_of_a_line, PIPE_LINE, NULL, &why))
		give_up("pipe_call_line", why.text);
}

void rows_prepare(void)
{
	if (sem_init(&semaphore, 0, 64))
		give_up("sem_pair", "no semaphore");
	must(pmz_bulkhead_new(&bulkhead, NULL, NULL), "pmz_bulkhead_new");
	must(pmz_budget_new(&budget, NULL, NULL), "pmz_budget_new");
	fresh_tries = new_tries();
	prepare_buckets();
	prepare_keyed();
	prepare_breakers();
	prepare_pipes();
	nodes_prepare();
}

void rows_print_bytes(void)
{
	printf("bytes bucket %zu\n", sizeof(pmz_bucket));
	printf("bytes breaker %zu\n", pmz_breaker_size(NULL));
	printf("bytes bulkhead %zu\n", pmz_bulkhead_size(NULL));
	printf("bytes budget %zu\n", pmz_budget_size(NULL));
	printf("bytes keyed_key %.1f\n", (double)keyed_bytes / KEYS_MAX);
	printf("bytes call %zu\n", pmz_call_size());
}
