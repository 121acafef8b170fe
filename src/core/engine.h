/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_ENGINE_H
#define CORE_ENGINE_H

/*
 * The engine: who exports what to whom, on one node. It does no I/O, reads no clock, starts no
 * thread; calls go in, decisions come out as return values and through struct engine_ops. The same
 * calls in the same order always give the same results, so tests drive it through random schedules.
 *
 * Objects: a client is one process's connection. It owns segments (its exports) and imports. A
 * segment has at most one id in its space while it is published; an import belongs to one client
 * and one segment until either ends. A revoked import stays, with segment NULL, until its client
 * disconnects it; so long it keeps its cell, if the segment lives on: somebody may still look there
 * for signals from before the end, and must not take those of a new import.
 *
 * Results: 0, a positive enum wire_status that the client is told, or a negative errno (-ENOMEM:
 * the caller answers STATUS_NO_MEMORY). On failure nothing has changed. One thread.
 *
 * Repeated requests: a restarted daemon may be asked again what its predecessor has already done.
 * The caller keeps the serials of requests with its records of the objects and never calls the
 * engine twice for one request; see daemon/manager-client.c.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "base/idtable.h"
#include "base/list.h"
#include "core/tree.h"
#include "wire/message.h"

#define ENGINE_ACCESS_MAX 16u /* entries of an access list */
#define ENGINE_GROUPS_MAX 64u /* supplementary groups kept of one client */

/* Ids of the space rsm: up to 0x3fffff reserved, from 0x80000000 on chosen by the system. */
#define ENGINE_RSM_RESERVED_END 0x3fffffu
#define ENGINE_RSM_SYSTEM_BASE	0x80000000u

typedef struct Engine Engine;
typedef struct EngineClient EngineClient;
typedef struct EngineSegment EngineSegment;
typedef struct EngineImport EngineImport;
typedef struct EngineUser EngineUser;
typedef struct EnginePeer EnginePeer; /* core/peer.h */
typedef struct EngineShm EngineShm;
typedef struct EngineShmKey EngineShmKey;
typedef struct EngineShmEstate EngineShmEstate; /* core/shm.h */

/* As the kernel said at connect. */
struct engine_identity {
	pid_t pid;
	uid_t uid; /* effective */
	gid_t gid;
	uint32_t n_groups;
	gid_t groups[ENGINE_GROUPS_MAX];
	char command[16];
};

struct engine_limits {
	uint64_t max_segment_bytes;  /* one segment */
	uint64_t max_bytes_per_user; /* all segments of a uid */
	uint32_t max_segments_per_user;
	uint32_t max_imports_per_user;
	uint32_t max_clients_per_user;
	uint32_t max_imports_per_peer; /* of its processes, here */
	uint32_t max_shm_segments;     /* of clshm, of all together; 0: any number */
	uint64_t detection;	       /* ns: how long a peer may be silent */
};

/* How the engine's decisions reach the world; none of these may call the engine, but where it says
 * so. */
struct engine_ops {
	/* import->state changed or the import was made or restored: show it in the client's status
	 * page; for a final state also wake whoever sleeps on its cell. The segment or home that it
	 * loses is still in import->segment or ->home during this call (not in a restore: there it
	 * is gone). A guest's import that ends: its key must be revoked and its last totals sent
	 * before this returns, since the peer is told next. */
	void (*import_state)(void *userdata, EngineImport *import);
	/* the import is about to be freed; import->segment is set if it was connected, ->home if it
	 * was not over */
	void (*import_free)(void *userdata, EngineImport *import);
	/* the segment is about to be freed: drop its memory, cells and pipe; no import has a cell
	 * of it any more */
	void (*segment_free)(void *userdata, EngineSegment *segment);
	/* segment->n_cells changed or the segment was made or restored: tell the exporter's status
	 * page */
	void (*segment_cells)(void *userdata, EngineSegment *segment);

