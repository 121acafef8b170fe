/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PLACEMENT_PLAN_H
#define PLACEMENT_PLAN_H

/*
 * What a policy means for a piece of memory: ranges of pages, each with the nodes that it may come
 * from. Pure logic: the amounts of free memory are given, nothing is looked up and nothing is
 * bound.
 */

#include "placement/nodeset.h"

enum placement_order {
	PLACE_FIRSTREF = 1, /* the node of the CPU that touches the page first, or the nearest */
	PLACE_STRIPE = 2,   /* evenly over the nodes */
	PLACE_MOSTFREE = 3, /* the node with most free memory */
};

struct placement {
	enum placement_order order;
	bool hard; /* never outside nodes, and striped pages only where the stripe says */
	struct nodeset nodes;
};

#define PLAN_ANY_NODE UINT32_MAX

struct plan_range {
	uint64_t first, n; /* pages */
	uint32_t node;	   /* the one to prefer (STRIPE: the only one), or PLAN_ANY_NODE */
};

struct plan {
	struct placement placement;
	uint64_t n_pages;
	uint64_t grain; /* pages: what evenness is exact to */
	size_t n_ranges;
	struct plan_range *ranges; /* one after the other, all n_pages of them */
};

/* Most ranges of a plan; the kernel keeps about half a kilobyte for each. */
#define PLAN_STRIPES_MAX  65536u
#define PLAN_MOSTFREE_MAX 1024u

struct plan_input {
	uint64_t n_pages; /* above 0 */
	uint64_t unit;	  /* pages that cannot be told apart: 1, or those of a huge page */
	uint64_t huge;	  /* pages of a huge page that may be used where a range is as long; 0 */
	uint32_t ranges;  /* of a stripe at most; 0: PLAN_STRIPES_MAX */
	uint32_t bias;	  /* which node a stripe begins with, as the kernel's own interleaving */
	const uint64_t *free; /* pages of each node, for MOSTFREE; NODES_MAX or the highest + 1 */
};

/* placement->nodes: not empty. -ENOMEM. */
int plan_make(
	const struct placement *placement, const struct plan_input *input, struct plan *ret_plan);
void plan_deinit(struct plan *plan);

#endif
