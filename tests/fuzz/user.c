/*
 * user.c - locks over hiredis connections of a user's own, blocking and on an
 * event loop, before servers that do what the input says.
 *
 * The first byte chooses the way and the number of nodes. The machine's clock
 * is the input's, and so is a wait: there the next deeds happen, and once they
 * are used up, the wait lasts as long as it was to.
 */
#include "net.h"

#include <fcntl.h>
#include <hiredis/async.h>
#include <hiredis/hiredis.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>

#include <pipemaze/edge.h>
#include <pipemaze/lock_hiredis.h>

#define NODES_MAX 3
#define CALLS_MAX 30
#define DEEDS_MAX 150
#define POLLS_MAX 20000
#define TTL PMZ_S(5)

static struct play {
	bytes b;
	pmz_ns now; /* 0: the clock is the machine's */
	unsigned polls;
	unsigned nodes;
	int frees_all;
	redisContext *c[NODES_MAX];
	redisAsyncContext *ac[NODES_MAX];
	redisReader *counted[NODES_MAX]; /* reads what that has read */
	pmz_lock_async *async;           /* NULL: nothing is begun */
	pmz_lock_op *op;
	pmz_lease lease;
	uint64_t begun;
} t;

NET_INSTEAD int clock_gettime(clockid_t clock, struct timespec *out)
{
	if (!t.now || clock == CLOCK_REALTIME)
		return (int)syscall(SYS_clock_gettime, clock, out);
	out->tv_sec = (time_t)(t.now / PMZ_S(1));
	out->tv_nsec = (long)(t.now % PMZ_S(1));
	return 0;
}

static void server_deed(void)
{
	if (bytes_below(&t.b, 4))
		net_deed(&t.b);
	else
		t.now = bytes_now(&t.b, t.now, 0);
}

NET_INSTEAD int ppoll(struct pollfd *fds, nfds_t count,
                      const struct timespec *span, const sigset_t *mask)
{
	int is_over = !t.b.left;
	int ready;

	(void)mask;
	must(t.polls++ < POLLS_MAX);
	if (!is_over)
		server_deed();
	ready = poll(fds, count, 0);
	if (!ready && is_over)
		t.now += PMZ_S(span->tv_sec) + (pmz_ns)span->tv_nsec;
	return ready;
}

static int begin_op(unsigned kind)
{
	const uint64_t seed[2] = { ++t.begun, 7 };
	pmz_lock_rules rules = { .size = sizeof(rules), .nodes = t.nodes };
	pmz_ns now = pmz_now();

	if (kind == 1 && t.lease.token[0])
		return pmz_lock_op_extend(t.op, &rules, &t.lease, TTL, now,
		                          NULL);
	if (kind == 2 && t.lease.token[0])
		return pmz_lock_op_release(t.op, &rules, &t.lease, now, NULL);
	if (kind == 3)
		return pmz_lock_op_peek(t.op, &rules, "n", now, NULL);
	return pmz_lock_op_acquire(t.op, &rules, "n", TTL, now + PMZ_S(1), seed,
	                           now, NULL);
}

static void keep(const pmz_lease *lease)
{
	must(memchr(lease->token, '\0', sizeof(lease->token)));
	/* That of a peek is another's. */
	if (strspn(lease->token, "0123456789abcdef") == 32)
		t.lease = *lease;
}

static void end_op(void)
{
	pmz_lease lease;

	must(pmz_lock_op_end(t.op, &lease, NULL) != PMZ_E_STATE);
	keep(&lease);
}

/* Blocking. */

static void dial_again(unsigned i)
{
	if (t.c[i])
		redisFree(t.c[i]);
	t.c[i] = redisConnectUnix("/");
	must(t.c[i]);
}

static int run_op(unsigned kind, pmz_why *why)
{
	pmz_lock_op op;
	int st;

	t.op = &op;
	must(!begin_op(kind));
	st = pmz_lock_hiredis_run(t.c, t.nodes, &op, why);
	if (!st)
		end_op();
	return st;
}

static int call(unsigned kind)
{
	pmz_lease other;
	pmz_why why;

	switch (kind) {
	case 4:
		return pmz_lock_hiredis_extend(t.c, t.nodes, NULL, &t.lease,
		                               TTL, &why);
	case 5:
		return pmz_lock_hiredis_release(t.c, t.nodes, NULL, &t.lease,
		                                &why);
	case 6:
		return pmz_lock_hiredis_peek(t.c, t.nodes, NULL, "n", &other,
		                             &why);
	default:
		return run_op(kind, &why);
	}
}

/* Nothing is under way on one that works, and it is set as it was. */
static void is_given_back(const redisContext *c)
{
	must(!(fcntl(c->fd, F_GETFL) & O_NONBLOCK) || c->err);
	must(c->flags & REDIS_BLOCK);
	must(c->err || !c->obuf || !*c->obuf);
}

static void block(void)
{
	unsigned i, n;

	for (i = 0; i < t.nodes; i++)
		dial_again(i);
	for (n = 0; n < CALLS_MAX && t.b.left; n++) {
		unsigned how = bytes_8(&t.b);
		int refused = call(how % 7) == PMZ_E_STATE;

		for (i = 0; i < t.nodes; i++) {
			is_given_back(t.c[i]);
			if (refused || (t.c[i]->err && how >> (4 + i) & 1))
				dial_again(i);
		}
		net_deed(&t.b);
	}
	for (i = 0; i < t.nodes; i++)
		redisFree(t.c[i]);
}

/* On an event loop. */

static void count_anew(unsigned i)
{
	if (t.counted[i])
		redisReaderFree(t.counted[i]);
	t.counted[i] = NULL;
}

