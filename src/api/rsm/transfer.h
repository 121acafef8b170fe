/* SPDX-License-Identifier: Apache-2.0 */
#ifndef API_RSM_TRANSFER_H
#define API_RSM_TRANSFER_H

/*
 * One transfer between local memory and an import that the caller has entered. All of it is inline:
 * the compiler makes a copy for each width and direction. What another node has to do is not: it is
 * found out where the memory of a local segment would be mapped first, so that it costs the others
 * nothing.
 */

#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include "api/rsm/barrier.h"
#include "api/rsm/codes.h"
#include "client/import.h"
#include "client/remote.h"

#define TRANSFER_INLINE static inline __attribute__((always_inline))

enum direction {
	GET = WIRE_READ,
	PUT = WIRE_WRITE,
};

/* Copies n items of width bytes, each by one load and one store, in the other byte order. */
void transfer_swap(void *remote, void *local, size_t n, size_t width, enum direction d);

/* Copies n items of width bytes, each by one load and one store of that width. */
TRANSFER_INLINE void copy_items(void *to, const void *from, size_t n, size_t width)
{
#define COPY(type)                                                                                 \
	for (size_t i = 0; i < n; i++)                                                             \
	__atomic_store_n((type *)to + i,                                                           \
		__atomic_load_n((const type *)from + i, __ATOMIC_RELAXED), __ATOMIC_RELAXED)

	switch (width) {
	case 1:
		COPY(uint8_t);
		break;
	case 2:
		COPY(uint16_t);
		break;
	case 4:
		COPY(uint32_t);
		break;
	case 8:
		COPY(uint64_t);
		break;
	}
#undef COPY
}

/* width 0: bytes, in any manner, overlap allowed */
TRANSFER_INLINE void copy(void *remote, void *local, size_t n, size_t width, enum direction d)
{
	void *to = d == PUT ? remote : local;
	const void *from = d == PUT ? local : remote;

	if (width)
		copy_items(to, from, n, width);
	else
		memmove(to, from, n);
}

/* Instead of a code: all is checked, but the segment is another node's. */
#define TRANSFER_REMOTE (-1)

/* Then this does it; the caller has entered the import, which is left here. */
int transfer_remote(struct cw_import *import, uint64_t off, void *local, size_t n, size_t width,
	enum direction d);

/* What must hold before a byte moves. */
TRANSFER_INLINE int transfer_check(
	struct cw_import *import, uint64_t off, size_t n, size_t width, enum direction d)
{
	uint64_t len;
	int r;

	if (unlikely(!(import->rights & d)))
		return RSMERR_PERM_DENIED;
	if (unlikely(__builtin_mul_overflow((uint64_t)n, width ? width : 1, &len)))
		return RSMERR_BAD_LENGTH;
	r = cw_import_range(import, off, len);
	if (unlikely(r))
		return rsm_code(r, ABOUT_IMPORT);
	return RSM_SUCCESS;
}

/* An RSMERR_ code, or TRANSFER_REMOTE. needs_barrier: in implicit mode a barrier must have been
 * initialised. */
TRANSFER_INLINE int transfer_entered(struct cw_import *import, uint64_t off, void *local, size_t n,
	size_t width, enum direction d, bool needs_barrier)
{
	bool explicit_mode = barrier_mode_is_explicit(import);
	uint8_t *base;
	int r;

	r = transfer_check(import, off, n, width, d);
	if (unlikely(r))
		return r;
	if (unlikely(needs_barrier && !explicit_mode && !barrier_is_initialised(import)))
		return RSMERR_BARRIER_UNINITIALIZED;
	base = atomic_load_explicit(&import->base, memory_order_acquire);
	if (unlikely(!base)) {
		if (import->remote)
			return TRANSFER_REMOTE;
		r = cw_import_attach(import, &base);
		if (r)
			return rsm_code_transfer(r, explicit_mode);
	}
	/* here and not at the end: what it takes is at hand */
	cw_import_count(import, d == PUT, n * (width ? width : 1));
	if (!width)
		local = cw_import_unalias(import, base, local, n);
	if (width > 1 && unlikely(import->foreign_endian))
		transfer_swap(base + off, local, n, width, d);
	else
		copy(base + off, local, n, width, d);
	if (explicit_mode)
		return RSM_SUCCESS;
	/* when it returns success all see what was put, and it was put before any revocation */
	atomic_thread_fence(d == PUT ? memory_order_seq_cst : memory_order_acquire);
	r = cw_import_ready(import);
	return likely(!r) ? RSM_SUCCESS : rsm_code_transfer(r, false);
}

#endif
