/* SPDX-License-Identifier: Apache-2.0 */
#include "api/sisci/map.h"

#include <stdlib.h>
#include <sys/mman.h>
#include "api/sisci/call.h"
#include "api/sisci/codes.h"
#include "api/sisci/group.h"
#include "wire/status.h"

#define PAGE 4096u

sci_error_t map_range(const struct map *m, uint64_t offset, uint64_t size, uint8_t **ret_address)
{
	if (!range_within(offset, size, m->size))
		return SCI_ERR_OUT_OF_RANGE;
	*ret_address = m->address + offset;
	return SCI_ERR_OK;
}

/* Of another node: a coherent map, made once and kept until disconnect. */
static int map_whole(struct remote_segment *s, uint8_t **ret_base)
{
	void *base;
	int r;

	if (!s->peek->remote)
		return cw_import_base(s->peek, ret_base);
	r = cw_import_map(s->import, NULL, false, PROT_READ | PROT_WRITE, 0, s->size, &base);
	if (r == 0)
		*ret_base = base;
	return r;
}

static sci_error_t base_locked(struct remote_segment *s, uint8_t **ret_base)
{
	uint8_t *base = s->base;
	sci_error_t e = SCI_ERR_OK;

	if (!base && s->group)
		e = group_map(s->group, &base);
	else if (!base)
		e = code_of(CODE_MAP, map_whole(s, &base));
	if (!e)
		s->base = *ret_base = base;
	return e;
}

sci_error_t remote_segment_base(struct remote_segment *s, uint8_t **ret_base)
{
	sci_error_t e = remote_segment_ready(s);

	if (e)
		return e;
	pthread_mutex_lock(&s->object.lock);
	e = base_locked(s, ret_base);
	pthread_mutex_unlock(&s->object.lock);
	return e;
}

/* life */

static struct object *segment_of(const struct map *m)
{
	return m->local ? &m->local->object : &m->remote->object;
}

static void map_end(struct object *o)
{
	struct map *m = container_of(o, struct map, object);

	if (m->own)
		cw_map_again_end(&m->again);
	object_unuse(segment_of(m));
}

static void map_release(struct object *o)
{
	struct map *m = container_of(o, struct map, object);

	object_put(segment_of(m));
	free(m);
}

static bool map_busy(struct object *o)
{
	return true;
}

/* A mapping of its own for what a place in the segment's cannot be. */
static sci_error_t map_again(struct map *m, uint8_t *base, uint8_t *address, unsigned int flags)
{
	cw_handle side = m->local ? m->local->side : m->remote->import;
	bool fixed = flags & SCI_FLAG_FIXED_MAP_ADDR;
	int prot = flags & SCI_FLAG_READONLY_MAP ? PROT_READ : PROT_READ | PROT_WRITE;
	uint64_t skip = m->offset % PAGE, begin = m->offset - skip;
	uint64_t length = (m->size + skip + PAGE - 1) / PAGE * PAGE;
	int r;

	if (fixed && (!address || (uintptr_t)address % PAGE != skip))
		return SCI_ERR_ILLEGAL_ADDRESS;
	if (!side)
		return fixed ? SCI_ERR_ILLEGAL_ADDRESS : SCI_ERR_OK; /* of a group: a hint */
	r = cw_map_again(side, base, begin, length, fixed ? address - skip : NULL, prot, &m->again);
	if (r)
		return r == STATUS_MAP_FAILED && fixed ? SCI_ERR_ILLEGAL_ADDRESS
						       : code_of(CODE_MAP, r);
	m->own = m->again.address;
	m->address = m->own + skip;
	return SCI_ERR_OK;
}

