/*
 * line.c - a pipe's line of text: what it says, and where it is wrong.
 */
#include "expect.h"

#include <stdio.h>
#include <string.h>

#include "core/breaker.h"
#include "core/line.h"

#define SPACE " \t\n\r\v\f"

#define BIT(stage) (1u << (stage))

static pmz__line read_row(size_t row, const char *text)
{
	pmz__line line;
	pmz_why why;

	if (pmz__line_read(&line, text, &why) != PMZ_OK)
		fail_msg("row %zu: %s: column %u: %s", row, text, why.column,
		         why.text);
	return line;
}

static void expect_bytes(size_t row, const char *text, const void *got,
                         const void *want, size_t length)
{
	const unsigned char *a = got, *b = want;
	size_t i;

	for (i = 0; i < length; i++)
		if (a[i] != b[i])
			fail_msg("row %zu: %s: the field at byte %zu differs",
			         row, text, i);
}

#define expect_same(row, text, got, want) \
	expect_bytes(row, text, got, want, sizeof(*(got)))

static void every_form_of_a_breaker_gives_its_config(void **state)
{
	static const struct {
		const char *text;
		pmz_breaker_config want;
	} rows[] = {
		{ "breaker 50% over 10s",
		  { .failure_pct = 50, .window_ns = PMZ_S(10) } },
		{ "breaker 1% over 1ms",
		  { .failure_pct = 1, .window_ns = PMZ_MS(1) } },
		{ "breaker 100% over 1h",
		  { .failure_pct = 100, .window_ns = PMZ_S(3600) } },
		{ "breaker 007% over 0010s",
		  { .failure_pct = 7, .window_ns = PMZ_S(10) } },
		{ "breaker 50% over 100 calls",
		  { .failure_pct = 50, .calls_window = 100 } },
		{ "breaker 50% over 1 calls",
		  { .failure_pct = 50, .calls_window = 1 } },
		{ "breaker 50% over 1048576 calls",
		  { .failure_pct = 50, .calls_window = 1048576 } },
		{ "breaker 5 consecutive",
		  { .failure_pct = PMZ_OFF, .consecutive_max = 5 } },
		{ "breaker 4294967294 consecutive",
		  { .failure_pct = PMZ_OFF, .consecutive_max = PMZ_OFF - 1 } },
		{ "breaker 9 failures over 30s",
		  { .failure_pct = PMZ_OFF,
		    .failures_max = 9,
		    .window_ns = PMZ_S(30) } },
		{ "breaker 50% over 10s min 4294967294",
		  { .failure_pct = 50,
		    .window_ns = PMZ_S(10),
		    .calls_min = PMZ_OFF - 1 } },
		{ "breaker 50% over 100 calls min 100",
		  { .failure_pct = 50,
		    .calls_window = 100,
		    .calls_min = 100 } },
		{ "breaker 5 consecutive open 7s",
		  { .failure_pct = PMZ_OFF,
		    .consecutive_max = 5,
		    .open_ns = PMZ_S(7),
		    .open_max_ns = PMZ_S(7) } },
		{ "breaker 5 consecutive open 7s..7s",
		  { .failure_pct = PMZ_OFF,
		    .consecutive_max = 5,
		    .open_ns = PMZ_S(7),
		    .open_max_ns = PMZ_S(7) } },
		{ "breaker 5 consecutive open 100ms..1m",
		  { .failure_pct = PMZ_OFF,
		    .consecutive_max = 5,
		    .open_ns = PMZ_MS(100),
		    .open_max_ns = PMZ_S(60) } },
		{ "breaker 5 consecutive slow 250us 80%",
		  { .failure_pct = PMZ_OFF,
		    .consecutive_max = 5,
		    .slow_ns = PMZ_US(250),
		    .slow_pct = 80 } },
		{ "breaker 5 consecutive probes 16 close 4294967294",
		  { .failure_pct = PMZ_OFF,
		    .consecutive_max = 5,
		    .probes_max = 16,
		    .probes_to_close = PMZ_OFF - 1 } },
		{ "breaker 5 consecutive lease 1ns mode shadow",
		  { .mode = PMZ_SHADOW,
		    .failure_pct = PMZ_OFF,
		    .consecutive_max = 5,
		    .probe_lease_ns = 1 } },
		{ "breaker 50% over 10s lease 3s close 2 probes 4 slow 1s 90% "
		  "open 1s..2s min 9",
		  { .failure_pct = 50,
		    .window_ns = PMZ_S(10),
		    .calls_min = 9,
		    .open_ns = PMZ_S(1),
		    .open_max_ns = PMZ_S(2),
		    .slow_ns = PMZ_S(1),
		    .slow_pct = 90,
		    .probes_max = 4,
		    .probes_to_close = 2,
		    .probe_lease_ns = PMZ_S(3) } },
	};
	size_t i;

	(void)state;
	for (i = 0; i < KIT_COUNT(rows); i++) {
		pmz__line line = read_row(i, rows[i].text);
		pmz_breaker_config want = rows[i].want;

		want.size = sizeof(want);
		if (!want.mode)
			want.mode = PMZ_ENFORCE;
		expect_same(i, rows[i].text, &line.breaker, &want);
		assert_int_equal(line.stages, BIT(PMZ__STAGE_BREAKER));
	}
}

static void every_unit_of_a_span_has_its_worth(void **state)
{
	static const struct {
		const char *text;
		pmz_ns want;
	} rows[] = {
		{ "total 1ns", 1 },
		{ "total 1us", PMZ_US(1) },
		{ "total 1ms", PMZ_MS(1) },
		{ "total 1s", PMZ_S(1) },
		{ "total 1m", PMZ_S(60) },
		{ "total 1h", PMZ_S(3600) },
		{ "total 0000000000000000000000000000250ms", PMZ_MS(250) },
		{ "total 18446744073709551614ns", PMZ_NEVER - 1 },
		{ "total 18446744073709551us", 18446744073709551000u },
		{ "total 5124095h", PMZ_S(3600) * 5124095u },
	};
	size_t i;

	(void)state;
	for (i = 0; i < KIT_COUNT(rows); i++) {
		pmz__line line = read_row(i, rows[i].text);

		expect_same(i, rows[i].text, &line.total_ns, &rows[i].want);
		assert_int_equal(line.stages, BIT(PMZ__STAGE_TOTAL));
	}
}

