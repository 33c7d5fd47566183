/*
 * bell.c - descriptors to wait on: an eventfd and a timerfd on Linux, a pipe
 * and a time-out elsewhere.
 */
#include "lock/bell.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <unistd.h>

#include "base/wide.h"

/* PMZ_PLAIN_POSIX builds here what other systems get. */
#if defined(__linux__) && !defined(PMZ_PLAIN_POSIX)
#define HAS_EVENTFD 1
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>
#else
#define HAS_EVENTFD 0
#endif

/* No timer is set further ahead, so that every span fits into what poll() and a
 * timespec can count; who wakes for nothing sets it again. */
#define AHEAD_MAX PMZ_S(24 * 3600)

#if HAS_EVENTFD
int pmz__bell_open(pmz__bell *bell)
{
	bell->fd = bell->in = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return bell->fd < 0 ? -1 : 0;
}
#else
static int prepare(int fd)
{
	return fcntl(fd, F_SETFD, FD_CLOEXEC) || fcntl(fd, F_SETFL, O_NONBLOCK);
}

int pmz__bell_open(pmz__bell *bell)
{
	int ends[2];

	bell->fd = bell->in = -1;
	if (pipe(ends))
		return -1;
	bell->fd = ends[0];
	bell->in = ends[1];
	if (!prepare(ends[0]) && !prepare(ends[1]))
		return 0;
	pmz__bell_close(bell);
	return -1;
}
#endif

void pmz__bell_close(pmz__bell *bell)
{
	if (bell->fd >= 0)
		close(bell->fd);
	if (bell->in >= 0 && bell->in != bell->fd)
		close(bell->in);
	bell->fd = bell->in = -1;
}

void pmz__bell_ring(const pmz__bell *bell)
{
	const uint64_t one = 1;

	/* It fails only when it is so full that it rings already. */
	if (write(bell->in, &one, sizeof(one)) < 0)
		return;
}

int pmz__bell_hush(const pmz__bell *bell)
{
	uint64_t rung;
	int any = 0;

	/* An eventfd is empty after the first read. */
	while (read(bell->fd, &rung, sizeof(rung)) > 0)
		any = 1;
	return any;
}

static void wait_for(int fd, int timeout_ms)
{
	struct pollfd one = { fd, POLLIN, 0 };

	poll(&one, 1, timeout_ms);
}

#if HAS_EVENTFD
int pmz__alarm_open(pmz__alarm *alarm)
{
	const int flags = TFD_CLOEXEC | TFD_NONBLOCK;

	alarm->at = PMZ_NEVER;
	alarm->bell.fd = alarm->bell.in = -1;
	alarm->fd = timerfd_create(CLOCK_BOOTTIME, flags);
	/* A sandbox may not know this clock. */
	if (alarm->fd < 0)
		alarm->fd = timerfd_create(CLOCK_MONOTONIC, flags);
	return alarm->fd < 0 ? -1 : 0;
}

void pmz__alarm_close(pmz__alarm *alarm)
{
	if (alarm->fd >= 0)
		close(alarm->fd);
	alarm->fd = -1;
}

/* A new time takes back what the timer had to say. */
static void set_timer(const pmz__alarm *alarm, pmz_ns span)
{
	struct itimerspec when = { { 0, 0 }, { 0, 0 } };

	when.it_value.tv_sec = (time_t)(span / PMZ_S(1));
	when.it_value.tv_nsec = (long)(span % PMZ_S(1));
	timerfd_settime(alarm->fd, 0, &when, NULL);
}

/* A span of 0 would stop the timer. */
void pmz__alarm_set(pmz__alarm *alarm, pmz_ns at, pmz_ns now)
{
	pmz_ns span = pmz__max(pmz__sat_sub(at, now), 1);

	alarm->at = at;
	set_timer(alarm, pmz__min(span, AHEAD_MAX));
}

void pmz__alarm_ring(pmz__alarm *alarm)
{
	set_timer(alarm, 1);
}

void pmz__alarm_wait(const pmz__alarm *alarm, pmz_ns now)
{
	(void)now;
	wait_for(alarm->fd, -1);
}
#else
int pmz__alarm_open(pmz__alarm *alarm)
{
	int failed = pmz__bell_open(&alarm->bell);

	alarm->at = PMZ_NEVER;
	alarm->fd = alarm->bell.fd;
	return failed;
}

void pmz__alarm_close(pmz__alarm *alarm)
{
	pmz__bell_close(&alarm->bell);
	alarm->fd = -1;
}

void pmz__alarm_set(pmz__alarm *alarm, pmz_ns at, pmz_ns now)
{
	(void)now;
	pmz__bell_hush(&alarm->bell);
	alarm->at = at;
}

void pmz__alarm_ring(pmz__alarm *alarm)
{
	pmz__bell_ring(&alarm->bell);
}

void pmz__alarm_wait(const pmz__alarm *alarm, pmz_ns now)
{
	pmz_ns span = pmz__min(pmz__sat_sub(alarm->at, now), AHEAD_MAX);

	wait_for(alarm->fd, (int)((span + PMZ_MS(1) - 1) / PMZ_MS(1)));
}
#endif
