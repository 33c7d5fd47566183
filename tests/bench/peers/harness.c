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

#include <stdio.h>
#include <stdlib.h>

#include "../lanes.h"

char keys[KEYS][KEY_LEN + 1];
char names[NODES_MAX][NAME_LEN];

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

static void answer(unsigned index, unsigned long long n)
{
	const struct entry *e = entry_at(index);
	struct slice s;

	if (!e)
		give_up("harness", "asked for a row that there is not");
	s = lanes_run(e->threads, e->run, e->what, n);
	if (s.wrong)
		give_up(e->row, "calls ended as they should not");
	printf("%.0f\n", s.ns);
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

int main(int argc, char **argv)
{
	unsigned long long n;
	unsigned index;

	if (argc != 3)
		give_up("harness", "wants CPU1 CPU2");
	lanes_start((size_t)atoi(argv[1]), (size_t)atoi(argv[2]));
	write_keys();
	ours_prepare();
	beside_prepare();
	say_rows();
	while (scanf("%u %llu", &index, &n) == 2)
		answer(index, n);
	return 0;
}
