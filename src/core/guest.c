/* SPDX-License-Identifier: Apache-2.0 */
#include "core/engine-private.h"
#include "core/offer.h"

#include <string.h>

/*
 * Guests: processes of a peer that import here. Numbers, indices and generations are the peer's own
 * and may be anything, so they name nothing but its own guests, and cost no more than what there
 * is: trees instead of tables.
 *
 * A guest lives while it has imports. An import that has lost its segment stays, also over a
 * resume, until the peer says that it knows.
 */

static EnginePeer *peer_of(const EngineImport *import)
{
	return import->client->peer;
}

/* Guests' numbers are chosen by the peer, the shape of the tree must not be. */
static uint64_t number_key(const EnginePeer *peer, uint64_t client)
{
	return client ^ peer->engine->secret;
}

EngineClient *engine_guest_find(EnginePeer *peer, uint64_t client)
{
	struct tree_node *n = tree_get(&peer->guest_numbers, number_key(peer, client));

	return n ? container_of(n, EngineClient, guest_node) : NULL;
}

void engine_guest_link(EngineClient *guest)
{
	EnginePeer *peer = guest->peer;

	list_append(&peer->guests, &guest->guest_link);
	guest->guest_node.key = number_key(peer, guest->guest);
	tree_insert(&peer->guest_numbers, &guest->guest_node);
	engine_timer_touch(peer);
}

/* The first import from this index on. Keys are one more than indices, so that 0 is below all. */
static EngineImport *import_from(const EngineClient *guest, uint32_t index)
{
	struct tree_node *n = tree_above(&guest->guest_imports, index);

	return n ? container_of(n, EngineImport, guest_node) : NULL;
}

EngineImport *engine_guest_next(const EngineClient *guest, const EngineImport *after)
{
	return import_from(guest, after ? after->index + 1 : 0);
}

EngineImport *engine_guest_import(const EngineClient *guest, uint32_t index)
{
	struct tree_node *n = tree_get(&guest->guest_imports, (uint64_t)index + 1);

	return n ? container_of(n, EngineImport, guest_node) : NULL;
}

void engine_guest_unlink(EngineClient *guest)
{
	EnginePeer *peer = guest->peer;
	Engine *engine = guest->engine;
	EngineImport *i;

	while ((i = import_from(guest, 0)))
		engine_import_detach(i);
	engine->ops->guest_free(engine->userdata, guest);
	list_unlink(&guest->guest_link);
	tree_remove(&peer->guest_numbers, &guest->guest_node);
	engine_timer_touch(peer);
}

void engine_guests_free(EnginePeer *peer)
{
	EngineClient *guest, *tmp;

	list_for_each_safe (guest, tmp, &peer->guests, guest_link)
		engine_client_free(guest);
}

void engine_guests_resume(EnginePeer *peer)
{
	Engine *engine = peer->engine;
	EngineClient *guest;
	EngineImport *i;

	list_for_each (guest, &peer->guests, guest_link)
		for (i = import_from(guest, 0); i; i = import_from(guest, i->index + 1)) {
			engine->ops->guest_resumed(engine->userdata, i);
			engine_offer_resumed(i);
		}
}

EngineImport *engine_guest_import_find(
	EnginePeer *peer, uint64_t client, uint32_t index, uint32_t generation)
{
	EngineClient *guest = engine_guest_find(peer, client);
	EngineImport *i = guest ? engine_guest_import(guest, index) : NULL;

	return i && i->generation == generation ? i : NULL;
}

static void say_lost(EnginePeer *peer, uint64_t client, uint32_t index, uint32_t generation,
	enum wire_import_state state)
{
	const struct wire_message m = {.type = WIRE_PEER_LOST,
		.flags = WIRE_ONEWAY,
		.peer_lost = {.client = client,
			.index = index,
			.generation = generation,
			.state = state}};

	engine_peer_say(peer, &m);
}

void engine_guest_say_lost(const EngineImport *import)
{
	say_lost(peer_of(import), import->client->guest, import->index, import->generation,
		import->state);
}

/* CONNECT */

/* Who it is here. */
static int identify(EnginePeer *peer, struct engine_identity *identity)
{
	Engine *engine = peer->engine;

	if (peer->uid != 0 && identity->uid != peer->uid)
		return STATUS_DENIED;
	return engine->ops->guest_identity(engine->userdata, peer, identity);
}

static int guest_get(EnginePeer *peer, uint64_t client, const struct engine_identity *identity,
	EngineClient **ret_guest)
{
	Engine *engine = peer->engine;
	EngineClient *guest = engine_guest_find(peer, client);

	if (!guest)
		return engine_client_attach(engine, engine->counters.last_client + 1, identity, 0,
			peer, client, ret_guest);
	guest->identity = *identity;
	*ret_guest = guest;
	return 0;
}

static int admit(EnginePeer *peer, const struct wire_peer_connect *q,
	struct engine_identity *identity, EngineImport **ret_import)
{
	Engine *engine = peer->engine;
	EngineSegment *segment;
	EngineClient *guest;
	int r;

	r = identify(peer, identity);
	if (r == 0 && q->heir)
		r = engine_inherit_judge(peer, q, &segment);
	else if (r == 0)
		r = engine_access_judge(engine, peer->number, identity, q->space, q->id,
			q->instance, q->rights, &segment);
	if (r)
		return r;
	if (peer->account.n_imports >= engine->limits.max_imports_per_peer)
		return STATUS_NO_RESOURCES;
	r = guest_get(peer, q->client, identity, &guest);
	if (r)
		return r;
	r = engine_import_new(
		guest, segment, q->rights, q->index, q->generation, false, ret_import);
	if (r && !import_from(guest, 0))
		engine_client_free(guest);
	return r;
}

