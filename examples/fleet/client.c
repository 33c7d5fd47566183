/*
 * client.c - who calls the servers.
 */
#define _POSIX_C_SOURCE 200809L
#include "client.h"

#include <stdlib.h>
#include <string.h>

#include "http.h"

/* One caller's business, and whom it has asked so far. */
struct errand {
	struct client *client;
	uint32_t tried[TRIES];
	uint32_t tries;
};

static void note(struct client *client, const struct attempt *attempt)
{
	pthread_mutex_lock(&client->lock);
	if (client->logged < client->log_max)
		client->log[client->logged++] = *attempt;
	pthread_mutex_unlock(&client->lock);
}

/* The balancer learns of each attempt, and a call does not ask anyone twice as
 * long as another is there. */
static pmz_outcome attempt(pmz_ns due, void *ctx)
{
	struct errand *errand = ctx;
	struct client *client = errand->client;
	pmz_wish wish = { sizeof(wish), errand->tries, errand->tried, 0 };
	pmz_pick pick;
	struct attempt a;

	if (atomic_load(&client->crowd.stopping))
		return PMZ_IGNORE;
	a.picked = pmz_now();
	if (pmz_balance_pick(client->balance, &wish, a.picked, &pick) != PMZ_OK)
		return PMZ_AGAIN;
	a.endpoint = pick.endpoint;
	errand->tried[errand->tries++] = a.endpoint;
	a.how = http_get(client->server[a.endpoint].port, due);
	a.left = pmz_now();
	pmz_balance_settle(client->balance, &pick, a.how, a.left);
	note(client, &a);
	return a.how;
}

static enum ending serve(void *ctx)
{
	struct errand errand = { ctx, { 0 }, 0 };

	if (pmz_run(errand.client->pipe, NULL, attempt, &errand, NULL) ==
	    PMZ_OK)
		return ANSWERED;
	return errand.tries ? FAILED : REFUSED;
}

int client_start(struct client *client, unsigned callers_max)
{
	pthread_mutex_init(&client->lock, NULL);
	client->log_max = callers_max * TRIES;
	client->log = calloc(client->log_max, sizeof(*client->log));
	if (!client->log)
		return -1;
	return crowd_start(&client->crowd, serve, client, WORKERS, callers_max);
}

void client_free(struct client *client)
{
	crowd_free(&client->crowd);
	if (client->log_max)
		pthread_mutex_destroy(&client->lock);
	free(client->log);
}

#define LATENCIES_MAX 256 /* that a median is made from */

static void count_ended(const struct client *client, uint32_t endpoint,
                        pmz_ns from, pmz_ns to, struct sample *out)
{
	pmz_ns latency[LATENCIES_MAX];
	unsigned i, n = 0;

	for (i = 0; i < client->logged; i++) {
		const struct attempt *a = &client->log[i];

		if (a->endpoint != endpoint || a->left <= from || a->left > to)
			continue;
		out->answered += a->how == PMZ_SUCCESS;
		out->failed += a->how != PMZ_SUCCESS;
		if (a->how == PMZ_SUCCESS && n < LATENCIES_MAX)
			latency[n++] = a->left - a->picked;
	}
	spans_sort(latency, n);
	out->latency = spans_percentile(latency, n, 50);
}

void client_stats(const struct client *client, uint32_t endpoint, pmz_ns now,
                  pmz_endpoint_stats *out)
{
	memset(out, 0, sizeof(*out));
	out->size = sizeof(*out);
	pmz_balance_read(client->balance, endpoint, now, out);
}

void client_sample(struct client *client, uint32_t endpoint, pmz_ns from,
                   pmz_ns to, struct sample *out)
{
	pmz_endpoint_stats stats;

	memset(out, 0, sizeof(*out));
	pthread_mutex_lock(&client->lock);
	count_ended(client, endpoint, from, to, out);
	pthread_mutex_unlock(&client->lock);
	client_stats(client, endpoint, to, &stats);
	out->rest = stats.ejected_until > to ? stats.ejections : 0;
}
