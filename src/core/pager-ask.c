/* SPDX-License-Identifier: Apache-2.0 */
#include "core/pager-private.h"

#include <assert.h>
#include <stdlib.h>

/*
 * Who waits for which pages, what is asked of the home, and its answers.
 *
 * A request is about pages of one state, I or S, so that one answer fits all of it; none is made
 * for D and L: as long as the home may not have what was written here, it must not be able to give
 * the page back, or after a broken link nobody could tell which content is the newer one.
 */

static void move(struct list *to, struct spot *spot)
{
	list_unlink(&spot->link);
	list_append(to, &spot->link);
}

struct spot *pager_spot(Pager *p, uint64_t page)
{
	struct spot *spot = p->spots[page];

	if (spot)
		return spot;
	spot = calloc(1, sizeof(*spot));
	if (!spot)
		return NULL;
	spot->page = page;
	spot->n = 1;
	list_init(&spot->link);
	list_append(&p->idle, &spot->link);
	p->spots[page] = spot;
	return spot;
}

static void spot_free(Pager *p, struct spot *spot)
{
	p->n_ahead -= spot->ahead != 0;
	p->spots[spot->page] = NULL;
	list_unlink(&spot->link);
	free(spot);
}

static bool wants_write(const struct spot *spot)
{
	return spot->writers || spot->claimer == PAGER_CLAIM_WRITE || spot->ahead == PAGE_GETX;
}

static bool wants(const struct spot *spot)
{
	return spot->readers || wants_write(spot) || spot->claimer || spot->ahead;
}

/* Who may go on in the page's state. */
static bool wake(Pager *p, struct spot *spot)
{
	enum pager_state state = state_of(p, spot->page);
	uint64_t readers = spot->readers, writers = spot->writers;
	bool woken = false;

	if (state == PAGER_I || state == PAGER_L || p->frozen)
		return false;
	spot->readers = 0;
	if (state == PAGER_M) {
		spot->writers = 0;
		if (writers)
			p->ops->allow(p->userdata, spot->page, 1, writers);
		readers &= ~writers;
		woken = writers;
	}
	if (readers)
		p->ops->wake(p->userdata, spot->page, 1, readers);
	woken |= readers != 0;
	if (spot->claimer == PAGER_CLAIM_READ || (spot->claimer && state == PAGER_M)) {
		spot->claimer = PAGER_NO_CLAIM;
		p->ops->claim_ready(p->userdata);
		woken = true;
	}
	return woken;
}

void pager_settle(Pager *p, struct spot *spot, bool came, uint64_t now)
{
	spot->readers &= pager_groups(p);
	spot->writers &= pager_groups(p);
	if (wake(p, spot) && came)
		pager_hold(p, spot->page, now);
	if (spot->request)
		return;
	if (spot->ahead && (state_of(p, spot->page) != PAGER_I || pager_leaving(p))) {
		spot->ahead = 0;
		p->n_ahead--;
	}
	if (!wants(spot)) {
		spot_free(p, spot);
		return;
	}
	if (!spot->queued)
		move(&p->to_ask, spot);
	spot->queued = true;
}

void pager_settle_run(Pager *p, uint64_t page, unsigned int n, bool came, uint64_t now)
{
	for (unsigned int i = 0; i < n; i++)
		if (p->spots[page + i])
			pager_settle(p, p->spots[page + i], came, now);
}

void pager_settle_all(Pager *p, uint64_t now)
{
	struct spot *spot, *next;

	list_for_each_safe (spot, next, &p->asked, link)
		pager_settle(p, spot, false, now);
	list_for_each_safe (spot, next, &p->to_ask, link)
		pager_settle(p, spot, false, now);
	list_for_each_safe (spot, next, &p->idle, link)
		pager_settle(p, spot, false, now);
}

void pager_forget_spots(Pager *p)
{
	struct spot *spot;

	while ((spot = list_first(&p->to_ask, struct spot, link)) ||
		(spot = list_first(&p->asked, struct spot, link)) ||
		(spot = list_first(&p->idle, struct spot, link)))
		spot_free(p, spot);
	p->n_asked = 0;
}

/* Requests */

