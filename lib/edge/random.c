/*
 * random.c - random bits from the system's generator.
 *
 * The call fails only where a sandbox forbids it or the kernel is from before
 * 2014; the device may be there still. Where it is not, who needs a secret gets
 * none, and a seed is mixed from what differs between processes, threads and
 * instants: enough to keep a fleet out of step, nothing that nobody can guess.
 */
#include <pipemaze/edge.h>

#ifdef __APPLE__
#include <sys/random.h>
#endif
#include <fcntl.h>
#include <unistd.h>

#include "base/random.h"
#include "edge/entropy.h"

static int read_device(void *out, size_t len)
{
	int fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
	ssize_t got;

	if (fd < 0)
		return -1;
	got = read(fd, out, len);
	close(fd);
	return got == (ssize_t)len ? 0 : -1;
}

int pmz__entropy(void *out, size_t len)
{
	return getentropy(out, len) ? read_device(out, len) : 0;
}

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

	return pmz__entropy(&drawn, sizeof(drawn)) ? makeshift() : drawn;
}
