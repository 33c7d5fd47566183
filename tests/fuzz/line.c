/*
 * line.c - any text as the line of a pipe, as the next line of one, and as a
 * script of faults.
 */
#include "fuzz.h"

#include <pipemaze/pipe.h>
#include <pipemaze/sim.h>

#define PHASES_MAX 32

/* A refused text is pointed at: within it, or right behind it. */
static void is_explained(int status, const pmz_why *why, size_t len)
{
	must(status == PMZ_OK || status == PMZ_E_CONFIG);
	if (status == PMZ_OK)
		return;
	must(why->column >= 1 && why->column <= len + 1);
	must(memchr(why->field, '\0', sizeof(why->field)));
	must(why->text[0] && memchr(why->text, '\0', sizeof(why->text)));
}

static pmz_pipe_rules rules_of(const pmz_pipe *p)
{
	pmz_pipe_rules rules;

	memset(&rules, 0, sizeof(rules));
	rules.size = sizeof(rules);
	must(pmz_pipe_read(p, &rules) == PMZ_OK);
	return rules;
}

static void walk_once(pmz_pipe *p)
{
	pmz_call call;
	pmz_step step = pmz_call_begin(&call, p, NULL, PMZ_S(1));

	if (step == PMZ_TRY)
		step = pmz_call_settle(&call, PMZ_FAILURE, PMZ_S(2));
	if (step != PMZ_DONE)
		pmz_call_cancel(&call, PMZ_S(3));
	must(pmz_call_status(&call) != PMZ_E_STATE);
}

static void fits_itself(pmz_pipe *p, const char *line)
{
	pmz_pipe_rules before = rules_of(p), after;
	pmz_why why;

	walk_once(p);
	must(pmz_pipe_reload(p, line, PMZ_S(4), &why) == PMZ_OK);
	after = rules_of(p);
	must(!memcmp(&before, &after, sizeof(before)));
	walk_once(p);
}

static int try_from(const char *line, size_t len)
{
	pmz_pipe *p = NULL;
	pmz_why why;
	int status;

	memset(&why, 0, sizeof(why));
	status = pmz_pipe_from(&p, line, NULL, &why);
	is_explained(status, &why, len);
	if (status == PMZ_OK)
		fits_itself(p, line);
	pmz_pipe_free(p);
	return status;
}

/* What a running pipe refuses leaves it as it was. */
static void try_reload(const char *line, size_t len, int from)
{
	static const char first[] =
		"breaker 40% over 3s min 5 probes 2 | bulkhead 9 | rate 7/s | "
		"tries 4 backoff 1ms..9ms | budget 10% | total 9s | wait 1s";
	pmz_pipe_rules before, after;
	pmz_pipe *p;
	pmz_why why;
	int status;

	must(pmz_pipe_from(&p, first, NULL, NULL) == PMZ_OK);
	before = rules_of(p);
	status = pmz_pipe_reload(p, line, PMZ_S(1), &why);
	is_explained(status, &why, len);
	must(from == PMZ_OK || status != PMZ_OK);
	after = rules_of(p);
	if (status != PMZ_OK)
		must(!memcmp(&before, &after, sizeof(before)));
	walk_once(p);
	pmz_pipe_free(p);
}

static void play(const pmz_script *s)
{
	pmz_ns at = 0, lasts = 0;
	int phase;

	for (phase = 0; phase <= PHASES_MAX && at != PMZ_NEVER; phase++) {
		pmz_outcome how = pmz_script_attempt(s, at, at + 1, &lasts);
		pmz_ns until = pmz_script_until(s, at);

		must(how >= PMZ_SUCCESS && how <= PMZ_FATAL);
		must(pmz_script_state(s, at)[0]);
		must(until > at);
		at = until;
	}
	must(at == PMZ_NEVER);
}

static void try_script(const char *text, size_t len)
{
	pmz_script s;
	pmz_why why;
	int status;

	memset(&why, 0, sizeof(why));
	status = pmz_script_from(&s, text, &why);
	is_explained(status, &why, len);
	if (status == PMZ_OK)
		play(&s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	bytes b = { data, size };
	char *text = bytes_long_text(&b);
	size_t len = strlen(text);

	try_reload(text, len, try_from(text, len));
	try_script(text, len);
	free(text);
	return 0;
}
