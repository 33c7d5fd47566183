/*
 * line.c - lines made at random say what they were made from; lines that were
 * spoilt are read or pointed at.
 */
#include <check.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/breaker.h"
#include "core/line.h"
#include "dice.h"

#define SPACE " \t\n\r\v\f"
#define LINES 500 /* of each seed */
#define TEXT_MAX 16384
#define WORDS_MAX 64
#define SPAN_TEXT_MAX 64
#define SPOILS_MAX 4

#define COUNT(list) (sizeof(list) / sizeof(*(list)))

/* A line that is being made, with all that it says. */
typedef struct draft {
	dice dice;
	pmz__line want;
	char text[TEXT_MAX];
	size_t length;
	size_t end[WORDS_MAX]; /* of each word and bar */
	unsigned words;
} draft;

typedef void (*put)(draft *d);

static void put_space(draft *d, uint64_t least)
{
	uint64_t n = dice_between(&d->dice, least, least + 2);

	while (n--)
		d->text[d->length++] = SPACE[dice_roll(&d->dice) % 6];
}

static uint64_t follows_a_word(const draft *d)
{
	return d->length && !strchr(SPACE "|", d->text[d->length - 1]);
}

/* The column of the word. */
static PMZ__PRINTF(2, 3) uint32_t word(draft *d, const char *format, ...)
{
	uint32_t column;
	va_list args;

	put_space(d, follows_a_word(d));
	column = (uint32_t)d->length + 1;
	va_start(args, format);
	d->length += (size_t)vsnprintf(d->text + d->length,
	                               TEXT_MAX - d->length, format, args);
	va_end(args);
	d->end[d->words++] = d->length;
	return column;
}

static const char *zeros(draft *d)
{
	return &"000"[dice_between(&d->dice, 0, 3)];
}

static uint32_t number(draft *d, uint32_t most)
{
	uint64_t n = 1 + dice_sized(&d->dice, 32) % most;

	word(d, "%s%" PRIu64, zeros(d), n);
	return (uint32_t)n;
}

static uint32_t percentage(draft *d, uint32_t least, uint32_t most)
{
	uint32_t n = (uint32_t)dice_between(&d->dice, least, most);

	word(d, "%s%" PRIu32 "%%", zeros(d), n);
	return n;
}

/* A span of any magnitude, and how it is written. */
static pmz_ns any_span(draft *d, pmz_ns least, char *text)
{
	static const struct {
		const char *name;
		pmz_ns ns;
	} units[] = {
		{ "ns", 1 },          { "us", 1000 },
		{ "ms", 1000000 },    { "s", 1000000000 },
		{ "m", 60000000000 }, { "h", 3600000000000 },
	};
	size_t i = dice_roll(&d->dice) % COUNT(units);
	uint64_t n = dice_sized(&d->dice, 64) % (PMZ_NEVER / units[i].ns);

	if (n * units[i].ns < least)
		n = least / units[i].ns + (least % units[i].ns > 0);
	snprintf(text, SPAN_TEXT_MAX, "%s%" PRIu64 "%s", zeros(d), n,
	         units[i].name);
	return n * units[i].ns;
}

static pmz_ns span(draft *d, pmz_ns least)
{
	char text[SPAN_TEXT_MAX];
	pmz_ns ns = any_span(d, least, text);

	word(d, "%s", text);
	return ns;
}

static void range(draft *d, pmz_ns *low, pmz_ns *high)
{
	char one_text[SPAN_TEXT_MAX], two_text[SPAN_TEXT_MAX];
	pmz_ns one = any_span(d, 1, one_text);
	pmz_ns two = any_span(d, 1, two_text);

	*low = one < two ? one : two;
	*high = one < two ? two : one;
	word(d, "%s..%s", one < two ? one_text : two_text,
	     one < two ? two_text : one_text);
}

static void put_min(draft *d)
{
	uint32_t calls = d->want.breaker.calls_window;

	word(d, "min");
	d->want.breaker.calls_min = number(d, calls ? calls : PMZ_OFF - 1);
}

static void put_open(draft *d)
{
	pmz_breaker_config *breaker = &d->want.breaker;

	word(d, "open");
	if (dice_once_in(&d->dice, 2)) {
		breaker->open_ns = span(d, 1);
		breaker->open_max_ns = breaker->open_ns;
	} else {
		range(d, &breaker->open_ns, &breaker->open_max_ns);
	}
}

