/* SPDX-License-Identifier: Apache-2.0 */
#include "core/engine-private.h"

#include <stdlib.h>
#include <string.h>

/*
 * Remote imports: ours of other nodes' segments.
 *
 *   PENDING ── granted by the home ── PENDING, granted ── route open ── CONNECTED ── final states
 *      └──────────── FAILED ────────────────┘
 *
 * As long as one is not over it is in the list of its home. What is granted belongs to the session
 * and ends with it; what is not granted yet is asked for again in the next one.
 */

/* Parts of HOLDS, in records; a packet holds them. */
#define HOLDS_PART 1000u
#define HOLD_SIZE  16u

static_assert(WIRE_HEADER_SIZE + 12 + HOLDS_PART * HOLD_SIZE <= WIRE_PACKET_MAX, "fits a packet");

void engine_remote_link(EngineImport *import)
{
	EnginePeer *home = import->home;

	list_append(&home->imports, &import->home_link);
	home->n_imports++;
	if (!import->granted)
		home->n_waiting++;
	engine_timer_touch(home);
}

static void count_answered(EnginePeer *home)
{
	if (--home->n_waiting == 0)
		home->since = 0;
}

void engine_remote_unlink(EngineImport *import)
{
	EnginePeer *home = import->home;

	list_unlink(&import->home_link);
	home->n_imports--;
	if (!import->granted)
		count_answered(home);
	import->home = NULL;
	engine_timer_touch(home);
}

static void set_state(EngineImport *import, enum wire_import_state state)
{
	import->state = state;
	engine_import_show(import);
}

static void end(EngineImport *import, enum wire_import_state state)
{
	set_state(import, state);
	engine_remote_unlink(import);
}

static void fail(EngineImport *import, enum wire_status status)
{
	import->failure = status;
	end(import, WIRE_IMPORT_FAILED);
}

/* It is over for a reason that the home, or nobody, has given. */
static void lose(EngineImport *import, enum wire_import_state state)
{
	if (import->state == WIRE_IMPORT_CONNECTED)
		end(import, state);
	else
		fail(import, state == WIRE_IMPORT_NODE_LOST ? STATUS_NODE_LOST : STATUS_REVOKED);
}

/* What is said */

/* Stores are all there is of clshm. */
static bool wants_data(const EngineImport *import)
{
	Engine *engine = import->client->engine;

	return import->space != WIRE_SPACE_CLSHM &&
	       !engine->ops->import_has_route(engine->userdata, import);
}

static void say_connect(EngineImport *import)
{
	Engine *engine = import->client->engine;
	EnginePeer *home = import->home;
	uint8_t tail[ENGINE_IDENTITY_SIZE];
	struct wire_message m = {.type = WIRE_PEER_CONNECT,
		.tail = tail,
		.peer_connect = {.client = import->client->id,
			.index = import->index,
			.generation = import->generation,
			.space = import->space,
			.id = import->id,
			.rights = import->rights,
			.heir = import->parent != 0,
			.parent = import->parent,
			.parent_index = import->parent_index,
			.parent_generation = import->parent_generation}};

	if (home->state != WIRE_PEER_UP)
		return;
	m.serial = ++engine->serial;
	m.peer_connect.data = wants_data(import);
	m.tail_size = engine_identity_encode(&import->client->identity, tail);
	engine_peer_say(home, &m);
}

void engine_remote_say_disconnect(EngineImport *import)
{
	const struct wire_message m = {.type = WIRE_PEER_DISCONNECT,
		.flags = WIRE_ONEWAY,
		.peer_disconnect = {.client = import->client->id,
			.index = import->index,
			.generation = import->generation}};

	engine_peer_say(import->home, &m);
}

/* A part of the list, beginning with at; returns where the next one begins. */
static struct list *say_holds(EnginePeer *home, struct list *at)
{
	uint8_t tail[HOLDS_PART * HOLD_SIZE], *end = tail;
	struct wire_message m = {.type = WIRE_PEER_HOLDS, .flags = WIRE_ONEWAY, .tail = tail};

	m.peer_holds.first = at == home->imports.next;
	for (; at != &home->imports && m.peer_holds.n < HOLDS_PART; at = at->next) {
		const EngineImport *i = list_entry(at, EngineImport, home_link);

		if (!i->granted)
			continue;
		end = wire_put_hold(end, tail + sizeof(tail),
			&(struct wire_hold){.client = i->client->id,
				.index = i->index,
				.generation = i->generation});
		m.peer_holds.n++;
	}
	m.peer_holds.last = at == &home->imports;
	m.tail_size = (size_t)(end - tail);
	engine_peer_say(home, &m);
	return at;
}

/* What is held comes first: what is asked for is not in it. */
void engine_remote_say_all(EnginePeer *home)
{
	struct list *at = home->imports.next;
	EngineImport *i;

	if (home->resumed) {
		do
			at = say_holds(home, at);
		while (at != &home->imports);
	}
	list_for_each (i, &home->imports, home_link)
		if (!i->granted)
			say_connect(i);
}

/* What the client's calls do */

/* Frees it on failure. */
static int begin(EngineImport *import, EngineImport **ret_import)
{
	int r;

	import->node = import->home->number;
	import->state = WIRE_IMPORT_PENDING;
	r = engine_import_attach(import, ENGINE_LOWEST, ENGINE_LOWEST);
	if (r < 0) {
		free(import);
		return r == -ENOSPC ? STATUS_NO_RESOURCES : r;
	}
	import->generation = engine_import_count_generation(import);
	engine_import_show(import);
	say_connect(import);
	*ret_import = import;
	return 0;
}

