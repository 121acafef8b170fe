/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/manager.h"

#include <stdatomic.h>
#include "base/cleanup.h"
#include "core/offer.h"
#include "daemon/binding.h"
#include "daemon/coherent.h"
#include "daemon/guest.h"
#include "daemon/log.h"
#include "daemon/manager-peer.h"
#include "daemon/request.h"
#include "daemon/route.h"
#include "daemon/shm-record.h"
#include "memory/memfd.h"

/*
 * What a predecessor left: records in the journal, descriptors from the keeper. A record that
 * cannot be used is removed; a descriptor that nobody takes is dropped by the caller.
 */

typedef int (*restore_one)(Manager *m, uint32_t slot, struct keeper_stored *stored);

static int restore_kind(
	Manager *m, uint32_t kind, struct keeper_stored *stored, restore_one restore)
{
	uint8_t body[JOURNAL_BODY_SIZE];
	int r;

	for (uint32_t slot = 1; slot < journal_end(m->journal); slot++) {
		if (journal_read(m->journal, slot, body, sizeof(body)) != kind)
			continue;
		r = restore(m, slot, stored);
		if (r == -EBADMSG) {
			log_warning(
				"record %u of the journal (kind %u) is dropped: it does not fit "
				"what else is known",
				slot, kind);
			journal_remove(m->journal, slot);
		} else if (r < 0) {
			return r;
		}
	}
	return 0;
}

static int restore_counters(Manager *m, uint32_t slot, struct keeper_stored *stored)
{
	struct engine_counters counters;

	journal_read(m->journal, slot, &counters, sizeof(counters));
	m->counters_slot = slot;
	return engine_counters_restore(m->engine, &counters);
}

static int restore_client(Manager *m, uint32_t slot, struct keeper_stored *stored)
{
	struct record_client record;
	int r;

	journal_read(m->journal, slot, &record, sizeof(record));
	r = manager_client_restore(m, &record, slot, stored);
	if (r == -EBADMSG)
		manager_client_drop(m, record.id);
	return r;
}

/* Groups that no client's record names were about to be used or had been. */
static int restore_groups(Manager *m, uint32_t slot, struct keeper_stored *stored)
{
	ManagerClient *c;

	list_for_each (c, &m->clients, link)
		if (c->groups_slot == slot)
			return 0;
	journal_remove(m->journal, slot);
	return 0;
}

static int restore_cells(Manager *m, EngineSegment *segment, struct keeper_stored *stored)
{
	ManagerSegment *s = manager_segment(segment);
	_cleanup_close_ int fd = keeper_stored_take(stored, KEEP_CELLS, segment->instance);
	int r;

	if (fd < 0)
		return 0;
	r = cells_open(fd, &s->cells);
	if (r < 0)
		return r;
	take_fd(&fd);
	m->n_mappings++;
	/* the data thread may have died between a signal and the wake-up */
	cells_kick(&s->cells, 0, s->pipe);
	return cells_reserve(&s->cells, segment->n_cells);
}

/* The object knows of a request that its client's record may not know of yet. */
static void note_serial(EngineClient *client, uint64_t serial)
{
	ManagerClient *c = client->userdata;

	if (!c)
		return;
	c->repeats = MAX(c->repeats, serial);
}

static int restore_segment(Manager *m, uint32_t slot, struct keeper_stored *stored)
{
	_cleanup_close_ int memory = -1;
	struct record_segment record;
	EngineSegment *segment;
	ManagerSegment *s;
	uint64_t instance;
	int r;

	journal_read(m->journal, slot, &record, sizeof(record));
	instance = record.engine.instance;
	memory = keeper_stored_take(stored, KEEP_MEMORY, instance);
	if (memory < 0)
		return -EBADMSG;
	r = engine_segment_restore(m->engine, &record.engine, &segment);
	if (r < 0) {
		keeper_link_drop(m->link, KEEP_MEMORY, instance);
		return r;
	}
	r = manager_segment_new(segment, &memory, record.serial, &s);
	if (r < 0)
		return r;
	note_serial(segment->owner, record.serial);
	s->slot = slot;
	s->moved = record.moved;
	s->foreign = record.foreign;
	s->shmid = record.shmid;
	s->offset = record.offset;
	s->family = record.family;
	s->pipe = keeper_stored_take(stored, KEEP_EXPORT_PIPE, instance);
	return restore_cells(m, segment, stored);
}

/* A segment that guests import has cells, if not from before its first guest then from now on. */
static int restore_guests_import(
	Manager *m, EngineImport *import, const struct record_import *record)
{
	bool needs = import->holding && import->holding->space != WIRE_SPACE_CLSHM;
	int r = needs ? manager_segment_need_cells(m, import->holding) : 0;

	return r < 0 ? r : guest_restore_import(m, import, record->key);
}

static int restore_remote_import(Manager *m, EngineImport *import,
	const struct record_import *record, struct keeper_stored *stored)
{
	_cleanup_close_ int cells = keeper_stored_take(
		stored, KEEP_IMPORT_CELLS, keep_import_key(import->client->id, import->index));
	int r = manager_import_restore_cells(m, import, &cells);

	return r < 0 || !import_has_route(import) ? r : route_restore_import(import, record->route);
}

