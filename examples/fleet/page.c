/*
 * page.c - the whole timeline as one HTML page that needs nothing else.
 */
#include "page.h"

#include "html.h"

static void write_intro(FILE *out, const struct story *story)
{
	fprintf(out,
	        "<h1>Three servers and a balancer</h1>\n"
	        "<p>%d callers a second come to a client, for %.0f seconds. "
	        "Of the three real HTTP servers that it calls, one turns slow "
	        "and another dies: its socket is closed, and comes back later. "
	        "Nobody tells the balancer. It judges each by how its calls "
	        "end.</p>\n",
	        CALLS_PER_S, seconds(story->timeline->lasts));
}

static void write_card(FILE *out, const char *label, const char *const names[2],
                       char cells[2][CELL])
{
	int i;

	fprintf(out, "<div><p>%s</p><dl>", label);
	for (i = 0; i < 2; i++)
		fprintf(out, "<div><dt>%s</dt><dd>%s</dd></div>", names[i],
		        cells[i]);
	fprintf(out, "</dl></div>\n");
}

static void write_cards(FILE *out, const struct story *story)
{
	const struct verdict *v = &story->verdict[story->mortal];
	const struct callers *callers = &story->callers;
	char dead[2][CELL], counts[2][CELL], spans[2][CELL];

	table_count(dead[0], v->got);
	table_count(dead[1], v->allowed);
	table_count(counts[0], callers->answered);
	table_count(counts[1], callers->all - callers->answered);
	table_span(spans[0], callers->p50);
	table_span(spans[1], callers->p99);
	fprintf(out, "<div class='cards'>\n");
	write_card(out, "Calls to the dead server",
	           (const char *const[]){ "it got", "the rule allows" }, dead);
	write_card(out, "Callers", (const char *const[]){ "answered", "not" },
	           counts);
	write_card(out, "What an answer took",
	           (const char *const[]){ "p50", "p99" }, spans);
	fprintf(out, "</div>\n");
}

static void write_legend(FILE *out, const struct story *story)
{
	int i, j;

	fprintf(out, "<ul class='legend'>\n");
	for (i = 0; i < ENDPOINTS; i++) {
		const struct server *server =
			&story->timeline->client->server[i];
		const struct plot *plot = &server->plot;

		fprintf(out,
		        "<li><span class='lane%d'><i></i></span>"
		        "<strong>%s</strong>: ",
		        i, server->name);
		for (j = 0; j < plot->phases; j++)
			fprintf(out, "%s%s", plot->phase[j].name,
			        html_between(j, plot->phases));
		fprintf(out, "</li>\n");
	}
	fprintf(out, "</ul>\n");
}

static void write_sources(FILE *out, const struct story *story)
{
	int i;

	fprintf(out, "<h2>The balancer</h2>\n<pre>");
	html_text(out, story->about);
	fprintf(out, "</pre>\n<h2>The rule</h2>\n<p>%s</p>\n", story->rule);
	fprintf(out, "<h2>The pipe around each call</h2>\n<pre>");
	html_text(out, story->line);
	fprintf(out, "</pre>\n<h2>The scripts of the servers</h2>\n<pre>");
	for (i = 0; i < ENDPOINTS; i++) {
		const struct server *server =
			&story->timeline->client->server[i];

		fprintf(out, "%-8s ", server->name);
		html_text(out, server->plot.text);
		fprintf(out, "\n");
	}
	fprintf(out,
	        "</pre>\n<p class='soft'>Where a script says `fail`, nobody "
	        "listens on the server's port. One run of the demo of "
	        "libpipemaze %s.</p>\n",
	        pmz_version());
}

int page_write(const struct story *story, const struct table *table,
               const char *path)
{
	FILE *out = html_open(path, "three servers and a balancer");

	if (!out)
		return -1;
	write_intro(out, story);
	write_cards(out, story);
	write_legend(out, story);
	html_chart_begin(out);
	chart_write(out, story);
	html_chart_end(out);
	table_write(out, table,
	            "Calls are attempts of the client; a caller whose first "
	            "attempt fails is mostly answered by a second, elsewhere.");
	write_sources(out, story);
	return html_close(out, path);
}
