/*
 * main.c - the pipemaze command: what the library does, for a shell.
 *
 *   args, span   the words of its command line
 *   signals      signals as something to poll for
 *   command      the user's command
 *   acquire      waiting for a lock
 *   lock, retry  the subcommands
 *   say          standard error
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <pipemaze/version.h>

#include "tool/args.h"
#include "tool/say.h"
#include "tool/signals.h"
#include "tool/tool.h"

static const char help[] =
	"Usage: pipemaze lock [OPTION]... NAME -- COMMAND [ARGUMENT]...\n"
	"       pipemaze retry [OPTION]... LINE -- COMMAND [ARGUMENT]...\n"
	"\n"
	"  lock    runs a command while it holds a lock in Redis\n"
	"  retry   runs a command until it succeeds, by the line of a pipe\n"
	"\n"
	"  pipemaze SUBCOMMAND --help, pipemaze --help, pipemaze --version\n";

static const struct {
	const char *name;
	int (*main)(char **argv);
} subcommands[] = {
	{ "lock", lock_main },
	{ "retry", retry_main },
};
#define SUBCOMMANDS (sizeof(subcommands) / sizeof(subcommands[0]))

static int print_version(void)
{
	char text[64];

	snprintf(text, sizeof(text), "pipemaze %s\n", pmz_version());
	return args_print(text);
}

static int run(size_t i, char **argv)
{
	say_as(subcommands[i].name);
	if (signals_catch() == 0)
		return subcommands[i].main(argv);
	say("signals: %s", strerror(errno));
	return EXIT_NOT_NOW;
}

int main(int argc, char **argv)
{
	const char *word = argc > 1 ? argv[1] : "";
	size_t i;

	for (i = 0; i < SUBCOMMANDS; i++)
		if (strcmp(word, subcommands[i].name) == 0)
			return run(i, argv + 2);
	if (strcmp(word, "--version") == 0)
		return print_version();
	if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)
		return args_print(help);
	return argc > 1 ? say_usage("expected lock or retry, not '%s'", word)
	                : say_usage("expected lock or retry");
}
