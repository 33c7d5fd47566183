/*
 * http.c - one GET over one connection, on both of its ends.
 */
#define _POSIX_C_SOURCE 200809L
#include "http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <pipemaze/edge.h>

#define BLINK PMZ_S(60) /* the longest poll(), whose span is an int */

/* Rounded up: a poll() that returns too early would spin. */
static int ms_until(pmz_ns due, pmz_ns now)
{
	pmz_ns left = due - now < BLINK ? due - now : BLINK;

	return (int)((left + PMZ_MS(1) - 1) / PMZ_MS(1));
}

int http_wait(int fd, short events, pmz_ns due)
{
	struct pollfd p = { fd, events, 0 };
	pmz_ns now;

	while ((now = pmz_now()) < due) {
		int ready = poll(&p, 1, ms_until(due, now));

		if (ready > 0)
			return 1;
		if (ready < 0 && errno != EINTR)
			return 0;
	}
	return 0;
}

/* MSG_NOSIGNAL: who hangs up on us must not kill us by SIGPIPE. */
static int send_all(int fd, const char *text, pmz_ns due)
{
	size_t left = strlen(text);

	while (left) {
		ssize_t n = send(fd, text, left, MSG_NOSIGNAL);

		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return -1;
		if (n < 0 && !http_wait(fd, POLLOUT, due))
			return -1;
		if (n > 0) {
			text += n;
			left -= (size_t)n;
		}
	}
	return 0;
}

/* Reads text up to `end`, or to the end of the stream for NULL. */
static int receive(int fd, char *text, size_t size, const char *end, pmz_ns due)
{
	size_t used = 0;

	while (used + 1 < size && http_wait(fd, POLLIN, due)) {
		ssize_t n = recv(fd, text + used, size - used - 1, 0);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (n < 0)
			return -1;
		used += (size_t)n;
		text[used] = 0;
		if (n == 0)
			return end ? -1 : 0;
		if (end && strstr(text, end))
			return 0;
	}
	return -1;
}

static int connect_to(int fd, uint16_t port, pmz_ns due)
{
	struct sockaddr_in to;
	int error = 0;
	socklen_t size = sizeof(error);

	memset(&to, 0, sizeof(to));
	to.sin_family = AF_INET;
	to.sin_port = htons(port);
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0)
		return 0;
	if (errno != EINPROGRESS || !http_wait(fd, POLLOUT, due))
		return -1;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) || error)
		return -1;
	return 0;
}

/* The status code of the answer, or 0 if there was none in time. */
static int code_of_get(int fd, uint16_t port, pmz_ns due)
{
	char answer[512];
	int code;

	if (connect_to(fd, port, due) ||
	    send_all(fd, "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", due) ||
	    receive(fd, answer, sizeof(answer), NULL, due) ||
	    sscanf(answer, "HTTP/1.1 %3d ", &code) != 1)
		return 0;
	return code;
}

/* What a code says about the upstream, and about trying again. */
static pmz_outcome judge(int code)
{
	switch (code) {
	case 200:
		return PMZ_SUCCESS;
	case 429:
		return PMZ_AGAIN;
	case 501:
		return PMZ_FATAL;
	default:
		return code >= 400 && code < 500 ? PMZ_IGNORE : PMZ_FAILURE;
	}
}

pmz_outcome http_get(uint16_t port, pmz_ns due)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	int code = 0;

	if (fd < 0)
		return PMZ_FAILURE;
	if (fcntl(fd, F_SETFL, O_NONBLOCK) == 0)
		code = code_of_get(fd, port, due);
	close(fd);
	return judge(code);
}

int http_read(int fd, pmz_ns due)
{
	char request[1024];

	return receive(fd, request, sizeof(request), "\r\n\r\n", due);
}

void http_answer(int fd, pmz_outcome how, pmz_ns due)
{
	static const char *const lines[] = {
		[PMZ_SUCCESS] = "200 OK",
		[PMZ_FAILURE] = "503 Service Unavailable",
		[PMZ_IGNORE] = "400 Bad Request",
		[PMZ_AGAIN] = "429 Too Many Requests",
		[PMZ_FATAL] = "501 Not Implemented",
	};
	char answer[128];

	snprintf(answer, sizeof(answer),
	         "HTTP/1.1 %s\r\nContent-Length: 3\r\n"
	         "Connection: close\r\n\r\nhi\n",
	         lines[how]);
	/* Who no longer listens has hung up: nothing is owed. */
	(void)send_all(fd, answer, due);
}
