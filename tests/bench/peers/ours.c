/*
 * ours.c - the rows of the library, through its .so as a user links it.
 *
 * Where a peer is handed the time, so are we; its `now` is then a number that
 * goes up. Where a peer reads the clock itself, we read ours, the fast one, as
 * often as our headers say that a caller does: these rows end in _timed. What
 * ends in @N is ours alone, and shows how the cost grows.
 *
 * The rates, rests and leases are chosen such that none of them ends or runs
 * out while the benchmark lasts.
 */
#include "harness.h"

#include <stdlib.h>

#include <pipemaze/lock.h>

#include "redis.h"

#define KEY_BURST 1000000
#define ENDPOINTS 32 /* more than 16: the better of two, as the peer */
#define LOCK_TTL PMZ_S(30)

static pmz_rate busy_rate, hourly_rate, one_an_hour;
static pmz_bulkhead *bulkhead, *full_bulkhead;
static pmz_breaker *breaker, *given, *open_breaker;
static pmz_backoff fresh_tries;
static pmz_balance *balance;
static pmz_locks *locks;
static kit_redis *server;

static struct tap busy = { .rate = &busy_rate };
static struct tap timed = { .rate = &busy_rate };
static struct tap empty = { .rate = &one_an_hour };

/* Made when first asked for: the last ones are large. */
struct table {
	uint32_t keys;
	const pmz_rate *rate;
	pmz_keyed *keyed;
};

struct placed {
	uint32_t nodes;
	pmz_ring_layout layout;
	pmz_ring *ring;
};

struct window {
	uint32_t calls;
	pmz_breaker *breaker;
};

static struct table allowing = { 1000, &hourly_rate, NULL };
static struct table refusing = { 1000, &one_an_hour, NULL };
static struct table tables[] = {
	{ 1000, &hourly_rate, NULL },
	{ 10000, &hourly_rate, NULL },
	{ 100000, &hourly_rate, NULL },
	{ 1000000, &hourly_rate, NULL },
};
static struct placed rings[] = {
	{ 10, PMZ_RING_NATIVE, NULL },     { 100, PMZ_RING_NATIVE, NULL },
	{ 1000, PMZ_RING_NATIVE, NULL },   { 10000, PMZ_RING_NATIVE, NULL },
	{ 100000, PMZ_RING_NATIVE, NULL },
};
static struct placed ketamas[] = {
	{ 10, PMZ_RING_LIBMEMCACHED, NULL },
	{ 100, PMZ_RING_LIBMEMCACHED, NULL },
};
static uint32_t shards[] = { 10, 100, 1000 };
static struct window windows[] = {
	{ 100, NULL },    { 1000, NULL },    { 10000, NULL },
	{ 100000, NULL }, { 1000000, NULL },
};

static int take_key(const struct table *t, uint64_t key, pmz_ns now)
{
	return pmz_keyed_take(t->keyed, t->rate, &key, sizeof(key), 1, now,
	                      NULL);
}

static void make_table(struct table *t)
{
	pmz_keyed_config config = { .size = sizeof(config),
		                    .keys_max = t->keys + t->keys / 4,
		                    .hash_key = { 1, 2 } };

	must(pmz_keyed_new(&t->keyed, &config, NULL), "keyed");
}

/* Its keys are there, and have taken one token each. */
static const struct table *table_of(void *what, pmz_ns now)
{
	struct table *t = what;
	uint64_t key;

	if (t->keyed)
		return t;
	make_table(t);
	for (key = 0; key < t->keys; key++)
		must(take_key(t, key, now), "keyed");
	return t;
}

static uint64_t take_by_number(void *what, struct lane *lane, uint64_t n)
{
	const struct table *t = table_of(what, lane->now);
	uint64_t wrong = 0;

	for (; n; n--)
		wrong += take_key(t, lane->drawn++ % t->keys, tick(lane)) !=
		         PMZ_OK;
	return wrong;
}

static uint64_t take_by_key(const struct table *t, struct lane *lane,
                            uint64_t n, int expected)
{
	uint64_t wrong = 0;

	for (; n; n--)
		wrong += pmz_keyed_take(t->keyed, t->rate,
		                        keys[lane->drawn++ % t->keys], KEY_LEN,
		                        1, read_fast(lane), NULL) != expected;
	return wrong;
}

static uint64_t take_by_key_timed(void *what, struct lane *lane, uint64_t n)
{
	return take_by_key(what, lane, n, PMZ_OK);
}

static uint64_t refuse_by_key_timed(void *what, struct lane *lane, uint64_t n)
{
	return take_by_key(what, lane, n, PMZ_REFUSED_RATE);
}

