/*
 * net.h - the servers of a fuzz target, in the same process: what the library
 * and hiredis call of libc to reach one is here, and reaches no network.
 *
 * Each socket is one end of a pair. The other end is its server's, and does
 * what the input says. To be included by one file of a target.
 */
#ifndef NET_H
#define NET_H

#include "fuzz.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#define NET_ENDS 32
/* In the place of libc's, also for a shared hiredis. */
#define NET_INSTEAD __attribute__((visibility("default")))

/* What a connect() comes to. */
typedef enum net_mood { NET_ACCEPTS, NET_REFUSES, NET_TAKES_TIME } net_mood;

static struct net {
	int ends[NET_ENDS]; /* of the servers; -1: none */
	unsigned count;     /* of sockets since the start */
	net_mood mood;
} net;

#ifdef __GLIBC__
typedef __CONST_SOCKADDR_ARG net_address;
#else
typedef const struct sockaddr *net_address;
#endif

NET_INSTEAD int socket(int domain, int type, int protocol)
{
	int pair[2], *end = &net.ends[net.count++ % NET_ENDS];

	(void)domain;
	(void)protocol;
	must(!socketpair(AF_UNIX, type, 0, pair));
	if (*end >= 0)
		close(*end);
	*end = pair[1];
	return pair[0];
}

NET_INSTEAD int connect(int fd, net_address address, socklen_t len)
{
	(void)fd;
	(void)address;
	(void)len;
	if (net.mood == NET_ACCEPTS)
		return 0;
	errno = net.mood == NET_REFUSES ? ECONNREFUSED : EINPROGRESS;
	return -1;
}

/* A name that begins with a digit is an address, one with x is unknown; each of
 * the others has two. */
NET_INSTEAD int getaddrinfo(const char *restrict name,
                            const char *restrict service,
                            const struct addrinfo *restrict hints,
                            struct addrinfo **restrict out)
{
	static struct sockaddr_in at = { .sin_family = AF_INET };
	static struct addrinfo found[2];
	int is_number = *name >= '0' && *name <= '9';
	unsigned i;

	(void)service;
	if (*name == 'x' || (hints->ai_flags & AI_NUMERICHOST && !is_number))
		return EAI_NONAME;
	for (i = 0; i < 2; i++) {
		found[i].ai_addr = (struct sockaddr *)&at;
		found[i].ai_addrlen = sizeof(at);
		found[i].ai_next = is_number || i ? NULL : &found[1];
	}
	*out = found;
	return 0;
}

NET_INSTEAD void freeaddrinfo(struct addrinfo *found)
{
	(void)found;
}

static void net_open(void)
{
	unsigned i;

	for (i = 0; i < NET_ENDS; i++)
		net.ends[i] = -1;
	net.count = 0;
	net.mood = NET_ACCEPTS;
}

static void net_close(void)
{
	unsigned i;

	for (i = 0; i < NET_ENDS; i++)
		if (net.ends[i] >= 0)
			close(net.ends[i]);
}

/* The newest but so many. */
static int *net_end(unsigned i)
{
	return &net.ends[(net.count + NET_ENDS - 1 - i) % NET_ENDS];
}

/* The client may have closed it, or be slow. */
static void net_say(unsigned i, const void *text, size_t len)
{
	ssize_t n = send(*net_end(i), text, len, MSG_DONTWAIT | MSG_NOSIGNAL);

	(void)n;
}

static void net_say_bytes(bytes *b)
{
	unsigned i = bytes_below(b, 8);
	const uint8_t *from;
	size_t len = bytes_take(b, bytes_8(b), &from);

	if (len)
		net_say(i, from, len);
}

static void net_say_well(bytes *b)
{
	static const char *const texts[] = {
		"$5\r\n1 7 0\r\n",
		"$5\r\n1 9 0\r\n",
		"$5\r\n0 0 5\r\n",
		"$9\r\n1 7 5 abcd\r\n",
		"+OK\r\n",
		":1\r\n",
		":0\r\n",
		":-9223372036854775808\r\n",
		"$-1\r\n",
		"*-1\r\n",
		"*2\r\n$1\r\n1\r\n:7\r\n",
		"-NOSCRIPT none\r\n",
		"-MOVED 7 127.0.0.1:7001\r\n",
		"-LOADING yet\r\n",
		"-READONLY here\r\n",
		"-WRONGTYPE of key\r\n",
	};
	unsigned i = bytes_below(b, 8);
	const char *text =
		texts[bytes_below(b, sizeof(texts) / sizeof(*texts))];

	net_say(i, text, strlen(text));
}

static void net_hang_up(bytes *b)
{
	int *end = net_end(bytes_below(b, 8));

	if (*end >= 0)
		close(*end);
	*end = -1;
}

/* Else a client that says much has to wait. */
static void net_hear(bytes *b)
{
	const int *end = net_end(bytes_below(b, 8));
	char sink[4096];

	while (recv(*end, sink, sizeof(sink), MSG_DONTWAIT) > 0)
		continue;
}

/* What one server does. */
static void net_deed(bytes *b)
{
	switch (bytes_below(b, 8)) {
	case 0:
		net_say_bytes(b);
		break;
	case 1:
		net_hang_up(b);
		break;
	case 2:
		net_hear(b);
		break;
	case 3:
		net.mood = (net_mood)bytes_below(b, 3);
		break;
	default:
		net_say_well(b);
	}
}

#endif
