/*
 * summary.h - what became of the calls to each endpoint in the end.
 *
 * Threads: one, once the client has stopped.
 */
#ifndef FLEET_SUMMARY_H
#define FLEET_SUMMARY_H

#include "rule.h"
#include "table.h"
#include "timeline.h"

enum {
	SUMMARY_CALLS,
	SUMMARY_SHARE,
	SUMMARY_ANSWERED,
	SUMMARY_FAILED,
	SUMMARY_P50,
	SUMMARY_P99,
	SUMMARY_EJECTIONS,
	SUMMARY_RESTED,
	SUMMARY_DEAD,
	SUMMARY_GOT,
	SUMMARY_ALLOWED,
	SUMMARY_ROWS
};

void summary_rows(const struct timeline *t, const struct verdict *verdicts,
                  struct table_row *rows);

/* Of the callers, whom all endpoints served together. */
struct callers {
	unsigned all, answered;
	pmz_ns p50, p99;
};

void summary_callers(const struct client *client, struct callers *out);

#endif
