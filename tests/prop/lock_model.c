/*
 * lock_model.c - the lock's protocol on nodes and a network that exist in
 * virtual time only: a million steps of a few clients that want one lock
 * (PIPEMAZE_STEPS says how many; a seed as argument is that one history).
 *
 * A node is what the scripts do to one lock: a key with its end, a fence, and
 * tombstones, on a clock of its own. Nodes die and come back with or without
 * their memory, hang, and refuse. An order is delayed, lost before or after it
 * is executed, executed twice, or breaks its connection; answers are late, lost,
 * come twice, or make no sense. Nothing is kept in order. Clients stop for
 * seconds and go on, and have clocks of their own too.
 *
 * That far the rules of lock.h go and no further:
 *   - a client's clock and a node's run apart by no more than 1 %;
 *   - a node that lost its memory stays away until its key would have ended,
 *     and then all nodes tell one time;
 *   - an acquire is executed again only until it is answered;
 *   - an abandon is sent until a node has answered it.
 * What every token is, and how many orders that bear it are still on their way,
 * is known here. So an orphan is seen in the step in which the last thing has
 * happened that could have removed it.
 */
#include <check.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pipemaze/lock_proto.h>

#include "dice.h"
#include "must.h"

typedef unsigned long long llu;

#define TURNS 50
#define STEPS 20000
#define HISTORIES 1000 /* of one turn, at most */
#define SPAN PMZ_S(10)
#define START PMZ_S(1000)
#define EPOCH_US 1700000000000000u

#define NODES 5
#define CLIENTS 6
#define TOKENS 8192
#define SLOTS (4 * TOKENS)
#define PARCELS 8192
#define NOBODY 0u /* no token */
#define NAME "one"

#define CONNECT PMZ_MS(200)
#define LATE_MAX PMZ_S(4)
#define TRIP_MAX PMZ_MS(2)
/* What an op may add to its deadline: it takes back, or hurries. */
#define ALLOWANCE PMZ_MS(100)
#define OWED_AGAIN PMZ_MS(300)
/* Half of what the drift of 1 % allows for. */
#define PPM_MAX 4900
/* Asks by the clock alone, and orders, in one second of one op. */
#define ASKS_MAX 200
#define SENDS_MAX 800

enum fate {
	WELL,
	ORDER_LATE,
	ORDER_LOST,
	UNSENT,        /* its connection never opens */
	REPLY_LATE,
	REPLY_LOST,
	REPLY_TWICE,
	TWICE,         /* executed */
	REFUSED,       /* and not executed */
	FAILED_AFTER,  /* executed, and answered with an error */
	GARBLED,       /* executed */
	CUT,
	BROKEN_BEFORE, /* its connection, when nothing was written */
	BROKEN_AFTER,
	FATES
};

enum kind { ARRIVES, ANSWERS, BREAKS, IS_OWED, IS_HEARD, CHANGES, OUTSIDER };

/* What becomes of a token. */
enum standing { TRIED, HELD, DEAD, FORGOTTEN, FOREIGN };

typedef struct token {
	char hex[64];
	enum standing standing;
	unsigned on_its_way; /* orders, and abandons that are owed */
	unsigned excused;    /* nodes that refused to let go of it for good */
	uint64_t tombs[NODES]; /* their ends, in ms of the node */
} token;

typedef struct parcel {
	pmz_ns at;
	uint64_t number;
	enum kind kind;
	enum fate fate;
	unsigned client, op, node, life, ticket, verb, token, debt;
	int is_whole, is_fenced, is_silent, is_error, is_written;
	uint64_t ttl_ms, keep_ms, fence;
	char text[160];
	size_t len;
} parcel;

typedef enum state { UP, HUNG, AWAY } state;

typedef struct node {
	int ppm;
	int64_t ahead_us;
	state state;
	unsigned life; /* goes up when it dies */
	int loses;     /* its memory, when it comes back */
	const char *mood; /* the error that it has for all */
	unsigned scripts; /* a set of verbs */
	unsigned lock;    /* a token */
	uint64_t ends;    /* of the lock, in ms of its clock */
	uint64_t fence;
} node;

enum deed { RESTING, ACQUIRING, HOLDING, EXTENDING, RELEASING, PEEKING };

/* What an op has met: sets of nodes. */
typedef struct met {
	unsigned trouble, busy, answered, fatal, gone, released;
	unsigned shown[NODES]; /* the token in a peek */
} met;

typedef struct client {
	pmz_lock_op op;
	pmz_lease lease;
	enum deed deed;
	int ppm;
	pmz_ns ahead;
	unsigned number; /* of its op */
	int runs;        /* the op */
	int holds;       /* by its own account, while before lease.until */
	int releases_again, is_cancelled, listens, wakes;
	unsigned token;  /* of its op, or held */
	pmz_ns due;      /* by its clock: of its op, or of its next deed */
	pmz_ns cancel_at;
	pmz_ns stopped;  /* true time: until when */
	pmz_ns began, waits_until, end_by, ttl, until_before;
	unsigned holder_before; /* of a peek */
	pmz_ns window;
	unsigned asks, sends;
	met met;
} client;

static struct history {
	int seed;
	unsigned long step;
	dice d;
	pmz_ns now, trip, ends;
	pmz_lock_rules rules;
	unsigned faults_pct, stops_pct;
	int loses_memory, has_outsider, is_over;
	node nodes[NODES];
	client clients[CLIENTS];
	unsigned node_count, client_count, quorum;
	uint64_t last_fence;
	unsigned outsider; /* the foreign token that is held, or nobody's */
	pmz_ns outsider_until;
	unsigned outsider_at; /* the nodes that have it */
	unsigned debts;
} h;

static struct {
	unsigned long grants, refusals, extensions, cancels, losses, short_of,
		releases, peeks, empties, outsiders, forgets, restarts, stops,
		tombed, raises, denials;
} count;

static token tokens[TOKENS];
static unsigned token_count;
static uint16_t slots[SLOTS];
static parcel parcels[PARCELS];
static uint16_t heap[PARCELS], idle[PARCELS];
static unsigned heap_count, idle_count;
static uint8_t debt_paid[65536];

static void wrong(const char *format, ...)
	__attribute__((format(printf, 1, 2), noreturn));

static void wrong(const char *format, ...)
{
	char words[256];
	va_list args;

	va_start(args, format);
	vsnprintf(words, sizeof(words), format, args);
	va_end(args);
	ck_abort_msg("seed %d, step %lu, %u nodes, at %.6f s: %s", h.seed,
	             h.step, h.node_count, (double)(h.now - START) / 1e9,
	             words);
	abort();
}

/* As must(), with the history's seed and step. */
#define claim(that, ...)                   \
	do {                               \
		if (!(that))               \
			wrong(__VA_ARGS__); \
	} while (0)

