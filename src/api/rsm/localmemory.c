/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Handles for the program's own memory, for putv and getv. Nothing is locked or registered here: on
 * its own node memory is just copied. The handle's part is that every use is checked against it.
 */
#include "api/rsm/localmemory.h"

#include <stdlib.h>
#include <unistd.h>
#include "api/rsm/codes.h"
#include "api/rsm/controller.h"
#include "base/cleanup.h"
#include "client/handle.h"

struct localmemory {
	cw_handle handle;
	uint8_t *address;
	uint64_t size; /* whole pages */
};

int localmemory_range(
	rsm_localmemory_handle_t handle, uint64_t offset, uint64_t length, void **ret_address)
{
	struct localmemory *m = cw_enter((cw_handle)handle, CW_LOCAL_MEMORY);
	uint8_t *address;
	uint64_t size;

	if (!m)
		return RSMERR_BAD_SGIO;
	address = m->address;
	size = m->size;
	cw_leave();
	if (!range_within(offset, length, size))
		return length > size ? RSMERR_BAD_LENGTH : RSMERR_BAD_OFFSET;
	*ret_address = address + offset;
	return RSM_SUCCESS;
}

RSM_API int rsm_create_localmemory_handle(rsmapi_controller_handle_t controller,
	rsm_localmemory_handle_t *local_handle, caddr_t local_vaddr, size_t length)
{
	_cleanup_free_ struct localmemory *m = NULL;
	size_t page = (size_t)sysconf(_SC_PAGESIZE), size, end;
	int r;

	if ((uintptr_t)local_vaddr % page)
		return RSMERR_BAD_ADDR;
	if (!controller_kind(controller))
		return RSMERR_BAD_CTLR_HNDL;
	if (!local_handle)
		return RSMERR_BAD_LOCALMEM_HNDL;
	if (!length || __builtin_add_overflow(length, page - 1, &size))
		return RSMERR_BAD_LENGTH;
	size -= size % page;
	if (!local_vaddr || __builtin_add_overflow((uintptr_t)local_vaddr, size, &end))
		return local_vaddr ? RSMERR_BAD_LENGTH : RSMERR_BAD_ADDR;
	m = malloc(sizeof(*m));
	if (!m)
		return RSMERR_INSUFFICIENT_MEM;
	*m = (struct localmemory){.address = (uint8_t *)local_vaddr, .size = size};
	r = cw_handle_new(CW_LOCAL_MEMORY, m, &m->handle);
	if (r)
		return RSMERR_INSUFFICIENT_MEM;
	*local_handle = (rsm_localmemory_handle_t)m->handle;
	take_ptr(m);
	return RSM_SUCCESS;
}

RSM_API int rsm_free_localmemory_handle(
	rsmapi_controller_handle_t controller, rsm_localmemory_handle_t local_handle)
{
	struct localmemory *m;

	if (!controller_kind(controller))
		return RSMERR_BAD_CTLR_HNDL;
	m = cw_enter((cw_handle)local_handle, CW_LOCAL_MEMORY);
	if (!m)
		return RSMERR_BAD_LOCALMEM_HNDL;
	cw_leave();
	/* only who ends the handle may free what is behind it */
	if (!cw_handle_retire((cw_handle)local_handle))
		return RSMERR_BAD_LOCALMEM_HNDL;
	free(m);
	return RSM_SUCCESS;
}
