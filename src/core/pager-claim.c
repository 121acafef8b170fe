/* SPDX-License-Identifier: Apache-2.0 */
#include "core/pager-private.h"

#include <assert.h>
#include <stdlib.h>

/*
 * What makes INV and FETCH wait: claims of the home's data thread, and the hold time, in which
 * whoever waited for a page gets on.
 */

static bool overlaps(const struct claim *c, uint64_t page, unsigned int n)
{
	return c->n > 0 && c->page < page + n && page < c->page + c->n;
}

bool pager_claimed(const Pager *p, uint64_t page, unsigned int n)
{
	for (unsigned int i = 0; p->n_claimed > 0 && i < PAGER_CLAIMS; i++)
		if (overlaps(&p->claims[i], page, n))
			return true;
	return false;
}

/* The hold time */

void pager_hold(Pager *p, uint64_t page, uint64_t now)
{
	unsigned int i = p->n_arrivals++ % PAGER_ARRIVALS;

	p->arrivals[i].page = page;
	p->arrivals[i].until = now + p->options.hold;
}

uint64_t pager_held_until(const Pager *p, uint64_t page, unsigned int n, uint64_t now)
{
	uint64_t until = 0;

	for (unsigned int i = 0; i < MIN(p->n_arrivals, PAGER_ARRIVALS); i++)
		if (p->arrivals[i].until > now && p->arrivals[i].page - page < n)
			until = MAX(until, p->arrivals[i].until);
	return until;
}

void pager_set_hold(Pager *p, uint64_t hold)
{
	p->options.hold = hold;
}

/* Claims */

/* The first pages that may be touched. */
static unsigned int ready(const Pager *p, uint64_t page, unsigned int n, bool write)
{
	unsigned int k = 0;

	while (k < n) {
		enum pager_state state = state_of(p, page + k);

		if (state == PAGER_I || state == PAGER_L || (write && state != PAGER_M))
			break;
		k++;
	}
	return k;
}

bool pager_has_room(const Pager *p)
{
	return p->n_deferred + p->n_claimed < p->deferred_size;
}

/* Everything that can wait for these pages has room. */
static bool reserve(Pager *p, unsigned int n)
{
	size_t size = p->n_deferred + p->n_claimed + n;
	void *grown;

	if (size <= p->deferred_size)
		return true;
	grown = reallocarray(p->deferred, size, sizeof(*p->deferred));
	if (!grown)
		return false;
	p->deferred = grown;
	p->deferred_size = size;
	return true;
}

/* What has waited for other claims long enough goes first. */
static bool overdue(const Pager *p, uint64_t page, unsigned int n, uint64_t now)
{
	for (size_t i = 0; i < p->n_deferred; i++) {
		const struct deferred *d = &p->deferred[i];

		if (d->due <= now && d->message.page < page + n &&
			page < d->message.page + d->message.n)
			return true;
	}
	return false;
}

static struct claim *free_claim(Pager *p)
{
	for (unsigned int i = 0; i < PAGER_CLAIMS; i++)
		if (p->claims[i].n == 0)
			return &p->claims[i];
	return NULL;
}

static unsigned int claim(Pager *p, uint64_t page, unsigned int n, uint64_t now)
{
	struct claim *c = free_claim(p);

	if (!c || overdue(p, page, n, now)) {
		p->claim_waits = true;
		return 0;
	}
	if (!reserve(p, n)) {
		p->claim_waits = true;
		pager_retry(p, now);
		return 0;
	}
	*c = (struct claim){.page = page, .n = n};
	p->n_claimed += n;
	return n;
}

static void want(Pager *p, uint64_t page, unsigned int n, bool write, uint64_t now)
{
	struct spot *spot = pager_spot(p, page);

	if (!spot) {
		p->claim_waits = true;
		pager_retry(p, now);
		return;
	}
	spot->claimer = MAX(spot->claimer, write ? PAGER_CLAIM_WRITE : PAGER_CLAIM_READ);
	if (!spot->request)
		spot->n = MAX(spot->n, (uint16_t)n);
	pager_settle(p, spot, false, now);
	pager_pump(p, now);
}

unsigned int pager_claim(Pager *p, uint64_t page, unsigned int n, bool write, uint64_t now)
{
	unsigned int k;

	assert(p->options.home && n > 0 && page < p->options.n_pages);
	n = (unsigned int)MIN(MIN(n, PAGE_RUN_MAX), p->options.n_pages - page);
	k = ready(p, page, n, write);
	if (k == 0) {
		want(p, page, n, write, now);
		k = ready(p, page, n, write);
	}
	return k ? claim(p, page, k, now) : 0;
}

void pager_unclaim(Pager *p, uint64_t page, unsigned int n, uint64_t now)
{
	struct claim *c = p->claims, *end = p->claims + PAGER_CLAIMS;

	while (c < end && (c->page != page || c->n != n))
		c++;
	assert(c < end);
	c->n = 0;
	p->n_claimed -= n;
	pager_give_deferred(p, now);
	pager_pump(p, now);
	if (p->claim_waits) {
		p->claim_waits = false;
		p->ops->claim_ready(p->userdata);
	}
}
