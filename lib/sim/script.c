/*
 * script.c - fault scripts: reading their text, and asking them.
 */
#include <pipemaze/sim.h>

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/random.h"
#include "base/scan.h"
#include "core/line.h"

#define PHASES_MAX 32
#define SPACE " \t\r\v\f"
#define WORD_MAX sizeof(((pmz_why *)0)->field)

typedef struct phase {
	pmz_ns until;     /* since the script's start */
	pmz_ns low, high; /* how long an attempt takes */
	uint32_t state;
	uint32_t share_pct;
} phase;

/* What is in a pmz_script. */
typedef struct script {
	uint32_t count;
	uint32_t reserved;
	phase phases[PHASES_MAX];
} script;

_Static_assert(sizeof(script) <= sizeof(pmz_script), "a script has its room");

typedef struct state {
	const char *word;
	pmz_outcome how;
	int shares; /* takes the share of attempts that are hit */
} state;

enum { OK, SLOW, FAIL, HANG };

static const state states[] = {
	[OK] = { "ok", PMZ_SUCCESS, 0 },
	[SLOW] = { "slow", PMZ_SUCCESS, 0 },
	[FAIL] = { "fail", PMZ_FAILURE, 1 },
	[HANG] = { "hang", PMZ_FAILURE, 1 },
	{ "again", PMZ_AGAIN, 1 },
	{ "ignore", PMZ_IGNORE, 1 },
	{ "fatal", PMZ_FATAL, 1 },
};

#define STATES (sizeof(states) / sizeof(states[0]))

typedef struct reader {
	const char *text;
	const char *word, *end; /* empty where a phase or the text ends */
	uint32_t index;         /* of the phase */
	pmz_why *why;
} reader;

static unsigned line_of(const reader *r)
{
	const char *c;
	unsigned line = 1;

	for (c = r->text; c < r->word; c++)
		line += *c == '\n';
	return line;
}

/* The word at hand is not what it should be. */
static int wrong(const reader *r, const char *expected)
{
	const int length = (int)(r->end - r->word);
	char word[WORD_MAX];

	snprintf(word, sizeof(word), "%.*s", length, r->word);
	pmz__line_bad(r->why, (uint32_t)(r->word - r->text) + 1, word,
	              "line %u: expected %s, not %s%s%s", line_of(r), expected,
	              length ? "\"" : "the end of the phase", word,
	              length ? "\"" : "");
	if (r->why)
		r->why->index = r->index;
	return PMZ_E_CONFIG;
}

static void next(reader *r)
{
	r->word = r->end + strspn(r->end, SPACE);
	if (*r->word == '#')
		r->word += strcspn(r->word, "\n");
	r->end = r->word + strcspn(r->word, SPACE "|\n#");
}

static int at_phase_end(const reader *r)
{
	return r->word == r->end;
}

/* Goes over the ends of phases, also empty ones, to the next word. */
static int find_phase(reader *r)
{
	while (at_phase_end(r) && *r->end) {
		r->end++;
		next(r);
	}
	return !at_phase_end(r);
}

static int is(const reader *r, const char *word)
{
	const size_t length = strlen(word);

	return (size_t)(r->end - r->word) == length &&
	       !memcmp(r->word, word, length);
}

static int read_share(reader *r, phase *p)
{
	uint64_t pct;
	const char *at = pmz__scan_number(r->word, &pct);

	if (!states[p->state].shares)
		return wrong(r, "no share after ok or slow");
	if (!at || at + 1 != r->end || pct < 1 || pct > 100)
		return wrong(r, "a share from 1% to 100%");
	p->share_pct = (uint32_t)pct;
	return PMZ_OK;
}

static int read_latency(reader *r, phase *p)
{
	if (pmz__scan_span(r->word, &p->low) == r->end)
		p->high = p->low;
	else if (pmz__scan_range(r->word, &p->low, &p->high) != r->end)
		return wrong(r, "a time like 20ms or a range like 10ms..50ms");
	if (p->low > p->high)
		return wrong(r, "a range that does not fall");
	if (p->high == PMZ_NEVER)
		return wrong(r, "a time of less than 2^64 ns");
	return PMZ_OK;
}