static void put_slow(draft *d)
{
	word(d, "slow");
	d->want.breaker.slow_ns = span(d, 1);
	d->want.breaker.slow_pct = percentage(d, 1, 100);
}

static void put_probes(draft *d)
{
	uint32_t n = (uint32_t)dice_between(&d->dice, 1, 16);

	word(d, "probes");
	d->want.breaker.probes_max = n;
	d->want.probes_column = word(d, "%" PRIu32, n);
}

static void put_close(draft *d)
{
	word(d, "close");
	d->want.breaker.probes_to_close = number(d, PMZ_OFF - 1);
}

static void put_lease(draft *d)
{
	word(d, "lease");
	d->want.breaker.probe_lease_ns = span(d, 1);
}

static void put_mode(draft *d)
{
	word(d, "mode");
	word(d, "shadow");
	d->want.breaker.mode = PMZ_SHADOW;
}

static void put_backoff(draft *d)
{
	word(d, "backoff");
	range(d, &d->want.backoff.base_ns, &d->want.backoff.max_ns);
}

static void put_jitter(draft *d)
{
	static const char *const names[] = { "full", "equal", "decorrelated",
		                             "none" };
	uint32_t i = (uint32_t)(dice_roll(&d->dice) % COUNT(names));

	word(d, "jitter");
	word(d, "%s", names[i]);
	d->want.backoff.jitter = PMZ_JITTER_FULL + i;
}

static void put_factor(draft *d)
{
	word(d, "factor");
	d->want.backoff.factor_pct = percentage(d, 100, 1000);
}

static void put_floor(draft *d)
{
	uint32_t n = (uint32_t)dice_sized(&d->dice, 32) / 2;

	word(d, "floor");
	word(d, "%s%" PRIu32 "/s", zeros(d), n);
	d->want.budget.per_second_min = n ? n : PMZ_OFF;
}

static void shuffle(draft *d, put *puts, size_t n)
{
	for (; n > 1; n--) {
		size_t other = dice_roll(&d->dice) % n;
		put held = puts[n - 1];

		puts[n - 1] = puts[other];
		puts[other] = held;
	}
}

/* Some of them, in any order. */
static void put_some(draft *d, put *puts, size_t n)
{
	size_t i;

	shuffle(d, puts, n);
	for (i = 0; i < n; i++)
		if (dice_once_in(&d->dice, 2))
			puts[i](d);
}

static void put_time_window(draft *d)
{
	char text[SPAN_TEXT_MAX];

	word(d, "over");
	d->want.breaker.window_ns = any_span(d, PMZ_MS(1), text);
	d->want.window_column = word(d, "%s", text);
}

static void put_calls_window(draft *d)
{
	uint32_t n = (uint32_t)dice_sized(&d->dice, 20) + 1;

	word(d, "over");
	d->want.breaker.calls_window = n;
	d->want.window_column = word(d, "%" PRIu32, n);
	word(d, "calls");
}

static void put_trip(draft *d)
{
	pmz_breaker_config *breaker = &d->want.breaker;
	uint64_t form = dice_roll(&d->dice) % 4;

	breaker->failure_pct = form < 2 ? percentage(d, 1, 100) : PMZ_OFF;
	if (form == 0) {
		put_time_window(d);
	} else if (form == 1) {
		put_calls_window(d);
	} else if (form == 2) {
		breaker->consecutive_max = number(d, PMZ_OFF - 1);
		word(d, "consecutive");
	} else {
		breaker->failures_max = number(d, PMZ_OFF - 1);
		word(d, "failures");
		put_time_window(d);
	}
}

static void begin_stage(draft *d, pmz__stage stage, const char *name)
{
	if (d->words) {
		put_space(d, 0);
		d->text[d->length++] = '|';
		d->end[d->words++] = d->length;
	}
	d->want.column[stage] = word(d, "%s", name);
	d->want.stages |= 1u << stage;
}

static void put_breaker(draft *d)
{
	put options[] = { put_min,   put_open,  put_slow, put_probes,
		          put_close, put_lease, put_mode };

	begin_stage(d, PMZ__STAGE_BREAKER, "breaker");
	d->want.breaker.mode = PMZ_ENFORCE;
	put_trip(d);
	put_some(d, options, COUNT(options));
}

static void put_bulkhead(draft *d)
{
	begin_stage(d, PMZ__STAGE_BULKHEAD, "bulkhead");
	d->want.bulkhead.limit = number(d, 0x7fffff);
}

