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
	int fd; /* that listens; -1: it is dead */
	int keeper;
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

static int bound_socket(uint16_t port)
{
	struct sockaddr_in at;
	int fd = socket(AF_INET, SOCK_STREAM, 0), yes = 1;

	if (fd < 0)
		return -1;
	memset(&at, 0, sizeof(at));
	at.sin_family = AF_INET;
	at.sin_port = htons(port);
	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) ||
	    fcntl(fd, F_SETFL, O_NONBLOCK) ||
	    bind(fd, (struct sockaddr *)&at, sizeof(at))) {
		close(fd);
		return -1;
	}
	return fd;
}

/* By a socket that never listens: as long as it is there, the port is given to
 * nobody else. */
static int keep_free_port(struct upstream *up)
{
	struct sockaddr_in at;
	socklen_t size = sizeof(at);

	up->keeper = bound_socket(0);
	if (up->keeper < 0 ||
	    getsockname(up->keeper, (struct sockaddr *)&at, &size))
		return -1;
	up->port = ntohs(at.sin_port);
	return 0;
}

static int listen_on_port(struct upstream *up)
{
	up->fd = bound_socket(up->port);
	return up->fd < 0 ? -1 : listen(up->fd, BACKLOG);
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

int upstream_return(struct upstream *up)
{
	atomic_store(&up->stopping, 0);
	if (listen_on_port(up) || start_hands(up)) {
		upstream_die(up);
		return -1;
	}
	return 0;
}

struct upstream *upstream_new(const struct plot *plot)
{
	struct upstream *up = calloc(1, sizeof(*up));

	if (!up)
		return NULL;
	up->plot = plot;
	up->fd = -1;
	if (keep_free_port(up) || upstream_return(up)) {
		upstream_free(up);
		return NULL;
	}
	return up;
}

uint16_t upstream_port(const struct upstream *up)
{
	return up->port;
}

/* The hands first: none of them must touch a socket that is closed. */
pmz_ns upstream_die(struct upstream *up)
{
	pmz_ns since;

	atomic_store(&up->stopping, 1);
	since = pmz_now();
	while (up->hands)
		pthread_join(up->hand[--up->hands], NULL);
	if (up->fd >= 0)
		close(up->fd);
	up->fd = -1;
	return since;
}

void upstream_free(struct upstream *up)
{
	if (!up)
		return;
	upstream_die(up);
	if (up->keeper >= 0)
		close(up->keeper);
	free(up);
}