static void a_rate_without_a_burst_has_its_tokens_as_burst(void **state)
{
	static const struct {
		const char *text;
		uint64_t tokens, per, burst;
	} rows[] = {
		{ "rate 100/s", 100, PMZ_S(1), 100 },
		{ "rate 30/m", 30, PMZ_S(60), 30 },
		{ "rate 7/h", 7, PMZ_S(3600), 7 },
		{ "rate 5/100ms", 5, PMZ_MS(100), 5 },
		{ "rate 1/1ns", 1, 1, 1 },
		{ "rate 1000000000/s", 1000000000, PMZ_S(1), 1000000000 },
		{ "rate 100/s burst 20", 100, PMZ_S(1), 20 },
		{ "rate 1/s burst 9000000000", 1, PMZ_S(1), 9000000000 },
		{ "rate 4294967295/10s burst 4294967295", UINT32_MAX, PMZ_S(10),
		  UINT32_MAX },
		/* A burst of 2 would take 2^63 ns to fill. */
		{ "rate 2/9223372036854775808ns burst 1", 2, (uint64_t)1 << 63,
		  1 },
	};
	size_t i;

	(void)state;
	for (i = 0; i < KIT_COUNT(rows); i++) {
		pmz__line line = read_row(i, rows[i].text);
		pmz_rate want;

		expect_status(pmz_rate_set(&want, rows[i].tokens, rows[i].per,
		                           rows[i].burst),
		              PMZ_OK);
		expect_same(i, rows[i].text, &line.rate, &want);
		assert_int_equal(line.rate_tokens, rows[i].tokens);
		assert_int_equal(line.rate_per_ns, rows[i].per);
		assert_int_equal(line.rate_burst, rows[i].burst);
	}
}

static void tries_give_a_backoff_rule(void **state)
{
	static const struct {
		const char *text;
		pmz_backoff_rule want;
	} rows[] = {
		{ "tries 1", { .tries_max = 1 } },
		{ "tries 4294967294", { .tries_max = PMZ_OFF - 1 } },
		{ "tries 3 backoff 100ms..5s",
		  { .tries_max = 3,
		    .base_ns = PMZ_MS(100),
		    .max_ns = PMZ_S(5) } },
		{ "tries 3 backoff 1ns..1ns",
		  { .tries_max = 3, .base_ns = 1, .max_ns = 1 } },
		{ "tries 3 jitter full",
		  { .tries_max = 3, .jitter = PMZ_JITTER_FULL } },
		{ "tries 3 jitter equal",
		  { .tries_max = 3, .jitter = PMZ_JITTER_EQUAL } },
		{ "tries 3 jitter decorrelated",
		  { .tries_max = 3, .jitter = PMZ_JITTER_DECORRELATED } },
		{ "tries 3 jitter none",
		  { .tries_max = 3, .jitter = PMZ_JITTER_NONE } },
		{ "tries 3 factor 100%",
		  { .tries_max = 3, .factor_pct = 100 } },
		{ "tries 3 factor 1000%",
		  { .tries_max = 3, .factor_pct = 1000 } },
		{ "tries 3 factor 150% jitter none backoff 1s..1m",
		  { .tries_max = 3,
		    .factor_pct = 150,
		    .jitter = PMZ_JITTER_NONE,
		    .base_ns = PMZ_S(1),
		    .max_ns = PMZ_S(60) } },
	};
	size_t i;

	(void)state;
	for (i = 0; i < KIT_COUNT(rows); i++) {
		pmz__line line = read_row(i, rows[i].text);
		pmz_backoff_rule want = rows[i].want;

		want.size = sizeof(want);
		expect_same(i, rows[i].text, &line.backoff, &want);
		assert_int_equal(line.stages, BIT(PMZ__STAGE_TRIES));
	}
}

static void a_floor_of_zero_is_off_and_none_is_the_default(void **state)
{
	static const struct {
		const char *text;
		pmz_budget_config want;
	} rows[] = {
		{ "budget 1%", { .retry_pct = 1 } },
		{ "budget 100%", { .retry_pct = 100 } },
		{ "budget 20% floor 10/s",
		  { .retry_pct = 20, .per_second_min = 10 } },
		{ "budget 20% floor 0/s",
		  { .retry_pct = 20, .per_second_min = PMZ_OFF } },
		{ "budget 20% floor 000/s",
		  { .retry_pct = 20, .per_second_min = PMZ_OFF } },
		{ "budget 20% floor 4294967294/s",
		  { .retry_pct = 20, .per_second_min = PMZ_OFF - 1 } },
	};
	size_t i;

	(void)state;
	for (i = 0; i < KIT_COUNT(rows); i++) {
		pmz__line line = read_row(i, rows[i].text);
		pmz_budget_config want = rows[i].want;

		want.size = sizeof(want);
		expect_same(i, rows[i].text, &line.budget, &want);
		assert_int_equal(line.stages, BIT(PMZ__STAGE_BUDGET));
	}
}

