/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/route-private.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/closer.h"
#include "daemon/manager-peer.h"
#include "daemon/record.h"
#include "fabric/fabric.h"
#include "wire/status.h"

static uint64_t keep_key(const Route *r)
{
	return keep_import_key(r->client->engine->id, r->index);
}

static _Atomic uint64_t *word_of(const Route *r)
{
	return &r->client->status.map->routes[r->index];
}

void route_show(const Route *r)
{
	status_word_show(word_of(r), WIRE_IMPORT_WORD(r->generation, r->state));
}

void route_store(const Route *r)
{
	if (r->state == WIRE_ROUTE_OPEN)
		keeper_link_store(route_manager(r)->link, KEEP_ROUTE, keep_key(r), r->fd);
}

int route_save(Route *r)
{
	Journal *journal = route_manager(r)->journal;
	const struct record_route record = {
		.client = r->client->engine->id,
		.session = r->session,
		.done = r->done,
		.index = r->index,
		.generation = r->generation,
		.node = r->node,
		.state = r->state,
		.used = r->used,
	};

	if (r->slot == JOURNAL_NO_SLOT)
		return journal_add(journal, RECORD_ROUTE, &record, sizeof(record), &r->slot);
	journal_update(journal, r->slot, &record, sizeof(record));
	return 0;
}

uint32_t route_generation_after(uint32_t generation)
{
	/* none is all ones (client/route.c) */
	return generation >= UINT32_MAX - 1 ? 1 : generation + 1;
}

/* The client may have set options that make closing slow. */
void route_drop_stream(Route *r)
{
	r->wear = sd_event_source_disable_unref(r->wear);
	if (r->fd < 0)
		return;
	r->fd = closer_hang_up(r->fd);
	keeper_link_drop(route_manager(r)->link, KEEP_ROUTE, keep_key(r));
}

/* Its imports are told by the engine. */
static void lose(Route *r)
{
	if (r->state == WIRE_ROUTE_LOST)
		return;
	route_rest(r);
	r->state = WIRE_ROUTE_LOST;
	route_save(r);
	route_show(r);
	route_drop_stream(r);
}

void route_give_up(Route *r)
{
	ManagerImport *i, *tmp;

	list_for_each_safe (i, tmp, &r->imports, route_link) {
		if (i->engine->state == WIRE_IMPORT_CONNECTED)
			engine_import_lose(i->engine);
		else if (i->engine->state == WIRE_IMPORT_PENDING && i->engine->granted)
			engine_import_fail(i->engine, STATUS_NODE_UNREACHABLE);
	}
	lose(r);
}

/* Encryption */

void routes_encryption_changed(Manager *m, const EnginePeer *peer)
{
	enum wire_encryption data = manager_peer_data(peer);
	Route *r, *tmp;

	list_for_each_safe (r, tmp, &m->routes, link) {
		if (r->node != peer->number || r->state != WIRE_ROUTE_OPEN)
			continue;
		if (data == WIRE_DATA_IMPOSSIBLE)
			route_give_up(r);
		else if (data == WIRE_DATA_ENCRYPTED && !r->encrypted)
			route_renew(r, r->generation);
	}
}

/* Sessions */

void routes_session_changed(Manager *m, const EnginePeer *peer)
{
	Route *r, *tmp;

	list_for_each_safe (r, tmp, &m->routes, link)
		if (r->node == peer->number && r->session && r->session != peer->session)
			lose(r);
}

/* Imports. A client has one route to a home, besides such that are lost. As long as one that is not
 * over has been granted the process is a guest there, and its
 * operations are counted; when none is left that is not over the home forgets it. */

static bool is_live(const EngineImport *import)
{
	return import->state == WIRE_IMPORT_PENDING || import->state == WIRE_IMPORT_CONNECTED;
}

static bool has_live(const Route *r)
{
	const ManagerImport *i;

	list_for_each (i, &r->imports, route_link)
		if (is_live(i->engine))
			return true;
	return false;
}

