/*
 * page.c - the whole timeline as one HTML page that needs nothing else.
 */
#include "page.h"

#include "style.h"

static const char head[] =
	"<!doctype html>\n"
	"<html lang='en'>\n"
	"<meta charset='utf-8'>\n"
	"<meta name='viewport' content='width=device-width'>\n"
	"<title>libpipemaze: an outage, without and with a pipe</title>\n";

static void write_text(FILE *out, const char *text)
{
	for (; *text; text++) {
		switch (*text) {
		case '<':
			fputs("&lt;", out);
			break;
		case '&':
			fputs("&amp;", out);
			break;
		default:
			fputc(*text, out);
		}
	}
}

/* What comes after item i of n: "healthy, slow and failing". */
static const char *between(int i, int n)
{
	if (i + 2 < n)
		return ", ";
	return i + 2 == n ? " and " : "";
}

static void write_intro(FILE *out, const struct story *story)
{
	const struct timeline *t = story->timeline;
	int n = t->plot->phases, i;

	fprintf(out,
	        "<body>\n<main>\n"
	        "<h1>One outage, without and with a pipe</h1>\n"
	        "<p>Within %.0f seconds a real HTTP server is ",
	        seconds(t->plot->lasts));
	for (i = 0; i < n; i++)
		fprintf(out, "%s%s", t->plot->phase[i].name, between(i, n));
	fprintf(out,
	        ". Two services call it, each its own copy, so that "
	        "neither suffers from the other. To both come the same %d "
	        "callers a second, whether or not they are served. All that "
	        "differs is how the two call the server.</p>\n",
	        CALLS_PER_S);
}

static void write_card(FILE *out, const struct summary_row *row,
                       const char *label)
{
	fprintf(out,
	        "<div><p>%s</p><dl>"
	        "<div><dt>without</dt><dd class='lane0'>%s</dd></div>"
	        "<div><dt>with</dt><dd class='lane1'>%s</dd></div>"
	        "</dl></div>\n",
	        label, row->cell[WITHOUT], row->cell[WITH]);
}

static void write_cards(FILE *out, const struct summary_row *rows)
{
	fprintf(out, "<div class='cards'>\n");
	write_card(out, &rows[SUMMARY_ATTEMPTS], "Attempts while it was sick");
	write_card(out, &rows[SUMMARY_P99], "p99 of the answers");
	write_card(out, &rows[SUMMARY_RECOVERY], "Well again after");
	fprintf(out, "</div>\n");
}

static void write_legend(FILE *out, const struct story *story)
{
	int i;

	fprintf(out, "<ul class='legend'>\n");
	for (i = 0; i < LANES; i++) {
		fprintf(out,
		        "<li><span class='lane%d'><i></i></span>"
		        "<strong>%s</strong>: ",
		        i, story->timeline->lane[i]->name);
		write_text(out, story->about[i]);
		fprintf(out, "</li>\n");
	}
	fprintf(out, "</ul>\n");
}

static void write_row(FILE *out, const struct summary_row *row)
{
	int i;

	fprintf(out, "<tr><th scope='row'%s>%s</th>",
	        row->label[0] == ' ' ? " class='part'" : "", row->label);
	for (i = 0; i < LANES; i++)
		fprintf(out, "<td>%s</td>", row->cell[i]);
	fprintf(out, "</tr>\n");
}

static void write_table(FILE *out, const struct story *story,
                        const struct summary_row *rows)
{
	int i;

	fprintf(out,
	        "<h2>In the end</h2>\n<table>\n"
	        "<caption>Times count from when the caller came. A refusal is "
	        "no answer, but it comes at once, and leaves the caller time "
	        "for something else.</caption>\n"
	        "<thead><tr><td></td>");
	for (i = 0; i < LANES; i++)
		fprintf(out, "<th scope='col' class='lane%d'>%s</th>", i,
		        story->timeline->lane[i]->name);
	fprintf(out, "</tr></thead>\n<tbody>\n");
	for (i = 0; i < SUMMARY_ROWS; i++)
		write_row(out, &rows[i]);
	fprintf(out, "</tbody>\n</table>\n");
}

static void write_sources(FILE *out, const struct story *story)
{
	fprintf(out, "<h2>The pipe</h2>\n<pre>");
	write_text(out, story->line);
	fprintf(out, "</pre>\n<h2>The script of the upstream</h2>\n<pre>");
	write_text(out, story->timeline->plot->text);
	fprintf(out,
	        "</pre>\n<p class='soft'>%s One run of the demo of "
	        "libpipemaze %s.</p>\n</main>\n",
	        story->note, pmz_version());
}

static FILE *open_page(const char *path, const char *mode)
{
	FILE *out = fopen(path, mode);

	if (!out)
		perror(path);
	return out;
}

int page_try(const char *path)
{
	FILE *out = open_page(path, "a");

	return out ? fclose(out) : -1;
}

int page_write(const struct story *story, const struct summary_row *rows,
               const char *path)
{
	FILE *out = open_page(path, "w");
	int failed;

	if (!out)
		return -1;
	fputs(head, out);
	fputs(style, out);
	write_intro(out, story);
	write_cards(out, rows);
	write_legend(out, story);
	fprintf(out, "<div class='chart' tabindex='0' role='region' "
	             "aria-label='Timeline'>\n");
	chart_write(out, story);
	fprintf(out, "</div>\n");
	write_table(out, story, rows);
	write_sources(out, story);
	failed = ferror(out);
	failed |= fclose(out);
	if (failed)
		perror(path);
	return failed ? -1 : 0;
}
