/*
 * sync.c - calls that block: pmz_run() tries, waits and tries again.
 *
 *   cc sync.c $(pkg-config --cflags --libs pipemaze) && ./a.out
 */
#include <stdio.h>
#include <stdlib.h>

#include <pipemaze.h>

/* Stands for a request over the network. A real one gives up at `due`. */
struct backend {
	unsigned requests;
	unsigned fails_every; /* 1: all of them, 0: none */
};

static pmz_outcome request(pmz_ns due, void *ctx)
{
	struct backend *backend = ctx;

	(void)due;
	backend->requests++;
	return backend->fails_every &&
	       backend->requests % backend->fails_every == 0 ?
	               PMZ_FAILURE :
	               PMZ_SUCCESS;
}

struct tally {
	unsigned ok, failed, refused, requests;
};

static struct tally call_often(pmz_pipe *pipe, struct backend *backend,
                               unsigned calls, pmz_why *why)
{
	struct tally tally = { 0, 0, 0, 0 };
	unsigned before = backend->requests;

	while (calls--) {
		int status = pmz_run(pipe, NULL, request, backend, why);

		tally.ok += status == PMZ_OK;
		tally.failed += status == PMZ_GAVE_UP;
		tally.refused += status == PMZ_REFUSED_OPEN;
	}
	tally.requests = backend->requests - before;
	return tally;
}

static void claim(int came_true, const char *what)
{
	if (came_true)
		return;
	fprintf(stderr, "not as claimed: %s\n", what);
	exit(1);
}

int main(void)
{
	struct backend backend = { 0, 3 };
	struct tally tally;
	pmz_pipe *pipe;
	pmz_why why;

	if (pmz_pipe_from(&pipe, "breaker 50% over 10s min 20 open 300ms close 1"
	                         " | tries 3 backoff 1ms..5ms | try 1s",
	                  NULL, &why)) {
		fprintf(stderr, "column %u: %s\n", why.column, why.text);
		return 1;
	}

	tally = call_often(pipe, &backend, 100, &why);
	printf("every 3rd request fails: %u of 100 calls ok, in %u requests\n",
	       tally.ok, tally.requests);
	claim(tally.ok == 100, "a call tries again until it is through");

	backend.fails_every = 1;
	tally = call_often(pipe, &backend, 1000, &why);
	printf("all fail: 1000 calls made %u requests, then %u were refused\n",
	       tally.requests, tally.refused);
	claim(tally.requests < 200 && tally.refused > 900 && !tally.ok,
	      "a dead backend is left alone");

	backend.fails_every = 0;
	printf("it is well again, and we return when the refusal says so\n");
	pmz_sleep_until(why.ready_at);
	tally = call_often(pipe, &backend, 100, &why);
	printf("the first call is the probe: %u of 100 calls ok\n", tally.ok);
	claim(tally.ok == 100, "the breaker closes by itself");
	pmz_pipe_free(pipe);
	return 0;
}
