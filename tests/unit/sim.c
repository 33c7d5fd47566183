/*
 * sim.c - the virtual clock, and calls that meet a scripted outage on it.
 */
#include "expect.h"

#include <stdio.h>
#include <string.h>

#include <pipemaze/sim.h>

static pmz_pipe *pipe_of(const char *line)
{
	pmz_pipe *pipe;
	pmz_why why;

	if (pmz_pipe_from(&pipe, line, NULL, &why))
		fail_msg("column %u: %s", (unsigned)why.column, why.text);
	return pipe;
}

static pmz_script script_of(const char *text)
{
	pmz_script script;
	pmz_why why;

	if (pmz_script_from(&script, text, &why))
		fail_msg("column %u: %s", (unsigned)why.column, why.text);
	return script;
}

static pmz_sim_stats stats_of(const pmz_sim *sim)
{
	pmz_sim_stats stats;

	stats.size = sizeof(stats);
	expect_status(pmz_sim_read(sim, &stats), PMZ_OK);
	return stats;
}

static void the_clock_moves_only_when_told(void **state)
{
	pmz_sim sim;

	(void)state;
	pmz_sim_start(&sim, PMZ_S(7), 1);
	assert_int_equal(pmz_sim_now(&sim), PMZ_S(7));
	assert_int_equal(pmz_sim_now(&sim), PMZ_S(7));
	assert_int_equal(pmz_sim_pass(&sim, PMZ_S(2)), PMZ_S(9));
	assert_int_equal(pmz_sim_go(&sim, PMZ_S(10)), PMZ_S(10));
	assert_int_equal(pmz_sim_now(&sim), PMZ_S(10));
}

static void the_clock_goes_back_only_by_force(void **state)
{
	pmz_sim sim;

	(void)state;
	pmz_sim_start(&sim, PMZ_S(7), 1);
	assert_int_equal(pmz_sim_go(&sim, PMZ_S(7) - 1), PMZ_S(7));
	assert_int_equal(pmz_sim_go(&sim, 0), PMZ_S(7));
	assert_int_equal(pmz_sim_force(&sim, PMZ_S(7) - 1), PMZ_S(7) - 1);
	assert_int_equal(pmz_sim_now(&sim), PMZ_S(7) - 1);
}

static void the_clock_never_reaches_never(void **state)
{
	pmz_sim sim;

	(void)state;
	pmz_sim_start(&sim, PMZ_NEVER - 2, 1);
	assert_int_equal(pmz_sim_pass(&sim, 0), PMZ_NEVER - 2);
	assert_int_equal(pmz_sim_pass(&sim, 1), PMZ_NEVER - 1);
	assert_int_equal(pmz_sim_pass(&sim, 1), PMZ_NEVER - 1);
	assert_int_equal(pmz_sim_pass(&sim, PMZ_NEVER), PMZ_NEVER - 1);
	assert_int_equal(pmz_sim_go(&sim, PMZ_NEVER), PMZ_NEVER - 1);
	assert_int_equal(pmz_sim_force(&sim, PMZ_NEVER), PMZ_NEVER - 1);
	pmz_sim_start(&sim, PMZ_NEVER, 1);
	assert_int_equal(pmz_sim_now(&sim), PMZ_NEVER - 1);
}

/* The script has 10 ms of answers in 20 ms, then fails in 5 ms; the clock
 * starts at 1 s. */
static void an_attempt_ends_by_the_script_or_when_due(void **state)
{
	static const struct {
		pmz_ns pass, due;
		int how;
		pmz_ns then;
	} rows[] = {
		{ 0, PMZ_NEVER, PMZ_SUCCESS, PMZ_MS(1020) },
		{ 0, PMZ_MS(1020) + 1, PMZ_SUCCESS, PMZ_MS(1020) },
		{ 0, PMZ_MS(1020), PMZ_SUCCESS, PMZ_MS(1020) },
		{ 0, PMZ_MS(1020) - 1, PMZ_FAILURE, PMZ_MS(1020) - 1 },
		{ 0, PMZ_S(1), PMZ_FAILURE, PMZ_S(1) },
		{ 0, PMZ_S(1) - 1, PMZ_FAILURE, PMZ_S(1) },
		{ 0, 0, PMZ_FAILURE, PMZ_S(1) },
		{ PMZ_MS(10) - 1, PMZ_NEVER, PMZ_SUCCESS, PMZ_MS(1030) - 1 },
		{ PMZ_MS(10), PMZ_NEVER, PMZ_FAILURE, PMZ_MS(1015) },
	};
	pmz_script script = script_of("10ms ok 20ms | fail 5ms");
	pmz_sim sim;
	size_t i;

	(void)state;
	for (i = 0; i < KIT_COUNT(rows); i++) {
		const int cut = rows[i].due < PMZ_MS(1020);

		pmz_sim_start(&sim, PMZ_S(1), i);
		pmz_sim_pass(&sim, rows[i].pass);
		kit_expect_row(i,
		               (int)pmz_sim_attempt(&sim, &script, rows[i].due),
		               rows[i].how, kit_outcome);
		assert_int_equal(pmz_sim_now(&sim), rows[i].then);
		assert_int_equal(stats_of(&sim).attempts, 1);
		assert_int_equal(stats_of(&sim).cut_off, cut);
	}
}

