/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/coherent-private.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "daemon/data.h"
#include "daemon/log.h"
#include "wire/status.h"

/*
 * A segment of this node that others map. A node has a slot from its first PEER_MAP to its
 * PEER_UNMAP: its imports may be over before that, while it gives pages back. With the last slot
 * everything comes home and the segment is plain memory again.
 */

#define HOLD	    (50 * NSEC_PER_USEC)
#define WRITE_PAUSE (10 * NSEC_PER_MSEC)

/* Making */

static size_t head_offset(uint64_t n_pages)
{
	return (size_t)(n_pages * (sizeof(uint64_t) + 1) + 63) / 64 * 64;
}

size_t coherent_home_table_size(uint64_t size)
{
	return head_offset(coherent_n_pages(size)) + sizeof(struct coherent_home_head);
}

int coherent_home_alloc(Manager *m, EngineSegment *segment, CoherentHome **ret_home)
{
	CoherentHome *home = calloc(1, sizeof(*home));

	if (!home)
		return -ENOMEM;
	coherent_part_init(m->coherent, &home->part, true);
	home->segment = segment;
	home->instance = segment->instance;
	home->part.sleeps = segment->space == WIRE_SPACE_CLSHM;
	for (unsigned int i = 0; i < DIRECTORY_SLOTS; i++)
		list_init(&home->imports[i]);
	*ret_home = home;
	return 0;
}

static uint8_t *pager_table(const CoherentHome *home)
{
	return home->part.store.map + coherent_n_pages(home->part.store.size) * sizeof(uint64_t);
}

static void fill_table(CoherentHome *home)
{
	uint64_t n_pages = coherent_n_pages(home->part.store.size);
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
		.n_pages = coherent_n_pages(home->part.store.size),
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
	r = directory_new(&directory, &coherent_directory_ops, home, &home->directory);
	if (r == 0 && restored)
		directory_restore(home->directory, pager_table(home));
	return r < 0 ? r : pager_new(&pager, &coherent_pager_ops, &home->part, &home->part.pager);
}

/* Without the lock. Whatever is not home is lost. */
void coherent_home_discard(Manager *m, CoherentHome *home)
{
	EngineSegment *segment = home->segment;
	bool has_slots = home->directory && coherent_home_has_slots(home);
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
	if (has_slots)
		coherent_peers_settle(m);
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
		coherent_home_discard(m, home);
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
	unsigned int slot = coherent_slot_of(home, node);
	struct coherent_slot *s;
	bool fresh = !slot;
	int r;

	if (fresh)
		slot = free_slot(home);
	if (!slot || home->given_up[slot])
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
void coherent_slot_free(CoherentHome *home, unsigned int slot)
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

bool coherent_home_has_slots(const CoherentHome *home)
{
	for_each_slot (home, slot)
		return true;
	return false;
}

/* With the last node everything comes home. */
void coherent_home_check_empty(Manager *m, CoherentHome *home)
{
	bool over;

	coherent_lock(m->coherent);
	if (!coherent_home_has_slots(home) && !home->recalling) {
		home->recalling = true;
		coherent_touch(&home->part);
		directory_recall(home->directory, m->coherent->now);
	}
	over = home->recalled && !coherent_home_has_slots(home) && !home->held && !home->waits;
	coherent_unlock(m->coherent);
	if (over)
		coherent_home_discard(m, home);
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
	coherent_peer_settle(m, import->client->peer->number);
	if (r == 0)
		r = manager_import_save(m, import);
	coherent_home_check_empty(m, home);
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
	home = coherent_home_find_map(c, node, map, &slot);
	if (home)
		coherent_slot_free(home, slot);
	coherent_unlock(c);
	coherent_peer_settle(m, node);
	if (home)
		coherent_home_check_empty(m, home);
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
	slot = peer ? coherent_slot_of(home, peer->number) : 0;
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