static pmz_ns any_per(draft *d, char *text)
{
	static const pmz_ns bare[] = { PMZ_S(1), PMZ_S(60), PMZ_S(3600) };
	size_t i = dice_roll(&d->dice) % (2 * COUNT(bare));

	if (i >= COUNT(bare))
		return any_span(d, 1, text);
	snprintf(text, SPAN_TEXT_MAX, "%c", "smh"[i]);
	return bare[i];
}

static void put_rate(draft *d)
{
	int has_burst = dice_once_in(&d->dice, 2);
	uint64_t tokens, burst;
	char text[SPAN_TEXT_MAX];
	pmz_ns per;

	begin_stage(d, PMZ__STAGE_RATE, "rate");
	do {
		tokens = dice_sized(&d->dice, 40) + 1;
		burst = has_burst ? dice_sized(&d->dice, 40) + 1 : tokens;
		per = any_per(d, text);
		/* So that a line which is cut before its burst is right. */
	} while (pmz_rate_set(&d->want.rate, tokens, per, tokens) != PMZ_OK ||
	         pmz_rate_set(&d->want.rate, tokens, per, burst) != PMZ_OK);
	word(d, "%s%" PRIu64 "/%s", zeros(d), tokens, text);
	if (!has_burst)
		return;
	word(d, "burst");
	word(d, "%" PRIu64, burst);
}

static void put_tries(draft *d)
{
	put options[] = { put_backoff, put_jitter, put_factor };

	begin_stage(d, PMZ__STAGE_TRIES, "tries");
	d->want.backoff.tries_max = number(d, PMZ_OFF - 1);
	put_some(d, options, COUNT(options));
}

static void put_budget(draft *d)
{
	put options[] = { put_floor };

	begin_stage(d, PMZ__STAGE_BUDGET, "budget");
	d->want.budget.retry_pct = percentage(d, 1, 100);
	put_some(d, options, COUNT(options));
}

static void put_try(draft *d)
{
	begin_stage(d, PMZ__STAGE_TRY, "try");
	d->want.try_ns = span(d, 1);
}

static void put_total(draft *d)
{
	begin_stage(d, PMZ__STAGE_TOTAL, "total");
	d->want.total_ns = span(d, 1);
}

static void put_wait(draft *d)
{
	begin_stage(d, PMZ__STAGE_WAIT, "wait");
	d->want.wait_max_ns = span(d, 0);
}

static void make_line(draft *d)
{
	put stages[] = { put_breaker, put_bulkhead, put_rate,  put_tries,
		         put_budget,  put_try,      put_total, put_wait };

	memset(&d->want, 0, sizeof(d->want));
	d->want.breaker.size = sizeof(d->want.breaker);
	d->want.bulkhead.size = sizeof(d->want.bulkhead);
	d->want.backoff.size = sizeof(d->want.backoff);
	d->want.budget.size = sizeof(d->want.budget);
	d->length = 0;
	d->words = 0;
	put_some(d, stages, COUNT(stages));
	put_space(d, 0);
	d->text[d->length] = '\0';
}

/* Reads a copy with nothing behind its last byte, so that a sanitizer sees one
 * step too far. */
static int read_copy(pmz__line *line, const char *text, size_t length,
                     pmz_why *why)
{
	char *copy = malloc(length + 1);
	int status;

	ck_assert_ptr_nonnull(copy);
	memcpy(copy, text, length);
	copy[length] = '\0';
	status = pmz__line_read(line, copy, why);
	free(copy);
	return status;
}

/* ck_assert_msg() makes a system call for each claim that holds. */
#define must(claim, seed, text)                                           \
	do {                                                              \
		if (!(claim))                                             \
			ck_abort_msg("seed %d: %s: in: %s", seed, #claim, \
			             text);                               \
	} while (0)

#define must_equal(got, want, field, seed, text)                               \
	must(memcmp(&(got)->field, &(want)->field, sizeof((got)->field)) == 0, \
	     seed, text)

static void must_say(const pmz__line *got, const pmz__line *want, int seed,
                     const char *text)
{
	must_equal(got, want, stages, seed, text);
	must_equal(got, want, column, seed, text);
	must_equal(got, want, window_column, seed, text);
	must_equal(got, want, probes_column, seed, text);
	must_equal(got, want, breaker, seed, text);
	must_equal(got, want, bulkhead, seed, text);
	must_equal(got, want, rate, seed, text);
	must_equal(got, want, backoff, seed, text);
	must_equal(got, want, budget, seed, text);
	must_equal(got, want, try_ns, seed, text);
	must_equal(got, want, total_ns, seed, text);
	must_equal(got, want, wait_max_ns, seed, text);
}

