/*
 * detect.cc - the balancer's look at the set: one for each interval, whose
 * outcomes count once, beside all that comes meanwhile.
 *
 * A look reads each slot of the library's histogram several times, and there
 * are 128 of them. run.sh compiles one with four.
 */
#include "endpoints.h"

static const pmz_ns START = PMZ_S(100), INTERVAL = PMZ_S(40), REST = PMZ_S(5);
static const pmz_ns END = START + INTERVAL, NEXT_END = END + INTERVAL;
static const pmz_ns BEFORE_END = END - PMZ_S(1), AFTER_REST = END + 2 * REST;
static const pmz_ns SLOW = PMZ_US(1);

static pmz_pick out_of[ENDPOINTS_MAX]; /* a call of each */

static pmz_balance_config config()
{
	pmz_balance_config cfg = {};

	cfg.size = sizeof(cfg);
	cfg.strategy = PMZ_LEAST;
	cfg.endpoints_max = 2;
	cfg.panic_pct = PMZ_OFF;
	cfg.eject_interval_ns = INTERVAL;
	cfg.eject_base_ns = REST;
	cfg.eject_consecutive = PMZ_OFF;
	cfg.eject_failure_pct = 50;
	cfg.eject_sigma_pct = PMZ_OFF;
	cfg.eject_calls_min = 2;
	return cfg;
}

static void settle(pmz_pick *picked, pmz_outcome how, pmz_ns now)
{
	must(pmz_balance_settle(balance, picked, how, now) == PMZ_OK,
	     "it is settled");
}

static void call(unsigned endpoint, pmz_outcome how, pmz_ns now, pmz_ns took)
{
	pmz_pick picked;

	pick(endpoint, &picked, now - took);
	settle(&picked, how, now);
}

static void succeed(unsigned endpoint, pmz_ns now)
{
	call(endpoint, PMZ_SUCCESS, now, 0);
}

static void fail(unsigned endpoint, pmz_ns now)
{
	call(endpoint, PMZ_FAILURE, now, 0);
}

/* A call of each is out when the interval begins. */
static void begin_as(const pmz_balance_config *cfg)
{
	unsigned i;

	count = cfg->endpoints_max;
	must(pmz_balance_new(&balance, cfg, NULL) == PMZ_OK, "it is made");
	for (i = 0; i < count; i++)
		add(i, START);
	for (i = 0; i < count; i++)
		pick(i, &out_of[i], START);
}

static void begin(unsigned calls_min)
{
	pmz_balance_config cfg = config();

	cfg.eject_calls_min = calls_min;
	begin_as(&cfg);
}

/* Of one that nothing else is counted of. */
static void look(unsigned endpoint, pmz_ns now)
{
	settle(&out_of[endpoint], PMZ_IGNORE, now);
}

