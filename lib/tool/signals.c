/*
 * signals.c - signals as something to poll for.
 *
 * The handler writes each into a pipe and does nothing else, so that all that
 * follows from a signal happens in a poll loop, after its command has a number.
 */
#include "tool/signals.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <pipemaze/edge.h>

/* poll() does not count the time that the machine sleeps, pmz_now() does: so it
 * is late by no more than this. */
#define NAP_MAX_MS 1000

/* PIPE among them only lest it ends the tool, and with it the command. */
static const int caught[] = { SIGCHLD, SIGHUP,  SIGINT,  SIGQUIT,
	                      SIGTERM, SIGUSR1, SIGUSR2, SIGALRM,
	                      SIGTSTP, SIGCONT, SIGPIPE };
#define CAUGHT (sizeof(caught) / sizeof(caught[0]))

static int in, out; /* the ends of the pipe */
static sigset_t found, ours;

static int is_by_terminal(const siginfo_t *info)
{
#ifdef SI_KERNEL
	return info->si_code == SI_KERNEL;
#else
	return info->si_pid == 0;
#endif
}

/* A pipe that is full has enough of them to wake up by. */
static void put(int signal, siginfo_t *info, void *context)
{
	const int before = errno;
	struct note note;

	(void)context;
	note.signal = (unsigned char)signal;
	note.by_terminal = (unsigned char)is_by_terminal(info);
	if (write(out, &note, sizeof(note)) != (ssize_t)sizeof(note))
		note.signal = 0;
	errno = before;
}

static int make_private(int fd)
{
	return fcntl(fd, F_SETFD, FD_CLOEXEC) || fcntl(fd, F_SETFL, O_NONBLOCK);
}

static int open_pipe(void)
{
	int ends[2];

	if (pipe(ends) || make_private(ends[0]) || make_private(ends[1]))
		return -1;
	in = ends[0];
	out = ends[1];
	return 0;
}

/* An ignored CHLD would reap the command before its status is read. */
static int is_left_alone(int signal)
{
	struct sigaction was;

	return signal != SIGCHLD && sigaction(signal, NULL, &was) == 0 &&
	       was.sa_handler == SIG_IGN;
}

int signals_catch(void)
{
	struct sigaction action = { .sa_sigaction = put };
	size_t i;

	action.sa_flags = SA_SIGINFO | SA_RESTART | SA_NOCLDSTOP;
	sigemptyset(&action.sa_mask);
	if (open_pipe() || sigprocmask(SIG_SETMASK, NULL, &found))
		return -1;
	ours = found;
	for (i = 0; i < CAUGHT; i++) {
		if (is_left_alone(caught[i]))
			continue;
		sigdelset(&ours, caught[i]);
		if (sigaction(caught[i], &action, NULL))
			return -1;
	}
	return sigprocmask(SIG_SETMASK, &ours, NULL);
}

int signals_take(struct note *note)
{
	return read(in, note, sizeof(*note)) == (ssize_t)sizeof(*note);
}

void signals_drop(void)
{
	struct note note;

	while (signals_take(&note))
		continue;
}

void signals_hold(void)
{
	sigset_t all;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
}

void signals_go_on(void)
{
	sigprocmask(SIG_SETMASK, &ours, NULL);
}

void signals_restore(void)
{
	size_t i;

	for (i = 0; i < CAUGHT; i++)
		if (!is_left_alone(caught[i]))
			signal(caught[i], SIG_DFL);
	sigprocmask(SIG_SETMASK, &found, NULL);
}

/* Rounded up, so that it does not wake just before its time, and again. */
static int poll_ms(pmz_ns until)
{
	const pmz_ns now = pmz_now();

	if (until == PMZ_NEVER)
		return -1;
	if (until <= now)
		return 0;
	if (until - now > PMZ_MS(NAP_MAX_MS))
		return NAP_MAX_MS;
	return (int)((until - now + PMZ_MS(1) - 1) / PMZ_MS(1));
}

int signals_poll(int fd, pmz_ns until)
{
	struct pollfd fds[] = { { in, POLLIN, 0 }, { fd, POLLIN, 0 } };

	return poll(fds, 2, poll_ms(until)) > 0 && fds[1].revents;
}

int signals_is_end(int signal)
{
	return signal == SIGHUP || signal == SIGINT || signal == SIGQUIT ||
	       signal == SIGTERM;
}

/* To stop is not left to the handler's default: see command.c. */
static int take_all(void)
{
	struct note note;

	while (signals_take(&note)) {
		if (signals_is_end(note.signal))
			return note.signal;
		if (note.signal == SIGTSTP)
			raise(SIGSTOP);
	}
	return 0;
}

int signals_idle(int fd, pmz_ns until)
{
	int signal, ready;

	do {
		ready = signals_poll(fd, until);
		signal = take_all();
	} while (!signal && !ready && pmz_now() < until);
	return signal;
}
