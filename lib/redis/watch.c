/*
 * watch.c - several descriptors waited for as one.
 */
#include "redis/watch.h"

#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/wide.h"

void pmz__watch_init(pmz__watch *w)
{
	w->fd = -1;
	w->count = 0;
}

void pmz__watch_end(pmz__watch *w)
{
	if (w->fd >= 0)
		close(w->fd);
	pmz__watch_init(w);
}

/* On Linux EPOLLIN is POLLIN and EPOLLOUT is POLLOUT. */
static int add(pmz__watch *w, const pmz__watched *one)
{
	struct epoll_event event;

	memset(&event, 0, sizeof(event));
	event.events = (uint32_t)one->events;
	return epoll_ctl(w->fd, EPOLL_CTL_ADD, one->fd, &event);
}

static int is_same(const pmz__watch *w, const pmz__watched *of, uint32_t count)
{
	uint32_t i;

	if (w->fd < 0 || w->count != count)
		return 0;
	for (i = 0; i < count; i++)
		if (w->seen[i].fd != of[i].fd ||
		    w->seen[i].events != of[i].events ||
		    w->seen[i].serial != of[i].serial)
			return 0;
	return 1;
}

/* A set is made anew when it changes, which is seldom: a descriptor that was
 * closed has left it without a word. */
int pmz__watch_all(pmz__watch *w, const pmz__watched *of, uint32_t count)
{
	count = (uint32_t)pmz__min(count, PMZ__WATCH_MAX);
	if (is_same(w, of, count))
		return w->fd;
	pmz__watch_end(w);
	w->fd = epoll_create1(EPOLL_CLOEXEC);
	if (w->fd < 0)
		return of[0].fd;
	for (; w->count < count; w->count++) {
		w->seen[w->count] = of[w->count];
		add(w, &of[w->count]);
	}
	return w->fd;
}
