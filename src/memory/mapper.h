/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MEMORY_MAPPER_H
#define MEMORY_MAPPER_H

/*
 * What a daemon does with the mappings that other processes have of a memfd, through the
 * userfaultfds that they gave: the marker protocol. A registered mapping faults where the memory is
 * absent (missing), and at stores where it is protected; an absent page can be protected too, so
 * that it comes back protected.
 *
 * A watched process has one userfaultfd; a mapper is one contiguous mapping of one memfd in it.
 * Ranges are in bytes of the memory, whole pages; each operation takes the part that the mapper
 * has.
 *
 * The other side is hostile: it may unmap, move, fork, and lie about addresses, which harms only
 * itself; it may clear O_NONBLOCK, so that watch_read() may block for ever and is called by a
 * thread that may (daemon/coherent-watch.c); everything else may be called under a lock.
 * -EAGAIN of the kernel (the process is in fork, mremap, munmap or madvise, and waits for its event
 * to be read) is tried again for a bounded time; a mapper whose process is gone (ESRCH) is left
 * alone: what cannot be reached cannot be wrong.
 */

#include <stdbool.h>
#include <stdint.h>
#include "base/error.h"

/* UFFDIO_API with all that coherent maps need: MISSING_SHMEM, WP of shmem, EVENT_FORK, REMAP,
 * UNMAP, REMOVE. May be said to a userfaultfd once. -EPERM: EVENT_FORK needs CAP_SYS_PTRACE of the
 * caller; -EINVAL: this kernel is too old (before 5.19), or it was said before. */
int watch_begin(int uffd);

/* Can this process be watched for coherent maps at all? A sentence, or NULL: yes. */
const char *watch_impossible(int uffd_device);

enum watch_event_type {
	WATCH_NOTHING, /* there was none, or one that does not matter */
	WATCH_FAULT,
	WATCH_FORK,  /* the child has the same mappings, behind a userfaultfd of its own */
	WATCH_MOVED, /* mremap */
	WATCH_UNMAPPED,
	WATCH_REMOVED, /* the process has punched a hole: MADV_REMOVE */
};

struct watch_event {
	enum watch_event_type type;
	uint64_t address, end; /* fault: the page; moved: what has moved, [address, end) */
	uint64_t to;	       /* moved */
	bool write;	       /* fault: by a store, or because of protection */
	int uffd;	       /* fork: the caller's from now on */
};

/* One event. -EAGAIN: none (where it is non-blocking). */
int watch_read(int uffd, struct watch_event *ret_event);

struct mapper {
	int uffd;	  /* borrowed */
	uint64_t address; /* where it begins in the process */
	uint64_t offset;  /* of that in the memory */
	uint64_t length;
	bool read_only; /* MAP_PRIVATE of a read-only descriptor: never protected, never allowed */
};

/* Registers the mapping and protects all of it: from then on nothing of it changes unnoticed.
 * -EINVAL, -EPERM, -EBUSY (watched by somebody else), -ENOMEM: not watched. */
int mapper_arm(const struct mapper *mapper);
/* Releases it: whoever waits goes on, with what is in the memory or zeros. */
void mapper_disarm(const struct mapper *mapper);

int mapper_protect(const struct mapper *mapper, uint64_t offset, uint64_t length);
/* Stores are allowed, and whoever waits goes on. */
int mapper_allow(const struct mapper *mapper, uint64_t offset, uint64_t length);
int mapper_wake(const struct mapper *mapper, uint64_t offset, uint64_t length);

/* Where a fault address is in the memory. False: not of this mapper. */
bool mapper_find(const struct mapper *mapper, uint64_t address, uint64_t *ret_offset);

#endif