/* What an import of this node's client has there. */
static int restore_clients_import(Manager *m, EngineImport *import,
	const struct record_import *record, struct keeper_stored *stored)
{
	ManagerClient *c = import->client->userdata;
	int r;

	manager_import(import)->pipe = keeper_stored_take(
		stored, KEEP_IMPORT_PIPE, keep_import_key(import->client->id, import->index));
	note_serial(import->client, record->serial);
	r = status_page_reserve(&c->status, import->index + 1, 0);
	if (r == 0 && import_is_remote(import))
		r = restore_remote_import(m, import, record, stored);
	return r;
}

static int restore_import(Manager *m, uint32_t slot, struct keeper_stored *stored)
{
	struct record_import record;
	EngineImport *import;
	ManagerImport *i;
	int r;

	journal_read(m->journal, slot, &record, sizeof(record));
	r = engine_import_restore(m->engine, &record.engine, &import);
	if (r == 0)
		r = manager_import_new(import, record.serial, &i);
	if (r < 0)
		return r;
	i->slot = slot;
	if (import->holding && manager_segment(import->holding)->cells.map)
		r = cells_reserve(&manager_segment(import->holding)->cells, import->cell);
	if (r == 0)
		r = import_is_guest(import) ? restore_guests_import(m, import, &record)
					    : restore_clients_import(m, import, &record, stored);
	if (r < 0)
		return r;
	i->coherent_before = record.coherent;
	/* The predecessor may have died between the engine's decision and this. */
	manager_import_save(m, import);
	manager_import_show(import);
	return 0;
}

/* What was announced and perhaps not carried out, or not to its end. */
static int finish_ending(ManagerClient *c)
{
	const struct record_ending *e = &c->ending;
	EngineSegment *segment;
	EngineImport *import;

	if (e->type == WIRE_SEGMENT_DESTROY) {
		segment = engine_segment_get(c->engine, e->index);
		if (segment && segment->instance == e->number)
			engine_segment_destroy(segment);
	} else if (e->type == WIRE_SEGMENT_LEAVE) {
		segment = engine_segment_get(c->engine, e->index);
		if (segment && segment->instance == e->number)
			manager_segment_leave(c, segment);
	} else if (e->type == WIRE_SEGMENT_UNPUBLISH) {
		segment = engine_segment_get(c->engine, e->index);
		if (segment && segment->instance == e->number &&
			segment->state == WIRE_SEGMENT_PUBLISHED &&
			manager_segment(segment)->serial < c->serial)
			return manager_segment_unpublish(c, segment, c->serial);
	} else if (e->type == WIRE_IMPORT_DISCONNECT) {
		import = engine_import_get(c->engine, e->index);
		if (import && import->generation == e->number &&
			manager_import(import)->serial < c->serial)
			engine_import_disconnect(import);
	} else if (e->type == WIRE_IMPORT_RESULT) {
		import = engine_import_get(c->engine, e->index);
		if (import && import->generation == e->number >> 32)
			engine_import_disconnect(import);
	}
	return 0;
}

/*
 * Indices that are free now must not begin with the same generations again; their words tell which
 * there have been. The predecessor may also have shown an import and died before it wrote the
 * record.
 */
static int restore_free_indices(ManagerClient *c)
{
	for (uint32_t i = 0; i < c->status.n_imports; i++) {
		_Atomic uint64_t *at = &c->status.map->imports[i];
		uint64_t word = atomic_load(at);
		uint32_t generation = (uint32_t)(word >> 32);
		int r;

		if (!generation || engine_import_get(c->engine, i))
			continue;
		r = engine_generation_restore(c->engine, i, generation);
		if (r < 0)
			return r;
		atomic_store(at, WIRE_IMPORT_WORD(generation, WIRE_IMPORT_FREE));
	}
	return 0;
}

int manager_restore(Manager *m, struct keeper_stored *stored)
{
	static const struct {
		enum record_kind kind;
		restore_one restore;
	} order[] = {
		{RECORD_COUNTERS, restore_counters},
		{RECORD_PEER, manager_peer_restore},
		{RECORD_CLIENT, restore_client},
		{RECORD_GROUPS, restore_groups},
		{RECORD_GUEST, guest_restore},
		{RECORD_SHM_NODE, shm_restore_node},
		{RECORD_ESTATE, shm_restore_estate},
		{RECORD_SEGMENT, restore_segment},
		{RECORD_SHM_KEY, shm_restore_key},
		{RECORD_SHM, shm_restore_segment},
		{RECORD_ROUTE, route_restore},
		{RECORD_IMPORT, restore_import},
		{RECORD_COHERENT, coherent_restore},
		{RECORD_BINDING, binding_restore},
	};
	EngineSegment *segment = NULL;
	ManagerClient *c;
	int r;

	m->restoring = true;
	for (size_t i = 0; i < ELEMENTS(order); i++) {
		r = restore_kind(m, order[i].kind, stored, order[i].restore);
		if (r < 0)
			return r;
	}
	r = coherent_restored(m, stored);
	if (r < 0)
		return r;
	m->restoring = false;
	while ((segment = engine_segment_next(m->engine, segment ? segment->instance : 0)))
		manager_segment_show_cells(segment);
	list_for_each (c, &m->clients, link) {
		r = finish_ending(c);
		if (r == 0)
			r = restore_free_indices(c);
		if (r < 0)
			return r;
	}
	guests_drop_orphans(m);
	engine_offers_settle(m->engine);
	shm_restored(m);
	routes_restored(m);
	return 0;
}
