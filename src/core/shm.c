/* SPDX-License-Identifier: Apache-2.0 */
#include "core/engine-private.h"

#include <stdlib.h>
#include <string.h>

/*
 * Segments of clshm: made by the first who uses a key, changed and removed by owner and creator,
 * ended with their last import.
 *
 * Order counts where a successor may read what is remembered: the key goes before the rest, so that
 * it cannot come back without its segment.
 */

static Engine *engine_of(const EngineSegment *segment)
{
	return segment->owner->engine;
}

static void changed(EngineSegment *segment)
{
	Engine *engine = engine_of(segment);

	if (engine->ops->shm_changed)
		engine->ops->shm_changed(engine->userdata, segment);
}

/* Requests */

static struct engine_shm_request request_of(const struct engine_shm_asker *asker)
{
	return (struct engine_shm_request){
		.node = asker->node + 1, .client = asker->client, .serial = asker->serial};
}

static bool is_again(const struct engine_shm_request *request, const struct engine_shm_asker *asker)
{
	return request->node == asker->node + 1 && request->client == asker->client &&
	       request->serial == asker->serial;
}

/* Before the object goes. */
static void note_end(Engine *engine, const struct engine_shm_asker *asker)
{
	struct engine_shm_counters *counters = &engine->shm.counters;

	counters->ends[counters->n_ends++ % ENGINE_SHM_ENDS] = request_of(asker);
	if (engine->ops->shm_counted)
		engine->ops->shm_counted(engine->userdata);
}

static bool has_ended(const Engine *engine, const struct engine_shm_asker *asker)
{
	for (unsigned int i = 0; i < ENGINE_SHM_ENDS; i++)
		if (is_again(&engine->shm.counters.ends[i], asker))
			return true;
	return false;
}

static bool forget_if_of(struct engine_shm_request *request, uint32_t node)
{
	bool is_of = request->node == node + 1;

	if (is_of)
		*request = (struct engine_shm_request){0};
	return is_of;
}

void engine_shm_forget_requests(Engine *engine, uint32_t node)
{
	EngineSegment *s = NULL;
	bool some = false;

	for (unsigned int i = 0; i < ENGINE_SHM_ENDS; i++)
		some |= forget_if_of(&engine->shm.counters.ends[i], node);
	if (some && engine->ops->shm_counted)
		engine->ops->shm_counted(engine->userdata);
	while ((s = engine_segment_next(engine, s ? s->instance : 0))) {
		if (!s->shm)
			continue;
		some = forget_if_of(&s->shm->made, node);
		if (forget_if_of(&s->shm->set, node) || some)
			changed(s);
	}
}

/* Rights */

static uint32_t rights_of(const EngineSegment *segment, const struct engine_shm_asker *asker)
{
	uint32_t rights;

	return engine_access_rights(segment, asker->node, asker->identity, &rights) ? 0 : rights;
}

int engine_shm_may_read(const EngineSegment *segment, const struct engine_shm_asker *asker)
{
	return rights_of(segment, asker) & WIRE_READ ? 0 : STATUS_DENIED;
}

int engine_shm_may_change(const EngineSegment *segment, const struct engine_shm_asker *asker)
{
	uid_t uid = asker->identity->uid;

	return uid == 0 || engine_access_is_owner(segment, uid) ? 0 : STATUS_NOT_CREATOR;
}

bool engine_shm_visible(const EngineSegment *segment, const struct engine_shm_asker *asker)
{
	return rights_of(segment, asker) || !engine_shm_may_change(segment, asker);
}

/* It is there to be mapped, and the kernel knows no memory that can only be written. */
int engine_shm_judge(const EngineSegment *segment, uint32_t rights)
{
	if (!segment->shm)
		return 0;
	if (!(rights & WIRE_READ))
		return STATUS_DENIED;
	return segment->shm->flags & WIRE_SHM_REMOVED ? STATUS_WITHDRAWN : 0;
}

/* Making */

EngineSegment *engine_shm_find(Engine *engine, uint32_t shmid)
{
	return ids_find(&engine->ids, WIRE_SPACE_CLSHM, shmid);
}