static uint64_t pair_window(void *what, struct lane *lane, uint64_t n)
{
	struct window *w = what;
	pmz_breaker_config config = { .size = sizeof(config),
		                      .calls_window = w->calls };

	if (!w->breaker)
		must(pmz_breaker_new(&w->breaker, &config, NULL), "window");
	return pair_breaker(&w->breaker, lane, n);
}

static uint64_t ask_open_timed(void *what, struct lane *lane, uint64_t n)
{
	uint64_t wrong = 0;
	pmz_permit permit;

	(void)what;
	for (; n; n--)
		wrong += pmz_breaker_acquire(open_breaker, read_fast(lane),
		                             &permit, NULL) != PMZ_REFUSED_OPEN;
	return wrong;
}

static uint64_t ask_full(void *what, struct lane *lane, uint64_t n)
{
	uint64_t wrong = 0;
	pmz_permit permit;

	(void)what;
	for (; n; n--)
		wrong += pmz_bulkhead_acquire(full_bulkhead, tick(lane),
		                              &permit) != PMZ_REFUSED_FULL;
	return wrong;
}

static pmz_ring *ring_of(void *what)
{
	struct placed *p = what;
	pmz_ring_config config = { .size = sizeof(config),
		                   .layout = p->layout };
	pmz_node *nodes;
	pmz_why why;
	uint32_t i;

	if (p->ring)
		return p->ring;
	nodes = calloc(p->nodes, sizeof(*nodes));
	for (i = 0; nodes && i < p->nodes; i++)
		nodes[i] = (pmz_node){ names[i], 1, 0 };
	if (!nodes || pmz_ring_new(&p->ring, &config, nodes, p->nodes, &why))
		give_up("ring", nodes ? why.text : "no memory");
	free(nodes);
	return p->ring;
}

static uint64_t find_key(void *what, struct lane *lane, uint64_t n)
{
	const pmz_ring *ring = ring_of(what);
	uint64_t wrong = 0;
	uint32_t node;

	for (; n; n--)
		wrong += pmz_ring_find(ring, keys[lane->drawn++ % KEYS],
		                       KEY_LEN, &node) != PMZ_OK;
	return wrong;
}

static uint64_t find_spread(void *what, struct lane *lane, uint64_t n)
{
	pmz_ring *ring = ring_of(what);

	return find_hash(&ring, lane, n);
}

static uint64_t jump(void *what, struct lane *lane, uint64_t n)
{
	uint32_t count = *(const uint32_t *)what;
	uint64_t wrong = 0;

	for (; n; n--)
		wrong += pmz_jump(++lane->drawn * SPREAD, count) >= count;
	return wrong;
}

static uint64_t cycle_lock(void *what, struct lane *lane, uint64_t n)
{
	uint64_t wrong = 0;
	pmz_lease lease;

	(void)what;
	(void)lane;
	for (; n; n--) {
		wrong += pmz_lock_acquire(locks, "ours", LOCK_TTL, 0, &lease,
		                          NULL) != PMZ_OK;
		wrong += pmz_lock_release(locks, &lease) != PMZ_OK;
	}
	return wrong;
}

