/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_CONFORMANCE_SHMBIND_RIG_H
#define TESTS_CONFORMANCE_SHMBIND_RIG_H

/*
 * Segments, masks and nodes for the shmbind tests. Knows the public header, the C library and the
 * kernel's files, nothing of this implementation.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ipc.h>
#include <sys/shm.h>

#include <cmocka.h>

#include <shmbind.h>

#define MASK_LONGS 32
#define LONG_BITS  ((int)(8 * sizeof(long)))
#define MASK_BITS  (MASK_LONGS * LONG_BITS)

struct mask {
	unsigned long bits[MASK_LONGS];
};

struct mask mask_of(int node);
void mask_add(struct mask *mask, int node);

/* Nodes that have memory. */
struct mask memory_nodes(void);
int first_node(void);
/* One that no machine of this kind has. */
int absent_node(void);

/* A new segment; the last one made is removed by the teardown. */
int new_segment(size_t size, int mode);
int remove_segments(void **state);

struct shmid_ds state_of(int shmid);

/* Skips the test on a kernel without NUMA policies. */
void need_policies(void);
void need_root(void);

/* Runs work in a child as uid and gid 12345 (0: as it is), with these groups; its exit status. */
int in_child(unsigned int id, int (*work)(void *), void *data);

/* -1 and this errno, nothing bound, nobody attached, no trace in the times. */
#define REFUSES(shmid, call, error)                                                                \
	do {                                                                                       \
		struct shmid_ds before_ = state_of(shmid);                                         \
		errno = 0;                                                                         \
		assert_int_equal(call, -1);                                                        \
		assert_int_equal(errno, error);                                                    \
		assert_untouched(shmid, &before_);                                                 \
	} while (0)
void assert_untouched(int shmid, const struct shmid_ds *before);

/* No page has a policy. Attaches it for a moment. */
void assert_unbound(int shmid);
void assert_bound(int shmid, int policy, const struct mask *mask);

#endif
