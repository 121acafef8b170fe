/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/coherent-private.h"

#include <stdlib.h>
#include "base/cleanup.h"
#include "base/closer.h"
#include "base/idtable.h"

/*
 * What a successor must know: a record for each home and guest, with the descriptors of their
 * stores in the keeper; the descriptors of all watches; and the table of mappers
 * (coherent-rows.c).
 *
 * A daemon that is killed has left tables and memory in an order that makes every prefix safe. Its
 * successor protects everything, drops what is there without right, wakes everybody, and has the
 * links say anew what is held.
 */

/* Records */

static int save(Manager *m, const struct record_coherent *record, uint32_t *slot)
{
	if (*slot == JOURNAL_NO_SLOT)
		return journal_add(m->journal, RECORD_COHERENT, record, sizeof(*record), slot);
	journal_update(m->journal, *slot, record, sizeof(*record));
	return 0;
}

static void store(const Manager *m, uint64_t number, const struct page_store *s, bool home)
{
	if (!home)
		keeper_link_store(m->link, KEEP_PAGES_MEMORY, number, s->memory);
	keeper_link_store(m->link, KEEP_PAGES_TABLE, number, s->table);
	keeper_link_store(m->link, KEEP_PAGES_ASIDE, number, s->aside);
}

static void drop(const Manager *m, uint64_t number)
{
	keeper_link_drop(m->link, KEEP_PAGES_MEMORY, number);
	keeper_link_drop(m->link, KEEP_PAGES_TABLE, number);
	keeper_link_drop(m->link, KEEP_PAGES_ASIDE, number);
}

/* Descriptors are stored before there is a record of them. */
int coherent_guest_save(Manager *m, CoherentGuest *g)
{
	struct record_coherent record = {.instance = g->instance,
		.session = g->session,
		.size = g->part.store.size,
		.node = g->node,
		.map = g->map,
		.discards = g->discards,
		.space = g->space,
		.loss = g->part.loss};

	if (!g->number) {
		g->number = coherent_number(m->coherent);
		store(m, g->number, &g->part.store, false);
	}
	record.number = g->number;
	return save(m, &record, &g->slot);
}

void coherent_guest_forget(Manager *m, CoherentGuest *g)
{
	journal_remove(m->journal, g->slot);
	if (g->number)
		drop(m, g->number);
}

int coherent_home_save(Manager *m, CoherentHome *home)
{
	struct record_coherent record = {.instance = home->instance};

	if (!home->number) {
		home->number = coherent_number(m->coherent);
		store(m, home->number, &home->part.store, true);
	}
	record.number = home->number;
	return save(m, &record, &home->slot);
}

void coherent_home_forget(Manager *m, CoherentHome *home)
{
	journal_remove(m->journal, home->slot);
	if (home->number)
		drop(m, home->number);
}

void coherent_store(Manager *m)
{
	Coherent *c = m->coherent;
	CoherentPart *part;
	CoherentWatch *w;

	if (!c)
		return;
	coherent_lock(c);
	coherent_rows_store(m);
	list_for_each (part, &c->parts, link)
		store(m,
			part->home ? coherent_home_of(part)->number
				   : coherent_guest_of(part)->number,
			&part->store, part->home);
	list_for_each (w, &c->watches, link)
		w->stored = false;
	coherent_unlock(c);
	coherent_watches_look(m);
}

/* --- a predecessor's --- */

/* Homes and guests */

/* Without a record there may still be rows. */
static int begin(Manager *m, struct keeper_stored *stored, bool needed)
{
	_cleanup_close_ int rows = -1;
	int r;

	if (m->coherent)
		return 0;
	rows = keeper_stored_take(stored, KEEP_ROWS, 0);
	if (rows < 0 && !needed)
		return 0;
	r = coherent_new(m);
	return r < 0 || rows < 0 ? r : coherent_rows_take(m->coherent, &rows);
}

static int restore_store(CoherentPart *part, int memory, uint64_t offset, uint64_t size,
	size_t table_size, uint64_t number, struct keeper_stored *stored)
{
	_cleanup_close_ int table = keeper_stored_take(stored, KEEP_PAGES_TABLE, number);
	_cleanup_close_ int aside = keeper_stored_take(stored, KEEP_PAGES_ASIDE, number);
	int r;

	if (memory < 0 || table < 0 || aside < 0)
		return -EBADMSG;
	r = page_store_open(
		part->home, memory, offset, size, table_size, table, aside, &part->store);
	if (r == 0)
		table = aside = -1;
	return r;
}

static void begin_part(CoherentPart *part)
{
	Coherent *c = part->coherent;

	coherent_lock(c);
	list_append(&c->parts, &part->link);
	coherent_unlock(c);
}

static int restore_home(Manager *m, const struct record_coherent *record, uint32_t slot,
	struct keeper_stored *stored)
{
	EngineSegment *segment = engine_segment_find_instance(m->engine, record->instance);
	ManagerSegment *s = segment ? manager_segment(segment) : NULL;
	CoherentHome *home;
	int r;

	if (!s)
		return -EBADMSG;
	r = coherent_home_alloc(m, segment, &home);
	if (r < 0)
		return r;
	home->number = record->number;
	home->slot = slot;
	r = restore_store(&home->part, s->memory, s->offset, segment->size,
		coherent_home_table_size(segment->size), record->number, stored);
	if (r == 0)
		r = coherent_home_begin(home, coherent_patience(m), true);
	if (r < 0) {
		coherent_part_deinit(&home->part);
		directory_free(home->directory);
		free(home);
		return r;
	}
	s->home = home;
	(void)engine_segment_set_copies(segment, segment->size, true);
	begin_part(&home->part);
	return 0;
}

