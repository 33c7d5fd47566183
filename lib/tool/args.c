/*
 * args.c - the words of a subcommand: options, one operand, -- and a command.
 */
#include "tool/args.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tool/say.h"
#include "tool/span.h"
#include "tool/tool.h"

int args_print(const char *text)
{
	if (fputs(text, stdout) >= 0 && fflush(stdout) == 0)
		return 0;
	say("standard output: %s", strerror(errno));
	return EXIT_OUTPUT;
}

int args_span(const char *option, const char *value, pmz_ns *span)
{
	if (span_read(value, span) == 0)
		return 0;
	return say_usage("%s: expected " SPAN_EXPECTED ", not '%s'", option,
	                 value);
}

/* The option that a word names, before a `=` if it has one. */
static const struct option *find(const struct grammar *g, const char *word)
{
	const size_t length = strcspn(word, "=");
	const struct option *o;

	for (o = g->options; o->name; o++)
		if (strlen(o->name) == length &&
		    memcmp(o->name, word, length) == 0)
			return o;
	return NULL;
}

/* Takes the option at *argv, and leaves *argv at its last word. */
static int take_option(const struct grammar *g, char ***argv, void *into)
{
	const char *word = **argv;
	const char *value = strchr(word, '=');
	const struct option *o = find(g, word);

	if (!o)
		return say_usage("there is no option '%s'", word);
	if (!o->wants)
		return value ? say_usage("%s takes no value, as in '%s'",
		                         o->name, word)
		             : o->take(into, NULL);
	if (value)
		return o->take(into, value + 1);
	if (!(*argv)[1] || strcmp((*argv)[1], "--") == 0)
		return say_usage("%s: expected %s after it", o->name, o->wants);
	return o->take(into, *++*argv);
}

static int take_operand(struct args *out, const struct grammar *g,
                        const char *word)
{
	if (out->operand)
		return say_usage("expected -- and a command after '%s', not "
		                 "'%s'",
		                 out->operand, word);
	if (!*word)
		return say_usage("the %s is empty", g->operand);
	out->operand = word;
	return 0;
}

static int check(const struct args *out, const struct grammar *g)
{
	if (!out->operand)
		return say_usage("expected a %s before -- and a command",
		                 g->operand);
	if (!out->command)
		return say_usage("expected -- and a command after '%s'",
		                 out->operand);
	if (!*out->command)
		return say_usage("expected a command after --");
	return 0;
}

static int asks_for_help(const char *word)
{
	return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
}

int args_read(struct args *out, const struct grammar *g, char **argv,
              void *into, int *helped)
{
	int failed = 0;

	memset(out, 0, sizeof(*out));
	*helped = 0;
	for (; *argv && !failed; argv++) {
		if (strcmp(*argv, "--") == 0) {
			out->command = argv + 1;
			break;
		}
		if (asks_for_help(*argv)) {
			*helped = 1;
			return args_print(g->help);
		}
		failed = **argv == '-' ? take_option(g, &argv, into)
		                       : take_operand(out, g, *argv);
	}
	return failed ? failed : check(out, g);
}
