/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLIENT_EXPORT_PRIVATE_H
#define CLIENT_EXPORT_PRIVATE_H

/* Between export.c and rebind.c. */

#include "client/backing.h"
#include "client/export.h"

/* Takes the export, its lock and its backing's: 0, STATUS_BAD_HANDLE, STATUS_FORKED. */
int export_lock(cw_handle handle, struct cw_export **ret_export);
void export_unlock(struct cw_export *export);

/* The caller of all below has the locks. */

/* Moves to the memory that the daemon has given the segment, where that may not have been done. */
int export_catch_up(struct cw_export *export);
/* Where it is now, to the daemon. */
void export_show_map(struct cw_export *export);

/* No other export shares it. */
static inline bool export_is_alone(const struct cw_backing *backing)
{
	return backing->exports.next == backing->exports.prev;
}

#endif
