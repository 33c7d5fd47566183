/*
 * rule.c - how many calls the detector may let through to a dead endpoint.
 */
#include "rule.h"

static unsigned calls_given(const struct client *client, uint32_t endpoint)
{
	const struct server *server = &client->server[endpoint];
	unsigned i, n = 0;

	for (i = 0; i < client->logged; i++) {
		const struct attempt *a = &client->log[i];

		n += a->endpoint == endpoint &&
		     a->picked >= server->dead_from &&
		     a->picked < server->dead_until;
	}
	return n;
}

struct verdict rule_judge(const struct rule *rule, const struct client *client,
                          uint32_t endpoint)
{
	const struct server *server = &client->server[endpoint];
	struct verdict v = { server->dead_until - server->dead_from, 0, 0, 0 };

	if (!v.dead)
		return v;
	v.times = (unsigned)((v.dead / rule->base + 3) / 2);
	v.allowed = v.times * (rule->consecutive - 1 + rule->workers);
	v.got = calls_given(client, endpoint);
	return v;
}