/* What pmz_pipe_from() could else only report without a column. */
static void must_suit_the_guards(const pmz__line *line, int seed,
                                 const char *text)
{
	pmz_backoff b;

	if (pmz__line_has(line, PMZ__STAGE_BREAKER))
		must(pmz_breaker_size(&line->breaker) > 0, seed, text);
	if (pmz__line_has(line, PMZ__STAGE_BULKHEAD))
		must(pmz_bulkhead_size(&line->bulkhead) > 0, seed, text);
	if (pmz__line_has(line, PMZ__STAGE_BUDGET))
		must(pmz_budget_size(&line->budget) > 0, seed, text);
	if (pmz__line_has(line, PMZ__STAGE_TRIES))
		must(pmz_backoff_start(&b, &line->backoff, 0, 0) == PMZ_OK,
		     seed, text);
}

static int is_word_start(const char *text, size_t at)
{
	if (strchr(SPACE, text[at]) && text[at])
		return 0;
	return !text[at] || text[at] == '|' || at == 0 ||
	       strchr(SPACE "|", text[at - 1]);
}

static int prints(const char *text)
{
	for (; *text; text++)
		if (*text < ' ' || *text > '~')
			return 0;
	return 1;
}

static void must_point(const pmz_why *why, const char *text, size_t length,
                       int seed)
{
	must(why->column >= 1 && why->column <= length + 1, seed, text);
	if (length > PMZ__LINE_MAX)
		must(why->column == PMZ__LINE_MAX + 1, seed, text);
	else
		must(is_word_start(text, why->column - 1), seed, text);
	must(strncmp(why->text, "expected ", 9) == 0, seed, text);
	must(strstr(why->text, ", not ") || strstr(why->text, ", but "), seed,
	     text);
	must(strlen(why->text) < sizeof(why->text) - 1, seed, text);
	must(prints(why->text) && prints(why->field), seed, text);
}

static size_t below(draft *d, size_t n)
{
	return n ? dice_roll(&d->dice) % n : 0;
}

/* Makes room for n bytes at `at`. */
static void insert(draft *d, size_t at, const char *bytes, size_t n)
{
	if (d->length + n >= TEXT_MAX)
		return;
	memmove(d->text + at + n, d->text + at, d->length - at);
	memcpy(d->text + at, bytes, n);
	d->length += n;
}

static void drop(draft *d, size_t at, size_t n)
{
	memmove(d->text + at, d->text + at + n, d->length - at - n);
	d->length -= n;
}

static void spoil_by_a_byte(draft *d)
{
	static const char own[] = "0123456789%./|smhnue \t";
	char byte = own[below(d, sizeof(own) - 1)];

	if (dice_once_in(&d->dice, 3))
		byte = (char)dice_between(&d->dice, 1, 255);
	if (d->length && dice_once_in(&d->dice, 2))
		d->text[below(d, d->length)] = byte;
	else
		insert(d, below(d, d->length + 1), &byte, 1);
}

static void spoil_by_a_word(draft *d)
{
	static const char *const words[] = {
		" | ",
		" over ",
		" min 1 ",
		" 0s ",
		" 0% ",
		" try 1s |",
		" calls ",
		" probes 1 ",
		" 101%",
		"..",
		"99999999999999999999",
		"18446744073709551615",
	};
	const char *word = words[below(d, COUNT(words))];

	insert(d, below(d, d->length + 1), word, strlen(word));
}

static void spoil_by_a_loss(draft *d)
{
	size_t at = below(d, d->length);

	drop(d, at, below(d, d->length - at + 1));
}

static void spoil_by_a_copy(draft *d)
{
	char slice[64];
	size_t at = below(d, d->length);
	size_t n = below(d, d->length - at + 1);

	n = n < sizeof(slice) ? n : sizeof(slice);
	memcpy(slice, d->text + at, n);
	insert(d, below(d, d->length + 1), slice, n);
}

/* To about as much as a line may have. */
static void spoil_by_length(draft *d)
{
	char blank[2 * PMZ__LINE_MAX];

	memset(blank, ' ', sizeof(blank));
	if (!dice_once_in(&d->dice, 10) || d->length > PMZ__LINE_MAX)
		return;
	insert(d, below(d, d->length + 1), blank,
	       PMZ__LINE_MAX - d->length + dice_between(&d->dice, 0, 2));
}

