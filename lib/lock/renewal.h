/*
 * renewal.h - when a kept lease is extended, and when it is given up.
 *
 * An extension is due when a third of the ttl has passed since the last one.
 * One that fails is tried again after a pause, which grows. When a tenth of the
 * ttl is left, what is not extended by then is lost: so its holder hears of it
 * while it still holds it.
 *
 * Nothing here does I/O or reads a clock.
 * Threads: one at a time per pmz__renewal.
 */
#ifndef PMZ_LIB_LOCK_RENEWAL_H
#define PMZ_LIB_LOCK_RENEWAL_H

#include <pipemaze/lock.h>

/* What is due within this is extended along with what is due now. */
#define PMZ__TOGETHER_NS PMZ_MS(10)
#define PMZ__PAUSE_MIN_NS PMZ_MS(10)

typedef struct pmz__renewal {
	pmz_lease lease; /* as the last extension left it */
	pmz_ns due;      /* the next extension */
	pmz_ns report;   /* it is lost if it was not extended by then */
	pmz_ns hold_until;
	pmz_ns started;  /* the extension under way */
	pmz_ns pause;    /* before the next try; 0: the last did not fail */
	int32_t silence; /* what no answer in time means */
	int32_t failure; /* of the last try, or silence if it did not fail */
	int32_t why;     /* it is lost: the reason, else PMZ_OK */
	uint32_t under_way;
} pmz__renewal;

typedef enum pmz__renewal_step {
	PMZ__RENEWAL_WAIT,
	PMZ__RENEWAL_EXTEND, /* then say begin(), and done() */
	PMZ__RENEWAL_LOST    /* from here on; said once */
} pmz__renewal_step;

/* `silence` is the reason if no try has an answer in time. */
void pmz__renewal_start(pmz__renewal *r, const pmz_lease *lease,
                        pmz_ns hold_max, int silence, pmz_ns now);
pmz__renewal_step pmz__renewal_next(pmz__renewal *r, pmz_ns now);
/* When to ask next() again at the latest. */
pmz_ns pmz__renewal_due(const pmz__renewal *r);

void pmz__renewal_begin(pmz__renewal *r, pmz_ns now);
/* Nobody was asked. */
void pmz__renewal_undo(pmz__renewal *r);
/* The status of the extension, and for PMZ_OK the lease. LOST, or WAIT. */
pmz__renewal_step pmz__renewal_done(pmz__renewal *r, int status,
                                    const pmz_lease *lease, pmz_ns now);

#endif
