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

#define SHM_PAGE 4096u

/* What clshmctl may change, and the node's configuration says first. */
struct shm_settings {
	bool shut_down;
	uint64_t max_pages, timeout;
};

/* What there is once. */
struct Shm {
	struct shm_settings settings;
	uint32_t slot;		  /* RECORD_SHM_NODE */
	uint32_t n_clients;	  /* that have said SHM_HELLO */
	sd_event_source *locking; /* what a predecessor had locked, up to this instance */
	uint64_t locked_to;
};

/* With the engine, before anything is restored. */
int shm_begin(Manager *m);
/* The node ends in order: says what goes with it. */
void shm_leave(const Manager *m);
const struct shm_settings *shm_settings(const Manager *m);
/* Of all segments together. */
uint64_t shm_max_pages(const Manager *m);
/* What processes know of keys is to be asked again: before who changed it is answered. */
void shm_changes_count(Manager *m);
/* CLOCK_REALTIME, ns */
uint64_t shm_now(void);

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
/* Processes of this node use clshm, or do no more: whether sessions are kept. Again at any time. */
void shm_peer_keep(Manager *m, bool keep);
/* clshm was shut down here, or started up again. */
void shm_peer_settings_changed(Manager *m);
/* Such a process is about to be freed: where it has made keys that nobody has used they go. */
void shm_peer_client_gone(ManagerClient *client);
/* The partitions that are up into the reply, or REQUEST_AGAIN. */
int shm_partitions(ManagerClient *client, const struct request *request, struct reply *reply);

/* shm-place*.c: where a segment's memory comes from, and stays. */
/* Of a key, too. STATUS_BAD_REQUEST: no such policy, no nodes, or one without memory. */
int shm_place_check(const struct engine_shm_place *place);
/* Checked, and for a new segment or one that nobody has attached yet: that is the caller's to see.
 * The policy stays in the memory, also for a successor. STATUS_BAD_REQUEST; STATUS_NO_MEMORY: hard,
 * and could not be kept; STATUS_NO_RESOURCES. After a failure it has what it had, or none. */
int shm_place(Manager *m, EngineSegment *segment, const struct engine_shm_place *place);
/* STATUS_WRONG_STATE: several, or no page is there. REQUEST_AGAIN: so many pages take some turns of
 * the loop, and who asked is served again then: a client that gave this as its result, a peer's
 * question by shm_node_later(). */
int shm_resident_node(Manager *m, EngineSegment *segment, uint32_t *ret_node);
/* 0: nothing is to be answered now; else a status that is. */
int shm_node_later(ManagerPeer *peer, const struct wire_message *message);
/* STATUS_NO_RESOURCES: more than may be locked. */
int shm_lock(Manager *m, EngineSegment *segment, bool lock);
/* What a predecessor had locked is locked again, by and by. */
void shm_locks_restore(Manager *m);
/* The segment is about to be freed: says manager_segment_free(). */
void shm_place_forget(Manager *m, EngineSegment *segment);

/* request-shm.c: a process of this node has said SHM_HELLO, now or to a predecessor; is gone. */
void shm_client_begin(ManagerClient *client, uint32_t version);
void shm_client_gone(Manager *m, ManagerClient *client);

#endif