static int restore_guest(Manager *m, const struct record_coherent *record, uint32_t slot,
	struct keeper_stored *stored)
{
	_cleanup_close_ int memory = keeper_stored_take(stored, KEEP_PAGES_MEMORY, record->number);
	CoherentGuest *g = coherent_guest_alloc(m->coherent);
	int r;

	if (!g)
		return -ENOMEM;
	g->node = record->node;
	g->instance = record->instance;
	g->session = record->session;
	g->map = record->map;
	g->discards = record->discards;
	g->space = record->space;
	g->part.sleeps = g->space == WIRE_SPACE_CLSHM;
	g->part.loss = record->loss;
	g->part.over = record->loss != 0;
	g->number = record->number;
	g->slot = slot;
	r = restore_store(&g->part, memory, 0, record->size, record->size / PAGE_BYTES,
		record->number, stored);
	if (r < 0) {
		free(g);
		return r;
	}
	memory = -1;
	begin_part(&g->part);
	return 0;
}

int coherent_restore(Manager *m, uint32_t slot, struct keeper_stored *stored)
{
	struct record_coherent record;
	int r = begin(m, stored, true);

	if (r < 0)
		return r;
	journal_read(m->journal, slot, &record, sizeof(record));
	r = record.node ? restore_guest(m, &record, slot, stored)
			: restore_home(m, &record, slot, stored);
	if (r == -EBADMSG)
		drop(m, record.number);
	return r;
}

/* Watches without mappers: what their processes still wait for is read. */

static void *run_drain(void *watch)
{
	while (watch_wait(watch) == 0)
		;
	return NULL;
}

static void drain(int uffd)
{
	pthread_t reader;
	Watch *watch;

	if (watch_new(uffd, &watch) < 0)
		return;
	if (coherent_thread(run_drain, watch, &reader) == 0)
		watch_stop(watch, reader);
	watch_free(watch);
}

static void drain_watches(Manager *m, struct keeper_stored *stored)
{
	uint64_t number;
	int uffd;

	while ((uffd = keeper_stored_take_any(stored, KEEP_WATCH, &number)) >= 0) {
		drain(uffd);
		keeper_link_drop(m->link, KEEP_WATCH, number);
		closer_close(uffd);
	}
}

/* With the lock. Who has no reader now would wait at his next fork or munmap for ever. */
static void end_unread(Coherent *c)
{
	CoherentWatch *w;

	list_for_each (w, &c->watches, link)
		if (!w->has_thread)
			coherent_watch_kill(w);
}

/* Imports */

static void restore_import(Manager *m, EngineImport *import)
{
	ManagerImport *i = manager_import(import);
	CoherentGuest *g;

	if (import_is_remote(import)) {
		g = coherent_guest_find(m->coherent, import->node, import->instance);
		if (g && i->coherent_before && import->state == WIRE_IMPORT_CONNECTED)
			coherent_guest_attach(g, import);
	} else if (import->segment && manager_segment(import->segment)->home) {
		coherent_home_restore_import(
			manager_segment(import->segment)->home, import, i->coherent_before);
	}
	i->coherent_before = false;
}

static void restore_imports_of(Manager *m, EngineClient *client)
{
	EngineImport *import;
	uint32_t index;

	idtable_for_each (&client->imports, index, import)
		if (manager_import(import))
			restore_import(m, import);
}

/* Guests' imports are found by their segments. */
static void restore_imports(Manager *m)
{
	EngineSegment *segment = NULL;
	EngineImport *import;
	ManagerClient *c;

	list_for_each (c, &m->clients, link)
		restore_imports_of(m, c->engine);
	while ((segment = engine_segment_next(m->engine, segment ? segment->instance : 0)))
		list_for_each (import, &segment->imports, link)
			if (import_is_guest(import) && manager_import(import))
				restore_import(m, import);
}

/* Going on */

/* With the lock. Nobody may store; then what is there without right goes. */
static int restore_part(Manager *m, CoherentPart *part)
{
	int r;

	/* who waits asks again */
	if (part->loss) {
		coherent_part_wake(part);
		return 0;
	}
	coherent_part_protect(part);
	r = part->home ? coherent_home_resume(m, coherent_home_of(part))
		       : coherent_guest_resume(m, coherent_guest_of(part));
	if (r == 0)
		coherent_part_resume(part);
	coherent_touch(part);
	return r;
}

static int restore_parts(Manager *m)
{
	Coherent *c = m->coherent;
	CoherentPart *part;
	int r = 0;

	coherent_lock(c);
	list_for_each (part, &c->parts, link)
		if (r == 0)
			r = restore_part(m, part);
	c->look = c->now;
	coherent_unlock(c);
	return r;
}

int coherent_restored(Manager *m, struct keeper_stored *stored)
{
	int r = begin(m, stored, false);
	Coherent *c = m->coherent;

	if (r < 0 || !c)
		return r;
	coherent_lock(c);
	if (c->rows)
		r = coherent_rows_restore(m, stored);
	drain_watches(m, stored);
	end_unread(c);
	restore_imports(m);
	coherent_unlock(c);
	if (r == 0)
		r = coherent_rows_need(m);
	if (r == 0)
		r = restore_parts(m);
	if (r < 0)
		return r;
	coherent_homes_restored(m);
	coherent_guests_restored(m);
	coherent_note(c);
	return 0;
}
