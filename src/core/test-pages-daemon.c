/* SPDX-License-Identifier: Apache-2.0 */
#include "core/test-pages.h"

#include <stdlib.h>
#include <string.h>

/*
 * The daemons of the simulated nodes: the operations of pagers and of the directory, each of which
 * may be the last one, and what a successor does first.
 */

/* The daemon dies here: before this operation, or in it, or behind it. */
static void step(struct node *n)
{
	struct world *w = n->world;

	HOLDS(w, w->dying == n);
	if (n->fuse > 0 && --n->fuse == 0)
		longjmp(w->death, 1);
}

static const struct bytes *received(const struct world *w, uint64_t page)
{
	const struct packet *p = w->receiving;

	HOLDS(w, page - p->message.page < p->message.n);
	return &p->content[page - p->message.page];
}

/* The pager */

static void on_pager_send(void *userdata, const struct page_message *m, bool aside)
{
	struct node *n = userdata;
	struct world *w = n->world;
	struct bytes content[PAGE_RUN_MAX];

	step(n);
	for (unsigned int i = 0; m->flags & PAGE_CONTENT && i < m->n; i++) {
		const struct frame *f = aside ? &n->aside[m->page + i] : &n->memory[m->page + i];

		HOLDS(w, f->present);
		content[i] = f->bytes;
	}
	if (n->number == 0)
		HOLDS(w, directory_receive(w->directory, 0, m, w->now) == 0);
	else
		link_send(n, true, m, content);
	step(n);
}

static int on_fill(void *userdata, uint64_t page, unsigned int k)
{
	struct node *n = userdata;
	struct world *w = n->world;

	HOLDS(w, n->number != 0);
	if (world_chance(w, 2000))
		return -ENOMEM;
	for (unsigned int i = 0; i < k; i++) {
		struct frame *f = &n->memory[page + i];

		step(n);
		HOLDS(w, !f->present);
		HOLDS(w, n->table[page + i] == PAGER_S || n->table[page + i] == PAGER_M);
		*f = (struct frame){.present = true, .bytes = *received(w, page + i)};
	}
	step(n);
	return 0;
}

static void on_allow(void *userdata, uint64_t page, unsigned int k, uint64_t groups)
{
	struct node *n = userdata;

	step(n);
	for (unsigned int i = 0; i < k; i++)
		HOLDS(n->world, n->table[page + i] == PAGER_M && n->memory[page + i].present);
	HOLDS(n->world, !n->frozen);
	node_allow(n, page, k, groups);
	step(n);
}

static void on_protect(void *userdata, uint64_t page, unsigned int k, uint64_t groups)
{
	struct node *n = userdata;

	step(n);
	node_protect(n, page, k, groups);
	step(n);
}

static void on_wake(void *userdata, uint64_t page, unsigned int k, uint64_t groups)
{
	struct node *n = userdata;

	step(n);
	node_wake(n, page, k, groups);
}

static void on_drop(void *userdata, uint64_t page, unsigned int k)
{
	struct node *n = userdata;

	for (unsigned int i = 0; i < k; i++) {
		step(n);
		HOLDS(n->world, n->memory[page + i].present);
		node_drop(n, page + i);
	}
	step(n);
	node_protect(n, page, k, UINT64_MAX);
	step(n);
}

static int on_set_aside(void *userdata, uint64_t page, unsigned int k)
{
	struct node *n = userdata;

	if (world_chance(n->world, 200))
		return -ENOSPC;
	for (unsigned int i = 0; i < k; i++) {
		step(n);
		HOLDS(n->world, n->memory[page + i].present && all_marked(n, page + i));
		n->aside[page + i] = n->memory[page + i];
	}
	step(n);
	return 0;
}

static void on_forget_aside(void *userdata, uint64_t page, unsigned int k)
{
	struct node *n = userdata;

	HOLDS(n->world, n->number != 0);
	for (unsigned int i = 0; i < k; i++) {
		step(n);
		HOLDS(n->world, n->aside[page + i].present);
		n->aside[page + i].present = false;
	}
	step(n);
}

