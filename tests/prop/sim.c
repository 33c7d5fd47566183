/*
 * sim.c - scripts made at random are read, spoilt ones are read or pointed at,
 * and calls against them keep their times.
 */
#include <check.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pipemaze/sim.h>

#include "dice.h"

#define SCRIPTS 300 /* of each seed */
#define PHASES_MAX 6
#define TEXT_MAX 1024
#define CALLS 20

static const char *const states[] = { "ok",    "slow",   "fail", "hang",
	                              "again", "ignore", "fatal" };
#define OK_AND_SLOW 2 /* take no share, and stand first */

#define COUNT(list) (sizeof(list) / sizeof(*(list)))

static void must(int holds, int seed, const char *text)
{
	ck_assert_msg(holds, "seed %d: %s", seed, text);
}

static size_t put_phase(dice *d, char *at, int is_last)
{
	size_t state = dice_roll(d) % COUNT(states);
	uint64_t low = dice_between(d, 0, 400), more = dice_between(d, 0, 400);
	char *from = at;

	if (!is_last || dice_once_in(d, 2))
		at += sprintf(at, "%" PRIu64 "ms ", dice_between(d, 1, 3000));
	at += sprintf(at, "%s", states[state]);
	if (state >= OK_AND_SLOW && dice_once_in(d, 2))
		at += sprintf(at, " %" PRIu64 "%%", dice_between(d, 1, 100));
	if (dice_once_in(d, 3))
		at += sprintf(at, " %" PRIu64 "ms", low);
	else
		at += sprintf(at, "\t%" PRIu64 "ms..%" PRIu64 "ms", low,
		              low + more);
	return (size_t)(at - from);
}

static void write_script(dice *d, char *text)
{
	static const char *const ends[] = { "|", "\n", " | ", " # so\n\n" };
	uint64_t phases = dice_between(d, 1, PHASES_MAX);

	while (phases--) {
		text += put_phase(d, text, phases == 0);
		text += sprintf(text, "%s", ends[dice_roll(d) % COUNT(ends)]);
	}
}

static void spoil(dice *d, char *text)
{
	static const char bytes[] = "0159%.|\n #msokx\t\xff";
	size_t at = dice_roll(d) % strlen(text);

	if (dice_once_in(d, 3))
		text[at] = '\0';
	else
		text[at] = bytes[dice_roll(d) % (sizeof(bytes) - 1)];
}

/* In memory of its own size, past which a sanitizer sees. */
static int read_copy(pmz_script *out, const char *text, pmz_why *why)
{
	size_t size = strlen(text) + 1;
	char *copy = malloc(size);
	int status;

	ck_assert_ptr_nonnull(copy);
	memcpy(copy, text, size);
	status = pmz_script_from(out, copy, why);
	free(copy);
	return status;
}

static void must_point(const pmz_why *why, int seed, const char *text)
{
	const char *at = text + why->column - 1;

	must(why->column >= 1 && why->column <= strlen(text) + 1, seed, text);
	must(!strncmp(at, why->field, strlen(why->field)), seed, text);
	must(why->field[0] || strchr("|\n", *at), seed, text);
	must(strstr(why->text, "expected") != NULL, seed, text);
}

static void must_answer(const pmz_script *s, dice *d, int seed,
                        const char *text)
{
	pmz_ns since = dice_sized(d, 35), until = pmz_script_until(s, since);
	uint64_t draw = dice_roll(d);
	pmz_ns lasts, again;
	pmz_outcome how = pmz_script_attempt(s, since, draw, &lasts);

	must(until > since, seed, text);
	must(until == PMZ_NEVER || until <= pmz_script_span(s), seed, text);
	must(strstr(text, pmz_script_state(s, since)) != NULL, seed, text);
	must(lasts <= PMZ_MS(800) || (lasts == PMZ_NEVER && how == PMZ_FAILURE),
	     seed, text);
	must(pmz_script_attempt(s, since, draw, &again) == how, seed, text);
	must(again == lasts, seed, text);
}

