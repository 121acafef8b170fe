/* SPDX-License-Identifier: Apache-2.0 */
#include "memory/memfd.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include "base/cleanup.h"
#include "base/fd.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008u
#endif
#ifndef F_SEAL_EXEC
#define F_SEAL_EXEC 0x0020
#endif

#define MEMFD_SEALS    (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)
#define MEMFD_PATIENCE 3	     /* interruptions until signals are held back */
#define MEMFD_CAREFUL  (64ull << 20) /* bytes from which the machine's memory is looked at first */

static int memfd_make(const char *name)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

	/* vm.memfd_noexec = 2 demands the flag; elsewhere it would only add a seal. */
	if (fd < 0 && errno == EACCES)
		fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
	return fd < 0 ? negative_errno() : fd;
}

int memfd_new(const char *name, uint64_t size, int *ret_fd)
{
	_cleanup_close_ int fd = -1;

	if (!size || size > INT64_MAX)
		return -EINVAL;
	fd = memfd_make(name);
	if (fd < 0)
		return fd;
	if (fchmod(fd, 0600) < 0 || ftruncate(fd, (off_t)size) < 0 ||
		fcntl(fd, F_ADD_SEALS, MEMFD_SEALS) < 0)
		return negative_errno();
	*ret_fd = take_fd(&fd);
	return 0;
}

int memfd_reopen_readonly(int fd, int *ret_fd)
{
	return fd_reopen(fd, O_RDONLY, ret_fd);
}

int memfd_reopen(int fd, int *ret_fd)
{
	return fd_reopen(fd, O_RDWR, ret_fd);
}

int memfd_check(int fd, uint64_t size)
{
	struct stat st;
	struct statfs fs;
	/* First, as only memory files answer it: a foreign file system is never asked anything. */
	int seals = fcntl(fd, F_GET_SEALS);

	/* F_SEAL_EXEC comes by itself where vm.memfd_noexec is set. */
	if (seals < 0 || (seals & ~F_SEAL_EXEC) != MEMFD_SEALS)
		return -EBADF;
	if (fstatfs(fd, &fs) < 0 || fs.f_type != TMPFS_MAGIC)
		return -EBADF;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || (uint64_t)st.st_size != size)
		return -EBADF;
	return 0;
}

static int memfd_allocate(int fd, uint64_t offset, uint64_t size)
{
	return fallocate(fd, 0, (off_t)offset, (off_t)size) < 0 ? negative_errno() : 0;
}

/* An interrupted fallocate() of memory gives everything back, so a program with a fast timer would
 * never finish. */
static int memfd_allocate_undisturbed(int fd, uint64_t offset, uint64_t size)
{
	sigset_t all, old;
	int r;

	sigfillset(&all);
	r = -pthread_sigmask(SIG_SETMASK, &all, &old);
	if (r < 0)
		return r;
	do
		r = memfd_allocate(fd, offset, size);
	while (r == -EINTR);
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	return r;
}

/* Value of a line of /proc/meminfo in bytes, 0 without it. */
static uint64_t meminfo_value(const char *text, const char *name)
{
	const char *line = strstr(text, name);

	return line ? strtoull(line + strlen(name), NULL, 10) * 1024 : 0;
}

/* Memory files have no limit: a request far beyond what there is would not fail but bring the
 * kernel to kill processes, this one or others. */
static int memfd_check_room(int fd, uint64_t size)
{
	_cleanup_close_ int meminfo = -1;
	struct stat st;
	char text[4096];
	uint64_t has, room;
	ssize_t n;

	if (fstat(fd, &st) < 0)
		return negative_errno();
	has = (uint64_t)st.st_blocks * 512;
	if (size <= has || size - has < MEMFD_CAREFUL)
		return 0;
	meminfo = open("/proc/meminfo", O_RDONLY | O_CLOEXEC);
	n = meminfo < 0 ? -1 : read(meminfo, text, sizeof(text) - 1);
	if (n <= 0)
		return 0;
	text[n] = 0;
	room = meminfo_value(text, "MemAvailable:") + meminfo_value(text, "SwapFree:");
	return size - has > room ? -ENOMEM : 0;
}

int memfd_reserve(int fd, uint64_t offset, uint64_t size)
{
	int r;

	if (!range_within(offset, size, INT64_MAX))
		return -EINVAL;
	r = memfd_check_room(fd, size);
	if (r < 0)
		return r;
	r = -EINTR;
	for (int i = 0; i < MEMFD_PATIENCE && r == -EINTR; i++)
		r = memfd_allocate(fd, offset, size);
	return r == -EINTR ? memfd_allocate_undisturbed(fd, offset, size) : r;
}
