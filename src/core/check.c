/* SPDX-License-Identifier: Apache-2.0 */

/* A check that could be compiled out would be none. */
#undef NDEBUG
#include "core/engine-private.h"

#include <assert.h>

static const EngineClient *client_above(const Engine *engine, const EngineClient *client)
{
	struct tree_node *n = tree_above(&engine->clients, client ? client->id : 0);

	return n ? container_of(n, EngineClient, node) : NULL;
}

static void check_cells(const EngineSegment *s)
{
	uint32_t cell, highest = 0;
	const EngineImport *i;
	void *holder;

	assert(idtable_get(&s->cells, 0) == s);
	assert(s->cells.n_used >= s->n_imports + 1);
	idtable_for_each (&s->cells, cell, holder) {
		highest = cell;
		if (cell == 0)
			continue;
		i = holder;
		assert(i->holding == s && i->cell == cell && i->instance == s->instance);
		assert(engine_import_get(i->client, i->index) == i);
	}
	assert(s->n_cells == highest + 1);
}

static void check_connected(const EngineSegment *s)
{
	const EngineImport *i;
	uint32_t n = 0, n_attached = 0;

	list_for_each (i, &s->imports, link) {
		assert(i->segment == s);
		assert(i->state == WIRE_IMPORT_CONNECTED);
		assert(idtable_get(&s->cells, i->cell) == i);
		n++;
		n_attached += i->attached;
	}
	assert(n == s->n_imports && n_attached == s->n_attached);
}

static void check_segment(const EngineSegment *s)
{
	Engine *engine = s->owner->engine;

	assert(s->instance > 0 && s->instance <= engine->counters.last_instance);
	assert(engine_segment_find_instance(engine, s->instance) == s);
	assert(engine_space_valid(s->space) && engine_size_valid(s->size) && s->mode <= 0777);
	if (s->state == WIRE_SEGMENT_PUBLISHED) {
		assert(s->id != 0 || s->offer);
		assert(ids_find(&engine->ids, s->space, s->id) == s);
		assert(s->n_access <= ENGINE_ACCESS_MAX);
	} else {
		assert(s->state == WIRE_SEGMENT_BOUND);
		assert(s->id == 0 && s->n_access == 0);
		assert(s->offer ? s->n_imports > 0 : s->n_imports == 0 && !s->handed_out);
	}
	assert(!s->offer || s->offer & WIRE_OFFERED);
	if (s->offer & WIRE_OFFER_LEFT)
		assert((s->state == WIRE_SEGMENT_PUBLISHED) == (s->n_attached > 0));
	check_cells(s);
	check_connected(s);
}

/* What is not over has a home, and a session with it as soon as that has granted it. */
static void check_remote(const EngineImport *i)
{
	bool over = i->state != WIRE_IMPORT_PENDING && i->state != WIRE_IMPORT_CONNECTED;

	assert(!i->client->peer && !i->segment && !i->holding && i->cell == 0);
	assert(i->node != i->client->engine->node);
	assert(!i->home == over);
	assert(i->state != WIRE_IMPORT_CONNECTED || i->granted);
	assert((i->state == WIRE_IMPORT_FAILED) == (i->failure != 0));
	if (over) {
		assert(list_empty(&i->home_link));
		return;
	}
	assert(i->home->number == i->node);
	if (i->granted)
		assert(i->home->session && i->home->incarnation == i->incarnation);
}

static void check_import(const EngineImport *i)
{
	assert(i->generation > 0);
	assert(i->client->peer || i->generation <= i->client->generations[i->index]);
	assert(!(i->rights & ~(WIRE_READ | WIRE_WRITE)));
	if (i->node) {
		check_remote(i);
		return;
	}
	assert(!i->home);
	assert(!i->holding || idtable_get(&i->holding->cells, i->cell) == i);
	if (i->state == WIRE_IMPORT_CONNECTED) {
		assert(i->segment && i->segment == i->holding);
		assert(i->segment->state == WIRE_SEGMENT_PUBLISHED || i->segment->offer);
	} else {
		assert(i->state == WIRE_IMPORT_REVOKED || i->state == WIRE_IMPORT_EXPORTER_GONE);
		assert(!i->segment && list_empty(&i->link));
	}
}

static void check_guest(const EngineClient *c, struct engine_counts *counts)
{
	const struct tree_node *n;
	uint32_t n_imports = 0;

	assert(c->user == &c->peer->account && c->peer->session);
	assert(engine_guest_find(c->peer, c->guest) == c);
	assert(c->segments.n_used == 0 && c->imports.n_used == 0);
	for (n = tree_above(&c->guest_imports, 0); n; n = tree_above(&c->guest_imports, n->key)) {
		const EngineImport *i = container_of(n, EngineImport, guest_node);

		assert(i->client == c && i->index + 1 == n->key);
		assert(i->index < WIRE_CLIENT_IMPORTS);
		check_import(i);
		n_imports++;
	}
	/* One that a restore has brought without imports goes with the peer's HOLDS. */
	assert(n_imports > 0 || c->peer->state == WIRE_PEER_AWAY || c->peer->holds_due);
	counts->n_imports += n_imports;
}

