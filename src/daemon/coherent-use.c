/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/coherent-private.h"

/* Segments of this node that others map: what the data thread does with them, and what is shown. */

/* The data thread */

size_t coherent_claim(void *at, uint64_t off, size_t n, bool write)
{
	CoherentHome *home = at;
	Coherent *c = home->part.coherent;
	uint64_t page = off / PAGE_BYTES, within = off % PAGE_BYTES, last;
	unsigned int got;

	n = MIN(n, (size_t)PAGE_RUN_MAX * PAGE_BYTES - within);
	last = (off + n - 1) / PAGE_BYTES;
	coherent_lock(c);
	coherent_touch(&home->part);
	got = pager_claim(home->part.pager, page, (unsigned int)(last - page + 1), write, c->now);
	coherent_unlock(c);
	return got ? MIN(n, (size_t)got * PAGE_BYTES - within) : 0;
}

void coherent_unclaim(void *at, uint64_t off, size_t n)
{
	CoherentHome *home = at;
	Coherent *c = home->part.coherent;
	uint64_t page = off / PAGE_BYTES, last = (off + n - 1) / PAGE_BYTES;

	coherent_lock(c);
	coherent_touch(&home->part);
	pager_unclaim(home->part.pager, page, (unsigned int)(last - page + 1), c->now);
	coherent_unlock(c);
}

/* For people */

uint32_t coherent_home_owners(Manager *m, const EngineSegment *segment, uint64_t page,
	struct coherent_owner_run *ret_runs, uint32_t n)
{
	CoherentHome *home = manager_segment(segment)->home;
	uint64_t n_pages = coherent_n_pages(segment->size);
	uint32_t found = 0;

	if (!home)
		return 0;
	coherent_lock(m->coherent);
	for (; page < n_pages; page++) {
		struct directory_entry e = directory_entry(home->directory, page);
		struct coherent_owner_run run = {.page = page,
			.n = 1,
			.owner = e.owner == DIRECTORY_HOME   ? engine_node(m->engine)
				 : e.owner < DIRECTORY_SLOTS ? home->head->slots[e.owner].node
							     : 0,
			.n_sharers = (uint32_t)__builtin_popcountll(e.sharers)};
		struct coherent_owner_run *before = found ? &ret_runs[found - 1] : NULL;

		if (before && before->owner == run.owner && before->n_sharers == run.n_sharers)
			before->n++;
		else if (found < n)
			ret_runs[found++] = run;
		else
			break;
	}
	coherent_unlock(m->coherent);
	return found;
}

uint32_t coherent_home_count(Manager *m, const EngineSegment *segment)
{
	const CoherentHome *home = manager_segment(segment)->home;
	uint32_t n = 0;

	if (!home)
		return 0;
	for_each_slot (home, slot)
		n++;
	return n;
}

void coherent_segment_counts(Manager *m, const EngineSegment *segment, struct coherent_counts *ret)
{
	const CoherentHome *home = manager_segment(segment)->home;

	coherent_lock(m->coherent);
	coherent_part_counts(&home->part, ret);
	coherent_unlock(m->coherent);
}
