/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shmbind(): arguments in the order that the manual promises, then the binding, by which the kernel
 * itself places every later page of the segment. Nothing is kept in this process. Thread safe.
 */
#include <shmbind.h>

#include <stdlib.h>
#include "api/shmbind/codes.h"
#include "api/shmbind/commit.h"
#include "api/shmbind/registry.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "placement/apply.h"
#include "placement/kernel.h"
#include "placement/mask.h"

#define ORDERS (MEM_FIRSTREF | MEM_STRIPE | MEM_MOSTFREE)
#define BINDS  (MEM_HARDBIND | MEM_SOFTBIND)

/* A map of the process for each range: as many at once as leave room for the program's own. */
#define RANGES_AT_ONCE 16384u

static bool at_most_one(int flags)
{
	return (flags & (flags - 1)) == 0;
}

static int read_policy(int policy, struct placement *ret_placement)
{
	struct placement p = {.order = PLACE_FIRSTREF, .hard = policy & MEM_HARDBIND};

	if (policy & ~(ORDERS | BINDS | MEM_COMMIT) || !at_most_one(policy & ORDERS) ||
		!at_most_one(policy & BINDS))
		return -EINVAL;
	if (policy & MEM_STRIPE)
		p.order = PLACE_STRIPE;
	else if (policy & MEM_MOSTFREE)
		p.order = PLACE_MOSTFREE;
	*ret_placement = p;
	return 0;
}

/* The kernel would drop nodes that are not there, and bind to the rest. */
static int check_nodes(const struct nodeset *nodes, bool beyond, const struct topology *t)
{
	struct nodeset allowed;
	int r;

	if (beyond || nodeset_empty(nodes) || !nodeset_within(nodes, &t->memory))
		return -EINVAL;
	r = kernel_allowed_nodes(&allowed);
	if (r == 0 && !nodeset_within(nodes, &allowed))
		r = -EINVAL;
	return r;
}

static int check_segment(int shmid, struct sysv_segment *ret_segment)
{
	struct sysv_segment s;
	int r;

	r = segment_find(shmid, &s);
	if (r == 0)
		r = segment_check_rights(&s, SEGMENT_READ | SEGMENT_WRITE);
	if (r == 0 && (s.n_attached || s.resident || s.swapped))
		r = -EINVAL;
	if (r == 0)
		*ret_segment = s;
	return r;
}

/* Free memory in pages of the segment's kind. */
static void fill_free(
	const struct attachment *a, const struct topology *t, uint64_t free[NODES_MAX])
{
	unsigned int node;

	nodeset_for_each (&t->memory, node) {
		uint64_t bytes = attachment_is_huge(a) ? topology_free_huge("", node, a->page)
						       : t->nodes[node].free;

		free[node] = bytes / (uint64_t)sysconf(_SC_PAGESIZE);
	}
}

static int make_plan(const struct placement *placement, const struct attachment *a,
	const struct topology *t, struct plan *ret_plan)
{
	_cleanup_free_ uint64_t *free_pages = calloc(NODES_MAX, sizeof(*free_pages));
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	struct plan_input input = {
		.n_pages = attachment_bytes(a) / page,
		.unit = a->page / page,
		.huge = (2u << 20) / page,
		.bias = (uint32_t)a->shmid,
		.free = free_pages,
	};

	if (!free_pages)
		return -ENOMEM;
	fill_free(a, t, free_pages);
	return plan_make(placement, &input, ret_plan);
}

/* Piece by piece: a process may have only so many maps, and each range becomes one until the
 * segment is attached anew. */
static int apply_plan(const struct plan *plan, struct attachment *a)
{
	struct plan part = *plan;
	size_t next = 0, before;
	int r = 0;

	while (next < plan->n_ranges && r == 0) {
		before = next;
		part.n_ranges = MIN(plan->n_ranges, next + RANGES_AT_ONCE);
		r = plan_apply(&part, a->address, &next);
		if (r == -ENOMEM && next > before)
			r = 0;
		if (r == 0 && next < plan->n_ranges)
			r = attachment_renew(a);
	}
	return r;
}

static int apply(const struct placement *placement, struct attachment *a, const struct topology *t)
{
	_cleanup_(plan_deinit) struct plan plan = {0};
	int r;

	r = make_plan(placement, a, t, &plan);
	if (r < 0)
		return r;
	/* the policies of huge pages do not outlive the map: it cannot be renewed */
	if (attachment_is_huge(a) && plan.n_ranges > RANGES_AT_ONCE)
		return -ENOTSUP;
	return apply_plan(&plan, a);
}

/* The guard comes after the ranges, because the kernel needs memory for them, too, half a kilobyte
 * each, and takes it where it likes. */
static int bind_pages(const struct placement *placement, struct attachment *a, struct topology *t,
	bool commit, struct registration *registration)
{
	int r = apply(placement, a, t);

	if (r == 0)
		r = topology_refresh(t, "");
	if (r == 0)
		r = registry_admit(placement, a, t, registration);
	if (r == 0 && (commit || attachment_is_huge(a)))
		r = commit_pages(a, placement);
	if (r < 0)
		placement_clear(a->address, attachment_bytes(a));
	return r;
}

static int bind_segment(const struct sysv_segment *s, const struct placement *placement,
	struct topology *t, bool commit)
{
	_cleanup_(attachment_deinit) struct attachment a = {0};
	struct registration registration = {0};
	bool follow;
	int r;

	r = attachment_make(s, true, &a);
	if (r < 0)
		return r;
	r = attachment_is_only_one(&a) ? attachment_measure(&a) : -EINVAL;
	if (r == 0 && !registry_fits_here(placement, &a, t))
		r = -ENOMEM;
	if (r < 0)
		return r;
	r = bind_pages(placement, &a, t, commit, &registration);
	follow = r == 0 && placement->order == PLACE_MOSTFREE && !commit &&
		 !attachment_is_huge(&a) && attachment_renew(&a) == 0;
	registry_done(&registration, &a, r == 0, follow);
	return r;
}

static int bind_checked(int shmid, int policy, const unsigned long *mask, int length)
{
	_cleanup_(topology_deinit) struct topology topology = {0};
	struct placement placement;
	struct sysv_segment segment;
	bool beyond;
	int r;

	r = read_policy(policy, &placement);
	if (r == 0 && length <= 0)
		r = -EINVAL;
	if (r == 0)
		r = mask_read(mask, length, &placement.nodes, &beyond);
	if (r == 0)
		r = check_segment(shmid, &segment);
	if (r == 0)
		r = topology_read("", &topology);
	if (r == 0)
		r = check_nodes(&placement.nodes, beyond, &topology);
	if (r == 0)
		r = bind_segment(&segment, &placement, &topology, policy & MEM_COMMIT);
	return r;
}

SHMBIND_API int shmbind(int shmid, int policy, unsigned long *mask_ptr, int mask_len)
{
	return shmbind_code(bind_checked(shmid, policy, mask_ptr, mask_len));
}