static unsigned roll(unsigned below)
{
	return (unsigned)(dice_roll(&h.d) >> 33) % below;
}

static int in_pct(unsigned pct)
{
	return roll(100) < pct;
}

static pmz_ns span_up_to(pmz_ns most)
{
	return dice_between(&h.d, 0, most);
}

static unsigned bit(unsigned i)
{
	return 1u << i;
}

static unsigned bits(unsigned set)
{
	return (unsigned)__builtin_popcount(set);
}

static pmz_ns on_clock(int ppm, pmz_ns t)
{
	return t + (pmz_ns)((int64_t)(t - START) * ppm / 1000000);
}

static pmz_ns clock_at(const client *c, pmz_ns t)
{
	return c->ahead + on_clock(c->ppm, t);
}

static pmz_ns clock_of(const client *c)
{
	return clock_at(c, h.now);
}

/* When a client's clock shows this at the earliest, if not before now. */
static pmz_ns true_time(const client *c, pmz_ns shown)
{
	pmz_ns now = clock_of(c), t;

	if (shown <= now)
		return h.now;
	if (shown - now > PMZ_S(3600))
		return shown == PMZ_NEVER ? PMZ_NEVER : h.now + PMZ_S(3600);
	t = h.now + (shown - now) * 1000000 / (pmz_ns)(1000000 + c->ppm);
	while (clock_at(c, t) < shown)
		t++;
	return t;
}

static uint64_t node_ms(const node *n)
{
	return on_clock(n->ppm, h.now) / PMZ_MS(1);
}

static uint64_t node_us(const node *n)
{
	return EPOCH_US + h.now / PMZ_US(1) + (uint64_t)n->ahead_us;
}

static int is_before(const parcel *a, const parcel *b)
{
	return a->at < b->at || (a->at == b->at && a->number < b->number);
}

static void swap_slots(unsigned i, unsigned j)
{
	uint16_t was = heap[i];

	heap[i] = heap[j];
	heap[j] = was;
}

static void heap_push(unsigned id)
{
	unsigned i = heap_count++;

	heap[i] = (uint16_t)id;
	for (; i && is_before(&parcels[heap[i]], &parcels[heap[(i - 1) / 2]]);
	     i = (i - 1) / 2)
		swap_slots(i, (i - 1) / 2);
}

static unsigned heap_pop(void)
{
	unsigned top = heap[0], i = 0, least = 0;

	heap[0] = heap[--heap_count];
	do {
		unsigned child = 2 * i + 1, end = child + 2;

		swap_slots(i, least);
		i = least;
		child = 2 * i + 1;
		end = child + 2 < heap_count ? child + 2 : heap_count;
		for (; child < end; child++)
			if (is_before(&parcels[heap[child]],
			              &parcels[heap[least]]))
				least = child;
	} while (least != i);
	return top;
}

static uint64_t parcels_so_far;

static void post(const parcel *what, pmz_ns at)
{
	unsigned id;

	claim(idle_count, "too much is on its way");
	id = idle[--idle_count];
	parcels[id] = *what;
	parcels[id].at = at;
	parcels[id].number = parcels_so_far++;
	if (what->kind == ARRIVES || what->kind == IS_OWED)
		tokens[what->token].on_its_way++;
	heap_push(id);
}

static void empty_post(void)
{
	unsigned i;

	heap_count = 0;
	idle_count = PARCELS;
	for (i = 0; i < PARCELS; i++)
		idle[i] = (uint16_t)i;
}

static unsigned slot_of(const char *hex)
{
	unsigned n = 0, i;

	for (i = 0; hex[i]; i++)
		n = n * 31 + (unsigned char)hex[i];
	for (n %= SLOTS; slots[n] && strcmp(tokens[slots[n]].hex, hex) != 0;
	     n = (n + 1) % SLOTS)
		;
	return n;
}

static unsigned token_known(const char *hex)
{
	return slots[slot_of(hex)];
}

static unsigned token_new(const char *hex, enum standing standing)
{
	token *t = &tokens[++token_count];

	claim(token_count < TOKENS - 1, "too many tokens");
	claim(strlen(hex) < sizeof(t->hex), "a long token");
	memset(t, 0, sizeof(*t));
	strcpy(t->hex, hex);
	t->standing = standing;
	slots[slot_of(hex)] = (uint16_t)token_count;
	return token_count;
}

/* The token under the key of this node. */
static unsigned lock_of(const node *n)
{
	return node_ms(n) < n->ends ? n->lock : NOBODY;
}

static unsigned where_is(unsigned t)
{
	unsigned i, set = 0;

	for (i = 0; i < h.node_count; i++)
		if (lock_of(&h.nodes[i]) == t)
			set |= bit(i);
	return set;
}

static int is_valid(const client *c)
{
	return c->holds && clock_of(c) < c->lease.until;
}

/* What is dead, and has nothing on its way, is nowhere. */
static void look_for_orphan(unsigned t)
{
	unsigned left;

	if (!t || tokens[t].standing != DEAD || tokens[t].on_its_way)
		return;
	left = where_is(t) & ~tokens[t].excused;
	claim(!left, "orphan %s on the nodes %x", tokens[t].hex, left);
}

static void token_dies(unsigned t)
{
	if (!t)
		return;
	tokens[t].standing = DEAD;
	look_for_orphan(t);
}

static void one_holds_it_at_most(void)
{
	unsigned i, n = 0, at;

	for (i = 0; i < h.client_count; i++) {
		client *c = &h.clients[i];

		if (!is_valid(c))
			continue;
		at = where_is(c->token);
		claim(bits(at) >= h.quorum,
		      "client %u is valid, and stands on the nodes %x", i, at);
		n++;
	}
	n += h.outsider && h.now < h.outsider_until &&
	     bits(h.outsider_at) >= h.quorum;
	claim(n <= 1, "%u are valid at once", n);
}

/* A node's end of a span that begins now: whole milliseconds, and the first of
 * them has begun before. */
static uint64_t end_in(const node *n, uint64_t ms)
{
	return node_ms(n) + ms;
}

