/*
 * ear.c - hearing from a server that a key has changed.
 */
#include "redis/ear.h"

#include <stdio.h>
#include <string.h>

#include "base/wide.h"

#define CHANNEL "__redis__:invalidate"

static int is_word(const redisReply *reply, const char *word)
{
	return reply->type == REDIS_REPLY_STRING &&
	       reply->len == strlen(word) &&
	       !memcmp(reply->str, word, reply->len);
}

/* A list of keys; nil when all of them went. */
static int names(const redisReply *keys, const char *key)
{
	size_t i;

	if (keys->type != REDIS_REPLY_ARRAY)
		return keys->type == REDIS_REPLY_NIL;
	for (i = 0; i < keys->elements; i++)
		if (is_word(keys->element[i], key))
			return 1;
	return 0;
}

/* "message", the channel, the keys */
static int is_notice(const redisReply *reply, const char *key)
{
	return reply->type == REDIS_REPLY_ARRAY && reply->elements == 3 &&
	       is_word(reply->element[0], "message") &&
	       names(reply->element[2], key);
}

static void told(void *ctx, const pmz__await *a, const redisReply *reply,
                 pmz_ns now)
{
	pmz__ear *e = (pmz__ear *)ctx;

	(void)now;
	if (!a)
		e->noticed |= (uint32_t)is_notice(reply, e->key);
	else if (a->kind == PMZ__EAR_ID && reply->type == REDIS_REPLY_INTEGER)
		e->id = reply->integer;
	else if (a->kind == PMZ__EAR_SUBSCRIBED &&
	         reply->type == REDIS_REPLY_ARRAY)
		e->subscribed = 1;
	else
		e->absent = 1;
}

void pmz__ear_init(pmz__ear *e, pmz__conn *commands)
{
	memset(e, 0, sizeof(*e));
	pmz__conn_init(&e->conn, commands->host, told, e);
	e->conn.hears = 1;
	e->commands = commands;
}

void pmz__ear_end(pmz__ear *e, pmz_ns now)
{
	pmz__conn_end(&e->conn, now);
}

static int is_open(const pmz__ear *e)
{
	return e->conn.state != PMZ__CONN_CLOSED;
}

static void drop(pmz__ear *e, pmz_ns now)
{
	pmz__conn_close(&e->conn, "closed", now);
}

static void open_ear(pmz__ear *e, pmz_ns now)
{
	static const char *const id[] = { "CLIENT", "ID", NULL };
	static const char *const subscribe[] = { "SUBSCRIBE", CHANNEL, NULL };
	pmz_ns due = pmz__sat_add(now, 2 * e->conn.host->connect_ns);
	char ignored[128];

	e->again = pmz__sat_add(now, PMZ__REST_NS);
	e->id = 0;
	e->asked = e->subscribed = 0;
	if (!pmz__conn_ready(&e->conn, 0, now, ignored, sizeof(ignored)))
		return;
	if (pmz__conn_ask(&e->conn, PMZ__EAR_ID, id, due) &&
	    pmz__conn_ask(&e->conn, PMZ__EAR_SUBSCRIBED, subscribe, due))
		pmz__conn_go_on(&e->conn, now);
	else
		drop(e, now);
}

/* Without NOLOOP each try of our own would wake us. */
static void ask_to_track(pmz__ear *e, pmz_ns now)
{
	char id[24], ignored[128];
	const char *track[] = { "CLIENT", "TRACKING", "ON", "REDIRECT",
		                id,       "NOLOOP",   NULL };
	pmz_ns due = pmz__sat_add(now, 2 * e->conn.host->connect_ns);

	snprintf(id, sizeof(id), "%lld", e->id);
	if (!pmz__conn_ready(e->commands, 0, now, ignored, sizeof(ignored)))
		return;
	if (e->asked == e->commands->serial ||
	    !pmz__conn_ask(e->commands, PMZ__TRACKING, track, due))
		return;
	e->asked = e->commands->serial;
	pmz__conn_go_on(e->commands, now);
}

void pmz__ear_tracked(pmz__ear *e, const redisReply *reply, pmz_ns now)
{
	if (reply->type == REDIS_REPLY_STATUS)
		e->tracked = e->commands->serial;
	else if (reply->type == REDIS_REPLY_ERROR &&
	         strstr(reply->str, "redirect"))
		drop(e, now); /* the server no longer knows the ear */
	else
		e->absent = 1;
}

static int is_tracked(const pmz__ear *e)
{
	return e->commands->state == PMZ__CONN_OPEN &&
	       e->tracked == e->commands->serial && e->asked == e->tracked;
}

static void turn_to(pmz__ear *e, const char *name)
{
	char key[sizeof(e->key)];

	snprintf(key, sizeof(key), "lock:%s", name);
	if (!strcmp(key, e->key))
		return;
	memcpy(e->key, key, sizeof(key));
	e->noticed = 0;
}

int pmz__ear_listen(pmz__ear *e, const char *name, pmz_ns now)
{
	if (e->absent)
		return PMZ_E_ABSENT;
	turn_to(e, name);
	/* A server that closes it at once would be asked without end. */
	if (!is_open(e) && now >= e->again)
		open_ear(e, now);
	if (!is_open(e) || !e->id || !e->subscribed)
		return e->absent ? PMZ_E_ABSENT : PMZ_E_STATE;
	if (!is_tracked(e))
		ask_to_track(e, now);
	e->hears |= (uint32_t)is_tracked(e);
	return is_tracked(e) ? PMZ_OK : PMZ_E_STATE;
}

/* What one of the two connections missed may have been the release. */
static int is_lost(const pmz__ear *e)
{
	return e->hears && (!is_open(e) || !is_tracked(e));
}

void pmz__ear_wants(const pmz__ear *e, short *events, int *fd, pmz_ns *due)
{
	*fd = -1;
	*events = 0;
	*due = PMZ_NEVER;
	if (is_open(e))
		pmz__conn_wants(&e->conn, events, fd, due);
	else if (!e->absent)
		*due = e->again;
	if (e->noticed || is_lost(e))
		*due = 0;
}

int pmz__ear_go_on(pmz__ear *e, pmz_ns now)
{
	int wakes;

	pmz__conn_go_on(&e->conn, now);
	if (e->conn.spent || e->absent)
		drop(e, now);
	wakes = e->noticed || is_lost(e);
	e->noticed = 0;
	e->hears &= (uint32_t)!is_lost(e);
	return wakes;
}

void pmz__ear_forget(pmz__ear *e, pmz_ns now)
{
	/* Else what is never read would fill the server's buffers. */
	if (is_open(e))
		pmz__conn_go_on(&e->conn, now);
	e->noticed = 0;
}

int pmz__ear_watches(const pmz__ear *e)
{
	return e->hears ||
	       (e->asked && e->asked == e->commands->serial && !is_tracked(e));
}
