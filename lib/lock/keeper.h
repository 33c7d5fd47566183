/*
 * keeper.h - the thread that extends leases until they are let go.
 *
 * It does not run before the first lease is kept.
 * Threads: any, but for new() and free().
 */
#ifndef PMZ_LIB_LOCK_KEEPER_H
#define PMZ_LIB_LOCK_KEEPER_H

#include "lock/link.h"

typedef struct pmz__keeper pmz__keeper;

/* NULL: errno is ENOMEM, or tells why there is no descriptor. The nodes, and the
 * backoff of the rules, outlive the keeper. */
pmz__keeper *pmz__keeper_new(pmz__node *const *nodes, uint32_t count,
                             const pmz_lock_rules *rules);
void pmz__keeper_free(pmz__keeper *k); /* NULL is fine */

/* PMZ_OK; PMZ_E_LOST: it has lapsed; PMZ_E_STATE: this token is kept, or its
 * loss is still to be fetched; PMZ_E_NOMEM. */
int pmz__keeper_keep(pmz__keeper *k, const pmz_lease *lease, pmz_ns hold_max);
/* The lease as it is now: PMZ_OK; PMZ_E_LOST; PMZ_E_STATE: never kept, and then
 * it is left as it was. */
int pmz__keeper_refresh(pmz__keeper *k, pmz_lease *lease);
/* Waits for an extension under way, brings the lease up to date, and knows it
 * no more; a loss that nobody was told of is told to nobody. 1 if it was kept
 * until now. */
int pmz__keeper_let_go(pmz__keeper *k, pmz_lease *lease);

/* Around an extension of the user's own, which takes the place of the keeper's.
 * begin() waits for one under way, and brings the lease up to date: 1 if it is
 * kept, and then done() is to follow, with the status and the lease. */
int pmz__keeper_begin(pmz__keeper *k, pmz_lease *lease);
void pmz__keeper_done(pmz__keeper *k, const pmz_lease *lease, int status);

/* Readable while next_lost() has one to give. */
int pmz__keeper_fd(const pmz__keeper *k);
/* PMZ_OK, or PMZ_REFUSED_EMPTY. `why` may be NULL. */
int pmz__keeper_next_lost(pmz__keeper *k, pmz_lease *lost, int *why);

#endif
