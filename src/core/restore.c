/* SPDX-License-Identifier: Apache-2.0 */
#include "core/engine-private.h"

#include <stdlib.h>
#include <string.h>

/*
 * Objects to records and back. A record is looked at as a whole before anything is made of it; only
 * memory can then fail.
 */

/* Records are compared and stored as bytes: what is between their fields is 0. */
void engine_client_save(const EngineClient *client, struct engine_client_record *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->id = client->id;
	ret->identity = client->identity;
	if (client->peer) {
		ret->peer = client->peer->number;
		ret->guest = client->guest;
	} else {
		ret->charged_uid = client->user->uid;
	}
}

void engine_segment_save(const EngineSegment *segment, struct engine_segment_record *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->client = segment->owner->id;
	ret->instance = segment->instance;
	ret->size = segment->size;
	ret->created = segment->created;
	ret->index = segment->index;
	ret->space = segment->space;
	ret->mode = segment->mode;
	ret->flags = segment->flags;
	ret->state = segment->state;
	ret->id = segment->id;
	ret->uid = segment->uid;
	ret->gid = segment->gid;
	ret->handed_out = segment->handed_out;
	ret->n_access = segment->n_access;
	ret->offer = segment->offer;
	memcpy(ret->access, segment->access, segment->n_access * sizeof(*ret->access));
}

void engine_import_save(const EngineImport *import, struct engine_import_record *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->client = import->client->id;
	ret->instance = import->instance;
	ret->index = import->index;
	ret->generation = import->generation;
	ret->rights = import->rights;
	ret->cell = import->cell;
	ret->state = import->state;
	ret->attached = import->attached;
	ret->home_cell = import->home_cell;
	ret->node = import->node;
	ret->space = import->space;
	ret->id = import->id;
	ret->failure = import->failure;
	ret->flags = import->flags;
	ret->granted = import->granted;
	ret->size = import->size;
	ret->incarnation = import->incarnation;
	memcpy(ret->key, import->key, sizeof(ret->key));
	ret->parent = import->parent;
	ret->parent_index = import->parent_index;
	ret->parent_generation = import->parent_generation;
}

void engine_counters_save(const Engine *engine, struct engine_counters *ret)
{
	*ret = engine->counters;
}

int engine_counters_restore(Engine *engine, const struct engine_counters *counters)
{
	struct engine_counters *own = &engine->counters;

	if (counters->last_system_id != 0 && counters->last_system_id < ENGINE_RSM_SYSTEM_BASE)
		return -EBADMSG;
	own->last_client = MAX(own->last_client, counters->last_client);
	own->last_instance = MAX(own->last_instance, counters->last_instance);
	own->last_system_id = counters->last_system_id;
	own->last_session = MAX(own->last_session, counters->last_session);
	return 0;
}

int engine_client_restore(
	Engine *engine, const struct engine_client_record *record, EngineClient **ret_client)
{
	const struct engine_identity *identity = &record->identity;
	EnginePeer *peer = record->peer ? engine_peer_find(engine, record->peer) : NULL;

	if (!record->peer != !record->guest)
		return -EBADMSG;
	if (record->peer && (!peer || !peer->session || engine_guest_find(peer, record->guest)))
		return -EBADMSG;
	if (record->id == 0 || engine_client_find(engine, record->id))
		return -EBADMSG;
	if (identity->n_groups > ENGINE_GROUPS_MAX)
		return -EBADMSG;
	if (!memchr(identity->command, 0, sizeof(identity->command)))
		return -EBADMSG;
	return engine_client_attach(
		engine, record->id, identity, record->charged_uid, peer, record->guest, ret_client);
}

/* What -ERANGE or -EEXIST means here: the record names a place that is none, or taken. */
static int contradiction(int r)
{
	return r == -ERANGE || r == -EEXIST ? -EBADMSG : r;
}

static bool published_record_valid(Engine *engine, const struct engine_segment_record *record)
{
	if (ids_find(&engine->ids, record->space, record->id))
		return false;
	if (record->offer)
		return record->offer & WIRE_OFFERED && record->n_access == 0;
	if (record->id == 0)
		return false;
	if (engine_id_reserved(record->space, record->id) && record->id < ENGINE_RSM_SYSTEM_BASE)
		return false;
	return engine_access_record_valid(record->access, record->n_access);
}

static bool segment_record_valid(Engine *engine, const struct engine_segment_record *record)
{
	if (record->instance == 0 || engine_segment_find_instance(engine, record->instance))
		return false;
	if (!engine_size_valid(record->size) || !engine_size_countable(engine, record->size))
		return false;
	if (!engine_space_valid(record->space) || record->mode > 0777 || record->handed_out > 1)
		return false;
	if (record->state == WIRE_SEGMENT_PUBLISHED)
		return published_record_valid(engine, record);
	return record->state == WIRE_SEGMENT_BOUND && record->id == 0 && record->n_access == 0 &&
	       (record->handed_out == 0 || record->offer & WIRE_OFFER_LEFT);
}

