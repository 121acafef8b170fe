/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Imports beyond RSMAPI: what they are, and transfers with completion. On its own node a transfer
 * is a copy, so it is complete when it has been started. To another node it is under way then.
 *
 * A request: [0] is its own address, so that others are found out; [1] the code of one that is
 * complete; [2] the handle of one that is under way, or NULL.
 */
#include <stdint.h>
#include <rsm/rsmapi_ext.h>
#include "api/rsm/transfer.h"
#include "base/cleanup.h"
#include "base/clock.h"

DEFINE_CLEANUP(struct cw_import *, cw_import_put);

RSM_API int rsm_ext_import_get_size(rsm_memseg_import_handle_t im_memseg, size_t *size)
{
	_cleanup_(cw_import_put_p) struct cw_import *import = cw_import_ref((cw_handle)im_memseg);

	if (!import)
		return RSMERR_BAD_SEG_HNDL;
	if (!size)
		return RSMERR_BAD_ADDR;
	*size = import->size;
	return RSM_SUCCESS;
}

static rsm_ext_state_t state_of(struct cw_import *import)
{
	int r = cw_import_ready(import);

	if (!r)
		return RSM_EXT_CONNECTED;
	if (r != STATUS_REVOKED)
		return RSM_EXT_NODE_LOST;
	return (uint32_t)*import->status == WIRE_IMPORT_EXPORTER_GONE ? RSM_EXT_EXPORTER_GONE
								      : RSM_EXT_REVOKED;
}

RSM_API int rsm_ext_import_get_state(rsm_memseg_import_handle_t im_memseg, rsm_ext_state_t *state)
{
	_cleanup_(cw_import_put_p) struct cw_import *import = cw_import_ref((cw_handle)im_memseg);

	if (!import)
		return RSMERR_BAD_SEG_HNDL;
	if (!state)
		return RSMERR_BAD_ADDR;
	*state = state_of(import);
	return RSM_SUCCESS;
}

/* advice */

#define HOLD_MAX 1000000u /* microseconds */

static int check_advice(
	struct cw_import *import, off_t offset, size_t length, uint_t advice, uint_t value)
{
	int r;

	if (!cw_import_is_mapped(import->handle))
		return RSMERR_SEG_NOT_MAPPED;
	if (advice > RSM_EXT_ADVICE_HOLD)
		return RSMERR_BAD_ARGS_ERRORS;
	if (advice == RSM_EXT_ADVICE_HOLD && (!value || value > HOLD_MAX))
		return RSMERR_BAD_ARGS_ERRORS;
	if (!length)
		return RSMERR_BAD_LENGTH;
	r = cw_import_range(import, (uint64_t)offset, length);
	return r ? rsm_code(r, ABOUT_IMPORT) : RSM_SUCCESS;
}

RSM_API int rsm_memseg_import_advise(rsm_memseg_import_handle_t im_memseg, off_t offset,
	size_t length, uint_t advice, uint_t value)
{
	static const uint32_t numbers[] = {[RSM_EXT_ADVICE_NORMAL] = WIRE_ADVICE_NORMAL,
		[RSM_EXT_ADVICE_SEQUENTIAL] = WIRE_ADVICE_SEQUENTIAL,
		[RSM_EXT_ADVICE_RANDOM] = WIRE_ADVICE_RANDOM,
		[RSM_EXT_ADVICE_WILL_NEED] = WIRE_ADVICE_WILL_NEED,
		[RSM_EXT_ADVICE_HOLD] = WIRE_ADVICE_HOLD};
	_cleanup_(cw_import_put_p) struct cw_import *import = cw_import_ref((cw_handle)im_memseg);
	int r;

	if (!import)
		return RSMERR_BAD_SEG_HNDL;
	r = check_advice(import, offset, length, advice, value);
	if (r)
		return r;
	r = cw_import_advise((cw_handle)im_memseg, numbers[advice], (uint64_t)offset, length,
		value * NSEC_PER_USEC);
	/* unmapped by another thread meanwhile */
	return r == STATUS_WRONG_STATE ? RSMERR_SEG_NOT_MAPPED : rsm_code(r, ABOUT_IMPORT);
}

/* transfers with completion */

static void complete(rsm_ext_request_t *request, int code)
{
	request->reserved[0] = request;
	request->reserved[1] = (void *)(uintptr_t)(unsigned int)code;
	request->reserved[2] = NULL;
}

static int run(
	struct cw_import *import, uint64_t offset, void *local, size_t length, enum direction d)
{
	uint8_t *base;
	int r = cw_import_base(import, &base);

	if (!r) {
		cw_import_count(import, d == PUT, length);
		local = cw_import_unalias(import, base, local, length);
		copy(base + offset, local, length, 0, d);
		atomic_thread_fence(memory_order_seq_cst);
		r = cw_import_ready(import);
	}
	return rsm_code_transfer(r, false);
}

/* The import is held by the caller. */
static void start_remote(struct cw_import *import, uint64_t offset, void *local, size_t length,
	enum direction d, rsm_ext_request_t *request)
{
	cw_handle handle;
	int r = cw_remote_start(import, d == PUT, offset, local, length, &handle);

	complete(request, rsm_code_transfer(r, false));
	if (!r)
		request->reserved[2] = (void *)handle;
}

static int start(rsm_memseg_import_handle_t im_memseg, off_t offset, void *local, size_t length,
	enum direction d, rsm_ext_request_t *request)
{
	_cleanup_(cw_import_put_p) struct cw_import *import = NULL;
	int r;

	if (!im_memseg)
		return RSMERR_BAD_SEG_HNDL;
	if (!local || !request)
		return RSMERR_BAD_ADDR;
	import = cw_import_ref((cw_handle)im_memseg);
	if (!import)
		return RSMERR_BAD_SEG_HNDL;
	r = transfer_check(import, (uint64_t)offset, length, 0, d);
	if (!r && import->remote)
		start_remote(import, (uint64_t)offset, local, length, d, request);
	else if (!r)
		complete(request, run(import, (uint64_t)offset, local, length, d));
	return r;
}

RSM_API int rsm_ext_import_put_start(rsm_memseg_import_handle_t im_memseg, off_t offset,
	const void *src_addr, size_t length, rsm_ext_request_t *request)
{
	return start(im_memseg, offset, (void *)src_addr, length, PUT, request);
}

RSM_API int rsm_ext_import_get_start(rsm_memseg_import_handle_t im_memseg, off_t offset,
	void *dst_addr, size_t length, rsm_ext_request_t *request)
{
	return start(im_memseg, offset, dst_addr, length, GET, request);
}

static int finish(rsm_ext_request_t *request, uint64_t timeout)
{
	cw_handle handle;
	int r;

	if (!request || request->reserved[0] != request)
		return RSMERR_BAD_ADDR;
	handle = (cw_handle)request->reserved[2];
	if (handle) {
		r = cw_remote_finish(handle, timeout);
		if (r == -EAGAIN)
			return RSMERR_TIMEOUT;
		complete(request, rsm_code_transfer(r, false));
	}
	return (int)(uintptr_t)request->reserved[1];
}

RSM_API int rsm_ext_test(rsm_ext_request_t *request)
{
	return finish(request, 0);
}

RSM_API int rsm_ext_wait(rsm_ext_request_t *request, int timeout)
{
	return finish(request, timeout < 0 ? UINT64_MAX : (uint64_t)timeout * NSEC_PER_MSEC);
}
