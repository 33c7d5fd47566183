/*
 * memory.c - the store in the process, order by order: what the scripts do in a
 * server, on a clock of the test's own.
 */
#include "expect.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "lock/link.h"
#include "lock/memory_table.h"
#include "scarce.h"

#define START (PMZ_S(1000) + 7)
#define TTL PMZ_S(30)
#define TTL_MS "30000"
#define KEEP PMZ_S(3600)
#define KEEP_MS "3600000"
#define TOMB_MS "60000"
#define US PMZ_US(1)
#define NAMES 1000

/* In the place of the protocol: what an op was told last. */
static struct {
	const pmz_lock_op *op;
	uint32_t ticket, sent, replies;
	int is_error;
	char text[200];
} told;

static void note(const pmz_lock_op *op, uint32_t ticket, const char *text,
                 size_t len, int is_error)
{
	assert_int_equal(told.sent, ticket);
	told.op = op;
	told.ticket = ticket;
	told.is_error = is_error;
	told.replies++;
	snprintf(told.text, sizeof(told.text), "%.*s", (int)len, text);
}

void pmz_lock_op_sent(pmz_lock_op *op, uint32_t ticket, pmz_ns now)
{
	(void)op;
	(void)now;
	told.sent = ticket;
}

void pmz_lock_op_reply(pmz_lock_op *op, uint32_t ticket, const char *text,
                       size_t len, pmz_ns now)
{
	(void)now;
	note(op, ticket, text, len, 0);
}

void pmz_lock_op_error(pmz_lock_op *op, uint32_t ticket, const char *text,
                       size_t len, pmz_ns now)
{
	(void)now;
	note(op, ticket, text, len, 1);
}

static pmz__node *node;
static pmz__link *here, *there;
static pmz_lock_op op, other_op;
static pmz_ns now;
static uint32_t tickets;

static int set_up(void **state)
{
	(void)state;
	memset(&told, 0, sizeof(told));
	now = START;
	node = pmz__memory_new();
	assert_non_null(node);
	here = node->type->connect(node);
	there = node->type->connect(node);
	return here && there ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	here->type->free(here);
	there->type->free(there);
	node->type->free(node);
	return scarce_live();
}

static void add(pmz_lock_order *order, const char *arg)
{
	assert_in_range(order->argc, 0, PMZ_LOCK_ARGS_MAX - 1);
	order->len[order->argc] = strlen(arg);
	order->argv[order->argc++] = arg;
}

/* `words`, split at blanks, are the command. */
static uint32_t send_by(pmz__link *link, pmz_lock_op *to, uint32_t verb,
                        const char *words)
{
	char text[600], *save = NULL, *word;
	pmz_lock_order order;

	memset(&order, 0, sizeof(order));
	snprintf(text, sizeof(text), "%s", words);
	for (word = strtok_r(text, " ", &save); word;
	     word = strtok_r(NULL, " ", &save))
		add(&order, word);
	order.verb = verb;
	order.ticket = ++tickets;
	link->type->send(link, to, &order, now);
	return order.ticket;
}

static void run(uint32_t verb, const char *words)
{
	uint32_t ticket = send_by(here, &op, verb, words);

	here->type->go_on(here, now);
	assert_int_equal(told.ticket, ticket);
	assert_ptr_equal(told.op, &op);
}

#define expect_told(want) assert_string_equal(told.text, want)

/* The commands of the protocol on the lock "job". */
#define LOCK "lock:job"
#define FENCE "{lock:job}:f"

static void acquire(const char *token)
{
	char words[300];

	snprintf(words, sizeof(words),
	         "EVALSHA sha 3 " LOCK " {lock:job}:x:%s " FENCE " %s " TTL_MS
	         " " KEEP_MS,
	         token, token);
	run(PMZ_LOCK_ACQUIRE, words);
}

static void with_token(uint32_t verb, const char *words, const char *token)
{
	char text[300];

	snprintf(text, sizeof(text), words, token, token);
	run(verb, text);
}

