/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/request.h"

#include "base/cleanup.h"
#include "base/fd.h"
#include "daemon/coherent.h"
#include "wire/status.h"

/* Coherent maps: what clients ask, and what other nodes' daemons do. */

/* --- the memory of an import of another node's segment --- */

static int lend(Manager *m, const EngineImport *import, struct reply *a)
{
	int fd, r;

	a->message.import_memory_reply.flags =
		import->flags | (import->rights & WIRE_WRITE ? 0 : WIRE_IMPORT_READONLY);
	r = coherent_lend(m, import, &fd);
	if (r == 0)
		reply_add_fd(a, fd);
	return r;
}

int request_remote_memory(ManagerClient *c, EngineImport *import, uint64_t serial, struct reply *a)
{
	int r;

	if (!(import->rights & (WIRE_READ | WIRE_WRITE)))
		return STATUS_DENIED;
	r = coherent_open(c->manager, import, serial);
	return r ? r : lend(c->manager, import, a);
}

void coherent_opened(Manager *m, uint64_t client, uint64_t serial, uint32_t index, int status)
{
	static struct reply a;
	ManagerClient *c = manager_client_find(m, client);
	EngineImport *import;

	if (!c)
		return;
	a.n_fds = 0;
	a.message = (struct wire_message){.type = WIRE_IMPORT_MEMORY_REPLY, .serial = serial};
	import = engine_import_get(c->engine, index);
	if (status == 0)
		status = lend(m, import, &a);
	a.message.status = request_status(status);
	manager_client_reply(c, &a);
	fd_close_many(a.fds, a.n_fds);
	if (c->cut)
		manager_client_free(c);
}

int request_map_watch(ManagerClient *c, struct request *q, struct reply *a)
{
	return coherent_map(c->manager, c, q->message.map_watch.slot);
}

int request_advise(ManagerClient *c, struct request *q, struct reply *a)
{
	const struct wire_advise *p = &q->message.advise;
	EngineImport *import = engine_import_get(c->engine, p->import);

	if (!import || !import_is_remote(import))
		return STATUS_BAD_HANDLE;
	return coherent_advise(c->manager, import, p->advice, p->offset, p->length, p->value);
}

/* --- what moves the memory of a segment of this node --- */

void coherent_recalled(Manager *m, EngineSegment *segment)
{
	ManagerClient *c = segment->owner->userdata;

	if (c && c->again.type)
		manager_client_go_on(c);
}

/* The end of a segment must not need memory. */
int request_recall(ManagerClient *c, EngineSegment *segment)
{
	int r = coherent_home_recall(c->manager, segment);

	return r == REQUEST_LATER ? REQUEST_AGAIN : r;
}

int request_segment_hold(ManagerClient *c, struct request *q, struct reply *a)
{
	const struct wire_segment_hold *p = &q->message.segment_hold;
	EngineSegment *segment = engine_segment_get(c->engine, p->segment);
	int r;

	if (!segment)
		return STATUS_BAD_HANDLE;
	if (!p->hold)
		return coherent_home_go_on(c->manager, segment);
	r = request_recall(c, segment);
	if (r == 0)
		coherent_home_hold(c->manager, segment);
	return r;
}

/* --- for people --- */

int request_owners(ManagerClient *c, struct request *q, struct reply *a)
{
	struct wire_owners_reply *p = &a->message.owners_reply;
	EngineSegment *segment =
		engine_segment_find_instance(c->manager->engine, q->message.owners.instance);
	struct coherent_owner_run runs[256];
	uint8_t *at = a->tail, *next;
	uint32_t n;

	if (!segment || !engine_segment_visible(segment, c->engine))
		return STATUS_NOT_FOUND;
	n = coherent_home_owners(c->manager, segment, q->message.owners.page, runs, ELEMENTS(runs));
	p->n_pages = segment->size / 4096;
	for (uint32_t i = 0; i < n; i++) {
		next = wire_put_owner_run(at, reply_tail_end(a),
			&(struct wire_owner_run){.page = runs[i].page,
				.n = runs[i].n,
				.owner = runs[i].owner,
				.n_sharers = runs[i].n_sharers});
		if (!next)
			break;
		at = next;
		p->n++;
		p->next = runs[i].page + runs[i].n;
	}
	if (p->next >= p->n_pages)
		p->next = 0;
	reply_set_tail(a, at);
	return 0;
}

static void copy_counts(const struct coherent_counts *counts, struct wire_coherent_row *row)
{
	row->read_faults = counts->read_faults;
	row->write_faults = counts->write_faults;
	row->local_faults = counts->local_faults;
	row->pages_in = counts->pages_in;
	row->pages_out = counts->pages_out;
	row->invalidated = counts->invalidated;
	row->holds = counts->holds;
}

