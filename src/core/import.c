/* SPDX-License-Identifier: Apache-2.0 */
#include "core/engine-private.h"

#include <stdlib.h>

/*
 * Imports: a client's connection to a segment. As long as both exist it holds a cell of the
 * segment, connected or not.
 */

static void show_state(EngineImport *import)
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
}

static void segment_unlink(EngineImport *import)
{
	list_unlink(&import->link);
	import->segment->n_imports--;
	import->segment = NULL;
}

static void cell_free(EngineImport *import)
{
	EngineSegment *segment = import->holding;

	idtable_remove(&segment->cells, import->cell);
	import->holding = NULL;
	engine_segment_count_cells(segment, 1);
}

int engine_import_attach(EngineImport *import, uint32_t index, uint32_t cell)
{
	EngineClient *client = import->client;
	Engine *engine = client->engine;
	int r;

	list_init(&import->link);
	r = table_add(&client->imports, import, index, &import->index);
	if (r < 0)
		return r;
	r = engine_client_reserve_generation(client, import->index);
	if (r == 0 && import->holding)
		r = table_add(&import->holding->cells, import, cell, &import->cell);
	if (r < 0) {
		idtable_remove(&client->imports, import->index);
		return r;
	}
	if (import->segment)
		segment_link(import);
	client->user->n_imports++;
	engine->counts.n_imports++;
	return 0;
}

static uint32_t next_generation(EngineImport *import)
{
	uint32_t *last = &import->client->generations[import->index];

	*last = *last == UINT32_MAX ? 1 : *last + 1;
	return *last;
}

/* What the client may connect to, as far as the names and rights go. */
static int judge(EngineClient *client, uint32_t space, uint32_t controller, uint32_t node,
	uint32_t id, uint32_t rights, EngineSegment **ret_segment)
{
	Engine *engine = client->engine;
	EngineSegment *segment;
	uint32_t home, allowed;
	int r;

	if (controller != WIRE_CONTROLLER_LOOPBACK && controller != WIRE_CONTROLLER_TCP)
		return STATUS_NO_CONTROLLER;
	if (controller == WIRE_CONTROLLER_LOOPBACK && node != 0 && node != engine->node)
		return STATUS_NO_CONTROLLER;
	if (!engine_node_resolve(engine, node, &home))
		return STATUS_NODE_UNKNOWN;
	segment = ids_find(&engine->ids, space, id);
	if (!segment)
		return STATUS_NOT_FOUND;
	r = engine_access_rights(segment, engine->node, &client->identity, &allowed);
	if (r)
		return r;
	/* asking for nothing opens nothing to those who may nothing: a connection can also signal
	 */
	if (rights & ~allowed || !allowed)
		return STATUS_DENIED;
	*ret_segment = segment;
	return 0;
}

int engine_import_connect(EngineClient *client, uint32_t space, uint32_t controller, uint32_t node,
	uint32_t id, uint32_t rights, EngineImport **ret_import)
{
	EngineSegment *segment;
	EngineImport *import;
	int r;

	r = judge(client, space, controller, node, id, rights, &segment);
	if (r)
		return r;
	if (client->user->n_imports >= client->engine->limits.max_imports_per_user)
		return STATUS_NO_RESOURCES;
	import = calloc(1, sizeof(*import));
	if (!import)
		return -ENOMEM;
	import->client = client;
	import->segment = import->holding = segment;
	import->instance = segment->instance;
	import->rights = rights;
	import->state = WIRE_IMPORT_CONNECTED;
	r = engine_import_attach(import, ENGINE_LOWEST, ENGINE_LOWEST);
	if (r < 0) {
		free(import);
		return r == -ENOSPC ? STATUS_NO_RESOURCES : r;
	}
	import->generation = next_generation(import);
	if (client != segment->owner && client->identity.uid != segment->uid)
		segment->handed_out = true;
	engine_segment_count_cells(segment, import->cell + 1);
	show_state(import);
	*ret_import = import;
	return 0;
}

EngineImport *engine_import_get(EngineClient *client, uint32_t index)
{
	return idtable_get(&client->imports, index);
}

void engine_import_revoke(EngineImport *import, enum wire_import_state state)
{
	import->state = state;
	show_state(import);
	segment_unlink(import);
}

void engine_import_disconnect(EngineImport *import)
{
	EngineClient *client = import->client;
	Engine *engine = client->engine;

	engine->ops->import_free(engine->userdata, import);
	if (import->segment)
		segment_unlink(import);
	if (import->holding)
		cell_free(import);
	client->user->n_imports--;
	engine->counts.n_imports--;
	idtable_remove(&client->imports, import->index);
	free(import);
}
