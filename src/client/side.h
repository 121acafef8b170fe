/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLIENT_SIDE_H
#define CLIENT_SIDE_H

/*
 * One side of a segment, export or import, for as long as one call that posts or waits lasts: what
 * signal.c and pollfd.c have in common. Private to the client library.
 */

#include "client/export.h"
#include "client/import.h"

struct side {
	struct cw_export *export;
	struct cw_import *import;
	struct cw_link *link;
	struct wire_cell *cells;
	uint32_t own;
};

/* With a reference to the object and its cells mapped. STATUS_BAD_HANDLE, STATUS_FORKED, … */
int side_open(cw_handle handle, struct side *s);
void side_close(struct side *s);

/* Is there still something to wait or post for? 0, STATUS_BAD_HANDLE, STATUS_REVOKED,
 * STATUS_NODE_LOST */
int side_state(const struct side *s);

/* Takes one signal if there is one. */
bool side_take(const struct side *s);

/* In a forked child: nothing that is done with these cells reaches the parent's. */
void cw_cells_fork_child(struct cw_cells *cells);

/* Wakes whoever sleeps on this cell, and has its pipe filled if it has one. */
void side_poke(const struct side *s, uint32_t cell);
/* When it returns the pipes have been filled. */
void side_flush(const struct side *s);

#endif
