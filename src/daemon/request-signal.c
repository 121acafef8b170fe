/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/request.h"

#include <stdatomic.h>
#include "daemon/guest.h"
#include "memory/memfd.h"
#include "wire/status.h"

/* Cells and pipes. */

/* Whose cells the asker means, and which is its own. */
struct place {
	EngineSegment *segment; /* NULL: the import is of another node, and has cells of its own */
	EngineImport *import;	/* NULL: the exporter */
	uint32_t cell;
};

/* A revoked import still has its cell: signals from before may be in it. */
static int find_place(ManagerClient *c, uint32_t side, uint32_t index, struct place *ret_place)
{
	struct place p = {0};

	if (side == WIRE_SIDE_EXPORT) {
		p.segment = engine_segment_get(c->engine, index);
		if (!p.segment)
			return STATUS_BAD_HANDLE;
		*ret_place = p;
		return 0;
	}
	if (side != WIRE_SIDE_IMPORT)
		return STATUS_BAD_REQUEST;
	p.import = engine_import_get(c->engine, index);
	if (!p.import)
		return STATUS_BAD_HANDLE;
	p.segment = p.import->holding;
	p.cell = import_is_remote(p.import) ? IMPORT_OWN_CELL : p.import->cell;
	if (!p.segment && !import_is_remote(p.import))
		return STATUS_REVOKED;
	*ret_place = p;
	return 0;
}

static int need_cells(Manager *m, const struct place *p)
{
	return p->segment ? manager_segment_need_cells(m, p->segment)
			  : manager_import_need_cells(m, p->import);
}

static const struct cells *cells_at(const struct place *p)
{
	return p->segment ? &manager_segment(p->segment)->cells : &manager_import(p->import)->cells;
}

static int need_pipe(Manager *m, const struct place *p)
{
	return p->segment ? manager_segment_need_pipe(m, p->segment, p->cell)
			  : manager_import_need_pipe(m, p->import);
}

static int own_pipe(const struct place *p)
{
	return p->segment ? manager_segment_pipe(p->segment, p->cell)
			  : manager_import(p->import)->pipe;
}

int request_cells(ManagerClient *c, struct request *q, struct reply *a)
{
	struct place p;
	int fd, r;

	r = find_place(c, q->message.cells.side, q->message.cells.index, &p);
	if (r == 0)
		r = need_cells(c->manager, &p);
	if (r == 0)
		r = memfd_reopen(cells_at(&p)->fd, &fd);
	if (r)
		return r;
	reply_add_fd(a, fd);
	a->message.cells_reply.cell = p.cell;
	return 0;
}

int request_pipe(ManagerClient *c, struct request *q, struct reply *a)
{
	struct wire_cell *own;
	struct place p;
	int fd, r;

	r = find_place(c, q->message.pipe.side, q->message.pipe.index, &p);
	if (r == 0)
		r = need_cells(c->manager, &p);
	if (r == 0)
		r = need_pipe(c->manager, &p);
	if (r)
		return r;
	r = cell_pipe_reader(own_pipe(&p), &fd);
	if (r < 0)
		return r;
	reply_add_fd(a, fd);
	/* From here on posters ask us; who was faster is in the count. */
	own = &cells_at(&p)->map[p.cell];
	atomic_store(&own->has_pipe, WIRE_CELL_PIPE);
	if (atomic_load(&own->word) != 0)
		cell_pipe_fill(own_pipe(&p));
	return 0;
}

/* Its owner emptied the pipe just when the byte came that tells of the end; or, of another node's
 * segment, when one came that tells of a signal. */
static void refill_own(const EngineImport *import)
{
	ManagerImport *i = manager_import(import);

	if (i->pipe >= 0)
		cell_pipe_fill(i->pipe);
}

static void poke_cell(Manager *m, EngineSegment *segment, uint32_t cell)
{
	EngineImport *import = cell ? idtable_get(&segment->cells, cell) : NULL;
	int pipe = manager_segment_pipe(segment, cell);

	if (import && import_is_guest(import))
		guest_signal(m, import);
	else if (pipe >= 0)
		cell_pipe_fill(pipe);
}

int request_poke(ManagerClient *c, struct request *q, struct reply *a)
{
	const struct wire_poke *poke = &q->message.poke;
	struct place p;
	int r;

	r = find_place(c, poke->side, poke->index, &p);
	if (r == STATUS_REVOKED || (r == 0 && !p.segment))
		refill_own(engine_import_get(c->engine, poke->index));
	else if (r)
		return r;
	else
		poke_cell(c->manager, p.segment, poke->cell);
	return 0;
}