static void check_client(
	const EngineClient *c, struct engine_counts *counts, uint32_t *ret_n_published)
{
	const EngineSegment *s;
	const EngineImport *i;
	uint32_t index;

	assert(c->id <= c->engine->counters.last_client);
	if (c->peer)
		check_guest(c, counts);
	else
		assert(engine_user_find(c->engine, c->user->uid) == c->user);
	idtable_for_each (&c->segments, index, s) {
		assert(s->owner == c && s->index == index);
		check_segment(s);
		counts->bytes += s->size;
		*ret_n_published += s->state == WIRE_SEGMENT_PUBLISHED;
	}
	idtable_for_each (&c->imports, index, i) {
		assert(i->client == c && i->index == index);
		check_import(i);
	}
	counts->n_clients += !c->estate;
	counts->n_segments += c->segments.n_used;
	counts->n_imports += c->imports.n_used;
}

static void check_user(const Engine *engine, const EngineUser *user)
{
	uint32_t n_clients = 0, n_segments = 0, n_imports = 0, n_estates = 0, index;
	const EngineClient *c;
	const EngineSegment *s;
	uint64_t bytes = 0;

	for (c = client_above(engine, NULL); c; c = client_above(engine, c)) {
		if (c->user != user)
			continue;
		n_clients++;
		n_estates += c->estate != NULL;
		n_segments += c->segments.n_used;
		n_imports += c->imports.n_used;
		idtable_for_each (&c->segments, index, s)
			bytes += s->size;
	}
	assert(user->n_clients > 0 && user->n_clients == n_clients);
	assert(user->n_estates == n_estates);
	assert(user->n_segments == n_segments && user->n_imports == n_imports);
	assert(user->bytes == bytes);
}

static void check_users(const Engine *engine, const struct tree_node *n)
{
	if (!n)
		return;
	check_users(engine, n->left);
	check_user(engine, container_of(n, EngineUser, node));
	check_users(engine, n->right);
}

static void check_order(const Engine *engine)
{
	const struct tree_node *n;
	uint32_t n_segments = 0;

	for (n = tree_above(&engine->segments, 0); n; n = tree_above(&engine->segments, n->key)) {
		assert(container_of(n, EngineSegment, node)->instance == n->key);
		n_segments++;
	}
	assert(n_segments == engine->counts.n_segments);
}

static void check_imports_of(const EnginePeer *p)
{
	uint32_t n_imports = 0, n_waiting = 0;
	const EngineImport *i;

	list_for_each (i, &p->imports, home_link) {
		assert(i->home == p && i->client->engine == p->engine);
		assert(engine_import_get(i->client, i->index) == i);
		n_imports++;
		n_waiting += !i->granted;
	}
	assert(n_imports == p->n_imports && n_waiting == p->n_waiting);
	assert(n_waiting > 0 || p->since == 0);
}

static void check_guests_of(const EnginePeer *p)
{
	uint32_t n_clients = 0, n_imports = 0;
	const struct tree_node *n;
	const EngineClient *c;

	list_for_each (c, &p->guests, guest_link) {
		assert(c->peer == p && engine_client_find(p->engine, c->id) == c);
		for (n = tree_above(&c->guest_imports, 0); n;
			n = tree_above(&c->guest_imports, n->key))
			n_imports++;
		n_clients++;
	}
	assert(p->account.n_clients == n_clients && p->account.n_imports == n_imports);
	assert(p->account.n_segments == 0 && p->account.bytes == 0);
}

static void check_peer(const Engine *engine, const EnginePeer *p)
{
	bool needed = p->n_wanted > 0 || p->n_imports > 0 || p->account.n_clients > 0 ||
		      p->number < engine->keep_below;

	assert(p->engine == engine && p->number != engine->node);
	assert(p->listed == engine_has_node(engine, p->number));
	assert(p->state <= WIRE_PEER_AWAY);
	assert((p->session != 0) == (p->state == WIRE_PEER_UP || p->state == WIRE_PEER_AWAY));
	assert((p->session != 0) == (p->incarnation != 0));
	assert(p->session || (p->n_imports == p->n_waiting && p->account.n_clients == 0));
	assert(p->session || !p->keeps);
	assert(p->listed || (!p->session && p->n_imports == 0));
	/* Somebody will look at it again, unless the caller has something to do. */
	assert(p->due != UINT64_MAX || (!p->session && needed && (p->dialling || !p->listed)));
	assert(p->due == UINT64_MAX || tree_get(&engine->timers, p->timer.key) == &p->timer);
	check_imports_of(p);
	check_guests_of(p);
}

static void check_peers(const Engine *engine)
{
	const struct tree_node *n;

	for (n = tree_above(&engine->peers, 0); n; n = tree_above(&engine->peers, n->key))
		check_peer(engine, container_of(n, EnginePeer, node));
	for (n = tree_above(&engine->timers, 0); n; n = tree_above(&engine->timers, n->key))
		assert(container_of(n, EnginePeer, timer)->due != UINT64_MAX);
}

void engine_check(const Engine *engine)
{
	struct engine_counts counts = {};
	const EngineClient *c;
	uint32_t n_published = 0;

	for (c = client_above(engine, NULL); c; c = client_above(engine, c))
		check_client(c, &counts, &n_published);
	assert(counts.n_clients == engine->counts.n_clients);
	assert(counts.n_segments == engine->counts.n_segments);
	assert(counts.n_imports == engine->counts.n_imports);
	assert(counts.bytes == engine->counts.bytes);
	assert(n_published == engine->ids.n_used);
	check_users(engine, engine->users.root);
	check_order(engine);
	engine_shm_check(engine);
	check_peers(engine);
}
