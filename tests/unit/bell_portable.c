/*
 * bell_portable.c - the same where there is neither eventfd nor timerfd.
 */
#define PMZ_PLAIN_POSIX
#include "../../lib/lock/bell.c"
#include "bell.c"
