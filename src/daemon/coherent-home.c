/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/coherent-private.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "daemon/data.h"
#include "daemon/log.h"
#include "daemon/request.h"
#include "wire/status.h"

/*
 * A segment of this node that others map. A node has a slot from its first PEER_MAP to its
 * PEER_UNMAP: its imports may be over before that, while it gives pages back. With the last slot
 * everything comes home and the segment is plain memory again.
 */

#define HOLD	    (50 * NSEC_PER_USEC)
#define WRITE_PAUSE (10 * NSEC_PER_MSEC)

static uint64_t n_pages_of(uint64_t size)
{
	return (size + PAGE_BYTES - 1) / PAGE_BYTES;
}

#define for_each_home(c, part)                                                                     \
	list_for_each (part, &(c)->parts, link)                                                    \
		if (part->home)

#define for_each_slot(home, slot)                                                                  \
	for (unsigned int slot = 1; slot < DIRECTORY_SLOTS; slot++)                                \
		if ((home)->head->slots[slot].node)

static unsigned int slot_of(const CoherentHome *home, uint32_t node)
{
	for_each_slot (home, slot)
		if (home->head->slots[slot].node == node)
			return slot;
	return 0;
}

static CoherentHome *find_map(Coherent *c, uint32_t node, uint32_t map, unsigned int *ret_slot)
{
	CoherentPart *part;

	for_each_home (c, part) {
		CoherentHome *home = coherent_home_of(part);
		unsigned int slot = slot_of(home, node);

		if (slot && home->head->slots[slot].map == map) {
			*ret_slot = slot;
			return home;
		}
	}
	return NULL;
}

/* Discards */

static void say_discards(const CoherentHome *home, unsigned int slot)
{
	const struct coherent_slot *s = &home->head->slots[slot];
	const struct page_message said = {
		.type = PAGE_DISCARDED, .n = 1, .map = s->map, .page = home->head->discards};

	coherent_link_send(coherent_link_find(home->part.coherent, s->node, false), &said,
		&home->part.store, COHERENT_NONE);
}

/* Nodes that do not map the segment are told by the main thread: what they read comes another way.
 */
static void on_discarded(void *userdata, unsigned int lost, uint64_t n_pages)
{
	CoherentHome *home = userdata;
	ManagerImport *i;

	home->head->discards++;
	list_for_each (i, &home->imports[DIRECTORY_HOME], coherent_link) {
		const ManagerClient *client = i->engine->client->userdata;

		atomic_fetch_add(&client->status.map->discards[i->engine->index], 1);
	}
	for_each_slot (home, slot)
		if (slot != lost)
			say_discards(home, slot);
	home->untold = true;
	coherent_note(home->part.coherent);
	log_warning(
		"node %u is lost with stores to %llu pages of segment %llu; they are as it last "
		"wrote them back",
		home->head->slots[lost].node, (unsigned long long)n_pages,
		(unsigned long long)home->instance);
}

/* Operations of the directory */

static void on_send(void *userdata, unsigned int slot, const struct page_message *message,
	enum page_source source)
{
	CoherentHome *home = userdata;
	Coherent *c = home->part.coherent;
	struct page_message said = *message;

	if (slot == DIRECTORY_HOME) {
		pager_receive(home->part.pager, message, c->now);
		return;
	}
	said.map = home->head->slots[slot].map;
	coherent_link_send(coherent_link_find(c, home->head->slots[slot].node, false), &said,
		&home->part.store, source == PAGE_SHADOW ? COHERENT_ASIDE : COHERENT_MEMORY);
}

static uint64_t offset_of(uint64_t page)
{
	return page << PAGE_SIZE_SHIFT;
}

static int on_keep(void *userdata, uint64_t page, unsigned int n, enum page_source where)
{
	const CoherentPart *part = &((CoherentHome *)userdata)->part;
	const uint8_t *content = part->content + offset_of(page - part->content_page);

	return where == PAGE_SHADOW
		       ? page_store_write_aside(
				 &part->store, offset_of(page), content, offset_of(n))
		       : page_store_write(&part->store, offset_of(page), content, offset_of(n));
}

