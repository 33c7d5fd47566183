/*
 * bucket.cc - the bucket's word: no interleaving grants more than the burst.
 */
#include <pipemaze/bucket.h>

#include "search.h"

extern "C" {
#include "base/alloc.h"
}

static const pmz_ns now = PMZ_S(100);
static pmz_rate rate;
static pmz_bucket *bucket;
static pmz_ns reserved[3];
static unsigned granted;

/* One token a second. */
static void begin(uint64_t burst)
{
	int status = pmz_rate_set(&rate, 1, PMZ_S(1), burst);

	bucket = static_cast<pmz_bucket *>(pmz__alloc(sizeof(*bucket)));
	granted = 0;
	must(status == PMZ_OK, "the rate is set");
}

static void take(unsigned n)
{
	pmz_ns ready_at;

	if (pmz_bucket_take(bucket, &rate, n, now, &ready_at) == PMZ_OK)
		granted += n;
}

static void begin_with_2()
{
	begin(2);
}

static void begin_with_3()
{
	begin(3);
}

static void take_one(unsigned)
{
	take(1);
}

static void take_two_singly(unsigned)
{
	take(1);
	take(1);
}

static void take_one_or_two(unsigned thread)
{
	take(1 + thread % 2);
}

static void two_are_granted()
{
	must(granted == 2, "two tokens are granted");
}

static void three_are_granted()
{
	must(granted == 3, "three tokens are granted");
}

/* Of 1 and 2 and 1, what fits in 3 and leaves no room for another. */
static void two_or_three_are_granted()
{
	must(granted == 2 || granted == 3, "two or three are granted");
}

static void begin_empty()
{
	begin(2);
	take(2);
}

static void begin_with_2_of_3()
{
	begin(3);
	take(1);
}

static void refund_or_take(unsigned thread)
{
	if (thread)
		return take(1);
	pmz_bucket_refund(bucket, &rate, 1, now, now);
	granted--;
}

static void no_token_is_lost_or_made()
{
	unsigned i;

	for (i = 0; i < 3; i++)
		take(1);
	three_are_granted();
}

static void reserve(unsigned thread)
{
	int status = pmz_bucket_reserve(bucket, &rate, 1, now, PMZ_NEVER - 1,
	                                &reserved[thread]);

	must(status == PMZ_OK, "a place is reserved");
}

static void places_are_a_second_apart()
{
	pmz_ns sum = reserved[0] + reserved[1] + reserved[2];

	must(reserved[0] != reserved[1] && reserved[1] != reserved[2] &&
	             reserved[0] != reserved[2],
	     "no two have the same place");
	must(sum == 3 * now + PMZ_S(1 + 2 + 3),
	     "the places are the next three");
}

static void change_rate_or_take(unsigned thread)
{
	pmz_rate slower;

	if (thread)
		return take_two_singly(thread);
	must(pmz_rate_set(&slower, 1, PMZ_S(2), 3) == PMZ_OK, "it is a rate");
	pmz_bucket_rerate(bucket, &rate, &slower, now);
}

/* By the new rule, or one of the old that came before. */
static void left_is_not_more_than_before()
{
	pmz_rate slower;

	must(granted == 2, "both are granted");
	must(pmz_rate_set(&slower, 1, PMZ_S(2), 3) == PMZ_OK, "it is a rate");
	must(pmz_bucket_left(bucket, &slower, now) <= 2,
	     "at most two are left");
}

const struct check checks[] = {
	{ "of three takes two are granted", 3, FULL, 0, begin_with_2, take_one,
	  two_are_granted },
	{ "of four takes three are granted", 2, FULL, 0, begin_with_3,
	  take_two_singly, three_are_granted },
	{ "takes of several tokens stay within the burst", 3, FULL, 0,
	  begin_with_3, take_one_or_two, two_or_three_are_granted },
	{ "a refund gives one token back", 2, FULL, 0, begin_with_2_of_3,
	  refund_or_take, no_token_is_lost_or_made },
	{ "no place is reserved twice", 3, FULL, 0, begin_empty, reserve,
	  places_are_a_second_apart },
	{ "a change of the rate grants nothing", 2, FULL, 0, begin_with_3,
	  change_rate_or_take, left_is_not_more_than_before },
};
const size_t checks_count = sizeof(checks) / sizeof(*checks);
const unsigned words_max = 8;
