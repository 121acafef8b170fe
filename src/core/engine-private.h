/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_ENGINE_PRIVATE_H
#define CORE_ENGINE_PRIVATE_H

/*
 * What the files of the engine share. New objects and restored ones go the same way: x_attach()
 * puts a filled-in object into every table it belongs to and counts it, or fails and leaves
 * everything as it was. What takes it out again never fails.
 */

#include "core/engine.h"
#include "core/ids.h"
#include "core/peer.h"
#include "core/shm.h"
#include "wire/shared.h"
#include "wire/status.h"

#define ENGINE_PAGE   4096u	 /* segments are multiples of it */
#define ENGINE_LOWEST UINT32_MAX /* as an index: any */

/* Makers of keys on one node, by number there; see shm-key.c. */
struct shm_makers {
	struct tree clients;
	uint32_t n_unused;   /* keys without a segment that they made */
	uint32_t n_segments; /* that they made */
};

struct shm_registry {
	struct tree keys;    /* EngineShmKey by number */
	struct tree estates; /* EngineShmEstate by uid + 1 */
	struct shm_makers makers[WIRE_SHM_PARTITIONS];
	uint64_t bytes; /* of all segments */
	uint32_t n_segments;
	struct engine_shm_counters counters;
};

struct Engine {
	uint32_t node;
	struct engine_limits limits;
	const struct engine_ops *ops;
	void *userdata;
	struct tree clients;  /* EngineClient by id */
	struct tree users;    /* EngineUser by uid */
	struct tree segments; /* EngineSegment by instance */
	struct ids ids;	      /* the published ones */
	struct engine_counts counts;
	struct engine_counters counters;

	/* Other nodes. */
	uint64_t incarnation;
	uint32_t uid;	    /* as in HELLO */
	uint64_t secret;    /* see engine_set_self() */
	uint32_t *nodes;    /* the others, in order */
	uint32_t n_nodes;   /* of them */
	struct tree peers;  /* EnginePeer by number */
	struct tree timers; /* EnginePeer by when it must be looked at */
	uint64_t serial;    /* of our last request */
	uint64_t last_holds;
	uint32_t keep_below; /* see engine_keep_sessions() */

	struct shm_registry shm;
};

/* client.c */
EngineClient *engine_client_find(const Engine *engine, uint64_t id);
EngineUser *engine_user_find(const Engine *engine, uid_t uid);
/* Makes a client with this id, charged to uid or, if peer is set, as this guest to that peer.
 * Errors: -ENOMEM. */
int engine_client_attach(Engine *engine, uint64_t id, const struct engine_identity *identity,
	uid_t uid, EnginePeer *peer, uint64_t guest, EngineClient **ret_client);
/* The same for an estate. */
int engine_client_attach_estate(Engine *engine, uint64_t id, EngineShmEstate *estate);
/* Makes client->generations[index] exist. Errors: -ENOMEM. */
int engine_client_reserve_generation(EngineClient *client, uint32_t index);

/* segment.c */
bool engine_space_valid(uint32_t space);
bool engine_size_valid(uint64_t size);
/* Could a segment of this size be counted at all, quotas apart? */
bool engine_size_countable(const Engine *engine, uint64_t size);
/* May a client ask for this id by itself? */
bool engine_id_reserved(uint32_t space, uint32_t id);
/* index: ENGINE_LOWEST or one that must be free. Errors of idtable_add() and idtable_add_at(). */
int engine_segment_attach(EngineSegment *segment, uint32_t index);
/* Makes it published; everything has been checked. */
void engine_segment_enter(
	EngineSegment *segment, uint32_t id, const struct wire_access *access, uint32_t n_access);
/* Takes the segment out of the world and tells its importers. */
void engine_segment_end(EngineSegment *segment, enum wire_import_state state);
/* Brings n_cells up to date after a cell was taken (n_cells must become at_least) or given back. */
void engine_segment_count_cells(EngineSegment *segment, uint32_t at_least);

/* import.c */
/* Makes and shows a connected one. index: ENGINE_LOWEST, and generation 0: the next ones; or, of a
 * guest, the peer's. STATUS_NO_RESOURCES, -ENOMEM. */
int engine_import_new(EngineClient *client, EngineSegment *segment, uint32_t rights, uint32_t index,
	uint32_t generation, bool attached, EngineImport **ret_import);
