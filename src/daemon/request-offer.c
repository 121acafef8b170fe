/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/request.h"

#include "daemon/manager-offer.h"
#include "daemon/rings.h"
#include "wire/status.h"

/* Offered segments: what their owners and who is attached ask. */

static void changed(ManagerClient *c, EngineSegment *segment, uint64_t serial)
{
	if (serial)
		manager_segment(segment)->serial = serial;
	manager_segment_save(c->manager, segment);
}

static bool already_done(const ManagerClient *c, const EngineSegment *segment, uint64_t serial)
{
	return manager_client_repeats(c, serial) && manager_segment(segment)->serial == serial;
}

int request_segment_offer(ManagerClient *c, struct request *q, struct reply *a)
{
	const struct wire_segment_offer *p = &q->message.segment_offer;
	EngineSegment *segment = engine_segment_get(c->engine, p->segment);
	uint32_t id;
	int r;

	if (!segment)
		return STATUS_BAD_HANDLE;
	if (!already_done(c, segment, q->message.serial)) {
		r = ring_reserve(&c->status, WIRE_SIDE_EXPORT, segment->index);
		if (r == 0)
			r = engine_segment_offer(segment, p->id, p->flags, &id);
		if (r)
			return r;
		changed(c, segment, q->message.serial);
	}
	a->message.segment_offer_reply.id = segment->id;
	return 0;
}

/* *ret_serial: the request's number, if the segment is the asker's own. */
static EngineSegment *find(ManagerClient *c, const struct request *q, uint64_t *ret_serial)
{
	const struct wire_segment_open *p = &q->message.segment_open;
	EngineImport *import;

	*ret_serial = q->message.serial;
	if (p->side == WIRE_SIDE_EXPORT)
		return engine_segment_get(c->engine, p->index);
	*ret_serial = 0;
	import = engine_import_get(c->engine, p->index);
	return import && import->attached ? import->segment : NULL;
}

int request_segment_open(ManagerClient *c, struct request *q, struct reply *a)
{
	const struct wire_segment_open *p = &q->message.segment_open;
	uint64_t serial;
	EngineSegment *segment = find(c, q, &serial);
	int r;

	if (!segment)
		return STATUS_BAD_HANDLE;
	if (p->flags & ~(WIRE_CLOSE_TELL | WIRE_CLOSE_END))
		return STATUS_BAD_REQUEST;
	if (serial && already_done(c, segment, serial))
		return 0;
	r = p->open ? engine_segment_open(segment) : engine_segment_close(segment, p->flags);
	if (r == STATUS_WRONG_STATE && manager_client_repeats(c, q->message.serial))
		return 0;
	if (r)
		return r;
	changed(c, segment, serial);
	return 0;
}

int request_segment_share(ManagerClient *c, struct request *q, struct reply *a)
{
	EngineSegment *segment = engine_segment_get(c->engine, q->message.segment_share.segment);
	int r = segment ? engine_segment_share(segment) : STATUS_BAD_HANDLE;

	if (r)
		return r;
	changed(c, segment, q->message.serial);
	return 0;
}

void manager_segment_leave(ManagerClient *c, EngineSegment *segment)
{
	uint64_t instance = segment->instance;

	engine_segment_leave(segment, false);
	segment = engine_segment_find_instance(c->manager->engine, instance);
	if (segment)
		changed(c, segment, 0);
}

/* To end everything is to destroy it. */
int request_segment_leave(ManagerClient *c, struct request *q, struct reply *a)
{
	const struct wire_segment_leave *p = &q->message.segment_leave;
	EngineSegment *segment = engine_segment_get(c->engine, p->segment);

	if (!segment)
		return STATUS_BAD_HANDLE;
	if (p->end || !(segment->offer & WIRE_OFFERED)) {
		manager_client_announce(c, WIRE_SEGMENT_DESTROY, segment->index, segment->instance);
		engine_segment_destroy(segment);
		return 0;
	}
	manager_client_announce(c, WIRE_SEGMENT_LEAVE, segment->index, segment->instance);
	manager_segment_leave(c, segment);
	return 0;
}

/* attaching */

static int attach(ManagerClient *c, const struct request *q, EngineImport **ret_import)
{
	const struct wire_segment_attach *p = &q->message.segment_attach;
	EngineImport *import;
	int r;

	/* Indices are handed out lowest first. */
	r = status_page_reserve(&c->status, c->engine->imports.n_used + 1, 0);
	if (r == 0)
		r = engine_import_attach_offer(c->engine, p->space, p->id, &import);
	if (r)
		return r;
	r = ring_reserve(&c->status, WIRE_SIDE_IMPORT, import->index);
	if (r == 0)
		r = request_import_equip(c, import, q->message.serial);
	if (r < 0) {
		engine_import_disconnect(import);
		return r;
	}
	*ret_import = import;
	return 0;
}

int request_segment_attach(ManagerClient *c, struct request *q, struct reply *a)
{
	struct wire_segment_attach_reply *p = &a->message.segment_attach_reply;
	EngineImport *import = request_import_find(c, q->message.serial);
	int r = 0;

	if (!import)
		r = attach(c, q, &import);
	if (r == 0)
		r = import->segment ? request_import_reply_memory(import, a) : STATUS_REVOKED;
	if (r) {
		if (import)
			engine_import_disconnect(import);
		return r;
	}
	p->import = import->index;
	p->generation = import->generation;
	p->instance = import->instance;
	p->size = import->segment->size;
	p->cell = import->cell;
	p->offset = manager_segment(import->segment)->offset;
	return 0;
}
