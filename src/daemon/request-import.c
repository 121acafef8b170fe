/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/request.h"

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
static int reply_memory(const EngineImport *import, struct reply *a)
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

static EngineImport *find_connected(ManagerClient *c, uint64_t serial)
{
	EngineImport *import;
	uint32_t i;

	if (manager_client_repeats(c, serial))
		idtable_for_each (&c->engine->imports, i, import)
			if (manager_import(import)->serial == serial)
				return import;
	return NULL;
}

static int import_equip(ManagerClient *c, EngineImport *import, uint64_t serial)
{
	Manager *m = c->manager;
	EngineSegment *segment = import->segment;
	struct cells *cells = &manager_segment(segment)->cells;
	ManagerImport *i;
	int r;

	/* Segments that nobody waits for have none. */
	r = cells->map ? cells_reserve(cells, import->cell) : 0;
	if (r == 0)
		r = client_page_begin_import(c->maps, import->index);
	if (r == 0)
		r = manager_import_new(import, serial, &i);
	if (r < 0)
		return r;
	if (cells->map)
		cells_clear(cells, import->cell);
	manager_import_show(import);
	/* That another user has had the memory must be known before he has it. */
	manager_segment_save(m, segment);
	return manager_import_save(m, import);
}

static int import_make(ManagerClient *c, const struct wire_import_connect *q, uint64_t serial,
	EngineImport **ret_import)
{
	EngineImport *import;
	int r;

	if (q->rights & ~(WIRE_READ | WIRE_WRITE))
		return STATUS_BAD_REQUEST;
	/* Indices are handed out lowest first. */
	r = status_page_reserve(&c->status, c->engine->imports.n_used + 1, 0);
	if (r < 0)
		return r;
	r = engine_import_connect(
		c->engine, q->space, q->controller, q->node, q->id, q->rights, &import);
	if (r)
		return r;
	r = import_equip(c, import, serial);
	if (r < 0) {
		engine_import_disconnect(import);
		return r;
	}
	*ret_import = import;
	return 0;
}

int request_import_connect(ManagerClient *c, struct request *q, struct reply *a)
{
	struct wire_import_connect_reply *p = &a->message.import_connect_reply;
	EngineImport *import = find_connected(c, q->message.serial);
	int r = 0;

	if (!import)
		r = import_make(c, &q->message.import_connect, q->message.serial, &import);
	if (r)
		return r;
	/* Revoked between the connect and its repetition: there is nothing to hand out any more. */
	r = import->segment ? reply_memory(import, a) : STATUS_REVOKED;
	if (r) {
		engine_import_disconnect(import);
		return r;
	}
	p->import = import->index;
	p->generation = import->generation;
	p->instance = import->instance;
	p->size = import->segment->size;
	p->rights = import->rights;
	p->flags = memory_flags(import);
	p->cell = import->cell;
	p->offset = manager_segment(import->segment)->offset;
	p->shmid = (uint32_t)manager_segment(import->segment)->shmid;
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
	if (!import->segment)
		return STATUS_REVOKED;
	a->message.import_memory_reply.flags = memory_flags(import);
	return reply_memory(import, a);
}
