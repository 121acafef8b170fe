/* SPDX-License-Identifier: Apache-2.0 */
#include "placement/plan.h"

#include <assert.h>
#include <stdlib.h>
#include "base/error.h"

static uint64_t divide_up(uint64_t a, uint64_t b)
{
	return a / b + (a % b > 0);
}

static uint64_t multiple_of(uint64_t a, uint64_t unit)
{
	return divide_up(a, unit) * unit;
}

/* As fine as max ranges allow; where that is coarser than a huge page, whole huge pages. */
static uint64_t grain_of(const struct plan_input *in, uint64_t max)
{
	uint64_t grain = multiple_of(divide_up(in->n_pages, max), in->unit);

	return in->huge && grain > in->huge ? multiple_of(grain, in->huge) : grain;
}

/* Room for all pieces of a grain. */
static int begin(struct plan *p)
{
	p->ranges = calloc(divide_up(p->n_pages, p->grain), sizeof(*p->ranges));
	return p->ranges ? 0 : -ENOMEM;
}

/* The next grain; neighbours of one node become one range. */
static void append(struct plan *p, uint64_t first, uint32_t node)
{
	uint64_t n = MIN(p->grain, p->n_pages - first);
	struct plan_range *last = p->n_ranges ? &p->ranges[p->n_ranges - 1] : NULL;

	if (last && last->node == node)
		last->n += n;
	else
		p->ranges[p->n_ranges++] = (struct plan_range){first, n, node};
}

static int plan_whole(struct plan *p)
{
	int r;

	p->grain = p->n_pages;
	r = begin(p);
	if (r == 0)
		append(p, 0, PLAN_ANY_NODE);
	return r;
}

/* The kernel's interleaving needs one range, but leaves the set when a node is full. */
static int plan_stripes(struct plan *p, const struct plan_input *in)
{
	uint32_t order[NODES_MAX], n = 0, node;
	int r;

	p->grain = grain_of(in, in->ranges ? in->ranges : PLAN_STRIPES_MAX);
	r = begin(p);
	if (r < 0)
		return r;
	nodeset_for_each (&p->placement.nodes, node)
		order[n++] = node;
	for (uint64_t i = 0; i * p->grain < p->n_pages; i++)
		append(p, i * p->grain, order[(i + in->bias) % n]);
	return 0;
}

struct rest {
	uint32_t node;
	int64_t free;
};

/* Each grain to the node that has most left, so that what is free stays level however far the
 * memory is filled. */
static int plan_most_free(struct plan *p, const struct plan_input *in)
{
	struct rest rest[NODES_MAX];
	uint32_t n = 0, node;
	int r;

	p->grain = grain_of(in, PLAN_MOSTFREE_MAX);
	r = begin(p);
	if (r < 0)
		return r;
	nodeset_for_each (&p->placement.nodes, node)
		rest[n++] = (struct rest){node, (int64_t)in->free[node]};
	for (uint64_t at = 0; at < p->n_pages; at += p->grain) {
		struct rest *most = rest;

		for (uint32_t i = 1; i < n; i++)
			if (rest[i].free > most->free)
				most = &rest[i];
		append(p, at, most->node);
		most->free -= (int64_t)p->grain;
	}
	return 0;
}

int plan_make(const struct placement *placement, const struct plan_input *in, struct plan *ret_plan)
{
	struct plan p = {.placement = *placement, .n_pages = in->n_pages};
	int r;

	assert(in->n_pages && in->unit && !nodeset_empty(&placement->nodes));
	if (placement->order == PLACE_MOSTFREE)
		r = plan_most_free(&p, in);
	else if (placement->order == PLACE_STRIPE && placement->hard)
		r = plan_stripes(&p, in);
	else
		r = plan_whole(&p);
	if (r < 0)
		return r;
	if (placement->order == PLACE_STRIPE && !placement->hard)
		p.grain = in->unit;
	*ret_plan = p;
	return 0;
}

void plan_deinit(struct plan *p)
{
	free(p->ranges);
	*p = (struct plan){0};
}