int engine_segment_restore(
	Engine *engine, const struct engine_segment_record *record, EngineSegment **ret_segment)
{
	EngineClient *owner = engine_client_find(engine, record->client);
	EngineSegment *segment;
	int r;

	/* The range check also keeps the number that means "any" from coming in. */
	if (!owner || owner->peer || record->index >= WIRE_CLIENT_EXPORTS ||
		(record->space == WIRE_SPACE_CLSHM) != !!owner->estate)
		return -EBADMSG;
	if (!segment_record_valid(engine, record))
		return -EBADMSG;
	segment = calloc(1, sizeof(*segment));
	if (!segment)
		return -ENOMEM;
	segment->owner = owner;
	segment->instance = record->instance;
	segment->size = record->size;
	segment->created = record->created;
	segment->space = record->space;
	segment->mode = record->mode;
	segment->flags = record->flags;
	segment->uid = record->uid;
	segment->gid = record->gid;
	segment->handed_out = record->handed_out;
	segment->offer = record->offer;
	r = engine_segment_attach(segment, record->index);
	if (r < 0) {
		free(segment);
		return contradiction(r);
	}
	if (record->state == WIRE_SEGMENT_PUBLISHED)
		engine_segment_enter(segment, record->id, record->access, record->n_access);
	*ret_segment = segment;
	return 0;
}

static bool import_record_valid(
	const struct engine_import_record *record, const EngineSegment *segment)
{
	if (record->instance == 0 || record->generation == 0)
		return false;
	if (record->rights & ~(WIRE_READ | WIRE_WRITE))
		return false;
	if (segment && record->cell == 0)
		return false;
	switch (record->state) {
	case WIRE_IMPORT_CONNECTED:
		return record->cell > 0 && (!segment || segment->state == WIRE_SEGMENT_PUBLISHED ||
						   segment->offer & WIRE_OFFER_LEFT);
	case WIRE_IMPORT_REVOKED:
	case WIRE_IMPORT_EXPORTER_GONE: /* its segment may be there, when its end was begun */
		return true;
	default:
		return false;
	}
}

static int local_restore(
	EngineClient *client, const struct engine_import_record *record, EngineImport **ret_import)
{
	EngineSegment *segment = engine_segment_find_instance(client->engine, record->instance);
	EngineImport *import;
	int r;

	if (!import_record_valid(record, segment))
		return -EBADMSG;
	import = calloc(1, sizeof(*import));
	if (!import)
		return -ENOMEM;
	import->client = client;
	import->instance = record->instance;
	import->rights = record->rights;
	import->cell = record->cell;
	import->state = record->state;
	import->attached = record->attached;
	import->announced = !record->attached;
	import->holding = segment;
	if (record->state == WIRE_IMPORT_CONNECTED)
		import->segment = segment;
	if (import->segment && import->segment->shm)
		import->segment->shm->was_attached = true;
	if (!import->segment && record->state == WIRE_IMPORT_CONNECTED)
		import->state = WIRE_IMPORT_EXPORTER_GONE;
	r = engine_import_attach(import, record->index, record->cell);
	if (r < 0) {
		free(import);
		return r;
	}
	if (import->holding)
		engine_segment_count_cells(import->holding, import->cell + 1);
	*ret_import = import;
	return 0;
}

int engine_import_restore(
	Engine *engine, const struct engine_import_record *record, EngineImport **ret_import)
{
	EngineClient *client = engine_client_find(engine, record->client);
	EngineImport *import;
	int r;

	/* The range checks also keep the number that means "any" from coming in. */
	if (!client || record->index >= WIRE_CLIENT_IMPORTS || record->cell >= WIRE_CELLS_MAX)
		return -EBADMSG;
	if (record->node)
		r = engine_remote_restore(client, record, &import);
	else
		r = local_restore(client, record, &import);
	if (r < 0)
		return contradiction(r);
	import->generation = record->generation;
	if (!client->peer)
		client->generations[import->index] =
			MAX(client->generations[import->index], record->generation);
	engine_import_show(import);
	*ret_import = import;
	return 0;
}

int engine_generation_restore(EngineClient *client, uint32_t index, uint32_t generation)
{
	int r;

	if (index >= WIRE_CLIENT_IMPORTS || client->peer)
		return -EBADMSG;
	r = engine_client_reserve_generation(client, index);
	if (r < 0)
		return r;
	client->generations[index] = MAX(client->generations[index], generation);
	return 0;
}