/* The map takes the reference to its segment. */
static sci_error_t map_new(struct object *segment, uint8_t *base, uint64_t offset, uint64_t size,
	void *address, unsigned int flags, struct map **ret_map)
{
	struct map *m = calloc(1, sizeof(*m));
	sci_error_t e = SCI_ERR_OK;
	int r;

	if (!m)
		return SCI_ERR_NOSPC;
	if (segment->kind == SISCI_LOCAL_SEGMENT)
		m->local = container_of(segment, struct local_segment, object);
	else
		m->remote = container_of(segment, struct remote_segment, object);
	m->offset = offset;
	m->size = size;
	m->address = base + offset;
	m->object.busy = map_busy;
	m->object.end = map_end;
	m->object.release = map_release;
	if (flags & (SCI_FLAG_FIXED_MAP_ADDR | SCI_FLAG_READONLY_MAP))
		e = map_again(m, base, address, flags);
	r = e ? 0 : object_new(&m->object, SISCI_MAP, segment->desc);
	if (e || r) {
		if (m->own)
			cw_map_again_end(&m->again);
		free(m);
		return e ? e : code_of(CODE_MAP, r);
	}
	*ret_map = m;
	return SCI_ERR_OK;
}

/* The segment's reference is the map's on success. */
static sci_error_t map_segment(struct object *segment, uint8_t *base, uint64_t offset,
	uint64_t size, void *address, unsigned int flags, sci_map_t *ret_map, void **ret_address)
{
	struct map *m = NULL;
	sci_error_t e;

	if (!object_use(segment))
		return SCI_ERR_ILLEGAL_PARAMETER;
	object_ref(segment);
	e = map_new(segment, base, offset, size, address, flags, &m);
	if (e) {
		object_unuse(segment);
		object_put(segment);
		return e;
	}
	*ret_address = m->address;
	*ret_map = object_handle(&m->object);
	return SCI_ERR_OK;
}

static sci_error_t map_local(sci_local_segment_t segment, sci_map_t *map, uint64_t offset,
	uint64_t size, void *address, unsigned int flags, void **ret_address)
{
	_cleanup_object_ struct local_segment *s = local_segment_get(segment);
	uint8_t *place;
	sci_error_t e;

	if (!s || !map || size == 0)
		return SCI_ERR_ILLEGAL_PARAMETER;
	e = local_segment_range(s, offset, size, &place);
	return e ? e
		 : map_segment(&s->object, place - offset, offset, size, address, flags, map,
			   ret_address);
}

SCI_CALL void *SCIMapLocalSegment(sci_local_segment_t segment, sci_map_t *map, size_t offset,
	size_t size, void *addr, unsigned int flags, sci_error_t *error)
{
	sci_error_t e = call_begin(flags);
	void *address = NULL;

	call_end(error, e ? e : map_local(segment, map, offset, size, addr, flags, &address));
	return address;
}

static sci_error_t map_remote(sci_remote_segment_t segment, sci_map_t *map, uint64_t offset,
	uint64_t size, void *address, unsigned int flags, void **ret_address)
{
	_cleanup_object_ struct remote_segment *s = remote_segment_get(segment);
	uint8_t *base;
	sci_error_t e;

	if (!s || !map || size == 0)
		return SCI_ERR_ILLEGAL_PARAMETER;
	e = remote_segment_ready(s);
	if (!e)
		e = remote_segment_range(s, offset, size);
	if (!e)
		e = remote_segment_base(s, &base);
	return e ? e
		 : map_segment(&s->object, base, offset, size, address, flags, map, ret_address);
}

SCI_CALL volatile void *SCIMapRemoteSegment(sci_remote_segment_t segment, sci_map_t *map,
	size_t offset, size_t size, void *addr, unsigned int flags, sci_error_t *error)
{
	sci_error_t e = call_begin(flags);
	void *address = NULL;

	call_end(error, e ? e : map_remote(segment, map, offset, size, addr, flags, &address));
	return address;
}

SCI_CALL void SCIUnmapSegment(sci_map_t map, unsigned int flags, sci_error_t *error)
{
	sci_error_t e = call_begin(flags);

	call_end(error, e ? e : object_remove(map, SISCI_MAP));
}

SCI_CALL volatile void *SCIGetMapPointer(sci_map_t map)
{
	_cleanup_object_ struct object *o = object_get(map, SISCI_MAP);

	return o ? container_of(o, struct map, object)->address : NULL;
}
