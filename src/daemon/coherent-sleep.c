/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/coherent-sleep.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/clock.h"
#include "daemon/log.h"
#include "memory/sleepers.h"

/*
 * Asked for at once, a page would be taken from who is about to unlock and goes on working with it.
 * So it is left there for a moment, which grows when it comes in vain.
 */

#define PAUSE_MIN (100 * NSEC_PER_USEC)
#define PAUSE_MAX (2 * NSEC_PER_MSEC)
#define FORGET	  (20 * NSEC_PER_MSEC) /* after they were woken */
#define PAGES_MAX 256u		       /* of a part */
#define LOST_MAX  (64u << 10)	       /* pages that are looked at when a part is lost */

struct sleeping {
	struct list link;
	uint64_t page;
	struct sleepers at;
	uint64_t due, pause;
	bool asked;
	bool all;	/* at any word */
	uint64_t woken; /* then; 0: not yet */
	uint32_t row;	/* as long as they are not */
};

static uint64_t offset_of(uint64_t page)
{
	return page << PAGE_SIZE_SHIFT;
}

static void sleeping_free(CoherentPart *part, struct sleeping *s)
{
	coherent_row_remove_sleeping(part->coherent, s->row);
	list_unlink(&s->link);
	part->n_sleeping--;
	free(s);
}

/* Pages go */

static struct sleeping *find(const CoherentPart *part, uint64_t page)
{
	struct sleeping *s;

	list_for_each (s, &part->sleeping, link)
		if (s->page == page)
			return s;
	return NULL;
}

static struct sleeping *add(CoherentPart *part, uint64_t page)
{
	struct sleeping *s = part->n_sleeping < PAGES_MAX ? calloc(1, sizeof(*s)) : NULL;

	if (!s) {
		log_limited("processes sleep at locks in too many pages of a segment, or there is "
			    "no memory: who unlocks on another node may not wake them");
		return NULL;
	}
	s->page = page;
	s->pause = PAUSE_MIN;
	list_append(&part->sleeping, &s->link);
	part->n_sleeping++;
	return s;
}

static void note(CoherentPart *part, uint64_t page, const struct sleepers *at)
{
	struct sleeping *s = find(part, page);

	if (!s && !at->n)
		return;
	if (!s)
		s = add(part, page);
	else if (s->woken)
		s->pause = MIN(2 * s->pause, PAUSE_MAX);
	if (!s)
		return;
	/* those that were woken and have gone on are not looked for any more */
	if (s->woken)
		s->at.n = 0;
	sleepers_add(&s->at, at);
	if (!s->at.n && !s->all) {
		sleeping_free(part, s);
		return;
	}
	if (!s->row)
		(void)coherent_row_add_sleeping(part, s, page, &s->row);
	s->woken = 0;
	s->asked = false;
	s->due = part->coherent->now + s->pause;
}

void coherent_sleep_leave(CoherentPart *part, uint64_t page, unsigned int n)
{
	uint64_t content[PAGE_BYTES / 8];
	struct sleepers at;

	if (!part->sleeps || part->over || list_empty(&part->mappers))
		return;
	for (uint64_t end = page + n; page < end; page++) {
		if (page_store_read(&part->store, offset_of(page), content, sizeof(content)) < 0)
			continue;
		sleepers_find(content, &at);
		note(part, page, &at);
	}
}

/* And come back */

static bool is_here(const CoherentPart *part, uint64_t page)
{
	enum pager_state state = pager_state(part->pager, page);
	off_t at = (off_t)(part->store.offset + offset_of(page));

	/* a process may have punched it */
	return state != PAGER_I && state != PAGER_L &&
	       lseek(part->store.memory, at, SEEK_DATA) == at;
}

static void wake(const CoherentPart *part, struct sleeping *s)
{
	uint64_t offset = part->store.offset + offset_of(s->page);
	int r = s->all ? sleepers_wake_all(part->store.memory, offset)
		       : sleepers_wake(part->store.memory, offset, &s->at);

	if (r < 0)
		log_limited("processes that sleep at a lock cannot be woken: %s", strerror(-r));
	s->woken = part->coherent->now;
	s->all = false;
	coherent_row_remove_sleeping(part->coherent, s->row);
	s->row = 0;
}

