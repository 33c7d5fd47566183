/*
 * timeline.c - what the endpoints did, tick by tick.
 */
#include "timeline.h"

int timeline_length(const struct timeline *t)
{
	return (int)(t->lasts / TICK);
}

pmz_ns timeline_now(const struct timeline *t)
{
	return t->starts + (pmz_ns)t->ticks * TICK;
}

void timeline_tick(struct timeline *t)
{
	pmz_ns from = timeline_now(t);
	uint32_t i;

	if (t->ticks >= timeline_length(t))
		return;
	for (i = 0; i < ENDPOINTS; i++)
		client_sample(t->client, i, from, from + TICK,
		              &t->sample[i][t->ticks]);
	crowd_look(&t->client->crowd, from, from + TICK, &t->callers[t->ticks]);
	t->ticks++;
}

static void add(struct sample *sum, const struct sample *s)
{
	unsigned answered = sum->answered + s->answered;

	/* The mean of the medians, each by its weight. */
	if (answered)
		sum->latency = sum->latency * sum->answered / answered +
		               s->latency * s->answered / answered;
	sum->answered = answered;
	sum->failed += s->failed;
	if (s->rest)
		sum->rest = s->rest;
}

struct sample timeline_span(const struct timeline *t, int endpoint, int from,
                            int to)
{
	struct sample sum = { 0 };
	int i;

	for (i = from < 0 ? 0 : from; i < to && i < t->ticks; i++)
		add(&sum, &t->sample[endpoint][i]);
	return sum;
}

double timeline_share(const struct timeline *t, int endpoint, int from, int to)
{
	unsigned all = 0, mine = 0;
	int i;

	for (i = 0; i < ENDPOINTS; i++) {
		struct sample s = timeline_span(t, i, from, to);

		all += s.answered + s.failed;
		if (i == endpoint)
			mine = s.answered + s.failed;
	}
	return all ? (double)mine / all : 0;
}

struct departures timeline_callers(const struct timeline *t, int from, int to)
{
	struct departures sum = { 0 };
	int i;

	for (i = from < 0 ? 0 : from; i < to && i < t->ticks; i++) {
		sum.answered += t->callers[i].answered;
		sum.failed += t->callers[i].failed;
		sum.refused += t->callers[i].refused;
		sum.waiting = t->callers[i].waiting;
	}
	return sum;
}

int timeline_rest(const struct timeline *t, int endpoint, int *from, int *to)
{
	const struct sample *s = t->sample[endpoint];

	while (*from < t->ticks && !s[*from].rest)
		++*from;
	if (*from == t->ticks)
		return 0;
	for (*to = *from; *to < t->ticks && s[*to].rest == s[*from].rest; ++*to)
		;
	return 1;
}
