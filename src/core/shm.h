/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_SHM_H
#define CORE_SHM_H

/*
 * Shared memory with System V life (docs/design/0011-clshm.md): keys of this node, the segments
 * behind them, and when those end. A segment belongs to an estate, a client without a process; an
 * attach is an import in space clshm, so that nothing here counts them.
 *
 * A segment has its id, and can be found, from SHM_GET to its very end, also while it is removed.
 * Its key goes when it is removed.
 *
 * As the rest of the engine: no I/O, no clock; times are given, and results are 0, an enum
 * wire_status or a negative errno, after which nothing has changed.
 */

#include "core/engine.h"

/* Keys without a segment: made here by one uid; by another node; there by one uid */
#define ENGINE_SHM_UNUSED_MAX	   65536u
#define ENGINE_SHM_UNUSED_AWAY_MAX 16384u

/* A request: of whose process, by its numbers there. */
struct engine_shm_request {
	uint64_t client, serial;
	uint32_t node; /* + 1; 0: none, or of a process that is gone */
	uint32_t reserved;
};

/* Who asks: a process of this node, or of another one as it counts here. */
struct engine_shm_asker {
	const struct engine_identity *identity;
	uint32_t node;	 /* whose process it is; this node's for its own */
	uint64_t client; /* there */
	uint64_t serial; /* of its request: one that is said again is not done again */
	uint64_t now;	 /* CLOCK_REALTIME, ns */
};

struct engine_shm_place {
	uint32_t order, hard; /* enum placement_order, 0: none; the engine does not look */
	uint8_t nodes[128];
};

/* What a uid has here without a process. */
struct EngineShmEstate {
	struct tree_node node; /* by uid + 1 */
	uid_t uid;
	EngineClient *client; /* owns its segments; NULL: there is none */
	uint32_t n_keys;
	uint32_t n_unused; /* of them: without a segment */
	uint32_t n_away;   /* of these: made by processes of other nodes */
	uint32_t slot;	   /* the daemon's: its record */
};

/* Who has made keys. */
typedef struct EngineShmMaker {
	struct tree_node node; /* by client, disguised */
	uint32_t partition;
	uint64_t client;
	struct tree keys; /* by serial, disguised */
} EngineShmMaker;

struct EngineShmKey {
	struct tree_node node; /* by number */
	struct tree_node made; /* maker->keys */
	uint32_t number;
	EngineShmMaker *maker; /* NULL: gone, and by with him */
	struct engine_shm_request by;
	uid_t uid;
	EngineShmEstate *estate; /* of this uid */
	struct engine_shm_place place;
	EngineSegment *segment; /* NULL: none yet */
	uint32_t slot;		/* the daemon's: its record */
};

/* Beside EngineSegment.shm. Owner, group and mode are the segment's. */
struct EngineShm {
	EngineShmKey *key; /* NULL: removed */
	uint64_t bytes;	   /* as asked for; the segment's size is a multiple of a page */
	uint32_t node;	   /* whose process made it */
	uid_t cuid;
	gid_t cgid;
	uint32_t flags; /* WIRE_SHM_… */
	bool was_attached;
	uint64_t attached, detached, changed;
	pid_t cpid, lpid;
	char command[16];
	struct engine_shm_request made, set; /* the last SET */
	uint32_t slot;			     /* the daemon's: its record */
};

/* STATUS_NO_RESOURCES: too many unused ones, or all numbers are taken; STATUS_NODE_UNKNOWN: this
 * node, or the asker's, is no partition. */
int engine_shm_key_new(
	Engine *engine, const struct engine_shm_asker *asker, EngineShmKey **ret_key);
/* Also one that could not be remembered. */
void engine_shm_key_free(Engine *engine, EngineShmKey *key);
/* NULL: no such key of this node. */
EngineShmKey *engine_shm_key_find(Engine *engine, uint32_t key);
uint32_t engine_shm_key_value(const Engine *engine, const EngineShmKey *key);
/* Before it has a segment. STATUS_NOT_FOUND, STATUS_DENIED, STATUS_WRONG_STATE. */
int engine_shm_key_place(Engine *engine, const struct engine_shm_asker *asker, uint32_t key,
	const struct engine_shm_place *place);

/*
 * The segment of a key; *ret_new: it was made, and the caller equips it with memory, or takes it
 * back. Statuses as SHM_GET. max_bytes: of all segments of this registry.
 */
int engine_shm_get(Engine *engine, const struct engine_shm_asker *asker,
	const struct wire_shm_get *get, uint64_t max_bytes, EngineSegment **ret_segment,
	bool *ret_new);
