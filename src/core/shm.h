/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_SHM_H
#define CORE_SHM_H

/*
 * Shared memory with System V life (docs/design/0011-clshm.md): keys of this node, the segments
 * behind them, and when those end. A segment belongs to an estate, a client without a process; an
 * attach is an import in space clshm, so that nothing here counts them.
 *
 * As the rest of the engine: no I/O, no clock; times are given, and results are 0, an enum
 * wire_status or a negative errno, after which nothing has changed.
 */

#include "core/engine.h"

typedef struct EngineShm EngineShm;
typedef struct EngineShmKey EngineShmKey;

/* Who asks: a process of this node, or of another one as it counts here. */
struct engine_shm_asker {
	const struct engine_identity *identity;
	uint32_t node;	 /* whose process it is; this node's for its own */
	uint64_t client; /* there */
	uint64_t serial; /* of its request: one that is said again is not done again */
	uint64_t now;	 /* CLOCK_REALTIME, ns */
};

struct engine_shm_place {
	uint32_t order, hard; /* enum placement_order; the engine does not look */
	uint8_t nodes[128];
};

struct EngineShmKey {
	struct tree_node node; /* by number */
	uint32_t number;
	uint32_t maker_node;
	uint64_t maker, serial; /* who made it, and his request */
	uid_t uid;
	gid_t gid;
	bool placed;
	struct engine_shm_place place;
	EngineSegment *segment; /* NULL: none yet */
	void *userdata;		/* the daemon's: its record */
};

/* Beside EngineSegment.shm. Owner, group and mode are the segment's. */
struct EngineShm {
	EngineShmKey *key; /* NULL: removed */
	uint32_t shmid;	   /* also when removed */
	uint64_t bytes;	   /* as asked for; the segment's size is a multiple of a page */
	uid_t cuid;
	gid_t cgid;
	uint32_t flags; /* WIRE_SHM_… */
	bool was_attached;
	uint64_t attached, detached, changed;
	pid_t cpid, lpid;
	char command[16];
	/* the last requests with an effect, to be recognised */
	uint32_t asker_node;
	uint64_t asker, serial;
};

/* STATUS_NO_RESOURCES: too many unused ones of this uid, or all numbers are taken. */
int engine_shm_key_new(
	Engine *engine, const struct engine_shm_asker *asker, EngineShmKey **ret_key);
/* NULL: no such key of this node. */
EngineShmKey *engine_shm_key_find(Engine *engine, uint32_t key);
/* Before it has a segment. STATUS_NOT_FOUND, STATUS_DENIED, STATUS_WRONG_STATE. */
int engine_shm_key_place(Engine *engine, const struct engine_shm_asker *asker, uint32_t key,
	const struct engine_shm_place *place);

/*
 * The segment of a key; *ret_new: it was made, as an offered and not yet open one of the asker's
 * estate, and the caller equips it with memory and opens it, or destroys it. Statuses as SHM_GET.
 * max_bytes: of all segments of this registry.
 */
int engine_shm_get(Engine *engine, const struct engine_shm_asker *asker,
	const struct wire_shm_get *get, uint64_t max_bytes, EngineSegment **ret_segment,
	bool *ret_new);

/* By id; also one that was removed, while somebody has it. NULL */
EngineSegment *engine_shm_find(Engine *engine, uint32_t shmid);
/* May the asker read it (xp_shmctl IPC_STAT), change it? 0, STATUS_DENIED; STATUS_NOT_CREATOR */
int engine_shm_may_read(const EngineSegment *segment, const struct engine_shm_asker *asker);
int engine_shm_may_change(const EngineSegment *segment, const struct engine_shm_asker *asker);

/* REMOVE, AUTOREMOVE and SET; LOCK and UNLOCK set the flag alone. The segment may be gone
 * afterwards. STATUS_NOT_FOUND, STATUS_WITHDRAWN, STATUS_NOT_CREATOR, STATUS_BAD_REQUEST. */
int engine_shm_control(Engine *engine, const struct engine_shm_asker *asker,
	const struct wire_shm_control *control);

/* An import began (mapped or not), or is about to go: times and pids, and was_attached. The caller
 * records what changed. */
void engine_shm_attached(EngineImport *import, uint64_t now);
void engine_shm_detached(EngineImport *import, uint64_t now);

/* A forked child's import of what parent, an import in space clshm, is connected to, with its
 * rights; for another node's segment it is PENDING as after a connect. STATUS_BAD_HANDLE: parent is
 * none such. */
int engine_shm_inherit(EngineClient *child, EngineImport *parent, EngineImport **ret_import);

/* A process has ended (of this node, or said by another one), or (client 0) all of a node have. */
void engine_shm_maker_gone(Engine *engine, uint32_t node, uint64_t client);

void engine_shm_row(const EngineSegment *segment, struct wire_shm_row *ret_row);

/* For records. */
struct engine_shm_counters {
	uint32_t last_key, last_shmid;
};
void engine_shm_counters_save(const Engine *engine, struct engine_shm_counters *ret);
int engine_shm_counters_restore(Engine *engine, const struct engine_shm_counters *counters);

#endif
