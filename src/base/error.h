/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

/*
 * Errors inside Causeway.
 *
 * A function returns 0, a negative errno (something unexpected: passed up untouched) or a positive
 * documented outcome that the direct caller must handle (mostly a wire status,
 * src/wire/status.def). Outputs are the last parameters, named ret_x, and are left alone on
 * failure.
 */

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/param.h> /* MIN, MAX */

#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

#define ELEMENTS(a) (sizeof(a) / sizeof((a)[0]))

#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

/* errno as a return value; never 0, so that a libc that forgot to set it cannot look like success
 */
static inline int negative_errno(void)
{
	return errno > 0 ? -errno : -EIO;
}

/* True if r says that memory or descriptors have run out: the same may succeed later. */
static inline bool error_is_shortage(int r)
{
	return r == -ENOMEM || r == -EMFILE || r == -ENFILE || r == -ENOBUFS || r == -ENOSPC ||
	       r == -EAGAIN;
}

/* The one range check (DESIGN.md, traps): true if [off, off + len) lies within size bytes. */
static inline bool range_within(uint64_t off, uint64_t len, uint64_t size)
{
	return off <= size && len <= size - off;
}

#endif