/* What engine_shm_get() made just now could not be equipped: the key has none again. */
void engine_shm_take_back(EngineSegment *segment);

/* By id; also one that was removed, while somebody has it. NULL */
EngineSegment *engine_shm_find(Engine *engine, uint32_t shmid);
/* Only one that was not. STATUS_NOT_FOUND, STATUS_WITHDRAWN */
int engine_shm_find_present(Engine *engine, uint32_t shmid, EngineSegment **ret_segment);
/* May the asker read it (xp_shmctl IPC_STAT), change it? 0, STATUS_DENIED; STATUS_NOT_CREATOR */
int engine_shm_may_read(const EngineSegment *segment, const struct engine_shm_asker *asker);
int engine_shm_may_change(const EngineSegment *segment, const struct engine_shm_asker *asker);
/* May it see the segment in a list? */
bool engine_shm_visible(const EngineSegment *segment, const struct engine_shm_asker *asker);
/* May it still say where the memory comes from? STATUS_NOT_FOUND, STATUS_WITHDRAWN, STATUS_DENIED,
 * STATUS_WRONG_STATE: it has been attached. */
int engine_shm_may_place(Engine *engine, const struct engine_shm_asker *asker, uint32_t shmid,
	EngineSegment **ret_segment);
void engine_shm_placed(EngineSegment *segment, bool placed);

/* REMOVE, AUTOREMOVE and SET; LOCK and UNLOCK set the flag alone. The segment may be gone
 * afterwards. STATUS_NOT_FOUND, STATUS_WITHDRAWN, STATUS_NOT_CREATOR, STATUS_BAD_REQUEST. */
int engine_shm_control(Engine *engine, const struct engine_shm_asker *asker,
	const struct wire_shm_control *control);

/* An import began (mapped or not), or is about to go: times and pids. Of other segments: nothing.
 */
void engine_shm_attached(EngineImport *import, uint64_t now);
void engine_shm_detached(EngineImport *import, uint64_t now);

/* A forked child's import of what parent, an import in space clshm, is connected to, with its
 * rights; for another node's segment it is PENDING as after a connect. STATUS_BAD_HANDLE: parent is
 * none such. */
int engine_shm_inherit(EngineClient *child, EngineImport *parent, EngineImport **ret_import);

/* A process has ended (of this node, or said by another one), or (client 0) all of a node have,
 * whose numbers mean others from now on. */
void engine_shm_maker_gone(Engine *engine, uint32_t node, uint64_t client);

void engine_shm_row(const EngineSegment *segment, struct wire_shm_row *ret_row);

/*
 * Records: the counters first; estates after clients, segments after estates, then keys, and then
 * what there is beside segments; imports after that. engine_shm_settle() at the end, when all
 * clients are there. -EBADMSG: the record contradicts itself or what is already there.
 */

/* What ended an object is remembered here, for who asks again. */
#define ENGINE_SHM_ENDS 8u

struct engine_shm_counters {
	uint64_t secret;	       /* random: the shape of trees is nobody's to choose */
	uint32_t last_key, last_shmid; /* of a new node random, below 2^24 */
	uint32_t n_ends, reserved;     /* modulo 2^32 */
	struct engine_shm_request ends[ENGINE_SHM_ENDS];
};
struct engine_shm_key_record {
	struct engine_shm_request by;
	uint32_t number, uid;
	struct engine_shm_place place;
};
struct engine_shm_record {
	uint64_t instance, bytes;
	uint64_t attached, detached, changed;
	struct engine_shm_request made, set;
	uint32_t key;		 /* its number */
	uint32_t uid, gid, mode; /* these count, not those of the segment's record */
	uint32_t cuid, cgid, flags, was_attached;
	uint32_t node;
	int32_t cpid, lpid;
	char command[16];
};

void engine_shm_counters_save(const Engine *engine, struct engine_shm_counters *ret);
void engine_shm_key_save(const EngineShmKey *key, struct engine_shm_key_record *ret);
void engine_shm_save(const EngineSegment *segment, struct engine_shm_record *ret);

/* Also to begin with. */
int engine_shm_counters_restore(Engine *engine, const struct engine_shm_counters *counters);
int engine_shm_estate_restore(
	Engine *engine, uint64_t client, uid_t uid, EngineShmEstate **ret_estate);
int engine_shm_key_restore(
	Engine *engine, const struct engine_shm_key_record *record, EngineShmKey **ret_key);
int engine_shm_restore(
	Engine *engine, const struct engine_shm_record *record, EngineSegment **ret_segment);
/* What was being made or ended when the predecessor died goes, and keys of who has ended since. */
void engine_shm_settle(Engine *engine);

#endif
