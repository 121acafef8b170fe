/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/request.h"

#include <fcntl.h>
#include "core/peer.h"
#include "daemon/route.h"
#include "wire/status.h"

/* Routes: the data connections to other nodes. */

int request_route(ManagerClient *c, struct request *q, struct reply *a)
{
	struct wire_route_reply *p = &a->message.route_reply;
	const Route *r = idtable_get(&c->routes, q->message.route.route);
	const EnginePeer *peer;
	int fd;

	if (!r)
		return STATUS_BAD_HANDLE;
	peer = engine_peer_find(c->manager->engine, r->node);
	if (r->state != WIRE_ROUTE_OPEN || !peer)
		return STATUS_WRONG_STATE;
	fd = fcntl(r->fd, F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return negative_errno();
	reply_add_fd(a, fd);
	p->generation = r->generation;
	p->node = r->node;
	p->done = r->done;
	p->detection = peer->detection;
	p->records = c->manager->options.config->data_key_records;
	return 0;
}

int request_route_renew(ManagerClient *c, struct request *q, struct reply *a)
{
	const struct wire_route_renew *p = &q->message.route_renew;
	Route *r = idtable_get(&c->routes, p->route);

	if (!r)
		return STATUS_BAD_HANDLE;
	/* said of a generation that is over it is late */
	if (p->stuck && p->generation == r->generation)
		route_give_up(r);
	else
		route_renew(r, p->generation);
	return 0;
}
