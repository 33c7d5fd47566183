/*
 * evloop.c - many calls in flight on one thread: a poll(2) loop. Its timers are
 * pmz_call_due(), and its backend is in the loop too, at a stream's other end.
 *
 *   cc evloop.c $(pkg-config --cflags --libs pipemaze) && ./a.out
 */
#define _POSIX_C_SOURCE 200809L
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>

#include <pipemaze.h>

#define CALLS 100

static struct job {
	pmz_call call;
	pmz_step step;
} jobs[CALLS];
static struct message {
	uint32_t call, attempt;
} m;
static int fd[2], requests, ok, in_flight, in_flight_max;

/* Loses the first attempt of every third call. */
static void serve(void)
{
	recv(fd[1], &m, sizeof(m), MSG_WAITALL);
	if (m.call % 3 || m.attempt > 1)
		send(fd[1], &m, sizeof(m), 0);
}

static void go_on(struct job *job, pmz_step step)
{
	in_flight += (step == PMZ_TRY) - (job->step == PMZ_TRY);
	if (in_flight > in_flight_max)
		in_flight_max = in_flight;
	ok += step == PMZ_DONE && pmz_call_status(&job->call) == PMZ_OK;
	job->step = step;
	if (step != PMZ_TRY)
		return;
	requests++;
	m.call = (uint32_t)(job - jobs);
	m.attempt = pmz_call_tries(&job->call);
	send(fd[0], &m, sizeof(m), 0);
}

static void take_reply(pmz_ns now)
{
	recv(fd[0], &m, sizeof(m), MSG_WAITALL);
	struct job *job = &jobs[m.call];
	/* It may come after its attempt was given up. */
	if (job->step == PMZ_TRY && m.attempt == pmz_call_tries(&job->call))
		go_on(job, pmz_call_settle(&job->call, PMZ_SUCCESS, now));
}

/* Moves on what is due; returns when the next is, PMZ_NEVER if all is done. */
static pmz_ns run_timers(pmz_ns now)
{
	pmz_ns next = PMZ_NEVER;

	for (struct job *job = jobs; job < jobs + CALLS; job++) {
		pmz_ns due = pmz_call_due(&job->call);

		if (job->step == PMZ_TRY && due <= now)
			go_on(job, pmz_call_settle(&job->call, PMZ_FAILURE, now));
		else if (job->step == PMZ_WAIT && due <= now)
			go_on(job, pmz_call_resume(&job->call, now));
		if (job->step != PMZ_DONE && pmz_call_due(&job->call) < next)
			next = pmz_call_due(&job->call);
	}
	return next;
}

int main(void)
{
	pmz_ns now = pmz_now(), next;
	pmz_pipe *pipe;

	if (pmz_pipe_from(&pipe, "bulkhead 20 | wait 10s | try 100ms | "
	                         "tries 5 backoff 1ms..20ms", NULL, NULL) ||
	    socketpair(AF_UNIX, SOCK_STREAM, 0, fd))
		return 1;
	for (struct job *job = jobs; job < jobs + CALLS; job++)
		go_on(job, pmz_call_begin(&job->call, pipe, NULL, now));
	while ((next = run_timers(now)) != PMZ_NEVER) {
		struct pollfd in[] = { { fd[0], POLLIN, 0 }, { fd[1], POLLIN, 0 } };
		poll(in, 2, (int)((next - now) / PMZ_MS(1)) + 1);
		now = pmz_now();
		if (in[0].revents)
			take_reply(now);
		if (in[1].revents)
			serve();
	}
	printf("%d of %d calls ok on one thread, at most %d at once, though %d "
	       "requests were lost\n", ok, CALLS, in_flight_max, requests - ok);
	pmz_pipe_free(pipe);
	return !(ok == CALLS && requests > CALLS && in_flight_max == 20);
}
