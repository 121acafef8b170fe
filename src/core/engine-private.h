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
#include "wire/shared.h"
#include "wire/status.h"

#define ENGINE_PAGE   4096u	 /* segments are multiples of it */
#define ENGINE_LOWEST UINT32_MAX /* as an index: any */

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
};

/* client.c */
EngineClient *engine_client_find(const Engine *engine, uint64_t id);
EngineUser *engine_user_find(const Engine *engine, uid_t uid);
/* Makes a client with this id, charged to uid. Errors: -ENOMEM. */
int engine_client_attach(Engine *engine, uint64_t id, const struct engine_identity *identity,
	uid_t uid, EngineClient **ret_client);
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
/* Puts the import into the tables of its client and, if there are such, of import->segment and
 * ->holding. index and cell:
 * ENGINE_LOWEST or one that must be free. Errors of idtable_add() and idtable_add_at(). */
int engine_import_attach(EngineImport *import, uint32_t index, uint32_t cell);
/* The import has lost its segment. */
void engine_import_revoke(EngineImport *import, enum wire_import_state state);

/* access.c */
int engine_access_check(const Engine *engine, const struct wire_access *access, uint32_t n_access);
/* The rights of a process on a node: NOT_LISTED, or 0 and WIRE_READ | WIRE_WRITE as allowed. */
int engine_access_rights(const EngineSegment *segment, uint32_t node,
	const struct engine_identity *identity, uint32_t *ret_rights);
/* Is this one of the nodes, and which: 0 stands for this one. */
bool engine_node_resolve(const Engine *engine, uint32_t node, uint32_t *ret_node);

#endif
