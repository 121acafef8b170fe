/* SPDX-License-Identifier: Apache-2.0 */
#include "core/directory-private.h"

/*
 * A recall takes every page home, a few runs at a time.
 */

static bool is_home(const Directory *d, uint64_t page)
{
	struct directory_entry e = entry_get(d, page);

	return !d->items[page] &&
	       (e.owner == DIRECTORY_HOME ||
		       (e.owner == DIRECTORY_NOBODY && e.sharers == slot_bit(DIRECTORY_HOME)));
}

static void begin(Directory *d)
{
	const struct page_message m = {
		.type = PAGE_GETX, .n = PAGE_RUN_MAX, .page = d->recall_cursor};
	struct work *w = work_new(d, DIRECTORY_RECALL, &m);

	work_start(d, w);
	d->recall_cursor += MAX(w->n, 1);
}

bool directory_recall_on(Directory *d)
{
	const struct slot *s = &d->slots[DIRECTORY_RECALL];

	if (!d->recalling || d->recalled)
		return false;
	while (d->recall_cursor < d->options.n_pages && is_home(d, d->recall_cursor))
		d->recall_cursor++;
	if (d->recall_cursor < d->options.n_pages) {
		if (list_empty(&s->works))
			return false;
		begin(d);
		return true;
	}
	if (!list_empty(&s->mine))
		return false;
	d->recalled = true;
	d->ops->recalled(d->userdata);
	return false;
}

void directory_recall(Directory *d, uint64_t now)
{
	d->recalling = true;
	directory_tick(d, now);
}
