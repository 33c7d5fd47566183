/*
 * line.c - a pipe's one line of text, read into the configs of its stages.
 *
 * A recursive descent with one word at hand. A function takes the words that
 * are its own and leaves the next; one that finds a word wrong leaves it at
 * hand, so that an error is always at hand too.
 *
 * A word ends at white space, a bar or the final NUL. None of them is part of a
 * number or a unit, so scanning these stops in time without a bound. Numbers
 * saturate while they are scanned: all ones is too much for every field, and
 * means off or never.
 */
#include "core/line.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/scan.h"
#include "base/wide.h"
#include "core/backoff.h"
#include "core/breaker.h"
#include "core/bulkhead.h"
#include "core/window.h"

#define SPACE " \t\n\r\v\f"

#define COUNT_MAX (PMZ_OFF - 1)

/* Together with the words around them they fit into a pmz_why. */
#define EXPECTED_MAX 112
#define QUOTED_MAX 40

typedef struct token {
	const char *at, *end; /* empty only at the end of the line */
} token;

typedef struct reader {
	pmz__line *line;
	pmz_why *why;
	const char *text;
	const char *field; /* the stage or option that is read */
	token word;
	token rate, burst; /* judged together, once both are known */
} reader;

typedef struct option {
	const char *name;
	int (*read)(reader *r);
} option;

typedef struct stage {
	const char *name;
	int (*read)(reader *r);
	const option *options; /* up to one without a name */
	int (*finish)(reader *r);
	const char *then; /* what may follow the value */
} stage;

typedef struct choice {
	const char *name;
	uint32_t value;
} choice;

int pmz__line_bad(pmz_why *why, uint32_t column, const char *field,
                  const char *format, ...)
{
	char text[sizeof(why->text)];
	va_list args;
	char *c;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	for (c = text; *c; c++)
		if (*c < ' ' || *c > '~')
			*c = '?';
	pmz__bad(why, field, "%s", text);
	if (why)
		why->column = column;
	return PMZ_E_CONFIG;
}

static uint32_t column_of(const reader *r)
{
	return (uint32_t)(r->word.at - r->text) + 1;
}

static PMZ__PRINTF(2, 3) int wrong(const reader *r, const char *format, ...)
{
	const int length = (int)(r->word.end - r->word.at);
	const int cut = length > QUOTED_MAX;
	char expected[EXPECTED_MAX];
	va_list args;

	va_start(args, format);
	vsnprintf(expected, sizeof(expected), format, args);
	va_end(args);
	if (!length)
		return pmz__line_bad(r->why, column_of(r), r->field,
		                     "expected %s, but the line ends",
		                     expected);
	return pmz__line_bad(r->why, column_of(r), r->field,
	                     "expected %s, not \"%.*s%s\"", expected,
	                     cut ? QUOTED_MAX : length, r->word.at,
	                     cut ? "..." : "");
}

static int wrong_twice(const reader *r, const char *kind)
{
	return pmz__line_bad(r->why, column_of(r), r->field,
	                     "expected each %s once, not a second \"%s\"", kind,
	                     r->field);
}

static void next(reader *r)
{
	const char *at = r->word.end + strspn(r->word.end, SPACE);

	r->word.at = at;
	r->word.end = at + (*at == '|' ? 1 : strcspn(at, SPACE "|"));
}

static int is(const reader *r, const char *word)
{
	const size_t length = strlen(word);

	return (size_t)(r->word.end - r->word.at) == length &&
	       !memcmp(r->word.at, word, length);
}

static int at_stage_end(const reader *r)
{
	return is(r, "") || is(r, "|");
}

static int expect(reader *r, const char *word)
{
	if (!is(r, word))
		return wrong(r, "the word %s", word);
	next(r);
	return PMZ_OK;
}

static int read_number(reader *r, uint64_t most, uint64_t *n)
{
	if (pmz__scan_number(r->word.at, n) != r->word.end || *n < 1 || *n > most)
		return wrong(r, "a number from 1 to %" PRIu64, most);
	next(r);
	return PMZ_OK;
}

static int read_count(reader *r, uint32_t most, uint32_t *count)
{
	uint64_t n;
	int status = read_number(r, most, &n);

	*count = (uint32_t)n;
	return status;
}

static int read_percent(reader *r, uint32_t least, uint32_t most, uint32_t *pct)
{
	uint64_t n;
	const char *at = pmz__scan_number(r->word.at, &n);

	if (!at || *at != '%' || at + 1 != r->word.end || n < least || n > most)
		return wrong(r,
		             "a percentage from %" PRIu32 "%% to %" PRIu32 "%%",
		             least, most);
	*pct = (uint32_t)n;
	next(r);
	return PMZ_OK;
}