static int on_recover(void *userdata, uint64_t page, unsigned int n)
{
	const CoherentHome *home = userdata;

	return page_store_recover(&home->part.store, offset_of(page), offset_of(n));
}

static void on_forget(void *userdata, uint64_t page, unsigned int n)
{
	const CoherentHome *home = userdata;

	(void)page_store_forget_aside(&home->part.store, offset_of(page), offset_of(n));
}

static void on_give_up(void *userdata, unsigned int slot, const char *reason)
{
	CoherentHome *home = userdata;

	if (!home->given_up[slot])
		home->given_up[slot] = reason;
	coherent_note(home->part.coherent);
}

static void on_recalled(void *userdata)
{
	CoherentHome *home = userdata;

	home->recalled = true;
	coherent_note(home->part.coherent);
}

static const struct directory_ops directory_ops = {
	.send = on_send,
	.keep = on_keep,
	.recover = on_recover,
	.forget = on_forget,
	.discarded = on_discarded,
	.give_up = on_give_up,
	.recalled = on_recalled,
};

/* Frames and time */

void coherent_home_receive_own(CoherentHome *home, const struct page_message *message)
{
	directory_receive(home->directory, DIRECTORY_HOME, message, home->part.coherent->now);
}

/* What comes for a map that is over was said before the node knew. */
int coherent_home_receive(
	Coherent *c, CoherentLink *link, const struct page_message *message, const void *content)
{
	unsigned int slot;
	CoherentHome *home = find_map(c, link->node, message->map, &slot);
	int r;

	if (!home || home->given_up[slot])
		return 0;
	home->part.content = content;
	home->part.content_page = message->page;
	coherent_touch(&home->part);
	r = directory_receive(home->directory, slot, message, c->now);
	home->part.content = NULL;
	if (r)
		on_give_up(home, slot, "it breaks the protocol");
	return r;
}

void coherent_homes_link(Coherent *c, uint32_t node, bool up)
{
	CoherentPart *part;

	for_each_home (c, part) {
		CoherentHome *home = coherent_home_of(part);
		unsigned int slot = slot_of(home, node);

		if (!slot)
			continue;
		coherent_touch(part);
		if (up)
			say_discards(home, slot);
		directory_link(home->directory, slot, up, c->now);
	}
}

uint64_t coherent_home_next(const CoherentPart *part)
{
	const CoherentHome *home = container_of(part, const CoherentHome, part);
	uint64_t next = directory_next(home->directory);

	for (unsigned int slot = 1; slot < DIRECTORY_SLOTS; slot++)
		if (home->leaving[slot])
			next = MIN(next, home->leaving[slot]);
	return next;
}

void coherent_home_tick(CoherentHome *home)
{
	uint64_t now = home->part.coherent->now;

	if (directory_next(home->directory) <= now)
		directory_tick(home->directory, now);
	for (unsigned int slot = 1; slot < DIRECTORY_SLOTS; slot++)
		if (home->leaving[slot] && home->leaving[slot] <= now) {
			home->leaving[slot] = 0;
			on_give_up(home, slot, "it does not give back what it had");
		}
}

/* Making */

static size_t head_offset(uint64_t n_pages)
{
	return (size_t)(n_pages * (sizeof(uint64_t) + 1) + 63) / 64 * 64;
}

size_t coherent_home_table_size(uint64_t size)
{
	return head_offset(n_pages_of(size)) + sizeof(struct coherent_home_head);
}

int coherent_home_alloc(Manager *m, EngineSegment *segment, CoherentHome **ret_home)
{
	CoherentHome *home = calloc(1, sizeof(*home));

	if (!home)
		return -ENOMEM;
	coherent_part_init(m->coherent, &home->part, true);
	home->segment = segment;
	home->instance = segment->instance;
	for (unsigned int i = 0; i < DIRECTORY_SLOTS; i++)
		list_init(&home->imports[i]);
	list_init(&home->recalls);
	*ret_home = home;
	return 0;
}

static uint8_t *pager_table(const CoherentHome *home)
{
	return home->part.store.map + n_pages_of(home->part.store.size) * sizeof(uint64_t);
}