static void a_hang_that_nothing_ends_leaves_the_clock_alone(void **state)
{
	pmz_script script = script_of("hang");
	pmz_sim sim;

	(void)state;
	pmz_sim_start(&sim, PMZ_S(1), 1);
	assert_int_equal(pmz_sim_attempt(&sim, &script, PMZ_NEVER), 0);
	assert_int_equal(pmz_sim_now(&sim), PMZ_S(1));
	assert_int_equal(pmz_sim_attempt(&sim, &script, PMZ_S(3)), PMZ_FAILURE);
	assert_int_equal(pmz_sim_now(&sim), PMZ_S(3));
	assert_int_equal(stats_of(&sim).attempts, 2);
	assert_int_equal(stats_of(&sim).cut_off, 1);
}

static void a_script_plays_from_where_its_clock_started(void **state)
{
	pmz_script script = script_of("1s fail | ok");
	pmz_sim sim;

	(void)state;
	pmz_sim_start(&sim, PMZ_S(100), 1);
	pmz_sim_pass(&sim, PMZ_S(1) - 1);
	assert_int_equal(pmz_sim_attempt(&sim, &script, PMZ_NEVER),
	                 PMZ_FAILURE);
	pmz_sim_pass(&sim, 1);
	assert_int_equal(pmz_sim_attempt(&sim, &script, PMZ_NEVER),
	                 PMZ_SUCCESS);
	pmz_sim_force(&sim, PMZ_S(99));
	assert_int_equal(pmz_sim_attempt(&sim, &script, PMZ_NEVER),
	                 PMZ_FAILURE);
}

static void a_call_takes_the_time_of_its_attempts_and_waits(void **state)
{
#define SLOWLY "tries 3 backoff 100ms..100ms jitter none"
	static const struct {
		const char *line, *text;
		int status;
		pmz_ns then;
		unsigned attempts, cut_off;
		pmz_ns waited;
	} rows[] = {
		{ "try 1s", "ok 20ms", PMZ_OK, PMZ_MS(20), 1, 0, 0 },
		{ "try 1s", "fail 20ms", PMZ_GAVE_UP, PMZ_MS(20), 1, 0, 0 },
		{ "try 1s", "slow 2s", PMZ_GAVE_UP, PMZ_S(1), 1, 1, 0 },
		{ "try 1s", "fatal 2ms", PMZ_ENDED, PMZ_MS(2), 1, 0, 0 },
		{ "total 1s", "hang", PMZ_TIMED_OUT, PMZ_S(1), 1, 1, 0 },
		{ SLOWLY " | try 50ms", "hang", PMZ_GAVE_UP, PMZ_MS(350), 3, 3,
		  PMZ_MS(200) },
		{ SLOWLY, "fail 5ms", PMZ_GAVE_UP, PMZ_MS(215), 3, 0,
		  PMZ_MS(200) },
		{ SLOWLY, "105ms again 5ms | ok 7ms", PMZ_OK, PMZ_MS(112), 2, 0,
		  PMZ_MS(100) },
		{ SLOWLY, "106ms again 5ms | ok 7ms", PMZ_OK, PMZ_MS(217), 3, 0,
		  PMZ_MS(200) },
		{ SLOWLY " | total 150ms", "fail 60ms", PMZ_TIMED_OUT,
		  PMZ_MS(60), 1, 0, 0 },
	};
	size_t i;

	(void)state;
	for (i = 0; i < KIT_COUNT(rows); i++) {
		pmz_pipe *pipe = pipe_of(rows[i].line);
		pmz_script script = script_of(rows[i].text);
		pmz_sim_stats stats;
		pmz_sim sim;

		pmz_sim_start(&sim, 0, i);
		kit_expect_row(i, pmz_sim_run(&sim, &script, pipe, NULL, NULL),
		               rows[i].status, pmz_status_name);
		stats = stats_of(&sim);
		if (pmz_sim_now(&sim) != rows[i].then ||
		    stats.waited_ns != rows[i].waited ||
		    stats.attempts != rows[i].attempts ||
		    stats.cut_off != rows[i].cut_off || stats.calls != 1)
			fail_msg("row %zu: at %ju ns, after %ju attempts", i,
			         (uintmax_t)pmz_sim_now(&sim),
			         (uintmax_t)stats.attempts);
		pmz_pipe_free(pipe);
	}
}

