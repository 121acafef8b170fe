/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_CLEANUP_H
#define BASE_CLEANUP_H

/*
 * Ownership of locals. A variable marked _cleanup_(f) is passed to f by address when it leaves its
 * scope; take_ptr() and take_fd() hand the value on and disarm it.
 */

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(f) __attribute__((cleanup(f)))

#define DEFINE_CLEANUP(type, func)                                                                 \
	static inline void func##_p(type *p)                                                       \
	{                                                                                          \
		if (*p)                                                                            \
			func(*p);                                                                  \
	}                                                                                          \
	struct __cleanup_needs_semicolon

static inline void free_p(void *p)
{
	free(*(void **)p);
}

/* Closes fd if it is one, keeps errno, returns -1 to be assigned back. */
static inline int fd_close(int fd)
{
	int saved = errno;

	if (fd >= 0)
		close(fd);
	errno = saved;
	return -1;
}

static inline void fd_close_p(int *fd)
{
	fd_close(*fd);
}

#define _cleanup_free_	_cleanup_(free_p)
#define _cleanup_close_ _cleanup_(fd_close_p)

#define take_ptr(p)                                                                                \
	({                                                                                         \
		__typeof__(p) taken_ = (p);                                                        \
		(p) = NULL;                                                                        \
		taken_;                                                                            \
	})

static inline int take_fd(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}

#endif
