/*
 * script.c - fault scripts: what their text means, and what is no script.
 */
#include "expect.h"

#include <stdio.h>
#include <string.h>

#include <pipemaze/sim.h>

#define DRAWS 10000

static pmz_script script_of(const char *text)
{
	pmz_script script;
	pmz_why why;

	if (pmz_script_from(&script, text, &why))
		fail_msg("column %u: %s", (unsigned)why.column, why.text);
	return script;
}

/* How many of many attempts end so. */
static unsigned count(const pmz_script *s, pmz_ns since, pmz_outcome how)
{
	unsigned seed, n = 0;
	pmz_ns lasts;

	for (seed = 0; seed < DRAWS; seed++)
		n += pmz_script_attempt(s, since, seed, &lasts) == how;
	return n;
}

static void phases_follow_each_other(void **state)
{
	static const struct {
		pmz_ns since;
		const char *word;
		pmz_ns until;
		int how;
		pmz_ns lasts;
	} rows[] = {
		{ 0, "ok", PMZ_S(5), PMZ_SUCCESS, PMZ_MS(20) },
		{ PMZ_S(5) - 1, "ok", PMZ_S(5), PMZ_SUCCESS, PMZ_MS(20) },
		{ PMZ_S(5), "slow", PMZ_S(9), PMZ_SUCCESS, PMZ_MS(400) },
		{ PMZ_S(9) - 1, "slow", PMZ_S(9), PMZ_SUCCESS, PMZ_MS(400) },
		{ PMZ_S(9), "fail", PMZ_S(13), PMZ_FAILURE, PMZ_MS(10) },
		{ PMZ_S(13), "hang", PMZ_S(16), PMZ_FAILURE, PMZ_NEVER },
		{ PMZ_S(16) - 1, "hang", PMZ_S(16), PMZ_FAILURE, PMZ_NEVER },
		{ PMZ_S(16), "ok", PMZ_NEVER, PMZ_SUCCESS, 0 },
		{ PMZ_NEVER, "ok", PMZ_NEVER, PMZ_SUCCESS, 0 },
	};
	pmz_script s = script_of("5s ok 20ms | 4s slow 400ms\n"
	                         "4s fail 10ms | 3s hang | ok");
	pmz_ns lasts;
	size_t i;

	(void)state;
	for (i = 0; i < KIT_COUNT(rows); i++) {
		kit_expect_row(i,
		               (int)pmz_script_attempt(&s, rows[i].since, i,
		                                       &lasts),
		               rows[i].how, kit_outcome);
		assert_string_equal(pmz_script_state(&s, rows[i].since),
		                    rows[i].word);
		assert_int_equal(pmz_script_until(&s, rows[i].since),
		                 rows[i].until);
		assert_int_equal(lasts, rows[i].lasts);
	}
	assert_int_equal(pmz_script_span(&s), PMZ_NEVER);
}

static void the_last_phase_goes_on_when_its_span_is_over(void **state)
{
	pmz_script s = script_of("1s ok | 2s fail");

	(void)state;
	assert_int_equal(pmz_script_span(&s), PMZ_S(3));
	assert_string_equal(pmz_script_state(&s, PMZ_S(3) - 1), "fail");
	assert_int_equal(pmz_script_until(&s, PMZ_S(3) - 1), PMZ_S(3));
	assert_string_equal(pmz_script_state(&s, PMZ_S(3)), "fail");
	assert_int_equal(pmz_script_until(&s, PMZ_S(3)), PMZ_NEVER);
}

