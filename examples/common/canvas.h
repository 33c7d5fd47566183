/*
 * canvas.h - lines of text on a terminal, drawn over and over in one place.
 *
 * A frame is put together in memory and written at once, so nothing flickers;
 * lines are cut at the width of the window, and frames at its height. NO_COLOR
 * is honoured, and COLUMNS goes before what the terminal says.
 *
 * Threads: one.
 */
#ifndef COMMON_CANVAS_H
#define COMMON_CANVAS_H

#include <stddef.h>

struct canvas {
	int terminal; /* else nothing can be drawn over: only canvas_print() */
	int colour;
	int live; /* on the screen that canvas_open() went to */
	int columns, rows;
	int column, row; /* of what comes next */
	size_t used;
	char text[1 << 16];
};

/* What they mean, and not what they look like. */
enum paint { PLAIN, STRONG, FAINT, GOOD, FAIR, BAD, WORSE, PAINTS };

void canvas_init(struct canvas *c);
/* To a screen of its own without a cursor, and back. */
void canvas_open(struct canvas *c);
void canvas_close(struct canvas *c);

void canvas_begin(struct canvas *c);
void canvas_paint(struct canvas *c, enum paint paint);
void canvas_put(struct canvas *c, const char *text); /* UTF-8, no controls */
void canvas_putf(struct canvas *c, const char *format, ...)
#if defined(__GNUC__)
	__attribute__((format(printf, 2, 3)))
#endif
	;
void canvas_go(struct canvas *c, int column); /* from 0, only to the right */
void canvas_line(struct canvas *c);           /* ends the line */
/* Shows the frame: 0, or -1 if nobody takes it any more. */
int canvas_end(struct canvas *c);

#endif
