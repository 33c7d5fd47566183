/*
 * span.c - a span of time, as the lines of pipes write it.
 *
 * The library itself reads it, in the one stage that also takes 0s. So a word
 * means here what it means there, in this version and in later ones.
 */
#include "tool/span.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <pipemaze/pipe.h>

#define WORD_MAX 32

int span_read(const char *word, pmz_ns *span)
{
	pmz_pipe_rules rules = { .size = sizeof(rules) };
	char line[sizeof("wait ") + WORD_MAX];
	pmz_pipe *pipe;
	int failed;

	/* Else it could be more words than one. */
	if (strspn(word, "0123456789hmnsu") != strlen(word) ||
	    strlen(word) > WORD_MAX)
		return -1;
	snprintf(line, sizeof(line), "wait %s", word);
	if (pmz_pipe_from(&pipe, line, NULL, NULL) != PMZ_OK)
		return -1;
	failed = pmz_pipe_read(pipe, &rules);
	*span = rules.wait_max_ns;
	pmz_pipe_free(pipe);
	return failed ? -1 : 0;
}

const char *span_text(pmz_ns span, char out[SPAN_TEXT])
{
	static const struct {
		const char *name;
		pmz_ns ns;
	} units[] = {
		{ "h", PMZ_S(3600) }, { "m", PMZ_S(60) },  { "s", PMZ_S(1) },
		{ "ms", PMZ_MS(1) },  { "us", PMZ_US(1) }, { "ns", 1 },
	};
	size_t i = 0;

	while (units[i].ns > 1 &&
	       (span < units[i].ns ||
	        (span < 10 * units[i].ns && span % units[i].ns)))
		i++;
	snprintf(out, SPAN_TEXT, "%" PRIu64 "%s", span / units[i].ns,
	         units[i].name);
	return out;
}

pmz_ns span_after(pmz_ns now, pmz_ns span)
{
	return span < PMZ_NEVER - now ? now + span : PMZ_NEVER;
}
