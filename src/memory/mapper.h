/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MEMORY_MAPPER_H
#define MEMORY_MAPPER_H

/*
 * A mapper: one contiguous mapping of one memfd in a watched process (memory/watch.h), and what a
 * daemon does with it: the marker protocol. A registered mapping faults where the memory is absent
 * (missing), and at stores where it is protected; an absent page can be protected too, so that it
 * comes back protected.
 *
 * Ranges are in bytes of the memory, whole pages; each operation takes the part that the mapper
 * has. Where the process has unmapped parts, or put others in their place, they are left out. A
 * process that is gone (watch_gone()) is success: what cannot be reached cannot be wrong.
 *
 * After a hole is punched everything has to be protected again before the memory is filled: the
 * kernel can lose the marks (page faults that race with the punch).
 *
 * The caller has a lock. Nothing here waits for a process but mapper_arm() and mapper_protect(),
 * for a bounded time (memory/watch.h).
 */

#include "memory/watch.h"

struct mapper {
	Watch *watch;	  /* borrowed */
	uint64_t address; /* where it begins in the process */
	uint64_t offset;  /* of that in the memory */
	uint64_t length;
	bool read_only; /* MAP_PRIVATE of a read-only descriptor: never protected, never allowed */
};

enum mapper_outcome {
	MAPPER_OK = 0,
	MAPPER_CHANGED = 1, /* see memory/watch.h: watch_change() until there is none, then again */
};

/*
 * Registers the mapping and protects all of it: from then on nothing of it changes unnoticed.
 * MAPPER_CHANGED: it is not armed, and the changes are of mappers that the caller knows already,
 * not of this one; a child that was forked in between has an unwatched copy of it. -EINVAL: not
 * such a mapping; -EPERM: mapped shared from a read-only descriptor; -EBUSY: watched by somebody
 * else, or out of credit: not armed.
 */
int mapper_arm(const struct mapper *mapper);
/* Of one that is armed, or that a predecessor wanted to arm: the same, and it stays armed. */
int mapper_arm_again(const struct mapper *mapper);
/* Releases it: whoever waits goes on, with what is in the memory or zeros. */
void mapper_disarm(const struct mapper *mapper);

/* No store is under way any more when it returns MAPPER_OK. MAPPER_CHANGED, -EBUSY: see
 * memory/watch.h; the stores of this process may go on. Never another error. */
int mapper_protect(const struct mapper *mapper, uint64_t offset, uint64_t length);
/* Stores are allowed, and whoever waits goes on. Where the process changes its mappings at this
 * moment whoever waits faults again instead. */
void mapper_allow(const struct mapper *mapper, uint64_t offset, uint64_t length);
void mapper_wake(const struct mapper *mapper, uint64_t offset, uint64_t length);

/* Whoever touches this page, which is absent, gets SIGBUS from now on, a system call EFAULT, and
 * who waits for it goes on to that. Only where mapper_can_poison(); where the process changes its
 * mappings at this moment it faults again instead. */
void mapper_poison(const struct mapper *mapper, uint64_t offset);
/* Has the kernel what that needs? device: as in watch_impossible(). */
bool mapper_can_poison(int device);

/* Where a fault address is in the memory. False: not of this mapper. */
bool mapper_find(const struct mapper *mapper, uint64_t address, uint64_t *ret_offset);

/*
 * What a change leaves of a mapper, at most two pieces: everything that the process maps of it from
 * now on. Returns their number; 0: nothing is left. After WATCH_MOVED all of the process is to be
 * protected again: the old place may still be mapped, without its marks (MREMAP_DONTUNMAP), until
 * WATCH_UNMAPPED says otherwise. Growing by mremap is not told by the kernel: what was added is not
 * watched.
 */
unsigned int mapper_change(
	const struct mapper *mapper, const struct watch_event *change, struct mapper ret_pieces[2]);

#endif
