/* SPDX-License-Identifier: Apache-2.0 */
#include "memory/sys.h"

#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "base/error.h"

#if defined(__x86_64__)
long memory_syscall(long number, long a, long b, long c, long d, long e, long f)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	long result;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return result;
}
#elif defined(__aarch64__)
long memory_syscall(long number, long a, long b, long c, long d, long e, long f)
{
	register long x8 __asm__("x8") = number;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	register long x4 __asm__("x4") = e;
	register long x5 __asm__("x5") = f;

	__asm__ volatile("svc #0"
			 : "+r"(x0)
			 : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
			 : "memory");
	return x0;
}
#else
/* Stores errno: there a range that holds the caller's thread-local storage must not be adopted. */
long memory_syscall(long number, long a, long b, long c, long d, long e, long f)
{
	long result = syscall(number, a, b, c, d, e, f);

	return result == -1 ? negative_errno() : result;
}
#endif

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
	return (int)memory_syscall(SYS_munmap, (long)address, (long)length, 0, 0, 0, 0);
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

int sys_pwrite_all(int fd, uint64_t address, uint64_t length, uint64_t offset)
{
	while (length) {
		long n = memory_syscall(
			SYS_pwrite64, fd, (long)address, (long)length, (long)offset, 0, 0);

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
