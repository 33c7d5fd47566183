/*
 * cluster.c - locks on a Redis Cluster, while slots and masters change.
 */
#include "expect.h"

#include <stdio.h>
#include <string.h>

#include <pipemaze/edge.h>

#include "cluster.h"
#include "leases.h"

#define TTL PMZ_S(20)
#define WAIT PMZ_S(10)
/* One name of each master is among these, whatever the layout. */
#define NAMES 12

static kit_cluster *cluster;
static pmz_locks *locks;
static char text[512];

static int start_cluster(void **state)
{
	(void)state;
	cluster = kit_cluster_start(1);
	return 0;
}

static int stop_cluster(void **state)
{
	(void)state;
	kit_cluster_stop(cluster);
	return 0;
}

static pmz_locks *locks_at(const kit_redis *seed)
{
	char address[64];

	snprintf(address, sizeof(address), "redis+cluster://127.0.0.1:%u",
	         (unsigned)kit_redis_port(seed));
	return kit_locks_open(address, NULL);
}

static int start(void **state)
{
	(void)state;
	locks = kit_locks_open(kit_cluster_address(cluster), NULL);
	return 0;
}

static int stop(void **state)
{
	(void)state;
	pmz_locks_close(locks);
	locks = NULL;
	return 0;
}

static pmz_lease acquire(const char *name, pmz_ns wait)
{
	pmz_lease lease;
	pmz_why why;
	int status = pmz_lock_acquire(locks, name, TTL, wait, &lease, &why);

	if (status != PMZ_OK)
		fail_msg("%s: %s: %s", name, pmz_status_name(status), why.text);
	return lease;
}

static void release(pmz_lease *lease)
{
	expect_status(pmz_lock_release(locks, lease), PMZ_OK);
}

static const char *key_of(const char *name)
{
	static char key[160];

	snprintf(key, sizeof(key), "lock:%s", name);
	return key;
}

static kit_redis *owner_of(const char *name)
{
	return kit_cluster_owner(cluster, key_of(name));
}

static const char *holder_at(const kit_redis *node, const char *name)
{
	return kit_redis_ask(node, text, sizeof(text), "GET", key_of(name),
	                     NULL);
}

static const char *name_of(unsigned i)
{
	static char name[16];

	snprintf(name, sizeof(name), "job%u", i);
	return name;
}

/* The first of our names that this server has. */
static const char *name_at(const kit_redis *node)
{
	unsigned i = 0;

	while (owner_of(name_of(i)) != node)
		i++;
	return name_of(i);
}

static void each_master_has_the_locks_of_its_slots(void **state)
{
	unsigned i, masters = 0;

	(void)state;
	for (i = 0; i < NAMES; i++) {
		pmz_lease lease = acquire(name_of(i), 0), holder;
		kit_redis *owner = owner_of(lease.name);

		masters |= 1u << (owner == kit_cluster_node(cluster, 1));
		masters |= 4u << (owner == kit_cluster_node(cluster, 2));
		assert_string_equal(holder_at(owner, lease.name), lease.token);
		expect_status(pmz_lock_peek(locks, lease.name, &holder),
		              PMZ_OK);
		assert_string_equal(holder.token, lease.token);
		assert_int_equal(holder.fence, lease.fence);
		expect_status(pmz_lock_extend(locks, &lease, 2 * TTL), PMZ_OK);
		release(&lease);
		assert_string_equal(holder_at(owner, name_of(i)), "(nil)");
	}
	assert_int_equal(masters, 15);
}

static void any_node_is_a_door(void **state)
{
	unsigned i;

	(void)state;
	for (i = 0; i <= KIT_MASTERS; i++) {
		unsigned j;

		pmz_locks_close(locks);
		locks = locks_at(kit_cluster_node(cluster, i));
		for (j = 0; j < NAMES; j++) {
			pmz_lease lease = acquire(name_of(j), 0);

			release(&lease);
		}
	}
}

static void a_foreign_holder_is_HELD_through_any_door(void **state)
{
	const char *name = name_at(kit_cluster_node(cluster, 1));
	kit_redis *owner = owner_of(name);
	pmz_lease lease;
	pmz_why why;

	(void)state;
	kit_redis_ask(owner, text, sizeof(text), "SET", key_of(name), "V", "PX",
	              "20000", "NX", NULL);
	assert_string_equal(text, "OK");
	expect_status(pmz_lock_acquire(locks, name, TTL, 0, &lease, &why),
	              PMZ_REFUSED_HELD);
	assert_true(why.ready_at > pmz_now());
	kit_redis_ask(owner, text, sizeof(text), "DEL", key_of(name), NULL);
	assert_string_equal(text, "1");
}