static void the_stages_of_one_value_keep_it(void **state)
{
	static const struct {
		const char *text;
		uint32_t stages, limit;
		pmz_ns try_ns, total_ns, wait_ns;
	} rows[] = {
		{ "bulkhead 1", BIT(PMZ__STAGE_BULKHEAD), 1, 0, 0, 0 },
		{ "bulkhead 8388607", BIT(PMZ__STAGE_BULKHEAD), 8388607, 0, 0,
		  0 },
		{ "try 2s", BIT(PMZ__STAGE_TRY), 0, PMZ_S(2), 0, 0 },
		{ "total 10s", BIT(PMZ__STAGE_TOTAL), 0, 0, PMZ_S(10), 0 },
		{ "wait 50ms", BIT(PMZ__STAGE_WAIT), 0, 0, 0, PMZ_MS(50) },
		{ "wait 0s", BIT(PMZ__STAGE_WAIT), 0, 0, 0, 0 },
		{ "wait 0ns", BIT(PMZ__STAGE_WAIT), 0, 0, 0, 0 },
	};
	size_t i;

	(void)state;
	for (i = 0; i < KIT_COUNT(rows); i++) {
		pmz__line line = read_row(i, rows[i].text);

		expect_same(i, rows[i].text, &line.stages, &rows[i].stages);
		expect_same(i, rows[i].text, &line.bulkhead.limit,
		            &rows[i].limit);
		expect_same(i, rows[i].text, &line.try_ns, &rows[i].try_ns);
		expect_same(i, rows[i].text, &line.total_ns, &rows[i].total_ns);
		expect_same(i, rows[i].text, &line.wait_max_ns,
		            &rows[i].wait_ns);
	}
}

/* Columns aside, which are not the same. */
static void expect_same_rules(size_t row, const char *text, const char *other)
{
	pmz__line a = read_row(row, text), b = read_row(row, other);

	expect_same(row, text, &a.stages, &b.stages);
	expect_same(row, text, &a.breaker, &b.breaker);
	expect_same(row, text, &a.bulkhead, &b.bulkhead);
	expect_same(row, text, &a.rate, &b.rate);
	expect_same(row, text, &a.backoff, &b.backoff);
	expect_same(row, text, &a.budget, &b.budget);
	expect_same(row, text, &a.try_ns, &b.try_ns);
	expect_same(row, text, &a.total_ns, &b.total_ns);
	expect_same(row, text, &a.wait_max_ns, &b.wait_max_ns);
}

static void neither_order_nor_white_space_has_a_meaning(void **state)
{
	static const struct {
		const char *text, *same;
	} rows[] = {
		{ "  try\t2s\n", "try 2s" },
		{ "\v\f\r\n\ttry\v2s\f|\rtotal\n9s", "try 2s | total 9s" },
		{ "try 2s|total 9s", "try 2s | total 9s" },
		{ "try 2s| total 9s", "try 2s | total 9s" },
		{ "try 2s |total 9s", "try 2s | total 9s" },
		{ "total 9s | try 2s", "try 2s | total 9s" },
		{ "breaker 50% over 9 calls|bulkhead 3",
		  "breaker 50% over 9 calls | bulkhead 3" },
		{ "wait 1s | total 9s | try 2s | budget 20% | tries 3 | "
		  "rate 1/s | bulkhead 3 | breaker 5 consecutive",
		  "breaker 5 consecutive | bulkhead 3 | rate 1/s | tries 3 | "
		  "budget 20% | try 2s | total 9s | wait 1s" },
	};
	size_t i;

	(void)state;
	for (i = 0; i < KIT_COUNT(rows); i++)
		expect_same_rules(i, rows[i].text, rows[i].same);
}

static void a_balancer_has_its_strategy_and_what_ejects(void **state)
{
	pmz__line line = read_row(0, "balance robin most 30% base 9s "
	                             "eject 7 consecutive");

	(void)state;
	assert_int_equal(line.stages, BIT(PMZ__STAGE_BALANCE));
	assert_int_equal(line.balance.strategy, PMZ_ROUND_ROBIN);
	assert_int_equal(line.balance.eject_max_pct, 30);
	assert_int_equal(line.balance.eject_base_ns, PMZ_S(9));
	assert_int_equal(line.balance.eject_consecutive, 7);
}

static void the_line_of_the_manual_says_what_it_says(void **state)
{
	const char *text =
		"breaker 50% over 10s min 20 open 5s..60s | bulkhead 64 | "
		"rate 100/s burst 20 | tries 3 backoff 100ms..5s jitter full | "
		"budget 20% floor 10/s | try 2s | total 10s | wait 0s";
	pmz__line line = read_row(0, text);

	(void)state;
	assert_int_equal(line.stages, BIT(PMZ__STAGE_BALANCE) - 1);
	assert_int_equal(line.breaker.failure_pct, 50);
	assert_int_equal(line.breaker.window_ns, PMZ_S(10));
	assert_int_equal(line.breaker.calls_min, 20);
	assert_int_equal(line.breaker.open_ns, PMZ_S(5));
	assert_int_equal(line.breaker.open_max_ns, PMZ_S(60));
	assert_int_equal(line.bulkhead.limit, 64);
	assert_int_equal(line.rate_tokens, 100);
	assert_int_equal(line.rate_per_ns, PMZ_S(1));
	assert_int_equal(line.rate_burst, 20);
	assert_int_equal(line.backoff.tries_max, 3);
	assert_int_equal(line.backoff.base_ns, PMZ_MS(100));
	assert_int_equal(line.backoff.max_ns, PMZ_S(5));
	assert_int_equal(line.backoff.jitter, PMZ_JITTER_FULL);
	assert_int_equal(line.budget.retry_pct, 20);
	assert_int_equal(line.budget.per_second_min, 10);
	assert_int_equal(line.try_ns, PMZ_S(2));
	assert_int_equal(line.total_ns, PMZ_S(10));
	assert_int_equal(line.wait_max_ns, 0);
}

static void a_line_of_white_space_has_no_stage(void **state)
{
	static const char *const rows[] = { "", " ", "\t\n", SPACE };
	size_t i;

	(void)state;
	for (i = 0; i < KIT_COUNT(rows); i++) {
		pmz__line line = read_row(i, rows[i]);

		assert_int_equal(line.stages, 0);
		assert_int_equal(line.breaker.size, sizeof(line.breaker));
		assert_int_equal(line.bulkhead.size, sizeof(line.bulkhead));
		assert_int_equal(line.backoff.size, sizeof(line.backoff));
		assert_int_equal(line.budget.size, sizeof(line.budget));
	}
}

