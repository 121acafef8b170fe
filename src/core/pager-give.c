/* SPDX-License-Identifier: Apache-2.0 */
#include "core/pager-private.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/*
 * Giving pages up: because the home asks for them, at once or after the hold time, or because
 * nobody here needs them any more.
 *
 * What was written here goes up once on a link until it is confirmed. A FETCH that finds it on its
 * way has crossed it, and is answered by it.
 */

/* Content */

static bool sent(const Pager *p, uint64_t page)
{
	return p->marks[page] & PAGER_SENT;
}

/* What was owed is answered, too. */
static void mark_sent(Pager *p, uint64_t page, unsigned int n, bool is)
{
	for (unsigned int i = 0; i < n; i++) {
		p->marks[page + i] &= PAGER_BUSY;
		if (is)
			p->marks[page + i] |= PAGER_SENT;
	}
}

/* Out of the memory and into a copy. Negative: no memory. */
static int put_aside(Pager *p, uint64_t page, unsigned int n)
{
	int r;

	if (state_of(p, page) == PAGER_M)
		p->ops->protect(p->userdata, page, n, p->groups);
	r = p->ops->set_aside(p->userdata, page, n);
	if (r < 0)
		return r;
	pager_set(p, page, n, PAGER_L);
	p->ops->drop(p->userdata, page, n);
	return 0;
}

static void send_content(Pager *p, uint8_t type, uint64_t page, unsigned int n)
{
	bool aside = state_of(p, page) == PAGER_L;
	uint8_t flags = PAGE_CONTENT;

	if (aside && type == PAGE_BACK)
		flags |= PAGE_GONE;
	mark_sent(p, page, n, true);
	p->counts.pages_out += n;
	pager_say(p, type, flags, page, n, aside);
}

/* FETCH of pages in one state. Negative: no memory. */
static int fetch(Pager *p, uint8_t type, uint64_t page, unsigned int n)
{
	enum pager_state state = state_of(p, page);
	int r;

	if (type == PAGE_FETCH_M && state != PAGER_L) {
		r = put_aside(p, page, n);
		if (r < 0)
			return r;
	} else if (state == PAGER_M) {
		p->ops->protect(p->userdata, page, n, p->groups);
		pager_set(p, page, n, PAGER_D);
	}
	send_content(p, PAGE_BACK, page, n);
	return 0;
}

/* How many pages from this one on can be fetched in the same way. */
static unsigned int alike(const Pager *p, uint64_t page, unsigned int n)
{
	unsigned int k = 1;

	n = pager_same(p, page, n);
	while (k < n && sent(p, page + k) == sent(p, page))
		k++;
	return k;
}

/* Messages of the home */

static bool can_give(const Pager *p, uint8_t type, uint64_t page)
{
	switch (state_of(p, page)) {
	case PAGER_I:
		return type == PAGE_INV;
	case PAGER_S:
		/* The home's pager shares what it has given to nobody. */
		return type == PAGE_INV || (type == PAGE_FETCH_M && p->options.home);
	default:
		return type != PAGE_INV;
	}
}

static bool give_valid(const Pager *p, const struct page_message *m)
{
	for (unsigned int i = 0; i < m->n; i++)
		if (!can_give(p, m->type, m->page + i))
			return false;
	return m->flags == 0;
}

static void invalidate(Pager *p, const struct page_message *m)
{
	for (unsigned int i = 0, n; i < m->n; i += n) {
		uint64_t page = m->page + i;

		n = pager_same(p, page, m->n - i);
		if (state_of(p, page) != PAGER_S)
			continue;
		p->ops->drop(p->userdata, page, n);
		pager_set(p, page, n, PAGER_I);
		p->counts.invalidated += n;
	}
	pager_say(p, PAGE_ACK, 0, m->page, m->n, false);
}

static void owe(Pager *p, uint8_t type, uint64_t page, unsigned int n, uint64_t now)
{
	for (unsigned int i = 0; i < n; i++)
		p->marks[page + i] |= type == PAGE_FETCH_S ? PAGER_OWED_S : PAGER_OWED_M;
	p->owes = true;
	pager_retry(p, now);
}

