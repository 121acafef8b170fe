/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLIENT_CONNECT_H
#define CLIENT_CONNECT_H

/*
 * What passes between an import and the daemons before there is a connection. A segment of this
 * node is connected with one answer; for one of another node the daemon first says "pending", the
 * caller sleeps on the import's word in the status page, and asks how it ended. One in space clshm
 * has no route: it is mapped, and nothing else. Private to the client library. Thread safe.
 */

#include <stdbool.h>
#include "client/link.h"
#include "client/route.h"

struct connection {
	struct cw_link *link; /* not a reference of its own */
	struct wire_import_connect_reply got;
	int fd;			/* the memory; -1: none */
	bool remote;		/* another node's segment */
	struct cw_route *route; /* of such a one, with its path; else NULL */
};

/* interruptible: a signal handler that runs ends the wait with STATUS_INTERRUPTED. On failure the
 * daemon has forgotten the import, or will. */
int connection_make(struct cw_link *link, const struct wire_import_connect *what,
	bool interruptible, struct connection *ret_connection);

/* The same for what the parent's import is connected to: SHM_INHERIT. */
int connection_inherit(struct cw_link *link, const struct wire_shm_inherit *what, uint32_t rights,
	struct connection *ret_connection);

/* Ends a connection: tells the daemon, if it knows of it, and leaves the route. */
void connection_end(struct cw_link *link, bool known, uint32_t index, struct cw_route *route);

#endif