static void white_space_comments_and_empty_phases_mean_nothing(void **state)
{
	static const char *const texts[] = {
		"1s fail 10ms|ok",
		"  1s\tfail 10ms  |  ok  ",
		"# an outage | of a second\n1s fail 10ms # short\n\n ok\n",
		"1s fail 10ms |\r\n| ok |",
		"1s fail 10ms#\nok#",
		"1000ms fail 10000us | ok 0ns",
	};
	pmz_ns lasts;
	size_t i;

	(void)state;
	for (i = 0; i < KIT_COUNT(texts); i++) {
		pmz_script s = script_of(texts[i]);

		kit_expect_row(i, (int)pmz_script_attempt(&s, 0, 0, &lasts),
		               PMZ_FAILURE, kit_outcome);
		assert_int_equal(lasts, PMZ_MS(10));
		assert_int_equal(pmz_script_until(&s, 0), PMZ_S(1));
		kit_expect_row(i,
		               (int)pmz_script_attempt(&s, PMZ_S(1), 0, &lasts),
		               PMZ_SUCCESS, kit_outcome);
		assert_int_equal(lasts, 0);
		assert_int_equal(pmz_script_until(&s, PMZ_S(1)), PMZ_NEVER);
	}
}

static void each_state_has_its_outcome(void **state)
{
	static const struct {
		const char *text;
		int how;
	} rows[] = {
		{ "ok", PMZ_SUCCESS },     { "slow 1s", PMZ_SUCCESS },
		{ "fail", PMZ_FAILURE },   { "hang", PMZ_FAILURE },
		{ "again", PMZ_AGAIN },    { "ignore", PMZ_IGNORE },
		{ "fatal 5ms", PMZ_FATAL },
	};
	pmz_ns lasts;
	size_t i;

	(void)state;
	for (i = 0; i < KIT_COUNT(rows); i++) {
		pmz_script s = script_of(rows[i].text);

		kit_expect_row(i, (int)pmz_script_attempt(&s, 0, 1, &lasts),
		               rows[i].how, kit_outcome);
	}
}

static void a_share_hits_so_many_and_the_others_succeed(void **state)
{
	static const struct {
		const char *text;
		pmz_outcome how;
		unsigned from, to;
	} rows[] = {
		{ "fail 80%", PMZ_FAILURE, 7800, 8200 },
		{ "fail 1%", PMZ_FAILURE, 60, 140 },
		{ "fail 99% 5ms", PMZ_FAILURE, 9860, 9940 },
		{ "fail 100%", PMZ_FAILURE, DRAWS, DRAWS },
		{ "10s hang 50% 20ms", PMZ_FAILURE, 4800, 5200 },
		{ "again 20ms 30%", PMZ_AGAIN, 2800, 3200 },
	};
	size_t i;

	(void)state;
	for (i = 0; i < KIT_COUNT(rows); i++) {
		pmz_script s = script_of(rows[i].text);
		unsigned hit = count(&s, 0, rows[i].how);

		if (hit < rows[i].from || hit > rows[i].to)
			fail_msg("row %zu: %u of %u", i, hit, DRAWS);
		assert_int_equal(hit + count(&s, 0, PMZ_SUCCESS), DRAWS);
	}
}

static void what_does_not_hang_answers_in_its_time(void **state)
{
	pmz_script s = script_of("hang 50% 20ms");
	unsigned seed;
	pmz_ns lasts;

	(void)state;
	for (seed = 0; seed < DRAWS; seed++) {
		pmz_outcome how = pmz_script_attempt(&s, 0, seed, &lasts);

		assert_int_equal(lasts, how == PMZ_SUCCESS ? PMZ_MS(20) :
		                                             PMZ_NEVER);
	}
}

static void a_range_is_drawn_evenly_from_end_to_end(void **state)
{
	pmz_script s = script_of("ok 10ns..19ns");
	unsigned seen[10] = { 0 }, seed;
	pmz_ns lasts;
	size_t i;

	(void)state;
	for (seed = 0; seed < DRAWS; seed++) {
		pmz_script_attempt(&s, 0, seed, &lasts);
		assert_in_range(lasts, 10, 19);
		seen[lasts - 10]++;
	}
	for (i = 0; i < KIT_COUNT(seen); i++)
		assert_in_range(seen[i], 880, 1120);
}

