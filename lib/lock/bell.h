/*
 * bell.h - a descriptor that turns readable: when it is rung, or at an instant.
 *
 * Ringing twice is ringing once. Nothing here blocks.
 * Threads: any may ring; who hushes and who opens is for the owner to order.
 */
#ifndef PMZ_LIB_LOCK_BELL_H
#define PMZ_LIB_LOCK_BELL_H

#include <pipemaze/base.h>

/* Where there is no eventfd, a pipe. */
typedef struct pmz__bell {
	int fd; /* to poll, never to read */
	int in; /* where to write; the same as fd for an eventfd */
} pmz__bell;

/* 0, or -1 and errno when there are no descriptors left. */
int pmz__bell_open(pmz__bell *bell);
void pmz__bell_close(pmz__bell *bell);
void pmz__bell_ring(const pmz__bell *bell);
/* 1 if it had been rung. */
int pmz__bell_hush(const pmz__bell *bell);

/* A bell that is set to an instant on the clock of pmz_now(). It goes by
 * CLOCK_BOOTTIME, so that it is not late after the machine slept. Where there
 * is no timerfd, `fd` turns readable for a ring alone, and who polls it needs
 * the time-out. */
typedef struct pmz__alarm {
	pmz__bell bell; /* without a timerfd */
	pmz_ns at;
	int fd;
} pmz__alarm;

int pmz__alarm_open(pmz__alarm *alarm); /* 0, or -1 and errno */
void pmz__alarm_close(pmz__alarm *alarm);
/* In the place of what it was set to, and silent till then. */
void pmz__alarm_set(pmz__alarm *alarm, pmz_ns at, pmz_ns now);
void pmz__alarm_ring(pmz__alarm *alarm);
/* Until it rings; may return earlier. */
void pmz__alarm_wait(const pmz__alarm *alarm, pmz_ns now);

#endif
