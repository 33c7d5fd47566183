/*
 * timeline.c - what both lanes did, tick by tick.
 */
#include "timeline.h"

int timeline_length(const struct timeline *t)
{
	return (int)(t->plot->lasts / TICK);
}

pmz_ns timeline_now(const struct timeline *t)
{
	return t->plot->starts + (pmz_ns)t->ticks * TICK;
}

void timeline_tick(struct timeline *t)
{
	pmz_ns from = timeline_now(t);
	int i;

	if (t->ticks >= timeline_length(t))
		return;
	for (i = 0; i < LANES; i++)
		lane_sample(t->lane[i], from, from + TICK,
		            &t->sample[i][t->ticks]);
	t->ticks++;
}

const char *breaker_word(int state)
{
	static const char *const words[] = { "-", "closed", "open",
		                             "half open" };

	return words[state];
}

/* How much attention a state deserves. */
static int gravity(int breaker)
{
	return breaker == PMZ_OPEN ? 3 : breaker == PMZ_HALF_OPEN ? 2 : breaker;
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
	sum->refused += s->refused;
	sum->attempts += s->attempts;
	sum->in_flight = s->in_flight;
	sum->waiting = s->waiting;
	if (gravity(s->breaker) > gravity(sum->breaker))
		sum->breaker = s->breaker;
}

struct sample timeline_span(const struct timeline *t, int lane, int from,
                            int to)
{
	struct sample sum = { 0 };
	int i;

	for (i = from < 0 ? 0 : from; i < to && i < t->ticks; i++)
		add(&sum, &t->sample[lane][i]);
	return sum;
}
