/*
 * edge.c - the clock, sleeping and pmz_run() on the machine as it is.
 */
#include "expect.h"

#include <signal.h>
#include <string.h>
#include <sys/time.h>

#include <pipemaze/edge.h>

static pmz_pipe *pipe_of(const char *line)
{
	pmz_pipe *pipe;
	pmz_why why;

	if (pmz_pipe_from(&pipe, line, NULL, &why))
		fail_msg("column %u: %s", (unsigned)why.column, why.text);
	return pipe;
}

static void now_never_goes_back(void **state)
{
	pmz_ns before = pmz_now(), now;
	unsigned i;

	(void)state;
	for (i = 0; i < 10000; i++, before = now) {
		now = pmz_now();
		assert_true(now >= before);
	}
}

static void the_fast_clock_tells_what_the_clock_does(void **state)
{
	pmz_fast_clock clock = { { 0 } };
	pmz_ns end = pmz_now() + PMZ_MS(20), before, told, last = 0;

	(void)state;
	assert_int_equal(pmz_fast_clock_size(), sizeof(clock));
	while ((before = pmz_now()) < end) {
		told = pmz_now_fast(&clock);
		assert_true(told >= last);
		assert_true(told + PMZ_US(2) >= before);
		assert_true(told <= pmz_now() + PMZ_US(2));
		last = told;
	}
}

static void a_sleep_until_the_past_returns(void **state)
{
	(void)state;
	pmz_sleep_until(0);
	pmz_sleep_until(pmz_now());
}

static void a_sleep_does_not_return_early(void **state)
{
	unsigned i;

	(void)state;
	for (i = 0; i < 20; i++) {
		pmz_ns when = pmz_now() + PMZ_US(50) * i;

		pmz_sleep_until(when);
		assert_true(pmz_now() >= when);
	}
}

static volatile sig_atomic_t signals;

static void count_signal(int number)
{
	(void)number;
	signals++;
}

static void start_storm(suseconds_t every_us)
{
	struct sigaction action;
	struct itimerval timer;

	memset(&action, 0, sizeof(action));
	action.sa_handler = count_signal;
	assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
	memset(&timer, 0, sizeof(timer));
	timer.it_value.tv_usec = timer.it_interval.tv_usec = every_us;
	assert_int_equal(setitimer(ITIMER_REAL, &timer, NULL), 0);
}

static void a_storm_of_signals_does_not_end_a_sleep(void **state)
{
	pmz_ns when;

	(void)state;
	signals = 0;
	start_storm(500);
	when = pmz_now() + PMZ_MS(30);
	pmz_sleep_until(when);
	assert_true(pmz_now() >= when);
	while (!signals)
		pmz_sleep_until(pmz_now() + PMZ_MS(1));
	start_storm(0);
}

static void random_does_not_repeat(void **state)
{
	uint64_t drawn[64];
	size_t i, j;

	(void)state;
	for (i = 0; i < KIT_COUNT(drawn); i++) {
		drawn[i] = pmz_random();
		for (j = 0; j < i; j++)
			assert_int_not_equal(drawn[i], drawn[j]);
	}
}

/* Work that does what it is told, try by try. */
struct job {
	const char *script; /* s f i a x, or ? for what is no outcome */
	unsigned tries;
	pmz_ns first_due;
};

static pmz_outcome work(pmz_ns due, void *ctx)
{
	struct job *job = ctx;

	if (!job->tries)
		job->first_due = due;
	switch (job->script[job->tries++]) {
	case 's':
		return PMZ_SUCCESS;
	case 'f':
		return PMZ_FAILURE;
	case 'i':
		return PMZ_IGNORE;
	case 'a':
		return PMZ_AGAIN;
	case 'x':
		return PMZ_FATAL;
	default:
		return (pmz_outcome)0;
	}
}

static void work_is_tried_until_it_ends(void **state)
{
	static const struct {
		const char *script;
		int status;
		unsigned tries;
	} rows[] = {
		{ "s", PMZ_OK, 1 },       { "fas", PMZ_OK, 3 },
		{ "fff", PMZ_GAVE_UP, 3 }, { "aaa", PMZ_GAVE_UP, 3 },
		{ "i", PMZ_ENDED, 1 },    { "fx", PMZ_ENDED, 2 },
	};
	pmz_pipe *pipe = pipe_of("tries 3 backoff 1us..10us");
	pmz_why why;
	size_t i;

	(void)state;
	for (i = 0; i < KIT_COUNT(rows); i++) {
		struct job job = { .script = rows[i].script };

		kit_expect_row(i, pmz_run(pipe, NULL, work, &job, &why),
		               rows[i].status, pmz_status_name);
		assert_int_equal(job.tries, rows[i].tries);
		assert_int_equal(job.first_due, PMZ_NEVER);
		assert_string_equal(why.text, pmz_status_text(rows[i].status));
		assert_int_equal(why.ready_at, 0);
	}
	pmz_pipe_free(pipe);
}

