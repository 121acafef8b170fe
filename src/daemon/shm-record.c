/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/shm-record.h"

#include "daemon/manager-segment.h"

static int save(Manager *m, uint32_t kind, const void *record, size_t size, uint32_t *slot)
{
	if (*slot == JOURNAL_NO_SLOT)
		return journal_add(m->journal, kind, record, size, slot);
	journal_update(m->journal, *slot, record, size);
	return 0;
}

int shm_save_node(Manager *m)
{
	const struct shm_settings *settings = &m->shm->settings;
	struct record_shm_node record = {.max_pages = settings->max_pages,
		.timeout = settings->timeout,
		.shut_down = settings->shut_down};

	engine_shm_counters_save(m->engine, &record.counters);
	return save(m, RECORD_SHM_NODE, &record, sizeof(record), &m->shm->slot);
}

int shm_save_key(Manager *m, EngineShmKey *key)
{
	struct engine_shm_key_record record;

	engine_shm_key_save(key, &record);
	return save(m, RECORD_SHM_KEY, &record, sizeof(record), &key->slot);
}

int shm_save_estate(Manager *m, EngineShmEstate *estate)
{
	const struct record_estate record = {.client = estate->client->id, .uid = estate->uid};

	return save(m, RECORD_ESTATE, &record, sizeof(record), &estate->slot);
}

int shm_save_segment(Manager *m, EngineSegment *segment)
{
	struct engine_shm_record record;

	engine_shm_save(segment, &record);
	return save(m, RECORD_SHM, &record, sizeof(record), &segment->shm->slot);
}

/* Operations */

void shm_on_counted(void *userdata)
{
	/* a segment has been made, so there is a record */
	(void)shm_save_node(userdata);
}

/* One that is being made has no record yet. */
void shm_on_changed(void *userdata, EngineSegment *segment)
{
	if (segment->shm->slot != JOURNAL_NO_SLOT)
		(void)shm_save_segment(userdata, segment);
}

void shm_on_key_changed(void *userdata, EngineShmKey *key)
{
	if (key->slot != JOURNAL_NO_SLOT)
		(void)shm_save_key(userdata, key);
}

void shm_on_key_free(void *userdata, EngineShmKey *key)
{
	Manager *m = userdata;

	journal_remove(m->journal, key->slot);
}

void shm_on_estate_free(void *userdata, EngineShmEstate *estate)
{
	Manager *m = userdata;

	journal_remove(m->journal, estate->slot);
	estate->slot = JOURNAL_NO_SLOT;
}

void shm_segment_free(Manager *m, EngineSegment *segment)
{
	if (!segment->shm)
		return;
	shm_changes_count(m);
	journal_remove(m->journal, segment->shm->slot);
}

void shm_store(Manager *m)
{
	EngineSegment *s = NULL;

	while ((s = engine_segment_next(m->engine, s ? s->instance : 0)))
		if (s->shm)
			manager_segment_store(m, s);
}

/* After a restart */

int shm_restore_node(Manager *m, uint32_t slot, struct keeper_stored *stored)
{
	struct record_shm_node record;
	int r;

	journal_read(m->journal, slot, &record, sizeof(record));
	r = engine_shm_counters_restore(m->engine, &record.counters);
	if (r < 0)
		return r;
	m->shm->settings = (struct shm_settings){.shut_down = record.shut_down,
		.max_pages = record.max_pages,
		.timeout = record.timeout};
	m->shm->slot = slot;
	return 0;
}

int shm_restore_estate(Manager *m, uint32_t slot, struct keeper_stored *stored)
{
	struct record_estate record;
	EngineShmEstate *estate;
	int r;

	journal_read(m->journal, slot, &record, sizeof(record));
	r = engine_shm_estate_restore(m->engine, record.client, record.uid, &estate);
	if (r == 0)
		estate->slot = slot;
	return r;
}

int shm_restore_key(Manager *m, uint32_t slot, struct keeper_stored *stored)
{
	struct engine_shm_key_record record;
	EngineShmKey *key;
	int r;

	journal_read(m->journal, slot, &record, sizeof(record));
	r = engine_shm_key_restore(m->engine, &record, &key);
	if (r == 0)
		key->slot = slot;
	return r;
}

int shm_restore_segment(Manager *m, uint32_t slot, struct keeper_stored *stored)
{
	struct engine_shm_record record;
	EngineSegment *segment;
	int r;

	journal_read(m->journal, slot, &record, sizeof(record));
	r = engine_shm_restore(m->engine, &record, &segment);
	if (r == 0)
		segment->shm->slot = slot;
	return r;
}

void shm_restored(Manager *m)
{
	engine_shm_settle(m->engine);
	/* the predecessor may not have come to it */
	shm_changes_count(m);
	shm_locks_restore(m);
}
