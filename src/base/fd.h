/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_FD_H
#define BASE_FD_H

/*
 * Packets with descriptors over unix SOCK_SEQPACKET sockets, and other small helpers for fds. Every
 * descriptor that appears here is close-on-exec.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define FD_PACKET_MAX 8 /* descriptors in one packet */

/*
 * Sends one packet, whole or not at all. flags: MSG_DONTWAIT or 0; MSG_NOSIGNAL is always set. The
 * descriptors stay the caller's. Errors: -EAGAIN, -EPIPE, -ECONNRESET …
 */
int fd_send(int sock, const void *data, size_t len, const int *fds, unsigned int n_fds, int flags);

/*
 * Receives one packet. Returns its length; 0 at the end of the stream. The received descriptors,
 * the caller's from now on, are in fds[0 … *ret_n_fds - 1]; at most FD_PACKET_MAX. Errors:
 * -EMSGSIZE (the packet or its descriptors did not fit, or we are out of descriptors; what came
 * with it is closed), -EAGAIN, -EINTR …
 */
ssize_t fd_recv(int sock, void *data, size_t size, int fds[FD_PACKET_MAX], unsigned int *ret_n_fds,
	int flags);

/* From a stranger, whose descriptors must not be closed just so: with close_fd, e.g. closer_close.
 * -EMFILE: it is we who are out of descriptors; the packet is lost all the same. */
ssize_t fd_recv_from_stranger(int sock, void *data, size_t size, int fds[FD_PACKET_MAX],
	unsigned int *ret_n_fds, int flags, int (*close_fd)(int fd));

/* Whether the other end may send descriptors; older kernels than Linux 6.16 always let it. */
void fd_let_pass(int sock, bool allowed);

/* Closes fds[0 … n - 1]. */
void fd_close_many(const int *fds, unsigned int n);

/* A new description of the same file, e.g. O_RDONLY of a memfd that fd may write. */
int fd_reopen(int fd, int flags, int *ret_fd);

/* True if /proc/self/fd/N of fd is exactly text, e.g. "anon_inode:[userfaultfd]". */
bool fd_link_is(int fd, const char *text);

/* Raises the soft limit of descriptors to the hard one, and the hard one to max if allowed. */
void fd_raise_limit(uint64_t max);

#endif