static void release(const char *token)
{
	with_token(PMZ_LOCK_RELEASE, "EVALSHA sha 1 " LOCK " %s", token);
}

static void abandon(const char *token)
{
	with_token(PMZ_LOCK_ABANDON,
	           "EVALSHA sha 2 " LOCK " {lock:job}:x:%s %s " TOMB_MS, token);
}

static void extend(const char *token)
{
	with_token(PMZ_LOCK_EXTEND, "EVALSHA sha 1 " LOCK " %s " TTL_MS, token);
}

static void peek(void)
{
	run(PMZ_LOCK_PEEK, "EVALSHA sha 2 " LOCK " " FENCE);
}

/* The fence of the grant that was told last. */
static uint64_t granted(void)
{
	unsigned long long code, fence, rest;

	assert_int_equal(
		sscanf(told.text, "%llu %llu %llu", &code, &fence, &rest), 3);
	assert_int_equal(code, 1);
	return fence;
}

static void a_free_lock_is_granted_with_the_time_as_its_fence(void **state)
{
	(void)state;
	acquire("a");
	assert_int_equal(granted(), START / US);
	peek();
	expect_told("1 30000 1000000000 a");
}

static void without_a_fence_key_the_fence_is_0(void **state)
{
	(void)state;
	run(PMZ_LOCK_ACQUIRE,
	    "EVAL script 2 " LOCK " {lock:job}:x:a a " TTL_MS);
	expect_told("1 0 0");
	peek();
	expect_told("1 30000 0 a");
}

static void a_held_lock_says_how_long_it_has_left_rounded_up(void **state)
{
	static const struct {
		pmz_ns passed;
		const char *told;
	} rows[] = {
		{ 0, "0 0 30000" },         { 1, "0 0 30000" },
		{ PMZ_MS(1), "0 0 29999" }, { TTL - PMZ_MS(1), "0 0 1" },
		{ TTL - 1, "0 0 1" },
	};
	size_t i;

	(void)state;
	acquire("a");
	for (i = 0; i < KIT_COUNT(rows); i++) {
		now = START + rows[i].passed;
		acquire("b");
		expect_told(rows[i].told);
	}
	now = START + TTL;
	acquire("b");
	assert_int_equal(granted(), now / US);
}

static void a_token_sent_again_is_told_the_same_fence(void **state)
{
	(void)state;
	acquire("a");
	now += PMZ_S(10);
	acquire("a");
	expect_told("2 1000000000 0");
	peek();
	expect_told("1 30000 1000000000 a");
}

static void a_token_sent_again_with_a_shorter_ttl_keeps_the_longer(void **state)
{
	(void)state;
	acquire("a");
	run(PMZ_LOCK_ACQUIRE, "EVALSHA sha 2 " LOCK " {lock:job}:x:a a 20");
	expect_told("2 0 0");
	peek();
	expect_told("1 30000 1000000000 a");
}

static void a_token_that_was_abandoned_is_granted_nothing(void **state)
{
	(void)state;
	abandon("a");
	expect_told("0");
	acquire("a");
	expect_told("-1 0 0");
	peek();
	expect_told("0 0 0 ");
	acquire("b");
	assert_int_equal(granted(), START / US);
}

static void a_tombstone_stands_to_its_last_instant(void **state)
{
	(void)state;
	abandon("a");
	now = START + PMZ_S(60) - 1;
	acquire("a");
	expect_told("-1 0 0");
	now++;
	acquire("a");
	assert_int_equal(granted(), now / US);
}

static void a_second_abandon_lets_the_tombstone_stand_longer(void **state)
{
	(void)state;
	abandon("a");
	now += PMZ_S(59);
	abandon("a");
	now += PMZ_S(59);
	acquire("a");
	expect_told("-1 0 0");
}

static void an_abandon_releases_what_the_token_holds(void **state)
{
	(void)state;
	acquire("a");
	abandon("a");
	expect_told("1");
	peek();
	expect_told("0 0 0 ");
}

static void an_abandon_leaves_another_holder_alone(void **state)
{
	(void)state;
	acquire("b");
	abandon("a");
	expect_told("-1");
	peek();
	expect_told("1 30000 1000000000 b");
	acquire("a");
	expect_told("0 0 30000");
}

