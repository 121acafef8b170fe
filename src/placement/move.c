/* SPDX-License-Identifier: Apache-2.0 */
#include "placement/move.h"

#include <sys/mman.h>
#include <unistd.h>
#include "base/error.h"
#include "placement/apply.h"
#include "placement/kernel.h"

#define BATCH 512u

/* A walk through the plan, page by page. */
struct walk {
	const struct plan *plan;
	const struct topology *topology;
	char *address;
	size_t range;
	uint64_t page, stray;
};

static uint64_t page_size(void)
{
	return (uint64_t)sysconf(_SC_PAGESIZE);
}

/* The set's node nearest to where a page is; -1 if it need not move. */
static int nearest(const struct walk *w, int from)
{
	const struct nodeset *nodes = &w->plan->placement.nodes;
	unsigned int node, best = nodeset_next(nodes, 0);

	if (from < 0 || (unsigned int)from >= w->topology->n ||
		nodeset_has(nodes, (unsigned int)from))
		return -1;
	nodeset_for_each (nodes, node)
		if (node < w->topology->n &&
			topology_distance(w->topology, (unsigned int)from, node) <
				topology_distance(w->topology, (unsigned int)from, best))
			best = node;
	return (int)best;
}

/* Where the page belongs that is on node from; -1: it may stay. */
static int target(struct walk *w, int from)
{
	const struct plan_range *range = &w->plan->ranges[w->range];

	if (w->page >= range->first + range->n)
		range = &w->plan->ranges[++w->range];
	w->page++;
	if (range->node == PLAN_ANY_NODE)
		return nearest(w, from);
	return from == (int)range->node ? -1 : (int)range->node;
}

static int move_batch(struct walk *w, size_t n)
{
	char *at = w->address + w->page * page_size();
	void *pages[BATCH];
	int nodes[BATCH], status[BATCH], r;
	size_t n_moved = 0;

	for (size_t i = 0; i < n; i++) {
		pages[i] = at + i * page_size();
		(void)*(volatile char *)pages[i];
	}
	r = kernel_page_nodes(pages, n, status);
	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++) {
		int node = target(w, status[i]);

		if (node < 0)
			continue;
		pages[n_moved] = pages[i];
		nodes[n_moved++] = node;
	}
	if (n_moved == 0)
		return 0;
	r = kernel_move_pages(pages, n_moved, nodes, status);
	for (size_t i = 0; i < n_moved && r == 0; i++)
		w->stray += status[i] != nodes[i];
	return r;
}

static int move_all(struct walk *w)
{
	int r = 0;

	for (uint64_t left; (left = w->plan->n_pages - w->page) > 0 && r == 0;)
		r = move_batch(w, (size_t)MIN(left, (uint64_t)BATCH));
	return r;
}

/* A second map of the same memory, without a descriptor of it. */
static int map_again(void *address, uint64_t size, void **ret_map)
{
	void *p = mremap(address, 0, size, MREMAP_MAYMOVE);

	if (p == MAP_FAILED)
		return negative_errno();
	*ret_map = p;
	return 0;
}

/* In pieces, each with a map of its own: every range makes one more mapping of the process. */
static int set_policies(const struct plan *plan, void *address, uint64_t size)
{
	struct plan part = *plan;
	size_t next = 0;
	void *map;
	int r = 0;

	while (next < plan->n_ranges && r == 0) {
		r = map_again(address, size, &map);
		if (r < 0)
			return r;
		part.n_ranges = MIN(plan->n_ranges, next + 16384);
		r = plan_apply(&part, map, &next);
		munmap(map, size);
	}
	return r;
}

static void clear_policies(void *address, uint64_t size)
{
	void *map;

	if (map_again(address, size, &map) < 0)
		return;
	placement_clear(map, size);
	munmap(map, size);
}

int placement_move(
	const struct plan *plan, const struct topology *t, void *address, uint64_t *ret_stray)
{
	struct walk w = {.plan = plan, .topology = t, .address = address};
	uint64_t size = plan->n_pages * page_size();
	int r = set_policies(plan, address, size);

	if (r == 0)
		r = move_all(&w);
	if (!plan->placement.hard)
		w.stray = 0;
	if (r < 0 || w.stray)
		clear_policies(address, size);
	if (r == 0)
		*ret_stray = w.stray;
	return r;
}
