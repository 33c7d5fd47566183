/*
 * endpoints.h - a balancer whose members are known by their place in a list.
 */
#ifndef PMZ_TESTS_RELACY_ENDPOINTS_H
#define PMZ_TESTS_RELACY_ENDPOINTS_H

#include <pipemaze/balance.h>

#include "no_rings.h"
#include "search.h"

#define ENDPOINTS_MAX 6
static const char *const names[] = { "a", "b", "c", "d", "e", "f" };

static pmz_balance *balance;
static unsigned count;
static uint32_t endpoints[ENDPOINTS_MAX];

static void add(unsigned endpoint, pmz_ns now)
{
	must(pmz_balance_add(balance, names[endpoint], 1, now,
	                     &endpoints[endpoint]) == PMZ_OK,
	     "it is added");
}

/* Of this one, whoever has less to do. */
static void pick(unsigned endpoint, pmz_pick *picked, pmz_ns now)
{
	uint32_t others[ENDPOINTS_MAX];
	pmz_wish wish = {};
	unsigned i;

	for (i = 0; i < count; i++)
		if (i != endpoint)
			others[wish.avoid_count++] = endpoints[i];
	wish.size = sizeof(wish);
	wish.avoid = others;
	must(pmz_balance_pick(balance, &wish, now, picked) == PMZ_OK &&
	             picked->endpoint == endpoints[endpoint],
	     "it is picked");
}

#endif
