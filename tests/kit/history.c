/*
 * history.c - what the clients of locks were told, and whether it can be true.
 */
#include "history.h"

#include <dirent.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pipemaze/edge.h>

#include "redis.h"

/* What a busy machine adds to a call between two wake-ups of the gauge. */
#define SLACK_NS PMZ_MS(100)
#define GAUGE_NS PMZ_MS(20)
#define THREADS_MAX 256
/* The keeper has a tenth of the ttl to say that a lease will be lost. */
#define REPORT_BEFORE 10
/* From its due time to the ear of who hears of it, on an idle machine. */
#define TELLING_NS PMZ_MS(5)
#define WORDS_SIZE 1024

/* In that time some thread waited so long for a processor. */
typedef struct stall {
	pmz_ns from, to, span;
} stall;

typedef struct waited {
	char thread[16];
	unsigned long long ns;
} waited;

/* A call that took longer than its bound. */
typedef struct overrun {
	unsigned id;
	pmz_ns began, ended, bound;
} overrun;

typedef struct list {
	void *items;
	size_t count, room;
} list;

struct history {
	pthread_mutex_t mutex;
	pthread_t gauge;
	int seed;
	int ended;
	unsigned wrong;
	pmz_ns start;
	list leases;   /* history_lease */
	list calls;    /* overrun, of each lease the one under way */
	list overruns; /* overrun */
	list stalls;   /* stall */
	waited waited[THREADS_MAX];
};

static void *list_add(list *l, size_t size)
{
	if (l->count == l->room) {
		l->room = l->room ? 2 * l->room : 64;
		l->items = realloc(l->items, l->room * size);
		if (!l->items)
			kit_fail("history: out of memory");
	}
	return memset((char *)l->items + size * l->count++, 0, size);
}

static history_lease *lease_of(const history *h, unsigned id)
{
	return (history_lease *)h->leases.items + id;
}

static pmz_ns min(pmz_ns a, pmz_ns b)
{
	return a < b ? a : b;
}

static pmz_ns max(pmz_ns a, pmz_ns b)
{
	return a > b ? a : b;
}

static int has_ended(history *h)
{
	int ended;

	pthread_mutex_lock(&h->mutex);
	ended = h->ended;
	pthread_mutex_unlock(&h->mutex);
	return ended;
}

/* The kernel's count; 0 where it keeps none. */
static unsigned long long read_waited(const char *thread)
{
	unsigned long long ns = 0;
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/task/%.15s/schedstat", thread);
	f = fopen(path, "re");
	if (!f)
		return 0;
	if (fscanf(f, "%*u %llu", &ns) != 1)
		ns = 0;
	fclose(f);
	return ns;
}

static waited *seat_of(history *h, const char *thread)
{
	waited *w = h->waited, *end = w + THREADS_MAX - 1;

	while (w < end && *w->thread && strcmp(w->thread, thread))
		w++;
	snprintf(w->thread, sizeof(w->thread), "%.15s", thread);
	return w;
}

/* How much more it is than when it was asked last. */
static pmz_ns more_waited(history *h, const char *thread)
{
	unsigned long long now = read_waited(thread);
	waited *w = seat_of(h, thread);
	pmz_ns more = now > w->ns ? now - w->ns : 0;

	w->ns = now;
	return more;
}

/* The most that any thread has waited. */
static pmz_ns most_waited(history *h)
{
	DIR *tasks = opendir("/proc/self/task");
	const struct dirent *e;
	pmz_ns most = 0;

	while (tasks && (e = readdir(tasks)) != NULL)
		if (*e->d_name != '.')
			most = max(most, more_waited(h, e->d_name));
	if (tasks)
		closedir(tasks);
	return most;
}

static void note_stall(history *h, stall s)
{
	pthread_mutex_lock(&h->mutex);
	*(stall *)list_add(&h->stalls, sizeof(s)) = s;
	pthread_mutex_unlock(&h->mutex);
}

static void *gauge(void *arg)
{
	history *h = arg;
	pmz_ns before = pmz_now();

	most_waited(h);
	while (!has_ended(h)) {
		pmz_ns due = pmz_now() + GAUGE_NS, late, now;

		pmz_sleep_until(due);
		late = pmz_now() - due;
		late = max(late, most_waited(h));
		now = pmz_now();
		note_stall(h, (stall){ before, now, late });
		before = now;
	}
	return NULL;
}

