/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/coherent-private.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "base/cleanup.h"
#include "base/idtable.h"
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

#define ROWS_MAX   (1u << 20)
#define ROWS_BLOCK 64u /* whose memory is reserved at once: a page */

struct coherent_row {
	uint64_t address;
	_Atomic uint64_t length; /* 0: free */
	uint64_t offset;
	uint64_t watch; /* its number */
	uint64_t instance;
	uint32_t node; /* of the segment; 0: this one */
	uint32_t read_only;
	uint64_t reserved[2];
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

int coherent_row_add(CoherentMapper *mapper)
{
	struct coherent_rows *t = mapper->part->coherent->rows;
	CoherentPart *part = mapper->part;
	uint32_t index;
	int r = idtable_add(&t->used, mapper, &index);

	if (r < 0)
		return r;
	r = reserve(t, index);
	if (r < 0) {
		idtable_remove(&t->used, index);
		return r;
	}
	mapper->row = index + 1;
	t->rows[index].watch = mapper->watch->number;
	t->rows[index].read_only = mapper->m.read_only;
	t->rows[index].node = part->home ? 0 : coherent_guest_of(part)->node;
	t->rows[index].instance =
		part->home ? coherent_home_of(part)->instance : coherent_guest_of(part)->instance;
	coherent_row_change(mapper);
	return 0;
}

void coherent_row_remove(CoherentMapper *mapper)
{
	struct coherent_rows *t = mapper->part->coherent->rows;

	if (!mapper->row)
		return;
	atomic_store(&t->rows[mapper->row - 1].length, 0);
	idtable_remove(&t->used, mapper->row - 1);
	mapper->row = 0;
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
		.discards = g->discards};

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