static void fill_table(CoherentHome *home)
{
	uint64_t n_pages = n_pages_of(home->part.store.size);
	uint64_t *words = (uint64_t *)home->part.store.map;

	for (uint64_t i = 0; i < n_pages; i++)
		words[i] = DIRECTORY_NEW;
	memset(pager_table(home), PAGER_S, n_pages);
}

uint64_t coherent_patience(const Manager *m)
{
	return m->options.config->detection_time;
}

/* The store is there. A predecessor's tables are brought together. */
int coherent_home_begin(CoherentHome *home, uint64_t answer_time, bool restored)
{
	const struct directory_options directory = {
		.n_pages = n_pages_of(home->part.store.size),
		.table = (uint64_t *)home->part.store.map,
		.patience = answer_time,
		.write_pause = WRITE_PAUSE,
	};
	const struct pager_options pager = {
		.n_pages = directory.n_pages,
		.home = true,
		.hold = HOLD,
		.table = pager_table(home),
	};
	int r;

	home->head = (struct coherent_home_head *)(home->part.store.map +
						   head_offset(directory.n_pages));
	if (!restored)
		fill_table(home);
	r = directory_new(&directory, &directory_ops, home, &home->directory);
	if (r == 0 && restored)
		directory_restore(home->directory, pager_table(home));
	return r < 0 ? r : pager_new(&pager, &coherent_pager_ops, &home->part, &home->part.pager);
}

/* Without the lock. Whatever is not home is lost. */
static void home_free(Manager *m, CoherentHome *home)
{
	EngineSegment *segment = home->segment;
	ManagerImport *i;

	coherent_show(m, segment, false);
	data_set_coherent(m, segment, NULL);
	coherent_home_forget(m, home);
	coherent_lock(m->coherent);
	for (unsigned int slot = 0; slot < DIRECTORY_SLOTS; slot++)
		while ((i = list_first(&home->imports[slot], ManagerImport, coherent_link))) {
			list_unlink(&i->coherent_link);
			i->coherent_home = NULL;
		}
	coherent_part_deinit(&home->part);
	directory_free(home->directory);
	coherent_unlock(m->coherent);
	manager_segment(segment)->home = NULL;
	(void)engine_segment_set_copies(segment, 0, true);
	free(home);
}

void coherent_home_attach(CoherentHome *home, EngineImport *import, unsigned int slot)
{
	ManagerImport *i = manager_import(import);

	if (i->coherent_home)
		return;
	i->coherent_home = home;
	list_append(&home->imports[slot], &i->coherent_link);
}

static void attach_own(CoherentHome *home)
{
	EngineImport *import;

	coherent_lock(home->part.coherent);
	list_for_each (import, &home->segment->imports, link)
		if (!import_is_guest(import) && manager_import(import))
			coherent_home_attach(home, import, DIRECTORY_HOME);
	coherent_unlock(home->part.coherent);
}

static const char *why_not(const EngineSegment *segment)
{
	const ManagerSegment *s = manager_segment(segment);

	if (s->foreign || s->shmid >= 0)
		return "its memory is shared by other means, too";
	if (manager_segment_has_siblings(segment))
		return "another segment has the same memory";
	return NULL;
}

static int home_new(Manager *m, EngineSegment *segment, CoherentHome **ret_home)
{
	ManagerSegment *s = manager_segment(segment);
	const char *why = why_not(segment);
	CoherentHome *home;
	int r;

	if (why) {
		log_limited("segment %llu cannot be mapped by other nodes: %s",
			(unsigned long long)segment->instance, why);
		return STATUS_MAP_FAILED;
	}
	r = engine_segment_set_copies(segment, segment->size, false);
	if (r) {
		log_limited("segment %llu cannot be mapped by other nodes: what that takes here is "
			    "more than its user may have",
			(unsigned long long)segment->instance);
		return STATUS_MAP_FAILED;
	}
	r = coherent_home_alloc(m, segment, &home);
	if (r < 0) {
		(void)engine_segment_set_copies(segment, 0, true);
		return r;
	}
	s->home = home;
	r = page_store_new_home(s->memory, s->offset, segment->size,
		coherent_home_table_size(segment->size), &home->part.store);
	if (r == 0)
		r = coherent_home_begin(home, coherent_patience(m), false);
	if (r == 0)
		r = coherent_home_save(m, home);
	if (r == 0) {
		coherent_lock(m->coherent);
		list_append(&m->coherent->parts, &home->part.link);
		coherent_unlock(m->coherent);
		attach_own(home);
		r = coherent_arm(m, home);
	}
	if (r) {
		home_free(m, home);
		return r;
	}
	*ret_home = home;
	return 0;
}

