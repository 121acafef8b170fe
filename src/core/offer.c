/* SPDX-License-Identifier: Apache-2.0 */
#include "core/offer.h"

#include "core/engine-private.h"

static bool is_offered(const EngineSegment *segment)
{
	return segment->offer & WIRE_OFFERED;
}

/* Events */

static void tell(EngineSegment *segment, EngineImport *to, uint32_t event, uint32_t node)
{
	Engine *engine = segment->owner->engine;

	if (engine->ops->segment_event)
		engine->ops->segment_event(engine->userdata, segment, to, event, node);
}

void engine_offer_event(EngineImport *import, uint32_t event)
{
	EngineSegment *segment = import->segment;
	const EngineClient *client = import->client;
	uint32_t node = client->peer ? client->peer->number : client->engine->node;
	EngineImport *i;

	if (!segment || !is_offered(segment) || !import->announced)
		return;
	if (!(segment->offer & WIRE_OFFER_LEFT))
		tell(segment, NULL, event, node);
	list_for_each (i, &segment->imports, link)
		if (i->attached)
			tell(segment, i, event, node);
}

void engine_import_announce(EngineImport *import)
{
	if (!import->segment || import->attached || import->announced)
		return;
	import->announced = true;
	engine_offer_event(import, WIRE_EVENT_CONNECT);
}

void engine_offer_ended(EngineImport *import)
{
	const EnginePeer *peer = import->client->peer;

	engine_offer_event(import, peer && peer->ending ? WIRE_EVENT_LOST : WIRE_EVENT_DISCONNECT);
}

void engine_offer_say_leave(EngineImport *import)
{
	Engine *engine = import->client->engine;
	const struct wire_message m = {.type = WIRE_PEER_NOTE,
		.flags = WIRE_ONEWAY,
		.peer_note = {.client = import->client->guest,
			.index = import->index,
			.generation = import->generation,
			.note = WIRE_NOTE_LEAVE}};

	if (import->attached)
		return;
	if (import->client->peer)
		engine_peer_say(import->client->peer, &m);
	else if (engine->ops->import_leave)
		engine->ops->import_leave(engine->userdata, import);
}

void engine_offer_resumed(EngineImport *import)
{
	const EngineSegment *segment = import->segment;

	if (segment && segment->offer & (WIRE_OFFER_LEFT | WIRE_OFFER_TOLD))
		engine_offer_say_leave(import);
}

static void ask_all_to_leave(EngineSegment *segment)
{
	EngineImport *i;

	list_for_each (i, &segment->imports, link)
		engine_offer_say_leave(i);
}

void engine_offer_turn(EnginePeer *peer, bool away)
{
	Engine *engine = peer->engine;
	EngineClient *guest;
	EngineImport *i;

	if (peer->told_away == away)
		return;
	peer->told_away = away;
	list_for_each (i, &peer->imports, home_link)
		if (i->granted && engine->ops->import_turn)
			engine->ops->import_turn(engine->userdata, i, away);
	list_for_each (guest, &peer->guests, guest_link)
		for (i = engine_guest_next(guest, NULL); i; i = engine_guest_next(guest, i))
			engine_offer_event(i, away ? WIRE_EVENT_AWAY : WIRE_EVENT_BACK);
}

/* The owner */

static int free_id(const Engine *engine, uint32_t space, uint32_t *id)
{
	uint32_t first = *id;

	while (ids_find(&engine->ids, space, *id))
		if (++*id == first)
			return STATUS_NO_RESOURCES;
	return 0;
}

int engine_segment_offer(EngineSegment *segment, uint32_t id, uint32_t flags, uint32_t *ret_id)
{
	const uint32_t lasting = WIRE_OFFER_SHARED | WIRE_OFFER_GROUP | WIRE_OFFER_UNICAST;
	Engine *engine = segment->owner->engine;
	int r = 0;

	if (flags & ~(WIRE_OFFER_AUTO | lasting))
		return STATUS_BAD_REQUEST;
	if (segment->space == WIRE_SPACE_RSM)
		return STATUS_BAD_REQUEST;
	if (segment->state == WIRE_SEGMENT_PUBLISHED || is_offered(segment))
		return STATUS_ALREADY_PUBLISHED;
	if (flags & WIRE_OFFER_AUTO)
		r = free_id(engine, segment->space, &id);
	else if (ids_find(&engine->ids, segment->space, id))
		r = STATUS_ID_IN_USE;
	if (r)
		return r;
	segment->offer = WIRE_OFFERED | (flags & lasting);
	engine_segment_enter(segment, id, NULL, 0);
	*ret_id = id;
	return 0;
}

