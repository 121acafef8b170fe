/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_CLOSER_H
#define BASE_CLOSER_H

/*
 * Closing what others may hold or have made. close() of a stranger's descriptor may wait as long as
 * the stranger likes: for a TCP socket's unsent data, for a file system in user space. So it is
 * done by threads that have nothing else to do. They are made on demand, at most
 * CLOSER_THREADS_MAX, and end when there has been nothing to do for a second, so that an idle
 * process has no wake-ups.
 *
 * The descriptor keeps its number until a thread comes to it. While all threads wait, the others
 * stay open: the caller never waits as long as there is one thread.
 */

#define CLOSER_THREADS_MAX 16u

/* Closes fd, if it is one, soon. Keeps errno; returns -1 to be assigned back. */
int closer_close(int fd);

/* Closes fds[0 … n - 1]. */
void closer_close_many(const int *fds, unsigned int n);

/* The same for a connection, whose other end learns of it at once. */
int closer_hang_up(int sock);

#endif
