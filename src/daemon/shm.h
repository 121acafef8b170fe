/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_SHM_H
#define DAEMON_SHM_H

/*
 * clshm, as the rest of the daemon sees it (docs/design/0011-clshm.md): what is asked of keys and
 * segments of this node, by whomever. Main thread.
 */

#include "core/shm.h"
#include "daemon/manager-peer.h"
#include "daemon/request.h"

/* major << 16 | minor; a build of the tests has others */
#ifndef CLSHM_DAEM_VERSION
#define CLSHM_DAEM_VERSION 0x00010000u
#endif

/* What clshmctl may change, and the node's configuration says first. */
struct shm_settings {
	bool shut_down;
	uint64_t max_pages, timeout;
};

/*
 * SHM_KEY, _GET, _CONTROL, _STAT, _PLACE, _NODE, _LIST about this node's own. Fills the reply's
 * body and tail. A status or a negative errno; REQUEST_LATER only where the handler says so.
 */
int shm_serve(Manager *m, const struct engine_shm_asker *asker, const struct wire_message *question,
	struct reply *reply);

/* shm-peer.c: the question is for that partition's daemon. REQUEST_LATER or a failure. */
int shm_ask(ManagerClient *client, const struct request *request, uint32_t partition);
/* A peer's PEER_SHM_… message; false: it is none. */
bool shm_peer_serve(ManagerPeer *peer, const struct wire_message *message);
/* A process has said SHM_HELLO, or one that has is gone: which sessions are kept. */
void shm_peer_keep(Manager *m, bool keep);
/* The partitions that are up into the reply, or REQUEST_LATER. */
int shm_partitions(ManagerClient *client, const struct request *request, struct reply *reply);

/* shm-place.c: policies and pages of a segment's memory. */
int shm_place(EngineSegment *segment, const struct engine_shm_place *place);
int shm_resident_node(const EngineSegment *segment, uint32_t *ret_node);
int shm_lock(EngineSegment *segment, bool lock);

/* client-side bookkeeping: a process of this node that had said SHM_HELLO, or made keys, is gone.
 */
void shm_client_gone(Manager *m, ManagerClient *client);

#endif
