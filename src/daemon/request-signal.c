/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/request.h"

#include <stdatomic.h>
#include "memory/memfd.h"
#include "wire/status.h"

/* Cells and pipes. */

/* The segment of the asker's export or import, and the cell that is its own. A revoked import still
 * has its cell: signals from before may be in it. */
static int find_side(ManagerClient *c, uint32_t side, uint32_t index, EngineSegment **ret_segment,
	uint32_t *ret_cell)
{
	EngineSegment *segment;
	EngineImport *import;

	if (side == WIRE_SIDE_EXPORT) {
		segment = engine_segment_get(c->engine, index);
		if (!segment)
			return STATUS_BAD_HANDLE;
		*ret_segment = segment;
		*ret_cell = 0;
		return 0;
	}
	if (side != WIRE_SIDE_IMPORT)
		return STATUS_BAD_REQUEST;
	import = engine_import_get(c->engine, index);
	if (!import)
		return STATUS_BAD_HANDLE;
	if (!import->holding)
		return STATUS_REVOKED;
	*ret_segment = import->holding;
	*ret_cell = import->cell;
	return 0;
}

int request_cells(ManagerClient *c, struct request *q, struct reply *a)
{
	EngineSegment *segment;
	uint32_t cell;
	int fd, r;

	r = find_side(c, q->message.cells.side, q->message.cells.index, &segment, &cell);
	if (r == 0)
		r = manager_segment_need_cells(c->manager, segment);
	if (r == 0)
		r = memfd_reopen(manager_segment(segment)->cells.fd, &fd);
	if (r)
		return r;
	reply_add_fd(a, fd);
	a->message.cells_reply.cell = cell;
	return 0;
}

int request_pipe(ManagerClient *c, struct request *q, struct reply *a)
{
	EngineSegment *segment;
	struct wire_cell *own;
	uint32_t cell;
	int fd, r, writer;

	r = find_side(c, q->message.pipe.side, q->message.pipe.index, &segment, &cell);
	if (r == 0)
		r = manager_segment_need_cells(c->manager, segment);
	if (r == 0)
		r = manager_segment_need_pipe(c->manager, segment, cell);
	if (r)
		return r;
	writer = manager_segment_pipe(segment, cell);
	r = cell_pipe_reader(writer, &fd);
	if (r < 0)
		return r;
	reply_add_fd(a, fd);
	/* From here on posters ask us; who was faster is in the count. */
	own = &manager_segment(segment)->cells.map[cell];
	atomic_store(&own->has_pipe, 1);
	if (atomic_load(&own->word) != 0)
		cell_pipe_fill(writer);
	return 0;
}

/* Its owner emptied the pipe just when the byte came that tells of the end. */
static int refill_revoked(EngineImport *import)
{
	ManagerImport *i = manager_import(import);

	if (i->pipe >= 0)
		cell_pipe_fill(i->pipe);
	return 0;
}

int request_poke(ManagerClient *c, struct request *q, struct reply *a)
{
	const struct wire_poke *p = &q->message.poke;
	EngineSegment *segment;
	uint32_t own;
	int r, pipe;

	r = find_side(c, p->side, p->index, &segment, &own);
	if (r == STATUS_REVOKED)
		return refill_revoked(engine_import_get(c->engine, p->index));
	if (r)
		return r;
	pipe = manager_segment_pipe(segment, p->cell);
	if (pipe >= 0)
		cell_pipe_fill(pipe);
	return 0;
}
