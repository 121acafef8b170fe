/* SPDX-License-Identifier: Apache-2.0 */
#include "core/engine-private.h"

#include <stdlib.h>
#include <string.h>

/*
 * Peers and remote imports to records and back; see restore.c.
 */

void engine_peer_save(const EnginePeer *peer, struct engine_peer_record *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->number = peer->number;
	ret->uid = peer->uid;
	ret->session = peer->session;
	ret->incarnation = peer->incarnation;
	ret->detection = peer->detection;
}

int engine_peer_restore(Engine *engine, const struct engine_peer_record *record, uint64_t now,
	EnginePeer **ret_peer)
{
	struct engine_counters *counters = &engine->counters;
	EnginePeer *peer;
	int r;

	if (record->session == 0 || record->incarnation == 0)
		return -EBADMSG;
	if (engine_peer_find(engine, record->number))
		return -EBADMSG;
	r = engine_peer_get(engine, record->number, &peer);
	if (r)
		return r < 0 ? r : -EBADMSG;
	peer->uid = record->uid;
	peer->session = record->session;
	peer->incarnation = record->incarnation;
	/* What has been agreed on counts until both have met again: a lease may depend on it. */
	peer->detection =
		MAX(record->detection, engine_session_detection(engine, record->detection));
	peer->heard = now;
	peer->told_away = true;
	/* it says so, if it does, when it is back */
	peer->keeps = true;
	if (engine_session_is_ours(peer))
		counters->last_session = MAX(counters->last_session, record->session >> 1);
	engine_peer_settle(peer);
	*ret_peer = peer;
	return 0;
}

static bool remote_record_valid(const Engine *engine, const struct engine_import_record *record)
{
	if (record->node == engine->node || record->cell != 0 || record->granted > 1)
		return false;
	if (record->generation == 0 || record->rights & ~(WIRE_READ | WIRE_WRITE))
		return false;
	if ((record->state == WIRE_IMPORT_FAILED) != (record->failure != 0))
		return false;
	switch (record->state) {
	case WIRE_IMPORT_PENDING:
	case WIRE_IMPORT_FAILED:
		return true;
	case WIRE_IMPORT_CONNECTED:
	case WIRE_IMPORT_REVOKED:
	case WIRE_IMPORT_EXPORTER_GONE:
	case WIRE_IMPORT_NODE_LOST:
		return record->granted && record->instance != 0 && engine_size_valid(record->size);
	default:
		return false;
	}
}

static void fill(EngineImport *import, const struct engine_import_record *record)
{
	import->instance = record->instance;
	import->rights = record->rights;
	import->state = record->state;
	import->node = record->node;
	import->space = record->space;
	import->id = record->id;
	import->failure = record->failure;
	import->size = record->size;
	import->flags = record->flags & WIRE_IMPORT_FOREIGN_ENDIAN;
	import->granted = record->granted;
	import->incarnation = record->incarnation;
	import->home_cell = record->home_cell;
	memcpy(import->key, record->key, sizeof(import->key));
	import->parent = record->parent;
	import->parent_index = record->parent_index;
	import->parent_generation = record->parent_generation;
}

/* The grant went with the predecessor: the home is asked again. */
static int ask_again(Engine *engine, EngineImport *import)
{
	EnginePeer *home;
	int r;

	import->granted = false;
	r = engine_peer_get(engine, import->node, &home);
	if (r < 0)
		return r;
	if (r == 0) {
		import->home = home;
		return 0;
	}
	import->state = WIRE_IMPORT_FAILED;
	import->failure = STATUS_NODE_UNKNOWN;
	return 0;
}

static void go_on(Engine *engine, EngineImport *import)
{
	EnginePeer *home = engine_peer_find(engine, import->node);

	if (home && home->session && home->incarnation == import->incarnation)
		import->home = home;
	else
		import->state = WIRE_IMPORT_NODE_LOST;
}

int engine_remote_restore(
	EngineClient *client, const struct engine_import_record *record, EngineImport **ret_import)
{
	Engine *engine = client->engine;
	EngineImport *import;
	int r = 0;

	if (client->peer || !remote_record_valid(engine, record))
		return -EBADMSG;
	import = calloc(1, sizeof(*import));
	if (!import)
		return -ENOMEM;
	import->client = client;
	fill(import, record);
	if (import->state == WIRE_IMPORT_PENDING)
		r = ask_again(engine, import);
	else if (import->state == WIRE_IMPORT_CONNECTED)
		go_on(engine, import);
	if (r == 0)
		r = engine_import_attach(import, record->index, ENGINE_LOWEST);
	if (r < 0) {
		free(import);
		return r;
	}
	*ret_import = import;
	return 0;
}