static void give(Pager *p, const struct page_message *m, uint64_t now)
{
	if (m->type == PAGE_INV) {
		invalidate(p, m);
		return;
	}
	for (unsigned int i = 0, n; i < m->n; i += n) {
		n = alike(p, m->page + i, m->n - i);
		if (!sent(p, m->page + i) && fetch(p, m->type, m->page + i, n) < 0)
			owe(p, m->type, m->page + i, n, now);
	}
}

static bool overlap(const struct page_message *a, const struct page_message *b)
{
	return a->page < b->page + b->n && b->page < a->page + a->n;
}

static bool is_deferred(const Pager *p, const struct page_message *m)
{
	for (size_t i = 0; i < p->n_deferred; i++)
		if (overlap(&p->deferred[i].message, m))
			return true;
	return false;
}

static void give_or_defer(Pager *p, const struct page_message *m, uint64_t now)
{
	uint64_t until = pager_held_until(p, m->page, m->n, now);

	if (!pager_claimed(p, m->page, m->n) && !(until && pager_has_room(p))) {
		give(p, m, now);
		return;
	}
	assert(p->n_deferred < p->deferred_size);
	p->deferred[p->n_deferred++] = (struct deferred){.message = *m, .due = until};
	p->counts.holds++;
}

int pager_receive_give(Pager *p, const struct page_message *m, uint64_t now)
{
	/* The home asks once, and again only on a new link. */
	if (!give_valid(p, m) || is_deferred(p, m))
		return STATUS_BAD_REQUEST;
	if (m->type == PAGE_INV) {
		give_or_defer(p, m, now);
		return 0;
	}
	/* What has been answered by a PUT is not kept: it must not meet the page when that is back.
	 */
	for (unsigned int i = 0, n; i < m->n; i += n) {
		struct page_message part = *m;

		part.page = m->page + i;
		n = alike(p, part.page, m->n - i);
		part.n = (uint16_t)n;
		if (!sent(p, part.page))
			give_or_defer(p, &part, now);
	}
	return 0;
}

static bool ripe(const Pager *p, const struct deferred *d, uint64_t now)
{
	return d->due <= now && !pager_claimed(p, d->message.page, d->message.n);
}

static bool take_ripe(Pager *p, uint64_t now, struct page_message *ret_message)
{
	for (size_t i = 0; i < p->n_deferred; i++) {
		if (!ripe(p, &p->deferred[i], now))
			continue;
		*ret_message = p->deferred[i].message;
		p->n_deferred--;
		memmove(p->deferred + i, p->deferred + i + 1,
			(p->n_deferred - i) * sizeof(*p->deferred));
		return true;
	}
	return false;
}

void pager_give_deferred(Pager *p, uint64_t now)
{
	struct page_message m;

	/* A home that says what does not fit meanwhile waits for nothing. */
	while (take_ripe(p, now, &m))
		if (give_valid(p, &m))
			give(p, &m, now);
}

void pager_give_owed(Pager *p, uint64_t now)
{
	struct page_message m = {.n = 1};

	if (!p->owes)
		return;
	p->owes = false;
	for (m.page = 0; m.page < p->options.n_pages; m.page++) {
		uint8_t *mark = &p->marks[m.page], owed = *mark & (PAGER_OWED_S | PAGER_OWED_M);

		if (owed && pager_claimed(p, m.page, 1)) {
			p->owes = true;
			pager_retry(p, now);
			continue;
		}
		m.type = owed & PAGER_OWED_M ? PAGE_FETCH_M : PAGE_FETCH_S;
		*mark &= (uint8_t) ~(PAGER_OWED_S | PAGER_OWED_M);
		if (owed && give_valid(p, &m))
			give(p, &m, now);
	}
}

uint64_t pager_deferred_next(const Pager *p)
{
	uint64_t next = UINT64_MAX;

	for (size_t i = 0; i < p->n_deferred; i++)
		if (!pager_claimed(p, p->deferred[i].message.page, p->deferred[i].message.n))
			next = MIN(next, p->deferred[i].due);
	return next;
}

static bool kept_valid(const Pager *p, const struct page_message *m)
{
	for (unsigned int i = 0; i < m->n; i++) {
		enum pager_state state = state_of(p, m->page + i);

		if (state != PAGER_D && state != PAGER_L)
			return false;
	}
	return m->flags == 0;
}

