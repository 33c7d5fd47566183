/*
 * rule.h - how many calls the detector may let through to a dead endpoint.
 *
 * While it is dead no call succeeds, so each time that it is in the set, a few
 * failures in a row put it out:
 *
 *   calls each time    consecutive - 1 that have failed, and those still out,
 *                      one for each worker at most
 *   how many times     1, then one more after `base`, then one more after
 *                      every 2 base: (dead / base + 3) / 2, rounded down
 *
 * That is because rest k is k * base long, and k falls by one only with each
 * interval out of a rest; with interval = base, what a shorter rest saves has
 * been spent in the set before.
 *
 * It takes for granted that there is a place to rest: no more of the others do
 * than eject_max_pct leaves room for.
 */
#ifndef FLEET_RULE_H
#define FLEET_RULE_H

#include "client.h"

struct rule {
	unsigned consecutive, workers;
	pmz_ns base;
};

struct verdict {
	pmz_ns dead; /* how long */
	unsigned times, allowed;
	unsigned got; /* calls that were given to it while it was dead */
};

/* Once the client and the server have stopped. */
struct verdict rule_judge(const struct rule *rule, const struct client *client,
                          uint32_t endpoint);

#endif