static void the_same_seed_ends_the_same_way(void **state)
{
	pmz_script s = script_of("fail 50% 1s..9s"), twin = s;
	unsigned seed, alike = 0;
	pmz_ns lasts, again, before = 0;

	(void)state;
	for (seed = 0; seed < DRAWS; seed++) {
		pmz_outcome how = pmz_script_attempt(&s, 5, seed, &lasts);

		assert_int_equal(pmz_script_attempt(&twin, 5, seed, &again),
		                 how);
		assert_int_equal(lasts, again);
		alike += lasts == before;
		before = lasts;
	}
	assert_in_range(alike, 0, 1);
}

static void how_long_it_takes_does_not_tell_how_it_ends(void **state)
{
	pmz_script s = script_of("fail 50% 0ns..999ns");
	unsigned seed, quick_failures = 0;
	pmz_ns lasts;

	(void)state;
	for (seed = 0; seed < DRAWS; seed++)
		if (pmz_script_attempt(&s, 0, seed, &lasts) == PMZ_FAILURE)
			quick_failures += lasts < 500;
	assert_in_range(quick_failures, 2300, 2700);
}

static void a_wrong_text_names_the_word_and_its_column(void **state)
{
	static const struct {
		const char *text;
		unsigned column;
		const char *field;
		unsigned index;
		const char *says;
	} rows[] = {
		{ "", 1, "", 0, "line 1: expected a phase like 5s ok 20ms, "
		                "not the end of the phase" },
		{ " | # ok", 8, "", 0, "expected a phase" },
		{ "bad", 1, "bad", 0, "expected ok, slow, fail, hang, again, "
		                      "ignore or fatal, not \"bad\"" },
		{ "OK", 1, "OK", 0, "expected ok," },
		{ "okay", 1, "okay", 0, "expected ok," },
		{ "5s", 3, "", 0, "not the end of the phase" },
		{ "5s | ok", 4, "", 0, "not the end of the phase" },
		{ "5 ok", 1, "5", 0, "expected a span above zero, like 5s" },
		{ "5sec ok", 1, "5sec", 0, "expected a span" },
		{ "0s ok", 1, "0s", 0, "expected a span above zero" },
		{ "1.5s ok", 1, "1.5s", 0, "expected a span" },
		{ "600000000000m ok", 1, "600000000000m", 0, "2^64 ns" },
		{ "1s ok | 5124095h ok | 2h ok", 23, "2h", 2,
		  "spans of less than 2^64 ns in all" },
		{ "ok | 5s fail", 6, "5s", 1,
		  "nothing after a phase without a span" },
		{ "ok 20ms 30ms", 9, "30ms", 0, "one share and one time" },
		{ "fail 20% 30%", 10, "30%", 0, "one share and one time" },
		{ "ok 20%", 4, "20%", 0, "no share after ok or slow" },
		{ "slow 1s 20%", 9, "20%", 0, "no share after ok or slow" },
		{ "fail 0%", 6, "0%", 0, "a share from 1% to 100%" },
		{ "fail 101%", 6, "101%", 0, "a share from 1% to 100%" },
		{ "fail %", 6, "%", 0, "a share from 1% to 100%" },
		{ "fail 8.5%", 6, "8.5%", 0, "a share from 1% to 100%" },
		{ "fail 99999999999999999999%", 6, "99999999999999999999%", 0,
		  "a share from" },
		{ "1s slow|ok", 8, "", 0, "how slow, as in slow 400ms" },
		{ "ok 20", 4, "20", 0, "a time like 20ms or a range" },
		{ "ok 20ms..", 4, "20ms..", 0, "a time like 20ms" },
		{ "ok 20ms.30ms", 4, "20ms.30ms", 0, "a time like 20ms" },
		{ "ok 20..30ms", 4, "20..30ms", 0, "a time like 20ms" },
		{ "ok 30ms..20ms", 4, "30ms..20ms", 0, "does not fall" },
		{ "ok 1s..600000000000m", 4, "1s..600000000000m", 0,
		  "a time of less than 2^64 ns" },
		{ "ok soon", 4, "soon", 0, "a time like 20ms" },
		{ "5s ok 20ms\n4x fail\n", 12, "4x", 1, "line 2: expected a" },
		{ "# one\n\n1s ok|\n\t2s \x01" "\xc3\xa4", 19, "\x01\xc3\xa4", 1,
		  "line 4: expected ok, slow, fail, hang, again, ignore or "
		  "fatal, not \"???\"" },
	};
	pmz_script script;
	pmz_why why;
	size_t i;

	(void)state;
	for (i = 0; i < KIT_COUNT(rows); i++) {
		kit_expect_row(i, pmz_script_from(&script, rows[i].text, &why),
		               PMZ_E_CONFIG, pmz_status_name);
		if (why.column != rows[i].column)
			fail_msg("row %zu: column %u", i, (unsigned)why.column);
		assert_string_equal(why.field, rows[i].field);
		assert_int_equal(why.index, rows[i].index);
		if (!strstr(why.text, rows[i].says))
			fail_msg("row %zu: %s", i, why.text);
		expect_status(pmz_script_from(&script, rows[i].text, NULL),
		              PMZ_E_CONFIG);
	}
}

