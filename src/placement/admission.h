/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PLACEMENT_ADMISSION_H
#define PLACEMENT_ADMISSION_H

/*
 * Whether a hard binding can be kept. When the nodes of a hard binding are full the kernel does not
 * let the access fail: it kills processes, and not those who caused it. So a binding is only made
 * if its pages and all that other bindings may still take from the same nodes are there. Pure
 * logic.
 *
 * What others may take is counted at its worst: any binding may put all that it lacks on any of its
 * nodes.
 */

#include "placement/plan.h"
#include "placement/topology.h"

/* What a binding may still take. */
struct claim {
	struct placement placement;
	uint64_t bytes;
};

/* True if the first claim and, beside it, every other hard one can be met. A soft one always can,
 * as any process may take memory; what it may take counts for those that come later. */
bool admission_allows(const struct claim *claims, size_t n_claims, const struct topology *t);

#endif
