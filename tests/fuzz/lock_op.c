/*
 * lock_op.c - one operation on a lock, with servers and a clock that do what
 * the input says.
 *
 * The input opens with the kind of operation and its rules. Then each byte is
 * something that happens to the op: a reply, an error, a broken connection, for
 * one of the last orders, also one that was answered long ago. The op moves to
 * other memory all the time, so that an order that points into it shows.
 */
#include "fuzz.h"

#include <pipemaze/lock_proto.h>

#define DEEDS_MAX 120
#define ORDERS 16
/* Each node is asked a few times a round, and a try has few rounds. */
#define SENDS_MAX (PMZ_LOCK_NODES_MAX * 24)
#define STEPS_MAX (PMZ_LOCK_NODES_MAX * 64)
#define DRIFT_MIN PMZ_MS(2)

enum kind { ACQUIRE, EXTEND, RELEASE, PEEK, KINDS };

static struct play {
	pmz_lock_op *op;
	pmz_lock_order *order;
	pmz_lock_step step;
	enum kind kind;
	uint32_t nodes;
	int hostile;
	pmz_lease held; /* of an extend or a release */
	pmz_ns ttl;
	pmz_ns now, latest;
	pmz_ns asked_at;  /* for the lease, the last time */
	char token[64];   /* of the last acquire */
	uint32_t granted; /* nodes that said yes to it */
	struct sent {
		uint32_t ticket, verb, node;
	} sent[ORDERS];
	unsigned count;
} t;

static void *copy_of(const void *from, size_t size)
{
	void *copy = malloc(size);

	must(copy);
	memcpy(copy, from, size);
	return copy;
}

static void move_op(void)
{
	pmz_lock_op *other = (pmz_lock_op *)copy_of(t.op, sizeof(*t.op));

	free(t.op);
	t.op = other;
}

static int is_constant(const char *text)
{
	static const char *const words[] = { "EVAL", "EVALSHA", "WAIT",
		                             "1",    "2",       "3" };
	uint32_t verb;
	size_t i;

	for (verb = 0; verb <= PMZ_LOCK_PEEK; verb++)
		if (text == pmz_lock_script(verb) ||
		    text == pmz_lock_script_sha(verb))
			return 1;
	for (i = 0; i < sizeof(words) / sizeof(*words); i++)
		if (!strcmp(text, words[i]))
			return 1;
	return 0;
}

/* The words of an order end at a NUL, and lie in it or nowhere that moves. */
static void is_whole(const pmz_lock_order *o)
{
	const char *end = o->text + sizeof(o->text);
	uint32_t i;

	must(o->ticket && o->node < t.nodes);
	must(o->verb >= PMZ_LOCK_ACQUIRE && o->verb <= PMZ_LOCK_PEEK);
	must(o->argc >= 3 && o->argc <= PMZ_LOCK_ARGS_MAX);
	for (i = 0; i < o->argc; i++) {
		must(strlen(o->argv[i]) == o->len[i]);
		must((o->argv[i] >= o->text && o->argv[i] + o->len[i] < end) ||
		     is_constant(o->argv[i]));
	}
	if (o->moved)
		must(o->moved >= o->text && o->moved + strlen(o->moved) < end);
}

static void note_acquire(const pmz_lock_order *o)
{
	const char *token = o->argv[3 + (o->argv[2][0] - '0')];

	must(strlen(token) < sizeof(t.token));
	if (strcmp(token, t.token)) {
		snprintf(t.token, sizeof(t.token), "%s", token);
		t.granted = 0;
	}
	t.asked_at = t.now;
}

static void note(const pmz_lock_order *o)
{
	struct sent s = { o->ticket, o->verb, o->node };

	is_whole(o);
	if (t.kind == ACQUIRE && o->verb == PMZ_LOCK_ACQUIRE)
		note_acquire(o);
	if (t.kind == EXTEND && o->verb == PMZ_LOCK_EXTEND)
		t.asked_at = t.now;
	t.sent[t.count++ % ORDERS] = s;
}

