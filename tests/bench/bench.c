/*
 * bench.c - what a call of each guard costs, beside what the system's own cost.
 *
 *   bench [PART-OF-A-NAME]
 *
 * Prints `bench NAME NS RATIO` for each row: ns for one call, or pair, and how
 * many times that is one clock_gettime() of the same run, which is what may be
 * compared between machines. No other row reads a clock: its `now` is a number
 * that goes up.
 *
 * The rows are measured in turn, in slices of a ms or two, forward in one round
 * and backward in the next, so that a machine that changes its speed changes it
 * for all of them; a slice in which another process took the CPU is made again;
 * a row's figure is the median of its rounds. At two threads it is the time
 * between two calls of one thread, while the other does the same on the same
 * object.
 */
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "bench.h"
#include "locks.h"

#define ROUNDS 61 /* odd, for a median */
#define ROWS_MAX 32
#define SLICE_NS 1000000 /* at least; less than twice that once it is set */
#define NO_CPU CPU_SETSIZE
#define AGAIN_MAX 50 /* times that a slice is made again */
#define CHUNK 64     /* calls between two looks at whether the other is done */

struct measure {
	const struct row *row;
	uint64_t calls; /* in a slice */
	double ns[ROUNDS];
	double median;
};

/* The second thread: sleeps but for the slices that need two. */
static struct {
	pthread_t thread;
	size_t cpu; /* NO_CPU: there is no second one */
	sem_t begin, end;
	const struct row *row;
	uint64_t calls, wrong;
	long interrupted;
	_Alignas(64) atomic_int runs;
	_Alignas(64) atomic_int stop;
} other;

static struct lane lanes[2];
static struct measure measures[ROWS_MAX];
static unsigned measures_count;
static unsigned slices, slices_interrupted;

void give_up(const char *row, const char *reason)
{
	fprintf(stderr, "bench: %s: %s\n", row, reason);
	exit(1);
}

static uint64_t clock_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* How often this thread lost its CPU to another. */
static long interruptions(void)
{
	struct rusage usage;

	return getrusage(RUSAGE_THREAD, &usage) ? 0 : usage.ru_nivcsw;
}

static void stay_on(size_t cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (pthread_setaffinity_np(pthread_self(), sizeof(set), &set))
		give_up("cpu", "cannot pin a thread");
}

/* The first CPU from `from` on that this process may use. */
static size_t usable_cpu(size_t from)
{
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set))
		give_up("cpu", "cannot tell which there are");
	while (from < NO_CPU && !CPU_ISSET(from, &set))
		from++;
	return from;
}

static void run_until_stopped(void)
{
	long before = interruptions();

	other.calls = other.wrong = 0;
	other.runs = 1;
	while (!atomic_load_explicit(&other.stop, memory_order_relaxed)) {
		other.wrong += other.row->run(&lanes[1], CHUNK);
		other.calls += CHUNK;
	}
	other.runs = 0;
	other.interrupted = interruptions() - before;
}

static void *other_main(void *unused)
{
	(void)unused;
	if (other.cpu != NO_CPU)
		stay_on(other.cpu);
	for (;;) {
		sem_wait(&other.begin);
		run_until_stopped();
		sem_post(&other.end);
	}
	return NULL;
}

/* It is there even if no row needs it: a process of one thread takes short cuts
 * through mutexes that no server does. */
static void start_other(void)
{
	size_t cpu = usable_cpu(0);

	other.cpu = usable_cpu(cpu + 1);
	if (sem_init(&other.begin, 0, 0) || sem_init(&other.end, 0, 0) ||
	    pthread_create(&other.thread, NULL, other_main, NULL))
		give_up("thread", "cannot start a second one");
	stay_on(cpu);
}

static uint64_t run_alone(const struct measure *m, uint64_t *took)
{
	uint64_t begin = clock_ns();
	uint64_t wrong = m->row->run(&lanes[0], m->calls);

	*took = clock_ns() - begin;
	return wrong;
}

static void begin_other(const struct row *row)
{
	other.row = row;
	other.stop = 0;
	lanes[1].now = lanes[0].now;
	sem_post(&other.begin);
	while (!other.runs)
		continue;
}

