/*
 * page.c - the whole timeline as one HTML page that needs nothing else.
 */
#include "page.h"

#include "html.h"

static void write_intro(FILE *out, const struct story *story)
{
	const struct timeline *t = story->timeline;
	int n = t->plot->phases, i;

	fprintf(out,
	        "<h1>One outage, without and with a pipe</h1>\n"
	        "<p>Within %.0f seconds a real HTTP server is ",
	        seconds(t->plot->lasts));
	for (i = 0; i < n; i++)
		fprintf(out, "%s%s", t->plot->phase[i].name,
		        html_between(i, n));
	fprintf(out,
	        ". Two services call it, each its own copy, so that "
	        "neither suffers from the other. To both come the same %d "
	        "callers a second, whether or not they are served. All that "
	        "differs is how the two call the server.</p>\n",
	        CALLS_PER_S);
}

static void write_card(FILE *out, const struct table_row *row,
                       const char *label)
{
	fprintf(out,
	        "<div><p>%s</p><dl>"
	        "<div><dt>without</dt><dd class='lane0'>%s</dd></div>"
	        "<div><dt>with</dt><dd class='lane1'>%s</dd></div>"
	        "</dl></div>\n",
	        label, row->cell[WITHOUT], row->cell[WITH]);
}

static void write_cards(FILE *out, const struct table_row *rows)
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
		html_text(out, story->about[i]);
		fprintf(out, "</li>\n");
	}
	fprintf(out, "</ul>\n");
}

static void write_sources(FILE *out, const struct story *story)
{
	fprintf(out, "<h2>The pipe</h2>\n<pre>");
	html_text(out, story->line);
	fprintf(out, "</pre>\n<h2>The script of the upstream</h2>\n<pre>");
	html_text(out, story->timeline->plot->text);
	fprintf(out,
	        "</pre>\n<p class='soft'>%s One run of the demo of "
	        "libpipemaze %s.</p>\n",
	        story->note, pmz_version());
}

int page_write(const struct story *story, const struct table *table,
               const char *path)
{
	FILE *out = html_open(path, "an outage, without and with a pipe");

	if (!out)
		return -1;
	write_intro(out, story);
	write_cards(out, table->row);
	write_legend(out, story);
	html_chart_begin(out);
	chart_write(out, story);
	html_chart_end(out);
	table_write(
		out, table,
		"Times count from when the caller came. A refusal is "
		"no answer, but it comes at once, and leaves the caller time "
		"for something else.");
	write_sources(out, story);
	return html_close(out, path);
}