	/* Other nodes; see core/peer.h. NULL in an engine without peers. */
	/* dial, if that is not under way; called by engine_tick() only */
	void (*peer_wanted)(void *userdata, EnginePeer *peer);
	/* the message is complete; it and its tail are gone after the call */
	void (*peer_send)(void *userdata, EnginePeer *peer, const struct wire_message *message);
	/* close every connection of the peer's, also one being made, after what was sent before;
	 * no engine_peer_down() for them */
	void (*peer_close)(void *userdata, EnginePeer *peer);
	/* session or incarnation changed (session 0: lost): remember it, the counters first */
	void (*peer_session)(void *userdata, EnginePeer *peer);
	/* about to be freed */
	void (*peer_free)(void *userdata, EnginePeer *peer);
	/* the lease on the pages of this home is good until then, or (good false) doubtful, and as
	 * far as is known lasts until then; see engine_peer_hold_lease() */
	void (*peer_lease)(void *userdata, EnginePeer *peer, bool good, uint64_t until);
	/* who asks there is this user here: maps or squashes; STATUS_DENIED */
	int (*guest_identity)(void *userdata, EnginePeer *peer, struct engine_identity *identity);
	/* a guest's import was made (again: asked for once more): give it what it needs, and the
	 * peer's process a data connection if wanted. Fills key, and grant if wanted. 0, a status
	 * or a negative errno: it is freed. */
	int (*guest_equip)(void *userdata, EngineImport *import, bool again, bool data,
		uint8_t ret_key[16], uint8_t ret_grant[16]);
	/* about to be freed; its imports are gone */
	void (*guest_free)(void *userdata, EngineClient *guest);
	/* the home has granted this import (its remote fields are set): open the route with this
	 * grant, if data was wanted, and call engine_import_ready() or engine_import_fail(), later
	 * or from here */
	void (*import_granted)(void *userdata, EngineImport *import, const uint8_t grant[16]);
	/* has the client a data connection to that home already, or one on its way? Asked whenever
	 * CONNECT is said, the first time before engine_import_connect() returns. A guest lives as
	 * long as it has imports that are not over, and its data connection with it. */
	bool (*import_has_route)(void *userdata, const EngineImport *import);
	/* Offered segments (core/offer.h). All of these may be NULL. */
	/* Something has happened to one: an enum wire_event of a process of that node. to: NULL,
	 * its owner; or who is attached. */
	void (*segment_event)(void *userdata, EngineSegment *segment, EngineImport *to,
		uint32_t event, uint32_t node);
	/* It was withdrawn, because nobody has a handle of it any more: remember it. */
	void (*segment_changed)(void *userdata, EngineSegment *segment);
	/* The owner wants this import to disconnect. */
	void (*import_leave)(void *userdata, EngineImport *import);
	/* Contact with the home of this import is lost (away), or is back. */
	void (*import_turn)(void *userdata, EngineImport *import, bool away);

	/* a signal's totals from the home */
	void (*import_signal)(void *userdata, EngineImport *import, uint32_t total, uint32_t once);
	/* the session was resumed: say the totals of this guest's import again */
	void (*guest_resumed)(void *userdata, EngineImport *import);
	/* PEER_DATA: a new data connection for this guest. 0 or a status. */
	int (*guest_data)(
		void *userdata, EngineClient *guest, uint64_t *ret_done, uint8_t ret_grant[16]);

	/* Shared memory with System V life (core/shm.h). All of these may be NULL. */
	/* The numbers have changed, or the segment has, or it is about to go: remember it. */
	void (*shm_counted)(void *userdata);
	void (*shm_changed)(void *userdata, EngineSegment *segment);
	/* Who made the key is gone: remember it. */
	void (*shm_key_changed)(void *userdata, EngineShmKey *key);
	/* about to be freed; a key that has a segment: that lives on without it, or goes next */
	void (*shm_key_free)(void *userdata, EngineShmKey *key);
	void (*shm_estate_free)(void *userdata, EngineShmEstate *estate);
};

/* Per uid; lives while it has a client. Counts what quotas are about: all that its clients have,
 * whatever ids they took on later. */
struct EngineUser {
	struct tree_node node; /* engine->users, by uid */
	uid_t uid;
	uint32_t n_clients, n_segments, n_imports;
	uint32_t n_estates; /* of the clients: no processes */
	uint64_t bytes;
	uint64_t copies; /* bytes of what its maps of other nodes' segments, and those that other
			    nodes have of its segments, take here */
};

