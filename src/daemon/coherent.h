/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_COHERENT_H
#define DAEMON_COHERENT_H

/*
 * Coherent maps, as the rest of the daemon sees them (docs/design/0007-coherent-maps.md). Two kinds
 * of objects, both made at the first use:
 *
 *   CoherentHome    a segment of this node that other nodes map: directory, the home's own pager,
 *                   shadow; armed local maps. Hangs on ManagerSegment.coherent
 *   CoherentGuest   another node's segment that processes of this node map: pager, memory, aside.
 *                   Shared by all imports here of that instance; on ManagerImport.coherent
 *
 * The main thread calls what is here; inside there are the page thread and watchers, and one lock
 * that all of them take and none holds while it waits for a process or a peer. What they want of
 * the main thread (a peer misbehaves, a release is done, stores were discarded) comes through an
 * eventfd and is handled in its event loop.
 */

#include "daemon/manager-import.h"
#include "fabric/fabric.h"
#include "wire/page.h"

typedef struct Coherent Coherent;
typedef struct CoherentHome CoherentHome;
typedef struct CoherentGuest CoherentGuest;

void coherent_free(Coherent *coherent); /* NULL is fine */

/* --- processes of this node --- */

/* The client gave its userfaultfd, or is gone (before the descriptor is closed). */
int coherent_client_watch(Manager *m, ManagerClient *client);
void coherent_client_gone(Manager *m, ManagerClient *client);

/*
 * A map of the client page is to be watched: of an import of another node's segment, or of this
 * node's segment that is armed. 0, STATUS_BAD_REQUEST (no such slot), STATUS_BAD_HANDLE,
 * STATUS_BAD_ADDRESS, STATUS_MAP_FAILED (it cannot be watched; the reason in the log). Twice is
 * fine. Nothing to do for a segment that is not armed: 0.
 */
int coherent_map(Manager *m, ManagerClient *client, uint32_t slot);

/* --- the importer's side --- */

/* The import's memory is wanted: asks the home for a map. 0: import->coherent is ready, its memory
 * can be lent; REQUEST_LATER: coherent_opened() follows for this client; a status. */
int coherent_open(Manager *m, EngineImport *import);
/* A fresh descriptor for the import's process. */
int coherent_lend(Manager *m, const EngineImport *import, int *ret_fd);
/* The import is over or about to be freed; the last one of the segment gives the pages back. */
void coherent_import_over(Manager *m, EngineImport *import);
int coherent_advise(Manager *m, EngineImport *import, uint32_t advice, uint64_t offset,
	uint64_t length, uint64_t value);

/* --- the home's side --- */

/* A peer's PEER_MAP and PEER_UNMAP, for a guest's import. Arms the segment the first time.
 * STATUS_MAP_FAILED, STATUS_NO_RESOURCES (63 nodes), … */
int coherent_home_map(Manager *m, EngineImport *import, uint32_t page_bytes, uint32_t *ret_map);
void coherent_home_unmap(Manager *m, EngineImport *import);
/* Before the segment's memory moves or goes: takes all pages home. 0: they are; REQUEST_LATER:
 * done() is called when they are, or their owners are lost. */
int coherent_home_recall(Manager *m, EngineSegment *segment,
	void (*done)(Manager *m, EngineSegment *segment, void *userdata), void *userdata);
/* The segment is about to be freed: no waiting. */
void coherent_home_free(Manager *m, EngineSegment *segment);

/* --- peers --- */

/* A page link of the peer has said hello, with a grant of ours; fd is ours. */
void coherent_link_arrived(Manager *m, int fd, uint32_t node, const uint8_t grant[16]);
/* The session with the peer changed or ended: everything of the former is lost. */
void coherent_session_changed(Manager *m, const EnginePeer *peer);
/* The lease with this home became doubtful, or good again. */
void coherent_lease(Manager *m, const EnginePeer *peer, bool good);

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

/* From this page on, at most n runs. Returns their number. */
uint32_t coherent_home_owners(Manager *m, const EngineSegment *segment, uint64_t page,
	struct coherent_owner_run *ret_runs, uint32_t n);

struct coherent_counts {
	uint64_t read_faults, write_faults, local_faults, pages_in, pages_out, invalidated, holds;
};
void coherent_segment_counts(Manager *m, const EngineSegment *segment, struct coherent_counts *ret);
void coherent_import_counts(Manager *m, const EngineImport *import, struct coherent_counts *ret);

/* --- records: both kinds, from the journal and the keeper --- */

int coherent_restore(Manager *m, uint32_t slot, struct keeper_stored *stored);
/* All clients, segments and imports are there again: mappers are found in the client pages and
 * armed, and everybody is woken. */
int coherent_restored(Manager *m);
void coherent_store(Manager *m); /* every descriptor, to a new keeper */

#endif
