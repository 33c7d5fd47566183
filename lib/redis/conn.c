/*
 * conn.c - one connection to one server: how it begins, ends, and is spent.
 */
#include "redis/conn.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/wide.h"
#include "redis/node.h"

void pmz__conn_init(pmz__conn *c, pmz__host *host, pmz__conn_told told,
                    void *ctx)
{
	memset(c, 0, sizeof(*c));
	c->host = host;
	c->told = told;
	c->ctx = ctx;
	c->fd = -1;
	c->dial.fd = -1;
}

void pmz__conn_end(pmz__conn *c, pmz_ns now)
{
	pmz__conn_close(c, "closed", now);
	pmz__queue_free(&c->queue);
	pmz__out_free(&c->out);
}

static void fail(pmz__await *a, int written, const char *text, pmz_ns now)
{
	if (a->op)
		pmz_lock_op_fail(a->op, a->ticket, written, text, now);
	a->op = NULL;
}

static void owe(pmz__conn *c, pmz__await *a)
{
	if (a->debt)
		pmz__owed_renew(c->host->owed, a->debt);
	a->debt = 0;
}

/* An abandon that is on its way. */
static int has_written_debt(const pmz__conn *c)
{
	uint32_t i;

	for (i = 0; i < c->queue.sent; i++)
		if (pmz__queue_at(&c->queue, i)->debt)
			return 1;
	return 0;
}

static void close_socket(pmz__conn *c, int deliver)
{
	int fd = c->fd;

	c->fd = -1;
	pmz__dial_end(&c->dial);
	if (fd < 0)
		return;
	if (deliver)
		pmz__socket_close(fd);
	else
		pmz__socket_reset(fd);
}

static void settle_permit(pmz__conn *c, pmz_outcome how, pmz_ns now)
{
	const pmz_permit none = { { 0, 0 } };

	if (memcmp(&c->permit, &none, sizeof(none)))
		pmz_breaker_settle(c->host->breaker, &c->permit, how, now);
	c->permit = none;
}

void pmz__conn_close(pmz__conn *c, const char *text, pmz_ns now)
{
	uint64_t written = c->out.written;

	if (c->state == PMZ__CONN_CLOSED)
		return;
	settle_permit(c, PMZ_IGNORE, now);
	c->state = PMZ__CONN_CLOSED;
	close_socket(c, !c->spent || has_written_debt(c));
	c->spent = c->logins = 0;
	while (c->queue.count) {
		pmz__await a = pmz__queue_shift(&c->queue);

		fail(&a, a.ends <= written, text, now);
		owe(c, &a);
	}
	pmz__out_reset(&c->out);
	if (c->reader)
		redisReaderFree(c->reader);
	c->reader = NULL;
}

static int push(pmz__conn *c, const pmz__await *await, uint64_t begins)
{
	pmz__await *a = pmz__queue_push(&c->queue);

	if (!a) {
		pmz__out_cut(&c->out, begins);
		return 0;
	}
	*a = *await;
	a->begins = begins;
	a->ends = pmz__out_end(&c->out);
	return 1;
}

static int push_words(pmz__conn *c, const pmz__await *a, const pmz__words *w)
{
	uint64_t begins = pmz__out_end(&c->out);

	return pmz__out_words(&c->out, w) && push(c, a, begins);
}

int pmz__conn_ask(pmz__conn *c, uint32_t kind, const char *const *word,
                  pmz_ns due)
{
	pmz__await a = { .kind = kind, .due = due };
	pmz__words words = { 0, word, NULL };

	while (word[words.count])
		words.count++;
	return push_words(c, &a, &words);
}

static int log_in(pmz__conn *c)
{
	const pmz__address *at = &c->host->address;
	const char *with_user[] = { "AUTH", at->user, at->pass, NULL };
	const char *without[] = { "AUTH", at->pass, NULL };
	char db[12];
	const char *select[] = { "SELECT", db, NULL };
	int ok = 1;

	snprintf(db, sizeof(db), "%u", (unsigned)at->db);
	if (at->has_pass)
		ok = pmz__conn_ask(c, PMZ__LOGIN,
		                   *at->user ? with_user : without, PMZ_NEVER);
	if (ok && at->db)
		ok = pmz__conn_ask(c, PMZ__LOGIN, select, PMZ_NEVER);
	c->logins = c->queue.count;
	c->logins_end = pmz__out_end(&c->out);
	return ok;
}

static int may_dial(pmz__conn *c, int insists, pmz_ns now, char *text,
                    size_t len)
{
	int st = pmz_breaker_acquire(c->host->breaker, now, &c->permit, NULL);

	if (st == PMZ_OK || insists)
		return 1;
	snprintf(text, len, "resting after a failed connect");
	return 0;
}

