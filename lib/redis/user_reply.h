/*
 * user_reply.h - what the drivers over a user's own connections have in common.
 */
#ifndef PMZ_LIB_REDIS_USER_REPLY_H
#define PMZ_LIB_REDIS_USER_REPLY_H

#include <hiredis/hiredis.h>

#include <pipemaze/lock_proto.h>

/* Commands out on one connection; a server that is slow gets no more. */
#define PMZ__USER_AWAITS_MAX 16u

/* Hands a reply to its op. */
void pmz__user_reply(pmz_lock_op *op, uint32_t ticket, const redisReply *reply,
                     pmz_ns now);

/* 1: the order goes to another connection than the user's, and is refused. */
int pmz__user_moved(pmz_lock_op *op, const pmz_lock_order *order, pmz_ns now);

/* What gives a lock back is worth sending also to a node that is silent: behind
 * what that has not read yet, on the same connection, it cannot overtake it. */
int pmz__user_gives_back(const pmz_lock_order *order);

#endif
