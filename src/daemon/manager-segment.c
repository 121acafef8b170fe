/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/manager-segment.h"

#include <stdatomic.h>
#include <stdlib.h>
#include "base/cleanup.h"
#include "base/closer.h"
#include "daemon/coherent.h"
#include "daemon/data.h"
#include "daemon/shm-record.h"
#include "memory/memfd.h"

#define MEMORY_QUICK (4ull << 20) /* bytes that are freed at once */

int manager_segment_new(
	EngineSegment *segment, int *memory, uint64_t serial, ManagerSegment **ret_segment)
{
	ManagerSegment *s = malloc(sizeof(*s));

	if (!s)
		return -ENOMEM;
	*s = (ManagerSegment){.memory = take_fd(memory),
		.family = segment->instance,
		.fresh = -1,
		.shmid = -1,
		.pipe = -1,
		.cells = CELLS_NONE,
		.serial = serial,
		.slot = JOURNAL_NO_SLOT};
	segment->userdata = *ret_segment = s;
	return 0;
}

static int save(Manager *m, uint32_t kind, const void *record, size_t size, uint32_t *slot)
{
	if (*slot == JOURNAL_NO_SLOT)
		return journal_add(m->journal, kind, record, size, slot);
	journal_update(m->journal, *slot, record, size);
	return 0;
}

int manager_segment_save(Manager *m, EngineSegment *segment)
{
	ManagerSegment *s = manager_segment(segment);
	struct record_segment record = {.serial = s->serial,
		.moved = s->moved,
		.foreign = s->foreign,
		.shmid = s->shmid,
		.offset = s->offset,
		.family = s->family};

	engine_segment_save(segment, &record.engine);
	return save(m, RECORD_SEGMENT, &record, sizeof(record), &s->slot);
}

/* Nobody posts to the imports that lost their connection before there were cells. */
static void close_lost_cells(EngineSegment *segment, struct cells *cells)
{
	EngineImport *import;
	uint32_t i;

	idtable_for_each (&segment->cells, i, import)
		if (i > 0 && import->state != WIRE_IMPORT_CONNECTED)
			cells_look(cells, i, -1);
}

int manager_segment_need_cells(Manager *m, EngineSegment *segment)
{
	struct cells *cells = &manager_segment(segment)->cells, made;
	int r;

	if (cells->map)
		return cells_reserve(cells, segment->n_cells - 1);
	if (m->n_mappings >= m->max_mappings)
		return -ENOSPC;
	r = cells_new(&made);
	if (r < 0)
		return r;
	r = cells_reserve(&made, segment->n_cells - 1);
	if (r < 0) {
		cells_deinit(&made);
		return r;
	}
	close_lost_cells(segment, &made);
	*cells = made;
	m->n_mappings++;
	keeper_link_store(m->link, KEEP_CELLS, segment->instance, cells->fd);
	return 0;
}

void manager_segment_store(Manager *m, EngineSegment *segment)
{
	ManagerSegment *s = manager_segment(segment);

	keeper_link_store(m->link, KEEP_MEMORY, segment->instance, s->memory);
	keeper_link_store(m->link, KEEP_CELLS, segment->instance, s->cells.fd);
	keeper_link_store(m->link, KEEP_EXPORT_PIPE, segment->instance, s->pipe);
}

static int *cell_pipe(EngineSegment *segment, uint32_t cell)
{
	EngineImport *import;

	if (cell == 0)
		return &manager_segment(segment)->pipe;
	import = idtable_get(&segment->cells, cell);
	return import && manager_import(import) ? &manager_import(import)->pipe : NULL;
}

int manager_segment_pipe(EngineSegment *segment, uint32_t cell)
{
	int *pipe = cell_pipe(segment, cell);

	return pipe ? *pipe : -1;
}

int manager_segment_need_pipe(Manager *m, EngineSegment *segment, uint32_t cell)
{
	int *pipe = cell_pipe(segment, cell), r;

	if (*pipe >= 0)
		return 0;
	r = cell_pipe_new(pipe);
	if (r < 0)
		return r;
	if (cell == 0) {
		data_set_pipe(segment, *pipe);
		manager_segment_store(m, segment);
	} else {
		manager_import_store(m, idtable_get(&segment->cells, cell));
	}
	return 0;
}

/* Siblings: segments of one owner with the same memory. What they have in common is recorded, not
 * found in the memory: that of some may have moved already when a daemon dies. */

static bool is_sibling(const EngineSegment *a, const EngineSegment *b)
{
	return a != b && manager_segment(a) && manager_segment(b) &&
	       manager_segment(a)->family == manager_segment(b)->family;
}

#define for_each_sibling(i, sibling, segment)                                                      \
	idtable_for_each (&(segment)->owner->segments, i, sibling)                                 \
		if (is_sibling(sibling, segment))