static void answer(parcel *reply, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static void answer(parcel *reply, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(reply->text, sizeof(reply->text), format, args);
	va_end(args);
}

static void lengthen(node *n, uint64_t ms)
{
	if (n->ends < end_in(n, ms))
		n->ends = end_in(n, ms);
}

static uint64_t next_fence(node *n)
{
	uint64_t us = node_us(n);

	return n->fence = us > n->fence ? us : n->fence + 1;
}

static int has_tomb(const node *n, unsigned t)
{
	return node_ms(n) < tokens[t].tombs[n - h.nodes];
}

static void run_acquire(node *n, const parcel *p, parcel *reply)
{
	unsigned is = lock_of(n);

	if (is && is != p->token) {
		answer(reply, "0 0 %llu", (llu)(n->ends - node_ms(n)));
	} else if (is) {
		lengthen(n, p->ttl_ms);
		answer(reply, "2 %llu 0", p->is_fenced ? (llu)n->fence : 0);
	} else if (has_tomb(n, p->token)) {
		count.tombed++;
		answer(reply, "-1 0 0");
	} else {
		n->lock = p->token;
		n->ends = end_in(n, p->ttl_ms);
		answer(reply, "1 %llu 0",
		       p->is_fenced ? (llu)next_fence(n) : 0);
	}
}

static int whose(const node *n, unsigned t)
{
	unsigned is = lock_of(n);

	return is == t ? 1 : is ? -1 : 0;
}

static void run_raise(node *n, const parcel *p, parcel *reply)
{
	int is_ours = whose(n, p->token) == 1;

	if (is_ours && n->fence < p->fence)
		n->fence = p->fence;
	count.raises += (unsigned)is_ours;
	answer(reply, "%d", is_ours);
}

static void run_extend(node *n, const parcel *p, parcel *reply)
{
	int is = whose(n, p->token);

	if (is == 1)
		lengthen(n, p->ttl_ms);
	answer(reply, "%d", is);
}

/* Nobody's key goes while he may rely on it. */
static void nobody_relies_on(unsigned t)
{
	unsigned i;

	for (i = 0; i < h.client_count; i++)
		claim(!is_valid(&h.clients[i]) || h.clients[i].token != t,
		      "the key of client %u is removed while it is valid", i);
}

static void tell_of_release(void)
{
	parcel p = { .kind = IS_HEARD };
	unsigned i;

	for (i = 0; i < h.client_count; i++) {
		client *c = &h.clients[i];

		p.client = i;
		p.op = c->number;
		if (c->runs && c->listens && roll(20))
			post(&p, h.now + span_up_to(2 * h.trip));
	}
}

static void run_release(node *n, const parcel *p, parcel *reply)
{
	int is;

	if (p->verb == PMZ_LOCK_ABANDON && n->mood)
		tokens[p->token].excused |= bit(p->node);
	else if (p->verb == PMZ_LOCK_ABANDON)
		tokens[p->token].tombs[p->node] = end_in(n, p->keep_ms);
	is = whose(n, p->token);
	if (is == 1) {
		nobody_relies_on(p->token);
		n->lock = NOBODY;
		tell_of_release();
	}
	answer(reply, "%d", is);
}

static void run_peek(const node *n, parcel *reply)
{
	unsigned is = lock_of(n);

	if (!is)
		answer(reply, "0 0 0 ");
	else
		answer(reply, "1 %llu %llu %s", (llu)(n->ends - node_ms(n)),
		       (llu)n->fence, tokens[is].hex);
}

static void run_verb(node *n, const parcel *p, parcel *reply)
{
	switch (p->verb) {
	case PMZ_LOCK_ACQUIRE:
		run_acquire(n, p, reply);
		break;
	case PMZ_LOCK_RAISE:
		run_raise(n, p, reply);
		break;
	case PMZ_LOCK_REPLICATE:
		answer(reply, "%u", roll(30) ? 2 : 0);
		break;
	case PMZ_LOCK_EXTEND:
		run_extend(n, p, reply);
		break;
	case PMZ_LOCK_PEEK:
		run_peek(n, reply);
		break;
	default:
		run_release(n, p, reply);
	}
}

static unsigned script_of(unsigned verb)
{
	return bit(verb == PMZ_LOCK_ABANDON ? PMZ_LOCK_RELEASE : verb);
}

static int is_word(const char *text, const char *word)
{
	return !strncmp(text, word, strlen(word));
}

/* Nothing was done, but a later order may do better. */
static int is_passing(const char *text)
{
	static const char *const words[] = {
		"NOSCRIPT",   "LOADING", "READONLY", "TRYAGAIN", "CLUSTERDOWN",
		"MASTERDOWN", "BUSY",    "MOVED",    "ASK",
	};
	size_t i;

	for (i = 0; i < sizeof(words) / sizeof(*words); i++)
		if (is_word(text, words[i]))
			return 1;
	return 0;
}

static void refuse(const parcel *p, parcel *reply, const char *text)
{
	reply->is_error = 1;
	answer(reply, "%s", text);
	if ((!is_passing(text) || (p->is_whole && is_word(text, "NOSCRIPT"))) &&
	    (p->verb == PMZ_LOCK_RELEASE || p->verb == PMZ_LOCK_ABANDON))
		tokens[p->token].excused |= bit(p->node);
}

/* What a node does without memory to spare: it lets go, and that is all. */
static int is_let_through(const node *n, const parcel *p)
{
	return is_word(n->mood, "OOM") && p->verb != PMZ_LOCK_ACQUIRE &&
	       p->verb != PMZ_LOCK_RAISE && p->verb != PMZ_LOCK_REPLICATE;
}

static void execute(const parcel *p, parcel *reply)
{
	node *n = &h.nodes[p->node];

	reply->is_error = 0;
	if (n->mood && !is_let_through(n, p)) {
		refuse(p, reply, n->mood);
	} else if (p->verb != PMZ_LOCK_REPLICATE && !p->is_whole &&
	           !(n->scripts & script_of(p->verb))) {
		refuse(p, reply, "NOSCRIPT No matching script");
	} else {
		n->scripts |= script_of(p->verb);
		run_verb(n, p, reply);
	}
}

static const char *an_error(void)
{
	static const char *const errors[] = {
		"LOADING Redis is loading",
		"READONLY You can't write",
		"TRYAGAIN",
		"CLUSTERDOWN",
		"MASTERDOWN",
		"BUSY Redis is busy",
		"NOSCRIPT No matching script",
		"MOVED 7 127.0.0.1:7001",
		"ASK 7 127.0.0.1:7001",
		"NOAUTH Authentication required.",
		"NOPERM no",
		"OOM command not allowed",
		"ERR what is this",
	};

	return errors[roll(sizeof(errors) / sizeof(*errors))];
}

static const char *a_garbling(void)
{
	static const char *const texts[] = {
		"banana", "7", "-", "1 1", "99999999999999999999999", " ", "",
		"1 17000000000000000000000000000000 0",
	};

	return texts[roll(sizeof(texts) / sizeof(*texts))];
}

/* What the network makes of an answer. */
static void garble(const parcel *p, parcel *reply)
{
	size_t len = strlen(reply->text);

	if (reply->is_error)
		return;
	if (p->fate == FAILED_AFTER) {
		reply->is_error = 1;
		answer(reply, "ERR half done");
	} else if (p->fate == GARBLED) {
		answer(reply, "%s", a_garbling());
	} else if (p->fate == CUT && len) {
		reply->text[roll((unsigned)len)] = '\0';
	}
}

static pmz_ns a_trip(void)
{
	return h.trip / 2 + span_up_to(h.trip);
}

static pmz_ns a_delay(void)
{
	switch (roll(4)) {
	case 0:
		return span_up_to(LATE_MAX);
	case 1:
		return span_up_to(PMZ_MS(300));
	default:
		return span_up_to(PMZ_MS(30));
	}
}

static void send_back(const parcel *p, parcel *reply)
{
	pmz_ns at = h.now + a_trip();

	reply->kind = ANSWERS;
	if (p->fate == REPLY_LATE)
		at += a_delay();
	post(reply, at);
	if (p->fate == REPLY_TWICE)
		post(reply, at + a_delay());
	if (p->fate != TWICE)
		return;
	/* What comes behind its answer is no acquire any more. */
	reply->kind = ARRIVES;
	reply->fate = WELL;
	reply->is_silent = 1;
	post(reply, p->verb == PMZ_LOCK_ACQUIRE ? h.now : h.now + a_delay());
}

/* The second time of an order that has its answer. */
static int is_repeated(const parcel *p)
{
	return p->is_silent && p->fate == WELL;
}

static void meet_trouble(const parcel *p)
{
	const node *n = &h.nodes[p->node];
	client *c = &h.clients[p->client];

	if (p->client >= h.client_count || p->op != c->number)
		return;
	if (n->state != UP || n->mood || n->life != p->life)
		c->met.trouble |= bit(p->node);
}

static void arrive(parcel *p)
{
	const node *n = &h.nodes[p->node];
	parcel reply = *p;

	meet_trouble(p);
	if (n->state == AWAY || n->life != p->life)
		return;
	if (n->state == HUNG) {
		if (!is_repeated(p))
			post(p, h.now + span_up_to(PMZ_MS(50)) + 1);
		return;
	}
	if (p->fate == REFUSED)
		refuse(p, &reply, an_error());
	else
		execute(p, &reply);
	garble(p, &reply);
	reply.len = strlen(reply.text);
	if (!p->is_silent || p->debt)
		send_back(p, &reply);
}

static enum fate a_fate(void)
{
	return h.now < h.ends && in_pct(h.faults_pct)
	               ? (enum fate)(1 + roll(FATES - 1))
	               : WELL;
}

static int is_sent(enum fate f)
{
	return f != UNSENT && f != BROKEN_BEFORE;
}

static void transmit(parcel *p)
{
	pmz_ns at = h.now + a_trip();
	int is_lost = p->fate == ORDER_LOST || !is_sent(p->fate) ||
	              (p->fate == BROKEN_AFTER && roll(3) == 0);

	p->life = h.nodes[p->node].life;
	if (p->fate == ORDER_LATE || p->fate == BROKEN_AFTER)
		at += a_delay();
	if (p->fate == BROKEN_BEFORE || p->fate == BROKEN_AFTER) {
		parcel broken = *p;

		broken.kind = BREAKS;
		broken.is_written = p->fate == BROKEN_AFTER;
		post(&broken, h.now + a_trip());
	}
	p->kind = ARRIVES;
	p->is_silent = p->fate == REPLY_LOST || p->fate == BROKEN_AFTER;
	if (p->is_silent)
		p->debt = 0;
	if (!is_lost)
		post(p, at);
}

/* Sends an abandon until it is answered. */
static void remember_debt(parcel *p)
{
	parcel again = *p;

	p->debt = again.debt = ++h.debts;
	claim(h.debts < sizeof(debt_paid), "too many debts");
	debt_paid[h.debts] = 0;
	again.kind = IS_OWED;
	post(&again, h.now + OWED_AGAIN);
}

static void pay(const parcel *p)
{
	parcel next = *p;

	if (debt_paid[p->debt])
		return;
	next.fate = a_fate();
	next.client = CLIENTS;
	post(p, h.now + OWED_AGAIN);
	next.is_whole = 1;
	transmit(&next);
}

static uint64_t number_at(const pmz_lock_order *order, uint32_t i)
{
	claim(i < order->argc, "an argument is missing");
	return strtoull(order->argv[i], NULL, 10);
}

static void check_text(const pmz_lock_order *order, uint32_t i,
                       const char *want)
{
	claim(i < order->argc && !strcmp(order->argv[i], want) &&
	              order->len[i] == strlen(want),
	      "argument %u is not %s", (unsigned)i, want);
}

static void check_script(const pmz_lock_order *order, int is_whole)
{
	check_text(order, 0, is_whole ? "EVAL" : "EVALSHA");
	check_text(order, 1,
	           is_whole ? pmz_lock_script(order->verb)
	                    : pmz_lock_script_sha(order->verb));
	check_text(order, 3, "lock:" NAME);
}

static const char *token_text(const pmz_lock_order *order)
{
	uint32_t at = 3 + (uint32_t)number_at(order, 2);

	claim(at < order->argc, "there is no token");
	return order->argv[at];
}

static void check_tomb(const pmz_lock_order *order)
{
	char want[128];

	snprintf(want, sizeof(want), "{lock:" NAME "}:x:%s", token_text(order));
	check_text(order, 4, want);
}

static void check_token(client *c, const pmz_lock_order *order, parcel *p)
{
	const char *hex = token_text(order);
	unsigned t = token_known(hex);

	if (!t && order->verb == PMZ_LOCK_ACQUIRE) {
		token_dies(c->token);
		t = token_new(hex, TRIED);
	}
	claim(t, "a token from nowhere: %s", hex);
	if (order->verb != PMZ_LOCK_ACQUIRE || t == c->token)
		claim(c->token == t, "another's token: %s", hex);
	c->token = p->token = t;
	claim(order->verb != PMZ_LOCK_ACQUIRE || tokens[t].standing != DEAD,
	      "a dead token is tried: %s", hex);
}

/* The arguments, as the scripts' comments name them. */
static void read_order(client *c, const pmz_lock_order *order, parcel *p)
{
	uint32_t at;

	if (order->verb == PMZ_LOCK_REPLICATE) {
		check_text(order, 0, "WAIT");
		return;
	}
	p->is_whole = !strcmp(order->argv[0], "EVAL");
	check_script(order, p->is_whole);
	if (order->verb == PMZ_LOCK_PEEK)
		return;
	check_token(c, order, p);
	at = 4 + (uint32_t)number_at(order, 2);
	if (order->verb == PMZ_LOCK_ACQUIRE || order->verb == PMZ_LOCK_ABANDON)
		check_tomb(order);
	p->is_fenced = number_at(order, 2) == 3;
	if (order->verb == PMZ_LOCK_RAISE)
		p->fence = number_at(order, at);
	else if (order->verb == PMZ_LOCK_ABANDON)
		p->keep_ms = number_at(order, at);
	else if (order->verb != PMZ_LOCK_RELEASE)
		p->ttl_ms = number_at(order, at);
}

static void dispatch(unsigned i, const pmz_lock_order *order)
{
	client *c = &h.clients[i];
	const node *n = &h.nodes[order->node];
	parcel p = { .client = i,
		     .op = c->number,
		     .node = order->node,
		     .ticket = order->ticket,
		     .verb = order->verb,
		     .fate = a_fate() };

	claim(order->node < h.node_count, "no such node");
	claim(order->ticket, "a ticket of 0");
	read_order(c, order, &p);
	if (p.fate != WELL || n->state != UP || n->mood)
		c->met.trouble |= bit(p.node);
	if ((p.fate == GARBLED || p.fate == CUT) &&
	    (p.verb == PMZ_LOCK_PEEK || p.verb == PMZ_LOCK_REPLICATE))
		p.fate = REPLY_LOST;
	if (is_sent(p.fate) && n->state != AWAY)
		pmz_lock_op_sent(&c->op, p.ticket, clock_of(c));
	if (p.verb == PMZ_LOCK_ABANDON)
		remember_debt(&p);
	if (n->state != AWAY) {
		transmit(&p);
	} else if (roll(3)) {
		/* The connection to a dead node is mostly refused. */
		p.kind = BREAKS;
		p.is_written = 0;
		post(&p, h.now + a_trip());
	}
}

static void note_code(client *c, const parcel *p, int code)
{
	switch (p->verb) {
	case PMZ_LOCK_ACQUIRE:
		c->met.answered |= bit(p->node);
		c->met.busy |= code == 0 ? bit(p->node) : 0;
		break;
	case PMZ_LOCK_PEEK:
		c->met.answered |= bit(p->node);
		c->met.shown[p->node] =
			code == 1 ? token_known(strrchr(p->text, ' ') + 1)
				  : NOBODY;
		break;
	default:
		c->met.gone |= code != 1 ? bit(p->node) : 0;
	}
}

/* What a client may build its verdict on. */
static void note(client *c, const parcel *p)
{
	if (p->is_error) {
		c->met.fatal |= is_passing(p->text) &&
		                                !is_word(p->text, "NOSCRIPT")
		                        ? 0
		                        : bit(p->node);
		c->met.trouble |= bit(p->node);
		return;
	}
	if (p->fate == GARBLED || p->fate == CUT)
		c->met.fatal |= bit(p->node);
	if (p->len)
		note_code(c, p, atoi(p->text));
}

static void turn(unsigned i);

static void tell(client *c, const parcel *p)
{
	pmz_ns now = clock_of(c);

	if (p->kind == BREAKS)
		pmz_lock_op_fail(&c->op, p->ticket, p->is_written,
		                 "the connection broke", now);
	else if (p->kind == IS_HEARD)
		pmz_lock_op_wake(&c->op, now);
	else if (p->is_error)
		pmz_lock_op_error(&c->op, p->ticket, p->text, p->len, now);
	else
		pmz_lock_op_reply(&c->op, p->ticket, p->text, p->len, now);
}

/* To an op that has ended it makes no difference. */
static void tell_too_late(client *c, const parcel *p)
{
	pmz_lease before, after;
	int status = pmz_lock_op_end(&c->op, &before, NULL);

	tell(c, p);
	must_be(pmz_lock_op_end(&c->op, &after, NULL), status);
	before.opaque[0] = after.opaque[0] = 0;
	claim(!memcmp(&before, &after, sizeof(before)),
	      "an answer that came too late changes the lease");
}

static void deliver(const parcel *p)
{
	client *c = &h.clients[p->client];

	if (p->kind == ANSWERS && p->debt &&
	    !(p->is_error && is_passing(p->text)))
		debt_paid[p->debt] = 1;
	if (p->client >= h.client_count || p->op != c->number)
		return;
	if (c->stopped > h.now) {
		post(p, c->stopped);
		return;
	}
	if (!c->runs) {
		tell_too_late(c, p);
		return;
	}
	if (p->kind == ANSWERS)
		note(c, p);
	tell(c, p);
	turn(p->client);
}

static pmz_ns later(pmz_ns a, pmz_ns b)
{
	return a > b ? a : b;
}

/* An op begins: it ends by `wait`, or the time-outs of one try. */
static void begin(client *c, enum deed deed, pmz_ns wait)
{
	pmz_ns timeout = h.rules.node_timeout_ns;

	if (!timeout)
		timeout = deed == PEEKING ? PMZ_S(30) / 20
		                          : later(c->ttl / 20, PMZ_MS(10));
	c->deed = deed;
	c->number++;
	c->runs = 1;
	c->wakes = 0;
	c->listens = c->is_cancelled = 0;
	c->cancel_at = PMZ_NEVER;
	c->began = clock_of(c);
	c->waits_until = c->began + wait;
	c->end_by = c->began + later(wait, CONNECT + timeout) + ALLOWANCE;
	c->window = c->began;
	c->asks = c->sends = 0;
	memset(&c->met, 0, sizeof(c->met));
	/* Then even a good network is too slow for it. */
	if (c->ttl < 16 * h.trip + PMZ_MS(3))
		c->met.trouble = bit(h.node_count) - 1;
}

static pmz_ns a_ttl(void)
{
	static const pmz_ns most[] = { PMZ_MS(20), PMZ_MS(100), PMZ_MS(600),
		                       PMZ_S(3), PMZ_S(8) };

	return dice_between(&h.d, PMZ_MS(4), most[roll(5)]);
}

static void want(client *c)
{
	const uint64_t seed[2] = { dice_roll(&h.d), dice_roll(&h.d) };
	pmz_ns wait = roll(3) ? span_up_to(PMZ_S(3)) : 0;

	c->ttl = a_ttl();
	c->token = NOBODY;
	begin(c, ACQUIRING, wait);
	must_be(pmz_lock_op_acquire(&c->op, &h.rules, NAME, c->ttl,
	                            c->began + wait, seed, c->began, NULL),
	        PMZ_OK);
	c->listens = roll(3) == 0;
	pmz_lock_op_listens(&c->op, c->listens);
	if (roll(8) == 0)
		c->cancel_at = c->began + span_up_to(PMZ_S(1));
}

static void lengthen_lease(client *c)
{
	c->ttl = a_ttl();
	c->until_before = c->lease.until;
	begin(c, EXTENDING, 0);
	must_be(pmz_lock_op_extend(&c->op, &h.rules, &c->lease, c->ttl,
	                           c->began, NULL),
	        PMZ_OK);
}

static void give_back(client *c)
{
	c->holds = 0;
	c->ttl = c->lease.ttl;
	c->until_before = c->lease.until;
	begin(c, RELEASING, 0);
	must_be(pmz_lock_op_release(&c->op, &h.rules, &c->lease, c->began,
	                            NULL),
	        PMZ_OK);
}

/* The token of who is valid now. */
static unsigned valid_token(void)
{
	unsigned i;

	for (i = 0; i < h.client_count; i++)
		if (is_valid(&h.clients[i]))
			return h.clients[i].token;
	return NOBODY;
}

static void look(client *c)
{
	c->token = NOBODY;
	c->ttl = PMZ_S(30);
	c->holder_before = valid_token();
	begin(c, PEEKING, 0);
	must_be(pmz_lock_op_peek(&c->op, &h.rules, NAME, c->began, NULL),
	        PMZ_OK);
}

static void rest(client *c)
{
	c->deed = RESTING;
	c->token = NOBODY;
	c->due = h.now < h.ends ? clock_of(c) + span_up_to(PMZ_MS(200))
	                        : PMZ_NEVER;
}

static void hold(client *c)
{
	c->deed = HOLDING;
	c->due = clock_of(c) + span_up_to(roll(4) ? c->ttl / 2 : 2 * c->ttl);
}

static void be_granted(client *c)
{
	count.grants++;
	claim(clock_of(c) < c->lease.until, "granted when it was over");
	claim(c->lease.until < clock_of(c) + c->ttl,
	      "the lease is longer than its ttl");
	c->holds = 1;
	must_be(token_known(c->lease.token), c->token);
	tokens[c->token].standing = HELD;
	if (h.rules.fence_off)
		must_be(c->lease.fence, 0);
	else
		claim(c->lease.fence > h.last_fence, "fence %llu after %llu",
		      (llu)c->lease.fence, (llu)h.last_fence);
	h.last_fence = c->lease.fence;
	hold(c);
}

/* So many nodes keep a quorum from coming together. */
static unsigned blocking(void)
{
	return h.node_count - h.quorum + 1;
}

/* A failure has its reason in what the op has met. */
static void check_failure(const client *c, int status)
{
	const met *m = &c->met;
	unsigned against = m->trouble | m->busy | m->gone;

	switch (status) {
	case PMZ_E_IO:
	case PMZ_E_QUORUM:
		if (!h.rules.replicas_min)
			must_be(status,
			        h.node_count > 1 ? PMZ_E_QUORUM : PMZ_E_IO);
		/* The last look before the deadline may get no answer. */
		claim((m->trouble || clock_of(c) >= c->waits_until) &&
		              bits(against) >= blocking(),
		      "it fails by the nodes %x alone", against);
		break;
	case PMZ_E_DENIED:
	case PMZ_E_REPLY:
		count.denials++;
		claim(bits(m->fatal) >= blocking(),
		      "it is refused by the nodes %x alone", m->fatal);
		break;
	default:
		wrong("a status of %d in deed %d", status, c->deed);
	}
}

static void check_held(const client *c)
{
	claim(c->met.busy, "refused as held, and nobody said so");
	claim(bits(c->met.answered) >= h.quorum,
	      "refused as held on the word of the nodes %x", c->met.answered);
}

static void acquired(client *c, int status)
{
	static const pmz_lease none;

	if (status == PMZ_OK) {
		be_granted(c);
		return;
	}
	claim(!memcmp(&none, &c->lease, sizeof(none)),
	      "a lease that was not granted");
	token_dies(c->token);
	if (status == PMZ_CANCELLED)
		claim(c->is_cancelled, "cancelled by nobody");
	else if (status == PMZ_REFUSED_HELD)
		check_held(c);
	else
		check_failure(c, status);
	count.cancels += status == PMZ_CANCELLED;
	count.refusals += status == PMZ_REFUSED_HELD;
	count.short_of += status == PMZ_E_QUORUM;
	rest(c);
}

static void extended(client *c, int status)
{
	if (status == PMZ_E_LOST) {
		count.losses++;
		claim(clock_of(c) >= c->until_before,
		      "a lease that stands is called lost");
		c->holds = 0;
		token_dies(c->token);
		rest(c);
		return;
	}
	if (status == PMZ_OK) {
		count.extensions++;
		claim(c->began < c->until_before, "it is resurrected");
		claim(c->lease.until >= c->until_before, "it is shortened");
	} else {
		must_be(c->lease.until, c->until_before);
		check_failure(c, status);
	}
	hold(c);
}

static void released(client *c, int status)
{
	count.releases++;
	token_dies(c->token);
	must_be(c->lease.until, 0);
	if (status == PMZ_OK)
		claim(bits(where_is(c->token)) <= h.node_count - h.quorum,
		      "it is released, and stands on a quorum");
	else if (status == PMZ_E_LOST)
		claim(clock_of(c) >= c->until_before || c->releases_again ||
		              (c->met.trouble && c->met.gone),
		      "a lease that stood is called lost when released");
	else
		check_failure(c, status);
	c->releases_again = 0;
	if (c->lease.token[0] && roll(3) == 0) {
		c->releases_again = 1;
		c->deed = HOLDING;
		c->due = clock_of(c) + span_up_to(PMZ_MS(100));
	} else {
		rest(c);
	}
}

/* On so many nodes one token was seen. */
static unsigned shown_most(const met *m)
{
	unsigned most = 0, i, j;

	for (i = 0; i < h.node_count; i++) {
		unsigned n = 0;

		for (j = 0; m->shown[i] && j < h.node_count; j++)
			n += m->shown[j] == m->shown[i];
		most = n > most ? n : most;
	}
	return most;
}

static void peeked(client *c, int status)
{
	unsigned shown = token_known(c->lease.token), i, n = 0;
	unsigned before = c->holder_before;

	count.peeks++;
	for (i = 0; i < h.node_count; i++)
		n += shown && c->met.shown[i] == shown;
	if (before && before != valid_token())
		before = NOBODY;
	if (status == PMZ_OK) {
		claim(n >= h.quorum, "a holder that %u nodes have shown", n);
		claim(!before || before == shown, "not who holds it");
	} else if (status == PMZ_REFUSED_EMPTY) {
		count.empties++;
		claim(!before, "said to be free, and is held");
	} else if (status == PMZ_E_QUORUM && h.node_count > 1) {
		/* What comes after a node's time-out counts no more. */
		claim(c->met.trouble || shown_most(&c->met) < h.quorum,
		      "a holder is kept quiet");
	} else {
		check_failure(c, status);
	}
	memset(&c->lease, 0, sizeof(c->lease));
	rest(c);
}

static void finish(client *c)
{
	int status = pmz_lock_op_end(&c->op, &c->lease, NULL);

	c->runs = 0;
	c->cancel_at = PMZ_NEVER;
	switch (c->deed) {
	case ACQUIRING:
		acquired(c, status);
		break;
	case EXTENDING:
		extended(c, status);
		break;
	case RELEASING:
		released(c, status);
		break;
	default:
		peeked(c, status);
	}
}

static void count_in_window(client *c, unsigned *of)
{
	if (clock_of(c) - c->window > PMZ_S(1)) {
		c->window = clock_of(c);
		c->asks = c->sends = 0;
	}
	++*of;
	claim(c->asks <= ASKS_MAX, "asked %u times in a second", c->asks);
	claim(c->sends <= SENDS_MAX, "%u orders in a second", c->sends);
}

/* Asks the op of this client what it wants, and does it. */
static void turn(unsigned i)
{
	client *c = &h.clients[i];
	pmz_lock_order order;
	pmz_lock_step step;

	while ((step = pmz_lock_op_next(&c->op, clock_of(c), &order)) ==
	       PMZ_LOCK_SEND) {
		count_in_window(c, &c->sends);
		dispatch(i, &order);
	}
	if (step == PMZ_LOCK_DONE) {
		finish(c);
		return;
	}
	c->wakes = step == PMZ_LOCK_PAUSE && order.wakes;
	c->due = order.due;
	claim(clock_of(c) <= c->end_by,
	      "it goes on after its time, in deed %d, step %d, by %.6f s",
	      c->deed, step, (double)(clock_of(c) - c->end_by) / 1e9);
	claim(c->due > clock_of(c), "it wants to be asked again at once");
}

static void forget(client *c)
{
	count.forgets++;
	tokens[c->token].standing = FORGOTTEN;
	c->holds = 0;
	rest(c);
}

static void act_as_holder(client *c)
{
	if (c->releases_again)
		give_back(c);
	else if (roll(12) == 0)
		forget(c);
	else if (h.now < h.ends && roll(2))
		lengthen_lease(c);
	else
		give_back(c);
}

static void cancel(client *c)
{
	c->cancel_at = PMZ_NEVER;
	if (roll(2)) {
		c->is_cancelled = 1;
		pmz_lock_op_cancel(&c->op, clock_of(c));
	} else {
		pmz_lock_op_wake(&c->op, clock_of(c));
	}
}

/* Its op asked for it, or it is time for its next deed. */
static void act(unsigned i)
{
	client *c = &h.clients[i];

	if (c->runs && clock_of(c) >= c->cancel_at)
		cancel(c);
	else if (c->runs)
		count_in_window(c, &c->asks);
	else if (c->deed == HOLDING)
		act_as_holder(c);
	else if (roll(6) == 0)
		look(c);
	else
		want(c);
	if (c->runs)
		turn(i);
	if (in_pct(h.stops_pct) && h.now < h.ends) {
		count.stops++;
		c->stopped = h.now + a_delay();
		c->met.trouble = bit(h.node_count) - 1;
		c->end_by = later(c->end_by,
		                  clock_at(c, c->stopped) + ALLOWANCE);
	}
}

static pmz_ns next_turn(const client *c)
{
	pmz_ns due = c->runs && c->cancel_at < c->due ? c->cancel_at : c->due;
	pmz_ns at = true_time(c, due);

	return at == PMZ_NEVER ? at : later(at, c->stopped);
}

static void change_again(unsigned i, pmz_ns in)
{
	const parcel p = { .kind = CHANGES, .node = i };

	post(&p, h.now + in);
}

static void die(node *n, unsigned i)
{
	n->state = AWAY;
	n->life++;
	n->loses = h.loses_memory && roll(2);
	count.restarts += (unsigned)n->loses;
	change_again(i, span_up_to(PMZ_S(2)));
}

static void lose_memory(node *n, unsigned i)
{
	unsigned t;

	n->lock = NOBODY;
	n->fence = 0;
	n->scripts = 0;
	for (t = 1; t <= token_count; t++)
		tokens[t].tombs[i] = 0;
}

/* Without its memory, not before its key would have ended. */
static void come_back(node *n, unsigned i)
{
	if (n->loses && lock_of(n)) {
		change_again(i, PMZ_MS(n->ends - node_ms(n)));
		return;
	}
	if (n->loses)
		lose_memory(n, i);
	n->state = UP;
	change_again(i, span_up_to(PMZ_S(4)));
}

static void set_mood(node *n)
{
	static const char *const moods[] = {
		"LOADING Redis is loading", "READONLY You can't write",
		"OOM command not allowed",  "NOAUTH Authentication required.",
		"NOPERM no",
	};

	n->mood = moods[roll(sizeof(moods) / sizeof(*moods))];
}

/* Its clock may be set, if its memory makes up for that. */
static void set_time(node *n)
{
	if (!h.loses_memory)
		n->ahead_us = (int64_t)dice_between(&h.d, 0, 7200000000) -
		              3600000000;
}

static void worsen(node *n, unsigned i)
{
	switch (roll(5)) {
	case 0:
		die(n, i);
		return;
	case 1:
		n->state = HUNG;
		break;
	case 2:
		set_mood(n);
		break;
	case 3:
		n->scripts = 0;
		break;
	default:
		set_time(n);
	}
	change_again(i, span_up_to(PMZ_MS(800)));
}

static void change(unsigned i)
{
	node *n = &h.nodes[i];

	if (n->state == AWAY) {
		come_back(n, i);
		return;
	}
	if (n->state == UP && !n->mood) {
		if (h.now < h.ends)
			worsen(n, i);
		return;
	}
	n->state = UP;
	n->mood = NULL;
	if (h.now < h.ends)
		change_again(i, span_up_to(PMZ_S(4)));
}

static void outsider_leaves(void)
{
	unsigned i;

	for (i = 0; i < h.node_count; i++)
		if (h.nodes[i].state == UP &&
		    lock_of(&h.nodes[i]) == h.outsider)
			h.nodes[i].lock = NOBODY;
	h.outsider = NOBODY;
	tell_of_release();
}

/* SET NX PX on each node, with a value of its own kind. */
static void outsider_comes(void)
{
	uint64_t ms = dice_between(&h.d, 5, 600);
	char hex[64];
	unsigned i;

	snprintf(hex, sizeof(hex), "outsider-%llu", (llu)dice_roll(&h.d));
	h.outsider = token_new(hex, FOREIGN);
	h.outsider_at = 0;
	h.outsider_until = h.now + PMZ_MS(ms) - PMZ_MS(ms) / 100 - PMZ_MS(2);
	for (i = 0; i < h.node_count; i++) {
		node *n = &h.nodes[i];

		if (n->state != UP || lock_of(n) || roll(4) == 0)
			continue;
		n->lock = h.outsider;
		n->ends = end_in(n, ms);
		h.outsider_at |= bit(i);
	}
	if (bits(h.outsider_at) < h.quorum)
		outsider_leaves();
	else
		count.outsiders++;
}

static void outsider_acts(void)
{
	const parcel p = { .kind = OUTSIDER };

	if (h.outsider)
		outsider_leaves();
	else if (h.now < h.ends)
		outsider_comes();
	if (h.outsider || h.now < h.ends)
		post(&p, h.now + span_up_to(PMZ_MS(400)));
}

static void handle(parcel *p)
{
	switch (p->kind) {
	case ARRIVES:
		arrive(p);
		break;
	case IS_OWED:
		pay(p);
		break;
	case CHANGES:
		change(p->node);
		break;
	case OUTSIDER:
		outsider_acts();
		break;
	default:
		deliver(p);
	}
}

static void handle_first(void)
{
	unsigned id = heap_pop();
	parcel p = parcels[id];

	idle[idle_count++] = (uint16_t)id;
	h.now = p.at;
	handle(&p);
	if (p.kind != ARRIVES && p.kind != IS_OWED)
		return;
	tokens[p.token].on_its_way--;
	look_for_orphan(p.token);
}

/* 0: all is over. */
static int step(void)
{
	pmz_ns first = heap_count ? parcels[heap[0]].at : PMZ_NEVER, at;
	unsigned i, who = CLIENTS;

	for (i = 0; i < h.client_count; i++) {
		at = next_turn(&h.clients[i]);
		if (at >= first)
			continue;
		first = at;
		who = i;
	}
	if (first == PMZ_NEVER)
		return 0;
	h.step++;
	if (who == CLIENTS) {
		handle_first();
	} else {
		h.now = later(h.now, first);
		act(who);
	}
	one_holds_it_at_most();
	return 1;
}

static int a_ppm(void)
{
	return roll(2) ? roll(2) ? PPM_MAX : -PPM_MAX
		       : (int)roll(2 * PPM_MAX) - PPM_MAX;
}

static void open_rules(void)
{
	static const unsigned nodes[] = { 1, 1, 2, 3, 3, 3, 4, 5, 5, 5 };

	h.node_count = nodes[roll(sizeof(nodes) / sizeof(*nodes))];
	h.quorum = h.node_count / 2 + 1;
	h.rules.size = sizeof(h.rules);
	h.rules.nodes = h.node_count;
	h.rules.connect_ns = CONNECT;
	h.rules.node_timeout_ns = roll(2) ? PMZ_MS(10 + roll(60)) : 0;
	h.rules.fence_off = roll(6) == 0;
	h.rules.replicas_min = roll(8) == 0;
}

static void open_nodes(void)
{
	unsigned i;

	h.loses_memory = roll(2) == 0;
	for (i = 0; i < h.node_count; i++) {
		node *n = &h.nodes[i];

		n->ppm = a_ppm();
		n->scripts = roll(2) ? ~0u : 0;
		if (!h.loses_memory)
			set_time(n);
		if (h.faults_pct)
			change_again(i, span_up_to(PMZ_S(3)));
	}
}

static void open_clients(void)
{
	unsigned i;

	h.client_count = 2 + roll(CLIENTS - 1);
	for (i = 0; i < h.client_count; i++) {
		client *c = &h.clients[i];

		c->ppm = a_ppm();
		c->ahead = span_up_to(PMZ_S(100));
		rest(c);
	}
}

static void open_history(int seed)
{
	const parcel outsider = { .kind = OUTSIDER };

	memset(&h, 0, sizeof(h));
	memset(slots, 0, sizeof(slots));
	token_count = 0;
	parcels_so_far = 0;
	empty_post();
	h.seed = seed;
	h.d = dice_of(seed);
	h.now = START;
	h.ends = START + SPAN;
	h.trip = dice_between(&h.d, PMZ_US(50), TRIP_MAX);
	h.faults_pct = roll(5) ? 1 + roll(40) : 0;
	h.stops_pct = roll(2) ? 1 + roll(4) : 0;
	open_rules();
	open_nodes();
	open_clients();
	if (roll(2))
		post(&outsider, h.now);
}

static void nothing_is_left(void)
{
	unsigned t, left;

	for (t = 1; t <= token_count; t++) {
		must_be(tokens[t].on_its_way, 0);
		if (tokens[t].standing == FORGOTTEN ||
		    tokens[t].standing == FOREIGN)
			continue;
		left = where_is(t) & ~tokens[t].excused;
		claim(!left, "%s is left on the nodes %x", tokens[t].hex, left);
	}
}

static void live_through(int seed)
{
	open_history(seed);
	while (step())
		;
	nothing_is_left();
}

static unsigned long steps_of_a_turn(void)
{
	const char *steps = getenv("PIPEMAZE_STEPS");

	return steps ? strtoul(steps, NULL, 10) / TURNS : STEPS;
}

START_TEST(whatever_is_late_lost_or_twice_the_lock_is_one_holders)
{
	unsigned long steps = 0;
	int i;

	for (i = 0; i < HISTORIES && steps < steps_of_a_turn(); i++) {
		live_through(_i * HISTORIES + i);
		steps += h.step;
	}
}
END_TEST

START_TEST(the_histories_have_all_that_they_are_about)
{
	int seed;

	for (seed = 0; seed < 40; seed++)
		live_through(seed);
	claim(count.grants > 200 && count.refusals > 400 && count.releases > 150,
	      "few locks were taken");
	claim(count.extensions > 100 && count.losses > 15, "few were extended");
	claim(count.short_of > 100 && count.denials > 60, "few tries failed");
	claim(count.cancels > 15 && count.stops > 50 && count.forgets > 20,
	      "few clients went astray");
	claim(count.outsiders > 20 && count.peeks > 150 && count.empties > 15,
	      "few looked on");
	claim(count.restarts > 10 && count.tombed > 50, "few nodes died");
	claim(count.raises > 400, "few fences were raised");
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("lock_model");
	TCase *tc = tcase_create("histories");

	tcase_add_loop_test(
		tc, whatever_is_late_lost_or_twice_the_lock_is_one_holders, 0,
		TURNS);
	tcase_add_test(tc, the_histories_have_all_that_they_are_about);
	tcase_set_timeout(tc, 120);
	suite_add_tcase(s, tc);
	return s;
}

int main(int argc, char **argv)
{
	SRunner *runner;
	int failed;

	if (argc > 1) {
		live_through(atoi(argv[1]));
		return EXIT_SUCCESS;
	}
	runner = srunner_create(suite());
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
