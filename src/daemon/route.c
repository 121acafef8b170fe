/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/route.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/closer.h"
#include "core/peer.h"
#include "daemon/log.h"
#include "daemon/manager-peer.h"
#include "daemon/record.h"
#include "fabric/fabric.h"
#include "wire/status.h"

#define PAUSE (100 * NSEC_PER_MSEC) /* between two streams of a route */

static Manager *manager_of(const Route *r)
{
	return r->client->manager;
}

static EnginePeer *peer_of(const Route *r)
{
	return engine_peer_find(manager_of(r)->engine, r->node);
}

static uint64_t keep_key(const Route *r)
{
	return keep_import_key(r->client->engine->id, r->index);
}

static _Atomic uint64_t *word_of(const Route *r)
{
	return &r->client->status.map->routes[r->index];
}

static void show(const Route *r)
{
	status_word_show(word_of(r), WIRE_IMPORT_WORD(r->generation, r->state));
}

void route_store(const Route *r)
{
	if (r->state == WIRE_ROUTE_OPEN)
		keeper_link_store(manager_of(r)->link, KEEP_ROUTE, keep_key(r), r->fd);
}

static int save(Route *r)
{
	Journal *journal = manager_of(r)->journal;
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

static uint32_t generation_after(uint32_t generation)
{
	return generation == UINT32_MAX ? 1 : generation + 1;
}

/* Whatever was under way to another stream. */
static void rest(Route *r)
{
	r->io = sd_event_source_disable_unref(r->io);
	r->timer = sd_event_source_disable_unref(r->timer);
	r->step = ROUTE_RESTING;
}

/* The client may have set options that make closing slow. */
static void drop_stream(Route *r)
{
	if (r->fd < 0)
		return;
	r->fd = closer_hang_up(r->fd);
	keeper_link_drop(manager_of(r)->link, KEEP_ROUTE, keep_key(r));
}

/* Its imports are told by the engine. */
static void lose(Route *r)
{
	if (r->state == WIRE_ROUTE_LOST)
		return;
	rest(r);
	r->state = WIRE_ROUTE_LOST;
	save(r);
	show(r);
	drop_stream(r);
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

/* Asking for a grant */

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata);

/* Without memory for a timer there is no way on. */
static void pause_for(Route *r, uint64_t ns)
{
	rest(r);
	r->step = ROUTE_PAUSING;
	if (sd_event_add_time_relative(manager_of(r)->event, &r->timer, CLOCK_MONOTONIC,
		    ns / NSEC_PER_USEC, 1, on_timer, r) < 0)
		route_give_up(r);
}

static void failed(Route *r, const char *why)
{
	uint64_t patience = manager_of(r)->options.config->detection_time;

	rest(r);
	drop_stream(r);
	if (r->since && clock_now() - r->since >= patience) {
		log_limited("no data connection to node %u for client %d: %s", r->node,
			r->client->identity.pid, why);
		route_give_up(r);
	} else {
		pause_for(r, PAUSE);
	}
}

/* Dialling */

static void want(Route *r);

static void opened(Route *r)
{
	ManagerImport *i, *tmp;

	rest(r);
	r->state = WIRE_ROUTE_OPEN;
	r->since = 0;
	r->opened = clock_now();
	r->used = true;
	route_store(r);
	save(r);
	show(r);
	list_for_each_safe (i, tmp, &r->imports, route_link)
		if (i->engine->state == WIRE_IMPORT_PENDING && i->engine->granted)
			engine_import_ready(i->engine);
}

static int stream_error(int fd)
{
	socklen_t size = sizeof(int);
	int error;

	return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0 ? negative_errno() : -error;
}

static int on_connected(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	uint8_t hello[FABRIC_HELLO_SIZE];
	Route *r = userdata;
	int e = stream_error(fd);

	fabric_hello_encode(hello, engine_node(manager_of(r)->engine), r->grant);
	if (e == 0 && send(fd, hello, sizeof(hello), MSG_NOSIGNAL | MSG_DONTWAIT) != sizeof(hello))
		e = negative_errno();
	if (e < 0)
		failed(r, strerror(-e));
	else
		opened(r);
	return 0;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
	Route *r = userdata;

	if (r->step == ROUTE_DIALLING)
		failed(r, "it takes too long to connect");
	else
		want(r);
	return 0;
}

static int dial(Route *r)
{
	Manager *m = manager_of(r);
	const struct config *config = m->options.config;
	const EnginePeer *peer = peer_of(r);
	struct sockaddr_storage address;
	socklen_t size;
	int e;

	e = peer ? manager_peer_address(peer, &address, &size) : -EHOSTUNREACH;
	if (e < 0)
		return e;
	r->fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (r->fd < 0)
		return negative_errno();
	fabric_tcp_tune(
		r->fd, (unsigned int)(peer->detection / NSEC_PER_MSEC), config->tcp_congestion);
	if (connect(r->fd, (struct sockaddr *)&address, size) < 0 && errno != EINPROGRESS)
		return negative_errno();
	e = sd_event_add_io(m->event, &r->io, r->fd, EPOLLOUT, on_connected, r);
	return e < 0 ? e
		     : sd_event_add_time_relative(m->event, &r->timer, CLOCK_MONOTONIC,
			       config->detection_time / NSEC_PER_USEC, 1, on_timer, r);
}

static void dial_with(Route *r, const uint8_t grant[16])
{
	int e;

	rest(r);
	r->step = ROUTE_DIALLING;
	memcpy(r->grant, grant, sizeof(r->grant));
	e = dial(r);
	if (e < 0)
		failed(r, strerror(-e));
}

/* Asking. The route may be gone, or want something else, when the answer comes. */
struct question {
	Manager *manager;
	uint64_t client;
	uint32_t route, generation;
};

static ManagerClient *find_client(const Manager *m, uint64_t id)
{
	ManagerClient *c;

	list_for_each (c, &m->clients, link)
		if (c->engine->id == id)
			return c;
	return NULL;
}

static Route *find_asked(const struct question *q)
{
	ManagerClient *c = find_client(q->manager, q->client);
	Route *r = c ? idtable_get(&c->routes, q->route) : NULL;

	return r && r->step == ROUTE_ASKED && r->generation == q->generation ? r : NULL;
}

static void take_grant(Route *r, const struct wire_peer_data_reply *p)
{
	if (p->done && !r->used) {
		/* counted from before this route: the client's path could not go on from there */
		route_give_up(r);
		return;
	}
	r->done = p->done;
	dial_with(r, p->grant);
}

static void on_answer(void *userdata, int status, const struct wire_message *reply)
{
	_cleanup_free_ struct question *q = userdata;
	Route *r = find_asked(q);

	if (!r)
		return;
	rest(r);
	if (!r->since)
		r->since = clock_now();
	if (status == STATUS_NOT_FOUND)
		route_give_up(r);
	else if (status || !reply)
		failed(r, wire_status_text(status));
	else
		take_grant(r, &reply->peer_data_reply);
}

static int ask(Route *r)
{
	const struct wire_message request = {
		.type = WIRE_PEER_DATA, .peer_data = {.client = r->client->engine->id}};
	struct question *q = malloc(sizeof(*q));
	int e;

	if (!q)
		return -ENOMEM;
	*q = (struct question){manager_of(r), r->client->engine->id, r->index, r->generation};
	e = manager_peer_request(manager_of(r), r->node, &request, on_answer, q);
	if (e)
		free(q);
	return e;
}

static void want(Route *r)
{
	int e;

	rest(r);
	e = ask(r);
	if (e == 0) {
		r->step = ROUTE_ASKED;
		return;
	}
	if (!r->since)
		r->since = clock_now();
	failed(r, e < 0 ? strerror(-e) : wire_status_text(e));
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
	rest(r);
	r->state = WIRE_ROUTE_FREE;
	show(r);
	drop_stream(r);
	journal_remove(manager_of(r)->journal, r->slot);
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
		r->generation = generation_after((uint32_t)(atomic_load(word_of(r)) >> 32));
		e = save(r);
	}
	if (e < 0) {
		idtable_remove(&c->routes, r->index);
		free(r);
		return e;
	}
	list_append(&c->manager->routes, &r->link);
	show(r);
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
		manager_import_save(manager_of(r), i->engine);
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
	save(r);
	if (grant)
		dial_with(r, grant);
	else
		want(r);
}