struct EngineClient {
	Engine *engine;
	struct tree_node node; /* engine->clients, by id */
	uint64_t id;	       /* never used again in this incarnation */
	struct engine_identity identity;
	EngineUser *user;	     /* who is charged: the uid that it connected with; the peer */
	struct idtable segments;     /* EngineSegment, by its index < WIRE_CLIENT_EXPORTS */
	struct idtable imports;	     /* EngineImport, by its index < WIRE_CLIENT_IMPORTS */
	uint32_t *generations;	     /* the last one of each import index; 0: never used */
	uint32_t n_generations;	     /* allocated */
	EngineShmEstate *estate;     /* it is this one's, without a process; else NULL */
	EnginePeer *peer;	     /* of a guest: its node; else NULL */
	uint64_t guest;		     /* of a guest: its number there */
	struct list guest_link;	     /* peer->guests */
	struct tree_node guest_node; /* peer->guest_numbers; see guest.c */
	struct tree guest_imports;   /* of a guest, instead of imports: EngineImport by index */
	void *userdata;		     /* the caller's */
};

struct EngineSegment {
	EngineClient *owner;
	struct tree_node node; /* engine->segments, by instance */
	uint64_t instance;     /* never used again in this incarnation */
	uint64_t size;	       /* bytes */
	uint64_t copies;       /* bytes, of what other nodes' maps of it take here */
	uint64_t created;      /* as given to engine_segment_create */
	uint32_t index;	       /* in owner->segments */
	uint32_t space;	       /* enum wire_space */
	uint32_t mode;	       /* rights without an access list; 0777 & ~umask, no other bits */
	uint32_t flags;	       /* as the client gave them; the engine does not look */
	uid_t uid;	       /* effective ids of the owner at create */
	gid_t gid;
	uint32_t state;	   /* enum wire_segment_state */
	uint32_t id;	   /* while published, else 0 */
	bool handed_out;   /* a client of another uid than this has had the present memory */
	uint32_t n_access; /* while published, else 0 */
	struct wire_access access[ENGINE_ACCESS_MAX];
	struct list imports;	/* EngineImport, connected ones */
	uint32_t n_imports;	/* their number */
	uint32_t n_cells;	/* 1 + highest cell in use */
	struct idtable cells;	/* EngineImport by cell, also revoked ones; 0 holds the segment */
	EngineSegment *next_id; /* in the bucket of the id index */
	uint32_t offer;		/* enum wire_offer; 0: published, if at all, as RSM does */
	uint32_t n_attached;	/* of the imports */
	EngineShm *shm;		/* of clshm; else NULL */
	void *userdata;
};

struct EngineImport {
	EngineClient *client;
	EngineSegment *segment;	     /* NULL once it is not connected any more */
	struct list link;	     /* segment->imports */
	uint64_t instance;	     /* of the segment, also when that is gone */
	uint32_t index;		     /* in client->imports */
	struct tree_node guest_node; /* of a guest's: client->guest_imports */
	uint32_t generation;	     /* of this index; from 1 */
	uint32_t rights;	     /* WIRE_READ | WIRE_WRITE, as asked and granted */
	EngineSegment *holding;	     /* has a cell of this one; NULL once that is freed */
	uint32_t cell;		     /* its place in holding->cells, from 1 */
	uint32_t state;		     /* enum wire_import_state */
	bool attached;		     /* a second handle of an offered segment, no connection */
	bool announced;		     /* the owner of an offered segment has been told of it */

	/* Of a segment of another node: home is set, segment and holding are NULL. */
	EnginePeer *home; /* also while it waits for its first answer; NULL once it is over */
	struct list home_link;
	uint32_t node, space, id; /* as asked */
	uint32_t failure;	  /* enum wire_status; of state FAILED */
	uint64_t size;
	uint32_t flags; /* WIRE_IMPORT_FOREIGN_ENDIAN */
	uint8_t key[16];
	uint64_t held;	      /* of a guest's: the last HOLDS of its peer that had it */
	bool granted;	      /* the home has answered; the route is being opened, or is open */
	uint64_t incarnation; /* of the home */
	uint32_t home_cell;   /* its cell there */
	/* Of a forked child: what its parent's import has is asked for; parent 0: by space and id
	 */
	uint64_t parent;
	uint32_t parent_index, parent_generation;
	void *userdata;
};

