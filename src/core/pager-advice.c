/* SPDX-License-Identifier: Apache-2.0 */
#include "core/pager-private.h"

#include <string.h>

/*
 * How many pages a fault asks for: more and more as long as faults follow each other, or as the
 * program has said.
 */

static enum pager_advice advice_of(const Pager *p, uint64_t page)
{
	for (unsigned int i = p->n_advices; i-- > 0;)
		if (page - p->advices[i].page < p->advices[i].n)
			return p->advices[i].advice;
	return PAGER_NORMAL;
}

/* The last ones count; of too many the oldest is forgotten. */
void pager_advise(Pager *p, uint64_t page, uint64_t n, enum pager_advice advice)
{
	unsigned int k = 0;

	for (unsigned int i = 0; i < p->n_advices; i++) {
		const struct advice *a = &p->advices[i];

		if (a->page >= page && a->page - page < n && a->n <= n - (a->page - page))
			continue;
		p->advices[k++] = *a;
	}
	if (k == PAGER_ADVICES)
		memmove(p->advices, p->advices + 1, --k * sizeof(*p->advices));
	p->advices[k++] = (struct advice){.page = page, .n = n, .advice = advice};
	p->n_advices = k;
}

/* Streams */

static struct stream *find(Pager *p, uint64_t page, bool write)
{
	for (unsigned int i = 0; i < PAGER_STREAMS; i++) {
		struct stream *s = &p->streams[i];

		if (s->used && s->write == write && page > s->begin && page <= s->end)
			return s;
	}
	return NULL;
}

static struct stream *oldest(Pager *p)
{
	struct stream *s = p->streams;

	for (unsigned int i = 1; i < PAGER_STREAMS; i++)
		if (p->streams[i].used < s->used)
			s = &p->streams[i];
	return s;
}

unsigned int pager_window(Pager *p, uint64_t page, bool write)
{
	const unsigned int most = write ? PAGER_WRITE_WINDOW : PAGER_READ_WINDOW;
	enum pager_advice advice = advice_of(p, page);
	struct stream *s;

	if (advice == PAGER_RANDOM)
		return 1;
	s = find(p, page, write);
	if (!s) {
		s = oldest(p);
		*s = (struct stream){.write = write, .run = 1};
	} else if (page == s->end) {
		s->run = MIN(2 * s->run, most);
	}
	if (advice == PAGER_SEQUENTIAL)
		s->run = most;
	s->used = ++p->n_streams;
	s->begin = page;
	s->end = page + s->run;
	return s->run;
}

/* Ahead */

void pager_will_need(Pager *p, uint64_t page, uint64_t n, uint64_t now)
{
	if (p->lost || page >= p->options.n_pages)
		return;
	p->need_begin = page;
	p->need_end = page + MIN(n, p->options.n_pages - page);
	pager_pump(p, now);
}

/* A request for pages from this one on that are not here; where the next one may begin. */
static uint64_t ask_ahead(Pager *p, uint64_t page, uint64_t end, uint8_t type)
{
	unsigned int most = type == PAGE_GETX ? PAGER_WRITE_RUN : PAGE_RUN_MAX, n = 1;
	struct spot *spot = pager_spot(p, page);

	if (!spot)
		return end;
	while (n < most && page + n < end && state_of(p, page + n) == PAGER_I)
		n++;
	spot->ahead = type;
	spot->n = (uint16_t)n;
	p->n_ahead++;
	pager_settle(p, spot, false, 0);
	return page + n;
}

static bool may_ask_ahead(const Pager *p, uint64_t page)
{
	return state_of(p, page) == PAGER_I && !(p->marks[page] & PAGER_BUSY) && !p->spots[page];
}

void pager_ahead(Pager *p, uint64_t begin, uint64_t end, bool write)
{
	while (begin < end)
		if (may_ask_ahead(p, begin))
			begin = ask_ahead(p, begin, end, write ? PAGE_GETX : PAGE_GETS);
		else
			begin++;
}

void pager_look_ahead(Pager *p)
{
	if (pager_leaving(p))
		p->need_begin = p->need_end;
	while (p->need_begin < p->need_end && p->n_ahead < PAGER_AHEAD && p->linked) {
		uint64_t page = p->need_begin++;

		if (may_ask_ahead(p, page))
			p->need_begin = ask_ahead(p, page, p->need_end, PAGE_GETS);
	}
}
