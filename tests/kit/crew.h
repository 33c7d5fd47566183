/*
 * crew.h - the same work on several threads that start together.
 */
#ifndef KIT_CREW_H
#define KIT_CREW_H

#define CREW_MAX 8

typedef void (*crew_work)(unsigned who, void *ctx);

/* Returns when all are done; `who` counts from 0. */
void crew_run(unsigned threads, crew_work work, void *ctx);

/* Inside the work: waits until all are here. */
void crew_meet(void);

#endif
