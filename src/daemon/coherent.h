/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_COHERENT_H
#define DAEMON_COHERENT_H

/*
 * Coherent maps, as the rest of the daemon sees them (docs/design/0007-coherent-maps.md). Two kinds
 * of objects, both made at the first use:
 *
 *   CoherentHome    a segment of this node that other nodes map: directory, the home's own pager,
 *                   shadow; armed local maps. Hangs on ManagerSegment.home
 *   CoherentGuest   another node's segment that processes of this node map: pager, memory, aside.
 *                   Shared by all imports here of that instance; on ManagerImport.coherent_guest
 *
 * The main thread calls what is here; inside there are the page thread and watchers, and one lock
 * that all of them take and none holds while it waits for a process or a peer. What they want of
 * the main thread (a peer misbehaves, a release is done, stores were discarded) comes through an
 * eventfd and is handled in its event loop.
 */

#include "daemon/keeper-link.h"
#include "daemon/manager-import.h"
#include "daemon/manager-peer.h"
#include "wire/page.h"

typedef struct Coherent Coherent;
typedef struct CoherentHome CoherentHome;
typedef struct CoherentGuest CoherentGuest;

/* Stops the page thread: the node ends. NULL is fine. */
void coherent_free(Coherent *coherent);

/* --- processes of this node --- */

/* UFFDIO_API on the client's userfaultfd, once. -EBADF: it gave none; else as watch_begin(). */
int coherent_uffd_begin(ManagerClient *client);
/* The client gave another userfaultfd, or is gone. */
void coherent_client_watch(Manager *m, ManagerClient *client);
void coherent_client_gone(Manager *m, ManagerClient *client);

/*
 * A map of the client page is to be watched: of an import of another node's segment, or of this
 * node's segment that is armed. 0, STATUS_BAD_REQUEST (no such slot), STATUS_BAD_HANDLE,
 * STATUS_BAD_ADDRESS, STATUS_MAP_FAILED (it cannot be watched; the reason in the log). Twice is
 * fine. Nothing to do for a segment that is not armed: 0.
 */
int coherent_map(Manager *m, ManagerClient *client, uint32_t slot);

/* An import or export of this node's client begins: its words in the status page. */
void coherent_import_begin(Manager *m, EngineImport *import);
void coherent_export_begin(EngineSegment *segment);

/* --- the importer's side --- */

/* The import's memory is wanted: asks the home for a map. 0: its memory can be lent; REQUEST_LATER:
 * coherent_opened() follows; a status. */
int coherent_open(Manager *m, EngineImport *import, uint64_t serial);
/* request-coherent.c: answers the request. */
void coherent_opened(Manager *m, uint64_t client, uint64_t serial, uint32_t import, int status);
/* A fresh descriptor for the import's process. */
int coherent_lend(Manager *m, const EngineImport *import, int *ret_fd);
/* The import is over or about to be freed, here or at the home. */
void coherent_import_over(Manager *m, EngineImport *import);
int coherent_advise(Manager *m, EngineImport *import, uint32_t advice, uint64_t offset,
	uint64_t length, uint64_t value);

/* --- the home's side --- */

/* A peer's PEER_MAP, for a guest's import. Arms the segment the first time. STATUS_MAP_FAILED,
 * STATUS_NO_RESOURCES (too many nodes), … Fills map and discards. */
int coherent_home_map(Manager *m, EngineImport *import, uint32_t page_bytes,
	struct wire_peer_map_reply *ret_reply);
void coherent_home_unmap(Manager *m, uint32_t node, uint32_t map);
/* Before the segment's memory moves or goes: takes all pages home, and needs no memory for that. 0:
 * they are; REQUEST_LATER: coherent_recalled() is called when they are, or their owners are lost.
 */
int coherent_home_recall(Manager *m, EngineSegment *segment);
/* request-coherent.c: the owner's request goes on. */
void coherent_recalled(Manager *m, EngineSegment *segment);
/* Nothing is watched any more, and no node maps it. What was not recalled is lost. */
void coherent_home_free(Manager *m, EngineSegment *segment);
/* After a recall: nothing of this node is watched any more; and back: nodes go on. A negative
 * errno or status: it could not be armed again, and the nodes' maps are ended. */
void coherent_home_hold(Manager *m, EngineSegment *segment);
int coherent_home_go_on(Manager *m, EngineSegment *segment);

/* --- peers --- */

/* PEER_MAP, PEER_UNMAP, PEER_PAGES, PEER_DISCARDED. False: none of these. */
bool coherent_serve(ManagerPeer *p, const struct wire_message *message);

/* The peer maps segments of this node. */
bool coherent_peer_maps(Manager *m, uint32_t node);
/* For a page link of its. */
int coherent_grant_new(Manager *m, const EnginePeer *peer, uint8_t ret_grant[16]);
/* Stores to a segment that is imported and not mapped here were discarded. */
void coherent_discarded(
	Manager *m, const EnginePeer *peer, const struct wire_peer_discarded *discarded);
/* A data connection of the peer, with this grant: true if it is a page link's. *fd is -1 then if it
 * was taken. */
bool coherent_link_arrived(Manager *m, int *fd, const EnginePeer *peer, const uint8_t grant[16]);
/* The secret of such a grant; false: there is none. */
bool coherent_link_secret(
	Manager *m, uint32_t node, const uint8_t grant[16], uint8_t ret_secret[PEER_KEY_SIZE]);
/* The session with the peer changed or ended: everything of the former is lost. */
void coherent_session_changed(Manager *m, const EnginePeer *peer);
/* The engine's operation; userdata: the manager. */
void coherent_lease(void *userdata, EnginePeer *peer, bool good, uint64_t until);

/* --- the data thread --- */

/*
 * For a put (write) or get through a key of a segment that is armed: may the first bytes of
 * [off, off + n) be touched now? Returns how many (then coherent_unclaim() them at once after the
 * copy), or 0: later; fabric_target_retry() is called when it may be tried again. home is
 * fabric_region.coherent.
 */
size_t coherent_claim(void *home, uint64_t off, size_t n, bool write);
void coherent_unclaim(void *home, uint64_t off, size_t n);

/* --- for people --- */

struct coherent_owner_run {
	uint64_t page, n;
	uint32_t owner; /* node; 0: shared */
	uint32_t n_sharers;
};

/* Of several imports that share their pages one is the first. */
bool coherent_import_is_first(const EngineImport *import);

/* From this page on, at most n runs. Returns their number. */
uint32_t coherent_home_owners(Manager *m, const EngineSegment *segment, uint64_t page,
	struct coherent_owner_run *ret_runs, uint32_t n);
/* How many nodes map it. */
uint32_t coherent_home_count(Manager *m, const EngineSegment *segment);

struct coherent_counts {
	uint64_t read_faults, write_faults, local_faults, pages_in, pages_out, invalidated, holds;
};
/* Of a segment or import that has a CoherentHome or CoherentGuest. */
void coherent_segment_counts(Manager *m, const EngineSegment *segment, struct coherent_counts *ret);
void coherent_import_counts(Manager *m, const EngineImport *import, struct coherent_counts *ret);

/* --- records --- */

/* RECORD_COHERENT, after imports. */
int coherent_restore(Manager *m, uint32_t slot, struct keeper_stored *stored);
/* All clients, segments and imports are there again: mappers are armed, and everybody is woken. */
int coherent_restored(Manager *m, struct keeper_stored *stored);
void coherent_store(Manager *m); /* every descriptor, to a new keeper */

#endif
