/*
 * rests.cc - the balancer's rests: never more endpoints at a time than may be,
 * whoever decides about them, and whatever becomes of the set meanwhile.
 */
#include "endpoints.h"

static const pmz_ns START = PMZ_S(100), REST = PMZ_S(5);
static const pmz_ns AFTER_REST = START + 2 * REST;

static pmz_pick picks[3];

/* So many endpoints, of which half may rest; one failure suffices. */
static void begin(unsigned endpoints_count)
{
	pmz_balance_config cfg = {};
	unsigned i;

	cfg.size = sizeof(cfg);
	cfg.strategy = PMZ_LEAST;
	cfg.endpoints_max = endpoints_count;
	cfg.eject_base_ns = REST;
	cfg.eject_consecutive = 1;
	count = endpoints_count;
	must(pmz_balance_new(&balance, &cfg, NULL) == PMZ_OK, "it is made");
	for (i = 0; i < count; i++)
		add(i, START);
}

static void fail(pmz_pick *picked, pmz_ns now)
{
	must(pmz_balance_settle(balance, picked, PMZ_FAILURE, now) == PMZ_OK,
	     "it is settled");
}

static pmz_endpoint_stats stats(unsigned endpoint, pmz_ns now)
{
	pmz_endpoint_stats s = {};

	s.size = sizeof(s);
	must(pmz_balance_read(balance, endpoints[endpoint], now, &s) == PMZ_OK,
	     "it is read");
	return s;
}

static int rests(unsigned endpoint, pmz_ns now)
{
	return stats(endpoint, now).ejected_until > 0;
}

static void one_of_each_is_out(unsigned endpoints_count)
{
	begin(endpoints_count);
	pick(0, &picks[0], START);
	pick(1, &picks[1], START);
}

static void begin_with_one_bench()
{
	one_of_each_is_out(2);
}

/* One bench, also when one of the three is gone. */
static void begin_with_three()
{
	one_of_each_is_out(3);
}

static void begin_with_two_benches()
{
	one_of_each_is_out(4);
}

static void fail_own(unsigned thread)
{
	fail(&picks[thread], START);
}

static void one_rests()
{
	must(rests(0, START) + rests(1, START) == 1, "one rests");
	must(stats(0, START).ejections + stats(1, START).ejections == 1,
	     "and is counted");
}

/* One of the three looks on: at one time there is one bench. */
static void fail_own_or_look(unsigned thread)
{
	if (thread < 2)
		fail(&picks[thread], START);
	else if (rests(0, START))
		must(!rests(1, START), "who came first has the bench");
}

/* Who found no bench does not rest, and can once there is one. */
static void the_other_can_follow()
{
	unsigned first = rests(1, START), other = !first;

	one_rests();
	must(pmz_balance_weight(balance, endpoints[first], 0, START) == PMZ_OK,
	     "it is drained");
	must(!rests(first, START), "and gets up");
	pick(other, &picks[2], START);
	fail(&picks[2], START);
	must(rests(other, START), "the other rests");
}

static void begin_with_two_of_one()
{
	begin(2);
	pick(0, &picks[0], START);
	pick(0, &picks[1], START);
}

static void it_rests_once()
{
	pmz_endpoint_stats s = stats(0, START);

	must(s.ejections == 1 && s.failures == 2, "it is sent to rest once");
	must(s.ejected_until >= START + REST &&
	             s.ejected_until <= START + REST + REST / 10,
	     "for one rest");
}

/* Its rest is over, but the bench still names it. */
static void begin_after_a_rest()
{
	begin_with_one_bench();
	fail(&picks[0], START);
	must(rests(0, START) && !rests(0, AFTER_REST), "it rested");
	pick(0, &picks[0], AFTER_REST);
}

static void fail_own_after(unsigned thread)
{
	fail(&picks[thread], AFTER_REST);
}

static void one_rests_again()
{
	must(rests(0, AFTER_REST) + rests(1, AFTER_REST) == 1, "one rests");
	must(stats(0, AFTER_REST).ejections + stats(1, AFTER_REST).ejections ==
	             2,
	     "and is counted");
}

static void fail_or_drain(unsigned thread)
{
	if (!thread)
		fail(&picks[0], START);
	else
		must(pmz_balance_weight(balance, endpoints[0], 0, START) ==
		             PMZ_OK,
		     "it is drained");
}

static void the_bench_is_for_others()
{
	must(!rests(0, START), "who is drained does not rest");
	fail(&picks[1], START);
	must(rests(1, START), "another can");
}

/* With one of four drained there is one bench for three. */
static void fail_or_make_smaller(unsigned thread)
{
	if (thread < 2)
		fail(&picks[thread], START);
	else
		must(pmz_balance_weight(balance, endpoints[3], 0, START) ==
		             PMZ_OK,
		     "it is drained");
}

static void one_at_most_rests()
{
	must(rests(0, START) + rests(1, START) <= 1, "one at most rests");
}

#define TRIED_AT_RANDOM 5000

const struct check checks[] = {
	{ "of two that fail one rests", 2, BOUND, 2, begin_with_one_bench,
	  fail_own, one_rests },
	{ "who found no bench can rest later", 2, RANDOM, TRIED_AT_RANDOM,
	  begin_with_three, fail_own, the_other_can_follow },
	{ "nobody sees two at rest", 3, RANDOM, TRIED_AT_RANDOM,
	  begin_with_one_bench, fail_own_or_look, one_rests },
	{ "two who judge one send it to rest once", 2, BOUND, 2,
	  begin_with_two_of_one, fail_own, it_rests_once },
	{ "two who judge one send it to rest once", 2, RANDOM, TRIED_AT_RANDOM,
	  begin_with_two_of_one, fail_own, it_rests_once },
	{ "a bench goes to one of two", 2, BOUND, 2, begin_after_a_rest,
	  fail_own_after, one_rests_again },
	{ "who is drained takes no bench from others", 2, BOUND, 2,
	  begin_with_three, fail_or_drain, the_bench_is_for_others },
	{ "who is drained takes no bench from others", 2, RANDOM,
	  TRIED_AT_RANDOM, begin_with_three, fail_or_drain,
	  the_bench_is_for_others },
	{ "a smaller set rests fewer", 3, RANDOM, TRIED_AT_RANDOM,
	  begin_with_two_benches, fail_or_make_smaller, one_at_most_rests },
};
const size_t checks_count = sizeof(checks) / sizeof(*checks);
const unsigned words_max = 2048;