/* The machine's part in what was late in [from, to]. */
static pmz_ns stalled(const history *h, pmz_ns from, pmz_ns to)
{
	const stall *s = h->stalls.items, *end = s + h->stalls.count;
	pmz_ns sum = 0;

	for (; s < end; s++)
		if (s->from < to && s->to > from)
			sum += s->span;
	return sum;
}

history *history_new(int seed)
{
	history *h = calloc(1, sizeof(*h));

	if (!h)
		kit_fail("history: out of memory");
	h->seed = seed;
	h->start = pmz_now();
	pthread_mutex_init(&h->mutex, NULL);
	if (pthread_create(&h->gauge, NULL, gauge, h))
		kit_fail("history: no thread");
	return h;
}

static void end_gauge(history *h)
{
	int ended;

	pthread_mutex_lock(&h->mutex);
	ended = h->ended;
	h->ended = 1;
	pthread_mutex_unlock(&h->mutex);
	if (!ended)
		pthread_join(h->gauge, NULL);
}

void history_free(history *h)
{
	end_gauge(h);
	pthread_mutex_destroy(&h->mutex);
	free(h->leases.items);
	free(h->calls.items);
	free(h->overruns.items);
	free(h->stalls.items);
	free(h);
}

static void begin_call(history *h, unsigned id, pmz_ns bound)
{
	overrun *call = (overrun *)h->calls.items + id;

	*call = (overrun){ id, pmz_now(), 0, bound };
	lease_of(h, id)->busy = 1;
}

static void end_call(history *h, unsigned id, pmz_ns now)
{
	overrun *call = (overrun *)h->calls.items + id;

	lease_of(h, id)->busy = 0;
	call->ended = now;
	if (now - call->began > call->bound + SLACK_NS)
		*(overrun *)list_add(&h->overruns, sizeof(*call)) = *call;
}

unsigned history_ask(history *h, unsigned who, const char *name, pmz_ns bound)
{
	history_lease *lease;
	unsigned id;

	pthread_mutex_lock(&h->mutex);
	id = (unsigned)h->leases.count;
	lease = list_add(&h->leases, sizeof(*lease));
	list_add(&h->calls, sizeof(overrun));
	snprintf(lease->name, sizeof(lease->name), "%s", name);
	lease->who = who;
	begin_call(h, id, bound);
	lease->asked = pmz_now();
	pthread_mutex_unlock(&h->mutex);
	return id;
}

/* Begins with the instant, so that waiting for the mutex is no part of what the
 * library took. */
static history_lease *enter(history *h, unsigned id, pmz_ns *now)
{
	*now = pmz_now();
	pthread_mutex_lock(&h->mutex);
	return lease_of(h, id);
}

static void leave(history *h)
{
	pthread_mutex_unlock(&h->mutex);
}

void history_answer(history *h, unsigned id, int status, const pmz_lease *lease)
{
	pmz_ns now;
	history_lease *l = enter(h, id, &now);

	end_call(h, id, now);
	l->answered = 1;
	l->status = status;
	if (status == PMZ_OK) {
		l->granted = now;
		l->until = lease->until;
		l->fence = lease->fence;
		l->ttl = lease->ttl;
		memcpy(l->token, lease->token, sizeof(l->token));
	}
	leave(h);
}

void history_extend(history *h, unsigned id, pmz_ns bound)
{
	pthread_mutex_lock(&h->mutex);
	begin_call(h, id, bound);
	pthread_mutex_unlock(&h->mutex);
}

static void lose(history_lease *l, pmz_ns now, pmz_ns end, int why)
{
	if (l->lost_at)
		return;
	l->lost_at = now;
	l->lost_end = end;
	l->lost_why = why;
}

void history_extended(history *h, unsigned id, int status,
                      const pmz_lease *lease)
{
	pmz_ns now;
	history_lease *l = enter(h, id, &now);

	end_call(h, id, now);
	if (status == PMZ_OK)
		l->until = max(l->until, lease->until);
	else if (status == PMZ_E_LOST)
		lose(l, now, now, status);
	leave(h);
}

void history_keep(history *h, unsigned id)
{
	pthread_mutex_lock(&h->mutex);
	lease_of(h, id)->kept = 1;
	pthread_mutex_unlock(&h->mutex);
}