static void ask(void)
{
	memset(t.order, 0xa5, sizeof(*t.order));
	t.latest = t.now > t.latest ? t.now : t.latest;
	t.step = pmz_lock_op_next(t.op, t.now, t.order);
	must(t.step >= PMZ_LOCK_DONE && t.step <= PMZ_LOCK_PAUSE);
	move_op();
	if (t.step == PMZ_LOCK_SEND)
		note(t.order);
}

static void ask_until_it_waits(void)
{
	unsigned n = 0;

	do {
		must(n++ < SENDS_MAX);
		ask();
	} while (t.step == PMZ_LOCK_SEND);
}

static const struct sent *one_of_the_last(bytes *b)
{
	return &t.sent[bytes_8(b) % ORDERS];
}

static void count_grant(const struct sent *s, const char *text)
{
	if (s->ticket && s->verb == PMZ_LOCK_ACQUIRE &&
	    (text[0] == '1' || text[0] == '2'))
		t.granted |= 1u << s->node;
}

static void reply_text(const struct sent *s, const char *text, size_t len)
{
	/* Without a NUL behind it. */
	char *bare = (char *)copy_of(text, len + !len);

	count_grant(s, text);
	pmz_lock_op_reply(t.op, s->ticket, bare, len, t.now);
	free(bare);
}

static void reply(bytes *b)
{
	static const char *const texts[] = {
		"1",        "0",       "1 7 0",
		"2 7 0",    "0 0 5",   "-1 0 0",
		"-2",       "2 0 0",   "1 0 0",
		"-2 0 0 ",  "1 9 7 x", "0 0 0 ",
		"1 -1 3 y", "0 0 -1",  "1 9007199254740993 0",
		"",
	};
	const struct sent *s = one_of_the_last(b);
	unsigned which = bytes_below(b, 20);
	char *text;

	if (which < sizeof(texts) / sizeof(*texts)) {
		reply_text(s, texts[which], strlen(texts[which]));
		return;
	}
	text = bytes_text(b, bytes_8(b));
	reply_text(s, text, strlen(text));
	free(text);
}

static void error(bytes *b)
{
	static const char *const texts[] = {
		"NOSCRIPT No matching script.",
		"MOVED 7 127.0.0.1:7001",
		"ASK 7 :7002",
		"LOADING",
		"NOAUTH Authentication required.",
		"OOM",
		"ERR what",
	};
	const struct sent *s = one_of_the_last(b);
	unsigned which = bytes_below(b, 9);
	char *text, *bare;
	size_t len;

	text = which < sizeof(texts) / sizeof(*texts)
	               ? (char *)copy_of(texts[which], strlen(texts[which]) + 1)
	               : bytes_text(b, bytes_8(b));
	len = strlen(text);
	bare = (char *)copy_of(text, len + !len);
	pmz_lock_op_error(t.op, s->ticket, bare, len, t.now);
	free(bare);
	free(text);
}

static void break_off(bytes *b)
{
	const struct sent *s = one_of_the_last(b);
	unsigned how = bytes_below(b, 4);

	pmz_lock_op_fail(t.op, s->ticket, how & 1, how & 2 ? "reset" : NULL,
	                 t.now);
}

static const char *good_answer(uint32_t verb)
{
	if (verb == PMZ_LOCK_ACQUIRE)
		return "1 7 0";
	return verb == PMZ_LOCK_PEEK ? "1 9 7 x" : "1";
}

/* To all that is out. */
static void answer_all_well(void)
{
	unsigned i;

	for (i = 0; i < ORDERS; i++) {
		const char *text = good_answer(t.sent[i].verb);

		reply_text(&t.sent[i], text, strlen(text));
	}
}

static void go_to_due(void)
{
	if (t.step == PMZ_LOCK_READ || t.step == PMZ_LOCK_PAUSE)
		t.now = t.order->due > t.now ? t.order->due : t.now;
}