/* From 1.0 on hiredis makes room for as many as are announced. */
static redisReader *new_reader(void)
{
	redisReader *reader = redisReaderCreate();

#ifdef REDIS_READER_MAX_ARRAY_ELEMENTS
	if (reader)
		reader->maxelements = PMZ__ELEMENTS_MAX;
#endif
	return reader;
}

static int dial(pmz__conn *c, pmz_ns now, char *text, size_t len)
{
	c->serial++;
	c->state = PMZ__CONN_DIALLING;
	c->unread = 0;
	c->reader = new_reader();
	if (!c->reader || !log_in(c)) {
		snprintf(text, len, "out of memory");
		return 0;
	}
	if (pmz__host_places(c->host, &c->dial.places, text, len))
		return 0;
	pmz__dial_begin(&c->dial, pmz__sat_add(now, c->host->connect_ns));
	return 1;
}

/* A look-up that failed is a connect that failed. */
static int open_anew(pmz__conn *c, int insists, pmz_ns now, char *text,
                     size_t len)
{
	if (!may_dial(c, insists, now, text, len))
		return 0;
	if (dial(c, now, text, len))
		return 1;
	settle_permit(c, PMZ_FAILURE, now);
	c->down = 1;
	pmz__conn_close(c, text, now);
	return 0;
}

static void opened(pmz__conn *c, pmz_ns now)
{
	const pmz_permit none = { { 0, 0 } };

	/* One who insisted has found out what the others rest for. */
	if (!memcmp(&c->permit, &none, sizeof(none)))
		pmz_breaker_reset(c->host->breaker, now);
	settle_permit(c, PMZ_SUCCESS, now);
	c->fd = c->dial.fd;
	c->dial.fd = -1;
	c->patience = 0;
	pmz__socket_may_sleep(c->fd);
	c->state = PMZ__CONN_OPEN;
}

static void dial_failed(pmz__conn *c, pmz_ns now)
{
	char text[96];

	snprintf(text, sizeof(text), "connect: %s",
	         c->dial.error ? strerror(c->dial.error) : "out of time");
	settle_permit(c, PMZ_FAILURE, now);
	pmz__host_moved(c->host);
	c->down = 1;
	pmz__conn_close(c, text, now);
}

static void dial_on(pmz__conn *c, pmz_ns now)
{
	switch (pmz__dial_go_on(&c->dial, now)) {
	case PMZ__DIAL_OPEN:
		opened(c, now);
		break;
	case PMZ__DIAL_FAILED:
		dial_failed(c, now);
		break;
	case PMZ__DIAL_BUSY:
		break;
	}
}

/* What was not begun to be written never leaves; the rest of what was still
 * may, so that it counts as written. */
static void spend(pmz__conn *c, const char *text, pmz_ns now)
{
	pmz__queue *q = &c->queue;
	uint32_t i;

	while (q->count &&
	       pmz__queue_at(q, q->count - 1)->begins >= c->out.written &&
	       q->sent < q->count) {
		pmz__await a = pmz__queue_pop(q);

		pmz__out_cut(&c->out, a.begins);
		fail(&a, 0, text, now);
		owe(c, &a);
	}
	for (i = 0; i < q->count; i++) {
		fail(pmz__queue_at(q, i), 1, text, now);
		pmz__queue_at(q, i)->due = PMZ_NEVER;
	}
	c->spent = 1;
}

static void say_overdue(const pmz__conn *c, pmz_ns now, char *text, size_t len)
{
	uint32_t i = 0;
	const pmz__await *a;

	while (pmz__queue_at(&c->queue, i)->due > now)
		i++;
	a = pmz__queue_at(&c->queue, i);
	if (i < c->queue.sent && a->timeout_ns)
		snprintf(text, len, "no answer within %llu ms",
		         (unsigned long long)(a->timeout_ns / PMZ_MS(1)));
	else
		snprintf(text, len, "no answer in time");
}

/* Behind a login nothing has left, and no abandon needs to follow it. */
static void overdue(pmz__conn *c, pmz_ns now)
{
	char text[64];

	c->down = 1;
	if (c->state == PMZ__CONN_DIALLING) {
		settle_permit(c, PMZ_FAILURE, now);
		pmz__conn_close(c, "connect: out of time", now);
		return;
	}
	say_overdue(c, now, text, sizeof(text));
	spend(c, text, now);
	if (c->logins)
		pmz__conn_close(c, text, now);
}

