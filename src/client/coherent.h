/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLIENT_COHERENT_H
#define CLIENT_COHERENT_H

/*
 * What a process has to do for coherent maps (docs/design/0007-coherent-maps.md): have those
 * watched that must be, and look at what the daemon says of losses. The rest is the daemon's: no
 * thread and no signal handler here takes part. Private to the client library, but for
 * cw_import_believe() and cw_import_advise(), which import.h has. Thread safe.
 */

#include "client/import.h"

/* The map has been entered in this slot of the client page, and nobody has used it yet. Returns
 * when it is watched, if it must be: always, or if the daemon says so. STATUS_MAP_FAILED … */
int coherent_watch(
	struct cw_link *link, uint32_t slot, enum wire_side side, uint32_t index, bool always);

/* Asks for the memory that an import of another node's segment is mapped from. The descriptor is
 * the caller's. Also has what a forked child has inherited believed in its own right. */
int coherent_memory(struct cw_link *link, uint32_t index, bool *ret_read_only, int *ret_fd);

/* The memory of a published export gets other content than through its maps: from hold on until it
 * ends no other node has any of it, and no map of it is watched. 0 as well where that is never so.
 */
int coherent_hold(struct cw_link *link, uint32_t segment, bool hold);

/* What discards are to be counted from. */
uint32_t coherent_discards(const struct cw_link *link, uint32_t index);

/* Do maps of this export's memory have to be watched at present? */
bool coherent_is_export(const struct cw_link *link, uint32_t index);

#endif
