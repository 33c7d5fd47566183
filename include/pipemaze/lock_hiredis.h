/*
 * lock_hiredis.h - locks over the hiredis connections that you have already.
 *
 * They stay yours: you connect them, log in, and free them. Several independent
 * servers are a quorum, all of which are asked at once. lock.h says what a
 * lease is, and what each status means.
 *
 *   redisContext *c = redisConnect("127.0.0.1", 6379);
 *   pmz_lease lease;
 *   if (pmz_lock_hiredis_acquire(&c, 1, NULL, "orders:42", PMZ_S(30), PMZ_S(5),
 *                                &lease, NULL) == PMZ_OK) {
 *       work(lease.fence);
 *       pmz_lock_hiredis_release(&c, 1, NULL, &lease, NULL);
 *   }
 *
 * On an event loop it takes a pmz_lock_op, as lock_proto.h begins one, and
 * pmz_lock_async_start(). Then set a timer to pmz_lock_async_due(), which calls
 * pmz_lock_async_go_on() and is set again; `fn` says when that is to be
 * earlier, and when the op has ended.
 *
 * What a connection of yours cannot do, and the library's own (lock.h) can:
 *   - come back. One that breaks counts as a node that fails. When too few are
 *     left for a quorum, a blocking acquire ends, however long its `wait`.
 *   - follow a cluster's MOVED and ASK. They are PMZ_E_REPLY with the address
 *     in why->text, or in a quorum one node that has failed.
 *   - take back on a later connection what may have been set on one that broke.
 *     It lives for its ttl at most.
 *   - hear of a release. A wait looks again by the backoff of the rules, and
 *     when the holder's lease ends.
 *
 * For hiredis 0.14.1 to 1.4, with any adapter; the replies must be hiredis' own
 * objects. PMZ_E_ABSENT in a build without Redis.
 *
 * Threads: one at a time per context.
 */
#ifndef PIPEMAZE_LOCK_HIREDIS_H
#define PIPEMAZE_LOCK_HIREDIS_H

#include <pipemaze/base.h>
#include <pipemaze/lock.h>
#include <pipemaze/lock_proto.h>

PMZ_BEGIN_DECLS

struct redisContext;
struct redisAsyncContext;

/*
 * Blocking. `contexts` are as many as the rules have nodes, each once, in the
 * same order each time. A NULL, or one with c->err set, is a node that fails.
 * No reply may be outstanding on the others, nor any command unsent: where that
 * is seen it is PMZ_E_STATE, with the context in why->index, and nothing was
 * sent. Connections may block or not, and keep that, and their time-outs; none
 * of them lengthens a call. SIGPIPE is held off.
 *
 * A call returns when all have answered, or have had their time for it. Who was
 * silent until then is told to forget what it was asked, behind that on the
 * same connection, and its context is then broken as hiredis breaks one: c->err
 * is REDIS_ERR_TIMEOUT (before 1.0: REDIS_ERR_IO), and all you can do with it
 * is redisReconnect() or redisFree(). So a late answer is never taken for the
 * next, and a dead node costs its time-out once.
 */

/* Brings an op to its end; then ask pmz_lock_op_end(). PMZ_OK; PMZ_E_STATE as
 * above; PMZ_E_CONFIG: `count` is not the op's number of nodes, or a context is
 * there twice. `why` may be NULL, here as below. */
PMZ_API PMZ_MUST_USE int
pmz_lock_hiredis_run(struct redisContext *const *contexts, size_t count,
                     pmz_lock_op *op, pmz_why *why);

/* One op from start to end. `rules` may be NULL, or have 0 nodes, which means
 * `count`. The statuses are those of lock.h, PMZ_E_STATE and PMZ_E_CONFIG as
 * above; in both of these a lease in hand stays as it was. */
