/* SPDX-License-Identifier: Apache-2.0 */
#include "core/engine-private.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/*
 * Clients, and the users that are charged for them. A user lives as long as a client of his.
 */

EngineUser *engine_user_find(const Engine *engine, uid_t uid)
{
	struct tree_node *n = tree_get(&engine->users, uid);

	return n ? container_of(n, EngineUser, node) : NULL;
}

/* Counts one more client of this user. */
static int user_get(Engine *engine, uid_t uid, EngineUser **ret_user)
{
	EngineUser *user = engine_user_find(engine, uid);

	if (!user) {
		user = calloc(1, sizeof(*user));
		if (!user)
			return -ENOMEM;
		user->uid = uid;
		user->node.key = uid;
		tree_insert(&engine->users, &user->node);
	}
	user->n_clients++;
	*ret_user = user;
	return 0;
}

static void user_put(Engine *engine, EngineUser *user)
{
	if (--user->n_clients > 0)
		return;
	assert(user->n_segments == 0 && user->n_imports == 0);
	assert(user->bytes == 0 && user->copies == 0);
	tree_remove(&engine->users, &user->node);
	free(user);
}

/* A peer's processes are charged to the peer, so that it cannot use up what the users here may
 * have. */
static int charge(Engine *engine, uid_t uid, EngineClient *client)
{
	if (!client->peer)
		return user_get(engine, uid, &client->user);
	client->user = &client->peer->account;
	client->user->n_clients++;
	return 0;
}

static void uncharge(Engine *engine, EngineClient *client)
{
	if (client->peer)
		client->user->n_clients--;
	else
		user_put(engine, client->user);
}

EngineClient *engine_client_find(const Engine *engine, uint64_t id)
{
	struct tree_node *n = tree_get(&engine->clients, id);

	return n ? container_of(n, EngineClient, node) : NULL;
}

int engine_client_attach(Engine *engine, uint64_t id, const struct engine_identity *identity,
	uid_t uid, EnginePeer *peer, uint64_t guest, EngineClient **ret_client)
{
	EngineClient *client = calloc(1, sizeof(*client));
	int r;

	if (!client)
		return -ENOMEM;
	client->peer = peer;
	client->guest = guest;
	r = charge(engine, uid, client);
	if (r < 0) {
		free(client);
		return r;
	}
	client->engine = engine;
	client->id = id;
	client->identity = *identity;
	idtable_init(&client->segments, WIRE_CLIENT_EXPORTS);
	idtable_init(&client->imports, WIRE_CLIENT_IMPORTS);
	client->node.key = id;
	tree_insert(&engine->clients, &client->node);
	if (peer)
		engine_guest_link(client);
	engine->counters.last_client = MAX(engine->counters.last_client, id);
	engine->counts.n_clients++;
	*ret_client = client;
	return 0;
}

int engine_client_attach_estate(Engine *engine, uint64_t id, EngineShmEstate *estate)
{
	const struct engine_identity identity = {.uid = estate->uid, .command = "clshm"};
	EngineClient *client;
	int r;

	r = engine_client_attach(engine, id, &identity, estate->uid, NULL, 0, &client);
	if (r < 0)
		return r;
	client->estate = estate;
	client->user->n_estates++;
	engine->counts.n_clients--;
	estate->client = client;
	return 0;
}

static void leave_estate(EngineClient *client)
{
	client->estate->client = NULL;
	client->user->n_estates--;
	client->engine->counts.n_clients++;
}

int engine_client_new(
	Engine *engine, const struct engine_identity *identity, EngineClient **ret_client)
{
	EngineUser *user = engine_user_find(engine, identity->uid);
	uint32_t n_clients = user ? user->n_clients - user->n_estates : 0;

	assert(identity->n_groups <= ENGINE_GROUPS_MAX);
	if (n_clients >= engine->limits.max_clients_per_user)
		return STATUS_NO_RESOURCES;
	return engine_client_attach(engine, engine->counters.last_client + 1, identity,
		identity->uid, NULL, 0, ret_client);
}

void engine_client_free(EngineClient *client)
{
	Engine *engine;
	EngineSegment *s;
	EngineImport *i;
	uint32_t index;

	if (!client)
		return;
	engine = client->engine;
	if (client->peer)
		engine_guest_unlink(client);
	idtable_for_each (&client->imports, index, i)
		engine_import_disconnect(i);
	idtable_for_each (&client->segments, index, s)
		engine_segment_end(s, WIRE_IMPORT_EXPORTER_GONE);
	if (client->estate)
		leave_estate(client);
	else if (!client->peer)
		engine_shm_maker_gone(engine, engine->node, client->id);
	tree_remove(&engine->clients, &client->node);
	engine->counts.n_clients--;
	uncharge(engine, client);
	idtable_deinit(&client->segments);
	idtable_deinit(&client->imports);
	free(client->generations);
	free(client);
}

int engine_client_identify(EngineClient *client, const struct engine_identity *identity)
{
	assert(identity->n_groups <= ENGINE_GROUPS_MAX);
	client->identity = *identity;
	return 0;
}

int engine_client_reserve_generation(EngineClient *client, uint32_t index)
{
	uint32_t n, *generations;

	if (index < client->n_generations)
		return 0;
	n = MAX(MAX(8u, client->n_generations * 2), index + 1);
	generations = reallocarray(client->generations, n, sizeof(*generations));
	if (!generations)
		return -ENOMEM;
	memset(generations + client->n_generations, 0,
		(n - client->n_generations) * sizeof(*generations));
	client->generations = generations;
	client->n_generations = n;
	return 0;
}
