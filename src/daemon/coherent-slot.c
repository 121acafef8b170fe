/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/coherent-private.h"

#include "daemon/log.h"
#include "daemon/request.h"

/* How nodes' maps of segments of this node end other than in order: what other threads have noted,
 * sessions. */

/* The peer is told that they are over. */
static void end_import(Manager *m, EngineImport *import)
{
	const struct wire_message said = {.type = WIRE_PEER_LOST,
		.flags = WIRE_ONEWAY,
		.peer_lost = {.client = import->client->guest,
			.index = import->index,
			.generation = import->generation,
			.state = WIRE_IMPORT_NODE_LOST}};

	manager_engine_ops.peer_send(m, import->client->peer, &said);
	engine_import_disconnect(import);
}

/* Whatever the node has said for its lease was said before now, and is good for three quarters of
 * the detection time; some more for clocks that differ. */
static uint64_t lease_time(Manager *m, uint32_t node)
{
	const EnginePeer *peer = engine_peer_find(m->engine, node);

	return (peer ? peer->detection : coherent_patience(m)) / 8 * 7;
}

static void say_end(Manager *m, CoherentHome *home, unsigned int slot)
{
	Coherent *c = m->coherent;
	uint32_t node = home->head->slots[slot].node;
	ManagerImport *i;

	log_limited("the maps that node %u has of segment %llu are ended: %s", node,
		(unsigned long long)home->instance, home->given_up[slot]);
	while ((i = list_first(&home->imports[slot], ManagerImport, coherent_link)))
		end_import(m, i->engine);
	coherent_lock(c);
	directory_link(home->directory, slot, false, c->now);
	home->leaving[slot] = c->now + lease_time(m, node);
	coherent_touch(&home->part);
	coherent_unlock(c);
}

static void end_silently(Manager *m, CoherentHome *home, unsigned int slot)
{
	uint32_t node = home->head->slots[slot].node;

	log_limited("node %u does not say that its maps of segment %llu are over", node,
		(unsigned long long)home->instance);
	coherent_lock(m->coherent);
	coherent_slot_free(home, slot);
	coherent_unlock(m->coherent);
	coherent_peer_settle(m, node);
}

void coherent_slot_end(Manager *m, CoherentHome *home, unsigned int slot)
{
	if (list_empty(&home->imports[slot]))
		end_silently(m, home, slot);
	else
		say_end(m, home, slot);
}

/* It is to be told that its maps are over, or need not be waited for any more. */
static bool is_to_end(const CoherentHome *home, unsigned int slot)
{
	return home->given_up[slot] && (!list_empty(&home->imports[slot]) || !home->leaving[slot]);
}

static bool maps(const CoherentHome *home, uint32_t node)
{
	return coherent_slot_of(home, node);
}

/* Every node once that imports the segment and does not map it. */
static void tell_discards(Manager *m, CoherentHome *home)
{
	const struct wire_message said = {.type = WIRE_PEER_DISCARDED,
		.flags = WIRE_ONEWAY,
		.peer_discarded = {.instance = home->instance, .times = home->head->discards}};
	EnginePeer *peer = NULL;
	EngineImport *import;

	home->untold = false;
	while ((peer = engine_peer_next(m->engine, peer ? peer->number : 0))) {
		if (peer->state != WIRE_PEER_UP || maps(home, peer->number))
			continue;
		list_for_each (import, &home->segment->imports, link)
			if (import->client->peer == peer) {
				manager_engine_ops.peer_send(m, peer, &said);
				break;
			}
	}
}

/* What could not be taken out of the memory is read there, whoever writes it elsewhere. */
static void end_failed(CoherentHome *home)
{
	if (!home->part.failed)
		return;
	home->part.failed = false;
	for_each_slot (home, slot)
		coherent_slot_give_up(home, slot, "pages cannot be taken out of the memory here");
}

static CoherentHome *take_noted(Coherent *c, unsigned int *ret_slot, bool *ret_recalled)
{
	CoherentHome *found = NULL;
	CoherentPart *part;

	*ret_slot = 0;
	*ret_recalled = false;
	coherent_lock(c);
	for_each_home (c, part) {
		CoherentHome *home = coherent_home_of(part);

		end_failed(home);
		for_each_slot (home, slot)
			if (is_to_end(home, slot))
				*ret_slot = slot;
		*ret_recalled = home->recalled &&
				(home->waits || (!coherent_home_has_slots(home) && !home->held));
		if (*ret_slot || *ret_recalled || home->untold) {
			found = home;
			break;
		}
	}
	coherent_unlock(c);
	return found;
}

void coherent_homes_look(Manager *m)
{
	CoherentHome *home;
	unsigned int slot;
	bool recalled;

	while ((home = take_noted(m->coherent, &slot, &recalled))) {
		if (home->untold)
			tell_discards(m, home);
		if (slot) {
			coherent_slot_end(m, home, slot);
			coherent_home_check_empty(m, home);
		} else if (recalled && home->waits) {
			home->waits = false;
			coherent_recalled(m, home->segment);
		} else if (recalled) {
			coherent_home_check_empty(m, home);
		}
	}
}

static CoherentHome *find_with_node(
	Coherent *c, uint32_t node, uint64_t other_than, unsigned int *ret_slot)
{
	CoherentPart *part;

	for_each_home (c, part) {
		CoherentHome *home = coherent_home_of(part);

		*ret_slot = coherent_slot_of(home, node);
		if (*ret_slot && home->head->slots[*ret_slot].session != other_than)
			return home;
	}
	return NULL;
}

bool coherent_peer_maps(Manager *m, uint32_t node)
{
	unsigned int slot;
	bool found;

	if (!m->coherent)
		return false;
	coherent_lock(m->coherent);
	found = find_with_node(m->coherent, node, 0, &slot);
	coherent_unlock(m->coherent);
	return found;
}

void coherent_peer_settle(Manager *m, uint32_t node)
{
	EnginePeer *peer = engine_peer_find(m->engine, node);

	if (peer)
		engine_peer_has_maps(peer, coherent_peer_maps(m, node));
}

void coherent_peers_settle(Manager *m)
{
	EnginePeer *peer = NULL;

	while ((peer = engine_peer_next(m->engine, peer ? peer->number : 0)))
		coherent_peer_settle(m, peer->number);
}

void coherent_homes_session_changed(Manager *m, uint32_t node, uint64_t session)
{
	CoherentHome *home;
	unsigned int slot;

	for (;;) {
		coherent_lock(m->coherent);
		home = find_with_node(m->coherent, node, session, &slot);
		if (home)
			coherent_slot_free(home, slot);
		coherent_unlock(m->coherent);
		if (!home)
			return;
		coherent_home_check_empty(m, home);
	}
}
