/*
 * owed.c - abandons that no server has confirmed yet.
 */
#include "redis/owed.h"

#include <string.h>

#include "base/alloc.h"
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

pmz__debt *pmz__debt_new(const pmz_lock_order *order)
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
	debt->slot = pmz__order_slot(order);
	debt->len = size;
	pmz__resp_write(debt->bytes, &words);
	return debt;
}

void pmz__debt_free(pmz__debt *debt)
{
	pmz__free(debt);
}

void pmz__owed_init(pmz__owed *o)
{
	pthread_mutex_init(&o->mutex, NULL);
	o->first = NULL;
}

static pmz__debt *unlink_first(pmz__owed *o)
{
	pmz__debt *debt = o->first;

	o->first = debt->next;
	pmz__sub(&o->count, 1, PMZ__RELAXED);
	return debt;
}

void pmz__owed_end(pmz__owed *o)
{
	while (o->first)
		pmz__debt_free(unlink_first(o));
	pthread_mutex_destroy(&o->mutex);
}

/* Relaxed: whoever misses the newest one has the next command to look again. */
int pmz__owed_any(const pmz__owed *o)
{
	return pmz__load(&o->count, PMZ__RELAXED) > 0;
}

void pmz__owed_add(pmz__owed *o, pmz__debt *debt)
{
	pmz__debt **end = &o->first, *over = NULL;

	pthread_mutex_lock(&o->mutex);
	while (*end)
		end = &(*end)->next;
	debt->next = NULL;
	*end = debt;
	if (pmz__add(&o->count, 1, PMZ__RELAXED) == PMZ__OWED_MAX)
		over = unlink_first(o);
	pthread_mutex_unlock(&o->mutex);
	pmz__debt_free(over);
}

pmz__debt *pmz__owed_take(pmz__owed *o,
                          int (*is_due)(const void *ctx, uint32_t slot),
                          const void *ctx)
{
	pmz__debt **at = &o->first, *debt;

	pthread_mutex_lock(&o->mutex);
	while (*at && !is_due(ctx, (*at)->slot))
		at = &(*at)->next;
	debt = *at;
	if (debt) {
		*at = debt->next;
		pmz__sub(&o->count, 1, PMZ__RELAXED);
	}
	pthread_mutex_unlock(&o->mutex);
	return debt;
}
