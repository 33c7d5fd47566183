/*
 * say.c - what the command says on standard error, which is not only its own.
 */
#include "tool/say.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include "tool/tool.h"

#define SENTENCE_MAX 600 /* longer ones are cut */

static const char *speaker = "";
static int quiet;

void say_as(const char *subcommand)
{
	speaker = subcommand;
}

void say_quietly(void)
{
	quiet = 1;
}

/* In one piece, for the user's command may be writing there as well. */
static void speak(const char *format, va_list args)
{
	char sentence[SENTENCE_MAX];

	vsnprintf(sentence, sizeof(sentence), format, args);
	fprintf(stderr, "pipemaze%s%s: %s\n", *speaker ? " " : "", speaker,
	        sentence);
}

void say(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	speak(format, args);
	va_end(args);
}

void remark(const char *format, ...)
{
	va_list args;

	if (quiet)
		return;
	va_start(args, format);
	speak(format, args);
	va_end(args);
}

int say_usage(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	speak(format, args);
	va_end(args);
	fprintf(stderr, "Try: pipemaze%s%s --help\n", *speaker ? " " : "",
	        speaker);
	return EXIT_USAGE;
}

static int is_continuation(char c)
{
	return ((unsigned char)c & 0xc0) == 0x80;
}

static int is_control(char c)
{
	return (unsigned char)c < ' ' && c != '\t';
}

/* Under a tab stands a tab, and a letter of several bytes is one wide, so that
 * the caret finds its place. */
void say_where(const char *line, uint32_t column)
{
	const char *at;

	fputs("  ", stderr);
	for (at = line; *at; at++)
		fputc(is_control(*at) ? ' ' : *at, stderr);
	fputs("\n  ", stderr);
	for (at = line; *at && at - line < (ptrdiff_t)column - 1; at++)
		if (!is_continuation(*at))
			fputc(*at == '\t' ? '\t' : ' ', stderr);
	fputs("^\n", stderr);
}
