/*
 * call.c - calls on one pipe, in any order, at any time, while its line and its
 * endpoints change.
 *
 * The first byte says whether the clock may do what it likes. The next ones
 * choose the stages of a line. Then each byte is a deed of one call or of the
 * pipe, and those behind it are what it needs.
 */
#include "fuzz.h"

#include <pipemaze/pipe.h>

#define CALLS 4
#define DEEDS_MAX 200
#define STEPS_MAX 100000

static struct play {
	pmz_pipe *pipe;
	pmz_call calls[CALLS];
	pmz_step steps[CALLS]; /* 0: not begun */
	pmz_ns now;
	int hostile;
	pmz_breaker *breaker; /* once a line had one */
	pmz_bulkhead *bulkhead;
	pmz_balance *balance;
	uint32_t endpoints;
} t;

static const char *const stages[][4] = {
	{ "", "breaker 50% over 1s min 2 open 50ms..1s",
	  "breaker 2 consecutive open 1ms probes 2 close 1 lease 5ms",
	  "breaker 3 failures over 7ms slow 1ms 10% mode shadow" },
	{ "", "bulkhead 1", "bulkhead 2", "bulkhead 8388607" },
	{ "", "rate 3/50ms burst 2", "rate 1000000000/s", "rate 1/h" },
	{ "", "tries 4 backoff 1ms..9ms jitter none",
	  "tries 5 backoff 1ns..50ms jitter decorrelated factor 1000%",
	  "tries 2" },
	{ "", "budget 100%", "budget 1% floor 0/s", "budget 20% floor 1/s" },
	{ "", "try 1ms", "try 2s", "try 1ns" },
	{ "", "total 50ms", "total 1s", "total 5000000h" },
	{ "", "wait 50ms", "wait 1s", "wait 20ms" },
};
#define STAGES (sizeof(stages) / sizeof(*stages))

static const char *const balances[] = {
	"balance least",
	"balance key",
	"balance ewma eject 1 consecutive base 1ms most 100%",
};

static void add(char *line, size_t size, const char *stage)
{
	size_t len = strlen(line);

	if (stage[0])
		snprintf(line + len, size - len, "%s%s", len ? " | " : "",
		         stage);
}

static void write_line(bytes *b, char *line, size_t size, const char *balance)
{
	unsigned bits = bytes_8(b) | (unsigned)bytes_8(b) << 8;
	size_t i;

	line[0] = '\0';
	for (i = 0; i < STAGES; i++)
		add(line, size, stages[i][bits >> 2 * i & 3]);
	add(line, size, balance);
	if (!line[0])
		add(line, size, "tries 1");
}

/* A guard stays the pipe's when a line leaves it out. */
static void note_guards(void)
{
	pmz_pipe_rules rules;

	memset(&rules, 0, sizeof(rules));
	rules.size = sizeof(rules);
	must(pmz_pipe_read(t.pipe, &rules) == PMZ_OK);
	must(!t.bulkhead || !rules.bulkhead || t.bulkhead == rules.bulkhead);
	must(!t.breaker || !rules.breaker || t.breaker == rules.breaker);
	if (rules.breaker)
		t.breaker = rules.breaker;
	if (rules.bulkhead)
		t.bulkhead = rules.bulkhead;
	if (rules.balance)
		t.balance = rules.balance;
}

static int is_status_of_a_call(int status)
{
	return status == PMZ_OK ||
	       (status >= PMZ_REFUSED_OPEN && status <= PMZ_REFUSED_BUDGET) ||
	       status == PMZ_REFUSED_EMPTY ||
	       (status >= PMZ_GAVE_UP && status <= PMZ_ENDED) ||
	       status == PMZ_E_STATE || status == PMZ_E_CONFIG;
}

static void took(unsigned i, pmz_step step)
{
	const pmz_call *c = &t.calls[i];
	uint32_t endpoint = pmz_call_endpoint(c);

	must(step >= PMZ_TRY && step <= PMZ_DONE);
	must(endpoint == PMZ_NO_ENDPOINT || endpoint < t.endpoints);
	if (step == PMZ_DONE)
		must(is_status_of_a_call(pmz_call_status(c)));
	else
		must(pmz_call_status(c) == PMZ_E_STATE);
	if (step == PMZ_TRY)
		must(pmz_call_tries(c) >= 1);
	t.steps[i] = step;
}

static void resume(unsigned i)
{
	if (t.steps[i])
		took(i, pmz_call_resume(&t.calls[i], t.now));
}

static void end(unsigned i)
{
	if (!t.steps[i])
		return;
	pmz_call_cancel(&t.calls[i], t.now);
	resume(i);
	must(t.steps[i] == PMZ_DONE);
	t.steps[i] = (pmz_step)0;
}

