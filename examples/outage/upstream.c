/*
 * upstream.c - a real HTTP server that falls ill by a script.
 */
#define _POSIX_C_SOURCE 200809L
#include "upstream.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <pipemaze/edge.h>

#include "http.h"

#define BACKLOG 1024
#define PATIENCE PMZ_S(1) /* with a caller who does not get on with it */
#define GLANCE PMZ_MS(50) /* between two looks at whether to stop */

struct upstream {
	const struct plot *plot;
	int fd;
	uint16_t port;
	atomic_bool stopping;
	atomic_uint served; /* seeds the script: no two attempts alike */
	int hands;
	pthread_t hand[SERVES_AT_ONCE];
};

static pmz_ns sooner(pmz_ns a, pmz_ns b)
{
	return a < b ? a : b;
}

static void busy_until(struct upstream *up, pmz_ns until)
{
	pmz_ns now;

	while ((now = pmz_now()) < until && !atomic_load(&up->stopping))
		pmz_sleep_until(sooner(until, now + GLANCE));
}

/* A request that hangs ends when its caller goes: only that can be read now. */
static void hang(struct upstream *up, int fd)
{
	while (!atomic_load(&up->stopping) &&
	       !http_wait(fd, POLLIN, pmz_now() + GLANCE))
		;
}

static void serve(struct upstream *up, int fd)
{
	pmz_ns now, lasts;
	pmz_outcome how;

	if (http_read(fd, pmz_now() + PATIENCE))
		return;
	now = pmz_now();
	how = plot_attempt(up->plot, now, atomic_fetch_add(&up->served, 1),
	                   &lasts);
	if (lasts == PMZ_NEVER) {
		hang(up, fd);
		return;
	}
	busy_until(up, now + lasts);
	if (!atomic_load(&up->stopping))
		http_answer(fd, how, pmz_now() + PATIENCE);
}

static void *lend_a_hand(void *arg)
{
	struct upstream *up = arg;

	while (!atomic_load(&up->stopping)) {
		int fd;

		if (!http_wait(up->fd, POLLIN, pmz_now() + GLANCE))
			continue;
		/* Does not block: another hand may have been faster. */
		fd = accept(up->fd, NULL, NULL);
		if (fd < 0)
			continue;
		if (fcntl(fd, F_SETFL, O_NONBLOCK) == 0)
			serve(up, fd);
		close(fd);
	}
	return NULL;
}

static int listen_on_free_port(struct upstream *up)
{
	struct sockaddr_in at;
	socklen_t size = sizeof(at);

	memset(&at, 0, sizeof(at));
	at.sin_family = AF_INET;
	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	up->fd = socket(AF_INET, SOCK_STREAM, 0);
	if (up->fd < 0 || fcntl(up->fd, F_SETFL, O_NONBLOCK) ||
	    bind(up->fd, (struct sockaddr *)&at, size) ||
	    listen(up->fd, BACKLOG) ||
	    getsockname(up->fd, (struct sockaddr *)&at, &size))
		return -1;
	up->port = ntohs(at.sin_port);
	return 0;
}

static int start_hands(struct upstream *up)
{
	while (up->hands < SERVES_AT_ONCE) {
		if (pthread_create(&up->hand[up->hands], NULL, lend_a_hand, up))
			return -1;
		up->hands++;
	}
	return 0;
}

struct upstream *upstream_new(const struct plot *plot)
{
	struct upstream *up = calloc(1, sizeof(*up));

	if (!up)
		return NULL;
	up->plot = plot;
	if (listen_on_free_port(up) || start_hands(up)) {
		upstream_free(up);
		return NULL;
	}
	return up;
}

uint16_t upstream_port(const struct upstream *up)
{
	return up->port;
}

void upstream_free(struct upstream *up)
{
	if (!up)
		return;
	atomic_store(&up->stopping, 1);
	while (up->hands)
		pthread_join(up->hand[--up->hands], NULL);
	if (up->fd >= 0)
		close(up->fd);
	free(up);
}
