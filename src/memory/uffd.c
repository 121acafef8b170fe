/* SPDX-License-Identifier: Apache-2.0 */
#include "memory/uffd.h"

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include "base/cleanup.h"
#include "base/fd.h"
#include "memory/sys.h"

#define UFFD_FLAGS (O_CLOEXEC | O_NONBLOCK)

int uffd_new(int device, enum uffd_kind *ret_kind, int *ret_fd)
{
	enum uffd_kind kind = UFFD_FULL;
	long fd = -1;

	if (device >= 0)
		fd = sys_ioctl(device, USERFAULTFD_IOC_NEW, (void *)(long)UFFD_FLAGS);
	if (fd < 0)
		fd = memory_syscall(SYS_userfaultfd, UFFD_FLAGS, 0, 0, 0, 0, 0);
	if (fd < 0) {
		kind = UFFD_USER_ONLY;
		fd = memory_syscall(
			SYS_userfaultfd, UFFD_FLAGS | UFFD_USER_MODE_ONLY, 0, 0, 0, 0, 0);
	}
	if (fd < 0)
		return (int)fd;
	*ret_kind = kind;
	*ret_fd = (int)fd;
	return 0;
}

static uint64_t uffd_probe(int device)
{
	struct uffdio_api api = {.api = UFFD_API};
	enum uffd_kind kind;
	_cleanup_close_ int fd = -1;

	if (uffd_new(device, &kind, &fd) < 0 || sys_ioctl(fd, UFFDIO_API, &api) < 0)
		return 0;
	return api.features;
}

uint64_t uffd_features(int device)
{
	/* A failure is not remembered: a later caller may come with a device. */
	static _Atomic uint64_t known;
	uint64_t features = atomic_load_explicit(&known, memory_order_relaxed);

	if (!features) {
		features = uffd_probe(device);
		atomic_store_explicit(&known, features, memory_order_relaxed);
	}
	return features;
}

int uffd_api(int fd, uint64_t features)
{
	struct uffdio_api api = {.api = UFFD_API, .features = features};

	return sys_ioctl(fd, UFFDIO_API, &api);
}

bool uffd_check(int fd)
{
	return fd_link_is(fd, "anon_inode:[userfaultfd]");
}

static int uffd_register(int fd, uint64_t address, uint64_t length, uint64_t mode)
{
	struct uffdio_register r = {.range = {address, length}, .mode = mode};

	return sys_ioctl(fd, UFFDIO_REGISTER, &r);
}

int uffd_register_wp(int fd, uint64_t address, uint64_t length)
{
	return uffd_register(fd, address, length, UFFDIO_REGISTER_MODE_WP);
}

int uffd_register_coherent(int fd, uint64_t address, uint64_t length)
{
	return uffd_register(
		fd, address, length, UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_WP);
}

int uffd_register_missing(int fd, uint64_t address, uint64_t length)
{
	return uffd_register(fd, address, length, UFFDIO_REGISTER_MODE_MISSING);
}

int uffd_unregister(int fd, uint64_t address, uint64_t length)
{
	struct uffdio_range r = {address, length};

	return sys_ioctl(fd, UFFDIO_UNREGISTER, &r);
}

int uffd_write_protect(int fd, uint64_t address, uint64_t length, bool on)
{
	struct uffdio_writeprotect w = {
		.range = {address, length}, .mode = on ? UFFDIO_WRITEPROTECT_MODE_WP : 0};

	return sys_ioctl(fd, UFFDIO_WRITEPROTECT, &w);
}

int uffd_protect(int fd, uint64_t address, uint64_t length, bool on)
{
	uint64_t half = length / 2 & ~4095ull;
	int r = uffd_write_protect(fd, address, length, on);

	/* Before Linux 6.3 what lies in several mappings is not found: one half, then the other. */
	if (r != -ENOENT || !half)
		return r;
	r = uffd_protect(fd, address, half, on);
	return r < 0 ? r : uffd_protect(fd, address + half, length - half, on);
}

/* As Linux 6.6 has it; older headers do not. */
struct poison {
	struct uffdio_range range;
	uint64_t mode;
	int64_t updated;
};
#define POISON _IOWR(UFFDIO, 0x08, struct poison)

int uffd_poison(int fd, uint64_t address, uint64_t length)
{
	struct poison p = {.range = {address, length}};

	return sys_ioctl(fd, POISON, &p);
}

int uffd_wake(int fd, uint64_t address, uint64_t length)
{
	struct uffdio_range r = {address, length};

	return sys_ioctl(fd, UFFDIO_WAKE, &r);
}