static void on_claim_ready(void *userdata)
{
	struct node *n = userdata;

	HOLDS(n->world, n->number == 0);
	if (n->world->claiming)
		world_event(n->world, (struct event){.kind = EVENT_CLAIM, .epoch = n->epoch},
			world_random(n->world, 3 * US));
}

static void on_released(void *userdata)
{
	struct node *n = userdata;

	for (uint64_t i = 0; i < PAGES; i++)
		HOLDS(n->world, !n->memory[i].present && !n->aside[i].present);
	n->released = true;
}

static bool on_pager_full(void *userdata)
{
	struct node *n = userdata;

	return n->number > 0 && world_random(n->world, 8) == 0;
}

static const struct pager_ops pager_ops = {
	.send = on_pager_send,
	.fill = on_fill,
	.allow = on_allow,
	.protect = on_protect,
	.wake = on_wake,
	.drop = on_drop,
	.set_aside = on_set_aside,
	.forget_aside = on_forget_aside,
	.claim_ready = on_claim_ready,
	.released = on_released,
	.full = on_pager_full,
};

/* The directory */

static void check_given(struct world *w, const struct page_message *m, const struct bytes *content)
{
	if (m->type != PAGE_DATA_S && m->type != PAGE_DATA_M && m->type != PAGE_GRANT_M)
		return;
	for (unsigned int i = 0; i < m->n; i++) {
		HOLDS(w, bytes_equal(&content[i], &w->truth[m->page + i]));
		w->granted[m->page + i] = w->truth[m->page + i];
	}
}

static void on_directory_send(
	void *userdata, unsigned int slot, const struct page_message *m, enum page_source source)
{
	struct world *w = userdata;
	struct node *home = &w->nodes[0];
	struct bytes content[PAGE_RUN_MAX];

	step(home);
	for (unsigned int i = 0; i < m->n; i++) {
		const struct frame *f = source == PAGE_MEMORY ? &home->memory[m->page + i]
							      : &home->aside[m->page + i];

		HOLDS(w, source == PAGE_NOWHERE || f->present);
		content[i] = f->bytes;
	}
	if (slot == 0) {
		HOLDS(w, pager_receive(home->pager, m, w->now) == 0);
	} else {
		check_given(w, m, content);
		HOLDS(w, w->nodes[slot].home_open);
		link_send(&w->nodes[slot], false, m, content);
	}
	step(home);
}

static int on_keep(void *userdata, uint64_t page, unsigned int k, enum page_source where)
{
	struct world *w = userdata;
	struct node *home = &w->nodes[0];

	if (world_chance(w, where == PAGE_MEMORY ? 200 : 2000))
		return -ENOMEM;
	for (unsigned int i = 0; i < k; i++) {
		struct frame *f =
			where == PAGE_MEMORY ? &home->memory[page + i] : &home->aside[page + i];

		step(home);
		HOLDS(w, bytes_equal(received(w, page + i), &w->truth[page + i]));
		HOLDS(w, where == PAGE_SHADOW || !f->present);
		*f = (struct frame){.present = true, .bytes = *received(w, page + i)};
	}
	step(home);
	return 0;
}

static int on_recover(void *userdata, uint64_t page, unsigned int k)
{
	struct world *w = userdata;
	struct node *home = &w->nodes[0];

	if (world_chance(w, 50))
		return -ENOMEM;
	pages_seen.recoveries++;
	for (unsigned int i = 0; i < k; i++) {
		step(home);
		HOLDS(w, home->aside[page + i].present && !home->memory[page + i].present);
		home->memory[page + i] = home->aside[page + i];
	}
	step(home);
	return 0;
}

static void on_forget(void *userdata, uint64_t page, unsigned int k)
{
	struct world *w = userdata;

	for (unsigned int i = 0; i < k; i++) {
		step(&w->nodes[0]);
		w->nodes[0].aside[page + i].present = false;
	}
}