static uint32_t shmid_of(const Engine *engine, uint32_t number)
{
	return engine->node << 24 | number;
}

static bool shmid_taken(Engine *engine, uint32_t number)
{
	return engine_shm_find(engine, shmid_of(engine, number));
}

static EngineShm *shm_new(const struct engine_shm_asker *asker, uint64_t bytes)
{
	const struct engine_identity *identity = asker->identity;
	EngineShm *shm = calloc(1, sizeof(*shm));

	if (!shm)
		return NULL;
	shm->bytes = bytes;
	shm->node = asker->node;
	shm->cuid = identity->uid;
	shm->cgid = identity->gid;
	shm->cpid = identity->pid;
	shm->changed = asker->now;
	shm->made = request_of(asker);
	memcpy(shm->command, identity->command, sizeof(shm->command));
	return shm;
}

void engine_shm_attach(EngineSegment *segment, EngineShm *shm)
{
	struct shm_registry *registry = &engine_of(segment)->shm;

	segment->shm = shm;
	registry->bytes += segment->size;
	registry->n_segments++;
	registry->makers[shm->node].n_segments++;
}

static uint64_t whole_pages(uint64_t bytes)
{
	return (bytes + ENGINE_PAGE - 1) & ~(uint64_t)(ENGINE_PAGE - 1);
}

static int segment_new(EngineShmEstate *estate, const struct engine_shm_asker *asker,
	const struct wire_shm_get *get, EngineSegment **ret_segment)
{
	const bool big = __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__;
	EngineShm *shm = shm_new(asker, get->size);
	EngineSegment *segment;
	int r;

	if (!shm)
		return -ENOMEM;
	r = engine_segment_create(estate->client, WIRE_SPACE_CLSHM, whole_pages(get->size),
		get->mode ? get->mode : 0600, big ? WIRE_SEGMENT_BIG_ENDIAN : 0, asker->now,
		&segment);
	if (r) {
		free(shm);
		return r;
	}
	segment->uid = asker->identity->uid;
	segment->gid = asker->identity->gid;
	engine_shm_attach(segment, shm);
	*ret_segment = segment;
	return 0;
}

static int segment_make(EngineShmEstate *estate, const struct engine_shm_asker *asker,
	const struct wire_shm_get *get, EngineShmKey *key, EngineSegment **ret_segment)
{
	Engine *engine = estate->client->engine;
	uint32_t number;
	int r;

	r = engine_shm_number(engine, engine->shm.counters.last_shmid, shmid_taken, &number);
	if (r == 0)
		r = segment_new(estate, asker, get, ret_segment);
	if (r)
		return r;
	engine->shm.counters.last_shmid = number;
	engine_segment_enter(*ret_segment, shmid_of(engine, number), NULL, 0);
	engine_shm_key_use(engine, key, *ret_segment);
	return 0;
}

/* Each costs the node descriptors, also when nobody is there any more who has it: one user, or
 * another node, has no more of them than it leaves to others. */
static bool too_many(
	const Engine *engine, const EngineShmEstate *estate, const struct engine_shm_asker *asker)
{
	const struct shm_registry *registry = &engine->shm;
	uint32_t max = engine->limits.max_shm_segments, left;

	if (!max)
		return false;
	if (registry->n_segments >= max)
		return true;
	left = max - registry->n_segments;
	if (asker->node != engine->node && registry->makers[asker->node].n_segments >= left)
		return true;
	return asker->identity->uid != 0 && estate->client &&
	       estate->client->segments.n_used >= left;
}

static int get_new(Engine *engine, const struct engine_shm_asker *asker,
	const struct wire_shm_get *get, uint64_t max_bytes, EngineShmKey *key,
	EngineSegment **ret_segment)
{
	EngineShmEstate *estate;
	int r;

	if (get->size == 0 || get->size > engine->limits.max_segment_bytes ||
		get->size > UINT64_MAX - ENGINE_PAGE)
		return STATUS_BAD_SIZE;
	if (!range_within(engine->shm.bytes, whole_pages(get->size), max_bytes))
		return STATUS_QUOTA_BYTES;
	r = engine_shm_estate_get(engine, asker->identity->uid, &estate);
	if (r < 0)
		return r;
	r = too_many(engine, estate, asker) ? STATUS_NO_RESOURCES
					    : engine_shm_estate_need_client(engine, estate);
	if (r == 0)
		r = segment_make(estate, asker, get, key, ret_segment);
	if (r)
		engine_shm_estate_settle(engine, estate);
	return r;
}

