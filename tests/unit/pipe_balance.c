/*
 * pipe_balance.c - a pipe whose attempts go to the endpoints of a balancer.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <pipemaze.h>

#define NOW PMZ_S(1000)
#define ENDPOINTS 3

typedef struct fixture {
	pmz_pipe *pipe;
	pmz_balance *balance;
	uint32_t endpoint[ENDPOINTS];
} fixture;

static pmz_pipe_rules rules_of(const pmz_pipe *pipe)
{
	pmz_pipe_rules rules;

	rules.size = sizeof(rules);
	assert_int_equal(pmz_pipe_read(pipe, &rules), PMZ_OK);
	return rules;
}

static fixture start(const char *line)
{
	fixture f;
	pmz_why why;
	char name[16];
	int i;

	if (pmz_pipe_from(&f.pipe, line, NULL, &why) != PMZ_OK)
		fail_msg("column %u: %s", why.column, why.text);
	f.balance = rules_of(f.pipe).balance;
	for (i = 0; i < ENDPOINTS; i++) {
		snprintf(name, sizeof(name), "10.0.0.%d:80", i + 1);
		assert_int_equal(pmz_balance_add(f.balance, name, 1, NOW,
		                                 &f.endpoint[i]),
		                 PMZ_OK);
	}
	return f;
}

static uint32_t in_flight(const fixture *f)
{
	uint32_t sum = 0;
	int i;

	for (i = 0; i < ENDPOINTS; i++) {
		pmz_endpoint_stats stats;

		stats.size = sizeof(stats);
		assert_int_equal(pmz_balance_read(f->balance, f->endpoint[i],
		                                  NOW, &stats),
		                 PMZ_OK);
		sum += stats.in_flight;
	}
	return sum;
}

static void stop(fixture *f)
{
	assert_int_equal(in_flight(f), 0);
	pmz_pipe_free(f->pipe);
}

static void without_a_balancer_there_is_no_endpoint(void **state)
{
	pmz_pipe *pipe;
	pmz_call call;

	(void)state;
	assert_int_equal(pmz_pipe_from(&pipe, "tries 2", NULL, NULL), PMZ_OK);
	assert_int_equal(pmz_call_begin(&call, pipe, NULL, NOW), PMZ_TRY);
	assert_int_equal(pmz_call_endpoint(&call), PMZ_NO_ENDPOINT);
	assert_int_equal(pmz_call_settle(&call, PMZ_SUCCESS, NOW), PMZ_DONE);
	pmz_pipe_free(pipe);
}

static void a_retry_goes_to_an_endpoint_that_was_not_tried(void **state)
{
	static const char *const lines[] = {
		"balance least | tries 3",  "balance ewma | tries 3",
		"balance robin | tries 3",  "balance random | tries 3",
		"tries 3 | balance key",
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		fixture f = start(lines[i]);
		uint32_t seen = 0;
		pmz_call call;
		pmz_step step = pmz_call_begin(&call, f.pipe, NULL, NOW);

		while (step != PMZ_DONE) {
			if (step == PMZ_WAIT) {
				step = pmz_call_resume(&call,
				                       pmz_call_due(&call));
				continue;
			}
			seen |= 1u << pmz_call_endpoint(&call);
			assert_int_equal(in_flight(&f), 1);
			step = pmz_call_settle(&call, PMZ_FAILURE, NOW);
		}
		assert_int_equal(pmz_call_status(&call), PMZ_GAVE_UP);
		assert_int_equal(seen, 7);
		stop(&f);
	}
}

static void outcomes_feed_the_detector(void **state)
{
	fixture f = start("balance robin eject 2 consecutive base 10s most 50%");
	uint32_t bad = f.endpoint[1], i, after = 0;

	(void)state;
	for (i = 0; i < 60; i++) {
		pmz_call call;
		uint32_t endpoint;

		assert_int_equal(pmz_call_begin(&call, f.pipe, NULL, NOW),
		                 PMZ_TRY);
		endpoint = pmz_call_endpoint(&call);
		after += i >= 30 && endpoint == bad;
		assert_int_equal(pmz_call_settle(&call,
		                                 endpoint == bad ? PMZ_FAILURE :
		                                                   PMZ_SUCCESS,
		                                 NOW),
		                 PMZ_DONE);
	}
	assert_int_equal(after, 0);
	stop(&f);
}

static void without_endpoints_a_call_is_refused_and_holds_nothing(void **state)
{
	pmz_bulkhead_stats slots;
	pmz_pipe *pipe;
	pmz_call call;

	(void)state;
	assert_int_equal(pmz_pipe_from(&pipe, "bulkhead 2 | balance least",
	                               NULL, NULL),
	                 PMZ_OK);
	assert_int_equal(pmz_call_begin(&call, pipe, NULL, NOW), PMZ_DONE);
	assert_int_equal(pmz_call_status(&call), PMZ_REFUSED_EMPTY);
	assert_int_equal(pmz_call_due(&call), PMZ_NEVER);
	slots.size = sizeof(slots);
	assert_int_equal(pmz_bulkhead_read(rules_of(pipe).bulkhead, &slots),
	                 PMZ_OK);
	assert_int_equal(slots.in_use, 0);
	pmz_pipe_free(pipe);
}

static void a_call_over_the_rate_or_cancelled_leaves_its_endpoint(void **state)
{
	fixture f = start("rate 1/h | balance least");
	pmz_call first, second;

	(void)state;
	assert_int_equal(pmz_call_begin(&first, f.pipe, NULL, NOW), PMZ_TRY);
	assert_int_equal(pmz_call_begin(&second, f.pipe, NULL, NOW), PMZ_DONE);
	assert_int_equal(pmz_call_status(&second), PMZ_REFUSED_RATE);
	assert_int_equal(in_flight(&f), 1);
	pmz_call_cancel(&first, NOW);
	stop(&f);
}

static void a_key_keeps_its_endpoint(void **state)
{
	fixture f = start("balance key");
	uint32_t spread = 0, i, again;

	(void)state;
	for (i = 0; i < 64; i++) {
		uint32_t endpoint = PMZ_NO_ENDPOINT;
		pmz_ask ask;

		memset(&ask, 0, sizeof(ask));
		ask.size = sizeof(ask);
		ask.hash = pmz_hash(&i, sizeof(i), 0);
		for (again = 0; again < 3; again++) {
			pmz_call call;

			assert_int_equal(pmz_call_begin(&call, f.pipe, &ask,
			                                NOW),
			                 PMZ_TRY);
			if (again)
				assert_int_equal(pmz_call_endpoint(&call),
				                 endpoint);
			endpoint = pmz_call_endpoint(&call);
			assert_int_equal(pmz_call_settle(&call, PMZ_SUCCESS,
			                                 NOW),
			                 PMZ_DONE);
		}
		spread |= 1u << endpoint;
	}
	assert_int_equal(spread, 7);
	stop(&f);
}

static void a_reload_keeps_the_endpoints_or_points_at_the_stage(void **state)
{
	fixture f = start("balance least base 10s");
	pmz_why why;

	(void)state;
	assert_int_equal(pmz_pipe_reload(f.pipe, "total 1s", NOW, &why),
	                 PMZ_OK);
	assert_null(rules_of(f.pipe).balance);
	assert_int_equal(pmz_pipe_reload(f.pipe, "total 1s | balance ewma", NOW,
	                                 &why),
	                 PMZ_E_CONFIG);
	assert_int_equal(why.column, 12);
	assert_int_equal(pmz_pipe_reload(f.pipe, "balance least base 10s", NOW,
	                                 &why),
	                 PMZ_OK);
	assert_ptr_equal(rules_of(f.pipe).balance, f.balance);
	stop(&f);
}

static void a_shared_balancer_has_no_stage(void **state)
{
	pmz_pipe_config shared;
	pmz_balance *balance;
	pmz_pipe *pipe;
	pmz_why why;

	(void)state;
	memset(&shared, 0, sizeof(shared));
	shared.size = sizeof(shared);
	assert_int_equal(pmz_balance_new(&balance, NULL, &why), PMZ_OK);
	shared.balance = balance;
	assert_int_equal(pmz_pipe_from(&pipe, "tries 2 | balance least",
	                               &shared, &why),
	                 PMZ_E_CONFIG);
	assert_int_equal(why.column, 11);
	assert_int_equal(pmz_pipe_from(&pipe, "", &shared, &why), PMZ_OK);
	assert_ptr_equal(rules_of(pipe).balance, balance);
	pmz_pipe_free(pipe);
	pmz_balance_free(balance);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_a_balancer_there_is_no_endpoint),
		cmocka_unit_test(a_retry_goes_to_an_endpoint_that_was_not_tried),
		cmocka_unit_test(outcomes_feed_the_detector),
		cmocka_unit_test(
			without_endpoints_a_call_is_refused_and_holds_nothing),
		cmocka_unit_test(
			a_call_over_the_rate_or_cancelled_leaves_its_endpoint),
		cmocka_unit_test(a_key_keeps_its_endpoint),
		cmocka_unit_test(
			a_reload_keeps_the_endpoints_or_points_at_the_stage),
		cmocka_unit_test(a_shared_balancer_has_no_stage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
