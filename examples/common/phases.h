/*
 * phases.h - the phases of a plot, drawn above the charts of what they do.
 *
 * Threads: one.
 */
#ifndef COMMON_PHASES_H
#define COMMON_PHASES_H

#include "blocks.h"
#include "plot.h"

void phases_names(struct canvas *c, const struct plot *plot);
/* A line that is thicker up to now, `since` the start. */
void phases_bar(struct canvas *c, const struct plot *plot, pmz_ns since);

#endif
