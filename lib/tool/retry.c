/*
 * retry.c - a command under a pipe line.
 *
 * The guards live as long as this one call, so of them only what bounds a call
 * and its attempts has much to do here: tries, backoff, try, total.
 */
#include <stdlib.h>
#include <string.h>

#include <pipemaze/edge.h>
#include <pipemaze/pipe.h>

#include "tool/args.h"
#include "tool/command.h"
#include "tool/say.h"
#include "tool/signals.h"
#include "tool/span.h"
#include "tool/tool.h"

#define GRACE PMZ_S(1)

static const char help[] =
	"Usage: pipemaze retry [--grace T] [--final N[,N]...] [--quiet]\n"
	"                      LINE -- COMMAND [ARGUMENT]...\n"
	"\n"
	"Runs the command until it exits with 0, as often and as long as the\n"
	"line of a pipe allows:\n"
	"\n"
	"  pipemaze retry 'tries 5 backoff 1s..30s | try 10s' -- \\\n"
	"      curl -sf https://example.org/\n"
	"\n"
	"  --grace T   how long after TERM an attempt that took longer than\n"
	"              its `try` is killed; 1s\n"
	"  --final N   an exit status that is not tried again; several are\n"
	"              divided by commas\n"
	"  --quiet     says nothing of what failed\n"
	"\n"
	"Exits with the status of the last attempt: 128 + n if signal n\n"
	"ended it, 124 if it took too long, 126 or 127 if it could not be\n"
	"run. 75 if the line refused it, 64 for wrong usage.\n"
	"`man pipemaze` has the line in full.\n";

struct retry {
	unsigned char final[256]; /* by exit status */
	pmz_ns grace;
	char **argv;
	int signal;  /* that wants this to end, or 0 */
	int status;  /* of the last attempt */
	int not_run; /* because it cannot, which is said by then */
};

static int take_grace(void *into, const char *value)
{
	return args_span("--grace", value, &((struct retry *)into)->grace);
}

static int take_quiet(void *into, const char *value)
{
	(void)into;
	(void)value;
	say_quietly();
	return 0;
}

static int take_final(void *into, const char *value)
{
	const char *at = value;
	struct retry *retry = into;
	char *end;

	for (;;) {
		const unsigned long n = strtoul(at, &end, 10);

		if (*at < '0' || *at > '9' || n < 1 || n > 255 ||
		    (*end && *end != ','))
			return say_usage("--final: expected exit statuses from "
			                 "1 to 255 such as 2,65, not '%s'",
			                 value);
		retry->final[n] = 1;
		if (!*end)
			return 0;
		at = end + 1;
	}
}

static const struct option options[] = {
	{ "--grace", SPAN_EXPECTED, take_grace },
	{ "--final", "exit statuses such as 2,65", take_final },
	{ "--quiet", NULL, take_quiet },
	{ NULL, NULL, NULL },
};

static const struct grammar grammar = { options, "LINE", help };

/* It would refuse all, for nobody has added an endpoint. */
static int check_pipe(pmz_pipe *pipe)
{
	pmz_pipe_rules rules = { .size = sizeof(rules) };

	if (pmz_pipe_read(pipe, &rules) != PMZ_OK || !rules.balance)
		return 0;
	pmz_pipe_free(pipe);
	return say_usage("a command has no endpoints for the line's balance");
}

static int make_pipe(pmz_pipe **pipe, const char *line)
{
	pmz_why why;
	int status = pmz_pipe_from(pipe, line, NULL, &why);

	if (status == PMZ_OK)
		return check_pipe(*pipe);
	if (status != PMZ_E_CONFIG) {
		say("%s", pmz_status_text(status));
		return EXIT_NOT_NOW;
	}
	say("the line, column %u: %s", (unsigned)why.column, why.text);
	say_where(line, why.column);
	return EXIT_USAGE;
}

/* What ends after its time was told to, so even a 0 is not to be trusted. */
static pmz_outcome judge(struct retry *retry, const struct command *c)
{
	retry->status = c->ending ? EXIT_TIMED_OUT : c->status;
	retry->signal = c->told_to_end;
	retry->not_run = c->not_run;
	if (retry->status == 0)
		return PMZ_SUCCESS;
	if (retry->signal)
		return PMZ_IGNORE;
	if (retry->not_run || retry->final[retry->status])
		return PMZ_FATAL;
	return PMZ_FAILURE;
}

static pmz_outcome attempt(struct retry *retry, pmz_ns due)
{
	struct command c;

	retry->status = command_start(&c, retry->argv);
	if (retry->status) {
		retry->not_run = 1;
		return PMZ_FATAL;
	}
	while (command_await(&c, -1, due) != COMMAND_ENDED) {
		command_end(&c, span_after(pmz_now(), retry->grace));
		due = PMZ_NEVER;
	}
	return judge(retry, &c);
}

static pmz_step pause_until(struct retry *retry, pmz_call *call)
{
	retry->signal = signals_idle(-1, pmz_call_due(call));
	if (!retry->signal)
		return pmz_call_resume(call, pmz_now());
	retry->status = EXIT_SIGNALLED + retry->signal;
	pmz_call_cancel(call, pmz_now());
	return PMZ_DONE;
}

static void drive(struct retry *retry, pmz_call *call, pmz_pipe *pipe)
{
	pmz_step step = pmz_call_begin(call, pipe, NULL, pmz_now());

	while (step != PMZ_DONE) {
		if (step == PMZ_TRY) {
			pmz_outcome how = attempt(retry, pmz_call_due(call));

			step = pmz_call_settle(call, how, pmz_now());
		} else {
			step = pause_until(retry, call);
		}
	}
}

static int conclude(const struct retry *retry, const pmz_call *call)
{
	const unsigned tries = (unsigned)pmz_call_tries(call);
	const int status = pmz_call_status(call);
	const char *text = pmz_status_text(status);

	if (status == PMZ_OK)
		return 0;
	if (!retry->status) {
		remark("not run: %s", text);
		return EXIT_NOT_NOW;
	}
	if (!retry->signal && !retry->not_run)
		remark("%u attempt%s, the last with status %d: %s", tries,
		       tries == 1 ? "" : "s", retry->status, text);
	return retry->status;
}

int retry_main(char **argv)
{
	struct retry retry = { .grace = GRACE };
	struct args args;
	pmz_pipe *pipe;
	pmz_call call;
	int helped;
	int status = args_read(&args, &grammar, argv, &retry, &helped);

	if (status || helped)
		return status;
	status = make_pipe(&pipe, args.operand);
	if (status)
		return status;
	retry.argv = args.command;
	drive(&retry, &call, pipe);
	pmz_pipe_free(pipe);
	return conclude(&retry, &call);
}
