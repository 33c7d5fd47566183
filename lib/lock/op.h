/*
 * op.h - the state behind a pmz_lock_op.
 *
 * An op is a row of rounds. In a round one command goes to some of the nodes,
 * and each node's answer becomes a verdict; as soon as the verdicts decide the
 * round, whatever the silent nodes will say, the next one begins. A reply to an
 * earlier round is of no use, but for one thing: it tells whether an acquire
 * that was written may still land.
 */
#ifndef PMZ_LIB_LOCK_OP_H
#define PMZ_LIB_LOCK_OP_H

#include <pipemaze/lock_proto.h>

#include "base/assert.h"

#define PMZ__TOKEN_LEN 32
#define PMZ__TOKEN_SIZE 64

/* How long a taking back is waited for: the nodes that granted are alive. */
#define PMZ__UNDO_NS PMZ_MS(80)
/* How long the last nodes have when the others have decided it. */
#define PMZ__GRACE_NS PMZ_MS(20)
/* A last look before the wait is over, if no other fits. */
#define PMZ__LAST_LOOK_NS PMZ_MS(20)
#define PMZ__DRIFT_NS PMZ_MS(2)
#define PMZ__MOVES_MAX 5
#define PMZ__GHOSTS 2

enum pmz__round {
	PMZ__ENDED,
	PMZ__PAUSED,
	PMZ__ACQUIRING,
	PMZ__RAISING,
	PMZ__REPLICATING,
	PMZ__EXTENDING,
	PMZ__REPAIRING,
	PMZ__RELEASING,
	PMZ__PEEKING,
	PMZ__UNDOING
};

enum pmz__verdict {
	PMZ__SKIPPED, /* not part of this round */
	PMZ__TO_ASK,
	PMZ__ASKED,
	PMZ__YES,   /* did what the round is for */
	PMZ__OTHER, /* another holder has it */
	PMZ__GONE,  /* nobody has it */
	PMZ__FAILED,
	PMZ__FATAL, /* and would again: it refuses, or makes no sense */
	PMZ__VERDICTS
};

typedef struct pmz__seat {
	pmz_ns due;
	uint64_t fence;
	uint64_t print;  /* of the holder's token, in a peek */
	uint32_t ticket; /* of the round's command; 0: none is out */
	uint32_t late;   /* of an acquire of an earlier round that is out */
	uint32_t pttl;   /* ms left of another's lease; all ones: for ever */
	uint8_t verdict;
	uint8_t holds; /* it has granted this token */
	uint8_t ghost; /* an acquire of this token may still land there: one,
	                * or PMZ__GHOSTS, of which the first is not known */
	uint8_t eval;  /* it does not know the script */
	uint8_t again; /* it was asked twice, since its connection broke */
	uint8_t sent;  /* the round's command has been written */
	uint8_t pad[6];
} pmz__seat;

typedef struct pmz__op {
	char name[PMZ_LOCK_NAME_MAX + 1];
	char token[PMZ__TOKEN_SIZE]; /* of a peek: the holder's */
	char words[128];             /* of what went wrong last */
	char moved[64];
	pmz_backoff backoff;
	uint64_t seed[2];
	uint64_t drawn; /* tokens so far */
	uint64_t print; /* of `token`, in a peek */
	uint64_t fence;
	pmz_ns ttl;
	pmz_ns held_ttl; /* of the lease that came in */
	pmz_ns drift;
	pmz_ns held_until;
	pmz_ns started; /* of this try, from before its first byte */
	pmz_ns first;   /* of all */
	pmz_ns until;   /* no try begins after it */
	pmz_ns limit;   /* no answer is waited for beyond it */
	pmz_ns resume;  /* the end of a pause; 0: no more tries */
	pmz_ns ready_at;
	pmz_ns node_timeout;
	pmz_ns connect;
	int32_t status;
	uint32_t serial; /* of tickets */
	uint32_t replicas_min;
	uint32_t worst; /* the node of `words` */
	uint8_t verb;   /* the kind of op, by the command it opens with */
	uint8_t round;
	uint8_t nodes;
	uint8_t quorum;
	uint8_t fence_off;
	uint8_t listens;
	uint8_t asking;
	uint8_t moves;
	uint8_t splits; /* tries in a row that got some nodes and no quorum */
	uint8_t pad[7];
	pmz__seat seats[PMZ_LOCK_NODES_MAX];
} PMZ__MAY_ALIAS pmz__op;

/* The state inside. */
pmz__op *pmz__op_of(pmz_lock_op *op);
const pmz__op *pmz__op_in(const pmz_lock_op *op);

unsigned pmz__op_count(const pmz__op *op, enum pmz__verdict verdict);
/* Whose answer to this round may still come. */
unsigned pmz__op_open(const pmz__op *op);

/* 1: this round sends acquires. */
uint8_t pmz__op_acquires(const pmz__op *op);

/* Begins a round for the seats that have one of these verdicts (a set of bits)
 * from the round before; all others sit it out. */
void pmz__op_round(pmz__op *op, enum pmz__round round, unsigned verdicts);
#define PMZ__BIT(verdict) (1u << (verdict))
#define PMZ__EVERYONE (PMZ__BIT(PMZ__VERDICTS) - 1)

/* The round is decided: who has not answered has a grace. */
void pmz__op_hurry(pmz__op *op, pmz_ns now);

/* What went wrong, in the op's words. */
void pmz__op_say(pmz__op *op, uint32_t node, const char *words, size_t len);
/* The status of a round that can no longer reach its quorum. */
int pmz__op_short(const pmz__op *op);
/* One that too many nodes refuse for good; 0: none. */
int pmz__op_fatal(const pmz__op *op);
void pmz__op_end(pmz__op *op, int status);

/* acquire.c: a try, and what follows from it. */
void pmz__acquire_try(pmz__op *op, pmz_ns now);
void pmz__acquire_judge(pmz__op *op, pmz_ns now);
void pmz__acquire_fail(pmz__op *op, int status, pmz_ns now);

/* undo.c: takes back what this token has, or may have. */
void pmz__undo(pmz__op *op);
void pmz__undo_judge(pmz__op *op);

/* held.c: of a lease that is held. */
void pmz__extend_start(pmz__op *op, pmz_ns now);
void pmz__extend_judge(pmz__op *op, pmz_ns now);
void pmz__release_judge(pmz__op *op, pmz_ns now);

/* peek.c */
void pmz__peek_judge(pmz__op *op, pmz_ns now);
void pmz__peek_note(pmz__op *op, pmz__seat *seat, const char *token,
                    size_t len);

/* order.c: the command for a seat in this round. */
void pmz__order_fill(const pmz__op *op, uint32_t node, pmz_lock_order *order);

/* verdict.c: whether an error says not now, but perhaps soon: nothing was done. */
int pmz__error_passes(const char *text, size_t len);
/* A seat's reply becomes its verdict. */
void pmz__answer_text(pmz__op *op, pmz__seat *seat, const char *text,
                      size_t len, pmz_ns now);
void pmz__answer_error(pmz__op *op, pmz__seat *seat, const char *text,
                       size_t len);
/* A reply to an acquire of an earlier round. */
void pmz__answer_late(pmz__seat *seat, const char *text, size_t len);

#endif
