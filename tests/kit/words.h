/*
 * words.h - what a failing test calls the numbers that it saw.
 */
#ifndef KIT_WORDS_H
#define KIT_WORDS_H

typedef const char *(*kit_word)(int value);

const char *kit_state(int state);     /* "PMZ_HALF_OPEN" */
const char *kit_outcome(int outcome); /* "PMZ_FAILURE" */
const char *kit_step(int step);       /* "PMZ_WAIT" */

#endif