static int read_options(reader *r, phase *p)
{
	int shares = 0, latencies = 0, status = PMZ_OK;

	for (; !status && !at_phase_end(r); next(r)) {
		const int is_share = r->end[-1] == '%';

		if (is_share ? shares++ : latencies++)
			return wrong(r, "one share and one time in a phase");
		status = is_share ? read_share(r, p) : read_latency(r, p);
	}
	if (!status && p->state == SLOW && !latencies)
		return wrong(r, "how slow, as in slow 400ms");
	return status;
}

static int read_state(reader *r, phase *p)
{
	while (p->state < STATES && !is(r, states[p->state].word))
		p->state++;
	if (p->state == STATES)
		return wrong(r, "ok, slow, fail, hang, again, ignore or fatal");
	next(r);
	return PMZ_OK;
}

/* Until when the phase lasts that begins at `from`. */
static int read_until(reader *r, pmz_ns from, pmz_ns *until)
{
	pmz_ns span;

	*until = PMZ_NEVER;
	if (*r->word < '0' || *r->word > '9')
		return PMZ_OK;
	if (pmz__scan_span(r->word, &span) != r->end || !span)
		return wrong(r, "a span above zero, like 5s");
	*until = pmz__sat_add(from, span);
	if (*until == PMZ_NEVER)
		return wrong(r, "spans of less than 2^64 ns in all");
	next(r);
	return PMZ_OK;
}

static int read_phase(reader *r, pmz_ns from, phase *p)
{
	int status = read_until(r, from, &p->until);

	p->share_pct = 100;
	if (!status)
		status = read_state(r, p);
	return status ? status : read_options(r, p);
}

static int read_script(reader *r, script *s)
{
	pmz_ns from = 0;
	int status = PMZ_OK;

	while (!status && find_phase(r)) {
		r->index = s->count;
		if (s->count == PHASES_MAX)
			return wrong(r, "at most 32 phases");
		if (from == PMZ_NEVER)
			return wrong(r, "nothing after a phase without a span");
		status = read_phase(r, from, &s->phases[s->count]);
		from = s->phases[s->count++].until;
	}
	if (!s->count)
		return wrong(r, "a phase like 5s ok 20ms");
	return status;
}

int pmz_script_from(pmz_script *out, const char *text, pmz_why *why)
{
	reader r = { text, text, text, 0, why };
	script s;
	int status;

	PMZ__ASSERT(out && text);
	memset(&s, 0, sizeof(s));
	next(&r);
	status = read_script(&r, &s);
	if (!status)
		memcpy(out, &s, sizeof(s));
	return status;
}

static uint32_t count_of(const pmz_script *s)
{
	uint32_t count;

	memcpy(&count, (const char *)s + offsetof(script, count),
	       sizeof(count));
	PMZ__ASSERT(count); /* pmz_script_from() comes first */
	return count;
}

static phase phase_of(const pmz_script *s, uint32_t index)
{
	phase p;

	memcpy(&p, (const char *)s + offsetof(script, phases[index]), sizeof(p));
	return p;
}

/* The last one stays in force when its time is over. */
static phase phase_at(const pmz_script *s, pmz_ns since)
{
	uint32_t count = count_of(s), i = 0;
	phase p = phase_of(s, 0);

	while (since >= p.until && ++i < count)
		p = phase_of(s, i);
	return p;
}

pmz_outcome pmz_script_attempt(const pmz_script *s, pmz_ns since, uint64_t seed,
                               pmz_ns *lasts)
{
	phase p = phase_at(s, since);
	uint64_t die = pmz__between(pmz__draw(&seed), 1, 100);

	*lasts = pmz__between(pmz__draw(&seed), p.low, p.high);
	if (die > p.share_pct)
		return PMZ_SUCCESS;
	if (p.state == HANG)
		*lasts = PMZ_NEVER;
	return states[p.state].how;
}

const char *pmz_script_state(const pmz_script *s, pmz_ns since)
{
	return states[phase_at(s, since).state].word;
}

pmz_ns pmz_script_until(const pmz_script *s, pmz_ns since)
{
	phase p = phase_at(s, since);

	return since < p.until ? p.until : PMZ_NEVER;
}

pmz_ns pmz_script_span(const pmz_script *s)
{
	return phase_at(s, PMZ_NEVER).until;
}

size_t pmz_script_size(void)
{
	return sizeof(pmz_script);
}
