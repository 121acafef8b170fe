/* SPDX-License-Identifier: Apache-2.0 */
#include "core/directory-private.h"

#include <assert.h>
#include <stdlib.h>

/*
 * The directory's life, its slots, and what is told to it from outside.
 */

int directory_fill(Directory *d, unsigned int slot, unsigned int n)
{
	struct slot *s = &d->slots[slot];

	while (s->n_works < n) {
		struct work *w = calloc(1, sizeof(*w));

		if (!w)
			return -ENOMEM;
		w->origin = (uint8_t)slot;
		list_init(&w->mine);
		list_append(&s->works, &w->link);
		s->n_works++;
	}
	return 0;
}

static void slot_drain(struct slot *s)
{
	struct work *w;

	while ((w = list_first(&s->works, struct work, link))) {
		list_unlink(&w->link);
		free(w);
		s->n_works--;
	}
}

int directory_new(const struct directory_options *options, const struct directory_ops *ops,
	void *userdata, Directory **ret_directory)
{
	Directory *d = calloc(1, sizeof(*d));

	if (!d)
		return -ENOMEM;
	d->ops = ops;
	d->userdata = userdata;
	d->options = *options;
	d->retry = UINT64_MAX;
	list_init(&d->ready);
	list_init(&d->active);
	list_init(&d->done);
	list_init(&d->stuck);
	list_init(&d->late);
	for (unsigned int i = 0; i <= DIRECTORY_SLOTS; i++) {
		list_init(&d->slots[i].works);
		list_init(&d->slots[i].mine);
		list_init(&d->slots[i].waiting);
	}
	d->slots[DIRECTORY_HOME].used = d->slots[DIRECTORY_HOME].write = true;
	d->slots[DIRECTORY_HOME].link = SLOT_UP;
	d->items = calloc(options->n_pages, sizeof(struct item *));
	d->recent = calloc(options->n_pages, sizeof(*d->recent));
	if (!d->items || !d->recent || directory_fill(d, DIRECTORY_HOME, PAGE_REQUESTS_MAX) < 0 ||
		directory_fill(d, DIRECTORY_RECALL, DIRECTORY_RECALLS) < 0) {
		directory_free(d);
		return -ENOMEM;
	}
	*ret_directory = d;
	return 0;
}

static void free_works(struct list *works)
{
	struct work *w;

	while ((w = list_first(works, struct work, link))) {
		list_unlink(&w->link);
		for (unsigned int i = 0; i < w->n; i++)
			free_works(&work_item(w, i)->queue);
		free(w->more);
		free(w);
	}
}

void directory_free(Directory *d)
{
	if (!d)
		return;
	free_works(&d->active);
	free_works(&d->done);
	free_works(&d->stuck);
	free_works(&d->late);
	free_works(&d->ready);
	for (unsigned int i = 0; i <= DIRECTORY_SLOTS; i++) {
		free_works(&d->slots[i].waiting);
		slot_drain(&d->slots[i]);
	}
	free(d->recent);
	free(d->items);
	free(d);
}

struct directory_entry directory_entry(const Directory *d, uint64_t page)
{
	return entry_get(d, page);
}

/* What is said */

void directory_say(Directory *d, unsigned int slot, uint8_t type, uint64_t page, unsigned int n,
	enum page_source source)
{
	const struct page_message m = {.type = type,
		.flags = source == PAGE_NOWHERE ? 0 : PAGE_CONTENT,
		.n = (uint16_t)n,
		.page = page};

	d->ops->send(d->userdata, slot, &m, source);
}

void directory_home_shares(Directory *d, uint64_t page, unsigned int n)
{
	directory_say(d, DIRECTORY_HOME, PAGE_DATA_S, page, n, PAGE_NOWHERE);
}

bool directory_reachable(const Directory *d, unsigned int slot, uint64_t page)
{
	const struct slot *s = &d->slots[slot];

	return s->link == SLOT_UP || (s->link == SLOT_RESUMING && page < s->cursor);
}

/* What is heard */

static bool asked_already(const struct slot *s, uint64_t page)
{
	struct work *w;

	list_for_each (w, &s->mine, mine)
		if (w->page == page)
			return true;
	return false;
}

static int request(Directory *d, unsigned int slot, const struct page_message *m)
{
	struct slot *s = &d->slots[slot];
	struct work *w;

	if (m->flags || (m->type == PAGE_GETX && !s->write) || asked_already(s, m->page))
		return STATUS_BAD_REQUEST;
	if (list_empty(&s->works) && s->n_works >= PAGE_REQUESTS_MAX)
		return STATUS_BAD_REQUEST;
	w = work_new(d, slot, m);
	if (w)
		list_append(&d->ready, &w->link);
	else
		d->ops->give_up(d->userdata, slot, "there is no memory for its requests");
	return 0;
}

