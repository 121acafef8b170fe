/* SPDX-License-Identifier: Apache-2.0 */
#include "core/engine-private.h"

#include <stdlib.h>
#include <string.h>

/*
 * The registry of clshm to records and back; see restore.c. What the predecessor was doing when it
 * died is finished by engine_shm_settle(): a segment whose key is gone was being removed, one
 * without a struct engine_shm_record was being made, or was at its end.
 */

#define NUMBER_MAX WIRE_SHM_NUMBER(UINT32_MAX)

void engine_shm_counters_save(const Engine *engine, struct engine_shm_counters *ret)
{
	*ret = engine->shm.counters;
}

void engine_shm_key_save(const EngineShmKey *key, struct engine_shm_key_record *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->by = key->by;
	ret->number = key->number;
	ret->uid = key->uid;
	ret->place = key->place;
}

void engine_shm_save(const EngineSegment *segment, struct engine_shm_record *ret)
{
	const EngineShm *shm = segment->shm;

	memset(ret, 0, sizeof(*ret));
	ret->instance = segment->instance;
	ret->bytes = shm->bytes;
	ret->attached = shm->attached;
	ret->detached = shm->detached;
	ret->changed = shm->changed;
	ret->made = shm->made;
	ret->set = shm->set;
	ret->key = shm->key ? shm->key->number : 0;
	ret->uid = segment->uid;
	ret->gid = segment->gid;
	ret->mode = segment->mode;
	ret->node = shm->node;
	ret->cuid = shm->cuid;
	ret->cgid = shm->cgid;
	ret->flags = shm->flags;
	ret->was_attached = shm->was_attached;
	ret->cpid = shm->cpid;
	ret->lpid = shm->lpid;
	memcpy(ret->command, shm->command, sizeof(ret->command));
}

int engine_shm_counters_restore(Engine *engine, const struct engine_shm_counters *counters)
{
	if (counters->last_key > NUMBER_MAX || counters->last_shmid > NUMBER_MAX)
		return -EBADMSG;
	engine->shm.counters = *counters;
	return 0;
}

int engine_shm_estate_restore(
	Engine *engine, uint64_t client, uid_t uid, EngineShmEstate **ret_estate)
{
	EngineShmEstate *estate;
	int r;

	if (client == 0 || engine_client_find(engine, client))
		return -EBADMSG;
	r = engine_shm_estate_get(engine, uid, &estate);
	if (r < 0)
		return r;
	if (estate->client)
		return -EBADMSG;
	r = engine_client_attach_estate(engine, client, estate);
	if (r < 0) {
		engine_shm_estate_settle(engine, estate);
		return r;
	}
	*ret_estate = estate;
	return 0;
}

int engine_shm_key_restore(
	Engine *engine, const struct engine_shm_key_record *record, EngineShmKey **ret_key)
{
	EngineShmKey *key;
	int r;

	if (record->number == 0 || record->number > NUMBER_MAX ||
		record->by.node > WIRE_SHM_PARTITIONS || !record->by.node != !record->by.client)
		return -EBADMSG;
	if (tree_get(&engine->shm.keys, record->number))
		return -EBADMSG;
	key = calloc(1, sizeof(*key));
	if (!key)
		return -ENOMEM;
	key->by = record->by;
	key->number = record->number;
	key->uid = record->uid;
	key->place = record->place;
	r = engine_shm_key_attach(engine, key);
	if (r < 0) {
		free(key);
		return r == -EEXIST ? -EBADMSG : r;
	}
	*ret_key = key;
	return 0;
}

static bool record_valid(const EngineSegment *segment, const struct engine_shm_record *record)
{
	const uint32_t flags = WIRE_SHM_AUTO | WIRE_SHM_REMOVED | WIRE_SHM_LOCKED | WIRE_SHM_PLACED;

	if (!segment || !segment->owner->estate || segment->shm)
		return false;
	if (WIRE_SHM_PARTITION(segment->id) != segment->owner->engine->node)
		return false;
	if (record->flags & ~flags || record->was_attached > 1 || record->mode > 0777 ||
		record->node >= WIRE_SHM_PARTITIONS)
		return false;
	if (!memchr(record->command, 0, sizeof(record->command)))
		return false;
	return record->bytes > segment->size - ENGINE_PAGE && record->bytes <= segment->size;
}

int engine_shm_restore(
	Engine *engine, const struct engine_shm_record *record, EngineSegment **ret_segment)
{
	EngineSegment *segment = engine_segment_find_instance(engine, record->instance);
	struct tree_node *n = tree_get(&engine->shm.keys, record->key);
	EngineShmKey *key = n ? container_of(n, EngineShmKey, node) : NULL;
	EngineShm *shm;

	if (!record_valid(segment, record) || (key && key->segment))
		return -EBADMSG;
	shm = calloc(1, sizeof(*shm));
	if (!shm)
		return -ENOMEM;
	shm->bytes = record->bytes;
	shm->attached = record->attached;
	shm->detached = record->detached;
	shm->changed = record->changed;
	shm->made = record->made;
	shm->set = record->set;
	shm->node = record->node;
	shm->cuid = record->cuid;
	shm->cgid = record->cgid;
	shm->flags = record->flags;
	shm->was_attached = record->was_attached;
	shm->cpid = record->cpid;
	shm->lpid = record->lpid;
	memcpy(shm->command, record->command, sizeof(shm->command));
	segment->uid = record->uid;
	segment->gid = record->gid;
	segment->mode = record->mode;
	engine_shm_attach(segment, shm);
	if (key)
		engine_shm_key_use(engine, key, segment);
	else
		shm->flags |= WIRE_SHM_REMOVED;
	*ret_segment = segment;
	return 0;
}

static void settle_segments(Engine *engine)
{
	EngineSegment *s = NULL;
	uint64_t after = 0;

	while ((s = engine_segment_next(engine, after))) {
		after = s->instance;
		if (s->owner->estate && !s->shm)
			engine_segment_destroy(s);
		else
			engine_shm_review(s);
	}
}

static EngineShmEstate *any_empty_estate(const struct tree_node *n)
{
	EngineShmEstate *estate = container_of(n, EngineShmEstate, node);

	if (!n)
		return NULL;
	if (estate->client && estate->client->segments.n_used == 0)
		return estate;
	estate = any_empty_estate(n->left);
	return estate ? estate : any_empty_estate(n->right);
}

static void settle_keys(Engine *engine)
{
	struct tree_node *n;
	uint64_t after = 0;

	while ((n = tree_above(&engine->shm.keys, after))) {
		EngineShmKey *key = container_of(n, EngineShmKey, node);

		after = n->key;
		if (!key->maker && !key->segment)
			engine_shm_key_free(engine, key);
		else if (key->by.node == engine->node + 1 &&
			 !engine_client_find(engine, key->by.client))
			engine_shm_maker_gone(engine, engine->node, key->by.client);
	}
}

void engine_shm_settle(Engine *engine)
{
	EngineShmEstate *estate;

	settle_segments(engine);
	settle_keys(engine);
	while ((estate = any_empty_estate(engine->shm.estates.root)))
		engine_shm_estate_settle(engine, estate);
}

void engine_shm_deinit(Engine *engine)
{
	EngineSegment *s = NULL;
	struct tree_node *n;
	uint64_t after = 0;

	while ((s = engine_segment_next(engine, after))) {
		after = s->instance;
		if (s->owner->estate)
			engine_segment_destroy(s);
	}
	while ((n = engine->shm.keys.root))
		engine_shm_key_free(engine, container_of(n, EngineShmKey, node));
}