static void what_a_call_brings_along_counts(void **state)
{
	pmz_pipe *pipe = pipe_of("try 1s | rate 10/s burst 10");
	pmz_script script = script_of("hang");
	pmz_ask ask;
	pmz_sim sim;

	(void)state;
	memset(&ask, 0, sizeof(ask));
	ask.size = sizeof(ask);
	ask.deadline = PMZ_MS(5300);
	ask.tokens = 10;
	pmz_sim_start(&sim, PMZ_S(5), 1);
	expect_status(pmz_sim_run(&sim, &script, pipe, &ask, NULL),
	              PMZ_TIMED_OUT);
	assert_int_equal(pmz_sim_now(&sim), PMZ_MS(5300));
	ask.deadline = 0;
	expect_status(pmz_sim_run(&sim, &script, pipe, &ask, NULL),
	              PMZ_REFUSED_RATE);
	ask.size = 1;
	expect_status(pmz_sim_run(&sim, &script, pipe, &ask, NULL),
	              PMZ_E_CONFIG);
	pmz_pipe_free(pipe);
}

static void a_refusal_says_when_to_ask_again(void **state)
{
	pmz_pipe *pipe = pipe_of("rate 1/s burst 1");
	pmz_script script = script_of("ok 10ms");
	pmz_sim sim;
	pmz_why why;

	(void)state;
	pmz_sim_start(&sim, PMZ_S(5), 1);
	expect_status(pmz_sim_run(&sim, &script, pipe, NULL, &why), PMZ_OK);
	assert_int_equal(why.ready_at, 0);
	assert_string_equal(why.text, "ok");
	expect_status(pmz_sim_run(&sim, &script, pipe, NULL, &why),
	              PMZ_REFUSED_RATE);
	assert_int_equal(why.ready_at, PMZ_S(6));
	assert_string_equal(why.text, "over the rate");
	assert_int_equal(pmz_sim_go(&sim, why.ready_at - 1), PMZ_S(6) - 1);
	expect_status(pmz_sim_run(&sim, &script, pipe, NULL, &why),
	              PMZ_REFUSED_RATE);
	pmz_sim_go(&sim, why.ready_at);
	expect_status(pmz_sim_run(&sim, &script, pipe, NULL, &why), PMZ_OK);
	assert_int_equal(stats_of(&sim).calls, 4);
	assert_int_equal(stats_of(&sim).attempts, 2);
	pmz_pipe_free(pipe);
}

static void a_missing_time_out_is_found_and_nothing_stays_taken(void **state)
{
	pmz_pipe *pipe = pipe_of("bulkhead 1 | tries 3");
	pmz_script hang = script_of("1s hang | ok");
	pmz_sim sim;
	pmz_why why;

	(void)state;
	pmz_sim_start(&sim, 0, 1);
	expect_status(pmz_sim_run(&sim, &hang, pipe, NULL, &why),
	              PMZ_CANCELLED);
	assert_string_equal(why.text, "an attempt hangs: the pipe has neither "
	                              "try nor total to cut it off");
	assert_int_equal(pmz_sim_now(&sim), 0);
	expect_status(pmz_sim_run(&sim, &hang, pipe, NULL, NULL),
	              PMZ_CANCELLED);
	pmz_sim_pass(&sim, PMZ_S(1));
	expect_status(pmz_sim_run(&sim, &hang, pipe, NULL, &why), PMZ_OK);
	pmz_pipe_free(pipe);
}

