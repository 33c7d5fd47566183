/*
 * tool.h - how the command ends, and how it speaks.
 */
#ifndef PIPEMAZE_TOOL_TOOL_H
#define PIPEMAZE_TOOL_TOOL_H

/* What is neither here nor a signal's number on top of EXIT_SIGNALLED is the
 * status of the user's command. The man page explains them; 64 to 75 are those
 * of sysexits.h, 124 is that of timeout(1), the last three are a shell's. */
enum {
	EXIT_USAGE = 64,
	EXIT_OUTPUT = 74,
	EXIT_NOT_NOW = 75,
	EXIT_LOST = 76,
	EXIT_TIMED_OUT = 124,
	EXIT_CANNOT_RUN = 126,
	EXIT_NOT_FOUND = 127,
	EXIT_SIGNALLED = 128
};

/* The subcommands: argv starts behind their name. */
int lock_main(char **argv);
int retry_main(char **argv);

#endif
