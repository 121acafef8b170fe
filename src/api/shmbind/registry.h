/* SPDX-License-Identifier: Apache-2.0 */
#ifndef API_SHMBIND_REGISTRY_H
#define API_SHMBIND_REGISTRY_H

/*
 * The node's registry of bindings, where a node runs; none is started for it. Without one the guard
 * of hard bindings sees this machine's free memory, but not what other bindings may still take.
 */

#include "api/shmbind/segment.h"
#include "placement/plan.h"
#include "placement/topology.h"

struct registration {
	int shmid;
	bool made; /* at a node */
};

/* False: a hard binding could not be kept even if it were the only one. Huge pages are set aside
 * already: what is free does not matter to them. */
bool registry_fits_here(
	const struct placement *p, const struct attachment *a, const struct topology *t);

/* -ENOMEM: a hard binding could not be kept, and nothing has been registered. topology: this
 * machine's, for when no node answers. */
int registry_admit(const struct placement *placement, const struct attachment *a,
	const struct topology *topology, struct registration *ret_registration);

/* Bound, or not. follow: the node shall follow free memory for it from now on, while it is attached
 * here, as one map. */
void registry_done(
	const struct registration *r, const struct attachment *a, bool kept, bool follow);

#endif
