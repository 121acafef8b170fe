/* SPDX-License-Identifier: Apache-2.0 */
#include "memory/sys.h"

#include <signal.h>
#include <sys/syscall.h>
#include "base/error.h"

#define SYS_PATIENCE 4 /* attempts */

int sys_ioctl(int fd, unsigned long request, void *argument)
{
	return (int)memory_syscall(SYS_ioctl, fd, (long)request, (long)argument, 0, 0, 0);
}

long sys_mmap(uint64_t address, uint64_t length, int protection, int flags, int fd, uint64_t offset)
{
	return memory_syscall(
		SYS_mmap, (long)address, (long)length, protection, flags, fd, (long)offset);
}

int sys_munmap(uint64_t address, uint64_t length)
{
	int r = -EAGAIN;

	/* Fails only while other threads have used up all mappings. */
	for (int i = 0; i < SYS_PATIENCE && r < 0; i++)
		r = (int)memory_syscall(SYS_munmap, (long)address, (long)length, 0, 0, 0, 0);
	return r;
}

int sys_mprotect(uint64_t address, uint64_t length, int protection)
{
	return (int)memory_syscall(SYS_mprotect, (long)address, (long)length, protection, 0, 0, 0);
}

long sys_mremap(uint64_t from, uint64_t old_length, uint64_t length, int flags, uint64_t to)
{
	return memory_syscall(
		SYS_mremap, (long)from, (long)old_length, (long)length, flags, (long)to, 0);
}

int sys_madvise(uint64_t address, uint64_t length, int advice)
{
	return (int)memory_syscall(SYS_madvise, (long)address, (long)length, advice, 0, 0, 0);
}

static int sys_copy_all(long number, int fd, uint64_t address, uint64_t length, uint64_t offset)
{
	while (length) {
		long n =
			memory_syscall(number, fd, (long)address, (long)length, (long)offset, 0, 0);

		if (n == -EINTR)
			continue;
		if (n <= 0)
			return n ? (int)n : -EIO;
		address += (uint64_t)n;
		offset += (uint64_t)n;
		length -= (uint64_t)n;
	}
	return 0;
}

int sys_pwrite_all(int fd, uint64_t address, uint64_t length, uint64_t offset)
{
	return sys_copy_all(SYS_pwrite64, fd, address, length, offset);
}

int sys_pread_all(int fd, uint64_t address, uint64_t length, uint64_t offset)
{
	return sys_copy_all(SYS_pread64, fd, address, length, offset);
}

int sys_block_signals(uint64_t *ret_old)
{
	uint64_t all = UINT64_MAX;

	return (int)memory_syscall(
		SYS_rt_sigprocmask, SIG_SETMASK, (long)&all, (long)ret_old, sizeof(all), 0, 0);
}

void sys_restore_signals(uint64_t old)
{
	(void)memory_syscall(SYS_rt_sigprocmask, SIG_SETMASK, (long)&old, 0, sizeof(old), 0, 0);
}