/* Slots */

static unsigned int free_slot(const CoherentHome *home)
{
	for (unsigned int slot = 1; slot < DIRECTORY_SLOTS; slot++)
		if (!home->head->slots[slot].node)
			return slot;
	return 0;
}

/* With the lock. The record first: what a directory says is said to somebody. */
static int slot_take(CoherentHome *home, const EnginePeer *peer, bool write, unsigned int *ret_slot)
{
	Coherent *c = home->part.coherent;
	uint32_t node = peer->number;
	unsigned int slot = slot_of(home, node);
	struct coherent_slot *s;
	bool fresh = !slot;
	int r;

	if (fresh)
		slot = free_slot(home);
	if (!slot)
		return STATUS_NO_RESOURCES;
	s = &home->head->slots[slot];
	r = directory_add(home->directory, slot, write || s->write);
	if (r < 0)
		return r;
	if (fresh)
		s->map = ++c->last_map;
	s->write |= write;
	s->session = peer->session;
	s->node = node;
	home->leaving[slot] = 0;
	if (fresh && coherent_link_find(c, node, false))
		directory_link(home->directory, slot, true, c->now);
	coherent_touch(&home->part);
	*ret_slot = slot;
	return 0;
}

/* With the lock. */
static void slot_free(CoherentHome *home, unsigned int slot)
{
	struct coherent_slot *s = &home->head->slots[slot];
	ManagerImport *i;

	while ((i = list_first(&home->imports[slot], ManagerImport, coherent_link))) {
		list_unlink(&i->coherent_link);
		i->coherent_home = NULL;
	}
	home->leaving[slot] = 0;
	home->given_up[slot] = NULL;
	directory_remove(home->directory, slot, home->part.coherent->now);
	*s = (struct coherent_slot){.node = 0};
	coherent_touch(&home->part);
}

static bool has_slots(const CoherentHome *home)
{
	for_each_slot (home, slot)
		return true;
	return false;
}

/* With the last node everything comes home. */
static void check_empty(Manager *m, CoherentHome *home)
{
	bool over;

	coherent_lock(m->coherent);
	if (!has_slots(home) && !home->recalling) {
		home->recalling = true;
		coherent_touch(&home->part);
		directory_recall(home->directory, m->coherent->now);
	}
	over = home->recalled && !has_slots(home) && !home->held && list_empty(&home->recalls);
	coherent_unlock(m->coherent);
	if (over)
		home_free(m, home);
}

int coherent_home_map(Manager *m, EngineImport *import, uint32_t page_bytes,
	struct wire_peer_map_reply *ret_reply)
{
	EngineSegment *segment = import->segment;
	CoherentHome *home;
	unsigned int slot;
	int r;

	if (!segment)
		return STATUS_REVOKED;
	if (!(import->rights & (WIRE_READ | WIRE_WRITE)))
		return STATUS_DENIED;
	if (page_bytes != PAGE_BYTES || sysconf(_SC_PAGESIZE) != PAGE_BYTES)
		return STATUS_MAP_FAILED;
	r = coherent_need(m);
	if (r < 0)
		return r;
	home = manager_segment(segment)->home;
	if (home && home->recalling)
		return STATUS_NO_RESOURCES;
	r = home ? 0 : home_new(m, segment, &home);
	if (r)
		return r;
	coherent_lock(m->coherent);
	r = slot_take(home, import->client->peer, import->rights & WIRE_WRITE, &slot);
	if (r == 0) {
		coherent_home_attach(home, import, slot);
		ret_reply->map = home->head->slots[slot].map;
		ret_reply->discards = home->head->discards;
	}
	coherent_unlock(m->coherent);
	if (r == 0)
		r = manager_import_save(m, import);
	check_empty(m, home);
	return r;
}

