/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Barriers. The caller's rsmapi_barrier_t holds the import's handle (seg), the low bits of the
 * import's epoch at init (gnum) and whether it is open (privdata); we keep no pointer to it.
 */
#include "api/rsm/barrier.h"

#include <stdint.h>
#include <rsmapi.h>
#include "api/rsm/codes.h"
#include "base/cleanup.h"
#include "client/remote.h"

DEFINE_CLEANUP(struct cw_import *, cw_import_put);

#define BARRIER_OPEN ((void *)(uintptr_t)1)

RSM_API int rsm_memseg_import_init_barrier(
	rsm_memseg_import_handle_t im_memseg, rsm_barrier_type_t type, rsmapi_barrier_t *barrier)
{
	_cleanup_(cw_import_put_p) struct cw_import *import = cw_import_ref((cw_handle)im_memseg);
	uint32_t epoch;

	if (!import)
		return RSMERR_BAD_SEG_HNDL;
	if (!barrier)
		return RSMERR_BAD_BARRIER_PTR;
	(void)type;
	/* never 0 in the low 16 bits, so that it fits gnum and is not "none" */
	epoch = atomic_load(&import->api_epoch) % 0xffff + 1;
	atomic_store(&import->api_epoch, epoch);
	*barrier = (rsmapi_barrier_t){.seg = im_memseg, .gnum = (uint16_t)epoch};
	return RSM_SUCCESS;
}

/* The import of a barrier, with a reference; *ret_code says why there is none. */
static struct cw_import *barrier_import(const rsmapi_barrier_t *barrier, int *ret_code)
{
	struct cw_import *import = NULL;

	if (!barrier) {
		*ret_code = RSMERR_BAD_BARRIER_PTR;
	} else if (!barrier->seg) {
		*ret_code = RSMERR_BARRIER_UNINITIALIZED;
	} else {
		import = cw_import_ref((cw_handle)barrier->seg);
		*ret_code = import ? RSM_SUCCESS : RSMERR_BAD_BARRIER_PTR;
	}
	return import;
}

RSM_API int rsm_memseg_import_open_barrier(rsmapi_barrier_t *barrier)
{
	int code;
	_cleanup_(cw_import_put_p) struct cw_import *import = barrier_import(barrier, &code);

	if (!import)
		return code;
	barrier->privdata = BARRIER_OPEN;
	atomic_thread_fence(memory_order_seq_cst);
	return RSM_SUCCESS;
}

/* What was stored before is seen by everybody before what is stored from now on. last: a failure
 * of another node's import, or the loss of a node that had pages, is told for the last time. */
static int fence_and_look(struct cw_import *import, bool last)
{
	int r;

	atomic_thread_fence(memory_order_seq_cst);
	if (likely(!import->remote))
		r = cw_import_ready(import);
	else
		r = last ? cw_remote_collect(import) : cw_remote_order(import);
	if (likely(!r))
		r = cw_import_believe(import, last);
	return rsm_code(r, ABOUT_IMPORT);
}

RSM_API int rsm_memseg_import_order_barrier(rsmapi_barrier_t *barrier)
{
	int code;
	_cleanup_(cw_import_put_p) struct cw_import *import = barrier_import(barrier, &code);

	if (!import)
		return code;
	if (barrier->privdata != BARRIER_OPEN)
		return RSMERR_BARRIER_NOT_OPENED;
	return fence_and_look(import, false);
}

RSM_API int rsm_memseg_import_close_barrier(rsmapi_barrier_t *barrier)
{
	int code;
	_cleanup_(cw_import_put_p) struct cw_import *import = barrier_import(barrier, &code);

	if (!import)
		return code;
	if (barrier->privdata != BARRIER_OPEN)
		return RSMERR_BARRIER_NOT_OPENED;
	barrier->privdata = NULL;
	return fence_and_look(import, true);
}

RSM_API int rsm_memseg_import_destroy_barrier(rsmapi_barrier_t *barrier)
{
	int code;
	_cleanup_(cw_import_put_p) struct cw_import *import = barrier_import(barrier, &code);
	uint32_t epoch;

	if (!import)
		return code;
	epoch = barrier->gnum;
	/* a barrier initialised later stays the import's */
	atomic_compare_exchange_strong(&import->api_epoch, &epoch, 0);
	*barrier = (rsmapi_barrier_t){0};
	return RSM_SUCCESS;
}

RSM_API int rsm_memseg_import_set_mode(
	rsm_memseg_import_handle_t im_memseg, rsm_barrier_mode_t mode)
{
	_cleanup_(cw_import_put_p) struct cw_import *import = cw_import_ref((cw_handle)im_memseg);

	if (!import)
		return RSMERR_BAD_SEG_HNDL;
	if (mode != RSM_BARRIER_MODE_EXPLICIT && mode != RSM_BARRIER_MODE_IMPLICIT)
		return RSMERR_BAD_MODE;
	if (import->remote)
		cw_remote_flush(import);
	atomic_store(&import->api_mode, mode == RSM_BARRIER_MODE_EXPLICIT);
	return RSM_SUCCESS;
}

RSM_API int rsm_memseg_import_get_mode(
	rsm_memseg_import_handle_t im_memseg, rsm_barrier_mode_t *mode)
{
	_cleanup_(cw_import_put_p) struct cw_import *import = cw_import_ref((cw_handle)im_memseg);

	if (!import)
		return RSMERR_BAD_SEG_HNDL;
	if (!mode)
		return RSMERR_BAD_ADDR;
	*mode = barrier_mode_is_explicit(import) ? RSM_BARRIER_MODE_EXPLICIT
						 : RSM_BARRIER_MODE_IMPLICIT;
	return RSM_SUCCESS;
}
