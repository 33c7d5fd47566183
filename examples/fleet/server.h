/*
 * server.h - one of the servers, and its fate.
 *
 * Its script is that of an upstream, but where it says `fail` the server is
 * dead: nobody listens on its port, and who calls is refused.
 *
 * Threads: one owner; dead_from and dead_until stand once it has stopped.
 */
#ifndef FLEET_SERVER_H
#define FLEET_SERVER_H

#include <pthread.h>
#include <stdatomic.h>

#include "upstream.h"

struct server {
	const char *name;
	struct plot plot;
	struct upstream *upstream;
	uint16_t port;
	pmz_ns dead_from, dead_until; /* 0: it has not died */

	atomic_bool stopping;
	int fated;
	pthread_t fate;
};

/* 0, or -1 after saying what is wrong with the script. */
int server_read(struct server *server, const char *name, const char *script);
/* Once its plot has been started: 0, or -1; stop it either way. */
int server_start(struct server *server);
void server_stop(struct server *server);

#endif
