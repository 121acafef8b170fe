/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/request.h"

#include <string.h>
#include "daemon/manager-offer.h"
#include "daemon/rings.h"
#include "daemon/coherent.h"
#include "daemon/route.h"
#include "daemon/shm.h"
#include "memory/memfd.h"
#include "wire/status.h"

/* Imports: connect, disconnect, and the memory between. */

static bool is_foreign_endian(const EngineSegment *segment)
{
	bool big = segment->flags & WIRE_SEGMENT_BIG_ENDIAN;

	return big != (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__);
}

static uint32_t memory_flags(const EngineImport *import)
{
	uint32_t flags = import->rights & WIRE_WRITE ? 0 : WIRE_IMPORT_READONLY;

	if (is_foreign_endian(import->segment))
		flags |= WIRE_IMPORT_FOREIGN_ENDIAN;
	return manager_segment(import->segment)->shmid < 0 ? flags : flags | WIRE_IMPORT_SYSV;
}

/* A connection without rights gets no memory. The kernel knows no memory that can only be written:
 * who may only write gets what can be read as well. */
int request_import_reply_memory(const EngineImport *import, struct reply *a)
{
	int memory = manager_segment(import->segment)->memory, fd, r;

	if (!(import->rights & (WIRE_READ | WIRE_WRITE)))
		return 0;
	if (memory_flags(import) & WIRE_IMPORT_READONLY)
		r = memfd_reopen_readonly(memory, &fd);
	else
		r = memfd_reopen(memory, &fd);
	if (r == 0)
		reply_add_fd(a, fd);
	return r;
}

EngineImport *request_import_find(ManagerClient *c, uint64_t serial)
{
	EngineImport *import;
	uint32_t i;

	if (manager_client_repeats(c, serial))
		idtable_for_each (&c->engine->imports, i, import)
			if (manager_import(import)->serial == serial)
				return import;
	return NULL;
}

static int equip_local(ManagerClient *c, EngineImport *import)
{
	EngineSegment *segment = import->segment;
	struct cells *cells = &manager_segment(segment)->cells;
	int r;

	/* Segments that nobody waits for have none. */
	r = cells->map ? cells_reserve(cells, import->cell) : 0;
	if (r < 0)
		return r;
	if (cells->map)
		cells_clear(cells, import->cell);
	/* That another user has had the memory must be known before he has it. */
	return manager_segment_save(c->manager, segment);
}

int request_import_equip(ManagerClient *c, EngineImport *import, uint64_t serial)
{
	ManagerImport *i;
	int r;

	r = client_page_begin_import(c->maps, import->index);
	if (r == 0 && space_has_offers(import->segment ? import->segment->space : import->space))
		r = note_reserve(&c->status, import->index);
	if (r == 0)
		r = manager_import_new(import, serial, &i);
	if (r == 0 && import_has_route(import))
		r = route_attach(import);
	else if (r == 0 && !import_is_remote(import))
		r = equip_local(c, import);
	if (r < 0)
		return r;
	coherent_import_begin(c->manager, import);
	manager_import_show(import);
	return manager_import_save(c->manager, import);
}

int request_import_reserve(ManagerClient *c)
{
	/* Indices are handed out lowest first. */
	return status_page_reserve(&c->status, c->engine->imports.n_used + 1, 0);
}

int request_import_begin(ManagerClient *c, EngineImport *import, uint64_t serial)
{
	int r = request_import_equip(c, import, serial);

	if (r < 0) {
		engine_import_disconnect(import);
		return r;
	}
	engine_import_announce(import);
	return 0;
}

static int import_make(ManagerClient *c, const struct wire_import_connect *q, uint64_t serial,
	EngineImport **ret_import)
{
	EngineImport *import;
	int r;

	if (q->rights & ~(WIRE_READ | WIRE_WRITE))
		return STATUS_BAD_REQUEST;
	r = request_import_reserve(c);
	if (r < 0)
		return r;
	r = engine_import_connect(
		c->engine, q->space, q->controller, q->node, q->id, q->rights, &import);
	if (r == 0)
		r = request_import_begin(c, import, serial);
	if (r == 0)
		*ret_import = import;
	return r;
}

static uint32_t route_number(const EngineImport *import)
{
	return import_has_route(import) ? 1 + manager_import(import)->route->index : 0;
}