/* On a new link what the node has been asked for is answered between what it holds. */
static bool fits(const struct slot *s, const struct page_message *m)
{
	if (s->link == SLOT_UP)
		return m->type != PAGE_HOLDS;
	if (s->link == SLOT_DOWN)
		return false;
	return m->type == PAGE_HOLDS ||
	       ((m->type == PAGE_ACK || m->type == PAGE_BACK) && m->page + m->n <= s->cursor);
}

static int handle(Directory *d, unsigned int slot, const struct page_message *m)
{
	if (!fits(&d->slots[slot], m))
		return STATUS_BAD_REQUEST;
	switch (m->type) {
	case PAGE_GETS:
	case PAGE_GETX:
		return request(d, slot, m);
	case PAGE_ACK:
		return directory_ack(d, slot, m);
	case PAGE_BACK:
	case PAGE_PUT:
		return directory_back(d, slot, m);
	case PAGE_HOLDS:
		return directory_holds(d, slot, m);
	default:
		return STATUS_BAD_REQUEST;
	}
}

static bool in_range(const Directory *d, const struct page_message *m)
{
	return m->n > 0 && m->n <= PAGE_RUN_MAX && m->page < d->options.n_pages &&
	       m->n <= d->options.n_pages - m->page;
}

/* Operations */

static void enter(Directory *d, uint64_t now)
{
	assert(!d->running);
	d->running = true;
	d->now = now;
}

static bool hear_home(Directory *d)
{
	struct page_message m;
	int r;

	if (d->inbox_begin == d->inbox_end)
		return false;
	m = d->inbox[d->inbox_begin++ % DIRECTORY_INBOX];
	r = handle(d, DIRECTORY_HOME, &m);
	assert(r == 0);
	(void)r;
	return true;
}

static bool finish_one(Directory *d)
{
	struct work *w = list_first(&d->done, struct work, link);

	if (w)
		work_finish(d, w);
	return w;
}

static bool start_one(Directory *d)
{
	struct work *w = list_first(&d->ready, struct work, link);

	if (!w)
		return false;
	list_unlink(&w->link);
	if (w->slot != DIRECTORY_HOME && w->slot < DIRECTORY_SLOTS && d->ops->full &&
		d->ops->full(d->userdata, w->slot))
		list_append(&d->slots[w->slot].waiting, &w->link);
	else
		work_start(d, w);
	return true;
}

/* Until there is nothing more to do; what the home's pager says goes first, since it is bounded
 * only if it is heard. */
static void leave(Directory *d)
{
	while (hear_home(d) || finish_one(d) || start_one(d) || directory_recall_on(d))
		;
	d->running = false;
}

int directory_receive(
	Directory *d, unsigned int slot, const struct page_message *message, uint64_t now)
{
	int r;

	if (d->running) {
		assert(slot == DIRECTORY_HOME);
		assert(d->inbox_end - d->inbox_begin < DIRECTORY_INBOX);
		d->inbox[d->inbox_end++ % DIRECTORY_INBOX] = *message;
		return 0;
	}
	if (slot >= DIRECTORY_SLOTS || !d->slots[slot].used || !in_range(d, message))
		return STATUS_BAD_REQUEST;
	enter(d, now);
	r = handle(d, slot, message);
	leave(d);
	return r;
}

int directory_add(Directory *d, unsigned int slot, bool write)
{
	struct slot *s = &d->slots[slot];

	assert(slot != DIRECTORY_HOME && slot < DIRECTORY_SLOTS);
	if (!s->used && directory_fill(d, slot, PAGE_REQUESTS_MAX) < 0) {
		slot_drain(s);
		return -ENOMEM;
	}
	if (!s->used) {
		s->link = SLOT_DOWN;
		s->since = s->down = d->now;
	}
	s->used = true;
	s->write = write;
	s->given_up = false;
	return 0;
}

static void abandon_all(Directory *d, struct slot *s)
{
	struct work *w;

	while ((w = list_first(&s->mine, struct work, mine)))
		work_abandon(d, w);
}

static uint64_t count_owned(const Directory *d, unsigned int slot)
{
	uint64_t n = 0;

	for (uint64_t i = 0; i < d->options.n_pages; i++)
		n += entry_get(d, i).owner == slot;
	return n;
}

static void forget_slot(Directory *d, uint64_t page, unsigned int slot)
{
	struct directory_entry e = entry_get(d, page);

	if (e.owner == slot)
		entry_set(d, page, 0, DIRECTORY_SHADOW);
	else if (e.sharers & slot_bit(slot))
		entry_set(d, page, e.sharers & ~slot_bit(slot), e.owner);
	work_replan(d, page, slot);
}