static void work_is_told_when_to_give_up(void **state)
{
	pmz_pipe *pipe = pipe_of("try 10s | total 30s");
	struct job job = { .script = "ss" };
	pmz_ask ask = { .size = sizeof(ask) };
	pmz_ns from = pmz_now(), to;

	(void)state;
	expect_status(pmz_run(pipe, NULL, work, &job, NULL), PMZ_OK);
	to = pmz_now();
	expect_between(job.first_due, from + PMZ_S(10), to + PMZ_S(10));
	job.tries = 0;
	ask.deadline = to + PMZ_S(5);
	expect_status(pmz_run(pipe, &ask, work, &job, NULL), PMZ_OK);
	assert_int_equal(job.first_due, to + PMZ_S(5));
	pmz_pipe_free(pipe);
}

static void a_refusal_says_when_to_return(void **state)
{
	pmz_pipe *pipe = pipe_of("rate 1/h burst 1");
	struct job job = { .script = "ss" };
	pmz_ns from = pmz_now(), to;
	pmz_why why;

	(void)state;
	expect_status(pmz_run(pipe, NULL, work, &job, &why), PMZ_OK);
	to = pmz_now();
	expect_status(pmz_run(pipe, NULL, work, &job, &why), PMZ_REFUSED_RATE);
	expect_between(why.ready_at, from + PMZ_S(3600), to + PMZ_S(3600));
	assert_string_equal(why.text, pmz_status_text(PMZ_REFUSED_RATE));
	expect_status(pmz_run(pipe, NULL, work, &job, NULL), PMZ_REFUSED_RATE);
	assert_int_equal(job.tries, 1);
	pmz_pipe_free(pipe);
}

static void a_refusal_without_an_instant_says_never(void **state)
{
	pmz_pipe *pipe = pipe_of("budget 1% floor 0/s | "
	                         "tries 2 backoff 1us..1us");
	struct job job = { .script = "ff" };
	pmz_why why;

	(void)state;
	expect_status(pmz_run(pipe, NULL, work, &job, &why),
	              PMZ_REFUSED_BUDGET);
	assert_int_equal(why.ready_at, PMZ_NEVER);
	assert_int_equal(job.tries, 1);
	pmz_pipe_free(pipe);
}

static void what_is_no_outcome_ends_the_call_and_gives_all_back(void **state)
{
	pmz_pipe *pipe = pipe_of("bulkhead 1 | tries 3 backoff 1us..1us");
	struct job job = { .script = "f??s" };
	pmz_why why;

	(void)state;
	expect_status(pmz_run(pipe, NULL, work, &job, &why), PMZ_E_STATE);
	assert_int_equal(job.tries, 2);
	assert_string_equal(why.text,
	                    "the work returned 0, which is no pmz_outcome");
	expect_status(pmz_run(pipe, NULL, work, &job, NULL), PMZ_E_STATE);
	expect_status(pmz_run(pipe, NULL, work, &job, NULL), PMZ_OK);
	pmz_pipe_free(pipe);
}

static void an_ask_of_no_size_is_an_error(void **state)
{
	pmz_pipe *pipe = pipe_of("total 1s");
	struct job job = { .script = "s" };
	pmz_ask ask = { .size = 1 };
	pmz_why why;

	(void)state;
	expect_status(pmz_run(pipe, &ask, work, &job, &why), PMZ_E_CONFIG);
	assert_int_equal(job.tries, 0);
	assert_int_equal(why.ready_at, 0);
	pmz_pipe_free(pipe);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(now_never_goes_back),
		cmocka_unit_test(the_fast_clock_tells_what_the_clock_does),
		cmocka_unit_test(a_sleep_until_the_past_returns),
		cmocka_unit_test(a_sleep_does_not_return_early),
		cmocka_unit_test(a_storm_of_signals_does_not_end_a_sleep),
		cmocka_unit_test(random_does_not_repeat),
		cmocka_unit_test(work_is_tried_until_it_ends),
		cmocka_unit_test(work_is_told_when_to_give_up),
		cmocka_unit_test(a_refusal_says_when_to_return),
		cmocka_unit_test(a_refusal_without_an_instant_says_never),
		cmocka_unit_test(
			what_is_no_outcome_ends_the_call_and_gives_all_back),
		cmocka_unit_test(an_ask_of_no_size_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
