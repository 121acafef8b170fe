/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_QUERY_H
#define DAEMON_QUERY_H

/*
 * Questions between nodes. A client that asks about another node is answered when that has
 * answered; until then it may do other things, but ask no second such question. Nothing of a query
 * is remembered over a restart: the client asks again.
 */

#include "daemon/manager-peer.h"
#include "daemon/request.h"

/* The question is about another node. */
bool query_is_remote(const ManagerClient *client, uint32_t node);

/* Asks it; the type is one of PING, LIST, SHOW, NODE_STATUS, RDMA, or of clshm's questions.
 * REQUEST_LATER, or a failure. */
int query_begin(ManagerClient *client, const struct request *request, uint32_t node);

/* Who asks by this request of a peer's, whose tail says it, as it counts here. */
int query_identity(ManagerPeer *peer, const struct wire_message *request,
	struct engine_identity *ret_identity);

/* The client is gone. NULL is fine. */
void query_forget(struct query *query);

#endif
