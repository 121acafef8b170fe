/* SPDX-License-Identifier: Apache-2.0 */
#include "core/pager-private.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/*
 * The pager's life, its table, and what is told to it from outside. Asking for pages is in
 * pager-ask.c, giving them up in pager-give.c.
 */

int pager_new(const struct pager_options *options, const struct pager_ops *ops, void *userdata,
	Pager **ret_pager)
{
	Pager *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	p->ops = ops;
	p->userdata = userdata;
	p->options = *options;
	p->linked = options->home;
	p->retry = UINT64_MAX;
	list_init(&p->to_ask);
	list_init(&p->asked);
	list_init(&p->idle);
	p->marks = calloc(options->n_pages, sizeof(*p->marks));
	p->spots = calloc(options->n_pages, sizeof(*p->spots));
	p->deferred_size = PAGER_DEFERRED;
	p->deferred = calloc(p->deferred_size, sizeof(*p->deferred));
	if (!p->marks || !p->spots || !p->deferred) {
		pager_free(p);
		return -ENOMEM;
	}
	for (uint64_t i = 0; i < options->n_pages; i++) {
		p->n_held += state_of(p, i) != PAGER_I;
		p->n_aside += state_of(p, i) == PAGER_L;
	}
	*ret_pager = p;
	return 0;
}

void pager_free(Pager *p)
{
	if (!p)
		return;
	pager_forget_spots(p);
	free(p->deferred);
	free(p->spots);
	free(p->marks);
	free(p);
}

/* The table */

void pager_set(Pager *p, uint64_t page, unsigned int n, enum pager_state state)
{
	enum pager_state old = state_of(p, page);

	/* A run has one state before, too. */
	p->n_held += state != PAGER_I ? n : 0;
	p->n_held -= old != PAGER_I ? n : 0;
	p->n_aside += state == PAGER_L ? n : 0;
	p->n_aside -= old == PAGER_L ? n : 0;
	memset(p->options.table + page, state, n);
}

unsigned int pager_same(const Pager *p, uint64_t page, unsigned int n)
{
	unsigned int k = 1;

	while (k < n && state_of(p, page + k) == state_of(p, page))
		k++;
	return k;
}

enum pager_state pager_state(const Pager *p, uint64_t page)
{
	return state_of(p, page);
}

void pager_counts(const Pager *p, struct pager_counts *ret_counts)
{
	*ret_counts = p->counts;
}

void pager_say(Pager *p, uint8_t type, uint8_t flags, uint64_t page, unsigned int n, bool aside)
{
	const struct page_message m = {.type = type,
		.flags = flags,
		.n = (uint16_t)n,
		.map = p->options.map,
		.page = page};

	if (p->linked)
		p->ops->send(p->userdata, &m, aside);
}

void pager_retry(Pager *p, uint64_t now)
{
	p->retry = MIN(p->retry, now + PAGER_RETRY);
}

bool pager_leaving(const Pager *p)
{
	return p->release || (!p->groups && !p->options.home);
}

uint64_t pager_groups(const Pager *p)
{
	return p->release ? 0 : p->groups;
}

/* From the directory */

int pager_receive(Pager *p, const struct page_message *m, uint64_t now)
{
	int r;

	if (p->lost)
		return 0;
	if (m->n == 0 || m->n > PAGE_RUN_MAX || m->page >= p->options.n_pages ||
		m->n > p->options.n_pages - m->page)
		return STATUS_BAD_REQUEST;
	switch (m->type) {
	case PAGE_DATA_S:
	case PAGE_DATA_M:
	case PAGE_GRANT_M:
		r = pager_receive_data(p, m, now);
		break;
	case PAGE_INV:
	case PAGE_FETCH_S:
	case PAGE_FETCH_M:
		r = pager_receive_give(p, m, now);
		break;
	case PAGE_KEPT:
		r = pager_receive_kept(p, m, now);
		break;
	case PAGE_HELD:
		r = p->linked && !p->holding && !p->compared ? 0 : STATUS_BAD_REQUEST;
		p->compared = true;
		break;
	default:
		return STATUS_BAD_REQUEST;
	}
	if (r == 0) {
		pager_pump(p, now);
		pager_give_back(p, now);
	}
	return r;
}

/* From outside */

void pager_group_set(Pager *p, unsigned int group, bool used, uint64_t now)
{
	uint64_t bit = 1ull << group;

	assert(group < PAGER_GROUPS);
	if (used) {
		p->groups |= bit;
		return;
	}
	p->groups &= ~bit;
	p->cursor = 0;
	pager_settle_all(p, now);
	pager_pump(p, now);
	pager_give_back(p, now);
}

void pager_link(Pager *p, bool up, uint64_t now)
{
	assert(!p->options.home);
	if (p->lost)
		return;
	p->linked = up;
	p->compared = p->holding = false;
	p->n_deferred = 0;
	p->owes = false;
	p->cursor = 0;
	pager_ask_again(p);
	if (!up)
		return;
	memset(p->marks, 0, p->options.n_pages);
	p->holding = true;
	p->holds = 0;
	pager_say_holds(p, now);
	pager_pump(p, now);
	pager_give_back(p, now);
}

static void protect_written(Pager *p)
{
	for (uint64_t i = 0, n; i < p->options.n_pages; i += n) {
		n = pager_same(p, i, (unsigned int)MIN(p->options.n_pages - i, 1u << 20));
		if (state_of(p, i) == PAGER_M)
			p->ops->protect(p->userdata, i, (unsigned int)n, p->groups);
	}
}

void pager_freeze(Pager *p, bool on, uint64_t now)
{
	if (p->frozen == on || p->lost)
		return;
	p->frozen = on;
	if (on) {
		protect_written(p);
		return;
	}
	pager_settle_all(p, now);
	pager_pump(p, now);
}

void pager_release(Pager *p, uint64_t now)
{
	assert(!p->options.home);
	if (p->release || p->lost)
		return;
	p->release = true;
	p->cursor = 0;
	pager_settle_all(p, now);
	pager_give_back(p, now);
}

void pager_lose(Pager *p)
{
	p->lost = true;
	p->holding = false;
	p->n_deferred = 0;
	p->n_held = p->n_aside = 0;
	p->need_begin = p->need_end = 0;
	p->retry = UINT64_MAX;
	pager_forget_spots(p);
	memset(p->options.table, PAGER_I, p->options.n_pages);
	memset(p->marks, 0, p->options.n_pages);
}

/* Time */

uint64_t pager_next(const Pager *p)
{
	if (p->lost)
		return UINT64_MAX;
	if (pager_gives_back(p) || (p->holding && p->retry == UINT64_MAX))
		return 0;
	return MIN(p->retry, pager_deferred_next(p));
}

static void wake_starved(Pager *p)
{
	uint64_t begin = p->starved_begin, end = p->starved_end;

	p->starved_begin = p->starved_end = 0;
	for (uint64_t n; begin < end; begin += n) {
		n = MIN(end - begin, 1u << 20);
		p->ops->wake(p->userdata, begin, (unsigned int)n, p->groups);
	}
}

void pager_tick(Pager *p, uint64_t now)
{
	if (p->lost)
		return;
	if (now >= p->retry) {
		p->retry = UINT64_MAX;
		wake_starved(p);
		pager_give_owed(p, now);
		if (p->claim_waits) {
			p->claim_waits = false;
			p->ops->claim_ready(p->userdata);
		}
	}
	pager_say_holds(p, now);
	pager_give_deferred(p, now);
	pager_pump(p, now);
	pager_give_back(p, now);
}
