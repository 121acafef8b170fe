/* SPDX-License-Identifier: Apache-2.0 */
#include "client/side.h"

#include <linux/futex.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "client/pollfd.h"
#include "wire/status.h"

/* cells */

int cw_cells_map(struct cw_cells *cells, struct cw_link *link, uint32_t side, uint32_t index)
{
	struct wire_message m = {.type = WIRE_CELLS};
	_cleanup_free_ struct cw_reply *reply = NULL;
	void *p;
	int r;

	if (cells->cells)
		return 0;
	reply = malloc(sizeof(*reply));
	if (!reply)
		return -ENOMEM;
	m.cells.side = side;
	m.cells.index = index;
	r = cw_link_call_for_fd(link, &m, reply);
	if (r)
		return r;
	if (reply->message.cells_reply.cell >= WIRE_CELLS_MAX) {
		fd_close(reply->fds[0]);
		return STATUS_VERSION;
	}
	p = mmap(NULL, WIRE_CELLS_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, reply->fds[0], 0);
	fd_close(reply->fds[0]);
	if (p == MAP_FAILED)
		return STATUS_NO_RESOURCES;
	cells->own = reply->message.cells_reply.cell;
	cells->cells = p;
	return 0;
}

/* The pipe, if there is one, stays: it is closed with its last reference, or its owner. */
void cw_cells_unmap(struct cw_cells *cells)
{
	if (cells->cells)
		munmap(cells->cells, WIRE_CELLS_SIZE);
	cells->cells = NULL;
}

/* The same addresses, because a handler may have forked that interrupts a wait. */
void cw_cells_fork_child(struct cw_cells *cells)
{
	if (cells->cells)
		(void)mmap(cells->cells, WIRE_CELLS_SIZE, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
}

static void wake(const _Atomic uint32_t *word, int n)
{
	syscall(SYS_futex, word, FUTEX_WAKE, n, NULL, NULL, 0);
}

void cw_cells_look(struct cw_cells *cells)
{
	if (!cells->cells)
		return;
	atomic_fetch_or(&cells->cells[cells->own].word, WIRE_CELL_LOOK);
	wake(&cells->cells[cells->own].word, INT32_MAX);
}

/* taking hold of one side */

static int open_export(struct side *s)
{
	struct cw_export *e = s->export;
	int r;

	if (e->forked)
		return STATUS_FORKED;
	pthread_mutex_lock(&e->lock);
	r = e->closed ? STATUS_BAD_HANDLE
		      : cw_cells_map(&e->cells, e->link, WIRE_SIDE_EXPORT, e->index);
	pthread_mutex_unlock(&e->lock);
	s->link = e->link;
	s->cells = e->cells.cells;
	s->own = 0;
	return r;
}

static int open_import(struct side *s)
{
	struct cw_import *i = s->import;
	int r = 0;

	if (i->forked)
		r = cw_import_check(i);
	pthread_mutex_lock(&i->lock);
	if (!r && !i->handle)
		r = STATUS_BAD_HANDLE;
	if (!r && !i->cells.cells) {
		r = cw_cells_map(&i->cells, i->link, WIRE_SIDE_IMPORT, i->index);
		if (r == STATUS_WRONG_STATE || r == STATUS_BAD_HANDLE)
			r = STATUS_REVOKED;
	}
	pthread_mutex_unlock(&i->lock);
	s->link = i->link;
	s->cells = i->cells.cells;
	s->own = i->cells.own;
	return r;
}

void side_close(struct side *s)
{
	cw_export_put(s->export);
	cw_import_put(s->import);
}

int side_open(cw_handle handle, struct side *s)
{
	int r;

	*s = (struct side){0};
	s->export = cw_export_ref(handle);
	if (!s->export)
		s->import = cw_import_ref(handle);
	if (!s->export && !s->import)
		return STATUS_BAD_HANDLE;
	r = s->export ? open_export(s) : open_import(s);
	if (r)
		side_close(s);
	return r;
}

int side_state(const struct side *s)
{
	if (s->export && s->export->closed)
		return STATUS_BAD_HANDLE;
	if (cw_link_suspect(s->link) && cw_link_is_lost(s->link))
		return STATUS_NODE_LOST;
	/* the handle ends before the daemon hears of it: in this order the two cannot be mistaken
	 */
	if (s->import && !cw_import_connected(s->import))
		return s->import->handle ? cw_import_reason(s->import) : STATUS_BAD_HANDLE;
	if (s->import && !s->import->handle)
		return STATUS_BAD_HANDLE;
	return 0;
}

/* signals and pipes */

bool side_take(const struct side *s)
{
	struct wire_cell *c = &s->cells[s->own];
	uint32_t w = atomic_load(&c->word);

	while (w & WIRE_CELL_COUNT)
		if (atomic_compare_exchange_weak(&c->word, &w, w - 1))
			return true;
	return false;
}

void side_poke(const struct side *s, uint32_t cell)
{
	struct wire_message m = {.type = WIRE_POKE};

	m.poke.side = s->export ? WIRE_SIDE_EXPORT : WIRE_SIDE_IMPORT;
	m.poke.index = s->export ? s->export->index : s->import->index;
	m.poke.cell = cell;
	(void)cw_link_post(s->link, &m);
}

void side_flush(const struct side *s)
{
	struct wire_message m = {.type = WIRE_PING};
	_cleanup_free_ struct cw_reply *reply = malloc(sizeof(*reply));

	if (reply)
		(void)cw_link_call(s->link, &m, NULL, 0, reply);
}
