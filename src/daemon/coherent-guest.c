/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/coherent-private.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "daemon/coherent-loss.h"
#include "daemon/coherent-sleep.h"
#include "daemon/log.h"
#include "daemon/request.h"
#include "wire/status.h"

/*
 * Another node's segment that processes of this node have mapped. It begins with the home's answer
 * to the first PEER_MAP, and belongs to a session. When its last import is disconnected everything
 * is given back, and then the home is told; when its imports are lost or revoked it is over at
 * once, and what is mapped still reads zeros (in space clshm: as coherent-loss.c says).
 */

#define HOLD (50 * NSEC_PER_USEC)

/* One that is lost belongs to nobody any more: numbers of the node's next life are others. */
static bool is_of_node(CoherentPart *part, uint32_t node)
{
	return !part->home && !part->loss && coherent_guest_of(part)->node == node;
}

CoherentGuest *coherent_guest_find(Coherent *c, uint32_t node, uint64_t instance)
{
	CoherentPart *part;

	list_for_each (part, &c->parts, link)
		if (is_of_node(part, node) && coherent_guest_of(part)->instance == instance)
			return coherent_guest_of(part);
	return NULL;
}

CoherentGuest *coherent_guest_find_map(Coherent *c, uint32_t node, uint32_t map)
{
	CoherentPart *part;

	list_for_each (part, &c->parts, link)
		if (is_of_node(part, node) && coherent_guest_of(part)->map == map)
			return coherent_guest_of(part);
	return NULL;
}

bool coherent_guests_need(const Coherent *c, uint32_t node)
{
	CoherentPart *part;

	list_for_each (part, &c->parts, link)
		if (is_of_node(part, node))
			return true;
	return false;
}

/* Words in status pages */

static struct wire_status_page *status_of(const EngineImport *import)
{
	const ManagerClient *client = import->client->userdata;

	return client->status.map;
}

static void add_discards(CoherentGuest *g, uint32_t times)
{
	uint32_t n = times - g->discards;
	ManagerImport *i;

	list_for_each (i, &g->imports, coherent_link)
		atomic_fetch_add(&status_of(i->engine)->discards[i->engine->index], n);
	/* a successor that does not know it yet tells them twice, not never */
	atomic_store(&g->discards, times);
	g->unsaved = true;
	coherent_note(g->part.coherent);
}

/* Beginning and end */

/* Several imports of a user share what is here. */
bool coherent_guest_is_charged(const CoherentGuest *g, const EngineUser *user)
{
	const ManagerImport *i;

	list_for_each (i, &g->imports, coherent_link)
		if (i->engine->client->user == user)
			return true;
	return false;
}

static void uncharge(const CoherentGuest *g, const EngineImport *import)
{
	if (!coherent_guest_is_charged(g, import->client->user))
		engine_copies_remove(import->client, import->size);
}

void coherent_guest_attach(CoherentGuest *g, EngineImport *import)
{
	ManagerImport *i = manager_import(import);
	struct wire_status_page *page = status_of(import);
	uint64_t lease = engine_peer_lease_end(import->home);

	/* that it may have them has been asked */
	if (!coherent_guest_is_charged(g, import->client->user))
		(void)engine_copies_add(import->client, import->size, true);
	i->coherent_guest = g;
	list_append(&g->imports, &i->coherent_link);
	atomic_store(&page->import_coherent[import->index], 1);
	/* after a restart there is none yet: until then that of the predecessor counts */
	if (lease)
		atomic_store(&page->leases[import->index], lease);
}

static int pager_begin(CoherentGuest *g, uint64_t n_pages)
{
	const struct pager_options options = {
		.n_pages = n_pages,
		.hold = HOLD,
		.table = g->part.store.map,
		.map = g->map,
	};

	return pager_new(&options, &coherent_pager_ops, &g->part, &g->part.pager);
}

CoherentGuest *coherent_guest_alloc(Coherent *c)
{
	CoherentGuest *g = calloc(1, sizeof(*g));

	if (!g)
		return NULL;
	coherent_part_init(c, &g->part, false);
	list_init(&g->imports);
	g->slot = JOURNAL_NO_SLOT;
	return g;
}