static void begin(bytes *b, unsigned i)
{
	pmz_ask ask;

	end(i);
	memset(&ask, 0, sizeof(ask));
	ask.size = sizeof(ask) - bytes_below(b, 2) * 8;
	ask.tokens = bytes_8(b);
	ask.deadline = bytes_below(b, 3) ? 0 : bytes_now(b, t.now, t.hostile);
	ask.seed = bytes_8(b);
	ask.hash = bytes_8(b);
	took(i, pmz_call_begin(&t.calls[i], t.pipe,
	                       bytes_below(b, 2) ? &ask : NULL, t.now));
}

static void settle(bytes *b, unsigned i)
{
	unsigned how = bytes_below(b, 8);
	pmz_ns hint = bytes_below(b, 3) ? 0 : bytes_now(b, 0, t.hostile);

	if (t.steps[i])
		took(i, pmz_call_settle_hint(&t.calls[i], (pmz_outcome)how,
		                             t.now, hint));
}

static void go_to_due(unsigned i)
{
	pmz_ns due = t.steps[i] ? pmz_call_due(&t.calls[i]) : 0;

	/* A wait may end with the clock itself. */
	if (due > t.now && (due != PMZ_NEVER || t.steps[i] == PMZ_WAIT))
		t.now = due;
	resume(i);
}

static void reload(bytes *b)
{
	char line[1024];
	int status;

	write_line(b, line, sizeof(line), "");
	status = pmz_pipe_reload(t.pipe, line, t.now, NULL);
	/* A breaker that is there keeps its number of probes. */
	must(status == PMZ_OK || (status == PMZ_E_CONFIG && t.breaker));
	note_guards();
}

static void change_endpoints(bytes *b)
{
	char name[8];
	uint32_t which = bytes_below(b, 8), at = 0;

	if (!t.balance)
		return;
	snprintf(name, sizeof(name), "e%u", (unsigned)which);
	switch (bytes_below(b, 4)) {
	case 0:
		pmz_balance_remove(t.balance, which, t.now);
		break;
	case 1:
		pmz_balance_health(t.balance, which, which & 1, t.now);
		break;
	case 2:
		pmz_balance_weight(t.balance, which, bytes_below(b, 4), t.now);
		break;
	default:
		if (!pmz_balance_add(t.balance, name, bytes_below(b, 4), t.now,
		                     &at) &&
		    at >= t.endpoints)
			t.endpoints = at + 1;
	}
}

static void do_one(bytes *b)
{
	unsigned deed = bytes_8(b), i = deed >> 4 & (CALLS - 1);

	switch (deed & 15) {
	case 0:
	case 1:
	case 2:
		begin(b, i);
		break;
	case 3:
	case 4:
	case 5:
		settle(b, i);
		break;
	case 6:
		resume(i);
		break;
	case 7:
	case 8:
		go_to_due(i);
		break;
	case 9:
		end(i);
		break;
	case 10:
		reload(b);
		break;
	case 11:
	case 12:
		change_endpoints(b);
		break;
	default:
		t.now = bytes_now(b, t.now, t.hostile);
	}
}

/* Each attempt fails and each wait is waited for. */
static void run_out(unsigned i)
{
	int n;

	for (n = 0; t.steps[i] == PMZ_TRY || t.steps[i] == PMZ_WAIT; n++) {
		must(n < STEPS_MAX);
		if (t.steps[i] == PMZ_WAIT)
			go_to_due(i);
		else
			took(i,
			     pmz_call_settle(&t.calls[i], PMZ_FAILURE, t.now));
	}
}

static void all_is_given_back(void)
{
	pmz_bulkhead_stats slots = { .size = sizeof(slots) };
	pmz_breaker_stats probes = { .size = sizeof(probes) };
	pmz_endpoint_stats picks = { .size = sizeof(picks) };
	uint32_t i;

	if (t.bulkhead) {
		must(!pmz_bulkhead_read(t.bulkhead, &slots));
		must(!slots.in_use && !slots.over_releases);
	}
	if (t.breaker) {
		must(!pmz_breaker_read(t.breaker, t.now, &probes));
		must(!probes.probes_out && !probes.misused);
	}
	for (i = 0; t.balance && i < t.endpoints; i++)
		if (!pmz_balance_read(t.balance, i, t.now, &picks))
			must(!picks.in_flight);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	bytes b = { data, size };
	unsigned how = bytes_8(&b), i;
	char line[1024];

	memset(&t, 0, sizeof(t));
	t.hostile = how & 1;
	t.now = PMZ_S(1000);
	write_line(&b, line, sizeof(line),
	           how & 2 ? balances[(how >> 2) % 3] : "");
	must(pmz_pipe_from(&t.pipe, line, NULL, NULL) == PMZ_OK);
	note_guards();
	for (i = 0; i < DEEDS_MAX && b.left; i++)
		do_one(&b);
	for (i = 0; i < CALLS; i++)
		if (how >> (4 + i) & 1)
			run_out(i);
	for (i = 0; i < CALLS; i++)
		end(i);
	all_is_given_back();
	pmz_pipe_free(t.pipe);
	return 0;
}