/* The next generation of its index. */
uint32_t engine_import_count_generation(EngineImport *import);
void engine_import_show(EngineImport *import);
/* Frees it and tells no peer. */
void engine_import_detach(EngineImport *import);
/* Puts the import into the tables of its client and, if there are such, of import->segment and
 * ->holding. index and cell:
 * ENGINE_LOWEST or one that must be free. Errors of idtable_add() and idtable_add_at(). */
int engine_import_attach(EngineImport *import, uint32_t index, uint32_t cell);
/* The import has lost its segment; the peer of a guest is told. */
void engine_import_revoke(EngineImport *import, enum wire_import_state state);

/* access.c */
bool engine_access_record_valid(const struct wire_access *access, uint32_t n_access);
int engine_access_check(const Engine *engine, const struct wire_access *access, uint32_t n_access);
/* Owner, or creator. */
bool engine_access_is_owner(const EngineSegment *segment, uid_t uid);
/* The rights of a process on a node: NOT_LISTED, or 0 and WIRE_READ | WIRE_WRITE as allowed. */
int engine_access_rights(const EngineSegment *segment, uint32_t node,
	const struct engine_identity *identity, uint32_t *ret_rights);
/* May a process of that node connect to what is published there, and to what? instance: 0, or the
 * segment's. NOT_FOUND, NOT_LISTED, DENIED. */
int engine_access_judge(Engine *engine, uint32_t node, const struct engine_identity *identity,
	uint32_t space, uint32_t id, uint64_t instance, uint32_t rights,
	EngineSegment **ret_segment);
/* Is this one of the nodes, and which: 0 stands for this one. */
bool engine_node_resolve(const Engine *engine, uint32_t node, uint32_t *ret_node);

/* guest.c */
/* The guest's import after this one, or the first. */
EngineImport *engine_guest_next(const EngineClient *guest, const EngineImport *after);

/* inherit.c */
/* The segment of the import that a peer's process names as its parent's. BAD_HANDLE: there is none
 * such, or it has other rights. */
int engine_inherit_judge(
	EnginePeer *peer, const struct wire_peer_connect *q, EngineSegment **ret_segment);

/* offer.c */
/* Something has happened to a connection of an offered segment; of others: nothing. */
void engine_offer_event(EngineImport *import, uint32_t event);
/* The import is about to lose its segment: DISCONNECT or LOST. */
void engine_offer_ended(EngineImport *import);
/* May one connect to it by way of this space? NOT_FOUND, WITHDRAWN. */
int engine_offer_judge(const EngineSegment *segment, uint32_t space);
/* Imports of it went: it may go, too. */
void engine_offer_settle(EngineSegment *segment);
/* Tells the import to disconnect. */
void engine_offer_say_leave(EngineImport *import);
/* The session was resumed: what a guest's import may have missed. */
void engine_offer_resumed(EngineImport *import);
/* Contact with the peer is lost or back: all imports either way are told, once. */
void engine_offer_turn(EnginePeer *peer, bool away);

/* shm-key.c */
/* Errors: -EEXIST (made for a request that has made one), -ENOMEM. */
int engine_shm_key_attach(Engine *engine, EngineShmKey *key);
/* It has a segment from now on, or (NULL) it has none any more. */
void engine_shm_key_use(Engine *engine, EngineShmKey *key, EngineSegment *segment);
/* The next one after last that is not taken. NO_RESOURCES */
int engine_shm_number(Engine *engine, uint32_t last, bool (*taken)(Engine *engine, uint32_t number),
	uint32_t *ret_number);

/* shm-estate.c */
EngineShmEstate *engine_shm_estate_find(const Engine *engine, uid_t uid);
/* That of the uid, made if need be. -ENOMEM. */
int engine_shm_estate_get(Engine *engine, uid_t uid, EngineShmEstate **ret_estate);
/* Gives it its client. -ENOMEM. */
int engine_shm_estate_need_client(Engine *engine, EngineShmEstate *estate);
/* Frees what of it nothing needs any more. */
void engine_shm_estate_settle(Engine *engine, EngineShmEstate *estate);

/* shm.c */
/* No request of this node's processes will be said again. */
void engine_shm_forget_requests(Engine *engine, uint32_t node);
/* May one connect to it, if it is of clshm? STATUS_WITHDRAWN; STATUS_DENIED: not without reading.
 */
int engine_shm_judge(const EngineSegment *segment, uint32_t rights);
/* Imports of it went: it may go, too. */
void engine_shm_review(EngineSegment *segment);
/* The segment is about to be freed. */
void engine_shm_end(EngineSegment *segment);
void engine_shm_attach(EngineSegment *segment, EngineShm *shm);