/* The engine keeps a lease as long as there are guests of the node. */
static void hold_lease(Manager *m, uint32_t node)
{
	EnginePeer *peer = engine_peer_find(m->engine, node);
	CoherentPart *part;
	uint32_t n = 0;

	coherent_lock(m->coherent);
	list_for_each (part, &m->coherent->parts, link)
		n += is_of_node(part, node);
	coherent_unlock(m->coherent);
	if (peer && peer->session)
		engine_peer_hold_lease(peer, n, manager_peers_now());
}

static void hold_leases(Manager *m)
{
	EnginePeer *peer = NULL;

	while ((peer = engine_peer_next(m->engine, peer ? peer->number : 0)))
		if (coherent_guests_need(m->coherent, peer->number))
			hold_lease(m, peer->number);
}

/* Without the lock. */
static void guest_free(Manager *m, CoherentGuest *g)
{
	coherent_lock(m->coherent);
	coherent_part_deinit(&g->part);
	coherent_unlock(m->coherent);
	coherent_guest_forget(m, g);
	hold_lease(m, g->node);
	free(g);
}

/* From now on faults are answered; with the lock. */
static void guest_begin(CoherentGuest *g, const EnginePeer *home)
{
	Coherent *c = g->part.coherent;

	list_append(&c->parts, &g->part.link);
	g->frozen = home->lease.n_maps == 0 || !home->lease.good;
	if (g->frozen)
		pager_freeze(g->part.pager, true, c->now);
	if (coherent_link_find(c, g->node, true))
		pager_link(g->part.pager, true, c->now);
	coherent_touch(&g->part);
}

int coherent_guest_new(Manager *m, const EngineImport *import,
	const struct wire_peer_map_reply *reply, CoherentGuest **ret_guest)
{
	CoherentGuest *g = coherent_guest_alloc(m->coherent);
	int r;

	if (!g)
		return -ENOMEM;
	g->node = import->node;
	g->instance = import->instance;
	g->session = import->home->session;
	g->map = reply->map;
	g->space = import->space;
	g->part.sleeps = g->space == WIRE_SPACE_CLSHM;
	g->discards = reply->discards;
	r = page_store_new(import->size, &g->part.store);
	if (r == 0)
		r = pager_begin(g, coherent_n_pages(import->size));
	if (r == 0)
		r = coherent_guest_save(m, g);
	if (r < 0) {
		guest_free(m, g);
		return r;
	}
	coherent_lock(m->coherent);
	guest_begin(g, import->home);
	coherent_unlock(m->coherent);
	hold_lease(m, g->node);
	*ret_guest = g;
	return 0;
}

/* With the lock. What is mapped reads zeros from now on, and stores stay here; or it is as
 * coherent_loss_begin() says. */
static void lose(CoherentGuest *g)
{
	if (g->part.over)
		return;
	coherent_sleep_lose(&g->part);
	pager_lose(g->part.pager);
	(void)page_store_punch(
		&g->part.store, 0, coherent_n_pages(g->part.store.size) << PAGE_SIZE_SHIFT);
	if (!coherent_loss_begin(g)) {
		coherent_part_end(&g->part);
		g->ended = true;
	}
	coherent_sleep_lost(&g->part);
	coherent_note(g->part.coherent);
}

void coherent_guest_say_unmap(Manager *m, uint32_t node, uint32_t map)
{
	EnginePeer *peer = engine_peer_find(m->engine, node);
	const struct wire_message said = {
		.type = WIRE_PEER_UNMAP, .flags = WIRE_ONEWAY, .peer_unmap = {.map = map}};

	if (peer && peer->state == WIRE_PEER_UP)
		manager_engine_ops.peer_send(m, peer, &said);
}

