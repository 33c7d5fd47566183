/*
 * storm.h - a signal that interrupts its thread again and again, and restarts
 * no system call.
 */
#ifndef KIT_STORM_H
#define KIT_STORM_H

#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "redis.h"

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

/* Over the thread that calls, until timer_delete(). */
static inline timer_t storm_begin(void (*hit)(int number), long every_us)
{
	const struct sigaction action = { .sa_handler = hit };
	const struct timespec often = { 0, every_us * 1000 };
	const struct itimerspec always = { often, often };
	struct sigevent event;
	timer_t timer;

	memset(&event, 0, sizeof(event));
	event.sigev_notify = SIGEV_THREAD_ID;
	event.sigev_signo = SIGUSR1;
	event.sigev_notify_thread_id = (pid_t)syscall(SYS_gettid);
	if (sigaction(SIGUSR1, &action, NULL) ||
	    timer_create(CLOCK_MONOTONIC, &event, &timer) ||
	    timer_settime(timer, 0, &always, NULL))
		kit_fail("there is no timer");
	return timer;
}

#endif
