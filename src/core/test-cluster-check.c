/* SPDX-License-Identifier: Apache-2.0 */
#include "core/test-cluster.h"

#include <string.h>

/*
 * What must be true in a cluster: always, of two nodes in one session, and at the end, when all has
 * healed and come to rest.
 */

static EngineImport *guest_of(EnginePeer *importer, const EngineImport *i)
{
	EngineClient *guest = engine_guest_find(importer, i->client->id);
	EngineImport *g = guest ? engine_import_get(guest, i->index) : NULL;

	return g && g->generation == i->generation ? g : NULL;
}

static EngineImport *import_of(EnginePeer *home, const EngineImport *g)
{
	EngineClient *client = engine_client_find(home->engine, g->client->guest);
	EngineImport *i = client ? engine_import_get(client, g->index) : NULL;

	return i && i->generation == g->generation && i->home == home ? i : NULL;
}

static bool names(const struct wire_message *m, uint64_t client, uint32_t index, uint32_t type)
{
	if (m->type != type)
		return false;
	if (type == WIRE_PEER_LOST)
		return m->peer_lost.client == client && m->peer_lost.index == index;
	if (type == WIRE_PEER_CONNECT)
		return m->peer_connect.client == client && m->peer_connect.index == index;
	return m->peer_disconnect.client == client && m->peer_disconnect.index == index;
}

/* Is a message about this on its way to that node? */
static bool under_way(
	struct connection *n, uint32_t to, uint64_t client, uint32_t index, uint32_t type)
{
	struct packet *p;

	list_for_each (p, &n->queue[n->node[1] == to], link)
		if (names(&p->message, client, index, type))
			return true;
	return false;
}

/* What the home's guest_equip() has made the key of. */
static uint64_t key_number(const EngineImport *i)
{
	uint64_t number;

	memcpy(&number, i->key, sizeof(number));
	return number;
}

/* home: as the importer sees it; importer: as the home sees it. They are in one session. */
static void check_held(
	struct cluster *c, EnginePeer *home, EnginePeer *importer, struct connection *n)
{
	EngineImport *i, *g;

	list_for_each (i, &home->imports, home_link) {
		if (!i->granted)
			continue;
		g = guest_of(importer, i);
		HOLDS(c, g && g->instance == i->instance);
		HOLDS(c, (uint64_t)(uintptr_t)g->userdata == key_number(i));
		HOLDS(c, g->segment || under_way(n, importer->number, i->client->id, i->index,
					       WIRE_PEER_LOST));
	}
}

static void check_guests(
	struct cluster *c, EnginePeer *home, EnginePeer *importer, struct connection *n)
{
	const struct tree_node *at;
	EngineClient *guest;

	list_for_each (guest, &importer->guests, guest_link) {
		at = tree_above(&guest->guest_imports, 0);
		for (; at; at = tree_above(&guest->guest_imports, at->key)) {
			const EngineImport *g = container_of(at, EngineImport, guest_node);

			HOLDS(c,
				import_of(home, g) || under_way(n, home->engine->node, guest->guest,
							      g->index, WIRE_PEER_DISCONNECT));
		}
	}
}

/* What one node has of the other, and the other of it. */
static void check_pair(struct cluster *c, EnginePeer *home, EnginePeer *importer)
{
	struct connection *n = cluster_common(c, home, importer);

	if (!n || home->session != importer->session)
		return;
	HOLDS(c, home->incarnation == importer->engine->incarnation);
	if (importer->holds_due)
		return;
	check_held(c, home, importer, n);
}

static EnginePeer *other_side(struct cluster *c, EnginePeer *peer)
{
	Engine *other = cluster_node(c, peer->number)->engine;

	return other ? engine_peer_find(other, engine_node(peer->engine)) : NULL;
}

void cluster_check_node(struct cluster *c, uint32_t number)
{
	Engine *engine = cluster_node(c, number)->engine;
	EnginePeer *p = NULL, *other;

	engine_check(engine);
	while ((p = engine_peer_next(engine, p ? p->number : 0))) {
		const struct sim_node *far = cluster_node(c, p->number);

		other = other_side(c, p);
		if (other) {
			check_pair(c, p, other);
			check_pair(c, other, p);
		}
		/* A session ends in time with its node; a new daemon waits as long as any. */
		HOLDS(c, !p->session || p->incarnation == far->incarnation ||
				 far->died == UINT64_MAX ||
				 c->now - MAX(far->died, cluster_node(c, number)->started) <=
					 DETECTION + NSEC_PER_MSEC);
	}
}

static void check_agreement(struct cluster *c, EnginePeer *p)
{
	EnginePeer *other = other_side(c, p);
	const EngineImport *i;

	HOLDS(c, other && p->state == WIRE_PEER_UP && other->state == WIRE_PEER_UP);
	HOLDS(c, p->session == other->session && p->n_waiting == 0);
	HOLDS(c, p->incarnation == other->engine->incarnation);
	HOLDS(c, p->detection == DETECTION && !p->holds_due);
	HOLDS(c, p->n_imports > 0 || p->account.n_imports > 0);
	HOLDS(c, p->n_imports == other->account.n_imports);
	check_guests(c, p, other, cluster_common(c, p, other));
	list_for_each (i, &p->imports, home_link)
		HOLDS(c, i->state == WIRE_IMPORT_CONNECTED);
}

void cluster_check_end(struct cluster *c)
{
	EnginePeer *p = NULL;

	for (uint32_t a = 1; a <= c->n_nodes; a++) {
		if (!cluster_node(c, a)->engine)
			continue;
		while ((p = engine_peer_next(cluster_node(c, a)->engine, p ? p->number : 0)))
			check_agreement(c, p);
	}
}