static void on_discarded(void *userdata, unsigned int slot, uint64_t n_pages)
{
	struct world *w = userdata;
	uint64_t n = 0;

	step(&w->nodes[0]);
	HOLDS(w, !node_believes(&w->nodes[slot]));
	for (uint64_t i = 0; i < PAGES; i++) {
		const struct frame *f = &w->nodes[0].aside[i];

		if (directory_entry(w->directory, i).owner != slot)
			continue;
		n++;
		HOLDS(w, f->present);
		/* As the owner got it, or what it has just given back. */
		HOLDS(w, bytes_equal(&f->bytes, &w->granted[i]) ||
				 bytes_equal(&f->bytes, &w->truth[i]));
		w->truth[i] = f->bytes;
	}
	HOLDS(w, n == n_pages);
	pages_seen.discarded += n;
	step(&w->nodes[0]);
}

static void on_give_up(void *userdata, unsigned int slot, const char *reason)
{
	struct world *w = userdata;

	pages_seen.given_up++;
	w->nodes[slot].expelled = true;
}

static void on_recalled(void *userdata)
{
	((struct world *)userdata)->recalled = true;
}

static bool on_directory_full(void *userdata, unsigned int slot)
{
	struct world *w = userdata;
	struct node *n = &w->nodes[slot];

	if (!n->home_full && world_random(w, 8) == 0) {
		n->home_full = true;
		world_event(w, (struct event){.kind = EVENT_ROOM, .node = slot},
			1 + world_random(w, 50 * US));
	}
	return n->home_full;
}

static const struct directory_ops directory_ops = {
	.send = on_directory_send,
	.keep = on_keep,
	.recover = on_recover,
	.forget = on_forget,
	.discarded = on_discarded,
	.give_up = on_give_up,
	.recalled = on_recalled,
	.full = on_directory_full,
};

/* Sessions */

/* The end of the session is durable before anything else; a successor goes on here. */
void home_remove(struct world *w, unsigned int slot)
{
	struct node *n = &w->nodes[slot];

	link_sent(n, false);
	n->home_session = 0;
	n->home_open = false;
	packets_drop(&n->up);
	directory_remove(w->directory, slot, w->now);
}

void home_add(struct world *w, unsigned int slot)
{
	HOLDS(w, directory_add(w->directory, slot, true) == 0);
	w->nodes[slot].heard = w->now;
	w->nodes[slot].expelled = false;
}

static void begin_pager(struct node *n)
{
	const struct pager_options options = {.n_pages = PAGES,
		.home = n->number == 0,
		.hold = HOLD,
		.table = n->table,
		.map = n->number};

	HOLDS(n->world, pager_new(&options, &pager_ops, n, &n->pager) == 0);
	for (unsigned int g = 0; g < GROUPS; g++)
		if (n->mappers[g].used)
			pager_group_set(n->pager, g, true, n->world->now);
}

static void empty(struct node *n)
{
	for (uint64_t i = 0; i < PAGES; i++) {
		n->memory[i].present = n->aside[i].present = false;
		n->table[i] = PAGER_I;
	}
	node_protect(n, 0, PAGES, UINT64_MAX);
}

void node_lose(struct node *n)
{
	link_sent(n, true);
	n->session = 0;
	n->end = 0;
	n->node_open = false;
	packets_drop(&n->down);
	pager_free(n->pager);
	n->pager = NULL;
	n->releasing = n->released = n->frozen = false;
	empty(n);
	node_wake(n, 0, PAGES, UINT64_MAX);
}

void node_begin(struct node *n)
{
	for (unsigned int g = 0; g < GROUPS; g++)
		mapper_init(n, g);
	begin_pager(n);
	pager_freeze(n->pager, true, n->world->now);
	n->frozen = true;
	n->since = n->world->now;
	node_wake(n, 0, PAGES, UINT64_MAX);
}

/* Successors */

