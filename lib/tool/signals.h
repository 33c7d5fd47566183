/*
 * signals.h - signals as something to poll for.
 */
#ifndef PIPEMAZE_TOOL_SIGNALS_H
#define PIPEMAZE_TOOL_SIGNALS_H

#include <pipemaze/base.h>

struct note {
	unsigned char signal;
	unsigned char by_terminal; /* so the whole foreground group has it */
};

/* From here on they wait to be taken, but for those that were ignored when the
 * tool was started, as HUP under nohup(1). -1 with errno. */
int signals_catch(void);
/* Oldest first; 0 if there is none. */
int signals_take(struct note *note);

/* All that there are. */
void signals_drop(void);

/* Around a fork: none arrives in between. */
void signals_hold(void);
void signals_go_on(void);
/* In the child, held: all is as the tool itself found it. */
void signals_restore(void);

/* Until `until`, a signal, or fd (-1: none) has something: 1 for the last. May
 * return sooner. */
int signals_poll(int fd, pmz_ns until);

/* While no command runs: sits until `until` or fd has something, 0, or until a
 * signal wants the tool to end, its number. */
int signals_idle(int fd, pmz_ns until);

/* Whether its sender means: come to an end. */
int signals_is_end(int signal);

#endif
