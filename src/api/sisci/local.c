/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "api/sisci/call.h"
#include "api/sisci/codes.h"
#include "api/sisci/desc.h"
#include "api/sisci/node.h"
#include "api/sisci/segment.h"
#include "base/parse.h"
#include "wire/status.h"

/* Local segments: made or attached, and their end. States: local-state.c. */

#define PAGE	     4096u
#define DEFAULT_MODE 0666u /* as the original: who can reach the node can connect */

static void local_end(struct object *o)
{
	struct local_segment *s = container_of(o, struct local_segment, object);

	atomic_store(&s->base, NULL);
	if (s->peek)
		(void)cw_import_disconnect(s->side);
	else
		(void)cw_export_leave(s->side, s->force);
}

static void local_release(struct object *o)
{
	struct local_segment *s = container_of(o, struct local_segment, object);

	cw_import_put(s->peek);
	free(s);
}

static bool local_busy(struct object *o)
{
	struct local_segment *s = container_of(o, struct local_segment, object);

	return atomic_load(&s->available);
}

static struct local_segment *local_new(
	sci_cb_local_segment_t callback, void *callback_arg, unsigned int flags)
{
	struct local_segment *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->flags = flags;
	if (flags & SCI_FLAG_USE_CALLBACK)
		s->callback = callback;
	s->callback_arg = callback_arg;
	s->object.busy = local_busy;
	s->object.end = local_end;
	s->object.release = local_release;
	return s;
}

/* Its side is there. The handle is the program's from here on. */
static sci_error_t local_enter(
	struct local_segment *s, struct object *desc, sci_local_segment_t *ret_segment)
{
	sci_error_t e;
	int r;

	s->ring = cw_offer_ring(s->side);
	s->seen = s->ring ? atomic_load(&s->ring->count) : 0;
	r = object_new(&s->object, SISCI_LOCAL_SEGMENT, desc);
	if (r) {
		local_end(&s->object);
		local_release(&s->object);
		return code_of(CODE_CREATE, r);
	}
	/* before: a callback may want it, and may remove the segment */
	*ret_segment = object_handle(&s->object);
	e = local_segment_listen(s);
	if (e) {
		*ret_segment = NULL;
		object_end(&s->object);
	}
	return e;
}

/* create */

static uint32_t segment_mode(void)
{
	const char *text = secure_getenv("CAUSEWAY_SISCI_MODE");
	char *end;
	unsigned long mode;

	if (!text || !*text)
		return DEFAULT_MODE;
	mode = strtoul(text, &end, 8);
	return *end || mode > 0777 ? DEFAULT_MODE : (uint32_t)mode;
}

static sci_error_t check_create(const sci_local_segment_t *segment, size_t size,
	sci_cb_local_segment_t callback, unsigned int flags)
{
	if (!segment || size == 0)
		return SCI_ERR_ILLEGAL_PARAMETER;
	if (flags & SCI_FLAG_USE_CALLBACK && !callback)
		return SCI_ERR_ILLEGAL_PARAMETER;
	if (flags & (SCI_FLAG_PHYSICAL | SCI_FLAG_CUDA_BUFFER | SCI_FLAG_SCIF_BUFFER))
		return SCI_ERR_FLAG_NOT_IMPLEMENTED;
	if (flags & SCI_FLAG_EMPTY && flags & SCI_FLAG_PRIVATE)
		return SCI_ERR_FLAG_NOT_IMPLEMENTED;
	return size > SIZE_MAX - PAGE ? SCI_ERR_NOSPC : SCI_ERR_OK;
}

static uint32_t offer_flags(unsigned int flags)
{
	uint32_t offer = flags & SCI_FLAG_AUTO_ID ? WIRE_OFFER_AUTO : 0;

	if (flags & SCI_FLAG_BROADCAST)
		offer |= WIRE_OFFER_GROUP;
	if (flags & SCI_FLAG_ALLOW_UNICAST)
		offer |= WIRE_OFFER_UNICAST;
	return offer;
}

/* Makes its memory and takes its id. */
static int make(struct local_segment *s)
{
	bool empty = s->flags & SCI_FLAG_EMPTY;
	void *base;
	int r;

	r = cw_export_make(WIRE_SPACE_SISCI, s->size, segment_mode(), 0, !empty, &base, &s->side);
	if (r)
		return r;
	if (!empty)
		s->base = base;
	r = s->is_private ? 0 : cw_export_offer(s->side, &s->id, offer_flags(s->flags));
	if (r)
		cw_export_destroy(s->side);
	return r;
}