/* IMPORT_RESULT tells the rest, also if there is something to tell already. */
static void reply_pending(const EngineImport *import, struct wire_import_connect_reply *p)
{
	p->import = import->index;
	p->generation = import->generation;
	p->rights = import->rights;
	p->state = WIRE_IMPORT_PENDING;
	p->route = route_number(import);
}

static int reply_connected(const EngineImport *import, struct reply *a)
{
	struct wire_import_connect_reply *p = &a->message.import_connect_reply;
	int r;

	/* Revoked between the connect and its repetition: there is nothing to hand out any more. */
	r = import->segment ? request_import_reply_memory(import, a) : STATUS_REVOKED;
	if (r)
		return r;
	p->import = import->index;
	p->generation = import->generation;
	p->instance = import->instance;
	p->size = import->segment->size;
	p->rights = import->rights;
	p->flags = memory_flags(import);
	p->cell = p->home_cell = import->cell;
	p->offset = manager_segment(import->segment)->offset;
	p->shmid = (uint32_t)manager_segment(import->segment)->shmid;
	p->state = WIRE_IMPORT_CONNECTED;
	return 0;
}

int request_import_reply(EngineImport *import, struct reply *a)
{
	int r;

	if (import_is_remote(import)) {
		reply_pending(import, &a->message.import_connect_reply);
		return 0;
	}
	r = reply_connected(import, a);
	if (r)
		engine_import_disconnect(import);
	else
		engine_shm_attached(import, shm_now());
	return r;
}

int request_import_connect(ManagerClient *c, struct request *q, struct reply *a)
{
	EngineImport *import = request_import_find(c, q->message.serial);
	int r = 0;

	if (!import)
		r = import_make(c, &q->message.import_connect, q->message.serial, &import);
	return r ? r : request_import_reply(import, a);
}

/* A failed one ends with the answer. What it was is in the record, for a successor that is asked
 * again. */
static int end_failed(ManagerClient *c, EngineImport *import)
{
	uint32_t failure = import->failure;

	manager_client_announce(c, WIRE_IMPORT_RESULT, import->index,
		WIRE_IMPORT_WORD(import->generation, failure));
	engine_import_disconnect(import);
	return (int)failure;
}

static bool failed_before(const ManagerClient *c, const struct request *q)
{
	return manager_client_repeats(c, q->message.serial) &&
	       c->ending.type == WIRE_IMPORT_RESULT &&
	       c->ending.index == q->message.import_result.import;
}

int request_import_result(ManagerClient *c, struct request *q, struct reply *a)
{
	struct wire_import_result_reply *p = &a->message.import_result_reply;
	EngineImport *import = engine_import_get(c->engine, q->message.import_result.import);

	if (!import && failed_before(c, q))
		return (int)(uint32_t)c->ending.number;
	if (!import || !import_is_remote(import))
		return STATUS_BAD_HANDLE;
	if (import->state == WIRE_IMPORT_PENDING)
		return STATUS_WRONG_STATE;
	if (import->state == WIRE_IMPORT_FAILED)
		return end_failed(c, import);
	p->import = import->index;
	p->generation = import->generation;
	p->instance = import->instance;
	p->size = import->size;
	p->rights = import->rights;
	p->flags = import->flags;
	p->cell = IMPORT_OWN_CELL;
	p->home_cell = import->home_cell;
	p->route = route_number(import);
	p->incarnation = import->incarnation;
	memcpy(p->key, import->key, sizeof(p->key));
	return 0;
}

int request_import_disconnect(ManagerClient *c, struct request *q, struct reply *a)
{
	EngineImport *import = engine_import_get(c->engine, q->message.import_disconnect.import);

	if (!import)
		return STATUS_BAD_HANDLE;
	manager_client_announce(c, WIRE_IMPORT_DISCONNECT, import->index, import->generation);
	engine_import_disconnect(import);
	return 0;
}

int request_import_memory(ManagerClient *c, struct request *q, struct reply *a)
{
	EngineImport *import = engine_import_get(c->engine, q->message.import_memory.import);

	if (!import)
		return STATUS_BAD_HANDLE;
	if (import_is_remote(import))
		return request_remote_memory(c, import, q->message.serial, a);
	if (!import->segment)
		return STATUS_REVOKED;
	a->message.import_memory_reply.flags = memory_flags(import);
	return request_import_reply_memory(import, a);
}
