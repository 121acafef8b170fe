/* SPDX-License-Identifier: Apache-2.0 */

/* A check that could be compiled out would be none. */
#undef NDEBUG
#include "core/engine-private.h"

#include <assert.h>

/* What must be true of clshm; see check.c. */

static void check_segment(const EngineSegment *s)
{
	const EngineShm *shm = s->shm;

	assert(s->owner->estate && s->space == WIRE_SPACE_CLSHM);
	assert(s->state == WIRE_SEGMENT_PUBLISHED && s->n_access == 0 && !s->offer);
	assert(WIRE_SHM_PARTITION(s->id) == s->owner->engine->node && WIRE_SHM_NUMBER(s->id) != 0);
	assert(shm->bytes > s->size - ENGINE_PAGE && shm->bytes <= s->size);
	assert(!shm->key == !!(shm->flags & WIRE_SHM_REMOVED));
	assert(!shm->key || shm->key->segment == s);
	/* what is over is gone */
	assert(s->n_imports > 0 || !(shm->flags & WIRE_SHM_REMOVED));
	assert(s->n_imports > 0 || !(shm->flags & WIRE_SHM_AUTO) || !shm->was_attached);
}

static void check_segments(Engine *engine)
{
	const EngineSegment *s = NULL;
	uint32_t n_segments = 0, n_made = 0;
	uint64_t bytes = 0;

	while ((s = engine_segment_next(engine, s ? s->instance : 0))) {
		assert(!s->shm == !s->owner->estate);
		if (!s->shm)
			continue;
		check_segment(s);
		bytes += s->size;
		n_segments++;
	}
	assert(bytes == engine->shm.bytes && n_segments == engine->shm.n_segments);
	for (uint32_t i = 0; i < WIRE_SHM_PARTITIONS; i++)
		n_made += engine->shm.makers[i].n_segments;
	assert(n_made == n_segments);
}

static void check_key(const Engine *engine, const EngineShmKey *key)
{
	const EngineShmMaker *maker = key->maker;

	assert(key->node.key == key->number);
	assert(key->number > 0 && key->number <= WIRE_SHM_NUMBER(UINT32_MAX));
	assert(key->by.node <= WIRE_SHM_PARTITIONS && !key->by.node == !key->by.client);
	assert(!key->by.node == !maker);
	assert(key->estate->uid == key->uid);
	assert(!key->segment || key->segment->shm->key == key);
	/* whose maker is gone goes with its segment */
	assert(maker || key->segment);
	if (!maker)
		return;
	assert(maker->partition + 1 == key->by.node && maker->client == key->by.client);
	assert(tree_get(&maker->keys, key->made.key) == &key->made);
	assert(tree_get(&engine->shm.makers[maker->partition].clients, maker->node.key) ==
		&maker->node);
	assert(maker->partition != engine->node || engine_client_find(engine, maker->client));
}

struct sums {
	uint32_t n_keys, n_unused;
};

static void check_estate(const Engine *engine, const struct tree_node *n, struct sums *sums)
{
	const EngineShmEstate *estate = container_of(n, EngineShmEstate, node);

	if (!n)
		return;
	assert(estate->node.key == (uint64_t)estate->uid + 1);
	assert(estate->client || estate->n_keys > 0);
	if (estate->client) {
		assert(estate->client->estate == estate && !estate->client->peer);
		assert(estate->client->user->uid == estate->uid);
		assert(estate->client->segments.n_used > 0);
		assert(estate->client->imports.n_used == 0);
	}
	sums->n_keys += estate->n_keys;
	sums->n_unused += estate->n_unused;
	check_estate(engine, n->left, sums);
	check_estate(engine, n->right, sums);
}

void engine_shm_check(const Engine *engine)
{
	uint32_t n_keys = 0, n_unused = 0, n_made = 0;
	struct sums sums = {0};
	const struct tree_node *n;

	check_segments((Engine *)engine);
	for (n = tree_above(&engine->shm.keys, 0); n; n = tree_above(&engine->shm.keys, n->key)) {
		const EngineShmKey *key = container_of(n, EngineShmKey, node);

		check_key(engine, key);
		n_keys++;
		n_unused += !key->segment;
	}
	check_estate(engine, engine->shm.estates.root, &sums);
	assert(sums.n_keys == n_keys && sums.n_unused == n_unused);
	for (uint32_t i = 0; i < WIRE_SHM_PARTITIONS; i++)
		n_made += engine->shm.makers[i].n_unused;
	assert(n_made == n_unused);
}