static void a_call_that_retries_for_ever_is_found(void **state)
{
	pmz_pipe *pipe = pipe_of("tries 4000000 backoff 1ns..1ns jitter none");
	pmz_script script = script_of("fail");
	pmz_sim sim;
	pmz_why why;

	(void)state;
	pmz_sim_start(&sim, 0, 1);
	expect_status(pmz_sim_run(&sim, &script, pipe, NULL, &why),
	              PMZ_CANCELLED);
	assert_string_equal(why.text, "the call does not end: bound its tries "
	                              "or its total");
	assert_int_equal(stats_of(&sim).attempts, 500000);
	pmz_pipe_free(pipe);
}

/* A call every 100 ms of a minute, of which the dependency is down for 20 s. */
static unsigned live_through_an_outage(pmz_sim *sim)
{
	pmz_script script = script_of("20s ok 5ms..15ms | 20s hang | "
	                              "20s ok 5ms..15ms");
	pmz_pipe *pipe = pipe_of("breaker 50% over 5s min 10 open 1s..4s "
	                         "close 1 | try 50ms");
	pmz_ns tick;
	unsigned served = 0;

	pmz_sim_start(sim, 0, 1);
	for (tick = 0; tick < PMZ_S(60); tick += PMZ_MS(100)) {
		pmz_sim_go(sim, tick);
		served += !pmz_sim_run(sim, &script, pipe, NULL, NULL);
	}
	pmz_pipe_free(pipe);
	return served;
}

static void an_outage_costs_few_attempts_and_few_calls_after_it(void **state)
{
	pmz_sim_stats stats;
	pmz_sim sim;
	unsigned served;

	(void)state;
	served = live_through_an_outage(&sim);
	stats = stats_of(&sim);
	assert_int_equal(stats.calls, 600);
	/* Of 400 that come to a healthy one, the last rest takes up to 4 s. */
	assert_in_range(served, 400 - 41, 400);
	/* Half of 5 s of calls have failed by the 25th; then one each rest. */
	assert_in_range(stats.cut_off, 25, 40);
	assert_int_equal(stats.attempts, served + stats.cut_off);
}

static void the_same_seed_replays_every_attempt(void **state)
{
	pmz_script script = script_of("fail 50% 1ms..9ms");
	pmz_pipe *pipe = pipe_of("try 8ms");
	pmz_sim one, same, other;
	unsigned i, differ = 0;

	(void)state;
	pmz_sim_start(&one, 0, 42);
	pmz_sim_start(&same, 0, 42);
	pmz_sim_start(&other, 0, 43);
	for (i = 0; i < 100; i++) {
		int status = pmz_sim_run(&one, &script, pipe, NULL, NULL);

		expect_status(pmz_sim_run(&same, &script, pipe, NULL, NULL),
		              status);
		differ += status !=
		          pmz_sim_run(&other, &script, pipe, NULL, NULL);
		assert_int_equal(pmz_sim_now(&one), pmz_sim_now(&same));
	}
	assert_in_range(differ, 20, 80);
	pmz_pipe_free(pipe);
}

static void its_size_is_there_for_those_who_cannot_ask_the_header(void **state)
{
	pmz_sim_stats stats;
	pmz_sim sim;

	(void)state;
	assert_int_equal(pmz_sim_size(), sizeof(pmz_sim));
	pmz_sim_start(&sim, 0, 1);
	memset(&stats, 0, sizeof(stats));
	expect_status(pmz_sim_read(&sim, &stats), PMZ_E_CONFIG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_clock_moves_only_when_told),
		cmocka_unit_test(the_clock_goes_back_only_by_force),
		cmocka_unit_test(the_clock_never_reaches_never),
		cmocka_unit_test(an_attempt_ends_by_the_script_or_when_due),
		cmocka_unit_test(a_hang_that_nothing_ends_leaves_the_clock_alone),
		cmocka_unit_test(a_script_plays_from_where_its_clock_started),
		cmocka_unit_test(a_call_takes_the_time_of_its_attempts_and_waits),
		cmocka_unit_test(what_a_call_brings_along_counts),
		cmocka_unit_test(a_refusal_says_when_to_ask_again),
		cmocka_unit_test(a_missing_time_out_is_found_and_nothing_stays_taken),
		cmocka_unit_test(a_call_that_retries_for_ever_is_found),
		cmocka_unit_test(an_outage_costs_few_attempts_and_few_calls_after_it),
		cmocka_unit_test(the_same_seed_replays_every_attempt),
		cmocka_unit_test(
			its_size_is_there_for_those_who_cannot_ask_the_header),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
