/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLIENT_IMPORT_PRIVATE_H
#define CLIENT_IMPORT_PRIVATE_H

/* Between import.c and offer.c. */

#include "client/import.h"

/* An import of what the daemon has connected already, on this node. link and fd are consumed; on
 * failure the daemon is told that it is over. */
int import_adopt_connection(struct cw_link *link, uint32_t space, uint32_t id,
	const struct wire_import_connect_reply *got, int fd, cw_handle *ret_handle);

#endif
