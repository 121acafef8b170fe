/* SPDX-License-Identifier: Apache-2.0 */
#include "placement/kernel.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "base/error.h"

#define MPOL_MF_MOVE	    2
#define MPOL_F_ADDR	    2
#define MPOL_F_MEMS_ALLOWED 4

#ifndef SYS_set_mempolicy_home_node
#define SYS_set_mempolicy_home_node 450
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

/* The kernel reads one bit less than it is told, and takes bits above its own highest node as long
 * as they are 0. */
#define MASK_BITS (NODES_MAX + 1)

static int result(long r)
{
	return r < 0 ? negative_errno() : 0;
}

int kernel_bind(void *address, uint64_t length, int mode, const struct nodeset *nodes)
{
	return result(syscall(SYS_mbind, address, length, mode, nodes ? nodes->bits : NULL,
		nodes ? MASK_BITS : 0, 0));
}

int kernel_set_home(void *address, uint64_t length, unsigned int node)
{
	return result(syscall(SYS_set_mempolicy_home_node, address, length, node, 0));
}

int kernel_policy_at(const void *address, int *ret_mode, struct nodeset *ret_nodes)
{
	struct nodeset nodes = {0};
	int mode, r;

	r = result(syscall(SYS_get_mempolicy, &mode, nodes.bits, MASK_BITS, address, MPOL_F_ADDR));
	if (r < 0)
		return r;
	*ret_mode = mode;
	*ret_nodes = nodes;
	return 0;
}

int kernel_allowed_nodes(struct nodeset *ret_nodes)
{
	struct nodeset nodes = {0};
	int r;

	r = result(
		syscall(SYS_get_mempolicy, NULL, nodes.bits, MASK_BITS, NULL, MPOL_F_MEMS_ALLOWED));
	if (r == 0)
		*ret_nodes = nodes;
	return r;
}

int kernel_page_nodes(void *const *pages, size_t n, int *status)
{
	return result(syscall(SYS_move_pages, 0, n, pages, NULL, status, 0));
}

int kernel_move_pages(void *const *pages, size_t n, const int *nodes, int *status)
{
	/* a positive result: so many could not be moved; status tells which */
	for (size_t i = 0; i < n; i++)
		status[i] = -EAGAIN;
	return result(syscall(SYS_move_pages, 0, n, pages, nodes, status, MPOL_MF_MOVE));
}

int kernel_populate(void *address, uint64_t length)
{
	int r;

	do {
		r = result(madvise(address, length, MADV_POPULATE_WRITE));
	} while (r == -EINTR || r == -EAGAIN);
	return r;
}
