/* SPDX-License-Identifier: Apache-2.0 */
/*
 * put and get. On its own node a segment is memory: a call marks its handle, checks, copies, looks
 * whether the segment was still connected after the copy, and is gone; no system call, no lock, no
 * atomic read-modify-write. In explicit mode errors of the connection wait for close_barrier.
 */
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include "api/rsm/barrier.h"
#include "api/rsm/codes.h"
#include "client/import.h"

enum direction {
	GET = WIRE_READ,
	PUT = WIRE_WRITE,
};

/* Copies n items of width bytes, each by one load and one store of that width. */
static inline __attribute__((always_inline)) void copy_items(
	void *to, const void *from, size_t n, size_t width)
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
static inline __attribute__((always_inline)) void copy(
	void *remote, void *local, size_t n, size_t width, enum direction d)
{
	void *to = d == PUT ? remote : local;
	const void *from = d == PUT ? local : remote;

	if (width)
		copy_items(to, from, n, width);
	else
		memmove(to, from, n);
}

/* What must hold before a byte moves. */
static inline __attribute__((always_inline)) int check(
	struct cw_import *import, uint64_t off, size_t n, size_t width, enum direction d, bool explicit_mode)
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
	if (unlikely(!explicit_mode && !barrier_is_initialised(import)))
		return RSMERR_BARRIER_UNINITIALIZED;
	return RSM_SUCCESS;
}

/* Why a transfer cannot be made or was not whole; only codes that put and get document. */
static __attribute__((noinline)) int failure(int r, bool explicit_mode)
{
	int code = rsm_code(r, ABOUT_IMPORT);

	if (code != RSMERR_CONN_ABORTED)
		return RSMERR_INSUFFICIENT_RESOURCES;
	return explicit_mode ? RSM_SUCCESS : code;
}

static inline __attribute__((always_inline)) int transfer_entered(
	struct cw_import *import, uint64_t off, void *local, size_t n, size_t width, enum direction d)
{
	bool explicit_mode = barrier_mode_is_explicit(import);
	uint8_t *base;
	int r;

	r = check(import, off, n, width, d, explicit_mode);
	if (unlikely(r))
		return r;
	r = cw_import_base(import, &base);
	if (unlikely(r))
		return failure(r, explicit_mode);
	if (!width)
		local = cw_import_unalias(import, base, local);
	copy(base + off, local, n, width, d);
	if (explicit_mode)
		return RSM_SUCCESS;
	/* when it returns success all see what was put, and it was put before any revocation */
	atomic_thread_fence(d == PUT ? memory_order_seq_cst : memory_order_acquire);
	r = cw_import_ready(import);
	return likely(!r) ? RSM_SUCCESS : failure(r, false);
}

static inline __attribute__((always_inline)) int transfer(rsm_memseg_import_handle_t im_memseg,
	off_t offset, void *local, size_t n, size_t width, enum direction d)
{
	struct cw_import *import;
	int r;

	if (unlikely(!im_memseg))
		return RSMERR_BAD_SEG_HNDL;
	if (unlikely(!local))
		return RSMERR_BAD_ADDR;
	if (width > 1 && unlikely(((uintptr_t)local | (uintptr_t)offset) & (width - 1)))
		return RSMERR_BAD_MEM_ALIGNMENT;
	import = cw_enter((cw_handle)im_memseg, CW_IMPORT_SEGMENT);
	if (unlikely(!import))
		return RSMERR_BAD_SEG_HNDL;
	r = transfer_entered(import, (uint64_t)offset, local, n, width, d);
	cw_leave();
	return r;
}

#define ITEMS(bits)                                                                                \
	RSM_API int rsm_memseg_import_get##bits(rsm_memseg_import_handle_t im_memseg,              \
		off_t offset, uint##bits##_t *datap, ulong_t rep_cnt)                              \
	{                                                                                          \
		return transfer(im_memseg, offset, datap, rep_cnt, bits / 8, GET);                 \
	}                                                                                          \
	RSM_API int rsm_memseg_import_put##bits(rsm_memseg_import_handle_t im_memseg,              \
		off_t offset, uint##bits##_t *datap, ulong_t rep_cnt)                              \
	{                                                                                          \
		return transfer(im_memseg, offset, datap, rep_cnt, bits / 8, PUT);                 \
	}

ITEMS(8)
ITEMS(16)
ITEMS(32)
ITEMS(64)

RSM_API int rsm_memseg_import_get(
	rsm_memseg_import_handle_t im_memseg, off_t offset, void *dst_addr, size_t length)
{
	return transfer(im_memseg, offset, dst_addr, length, 0, GET);
}

RSM_API int rsm_memseg_import_put(
	rsm_memseg_import_handle_t im_memseg, off_t offset, void *src_addr, size_t length)
{
	return transfer(im_memseg, offset, src_addr, length, 0, PUT);
}
