/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/coherent-private.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "base/cleanup.h"
#include "base/closer.h"
#include "base/idtable.h"
#include "daemon/coherent-sleep.h"
#include "daemon/log.h"
#include "memory/memfd.h"

/*
 * What a successor must know: a record for each home and guest, with the descriptors of their
 * stores in the keeper; the descriptors of all watches; and the table of mappers, a memfd that any
 * thread writes. A row counts once its length is set.
 *
 * A daemon that is killed has left tables and memory in an order that makes every prefix safe. Its
 * successor protects everything, drops what is there without right, wakes everybody, and has the
 * links say anew what is held.
 */

/* Rows */

#define ROW_READ_ONLY 0x1u
#define ROW_LOST      0x2u /* of a part that is lost: there may be another one of this instance */
#define ROW_SLEEPING  0x4u /* no mapper: who sleeps in the page offset is to be woken */

#define ROWS_MAX   (1u << 20)
#define ROWS_BLOCK 64u /* whose memory is reserved at once: a page */

struct coherent_row {
	uint64_t address;
	_Atomic uint64_t length; /* 0: free */
	uint64_t offset;
	uint64_t watch;	 /* its number */
	uint64_t client; /* 0: a child's */
	uint64_t instance;
	uint32_t node; /* of the segment; 0: this one */
	uint32_t flags;
	uint64_t uid; /* the watch's */
};

static_assert(sizeof(struct coherent_row) * ROWS_BLOCK == 4096, "a page");

struct coherent_rows {
	int fd;
	struct coherent_row *rows;
	uint32_t n_reserved;
	struct idtable used; /* CoherentMapper */
};

#define ROWS_SIZE (ROWS_MAX * sizeof(struct coherent_row))

static int rows_map(int *fd, struct coherent_rows **ret_rows)
{
	struct coherent_rows *t;
	void *p;

	if (memfd_check(*fd, ROWS_SIZE) < 0)
		return -EBADMSG;
	t = calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	p = mmap(NULL, ROWS_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, *fd, 0);
	if (p == MAP_FAILED) {
		free(t);
		return -ENOMEM;
	}
	t->fd = take_fd(fd);
	t->rows = p;
	idtable_init(&t->used, ROWS_MAX);
	*ret_rows = t;
	return 0;
}

/* (main) before there is any mapper. */
int coherent_rows_need(Manager *m)
{
	_cleanup_close_ int fd = -1;
	int r;

	if (m->coherent->rows)
		return 0;
	r = memfd_new("causeway-maps-table", ROWS_SIZE, &fd);
	if (r == 0)
		r = rows_map(&fd, &m->coherent->rows);
	if (r == 0)
		keeper_link_store(m->link, KEEP_ROWS, 0, m->coherent->rows->fd);
	return r;
}

static int reserve(struct coherent_rows *t, uint32_t row)
{
	uint32_t block = row / ROWS_BLOCK * ROWS_BLOCK;
	int r;

	if (row < t->n_reserved)
		return 0;
	r = memfd_reserve(t->fd, block * sizeof(*t->rows), ROWS_BLOCK * sizeof(*t->rows));
	if (r == 0)
		t->n_reserved = block + ROWS_BLOCK;
	return r;
}

void coherent_row_change(const CoherentMapper *mapper)
{
	struct coherent_row *row = &mapper->part->coherent->rows->rows[mapper->row - 1];

	atomic_store(&row->length, 0);
	row->address = mapper->m.address;
	row->offset = mapper->m.offset;
	atomic_store(&row->length, mapper->m.length);
}

void coherent_row_mark(const CoherentMapper *mapper)
{
	mapper->part->coherent->rows->rows[mapper->row - 1].flags |= ROW_LOST;
}

/* A free one, about the part; it counts once its length is set. */
static int row_take(const CoherentPart *part, void *object, uint32_t *ret_row)
{
	struct coherent_rows *t = part->coherent->rows;
	uint32_t index;
	int r = idtable_add(&t->used, object, &index);

	if (r < 0)
		return r;
	r = reserve(t, index);
	if (r < 0) {
		idtable_remove(&t->used, index);
		return r;
	}
	t->rows[index].node = part->home ? 0 : container_of(part, const CoherentGuest, part)->node;
	t->rows[index].instance = part->home
					  ? container_of(part, const CoherentHome, part)->instance
					  : container_of(part, const CoherentGuest, part)->instance;
	*ret_row = index + 1;
	return 0;
}

static void row_free(Coherent *c, uint32_t row)
{
	atomic_store(&c->rows->rows[row - 1].length, 0);
	idtable_remove(&c->rows->used, row - 1);
}

int coherent_row_add(CoherentMapper *mapper)
{
	CoherentPart *part = mapper->part;
	struct coherent_row *row;
	int r = row_take(part, mapper, &mapper->row);

	if (r < 0)
		return r;
	row = &part->coherent->rows->rows[mapper->row - 1];
	row->watch = mapper->watch->number;
	row->client = mapper->watch->client;
	row->uid = mapper->watch->uid;
	row->flags = (mapper->m.read_only ? ROW_READ_ONLY : 0) | (part->loss ? ROW_LOST : 0);
	coherent_row_change(mapper);
	return 0;
}

void coherent_row_remove(CoherentMapper *mapper)
{
	if (mapper->row)
		row_free(mapper->part->coherent, mapper->row);
	mapper->row = 0;
}

