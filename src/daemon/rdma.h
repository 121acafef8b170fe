/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_RDMA_H
#define DAEMON_RDMA_H

/*
 * RDMA: whether this node does it, and what it offers to processes of other nodes: a segment that a
 * guest imports is registered with the adapter when its process asks, for this process alone.
 * Everything else stays where it is without: an import has its key and its data connection
 * (data.h), and what is taken away here goes on there.
 *
 * The adapter does not encrypt: a node whose data must be encrypted has no RDMA.
 *
 * All in the main thread; libfabric's target has a thread of its own.
 */

#include "daemon/manager-peer.h"
#include "daemon/request.h"

/* Finds out whether there is RDMA, and logs why not where one could expect it. After the peers. */
void rdma_begin(Manager *m);
/* NULL is fine. */
void rdma_free(Rdma *rdma);

/* What it does, for other nodes: enum ofi_kind; OFI_NONE. */
uint32_t rdma_kind(const Manager *m);
/* Bulk to this node may go by RDMA, as far as we know. */
bool rdma_may_reach(const Manager *m, const ManagerPeer *p);

/* The guest's key opens nothing any more when it returns; before its memory goes. */
void rdma_revoke(Manager *m, const EngineImport *import);
/* The guest is gone. */
void rdma_detach(Manager *m, const EngineClient *guest);

/*
 * The segment is coherent from now on: nothing of it is registered when this returns, nor ever
 * again, and its importers' bulk goes over their data connections. A segment that shares its memory
 * with others (its siblings) takes this for each of them.
 */
void rdma_withdraw(Manager *m, EngineSegment *segment);

/* Answers PEER_RDMA, perhaps later. */
void rdma_serve(ManagerPeer *p, const struct wire_message *message);

/* request-rdma.c: for query.c, the question of RDMA and its answer. */
int rdma_fill_question(
	const ManagerClient *client, const struct wire_rdma *asked, struct wire_message *question);
int rdma_pass(
	const Manager *m, const struct wire_peer_rdma_reply *from, struct wire_rdma_reply *to);

/* node: 0, or another one. */
void rdma_fill_status(Manager *m, uint32_t node, struct wire_rdma_status_reply *ret_status);

#endif
