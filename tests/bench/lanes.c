/*
 * lanes.c - slices of calls, on one thread or on two at once.
 */
#include "lanes.h"

#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <time.h>

/* The second thread: sleeps but for the slices that need two. */
static struct {
	size_t cpu;
	sem_t begin, end;
	calls *run;
	void *what;
	uint64_t calls, wrong;
	long interruptions;
	_Alignas(64) atomic_int runs;
	_Alignas(64) atomic_int stop;
} other;

static struct lane lanes[2];

static uint64_t clock_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

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

static void run_until_stopped(void)
{
	long before = interruptions();

	other.calls = other.wrong = 0;
	other.runs = 1;
	while (!atomic_load_explicit(&other.stop, memory_order_relaxed)) {
		other.wrong += other.run(other.what, &lanes[1], CHUNK);
		other.calls += CHUNK;
	}
	other.runs = 0;
	other.interruptions = interruptions() - before;
}

static void *other_main(void *unused)
{
	if (other.cpu != NO_CPU)
		stay_on(other.cpu);
	for (;;) {
		sem_wait(&other.begin);
		run_until_stopped();
		sem_post(&other.end);
	}
	return unused;
}

/* The second one is there even if no row needs it: a process of one thread
 * takes short cuts through mutexes that no server does. */
void lanes_start(size_t first, size_t second)
{
	pthread_t thread;

	other.cpu = second;
	if (sem_init(&other.begin, 0, 0) || sem_init(&other.end, 0, 0) ||
	    pthread_create(&thread, NULL, other_main, NULL))
		give_up("thread", "cannot start a second one");
	stay_on(first);
}

static struct slice run_alone(calls *run, void *what, uint64_t n)
{
	uint64_t begin = clock_ns();
	struct slice s = { .wrong = run(what, &lanes[0], n) };

	s.ns = (double)(clock_ns() - begin);
	return s;
}

static void begin_other(calls *run, void *what)
{
	other.run = run;
	other.what = what;
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

/* Both were at it all the time, and what counts is their mean. */
static struct slice run_together(calls *run, void *what, uint64_t n)
{
	struct slice s = { 0 };
	uint64_t begin, done;

	begin_other(run, what);
	begin = clock_ns();
	for (done = 0; done < n; done += CHUNK)
		s.wrong += run(what, &lanes[0], CHUNK);
	s.ns = (double)(clock_ns() - begin);
	end_other();
	s.ns *= 2 * (double)n / (double)(done + other.calls);
	s.wrong += other.wrong;
	s.interruptions = other.interruptions;
	return s;
}

struct slice lanes_run(int threads, calls *run, void *what, uint64_t n)
{
	long before = interruptions();
	struct slice s = threads == 2 ? run_together(run, what, n)
	                              : run_alone(run, what, n);

	s.interruptions += interruptions() - before;
	return s;
}

pmz_ns lanes_now(void)
{
	return lanes[0].now;
}
