/* SPDX-License-Identifier: Apache-2.0 */
#include "client/signal.h"

#include <linux/futex.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "client/export.h"
#include "client/import.h"
#include "wire/status.h"

#define SPIN_NS (20 * NSEC_PER_USEC)
#define SLICE_NS NSEC_PER_SEC /* a sleeper looks this often whether the node is still there */

/* One side of a segment, export or import, for as long as one call lasts. */
struct side {
	struct cw_export *export;
	struct cw_import *import;
	struct cw_link *link;
	struct wire_cell *cells;
	uint32_t own;
};

/* --- cells -------------------------------------------------------------------------------------------- */

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
	r = cw_link_call(link, &m, NULL, 0, reply);
	if (r)
		return r;
	if (reply->n_fds != 1 || reply->message.cells_reply.cell >= WIRE_CELLS_MAX) {
		fd_close(reply->n_fds ? reply->fds[0] : -1);
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

void cw_cells_unmap(struct cw_cells *cells)
{
	if (cells->cells)
		munmap(cells->cells, WIRE_CELLS_SIZE);
	cells->cells = NULL;
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

/* --- taking hold of one side ------------------------------------------------------------------------- */

static int open_export(struct side *s)
{
	struct cw_export *e = s->export;
	int r;

	if (e->forked)
		return STATUS_FORKED;
	pthread_mutex_lock(&e->lock);
	r = e->closed ? STATUS_BAD_HANDLE :
			cw_cells_map(&e->cells, e->link, WIRE_SIDE_EXPORT, e->index);
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

static void side_close(struct side *s)
{
	cw_export_put(s->export);
	cw_import_put(s->import);
}

static int side_open(cw_handle handle, struct side *s)
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

/* Is there still something to wait or post for? */
static int side_state(const struct side *s)
{
	if (s->export && s->export->closed)
		return STATUS_BAD_HANDLE;
	if (cw_link_suspect(s->link) && cw_link_is_lost(s->link))
		return STATUS_NODE_LOST;
	/* the handle ends before the daemon hears of it: in this order the two cannot be mistaken */
	if (s->import && !cw_import_connected(s->import))
		return s->import->handle ? STATUS_REVOKED : STATUS_BAD_HANDLE;
	if (s->import && !s->import->handle)
		return STATUS_BAD_HANDLE;
	return 0;
}

/* --- posting -------------------------------------------------------------------------------------------- */

static void poke(const struct side *s, uint32_t cell)
{
	struct wire_message m = {.type = WIRE_POKE};

	m.poke.side = s->export ? WIRE_SIDE_EXPORT : WIRE_SIDE_IMPORT;
	m.poke.index = s->export ? s->export->index : s->import->index;
	m.poke.cell = cell;
	(void)cw_link_post(s->link, &m);
}

static void post_cell(const struct side *s, uint32_t index, bool accumulate)
{
	struct wire_cell *c = &s->cells[index];
	uint32_t w = atomic_load(&c->word);

	do {
		uint32_t count = w & WIRE_CELL_COUNT;

		if (count == WIRE_CELL_COUNT || (count && !accumulate))
			return;
	} while (!atomic_compare_exchange_weak(&c->word, &w, w + 1));
	if (atomic_load(&c->sleepers))
		wake(&c->word, 1);
	if (unlikely(atomic_load(&c->has_pipe)) && !(w & WIRE_CELL_COUNT))
		poke(s, index);
}

/* The importers' cells that may be in use; more than there are is harmless, but not beyond the map. */
static uint32_t n_cells(const struct cw_export *export)
{
	uint32_t n = atomic_load_explicit(
		&export->link->status_page->exports[export->index].n_cells, memory_order_acquire);

	return MIN(n, WIRE_CELLS_MAX);
}

int cw_signal_post(cw_handle handle, bool accumulate)
{
	struct side s;
	int r = side_open(handle, &s);

	if (r)
		return r;
	r = side_state(&s);
	if (!r && s.import)
		post_cell(&s, 0, accumulate);
	else if (!r)
		for (uint32_t i = 1, n = n_cells(s.export); i < n; i++)
			post_cell(&s, i, accumulate);
	side_close(&s);
	return r;
}

/* --- waiting -------------------------------------------------------------------------------------------- */

static bool may_spin(void)
{
	static _Atomic int cpus;
	cpu_set_t set;

	if (!cpus)
		cpus = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;
	return cpus > 1;
}

static bool take_signal(struct wire_cell *c)
{
	uint32_t w = atomic_load(&c->word);

	while (w & WIRE_CELL_COUNT)
		if (atomic_compare_exchange_weak(&c->word, &w, w - 1))
			return true;
	return false;
}

/*
 * Sleeps until the cell's word is not w, or for a slice of the time. Posters, the daemon and whoever
 * ends the handle wake us; only the loss of the whole node must be looked for. The wait always has a
 * timeout: without one the kernel would restart it behind a handler that was set with SA_RESTART.
 */
static int sleep_on(struct wire_cell *c, uint32_t w, uint64_t end)
{
	uint64_t now = clock_now();
	struct timespec ts = clock_timespec(now >= end ? 0 : MIN(end - now, SLICE_NS));
	int r = 0;

	atomic_fetch_add(&c->sleepers, 1);
	if (syscall(SYS_futex, &c->word, FUTEX_WAIT, w, &ts, NULL, 0) < 0)
		r = negative_errno();
	atomic_fetch_sub(&c->sleepers, 1);
	return r == -ETIMEDOUT && clock_now() < end ? 0 : r;
}

static int wait_side(const struct side *s, uint64_t timeout_ns)
{
	struct wire_cell *c = &s->cells[s->own];
	uint64_t now = timeout_ns ? clock_now() : 0, end, spin_end;

	if (__builtin_add_overflow(now, timeout_ns, &end))
		end = UINT64_MAX;
	spin_end = may_spin() ? now + SPIN_NS : 0;
	for (;;) {
		uint32_t w = atomic_load(&c->word);
		int r;

		if (take_signal(c))
			return 0;
		r = side_state(s);
		if (r)
			return r;
		if (!timeout_ns)
			return STATUS_TIMED_OUT;
		if (clock_now() < spin_end) {
			for (int i = 0; i < 50 && atomic_load_explicit(&c->word, memory_order_relaxed) == w; i++)
				cpu_relax();
			continue;
		}
		r = sleep_on(c, w, end);
		if (r == -EINTR)
			return take_signal(c) ? 0 : STATUS_INTERRUPTED;
		if (r == -ETIMEDOUT)
			return take_signal(c) ? 0 : STATUS_TIMED_OUT;
		if (r < 0 && r != -EAGAIN)
			return r;
	}
}

int cw_signal_wait(cw_handle handle, uint64_t timeout_ns)
{
	struct side s;
	int r = side_open(handle, &s);

	if (r)
		return r;
	r = wait_side(&s, timeout_ns);
	side_close(&s);
	return r;
}
