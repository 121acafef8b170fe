/* SPDX-License-Identifier: Apache-2.0 */
#include "core/engine-private.h"

#include <stdlib.h>
#include <string.h>

/*
 * Segments: made by a client, published under an id, and the end of both.
 */

bool engine_space_valid(uint32_t space)
{
	return space >= WIRE_SPACE_RSM && space <= WIRE_SPACE_SISCI_DATA;
}

bool engine_size_valid(uint64_t size)
{
	return size > 0 && size % ENGINE_PAGE == 0;
}

bool engine_size_countable(const Engine *engine, uint64_t size)
{
	return range_within(engine->counts.bytes, size, UINT64_MAX);
}

bool engine_id_reserved(uint32_t space, uint32_t id)
{
	if (space != WIRE_SPACE_RSM)
		return false;
	return id <= ENGINE_RSM_RESERVED_END || id >= ENGINE_RSM_SYSTEM_BASE;
}

static void segment_charge(EngineSegment *segment)
{
	EngineUser *user = segment->owner->user;
	struct engine_counts *counts = &segment->owner->engine->counts;

	user->n_segments++;
	user->bytes += segment->size;
	user->copies += segment->copies;
	counts->n_segments++;
	counts->bytes += segment->size;
}

static void segment_uncharge(EngineSegment *segment)
{
	EngineUser *user = segment->owner->user;
	struct engine_counts *counts = &segment->owner->engine->counts;

	user->n_segments--;
	user->bytes -= segment->size;
	user->copies -= segment->copies;
	counts->n_segments--;
	counts->bytes -= segment->size;
}

int engine_segment_attach(EngineSegment *segment, uint32_t index)
{
	EngineClient *owner = segment->owner;
	Engine *engine = owner->engine;
	int r;

	list_init(&segment->imports);
	segment->state = WIRE_SEGMENT_BOUND;
	idtable_init(&segment->cells, WIRE_CELLS_MAX);
	r = idtable_add_at(&segment->cells, 0, segment);
	if (r < 0)
		return r;
	if (index == ENGINE_LOWEST)
		r = idtable_add(&owner->segments, segment, &index);
	else
		r = idtable_add_at(&owner->segments, index, segment);
	if (r < 0) {
		idtable_deinit(&segment->cells);
		return r;
	}
	segment->index = index;
	segment->node.key = segment->instance;
	tree_insert(&engine->segments, &segment->node);
	engine->counters.last_instance = MAX(engine->counters.last_instance, segment->instance);
	segment_charge(segment);
	engine_segment_count_cells(segment, 1);
	return 0;
}

static void release_cells(EngineSegment *segment)
{
	EngineImport *i;
	uint32_t cell;

	idtable_remove(&segment->cells, 0);
	idtable_for_each (&segment->cells, cell, i)
		i->holding = NULL;
	idtable_deinit(&segment->cells);
}

/* Out of every table; its imports have been revoked. */
static void segment_free(EngineSegment *segment)
{
	EngineClient *owner = segment->owner;
	Engine *engine = owner->engine;

	release_cells(segment);
	engine->ops->segment_free(engine->userdata, segment);
	engine_shm_end(segment);
	segment_uncharge(segment);
	tree_remove(&engine->segments, &segment->node);
	idtable_remove(&owner->segments, segment->index);
	free(segment);
	if (owner->estate)
		engine_shm_estate_settle(engine, owner->estate);
}

static bool within_quota(const EngineClient *client, uint64_t size)
{
	const EngineUser *user = client->user;
	uint64_t limit = client->engine->limits.max_bytes_per_user;

	return user->copies <= limit && range_within(user->bytes, size, limit - user->copies);
}

int engine_copies_add(EngineClient *client, uint64_t bytes, bool forced)
{
	if (!forced && !within_quota(client, bytes))
		return STATUS_QUOTA_BYTES;
	client->user->copies += bytes;
	return 0;
}

void engine_copies_remove(EngineClient *client, uint64_t bytes)
{
	client->user->copies -= bytes;
}

int engine_segment_set_copies(EngineSegment *segment, uint64_t bytes, bool forced)
{
	int r = bytes ? engine_copies_add(segment->owner, bytes, forced) : 0;

	if (r)
		return r;
	engine_copies_remove(segment->owner, segment->copies);
	segment->copies = bytes;
	return 0;
}

int engine_segment_create(EngineClient *client, uint32_t space, uint64_t size, uint32_t mode,
	uint32_t flags, uint64_t created, EngineSegment **ret_segment)
{
	Engine *engine = client->engine;
	const struct engine_limits *limits = &engine->limits;
	EngineSegment *segment;
	int r;

	if (!engine_space_valid(space) || (space == WIRE_SPACE_CLSHM) != !!client->estate)
		return STATUS_BAD_REQUEST;
	if (!engine_size_valid(size) || size > limits->max_segment_bytes)
		return STATUS_BAD_SIZE;
	if (!within_quota(client, size) || !engine_size_countable(engine, size))
		return STATUS_QUOTA_BYTES;
	if (client->user->n_segments >= limits->max_segments_per_user)
		return STATUS_NO_RESOURCES;

	segment = calloc(1, sizeof(*segment));
	if (!segment)
		return -ENOMEM;
	segment->owner = client;
	segment->instance = engine->counters.last_instance + 1;
	segment->size = size;
	segment->created = created;
	segment->space = space;
	segment->mode = mode & 0777;
	segment->flags = flags;
	segment->uid = client->identity.uid;
	segment->gid = client->identity.gid;
	r = engine_segment_attach(segment, ENGINE_LOWEST);
	if (r < 0) {
		free(segment);
		return r == -ENOSPC ? STATUS_NO_RESOURCES : r;
	}
	*ret_segment = segment;
	return 0;
}

