/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MEMORY_MEMFD_H
#define MEMORY_MEMFD_H

/*
 * Hardened memfds (DESIGN.md §6.5): close-on-exec, mode 0600, seals exactly SHRINK | GROW | SEAL,
 * so that who holds one can neither change its size nor reopen a read-only description for writing
 * unless he has the uid of the process that made it.
 */

#include <stdint.h>
#include "base/error.h"

/* All holes; nothing is reserved. name is for people (/proc/PID/maps). size: bytes, above 0. */
int memfd_new(const char *name, uint64_t size, int *ret_fd);

/* A description of it that can only read. */
int memfd_reopen_readonly(int fd, int *ret_fd);

/* A description that can read and write, its flags shared with nobody. */
int memfd_reopen(int fd, int *ret_fd);

/* 0 if fd is a memfd of exactly this size with exactly our seals; -EBADF if not. Never blocks, even
 * on a hostile descriptor. */
int memfd_check(int fd, uint64_t size);

/* Allocates all pages now, charged to the caller. -ENOSPC, -ENOMEM: nothing stays allocated that
 * was not before. Restarts on EINTR. */
int memfd_reserve(int fd, uint64_t offset, uint64_t size);

#endif