void pmz__conn_go_on(pmz__conn *c, pmz_ns now)
{
	if (c->state == PMZ__CONN_DIALLING)
		dial_on(c, now);
	pmz__conn_write(c, now);
	pmz__conn_read(c, now);
	if (c->state != PMZ__CONN_CLOSED && pmz__queue_due(&c->queue) <= now)
		overdue(c, now);
}

static int goes_here(const void *ctx, uint32_t slot)
{
	const pmz__host *host = ((const pmz__conn *)ctx)->host;

	return !host->cluster || pmz__cluster_serves(host->cluster, host, slot);
}

static int push_debt(void *ctx, const pmz__debt *debt)
{
	pmz__conn *c = (pmz__conn *)ctx;
	pmz__await a = { .kind = PMZ__DEBT,
		         .debt = debt->number,
		         .due = PMZ_NEVER };
	uint64_t begins = pmz__out_end(&c->out);

	return pmz__out_bytes(&c->out, debt->bytes, debt->len) &&
	       push(c, &a, begins);
}

/* One that has answered what it was asked just now is taken to be there still.
 * By when it was asked: an answer that has lain there may have the connection's
 * end behind it. */
static int is_fresh(const pmz__conn *c, pmz_ns now)
{
	return !c->queue.count && now < c->asked_at + PMZ__FRESH_NS;
}

int pmz__conn_ready(pmz__conn *c, int insists, pmz_ns now, char *text,
                    size_t len)
{
	int is_new;

	if (!is_fresh(c, now)) {
		pmz__conn_drain(c, now);
		pmz__conn_go_on(c, now);
	}
	if (c->spent)
		pmz__conn_close(c, "no answer in time", now);
	is_new = c->state == PMZ__CONN_CLOSED;
	if (is_new && !open_anew(c, insists, now, text, len))
		return 0;
	/* One that is still dialling has been given all there was. */
	if (!c->hears && (is_new || c->state == PMZ__CONN_OPEN))
		pmz__owed_pay(c->host->owed, now, goes_here, push_debt, c);
	return 1;
}

/* Behind what is overdue an abandon is in the right place. */
static int is_ready_for(pmz__conn *c, const pmz_lock_order *order, pmz_ns now,
                        char *text, size_t len)
{
	if (order->verb == PMZ_LOCK_ABANDON && c->state == PMZ__CONN_OPEN) {
		pmz__conn_go_on(c, now);
		if (c->spent)
			return 1;
	}
	return pmz__conn_ready(c, order->urgent != 0, now, text, len);
}

static void refuse(pmz__conn *c, pmz__await *a, const char *text, pmz_ns now)
{
	fail(a, 0, text, now);
	owe(c, a);
}

static int push_asking(pmz__conn *c)
{
	static const char *const asking[] = { "ASKING", NULL };

	return pmz__conn_ask(c, PMZ__ASKING, asking, PMZ_NEVER);
}

void pmz__conn_order(pmz__conn *c, pmz_lock_op *op, const pmz_lock_order *order,
                     int asking, pmz_ns now)
{
	pmz__await a = { .op = op,
		         .ticket = order->ticket,
		         .due = order->due,
		         .timeout_ns = order->timeout_ns };
	pmz__words words = { order->argc, order->argv, order->len };
	char text[128];

	if (order->verb == PMZ_LOCK_ABANDON)
		a.debt = pmz__owed_add(c->host->owed, order, now);
	if (!is_ready_for(c, order, now, text, sizeof(text))) {
		refuse(c, &a, text, now);
		return;
	}
	if ((asking && !push_asking(c)) || !push_words(c, &a, &words)) {
		refuse(c, &a,
		       "out of memory, or too much waits to be written", now);
		return;
	}
	if (c->state == PMZ__CONN_DIALLING)
		dial_on(c, now);
	pmz__conn_write(c, now);
}

void pmz__conn_wants(const pmz__conn *c, short *events, int *fd, pmz_ns *due)
{
	uint64_t limit = c->logins ? c->logins_end : pmz__out_end(&c->out);

	*due = pmz__queue_due(&c->queue);
	*fd = c->fd;
	*events = POLLIN;
	if (c->state == PMZ__CONN_DIALLING) {
		*fd = c->dial.fd;
		*events = POLLOUT;
		*due = pmz__min(*due, c->dial.turn);
	} else if (c->out.written < limit) {
		*events |= POLLOUT;
	}
}

void pmz__conn_forget(pmz__conn *c, const pmz_lock_op *op, pmz_ns now)
{
	pmz__queue_forget(&c->queue, op);
	if (c->spent && !pmz__queue_has_op(&c->queue))
		pmz__conn_close(c, "no answer in time", now);
}
