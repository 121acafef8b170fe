/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PLACEMENT_MOVE_H
#define PLACEMENT_MOVE_H

/*
 * Placement of memory that has its pages already and that the caller goes on using, such as
 * exported memory. Its map is left in one piece: policies are set through a second one. Thread
 * safe.
 */

#include "placement/plan.h"
#include "placement/topology.h"

/*
 * Binds shared memory at address as planned and moves the pages that it has. ret_stray: pages that
 * are still where they must not be, because others have them mapped, too, or for want of memory; of
 * a soft placement none is. On failure and with strays no policy is left.
 */
int placement_move(
	const struct plan *plan, const struct topology *t, void *address, uint64_t *ret_stray);

#endif
