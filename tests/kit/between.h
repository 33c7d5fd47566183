/*
 * between.h - does one thing between any two instructions of another.
 *
 * Two threads meet in the few instructions where they could go wrong once in a
 * million times, and on a busy machine never. Here one piece of work is stopped
 * after a given number of its instructions, the other is done from start to
 * end, and the first goes on: with every number in turn, each such meeting is
 * tried.
 *
 * The processor's trap flag stops the work. Where there is none (it is used on
 * x86-64), or under a thread sanitizer (which cannot be entered twice), the
 * other is done before the work, and that is all.
 */
#ifndef KIT_BETWEEN_H
#define KIT_BETWEEN_H

typedef void (*between_work)(void *ctx);

/* Whether work can be stopped here. */
int between_works(void);

/* Does `work`, and `other` after n of its instructions. 0 if it has fewer, and
 * so `other` was not done. */
int between(unsigned n, between_work work, between_work other, void *ctx);

/* How many instructions `work` has. */
unsigned between_length(between_work work, void *ctx);

#endif
