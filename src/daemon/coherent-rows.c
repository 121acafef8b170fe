/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/coherent-private.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/idtable.h"
#include "daemon/coherent-sleep.h"
#include "memory/memfd.h"

/*
 * The table of mappers, a memfd that any thread writes under the lock and a successor reads: who
 * has what mapped where, and in which pages somebody sleeps who is to be woken. A row counts once
 * its length is set.
 */

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
	struct idtable used; /* CoherentMapper, or what coherent-sleep.c has */
};

#define ROWS_SIZE (ROWS_MAX * sizeof(struct coherent_row))

int coherent_rows_take(Coherent *c, int *fd)
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
	c->rows = t;
	return 0;
}

void coherent_rows_store(const Manager *m)
{
	if (m->coherent->rows)
		keeper_link_store(m->link, KEEP_ROWS, 0, m->coherent->rows->fd);
}

int coherent_rows_need(Manager *m)
{
	_cleanup_close_ int fd = -1;
	int r;

	if (m->coherent->rows)
		return 0;
	r = memfd_new("causeway-maps-table", ROWS_SIZE, &fd);
	if (r == 0)
		r = coherent_rows_take(m->coherent, &fd);
	if (r == 0)
		coherent_rows_store(m);
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

/* A predecessor's */

static bool is_of(CoherentPart *part, const struct coherent_row *row)
{
	if (part->home)
		return row->node == 0 && coherent_home_of(part)->instance == row->instance;
	return coherent_guest_of(part)->node == row->node &&
	       coherent_guest_of(part)->instance == row->instance;
}

static CoherentPart *find_part(Coherent *c, const struct coherent_row *row, bool lost)
{
	CoherentPart *part;

	list_for_each (part, &c->parts, link)
		if (!part->loss == !lost && is_of(part, row))
			return part;
	return NULL;
}

/* The predecessor may have died before it recorded that the part is lost: then that is found out
 * again. */
static CoherentPart *find_part_of(Coherent *c, const struct coherent_row *row)
{
	CoherentPart *part = row->flags & ROW_LOST ? find_part(c, row, true) : NULL;

	return part ? part : find_part(c, row, false);
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

static int restore_row(Manager *m, uint32_t index, struct keeper_stored *stored)
{
	struct coherent_rows *t = m->coherent->rows;
	struct coherent_row *row = &t->rows[index];
	CoherentPart *part = find_part_of(m->coherent, row);
	const struct mapper mapper = {.address = row->address,
		.offset = row->offset,
		.length = atomic_load(&row->length),
		.read_only = row->flags & ROW_READ_ONLY};
	CoherentWatch *w = NULL;
	CoherentMapper *made;
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

int coherent_rows_restore(Manager *m, struct keeper_stored *stored)
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
