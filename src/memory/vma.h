/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MEMORY_VMA_H
#define MEMORY_VMA_H

/*
 * What is mapped at an address, asked of the kernel: PROCMAP_QUERY where it exists (6.11), else
 * /proc/self/maps.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "base/error.h"

struct vma {
	uint64_t start, end;
	uint64_t offset; /* of start in the file, bytes */
	uint64_t inode;	 /* 0: anonymous */
	dev_t device;
	bool readable, writable, shared;
	bool stack; /* the main thread's stack */
	bool sysv;  /* a System V segment; inode is its shmid */
	bool hugetlb;
	bool unlinked_zero; /* shared anonymous memory ("/dev/zero (deleted)") */
};

/* Calls visit for each mapping that overlaps [start, end), in order, until it returns non-zero,
 * which is then the result. visit must not map, unmap or allocate large blocks. */
int vma_for_each(uint64_t start, uint64_t end, int (*visit)(const struct vma *vma, void *userdata),
	void *userdata);

#endif
