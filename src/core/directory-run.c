/* SPDX-License-Identifier: Apache-2.0 */
#include "core/directory-private.h"

/*
 * How many pages one transaction takes: those that have the same entry, so that the same is to be
 * said about all of them, and are idle. To write, none that another node had a moment ago: it
 * surely wants it again.
 */

#define TICK 20u /* recent: who (slot + 1) in 8 bits, when in units of 2^TICK ns */

static uint32_t clock_of(uint64_t now)
{
	return (uint32_t)(now >> TICK) & 0xffffff;
}

void directory_note(Directory *d, uint64_t page, unsigned int n, unsigned int slot)
{
	for (unsigned int i = 0; i < n; i++)
		d->recent[page + i] = (slot + 1) | clock_of(d->now) << 8;
}

static bool had_by_another(const Directory *d, uint64_t page, unsigned int slot)
{
	uint32_t recent = d->recent[page], who = recent & 0xff;
	uint32_t age = (clock_of(d->now) - (recent >> 8)) & 0xffffff;

	return who && who != slot + 1 && age < d->options.write_pause >> TICK;
}

static bool joins(const Directory *d, const struct work *w, uint64_t page)
{
	struct directory_entry first = entry_get(d, w->page), e = entry_get(d, page);

	if (d->items[page] || e.owner != first.owner)
		return false;
	if (w->write)
		return e.sharers == first.sharers &&
		       (w->slot >= DIRECTORY_SLOTS || !had_by_another(d, page, w->slot));
	return !(e.sharers & slot_bit(w->slot));
}

unsigned int work_run(const Directory *d, const struct work *w)
{
	uint64_t most = MIN((uint64_t)w->wanted, d->options.n_pages - w->page);
	unsigned int n = 1;

	while (n < most && joins(d, w, w->page + n))
		n++;
	return n;
}
