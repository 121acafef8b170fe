/* SPDX-License-Identifier: Apache-2.0 */
#include "placement/apply.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/error.h"
#include "placement/kernel.h"

/*
 * Which policy of the kernel stands for which placement:
 *
 *   FIRSTREF  BIND(nodes), PREFERRED_MANY(nodes)
 *   STRIPE    hard: STATIC BIND{node} range by range; soft: INTERLEAVE(nodes)
 *   MOSTFREE  STATIC BIND(nodes), STATIC PREFERRED_MANY(nodes), with a home node
 *
 * The kernel does not tell home nodes, so STATIC, which makes no difference to memory that is
 * shared, tells MOSTFREE from FIRSTREF, and a stripe over one node from a set of one node.
 */

static uint64_t page_size(void)
{
	return (uint64_t)sysconf(_SC_PAGESIZE);
}

static int mode_of(const struct placement *p)
{
	switch (p->order) {
	case PLACE_STRIPE:
		return p->hard ? KERNEL_BIND | KERNEL_STATIC_NODES : KERNEL_INTERLEAVE;
	case PLACE_MOSTFREE:
		return (p->hard ? KERNEL_BIND : KERNEL_PREFERRED_MANY) | KERNEL_STATIC_NODES;
	case PLACE_FIRSTREF:
		break;
	}
	return p->hard ? KERNEL_BIND : KERNEL_PREFERRED_MANY;
}

static int bind_home(const struct placement *p, void *address, uint64_t length, uint32_t node)
{
	int r = kernel_bind(address, length, mode_of(p), &p->nodes);

	return r < 0 ? r : kernel_set_home(address, length, node);
}

static int bind_range(const struct placement *p, void *address, const struct plan_range *range)
{
	uint64_t page = page_size(), length = range->n * page;
	struct nodeset one;

	address = (char *)address + range->first * page;
	if (range->node == PLAN_ANY_NODE)
		return kernel_bind(address, length, mode_of(p), &p->nodes);
	if (p->order == PLACE_MOSTFREE)
		return bind_home(p, address, length, range->node);
	one = nodeset_of(range->node);
	return kernel_bind(address, length, mode_of(p), &one);
}

int plan_apply(const struct plan *plan, void *address, size_t *next)
{
	int r = 0;

	while (r == 0 && *next < plan->n_ranges) {
		r = bind_range(&plan->placement, address, &plan->ranges[*next]);
		*next += r == 0;
	}
	return r;
}

int placement_clear(void *address, uint64_t length)
{
	return kernel_bind(address, length, KERNEL_DEFAULT, NULL);
}

int placement_prefer(
	const struct placement *placement, void *address, uint64_t length, unsigned int node)
{
	return bind_home(placement, address, length, node);
}

/* What one range's policy says; -ENODATA: nothing. */
static int placement_of(int mode, const struct nodeset *nodes, struct placement *ret_placement)
{
	struct placement p = {.order = PLACE_FIRSTREF, .nodes = *nodes};
	bool is_static = mode & KERNEL_STATIC_NODES;
	int r = 0;

	switch (mode & ~KERNEL_MODE_FLAGS) {
	case KERNEL_DEFAULT:
		return -ENODATA;
	case KERNEL_BIND:
		p.hard = true;
		if (is_static)
			p.order = nodeset_count(nodes) == 1 ? PLACE_STRIPE : PLACE_MOSTFREE;
		break;
	case KERNEL_INTERLEAVE:
	case KERNEL_WEIGHTED_INTERLEAVE:
		p.order = PLACE_STRIPE;
		break;
	case KERNEL_PREFERRED_MANY:
		if (is_static)
			p.order = PLACE_MOSTFREE;
		break;
	case KERNEL_PREFERRED:
		break;
	case KERNEL_LOCAL:
		r = kernel_allowed_nodes(&p.nodes);
		break;
	default:
		return -ENODATA;
	}
	if (r == 0)
		*ret_placement = p;
	return r;
}

/* Hard ranges of single nodes are a stripe together; other ranges must be alike. */
static bool join(struct placement *all, const struct placement *one)
{
	bool single = nodeset_count(&one->nodes) == 1;

	if (nodeset_equal(&all->nodes, &one->nodes))
		return all->order == one->order && all->hard == one->hard;
	if (!one->hard || !all->hard || !single ||
		(all->order != PLACE_STRIPE && nodeset_count(&all->nodes) > 1))
		return false;
	all->order = PLACE_STRIPE;
	nodeset_unite(&all->nodes, &one->nodes);
	return true;
}

int placement_find(
	const void *address, uint64_t n_pages, uint64_t samples, struct placement *ret_placement)
{
	uint64_t step = MAX(n_pages / MAX(samples, 1u), 1u), bare = 0, n = 0;
	struct placement all = {0}, one;
	bool alike = true;

	for (uint64_t page = 0; page < n_pages; page += step, n++) {
		struct nodeset nodes;
		int mode, r;

		r = kernel_policy_at((const char *)address + page * page_size(), &mode, &nodes);
		if (r < 0)
			return r;
		if (placement_of(mode, &nodes, &one) < 0)
			bare++;
		else if (n == bare)
			all = one;
		else
			alike = alike && join(&all, &one);
	}
	if (bare == n)
		return PLACEMENT_NONE;
	if (bare || !alike)
		return PLACEMENT_MIXED;
	*ret_placement = all;
	return 0;
}

#define COUNT_PAGES 1024u

/* Brings what is in memory, and nothing else, into this process's page table: the kernel says
 * nothing of pages that are not there. */
static void touch(const volatile char *at, const unsigned char *resident, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (resident[i] & 1)
			(void)at[i * page_size()];
}

static int nodes_of(const char *at, size_t n, bool whole, int status[COUNT_PAGES])
{
	unsigned char resident[COUNT_PAGES];
	void *pages[COUNT_PAGES];
	int r;

	if (mincore((void *)at, n * page_size(), resident) < 0)
		return negative_errno();
	if (whole)
		memset(resident, 1, n);
	touch(at, resident, n);
	for (size_t i = 0; i < n; i++)
		pages[i] = (void *)(at + i * page_size());
	r = kernel_page_nodes(pages, n, status);
	for (size_t i = 0; i < n && r == 0; i++)
		status[i] = resident[i] & 1 && status[i] >= 0 ? status[i] : -1;
	return r;
}

int placement_count(const void *address, uint64_t n_pages, bool whole,
	struct placement_count *ret_count, void (*each)(uint64_t page, int node, void *userdata),
	void *userdata)
{
	_cleanup_free_ struct placement_count *count = calloc(1, sizeof(*count));
	int status[COUNT_PAGES], r;

	if (!count)
		return -ENOMEM;
	for (uint64_t page = 0; page < n_pages; page += COUNT_PAGES) {
		size_t n = (size_t)MIN(n_pages - page, COUNT_PAGES);

		r = nodes_of((const char *)address + page * page_size(), n, whole, status);
		if (r < 0)
			return r;
		for (size_t i = 0; i < n; i++) {
			if (status[i] >= 0 && (unsigned int)status[i] < NODES_MAX)
				count->on[status[i]]++;
			else
				count->absent++;
			if (each)
				each(page + i, status[i], userdata);
		}
	}
	*ret_count = *count;
	return 0;
}
