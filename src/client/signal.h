/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLIENT_SIGNAL_H
#define CLIENT_SIGNAL_H

/*
 * Signals through the cells of a segment (wire/shared.h). Importers post to cell 0, the exporter to
 * all others; everybody waits on his own. The cells of a segment are mapped at the first post or
 * wait of each side.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include "client/handle.h"
#include "client/link.h"

struct cw_cells {
	struct wire_cell *cells; /* NULL: not mapped yet; all WIRE_CELLS_MAX of them */
	uint32_t own;		 /* index of the cell to wait on */
	uint32_t pollfd_refs;	 /* under the owner's lock, as all of this */
	_Atomic int pipe;	 /* readable while a signal is pending; CW_NO_PIPE */
};

#define CW_NO_PIPE -1

/* Maps the cells of a segment or import; under the owner's lock. */
int cw_cells_map(struct cw_cells *cells, struct cw_link *link, uint32_t side, uint32_t index);
void cw_cells_unmap(struct cw_cells *cells);
/* Makes whoever sleeps on our own cell look at the state of things. */
void cw_cells_look(struct cw_cells *cells);

/* Posts to the exporter or to all importers. accumulate false: not where one is pending already.
 * STATUS_BAD_HANDLE, STATUS_REVOKED, STATUS_NODE_LOST, STATUS_FORKED, STATUS_NO_RESOURCES … */
CW_EXPORT int cw_signal_post(cw_handle handle, bool accumulate);

/* Where an export or import gets its signals, good as long as somebody has a reference to it. Who
 * sleeps on its word counts himself in sleepers. STATUS_BAD_HANDLE, STATUS_FORKED … */
CW_EXPORT int cw_signal_cell(cw_handle handle, struct wire_cell **ret_cell);

/*
 * Takes one signal, waiting up to timeout_ns (UINT64_MAX: for ever, 0: not at all). Also
 * STATUS_TIMED_OUT, STATUS_INTERRUPTED (a signal handler ran); STATUS_REVOKED ends the wait of an
 * importer whose exporter is gone, once nothing is pending.
 */
CW_EXPORT int cw_signal_wait(cw_handle handle, uint64_t timeout_ns);

#endif