int pager_receive_kept(Pager *p, const struct page_message *m, uint64_t now)
{
	if (!kept_valid(p, m))
		return STATUS_BAD_REQUEST;
	mark_sent(p, m->page, m->n, false);
	for (unsigned int i = 0, n; i < m->n; i += n) {
		uint64_t page = m->page + i;
		bool aside = state_of(p, page) == PAGER_L;

		n = pager_same(p, page, m->n - i);
		pager_set(p, page, n, aside ? PAGER_I : PAGER_S);
		if (aside && !p->options.home)
			p->ops->forget_aside(p->userdata, page, n);
	}
	p->cursor = MIN(p->cursor, m->page);
	pager_settle_run(p, m->page, m->n, false, now);
	return 0;
}

/* A release */

bool pager_gives_back(const Pager *p)
{
	return pager_leaving(p) && p->linked && !p->holding && !p->released &&
	       p->retry == UINT64_MAX && p->cursor < p->options.n_pages && p->n_held > p->n_aside &&
	       p->n_aside < PAGER_ASIDE_MAX;
}

static unsigned int run_to_give(const Pager *p, uint64_t page)
{
	uint64_t most = MIN(p->options.n_pages - page, (uint64_t)PAGE_RUN_MAX);
	unsigned int n = 1;

	most = pager_same(p, page, (unsigned int)most);
	while (n < most && p->marks[page + n] == p->marks[page])
		n++;
	return n;
}

/* One run; what has a request without answer, waits for KEPT, or is about to go because the home
 * has asked for it, has its turn then. */
static void give_run(Pager *p, uint64_t page, unsigned int n, uint64_t now)
{
	const struct page_message run = {.page = page, .n = (uint16_t)n};

	if (p->marks[page] & PAGER_BUSY)
		return;
	if (is_deferred(p, &run)) {
		for (unsigned int i = 0; n > 1 && i < n; i++)
			give_run(p, page + i, 1, now);
		return;
	}
	if (state_of(p, page) == PAGER_S) {
		p->ops->drop(p->userdata, page, n);
		pager_set(p, page, n, PAGER_I);
		pager_say(p, PAGE_PUT, 0, page, n, false);
	} else if (state_of(p, page) == PAGER_M) {
		if (put_aside(p, page, n) == 0) {
			send_content(p, PAGE_PUT, page, n);
			return;
		}
		p->cursor = MIN(p->cursor, page);
		pager_retry(p, now);
	}
}

void pager_give_back(Pager *p, uint64_t now)
{
	unsigned int steps = 64, n;

	while (pager_gives_back(p) && steps-- > 0) {
		uint64_t page = p->cursor;

		n = run_to_give(p, page);
		p->cursor += n;
		give_run(p, page, n, now);
	}
	/* A grant may have been lost with the former link. */
	if (p->release && !p->released && p->n_held == 0 && p->n_asked == 0 && p->compared) {
		p->released = true;
		p->ops->released(p->userdata);
	}
}

/* A new link */

static uint8_t holds_flag(enum pager_state state)
{
	switch (state) {
	case PAGER_S:
		return PAGE_HOLDS_S;
	case PAGER_M:
		return PAGE_HOLDS_M;
	case PAGER_D:
		return PAGE_HOLDS_D;
	default:
		return PAGE_HOLDS_L;
	}
}

/* The runs from the first page on that has not been told. */
static bool say_run(Pager *p)
{
	uint64_t page = p->holds;
	unsigned int n = pager_same(
		p, page, (unsigned int)MIN(p->options.n_pages - page, (uint64_t)PAGE_RUN_MAX));

	p->holds += n;
	if (state_of(p, page) == PAGER_I)
		return false;
	pager_say(p, PAGE_HOLDS, holds_flag(state_of(p, page)), page, n, false);
	return true;
}

void pager_say_holds(Pager *p, uint64_t now)
{
	unsigned int n_said = 0;

	while (p->holding && p->holds < p->options.n_pages && n_said < PAGER_HOLDS) {
		if (p->ops->full && p->ops->full(p->userdata)) {
			pager_retry(p, now);
			return;
		}
		n_said += say_run(p);
	}
	if (!p->holding || p->holds < p->options.n_pages)
		return;
	p->holding = false;
	pager_say(p, PAGE_HOLDS, PAGE_HOLDS_END, 0, 1, false);
}