/* Another one than this. */
static bool has_granted(const Route *r, const EngineImport *import)
{
	const ManagerImport *i;

	list_for_each (i, &r->imports, route_link)
		if (i->engine != import && is_live(i->engine) && i->engine->granted)
			return true;
	return false;
}

static Route *find(ManagerClient *c, uint32_t node)
{
	uint32_t index;
	Route *r;

	idtable_for_each (&c->routes, index, r)
		if (r->node == node && r->state != WIRE_ROUTE_LOST)
			return r;
	return NULL;
}

static void route_free(Route *r)
{
	route_rest(r);
	r->state = WIRE_ROUTE_FREE;
	route_show(r);
	route_drop_stream(r);
	journal_remove(route_manager(r)->journal, r->slot);
	list_unlink(&r->link);
	idtable_remove(&r->client->routes, r->index);
	free(r);
}

static Route *route_alloc(ManagerClient *c, uint32_t node)
{
	Route *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->client = c;
	r->node = node;
	r->state = WIRE_ROUTE_OPENING;
	r->fd = -1;
	list_init(&r->link);
	list_init(&r->imports);
	return r;
}

/* The word of a free place keeps the last generation. */
static int route_new(ManagerClient *c, uint32_t node, Route **ret_route)
{
	Route *r = route_alloc(c, node);
	int e;

	if (!r)
		return -ENOMEM;
	e = idtable_add(&c->routes, r, &r->index);
	if (e < 0) {
		free(r);
		return e;
	}
	e = status_page_reserve_routes(&c->status, r->index + 1);
	if (e == 0) {
		r->generation = route_generation_after((uint32_t)(atomic_load(word_of(r)) >> 32));
		e = route_save(r);
	}
	if (e < 0) {
		idtable_remove(&c->routes, r->index);
		free(r);
		return e;
	}
	list_append(&c->manager->routes, &r->link);
	route_show(r);
	*ret_route = r;
	return 0;
}

static void attach(Route *r, EngineImport *import)
{
	ManagerImport *i = manager_import(import);

	i->route = r;
	list_append(&r->imports, &i->route_link);
}

int route_attach(EngineImport *import)
{
	ManagerClient *c = import->client->userdata;
	Route *r = find(c, import->node);
	int e = r ? 0 : route_new(c, import->node, &r);

	if (e == 0)
		attach(r, import);
	return e;
}

void route_import_over(EngineImport *import)
{
	Route *r = manager_import(import)->route;

	if (r && !has_live(r))
		lose(r);
}

void route_detach(EngineImport *import)
{
	ManagerImport *i = manager_import(import);
	Route *r = i->route;

	if (!r)
		return;
	list_unlink(&i->route_link);
	i->route = NULL;
	if (list_empty(&r->imports))
		route_free(r);
	else if (!has_live(r))
		lose(r);
}

bool route_import_has(void *userdata, const EngineImport *import)
{
	const Route *r = find(import->client->userdata, import->node);

	return r && has_granted(r, import);
}

/* Of a route that is over, or about to be: what is not over goes to another one. */
static void move_live(Route *r, Route *to)
{
	ManagerImport *i, *tmp;

	list_for_each_safe (i, tmp, &r->imports, route_link) {
		if (!is_live(i->engine))
			continue;
		list_unlink(&i->route_link);
		attach(to, i->engine);
		manager_import_save(route_manager(r), i->engine);
	}
	if (list_empty(&r->imports))
		route_free(r);
	else
		lose(r);
}

/* The route of an import that has been granted. With a grant the home counts anew: where the client
 * has done something already, that is another route. */
static int find_granted(EngineImport *import, bool given, Route **ret_route)
{
	ManagerClient *c = import->client->userdata;
	Route *own = manager_import(import)->route, *r = find(c, import->node), *fresh;
	int e;

	if (!r || (given && r->used && !has_granted(r, import))) {
		e = route_new(c, import->node, &fresh);
		if (e < 0)
			return e;
		if (r && r != own)
			move_live(r, fresh);
		r = fresh;
	}
	if (r != own)
		move_live(own, r);
	*ret_route = r;
	return 0;
}

