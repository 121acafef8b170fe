/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/coherent-private.h"

#include <stdlib.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "daemon/log.h"
#include "daemon/request.h"
#include "wire/status.h"

/* How an import of another node's segment gets its memory: the home is asked, and clients wait. */

#define OPENS_MAX 64u /* of one client at a time */

/* A client that waits for the memory of an import. */
struct coherent_open {
	struct list link;
	uint64_t client, serial;
	uint32_t index, generation;
	bool asked;
};

static EngineImport *import_of(Manager *m, const struct coherent_open *o)
{
	ManagerClient *client = manager_client_find(m, o->client);
	EngineImport *import = client ? engine_import_get(client->engine, o->index) : NULL;

	return import && import->generation == o->generation && manager_import(import) ? import
										       : NULL;
}

static bool same_import(const struct coherent_open *a, const struct coherent_open *b)
{
	return a->client == b->client && a->index == b->index && a->generation == b->generation;
}

static struct coherent_open *find_open(Manager *m, const struct coherent_open *of, bool asked)
{
	struct coherent_open *o;

	list_for_each (o, &m->coherent->opens, link)
		if (same_import(o, of) && (o->asked || !asked))
			return o;
	return NULL;
}

/* All that wait for the same. A client that does not listen is freed, and all that it waits for. */
static void answer(Manager *m, const struct coherent_open *of, int status)
{
	struct coherent_open key = *of, *o;

	while ((o = find_open(m, &key, false))) {
		list_unlink(&o->link);
		coherent_opened(m, o->client, o->serial, o->index, status);
		free(o);
	}
}

/* Its user's quota has room for it. */
static bool may_have(EngineImport *import, const CoherentGuest *g)
{
	if (g && coherent_guest_is_charged(g, import->client->user))
		return true;
	if (engine_copies_add(import->client, import->size, false))
		return false;
	engine_copies_remove(import->client, import->size);
	return true;
}

static int take_map(Manager *m, EngineImport *import, const struct wire_peer_map_reply *reply)
{
	CoherentGuest *g = coherent_guest_find(m->coherent, import->node, import->instance);
	int r = 0;

	if (!reply->map || (g && g->map != reply->map))
		return STATUS_BAD_REQUEST;
	if (!may_have(import, g))
		return STATUS_QUOTA_BYTES;
	if (!g)
		r = coherent_guest_new(m, import, reply, &g);
	if (r < 0)
		return r;
	coherent_lock(m->coherent);
	coherent_guest_attach(g, import);
	coherent_unlock(m->coherent);
	manager_import_save(m, import);
	coherent_dial_need(m, import->node, reply->link ? reply->grant : NULL);
	return 0;
}

struct question {
	Manager *manager;
	struct list link;	   /* coherent->questions */
	struct coherent_open open; /* its link is not used */
	uint32_t node;
	uint64_t instance;
	uint32_t over; /* a map of it that was given back since; 0: none */
};

static void question_free(struct question *q)
{
	list_unlink(&q->link);
	free(q);
}
DEFINE_CLEANUP(struct question *, question_free);

void coherent_opens_unmapped(Coherent *c, const CoherentGuest *guest)
{
	struct question *q;

	list_for_each (q, &c->questions, link)
		if (q->node == guest->node && q->instance == guest->instance)
			q->over = guest->map;
}

bool coherent_opens_need(const Coherent *c, uint32_t node)
{
	const struct question *q;

	list_for_each (q, &c->questions, link)
		if (q->node == node)
			return true;
	return false;
}

/* The home has answered before it heard that this node gives the map back. */
static bool is_over(const struct question *q, uint32_t map)
{
	const CoherentGuest *g = coherent_guest_find(q->manager->coherent, q->node, q->instance);

	return map == q->over || (g && g->map == map && (g->releasing || g->ended));
}

static void ask_again(Manager *m, const struct coherent_open *of)
{
	struct coherent_open *o;

	while ((o = find_open(m, of, true)))
		o->asked = false;
	coherent_opens_ask(m);
}

