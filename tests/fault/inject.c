/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stands before the C library (LD_PRELOAD) and lets the call fail that control.h names. A call from
 * a program's own code or from the C library itself is let through; the libraries' are told by
 * their return address. What memory/syscall.c does without the C library is out of reach, and has
 * its own test, memory-fault. Allocations go to the C library's second names, which need no looking
 * up.
 */
#include "control.h"

#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <poll.h>
#include <search.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))
#define PAGES  4096u

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *p, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);

static struct fault_control *control;
static bool is_daemon;

static bool has_argument(const char *wanted)
{
	char line[4096];
	int fd = (int)syscall(SYS_openat, AT_FDCWD, "/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
	long n = syscall(SYS_read, fd, line, sizeof(line) - 1);

	syscall(SYS_close, fd);
	for (long at = 0; at < n; at += (long)strlen(line + at) + 1) {
		line[n] = '\0';
		if (!strcmp(line + at, wanted))
			return true;
	}
	return false;
}

__attribute__((constructor)) static void begin(void)
{
	const char *path = getenv("FAULT_CONTROL");
	void *p, *frame;
	int fd;

	if (!path)
		return;
	fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC);
	p = (void *)syscall(
		SYS_mmap, NULL, sizeof(*control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0L);
	syscall(SYS_close, fd);
	if (p == MAP_FAILED)
		_exit(99);
	backtrace(&frame, 1); /* loads what it needs while nothing fails yet */
	is_daemon = has_argument("--daemon-fd");
	if (is_daemon) {
		struct fault_control *c = p;

		atomic_store(&c->daemon_pid, getpid());
		atomic_fetch_add(&c->daemon_starts, 1);
	}
	control = p;
}

/* Is this an address in one of our libraries? Remembered by page. */
static bool in_our_library(void *address)
{
	static _Atomic uintptr_t known[PAGES];
	uintptr_t page = (uintptr_t)address >> 12;
	_Atomic uintptr_t *at = &known[page % PAGES];
	uintptr_t seen = atomic_load(at);
	Dl_info info;
	bool ours;

	if (seen >> 1 == page)
		return seen & 1;
	ours = dladdr(address, &info) && info.dli_fname &&
	       (strstr(info.dli_fname, "/libcauseway.so") || strstr(info.dli_fname, "/librsm.so") ||
		       strstr(info.dli_fname, "/libclshm.so"));
	atomic_store(at, page << 1 | ours);
	return ours;
}

static bool is_meant(void *caller)
{
	switch (atomic_load(&control->target)) {
	case FAULT_PROCESS:
		return control->pid == getpid() && in_our_library(caller);
	case FAULT_DAEMON:
		return is_daemon && getpid() == atomic_load(&control->daemon_pid);
	case FAULT_WHOLE_NODE:
		return true;
	}
	return false;
}

/* The first frames are this library's. */
static void note(const char *call, void *caller)
{
	void *frames[FAULT_FRAMES + 4];
	Dl_info info, frame;
	int n = backtrace(frames, FAULT_FRAMES + 4), at = 0;

	snprintf(control->call, sizeof(control->call), "%s", call);
	memset(control->offsets, 0, sizeof(control->offsets));
	if (!dladdr(caller, &info) || !info.dli_fname)
		return;
	snprintf(control->object, sizeof(control->object), "%s", info.dli_fname);
	for (int i = 0; i < n && at < FAULT_FRAMES; i++)
		if (dladdr(frames[i], &frame) && frame.dli_fbase == info.dli_fbase)
			control->offsets[at++] =
				(uint64_t)((char *)frames[i] - (char *)info.dli_fbase) - 1;
}

/* Is it this call's turn? */
static bool is_due(const char *call, void *caller)
{
	uint32_t count;

	if (!is_meant(caller))
		return false;
	count = atomic_fetch_add(&control->count, 1) + 1;
	if (count == control->n)
		note(call, caller);
	return count == control->n || (count > control->n && control->kind == FAULT_SHORTAGE);
}

static bool is_armed(void)
{
	return control && atomic_load(&control->target) != FAULT_NOBODY;
}

/* Must this call fail? Then errno is set. Errors: 0 where the kind does not apply. */
static bool fails(const char *call, void *caller, int resources, int interruption)
{
	int error, saved = errno;

	if (!is_armed() || control->kind == FAULT_CUT)
		return false;
	error = control->kind == FAULT_INTERRUPTION ? interruption : resources;
	/* The kernel's buffers for packets are not the process's. */
	if (control->kind == FAULT_SHORTAGE && strstr(call, "msg"))
		error = 0;
	if (!error || !is_due(call, caller)) {
		errno = saved;
		return false;
	}
	errno = error;
	return true;
}

#define FAILS(name, resources, interruption)                                                       \
	fails(name, __builtin_return_address(0), resources, interruption)
/* Every thread that comes first finds the same. */
#define REAL(symbol)                                                                               \
	({                                                                                         \
		static void *real;                                                                 \
		if (!__atomic_load_n(&real, __ATOMIC_RELAXED))                                     \
			__atomic_store_n(&real, dlsym(RTLD_NEXT, symbol), __ATOMIC_RELAXED);       \
		real;                                                                              \
	})

/* name with its arguments, which fails with an error; symbol: what it is called where offsets are
 * of 64 bits */
#define WRAP(type, name, symbol, failed, resources, interruption, parameters, arguments)           \
	EXPORT type name parameters                                                                \
	{                                                                                          \
		if (FAILS(#name, resources, interruption))                                         \
			return failed;                                                             \
		return ((type(*) parameters)REAL(symbol))arguments;                                \
	}

/* memory */

EXPORT void *malloc(size_t size)
{
	return FAILS("malloc", ENOMEM, 0) ? NULL : __libc_malloc(size);
}

EXPORT void *calloc(size_t n, size_t size)
{
	return FAILS("calloc", ENOMEM, 0) ? NULL : __libc_calloc(n, size);
}

EXPORT void *realloc(void *p, size_t size)
{
	return FAILS("realloc", ENOMEM, 0) ? NULL : __libc_realloc(p, size);
}

EXPORT void *reallocarray(void *p, size_t n, size_t size)
{
	size_t all;

	if (__builtin_mul_overflow(n, size, &all)) {
		errno = ENOMEM;
		return NULL;
	}
	return FAILS("reallocarray", ENOMEM, 0) ? NULL : __libc_realloc(p, all);
}

EXPORT void *aligned_alloc(size_t alignment, size_t size)
{
	return FAILS("aligned_alloc", ENOMEM, 0) ? NULL : __libc_memalign(alignment, size);
}

EXPORT char *strdup(const char *s)
{
	size_t n = strlen(s) + 1;
	char *p = FAILS("strdup", ENOMEM, 0) ? NULL : __libc_malloc(n);

	return p ? memcpy(p, s, n) : NULL;
}

EXPORT void *tsearch(const void *key, void **root, int (*compare)(const void *, const void *))
{
	typedef void *function(const void *, void **, int (*)(const void *, const void *));

	return FAILS("tsearch", ENOMEM, 0) ? NULL
					   : ((function *)REAL("tsearch"))(key, root, compare);
}

WRAP(void *, mmap, "mmap64", MAP_FAILED, ENOMEM, 0,
	(void *a, size_t n, int prot, int flags, int fd, off_t off), (a, n, prot, flags, fd, off))
WRAP(int, mprotect, "mprotect", -1, ENOMEM, 0, (void *a, size_t n, int prot), (a, n, prot))

EXPORT void *mremap(void *old, size_t old_size, size_t size, int flags, ...)
{
	va_list args;
	void *to;

	va_start(args, flags);
	to = va_arg(args, void *);
	va_end(args);
	if (FAILS("mremap", ENOMEM, 0))
		return MAP_FAILED;
	return (void *)syscall(SYS_mremap, old, old_size, size, flags, to);
}

/* descriptors */

EXPORT int open(const char *path, int flags, ...)
{
	va_list args;
	mode_t mode;

	va_start(args, flags);
	mode = va_arg(args, mode_t);
	va_end(args);
	if (FAILS("open", EMFILE, EINTR))
		return -1;
	return ((int (*)(const char *, int, ...))REAL("open64"))(path, flags, mode);
}

EXPORT int openat(int fd, const char *path, int flags, ...)
{
	va_list args;
	mode_t mode;

	va_start(args, flags);
	mode = va_arg(args, mode_t);
	va_end(args);
	if (FAILS("openat", EMFILE, EINTR))
		return -1;
	return ((int (*)(int, const char *, int, ...))REAL("openat64"))(fd, path, flags, mode);
}

EXPORT int fcntl(int fd, int command, ...)
{
	va_list args;
	long argument;

	va_start(args, command);
	argument = va_arg(args, long);
	va_end(args);
	if ((command == F_DUPFD || command == F_DUPFD_CLOEXEC) && FAILS("fcntl", EMFILE, 0))
		return -1;
	return ((int (*)(int, int, ...))REAL("fcntl64"))(fd, command, argument);
}

EXPORT int ioctl(int fd, unsigned long request, ...)
{
	va_list args;
	void *argument;

	va_start(args, request);
	argument = va_arg(args, void *);
	va_end(args);
	if (request != FIONREAD && FAILS("ioctl", ENOMEM, 0)) /* a pipe always knows */
		return -1;
	return ((int (*)(int, unsigned long, ...))REAL("ioctl"))(fd, request, argument);
}

EXPORT long syscall(long number, ...)
{
	long a[6];
	va_list args;

	va_start(args, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(args, long);
	va_end(args);
	if ((number == SYS_userfaultfd || number == SYS_pidfd_open) &&
		FAILS(number == SYS_userfaultfd ? "userfaultfd" : "pidfd_open", EMFILE, 0))
		return -1;
	return ((long (*)(long, ...))REAL("syscall"))(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

WRAP(FILE *, fopen, "fopen64", NULL, EMFILE, 0, (const char *path, const char *mode), (path, mode))
WRAP(int, memfd_create, "memfd_create", -1, EMFILE, 0, (const char *name, unsigned int flags),
	(name, flags))
WRAP(int, ftruncate, "ftruncate64", -1, ENOSPC, EINTR, (int fd, off_t size), (fd, size))
WRAP(int, fallocate, "fallocate64", -1, ENOSPC, EINTR, (int fd, int mode, off_t off, off_t size),
	(fd, mode, off, size))
WRAP(int, pipe2, "pipe2", -1, EMFILE, 0, (int fds[2], int flags), (fds, flags))
WRAP(ssize_t, pread, "pread64", -1, EIO, EINTR, (int fd, void *p, size_t n, off_t off),
	(fd, p, n, off))
WRAP(ssize_t, pwrite, "pwrite64", -1, ENOSPC, EINTR, (int fd, const void *p, size_t n, off_t off),
	(fd, p, n, off))
WRAP(int, posix_spawn, "posix_spawn", (errno = 0, ENOMEM), ENOMEM, 0,
	(pid_t * pid, const char *path, const posix_spawn_file_actions_t *actions,
		const posix_spawnattr_t *attributes, char *const argv[], char *const envp[]),
	(pid, path, actions, attributes, argv, envp))

/* sockets and waiting */

WRAP(int, socket, "socket", -1, EMFILE, 0, (int domain, int type, int protocol),
	(domain, type, protocol))
WRAP(int, socketpair, "socketpair", -1, EMFILE, 0, (int domain, int type, int protocol, int s[2]),
	(domain, type, protocol, s))
WRAP(int, bind, "bind", -1, ENOMEM, 0, (int fd, __CONST_SOCKADDR_ARG a, socklen_t n), (fd, a, n))
WRAP(int, listen, "listen", -1, EADDRINUSE, 0, (int fd, int backlog), (fd, backlog))
WRAP(int, connect, "connect", -1, ECONNREFUSED, EINTR,
	(int fd, __CONST_SOCKADDR_ARG a, socklen_t n), (fd, a, n))
WRAP(int, accept4, "accept4", -1, EMFILE, EINTR,
	(int fd, __SOCKADDR_ARG a, socklen_t *restrict n, int flags), (fd, a, n, flags))
WRAP(ssize_t, sendmsg, "sendmsg", -1, ENOMEM, EINTR, (int fd, const struct msghdr *m, int flags),
	(fd, m, flags))
/* As the kernel does it to a process that can have no more descriptors. */
static void cut(struct msghdr *m)
{
	struct cmsghdr *c = CMSG_FIRSTHDR(m);
	const int *fds = (const int *)CMSG_DATA(c);

	for (size_t i = 0; i < (c->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++)
		close(fds[i]);
	m->msg_controllen = 0;
	m->msg_flags |= MSG_CTRUNC;
}

EXPORT ssize_t recvmsg(int fd, struct msghdr *m, int flags)
{
	struct cmsghdr *c;
	ssize_t n;

	if (FAILS("recvmsg", ENOMEM, EINTR))
		return -1;
	n = ((ssize_t(*)(int, struct msghdr *, int))REAL("recvmsg"))(fd, m, flags);
	if (n < 0 || !is_armed() || control->kind != FAULT_CUT)
		return n;
	c = CMSG_FIRSTHDR(m);
	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
		is_due("recvmsg (cut)", __builtin_return_address(0)))
		cut(m);
	return n;
}

WRAP(int, poll, "poll", -1, ENOMEM, EINTR, (struct pollfd * fds, nfds_t n, int timeout),
	(fds, n, timeout))
WRAP(int, ppoll, "ppoll", -1, ENOMEM, EINTR,
	(struct pollfd * fds, nfds_t n, const struct timespec *t, const sigset_t *set),
	(fds, n, t, set))
WRAP(int, epoll_create1, "epoll_create1", -1, EMFILE, 0, (int flags), (flags))
/* Only adding takes memory; taking away never fails, and sd-event relies on that. */
EXPORT int epoll_ctl(int e, int op, int fd, struct epoll_event *event)
{
	if (op == EPOLL_CTL_ADD && FAILS("epoll_ctl", ENOMEM, 0))
		return -1;
	return (int)syscall(SYS_epoll_ctl, e, op, fd, event);
}

WRAP(int, epoll_wait, "epoll_wait", -1, 0, EINTR,
	(int e, struct epoll_event *events, int max, int timeout), (e, events, max, timeout))
