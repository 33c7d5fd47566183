/*
 * leave.h - how a forked child of a test ends: by _exit(), so that nothing of
 * its parent's is cleaned up in it, and with its counts kept where the build
 * counts coverage.
 */
#ifndef KIT_LEAVE_H
#define KIT_LEAVE_H

void kit_leave(int status) __attribute__((noreturn));

#endif
