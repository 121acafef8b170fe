/* SPDX-License-Identifier: Apache-2.0 */

/* A check that could be compiled out would be none. */
#undef NDEBUG
#include "core/directory-private.h"

#include <assert.h>

/*
 * What must hold between two operations.
 */

static bool added(const Directory *d, uint64_t sharers)
{
	for (; sharers; sharers &= sharers - 1)
		if (!d->slots[__builtin_ctzll(sharers)].used)
			return false;
	return true;
}

static void check_entry(const Directory *d, uint64_t page)
{
	struct directory_entry e = entry_get(d, page);
	bool home = e.sharers & slot_bit(DIRECTORY_HOME);

	assert((d->options.table[page] & ENTRY_KIND) != ENTRY_KIND);
	assert(added(d, e.sharers));
	if (entry_owned(e))
		assert(e.sharers == slot_bit(e.owner) && d->slots[e.owner].write);
	else
		assert(home == (e.owner == DIRECTORY_NOBODY));
}

/* An answer is outstanding from nobody but those who have something to give up, or who gave it up
 * while they were asked. */
static void check_item(const Directory *d, uint64_t page)
{
	const struct item *item = d->items[page];
	struct directory_entry e = entry_get(d, page);
	struct work *w = item->work;

	assert(w->n > 0 && page >= w->page && page - w->page < w->n);
	assert(item == work_item(w, (unsigned int)(page - w->page)));
	assert(added(d, item->need));
	if (entry_owned(e))
		assert((item->need & ~e.sharers) == 0);
}

static unsigned int check_work(const struct Directory *d, struct work *w)
{
	unsigned int n_open = 0;

	for (unsigned int i = 0; i < w->n; i++) {
		assert(d->items[w->page + i] == work_item(w, i));
		n_open += work_item(w, i)->need != 0;
	}
	assert(n_open == w->n_open);
	return w->n;
}

static uint64_t check_works(const Directory *d, struct list *works, bool open)
{
	uint64_t n = 0;
	struct work *w;

	list_for_each (w, works, link) {
		n += check_work(d, w);
		assert((w->n_open > 0) == open);
	}
	return n;
}

static void check_slot(const struct slot *s)
{
	unsigned int n = 0;
	struct work *w;

	list_for_each (w, &s->works, link)
		n++;
	list_for_each (w, &s->mine, mine)
		n++;
	assert(n == s->n_works);
}

void directory_check(const Directory *d)
{
	Directory *self = (Directory *)d; /* lists are walked by pointers to what may be written */
	uint64_t n_items = 0, n_active;

	assert(!d->running && d->inbox_begin == d->inbox_end);
	assert(list_empty(&d->ready) && list_empty(&d->done));
	for (uint64_t i = 0; i < d->options.n_pages; i++) {
		check_entry(d, i);
		if (!d->items[i])
			continue;
		check_item(d, i);
		n_items++;
	}
	n_active = check_works(d, &self->active, true) + check_works(d, &self->late, true) +
		   check_works(d, &self->stuck, false);
	assert(n_items == n_active);
	for (unsigned int i = 0; i <= DIRECTORY_SLOTS; i++)
		check_slot(&self->slots[i]);
}
