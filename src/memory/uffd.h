/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MEMORY_UFFD_H
#define MEMORY_UFFD_H

/*
 * userfaultfd: what a client needs to make one and what a daemon needs to use one that a client
 * gave it (the ioctls act on the address space of its maker).
 */

#include <stdbool.h>
#include <stdint.h>
#include "base/error.h"

enum uffd_kind {
	UFFD_FULL,	/* also faults inside system calls */
	UFFD_USER_ONLY, /* a system call that touches a watched page gets EFAULT */
};

/*
 * A new userfaultfd of this process, close-on-exec and non-blocking, no UFFDIO_API done. device: an
 * open /dev/userfaultfd or -1. Tries, in this order: the device, the system call, the system call
 * with UFFD_USER_MODE_ONLY. -EPERM, -ENOSYS: not allowed here (container profile).
 */
int uffd_new(int device, enum uffd_kind *ret_kind, int *ret_fd);

/* The feature mask of this kernel, probed once per process on a throw-away descriptor. 0: none. */
uint64_t uffd_features(int device);

/* UFFDIO_API with exactly these features. */
int uffd_api(int fd, uint64_t features);
#define UFFD_WANT_WP_UNPOPULATED (1ull << 13)

/* True if fd is a userfaultfd, whoever sent it. */
bool uffd_check(int fd);

int uffd_register_wp(int fd, uint64_t address, uint64_t length);
/* MISSING | WP, for coherent maps */
int uffd_register_coherent(int fd, uint64_t address, uint64_t length);
/* MISSING, for coherent maps that are only read */
int uffd_register_missing(int fd, uint64_t address, uint64_t length);
int uffd_unregister(int fd, uint64_t address, uint64_t length);
/* -EAGAIN: an event must be read first; -ENOENT: a part of it is not watched */
int uffd_write_protect(int fd, uint64_t address, uint64_t length, bool on);
/* Also where the range lies in several mappings, all watched. */
int uffd_protect(int fd, uint64_t address, uint64_t length, bool on);
int uffd_wake(int fd, uint64_t address, uint64_t length);

/* Accesses to this absent page raise SIGBUS from now on; whoever waits for it goes on to that.
 * -EEXIST: there is something, and be it a mark; needs UFFD_HAS_POISON (Linux 6.6). */
int uffd_poison(int fd, uint64_t address, uint64_t length);
#define UFFD_HAS_POISON (1ull << 14)

#endif
