/*
 * command.c - the user's command: started, waited for, ended in time.
 *
 * In front of a terminal the command shares the tool's process group: it may
 * read from there, and what the terminal sends reaches it without us. Otherwise
 * it gets a group of its own, so that what it starts can be ended with it.
 *
 * If the tool is killed, nobody is left to watch the command or to give it time
 * to end, and to outlive its lock is worse than to be cut off: so the kernel
 * kills it, where it can (Linux).
 */
#include "tool/command.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

#include <pipemaze/edge.h>

#include "tool/say.h"
#include "tool/signals.h"
#include "tool/tool.h"

static int in_foreground(void)
{
	const int terminal = open("/dev/tty", O_RDONLY | O_CLOEXEC | O_NOCTTY);
	int answer;

	if (terminal < 0)
		return 0;
	answer = tcgetpgrp(terminal) == getpgrp();
	close(terminal);
	return answer;
}

static void die_with(pid_t parent)
{
#ifdef __linux__
	prctl(PR_SET_PDEATHSIG, SIGKILL);
#endif
	/* It was too late for that. */
	if (getppid() != parent)
		_exit(EXIT_CANNOT_RUN);
}

/* Between fork and exec of a process with threads: system calls, no more. */
static void become(const struct command *c, pid_t parent, int report)
{
	int why;

	if (c->own_group)
		setpgid(0, 0);
	die_with(parent);
	signals_restore();
	execvp(c->argv[0], c->argv);
	why = errno;
	if (write(report, &why, sizeof(why)) < 0)
		_exit(EXIT_CANNOT_RUN);
	_exit(why == ENOENT ? EXIT_NOT_FOUND : EXIT_CANNOT_RUN);
}

/* Closed by the exec that goes well. */
static int open_report(int ends[2])
{
	int i;

	if (pipe(ends))
		return -1;
	for (i = 0; i < 2; i++)
		fcntl(ends[i], F_SETFD, FD_CLOEXEC);
	return 0;
}

static void start_child(struct command *c, const int report[2])
{
	const pid_t parent = getpid();

	signals_hold();
	c->pid = fork();
	if (c->pid == 0)
		become(c, parent, report[1]);
	/* Here too, for the first signal may be sent before the child runs. */
	if (c->pid > 0 && c->own_group)
		setpgid(c->pid, c->pid);
	signals_go_on();
}

int command_start(struct command *c, char **argv)
{
	int report[2];

	memset(c, 0, sizeof(*c));
	c->argv = argv;
	c->kill_at = PMZ_NEVER;
	c->own_group = !in_foreground();
	if (open_report(report) == 0) {
		start_child(c, report);
		close(report[1]);
		c->report = report[0];
		if (c->pid > 0)
			return 0;
		close(report[0]);
	}
	say("cannot run '%s': %s", argv[0], strerror(errno));
	return EXIT_CANNOT_RUN;
}

static void send_signal(const struct command *c, int signal)
{
	kill(c->own_group ? -c->pid : c->pid, signal);
}

void command_end(struct command *c, pmz_ns kill_at)
{
	c->ending = 1;
	c->kill_at = kill_at;
	send_signal(c, SIGTERM);
	/* One that is stopped would not see it. */
	send_signal(c, SIGCONT);
}

/* The tool stops as well, and by STOP: TSTP is one that it has caught. */
static void pass_on(struct command *c, struct note note)
{
	const int has_it = note.by_terminal && !c->own_group;

	if (note.signal == SIGCHLD || note.signal == SIGPIPE)
		return;
	if (signals_is_end(note.signal))
		c->told_to_end = note.signal;
	if (!has_it)
		send_signal(c, note.signal);
	if (note.signal == SIGTSTP)
		raise(SIGSTOP);
}

static void read_report(struct command *c)
{
	if (read(c->report, &c->not_run, sizeof(c->not_run)) <= 0)
		c->not_run = 0;
	else
		say("cannot run '%s': %s", c->argv[0], strerror(c->not_run));
	close(c->report);
}

/* A child that is over and not yet reaped, or 0. */
static pid_t zombie(void)
{
	siginfo_t info;

	info.si_pid = 0;
	return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT)
	               ? 0
	               : info.si_pid;
}

/* 1 once the command is over. The first process of a container is given the
 * children of others as well. While the command is a zombie its number names no
 * other group: so what is left of a group that was to end is killed then. */
static int reap(struct command *c)
{
	pid_t pid;
	int raw;

	while ((pid = zombie()) != c->pid) {
		if (!pid)
			return 0;
		waitpid(pid, NULL, 0);
	}
	if (c->ending && c->own_group)
		send_signal(c, SIGKILL);
	waitpid(pid, &raw, 0);
	c->status = WIFSIGNALED(raw) ? EXIT_SIGNALLED + WTERMSIG(raw)
	                             : WEXITSTATUS(raw);
	read_report(c);
	return 1;
}

static void kill_if_due(struct command *c, pmz_ns now)
{
	if (now < c->kill_at)
		return;
	send_signal(c, SIGKILL);
	c->kill_at = PMZ_NEVER;
}

enum command_event command_await(struct command *c, int fd, pmz_ns until)
{
	struct note note;
	int news = 0;

	for (;;) {
		const pmz_ns now = pmz_now();

		if (reap(c))
			return COMMAND_ENDED;
		kill_if_due(c, now);
		if (news)
			return COMMAND_NEWS;
		if (until <= now)
			return COMMAND_DUE;
		news = signals_poll(fd,
		                    until < c->kill_at ? until : c->kill_at);
		while (signals_take(&note))
			pass_on(c, note);
	}
}