PMZ_API PMZ_MUST_USE int
pmz_lock_hiredis_acquire(struct redisContext *const *contexts, size_t count,
                         const pmz_lock_rules *rules, const char *name,
                         pmz_ns ttl, pmz_ns wait, pmz_lease *lease,
                         pmz_why *why);
PMZ_API PMZ_MUST_USE int
pmz_lock_hiredis_extend(struct redisContext *const *contexts, size_t count,
                        const pmz_lock_rules *rules, pmz_lease *lease,
                        pmz_ns ttl, pmz_why *why);
PMZ_API int pmz_lock_hiredis_release(struct redisContext *const *contexts,
                                     size_t count, const pmz_lock_rules *rules,
                                     pmz_lease *lease, pmz_why *why);
PMZ_API PMZ_MUST_USE int
pmz_lock_hiredis_peek(struct redisContext *const *contexts, size_t count,
                      const pmz_lock_rules *rules, const char *name,
                      pmz_lease *holder, pmz_why *why);

/*
 * On your event loop. All of it runs on the loop's thread: in the calls below,
 * and in hiredis' callbacks. Other commands may be out on the same contexts;
 * they must not be subscribed or monitoring. `now` is pmz_now().
 *
 * hiredis frees a context that disconnects, or fails to connect. Where a
 * command of this op is out on it, that is noticed. Where none is, it cannot
 * be: say it by pmz_lock_async_use() in your disconnect callback, in your
 * connect callback if that is told of a failure, and before you free one.
 * hiredis writes on your loop: ignore SIGPIPE there.
 */

/* Yours, and stays where it is until it is done. Plain memory: no free. */
typedef struct pmz_lock_async {
	uint64_t opaque[32];
} pmz_lock_async;

/* `done` 0: due() has changed, so set your timer anew. 1: the op has ended;
 * this comes once, and last, and the pmz_lock_async and the op may be freed in
 * it, and the contexts too. Called by pmz_lock_async_go_on() when done, and in
 * hiredis' callbacks; never from start(), use() or cancel(). */
typedef void (*pmz_lock_async_fn)(pmz_lock_async *a, int done, void *ctx);

/* Sends the op's first commands, also on contexts that are still connecting.
 * The op stays where it is until it is done; the array is copied. `fn` may be
 * NULL, for who asks is_done() and due() in each turn of the loop. PMZ_OK, or
 * PMZ_E_CONFIG as above, and then nothing was begun. */
PMZ_API PMZ_MUST_USE int
pmz_lock_async_start(pmz_lock_async *a,
                     struct redisAsyncContext *const *contexts, size_t count,
                     pmz_lock_op *op, pmz_ns now, pmz_lock_async_fn fn,
                     void *ctx);

/* When to call go_on() at the latest; 0: at once; PMZ_NEVER: no need. */
PMZ_API pmz_ns pmz_lock_async_due(const pmz_lock_async *a);
PMZ_API void pmz_lock_async_go_on(pmz_lock_async *a, pmz_ns now);
/* 1: it takes no more answers, and pmz_lock_op_end() has the status. */
PMZ_API int pmz_lock_async_is_done(const pmz_lock_async *a);

/* From here on node number `node` is reached by this context, NULL: by none.
 * One that you have connected anew goes on from the op's next try. */
PMZ_API void pmz_lock_async_use(pmz_lock_async *a, uint32_t node,
                                struct redisAsyncContext *context);

/* Ends an acquire as pmz_lock_op_cancel() does; it is done soon after, so ask
 * due() again. */
PMZ_API void pmz_lock_async_cancel(pmz_lock_async *a, pmz_ns now);
/* Lets go at once: `fn` is not called again, and a and the op may be freed. An
 * acquire that was not over takes back nothing: that lives for its ttl at most.
 * After done it changes nothing. */
PMZ_API void pmz_lock_async_forget(pmz_lock_async *a);

PMZ_API size_t pmz_lock_async_size(void);

PMZ_END_DECLS
#endif /* PIPEMAZE_LOCK_HIREDIS_H */
