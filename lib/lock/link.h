/*
 * link.h - what a driver needs of a connection to one node.
 *
 * A link belongs to one lane, and a lane to one thread at a time. Nothing here
 * blocks: a link says what it waits for, and until when. Commands are pipelined
 * and answered in order, those of several ops too.
 *
 * A connection is not used again after a time-out. A link whose oldest command
 * is overdue fails all that is out, and is spent: an ABANDON still goes out
 * behind what is overdue, on the same socket, since there it cannot overtake
 * it; with anything else, or when its op ends, the socket is closed and the
 * next command connects anew. An ABANDON that was not answered is owed: its
 * node keeps a bounded list of them, which each new connection to it sends
 * first.
 */
#ifndef PMZ_LIB_LOCK_LINK_H
#define PMZ_LIB_LOCK_LINK_H

#include <pipemaze/lock_proto.h>

typedef struct pmz__link pmz__link;
typedef struct pmz__node pmz__node;

/* What a link waits for: an fd and its poll() events, -1 for none; and when to
 * come back at the latest: PMZ_NEVER for no need, 0 for at once, as there is
 * something to write or to hand out. */
typedef struct pmz__wants {
	pmz_ns due;
	int fd;
	short events;
} pmz__wants;

typedef struct pmz__link_type {
	/* Takes an order of `op`: connects if need be, and begins to write. The
	 * op stays where it is until it is answered, or forgotten. */
	void (*send)(pmz__link *link, pmz_lock_op *op,
	             const pmz_lock_order *order, pmz_ns now);
	void (*wants)(const pmz__link *link, pmz__wants *out);
	/* Does all that can be done now: connects, writes, reads, gives
	 * replies to their ops, ends what is overdue. */
	void (*go_on)(pmz__link *link, pmz_ns now);
	/* The op ends: replies to it that are still to come are dropped. */
	void (*forget)(pmz__link *link, const pmz_lock_op *op, pmz_ns now);
	/* Begins to be told of changes of the key lock:<name>. PMZ_OK once
	 * it is: then a try that follows sees what came before. PMZ_E_STATE:
	 * not yet, go on; PMZ_E_ABSENT: this node never will. */
	int (*listen)(pmz__link *link, const char *name, pmz_ns now);
	/* The same as wants() and go_on() for the ear; go_on gives 1 if a
	 * notice came, or the ear was lost. */
	void (*ear_wants)(const pmz__link *link, pmz__wants *out);
	int (*ear_go_on)(pmz__link *link, pmz_ns now);
	void (*free)(pmz__link *link);
	/* In the place of a poll() and go_on(), for who waits for nothing else:
	 * sleeps until bytes have come, or `due`, and takes them. 0: it cannot
	 * now, poll. May be NULL. */
	int (*sleep)(pmz__link *link, pmz_ns due, pmz_ns now);
} pmz__link_type;

struct pmz__link {
	const pmz__link_type *type;
};

/* One address, shared by all lanes: what every link to it knows of it. */
typedef struct pmz__node_type {
	pmz__link *(*connect)(pmz__node *node); /* NULL: out of memory */
	void (*free)(pmz__node *node);
} pmz__node_type;

struct pmz__node {
	const pmz__node_type *type;
};

/* The store inside the process; NULL: out of memory. */
pmz__node *pmz__memory_new(void);

#endif