/* Whether a span, well written, is one that a config can hold. */
static int check_span(const reader *r, pmz_ns least, pmz_ns span)
{
	if (span < least)
		return wrong(r, "a span above zero");
	if (span == PMZ_NEVER)
		return wrong(r, "a span of less than 2^64 ns");
	return PMZ_OK;
}

static int read_span_from(reader *r, pmz_ns least, pmz_ns *span)
{
	int status;

	if (pmz__scan_span(r->word.at, span) != r->word.end)
		return wrong(r, "a span like 250ms or 5s");
	status = check_span(r, least, *span);
	if (!status)
		next(r);
	return status;
}

static int read_span(reader *r, pmz_ns *span)
{
	return read_span_from(r, 1, span);
}

static int read_range(reader *r, const char *like, pmz_ns *low, pmz_ns *high)
{
	int status;

	if (pmz__scan_range(r->word.at, low, high) != r->word.end)
		return wrong(r, "%s", like);
	if (*low > *high)
		return wrong(r, "a range that does not fall");
	status = check_span(r, 1, *low);
	if (!status)
		status = check_span(r, 1, *high);
	if (!status)
		next(r);
	return status;
}

static int read_choice(reader *r, const choice *choices, const char *names,
                       uint32_t *value)
{
	for (; choices->name; choices++)
		if (is(r, choices->name)) {
			*value = choices->value;
			next(r);
			return PMZ_OK;
		}
	return wrong(r, "%s", names);
}

static int read_time_window(reader *r)
{
	pmz_ns span;

	r->line->window_column = column_of(r);
	if (pmz__scan_span(r->word.at, &span) == r->word.end &&
	    span < PMZ__WINDOW_MIN)
		return wrong(r, "a window of at least 1ms");
	return read_span(r, &r->line->breaker.window_ns);
}

static int read_calls_window(reader *r)
{
	pmz__line *line = r->line;
	int status;

	line->window_column = column_of(r);
	status = read_count(r, PMZ__CALLS_WINDOW_MAX,
	                    &line->breaker.calls_window);
	if (status)
		return status;
	if (!is(r, "calls"))
		return wrong(r, "the word calls after a number without a unit");
	next(r);
	return PMZ_OK;
}

static int read_window(reader *r)
{
	uint64_t n;
	const char *at = pmz__scan_number(r->word.at, &n);

	if (!at)
		return wrong(r, "a span like 10s or a number of calls");
	return at == r->word.end ? read_calls_window(r) : read_time_window(r);
}

static int read_failure_pct(reader *r)
{
	int status = read_percent(r, 1, 100, &r->line->breaker.failure_pct);

	if (!status)
		status = expect(r, "over");
	return status ? status : read_window(r);
}

static int read_failure_count(reader *r)
{
	pmz_breaker_config *breaker = &r->line->breaker;
	uint32_t count;
	int status = read_count(r, COUNT_MAX, &count);

	if (status)
		return status;
	breaker->failure_pct = PMZ_OFF;
	if (is(r, "consecutive")) {
		breaker->consecutive_max = count;
		next(r);
		return PMZ_OK;
	}
	if (!is(r, "failures"))
		return wrong(r, "consecutive or failures");
	breaker->failures_max = count;
	next(r);
	status = expect(r, "over");
	return status ? status : read_time_window(r);
}

static int read_breaker(reader *r)
{
	uint64_t n;
	const char *at = pmz__scan_number(r->word.at, &n);

	r->line->breaker.mode = PMZ_ENFORCE;
	if (!at)
		return wrong(r, "a percentage like 50%% or a number");
	return *at == '%' ? read_failure_pct(r) : read_failure_count(r);
}

static int read_min(reader *r)
{
	pmz_breaker_config *breaker = &r->line->breaker;
	uint64_t n;

	if (breaker->calls_window &&
	    pmz__scan_number(r->word.at, &n) == r->word.end &&
	    n > breaker->calls_window)
		return wrong(r, "no more than the window's %" PRIu32 " calls",
		             breaker->calls_window);
	return read_count(r, COUNT_MAX, &breaker->calls_min);
}

static int read_open(reader *r)
{
	pmz_breaker_config *breaker = &r->line->breaker;
	int status;

	if (pmz__scan_span(r->word.at, &breaker->open_ns) != r->word.end)
		return read_range(r, "a span like 5s or a range like 5s..60s",
		                  &breaker->open_ns, &breaker->open_max_ns);
	status = read_span(r, &breaker->open_ns);
	breaker->open_max_ns = breaker->open_ns;
	return status;
}

static int read_slow(reader *r)
{
	pmz_breaker_config *breaker = &r->line->breaker;
	int status = read_span(r, &breaker->slow_ns);

	return status ? status : read_percent(r, 1, 100, &breaker->slow_pct);
}

static int read_probes(reader *r)
{
	r->line->probes_column = column_of(r);
	return read_count(r, PMZ__PROBES, &r->line->breaker.probes_max);
}