void history_refreshed(history *h, unsigned id, int status,
                       const pmz_lease *lease)
{
	pmz_ns now;
	history_lease *l = enter(h, id, &now);

	if (status == PMZ_OK)
		l->until = max(l->until, lease->until);
	leave(h);
}

static history_lease *by_token(const history *h, const char *token)
{
	size_t i = h->leases.count;

	while (i--)
		if (!strcmp(lease_of(h, (unsigned)i)->token, token))
			return lease_of(h, (unsigned)i);
	return NULL;
}

void history_lost(history *h, const pmz_lease *lost, int why)
{
	pmz_ns now;
	history_lease *l;

	enter(h, 0, &now);
	l = by_token(h, lost->token);
	if (l) {
		l->losses++;
		lose(l, now, lost->until, why);
	}
	leave(h);
	if (!l)
		history_wrong(h,
		              "a loss is told of the token %s, which nobody "
		              "was granted",
		              lost->token);
}

void history_let_go(history *h, unsigned id, pmz_ns bound)
{
	pmz_ns now;
	history_lease *l = enter(h, id, &now);

	l->again = l->let_go != 0;
	if (!l->let_go)
		l->let_go = now;
	begin_call(h, id, bound);
	leave(h);
}

void history_gone(history *h, unsigned id, int status)
{
	pmz_ns now;
	history_lease *l = enter(h, id, &now);

	end_call(h, id, now);
	if (status == PMZ_E_LOST && !l->again)
		lose(l, now, now, status);
	leave(h);
}

void history_forget(history *h, unsigned id)
{
	pthread_mutex_lock(&h->mutex);
	lease_of(h, id)->forgotten = 1;
	pthread_mutex_unlock(&h->mutex);
}

static int is_over(const history_lease *l, pmz_ns now)
{
	if (l->busy)
		return 0;
	if (!l->granted || l->let_go || (l->lost_at && now >= l->lost_end))
		return 1;
	return !l->kept && now >= l->until;
}

int history_is_over(history *h, pmz_ns then)
{
	pmz_ns now;
	history_lease *l = enter(h, 0, &now), *end = l + h->leases.count;

	while (l < end && (l->asked >= then || is_over(l, now)))
		l++;
	leave(h);
	return l == end;
}

static void print(history *h, const char *words)
{
	h->wrong++;
	fprintf(stderr, "seed %d: %s\n", h->seed, words);
}

void history_wrong(history *h, const char *format, ...)
{
	char words[WORDS_SIZE];
	va_list args;

	va_start(args, format);
	vsnprintf(words, sizeof(words), format, args);
	va_end(args);
	pthread_mutex_lock(&h->mutex);
	print(h, words);
	pthread_mutex_unlock(&h->mutex);
}

/* When its holder had it no more. */
static pmz_ns end_of(const history_lease *l)
{
	pmz_ns end = l->until;

	if (l->lost_at)
		end = l->lost_why == PMZ_E_LOST ? min(end, l->lost_at)
		                                : max(end, l->lost_end);
	return l->let_go ? min(end, l->let_go) : end;
}

static int by_name_and_grant(const void *a, const void *b)
{
	const history_lease *x = a, *y = b;
	int names = strcmp(x->name, y->name);

	return names ? names
	             : (x->granted > y->granted) - (x->granted < y->granted);
}

/* Where the words go, and when their time begins. */
typedef struct teller {
	history_tell tell;
	void *ctx;
	pmz_ns start;
} teller;

static double ms(const teller *t, pmz_ns at)
{
	return at > t->start ? (double)(at - t->start) / 1e6 : 0;
}

static int describe(const teller *t, const history_lease *l, char *out,
                    size_t len)
{
	int n = snprintf(out, len,
	                 "\n  client %u asked for \"%s\" at %.3f ms, had it at "
	                 "%.3f until %.3f, fence %llu, %s",
	                 l->who, l->name, ms(t, l->asked), ms(t, l->granted),
	                 ms(t, l->until), (unsigned long long)l->fence,
	                 l->kept ? "kept, " : "");

	out += n;
	len -= (size_t)n;
	if (l->let_go)
		n += snprintf(out, len, "let it go at %.3f", ms(t, l->let_go));
	else if (l->lost_at)
		n += snprintf(out, len,
		              "was told at %.3f that it is lost at %.3f (%s)",
		              ms(t, l->lost_at), ms(t, l->lost_end),
		              pmz_status_name(l->lost_why));
	else
		n += snprintf(out, len, "forgot it");
	return n;
}