static int get_old(const EngineSegment *segment, const struct engine_shm_asker *asker,
	const struct wire_shm_get *get)
{
	uint32_t wanted = get->mode | get->mode >> 3 | get->mode >> 6;

	if (is_again(&segment->shm->made, asker))
		return 0;
	if (get->flags & WIRE_SHM_EXCLUSIVE)
		return STATUS_ID_IN_USE;
	if (get->size != segment->shm->bytes)
		return STATUS_BAD_SIZE;
	wanted &= WIRE_READ | WIRE_WRITE;
	return wanted & ~rights_of(segment, asker) ? STATUS_DENIED : 0;
}

int engine_shm_get(Engine *engine, const struct engine_shm_asker *asker,
	const struct wire_shm_get *get, uint64_t max_bytes, EngineSegment **ret_segment,
	bool *ret_new)
{
	EngineShmKey *key = engine_shm_key_find(engine, get->key);
	EngineSegment *segment;
	bool made;
	int r;

	if (get->mode > 0777 || get->flags & ~WIRE_SHM_EXCLUSIVE)
		return STATUS_BAD_REQUEST;
	if (!key)
		return STATUS_NOT_FOUND;
	segment = key->segment;
	made = !segment;
	r = made ? get_new(engine, asker, get, max_bytes, key, &segment)
		 : get_old(segment, asker, get);
	if (r)
		return r;
	*ret_segment = segment;
	*ret_new = made;
	return 0;
}

void engine_shm_take_back(EngineSegment *segment)
{
	engine_shm_key_use(engine_of(segment), segment->shm->key, NULL);
	engine_segment_destroy(segment);
}

/* Ends */

static void release_key(EngineSegment *segment)
{
	if (segment->shm->key)
		engine_shm_key_free(engine_of(segment), segment->shm->key);
}

void engine_shm_end(EngineSegment *segment)
{
	struct shm_registry *registry = &engine_of(segment)->shm;

	if (!segment->shm)
		return;
	release_key(segment);
	registry->bytes -= segment->size;
	registry->n_segments--;
	registry->makers[segment->shm->node].n_segments--;
	free(segment->shm);
	segment->shm = NULL;
}

static bool is_over(const EngineSegment *segment)
{
	const EngineShm *shm = segment->shm;

	if (segment->n_imports > 0)
		return false;
	return shm->flags & WIRE_SHM_REMOVED || (shm->flags & WIRE_SHM_AUTO && shm->was_attached);
}

void engine_shm_review(EngineSegment *segment)
{
	if (!segment->shm || !is_over(segment))
		return;
	release_key(segment);
	engine_segment_destroy(segment);
}

/* Control */

static void set_removed(EngineSegment *segment)
{
	release_key(segment);
	segment->shm->flags |= WIRE_SHM_REMOVED;
	changed(segment);
	engine_shm_review(segment);
}

static void set_auto(EngineSegment *segment)
{
	segment->shm->flags |= WIRE_SHM_AUTO;
	changed(segment);
	engine_shm_review(segment);
}

static void set_owner(EngineSegment *segment, const struct engine_shm_asker *asker,
	const struct wire_shm_control *control)
{
	EngineShm *shm = segment->shm;

	if (is_again(&shm->set, asker))
		return;
	segment->uid = control->uid;
	segment->gid = control->gid;
	segment->mode = control->mode;
	shm->changed = asker->now;
	shm->set = request_of(asker);
	changed(segment);
}

static void set_flag(EngineSegment *segment, uint32_t flag, bool on)
{
	uint32_t flags = segment->shm->flags & ~flag;

	segment->shm->flags = on ? flags | flag : flags;
	changed(segment);
}