static void begin(Route *r, const EngineImport *import, const uint8_t *grant)
{
	r->session = import->home->session;
	route_save(r);
	if (grant)
		route_dial(r, grant);
	else
		route_ask(r);
}

/* Who is granted while no other import of the route is, has asked for a grant: the process may have
 * been no guest then. */
void route_import_granted(void *userdata, EngineImport *import, const uint8_t grant[16])
{
	static const uint8_t none[16];
	bool given = memcmp(grant, none, sizeof(none));
	Route *r;

	if (manager_peer_data(import->home) == WIRE_DATA_IMPOSSIBLE) {
		engine_import_fail(import, STATUS_NOT_ENCRYPTED);
		return;
	}
	if (!import_has_route(import)) {
		engine_import_ready(import);
		return;
	}
	if (!manager_import(import) || find_granted(import, given, &r) < 0) {
		engine_import_fail(import, STATUS_NO_RESOURCES);
		return;
	}
	manager_import_save(userdata, import);
	if (r->state == WIRE_ROUTE_OPEN)
		engine_import_ready(import);
	else if (r->step == ROUTE_RESTING)
		begin(r, import, given ? grant : NULL);
}

/* After a restart */

int route_restore(Manager *m, uint32_t slot, struct keeper_stored *stored)
{
	struct record_route record;
	ManagerClient *c;
	Route *r;
	int e;

	journal_read(m->journal, slot, &record, sizeof(record));
	c = manager_client_find(m, record.client);
	if (!c)
		return -EBADMSG;
	r = route_alloc(c, record.node);
	if (!r)
		return -ENOMEM;
	e = idtable_add_at(&c->routes, record.index, r);
	if (e == 0)
		e = status_page_reserve_routes(&c->status, record.index + 1);
	if (e < 0) {
		free(r);
		return e == -ENOMEM ? e : -EBADMSG;
	}
	r->index = record.index;
	r->generation = record.generation;
	r->state = record.state;
	r->session = record.session;
	r->done = record.done;
	r->used = record.used;
	r->slot = slot;
	list_append(&m->routes, &r->link);
	/* what was stored and not recorded was told to nobody */
	if (r->state == WIRE_ROUTE_OPEN)
		r->fd = keeper_stored_take(
			stored, KEEP_ROUTE, keep_import_key(record.client, r->index));
	r->encrypted = r->fd >= 0 && fabric_tcp_is_encrypted(r->fd);
	route_watch_wear(r);
	route_show(r);
	return 0;
}

int route_restore_import(EngineImport *import, uint32_t number)
{
	ManagerClient *c = import->client->userdata;
	Route *r = number ? idtable_get(&c->routes, number - 1) : NULL;

	if (!r || r->node != import->node)
		return -EBADMSG;
	attach(r, import);
	return 0;
}

/* A predecessor's stream that is not there any more, or that must not be used any more. */
static bool needs_another(const Route *r)
{
	return r->fd < 0 || (!r->encrypted && route_manager(r)->options.config->data_encryption);
}

/* An import that was granted and not connected yet asks again. */
static void route_go_on(Route *r)
{
	const EnginePeer *peer = route_peer(r);

	if (!has_live(r) || (r->session && (!peer || peer->session != r->session)))
		lose(r);
	else if (r->state == WIRE_ROUTE_OPEN && needs_another(r))
		route_renew(r, r->generation);
	else if (r->state == WIRE_ROUTE_OPENING && has_granted(r, NULL))
		route_ask(r);
}

void routes_restored(Manager *m)
{
	Route *r, *tmp;

	list_for_each_safe (r, tmp, &m->routes, link) {
		if (list_empty(&r->imports))
			route_free(r);
		else if (r->state != WIRE_ROUTE_LOST)
			route_go_on(r);
	}
}
