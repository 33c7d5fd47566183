/*
 * fleet.h - nodes for rings, with names of their own.
 */
#ifndef KIT_FLEET_H
#define KIT_FLEET_H

#include <stdio.h>

#include <pipemaze/ring.h>

#define FLEET_MAX 128
#define FLEET_NAME 32

typedef struct fleet {
	pmz_node nodes[FLEET_MAX];
	char names[FLEET_MAX][FLEET_NAME];
	size_t count;
} fleet;

/* Who adds more than FLEET_MAX gets the last one again. */
static inline void fleet_add(fleet *f, const char *name, uint32_t weight)
{
	size_t at = f->count < FLEET_MAX ? f->count++ : f->count - 1;

	snprintf(f->names[at], FLEET_NAME, "%s", name);
	f->nodes[at] = (pmz_node){ f->names[at], weight, 0 };
}

/* Names as of servers, from `first` on. */
static inline void fleet_number(fleet *f, unsigned first, unsigned count)
{
	char name[FLEET_NAME];
	unsigned i;

	for (i = first; i < first + count; i++) {
		snprintf(name, sizeof(name), "10.0.%u.%u:6379", i / 250,
		         i % 250);
		fleet_add(f, name, 1);
	}
}

static inline void fleet_remove(fleet *f, size_t at)
{
	size_t i;

	f->count--;
	for (i = at; i < f->count; i++) {
		snprintf(f->names[i], FLEET_NAME, "%s", f->names[i + 1]);
		f->nodes[i] = (pmz_node){ f->names[i], f->nodes[i + 1].weight,
			                  0 };
	}
}

/* Adds the nodes of another fleet. */
static inline void fleet_copy(fleet *f, const fleet *other)
{
	size_t i;

	for (i = 0; i < other->count; i++)
		fleet_add(f, other->names[i], other->nodes[i].weight);
}

static inline int fleet_ring(const fleet *f, uint32_t layout, pmz_ring **out,
                             pmz_why *why)
{
	pmz_ring_config c = { .size = sizeof(c), .layout = layout };

	return pmz_ring_new(out, &c, f->nodes, f->count, why);
}

#endif