static void do_one(bytes *b)
{
	switch (bytes_below(b, 16)) {
	case 0:
	case 1:
	case 2:
		reply(b);
		break;
	case 3:
	case 4:
		error(b);
		break;
	case 5:
		break_off(b);
		break;
	case 6:
		pmz_lock_op_sent(t.op, one_of_the_last(b)->ticket, t.now);
		break;
	case 7:
		pmz_lock_op_wake(t.op, t.now);
		break;
	case 8:
		pmz_lock_op_listens(t.op, bytes_8(b) & 1);
		break;
	case 9:
		pmz_lock_op_cancel(t.op, t.now);
		break;
	case 10:
		answer_all_well();
		break;
	case 11:
	case 12:
		go_to_due();
		break;
	default:
		t.now = bytes_now(b, t.now, t.hostile);
	}
	t.latest = t.now > t.latest ? t.now : t.latest;
}

/* Nobody answers any more: it ends all the same. */
static void run_out(void)
{
	unsigned n = 0;

	pmz_lock_op_cancel(t.op, t.now);
	for (ask_until_it_waits(); t.step != PMZ_LOCK_DONE;
	     ask_until_it_waits()) {
		must(n++ < STEPS_MAX);
		go_to_due();
	}
}

static int is_zero(const pmz_lease *lease)
{
	const pmz_lease none = { 0 };

	return !memcmp(lease, &none, sizeof(none));
}

static pmz_ns sum(pmz_ns a, pmz_ns b)
{
	return a + b < a ? PMZ_NEVER : a + b;
}

static void lasts_no_longer_than_its_ttl(const pmz_lease *lease)
{
	pmz_ns began = t.hostile ? t.latest : t.asked_at;

	must(lease->ttl == t.ttl);
	must(lease->until <= sum(began, t.ttl - DRIFT_MIN));
}

static void is_an_end_of_acquire(int status, const pmz_lease *lease)
{
	must(status != PMZ_E_STATE && status != PMZ_E_LOST);
	if (status != PMZ_OK) {
		must(is_zero(lease));
		return;
	}
	must((unsigned)__builtin_popcount(t.granted) > t.nodes / 2);
	must(!strcmp(lease->token, t.token));
	must(!strcmp(lease->name, t.held.name));
	lasts_no_longer_than_its_ttl(lease);
}

static void is_an_end_of_extend(int status, const pmz_lease *lease)
{
	if (status == PMZ_E_LOST) {
		must(is_zero(lease));
		return;
	}
	must(!strcmp(lease->token, t.held.token));
	must(lease->until >= t.held.until);
	if (status != PMZ_OK)
		must(lease->until == t.held.until);
	else if (lease->until != t.held.until)
		lasts_no_longer_than_its_ttl(lease);
}

static void is_an_end_of_release(int status, const pmz_lease *lease)
{
	must(!lease->until);
	if (status == PMZ_OK || status == PMZ_E_LOST)
		must(is_zero(lease));
	else
		must(!strcmp(lease->token, t.held.token));
}

static void is_an_end(void)
{
	pmz_lease lease;
	pmz_why why;
	int status = pmz_lock_op_end(t.op, &lease, &why);

	must(memchr(why.text, '\0', sizeof(why.text)));
	must(memchr(lease.name, '\0', sizeof(lease.name)));
	must(memchr(lease.token, '\0', sizeof(lease.token)));
	switch (t.kind) {
	case ACQUIRE:
		is_an_end_of_acquire(status, &lease);
		break;
	case EXTEND:
		is_an_end_of_extend(status, &lease);
		break;
	case RELEASE:
		is_an_end_of_release(status, &lease);
		break;
	default:
		must((status == PMZ_OK) == !is_zero(&lease));
	}
}

