/*
 * harness.c - runs the rows of ours, and of the peers in C, slice by slice.
 *
 *   harness CPU1 CPU2
 *
 * Says which rows it has, as `ROW PEER NOTE` between tabs, and then `ready`.
 * For each line `INDEX CALLS` that it reads, it makes so many calls of that
 * row, and answers with the ns that they took. It ends with its input. The
 * harnesses of the other languages do the same; drive.py tells them to.
 *
 * CPU1 is for the first thread, and drive.py sees to that; CPU2 for the second.
 * At two threads the time is that between two calls of one thread, while the
 * other does the same on the same object. The redis-server is on CPU1 as well:
 * to wake another CPU takes longer than a lock, and not twice the same time.
 */
#include "harness.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define CHUNK 64 /* calls between two looks at whether the other is done */

char keys[KEYS][KEY_LEN + 1];
char names[NODES_MAX][NAME_LEN];

static struct lane lanes[2];
static size_t second_cpu;

static struct {
	const struct entry *entry;
	uint64_t calls, wrong;
	_Alignas(64) atomic_int runs;
	_Alignas(64) atomic_int stop;
} other;

void give_up(const char *row, const char *reason)
{
	fprintf(stderr, "peers: %s: %s\n", row, reason);
	exit(1);
}

static uint64_t clock_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void stay_on(size_t cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (pthread_setaffinity_np(pthread_self(), sizeof(set), &set))
		give_up("cpu", "cannot pin a thread");
}

static void *run_until_stopped(void *unused)
{
	const struct entry *e = other.entry;

	stay_on(second_cpu);
	other.runs = 1;
	while (!atomic_load_explicit(&other.stop, memory_order_relaxed)) {
		other.wrong += e->run(e->what, &lanes[1], CHUNK);
		other.calls += CHUNK;
	}
	return unused;
}

static pthread_t start_other(const struct entry *e)
{
	pthread_t thread;

	other.entry = e;
	other.calls = other.wrong = 0;
	other.runs = other.stop = 0;
	lanes[1].now = lanes[0].now;
	if (pthread_create(&thread, NULL, run_until_stopped, NULL))
		give_up("thread", "cannot start a second one");
	while (!other.runs)
		continue;
	return thread;
}

static uint64_t end_other(pthread_t thread)
{
	other.stop = 1;
	pthread_join(thread, NULL);
	if (lanes[0].now < lanes[1].now)
		lanes[0].now = lanes[1].now;
	return other.wrong;
}

static uint64_t run_alone(const struct entry *e, uint64_t calls, double *took)
{
	uint64_t begin = clock_ns();
	uint64_t wrong = e->run(e->what, &lanes[0], calls);

	*took = (double)(clock_ns() - begin);
	return wrong;
}

/* *took is for as many calls as this thread made: both were at it all the time,
 * and what counts is their mean. */
static uint64_t run_together(const struct entry *e, uint64_t calls,
                             double *took)
{
	pthread_t thread = start_other(e);
	uint64_t begin = clock_ns(), done, wrong = 0;

	for (done = 0; done < calls; done += CHUNK)
		wrong += e->run(e->what, &lanes[0], CHUNK);
	*took = (double)(clock_ns() - begin);
	wrong += end_other(thread);
	*took *= 2.0 * (double)calls / (double)(done + other.calls);
	return wrong;
}

static const struct entry *entry_at(unsigned i)
{
	if (i < ours_count)
		return &ours[i];
	i -= ours_count;
	return i < beside_count ? &beside[i] : NULL;
}

static void say_rows(void)
{
	const struct entry *e;
	unsigned i;

	for (i = 0; (e = entry_at(i)); i++)
		printf("%s\t%s\t%s\n", e->row, e->peer, e->note ? e->note : "");
	if (redis_port())
		printf("redis\t%u\t\n", redis_port());
	puts("ready");
	fflush(stdout);
}

static void answer(unsigned index, unsigned long long calls)
{
	const struct entry *e = entry_at(index);
	uint64_t wrong;
	double took;

	if (!e)
		give_up("harness", "asked for a row that there is not");
	if (e->threads == 2)
		wrong = run_together(e, calls, &took);
	else
		wrong = run_alone(e, calls, &took);
	if (wrong)
		give_up(e->row, "calls ended as they should not");
	printf("%.0f\n", took);
	fflush(stdout);
}

static void write_keys(void)
{
	unsigned i;

	for (i = 0; i < KEYS; i++)
		snprintf(keys[i], sizeof(keys[i]), "client-%05u", i);
	for (i = 0; i < NODES_MAX; i++)
		snprintf(names[i], NAME_LEN, "10.%u.%u.%u:11211", i / 40000,
		         i / 200 % 200, i % 200 + 1);
}

static void *sleep_for_ever(void *unused)
{
	for (;;)
		pause();
	return unused;
}

/* A process of one thread takes short cuts that no server can. */
static void be_two(void)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, sleep_for_ever, NULL))
		give_up("thread", "cannot start a second one");
}

int main(int argc, char **argv)
{
	unsigned long long calls;
	unsigned index;

	if (argc != 3)
		give_up("harness", "wants CPU1 CPU2");
	stay_on((size_t)atoi(argv[1]));
	second_cpu = (size_t)atoi(argv[2]);
	write_keys();
	ours_prepare();
	beside_prepare();
	be_two();
	say_rows();
	while (scanf("%u %llu", &index, &calls) == 2)
		answer(index, calls);
	return 0;
}
