/* SPDX-License-Identifier: Apache-2.0 */
/* The exporter's side: arguments are checked here in RSM's order, the rest is the client library's.
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/single_threaded.h>
#include <sys/stat.h>
#include <unistd.h>
#include "api/rsm/codes.h"
#include "api/rsm/controller.h"
#include "base/cleanup.h"
#include "client/export.h"
#include "wire/message.h"
#include "wire/status.h"

#define ACCESS_LIST_MAX 64u

/*
 * The process's umask. umask(2) can only be read by setting it, which other threads would notice,
 * so with several threads the kernel's text is read instead.
 */
static mode_t current_umask(void)
{
	unsigned int mask = 077;
	char line[128];
	FILE *f;

	if (__libc_single_threaded) {
		mode_t old = umask(077);

		umask(old);
		return old;
	}
	f = fopen("/proc/self/status", "re");
	if (!f)
		return mask;
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "Umask: %o", &mask) == 1)
			break;
	fclose(f);
	return mask;
}

RSM_API int rsm_memseg_export_create(rsmapi_controller_handle_t controller,
	rsm_memseg_export_handle_t *memseg, void *vaddr, size_t size, uint_t flags)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	struct cw_node node;
	cw_handle h;
	int r;

	if (!controller_kind(controller))
		return RSMERR_BAD_CTLR_HNDL;
	if (!memseg)
		return RSMERR_BAD_SEG_HNDL;
	*memseg = NULL;
	if (!vaddr)
		return RSMERR_BAD_ADDR;
	if (!size)
		return RSMERR_BAD_LENGTH;
	if ((uintptr_t)vaddr % page || size % page)
		return RSMERR_BAD_MEM_ALIGNMENT;
	r = cw_connect(&node);
	if (!r && size > node.hello.max_segment_bytes)
		return RSMERR_BAD_LENGTH;
	if (!r)
		r = cw_export_create(
			WIRE_SPACE_RSM, vaddr, size, 0777 & ~current_umask(), flags, &h);
	if (r)
		return rsm_code(r, ABOUT_EXPORT);
	*memseg = (rsm_memseg_export_handle_t)h;
	return RSM_SUCCESS;
}

RSM_API int rsm_memseg_export_destroy(rsm_memseg_export_handle_t memseg)
{
	int r = cw_export_destroy((cw_handle)memseg);

	return r == STATUS_IN_USE ? RSMERR_POLLFD_IN_USE : rsm_code(r, ABOUT_EXPORT);
}

/*
 * The program's list in our form, for the daemon to judge. In place of one that is longer than any
 * it takes, or is not there, it gets a list of that length without reading the program's.
 */
static uint32_t convert_access(
	const rsmapi_access_entry_t *list, uint_t n, struct wire_access access[ACCESS_LIST_MAX + 1])
{
	if (n > ACCESS_LIST_MAX || (n && !list)) {
		memset(access, 0, (ACCESS_LIST_MAX + 1) * sizeof(*access));
		return ACCESS_LIST_MAX + 1;
	}
	for (uint_t i = 0; i < n; i++)
		access[i] = (struct wire_access){list[i].ae_node, list[i].ae_permission};
	return n;
}

RSM_API int rsm_memseg_export_publish(rsm_memseg_export_handle_t memseg,
	rsm_memseg_id_t *segment_id, rsmapi_access_entry_t access_list[], uint_t access_list_length)
{
	struct wire_access access[ACCESS_LIST_MAX + 1];
	struct cw_export *export;
	bool lock_ops;
	uint32_t n;

	if (!segment_id)
		return RSMERR_BAD_SEGID;
	export = cw_export_ref((cw_handle)memseg);
	if (!export)
		return RSMERR_BAD_SEG_HNDL;
	lock_ops = export->flags & RSM_LOCK_OPS;
	cw_export_put(export);
	if (access_list_length && !access_list)
		return RSMERR_BAD_ACL;
	if (lock_ops)
		return RSMERR_LOCKS_NOT_SUPPORTED;
	n = convert_access(access_list, access_list_length, access);
	return rsm_code(cw_export_publish((cw_handle)memseg, segment_id, access, n), ABOUT_EXPORT);
}

RSM_API int rsm_memseg_export_republish(rsm_memseg_export_handle_t memseg,
	rsmapi_access_entry_t access_list[], uint_t access_list_length)
{
	struct wire_access access[ACCESS_LIST_MAX + 1];
	uint32_t n = convert_access(access_list, access_list_length, access);

	return rsm_code(cw_export_republish((cw_handle)memseg, access, n), ABOUT_EXPORT);
}

RSM_API int rsm_memseg_export_unpublish(rsm_memseg_export_handle_t memseg)
{
	return rsm_code(cw_export_unpublish((cw_handle)memseg), ABOUT_EXPORT);
}

/* off is of no use to anyone: only whole segments are rebound. */
RSM_API int rsm_memseg_export_rebind(
	rsm_memseg_export_handle_t memseg, void *vaddr, offset_t off, size_t size)
{
	struct cw_export *export = cw_export_ref((cw_handle)memseg);
	bool allowed;

	(void)off;
	if (!export)
		return RSMERR_BAD_SEG_HNDL;
	allowed = export->flags & RSM_ALLOW_REBIND;
	cw_export_put(export);
	if (!vaddr)
		return RSMERR_BAD_ADDR;
	if (!allowed)
		return RSMERR_REBIND_NOT_ALLOWED;
	return rsm_code(cw_export_rebind((cw_handle)memseg, vaddr, size), ABOUT_EXPORT);
}
