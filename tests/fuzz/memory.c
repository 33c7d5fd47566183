/*
 * memory.c - the store of "memory:", with many names and at any time.
 *
 * Beside it stands a model: who was told that a name is his, until when. The
 * clock goes forward here, as the store's own does.
 */
#include "fuzz.h"

#include "lock/link.h"

#define LINKS 2
#define NAMES 64
#define DEEDS_MAX 250
#define STEPS_MAX 100
#define FENCE_MORE PMZ_S(86400)

static struct play {
	pmz__node *node;
	pmz__link *links[LINKS];
	pmz_lease held[NAMES]; /* what the last holder was given */
	pmz_ns ends[NAMES];    /* when the store forgets it, at the latest */
	uint64_t fence[NAMES]; /* the last */
	pmz_ns known[NAMES];   /* until when the store remembers it */
	pmz_lock_op op;
	pmz_ns now;
	uint64_t ops;
} t;

static const char *name_of(unsigned i)
{
	static char name[PMZ_LOCK_NAME_MAX + 1];
	size_t len = 1 + i * 2;

	memset(name, 'a' + (char)(i % 26), sizeof(name));
	name[len] = '\0';
	return name;
}

/* The op goes over this link to its end: the store answers at once. */
static int run(unsigned link, pmz_lease *lease)
{
	pmz__link *l = t.links[link];
	pmz_lock_order order;
	pmz_lock_step step;
	unsigned n = 0;

	while ((step = pmz_lock_op_next(&t.op, t.now, &order)) ==
	       PMZ_LOCK_SEND) {
		must(n++ < STEPS_MAX);
		l->type->send(l, &t.op, &order, t.now);
		l->type->go_on(l, t.now);
	}
	must(step == PMZ_LOCK_DONE);
	return pmz_lock_op_end(&t.op, lease, NULL);
}

static int is_held(unsigned i)
{
	return t.held[i].token[0] && t.now < t.held[i].until;
}

static void acquire(unsigned link, unsigned i, pmz_ns ttl)
{
	const uint64_t seed[2] = { ++t.ops, 7 };
	pmz_lease lease;
	int st;

	st = pmz_lock_op_acquire(&t.op, NULL, name_of(i), ttl, t.now, seed,
	                         t.now, NULL);
	if (st == PMZ_E_CONFIG)
		return;
	must(st == PMZ_OK);
	st = run(link, &lease);
	must(st == PMZ_OK || st == PMZ_REFUSED_HELD);
	if (st == PMZ_REFUSED_HELD) {
		must(t.now < t.ends[i]);
		return;
	}
	must(!is_held(i));
	must(lease.fence > t.fence[i]);
	t.fence[i] = lease.fence;
	t.known[i] = t.now + ttl + FENCE_MORE;
	t.held[i] = lease;
	/* The store counts in whole ms. */
	t.ends[i] = t.now + ttl + PMZ_MS(1);
}

static void extend(unsigned link, unsigned i, pmz_ns ttl)
{
	pmz_lease lease;
	int st;

	if (!t.held[i].token[0] ||
	    pmz_lock_op_extend(&t.op, NULL, &t.held[i], ttl, t.now, NULL))
		return;
	st = run(link, &lease);
	if (is_held(i)) {
		must(st == PMZ_OK);
		must(lease.until >= t.held[i].until);
		if (t.now + ttl + PMZ_MS(1) > t.ends[i])
			t.ends[i] = t.now + ttl + PMZ_MS(1);
		t.held[i] = lease;
	} else {
		must(st == PMZ_E_LOST);
		t.held[i].until = 0;
	}
}

static void release(unsigned link, unsigned i)
{
	int held = is_held(i), st;
	pmz_lease lease;

	if (!t.held[i].token[0] ||
	    pmz_lock_op_release(&t.op, NULL, &t.held[i], t.now, NULL))
		return;
	st = run(link, &lease);
	must(st == PMZ_OK || (st == PMZ_E_LOST && !held));
	t.held[i].until = 0;
	if (held)
		t.ends[i] = 0;
}

static void peek(unsigned link, unsigned i)
{
	pmz_lease holder;
	int st;

	must(!pmz_lock_op_peek(&t.op, NULL, name_of(i), t.now, NULL));
	st = run(link, &holder);
	if (is_held(i)) {
		must(st == PMZ_OK);
		must(!strcmp(holder.token, t.held[i].token));
		must(holder.fence == t.held[i].fence ||
		     (!holder.fence && t.now >= t.known[i]));
	} else {
		must(st == PMZ_REFUSED_EMPTY || t.now < t.ends[i]);
	}
}

static void hear(unsigned link, unsigned i)
{
	pmz__link *l = t.links[link];
	pmz__wants wants;

	must(!l->type->listen(l, name_of(i), t.now));
	l->type->ear_wants(l, &wants);
	must(wants.fd >= 0);
	/* A new name has nothing to say yet, until it is released. */
	l->type->ear_go_on(l, t.now);
	must(!l->type->ear_go_on(l, t.now));
	if (!is_held(i))
		return;
	release(!link, i);
	must(l->type->ear_go_on(l, t.now));
}

static void do_one(bytes *b)
{
	unsigned deed = bytes_8(b), link = deed >> 7;
	unsigned i = bytes_below(b, NAMES);

	switch (deed & 7) {
	case 0:
	case 1:
		acquire(link, i, bytes_span(b));
		break;
	case 2:
		extend(link, i, bytes_span(b));
		break;
	case 3:
		release(link, i);
		break;
	case 4:
		peek(link, i);
		break;
	case 5:
		hear(link, i);
		break;
	default:
		t.now += bytes_span(b);
	}
}

/* So many that the table grows, and is swept when they have ended. */
static void crowd(unsigned count)
{
	unsigned n;
	pmz_lease lease;

	for (n = 0; n < count; n++) {
		const uint64_t seed[2] = { ++t.ops, 7 };
		char name[16];

		snprintf(name, sizeof(name), "%u", n);
		must(!pmz_lock_op_acquire(&t.op, NULL, name, PMZ_MS(20), t.now,
		                          seed, t.now, NULL));
		must(run(n & 1, &lease) == PMZ_OK);
	}
	t.now += PMZ_MS(21);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	bytes b = { data, size };
	unsigned i;

	memset(&t, 0, sizeof(t));
	t.now = PMZ_S(1000);
	t.node = pmz__memory_new();
	must(t.node);
	for (i = 0; i < LINKS; i++) {
		t.links[i] = t.node->type->connect(t.node);
		must(t.links[i]);
	}
	crowd(bytes_8(&b));
	for (i = 0; i < DEEDS_MAX && b.left; i++)
		do_one(&b);
	for (i = 0; i < LINKS; i++)
		t.links[i]->type->free(t.links[i]);
	t.node->type->free(t.node);
	return 0;
}