/* What the peer has by these numbers, made or known already, equipped. */
static int grant(EnginePeer *peer, const struct wire_peer_connect *q,
	struct engine_identity *identity, EngineImport **ret_import, uint8_t ret_key[16],
	uint8_t ret_grant[16])
{
	Engine *engine = peer->engine;
	EngineClient *guest = engine_guest_find(peer, q->client);
	EngineImport *import = guest ? engine_guest_import(guest, q->index) : NULL;
	bool again = import && import->generation == q->generation && import->segment;
	int r;

	if (import && !again)
		engine_import_disconnect(import);
	if (!again) {
		r = admit(peer, q, identity, &import);
		if (r)
			return r;
		import->held = peer->holds;
	}
	r = engine->ops->guest_equip(engine->userdata, import, again, q->data, ret_key, ret_grant);
	if (r) {
		engine_import_disconnect(import);
		return r;
	}
	engine_import_announce(import);
	*ret_import = import;
	return 0;
}

static uint32_t status_of(int r)
{
	if (r >= 0)
		return (uint32_t)r;
	return r == -ENOMEM ? STATUS_NO_MEMORY : STATUS_NO_RESOURCES;
}

int engine_guest_connect(EnginePeer *peer, const struct wire_message *message)
{
	const struct wire_peer_connect *q = &message->peer_connect;
	struct wire_message m = {.type = WIRE_PEER_CONNECT_REPLY,
		.serial = message->serial,
		.peer_connect_reply = {
			.client = q->client, .index = q->index, .generation = q->generation}};
	struct wire_peer_connect_reply *a = &m.peer_connect_reply;
	struct engine_identity identity;
	EngineImport *import;
	int r;

	if (q->client == 0 || q->index >= WIRE_CLIENT_IMPORTS || q->generation == 0 ||
		q->data > 1 || q->heir > 1)
		return STATUS_BAD_REQUEST;
	r = engine_identity_decode(message->tail, message->tail_size, &identity);
	if (r)
		return r;
	r = grant(peer, q, &identity, &import, a->key, a->grant);
	m.status = status_of(r);
	if (r == 0) {
		a->instance = import->instance;
		a->size = import->segment->size;
		a->rights = import->rights;
		a->cell = import->cell;
		a->flags = import->segment->flags & WIRE_SEGMENT_BIG_ENDIAN;
	} else {
		memset(a->key, 0, sizeof(a->key));
		memset(a->grant, 0, sizeof(a->grant));
	}
	engine_peer_say(peer, &m);
	return 0;
}

/* The rest of what a peer says */

void engine_guest_disconnect(EnginePeer *peer, const struct wire_peer_disconnect *q)
{
	EngineImport *import = engine_guest_import_find(peer, q->client, q->index, q->generation);

	if (import)
		engine_import_disconnect(import);
}

void engine_guest_data(EnginePeer *peer, const struct wire_message *message)
{
	Engine *engine = peer->engine;
	EngineClient *guest = engine_guest_find(peer, message->peer_data.client);
	struct wire_message m = {.type = WIRE_PEER_DATA_REPLY,
		.serial = message->serial,
		.peer_data_reply = {.client = message->peer_data.client}};
	struct wire_peer_data_reply *a = &m.peer_data_reply;
	int r = STATUS_NOT_FOUND;

	if (guest)
		r = engine->ops->guest_data(engine->userdata, guest, &a->done, a->grant);
	if (r)
		memset(a->grant, 0, sizeof(a->grant));
	m.status = status_of(r);
	engine_peer_say(peer, &m);
}

static void note_hold(EnginePeer *peer, const struct wire_hold *hold)
{
	EngineImport *import =
		engine_guest_import_find(peer, hold->client, hold->index, hold->generation);

	if (!import) {
		say_lost(peer, hold->client, hold->index, hold->generation, WIRE_IMPORT_NODE_LOST);
		return;
	}
	import->held = peer->holds;
	if (!import->segment)
		engine_guest_say_lost(import);
}

/* Ends what the peer has not named. */
static void sweep(EngineClient *guest)
{
	EngineImport *i = import_from(guest, 0), *next;

	/* The last one takes the guest along. */
	if (!i)
		engine_client_free(guest);
	for (; i; i = next) {
		next = import_from(guest, i->index + 1);
		if (i->held != guest->peer->holds)
			engine_import_disconnect(i);
	}
}

int engine_guest_holds(EnginePeer *peer, const struct wire_message *message)
{
	const struct wire_peer_holds *q = &message->peer_holds;
	const uint8_t *at = message->tail, *end = at + message->tail_size;
	EngineClient *guest, *tmp;
	struct wire_hold hold;

	if (!peer->holds_due || (!q->first && peer->holds == 0))
		return STATUS_BAD_REQUEST;
	if (q->first)
		peer->holds = ++peer->engine->last_holds;
	for (uint32_t i = 0; i < q->n; i++) {
		at = wire_get_hold(at, end, &hold);
		if (!at)
			return STATUS_BAD_REQUEST;
		note_hold(peer, &hold);
	}
	if (at != end)
		return STATUS_BAD_REQUEST;
	if (!q->last)
		return 0;
	list_for_each_safe (guest, tmp, &peer->guests, guest_link)
		sweep(guest);
	peer->holds_due = false;
	return 0;
}