static void fill_segment(Manager *m, const EngineSegment *segment, struct wire_coherent_row *row)
{
	struct coherent_counts counts;

	coherent_segment_counts(m, segment, &counts);
	*row = (struct wire_coherent_row){.instance = segment->instance,
		.space = segment->space,
		.node = engine_node(m->engine),
		.id = segment->id,
		.n_nodes = coherent_home_count(m, segment),
		.size = segment->size};
	copy_counts(&counts, row);
}

static void fill_import(Manager *m, const EngineImport *import, struct wire_coherent_row *row)
{
	struct coherent_counts counts;

	coherent_import_counts(m, import, &counts);
	*row = (struct wire_coherent_row){.instance = import->instance,
		.space = import->space,
		.node = import->node,
		.id = import->id,
		.size = import->size};
	copy_counts(&counts, row);
}

/* The cursor counts what has been shown, first segments, then imports. What comes and goes in
 * between may be shown twice or not at all. */
struct stat_cursor {
	uint64_t from, at;
	uint8_t *tail;
	const uint8_t *end;
	uint32_t n;
	bool full;
};

static void show(struct stat_cursor *s, const struct wire_coherent_row *row)
{
	uint8_t *next;

	if (s->full || s->at++ < s->from)
		return;
	next = wire_put_coherent_row(s->tail, s->end, row);
	s->full = !next;
	if (!next)
		return;
	s->tail = next;
	s->n++;
}

static bool may_see(const EngineClient *viewer, const EngineImport *import)
{
	return viewer->identity.uid == 0 || viewer->identity.uid == import->client->identity.uid;
}

static void show_imports(struct stat_cursor *s, const ManagerClient *viewer)
{
	Manager *m = viewer->manager;
	struct wire_coherent_row row;
	EngineImport *import;
	ManagerClient *c;
	uint32_t i;

	list_for_each (c, &m->clients, link)
		idtable_for_each (&c->engine->imports, i, import) {
			if (!manager_import(import) || !manager_import(import)->coherent_guest ||
				!coherent_import_is_first(import) ||
				!may_see(viewer->engine, import))
				continue;
			fill_import(m, import, &row);
			show(s, &row);
		}
}

int request_coherent_stat(ManagerClient *c, struct request *q, struct reply *a)
{
	struct wire_coherent_stat_reply *p = &a->message.coherent_stat_reply;
	struct stat_cursor s = {
		.from = q->message.coherent_stat.cursor, .tail = a->tail, .end = reply_tail_end(a)};
	EngineSegment *segment = NULL;
	struct wire_coherent_row row;

	while ((segment =
			engine_segment_next(c->manager->engine, segment ? segment->instance : 0))) {
		if (!manager_segment(segment) || !manager_segment(segment)->home ||
			!engine_segment_visible(segment, c->engine))
			continue;
		fill_segment(c->manager, segment, &row);
		show(&s, &row);
	}
	show_imports(&s, c);
	p->n = s.n;
	p->next = s.full ? s.from + s.n : 0;
	reply_set_tail(a, s.tail);
	return 0;
}

/* --- between daemons --- */

static void serve_map(ManagerPeer *p, const struct wire_message *m)
{
	const struct wire_peer_map *q = &m->peer_map;
	struct wire_message said = {.type = WIRE_PEER_MAP_REPLY,
		.serial = m->serial,
		.peer_map_reply = {
			.client = q->client, .index = q->index, .generation = q->generation}};
	struct wire_peer_map_reply *a = &said.peer_map_reply;
	EngineImport *import =
		engine_guest_import_find(p->engine, q->client, q->index, q->generation);
	int r = STATUS_REVOKED;

	if (import && manager_import(import))
		r = coherent_home_map(p->peers->manager, import, q->page_bytes, a);
	if (r == 0 && q->link) {
		r = coherent_grant_new(p->peers->manager, p->engine, a->grant);
		a->link = r == 0;
	}
	said.status = request_status(r);
	peer_link_send(p->link, &said);
}

static void serve_pages(ManagerPeer *p, const struct wire_message *m)
{
	struct wire_message said = {.type = WIRE_PEER_PAGES_REPLY, .serial = m->serial};
	int r = STATUS_NOT_FOUND;

	if (coherent_peer_maps(p->peers->manager, p->number))
		r = coherent_grant_new(p->peers->manager, p->engine, said.peer_pages_reply.grant);
	said.status = request_status(r);
	peer_link_send(p->link, &said);
}

bool coherent_serve(ManagerPeer *p, const struct wire_message *m)
{
	switch (m->type) {
	case WIRE_PEER_MAP:
		serve_map(p, m);
		return true;
	case WIRE_PEER_UNMAP:
		coherent_home_unmap(p->peers->manager, p->number, m->peer_unmap.map);
		return true;
	case WIRE_PEER_PAGES:
		serve_pages(p, m);
		return true;
	case WIRE_PEER_DISCARDED:
		coherent_discarded(p->peers->manager, p->engine, &m->peer_discarded);
		return true;
	default:
		return false;
	}
}
