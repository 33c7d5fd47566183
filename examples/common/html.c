/*
 * html.c - one HTML page that needs nothing else.
 */
#include "html.h"

#include "style.h"

static const char head[] =
	"<!doctype html>\n"
	"<html lang='en'>\n"
	"<meta charset='utf-8'>\n"
	"<meta name='viewport' content='width=device-width'>\n";

void html_text(FILE *out, const char *text)
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

const char *html_between(int i, int n)
{
	if (i + 2 < n)
		return ", ";
	return i + 2 == n ? " and " : "";
}

static FILE *open_page(const char *path, const char *mode)
{
	FILE *out = fopen(path, mode);

	if (!out)
		perror(path);
	return out;
}

int html_try(const char *path)
{
	FILE *out = open_page(path, "a");

	return out ? fclose(out) : -1;
}

FILE *html_open(const char *path, const char *title)
{
	FILE *out = open_page(path, "w");

	if (!out)
		return NULL;
	fputs(head, out);
	fprintf(out, "<title>libpipemaze: %s</title>\n", title);
	fputs(style, out);
	fprintf(out, "<body>\n<main>\n");
	return out;
}

int html_close(FILE *out, const char *path)
{
	int failed;

	fprintf(out, "</main>\n");
	failed = ferror(out);
	failed |= fclose(out);
	if (failed)
		perror(path);
	return failed ? -1 : 0;
}

void html_chart_begin(FILE *out)
{
	fprintf(out, "<div class='chart' tabindex='0' role='region' "
	             "aria-label='Timeline'>\n");
}

void html_chart_end(FILE *out)
{
	fprintf(out, "</div>\n");
}
