/*
 * proxy.h - a network that misbehaves on request.
 *
 *   kit_proxy *p = kit_proxy_start(kit_redis_port(r));
 *
 *   kit_proxy_hold_one(p, KIT_REQUESTS, 1);
 *   ... the client of kit_proxy_address(p) gives up and comes again ...
 *   kit_proxy_pass(p, KIT_BOTH);     and now its first bytes arrive
 *   kit_proxy_stop(p);
 *
 * A TCP proxy on a free port of 127.0.0.1 in front of another, run by a thread
 * of the test. For each connection of a client it has one to the server, made
 * at once. Each way has one fault at a time: setting another ends the one
 * before, for the connections that are there as for those to come, and is in
 * force when the call returns. What a fault has kept goes on by the next one.
 *
 * The end of a stream waits behind the bytes before it, and is subject to the
 * same fault. A server that refuses or ends closes its client.
 *
 * It keeps 1 MB of each way of a connection, then its sender has to wait, and
 * has 256 connections at a time; more wait to be accepted.
 *
 * A forked child cannot command it. Connections end on time though the child
 * holds copies of them. Threads: any.
 */
#ifndef KIT_PROXY_H
#define KIT_PROXY_H

#include <stdint.h>

typedef struct kit_proxy kit_proxy;

/* Which way, and so whose bytes. */
typedef enum kit_way {
	KIT_REQUESTS = 1, /* from the client to the server */
	KIT_REPLIES = 2,  /* from the server to the client */
	KIT_BOTH = 3
} kit_way;

typedef enum kit_ending {
	KIT_HANG, /* the rest is kept, as by hold */
	KIT_CLOSE /* both sides are closed, and the rest is lost */
} kit_ending;

kit_proxy *kit_proxy_start(uint16_t port);
void kit_proxy_stop(kit_proxy *p); /* NULL is fine */

const char *kit_proxy_address(const kit_proxy *p); /* redis://127.0.0.1:PORT */
uint16_t kit_proxy_port(const kit_proxy *p);

/* Each byte goes on as soon as it is there. */
void kit_proxy_pass(kit_proxy *p, kit_way way);

/* Each byte goes on so long after it arrived, in order. */
void kit_proxy_delay(kit_proxy *p, kit_way way, unsigned ms);

/* Bytes are kept, also when their sender closes its connection: let go, they
 * arrive late. */
void kit_proxy_hold(kit_proxy *p, kit_way way);

/* Holds for the n-th connection since the start only, counted from 1; the rest
 * pass. The next one is kit_proxy_connections(p) + 1. */
void kit_proxy_hold_one(kit_proxy *p, kit_way way, uint64_t n);

/* Bytes are swallowed, and nothing is ever closed. A way that has lost bytes
 * swallows the rest of that connection also after the fault. For replies alone
 * it is a command that is done and never answered. */
void kit_proxy_black_hole(kit_proxy *p, kit_way way);

/* One byte, and the next one so much later. */
void kit_proxy_trickle(kit_proxy *p, kit_way way, unsigned ms);

/* One send for each byte, without a wait. */
void kit_proxy_single_bytes(kit_proxy *p, kit_way way);

/* So many more bytes pass on each connection, then it hangs or is closed; 0 to
 * end it where the first byte would go on. */
void kit_proxy_cut(kit_proxy *p, kit_way way, uint64_t bytes, kit_ending how);

/* New connections are refused, then accepted again on the same port. The ones
 * that are there stay. */
void kit_proxy_refuse(kit_proxy *p);
void kit_proxy_accept(kit_proxy *p);

/* Closes all connections on both sides; what was kept is lost. */
void kit_proxy_close_all(kit_proxy *p);

uint64_t kit_proxy_connections(kit_proxy *p); /* seen since the start */

/* Bytes sent on since the start, and those now kept; of both ways the sum. */
uint64_t kit_proxy_forwarded(kit_proxy *p, kit_way way);
uint64_t kit_proxy_kept(kit_proxy *p, kit_way way);

/* Wait until so many bytes are kept, or have been forwarded; 10 s, then the
 * program ends. */
void kit_proxy_wait_kept(kit_proxy *p, kit_way way, uint64_t bytes);
void kit_proxy_wait_forwarded(kit_proxy *p, kit_way way, uint64_t bytes);

#endif