int engine_remote_connect(EngineClient *client, EnginePeer *home, uint32_t space, uint32_t id,
	uint32_t rights, EngineImport **ret_import)
{
	EngineImport *import = calloc(1, sizeof(*import));

	if (!import)
		return -ENOMEM;
	import->client = client;
	import->home = home;
	import->space = space;
	import->id = id;
	import->rights = rights;
	return begin(import, ret_import);
}

int engine_remote_inherit(
	EngineClient *client, const EngineImport *parent, EngineImport **ret_import)
{
	EngineImport *import = calloc(1, sizeof(*import));

	if (!import)
		return -ENOMEM;
	import->client = client;
	import->home = parent->home;
	import->space = parent->space;
	import->id = parent->id;
	import->rights = parent->rights;
	import->parent = parent->client->id;
	import->parent_index = parent->index;
	import->parent_generation = parent->generation;
	return begin(import, ret_import);
}

void engine_import_ready(EngineImport *import)
{
	if (import->home && import->granted && import->state == WIRE_IMPORT_PENDING)
		set_state(import, WIRE_IMPORT_CONNECTED);
}

void engine_import_fail(EngineImport *import, enum wire_status status)
{
	if (!import->home || import->state != WIRE_IMPORT_PENDING)
		return;
	engine_remote_say_disconnect(import);
	fail(import, status);
}

void engine_import_lose(EngineImport *import)
{
	if (!import->home)
		return;
	engine_remote_say_disconnect(import);
	lose(import, WIRE_IMPORT_NODE_LOST);
}

/* What happens to the home */

void engine_remote_lose_granted(EnginePeer *home)
{
	EngineImport *i, *tmp;

	list_for_each_safe (i, tmp, &home->imports, home_link)
		if (i->granted)
			lose(i, WIRE_IMPORT_NODE_LOST);
}

void engine_remote_fail_waiting(EnginePeer *home, enum wire_status status)
{
	EngineImport *i, *tmp;

	if (home->n_waiting == 0)
		return;
	list_for_each_safe (i, tmp, &home->imports, home_link) {
		if (i->granted)
			continue;
		engine_remote_say_disconnect(i);
		fail(i, status);
	}
}

/* What the home says. An import is named by our own numbers, and must be of this home. */

static EngineImport *find(EnginePeer *home, uint64_t client, uint32_t index, uint32_t generation)
{
	EngineClient *c = engine_client_find(home->engine, client);
	EngineImport *i = c ? engine_import_get(c, index) : NULL;

	return i && i->home == home && i->generation == generation ? i : NULL;
}

static bool grant_valid(const EngineImport *import, const struct wire_peer_connect_reply *reply)
{
	return reply->instance != 0 && engine_size_valid(reply->size) &&
	       reply->rights == import->rights;
}

/* Byte order is compared where the elements are swapped. */
static uint32_t import_flags(uint32_t segment_flags)
{
	bool big = segment_flags & WIRE_SEGMENT_BIG_ENDIAN;

	return big == (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__) ? 0 : WIRE_IMPORT_FOREIGN_ENDIAN;
}

static void take_grant(EngineImport *import, const struct wire_peer_connect_reply *reply)
{
	Engine *engine = import->client->engine;

	import->instance = reply->instance;
	import->size = reply->size;
	import->flags = import_flags(reply->flags);
	import->incarnation = import->home->incarnation;
	import->home_cell = reply->cell;
	memcpy(import->key, reply->key, sizeof(import->key));
	import->granted = true;
	count_answered(import->home);
	engine->ops->import_granted(engine->userdata, import, reply->grant);
}

static void take_refusal(EngineImport *import, uint32_t status)
{
	bool known = wire_status_name((int)status);

	fail(import, known ? (enum wire_status)status : STATUS_NOT_SUPPORTED);
}

int engine_remote_granted(EnginePeer *home, const struct wire_message *message, uint64_t now)
{
	const struct wire_peer_connect_reply *reply = &message->peer_connect_reply;
	EngineImport *import = find(home, reply->client, reply->index, reply->generation);

	/* Disconnected meanwhile: the home has been told. */
	if (!import || import->granted)
		return 0;
	if (message->status == 0 && !grant_valid(import, reply))
		return STATUS_BAD_REQUEST;
	if (message->status)
		take_refusal(import, message->status);
	else
		take_grant(import, reply);
	if (home->n_waiting > 0)
		home->since = now;
	return 0;
}

int engine_remote_lost(EnginePeer *home, const struct wire_peer_lost *lost)
{
	EngineImport *import = find(home, lost->client, lost->index, lost->generation);

	if (lost->state != WIRE_IMPORT_REVOKED && lost->state != WIRE_IMPORT_EXPORTER_GONE &&
		lost->state != WIRE_IMPORT_NODE_LOST)
		return STATUS_BAD_REQUEST;
	/* The home keeps it until it hears that this was heard. */
	if (import && import->granted) {
		engine_remote_say_disconnect(import);
		lose(import, lost->state);
	}
	return 0;
}

void engine_remote_signal(EnginePeer *home, const struct wire_peer_signal *signal)
{
	Engine *engine = home->engine;
	EngineImport *import = find(home, signal->client, signal->index, signal->generation);

	if (import && import->granted)
		engine->ops->import_signal(engine->userdata, import, signal->total, signal->once);
}

int engine_remote_note(EnginePeer *home, const struct wire_peer_note *note)
{
	Engine *engine = home->engine;
	EngineImport *import = find(home, note->client, note->index, note->generation);

	if (note->note != WIRE_NOTE_LEAVE)
		return STATUS_BAD_REQUEST;
	if (import && import->granted && engine->ops->import_leave)
		engine->ops->import_leave(engine->userdata, import);
	return 0;
}
