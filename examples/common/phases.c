/*
 * phases.c - the phases of a plot, drawn above the charts of what they do.
 */
#include "phases.h"

#include <string.h>

static enum paint paint_of_phase(const struct phase *phase)
{
	if (!phase->sick)
		return GOOD;
	if (!strcmp(phase->name, "slow"))
		return FAIR;
	return strcmp(phase->name, "hanging") ? BAD : WORSE;
}

void phases_names(struct canvas *c, const struct plot *plot)
{
	int i;

	for (i = 0; i < plot->phases; i++) {
		const struct phase *p = &plot->phase[i];
		int from = blocks_column(c, p->from, plot->lasts);
		int to = blocks_column(c, p->until, plot->lasts);

		canvas_go(c, from);
		canvas_paint(c, paint_of_phase(p));
		canvas_putf(c, "%.*s", to - from - 1, p->name);
	}
	canvas_paint(c, PLAIN);
}

void phases_bar(struct canvas *c, const struct plot *plot, pmz_ns since)
{
	int now = blocks_column(c, since, plot->lasts), i;

	canvas_go(c, BLOCKS_LEFT);
	for (i = 0; i < plot->phases; i++) {
		const struct phase *p = &plot->phase[i];

		canvas_paint(c, paint_of_phase(p));
		while (c->column < blocks_column(c, p->until, plot->lasts))
			canvas_put(c, c->column < now ? "━" : "─");
	}
	canvas_paint(c, PLAIN);
}
