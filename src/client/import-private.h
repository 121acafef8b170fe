/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLIENT_IMPORT_PRIVATE_H
#define CLIENT_IMPORT_PRIVATE_H

/* Between import.c and what makes imports in other ways: offer.c, inherit.c. */

#include "client/connect.h"
#include "client/import.h"

/* An import of what the daemon has connected already, on this node. link and fd are consumed; on
 * failure the daemon is told that it is over. */
int import_adopt_connection(struct cw_link *link, uint32_t space, uint32_t id,
	const struct wire_import_connect_reply *got, int fd, cw_handle *ret_handle);

/* In a child: another connection to the same segment takes the place of the parent's. Its route or
 * lack of one, its link and its descriptor are consumed, also on failure: then it has been ended.
 * STATUS_NOT_FOUND: it is another segment. keep: what else must hold before that; or NULL. With the
 * import's lock. */
int import_replace(struct cw_import *import, const struct connection *c,
	int (*keep)(struct cw_import *import, const struct connection *c));

/* The program's map, which was the parent's, is made anew in its place; without it if that fails.
 * With the import's lock. */
int import_map_in_place(struct cw_import *import);

#endif
