/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_VM_NUMA_ORACLE_H
#define TESTS_VM_NUMA_ORACLE_H

/*
 * Where pages are, found out without anything of ours: move_pages(2) for each page, and the counts
 * of /proc/self/numa_maps, which must agree. Ends the program when they do not.
 */

#include <stdbool.h>
#include <stddef.h>

#define ORACLE_NODES 16

struct oracle_count {
	size_t on[ORACLE_NODES];
	size_t absent;
};

/* Has this process run on a processor of this node from now on. */
void oracle_run_on(int node);
bool oracle_has_cpu(int node);

/* Writes to pages [first, first + n) of the segment, attached for that. */
void oracle_touch(int shmid, size_t first, size_t n);

/* Counts the pages [first, first + n), 0: to the end; touched for reading only if in memory. */
struct oracle_count oracle_count(int shmid, size_t first, size_t n);

/* The same of whatever is mapped there, whole and by itself. */
struct oracle_count oracle_count_at(char *address, size_t n_pages);

/* Bytes of MemFree of the node. */
size_t oracle_free(int node);

#endif
