/*
 * life.h - how long a demo lives, and who may end it sooner.
 *
 * Threads: one.
 */
#ifndef COMMON_LIFE_H
#define COMMON_LIFE_H

#include "spans.h"

/* From now on, who interrupts the demo is heard by it, and does not kill it. */
void life_heed_signals(void);
int life_interrupted(void);

/* What is written, unless DEMO_SECONDS says otherwise; in whole ticks. */
pmz_ns life_length(pmz_ns written);
/* A span of a demo that is written for one length, in a demo of another. */
pmz_ns life_scaled(pmz_ns span, pmz_ns written, pmz_ns length);

#endif