void coherent_import_over(Manager *m, EngineImport *import)
{
	ManagerImport *i = manager_import(import);
	CoherentGuest *g = i->coherent_guest;
	Coherent *c = m->coherent;

	if (i->coherent_home)
		coherent_home_import_over(m, import);
	if (!g)
		return;
	i->coherent_guest = NULL;
	atomic_store(&status_of(import)->leases[import->index], 0);
	coherent_lock(c);
	list_unlink(&i->coherent_link);
	uncharge(g, import);
	if (!list_empty(&g->imports)) {
		/* others go on */
	} else if (import->state != WIRE_IMPORT_CONNECTED) {
		lose(g);
	} else {
		g->releasing = true;
		coherent_touch(&g->part);
		pager_release(g->part.pager, c->now);
	}
	coherent_unlock(c);
}

/* Advice */

int coherent_advise(Manager *m, EngineImport *import, uint32_t advice, uint64_t offset,
	uint64_t length, uint64_t value)
{
	CoherentGuest *g = manager_import(import)->coherent_guest;
	Coherent *c = m->coherent;
	uint64_t page = offset / PAGE_BYTES, n;
	Pager *pager;

	if (advice > WIRE_ADVICE_HOLD)
		return STATUS_BAD_REQUEST;
	if (!range_within(offset, length, import->size))
		return STATUS_BAD_OFFSET;
	if (!g)
		return STATUS_WRONG_STATE;
	n = length ? (offset + length - 1) / PAGE_BYTES - page + 1 : 0;
	pager = g->part.pager;
	coherent_lock(c);
	coherent_touch(&g->part);
	if (advice == WIRE_ADVICE_HOLD)
		pager_set_hold(pager, MIN(value, NSEC_PER_SEC));
	else if (advice == WIRE_ADVICE_WILL_NEED && n)
		pager_will_need(pager, page, n, c->now);
	else if (n)
		pager_advise(pager, page, n, (enum pager_advice)advice);
	coherent_unlock(c);
	return 0;
}

/* The page link */

void coherent_guest_send(CoherentGuest *g, const struct page_message *message)
{
	coherent_link_send(coherent_link_find(g->part.coherent, g->node, true), message);
}

static int read_run(const CoherentGuest *g, uint64_t page, unsigned int n, uint8_t *data)
{
	uint64_t offset = page << PAGE_SIZE_SHIFT;

	switch (pager_state(g->part.pager, page)) {
	case PAGER_L:
		return page_store_read_aside(&g->part.store, offset, data, n * PAGE_BYTES);
	case PAGER_D:
		return page_store_read(&g->part.store, offset, data, n * PAGE_BYTES);
	default:
		return -ESTALE;
	}
}

int coherent_guest_read(
	Coherent *c, uint32_t node, uint32_t map, uint64_t page, unsigned int n, uint8_t *data)
{
	const CoherentGuest *g = coherent_guest_find_map(c, node, map);
	int r = g && !g->part.over ? 0 : -ESTALE;

	for (unsigned int i = 0, k; i < n && r == 0; i += k) {
		enum pager_state state = pager_state(g->part.pager, page + i);

		for (k = 1; i + k < n && pager_state(g->part.pager, page + i + k) == state; k++)
			;
		r = read_run(g, page + i, k, data + i * PAGE_BYTES);
	}
	return r;
}

void coherent_guests_link(Coherent *c, uint32_t node, bool up)
{
	CoherentPart *part;

	list_for_each (part, &c->parts, link) {
		CoherentGuest *g = coherent_guest_of(part);

		if (part->home || g->node != node || part->over)
			continue;
		coherent_touch(part);
		pager_link(part->pager, up, c->now);
	}
}

/* What comes for a map that is over was said before the home knew. */
int coherent_guest_receive(
	Coherent *c, CoherentLink *link, const struct page_message *message, const void *content)
{
	CoherentGuest *g = coherent_guest_find_map(c, link->node, message->map);
	int r;

	if (!g || g->part.over)
		return 0;
	if (message->type == PAGE_DISCARDED) {
		if ((uint32_t)message->page != g->discards)
			add_discards(g, (uint32_t)message->page);
		return 0;
	}
	g->part.content = content;
	g->part.content_page = message->page;
	coherent_touch(&g->part);
	r = pager_receive(g->part.pager, message, c->now);
	g->part.content = NULL;
	if (r > 0)
		log_limited("node %u sends pages that make no sense; the maps of its segment are "
			    "ended",
			g->node);
	if (r) {
		g->part.failed = true;
		coherent_note(c);
	}
	return MAX(r, 0);
}