static void start_home(struct world *w)
{
	const struct directory_options options = {.n_pages = PAGES,
		.table = w->entries,
		.patience = PATIENCE,
		.write_pause = world_random(w, 2) ? 100 * US : 0};
	struct node *home = &w->nodes[0];

	HOLDS(w, directory_new(&options, &directory_ops, w, &w->directory) == 0);
	directory_restore(w->directory, home->table);
	for (uint64_t i = 0; i < PAGES; i++)
		if (home->table[i] == PAGER_I)
			home->memory[i].present = false;
	begin_pager(home);
	for (unsigned int i = 1; i < w->n_nodes; i++)
		if (w->nodes[i].home_session)
			home_add(w, i);
	for (unsigned int i = 1; i < w->n_nodes; i++)
		if (!w->nodes[i].home_session)
			directory_remove(w->directory, i, w->now);
}

static void restore_table(struct node *n)
{
	for (uint64_t i = 0; i < PAGES; i++) {
		uint8_t *state = &n->table[i];

		if (*state == PAGER_I || *state == PAGER_L)
			n->memory[i].present = false;
		else if (!n->memory[i].present)
			*state = PAGER_I;
		if (*state != PAGER_L)
			n->aside[i].present = false;
	}
}

void daemon_start(struct node *n)
{
	struct world *w = n->world;

	n->epoch++;
	node_protect(n, 0, PAGES, UINT64_MAX);
	if (n->number == 0) {
		start_home(w);
		world_event(w, (struct event){.kind = EVENT_CLAIM, .epoch = n->epoch}, US);
	} else if (n->session) {
		restore_table(n);
		begin_pager(n);
		pager_freeze(n->pager, true, w->now);
		n->frozen = true;
		n->since = w->now;
		world_event(w,
			(struct event){.kind = EVENT_DIAL, .node = n->number, .epoch = n->epoch},
			US);
		world_event(w,
			(struct event){.kind = EVENT_LEASE, .node = n->number, .epoch = n->epoch},
			US);
		if (n->releasing)
			pager_release(n->pager, w->now);
	} else {
		world_event(w,
			(struct event){.kind = EVENT_JOIN, .node = n->number, .epoch = n->epoch},
			US);
	}
	node_wake(n, 0, PAGES, UINT64_MAX);
}

void daemon_die(struct node *n)
{
	struct world *w = n->world;

	pages_seen.deaths++;
	n->fuse = 0;
	n->epoch++;
	free(w->receiving);
	w->receiving = NULL;
	pager_free(n->pager);
	n->pager = NULL;
	if (n->number == 0) {
		directory_free(w->directory);
		w->directory = NULL;
		w->claiming = false;
		for (unsigned int i = 1; i < w->n_nodes; i++) {
			link_stop(&w->nodes[i], false);
			link_break(&w->nodes[i]);
			w->nodes[i].home_open = false;
			packets_drop(&w->nodes[i].up);
		}
	} else {
		link_stop(n, true);
		link_break(n);
		n->node_open = false;
		packets_drop(&n->down);
	}
	world_event(w, (struct event){.kind = EVENT_START, .node = n->number},
		1 + world_random(w, world_random(w, 3) ? DETECTION / 4 : 2 * DETECTION));
}

/* Between two operations */

static void check_page(struct world *w, uint64_t page)
{
	struct directory_entry e = directory_entry(w->directory, page);
	const struct node *home = &w->nodes[0];
	const struct frame *f =
		e.owner == DIRECTORY_NOBODY ? &home->memory[page] : &home->aside[page];

	HOLDS(w, home->table[page] == (e.owner == DIRECTORY_NOBODY	  ? PAGER_S
					      : e.owner == DIRECTORY_HOME ? PAGER_M
									  : PAGER_I));
	if (e.owner == DIRECTORY_HOME) {
		HOLDS(w, home->memory[page].present);
		return;
	}
	HOLDS(w, f->present);
	HOLDS(w, home->memory[page].present == (e.owner == DIRECTORY_NOBODY));
	if (e.owner == DIRECTORY_NOBODY || e.owner == DIRECTORY_SHADOW)
		HOLDS(w, bytes_equal(&f->bytes, &w->truth[page]));
}

void daemon_check(struct world *w)
{
	if (!w->directory)
		return;
	if (w->n_steps % 16 == 0)
		directory_check(w->directory);
	for (uint64_t i = 0; i < PAGES; i++)
		check_page(w, i);
}