static void columns_are_those_of_the_words(void **state)
{
	pmz__line line =
		read_row(0, " try 2s|breaker 5% over 10s probes 3\t| rate 1/s");

	(void)state;
	assert_int_equal(line.column[PMZ__STAGE_TRY], 2);
	assert_int_equal(line.column[PMZ__STAGE_BREAKER], 9);
	assert_int_equal(line.column[PMZ__STAGE_RATE], 40);
	assert_int_equal(line.column[PMZ__STAGE_TOTAL], 0);
	assert_int_equal(line.window_column, 25);
	assert_int_equal(line.probes_column, 36);
	assert_true(pmz__line_has(&line, PMZ__STAGE_RATE));
	assert_false(pmz__line_has(&line, PMZ__STAGE_BUDGET));

	line = read_row(1, "breaker 5% over 10 calls");
	assert_int_equal(line.window_column, 17);
	assert_int_equal(line.probes_column, 0);

	line = read_row(2, "breaker 5 failures over 10s");
	assert_int_equal(line.window_column, 25);

	line = read_row(3, "breaker 5 consecutive");
	assert_int_equal(line.window_column, 0);
}

/* `expected` is what should stand at the column. */
struct mistake {
	const char *text;
	uint32_t column;
	const char *field, *expected;
};

/* The sentence that names the word at the column, or the end. */
static void write_sentence(char *out, size_t size, const struct mistake *m)
{
	const char *word = m->text + m->column - 1;
	int length = *word == '|' ? 1 : (int)strcspn(word, SPACE "|");

	if (length)
		snprintf(out, size, "expected %s, not \"%.*s\"", m->expected,
		         length, word);
	else
		snprintf(out, size, "expected %s, but the line ends",
		         m->expected);
}

static void expect_mistake(size_t row, const struct mistake *m)
{
	char want[sizeof(((pmz_why *)0)->text)];
	pmz__line line;
	pmz_why why;

	memset(&why, 0xff, sizeof(why));
	kit_expect_row(row, pmz__line_read(&line, m->text, &why), PMZ_E_CONFIG,
	               pmz_status_name);
	if (why.column != m->column)
		fail_msg("row %zu: %s: column %u instead of %u: %s", row,
		         m->text, why.column, m->column, why.text);
	write_sentence(want, sizeof(want), m);
	if (strcmp(why.text, want) || strcmp(why.field, m->field))
		fail_msg("row %zu: %s: [%s] %s", row, m->text, why.field,
		         why.text);
	assert_int_equal(why.ready_at, 0);
}

#define expect_mistakes(rows)                               \
	do {                                                \
		size_t row;                                 \
                                                            \
		for (row = 0; row < KIT_COUNT(rows); row++) \
			expect_mistake(row, &(rows)[row]);  \
	} while (0)

#define A_STAGE \
	"breaker, bulkhead, rate, tries, budget, try, total, wait or balance"
#define A_COUNT "a number from 1 to 4294967294"
#define A_PERCENTAGE "a percentage from 1% to 100%"
#define A_SPAN "a span like 250ms or 5s"
#define ABOVE_ZERO "a span above zero"
#define NOT_SO_LONG "a span of less than 2^64 ns"
#define A_BREAKER "a percentage like 50% or a number"
#define A_WINDOW "a span like 10s or a number of calls"
#define A_RATE "a rate like 100/s or 5/100ms"
#define A_POSSIBLE_RATE "a rate from 1 in 292 years to 10^9 a second"
#define A_POSSIBLE_BURST "a burst that is full again within 292 years"
#define A_RANGE "a range like 100ms..5s"
#define A_REST "a span like 5s or a range like 5s..60s"
#define NO_FALL "a range that does not fall"
#define A_JITTER "full, equal, decorrelated or none"
#define A_FLOOR "a floor like 10/s"
#define A_STRATEGY "least, ewma, robin, random or key"
#define A_CALLS "the word calls after a number without a unit"

static void what_is_no_stage_is_wrong_where_it_stands(void **state)
{
	static const struct mistake rows[] = {
		{ "retry 3", 1, "", A_STAGE },
		{ "  retry 3", 3, "", A_STAGE },
		{ "try 1s | retry 3", 10, "", A_STAGE },
		{ "try 1s|retry 3", 8, "", A_STAGE },
		{ "Try 1s", 1, "", A_STAGE },
		{ "BREAKER 50% over 10s", 1, "", A_STAGE },
		{ "tri 3", 1, "", A_STAGE },
		{ "tryy 1s", 1, "", A_STAGE },
		{ "50% over 10s", 1, "", A_STAGE },
		{ "try=1s", 1, "", A_STAGE },
	};

	(void)state;
	expect_mistakes(rows);
}

static void an_empty_stage_is_wrong_at_the_bar_that_ends_it(void **state)
{
	static const struct mistake rows[] = {
		{ "|", 1, "", A_STAGE },
		{ " |", 2, "", A_STAGE },
		{ "| try 1s", 1, "", A_STAGE },
		{ "try 1s || wait 1s", 9, "", A_STAGE },
		{ "try 1s | | wait 1s", 10, "", A_STAGE },
		{ "try 1s |", 9, "", A_STAGE },
		{ "try 1s | ", 10, "", A_STAGE },
		{ "try 1s|\n\t", 10, "", A_STAGE },
	};

	(void)state;
	expect_mistakes(rows);
}

