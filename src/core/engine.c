/* SPDX-License-Identifier: Apache-2.0 */
#include "core/engine-private.h"

#include <assert.h>
#include <stdlib.h>

int engine_new(uint32_t node, const struct engine_limits *limits, const struct engine_ops *ops,
	void *userdata, Engine **ret_engine)
{
	Engine *engine = calloc(1, sizeof(*engine));
	int r;

	if (!engine)
		return -ENOMEM;
	r = ids_init(&engine->ids);
	if (r < 0) {
		free(engine);
		return r;
	}
	engine->node = node;
	engine->limits = *limits;
	engine->ops = ops;
	engine->userdata = userdata;
	*ret_engine = engine;
	return 0;
}

void engine_free(Engine *engine)
{
	EnginePeer *peer;

	if (!engine)
		return;
	while ((peer = engine_peer_next(engine, 0))) {
		engine_guests_free(peer);
		engine_peer_free(peer);
	}
	engine_shm_deinit(engine);
	assert(!engine->clients.root);
	ids_deinit(&engine->ids);
	free(engine->nodes);
	free(engine);
}

EngineSegment *engine_segment_find(Engine *engine, uint32_t space, uint32_t id)
{
	return ids_find(&engine->ids, space, id);
}

EngineSegment *engine_segment_find_instance(Engine *engine, uint64_t instance)
{
	struct tree_node *n = tree_get(&engine->segments, instance);

	return n ? container_of(n, EngineSegment, node) : NULL;
}

EngineSegment *engine_segment_next(Engine *engine, uint64_t after)
{
	struct tree_node *n = tree_above(&engine->segments, after);

	return n ? container_of(n, EngineSegment, node) : NULL;
}

struct engine_counts engine_counts(const Engine *engine)
{
	return engine->counts;
}

const struct engine_limits *engine_limits(const Engine *engine)
{
	return &engine->limits;
}

uint32_t engine_node(const Engine *engine)
{
	return engine->node;
}
