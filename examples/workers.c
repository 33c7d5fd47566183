/*
 * workers.c - two workers, one lock, and what the fence is for.
 *
 * Both want to write the same report. The lock lets one of them at a time, and
 * the other gets it as soon as it is released. Then worker B stalls, as a
 * process does that is swapped out or stopped, for longer than its lease: A is
 * granted the lock, and when B wakes and writes, the report turns its fence
 * away.
 *
 * The locks are in this process; with REDIS_URL in the environment, on that
 * server.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pipemaze.h>

#define TTL PMZ_MS(400)
#define WORK PMZ_MS(250)
#define STALL PMZ_MS(700)
#define COLUMN PMZ_MS(25)
#define COLUMNS 64

static pmz_locks *locks;
static pmz_ns start;

/* What the lock protects: it remembers the highest fence that it has seen. */
static struct {
	pthread_mutex_t mutex;
	uint64_t highest;
	char last_writer;
} report = { .mutex = PTHREAD_MUTEX_INITIALIZER };

struct worker {
	char name;
	int rounds;
	int stalls_in; /* this round */
	int refused;   /* writes */
	char lane[COLUMNS + 1];
};

/* Marks the time from `from` to now. */
static void mark(struct worker *w, pmz_ns from, char with)
{
	pmz_ns at, now = pmz_now();

	for (at = from; at < now; at += COLUMN) {
		pmz_ns column = (at - start) / COLUMN;

		if (column < COLUMNS)
			w->lane[column] = with;
	}
}

static void say(const struct worker *w, const char *what, uint64_t fence)
{
	printf("%5llu ms  %c %s %llu\n",
	       (unsigned long long)((pmz_now() - start) / PMZ_MS(1)), w->name,
	       what, (unsigned long long)fence);
}

static void write_report(struct worker *w, uint64_t fence)
{
	int status;

	pthread_mutex_lock(&report.mutex);
	status = pmz_fence_check(&report.highest, fence);
	if (status == PMZ_OK)
		report.last_writer = w->name;
	pthread_mutex_unlock(&report.mutex);
	if (status == PMZ_OK) {
		say(w, "writes, with fence", fence);
		return;
	}
	w->refused++;
	say(w, "is turned away, with the old fence", fence);
}

static void work(struct worker *w, const pmz_lease *lease, int stalls)
{
	pmz_ns from = pmz_now();

	pmz_sleep_until(from + WORK);
	mark(w, from, '#');
	if (stalls) {
		from = pmz_now();
		pmz_sleep_until(from + STALL);
		mark(w, from, 'z');
	}
	if (!pmz_lock_is_held(lease, pmz_now()))
		say(w, "wakes up, no longer holder of", lease->fence);
	write_report(w, lease->fence);
}

static void run_round(struct worker *w, int round)
{
	pmz_ns from = pmz_now();
	pmz_lease lease;
	pmz_why why;

	if (pmz_lock_acquire(locks, "report", TTL, PMZ_S(5), &lease, &why)) {
		fprintf(stderr, "%c: %s\n", w->name, why.text);
		exit(1);
	}
	mark(w, from, '.');
	say(w, "is granted the lock, with fence", lease.fence);
	work(w, &lease, round == w->stalls_in);
	pmz_lock_release(locks, &lease);
}

static void *run(void *arg)
{
	struct worker *w = arg;
	int round;

	for (round = 1; round <= w->rounds; round++)
		run_round(w, round);
	return NULL;
}

static void run_both(struct worker *a, struct worker *b)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, run, b)) {
		perror("pthread_create");
		exit(1);
	}
	run(a);
	pthread_join(thread, NULL);
}

int main(void)
{
	const char *url = getenv("REDIS_URL");
	const char *where = url && *url ? url : "memory:";
	struct worker a = { .name = 'A', .rounds = 2 };
	struct worker b = { .name = 'B', .rounds = 1, .stalls_in = 1 };
	pmz_why why;

	memset(a.lane, ' ', COLUMNS);
	memset(b.lane, ' ', COLUMNS);
	if (pmz_locks_open(&locks, &where, 1, NULL, &why)) {
		fprintf(stderr, "%s: %s\n", where, why.text);
		return 1;
	}
	printf("Two workers and one lock, on %s\n\n",
	       url ? "REDIS_URL" : where);
	start = pmz_now();
	run_both(&a, &b);
	printf("\n  A %s\n  B %s\n", a.lane, b.lane);
	printf("    . waits   # holds it and works   z stalls, and loses it\n");
	pmz_locks_close(locks);
	return a.refused + b.refused ? 0 : 1;
}
