/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PLACEMENT_APPLY_H
#define PLACEMENT_APPLY_H

/*
 * Plans carried out on shared memory that this process has mapped (a System V segment, a memfd),
 * and what became of it. The policies stay in the memory when the map goes. Thread safe.
 */

#include "placement/plan.h"

/*
 * Binds the ranges from *next on, at address, and leaves in *next how far it came. -ENOMEM: as many
 * as a process may have mappings; a new map in place of this one, whose ranges are one mapping
 * again, can be gone on with.
 */
int plan_apply(const struct plan *plan, void *address, size_t *next);

/* No policy for any of it. */
int placement_clear(void *address, uint64_t length);

/* One policy for the whole, which begins to look at this node: MOSTFREE at one moment. */
int placement_prefer(
	const struct placement *placement, void *address, uint64_t length, unsigned int node);

/* How memory that somebody bound is placed, as far as one placement can say it. samples: at how
 * many pages to look. Positive: PLACEMENT_NONE, no policy at all; PLACEMENT_MIXED, several. */
enum placement_found { PLACEMENT_NONE = 1, PLACEMENT_MIXED = 2 };
int placement_find(
	const void *address, uint64_t n_pages, uint64_t samples, struct placement *ret_placement);

/* Pages on each node, without making any: those not in memory are in absent. whole: all are known
 * to be there, which of huge pages nothing else tells. */
struct placement_count {
	uint64_t on[NODES_MAX];
	uint64_t absent;
};
/* each may be NULL; it gets every page's node, or -1 */
int placement_count(const void *address, uint64_t n_pages, bool whole,
	struct placement_count *ret_count, void (*each)(uint64_t page, int node, void *userdata),
	void *userdata);

#endif
