/*
 * claims_locks.c - what is known to go wrong with locks elsewhere, and is shown
 * by no other test.
 *
 * The table of all such defects is in tests/unit/claims.c.
 */
#include <pipemaze/lock_proto.h>

#include "expect.h"
#include "lock_server.h"

#define TTL PMZ_S(10)
#define WAIT PMZ_S(10)
/* The first, one after each wait (50 ms that double up to 1 s, 9.55 s in all),
 * and a last look. */
#define TRIES 15u

static world w;

static unsigned tries_to_a_server_that(fault_kind how, const char *words)
{
	const uint64_t seed[2] = { 1, 2 };
	const pmz_backoff_rule rule = { .size = sizeof(rule),
		                        .base_ns = PMZ_MS(50),
		                        .max_ns = PMZ_S(1),
		                        .jitter = PMZ_JITTER_NONE,
		                        .tries_max = PMZ_OFF };
	const pmz_lock_rules rules = { .size = sizeof(rules),
		                       .nodes = 1,
		                       .backoff = &rule };
	pmz_lock_op op;
	pmz_lease lease;

	world_open(&w, 1);
	world_rule(&w, 0, ANY, ~0u, (fault){ .how = how, .text = words });
	expect_status(pmz_lock_op_acquire(&op, &rules, "job", TTL, w.now + WAIT,
	                                  seed, w.now, NULL),
	              PMZ_OK);
	world_join(&w, 0, &op);
	while (pmz_lock_op_end(&op, &lease, NULL) == PMZ_E_STATE &&
	       world_sent(&w, PMZ_LOCK_ACQUIRE, 0) <= 2 * TRIES)
		assert_true(world_step(&w));
	return world_sent(&w, PMZ_LOCK_ACQUIRE, 0);
}

/* Waits come after a refusal only, and after an error the next try at once, so
 * that all ask in a hot loop while Redis is down. Seen in an unpublished client,
 * which these locks take the place of. */
static void a_server_that_is_down_is_not_asked_in_a_hot_loop(void **state)
{
	static const struct {
		fault_kind how;
		const char *words;
		unsigned most;
	} rows[] = {
		{ REFUSED, "LOADING Redis is loading the dataset", TRIES },
		{ REFUSED, "READONLY You can't write to a replica.", TRIES },
		{ UNSENT, NULL, 2 * TRIES },
		/* Asked once more at once. */
		{ BROKEN_AFTER, NULL, 2 * TRIES },
	};
	size_t i;

	(void)state;
	for (i = 0; i < KIT_COUNT(rows); i++) {
		unsigned tries =
			tries_to_a_server_that(rows[i].how, rows[i].words);

		if (tries < 2 || tries > rows[i].most)
			fail_msg("row %zu: %u tries", i, tries);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			a_server_that_is_down_is_not_asked_in_a_hot_loop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
