/*
 * html.h - one HTML page that needs nothing else.
 *
 * Threads: one.
 */
#ifndef COMMON_HTML_H
#define COMMON_HTML_H

#include <stdio.h>

/* Says on stderr why a page cannot be written, before there is anything to
 * write, and leaves an older one as it is: 0, or -1. */
int html_try(const char *path);

/* With the head of the page written; NULL after saying why not. */
FILE *html_open(const char *path, const char *title);
/* 0, or -1 after saying why it could not be written. */
int html_close(FILE *out, const char *path);

/* Any text, as it is. */
void html_text(FILE *out, const char *text);
/* What comes after item i of n: "healthy, slow and failing". */
const char *html_between(int i, int n);
/* What is drawn follows, up to html_chart_end(). */
void html_chart_begin(FILE *out);
void html_chart_end(FILE *out);

#endif
