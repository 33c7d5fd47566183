/*
 * table.c - what came of it in the end, in figures.
 */
#include "table.h"

void table_count(char *cell, unsigned n)
{
	if (n < 1000)
		snprintf(cell, CELL, "%u", n);
	else
		snprintf(cell, CELL, "%u %03u", n / 1000, n % 1000);
}

void table_span(char *cell, pmz_ns span)
{
	if (span)
		span_text(span, cell);
	else
		snprintf(cell, CELL, "-");
}

static void print_row(struct canvas *c, const struct table *table,
                      const struct table_row *row)
{
	int i;

	canvas_putf(c, " %-28s", row ? row->label : "");
	for (i = 0; i < table->columns; i++)
		canvas_putf(c, "%16s", row ? row->cell[i] : table->heading[i]);
	canvas_line(c);
}

int table_print(struct canvas *c, const struct table *table, const char *note)
{
	int i;

	canvas_begin(c);
	canvas_line(c);
	canvas_paint(c, STRONG);
	print_row(c, table, NULL);
	for (i = 0; i < table->rows; i++)
		print_row(c, table, &table->row[i]);
	canvas_line(c);
	if (*note) {
		canvas_putf(c, " %s", note);
		canvas_line(c);
	}
	return canvas_end(c);
}

static void write_row(FILE *out, const struct table *table,
                      const struct table_row *row)
{
	int i;

	fprintf(out, "<tr><th scope='row'%s>%s</th>",
	        row->label[0] == ' ' ? " class='part'" : "", row->label);
	for (i = 0; i < table->columns; i++)
		fprintf(out, "<td>%s</td>", row->cell[i]);
	fprintf(out, "</tr>\n");
}

void table_write(FILE *out, const struct table *table, const char *caption)
{
	int i;

	fprintf(out,
	        "<h2>In the end</h2>\n<table>\n"
	        "<caption>%s</caption>\n"
	        "<thead><tr><td></td>",
	        caption);
	for (i = 0; i < table->columns; i++)
		fprintf(out, "<th scope='col' class='lane%d'>%s</th>", i,
		        table->heading[i]);
	fprintf(out, "</tr></thead>\n<tbody>\n");
	for (i = 0; i < table->rows; i++)
		write_row(out, table, &table->row[i]);
	fprintf(out, "</tbody>\n</table>\n");
}
