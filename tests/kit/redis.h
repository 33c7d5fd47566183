/*
 * redis.h - real Redis servers for wire tests.
 *
 *   kit_redis *r = kit_redis_start(NULL);
 *   char text[64];
 *
 *   kit_redis_ask(r, text, sizeof(text), "SET", "key", "1", NULL);
 *   assert_string_equal(text, "OK");
 *   kit_redis_stop(r);
 *
 * Each is a redis-server process of its own, on a free port of 127.0.0.1 and
 * on a unix socket, and saves nothing. It runs in a new directory, where its
 * output is in the file `log`. Whatever goes wrong here ends the test program
 * with a sentence; a test never goes on without its server.
 *
 * No server outlives its test: what was not stopped is ended at exit, and if
 * the program is killed, the kernel ends it. A forked child may ask, and must
 * leave the rest to its parent. Who waits for children does so by their ids: a
 * server is one, and waited for here.
 *
 * A server ends with the thread that started it, so start them on the main one.
 * Threads: ask on any; the rest one at a time per server.
 */
#ifndef KIT_REDIS_H
#define KIT_REDIS_H

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct kit_redis kit_redis;

/* Returns when it answers. `extra` may be NULL, or more of redis-server's own
 * arguments up to a NULL: { "--requirepass", "x", NULL }. */
kit_redis *kit_redis_start(const char *const *extra);
void kit_redis_stop(kit_redis *r); /* NULL is fine */
/* So many, and their addresses, which may be NULL. */
void kit_redis_start_all(kit_redis **all, const char **addresses, size_t count);
void kit_redis_stop_all(kit_redis *const *all, size_t count);

const char *kit_redis_address(const kit_redis *r); /* redis://127.0.0.1:PORT */
uint16_t kit_redis_port(const kit_redis *r);
const char *kit_redis_unix(const kit_redis *r); /* the path of its socket */

/* By SIGKILL; returns when it is gone. Its port stays its own and refuses
 * connections. Dead already is fine. */
void kit_redis_kill(kit_redis *r);

/* The same port and arguments, and no keys; kills it first if need be. A node
 * of a cluster is still the same node. Returns when it answers. */
void kit_redis_restart(kit_redis *r);

/* By SIGSTOP and SIGCONT; returns when it has stopped, or runs again. The
 * kernel still accepts connections and bytes for a paused server, in order. */
void kit_redis_pause(kit_redis *r);
void kit_redis_go_on(kit_redis *r);

int kit_redis_is_up(const kit_redis *r); /* neither killed nor paused */

/* One command on a connection of its own, its words up to a NULL, with the
 * password of --requirepass if there is one. Writes the reply to `out` as text,
 * cut to fit, and returns out: a string as it is, an integer as digits, nil as
 * "(nil)", an error by its words, the items of arrays with a space between.
 * "(no answer)" when there is none within 5 s, or no server. */
const char *kit_redis_ask(const kit_redis *r, char *out, size_t len, ...)
	__attribute__((sentinel));

/* The same as a number; an answer that is none ends the program. */
long long kit_redis_count(const kit_redis *r, ...) __attribute__((sentinel));

/* Ends the program with this sentence. */
void kit_fail(const char *format, ...)
	__attribute__((format(printf, 1, 2), noreturn));

int64_t kit_now(void); /* ns; the test's own clock, not the library's */
void kit_doze(unsigned ms);

/* Asks `holds` again and again, for as long as `seconds`, then ends the program
 * with what was waited for. */
typedef int (*kit_claim)(void *ctx);
void kit_wait(kit_claim holds, void *ctx, unsigned seconds, const char *what);

/* A child ends with its parent. */
pid_t kit_fork(void);

struct sockaddr_in kit_loopback(uint16_t port); /* 127.0.0.1 */

/* A free port of 127.0.0.1 that stays free for who sets SO_REUSEADDR, until the
 * descriptor is closed. */
int kit_port_reserve(uint16_t *port);

#endif