static bool control_valid(const struct wire_shm_control *control)
{
	if (control->command < WIRE_SHM_REMOVE || control->command > WIRE_SHM_UNLOCK)
		return false;
	return control->command != WIRE_SHM_SET || control->mode <= 0777;
}

int engine_shm_find_present(Engine *engine, uint32_t shmid, EngineSegment **ret_segment)
{
	EngineSegment *segment = engine_shm_find(engine, shmid);

	if (!segment)
		return STATUS_NOT_FOUND;
	if (segment->shm->flags & WIRE_SHM_REMOVED)
		return STATUS_WITHDRAWN;
	*ret_segment = segment;
	return 0;
}

int engine_shm_control(Engine *engine, const struct engine_shm_asker *asker,
	const struct wire_shm_control *control)
{
	uint32_t command = control->command;
	EngineSegment *segment;
	int r;

	if (!control_valid(control))
		return STATUS_BAD_REQUEST;
	r = engine_shm_find_present(engine, control->shmid, &segment);
	if (r)
		return has_ended(engine, asker) ? 0 : r;
	/* who has given it away says so again */
	if (command != WIRE_SHM_SET || !is_again(&segment->shm->set, asker))
		r = engine_shm_may_change(segment, asker);
	if (r)
		return r;
	if (command == WIRE_SHM_REMOVE || command == WIRE_SHM_AUTOREMOVE)
		note_end(engine, asker);
	if (command == WIRE_SHM_REMOVE)
		set_removed(segment);
	else if (command == WIRE_SHM_AUTOREMOVE)
		set_auto(segment);
	else if (command == WIRE_SHM_SET)
		set_owner(segment, asker, control);
	else
		set_flag(segment, WIRE_SHM_LOCKED, command == WIRE_SHM_LOCK);
	return 0;
}

/* Placement */

int engine_shm_may_place(Engine *engine, const struct engine_shm_asker *asker, uint32_t shmid,
	EngineSegment **ret_segment)
{
	EngineSegment *segment;
	int r;

	r = engine_shm_find_present(engine, shmid, &segment);
	if (r)
		return r;
	if (engine_shm_may_change(segment, asker))
		return STATUS_DENIED;
	if (segment->shm->was_attached || segment->n_imports > 0)
		return STATUS_WRONG_STATE;
	*ret_segment = segment;
	return 0;
}

void engine_shm_placed(EngineSegment *segment, bool placed)
{
	set_flag(segment, WIRE_SHM_PLACED, placed);
}

/* Attaches */

void engine_shm_attached(EngineImport *import, uint64_t now)
{
	EngineShm *shm = import->segment ? import->segment->shm : NULL;

	if (!shm)
		return;
	shm->was_attached = true;
	shm->attached = now;
	shm->lpid = import->client->identity.pid;
	changed(import->segment);
}

void engine_shm_detached(EngineImport *import, uint64_t now)
{
	EngineShm *shm = import->segment ? import->segment->shm : NULL;

	if (!shm)
		return;
	shm->detached = now;
	shm->lpid = import->client->identity.pid;
	changed(import->segment);
}

/* For people */

void engine_shm_row(const EngineSegment *segment, struct wire_shm_row *ret_row)
{
	const EngineShm *shm = segment->shm;

	*ret_row = (struct wire_shm_row){
		.shmid = segment->id,
		.key = shm->key ? engine_shm_key_value(engine_of(segment), shm->key) : 0,
		.mode = segment->mode,
		.flags = shm->flags,
		.uid = segment->uid,
		.gid = segment->gid,
		.cuid = shm->cuid,
		.cgid = shm->cgid,
		.size = shm->bytes,
		.instance = segment->instance,
		.n_attached = segment->n_imports,
		.attached = shm->attached,
		.detached = shm->detached,
		.changed = shm->changed,
		.cpid = (uint32_t)shm->cpid,
		.lpid = (uint32_t)shm->lpid,
	};
	memcpy(ret_row->command, shm->command, sizeof(ret_row->command));
}
