/*
 * lane.h - one connection to each node, and ops driven over them.
 *
 * A lane is used by one thread at a time. All its nodes are waited for in one
 * poll(), so that five of them cost one round trip.
 */
#ifndef PMZ_LIB_LOCK_LANE_H
#define PMZ_LIB_LOCK_LANE_H

#include "lock/bell.h"
#include "lock/link.h"

typedef struct pmz__lane {
	struct pmz__lane *next; /* for the owner */
	pmz__bell stop; /* ends what runs here: rung by another thread */
	uint32_t nodes;
	int32_t listens; /* to the name that is waited for */
	int32_t deaf;    /* nobody rings `stop`: it need not be polled */
	pmz__link *links[PMZ_LOCK_NODES_MAX];
} pmz__lane;

/* NULL: errno is ENOMEM, or tells why there is no descriptor. The nodes outlive
 * the lane. */
pmz__lane *pmz__lane_new(pmz__node *const *nodes, uint32_t count);
void pmz__lane_free(pmz__lane *lane); /* NULL is fine */

/* Until each op is done or pauses, which takes no longer than they themselves
 * allow. Returns early, with ops under way, when `stop` is rung. */
void pmz__lane_run(pmz__lane *lane, pmz_lock_op *const *ops, uint32_t count);

/* Until a notice for this name: 1; or until `due` or a ring of `stop`: 0. Sets
 * lane->listens when a quorum of the nodes will tell of a release, and then
 * returns 1 at once, as the look that follows is the first to be followed. */
int pmz__lane_wait(pmz__lane *lane, const char *name, pmz_ns due);
/* The same without notices. */
void pmz__lane_sleep(const pmz__lane *lane, pmz_ns due);

/* The ops end, answered or not. */
void pmz__lane_forget(pmz__lane *lane, const pmz_lock_op *op);

#endif