static void read_rules(bytes *b, pmz_lock_rules *r, pmz_backoff_rule *backoff)
{
	static const uint32_t nodes[] = { 1, 3, 5, 1, 2, 16, 3, 1 };
	unsigned how = bytes_8(b);

	memset(r, 0, sizeof(*r));
	memset(backoff, 0, sizeof(*backoff));
	r->size = sizeof(*r);
	r->nodes = t.nodes = nodes[how & 7];
	r->fence_off = how >> 3 & 1;
	r->replicas_min = how >> 4 & 1;
	t.hostile = how >> 5 & 1;
	if (!(how >> 6 & 1))
		return;
	r->drift_ppm = bytes_below(b, 2) ? PMZ_OFF : 999999;
	r->node_timeout_ns = bytes_span(b);
	r->connect_ns = bytes_span(b);
	backoff->size = sizeof(*backoff);
	backoff->base_ns = bytes_span(b);
	backoff->max_ns = bytes_span(b);
	backoff->tries_max = bytes_8(b);
	backoff->jitter = bytes_below(b, 5);
	r->backoff = backoff;
}

static void read_lease(bytes *b, pmz_lease *lease)
{
	char *name = bytes_text(b, bytes_below(b, 140));

	memset(lease, 0, sizeof(*lease));
	lease->ttl = bytes_span(b);
	lease->until = bytes_now(b, t.now, t.hostile);
	lease->fence = bytes_64(b);
	lease->opaque[0] = bytes_8(b);
	/* One in 16 has no end. */
	if (bytes_below(b, 16))
		snprintf(lease->name, sizeof(lease->name), "%s", name);
	else
		memset(lease->name, 'n', sizeof(lease->name));
	bytes_fill(b, lease->token, bytes_below(b, sizeof(lease->token) + 1));
	free(name);
}

/* What an op is begun with may be gone right after. */
static int begin(bytes *b)
{
	pmz_lock_rules *r = (pmz_lock_rules *)malloc(sizeof(*r));
	pmz_backoff_rule *f = (pmz_backoff_rule *)malloc(sizeof(*f));
	pmz_lease *lease = (pmz_lease *)malloc(sizeof(*lease));
	pmz_ns until = 0;
	uint64_t seed[2] = { 1, 2 };
	pmz_why why;
	int st;

	must(r && f && lease);
	read_rules(b, r, f);
	if (t.hostile)
		t.now = bytes_now(b, t.now, 1);
	read_lease(b, lease);
	t.held = *lease;
	t.ttl = bytes_span(b);
	t.kind = (enum kind)bytes_below(b, KINDS);
	if (t.kind == ACQUIRE || t.kind == PEEK)
		lease->name[PMZ_LOCK_NAME_MAX] = '\0';
	t.held.name[PMZ_LOCK_NAME_MAX] = '\0';
	if (t.kind == ACQUIRE) {
		until = bytes_now(b, t.now, t.hostile);
		st = pmz_lock_op_acquire(t.op, r, lease->name, t.ttl, until,
		                         seed, t.now, &why);
	} else if (t.kind == EXTEND) {
		st = pmz_lock_op_extend(t.op, r, lease, t.ttl, t.now, &why);
	} else if (t.kind == RELEASE) {
		st = pmz_lock_op_release(t.op, r, lease, t.now, &why);
	} else {
		st = pmz_lock_op_peek(t.op, r, lease->name, t.now, &why);
	}
	free(r);
	free(f);
	free(lease);
	return st;
}

static void live(bytes *b)
{
	unsigned i;

	for (i = 0; i < DEEDS_MAX && b->left; i++) {
		ask_until_it_waits();
		do_one(b);
	}
	run_out();
	is_an_end();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	bytes b = { data, size };
	int status;

	memset(&t, 0, sizeof(t));
	t.now = PMZ_S(1000);
	t.op = (pmz_lock_op *)malloc(sizeof(*t.op));
	t.order = (pmz_lock_order *)malloc(sizeof(*t.order));
	must(t.op && t.order);
	status = begin(&b);
	if (status == PMZ_OK)
		live(&b);
	else
		must(status == PMZ_E_CONFIG || status == PMZ_E_LOST);
	free(t.op);
	free(t.order);
	return 0;
}