int engine_segment_open(EngineSegment *segment)
{
	if (!is_offered(segment) || segment->state != WIRE_SEGMENT_PUBLISHED)
		return STATUS_NOT_PUBLISHED;
	segment->offer |= WIRE_OFFER_OPEN | WIRE_OFFER_WAS_OPEN;
	segment->offer &= ~(uint32_t)WIRE_OFFER_TOLD;
	return 0;
}

/* Those who are attached stay. */
static void end_connections(EngineSegment *segment)
{
	EngineImport *i, *tmp;

	list_for_each_safe (i, tmp, &segment->imports, link) {
		if (i->attached)
			continue;
		engine_offer_event(i, WIRE_EVENT_DISCONNECT);
		engine_import_revoke(i, WIRE_IMPORT_REVOKED);
	}
}

int engine_segment_close(EngineSegment *segment, uint32_t flags)
{
	if (!is_offered(segment) || segment->state != WIRE_SEGMENT_PUBLISHED)
		return STATUS_NOT_PUBLISHED;
	if (!(segment->offer & WIRE_OFFER_OPEN))
		return STATUS_WRONG_STATE;
	segment->offer &= ~(uint32_t)WIRE_OFFER_OPEN;
	if (flags & WIRE_CLOSE_END)
		end_connections(segment);
	if (flags & WIRE_CLOSE_TELL) {
		segment->offer |= WIRE_OFFER_TOLD;
		ask_all_to_leave(segment);
	}
	return 0;
}

int engine_segment_share(EngineSegment *segment)
{
	if (!is_offered(segment) || segment->state != WIRE_SEGMENT_PUBLISHED)
		return STATUS_NOT_PUBLISHED;
	segment->offer |= WIRE_OFFER_SHARED;
	return 0;
}

/* Nobody has a handle of it any more: the id goes, who is connected is asked to leave. */
static void withdraw_left(EngineSegment *segment)
{
	Engine *engine = segment->owner->engine;

	if (segment->state != WIRE_SEGMENT_PUBLISHED)
		return;
	ids_remove(&engine->ids, segment);
	segment->state = WIRE_SEGMENT_BOUND;
	segment->id = 0;
	segment->offer &= ~(uint32_t)WIRE_OFFER_OPEN;
	if (engine->ops->segment_changed)
		engine->ops->segment_changed(engine->userdata, segment);
	ask_all_to_leave(segment);
}

void engine_offer_settle(EngineSegment *segment)
{
	if (!(segment->offer & WIRE_OFFER_LEFT) || segment->n_attached > 0)
		return;
	withdraw_left(segment);
	if (segment->n_imports == 0)
		engine_segment_destroy(segment);
}

void engine_offers_settle(Engine *engine)
{
	EngineSegment *s = NULL;
	uint64_t after = 0;

	while ((s = engine_segment_next(engine, after))) {
		after = s->instance;
		engine_offer_settle(s);
	}
}

int engine_segment_leave(EngineSegment *segment, bool end)
{
	if (!is_offered(segment))
		return STATUS_NOT_PUBLISHED;
	if (end) {
		engine_segment_destroy(segment);
		return 0;
	}
	segment->offer |= WIRE_OFFER_LEFT;
	engine_offer_settle(segment);
	return 0;
}

/* Who attaches */

int engine_import_attach_offer(
	EngineClient *client, uint32_t space, uint32_t id, EngineImport **ret_import)
{
	Engine *engine = client->engine;
	EngineSegment *segment = ids_find(&engine->ids, space, id);
	uint32_t rights;
	int r;

	if (!segment || !is_offered(segment))
		return STATUS_NOT_FOUND;
	r = engine_access_rights(segment, engine->node, &client->identity, &rights);
	if (r == 0 && (!(segment->offer & WIRE_OFFER_SHARED) || rights != (WIRE_READ | WIRE_WRITE)))
		r = STATUS_DENIED;
	if (r)
		return r;
	if (client->user->n_imports >= engine->limits.max_imports_per_user)
		return STATUS_NO_RESOURCES;
	return engine_import_new(
		client, segment, WIRE_READ | WIRE_WRITE, ENGINE_LOWEST, 0, true, ret_import);
}

int engine_offer_judge(const EngineSegment *segment, uint32_t space)
{
	bool group = segment->offer & WIRE_OFFER_GROUP;

	if (!is_offered(segment))
		return space == WIRE_SPACE_SISCI_GROUP ? STATUS_NOT_FOUND : 0;
	if (space == WIRE_SPACE_SISCI_GROUP ? !group
					    : group && !(segment->offer & WIRE_OFFER_UNICAST))
		return STATUS_NOT_FOUND;
	if (segment->offer & WIRE_OFFER_OPEN)
		return 0;
	return segment->offer & WIRE_OFFER_WAS_OPEN ? STATUS_WITHDRAWN : STATUS_NOT_FOUND;
}