static unsigned int run_length(const Pager *p, const struct spot *spot)
{
	enum pager_state state = state_of(p, spot->page);
	uint64_t most = MIN((uint64_t)spot->n, p->options.n_pages - spot->page);
	unsigned int n = 1;

	while (n < most && state_of(p, spot->page + n) == state &&
		!(p->marks[spot->page + n] & PAGER_BUSY))
		n++;
	return n;
}

static void ask(Pager *p, struct spot *spot)
{
	uint8_t type = wants_write(spot) ? PAGE_GETX : PAGE_GETS;
	unsigned int n;

	if (type == PAGE_GETX)
		spot->n = MIN(spot->n, (uint16_t)PAGER_WRITE_RUN);
	n = run_length(p, spot);
	for (unsigned int i = 0; i < n; i++)
		p->marks[spot->page + i] |= PAGER_BUSY;
	spot->n = (uint16_t)n;
	spot->request = type;
	move(&p->asked, spot);
	p->n_asked++;
	pager_say(p, type, 0, spot->page, n, false);
}

static bool can_ask(const Pager *p, const struct spot *spot)
{
	enum pager_state state = state_of(p, spot->page);

	if (p->marks[spot->page] & PAGER_BUSY)
		return false;
	return state == PAGER_I || (state == PAGER_S && wants_write(spot));
}

void pager_pump(Pager *p, uint64_t now)
{
	struct spot *spot;

	pager_look_ahead(p);
	while (p->linked && !p->holding && p->n_asked < PAGE_REQUESTS_MAX &&
		(spot = list_first(&p->to_ask, struct spot, link))) {
		spot->queued = false;
		move(&p->idle, spot);
		if (can_ask(p, spot))
			ask(p, spot);
		pager_look_ahead(p);
	}
}

/* The request of this spot is over; whoever waits for the other pages asks himself. */
static void end_request(Pager *p, struct spot *spot)
{
	uint64_t page = spot->page;
	unsigned int n = spot->n;

	for (unsigned int i = 0; i < n; i++)
		p->marks[page + i] &= (uint8_t)~PAGER_BUSY;
	spot->request = 0;
	spot->n = 1;
	p->n_asked--;
	move(&p->idle, spot);
	/* What a release has passed by. */
	p->cursor = MIN(p->cursor, page);
}

void pager_ask_again(Pager *p)
{
	struct spot *spot;

	while ((spot = list_first(&p->asked, struct spot, link))) {
		uint16_t n = spot->n;

		end_request(p, spot);
		spot->n = n;
		pager_settle(p, spot, false, 0);
	}
	for (spot = list_first(&p->idle, struct spot, link); spot;
		spot = list_first(&p->idle, struct spot, link))
		pager_settle(p, spot, false, 0);
}

/* Answers */

/* A page that came home for another reason: the home's pager hears of it, unasked. */
static bool by_the_way(const Pager *p, const struct page_message *m)
{
	return p->options.home && m->type == PAGE_DATA_S && !(m->flags & PAGE_CONTENT);
}

static bool state_fits(const Pager *p, const struct page_message *m, uint64_t page)
{
	switch (state_of(p, page)) {
	case PAGER_I:
		return m->type != PAGE_GRANT_M;
	case PAGER_S:
		return m->type == PAGE_GRANT_M || (p->options.home && m->type == PAGE_DATA_S);
	default:
		return false;
	}
}

static bool data_valid(const Pager *p, const struct page_message *m)
{
	const struct spot *spot = p->spots[m->page];

	for (unsigned int i = 0; i < m->n; i++)
		if (!state_fits(p, m, m->page + i))
			return false;
	if (by_the_way(p, m))
		return true;
	if ((m->flags & PAGE_CONTENT) != (m->type == PAGE_GRANT_M ? 0 : PAGE_CONTENT))
		return false;
	if (!spot || !spot->request || m->n > spot->n)
		return false;
	/* To a request to read the home may say that it may be written, too. */
	return spot->request == PAGE_GETS || m->type != PAGE_DATA_S;
}

static void set_run(Pager *p, uint64_t page, unsigned int n, enum pager_state state)
{
	for (unsigned int i = 0, k; i < n; i += k) {
		k = pager_same(p, page + i, n - i);
		pager_set(p, page + i, k, state);
	}
}