static void only_its_own_token_releases_a_lock(void **state)
{
	(void)state;
	release("a");
	expect_told("0");
	acquire("a");
	release("b");
	expect_told("-1");
	release("a");
	expect_told("1");
	release("a");
	expect_told("0");
}

static void a_token_that_another_begins_with_is_another(void **state)
{
	(void)state;
	acquire("token");
	release("tok");
	expect_told("-1");
	release("token2");
	expect_told("-1");
	release("token");
	expect_told("1");
}

static void a_lease_that_has_ended_is_not_brought_back(void **state)
{
	(void)state;
	acquire("a");
	now = START + TTL;
	extend("a");
	expect_told("0");
	release("a");
	expect_told("0");
	peek();
	expect_told("0 0 0 ");
}

static void an_extension_at_the_last_instant_counts_from_there(void **state)
{
	(void)state;
	acquire("a");
	now = START + TTL - 1;
	extend("a");
	expect_told("1");
	now += TTL - 1;
	peek();
	expect_told("1 1 1000000000 a");
	now++;
	peek();
	expect_told("0 0 0 ");
}

static void an_extension_never_shortens(void **state)
{
	(void)state;
	acquire("a");
	run(PMZ_LOCK_EXTEND, "EVALSHA sha 1 " LOCK " a 10");
	expect_told("1");
	peek();
	expect_told("1 30000 1000000000 a");
}

static void another_holder_lock_is_not_extended(void **state)
{
	(void)state;
	acquire("b");
	now += PMZ_S(10);
	extend("a");
	expect_told("-1");
	peek();
	expect_told("1 20000 1000000000 b");
}

static void fences_of_one_instant_still_grow(void **state)
{
	uint64_t i;

	(void)state;
	for (i = 0; i < 10; i++) {
		acquire("a");
		assert_int_equal(granted(), START / US + i);
		release("a");
	}
}

static void a_fence_that_was_forgotten_goes_on_above_the_last(void **state)
{
	uint64_t first;

	(void)state;
	acquire("a");
	first = granted();
	release("a");
	now = START + KEEP;
	run(PMZ_LOCK_PEEK, "EVALSHA sha 2 " LOCK " " FENCE);
	acquire("b");
	assert_true(granted() > first);
	assert_int_equal(granted(), now / US);
}

static void a_clock_that_steps_back_gives_no_smaller_fence(void **state)
{
	(void)state;
	acquire("a");
	release("a");
	now = START - PMZ_S(500);
	acquire("b");
	assert_int_equal(granted(), START / US + 1);
}

static void a_clock_that_steps_back_ends_no_lease_later(void **state)
{
	(void)state;
	now = START + PMZ_S(5);
	acquire("a");
	now = START;
	acquire("b");
	expect_told("0 0 30000");
}

static void raise_to(const char *token, const char *fence)
{
	char words[300];

	snprintf(words, sizeof(words),
	         "EVALSHA sha 2 " LOCK " " FENCE " %s %s " KEEP_MS, token,
	         fence);
	run(PMZ_LOCK_RAISE, words);
}

static void a_raised_fence_is_what_the_next_one_exceeds(void **state)
{
	(void)state;
	acquire("a");
	raise_to("a", "2000000000");
	expect_told("1");
	peek();
	expect_told("1 30000 2000000000 a");
	release("a");
	acquire("b");
	assert_int_equal(granted(), 2000000001);
}

static void a_fence_is_not_raised_to_less(void **state)
{
	(void)state;
	acquire("a");
	raise_to("a", "5");
	expect_told("1");
	peek();
	expect_told("1 30000 1000000000 a");
}

static void only_the_holder_raises_the_fence(void **state)
{
	(void)state;
	raise_to("a", "2000000000");
	expect_told("0");
	acquire("b");
	assert_int_equal(granted(), START / US);
	raise_to("a", "2000000000");
	expect_told("0");
	peek();
	expect_told("1 30000 1000000000 b");
}

