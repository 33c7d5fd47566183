/*
 * plot.c - the fault script of the upstream, played on the real clock.
 */
#include "plot.h"

#include <string.h>

/* What a last phase without a span gets. */
#define REST PMZ_S(5)

static int read_text(struct plot *plot, const char *path)
{
	FILE *file = fopen(path, "r");
	size_t length;

	if (!file) {
		perror(path);
		return -1;
	}
	length = fread(plot->text, 1, sizeof(plot->text) - 1, file);
	plot->text[length] = 0;
	fclose(file);
	return 0;
}

static const char *name_of(const char *state)
{
	static const char *const names[][2] = {
		{ "ok", "healthy" },       { "fail", "failing" },
		{ "hang", "hanging" },     { "again", "throttling" },
		{ "ignore", "declining" }, { "fatal", "broken" },
	};
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!strcmp(state, names[i][0]))
			return names[i][1];
	return state;
}

/* Notes where the phases lie in the script's own time. */
static void list_phases(struct plot *plot)
{
	pmz_ns at = 0;

	while (at < plot->written && plot->phases < PHASES_MAX) {
		struct phase *phase = &plot->phase[plot->phases++];
		const char *state = pmz_script_state(&plot->script, at);

		phase->name = name_of(state);
		phase->sick = strcmp(state, "ok") != 0;
		phase->from = at;
		at = pmz_script_until(&plot->script, at);
		phase->until = at < plot->written ? at : plot->written;
	}
}

/* How long the script is, with a rest for a last phase that has no end. */
static pmz_ns length_of(const pmz_script *script)
{
	pmz_ns at = 0, until;

	if (pmz_script_span(script) != PMZ_NEVER)
		return pmz_script_span(script);
	while ((until = pmz_script_until(script, at)) != PMZ_NEVER)
		at = until;
	return at + REST;
}

static int take_text(struct plot *plot, const char *name)
{
	pmz_why why;

	if (pmz_script_from(&plot->script, plot->text, &why)) {
		fprintf(stderr, "%s: byte %u: %s\n", name, (unsigned)why.column,
		        why.text);
		return -1;
	}
	plot->written = plot->lasts = length_of(&plot->script);
	list_phases(plot);
	return 0;
}

int plot_read(struct plot *plot, const char *path)
{
	memset(plot, 0, sizeof(*plot));
	return read_text(plot, path) || take_text(plot, path) ? -1 : 0;
}

int plot_from(struct plot *plot, const char *text, const char *name)
{
	memset(plot, 0, sizeof(*plot));
	snprintf(plot->text, sizeof(plot->text), "%s", text);
	return take_text(plot, name);
}

/* a * b / c of three spans, by way of microseconds so that it fits. */
static pmz_ns in_proportion(pmz_ns a, pmz_ns b, pmz_ns c)
{
	return (a / 1000) * (b / 1000) / (c / 1000) * 1000;
}

void plot_start(struct plot *plot, pmz_ns lasts, pmz_ns now)
{
	int i;

	for (i = 0; i < plot->phases; i++) {
		struct phase *p = &plot->phase[i];

		p->from = in_proportion(p->from, lasts, plot->lasts);
		p->until = in_proportion(p->until, lasts, plot->lasts);
	}
	plot->lasts = lasts;
	plot->starts = now;
}

static pmz_ns elapsed(const struct plot *plot, pmz_ns now)
{
	return now > plot->starts ? now - plot->starts : 0;
}

pmz_outcome plot_attempt(const struct plot *plot, pmz_ns now, uint64_t seed,
                         pmz_ns *lasts)
{
	pmz_ns since =
		in_proportion(elapsed(plot, now), plot->written, plot->lasts);

	return pmz_script_attempt(&plot->script, since, seed, lasts);
}

const struct phase *plot_phase(const struct plot *plot, pmz_ns now)
{
	pmz_ns since = elapsed(plot, now);
	int i = 0;

	while (i + 1 < plot->phases && since >= plot->phase[i].until)
		i++;
	return &plot->phase[i];
}

pmz_ns plot_healed_at(const struct plot *plot)
{
	int i = plot->phases - 1;

	if (i < 1 || plot->phase[i].sick)
		return PMZ_NEVER;
	while (i > 0 && !plot->phase[i - 1].sick)
		i--;
	return i ? plot->starts + plot->phase[i].from : PMZ_NEVER;
}