static void a_release_wakes_on_every_master(void **state)
{
	unsigned i;

	(void)state;
	for (i = 0; i < KIT_MASTERS; i++) {
		kit_redis *node = kit_cluster_node(cluster, i);
		pmz_locks *others = locks_at(node);
		pmz_lease lease = acquire(name_at(node), 0);
		kit_waiter waiter;
		int64_t then;

		kit_waiter_start(&waiter, others, lease.name, TTL, WAIT);
		kit_wait_for_listeners(node, 1);
		then = kit_now();
		release(&lease);
		kit_waiter_join(&waiter);
		expect_status(waiter.status, PMZ_OK);
		assert_in_range((waiter.done_at - then) / 1000000, 0, 250);
		expect_status(pmz_lock_release(others, &waiter.lease), PMZ_OK);
		pmz_locks_close(others);
	}
}

typedef struct removal {
	kit_redis *from, *to;
	kit_move move;
	char name[16];
} removal;

/* From the first master that is not the replica's, step by step. */
static removal begin_removal(void)
{
	removal r = { .from = kit_cluster_node(cluster, 1) };

	snprintf(r.name, sizeof(r.name), "%s", name_at(r.from));
	r.to = kit_cluster_other(cluster, r.from);
	return r;
}

static void open_removal(removal *r)
{
	r->move = kit_move_begin(cluster, key_of(r->name), r->to);
}

static unsigned move_keys(removal *r, unsigned most)
{
	return kit_move_keys(cluster, &r->move, most);
}

/* The slot is empty for the next test after this. */
static void end_removal(removal *r)
{
	while (move_keys(r, 100))
		continue;
	kit_move_end(cluster, &r->move);
	assert_ptr_equal(owner_of(r->name), r->to);
}

static void a_lease_moves_with_its_slot_step_by_step(void **state)
{
	removal r = begin_removal();
	pmz_lease lease = acquire(r.name, 0);
	uint64_t fence = lease.fence;

	(void)state;
	open_removal(&r);
	expect_status(pmz_lock_extend(locks, &lease, TTL), PMZ_OK);
	while (move_keys(&r, 100))
		continue;
	expect_status(pmz_lock_extend(locks, &lease, 2 * TTL), PMZ_OK);
	kit_move_end(cluster, &r.move);
	expect_status(pmz_lock_extend(locks, &lease, 3 * TTL), PMZ_OK);
	assert_string_equal(holder_at(r.to, r.name), lease.token);
	release(&lease);
	lease = acquire(r.name, 0);
	assert_true(lease.fence > fence);
	release(&lease);
}

static void expect_granted_after_the_move(removal *r)
{
	kit_waiter waiter;
	pmz_lease lease;
	pmz_why why;

	expect_status(pmz_lock_acquire(locks, r->name, TTL, 0, &lease, &why),
	              PMZ_E_IO);
	if (!strstr(why.text, "TRYAGAIN"))
		fail_msg("no TRYAGAIN in: %s", why.text);
	kit_waiter_start(&waiter, locks, r->name, TTL, WAIT);
	kit_doze(KIT_NODE_MS);
	end_removal(r);
	kit_waiter_join(&waiter);
	expect_status(waiter.status, PMZ_OK);
	assert_string_equal(holder_at(r->to, r->name), waiter.lease.token);
	release(&waiter.lease);
}

/* Nothing of it is there, so that ASK leads to the server that gets the slot;
 * and that runs no script whose keys it does not all have. */
static void a_new_lock_of_a_moving_slot_is_granted_after_it(void **state)
{
	removal r = begin_removal();

	(void)state;
	kit_redis_ask(r.from, text, sizeof(text), "FLUSHALL", NULL);
	open_removal(&r);
	expect_granted_after_the_move(&r);
}

/* The fence is there, and no lock: neither server has all keys. */
static void a_lock_of_a_half_moved_slot_is_granted_after_it(void **state)
{
	removal r = begin_removal();
	pmz_lease lease = acquire(r.name, 0);

	(void)state;
	release(&lease);
	open_removal(&r);
	expect_granted_after_the_move(&r);
}

static void set_up_minimal_user(const kit_redis *node)
{
	kit_redis_ask(node, text, sizeof(text), "ACL", "SETUSER", "locks", "on",
	              ">word", KIT_RIGHTS, "+asking", "+cluster|slots", NULL);
	assert_string_equal(text, "OK");
	kit_redis_ask(node, text, sizeof(text), "ACL", "LOG", "RESET", NULL);
}

