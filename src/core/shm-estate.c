/* SPDX-License-Identifier: Apache-2.0 */
#include "core/engine-private.h"

#include <stdlib.h>
#include <string.h>

/*
 * Estates: what a uid has here without a process. One lives while there are keys of its uid, and
 * has a client while it owns segments, which are charged to the uid as those of its processes are.
 */

EngineShmEstate *engine_shm_estate_find(const Engine *engine, uid_t uid)
{
	struct tree_node *n = tree_get(&engine->shm.estates, (uint64_t)uid + 1);

	return n ? container_of(n, EngineShmEstate, node) : NULL;
}

int engine_shm_estate_get(Engine *engine, uid_t uid, EngineShmEstate **ret_estate)
{
	EngineShmEstate *estate = engine_shm_estate_find(engine, uid);

	if (!estate) {
		estate = calloc(1, sizeof(*estate));
		if (!estate)
			return -ENOMEM;
		estate->uid = uid;
		estate->node.key = (uint64_t)uid + 1;
		tree_insert(&engine->shm.estates, &estate->node);
	}
	*ret_estate = estate;
	return 0;
}

int engine_shm_estate_need_client(Engine *engine, EngineShmEstate *estate)
{
	if (estate->client)
		return 0;
	return engine_client_attach_estate(engine, engine->counters.last_client + 1, estate);
}

void engine_shm_estate_settle(Engine *engine, EngineShmEstate *estate)
{
	EngineClient *client = estate->client;

	if (client && client->segments.n_used == 0) {
		if (engine->ops->shm_estate_free)
			engine->ops->shm_estate_free(engine->userdata, estate);
		engine_client_free(client);
	}
	if (estate->client || estate->n_keys > 0)
		return;
	tree_remove(&engine->shm.estates, &estate->node);
	free(estate);
}
