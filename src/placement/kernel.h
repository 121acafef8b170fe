/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PLACEMENT_KERNEL_H
#define PLACEMENT_KERNEL_H

/*
 * The system calls of this room, and nothing but them: 0 or a negative errno. Linux 5.17 or later
 * has all of them; older ones answer -ENOSYS or -EINVAL. Thread safe.
 */

#include "placement/nodeset.h"

enum kernel_mode { /* the kernel's numbers */
	KERNEL_DEFAULT = 0,
	KERNEL_PREFERRED = 1,
	KERNEL_BIND = 2,
	KERNEL_INTERLEAVE = 3,
	KERNEL_LOCAL = 4,
	KERNEL_PREFERRED_MANY = 5,
	KERNEL_WEIGHTED_INTERLEAVE = 6,
};
#define KERNEL_STATIC_NODES (1 << 15)
#define KERNEL_MODE_FLAGS   (KERNEL_STATIC_NODES | 1 << 14 | 1 << 13)

/* Policy for the pages of [address, address + length): in the memory itself where it is a segment
 * or a memfd, for all who map it. mode may have KERNEL_STATIC_NODES in it. -ENOMEM, too: the
 * process has as many mappings as it may have. */
int kernel_bind(void *address, uint64_t length, int mode, const struct nodeset *nodes);
/* Where BIND and PREFERRED_MANY of this process's map begin to look. */
int kernel_set_home(void *address, uint64_t length, unsigned int node);
/* The policy at an address; the mode with its flags. */
int kernel_policy_at(const void *address, int *ret_mode, struct nodeset *ret_nodes);
/* Nodes that this process may have memory of. */
int kernel_allowed_nodes(struct nodeset *ret_nodes);
/* The nodes of pages that this process has mapped: status[i] is a node or a negative errno. */
int kernel_page_nodes(void *const *pages, size_t n, int *status);
/* Moves pages that this process alone has mapped to nodes[i] each; status as above. */
int kernel_move_pages(void *const *pages, size_t n, const int *nodes, int *status);
/* Allocates all pages; the kernel may kill the caller for want of memory. */
int kernel_populate(void *address, uint64_t length);

#endif
