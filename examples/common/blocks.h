/*
 * blocks.h - charts of block characters on a canvas, one under the other.
 *
 *   label      ▂███▇▃▃▃▂▁▁▁▁   figures    Time goes to the right, and all of
 *                                         the demo fits in.
 *
 * Threads: one.
 */
#ifndef COMMON_BLOCKS_H
#define COMMON_BLOCKS_H

#include "canvas.h"
#include "spans.h"

#define BLOCKS_LEFT 12  /* of the charts: their labels */
#define BLOCKS_RIGHT 19 /* of the charts: their figures */
#define BLOCKS_MAX 240  /* characters in a line */
/* How high charts are in one line and in two, with a hair left above them. */
#define BLOCKS_LOW 7
#define BLOCKS_TALL 15

/* How many characters a chart has. */
int blocks_width(const struct canvas *c);
/* The ticks [from, to) that the character i stands for: at least one, and none
 * after the last of those that were, if some of them were. */
void blocks_ticks(const struct canvas *c, int i, int length, int ticks,
                  int *from, int *to);
/* The column in which an instant of a demo of that length lies. */
int blocks_column(const struct canvas *c, pmz_ns since, pmz_ns lasts);

/* How high a value stands, in eighths of a line; what there is can be seen. */
int blocks_level(double value, double max, int levels);
/* How high a latency stands, from 10 ms to 10 s in decades; 0 for none. */
int blocks_latency(pmz_ns latency, int levels);

/* What of a level shows in a line; the lowest is 0. */
void blocks_put(struct canvas *c, int level, int line);
void blocks_label(struct canvas *c, const char *text);
/* A line of stages, broken between them where it must be. */
void blocks_stages(struct canvas *c, const char *label, const char *line);

#endif
