/* SPDX-License-Identifier: Apache-2.0 */
#include "core/directory-private.h"

#include "core/pager.h"

/*
 * What the table says and what a node holds, brought together: on every new link, since either end
 * may have lost what was on its way, and after a restart with the home's own pager.
 *
 * By what the node holds it follows what was lost: a grant (owner, but only to be read or nothing:
 * it never wrote), what it gave back (owner, but that is not confirmed: it is asked again), or the
 * confirmation (not confirmed, but not owner: it is said again).
 */

/* It had nothing to write: the shadow is right. sharers: the node, if it may read the page. */
static void never_granted(Directory *d, uint64_t page, uint64_t sharers)
{
	entry_set(d, page, sharers, DIRECTORY_SHADOW);
}

static void holds_nothing(Directory *d, unsigned int slot, uint64_t page)
{
	struct directory_entry e = entry_get(d, page);

	if (e.owner == slot)
		never_granted(d, page, 0);
	else if (e.sharers & slot_bit(slot))
		entry_set(d, page, e.sharers & ~slot_bit(slot), e.owner);
	work_replan(d, page, slot);
}

static void holds_to_read(Directory *d, unsigned int slot, uint64_t page)
{
	if (entry_get(d, page).owner == slot)
		never_granted(d, page, slot_bit(slot));
	work_replan(d, page, slot);
}

static void holds_unconfirmed(Directory *d, unsigned int slot, uint64_t page, bool gone)
{
	if (entry_get(d, page).owner != slot) {
		if (gone)
			holds_nothing(d, slot, page);
		else
			work_replan(d, page, slot);
		return;
	}
	if (!work_replan(d, page, slot))
		directory_say(d, slot, gone ? PAGE_FETCH_M : PAGE_FETCH_S, page, 1, PAGE_NOWHERE);
}

/* Can it be, whatever was lost? */
static bool plausible(struct directory_entry e, unsigned int slot, uint8_t held)
{
	switch (held) {
	case PAGE_HOLDS_M:
		return e.owner == slot;
	case PAGE_HOLDS_S:
	case PAGE_HOLDS_D:
		return e.sharers & slot_bit(slot);
	default:
		return true;
	}
}

static bool confirms(const Directory *d, unsigned int slot, uint8_t held, uint64_t page)
{
	return held & (PAGE_HOLDS_D | PAGE_HOLDS_L) && entry_get(d, page).owner != slot;
}

static void confirm(Directory *d, unsigned int slot, const struct page_message *m)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < m->n; i += MAX(n, 1u)) {
		for (n = 0; i + n < m->n && confirms(d, slot, m->flags, m->page + i + n); n++)
			;
		if (n > 0)
			directory_say(d, slot, PAGE_KEPT, m->page + i, n, PAGE_NOWHERE);
	}
}

static void holds(Directory *d, unsigned int slot, uint8_t held, uint64_t page)
{
	switch (held) {
	case PAGE_HOLDS_S:
		holds_to_read(d, slot, page);
		break;
	case PAGE_HOLDS_M:
		work_replan(d, page, slot);
		break;
	default:
		holds_unconfirmed(d, slot, page, held == PAGE_HOLDS_L);
		break;
	}
}

/* The node holds nothing before this page but what it has said. */
static void pass(Directory *d, unsigned int slot, uint64_t page)
{
	struct slot *s = &d->slots[slot];

	for (uint64_t i = s->cursor; i < page; i++) {
		s->cursor = i + 1;
		holds_nothing(d, slot, i);
	}
}

int directory_holds(Directory *d, unsigned int slot, const struct page_message *m)
{
	struct slot *s = &d->slots[slot];

	if (m->flags == PAGE_HOLDS_END) {
		pass(d, slot, d->options.n_pages);
		s->link = SLOT_UP;
		directory_say(d, slot, PAGE_HELD, 0, 1, PAGE_NOWHERE);
		return 0;
	}
	if (m->page < s->cursor)
		return STATUS_BAD_REQUEST;
	for (unsigned int i = 0; i < m->n; i++)
		if (!plausible(entry_get(d, m->page + i), slot, m->flags))
			return STATUS_BAD_REQUEST;
	pass(d, slot, m->page);
	s->cursor = m->page + m->n;
	confirm(d, slot, m);
	for (unsigned int i = 0; i < m->n; i++)
		holds(d, slot, m->flags, m->page + i);
	return 0;
}

/* The home itself */

/* What its pager has put aside is in the shadow, and may be nowhere else. */
static void restore(Directory *d, uint64_t page, uint8_t *state)
{
	struct directory_entry e = entry_get(d, page);
	bool here = e.owner == DIRECTORY_NOBODY || e.owner == DIRECTORY_HOME;

	if (here && *state == PAGER_L)
		entry_set(d, page, e.sharers & ~slot_bit(DIRECTORY_HOME), DIRECTORY_SHADOW);
	else if (e.owner == DIRECTORY_HOME)
		entry_set(d, page, slot_bit(DIRECTORY_HOME), DIRECTORY_NOBODY);
	*state = entry_get(d, page).owner == DIRECTORY_NOBODY ? PAGER_S : PAGER_I;
}

void directory_restore(Directory *d, uint8_t *pager_table)
{
	uint64_t n_pages = d->options.n_pages;

	for (uint64_t i = 0; i < n_pages; i++)
		restore(d, i, &pager_table[i]);
	for (uint64_t i = 0, n; i < n_pages; i += n) {
		n = 1;
		while (i + n < n_pages && n < UINT32_MAX && pager_table[i + n] == pager_table[i])
			n++;
		if (pager_table[i] == PAGER_S)
			d->ops->forget(d->userdata, i, (unsigned int)n);
	}
}
