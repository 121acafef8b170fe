/* SPDX-License-Identifier: Apache-2.0 */
/*
 * put and get. On its own node a segment is memory: a call marks its handle, checks, copies, looks
 * whether the segment was still connected after the copy, and is gone; no system call, no lock, no
 * atomic read-modify-write. In explicit mode errors of the connection wait for close_barrier.
 *
 * Of another node's segment an implicit put or get waits until it has been carried out there. In
 * explicit mode puts are collected and sent together, and a get comes behind them.
 */
#include <byteswap.h>
#include <stdint.h>
#include "api/rsm/codes.h"
#include "api/rsm/transfer.h"
#include "client/import.h"

void transfer_swap(void *remote, void *local, size_t n, size_t width, enum direction d)
{
	void *to = d == PUT ? remote : local;
	const void *from = d == PUT ? local : remote;

#define SWAP(bits)                                                                                 \
	for (size_t i = 0; i < n; i++)                                                             \
	__atomic_store_n((uint##bits##_t *)to + i,                                                 \
		bswap_##bits(__atomic_load_n((const uint##bits##_t *)from + i, __ATOMIC_RELAXED)), \
		__ATOMIC_RELAXED)

	switch (width) {
	case 2:
		SWAP(16);
		break;
	case 4:
		SWAP(32);
		break;
	case 8:
		SWAP(64);
		break;
	}
#undef SWAP
}

int transfer_remote(struct cw_import *import, uint64_t off, void *local, size_t n, size_t width,
	enum direction d)
{
	bool explicit_mode = barrier_mode_is_explicit(import);
	uint64_t len = n * (width ? width : 1);
	int r;

	if (d == PUT)
		r = cw_remote_put(import, off, local, len, (unsigned int)width, explicit_mode);
	else
		r = cw_remote_get(import, off, local, len, (unsigned int)width);
	return likely(!r) ? RSM_SUCCESS : rsm_code_transfer(r, explicit_mode);
}

TRANSFER_INLINE int transfer(rsm_memseg_import_handle_t im_memseg, off_t offset, void *local,
	size_t n, size_t width, enum direction d)
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
	r = transfer_entered(import, (uint64_t)offset, local, n, width, d, true);
	if (unlikely(r == TRANSFER_REMOTE))
		return transfer_remote(import, (uint64_t)offset, local, n, width, d);
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
