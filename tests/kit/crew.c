/*
 * crew.c - the same work on several threads that start together.
 */
#include "crew.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

struct member {
	pthread_t thread;
	unsigned who;
	crew_work work;
	void *ctx;
};

/* One crew at a time. */
static pthread_barrier_t meeting;

void crew_meet(void)
{
	pthread_barrier_wait(&meeting);
}

static void *start(void *arg)
{
	const struct member *m = arg;

	crew_meet();
	m->work(m->who, m->ctx);
	return NULL;
}

static void must(int error, const char *what)
{
	if (!error)
		return;
	fprintf(stderr, "crew: %s: error %d\n", what, error);
	abort();
}

void crew_run(unsigned threads, crew_work work, void *ctx)
{
	struct member members[CREW_MAX];
	unsigned i;

	must(threads > CREW_MAX, "too many threads");
	must(pthread_barrier_init(&meeting, NULL, threads), "barrier");
	for (i = 0; i < threads; i++) {
		members[i] =
			(struct member){ .who = i, .work = work, .ctx = ctx };
		must(pthread_create(&members[i].thread, NULL, start,
		                    &members[i]),
		     "thread");
	}
	for (i = 0; i < threads; i++)
		must(pthread_join(members[i].thread, NULL), "join");
	pthread_barrier_destroy(&meeting);
}
