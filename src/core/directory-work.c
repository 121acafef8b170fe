/* SPDX-License-Identifier: Apache-2.0 */
#include "core/directory-private.h"

#include <assert.h>
#include <stdlib.h>

/*
 * Works: from a request to its answer. What a work needs follows from the entries of its pages
 * alone, which change with every answer; so whatever happens meanwhile (an owner gives a page back
 * unasked, is lost, had never got it), it is enough to look at the entry again.
 */

struct work *work_new(Directory *d, unsigned int slot, const struct page_message *m)
{
	struct slot *s = &d->slots[slot];
	struct work *w;

	/* Those that were abandoned may not be back yet. */
	if (list_empty(&s->works) && directory_fill(d, slot, s->n_works + 1) < 0)
		return NULL;
	w = list_first(&s->works, struct work, link);
	list_unlink(&w->link);
	list_append(&s->mine, &w->mine);
	w->slot = (uint8_t)slot;
	w->write = m->type == PAGE_GETX;
	w->page = m->page;
	w->wanted = m->n;
	return w;
}

static unsigned int works_of(unsigned int slot)
{
	return slot == DIRECTORY_RECALL ? DIRECTORY_RECALLS : PAGE_REQUESTS_MAX;
}

void work_free(Directory *d, struct work *w)
{
	struct slot *s = &d->slots[w->origin];

	free(w->more);
	w->more = NULL;
	w->n = 0;
	list_unlink(&w->link);
	list_unlink(&w->mine);
	if (w->slot == DIRECTORY_NONE) {
		if (!(s->used || w->origin == DIRECTORY_RECALL) ||
			s->n_works >= works_of(w->origin)) {
			free(w);
			return;
		}
		s->n_works++;
	}
	list_append(&s->works, &w->link);
}

void work_abandon(Directory *d, struct work *w)
{
	if (w->n == 0) {
		work_free(d, w);
		return;
	}
	w->slot = DIRECTORY_NONE;
	list_unlink(&w->mine);
	d->slots[w->origin].n_works--;
}

/* What is needed */

static bool for_node(const struct work *w)
{
	return w->slot != DIRECTORY_HOME && w->slot < DIRECTORY_SLOTS;
}

/* Slots that must answer before the work can have a page with this entry. */
static uint64_t needs(const struct work *w, struct directory_entry e)
{
	uint64_t own = slot_bit(for_node(w) ? w->slot : DIRECTORY_HOME);

	if (w->slot == DIRECTORY_NONE)
		return 0;
	if (entry_owned(e))
		return slot_bit(e.owner) & ~own;
	return w->write ? e.sharers & ~own : 0;
}

static uint8_t message_for(const struct work *w, struct directory_entry e, unsigned int slot)
{
	if (e.owner == slot)
		return w->write ? PAGE_FETCH_M : PAGE_FETCH_S;
	return slot == DIRECTORY_HOME ? PAGE_FETCH_M : PAGE_INV;
}

static void need(struct work *w, struct item *item, uint64_t slots)
{
	w->n_open += (slots != 0) - (item->need != 0);
	item->need = slots;
}

/* Runs of the pages that this slot must answer for. */
static void ask_slot(Directory *d, struct work *w, unsigned int slot)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < w->n; i += MAX(n, 1u)) {
		uint64_t page = w->page + i;

		for (n = 0; i + n < w->n; n++)
			if (!(work_item(w, i + n)->need & slot_bit(slot)) ||
				!directory_reachable(d, slot, page + n))
				break;
		if (n > 0)
			directory_say(d, slot, message_for(w, entry_get(d, page), slot), page, n,
				PAGE_NOWHERE);
	}
}

static void ask_all(Directory *d, struct work *w, uint64_t slots)
{
	for (; slots; slots &= slots - 1)
		ask_slot(d, w, (unsigned int)__builtin_ctzll(slots));
}

static void put(struct list *list, struct work *w)
{
	list_unlink(&w->link);
	list_append(list, &w->link);
}

bool work_replan(Directory *d, uint64_t page, unsigned int slot)
{
	struct item *item = d->items[page];
	struct directory_entry e = entry_get(d, page);
	uint64_t now, before;
	struct work *w;

	if (!item)
		return false;
	w = item->work;
	before = item->need & ~slot_bit(slot);
	now = before | needs(w, e);
	if (now == item->need && !(now & slot_bit(slot)))
		return false;
	/* Nobody else becomes one who must answer. */
	assert((now & ~before & ~slot_bit(slot)) == 0);
	need(w, item, now);
	if (w->n_open == 0)
		put(&d->done, w);
	if (!(now & slot_bit(slot)) || !directory_reachable(d, slot, page))
		return false;
	directory_say(d, slot, message_for(w, e, slot), page, 1, PAGE_NOWHERE);
	return true;
}

/* The beginning */

static struct item *items_new(const struct work *w, unsigned int n)
{
	return n > 1 ? calloc(n - 1, sizeof(*w->more)) : NULL;
}

