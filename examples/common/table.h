/*
 * table.h - what came of it in the end, in figures.
 *
 * Threads: one.
 */
#ifndef COMMON_TABLE_H
#define COMMON_TABLE_H

#include "canvas.h"
#include "spans.h"

#define TABLE_COLUMNS 4
#define CELL 24

struct table_row {
	const char *label; /* part of the row above if it starts with a space */
	char cell[TABLE_COLUMNS][CELL];
};

struct table {
	int columns, rows;
	const char *heading[TABLE_COLUMNS];
	const struct table_row *row;
};

void table_count(char *cell, unsigned n);
void table_span(char *cell, pmz_ns span); /* 0: there is none */

/* With a note below it: 0, or -1 if nobody takes it. */
int table_print(struct canvas *c, const struct table *table, const char *note);
/* The same as a part of a page; column i is lane i of the charts. */
void table_write(FILE *out, const struct table *table, const char *caption);

#endif
