/*
 * libevent.c - two workers share one lock, and one thread: libevent's loop,
 * hiredis' connections, pipemaze's protocol.
 *
 *   cc libevent.c $(pkg-config --cflags --libs pipemaze) -lhiredis -levent_core
 *   ./a.out [HOST [PORT]]
 */
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>

#include <hiredis/adapters/libevent.h>
#include <hiredis/async.h>
#include <hiredis/hiredis.h>

#include <pipemaze.h>
#include <pipemaze/lock_hiredis.h>

#define NAME "example:libevent"
#define ROUNDS 5
#define TTL PMZ_S(10)
#define WAIT PMZ_S(20)
#define WORK_MS 20

/* What a worker's timer ends. */
enum phase { ASKING, WORKING };

struct worker {
	const char *name;
	redisAsyncContext *connection;
	struct event *timer;
	enum phase phase;
	unsigned rounds;
	pmz_lock_async async;
	pmz_lock_op op;
	pmz_lease lease;
};

static int inside, overlaps, failures;
static uint64_t highest;

static void acquire(struct worker *w);
static void release(struct worker *w);

static void set_timer(struct worker *w, pmz_ns when)
{
	pmz_ns now = pmz_now(), left = when > now ? when - now : 0;
	struct timeval t = { (time_t)(left / PMZ_S(1)),
		             (suseconds_t)(left % PMZ_S(1) / PMZ_US(1)) };

	if (when == PMZ_NEVER)
		event_del(w->timer);
	else
		event_add(w->timer, &t);
}

static void follow(struct worker *w)
{
	set_timer(w, pmz_lock_async_due(&w->async));
}

static void on_timer(evutil_socket_t fd, short what, void *ctx)
{
	struct worker *w = ctx;

	(void)fd;
	(void)what;
	if (w->phase == WORKING) {
		release(w);
		return;
	}
	/* What this calls may have set the timer to work by already. */
	pmz_lock_async_go_on(&w->async, pmz_now());
	if (!pmz_lock_async_is_done(&w->async))
		follow(w);
}

static void leave(struct worker *w)
{
	if (w->connection)
		redisAsyncDisconnect(w->connection);
}

static void fail(struct worker *w, const char *doing, const pmz_why *why)
{
	fprintf(stderr, "%s, %s: %s\n", w->name, doing, why->text);
	failures++;
	leave(w);
}

static void acquired(pmz_lock_async *a, int done, void *ctx)
{
	struct worker *w = ctx;
	pmz_why why;

	(void)a;
	if (!done) {
		follow(w);
		return;
	}
	if (pmz_lock_op_end(&w->op, &w->lease, &why)) {
		fail(w, "acquiring", &why);
		return;
	}
	overlaps += inside++;
	failures += pmz_fence_check(&highest, w->lease.fence) != PMZ_OK;
	printf("%s works under fence %llu\n", w->name,
	       (unsigned long long)w->lease.fence);
	w->phase = WORKING;
	set_timer(w, pmz_now() + PMZ_MS(WORK_MS));
}

static void released(pmz_lock_async *a, int done, void *ctx)
{
	struct worker *w = ctx;
	pmz_why why;

	(void)a;
	if (!done)
		follow(w);
	else if (pmz_lock_op_end(&w->op, &w->lease, &why))
		fail(w, "releasing", &why);
	else if (++w->rounds < ROUNDS)
		acquire(w);
	else
		leave(w);
}

static void start(struct worker *w, int status, pmz_lock_async_fn fn)
{
	w->phase = ASKING;
	if (!status)
		status = pmz_lock_async_start(&w->async, &w->connection, 1,
		                              &w->op, pmz_now(), fn, w);
	if (status) {
		fprintf(stderr, "%s\n", pmz_status_text(status));
		exit(1);
	}
	follow(w);
}

static void acquire(struct worker *w)
{
	uint64_t seed[2] = { pmz_random(), pmz_random() };
	pmz_ns now = pmz_now();

	start(w,
	      pmz_lock_op_acquire(&w->op, NULL, NAME, TTL, now + WAIT, seed,
	                          now, NULL),
	      acquired);
}

static void release(struct worker *w)
{
	inside--;
	start(w, pmz_lock_op_release(&w->op, NULL, &w->lease, pmz_now(), NULL),
	      released);
}

static void disconnected(const redisAsyncContext *connection, int status)
{
	struct worker *w = connection->data;

	(void)status;
	w->connection = NULL;
	pmz_lock_async_use(&w->async, 0, NULL);
}

static void connected(const redisAsyncContext *connection, int status)
{
	if (status != REDIS_OK)
		disconnected(connection, status);
}

static void begin(struct worker *w, struct event_base *base, const char *host,
                  int port)
{
	w->connection = redisAsyncConnect(host, port);
	w->timer = event_new(base, -1, 0, on_timer, w);
	if (!w->connection || w->connection->err || !w->timer ||
	    redisLibeventAttach(w->connection, base) != REDIS_OK) {
		fprintf(stderr, "no connection to %s:%d\n", host, port);
		exit(1);
	}
	w->connection->data = w;
	redisAsyncSetConnectCallback(w->connection, connected);
	redisAsyncSetDisconnectCallback(w->connection, disconnected);
	acquire(w);
}

int main(int argc, char **argv)
{
	static struct worker one = { .name = "one" }, two = { .name = "two" };
	const char *host = argc > 1 ? argv[1] : "127.0.0.1";
	int port = argc > 2 ? atoi(argv[2]) : 6379;
	struct event_base *base = event_base_new();

	signal(SIGPIPE, SIG_IGN);
	if (!base)
		return 1;
	begin(&one, base, host, port);
	begin(&two, base, host, port);
	event_base_dispatch(base);
	printf("%u rounds, %d overlaps, %d failures\n", one.rounds + two.rounds,
	       overlaps, failures);
	event_free(one.timer);
	event_free(two.timer);
	event_base_free(base);
	return one.rounds + two.rounds != 2 * ROUNDS || overlaps || failures;
}