static void a_fence_of_64_bits_stays_whole(void **state)
{
	(void)state;
	acquire("a");
	raise_to("a", "18446744073709551614");
	peek();
	expect_told("1 30000 18446744073709551614 a");
}

static void there_are_no_replicas_to_wait_for(void **state)
{
	(void)state;
	run(PMZ_LOCK_REPLICATE, "WAIT 2 100");
	expect_told("0");
}

static void answers_come_in_order_to_their_own_ops(void **state)
{
	uint32_t first, second;
	pmz__wants wants;

	(void)state;
	here->type->wants(here, &wants);
	assert_int_equal(wants.fd, -1);
	assert_true(wants.due == PMZ_NEVER);
	first = send_by(here, &op, PMZ_LOCK_PEEK, "EVAL s 2 lock:x {lock:x}:f");
	second = send_by(here, &other_op, PMZ_LOCK_REPLICATE, "WAIT 1 1");
	assert_int_equal(told.replies, 0);
	here->type->wants(here, &wants);
	assert_true(wants.due <= now);
	here->type->forget(here, &op, now);
	here->type->go_on(here, now);
	assert_int_equal(told.replies, 1);
	assert_int_equal(told.ticket, second);
	assert_int_not_equal(first, second);
	assert_ptr_equal(told.op, &other_op);
	here->type->wants(here, &wants);
	assert_true(wants.due == PMZ_NEVER);
}

static void the_last_answer_can_be_forgotten_and_others_follow(void **state)
{
	(void)state;
	send_by(here, &op, PMZ_LOCK_REPLICATE, "WAIT 1 1");
	send_by(here, &other_op, PMZ_LOCK_REPLICATE, "WAIT 1 1");
	here->type->forget(here, &other_op, now);
	send_by(here, &op, PMZ_LOCK_REPLICATE, "WAIT 1 1");
	here->type->go_on(here, now);
	assert_int_equal(told.replies, 2);
	assert_int_equal(told.ticket, tickets);
}

static int ear_rings(const pmz__link *link)
{
	struct pollfd one;
	pmz__wants wants;

	link->type->ear_wants(link, &wants);
	one = (struct pollfd){ wants.fd, wants.events, 0 };
	return poll(&one, 1, 0) > 0;
}

static void listen_to(pmz__link *link, const char *name)
{
	expect_status(link->type->listen(link, name, now), PMZ_OK);
}

static void a_listener_is_told_of_a_release_once(void **state)
{
	(void)state;
	acquire("a");
	listen_to(there, "job");
	assert_false(ear_rings(there));
	release("a");
	assert_true(ear_rings(there));
	assert_int_equal(there->type->ear_go_on(there, now), 1);
	assert_false(ear_rings(there));
	assert_int_equal(there->type->ear_go_on(there, now), 0);
}

static void a_listener_is_told_of_an_abandon(void **state)
{
	(void)state;
	acquire("a");
	listen_to(there, "job");
	abandon("a");
	assert_true(ear_rings(there));
}

static void what_releases_nothing_is_no_notice(void **state)
{
	(void)state;
	listen_to(there, "job");
	release("a");
	acquire("a");
	release("b");
	extend("a");
	peek();
	acquire("b");
	assert_false(ear_rings(there));
}

static void a_listener_hears_of_its_own_name_alone(void **state)
{
	(void)state;
	listen_to(there, "jo");
	acquire("a");
	release("a");
	assert_false(ear_rings(there));
}

static void who_listens_to_the_next_name_hears_no_more_of_the_last(void **state)
{
	(void)state;
	listen_to(there, "job");
	acquire("a");
	release("a");
	listen_to(there, "other");
	assert_false(ear_rings(there));
	acquire("a");
	release("a");
	assert_false(ear_rings(there));
}

/* Between a try and the wait after it a notice may come. */
static void listening_again_to_the_same_name_loses_no_notice(void **state)
{
	(void)state;
	listen_to(there, "job");
	acquire("a");
	release("a");
	listen_to(there, "job");
	assert_true(ear_rings(there));
}

