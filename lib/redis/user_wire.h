/*
 * user_wire.h - a user's blocking connection, while a lock is driven over it.
 *
 * Whatever its settings are, it does not block meanwhile, and has them back in
 * the end.
 */
#ifndef PMZ_LIB_REDIS_USER_WIRE_H
#define PMZ_LIB_REDIS_USER_WIRE_H

#include "redis/user_reply.h"

typedef struct pmz__owing {
	pmz_ns due;
	pmz_ns timeout;
	uint32_t ticket;
	uint8_t left; /* some of it may have left */
	uint8_t sent; /* all of it has */
	uint8_t pad[2];
} pmz__owing;

typedef struct pmz__wire {
	redisContext *c; /* NULL: there is none */
	pmz_lock_op *op;
	pmz__owing owing[PMZ__USER_AWAITS_MAX]; /* the oldest first */
	uint32_t count;
	int32_t unwritten;
	int32_t blocked;  /* c->flags had REDIS_BLOCK */
	int32_t fd_flags; /* of fcntl, to be given back; -1: as they were */
} pmz__wire;

/* 1 if nothing is under way on it. One that its server has closed is idle, and
 * from here on in error. */
int pmz__wire_is_idle(redisContext *c);

void pmz__wire_borrow(pmz__wire *w, redisContext *c, pmz_lock_op *op);
/* One that still owes an answer is in error from here on. */
void pmz__wire_give_back(pmz__wire *w);

int pmz__wire_is_alive(const pmz__wire *w);
/* Of the oldest answer that is owed, else PMZ_NEVER. */
pmz_ns pmz__wire_due(const pmz__wire *w);
/* 0: it has failed, or is overdue. */
int pmz__wire_is_usable(const pmz__wire *w, pmz_ns now);
/* What is wrong with one that is not. */
const char *pmz__wire_words(const pmz__wire *w);

void pmz__wire_send(pmz__wire *w, pmz_lock_order *order, pmz_ns now);
/* 0: that broke it. */
int pmz__wire_write(pmz__wire *w, pmz_ns now);
void pmz__wire_read(pmz__wire *w, pmz_ns now);

#endif
