/* SPDX-License-Identifier: Apache-2.0 */
#include "base/fd.h"

#include <assert.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/error.h"

#define KERNEL_FDS_MAX 253 /* SCM_MAX_FD */

#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83
#endif

union fd_control {
	struct cmsghdr align;
	char buf[CMSG_SPACE(sizeof(int) * FD_PACKET_MAX)];
};

/* The kernel has no memory for a packet, or had none; what is under way is soon received. Not for
 * ever: whoever asks may not be stuck here. Changes nothing in errno. */
static bool short_of_memory(unsigned int *tries)
{
	int error = errno;

	if ((error != ENOMEM && error != ENOBUFS) || ++*tries > 10)
		return false;
	poll(NULL, 0, 1);
	errno = error;
	return true;
}

int fd_send(int sock, const void *data, size_t len, const int *fds, unsigned int n_fds, int flags)
{
	struct iovec iov = {(void *)data, len};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
	union fd_control control;
	unsigned int tries = 0;
	ssize_t n;

	assert(n_fds <= FD_PACKET_MAX);
	if (n_fds) {
		struct cmsghdr *c;

		memset(&control, 0, sizeof(control));
		m.msg_control = control.buf;
		m.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
		c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
		memcpy(CMSG_DATA(c), fds, sizeof(int) * n_fds);
	}
	do
		n = sendmsg(sock, &m, flags | MSG_NOSIGNAL);
	while (n < 0 && (errno == EINTR || short_of_memory(&tries)));
	return n < 0 ? negative_errno() : 0;
}

/*
 * There is room for as many descriptors as a packet can have: the kernel closes what does not fit
 * itself, before it returns to us, and that may take as long as the sender likes.
 */
ssize_t fd_recv_from_stranger(int sock, void *data, size_t size, int fds[FD_PACKET_MAX],
	unsigned int *ret_n_fds, int flags, int (*close_fd)(int fd))
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int) * KERNEL_FDS_MAX)];
	} control;
	int all[KERNEL_FDS_MAX];
	struct iovec iov = {data, size};
	struct msghdr m = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = sizeof(control.buf)};
	unsigned int n_fds = 0, tries = 0;
	ssize_t n;

	do
		n = recvmsg(sock, &m, flags | MSG_CMSG_CLOEXEC);
	while (n < 0 && short_of_memory(&tries));
	if (n < 0)
		return negative_errno();
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		n_fds = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		memcpy(all, CMSG_DATA(c), sizeof(int) * n_fds);
	}
	if ((m.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) || n_fds > FD_PACKET_MAX) {
		for (unsigned int i = 0; i < n_fds; i++)
			close_fd(all[i]);
		return m.msg_flags & MSG_CTRUNC ? -EMFILE : -EMSGSIZE;
	}
	memcpy(fds, all, sizeof(int) * n_fds);
	*ret_n_fds = n_fds;
	return n;
}

ssize_t fd_recv(int sock, void *data, size_t size, int fds[FD_PACKET_MAX], unsigned int *ret_n_fds,
	int flags)
{
	ssize_t n = fd_recv_from_stranger(sock, data, size, fds, ret_n_fds, flags, fd_close);

	return n == -EMFILE ? -EMSGSIZE : n;
}

void fd_let_pass(int sock, bool allowed)
{
	int value = allowed;

	(void)setsockopt(sock, SOL_SOCKET, SO_PASSRIGHTS, &value, sizeof(value));
}

void fd_close_many(const int *fds, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		fd_close(fds[i]);
}

int fd_reopen(int fd, int flags, int *ret_fd)
{
	char path[sizeof("/proc/self/fd/") + 11];
	int n;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = open(path, flags | O_CLOEXEC);
	if (n < 0)
		return negative_errno();
	*ret_fd = n;
	return 0;
}

bool fd_link_is(int fd, const char *text)
{
	char path[sizeof("/proc/self/fd/") + 11], link[128];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, link, sizeof(link));
	return n > 0 && (size_t)n < sizeof(link) && (size_t)n == strlen(text) &&
	       !memcmp(link, text, (size_t)n);
}

void fd_raise_limit(uint64_t max)
{
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l) < 0)
		return;
	if (l.rlim_max < max && setrlimit(RLIMIT_NOFILE, &(struct rlimit){max, max}) == 0)
		return;
	l.rlim_cur = l.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &l);
}