void coherent_home_unmap(Manager *m, uint32_t node, uint32_t map)
{
	Coherent *c = m->coherent;
	CoherentHome *home;
	unsigned int slot;

	if (!c)
		return;
	coherent_lock(c);
	home = find_map(c, node, map, &slot);
	if (home)
		slot_free(home, slot);
	coherent_unlock(c);
	if (home)
		check_empty(m, home);
}

void coherent_home_import_over(Manager *m, EngineImport *import)
{
	ManagerImport *i = manager_import(import);
	CoherentHome *home = i->coherent_home;
	const EnginePeer *peer = import->client->peer;
	unsigned int slot;

	coherent_lock(m->coherent);
	list_unlink(&i->coherent_link);
	i->coherent_home = NULL;
	slot = peer ? slot_of(home, peer->number) : 0;
	if (slot && list_empty(&home->imports[slot])) {
		home->leaving[slot] = m->coherent->now + 2 * peer->detection;
		coherent_touch(&home->part);
	}
	coherent_unlock(m->coherent);
}

void coherent_export_begin(EngineSegment *segment)
{
	const ManagerClient *client = segment->owner->userdata;

	atomic_store(&client->status.map->export_coherent[segment->index], 0);
}

void coherent_import_begin(Manager *m, EngineImport *import)
{
	const ManagerClient *client = import->client->userdata;
	struct wire_status_page *page = client->status.map;
	CoherentHome *home = import->segment ? manager_segment(import->segment)->home : NULL;

	atomic_store(&page->leases[import->index], 0);
	atomic_store(&page->import_coherent[import->index], home ? 1 : 0);
	if (!home)
		return;
	coherent_lock(m->coherent);
	coherent_home_attach(home, import, DIRECTORY_HOME);
	coherent_unlock(m->coherent);
}

/* (main) What other threads have noted */

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

static void end_slot(Manager *m, CoherentHome *home, unsigned int slot)
{
	ManagerImport *i;

	log_limited("the maps that node %u has of segment %llu are ended: %s",
		home->head->slots[slot].node, (unsigned long long)home->instance,
		home->given_up[slot]);
	while ((i = list_first(&home->imports[slot], ManagerImport, coherent_link)))
		end_import(m, i->engine);
	coherent_lock(m->coherent);
	slot_free(home, slot);
	coherent_unlock(m->coherent);
}

static bool maps(const CoherentHome *home, uint32_t node)
{
	return slot_of(home, node);
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

struct recall {
	struct list link;
	void (*done)(Manager *m, EngineSegment *segment, void *userdata);
	void *userdata;
};

static void tell_recalled(Manager *m, CoherentHome *home)
{
	EngineSegment *segment = home->segment;
	struct list recalls;
	struct recall *recall;

	/* the home may be freed by the first of them */
	list_init(&recalls);
	while ((recall = list_first(&home->recalls, struct recall, link))) {
		list_unlink(&recall->link);
		list_append(&recalls, &recall->link);
	}
	while ((recall = list_first(&recalls, struct recall, link))) {
		list_unlink(&recall->link);
		recall->done(m, segment, recall->userdata);
		free(recall);
	}
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

		for_each_slot (home, slot)
			if (home->given_up[slot])
				*ret_slot = slot;
		*ret_recalled = home->recalled &&
				(!list_empty(&home->recalls) || (!has_slots(home) && !home->held));
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
			end_slot(m, home, slot);
			check_empty(m, home);
		} else if (recalled && !list_empty(&home->recalls)) {
			tell_recalled(m, home);
		} else if (recalled) {
			check_empty(m, home);
		}
	}
}