static int read_close(reader *r)
{
	return read_count(r, COUNT_MAX, &r->line->breaker.probes_to_close);
}

static int read_lease(reader *r)
{
	return read_span(r, &r->line->breaker.probe_lease_ns);
}

static int read_mode(reader *r)
{
	static const choice modes[] = { { "shadow", PMZ_SHADOW }, { NULL, 0 } };

	return read_choice(r, modes, "shadow", &r->line->breaker.mode);
}

static int read_bulkhead(reader *r)
{
	return read_count(r, PMZ__BULKHEAD_MAX, &r->line->bulkhead.limit);
}

/* What follows the slash: a span, or a unit of one letter. */
static const char *scan_per(const char *at, const char *end, pmz_ns *per)
{
	return end - at == 1 ? pmz__scan_unit(at, 1, per) : pmz__scan_span(at, per);
}

static int set_rate(pmz__line *line, uint64_t burst)
{
	return pmz_rate_set(&line->rate, line->rate_tokens, line->rate_per_ns,
	                    burst);
}

static int read_rate(reader *r)
{
	pmz__line *line = r->line;
	const char *at = pmz__scan_number(r->word.at, &line->rate_tokens);

	if (at && *at == '/')
		at = scan_per(at + 1, r->word.end, &line->rate_per_ns);
	if (at != r->word.end || !line->rate_per_ns)
		return wrong(r, "a rate like 100/s or 5/100ms");
	/* What fails with a burst of 1 fails with any. */
	if (line->rate_per_ns == PMZ_NEVER || set_rate(line, 1) != PMZ_OK)
		return wrong(r, "a rate from 1 in 292 years to 10^9 a second");
	line->rate_burst = line->rate_tokens;
	r->rate = r->word;
	next(r);
	return PMZ_OK;
}

static int read_burst(reader *r)
{
	r->burst = r->word;
	return read_number(r, UINT64_MAX - 1, &r->line->rate_burst);
}

static int finish_rate(reader *r)
{
	pmz__line *line = r->line;

	if (set_rate(line, line->rate_burst) == PMZ_OK)
		return PMZ_OK;
	r->word = r->rate;
	if (set_rate(line, line->rate_tokens) == PMZ_OK) {
		r->field = "burst";
		r->word = r->burst;
	}
	return wrong(r, "a burst that is full again within 292 years");
}

static int read_tries(reader *r)
{
	return read_count(r, COUNT_MAX, &r->line->backoff.tries_max);
}

static int read_backoff(reader *r)
{
	pmz_backoff_rule *rule = &r->line->backoff;

	return read_range(r, "a range like 100ms..5s", &rule->base_ns,
	                  &rule->max_ns);
}

static int read_jitter(reader *r)
{
	static const choice jitters[] = {
		{ "full", PMZ_JITTER_FULL },
		{ "equal", PMZ_JITTER_EQUAL },
		{ "decorrelated", PMZ_JITTER_DECORRELATED },
		{ "none", PMZ_JITTER_NONE },
		{ NULL, 0 },
	};

	return read_choice(r, jitters, "full, equal, decorrelated or none",
	                   &r->line->backoff.jitter);
}

static int read_factor(reader *r)
{
	return read_percent(r, PMZ__FACTOR_PCT_MIN, PMZ__FACTOR_PCT_MAX,
	                    &r->line->backoff.factor_pct);
}

static int read_budget(reader *r)
{
	return read_percent(r, 1, 100, &r->line->budget.retry_pct);
}

static int read_floor(reader *r)
{
	uint64_t n;
	const char *at = pmz__scan_number(r->word.at, &n);

	if (!at || r->word.end - at != 2 || memcmp(at, "/s", 2) != 0)
		return wrong(r, "a floor like 10/s");
	if (n > COUNT_MAX)
		return wrong(r, "a floor of at most %" PRIu32 "/s", COUNT_MAX);
	r->line->budget.per_second_min = n ? (uint32_t)n : PMZ_OFF;
	next(r);
	return PMZ_OK;
}

static int read_balance(reader *r)
{
	static const choice strategies[] = {
		{ "least", PMZ_LEAST },
		{ "ewma", PMZ_EWMA },
		{ "robin", PMZ_ROUND_ROBIN },
		{ "random", PMZ_RANDOM },
		{ "key", PMZ_BY_KEY },
		{ NULL, 0 },
	};

	return read_choice(r, strategies, "least, ewma, robin, random or key",
	                   &r->line->balance.strategy);
}

static int read_eject(reader *r)
{
	int status = read_count(r, COUNT_MAX,
	                        &r->line->balance.eject_consecutive);

	return status ? status : expect(r, "consecutive");
}

static int read_base(reader *r)
{
	return read_span(r, &r->line->balance.eject_base_ns);
}

