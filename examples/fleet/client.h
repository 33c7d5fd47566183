/*
 * client.h - who calls the servers: a crowd, a pipe around each call, and in
 * it a balancer around each attempt.
 *
 * Threads: any, except that _start and _free need it alone.
 */
#ifndef FLEET_CLIENT_H
#define FLEET_CLIENT_H

#include "crowd.h"
#include "fleet.h"
#include "server.h"

/* One that is over. */
struct attempt {
	uint32_t endpoint;
	pmz_outcome how;
	pmz_ns picked, left;
};

struct client {
	struct server *server; /* by the number of the endpoint */
	pmz_balance *balance;
	pmz_pipe *pipe;
	struct crowd crowd;

	pthread_mutex_t lock; /* of the log */
	struct attempt *log;
	unsigned logged, log_max;
};

/* What an endpoint did from one instant up to another, and how it is then. */
struct sample {
	unsigned answered, failed; /* attempts that ended */
	pmz_ns latency;            /* median of the answers; 0: none */
	unsigned rest; /* it is ejected, for the nth time; 0: it is not */
};

/* Fill in the first part of the client, the rest being zero. 0, or -1; stop the
 * crowd, join it, and free the client either way. */
int client_start(struct client *client, unsigned callers_max);
void client_free(struct client *client);

void client_sample(struct client *client, uint32_t endpoint, pmz_ns from,
                   pmz_ns to, struct sample *out);
void client_stats(const struct client *client, uint32_t endpoint, pmz_ns now,
                  pmz_endpoint_stats *out);

#endif
