/*
 * fleet.h - the numbers that the parts of the demo share.
 */
#ifndef FLEET_FLEET_H
#define FLEET_FLEET_H

#define ENDPOINTS 3
#define CALLS_PER_S 120 /* come to the client, whatever becomes of them */
#define WORKERS 12      /* threads that make them, one attempt each at a time */
#define TRIES 3         /* of a call, each at another endpoint */

#endif
