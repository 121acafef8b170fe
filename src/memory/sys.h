/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MEMORY_SYS_H
#define MEMORY_SYS_H

/*
 * System calls that touch nothing but registers: no errno, no cancellation point, no thread-local
 * storage. While a piece is write-protected its mover must not store into it, and any of these may
 * lie in the piece. Also the seam where tests make calls fail (--wrap=memory_syscall).
 */

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Returns what the kernel returns: a negative errno on failure. */
long memory_syscall(long number, long a, long b, long c, long d, long e, long f);

int sys_ioctl(int fd, unsigned long request, void *argument);
/* Returns the address or a negative errno (-4095 … -1), see sys_failed(). */
long sys_mmap(
	uint64_t address, uint64_t length, int protection, int flags, int fd, uint64_t offset);
int sys_munmap(uint64_t address, uint64_t length);
int sys_mprotect(uint64_t address, uint64_t length, int protection);
long sys_mremap(uint64_t from, uint64_t old_length, uint64_t length, int flags, uint64_t to);
int sys_madvise(uint64_t address, uint64_t length, int advice);
/* All of it, restarted after partial transfers. */
int sys_pwrite_all(int fd, uint64_t address, uint64_t length, uint64_t offset);
int sys_pread_all(int fd, uint64_t address, uint64_t length, uint64_t offset);

/* Blocks every signal of the calling thread, those that glibc reserves too. */
int sys_block_signals(uint64_t *ret_old);
void sys_restore_signals(uint64_t old);

static inline int sys_failed(long result)
{
	return result < 0 && result >= -4095;
}

#endif
