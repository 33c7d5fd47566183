/*
 * expect.h - cmocka assertions that name what they saw.
 */
#ifndef KIT_EXPECT_H
#define KIT_EXPECT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pipemaze/base.h>

#include "words.h"

#define KIT_COUNT(list) (sizeof(list) / sizeof(*(list)))

static inline void kit_expect(int got, int want, kit_word word,
                              const char *file, int line)
{
	if (got == want)
		return;
	print_error("%s instead of %s\n", word(got), word(want));
	_fail(file, line);
}

#define expect_status(got, want) \
	kit_expect(got, want, pmz_status_name, __FILE__, __LINE__)
#define expect_state(got, want) \
	kit_expect((int)(got), want, kit_state, __FILE__, __LINE__)
#define expect_step(got, want) \
	kit_expect((int)(got), want, kit_step, __FILE__, __LINE__)

/* The same for a row of a table: it prints the number of the row. */
static inline void kit_expect_row(size_t row, int got, int want, kit_word word)
{
	if (got != want)
		fail_msg("row %zu: %s instead of %s", row, word(got),
		         word(want));
}

/* An instant lies in [from, to]. */
#define expect_between(at, from, to) assert_in_range(at, from, to)

#endif
