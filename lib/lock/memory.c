/*
 * memory.c - the store behind "memory:", which does in this process what the
 * scripts do in a server.
 *
 * An order is executed when it is sent, under the store's one mutex, and its
 * answer waits in the link for go_on(): so a driver sees the same order of
 * things as with a socket. A link is its lane's, and needs no lock of its own;
 * but what its ear listens to is written under the store's mutex, since other
 * links read it there when they delete a key.
 */
#include "lock/link.h"

#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/config.h"
#include "base/wide.h"
#include "lock/bell.h"
#include "lock/memory_table.h"

/* EVALSHA, the script, how many keys: then come the keys. */
#define ARGS_BEFORE_KEYS 3
#define ANSWER_MAX 160
#define KEY_PREFIX "lock:"
#define KEY_MAX (sizeof(KEY_PREFIX) - 1 + PMZ_LOCK_NAME_MAX)

static const char no_memory[] = "OOM the store in memory is full";

typedef struct answer {
	struct answer *next;
	pmz_lock_op *to;
	uint32_t ticket;
	int is_error;
	char text[ANSWER_MAX];
} answer;

typedef struct store store;

typedef struct memory_link {
	pmz__link link;
	store *at;
	answer *first;
	answer **last;
	struct memory_link *next_ear;
	pmz__bell ear; /* fd -1 before the first listen() */
	char heard[KEY_MAX + 1];
} memory_link;

struct store {
	pmz__node node;
	pthread_mutex_t mutex;
	pmz__table table;
	memory_link *ears;
	pmz_ns now; /* of two threads' clock reads the later one counts */
};

/* One order on its way through the store. */
typedef struct visit {
	store *at;
	const pmz_lock_order *order;
	answer *reply;
	uint32_t keys;
} visit;

static pmz__word word_of(const visit *v, uint32_t i)
{
	pmz__word word = { "", 0 };

	PMZ__ASSERT(i < v->order->argc);
	if (i >= v->order->argc)
		return word;
	word.at = v->order->argv[i];
	word.len = v->order->len[i];
	return word;
}

static pmz__word key_of(const visit *v, uint32_t i)
{
	return word_of(v, ARGS_BEFORE_KEYS + i);
}

static pmz__word arg_of(const visit *v, uint32_t i)
{
	return word_of(v, ARGS_BEFORE_KEYS + v->keys + i);
}

static uint64_t number_of(pmz__word word)
{
	uint64_t n = 0;
	size_t i;

	for (i = 0; i < word.len; i++)
		n = pmz__sat_add(pmz__sat_mul(n, 10),
		                 (uint64_t)(word.at[i] - '0'));
	return n;
}

/* When a span of ms that begins now ends. */
static pmz_ns end_of(const visit *v, pmz__word ms)
{
	pmz_ns span = pmz__sat_mul(number_of(ms), PMZ_MS(1));

	return pmz__sat_add(v->at->now, span);
}

static uint64_t left_of(const visit *v, const pmz__record *lock)
{
	pmz_ns left = pmz__sat_sub(lock->ends, v->at->now);

	return left / PMZ_MS(1) + (left % PMZ_MS(1) > 0);
}

static pmz__record *find(const visit *v, pmz__word key)
{
	return pmz__table_find(&v->at->table, key, v->at->now);
}

static PMZ__PRINTF(2, 3) void say(const visit *v, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(v->reply->text, ANSWER_MAX, format, args);
	va_end(args);
}

static void say_no_memory(const visit *v)
{
	v->reply->is_error = 1;
	say(v, no_memory);
}

/* What is there, or a new one. NULL: out of memory. */
static pmz__record *find_or_add(const visit *v, pmz__word key)
{
	const pmz__word nothing = { "", 0 };
	pmz__record *record = find(v, key);

	return record ? record : pmz__table_add(&v->at->table, key, nothing, 0);
}

static void lengthen(pmz__record *lock, pmz_ns ends)
{
	lock->ends = pmz__max(lock->ends, ends);
}

/* The next fence of the key; 0: out of memory. */
static uint64_t next_fence(const visit *v)
{
	pmz__record *fence = find_or_add(v, key_of(v, 2));

	if (!fence)
		return 0;
	fence->number = pmz__max(v->at->now / PMZ_US(1), fence->number + 1);
	fence->ends = end_of(v, arg_of(v, 2));
	return fence->number;
}

static uint64_t last_fence(const visit *v, uint32_t key)
{
	pmz__record *fence = v->keys > key ? find(v, key_of(v, key)) : NULL;

	return fence ? fence->number : 0;
}

/* The fence first: one that nobody gets does no harm. */
static void grant(const visit *v)
{
	int fenced = v->keys > 2;
	uint64_t fence = fenced ? next_fence(v) : 0;

	if ((fenced && !fence) ||
	    !pmz__table_add(&v->at->table, key_of(v, 0), arg_of(v, 0),
	                    end_of(v, arg_of(v, 1))))
		say_no_memory(v);
	else
		say(v, "1 %" PRIu64 " 0", fence);
}

