/*
 * blocks.c - charts of block characters on a canvas, one under the other.
 */
#include "blocks.h"

#include <math.h>
#include <string.h>

#define WIDTH_MIN 10
#define LEVELS 8 /* of a block character */

/* What the chart of latencies spans: 10 ms to 10 s. */
#define FASTEST 0.010
#define DECADES 3

int blocks_width(const struct canvas *c)
{
	int width = c->columns - BLOCKS_LEFT - BLOCKS_RIGHT - 1;

	if (width < WIDTH_MIN)
		return WIDTH_MIN;
	return width < BLOCKS_MAX ? width : BLOCKS_MAX;
}

void blocks_ticks(const struct canvas *c, int i, int length, int ticks,
                  int *from, int *to)
{
	int width = blocks_width(c);

	*from = i * length / width;
	*to = (i + 1) * length / width;
	if (*to == *from)
		++*to;
	if (*to > ticks && *from < ticks)
		*to = ticks;
}

int blocks_column(const struct canvas *c, pmz_ns since, pmz_ns lasts)
{
	double share = seconds(since) / seconds(lasts);

	return BLOCKS_LEFT + (int)(share * blocks_width(c) + 0.5);
}

int blocks_level(double value, double max, int levels)
{
	int level = (int)lround(value / max * levels);

	if (level < 1)
		return value > 0;
	return level < levels ? level : levels;
}

int blocks_latency(pmz_ns latency, int levels)
{
	if (!latency)
		return 0;
	return blocks_level(fmax(log10(seconds(latency) / FASTEST), 0.01),
	                    DECADES, levels);
}

void blocks_put(struct canvas *c, int level, int line)
{
	static const char *const blocks[LEVELS + 1] = {
		" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█",
	};
	int here = level - line * LEVELS;

	here = here < 0 ? 0 : here > LEVELS ? LEVELS : here;
	canvas_put(c, blocks[here]);
}

void blocks_label(struct canvas *c, const char *text)
{
	canvas_put(c, " ");
	canvas_paint(c, FAINT);
	canvas_put(c, text);
	canvas_paint(c, PLAIN);
	canvas_go(c, BLOCKS_LEFT);
}

void blocks_stages(struct canvas *c, const char *label, const char *line)
{
	blocks_label(c, label);
	while (*line) {
		int n = (int)strcspn(line, "|");

		n += line[n] == '|';
		n += (int)strspn(line + n, " ");
		if (c->column > BLOCKS_LEFT && c->column + n > c->columns) {
			canvas_line(c);
			canvas_go(c, BLOCKS_LEFT);
		}
		canvas_putf(c, "%.*s", n, line);
		line += n;
	}
	canvas_line(c);
}