START_TEST(a_script_is_read_and_answers_at_every_instant)
{
	dice d = dice_of(_i);
	int i;

	for (i = 0; i < SCRIPTS; i++) {
		char text[TEXT_MAX];
		pmz_script script;
		pmz_why why;

		write_script(&d, text);
		must(read_copy(&script, text, &why) == PMZ_OK, _i, text);
		must_answer(&script, &d, _i, text);
	}
}
END_TEST

START_TEST(a_spoilt_script_is_read_or_pointed_at)
{
	dice d = dice_of(_i);
	int i, wrong = 0;

	for (i = 0; i < SCRIPTS; i++) {
		char text[TEXT_MAX];
		pmz_script script;
		pmz_why why;

		write_script(&d, text);
		spoil(&d, text);
		if (read_copy(&script, text, &why) == PMZ_OK)
			continue;
		wrong++;
		must_point(&why, _i, text);
	}
	ck_assert_int_gt(wrong, SCRIPTS / 10);
}
END_TEST

static pmz_script draw_script(dice *d, int seed)
{
	char text[TEXT_MAX];
	pmz_script script;
	pmz_why why;

	write_script(d, text);
	must(read_copy(&script, text, &why) == PMZ_OK, seed, text);
	return script;
}

static pmz_sim_stats stats_of(const pmz_sim *sim)
{
	pmz_sim_stats stats;

	stats.size = sizeof(stats);
	ck_assert_int_eq(pmz_sim_read(sim, &stats), PMZ_OK);
	return stats;
}

/* Also whatever the calls before it came to. */
static void must_keep_its_times(pmz_sim *sim, const pmz_script *script,
                                pmz_pipe *pipe, int seed, const char *line)
{
	pmz_sim_stats before = stats_of(sim), after;
	pmz_ns from = pmz_sim_now(sim), spent;
	int status = pmz_sim_run(sim, script, pipe, NULL, NULL);

	spent = pmz_sim_now(sim) - from;
	after = stats_of(sim);
	must(spent <= PMZ_S(1), seed, line);
	must(after.attempts - before.attempts <= 4, seed, line);
	must(after.waited_ns - before.waited_ns <= spent, seed, line);
	must(status != PMZ_CANCELLED, seed, line);
	must(status < 64 || after.attempts > before.attempts, seed, line);
	must(status != PMZ_REFUSED_FULL, seed, line);
}

START_TEST(no_call_outlives_its_total_or_keeps_its_slot)
{
	static const char line[] =
		"bulkhead 1 | tries 4 backoff 10ms..300ms | try 250ms | "
		"total 1s | breaker 50% over 3s min 5 open 500ms..1s | "
		"rate 20/s burst 5 | wait 100ms";
	dice d = dice_of(_i);
	pmz_pipe *pipe;
	int i;

	ck_assert_int_eq(pmz_pipe_from(&pipe, line, NULL, NULL), PMZ_OK);
	for (i = 0; i < SCRIPTS / CALLS; i++) {
		pmz_script script = draw_script(&d, _i);
		pmz_sim sim;
		int call;

		pmz_sim_start(&sim, PMZ_S(100) * (pmz_ns)i, dice_roll(&d));
		for (call = 0; call < CALLS; call++)
			must_keep_its_times(&sim, &script, pipe, _i, line);
	}
	pmz_pipe_free(pipe);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("sim");
	TCase *all = tcase_create("random scripts");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, all);
	tcase_set_timeout(all, 60);
	tcase_add_loop_test(all, a_script_is_read_and_answers_at_every_instant,
	                    0, 10);
	tcase_add_loop_test(all, a_spoilt_script_is_read_or_pointed_at, 0, 30);
	tcase_add_loop_test(all, no_call_outlives_its_total_or_keeps_its_slot,
	                    0, 10);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
