/*
 * upstream.h - a real HTTP server on a free port of 127.0.0.1 that falls ill by
 * a script.
 *
 * It has hands for a few requests at once; the rest queue up in its backlog. As
 * real servers do, it works for callers who have hung up, since it sees that
 * only when it answers; a request that hangs keeps its hand until they do.
 *
 * It may also die, as a process does: its socket is closed, so that callers are
 * refused. The port stays its own, and there it can come back.
 *
 * Threads: one owner; the server has threads of its own.
 */
#ifndef COMMON_UPSTREAM_H
#define COMMON_UPSTREAM_H

#include "plot.h"

#define SERVES_AT_ONCE 8 /* requests that it has hands for */

struct upstream;

/* The plot must have been started. NULL if there is no port or no thread. */
struct upstream *upstream_new(const struct plot *plot);
uint16_t upstream_port(const struct upstream *up);
/* Hangs up on everybody at once; returns since when nobody who comes has been
 * answered. */
pmz_ns upstream_die(struct upstream *up);
/* After that: 0, or -1 if it stays dead. */
int upstream_return(struct upstream *up);
/* NULL is fine. */
void upstream_free(struct upstream *up);

#endif
