/*
 * lock.c - a command that runs while a lock is held, and not longer.
 *
 * Waiting is not the default: work that is scheduled and queues behind one that
 * hangs is worse than work that is left out once.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pipemaze/edge.h>
#include <pipemaze/lock.h>

#include "tool/acquire.h"
#include "tool/args.h"
#include "tool/command.h"
#include "tool/say.h"
#include "tool/span.h"
#include "tool/tool.h"

#define ADDRESSES_MAX 32
#define ADDRESS "redis://127.0.0.1:6379"
#define REDIS_URL "REDIS_URL"
#define TTL PMZ_S(30)
#define FENCE "PIPEMAZE_FENCE"

/* Of the ttl, which is when the library reports a lease that it cannot keep: so
 * long before its end. */
#define GRACE_SHARE 10

static const char help[] =
	"Usage: pipemaze lock [--redis ADDRESS]... [--ttl T] [--wait T]\n"
	"                     [--keep] [--grace T] [--quiet]\n"
	"                     NAME -- COMMAND [ARGUMENT]...\n"
	"\n"
	"Runs the command while it holds the lock NAME, with a number in its\n"
	"environment, " FENCE ", that grows with each holder:\n"
	"\n"
	"  pipemaze lock --keep nightly -- backup /srv\n"
	"\n"
	"  --redis ADDRESS  redis://[user:pass@]host:port[/db], or another;\n"
	"                   of several servers more than half must agree;\n"
	"                   $REDIS_URL, else " ADDRESS "\n"
	"  --ttl T          the lease: the command gets TERM a grace before\n"
	"                   it ends, KILL when it does; 30s\n"
	"  --keep           extends the lease while the command runs\n"
	"  --wait T         how long to wait for another holder, or\n"
	"                   `forever`; 0s\n"
	"  --grace T        from TERM to KILL; a tenth of the ttl\n"
	"  --quiet          does not say that another holds it\n"
	"\n"
	"Exits with the command's status: 128 + n if signal n ended it, 126\n"
	"or 127 if it could not be run. 75 if the lock was not acquired, 76\n"
	"if it was lost before the command had ended, 64 for wrong usage.\n";

struct lock {
	const char *address[ADDRESSES_MAX];
	size_t addresses;
	int by_environment;
	struct acquire want;
	pmz_ns grace;
};

static int take_redis(void *into, const char *value)
{
	struct lock *lock = into;

	if (lock->addresses == ADDRESSES_MAX)
		return say_usage("--redis: expected at most %d addresses, not "
		                 "also '%s'",
		                 ADDRESSES_MAX, value);
	lock->address[lock->addresses++] = value;
	return 0;
}

static int take_ttl(void *into, const char *value)
{
	return args_span("--ttl", value, &((struct lock *)into)->want.ttl);
}

static int take_wait(void *into, const char *value)
{
	struct lock *lock = into;

	if (strcmp(value, "forever") == 0) {
		lock->want.wait = PMZ_NEVER;
		return 0;
	}
	return args_span("--wait", value, &lock->want.wait);
}

static int take_grace(void *into, const char *value)
{
	return args_span("--grace", value, &((struct lock *)into)->grace);
}

static int take_keep(void *into, const char *value)
{
	(void)value;
	((struct lock *)into)->want.keep = 1;
	return 0;
}

static int take_quiet(void *into, const char *value)
{
	(void)into;
	(void)value;
	say_quietly();
	return 0;
}

static const struct option options[] = {
	{ "--redis", "an address such as " ADDRESS, take_redis },
	{ "--ttl", SPAN_EXPECTED, take_ttl },
	{ "--wait", SPAN_EXPECTED ", or forever", take_wait },
	{ "--grace", SPAN_EXPECTED, take_grace },
	{ "--keep", NULL, take_keep },
	{ "--quiet", NULL, take_quiet },
	{ NULL, NULL, NULL },
};

static const struct grammar grammar = { options, "NAME", help };

static int fill_in(struct lock *lock)
{
	const char *set = getenv(REDIS_URL);

	if (!lock->addresses) {
		lock->by_environment = set && *set;
		lock->address[lock->addresses++] =
			lock->by_environment ? set : ADDRESS;
	}
	if (lock->grace == PMZ_NEVER)
		lock->grace = lock->want.ttl / GRACE_SHARE;
	if (lock->want.ttl && lock->grace >= lock->want.ttl)
		return say_usage("--grace: expected less than the ttl, so that "
		                 "the command has time to run");
	return 0;
}

static const char *reason(int status, const pmz_why *why)
{
	return *why->text ? why->text : pmz_status_text(status);
}

/* What stands before an @ may be a password, and this may go to a log. */
static int complain_of(const struct lock *lock, const char *address,
                       const char *text)
{
	const char *at = strrchr(address, '@');

	return say_usage("%s '%s%s': %s",
	                 lock->by_environment ? REDIS_URL : "--redis",
	                 at ? "..." : "", at ? at : address, text);
}