int coherent_row_add_sleeping(
	const CoherentPart *part, void *sleeping, uint64_t page, uint32_t *ret_row)
{
	struct coherent_row *row;
	int r = row_take(part, sleeping, ret_row);

	if (r < 0)
		return r;
	row = &part->coherent->rows->rows[*ret_row - 1];
	row->flags = ROW_SLEEPING;
	row->offset = page;
	atomic_store(&row->length, 1);
	return 0;
}

void coherent_row_remove_sleeping(Coherent *c, uint32_t row)
{
	if (row)
		row_free(c, row);
}

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
	if (c->rows)
		keeper_link_store(m->link, KEEP_ROWS, 0, c->rows->fd);
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
	return r < 0 || rows < 0 ? r : rows_map(&rows, &m->coherent->rows);
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

/* Mappers */

static bool is_of(CoherentPart *part, uint32_t node, uint64_t instance)
{
	if (part->home)
		return node == 0 && coherent_home_of(part)->instance == instance;
	return coherent_guest_of(part)->node == node &&
	       coherent_guest_of(part)->instance == instance;
}

static CoherentPart *find_part(Coherent *c, uint32_t node, uint64_t instance)
{
	CoherentPart *part;

	list_for_each (part, &c->parts, link)
		if (!part->loss && is_of(part, node, instance))
			return part;
	return NULL;
}

/* The predecessor may have died before it recorded that the part is lost: then that is found out
 * again. */
static CoherentPart *find_part_of(Coherent *c, const struct coherent_row *row)
{
	CoherentPart *part;

	if (row->flags & ROW_LOST)
		list_for_each (part, &c->parts, link)
			if (part->loss && is_of(part, row->node, row->instance))
				return part;
	return find_part(c, row->node, row->instance);
}

static CoherentWatch *find_watch(Coherent *c, uint64_t number)
{
	CoherentWatch *w;

	list_for_each (w, &c->watches, link)
		if (w->number == number)
			return w;
	return NULL;
}

static int restore_watch(Manager *m, const struct coherent_row *row, struct keeper_stored *stored,
	CoherentWatch **ret_watch)
{
	ManagerClient *client = row->client ? manager_client_find(m, row->client) : NULL;
	_cleanup_close_ int uffd = -1;
	CoherentWatch *w = find_watch(m->coherent, row->watch);
	int r;

	if (w) {
		*ret_watch = w;
		return 0;
	}
	uffd = keeper_stored_take(stored, KEEP_WATCH, row->watch);
	if (uffd < 0)
		return -EBADMSG;
	r = coherent_watch_new(m->coherent, uffd, (uid_t)row->uid, &w);
	if (r < 0)
		return r;
	uffd = -1;
	w->number = row->watch;
	w->stored = true;
	if (client)
		coherent_watch_set_client(w, client);
	/* whoever forks waits until that is read, and cannot be protected before */
	(void)coherent_watch_start(w);
	*ret_watch = w;
	return 0;
}

/* Its part was over, and the predecessor about to release what was mapped of it. */
static void release(const CoherentWatch *w, const struct mapper *mapper)
{
	struct mapper m = *mapper;

	m.watch = w->watch;
	mapper_disarm(&m);
}

/* At which words is not known any more: all are looked at. */
static int restore_sleeping(Manager *m, uint32_t index, CoherentPart *part)
{
	struct coherent_rows *t = m->coherent->rows;
	void *made;
	int r = part ? coherent_sleep_restore(part, t->rows[index].offset, index + 1, &made)
		     : -EBADMSG;

	if (r == 0)
		return idtable_add_at(&t->used, index, made);
	atomic_store(&t->rows[index].length, 0);
	return r == -EBADMSG ? 0 : r;
}

/* With the lock. */
static int restore_row(Manager *m, uint32_t index, struct keeper_stored *stored)
{
	struct coherent_rows *t = m->coherent->rows;
	struct coherent_row *row = &t->rows[index];
	CoherentPart *part = find_part_of(m->coherent, row);
	const struct mapper mapper = {.address = row->address,
		.offset = row->offset,
		.length = atomic_load(&row->length),
		.read_only = row->flags & ROW_READ_ONLY};
	CoherentMapper *made;
	CoherentWatch *w;
	int r;

	if (!mapper.length)
		return 0;
	if (row->flags & ROW_SLEEPING)
		return restore_sleeping(m, index, part);
	r = restore_watch(m, row, stored, &w);
	if (r == 0 && !part) {
		release(w, &mapper);
		r = -EBADMSG;
	}
	if (r == 0)
		r = coherent_mapper_restore(part, w, &mapper, &made);
	if (r == 0)
		r = idtable_add_at(&t->used, index, made);
	if (r == 0)
		made->row = index + 1;
	else if (r == -EBADMSG)
		atomic_store(&row->length, 0);
	return r == -EBADMSG ? 0 : r;
}

static int restore_rows(Manager *m, struct keeper_stored *stored)
{
	struct coherent_rows *t = m->coherent->rows;
	off_t end = lseek(t->fd, 0, SEEK_HOLE);
	int r = 0;

	if (end < 0)
		return negative_errno();
	t->n_reserved = (uint32_t)((size_t)end / sizeof(*t->rows));
	for (uint32_t i = 0; i < t->n_reserved && r == 0; i++)
		r = restore_row(m, i, stored);
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
	CoherentPart *part;

	if (import_is_remote(import)) {
		part = find_part(m->coherent, import->node, import->instance);
		if (part && i->coherent_before && import->state == WIRE_IMPORT_CONNECTED)
			coherent_guest_attach(coherent_guest_of(part), import);
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
		r = restore_rows(m, stored);
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