static void end_other(void)
{
	other.stop = 1;
	sem_wait(&other.end);
	if (lanes[0].now < lanes[1].now)
		lanes[0].now = lanes[1].now;
}

/* *took is for as many calls as this thread made: both were at it all the time,
 * and what counts is their mean. */
static uint64_t run_together(const struct measure *m, uint64_t *took)
{
	uint64_t begin, done, wrong = 0;

	begin_other(m->row);
	begin = clock_ns();
	for (done = 0; done < m->calls; done += CHUNK)
		wrong += m->row->run(&lanes[0], CHUNK);
	*took = clock_ns() - begin;
	end_other();
	*took = *took * 2 * done / (done + other.calls);
	return wrong + other.wrong;
}

static void must_be_right(const struct row *row, uint64_t wrong)
{
	char reason[64];

	if (!wrong)
		return;
	snprintf(reason, sizeof(reason), "%llu calls ended as they should not",
	         (unsigned long long)wrong);
	give_up(row->name, reason);
}

/* 0 if it was interrupted. */
static int try_slice(const struct measure *m, uint64_t *took)
{
	long before = interruptions();

	other.interrupted = 0;
	if (m->row->threads == 2)
		must_be_right(m->row, run_together(m, took));
	else
		must_be_right(m->row, run_alone(m, took));
	return interruptions() == before && !other.interrupted;
}

static uint64_t run_slice(const struct measure *m)
{
	uint64_t took;
	int i;

	slices++;
	for (i = 0; i <= AGAIN_MAX; i++)
		if (try_slice(m, &took))
			return took;
	slices_interrupted++;
	return took;
}

/* Warms the row up, too. */
static void find_calls(struct measure *m)
{
	for (m->calls = CHUNK; run_slice(m) < SLICE_NS;)
		m->calls *= 2;
}

static void choose(const char *part)
{
	unsigned i;

	for (i = 0; i < rows_count; i++) {
		const struct row *row = &rows[i];

		if (i > 0 && part && !strstr(row->name, part))
			continue;
		if (row->threads == 2 && other.cpu == NO_CPU) {
			printf("skip %s: one CPU\n", row->name);
			continue;
		}
		measures[measures_count++].row = row;
	}
}

static void run_round(unsigned round)
{
	unsigned i, at;

	for (i = 0; i < measures_count; i++) {
		struct measure *m;

		at = round & 1 ? measures_count - 1 - i : i;
		m = &measures[(at + round) % measures_count];
		m->ns[round] = (double)run_slice(m) / (double)m->calls;
	}
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void find_median(struct measure *m)
{
	qsort(m->ns, ROUNDS, sizeof(m->ns[0]), by_size);
	m->median = m->ns[ROUNDS / 2];
}

static void report(void)
{
	unsigned i;

	for (i = 0; i < measures_count; i++) {
		const struct measure *m = &measures[i];

		if (m->row->check && !m->row->check(lanes[0].now))
			give_up(m->row->name, "did not do what it measures");
		find_median(&measures[i]);
		printf("bench %s %.1f %.2f\n", m->row->name, m->median,
		       m->median / measures[0].median);
	}
}

static uint64_t measure_all(void)
{
	uint64_t before = allocations();
	unsigned i;

	for (i = 0; i < measures_count; i++)
		find_calls(&measures[i]);
	for (i = 0; i < ROUNDS; i++)
		run_round(i);
	return allocations() - before;
}

int main(int argc, char **argv)
{
	uint64_t allocated;

	rows_prepare();
	start_other();
	choose(argc > 1 ? argv[1] : NULL);
	allocated = measure_all();
	report();
	if (argc < 2 || strstr("lock_cycle redis_pair", argv[1]))
		locks_measure();
	if (slices_interrupted)
		printf("interrupted %u of %u slices\n", slices_interrupted,
		       slices);
	rows_print_bytes();
	printf("allocations %llu\n", (unsigned long long)allocated);
	if (allocated)
		give_up("allocations", "calls of guards must not allocate");
	return 0;
}