/* Whose call stays out, and so is not counted. */
static void pick_any(pmz_ns now)
{
	pmz_pick picked;

	must(pmz_balance_pick(balance, NULL, now, &picked) == PMZ_OK,
	     "someone is there");
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

/* The first of them. */
static void must_be_ejected(unsigned times)
{
	must(stats(0, NEXT_END).ejections == times,
	     times ? "it was sent to rest once" : "it was never sent to rest");
}

/* Two that find the interval over: one by a pick, one by a settle. */

static void begin_with_failures()
{
	begin(2);
	fail(0, START);
	fail(0, START);
}

/* By the last one, of which nothing is known, some look. */
static void begin_beside_others(pmz_balance_config *cfg, pmz_outcome how)
{
	unsigned i;

	cfg->eject_failure_pct = 0;
	cfg->eject_calls_min = 1;
	begin_as(cfg);
	for (i = 0; i + 1 < count; i++)
		call(i, i ? PMZ_SUCCESS : how, START + SLOW, i ? 0 : SLOW);
}

static void begin_with_a_slow_one()
{
	pmz_balance_config cfg = config();

	cfg.endpoints_max = 4;
	cfg.eject_slow_pct = 200;
	begin_beside_others(&cfg, PMZ_SUCCESS);
}

static void begin_with_a_worse_one()
{
	pmz_balance_config cfg = config();

	cfg.endpoints_max = 6;
	cfg.eject_sigma_pct = 0;
	begin_beside_others(&cfg, PMZ_FAILURE);
}

static void look_by_any_call(unsigned thread)
{
	if (thread)
		look(count - 1, END);
	else
		pick_any(END);
}

static void the_first_is_out()
{
	must(rests(0, END) && !rests(1, END), "who deserves it rests");
	pick_any(NEXT_END);
	must_be_ejected(1);
}

/* A look that is late, while another finds the next interval over. */

static void look_at_either_end(unsigned thread)
{
	if (thread)
		look(1, NEXT_END);
	else
		pick_any(END);
}

static void it_was_judged_once()
{
	pick_any(NEXT_END + INTERVAL);
	must_be_ejected(1);
}

/* Outcomes beside a look. */

static void begin_with_one_failure()
{
	begin(2);
	fail(0, START);
}

static void succeed_or_look(unsigned thread)
{
	if (thread)
		look(1, END);
	else
		settle(&out_of[0], PMZ_SUCCESS, BEFORE_END);
}

static void succeed_or_look_by_any_call(unsigned thread)
{
	if (thread < 2)
		succeed_or_look(thread);
	else
		pick_any(END);
}

/* With the other failure of its interval, that is 2 calls in one of two. */
static void it_was_in_one_interval()
{
	fail(0, AFTER_REST);
	pick_any(NEXT_END);
	must_be_ejected(1);
}

static void begin_with_nothing()
{
	begin(1);
}

static void fail_or_look(unsigned thread)
{
	if (thread)
		look(1, END);
	else
		settle(&out_of[0], PMZ_FAILURE, BEFORE_END);
}

/* All that ever came of it failed. */
static void it_was_noticed()
{
	pick_any(NEXT_END);
	must_be_ejected(1);
}

static void ignore_or_look(unsigned thread)
{
	if (thread)
		look(1, END);
	else
		settle(&out_of[0], PMZ_IGNORE, BEFORE_END);
}

/* Two calls are asked for, and one is there. */
static void it_counts_nowhere()
{
	pick_any(NEXT_END);
	must_be_ejected(0);
}

static void begin_when_one_has_counted()
{
	begin_with_one_failure();
	pick_any(END);
}

static void ignore_or_look_again(unsigned thread)
{
	if (thread)
		look(1, NEXT_END);
	else
		settle(&out_of[0], PMZ_IGNORE, NEXT_END - 1);
}

static void no_other_counts_again()
{
	fail(0, NEXT_END);
	pick_any(NEXT_END + INTERVAL);
	must_be_ejected(0);
}

/* Both have deserved it, of whom one may rest; the second by its failures in a
 * row as well. */

static void begin_with_one_bench()
{
	pmz_balance_config cfg = config();
	unsigned i;

	cfg.eject_consecutive = 3;
	begin_as(&cfg);
	for (i = 0; i < 2; i++) {
		fail(i, START);
		fail(i, START);
	}
}

static void fail_or_look_or_read(unsigned thread)
{
	if (thread == 0)
		look(0, END);
	else if (thread == 1)
		settle(&out_of[1], PMZ_FAILURE, BEFORE_END);
	else if (rests(0, END))
		must(!rests(1, END), "who came first has the bench");
}

static void one_rests()
{
	must(rests(0, END) + rests(1, END) == 1, "one rests");
	must(stats(0, END).ejections + stats(1, END).ejections == 1,
	     "and is counted");
}

/* All may rest but the last, and of two one is drained. */

static void begin_with_benches_for_all()
{
	pmz_balance_config cfg = config();

	cfg.eject_max_pct = 100;
	begin_as(&cfg);
	fail(0, START);
	fail(0, START);
}

static void drain_or_look(unsigned thread)
{
	if (thread)
		look(1, END);
	else
		must(pmz_balance_weight(balance, endpoints[1], 0, END) ==
		             PMZ_OK,
		     "it is drained");
}

static void nobody_rests()
{
	must(!rests(0, END), "there is no other");
}

/* A number that goes to another during a look. */

static void begin_with_a_predecessor(pmz_outcome how)
{
	begin(2);
	settle(&out_of[0], how, START);
	call(0, how, START, 0);
}

static void begin_with_a_bad_one()
{
	begin_with_a_predecessor(PMZ_FAILURE);
}

static void begin_with_a_good_one()
{
	begin_with_a_predecessor(PMZ_SUCCESS);
}

static void replace_or_look(unsigned thread)
{
	const uint32_t number = endpoints[0];

	if (thread) {
		look(1, END);
		return;
	}
	must(pmz_balance_remove(balance, number, END) == PMZ_OK,
	     "it is removed");
	add(0, END);
	must(endpoints[0] == number, "another has its number");
}

static void the_new_one_is_not_out()
{
	must(!rests(0, END), "it does not rest");
	must_be_ejected(0);
	must(!stats(0, END).p95_ns, "nothing is known of it");
}

/* One in four failed. */
static void only_its_own_count()
{
	unsigned i;

	the_new_one_is_not_out();
	fail(0, AFTER_REST);
	for (i = 0; i < 3; i++)
		succeed(0, AFTER_REST);
	pick_any(NEXT_END);
	must_be_ejected(0);
}

#define TRIED_AT_RANDOM 5000

#define BOTH(claim, before, thread, after)                               \
	{ claim, 2, BOUND, 2, before, thread, after },                   \
	{                                                                \
		claim, 2, RANDOM, TRIED_AT_RANDOM, before, thread, after \
	}

const struct check checks[] = {
	BOTH("two who find the interval over make one look",
	     begin_with_failures, look_by_any_call, the_first_is_out),
	BOTH("also at who is slow", begin_with_a_slow_one, look_by_any_call,
	     the_first_is_out),
	BOTH("also at who fails more than the others", begin_with_a_worse_one,
	     look_by_any_call, the_first_is_out),
	BOTH("a late look and the next judge an interval once",
	     begin_with_failures, look_at_either_end, it_was_judged_once),
	BOTH("a call beside a look is in one interval", begin_with_one_failure,
	     succeed_or_look, it_was_in_one_interval),
	{ "also when two find the interval over", 3, RANDOM, TRIED_AT_RANDOM,
	  begin_with_one_failure, succeed_or_look_by_any_call,
	  it_was_in_one_interval },
	BOTH("a failure beside a look is not lost", begin_with_nothing,
	     fail_or_look, it_was_noticed),
	BOTH("a call ignored beside a look does not count",
	     begin_with_one_failure, ignore_or_look, it_counts_nowhere),
	BOTH("nor does another count again for it", begin_when_one_has_counted,
	     ignore_or_look_again, no_other_counts_again),
	{ "a look and failures in a row share one bench", 3, RANDOM,
	  TRIED_AT_RANDOM, begin_with_one_bench, fail_or_look_or_read,
	  one_rests },
	BOTH("the last one does not rest", begin_with_benches_for_all,
	     drain_or_look, nobody_rests),
	BOTH("who gets a number beside a look is not judged by it",
	     begin_with_a_bad_one, replace_or_look, the_new_one_is_not_out),
	BOTH("nor later by less than it did", begin_with_a_good_one,
	     replace_or_look, only_its_own_count),
};
const size_t checks_count = sizeof(checks) / sizeof(*checks);
const unsigned words_max = 512;