static void a_missing_word_is_wrong_at_the_end_of_the_line(void **state)
{
	static const struct mistake rows[] = {
		{ "breaker", 8, "breaker", A_BREAKER },
		{ "breaker 50%", 12, "breaker", "the word over" },
		{ "breaker 50% over", 17, "breaker", A_WINDOW },
		{ "breaker 50% over 10", 20, "breaker", A_CALLS },
		{ "breaker 5", 10, "breaker", "consecutive or failures" },
		{ "breaker 5 failures", 19, "breaker", "the word over" },
		{ "breaker 5 failures over", 24, "breaker", A_SPAN },
		{ "breaker 5% over 1s min", 23, "min", A_COUNT },
		{ "breaker 5% over 1s open", 24, "open", A_REST },
		{ "breaker 5% over 1s slow", 24, "slow", A_SPAN },
		{ "breaker 5% over 1s slow 2s", 27, "slow", A_PERCENTAGE },
		{ "breaker 5% over 1s probes", 26, "probes",
		  "a number from 1 to 16" },
		{ "breaker 5% over 1s close", 25, "close", A_COUNT },
		{ "breaker 5% over 1s lease", 25, "lease", A_SPAN },
		{ "breaker 5% over 1s mode", 24, "mode", "shadow" },
		{ "bulkhead", 9, "bulkhead", "a number from 1 to 8388607" },
		{ "rate", 5, "rate", A_RATE },
		{ "rate 1/s burst", 15, "burst",
		  "a number from 1 to 18446744073709551614" },
		{ "tries", 6, "tries", A_COUNT },
		{ "tries 3 backoff", 16, "backoff", A_RANGE },
		{ "tries 3 jitter", 15, "jitter", A_JITTER },
		{ "tries 3 factor", 15, "factor",
		  "a percentage from 100% to 1000%" },
		{ "budget", 7, "budget", A_PERCENTAGE },
		{ "budget 20% floor", 17, "floor", A_FLOOR },
		{ "try", 4, "try", A_SPAN },
		{ "total  ", 8, "total", A_SPAN },
		{ "wait\n", 6, "wait", A_SPAN },
	};

	(void)state;
	expect_mistakes(rows);
}

static void a_missing_word_is_wrong_at_the_bar_in_its_place(void **state)
{
	static const struct mistake rows[] = {
		{ "breaker | try 1s", 9, "breaker", A_BREAKER },
		{ "breaker 50%|try 1s", 12, "breaker", "the word over" },
		{ "breaker 50% over | try 1s", 18, "breaker", A_WINDOW },
		{ "breaker 50% over 10 | try 1s", 21, "breaker", A_CALLS },
		{ "breaker 5% over 1s slow 2s | try 1s", 28, "slow",
		  A_PERCENTAGE },
		{ "rate|try 1s", 5, "rate", A_RATE },
		{ "tries 3 jitter | try 1s", 16, "jitter", A_JITTER },
		{ "try | total 1s", 5, "try", A_SPAN },
	};

	(void)state;
	expect_mistakes(rows);
}

static void the_words_of_a_breaker_stand_in_their_order(void **state)
{
	static const struct mistake rows[] = {
		{ "breaker x", 9, "breaker", A_BREAKER },
		{ "breaker min 20", 9, "breaker", A_BREAKER },
		{ "breaker 50 over 10s", 12, "breaker",
		  "consecutive or failures" },
		{ "breaker 50% min 20 over 10s", 13, "breaker",
		  "the word over" },
		{ "breaker 50% Over 10s", 13, "breaker", "the word over" },
		{ "breaker 50%over 10s", 9, "breaker", A_PERCENTAGE },
		{ "breaker 50 % over 10s", 12, "breaker",
		  "consecutive or failures" },
		{ "breaker 50% over min 20", 18, "breaker", A_WINDOW },
		/* A span is one word, so 10 can only be a number of calls. */
		{ "breaker 50% over 10 s", 21, "breaker", A_CALLS },
		{ "breaker 50% over 10 min 20", 21, "breaker", A_CALLS },
		{ "breaker 50% over 10 call", 21, "breaker", A_CALLS },
		{ "breaker 5 Consecutive", 11, "breaker",
		  "consecutive or failures" },
		{ "breaker 5x consecutive", 9, "breaker", A_COUNT },
		{ "breaker 9 failures over 30 calls", 25, "breaker", A_SPAN },
		{ "breaker 5% over 1s mode enforce", 25, "mode", "shadow" },
		{ "breaker 5% over 1s mode Shadow", 25, "mode", "shadow" },
		{ "breaker 5% over 1s slow 50% 2s", 25, "slow", A_SPAN },
	};

	(void)state;
	expect_mistakes(rows);
}

static void what_follows_a_stage_is_one_of_its_options(void **state)
{
	static const struct mistake rows[] = {
		{ "breaker 5% over 1s over 2s", 20, "breaker",
		  "min, open, slow, probes, close, lease, mode, | or the end" },
		{ "breaker 5% over 1s MIN 2", 20, "breaker",
		  "min, open, slow, probes, close, lease, mode, | or the end" },
		{ "breaker 5 consecutive calls", 23, "breaker",
		  "min, open, slow, probes, close, lease, mode, | or the end" },
		{ "breaker 5% over 1s min 2 burst 3", 26, "breaker",
		  "min, open, slow, probes, close, lease, mode, | or the end" },
		{ "bulkhead 64 65", 13, "bulkhead", "| or the end" },
		{ "rate 1/s jitter full", 10, "rate", "burst, | or the end" },
		{ "tries 3 burst 3", 9, "tries",
		  "backoff, jitter, factor, | or the end" },
		{ "tries 3 jitter full equal", 21, "tries",
		  "backoff, jitter, factor, | or the end" },
		{ "budget 20% min 3", 12, "budget", "floor, | or the end" },
		{ "try 1s 2s", 8, "try", "| or the end" },
		{ "total 1s wait 2s", 10, "total", "| or the end" },
		{ "wait 1s;", 6, "wait", A_SPAN },
		{ "wait 1s ;", 9, "wait", "| or the end" },
	};

	(void)state;
	expect_mistakes(rows);
}

