/*
 * upstream.h - a real HTTP server on a free port of 127.0.0.1 that falls ill by
 * a script.
 *
 * It has hands for a few requests at once; the rest queue up in its backlog. As
 * real servers do, it works for callers who have hung up, since it sees that
 * only when it answers; a request that hangs keeps its hand until they do.
 *
 * Threads: one owner; the server has threads of its own.
 */
#ifndef OUTAGE_UPSTREAM_H
#define OUTAGE_UPSTREAM_H

#include "plot.h"

struct upstream;

/* The plot must have been started. NULL if there is no port or no thread. */
struct upstream *upstream_new(const struct plot *plot);
uint16_t upstream_port(const struct upstream *up);
/* Hangs up on everybody at once. NULL is fine. */
void upstream_free(struct upstream *up);

#endif
