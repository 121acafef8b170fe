/* SPDX-License-Identifier: Apache-2.0 */
#include "base/usercopy.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/uio.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/error.h"

static int vm_copy(const void *ours, const void *user, size_t n, bool write_user)
{
	struct iovec local = {(void *)ours, n}, remote = {(void *)user, n};
	ssize_t r = write_user ? process_vm_writev(getpid(), &local, 1, &remote, 1, 0)
			       : process_vm_readv(getpid(), &local, 1, &remote, 1, 0);

	if (r < 0)
		return negative_errno();
	return (size_t)r == n ? 0 : -EFAULT;
}

/* One end takes from, the other gives to. A pipe holds a page without anyone reading. */
static int pipe_copy(void *to, const void *from, size_t n)
{
	_cleanup_close_ int out = -1, in = -1;
	int pair[2];

	if (pipe2(pair, O_CLOEXEC | O_NONBLOCK) < 0)
		return negative_errno();
	out = pair[0];
	in = pair[1];
	while (n > 0) {
		ssize_t some = write(in, from, MIN(n, (size_t)PIPE_BUF));

		if (some > 0)
			some = read(out, to, (size_t)some);
		if (some <= 0)
			return some < 0 ? negative_errno() : -EFAULT;
		to = (char *)to + some;
		from = (const char *)from + some;
		n -= (size_t)some;
	}
	return 0;
}

/* Sandboxes forbid the one; the other needs two descriptors for a moment. */
static bool is_forbidden(int r)
{
	return r == -ENOSYS || r == -EPERM || r == -EACCES;
}

int user_read(void *to, const void *user, size_t n)
{
	int r = vm_copy(to, user, n, false);

	return is_forbidden(r) ? pipe_copy(to, user, n) : r;
}

int user_write(void *user, const void *from, size_t n)
{
	int r = vm_copy(from, user, n, true);

	return is_forbidden(r) ? pipe_copy(user, from, n) : r;
}
