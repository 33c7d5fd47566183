/*
 * server.c - one of the servers, and its fate.
 */
#define _POSIX_C_SOURCE 200809L
#include "server.h"

#include <string.h>

#define GLANCE PMZ_MS(50) /* between two looks at whether to stop */

static int is_death(const struct phase *phase)
{
	return !strcmp(phase->name, "dead");
}

int server_read(struct server *server, const char *name, const char *script)
{
	int i;

	server->name = name;
	if (plot_from(&server->plot, script, name))
		return -1;
	for (i = 0; i < server->plot.phases; i++)
		if (!strcmp(server->plot.phase[i].name, "failing"))
			server->plot.phase[i].name = "dead";
	return 0;
}

/* Whether that instant of the plot has come, and nobody has stopped it. */
static int wait_for(struct server *server, pmz_ns since)
{
	pmz_ns until = server->plot.starts + since;

	while (!atomic_load(&server->stopping)) {
		pmz_ns now = pmz_now();

		if (now >= until)
			return 1;
		pmz_sleep_until(until < now + GLANCE ? until : now + GLANCE);
	}
	return 0;
}

/* Between the two instants not a call is answered. */
static void die(struct server *server, const struct phase *phase)
{
	server->dead_from = upstream_die(server->upstream);
	wait_for(server, phase->until);
	server->dead_until = pmz_now();
	if (!atomic_load(&server->stopping) &&
	    upstream_return(server->upstream))
		perror(server->name);
}

static void *meet_fate(void *arg)
{
	struct server *server = arg;
	int i;

	for (i = 0; i < server->plot.phases; i++) {
		const struct phase *phase = &server->plot.phase[i];

		if (is_death(phase) && wait_for(server, phase->from))
			die(server, phase);
	}
	return NULL;
}

int server_start(struct server *server)
{
	server->upstream = upstream_new(&server->plot);
	if (!server->upstream)
		return -1;
	server->port = upstream_port(server->upstream);
	if (pthread_create(&server->fate, NULL, meet_fate, server))
		return -1;
	server->fated = 1;
	return 0;
}

void server_stop(struct server *server)
{
	atomic_store(&server->stopping, 1);
	if (server->fated)
		pthread_join(server->fate, NULL);
	upstream_free(server->upstream);
}
