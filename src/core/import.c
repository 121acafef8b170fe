/* SPDX-License-Identifier: Apache-2.0 */
#include "core/engine-private.h"

#include <stdlib.h>

/*
 * Imports: a client's connection to a segment. As long as both exist it holds a cell of the
 * segment, connected or not. Those of other nodes' segments: remote.c.
 */

void engine_import_show(EngineImport *import)
{
	Engine *engine = import->client->engine;

	engine->ops->import_state(engine->userdata, import);
}

static int table_add(struct idtable *t, void *object, uint32_t index, uint32_t *ret_index)
{
	int r;

	if (index == ENGINE_LOWEST)
		return idtable_add(t, object, ret_index);
	r = idtable_add_at(t, index, object);
	if (r == 0)
		*ret_index = index;
	return r;
}

static void segment_link(EngineImport *import)
{
	list_append(&import->segment->imports, &import->link);
	import->segment->n_imports++;
	import->segment->n_attached += import->attached;
}

static void segment_unlink(EngineImport *import)
{
	list_unlink(&import->link);
	import->segment->n_imports--;
	import->segment->n_attached -= import->attached;
	import->segment = NULL;
}

static void cell_free(EngineImport *import)
{
	EngineSegment *segment = import->holding;

	idtable_remove(&segment->cells, import->cell);
	import->holding = NULL;
	engine_segment_count_cells(segment, 1);
}

static int own_index_take(EngineImport *import, uint32_t index)
{
	EngineClient *client = import->client;
	int r;

	r = table_add(&client->imports, import, index, &import->index);
	if (r < 0)
		return r;
	r = engine_client_reserve_generation(client, import->index);
	if (r < 0)
		idtable_remove(&client->imports, import->index);
	return r;
}

static int index_take(EngineImport *import, uint32_t index)
{
	EngineClient *client = import->client;

	if (!client->peer)
		return own_index_take(import, index);
	if (engine_guest_import(client, index))
		return -EEXIST;
	import->index = index;
	import->guest_node.key = (uint64_t)index + 1;
	tree_insert(&client->guest_imports, &import->guest_node);
	return 0;
}

static void index_free(EngineImport *import)
{
	EngineClient *client = import->client;

	if (client->peer)
		tree_remove(&client->guest_imports, &import->guest_node);
	else
		idtable_remove(&client->imports, import->index);
}

int engine_import_attach(EngineImport *import, uint32_t index, uint32_t cell)
{
	EngineClient *client = import->client;
	Engine *engine = client->engine;
	int r;

	list_init(&import->link);
	list_init(&import->home_link);
	r = index_take(import, index);
	if (r < 0)
		return r;
	if (import->holding)
		r = table_add(&import->holding->cells, import, cell, &import->cell);
	if (r < 0) {
		index_free(import);
		return r;
	}
	if (import->segment)
		segment_link(import);
	if (import->home)
		engine_remote_link(import);
	client->user->n_imports++;
	engine->counts.n_imports++;
	return 0;
}

uint32_t engine_import_count_generation(EngineImport *import)
{
	uint32_t *last = &import->client->generations[import->index];

	*last = *last == UINT32_MAX ? 1 : *last + 1;
	return *last;
}

int engine_import_new(EngineClient *client, EngineSegment *segment, uint32_t rights, uint32_t index,
	uint32_t generation, bool attached, EngineImport **ret_import)
{
	EngineImport *import = calloc(1, sizeof(*import));
	int r;

	if (!import)
		return -ENOMEM;
	import->client = client;
	import->segment = import->holding = segment;
	import->instance = segment->instance;
	import->rights = rights;
	import->attached = attached;
	import->state = WIRE_IMPORT_CONNECTED;
	r = engine_import_attach(import, index, ENGINE_LOWEST);
	if (r < 0) {
		free(import);
		return r == -ENOSPC ? STATUS_NO_RESOURCES : r;
	}
	import->generation = generation ? generation : engine_import_count_generation(import);
	engine_segment_count_cells(segment, import->cell + 1);
	engine_import_show(import);
	*ret_import = import;
	return 0;
}

static int connect_here(EngineClient *client, uint32_t space, uint32_t id, uint32_t rights,
	EngineImport **ret_import)
{
	Engine *engine = client->engine;
	EngineSegment *segment;
	int r;

	r = engine_access_judge(
		engine, engine->node, &client->identity, space, id, 0, rights, &segment);
	if (r)
		return r;
	if (client->user->n_imports >= engine->limits.max_imports_per_user)
		return STATUS_NO_RESOURCES;
	r = engine_import_new(client, segment, rights, ENGINE_LOWEST, 0, false, ret_import);
	if (r == 0 && client != segment->owner && client->identity.uid != segment->uid)
		segment->handed_out = true;
	return r;
}

static int connect_there(EngineClient *client, uint32_t node, uint32_t space, uint32_t id,
	uint32_t rights, EngineImport **ret_import)
{
	EnginePeer *home;
	int r;

	if (rights & ~(WIRE_READ | WIRE_WRITE))
		return STATUS_DENIED;
	if (client->user->n_imports >= client->engine->limits.max_imports_per_user)
		return STATUS_NO_RESOURCES;
	r = engine_peer_get(client->engine, node, &home);
	if (r)
		return r;
	return engine_remote_connect(client, home, space, id, rights, ret_import);
}

int engine_import_connect(EngineClient *client, uint32_t space, uint32_t controller, uint32_t node,
	uint32_t id, uint32_t rights, EngineImport **ret_import)
{
	Engine *engine = client->engine;
	uint32_t home;

	if (controller != WIRE_CONTROLLER_LOOPBACK && controller != WIRE_CONTROLLER_TCP &&
		controller != WIRE_CONTROLLER_OFI)
		return STATUS_NO_CONTROLLER;
	if (controller == WIRE_CONTROLLER_LOOPBACK && node != 0 && node != engine->node)
		return STATUS_NO_CONTROLLER;
	if (!engine_node_resolve(engine, node, &home))
		return STATUS_NODE_UNKNOWN;
	if (home != engine->node)
		return connect_there(client, home, space, id, rights, ret_import);
	return connect_here(client, space, id, rights, ret_import);
}

EngineImport *engine_import_get(EngineClient *client, uint32_t index)
{
	if (client->peer)
		return engine_guest_import(client, index);
	return idtable_get(&client->imports, index);
}

void engine_import_revoke(EngineImport *import, enum wire_import_state state)
{
	import->state = state;
	engine_import_show(import);
	segment_unlink(import);
	if (import->client->peer)
		engine_guest_say_lost(import);
}

void engine_import_detach(EngineImport *import)
{
	EngineClient *client = import->client;
	Engine *engine = client->engine;
	EngineSegment *segment = import->segment;

	engine_offer_ended(import);
	engine->ops->import_free(engine->userdata, import);
	if (import->segment)
		segment_unlink(import);
	if (import->holding)
		cell_free(import);
	if (import->home)
		engine_remote_unlink(import);
	client->user->n_imports--;
	engine->counts.n_imports--;
	index_free(import);
	free(import);
	if (segment && segment->shm)
		engine_shm_review(segment);
	else if (segment)
		engine_offer_settle(segment);
}

void engine_import_disconnect(EngineImport *import)
{
	EngineClient *client = import->client;

	if (import->home)
		engine_remote_say_disconnect(import);
	engine_import_detach(import);
	if (client->peer && !client->guest_imports.root)
		engine_client_free(client);
}
