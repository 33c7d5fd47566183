/*
 * absent.c - what this room answers in a library without Redis.
 */
#include <pipemaze/lock_hiredis.h>

#include <string.h>

#include "base/config.h"
#include "redis/open.h"

int pmz__redis_node_new(pmz__node **out, const char *address, pmz_ns connect_ns,
                        pmz_why *why)
{
	(void)address;
	(void)connect_ns;
	*out = NULL;
	pmz__bad(why, "address", "this library was built without Redis");
	return PMZ_E_ABSENT;
}

/* There are none to compare. */
int pmz__redis_node_same(const pmz__node *a, const pmz__node *b)
{
	(void)a;
	(void)b;
	return 0;
}

/* Nothing is in hand where nothing was got. */
static int absent(pmz_lease *lease, pmz_why *why)
{
	if (lease)
		memset(lease, 0, sizeof(*lease));
	return pmz__why(why, PMZ_E_ABSENT);
}

int pmz_lock_hiredis_run(struct redisContext *const *contexts, size_t count,
                         pmz_lock_op *op, pmz_why *why)
{
	(void)contexts;
	(void)count;
	(void)op;
	return absent(NULL, why);
}

int pmz_lock_hiredis_acquire(struct redisContext *const *contexts, size_t count,
                             const pmz_lock_rules *rules, const char *name,
                             pmz_ns ttl, pmz_ns wait, pmz_lease *lease,
                             pmz_why *why)
{
	(void)contexts;
	(void)count;
	(void)rules;
	(void)name;
	(void)ttl;
	(void)wait;
	return absent(lease, why);
}

int pmz_lock_hiredis_extend(struct redisContext *const *contexts, size_t count,
                            const pmz_lock_rules *rules, pmz_lease *lease,
                            pmz_ns ttl, pmz_why *why)
{
	(void)contexts;
	(void)count;
	(void)rules;
	(void)lease;
	(void)ttl;
	return absent(NULL, why);
}

int pmz_lock_hiredis_release(struct redisContext *const *contexts, size_t count,
                             const pmz_lock_rules *rules, pmz_lease *lease,
                             pmz_why *why)
{
	(void)contexts;
	(void)count;
	(void)rules;
	(void)lease;
	return absent(NULL, why);
}

int pmz_lock_hiredis_peek(struct redisContext *const *contexts, size_t count,
                          const pmz_lock_rules *rules, const char *name,
                          pmz_lease *holder, pmz_why *why)
{
	(void)contexts;
	(void)count;
	(void)rules;
	(void)name;
	return absent(holder, why);
}

int pmz_lock_async_start(pmz_lock_async *a,
                         struct redisAsyncContext *const *contexts,
                         size_t count, pmz_lock_op *op, pmz_ns now,
                         pmz_lock_async_fn fn, void *ctx)
{
	(void)contexts;
	(void)count;
	(void)op;
	(void)now;
	(void)fn;
	(void)ctx;
	memset(a, 0, sizeof(*a));
	return PMZ_E_ABSENT;
}

/* What never began is over. */
pmz_ns pmz_lock_async_due(const pmz_lock_async *a)
{
	(void)a;
	return PMZ_NEVER;
}

void pmz_lock_async_go_on(pmz_lock_async *a, pmz_ns now)
{
	(void)a;
	(void)now;
}

int pmz_lock_async_is_done(const pmz_lock_async *a)
{
	(void)a;
	return 1;
}

void pmz_lock_async_use(pmz_lock_async *a, uint32_t node,
                        struct redisAsyncContext *context)
{
	(void)a;
	(void)node;
	(void)context;
}

void pmz_lock_async_cancel(pmz_lock_async *a, pmz_ns now)
{
	(void)a;
	(void)now;
}

void pmz_lock_async_forget(pmz_lock_async *a)
{
	(void)a;
}

size_t pmz_lock_async_size(void)
{
	return sizeof(pmz_lock_async);
}
