/*
 * cluster.c - the connections of a lock to a cluster, whose servers answer with
 * maps, redirections and nonsense, on a clock of the input.
 *
 * Each byte is a deed of a server, of one of a few ops on one link, or of the
 * clock, and those behind it are what it needs.
 */
#include "net.h"

#include "redis/node.h"
#include "redis/open.h"

#define OPS 4
#define DEEDS_MAX 150
#define STEPS_MAX 500
#define RANGES_MAX 48
#define PORT 7000u
#define CONNECT PMZ_MS(100)

typedef struct play_op {
	pmz_lock_op op;
	pmz_lock_order order;
	pmz_lock_step step;
	pmz_lease lease;
	int is_on;
} play_op;

static struct play {
	pmz__redis_node *node;
	pmz__link *link;
	pmz_ns now;
	uint64_t begun;
	play_op ops[OPS];
} t;

static const char *const names[OPS] = { "a", "b", "c", "a" };
static const char *const hosts[] = { "127.0.0.1", "", "name", "xyz" };

static const char *host_of(unsigned n)
{
	return hosts[n % (sizeof(hosts) / sizeof(*hosts))];
}

/* The servers come to be more than a client keeps. */
static void say_map(bytes *b)
{
	unsigned i = bytes_below(b, 8), count = bytes_below(b, RANGES_MAX);
	unsigned at = bytes_8(b), host = bytes_8(b), wide = bytes_8(b);
	char text[RANGES_MAX * 100];
	int len = snprintf(text, sizeof(text), "*%u\r\n", count);
	unsigned n;

	for (n = 0; n < count; n++)
		len += snprintf(text + len, sizeof(text) - (size_t)len,
		                "*3\r\n:%u\r\n:%u\r\n*2\r\n$%zu\r\n%s\r\n"
		                ":%u\r\n",
		                n * 64 * wide, (n + 1) * 64 * wide - 1,
		                strlen(host_of(host)), host_of(host),
		                PORT + at + n);
	net_say(i, text, (size_t)len);
}

static void redirect(bytes *b)
{
	unsigned i = bytes_below(b, 8), how = bytes_8(b), port = bytes_8(b);
	const char *name = names[how >> 1 & (OPS - 1)];
	char text[100];
	int len = snprintf(text, sizeof(text), "-%s %u %s:%u\r\n",
	                   how & 1 ? "ASK" : "MOVED",
	                   (unsigned)pmz__slot_of_lock(name), host_of(how >> 3),
	                   PORT + port);

	net_say(i, text, (size_t)len);
}

static int begin_kind(play_op *o, unsigned kind, const char *name)
{
	const uint64_t seed[2] = { ++t.begun, 7 };

	if (kind == 1 && o->lease.token[0])
		return pmz_lock_op_extend(&o->op, NULL, &o->lease, PMZ_S(5),
		                          t.now, NULL);
	if (kind == 2 && o->lease.token[0])
		return pmz_lock_op_release(&o->op, NULL, &o->lease, t.now,
		                           NULL);
	if (kind == 3)
		return pmz_lock_op_peek(&o->op, NULL, name, t.now, NULL);
	return pmz_lock_op_acquire(&o->op, NULL, name, PMZ_S(5),
	                           t.now + PMZ_S(1), seed, t.now, NULL);
}

static void forget(play_op *o)
{
	if (o->is_on)
		t.link->type->forget(t.link, &o->op, t.now);
	o->is_on = 0;
}

static void begin(bytes *b, unsigned i)
{
	forget(&t.ops[i]);
	must(!begin_kind(&t.ops[i], bytes_below(b, 4), names[i]));
	t.ops[i].step = PMZ_LOCK_PAUSE;
	t.ops[i].is_on = 1;
}

static void end(play_op *o)
{
	pmz_lease lease;
	int st = pmz_lock_op_end(&o->op, &lease, NULL);

	must(st != PMZ_E_STATE);
	must(memchr(lease.token, '\0', sizeof(lease.token)));
	/* That of a peek is another's. */
	if (strspn(lease.token, "0123456789abcdef") == 32)
		o->lease = lease;
	forget(o);
}

