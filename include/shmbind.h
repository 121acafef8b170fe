/* SPDX-License-Identifier: Apache-2.0 */
/*
 * System V shared memory segments bound to NUMA nodes: between shmget() and the first shmat() a
 * segment is told which nodes its pages come from and by which policy. Whoever attaches it later,
 * with or without this library, gets pages from there. See shmbind(3).
 */
#ifndef SHMBIND_H
#define SHMBIND_H

#ifdef __cplusplus
extern "C" {
#endif

/* How a page's node is chosen from the set: one of these; none is MEM_FIRSTREF. */
#define MEM_FIRSTREF 1 /* that of the CPU that touches it first, or the nearest of the set */
#define MEM_STRIPE   2 /* evenly */
#define MEM_MOSTFREE 4 /* that with most free memory */

/* What if there is no page on that node: one of these; none is MEM_SOFTBIND. */
#define MEM_HARDBIND 8	/* none is taken elsewhere */
#define MEM_SOFTBIND 16 /* from other nodes */

/* Ours: allocate all pages now, or fail with ENOMEM. */
#define MEM_COMMIT 32

/* mask_len: bits at mask_ptr, which are whole longs. 0, or -1 with errno: EINVAL, EPERM, EFAULT,
 * ENOMEM, ENOTSUP, ENOSYS. */
int shmbind(int shmid, int policy, unsigned long *mask_ptr, int mask_len);

/* Ours: how a segment is bound. Stores the flags, without MEM_COMMIT, and the set. 0, or -1 with
 * errno: EINVAL, EPERM, EFAULT, ENODATA, ENOTSUP, ENOMEM, ENOSYS. */
int shmbind_get(int shmid, int *policy, unsigned long *mask_ptr, int mask_len);

#ifdef __cplusplus
}
#endif

#endif