const struct entry ours[] = {
	{ "bucket_take", OURS, 1, take_token, &busy, NULL },
	{ "bucket_refused", OURS, 1, take_no_token, &empty, NULL },
	{ "bucket_take_2t", OURS, 2, take_token, &busy, NULL },
	{ "bucket_take_timed", OURS, 1, take_token_timed, &timed, NULL },
	{ "bucket_refused_timed", OURS, 1, take_no_token_timed, &empty, NULL },
	{ "bucket_take_timed_2t", OURS, 2, take_token_timed, &timed, NULL },
	{ "keyed_take_timed", OURS, 1, take_by_key_timed, &allowing, NULL },
	{ "keyed_refused_timed", OURS, 1, refuse_by_key_timed, &refusing,
	  NULL },
	{ "breaker_pair_timed", OURS, 1, pair_breaker_timed, &breaker, NULL },
	{ "breaker_refused_timed", OURS, 1, ask_open_timed, NULL, NULL },
	{ "bulkhead_pair", OURS, 1, pair_bulkhead, &bulkhead, NULL },
	{ "bulkhead_refused", OURS, 1, ask_full, NULL, NULL },
	{ "bulkhead_pair_2t", OURS, 2, pair_bulkhead, &bulkhead, NULL },
	{ "backoff_next", OURS, 1, draw_wait, &fresh_tries, NULL },
	{ "ring_find_10", OURS, 1, find_key, &rings[0], NULL },
	{ "ring_find_100", OURS, 1, find_key, &rings[1], NULL },
	{ "ring_find_1000", OURS, 1, find_key, &rings[2], NULL },
	{ "ketama_find_10", OURS, 1, find_key, &ketamas[0], NULL },
	{ "ketama_find_100", OURS, 1, find_key, &ketamas[1], NULL },
	{ "jump_10", OURS, 1, jump, &shards[0], NULL },
	{ "jump_100", OURS, 1, jump, &shards[1], NULL },
	{ "jump_1000", OURS, 1, jump, &shards[2], NULL },
	{ "pick_settle", OURS, 1, pick_and_settle, &balance, NULL },
	{ "lock_cycle", OURS, 1, cycle_lock, NULL, NULL },
	{ "threads_bucket@1", OURS, 1, take_token, &busy, NULL },
	{ "threads_bucket@2", OURS, 2, take_token, &busy, NULL },
	{ "threads_breaker@1", OURS, 1, pair_breaker, &given, NULL },
	{ "threads_breaker@2", OURS, 2, pair_breaker, &given, NULL },
	{ "threads_bulkhead@1", OURS, 1, pair_bulkhead, &bulkhead, NULL },
	{ "threads_bulkhead@2", OURS, 2, pair_bulkhead, &bulkhead, NULL },
	{ "keys@1000", OURS, 1, take_by_number, &tables[0], NULL },
	{ "keys@10000", OURS, 1, take_by_number, &tables[1], NULL },
	{ "keys@100000", OURS, 1, take_by_number, &tables[2], NULL },
	{ "keys@1000000", OURS, 1, take_by_number, &tables[3], NULL },
	{ "nodes@10", OURS, 1, find_spread, &rings[0], NULL },
	{ "nodes@100", OURS, 1, find_spread, &rings[1], NULL },
	{ "nodes@1000", OURS, 1, find_spread, &rings[2], NULL },
	{ "nodes@10000", OURS, 1, find_spread, &rings[3], NULL },
	{ "nodes@100000", OURS, 1, find_spread, &rings[4], NULL },
	{ "window@100", OURS, 1, pair_window, &windows[0], NULL },
	{ "window@1000", OURS, 1, pair_window, &windows[1], NULL },
	{ "window@10000", OURS, 1, pair_window, &windows[2], NULL },
	{ "window@100000", OURS, 1, pair_window, &windows[3], NULL },
	{ "window@1000000", OURS, 1, pair_window, &windows[4], NULL },
};
const unsigned ours_count = sizeof(ours) / sizeof(*ours);

static void prepare_rates(void)
{
	/* No whole number of ns, and less than is taken: the longest way. */
	must(pmz_rate_set(&busy_rate, 3000000, PMZ_S(1), 1000000000), "rate");
	must(pmz_rate_set(&hourly_rate, 1, PMZ_S(3600), KEY_BURST), "rate");
	must(pmz_rate_set(&one_an_hour, 1, PMZ_S(360000), 1), "rate");
	must(pmz_bucket_take(&empty.bucket, &one_an_hour, 1, pmz_now(), NULL),
	     "bucket_refused");
}

static void prepare_keyed(void)
{
	unsigned i;

	make_table(&allowing);
	make_table(&refusing);
	for (i = 0; i < refusing.keys; i++)
		must(pmz_keyed_take(refusing.keyed, &one_an_hour, keys[i],
		                    KEY_LEN, 1, pmz_now(), NULL),
		     "keyed_refused");
}

static void prepare_breakers(void)
{
	must(pmz_breaker_new(&breaker, NULL, NULL), "breaker");
	/* Of its own, since its time is not that of the clock. */
	must(pmz_breaker_new(&given, NULL, NULL), "breaker");
	open_breaker = new_open_breaker(pmz_now());
}

static void prepare_bulkheads(void)
{
	pmz_bulkhead_config one = { sizeof(one), 1 };
	pmz_permit permit;

	must(pmz_bulkhead_new(&bulkhead, NULL, NULL), "bulkhead");
	must(pmz_bulkhead_new(&full_bulkhead, &one, NULL), "bulkhead");
	must(pmz_bulkhead_acquire(full_bulkhead, 0, &permit), "bulkhead");
}

static void prepare_balance(void)
{
	pmz_balance_config config = { .size = sizeof(config) };
	int i;

	must(pmz_balance_new(&balance, &config, NULL), "balance");
	for (i = 0; i < ENDPOINTS; i++)
		must(pmz_balance_add(balance, names[i], 1, 0, NULL), "balance");
}

unsigned redis_port(void)
{
	return server ? kit_redis_port(server) : 0;
}

static void prepare_locks(void)
{
	const char *where;

	if (system("command -v redis-server >/dev/null"))
		return;
	server = kit_redis_start(NULL);
	where = kit_redis_address(server);
	must(pmz_locks_open(&locks, &where, 1, NULL, NULL), "lock_cycle");
}

void ours_prepare(void)
{
	fresh_tries = new_tries();
	prepare_rates();
	prepare_keyed();
	prepare_breakers();
	prepare_bulkheads();
	prepare_balance();
	prepare_locks();
}
