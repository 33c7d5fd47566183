/*
 * owed.c - abandons that no server has confirmed yet.
 */
#include "redis/owed.h"

#include <string.h>

#include "base/alloc.h"
#include "base/wide.h"
#include "redis/out.h"
#include "redis/slot.h"

#define FIRST_KEY 3 /* EVALSHA sha count key ... */

static int is_script(const pmz_lock_order *order)
{
	return order->argc > FIRST_KEY && !strncmp(order->argv[0], "EVAL", 4);
}

uint32_t pmz__order_slot(const pmz_lock_order *order)
{
	if (!is_script(order))
		return 0;
	return pmz__slot_of(order->argv[FIRST_KEY], order->len[FIRST_KEY]);
}

static pmz__debt *new_debt(const pmz_lock_order *order)
{
	const char *script = pmz_lock_script(order->verb);
	const char *argv[PMZ_LOCK_ARGS_MAX];
	size_t len[PMZ_LOCK_ARGS_MAX];
	pmz__words words = { order->argc, argv, len };
	pmz__debt *debt;
	size_t size;

	memcpy(argv, order->argv, sizeof(argv));
	memcpy(len, order->len, sizeof(len));
	if (script && is_script(order)) {
		argv[0] = "EVAL";
		len[0] = strlen(argv[0]);
		argv[1] = script;
		len[1] = strlen(script);
	}
	size = pmz__resp_size(&words);
	debt = (pmz__debt *)pmz__alloc(sizeof(*debt) + size);
	if (!debt)
		return NULL;
	debt->next = NULL;
	debt->slot = pmz__order_slot(order);
	debt->len = size;
	pmz__resp_write(debt->bytes, &words);
	return debt;
}

void pmz__owed_init(pmz__owed *o)
{
	pthread_mutex_init(&o->mutex, NULL);
	o->first = NULL;
	o->numbers = 0;
}

static void drop(pmz__owed *o, pmz__debt **at)
{
	pmz__debt *debt = *at;

	*at = debt->next;
	pmz__sub(&o->count, 1, PMZ__RELAXED);
	pmz__free(debt);
}

void pmz__owed_end(pmz__owed *o)
{
	while (o->first)
		drop(o, &o->first);
	pthread_mutex_destroy(&o->mutex);
}

uint64_t pmz__owed_add(pmz__owed *o, const pmz_lock_order *order, pmz_ns now)
{
	pmz__debt *debt = new_debt(order), **end = &o->first;
	uint64_t number;

	if (!debt)
		return 0;
	/* While its op waits, it goes out once. */
	debt->due = pmz__max(pmz__sat_add(now, PMZ__OWED_AGAIN_NS), order->due);
	pthread_mutex_lock(&o->mutex);
	while (*end)
		end = &(*end)->next;
	number = debt->number = ++o->numbers;
	*end = debt;
	if (pmz__add(&o->count, 1, PMZ__RELAXED) == PMZ__OWED_MAX)
		drop(o, &o->first);
	pthread_mutex_unlock(&o->mutex);
	return number;
}

/* Where it lies, or where the list ends: it was paid, or one too many. */
static pmz__debt **find(pmz__owed *o, uint64_t number)
{
	pmz__debt **at = &o->first;

	while (*at && (*at)->number != number)
		at = &(*at)->next;
	return at;
}

void pmz__owed_paid(pmz__owed *o, uint64_t number)
{
	pmz__debt **at;

	pthread_mutex_lock(&o->mutex);
	at = find(o, number);
	if (*at)
		drop(o, at);
	pthread_mutex_unlock(&o->mutex);
}

void pmz__owed_renew(pmz__owed *o, uint64_t number)
{
	pmz__debt *debt;

	pthread_mutex_lock(&o->mutex);
	debt = *find(o, number);
	if (debt)
		debt->due = 0;
	pthread_mutex_unlock(&o->mutex);
}

static void pay(pmz__owed *o, pmz_ns now,
                int (*goes_here)(const void *ctx, uint32_t slot),
                pmz__owed_write write, void *ctx)
{
	pmz__debt *debt;

	for (debt = o->first; debt; debt = debt->next) {
		if (debt->due > now || !goes_here(ctx, debt->slot))
			continue;
		if (!write(ctx, debt))
			return;
		debt->due = pmz__sat_add(now, PMZ__OWED_AGAIN_NS);
	}
}

void pmz__owed_pay(pmz__owed *o, pmz_ns now,
                   int (*goes_here)(const void *ctx, uint32_t slot),
                   pmz__owed_write write, void *ctx)
{
	/* Relaxed: whoever misses the newest one has the next command to look
	 * again. */
	if (!pmz__load(&o->count, PMZ__RELAXED))
		return;
	pthread_mutex_lock(&o->mutex);
	pay(o, now, goes_here, write, ctx);
	pthread_mutex_unlock(&o->mutex);
}
