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
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "lanes.h"
#include "locks.h"

#define ROUNDS 61 /* odd, for a median */
#define ROWS_MAX 32
#define SLICE_NS 1000000 /* at least; less than twice that once it is set */
#define AGAIN_MAX 50     /* times that a slice is made again */

struct measure {
	const struct row *row;
	uint64_t calls; /* in a slice */
	double ns[ROUNDS];
	double median;
};

static struct measure measures[ROWS_MAX];
static unsigned measures_count;
static unsigned slices, slices_interrupted;
static size_t second_cpu;

/* The first CPU from `from` on that this process may use. */
static size_t usable_cpu(size_t from)
{
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set))
		give_up("cpu", "cannot tell which there are");
	while (from < CPU_SETSIZE && !CPU_ISSET(from, &set))
		from++;
	return from < CPU_SETSIZE ? from : NO_CPU;
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

static double run_slice(const struct measure *m)
{
	const struct row *row = m->row;
	struct slice s;
	int i;

	slices++;
	for (i = 0; i <= AGAIN_MAX; i++) {
		s = lanes_run(row->threads, row->run, row->what, m->calls);
		must_be_right(row, s.wrong);
		if (!s.interruptions)
			return s.ns;
	}
	slices_interrupted++;
	return s.ns;
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
		if (row->threads == 2 && second_cpu == NO_CPU) {
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
		m->ns[round] = run_slice(m) / (double)m->calls;
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
		const struct row *row = m->row;

		if (row->check && !row->check(row->what, lanes_now()))
			give_up(row->name, "did not do what it measures");
		find_median(&measures[i]);
		printf("bench %s %.1f %.2f\n", row->name, m->median,
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
	size_t first_cpu = usable_cpu(0);
	uint64_t allocated;

	rows_prepare();
	second_cpu = usable_cpu(first_cpu + 1);
	lanes_start(first_cpu, second_cpu);
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