static void on_answer(void *userdata, int status, const struct wire_message *reply)
{
	_cleanup_(question_free_p) struct question *q = userdata;
	const struct wire_peer_map_reply *p = reply ? &reply->peer_map_reply : NULL;
	EngineImport *import = import_of(q->manager, &q->open);
	bool live = import && import->state == WIRE_IMPORT_CONNECTED;

	if (!status && !p)
		status = STATUS_NODE_UNREACHABLE;
	if (!status && !live)
		status = STATUS_REVOKED;
	if (!status && is_over(q, p->map)) {
		ask_again(q->manager, &q->open);
		return;
	}
	if (!status)
		status = take_map(q->manager, import, p);
	/* nobody has this map */
	if (status && p && !coherent_guest_find_map(q->manager->coherent, q->node, p->map))
		coherent_guest_say_unmap(q->manager, q->node, p->map);
	answer(q->manager, &q->open, status);
	/* perhaps the link was kept for this */
	coherent_note(q->manager->coherent);
}

static int question_send(Manager *m, const EngineImport *import, const struct coherent_open *o)
{
	const struct wire_message request = {.type = WIRE_PEER_MAP,
		.peer_map = {.client = import->client->id,
			.index = import->index,
			.generation = import->generation,
			.page_bytes = (uint32_t)sysconf(_SC_PAGESIZE),
			.link = coherent_dial_wanted(m, import->node)}};
	struct question *q = malloc(sizeof(*q));
	int r;

	if (!q)
		return -ENOMEM;
	*q = (struct question){
		.manager = m, .open = *o, .node = import->node, .instance = import->instance};
	list_append(&m->coherent->questions, &q->link);
	r = manager_peer_request(m, import->node, &request, on_answer, q);
	if (r)
		question_free(q);
	return r;
}

/* As long as the node gives back what it had before, a new map must wait. */
static int ask(Manager *m, EngineImport *import, struct coherent_open *o)
{
	CoherentGuest *g = coherent_guest_find(m->coherent, import->node, import->instance);
	int r;

	if (g && (g->releasing || g->ended))
		return 0;
	if (find_open(m, o, true))
		return 0;
	r = question_send(m, import, o);
	o->asked = r == 0;
	return r;
}

/* False: whoever could not be asked for has been answered, and there may be others. */
static bool ask_all(Manager *m)
{
	struct coherent_open *o;

	list_for_each (o, &m->coherent->opens, link) {
		EngineImport *import = o->asked ? NULL : import_of(m, o);
		int r = import ? ask(m, import, o) : 0;

		if (!o->asked && (!import || r)) {
			answer(m, o, import ? r : STATUS_REVOKED);
			return false;
		}
	}
	return true;
}

void coherent_opens_ask(Manager *m)
{
	while (!ask_all(m))
		;
}

static int why_not(const EngineImport *import)
{
	if (import->state == WIRE_IMPORT_PENDING)
		return STATUS_WRONG_STATE;
	if (import->state == WIRE_IMPORT_NODE_LOST)
		return STATUS_NODE_LOST;
	if (import->state != WIRE_IMPORT_CONNECTED)
		return STATUS_REVOKED;
	if (sysconf(_SC_PAGESIZE) != PAGE_BYTES) {
		log_limited("segments of other nodes cannot be mapped: this kernel's pages are not "
			    "of 4 KiB");
		return STATUS_MAP_FAILED;
	}
	return 0;
}

static bool waits_too_often(const Manager *m, uint64_t client)
{
	const struct coherent_open *o;
	unsigned int n = 0;

	list_for_each (o, &m->coherent->opens, link)
		n += o->client == client;
	return n >= OPENS_MAX;
}

int coherent_open(Manager *m, EngineImport *import, uint64_t serial)
{
	struct coherent_open *o;
	int r = why_not(import);

	if (r == 0)
		r = coherent_need(m);
	if (r || manager_import(import)->coherent_guest)
		return r;
	if (waits_too_often(m, import->client->id))
		return STATUS_NO_RESOURCES;
	o = malloc(sizeof(*o));
	if (!o)
		return -ENOMEM;
	*o = (struct coherent_open){.client = import->client->id,
		.serial = serial,
		.index = import->index,
		.generation = import->generation};
	r = ask(m, import, o);
	if (r) {
		free(o);
		return r;
	}
	list_append(&m->coherent->opens, &o->link);
	return REQUEST_LATER;
}

int coherent_lend(Manager *m, const EngineImport *import, int *ret_fd)
{
	const CoherentGuest *g = manager_import(import)->coherent_guest;

	return page_store_lend(&g->part.store, !(import->rights & WIRE_WRITE), ret_fd);
}

void coherent_opens_forget(Manager *m, uint64_t client)
{
	struct coherent_open *o, *tmp;

	list_for_each_safe (o, tmp, &m->coherent->opens, link)
		if (o->client == client) {
			list_unlink(&o->link);
			free(o);
		}
}
