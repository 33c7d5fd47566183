/*
 * leave.c - how a forked child of a test ends.
 */
#include "leave.h"

#include <unistd.h>

#ifdef PMZ_COVERAGE
void __gcov_dump(void);
#endif

void kit_leave(int status)
{
#ifdef PMZ_COVERAGE
	__gcov_dump();
#endif
	_exit(status);
}
