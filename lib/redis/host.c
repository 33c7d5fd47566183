/*
 * host.c - one server, as all lanes know it.
 */
#include "redis/host.h"

#include "base/alloc.h"
#include "base/config.h"

static int breaker_new(pmz_breaker **out)
{
	pmz_breaker_config cfg = { 0 };

	cfg.size = sizeof(cfg);
	cfg.failure_pct = PMZ_OFF;
	cfg.consecutive_max = 1;
	cfg.probes_to_close = 1;
	cfg.open_ns = PMZ__REST_NS;
	cfg.open_max_ns = PMZ__REST_MAX_NS;
	return pmz_breaker_new(out, &cfg, NULL);
}

pmz__host *pmz__host_new(const pmz__address *address, pmz_ns connect_ns,
                         pmz__owed *owed)
{
	pmz__host *h = (pmz__host *)pmz__alloc(sizeof(*h));

	if (!h)
		return NULL;
	if (breaker_new(&h->breaker)) {
		pmz__free(h);
		return NULL;
	}
	h->address = *address;
	h->connect_ns = connect_ns;
	h->owed = owed;
	pthread_mutex_init(&h->mutex, NULL);
	return h;
}

void pmz__host_free(pmz__host *h)
{
	if (!h)
		return;
	pmz_breaker_free(h->breaker);
	pthread_mutex_destroy(&h->mutex);
	pmz__free(h);
}

int pmz__host_places(pmz__host *h, pmz__places *out, char *text, size_t len)
{
	int st;

	pthread_mutex_lock(&h->mutex);
	*out = h->places;
	pthread_mutex_unlock(&h->mutex);
	if (out->count)
		return PMZ_OK;
	/* A look-up may take seconds: nobody waits for the mutex meanwhile. */
	st = pmz__places_find(out, &h->address, text, len);
	if (st)
		return st;
	pthread_mutex_lock(&h->mutex);
	h->places = *out;
	pthread_mutex_unlock(&h->mutex);
	return PMZ_OK;
}

void pmz__host_moved(pmz__host *h)
{
	pthread_mutex_lock(&h->mutex);
	h->places.count = 0;
	pthread_mutex_unlock(&h->mutex);
}
