/*
 * life.c - how long a demo lives, and who may end it sooner.
 */
#define _POSIX_C_SOURCE 200809L
#include "life.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

static volatile sig_atomic_t interrupted;

static void interrupt(int number)
{
	(void)number;
	interrupted = 1;
}

void life_heed_signals(void)
{
	struct sigaction action;

	memset(&action, 0, sizeof(action));
	action.sa_handler = interrupt;
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
	/* If nobody reads our output, write() says so. */
	action.sa_handler = SIG_IGN;
	sigaction(SIGPIPE, &action, NULL);
}

int life_interrupted(void)
{
	return interrupted;
}

pmz_ns life_length(pmz_ns written)
{
	const char *wish = getenv("DEMO_SECONDS");
	double length = wish && *wish ? atof(wish) : seconds(written);

	if (!(length >= SECONDS_MIN))
		length = SECONDS_MIN;
	if (length > SECONDS_MAX)
		length = SECONDS_MAX;
	return (pmz_ns)(length / seconds(TICK)) * TICK;
}

pmz_ns life_scaled(pmz_ns span, pmz_ns written, pmz_ns length)
{
	double share = seconds(length) / seconds(written);

	return PMZ_MS(seconds(span) * share * 1e3 + 0.5);
}
