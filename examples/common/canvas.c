/*
 * canvas.c - lines of text on a terminal, drawn over and over in one place.
 */
#define _DEFAULT_SOURCE
#include "canvas.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define COLUMNS_MIN 20
#define COLUMNS_MAX 500
#define COLUMNS_ELSE 80
#define ROWS_ELSE 24

/* To the other screen, without a cursor; \033[?7l: do not wrap lines. */
#define ENTER "\033[?1049h\033[?25l\033[?7l\033[2J"
#define LEAVE "\033[0m\033[2J\033[?7h\033[?25h\033[?1049l"
#define HOME "\033[H"
#define CLEAR_LINE "\033[K"
#define CLEAR_BELOW "\033[J"

static void append(struct canvas *c, const char *text, size_t length)
{
	if (length >= sizeof(c->text) - c->used)
		return;
	memcpy(c->text + c->used, text, length);
	c->used += length;
}

static void append_code(struct canvas *c, const char *code)
{
	append(c, code, strlen(code));
}

static int flush(struct canvas *c)
{
	size_t done = 0;

	while (done < c->used) {
		ssize_t n =
			write(STDOUT_FILENO, c->text + done, c->used - done);

		if (n < 0 && errno != EINTR)
			return -1;
		done += n > 0 ? (size_t)n : 0;
	}
	c->used = 0;
	return 0;
}

static void measure(struct canvas *c)
{
	const char *wish = getenv("COLUMNS");
	struct winsize size;

	c->columns = c->terminal ? COLUMNS_ELSE : COLUMNS_MAX;
	c->rows = ROWS_ELSE;
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col) {
		c->columns = size.ws_col;
		c->rows = size.ws_row;
	}
	if (wish && atoi(wish) > 0)
		c->columns = atoi(wish);
	if (c->columns < COLUMNS_MIN)
		c->columns = COLUMNS_MIN;
	if (c->columns > COLUMNS_MAX)
		c->columns = COLUMNS_MAX;
}

void canvas_init(struct canvas *c)
{
	const char *kind = getenv("TERM"), *plain = getenv("NO_COLOR");

	memset(c, 0, sizeof(*c));
	c->terminal =
		isatty(STDOUT_FILENO) && kind && strcmp(kind, "dumb") != 0;
	c->colour = c->terminal && !(plain && *plain);
	measure(c);
}

void canvas_open(struct canvas *c)
{
	if (!c->terminal)
		return;
	c->live = 1;
	append_code(c, ENTER);
	flush(c);
}

void canvas_close(struct canvas *c)
{
	if (!c->live)
		return;
	c->live = 0;
	c->used = 0;
	append_code(c, LEAVE);
	flush(c);
}

void canvas_begin(struct canvas *c)
{
	measure(c);
	c->used = 0;
	c->column = c->row = 0;
	if (c->live)
		append_code(c, HOME);
}

/* A frame that is too high for its window loses its end. */
static int is_hidden(const struct canvas *c)
{
	return c->live && c->row >= c->rows;
}

void canvas_paint(struct canvas *c, enum paint paint)
{
	static const char *const codes[PAINTS] = {
		"\033[0m",    "\033[0;1m",  "\033[0;2m",  "\033[0;32m",
		"\033[0;33m", "\033[0;31m", "\033[0;35m",
	};

	if (c->colour && !is_hidden(c))
		append_code(c, codes[paint]);
}

/* Bytes of the character that text begins with. */
static size_t character(const char *text)
{
	size_t n = 1;

	while (((unsigned char)text[n] & 0xc0) == 0x80)
		n++;
	return n;
}

void canvas_put(struct canvas *c, const char *text)
{
	while (*text) {
		size_t n = character(text);

		if (c->column < c->columns && !is_hidden(c))
			append(c, text, n);
		c->column++;
		text += n;
	}
}

void canvas_putf(struct canvas *c, const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	canvas_put(c, text);
}

void canvas_go(struct canvas *c, int column)
{
	while (c->column < column)
		canvas_put(c, " ");
}

/* The last line of a window is not ended: that would scroll it. */
void canvas_line(struct canvas *c)
{
	canvas_paint(c, PLAIN);
	if (c->live && !is_hidden(c))
		append_code(c, CLEAR_LINE);
	if (!c->live || c->row + 1 < c->rows)
		append_code(c, "\n");
	c->column = 0;
	c->row++;
}

int canvas_end(struct canvas *c)
{
	if (c->live && c->row < c->rows)
		append_code(c, CLEAR_BELOW);
	return flush(c);
}
