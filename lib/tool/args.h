/*
 * args.h - the words of a subcommand: options, one operand, -- and a command.
 */
#ifndef PIPEMAZE_TOOL_ARGS_H
#define PIPEMAZE_TOOL_ARGS_H

#include <pipemaze/base.h>

struct option {
	const char *name;  /* "--ttl" */
	const char *wants; /* what its value is, for a sentence; NULL: a flag */
	/* 0, or an exit status after a complaint. */
	int (*take)(void *into, const char *value);
};

struct grammar {
	const struct option *options; /* up to one without a name */
	const char *operand;          /* "NAME" */
	const char *help;
};

struct args {
	const char *operand;
	char **command;
};

/* Options may stand before and behind the operand, as `--ttl 5s` or `--ttl=5s`.
 * 0; else the exit status after a complaint or, with `help` in *helped, after
 * the help. */
int args_read(struct args *out, const struct grammar *g, char **argv,
              void *into, int *helped);

/* For `take`: a span, or an exit status after a complaint. */
int args_span(const char *option, const char *value, pmz_ns *span);

/* All of stdout is written, or EXIT_OUTPUT after a complaint. */
int args_print(const char *text);

#endif
