/*
 * demo.h - the numbers that both lanes share.
 */
#ifndef OUTAGE_DEMO_H
#define OUTAGE_DEMO_H

/* The lanes. */
enum { WITHOUT, WITH, LANES };

#define CALLS_PER_S 120 /* come to each lane, whatever becomes of them */
#define WORKERS 32      /* threads of each lane that make them */
#define IN_TIME_MS 250  /* an answer after this is of little use */

#endif
