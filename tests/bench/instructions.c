/*
 * instructions.c - the calls of the rows, for callgrind to count: it dumps a
 * row's under the row's name. See instructions.sh.
 *
 * Only rows of one thread that count our code: a clock and the locks of libc
 * are another library's.
 */
#include <stdio.h>
#include <string.h>
#include <valgrind/callgrind.h>

#include "bench.h"

#define CALLS 1000

static int is_ours(const struct row *row)
{
	static const char *const others[] = { "clock", "mutex_pair",
		                              "sem_pair" };
	size_t i;

	for (i = 0; i < sizeof(others) / sizeof(*others); i++)
		if (!strcmp(row->name, others[i]))
			return 0;
	/* What the clock says is different each time. */
	return row->threads == 1 && !strstr(row->name, "now_fast");
}

static void count(const struct row *row)
{
	static struct lane lane;
	uint64_t wrong;

	/* The first calls resolve symbols and fill what is empty. */
	wrong = row->run(row->what, &lane, CALLS);
	CALLGRIND_ZERO_STATS;
	wrong += row->run(row->what, &lane, CALLS);
	CALLGRIND_DUMP_STATS_AT(row->name);
	if (wrong)
		give_up(row->name, "a call did not end as it should");
}

int main(void)
{
	unsigned i;

	rows_prepare();
	for (i = 0; i < rows_count; i++)
		if (is_ours(&rows[i]))
			count(&rows[i]);
	printf("%d\n", CALLS);
	return 0;
}