static void tell(const teller *t, const char *claim, const history_lease *a,
                 const history_lease *b)
{
	char words[WORDS_SIZE];
	int n = snprintf(words, sizeof(words), "%s", claim);

	n += describe(t, a, words + n, sizeof(words) - (size_t)n);
	if (b)
		describe(t, b, words + n, sizeof(words) - (size_t)n);
	t->tell(t->ctx, words);
}

/* Its acquire returned before its end: else it held nothing. */
static int was_held(const history_lease *l)
{
	return l->granted && l->granted < end_of(l);
}

/* The earlier one that lasts longest says of each whether they overlap. */
static void look_at_pairs(const teller *t, const history_lease *l, size_t count)
{
	const history_lease *last = NULL, *longest = NULL, *end = l + count;

	for (; l < end; l++) {
		if (!was_held(l))
			continue;
		if (last && strcmp(last->name, l->name))
			last = longest = NULL;
		if (longest && l->granted < end_of(longest))
			tell(t, "two hold it at once", longest, l);
		else if (last && l->fence <= last->fence)
			tell(t, "the fence does not grow", last, l);
		last = l;
		if (!longest || end_of(l) > end_of(longest))
			longest = l;
	}
}

static pmz_ns loss_due(const history_lease *l)
{
	return l->lost_end - l->ttl / REPORT_BEFORE;
}

/* Too late, and more so than the machine can have made it. */
static int is_told_late(const history_lease *l)
{
	return l->losses && l->lost_why != PMZ_E_LOST &&
	       l->lost_at >= l->lost_end &&
	       l->lost_at - loss_due(l) > l->stalled;
}

static void look_at_loss(const teller *t, const history_lease *l)
{
	if (l->losses > 1)
		tell(t, "its loss is told more than once", l, NULL);
	if (is_told_late(l))
		tell(t, "its loss is told when it has ended", l, NULL);
	if (l->lost_at && l->lost_why == PMZ_E_LOST && l->lost_end < l->until)
		tell(t, "it is lost before its end", l, NULL);
	if (l->kept && l->forgotten && !l->losses)
		tell(t, "its loss is never told", l, NULL);
}

void history_look(history_lease *all, size_t count, pmz_ns start,
                  history_tell tell_it, void *ctx)
{
	const teller t = { tell_it, ctx, start };
	size_t i;

	qsort(all, count, sizeof(*all), by_name_and_grant);
	look_at_pairs(&t, all, count);
	for (i = 0; i < count; i++)
		look_at_loss(&t, &all[i]);
}

static void look_at_overruns(history *h)
{
	const overrun *c = h->overruns.items, *end = c + h->overruns.count;
	const teller t = { NULL, NULL, h->start };

	for (; c < end; c++) {
		const history_lease *l = lease_of(h, c->id);
		pmz_ns most = c->bound + SLACK_NS +
		              2 * stalled(h, c->began, c->ended);
		char words[WORDS_SIZE];

		if (c->ended - c->began <= most)
			continue;
		snprintf(words, sizeof(words),
		         "a call of client %u on \"%s\" began at %.3f ms and "
		         "was back at %.3f, bound to %.3f",
		         l->who, l->name, ms(&t, c->began), ms(&t, c->ended),
		         (double)c->bound / 1e6);
		print(h, words);
	}
}

static void print_it(void *ctx, const char *words)
{
	print(ctx, words);
}

unsigned history_judge(history *h)
{
	size_t i;

	end_gauge(h);
	look_at_overruns(h);
	for (i = 0; i < h->leases.count; i++) {
		history_lease *l = lease_of(h, (unsigned)i);

		l->stalled = TELLING_NS + stalled(h, loss_due(l), l->lost_at);
	}
	history_look(h->leases.items, h->leases.count, h->start, print_it, h);
	return h->wrong;
}

size_t history_held(const history *h)
{
	size_t i, n = 0;

	for (i = 0; i < h->leases.count; i++)
		n += (size_t)was_held(lease_of(h, (unsigned)i));
	return n;
}
