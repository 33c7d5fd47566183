/*
 * summary.h - what became of all callers of a lane, and when it was well again.
 *
 * Threads: one.
 */
#ifndef OUTAGE_SUMMARY_H
#define OUTAGE_SUMMARY_H

#include "lane.h"
#include "table.h"

/* All counts are of callers, but for the attempts. */
struct summary {
	unsigned callers, answered, in_time, refused;
	unsigned failed; /* or not answered by the end */
	unsigned attempts, attempts_sick;
	pmz_ns p50, p99;        /* of the answers; 0: there were none */
	pmz_ns refused_p99;     /* of the refusals, likewise */
	int healed;             /* the upstream has been sick, and is no more */
	pmz_ns recovered_after; /* then; PMZ_NEVER: not by the end */
};

/* The lane must have been stopped. */
void summary_of(const struct lane *lane, struct summary *out);

/* The same as words, to be shown in a table. */
enum {
	SUMMARY_CALLERS,
	SUMMARY_ANSWERED,
	SUMMARY_IN_TIME,
	SUMMARY_FAILED,
	SUMMARY_REFUSED,
	SUMMARY_P50,
	SUMMARY_P99,
	SUMMARY_REFUSED_P99,
	SUMMARY_ATTEMPTS,
	SUMMARY_RECOVERY,
	SUMMARY_ROWS
};

void summary_rows(const struct summary *lanes, struct table_row *rows);

#endif
