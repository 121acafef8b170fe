/* SPDX-License-Identifier: Apache-2.0 */
#include "core/engine-private.h"

#include <stdlib.h>

/*
 * Keys: who made which, and with what segment. A maker lives while he has keys; one that has ended
 * leaves those that have a segment. Serials and the clients of other nodes are chosen by strangers,
 * so trees have them disguised.
 */

static struct shm_registry *registry(Engine *engine)
{
	return &engine->shm;
}

/* Numbers */

static uint32_t number_after(uint32_t number)
{
	return number >= WIRE_SHM_NUMBER(UINT32_MAX) ? 1 : number + 1;
}

int engine_shm_number(Engine *engine, uint32_t last, bool (*taken)(Engine *engine, uint32_t number),
	uint32_t *ret_number)
{
	uint32_t first = number_after(last), number = first;

	while (taken(engine, number)) {
		number = number_after(number);
		if (number == first)
			return STATUS_NO_RESOURCES;
	}
	*ret_number = number;
	return 0;
}

static EngineShmKey *key_numbered(Engine *engine, uint32_t number)
{
	struct tree_node *n = tree_get(&registry(engine)->keys, number);

	return n ? container_of(n, EngineShmKey, node) : NULL;
}

static bool key_taken(Engine *engine, uint32_t number)
{
	return key_numbered(engine, number);
}

uint32_t engine_shm_key_value(const Engine *engine, const EngineShmKey *key)
{
	return engine->node << 24 | key->number;
}

EngineShmKey *engine_shm_key_find(Engine *engine, uint32_t key)
{
	if (WIRE_SHM_PARTITION(key) != engine->node)
		return NULL;
	return key_numbered(engine, WIRE_SHM_NUMBER(key));
}

/* Makers */

static EngineShmMaker *maker_find(Engine *engine, uint32_t node, uint64_t client)
{
	struct shm_registry *shm = registry(engine);
	struct tree_node *n = tree_get(&shm->makers[node].clients, client ^ shm->counters.secret);

	return n ? container_of(n, EngineShmMaker, node) : NULL;
}

static int maker_get(Engine *engine, uint32_t node, uint64_t client, EngineShmMaker **ret_maker)
{
	struct shm_registry *shm = registry(engine);
	EngineShmMaker *maker = maker_find(engine, node, client);

	if (!maker) {
		maker = calloc(1, sizeof(*maker));
		if (!maker)
			return -ENOMEM;
		maker->partition = node;
		maker->client = client;
		maker->node.key = client ^ shm->counters.secret;
		tree_insert(&shm->makers[node].clients, &maker->node);
	}
	*ret_maker = maker;
	return 0;
}

static void maker_settle(Engine *engine, EngineShmMaker *maker)
{
	if (maker->keys.root)
		return;
	tree_remove(&registry(engine)->makers[maker->partition].clients, &maker->node);
	free(maker);
}

static EngineShmKey *made_before(Engine *engine, const EngineShmMaker *maker, uint64_t serial)
{
	struct tree_node *n = tree_get(&maker->keys, serial ^ registry(engine)->counters.secret);

	return n ? container_of(n, EngineShmKey, made) : NULL;
}

static void leave_maker(Engine *engine, EngineShmKey *key)
{
	EngineShmMaker *maker = key->maker;

	if (!maker)
		return;
	tree_remove(&maker->keys, &key->made);
	key->maker = NULL;
	maker_settle(engine, maker);
}

/* Keys */

static void count_unused(Engine *engine, EngineShmKey *key, uint32_t n)
{
	key->estate->n_unused += n;
	if (key->by.node)
		registry(engine)->makers[key->by.node - 1].n_unused += n;
	if (key->by.node && key->by.node != engine->node + 1)
		key->estate->n_away += n;
}

static int join_maker(Engine *engine, EngineShmKey *key)
{
	EngineShmMaker *maker;
	int r;

	if (!key->by.node)
		return 0;
	r = maker_get(engine, key->by.node - 1, key->by.client, &maker);
	if (r < 0)
		return r;
	if (made_before(engine, maker, key->by.serial))
		return -EEXIST;
	key->maker = maker;
	key->made.key = key->by.serial ^ registry(engine)->counters.secret;
	tree_insert(&maker->keys, &key->made);
	return 0;
}

int engine_shm_key_attach(Engine *engine, EngineShmKey *key)
{
	struct shm_registry *shm = registry(engine);
	int r;

	r = engine_shm_estate_get(engine, key->uid, &key->estate);
	if (r < 0)
		return r;
	r = join_maker(engine, key);
	if (r < 0) {
		engine_shm_estate_settle(engine, key->estate);
		return r;
	}
	key->node.key = key->number;
	tree_insert(&shm->keys, &key->node);
	key->estate->n_keys++;
	count_unused(engine, key, 1);
	return 0;
}

