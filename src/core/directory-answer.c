/* SPDX-License-Identifier: Apache-2.0 */
#include "core/directory-private.h"

/*
 * What nodes give up: copies, and what they have written. Content is kept first, then the table
 * says so, then it is confirmed; so whoever dies between leaves it with the node.
 */

static uint64_t need_of(const Directory *d, uint64_t page)
{
	return d->items[page] ? d->items[page]->need : 0;
}

static void drop_sharer(Directory *d, uint64_t page, unsigned int slot)
{
	struct directory_entry e = entry_get(d, page);

	entry_set(d, page, e.sharers & ~slot_bit(slot), e.owner);
}

int directory_ack(Directory *d, unsigned int slot, const struct page_message *m)
{
	for (unsigned int i = 0; i < m->n; i++)
		if (!(need_of(d, m->page + i) & slot_bit(slot)) ||
			entry_get(d, m->page + i).owner == slot || slot == DIRECTORY_HOME)
			return STATUS_BAD_REQUEST;
	for (unsigned int i = 0; i < m->n; i++) {
		drop_sharer(d, m->page + i, slot);
		work_replan(d, m->page + i, slot);
	}
	return 0;
}

/* A PUT without content: not the answer to an INV that it has crossed; that comes, too. */
static int drop_copies(Directory *d, unsigned int slot, const struct page_message *m)
{
	for (unsigned int i = 0; i < m->n; i++) {
		struct directory_entry e = entry_get(d, m->page + i);

		if (entry_owned(e) || !(e.sharers & slot_bit(slot)) || slot == DIRECTORY_HOME)
			return STATUS_BAD_REQUEST;
	}
	for (unsigned int i = 0; i < m->n; i++)
		drop_sharer(d, m->page + i, slot);
	return 0;
}

static bool back_valid(const Directory *d, unsigned int slot, const struct page_message *m)
{
	for (unsigned int i = 0; i < m->n; i++) {
		struct directory_entry e = entry_get(d, m->page + i);

		if (e.owner == slot)
			continue;
		/* The home gives its copy away, of what it had to read. */
		if (slot != DIRECTORY_HOME || e.owner != DIRECTORY_NOBODY ||
			!(m->flags & PAGE_GONE))
			return false;
	}
	if (slot != DIRECTORY_HOME)
		return true;
	for (unsigned int i = 0; i < m->n; i++)
		if (!(need_of(d, m->page + i) & slot_bit(DIRECTORY_HOME)))
			return false;
	return m->type == PAGE_BACK;
}

/* Into the memory, but for a node that is going to write. */
static enum page_source place(const Directory *d, unsigned int slot, bool gone, uint64_t page)
{
	const struct item *item = d->items[page];

	if (slot == DIRECTORY_HOME)
		return gone ? PAGE_SHADOW : PAGE_MEMORY;
	if (item && item->work->write && item->work->slot != DIRECTORY_HOME &&
		item->work->slot < DIRECTORY_SLOTS)
		return PAGE_SHADOW;
	return PAGE_MEMORY;
}

/* Also where it is not wanted, if there is room only there. */
static int keep(
	Directory *d, unsigned int slot, uint64_t page, unsigned int n, enum page_source *place)
{
	int r = 0;

	if (slot != DIRECTORY_HOME)
		r = d->ops->keep(d->userdata, page, n, *place);
	if (r < 0 && *place == PAGE_MEMORY) {
		*place = PAGE_SHADOW;
		r = d->ops->keep(d->userdata, page, n, *place);
	}
	return r;
}

static void enter_run(Directory *d, unsigned int slot, bool gone, uint64_t page, unsigned int n,
	enum page_source place)
{
	for (unsigned int i = 0; i < n; i++) {
		struct directory_entry e = entry_get(d, page + i);
		uint64_t sharers = e.sharers & ~slot_bit(slot);

		if (!gone)
			sharers |= slot_bit(slot);
		if (place == PAGE_MEMORY)
			sharers |= slot_bit(DIRECTORY_HOME);
		entry_set(d, page + i, sharers,
			place == PAGE_MEMORY ? DIRECTORY_NOBODY : DIRECTORY_SHADOW);
	}
}

static int take_run(Directory *d, unsigned int slot, bool gone, uint64_t page, unsigned int n,
	enum page_source place)
{
	int r = keep(d, slot, page, n, &place);

	if (r < 0) {
		d->ops->give_up(d->userdata, slot, "there is no memory for what it gives back");
		return r;
	}
	enter_run(d, slot, gone, page, n, place);
	directory_say(d, slot, PAGE_KEPT, page, n, PAGE_NOWHERE);
	if (place == PAGE_MEMORY && slot != DIRECTORY_HOME) {
		directory_home_shares(d, page, n);
		d->ops->forget(d->userdata, page, n);
	}
	for (unsigned int i = 0; i < n; i++)
		work_replan(d, page + i, slot);
	return 0;
}

int directory_back(Directory *d, unsigned int slot, const struct page_message *m)
{
	bool gone = m->type == PAGE_PUT || m->flags & PAGE_GONE;

	if (!(m->flags & PAGE_CONTENT))
		return m->type == PAGE_PUT ? drop_copies(d, slot, m) : STATUS_BAD_REQUEST;
	if (!back_valid(d, slot, m))
		return STATUS_BAD_REQUEST;
	for (unsigned int i = 0, n; i < m->n; i += n) {
		enum page_source where = place(d, slot, gone, m->page + i);

		for (n = 1; i + n < m->n; n++)
			if (place(d, slot, gone, m->page + i + n) != where)
				break;
		if (take_run(d, slot, gone, m->page + i, n, where) < 0)
			return 0;
	}
	return 0;
}