static void a_link_that_listens_can_go_before_the_release(void **state)
{
	pmz__link *third = node->type->connect(node);

	(void)state;
	acquire("a");
	listen_to(there, "job");
	listen_to(third, "job");
	third->type->free(third);
	release("a");
	assert_true(ear_rings(there));
}

static void before_it_listens_a_link_has_no_ear(void **state)
{
	pmz__wants wants;

	(void)state;
	there->type->ear_wants(there, &wants);
	assert_int_equal(wants.fd, -1);
	assert_int_equal(there->type->ear_go_on(there, now), 0);
}

/* One lock of its own for each number, granted and left to end. */
static void acquire_numbered(int i)
{
	char words[300];

	snprintf(words, sizeof(words),
	         "EVALSHA sha 3 lock:%d {lock:%d}:x:t {lock:%d}:f t 100 200", i,
	         i, i);
	run(PMZ_LOCK_ACQUIRE, words);
	granted();
}

static void a_thousand_names_that_have_ended_are_swept_away(void **state)
{
	int before = scarce_live(), i;

	(void)state;
	for (i = 0; i < NAMES; i++)
		acquire_numbered(i);
	assert_true(scarce_live() >= before + 2 * NAMES);
	now += PMZ_MS(200);
	for (i = 0; i < NAMES; i++)
		release("none");
	assert_int_equal(scarce_live(), before);
}

static void a_stream_of_names_takes_no_more_than_what_lives(void **state)
{
	int most = 0, i;

	(void)state;
	/* Each ms a lock, for 100, and a fence, for 200. */
	for (i = 0; i < 20 * NAMES; i++) {
		acquire_numbered(i);
		now += PMZ_MS(1);
		most = scarce_live() > most ? scarce_live() : most;
	}
	assert_in_range(most, 300, 1200);
}

static void names_that_are_held_are_found_among_thousands(void **state)
{
	int i;

	(void)state;
	for (i = 0; i < 5 * NAMES; i++)
		acquire_numbered(i);
	for (i = 0; i < 5 * NAMES; i++) {
		char words[100];

		snprintf(words, sizeof(words), "EVALSHA sha 1 lock:%d t", i);
		run(PMZ_LOCK_RELEASE, words);
		expect_told("1");
	}
}

static void a_chain_stays_as_short_as_it_began(void **state)
{
	const pmz__word nothing = { "", 0 };
	pmz__table table;
	int i;

	(void)state;
	assert_int_equal(pmz__table_open(&table), 0);
	for (i = 0; i < NAMES; i++) {
		pmz__word key = { (const char *)&i, sizeof(i) };

		assert_null(pmz__table_find(&table, key, 0));
		assert_non_null(pmz__table_add(&table, key, nothing, 1));
		assert_true(table.count <= table.size);
	}
	pmz__table_close(&table);
}

static void a_store_without_memory_says_so_and_grants_nothing(void **state)
{
	unsigned nth;

	(void)state;
	for (nth = 1;; nth++) {
		scarce_fail(nth);
		acquire("a");
		if (!scarce_end())
			break;
		assert_int_equal(told.is_error, 1);
		assert_memory_equal(told.text, "OOM ", 4);
		peek();
		expect_told("0 0 0 ");
	}
	assert_int_equal(nth, 4);
	/* Fences that nobody got are passed over. */
	expect_between(granted(), START / US, START / US + 3);
}

static void an_abandon_without_memory_lets_go_all_the_same(void **state)
{
	(void)state;
	acquire("a");
	scarce_fail(2);
	abandon("a");
	expect_told("1");
	assert_int_equal(scarce_end(), 1);
}

static void a_table_that_cannot_grow_goes_on(void **state)
{
	int i;

	(void)state;
	scarce_limit(512);
	for (i = 0; i < NAMES; i++)
		acquire_numbered(i);
	scarce_limit(0);
	run(PMZ_LOCK_RELEASE, "EVALSHA sha 1 lock:0 t");
	expect_told("1");
}