/* (main) What other threads have noted. */

static void end_imports(CoherentGuest *g)
{
	ManagerImport *i;

	while ((i = list_first(&g->imports, ManagerImport, coherent_link)))
		engine_import_lose(i->engine);
}

static CoherentGuest *find_noted(Coherent *c)
{
	CoherentPart *part;

	list_for_each (part, &c->parts, link) {
		CoherentGuest *g = coherent_guest_of(part);

		if (!part->home &&
			(g->ended || g->released || part->failed || g->unsaved || g->parting))
			return g;
	}
	return NULL;
}

static CoherentGuest *take_noted(Coherent *c)
{
	CoherentGuest *g;

	coherent_lock(c);
	g = find_noted(c);
	if (g && !g->ended && g->part.failed && list_empty(&g->imports))
		lose(g);
	coherent_unlock(c);
	return g;
}

/* To the home it is over; in another session that knows nothing of it. */
static void part_from_home(Manager *m, const CoherentGuest *g)
{
	const EnginePeer *peer = engine_peer_find(m->engine, g->node);

	coherent_opens_unmapped(m->coherent, g);
	if (peer && peer->session == g->session)
		coherent_guest_say_unmap(m, g->node, g->map);
}

/* What is lost stays, for those who have it mapped. */
static void part_ways(Manager *m, CoherentGuest *g)
{
	g->parting = g->part.failed = false;
	part_from_home(m, g);
	coherent_guest_save(m, g);
	hold_lease(m, g->node);
}

/* Guests are made and freed by this thread alone. */
static void look_at(Manager *m, CoherentGuest *g)
{
	if (g->parting) {
		part_ways(m, g);
	} else if (g->ended || g->released) {
		if (!g->part.loss)
			part_from_home(m, g);
		guest_free(m, g);
	} else if (g->part.failed) {
		log_limited("the maps of a segment of node %u are ended: out of memory, or out of "
			    "step with the home",
			g->node);
		end_imports(g);
	} else {
		g->unsaved = false;
		coherent_guest_save(m, g);
	}
}

void coherent_guests_look(Manager *m)
{
	CoherentGuest *g;

	while ((g = take_noted(m->coherent)))
		look_at(m, g);
	coherent_opens_ask(m);
}

static CoherentGuest *find_of_node(Coherent *c, uint32_t node, uint64_t other_than)
{
	CoherentPart *part;

	list_for_each (part, &c->parts, link) {
		CoherentGuest *g = coherent_guest_of(part);

		if (is_of_node(part, node) && !g->ended && g->session != other_than)
			return g;
	}
	return NULL;
}

static void lose_all(Manager *m, uint32_t node, uint64_t other_than)
{
	Coherent *c = m->coherent;
	CoherentGuest *g;

	while ((g = find_of_node(c, node, other_than))) {
		end_imports(g);
		coherent_lock(c);
		lose(g);
		coherent_unlock(c);
	}
}

void coherent_guests_lose(Manager *m, uint32_t node)
{
	lose_all(m, node, 0);
}

/* What is shown ends before pages may be given away without our knowing: the end of the lease
 * stands where those look who report errors. */
static void show_lease(CoherentGuest *g, uint64_t until)
{
	ManagerImport *i;

	list_for_each (i, &g->imports, coherent_link)
		atomic_store(&status_of(i->engine)->leases[i->engine->index], until);
}

