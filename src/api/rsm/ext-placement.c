/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which NUMA nodes the pages of an export are on. Its memory is shared memory that has its pages
 * already: they are moved, and the policy stays in the memory for all who map it.
 */
#include <rsm/rsmapi_ext.h>

#include <limits.h>
#include <stdlib.h>
#include <unistd.h>
#include "api/rsm/codes.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "client/export.h"
#include "placement/kernel.h"
#include "placement/move.h"
#include "wire/status.h"

#define ORDERS (RSM_EXT_FIRSTREF | RSM_EXT_STRIPE | RSM_EXT_MOSTFREE)

struct work {
	struct placement placement;
	const struct topology *topology;
};

static bool read_policy(uint_t policy, struct placement *ret_placement)
{
	uint_t order = policy & ORDERS;
	struct placement p = {.order = PLACE_FIRSTREF, .hard = policy & RSM_EXT_HARD};

	if (policy & ~(uint_t)(ORDERS | RSM_EXT_HARD) || order & (order - 1))
		return false;
	if (order == RSM_EXT_STRIPE)
		p.order = PLACE_STRIPE;
	else if (order == RSM_EXT_MOSTFREE)
		p.order = PLACE_MOSTFREE;
	*ret_placement = p;
	return true;
}

/* False: it names a node that no set has room for. */
static bool read_nodes(const unsigned long *nodes, uint_t n_bits, struct nodeset *ret_set)
{
	struct nodeset set = {0};

	for (uint_t i = 0; i < n_bits; i++) {
		if (!(nodes[i / NODESET_WORD_BITS] >> i % NODESET_WORD_BITS & 1))
			continue;
		if (i >= NODES_MAX)
			return false;
		nodeset_add(&set, i);
	}
	*ret_set = set;
	return true;
}

static bool is_usable(const struct nodeset *nodes, const struct topology *t)
{
	struct nodeset allowed;

	return !nodeset_empty(nodes) && nodeset_within(nodes, &t->memory) &&
	       (kernel_allowed_nodes(&allowed) < 0 || nodeset_within(nodes, &allowed));
}

/* All pages are there: what is free counts as it is, with what they occupy now. And each must be
 * told its node, also of a soft stripe, which the kernel would work out for new pages. */
static int make_plan(const struct work *work, uint64_t size, struct plan *ret_plan)
{
	_cleanup_free_ uint64_t *pages = calloc(NODES_MAX, sizeof(*pages));
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	struct plan_input input = {
		.n_pages = size / page, .unit = 1, .huge = (2u << 20) / page, .free = pages};
	struct placement placement = work->placement;
	unsigned int node;
	int r;

	if (!pages)
		return -ENOMEM;
	nodeset_for_each (&work->topology->memory, node)
		pages[node] = work->topology->nodes[node].free / page;
	placement.hard = placement.hard || placement.order == PLACE_STRIPE;
	r = plan_make(&placement, &input, ret_plan);
	if (r == 0)
		ret_plan->placement.hard = work->placement.hard;
	return r;
}

static int place(void *address, uint64_t size, void *data)
{
	const struct work *work = data;
	_cleanup_(plan_deinit) struct plan plan = {0};
	uint64_t stray = 0;
	int r;

	r = make_plan(work, size, &plan);
	if (r == 0)
		r = placement_move(&plan, work->topology, address, &stray);
	return r < 0 ? r : stray ? -ENOMEM : 0;
}

RSM_API int rsm_ext_export_place(
	rsm_memseg_export_handle_t memseg, uint_t policy, const unsigned long *nodes, uint_t n_bits)
{
	_cleanup_(topology_deinit) struct topology topology = {0};
	struct work work = {.topology = &topology};
	struct cw_export *export = cw_export_ref((cw_handle)memseg);

	if (!export)
		return RSMERR_BAD_SEG_HNDL;
	cw_export_put(export);
	if (!read_policy(policy, &work.placement))
		return RSMERR_BAD_MODE;
	if (!nodes)
		return RSMERR_BAD_ADDR;
	if (n_bits == 0)
		return RSMERR_BAD_LENGTH;
	if (topology_read("", &topology) < 0)
		return RSMERR_INSUFFICIENT_RESOURCES;
	if (!read_nodes(nodes, n_bits, &work.placement.nodes) ||
		!is_usable(&work.placement.nodes, &topology))
		return RSMERR_BAD_CONF;
	return rsm_code(cw_export_with_memory((cw_handle)memseg, place, &work), ABOUT_EXPORT);
}