static void activate(Directory *d, struct work *w)
{
	unsigned int n;
	uint64_t slots;

	w->write = work_writes(d, w);
	n = work_run(d, w);
	w->more = items_new(w, n);
	w->n = (uint16_t)(w->more ? n : 1);
	w->n_open = 0;
	w->began = d->now;
	/* All entries are alike as far as this goes. */
	slots = needs(w, entry_get(d, w->page));
	for (unsigned int i = 0; i < w->n; i++) {
		struct item *item = work_item(w, i);

		*item = (struct item){.work = w};
		list_init(&item->queue);
		need(w, item, slots);
		d->items[w->page + i] = item;
	}
	list_append(w->n_open ? &d->active : &d->done, &w->link);
	ask_all(d, w, slots);
}

/* A node that asks for what it has been given, or while everything goes home. */
static bool pointless(const Directory *d, const struct work *w)
{
	bool has = entry_get(d, w->page).owner == w->slot;

	assert(!has || w->slot != DIRECTORY_HOME);
	return has || (d->recalling && for_node(w));
}

void work_start(Directory *d, struct work *w)
{
	if (d->items[w->page])
		list_append(&d->items[w->page]->queue, &w->link);
	else if (pointless(d, w))
		work_free(d, w);
	else
		activate(d, w);
}

/* The end */

bool directory_recover_run(Directory *d, uint64_t page, unsigned int n)
{
	if (d->ops->recover(d->userdata, page, n) < 0)
		return false;
	for (unsigned int i = 0; i < n; i++)
		entry_set(d, page + i, entry_get(d, page + i).sharers | slot_bit(DIRECTORY_HOME),
			DIRECTORY_NOBODY);
	directory_home_shares(d, page, n);
	d->ops->forget(d->userdata, page, n);
	return true;
}

static bool same_source(const Directory *d, uint64_t a, uint64_t b)
{
	return entry_get(d, a).owner == entry_get(d, b).owner;
}

/* For the home all content must be in the memory. */
static bool recover_all(Directory *d, const struct work *w)
{
	for (unsigned int i = 0, n; i < w->n; i += n) {
		uint64_t page = w->page + i;

		for (n = 1; i + n < w->n && same_source(d, page, page + n); n++)
			;
		if (entry_get(d, page).owner == DIRECTORY_SHADOW &&
			!directory_recover_run(d, page, n))
			return false;
	}
	return true;
}

/* How many pages can be given by one message: all that have the same as the first. */
static unsigned int prefix(const Directory *d, const struct work *w)
{
	struct directory_entry first = entry_get(d, w->page);
	unsigned int n = 1;

	for (; n < w->n; n++) {
		struct directory_entry e = entry_get(d, w->page + n);

		if (e.owner != first.owner || (w->write && e.sharers != first.sharers))
			break;
	}
	return n;
}

static void give_to_read(Directory *d, const struct work *w)
{
	unsigned int n = prefix(d, w);
	enum page_source source =
		entry_get(d, w->page).owner == DIRECTORY_NOBODY ? PAGE_MEMORY : PAGE_SHADOW;

	for (unsigned int i = 0; i < n; i++) {
		struct directory_entry e = entry_get(d, w->page + i);

		entry_set(d, w->page + i, e.sharers | slot_bit(w->slot), e.owner);
	}
	directory_note(d, w->page, n, w->slot);
	directory_say(d, w->slot, PAGE_DATA_S, w->page, n, source);
}

static void give_to_write(Directory *d, const struct work *w)
{
	unsigned int n = prefix(d, w);
	bool shares = entry_get(d, w->page).sharers & slot_bit(w->slot);

	for (unsigned int i = 0; i < n; i++)
		entry_set(d, w->page + i, 0, w->slot);
	directory_note(d, w->page, n, w->slot);
	if (shares)
		directory_say(d, w->slot, PAGE_GRANT_M, w->page, n, PAGE_NOWHERE);
	else
		directory_say(d, w->slot, PAGE_DATA_M, w->page, n, PAGE_SHADOW);
}

/* Whoever waited for its pages has his turn. */
static void retire(Directory *d, struct work *w)
{
	for (unsigned int i = 0; i < w->n; i++) {
		struct item *item = work_item(w, i);
		struct work *next;

		d->items[w->page + i] = NULL;
		while ((next = list_first(&item->queue, struct work, link)))
			put(&d->ready, next);
	}
	work_free(d, w);
}

void work_finish(Directory *d, struct work *w)
{
	if (!for_node(w) && w->slot != DIRECTORY_NONE && !recover_all(d, w)) {
		put(&d->stuck, w);
		d->retry = MIN(d->retry, d->now + DIRECTORY_RETRY);
		return;
	}
	if (w->slot < DIRECTORY_SLOTS) {
		if (w->write)
			give_to_write(d, w);
		else
			give_to_read(d, w);
	}
	retire(d, w);
}
