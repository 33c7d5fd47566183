/*
 * resp.c - what a server may send to the connections behind a lock.
 *
 * The bytes come over a real socket of this process, on a clock of the input.
 * The first byte chooses between a server, with or without a login, and the map
 * of a cluster, which is read without a network.
 */
#include "fuzz.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "redis/node.h"
#include "redis/open.h"

#define ENDS 8
#define DEEDS_MAX 150
#define STEPS_MAX 500
#define CONNECT PMZ_MS(100)
#define CHANNEL "$20\r\n__redis__:invalidate\r\n"

static struct server {
	char folder[32];
	char path[64];
	int listener;
} server;

static struct play {
	pmz__node *node;
	pmz__link *link;
	pmz_lock_op op;
	pmz_lock_order order;
	pmz_lock_step step;
	pmz_lease lease;
	pmz_ns now;
	int ends[ENDS]; /* of the server; -1: none */
	unsigned accepted;
	uint64_t ops;
} t;

static void close_server(void)
{
	close(server.listener);
	unlink(server.path);
	rmdir(server.folder);
}

static void open_server(void)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	strcpy(server.folder, "/tmp/pipemaze-fuzz.XXXXXX");
	must(mkdtemp(server.folder));
	snprintf(server.path, sizeof(server.path), "%s/s", server.folder);
	strcpy(at.sun_path, server.path);
	must(!bind(fd, (const struct sockaddr *)&at, sizeof(at)));
	must(!listen(fd, ENDS));
	server.listener = fd;
}

static void accept_all(void)
{
	int fd;

	while ((fd = accept(server.listener, NULL, NULL)) >= 0) {
		int *end = &t.ends[t.accepted++ % ENDS];

		if (*end >= 0)
			close(*end);
		*end = fd;
	}
}

/* The newest but so many. */
static int *an_end(unsigned i)
{
	return &t.ends[(t.accepted - 1 - i) % ENDS];
}

static void say(unsigned i, const void *text, size_t len)
{
	ssize_t n = send(*an_end(i), text, len, MSG_DONTWAIT | MSG_NOSIGNAL);

	(void)n; /* the client may have closed it */
}

static void say_bytes(bytes *b)
{
	unsigned i = bytes_below(b, 4);
	const uint8_t *from;
	size_t len = bytes_take(b, bytes_8(b), &from);

	if (len)
		say(i, from, len);
}

static void say_well(bytes *b)
{
	static const char *const texts[] = {
		"+OK\r\n",
		"$5\r\n1 7 0\r\n",
		"$5\r\n0 0 5\r\n",
		"$9\r\n1 7 5 abcd\r\n",
		":1\r\n",
		":0\r\n",
		"$-1\r\n",
		"*-1\r\n",
		"-NOSCRIPT none\r\n",
		"-MOVED 7 127.0.0.1:7001\r\n",
		"-NOAUTH no\r\n",
		"-LOADING yet\r\n",
		"*3\r\n$9\r\nsubscribe\r\n" CHANNEL ":1\r\n",
		"*3\r\n$7\r\nmessage\r\n" CHANNEL "*1\r\n$6\r\nlock:n\r\n",
	};
	unsigned i = bytes_below(b, 4);
	const char *text = texts[bytes_below(b, 14)];

	say(i, text, strlen(text));
}

static void hang_up(bytes *b)
{
	int *end = an_end(bytes_below(b, 4));

	if (*end >= 0)
		close(*end);
	*end = -1;
}

static void listen_to_what_it_says(bytes *b)
{
	char sink[4096];

	while (recv(*an_end(bytes_below(b, 4)), sink, sizeof(sink),
	            MSG_DONTWAIT) > 0)
		continue;
}

static void begin(unsigned kind)
{
	const uint64_t seed[2] = { ++t.ops, 7 };
	int st;

	if (kind == 1 && t.lease.token[0])
		st = pmz_lock_op_extend(&t.op, NULL, &t.lease, PMZ_S(5), t.now,
		                        NULL);
	else if (kind == 2 && t.lease.token[0])
		st = pmz_lock_op_release(&t.op, NULL, &t.lease, t.now, NULL);
	else if (kind == 3)
		st = pmz_lock_op_peek(&t.op, NULL, "n", t.now, NULL);
	else
		st = pmz_lock_op_acquire(&t.op, NULL, "n", PMZ_S(5),
		                         t.now + PMZ_S(1), seed, t.now, NULL);
	must(st == PMZ_OK);
	t.step = PMZ_LOCK_PAUSE;
}

static void end_op(void)
{
	pmz_lease lease;
	int st = pmz_lock_op_end(&t.op, &lease, NULL);

	must(st != PMZ_E_STATE);
	must(memchr(lease.token, '\0', sizeof(lease.token)));
	/* That of a peek is another's. */
	if (strspn(lease.token, "0123456789abcdef") == 32)
		t.lease = lease;
	t.link->type->forget(t.link, &t.op, t.now);
}

