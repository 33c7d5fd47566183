/*
 * socket.c - names into addresses, addresses into connected sockets.
 */
#include "redis/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/assert.h"

/* So much of late replies is read before a close, and no more. */
#define DRAIN_MAX 64

static int place_of_path(pmz__places *out, const char *path)
{
	struct sockaddr_un un;

	memset(&un, 0, sizeof(un));
	un.sun_family = AF_UNIX;
	memcpy(un.sun_path, path, strlen(path));
	memcpy(&out->place[0].at, &un, sizeof(un));
	out->place[0].len = sizeof(un);
	out->count = 1;
	return PMZ_OK;
}

static void keep_places(pmz__places *out, const struct addrinfo *found)
{
	for (; found && out->count < PMZ__PLACES_MAX; found = found->ai_next) {
		pmz__place *p = &out->place[out->count];

		if (found->ai_addrlen > sizeof(p->at))
			continue;
		memcpy(&p->at, found->ai_addr, found->ai_addrlen);
		p->len = found->ai_addrlen;
		out->count++;
	}
}

static int look_up(const pmz__address *address, int flags,
                   struct addrinfo **found)
{
	struct addrinfo hints;
	char port[8];

	memset(&hints, 0, sizeof(hints));
	hints.ai_family = AF_UNSPEC;
	hints.ai_socktype = SOCK_STREAM;
	hints.ai_flags = AI_NUMERICSERV | flags;
	snprintf(port, sizeof(port), "%u", (unsigned)address->port);
	return getaddrinfo(address->host, port, &hints, found);
}

int pmz__places_find(pmz__places *out, const pmz__address *address, char *text,
                     size_t len)
{
	struct addrinfo *found = NULL;
	int error;

	out->count = 0;
	if (address->kind == PMZ__ADDRESS_UNIX)
		return place_of_path(out, address->host);
	error = look_up(address, AI_NUMERICHOST, &found);
	if (error == EAI_NONAME)
		error = look_up(address, 0, &found);
	if (!error) {
		keep_places(out, found);
		freeaddrinfo(found);
	}
	if (out->count)
		return PMZ_OK;
	snprintf(text, len, "look-up of %s: %s", address->host,
	         error ? gai_strerror(error) : "no address");
	return PMZ_E_IO;
}

void pmz__dial_begin(pmz__dial *dial, pmz_ns due)
{
	dial->next = 0;
	dial->fd = -1;
	dial->error = 0;
	dial->due = due;
	dial->turn = 0;
}

void pmz__dial_end(pmz__dial *dial)
{
	if (dial->fd >= 0)
		close(dial->fd);
	dial->fd = -1;
}

static int open_socket(int family)
{
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int yes = 1;

	if (fd >= 0 && family != AF_UNIX)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
	return fd;
}

/* The place is given up, and the next one is tried by the next step. */
static pmz__dialled miss(pmz__dial *dial, int error)
{
	dial->error = error;
	pmz__dial_end(dial);
	return PMZ__DIAL_BUSY;
}

static pmz__dialled try_next(pmz__dial *dial, pmz_ns now)
{
	const pmz__place *p = &dial->places.place[dial->next];
	uint32_t left = dial->places.count - dial->next;

	dial->next++;
	dial->turn = now + (dial->due - now) / left;
	dial->fd = open_socket(p->at.ss_family);
	if (dial->fd < 0)
		return miss(dial, errno);
	if (!connect(dial->fd, (const struct sockaddr *)&p->at, p->len))
		return PMZ__DIAL_OPEN;
	/* A connect that a signal interrupts goes on by itself. */
	if (errno == EINPROGRESS || errno == EINTR)
		return PMZ__DIAL_BUSY;
	return miss(dial, errno);
}

static pmz__dialled look(pmz__dial *dial, pmz_ns now)
{
	struct pollfd p = { dial->fd, POLLOUT, 0 };
	int error = 0;
	socklen_t len = sizeof(error);

	if (poll(&p, 1, 0) <= 0)
		return now < dial->turn ? PMZ__DIAL_BUSY
		                        : miss(dial, ETIMEDOUT);
	if (getsockopt(dial->fd, SOL_SOCKET, SO_ERROR, &error, &len))
		error = errno;
	return error ? miss(dial, error) : PMZ__DIAL_OPEN;
}

pmz__dialled pmz__dial_go_on(pmz__dial *dial, pmz_ns now)
{
	pmz__dialled step = PMZ__DIAL_BUSY;

	if (dial->fd >= 0)
		step = look(dial, now);
	while (step == PMZ__DIAL_BUSY && dial->fd < 0) {
		if (dial->next == dial->places.count || now >= dial->due)
			return PMZ__DIAL_FAILED;
		step = try_next(dial, now);
	}
	return step;
}

void pmz__socket_reset(int fd)
{
	struct linger at_once = { 1, 0 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	close(fd);
}

void pmz__socket_may_sleep(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags >= 0)
		fcntl(fd, F_SETFL, flags & ~O_NONBLOCK);
}

void pmz__socket_close(int fd)
{
	char late[1024];
	int i;

	/* A close with something unread resets the connection. */
	shutdown(fd, SHUT_WR);
	for (i = 0; i < DRAIN_MAX; i++)
		if (recv(fd, late, sizeof(late), MSG_DONTWAIT) <= 0)
			break;
	close(fd);
}