static int open_locks(struct lock *lock)
{
	pmz_why why = { .index = 0 };
	const int status = pmz_locks_open(&lock->want.locks, lock->address,
	                                  lock->addresses, NULL, &why);

	if (status == PMZ_OK)
		return 0;
	if (status != PMZ_E_CONFIG && status != PMZ_E_ABSENT) {
		say("%s", reason(status, &why));
		return EXIT_NOT_NOW;
	}
	return complain_of(lock, lock->address[why.index % lock->addresses],
	                   reason(status, &why));
}

static int tell_held(const struct acquire *a)
{
	const pmz_ns now = pmz_now();
	char text[SPAN_TEXT];

	if (a->why.ready_at > now && a->why.ready_at != PMZ_NEVER)
		remark("another holds '%s', for %s if it is not kept", a->name,
		       span_text(a->why.ready_at - now, text));
	else
		remark("another holds '%s'", a->name);
	return EXIT_NOT_NOW;
}

static int tell_not_acquired(const struct acquire *a, int status)
{
	if (a->signal)
		return EXIT_SIGNALLED + a->signal;
	if (status == PMZ_REFUSED_HELD)
		return tell_held(a);
	if (status == PMZ_E_CONFIG)
		return say_usage("'%s': %s", a->name, reason(status, &a->why));
	say("'%s' is not acquired: %s", a->name, reason(status, &a->why));
	return EXIT_NOT_NOW;
}

/* Never later than the lease ends, if it has not yet. */
static void end_with_lease(struct command *c, const pmz_lease *lease,
                           pmz_ns grace)
{
	const pmz_ns now = pmz_now();
	const pmz_ns after = span_after(now, grace);

	command_end(c, pmz_lock_is_held(lease, now) && lease->until < after
	                       ? lease->until
	                       : after);
}

/* A kept lease is over when the library says so. 1: it is, and the command has
 * been told to end, before the user is: standard error may block. */
static int heed_loss(struct lock *lock, struct command *c)
{
	pmz_lease lost;
	int why;

	if (pmz_locks_next_lost(lock->want.locks, &lost, &why) != PMZ_OK)
		return 0;
	end_with_lease(c, &lost, lock->grace);
	say("'%s' cannot be kept, so '%s' has to end: %s", lost.name,
	    c->argv[0], pmz_status_text(why));
	return 1;
}

static int heed_end(struct lock *lock, struct command *c)
{
	const pmz_lease *lease = &lock->want.lease;
	char text[SPAN_TEXT];

	end_with_lease(c, lease, lock->grace);
	say("the lease of '%s' is over after %s without --keep, so '%s' has to "
	    "end",
	    lease->name, span_text(lease->ttl, text), c->argv[0]);
	return 1;
}

/* Whether the lease was over before the command had ended. */
static int watch(struct lock *lock, struct command *c)
{
	const struct acquire *a = &lock->want;
	int fd = a->keep ? pmz_locks_fd(a->locks) : -1;
	pmz_ns until = a->keep ? PMZ_NEVER : a->lease.until - lock->grace;
	enum command_event event;
	int lost = 0;

	while ((event = command_await(c, fd, until)) != COMMAND_ENDED) {
		lost |= event == COMMAND_NEWS ? heed_loss(lock, c)
		                              : heed_end(lock, c);
		if (lost) {
			fd = -1;
			until = PMZ_NEVER;
		}
	}
	return lost;
}

/* The server has the last word: it may have forgotten the lease before. */
static int give_back(struct acquire *a)
{
	int lost =
		a->keep && pmz_lock_refresh(a->locks, &a->lease) == PMZ_E_LOST;
	int status;

	lost |= !pmz_lock_is_held(&a->lease, pmz_now());
	status = pmz_lock_release(a->locks, &a->lease);
	if (status != PMZ_OK && status != PMZ_E_LOST && !lost)
		say("'%s' is not released, and ends by itself: %s", a->name,
		    pmz_status_text(status));
	return lost || status == PMZ_E_LOST;
}

static int hold(struct lock *lock, char **argv)
{
	char fence[24];
	struct command c;
	int status, lost = 0;

	snprintf(fence, sizeof(fence), "%" PRIu64, lock->want.lease.fence);
	status = setenv(FENCE, fence, 1) ? EXIT_NOT_NOW
	                                 : command_start(&c, argv);
	if (!status) {
		lost = watch(lock, &c);
		status = c.status;
	}
	if (give_back(&lock->want) && !lost) {
		say("'%s' was lost before '%s' had ended", lock->want.name,
		    argv[0]);
		lost = 1;
	}
	return lost ? EXIT_LOST : status;
}

int lock_main(char **argv)
{
	struct lock lock = { .grace = PMZ_NEVER, .want.ttl = TTL };
	struct args args;
	int helped;
	int status = args_read(&args, &grammar, argv, &lock, &helped);

	if (helped || status || (status = fill_in(&lock)) ||
	    (status = open_locks(&lock)))
		return status;
	lock.want.name = args.operand;
	status = acquire(&lock.want);
	status = status == PMZ_OK ? hold(&lock, args.command)
	                          : tell_not_acquired(&lock.want, status);
	pmz_locks_close(lock.want.locks);
	return status;
}
