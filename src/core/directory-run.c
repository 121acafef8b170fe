/* SPDX-License-Identifier: Apache-2.0 */
#include "core/directory-private.h"

#include <assert.h>

/*
 * How much one transaction takes, by what has happened to the pages lately.
 *
 * Pages: those that have the same entry, so that the same is to be said about all of them, and are
 * idle. To write, none that another node had a moment ago: it surely wants it again.
 *
 * Rights: a page whose readers write it, one after the other (a lock, a counter, a word that goes
 * to and fro), is given to be written at once: one transfer instead of two. Now and then the next
 * one gets it only to read, so as to see whether that is still so.
 */

/* recent: who had the page last (slot + 1), its habit, and when, in units of 2^TICK ns. */
#define TICK	    20u
#define WHO	    0x3fu
#define HABIT_SHIFT 6u
#define HABIT	    (0xfu << HABIT_SHIFT)
#define WHEN_SHIFT  10u
#define WHEN	    (UINT32_MAX >> WHEN_SHIFT)

/* Reads that turned out to be for a write: from here on they are taken for that, until … */
#define HABIT_TAKEN 2u
#define HABIT_PROBE 15u

static_assert(DIRECTORY_SLOTS < WHO, "a slot fits");

static unsigned int habit_of(const Directory *d, uint64_t page)
{
	return (d->recent[page] & HABIT) >> HABIT_SHIFT;
}

static void habit_set(Directory *d, uint64_t page, unsigned int habit)
{
	d->recent[page] = (d->recent[page] & ~HABIT) | habit << HABIT_SHIFT;
}

static unsigned int who(const Directory *d, uint64_t page)
{
	return d->recent[page] & WHO;
}

static uint32_t clock_of(uint64_t now)
{
	return (uint32_t)(now >> TICK) & WHEN;
}

void directory_note(Directory *d, uint64_t page, unsigned int n, unsigned int slot)
{
	for (unsigned int i = 0; i < n; i++)
		d->recent[page + i] =
			(d->recent[page + i] & HABIT) | (slot + 1) | clock_of(d->now) << WHEN_SHIFT;
}

/* To write */

static void learn(Directory *d, const struct work *w, struct directory_entry e)
{
	unsigned int habit = habit_of(d, w->page);

	if (entry_owned(e) || !(e.sharers & slot_bit(w->slot)))
		return;
	/* Had others read it since, they would have been in its way. */
	if (who(d, w->page) == w->slot + 1u)
		habit = MIN(habit + 1, HABIT_TAKEN);
	else
		habit = 0;
	habit_set(d, w->page, habit);
}

static bool foresee(Directory *d, const struct work *w, struct directory_entry e)
{
	unsigned int habit = habit_of(d, w->page);

	if (!entry_owned(e)) {
		habit_set(d, w->page, 0);
		return false;
	}
	if (habit < HABIT_TAKEN || w->wanted > 1 || !d->slots[w->slot].write)
		return false;
	habit_set(d, w->page, habit < HABIT_PROBE ? habit + 1 : HABIT_TAKEN - 1);
	return habit < HABIT_PROBE;
}

bool work_writes(Directory *d, const struct work *w)
{
	struct directory_entry e = entry_get(d, w->page);

	if (w->slot >= DIRECTORY_SLOTS)
		return w->write;
	if (!w->write)
		return foresee(d, w, e);
	learn(d, w, e);
	return true;
}

/* Pages */

static bool had_by_another(const Directory *d, uint64_t page, unsigned int slot)
{
	uint32_t age = (clock_of(d->now) - (d->recent[page] >> WHEN_SHIFT)) & WHEN;

	return who(d, page) && who(d, page) != slot + 1 && age < d->options.write_pause >> TICK;
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