/* shm-restore.c */
/* Everything goes. */
void engine_shm_deinit(Engine *engine);

/* shm-check.c */
void engine_shm_check(const Engine *engine);

/* timer.c */
/* Looked at then, and not before. UINT64_MAX: never. */
void engine_timer_set(EnginePeer *peer, uint64_t due);
/* Looked at by the next tick. */
void engine_timer_touch(EnginePeer *peer);
/* Has this long passed? */
static inline bool engine_passed(uint64_t since, uint64_t span, uint64_t now)
{
	return now >= since && now - since >= span;
}

/* peer.c */
#define ENGINE_BACKOFF_MIN (50 * 1000000ull) /* ns */
/* What is due now; the peer may be gone afterwards. */
void engine_peer_review(EnginePeer *peer, uint64_t now);
/* The state that follows from the rest, if it is not UP. */
void engine_peer_settle(EnginePeer *peer);
/* Sends it if there is a connection. */
void engine_peer_say(EnginePeer *peer, const struct wire_message *message);
void engine_peer_say_bare(EnginePeer *peer, uint16_t type);
void engine_peer_close(EnginePeer *peer);
/* As when it has been silent for too long. */
void engine_peer_lose(EnginePeer *peer);
void engine_peer_free(EnginePeer *peer);

/* session.c */
/* Guests go, imports are lost; those that are not granted yet wait on. */
void engine_session_end(EnginePeer *peer);
/* This side has numbered it. */
bool engine_session_is_ours(const EnginePeer *peer);
uint64_t engine_session_detection(const Engine *engine, uint64_t theirs);

/* lease.c */
void engine_lease_review(EnginePeer *peer, uint64_t now);
uint64_t engine_lease_next(const EnginePeer *peer);
/* There is a new connection. */
void engine_lease_up(EnginePeer *peer);
/* The session is over, and all maps with it. */
void engine_lease_end(EnginePeer *peer);
void engine_lease_answer(EnginePeer *peer, const struct wire_message *message);
void engine_lease_answered(
	EnginePeer *peer, const struct wire_peer_lease_reply *reply, uint64_t now);

/* remote.c */
int engine_remote_connect(EngineClient *client, EnginePeer *home, uint32_t space, uint32_t id,
	uint32_t rights, EngineImport **ret_import);
/* What parent, which is connected, has at its home. */
int engine_remote_inherit(
	EngineClient *client, const EngineImport *parent, EngineImport **ret_import);
/* Puts it into the list of its home. */
void engine_remote_link(EngineImport *import);
void engine_remote_unlink(EngineImport *import);
/* Tells the home that it is over. */
void engine_remote_say_disconnect(EngineImport *import);
/* All that the home has granted are lost. */
void engine_remote_lose_granted(EnginePeer *home);
/* All others fail. */
void engine_remote_fail_waiting(EnginePeer *home, enum wire_status status);
/* The connection is up: what we hold, if resumed, and what we wait for. */
void engine_remote_say_all(EnginePeer *home);
int engine_remote_granted(EnginePeer *home, const struct wire_message *message, uint64_t now);
int engine_remote_note(EnginePeer *home, const struct wire_peer_note *note);
int engine_remote_lost(EnginePeer *home, const struct wire_peer_lost *lost);
void engine_remote_signal(EnginePeer *home, const struct wire_peer_signal *signal);

/* restore-peer.c: all but the generation. -EBADMSG, -ENOMEM. */
int engine_remote_restore(
	EngineClient *client, const struct engine_import_record *record, EngineImport **ret_import);

/* guest.c */
EngineImport *engine_guest_import(const EngineClient *guest, uint32_t index);
/* Calls of the peer's. 0 or STATUS_BAD_REQUEST. */
int engine_guest_connect(EnginePeer *peer, const struct wire_message *message);
int engine_guest_holds(EnginePeer *peer, const struct wire_message *message);
void engine_guest_disconnect(EnginePeer *peer, const struct wire_peer_disconnect *q);
void engine_guest_data(EnginePeer *peer, const struct wire_message *message);
/* Into and out of the tables of its peer; out: with its imports. */
void engine_guest_link(EngineClient *guest);
void engine_guest_unlink(EngineClient *guest);
void engine_guest_say_lost(const EngineImport *import);
/* The session was resumed. */
void engine_guests_resume(EnginePeer *peer);
void engine_guests_free(EnginePeer *peer);

#endif