static sci_error_t local_create(sci_desc_t sd, sci_local_segment_t *segment, unsigned int id,
	size_t size, sci_cb_local_segment_t callback, void *callback_arg, unsigned int flags)
{
	_cleanup_object_ struct object *desc = desc_get(sd);
	sci_error_t e = check_create(segment, size, callback, flags);
	struct local_segment *s;
	int r;

	if (!desc)
		return SCI_ERR_ILLEGAL_PARAMETER;
	if (e)
		return e;
	s = local_new(callback, callback_arg, flags);
	if (!s)
		return SCI_ERR_NOSPC;
	s->id = id;
	s->asked = size;
	s->size = (size + PAGE - 1) / PAGE * PAGE;
	s->is_private = flags & SCI_FLAG_PRIVATE;
	r = make(s);
	if (r) {
		free(s);
		return code_of(CODE_CREATE, r);
	}
	return local_enter(s, desc, segment);
}

SCI_CALL void SCICreateSegment(sci_desc_t sd, sci_local_segment_t *segment, unsigned int segmentId,
	size_t size, sci_cb_local_segment_t callback, void *callbackArg, unsigned int flags,
	sci_error_t *error)
{
	sci_error_t e = call_begin(flags);

	call_end(error,
		e ? e : local_create(sd, segment, segmentId, size, callback, callbackArg, flags));
}

/* attach */

static int attach(struct local_segment *s, uint32_t id)
{
	uint8_t *base;
	int r;

	r = cw_import_attach_offer(WIRE_SPACE_SISCI, id, &s->side);
	if (r)
		return r;
	s->peek = cw_import_ref(s->side);
	r = s->peek ? cw_import_base(s->peek, &base) : STATUS_BAD_HANDLE;
	if (r) {
		cw_import_disconnect(s->side);
		return r;
	}
	s->base = base;
	s->id = id;
	s->size = s->asked = s->peek->size;
	s->prepared = true;
	return 0;
}

static sci_error_t local_attach(sci_desc_t sd, sci_local_segment_t *segment, unsigned int id,
	size_t *size, sci_cb_local_segment_t callback, void *callback_arg, unsigned int flags)
{
	_cleanup_object_ struct object *desc = desc_get(sd);
	struct local_segment *s;
	uint64_t whole;
	sci_error_t e;
	int r;

	if (!desc || !segment || (flags & SCI_FLAG_USE_CALLBACK && !callback))
		return SCI_ERR_ILLEGAL_PARAMETER;
	s = local_new(callback, callback_arg, flags);
	if (!s)
		return SCI_ERR_NOSPC;
	r = attach(s, id);
	if (r) {
		local_release(&s->object);
		return code_of(CODE_ATTACH, r);
	}
	whole = s->size;
	e = local_enter(s, desc, segment);
	if (!e && size)
		*size = whole;
	return e;
}

SCI_CALL void SCIAttachLocalSegment(sci_desc_t sd, sci_local_segment_t *segment,
	unsigned int segmentId, size_t *size, sci_cb_local_segment_t callback, void *callbackArg,
	unsigned int flags, sci_error_t *error)
{
	sci_error_t e = call_begin(flags);

	call_end(error,
		e ? e : local_attach(sd, segment, segmentId, size, callback, callbackArg, flags));
}

/* remove */

static sci_error_t local_remove(sci_local_segment_t segment, unsigned int flags)
{
	_cleanup_object_ struct object *o = object_get(segment, SISCI_LOCAL_SEGMENT);
	struct local_segment *s = container_of(o, struct local_segment, object);

	if (!o)
		return SCI_ERR_ILLEGAL_PARAMETER;
	if (!object_begin_end(o))
		return SCI_ERR_BUSY;
	s->force = flags & SCI_FLAG_FORCE_REMOVE;
	return object_end(o) ? SCI_ERR_OK : SCI_ERR_ILLEGAL_PARAMETER;
}

SCI_CALL void SCIRemoveSegment(sci_local_segment_t segment, unsigned int flags, sci_error_t *error)
{
	sci_error_t e = call_begin(flags);

	call_end(error, e ? e : local_remove(segment, flags));
}

/* what it is */

SCI_CALL unsigned int SCIGetLocalSegmentId(sci_local_segment_t segment)
{
	_cleanup_object_ struct object *o = object_get(segment, SISCI_LOCAL_SEGMENT);

	return o ? container_of(o, struct local_segment, object)->id : 0;
}

SCI_CALL size_t SCIGetLocalSegmentSize(sci_local_segment_t segment)
{
	_cleanup_object_ struct object *o = object_get(segment, SISCI_LOCAL_SEGMENT);

	return o ? container_of(o, struct local_segment, object)->asked : 0;
}

sci_error_t local_segment_range(
	struct local_segment *s, uint64_t offset, uint64_t size, uint8_t **ret_address)
{
	uint8_t *base = atomic_load(&s->base);

	if (!range_within(offset, size, s->size))
		return SCI_ERR_OUT_OF_RANGE;
	if (!base)
		return SCI_ERR_ILLEGAL_OPERATION;
	*ret_address = base + offset;
	return SCI_ERR_OK;
}
