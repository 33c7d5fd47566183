/*
 * words.c - what a failing test calls the numbers that it saw.
 */
#include "words.h"

#include <pipemaze/pipe.h>

#define COUNT(list) (int)(sizeof(list) / sizeof(*(list)))

static const char *pick(const char *const *words, int count, int i)
{
	return i > 0 && i < count ? words[i] : "unknown";
}

const char *kit_state(int state)
{
	static const char *const words[] = {
		"",
		[PMZ_CLOSED] = "PMZ_CLOSED",
		[PMZ_OPEN] = "PMZ_OPEN",
		[PMZ_HALF_OPEN] = "PMZ_HALF_OPEN",
	};

	return pick(words, COUNT(words), state);
}

const char *kit_outcome(int outcome)
{
	static const char *const words[] = {
		"",
		[PMZ_SUCCESS] = "PMZ_SUCCESS",
		[PMZ_FAILURE] = "PMZ_FAILURE",
		[PMZ_IGNORE] = "PMZ_IGNORE",
		[PMZ_AGAIN] = "PMZ_AGAIN",
		[PMZ_FATAL] = "PMZ_FATAL",
	};

	return pick(words, COUNT(words), outcome);
}

const char *kit_step(int step)
{
	static const char *const words[] = {
		"",
		[PMZ_TRY] = "PMZ_TRY",
		[PMZ_WAIT] = "PMZ_WAIT",
		[PMZ_DONE] = "PMZ_DONE",
	};

	return pick(words, COUNT(words), step);
}