void directory_remove(Directory *d, unsigned int slot, uint64_t now)
{
	struct slot *s = &d->slots[slot];
	uint64_t lost = count_owned(d, slot);

	assert(slot != DIRECTORY_HOME && slot < DIRECTORY_SLOTS);
	enter(d, now);
	s->used = false;
	s->link = SLOT_DOWN;
	abandon_all(d, s);
	slot_drain(s);
	if (lost > 0)
		d->ops->discarded(d->userdata, slot, lost);
	for (uint64_t i = 0; i < d->options.n_pages; i++)
		forget_slot(d, i, slot);
	leave(d);
}

static uint64_t needed(struct work *w)
{
	uint64_t slots = 0;

	for (unsigned int i = 0; i < w->n; i++)
		slots |= work_item(w, i)->need;
	return slots;
}

static bool is_needed(const struct list *works, unsigned int slot)
{
	struct work *w;

	list_for_each (w, works, link)
		if (needed(w) & slot_bit(slot))
			return true;
	return false;
}

static bool owes(const Directory *d, unsigned int slot)
{
	return is_needed(&d->active, slot) || is_needed(&d->late, slot);
}

static void note_link(Directory *d, unsigned int slot, bool up)
{
	struct slot *s = &d->slots[slot];

	if (!up)
		s->down = s->link == SLOT_DOWN ? s->down : d->now;
	else if (!owes(d, slot))
		s->since = d->now;
	else if (s->link == SLOT_DOWN)
		s->since += d->now - s->down;
}

void directory_link(Directory *d, unsigned int slot, bool up, uint64_t now)
{
	struct slot *s = &d->slots[slot];

	assert(slot != DIRECTORY_HOME && slot < DIRECTORY_SLOTS && s->used);
	enter(d, now);
	note_link(d, slot, up);
	s->link = up ? SLOT_RESUMING : SLOT_DOWN;
	s->cursor = 0;
	abandon_all(d, s);
	leave(d);
}

void directory_room(Directory *d, unsigned int slot, uint64_t now)
{
	struct slot *s = &d->slots[slot];
	struct work *w;

	enter(d, now);
	while ((w = list_first(&s->waiting, struct work, link))) {
		list_unlink(&w->link);
		list_append(&d->ready, &w->link);
	}
	leave(d);
}

/* Time */

uint64_t directory_next(const Directory *d)
{
	const struct work *oldest = list_first(&d->active, struct work, link);
	uint64_t next = list_empty(&d->stuck) ? UINT64_MAX : d->retry;

	if (oldest && d->options.patience < UINT64_MAX - oldest->began)
		next = MIN(next, oldest->began + d->options.patience);
	if (!list_empty(&d->late))
		next = MIN(next, d->late_at);
	return next;
}

/* In all a work waits so many times as long, also for who has no link now and then. */
#define LINKS_PATIENCE 3u

static bool passed(const Directory *d, uint64_t since)
{
	return d->now >= since && d->now - since >= d->options.patience;
}

static bool is_old(const Directory *d, const struct work *w)
{
	return d->now >= w->began && (d->now - w->began) / LINKS_PATIENCE >= d->options.patience;
}

static void lose_patience(Directory *d, struct work *w)
{
	uint64_t need = needed(w);

	for (unsigned int i = 1; i < DIRECTORY_SLOTS; i++) {
		struct slot *s = &d->slots[i];

		if (!(need & slot_bit(i)) || s->given_up)
			continue;
		if (!passed(d, s->link == SLOT_DOWN ? s->down : s->since) && !is_old(d, w))
			continue;
		s->given_up = true;
		d->ops->give_up(d->userdata, i, "it does not give a page back");
	}
}

#define LATE_PART 8u /* of patience: so often it is tried again */

static void try_late(Directory *d)
{
	struct work *w;

	if (list_empty(&d->late) || d->now < d->late_at)
		return;
	list_for_each (w, &d->late, link)
		lose_patience(d, w);
	d->late_at = d->now + d->options.patience / LATE_PART + 1;
}

static void try_oldest(Directory *d)
{
	struct work *w;

	while ((w = list_first(&d->active, struct work, link)) && passed(d, w->began)) {
		lose_patience(d, w);
		if (list_empty(&d->late))
			d->late_at = d->now + d->options.patience / LATE_PART + 1;
		list_unlink(&w->link);
		list_append(&d->late, &w->link);
	}
}

void directory_tick(Directory *d, uint64_t now)
{
	struct work *w;

	enter(d, now);
	while (now >= d->retry && (w = list_first(&d->stuck, struct work, link))) {
		list_unlink(&w->link);
		list_append(&d->done, &w->link);
	}
	if (now >= d->retry)
		d->retry = UINT64_MAX;
	try_late(d);
	try_oldest(d);
	leave(d);
}