static void a_word_without_end_is_cut_to_fit(void **state)
{
	char text[1000];
	pmz_script script;
	pmz_why why;

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	expect_status(pmz_script_from(&script, text, &why), PMZ_E_CONFIG);
	assert_int_equal(strlen(why.field), sizeof(why.field) - 1);
	assert_int_equal(why.column, 1);
	assert_int_equal(why.text[strlen(why.text) - 1], '"');
}

static void a_wrong_text_changes_nothing(void **state)
{
	pmz_script s = script_of("1s fail | ok"), before = s;

	(void)state;
	expect_status(pmz_script_from(&s, "2s hang | bad", NULL), PMZ_E_CONFIG);
	assert_memory_equal(&s, &before, sizeof(s));
}

static void thirty_two_phases_fit_and_one_more_is_named(void **state)
{
	char text[33 * 8] = "";
	pmz_script s;
	pmz_why why;
	size_t i;

	(void)state;
	for (i = 0; i < 32; i++)
		strcat(text, i % 2 ? "1s ok\n" : "1s fail\n");
	s = script_of(text);
	assert_int_equal(pmz_script_span(&s), PMZ_S(32));
	assert_string_equal(pmz_script_state(&s, PMZ_S(31) - 1), "fail");
	assert_string_equal(pmz_script_state(&s, PMZ_S(31)), "ok");
	strcat(text, "hang");
	expect_status(pmz_script_from(&s, text, &why), PMZ_E_CONFIG);
	assert_string_equal(why.text, "line 33: expected at most 32 phases, "
	                              "not \"hang\"");
	assert_string_equal(why.field, "hang");
	assert_int_equal(why.index, 32);
}

static void its_size_is_there_for_those_who_cannot_ask_the_header(void **state)
{
	(void)state;
	assert_int_equal(pmz_script_size(), sizeof(pmz_script));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(phases_follow_each_other),
		cmocka_unit_test(the_last_phase_goes_on_when_its_span_is_over),
		cmocka_unit_test(
			white_space_comments_and_empty_phases_mean_nothing),
		cmocka_unit_test(each_state_has_its_outcome),
		cmocka_unit_test(a_share_hits_so_many_and_the_others_succeed),
		cmocka_unit_test(what_does_not_hang_answers_in_its_time),
		cmocka_unit_test(a_range_is_drawn_evenly_from_end_to_end),
		cmocka_unit_test(the_same_seed_ends_the_same_way),
		cmocka_unit_test(how_long_it_takes_does_not_tell_how_it_ends),
		cmocka_unit_test(a_wrong_text_names_the_word_and_its_column),
		cmocka_unit_test(a_word_without_end_is_cut_to_fit),
		cmocka_unit_test(a_wrong_text_changes_nothing),
		cmocka_unit_test(thirty_two_phases_fit_and_one_more_is_named),
		cmocka_unit_test(
			its_size_is_there_for_those_who_cannot_ask_the_header),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
