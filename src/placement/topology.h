/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PLACEMENT_TOPOLOGY_H
#define PLACEMENT_TOPOLOGY_H

/*
 * The machine's NUMA nodes as sysfs and /proc/zoneinfo show them. A machine whose kernel knows no
 * nodes has one, number 0. A topology is plain data that its owner may use in one thread or share
 * unchanged.
 */

#include "placement/nodeset.h"

struct topology_node {
	uint64_t total, free; /* bytes; free as the kernel counts it, without cache */
	/* What a segment may still get here without reclaim beyond clean cache: free memory above
	 * the kernel's reserves and the page cache that can be dropped, by the rule that
	 * MemAvailable follows, less something for what comes with pages. */
	uint64_t available;
};

struct topology {
	bool numa;	/* the kernel knows of nodes */
	unsigned int n; /* the highest node that is there, plus 1 */
	struct nodeset online, memory, cpus;
	struct topology_node *nodes; /* n */
	unsigned char *distances;    /* n × n, 10 is near; 0: unknown */
};

/* root: "" for this machine, in tests a directory with sys/ and proc/ */
int topology_read(const char *root, struct topology *ret_topology);
void topology_deinit(struct topology *t);

/* The amounts of memory anew. On failure some may be old. */
int topology_refresh(struct topology *t, const char *root);

static inline unsigned int topology_distance(
	const struct topology *t, unsigned int from, unsigned int to)
{
	return t->distances[from * t->n + to];
}

/* Bytes in free huge pages of this size on a node; 0 if there are none. */
uint64_t topology_free_huge(const char *root, unsigned int node, uint64_t page_size);

#endif
