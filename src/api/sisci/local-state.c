/* SPDX-License-Identifier: Apache-2.0 */
#include <sys/mman.h>
#include "api/sisci/call.h"
#include "api/sisci/codes.h"
#include "api/sisci/node.h"
#include "api/sisci/segment.h"
#include "base/cleanup.h"
#include "wire/status.h"

/* Local segments: prepared, available, shared, given memory. */

#define PAGE 4096u

/* The segment of a call that names an adapter, too; references it. */
static sci_error_t get(
	sci_local_segment_t segment, unsigned int adapter, struct local_segment **ret_segment)
{
	struct local_segment *s = local_segment_get(segment);
	sci_error_t e = adapter_check(adapter);

	if (!s)
		return SCI_ERR_ILLEGAL_PARAMETER;
	if (e) {
		object_put(&s->object);
		return e;
	}
	*ret_segment = s;
	return SCI_ERR_OK;
}

static sci_error_t prepare(sci_local_segment_t segment, unsigned int adapter)
{
	_cleanup_object_ struct local_segment *s = NULL;
	sci_error_t e = get(segment, adapter, &s);

	if (e)
		return e;
	if (!atomic_load(&s->base))
		return SCI_ERR_ILLEGAL_OPERATION;
	atomic_store(&s->prepared, true);
	return SCI_ERR_OK;
}

SCI_CALL void SCIPrepareSegment(sci_local_segment_t segment, unsigned int localAdapterNo,
	unsigned int flags, sci_error_t *error)
{
	sci_error_t e = call_begin(flags);

	call_end(error, e ? e : prepare(segment, localAdapterNo));
}

static sci_error_t make_available(sci_local_segment_t segment, unsigned int adapter)
{
	_cleanup_object_ struct local_segment *s = NULL;
	sci_error_t e = get(segment, adapter, &s);
	int r;

	if (e)
		return e;
	if (s->is_private)
		return SCI_ERR_ILLEGAL_OPERATION;
	if (!atomic_load(&s->prepared))
		return SCI_ERR_SEGMENT_NOT_PREPARED;
	r = cw_offer_open(s->side, true, 0);
	if (!r)
		atomic_store(&s->available, true);
	return code_of(CODE_OPERATE, r);
}

SCI_CALL void SCISetSegmentAvailable(sci_local_segment_t segment, unsigned int localAdapterNo,
	unsigned int flags, sci_error_t *error)
{
	sci_error_t e = call_begin(flags);

	call_end(error, e ? e : make_available(segment, localAdapterNo));
}

static sci_error_t make_unavailable(
	sci_local_segment_t segment, unsigned int adapter, unsigned int flags)
{
	_cleanup_object_ struct local_segment *s = NULL;
	sci_error_t e = get(segment, adapter, &s);
	uint32_t close = 0;
	int r;

	if (e)
		return e;
	if (s->is_private)
		return SCI_ERR_ILLEGAL_OPERATION;
	if (flags & SCI_FLAG_NOTIFY)
		close |= WIRE_CLOSE_TELL;
	if (flags & SCI_FLAG_FORCE_DISCONNECT)
		close |= WIRE_CLOSE_END;
	r = cw_offer_open(s->side, false, close);
	if (!r)
		atomic_store(&s->available, false);
	return code_of(CODE_OPERATE, r);
}

SCI_CALL void SCISetSegmentUnavailable(sci_local_segment_t segment, unsigned int localAdapterNo,
	unsigned int flags, sci_error_t *error)
{
	sci_error_t e = call_begin(flags);

	call_end(error, e ? e : make_unavailable(segment, localAdapterNo, flags));
}

static sci_error_t share(sci_local_segment_t segment)
{
	_cleanup_object_ struct local_segment *s = local_segment_get(segment);

	if (!s)
		return SCI_ERR_ILLEGAL_PARAMETER;
	if (s->is_private)
		return SCI_ERR_ILLEGAL_OPERATION;
	/* who is attached could be attached to no other */
	return s->peek ? SCI_ERR_OK : code_of(CODE_OPERATE, cw_export_share(s->side));
}

SCI_CALL void SCIShareSegment(sci_local_segment_t segment, unsigned int flags, sci_error_t *error)
{
	sci_error_t e = call_begin(flags);

	call_end(error, e ? e : share(segment));
}

/* memory of the program's */

static sci_error_t check_memory(const struct local_segment *s, uintptr_t address, size_t size)
{
	if (!(s->flags & SCI_FLAG_EMPTY) || atomic_load(&s->base))
		return SCI_ERR_ILLEGAL_OPERATION;
	if (!address || address % PAGE)
		return SCI_ERR_ILLEGAL_ADDRESS;
	if (size % PAGE || size == 0)
		return SCI_ERR_SIZE_ALIGNMENT;
	return size == s->size ? SCI_ERR_OK : SCI_ERR_OUT_OF_RANGE;
}

static sci_error_t register_memory(
	sci_local_segment_t segment, void *address, size_t size, unsigned int flags)
{
	_cleanup_object_ struct local_segment *s = local_segment_get(segment);
	sci_error_t e;

	if (!s)
		return SCI_ERR_ILLEGAL_PARAMETER;
	pthread_mutex_lock(&s->object.lock);
	e = check_memory(s, (uintptr_t)address, size);
	if (!e)
		e = code_of(CODE_OPERATE, cw_export_rebind(s->side, address, size));
	if (!e)
		atomic_store(&s->base, address);
	pthread_mutex_unlock(&s->object.lock);
	/* nothing swaps it out, where the process may ask for that */
	if (!e && flags & SCI_FLAG_LOCK_USER_MEM)
		(void)mlock(address, size);
	return e;
}

SCI_CALL void SCIRegisterSegmentMemory(void *address, size_t size, sci_local_segment_t segment,
	unsigned int flags, sci_error_t *error)
{
	sci_error_t e = call_begin(flags);

	call_end(error, e ? e : register_memory(segment, address, size, flags));
}