static void gone(const redisAsyncContext *ac, int status)
{
	unsigned i;

	(void)status;
	for (i = 0; i < t.nodes; i++)
		if (t.ac[i] == ac) {
			t.ac[i] = NULL;
			if (t.async)
				pmz_lock_async_use(t.async, i, NULL);
		}
}

static void connect_again(unsigned i)
{
	if (t.ac[i])
		redisAsyncFree(t.ac[i]);
	count_anew(i);
	t.ac[i] = redisAsyncConnectUnix("/");
	t.counted[i] = redisReaderCreate();
	must(t.ac[i] && t.counted[i]);
	redisAsyncSetDisconnectCallback(t.ac[i], gone);
	if (t.async)
		pmz_lock_async_use(t.async, i, t.ac[i]);
}

static void free_contexts(void)
{
	unsigned i;

	for (i = 0; i < t.nodes; i++) {
		redisAsyncContext *ac = t.ac[i];

		t.ac[i] = NULL;
		if (t.async)
			pmz_lock_async_use(t.async, i, NULL);
		if (ac)
			redisAsyncFree(ac);
		count_anew(i);
	}
}

static void let_go(void)
{
	free(t.async);
	free(t.op);
	t.async = NULL;
	t.op = NULL;
}

/* Whatever may be freed in it is. */
static void told(pmz_lock_async *async, int done, void *ctx)
{
	must(async == t.async && ctx == &t);
	must(done == pmz_lock_async_is_done(async));
	if (!done)
		return;
	end_op();
	let_go();
	if (t.frees_all)
		free_contexts();
}

static void begin(unsigned kind)
{
	if (t.async)
		return;
	t.async = malloc(sizeof(*t.async));
	t.op = malloc(sizeof(*t.op));
	must(t.async && t.op && !begin_op(kind));
	must(!pmz_lock_async_start(t.async, t.ac, t.nodes, t.op, pmz_now(),
	                           told, &t));
}

static void forget(void)
{
	if (!t.async)
		return;
	pmz_lock_async_forget(t.async);
	must(pmz_lock_async_due(t.async) == PMZ_NEVER);
	let_go();
}

static void go_on_when_due(void)
{
	pmz_ns due = t.async ? pmz_lock_async_due(t.async) : PMZ_NEVER;

	if (due == PMZ_NEVER)
		return;
	t.now = due > t.now ? due : t.now;
	pmz_lock_async_go_on(t.async, pmz_now());
}

static unsigned answers_out(const redisAsyncContext *ac)
{
	const redisCallback *one;
	unsigned n = 0;

	for (one = ac->replies.head; one; one = one->next)
		n++;
	return n;
}

static unsigned answers_in(redisReader *reader, const char *text, size_t len)
{
	void *reply = NULL;
	unsigned n = 0;

	redisReaderFeed(reader, text, len);
	while (redisReaderGetReply(reader, &reply) == REDIS_OK && reply) {
		freeReplyObject(reply);
		n++;
	}
	return n;
}

/* hiredis itself aborts on an answer to nothing. */
static int may_read(unsigned i)
{
	char text[16384];
	ssize_t n = recv(t.ac[i]->c.fd, text, sizeof(text),
	                 MSG_PEEK | MSG_DONTWAIT);

	if (n <= 0)
		return n == 0;
	return answers_in(t.counted[i], text, (size_t)n) <=
	       answers_out(t.ac[i]);
}

/* As an adapter for hiredis does. */
static void turn(unsigned i)
{
	struct pollfd p = { -1, POLLIN, 0 };

	if (t.ac[i] && !t.ac[i]->err)
		redisAsyncHandleWrite(t.ac[i]);
	if (!t.ac[i] || t.ac[i]->err)
		return;
	p.fd = t.ac[i]->c.fd;
	if (poll(&p, 1, 0) <= 0)
		return;
	if (may_read(i))
		redisAsyncHandleRead(t.ac[i]);
	else
		connect_again(i);
}

static void do_one(void)
{
	unsigned deed = bytes_8(&t.b), i = (deed >> 4) % t.nodes;

	switch (deed & 15) {
	case 0:
	case 1:
		begin(deed >> 4 & 3);
		break;
	case 2:
		forget();
		break;
	case 3:
		if (t.async)
			pmz_lock_async_cancel(t.async, pmz_now());
		break;
	case 4:
		connect_again(i);
		break;
	case 5:
		if (t.ac[i])
			redisAsyncCommand(t.ac[i], NULL, NULL, "PING");
		break;
	case 6:
		go_on_when_due();
		break;
	default:
		server_deed();
	}
}

static void loop(void)
{
	unsigned i, n;

	for (i = 0; i < t.nodes; i++)
		connect_again(i);
	begin(0);
	for (n = 0; n < DEEDS_MAX && t.b.left; n++) {
		do_one();
		for (i = 0; i < t.nodes; i++)
			turn(i);
	}
	for (n = 0; t.async; n++) {
		must(n < POLLS_MAX);
		must(pmz_lock_async_due(t.async) != PMZ_NEVER);
		go_on_when_due();
	}
	free_contexts();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	bytes b = { data, size };
	unsigned how = bytes_8(&b);

	memset(&t, 0, sizeof(t));
	t.b = b;
	t.now = PMZ_S(1000);
	t.nodes = 1 + (how >> 1) % NODES_MAX;
	t.frees_all = how >> 4 & 1;
	net_open();
	signal(SIGPIPE, how & 1 ? SIG_DFL : SIG_IGN);
	if (how & 1)
		block();
	else
		loop();
	net_close();
	t.now = 0;
	return 0;
}