/* Who writes the first page is about to write the others; and who reads what he was given to be
 * written, that. */
static void allow_run(Pager *p, struct spot *spot, uint8_t request, unsigned int n, uint64_t now)
{
	uint64_t writers = spot->writers;

	if (request == PAGE_GETS)
		writers |= spot->readers;
	writers &= pager_groups(p);
	if (!writers || p->frozen)
		return;
	spot->writers = 0;
	spot->readers &= ~writers;
	p->ops->allow(p->userdata, spot->page, n, writers);
	pager_hold(p, spot->page, now);
}

int pager_receive_data(Pager *p, const struct page_message *m, uint64_t now)
{
	struct spot *spot = p->spots[m->page];
	bool write = m->type != PAGE_DATA_S;
	unsigned int n = m->n;
	int r;

	if (!data_valid(p, m))
		return STATUS_BAD_REQUEST;
	set_run(p, m->page, n, write ? PAGER_M : PAGER_S);
	if (m->flags & PAGE_CONTENT && !p->options.home) {
		r = p->ops->fill(p->userdata, m->page, n);
		if (r < 0) {
			pager_lose(p);
			return r;
		}
	}
	p->counts.pages_in += m->flags & PAGE_CONTENT ? n : 0;
	if (!by_the_way(p, m)) {
		uint8_t request = spot->request;

		n = spot->n;
		end_request(p, spot);
		if (write)
			allow_run(p, spot, request, m->n, now);
	}
	pager_settle_run(p, m->page, n, true, now);
	return 0;
}

/* Faults */

/* Pages that this node may write, from this one on: whoever was protected there asks once. */
static void allow_on(Pager *p, uint64_t page, uint64_t groups)
{
	uint64_t most = MIN(p->options.n_pages - page, (uint64_t)PAGER_WRITE_RUN);

	p->ops->allow(p->userdata, page, pager_same(p, page, (unsigned int)most), groups);
}

static bool answer_here(Pager *p, uint64_t page, bool write, uint64_t groups)
{
	enum pager_state state = state_of(p, page);

	if (p->frozen || state == PAGER_I || state == PAGER_L || (write && state != PAGER_M))
		return false;
	if (write)
		allow_on(p, page, groups);
	else
		p->ops->wake(p->userdata, page, 1, groups);
	p->counts.local_faults++;
	return true;
}

/* Nobody is noted down: whoever waits there tries again later. */
void pager_starved(Pager *p, uint64_t page, uint64_t now)
{
	if (p->lost)
		return;
	if (p->starved_begin == p->starved_end)
		p->starved_begin = page;
	p->starved_begin = MIN(p->starved_begin, page);
	p->starved_end = MAX(p->starved_end, page + 1);
	pager_retry(p, now);
}

/* The page, and those behind it as it seems useful. */
static void queue_window(Pager *p, struct spot *spot, bool write, uint64_t now)
{
	unsigned int window = pager_window(p, spot->page, write);
	unsigned int n = MIN(window, write ? PAGER_WRITE_RUN : PAGE_RUN_MAX);
	uint64_t page = spot->page;

	if (!spot->request)
		spot->n = MAX(spot->n, (uint16_t)n);
	pager_settle(p, spot, false, now);
	pager_ahead(p, page + n, MIN(p->options.n_pages, page + window), write);
}

void pager_fault(Pager *p, unsigned int group, uint64_t page, bool write, uint64_t now)
{
	uint64_t bit = 1ull << group, *waiting;
	struct spot *spot;

	assert(group < PAGER_GROUPS && page < p->options.n_pages);
	if (p->lost || !(pager_groups(p) & bit) || answer_here(p, page, write, bit))
		return;
	spot = pager_spot(p, page);
	if (!spot) {
		pager_starved(p, page, now);
		return;
	}
	waiting = write ? &spot->writers : &spot->readers;
	if (*waiting & bit)
		return;
	*waiting |= bit;
	if (write)
		p->counts.write_faults++;
	else
		p->counts.read_faults++;
	queue_window(p, spot, write, now);
	pager_pump(p, now);
}