/* -1 for a lock that is another's, 0 if there is none, 1 if it is the token's:
 * then it is in *lock. */
static int whose(const visit *v, pmz__record **lock)
{
	*lock = find(v, key_of(v, 0));
	if (!*lock)
		return 0;
	return pmz__word_is(pmz__record_value(*lock), arg_of(v, 0)) ? 1 : -1;
}

/* Keys lock, tomb, and fence if wanted; args token, ttl, and keep of the
 * fence. */
static void acquire(const visit *v)
{
	pmz__record *lock;
	int is = whose(v, &lock);

	if (is < 0) {
		say(v, "0 0 %" PRIu64, left_of(v, lock));
	} else if (is) {
		lengthen(lock, end_of(v, arg_of(v, 1)));
		say(v, "2 %" PRIu64 " 0", last_fence(v, 2));
	} else if (find(v, key_of(v, 1))) {
		say(v, "-1 0 0");
	} else {
		grant(v);
	}
}

/* Keys lock, fence; args token, fence, keep. */
static void raise_fence(const visit *v)
{
	uint64_t number = number_of(arg_of(v, 1));
	pmz__record *lock, *fence;

	if (whose(v, &lock) < 1) {
		say(v, "0");
		return;
	}
	fence = find_or_add(v, key_of(v, 1));
	if (!fence) {
		say_no_memory(v);
		return;
	}
	if (fence->number < number) {
		fence->number = number;
		fence->ends = end_of(v, arg_of(v, 2));
	}
	say(v, "1");
}

/* A store in this process has no replicas. */
static void replicate(const visit *v)
{
	say(v, "0");
}

/* Key lock; args token, ttl. */
static void extend(const visit *v)
{
	pmz__record *lock;
	int is = whose(v, &lock);

	if (is > 0)
		lengthen(lock, end_of(v, arg_of(v, 1)));
	say(v, "%d", is);
}

static void tell_ears(const store *s, pmz__word key)
{
	const memory_link *link;

	for (link = s->ears; link; link = link->next_ear) {
		pmz__word heard = { link->heard, strlen(link->heard) };

		if (pmz__word_is(heard, key))
			pmz__bell_ring(&link->ear);
	}
}

/* Key lock; arg token. */
static void release(const visit *v)
{
	pmz__record *lock;
	int is = whose(v, &lock);

	if (is > 0) {
		pmz__table_drop(&v->at->table, key_of(v, 0));
		tell_ears(v->at, key_of(v, 0));
	}
	say(v, "%d", is);
}

/* Keys lock, tomb; args token, and how long the tombstone stands. Without
 * memory for that the lock is let go all the same. */
static void abandon(const visit *v)
{
	pmz__record *tomb = find_or_add(v, key_of(v, 1));

	if (tomb)
		tomb->ends = end_of(v, arg_of(v, 1));
	release(v);
}

/* Keys lock, fence. */
static void peek(const visit *v)
{
	pmz__record *lock = find(v, key_of(v, 0));
	pmz__word token;

	if (!lock) {
		say(v, "0 0 0 ");
		return;
	}
	token = pmz__record_value(lock);
	say(v, "1 %" PRIu64 " %" PRIu64 " %.*s", left_of(v, lock),
	    last_fence(v, 1), (int)token.len, token.at);
}

static void execute(visit *v)
{
	static void (*const verbs[])(const visit *) = {
		[PMZ_LOCK_ACQUIRE] = acquire,
		[PMZ_LOCK_RAISE] = raise_fence,
		[PMZ_LOCK_REPLICATE] = replicate,
		[PMZ_LOCK_EXTEND] = extend,
		[PMZ_LOCK_RELEASE] = release,
		[PMZ_LOCK_ABANDON] = abandon,
		[PMZ_LOCK_PEEK] = peek,
	};
	uint32_t verb = v->order->verb;

	PMZ__ASSERT(verb && verb <= PMZ_LOCK_PEEK);
	if (verb != PMZ_LOCK_REPLICATE)
		v->keys = (uint32_t)number_of(word_of(v, 2));
	verbs[verb](v);
}

static memory_link *link_of(pmz__link *link)
{
	return (memory_link *)link;
}

static void queue(memory_link *link, answer *reply)
{
	*link->last = reply;
	link->last = &reply->next;
}

/* Out of memory even for the answer: it is the one that does not wait. */
static void refuse(pmz_lock_op *op, uint32_t ticket, pmz_ns now)
{
	pmz_lock_op_sent(op, ticket, now);
	pmz_lock_op_error(op, ticket, no_memory, sizeof(no_memory) - 1, now);
}

static void memory_send(pmz__link *link, pmz_lock_op *op,
                        const pmz_lock_order *order, pmz_ns now)
{
	store *s = link_of(link)->at;
	visit v = { s, order, pmz__alloc(sizeof(answer)), 0 };

	if (!v.reply) {
		refuse(op, order->ticket, now);
		return;
	}
	v.reply->to = op;
	v.reply->ticket = order->ticket;
	pthread_mutex_lock(&s->mutex);
	s->now = pmz__max(s->now, now);
	pmz__table_sweep(&s->table, s->now);
	execute(&v);
	pthread_mutex_unlock(&s->mutex);
	queue(link_of(link), v.reply);
}