static void a_number_lies_within_its_bounds(void **state)
{
	static const struct mistake rows[] = {
		{ "breaker 0 consecutive", 9, "breaker", A_COUNT },
		{ "breaker 4294967295 consecutive", 9, "breaker", A_COUNT },
		{ "breaker 0 failures over 1s", 9, "breaker", A_COUNT },
		{ "breaker 5% over 0 calls", 17, "breaker",
		  "a number from 1 to 1048576" },
		{ "breaker 5% over 1048577 calls", 17, "breaker",
		  "a number from 1 to 1048576" },
		{ "breaker 5% over 1s min 0", 24, "min", A_COUNT },
		{ "breaker 5% over 1s min 4294967295", 24, "min", A_COUNT },
		{ "breaker 5% over 1s min -1", 24, "min", A_COUNT },
		{ "breaker 5% over 1s min 1.5", 24, "min", A_COUNT },
		{ "breaker 5% over 9 calls min 10", 29, "min",
		  "no more than the window's 9 calls" },
		{ "breaker 5% over 9 calls min 99999999999999999999", 29, "min",
		  "no more than the window's 9 calls" },
		{ "breaker 5% over 9 calls open 1s min 10", 37, "min",
		  "no more than the window's 9 calls" },
		{ "breaker 5% over 1s probes 0", 27, "probes",
		  "a number from 1 to 16" },
		{ "breaker 5% over 1s probes 17", 27, "probes",
		  "a number from 1 to 16" },
		{ "breaker 5% over 1s close 0", 26, "close", A_COUNT },
		{ "bulkhead 0", 10, "bulkhead", "a number from 1 to 8388607" },
		{ "bulkhead 8388608", 10, "bulkhead",
		  "a number from 1 to 8388607" },
		{ "bulkhead 18446744073709551617", 10, "bulkhead",
		  "a number from 1 to 8388607" },
		/* 2 * 2^64 + 12 */
		{ "bulkhead 36893488147419103244", 10, "bulkhead",
		  "a number from 1 to 8388607" },
		{ "bulkhead +5", 10, "bulkhead",
		  "a number from 1 to 8388607" },
		{ "bulkhead 0x10", 10, "bulkhead",
		  "a number from 1 to 8388607" },
		{ "tries 0", 7, "tries", A_COUNT },
		{ "tries 4294967295", 7, "tries", A_COUNT },
		{ "tries 4294967297", 7, "tries", A_COUNT },
		{ "budget 20% floor 4294967295/s", 18, "floor",
		  "a floor of at most 4294967294/s" },
		{ "balance", 8, "balance", A_STRATEGY },
		{ "balance fair", 9, "balance", A_STRATEGY },
		{ "balance least 3", 15, "balance",
		  "eject, base, most, | or the end" },
		{ "balance least eject 5", 22, "eject",
		  "the word consecutive" },
		{ "balance least eject 5 failures", 23, "eject",
		  "the word consecutive" },
		{ "balance least base 0s", 20, "base", ABOVE_ZERO },
		{ "balance least most 101%", 20, "most",
		  "a percentage from 1% to 100%" },
		{ "budget 20% floor 10", 18, "floor", A_FLOOR },
		{ "budget 20% floor 10/m", 18, "floor", A_FLOOR },
		{ "budget 20% floor 10/1s", 18, "floor", A_FLOOR },
		{ "budget 20% floor 10/sec", 18, "floor", A_FLOOR },
		{ "budget 20% floor /s", 18, "floor", A_FLOOR },
		{ "budget 20% floor 10 /s", 18, "floor", A_FLOOR },
	};

	(void)state;
	expect_mistakes(rows);
}

static void a_percentage_lies_within_its_bounds(void **state)
{
	static const struct mistake rows[] = {
		{ "breaker 0% over 1s", 9, "breaker", A_PERCENTAGE },
		{ "breaker 101% over 1s", 9, "breaker", A_PERCENTAGE },
		{ "breaker 4294967346% over 1s", 9, "breaker", A_PERCENTAGE },
		{ "breaker 50%% over 1s", 9, "breaker", A_PERCENTAGE },
		{ "breaker 5% over 1s slow 1s 0%", 28, "slow", A_PERCENTAGE },
		{ "breaker 5% over 1s slow 1s 101%", 28, "slow", A_PERCENTAGE },
		{ "breaker 5% over 1s slow 1s 50", 28, "slow", A_PERCENTAGE },
		{ "budget 0%", 8, "budget", A_PERCENTAGE },
		{ "budget 101%", 8, "budget", A_PERCENTAGE },
		{ "budget 20", 8, "budget", A_PERCENTAGE },
		{ "budget %", 8, "budget", A_PERCENTAGE },
		{ "budget 2.5%", 8, "budget", A_PERCENTAGE },
		{ "tries 3 factor 99%", 16, "factor",
		  "a percentage from 100% to 1000%" },
		{ "tries 3 factor 1001%", 16, "factor",
		  "a percentage from 100% to 1000%" },
		{ "tries 3 factor 2", 16, "factor",
		  "a percentage from 100% to 1000%" },
	};

	(void)state;
	expect_mistakes(rows);
}

static void a_span_is_a_number_and_its_unit(void **state)
{
	static const struct mistake rows[] = {
		{ "try 5", 5, "try", A_SPAN },
		{ "try 5x", 5, "try", A_SPAN },
		{ "try s", 5, "try", A_SPAN },
		{ "try 5S", 5, "try", A_SPAN },
		{ "try 5sec", 5, "try", A_SPAN },
		{ "try 5msx", 5, "try", A_SPAN },
		{ "try 5n", 5, "try", A_SPAN },
		{ "try 5d", 5, "try", A_SPAN },
		{ "try 5 s", 5, "try", A_SPAN },
		{ "try +5s", 5, "try", A_SPAN },
		{ "try -5s", 5, "try", A_SPAN },
		{ "try 1.5s", 5, "try", A_SPAN },
		{ "try 1m30s", 5, "try", A_SPAN },
		{ "try 1s..2s", 5, "try", A_SPAN },
		{ "try 0s", 5, "try", ABOVE_ZERO },
		{ "total 0h", 7, "total", ABOVE_ZERO },
		{ "breaker 5% over 1s open 0s", 25, "open", ABOVE_ZERO },
		{ "breaker 5% over 1s slow 0s 5%", 25, "slow", ABOVE_ZERO },
		{ "breaker 5% over 1s lease 0s", 26, "lease", ABOVE_ZERO },
		{ "try 18446744073709551615ns", 5, "try", NOT_SO_LONG },
		{ "try 18446744073709551616ns", 5, "try", NOT_SO_LONG },
		{ "try 18446744073709552us", 5, "try", NOT_SO_LONG },
		{ "try 5124096h", 5, "try", NOT_SO_LONG },
		{ "wait 5124096h", 6, "wait", NOT_SO_LONG },
		{ "breaker 5% over 10x", 17, "breaker", A_SPAN },
		{ "breaker 5% over 0s", 17, "breaker",
		  "a window of at least 1ms" },
		{ "breaker 5% over 999999ns", 17, "breaker",
		  "a window of at least 1ms" },
		{ "breaker 5 failures over 999us", 25, "breaker",
		  "a window of at least 1ms" },
		{ "breaker 5% over 5124096h", 17, "breaker", NOT_SO_LONG },
	};

	(void)state;
	expect_mistakes(rows);
}

