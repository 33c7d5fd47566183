/*
 * say.h - what the command says on standard error, which is not only its own.
 */
#ifndef PIPEMAZE_TOOL_SAY_H
#define PIPEMAZE_TOOL_SAY_H

#include <stdint.h>

#if defined(__GNUC__)
#define SAY_FORMAT __attribute__((format(printf, 1, 2)))
#else
#define SAY_FORMAT
#endif

/* The subcommand whose name stands before all that is said. */
void say_as(const char *subcommand);
void say(const char *format, ...) SAY_FORMAT;

/* What only a person wants to know: not said after say_quietly(). */
void say_quietly(void);
void remark(const char *format, ...) SAY_FORMAT;

/* The same with the way to the help. EXIT_USAGE. */
int say_usage(const char *format, ...) SAY_FORMAT;

/* A line of the user's, and a caret under the byte `column`, from 1. */
void say_where(const char *line, uint32_t column);

#endif