EngineSegment *engine_segment_get(EngineClient *client, uint32_t index)
{
	return idtable_get(&client->segments, index);
}

static uint32_t system_id_after(uint32_t id)
{
	return id < ENGINE_RSM_SYSTEM_BASE || id == UINT32_MAX ? ENGINE_RSM_SYSTEM_BASE : id + 1;
}

/* Numbers in use are skipped, so this ends after at most as many steps as segments are published.
 */
static int next_system_id(Engine *engine, uint32_t space, uint32_t *ret_id)
{
	uint32_t id = system_id_after(engine->counters.last_system_id), first = id;

	while (ids_find(&engine->ids, space, id)) {
		id = system_id_after(id);
		if (id == first)
			return STATUS_NO_RESOURCES;
	}
	*ret_id = id;
	return 0;
}

static void set_access(EngineSegment *segment, const struct wire_access *access, uint32_t n_access)
{
	if (n_access > 0)
		memcpy(segment->access, access, n_access * sizeof(*access));
	segment->n_access = n_access;
}

void engine_segment_enter(
	EngineSegment *segment, uint32_t id, const struct wire_access *access, uint32_t n_access)
{
	segment->id = id;
	segment->state = WIRE_SEGMENT_PUBLISHED;
	set_access(segment, access, n_access);
	ids_add(&segment->owner->engine->ids, segment);
}

int engine_segment_publish(EngineSegment *segment, uint32_t id, const struct wire_access *access,
	uint32_t n_access, uint32_t *ret_id)
{
	Engine *engine = segment->owner->engine;
	bool chosen_here = id == 0;
	int r;

	if (segment->state == WIRE_SEGMENT_PUBLISHED || segment->offer)
		return STATUS_ALREADY_PUBLISHED;
	if (!chosen_here && engine_id_reserved(segment->space, id))
		return STATUS_ID_RESERVED;
	r = engine_access_check(engine, access, n_access);
	if (r)
		return r;
	if (chosen_here) {
		r = next_system_id(engine, segment->space, &id);
		if (r)
			return r;
		engine->counters.last_system_id = id;
	} else if (ids_find(&engine->ids, segment->space, id)) {
		return STATUS_ID_IN_USE;
	}
	engine_segment_enter(segment, id, access, n_access);
	*ret_id = id;
	return 0;
}

int engine_segment_republish(
	EngineSegment *segment, const struct wire_access *access, uint32_t n_access)
{
	int r;

	if (segment->state != WIRE_SEGMENT_PUBLISHED)
		return STATUS_NOT_PUBLISHED;
	r = engine_access_check(segment->owner->engine, access, n_access);
	if (r)
		return r;
	set_access(segment, access, n_access);
	return 0;
}

bool engine_segment_shared(const EngineSegment *segment)
{
	EngineImport *i;

	if (segment->handed_out)
		return true;
	list_for_each (i, &segment->imports, link)
		if (i->client != segment->owner && !i->client->peer)
			return true;
	return false;
}

/* The id goes first, so that whoever hears of the end and connects again does not find it. */
static void segment_withdraw(EngineSegment *segment, enum wire_import_state state)
{
	EngineImport *i, *tmp;

	if (segment->state != WIRE_SEGMENT_PUBLISHED)
		return;
	ids_remove(&segment->owner->engine->ids, segment);
	segment->state = WIRE_SEGMENT_BOUND;
	segment->id = 0;
	segment->n_access = 0;
	segment->offer = 0;
	list_for_each_safe (i, tmp, &segment->imports, link)
		engine_import_revoke(i, state);
	segment->handed_out = false;
}

int engine_segment_unpublish(EngineSegment *segment, bool *ret_move)
{
	bool move = engine_segment_shared(segment);

	if (segment->state != WIRE_SEGMENT_PUBLISHED)
		return STATUS_NOT_PUBLISHED;
	segment_withdraw(segment, WIRE_IMPORT_REVOKED);
	*ret_move = move;
	return 0;
}

/* What its owner had left before, for those who had it. */
static void revoke_left(EngineSegment *segment, enum wire_import_state state)
{
	EngineImport *i, *tmp;

	segment->offer = 0;
	if (segment->state != WIRE_SEGMENT_BOUND)
		return;
	list_for_each_safe (i, tmp, &segment->imports, link)
		engine_import_revoke(i, state);
	segment->handed_out = false;
}

void engine_segment_end(EngineSegment *segment, enum wire_import_state state)
{
	revoke_left(segment, state);
	segment_withdraw(segment, state);
	segment_free(segment);
}

void engine_segment_destroy(EngineSegment *segment)
{
	engine_segment_end(segment, WIRE_IMPORT_REVOKED);
}

void engine_segment_count_cells(EngineSegment *segment, uint32_t at_least)
{
	Engine *engine = segment->owner->engine;
	uint32_t n = MAX(segment->n_cells, at_least);

	while (n > 1 && !idtable_get(&segment->cells, n - 1))
		n--;
	if (n == segment->n_cells)
		return;
	segment->n_cells = n;
	engine->ops->segment_cells(engine->userdata, segment);
}