static void a_range_rises_or_stays(void **state)
{
	static const struct mistake rows[] = {
		{ "tries 3 backoff 5s", 17, "backoff", A_RANGE },
		{ "tries 3 backoff 5s..", 17, "backoff", A_RANGE },
		{ "tries 3 backoff ..5s", 17, "backoff", A_RANGE },
		{ "tries 3 backoff 1s.5s", 17, "backoff", A_RANGE },
		{ "tries 3 backoff 1s.25s", 17, "backoff", A_RANGE },
		{ "tries 3 backoff 1s...5s", 17, "backoff", A_RANGE },
		{ "tries 3 backoff 1s .. 5s", 17, "backoff", A_RANGE },
		{ "tries 3 backoff 1s-5s", 17, "backoff", A_RANGE },
		{ "tries 3 backoff 1..5s", 17, "backoff", A_RANGE },
		{ "tries 3 backoff 1s..5s..9s", 17, "backoff", A_RANGE },
		{ "tries 3 backoff 1000000001ns..1s", 17, "backoff", NO_FALL },
		{ "tries 3 backoff 5s..0s", 17, "backoff", NO_FALL },
		{ "tries 3 backoff 0s..5s", 17, "backoff", ABOVE_ZERO },
		{ "tries 3 backoff 5s..5124096h", 17, "backoff", NOT_SO_LONG },
		{ "breaker 5% over 1s open 5x", 25, "open", A_REST },
		{ "breaker 5% over 1s open 5s..", 25, "open", A_REST },
		{ "breaker 5% over 1s open 6s..5s", 25, "open", NO_FALL },
		{ "breaker 5% over 1s open 0s..5s", 25, "open", ABOVE_ZERO },
	};

	(void)state;
	expect_mistakes(rows);
}

static void a_rate_is_one_that_a_bucket_can_keep(void **state)
{
	static const struct mistake rows[] = {
		{ "rate 100", 6, "rate", A_RATE },
		{ "rate 100/", 6, "rate", A_RATE },
		{ "rate /s", 6, "rate", A_RATE },
		{ "rate 100/ms", 6, "rate", A_RATE },
		{ "rate 100/d", 6, "rate", A_RATE },
		{ "rate 100/5", 6, "rate", A_RATE },
		{ "rate 100/s/s", 6, "rate", A_RATE },
		{ "rate 100 / s", 6, "rate", A_RATE },
		{ "rate 100/0s", 6, "rate", A_RATE },
		{ "rate 0/s", 6, "rate", A_POSSIBLE_RATE },
		{ "rate 1000000001/s", 6, "rate", A_POSSIBLE_RATE },
		{ "rate 1/9223372036854775808ns", 6, "rate", A_POSSIBLE_RATE },
		{ "rate 9/18446744073709551616ns burst 1", 6, "rate",
		  A_POSSIBLE_RATE },
		{ "rate 2/9223372036854775808ns", 6, "rate", A_POSSIBLE_BURST },
		{ "rate 2/9223372036854775808ns burst 3", 6, "rate",
		  A_POSSIBLE_BURST },
		{ "rate 1/s burst 9223372037", 16, "burst", A_POSSIBLE_BURST },
		{ "rate 1/s burst 0", 16, "burst",
		  "a number from 1 to 18446744073709551614" },
		{ "rate 1/s burst 18446744073709551615", 16, "burst",
		  "a number from 1 to 18446744073709551614" },
		{ "rate 1/s burst 5/s", 16, "burst",
		  "a number from 1 to 18446744073709551614" },
	};

	(void)state;
	expect_mistakes(rows);
}

static void a_second_stage_or_option_of_a_kind_is_wrong(void **state)
{
	static const struct {
		const char *text;
		uint32_t column;
		const char *field, *want;
	} rows[] = {
		{ "try 1s | try 1s", 10, "try",
		  "expected each stage once, not a second \"try\"" },
		{ "try 1s | total 2s | try", 21, "try",
		  "expected each stage once, not a second \"try\"" },
		{ "rate 1/s|wait 0s|rate 1/s", 18, "rate",
		  "expected each stage once, not a second \"rate\"" },
		{ "breaker 5% over 1s min 2 open 1s min 2", 34, "min",
		  "expected each option once, not a second \"min\"" },
		{ "breaker 5% over 1s mode shadow mode shadow", 32, "mode",
		  "expected each option once, not a second \"mode\"" },
		{ "rate 1/s burst 3 burst", 18, "burst",
		  "expected each option once, not a second \"burst\"" },
		{ "tries 3 jitter full jitter none", 21, "jitter",
		  "expected each option once, not a second \"jitter\"" },
		{ "budget 20% floor 1/s floor 1/s", 22, "floor",
		  "expected each option once, not a second \"floor\"" },
	};
	size_t i;

	(void)state;
	for (i = 0; i < KIT_COUNT(rows); i++) {
		pmz__line line;
		pmz_why why;

		kit_expect_row(i, pmz__line_read(&line, rows[i].text, &why),
		               PMZ_E_CONFIG, pmz_status_name);
		if (why.column != rows[i].column)
			fail_msg("row %zu: column %u instead of %u", i,
			         why.column, rows[i].column);
		assert_string_equal(why.field, rows[i].field);
		assert_string_equal(why.text, rows[i].want);
	}
}