void coherent_lease(void *userdata, EnginePeer *peer, bool good, uint64_t until)
{
	Coherent *c = ((Manager *)userdata)->coherent;
	CoherentPart *part;

	if (!c)
		return;
	coherent_lock(c);
	list_for_each (part, &c->parts, link) {
		CoherentGuest *g = coherent_guest_of(part);

		if (part->home || part->over || g->node != peer->number)
			continue;
		show_lease(g, until);
		if (g->frozen == !good)
			continue;
		g->frozen = !good;
		coherent_touch(part);
		pager_freeze(part->pager, !good, c->now);
	}
	coherent_unlock(c);
}

/* After a restart */

struct presence {
	uint8_t *table;
	uint64_t page; /* those before have been looked at */
};

static void is_absent(uint8_t *table, uint64_t from, uint64_t to)
{
	for (; from < to; from++)
		if (table[from] != PAGER_L)
			table[from] = PAGER_I;
}

static void on_present(void *userdata, uint64_t offset, uint64_t n)
{
	struct presence *p = userdata;

	is_absent(p->table, p->page, offset / PAGE_BYTES);
	p->page = (offset + n) / PAGE_BYTES;
}

/* A copy aside is of a page that is L; whatever else is there was about to be given back. */
static void forget_aside(CoherentGuest *g)
{
	uint64_t n_pages = coherent_n_pages(g->part.store.size), begin = 0, end;

	while (begin < n_pages) {
		for (end = begin; end < n_pages && g->part.store.map[end] != PAGER_L; end++)
			;
		if (end > begin)
			(void)page_store_forget_aside(
				&g->part.store, begin * PAGE_BYTES, (end - begin) * PAGE_BYTES);
		begin = end + 1;
	}
}

int coherent_guest_resume(Manager *m, CoherentGuest *g)
{
	uint64_t n_pages = coherent_n_pages(g->part.store.size);
	struct presence p = {.table = g->part.store.map};
	int r = page_store_present(&g->part.store, on_present, &p);

	if (r < 0)
		return r;
	is_absent(p.table, p.page, n_pages);
	forget_aside(g);
	r = pager_begin(g, n_pages);
	if (r < 0)
		return r;
	g->frozen = true;
	pager_freeze(g->part.pager, true, g->part.coherent->now);
	return 0;
}

/* Those of sessions that are over are lost, and whose imports are gone give everything back. */
void coherent_guests_restored(Manager *m)
{
	Coherent *c = m->coherent;
	CoherentPart *part;

	coherent_lock(c);
	list_for_each (part, &c->parts, link) {
		CoherentGuest *g = coherent_guest_of(part);
		const EnginePeer *peer = part->home ? NULL : engine_peer_find(m->engine, g->node);

		if (part->home)
			continue;
		if (part->loss) {
			g->ended = list_empty(&part->mappers);
		} else if (!peer || peer->session != g->session) {
			lose(g);
		} else if (list_empty(&g->imports)) {
			g->releasing = true;
			coherent_touch(part);
			pager_release(g->part.pager, c->now);
		}
	}
	coherent_unlock(c);
	hold_leases(m);
}

bool coherent_import_is_first(const EngineImport *import)
{
	const CoherentGuest *g = manager_import(import)->coherent_guest;

	return g && list_first(&g->imports, ManagerImport, coherent_link)->engine == import;
}

void coherent_discarded(
	Manager *m, const EnginePeer *peer, const struct wire_peer_discarded *discarded)
{
	EngineImport *import;

	list_for_each (import, &peer->imports, home_link)
		if (import->instance == discarded->instance && manager_import(import) &&
			!manager_import(import)->coherent_guest)
			atomic_fetch_add(&status_of(import)->discards[import->index], 1);
}

void coherent_session_changed(Manager *m, const EnginePeer *peer)
{
	if (!m->coherent)
		return;
	coherent_homes_session_changed(m, peer->number, peer->session);
	lose_all(m, peer->number, peer->session ? peer->session : UINT64_MAX);
	coherent_dials_session_changed(m, peer);
}

void coherent_import_counts(Manager *m, const EngineImport *import, struct coherent_counts *ret)
{
	const CoherentGuest *g = manager_import(import)->coherent_guest;

	coherent_lock(m->coherent);
	coherent_part_counts(&g->part, ret);
	coherent_unlock(m->coherent);
}