static void spoil(draft *d)
{
	static const put ways[] = { spoil_by_a_byte, spoil_by_a_byte,
		                    spoil_by_a_word, spoil_by_a_loss,
		                    spoil_by_a_copy, spoil_by_length };
	uint64_t n = dice_between(&d->dice, 1, SPOILS_MAX);

	make_line(d);
	while (n--)
		ways[below(d, COUNT(ways))](d);
	d->text[d->length] = '\0';
}

START_TEST(a_line_says_what_it_was_made_from)
{
	static draft d;
	pmz__line line;
	pmz_why why;
	int i;

	d.dice = dice_of(_i);
	for (i = 0; i < LINES; i++) {
		int status;

		make_line(&d);
		memset(&why, 0, sizeof(why));
		status = read_copy(&line, d.text, d.length, &why);
		ck_assert_msg(status == PMZ_OK, "seed %d: %s: in: %s", _i,
		              why.text, d.text);
		must_say(&line, &d.want, _i, d.text);
		must_suit_the_guards(&line, _i, d.text);
	}
}
END_TEST

START_TEST(a_line_cut_after_a_word_is_right_or_lacks_the_next)
{
	static draft d;
	pmz__line line;
	pmz_why why;
	unsigned w;
	int i;

	d.dice = dice_of(_i);
	for (i = 0; i < LINES; i++) {
		make_line(&d);
		for (w = 0; w < d.words; w++) {
			size_t end = d.end[w];

			if (read_copy(&line, d.text, end, &why) == PMZ_OK)
				continue;
			must(why.column == end + 1, _i, d.text);
		}
	}
}
END_TEST

START_TEST(a_spoilt_line_is_read_or_pointed_at)
{
	static draft d;
	pmz__line line, same;
	pmz_why why;
	int i;

	d.dice = dice_of(_i);
	for (i = 0; i < LINES; i++) {
		int status;

		spoil(&d);
		status = read_copy(&line, d.text, d.length, &why);
		must(status == PMZ_OK || status == PMZ_E_CONFIG, _i, d.text);
		must(read_copy(&same, d.text, d.length, NULL) == status, _i,
		     d.text);
		if (status)
			must_point(&why, d.text, d.length, _i);
		else
			must_suit_the_guards(&line, _i, d.text);
	}
}
END_TEST

START_TEST(what_follows_a_wrong_word_does_not_matter)
{
	static draft d;
	pmz__line line;
	pmz_why why, cut;
	int i;

	d.dice = dice_of(_i);
	for (i = 0; i < LINES; i++) {
		const char *word;
		size_t end;

		spoil(&d);
		if (d.length > PMZ__LINE_MAX ||
		    !read_copy(&line, d.text, d.length, &why))
			continue;
		word = d.text + why.column - 1;
		end = why.column - 1;
		end += *word == '|' ? 1 : strcspn(word, SPACE "|");
		must(read_copy(&line, d.text, end, &cut) == PMZ_E_CONFIG, _i,
		     d.text);
		must(memcmp(&why, &cut, sizeof(why)) == 0, _i, d.text);
	}
}
END_TEST

START_TEST(a_line_of_any_bytes_is_read_or_pointed_at)
{
	static draft d;
	pmz__line line;
	pmz_why why;
	int i;

	d.dice = dice_of(_i);
	for (i = 0; i < LINES; i++) {
		size_t at;

		d.length = dice_between(&d.dice, 0, 40);
		for (at = 0; at < d.length; at++)
			d.text[at] = (char)dice_between(&d.dice, 1, 255);
		d.text[d.length] = '\0';
		if (read_copy(&line, d.text, d.length, &why) != PMZ_OK)
			must_point(&why, d.text, d.length, _i);
		else
			must(line.stages == 0, _i, d.text);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("line");
	TCase *all = tcase_create("random lines");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, all);
	tcase_set_timeout(all, 60);
	tcase_add_loop_test(all, a_line_says_what_it_was_made_from, 0, 20);
	tcase_add_loop_test(
		all, a_line_cut_after_a_word_is_right_or_lacks_the_next, 0, 5);
	tcase_add_loop_test(all, a_spoilt_line_is_read_or_pointed_at, 0, 60);
	tcase_add_loop_test(all, what_follows_a_wrong_word_does_not_matter, 0,
	                    20);
	tcase_add_loop_test(all, a_line_of_any_bytes_is_read_or_pointed_at, 0,
	                    6);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