bool manager_segment_may_move(const EngineSegment *segment)
{
	EngineSegment *sibling;
	uint32_t i;

	if (manager_segment(segment)->foreign)
		return false;
	for_each_sibling(
		i, sibling, segment) if (sibling->state == WIRE_SEGMENT_PUBLISHED) return false;
	return true;
}

bool manager_segment_has_siblings(const EngineSegment *segment)
{
	EngineSegment *sibling;
	uint32_t i;

	for_each_sibling(i, sibling, segment) return true;
	return false;
}

void manager_segment_leave_importers(Manager *m, const EngineSegment *segment)
{
	EngineSegment *sibling;
	uint32_t i;

	for_each_sibling(i, sibling, segment)
	{
		if (sibling->state != WIRE_SEGMENT_PUBLISHED)
			continue;
		sibling->handed_out = true;
		manager_segment_save(m, sibling);
	}
}

static void siblings_forget(EngineSegment *segment)
{
	EngineSegment *sibling;
	uint32_t i;

	for_each_sibling(i, sibling, segment) manager_segment(sibling)->fresh =
		fd_close(manager_segment(sibling)->fresh);
}

/* So that nothing can fail later. */
static int siblings_prepare(EngineSegment *segment, int fresh)
{
	EngineSegment *sibling;
	uint32_t i;
	int r;

	for_each_sibling(i, sibling, segment)
	{
		r = memfd_reopen(fresh, &manager_segment(sibling)->fresh);
		if (r < 0) {
			siblings_forget(segment);
			return r;
		}
	}
	return 0;
}

/* Giving many pages back takes its time, which is not the other clients'. */
static void memory_close(const EngineSegment *segment, int fd)
{
	if (segment->size > MEMORY_QUICK)
		closer_close(fd);
	else
		fd_close(fd);
}

/* The old memory stays with those who have it. The keeper has the fresh memory before the record
 * says that the segment is not published, never the other way round. */
static void segment_move(Manager *m, EngineSegment *segment, int *fresh)
{
	ManagerSegment *s = manager_segment(segment);

	keeper_link_store(m->link, KEEP_MEMORY, segment->instance, *fresh);
	memory_close(segment, s->memory);
	s->memory = take_fd(fresh);
}

static void siblings_move(Manager *m, EngineSegment *segment)
{
	EngineSegment *sibling;
	uint32_t i;

	for_each_sibling(i, sibling, segment)
		segment_move(m, sibling, &manager_segment(sibling)->fresh);
}

static int make_fresh(EngineSegment *segment, int *ret_fresh)
{
	_cleanup_close_ int fresh = -1;
	int r;

	r = memfd_new("causeway", segment->size, &fresh);
	if (r == 0)
		r = siblings_prepare(segment, fresh);
	if (r == 0)
		*ret_fresh = take_fd(&fresh);
	return r;
}

int manager_segment_unpublish(ManagerClient *c, EngineSegment *segment, uint64_t serial)
{
	ManagerSegment *s = manager_segment(segment);
	_cleanup_close_ int fresh = -1;
	bool shared;
	int r;

	/* Made before, because there is no way back after. */
	r = s->moved ? make_fresh(segment, &fresh) : 0;
	if (r < 0)
		return r;
	manager_client_announce(c, WIRE_SEGMENT_UNPUBLISH, segment->index, segment->instance);
	r = engine_segment_unpublish(segment, &shared);
	if (r) {
		siblings_forget(segment);
		return r;
	}
	if (s->moved) {
		siblings_move(c->manager, segment);
		segment_move(c->manager, segment, &fresh);
	}
	s->serial = serial;
	return manager_segment_save(c->manager, segment);
}

/* The engine's operations. An object without userdata is being made: its maker does the rest. */

void manager_segment_free(void *userdata, EngineSegment *segment)
{
	ManagerSegment *s = manager_segment(segment);
	Manager *m = userdata;

	if (!s)
		return;
	coherent_home_free(m, segment);
	shm_place_forget(m, segment);
	shm_segment_free(m, segment);
	journal_remove(m->journal, s->slot);
	keeper_link_drop(m->link, KEEP_MEMORY, segment->instance);
	if (s->cells.map) {
		keeper_link_drop(m->link, KEEP_CELLS, segment->instance);
		m->n_mappings--;
	}
	if (s->pipe >= 0)
		keeper_link_drop(m->link, KEEP_EXPORT_PIPE, segment->instance);
	cells_deinit(&s->cells);
	memory_close(segment, s->memory);
	fd_close(s->fresh);
	fd_close(s->pipe);
	segment->userdata = NULL;
	free(s);
}

void manager_segment_show_cells(EngineSegment *segment)
{
	ManagerClient *client = segment->owner->userdata;

	if (client)
		atomic_store_explicit(&client->status.map->exports[segment->index].n_cells,
			segment->n_cells, memory_order_release);
}

/* While a segment is restored without its imports yet, its exporter may be posting to them. */
void manager_segment_cells(void *userdata, EngineSegment *segment)
{
	const Manager *m = userdata;

	if (!m->restoring)
		manager_segment_show_cells(segment);
}