int engine_new(uint32_t node, const struct engine_limits *limits, const struct engine_ops *ops,
	void *userdata, Engine **ret_engine);
/* All clients must be gone. NULL is fine. */
void engine_free(Engine *engine);

/* STATUS_NO_RESOURCES: the user has too many clients. */
int engine_client_new(
	Engine *engine, const struct engine_identity *identity, EngineClient **ret_client);
/* The process is gone: its imports are freed, its segments too, and their importers are told
 * (WIRE_IMPORT_EXPORTER_GONE). NULL is fine. */
void engine_client_free(EngineClient *client);
/* The process changed its effective ids: what it asks from now on is judged by the new ones. The
 * client and all it has and will have stay charged to the user that it connected as. */
int engine_client_identify(EngineClient *client, const struct engine_identity *identity);

/* Makes a bound segment. BAD_REQUEST (space; clshm is of estates only), BAD_SIZE (0, not a multiple
 * of 4096, above the limit), QUOTA_BYTES, NO_RESOURCES. created: CLOCK_REALTIME in ns, for people.
 */
int engine_segment_create(EngineClient *client, uint32_t space, uint64_t size, uint32_t mode,
	uint32_t flags, uint64_t created, EngineSegment **ret_segment);

/* Copies of pages that the client's user is charged for from now on, as for exported bytes.
 * QUOTA_BYTES, but not if forced: after a restart. */
int engine_copies_add(EngineClient *client, uint64_t bytes, bool forced);
void engine_copies_remove(EngineClient *client, uint64_t bytes);
/* The same for what other nodes' maps of a segment take here: its owner's, whoever that is; 0:
 * nothing any more. */
int engine_segment_set_copies(EngineSegment *segment, uint64_t bytes, bool forced);

/* The segment of this index, or NULL. */
EngineSegment *engine_segment_get(EngineClient *client, uint32_t index);

/*
 * id 0: the next free one from ENGINE_RSM_SYSTEM_BASE on (each is given out once in an incarnation
 * until all have been). No access list (n_access 0): every node, rights segment->mode.
 * ALREADY_PUBLISHED, ID_RESERVED (only the space rsm has such), BAD_ACCESS_LIST (more entries than
 * nodes, a node not in the node list, a mode above 0666), ID_IN_USE, NO_RESOURCES (no system id
 * left) — checked in this order.
 */
int engine_segment_publish(EngineSegment *segment, uint32_t id, const struct wire_access *access,
	uint32_t n_access, uint32_t *ret_id);
/* New rights for connects to come. NOT_PUBLISHED, BAD_ACCESS_LIST. */
int engine_segment_republish(
	EngineSegment *segment, const struct wire_access *access, uint32_t n_access);

/* Somebody else may still have the memory: a connected import of another client of this node, or
 * handed_out. Guests never have it. */
bool engine_segment_shared(const EngineSegment *segment);
/*
 * The id is free at once; all imports become WIRE_IMPORT_REVOKED; the segment is bound again.
 * *ret_move: the memory was shared, so the exporter must move to fresh memory; handed_out is false
 * afterwards.
 * NOT_PUBLISHED.
 */
int engine_segment_unpublish(EngineSegment *segment, bool *ret_move);
/* Unpublishes and frees it. Never fails. */
void engine_segment_destroy(EngineSegment *segment);

/*
 * node 0 or this node's id mean this node; for another one see core/peer.h: the import is PENDING.
 * Errors, in this order: NO_CONTROLLER (no such kind, or loopback with a foreign node),
 * NODE_UNKNOWN, NOT_FOUND, NOT_LISTED, DENIED, NO_RESOURCES. Rights: the first access entry for the
 * node gives the mode; the class is owner if the effective uid is the owner's, else group if the
 * gid or a supplementary group is the owner's, else other; classes exclude each other; every right
 * asked for must be in the class's digit; uid 0 may all. rights may be 0; other bits than WIRE_READ
 * | WIRE_WRITE are DENIED to everyone.
 */
