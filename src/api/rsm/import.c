/* SPDX-License-Identifier: Apache-2.0 */
/* The importer's side but for get, put and barriers: connect and map. */
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>
#include "api/rsm/codes.h"
#include "api/rsm/controller.h"
#include "base/cleanup.h"
#include "client/import.h"
#include "wire/message.h"
#include "wire/status.h"

DEFINE_CLEANUP(struct cw_import *, cw_import_put);

/* RSM_PERM_READ 0400 is our 04 */
static uint32_t rights_of(rsm_permission_t perm)
{
	return perm >> 6;
}

RSM_API int rsm_memseg_import_connect(rsmapi_controller_handle_t controller, rsm_node_id_t node_id,
	rsm_memseg_id_t segment_id, rsm_permission_t perm, rsm_memseg_import_handle_t *im_memseg)
{
	uint32_t kind = controller_kind(controller);
	cw_handle h;
	int r;

	if (!kind)
		return RSMERR_BAD_CTLR_HNDL;
	if (!im_memseg)
		return RSMERR_BAD_SEG_HNDL;
	*im_memseg = NULL;
	if (perm & ~(rsm_permission_t)RSM_PERM_RDWR)
		return RSMERR_PERM_DENIED;
	r = cw_import_connect(WIRE_SPACE_RSM, kind, node_id, segment_id, rights_of(perm), &h);
	if (r)
		return rsm_code(r, ABOUT_IMPORT);
	*im_memseg = (rsm_memseg_import_handle_t)h;
	return RSM_SUCCESS;
}

RSM_API int rsm_memseg_import_disconnect(rsm_memseg_import_handle_t im_memseg)
{
	int r = cw_import_disconnect((cw_handle)im_memseg);

	return r == STATUS_WRONG_STATE ? RSMERR_POLLFD_IN_USE : rsm_code(r, ABOUT_IMPORT);
}

static int protection(rsm_permission_t perm)
{
	return (perm & RSM_PERM_READ ? PROT_READ : 0) | (perm & RSM_PERM_WRITE ? PROT_WRITE : 0);
}

static int check_map(struct cw_import *import, void *address, rsm_attribute_t attr,
	rsm_permission_t perm, off_t offset, size_t length)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	int r;

	if (cw_import_is_mapped(import->handle))
		return RSMERR_SEG_ALREADY_MAPPED;
	if (perm & ~(rsm_permission_t)RSM_PERM_RDWR)
		return RSMERR_BAD_PERMS;
	if (!length)
		return RSMERR_BAD_LENGTH;
	r = cw_import_range(import, (uint64_t)offset, length);
	if (r)
		return rsm_code(r, ABOUT_IMPORT);
	if ((uint64_t)offset % page || (attr & RSM_MAP_FIXED && (uintptr_t)address % page))
		return RSMERR_BAD_MEM_ALIGNMENT;
	return rights_of(perm) & ~import->rights ? RSMERR_BAD_PERMS : RSM_SUCCESS;
}

RSM_API int rsm_memseg_import_map(rsm_memseg_import_handle_t im_memseg, void **address,
	rsm_attribute_t attr, rsm_permission_t perm, off_t offset, size_t length)
{
	_cleanup_(cw_import_put_p) struct cw_import *import = cw_import_ref((cw_handle)im_memseg);
	bool fixed = attr & RSM_MAP_FIXED;
	int r;

	if (!import)
		return RSMERR_BAD_SEG_HNDL;
	if (!address)
		return RSMERR_BAD_ADDR;
	r = check_map(import, *address, attr, perm, offset, length);
	if (r)
		return r;
	r = cw_import_map((cw_handle)im_memseg, fixed ? *address : NULL, fixed, protection(perm),
		(uint64_t)offset, length, address);
	return rsm_code_map(r);
}

RSM_API int rsm_memseg_import_unmap(rsm_memseg_import_handle_t im_memseg)
{
	int r = cw_import_unmap((cw_handle)im_memseg);

	return r == STATUS_WRONG_STATE ? RSMERR_SEG_NOT_MAPPED : rsm_code(r, ABOUT_IMPORT);
}
