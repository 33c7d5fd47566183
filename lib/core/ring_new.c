/*
 * ring_new.c - making and freeing a ring.
 */
#include "core/ring.h"

#include <string.h>

#include "base/alloc.h"

static pmz__shape shape_of(uint32_t layout)
{
	switch (layout) {
	case PMZ_RING_MAGLEV:
	case PMZ_RING_ENVOY_MAGLEV:
		return PMZ__SLOTS;
	case PMZ_RING_JUMP:
		return PMZ__SHARDS;
	case PMZ_RING_RENDEZVOUS:
		return PMZ__SCORES;
	default:
		return PMZ__CIRCLE;
	}
}

static int make_shape(pmz_ring *r, const pmz__plan *plan, pmz_why *why)
{
	switch (r->shape) {
	case PMZ__CIRCLE:
		return pmz__circle_make(&r->as.circle, plan, why);
	case PMZ__SLOTS:
		return pmz__slots_make(&r->as.slots, plan, why);
	case PMZ__SCORES:
		return pmz__scores_make(&r->as.scores, plan, why);
	default:
		return PMZ_OK;
	}
}

static void free_shape(pmz_ring *r)
{
	switch (r->shape) {
	case PMZ__CIRCLE:
		pmz__circle_free(&r->as.circle);
		break;
	case PMZ__SLOTS:
		pmz__slots_free(&r->as.slots);
		break;
	case PMZ__SCORES:
		pmz__scores_free(&r->as.scores);
		break;
	default:
		break;
	}
}

static size_t size_of_names(const pmz__plan *plan)
{
	size_t size = 0;
	uint32_t i;

	for (i = 0; i < plan->count; i++)
		size += strlen(plan->nodes[i].name) + 1;
	return size;
}

static int copy_nodes(pmz_ring *r, const pmz__plan *plan, pmz_why *why)
{
	char *name;
	uint32_t i;

	r->members = (pmz__member *)pmz__alloc(plan->count *
	                                       sizeof(*r->members));
	r->names = (char *)pmz__alloc(size_of_names(plan));
	if (!r->members || !r->names)
		return pmz__why(why, PMZ_E_NOMEM);
	for (name = r->names, i = 0; i < plan->count; i++) {
		size_t size = strlen(plan->nodes[i].name) + 1;

		memcpy(name, plan->nodes[i].name, size);
		r->members[i].name = name;
		r->members[i].weight = plan->nodes[i].weight;
		name += size;
	}
	return PMZ_OK;
}

static int make(pmz_ring **out, pmz__plan *plan, pmz_why *why)
{
	pmz_ring *r = (pmz_ring *)pmz__alloc(sizeof(*r));
	int status;

	if (!r)
		return pmz__why(why, PMZ_E_NOMEM);
	r->layout = plan->cfg.layout;
	r->shape = shape_of(r->layout);
	r->count = plan->count;
	r->usable = plan->usable;
	r->ups.word = plan->usable;
	r->downs.word = !plan->usable;
	status = copy_nodes(r, plan, why);
	if (status == PMZ_OK)
		status = make_shape(r, plan, why);
	if (status) {
		pmz_ring_free(r);
		return status;
	}
	r->order = plan->order;
	plan->order = NULL;
	*out = r;
	return PMZ_OK;
}

int pmz_ring_new(pmz_ring **out, const pmz_ring_config *cfg,
                 const pmz_node *nodes, size_t count, pmz_why *why)
{
	pmz__plan plan;
	int status;

	PMZ__ASSERT(out);
	PMZ__ASSERT(nodes || !count);
	*out = NULL;
	status = pmz__plan_make(&plan, cfg, nodes, count, why);
	if (status)
		return status;
	status = make(out, &plan, why);
	pmz__plan_free(&plan);
	return status;
}

void pmz_ring_free(pmz_ring *r)
{
	if (!r)
		return;
	free_shape(r);
	pmz__free(r->order);
	pmz__free(r->members);
	pmz__free(r->names);
	pmz__free(r);
}