static void what_does_not_print_is_shown_as_a_question_mark(void **state)
{
	pmz__line line;
	pmz_why why;

	(void)state;
	expect_status(
		pmz__line_read(&line, "try \x01\x1b[1m\x7f\xc3\xa9~!", &why),
		PMZ_E_CONFIG);
	assert_string_equal(why.text,
	                    "expected " A_SPAN ", not \"??[1m???~!\"");
	assert_int_equal(why.column, 5);
}

static void a_long_word_is_quoted_in_part(void **state)
{
	pmz__line line;
	pmz_why why;

	(void)state;
	expect_status(
		pmz__line_read(&line,
	                       "try 1234567890123456789012345678901234567890",
	                       &why),
		PMZ_E_CONFIG);
	assert_string_equal(why.text,
	                    "expected " A_SPAN ", not "
	                    "\"1234567890123456789012345678901234567890\"");
	expect_status(
		pmz__line_read(&line,
	                       "try 12345678901234567890123456789012345678901",
	                       &why),
		PMZ_E_CONFIG);
	assert_string_equal(why.text,
	                    "expected " A_SPAN ", not "
	                    "\"1234567890123456789012345678901234567890...\"");
}

/* "try 1s" and white space, `length` bytes in all. */
static void write_long(char *text, size_t length)
{
	memset(text, ' ', length);
	memcpy(text, "try 1s", 6);
	text[length] = '\0';
}

static void a_line_may_have_4096_bytes_and_no_more(void **state)
{
	char text[2 * PMZ__LINE_MAX + 1];
	pmz__line line;
	pmz_why why;

	(void)state;
	write_long(text, 4095);
	expect_status(pmz__line_read(&line, text, NULL), PMZ_OK);
	write_long(text, 4096);
	expect_status(pmz__line_read(&line, text, NULL), PMZ_OK);
	write_long(text, 4097);
	expect_status(pmz__line_read(&line, text, &why), PMZ_E_CONFIG);
	assert_int_equal(why.column, 4097);
	assert_string_equal(why.text,
	                    "expected at most 4096 bytes, not a longer line");
	write_long(text, 2 * PMZ__LINE_MAX);
	expect_status(pmz__line_read(&line, text, &why), PMZ_E_CONFIG);
	assert_int_equal(why.column, 4097);

	/* The longest line may still lack a word at its end. */
	write_long(text, 4096);
	text[4095] = '|';
	expect_status(pmz__line_read(&line, text, &why), PMZ_E_CONFIG);
	assert_int_equal(why.column, 4097);
	assert_string_equal(why.text,
	                    "expected " A_STAGE ", but the line ends");
}

static void a_mistake_needs_nobody_to_tell(void **state)
{
	pmz__line line;

	(void)state;
	expect_status(pmz__line_read(&line, "try 5x", NULL), PMZ_E_CONFIG);
	expect_status(pmz__line_bad(NULL, 3, "try", "no matter"), PMZ_E_CONFIG);
}

static void a_mistake_told_by_others_has_its_column(void **state)
{
	pmz_why why;

	(void)state;
	memset(&why, 0xff, sizeof(why));
	expect_status(pmz__line_bad(&why, 7, "rate", "%s is\n%d", "this", 3),
	              PMZ_E_CONFIG);
	assert_int_equal(why.column, 7);
	assert_int_equal(why.index, 0);
	assert_int_equal(why.ready_at, 0);
	assert_string_equal(why.field, "rate");
	assert_string_equal(why.text, "this is?3");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_form_of_a_breaker_gives_its_config),
		cmocka_unit_test(every_unit_of_a_span_has_its_worth),
		cmocka_unit_test(
			a_rate_without_a_burst_has_its_tokens_as_burst),
		cmocka_unit_test(tries_give_a_backoff_rule),
		cmocka_unit_test(
			a_floor_of_zero_is_off_and_none_is_the_default),
		cmocka_unit_test(the_stages_of_one_value_keep_it),
		cmocka_unit_test(neither_order_nor_white_space_has_a_meaning),
		cmocka_unit_test(a_balancer_has_its_strategy_and_what_ejects),
		cmocka_unit_test(the_line_of_the_manual_says_what_it_says),
		cmocka_unit_test(a_line_of_white_space_has_no_stage),
		cmocka_unit_test(columns_are_those_of_the_words),
		cmocka_unit_test(what_is_no_stage_is_wrong_where_it_stands),
		cmocka_unit_test(
			an_empty_stage_is_wrong_at_the_bar_that_ends_it),
		cmocka_unit_test(
			a_missing_word_is_wrong_at_the_end_of_the_line),
		cmocka_unit_test(
			a_missing_word_is_wrong_at_the_bar_in_its_place),
		cmocka_unit_test(the_words_of_a_breaker_stand_in_their_order),
		cmocka_unit_test(what_follows_a_stage_is_one_of_its_options),
		cmocka_unit_test(a_number_lies_within_its_bounds),
		cmocka_unit_test(a_percentage_lies_within_its_bounds),
		cmocka_unit_test(a_span_is_a_number_and_its_unit),
		cmocka_unit_test(a_range_rises_or_stays),
		cmocka_unit_test(a_rate_is_one_that_a_bucket_can_keep),
		cmocka_unit_test(a_second_stage_or_option_of_a_kind_is_wrong),
		cmocka_unit_test(
			what_does_not_print_is_shown_as_a_question_mark),
		cmocka_unit_test(a_long_word_is_quoted_in_part),
		cmocka_unit_test(a_line_may_have_4096_bytes_and_no_more),
		cmocka_unit_test(a_mistake_needs_nobody_to_tell),
		cmocka_unit_test(a_mistake_told_by_others_has_its_column),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