int engine_import_connect(EngineClient *client, uint32_t space, uint32_t controller, uint32_t node,
	uint32_t id, uint32_t rights, EngineImport **ret_import);
/* The import of this index in whatever state, or NULL. */
EngineImport *engine_import_get(EngineClient *client, uint32_t index);
void engine_import_disconnect(EngineImport *import);

/* May this client see the segment in a list? Its own, one it may connect to with some right, or
 * uid 0. */
bool engine_segment_visible(const EngineSegment *segment, const EngineClient *client);
/* The same for a process of another node. */
bool engine_segment_visible_from(
	const EngineSegment *segment, uint32_t node, const struct engine_identity *identity);
/* Published segment of that id, or NULL. */
EngineSegment *engine_segment_find(Engine *engine, uint32_t space, uint32_t id);
EngineSegment *engine_segment_find_instance(Engine *engine, uint64_t instance);
/* The segment with the smallest instance above after, or NULL: for lists in pieces. O(log n) or
 * amortised: listing 100,000 segments in pieces must not be quadratic. */
EngineSegment *engine_segment_next(Engine *engine, uint64_t after);

/* Guests and what they have are counted, and what estates have, but not these. */
struct engine_counts {
	uint32_t n_clients, n_segments, n_imports;
	uint64_t bytes;
};
struct engine_counts engine_counts(const Engine *engine);
const struct engine_limits *engine_limits(const Engine *engine);
uint32_t engine_node(const Engine *engine);

/*
 * Restoring after a restart, from the journal: first every peer, then every client, then every
 * segment, then every import, in any order within a kind, and the counters at any time (whoever
 * keeps records writes the counters before the object that used them). Quotas are counted but not
 * enforced. import_state and segment_cells are called as if the import had just been made. An
 * import that is not connected any more takes its cell back if the segment is there. An import of
 * another node's whose session is gone is restored as lost, one that the home has not granted yet
 * asks again. -EBADMSG: the record contradicts itself or what is already there; it is not taken.
 */
struct engine_client_record {
	uint64_t id;
	uint32_t peer;	/* of a guest: its node; else 0 */
	uint64_t guest; /* its number there */
	struct engine_identity identity;
	uid_t charged_uid; /* whose quota */
};
struct engine_segment_record {
	uint64_t client, instance, size, created;
	uint32_t index, space, mode, flags, state, id, uid, gid, handed_out, n_access;
	struct wire_access access[ENGINE_ACCESS_MAX];
	uint32_t offer;
};
struct engine_import_record {
	uint64_t client, instance;
	uint32_t index, generation, rights, cell, state;
	uint32_t attached, home_cell;
	/* of another node's segment: node is not 0 */
	uint32_t node, space, id, failure, flags, granted;
	uint64_t size, incarnation;
	uint8_t key[16];
	uint64_t parent;
	uint32_t parent_index, parent_generation;
};
/* What must be remembered between restarts besides the objects. */
struct engine_counters {
	uint64_t last_client, last_instance;
	uint32_t last_system_id;
	uint64_t last_session; /* of those that this node has numbered */
};

void engine_client_save(const EngineClient *client, struct engine_client_record *ret);
void engine_segment_save(const EngineSegment *segment, struct engine_segment_record *ret);
void engine_import_save(const EngineImport *import, struct engine_import_record *ret);
void engine_counters_save(const Engine *engine, struct engine_counters *ret);

int engine_counters_restore(Engine *engine, const struct engine_counters *counters);
int engine_client_restore(
	Engine *engine, const struct engine_client_record *record, EngineClient **ret_client);
int engine_segment_restore(
	Engine *engine, const struct engine_segment_record *record, EngineSegment **ret_segment);
/* A connected import whose segment is gone is restored in state WIRE_IMPORT_EXPORTER_GONE. */
int engine_import_restore(
	Engine *engine, const struct engine_import_record *record, EngineImport **ret_import);
/* Import index of this client has been used up to this generation (the status page says so), even
 * if no import has it now. Never lowers it. */
int engine_generation_restore(EngineClient *client, uint32_t index, uint32_t generation);

/* Every invariant of the above, checked over all objects; asserts. For tests, and after a restore.
 */
void engine_check(const Engine *engine);

#endif