static int read_most(reader *r)
{
	return read_percent(r, 1, 100, &r->line->balance.eject_max_pct);
}

static int read_try(reader *r)
{
	return read_span(r, &r->line->try_ns);
}

static int read_total(reader *r)
{
	return read_span(r, &r->line->total_ns);
}

static int read_wait(reader *r)
{
	return read_span_from(r, 0, &r->line->wait_max_ns);
}

static const option no_options[] = { { NULL, NULL } };

static const option breaker_options[] = {
	{ "min", read_min },     { "open", read_open },
	{ "slow", read_slow },   { "probes", read_probes },
	{ "close", read_close }, { "lease", read_lease },
	{ "mode", read_mode },   { NULL, NULL },
};

static const option rate_options[] = {
	{ "burst", read_burst },
	{ NULL, NULL },
};

static const option tries_options[] = {
	{ "backoff", read_backoff },
	{ "jitter", read_jitter },
	{ "factor", read_factor },
	{ NULL, NULL },
};

static const option budget_options[] = {
	{ "floor", read_floor },
	{ NULL, NULL },
};

static const option balance_options[] = {
	{ "eject", read_eject },
	{ "base", read_base },
	{ "most", read_most },
	{ NULL, NULL },
};

/* In the order of pmz__stage. */
static const stage stages[PMZ__STAGES] = {
	{ "breaker", read_breaker, breaker_options, NULL,
	  "min, open, slow, probes, close, lease, mode, | or the end" },
	{ "bulkhead", read_bulkhead, no_options, NULL, "| or the end" },
	{ "rate", read_rate, rate_options, finish_rate, "burst, | or the end" },
	{ "tries", read_tries, tries_options, NULL,
	  "backoff, jitter, factor, | or the end" },
	{ "budget", read_budget, budget_options, NULL, "floor, | or the end" },
	{ "try", read_try, no_options, NULL, "| or the end" },
	{ "total", read_total, no_options, NULL, "| or the end" },
	{ "wait", read_wait, no_options, NULL, "| or the end" },
	{ "balance", read_balance, balance_options, NULL,
	  "eject, base, most, | or the end" },
};

static int read_option(reader *r, const stage *s, uint32_t *seen)
{
	const option *o = s->options;
	uint32_t bit;

	while (o->name && !is(r, o->name))
		o++;
	if (!o->name)
		return wrong(r, "%s", s->then);
	r->field = o->name;
	bit = (uint32_t)1 << (o - s->options);
	if (*seen & bit)
		return wrong_twice(r, "option");
	*seen |= bit;
	next(r);
	return o->read(r);
}

static int read_options(reader *r, const stage *s)
{
	uint32_t seen = 0;
	int status = PMZ_OK;

	while (!status && !at_stage_end(r)) {
		status = read_option(r, s, &seen);
		if (!status)
			r->field = s->name;
	}
	return status;
}

static int read_body(reader *r, const stage *s)
{
	int status = s->read(r);

	if (!status)
		status = read_options(r, s);
	return !status && s->finish ? s->finish(r) : status;
}

static int read_stage(reader *r)
{
	pmz__line *line = r->line;
	uint32_t i = 0;

	r->field = "";
	while (i < PMZ__STAGES && !is(r, stages[i].name))
		i++;
	if (i == PMZ__STAGES)
		return wrong(r, "breaker, bulkhead, rate, tries, budget, try, "
		                "total, wait or balance");
	r->field = stages[i].name;
	if (line->column[i])
		return wrong_twice(r, "stage");
	line->column[i] = column_of(r);
	line->stages |= (uint32_t)1 << i;
	next(r);
	return read_body(r, &stages[i]);
}

static int read_stages(reader *r)
{
	int status = read_stage(r);

	while (!status && is(r, "|")) {
		next(r);
		status = read_stage(r);
	}
	return status;
}

static void clear(pmz__line *line)
{
	memset(line, 0, sizeof(*line));
	line->breaker.size = sizeof(line->breaker);
	line->bulkhead.size = sizeof(line->bulkhead);
	line->backoff.size = sizeof(line->backoff);
	line->budget.size = sizeof(line->budget);
	line->balance.size = sizeof(line->balance);
}

int pmz__line_read(pmz__line *out, const char *text, pmz_why *why)
{
	reader r;

	PMZ__ASSERT(out && text);
	clear(out);
	if (strnlen(text, PMZ__LINE_MAX + 1) > PMZ__LINE_MAX)
		return pmz__line_bad(why, PMZ__LINE_MAX + 1, "",
		                     "expected at most %d bytes, not a longer "
		                     "line",
		                     PMZ__LINE_MAX);
	memset(&r, 0, sizeof(r));
	r.line = out;
	r.why = why;
	r.text = text;
	r.word.end = text;
	next(&r);
	return is(&r, "") ? PMZ_OK : read_stages(&r);
}
