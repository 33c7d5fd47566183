/*
 * conn.h - one connection to one server: commands out, answers in, in order.
 *
 *   CLOSED -> DIALLING -> OPEN -> CLOSED
 *
 * A connection on which a command is overdue is spent: whoever waits is told,
 * and only abandons still go out on it, behind what is overdue. What of its
 * commands was not begun to be written never leaves.
 *
 * With a login (AUTH, SELECT) nothing else is written before that is answered:
 * a server that refuses it may still obey what follows, as another user or in
 * another database.
 * Threads: one at a time per conn.
 */
#ifndef PMZ_LIB_REDIS_CONN_H
#define PMZ_LIB_REDIS_CONN_H

#include <hiredis/hiredis.h>

#include "redis/host.h"
#include "redis/out.h"
#include "redis/queue.h"

/* An answer longer than this is none of ours. */
#define PMZ__REPLY_MAX ((size_t)4 << 20)
/* A connection may have been closed that was last asked something longer ago. */
#define PMZ__FRESH_NS PMZ_MS(1)
#define PMZ__ELEMENTS_MAX 65536 /* of one list in it */

typedef enum pmz__conn_state {
	PMZ__CONN_CLOSED = 0,
	PMZ__CONN_DIALLING,
	PMZ__CONN_OPEN
} pmz__conn_state;

typedef struct pmz__conn pmz__conn;

/* What is no op's, login's or debt's; `a` is NULL for what nobody asked. */
typedef void (*pmz__conn_told)(void *ctx, const pmz__await *a,
                               const redisReply *reply, pmz_ns now);

struct pmz__conn {
	pmz__host *host;
	pmz__conn_told told;
	void *ctx;
	uint32_t state; /* pmz__conn_state */
	uint32_t spent;
	uint32_t hears; /* it is an ear: nobody asks for what it gets */
	uint32_t down;  /* nothing has come since a connect or command failed */
	uint32_t logins; /* that are unanswered */
	uint64_t logins_end;
	pmz_ns asked_at; /* the last bytes were written */
	pmz_ns patience; /* of the socket, when it is read from and sleeps */
	uint64_t serial; /* +1 with each connection: another one is another */
	int fd;
	pmz_permit permit; /* of the host's breaker, while dialling */
	pmz__dial dial;
	pmz__out out;
	pmz__queue queue;
	redisReader *reader;
	size_t unread; /* bytes of an answer that is not complete */
};

void pmz__conn_init(pmz__conn *c, pmz__host *host, pmz__conn_told told,
                    void *ctx);
void pmz__conn_end(pmz__conn *c, pmz_ns now);

/* Makes it ready to take a command, and writes what the node owes. 0, and why
 * not: the look-up failed, or the host rests and `insists` is 0. */
int pmz__conn_ready(pmz__conn *c, int insists, pmz_ns now, char *text,
                    size_t len);
/* Takes an op's order; a refusal is told to the op. `asking` sends ASKING
 * before it. */
void pmz__conn_order(pmz__conn *c, pmz_lock_op *op, const pmz_lock_order *order,
                     int asking, pmz_ns now);
/* A command of our own, up to a NULL; 0: no memory. Only when ready. */
int pmz__conn_ask(pmz__conn *c, uint32_t kind, const char *const *word,
                  pmz_ns due);

void pmz__conn_go_on(pmz__conn *c, pmz_ns now);
void pmz__conn_wants(const pmz__conn *c, short *events, int *fd, pmz_ns *due);
void pmz__conn_forget(pmz__conn *c, const pmz_lock_op *op, pmz_ns now);
/* Tells all who wait, and closes. */
void pmz__conn_close(pmz__conn *c, const char *text, pmz_ns now);

/* answer.c: the next answer goes to whom it is for. The reply is freed. */
void pmz__conn_answer(pmz__conn *c, redisReply *reply, pmz_ns now);
void pmz__conn_nonsense(pmz__conn *c, const char *text, pmz_ns now);
/* conn_io.c: writes and reads what can be now; drains to the end, if there is
 * one behind what can be read. */
void pmz__conn_write(pmz__conn *c, pmz_ns now);
void pmz__conn_read(pmz__conn *c, pmz_ns now);
void pmz__conn_drain(pmz__conn *c, pmz_ns now);
/* Sleeps until bytes have come, or `due`, and takes them; 0: there is something
 * else to wait for. */
int pmz__conn_sleep(pmz__conn *c, pmz_ns due, pmz_ns now);

#endif