static void a_store_needs_memory_to_begin_with(void **state)
{
	int before = scarce_live();
	unsigned nth;

	(void)state;
	for (nth = 1; nth <= 2; nth++) {
		scarce_fail(nth);
		assert_null(pmz__memory_new());
		assert_int_equal(scarce_live(), before);
	}
	scarce_fail(1);
	assert_null(node->type->connect(node));
	scarce_end();
}

static void two_stores_know_nothing_of_each_other(void **state)
{
	pmz__node *second = pmz__memory_new();
	pmz__link *link = second->type->connect(second);

	(void)state;
	acquire("a");
	send_by(link, &op, PMZ_LOCK_PEEK, "EVAL s 2 " LOCK " " FENCE);
	link->type->go_on(link, now);
	expect_told("0 0 0 ");
	link->type->free(link);
	second->type->free(second);
}

static void answers_that_nobody_fetched_go_with_their_link(void **state)
{
	int before = scarce_live();
	pmz__link *link = node->type->connect(node);

	(void)state;
	send_by(link, &op, PMZ_LOCK_REPLICATE, "WAIT 1 1");
	send_by(link, &op, PMZ_LOCK_REPLICATE, "WAIT 1 1");
	link->type->free(link);
	assert_int_equal(scarce_live(), before);
	assert_int_equal(told.replies, 0);
}

#define row(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		row(a_free_lock_is_granted_with_the_time_as_its_fence),
		row(without_a_fence_key_the_fence_is_0),
		row(a_held_lock_says_how_long_it_has_left_rounded_up),
		row(a_token_sent_again_is_told_the_same_fence),
		row(a_token_sent_again_with_a_shorter_ttl_keeps_the_longer),
		row(a_token_that_was_abandoned_is_granted_nothing),
		row(a_tombstone_stands_to_its_last_instant),
		row(a_second_abandon_lets_the_tombstone_stand_longer),
		row(an_abandon_releases_what_the_token_holds),
		row(an_abandon_leaves_another_holder_alone),
		row(only_its_own_token_releases_a_lock),
		row(a_token_that_another_begins_with_is_another),
		row(a_lease_that_has_ended_is_not_brought_back),
		row(an_extension_at_the_last_instant_counts_from_there),
		row(an_extension_never_shortens),
		row(another_holder_lock_is_not_extended),
		row(fences_of_one_instant_still_grow),
		row(a_fence_that_was_forgotten_goes_on_above_the_last),
		row(a_clock_that_steps_back_gives_no_smaller_fence),
		row(a_clock_that_steps_back_ends_no_lease_later),
		row(a_raised_fence_is_what_the_next_one_exceeds),
		row(a_fence_is_not_raised_to_less),
		row(only_the_holder_raises_the_fence),
		row(a_fence_of_64_bits_stays_whole),
		row(there_are_no_replicas_to_wait_for),
		row(answers_come_in_order_to_their_own_ops),
		row(the_last_answer_can_be_forgotten_and_others_follow),
		row(a_listener_is_told_of_a_release_once),
		row(a_listener_is_told_of_an_abandon),
		row(what_releases_nothing_is_no_notice),
		row(a_listener_hears_of_its_own_name_alone),
		row(who_listens_to_the_next_name_hears_no_more_of_the_last),
		row(listening_again_to_the_same_name_loses_no_notice),
		row(a_link_that_listens_can_go_before_the_release),
		row(before_it_listens_a_link_has_no_ear),
		row(a_thousand_names_that_have_ended_are_swept_away),
		row(a_stream_of_names_takes_no_more_than_what_lives),
		row(names_that_are_held_are_found_among_thousands),
		row(a_chain_stays_as_short_as_it_began),
		row(a_store_without_memory_says_so_and_grants_nothing),
		row(an_abandon_without_memory_lets_go_all_the_same),
		row(a_table_that_cannot_grow_goes_on),
		row(a_store_needs_memory_to_begin_with),
		row(two_stores_know_nothing_of_each_other),
		row(answers_that_nobody_fetched_go_with_their_link),
	};

	return cmocka_run_group_tests_name("memory", tests, NULL, NULL);
}
