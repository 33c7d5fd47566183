/*
 * random.c - seeds from the system's generator.
 *
 * It fails only where a sandbox forbids the call or the kernel is from before
 * 2014. Then a seed is mixed from what differs between processes, threads and
 * instants: enough to keep a fleet out of step, nothing that nobody can guess.
 */
#include <pipemaze/edge.h>

#ifdef __APPLE__
#include <sys/random.h>
#endif
#include <unistd.h>

#include "base/random.h"

static uint64_t makeshift(void)
{
	uint64_t here = (uint64_t)(uintptr_t)&here;
	uint64_t state = pmz__mix(pmz_now()) ^ here;

	state = pmz__draw(&state) ^ (uint64_t)getpid();
	return pmz__draw(&state);
}

uint64_t pmz_random(void)
{
	uint64_t drawn;

	return getentropy(&drawn, sizeof(drawn)) ? makeshift() : drawn;
}
