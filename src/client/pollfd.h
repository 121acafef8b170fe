/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLIENT_POLLFD_H
#define CLIENT_POLLFD_H

/*
 * Descriptors that are readable while a signal is pending: the reading end of a pipe that the
 * daemon fills, one a segment and process, made for the first reference and closed with the last.
 * Whoever takes the last signal empties it, under the lock of the object, and has it filled again
 * if another signal came meanwhile; so a byte without a signal is seen now and then, a signal
 * without a byte only while its post has not returned. Thread safe.
 */

#include <poll.h>
#include "client/handle.h"

struct cw_cells;
struct cw_link;
struct side;

/* One more reference. STATUS_BAD_HANDLE, STATUS_FORKED, STATUS_REVOKED, STATUS_NO_RESOURCES … */
CW_EXPORT int cw_pollfd_get(cw_handle handle, int *ret_fd);
/* One less; none to begin with is fine. STATUS_BAD_HANDLE. */
CW_EXPORT int cw_pollfd_release(cw_handle handle);

/*
 * ppoll(2) over descriptors of segments and others. Takes one signal of each segment that is ready
 * and gives it POLLRDNORM; a segment whose other end is gone for good, with nothing pending, gets
 * POLLHUP, too, and one whose handle is bad POLLNVAL. timeout_ns: UINT64_MAX: for ever.
 * STATUS_TIMED_OUT, STATUS_INTERRUPTED, -EFAULT, -EINVAL (too many).
 */
CW_EXPORT int cw_pollfd_wait(struct pollfd *fds, nfds_t n, uint64_t timeout_ns, int *ret_ready);

/* After a signal was taken or none was found: empties the pipe if nothing is pending. */
void cw_pollfd_settle(const struct side *s);
/* The owner ends. */
void cw_pollfd_close(struct cw_cells *cells);
/* For an import that connects anew after fork: a pipe of the child's own under the old number, if
 * there was one (CW_NO_PIPE: no). */
int cw_pollfd_renew(struct cw_link *link, uint32_t index, int pipe);

void cw_pollfd_fork_prepare(void);
void cw_pollfd_fork_parent(void);
void cw_pollfd_fork_child(void);

#endif