static void ask(void)
{
	unsigned n = 0;

	t.link->type->go_on(t.link, t.now);
	while ((t.step = pmz_lock_op_next(&t.op, t.now, &t.order)) ==
	       PMZ_LOCK_SEND) {
		must(n++ < STEPS_MAX);
		t.link->type->send(t.link, &t.op, &t.order, t.now);
		accept_all();
	}
}

static void hear(void)
{
	pmz__wants wants;
	int st = t.link->type->listen(t.link, "n", t.now);

	must(st == PMZ_OK || st == PMZ_E_STATE || st == PMZ_E_ABSENT);
	accept_all();
	t.link->type->ear_wants(t.link, &wants);
	if (t.link->type->ear_go_on(t.link, t.now))
		pmz_lock_op_wake(&t.op, t.now);
}

static void do_one(bytes *b)
{
	pmz__wants wants;

	switch (bytes_below(b, 12)) {
	case 0:
	case 1:
		say_bytes(b);
		break;
	case 2:
	case 3:
	case 4:
	case 5:
		say_well(b);
		break;
	case 6:
		hang_up(b);
		break;
	case 7:
		listen_to_what_it_says(b);
		break;
	case 8:
		hear();
		break;
	case 9:
		pmz_lock_op_cancel(&t.op, t.now);
		break;
	default:
		t.now = bytes_now(b, t.now, 0);
	}
	t.link->type->wants(t.link, &wants);
}

/* The server says no more. */
static void run_out(void)
{
	unsigned n = 0;

	pmz_lock_op_cancel(&t.op, t.now);
	for (ask(); t.step != PMZ_LOCK_DONE; ask()) {
		must(n++ < STEPS_MAX);
		t.now = t.order.due > t.now ? t.order.due : t.now;
	}
	end_op();
}

static void live(bytes *b)
{
	unsigned i;

	begin(0);
	for (i = 0; i < DEEDS_MAX && b->left; i++) {
		ask();
		if (t.step == PMZ_LOCK_DONE) {
			end_op();
			begin(bytes_below(b, 4));
			ask();
		}
		do_one(b);
	}
	run_out();
}

static void open_link(unsigned how)
{
	char address[128];

	snprintf(address, sizeof(address), "redis+unix://%s%s%s",
	         how & 2 ? "u:p@" : "", server.path, how & 4 ? "?db=3" : "");
	must(!pmz__redis_node_new(&t.node, address, CONNECT, NULL));
	t.link = t.node->type->connect(t.node);
	must(t.link);
}

static void close_link(void)
{
	unsigned i;

	t.link->type->free(t.link);
	t.node->type->free(t.node);
	accept_all();
	for (i = 0; i < ENDS; i++)
		if (t.ends[i] >= 0)
			close(t.ends[i]);
}

static void talk_to_a_server(bytes *b, unsigned how)
{
	unsigned i;

	memset(&t, 0, sizeof(t));
	t.now = PMZ_S(1000);
	for (i = 0; i < ENDS; i++)
		t.ends[i] = -1;
	open_server();
	open_link(how);
	live(b);
	close_link();
	close_server();
}

static void map_is_sound(pmz__redis_node *n)
{
	uint32_t slot, owner;

	for (slot = 0; slot < PMZ__SLOTS; slot += 61) {
		owner = pmz__cluster_owner(n, slot);
		must(owner == PMZ__NO_HOST || owner < pmz__cluster_count(n));
	}
	must(pmz__cluster_count(n) <= PMZ__HOSTS_MAX);
}

/* Each answer is a map, or an address behind a MOVED. */
static void learn(pmz__redis_node *n, const redisReply *reply)
{
	uint32_t host;

	if (reply->type == REDIS_REPLY_STATUS ||
	    reply->type == REDIS_REPLY_STRING) {
		host = pmz__cluster_find(n, reply->str, 0);
		must(host == PMZ__NO_HOST || host < pmz__cluster_count(n));
		if (host != PMZ__NO_HOST)
			pmz__cluster_moved(n, (uint32_t)reply->len, host);
	} else {
		pmz__cluster_learn(n, reply, 0);
	}
	map_is_sound(n);
}

static void read_maps(const bytes *b)
{
	redisReader *reader = redisReaderCreate();
	pmz__node *node;
	void *reply = NULL;

	must(reader);
#ifdef REDIS_READER_MAX_ARRAY_ELEMENTS
	reader->maxelements = 1000;
#endif
	must(!pmz__redis_node_new(&node, "redis+cluster://127.0.0.1:1", CONNECT,
	                          NULL));
	redisReaderFeed(reader, (const char *)b->at, b->left);
	while (redisReaderGetReply(reader, &reply) == REDIS_OK && reply) {
		learn((pmz__redis_node *)node, (const redisReply *)reply);
		freeReplyObject(reply);
		reply = NULL;
	}
	node->type->free(node);
	redisReaderFree(reader);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	bytes b = { data, size };
	unsigned how = bytes_8(&b);

	if (how & 1)
		read_maps(&b);
	else
		talk_to_a_server(&b, how);
	return 0;
}