static void ask(play_op *o)
{
	unsigned n = 0;

	if (!o->is_on)
		return;
	while ((o->step = pmz_lock_op_next(&o->op, t.now, &o->order)) ==
	       PMZ_LOCK_SEND) {
		must(n++ < STEPS_MAX);
		t.link->type->send(t.link, &o->op, &o->order, t.now);
	}
	if (o->step == PMZ_LOCK_DONE)
		end(o);
}

static void go_on(void)
{
	pmz__wants wants;
	unsigned i;

	t.link->type->go_on(t.link, t.now);
	for (i = 0; i < OPS; i++)
		ask(&t.ops[i]);
	t.link->type->wants(t.link, &wants);
	must(wants.fd >= 0 || wants.due == PMZ_NEVER || !wants.events);
}

static void hear(unsigned i)
{
	pmz__wants wants;
	int st = t.link->type->listen(t.link, names[i], t.now);

	must(st == PMZ_OK || st == PMZ_E_STATE || st == PMZ_E_ABSENT);
	t.link->type->ear_wants(t.link, &wants);
	if (t.link->type->ear_go_on(t.link, t.now) && t.ops[i].is_on)
		pmz_lock_op_wake(&t.ops[i].op, t.now);
}

static void do_one(bytes *b)
{
	unsigned deed = bytes_8(b), i = deed >> 4 & (OPS - 1);

	switch (deed & 15) {
	case 0:
	case 1:
	case 2:
		begin(b, i);
		break;
	case 3:
		if (t.ops[i].is_on)
			pmz_lock_op_cancel(&t.ops[i].op, t.now);
		break;
	case 4:
		hear(i);
		break;
	case 5:
		say_map(b);
		break;
	case 6:
	case 7:
	case 8:
		redirect(b);
		break;
	case 9:
	case 10:
		t.now = bytes_now(b, t.now, 0);
		break;
	default:
		net_deed(b);
	}
}

static void map_is_sound(void)
{
	uint32_t slot, owner, count = pmz__cluster_count(t.node);

	must(count >= 1 && count <= PMZ__HOSTS_MAX);
	for (slot = 0; slot < PMZ__SLOTS; slot += 61) {
		owner = pmz__cluster_owner(t.node, slot);
		must(owner == PMZ__NO_HOST || owner < count);
	}
}

/* The servers do no more. */
static void run_out(play_op *o)
{
	unsigned n = 0;

	if (o->is_on)
		pmz_lock_op_cancel(&o->op, t.now);
	for (ask(o); o->is_on; go_on()) {
		must(n++ < STEPS_MAX);
		t.now = o->order.due > t.now ? o->order.due : t.now;
	}
}

static void nobody_uses_a_host(void)
{
	uint32_t i;

	for (i = 0; i < t.node->count; i++)
		must(!t.node->host[i] || !t.node->host[i]->users);
}

static void open_link(unsigned how)
{
	pmz__node *node;

	must(!pmz__redis_node_new(&node,
	                          how & 1 ? "redis+cluster://u:p@127.0.0.1:7000"
	                                  : "redis+cluster://127.0.0.1:7000",
	                          CONNECT, NULL));
	t.node = (pmz__redis_node *)node;
	t.link = node->type->connect(node);
	must(t.link);
}

static void close_link(void)
{
	t.link->type->free(t.link);
	nobody_uses_a_host();
	t.node->node.type->free(&t.node->node);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	bytes b = { data, size };
	unsigned i;

	memset(&t, 0, sizeof(t));
	t.now = PMZ_S(1000);
	net_open();
	open_link(bytes_8(&b));
	begin(&b, 0);
	for (i = 0; i < DEEDS_MAX && b.left; i++) {
		go_on();
		do_one(&b);
	}
	map_is_sound();
	for (i = 0; i < OPS; i++)
		run_out(&t.ops[i]);
	close_link();
	net_close();
	return 0;
}