static void ask(CoherentPart *part, struct sleeping *s)
{
	unsigned int group = 0;

	while (group < PAGER_GROUPS && !part->n_mappers[group])
		group++;
	s->asked = group < PAGER_GROUPS;
	if (s->asked)
		pager_fault(part->pager, group, s->page, false, part->coherent->now);
}

static void settle_one(CoherentPart *part, struct sleeping *s)
{
	uint64_t now = part->coherent->now;

	if (s->woken) {
		if (now >= s->woken + FORGET)
			sleeping_free(part, s);
	} else if (is_here(part, s->page)) {
		wake(part, s);
	} else if (now >= s->due && !s->asked) {
		ask(part, s);
	}
}

void coherent_sleep_settle(CoherentPart *part)
{
	struct sleeping *s, *tmp;

	if (!part->n_sleeping)
		return;
	/* not yet: after a restart */
	if (!part->pager)
		return;
	if (part->over || list_empty(&part->mappers)) {
		coherent_sleep_end(part, false);
		return;
	}
	list_for_each_safe (s, tmp, &part->sleeping, link)
		settle_one(part, s);
}

uint64_t coherent_sleep_next(const CoherentPart *part)
{
	uint64_t next = UINT64_MAX;
	const struct sleeping *s;

	list_for_each (s, &part->sleeping, link)
		if (s->woken)
			next = MIN(next, s->woken + FORGET);
		else if (!s->asked)
			next = MIN(next, s->due);
	return next;
}

/* The end */

void coherent_sleep_end(CoherentPart *part, bool wake_them)
{
	struct sleeping *s, *tmp;

	list_for_each_safe (s, tmp, &part->sleeping, link) {
		if (wake_them && !s->woken)
			wake(part, s);
		sleeping_free(part, s);
	}
}

int coherent_sleep_restore(CoherentPart *part, uint64_t page, uint32_t row, void **ret_sleeping)
{
	struct sleeping *s;

	if (!part->sleeps || part->over || page >= part->store.size >> PAGE_SIZE_SHIFT)
		return -EBADMSG;
	s = find(part, page) ? NULL : add(part, page);
	if (!s)
		return -EBADMSG;
	s->all = true;
	s->row = row;
	*ret_sleeping = s;
	return 0;
}

static void look_at_present(void *userdata, uint64_t offset, uint64_t n)
{
	CoherentPart *part = userdata;
	uint64_t pages = MIN(n >> PAGE_SIZE_SHIFT, (uint64_t)LOST_MAX);

	for (uint64_t i = 0; i < pages; i += PAGE_RUN_MAX)
		coherent_sleep_leave(part, (offset >> PAGE_SIZE_SHIFT) + i,
			(unsigned int)MIN(pages - i, (uint64_t)PAGE_RUN_MAX));
}

void coherent_sleep_lose(CoherentPart *part)
{
	if (part->sleeps && !part->over)
		(void)page_store_present(&part->store, look_at_present, part);
}

/* What they sleep at is there for a moment, where nobody can see it if the kernel can poison. */
void coherent_sleep_lost(CoherentPart *part)
{
	struct sleeping *s, *tmp;
	CoherentMapper *mapper;

	list_for_each_safe (s, tmp, &part->sleeping, link) {
		if (part->loss == WIRE_SHM_LOSS_SIGBUS && mapper_can_poison(-1))
			list_for_each (mapper, &part->mappers, of_part)
				mapper_poison(&mapper->m, offset_of(s->page));
		if (page_store_reserve(&part->store, offset_of(s->page), PAGE_BYTES) == 0) {
			wake(part, s);
			if (part->loss)
				(void)page_store_punch(
					&part->store, offset_of(s->page), PAGE_BYTES);
		}
		sleeping_free(part, s);
	}
}