void engine_shm_key_free(Engine *engine, EngineShmKey *key)
{
	if (engine->ops->shm_key_free)
		engine->ops->shm_key_free(engine->userdata, key);
	engine_shm_key_use(engine, key, NULL);
	count_unused(engine, key, -1u);
	leave_maker(engine, key);
	tree_remove(&registry(engine)->keys, &key->node);
	key->estate->n_keys--;
	engine_shm_estate_settle(engine, key->estate);
	free(key);
}

void engine_shm_key_use(Engine *engine, EngineShmKey *key, EngineSegment *segment)
{
	if (!key->segment == !segment)
		return;
	if (key->segment)
		key->segment->shm->key = NULL;
	if (segment)
		segment->shm->key = key;
	key->segment = segment;
	count_unused(engine, key, segment ? -1u : 1);
}

/* A node may say that its processes are anybody's: that takes nothing from the user here. */
static bool too_many(Engine *engine, const struct engine_shm_asker *asker)
{
	const EngineShmEstate *estate = engine_shm_estate_find(engine, asker->identity->uid);
	uint32_t n_away = estate ? estate->n_away : 0;

	if (asker->node == engine->node)
		return estate && estate->n_unused - n_away >= ENGINE_SHM_UNUSED_MAX;
	return n_away >= ENGINE_SHM_UNUSED_AWAY_MAX ||
	       registry(engine)->makers[asker->node].n_unused >= ENGINE_SHM_UNUSED_MAX;
}

static int key_make(Engine *engine, const struct engine_shm_asker *asker, EngineShmKey **ret_key)
{
	struct engine_shm_counters *counters = &registry(engine)->counters;
	EngineShmKey *key;
	uint32_t number;
	int r;

	r = engine_shm_number(engine, counters->last_key, key_taken, &number);
	if (r)
		return r;
	key = calloc(1, sizeof(*key));
	if (!key)
		return -ENOMEM;
	key->number = number;
	key->uid = asker->identity->uid;
	key->by = (struct engine_shm_request){
		.node = asker->node + 1, .client = asker->client, .serial = asker->serial};
	r = engine_shm_key_attach(engine, key);
	if (r < 0) {
		free(key);
		return r;
	}
	counters->last_key = number;
	*ret_key = key;
	return 0;
}

int engine_shm_key_new(Engine *engine, const struct engine_shm_asker *asker, EngineShmKey **ret_key)
{
	EngineShmMaker *maker;
	EngineShmKey *made;

	if (engine->node >= WIRE_SHM_PARTITIONS || asker->node >= WIRE_SHM_PARTITIONS)
		return STATUS_NODE_UNKNOWN;
	if (asker->client == 0)
		return STATUS_BAD_REQUEST;
	maker = maker_find(engine, asker->node, asker->client);
	made = maker ? made_before(engine, maker, asker->serial) : NULL;
	if (made) {
		*ret_key = made;
		return 0;
	}
	if (too_many(engine, asker))
		return STATUS_NO_RESOURCES;
	return key_make(engine, asker, ret_key);
}

int engine_shm_key_place(Engine *engine, const struct engine_shm_asker *asker, uint32_t key,
	const struct engine_shm_place *place)
{
	EngineShmKey *k = engine_shm_key_find(engine, key);

	if (!k)
		return STATUS_NOT_FOUND;
	if (asker->identity->uid != k->uid && asker->identity->uid != 0)
		return STATUS_DENIED;
	if (k->segment)
		return STATUS_WRONG_STATE;
	k->place = *place;
	return 0;
}

/* A successor must not take him for another one of the same number. */
static void forget_by(Engine *engine, EngineShmKey *key)
{
	key->by = (struct engine_shm_request){0};
	if (engine->ops->shm_key_changed)
		engine->ops->shm_key_changed(engine->userdata, key);
}

/* What he made that nobody has used goes. The last of his keys takes him along. */
static void forget_maker(Engine *engine, EngineShmMaker *maker)
{
	struct tree_node *n;
	EngineShmKey *key;
	bool more = true;

	while (more) {
		n = maker->keys.root;
		key = container_of(n, EngineShmKey, made);
		more = n->left || n->right;
		leave_maker(engine, key);
		if (key->segment)
			forget_by(engine, key);
		else
			engine_shm_key_free(engine, key);
	}
}

void engine_shm_maker_gone(Engine *engine, uint32_t node, uint64_t client)
{
	EngineShmMaker *maker;
	struct tree_node *n;

	if (node >= WIRE_SHM_PARTITIONS)
		return;
	if (client) {
		maker = maker_find(engine, node, client);
		if (maker)
			forget_maker(engine, maker);
		return;
	}
	while ((n = registry(engine)->makers[node].clients.root))
		forget_maker(engine, container_of(n, EngineShmMaker, node));
	engine_shm_forget_requests(engine, node);
}
