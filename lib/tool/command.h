/*
 * command.h - the user's command: started, waited for, ended in time.
 */
#ifndef PIPEMAZE_TOOL_COMMAND_H
#define PIPEMAZE_TOOL_COMMAND_H

#include <sys/types.h>

#include <pipemaze/base.h>

struct command {
	char **argv;
	pid_t pid;
	int own_group;
	int report;      /* what comes from here is why it could not be run */
	int ending;      /* it was told to end by command_end() */
	pmz_ns kill_at;  /* and is killed then */
	int told_to_end; /* the signal of another who did so, or 0 */
	int not_run;     /* errno, once it has ended */
	int status;      /* for exit(), once it has ended */
};

enum command_event {
	COMMAND_ENDED,
	COMMAND_DUE, /* `until` has come */
	COMMAND_NEWS /* fd has something */
};

/* 0, or an exit status after a complaint. It dies with the tool. */
int command_start(struct command *c, char **argv);

/* Waits, and passes on what signals come. PMZ_NEVER and -1 for neither. */
enum command_event command_await(struct command *c, int fd, pmz_ns until);

/* TERM now, KILL at kill_at, to its whole group if it has one of its own. */
void command_end(struct command *c, pmz_ns kill_at);

#endif
