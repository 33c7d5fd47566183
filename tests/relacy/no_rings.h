/*
 * no_rings.h - for checks of a balancer that has no ring: a strategy not by key
 * makes none and walks none.
 */
#ifndef PMZ_TESTS_RELACY_NO_RINGS_H
#define PMZ_TESTS_RELACY_NO_RINGS_H

#include <pipemaze/ring.h>

#include "search.h"

extern "C" {
#include "core/ring.h"
}

int pmz_ring_new(pmz_ring **, const pmz_ring_config *, const pmz_node *, size_t,
                 pmz_why *)
{
	must(0, "no ring is made");
	return PMZ_E_STATE;
}

void pmz_ring_free(pmz_ring *ring)
{
	must(!ring, "there is no ring");
}

pmz__walk pmz__walk_from(const pmz_ring *, uint64_t)
{
	must(0, "no ring is walked");
	return {};
}

uint32_t pmz__walk_next(pmz__walk *)
{
	must(0, "no ring is walked");
	return 0;
}

#endif