static void use_minimal_user(void)
{
	char address[80];
	unsigned i;

	for (i = 0; i <= KIT_MASTERS; i++)
		set_up_minimal_user(kit_cluster_node(cluster, i));
	snprintf(address, sizeof(address),
	         "redis+cluster://locks:word@127.0.0.1:%u",
	         (unsigned)kit_redis_port(kit_cluster_node(cluster, 2)));
	pmz_locks_close(locks);
	locks = kit_locks_open(address, NULL);
}

static void the_rights_that_the_header_names_are_enough(void **state)
{
	removal r = begin_removal();
	pmz_lease lease;
	unsigned i;

	(void)state;
	use_minimal_user();
	lease = acquire(r.name, 0);
	open_removal(&r);
	while (move_keys(&r, 100))
		continue;
	expect_status(pmz_lock_extend(locks, &lease, 2 * TTL), PMZ_OK);
	end_removal(&r);
	release(&lease);
	for (i = 0; i <= KIT_MASTERS; i++) {
		kit_redis_ask(kit_cluster_node(cluster, i), text, sizeof(text),
		              "ACL", "LOG", NULL);
		assert_string_equal(text, "");
	}
}

/* Nobody has told these locks. */
static void who_knows_the_old_map_is_sent_on(void **state)
{
	removal r = begin_removal();
	pmz_lease lease = acquire(r.name, 0);
	unsigned i;

	(void)state;
	release(&lease);
	open_removal(&r);
	end_removal(&r);
	for (i = 0; i < 3; i++) {
		lease = acquire(r.name, 0);
		assert_string_equal(holder_at(r.to, r.name), lease.token);
		release(&lease);
	}
}

/* The seed of these locks is the one that fails. */
static void others_go_on_and_who_waits_gets_it_after_a_failover(void **state)
{
	char failing[16], living[16];
	kit_waiter waiter;
	pmz_lease other;
	kit_redis *heir;
	int64_t then;

	(void)state;
	pmz_locks_close(locks);
	locks = locks_at(kit_cluster_node(cluster, 0));
	snprintf(failing, sizeof(failing), "%s",
	         name_at(kit_cluster_node(cluster, 0)));
	snprintf(living, sizeof(living), "%s",
	         name_at(kit_cluster_node(cluster, 2)));
	other = acquire(failing, 0);
	release(&other);
	other = acquire(living, 0);
	kit_redis_pause(kit_cluster_node(cluster, 0));
	kit_waiter_start(&waiter, locks, failing, TTL, PMZ_S(30));
	kit_doze(KIT_NODE_MS / 2);
	then = kit_now();
	expect_status(pmz_lock_extend(locks, &other, TTL), PMZ_OK);
	assert_in_range(kit_ms_since(then), 0, KIT_LATE_MS + KIT_LOADED_MS);
	heir = kit_cluster_fail_over(cluster);
	then = kit_now();
	kit_waiter_join(&waiter);
	expect_status(waiter.status, PMZ_OK);
	/* The longest wait between two tries is 1 s. */
	assert_in_range(kit_ms_since(then), 0,
	                1000 + 2 * KIT_NODE_MS + KIT_CONNECT_MS +
	                        KIT_LOADED_MS);
	assert_string_equal(holder_at(heir, failing), waiter.lease.token);
	release(&waiter.lease);
	release(&other);
}

static void all_names_are_served_by_who_is_left(void **state)
{
	unsigned i;

	(void)state;
	for (i = 0; i < NAMES; i++) {
		pmz_lease lease = acquire(name_of(i), WAIT);

		release(&lease);
	}
}

#define wire_test(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		wire_test(each_master_has_the_locks_of_its_slots),
		wire_test(any_node_is_a_door),
		wire_test(a_foreign_holder_is_HELD_through_any_door),
		wire_test(a_release_wakes_on_every_master),
		wire_test(a_new_lock_of_a_moving_slot_is_granted_after_it),
		wire_test(a_lease_moves_with_its_slot_step_by_step),
		wire_test(a_lock_of_a_half_moved_slot_is_granted_after_it),
		wire_test(the_rights_that_the_header_names_are_enough),
		wire_test(who_knows_the_old_map_is_sent_on),
		wire_test(others_go_on_and_who_waits_gets_it_after_a_failover),
		wire_test(all_names_are_served_by_who_is_left),
	};

	return cmocka_run_group_tests(tests, start_cluster, stop_cluster);
}