/* Who is granted while no other import of the route is, has asked for a grant: the process may have
 * been no guest then. */
void route_import_granted(void *userdata, EngineImport *import, const uint8_t grant[16])
{
	static const uint8_t none[16];
	bool given = memcmp(grant, none, sizeof(none));
	Route *r;

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

void route_renew(Route *r, uint32_t generation)
{
	uint64_t now = clock_now();

	if (r->state != WIRE_ROUTE_OPEN || r->generation != generation)
		return;
	r->state = WIRE_ROUTE_OPENING;
	r->generation = generation_after(generation);
	save(r);
	show(r);
	drop_stream(r);
	if (now - r->opened < PAUSE)
		pause_for(r, PAUSE - (now - r->opened));
	else
		want(r);
}

/* After a restart */

int route_restore(Manager *m, uint32_t slot, struct keeper_stored *stored)
{
	struct record_route record;
	ManagerClient *c;
	Route *r;
	int e;

	journal_read(m->journal, slot, &record, sizeof(record));
	c = find_client(m, record.client);
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
	show(r);
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

/* An import that was granted and not connected yet asks again. */
static void route_go_on(Route *r)
{
	const EnginePeer *peer = peer_of(r);

	if (!has_live(r) || (r->session && (!peer || peer->session != r->session)))
		lose(r);
	else if (r->state == WIRE_ROUTE_OPEN && r->fd < 0)
		route_renew(r, r->generation);
	else if (r->state == WIRE_ROUTE_OPENING && has_granted(r, NULL))
		want(r);
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
