/*
 * pipemaze.h - all of libpipemaze, an embeddable resilience library.
 */
#ifndef PIPEMAZE_H
#define PIPEMAZE_H

#include <pipemaze/backoff.h>
#include <pipemaze/balance.h>
#include <pipemaze/base.h>
#include <pipemaze/breaker.h>
#include <pipemaze/bucket.h>
#include <pipemaze/budget.h>
#include <pipemaze/bulkhead.h>
#include <pipemaze/edge.h>
#include <pipemaze/lock.h>
#include <pipemaze/lock_proto.h>
#include <pipemaze/pipe.h>
#include <pipemaze/ring.h>
#include <pipemaze/sim.h>
#include <pipemaze/version.h>

#endif /* PIPEMAZE_H */