static void memory_wants(const pmz__link *link, pmz__wants *out)
{
	const memory_link *l = (const memory_link *)link;

	out->due = l->first ? 0 : PMZ_NEVER;
	out->fd = -1;
	out->events = 0;
}

static answer *take_first(memory_link *link)
{
	answer *reply = link->first;

	link->first = reply->next;
	if (!link->first)
		link->last = &link->first;
	return reply;
}

static void deliver(answer *reply, pmz_ns now)
{
	size_t len = strlen(reply->text);

	pmz_lock_op_sent(reply->to, reply->ticket, now);
	if (reply->is_error)
		pmz_lock_op_error(reply->to, reply->ticket, reply->text, len,
		                  now);
	else
		pmz_lock_op_reply(reply->to, reply->ticket, reply->text, len,
		                  now);
	pmz__free(reply);
}

static void memory_go_on(pmz__link *link, pmz_ns now)
{
	while (link_of(link)->first)
		deliver(take_first(link_of(link)), now);
}

/* Of all ops, if NULL. */
static void forget(memory_link *link, const pmz_lock_op *op)
{
	answer **at = &link->first;

	while (*at) {
		answer *reply = *at;

		if (op && reply->to != op) {
			at = &reply->next;
			continue;
		}
		*at = reply->next;
		pmz__free(reply);
	}
	link->last = at;
}

static void memory_forget(pmz__link *link, const pmz_lock_op *op, pmz_ns now)
{
	(void)now;
	forget(link_of(link), op);
}

static int open_ear(memory_link *link)
{
	if (link->ear.fd >= 0)
		return 0;
	if (pmz__bell_open(&link->ear))
		return -1;
	link->next_ear = link->at->ears;
	link->at->ears = link;
	return 0;
}

/* Under the mutex, so that no notice of the name before is left over. */
static void turn_ear(memory_link *link, const char *name)
{
	if (!strcmp(link->heard + sizeof(KEY_PREFIX) - 1, name))
		return;
	snprintf(link->heard, sizeof(link->heard), KEY_PREFIX "%s", name);
	pmz__bell_hush(&link->ear);
}

/* To one name at a time, the last: a lane waits for no more. */
static int memory_listen(pmz__link *link, const char *name, pmz_ns now)
{
	memory_link *l = link_of(link);
	int failed;

	(void)now;
	pthread_mutex_lock(&l->at->mutex);
	failed = open_ear(l);
	if (!failed)
		turn_ear(l, name);
	pthread_mutex_unlock(&l->at->mutex);
	return failed ? PMZ_E_ABSENT : PMZ_OK;
}

static void memory_ear_wants(const pmz__link *link, pmz__wants *out)
{
	const memory_link *l = (const memory_link *)link;

	out->due = PMZ_NEVER;
	out->fd = l->ear.fd;
	out->events = POLLIN;
}

static int memory_ear_go_on(pmz__link *link, pmz_ns now)
{
	(void)now;
	return link_of(link)->ear.fd >= 0 &&
	       pmz__bell_hush(&link_of(link)->ear);
}

static void close_ear(memory_link *link)
{
	memory_link **at = &link->at->ears;

	while (*at && *at != link)
		at = &(*at)->next_ear;
	if (*at)
		*at = link->next_ear;
	pmz__bell_close(&link->ear);
}

static void memory_link_free(pmz__link *link)
{
	memory_link *l = link_of(link);

	pthread_mutex_lock(&l->at->mutex);
	close_ear(l);
	pthread_mutex_unlock(&l->at->mutex);
	forget(l, NULL);
	pmz__free(l);
}

static pmz__link *memory_connect(pmz__node *node)
{
	static const pmz__link_type type = {
		memory_send,      memory_wants,     memory_go_on,
		memory_forget,    memory_listen,    memory_ear_wants,
		memory_ear_go_on, memory_link_free, NULL,
	};
	memory_link *link = pmz__alloc(sizeof(*link));

	if (!link)
		return NULL;
	link->link.type = &type;
	link->at = (store *)node;
	link->last = &link->first;
	link->ear.fd = link->ear.in = -1;
	return &link->link;
}

static void memory_free(pmz__node *node)
{
	store *s = (store *)node;

	PMZ__ASSERT(!s->ears);
	pmz__table_close(&s->table);
	pthread_mutex_destroy(&s->mutex);
	pmz__free(s);
}

pmz__node *pmz__memory_new(void)
{
	static const pmz__node_type type = { memory_connect, memory_free };
	store *s = pmz__alloc(sizeof(*s));

	if (!s)
		return NULL;
	if (pmz__table_open(&s->table)) {
		pmz__free(s);
		return NULL;
	}
	s->node.type = &type;
	pthread_mutex_init(&s->mutex, NULL);
	return &s->node;
}