static CoherentHome *find_with_node(
	Coherent *c, uint32_t node, uint64_t other_than, unsigned int *ret_slot)
{
	CoherentPart *part;

	for_each_home (c, part) {
		CoherentHome *home = coherent_home_of(part);

		*ret_slot = slot_of(home, node);
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

void coherent_homes_session_changed(Manager *m, uint32_t node, uint64_t session)
{
	CoherentHome *home;
	unsigned int slot;

	for (;;) {
		coherent_lock(m->coherent);
		home = find_with_node(m->coherent, node, session, &slot);
		if (home)
			slot_free(home, slot);
		coherent_unlock(m->coherent);
		if (!home)
			return;
		check_empty(m, home);
	}
}

/* After a restart */

void coherent_home_restore_import(CoherentHome *home, EngineImport *import, bool mapped)
{
	unsigned int slot = DIRECTORY_HOME;

	if (import_is_guest(import))
		slot = mapped ? slot_of(home, import->client->peer->number) : 0;
	if (slot || !import_is_guest(import))
		coherent_home_attach(home, import, slot);
}

int coherent_home_resume(Manager *m, CoherentHome *home)
{
	int r = 0;

	for_each_slot (home, slot) {
		const struct coherent_slot *s = &home->head->slots[slot];

		if (r == 0)
			r = directory_add(home->directory, slot, s->write);
		if (list_empty(&home->imports[slot]))
			home->leaving[slot] = home->part.coherent->now + coherent_patience(m);
	}
	return r;
}

static bool has_session(Manager *m, const struct coherent_slot *s)
{
	const EnginePeer *peer = engine_peer_find(m->engine, s->node);

	return peer && peer->session == s->session;
}

static void home_restored(Manager *m, CoherentHome *home)
{
	Coherent *c = m->coherent;

	coherent_lock(c);
	for_each_slot (home, slot)
		if (!has_session(m, &home->head->slots[slot]))
			slot_free(home, slot);
	home->held = home->head->held;
	if (home->held) {
		home->recalling = true;
		coherent_part_end(&home->part);
		directory_recall(home->directory, c->now);
	}
	coherent_unlock(c);
	if (home->held)
		return;
	coherent_show(m, home->segment, true);
	data_set_coherent(m, home->segment, home);
	check_empty(m, home);
}

void coherent_homes_restored(Manager *m)
{
	EngineSegment *segment = NULL;

	while ((segment = engine_segment_next(m->engine, segment ? segment->instance : 0)))
		if (manager_segment(segment) && manager_segment(segment)->home)
			home_restored(m, manager_segment(segment)->home);
}

/* Recall */

int coherent_home_recall(Manager *m, EngineSegment *segment,
	void (*done)(Manager *m, EngineSegment *segment, void *userdata), void *userdata)
{
	CoherentHome *home = manager_segment(segment)->home;
	struct recall *recall;
	bool recalled;

	if (!home || home->recalled)
		return 0;
	recall = malloc(sizeof(*recall));
	if (!recall)
		return -ENOMEM;
	*recall = (struct recall){.done = done, .userdata = userdata};
	coherent_lock(m->coherent);
	coherent_touch(&home->part);
	if (!home->recalling)
		directory_recall(home->directory, m->coherent->now);
	home->recalling = true;
	recalled = home->recalled;
	if (!recalled)
		list_append(&home->recalls, &recall->link);
	coherent_unlock(m->coherent);
	if (recalled)
		free(recall);
	return recalled ? 0 : REQUEST_LATER;
}

/* Everything is home: nothing of this node needs to be watched. */
void coherent_home_hold(Manager *m, EngineSegment *segment)
{
	CoherentHome *home = manager_segment(segment)->home;

	if (!home)
		return;
	home->held = true;
	home->head->held = true;
	coherent_show(m, segment, false);
	data_set_coherent(m, segment, NULL);
	coherent_lock(m->coherent);
	coherent_part_end(&home->part);
	coherent_unlock(m->coherent);
}

/* With the lock: a new directory, with the nodes that there were. Their links begin anew, so that
 * they say again what they want. */
static int begin_again(Manager *m, CoherentHome *home)
{
	Coherent *c = m->coherent;
	CoherentLink *link;
	int r = 0;

	pager_free(home->part.pager);
	directory_free(home->directory);
	home->part.pager = NULL;
	home->directory = NULL;
	home->recalling = home->recalled = home->part.over = false;
	r = coherent_home_begin(home, coherent_patience(m), false);
	for_each_slot (home, slot) {
		const struct coherent_slot *s = &home->head->slots[slot];

		if (r == 0)
			r = directory_add(home->directory, slot, s->write);
		link = coherent_link_find(c, s->node, false);
		if (link)
			coherent_link_break(link);
	}
	coherent_touch(&home->part);
	return r;
}

static void end_all(Manager *m, CoherentHome *home, const char *why)
{
	for_each_slot (home, slot) {
		home->given_up[slot] = why;
		end_slot(m, home, slot);
	}
}

int coherent_home_go_on(Manager *m, EngineSegment *segment)
{
	CoherentHome *home = manager_segment(segment)->home;
	int r;

	if (!home || !home->held)
		return 0;
	home->held = false;
	home->head->held = false;
	coherent_lock(m->coherent);
	r = begin_again(m, home);
	coherent_unlock(m->coherent);
	if (r == 0)
		r = coherent_arm(m, home);
	if (r) {
		end_all(m, home, "the exporter's maps cannot be watched any more");
		home_free(m, home);
	} else {
		check_empty(m, home);
	}
	return 0;
}

void coherent_home_free(Manager *m, EngineSegment *segment)
{
	CoherentHome *home = manager_segment(segment)->home;
	struct recall *recall;

	if (!home)
		return;
	while ((recall = list_first(&home->recalls, struct recall, link))) {
		list_unlink(&recall->link);
		recall->done(m, NULL, recall->userdata);
		free(recall);
	}
	home_free(m, home);
}

/* The data thread */

size_t coherent_claim(void *at, uint64_t off, size_t n, bool write)
{
	CoherentHome *home = at;
	Coherent *c = home->part.coherent;
	uint64_t page = off / PAGE_BYTES, within = off % PAGE_BYTES, last;
	unsigned int got;

	n = MIN(n, (size_t)PAGE_RUN_MAX * PAGE_BYTES - within);
	last = (off + n - 1) / PAGE_BYTES;
	coherent_lock(c);
	coherent_touch(&home->part);
	got = pager_claim(home->part.pager, page, (unsigned int)(last - page + 1), write, c->now);
	coherent_unlock(c);
	return got ? MIN(n, (size_t)got * PAGE_BYTES - within) : 0;
}

void coherent_unclaim(void *at, uint64_t off, size_t n)
{
	CoherentHome *home = at;
	Coherent *c = home->part.coherent;
	uint64_t page = off / PAGE_BYTES, last = (off + n - 1) / PAGE_BYTES;

	coherent_lock(c);
	coherent_touch(&home->part);
	pager_unclaim(home->part.pager, page, (unsigned int)(last - page + 1), c->now);
	coherent_unlock(c);
}

/* For people */

uint32_t coherent_home_owners(Manager *m, const EngineSegment *segment, uint64_t page,
	struct coherent_owner_run *ret_runs, uint32_t n)
{
	CoherentHome *home = manager_segment(segment)->home;
	uint64_t n_pages = n_pages_of(segment->size);
	uint32_t found = 0;

	if (!home)
		return 0;
	coherent_lock(m->coherent);
	for (; page < n_pages; page++) {
		struct directory_entry e = directory_entry(home->directory, page);
		struct coherent_owner_run run = {.page = page,
			.n = 1,
			.owner = e.owner == DIRECTORY_HOME   ? engine_node(m->engine)
				 : e.owner < DIRECTORY_SLOTS ? home->head->slots[e.owner].node
							     : 0,
			.n_sharers = (uint32_t)__builtin_popcountll(e.sharers)};
		struct coherent_owner_run *before = found ? &ret_runs[found - 1] : NULL;

		if (before && before->owner == run.owner && before->n_sharers == run.n_sharers)
			before->n++;
		else if (found < n)
			ret_runs[found++] = run;
		else
			break;
	}
	coherent_unlock(m->coherent);
	return found;
}

uint32_t coherent_home_count(Manager *m, const EngineSegment *segment)
{
	const CoherentHome *home = manager_segment(segment)->home;
	uint32_t n = 0;

	if (!home)
		return 0;
	for_each_slot (home, slot)
		n++;
	return n;
}

void coherent_segment_counts(Manager *m, const EngineSegment *segment, struct coherent_counts *ret)
{
	const CoherentHome *home = manager_segment(segment)->home;

	coherent_lock(m->coherent);
	coherent_part_counts(&home->part, ret);
	coherent_unlock(m->coherent);
}
