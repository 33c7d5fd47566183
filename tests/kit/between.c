/*
 * between.c - does one thing between any two instructions of another.
 */
#include "between.h"

#include <limits.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <ucontext.h>

#if defined(__SANITIZE_THREAD__)
#define STOPS 0
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define STOPS 0
#endif
#endif

#if !defined(STOPS) && defined(__x86_64__) && defined(__linux__)
#define STOPS 1
#endif

#if STOPS

#define TRAP_FLAG 0x100

/* One at a time: the trap handler has no argument of its own. */
static unsigned left;
static int is_done;
static between_work to_do;
static void *its_ctx;

/* The flag is clear in here; that of the work is in its saved context. */
static void on_trap(int number, siginfo_t *info, void *context)
{
	ucontext_t *work = context;

	(void)number;
	(void)info;
	if (left) {
		left--;
		return;
	}
	work->uc_mcontext.gregs[REG_EFL] &= ~TRAP_FLAG;
	if (is_done)
		return;
	is_done = 1;
	to_do(its_ctx);
}

/* What lies below the stack pointer may be in use. */
#define WITH_FLAGS(change)                                                 \
	__asm__ __volatile__("lea -128(%%rsp), %%rsp\n\tpushfq\n\t" change \
	                     "\n\tpopfq\n\tlea 128(%%rsp), %%rsp"          \
	                     :                                             \
	                     :                                             \
	                     : "cc", "memory")

int between(unsigned n, between_work work, between_work other, void *ctx)
{
	struct sigaction action, before;

	memset(&action, 0, sizeof(action));
	action.sa_sigaction = on_trap;
	action.sa_flags = SA_SIGINFO;
	sigaction(SIGTRAP, &action, &before);
	left = n;
	is_done = 0;
	to_do = other;
	its_ctx = ctx;
	WITH_FLAGS("orq $0x100, (%%rsp)");
	work(ctx);
	WITH_FLAGS("andq $~0x100, (%%rsp)");
	sigaction(SIGTRAP, &before, NULL);
	return is_done;
}

#else

static unsigned left = UINT_MAX;

int between(unsigned n, between_work work, between_work other, void *ctx)
{
	if (!n)
		other(ctx);
	work(ctx);
	return !n;
}

#endif

static void nothing(void *ctx)
{
	(void)ctx;
}

/* Stopped at an instruction that it never gets to, it was stopped at all. */
unsigned between_length(between_work work, void *ctx)
{
	between(UINT_MAX, work, nothing, ctx);
	return UINT_MAX - left;
}

int between_works(void)
{
	return between(1, nothing, nothing, NULL);
}
