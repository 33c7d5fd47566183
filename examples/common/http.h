/*
 * http.h - one GET over one connection, on both of its ends.
 *
 * Every wait is bounded by an instant, and not by a span that starts anew with
 * each byte: a server that trickles cannot make a time-out longer.
 *
 * Threads: any.
 */
#ifndef COMMON_HTTP_H
#define COMMON_HTTP_H

#include <pipemaze.h>

/* Asks 127.0.0.1:port, and judges the answer as pmz_outcome means it. Given up
 * at `due`. */
pmz_outcome http_get(uint16_t port, pmz_ns due);

/* Reads a request to its end: 0, or -1 if none came by `due`. */
int http_read(int fd, pmz_ns due);
/* Answers it with the code that http_get() takes for that outcome. */
void http_answer(int fd, pmz_outcome how, pmz_ns due);

/* Waits until fd can be read or written (POLLIN, POLLOUT): 1; 0 once it is
 * `due`. */
int http_wait(int fd, short events, pmz_ns due);

#endif
